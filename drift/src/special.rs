//! The distributions that tests and thresholds need: normal, chi-square, Student t, F, beta, binomial.
//!
//! All is built on the crate's square root, logarithm and exponential, so that it is there without `std`.
//! Upper tails are computed as such, not as 1 less the lower: a relative accuracy of about 1e-12 holds far out.
//! A domain error (a `NaN`, degrees of freedom of 0) gives `NaN`, as in the platform's own functions.

mod bessel;
mod beta;
mod gamma;
mod normal;
mod trigonometry;

pub(crate) use bessel::bessel_k_quarter_scaled;
pub use beta::{beta_cdf, binomial_sf, f_sf, student_t_sf};
pub use gamma::{chi2_cdf, chi2_quantile, chi2_sf, gamma_cdf, gamma_sf, ln_gamma};
pub use normal::{normal_cdf, normal_quantile, normal_sf};
pub(crate) use trigonometry::sin_cos;

use crate::math::{exp, ln};

/// Returns ln(1 + x) without loss for small `x`.
pub(crate) fn ln_1p(x: f64) -> f64 {
    let sum = 1.0 + x;
    if sum == 1.0 {
        x
    } else if x.is_finite() && sum > 0.0 {
        // The rounding of `sum` is undone by the quotient.
        ln(sum) * (x / (sum - 1.0))
    } else {
        ln(sum)
    }
}

/// Returns x^y of a positive `x`.
pub(crate) fn power(x: f64, y: f64) -> f64 {
    if x == 0.0 { if y == 0.0 { 1.0 } else { 0.0 } } else { exp(y * ln(x)) }
}

/// Finds where the decreasing `tail` of a non-negative quantity passes `q`, by halving.
fn solve_tail(q: f64, start: f64, tail: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0_f64, start);
    for _ in 0..1_100 {
        if tail(high) <= q {
            break;
        }
        low = high;
        high *= 2.0;
    }
    // Halving in the logarithm first finds the scale of small quantiles.
    for _ in 0..200 {
        let middle = if low > 0.0 || high < 1e-300 { f64::midpoint(low, high) } else { high / 4.0 };
        if middle <= low || middle >= high {
            break;
        }
        if tail(middle) > q {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}
