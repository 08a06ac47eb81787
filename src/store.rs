//! What outlives the process: the port, the journal, and the store in one SQLite file.
//!
//! - [`Store`], [`StoreReader`] and what they speak of come from the core, and so does [`MemoryStore`];
//! - [`SqliteStore`] (feature `sqlite`, on by default) keeps everything in one file that the `sqlite3` shell can read;
//! - your own store implements [`Store`] and is asked by `conformance` (feature `conformance` of `visu-tility-core`).

#[cfg(feature = "sqlite")]
mod sqlite;

pub use visu_tility_core::journal;
pub use visu_tility_core::store::{
    Commit, Committed, Effect, JournalPiece, LetterEntry, MemoryDisk, MemoryStore, ModelChange, Opened,
    Operation, OutboxEntry, OutboxQuery, OutboxTopic, PlanText, Posted, Refusal, Settlement, Snapshot, Store,
    StoreError, StoreLimits, StoreReader, StoreSummary, StoredAction, StoredLetter, StoredModel, StoredPhase,
    Verdict,
};

#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
