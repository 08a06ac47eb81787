//! ADWIN: a window that grows while the mean stands still and is cut where it moved.

use alloc::vec::Vec;

use crate::bucket::Rows;
use crate::codec::{DecodeError, Reader, put_f64, put_u32, put_u64};
use crate::math::{ln, sqrt};
use crate::parameters::parameters;
use crate::state::{self, Tally, VALUE_LIMIT, bounded, ensure};
use crate::{Compat, Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;

parameters! {
    /// Parameters of [`Adwin`].
    pub struct AdwinParams {
        /// Confidence of one check, in (0, 1]: smaller is stricter.
        pub delta: f64 = 0.002,
        /// Values between two checks, at least 1. With 1 a change is seen up to 31 values earlier, and a
        /// value costs about ten times as much.
        pub clock: u32 = 32,
        /// Buckets per row of the histogram, in 1..=16. More cut points, more memory.
        pub max_buckets: u8 = 5,
        /// Shortest part of a split, in values, at least 1.
        pub min_window_length: u32 = 5,
        /// No check before the window is longer than this.
        pub grace_period: u32 = 10,
        /// Whose algorithm to follow.
        pub compat: Compat = Compat::Paper,
    }
}

impl AdwinParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { delta, clock, max_buckets, min_window_length, .. } = *self;
        ParamError::check("delta", delta, delta > 0.0 && delta <= 1.0, "in (0, 1]")?;
        ParamError::check("clock", f64::from(clock), clock >= 1, "at least 1")?;
        let ok = (1..=16).contains(&max_buckets);
        ParamError::check("max_buckets", f64::from(max_buckets), ok, "in 1..=16")?;
        ParamError::check(
            "min_window_length",
            f64::from(min_window_length),
            min_window_length >= 1,
            "at least 1",
        )
    }
}

/// Adaptive windowing (ADWIN2) on the mean of a bounded stream.
///
/// Use it when neither the good level nor the size of the change is known: error bits, accuracies,
/// confidences, standardised features. Do not use it on raw values whose scale is unknown or heavy-tailed
/// (put a [`crate::Standardizer`] in front), nor on autocorrelated ones (average them in batches first: at
/// an autocorrelation of 0.9 it raises an alarm every 160 values, and one in two million in batches of
/// 30). For rates far below 2 % a [`crate::MixtureESr`] with a known good level is quicker.
///
/// # Recurrence
///
/// The window `W` of the last `n` values is kept as a histogram of buckets of 1, 2, 4, ... values. Every
/// `clock` values each split of `W` at a bucket's edge into an older `W0` and a newer `W1` is tested; with
/// `1/m = 1/(n0 - k + 1) + 1/(n1 - k + 1)`, `k = min_window_length`, and `d' = delta / ln n`,
///
/// `|mean(W0) - mean(W1)| > e = sqrt(2/m var(W) ln(2/d')) + 2/(3m) ln(2/d')`
///
/// drops the oldest bucket, and the test is repeated until no split holds. The update signals
/// [`Level::Drift`] when anything was dropped, and the window goes on with what was kept: a large change
/// may be signalled again at the following checks while the rest of the old values is shed.
///
/// In the signal, `statistic` is the difference of the means and `threshold` is `e`, in the stream's
/// units: with a drift at the last split that held, else at the one closest to holding, as of the last
/// check (`f64::MAX` while there is none). `since` is the length of that split's `W1`: from 10 % to 30 %
/// errors it is off by 29 values of 119 on average, where the window that is kept, of which only whole old
/// buckets are dropped, is 900 too long.
///
/// # Cost
///
/// `O(1)` amortised per value plus `O(max_buckets log n)` per check. Memory grows with `log n` by a row of
/// 96 bytes (at the default 5 buckets) to 3.2 KiB.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Adwin, AdwinParams, Detector, Direction};
///
/// let mut adwin = Adwin::new(AdwinParams::default())?;
/// // One error in ten, then three in ten from value 1000 on.
/// let error = |i: u64| f64::from(i * 7 % 10 < if i < 1000 { 1 } else { 3 });
/// let (at, signal) = (0..2000)
///     .map(|i| (i, adwin.update(error(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.direction), (1151, Direction::Up));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values beyond ±1e100 are taken as ±1e100. A single wild
/// value raises the variance, and with it the threshold, for as long as it is in the window: clip first.
/// Sums are of the values as they are: a mean that is more than 1e10 deviations from 0 leaves too few digits for
/// the deviations; put a [`crate::Standardizer`] in front. Of 10,000 normal values without a change, 0 alarms came up
/// to 1e10 deviations, 1 at 1e12, 9 to 22 from 1e13 to 1e15; at 1e16 all values are alike to it, and it is silent.
/// The window is bounded by memory: 32 rows at the default (2.6e10 values), 13 at 16 buckets (131,000
/// values); then the oldest bucket is dropped without a signal.
///
/// # Differences
///
/// | | [`Compat::Paper`] | [`Compat::River`] | [`Compat::Moa`] |
/// |---|---|---|---|
/// | after a drift | keeps the newer part | starts empty at the next value | keeps the newer part |
/// | falling mean | signalled | signalled | shed silently |
/// | shortest part | `k` | `k` | `k + 2` |
/// | sums after a cut | added up anew | by subtraction, with its rounding | as river |
///
/// All three use `ln n` in `d'` and `n - k + 1` in `m`, as both libraries do; the paper has `n` and the
/// plain lengths in its proof, and the logarithm in its implementation.
///
/// # References
///
/// Bifet and Gavaldà, "Learning from Time-Changing Data with Adaptive Windowing", SDM 2007
/// (the test; ADWIN2, its window in buckets); Babcock et al., "Maintaining Variance and k-Medians over Data Stream
/// Windows", PODS 2003 (variance of merged buckets).
#[derive(Clone, Debug)]
pub struct Adwin {
    params: AdwinParams,
    tally: Tally,
    detections: u64,
    width: f64,
    total: f64,
    squares: f64,
    statistic: f64,
    threshold: f64,
    tick: u32,
    stale: bool,
    rows: Rows,
}

