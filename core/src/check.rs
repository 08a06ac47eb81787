//! The built-in checks: their settings, and the state that each keeps per version and kind.
//!
//! One file per check: [`DriftDetector`] (a score against a threshold), [`PerformanceDegrader`] (an EMA
//! against a floor), [`ChangeObserver`] (a change detector), [`LatencyObserver`] (quantiles and the share
//! within an objective), [`DataQualityObserver`] (missing and out-of-range values), [`StalenessObserver`]
//! (a model that has gone silent; kept per model). Each can be used as a [`crate::MetricObserver`] of its
//! own; a monitor runs their states inline.

mod allowance;
mod change;
mod data_quality;
mod drift_score;
mod latency;
mod performance;
mod staleness;
mod standalone;

use visu_tility_drift::Signal;
use visu_tility_drift::codec::{DecodeError, Reader};

use crate::alert::AlertCondition;
use crate::error::ObserverError;
use crate::kind::MetricKind;
use crate::time::Timestamp;

pub use change::{AlertOn, ChangeObserver};
pub use data_quality::DataQualityObserver;
pub use drift_score::DriftDetector;
pub use latency::LatencyObserver;
pub use performance::PerformanceDegrader;
pub(crate) use staleness::Silence;
pub use staleness::StalenessObserver;

pub(crate) use standalone::figure;

use change::ChangeState;
use data_quality::QualityState;
use drift_score::ScoreState;
use latency::LatencyState;
use performance::EmaState;

/// What a built-in observer checks, with its settings.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Check {
    /// A drift score against a threshold.
    DriftScore(DriftDetector),
    /// An exponential moving average against a floor.
    Performance(PerformanceDegrader),
    /// A streaming change detector.
    Change(ChangeObserver),
    /// Latency quantiles and the share of requests within an objective.
    Latency(LatencyObserver),
    /// The share of missing and out-of-range values.
    DataQuality(DataQualityObserver),
    /// A model from which nothing has come for too long.
    Staleness(StalenessObserver),
}

/// Checks the length of a window and how many of its values must have been seen.
fn check_window(window: u32, count_min: u32) -> Result<(), ObserverError> {
    if !(10..=1_000_000).contains(&window) {
        return Err(ObserverError::Config(format!("`window` is {window}, must be from 10 to 1000000")));
    }
    if !(1..=window).contains(&count_min) {
        return Err(ObserverError::Config(format!(
            "`count_min` is {count_min}, must be from 1 to `window` {window}"
        )));
    }
    Ok(())
}

/// What a check says on one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// What the alert is to make of it.
    pub condition: AlertCondition,
    /// Whether this very value brought a detection or a warning that is worth a record of its own.
    pub detected: bool,
}

impl Verdict {
    /// A verdict that is a level, not an event of its own.
    pub const fn level(condition: AlertCondition) -> Self {
        Self { condition, detected: false }
    }
}

impl Check {
    /// Names the check as a plan's `type` does.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::DriftScore(_) => "drift-score",
            Self::Performance(_) => "performance",
            Self::Change(_) => "change",
            Self::Latency(_) => "latency",
            Self::DataQuality(_) => "data-quality",
            Self::Staleness(_) => "staleness",
        }
    }

    /// Says which kinds it watches when a plan names none.
    pub fn watches(&self, kind: &MetricKind) -> bool {
        match self {
            Self::DriftScore(_) => *kind == MetricKind::DriftScore,
            Self::Performance(_) => *kind == MetricKind::Accuracy,
            Self::Latency(_) => *kind == MetricKind::LatencyMs,
            Self::Change(_) | Self::DataQuality(_) | Self::Staleness(_) => true,
        }
    }

    /// Is true when it watches the model as a whole, not each version and kind.
    pub const fn is_per_model(&self) -> bool {
        matches!(self, Self::Staleness(_))
    }

    /// Starts the check on one version and kind, by itself; `None` for a check of the model as a whole.
    pub fn run(&self, kind: &MetricKind) -> Option<RunningCheck> {
        self.start(kind).map(RunningCheck)
    }

    /// Starts the state for one version and kind; `None` for a check of the model as a whole.
    pub(crate) fn start(&self, kind: &MetricKind) -> Option<CheckState> {
        Some(match self {
            Self::DriftScore(settings) => CheckState::Score(settings.start()),
            Self::Performance(settings) => CheckState::Ema(settings.start()),
            Self::Change(settings) => CheckState::Change(Box::new(settings.start(kind))),
            Self::Latency(settings) => CheckState::Latency(Box::new(settings.start())),
            Self::DataQuality(settings) => CheckState::Quality(Box::new(settings.start())),
            Self::Staleness(_) => return None,
        })
    }
}

