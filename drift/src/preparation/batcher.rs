//! The batcher: means of batches long enough that one says nothing of the next.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::ParamError;
use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::parameters::parameters;
use crate::preparation::autocorrelation::{Autocorrelation, WINDOW_LIMIT};
use crate::preparation::blocks::Blocks;
use crate::state::{self, VALUE_LIMIT, bounded, ensure};

const VERSION: u8 = 3;
/// Longest batch.
const LONGEST: u64 = 1 << 20;
/// Windows grow to this, unless batches need longer ones.
const WIDEST: u64 = 1 << 14;
/// Windows that it rests for after one.
const RESTS: u64 = 4;
/// An autocorrelation time below this is not worth the delay of batches.
const NEGLIGIBLE: f64 = 1.25;
/// Values after which a change makes it begin to learn again.
const BELIEVED_FROM: u64 = 512;
/// Values after which it says for the first time whether neighbours seem to be alike; up to then it doubts.
const DOUBT_FROM: u64 = 64;

parameters! {
    /// Parameters of [`Batcher`].
    pub struct BatcherParams {
        /// Values per batch, at most 1,048,576; 0 to learn it.
        pub length: u64 = 0,
        /// Values to learn the autocorrelation from, in 256..=1048576. Nothing comes out before, unless
        /// `early`.
        pub learn: u64 = 2_048,
        /// Length of a batch in autocorrelation times, in [1, 100].
        pub times: f64 = 6.0,
        /// Share of a batch, from its start, that is left out of its mean, in [0, 0.9]: the pause that parts it
        /// from the batch before. A batch of fewer values than one over this has none.
        pub pause: f64 = 0.15,
        /// Longest batch to choose, in 1..=1048576.
        pub longest: u64 = 1_024,
        /// Least number of values between checks of the autocorrelation, at most 1e15; 0 for none.
        pub recheck: u64 = 20_000,
        /// Gives the values one by one while it learns, so that a change can be seen before: with the doubt that
        /// neighbours may be alike. Without it nothing comes out before.
        pub early: bool = false,
        /// Takes neighbours for alike only if they are so within blocks of 32 values: levels that come and go are then no
        /// dependence, and one that is weak or long is not seen.
        pub within_blocks: bool = false,
    }
}

impl BatcherParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { length, learn, times, pause, longest, recheck, .. } = *self;
        ParamError::check("length", length as f64, length <= LONGEST, "at most 1048576")?;
        let ok = (256..=WINDOW_LIMIT).contains(&learn);
        ParamError::check("learn", learn as f64, ok, "in 256..=1048576")?;
        ParamError::check("times", times, (1.0..=100.0).contains(&times), "in [1, 100]")?;
        ParamError::check("pause", pause, (0.0..=0.9).contains(&pause), "in [0, 0.9]")?;
        let ok = (1..=LONGEST).contains(&longest);
        ParamError::check("longest", longest as f64, ok, "in 1..=1048576")?;
        let ok = recheck <= 1_000_000_000_000_000;
        ParamError::check("recheck", recheck as f64, ok, "at most 1e15")
    }
}

