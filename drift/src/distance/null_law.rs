//! How a distance of two histograms is distributed when nothing has changed.

use alloc::vec;
use alloc::vec::Vec;

use super::binned::totals;
use super::cell::moments;
use super::{BinnedDistance, DistanceError};
use crate::math::{exp, ln, sqrt};
use crate::special::{chi2_quantile, chi2_sf, ln_gamma, normal_sf, power, sin_cos};

/// Larger samples are taken as this large, so that differences of counts stay exact enough.
const MAX_SIZE: f64 = 1e12;

/// The law of a [`BinnedDistance`] between two histograms of given sizes over given bins, when both come from one
/// distribution.
///
/// # How
///
/// All but two of the distances are, for large counts, a multiple of a chi-square variable with B - 1 degrees of
/// freedom: `1/N + 1/M` times 1 for PSI, 1/2 for KL, 1/8 for the squared Hellinger distance and the
/// Jensen-Shannon divergence in nats; 1 for chi-square and G themselves. For the counts that windows have this is
/// too small: at 100 values in 30 bins by half and more for PSI. So the mean of the sum over the bins is computed
/// exactly from the binomial counts of each bin, its variance likewise with the correction for the fixed totals
/// that holds for large counts, and a multiple of a chi-square variable with the same two moments is taken
/// (Satterthwaite). It tends to the law above.
///
/// The total variation distance is treated alike with a multiple of a chi variable, L-infinity by the union over
/// the bins of skew-corrected normal tails (Cornish and Fisher), which is a little above the level.
///
/// Measured over 4,000 pairs of equal samples each, for 100 to 5,000 values in 5 to 30 bins, even and uneven (this
/// crate's test `null_law` repeats a part): 0.039 to 0.059 at level 0.05, 0.004 to 0.018 at level 0.01, the upper
/// end for PSI and KL with bins that are hit less than once in a hundred values. Far tails are extrapolated by the
/// same law, and there it is wrong: at level 1e-5, of 500 and 100 values in 10 even bins, 27 times the level for PSI and
/// KL, 12 times for Hellinger, 1.6 times for Jensen-Shannon; [`BinnedDistance::threshold_of_table`] is for that.
///
/// # Cost
///
/// Up to 1,100 evaluations for each different share of bins, once: about 10 us each. The law itself keeps a few
/// numbers.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::distance::{BinnedDistance, NullLaw};
///
/// let law = NullLaw::uniform(BinnedDistance::Psi, 100, 100, 10)?;
/// // The rule of thumb "above 0.1" alarms on nine of ten pairs of windows of 100 values.
/// assert!(law.p_value(0.1) > 0.8 && law.threshold(0.01)? > 0.45);
/// # Ok::<(), visu_tility_drift::distance::DistanceError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NullLaw {
    distance: BinnedDistance,
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    /// `scale` times a chi-square variable, or its root, with `degrees`.
    Scaled { scale: f64, degrees: f64 },
    /// For each different share: deviation, skewness and excess kurtosis of the difference, and how many bins.
    Largest(Vec<Tail>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Tail {
    deviation: f64,
    skewness: f64,
    kurtosis: f64,
    bins: f64,
}

impl NullLaw {
    /// Builds the law for `bins` equally likely bins and samples of `n_ref` and `n_cur` values.
    ///
    /// # Errors
    ///
    /// Fails when a size is 0 or `bins` is below 2 or above 65,536.
    pub fn uniform(
        distance: BinnedDistance,
        n_ref: u64,
        n_cur: u64,
        bins: usize,
    ) -> Result<Self, DistanceError> {
        let ok = (2..=super::edges::MAX_BINS).contains(&bins);
        DistanceError::check("bins", bins as f64, ok, "from 2 to 65536")?;
        Self::of(distance, &vec![1; bins], n_ref, n_cur)
    }

    /// Builds the law for the shares of a histogram, usually the reference's, and samples of `n_ref` and `n_cur`
    /// values. Bins without counts are taken as never hit, sizes above 10^12 as 10^12.
    ///
    /// # Errors
    ///
    /// Fails when a size is 0 or fewer than two bins have counts.
    pub fn of(
        distance: BinnedDistance,
        counts: &[u64],
        n_ref: u64,
        n_cur: u64,
    ) -> Result<Self, DistanceError> {
        if n_ref == 0 {
            return Err(DistanceError::Empty { histogram: "reference" });
        }
        if n_cur == 0 {
            return Err(DistanceError::Empty { histogram: "current" });
        }
        let total: f64 = counts.iter().map(|&count| count as f64).sum();
        let mut shares: Vec<f64> =
            counts.iter().filter(|&&count| count > 0).map(|&count| count as f64 / total).collect();
        if shares.len() < 2 {
            return Err(DistanceError::TooFewBins { found: shares.len(), least: 2 });
        }
        shares.sort_unstable_by(f64::total_cmp);
        let mut groups: Vec<(f64, f64)> = Vec::new();
        for share in shares {
            match groups.last_mut() {
                Some((last, bins)) if *last == share => *bins += 1.0,
                _ => groups.push((share, 1.0)),
            }
        }
        let (n, m) = ((n_ref as f64).min(MAX_SIZE), (n_cur as f64).min(MAX_SIZE));
        let shape = match distance {
            BinnedDistance::LInfinity => Shape::Largest(largest(&groups, n, m)),
            _ => scaled(distance, &groups, n, m),
        };
        Ok(Self { distance, shape })
    }

    /// Builds the law for the pooled shares of two histograms.
    ///
    /// # Errors
    ///
    /// As [`BinnedDistance::between`]; and when fewer than two bins have counts.
    pub fn pooled(
        distance: BinnedDistance,
        reference: &[u64],
        current: &[u64],
    ) -> Result<Self, DistanceError> {
        totals(reference, current)?;
        let sum = |counts: &[u64]| counts.iter().fold(0_u64, |sum, &count| sum.saturating_add(count));
        let pooled: Vec<u64> = reference.iter().zip(current).map(|(&a, &b)| a.saturating_add(b)).collect();
        Self::of(distance, &pooled, sum(reference), sum(current))
    }

    /// Returns the distance that the law belongs to.
    pub const fn distance(&self) -> BinnedDistance {
        self.distance
    }

    /// Returns what the distance reaches with probability `level`.
    ///
    /// # Errors
    ///
    /// Fails when `level` is not in (0, 1).
    pub fn threshold(&self, level: f64) -> Result<f64, DistanceError> {
        DistanceError::check("level", level, level > 0.0 && level < 1.0, "in (0, 1)")?;
        Ok((match &self.shape {
            Shape::Scaled { scale, degrees } => self.of_sum(scale * chi2_quantile(level, *degrees)),
            Shape::Largest(tails) => quantile_of_largest(tails, level),
        })
        .max(f64::MIN_POSITIVE))
    }

    /// Returns the probability of a distance of at least `statistic`.
    pub fn p_value(&self, statistic: f64) -> f64 {
        match &self.shape {
            Shape::Scaled { scale, degrees } => {
                let sum = match self.distance {
                    BinnedDistance::JensenShannon => statistic * statistic * core::f64::consts::LN_2,
                    BinnedDistance::Hellinger | BinnedDistance::TotalVariation => statistic * statistic,
                    _ => statistic,
                };
                chi2_sf(sum / scale, *degrees)
            }
            Shape::Largest(tails) => tail_of_largest(tails, statistic),
        }
    }

    /// Turns the sum over the bins into the distance.
    fn of_sum(&self, sum: f64) -> f64 {
        match self.distance {
            BinnedDistance::JensenShannon => sqrt(sum / core::f64::consts::LN_2),
            BinnedDistance::Hellinger | BinnedDistance::TotalVariation => sqrt(sum),
            _ => sum,
        }
    }
}

/// Fits the multiple of a chi-square variable to `groups` of (share, number of bins).
fn scaled(distance: BinnedDistance, groups: &[(f64, f64)], n: f64, m: f64) -> Shape {
    let (mut mean, mut variance) = (0.0, 0.0);
    for &(share, bins) in groups {
        let (first, second) = moments(distance, share, n, m);
        mean += bins * first;
        variance += bins * second;
    }
    let variance = (variance * dependence(distance, groups)).max(f64::MIN_POSITIVE);
    if distance == BinnedDistance::TotalVariation {
        let square = variance + mean * mean;
        let degrees = chi_degrees(mean * mean / square);
        return Shape::Scaled { scale: square / degrees, degrees };
    }
    // Shares below a floor leave nothing that could differ.
    let mean = mean.max(1e-100);
    let degrees = (2.0 * mean * mean / variance).clamp(1e-3, 1e9);
    Shape::Scaled { scale: mean / degrees, degrees }
}

/// How much the fixed totals change the variance of the sum against that of independent bins, for large counts.
fn dependence(distance: BinnedDistance, groups: &[(f64, f64)]) -> f64 {
    let bins: f64 = groups.iter().map(|(_, bins)| bins).sum();
    if distance != BinnedDistance::TotalVariation {
        let own: f64 = groups.iter().map(|(share, bins)| bins * (1.0 - share) * (1.0 - share)).sum();
        return (bins - 1.0) / own;
    }
    // Of normal x, y with correlation r: cov(|x|, |y|) = 2/pi (sqrt(1 - r^2) + r asin r - 1).
    let two_pi = core::f64::consts::FRAC_2_PI;
    let (mut own, mut cross) = (0.0, 0.0);
    for (i, &(p, in_p)) in groups.iter().enumerate() {
        let vp = p * (1.0 - p);
        own += in_p * vp * (1.0 - two_pi);
        for (j, &(q, in_q)) in groups.iter().enumerate() {
            let pairs = if i == j { in_p * (in_p - 1.0) } else { in_p * in_q };
            let vq = q * (1.0 - q);
            let r = (p * q / sqrt(vp * vq)).min(1.0);
            cross += pairs * sqrt(vp * vq) * two_pi * (sqrt(1.0 - r * r) + r * arc_sine(r) - 1.0);
        }
    }
    (own + cross).max(own * 1e-3) / own
}

/// The arc sine of a number from 0 to 1.
fn arc_sine(x: f64) -> f64 {
    if x > 0.5 {
        return core::f64::consts::FRAC_PI_2 - 2.0 * arc_sine(sqrt((1.0 - x) / 2.0));
    }
    let mut angle = x;
    for _ in 0..6 {
        let (sine, cosine) = sin_cos(angle);
        angle -= (sine - x) / cosine;
    }
    angle
}

/// The degrees of freedom at which a chi variable has this ratio of squared mean to mean square.
fn chi_degrees(ratio: f64) -> f64 {
    let of = |v: f64| 2.0 / v * exp(2.0 * (ln_gamma(v / 2.0 + 0.5) - ln_gamma(v / 2.0)));
    let (mut low, mut high) = (ln(0.01_f64), ln(1e7_f64));
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if of(exp(middle)) < ratio {
            low = middle;
        } else {
            high = middle;
        }
    }
    exp(high)
}

