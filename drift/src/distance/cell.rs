//! One bin's part of a distance, and its mean and variance when nothing has changed.

use alloc::vec::Vec;

use super::BinnedDistance;
use super::binned::{PROPORTION_FLOOR, likelihood, pearson};
use crate::math::{exp, ln, sqrt};

/// No axis of the sums below has more points; counts of a wide spread are taken in strides.
const POINTS: usize = 32;

/// One bin's part of the sum that the distance is a function of; never negative. `a` of `n` reference values
/// and `b` of `m` current ones fall into the bin.
pub(super) fn cell(distance: BinnedDistance, a: f64, b: f64, n: f64, m: f64) -> f64 {
    let (p, q) = (a / n, b / m);
    let positive = |value: f64, of: f64| if value > 0.0 { value * ln(of) } else { 0.0 };
    match distance {
        BinnedDistance::Psi => {
            let (p, q) = (p.max(PROPORTION_FLOOR), q.max(PROPORTION_FLOOR));
            (p - q) * ln(p / q)
        }
        BinnedDistance::KullbackLeibler => {
            let (p, q) = (p.max(PROPORTION_FLOOR), q.max(PROPORTION_FLOOR));
            // The last two sum to nothing over the bins and keep each part from being negative.
            p * ln(p / q) - p + q
        }
        BinnedDistance::JensenShannon => {
            0.5 * (positive(p, 2.0 * p / (p + q)) + positive(q, 2.0 * q / (p + q)))
        }
        BinnedDistance::Hellinger => {
            let root = sqrt(p) - sqrt(q);
            0.5 * root * root
        }
        BinnedDistance::TotalVariation | BinnedDistance::LInfinity => 0.5 * (p - q).abs(),
        BinnedDistance::ChiSquare | BinnedDistance::G => {
            let share = (a + b) / (n + m);
            if share == 0.0 {
                0.0
            } else if distance == BinnedDistance::G {
                likelihood(a, share * n) + likelihood(b, share * m)
            } else {
                pearson(a, share * n) + pearson(b, share * m)
            }
        }
    }
}

/// Returns mean and variance of [`cell`] when both counts are binomial with this share.
pub(super) fn moments(distance: BinnedDistance, share: f64, n: f64, m: f64) -> (f64, f64) {
    let (reference, current) = (binomial(n, share), binomial(m, share));
    let (mut first, mut second) = (0.0, 0.0);
    for &(a, wa) in &reference {
        for &(b, wb) in &current {
            let part = cell(distance, a, b, n, m);
            first += wa * wb * part;
            second += wa * wb * part * part;
        }
    }
    (first, (second - first * first).max(0.0))
}

/// The binomial law of `n` trials as points with weights that sum to 1: all that matters, in strides where that
/// is more than [`POINTS`].
fn binomial(n: f64, share: f64) -> Vec<(f64, f64)> {
    let mean = n * share;
    let variance = mean * (1.0 - share);
    let deviation = sqrt(variance);
    let low = whole(mean - 6.5 * deviation - 2.0);
    let high = (whole(mean + 6.5 * deviation + 12.0) + 1.0).min(n);
    let stride = (whole((high - low) / POINTS as f64) + 1.0).max(1.0);
    if stride > 16.0 {
        // The law is normal to within its skewness, which is below 1/30 here.
        let step = deviation / 2.0;
        let weight = |i: i32| exp(-f64::from(i * i) / 8.0);
        let total: f64 = (-13..=13).map(weight).sum();
        return (-13..=13).map(|i| ((mean + f64::from(i) * step).clamp(0.0, n), weight(i) / total)).collect();
    }
    // Unscaled weights outwards from the middle, each from its neighbour.
    let odds = share / (1.0 - share).max(f64::MIN_POSITIVE);
    let middle = low + stride * whole((mean - low) / stride);
    let mut points: Vec<(f64, f64)> = Vec::with_capacity(POINTS + 2);
    points.push((middle, 1.0));
    let (mut at, mut weight) = (middle, 1.0);
    while at + stride <= high {
        for _ in 0..stride as u64 {
            weight *= (n - at) / (at + 1.0) * odds;
            at += 1.0;
        }
        points.push((at, weight));
    }
    (at, weight) = (middle, 1.0);
    while at - stride >= low && at - stride >= 0.0 {
        for _ in 0..stride as u64 {
            weight *= at / ((n - at + 1.0) * odds);
            at -= 1.0;
        }
        points.push((at, weight));
    }
    let total: f64 = points.iter().map(|(_, weight)| weight).sum();
    for (_, weight) in &mut points {
        *weight /= total;
    }
    points
}

/// Rounds down, at least to 0.
fn whole(x: f64) -> f64 {
    if x > 0.0 { (x as u64) as f64 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::{binomial, moments};
    use crate::distance::BinnedDistance;

    #[test]
    fn the_points_carry_the_binomial_law() {
        for (n, share) in [(100.0, 0.03), (50.0, 0.5), (5_000.0, 0.2), (1e6, 0.1), (1e7, 1e-6), (3.0, 0.9)] {
            let points = binomial(n, share);
            assert!(points.len() <= 36, "{}", points.len());
            let mean: f64 = points.iter().map(|(a, w)| a * w).sum();
            let variance: f64 = points.iter().map(|(a, w)| (a - mean) * (a - mean) * w).sum();
            assert!((mean / (n * share) - 1.0).abs() < 1e-6, "{n} {share} {mean}");
            assert!((variance / (n * share * (1.0 - share)) - 1.0).abs() < 1e-4, "{n} {share} {variance}");
        }
    }

    /// Pearson's statistic has mean (B-1) T/(T-1) exactly; a bin's share of it goes with its complement.
    #[test]
    fn the_mean_of_chi_square_tends_to_its_degrees() {
        let (mean, _) = moments(BinnedDistance::ChiSquare, 0.1, 5_000.0, 5_000.0);
        assert!((10.0 * mean - 9.0).abs() < 0.01, "{mean}");
    }
}
