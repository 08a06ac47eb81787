//! The share of values that are missing or out of the range that the plan allows.

use visu_tility_drift::codec::{DecodeError, Reader};
use visu_tility_drift::{Direction, Level, Signal};

use super::share::Share;
use super::standalone::Standalone;
use super::{Check, Verdict, check_window};
use crate::action::ObserverAction;
use crate::alert::AlertCondition;
use crate::error::ObserverError;
use crate::event::MetricEvent;
use crate::observer::MetricObserver;

/// Alerts when too many values of a version and kind are missing or out of an allowed range.
///
/// Use it for features: a field that is suddenly `null`, or an age of 900, is an upstream fault and not
/// drift. What cannot be an event at all (not a number, out of the kind's own range) is refused at the
/// door and counted there.
///
/// The share is taken over the newest `window` to `2 × window` values (two windows that rotate). Fires
/// when it is above `share_max` and `count_min` values were seen; recovers at half of `share_max`.
///
/// Cost: two comparisons and two additions per value. State: 72 bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct DataQualityObserver {
    min: f64,
    max: f64,
    share_max: f64,
    window: u32,
    count_min: u32,
    seen: Standalone,
}

impl Default for DataQualityObserver {
    /// No range, at most 5 % missing, over 500 values, after 50.
    fn default() -> Self {
        Self {
            min: f64::NEG_INFINITY,
            max: f64::INFINITY,
            share_max: 0.05,
            window: 500,
            count_min: 50,
            seen: Standalone::default(),
        }
    }
}

impl DataQualityObserver {
    /// Sets the allowed range, both ends included; infinite ends leave a side open.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when `min` is above `max` or either is not a number.
    pub fn with_range(mut self, min: f64, max: f64) -> Result<Self, ObserverError> {
        if min.is_nan() || max.is_nan() || min > max {
            return Err(ObserverError::Config(format!("`min` is {min}, must be at most `max` {max}")));
        }
        (self.min, self.max) = (min, max);
        Ok(self)
    }

    /// Sets the largest share of bad values that is tolerated.
    ///
    /// # Errors
    ///
    /// Fails when it is not from 0 to less than 1.
    pub fn with_share_max(mut self, share_max: f64) -> Result<Self, ObserverError> {
        if !(0.0..1.0).contains(&share_max) {
            return Err(ObserverError::Config(format!(
                "`share_max` is {share_max}, must be at least 0 and below 1"
            )));
        }
        self.share_max = share_max;
        Ok(self)
    }

    /// Sets the length of a window and how many values must have been seen.
    ///
    /// # Errors
    ///
    /// Fails when `window` is not from 10 to 1,000,000 or `count_min` not from 1 to `window`.
    pub fn with_window(mut self, window: u32, count_min: u32) -> Result<Self, ObserverError> {
        check_window(window, count_min)?;
        (self.window, self.count_min) = (window, count_min);
        Ok(self)
    }

    /// The allowed range.
    pub(crate) const fn range(&self) -> (f64, f64) {
        (self.min, self.max)
    }

    /// The largest share of bad values that is tolerated.
    pub(crate) const fn share_max(&self) -> f64 {
        self.share_max
    }

    /// The length of a window, and how many values must have been seen.
    pub(crate) const fn window(&self) -> (u32, u32) {
        (self.window, self.count_min)
    }

    pub(super) const fn start(&self) -> QualityState {
        QualityState {
            min: self.min,
            max: self.max,
            share_max: self.share_max,
            bad: Share::new(self.window, self.count_min),
        }
    }

    fn settings(&self) -> Check {
        Check::DataQuality(Self { seen: Standalone::default(), ..*self })
    }
}

impl MetricObserver for DataQualityObserver {
    fn name(&self) -> &'static str {
        "data-quality"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        let check = self.settings();
        self.seen.alert(&check, event)
    }

    fn builtin(&self) -> Option<Check> {
        Some(self.settings())
    }
}

/// The share of bad values and what it is held against.
#[derive(Clone, Debug)]
pub(crate) struct QualityState {
    min: f64,
    max: f64,
    share_max: f64,
    bad: Share,
}

impl QualityState {
    pub fn observe(&mut self, value: f64) -> Verdict {
        // A missing value is `NaN` and thus in no range.
        self.take(value >= self.min && value <= self.max)
    }

    /// Takes a vector: it is there, and has no range.
    pub fn observe_vector(&mut self) -> Verdict {
        self.take(true)
    }

    fn take(&mut self, good: bool) -> Verdict {
        self.bad.take(!good);
        if !self.bad.is_told() {
            return Verdict::level(AlertCondition::Hold);
        }
        let share = self.share();
        Verdict::level(if share > self.share_max {
            AlertCondition::Fire
        } else if share > self.share_max / 2.0 {
            AlertCondition::Hold
        } else {
            AlertCondition::Clear
        })
    }

    fn share(&self) -> f64 {
        self.bad.of().unwrap_or(0.0)
    }

    pub fn signal(&self) -> Signal {
        let statistic = self.share();
        let bad = statistic > self.share_max && self.bad.is_told();
        Signal {
            level: if bad { Level::Drift } else { Level::Normal },
            direction: if bad { Direction::Up } else { Direction::Unknown },
            statistic,
            threshold: self.share_max,
            since: 0,
        }
    }

    pub fn figures(&self, out: &mut Vec<(&'static str, f64)>) {
        out.extend([("bad_share", self.share()), ("share_max", self.share_max)]);
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        self.bad.write(out);
    }

    pub fn read(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.bad.read(bytes, "data-quality")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_out_of_range_values_count_alike() {
        let observer =
            DataQualityObserver::default().with_range(0.0, 120.0).unwrap().with_window(100, 10).unwrap();
        let mut state = observer.start();
        for _ in 0..98 {
            state.observe(33.0);
        }
        assert_eq!(state.observe(f64::NAN).condition, AlertCondition::Clear);
        for _ in 0..3 {
            state.observe(900.0);
        }
        // 4 bad of 102.
        assert_eq!(state.observe(33.0).condition, AlertCondition::Hold);
        assert_eq!(
            (state.observe(-1.0).condition, state.observe(121.0).condition),
            (AlertCondition::Hold, AlertCondition::Fire)
        );
        assert!((state.signal().statistic - 6.0 / 105.0).abs() < 1e-12);
    }

    #[test]
    fn settings_are_checked() {
        let error = DataQualityObserver::default().with_range(2.0, 1.0).unwrap_err().to_string();
        assert!(error.contains("`min`"), "{error}");
        assert!(DataQualityObserver::default().with_share_max(1.0).is_err());
        assert!(DataQualityObserver::default().with_window(5, 1).is_err());
    }
}
