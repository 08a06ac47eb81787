//! HDDM-W: a weighted moving average against what it was at its best, by the bounded differences inequality.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::math::{ln, sqrt};
use crate::parameters::parameters;
use crate::state::{self, Tally};
use crate::{Compat, Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;

parameters! {
    /// Parameters of [`HddmW`].
    pub struct HddmWParams {
        /// Chance of a false drift of one test at one time, in (0, 1).
        pub drift_confidence: f64 = 0.001,
        /// Chance of a false warning of one test at one time, in (0, 1), at least `drift_confidence`.
        pub warning_confidence: f64 = 0.005,
        /// Weight of the newest value in the averages, in (0, 1].
        pub lambda_val: f64 = 0.05,
        /// Look for a shrinking mean too.
        pub two_sided_test: bool = false,
        /// Whose algorithm to follow.
        pub compat: Compat = Compat::Paper,
    }
}

impl HddmWParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { drift_confidence: drift, warning_confidence: warning, lambda_val: lambda, .. } = *self;
        ParamError::check("drift_confidence", drift, drift > 0.0 && drift < 1.0, "in (0, 1)")?;
        let (ok, allowed) = (warning >= drift && warning < 1.0, "in (0, 1), at least `drift_confidence`");
        ParamError::check("warning_confidence", warning, ok, allowed)?;
        ParamError::check("lambda_val", lambda, lambda > 0.0 && lambda <= 1.0, "in (0, 1]")
    }
}

/// Drift detection by bounded differences of weighted moving averages (the W-test).
///
/// Use it as [`crate::HddmA`], where changes are gradual or come often: it weighs recent values more and
/// answers sooner. On stationary streams with frequent errors it alarms often (at rate 0.4, once in 1,300
/// values), and it is blind to rare errors.
///
/// # Recurrence
///
/// A weighted average is `e = lambda x + (1 - lambda) e`, starting at its first value, with the bound sum
/// `b = lambda^2 + (1 - lambda)^2 b`, starting at 1. Keep one over all values since the last drift, and
/// remember it where `e + sqrt(b ln(1 / drift_confidence) / 2)` was lowest (before); keep another over the
/// values after that (after). [`Level::Drift`] when
///
/// `e_after - e_before > sqrt((b_before + b_after) ln(1 / drift_confidence) / 2)`,
///
/// [`Level::Warning`] with `warning_confidence`; with `two_sided_test` the mirror image as well. The test
/// starts afresh with the value after a drift.
///
/// In the signal, `statistic` is `e_after - e_before` (its mirror image for a drift down), `threshold` the
/// bound (2 while there are no values after), `since` the number of values after.
///
/// # Cost
///
/// Two square roots, three when two-sided; no division, no logarithm. The whole state is one struct, without
/// heap.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Direction, HddmW, HddmWParams};
///
/// let mut test = HddmW::new(HddmWParams::default())?;
/// // One error in ten for 500 values, one in two after.
/// let error = |i: u32| f64::from(i % if i < 500 { 10 } else { 2 } == 0);
/// let (at, signal) = (0..1000)
///     .map(|i| (i, test.update(error(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.since, signal.direction), (536, 37, Direction::Up));
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
/// | bound sum of the first value | 1 | `lambda^2 + (1 - lambda)^2` | 1 |
/// | a drift down | signalled | signalled | restarts the test in silence |
/// | a warning down | signalled | signalled | not |
/// | a warning on one side, a drift on the other | a drift | its flags say both; here a drift | a drift |
///
/// MOA keeps these statistics in static fields, so that two detectors in one process disturb each other; that
/// is not reproduced.
///
/// # References
///
/// Frías-Blanco, del Campo-Ávila, Ramos-Jiménez, Morales-Bueno, Ortiz-Díaz, Caballero-Mota, "Online and
/// Non-Parametric Drift Detection Methods Based on Hoeffding's Bounds", IEEE Transactions on Knowledge and
/// Data Engineering 27 (2015).
#[derive(Clone, Copy, Debug)]
pub struct HddmW {
    params: HddmWParams,
    weights: Weights,
    tally: Tally,
    all: Average,
    up: Side,
    down: Side,
    statistic: f64,
    threshold: f64,
    stale: bool,
}

/// What the parameters come to.
#[derive(Clone, Copy, Debug)]
struct Weights {
    lambda: f64,
    rest: f64,
    lambda_squared: f64,
    rest_squared: f64,
    /// The bound sum of one value.
    first: f64,
    /// `ln(1 / drift_confidence) / 2`.
    log: f64,
    /// The bound for a warning divided by that for a drift.
    warning: f64,
}

impl Weights {
    fn new(params: &HddmWParams) -> Self {
        let lambda = params.lambda_val;
        let rest = 1.0 - lambda;
        let (lambda_squared, rest_squared) = (lambda * lambda, rest * rest);
        let log = |confidence: f64| -ln(confidence);
        Self {
            lambda,
            rest,
            lambda_squared,
            rest_squared,
            first: if params.compat == Compat::River { lambda_squared + rest_squared } else { 1.0 },
            log: 0.5 * log(params.drift_confidence),
            warning: sqrt(log(params.warning_confidence) / log(params.drift_confidence)),
        }
    }
}

/// A weighted average of `seen` values and its bound sum.
#[derive(Clone, Copy, Debug)]
struct Average {
    seen: u64,
    mean: f64,
    bound: f64,
}

impl Average {
    const EMPTY: Self = Self { seen: 0, mean: 0.0, bound: 1.0 };