fn largest(groups: &[(f64, f64)], n: f64, m: f64) -> Vec<Tail> {
    let tail = |&(share, bins): &(f64, f64)| {
        let spread = share * (1.0 - share);
        let variance = spread * (1.0 / n + 1.0 / m);
        let third = spread * (1.0 - 2.0 * share) * (1.0 / (m * m) - 1.0 / (n * n));
        let fourth = spread * (1.0 - 6.0 * spread) * (1.0 / power(m, 3.0) + 1.0 / power(n, 3.0));
        let deviation = sqrt(variance);
        Tail {
            deviation,
            skewness: third / (variance * deviation),
            kurtosis: fourth / (variance * variance),
            bins,
        }
    };
    // A share that rounds to 1 has no spread.
    groups.iter().filter(|(share, _)| *share < 1.0).map(tail).collect()
}

impl Tail {
    /// The difference that is `z` deviations out, corrected for skewness and kurtosis (Cornish and Fisher); never
    /// nearer than without, as the expansion is for small corrections.
    fn at(&self, z: f64) -> f64 {
        let (s, k, z2) = (self.skewness.abs(), self.kurtosis, z * z);
        let far = z + (z2 - 1.0) * s / 6.0 + z * (z2 - 3.0) * k / 24.0 - z * (2.0 * z2 - 5.0) * s * s / 36.0;
        self.deviation * far.max(z)
    }

    /// The probability of a difference of at least `size`, of either sign, in any of the bins.
    fn beyond(&self, size: f64) -> f64 {
        let (mut low, mut high) = (0.0_f64, (size / self.deviation).min(40.0));
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            if self.at(middle) < size {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.bins * 2.0 * normal_sf(low)
    }
}

/// The union over the bins. Of two bins, one difference is the other's.
fn tail_of_largest(tails: &[Tail], size: f64) -> f64 {
    let bins: f64 = tails.iter().map(|tail| tail.bins).sum();
    let sum: f64 = tails.iter().map(|tail| tail.beyond(size)).sum();
    (if bins == 2.0 { sum / 2.0 } else { sum }).min(1.0)
}

fn quantile_of_largest(tails: &[Tail], level: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if tail_of_largest(tails, middle) > level {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}
