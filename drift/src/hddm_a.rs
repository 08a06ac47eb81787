//! HDDM-A: the running mean against what it was at its best, by Hoeffding's bound.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::math::{ln, sqrt};
use crate::parameters::parameters;
use crate::state::{self, Tally};
use crate::{Compat, Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;

parameters! {
    /// Parameters of [`HddmA`].
    pub struct HddmAParams {
        /// Chance of a false drift of one test at one time, in (0, 1).
        pub drift_confidence: f64 = 0.001,
        /// Chance of a false warning of one test at one time, in (0, 1), at least `drift_confidence`.
        pub warning_confidence: f64 = 0.005,
        /// Look for a shrinking mean too.
        pub two_sided_test: bool = false,
        /// Whose algorithm to follow.
        pub compat: Compat = Compat::Paper,
    }
}

impl HddmAParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { drift_confidence: drift, warning_confidence: warning, .. } = *self;
        ParamError::check("drift_confidence", drift, drift > 0.0 && drift < 1.0, "in (0, 1)")?;
        let (ok, allowed) = (warning >= drift && warning < 1.0, "in (0, 1), at least `drift_confidence`");
        ParamError::check("warning_confidence", warning, ok, allowed)
    }
}

/// Drift detection by Hoeffding's bound on moving averages (the A-test).
///
/// Use it for a bounded metric whose level is unknown, when an abrupt change must be found soon and an old
/// system has to be reproduced. It sees small changes late and is blind to rare errors (rates below about
/// 0.02); the confidences bound one test, not the whole stream.
///
/// # Recurrence
///
/// After `n` values since the last drift, with mean `z`, remember the cut `(c, x)`: the number and the mean
/// of the first values, where `x + sqrt(ln(1 / drift_confidence) / 2c)` was lowest. [`Level::Drift`] when
///
/// `z - x >= sqrt((n - c) / (2 c n) ln(2 / drift_confidence))`,
///
/// [`Level::Warning`] with `warning_confidence`; with `two_sided_test` the mirror image as well. The test
/// starts afresh with the value after a drift.
///
/// In the signal, `statistic` is `z - x` (its mirror image for a drift down), `threshold` the bound (1 while
/// the cut is the present), `since` the values since the cut.
///
/// # Cost
///
/// Two square roots and four divisions, twice that when two-sided; no logarithm. The whole state is one
/// struct, without heap.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Direction, HddmA, HddmAParams};
///
/// let mut test = HddmA::new(HddmAParams::default())?;
/// // One error in ten for 500 values, one in two after.
/// let error = |i: u32| f64::from(i % if i < 500 { 10 } else { 2 } == 0);
/// let (at, signal) = (0..1000)
///     .map(|i| (i, test.update(error(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.since, signal.direction), (522, 23, Direction::Up));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values outside 0 to 1 are taken as 0 or 1, for the bound holds
/// for nothing else.
///
/// # Differences
///
/// | | [`Compat::Paper`] | [`Compat::River`] | [`Compat::Moa`] |
/// |---|---|---|---|
/// | a drift down | signalled | signalled | restarts the test in silence |
/// | a warning down | signalled | signalled | not |
/// | a warning on one side, a drift on the other | a drift | its flags say both; here a drift | a drift |
/// | `two_sided_test` is by default | off | off | on; here off too |
///
/// # References
///
/// Frías-Blanco, del Campo-Ávila, Ramos-Jiménez, Morales-Bueno, Ortiz-Díaz, Caballero-Mota, "Online and
/// Non-Parametric Drift Detection Methods Based on Hoeffding's Bounds", IEEE Transactions on Knowledge and
/// Data Engineering 27 (2015).
#[derive(Clone, Copy, Debug)]
pub struct HddmA {
    params: HddmAParams,
    bounds: Bounds,
    tally: Tally,
    seen: u64,
    mean: f64,
    low: Cut,
    high: Cut,
    last: Gap,
    stale: bool,
}

/// What the confidences come to.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// `ln(1 / drift_confidence) / 2`.
    cut: f64,
    /// `ln(2 / drift_confidence) / 2`.
    drift: f64,
    /// The bound for a warning divided by that for a drift.
    warning: f64,
}

/// The first values up to a point, and their mean moved by its bound.
#[derive(Clone, Copy, Debug)]
struct Cut {
    seen: u64,
    mean: f64,
    moved: f64,
}

/// How far the mean has gone from a cut, and how far it may go.
#[derive(Clone, Copy, Debug)]
struct Gap {
    statistic: f64,
    threshold: f64,
}

impl Gap {
    const NONE: Self = Self { statistic: 0.0, threshold: 1.0 };
}

impl Bounds {
    fn new(params: &HddmAParams) -> Self {
        let log = |confidence: f64| core::f64::consts::LN_2 - ln(confidence);
        Self {
            cut: -0.5 * ln(params.drift_confidence),
            drift: 0.5 * log(params.drift_confidence),
            warning: sqrt(log(params.warning_confidence) / log(params.drift_confidence)),
        }
    }
}

