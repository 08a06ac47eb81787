//! Where the state of a model is kept while its actor is asleep.

use std::collections::HashMap;

use parking_lot::Mutex;
use visu_tility_core::ModelId;

/// Keeps what a model's monitor wrote of itself.
///
/// Called on a shard's thread, so an implementation must not block for long; one that is durable hands the
/// bytes to a writer and answers from what it has not written yet.
pub trait SnapshotKeeper: Send + Sync {
    /// Keeps a snapshot in place of the last one.
    fn keep(&self, model: &ModelId, snapshot: Vec<u8>);

    /// Reads the last snapshot.
    fn recall(&self, model: &ModelId) -> Option<Vec<u8>>;

    /// Forgets a model.
    fn forget(&self, model: &ModelId);
}

/// Keeps snapshots in memory: they outlive an actor, not the process.
#[derive(Default)]
pub struct MemorySnapshots(Mutex<HashMap<ModelId, Box<[u8]>>>);

impl MemorySnapshots {
    /// How many models have one.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Is true when no model has one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl SnapshotKeeper for MemorySnapshots {
    fn keep(&self, model: &ModelId, snapshot: Vec<u8>) {
        self.0.lock().insert(model.clone(), snapshot.into());
    }

    fn recall(&self, model: &ModelId) -> Option<Vec<u8>> {
        self.0.lock().get(model).map(|bytes| bytes.to_vec())
    }

    fn forget(&self, model: &ModelId) {
        self.0.lock().remove(model);
    }
}
