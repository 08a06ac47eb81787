//! Square root, logarithm and exponential for builds with and without `std`.
//!
//! `core` has none of the three. With the feature `std` the platform's are used; without it, the ones of
//! this file, which agree with the platform's to a relative 1e-15 (see the tests).

#[cfg(feature = "std")]
pub(crate) use with_std::{exp, ln, sqrt};

#[cfg(not(feature = "std"))]
pub(crate) use soft::{exp, ln, sqrt};

#[cfg(feature = "std")]
mod with_std {
    #[inline]
    pub(crate) fn sqrt(x: f64) -> f64 {
        x.sqrt()
    }

    #[inline]
    pub(crate) fn ln(x: f64) -> f64 {
        x.ln()
    }

    #[inline]
    pub(crate) fn exp(x: f64) -> f64 {
        x.exp()
    }
}

/// The textbook reductions: argument to a short interval, series there, exponent put back.
#[cfg(any(test, not(feature = "std")))]
mod soft {
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    const TWO_54: f64 = 18_014_398_509_481_984.0;

    /// Takes the root of the mantissa by Newton's iteration from a straight-line start.
    pub(crate) fn sqrt(x: f64) -> f64 {
        if x == 0.0 || x.is_nan() || x == f64::INFINITY {
            return x;
        }
        if x < 0.0 {
            return f64::NAN;
        }
        let (m, e) = split(x);
        let (m, e) = if e % 2 == 0 { (m, e) } else { (m * 2.0, e - 1) };
        let mut y = 0.41 + 0.59 * m.min(1.0) + 0.3 * (m - 1.0).max(0.0);
        for _ in 0..5 {
            y = 0.5 * (y + m / y);
        }
        scale(y, e / 2)
    }

    /// Uses ln m = 2 artanh((m-1)/(m+1)) on m in [1/sqrt 2, sqrt 2).
    pub(crate) fn ln(x: f64) -> f64 {
        if x.is_nan() || x == f64::INFINITY {
            return x;
        }
        if x == 0.0 {
            return f64::NEG_INFINITY;
        }
        if x < 0.0 {
            return f64::NAN;
        }
        let (m, e) = split(x);
        let (m, e) = if m < core::f64::consts::FRAC_1_SQRT_2 { (m * 2.0, e - 1) } else { (m, e) };
        let s = (m - 1.0) / (m + 1.0);
        let s2 = s * s;
        let mut tail = 0.0;
        for k in (1..=12).rev() {
            tail = s2 * (1.0 / f64::from(2 * k + 1) + tail);
        }
        let k = f64::from(e);
        k * LN_2_HIGH + (2.0 * s + (2.0 * s * tail + k * LN_2_LOW))
    }

    /// Uses exp x = 2^k exp r with |r| <= ln 2 / 2.
    pub(crate) fn exp(x: f64) -> f64 {
        if x.is_nan() {
            return x;
        }
        if x > 709.782_712_893_384 {
            return f64::INFINITY;
        }
        if x < -745.133_219_101_941_2 {
            return 0.0;
        }
        let k = (x * core::f64::consts::LOG2_E + if x < 0.0 { -0.5 } else { 0.5 }) as i32;
        let high = x - f64::from(k) * LN_2_HIGH;
        let low = f64::from(k) * LN_2_LOW;
        let r = high - low;
        let mut y = 0.0;
        for n in (2..=14).rev() {
            y = (1.0 + y) * r / f64::from(n);
        }
        scale(1.0 + (r + r * y), k)
    }

    /// Splits a positive finite number into a mantissa in [0.5, 1) and an exponent of two.
    fn split(x: f64) -> (f64, i32) {
        let (x, shift) = if x < f64::MIN_POSITIVE { (x * TWO_54, -54) } else { (x, 0) };
        let bits = x.to_bits();
        let e = ((bits >> 52) & 0x7ff) as i32 - 1022;
        (f64::from_bits((bits & !(0x7ff << 52)) | (1022 << 52)), e + shift)
    }

    /// Multiplies by 2^e in steps that neither overflow nor underflow early.
    fn scale(x: f64, e: i32) -> f64 {
        let half = e / 2;
        x * power_of_two(half) * power_of_two(e - half)
    }

    fn power_of_two(e: i32) -> f64 {
        f64::from_bits(((e + 1023) as u64) << 52)
    }
}

#[cfg(test)]
mod tests {
    use super::soft;

    fn close(ours: f64, theirs: f64) -> bool {
        ours == theirs || (ours - theirs).abs() <= 1e-15 * theirs.abs()
    }

    #[test]
    fn soft_functions_agree_with_std() {
        let mut x = 1e-300_f64;
        while x < 1e300 {
            assert!(close(soft::sqrt(x), x.sqrt()), "sqrt {x}");
            assert!(close(soft::ln(x), x.ln()), "ln {x}: {} {}", soft::ln(x), x.ln());
            x *= 1.013_7;
        }
        for i in -70_000..70_000 {
            let x = f64::from(i) * 0.01;
            assert!(close(soft::exp(x), x.exp()), "exp {x}: {} {}", soft::exp(x), x.exp());
        }
        for i in 1..20_000 {
            let x = 0.5 + f64::from(i) * 1e-4;
            assert!(close(soft::ln(x), x.ln()), "ln {x}: {} {}", soft::ln(x), x.ln());
        }
    }

    #[test]
    fn soft_functions_keep_the_edges() {
        assert!(soft::sqrt(-1.0).is_nan() && soft::ln(-1.0).is_nan() && soft::exp(f64::NAN).is_nan());
        assert_eq!((soft::sqrt(0.0), soft::ln(0.0), soft::exp(0.0)), (0.0, f64::NEG_INFINITY, 1.0));
        assert_eq!((soft::exp(1e4), soft::exp(-1e4)), (f64::INFINITY, 0.0));
        assert_eq!((soft::sqrt(f64::INFINITY), soft::ln(f64::INFINITY)), (f64::INFINITY, f64::INFINITY));
        assert!(close(soft::ln(5e-324), 5e-324_f64.ln()) && close(soft::sqrt(5e-324), 5e-324_f64.sqrt()));
    }
}
