//! The normal distribution.

use super::gamma::{gamma_cdf, gamma_sf};
use crate::math::{exp, ln, sqrt};

/// Returns the probability that a standard normal variable is above `x`.
pub fn normal_sf(x: f64) -> f64 {
    let half_square = x * x / 2.0;
    if x.is_nan() {
        x
    } else if x >= 0.0 {
        0.5 * gamma_sf(half_square, 0.5)
    } else {
        0.5 + 0.5 * gamma_cdf(half_square, 0.5)
    }
}

/// Returns the probability that a standard normal variable is at most `x`.
pub fn normal_cdf(x: f64) -> f64 {
    normal_sf(-x)
}

/// Returns the value that a standard normal variable stays at or below with probability `p`.
///
/// The quantile of an upper tail `q` is `-normal_quantile(q)`, which keeps the accuracy of small tails.
///
/// # Examples
///
/// ```
/// let z = visu_tility_drift::special::normal_quantile(0.025);
/// assert!((z + 1.959_963_984_540_054).abs() < 1e-14);
/// ```
pub fn normal_quantile(p: f64) -> f64 {
    if p.is_nan() || !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if p == 0.5 {
        return 0.0;
    }
    if p > 0.5 {
        return if p == 1.0 { f64::INFINITY } else { upper(1.0 - p) };
    }
    if p == 0.0 { f64::NEG_INFINITY } else { -upper(p) }
}

/// Finds the upper quantile of `q < 1/2` by Newton's method on the logarithm of the tail, which is concave,
/// so that the steps stay on one side.
fn upper(q: f64) -> f64 {
    let target = ln(q);
    let mut x = sqrt((-2.0 * target - 1.8).max(0.0));
    for _ in 0..60 {
        let tail = normal_sf(x);
        let hazard = exp(-x * x / 2.0) / (sqrt(core::f64::consts::TAU) * tail);
        let step = (ln(tail) - target) / hazard;
        x += step;
        if step.abs() <= 2e-16 * x.abs() || !step.is_finite() {
            break;
        }
    }
    x.max(0.0)
}