/// Replaces values by the means of batches, of a length that it learns from their autocorrelation.
///
/// Use it in front of every detector of a stream whose neighbouring values are alike: latencies, loads,
/// anything measured faster than it changes. On a first-order autoregression of 0.9, [`crate::Adwin`]
/// gives 12,631 alarms in two million values, and one on batches of 30. An independent stream gets
/// batches of one value, and no delay after learning.
///
/// # Method
///
/// From the first `learn` values it estimates the integrated autocorrelation time `t = 1 + 2 sum rho_k`,
/// and takes `ceil(times t)` values per batch, or one where no correlation is beyond chance (1 in 10,000
/// for each of the lengths looked at).
///
/// The first `pause` of a batch is not in its mean. Means of whole batches would not be independent: at
/// `times = 6` neighbours in a first-order autoregression have a correlation of `1 / (4 times) = 0.04`, so
/// that the variance of a sum of them is 8 % more than a detector takes it for, and of [`crate::MixtureESr`] the
/// measured run length was 3 % below a nominal 10^5, 14 % below 10^6 (`cargo xtask arl`). A pause of 0.9
/// autocorrelation times takes it to `exp(-1.8) / (4 * 5.1) = 0.008`, where batches alone would have to be 30
/// times as long as the autocorrelation time.
///
/// A time below 1.25 counts as 1. After `recheck` values, and four times the last window at least, it
/// listens again, to windows that double up to 16,384 values (or 64 batches): rare errors need many values
/// to show that they come in runs. Two windows in a row must both ask for a batch more than a quarter
/// longer (or less than half as long) before it changes: a single change of the level looks like
/// dependence in the one window that holds it.
///
/// With `early` the first values come out singly. Who judges them can ask for its doubt ([`Batcher::doubts`]): it doubts
/// until 64 values have come; then, and at each doubling, it says whether neighbours seem to be alike (a correlation of
/// 3.5 standard errors at one of the lengths), and what is detected up to the next should count for nothing if so. A
/// detector should start afresh when batches begin ([`crate::Preparation::restarts`]). The price of both: rare errors that
/// come in short runs do not look alike in so few values, and set off alarms; a change within the first 1,000 values may
/// itself look like dependence, so that one in ten is not told. A change that was seen while it learns
/// ([`Batcher::change_seen`]) makes it learn once more instead of taking two levels for dependence.
///
/// # Levels that come and go
///
/// A level that moves every few hundred values looks like dependence that reaches as far: round-trip times of the
/// internet ask for batches of 1,024 values, in which no change is seen. With `within_blocks` neighbours count as alike
/// only where the median over blocks of 32 values of their rank correlation, `1 - RVN / 2` with Bartels' ratio `RVN`,
/// is 0.5 or more; a block that holds a change is one among many. The time is then the one above, or that of a
/// first-order autoregression of this correlation, `(1 + rho) / (1 - rho)`, if that is longer. Of 18 series of
/// round-trip times, on which 32 and 0.5 were chosen, none has 0.25, and of 424 pieces of 320 values one has 0.5; a normal
/// autoregression of 0.5 has 0.44, of 0.7 0.60, of 0.9 0.77. Ten blocks tell these apart. Use it in front of a detector
/// that bears a weak dependence, such as [`crate::MedianShift`]: weaker dependence than 0.5 is not seen, however long
/// it lasts, nor is a season.
///
/// # What comes out
///
/// Plain means of the rest: a mean of bits is in [0, 1] and has the mean of the bits, so a detector of the mean of
/// bounded values needs no other parameter (`Family::Bounded` suits means better). The deviation of a
/// mean is that of a value times `sqrt(t / n)` for its `n` values, a little less at these lengths. So a detector
/// that takes the deviation as known must stand behind a [`crate::Standardizer`] that stands behind the batcher
/// and learns the deviation of means, which [`crate::Preparation`] does. To divide by the deviation of the values and multiply by
/// `sqrt(n / t)` instead would add the error of `t`, the largest of the three.
///
/// A detector's `arl` counts what it is given: behind batches of 100, an `arl` of 100 is one of at least
/// 10,000 values ([`Batcher::arl`]).
///
/// # Cost
///
/// An addition per value, 20 operations more while it listens, with `within_blocks` 50 more; 1 KiB while it listens
/// (with `within_blocks` 1.2 KiB), else one struct.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::simulate::Source;
/// use visu_tility_drift::{Batcher, BatcherParams};
///
/// let mut batcher = Batcher::new(BatcherParams::default())?;
/// let sticky = Source::Ar1 { phi: 0.5, mean: 0.0, deviation: 1.0 }.stream(1)?;
/// let means = sticky.take(20_000).filter_map(|x| batcher.update(x)).count();
/// assert_eq!((batcher.length(), means), (Some(21), 854));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// A value that is not finite gives nothing and changes nothing. Values beyond ±1e100 are taken as
/// ±1e100. A stream that alternates gets batches of
/// one, and so does a constant one, for as long as it is. A trend, a season or a change
/// within the first `learn` values asks for the longest batch; [`Batcher::is_longest`] tells.
///
/// # References
///
/// Sokal, "Monte Carlo Methods in Statistical Mechanics: Foundations and New Algorithms" (1997), section
/// 3 (the integrated autocorrelation time); Flyvbjerg and Petersen, "Error estimates on averages of
/// correlated data", J. Chem. Phys. 91 (1989): means of 1, 2, 4, ... values; Freedman, "On tail
/// probabilities for martingales", Ann. Probab. 3 (1975), theorem 1.6; Bartels, "The rank version of von Neumann's
/// ratio test for randomness", JASA 77 (1982).
#[derive(Clone, Debug)]
pub struct Batcher {
    params: BatcherParams,
    /// Values per batch, 0 while it is not known.
    length: u64,
    time: f64,
    filled: u64,
    sum: f64,
    /// Values until it listens again.
    rest: u64,
    /// Values of the window under way, or of the next.
    due: u64,
    /// The length that the window before asked for, 0 for none.
    asked: u64,
    /// While it learns: neighbours are alike, as far as has been seen.
    doubt: bool,
    /// While it learns: an early change began the window.
    begun: bool,
    /// While it learns: another one was seen in it.
    mixed: bool,
    window: Option<Autocorrelation>,
    /// The blocks of that window, `within_blocks` only.
    blocks: Option<Box<Blocks>>,
}

