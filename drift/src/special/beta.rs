//! The incomplete beta integral, and with it Student's t, F and the binomial distribution.

use super::gamma::ln_gamma;
use super::ln_1p;
use crate::math::{exp, ln};

/// Returns the probability that a beta variable with parameters `a` and `b`, both above 0, is at most `x`.
pub fn beta_cdf(x: f64, a: f64, b: f64) -> f64 {
    if x.is_nan() || a.is_nan() || b.is_nan() || a <= 0.0 || b <= 0.0 || a.is_infinite() || b.is_infinite() {
        return f64::NAN;
    }
    if x <= 0.0 {
        0.0
    } else if x >= 1.0 {
        1.0
    } else {
        integral(x, 1.0 - x, a, b)
    }
}

/// Takes `x` and `y = 1 - x` both, so that neither is rounded.
fn integral(x: f64, y: f64, a: f64, b: f64) -> f64 {
    let (ln_x, ln_y) = if x < y { (ln(x), ln_1p(-x)) } else { (ln_1p(-y), ln(y)) };
    let front = exp(a * ln_x + b * ln_y + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b));
    if x <= (a + 1.0) / (a + b + 2.0) {
        (front * fraction(x, a, b) / a).clamp(0.0, 1.0)
    } else {
        1.0 - (front * fraction(y, b, a) / b).clamp(0.0, 1.0)
    }
}

/// The continued fraction of the incomplete beta integral, by Lentz's method.
fn fraction(x: f64, a: f64, b: f64) -> f64 {
    let guard = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..20_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guard(1.0 + even * d);
        c = guard(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guard(1.0 + odd * d);
        c = guard(1.0 + odd / c);
        h *= d * c;
        if (d * c - 1.0).abs() < 1e-16 {
            break;
        }
    }
    h
}

/// Returns the probability that a Student t variable with `df` degrees of freedom (above 0, not necessarily
/// whole) is above `t`.
pub fn student_t_sf(t: f64, df: f64) -> f64 {
    if t.is_nan() || df.is_nan() || df <= 0.0 || df == f64::INFINITY {
        return f64::NAN;
    }
    if t == 0.0 {
        return 0.5;
    }
    if t.is_infinite() {
        return if t > 0.0 { 0.0 } else { 1.0 };
    }
    let square = t * t;
    let half = if square == f64::INFINITY {
        0.0
    } else {
        let total = df + square;
        0.5 * integral(df / total, square / total, df / 2.0, 0.5)
    };
    if t > 0.0 { half } else { 1.0 - half }
}

/// Returns the probability that an F variable with `d1` and `d2` degrees of freedom is above `x`.
pub fn f_sf(x: f64, d1: f64, d2: f64) -> f64 {
    if x.is_nan() || d1.is_nan() || d2.is_nan() || d1 <= 0.0 || d2 <= 0.0 {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 1.0;
    }
    let total = d2 + d1 * x;
    if total == f64::INFINITY { 0.0 } else { integral(d2 / total, d1 * x / total, d2 / 2.0, d1 / 2.0) }
}

/// Returns the probability that of `n` trials with success probability `p` more than `k` succeed.
pub fn binomial_sf(k: u64, n: u64, p: f64) -> f64 {
    if p.is_nan() || !(0.0..=1.0).contains(&p) {
        f64::NAN
    } else if k >= n {
        0.0
    } else {
        beta_cdf(p, (k + 1) as f64, (n - k) as f64)
    }
}
