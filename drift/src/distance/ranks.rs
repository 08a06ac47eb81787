//! Tests by ranks: Mann-Whitney and Cramér-von Mises, with scipy's conventions.

use alloc::vec;
use alloc::vec::Vec;

use super::sample::{Tie, sorted_pair, ties};
use super::{DistanceError, TestOutcome};
use crate::math::{exp, sqrt};
use crate::special::{bessel_k_quarter_scaled, ln_gamma, normal_sf};

/// Which difference a test looks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Alternative {
    /// Any.
    #[default]
    TwoSided,
    /// The reference is stochastically less than the current sample.
    Less,
    /// The reference is stochastically greater.
    Greater,
}

/// Tests whether one sample tends to be larger than the other (Mann and Whitney, Annals of Mathematical
/// Statistics 18, 1947).
///
/// `statistic` is U of the reference: the pairs in which its value is the larger, ties counted half. The
/// p-value is normal, corrected for ties and continuity, and 1 when all values are equal.
///
/// # Errors
///
/// Fails when a sample is empty or a value is not finite.
pub fn mann_whitney(
    reference: &[f64],
    current: &[f64],
    alternative: Alternative,
) -> Result<TestOutcome, DistanceError> {
    let (x, y) = sorted_pair(reference, current, 1)?;
    let ties = ties(&x, &y);
    let (n, m) = (x.len() as f64, y.len() as f64);
    let u = u_of(&ties);
    let (extreme, sides) = one_side(u, n * m, alternative);
    let total = n + m;
    let tied: f64 = ties.iter().map(|tie| (tie.x + tie.y) as f64).map(|t| t * t * t - t).sum();
    let variance = n * m / 12.0 * ((total + 1.0) - tied / (total * (total - 1.0)));
    let excess = extreme - n * m / 2.0 - 0.5;
    let p = if variance > 0.0 { normal_sf(excess / sqrt(variance)) } else { 1.0 };
    Ok(TestOutcome { statistic: u, p_value: (sides * p).min(1.0), degrees: None })
}

/// [`mann_whitney`] with the exact p-value of samples without ties, by counting all arrangements.
///
/// # Errors
///
/// As [`mann_whitney`], and when the product of the sizes is above 40,000. Ties are counted as if there were
/// none, as in scipy.
pub fn mann_whitney_exact(
    reference: &[f64],
    current: &[f64],
    alternative: Alternative,
) -> Result<TestOutcome, DistanceError> {
    let (x, y) = sorted_pair(reference, current, 1)?;
    let (n, m) = (x.len(), y.len());
    if n * m > 40_000 {
        return Err(DistanceError::TooMany { found: n * m, most: 40_000 });
    }
    let u = u_of(&ties(&x, &y));
    let (extreme, sides) = one_side(u, (n * m) as f64, alternative);
    // A tie's half goes up, as in scipy.
    let at_least = (extreme + 0.5) as usize;
    let p = arrangements_at_least(at_least, n, m);
    Ok(TestOutcome { statistic: u, p_value: (sides * p).min(1.0), degrees: None })
}

fn u_of(ties: &[Tie]) -> f64 {
    let (mut twice, mut below) = (0_u64, 0_usize);
    for tie in ties {
        twice += tie.x as u64 * (2 * below + tie.y) as u64;
        below += tie.y;
    }
    twice as f64 / 2.0
}

fn one_side(u: f64, pairs: f64, alternative: Alternative) -> (f64, f64) {
    match alternative {
        Alternative::TwoSided => (u.max(pairs - u), 2.0),
        Alternative::Less => (pairs - u, 1.0),
        Alternative::Greater => (u, 1.0),
    }
}

