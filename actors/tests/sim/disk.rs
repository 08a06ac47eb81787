//! A disk on which things go wrong, and a store that tells the record what was committed.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use visu_tility_core::store::{
    Commit, Committed, Effect, MemoryDisk, MemoryStore, Operation, Store, StoreError, StoreReader,
};

use crate::chance::Chance;
use crate::record::Record;

/// Crashes that one run may have besides those of its script.
const CRASHES_MAX: u64 = 5;

/// What goes wrong.
pub(crate) struct Faults {
    chance: Chance,
    per_mille: u64,
    pub(crate) armed: bool,
    /// Writes that are going to fail, and how.
    failing: Option<(u64, StoreError)>,
    crashes: u64,
    /// Reads that fail, in a thousand, and those that are going to.
    reads: u64,
    unread: u64,
    reading: Chance,
}

impl Faults {
    pub(crate) fn new(seed: u64, per_mille: u64, reads: u64) -> Self {
        let (chance, reading) = (Chance::new(seed, 3), Chance::new(seed, 6));
        Self { chance, per_mille, armed: true, failing: None, crashes: 0, reads, unread: 0, reading }
    }

    /// Whether a read fails; if one does, so do some of those that follow.
    fn fails_to_read(&mut self) -> bool {
        if self.unread == 0 && self.reading.below(1_000) < self.reads {
            self.unread = self.reading.between(1, 5);
        }
        let fails = self.unread > 0;
        self.unread = self.unread.saturating_sub(1);
        fails
    }

    fn decide(&mut self, operation: Operation) -> Effect {
        if !self.armed {
            return Effect::Proceed;
        }
        if operation == Operation::Read && self.reads > 0 && self.fails_to_read() {
            return Effect::Fail(StoreError::io("read", "it failed"));
        }
        let writes = matches!(operation, Operation::Write(_));
        if writes && let Some((left, error)) = self.failing.take() {
            self.failing = (left > 1).then(|| (left - 1, error.clone()));
            return Effect::Fail(error);
        }
        let rare = operation == Operation::Read && self.chance.percent(90);
        if rare || self.chance.below(1_000) >= self.per_mille {
            return Effect::Proceed;
        }
        if self.crashes < CRASHES_MAX && self.chance.percent(50) {
            self.crashes += 1;
            return match self.chance.below(3) {
                0 => Effect::CrashBefore,
                1 => Effect::CrashAfter,
                _ => Effect::Tear(self.chance.place(400)),
            };
        }
        match operation {
            Operation::Write(_) => {
                let error = match self.chance.below(8) {
                    0 => StoreError::ReadOnly { path: "disk".into(), detail: "no rights".into() },
                    1..4 => StoreError::io("write", "it failed"),
                    _ => StoreError::DiskFull { detail: "no space left on device".into() },
                };
                let left = self.chance.below(6);
                self.failing = (left > 0).then(|| (left, error.clone()));
                Effect::Fail(error)
            }
            Operation::Sync | Operation::Acknowledge | Operation::Compact => {
                Effect::Fail(StoreError::io("sync", "it failed"))
            }
            _ => Effect::Proceed,
        }
    }
}

/// Has faults decide of a disk's operations; who waits for `crashed` hears of the end of the process.
pub(crate) fn trouble(
    disk: &MemoryDisk,
    faults: &Arc<Mutex<Faults>>,
    record: &Arc<Mutex<Record>>,
    crashed: &Arc<Notify>,
) {
    let (faults, record, crashed) = (Arc::clone(faults), Arc::clone(record), Arc::clone(crashed));
    disk.set_hook(move |number, operation| {
        let effect = faults.lock().decide(operation);
        if effect != Effect::Proceed {
            let mut record = record.lock();
            record.note(|| format!("  operation {number} {operation:?}: {effect:?}"));
            if matches!(effect, Effect::Fail(_)) {
                record.failures += 1;
                record.unread |= operation == Operation::Read;
            } else {
                record.crashes += 1;
                crashed.notify_one();
            }
        }
        effect
    });
}

/// A store that tells the record of its commits, and that loses an answer now and then.
pub(crate) struct Watched {
    pub(crate) store: MemoryStore,
    pub(crate) record: Arc<Mutex<Record>>,
    pub(crate) faults: Arc<Mutex<Faults>>,
}

impl Store for Watched {
    fn commit(&mut self, commit: &Commit) -> Result<Committed, StoreError> {
        let committed = self.store.commit(commit);
        match &committed {
            Ok(committed) => self.record.lock().committed(commit, committed),
            Err(error) => self.record.lock().note(|| format!("  commit failed: {error}")),
        }
        let mut faults = self.faults.lock();
        let lost = faults.armed && committed.is_ok() && {
            let rate = faults.per_mille / 4;
            faults.chance.below(1_000) < rate
        };
        if lost {
            self.record.lock().note(|| "  the commit's answer is lost".to_owned());
            return Err(StoreError::io("commit", "no answer came"));
        }
        committed
    }

    fn reader(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        self.store.reader()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Box::new(self.store).close()
    }
}
