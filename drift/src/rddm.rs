//! RDDM: DDM that forgets the older part of a long concept.

use alloc::vec::Vec;

use crate::bit_ring::{BITS_LIMIT, BitRing};
use crate::codec::{DecodeError, Reader, put_u64};
use crate::error_rate::ErrorRate;
use crate::parameters::parameters;
use crate::state::{self, Tally, VALUE_LIMIT};
use crate::{Compat, Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;

parameters! {
    /// Parameters of [`Rddm`].
    pub struct RddmParams {
        /// No judgement before this many values since the start or the last drift.
        pub warm_start: u64 = 129,
        /// Deviations above the lowest rate that make a warning, above 0, at most `drift_threshold`.
        pub warning_threshold: f64 = 1.773,
        /// Deviations above the lowest rate that make a drift, above 0.
        pub drift_threshold: f64 = 2.258,
        /// Values after which a concept without warning is shortened, at least `min_concept`.
        pub max_concept: u64 = 40000,
        /// Values that a shortened concept keeps, from 1 to 24000.
        pub min_concept: u32 = 7000,
        /// Warnings in a row after which a drift is declared.
        pub warning_limit: u64 = 1400,
        /// Whose algorithm to follow. river has none.
        pub compat: Compat = Compat::Paper,
    }
}

impl RddmParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { warning_threshold, drift_threshold, max_concept, min_concept, .. } = *self;
        let ok = drift_threshold > 0.0 && drift_threshold <= VALUE_LIMIT;
        ParamError::check("drift_threshold", drift_threshold, ok, "above 0 and finite")?;
        let ok = warning_threshold > 0.0 && warning_threshold <= drift_threshold;
        let allowed = "above 0, at most `drift_threshold`";
        ParamError::check("warning_threshold", warning_threshold, ok, allowed)?;
        let ok = (1..=BITS_LIMIT).contains(&min_concept);
        ParamError::check("min_concept", f64::from(min_concept), ok, "from 1 to 24000")?;
        let ok = max_concept >= u64::from(min_concept);
        ParamError::check("max_concept", max_concept as f64, ok, "at least `min_concept`")?;
        self.compat.refuse(Compat::River, "\"paper\" or \"moa\": river has no RDDM")
    }
}

/// Reactive Drift Detection Method: [`crate::Ddm`] over the recent part of a long concept.
///
/// Use it where an existing system does, or in place of DDM: a long stable stretch does not make it slow.
/// Like DDM it has no bound on false alarms and sees no improvement.
///
/// # Recurrence
///
/// As [`crate::Ddm`], and:
///
/// - the newest `min_concept` errors and successes are stored;
/// - after a drift those since the warning began are kept (the drift alone when there was no warning), and the
///   rate, its deviation and their lowest sum are computed anew from them;
/// - more than `warning_limit` warnings in a row are a drift, after which only its own value is kept;
/// - after `max_concept` values, when there is no warning, the rate is computed anew from what is stored. The
///   lowest sum stays, so that a drift often follows.
///
/// In the signal, `statistic` is the rate plus its deviation, `threshold` the limit for a drift (2 before
/// there is one), `since` the values since the warning began. A drift may follow at once on another.
///
/// # Cost
///
/// One square root and two divisions a value; `min_concept` bits (875 bytes by default) on the heap. After a drift
/// the next value walks over those that are kept, at about 5 ns each: they are as many as the warnings before, 1,401
/// at most by default (7 µs), `min_concept` at most ever. Shortening takes a count of the stored bits, a few hundred
/// nanoseconds at most; with [`Compat::Moa`] a walk too (35 µs by default), for MOA's rounding.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Rddm, RddmParams};
///
/// let mut rddm = Rddm::new(RddmParams::default())?;
/// // One error in ten for 500 values, one in two after.
/// let error = |i: u32| f64::from(i % if i < 500 { 10 } else { 2 } == 1);
/// let signals = (0..1000).map(|i| (i, rddm.update(error(i))));
/// let (at, signal) = signals.into_iter().find(|(_, s)| s.drift_detected()).expect("a drift");
/// assert_eq!((at, signal.since), (521, 9));
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
/// | levels reached when the sum | reaches the limit | exceeds it |
/// | lowest while the deviation is 0 | not taken | taken: the first error ever is a drift |
///
/// # References
///
/// Barros, Cabral, Gonçalves, Santos, "RDDM: Reactive drift detection method", Expert Systems with
/// Applications 90 (2017).
#[derive(Clone, Debug)]
pub struct Rddm {
    params: RddmParams,
    tally: Tally,
    rate: ErrorRate,
    stored: BitRing,
    warned: u64,
    rebuild: Rebuild,
}

