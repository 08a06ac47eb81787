//! The run length of a CUSUM of Gaussian values, by Page's integral equation.

use alloc::vec;
use alloc::vec::Vec;

use crate::math::{exp, ln};

/// The least threshold, in deviations: where a single value raises the sum less often than once in the run length.
const LEAST: f64 = 1e-6;
/// Thresholds, in deviations, that give the run lengths of all above the first.
const SETTLED: (f64, f64) = (10.0, 12.5);
/// Width of a panel of eight nodes, in deviations.
const PANEL: f64 = 2.5;
/// Run lengths are met within this.
const CLOSE: f64 = 1e-11;
/// An exponent that nobody waits for.
const ENDLESS: f64 = 500.0;
/// Expected overshoot of both ends in Siegmund's formula.
const OVERSHOOT: f64 = 1.166;

/// Gauss-Legendre nodes and weights on [-1, 1] (Abramowitz and Stegun, table 25.4, n = 8), positive half.
const GAUSS: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_3),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_5),
    (0.960_289_856_497_536_3, 0.101_228_536_290_376_3),
];

/// Returns the average number of standard normal values until `s = max(0, s + x - k)` reaches `h`. A negative
/// `k` is a mean that has shifted.
pub(super) fn run_length(k: f64, h: f64) -> f64 {
    let length = if h <= SETTLED.0 {
        solve(k, h)
    } else if k * h > ENDLESS {
        siegmund(k, h)
    } else {
        Far::new(k).run_length(h)
    };
    // Both overflow where nobody waits for it.
    if length < f64::MAX { length } else { f64::MAX }
}

/// Returns the threshold in deviations with this run length, or the least with a greater one.
pub(super) fn threshold(k: f64, arl: f64) -> f64 {
    let guess = bisect(|h| siegmund(k, h) < arl, (LEAST, 1.0));
    // The formula is off by less than that.
    if guess > 0.9 * SETTLED.0 {
        let far = Far::new(k);
        if far.run_length(SETTLED.0) <= arl {
            return bisect(|h| far.run_length(h) < arl, SETTLED);
        }
    }
    near(k, arl, guess)
}

/// Returns the least number for which `below` is false, from `low` up; `high` may be below it.
fn bisect(below: impl Fn(f64) -> bool, (mut low, mut high): (f64, f64)) -> f64 {
    while below(high) && high < 1e9 {
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if below(middle) { low = middle } else { high = middle }
    }
    high
}

/// Returns the threshold of [`threshold`] by secants in the logarithm of the run length, from a guess.
fn near(k: f64, arl: f64, guess: f64) -> f64 {
    let off = |h: f64| ln(arl / run_length(k, h));
    if off(LEAST) <= 0.0 {
        return LEAST;
    }
    let mut h = guess;
    let mut slope = ln(siegmund(k, h * 1.001) / siegmund(k, h)) / (0.001 * h);
    let (mut low, mut high) = (LEAST, f64::MAX);
    let mut missing = off(h);
    for _ in 0..60 {
        if missing.abs() <= CLOSE {
            break;
        }
        if missing > 0.0 {
            low = h;
        } else {
            high = h;
        }
        let mut next = h + missing / slope;
        if !(next > low && next < high) {
            next = if high < f64::MAX { f64::midpoint(low, high) } else { 2.0 * h };
        }
        if (next - h).abs() <= 1e-15 * h {
            break;
        }
        let then = off(next);
        slope = (missing - then) / (next - h);
        (h, missing) = (next, then);
    }
    h
}

/// The run lengths of thresholds from the first of [`SETTLED`] up: `a exp(2 k h) - h / k + b`.
///
/// Between both ends, and far from them, the mean time left is a line of slope `1 / k` in the sum plus a multiple
/// of `exp(2 k s)` and a constant, and the ends only couple these; what else the ends add dies away as
/// `exp(-2.5 s)` (the zeros of `1 - exp(z^2 / 2 - k z)` nearest to its real ones).
struct Far {
    k: f64,
    /// At the second of [`SETTLED`]: the exponential part, and all of it.
    power: f64,
    length: f64,
}

