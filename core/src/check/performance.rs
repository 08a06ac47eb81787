//! An exponential moving average of a quality metric against a floor.

use visu_tility_drift::codec::{DecodeError, Reader};
use visu_tility_drift::{Direction, Ewma, Level, Signal};

use super::standalone::Standalone;
use super::{Check, SmallCheck, Verdict};
use crate::action::ObserverAction;
use crate::alert::AlertCondition;
use crate::error::ObserverError;
use crate::event::MetricEvent;
use crate::observer::MetricObserver;

/// Asks for a retrain when the moving average of [`crate::MetricKind::Accuracy`] falls below a minimum.
///
/// Use it when a floor is agreed ("below 0.85 we lose money") and accuracy comes as windowed values. It
/// does not know how noisy the metric is: for a stream of right and wrong predictions
/// ([`crate::MetricKind::Correct`]) a [`super::ChangeObserver`] tells a change from noise.
///
/// The average of each version is `m ← m + s (x − m)` with smoothing `s` (default 0.2); the first value
/// starts it. Fires when the average is below the minimum; recovers when it is at least the recover
/// value, by default a tenth of the way from the minimum to 1. While it stays below, the retrain is
/// asked for once, not once per event. Without the feature `automated_retraining` an alert is raised
/// instead.
///
/// Cost: one multiply-add, two comparisons. State: 40 bytes.
///
/// # Examples
///
/// ```
/// use visu_tility_core::{MetricEvent, MetricKind, MetricObserver, PerformanceDegrader};
///
/// let mut degrader = PerformanceDegrader::new(0.85)?;
/// let event = MetricEvent::new("model_xyz", MetricKind::Accuracy, 0.81)?;
/// assert_eq!(degrader.on_metric(&event)?.as_str(), "retrain");
/// assert!(PerformanceDegrader::new(1.5).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PerformanceDegrader {
    min_accuracy: f64,
    recover: f64,
    smoothing: f64,
    seen: Standalone,
}

impl PerformanceDegrader {
    /// The default smoothing.
    pub const SMOOTHING: f64 = 0.2;

    /// Builds a check with the minimum that the moving average must keep.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when it is not from 0 to 1.
    pub fn new(min_accuracy: f64) -> Result<Self, ObserverError> {
        if !(0.0..=1.0).contains(&min_accuracy) {
            return Err(ObserverError::Config(format!(
                "`min_accuracy` is {min_accuracy}, must be a number from 0 to 1"
            )));
        }
        Ok(Self {
            min_accuracy,
            recover: min_accuracy + 0.1 * (1.0 - min_accuracy),
            smoothing: Self::SMOOTHING,
            seen: Standalone::default(),
        })
    }

    /// Sets the smoothing: the weight of the newest value.
    ///
    /// # Errors
    ///
    /// Fails when it is not above 0 and at most 1.
    pub fn with_smoothing(mut self, smoothing: f64) -> Result<Self, ObserverError> {
        Ewma::new(smoothing)?;
        self.smoothing = smoothing;
        Ok(self)
    }

    /// Sets the average from which on it has recovered.
    ///
    /// # Errors
    ///
    /// Fails when it is not from the minimum to 1.
    pub fn recover_at(mut self, recover: f64) -> Result<Self, ObserverError> {
        if !(self.min_accuracy..=1.0).contains(&recover) {
            return Err(ObserverError::Config(format!(
                "`recover` is {recover}, must be from `min_accuracy` {} to 1",
                self.min_accuracy
            )));
        }
        self.recover = recover;
        Ok(self)
    }

    /// The minimum that the moving average must keep.
    pub const fn min_accuracy(&self) -> f64 {
        self.min_accuracy
    }

    /// The average from which on it has recovered.
    pub(crate) const fn recover(&self) -> f64 {
        self.recover
    }

    /// The weight of the newest value.
    pub(crate) const fn smoothing(&self) -> f64 {
        self.smoothing
    }

