//! An exponential moving average of a quality metric against a floor.

use visu_tility_drift::codec::{DecodeError, Reader, put_u32};
use visu_tility_drift::{Direction, Ewma, Level, Signal};

use super::standalone::Standalone;
use super::{Check, SmallCheck, Verdict};
use crate::action::ObserverAction;
use crate::alert::AlertCondition;
use crate::error::ObserverError;
use crate::event::MetricEvent;
use crate::kind::MetricKind;
use crate::observer::MetricObserver;

/// The form of the state: how many values it has seen, and the average. Form 1 was the average alone.
const VERSION: u8 = 2;

/// Asks for a retrain when the moving average of [`crate::MetricKind::Accuracy`] falls below a minimum.
///
/// Use it when a floor is agreed ("below 0.85 we lose money") and accuracy comes as windowed values. It
/// does not know how noisy the metric is: for a stream of right and wrong predictions
/// ([`crate::MetricKind::Correct`]) take a smoothing of 0.01 or less, and a [`super::ChangeObserver`] beside it,
/// which tells a change from noise.
///
/// The average of each version is `m ← m + s (x − m)` with smoothing `s` (default 0.2). The mean of its first
/// `count_min` values starts it, and nothing fires before. By default that is the first value alone, which is
/// itself an average; of `Correct`, where a value is a single answer, as many as the average weighs,
/// `2/s − 1` rounded up (9 at 0.2, 399 at 0.005): the mean of so many independent values varies as much as the
/// average does later (Roberts, Technometrics 1, 1959, section 2).
///
/// Fires when the average is below the minimum; recovers when it is at least the recover
/// value, by default a tenth of the way from the minimum to 1. While it stays below, the retrain is
/// asked for once, not once per event. Without the feature `automated_retraining` an alert is raised
/// instead.
///
/// Cost: one multiply-add, two comparisons. State: 48 bytes.
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
    count_min: Option<u32>,
    seen: Standalone,
}

impl PerformanceDegrader {
    /// The default smoothing.
    pub const SMOOTHING: f64 = 0.2;
    const COUNT_MAX: u32 = 1_000_000;

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
            count_min: None,
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

