//! The contract as a value: what commits make of a store, without any medium.
//!
//! [`MemoryStore`](super::MemoryStore) keeps one; the conformance suite holds other stores against it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::action::ActionId;
use crate::id::ModelId;
use crate::time::Timestamp;

use super::commit::{
    Commit, Committed, JournalPiece, LetterEntry, ModelChange, OutboxEntry, Posted, Refusal, Snapshot,
    StoredPhase,
};
use super::error::StoreError;
use super::limits::StoreLimits;
use super::record::{OutboxQuery, StoreSummary, StoredAction, StoredLetter, StoredModel};

/// What a store holds.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    next_offset: u64,
    journal: BTreeMap<u64, Arc<JournalPiece>>,
    journal_bytes: u64,
    models: Models,
    due: BTreeSet<(Timestamp, ModelId)>,
    forgotten: BTreeSet<(u64, ModelId)>,
    live: u64,
    snapshot_bytes: u64,
    outbox: BTreeMap<u64, StoredAction>,
    known: BTreeMap<ActionId, u64>,
    waiting: BTreeSet<u64>,
    posted: u64,
    letters: BTreeMap<u64, StoredLetter>,
    letter_keys: BTreeSet<LetterKey>,
    letters_total: u64,
    plans: BTreeMap<u64, String>,
    values: BTreeMap<String, Vec<u8>>,
}

type LetterKey = (u64, ModelId, String);

/// Models by name: found without a walk down a tree of names, listed in the order of a tree beside it.
#[derive(Clone, Default)]
struct Models {
    kept: HashMap<ModelId, Kept>,
    names: BTreeSet<ModelId>,
}

impl Models {
    fn get(&self, model: &ModelId) -> Option<&Kept> {
        self.kept.get(model)
    }

    /// Puts what is kept of a model in the place of what was, which it answers.
    fn replace(&mut self, model: &ModelId, kept: Kept) -> Option<Kept> {
        if let Some(last) = self.kept.get_mut(model) {
            return Some(std::mem::replace(last, kept));
        }
        self.names.insert(model.clone());
        self.kept.insert(model.clone(), kept)
    }

    fn remove(&mut self, model: &ModelId) {
        self.kept.remove(model);
        self.names.remove(model);
    }

    /// Those after a name, in order.
    fn after(&self, name: Option<&ModelId>) -> impl Iterator<Item = (&ModelId, &Kept)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = name.map_or(Unbounded, Excluded);
        let names = self.names.range::<ModelId, _>((from, Unbounded));
        names.filter_map(|model| self.kept.get_key_value(model))
    }
}

impl std::fmt::Debug for Models {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.after(None)).finish()
    }
}

/// What is kept of a model.
#[derive(Clone, Debug)]
enum Kept {
    Snapshot(Arc<Snapshot>),
    /// It was retired; journal entries before the offset are not to be replayed for it.
    Forgotten(u64),
}

impl Kept {
    fn next_offset(&self) -> u64 {
        match self {
            Self::Snapshot(snapshot) => snapshot.next_offset,
            Self::Forgotten(next_offset) => *next_offset,
        }
    }

    fn row(&self, model: &ModelId) -> StoredModel {
        let next_offset = self.next_offset();
        let model = model.clone();
        match self {
            Self::Snapshot(snapshot) => StoredModel {
                model,
                next_offset,
                phase: snapshot.phase,
                due: snapshot.due,
                plan: snapshot.plan,
                form: snapshot.form,
                bytes: snapshot.state.len() as u64,
            },
            Self::Forgotten(_) => StoredModel {
                model,
                next_offset,
                phase: StoredPhase::Forgotten,
                due: None,
                plan: 0,
                form: 0,
                bytes: 0,
            },
        }
    }
}

impl State {
    /// Applies a commit, or changes nothing.
    pub(super) fn apply(&mut self, commit: &Commit, limits: &StoreLimits) -> Result<Committed, StoreError> {
        let next_offset = self.admit(commit, limits)?;
        self.next_offset = next_offset;
        self.journal_bytes += commit.journal_bytes();
        let pieces = commit.journal.iter().map(|piece| (piece.first_offset, Arc::new(piece.clone())));
        self.journal.extend(pieces);
        for plan in &commit.plans {
            self.plans.entry(plan.fingerprint).or_insert_with(|| plan.text.clone());
        }
        for change in &commit.models {
            self.change(change);
        }
        let posted = commit.outbox.iter().map(|entry| self.post(entry)).collect();
        for settlement in &commit.settled {
            if self.waiting.remove(&settlement.number)
                && let Some(action) = self.outbox.get_mut(&settlement.number)
            {
                action.settled = Some((settlement.verdict, settlement.at));
            }
        }
        for letter in &commit.letters {
            self.bury(letter);
        }
        while self.letters.len() as u64 > limits.dead_letters_max {
            if let Some((_, oldest)) = self.letters.pop_first() {
                letter_key(&oldest.entry).map(|key| self.letter_keys.remove(&key));
            }
        }
        for fingerprint in &commit.dropped_plans {
            self.plans.remove(fingerprint);
        }
        if let Some(below) = commit.truncate_below {
            self.truncate(below, limits);
        }
        for (name, value) in &commit.values {
            match value {
                Some(value) => self.values.insert(name.clone(), value.clone()),
                None => self.values.remove(name),
            };
        }
        Ok(Committed { next_offset, posted })
    }

