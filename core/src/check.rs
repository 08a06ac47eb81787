//! The built-in checks: their settings, and the state that each keeps per version and kind.
//!
//! One file per check: [`DriftDetector`] (a score against a threshold), [`PerformanceDegrader`] (an EMA
//! against a floor), [`ChangeObserver`] (a change detector), [`CombinationObserver`] (several as one),
//! [`DistributionObserver`] (windows against a reference), [`EmbeddingObserver`] (a change detector for vectors), [`LatencyObserver`] (quantiles and the
//! share within an objective), [`DataQualityObserver`] (missing and out-of-range values), [`StalenessObserver`]
//! (a model that has gone silent; kept per model). Each can be used as a [`crate::MetricObserver`] of its
//! own; a monitor runs their states inline.

mod allowance;
mod before;
mod budget_share;
mod budgeted;
mod change;
mod combination;
mod data_quality;
mod distribution;
mod drift_score;
mod embedding;
mod latency;
mod pace;
mod performance;
mod share;
mod staleness;
mod standalone;

use visu_tility_drift::codec::{DecodeError, Reader};
use visu_tility_drift::{Direction, Histogram, Signal};

use crate::alert::AlertCondition;
use crate::error::ObserverError;
use crate::id::Version;
use crate::kind::{MetricKind, ValueRange};
use crate::time::Timestamp;

pub(crate) use allowance::{Shared, rounded};
pub use budget_share::BudgetShare;
pub use change::{AlertOn, ChangeObserver};
pub(crate) use combination::refusal;
pub use combination::{CombinationObserver, Combine};
pub use data_quality::DataQualityObserver;
pub use distribution::DistributionObserver;
pub(crate) use distribution::usual_arl;
pub use drift_score::DriftDetector;
pub use embedding::{EmbeddingMethod, EmbeddingObserver};
pub use latency::LatencyObserver;
pub(crate) use pace::Pace;
pub use performance::PerformanceDegrader;
pub(crate) use staleness::Silence;
pub use staleness::StalenessObserver;

pub(crate) use standalone::figure;

