//! Repeats the journal without interruption, and holds against it what was acknowledged, kept and recorded.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use visu_tility::monitoring::{
    ActionId, ActionRecord, MetricEvent, ModelId, ModelMonitor, MonitorPlan, ObserverAction, Version,
};
use visu_tility::store::OutboxTopic;

use super::PLAN;
use super::publisher::{Fate, Publisher, Sent, get};
use super::witness::{Entry, Witness};

/// How often a model is asked how it is before it must have handled what was repeated for it.
const ASKED_MAX: u32 = 100_000;

/// One model, repeated up to where its saved state goes.
struct Model {
    monitor: ModelMonitor,
    /// What the saved state does not hold yet.
    rest: VecDeque<(u64, Entry)>,
    saved_to: u64,
    events: u64,
    last_offset: u64,
}

pub(super) struct Oracle {
    plan: Arc<MonitorPlan>,
    pub(super) witness: Witness,
    models: BTreeMap<ModelId, Model>,
    /// What the repeated journal led to, as it is to be recorded.
    expected: BTreeMap<ActionId, String>,
    recorded: BTreeMap<ActionId, String>,
    acknowledged: u64,
    doubtful: [u64; 2],
    retrains: usize,
}

impl Oracle {
    pub(super) fn new(store: PathBuf) -> Self {
        Self {
            plan: Arc::new(MonitorPlan::from_toml(PLAN).unwrap()),
            witness: Witness::new(store),
            models: BTreeMap::new(),
            expected: BTreeMap::new(),
            recorded: BTreeMap::new(),
            acknowledged: 0,
            doubtful: [0; 2],
            retrains: 0,
        }
    }

    /// Asks the server that has just started how its models are: what was there before it was killed.
    pub(super) fn ask(&self, to: SocketAddr) {
        let mut connection = None;
        for (id, model) in &self.models {
            // What is repeated is handed over when the server says so, and shown as it is handled.
            for asked in 0.. {
                let (status, body) = get(to, &mut connection, &format!("/v1/models/{id}")).unwrap();
                let monitor = &body["monitor"];
                let told = (status, monitor["taken"].as_u64(), monitor["last_offset"].as_u64());
                if told == (200, Some(model.events), Some(model.last_offset)) {
                    break;
                }
                let expected = (model.events, model.last_offset);
                assert!(asked < ASKED_MAX, "model {id} should show {expected:?}: {body}");
                std::thread::yield_now();
            }
        }
    }

