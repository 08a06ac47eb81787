//! Zeros and ones of unknown mean: what not knowing it costs, and how far it can be from what was seen.

use crate::math::{ln, sqrt};
use crate::windowed_glr::divergence;

const LN_2PI: f64 = 1.837_877_066_409_345_5;
/// From here on the series below have 13 digits.
const LARGE: f64 = 12.0;
/// A mean is found to this share of it.
const NEAR: f64 = 1e-13;

/// Returns `ln` of the largest of `q^ones (1 - q)^zeros` over `q`, less that of their mixture by the law
/// Beta(1/2, 1/2). It is at least 0; for large counts about `ln(n) / 2`.
///
/// The terms that grow with the counts are left out on both sides, so that nothing is lost by cancelling.
pub(crate) fn regret(ones: f64, zeros: f64) -> f64 {
    let n = ones + zeros;
    let log = whole(n) + ln(core::f64::consts::PI) - LN_2PI / 2.0 - half(ones) - half(zeros);
    log.max(0.0)
}

/// Returns the largest mean at which `n` values in [0, 1] have a sum as small as `sum` with a chance of
/// `error`, or a little above it.
///
/// For zeros and ones (`bits`) the chance is the binomial one, else Chernoff's bound of it, which holds for
/// all values of that conditional mean.
pub(crate) fn upper_mean(n: f64, sum: f64, bits: bool, error: f64) -> f64 {
    let (start, target) = (sum / n, sqrt(-ln(error)));
    // The root of a tail's logarithm is nearly a line.
    let depth = |mean: f64| {
        let chernoff = n * divergence(start, mean);
        let log = if bits { chernoff.max(-ln_tail(n, sum, mean)) } else { chernoff };
        sqrt(log.max(0.0)) - target
    };
    let (mut low, mut below) = (start, -target);
    let (mut high, mut above) = (1.0, f64::INFINITY);
    let mut step = target * sqrt((2.0 * start * (1.0 - start)).max(1.0 / n) / n);
    while low + step < 1.0 {
        let (next, reached) = (low + step, depth(low + step));
        if reached >= 0.0 {
            (high, above) = (next, reached);
            break;
        }
        (low, below) = (next, reached);
        step *= 2.0;
    }
    // Regula falsi; an end that stays is halved (the Illinois rule).
    let mut last_high = None;
    for _ in 0..100 {
        let secant = low - below * ((high - low) / (above - below));
        let next = if above < f64::MAX { secant } else { f64::midpoint(low, high) };
        let next = if next > low && next < high { next } else { f64::midpoint(low, high) };
        if high - low <= NEAR * high || next <= low || next >= high {
            break;
        }
        let reached = depth(next);
        let is_high = reached >= 0.0;
        if is_high {
            (high, above) = (next, reached);
            below *= if last_high == Some(true) { 0.5 } else { 1.0 };
        } else {
            (low, below) = (next, reached);
            above *= if last_high == Some(false) { 0.5 } else { 1.0 };
        }
        last_high = Some(is_high);
    }
    high
}

/// The logarithm of the chance of at most `ones` ones of `n` at a larger mean, or of an upper bound where the tail is
/// long.
fn ln_tail(n: f64, ones: f64, mean: f64) -> f64 {
    let zeros = n - ones;
    let peak = whole(n) - whole(ones) - whole(zeros) - LN_2PI / 2.0 - n * divergence(ones / n, mean);
    let (mut term, mut sum, mut left) = (1.0, 1.0, ones);
    for _ in 0..2_000 {
        let ratio = left * (1.0 - mean) / ((n - left + 1.0) * mean);
        if left < 1.0 || term * ratio < 1e-13 * sum {
            break;
        }
        term *= ratio;
        sum += term;
        left -= 1.0;
    }
    // Ratios only fall, so what is left is below a geometric sum.
    let ratio = left * (1.0 - mean) / ((n - left + 1.0) * mean);
    let rest = if ratio < 1.0 { term * ratio / (1.0 - ratio) } else { 1e300 };
    peak + ln(sum + rest)
}

