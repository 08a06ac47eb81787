//! Page's CUSUM: the optimal test for a change from one known level to another, with its exact run length.

use alloc::vec::Vec;
use core::hint::select_unpredictable;

use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::parameters::{parameters, words};
use crate::state::{self, Tally, VALUE_LIMIT, ensure};
use crate::{Detector, Direction, Level, Mode, ParamError, Signal};

mod arl;
mod lattice;
mod normal;

pub use arl::{cusum_arl, cusum_delay, cusum_threshold};

use arl::Design;

/// What `arl` may be.
const ARL_LEAST: f64 = 10.0;
const ARL_MOST: f64 = 1e15;
const VERSION: u8 = 1;
/// Gaussian values are taken as this many deviations at most.
const SCALED_LIMIT: f64 = 1e60;

/// What kind of values a stream of [`Cusum`] has.
///
/// | | values | others are taken as |
/// |---|---|---|
/// | `Gaussian` | any, of deviation `sigma` around a mean | |
/// | `Bernoulli` | 0 or 1 | 1 from 0.5 up, 0 below |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum CusumFamily {
    /// Measurements around a mean.
    Gaussian,
    /// Zeros and ones: errors, hits.
    #[default]
    Bernoulli,
}

words!(CusumFamily { Gaussian = "gaussian", Bernoulli = "bernoulli" });

parameters! {
    /// Parameters of [`Cusum`].
    pub struct CusumParams {
        /// Kind of the values.
        pub family: CusumFamily = CusumFamily::Bernoulli,
        /// Which way to look. With `Both` the other side looks for the mirror image of `target`: as far on the
        /// other side of `baseline`, in log-odds for bits.
        pub mode: Mode = Mode::Up,
        /// The good level: a mean, or a rate of ones in [1e-9, 1 - 1e-9].
        pub baseline: f64 = 0.1,
        /// The bad level to look for: above `baseline` with `Up`, below it with `Down`, not the same. It is best
        /// when it is the level after the change, and does well around it.
        pub target: f64 = 0.2,
        /// Standard deviation of Gaussian values, in [1e-100, 1e100].
        pub sigma: f64 = 1.0,
        /// Average number of values between false alarms, in [10, 1e15].
        pub arl: f64 = 10_000.0,
        /// Threshold of the log-likelihood ratio, at most 1e6; 0 takes the one for `arl`.
        pub threshold: f64 = 0.0,
    }
}

impl CusumParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { family, mode, baseline, target, sigma, arl, threshold } = *self;
        let (range, allowed) = match family {
            CusumFamily::Gaussian => (-VALUE_LIMIT..=VALUE_LIMIT, "finite"),
            CusumFamily::Bernoulli => (1e-9..=1.0 - 1e-9, "in [1e-9, 1 - 1e-9]"),
        };
        ParamError::check("baseline", baseline, range.contains(&baseline), allowed)?;
        ParamError::check("target", target, range.contains(&target), allowed)?;
        ParamError::check("sigma", sigma, (1e-100..=1e100).contains(&sigma), "in [1e-100, 1e100]")?;
        let (ok, allowed) = match mode {
            Mode::Up => (target > baseline, "above `baseline`"),
            Mode::Down => (target < baseline, "below `baseline`"),
            Mode::Both => (target != baseline, "other than `baseline`"),
        };
        ParamError::check("target", target, ok, allowed)?;
        let (ok, allowed) = match family {
            CusumFamily::Gaussian => {
                ((0.01..=100.0).contains(&((target - baseline) / sigma).abs()), "0.01 to 100 `sigma` off")
            }
            CusumFamily::Bernoulli => {
                let odds = (target / baseline * ((1.0 - baseline) / (1.0 - target))).max(1e-300);
                (!(0.9..=1.1).contains(&odds), "a tenth or more off `baseline` in its odds")
            }
        };
        ParamError::check("target", target, ok, allowed)?;
        ParamError::check("arl", arl, (ARL_LEAST..=ARL_MOST).contains(&arl), "in [10, 1e15]")?;
        let ok = (0.0..=1e6).contains(&threshold);
        ParamError::check("threshold", threshold, ok, "0 or above, at most 1e6")
    }
}