    /// Checks all that can refuse a commit, and answers the next offset after it.
    pub(super) fn admit(&self, commit: &Commit, limits: &StoreLimits) -> Result<u64, StoreError> {
        let next_offset = commit.check(self.next_offset)?;
        let mut changed: HashMap<&ModelId, u64> = HashMap::with_capacity(commit.models.len());
        for change in &commit.models {
            let (model, found) = (change.model(), change.next_offset());
            let kept = changed.insert(model, found).or_else(|| self.models.get(model).map(Kept::next_offset));
            if let Some(kept) = kept.filter(|kept| *kept > found) {
                return Err(Refusal::Backward { model: model.clone(), kept, found }.into());
            }
        }
        if !commit.journal.is_empty() {
            let below = commit.truncate_below.unwrap_or(0);
            let pieces = self.journal.values().map(|piece| &**piece).chain(&commit.journal);
            let gone = pieces.take_while(|piece| piece.end() <= below).map(|piece| piece.bytes.len() as u64);
            let gone: u64 = if below == 0 { 0 } else { gone.sum() };
            limits.admit_journal((self.journal_bytes + commit.journal_bytes()).saturating_sub(gone))?;
        }
        let new: BTreeSet<&ActionId> =
            commit.outbox.iter().map(|entry| &entry.id).filter(|id| !self.known.contains_key(*id)).collect();
        if !new.is_empty() {
            let numbers = self.posted + 1..=self.posted + new.len() as u64;
            let settled: BTreeSet<u64> = commit.settled.iter().map(|settlement| settlement.number).collect();
            let settled =
                settled.iter().filter(|number| self.waiting.contains(number) || numbers.contains(number));
            let waiting = self.waiting.len() as u64 + new.len() as u64 - settled.count() as u64;
            limits.admit_outbox(waiting)?;
        }
        Ok(next_offset)
    }

    fn change(&mut self, change: &ModelChange) {
        let model = change.model();
        let kept = match change {
            ModelChange::Keep(snapshot) => {
                self.live += 1;
                self.snapshot_bytes += snapshot.state.len() as u64;
                Kept::Snapshot(Arc::new(snapshot.clone()))
            }
            ModelChange::Forget { next_offset, .. } => {
                self.forgotten.insert((*next_offset, model.clone()));
                Kept::Forgotten(*next_offset)
            }
        };
        let due = if let Kept::Snapshot(snapshot) = &kept { snapshot.due } else { None };
        match self.models.replace(model, kept) {
            Some(Kept::Snapshot(last)) => {
                self.live -= 1;
                self.snapshot_bytes -= last.state.len() as u64;
                last.due.map(|due| self.due.remove(&(due, model.clone())));
            }
            Some(Kept::Forgotten(next_offset))
                if matches!(change, ModelChange::Keep(_)) || change.next_offset() != next_offset =>
            {
                self.forgotten.remove(&(next_offset, model.clone()));
            }
            _ => {}
        }
        due.map(|due| self.due.insert((due, model.clone())));
    }

    fn post(&mut self, entry: &OutboxEntry) -> Posted {
        if let Some(number) = self.known.get(&entry.id) {
            return Posted::Known(*number);
        }
        self.posted += 1;
        let number = self.posted;
        self.known.insert(entry.id.clone(), number);
        self.waiting.insert(number);
        self.outbox.insert(number, StoredAction { number, entry: entry.clone(), settled: None });
        Posted::New(number)
    }

    fn bury(&mut self, entry: &LetterEntry) {
        if letter_key(entry).is_none_or(|key| self.letter_keys.insert(key)) {
            self.letters_total += 1;
            let number = self.letters_total;
            self.letters.insert(number, StoredLetter { number, entry: entry.clone() });
        }
    }

