//! The beta and Poisson laws, as far as bounds need them.

use crate::math::{exp, ln};

/// Returns the logarithm of the gamma function for `x > 0`, to about 1e-14 of the larger of 1 and itself.
pub(super) fn ln_gamma(x: f64) -> f64 {
    // Stirling's series from 15 up (Abramowitz and Stegun 6.1.41); below by the recurrence.
    let (mut x, mut product) = (x, 1.0);
    while x < 15.0 {
        product *= x;
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series = inverse
        * (1.0 / 12.0
            - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0))));
    (x - 0.5) * ln(x) - x + 0.918_938_533_204_672_7 + series - ln(product)
}

/// Returns `ln(1 - x)` for x in [0, 1), without loss where x is small.
fn ln_one_less(x: f64) -> f64 {
    if x < 1e-5 { -x * (1.0 + x * (0.5 + x / 3.0)) } else { ln(1.0 - x) }
}

/// Returns the regularised incomplete beta function `I_x(a, b)` for `a, b > 0`.
///
/// Lentz's evaluation of the continued fraction DLMF 8.17.22, on the side where it converges fast.
pub(super) fn beta_cdf(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_fraction(1.0 - x, b, a);
    }
    beta_fraction(x, a, b)
}

fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * ln(x) + b * ln_one_less(x) - ln(a);
    let keep = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / keep(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..20_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / keep(1.0 + even * d);
        c = keep(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / keep(1.0 + odd * d);
        c = keep(1.0 + odd / c);
        let step = d * c;
        fraction *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    (exp(front) * fraction).clamp(0.0, 1.0)
}

/// Returns the `q`-quantile of the beta law, from above: at least the true one, by at most a rounding.
pub(super) fn beta_quantile(q: f64, a: f64, b: f64) -> f64 {
    bisect(0.0, 1.0, |x| beta_cdf(x, a, b) >= q)
}

/// Returns the chance that a Poisson number of mean `rate` is at most `most`.
pub(super) fn poisson_cdf(most: u64, rate: f64) -> f64 {
    if rate <= 0.0 {
        return 1.0;
    }
    let top = most as f64;
    if rate < top {
        // The sum of what lies above, from its largest term on.
        let (mut k, mut sum) = (top + 1.0, 0.0);
        let mut term = exp(k * ln(rate) - rate - ln_gamma(k + 1.0));
        while term > sum * 1e-17 && term > 0.0 {
            sum += term;
            k += 1.0;
            term *= rate / k;
        }
        return (1.0 - sum).max(0.0);
    }
    let (mut k, mut sum) = (top, 0.0);
    let mut term = exp(k * ln(rate) - rate - ln_gamma(k + 1.0));
    while k >= 0.0 && term > sum * 1e-17 {
        sum += term;
        term *= k / rate;
        k -= 1.0;
    }
    sum.min(1.0)
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

    #[test]
    fn gamma_is_the_factorial() {
        let mut factorial = 0.0;
        for n in 1..60 {
            assert!((ln_gamma(f64::from(n)) - factorial).abs() <= 2e-14 * factorial.max(1.0), "{n}");
            factorial += f64::from(n).ln();
        }
        assert!((ln_gamma(0.5) - 0.572_364_942_924_700_1).abs() < 1e-14);
    }

    #[test]
    fn beta_is_the_binomial_tail() {
        // P(Bin(n, p) >= k) = I_p(k, n - k + 1), by its own sum.
        for (n, p) in [(5_u32, 0.3_f64), (40, 0.02), (40, 0.9), (200, 0.5)] {
            let mut term = (1.0 - p).powi(n as i32);
            let mut below = 0.0;
            for k in 1..=n {
                below += term;
                term *= f64::from(n - k + 1) / f64::from(k) * p / (1.0 - p);
                let ours = beta_cdf(p, f64::from(k), f64::from(n - k + 1));
                assert!((ours - (1.0 - below)).abs() < 1e-12, "{n} {p} {k}: {ours} {}", 1.0 - below);
            }
        }
    }

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