/// A built-in check at work on one version and kind, outside a monitor: for benches, and for who wants the
/// check without plan, alerts and records.
///
/// # Examples
///
/// ```
/// use visu_tility_core::{Check, AlertCondition, DriftDetector, MetricKind, Timestamp};
///
/// let check = Check::DriftScore(DriftDetector::default());
/// let mut running = check.run(&MetricKind::DriftScore).ok_or("a check of the model as a whole")?;
/// assert_eq!(running.observe(0.5, Timestamp::EPOCH), AlertCondition::Fire);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Debug)]
pub struct RunningCheck(CheckState);

impl RunningCheck {
    /// Takes one value of a time; `NaN` stands for a missing one.
    #[inline]
    pub fn observe(&mut self, value: f64, at: Timestamp) -> AlertCondition {
        self.0.observe(value, at).condition
    }

    /// What the last answer rests on.
    pub fn signal(&self) -> Signal {
        self.0.signal()
    }
}

/// What a check keeps for one version and kind.
///
/// The two that fit in a few words stand inline, so that the common case touches one cache line.
#[derive(Clone, Debug)]
pub(crate) enum CheckState {
    Score(ScoreState),
    Ema(EmaState),
    Change(Box<ChangeState>),
    Latency(Box<LatencyState>),
    Quality(Box<QualityState>),
}

/// The two inline states in three numbers, for who keeps them elsewhere while nothing fires.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct SmallCheck {
    /// The mean of a performance check, the last value of a drift-score check; `NaN` before the first.
    pub state: f64,
    /// The limit below (above, for a drift score) which the check fires.
    pub limit: f64,
    /// The smoothing of a performance check; `NaN` for a drift-score check.
    pub smoothing: f64,
}

impl CheckState {
    /// The state as three numbers, if it is one of the two that fit.
    pub fn small(&self) -> Option<SmallCheck> {
        match self {
            Self::Score(state) => Some(state.small()),
            Self::Ema(state) => Some(state.small()),
            _ => None,
        }
    }

    /// Takes back the number that changed.
    pub fn set_small(&mut self, value: f64) {
        match self {
            Self::Score(state) => state.set_last(value),
            Self::Ema(state) => state.set_mean(value),
            _ => {}
        }
    }

    /// Takes one value; `NaN` stands for a missing one.
    #[inline]
    pub fn observe(&mut self, value: f64, at: Timestamp) -> Verdict {
        match self {
            Self::Score(state) => state.observe(value),
            Self::Ema(state) => state.observe(value),
            Self::Change(state) => state.observe(value, at),
            Self::Latency(state) => state.observe(value),
            Self::Quality(state) => state.observe(value),
        }
    }

    /// Gives it random numbers of its own, before the first value.
    pub fn reseed(&mut self, seed: u64) {
        if let Self::Change(state) = self {
            state.reseed(seed);
        }
    }

    /// Is true when its run length between false alarms is a share of the plan's budget.
    pub fn is_budgeted(&self) -> bool {
        matches!(self, Self::Change(state) if state.is_budgeted())
    }

    /// Takes its share of the model's budget.
    pub fn share(&mut self, budget: f64, sharers: u32) {
        if let Self::Change(state) = self {
            state.share(budget, sharers);
        }
    }

    /// Takes one vector; checks of numbers make nothing of it.
    pub fn observe_vector(&mut self, vector: &[f32], at: Timestamp) -> Verdict {
        let _ = (vector, at);
        match self {
            Self::Score(_) | Self::Ema(_) | Self::Change(_) | Self::Latency(_) | Self::Quality(_) => {
                Verdict::level(AlertCondition::Hold)
            }
        }
    }

    /// What the last verdict rests on.
    pub fn signal(&self) -> Signal {
        match self {
            Self::Score(state) => state.signal(),
            Self::Ema(state) => state.signal(),
            Self::Change(state) => state.signal(),
            Self::Latency(state) => state.signal(),
            Self::Quality(state) => state.signal(),
        }
    }

    /// Named figures for a person who asks.
    pub fn figures(&self, out: &mut Vec<(&'static str, f64)>) {
        match self {
            Self::Score(state) => state.figures(out),
            Self::Ema(state) => state.figures(out),
            Self::Change(state) => state.figures(out),
            Self::Latency(state) => state.figures(out),
            Self::Quality(state) => state.figures(out),
        }
    }

    /// Appends the state; the settings are not in it.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Score(state) => state.write(out),
            Self::Ema(state) => state.write(out),
            Self::Change(state) => state.write(out),
            Self::Latency(state) => state.write(out),
            Self::Quality(state) => state.write(out),
        }
    }

    /// Replaces the state of a freshly started check by a written one.
    pub fn read(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        match self {
            Self::Score(state) => state.read(bytes),
            Self::Ema(state) => state.read(bytes),
            Self::Change(state) => state.read(bytes),
            Self::Latency(state) => state.read(bytes),
            Self::Quality(state) => state.read(bytes),
        }
    }
}
