//! The exact distribution of the two-sample statistic: shares of lattice paths.
//!
//! Under the null every order of the two samples is as likely. An order is a path from (0, 0) to (n, m);
//! the statistic is `h / lcm(n, m)` for the largest `h` that the path reaches from the diagonal.

use alloc::vec;

/// Returns the greatest common divisor.
pub(crate) const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Returns the number of steps between 0 and 1 that the statistic can take: the least common multiple.
pub(crate) const fn steps(n: u64, m: u64) -> u64 {
    n / gcd(n, m) * m
}

/// Returns the share of paths that reach `h` steps from the diagonal: `P(D >= h / lcm(n, m))`.
pub(crate) fn p_value(n: u64, m: u64, h: u64) -> f64 {
    if h == 0 {
        return 1.0;
    }
    let p = if n == m { equal_sizes(n, h) } else { unequal_sizes(n.max(m), n.min(m), h) };
    p.clamp(0.0, 1.0)
}

/// Returns the p-value for two samples of `n` values, or nothing where rounding takes it above 1, as it can
/// when it is 1: there scipy 1.17.1, whose order of operations this is, gives up.
pub(super) fn p_unless_rounded(n: u64, h: u64) -> Option<f64> {
    let p = if h == 0 { 1.0 } else { equal_sizes(n, h) };
    (p <= 1.0).then_some(p)
}

/// Returns the smallest `h` with a p-value of at most `alpha`, or one more than `steps` when there is none.
pub(crate) fn critical(n: u64, m: u64, alpha: f64) -> u64 {
    let (mut low, mut high) = (0, steps(n, m) + 1);
    while low < high {
        let middle = u64::midpoint(low, high);
        if p_value(n, m, middle) <= alpha {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Reflects paths at both lines: `2 (C(2n, n-h) - C(2n, n-2h) + ...) / C(2n, n)`, from the innermost term
/// out, so that nothing overflows and the first, largest term comes last.
fn equal_sizes(n: u64, h: u64) -> f64 {
    let mut p = 0.0;
    for k in (0..=n / h).rev() {
        let ratio = (0..h).fold(1.0, |ratio, j| {
            // The last factor is 0 when the line lies beyond the paths.
            ratio * (n - k * h).saturating_sub(j) as f64 / (n + k * h + j + 1) as f64
        });
        p = ratio * (1.0 - p);
    }
    2.0 * p
}

/// Carries the share of paths to each point that have been outside, column by column.
///
/// A point outside has share 1, and `P(x, y) = (x P(x-1, y) + y P(x, y-1)) / (x + y)`: means of positive
/// numbers, so a small share is as exact as a large one.
fn unequal_sizes(n: u64, m: u64, h: u64) -> f64 {
    let step = gcd(n, m);
    let (across, down) = ((n / step) as i64, (m / step) as i64);
    let (n, m, h) = (n as i64, m as i64, h as i64);
    // The rows of column x that lie strictly inside: |x m - y n| < h, in units of the divisor.
    let inside = |x: i64| {
        let from = ((down * x - h).div_euclid(across) + 1).clamp(0, m + 1);
        let to = (-((-(down * x + h)).div_euclid(across))).clamp(0, m + 1);
        (from as usize, to as usize)
    };
    // The band only climbs: rows above it are still outside, and those below are not looked at again.
    let mut shares = vec![1.0_f64; m as usize + 1];
    let (_, to) = inside(0);
    shares.iter_mut().take(to).for_each(|share| *share = 0.0);
    for x in 1..=n {
        let (from, to) = inside(x);
        if from >= to {
            return 1.0;
        }
        let mut below = if from == 0 { 0.0 } else { 1.0 };
        let count = x as f64;
        for (y, share) in (from..to).zip(shares.iter_mut().skip(from)) {
            let height = y as f64;
            below = (*share * count + below * height) / (count + height);
            *share = below;
        }
    }
    shares.last().copied().unwrap_or(1.0)
}
