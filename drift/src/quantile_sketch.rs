//! A quantile sketch with a bounded relative error: latency percentiles in two kilobytes.

use alloc::vec::Vec;

use crate::ParamError;
use crate::codec::{DecodeError, Reader, put_f64, put_u32, put_u64};
use crate::math::{exp, ln};
use crate::state::{self, COUNT_LIMIT, Fingerprint, VALUE_LIMIT, ensure};

const VERSION: u8 = 1;
/// Values below this count as zero.
const SMALLEST: f64 = 1e-12;
/// Bins are added this many at a time, so that a widening range does not move all of them each time.
const STEP: usize = 16;

/// Parameters of [`QuantileSketch`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct QuantileSketchParams {
    /// Relative error of a quantile, in [0.001, 0.5]. Default 0.01.
    pub accuracy: f64,
    /// Most bins, in 16..=900, four bytes each. Default 512: at 1 % they span a factor of 28,000 below the
    /// largest value, 1 ms to 28 s.
    pub max_bins: u16,
}

impl Default for QuantileSketchParams {
    fn default() -> Self {
        Self { accuracy: 0.01, max_bins: 512 }
    }
}

impl QuantileSketchParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let ok = (0.001..=0.5).contains(&self.accuracy);
        ParamError::check("accuracy", self.accuracy, ok, "in [0.001, 0.5]")?;
        let ok = (16..=900).contains(&self.max_bins);
        ParamError::check("max_bins", f64::from(self.max_bins), ok, "in 16..=900")
    }

    fn fingerprint(&self) -> u64 {
        Fingerprint::new().f64(self.accuracy).u64(u64::from(self.max_bins)).finish()
    }
}

/// DDSketch: quantiles of non-negative values, each within a relative error of the true one.
///
/// Use it for latencies and sizes, of which the tail matters. Do not use it for values of both signs.
///
/// # Method
///
/// With `g = (1 + a) / (1 - a)` for accuracy `a`, a value `x` is counted in bin `ceil(log_g x)`, and any
/// value of bin `i` is within `a` of `2 g^i / (g + 1)`. When the bins would span more than `max_bins`, the
/// lowest are added together: high quantiles stay exact to `a`, those that fall into the collapsed bin
/// come out too high by what was collapsed ([`QuantileSketch::is_collapsed`]).
///
/// # Cost
///
/// One logarithm per value; a query walks the bins. Bins are added as they are needed: 200 bytes for a
/// narrow stream, at most `4 max_bins` bytes plus the struct.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::QuantileSketch;
///
/// let mut sketch = QuantileSketch::default();
/// for latency_ms in 1..=1000 {
///     sketch.insert(f64::from(latency_ms));
/// }
/// let p99 = sketch.quantile(0.99).expect("values were inserted");
/// assert!((p99 - 990.0).abs() <= 0.01 * 990.0);
/// assert_eq!(sketch.count_above(2000.0), 0);
/// ```
///
/// # Edges
///
/// Values below 1e-12, zero and negative ones included, are counted as zero ([`QuantileSketch::zeros`]
/// tells how many). Values that are not finite are left out. Values beyond 1e100 are taken as 1e100. When
/// a bin would pass `u32::MAX`, all are halved: quantiles stay, and [`QuantileSketch::count`] counts what
/// is in the bins.
///
/// # References
///
/// Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with relative-error
/// guarantees", PVLDB 12 (2019): algorithms 1 to 4, proposition 4 (the bound of a collapsing sketch).
#[derive(Clone, Debug)]
pub struct QuantileSketch {
    params: QuantileSketchParams,
    log_gamma: f64,
    inverse_log_gamma: f64,
    count: u64,
    zeros: u64,
    least: f64,
    greatest: f64,
    /// Index of the first bin in `bins`.
    lowest: i32,
    collapsed: bool,
    bins: Vec<u32>,
}