impl HddmA {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: HddmAParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &HddmAParams {
        &self.params
    }

    fn fresh(params: HddmAParams) -> Self {
        let mut fresh = Self {
            params,
            bounds: Bounds::new(&params),
            tally: Tally::default(),
            seen: 0,
            mean: 0.0,
            low: Cut { seen: 0, mean: 0.0, moved: 0.0 },
            high: Cut { seen: 0, mean: 0.0, moved: 0.0 },
            last: Gap::NONE,
            stale: false,
        };
        fresh.restart();
        fresh
    }

    const fn restart(&mut self) {
        self.seen = 0;
        self.mean = 0.0;
        self.low = Cut { seen: 0, mean: 0.0, moved: f64::MAX };
        self.high = Cut { seen: 0, mean: 0.0, moved: f64::MIN };
        self.last = Gap::NONE;
        self.stale = false;
    }

    /// Holds a distance from a cut against its bound.
    #[inline]
    fn judge(&self, cut: Cut, distance: f64) -> (Level, Gap) {
        if cut.seen == self.seen {
            return (Level::Normal, Gap::NONE);
        }
        let (n, c) = (self.seen as f64, cut.seen as f64);
        let threshold = sqrt((n - c) / (c * n) * self.bounds.drift);
        let level = if distance >= threshold {
            Level::Drift
        } else if distance >= threshold * self.bounds.warning {
            Level::Warning
        } else {
            Level::Normal
        };
        (level, Gap { statistic: distance, threshold })
    }
}

impl Detector for HddmA {
    fn update(&mut self, value: f64) -> Signal {
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.last.statistic, self.last.threshold);
        };
        if self.stale {
            self.restart();
        }
        self.seen += 1;
        let n = self.seen as f64;
        self.mean += (value.clamp(0.0, 1.0) - self.mean) / n;
        let moved = sqrt(self.bounds.cut / n);
        if self.mean + moved <= self.low.moved {
            self.low = Cut { seen: self.seen, mean: self.mean, moved: self.mean + moved };
        }
        let (mut level, mut gap) = self.judge(self.low, self.mean - self.low.mean);
        let (mut direction, mut cut) = (Direction::Up, self.low);
        self.stale = level == Level::Drift;
        if self.params.two_sided_test {
            if self.mean - moved >= self.high.moved {
                self.high = Cut { seen: self.seen, mean: self.mean, moved: self.mean - moved };
            }
            let (down, down_gap) = self.judge(self.high, self.high.mean - self.mean);
            if down == Level::Drift {
                self.stale = true;
            }
            if self.params.compat != Compat::Moa && down > level {
                (level, gap, direction, cut) = (down, down_gap, Direction::Down, self.high);
            }
        }
        self.last = gap;
        let Gap { statistic, threshold } = gap;
        if level == Level::Normal {
            return Signal::quiet(statistic, threshold);
        }
        Signal { level, direction, statistic, threshold, since: self.seen - cut.seen }
    }

    fn reset(&mut self) {
        *self = Self::fresh(self.params);
    }

    fn name(&self) -> &'static str {
        "hddm-a"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn estimation(&self) -> Option<f64> {
        (self.seen > 0).then_some(self.mean)
    }

    fn baseline(&self) -> Option<f64> {
        (self.low.seen > 0).then_some(self.low.mean)
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_u64(out, self.seen);
        put_f64(out, self.mean);
        for cut in [self.low, self.high] {
            put_u64(out, cut.seen);
            put_f64(out, cut.mean);
            put_f64(out, cut.moved);
        }
        put_f64(out, self.last.statistic);
        put_f64(out, self.last.threshold);
        out.push(u8::from(self.stale));
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "hddm-a", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let seen = state::count(bytes, "seen", tally.taken)?;
        let mean = state::unit(bytes, "mean")?;
        let mut cut = |unset| -> Result<Cut, DecodeError> {
            let cut = Cut {
                seen: state::count(bytes, "cut", seen)?,
                mean: state::unit(bytes, "cut")?,
                moved: bytes.finite("cut")?,
            };
            state::ensure(if cut.seen == 0 { cut.moved == unset } else { cut.moved.abs() <= 1e9 }, "cut")?;
            Ok(cut)
        };
        let (low, high) = (cut(f64::MAX)?, cut(f64::MIN)?);
        let last = Gap { statistic: bytes.finite("statistic")?, threshold: bytes.finite("threshold")? };
        let stale = state::flag(bytes, "stale")?;
        state::ensure(seen == 0 || low.seen > 0, "cut")?;
        state::ensure(seen == 0 || high.seen > 0 || !self.params.two_sided_test, "cut")?;
        *self = Self { tally, seen, mean, low, high, last, stale, ..*self };
        Ok(())
    }
}
