//! EDDM: errors that come closer together than they ever did.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::math::sqrt;
use crate::parameters::parameters;
use crate::state::{self, COUNT_LIMIT, Tally, ensure};
use crate::{Compat, Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;

/// MOA judges nothing before this many values.
const MOA_START: u64 = 30;

parameters! {
    /// Parameters of [`Eddm`].
    pub struct EddmParams {
        /// No judgement before this many errors since the start or the last drift.
        pub warm_start: u64 = 30,
        /// Share of the largest distance between errors below which a warning is given, in (0, 1], at least
        /// `beta`.
        pub alpha: f64 = 0.95,
        /// Share of the largest distance between errors below which a drift is declared, in (0, 1].
        pub beta: f64 = 0.9,
        /// Whose algorithm to follow.
        pub compat: Compat = Compat::Paper,
    }
}

impl EddmParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { alpha, beta, .. } = *self;
        ParamError::check("beta", beta, beta > 0.0 && beta <= 1.0, "in (0, 1]")?;
        ParamError::check("alpha", alpha, alpha >= beta && alpha <= 1.0, "in (0, 1], at least `beta`")
    }
}

/// Early Drift Detection Method: the distance between errors, held against the largest it has been.
///
/// Use it to reproduce an existing system: it sees slow changes earlier than [`crate::Ddm`], at the price of
/// a false alarm in every few hundred to few thousand values without any change. It never sees an
/// improvement, and says nothing between errors.
///
/// # Recurrence
///
/// At every error, with the mean `p` and the deviation `s` of the distances between errors since the last
/// drift: remember the largest `m = p + 2 s`; otherwise [`Level::Drift`] when `(p + 2 s) / m < beta`,
/// [`Level::Warning`] when it is below `alpha`. A warning holds until the next error. The test starts afresh
/// with the value after a drift.
///
/// In the signal, `statistic` is `1 - (p + 2 s) / m` and `threshold` is `1 - beta`; `since` counts the values
/// since the warning began.
///
/// # Cost
///
/// An increment without an error; two divisions and a square root with one. The whole state is one struct,
/// without heap.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Eddm, EddmParams};
///
/// let mut eddm = Eddm::new(EddmParams::default())?;
/// // An error in ten for 500 values, one in two after.
/// let error = |i: u32| f64::from(i % if i < 500 { 10 } else { 2 } == 0);
/// let drift = (0..1000).find(|&i| eddm.update(error(i)).drift_detected());
/// assert_eq!(drift, Some(628));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing. A value of at least 0.5 is an error; with
/// [`Compat::River`] and [`Compat::Moa`], 1 and nothing else.
///
/// # Differences
///
/// | | [`Compat::Paper`] | [`Compat::River`] | [`Compat::Moa`] |
/// |---|---|---|---|
/// | first distance | between the first two errors | from the start | from the start |
/// | deviation divides by | n | n - 1 | n |
/// | the largest is taken from | error `warm_start` | value `warm_start + 1` | value 30 |
/// | judged from error | `warm_start` | `warm_start + 1` | `warm_start + 1` |
/// | a new largest | ends a warning | leaves a warning | ends a warning |
///
/// MOA has no option for `warm_start`; it is 30 there. On the drift itself river leaves its flag of a warning
/// as it was; here the level is `Drift` alone.
///
/// # References
///
/// Baena-García, del Campo-Ávila, Fidalgo, Bifet, Gavaldà, Morales-Bueno, "Early Drift Detection Method",
/// Fourth International Workshop on Knowledge Discovery from Data Streams, 2006.
#[derive(Clone, Copy, Debug)]
pub struct Eddm {
    params: EddmParams,
    tally: Tally,
    seen: u64,
    errors: u64,
    last_error: u64,
    distances: u64,
    mean: f64,
    squares: f64,
    largest: f64,
    statistic: f64,
    warned: u64,
    stale: bool,
}

impl Eddm {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: EddmParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &EddmParams {
        &self.params
    }

    const fn fresh(params: EddmParams) -> Self {
        Self {
            params,
            tally: Tally { taken: 0, ignored: 0 },
            seen: 0,
            errors: 0,
            last_error: 0,
            distances: 0,
            mean: 0.0,
            squares: 0.0,
            largest: 0.0,
            statistic: 0.0,
            warned: 0,
            stale: false,
        }
    }