    /// Sets how many values must have been seen before it can fire, from 1 to 1,000,000.
    ///
    /// # Errors
    ///
    /// Fails when it is outside that range.
    pub fn with_count_min(mut self, count_min: u32) -> Result<Self, ObserverError> {
        if !(1..=Self::COUNT_MAX).contains(&count_min) {
            return Err(ObserverError::Config(format!(
                "`count_min` is {count_min}, must be from 1 to {}",
                Self::COUNT_MAX
            )));
        }
        self.count_min = Some(count_min);
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

    /// Values that must have been seen before it can fire, where that was set.
    pub(crate) const fn count_min(&self) -> Option<u32> {
        self.count_min
    }

    pub(super) fn start(&self, kind: &MetricKind) -> EmaState {
        // The smoothing was checked when it was set, so the fallback is never taken.
        let ema = Ewma::new(self.smoothing).unwrap_or_default();
        let usual = match kind {
            MetricKind::Correct => (2.0 / self.smoothing - 1.0).ceil().min(f64::from(Self::COUNT_MAX)) as u32,
            _ => 1,
        };
        let count_min = self.count_min.unwrap_or(usual).max(1);
        EmaState { ema, min: self.min_accuracy, recover: self.recover, count_min, awaited: count_min }
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
    count_min: u32,
    /// Values that are still to be seen before it can fire; until then the average is their mean.
    awaited: u32,
}

impl EmaState {
    #[inline]
    pub fn observe(&mut self, value: f64) -> Verdict {
        if value.is_nan() {
            return Verdict::level(AlertCondition::Hold);
        }
        if self.awaited > 0 {
            self.begin(value);
            if self.awaited > 0 {
                return Verdict::level(AlertCondition::Hold);
            }
        } else {
            self.ema.update(value);
        }
        let average = self.ema.value().unwrap_or(f64::NAN);
        Verdict::level(if average < self.min {
            AlertCondition::Fire
        } else if average < self.recover {
            AlertCondition::Hold
        } else {
            AlertCondition::Clear
        })
    }

    /// Takes one of the first values into their mean.
    fn begin(&mut self, value: f64) {
        let seen = self.count_min - self.awaited;
        let mean = self.ema.value().unwrap_or(0.0);
        self.ema.set(Ewma::step(1.0 / (f64::from(seen) + 1.0), mean, value));
        self.awaited -= 1;
    }

    /// The state in three numbers, once the first values have been seen.
    pub fn small(&self) -> Option<SmallCheck> {
        let state = self.ema.value().filter(|_| self.awaited == 0)?;
        Some(SmallCheck { state, limit: self.min, smoothing: self.ema.smoothing() })
    }

    pub const fn set_mean(&mut self, mean: f64) {
        self.ema.set(mean);
    }

    pub fn signal(&self) -> Signal {
        let low = self.awaited == 0 && self.ema.value().is_some_and(|average| average < self.min);
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
        out.extend((self.awaited > 0).then(|| ("values awaited", f64::from(self.awaited))));
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_u32(out, self.count_min - self.awaited);
        self.ema.write_state(out);
    }

    pub fn read(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        let version = bytes.u8()?;
        if version != VERSION {
            return Err(DecodeError::Version { what: "performance", found: version });
        }
        let seen = bytes.u32()?;
        self.ema.read_state(bytes)?;
        // With a larger `count_min` than it was written with, it waits for what is missing.
        self.awaited = self.count_min.saturating_sub(seen);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AlertCondition::{Clear, Fire, Hold};

    #[test]
    fn the_average_is_the_recurrence() {
        let mut state = PerformanceDegrader::new(0.85).unwrap().start(&MetricKind::Accuracy);
        // By hand: .9; .9+.2(.7-.9)=.86; .86+.2(.7-.86)=.828; .828+.2(1-.828)=.8624; .88992
        let seen: Vec<_> = [0.9, 0.7, 0.7, 1.0, 1.0].map(|x| state.observe(x).condition).into();
        assert_eq!(seen, [Clear, Hold, Fire, Hold, Clear]);
        assert!((state.signal().statistic - 0.889_92).abs() < 1e-12);
    }

    #[test]
    fn one_wrong_answer_is_no_accuracy() {
        let floor = PerformanceDegrader::new(0.85).unwrap().with_smoothing(0.02).unwrap();
        let mut state = floor.start(&MetricKind::Correct);
        // 2/0.02 - 1 = 99 values are awaited; the first is wrong, as in the worst start that there is.
        for answer in 0..98 {
            assert_eq!(state.observe(f64::from(u8::from(answer > 0))).condition, Hold);
        }
        assert_eq!(state.signal().level, Level::Normal);
        assert_eq!(state.observe(1.0).condition, Clear);
        // By hand: their mean is 98/99; then .98 of it, .98 of that, and so on: .859 after seven wrong ones, .842
        // after eight.
        assert!((state.signal().statistic - 98.0 / 99.0).abs() < 1e-12);
        let wrong: Vec<_> = [0.0; 8].map(|x| state.observe(x).condition).into();
        assert_eq!(wrong, [Clear, Clear, Clear, Clear, Clear, Clear, Hold, Fire]);

        // All wrong from the start fires as soon as that is known.
        let mut state = floor.start(&MetricKind::Correct);
        assert_eq!((0..200).position(|_| state.observe(0.0).condition == Fire), Some(98));
        // A value of any other kind is an average already; a count that is set is of all kinds.
        assert_eq!(floor.start(&MetricKind::Accuracy).observe(0.8).condition, Fire);
        let mut state = floor.with_count_min(3).unwrap().start(&MetricKind::Accuracy);
        let seen: Vec<_> = [0.8, f64::NAN, 0.8, 0.8].map(|x| state.observe(x).condition).into();
        assert_eq!(seen, [Hold, Hold, Hold, Fire]);
    }

    #[test]
    fn the_first_values_are_counted_over_a_restart() {
        let floor = PerformanceDegrader::new(0.85).unwrap().with_count_min(4).unwrap();
        let mut state = floor.start(&MetricKind::Correct);
        let _ = [0.0, 1.0, 0.0].map(|x| state.observe(x));
        let mut bytes = Vec::new();
        state.write(&mut bytes);
        let mut again = floor.start(&MetricKind::Correct);
        again.read(&mut Reader::new(&bytes)).unwrap();
        assert_eq!((again.observe(0.0).condition, again.signal().statistic), (Fire, 0.25));
        // Form 1 was the average alone, and began with its version.
        assert!(again.read(&mut Reader::new(bytes.get(5..).unwrap())).is_err());
    }

    #[test]
    fn each_version_has_an_average_of_its_own() {
        let mut degrader = PerformanceDegrader::new(0.85).unwrap();
        let event =
            |v: &str, x| MetricEvent::new("m", MetricKind::Accuracy, x).unwrap().with_version(v).unwrap();
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
        assert!(degrader.clone().with_smoothing(0.0).is_err());
        for bad in [0, 1_000_001] {
            let error = degrader.clone().with_count_min(bad).unwrap_err().to_string();
            assert!(error.contains("`count_min`") && error.contains("1 to 1000000"), "{error}");
        }
    }
}
