//! Decisions as outbox entries, and back: what is delivered after a restart is what was decided before it.

use crate::action::{ActionRecord, ObserverAction};

use super::commit::{OutboxEntry, OutboxTopic};
use super::error::StoreError;
use super::limits::StoreLimits;

/// Characters of a summary that are kept where the whole would not fit.
const SUMMARY_MAX: usize = 4_000;

impl OutboxEntry {
    /// Builds the entry for a decision that the journal entry at `cause` led to; `None` for one that asks for nothing.
    ///
    /// The body is the record as JSON. A summary that would make it longer than [`StoreLimits::BODY_BYTES_MAX`] is cut: a
    /// store refuses the entry otherwise, and it would be refused for ever.
    ///
    /// # Examples
    ///
    /// ```
    /// use visu_tility_core::store::{OutboxEntry, OutboxTopic};
    /// use visu_tility_core::{DriftDetector, MetricEvent, MetricKind, ModelId, ModelMonitor, MonitorPlan};
    ///
    /// let plan = MonitorPlan::empty().with_observer(Box::new(DriftDetector::default()))?;
    /// let mut monitor = ModelMonitor::new(ModelId::new("fraud")?, plan.into());
    /// let event = MetricEvent::new("fraud", MetricKind::DriftScore, 0.9)?.at(visu_tility_core::Timestamp::EPOCH)?;
    /// let records = monitor.observe(&event, 41);
    /// let entry = OutboxEntry::of(&records[0], 41).ok_or("it asks for nothing")?;
    /// assert_eq!((entry.topic, entry.record()?), (OutboxTopic::Alert, records[0].clone()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(record: &ActionRecord, cause: u64) -> Option<Self> {
        let topic = OutboxTopic::of(&record.action)?;
        // Numbers, words and texts: there is nothing in it that JSON could not hold.
        let mut body = serde_json::to_string(record).unwrap_or_default();
        if body.len() > StoreLimits::BODY_BYTES_MAX {
            let mut shorter = record.clone();
            match &mut shorter.action {
                ObserverAction::Alert(alert) => cut(&mut alert.summary),
                ObserverAction::Retrain(request) => cut(&mut request.reason),
                ObserverAction::NoOp => {}
            }
            body = serde_json::to_string(&shorter).unwrap_or_default();
        }
        Some(Self { id: record.id.clone(), cause, topic, at: record.at, body })
    }

    /// Reads the decision back. A statistic or threshold that was not finite comes back as `NaN`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when the body is not one that [`OutboxEntry::of`] made.
    pub fn record(&self) -> Result<ActionRecord, StoreError> {
        let damaged = |detail: &dyn std::fmt::Display| {
            let id = &self.id;
            let what =
                format!("the action of model {} at offset {} by {}", id.model_id, id.offset, id.observer);
            StoreError::corrupt(what, &detail.to_string())
        };
        let record: ActionRecord = serde_json::from_str(&self.body).map_err(|error| damaged(&error))?;
        if record.id == self.id { Ok(record) } else { Err(damaged(&"its body is of another action")) }
    }
}

fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(SUMMARY_MAX) {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ActionId, Alert, MetricKind, ModelId, Timestamp, Version};
    use visu_tility_drift::{Direction, Level};

    fn record(action: ObserverAction) -> ActionRecord {
        let id =
            ActionId { model_id: ModelId::new("m").unwrap(), offset: 7, observer: "psi".into(), ordinal: 1 };
        ActionRecord {
            id,
            version: Some(Version::new("2").unwrap()),
            kind: Some(MetricKind::feature("ink").unwrap()),
            at: Timestamp::from_micros(1_764_000_000_000_001),
            series_index: 3,
            level: Level::Drift,
            direction: Direction::Up,
            statistic: 0.1 + 0.2,
            threshold: f64::MIN_POSITIVE,
            since: 9,
            value: Some(1e300),
            action,
        }
    }

    #[test]
    fn a_decision_comes_back_to_the_last_bit() {
        for action in [
            ObserverAction::alert(crate::Severity::Critical, "\"ink\" went up\n"),
            ObserverAction::retrain("ink"),
        ] {
            let record = record(action);
            assert_eq!(OutboxEntry::of(&record, 8).unwrap().record().unwrap(), record);
        }
        assert_eq!(OutboxEntry::of(&record(ObserverAction::NoOp), 8), None);
    }

    #[test]
    fn what_is_not_finite_comes_back_as_not_a_number() {
        let infinite = ActionRecord { statistic: f64::INFINITY, ..record(ObserverAction::retrain("x")) };
        let back = OutboxEntry::of(&infinite, 8).unwrap().record().unwrap();
        assert!(back.statistic.is_nan());
        assert_eq!(back.threshold, infinite.threshold);
    }

    #[test]
    fn a_summary_without_end_is_cut_so_that_a_store_takes_it() {
        let alert = Alert { summary: "é".repeat(StoreLimits::BODY_BYTES_MAX), ..Alert::default() };
        let entry = OutboxEntry::of(&record(ObserverAction::Alert(alert)), 8).unwrap();
        assert!(entry.body.len() < 10_000, "{}", entry.body.len());
        let ObserverAction::Alert(alert) = entry.record().unwrap().action else { panic!("an alert") };
        assert_eq!((alert.summary.chars().count(), alert.summary.ends_with("é…")), (4_001, true));
    }

    #[test]
    fn a_body_of_another_action_is_told() {
        let mut entry = OutboxEntry::of(&record(ObserverAction::retrain("x")), 8).unwrap();
        entry.id.ordinal = 2;
        let error = entry.record().unwrap_err().to_string();
        assert_eq!(
            error,
            "the action of model m at offset 7 by psi is damaged: its body is of another action"
        );
    }
}
