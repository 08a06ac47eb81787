//! The port to what outlives the process: one writer that commits, readers that page.
//!
//! A [`Store`] keeps the journal of all that changes a model's state, snapshots of models, the outbox of actions, dead
//! letters, plans and a few named values. All of one [`Commit`] happens or none of it. The map:
//!
//! - `commit.rs`: what one transaction holds, and what of it is refused;
//! - `outbox.rs`: from a decision to an outbox entry, and back;
//! - `record.rs`: what is read back;
//! - `limits.rs`: how much is kept;
//! - `error.rs`: what can go wrong, and whether the same commit may be tried again;
//! - `state.rs`: the contract as a value: what commits make of a store, without any medium;
//! - `memory.rs`, `memory/`: the store that is gone with the process, and the disk that fails when it is told to;
//! - `conformance.rs`, `conformance/`: what every implementation shows (feature `conformance`).
//!
//! # The contract
//!
//! 1. **Durable.** When `commit` answers `Ok`, all of the commit is there after a crash of the process; whether it is
//!    there after a loss of power is the implementation's promise, and it says so.
//! 2. **Whole.** A commit that failed is not seen by any reader. After [`StoreError::Io`] it is in doubt: once the store is
//!    opened again it is there whole or not at all. The offsets tell which.
//! 3. **Dense.** The first journal piece of a commit begins at the store's next offset, each further one where the one
//!    before it ends; all else is refused. So a commit that was in doubt cannot be applied twice.
//! 4. **Once.** An outbox entry whose id is known already changes nothing, also when the known one is settled; it stays
//!    known at least until the journal is truncated above its cause, so a replay cannot post it a second time.
//! 5. **Bounded.** What exceeds a limit is refused ([`StoreError::Full`]), never dropped; only the oldest dead letters and
//!    the oldest settled outbox entries give way.
//! 6. **One writer.** A second one is refused with [`StoreError::Locked`] while the first is open. Readers are as many as
//!    are wanted and never hold the writer up.
//!
//! | after a crash | journal | snapshots | outbox |
//! |---|---|---|---|
//! | before `commit` was called | without it | without it | without it |
//! | within `commit` | with or without it | as the journal | as the journal |
//! | after `commit` answered `Ok` | with it | with it | with it |

mod commit;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod limits;
mod memory;
mod outbox;
mod record;
mod state;

use std::path::Path;

use crate::id::ModelId;
use crate::time::Timestamp;

pub use crate::checksum::checksum;
pub use commit::{
    Commit, Committed, JournalPiece, LetterEntry, ModelChange, OutboxEntry, OutboxTopic, PlanText, Posted,
    Refusal, Settlement, Snapshot, StoredPhase, Verdict,
};
pub use error::StoreError;
pub use limits::StoreLimits;
pub use memory::{Effect, MemoryDisk, MemoryStore, Operation};
pub use record::{Opened, OutboxQuery, StoreSummary, StoredAction, StoredLetter, StoredModel};

/// The one writer of a store.
///
/// Blocking, for a thread of its own; whoever wants fewer waits for the disk gathers more into one commit.
pub trait Store: Send {
    /// Makes all of a commit durable, or changes nothing.
    ///
    /// In this order: journal pieces are appended, plans kept, models changed in the order of the list, outbox entries
    /// posted, settlements noted, dead letters kept, plans dropped, the journal truncated, values set. An empty commit is
    /// allowed and does nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`] for what no store may take, [`StoreError::Full`] for what exceeds a limit, and what else
    /// went wrong outside; [`StoreError::can_retry`] says whether the same commit may be tried again.
    fn commit(&mut self, commit: &Commit) -> Result<Committed, StoreError>;

    /// Opens a reader of its own, for another thread if wanted. It outlives the writer, and sees every commit that was
    /// acknowledged before it is asked.
    ///
    /// # Errors
    ///
    /// Fails when the medium does.
    fn reader(&self) -> Result<Box<dyn StoreReader>, StoreError>;

    /// Marks a clean stop and lets go of the store. Who drops it instead leaves it as a crash would.
    ///
    /// # Errors
    ///
    /// Fails when the mark cannot be written; what was committed is there all the same.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// Reads a store, each call as of one moment.
///
/// Lists come in pages: `limit` of 0 is read as 1, and an empty page is the end.
pub trait StoreReader: Send {
    /// Counts and bounds, without reading what is counted.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] names what is damaged; other errors come from the medium. So it is with all calls below.
    fn summary(&mut self) -> Result<StoreSummary, StoreError>;

    /// A model's last snapshot; `None` when there is none or the model was forgotten. Its bytes are checked against the
    /// sum that they were kept with.
    ///
    /// # Errors
    ///
    /// As [`StoreReader::summary`].
    fn snapshot(&mut self, model: &ModelId) -> Result<Option<Snapshot>, StoreError>;

    /// What is known of a model without its state. A forgotten one is answered ([`StoredPhase::Forgotten`]) until the
    /// journal no longer holds what came before.
    ///
    /// # Errors
    ///
    /// As [`StoreReader::summary`].
    fn model(&mut self, model: &ModelId) -> Result<Option<StoredModel>, StoreError>;

    /// Models after `after` in the order of their names' bytes; forgotten ones are left out.
    ///
    /// # Errors
    ///
    /// As [`StoreReader::summary`].
    fn models(&mut self, after: Option<&ModelId>, limit: usize) -> Result<Vec<StoredModel>, StoreError>;

    /// Models whose [`Snapshot::due`] is before `before`, earliest first, then by name; those after the pair `after`.
    ///
    /// # Errors
    ///
    /// As [`StoreReader::summary`].
    fn due(
        &mut self,
        before: Timestamp,
        after: Option<(Timestamp, &ModelId)>,
        limit: usize,
    ) -> Result<Vec<StoredModel>, StoreError>;

    /// Journal pieces that hold entries from `from` on, in order. The first may begin before `from`; as many as fit
    /// `bytes_max`, but at least one while there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] also when a piece between the first and the last offset is missing; else as
    /// [`StoreReader::summary`].
    fn journal(&mut self, from: u64, bytes_max: usize) -> Result<Vec<JournalPiece>, StoreError>;

    /// Outbox entries in the order in which they were posted.
    ///
    /// # Errors
    ///
    /// As [`StoreReader::summary`].
    fn outbox(&mut self, query: &OutboxQuery) -> Result<Vec<StoredAction>, StoreError>;

    /// Dead letters after the one numbered `after` (0 for all), oldest first.
    ///
    /// # Errors
    ///
    /// As [`StoreReader::summary`].
    fn dead_letters(&mut self, after: u64, limit: usize) -> Result<Vec<StoredLetter>, StoreError>;

    /// The text of a plan.
    ///
    /// # Errors
    ///
    /// As [`StoreReader::summary`].
    fn plan(&mut self, fingerprint: u64) -> Result<Option<String>, StoreError>;

    /// The fingerprints of all plans that are kept, smallest first.
    ///
    /// # Errors
    ///
    /// As [`StoreReader::summary`].
    fn plans(&mut self) -> Result<Vec<u64>, StoreError>;

    /// A named value.
    ///
    /// # Errors
    ///
    /// As [`StoreReader::summary`].
    fn value(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Copies the store, as of one moment, to a new place while the writer goes on. The copy counts as not closed
    /// cleanly, so it is checked when it is first opened.
    ///
    /// # Errors
    ///
    /// Fails when something is at `to` already, when the store has no form outside the process
    /// ([`StoreError::Unsupported`]), or the medium fails; then nothing is left at `to`.
    fn backup(&mut self, to: &Path) -> Result<(), StoreError>;
}
