//! The normal distribution's upper tail and its inverse, computed when a detector is built.

use crate::math::{exp, sqrt};

/// `P(Z > z)` of a standard normal `Z`, for `z >= 0`, to a relative 1e-13.
fn upper_tail(z: f64) -> f64 {
    let density = exp(-0.5 * z * z) / sqrt(core::f64::consts::TAU);
    if z < 3.0 {
        // The series z + z^3/3 + z^5/15 + ... of (P(Z < z) - 1/2) / density.
        let (mut term, mut sum, mut k) = (z, z, 1.0);
        while term > sum * 1e-17 {
            k += 2.0;
            term *= z * z / k;
            sum += term;
        }
        0.5 - density * sum
    } else {
        // Laplace's continued fraction, from the inside out.
        let tail = (1..=200).rev().fold(z, |inner, k| z + f64::from(k) / inner);
        density / tail
    }
}

/// The `z >= 0` with `P(|Z| > z) = p` for a standard normal `Z`; `p` in (0, 1).
pub(crate) fn two_sided_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if 2.0 * upper_tail(middle) > p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::{two_sided_quantile, upper_tail};

    #[test]
    fn quantiles_agree_with_published_tables() {
        // Python's statistics.NormalDist().inv_cdf(p / 2), sign turned.
        let table = [
            (0.5, 0.674_489_750_196_081_7),
            (0.05, 1.959_963_984_540_054),
            (0.003, 2.967_737_925_341_783),
            (0.001, 3.290_526_731_491_894_5),
            (1e-9, 6.109_410_204_869_397_5),
        ];
        for (p, z) in table {
            assert!((two_sided_quantile(p) - z).abs() < 1e-12 * z, "{p}: {}", two_sided_quantile(p));
        }
        assert!((upper_tail(2.999_999_999) / upper_tail(3.000_000_001) - 1.0).abs() < 1e-8);
    }
}
