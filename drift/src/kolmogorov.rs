//! The two-sample Kolmogorov-Smirnov test: how far two empirical distributions are apart, and how often
//! chance alone puts them as far.

mod lattice;
mod limit;

use alloc::vec::Vec;

use crate::Direction;

/// The largest sample for which [`KolmogorovSmirnov::p_value`] is exact.
const EXACT_UP_TO: u64 = 10_000;

/// Beyond this many steps between 0 and 1 no paths are counted.
const LARGE: u64 = 1 << 31;

/// The two-sample Kolmogorov-Smirnov test: the statistic, where it is reached, and its p-values.
///
/// Use it for two samples of independent values from continuous distributions; it sees any difference of
/// shape, and is weakest in the tails. With ties the p-values are upper bounds (the test is conservative).
/// For a stream, [`crate::Kswin`] keeps the statistic without sorting again.
///
/// With the empirical distribution functions `F` of the first sample and `G` of the second,
/// `D = max over v of |F(v) - G(v)|`. Tied values count on both sides before they are compared.
///
/// # Cost
///
/// [`KolmogorovSmirnov::new`] sorts both samples. An exact p-value takes O(n) steps for equal sizes and at
/// most `n m` steps, with `min(n, m)` numbers of memory, for others; an asymptotic one up to some
/// milliseconds.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Direction, KolmogorovSmirnov};
///
/// let before = [0.61, 0.29, 0.06, 0.59, -1.73, -0.74, 0.51, -0.56, 0.39, 1.64];
/// let after = [0.88, 1.25, 2.01, 1.53, 0.71, 1.12, 2.64, 1.96, 0.98, 1.43];
/// let test = KolmogorovSmirnov::new(&before, &after).expect("neither sample is empty");
/// assert_eq!((test.statistic(), test.direction(), test.location()), (0.9, Direction::Up, 0.61));
/// // 2 (20! / (1! 19!)) / (20! / (10! 10!))
/// assert!((test.p_exact().unwrap() - 40.0 / 184_756.0).abs() < 1e-15);
/// ```
///
/// # Edges
///
/// `NaN`s are left out; infinities are the largest and smallest values. A sample without values gives no
/// test. Two equal samples have `D = 0` and p = 1.
///
/// # References
///
/// Hodges, "The significance probability of the Smirnov two-sample test", Arkiv för Matematik 3 (1958)
/// (counting lattice paths); Viehmann, "Numerically more stable computation of the p-values for the
/// two-sample Kolmogorov-Smirnov test", arXiv:2102.08037 (counting those outside); Simard and L'Ecuyer,
/// "Computing the two-sided Kolmogorov-Smirnov distribution", J. Statistical Software 39 (2011) (the
/// one-sample distribution behind [`KolmogorovSmirnov::p_asymptotic`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KolmogorovSmirnov {
    sizes: (u64, u64),
    /// The largest difference times both sizes.
    gap: u128,
    direction: Direction,
    location: f64,
}

impl KolmogorovSmirnov {
    /// Compares two samples in any order; nothing when one of them has no values.
    pub fn new(first: &[f64], second: &[f64]) -> Option<Self> {
        let sorted = |sample: &[f64]| {
            let mut sample: Vec<f64> = sample.iter().copied().filter(|value| !value.is_nan()).collect();
            sample.sort_unstable_by(f64::total_cmp);
            sample
        };
        Self::of_sorted(&sorted(first), &sorted(second))
    }

