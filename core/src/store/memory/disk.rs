//! A disk in memory: a log of commits, of which it is known how far it was synced.

use std::fmt;
use std::sync::{Arc, Mutex};

use visu_tility_drift::codec::{Reader, put_u64};

use crate::checksum::checksum;

use super::super::commit::{Commit, Committed};
use super::super::error::StoreError;
use super::super::limits::StoreLimits;
use super::super::record::Opened;
use super::super::state::State;
use super::{MemoryStore, Shared, lock, wire};

/// One step that a store takes on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// The store is opened.
    Open,
    /// A commit is written; so many bytes.
    Write(usize),
    /// What was written is made to outlast a loss of power.
    Sync,
    /// The commit is made visible and its caller is told.
    Acknowledge,
    /// The log gives way to the state that it led to, in one step.
    Compact,
    /// A reader asks.
    Read,
    /// The store is closed.
    Close,
}

/// What becomes of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It happens.
    Proceed,
    /// It does not happen, and whoever asked for it is told why. A write leaves nothing, a sync leaves what was written in
    /// doubt.
    Fail(StoreError),
    /// The process ends before it.
    CrashBefore,
    /// The process ends after it: of a sync, say, nobody is told that it worked.
    CrashAfter,
    /// The process ends within a write: so many of its bytes reach the disk. Of another operation: it ends before.
    Tear(usize),
}

/// Decides of the operation with this number, counted from 0.
type Hook = Box<dyn FnMut(u64, Operation) -> Effect + Send>;

/// A disk that outlives its store; clones are the same disk.
///
/// # Examples
///
/// ```
/// use visu_tility_core::store::{Commit, Effect, JournalPiece, MemoryDisk, Operation, Store, StoreLimits};
///
/// let disk = MemoryDisk::new();
/// let (mut store, _) = disk.open(StoreLimits::default())?;
/// let piece = |first_offset| JournalPiece { first_offset, entries: 1, bytes: vec![7] };
/// store.commit(&Commit { journal: vec![piece(0)], ..Commit::default() })?;
///
/// // The next commit is torn after five bytes.
/// disk.set_hook(|_, operation| match operation {
///     Operation::Write(_) => Effect::Tear(5),
///     _ => Effect::Proceed,
/// });
/// assert!(store.commit(&Commit { journal: vec![piece(1)], ..Commit::default() }).is_err());
///
/// let (store, opened) = disk.after_kill().open(StoreLimits::default())?;
/// assert!(!opened.clean);
/// assert_eq!(store.reader()?.summary()?.next_offset, 1);
/// # Ok::<(), visu_tility_core::store::StoreError>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    image: Image,
    /// The end of what was acknowledged, or is free to be written over.
    end: usize,
    /// Bytes of the log after which it gives way to its state; 0 is [`COMPACT_BYTES`].
    compact_bytes: usize,
    held: bool,
    crashed: bool,
    operations: u64,
    hook: Option<Hook>,
}

/// What would be found.
#[derive(Clone, Default)]
struct Image {
    /// What the log begins from.
    base: State,
    log: Vec<u8>,
    /// How much of the log outlasts a loss of power.
    synced: usize,
    used: bool,
    clean: bool,
}

/// Bytes of a frame around a commit: its length before it and the sum after it.
const FRAME: usize = 16;
const COMPACT_BYTES: usize = 16 << 20;

impl MemoryDisk {
    /// An empty disk on which everything works.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `hook` decide of every operation from now on, by its number, counted from 0, and its kind. A delay is the
    /// hook's own affair: it may count, or move a clock that the test holds. It may not use this disk.
    pub fn set_hook(&self, hook: impl FnMut(u64, Operation) -> Effect + Send + 'static) {
        lock(&self.0).hook = Some(Box::new(hook));
    }

    /// Lets everything work again.
    pub fn clear_hook(&self) {
        lock(&self.0).hook = None;
    }

    /// Lets the log give way to its state when it is longer than this. Default 16 MiB.
    pub fn compact_at(&self, bytes: usize) {
        lock(&self.0).compact_bytes = bytes.max(1);
    }

