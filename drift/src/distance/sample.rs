//! Samples as distances want them: checked, bounded, sorted.

use alloc::vec::Vec;

use super::DistanceError;
use crate::state::VALUE_LIMIT;

/// Checks that all values are finite and there are at least `least`, and keeps them within ±1e100.
pub(crate) fn checked(sample: &'static str, values: &[f64], least: usize) -> Result<Vec<f64>, DistanceError> {
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(DistanceError::NotFinite { sample, index });
    }
    if values.len() < least {
        return Err(DistanceError::TooFew { sample, found: values.len(), least });
    }
    Ok(values.iter().map(|value| value.clamp(-VALUE_LIMIT, VALUE_LIMIT) + 0.0).collect())
}

/// Checks both samples and sorts them.
pub(crate) fn sorted_pair(
    reference: &[f64],
    current: &[f64],
    least: usize,
) -> Result<(Vec<f64>, Vec<f64>), DistanceError> {
    let (mut x, mut y) = (checked("reference", reference, least)?, checked("current", current, least)?);
    x.sort_unstable_by(f64::total_cmp);
    y.sort_unstable_by(f64::total_cmp);
    Ok((x, y))
}

/// A run of equal values in two samples together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tie {
    pub(crate) value: f64,
    /// How many of the first sample, and of the second, have this value.
    pub(crate) x: usize,
    pub(crate) y: usize,
}

/// Merges two sorted samples into runs of equal values.
pub(crate) fn ties(x: &[f64], y: &[f64]) -> Vec<Tie> {
    let mut runs = Vec::new();
    let (mut x, mut y) = (x, y);
    while let Some(value) = match (x.first(), y.first()) {
        (Some(&a), Some(&b)) => Some(a.min(b)),
        (a, b) => a.or(b).copied(),
    } {
        let take = |s: &[f64]| s.iter().take_while(|&&v| v == value).count();
        let (in_x, in_y) = (take(x), take(y));
        x = x.get(in_x..).unwrap_or_default();
        y = y.get(in_y..).unwrap_or_default();
        runs.push(Tie { value, x: in_x, y: in_y });
    }
    runs
}

/// Returns the mean and the sum of squared deviations from it.
pub(crate) fn mean_and_squares(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares = values.iter().map(|x| (x - mean) * (x - mean)).sum();
    (mean, squares)
}
