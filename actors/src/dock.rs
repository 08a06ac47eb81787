//! What the edge and one shard share: credits, the control lane, counts, who waits for an answer; and what a watchdog reads.
//!
//! A shard that is taken over leaves its dock behind: its successor has a new one, and whatever the thread that was stuck
//! still does, it does to the old.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};
use visu_tility_core::{ActionRecord, Footprint, IngestError, MonitorPlan};

use crate::control::{Control, ControlError};
use crate::routed::Batch;
use crate::saving::Returned;

/// Control requests that may wait for one shard.
const CONTROL_MAX: usize = 1_024;

/// What a watchdog reads of a shard, without asking it.
#[derive(Debug, Default)]
pub struct ShardPulse {
    place: AtomicU32,
    progress: AtomicU64,
    /// With a store: the journal entry that is being handled.
    offset: AtomicU64,
}

impl ShardPulse {
    /// Events that the shard has begun to handle, modulo 2^64: one that stands still while
    /// [`ShardPulse::place`] does not change and credits are out is stuck.
    pub fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// The place of the model whose event was begun last.
    pub fn place(&self) -> u32 {
        self.place.load(Ordering::Relaxed)
    }

    /// Takes note that an event of this place begins.
    pub(crate) fn at(&self, place: u32) {
        self.place.store(place, Ordering::Relaxed);
    }

    /// Takes note which entry is being handled.
    pub(crate) fn at_entry(&self, offset: u64) {
        self.offset.store(offset, Ordering::Relaxed);
    }

    /// The entry that was begun last.
    pub(crate) fn entry(&self) -> u64 {
        self.offset.load(Ordering::Relaxed)
    }

    /// Takes note that so many events are done.
    pub(crate) fn advance(&self, events: u64) {
        self.progress.fetch_add(events, Ordering::Relaxed);
    }
}

/// Who waits for a journal entry to be handled.
pub(crate) enum Waiter {
    /// Sent an event of its own.
    Event(oneshot::Sender<Result<(), IngestError>>),
    /// Gave a model's life a turn, or a plan.
    Turn(oneshot::Sender<Result<(), ControlError>>),
}

/// What the edge and one shard share.
pub(crate) struct Dock {
    /// How often the shard was taken over.
    pub(crate) epoch: u64,
    /// Where the shard's thread is in the user's code.
    pub(crate) footprint: Arc<Footprint>,
    /// With a store: who waits for which entry. Here, and not in the mailbox, so that it outlives a takeover.
    waiting: Mutex<BTreeMap<u64, Waiter>>,
    /// Events before this one were counted by who was taken over.
    counted_from: u64,
    /// The plan that the shard follows, so that its observers can be named.
    pub(crate) plan: Mutex<Option<Arc<MonitorPlan>>>,
    pub(crate) credits: Arc<Semaphore>,
    pub(crate) credits_max: usize,
    /// `None` once nobody looks there any more.
    control: Mutex<Option<VecDeque<Control>>>,
    enqueued: AtomicU64,
    handled: AtomicU64,
    /// Events that were acknowledged, and those that were dealt with: shown to their model, held for it, or dead.
    events_taken: AtomicU64,
    events_done: AtomicU64,
    /// Of those dealt with, the ones that came when the shard was over.
    events_over: AtomicU64,
    /// Of those dealt with, the ones that were not shown to their model because it was paused.
    events_unseen: AtomicU64,
    /// Of those dealt with, the ones that still wait for their model's restart.
    pub(crate) held: AtomicUsize,
    pub(crate) refused_full: AtomicU64,
    /// With a store: the offset after the last entry that the shard has handled.
    pub(crate) position: AtomicU64,
    /// With a store: the first offset that a recovery would need for what the shard has handled.
    pub(crate) dirty_from: AtomicU64,
    /// With a store: the number of the shard's last save that is kept.
    pub(crate) saved: AtomicU64,
    /// With a store: decisions that are recorded and that the shard tells its subscribers; no more than its saves had that
    /// are kept, of which the next one waits until it has come to them.
    pub(crate) told: Mutex<Vec<Arc<ActionRecord>>>,
    /// With a store: its journal is full, and all that keeps it long is to be saved.
    pub(crate) pressed: AtomicBool,
    /// With a store: what its journal held has been repeated, and the shard has handled it.
    caught_up: AtomicBool,
    /// The shard is stuck, and nobody takes it over.
    given_up: AtomicBool,
    /// With a store: what of its saves the outbox had no room for. Put here before the save counts as kept.
    pub(crate) returned: Mutex<Vec<Returned>>,
    /// With a store: states that the store refused.
    pub(crate) refused: AtomicU64,
    pub(crate) pulse: Arc<ShardPulse>,
}

