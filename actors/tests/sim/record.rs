//! What is known of a run from outside: what was tried, acknowledged, committed and delivered, over all its processes.

use std::collections::{BTreeMap, BTreeSet};

use visu_tility_core::journal::{EntryValue, JournalEntry, JournalNames};
use visu_tility_core::store::{
    Commit, Committed, JournalPiece, MemoryDisk, OutboxQuery, Posted, Store, StoreLimits,
};
use visu_tility_core::{ActionId, MetricEvent, MetricKind, ModelId, Timestamp, Version};

use crate::script::Turn;

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    Event { model: ModelId, version: Version, kind: MetricKind, at: Timestamp, value: EntryValue },
    Tick { model: ModelId, now: Timestamp },
    Turn { model: ModelId, turn: visu_tility_core::journal::Turn },
    Plan(u64),
}

impl Entry {
    /// What an event is known by, whatever time it was given.
    fn key(&self) -> Option<String> {
        let Self::Event { model, version, kind, value, .. } = self else { return None };
        Some(format!("{model} {version} {kind:?} {value:?}"))
    }
}

/// What an event is known by in the journal.
pub(crate) fn key_of(event: &MetricEvent) -> String {
    let value = match (event.shared_vector(), event.value()) {
        (Some(vector), _) => EntryValue::Vector(vector.clone()),
        (None, Some(value)) => EntryValue::Number(value),
        (None, None) => EntryValue::Missing,
    };
    format!("{} {} {:?} {value:?}", event.model_id(), event.version(), event.kind())
}

/// An event of which the publisher was told that it is durable.
pub(crate) struct Acked {
    pub(crate) key: String,
    pub(crate) ts: Option<Timestamp>,
    /// Where, when that was told.
    pub(crate) offset: Option<u64>,
}

/// All of it.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) tried: BTreeMap<String, u64>,
    pub(crate) acked: Vec<Acked>,
    pub(crate) acked_turns: BTreeMap<(String, Turn), u64>,
    pub(crate) journal: BTreeMap<u64, Entry>,
    /// Of the pieces that were committed.
    names: JournalNames,
    /// The outbox: every action that was ever there, its number and its text.
    pub(crate) posted: BTreeMap<String, (u64, String)>,
    /// Actions that were found after a crash and are there no more: lost with the power, or done with and let go.
    pub(crate) doubtful: BTreeMap<String, String>,
    settled: BTreeSet<u64>,
    /// What was found in a store after a crash and may be gone after a loss of power, until the next commit.
    loose: Loose,
    pub(crate) delivered: BTreeMap<String, u64>,
    /// The processes, in their order.
    pub(crate) lives: Vec<Life>,
    /// Whether the present process could not read something.
    pub(crate) unread: bool,
    /// Whether any process could not.
    pub(crate) ever_unread: bool,
    pub(crate) commits: u64,
    pub(crate) crashes: u64,
    pub(crate) failures: u64,
    pub(crate) problems: Vec<String>,
    pub(crate) trace: Option<Vec<String>>,
}

/// What is known of one process.
#[derive(Default)]
pub(crate) struct Life {
    /// The first offset of which it did not only repeat what was there.
    begin: u64,
    /// For each model, the first offset that the last state it saved does not hold.
    saved: BTreeMap<ModelId, u64>,
}

/// What is not yet synced, for all that is known.
#[derive(Default)]
struct Loose {
    /// The offset after the last entry that is not loose.
    end: u64,
    posted: BTreeSet<String>,
    settled: BTreeSet<u64>,
}

/// An action's name as one text.
pub(crate) fn name_of(id: &ActionId) -> String {
    format!("{} {} {} {}", id.model_id, id.offset, id.observer, id.ordinal)
}

