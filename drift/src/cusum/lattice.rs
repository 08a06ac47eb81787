//! The exact run length of a CUSUM of bits, whose sum moves on a lattice.

use alloc::vec;
use alloc::vec::Vec;

use crate::math::{exp, ln};

/// Run lengths from here on are taken to grow by `e` for each unit of the log-likelihood ratio.
const SETTLED: f64 = 1e11;
/// Log-likelihood ratios from here on do so.
const HIGHEST: f64 = 28.0;
/// Added to a threshold that is not computed to its end, as a log-likelihood ratio.
const MARGIN: f64 = 0.01;
/// A rise of more units than the first, or a fall of more than the second, is reckoned in blocks of units:
/// as many values are one step of the chain.
const FINEST: (f64, f64) = (400.0, 250.0);

/// One side of a CUSUM of bits: `up` units for one kind of bit, `-down` units for the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lattice {
    /// Probability of the kind that raises the sum, before the change.
    rate: f64,
    up: f64,
    down: f64,
    /// Log-likelihood ratio of one unit.
    pub(super) unit: f64,
    /// Values that the chain takes as one; 1 unless one kind is rare.
    block: f64,
}

impl Lattice {
    /// Lays the lattice for a change of the rate of the raising kind from `rate` to `other`, above it.
    ///
    /// The quotient of the two steps is rounded to one of small whole numbers, which makes it that of a rate
    /// near `other`.
    pub(super) fn new(rate: f64, other: f64) -> Self {
        let rise = ln(other / rate);
        let fall = ln((1.0 - rate) / (1.0 - other));
        let quotient = rise / fall;
        let (mut up, mut down, mut error) = (1.0, 1.0, f64::INFINITY);
        for small in (1..=16).map(f64::from) {
            let rounded = if quotient >= 1.0 {
                (round(small * quotient), small)
            } else {
                (small, round(small / quotient))
            };
            let off = (rounded.0 / rounded.1 / quotient - 1.0).abs();
            if off < error {
                (up, down) = rounded;
                error = off;
            }
            if error < 0.005 {
                break;
            }
        }
        let unit = unit(rate, up, down, (rise + fall) / (up + down));
        let block = match (up, down) {
            (up, 1.0) => ceil(up / FINEST.0),
            (1.0, down) => ceil(down / FINEST.1),
            _ => 1.0,
        };
        Self { rate, up, down, unit, block }
    }

    /// Returns the units for the kind that raises the sum and, negative, for the other.
    pub(super) const fn steps(&self) -> (f64, f64) {
        (self.up, -self.down)
    }

    /// Returns the average number of values until the sum reaches `limit` units.
    pub(super) fn run_length(&self, limit: f64) -> f64 {
        let chain = ceil(limit / self.block).max(1.0);
        let highest = round(HIGHEST / (self.unit * self.block)).max(1.0);
        let above = (chain - highest).max(0.0) * self.unit * self.block;
        self.block * self.chain(chain.min(highest) as usize) * exp(above.min(600.0))
    }

    /// Returns the average number of values until the sum reaches `limit` units at the rate looked for.
    pub(super) fn delay(&self, limit: f64) -> f64 {
        let shifted = Self { rate: self.rate * exp(self.up * self.unit), ..*self };
        let chain = ceil(limit / self.block).max(1.0);
        let highest = round(HIGHEST / (self.unit * self.block)).max(1.0);
        let gain = shifted.rate * self.up - (1.0 - shifted.rate) * self.down;
        let above = (chain - highest).max(0.0) / gain;
        self.block * (shifted.chain(chain.min(highest) as usize) + above)
    }

    /// Solves Brook and Evans' chain of `n` states from the highest down: each state's run length is a
    /// combination of those of the `down` states below it, which replaces it in the equations of the lower.
    fn chain(&self, n: usize) -> f64 {
        let (up, down, risen) = self.steps_of_block();
        let width = down + 1;
        // Each row: the constant, then the weights of the states below, the nearest first.
        let mut rows: Vec<f64> = vec![0.0; n * width];
        let mut window = vec![0.0; up + width];
        for state in (0..n).rev() {
            let risen = if state + up < n { risen } else { 0.0 };
            let constant = substitute(&rows, &mut window, (state, up, width), risen);
            let (mut own, below) = match window.get_mut(up..).and_then(<[f64]>::split_first_mut) {
                Some((own, below)) => (*own, below),
                None => return f64::INFINITY,
            };
            // A zero falls `down` states, and not below 0.
            let fallen = 1.0 - self.steps_of_block().2;
            match state.min(down).checked_sub(1) {
                Some(nearest) => below.iter_mut().skip(nearest).take(1).for_each(|weight| *weight += fallen),
                None => own += fallen,
            }
            let scale = 1.0 / (1.0 - own);
            let row = rows.iter_mut().skip(state * width);
            for (to, from) in row.zip(core::iter::once(&constant).chain(below.iter())) {
                *to = from * scale;
            }
        }
        rows.first().copied().unwrap_or(f64::INFINITY)
    }