use change::{Calendar, ChangeState};
use combination::Combined;
use data_quality::QualityState;
use distribution::DistributionState;
use drift_score::ScoreState;
use embedding::EmbeddingState;
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
    /// Several streaming change detectors as one.
    Combination(CombinationObserver),
    /// Windows of values against a reference.
    Distribution(DistributionObserver),
    /// A streaming change detector of vectors.
    Embedding(EmbeddingObserver),
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
            Self::Combination(_) => "combination",
            Self::Distribution(_) => "distribution",
            Self::Embedding(_) => "embedding",
            Self::Latency(_) => "latency",
            Self::DataQuality(_) => "data-quality",
            Self::Staleness(_) => "staleness",
        }
    }

    /// Names what it is for: its type, and one name for the two that look for changes with detectors.
    pub(crate) const fn purpose(&self) -> &'static str {
        match self {
            Self::Combination(_) => "change",
            other => other.type_name(),
        }
    }

    /// Says which kinds it watches when a plan names none.
    pub fn watches(&self, kind: &MetricKind) -> bool {
        match self {
            Self::DriftScore(_) => *kind == MetricKind::DriftScore,
            Self::Performance(_) => *kind == MetricKind::Accuracy,
            Self::Latency(_) => *kind == MetricKind::LatencyMs,
            Self::Distribution(_) => matches!(kind, MetricKind::Feature(_) | MetricKind::Confidence),
            Self::Embedding(_) => matches!(kind, MetricKind::Embedding(_)),
            Self::Change(_) | Self::Combination(_) => self.takes(kind),
            Self::DataQuality(_) | Self::Staleness(_) => true,
        }
    }

    /// The direction in which a value makes it fire, where it is the same for every kind; [`Direction::Unknown`] for
    /// checks that look either way, or where it is bad for the kind.
    pub(crate) const fn fires_towards(&self) -> Direction {
        match self {
            Self::Performance(_) => Direction::Down,
            Self::DriftScore(_) | Self::Latency(_) => Direction::Up,
            _ => Direction::Unknown,
        }
    }

    /// Says whether it can make anything of the kind, whatever a plan names: most checks are of numbers, one is of
    /// vectors.
    pub fn takes(&self, kind: &MetricKind) -> bool {
        match self {
            Self::DataQuality(_) | Self::Staleness(_) => true,
            Self::Embedding(_) => kind.range() == ValueRange::Vector,
            _ => kind.range() != ValueRange::Vector,
        }
    }

    /// Is true when the plan's budget says how often it may be wrong.
    pub fn is_budgeted(&self) -> bool {
        match self {
            Self::Change(check) => check.is_budgeted(),
            Self::Combination(check) => check.is_budgeted(),
            Self::Distribution(check) => check.is_budgeted(),
            Self::Embedding(check) => check.is_budgeted(),
            _ => false,
        }
    }

    /// Is true when it watches the model as a whole, not each version and kind.
    pub const fn is_per_model(&self) -> bool {
        matches!(self, Self::Staleness(_))
    }

    /// Starts the check on one version and kind, by itself; `None` for a check of the model as a whole.
    pub fn run(&self, kind: &MetricKind) -> Option<RunningCheck> {
        self.start(&Version::unversioned(), kind).map(RunningCheck)
    }

    /// Starts the state for one version and kind; `None` for a check of the model as a whole.
    pub(crate) fn start(&self, version: &Version, kind: &MetricKind) -> Option<CheckState> {
        Some(match self {
            Self::DriftScore(settings) => CheckState::Score(settings.start()),
            Self::Performance(settings) => CheckState::Ema(settings.start(kind)),
            Self::Change(settings) => match settings.start_calendar(kind) {
                Some(state) => CheckState::Calendar(Box::new(state)),
                None => CheckState::Change(Box::new(settings.start(kind))),
            },
            Self::Combination(settings) => CheckState::Combination(Box::new(settings.start(kind))),
            Self::Distribution(settings) => CheckState::Distribution(Box::new(settings.start(version))),
            Self::Embedding(settings) => CheckState::Embedding(Box::new(settings.start())),
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

    /// Takes one vector of a time.
    pub fn observe_vector(&mut self, vector: &[f32], at: Timestamp) -> AlertCondition {
        self.0.observe_vector(vector, at).condition
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
    Calendar(Box<ChangeState<Calendar>>),
    Combination(Box<ChangeState<Combined>>),
    Distribution(Box<DistributionState>),
    Embedding(Box<EmbeddingState>),
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
            Self::Ema(state) => state.small(),
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
            Self::Calendar(state) => state.observe(value, at),
            Self::Combination(state) => state.observe(value, at),
            Self::Distribution(state) => state.observe(value, at),
            Self::Embedding(state) => state.observe_missing(),
            Self::Latency(state) => state.observe(value),
            Self::Quality(state) => state.observe(value),
        }
    }

    /// Gives it random numbers of its own, before the first value.
    pub fn reseed(&mut self, seed: u64) {
        match self {
            Self::Change(state) => state.reseed(seed),
            Self::Combination(state) => state.reseed(seed),
            _ => {}
        }
    }

    /// Is true when its run length between false alarms is a share of the plan's budget.
    pub fn is_budgeted(&self) -> bool {
        match self {
            Self::Change(state) => state.is_budgeted(),
            Self::Combination(state) => state.is_budgeted(),
            Self::Distribution(state) => state.is_budgeted(),
            Self::Embedding(state) => state.is_budgeted(),
            _ => false,
        }
    }

    /// Takes its share of the model's budget.
    pub fn share(&mut self, share: Shared) {
        match self {
            Self::Change(state) => state.share(share),
            Self::Combination(state) => state.share(share),
            Self::Distribution(state) => state.share(share),
            Self::Embedding(state) => state.share(share),
            _ => {}
        }
    }

    /// Measures the rate of values, which its share of the budget is for, from the next one on.
    pub fn measure_afresh(&mut self) {
        match self {
            Self::Change(state) => state.measure_afresh(),
            Self::Combination(state) => state.measure_afresh(),
            Self::Distribution(state) => state.measure_afresh(),
            Self::Embedding(state) => state.measure_afresh(),
            _ => {}
        }
    }

    /// Takes one vector; most checks of numbers make nothing of it.
    pub fn observe_vector(&mut self, vector: &[f32], at: Timestamp) -> Verdict {
        match self {
            Self::Embedding(state) => state.observe(vector, at),
            Self::Quality(state) => state.observe_vector(),
            _ => Verdict::level(AlertCondition::Hold),
        }
    }

    /// The version whose reference it waits for, when it is time to ask.
    #[inline]
    pub fn asks_for(&self) -> Option<&Version> {
        match self {
            Self::Distribution(state) => state.asks_for(),
            _ => None,
        }
    }

    /// The reference that other versions may copy.
    pub fn lends(&self) -> Option<&Histogram> {
        match self {
            Self::Distribution(state) => state.lends(),
            _ => None,
        }
    }

    /// Takes another version's reference.
    pub fn borrows(&mut self, reference: Histogram) {
        if let Self::Distribution(state) = self {
            state.borrows(reference);
        }
    }

    /// What the last verdict rests on.
    pub fn signal(&self) -> Signal {
        match self {
            Self::Score(state) => state.signal(),
            Self::Ema(state) => state.signal(),
            Self::Change(state) => state.signal(),
            Self::Calendar(state) => state.signal(),
            Self::Combination(state) => state.signal(),
            Self::Distribution(state) => state.signal(),
            Self::Embedding(state) => state.signal(),
            Self::Latency(state) => state.signal(),
            Self::Quality(state) => state.signal(),
        }
    }

    /// What the last drift of a combination rests on, for a person.
    pub fn grounds(&self) -> Option<String> {
        match self {
            Self::Combination(state) => Some(state.detector().grounds(&state.signal())),
            _ => None,
        }
    }

    /// Named figures for a person who asks.
    pub fn figures(&self, out: &mut Vec<(&'static str, f64)>) {
        match self {
            Self::Score(state) => state.figures(out),
            Self::Ema(state) => state.figures(out),
            Self::Change(state) => state.figures(out),
            Self::Calendar(state) => state.figures(out),
            Self::Combination(state) => {
                state.figures(out);
                state.detector().figures(out);
            }
            Self::Distribution(state) => state.figures(out),
            Self::Embedding(state) => state.figures(out),
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
            Self::Calendar(state) => state.write(out),
            Self::Combination(state) => state.write(out),
            Self::Distribution(state) => state.write(out),
            Self::Embedding(state) => state.write(out),
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
            Self::Calendar(state) => state.read(bytes),
            Self::Combination(state) => state.read(bytes),
            Self::Distribution(state) => state.read(bytes),
            Self::Embedding(state) => state.read(bytes),
            Self::Latency(state) => state.read(bytes),
            Self::Quality(state) => state.read(bytes),
        }
    }
}
