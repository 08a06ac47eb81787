//! The Anderson-Darling test of two samples.

use super::sample::{sorted_pair, ties};
use super::{DistanceError, TestOutcome};
use crate::math::{exp, ln, sqrt};

/// Tests whether two samples come from one distribution, looking at the tails as well as at the middle
/// (Scholz and Stephens, JASA 82, 1987, equation 7, ties at mid-ranks).
///
/// `statistic` is standardised. The p-value is interpolated in the paper's table as scipy does, and held
/// within 0.001 and 0.25.
///
/// # Errors
///
/// Fails when a sample is empty, there are fewer than four values, a value is not finite, or all are equal.
pub fn anderson_darling(reference: &[f64], current: &[f64]) -> Result<TestOutcome, DistanceError> {
    let (x, y) = sorted_pair(reference, current, 1)?;
    let total = x.len() + y.len();
    if total < 4 {
        return Err(DistanceError::TooFew { sample: "pooled sample", found: total, least: 4 });
    }
    let ties = ties(&x, &y);
    if ties.len() < 2 {
        return Err(DistanceError::Constant);
    }
    let (n, nx, ny) = (total as f64, x.len() as f64, y.len() as f64);
    let (mut below, mut below_x, mut below_y) = (0.0, 0.0, 0.0);
    let (mut sum_x, mut sum_y) = (0.0, 0.0);
    for tie in &ties {
        let (in_x, in_y) = (tie.x as f64, tie.y as f64);
        let here = in_x + in_y;
        let middle = below + here / 2.0;
        let weight = here / n / (middle * (n - middle) - n * here / 4.0);
        let square = |own: f64, size: f64| {
            let off = n * own - middle * size;
            weight * off * off
        };
        sum_x += square(below_x + in_x / 2.0, nx);
        sum_y += square(below_y + in_y / 2.0, ny);
        below += here;
        below_x += in_x;
        below_y += in_y;
    }
    let a2 = (sum_x / nx + sum_y / ny) * (n - 1.0) / n;
    let statistic = (a2 - 1.0) / sqrt(variance(total, 1.0 / nx + 1.0 / ny));
    Ok(TestOutcome { statistic, p_value: interpolated(statistic), degrees: None })
}

/// The variance of the statistic of two samples (equation 4), `h_sum` the sum of the inverse sizes.
fn variance(total: usize, h_sum: f64) -> f64 {
    let n = total as f64;
    let (mut partial, mut g) = (0.0, 0.0);
    for i in 2..total {
        // The i-th of the sums of 1/(n-1), 1/(n-2), ..., 1/2.
        partial += 1.0 / (total + 1 - i) as f64;
        g += partial / i as f64;
    }
    let h = partial + 1.0;
    let k = 2.0;
    let a = (4.0 * g - 6.0) * (k - 1.0) + (10.0 - 6.0 * g) * h_sum;
    let b =
        (2.0 * g - 4.0) * k * k + 8.0 * h * k + (2.0 * g - 14.0 * h - 4.0) * h_sum - 8.0 * h + 4.0 * g - 6.0;
    let c =
        (6.0 * h + 2.0 * g - 2.0) * k * k + (4.0 * h - 4.0 * g + 6.0) * k + (2.0 * h - 6.0) * h_sum + 4.0 * h;
    let d = (2.0 * h + 6.0) * k * k - 4.0 * h * k;
    (((a * n + b) * n + c) * n + d) / ((n - 1.0) * (n - 2.0) * (n - 3.0))
}

/// Fits a parabola to the logarithm of the table's levels (table 1 for two samples).
fn interpolated(statistic: f64) -> f64 {
    const TABLE: [(f64, f64); 7] = [
        (0.675 - 0.245 - 0.105, 0.25),
        (1.281 + 0.25 - 0.305, 0.1),
        (1.645 + 0.678 - 0.362, 0.05),
        (1.96 + 1.149 - 0.391, 0.025),
        (2.326 + 1.822 - 0.396, 0.01),
        (2.573 + 2.364 - 0.345, 0.005),
        (3.085 + 3.615 - 0.154, 0.001),
    ];
    let [(lowest, _), .., (highest, _)] = TABLE;
    if statistic < lowest {
        return 0.25;
    }
    if statistic > highest {
        return 0.001;
    }
    // Orthogonal polynomials on the table's points, so that no equations need be solved.
    let count = TABLE.len() as f64;
    let mean = TABLE.iter().map(|(x, _)| x).sum::<f64>() / count;
    let spread: f64 = TABLE.iter().map(|(x, _)| (x - mean) * (x - mean)).sum();
    let cubes: f64 = TABLE.iter().map(|(x, _)| (x - mean) * (x - mean) * (x - mean)).sum();
    let first = |x: f64| x - mean;
    let second = |x: f64| first(x) * first(x) - cubes / spread * first(x) - spread / count;
    let norm: f64 = TABLE.iter().map(|(x, _)| second(*x) * second(*x)).sum();
    let onto =
        |basis: &dyn Fn(f64) -> f64| TABLE.iter().map(|(x, level)| basis(*x) * ln(*level)).sum::<f64>();
    let fit = onto(&|_| 1.0) / count
        + onto(&first) / spread * first(statistic)
        + onto(&second) / norm * second(statistic);
    exp(fit)
}
