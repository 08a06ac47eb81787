//! The uninterrupted run: what the journal's entries make of the models, one after the other, with the core alone.
//!
//! It knows no actor, no store, no snapshot and no restart of a model, so that whatever those do wrong is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use visu_tility_core::journal::{EntryValue, Turn};
use visu_tility_core::store::{MemoryDisk, OutboxQuery, Store, StoreLimits, StoredLetter, StoredPhase};
use visu_tility_core::{
    ActionRecord, Admission, MetricKind, ModelId, ModelMonitor, MonitorPlan, ObserverAction, Reading,
    SeriesKey, Timestamp, Version,
};

use crate::record::{Entry, Record, name_of};
use crate::script::Setting;

/// What a letter is known by.
type Letter = (u64, String, String);

/// What an uninterrupted run comes to.
pub(crate) struct Oracle<'a> {
    plans: BTreeMap<u64, Arc<MonitorPlan>>,
    plan: Arc<MonitorPlan>,
    models: BTreeMap<ModelId, (ModelMonitor, StoredPhase)>,
    letters: BTreeSet<Letter>,
    /// Letters of no event, by model and observer.
    ticks: BTreeMap<(String, String), u64>,
    /// Models that were reset or retired.
    renewed: BTreeSet<ModelId>,
    quarantine: bool,
    actions: Vec<ActionRecord>,
    record: &'a mut Record,
}

/// A plan's fingerprint, as the store's log of plans has it.
fn fingerprint(plan: &MonitorPlan) -> u64 {
    visu_tility_core::store::checksum(plan.to_toml().as_bytes()).max(1)
}

impl<'a> Oracle<'a> {
    /// Follows the journal of a record; of the plans that may be in force the first one is it at the start.
    pub(crate) fn follow(setting: &Setting, record: &'a mut Record) -> Self {
        let plans = &setting.plans;
        let known = plans.iter().map(|plan| (fingerprint(plan), Arc::clone(plan))).collect();
        let journal = std::mem::take(&mut record.journal);
        let mut oracle = Self {
            plans: known,
            plan: Arc::clone(&plans[0]),
            models: BTreeMap::new(),
            letters: BTreeSet::new(),
            ticks: BTreeMap::new(),
            renewed: BTreeSet::new(),
            quarantine: setting.wide.quarantine,
            actions: Vec::new(),
            record,
        };
        for (offset, entry) in &journal {
            oracle.take(*offset, entry);
        }
        oracle.record.journal = journal;
        oracle
    }

    fn take(&mut self, offset: u64, entry: &Entry) {
        match entry {
            Entry::Event { model, version, kind, at, value } => {
                self.observe(offset, model, (version, kind), *at, value);
            }
            Entry::Tick { model, now } => {
                let now = *now;
                let (monitor, phase) = known(&mut self.models, model, &self.plan);
                let out = &mut self.actions;
                if *phase == StoredPhase::Running
                    && catch_unwind(AssertUnwindSafe(|| monitor.tick(now, out))).is_err()
                {
                    let lost = mend(monitor, out);
                    self.mourn(offset, model, lost);
                }
            }
            Entry::Turn { model, turn } => self.turn(model, *turn),
            // It stands for nothing.
            Entry::Plan(0) => {}
            Entry::Plan(same) if *same == fingerprint(&self.plan) => {}
            Entry::Plan(fingerprint) => {
                let Some(plan) = self.plans.get(fingerprint).cloned() else {
                    return self.record.problem(format!("no plan has the fingerprint {fingerprint:016x}"));
                };
                for (monitor, _) in self.models.values_mut() {
                    monitor.reload(Arc::clone(&plan), &mut self.actions);
                }
                self.plan = plan;
            }
        }
    }