/// The share of arrangements with U of at least `u`.
fn arrangements_at_least(u: usize, n: usize, m: usize) -> f64 {
    let pairs = n * m;
    let counts = arrangements(n, m);
    let half: f64 = counts.iter().sum();
    let middle = if pairs.is_multiple_of(2) { counts.last().copied().unwrap_or(0.0) } else { 0.0 };
    let all = 2.0 * half - middle;
    let at_most = |k: usize| counts.iter().take(k + 1).sum::<f64>() / all;
    // U is symmetric: at least `u` is at most `pairs - u` of the other sample.
    match pairs.checked_sub(u) {
        None => 0.0,
        Some(k) if k <= pairs / 2 => at_most(k),
        Some(_) if u == 0 => 1.0,
        Some(_) => 1.0 - at_most(u - 1),
    }
}

/// Counts the arrangements with U = 0, 1, ..., nm / 2: the Gaussian binomial coefficients.
fn arrangements(n: usize, m: usize) -> Vec<f64> {
    let mut counts = vec![0.0; n * m / 2 + 1];
    if let Some(first) = counts.first_mut() {
        *first = 1.0;
    }
    // Multiplies by (1 - z^(m+i)) / (1 - z^i) for i = 1..n.
    for i in 1..=n {
        for at in (m + i..counts.len()).rev() {
            let lower = counts.get(at - m - i).copied().unwrap_or(0.0);
            counts.iter_mut().skip(at).take(1).for_each(|count| *count -= lower);
        }
        for at in i..counts.len() {
            let lower = counts.get(at - i).copied().unwrap_or(0.0);
            counts.iter_mut().skip(at).take(1).for_each(|count| *count += lower);
        }
    }
    counts
}

/// Tests whether two samples come from one distribution (Anderson, Annals of Mathematical Statistics 33,
/// 1962), with the limit law.
///
/// `statistic` is T of ties at mid-ranks; the p-value is the tail of the limit law at T standardised by its
/// exact mean and variance, summed until a term falls below 1e-7, all as in scipy. So two identical constants
/// have a p-value of about 0.01, and p-values below about 1e-7 are rounding.
///
/// # Errors
///
/// Fails when a sample has fewer than two values or a value is not finite.
pub fn cramer_von_mises(reference: &[f64], current: &[f64]) -> Result<TestOutcome, DistanceError> {
    let (x, y) = sorted_pair(reference, current, 2)?;
    let (nx, ny) = (x.len() as f64, y.len() as f64);
    let statistic = t_of(four_u(&ties(&x, &y), x.len(), y.len()), nx, ny);
    let (k, n) = (nx * ny, nx + ny);
    let mean = (1.0 + 1.0 / n) / 6.0;
    let variance = (n + 1.0) * (4.0 * k * n - 3.0 * (nx * nx + ny * ny) - 2.0 * k) / (45.0 * n * n * 4.0 * k);
    let standard = 1.0 / 6.0 + (statistic - mean) / sqrt(45.0 * variance);
    let p_value = if standard < 0.003 { 1.0 } else { (1.0 - limit_cdf(standard)).max(0.0) };
    Ok(TestOutcome { statistic, p_value, degrees: None })
}

/// [`cramer_von_mises`] with the exact p-value, by counting all paths (Xiao, Gordon and Yakovlev, Journal of
/// Statistical Software 17(8), 2006, algorithm 1). scipy takes it when both samples have at most 20 values.
///
/// # Errors
///
/// As [`cramer_von_mises`], and when a sample has more than 30 values.
pub fn cramer_von_mises_exact(reference: &[f64], current: &[f64]) -> Result<TestOutcome, DistanceError> {
    let (x, y) = sorted_pair(reference, current, 2)?;
    let (m, n) = (x.len(), y.len());
    let most = 30;
    if m.max(n) > most {
        return Err(DistanceError::TooMany { found: m.max(n), most });
    }
    let four_u = four_u(&ties(&x, &y), m, n);
    let statistic = t_of(four_u, m as f64, n as f64);
    Ok(TestOutcome { statistic, p_value: exact_tail(four_u as i128, m, n), degrees: None })
}

