//! GMA: an exponentially weighted average of deviations from the running mean.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::parameters::parameters;
use crate::state::{self, Tally, VALUE_LIMIT, bounded};
use crate::{Compat, Detector, Direction, Level, Mode, ParamError, Signal};

const VERSION: u8 = 1;

parameters! {
    /// Parameters of [`Gma`].
    pub struct GmaParams {
        /// No drift before this many values since the start or the last drift.
        pub min_instances: u64 = 30,
        /// Alarm threshold in the stream's units, above 0.
        pub threshold: f64 = 1.0,
        /// Weight of the past in the average, in [0, 1); the newest value has the rest.
        pub alpha: f64 = 0.99,
        /// Which way to look. Ignored with [`Compat::Moa`], which looks up.
        pub mode: Mode = Mode::Both,
        /// Whose algorithm to follow. river has none.
        pub compat: Compat = Compat::Paper,
    }
}

impl GmaParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { threshold, alpha, .. } = *self;
        let ok = threshold > 0.0 && threshold <= VALUE_LIMIT;
        ParamError::check("threshold", threshold, ok, "above 0 and finite")?;
        ParamError::check("alpha", alpha, (0.0..1.0).contains(&alpha), "in [0, 1)")?;
        self.compat.refuse(Compat::River, "\"paper\" or \"moa\": river has no GMA")
    }
}

/// Geometric moving average test: a level that leaves the running mean, in one or both directions.
///
/// Use it on a stream of known scale for slow shifts of the mean. The threshold is in data units: the default
/// 1 never alarms on error bits (the average cannot get there) and at once on latencies; a limit of `L`
/// standard deviations `s` of the stream is `threshold = L s sqrt((1 - alpha) / (1 + alpha))`, 0.2 `s` at the
/// defaults for `L` of 3. There is no bound on false alarms.
///
/// # Recurrence
///
/// With the running mean `m` of all values since the last drift (`x` included),
/// `g = alpha g + (1 - alpha) (x - m)` from `g = 0`. [`Level::Drift`] when `g` (looking up), `-g` (down) or
/// either reaches `threshold` and `min_instances` values have come. The test starts afresh with the value
/// after a drift.
///
/// In the signal, `statistic` is that side of `g`, `threshold` the parameter; `since` is not known (0).
///
/// # Cost
///
/// One division; the whole state is one struct, without heap.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Direction, Gma, GmaParams};
///
/// let mut test = Gma::new(GmaParams { threshold: 0.1, ..Default::default() })?;
/// // Around 1.0 for 500 values, around 1.5 after.
/// let value = |i: u64| if i < 500 { 1.0 } else { 1.5 } + if i % 2 == 0 { 0.1 } else { -0.1 };
/// let (at, signal) = (0..1000)
///     .map(|i| (i, test.update(value(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.direction), (522, Direction::Up));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values beyond ±1e100 are taken as ±1e100.
///
/// # Differences
///
/// | | [`Compat::Paper`] | [`Compat::Moa`] |
/// |---|---|---|
/// | directions | `mode` | up |
/// | drift when it | reaches the threshold | exceeds it |
/// | first drift on value | `min_instances` | `min_instances - 1` |
///
/// The paper charts the average of the values themselves around a known mean; here, as in MOA, the mean is
/// learnt.
///
/// # References
///
/// Roberts, "Control Chart Tests Based on Geometric Moving Averages", Technometrics 1 (1959).
#[derive(Clone, Copy, Debug)]
pub struct Gma {
    params: GmaParams,
    tally: Tally,
    seen: u64,
    mean: f64,
    average: f64,
    stale: bool,
}

impl Gma {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: GmaParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &GmaParams {
        &self.params
    }

    const fn fresh(params: GmaParams) -> Self {
        let tally = Tally { taken: 0, ignored: 0 };
        Self { params, tally, seen: 0, mean: 0.0, average: 0.0, stale: false }
    }

    /// Returns the side of the average that is looked at.
    #[inline]
    fn side(&self) -> (f64, Direction) {
        let rising = match self.params.mode {
            _ if self.params.compat == Compat::Moa => true,
            Mode::Up => true,
            Mode::Down => false,
            Mode::Both => self.average >= 0.0,
        };
        if rising { (self.average, Direction::Up) } else { (-self.average, Direction::Down) }
    }
}

impl Detector for Gma {
    fn update(&mut self, value: f64) -> Signal {
        let GmaParams { min_instances, threshold, alpha, compat, .. } = self.params;
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.side().0, threshold);
        };
        if self.stale {
            *self = Self { tally: self.tally, ..Self::fresh(self.params) };
        }
        self.seen += 1;
        self.mean += (value - self.mean) / self.seen as f64;
        self.average = alpha * self.average + (1.0 - alpha) * (value - self.mean);
        let (statistic, direction) = self.side();
        let reached = if compat == Compat::Paper { statistic >= threshold } else { statistic > threshold };
        // MOA counts from 1.
        let warm = self.seen + u64::from(compat == Compat::Moa) >= min_instances;
        if !warm || !reached {
            return Signal::quiet(statistic, threshold);
        }
        self.stale = true;
        Signal { level: Level::Drift, direction, statistic, threshold, since: 0 }
    }

    fn reset(&mut self) {
        *self = Self::fresh(self.params);
    }

    fn name(&self) -> &'static str {
        "gma"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn estimation(&self) -> Option<f64> {
        (self.seen > 0).then_some(self.mean + self.average)
    }

    fn baseline(&self) -> Option<f64> {
        (self.seen > 0).then_some(self.mean)
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_u64(out, self.seen);
        put_f64(out, self.mean);
        put_f64(out, self.average);
        out.push(u8::from(self.stale));
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "gma", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let seen = state::count(bytes, "seen", tally.taken)?;
        let (mean, average) = (bounded(bytes, "mean", 1.01)?, bounded(bytes, "average", 2.1)?);
        let stale = state::flag(bytes, "stale")?;
        *self = Self { params: self.params, tally, seen, mean, average, stale };
        Ok(())
    }
}