    /// While nobody publishes: looks on until no model is due any more, each that is silent for too long having been told of
    /// it.
    pub(super) fn await_silence(&mut self) {
        let mut reader = self.witness.reader();
        let again = |(id, model): (&ModelId, &mut Model)| {
            let state = model.monitor.snapshot();
            let mut monitor = ModelMonitor::restore(id.clone(), Arc::clone(&self.plan), &state).unwrap();
            for (offset, entry) in &model.rest {
                show(&mut monitor, *offset, entry);
            }
            (id.clone(), monitor)
        };
        let mut monitors: BTreeMap<ModelId, ModelMonitor> = self.models.iter_mut().map(again).collect();
        let mut shown = 0;
        loop {
            self.witness.copy(&mut *reader);
            for (offset, id, entry) in &self.witness.entries[shown..] {
                show(monitors.get_mut(id).unwrap(), *offset, entry);
            }
            shown = self.witness.entries.len();
            if monitors.values().all(|monitor| monitor.next_deadline().is_none()) {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// After the server has ended: checks everything, and says what there was.
    pub(super) fn judge(&mut self, publishers: &mut [Publisher]) -> String {
        let mut reader = self.witness.reader();
        self.witness.copy(&mut *reader);
        let entries = std::mem::take(&mut self.witness.entries);
        self.every_batch_is_there(publishers, &entries);
        for (offset, id, entry) in entries {
            let model = self.models.entry(id.clone()).or_insert_with(|| Model {
                monitor: ModelMonitor::new(id, Arc::clone(&self.plan)),
                rest: VecDeque::new(),
                saved_to: 0,
                events: 0,
                last_offset: 0,
            });
            if matches!(entry, Entry::Event { .. }) {
                (model.events, model.last_offset) = (model.events + 1, offset);
            }
            model.rest.push_back((offset, entry));
        }
        for row in reader.models(None, usize::MAX >> 1).unwrap() {
            let snapshot = reader.snapshot(&row.model).unwrap().unwrap();
            let model =
                self.models.get_mut(&row.model).unwrap_or_else(|| panic!("nobody sent {}", row.model));
            assert!(row.next_offset >= model.saved_to, "the state of {} went back", row.model);
            model.saved_to = row.next_offset;
            for record in model.repeat() {
                self.retrains += usize::from(matches!(record.action, ObserverAction::Retrain(_)));
                let body = serde_json::to_string(&record).unwrap();
                let twice = self.expected.insert(record.id, body);
                assert_eq!(twice, None, "an id names two actions");
            }
            if model.monitor.snapshot() != snapshot.state {
                let kept = ModelMonitor::restore(row.model.clone(), Arc::clone(&self.plan), &snapshot.state);
                let shown = |monitor: &mut ModelMonitor| serde_json::to_string(&monitor.status()).unwrap();
                panic!(
                    "the state of {} at offset {} is not that of an uninterrupted run:\nkept        {}\nuninterrupted {}",
                    row.model,
                    row.next_offset,
                    kept.map_or_else(|error| error.to_string(), |mut kept| shown(&mut kept)),
                    shown(&mut model.monitor)
                );
            }
        }
        for action in std::mem::take(&mut self.witness.actions) {
            let twice = self.recorded.insert(action.entry.id, action.entry.body);
            assert_eq!(twice, None, "an action is recorded twice");
        }
        self.every_action_is_recorded();
        let summary = reader.summary().unwrap();
        format!(
            "{} events acknowledged, {} batches in doubt taken and {} not, {} alerts and {} retrain requests, journal {} \
             to {}",
            self.acknowledged,
            self.doubtful[1],
            self.doubtful[0],
            self.recorded.len() - self.retrains,
            self.retrains,
            summary.first_offset,
            summary.next_offset
        )
    }

    /// What was acknowledged is in the journal where it was said to be, what was refused is not, what is in doubt is there
    /// as a whole or not at all, and nothing else is.
    fn every_batch_is_there(&mut self, publishers: &mut [Publisher], entries: &[(u64, ModelId, Entry)]) {
        let mut journal: BTreeMap<(String, i64), (u64, Sent)> = BTreeMap::new();
        for (offset, model, entry) in entries {
            let Entry::Event { kind, at, value, .. } = entry else { continue };
            let kind =
                ["Correct", "DriftScore", "Confidence", "LatencyMs"].into_iter().find(|known| known == kind);
            let at_ms = at.micros() as u64 / 1_000;
            let sent = Sent { model: model.to_string(), kind: kind.unwrap(), at_ms, value: *value };
            let twice = journal.insert((model.to_string(), at.micros()), (*offset, sent));
            assert_eq!(twice, None, "an event is in the journal twice");
        }
        for (events, fate) in publishers.iter_mut().flat_map(|publisher| publisher.batches.drain(..)) {
            let mut take = |sent: &Sent| journal.remove(&(sent.model.clone(), sent.at_ms as i64 * 1_000));
            let found: Vec<Option<(u64, Sent)>> = events.iter().map(&mut take).collect();
            let there = found.iter().flatten().count();
            let first = match (fate, found.first()) {
                (Fate::Taken(first), _) => Some(first),
                (Fate::InDoubt, Some(Some((first, _)))) => Some(*first),
                _ => None,
            };
            if fate == Fate::InDoubt {
                self.doubtful[usize::from(first.is_some())] += 1;
            } else if first.is_some() {
                self.acknowledged += events.len() as u64;
            }
            let Some(first) = first else {
                assert_eq!(there, 0, "{there} events of a batch that is {fate:?} are in the journal");
                continue;
            };
            for (offset, (sent, found)) in (first..).zip(events.into_iter().zip(found)) {
                assert_eq!(found, Some((offset, sent.clone())), "{fate:?} and not there: {sent:?}");
            }
        }
        assert!(journal.is_empty(), "nobody sent {journal:?}");
    }

    fn every_action_is_recorded(&self) {
        for (id, body) in &self.expected {
            assert_eq!(self.recorded.get(id), Some(body), "an action is not recorded as it was decided");
        }
        for (id, body) in &self.recorded {
            assert!(self.expected.contains_key(id), "recorded, and no uninterrupted run decides so: {body}");
        }
    }

    /// After an end in order: every state is saved up to the end, every alert delivered.
    pub(super) fn nothing_is_left(&self) {
        for (id, model) in &self.models {
            let rest: Vec<_> =
                model.rest.iter().filter(|(_, entry)| matches!(entry, Entry::Event { .. })).collect();
            assert!(rest.is_empty(), "the state of {id} is not saved: {rest:?}");
        }
        let query = visu_tility::store::OutboxQuery { waiting: true, limit: 100_000, ..Default::default() };
        let waiting = self.witness.reader().outbox(&query).unwrap();
        assert!(waiting.iter().all(|action| action.entry.topic == OutboxTopic::Retrain), "{waiting:?}");
        assert!(self.recorded.len() > self.retrains, "there was no alert");
        assert_eq!(self.retrains > 0, cfg!(feature = "automated_retraining"));
    }
}

impl Model {
    /// Repeats what the saved state holds; answers what is to be recorded of it.
    fn repeat(&mut self) -> Vec<ActionRecord> {
        let mut records = Vec::new();
        while let Some((offset, entry)) = self.rest.pop_front_if(|(offset, _)| *offset < self.saved_to) {
            records.extend(show(&mut self.monitor, offset, &entry));
        }
        records
            .retain(|record| matches!(record.action, ObserverAction::Alert(_) | ObserverAction::Retrain(_)));
        records
    }
}

/// Shows a monitor one entry; answers what it decides.
fn show(monitor: &mut ModelMonitor, offset: u64, entry: &Entry) -> Vec<ActionRecord> {
    match entry {
        Entry::Tick(now) => {
            let mut records = Vec::new();
            monitor.tick(*now, &mut records);
            records
        }
        Entry::Event { kind, version, at, value } => {
            let id = monitor.model_id().clone();
            let (version, kind) = (Version::new(version).unwrap(), kind.parse().unwrap());
            let event = MetricEvent::from_parts(id, version, kind, Some(*at), Some(*value)).unwrap();
            monitor.observe(&event, offset).into_iter().collect()
        }
    }
}
