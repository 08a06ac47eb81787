//! FHDDM: the newest values' mean against the best that a window had, by Hoeffding's bound.

use alloc::vec::Vec;

use crate::bit_ring::{BITS_LIMIT, BitRing};
use crate::codec::{DecodeError, Reader, put_u32, put_u64};
use crate::math::{ln, sqrt};
use crate::parameters::parameters;
use crate::state::{self, Tally};
use crate::{Compat, Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;

parameters! {
    /// Parameters of [`Fhddm`].
    pub struct FhddmParams {
        /// Values in the window, from 1 to 24000. No judgement before it is full.
        pub sliding_window_size: u32 = 100,
        /// Chance of a false drift of one test at one time, in (0, 1).
        pub confidence_level: f64 = 0.000_001,
        /// Values in a second, shorter window over the newest (the stacking variant), at most
        /// `sliding_window_size`; 0 for none.
        pub short_window_size: u32 = 0,
        /// Whose algorithm to follow. MOA has none.
        pub compat: Compat = Compat::Paper,
    }
}

impl FhddmParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { sliding_window_size: size, confidence_level: level, short_window_size: short, compat } =
            *self;
        let ok = (1..=BITS_LIMIT).contains(&size);
        ParamError::check("sliding_window_size", f64::from(size), ok, "from 1 to 24000")?;
        ParamError::check("confidence_level", level, level > 0.0 && level < 1.0, "in (0, 1)")?;
        let allowed = "at most `sliding_window_size`";
        ParamError::check("short_window_size", f64::from(short), short <= size, allowed)?;
        compat.refuse(Compat::Moa, "\"paper\" or \"river\": MOA has no FHDDM")
    }
}

/// Fast Hoeffding Drift Detection Method, with the stacking of a second window if wanted.
///
/// Use it to reproduce an existing system: it is fast on large abrupt changes and blind to changes smaller
/// than the bound (0.26 at the defaults) and to rare errors.
///
/// # Recurrence
///
/// With the share `u` of successes (zeros) among the newest `n = sliding_window_size` values, and its
/// largest `u_max` since the last drift, [`Level::Drift`] when
/// `u_max - u >= sqrt(ln(1 / confidence_level) / 2n)`; a short window is watched alike, and either may
/// alarm. The windows start afresh with the value after a drift. There are no warnings.
///
/// In the signal, `statistic` is `u_max - u`, `threshold` the bound (of the short window when it alone
/// alarms), `since` the values since `u_max`.
///
/// # Cost
///
/// A dozen integer operations and one division; `sliding_window_size` bits on the heap.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Direction, Fhddm, FhddmParams};
///
/// let mut test = Fhddm::new(FhddmParams::default())?;
/// // One error in ten for 500 values, one in two after.
/// let error = |i: u32| f64::from(i % if i < 500 { 10 } else { 2 } == 0);
/// let (at, signal) = (0..1000)
///     .map(|i| (i, test.update(error(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.since, signal.direction), (566, 65, Direction::Up));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; a value of at least 0.5 is an error, any other a success.
///
/// # Differences
///
/// | | [`Compat::Paper`] | [`Compat::River`] |
/// |---|---|---|
/// | watches | the share of zeros: alarms when errors grow | the share of ones: alarms when errors shrink |
/// | alarms when the loss | reaches the bound | exceeds it |
///
/// The paper feeds a success as 1. river feeds it the values as they are and says that 1 is an error, so that
/// it misses a model that becomes worse.
///
/// # References
///
/// Pesaranghader, Viktor, "Fast Hoeffding Drift Detection Method for Evolving Data Streams", ECML PKDD 2016;
/// Pesaranghader, Viktor, Paquet, "Reservoir of diverse adaptive learners and stacking fast Hoeffding drift
/// detection methods for evolving data streams", Machine Learning 107 (2018).
#[derive(Clone, Debug)]
pub struct Fhddm {
    params: FhddmParams,
    bounds: [f64; 2],
    tally: Tally,
    window: BitRing,
    long: Peak,
    short: Peak,
    statistic: f64,
    threshold: f64,
    stale: bool,
}

/// The bits that count as good in a window, the most that there were, and how long ago.
#[derive(Clone, Copy, Debug, Default)]
struct Peak {
    good: u32,
    most: u32,
    since: u64,
}

impl Peak {
    /// Slides by one bit.
    #[inline]
    fn slide(&mut self, enters: bool, leaves: Option<bool>) {
        self.good += u32::from(enters);
        self.good -= u32::from(leaves == Some(true)).min(self.good);
    }