impl QuantileSketch {
    /// Builds an empty sketch.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: QuantileSketchParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::empty(params))
    }

    fn empty(params: QuantileSketchParams) -> Self {
        let log_gamma = ln((1.0 + params.accuracy) / (1.0 - params.accuracy));
        Self {
            params,
            log_gamma,
            inverse_log_gamma: 1.0 / log_gamma,
            count: 0,
            zeros: 0,
            least: 0.0,
            greatest: 0.0,
            lowest: 0,
            collapsed: false,
            bins: Vec::new(),
        }
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &QuantileSketchParams {
        &self.params
    }

    /// Counts `value`; one that is not finite is left out.
    #[inline]
    pub fn insert(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        let value = value.clamp(0.0, VALUE_LIMIT);
        if self.count == 0 {
            self.least = value;
            self.greatest = value;
        } else {
            self.least = self.least.min(value);
            self.greatest = self.greatest.max(value);
        }
        if value < SMALLEST {
            self.zeros += 1;
            self.count += 1;
            return;
        }
        let index = self.index(value);
        let place = i64::from(index) - i64::from(self.lowest);
        match usize::try_from(place).ok().and_then(|at| self.bins.get_mut(at)) {
            Some(bin) if *bin < u32::MAX => {
                *bin += 1;
                self.count += 1;
            }
            _ => self.add(index, 1),
        }
    }

    /// Returns the `q`-quantile, or nothing when the sketch is empty or `q` is not in [0, 1].
    ///
    /// It is within the accuracy of the value of rank `floor(q (n - 1))` in the sorted stream, counted
    /// from 0; ranks 0 and `n - 1` are exact.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        quantile(&[self], q)
    }

    /// Counts the values in the sketch.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Counts the values that were zero, negative or below 1e-12.
    pub const fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Is true when low bins were added together, so that low quantiles may be too high.
    pub const fn is_collapsed(&self) -> bool {
        self.collapsed
    }

    /// Counts the values above `threshold`, for a share of requests over an objective.
    ///
    /// Values of the threshold's own bin do not count: the answer is exact for a threshold at most twice
    /// the accuracy above the given one. A threshold below 1e-12 counts all but the zeros.
    pub fn count_above(&self, threshold: f64) -> u64 {
        if threshold.is_nan() || threshold >= self.greatest {
            return 0;
        }
        if threshold < SMALLEST {
            return self.count - self.zeros;
        }
        let skip = i64::from(self.index(threshold)) - i64::from(self.lowest) + 1;
        let skip = usize::try_from(skip).unwrap_or(0);
        self.bins.iter().skip(skip).map(|&bin| u64::from(bin)).sum()
    }

    /// Adds what `other` counted.
    ///
    /// # Errors
    ///
    /// Fails, changing nothing, when the accuracies differ.
    pub fn merge(&mut self, other: &Self) -> Result<(), ParamError> {
        let accuracy = other.params.accuracy;
        ParamError::check("accuracy", accuracy, accuracy == self.params.accuracy, "the same in both")?;
        if other.count == 0 {
            return Ok(());
        }
        if self.count == 0 {
            self.least = other.least;
            self.greatest = other.greatest;
        } else {
            self.least = self.least.min(other.least);
            self.greatest = self.greatest.max(other.greatest);
        }
        self.collapsed |= other.collapsed;
        // The highest first, so that nothing is collapsed twice.
        for (i, &bin) in other.bins.iter().enumerate().rev() {
            if bin > 0 {
                self.add(other.lowest + i as i32, bin);
            }
        }
        self.zeros += other.zeros;
        self.count += other.zeros;
        Ok(())
    }

    /// Forgets all values but keeps the memory.
    pub fn clear(&mut self) {
        self.bins.clear();
        self.count = 0;
        self.zeros = 0;
        self.least = 0.0;
        self.greatest = 0.0;
        self.lowest = 0;
        self.collapsed = false;
    }

    /// Counts the bytes that the sketch holds now, on the heap included.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.bins.capacity() * size_of::<u32>()
    }

    /// Finds the bin of a value in [1e-12, 1e100].
    #[inline]
    fn index(&self, value: f64) -> i32 {
        let exact = ln(value.min(VALUE_LIMIT)) * self.inverse_log_gamma;
        let whole = exact as i32;
        if exact > f64::from(whole) { whole + 1 } else { whole }
    }

    /// Adds to a bin that may have to be made.
    #[cold]
    fn add(&mut self, index: i32, weight: u32) {
        let at = self.make_room(index);
        while self.bins.get(at).is_some_and(|bin| bin.checked_add(weight).is_none()) {
            self.halve();
        }
        if let Some(bin) = self.bins.get_mut(at) {
            *bin = bin.saturating_add(weight);
            self.count += u64::from(weight);
        }
    }

    /// Makes the bins reach to `index`, or to the lowest that is kept, and returns its place.
    fn make_room(&mut self, index: i32) -> usize {
        let most = usize::from(self.params.max_bins);
        if self.bins.is_empty() {
            self.lowest = index;
            self.bins.reserve_exact(STEP.min(most));
            self.bins.push(0);
            return 0;
        }
        if index < self.lowest {
            let missing = (self.lowest - index) as usize;
            let free = most - self.bins.len();
            let added = missing.min(free);
            self.collapsed |= added < missing;
            self.grow(added);
            self.bins.splice(0..0, core::iter::repeat_n(0, added));
            self.lowest -= added as i32;
            return 0;
        }
        let at = (index - self.lowest) as usize;
        if at < self.bins.len() {
            return at;
        }
        if at >= most {
            self.collapse(at + 1 - most);
        }
        let at = (index - self.lowest) as usize;
        if at >= self.bins.len() {
            self.grow(at + 1 - self.bins.len());
            self.bins.resize(at + 1, 0);
        }
        at
    }

    /// Reserves space for `added` more bins, rounded up to a step.
    fn grow(&mut self, added: usize) {
        let needed = self.bins.len() + added;
        if needed > self.bins.capacity() {
            let room = needed.next_multiple_of(STEP).min(usize::from(self.params.max_bins));
            self.bins.reserve_exact(room.max(needed) - self.bins.len());
        }
    }

    /// Adds the lowest `n` bins to the one above them.
    fn collapse(&mut self, n: usize) {
        let joined = (n + 1).min(self.bins.len());
        let weigh = |bins: &[u32]| bins.iter().take(joined).map(|&bin| u64::from(bin)).sum::<u64>();
        while weigh(&self.bins) > u64::from(u32::MAX) {
            self.halve();
        }
        let weight = weigh(&self.bins) as u32;
        self.collapsed |= weight > 0;
        self.bins.drain(..joined - 1);
        if let Some(first) = self.bins.first_mut() {
            *first = weight;
        }
        self.lowest += n as i32;
    }

    fn halve(&mut self) {
        for bin in &mut self.bins {
            *bin /= 2;
        }
        self.zeros /= 2;
        self.recount();
    }

    fn recount(&mut self) {
        self.count = self.zeros + self.bins.iter().map(|&bin| u64::from(bin)).sum::<u64>();
    }

    /// Appends the state, all bins included.
    pub fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        put_u64(out, self.zeros);
        put_f64(out, self.least);
        put_f64(out, self.greatest);
        out.push(u8::from(self.collapsed));
        put_u32(out, self.lowest as u32);
        put_u32(out, self.bins.len() as u32);
        for &bin in &self.bins {
            put_u32(out, bin);
        }
    }

    /// Replaces the state by one that [`QuantileSketch::write_state`] wrote for the same parameters.
    ///
    /// # Errors
    ///
    /// Fails, leaving the sketch as it was, when the bytes are cut short, of an unknown version, of other
    /// parameters, or hold a value out of its range.
    pub fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "quantile_sketch", VERSION, self.params.fingerprint())?;
        let mut next = Self::empty(self.params);
        next.zeros = bytes.u64()?;
        ensure(next.zeros <= COUNT_LIMIT, "zeros")?;
        next.least = bytes.finite("least")?;
        next.greatest = bytes.finite("greatest")?;
        ensure(0.0 <= next.least && next.least <= next.greatest, "least")?;
        ensure(next.greatest <= VALUE_LIMIT, "greatest")?;
        let collapsed = bytes.u8()?;
        ensure(collapsed <= 1, "collapsed")?;
        next.collapsed = collapsed == 1;
        next.lowest = bytes.u32()? as i32;
        ensure(next.lowest.abs_diff(0) <= 1_000_000, "lowest")?;
        let bins = bytes.u32()? as usize;
        ensure(bins <= usize::from(self.params.max_bins), "bins")?;
        ensure(bytes.remaining() >= bins * 4, "bins")?;
        next.grow(bins);
        for _ in 0..bins {
            next.bins.push(bytes.u32()?);
        }
        next.recount();
        ensure(next.count > 0 || next.greatest == 0.0, "greatest")?;
        *self = next;
        Ok(())
    }
}