/// A split of the window that was tested.
#[derive(Clone, Copy, Debug)]
struct Split {
    apart: f64,
    threshold: f64,
    newer: f64,
    holds: bool,
}

impl Adwin {
    /// Builds an empty window.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: AdwinParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self {
            params,
            tally: Tally::default(),
            detections: 0,
            width: 0.0,
            total: 0.0,
            squares: 0.0,
            statistic: 0.0,
            threshold: f64::MAX,
            tick: 0,
            stale: false,
            rows: Rows::new(params.max_buckets),
        })
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &AdwinParams {
        &self.params
    }

    /// Counts the values in the window.
    pub const fn width(&self) -> u64 {
        self.width as u64
    }

    /// Returns the sum of the values in the window.
    pub const fn total(&self) -> f64 {
        self.total
    }

    /// Returns the sum of squared deviations from the window's mean (what river calls `variance`).
    pub const fn sum_of_squares(&self) -> f64 {
        self.squares
    }

    /// Returns the variance of the values in the window (divided by their number), or 0 without values.
    pub fn variance(&self) -> f64 {
        if self.width > 0.0 { (self.squares / self.width).max(0.0) } else { 0.0 }
    }

    /// Counts the drifts signalled since it was built or reset.
    pub const fn detections(&self) -> u64 {
        self.detections
    }

    /// Counts the bytes that the detector holds now, on the heap included.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.rows.heap_bytes()
    }

    fn clear_window(&mut self) {
        self.rows.clear();
        self.width = 0.0;
        self.total = 0.0;
        self.squares = 0.0;
        self.statistic = 0.0;
        self.threshold = f64::MAX;
        self.tick = 0;
        self.stale = false;
    }

    #[inline]
    fn insert(&mut self, value: f64) {
        self.width += 1.0;
        if self.width > 1.0 {
            let apart = value - self.total / (self.width - 1.0);
            self.squares += (self.width - 1.0) * apart * apart / self.width;
        }
        self.total += value;
        if self.rows.push(value) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((size, oldest)) = self.rows.pop_oldest() else { return };
        self.width -= size;
        if self.params.compat == Compat::Paper {
            // Summed anew, so that neither rounding nor a wild value outlives its bucket.
            (self.total, self.squares) = self.rows.sums(self.width);
            return;
        }
        self.total -= oldest.total;
        if self.width > 0.0 {
            let apart = oldest.total / size - self.total / self.width;
            self.squares -= oldest.squares + size * self.width * apart * apart / (size + self.width);
        }
    }

    /// Finds the first split, from the oldest, that holds; else the one closest to holding.
    fn scan(&self) -> Option<Split> {
        let k = f64::from(self.params.min_window_length);
        let shortest = if self.params.compat == Compat::Moa { k + 2.0 } else { k };
        let log_term = ln(2.0 * ln(self.width) / self.params.delta);
        let variance = self.squares / self.width;
        let (mut older, mut newer) = (0.0, self.width);
        let (mut older_total, mut newer_total) = (0.0, self.total);
        let mut nearest: Option<(f64, f64, f64)> = None;
        for (size, buckets) in self.rows.oldest_first() {
            for bucket in buckets {
                older += size;
                newer -= size;
                older_total += bucket.total;
                newer_total -= bucket.total;
                if newer < shortest {
                    break;
                }
                if older < shortest {
                    continue;
                }
                let apart = (older_total / older - newer_total / newer).abs();
                let inverse_m = 1.0 / (older - k + 1.0) + 1.0 / (newer - k + 1.0);
                let squared = 2.0 * inverse_m * variance * log_term;
                let linear = 2.0 / 3.0 * log_term * inverse_m;
                // The root is taken only where the split may hold; the margin covers its rounding.
                let rest = apart - linear;
                if rest > 0.0 && rest * rest > squared * (1.0 - 1e-9) {
                    let threshold = sqrt(squared) + linear;
                    if apart > threshold {
                        return Some(Split { apart, threshold, newer, holds: true });
                    }
                }
                if nearest.is_none_or(|(a, m, _)| apart * apart * m > a * a * inverse_m) {
                    nearest = Some((apart, inverse_m, newer));
                }
            }
        }
        nearest.map(|(apart, inverse_m, newer)| {
            let squared = (2.0 * inverse_m * variance * log_term).max(0.0);
            let threshold = sqrt(squared) + 2.0 / 3.0 * log_term * inverse_m;
            Split { apart, threshold, newer, holds: false }
        })
    }

    /// Tests the window and sheds its oldest buckets while a split holds; returns the last that held.
    fn check(&mut self) -> Option<Split> {
        let mut last = None;
        loop {
            match self.scan() {
                Some(split) if split.holds => last = Some(split),
                rest => {
                    (self.statistic, self.threshold) =
                        rest.map_or((0.0, f64::MAX), |split| (split.apart, split.threshold));
                    return last;
                }
            }
            self.drop_oldest();
        }
    }

    fn mean(&self) -> f64 {
        if self.width > 0.0 { self.total / self.width } else { 0.0 }
    }
}

