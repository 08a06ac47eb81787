//! ECDD: an EWMA chart of errors whose limit keeps the average run length as the error rate moves.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::math::sqrt;
use crate::parameters::parameters;
use crate::state::{self, Tally};
use crate::{Compat, Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;

/// Powers below this are taken as 0.
const SMALLEST: f64 = 1e-300;

parameters! {
    /// Parameters of [`Ecdd`].
    pub struct EcddParams {
        /// No judgement before this many values since the start or the last drift.
        pub warm_start: u64 = 30,
        /// Weight of the newest value in the average, in (0, 1]. The limits were made for 0.2.
        pub lambda_val: f64 = 0.2,
        /// Average number of values between false alarms that the limit is named for: 100, 400 or 1000 (see
        /// the page for what it is).
        pub run_length: u32 = 400,
        /// Share of the limit that makes a warning, in (0, 1].
        pub warning_share: f64 = 0.5,
        /// Whose algorithm to follow. river has none.
        pub compat: Compat = Compat::Paper,
    }
}

impl EcddParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { lambda_val: lambda, run_length: arl, warning_share: share, compat, .. } = *self;
        ParamError::check("lambda_val", lambda, lambda > 0.0 && lambda <= 1.0, "in (0, 1]")?;
        ParamError::check("warning_share", share, share > 0.0 && share <= 1.0, "in (0, 1]")?;
        compat.refuse(Compat::River, "\"paper\" or \"moa\": river has no ECDD")?;
        let (value, known) = (f64::from(arl), limit_of(arl).is_some());
        ParamError::check("run_length", value, known, "100, 400 or 1000")?;
        ParamError::check("run_length", value, arl == 400 || compat != Compat::Moa, "400 with compat \"moa\"")
    }
}

/// The coefficients of 1, p, p^3, p^5 and p^7 in the limit, by average run length.
const fn limit_of(arl: u32) -> Option<[f64; 5]> {
    match arl {
        100 => Some([2.76, -6.23, 18.12, -312.45, 1002.18]),
        400 => Some([3.97, -6.56, 48.73, -330.13, 848.18]),
        1000 => Some([1.17, 7.56, -21.24, 112.12, -987.23]),
        _ => None,
    }
}

/// EWMA for Concept Drift Detection (ECDD-WT): a growing error rate by an EWMA chart.
///
/// Use it to reproduce an existing system, or for a quick look at error rates of 0.05 to 0.3 where one false
/// alarm in a few hundred values is welcome. It sees no improvement.
///
/// # Recurrence
///
/// With the mean `p` of the `t` values since the last drift and
/// `z = (1 - lambda) z + lambda x` from `z = 0`,
/// `s = sqrt(p (1 - p) lambda / (2 - lambda) (1 - (1 - lambda)^(2 t)))`: [`Level::Drift`] when
/// `z > p + L(p) s`, [`Level::Warning`] when `z > p + warning_share L(p) s`. `L(p)` is the paper's polynomial
/// for `run_length`. The chart starts afresh with the value after a drift.
///
/// In the signal, `statistic` is `z`, `threshold` the limit, `since` the values since the warning began.
///
/// # Cost
///
/// Two divisions and a square root; the whole state is one struct, without heap.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Ecdd, EcddParams};
///
/// let mut chart = Ecdd::new(EcddParams::default())?;
/// // One error in ten for 500 values, one in two after.
/// let error = |i: u32| f64::from(i % if i < 500 { 10 } else { 2 } == 0);
/// let drift = (0..1000).find(|&i| chart.update(error(i)).drift_detected());
/// assert_eq!(drift, Some(506));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values outside 0 to 1 are taken as 0 or 1.
///
/// The polynomials are for `lambda_val` 0.2 and a known rate. Simulated so (1,500 runs), they give average run
/// lengths of which only those for 400 come near the name:
///
/// | rate | `run_length` 100 | 400 | 1000 |
/// |---|---|---|---|
/// | 0.05 | 73 | 200 | 20 |
/// | 0.1 | 50 | 251 | 41 |
/// | 0.2 | 30 | 282 | 132 |
/// | 0.3 | 11 | 302 | 551 |
/// | 0.4 | 3 | 293 | 206 |
///
/// # Differences
///
/// | | [`Compat::Paper`] | [`Compat::Moa`] |
/// |---|---|---|
/// | first judgement at value | `warm_start` | `warm_start - 1` |
/// | `L(p)` above a rate of 0.5 | held at its value there, and never below 0 | as the polynomial runs |
/// | `run_length` | 100, 400, 1000 | 400 |
///
/// # References
///
/// Ross, Adams, Tasoulis, Hand, "Exponentially weighted moving average charts for detecting concept drift",
/// Pattern Recognition Letters 33 (2012), arXiv 1212.6018, table 1 (polynomials).
#[derive(Clone, Copy, Debug)]
pub struct Ecdd {
    params: EcddParams,
    tally: Tally,
    seen: u64,
    rate: f64,
    average: f64,
    /// `(1 - lambda)^(2 t)`.
    power: f64,
    threshold: f64,
    warned: u64,
    stale: bool,
}