impl Dock {
    pub(crate) fn new(credits_max: usize) -> Self {
        Self {
            epoch: 0,
            footprint: Arc::default(),
            waiting: Mutex::default(),
            counted_from: 0,
            plan: Mutex::default(),
            credits: Arc::new(Semaphore::new(credits_max)),
            credits_max,
            control: Mutex::new(Some(VecDeque::new())),
            enqueued: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            events_taken: AtomicU64::new(0),
            events_done: AtomicU64::new(0),
            events_over: AtomicU64::new(0),
            events_unseen: AtomicU64::new(0),
            held: AtomicUsize::new(0),
            refused_full: AtomicU64::new(0),
            position: AtomicU64::new(0),
            dirty_from: AtomicU64::new(u64::MAX),
            saved: AtomicU64::new(0),
            told: Mutex::default(),
            pressed: AtomicBool::new(false),
            caught_up: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            returned: Mutex::default(),
            refused: AtomicU64::new(0),
            pulse: Arc::default(),
        }
    }

    /// The dock of who takes the shard over; the shard's journal is needed from `low` on.
    ///
    /// Who waits for an answer, the requests of the control lane and what is still to be told go over with the counts.
    pub(crate) fn heir(&self, low: u64) -> Self {
        let copy = |count: &AtomicU64| AtomicU64::new(count.load(Ordering::Acquire));
        Self {
            epoch: self.epoch + 1,
            waiting: Mutex::new(std::mem::take(&mut *self.waiting.lock())),
            counted_from: self.position.load(Ordering::Acquire).max(self.counted_from),
            control: Mutex::new(self.control.lock().take()),
            events_taken: copy(&self.events_taken),
            events_done: copy(&self.events_done),
            events_over: copy(&self.events_over),
            events_unseen: copy(&self.events_unseen),
            refused_full: copy(&self.refused_full),
            position: AtomicU64::new(low),
            told: Mutex::new(std::mem::take(&mut *self.told.lock())),
            ..Self::new(self.credits_max)
        }
    }

    /// Whether an entry was handled by who was taken over.
    pub(crate) const fn was_handled(&self, offset: u64) -> bool {
        offset < self.counted_from
    }

    /// Keeps out who is taken over: whatever it does is thrown away.
    pub(crate) fn fence(&self) {
        self.footprint.fence();
    }

    /// Once its successor is there: who waits for credits looks for new ones.
    pub(crate) fn send_on(&self) {
        self.credits.close();
    }

    /// Whether the shard of this dock was taken over.
    pub(crate) fn is_fenced(&self) -> bool {
        self.footprint.is_fenced()
    }

    /// Has this thread leave its mark here, in a model's place.
    pub(crate) fn enter(&self, place: u32) {
        self.footprint.stand();
        self.pulse.at(place);
    }

    /// Has somebody wait for an entry.
    pub(crate) fn owe(&self, offset: u64, waiter: Waiter) {
        self.waiting.lock().insert(offset, waiter);
    }

    /// Whoever waits for an entry.
    pub(crate) fn waiter(&self, offset: u64) -> Option<Waiter> {
        self.waiting.lock().remove(&offset)
    }

    /// Tells who waits for an event what became of it.
    pub(crate) fn answer(&self, offset: u64, done: &Result<(), IngestError>) {
        if let Some(Waiter::Event(reply)) = self.waiter(offset) {
            let _ = reply.send(done.clone());
        }
    }

    /// Takes note of events that are on their way.
    pub(crate) fn took(&self, events: usize) {
        self.events_taken.fetch_add(events as u64, Ordering::AcqRel);
    }

