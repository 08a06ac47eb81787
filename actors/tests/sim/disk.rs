//! A disk on which things go wrong, and a store that tells the record what was committed.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use visu_tility_core::ModelId;
use visu_tility_core::store::{
    Commit, Committed, Effect, MemoryDisk, MemoryStore, ModelChange, Operation, Refusal, Store, StoreError,
    StoreLimits, StoreReader,
};

use crate::chance::Chance;
use crate::record::Record;
use crate::script::Setting;

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
    /// Whether reads fail in every way.
    in_all_ways: bool,
    /// Commits that are refused because of one state, in a thousand, and whose state it is.
    refused: u64,
    refusing: Option<ModelId>,
}

impl Faults {
    pub(crate) fn new(seed: u64, setting: &Setting) -> Self {
        Self {
            chance: Chance::new(seed, 3),
            per_mille: setting.faults,
            armed: true,
            failing: None,
            crashes: 0,
            reads: setting.wide.reads,
            unread: 0,
            reading: Chance::new(seed, 6),
            in_all_ways: setting.wild.reads_in_all_ways,
            refused: setting.wild.refused,
            refusing: None,
        }
    }

    /// How a read fails.
    fn read_error(&mut self) -> StoreError {
        let way = if self.in_all_ways { self.reading.below(5) } else { 0 };
        match way {
            1 => StoreError::Locked { path: "disk".into(), pid: None },
            2 => StoreError::DiskFull { detail: "no space left on device".into() },
            3 => StoreError::Full { limit: "journal_bytes_max", wanted: 2, max: 1 },
            4 => StoreError::corrupt("a page", "its sum is wrong"),
            _ => StoreError::io("read", "it failed"),
        }
    }

    /// Whether a commit is refused because of one of its states: the one that was refused before, or one that is drawn.
    fn refuses(&mut self, commit: &Commit) -> bool {
        let kept = || commit.models.iter().filter(|change| matches!(change, ModelChange::Keep(_)));
        if !self.armed || self.refused == 0 {
            return false;
        }
        if let Some(model) = &self.refusing
            && kept().any(|change| change.model() == model)
        {
            return true;
        }
        let states = kept().count();
        if states > 0 && self.reading.below(1_000) < self.refused {
            self.refusing = kept().nth(self.reading.place(states)).map(|change| change.model().clone());
            return true;
        }
        false
    }

    /// A new process may write what was refused before.
    pub(crate) fn begin_process(&mut self) {
        self.refusing = None;
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
            return Effect::Fail(self.read_error());
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
        if self.faults.lock().refuses(commit) {
            let mut record = self.record.lock();
            record.note(|| "  the commit is refused because of a state".to_owned());
            (record.failures, record.unread) = (record.failures + 1, true);
            let (what, max) = ("a snapshot", StoreLimits::SNAPSHOT_BYTES_MAX);
            return Err(Refusal::TooLong { what, bytes: max + 1, max }.into());
        }
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