impl Default for QuantileSketch {
    /// Builds an empty sketch of 1 % accuracy and at most 512 bins.
    fn default() -> Self {
        Self::empty(QuantileSketchParams::default())
    }
}

/// Finds a quantile over several sketches of the same accuracy as if they were merged.
pub(crate) fn quantile(sketches: &[&QuantileSketch], q: f64) -> Option<f64> {
    let count: u64 = sketches.iter().map(|sketch| sketch.count).sum();
    if count == 0 || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let rank = (q * (count - 1) as f64) as u64;
    let filled = || sketches.iter().filter(|sketch| sketch.count > 0);
    let least = filled().map(|sketch| sketch.least).fold(f64::MAX, f64::min);
    let greatest = filled().map(|sketch| sketch.greatest).fold(0.0, f64::max);
    if rank == 0 {
        return Some(least);
    }
    if rank == count - 1 {
        return Some(greatest);
    }
    let mut below: u64 = sketches.iter().map(|sketch| sketch.zeros).sum();
    if rank < below {
        return Some(0.0);
    }
    let from = filled().filter(|s| !s.bins.is_empty()).map(|s| s.lowest).min()?;
    let to = filled().map(|s| s.lowest + s.bins.len() as i32).max()?;
    for index in from..to {
        for sketch in sketches {
            let at = usize::try_from(i64::from(index) - i64::from(sketch.lowest)).ok();
            below += at.and_then(|at| sketch.bins.get(at)).map_or(0, |&bin| u64::from(bin));
        }
        if rank < below {
            let log_gamma = sketches.first()?.log_gamma;
            let upper = exp(f64::from(index) * log_gamma);
            let middle = 2.0 * upper / (exp(log_gamma) + 1.0);
            return Some(middle.clamp(least, greatest.max(least)));
        }
    }
    Some(greatest)
}
