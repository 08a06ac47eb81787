//! STEPD: the newest window's accuracy against all before it, by a test of equal proportions.

use alloc::vec::Vec;

use crate::bit_ring::{BITS_LIMIT, BitRing};
use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::math::sqrt;
use crate::normal_tail::two_sided_quantile;
use crate::parameters::parameters;
use crate::state::{self, Tally};
use crate::{Compat, Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;

/// Stands for a statistic without end.
const ENDLESS: f64 = 1e9;

parameters! {
    /// Parameters of [`Stepd`].
    pub struct StepdParams {
        /// Values in the recent window, from 1 to 24000. No judgement before twice as many have come.
        pub sliding_window_size: u32 = 30,
        /// Significance level of a drift, in (0, 1).
        pub drift_confidence: f64 = 0.003,
        /// Significance level of a warning, in (0, 1), at least `drift_confidence`.
        pub warning_confidence: f64 = 0.05,
        /// Whose algorithm to follow. river has none.
        pub compat: Compat = Compat::Paper,
    }
}

impl StepdParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { sliding_window_size: size, drift_confidence: drift, warning_confidence: warning, .. } =
            *self;
        let ok = (1..=BITS_LIMIT).contains(&size);
        ParamError::check("sliding_window_size", f64::from(size), ok, "from 1 to 24000")?;
        ParamError::check("drift_confidence", drift, drift > 0.0 && drift < 1.0, "in (0, 1)")?;
        let (ok, allowed) = (warning >= drift && warning < 1.0, "in (0, 1), at least `drift_confidence`");
        ParamError::check("warning_confidence", warning, ok, allowed)?;
        self.compat.refuse(Compat::River, "\"paper\" or \"moa\": river has no STEPD")
    }
}

/// Statistical Test of Equal Proportions: a recent error rate against the one before.
///
/// Use it to reproduce an existing system, or where abrupt changes in both directions matter and a false
/// alarm every few thousand values does not: the test is made anew with every value, without correction.
///
/// # Recurrence
///
/// With `r_o` errors among the `n_o` older values since the last drift, `r` among the newest
/// `n = sliding_window_size`, and `p = (r_o + r) / (n_o + n)`,
///
/// `z = (|r_o / n_o - r / n| - (1 / n_o + 1 / n) / 2) / sqrt(p (1 - p) (1 / n_o + 1 / n))`,
///
/// and [`Level::Drift`] when the two-sided normal p-value of `z` is below `drift_confidence`,
/// [`Level::Warning`] below `warning_confidence`, from `n_o = n` on. The test starts afresh with the value
/// after a drift.
///
/// In the signal, `statistic` is `z`, `threshold` the normal quantile of `drift_confidence`, `since` the size
/// of the window.
///
/// # Cost
///
/// One square root and five divisions; `sliding_window_size` bits on the heap.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Direction, Stepd, StepdParams};
///
/// let mut test = Stepd::new(StepdParams::default())?;
/// // One error in ten for 500 values, one in two after.
/// let error = |i: u32| f64::from(i % if i < 500 { 10 } else { 2 } == 0);
/// let (at, signal) = (0..1000)
///     .map(|i| (i, test.update(error(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.since, signal.direction), (514, 30, Direction::Up));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; a value of at least 0.5 is an error, any other a success.
///
/// # Differences
///
/// | | [`Compat::Paper`] | [`Compat::Moa`] |
/// |---|---|---|
/// | rates closer than the correction | `z` is taken as 0 | `z` is taken without its sign: equal rates of rare errors alarm |
/// | errors only, or none | no alarm | a drift every `2 n` values, from 0/0 |
///
/// # References
///
/// Nishida, Yamauchi, "Detecting Concept Drift Using Statistical Testing", Discovery Science 2007, section 3.
#[derive(Clone, Debug)]
pub struct Stepd {
    params: StepdParams,
    drift: f64,
    warning: f64,
    tally: Tally,
    older: u64,
    older_errors: u64,
    recent_errors: u32,
    window: BitRing,
    statistic: f64,
    stale: bool,
}