impl Far {
    fn new(k: f64) -> Self {
        let (low, high) = SETTLED;
        let (first, length) = (solve(k, low), solve(k, high));
        let rise = length - first + (high - low) / k;
        Self { k, power: -rise / growth(2.0 * k * (low - high)), length }
    }

    fn run_length(&self, h: f64) -> f64 {
        let beyond = h - SETTLED.1;
        self.length + self.power * growth(2.0 * self.k * beyond) - beyond / self.k
    }
}

/// `exp(x) - 1`, without its cancellation.
fn growth(x: f64) -> f64 {
    if x.abs() < 0.1 {
        let rest = (2..=11).rev().fold(1.0, |rest, n| 1.0 + x / f64::from(n) * rest);
        x * rest
    } else {
        exp(x) - 1.0
    }
}

/// Siegmund, "Sequential Analysis" (1985), section 2.6: the corrected diffusion.
fn siegmund(k: f64, h: f64) -> f64 {
    let b = 2.0 * k * (h + OVERSHOOT);
    // exp(b) - 1 - b, without its cancellation.
    let rest = if b.abs() < 0.01 { b * b * (0.5 + b / 6.0) } else { exp(b) - 1.0 - b };
    rest / (2.0 * k * k)
}

/// Solves `L(s) = 1 + L(0) P(x <= k - s) + ∫ L(y) φ(y + k - s) dy` at the nodes and 0, as a chain that moves
/// between them or ends.
fn solve(k: f64, h: f64) -> f64 {
    let panels = (h / PANEL) as usize + 1;
    let half = 0.5 * h / panels as f64;
    let mut nodes = vec![(0.0, 0.0)];
    for panel in 0..panels {
        let centre = half * (2 * panel + 1) as f64;
        nodes.extend(
            GAUSS.iter().flat_map(|&(x, w)| [(centre - half * x, half * w), (centre + half * x, half * w)]),
        );
    }
    let rows: Vec<Row> = nodes
        .iter()
        .map(|&(s, _)| {
            let weight = |(j, &(y, w)): (usize, &(f64, f64))| {
                if j == 0 { below(k - s) } else { w * density(y + k - s) }
            };
            Row { moves: nodes.iter().enumerate().map(weight).collect(), end: below(s - k - h), time: 1.0 }
        })
        .collect();
    eliminate(rows).max(1.0)
}

/// One state of the chain: the probabilities of a move to each state and of the end, and the time spent.
struct Row {
    moves: Vec<f64>,
    end: f64,
    time: f64,
}

/// Returns the mean time to the end from the first state. States are left out from the last up (Grassmann,
/// Taksar and Heyman 1985): the probability of staying is never taken from 1, so that nothing cancels and
/// every digit is good however rare the end is.
fn eliminate(mut rows: Vec<Row>) -> f64 {
    while let Some(last) = rows.pop() {
        let at = rows.len();
        let others = last.moves.get(..at).unwrap_or(&[]);
        let leaves = others.iter().sum::<f64>() + last.end;
        if at == 0 || leaves <= 0.0 {
            return last.time / leaves;
        }
        for row in &mut rows {
            let factor = row.moves.get(at).copied().unwrap_or(0.0) / leaves;
            row.end += factor * last.end;
            row.time += factor * last.time;
            row.moves.iter_mut().zip(others).for_each(|(to, from)| *to += factor * from);
        }
    }
    1.0
}

fn density(x: f64) -> f64 {
    exp(-0.5 * x * x) * 0.398_942_280_401_432_7
}

/// The standard normal distribution function: a series near 0, Laplace's continued fraction in the tails.
fn below(x: f64) -> f64 {
    let z = x.abs();
    let upper = if z < 4.0 {
        let (mut term, mut sum, mut n) = (z, z, 1.0);
        while term > 1e-17 * sum {
            n += 2.0;
            term *= z * z / n;
            sum += term;
        }
        0.5 - density(z) * sum
    } else {
        let fraction = (1..=60).rev().fold(0.0, |tail, n| f64::from(n) / (z + tail));
        density(z) / (z + fraction)
    };
    if x > 0.0 { 1.0 - upper } else { upper }
}