    /// The chain's steps up and down, and the probability of the first.
    fn steps_of_block(&self) -> (usize, usize, f64) {
        let units = |step: f64| round(step / self.block).max(1.0) as usize;
        let risen =
            if self.up > self.down { self.rate * self.block } else { 1.0 - (1.0 - self.rate) * self.block };
        (units(self.up), units(self.down), risen)
    }

    /// Returns the least number of units whose run length is at least `arl`.
    pub(super) fn limit(&self, arl: f64) -> f64 {
        let settled = arl.min(SETTLED);
        let unit = self.unit * self.block;
        let length = |chain: f64| self.block * self.chain(chain as usize);
        let mut above = round(ln((settled * self.rate).max(2.0)) / unit).max(1.0);
        for _ in 0..20 {
            let step = round(ln(settled / length(above)) / unit);
            if step == 0.0 || above + step < 1.0 {
                break;
            }
            above += step;
        }
        let mut stride = 1.0;
        while length(above) < settled {
            above += stride;
            stride *= 2.0;
        }
        let mut below = (above - stride).max(0.0);
        while below > 0.0 && length(below) >= settled {
            above = below;
            stride *= 2.0;
            below = (below - stride).max(0.0);
        }
        while above - below > 1.0 {
            let middle = (0.5 * (below + above)) as u64 as f64;
            if length(middle) >= settled { above = middle } else { below = middle }
        }
        // Further up the lattice still shows, by less than the margin.
        let further = if arl > settled { ln(arl / settled) + MARGIN } else { 0.0 };
        above * self.block + ceil(further / self.unit)
    }
}

/// Returns the unit with which the two steps are the log-likelihood ratios of some rate against `rate`: the
/// positive root of `rate exp(up u) + (1 - rate) exp(-down u) = 1`, near `guess`.
fn unit(rate: f64, up: f64, down: f64, guess: f64) -> f64 {
    let excess = |u: f64| rate * (exp(up * u) - 1.0) + (1.0 - rate) * (exp(-down * u) - 1.0);
    let (mut low, mut high) = (0.5 * guess, 2.0 * guess);
    if excess(low) >= 0.0 || excess(high) <= 0.0 {
        return guess;
    }
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if excess(middle) < 0.0 { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// Fills `window` with the weights of the states from `state + up` down in the equation of `state`, with those
/// above `state` replaced by their rows of `width`; `risen` is the probability of the highest. Returns the
/// constant.
fn substitute(rows: &[f64], window: &mut [f64], at: (usize, usize, usize), risen: f64) -> f64 {
    let (state, up, width) = at;
    let mut constant = 1.0;
    window.fill(0.0);
    let Some(highest) = window.first_mut() else { return constant };
    *highest = risen;
    let above = rows.get((state + 1) * width..(state + up + 1) * width).unwrap_or(&[]);
    for (j, row) in above.chunks_exact(width).rev().enumerate() {
        let Some((weight, below)) = window.get_mut(j..).and_then(<[f64]>::split_first_mut) else { break };
        let Some((own, weights)) = row.split_first() else { break };
        constant += *weight * own;
        for (to, from) in below.iter_mut().zip(weights) {
            *to += *weight * from;
        }
    }
    constant
}

/// Rounds a number from 0 to 2^53, or a negative one, to the nearest whole number.
fn round(x: f64) -> f64 {
    let whole = (x.abs() + 0.5) as u64 as f64;
    if x < 0.0 { -whole } else { whole }
}

/// Rounds up; of numbers from 0 to 2^53.
pub(super) fn ceil(x: f64) -> f64 {
    let below = x as u64 as f64;
    if below < x { below + 1.0 } else { below }
}
