//! The distribution of the one-sample statistic `D_n`, which scipy takes for large pairs of samples.
//!
//! The regions and their formulas are those of Simard and L'Ecuyer (2011).

use alloc::vec;
use alloc::vec::Vec;

use crate::math::{exp, ln, sqrt};

const PI: f64 = core::f64::consts::PI;
const PI_2: f64 = PI * PI;
/// Beyond this many values the one-sided tail is taken from its expansion.
const SUM_UP_TO: u64 = 1_000_000;
const TWO_128: f64 = 3.402_823_669_209_385e38;

/// Rounds a positive number to the nearest whole one, halves to the even one.
pub(super) fn round_to_even(x: f64) -> u64 {
    let floor = x as u64;
    let rest = x - floor as f64;
    floor + u64::from(rest > 0.5 || (rest == 0.5 && floor % 2 == 1))
}

/// Returns `P(D_n >= d)`.
pub(super) fn p_value(n: u64, d: f64) -> f64 {
    let count = n as f64;
    let (t, square) = (count * d, count * d * d);
    if t <= 0.5 || d <= 0.0 {
        return 1.0;
    }
    if d >= 1.0 {
        return 0.0;
    }
    let p = if t <= 1.0 {
        // n! (2d - 1/n)^n
        1.0 - exp((1..=n).fold(0.0, |sum, i| sum + ln(i as f64 * (2.0 * t - 1.0) / count)))
    } else if t >= count - 1.0 {
        2.0 * power(1.0 - d, n)
    } else if square >= 370.0 {
        0.0
    } else if d >= 0.5 || square > if n <= 140 { 4.0 } else { 2.2 } {
        2.0 * one_sided(n, d)
    } else if n <= 140 || (n <= 100_000 && count * d * sqrt(d) <= 1.4) {
        1.0 - matrix(n, d)
    } else {
        1.0 - expansion(n, d)
    };
    p.clamp(0.0, 1.0)
}

/// Raises to a whole power by squaring.
fn power(x: f64, n: u64) -> f64 {
    let (mut result, mut factor, mut left) = (1.0, x, n);
    while left > 0 {
        if left % 2 == 1 {
            result *= factor;
        }
        factor *= factor;
        left /= 2;
    }
    result
}

/// Returns `P(D_n+ >= d) = d sum over j of C(n, j) (d + j/n)^(j-1) (1 - d - j/n)^(n-j)` (Smirnov).
fn one_sided(n: u64, d: f64) -> f64 {
    let count = n as f64;
    if n > SUM_UP_TO {
        let root = 6.0 * count * d + 1.0;
        return exp(-root * root / (18.0 * count));
    }
    // ln C(n, j), with what each addition rounds away.
    let (mut binomial, mut lost) = (0.0, 0.0);
    let mut sum = 0.0;
    for j in 0..n {
        let a = d + j as f64 / count;
        // The j at which a reaches 1 ends the sum.
        let b = (count - count * d - j as f64) / count;
        if b <= 0.0 {
            break;
        }
        sum += exp(binomial + (j as f64 - 1.0) * ln(a) + (n - j) as f64 * ln(b));
        let add = ln((n - j) as f64 / (j + 1) as f64) - lost;
        let next = binomial + add;
        lost = (next - binomial) - add;
        binomial = next;
    }
    d * sum
}

/// Returns `P(D_n < d)` as an entry of the n-th power of a matrix (Durbin 1968; Marsaglia, Tsang and Wang
/// 2003), with exponents of two kept apart.
fn matrix(n: u64, d: f64) -> f64 {
    let t = n as f64 * d;
    let k = { t as usize } + usize::from(t > { t as u64 } as f64);
    let h = k as f64 - t;
    let size = 2 * k - 1;
    let factorials: Vec<f64> = (1..=size)
        .scan(1.0, |factor, i| {
            *factor /= i as f64;
            Some(*factor)
        })
        .collect();
    let inverse = |i: usize| if i == 0 { 1.0 } else { factorials.get(i - 1).copied().unwrap_or(0.0) };
    let cell = |row: usize, column: usize| {
        let corner = row == size - 1 && column == 0;
        if corner {
            let both = if 2.0 * h > 1.0 { power(2.0 * h - 1.0, size as u64) } else { 0.0 };
            (1.0 - 2.0 * power(h, size as u64) + both) * inverse(size)
        } else if column == 0 {
            (1.0 - power(h, row as u64 + 1)) * inverse(row + 1)
        } else if row == size - 1 {
            (1.0 - power(h, (size - column) as u64)) * inverse(size - column)
        } else if row + 1 >= column {
            inverse(row + 1 - column)
        } else {
            0.0
        }
    };
    let mut base =
        Scaled { cells: (0..size * size).map(|i| cell(i / size, i % size)).collect(), size, exponent: 0 };
    let unit = |i: usize| if i / size == i % size { 1.0 } else { 0.0 };
    let mut result = Scaled { cells: (0..size * size).map(unit).collect(), size, exponent: 0 };
    let mut left = n;
    while left > 0 {
        if left % 2 == 1 {
            result = result.times(&base);
        }
        left /= 2;
        if left > 0 {
            base = base.times(&base);
        }
    }
    let (mut p, mut exponent) = (result.middle(), result.exponent);
    for i in 1..=n {
        p *= i as f64 / n as f64;
        if p < 1.0 / TWO_128 {
            p *= TWO_128;
            exponent -= 1;
        }
    }
    (0..exponent.unsigned_abs()).fold(p, |p, _| if exponent > 0 { p * TWO_128 } else { p / TWO_128 })
}

/// A square matrix times `2^(128 exponent)`.
struct Scaled {
    cells: Vec<f64>,
    size: usize,
    exponent: i32,
}

