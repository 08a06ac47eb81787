//! Maximum mean discrepancy with the Gaussian kernel.

use alloc::vec::Vec;

use super::DistanceError;
use super::sample::checked;
use crate::math::exp;
use crate::sorted;

/// The two estimates of the squared maximum mean discrepancy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mmd2 {
    /// With each vector's kernel with itself; never below 0.
    pub biased: f64,
    /// Without; its mean is 0 when nothing differs. Nothing for samples of one vector.
    pub unbiased: Option<f64>,
}

/// Returns the squared maximum mean discrepancy of two sets of vectors under the kernel
/// `exp(-gamma |x - y|^2)` (Gretton et al., JMLR 13, 2012, equations 3 and 5).
///
/// The vectors lie one after another; numbers are vectors of dimension 1. Cost: a kernel for each pair. See
/// [`median_gamma`] for a bandwidth, [`super::Permutation::mmd2`] for a threshold, and
/// [`crate::OnlineMmd`] for streams.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::distance::mmd2;
///
/// let mmd = mmd2(&[0.0, 0.0, 1.0, 0.0], &[3.0, 1.0, 4.0, 1.0], 2, 0.5)?;
/// assert!((mmd.biased - 1.558_6).abs() < 1e-4);
/// # Ok::<(), visu_tility_drift::distance::DistanceError>(())
/// ```
///
/// # Errors
///
/// Fails when a set is empty or not a multiple of `dimension`, a component is not finite, or `gamma` is not
/// positive and finite.
pub fn mmd2(reference: &[f64], current: &[f64], dimension: usize, gamma: f64) -> Result<Mmd2, DistanceError> {
    let (x, y) = (vectors("reference", reference, dimension)?, vectors("current", current, dimension)?);
    check_gamma(gamma)?;
    let kernel = |a: &[f64], b: &[f64]| exp(-gamma * squared_distance(a, b));
    let own = |v: &[f64]| -> f64 {
        let rows = v.chunks_exact(dimension);
        rows.clone()
            .enumerate()
            .map(|(i, a)| rows.clone().skip(i + 1).map(|b| kernel(a, b)).sum::<f64>())
            .sum()
    };
    let cross: f64 =
        x.chunks_exact(dimension).map(|a| y.chunks_exact(dimension).map(|b| kernel(a, b)).sum::<f64>()).sum();
    let (n, m) = ((x.len() / dimension) as f64, (y.len() / dimension) as f64);
    Ok(estimates(own(&x), own(&y), cross, n, m))
}

/// Puts the estimates together from the sums over pairs within and across.
pub(super) fn estimates(own_x: f64, own_y: f64, cross: f64, n: f64, m: f64) -> Mmd2 {
    let between = 2.0 * cross / (n * m);
    let biased = ((2.0 * own_x + n) / (n * n) + (2.0 * own_y + m) / (m * m) - between).max(0.0);
    let unbiased =
        (n > 1.0 && m > 1.0).then(|| 2.0 * own_x / (n * (n - 1.0)) + 2.0 * own_y / (m * (m - 1.0)) - between);
    Mmd2 { biased, unbiased }
}

/// Returns `1 / (2 s^2)` for the median distance `s` of the vectors (the median heuristic), from the first 500
/// of them.
///
/// # Errors
///
/// As [`mmd2`], and when the median distance is 0.
pub fn median_gamma(values: &[f64], dimension: usize) -> Result<f64, DistanceError> {
    let values = vectors("reference", values, dimension)?;
    let rows: Vec<&[f64]> = values.chunks_exact(dimension).take(500).collect();
    let mut squares = Vec::with_capacity(rows.len() * rows.len() / 2);
    for (i, a) in rows.iter().enumerate() {
        squares.extend(rows.iter().skip(i + 1).map(|b| squared_distance(a, b)));
    }
    squares.sort_unstable_by(f64::total_cmp);
    match sorted::median(&squares) {
        Some(square) if square > 1e-300 && square < 1e300 => Ok(0.5 / square),
        _ => Err(DistanceError::Constant),
    }
}

pub(super) fn check_gamma(gamma: f64) -> Result<(), DistanceError> {
    DistanceError::check("gamma", gamma, gamma > 0.0 && gamma < f64::INFINITY, "above 0 and finite")
}

pub(super) fn vectors(
    sample: &'static str,
    values: &[f64],
    dimension: usize,
) -> Result<Vec<f64>, DistanceError> {
    if dimension == 0 || !values.len().is_multiple_of(dimension) {
        return Err(DistanceError::Dimension { length: values.len(), dimension });
    }
    checked(sample, values, dimension)
}

pub(super) fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