    fn turn(&mut self, model: &ModelId, turn: Turn) {
        let (plan, actions) = (&self.plan, &mut self.actions);
        match turn {
            Turn::Pause => {
                let phase = &mut known(&mut self.models, model, plan).1;
                if *phase == StoredPhase::Running {
                    *phase = StoredPhase::Paused;
                }
            }
            Turn::Resume => {
                let phase = &mut known(&mut self.models, model, plan).1;
                if *phase == StoredPhase::Paused {
                    *phase = StoredPhase::Running;
                }
            }
            Turn::Reset => {
                self.renewed.insert(model.clone());
                if let Some((monitor, phase)) = self.models.get_mut(model) {
                    monitor.reset(actions);
                    *phase = StoredPhase::Running;
                }
            }
            Turn::Retire => {
                self.renewed.insert(model.clone());
                if let Some((mut monitor, _)) = self.models.remove(model) {
                    monitor.reset(actions);
                }
            }
            other => self.record.problem(format!("nobody asked for {other:?}")),
        }
    }

    fn observe(
        &mut self,
        offset: u64,
        model: &ModelId,
        (version, kind): (&Version, &MetricKind),
        at: Timestamp,
        value: &EntryValue,
    ) {
        let (monitor, phase) = known(&mut self.models, model, &self.plan);
        if *phase == StoredPhase::Paused {
            return;
        }
        if *phase == StoredPhase::Quarantined {
            self.letters.insert((offset, model.to_string(), String::new()));
            return;
        }
        let out = &mut self.actions;
        let key = SeriesKey::of(version, kind);
        let number = if let EntryValue::Number(number) = value { *number } else { f64::NAN };
        let reading = Reading { at, value: number, offset };
        let show = |monitor: &mut ModelMonitor, out: &mut Vec<ActionRecord>| match value {
            EntryValue::Vector(vector) => monitor.observe_vector(key, &reading, vector, out),
            _ => monitor.observe_reading(key, &reading, out),
        };
        let seen = catch_unwind(AssertUnwindSafe(|| match show(monitor, out) {
            Admission::UnknownSeries => {
                monitor.admit(version, kind, out).map_err(drop)?;
                Ok(show(monitor, out))
            }
            admission => Ok::<Admission, ()>(admission),
        }));
        match seen {
            Ok(Ok(Admission::TooLate) | Err(())) => {
                self.letters.insert((offset, model.to_string(), String::new()));
            }
            Ok(Ok(_)) => {}
            Err(_) => {
                let lost = mend(monitor, out);
                self.mourn(offset, model, lost);
            }
        }
    }

    /// Takes note of panics at an entry: of whose they were, and whether they were on a tick.
    fn mourn(&mut self, offset: u64, model: &ModelId, lost: Vec<(String, bool)>) {
        for (observer, on_tick) in lost {
            if on_tick {
                *self.ticks.entry((model.to_string(), observer)).or_default() += 1;
            } else {
                self.letters.insert((offset, model.to_string(), observer));
            }
        }
        // Of one that is only repeated it was decided before, or nobody knows what.
        if self.quarantine && self.record.is_saved(model, offset) {
            known(&mut self.models, model, &self.plan).1 = StoredPhase::Quarantined;
        }
    }