    /// Takes note that an event was handled at once.
    pub(crate) fn took_and_did(&self) {
        self.took(1);
        self.events_done.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes note that a batch was handed over.
    pub(crate) fn queued(&self) {
        self.enqueued.fetch_add(1, Ordering::AcqRel);
    }

    /// Events that hold a credit: on their way or being handled.
    pub(crate) fn credits_out(&self) -> usize {
        self.credits_max.saturating_sub(self.credits.available_permits())
    }

    /// Waits for room for so many events.
    pub(crate) async fn room(&self, events: usize) -> Result<OwnedSemaphorePermit, IngestError> {
        let wanted = u32::try_from(events.min(self.credits_max)).unwrap_or(u32::MAX);
        Arc::clone(&self.credits).acquire_many_owned(wanted).await.map_err(|_| IngestError::Closed)
    }

    /// Takes room for so many events, if there is.
    pub(crate) fn try_room(&self, events: usize) -> Result<OwnedSemaphorePermit, IngestError> {
        let wanted = u32::try_from(events).unwrap_or(u32::MAX);
        Arc::clone(&self.credits).try_acquire_many_owned(wanted).map_err(|error| match error {
            TryAcquireError::Closed => IngestError::Closed,
            TryAcquireError::NoPermits => {
                self.refused_full.fetch_add(events as u64, Ordering::Relaxed);
                IngestError::Full { waiting: self.credits_out(), credits: self.credits_max }
            }
        })
    }

    /// Leaves a control request where the shard looks before each batch.
    pub(crate) fn request(&self, control: &mut Option<Control>) -> Result<(), ControlError> {
        let mut lane = self.control.lock();
        let Some(lane) = lane.as_mut() else { return Err(ControlError::Closed) };
        if lane.len() >= CONTROL_MAX {
            return Err(ControlError::Busy { waiting_max: CONTROL_MAX });
        }
        lane.extend(control.take());
        Ok(())
    }

    /// Takes the next request; while the journal is repeated none that is about a model, since what is owed to that model
    /// comes first. They keep their order, and go over to who takes the shard over.
    pub(crate) fn next_control(&self, repeating: bool) -> Option<Control> {
        let mut lane = self.control.lock();
        let lane = lane.as_mut()?;
        if !repeating {
            return lane.pop_front();
        }
        let place = lane.iter().position(|control| !control.waits())?;
        lane.remove(place)
    }

    /// Takes note that the shard has handled all that was repeated.
    pub(crate) fn catch_up(&self) {
        self.caught_up.store(true, Ordering::Release);
    }

    /// Takes note whether the shard is stuck with nobody to take it over.
    pub(crate) fn give_up(&self, given_up: bool) {
        self.given_up.store(given_up, Ordering::Release);
    }

    /// Whether the shard has handled all that was repeated, or is not going to.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Acquire) || self.given_up.load(Ordering::Acquire) || self.is_over()
    }

    /// Refuses all further requests; who waits for an answer learns that there will be none.
    pub(crate) fn close_control(&self) {
        let left = self.control.lock().take();
        drop(left);
    }

    /// Nobody is going to be answered any more.
    pub(crate) fn leave(&self) {
        self.close_control();
        let left = std::mem::take(&mut *self.waiting.lock());
        drop(left);
    }

    /// Whether nobody looks there any more.
    pub(crate) fn is_over(&self) -> bool {
        self.control.lock().is_none()
    }

    /// Takes note that a batch was handled.
    pub(crate) fn handled(&self, batch: &Batch) {
        let all = batch.load.as_slice().len();
        let events = if batch.base >= self.counted_from {
            all
        } else {
            (0..all).filter(|place| batch.offset_of(*place) >= self.counted_from).count()
        };
        self.handled.fetch_add(1, Ordering::AcqRel);
        self.events_done.fetch_add(events as u64, Ordering::AcqRel);
    }

    /// Takes note that an event came when the shard was over.
    pub(crate) fn came_too_late(&self) {
        self.events_over.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes note that an event came while its model was paused.
    pub(crate) fn came_while_paused(&self, offset: u64) {
        if offset < self.counted_from {
            return;
        }
        self.events_unseen.fetch_add(1, Ordering::AcqRel);
    }

    /// Events that were acknowledged, split: handled, unseen by a paused model, cut. They are counted as they come
    /// and go: what was in a mailbox that is gone was never done, though its credits came home.
    pub(crate) fn fates(&self) -> (u64, u64, u64) {
        let done = self.events_done.load(Ordering::Acquire);
        let over = self.events_over.load(Ordering::Acquire);
        let held = self.held.load(Ordering::Acquire) as u64;
        let taken = self.events_taken.load(Ordering::Acquire);
        let cut = taken.saturating_sub(done) + over + held;
        let left = taken.saturating_sub(cut);
        // Those of a batch that is not at its end are among the cut.
        let unseen = self.events_unseen.load(Ordering::Acquire).min(left);
        (left - unseen, unseen, cut)
    }

    /// Batches that are queued.
    pub(crate) fn batches(&self) -> u64 {
        self.enqueued.load(Ordering::Acquire).saturating_sub(self.handled.load(Ordering::Acquire))
    }
}