    #[inline]
    fn add(&mut self, value: f64, weights: &Weights) {
        if self.seen == 0 {
            self.mean = value;
            self.bound = weights.first;
        } else {
            self.mean = weights.lambda * value + weights.rest * self.mean;
            self.bound = weights.lambda_squared + weights.rest_squared * self.bound;
        }
        self.seen += 1;
    }

    fn write(self, out: &mut Vec<u8>) {
        put_u64(out, self.seen);
        put_f64(out, self.mean);
        put_f64(out, self.bound);
    }

    fn read(bytes: &mut Reader<'_>, seen_max: u64) -> Result<Self, DecodeError> {
        Ok(Self {
            seen: state::count(bytes, "average", seen_max)?,
            mean: state::unit(bytes, "average")?,
            bound: state::unit(bytes, "average")?,
        })
    }
}

/// The averages before and after the point where one side's limit was best.
#[derive(Clone, Copy, Debug)]
struct Side {
    best: f64,
    before: Average,
    after: Average,
}

impl Side {
    /// Above any average and its bound: confidences are above 1e-308.
    const WORST: f64 = 1e3;
    const NEW: Self = Self { best: Self::WORST, before: Average::EMPTY, after: Average::EMPTY };

    /// Takes a value in; `limit` is the side's limit over all values.
    #[inline]
    fn add(&mut self, value: f64, limit: f64, all: Average, weights: &Weights) {
        if limit < self.best {
            *self = Self { best: limit, before: all, after: Average::EMPTY };
        } else {
            self.after.add(value, weights);
        }
    }

    /// Holds the distance between the averages against its bound.
    #[inline]
    fn judge(&self, sign: f64, weights: &Weights) -> (Level, f64, f64) {
        if self.after.seen == 0 {
            return (Level::Normal, 0.0, 2.0);
        }
        let distance = sign * (self.after.mean - self.before.mean);
        let threshold = sqrt((self.before.bound + self.after.bound) * weights.log);
        let level = if distance > threshold {
            Level::Drift
        } else if distance > threshold * weights.warning {
            Level::Warning
        } else {
            Level::Normal
        };
        (level, distance, threshold)
    }

    fn write(self, out: &mut Vec<u8>) {
        put_f64(out, self.best);
        self.before.write(out);
        self.after.write(out);
    }

    fn read(bytes: &mut Reader<'_>, seen: u64) -> Result<Self, DecodeError> {
        let best = bytes.finite("best")?;
        state::ensure(best.abs() <= Self::WORST, "best")?;
        let (before, after) = (Average::read(bytes, seen)?, Average::read(bytes, seen)?);
        Ok(Self { best, before, after })
    }
}

impl HddmW {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: HddmWParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &HddmWParams {
        &self.params
    }

    fn fresh(params: HddmWParams) -> Self {
        let mut fresh = Self {
            params,
            weights: Weights::new(&params),
            tally: Tally::default(),
            all: Average::EMPTY,
            up: Side::NEW,
            down: Side::NEW,
            statistic: 0.0,
            threshold: 2.0,
            stale: false,
        };
        fresh.restart();
        fresh
    }

    const fn restart(&mut self) {
        self.all = Average::EMPTY;
        self.up = Side::NEW;
        self.down = Side::NEW;
        self.statistic = 0.0;
        self.threshold = 2.0;
        self.stale = false;
    }
}

impl Detector for HddmW {
    fn update(&mut self, value: f64) -> Signal {
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, self.threshold);
        };
        if self.stale {
            self.restart();
        }
        let value = value.clamp(0.0, 1.0);
        let weights = &self.weights;
        self.all.add(value, weights);
        let moved = sqrt(self.all.bound * weights.log);
        self.up.add(value, self.all.mean + moved, self.all, weights);
        let (mut level, mut statistic, mut threshold) = self.up.judge(1.0, weights);
        let (mut direction, mut since) = (Direction::Up, self.up.after.seen);
        let mut stale = level == Level::Drift;
        if self.params.two_sided_test {
            self.down.add(value, moved - self.all.mean, self.all, weights);
            let (down, distance, bound) = self.down.judge(-1.0, weights);
            stale |= down == Level::Drift;
            if self.params.compat != Compat::Moa && down > level {
                (level, statistic, threshold) = (down, distance, bound);
                (direction, since) = (Direction::Down, self.down.after.seen);
            }
        }
        (self.stale, self.statistic, self.threshold) = (stale, statistic, threshold);
        if level == Level::Normal {
            return Signal::quiet(statistic, threshold);
        }
        Signal { level, direction, statistic, threshold, since }
    }

    fn reset(&mut self) {
        *self = Self::fresh(self.params);
    }

    fn name(&self) -> &'static str {
        "hddm-w"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn estimation(&self) -> Option<f64> {
        (self.all.seen > 0).then_some(self.all.mean)
    }

    fn baseline(&self) -> Option<f64> {
        (self.up.before.seen > 0).then_some(self.up.before.mean)
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        self.all.write(out);
        self.up.write(out);
        self.down.write(out);
        put_f64(out, self.statistic);
        put_f64(out, self.threshold);
        out.push(u8::from(self.stale));
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "hddm-w", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let all = Average::read(bytes, tally.taken)?;
        let (up, down) = (Side::read(bytes, all.seen)?, Side::read(bytes, all.seen)?);
        let (statistic, threshold) = (bytes.finite("statistic")?, bytes.finite("threshold")?);
        let stale = state::flag(bytes, "stale")?;
        *self = Self { tally, all, up, down, statistic, threshold, stale, ..*self };
        Ok(())
    }
}