/// Four times U of Anderson's equation (10), whole with mid-ranks.
fn four_u(ties: &[Tie], n: usize, m: usize) -> u128 {
    // Twice the sum over one sample of the squared distances of pooled mid-rank and own rank, doubled.
    let (mut rank, mut own_x, mut own_y) = (0_u128, 0_u128, 0_u128);
    let (mut sum_x, mut sum_y) = (0_u128, 0_u128);
    for tie in ties {
        let (x, y) = (tie.x as u128, tie.y as u128);
        let twice_mid = 2 * rank + x + y + 1;
        let squares = |own: u128, count: u128| -> u128 {
            (own + 1..=own + count).map(|i| twice_mid.abs_diff(2 * i)).map(|d| d * d).sum()
        };
        sum_x += squares(own_x, x);
        sum_y += squares(own_y, y);
        rank += x + y;
        own_x += x;
        own_y += y;
    }
    n as u128 * sum_x + m as u128 * sum_y
}

fn t_of(four_u: u128, nx: f64, ny: f64) -> f64 {
    let (k, n) = (nx * ny, nx + ny);
    four_u as f64 / 4.0 / (k * n) - (4.0 * k - 1.0) / (6.0 * n)
}

/// The limit law's distribution function (Csörgő and Faraway, JRSS B 58, 1996, equation 1.3).
fn limit_cdf(x: f64) -> f64 {
    let root = sqrt(x);
    let mut sum = 0.0;
    for k in 0..10_000 {
        let k = f64::from(k);
        let u = exp(ln_gamma(k + 0.5) - ln_gamma(k + 1.0)) / (PI_TO_3_2 * root);
        let y = 4.0 * k + 1.0;
        let q = y * y / (16.0 * x);
        let term = u * sqrt(y) * exp(-2.0 * q) * bessel_k_quarter_scaled(q);
        sum += term;
        if term < 1e-7 {
            break;
        }
    }
    sum
}

const PI_TO_3_2: f64 = 5.568_327_996_831_708;

/// The share of paths whose statistic is at least that of `four_u / 4`.
fn exact_tail(four_u: i128, m: usize, n: usize) -> f64 {
    let lcm = m / common_divisor(m, n) * n;
    let (a, b) = ((lcm / m) as i128, (lcm / n) as i128);
    let (mn, lcm) = ((m * n) as i128, lcm as i128);
    let zeta = (lcm * lcm * (m + n) as i128 * (6 * four_u - 4 * mn * (4 * mn - 1))).div_euclid(24 * mn * mn);
    // Tables of (value, number of paths) for each count of the first sample.
    let mut row: Vec<Vec<(i128, f64)>> = vec![Vec::new(); m + 1];
    if let Some(first) = row.first_mut() {
        first.push((0, 1.0));
    }
    for u in 0..=n {
        let mut carried: Vec<(i128, f64)> = Vec::new();
        for (v, table) in row.iter_mut().enumerate() {
            let step = a * v as i128 - b * u as i128;
            carried = merged(&carried, table);
            for (value, _) in &mut carried {
                *value += step * step;
            }
            table.clone_from(&carried);
        }
    }
    let last = row.pop().unwrap_or_default();
    let all: f64 = last.iter().map(|(_, paths)| paths).sum();
    let beyond: f64 = last.iter().filter(|(value, _)| *value >= zeta).map(|(_, paths)| paths).sum();
    beyond / all
}

/// Adds two sorted tables.
fn merged(mut a: &[(i128, f64)], mut b: &[(i128, f64)]) -> Vec<(i128, f64)> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    loop {
        match (a.split_first(), b.split_first()) {
            (Some((x, rest_a)), Some((y, rest_b))) if x.0 == y.0 => {
                out.push((x.0, x.1 + y.1));
                (a, b) = (rest_a, rest_b);
            }
            (Some((x, rest)), Some((y, _))) if x.0 < y.0 => {
                out.push(*x);
                a = rest;
            }
            (_, Some((y, rest))) => {
                out.push(*y);
                b = rest;
            }
            (Some((x, rest)), None) => {
                out.push(*x);
                a = rest;
            }
            (None, None) => return out,
        }
    }
}

const fn common_divisor(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
