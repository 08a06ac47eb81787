//! What rules saw late or not at all: the monitors count it, and are asked when a run is over.

use serde::Serialize;
use visu_tility_actors::{ControlError, DeadLetter, DeadReason, ModelStatus, MonitoringHandle};
use visu_tility_core::{EventOrder, EventPolicy, ModelId};

use crate::replay::figures::{counted, span};

/// Accepted events that rules saw late or not at all, by the plan's `[events]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unseen {
    /// Seen, though older than the newest event of their series.
    pub late: u64,
    /// Not seen: older than the newest event of their series by more than `lateness_max`.
    pub too_late: u64,
    /// Not seen: repeats, with `order = "strict"`.
    pub repeated: u64,
    /// Not seen: their model refused them, as with one series more than `series_max`.
    pub refused: u64,
    /// Versions whose state was dropped for newer ones, by `versions_max`.
    pub versions_evicted: u64,
    /// Why events were refused; empty when none were.
    #[serde(skip)]
    pub refused_because: String,
}

/// A model that may have something to tell.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) model: ModelId,
    /// Accepted events.
    pub(crate) events: u64,
    /// Versions and kinds that arrived.
    pub(crate) series: u64,
    /// Whether some of its events were not newer than all before them in their series.
    pub(crate) disordered: bool,
}

impl Unseen {
    /// Events that no rule saw.
    pub fn not_seen(&self) -> u64 {
        self.too_late + self.repeated + self.refused
    }

    /// Adds the counts of a further model; of the reasons the first one stays.
    pub(crate) fn add(&mut self, other: &Self) {
        self.late += other.late;
        self.too_late += other.too_late;
        self.repeated += other.repeated;
        self.refused += other.refused;
        self.versions_evicted += other.versions_evicted;
        if self.refused_because.is_empty() {
            self.refused_because.clone_from(&other.refused_because);
        }
    }

    /// Asks the models, one after the other so that memory does not grow with their series; those that
    /// cannot have anything to tell are not asked.
    pub(crate) async fn ask(
        handle: &MonitoringHandle,
        policy: &EventPolicy,
        models: &[Asked],
    ) -> Result<Vec<Self>, ControlError> {
        let fleet = handle.status().await?;
        // Whether anything but its time kept an event from being seen.
        let refused = fleet.dead_letters > fleet.shards.iter().map(|shard| shard.too_late).sum();
        let letters = handle.dead_letters();
        let mut all = Vec::with_capacity(models.len());
        for asked in models {
            let evicts = asked.series > u64::from(policy.versions_max);
            let told = if refused || asked.disordered || evicts {
                match handle.model_status(asked.model.as_str()).await {
                    Ok(status) => Self::of(&status, asked.events, policy, &letters),
                    Err(ControlError::UnknownModel(_)) => Self::default(),
                    Err(error) => return Err(error),
                }
            } else {
                Self::default()
            };
            all.push(told);
        }
        Ok(all)
    }

    /// What one model tells, of which so many events were accepted.
    fn of(status: &ModelStatus, accepted: u64, policy: &EventPolicy, letters: &[DeadLetter]) -> Self {
        let Some(monitor) = &status.monitor else {
            let refused = status.dead_letters.min(accepted);
            let because = reason(status, letters);
            return Self { refused, refused_because: because, ..Self::default() };
        };
        let seen = monitor.taken + monitor.too_late + monitor.repeated;
        // A model that started afresh after a panic has counted less than was accepted.
        let buried = status.dead_letters.saturating_sub(monitor.too_late);
        let refused = accepted.saturating_sub(seen).min(buried);
        let because = match refused {
            0 => String::new(),
            // Told from the model itself where possible: which dead letters are kept depends on the threads.
            _ if monitor.series.len() >= policy.series_max as usize => {
                format!("more versions and kinds than series_max {}", policy.series_max)
            }
            _ => reason(status, letters),
        };
        Self {
            late: monitor.late,
            too_late: monitor.too_late,
            repeated: monitor.repeated,
            refused,
            versions_evicted: monitor.versions_evicted,
            refused_because: because,
        }
    }

    /// Says what there is to say, one sentence each.
    pub(crate) fn told(&self, policy: &EventPolicy) -> Vec<String> {
        const SEE: &str = "see [events] in the plan";
        let Self { late, too_late, repeated, refused, versions_evicted, refused_because } = self;
        let was = |n: u64| if n == 1 { "was" } else { "were" };
        let mut told = Vec::new();
        if *too_late > 0 {
            let max = span(policy.lateness_max);
            let (events, was) = (counted(*too_late, "event"), was(*too_late));
            told.push(format!(
                "{events} came too late and {was} not seen by rules (lateness_max {max}); {SEE}"
            ));
        }
        if *repeated > 0 {
            let order = if policy.order == EventOrder::Strict { "strict" } else { "arrival" };
            let (events, was) = (counted(*repeated, "event"), was(*repeated));
            told.push(format!("{events} came again and {was} not seen by rules (order {order}); {SEE}"));
        }
        if *refused > 0 {
            let (events, was) = (counted(*refused, "event"), was(*refused));
            let because =
                if refused_because.is_empty() { String::new() } else { format!(" ({refused_because})") };
            told.push(format!("{events} {was} refused and not seen by rules{because}; {SEE}"));
        }
        if *late > 0 {
            let (events, was) = (counted(*late, "event"), was(*late));
            told.push(format!("{events} came late and {was} seen in the order of arrival"));
        }
        if *versions_evicted > 0 {
            let (versions, max) = (counted(*versions_evicted, "version"), policy.versions_max);
            told.push(format!("{versions} gave way to newer ones (versions_max {max}); {SEE}"));
        }
        told
    }
}

/// Why the newest dead letter of a model, of those that were not too late, is one.
fn reason(status: &ModelStatus, letters: &[DeadLetter]) -> String {
    let mine = letters.iter().rev().filter(|letter| letter.model_id == status.model_id);
    let mut reasons = mine.map(|letter| &letter.reason).filter(|reason| **reason != DeadReason::TooLate);
    match reasons.next() {
        Some(DeadReason::Refused { reason }) => reason.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}