/// `ln Gamma(x + 1/2) - (x ln x - x + ln(2 pi) / 2)`, 0 or larger `x`.
fn half(x: f64) -> f64 {
    if x >= LARGE {
        let y = 1.0 / (x * x);
        return (-1.0 / 24.0 + y * (7.0 / 2880.0 - y * (31.0 / 40_320.0 - y * (127.0 / 215_040.0)))) / x;
    }
    // Gamma(x + 1/2) from Gamma(x + k + 1/2).
    let (mut shifted, mut product) = (x, 1.0);
    while shifted < LARGE {
        product *= shifted + 0.5;
        shifted += 1.0;
    }
    half(shifted) + (bulk(shifted) - bulk(x)) - ln(product)
}

/// `ln Gamma(x + 1) - (x ln x - x + ln(2 pi) / 2)`, 0 or larger `x`.
fn whole(x: f64) -> f64 {
    if x >= LARGE {
        let y = 1.0 / (x * x);
        let series = 1.0 / 12.0 - y * (1.0 / 360.0 - y * (1.0 / 1260.0 - y * (1.0 / 1680.0)));
        return ln(x) / 2.0 + series / x;
    }
    let (mut shifted, mut product) = (x, 1.0);
    while shifted < LARGE {
        product *= shifted + 1.0;
        shifted += 1.0;
    }
    whole(shifted) + (bulk(shifted) - bulk(x)) - ln(product)
}

fn bulk(x: f64) -> f64 {
    if x > 0.0 { x * ln(x) - x } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::{regret, upper_mean};

    /// Against scipy 1.17: `beta.isf(error, ones + 1, n - ones)`.
    #[test]
    fn upper_means_are_those_of_clopper_and_pearson() {
        for (n, ones, error, expected) in [
            (100.0, 10.0, 0.01, 0.191_330_285_386_031),
            (8.0, 0.0, 0.001, 0.578_303_496_571_417_8),
            (2_048.0, 205.0, 0.011, 0.116_293_546_187_499_85),
            (100_000.0, 40_000.0, 0.05, 0.402_555_315_434_777_13),
            (1_000_000.0, 2_000.0, 0.001, 0.002_141_936_223_959_116),
            (50.0, 50.0, 0.01, 1.0),
        ] {
            let mean = upper_mean(n, ones, true, error);
            assert!((mean - expected).abs() < 1e-9, "{mean} is not {expected}");
        }
        // Chernoff's bound is wider; at no ones it is exact.
        assert!(upper_mean(100.0, 10.0, false, 0.01) > upper_mean(100.0, 10.0, true, 0.01) + 0.005);
        assert!((upper_mean(8.0, 0.0, false, 0.01) - (1.0 - 0.01_f64.powf(0.125))).abs() < 1e-12);
    }

    /// The mixture predicts a one after `ones` and `zeros` with `(ones + 1/2) / (n + 1)`; its probability of
    /// all is the product of those.
    #[test]
    fn regret_is_that_of_predicting_one_by_one() {
        for (ones, zeros) in [(0, 0), (1, 0), (0, 7), (3, 4), (2, 500), (40, 13), (700, 2000), (12, 12)] {
            let (mut log, mut n) = (0.0, 0.0);
            for i in 0..ones {
                log += ((f64::from(i) + 0.5) / (n + 1.0)).ln();
                n += 1.0;
            }
            for i in 0..zeros {
                log += ((f64::from(i) + 0.5) / (n + 1.0)).ln();
                n += 1.0;
            }
            let (ones, zeros) = (f64::from(ones), f64::from(zeros));
            let best = |x: f64| if x > 0.0 { x * (x / n).ln() } else { 0.0 };
            let expected = log - best(ones) - best(zeros);
            let ours = -regret(ones, zeros);
            assert!((ours - expected).abs() < 1e-10, "{ones} {zeros}: {ours} is not {expected}");
        }
        // Half a logarithm of the count, and half of that of pi / 2, for any count.
        let (ones, zeros) = (3e14_f64, 7e14);
        let expected = -0.5 * (ones + zeros).ln() - 0.5 * core::f64::consts::FRAC_PI_2.ln();
        assert!((-regret(ones, zeros) - expected).abs() < 1e-9);
    }
}