impl Stepd {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: StepdParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &StepdParams {
        &self.params
    }

    fn fresh(params: StepdParams) -> Self {
        Self {
            params,
            drift: two_sided_quantile(params.drift_confidence),
            warning: two_sided_quantile(params.warning_confidence),
            tally: Tally::default(),
            older: 0,
            older_errors: 0,
            recent_errors: 0,
            window: BitRing::new(params.sliding_window_size),
            statistic: 0.0,
            stale: false,
        }
    }

    const fn restart(&mut self) {
        self.older = 0;
        self.older_errors = 0;
        self.recent_errors = 0;
        self.window.clear();
        self.statistic = 0.0;
        self.stale = false;
    }

    /// Computes the test's `z` and the growth of the rate.
    #[inline]
    fn test(&self) -> (f64, f64) {
        let (older, recent) = (self.older as f64, f64::from(self.window.len()));
        let (older_errors, recent_errors) = (self.older_errors as f64, f64::from(self.recent_errors));
        let inverse = 1.0 / older + 1.0 / recent;
        let rate = (older_errors + recent_errors) / (older + recent);
        let growth = recent_errors / recent - older_errors / older;
        let excess = growth.abs() - 0.5 * inverse;
        let variance = rate * (1.0 - rate) * inverse;
        let moa = self.params.compat == Compat::Moa;
        let z = if variance <= 0.0 {
            if moa { ENDLESS } else { 0.0 }
        } else if moa {
            (excess / sqrt(variance)).abs().min(ENDLESS)
        } else {
            (excess / sqrt(variance)).max(0.0)
        };
        (z, growth)
    }
}

impl Detector for Stepd {
    fn update(&mut self, value: f64) -> Signal {
        let threshold = self.drift;
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, threshold);
        };
        if self.stale {
            self.restart();
        }
        let error = value >= 0.5;
        if let Some(left) = self.window.push(error) {
            self.older += 1;
            self.older_errors += u64::from(left);
            self.recent_errors -= u32::from(left).min(self.recent_errors);
        }
        self.recent_errors += u32::from(error);
        if self.older < u64::from(self.params.sliding_window_size) {
            return Signal::quiet(0.0, threshold);
        }
        let (statistic, growth) = self.test();
        self.statistic = statistic;
        let level = if statistic > threshold {
            self.stale = true;
            Level::Drift
        } else if statistic > self.warning {
            Level::Warning
        } else {
            return Signal::quiet(statistic, threshold);
        };
        let direction = match growth {
            _ if growth > 0.0 => Direction::Up,
            _ if growth < 0.0 => Direction::Down,
            _ => Direction::Unknown,
        };
        Signal { level, direction, statistic, threshold, since: self.window.len().into() }
    }

    fn reset(&mut self) {
        *self = Self::fresh(self.params);
    }

    fn name(&self) -> &'static str {
        "stepd"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn estimation(&self) -> Option<f64> {
        let held = self.window.len();
        (held > 0).then(|| f64::from(self.recent_errors) / f64::from(held))
    }

    fn baseline(&self) -> Option<f64> {
        (self.older > 0).then(|| self.older_errors as f64 / self.older as f64)
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_u64(out, self.older);
        put_u64(out, self.older_errors);
        self.window.write(out);
        put_f64(out, self.statistic);
        out.push(u8::from(self.stale));
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "stepd", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let older = state::count(bytes, "older", tally.taken)?;
        let older_errors = state::count(bytes, "older_errors", older)?;
        let window = BitRing::read(bytes, self.params.sliding_window_size)?;
        state::ensure(older == 0 || window.is_full(), "older")?;
        let recent_errors = window.ones(window.len());
        let statistic = bytes.f64()?;
        state::ensure((0.0..=ENDLESS).contains(&statistic), "statistic")?;
        let stale = state::flag(bytes, "stale")?;
        let Self { params, drift, warning, .. } = *self;
        *self = Self {
            params,
            drift,
            warning,
            tally,
            older,
            older_errors,
            recent_errors,
            window,
            statistic,
            stale,
        };
        Ok(())
    }
}
