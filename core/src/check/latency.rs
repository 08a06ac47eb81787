//! Latency quantiles, and the share of requests within an objective.

use visu_tility_drift::codec::{DecodeError, Reader};
use visu_tility_drift::{Direction, Level, QuantileSketchParams, Signal, WindowedQuantiles};

use super::share::Share;
use super::standalone::Standalone;
use super::{Check, Verdict, check_window};
use crate::action::ObserverAction;
use crate::alert::AlertCondition;
use crate::error::ObserverError;
use crate::event::MetricEvent;
use crate::observer::MetricObserver;

/// Keeps quantiles of [`crate::MetricKind::LatencyMs`], and alerts when too few requests are within an
/// objective.
///
/// Use it with an objective where one is agreed ("99 % of requests within 200 ms"). Without one it raises
/// nothing and shows p50, p95 and p99; let a [`super::ChangeObserver`] with the median shift tell changes.
///
/// Both are taken over the newest `window` to `2 × window` values (two windows that rotate). Fires when
/// the share within the objective is below `share_min` and `count_min` values were seen; recovers when
/// the missed share is at most half of what is allowed. In the signal, `statistic` is the share within.
///
/// Quantiles are within 2 % of the true ones while the largest latency is at most 2,000 times the
/// smallest, beyond that the low ones come out too high ([`visu_tility_drift::QuantileSketch`]).
///
/// Cost: one logarithm per value. State: at most 1.8 KiB.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyObserver {
    slo_ms: f64,
    share_min: f64,
    window: u32,
    count_min: u32,
    seen: Standalone,
}

impl Default for LatencyObserver {
    /// No objective, 99 % within it, over 1,000 values, after 100.
    fn default() -> Self {
        Self {
            slo_ms: f64::INFINITY,
            share_min: 0.99,
            window: 1_000,
            count_min: 100,
            seen: Standalone::default(),
        }
    }
}

impl LatencyObserver {
    const SKETCH: QuantileSketchParams = QuantileSketchParams { accuracy: 0.02, max_bins: 192 };

    /// Sets the objective: `share_min` of the requests within `slo_ms` milliseconds.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when `slo_ms` is not above 0, or `share_min` is not above 0
    /// and below 1.
    pub fn with_objective(mut self, slo_ms: f64, share_min: f64) -> Result<Self, ObserverError> {
        if slo_ms.is_nan() || slo_ms <= 0.0 {
            return Err(ObserverError::Config(format!("`slo_ms` is {slo_ms}, must be above 0")));
        }
        if !(share_min > 0.0 && share_min < 1.0) {
            return Err(ObserverError::Config(format!(
                "`share_min` is {share_min}, must be above 0 and below 1"
            )));
        }
        (self.slo_ms, self.share_min) = (slo_ms, share_min);
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

    /// The objective in milliseconds, and the share that must be within it.
    pub(crate) const fn objective(&self) -> (f64, f64) {
        (self.slo_ms, self.share_min)
    }

    /// The length of a window, and how many values must have been seen.
    pub(crate) const fn window(&self) -> (u32, u32) {
        (self.window, self.count_min)
    }

    pub(super) fn start(&self) -> LatencyState {
        LatencyState {
            slo_ms: self.slo_ms,
            share_min: self.share_min,
            within: Share::new(self.window, self.count_min),
            quantiles: Self::quantiles(),
        }
    }

    /// Empty sketches, which turn when the windows of the share do.
    fn quantiles() -> WindowedQuantiles {
        // The parameters are a constant that a test builds.
        WindowedQuantiles::new(Self::SKETCH, u64::MAX).unwrap_or_default()
    }

    fn settings(&self) -> Check {
        Check::Latency(Self { seen: Standalone::default(), ..*self })
    }
}

impl MetricObserver for LatencyObserver {
    fn name(&self) -> &'static str {
        "latency"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        let check = self.settings();
        self.seen.alert(&check, event)
    }

    fn builtin(&self) -> Option<Check> {
        Some(self.settings())
    }
}