    /// Holds what the store has against what it should have.
    pub(crate) fn compare(&mut self, disk: &MemoryDisk) {
        let (store, _) = disk.after_kill().open(StoreLimits::default()).unwrap();
        let mut reader = store.reader().unwrap();
        let summary = reader.summary().unwrap();
        let mut problems = Vec::new();
        if summary.first_offset != summary.next_offset {
            problems.push(format!("the journal is not empty after an orderly end: {summary:?}"));
        }
        if summary.next_offset != self.record.journal.len() as u64 {
            problems.push(format!("the store ends at {}", summary.next_offset));
        }
        for (model, (monitor, phase)) in &mut self.models {
            match reader.snapshot(model).unwrap() {
                None => problems.push(format!("{model} is not there")),
                // Started afresh without what could not be read.
                Some(_) if self.record.ever_unread && self.renewed.contains(model) => {}
                Some(kept) if kept.phase != *phase => {
                    problems.push(format!("{model} is {:?}, should be {phase:?}", kept.phase));
                }
                Some(kept) if kept.state != monitor.snapshot() => {
                    problems.push(differs(monitor, &kept.state));
                }
                Some(_) => {}
            }
        }
        for row in reader.models(None, 1_000_000).unwrap() {
            if !self.models.contains_key(&row.model) {
                problems.push(format!("{} is there and should not be: {row:?}", row.model));
            }
        }
        self.record.problems_are(problems);
        self.compare_letters(&reader.dead_letters(0, 1_000_000).unwrap());
        let query = OutboxQuery { waiting: true, limit: 1_000_000, ..OutboxQuery::default() };
        let waiting = reader.outbox(&query).unwrap().into_iter().map(|stored| name_of(&stored.entry.id));
        self.compare_actions(&waiting.collect());
    }

    fn compare_letters(&mut self, stored: &[StoredLetter]) {
        let mut problems = Vec::new();
        let mut letters: Vec<Letter> = Vec::new();
        let mut ticks: BTreeMap<(String, String), u64> = BTreeMap::new();
        for StoredLetter { entry, .. } in stored {
            let (model, observer) = (entry.model.to_string(), entry.observer.clone());
            match entry.offset {
                // Nobody saw it because its model could not be read; a later process showed it.
                Some(_) if self.record.ever_unread && observer.is_empty() => {}
                Some(offset) => letters.push((offset, model, observer)),
                None => *ticks.entry((model, observer)).or_default() += 1,
            }
        }
        let there: BTreeSet<Letter> = letters.iter().cloned().collect();
        if letters.len() != there.len() {
            problems.push(format!("dead letters are there twice: {letters:?}"));
        }
        let unread = |letter: &Letter| self.record.ever_unread && letter.2.is_empty();
        let certain = |letter: &&Letter| !unread(letter) && !self.is_exempt(&letter.1);
        let missing = self.letters.difference(&there).filter(certain);
        problems.extend(missing.map(|letter| format!("no dead letter {letter:?}")));
        let surplus = there.difference(&self.letters).filter(certain);
        problems.extend(surplus.map(|letter| format!("a dead letter too many {letter:?}")));
        // One of a tick has no offset: what is repeated may tell of it again.
        for (of, wanted) in &self.ticks {
            let found = ticks.get(of).copied().unwrap_or(0);
            if found < *wanted && !self.is_exempt(&of.0) {
                problems.push(format!("{found} dead letters of ticks of {of:?}, should be {wanted}"));
            }
        }
        let surplus = ticks.keys().filter(|of| !self.ticks.contains_key(*of) && !self.is_exempt(&of.0));
        problems.extend(surplus.map(|of| format!("a dead letter of a tick of {of:?}")));
        self.record.problems_are(problems);
    }

    /// Whether a model may have been reset or retired while it could not be read: nobody knows then what it was, and what
    /// came for it before is never shown to anybody.
    fn is_exempt(&self, model: &str) -> bool {
        self.record.ever_unread && self.renewed.iter().any(|renewed| renewed.as_str() == model)
    }

