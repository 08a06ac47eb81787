//! Tests of means.

use super::sample::{checked, mean_and_squares};
use super::{DistanceError, TestOutcome};
use crate::math::sqrt;
use crate::special::student_t_sf;

/// Tests whether two samples have one mean, without assuming equal variances (Welch, Biometrika 34, 1947).
///
/// `statistic` is `t` of the reference's mean less the current one, `degrees` Welch and Satterthwaite's.
/// Two-sided.
///
/// # Errors
///
/// Fails when a sample has fewer than two values, a value is not finite, or both samples are constant.
pub fn welch_t(reference: &[f64], current: &[f64]) -> Result<TestOutcome, DistanceError> {
    let [x, y] = summaries(reference, current)?;
    let (vx, vy) = (x.squares / (x.n - 1.0) / x.n, y.squares / (y.n - 1.0) / y.n);
    let total = vx + vy;
    if total <= 0.0 {
        return Err(DistanceError::Constant);
    }
    // The shares keep the squares of very small or large variances in range.
    let (sx, sy) = (vx / total, vy / total);
    let degrees = 1.0 / (sx * sx / (x.n - 1.0) + sy * sy / (y.n - 1.0));
    Ok(outcome((x.mean - y.mean) / sqrt(total), degrees))
}

/// Tests whether two samples of equal variance have one mean (Student). Two-sided.
///
/// Prefer [`welch_t`]; this is what Evidently reports.
///
/// # Errors
///
/// As [`welch_t`].
pub fn student_t(reference: &[f64], current: &[f64]) -> Result<TestOutcome, DistanceError> {
    let [x, y] = summaries(reference, current)?;
    let degrees = x.n + y.n - 2.0;
    let pooled = (x.squares + y.squares) / degrees * (1.0 / x.n + 1.0 / y.n);
    if pooled <= 0.0 {
        return Err(DistanceError::Constant);
    }
    Ok(outcome((x.mean - y.mean) / sqrt(pooled), degrees))
}

struct Summary {
    n: f64,
    mean: f64,
    squares: f64,
}

fn summaries(reference: &[f64], current: &[f64]) -> Result<[Summary; 2], DistanceError> {
    let summary = |name, values| {
        let values = checked(name, values, 2)?;
        let (mean, squares) = mean_and_squares(&values);
        Ok(Summary { n: values.len() as f64, mean, squares })
    };
    Ok([summary("reference", reference)?, summary("current", current)?])
}

fn outcome(statistic: f64, degrees: f64) -> TestOutcome {
    let p_value = (2.0 * student_t_sf(statistic.abs(), degrees)).min(1.0);
    TestOutcome { statistic, p_value, degrees: Some(degrees) }
}