/// Page's cumulative sum test for a change from a known level to a stated one.
///
/// Use it when both are known: an error rate of a service objective and the rate at which somebody must act.
/// No test with the same average run length finds a change to `target` sooner in the worst case. When the
/// change may be of any size, take [`crate::MixtureESr`] or [`crate::Focus`]; when the good level is an
/// estimate, [`crate::Focus`] with an unknown one.
///
/// # Recurrence
///
/// With the log-likelihood ratio `l(x)` of `target` against `baseline`, and the sum 0 at first,
///
/// `s_t = max(0, s_(t-1) + l(x_t))`.
///
/// For Gaussian values `l(x) = d (z - d / 2)` with `z = (x - baseline) / sigma` and `d` the shift in
/// deviations, so `s / d` is the textbook's sum with `k = d / 2` and `h = threshold / d`. For bits `l` takes
/// two values; their quotient is rounded to one of small whole numbers (to 0.5 %, or to whole steps where one
/// is more than 16 of the other), so that the sum moves on a lattice.
///
/// [`Level::Drift`] when a sum reaches its threshold; the test starts afresh with the next value. In the
/// signal, `statistic` is the sum that is nearer to its threshold, `since` the values since it was last 0.
///
/// # False alarms
///
/// The threshold for `arl` is computed when the detector is built ([`cusum_threshold`]): on the lattice from
/// Brook and Evans' Markov chain, which is exact there unless a kind of bit is so rare that its rise is more than 400 of
/// the other's falls, or its fall more than 250 rises: then several values are one step of the chain, and the run length
/// is good to half a percent. For Gaussian values it comes from Page's integral equation.
/// Both are solved without subtractions that could cancel, so that they hold for any run length.
/// With `Both` each side has twice the run length, so that both together have at least `arl`.
/// [`cusum_delay`] says how many values a change to `target` takes.
///
/// # Cost
///
/// Two additions and two comparisons per side, no division; the state is one struct, without heap. Building
/// with `arl` and moving the run length take a few tens of microseconds at 10,000; for bits the median of 480 settings
/// is 25 at 10,000, 64 at 1e6 and 280 at 1e15, nine in ten take up to 0.2, 0.4 and 1.3 ms. It is the most where
/// `target` is near `baseline` and neither step is one unit: the worst found take 0.8, 2.5 and 24 ms (other machines
/// have shown 42).
/// [`cusum_delay`] can take 30 times as long where bits are rare.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Cusum, CusumParams, Detector};
///
/// let mut test = Cusum::new(CusumParams::default())?;
/// // One error in 10 values, then three.
/// let value = |i: u32| f64::from(u8::from(i % 10 == 0 || (i >= 500 && i % 10 < 3)));
/// let drift = (0..1000).map(|i| (i, test.update(value(i)))).find(|(_, signal)| signal.drift_detected());
/// assert_eq!(drift.map(|(at, signal)| (at, signal.since)), Some((532, 33)));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values beyond ±1e100 are taken as ±1e100.
///
/// # Differences
///
/// MOA's `CusumDM` learns the level as it goes and has its threshold in the stream's units:
/// [`crate::CusumMoa`].
///
/// # References
///
/// Page, "Continuous Inspection Schemes", Biometrika 41 (1954); Brook and Evans, "An approach to the
/// probability distribution of CUSUM run length", Biometrika 59 (1972); Moustakides, "Optimal stopping times
/// for detecting changes in distributions", Annals of Statistics 14 (1986); Reynolds and Stoumbos, "A CUSUM
/// chart for monitoring a proportion when inspecting continuously", Journal of Quality Technology 31 (1999).
#[derive(Clone, Copy, Debug)]
pub struct Cusum {
    params: CusumParams,
    tally: Tally,
    per_sigma: f64,
    up: Side,
    down: Side,
    statistic: f64,
    arl: f64,
    threshold: f64,
    stale: bool,
}

/// One direction's sum, in units of `unit`.
#[derive(Clone, Copy, Debug)]
struct Side {
    /// Gain of a value: for bits, of a zero; for measurements, of the baseline.
    offset: f64,
    /// What a one gains more; or, of measurements, each deviation.
    slope: f64,
    unit: f64,
    limit: f64,
    sum: f64,
    since: u64,
}

impl Side {
    /// A side that never alarms.
    const IDLE: Self = Self { offset: 0.0, slope: 0.0, unit: 1.0, limit: f64::MAX, sum: 0.0, since: 0 };

    #[inline]
    fn add(&mut self, x: f64) {
        let sum = self.sum + (self.offset + self.slope * x);
        let above = sum > 0.0;
        self.sum = if above { sum } else { 0.0 };
        self.since = select_unpredictable(above, self.since + 1, 0);
    }

    fn rest(&mut self) {
        self.sum = 0.0;
        self.since = 0;
    }

    fn write(self, out: &mut Vec<u8>) {
        put_f64(out, self.sum);
        put_u64(out, self.since);
        // Rounded by the library that wrote it: found again it might be another.
        put_f64(out, self.limit);
    }

    fn read(&mut self, bytes: &mut Reader<'_>, taken: u64) -> Result<(), DecodeError> {
        self.sum = bytes.f64()?;
        ensure((0.0..=1e170).contains(&self.sum), "sum")?;
        self.since = bytes.u64()?;
        ensure(self.since <= taken, "since")?;
        self.limit = bytes.finite("limit")?;
        ensure(self.limit > 0.0, "limit")
    }
}

