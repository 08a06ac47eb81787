//! The Page-Hinkley test: a cumulative sum of deviations from the running mean.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::parameters::parameters;
use crate::state::{self, Tally, VALUE_LIMIT, bounded, ensure};
use crate::{Compat, Detector, Direction, Level, Mode, ParamError, Signal};

const VERSION: u8 = 1;

parameters! {
    /// Parameters of [`PageHinkley`].
    pub struct PageHinkleyParams {
        /// No drift before this many values since the start or the last drift.
        pub min_instances: u64 = 30,
        /// Change of the mean that is tolerated, in the stream's units, not negative.
        pub delta: f64 = 0.005,
        /// Alarm threshold in the stream's units times values, above 0.
        pub threshold: f64 = 50.0,
        /// Forgetting factor of the sums, in (0, 1]; 1 forgets nothing.
        pub alpha: f64 = 0.9999,
        /// Which way to look. Ignored with [`Compat::Moa`], which looks up.
        pub mode: Mode = Mode::Both,
        /// Whose algorithm to follow.
        pub compat: Compat = Compat::Paper,
    }
}

impl PageHinkleyParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { delta, threshold, alpha, .. } = *self;
        ParamError::check("delta", delta, (0.0..=VALUE_LIMIT).contains(&delta), "not negative")?;
        let ok = threshold > 0.0 && threshold <= VALUE_LIMIT;
        ParamError::check("threshold", threshold, ok, "above 0 and finite")?;
        ParamError::check("alpha", alpha, alpha > 0.0 && alpha <= 1.0, "in (0, 1]")
    }
}

/// Page-Hinkley test for a change of the mean, in one or both directions.
///
/// Use it on a stream of known scale when a sustained shift matters more than a quick answer. The
/// threshold is in data units: at the default 50 a stream of latencies around 100 ms with deviation 20
/// alarms every 30 values for ever, and a stream of error bits rarely; set `threshold` to about 50
/// standard deviations, or put a [`crate::Standardizer`] in front. There is no bound on false alarms.
///
/// # Recurrence
///
/// With the running mean `m_t` of all values since the last drift (`x_t` included), and both sums 0 at
/// first,
///
/// `up_t = max(0, alpha up_(t-1) + x_t - m_t - delta)`,
/// `down_t = max(0, alpha down_(t-1) - x_t + m_t - delta)`.
///
/// [`Level::Drift`] when the larger of those looked at reaches `threshold` and `min_instances` values
/// have come. At `alpha = 1` this is `U_t - min U` of the plain sum `U`. The test starts afresh with the
/// value after a drift.
///
/// In the signal, `statistic` is that larger sum, `threshold` the parameter, `since` the values since the
/// sum was last at rest.
///
/// # Cost
///
/// About a dozen operations with one division; the whole state is one struct, without heap.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Direction, PageHinkley, PageHinkleyParams};
///
/// let mut test = PageHinkley::new(PageHinkleyParams { threshold: 5.0, ..Default::default() })?;
/// // Around 1.0 for 500 values, around 1.5 after.
/// let value = |i: u64| if i < 500 { 1.0 } else { 1.5 } + if i % 2 == 0 { 0.1 } else { -0.1 };
/// let (at, signal) = (0..1000)
///     .map(|i| (i, test.update(value(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.since, signal.direction), (510, 11, Direction::Up));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values beyond ±1e100 are taken as ±1e100.
///
/// # Differences
///
/// | | [`Compat::Paper`] | [`Compat::River`] | [`Compat::Moa`] |
/// |---|---|---|---|
/// | statistic | sums held at 0 | sum less its minimum, which `alpha` does not fade | plain sum |
/// | directions | `mode` | `mode` | up |
/// | drift when it | reaches the threshold | exceeds it | exceeds it |
/// | first drift on value | `min_instances` | `min_instances` | `min_instances - 1` |
///
/// # References
///
/// Page, "Continuous Inspection Schemes", Biometrika 41 (1954), section 2; Hinkley, "Inference about the
/// change-point from cumulative sum tests", Biometrika 58 (1971); Gama et al., "On evaluating stream
/// learning algorithms", Machine Learning 90 (2013), section 5.1 (running mean, forgetting).
#[derive(Clone, Copy, Debug)]
pub struct PageHinkley {
    params: PageHinkleyParams,
    tally: Tally,
    seen: u64,
    mean: f64,
    up: Sum,
    down: Sum,
    statistic: f64,
    stale: bool,
}