/// The share within the objective and what it is held against, and the quantiles.
#[derive(Clone, Debug)]
pub(crate) struct LatencyState {
    slo_ms: f64,
    share_min: f64,
    within: Share,
    quantiles: WindowedQuantiles,
}

impl LatencyState {
    pub fn observe(&mut self, value: f64) -> Verdict {
        if value.is_nan() {
            return Verdict::level(AlertCondition::Hold);
        }
        if self.within.take(value <= self.slo_ms) {
            self.quantiles.rotate();
        }
        self.quantiles.insert(value);
        if !self.within.is_told() {
            return Verdict::level(AlertCondition::Hold);
        }
        let share = self.share_within();
        Verdict::level(if share < self.share_min {
            AlertCondition::Fire
        } else if 1.0 - share > (1.0 - self.share_min) / 2.0 {
            AlertCondition::Hold
        } else {
            AlertCondition::Clear
        })
    }

    fn share_within(&self) -> f64 {
        self.within.of().unwrap_or(1.0)
    }

    pub fn signal(&self) -> Signal {
        let statistic = self.share_within();
        let slow = statistic < self.share_min && self.within.is_told();
        Signal {
            level: if slow { Level::Drift } else { Level::Normal },
            direction: if slow { Direction::Up } else { Direction::Unknown },
            statistic,
            threshold: self.share_min,
            since: 0,
        }
    }

    pub fn figures(&self, out: &mut Vec<(&'static str, f64)>) {
        for (name, q) in [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)] {
            out.extend(self.quantiles.quantile(q).map(|value| (name, value)));
        }
        if self.slo_ms.is_finite() {
            out.extend([("slo_ms", self.slo_ms), ("share_within", self.share_within())]);
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        self.within.write(out);
        self.quantiles.write_state(out);
    }

    pub fn read(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        let mut within = self.within.clone();
        within.read(bytes, "latency")?;
        self.quantiles.read_state(bytes)?;
        self.within = within;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sketch_has_the_stated_parameters() {
        assert_eq!(*LatencyObserver::quantiles().params(), LatencyObserver::SKETCH);
    }

    #[test]
    fn the_share_within_is_held_against_the_objective() {
        let observer =
            LatencyObserver::default().with_objective(200.0, 0.9).unwrap().with_window(100, 20).unwrap();
        let mut state = observer.start();
        assert_eq!(state.observe(500.0).condition, AlertCondition::Hold, "too few to tell");
        for _ in 0..98 {
            state.observe(100.0);
        }
        assert_eq!(state.observe(100.0).condition, AlertCondition::Clear);
        for _ in 0..9 {
            state.observe(201.0);
        }
        // 10 slow of 109 is 9.2 %, 11 of 110 is 10 %, 12 of 111 is more.
        assert_eq!(state.observe(201.0).condition, AlertCondition::Hold);
        assert_eq!(state.observe(201.0).condition, AlertCondition::Fire);
    }

    #[test]
    fn quantiles_are_shown_over_both_windows() {
        let mut state = LatencyObserver::default().start();
        for i in 0..2_500 {
            state.observe(if i < 1_000 { 1e6 } else { f64::from(i % 500 + 1) });
        }
        let mut figures = Vec::new();
        state.figures(&mut figures);
        let p95 = figures.iter().find(|(name, _)| *name == "p95").unwrap().1;
        assert!((p95 - 475.0).abs() <= 0.02 * 475.0 + 1.0, "{p95}");
        let mut bytes = Vec::new();
        state.write(&mut bytes);
        let mut copy = LatencyObserver::default().start();
        copy.read(&mut Reader::new(&bytes)).unwrap();
        let mut again = Vec::new();
        copy.figures(&mut again);
        assert_eq!(figures, again);
    }

    #[test]
    fn settings_are_checked() {
        assert!(
            LatencyObserver::default().with_objective(0.0, 0.9).unwrap_err().to_string().contains("slo_ms")
        );
        assert!(
            LatencyObserver::default()
                .with_objective(1.0, 1.0)
                .unwrap_err()
                .to_string()
                .contains("share_min")
        );
    }
}