    /// Takes an error in and says what it makes of it; nothing when the level stays as it was.
    fn error(&mut self) -> Option<Level> {
        let EddmParams { warm_start, alpha, beta, compat } = self.params;
        self.errors += 1;
        let distance = self.seen - self.last_error;
        self.last_error = self.seen;
        if compat != Compat::Paper || self.errors > 1 {
            self.distances += 1;
            let distance = distance as f64;
            let before = distance - self.mean;
            self.mean += before / self.distances as f64;
            self.squares += before * (distance - self.mean);
        }
        let (starts, judges) = match compat {
            Compat::Paper => (self.errors >= warm_start, self.errors >= warm_start),
            Compat::River => (self.seen > warm_start, self.errors > warm_start),
            Compat::Moa => (self.seen >= MOA_START, self.errors > warm_start),
        };
        if !starts || self.distances == 0 {
            return None;
        }
        let divisor = if compat == Compat::River { self.distances - 1 } else { self.distances };
        let variance = if divisor == 0 { 0.0 } else { (self.squares / divisor as f64).max(0.0) };
        let spread = self.mean + 2.0 * sqrt(variance);
        if spread > self.largest {
            self.largest = spread;
            self.statistic = 0.0;
            return (compat != Compat::River).then_some(Level::Normal);
        }
        let ratio = spread / self.largest;
        if !judges {
            return (compat != Compat::River).then_some(Level::Normal);
        }
        self.statistic = 1.0 - ratio;
        Some(match ratio {
            _ if ratio < beta => Level::Drift,
            _ if ratio < alpha => Level::Warning,
            _ => Level::Normal,
        })
    }
}

impl Detector for Eddm {
    fn update(&mut self, value: f64) -> Signal {
        let threshold = 1.0 - self.params.beta;
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, threshold);
        };
        if self.stale {
            *self = Self { tally: self.tally, ..Self::fresh(self.params) };
        }
        self.seen += 1;
        let error = if self.params.compat == Compat::Paper { value >= 0.5 } else { value == 1.0 };
        let held = if self.warned > 0 { Level::Warning } else { Level::Normal };
        let level = if error { self.error().unwrap_or(held) } else { held };
        if level == Level::Normal {
            self.warned = 0;
            return Signal::quiet(self.statistic, threshold);
        }
        self.warned += 1;
        self.stale = level == Level::Drift;
        Signal { level, direction: Direction::Up, statistic: self.statistic, threshold, since: self.warned }
    }

    fn reset(&mut self) {
        *self = Self::fresh(self.params);
    }

    fn name(&self) -> &'static str {
        "eddm"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn estimation(&self) -> Option<f64> {
        (self.distances > 0).then(|| 1.0 / self.mean)
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        for count in [self.seen, self.errors, self.last_error, self.distances, self.warned] {
            put_u64(out, count);
        }
        for value in [self.mean, self.squares, self.largest, self.statistic] {
            put_f64(out, value);
        }
        out.push(u8::from(self.stale));
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "eddm", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let seen = state::count(bytes, "seen", tally.taken)?;
        let errors = state::count(bytes, "errors", seen)?;
        let last_error = state::count(bytes, "last_error", seen)?;
        let distances = state::count(bytes, "distances", errors)?;
        let first = u64::from(self.params.compat == Compat::Paper);
        ensure(distances == errors.saturating_sub(first), "distances")?;
        let warned = state::count(bytes, "warned", seen)?;
        let limit = COUNT_LIMIT as f64;
        let [mean, squares, largest] = [bytes.finite("mean")?, bytes.f64()?, bytes.f64()?];
        let least = if distances == 0 { 0.0 } else { 1.0 };
        ensure(mean >= least && mean <= limit, "mean")?;
        ensure(squares >= 0.0 && squares <= limit * limit * limit, "squares")?;
        ensure((0.0..=limit * limit).contains(&largest), "largest")?;
        let statistic = state::unit(bytes, "statistic")?;
        let stale = state::flag(bytes, "stale")?;
        let params = self.params;
        *self = Self {
            params,
            tally,
            seen,
            errors,
            last_error,
            distances,
            mean,
            squares,
            largest,
            statistic,
            warned,
            stale,
        };
        Ok(())
    }
}
