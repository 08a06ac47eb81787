//! What the records of a run come to: alarms, the lives of alerts, retrain requests.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use visu_tility_core::{ActionRecord, AlertPhase, ModelId, ObserverAction};
use visu_tility_drift::Level;

use crate::replay::collect::Place;
use crate::replay::report::{AlarmReport, AlertReport, ObserverReport, RetrainReport};

/// The most alarms, alerts and retrains, each, that are listed; further ones are counted.
const LISTED_MAX: usize = 1_000_000;

/// The records of a run, sorted into lists.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) alarms: Vec<AlarmReport>,
    pub(crate) alerts: Vec<AlertReport>,
    pub(crate) retrains: Vec<RetrainReport>,
    /// Counts by model and observer.
    pub(crate) counts: BTreeMap<(ModelId, Arc<str>), ObserverReport>,
    pub(crate) unlisted: u64,
    /// Alerts that are out, by their key: a place in `alerts`.
    open: HashMap<String, usize>,
}

impl Records {
    /// Takes a record that stands at `place`.
    pub(crate) fn add(&mut self, record: &ActionRecord, place: Place) {
        let observer = &record.id.observer;
        let count = self
            .counts
            .entry((record.id.model_id.clone(), observer.clone()))
            .or_insert_with(|| ObserverReport::silent(observer.clone()));
        if record.is_alarm() {
            count.alarms += 1;
            count.warnings += u64::from(record.level == Level::Warning);
        }
        match &record.action {
            ObserverAction::Alert(alert) if alert.phase == AlertPhase::Firing => count.alerts += 1,
            ObserverAction::Retrain(_) => count.retrains += 1,
            _ => {}
        }
        if record.is_alarm() && self.has_room(self.alarms.len()) {
            self.alarms.push(alarm(record, place));
        }
        match &record.action {
            ObserverAction::Alert(alert) if alert.phase == AlertPhase::Resolved => {
                let fired = self.open.remove(&alert.dedup_key).and_then(|at| self.alerts.get_mut(at));
                if let Some(fired) = fired {
                    fired.resolved = Some(record.at);
                    fired.resolved_position = Some(place.position);
                }
            }
            ObserverAction::Alert(alert) if self.has_room(self.alerts.len()) => {
                self.open.insert(alert.dedup_key.clone(), self.alerts.len());
                self.alerts.push(AlertReport {
                    model_id: record.id.model_id.clone(),
                    version: record.version.clone(),
                    kind: record.kind.clone(),
                    observer: observer.clone(),
                    started: alert.started,
                    fired: record.at,
                    resolved: None,
                    severity: alert.severity,
                    summary: alert.summary.clone(),
                    dedup_key: alert.dedup_key.clone(),
                    index: place.index,
                    position: place.position,
                    resolved_position: None,
                });
            }
            ObserverAction::Retrain(request) if self.has_room(self.retrains.len()) => {
                self.retrains.push(RetrainReport {
                    model_id: record.id.model_id.clone(),
                    version: record.version.clone(),
                    kind: record.kind.clone(),
                    observer: observer.clone(),
                    index: place.index,
                    model_index: place.model_index,
                    ts: record.at,
                    reason: request.reason.clone(),
                    priority: request.priority,
                });
            }
            _ => {}
        }
    }

    /// Puts the lists into the order of events, whatever shard the records came from.
    pub(crate) fn sort(&mut self) {
        self.open.clear();
        self.alarms.sort_by(|a, b| {
            (a.index, &a.model_id, &a.observer, a.ordinal).cmp(&(
                b.index,
                &b.model_id,
                &b.observer,
                b.ordinal,
            ))
        });
        self.alerts.sort_by(|a, b| {
            (a.index, a.fired, &a.model_id, &a.observer, &a.dedup_key).cmp(&(
                b.index,
                b.fired,
                &b.model_id,
                &b.observer,
                &b.dedup_key,
            ))
        });
        self.retrains.sort_by(|a, b| {
            (a.index, a.ts, &a.model_id, &a.observer).cmp(&(b.index, b.ts, &b.model_id, &b.observer))
        });
    }

    /// Whether a list of this length may grow; counts what it may not take.
    fn has_room(&mut self, length: usize) -> bool {
        let room = length < LISTED_MAX;
        self.unlisted += u64::from(!room);
        room
    }
}

impl ObserverReport {
    /// The report of an observer that said nothing.
    pub(crate) fn silent(observer: Arc<str>) -> Self {
        Self { observer, alarms: 0, warnings: 0, alerts: 0, retrains: 0 }
    }
}

fn alarm(record: &ActionRecord, place: Place) -> AlarmReport {
    AlarmReport {
        model_id: record.id.model_id.clone(),
        version: record.version.clone(),
        kind: record.kind.clone(),
        observer: record.id.observer.clone(),
        index: place.index,
        model_index: place.model_index,
        ts: record.at,
        level: record.level,
        action: record.action.as_str(),
        statistic: record.statistic,
        threshold: record.threshold,
        direction: record.direction,
        position: place.position,
        ordinal: record.id.ordinal,
    }
}