    /// Opens the store that is on the disk, or a new one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] while another one is open, [`StoreError::Corrupt`] when bytes that were synced are damaged,
    /// and what the hook says.
    pub fn open(&self, limits: StoreLimits) -> Result<(MemoryStore, Opened), StoreError> {
        let mut inner = lock(&self.0);
        if inner.held {
            return Err(StoreError::Locked { path: "memory".into(), pid: None });
        }
        inner.step(Operation::Open)?;
        let (state, end) = inner.image.replay()?;
        let opened = Opened { new: !inner.image.used, clean: !inner.image.used || inner.image.clean };
        inner.image.log.truncate(end);
        inner.image.synced = inner.image.synced.min(end);
        (inner.image.used, inner.image.clean) = (true, false);
        (inner.end, inner.held) = (end, true);
        drop(inner);
        let store = MemoryStore { state: Arc::new(Mutex::new(state)), limits, disk: Some(self.clone()) };
        Ok((store, opened))
    }

    /// How many operations there have been.
    pub fn operations(&self) -> u64 {
        lock(&self.0).operations
    }

    /// Whether the process has ended; until then this disk's stores can still be used.
    pub fn is_crashed(&self) -> bool {
        lock(&self.0).crashed
    }

    /// Bytes that were written and that a loss of power may take.
    pub fn unsynced(&self) -> usize {
        let inner = lock(&self.0);
        inner.image.log.len() - inner.image.synced
    }

    /// The disk as it would be found if the process ended now: all that was written is there.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let inner = lock(&self.0);
        let (image, compact_bytes) = (inner.image.clone(), inner.compact_bytes);
        Self(Arc::new(Mutex::new(Inner { image, compact_bytes, ..Inner::default() })))
    }

    /// The disk as it would be found if the power failed now: what was synced is there, and of what was only written the
    /// first `kept` bytes.
    #[must_use]
    pub fn after_power_loss(&self, kept: usize) -> Self {
        let after = self.after_kill();
        {
            let image = &mut lock(&after.0).image;
            let end = image.synced.saturating_add(kept).min(image.log.len());
            image.log.truncate(end);
        }
        after
    }

    /// Changes bits of the byte at `place` of the log, as rot would; whether there is such a byte.
    pub fn rot(&self, place: usize, bits: u8) -> bool {
        lock(&self.0).image.log.get_mut(place).map(|byte| *byte ^= bits).is_some()
    }

    /// Makes a commit durable, then visible.
    pub(super) fn commit(
        &self,
        shared: &Shared,
        commit: &Commit,
        limits: &StoreLimits,
    ) -> Result<Committed, StoreError> {
        let mut inner = lock(&self.0);
        inner.alive()?;
        // What is refused must not reach the disk.
        lock(shared).admit(commit, limits)?;
        if commit.is_empty() {
            return lock(shared).apply(commit, limits);
        }
        inner.append(&frame(commit, limits))?;
        let effect = inner.ask(Operation::Sync);
        inner.image.synced = if happens(&effect) { inner.image.log.len() } else { inner.image.synced };
        inner.settle(Operation::Sync, effect)?;
        inner.step(Operation::Acknowledge)?;
        // Until here what was written is in doubt: the next write goes over it.
        inner.end = inner.image.log.len();
        let committed = lock(shared).apply(commit, limits)?;
        let most = if inner.compact_bytes == 0 { COMPACT_BYTES } else { inner.compact_bytes };
        if inner.end > most {
            // The commit is there whether this works or not, but nobody answers after a crash.
            let effect = inner.ask(Operation::Compact);
            if happens(&effect) {
                inner.image.base = lock(shared).clone();
                inner.image.log.clear();
                (inner.image.synced, inner.end) = (0, 0);
            }
            if !matches!(effect, Effect::Fail(_)) {
                inner.settle(Operation::Compact, effect)?;
            }
        }
        Ok(committed)
    }

    pub(super) fn read(&self) -> Result<(), StoreError> {
        lock(&self.0).step(Operation::Read)
    }

    pub(super) fn close(&self) -> Result<(), StoreError> {
        let mut inner = lock(&self.0);
        let effect = inner.ask(Operation::Close);
        if happens(&effect) && !inner.crashed {
            // What a failure left in doubt is out of doubt now.
            let end = inner.end;
            inner.image.log.truncate(end);
            (inner.image.synced, inner.image.clean) = (end, true);
        }
        inner.settle(Operation::Close, effect)
    }

    pub(super) fn let_go(&self) {
        let mut inner = lock(&self.0);
        // What a failed sync left in doubt stays to be found.
        inner.held = false;
    }
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = lock(&self.0);
        f.debug_struct("MemoryDisk")
            .field("log", &inner.image.log.len())
            .field("synced", &inner.image.synced)
            .field("operations", &inner.operations)
            .field("crashed", &inner.crashed)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn alive(&self) -> Result<(), StoreError> {
        if self.crashed { Err(StoreError::io("use the disk", "the process has ended")) } else { Ok(()) }
    }

    /// Counts an operation and asks what becomes of it.
    fn ask(&mut self, operation: Operation) -> Effect {
        if self.crashed {
            return Effect::CrashBefore;
        }
        let number = self.operations;
        self.operations += 1;
        self.hook.as_mut().map_or(Effect::Proceed, |hook| hook(number, operation))
    }

    /// Answers what the one who asked for an operation is told.
    fn settle(&mut self, operation: Operation, effect: Effect) -> Result<(), StoreError> {
        match effect {
            Effect::Proceed => Ok(()),
            Effect::Fail(error) => Err(error),
            Effect::CrashBefore | Effect::CrashAfter | Effect::Tear(_) => {
                self.crashed = true;
                Err(StoreError::io(format!("{operation:?}"), "the process has ended"))
            }
        }
    }

    /// An operation that changes nothing on the disk.
    fn step(&mut self, operation: Operation) -> Result<(), StoreError> {
        self.alive()?;
        let effect = self.ask(operation);
        self.settle(operation, effect)
    }

    /// Writes a frame after what was acknowledged; what an earlier failure left there is written over.
    fn append(&mut self, frame: &[u8]) -> Result<(), StoreError> {
        let operation = Operation::Write(frame.len());
        let effect = self.ask(operation);
        let written = match effect {
            Effect::Proceed | Effect::CrashAfter => frame.len(),
            Effect::Tear(bytes) => bytes.min(frame.len()),
            Effect::Fail(_) | Effect::CrashBefore => 0,
        };
        if written > 0 {
            self.image.log.truncate(self.end);
            self.image.synced = self.image.synced.min(self.end);
            self.image.log.extend(frame.iter().take(written));
        }
        self.settle(operation, effect)
    }
}

