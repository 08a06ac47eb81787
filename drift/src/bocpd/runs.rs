//! The run lengths that are kept: how probable each is, what it predicts, and which two become one.

use alloc::vec::Vec;

use super::gamma::{half_step, half_step_of_large, ln_1p, ln_rising};
use crate::math::{exp, ln, sqrt};

/// Runs with less are as good as impossible; below it products could underflow.
pub(super) const LEAST_WEIGHT: f64 = 1e-60;
/// Run lengths whose constants are looked up.
const LOOKED_UP: usize = 64;

/// One possibility: that the present segment began after value `start`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    /// Values before the segment.
    pub(super) start: u64,
    /// Its posterior probability.
    pub(super) weight: f64,
    /// Gaussian: the posterior mean. Others: the sum of the segment's values.
    pub(super) level: f64,
    /// Gaussian: `beta`, the prior's and half the squared deviations. Others: 0.
    pub(super) spread: f64,
    /// The logarithm of its last prediction, less what `weight` has taken up already.
    score: f64,
}

impl Run {
    pub(super) const fn new(start: u64, weight: f64, level: f64, spread: f64) -> Self {
        Self { start, weight, level, spread, score: 0.0 }
    }
}

/// What is believed of a segment before its first value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Prior {
    /// The mean.
    pub(super) mean: f64,
    /// How many values the mean is worth (`kappa`; `a + b` of a beta, the rate of a gamma distribution).
    pub(super) weight: f64,
    /// `alpha` of the variance.
    pub(super) shape: f64,
    /// `beta` of the variance.
    pub(super) spread: f64,
}

impl Prior {
    /// The sum that stands for the mean among counted values.
    pub(super) fn sum(&self) -> f64 {
        self.mean * self.weight
    }
}

/// Takes one value: each run predicts it, is weighed by how well, and learns it. In `gaussian`, `bernoulli`
/// and `poisson`, weights are left unnormalised and scores to be applied; they return the largest score.
#[derive(Clone, Debug)]
pub(super) struct Runs {
    pub(super) list: Vec<Run>,
    capacity: usize,
    /// [`half_step`] for the first lengths.
    steps: [f64; LOOKED_UP],
}

impl Runs {
    pub(super) fn new(capacity: usize, shape: f64) -> Self {
        let mut steps = [0.0; LOOKED_UP];
        for (n, step) in steps.iter_mut().enumerate() {
            *step = half_step(shape + n as f64 / 2.0);
        }
        Self { list: Vec::with_capacity(capacity), capacity, steps }
    }

    /// Student's t with `2 alpha` degrees of freedom, the predictive of a normal-inverse-gamma belief.
    ///
    /// `p(x) = Γ(α + 1/2) / Γ(α) sqrt(k / (2 π β)) (1 + k (x - μ)² / (2 β))^-(α + 1/2)`, `k = κ / (κ + 1)`.
    pub(super) fn gaussian(&mut self, x: f64, now: u64, prior: &Prior) -> f64 {
        let mut best = f64::MIN;
        for run in &mut self.list {
            let n = now - run.start;
            let length = n as f64;
            let (kappa, alpha) = (prior.weight + length, prior.shape + length / 2.0);
            let learn = 1.0 / (kappa + 1.0);
            let apart = x - run.level;
            let shrink = kappa * learn;
            let add = 0.5 * apart * apart * shrink;
            let precision = 1.0 / run.spread;
            let step = self.steps.get(n as usize).copied().unwrap_or_else(|| half_step_of_large(alpha));
            run.score = step - (alpha + 0.5) * ln_1p(add * precision);
            run.weight *= sqrt(alpha * shrink * precision);
            run.level += apart * learn;
            run.spread += add;
            if run.weight > 0.0 {
                best = best.max(run.score);
            }
        }
        best
    }

    pub(super) fn bernoulli(&mut self, one: bool, now: u64, prior: &Prior) -> f64 {
        for run in &mut self.list {
            let share = (prior.sum() + run.level) / (prior.weight + (now - run.start) as f64);
            run.weight *= if one { share } else { 1.0 - share };
            run.level += f64::from(u8::from(one));
            run.score = 0.0;
        }
        0.0
    }

    /// The negative binomial, the predictive of a gamma belief; without `1 / x!`, which all share.
    pub(super) fn poisson(&mut self, x: f64, now: u64, prior: &Prior) -> f64 {
        let mut best = f64::MIN;
        for run in &mut self.list {
            let rate = prior.weight + (now - run.start) as f64;
            let shape = prior.sum() + run.level;
            run.score = ln_rising(shape, x) - shape * ln_1p(1.0 / rate) - x * ln(rate + 1.0);
            run.level += x;
            if run.weight > 0.0 {
                best = best.max(run.score);
            }
        }
        best
    }

    /// Makes the weights a distribution again, of which `grown` is the share of the runs that go on.
    pub(super) fn normalise(&mut self, best: f64, grown: f64) {
        let mut sum = 0.0;
        for run in &mut self.list {
            // A weight of 0 stays 0, whatever it would have predicted.
            if run.weight > 0.0 && run.score != best {
                run.weight *= exp(run.score - best);
            }
            sum += run.weight;
        }
        let factor = grown / sum;
        for run in &mut self.list {
            run.weight *= factor;
            if run.weight < LEAST_WEIGHT {
                run.weight = 0.0;
            }
        }
    }

    /// Adds the youngest run. A full list makes room first.
    pub(super) fn push(&mut self, run: Run) {
        if self.list.len() >= self.capacity {
            self.merge(run.start);
        }
        self.list.push(run);
    }

    /// Gives the lighter of two neighbours' weight to the heavier, where least is lost: the least weight is
    /// moved by the least part of its length.
    fn merge(&mut self, now: u64) {
        let mut best = (f64::MAX, 0);
        for (at, pair) in self.list.windows(2).enumerate() {
            let [older, younger] = pair else { continue };
            let moved = (younger.start - older.start) as f64 / (now - older.start) as f64;
            let loss = older.weight.min(younger.weight) * moved;
            if loss < best.0 {
                best = (loss, at);
            }
        }
        let Some([older, younger]) = self.list.get_mut(best.1..best.1 + 2) else { return };
        let weight = older.weight + younger.weight;
        if older.weight >= younger.weight {
            older.weight = weight;
            self.list.remove(best.1 + 1);
        } else {
            younger.weight = weight;
            self.list.remove(best.1);
        }
    }

    /// The most probable run, the oldest of equals.
    pub(super) fn likeliest(&self) -> Option<&Run> {
        self.list.iter().reduce(|best, run| if run.weight > best.weight { run } else { best })
    }
}
