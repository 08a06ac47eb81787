//! What goes into one commit of a shard's states, actions and dead letters.

use visu_tility_core::ActionRecord;
use visu_tility_core::store::{Commit, LetterEntry, ModelChange, OutboxEntry};

/// What a shard asks the ledger to commit in one.
pub(crate) struct Save {
    pub(crate) shard: usize,
    /// How often the shard was taken over before: what comes from who was is thrown away.
    pub(crate) epoch: u64,
    pub(crate) number: u64,
    pub(crate) models: Vec<ModelChange>,
    pub(crate) records: Vec<ActionRecord>,
    /// No entry behind this one led to a record.
    pub(crate) cause: u64,
    pub(crate) letters: Vec<LetterEntry>,
    /// How many states and letters a commit has of it.
    pub(crate) lent: (usize, usize),
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
}

/// Whether a record goes into the outbox.
pub(crate) const fn is_posted(record: &ActionRecord) -> bool {
    !record.action.is_noop()
}
