//! The paper's choice of bets: a geometric grid of information, weighted to minimise the delay's bound.

use alloc::vec::Vec;

use crate::math::{exp, ln};
use crate::mixture::{Family, MixtureParams};

/// The direction of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Up,
    Down,
}

/// A family seen as if the change were upward: a falling mean of `x` is a rising mean of `1 - x`.
#[derive(Clone, Copy, Debug)]
struct Model {
    family: Family,
    m: f64,
}

impl Model {
    /// Returns the information per value (the convex conjugate of the cumulant bound) at change `d`.
    ///
    /// Bernoulli: the Kullback-Leibler divergence of the means `m + d` and `m`. Bounded: `d - ln(1 + d)`,
    /// the conjugate of `-ln(1 - l) - l`, at `d` in units of the second moment. Normal: `d^2 / 2`, at `d` in
    /// units of the noise.
    fn information(self, d: f64) -> f64 {
        match self.family {
            Family::Bernoulli => {
                let (p, rest) = (self.m + d, 1.0 - self.m);
                if d < 0.01 * self.m.min(rest) {
                    self.m * excess(d / self.m) + rest * excess(-d / rest)
                } else {
                    p * ln(p / self.m) + (1.0 - p) * ln((1.0 - p) / rest)
                }
            }
            Family::Normal => d * d / 2.0,
            Family::Bounded => {
                if d < 1e-3 {
                    // The series: the difference of the two terms would lose digits.
                    d * d * (0.5 - d * (1.0 / 3.0 - d * (0.25 - d * (0.2 - d * (1.0 / 6.0 - d / 7.0)))))
                } else {
                    d - ln(1.0 + d)
                }
            }
        }
    }

    /// Returns the bet that is best against change `d`.
    fn bet(self, d: f64) -> f64 {
        match self.family {
            Family::Bernoulli => {
                let p = self.m + d;
                ln(p / (1.0 - p)) - ln(self.m / (1.0 - self.m))
            }
            Family::Bounded => d / (1.0 + d),
            Family::Normal => d,
        }
    }

    /// Returns the changes between which the grid lies.
    ///
    /// Normal: in units of the noise. Bounded: the mean of `x / m - 1` over its second moment, which lies between `lower^2` and
    /// `1/4 + upper^2` (in units of `m^2`).
    fn range(self, params: &MixtureParams) -> (f64, f64) {
        let (lower, upper) = (params.delta_lower, params.delta_upper);
        match self.family {
            Family::Bernoulli => (lower, upper),
            Family::Normal => (lower / params.sigma, upper / params.sigma),
            Family::Bounded => (self.m * lower / (0.25 + upper * upper), self.m * upper / (lower * lower)),
        }
    }

    /// Finds the change in `[low, high]` that has the given information, by bisection.
    fn change_with(self, information: f64, mut low: f64, mut high: f64) -> f64 {
        for _ in 0..120 {
            let middle = f64::midpoint(low, high);
            if middle <= low || middle >= high {
                break;
            }
            if self.information(middle) < information {
                low = middle;
            } else {
                high = middle;
            }
        }
        f64::midpoint(low, high)
    }
}

/// Returns `(1 + u) ln(1 + u) - u` for small `u`, by its series: the difference would lose digits.
fn excess(u: f64) -> f64 {
    let terms = (3..=9).rev().fold(0.0, |rest, n| u * (1.0 / f64::from(n * (n - 1)) - rest));
    u * u * (0.5 - terms)
}

/// Returns the bets of one side with their weights, which add up to 1, for false-alarm level `alpha`.
pub(crate) fn grid(params: &MixtureParams, side: Side, alpha: f64) -> Vec<(f64, f64)> {
    let edge = params.edge(side);
    let m = if side == Side::Up { edge } else { 1.0 - edge };
    let model = Model { family: params.family, m };
    let (low, high) = model.range(params);
    let (least, most) = (model.information(low), model.information(high));
    let sign = match (side, params.family) {
        (Side::Up, _) => 1.0,
        (Side::Down, Family::Bernoulli | Family::Normal) => -1.0,
        // 1 + l' ((1 - x) / (1 - m) - 1) = 1 + l (x / m - 1) for this multiple.
        (Side::Down, Family::Bounded) => -edge / (1.0 - edge),
    };
    if most <= least * (1.0 + 1e-12) {
        return [(sign * model.bet(high), 1.0)].into();
    }
    let (mut steps, mut ratio, mut level) = best_steps(alpha, most / least, params.max_components);
    // The largest change is found by the first value after it when that carries enough evidence alone;
    // then the next bet finds it too, and no bet is spent on the first.
    let skip_first = most > level;
    if !skip_first && steps == usize::from(params.max_components) {
        (steps, ratio, level) = best_steps(alpha, most / least, params.max_components - 1);
    }
    let first = usize::from(skip_first);
    let mut bets = Vec::with_capacity(steps + 1 - first);
    let mut information = if skip_first { most / ratio } else { most };
    for k in first..=steps {
        let change = match k {
            0 => high,
            k if k == steps => low,
            _ => model.change_with(information, low, high),
        };
        let weight = match (skip_first, k) {
            (true, _) => 1.0 / steps as f64,
            (false, 0) => exp(-level) / alpha,
            _ => exp(-level / ratio) / alpha,
        };
        // With few steps over a wide range the first weight can vanish.
        if weight > 0.0 {
            bets.push((sign * model.bet(change), weight));
        }
        information /= ratio;
    }
    bets
}

/// Chooses the number of steps that makes the level `g` smallest; returns it, the ratio between steps
/// and `g`, which solves `exp(-g) + K exp(-g / ratio) = alpha`.
fn best_steps(alpha: f64, span: f64, most: u8) -> (usize, f64, f64) {
    let log_span = ln(span);
    let mut best = (1, span, f64::MAX);
    for steps in 1..=usize::from(most) {
        let ratio = exp(log_span / steps as f64);
        let level = level(alpha, steps as f64, ratio);
        if level >= best.2 {
            // The level has one minimum.
            break;
        }
        best = (steps, ratio, level);
    }
    best
}

fn level(alpha: f64, steps: f64, ratio: f64) -> f64 {
    let (mut low, mut high) = (0.0, 2.0 * ratio * (ln(1.0 / alpha) + ln(1.0 + steps)) + 1.0);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if exp(-middle) + steps * exp(-middle / ratio) > alpha {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}