impl Record {
    /// Notes a line of the trace, if somebody wants one.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    pub(crate) fn problem(&mut self, what: String) {
        self.note(|| format!("PROBLEM {what}"));
        self.problems.push(what);
    }

    pub(crate) fn problems_are(&mut self, problems: Vec<String>) {
        for problem in problems {
            self.problem(problem);
        }
    }

    pub(crate) fn try_event(&mut self, event: &MetricEvent) {
        *self.tried.entry(key_of(event)).or_default() += 1;
    }

    pub(crate) fn ack(&mut self, event: &MetricEvent, offset: Option<u64>) {
        self.note(|| format!("  acknowledged {} at {offset:?}", key_of(event)));
        self.acked.push(Acked { key: key_of(event), ts: event.ts(), offset });
    }

    /// A process has begun, and repeats what is there.
    pub(crate) fn begin_process(&mut self) {
        let begin = self.journal.last_key_value().map_or(0, |(last, _)| last + 1);
        self.lives.push(Life { begin, saved: BTreeMap::new() });
        self.unread = false;
    }

    /// Whether the process that first handled an entry saved what it made of it.
    pub(crate) fn is_saved(&self, model: &ModelId, offset: u64) -> bool {
        let life = self.lives.iter().rev().find(|life| life.begin <= offset);
        life.and_then(|life| life.saved.get(model)).is_some_and(|next| *next > offset)
    }

    /// A commit is there.
    pub(crate) fn committed(&mut self, commit: &Commit, committed: &Committed) {
        self.commits += 1;
        if let Some(life) = self.lives.last_mut() {
            for change in &commit.models {
                life.saved.insert(change.model().clone(), change.next_offset());
            }
        }
        self.note(|| shown(commit));
        let mut names = std::mem::take(&mut self.names);
        for piece in &commit.journal {
            self.learn(piece, &mut names);
        }
        self.names = names;
        for (entry, posted) in commit.outbox.iter().zip(&committed.posted) {
            let (number, new) = match posted {
                Posted::New(number) => (*number, true),
                Posted::Known(number) => (*number, false),
            };
            let name = name_of(&entry.id);
            if new && self.posted.contains_key(&name) {
                self.problem(format!("{name} was posted a second time"));
            }
            self.post(&name, number, &entry.body);
        }
        self.settled.extend(commit.settled.iter().map(|settlement| settlement.number));
        self.loose = Loose { end: committed.next_offset, ..Loose::default() };
    }

    fn post(&mut self, name: &str, number: u64, body: &str) {
        let (first, text) = self.posted.entry(name.to_owned()).or_insert_with(|| (number, body.to_owned()));
        // One that could not be kept and was reset, and could not be kept again: what it was when it was reset is repeated
        // from an earlier state.
        let renewed = self.unread || self.ever_unread;
        let renewed = renewed && self.journal.values().any(|entry| is_renewal(entry, name));
        let differs = *first != number || (text != body && !renewed);
        if differs {
            let what = format!("{name} is {first}: {text}, and again {number}: {body}");
            self.problem(what);
        }
    }

    fn learn(&mut self, piece: &JournalPiece, names: &mut JournalNames) {
        let reader = match names.read(piece) {
            Ok(reader) => reader,
            Err(error) => return self.problem(format!("piece at {}: {error}", piece.first_offset)),
        };
        let names = reader.names();
        for (offset, entry) in reader.entries() {
            let entry = match entry {
                JournalEntry::Event { name, at, value } => {
                    let (version, kind) = names[name].series.clone().unwrap();
                    Entry::Event { model: names[name].model.clone(), version, kind, at, value }
                }
                JournalEntry::Tick { name, now } => Entry::Tick { model: names[name].model.clone(), now },
                JournalEntry::Turn { name, turn, .. } => {
                    Entry::Turn { model: names[name].model.clone(), turn }
                }
                JournalEntry::Plan { fingerprint, .. } => Entry::Plan(fingerprint),
            };
            self.note(|| format!("  journal {offset}: {entry:?}"));
            let before = self.journal.insert(offset, entry.clone());
            if before.as_ref().is_some_and(|before| *before != entry) {
                self.problem(format!("offset {offset} was {before:?} and is {entry:?}"));
            }
        }
    }

    /// Looks at what a process left.
    pub(crate) fn look_at(&mut self, disk: &MemoryDisk, models: &[String]) {
        self.ever_unread |= self.unread;
        let (store, _) = match disk.after_kill().open(StoreLimits::default()) {
            Ok(opened) => opened,
            Err(error) => return self.problem(format!("the store cannot be opened: {error}")),
        };
        let mut reader = store.reader().unwrap();
        let summary = reader.summary().unwrap();
        if self.loose.end > summary.next_offset {
            let end = self.loose.end;
            self.problem(format!(
                "{end} entries were committed, and the store ends at {}",
                summary.next_offset
            ));
        }
        self.journal.split_off(&summary.next_offset);
        for model in models {
            let model = ModelId::new(model).unwrap();
            let there = reader.model(&model).unwrap().map(|row| row.next_offset);
            for life in &mut self.lives {
                // Lost with the power, or one that was retired and that no replay can make again.
                if let Some(saved) = life.saved.get_mut(&model)
                    && (there.is_some() || summary.first_offset < *saved)
                {
                    *saved = (*saved).min(there.unwrap_or(0));
                }
            }
            if let (Some(life), Some(there)) = (self.lives.last_mut(), there) {
                life.saved.insert(model, there);
            }
        }
        for name in std::mem::take(&mut self.loose.posted) {
            self.doubtful.extend(self.posted.remove(&name).map(|posted| (name, posted.1)));
        }
        for number in std::mem::take(&mut self.loose.settled) {
            self.settled.remove(&number);
        }
        // Whatever was cut: what is left can be read by itself.
        let mut names = JournalNames::new();
        for piece in reader.journal(0, usize::MAX).unwrap() {
            self.learn(&piece, &mut names);
        }
        let query = OutboxQuery { limit: 1_000_000, ..OutboxQuery::default() };
        for stored in reader.outbox(&query).unwrap() {
            let name = name_of(&stored.entry.id);
            if !self.posted.contains_key(&name) {
                self.loose.posted.insert(name.clone());
            }
            self.post(&name, stored.number, &stored.entry.body);
            if stored.settled.is_some() && self.settled.insert(stored.number) {
                self.loose.settled.insert(stored.number);
            }
        }
    }

    /// A sink was given an alert.
    pub(crate) fn deliver(&mut self, id: &ActionId) {
        let name = name_of(id);
        self.note(|| format!("  delivered {name}"));
        match self.posted.get(&name) {
            None => self.problem(format!("{name} is delivered and was not recorded")),
            Some((number, _)) if self.settled.contains(number) => {
                self.problem(format!("{name} is delivered after it was settled"));
            }
            Some(_) => {}
        }
        *self.delivered.entry(name).or_default() += 1;
    }

    /// Whether what was told and what is there agree.
    pub(crate) fn check_told(&mut self) {
        let mut problems = Vec::new();
        if self.journal.keys().copied().ne(0..self.journal.len() as u64) {
            problems.push("the journal is not dense".to_owned());
        }
        let mut there: BTreeMap<String, u64> = BTreeMap::new();
        for key in self.journal.values().filter_map(Entry::key) {
            *there.entry(key).or_default() += 1;
        }
        for (key, count) in &there {
            let tried = self.tried.get(key).copied().unwrap_or(0);
            if *count > tried {
                problems.push(format!("{key} is {count} times in the journal and was tried {tried} times"));
            }
        }
        let mut told: BTreeMap<&str, u64> = BTreeMap::new();
        for Acked { key, ts, offset } in &self.acked {
            *told.entry(key).or_default() += 1;
            let Some(offset) = offset else { continue };
            let entry = self.journal.get(offset);
            let same = entry.and_then(Entry::key).as_ref() == Some(key);
            let at = matches!(entry, Some(Entry::Event { at, .. }) if ts.is_none_or(|ts| ts == *at));
            if !same || !at {
                problems.push(format!("{key} was acknowledged at {offset}, where {entry:?} is"));
            }
        }
        for (key, told) in told {
            let there = there.get(key).copied().unwrap_or(0);
            if told > there {
                problems.push(format!("{key} was acknowledged {told} times and is there {there} times"));
            }
        }
        for ((model, turn), told) in &self.acked_turns {
            let there = self.journal.values().filter(|entry| is_turn(entry, model, *turn)).count() as u64;
            if *told > there {
                problems.push(format!("{turn:?} of {model} was done {told} times, {there} are journaled"));
            }
        }
        self.problems_are(problems);
    }
}

