//! A detector with its preparation in front, as one.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::state;
use crate::{AnyDetector, Detector, Direction, ParamError, Preparation, PreparationParams, Signal};

const VERSION: u8 = 2;

/// A [`Preparation`] and the detector behind it.
///
/// As a [`Detector`] it is asked without a time: the seasonal stage then sees one hour for ever, and the
/// gap stage nothing; [`Prepared::update_at`] takes the time. A value for which nothing comes out of the
/// preparation gives the last statistic with [`crate::Level::Normal`]. After a gap, or when
/// batches get another length ([`Preparation::restarts`]), the detector is reset
/// before it is given the value, and its random numbers begin again where [`Detector::reseed`] last put them (which
/// is a part of the state); only [`Detector::reset`] returns to the parameters' own seed. `count` counts the finite
/// values given to the preparation.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::simulate::Source;
/// use visu_tility_drift::{Adwin, AdwinParams, BatcherParams, Detector, Prepared, PreparationParams};
///
/// let alarms = |params| {
///     let mut adwin = Prepared::new(params, Adwin::new(AdwinParams::default())?)?;
///     let stream = Source::Ar1 { phi: 0.9, mean: 0.0, deviation: 1.0 }.stream(3)?;
///     Ok::<_, visu_tility_drift::ParamError>(
///         stream.take(100_000).filter(|&x| adwin.update(x).drift_detected()).count(),
///     )
/// };
/// let batch = Some(BatcherParams::default());
/// assert!(alarms(PreparationParams::default())? > 300);
/// assert_eq!(alarms(PreparationParams { batch, ..Default::default() })?, 0);
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Prepared {
    preparation: Preparation,
    detector: AnyDetector,
    statistic: f64,
    threshold: f64,
    /// Where the detector's random numbers begin after a gap, if not where its parameters say.
    seed: Option<u64>,
}

impl Prepared {
    /// Puts a preparation in front of a detector.
    ///
    /// # Errors
    ///
    /// Fails when a parameter of a stage is out of the range that its field names.
    pub fn new(params: PreparationParams, detector: impl Into<AnyDetector>) -> Result<Self, ParamError> {
        let preparation = Preparation::new(params)?;
        Ok(Self { preparation, detector: detector.into(), statistic: 0.0, threshold: f64::MAX, seed: None })
    }

    /// Takes the next value and its time in Unix seconds; returns the detector's signal, or nothing when
    /// the detector was not given anything.
    #[inline]
    pub fn update_at(&mut self, value: f64, seconds: i64) -> Option<Signal> {
        let restarts = self.preparation.restarts();
        let value = self.preparation.update(value, seconds);
        if self.preparation.restarts() != restarts {
            self.detector.reset();
            if let Some(seed) = self.seed {
                self.detector.reseed(seed);
            }
        }
        let signal = self.preparation.judge(self.detector.update(value?));
        (self.statistic, self.threshold) = (signal.statistic, signal.threshold);
        Some(signal)
    }

    /// Returns the stages.
    pub const fn preparation(&self) -> &Preparation {
        &self.preparation
    }

    /// Returns the detector.
    pub const fn detector(&self) -> &AnyDetector {
        &self.detector
    }
}

impl Detector for Prepared {
    #[inline]
    fn update(&mut self, value: f64) -> Signal {
        self.update_at(value, 0).unwrap_or(Signal::quiet(self.statistic, self.threshold))
    }

    fn reset(&mut self) {
        self.preparation.reset();
        self.detector.reset();
        (self.statistic, self.threshold, self.seed) = (0.0, f64::MAX, None);
    }

    fn name(&self) -> &'static str {
        self.detector.name()
    }

    fn count(&self) -> u64 {
        let counts = self.preparation.counts();
        counts.given.saturating_sub(counts.missing)
    }

    fn ignored(&self) -> u64 {
        self.preparation.counts().missing
    }

    fn estimation(&self) -> Option<f64> {
        self.detector.estimation()
    }

    fn baseline(&self) -> Option<f64> {
        self.detector.baseline()
    }

    fn reseed(&mut self, seed: u64) {
        self.seed = Some(seed);
        self.detector.reseed(seed);
    }

    fn log_evidence(&self) -> Option<f64> {
        self.detector.log_evidence()
    }

    fn leaning(&self) -> (Direction, u64) {
        self.detector.leaning()
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_f64(out, self.statistic);
        put_f64(out, self.threshold);
        out.push(u8::from(self.seed.is_some()));
        put_u64(out, self.seed.unwrap_or(0));
        self.preparation.write_state(out);
        self.detector.write_state(out);
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        let found = bytes.u8()?;
        if found != VERSION {
            return Err(DecodeError::Version { what: "prepared", found });
        }
        let (statistic, threshold) = (bytes.finite("statistic")?, bytes.finite("threshold")?);
        let (seeded, seed) = (state::flag(bytes, "seed")?, bytes.u64()?);
        state::ensure(seeded || seed == 0, "seed")?;
        let mut preparation = self.preparation.clone();
        preparation.read_state(bytes)?;
        self.detector.read_state(bytes)?;
        (self.preparation, self.statistic, self.threshold) = (preparation, statistic, threshold);
        self.seed = seeded.then_some(seed);
        Ok(())
    }
}

impl From<Prepared> for AnyDetector {
    fn from(prepared: Prepared) -> Self {
        Self::Custom(Box::new(prepared))
    }
}
