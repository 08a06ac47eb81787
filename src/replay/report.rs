//! What a run found: the report, in the form that is written as JSON.

use std::sync::Arc;

use serde::Serialize;
use visu_tility_core::{EventPolicy, MetricKind, ModelId, Severity, Timestamp, Version};
use visu_tility_drift::{Direction, Level};

use crate::replay::bad_lines::{BadLine, BadLines};
use crate::replay::over_budget::OverBudget;
use crate::replay::plot::Plot;
use crate::replay::score::Score;
use crate::replay::unseen::Unseen;

/// What a run found.
///
/// The fields that are serialised, and their names, are a promise to those who read the JSON; what is only
/// drawn is not serialised.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Accepted events, those that rules did not see included.
    pub events: u64,
    /// Lines that could not be used; a file that breaks off counts as one, an empty one does not.
    pub rejected: u64,
    /// Accepted events whose value was due but missing.
    pub missing: u64,
    /// Accepted events that rules saw late or not at all, all models together.
    pub unseen: Unseen,
    /// The first lines that could not be used.
    pub bad_lines: Vec<BadLine>,
    /// What arrived, in the order of the models' names.
    pub models: Vec<ModelReport>,
    /// Every warning and drift, in the order of events.
    pub alarms: Vec<AlarmReport>,
    /// Every alert that fired, in the order of firing.
    pub alerts: Vec<AlertReport>,
    /// Every retrain that was asked for, in the order of events.
    pub retrains: Vec<RetrainReport>,
    /// The rules that made more alarms than the budget allows, by model and rule; in the replay of a calibration, which has
    /// a list of its own, empty.
    pub over_budget: Vec<OverBudget>,
    /// How the alarms did, where labels were given.
    pub score: Option<Score>,
    /// The lines that could not be used, counted by class.
    #[serde(skip)]
    pub bad: BadLines,
    /// Records beyond the limit of what is listed; they are counted by model and observer.
    #[serde(skip)]
    pub unlisted: u64,
    /// The files, as they were named.
    #[serde(skip)]
    pub files: Vec<String>,
    /// The plan, one line for each observer.
    #[serde(skip)]
    pub plan: String,
    /// The plan's `[events]`.
    #[serde(skip)]
    pub policy: EventPolicy,
}

/// What arrived of one model, and what was made of it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ModelReport {
    /// The model.
    pub model_id: ModelId,
    /// Accepted events, those that rules did not see included.
    pub events: u64,
    /// Of them, values that were due but missing.
    pub missing: u64,
    /// Of them, those that rules saw late or not at all.
    pub unseen: Unseen,
    /// Its versions, in the order of arrival.
    pub versions: Vec<Version>,
    /// Its kinds, each version by itself.
    pub kinds: Vec<KindReport>,
    /// The observers that watch it, silent ones included.
    pub observers: Vec<ObserverReport>,
    /// How many alarms the budget allows each of its rules in the time that was replayed.
    #[serde(skip)]
    pub(crate) allowed: Vec<(Arc<str>, f64)>,
    /// Predictions: events of its most frequent kind.
    #[serde(skip)]
    pub length: u64,
}

impl ModelReport {
    /// Warnings and drifts of all observers.
    pub fn alarms(&self) -> u64 {
        self.observers.iter().map(|observer| observer.alarms).sum()
    }

    /// Drifts of all observers.
    pub fn drifts(&self) -> u64 {
        self.observers.iter().map(|observer| observer.alarms - observer.warnings).sum()
    }
}

/// What arrived of one version and kind.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KindReport {
    /// What was measured.
    pub kind: MetricKind,
    /// The version.
    pub version: Version,
    /// Accepted events, missing values included.
    pub events: u64,
    /// Earliest time.
    pub first_ts: Timestamp,
    /// Latest time.
    pub last_ts: Timestamp,
    /// Newest value.
    pub last: Option<f64>,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Mean of the values.
    pub mean: Option<f64>,
    /// Which observers watch it.
    #[serde(skip)]
    pub watched_by: Vec<Arc<str>>,
    /// Limits that values themselves are held against, and whose they are.
    #[serde(skip)]
    pub thresholds: Vec<(Arc<str>, f64)>,
    /// How it went.
    #[serde(skip)]
    pub plot: Option<Box<Plot>>,
}