    pub(super) fn start(&self) -> EmaState {
        // The smoothing was checked when it was set, so the fallback is never taken.
        let ema = Ewma::new(self.smoothing).unwrap_or_default();
        EmaState { ema, min: self.min_accuracy, recover: self.recover }
    }
}

impl MetricObserver for PerformanceDegrader {
    fn name(&self) -> &'static str {
        "performance"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        let check = Check::Performance(Self { seen: Standalone::default(), ..*self });
        self.seen.step(&check, event, ObserverAction::retrain)
    }

    fn builtin(&self) -> Option<Check> {
        Some(Check::Performance(Self { seen: Standalone::default(), ..*self }))
    }
}

/// The moving average and what it is held against.
#[derive(Clone, Debug)]
pub(crate) struct EmaState {
    ema: Ewma,
    min: f64,
    recover: f64,
}

impl EmaState {
    #[inline]
    pub fn observe(&mut self, value: f64) -> Verdict {
        if value.is_nan() {
            return Verdict::level(AlertCondition::Hold);
        }
        let average = self.ema.update(value);
        Verdict::level(if average < self.min {
            AlertCondition::Fire
        } else if average < self.recover {
            AlertCondition::Hold
        } else {
            AlertCondition::Clear
        })
    }

    pub fn small(&self) -> SmallCheck {
        let state = self.ema.value().unwrap_or(f64::NAN);
        SmallCheck { state, limit: self.min, smoothing: self.ema.smoothing() }
    }

    pub const fn set_mean(&mut self, mean: f64) {
        self.ema.set(mean);
    }

    pub fn signal(&self) -> Signal {
        let low = self.ema.value().is_some_and(|average| average < self.min);
        Signal {
            level: if low { Level::Drift } else { Level::Normal },
            direction: if low { Direction::Down } else { Direction::Unknown },
            statistic: self.ema.value().unwrap_or(0.0),
            threshold: self.min,
            since: 0,
        }
    }

    pub fn figures(&self, out: &mut Vec<(&'static str, f64)>) {
        out.extend(self.ema.value().map(|average| ("ema", average)));
        out.extend([("minimum", self.min), ("recover", self.recover)]);
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        self.ema.write_state(out);
    }

    pub fn read(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.ema.read_state(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AlertCondition::{Clear, Fire, Hold};

    #[test]
    fn the_average_is_the_recurrence() {
        let mut state = PerformanceDegrader::new(0.85).unwrap().start();
        // By hand: .9; .9+.2(.7-.9)=.86; .86+.2(.7-.86)=.828; .828+.2(1-.828)=.8624; .88992
        let seen: Vec<_> = [0.9, 0.7, 0.7, 1.0, 1.0].map(|x| state.observe(x).condition).into();
        assert_eq!(seen, [Clear, Hold, Fire, Hold, Clear]);
        assert!((state.signal().statistic - 0.889_92).abs() < 1e-12);
    }

    #[test]
    fn each_version_has_an_average_of_its_own() {
        let mut degrader = PerformanceDegrader::new(0.85).unwrap();
        let event = |v: &str, x| {
            MetricEvent::new("m", crate::MetricKind::Accuracy, x).unwrap().with_version(v).unwrap()
        };
        assert_eq!(degrader.on_metric(&event("1", 0.9)).unwrap(), ObserverAction::NoOp);
        assert_eq!(degrader.on_metric(&event("2", 0.8)).unwrap().as_str(), "retrain");
        assert_eq!(degrader.on_metric(&event("1", 0.85)).unwrap(), ObserverAction::NoOp);
    }

    #[test]
    fn settings_are_checked() {
        for bad in [-0.1, 1.1, f64::NAN] {
            let error = PerformanceDegrader::new(bad).unwrap_err().to_string();
            assert!(error.contains("`min_accuracy`") && error.contains("0 to 1"), "{error}");
        }
        let degrader = PerformanceDegrader::new(0.85).unwrap();
        assert!(degrader.clone().recover_at(0.8).is_err());
        assert!(degrader.with_smoothing(0.0).is_err());
    }
}