impl Image {
    /// Folds the log over the base; the end of what is whole.
    fn replay(&self) -> Result<(State, usize), StoreError> {
        let mut state = self.base.clone();
        let mut end = 0;
        while let Some(commit) = self.log.get(end..).and_then(unframe) {
            let damage = |detail: &dyn fmt::Display| {
                StoreError::corrupt(format!("the log at byte {end}"), &detail.to_string())
            };
            let mut rings = Reader::new(commit);
            let (history, letters) = (rings.u64().unwrap_or_default(), rings.u64().unwrap_or_default());
            let taken = wire::read(&mut rings).map_err(|error| damage(&error))?;
            state.apply(&taken, &as_taken(history, letters)).map_err(|error| damage(&error))?;
            end += commit.len() + FRAME;
        }
        if end < self.synced {
            return Err(StoreError::corrupt(
                format!("the log at byte {end}"),
                "a commit that was synced is not whole",
            ));
        }
        Ok((state, end))
    }
}

/// Whether an operation that is all or nothing happens.
const fn happens(effect: &Effect) -> bool {
    matches!(effect, Effect::Proceed | Effect::CrashAfter)
}

/// What was taken once is taken when it is read again, whatever the limits are now; rings are as long as they were.
const fn as_taken(outbox_history_max: u64, dead_letters_max: u64) -> StoreLimits {
    let (journal_bytes_max, outbox_waiting_max) = (u64::MAX, u64::MAX);
    StoreLimits { journal_bytes_max, outbox_waiting_max, outbox_history_max, dead_letters_max }
}

fn frame(commit: &Commit, limits: &StoreLimits) -> Vec<u8> {
    let mut bytes = vec![0; 8];
    put_u64(&mut bytes, limits.outbox_history_max);
    put_u64(&mut bytes, limits.dead_letters_max);
    wire::write(commit, &mut bytes);
    let length = (bytes.len() - 8) as u64;
    if let Some(head) = bytes.first_chunk_mut() {
        *head = length.to_le_bytes();
    }
    let sum = checksum(&bytes);
    put_u64(&mut bytes, sum);
    bytes
}

/// The commit of the first frame; `None` when it is not whole.
fn unframe(bytes: &[u8]) -> Option<&[u8]> {
    let length = usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()?;
    let body = bytes.get(..length.checked_add(8)?)?;
    let sum = bytes.get(body.len()..)?.first_chunk()?;
    (checksum(body) == u64::from_le_bytes(*sum)).then(|| body.get(8..)).flatten()
}