/// What one observer said of one model.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ObserverReport {
    /// The observer.
    pub observer: Arc<str>,
    /// Warnings and drifts.
    pub alarms: u64,
    /// Warnings among them.
    pub warnings: u64,
    /// Alerts that fired.
    pub alerts: u64,
    /// Retrains that were asked for.
    pub retrains: u64,
}

/// One warning or drift.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AlarmReport {
    /// The model.
    pub model_id: ModelId,
    /// The version; null when the model as a whole is meant.
    pub version: Option<Version>,
    /// The kind; null when the model as a whole is meant.
    pub kind: Option<MetricKind>,
    /// Who said it.
    pub observer: Arc<str>,
    /// Accepted events of the run before the one that led to it; when a timer did, the index of the last
    /// event before it.
    pub index: u64,
    /// The same among the events of that model and kind; where `kind` is null, among its predictions.
    pub model_index: u64,
    /// Event time.
    pub ts: Timestamp,
    /// `warning` or `drift`.
    pub level: Level,
    /// What was asked for: `none`, `alert` or `retrain`.
    pub action: &'static str,
    /// What the observer computed.
    pub statistic: f64,
    /// What it held that against.
    pub threshold: f64,
    /// Which way the series went.
    #[serde(skip)]
    pub direction: Direction,
    /// Which prediction of the model it is, from 0: what labels count.
    #[serde(skip)]
    pub position: u64,
    /// Places it among those of the same event.
    #[serde(skip)]
    pub(crate) ordinal: u32,
}

/// One alert and its life.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct AlertReport {
    /// The model.
    pub model_id: ModelId,
    /// The version; null when the model as a whole is meant.
    pub version: Option<Version>,
    /// The kind; null when the model as a whole is meant.
    pub kind: Option<MetricKind>,
    /// Whose alert it is.
    pub observer: Arc<str>,
    /// When the condition was first seen.
    pub started: Timestamp,
    /// When it fired.
    pub fired: Timestamp,
    /// When it was over; null when it still fires at the end.
    pub resolved: Option<Timestamp>,
    /// How much it matters.
    pub severity: Severity,
    /// What it is about.
    pub summary: String,
    /// Collapses repeats of it.
    pub dedup_key: String,
    /// Index of the event at which it fired.
    #[serde(skip)]
    pub index: u64,
    /// Which prediction of the model that was.
    #[serde(skip)]
    pub position: u64,
    /// Which prediction of the model it was resolved at.
    #[serde(skip)]
    pub resolved_position: Option<u64>,
}

/// One retrain that was asked for.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RetrainReport {
    /// The model.
    pub model_id: ModelId,
    /// The version; null when the model as a whole is meant.
    pub version: Option<Version>,
    /// The kind; null when the model as a whole is meant.
    pub kind: Option<MetricKind>,
    /// Who asks.
    pub observer: Arc<str>,
    /// Index of the event that led to it.
    pub index: u64,
    /// The same among the events of that model and kind.
    pub model_index: u64,
    /// Event time.
    pub ts: Timestamp,
    /// Why.
    pub reason: String,
    /// Larger is sooner.
    pub priority: i32,
}

impl Report {
    /// Writes the report as JSON.
    ///
    /// # Errors
    ///
    /// Fails when `out` does.
    pub fn write_json(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        out.write_all(b"\n")
    }

    /// The models with the most alarms first, those with equally many by name.
    pub fn worst_first(&self) -> Vec<&ModelReport> {
        let mut models: Vec<&ModelReport> = self.models.iter().collect();
        models.sort_by_key(|model| std::cmp::Reverse((model.drifts(), model.alarms())));
        models
    }

    /// Is true when there was a warning, a drift or an alert.
    pub fn has_alarms(&self) -> bool {
        self.models.iter().any(|model| model.observers.iter().any(|o| o.alarms > 0 || o.alerts > 0))
    }
}
