//! MOA's CUSUM: the sum of deviations from the running mean, as its published experiments use it.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::parameters::parameters;
use crate::state::{self, Tally, VALUE_LIMIT, bounded, ensure};
use crate::{Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;

parameters! {
    /// Parameters of [`CusumMoa`].
    pub struct CusumMoaParams {
        /// No drift before this many values, less one, since the start or the last drift.
        pub min_instances: u64 = 30,
        /// Growth of the mean that is tolerated, in the stream's units, not negative.
        pub delta: f64 = 0.005,
        /// Alarm threshold in the stream's units times values, above 0.
        pub threshold: f64 = 50.0,
    }
}

impl CusumMoaParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { delta, threshold, .. } = *self;
        ParamError::check("delta", delta, (0.0..=VALUE_LIMIT).contains(&delta), "not negative")?;
        let ok = threshold > 0.0 && threshold <= VALUE_LIMIT;
        ParamError::check("threshold", threshold, ok, "above 0 and finite")
    }
}

/// MOA's `CusumDM`: looks for a growing mean, with the running mean as the level before.
///
/// Use it to compare with published MOA experiments, and [`crate::Cusum`] for everything else: this one has
/// no bound on false alarms, its threshold is in the stream's units, and its level follows the change.
///
/// # Recurrence
///
/// With the running mean `m_t` of all values since the last drift (`x_t` included), and the sum 0 at first,
///
/// `s_t = max(0, s_(t-1) + x_t - m_t - delta)`.
///
/// [`Level::Drift`] when `s_t` exceeds `threshold`, from value `min_instances - 1` on. The test starts
/// afresh with the value after a drift. In the signal, `statistic` is the sum, `threshold` the parameter,
/// `since` the values since the sum was last 0.
///
/// # Cost
///
/// About ten operations with one division; the whole state is one struct, without heap.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{CusumMoa, CusumMoaParams, Detector};
///
/// let mut test = CusumMoa::new(CusumMoaParams { threshold: 5.0, ..Default::default() })?;
/// // Around 1.0 for 500 values, around 1.5 after.
/// let value = |i: u64| if i < 500 { 1.0 } else { 1.5 } + if i % 2 == 0 { 0.1 } else { -0.1 };
/// let drift = (0..1000).map(|i| (i, test.update(value(i)))).find(|(_, signal)| signal.drift_detected());
/// assert_eq!(drift.map(|(at, signal)| (at, signal.since)), Some((510, 11)));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values beyond ±1e100 are taken as ±1e100.
///
/// # References
///
/// Page, "Continuous Inspection Schemes", Biometrika 41 (1954); the defaults are those that MOA documents.
#[derive(Clone, Copy, Debug)]
pub struct CusumMoa {
    params: CusumMoaParams,
    tally: Tally,
    seen: u64,
    mean: f64,
    sum: f64,
    since: u64,
    stale: bool,
}

impl CusumMoa {
    /// Builds a test that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: CusumMoaParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &CusumMoaParams {
        &self.params
    }

    const fn fresh(params: CusumMoaParams) -> Self {
        let tally = Tally { taken: 0, ignored: 0 };
        Self { params, tally, seen: 0, mean: 0.0, sum: 0.0, since: 0, stale: false }
    }
}

impl Detector for CusumMoa {
    fn update(&mut self, value: f64) -> Signal {
        let threshold = self.params.threshold;
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.sum, threshold);
        };
        if self.stale {
            *self = Self { tally: self.tally, ..Self::fresh(self.params) };
        }
        self.seen += 1;
        self.mean += (value - self.mean) / self.seen as f64;
        self.sum = (self.sum + value - self.mean - self.params.delta).max(0.0);
        self.since = if self.sum > 0.0 { self.since + 1 } else { 0 };
        // MOA counts from 1.
        if self.seen + 1 < self.params.min_instances || self.sum <= threshold {
            return Signal::quiet(self.sum, threshold);
        }
        self.stale = true;
        let (statistic, since) = (self.sum, self.since);
        Signal { level: Level::Drift, direction: Direction::Up, statistic, threshold, since }
    }

    fn reset(&mut self) {
        *self = Self::fresh(self.params);
    }

    fn name(&self) -> &'static str {
        "cusum-moa"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn estimation(&self) -> Option<f64> {
        if self.seen == 0 { None } else { Some(self.mean) }
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_u64(out, self.seen);
        put_f64(out, self.mean);
        put_f64(out, self.sum);
        put_u64(out, self.since);
        out.push(u8::from(self.stale));
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "cusum-moa", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let seen = bytes.u64()?;
        ensure(seen <= tally.taken, "seen")?;
        let mean = bounded(bytes, "mean", 1.01)?;
        let sum = bounded(bytes, "sum", 1e30)?;
        ensure(sum >= 0.0, "sum")?;
        let since = bytes.u64()?;
        ensure(since <= seen, "since")?;
        let stale = bytes.u8()?;
        ensure(stale <= 1, "stale")?;
        *self = Self { params: self.params, tally, seen, mean, sum, since, stale: stale == 1 };
        Ok(())
    }
}