impl Detector for Adwin {
    fn update(&mut self, value: f64) -> Signal {
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, self.threshold);
        };
        if self.stale {
            self.clear_window();
        }
        let before = self.mean();
        self.insert(value);
        self.tick += 1;
        if self.tick < self.params.clock {
            return Signal::quiet(self.statistic, self.threshold);
        }
        self.tick = 0;
        if self.width <= f64::from(self.params.grace_period) {
            return Signal::quiet(self.statistic, self.threshold);
        }
        let whole = self.mean();
        let Some(split) = self.check() else {
            return Signal::quiet(self.statistic, self.threshold);
        };
        if self.params.compat == Compat::Moa && self.mean() <= before {
            return Signal::quiet(self.statistic, self.threshold);
        }
        self.detections += 1;
        self.stale = self.params.compat == Compat::River;
        Signal {
            level: Level::Drift,
            direction: if self.mean() > whole { Direction::Up } else { Direction::Down },
            statistic: split.apart,
            threshold: split.threshold,
            since: split.newer as u64,
        }
    }

    fn reset(&mut self) {
        self.clear_window();
        self.tally = Tally::default();
        self.detections = 0;
    }

    fn name(&self) -> &'static str {
        "adwin"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn estimation(&self) -> Option<f64> {
        if self.width > 0.0 { Some(self.total / self.width) } else { None }
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_u64(out, self.detections);
        put_f64(out, self.total);
        put_f64(out, self.squares);
        put_f64(out, self.statistic);
        put_f64(out, self.threshold);
        put_u32(out, self.tick);
        out.push(u8::from(self.stale));
        self.rows.write(out);
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "adwin", VERSION, self.params.fingerprint())?;
        let mut next = Self { rows: Rows::new(self.params.max_buckets), ..*self };
        next.tally = Tally::read(bytes)?;
        next.detections = bytes.u64()?;
        ensure(next.detections <= next.tally.taken, "detections")?;
        next.total = bytes.finite("total")?;
        next.squares = bytes.finite("squares")?;
        next.statistic = bounded(bytes, "statistic", 4.0)?;
        next.threshold = bytes.finite("threshold")?;
        next.tick = bytes.u32()?;
        let stale = bytes.u8()?;
        ensure(stale <= u8::from(self.params.compat == Compat::River), "stale")?;
        next.stale = stale == 1;
        next.rows = self.rows.read(bytes)?;
        next.width = next.rows.width();
        ensure(next.width <= next.tally.taken as f64, "width")?;
        ensure(next.total.abs() <= VALUE_LIMIT * 1.01 * next.width.max(0.0), "total")?;
        ensure(next.squares.abs() <= 1e250, "squares")?;
        ensure(next.statistic >= 0.0 && next.threshold >= 0.0, "statistic")?;
        ensure(next.tick < self.params.clock, "tick")?;
        *self = next;
        Ok(())
    }
}
