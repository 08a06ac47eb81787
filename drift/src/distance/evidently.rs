//! What Evidently 0.7.23 reports, for those who move over.
//!
//! Numbers with more than 20 different reference values are cut into numpy's `sturges` bins of both samples
//! together, so the bins change with every window; others are categories. Zero shares become 1e-4, or a millionth
//! of the smallest share where that is at most 1e-4. Its thresholds are constants (0.1, or a p-value of 0.05):
//! they call nine of ten pairs of identical windows of 100 values drifted. Prefer [`super::NullLaw`].
//!
//! `t_test`, `ed` and `anderson` are [`super::student_t`], [`super::energy`] and [`super::anderson_darling`].
//! `empirical_mmd` and `TVD` there are permutation tests with numpy's generator, and not reproduced; see
//! [`super::Permutation`]. `ks` is the exact Kolmogorov-Smirnov test of this crate.

use alloc::vec::Vec;

use super::binned::divergence_of_shares;
use super::edges::{count_left_closed, sturges_edges};
use super::ranks::{Alternative, cramer_von_mises, cramer_von_mises_exact, mann_whitney, mann_whitney_exact};
use super::sample::{checked, mean_and_squares, sorted_pair, ties};
use super::{DistanceError, wasserstein_1};
use crate::math::{ln, sqrt};
use crate::special::{chi2_sf, normal_cdf};

/// Returns `psi` of two samples of numbers.
///
/// # Errors
///
/// Fails when a sample is empty or a value is not finite; so do all functions of this module for numbers.
pub fn psi(reference: &[f64], current: &[f64]) -> Result<f64, DistanceError> {
    Ok(psi_of(filled(numbers(reference, current)?)))
}

/// Returns `psi` of two histograms of categories.
///
/// # Errors
///
/// As [`super::BinnedDistance::between`]; so do all functions of this module for categories.
pub fn psi_categorical(reference: &[u64], current: &[u64]) -> Result<f64, DistanceError> {
    Ok(psi_of(filled(categories(reference, current)?)))
}

/// Returns `kl_div` of two samples of numbers.
///
/// # Errors
///
/// As [`psi`].
pub fn kullback_leibler(reference: &[f64], current: &[f64]) -> Result<f64, DistanceError> {
    Ok(kullback_leibler_of(&filled(numbers(reference, current)?)))
}

/// Returns `kl_div` of two histograms of categories.
///
/// # Errors
///
/// As [`psi_categorical`].
pub fn kullback_leibler_categorical(reference: &[u64], current: &[u64]) -> Result<f64, DistanceError> {
    Ok(kullback_leibler_of(&filled(categories(reference, current)?)))
}

/// Returns `jensenshannon` (base e, no filling) of two samples of numbers.
///
/// # Errors
///
/// As [`psi`].
pub fn jensen_shannon(reference: &[f64], current: &[f64]) -> Result<f64, DistanceError> {
    Ok(sqrt(divergence_of_shares(numbers(reference, current)?.into_iter())))
}

/// Returns `jensenshannon` (base e, no filling) of two histograms of categories.
///
/// # Errors
///
/// As [`psi_categorical`].
pub fn jensen_shannon_categorical(reference: &[u64], current: &[u64]) -> Result<f64, DistanceError> {
    Ok(sqrt(divergence_of_shares(categories(reference, current)?.into_iter())))
}

/// Returns `hellinger` of two samples of numbers, whose bins are those of the different values of both.
///
/// # Errors
///
/// As [`psi`].
pub fn hellinger(reference: &[f64], current: &[f64]) -> Result<f64, DistanceError> {
    let (x, y) = sorted_pair(reference, current, 1)?;
    let different: Vec<f64> = ties(&x, &y).iter().map(|tie| tie.value).collect();
    Ok(hellinger_of(binned(&x, &y, &sturges_edges(&different)?)))
}

/// Returns `hellinger` of two histograms of categories.
///
/// # Errors
///
/// As [`psi_categorical`].
pub fn hellinger_categorical(reference: &[u64], current: &[u64]) -> Result<f64, DistanceError> {
    Ok(hellinger_of(categories(reference, current)?))
}

/// Returns `wasserstein`: the distance divided by the reference's standard deviation, which is taken as at least
/// 0.001.
///
/// # Errors
///
/// As [`psi`].
pub fn wasserstein(reference: &[f64], current: &[f64]) -> Result<f64, DistanceError> {
    let distance = wasserstein_1(reference, current)?;
    let values = checked("reference", reference, 1)?;
    let (_, squares) = mean_and_squares(&values);
    Ok(distance / sqrt(squares / values.len() as f64).max(0.001))
}

/// Returns the p-value of `mannw`: one-sided, small when the reference is the smaller; exact where scipy is.
///
/// # Errors
///
/// As [`psi`].
pub fn mann_whitney_p(reference: &[f64], current: &[f64]) -> Result<f64, DistanceError> {
    let (x, y) = sorted_pair(reference, current, 1)?;
    let exact =
        x.len().min(y.len()) <= 8 && ties(&x, &y).len() == x.len() + y.len() && x.len() * y.len() <= 40_000;
    let test = if exact { mann_whitney_exact } else { mann_whitney };
    Ok(test(reference, current, Alternative::Less)?.p_value)
}

