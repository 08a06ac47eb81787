//! Distances between distribution functions in the values' own units.

use super::DistanceError;
use super::sample::{Tie, sorted_pair, ties};
use crate::math::sqrt;

/// Returns the Wasserstein-1 (earth mover's) distance of two samples: the area between their distribution
/// functions, exact for unequal sizes and ties, in the values' units.
///
/// Cost: two sorts. A shift of all values by `d` gives `|d|`. For a threshold see
/// [`super::Permutation::wasserstein_1`].
///
/// # Examples
///
/// ```
/// use visu_tility_drift::distance::wasserstein_1;
///
/// assert_eq!(wasserstein_1(&[0.0, 1.0, 3.0], &[5.0, 6.0, 8.0]), Ok(5.0));
/// ```
///
/// # Errors
///
/// Fails when a sample is empty or a value is not finite.
pub fn wasserstein_1(reference: &[f64], current: &[f64]) -> Result<f64, DistanceError> {
    let (x, y) = sorted_pair(reference, current, 1)?;
    Ok(between_functions(&ties(&x, &y), x.len(), y.len(), f64::abs))
}

/// Returns the energy distance of two samples, `sqrt(2 E|X-Y| - E|X-X'| - E|Y-Y'|)`, in the square root of
/// the values' units (Székely and Rizzo; as scipy).
///
/// # Errors
///
/// Fails when a sample is empty or a value is not finite.
pub fn energy(reference: &[f64], current: &[f64]) -> Result<f64, DistanceError> {
    let (x, y) = sorted_pair(reference, current, 1)?;
    Ok(sqrt(2.0 * between_functions(&ties(&x, &y), x.len(), y.len(), |d| d * d)))
}

/// Integrates `measure` of the difference of the two distribution functions over the values.
pub(super) fn between_functions(ties: &[Tie], n: usize, m: usize, measure: impl Fn(f64) -> f64) -> f64 {
    let (n, m) = (n as f64, m as f64);
    let (mut below_x, mut below_y, mut sum) = (0_usize, 0_usize, 0.0);
    for (tie, next) in ties.iter().zip(ties.iter().skip(1)) {
        below_x += tie.x;
        below_y += tie.y;
        sum += measure(below_x as f64 / n - below_y as f64 / m) * (next.value - tie.value);
    }
    sum
}
