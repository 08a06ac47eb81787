//! Quantiles and tails, as far as bounds need them.

use crate::special::{beta_cdf, gamma_sf};

/// Returns the `q`-quantile of the beta law, from above: at least the true one, by at most a rounding.
pub(super) fn beta_quantile(q: f64, a: f64, b: f64) -> f64 {
    bisect(0.0, 1.0, |x| beta_cdf(x, a, b) >= q)
}

/// Returns the chance that a Poisson number of mean `rate` is at most `most`: that a gamma number of shape
/// `most + 1` is above `rate`.
pub(super) fn poisson_cdf(most: u64, rate: f64) -> f64 {
    if rate <= 0.0 { 1.0 } else { gamma_sf(rate, most as f64 + 1.0) }
}

/// Finds where `reached` turns true between `low` and `high`, to the last bit; the upper end of the two.
pub(super) fn bisect(mut low: f64, mut high: f64, reached: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..1_100 {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            break;
        }
        if reached(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::special::ln_gamma;

    #[test]
    fn poisson_tails_meet() {
        for rate in [0.1, 1.0, 7.5, 40.0, 900.0] {
            let mut sum = 0.0;
            for k in 0..2_000_u64 {
                let x = k as f64;
                sum += (x * f64::ln(rate) - rate - ln_gamma(x + 1.0)).exp();
                assert!((poisson_cdf(k, rate) - sum).abs() < 1e-11, "{rate} {k}");
            }
        }
    }
}
