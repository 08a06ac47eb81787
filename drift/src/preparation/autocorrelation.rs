//! The integrated autocorrelation time of a stream: how many values weigh as much as one.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u32};
use crate::math::sqrt;
use crate::state::{VALUE_LIMIT, bounded, ensure};

/// Means of 1, 2, 4, ... 2,048 values are followed.
const RUNGS: usize = 12;
/// Values of a window, at most.
pub(crate) const WINDOW_LIMIT: u64 = 1 << 20;
/// Fewest means of a rung that say anything.
const FEWEST: u32 = 32;
/// Fewest means of a rung that raise a suspicion, and deviations of a correlation of none at which they do.
const SUSPECT_FEWEST: u32 = 16;
const SUSPECT: f64 = 3.5;
/// ln of one over the chance that a rung without dependence is taken for one with.
const CAUTION: f64 = 9.21; // 1e-4

/// The means of one length: their number, moments, and products of neighbours.
#[derive(Clone, Copy, Debug, Default)]
struct Rung {
    count: u32,
    /// Is true when the last mean waits for its neighbour to make one of twice the length.
    waiting: bool,
    first: f64,
    last: f64,
    sum: f64,
    squares: f64,
    products: f64,
    /// Largest size.
    most: f64,
}

impl Rung {
    /// Takes a mean; returns the mean of a pair when this completes one.
    #[inline]
    fn add(&mut self, y: f64) -> Option<f64> {
        let before = self.last;
        if self.count == 0 {
            self.first = y;
        } else {
            self.products += before * y;
        }
        self.most = self.most.max(y.abs());
        self.count += 1;
        self.last = y;
        self.sum += y;
        self.squares += y * y;
        self.waiting = !self.waiting;
        if self.waiting { None } else { Some(f64::midpoint(before, y)) }
    }

    fn mean(&self) -> f64 {
        self.sum / f64::from(self.count.max(1))
    }

    fn variance(&self) -> f64 {
        (self.squares / f64::from(self.count.max(1)) - self.mean() * self.mean()).max(0.0)
    }

    /// Returns the correlation of neighbours when it is too large for independent means, else nothing.
    ///
    /// Freedman's bound for the sum of `y_i y_(i+1)`, whose variance is `n var^2` whatever the law, and
    /// whose terms are at most the largest squared deviation: a few rare errors side by side are not yet
    /// dependence.
    fn dependence(&self) -> Option<f64> {
        if self.count < FEWEST {
            return None;
        }
        let (n, mean, variance, product) = self.centred();
        let reach = self.most + mean.abs();
        let chance = sqrt(2.0 * n * CAUTION) * variance + reach * reach * CAUTION / 3.0;
        // Rounding leaves a variance where there is none.
        let rounding = 1e-24 * mean.abs().max(reach);
        let real = variance > rounding * mean.abs().max(reach);
        (real && product > chance).then(|| (product / (n * variance)).min(0.999))
    }

    /// The number of means, their mean and variance, and the sum of the products of neighbours about it.
    fn centred(&self) -> (f64, f64, f64, f64) {
        let (n, mean, variance) = (f64::from(self.count), self.mean(), self.variance());
        let ends = self.first + self.last;
        let product = self.products - mean * (2.0 * self.sum - ends) + (n - 1.0) * mean * mean;
        (n, mean, variance, product)
    }

    /// Whether the correlation of neighbours is larger than one expects of independent means.
    fn is_suspect(&self) -> bool {
        let (n, _, variance, product) = self.centred();
        self.count >= SUSPECT_FEWEST && variance > 0.0 && product > SUSPECT * sqrt(n) * variance
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_u32(out, self.count);
        out.push(u8::from(self.waiting));
        for x in self.numbers() {
            put_f64(out, x);
        }
    }

    const fn numbers(&self) -> [f64; 6] {
        let Self { first, last, sum, squares, products, most, .. } = *self;
        [first, last, most, sum, squares, products]
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = bytes.u32()?;
        ensure(u64::from(count) <= WINDOW_LIMIT, "rung")?;
        let waiting = bytes.u8()?;
        ensure(u32::from(waiting) == count % 2, "rung")?;
        let first = bounded(bytes, "first", 2.01)?;
        let last = bounded(bytes, "last", 2.01)?;
        let most = bounded(bytes, "most", 2.01)?;
        let sum = bounded(bytes, "sum", 1e7)?;
        let (squares, products) = (bytes.finite("squares")?, bytes.finite("products")?);
        ensure(squares >= 0.0 && squares.max(products.abs()) <= 1e210, "squares")?;
        Ok(Self { count, waiting: waiting == 1, first, last, sum, squares, products, most })
    }
}

/// Estimates the integrated autocorrelation time `1 + 2 sum_k rho_k` from one pass over a window.
///
/// Means of 1, 2, 4, ... values are followed at once; of each length the variance and the correlation of
/// neighbours. From length `b` the time is `b var_b / var_1 (1 + rho_b) / (1 - rho_b)`: exact at length 1
/// for a first-order autoregression, and at a great length for anything. The largest over the lengths
/// whose correlation is beyond chance is taken; where none is, the values are taken as independent.
#[derive(Clone, Debug)]
pub(crate) struct Autocorrelation {
    origin: f64,
    rungs: Box<[Rung; RUNGS]>,
}

impl Autocorrelation {
    /// Bytes on the heap.
    pub(crate) const HEAP: usize = size_of::<[Rung; RUNGS]>();

    pub(crate) fn new() -> Self {
        Self { origin: 0.0, rungs: Box::new([Rung::default(); RUNGS]) }
    }

    pub(crate) fn clear(&mut self) {
        self.rungs.fill(Rung::default());
    }

    /// Counts the values of the window.
    pub(crate) fn count(&self) -> u64 {
        self.rungs.first().map_or(0, |rung| u64::from(rung.count))
    }

    /// Takes a value within the limit of admitted values.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        if self.count() == 0 {
            self.origin = value;
        }
        let mut y = value - self.origin;
        for rung in self.rungs.iter_mut() {
            match rung.add(y) {
                Some(mean) => y = mean,
                None => return,
            }
        }
    }

    /// Returns the time in values, 1 when no dependence is beyond chance; nothing for equal values.
    pub(crate) fn time(&self) -> Option<f64> {
        let single = self.rungs.first().filter(|rung| rung.most > 0.0).map(Rung::variance)?;
        let mut time: f64 = 1.0;
        let mut length = 1.0;
        for rung in self.rungs.iter() {
            if let Some(rho) = rung.dependence().filter(|_| single > 0.0) {
                time = time.max(length * rung.variance() / single * (1.0 + rho) / (1.0 - rho));
            }
            length *= 2.0;
        }
        Some(if time.is_finite() { time.min(WINDOW_LIMIT as f64) } else { 1.0 })
    }

    /// Whether neighbours may be alike. Of independent streams one in 2,000 is suspected at one of the lengths; of bits of
    /// which one in a hundred is an error, one in 25.
    pub(crate) fn is_suspect(&self) -> bool {
        self.rungs.iter().any(Rung::is_suspect)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_f64(out, self.origin);
        self.rungs.iter().for_each(|rung| rung.write(out));
    }

    pub(crate) fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut next = Self::new();
        next.origin = bytes.finite("origin")?;
        ensure(next.origin.abs() <= VALUE_LIMIT, "origin")?;
        let mut due = None;
        for rung in next.rungs.iter_mut() {
            *rung = Rung::read(bytes)?;
            ensure(due.is_none_or(|due| due == rung.count), "rung")?;
            due = Some(rung.count / 2);
        }
        Ok(next)
    }
}
