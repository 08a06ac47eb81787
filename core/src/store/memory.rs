//! The store that is gone with the process, and the disk that fails when it is told to.
//!
//! [`MemoryStore::new`] keeps nothing outside: for embedders who accept that a restart starts afresh, and for tests.
//! [`MemoryDisk`] is what a store writes to in simulations: its bytes outlive the store, its operations are counted, and a
//! hook decides of each whether it happens, fails, or is the last one before the crash.

mod disk;
#[cfg(test)]
mod tests;
mod wire;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::id::ModelId;
use crate::time::Timestamp;

use super::commit::{Commit, Committed, JournalPiece, Snapshot};
use super::error::StoreError;
use super::limits::StoreLimits;
use super::record::{OutboxQuery, StoreSummary, StoredAction, StoredLetter, StoredModel};
use super::state::State;
use super::{Store, StoreReader};

pub use disk::{Effect, MemoryDisk, Operation};

/// A store in memory.
///
/// # Examples
///
/// ```
/// use visu_tility_core::store::{Commit, JournalPiece, MemoryStore, Store, StoreLimits};
///
/// let mut store = MemoryStore::new(StoreLimits::default());
/// let piece = JournalPiece { first_offset: 0, entries: 3, bytes: vec![1, 2] };
/// let committed = store.commit(&Commit { journal: vec![piece], ..Commit::default() })?;
/// assert_eq!(committed.next_offset, 3);
/// assert_eq!(store.reader()?.summary()?.journal_bytes, 2);
/// # Ok::<(), visu_tility_core::store::StoreError>(())
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    state: Shared,
    limits: StoreLimits,
    disk: Option<MemoryDisk>,
}

/// The state, which the writer and its readers share.
type Shared = Arc<Mutex<State>>;

impl MemoryStore {
    /// Starts an empty store that nothing outlives.
    pub fn new(limits: StoreLimits) -> Self {
        Self { state: Shared::default(), limits, disk: None }
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, commit: &Commit) -> Result<Committed, StoreError> {
        let Some(disk) = &self.disk else { return lock(&self.state).apply(commit, &self.limits) };
        disk.commit(&self.state, commit, &self.limits)
    }

    fn reader(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        Ok(Box::new(MemoryReader { state: Arc::clone(&self.state), disk: self.disk.clone() }))
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.disk.as_ref().map_or(Ok(()), MemoryDisk::close)
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        if let Some(disk) = &self.disk {
            disk.let_go();
        }
    }
}

/// Reads a [`MemoryStore`].
struct MemoryReader {
    state: Shared,
    disk: Option<MemoryDisk>,
}

impl MemoryReader {
    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T, StoreError> {
        if let Some(disk) = &self.disk {
            disk.read()?;
        }
        Ok(read(&lock(&self.state)))
    }
}

impl StoreReader for MemoryReader {
    fn summary(&mut self) -> Result<StoreSummary, StoreError> {
        self.read(State::summary)
    }

    fn snapshot(&mut self, model: &ModelId) -> Result<Option<Snapshot>, StoreError> {
        self.read(|state| state.snapshot(model))
    }

    fn model(&mut self, model: &ModelId) -> Result<Option<StoredModel>, StoreError> {
        self.read(|state| state.model(model))
    }

    fn models(&mut self, after: Option<&ModelId>, limit: usize) -> Result<Vec<StoredModel>, StoreError> {
        self.read(|state| state.models(after, limit))
    }

    fn due(
        &mut self,
        before: Timestamp,
        after: Option<(Timestamp, &ModelId)>,
        limit: usize,
    ) -> Result<Vec<StoredModel>, StoreError> {
        self.read(|state| state.due(before, after, limit))
    }

    fn journal(&mut self, from: u64, bytes_max: usize) -> Result<Vec<JournalPiece>, StoreError> {
        self.read(|state| state.journal(from, bytes_max))
    }

    fn outbox(&mut self, query: &OutboxQuery) -> Result<Vec<StoredAction>, StoreError> {
        self.read(|state| state.outbox(query))
    }

    fn dead_letters(&mut self, after: u64, limit: usize) -> Result<Vec<StoredLetter>, StoreError> {
        self.read(|state| state.dead_letters(after, limit))
    }

    fn plan(&mut self, fingerprint: u64) -> Result<Option<String>, StoreError> {
        self.read(|state| state.plan(fingerprint))
    }

    fn plans(&mut self) -> Result<Vec<u64>, StoreError> {
        self.read(State::plans)
    }

    fn value(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|state| state.value(name))
    }

    fn backup(&mut self, _to: &Path) -> Result<(), StoreError> {
        Err(StoreError::Unsupported("a store in memory has no file to copy"))
    }
}

/// Locks; a panic of another thread leaves the state whole, since it is changed only after all that can fail.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
