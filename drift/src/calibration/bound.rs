//! What a history says of the good level, with a stated confidence.

use crate::ParamError;
use crate::calibration::special::beta_quantile;
use crate::math::{ln, sqrt};

/// An estimate of a level and a one-sided bound of it.
///
/// Give the bound to a detector that takes the good level as known, never the estimate.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Bound {
    /// The share or the mean in the history.
    pub estimate: f64,
    /// What the true level is on the good side of.
    pub bound: f64,
    /// With which probability, over histories.
    pub confidence: f64,
    /// Number of values (or of batches, where values resemble their neighbours) that say so.
    pub values: u64,
}

impl Bound {
    /// Looks at the same level from the other side: of `1 - x`.
    fn mirrored(self) -> Self {
        Self { estimate: 1.0 - self.estimate, bound: 1.0 - self.bound, ..self }
    }
}

fn check_confidence(confidence: f64) -> Result<(), ParamError> {
    let ok = (0.5..=1.0 - 1e-9).contains(&confidence);
    ParamError::check("confidence", confidence, ok, "in [0.5, 1)")
}

/// Bounds a probability from above by the number of ones among independent values (Clopper and Pearson).
///
/// Exact: the bound is below the true probability with a chance of at most `1 - confidence`. With no ones
/// among `n` it is about `3 / n` at 95 %.
///
/// # Errors
///
/// Fails when `n` is 0, `ones` is above `n`, or `confidence` is not in [0.5, 1).
///
/// # References
///
/// Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the
/// binomial", Biometrika 26 (1934).
pub fn upper_share(ones: u64, n: u64, confidence: f64) -> Result<Bound, ParamError> {
    check_confidence(confidence)?;
    ParamError::check("n", n as f64, (1..=1 << 53).contains(&n), "at least 1")?;
    ParamError::check("ones", ones as f64, ones <= n, "at most n")?;
    let estimate = ones as f64 / n as f64;
    let bound = if ones == n { 1.0 } else { beta_quantile(confidence, ones as f64 + 1.0, (n - ones) as f64) };
    Ok(Bound { estimate, bound, confidence, values: n })
}

/// Bounds a probability from below by the number of ones; see [`upper_share`].
///
/// # Errors
///
/// As [`upper_share`].
pub fn lower_share(ones: u64, n: u64, confidence: f64) -> Result<Bound, ParamError> {
    ParamError::check("ones", ones as f64, ones <= n, "at most n")?;
    Ok(upper_share(n - ones, n, confidence)?.mirrored())
}

/// Bounds the mean of independent values in [0, 1] from above, whatever their law (Maurer and Pontil).
///
/// `mean + sqrt(2 V ln(2 / d) / n) + 7 ln(2 / d) / (3 (n - 1))`, with the sample variance `V` and
/// `d = 1 - confidence`; at most 1. Values are taken within [0, 1], those not finite are left out.
///
/// # Errors
///
/// Fails with fewer than two values, or when `confidence` is not in [0.5, 1).
///
/// # References
///
/// Maurer and Pontil, "Empirical Bernstein Bounds and Sample Variance Penalization", COLT 2009, theorem 4.
pub fn upper_mean(values: &[f64], confidence: f64) -> Result<Bound, ParamError> {
    check_confidence(confidence)?;
    let (mut n, mut mean, mut squares) = (0_u64, 0.0, 0.0);
    for value in values.iter().filter(|value| value.is_finite()).map(|value| value.clamp(0.0, 1.0)) {
        n += 1;
        let before = value - mean;
        mean += before / n as f64;
        squares += before * (value - mean);
    }
    ParamError::check("values", n as f64, n >= 2, "at least 2 that are finite")?;
    let (count, rest) = (n as f64, (n - 1) as f64);
    let log = ln(2.0 / (1.0 - confidence));
    let margin = sqrt(2.0 * squares / rest * log / count) + 7.0 * log / (3.0 * rest);
    Ok(Bound { estimate: mean, bound: (mean + margin).min(1.0), confidence, values: n })
}

/// Bounds the mean of independent values in [0, 1] from below; see [`upper_mean`].
///
/// # Errors
///
/// As [`upper_mean`].
pub fn lower_mean(values: &[f64], confidence: f64) -> Result<Bound, ParamError> {
    // The bound depends on the values through mean and variance only, and the variance is the same mirrored.
    let up = upper_mean(values, confidence)?;
    let margin = up.bound - up.estimate;
    if up.bound < 1.0 {
        return Ok(Bound { bound: (up.estimate - margin).max(0.0), ..up });
    }
    let finite = values.iter().filter(|value| value.is_finite());
    let mirrored: alloc::vec::Vec<f64> = finite.map(|value| 1.0 - value.clamp(0.0, 1.0)).collect();
    Ok(upper_mean(&mirrored, confidence)?.mirrored())
}

/// Bounds from above the chance that a later value exceeds the one of rank `rank` (from 1) among `n`
/// independent values of one law: the beta law's quantile, exact for a continuous law and an upper bound
/// for any other.
///
/// # Errors
///
/// Fails when `rank` is not in `1..=n`, or `confidence` is not in [0.5, 1).
pub fn exceedance_bound(n: u64, rank: u64, confidence: f64) -> Result<Bound, ParamError> {
    check_confidence(confidence)?;
    ParamError::check("rank", rank as f64, (1..=n.min(1 << 53)).contains(&rank), "in 1..=n")?;
    let above = (n - rank + 1) as f64;
    let bound = beta_quantile(confidence, above, rank as f64);
    Ok(Bound { estimate: above / (n as f64 + 1.0), bound, confidence, values: n })
}