/// What the next value finds to do first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rebuild {
    Nothing,
    AfterDrift,
    Shorten,
}

impl Rddm {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: RddmParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &RddmParams {
        &self.params
    }

    fn fresh(params: RddmParams) -> Self {
        Self {
            params,
            tally: Tally::default(),
            rate: ErrorRate::new(),
            stored: BitRing::new(params.min_concept),
            warned: 0,
            rebuild: Rebuild::Nothing,
        }
    }

    /// Computes the rate anew from the stored values.
    #[cold]
    fn rebuild(&mut self) {
        let RddmParams { warm_start, compat, .. } = self.params;
        let drifted = self.rebuild == Rebuild::AfterDrift;
        self.warned = 0;
        self.rebuild = Rebuild::Nothing;
        if !drifted && compat != Compat::Moa {
            let stored = self.stored.len();
            self.rate.restart_with(stored.into(), self.stored.ones(stored).into());
            return;
        }
        if drifted {
            self.rate = ErrorRate::new();
        } else {
            self.rate.restart();
        }
        for error in self.stored.iter() {
            self.rate.add(f64::from(u8::from(error)));
            if drifted && self.rate.seen >= warm_start {
                self.rate.keep_lowest(compat);
            }
        }
    }
}

impl Detector for Rddm {
    fn update(&mut self, value: f64) -> Signal {
        let RddmParams { warm_start, warning_threshold, drift_threshold, warning_limit, compat, .. } =
            self.params;
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.rate.sum(), self.rate.limit(drift_threshold));
        };
        if self.rebuild != Rebuild::Nothing {
            self.rebuild();
        }
        let error = value >= 0.5;
        self.stored.push(error);
        self.rate.add(f64::from(u8::from(error)));
        let warm = self.rate.seen >= warm_start;
        if warm {
            self.rate.keep_lowest(compat);
        }
        let statistic = self.rate.sum();
        let reaches = |limit| if compat == Compat::Paper { statistic >= limit } else { statistic > limit };
        let threshold = self.rate.limit(drift_threshold);
        let warns = warm && reaches(self.rate.limit(warning_threshold));
        let drifts = warm && reaches(threshold);
        if drifts || warns && self.warned >= warning_limit {
            let since = self.warned + 1;
            self.stored.keep_newest(if drifts { since } else { 1 });
            self.rebuild = Rebuild::AfterDrift;
            // Too many warnings are a drift whatever the rate.
            let statistic = statistic.max(threshold);
            return Signal { level: Level::Drift, direction: Direction::Up, statistic, threshold, since };
        }
        if warns {
            self.warned += 1;
            let (level, since) = (Level::Warning, self.warned);
            return Signal { level, direction: Direction::Up, statistic, threshold, since };
        }
        if warm {
            self.warned = 0;
            if self.rate.seen >= self.params.max_concept {
                self.rebuild = Rebuild::Shorten;
            }
        }
        Signal::quiet(statistic, threshold)
    }

    fn reset(&mut self) {
        *self = Self::fresh(self.params);
    }

    fn name(&self) -> &'static str {
        "rddm"
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
        self.stored.write(out);
        put_u64(out, self.warned);
        out.push(self.rebuild as u8);
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "rddm", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let rate = ErrorRate::read(bytes, tally.taken)?;
        let stored = BitRing::read(bytes, self.params.min_concept)?;
        let warned = state::count(bytes, "warned", tally.taken)?;
        let rebuild = match bytes.u8()? {
            0 => Rebuild::Nothing,
            1 => Rebuild::AfterDrift,
            2 => Rebuild::Shorten,
            _ => return Err(DecodeError::Range { field: "rebuild" }),
        };
        *self = Self { params: self.params, tally, rate, stored, warned, rebuild };
        Ok(())
    }
}