    fn truncate(&mut self, below: u64, limits: &StoreLimits) {
        while let Some(first) = self.journal.first_entry().filter(|first| first.get().end() <= below) {
            self.journal_bytes -= first.remove().bytes.len() as u64;
        }
        let first = self.first_offset();
        while self.forgotten.first().is_some_and(|(next_offset, _)| *next_offset <= first) {
            if let Some((_, model)) = self.forgotten.pop_first() {
                self.models.remove(&model);
            }
        }
        let settled =
            self.outbox.values().filter(|action| action.settled.is_some() && action.entry.cause < first);
        let mut past: Vec<u64> = settled.map(|action| action.number).collect();
        past.truncate(past.len().saturating_sub(limits.outbox_history_max as usize));
        for number in past {
            if let Some(action) = self.outbox.remove(&number) {
                self.known.remove(&action.entry.id);
            }
        }
    }

    fn first_offset(&self) -> u64 {
        self.journal.keys().next().copied().unwrap_or(self.next_offset)
    }

    pub(super) fn summary(&self) -> StoreSummary {
        StoreSummary {
            first_offset: self.first_offset(),
            next_offset: self.next_offset,
            journal_bytes: self.journal_bytes,
            journal_pieces: self.journal.len() as u64,
            models: self.live,
            snapshot_bytes: self.snapshot_bytes,
            outbox_waiting: self.waiting.len() as u64,
            outbox_settled: (self.outbox.len() - self.waiting.len()) as u64,
            dead_letters: self.letters.len() as u64,
            dead_letters_total: self.letters_total,
        }
    }

    pub(super) fn snapshot(&self, model: &ModelId) -> Option<Snapshot> {
        match self.models.get(model)? {
            Kept::Snapshot(snapshot) => Some(Snapshot::clone(snapshot)),
            Kept::Forgotten(_) => None,
        }
    }

    pub(super) fn model(&self, model: &ModelId) -> Option<StoredModel> {
        self.models.get(model).map(|kept| kept.row(model))
    }

    pub(super) fn models(&self, after: Option<&ModelId>, limit: usize) -> Vec<StoredModel> {
        let live = self.models.after(after).filter(|(_, kept)| matches!(kept, Kept::Snapshot(_)));
        live.map(|(model, kept)| kept.row(model)).take(limit.max(1)).collect()
    }

    pub(super) fn due(
        &self,
        before: Timestamp,
        after: Option<(Timestamp, &ModelId)>,
        limit: usize,
    ) -> Vec<StoredModel> {
        let due = self.due.iter().take_while(|(due, _)| *due < before);
        let due = due.skip_while(|(due, model)| after.is_some_and(|after| (*due, model) <= after));
        due.filter_map(|(_, model)| self.model(model)).take(limit.max(1)).collect()
    }

    pub(super) fn journal(&self, from: u64, bytes_max: usize) -> Vec<JournalPiece> {
        let start = self.journal.range(..=from).next_back().map_or(from, |(first_offset, _)| *first_offset);
        let mut bytes = 0_usize;
        let pieces =
            self.journal.range(start..).map(|(_, piece)| &**piece).filter(|piece| piece.end() > from);
        let fitting = pieces.enumerate().take_while(|(at, piece)| {
            bytes = bytes.saturating_add(piece.bytes.len());
            *at == 0 || bytes <= bytes_max
        });
        fitting.map(|(_, piece)| piece.clone()).collect()
    }

    pub(super) fn outbox(&self, query: &OutboxQuery) -> Vec<StoredAction> {
        let from = query.after.saturating_add(1);
        let of_model = |action: &&StoredAction| {
            query.model.as_ref().is_none_or(|model| action.entry.id.model_id == *model)
                && query.topic.is_none_or(|topic| action.entry.topic == topic)
        };
        let limit = query.limit.max(1);
        if query.waiting {
            let waiting = self.waiting.range(from..).filter_map(|number| self.outbox.get(number));
            waiting.filter(of_model).take(limit).cloned().collect()
        } else {
            self.outbox
                .range(from..)
                .map(|(_, action)| action)
                .filter(of_model)
                .take(limit)
                .cloned()
                .collect()
        }
    }

    pub(super) fn dead_letters(&self, after: u64, limit: usize) -> Vec<StoredLetter> {
        self.letters
            .range(after.saturating_add(1)..)
            .map(|(_, letter)| letter.clone())
            .take(limit.max(1))
            .collect()
    }

    pub(super) fn plan(&self, fingerprint: u64) -> Option<String> {
        self.plans.get(&fingerprint).cloned()
    }

    pub(super) fn plans(&self) -> Vec<u64> {
        self.plans.keys().copied().collect()
    }

    pub(super) fn value(&self, name: &str) -> Option<Vec<u8>> {
        self.values.get(name).cloned()
    }
}

/// By what a letter is known; one without an offset is never known already.
fn letter_key(entry: &LetterEntry) -> Option<LetterKey> {
    entry.offset.map(|offset| (offset, entry.model.clone(), entry.observer.clone()))
}
