//! Thresholds by shuffling, for distances without a known law.

use alloc::vec;
use alloc::vec::Vec;

use super::mmd::{check_gamma, estimates, squared_distance, vectors};
use super::sample::{Tie, sorted_pair, ties};
use super::transport::between_functions;
use super::{DistanceError, Verdict};
use crate::math::{exp, sqrt};
use crate::splitmix::SplitMix64;

/// No permutation test of vectors takes more of them: their kernels with each other are kept.
const MAX_VECTORS: usize = 2_000;

/// A permutation test: which distances do the same values give when they are dealt to the two samples at random?
///
/// Valid at any sizes and for any distribution, as long as the values are exchangeable when nothing has changed
/// (independent values are; a series with memory is not: take batches). The p-value is
/// `(1 + number of shuffles at least as far) / (rounds + 1)`, never 0 (Phipson and Smyth, 2010).
///
/// Cost: `rounds` passes over the sorted values; for vectors `rounds` passes over all pairs.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::distance::Permutation;
///
/// let reference: Vec<f64> = (0..50).map(|i| f64::from(i % 10)).collect();
/// let current: Vec<f64> = (0..40).map(|i| f64::from(i % 10) + 4.0).collect();
/// let verdict = Permutation { rounds: 999, seed: 7 }.wasserstein_1(&reference, &current, 0.01)?;
/// assert!(verdict.drifted() && verdict.p_value == 0.001);
/// # Ok::<(), visu_tility_drift::distance::DistanceError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permutation {
    /// How many shuffles, from 1 to 1,000,000; a level of `a` needs at least `1 / a - 1`.
    pub rounds: u32,
    /// The seed of the shuffles.
    pub seed: u64,
}

impl Default for Permutation {
    fn default() -> Self {
        Self { rounds: 999, seed: 0 }
    }
}

impl Permutation {
    /// Tests the Wasserstein-1 distance (see [`super::wasserstein_1`]).
    ///
    /// # Errors
    ///
    /// Fails when a sample is empty, a value is not finite, or `level` is not in (0, 1) or too small for so few
    /// rounds.
    pub fn wasserstein_1(
        self,
        reference: &[f64],
        current: &[f64],
        level: f64,
    ) -> Result<Verdict, DistanceError> {
        self.of_functions(reference, current, level, |runs, n, m| between_functions(runs, n, m, f64::abs))
    }

    /// Tests the energy distance (see [`super::energy`]).
    ///
    /// # Errors
    ///
    /// As [`Permutation::wasserstein_1`].
    pub fn energy(self, reference: &[f64], current: &[f64], level: f64) -> Result<Verdict, DistanceError> {
        self.of_functions(reference, current, level, |runs, n, m| {
            sqrt(2.0 * between_functions(runs, n, m, |d| d * d))
        })
    }

