//! What a store answers: models, outbox entries, dead letters and counts, as they were kept.

use crate::id::ModelId;
use crate::time::Timestamp;

use super::commit::{LetterEntry, OutboxEntry, OutboxTopic, StoredPhase, Verdict};

/// What is known of a model, without its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredModel {
    /// Its name.
    pub model: ModelId,
    /// The first journal offset that its snapshot does not hold.
    pub next_offset: u64,
    /// How it was when the snapshot was taken.
    pub phase: StoredPhase,
    /// When it wants to be told that time has passed.
    pub due: Option<Timestamp>,
    /// The plan that it had.
    pub plan: u64,
    /// The form of the snapshot's bytes.
    pub form: u32,
    /// Bytes of its state.
    pub bytes: u64,
}

/// An outbox entry, with its number and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAction {
    /// Counts the entries from 1 in the order in which they were posted; never used twice.
    pub number: u64,
    /// What was posted.
    pub entry: OutboxEntry,
    /// What became of it and when; `None` while it waits.
    pub settled: Option<(Verdict, Timestamp)>,
}

/// Which outbox entries are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboxQuery {
    /// Only those that wait.
    pub waiting: bool,
    /// Only those of one topic.
    pub topic: Option<OutboxTopic>,
    /// Only those of one model.
    pub model: Option<ModelId>,
    /// Only those with a greater number; 0 for all.
    pub after: u64,
    /// At most so many; 0 is read as 1.
    pub limit: usize,
}

/// A dead letter with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLetter {
    /// Counts the letters from 1; never used twice.
    pub number: u64,
    /// What was kept.
    pub entry: LetterEntry,
}

/// Counts and bounds of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreSummary {
    /// The first offset that the journal holds; the next one when it is empty.
    pub first_offset: u64,
    /// The offset that the next entry gets.
    pub next_offset: u64,
    /// Bytes of the journal's pieces.
    pub journal_bytes: u64,
    /// Pieces of the journal.
    pub journal_pieces: u64,
    /// Models with a snapshot.
    pub models: u64,
    /// Bytes of their states.
    pub snapshot_bytes: u64,
    /// Outbox entries that wait.
    pub outbox_waiting: u64,
    /// Outbox entries that are settled and still kept.
    pub outbox_settled: u64,
    /// Dead letters that are kept.
    pub dead_letters: u64,
    /// Dead letters that ever were.
    pub dead_letters_total: u64,
}

/// How a store was found when it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Nothing was there; an empty store was made.
    pub new: bool,
    /// The last writer closed it; true of a new one. After an unclean stop it was checked.
    pub clean: bool,
}