    /// `waiting` are those that the next process would deliver.
    fn compare_actions(&mut self, waiting: &BTreeSet<String>) {
        let mut wanted: BTreeMap<String, (String, bool)> = BTreeMap::new();
        let mut problems = Vec::new();
        for action in &self.actions {
            if matches!(action.action, ObserverAction::NoOp) {
                continue;
            }
            let alert = matches!(action.action, ObserverAction::Alert(_));
            let body = serde_json::to_string(action).unwrap();
            if let Some((before, _)) = wanted.insert(name_of(&action.id), (body, alert)) {
                problems.push(format!("two actions have the same name: {before}, {action:?}"));
            }
        }
        let exempt = |name: &str| name.split(' ').next().is_some_and(|model| self.is_exempt(model));
        for (name, (body, alert)) in wanted.iter().filter(|(name, _)| !exempt(name)) {
            match self.record.posted.get(name) {
                None if self.record.doubtful.get(name) == Some(body) => {}
                None => problems.push(format!("{name} was never recorded: {body}")),
                Some((_, text)) if text != body => {
                    problems.push(format!("{name} is {text}, should be {body}"));
                }
                Some(_) if *alert && !self.record.delivered.contains_key(name) && !waiting.contains(name) => {
                    problems.push(format!("{name} was never delivered"));
                }
                Some(_) => {}
            }
        }
        let surplus =
            self.record.posted.iter().filter(|(name, _)| !wanted.contains_key(*name) && !exempt(name));
        problems.extend(surplus.map(|(name, (_, body))| format!("{name} should not be: {body}")));
        self.record.problems_are(problems);
    }

    /// Models that should have been told that it is `now`, and were not.
    pub(crate) fn check_time(&mut self, disk: &MemoryDisk, now: Timestamp) {
        let late = self.models.iter().filter_map(|(model, (monitor, phase))| {
            // Of one that nobody knows the state of only the store says when it is due.
            let running = *phase == StoredPhase::Running && !self.is_exempt(model.as_str());
            let due = monitor.next_deadline().filter(|due| *due < now && running)?;
            Some(format!("{model} has waited since {due} and it is {now}"))
        });
        let mut late: Vec<String> = late.collect();
        let (store, _) = disk.after_kill().open(StoreLimits::default()).unwrap();
        let due = store.reader().unwrap().due(now, None, 1_000).unwrap();
        late.extend(
            due.iter().map(|row| format!("{} is kept as due at {:?}, it is {now}", row.model, row.due)),
        );
        self.record.problems_are(late);
    }

    pub(crate) fn actions(&self) -> usize {
        self.actions.len()
    }

    pub(crate) fn letters(&self) -> usize {
        self.letters.len()
    }
}

fn known<'a>(
    models: &'a mut BTreeMap<ModelId, (ModelMonitor, StoredPhase)>,
    model: &ModelId,
    plan: &Arc<MonitorPlan>,
) -> &'a mut (ModelMonitor, StoredPhase) {
    models
        .entry(model.clone())
        .or_insert_with(|| (ModelMonitor::new(model.clone(), Arc::clone(plan)), StoredPhase::Running))
}

/// Puts back the observers that panicked; answers which, and whether on a tick.
fn mend(monitor: &mut ModelMonitor, out: &mut Vec<ActionRecord>) -> Vec<(String, bool)> {
    let mut lost = Vec::new();
    while let Some(casualty) = monitor.recover() {
        lost.push((casualty.observer.to_string(), casualty.on_tick));
        if catch_unwind(AssertUnwindSafe(|| monitor.resume(out))).is_ok() {
            break;
        }
    }
    lost
}

fn differs(monitor: &mut ModelMonitor, kept: &[u8]) -> String {
    let (model, plan) = (monitor.model_id().clone(), Arc::clone(monitor.plan()));
    let bytes = monitor.snapshot();
    let at = bytes
        .iter()
        .zip(kept)
        .position(|(wanted, found)| wanted != found)
        .unwrap_or(bytes.len().min(kept.len()));
    let part = |bytes: &[u8]| {
        format!(
            "{:02x?}",
            bytes.get(at.saturating_sub(16)..).unwrap_or_default().iter().take(48).collect::<Vec<_>>()
        )
    };
    let sizes = format!(
        "{} bytes for {}, first at {at}: {} for {}",
        kept.len(),
        bytes.len(),
        part(kept),
        part(&bytes)
    );
    let wanted = monitor.status();
    let found = ModelMonitor::restore(model.clone(), plan, kept).map(|mut kept| kept.status());
    format!(
        "{model} has another state than it should ({sizes}):\n    found  {found:?}\n    wanted {wanted:?}"
    )
}