    /// Tests the unbiased squared maximum mean discrepancy of vectors (see [`super::mmd2`]).
    ///
    /// # Errors
    ///
    /// As [`super::mmd2`] and [`Permutation::wasserstein_1`]; when a set has fewer than two vectors, or both
    /// together have more than 2,000.
    pub fn mmd2(
        self,
        reference: &[f64],
        current: &[f64],
        dimension: usize,
        gamma: f64,
        level: f64,
    ) -> Result<Verdict, DistanceError> {
        let rank = self.rank(level)?;
        let x = vectors("reference", reference, dimension)?;
        let y = vectors("current", current, dimension)?;
        check_gamma(gamma)?;
        let (n, m) = (x.len() / dimension, y.len() / dimension);
        for (sample, found) in [("reference", n), ("current", m)] {
            if found < 2 {
                return Err(DistanceError::TooFew { sample, found, least: 2 });
            }
        }
        if n + m > MAX_VECTORS {
            return Err(DistanceError::TooMany { found: n + m, most: MAX_VECTORS });
        }
        let rows: Vec<&[f64]> = x.chunks_exact(dimension).chain(y.chunks_exact(dimension)).collect();
        // Row i holds the kernels with the rows after it.
        let kernels: Vec<Vec<f64>> = (0..rows.len())
            .map(|i| {
                let (head, tail) = rows.split_at(i + 1);
                let own = head.last().copied().unwrap_or_default();
                tail.iter().map(|b| exp(-gamma * squared_distance(own, b))).collect()
            })
            .collect();
        let statistic = |in_x: &[bool]| {
            let (mut own_x, mut own_y, mut cross) = (0.0, 0.0, 0.0);
            for (i, row) in kernels.iter().enumerate() {
                let (head, tail) = in_x.split_at(i + 1);
                let first = head.last().copied().unwrap_or_default();
                let (mut same, mut other) = (0.0, 0.0);
                for (&kernel, &second) in row.iter().zip(tail) {
                    *(if first == second { &mut same } else { &mut other }) += kernel;
                }
                *(if first { &mut own_x } else { &mut own_y }) += same;
                cross += other;
            }
            estimates(own_x, own_y, cross, n as f64, m as f64).unbiased.unwrap_or(0.0)
        };
        let mut labels: Vec<bool> = (0..n + m).map(|i| i < n).collect();
        let observed = statistic(&labels);
        let mut random = SplitMix64::new(self.seed);
        let shuffled = (0..self.rounds).map(|_| {
            random.shuffle(&mut labels);
            statistic(&labels)
        });
        Ok(verdict(observed, shuffled.collect(), rank, level))
    }

    fn of_functions(
        self,
        reference: &[f64],
        current: &[f64],
        level: f64,
        statistic: impl Fn(&[Tie], usize, usize) -> f64,
    ) -> Result<Verdict, DistanceError> {
        let rank = self.rank(level)?;
        let (x, y) = sorted_pair(reference, current, 1)?;
        let (n, m) = (x.len(), y.len());
        let mut runs = ties(&x, &y);
        let observed = statistic(&runs, n, m);
        let mut labels = vec![true; n];
        labels.resize(n + m, false);
        let mut random = SplitMix64::new(self.seed);
        let mut shuffled = Vec::with_capacity(self.rounds as usize);
        for _ in 0..self.rounds {
            random.shuffle(&mut labels);
            let mut dealt = labels.iter();
            for run in &mut runs {
                let count = run.x + run.y;
                run.x = dealt.by_ref().take(count).filter(|&&in_x| in_x).count();
                run.y = count - run.x;
            }
            shuffled.push(statistic(&runs, n, m));
        }
        Ok(verdict(observed, shuffled, rank, level))
    }

    /// How many shuffles may be as far as the observed distance at this level, the distance itself counted.
    fn rank(self, level: f64) -> Result<usize, DistanceError> {
        let rounds = self.rounds;
        let ok = (1..=1_000_000).contains(&rounds);
        DistanceError::check("rounds", f64::from(rounds), ok, "from 1 to 1000000")?;
        DistanceError::check("level", level, level > 0.0 && level < 1.0, "in (0, 1)")?;
        let rank = (level * f64::from(rounds + 1) + 1e-9) as usize;
        DistanceError::check("level", level, rank >= 1, "at least 1 / (rounds + 1)")?;
        Ok(rank)
    }
}

fn verdict(statistic: f64, mut shuffled: Vec<f64>, rank: usize, level: f64) -> Verdict {
    // Sums in another order differ in the last bits; what is equal but for them counts as equal.
    let slack = 1e-12 * statistic.abs();
    let as_far = shuffled.iter().filter(|&&other| other >= statistic - slack).count();
    let p_value = (as_far + 1) as f64 / (shuffled.len() + 1) as f64;
    shuffled.sort_unstable_by(|a, b| b.total_cmp(a));
    // `rank - 1` shuffles may be as far: the distance must pass the next.
    let passed = shuffled.get(rank - 1).copied().unwrap_or(0.0);
    let threshold = passed + (2e-12 * passed.abs()).max(f64::MIN_POSITIVE);
    Verdict { statistic, threshold, p_value, level }
}