impl Cusum {
    /// Builds a test that has seen nothing, and finds its threshold.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: CusumParams) -> Result<Self, ParamError> {
        params.validate()?;
        let threshold = cusum_threshold(&params)?;
        let side = |design: Option<Design>| {
            design.map_or(Side::IDLE, |design| {
                let (offset, slope, unit) = design.gains();
                Side { offset, slope, unit, limit: design.limit(threshold), sum: 0.0, since: 0 }
            })
        };
        let (up, down) = Design::sides(&params);
        let (up, down) = (side(up), side(down));
        let mut built = Self {
            params,
            tally: Tally::default(),
            per_sigma: 1.0 / params.sigma,
            up,
            down,
            statistic: 0.0,
            arl: params.arl,
            threshold: 0.0,
            stale: false,
        };
        built.reset();
        Ok(built)
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &CusumParams {
        &self.params
    }

    /// Moves the limits to a run length within its range.
    fn aim(&mut self, arl: f64) {
        let params = CusumParams { arl, ..self.params };
        // Every run length of the range has a threshold.
        let Ok(threshold) = cusum_threshold(&params) else { return };
        let (up, down) = Design::sides(&params);
        for (side, design) in [(&mut self.up, up), (&mut self.down, down)] {
            side.limit = design.map_or(f64::MAX, |design| design.limit(threshold));
        }
        self.arl = arl;
        let first = if params.mode == Mode::Down { self.down } else { self.up };
        self.threshold = first.limit * first.unit;
    }
}

impl Detector for Cusum {
    #[inline]
    fn update(&mut self, value: f64) -> Signal {
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, self.threshold);
        };
        if self.stale {
            self.up.rest();
            self.down.rest();
            self.stale = false;
        }
        let x = match self.params.family {
            CusumFamily::Bernoulli => f64::from(u8::from(value >= 0.5)),
            CusumFamily::Gaussian => {
                ((value - self.params.baseline) * self.per_sigma).clamp(-SCALED_LIMIT, SCALED_LIMIT)
            }
        };
        let rising = match self.params.mode {
            Mode::Up => {
                self.up.add(x);
                true
            }
            Mode::Down => {
                self.down.add(x);
                false
            }
            Mode::Both => {
                self.up.add(x);
                self.down.add(x);
                self.up.sum * self.down.limit >= self.down.sum * self.up.limit
            }
        };
        // Either may be the larger at any value.
        let side = select_unpredictable(rising, &self.up, &self.down);
        let (statistic, threshold) = (side.sum * side.unit, side.limit * side.unit);
        self.statistic = statistic;
        self.threshold = threshold;
        if side.sum < side.limit {
            return Signal::quiet(statistic, threshold);
        }
        self.stale = true;
        let direction = if rising { Direction::Up } else { Direction::Down };
        Signal { level: Level::Drift, direction, statistic, threshold, since: side.since }
    }

    fn reset(&mut self) {
        self.tally = Tally::default();
        self.up.rest();
        self.down.rest();
        let first = if self.params.mode == Mode::Down { self.down } else { self.up };
        self.statistic = 0.0;
        self.threshold = first.limit * first.unit;
        self.stale = false;
    }

    fn name(&self) -> &'static str {
        "cusum"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn baseline(&self) -> Option<f64> {
        Some(self.params.baseline)
    }

    fn arl(&self) -> Option<f64> {
        // A threshold that was given stands for no run length that was asked for.
        (self.params.threshold == 0.0).then_some(self.arl)
    }

    fn set_arl(&mut self, arl: f64) -> bool {
        if self.params.threshold > 0.0 {
            return false;
        }
        if let Some(arl) = state::run_length(arl, ARL_LEAST, ARL_MOST) {
            self.aim(arl);
        }
        true
    }

    fn reaches(&self, arl: f64) -> bool {
        let arl = state::run_length(arl, ARL_LEAST, ARL_MOST).filter(|_| self.params.threshold == 0.0);
        let Some(arl) = arl else { return false };
        let params = CusumParams { arl, ..self.params };
        let Ok(threshold) = cusum_threshold(&params) else { return false };
        let (up, down) = Design::sides(&params);
        let over = |side: &Side, design: Option<Design>| {
            design.is_some_and(|design| side.sum >= design.limit(threshold))
        };
        over(&self.up, up) || over(&self.down, down)
    }

    fn can_forget(&self) -> bool {
        true
    }

    fn forget_evidence(&mut self) -> bool {
        self.up.rest();
        self.down.rest();
        self.statistic = 0.0;
        true
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        self.up.write(out);
        self.down.write(out);
        put_f64(out, self.statistic);
        put_f64(out, self.arl);
        put_f64(out, self.threshold);
        out.push(u8::from(self.stale));
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "cusum", VERSION, self.params.fingerprint())?;
        let mut read = *self;
        read.tally = Tally::read(bytes)?;
        read.up.read(bytes, read.tally.taken)?;
        read.down.read(bytes, read.tally.taken)?;
        read.statistic = bytes.finite("statistic")?;
        read.arl = state::read_run_length(bytes, ARL_LEAST, ARL_MOST)?;
        read.threshold = bytes.finite("threshold")?;
        let stale = bytes.u8()?;
        ensure(stale <= 1, "stale")?;
        read.stale = stale == 1;
        *self = read;
        Ok(())
    }
}
