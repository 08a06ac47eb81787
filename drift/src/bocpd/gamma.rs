//! Ratios of gamma functions, as predictive distributions need them: as differences, so that nothing
//! cancels.

use crate::math::ln;

/// From here on the asymptotic series are exact to the last digits.
const LARGE: f64 = 16.0;

/// Returns `ln(1 + u)` for `u > -1`, exact for small `u`.
#[inline]
pub(super) fn ln_1p(u: f64) -> f64 {
    if u.abs() > 0.01 {
        return ln(1.0 + u);
    }
    // The series to the eighth power, in two halves that do not wait for each other.
    let u2 = u * u;
    let odd = 1.0 + u2 * (1.0 / 3.0 + u2 * (0.2 + u2 / 7.0));
    let even = 0.5 + u2 * (0.25 + u2 * (1.0 / 6.0 + u2 * 0.125));
    u * odd - u2 * even
}

/// Returns `ln Γ(a + 1/2) - ln Γ(a) - ln(a) / 2` for `a > 0`.
pub(super) fn half_step(a: f64) -> f64 {
    let (mut shifted, mut ratio) = (a, 1.0);
    while shifted < LARGE {
        ratio *= shifted / (shifted + 0.5);
        shifted += 1.0;
    }
    let tail = half_step_of_large(shifted);
    if shifted == a { tail } else { tail + ln(ratio * ratio * shifted / a) / 2.0 }
}

/// Returns [`half_step`] for `a >= 16`.
#[inline]
pub(super) fn half_step_of_large(a: f64) -> f64 {
    let r = 1.0 / a;
    let r2 = r * r;
    let tail = 17.0 / 14_336.0 - r2 * (31.0 / 18_432.0);
    -r * (0.125 - r2 * (1.0 / 192.0 - r2 * (1.0 / 640.0 - r2 * tail)))
}

/// Returns `ln Γ(a + x) - ln Γ(a)` for `a > 0` and a whole `x >= 0`.
pub(super) fn ln_rising(a: f64, x: f64) -> f64 {
    if x <= LARGE {
        let (mut product, mut factor) = (1.0, a);
        for _ in 0..x as u32 {
            product *= factor;
            factor += 1.0;
        }
        if product > 0.0 && product <= f64::MAX {
            return ln(product);
        }
    }
    let (mut large, mut shift, mut left) = (a, 1.0, x);
    while large < LARGE && left > 0.0 {
        shift *= large;
        large += 1.0;
        left -= 1.0;
    }
    // Stirling's series at both ends: (b - 1/2) ln b - b + correction(b).
    let end = large + left;
    let main = (large - 0.5) * ln_1p(left / large) + left * ln(end) - left;
    ln(shift) + main + (correction(end) - correction(large))
}

/// The tail of Stirling's series.
fn correction(a: f64) -> f64 {
    let r = 1.0 / a;
    let r2 = r * r;
    r * (1.0 / 12.0 - r2 * (1.0 / 360.0 - r2 * (1.0 / 1_260.0 - r2 * (1.0 / 1_680.0 - r2 / 1_188.0))))
}

#[cfg(test)]
mod tests {
    use super::{half_step, half_step_of_large, ln_1p, ln_rising};

    #[test]
    fn half_steps_agree_with_whole_ones() {
        // Γ(a + 1) = a Γ(a) in two half steps.
        for a in [1e-3, 0.1, 0.5, 1.0, 2.5, 7.0, 15.5, 16.0, 40.0, 1e3, 1e7, 1e15] {
            let two = half_step(a) + half_step(a + 0.5) + f64::ln(a + 0.5) / 2.0;
            let whole = f64::ln(a) / 2.0;
            assert!((two - whole).abs() <= 1e-14 * (1.0 + whole.abs()), "{a}: {two} {whole}");
        }
        // Γ(1/2)² = π, Γ(1) = 1.
        assert!((half_step(0.5) + std::f64::consts::PI.ln() / 2.0 - 0.5_f64.ln().abs() / 2.0).abs() < 1e-15);
        assert!((half_step(16.0) - half_step_of_large(16.0)).abs() == 0.0);
    }

    #[test]
    fn rising_factorials_are_products() {
        for a in [1e-6, 0.3, 1.0, 5.5, 20.0, 1e4, 1e12] {
            for x in [0_u32, 1, 2, 15, 16, 17, 40, 300] {
                let expected: f64 = (0..x).map(|k| (a + f64::from(k)).ln()).sum();
                let found = ln_rising(a, x.into());
                assert!(
                    (found - expected).abs() <= 1e-12 * (1.0 + expected.abs()),
                    "{a} {x}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn logarithms_near_one_keep_their_digits() {
        for u in [-0.5, -0.01, -1e-3, 1e-18, 1e-9, 0.005, 0.01, 0.011, 3.0, 1e200_f64] {
            assert!(
                (ln_1p(u) - u.ln_1p()).abs()
                    <= 3e-16 * u.ln_1p().abs().max(1e-17) + 1e-15 * f64::from(u.abs() > 0.01),
                "{u}"
            );
        }
    }
}