    /// Compares two samples in ascending order without `NaN`s; nothing when one of them has no values.
    ///
    /// Samples in another order give a statistic without meaning.
    pub fn of_sorted(first: &[f64], second: &[f64]) -> Option<Self> {
        let sizes = (first.len() as u64, second.len() as u64);
        // Each value of one sample moves the difference by the size of the other.
        let (up, down) = (i128::from(sizes.1), i128::from(sizes.0));
        let mut rest = (first.iter().peekable(), second.iter().peekable());
        let (mut apart, mut above, mut below) = (0_i128, (0_i128, 0.0), (0_i128, 0.0));
        let mut at = match (first.first(), second.first()) {
            (Some(a), Some(b)) => a.min(*b),
            _ => return None,
        };
        loop {
            while rest.0.next_if(|value| **value <= at).is_some() {
                apart += up;
            }
            while rest.1.next_if(|value| **value <= at).is_some() {
                apart -= down;
            }
            if apart > above.0 {
                above = (apart, at);
            } else if apart < below.0 {
                below = (apart, at);
            }
            at = match (rest.0.peek(), rest.1.peek()) {
                (Some(a), Some(b)) => a.min(**b),
                // When one sample has ended, the difference only shrinks.
                _ => break,
            };
        }
        let (gap, location, direction) = if above.0 == 0 && below.0 == 0 {
            (0, at, Direction::Unknown)
        } else if -below.0 > above.0 {
            (-below.0, below.1, Direction::Down)
        } else {
            (above.0, above.1, Direction::Up)
        };
        Some(Self { sizes, gap: gap.unsigned_abs(), direction, location: location + 0.0 })
    }

    /// Returns the greatest distance `D` of the two distribution functions, in [0, 1].
    pub fn statistic(&self) -> f64 {
        self.gap as f64 / (self.sizes.0 as f64 * self.sizes.1 as f64)
    }

    /// Says which way the second sample lies from the first where they are farthest apart:
    /// [`Direction::Up`] when more of the first sample is at or below [`KolmogorovSmirnov::location`].
    pub const fn direction(&self) -> Direction {
        self.direction
    }

    /// Returns the smallest value at which the distance is reached.
    pub const fn location(&self) -> f64 {
        self.location
    }

    /// Returns the sizes of the first and the second sample.
    pub const fn sizes(&self) -> (u64, u64) {
        self.sizes
    }

    /// Returns the two-sided p-value: exact when no sample has more than 10,000 values, else asymptotic.
    ///
    /// The rule is that of scipy's `method="auto"`.
    pub fn p_value(&self) -> f64 {
        if self.sizes.0.max(self.sizes.1) > EXACT_UP_TO {
            return self.p_asymptotic();
        }
        self.p_exact().unwrap_or_else(|| self.p_asymptotic())
    }

    /// Returns the probability that two samples of these sizes from one continuous distribution are at
    /// least as far apart; nothing when the least common multiple of the sizes is 2^31 or more.
    ///
    /// Agrees with scipy's `method="exact"` to a relative 1e-12.
    pub fn p_exact(&self) -> Option<f64> {
        let (n, m) = self.sizes;
        let small = n.max(m) < LARGE && lattice::steps(n, m) < LARGE;
        small.then(|| lattice::p_value(n, m, (self.gap / u128::from(lattice::gcd(n, m))) as u64))
    }

    /// Returns the p-value of one sample of `n m / (n + m)` values (rounded, ties to even) against a known
    /// distribution at the same distance.
    ///
    /// Agrees with scipy's `method="asymp"` to about 1e-9.
    pub fn p_asymptotic(&self) -> f64 {
        let (n, m) = (self.sizes.0 as f64, self.sizes.1 as f64);
        limit::p_value(limit::round_to_even(n * m / (n + m)).max(1), self.statistic())
    }

    /// Returns the smallest statistic that two samples of these sizes can have with an exact p-value of
    /// at most `alpha`; nothing when even the largest, 1, has a greater one, or a size is 0 or above 10,000.
    ///
    /// Takes about 20 exact p-values: compute it once.
    pub fn critical(first: u64, second: u64, alpha: f64) -> Option<f64> {
        if first.min(second) == 0 || first.max(second) > EXACT_UP_TO {
            return None;
        }
        let steps = lattice::steps(first, second);
        let least = lattice::critical(first, second, alpha);
        (least <= steps).then(|| least as f64 / steps as f64)
    }
}

/// Returns what scipy 1.17.1 says of two samples of `n` values that are `h / n` apart: the exact p-value, and
/// the asymptotic one where rounding takes the exact one above 1.
pub(crate) fn p_of_scipy(n: u64, h: u64) -> f64 {
    let count = n as f64;
    lattice::p_unless_rounded(n, h)
        .unwrap_or_else(|| limit::p_value(limit::round_to_even(count / 2.0).max(1), h as f64 / count))
}

pub(crate) use lattice::{critical as critical_steps, p_value as p_of_steps, steps};