    /// Returns the share lost since the best.
    #[inline]
    fn lost(&mut self, size: u32) -> f64 {
        self.since += 1;
        if self.good >= self.most {
            self.most = self.good;
            self.since = 0;
        }
        f64::from(self.most - self.good) / f64::from(size)
    }

    fn read(bytes: &mut Reader<'_>, size: u32, good: u32, seen: u64) -> Result<Self, DecodeError> {
        let most = bytes.u32()?;
        state::ensure(most <= size, "most")?;
        Ok(Self { good, most, since: state::count(bytes, "since", seen)? })
    }
}

impl Fhddm {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: FhddmParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &FhddmParams {
        &self.params
    }

    fn fresh(params: FhddmParams) -> Self {
        let log = -0.5 * ln(params.confidence_level);
        let bound = |size: u32| sqrt(log / f64::from(size.max(1)));
        let bounds = [bound(params.sliding_window_size), bound(params.short_window_size)];
        Self {
            params,
            bounds,
            tally: Tally::default(),
            window: BitRing::new(params.sliding_window_size),
            long: Peak::default(),
            short: Peak::default(),
            statistic: 0.0,
            threshold: bounds[0],
            stale: false,
        }
    }

    fn restart(&mut self) {
        self.window.clear();
        self.long = Peak::default();
        self.short = Peak::default();
        self.stale = false;
    }
}

impl Detector for Fhddm {
    fn update(&mut self, value: f64) -> Signal {
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, self.threshold);
        };
        if self.stale {
            self.restart();
        }
        let FhddmParams { sliding_window_size: size, short_window_size: short, compat, .. } = self.params;
        let river = compat == Compat::River;
        let good = (value >= 0.5) == river;
        if short > 0 {
            let held = self.window.len();
            let leaves = (held >= short).then(|| self.window.at(held - short));
            self.short.slide(good, leaves);
        }
        let leaves = self.window.push(good);
        self.long.slide(good, leaves);
        let [bound, short_bound] = self.bounds;
        (self.statistic, self.threshold) = (0.0, bound);
        if !self.window.is_full() {
            return Signal::quiet(0.0, bound);
        }
        let reaches = |lost: f64, bound: f64| if river { lost > bound } else { lost >= bound };
        self.statistic = self.long.lost(size);
        let mut since = self.long.since;
        self.stale = reaches(self.statistic, bound);
        if short > 0 {
            let lost = self.short.lost(short);
            if !self.stale && reaches(lost, short_bound) {
                self.stale = true;
                (self.statistic, self.threshold, since) = (lost, short_bound, self.short.since);
            }
        }
        let (statistic, threshold) = (self.statistic, self.threshold);
        if !self.stale {
            return Signal::quiet(statistic, threshold);
        }
        let direction = if river { Direction::Down } else { Direction::Up };
        Signal { level: Level::Drift, direction, statistic, threshold, since }
    }

    fn reset(&mut self) {
        *self = Self::fresh(self.params);
    }

    fn name(&self) -> &'static str {
        "fhddm"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn estimation(&self) -> Option<f64> {
        let held = self.window.len();
        let share = f64::from(self.long.good) / f64::from(held.max(1));
        let river = self.params.compat == Compat::River;
        (held > 0).then_some(if river { share } else { 1.0 - share })
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        self.window.write(out);
        for peak in [self.long, self.short] {
            put_u32(out, peak.most);
            put_u64(out, peak.since);
        }
        crate::codec::put_f64(out, self.statistic);
        crate::codec::put_f64(out, self.threshold);
        out.push(u8::from(self.stale));
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "fhddm", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let (size, short_size) = (self.params.sliding_window_size, self.params.short_window_size);
        let window = BitRing::read(bytes, size)?;
        let long = Peak::read(bytes, size, window.ones(size), tally.taken)?;
        let short = Peak::read(bytes, short_size, window.ones(short_size), tally.taken)?;
        let statistic = state::unit(bytes, "statistic")?;
        let threshold = bytes.f64()?;
        // Another mathematical library may have rounded the bounds otherwise.
        let same = |bound: &&f64| (**bound - threshold).abs() <= 1e-9 * **bound;
        let known =
            self.bounds.iter().min_by(|a, b| (*a - threshold).abs().total_cmp(&(*b - threshold).abs()));
        let threshold = *known.filter(same).ok_or(DecodeError::Range { field: "threshold" })?;
        let stale = state::flag(bytes, "stale")?;
        *self = Self {
            params: self.params,
            bounds: self.bounds,
            tally,
            window,
            long,
            short,
            statistic,
            threshold,
            stale,
        };
        Ok(())
    }
}
