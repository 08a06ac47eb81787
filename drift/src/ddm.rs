//! DDM: an error rate that leaves its lowest by some deviations.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_u64};
use crate::error_rate::ErrorRate;
use crate::parameters::parameters;
use crate::state::{self, Tally, VALUE_LIMIT};
use crate::{Compat, Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;

parameters! {
    /// Parameters of [`Ddm`].
    pub struct DdmParams {
        /// No judgement before this many values since the start or the last drift.
        pub warm_start: u64 = 30,
        /// Deviations above the lowest rate that make a warning, above 0, at most `drift_threshold`.
        pub warning_threshold: f64 = 2.0,
        /// Deviations above the lowest rate that make a drift, above 0.
        pub drift_threshold: f64 = 3.0,
        /// Whose algorithm to follow.
        pub compat: Compat = Compat::Paper,
    }
}

impl DdmParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { warning_threshold, drift_threshold, .. } = *self;
        let ok = drift_threshold > 0.0 && drift_threshold <= VALUE_LIMIT;
        ParamError::check("drift_threshold", drift_threshold, ok, "above 0 and finite")?;
        let ok = warning_threshold > 0.0 && warning_threshold <= drift_threshold;
        let allowed = "above 0, at most `drift_threshold`";
        ParamError::check("warning_threshold", warning_threshold, ok, allowed)
    }
}

/// Drift Detection Method: a growing error rate, held against the lowest it has been.
///
/// Use it to reproduce an existing system. Its false alarms have no bound and crowd the start: on streams
/// without any change, at a threshold set for one false alarm in 10,000 values, 86 of 100 runs had alarmed
/// within the first 2,000. It never sees an improvement, and the longer a stream was stable the slower it
/// becomes. [`crate::MixtureESr`] does the same work with a bound.
///
/// # Recurrence
///
/// After `n` values since the last drift, with their mean `p` and `s = sqrt(p (1 - p) / n)`: remember
/// `p_min` and `s_min` where `p + s` was lowest; [`Level::Warning`] when
/// `p + s >= p_min + warning_threshold s_min`, [`Level::Drift`] when
/// `p + s >= p_min + drift_threshold s_min`. The test starts afresh with the value after a drift.
///
/// In the signal, `statistic` is `p + s`, `threshold` the limit for a drift (2 before there is one),
/// `since` the values since the warning began.
///
/// # Cost
///
/// One square root and two divisions; the whole state is one struct, without heap.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Ddm, DdmParams, Detector, Level};
///
/// let mut ddm = Ddm::new(DdmParams::default())?;
/// // One error in ten for 500 values, one in two after.
/// let error = |i: u32| f64::from(i % if i < 500 { 10 } else { 2 } == 0);
/// let levels: Vec<Level> = (0..1000).map(|i| ddm.update(error(i)).level).collect();
/// let first = |level| levels.iter().position(|&l| l == level);
/// assert_eq!((first(Level::Warning), first(Level::Drift)), (Some(516), Some(534)));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values outside 0 to 1 are taken as 0 or 1; values between are
/// partial errors. A stream without errors (or without anything else) never alarms, and its first error is
/// no drift.
///
/// # Differences
///
/// | | [`Compat::Paper`] | [`Compat::River`] | [`Compat::Moa`] |
/// |---|---|---|---|
/// | levels reached when the sum | reaches the limit | exceeds it | exceeds it |
/// | first judgement at value | `warm_start` | `warm_start + 1` | `warm_start - 1` |
/// | lowest while `s` is 0 | not taken | taken: the first error ever is a drift | as river |
///
/// # References
///
/// Gama, Medas, Castillo, Rodrigues, "Learning with Drift Detection", SBIA 2004, section 3.
#[derive(Clone, Copy, Debug)]
pub struct Ddm {
    params: DdmParams,
    tally: Tally,
    rate: ErrorRate,
    warned: u64,
    stale: bool,
}

impl Ddm {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: DdmParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &DdmParams {
        &self.params
    }

    const fn fresh(params: DdmParams) -> Self {
        let tally = Tally { taken: 0, ignored: 0 };
        Self { params, tally, rate: ErrorRate::new(), warned: 0, stale: false }
    }
}

impl Detector for Ddm {
    fn update(&mut self, value: f64) -> Signal {
        let DdmParams { warm_start, warning_threshold, drift_threshold, compat } = self.params;
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.rate.sum(), self.rate.limit(drift_threshold));
        };
        if self.stale {
            *self = Self { tally: self.tally, ..Self::fresh(self.params) };
        }
        self.rate.add(value.clamp(0.0, 1.0));
        if self.rate.is_warm(warm_start, compat) {
            self.rate.keep_lowest(compat);
        }
        let statistic = self.rate.sum();
        let reaches = |limit| if compat == Compat::Paper { statistic >= limit } else { statistic > limit };
        let threshold = self.rate.limit(drift_threshold);
        let level = if reaches(threshold) {
            self.stale = true;
            Level::Drift
        } else if reaches(self.rate.limit(warning_threshold)) {
            Level::Warning
        } else {
            self.warned = 0;
            return Signal::quiet(statistic, threshold);
        };
        self.warned += 1;
        Signal { level, direction: Direction::Up, statistic, threshold, since: self.warned }
    }

    fn reset(&mut self) {
        *self = Self::fresh(self.params);
    }

    fn name(&self) -> &'static str {
        "ddm"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn estimation(&self) -> Option<f64> {
        (self.rate.seen > 0).then_some(self.rate.rate)
    }

    fn baseline(&self) -> Option<f64> {
        self.rate.lowest()
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        self.rate.write(out);
        put_u64(out, self.warned);
        out.push(u8::from(self.stale));
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "ddm", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let rate = ErrorRate::read(bytes, tally.taken)?;
        let warned = state::count(bytes, "warned", rate.seen)?;
        let stale = state::flag(bytes, "stale")?;
        *self = Self { params: self.params, tally, rate, warned, stale };
        Ok(())
    }
}
