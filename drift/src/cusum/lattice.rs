//! The exact run length of a CUSUM of bits, whose sum moves on a lattice.

use alloc::vec;
use alloc::vec::Vec;

use crate::math::{exp, ln};

/// Run lengths are taken to grow by `e` for each unit of the log-likelihood ratio from here on, which no threshold
/// of a run length reaches.
const HIGHEST: f64 = 40.0;
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
        let highest = self.highest();
        let above = (chain - highest).max(0.0) * self.unit * self.block;
        let (_, length) = self.climb(|limit, _| limit >= chain.min(highest));
        self.block * length * exp(above.min(600.0))
    }

    /// Returns the average number of values until the sum reaches `limit` units at the rate looked for.
    pub(super) fn delay(&self, limit: f64) -> f64 {
        let shifted = Self { rate: self.rate * exp(self.up * self.unit), ..*self };
        let chain = ceil(limit / self.block).max(1.0);
        let highest = self.highest();
        let gain = shifted.rate * self.up - (1.0 - shifted.rate) * self.down;
        let above = (chain - highest).max(0.0) / gain;
        let (up, down, risen) = shifted.steps_of_block();
        let (_, length) = match up {
            1 => single_rises(down, risen, |limit, _| limit >= chain.min(highest)),
            _ => ladder((up, down), risen, |limit, _| limit >= chain.min(highest)),
        };
        self.block * (length + above)
    }

    /// Returns the least number of units whose run length is at least `arl`.
    pub(super) fn limit(&self, arl: f64) -> f64 {
        // A ratio of `h` has a run length of at least `exp(h)`, so that this ends.
        self.climb(|_, length| self.block * length >= arl).0 * self.block
    }

    /// The highest limit, in steps of the chain, that is computed.
    fn highest(&self) -> f64 {
        round(HIGHEST / (self.unit * self.block)).max(1.0)
    }

    /// Goes up limit by limit until `done` with a limit and its run length; returns both.
    fn climb(&self, done: impl FnMut(f64, f64) -> bool) -> (f64, f64) {
        match self.steps_of_block() {
            (1, down, risen) => single_rises(down, risen, done),
            (up, 1, risen) => single_falls(up, risen, done),
            (up, down, risen) => ladder((up, down), risen, done),
        }
    }

    /// The chain's steps up and down, and the probability of the first.
    fn steps_of_block(&self) -> (usize, usize, f64) {
        let units = |step: f64| round(step / self.block).max(1.0) as usize;
        let risen =
            if self.up > self.down { self.rate * self.block } else { 1.0 - (1.0 - self.rate) * self.block };
        (units(self.up), units(self.down), risen)
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

/// The run lengths of limits 1, 2 and so on where the sum rises by 1 or falls by `down`.
///
/// The mean time from `s` to `s + 1` follows from those below it: a fall makes up for each of them again. All
/// terms are positive, so that nothing cancels.
fn single_rises(down: usize, risen: f64, mut done: impl FnMut(f64, f64) -> bool) -> (f64, f64) {
    let mut times = Window::new(down);
    let (mut limit, mut length) = (0.0, 0.0);
    loop {
        let time = (1.0 + (1.0 - risen) * times.sum()) / risen;
        times.push(time);
        limit += 1.0;
        length += time;
        if done(limit, length) {
            return (limit, length);
        }
    }
}

/// The run lengths of limits 1, 2 and so on where the sum rises by `up` or falls by 1, and falls in the mean.
///
/// Seen from the limit downwards, a run length is a multiple of the scale function `W` of the walk, with
/// `q W(k + 1) = W(k) - p W(k - up)` and `W(1) = 1`, less a sum of it; the multiple is what makes it level at 0:
/// `W(n)^2 / (q (W(n + 1) - W(n))) - (W(1) + ... + W(n - 1)) / q`. The increments of `W` are positive multiples
/// of sums of earlier ones, and the multiple outgrows the sum, so that no digits are lost.
fn single_falls(up: usize, risen: f64, mut done: impl FnMut(f64, f64) -> bool) -> (f64, f64) {
    let fallen = 1.0 - risen;
    let mut increments = Window::new(up);
    increments.push(1.0);
    let (mut limit, mut scale, mut below) = (1.0, 1.0, 0.0);
    loop {
        let increment = risen / fallen * increments.sum();
        let length = (scale * scale / increment - below) / fallen;
        if done(limit, length) {
            return (limit, length);
        }
        increments.push(increment);
        limit += 1.0;
        below += scale;
        scale += increment;
    }
}

/// The run lengths of limits 1, 2 and so on for steps `up` and `down`.
///
/// Brook and Evans' chain, its states left out from the lowest up (Grassmann, Taksar and Heyman 1985): of each
/// state remain the mean time until the sum is above it, and where it then is. A run length is the sum of
/// those times, each times the chance that its state is a new highest. The chance of staying is never taken
/// from 1, so that nothing cancels.
fn ladder((up, down): (usize, usize), risen: f64, mut done: impl FnMut(f64, f64) -> bool) -> (f64, f64) {
    // Of the last `down` states: the time, then the chances of 1 to `up` units above.
    let mut rows: Vec<f64> = vec![0.0; down * (up + 1)];
    // The chance of each of the states from `down` below the present one to `up` above it.
    let mut window = vec![0.0; down + 1 + up];
    // The chances of the present state and the next `up` of being a new highest.
    let mut highest = vec![0.0; up + 1];
    highest.iter_mut().take(1).for_each(|first| *first = 1.0);
    let (mut limit, mut length) = (0.0, 0.0);
    for state in 0_usize.. {
        window.fill(0.0);
        let floor = down.saturating_sub(state);
        window.iter_mut().skip(floor).take(1).for_each(|fallen| *fallen = 1.0 - risen);
        let mut time = 1.0;
        let oldest = state % down;
        let (newer, older) = rows.split_at(oldest * (up + 1));
        let below = older.chunks_exact(up + 1).chain(newer.chunks_exact(up + 1));
        for (j, row) in below.enumerate().skip(floor) {
            let Some((weight, above)) = window.get_mut(j..).and_then(<[f64]>::split_first_mut) else { break };
            let Some((own, chances)) = row.split_first() else { break };
            time += *weight * own;
            above.iter_mut().zip(chances).for_each(|(to, chance)| *to += *weight * chance);
        }
        window.iter_mut().rev().take(1).for_each(|top| *top += risen);
        let above = window.get(down + 1..).unwrap_or(&[]);
        let scale = 1.0 / above.iter().sum::<f64>();
        time *= scale;
        let reached = highest.first().copied().unwrap_or(0.0);
        limit += 1.0;
        length += reached * time;
        if done(limit, length) {
            break;
        }
        highest.rotate_left(1);
        highest.iter_mut().rev().take(1).for_each(|last| *last = 0.0);
        highest.iter_mut().zip(above).for_each(|(to, chance)| *to += reached * scale * chance);
        let row = rows.iter_mut().skip(oldest * (up + 1));
        row.zip(core::iter::once(&time).chain(above)).enumerate().for_each(|(j, (to, from))| {
            *to = if j == 0 { *from } else { scale * from };
        });
    }
    (limit, length)
}

/// The sum of the last numbers pushed, without subtraction: sums of the older half from each on, and one of
/// the newer half.
struct Window {
    length: usize,
    numbers: Vec<f64>,
    /// Sums of the older numbers, each with all after it among them; the largest, of the oldest, is last.
    older: Vec<f64>,
    newer: f64,
}

impl Window {
    fn new(length: usize) -> Self {
        Self { length, numbers: Vec::with_capacity(length), older: Vec::with_capacity(length), newer: 0.0 }
    }

    fn sum(&self) -> f64 {
        self.older.last().copied().unwrap_or(0.0) + self.newer
    }

    fn push(&mut self, number: f64) {
        if self.numbers.len() + self.older.len() == self.length {
            if self.older.is_empty() {
                let mut sum = 0.0;
                for number in self.numbers.drain(..).rev() {
                    sum += number;
                    self.older.push(sum);
                }
                self.newer = 0.0;
            }
            self.older.pop();
        }
        self.numbers.push(number);
        self.newer += number;
    }
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