/// One direction's sum, where it was lowest, and how long ago.
#[derive(Clone, Copy, Debug)]
struct Sum {
    value: f64,
    lowest: f64,
    since: u64,
}

impl Sum {
    const fn new(lowest: f64) -> Self {
        Self { value: 0.0, lowest, since: 0 }
    }

    #[inline]
    fn add(&mut self, step: f64, alpha: f64, compat: Compat) -> f64 {
        self.value = alpha * self.value + step;
        self.since += 1;
        match compat {
            Compat::Moa => self.value,
            Compat::Paper => {
                if self.value <= 0.0 {
                    self.value = 0.0;
                    self.since = 0;
                }
                self.value
            }
            Compat::River => {
                if self.value < self.lowest {
                    self.lowest = self.value;
                    self.since = 0;
                }
                self.value - self.lowest
            }
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        put_f64(out, self.value);
        put_f64(out, self.lowest);
        put_u64(out, self.since);
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let value = bounded(bytes, "sum", 1e30)?;
        let lowest = bytes.finite("lowest")?;
        ensure(lowest == f64::MAX || lowest.abs() <= VALUE_LIMIT * 1e30, "lowest")?;
        Ok(Self { value, lowest, since: bytes.u64()? })
    }
}

impl PageHinkley {
    /// Builds a test that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: PageHinkleyParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &PageHinkleyParams {
        &self.params
    }

    const fn fresh(params: PageHinkleyParams) -> Self {
        Self {
            params,
            tally: Tally { taken: 0, ignored: 0 },
            seen: 0,
            mean: 0.0,
            up: Sum::new(f64::MAX),
            // river starts the mirrored sum's maximum at -1; the sign is turned here.
            down: Sum::new(1.0),
            statistic: 0.0,
            stale: false,
        }
    }
}

impl Detector for PageHinkley {
    fn update(&mut self, value: f64) -> Signal {
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, self.params.threshold);
        };
        if self.stale {
            *self = Self { tally: self.tally, ..Self::fresh(self.params) };
        }
        let PageHinkleyParams { min_instances, delta, threshold, alpha, mode, compat } = self.params;
        self.seen += 1;
        self.mean += (value - self.mean) / self.seen as f64;
        let apart = value - self.mean;
        let up = self.up.add(apart - delta, alpha, compat);
        let down = self.down.add(-apart - delta, alpha, compat);
        let rising = match mode {
            _ if compat == Compat::Moa => true,
            Mode::Up => true,
            Mode::Down => false,
            Mode::Both => up >= down,
        };
        let (statistic, since) = if rising { (up, self.up.since) } else { (down, self.down.since) };
        self.statistic = statistic;
        let reached = if compat == Compat::Paper { statistic >= threshold } else { statistic > threshold };
        // MOA counts from 1.
        let warm = self.seen + u64::from(compat == Compat::Moa) >= min_instances;
        if !warm || !reached {
            return Signal::quiet(statistic, threshold);
        }
        self.stale = true;
        let direction = if rising { Direction::Up } else { Direction::Down };
        Signal { level: Level::Drift, direction, statistic, threshold, since }
    }

    fn reset(&mut self) {
        *self = Self::fresh(self.params);
    }

    fn name(&self) -> &'static str {
        "page-hinkley"
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
        self.up.write(out);
        self.down.write(out);
        put_f64(out, self.statistic);
        out.push(u8::from(self.stale));
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "page-hinkley", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let seen = bytes.u64()?;
        ensure(seen <= tally.taken, "seen")?;
        let mean = bounded(bytes, "mean", 1.01)?;
        let (up, down) = (Sum::read(bytes)?, Sum::read(bytes)?);
        ensure(up.since <= seen && down.since <= seen, "since")?;
        let statistic = bytes.finite("statistic")?;
        let stale = bytes.u8()?;
        ensure(stale <= 1, "stale")?;
        *self = Self { params: self.params, tally, seen, mean, up, down, statistic, stale: stale == 1 };
        Ok(())
    }
}