impl Batcher {
    /// Builds one that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: BatcherParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    fn fresh(params: BatcherParams) -> Self {
        let mut fresh = Self {
            params,
            length: params.length,
            time: 1.0,
            filled: 0,
            sum: 0.0,
            rest: 0,
            due: params.learn,
            asked: 0,
            doubt: false,
            begun: false,
            mixed: false,
            window: None,
            blocks: None,
        };
        if params.length == 0 {
            fresh.open_window();
        }
        fresh
    }

    fn open_window(&mut self) {
        self.window = Some(Autocorrelation::new());
        self.blocks = self.params.within_blocks.then(Blocks::new);
        self.doubt = self.length == 0 && self.params.early;
    }

    fn clear_window(&mut self) {
        self.window.iter_mut().for_each(Autocorrelation::clear);
        self.blocks.iter_mut().for_each(|blocks| blocks.clear());
        (self.doubt, self.mixed) = (self.length == 0 && self.params.early, false);
    }

    /// Takes the next value; returns the mean of the batch that it completes, and nothing otherwise.
    #[inline]
    pub fn update(&mut self, value: f64) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        let value = value.clamp(-VALUE_LIMIT, VALUE_LIMIT);
        if self.params.length == 0 {
            if self.length > 0 && self.window.is_none() {
                self.rest = self.rest.saturating_sub(1);
                if self.rest == 0 && self.params.recheck > 0 {
                    self.open_window();
                }
            } else if self.listen(value) {
                let single = self.length == 0 || self.length == 1;
                return (self.params.early && single).then_some(value);
            }
        }
        if self.length == 1 {
            return Some(value);
        }
        self.filled += 1;
        if self.filled > self.left_out() {
            self.sum += value;
        }
        if self.filled < self.length {
            return None;
        }
        let mean = self.sum / (self.filled - self.left_out()) as f64;
        (self.sum, self.filled) = (0.0, 0);
        Some(mean)
    }

    /// Takes a value of a window; is true while the first is not over.
    fn listen(&mut self, value: f64) -> bool {
        let Some(window) = &mut self.window else { return false };
        window.add(value);
        self.blocks.iter_mut().for_each(|blocks| blocks.add(value));
        if window.count() < self.due {
            if self.length == 0 && self.params.early {
                let count = window.count();
                if count >= DOUBT_FROM && count.is_power_of_two() {
                    let blocks = self.blocks.as_ref();
                    self.doubt = blocks.map_or_else(|| window.is_suspect(), |blocks| blocks.are_alike());
                }
            }
            return self.length == 0;
        }
        if self.mixed {
            self.clear_window();
            return true;
        }
        (self.doubt, self.begun) = (false, false);
        let Some(time) = window.time() else {
            // All values were the same: it goes on listening, and says nothing of the window before.
            let first = self.length == 0;
            self.length = self.length.max(1);
            self.clear_window();
            return first;
        };
        let time =
            self.blocks.take().map_or(time, |blocks| blocks.time().map_or(1.0, |least| least.max(time)));
        let (asks, time) =
            if time > NEGLIGIBLE { (ceil(self.params.times * time), time) } else { (1.0, 1.0) };
        let asks = (asks as u64).clamp(1, self.params.longest);
        self.window = None;
        self.rest = if self.params.recheck == 0 { 0 } else { self.params.recheck.max(RESTS * self.due) };
        let first = self.length == 0;
        if first {
            (self.length, self.time) = (asks, time);
        } else {
            self.weigh(asks);
        }
        let wider = (2 * self.due).min(WIDEST.max(self.params.learn));
        self.due = wider.max(64 * self.length).min(WINDOW_LIMIT);
        first
    }

    /// Changes the length when this window and the one before ask for it.
    fn weigh(&mut self, asks: u64) {
        let (least, most) = (asks.min(self.asked), asks.max(self.asked));
        let next = match self.asked {
            0 => self.length,
            _ if 4 * least > 5 * self.length => least,
            _ if 2 * most < self.length => most,
            _ => self.length,
        };
        self.asked = asks;
        if next != self.length {
            self.length = next;
            self.time = (next as f64 / self.params.times).max(1.0);
            // What was gathered towards the old length is given up.
            (self.sum, self.filled) = (0.0, 0);
        }
    }

    /// Returns the values per batch, or nothing while it is being learned.
    pub fn length(&self) -> Option<u64> {
        (self.length > 0).then_some(self.length)
    }

    /// Is true while values come out singly that are like their neighbours, as far as has been seen.
    pub const fn doubts(&self) -> bool {
        self.doubt
    }

    /// Says that a change was seen: the values before it and those after it are not to be learned from together. It begins
    /// to learn again at once; but for one within 512 values of another, as runs of rare errors look like changes: then it
    /// learns once more when the window is over.
    pub fn change_seen(&mut self) {
        let heard = self.window.as_ref().map_or(0, Autocorrelation::count);
        if self.length > 0 || !self.params.early {
            return;
        }
        if self.begun && heard < BELIEVED_FROM {
            self.mixed = true;
        } else {
            self.clear_window();
            self.begun = true;
        }
    }

    /// Counts the values still to come before the length is chosen, if they are not all the same.
    pub fn left(&self) -> u64 {
        let listened = self.window.as_ref().map_or(0, Autocorrelation::count);
        if self.length > 0 { 0 } else { self.due.saturating_sub(listened) }
    }

    /// Returns the integrated autocorrelation time in values that the length was chosen for, at least 1;
    /// nothing while it is being learned or when the length was given.
    pub fn autocorrelation_time(&self) -> Option<f64> {
        (self.params.length == 0 && self.length > 0).then_some(self.time)
    }

    /// Is true when the length is the longest allowed, and may be too short.
    pub const fn is_longest(&self) -> bool {
        self.params.length == 0 && self.params.longest > 1 && self.length == self.params.longest
    }

    /// Returns how many values of a batch are not in its mean: fewer than all.
    #[inline]
    fn left_out(&self) -> u64 {
        (self.length as f64 * self.params.pause) as u64
    }

    /// Returns how many independent values a mean is worth: its values over the autocorrelation time.
    #[inline]
    pub(crate) fn independent_values(&self) -> f64 {
        ((self.length - self.left_out()) as f64 / self.time).max(1.0)
    }

    /// Counts the values of the batch under way.
    pub const fn filled(&self) -> u64 {
        self.filled
    }

    /// Turns an average run length in values into one in batches of the present length, at least 2.
    pub fn arl(&self, values: f64) -> f64 {
        (values / self.length.max(1) as f64).max(2.0)
    }

    /// Gives up the batch under way.
    pub const fn restart_batch(&mut self) {
        self.sum = 0.0;
        self.filled = 0;
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &BatcherParams {
        &self.params
    }

    /// Forgets the stream and learns anew.
    pub fn reset(&mut self) {
        *self = Self::fresh(self.params);
    }

    /// Counts the bytes that it holds now, on the heap included.
    pub fn bytes(&self) -> usize {
        let window = if self.window.is_some() { Autocorrelation::HEAP } else { 0 };
        size_of::<Self>() + window + if self.blocks.is_some() { Blocks::HEAP } else { 0 }
    }

    /// Appends the state, at most 1.3 KiB.
    pub fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        put_u64(out, self.length);
        put_f64(out, self.time);
        put_u64(out, self.filled);
        put_f64(out, self.sum);
        put_u64(out, self.rest);
        put_u64(out, self.due);
        put_u64(out, self.asked);
        out.push(
            u8::from(self.window.is_some())
                | u8::from(self.doubt) << 1
                | u8::from(self.begun) << 2
                | u8::from(self.mixed) << 3,
        );
        if let Some(window) = &self.window {
            window.write(out);
        }
        if let Some(blocks) = &self.blocks {
            blocks.write(out);
        }
    }

    /// Replaces the state by one that [`Batcher::write_state`] wrote for the same parameters.
    ///
    /// # Errors
    ///
    /// Fails, leaving the state as it was, when the bytes are cut short, of an unknown version, of other
    /// parameters, or hold a value out of its range.
    pub fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "batcher", VERSION, self.params.fingerprint())?;
        let mut next = Self::fresh(self.params);
        let longest = if self.params.length == 0 { self.params.longest } else { self.params.length };
        next.length = bytes.u64()?;
        ensure(next.length <= longest && (self.params.length == 0 || next.length == longest), "length")?;
        next.time = bytes.finite("time")?;
        ensure((1.0..=WINDOW_LIMIT as f64).contains(&next.time), "time")?;
        next.filled = bytes.u64()?;
        ensure(next.filled == 0 || next.filled < next.length, "filled")?;
        next.sum = bounded(bytes, "sum", 1.01 * next.filled as f64)?;
        next.rest = bytes.u64()?;
        next.due = bytes.u64()?;
        next.asked = bytes.u64()?;
        ensure(next.rest <= self.params.recheck.max(RESTS * WINDOW_LIMIT), "rest")?;
        ensure((self.params.learn..=WINDOW_LIMIT).contains(&next.due), "due")?;
        ensure(next.asked <= self.params.longest, "asked")?;
        let flags = bytes.u8()?;
        let listening = flags & 1;
        (next.doubt, next.begun, next.mixed) = (flags & 2 != 0, flags & 4 != 0, flags & 8 != 0);
        let doubtful = listening == 1 && next.length == 0 && self.params.early;
        ensure(flags < 16 && (doubtful || flags < 2), "doubt")?;
        let may = self.params.length == 0;
        ensure(listening <= u8::from(may) && (listening == 1 || next.length > 0), "listening")?;
        (next.window, next.blocks) = (None, None);
        if listening == 1 {
            next.window = Some(Autocorrelation::read(bytes)?);
            next.blocks = if self.params.within_blocks { Some(Blocks::read(bytes)?) } else { None };
        }
        *self = next;
        Ok(())
    }
}

/// Rounds a number in [0, 2^53) up.
fn ceil(x: f64) -> f64 {
    let whole = x as u64 as f64;
    if x > whole { whole + 1.0 } else { whole }
}
