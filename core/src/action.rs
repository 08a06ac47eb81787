//! What observers decide: nothing, an alert, a retrain; and the record of it.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use visu_tility_drift::{Direction, Level};

use crate::alert::{AlertPhase, Severity};
use crate::id::{ModelId, Version};
use crate::kind::MetricKind;
use crate::time::Timestamp;

/// What an observer wants done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ObserverAction {
    /// Nothing.
    #[default]
    NoOp,
    /// Tell on-call.
    Alert(Alert),
    /// Have the model retrained.
    Retrain(RetrainRequest),
}

impl ObserverAction {
    /// Asks for an alert, from an observer of one's own.
    pub fn alert(severity: Severity, summary: impl Into<String>) -> Self {
        Self::Alert(Alert { severity, summary: summary.into(), ..Alert::default() })
    }

    /// Asks for a retrain, from an observer of one's own.
    pub fn retrain(reason: impl Into<String>) -> Self {
        Self::Retrain(RetrainRequest { reason: reason.into(), ..RetrainRequest::default() })
    }

    /// Names the action as it stands in reports: `none`, `alert`, `retrain`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::NoOp => "none",
            Self::Alert(_) => "alert",
            Self::Retrain(_) => "retrain",
        }
    }

    /// Is true when there is nothing to do.
    pub const fn is_noop(&self) -> bool {
        matches!(self, Self::NoOp)
    }
}

/// One message about an alert: that it fires, or that it is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Collapses repeats: 32 hexadecimal digits, stable over restarts. Filled in by the monitor.
    #[serde(default)]
    pub dedup_key: String,
    /// How much it matters.
    #[serde(default)]
    pub severity: Severity,
    /// [`AlertPhase::Firing`] or [`AlertPhase::Resolved`]. Filled in by the monitor.
    #[serde(default)]
    pub phase: AlertPhase,
    /// When the condition was first seen in this episode. Filled in by the monitor.
    #[serde(default)]
    pub started: Timestamp,
    /// One line for a person.
    pub summary: String,
}

/// One wish to have a model retrained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RetrainRequest {
    /// Why, in one line for a person.
    pub reason: String,
    /// Larger is sooner. Default 0.
    #[serde(default)]
    pub priority: i32,
    /// When the condition was first seen in this episode. Filled in by the monitor.
    #[serde(default)]
    pub since: Timestamp,
}

/// Names one decision for ever: the same events replayed give the same ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActionId {
    /// The model that it is about.
    pub model_id: ModelId,
    /// The offset of the event that led to it; of the last event before it when a timer did.
    pub offset: u64,
    /// The observer that took it.
    pub observer: Arc<str>,
    /// Counts the decisions of the model at this offset, from 0.
    pub ordinal: u32,
}

/// One decision of one observer, with what it rests on.
///
/// Besides decisions that ask for something, detections that change nothing are recorded with
/// [`ObserverAction::NoOp`]: a warning, or a further drift while the alert is out already.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionRecord {
    /// Its name, for ever.
    pub id: ActionId,
    /// The version; `None` when the observer watches the model as a whole.
    pub version: Option<Version>,
    /// The kind; `None` when the observer watches the model as a whole.
    pub kind: Option<MetricKind>,
    /// Event time of the decision.
    pub at: Timestamp,
    /// Accepted values of this version and kind before the one that led to it.
    pub series_index: u64,
    /// How sure the observer was. [`Level::Normal`] on a resolution.
    pub level: Level,
    /// Which way the series went.
    pub direction: Direction,
    /// What the observer computed.
    #[serde(deserialize_with = "number")]
    pub statistic: f64,
    /// What it held that against.
    #[serde(deserialize_with = "number")]
    pub threshold: f64,
    /// Values since the estimated change; 0 when not known.
    pub since: u64,
    /// The value that led to it; `None` when a timer did or the value was missing.
    pub value: Option<f64>,
    /// What is to be done.
    pub action: ObserverAction,
}

impl ActionRecord {
    /// Is true when the observer saw something wrong (and not that it is over).
    pub const fn is_alarm(&self) -> bool {
        !matches!(self.level, Level::Normal)
    }
}

/// Reads a number; one that is not finite stands as null in JSON, and is read as `NaN`.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    if !deserializer.is_human_readable() {
        return f64::deserialize(deserializer);
    }
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