fn is_turn(entry: &Entry, of: &str, turn: Turn) -> bool {
    use visu_tility_core::journal::Turn as Life;
    let wanted = match turn {
        Turn::Pause => Life::Pause,
        Turn::Resume => Life::Resume,
        Turn::Reset => Life::Reset,
        Turn::Retire => Life::Retire,
        Turn::Passivate => return false,
    };
    matches!(entry, Entry::Turn { model, turn } if model.as_str() == of && *turn == wanted)
}

/// Whether an entry begins the model of an action anew.
fn is_renewal(entry: &Entry, action: &str) -> bool {
    use visu_tility_core::journal::Turn as Life;
    matches!(entry, Entry::Turn { model, turn: Life::Reset | Life::Retire }
        if action.split(' ').next() == Some(model.as_str()))
}

/// A commit in a line.
fn shown(commit: &Commit) -> String {
    let models: Vec<String> =
        commit.models.iter().map(|change| format!("{}<{}", change.model(), change.next_offset())).collect();
    let posted: Vec<String> = commit.outbox.iter().map(|entry| name_of(&entry.id)).collect();
    let letters: Vec<String> =
        commit.letters.iter().map(|letter| format!("{} {:?}", letter.model, letter.offset)).collect();
    let settled: Vec<u64> = commit.settled.iter().map(|settlement| settlement.number).collect();
    let from = commit.truncate_below;
    format!(
        "  commit: {} pieces, models {models:?}, posted {posted:?}, letters {letters:?}, settled {settled:?}, journal from {from:?}",
        commit.journal.len()
    )
}
