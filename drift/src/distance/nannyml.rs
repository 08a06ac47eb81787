//! What `NannyML` 0.13.1 reports, for those who move over.
//!
//! Bins are numpy's `doane` of the reference; the share of current values outside them goes into one more bin,
//! in which the reference has nothing.

use alloc::vec::Vec;

use super::DistanceError;
use super::binned::{divergence_of_shares, hellinger_of_shares};
use super::edges::{count_left_closed, doane_edges};
use super::sample::checked;
use crate::math::sqrt;

/// Returns the Jensen-Shannon distance (base 2) of two samples of numbers.
///
/// # Errors
///
/// Fails when a sample is empty or a value is not finite.
pub fn jensen_shannon(reference: &[f64], current: &[f64]) -> Result<f64, DistanceError> {
    let shares = numbers(reference, current)?;
    Ok(sqrt(divergence_of_shares(shares.into_iter()) / core::f64::consts::LN_2))
}

/// Returns the Hellinger distance of two samples of numbers.
///
/// # Errors
///
/// As [`jensen_shannon`].
pub fn hellinger(reference: &[f64], current: &[f64]) -> Result<f64, DistanceError> {
    Ok(hellinger_of_shares(numbers(reference, current)?.into_iter()))
}

/// Returns the Jensen-Shannon distance (base 2) of two histograms of categories: those that the reference has
/// not are put together.
///
/// # Errors
///
/// As [`super::BinnedDistance::between`].
pub fn jensen_shannon_categorical(reference: &[u64], current: &[u64]) -> Result<f64, DistanceError> {
    let shares = categories(reference, current)?;
    Ok(sqrt(divergence_of_shares(shares.into_iter()) / core::f64::consts::LN_2))
}

/// Returns the Hellinger distance of two histograms of categories.
///
/// # Errors
///
/// As [`super::BinnedDistance::between`].
pub fn hellinger_categorical(reference: &[u64], current: &[u64]) -> Result<f64, DistanceError> {
    Ok(hellinger_of_shares(categories(reference, current)?.into_iter()))
}

fn numbers(reference: &[f64], current: &[f64]) -> Result<Vec<(f64, f64)>, DistanceError> {
    let (x, y) = (checked("reference", reference, 1)?, checked("current", current, 1)?);
    let edges = doane_edges(&x)?;
    let outside = |counted: u64, of: usize| of as u64 - counted;
    let (a, b) = (count_left_closed(&x, &edges), count_left_closed(&y, &edges));
    let out = outside(b.iter().sum(), y.len());
    Ok(with_rest(&a, &b, out, x.len() as f64, y.len() as f64))
}

fn categories(reference: &[u64], current: &[u64]) -> Result<Vec<(f64, f64)>, DistanceError> {
    let (n, m) = super::binned::totals(reference, current)?;
    let known = || reference.iter().zip(current).filter(|(a, _)| **a > 0);
    let (a, b): (Vec<u64>, Vec<u64>) = known().map(|(&a, &b)| (a, b)).unzip();
    let unknown = reference.iter().zip(current).filter(|(a, _)| **a == 0).map(|(_, &b)| b).sum();
    Ok(with_rest(&a, &b, unknown, n, m))
}

fn with_rest(a: &[u64], b: &[u64], rest: u64, n: f64, m: f64) -> Vec<(f64, f64)> {
    let known = a.iter().zip(b).map(|(&a, &b)| (a as f64 / n, b as f64 / m));
    known.chain((rest > 0).then_some((0.0, rest as f64 / m))).collect()
}