impl Ecdd {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: EcddParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &EcddParams {
        &self.params
    }

    const fn fresh(params: EcddParams) -> Self {
        Self {
            params,
            tally: Tally { taken: 0, ignored: 0 },
            seen: 0,
            rate: 0.0,
            average: 0.0,
            power: 1.0,
            threshold: 0.0,
            warned: 0,
            stale: false,
        }
    }

    /// Computes the limit in deviations of the average at an error rate.
    #[inline]
    fn limit(&self) -> f64 {
        let paper = self.params.compat == Compat::Paper;
        let p = if paper { self.rate.min(0.5) } else { self.rate };
        let [c0, c1, c3, c5, c7] = limit_of(self.params.run_length).unwrap_or_default();
        let p2 = p * p;
        let limit = c0 + p * (c1 + p2 * (c3 + p2 * (c5 + p2 * c7)));
        if paper { limit.max(0.0) } else { limit }
    }
}

impl Detector for Ecdd {
    fn update(&mut self, value: f64) -> Signal {
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.average, self.threshold);
        };
        if self.stale {
            *self = Self { tally: self.tally, ..Self::fresh(self.params) };
        }
        let EcddParams { warm_start, lambda_val: lambda, warning_share, compat, .. } = self.params;
        let value = value.clamp(0.0, 1.0);
        self.seen += 1;
        self.rate += (value - self.rate) / self.seen as f64;
        self.average += lambda * (value - self.average);
        let rest = 1.0 - lambda;
        self.power *= rest * rest;
        if self.power < SMALLEST {
            self.power = 0.0;
        }
        let spread = self.rate * (1.0 - self.rate) * lambda / (2.0 - lambda) * (1.0 - self.power);
        let reach = self.limit() * sqrt(spread.max(0.0));
        let statistic = self.average;
        self.threshold = self.rate + reach;
        let threshold = self.threshold;
        // MOA counts from 1.
        let warm = self.seen + u64::from(compat == Compat::Moa) >= warm_start;
        let level = if warm && statistic > threshold {
            self.stale = true;
            Level::Drift
        } else if warm && statistic > self.rate + warning_share * reach {
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
        "ecdd"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn estimation(&self) -> Option<f64> {
        (self.seen > 0).then_some(self.average)
    }

    fn baseline(&self) -> Option<f64> {
        (self.seen > 0).then_some(self.rate)
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_u64(out, self.seen);
        for value in [self.rate, self.average, self.power, self.threshold] {
            put_f64(out, value);
        }
        put_u64(out, self.warned);
        out.push(u8::from(self.stale));
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "ecdd", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let seen = state::count(bytes, "seen", tally.taken)?;
        let (rate, average) = (state::unit(bytes, "rate")?, state::unit(bytes, "average")?);
        let power = state::unit(bytes, "power")?;
        let threshold = bytes.finite("threshold")?;
        let warned = state::count(bytes, "warned", seen)?;
        let stale = state::flag(bytes, "stale")?;
        let params = self.params;
        *self = Self { params, tally, seen, rate, average, power, threshold, warned, stale };
        Ok(())
    }
}
