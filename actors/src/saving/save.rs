//! What goes into one commit of a shard's states, actions and dead letters.

use std::collections::BTreeSet;

use visu_tility_core::store::{Commit, LetterEntry, ModelChange, OutboxEntry};
use visu_tility_core::{ActionRecord, ModelId};

/// States from which on a save, and a commit of saves, is full.
pub(crate) const STATES_MAX: usize = 4_096;
/// Bytes of states from which on it is.
pub(crate) const BYTES_MAX: usize = 16 << 20;

/// What a shard asks the ledger to commit in one.
#[derive(Default)]
pub(crate) struct Save {
    pub(crate) shard: usize,
    /// How often the shard was taken over before: what comes from who was is thrown away.
    pub(crate) epoch: u64,
    pub(crate) number: u64,
    /// Whether another part of the same number comes behind it.
    pub(crate) more: bool,
    pub(crate) models: Vec<ModelChange>,
    pub(crate) records: Vec<ActionRecord>,
    /// No entry behind this one led to a record.
    pub(crate) cause: u64,
    pub(crate) letters: Vec<LetterEntry>,
    /// How many states and letters a commit has of it.
    pub(crate) lent: (usize, usize),
}

/// What the outbox has no room for, on its way back to its shard. The states are not in it: they are written anew.
pub(crate) struct Returned {
    pub(crate) number: u64,
    /// Retirements that go with records.
    pub(crate) forgotten: Vec<ModelChange>,
    pub(crate) records: Vec<ActionRecord>,
    /// Dead letters go with the state that knows of them: a replay may make others.
    pub(crate) letters: Vec<LetterEntry>,
    /// How often there had been more room before it was refused.
    pub(crate) room: u64,
}

impl Save {
    /// Puts it into a commit, its states by moving them: see [`Save::give_back`].
    pub(crate) fn enter(&mut self, commit: &mut Commit) {
        self.lent = (self.models.len(), self.letters.len());
        commit.models.append(&mut self.models);
        commit.letters.append(&mut self.letters);
        commit.outbox.extend(self.records.iter().filter_map(|record| OutboxEntry::of(record, self.cause)));
    }

    /// Takes back what the saves of a commit that failed had put into it, in the same order.
    pub(crate) fn give_back(saves: &mut [Self], commit: &mut Commit) {
        let (mut models, mut letters) = (commit.models.drain(..), commit.letters.drain(..));
        for save in saves {
            let (of_models, of_letters) = std::mem::take(&mut save.lent);
            save.models.extend(models.by_ref().take(of_models));
            save.letters.extend(letters.by_ref().take(of_letters));
        }
    }

    /// Whether it asks for room in the outbox.
    pub(crate) fn acts(&self) -> bool {
        self.records.iter().any(is_posted)
    }

    /// Bytes of its states.
    pub(crate) fn bytes(&self) -> usize {
        self.models.iter().map(bytes_of).sum()
    }

    /// A part of it, which has nothing yet.
    pub(crate) fn part(&self) -> Self {
        let Self { shard, epoch, number, cause, .. } = *self;
        Self { shard, epoch, number, cause, more: true, ..Self::default() }
    }

    /// Takes out of it what belongs to some models.
    pub(crate) fn extract(&mut self, wanted: &BTreeSet<ModelId>) -> Self {
        let models = self.models.extract_if(.., |change| wanted.contains(change.model())).collect();
        let records = self.records.extract_if(.., |record| wanted.contains(&record.id.model_id)).collect();
        let letters = self.letters.extract_if(.., |letter| wanted.contains(&letter.model)).collect();
        Self { models, records, letters, ..self.part() }
    }

    /// Takes out of it the models that ask for room in the outbox; `None` when there are none.
    pub(crate) fn split_acting(&mut self, room: u64) -> Option<Returned> {
        let acting = acting(&self.records);
        if acting.is_empty() {
            return None;
        }
        let Self { mut models, records, letters, number, .. } = self.extract(&acting);
        models.retain(|change| matches!(change, ModelChange::Forget { .. }));
        Some(Returned { number, forgotten: models, records, letters, room })
    }
}

/// The models that ask for room in the outbox.
pub(super) fn acting(records: &[ActionRecord]) -> BTreeSet<ModelId> {
    let posted = records.iter().filter(|record| is_posted(record));
    posted.map(|record| record.id.model_id.clone()).collect()
}

/// Bytes of a state.
pub(super) fn bytes_of(change: &ModelChange) -> usize {
    match change {
        ModelChange::Keep(snapshot) => snapshot.state.len(),
        ModelChange::Forget { .. } => 0,
    }
}

/// Whether a record goes into the outbox.
pub(crate) const fn is_posted(record: &ActionRecord) -> bool {
    !record.action.is_noop()
}
