//! The run length of a CUSUM of Gaussian values, by Page's integral equation.

use alloc::vec;
use alloc::vec::Vec;

use crate::math::{exp, ln};

/// The least threshold, in deviations: where a single value raises the sum less often than once in the run length.
const LEAST: f64 = 1e-6;
/// Higher thresholds, in deviations, follow Siegmund's formula from here on.
const HIGHEST: f64 = 60.0;
/// Width of a panel of eight nodes, in deviations.
const PANEL: f64 = 2.5;
/// Expected overshoot of both ends in Siegmund's formula.
const OVERSHOOT: f64 = 1.166;

/// Gauss-Legendre nodes and weights on [-1, 1] (Abramowitz and Stegun, table 25.4, n = 8), positive half.
const GAUSS: [(f64, f64); 4] = [
    (0.183_434_642_495_649_8, 0.362_683_783_378_362),
    (0.525_532_409_916_329, 0.313_706_645_877_887_3),
    (0.796_666_477_413_626_7, 0.222_381_034_453_374_5),
    (0.960_289_856_497_536_3, 0.101_228_536_290_376_3),
];

/// Returns the average number of standard normal values until `s = max(0, s + x - k)` reaches `h`. A negative
/// `k` is a mean that has shifted.
pub(super) fn run_length(k: f64, h: f64) -> f64 {
    let beyond = if h > HIGHEST { siegmund(k, h) / siegmund(k, HIGHEST) } else { 1.0 };
    let length = solve(k, h.min(HIGHEST)) * beyond;
    // Both formulas overflow where nobody waits for it.
    if length < f64::MAX { length } else { f64::MAX }
}

/// Returns the threshold in deviations with this run length, or the least with a greater one.
pub(super) fn threshold(k: f64, arl: f64) -> f64 {
    let off = |h: f64| ln(arl / run_length(k, h));
    if off(LEAST) <= 0.0 {
        return LEAST;
    }
    let (mut low, mut high) = (LEAST, 1.0);
    while siegmund(k, high) < arl && high < 1e9 {
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if siegmund(k, middle) < arl { low = middle } else { high = middle }
    }
    // The formula is near enough for secants in the logarithm; its own slope starts them.
    let mut h = high;
    let mut slope = ln(siegmund(k, h * 1.001) / siegmund(k, h)) / (0.001 * h);
    (low, high) = (LEAST, f64::MAX);
    let mut missing = off(h);
    for _ in 0..60 {
        if missing > 0.0 {
            low = h;
        } else {
            high = h;
        }
        let mut next = h + missing / slope;
        if !(next > low && next < high) {
            next = if high < f64::MAX { f64::midpoint(low, high) } else { 2.0 * h };
        }
        if (next - h).abs() <= 1e-12 * h {
            break;
        }
        let then = off(next);
        slope = (missing - then) / (next - h);
        (h, missing) = (next, then);
    }
    h
}

/// Siegmund, "Sequential Analysis" (1985), section 2.6: the corrected diffusion.
fn siegmund(k: f64, h: f64) -> f64 {
    let b = 2.0 * k * (h + OVERSHOOT);
    // exp(b) - 1 - b, without its cancellation.
    let rest = if b.abs() < 0.01 { b * b * (0.5 + b / 6.0) } else { exp(b) - 1.0 - b };
    rest / (2.0 * k * k)
}

/// Solves `L(s) = 1 + L(0) P(x <= k - s) + ∫ L(y) φ(y + k - s) dy` at the nodes and 0, as a chain that moves
/// between them or ends.
fn solve(k: f64, h: f64) -> f64 {
    let panels = (h / PANEL) as usize + 1;
    let half = 0.5 * h / panels as f64;
    let mut nodes = vec![(0.0, 0.0)];
    for panel in 0..panels {
        let centre = half * (2 * panel + 1) as f64;
        nodes.extend(
            GAUSS.iter().flat_map(|&(x, w)| [(centre - half * x, half * w), (centre + half * x, half * w)]),
        );
    }
    let rows: Vec<Row> = nodes
        .iter()
        .map(|&(s, _)| {
            let weight = |(j, &(y, w)): (usize, &(f64, f64))| {
                if j == 0 { below(k - s) } else { w * density(y + k - s) }
            };
            Row { moves: nodes.iter().enumerate().map(weight).collect(), end: below(s - k - h), time: 1.0 }
        })
        .collect();
    eliminate(rows).max(1.0)
}

/// One state of the chain: the probabilities of a move to each state and of the end, and the time spent.
struct Row {
    moves: Vec<f64>,
    end: f64,
    time: f64,
}

/// Returns the mean time to the end from the first state. States are left out from the last up (Grassmann,
/// Taksar and Heyman 1985): the probability of staying is never taken from 1, so that nothing cancels and
/// every digit is good however rare the end is.
fn eliminate(mut rows: Vec<Row>) -> f64 {
    while let Some(last) = rows.pop() {
        let at = rows.len();
        let others = last.moves.get(..at).unwrap_or(&[]);
        let leaves = others.iter().sum::<f64>() + last.end;
        if at == 0 || leaves <= 0.0 {
            return last.time / leaves;
        }
        for row in &mut rows {
            let factor = row.moves.get(at).copied().unwrap_or(0.0) / leaves;
            row.end += factor * last.end;
            row.time += factor * last.time;
            row.moves.iter_mut().zip(others).for_each(|(to, from)| *to += factor * from);
        }
    }
    1.0
}

fn density(x: f64) -> f64 {
    exp(-0.5 * x * x) * 0.398_942_280_401_432_7
}

/// The standard normal distribution function: a series near 0, Laplace's continued fraction in the tails.
fn below(x: f64) -> f64 {
    let z = x.abs();
    let upper = if z < 4.0 {
        let (mut term, mut sum, mut n) = (z, z, 1.0);
        while term > 1e-17 * sum {
            n += 2.0;
            term *= z * z / n;
            sum += term;
        }
        0.5 - density(z) * sum
    } else {
        let fraction = (1..=60).rev().fold(0.0, |tail, n| f64::from(n) / (z + tail));
        density(z) / (z + fraction)
    };
    if x > 0.0 { 1.0 - upper } else { upper }
}