/// Returns the p-value of `cramer_von_mises`: exact up to 20 values, which scipy does too.
///
/// Evidently counts paths in half precision where both samples are so small that there are at most 65,504 paths
/// and those are more than the largest statistic; its p-value is then off in the third digit. Here it is not.
///
/// # Errors
///
/// As [`psi`]; and when a sample has fewer than two values.
pub fn cramer_von_mises_p(reference: &[f64], current: &[f64]) -> Result<f64, DistanceError> {
    let small = reference.len().max(current.len()) <= 20;
    let test = if small { cramer_von_mises_exact } else { cramer_von_mises };
    Ok(test(reference, current)?.p_value)
}

/// Returns the p-value of `chisquare` of two histograms of categories: the current counts against the reference's
/// shares taken as exact. It is 0 when a category is new.
///
/// # Errors
///
/// As [`psi_categorical`].
pub fn chi_square_p(reference: &[u64], current: &[u64]) -> Result<f64, DistanceError> {
    let (n, m) = super::binned::totals(reference, current)?;
    let used = || reference.iter().zip(current).filter(|(a, b)| **a > 0 || **b > 0);
    let statistic: f64 = used()
        .map(|(&a, &b)| {
            let (expected, off) = (a as f64 * m / n, b as f64 - a as f64 * m / n);
            if a == 0 { f64::INFINITY } else { off * off / expected }
        })
        .sum();
    let degrees = used().count().saturating_sub(1);
    Ok(if degrees == 0 { 1.0 } else { chi2_sf(statistic, degrees as f64) })
}

/// Returns the p-value of `z`: two shares, of the first category and of all others. Two-sided; 1 when all values
/// are of one category.
///
/// # Errors
///
/// As [`psi_categorical`].
pub fn z_p(reference: &[u64], current: &[u64]) -> Result<f64, DistanceError> {
    let (n, m) = super::binned::totals(reference, current)?;
    let first = reference.iter().zip(current).find(|(a, b)| **a > 0 || **b > 0);
    let (a, b) = first.map_or((0.0, 0.0), |(&a, &b)| (n - a as f64, m - b as f64));
    let share = (a + b) / (n + m);
    let variance = share * (1.0 - share) * (1.0 / n + 1.0 / m);
    let z = (a / n - b / m) / sqrt(variance);
    Ok(if variance > 0.0 { 2.0 * (1.0 - normal_cdf(z.abs())) } else { 1.0 })
}

/// Names the test that Evidently takes by itself for a column of numbers.
///
/// # Errors
///
/// As [`psi`].
pub fn default_test(reference: &[f64], current: &[f64]) -> Result<&'static str, DistanceError> {
    let (x, y) = sorted_pair(reference, current, 1)?;
    let different = ties(&x, &y).len();
    Ok(match (reference.len() <= 1_000, different) {
        (true, 0..=2) => "z",
        (true, 3..=5) => "chisquare",
        (true, _) => "ks",
        (false, 0..=5) => "jensenshannon",
        (false, _) => "wasserstein",
    })
}

fn numbers(reference: &[f64], current: &[f64]) -> Result<Vec<(f64, f64)>, DistanceError> {
    let (x, y) = sorted_pair(reference, current, 1)?;
    let ties = ties(&x, &y);
    if ties.iter().filter(|tie| tie.x > 0).count() > 20 {
        let both: Vec<f64> = x.iter().chain(&y).copied().collect();
        return Ok(binned(&x, &y, &sturges_edges(&both)?));
    }
    let (n, m) = (x.len() as f64, y.len() as f64);
    Ok(ties.iter().map(|tie| (tie.x as f64 / n, tie.y as f64 / m)).collect())
}

fn binned(x: &[f64], y: &[f64], edges: &[f64]) -> Vec<(f64, f64)> {
    let (n, m) = (x.len() as f64, y.len() as f64);
    let counts = count_left_closed(x, edges).into_iter().zip(count_left_closed(y, edges));
    counts.map(|(a, b)| (a as f64 / n, b as f64 / m)).collect()
}

fn categories(reference: &[u64], current: &[u64]) -> Result<Vec<(f64, f64)>, DistanceError> {
    let (n, m) = super::binned::totals(reference, current)?;
    let used = reference.iter().zip(current).filter(|(a, b)| **a > 0 || **b > 0);
    Ok(used.map(|(&a, &b)| (a as f64 / n, b as f64 / m)).collect())
}

/// Replaces shares of 0.
fn filled(shares: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let least = |shares: &mut dyn Iterator<Item = f64>| {
        let least = shares.filter(|&share| share > 0.0).fold(1.0, f64::min);
        if least <= 0.0001 { least / 1e6 } else { 0.0001 }
    };
    let p_fill = least(&mut shares.iter().map(|s| s.0));
    let q_fill = least(&mut shares.iter().map(|s| s.1));
    let fill = |share: f64, with: f64| if share == 0.0 { with } else { share };
    shares.into_iter().map(|(p, q)| (fill(p, p_fill), fill(q, q_fill))).collect()
}

fn psi_of(shares: Vec<(f64, f64)>) -> f64 {
    shares.into_iter().map(|(p, q)| (p - q) * ln(p / q)).sum()
}

fn kullback_leibler_of(shares: &[(f64, f64)]) -> f64 {
    let (p_sum, q_sum) = shares.iter().fold((0.0, 0.0), |(a, b), (p, q)| (a + p, b + q));
    shares.iter().map(|(p, q)| p / p_sum * ln(p / p_sum / (q / q_sum))).sum()
}

fn hellinger_of(shares: Vec<(f64, f64)>) -> f64 {
    let affinity: f64 = shares.into_iter().map(|(p, q)| sqrt(p * q)).sum();
    sqrt(1.0 - affinity.min(1.0))
}