impl Scaled {
    fn middle(&self) -> f64 {
        self.cells.get(self.cells.len() / 2).copied().unwrap_or(0.0)
    }

    fn times(&self, other: &Self) -> Self {
        let mut cells = vec![0.0; self.cells.len()];
        for (row, out) in self.cells.chunks(self.size).zip(cells.chunks_mut(self.size)) {
            for (factor, line) in row.iter().zip(other.cells.chunks(self.size)) {
                for (cell, value) in out.iter_mut().zip(line) {
                    *cell += factor * value;
                }
            }
        }
        let mut product = Self { cells, size: self.size, exponent: self.exponent + other.exponent };
        if product.middle() > TWO_128 {
            product.cells.iter_mut().for_each(|cell| *cell /= TWO_128);
            product.exponent += 1;
        }
        product
    }
}

/// Returns `P(D_n < d)` from the limit and its terms in `n^(-1/2)`, `n^-1` and `n^(-3/2)` (Pelz and Good
/// 1976), as sums that converge fast for small arguments.
fn expansion(n: u64, d: f64) -> f64 {
    let root = sqrt(n as f64);
    let z = root * d;
    let z2 = z * z;
    let (z4, z6) = (z2 * z2, z2 * z2 * z2);
    let log = -PI_2 / (8.0 * z2);
    if log < -700.0 {
        return 0.0;
    }
    let pi_4 = PI_2 * PI_2;
    let (mut k0, mut k1, mut k2, mut k3) = (0.0, 0.0, 0.0, 0.0);
    let terms = (16.0 * z / PI) as u64 + 1;
    for k in (1..=terms).rev() {
        let m2 = ((2 * k - 1) * (2 * k - 1)) as f64;
        let (m4, m6) = (m2 * m2, m2 * m2 * m2);
        let weight = exp(log * m2);
        k0 += weight;
        k1 += weight * (PI_2 / 4.0 * m2 - z2);
        let second = 6.0 * z6 + 2.0 * z4 + (2.0 * z4 - 5.0 * z2) * PI_2 / 4.0 * m2;
        k2 += weight * (second + pi_4 * (1.0 - 2.0 * z2) / 16.0 * m4);
        let third = -30.0 * z6 - 90.0 * z4 * z4 + PI_2 * (135.0 * z4 - 96.0 * z6) / 4.0 * m2;
        let fourth = pi_4 * (212.0 * z4 - 60.0 * z2) / 16.0 * m4;
        k3 += weight * (third + fourth + pi_4 * PI_2 * (5.0 - 30.0 * z2) / 64.0 * m6);
    }
    let (mut more2, mut more3) = (0.0, 0.0);
    for k in (1..=terms).rev() {
        let squared = (k * k) as f64;
        let weight = squared * exp(4.0 * log * squared);
        more2 += weight;
        more3 += weight * (3.0 * z2 - PI_2 * squared);
    }
    k0 /= z;
    k1 /= 6.0 * z4;
    k2 = k2 / (72.0 * z6 * z) - PI_2 * more2 / (36.0 * z2 * z);
    k3 = k3 / (6480.0 * z6 * z4) + PI_2 * more3 / (216.0 * z6);
    sqrt(2.0 * PI) * (k0 + (k1 + (k2 + k3 / root) / root) / root)
}

#[cfg(test)]
mod tests {
    use super::{p_value, round_to_even};

    /// `scipy.stats.kstwo.sf` (1.17.1), at least one in each region.
    #[test]
    #[expect(clippy::unreadable_literal, reason = "as scipy prints them")]
    fn tails_agree_with_scipy() {
        let table: [(u64, f64, f64); 25] = [
            (1, 0.8, 0.3999999999999999),
            (2, 0.565685424949238, 0.37725830020304796),
            (3, 0.6928203230275509, 0.05797055172824561),
            (10, 0.15811388300841897, 0.9316945195670987),
            (10, 0.31622776601683794, 0.21828385386284876),
            (20, 0.17888543819998318, 0.48908495494245874),
            (50, 0.282842712474619, 0.0004949032425073385),
            (100, 0.06, 0.8428847956274123),
            (139, 0.10178267156159651, 0.10465971783448971),
            (139, 0.17811967523279393, 0.00024961520080917383),
            (140, 0.033806170189140665, 0.9956218793377384),
            (141, 0.03368607684266076, 0.9956279094470666),
            (141, 0.12463848431784481, 0.022837620551714344),
            (141, 0.12548063623891131, 0.02150089188616989),
            (200, 0.035355339059327376, 0.9563606607042097),
            (500, 0.044721359549995794, 0.26212693581294755),
            (1000, 0.009486832980505138, 0.9999856452042073),
            (1000, 0.012649110640673518, 0.9966370622170081),
            (10000, 0.005, 0.9628778025204304),
            (10000, 0.03, 2.9761211950626197e-08),
            (100000, 0.0018973665961010274, 0.8635855357589762),
            (100000, 0.015811388300841896, 3.8068818361729104e-22),
            (999999, 0.0020000010000007502, 0.0006700277099168102),
            (5000000, 0.0004472135954999579, 0.26991978552331053),
            (5000000, 0.0013416407864998738, 3.0432727115631877e-08),
        ];
        for (n, d, expected) in table {
            let p = p_value(n, d);
            assert!((p - expected).abs() <= 1e-10 * expected, "{n} {d}: {p} for {expected}");
        }
    }

    #[test]
    fn tails_have_ends() {
        assert_eq!([p_value(9, 0.0), p_value(9, 0.05), p_value(9, 1.0)], [1.0, 1.0, 0.0]);
        assert_eq!([0.5, 1.5, 2.5, 2.6].map(round_to_even), [0, 2, 2, 3]);
    }
}
