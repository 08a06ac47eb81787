//! A drift score, computed by the publisher, against a threshold.

use visu_tility_drift::codec::{DecodeError, Reader, put_f64};
use visu_tility_drift::{Direction, Level, Signal};

use super::{Check, SmallCheck, Verdict};
use crate::action::ObserverAction;
use crate::alert::{AlertCondition, Severity};
use crate::error::ObserverError;
use crate::event::MetricEvent;
use crate::kind::MetricKind;
use crate::observer::MetricObserver;

/// Alerts while a [`MetricKind::DriftScore`] is above its threshold.
///
/// Use it when the publisher computes a distance between reference and current data itself. For raw
/// features let a [`super::ChangeObserver`] watch the values.
///
/// Fires when the score is above the threshold (default 0.3), recovers when it is at or below nine
/// tenths of it, so that a score that hovers does not flap.
///
/// Cost: two comparisons. State: 24 bytes.
///
/// # Examples
///
/// ```
/// use visu_tility_core::{DriftDetector, MetricEvent, MetricKind, MetricObserver};
///
/// let mut detector = DriftDetector::default();
/// let event = MetricEvent::new("fraud", MetricKind::DriftScore, 0.31)?;
/// assert_eq!(detector.on_metric(&event)?.as_str(), "alert");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DriftDetector {
    threshold: f64,
    recover: f64,
}

impl Default for DriftDetector {
    fn default() -> Self {
        Self { threshold: 0.3, recover: 0.27 }
    }
}

impl DriftDetector {
    /// Builds a check with a threshold above 0; it recovers at nine tenths of it.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when the threshold is not a finite number above 0.
    pub fn new(threshold: f64) -> Result<Self, ObserverError> {
        if !(threshold > 0.0 && threshold.is_finite()) {
            return Err(ObserverError::Config(format!(
                "`threshold` is {threshold}, must be a finite number above 0"
            )));
        }
        Ok(Self { threshold, recover: threshold * 0.9 })
    }

    /// Sets the score at or below which it recovers.
    ///
    /// # Errors
    ///
    /// Fails when it is not from 0 to the threshold.
    pub fn recover_at(mut self, recover: f64) -> Result<Self, ObserverError> {
        if !(0.0..=self.threshold).contains(&recover) {
            return Err(ObserverError::Config(format!(
                "`recover` is {recover}, must be from 0 to the threshold {}",
                self.threshold
            )));
        }
        self.recover = recover;
        Ok(self)
    }

    /// The score above which it fires.
    pub const fn threshold(&self) -> f64 {
        self.threshold
    }

    /// The score at or below which it recovers.
    pub(crate) const fn recover(&self) -> f64 {
        self.recover
    }

    pub(super) const fn start(&self) -> ScoreState {
        ScoreState { threshold: self.threshold, recover: self.recover, last: f64::NAN }
    }
}

impl MetricObserver for DriftDetector {
    fn name(&self) -> &'static str {
        "drift-score"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        match (event.kind(), event.value()) {
            (MetricKind::DriftScore, Some(score)) if score > self.threshold => Ok(ObserverAction::alert(
                Severity::Warning,
                format!("drift score {score} is above {}", self.threshold),
            )),
            _ => Ok(ObserverAction::NoOp),
        }
    }

    fn builtin(&self) -> Option<Check> {
        Some(Check::DriftScore(self.clone()))
    }
}

/// The last score and what it is held against.
#[derive(Clone, Debug)]
pub(crate) struct ScoreState {
    threshold: f64,
    recover: f64,
    last: f64,
}

impl ScoreState {
    #[inline]
    pub fn observe(&mut self, value: f64) -> Verdict {
        if value.is_nan() {
            return Verdict::level(AlertCondition::Hold);
        }
        self.last = value;
        Verdict::level(if value > self.threshold {
            AlertCondition::Fire
        } else if value > self.recover {
            AlertCondition::Hold
        } else {
            AlertCondition::Clear
        })
    }

    pub const fn small(&self) -> SmallCheck {
        SmallCheck { state: self.last, limit: self.threshold, smoothing: f64::NAN }
    }

    pub const fn set_last(&mut self, last: f64) {
        self.last = last;
    }

    pub fn signal(&self) -> Signal {
        let statistic = if self.last.is_nan() { 0.0 } else { self.last };
        let drifted = statistic > self.threshold;
        Signal {
            level: if drifted { Level::Drift } else { Level::Normal },
            direction: if drifted { Direction::Up } else { Direction::Unknown },
            statistic,
            threshold: self.threshold,
            since: 0,
        }
    }

    pub fn figures(&self, out: &mut Vec<(&'static str, f64)>) {
        out.extend([("score", self.last), ("threshold", self.threshold), ("recover", self.recover)]);
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        put_f64(out, self.last);
    }

    pub fn read(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        let last = bytes.f64()?;
        if last.is_infinite() {
            return Err(DecodeError::Range { field: "score" });
        }
        self.last = last;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AlertCondition::{Clear, Fire, Hold};

    #[test]
    fn fires_above_and_recovers_below_with_a_gap_between() {
        let mut state = DriftDetector::default().start();
        let seen: Vec<_> = [0.3, 0.31, 0.28, f64::NAN, 0.27].map(|x| state.observe(x).condition).into();
        assert_eq!(seen, [Hold, Fire, Hold, Hold, Clear]);
    }

    #[test]
    fn settings_are_checked() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = DriftDetector::new(bad).unwrap_err().to_string();
            assert!(error.contains("`threshold`") && error.contains("above 0"), "{error}");
        }
        assert!(DriftDetector::new(0.5).unwrap().recover_at(0.6).is_err());
    }
}
