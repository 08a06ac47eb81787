//! What the edge and the shards share: names, offsets, credits, control lanes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use actix::{Addr, WeakAddr};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use visu_tility_core::journal::Turn as Life;
use visu_tility_core::{IngestError, MetricEvent, MetricKind, SeriesKey, Timestamp, Version};

use crate::control::{Control, ControlError, Steering};
use crate::directory::{Directory, ModelEntry};
use crate::journaled::Journaled;
use crate::ledger::inbox::{Events, Inbox, Piece, Reply, What};
use crate::routed::{Batch, Load, Routed};
use crate::shard::ModelSupervisor;
use crate::steady::Steady;
use crate::timing::{Bounds, Timing};
use crate::vectors::{Unqueued, Vectors};

/// Control requests that may wait for one shard.
const CONTROL_MAX: usize = 1_024;

/// What a watchdog reads of a shard, without asking it.
#[derive(Debug, Default)]
pub struct ShardPulse {
    place: AtomicU32,
    progress: AtomicU64,
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

    /// Takes note that so many events are done.
    pub(crate) fn advance(&self, events: u64) {
        self.progress.fetch_add(events, Ordering::Relaxed);
    }
}

/// What the edge and one shard share.
pub(crate) struct Dock {
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
    /// With a store: its journal is full, and what keeps it long is to be saved.
    pub(crate) pressed: AtomicBool,
    pub(crate) pulse: Arc<ShardPulse>,
}

impl Dock {
    pub(crate) fn new(credits_max: usize) -> Self {
        Self {
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
            pressed: AtomicBool::new(false),
            pulse: Arc::default(),
        }
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
    pub(crate) fn request(&self, control: Control) -> Result<(), ControlError> {
        let mut lane = self.control.lock();
        let Some(lane) = lane.as_mut() else { return Err(ControlError::Closed) };
        if lane.len() >= CONTROL_MAX {
            return Err(ControlError::Busy { waiting_max: CONTROL_MAX });
        }
        lane.push_back(control);
        Ok(())
    }

    pub(crate) fn next_control(&self) -> Option<Control> {
        self.control.lock().as_mut()?.pop_front()
    }

    /// Refuses all further requests; who waits for an answer learns that there will be none.
    pub(crate) fn close_control(&self) {
        let left = self.control.lock().take();
        drop(left);
    }

    /// Whether nobody looks there any more.
    pub(crate) fn is_over(&self) -> bool {
        self.control.lock().is_none()
    }

    /// Takes note that a batch of so many events was handled.
    pub(crate) fn handled(&self, events: usize) {
        self.handled.fetch_add(1, Ordering::AcqRel);
        self.events_done.fetch_add(events as u64, Ordering::AcqRel);
    }

    /// Takes note that an event came when the shard was over.
    pub(crate) fn came_too_late(&self) {
        self.events_over.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes note that an event came while its model was paused.
    pub(crate) fn came_while_paused(&self) {
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

/// What the edge and all shards share. Holds no strong address, so that nothing keeps itself alive.
pub(crate) struct Board {
    pub(crate) directory: Directory,
    pub(crate) docks: Vec<Arc<Dock>>,
    pub(crate) vectors: Vectors,
    pub(crate) clock: Arc<Steady>,
    pub(crate) timing: Timing,
    /// Events refused because their model has too many versions and kinds on their way.
    pub(crate) refused_series: AtomicU64,
    /// The next offset. Held while batches are handed to shards, so that the order of offsets is the order
    /// of delivery.
    offset: Mutex<u64>,
    /// With a store: where everything that is to be durable goes.
    pub(crate) ledger: Option<Arc<Inbox>>,
    closed: AtomicBool,
    peers: OnceLock<Vec<WeakAddr<ModelSupervisor>>>,
}

impl Board {
    pub(crate) fn new(
        directory: Directory,
        docks: Vec<Arc<Dock>>,
        clock: Arc<Steady>,
        timing: Timing,
        first_offset: u64,
        ledger: Option<Arc<Inbox>>,
    ) -> Self {
        Self {
            directory,
            docks,
            vectors: Vectors::default(),
            clock,
            timing,
            refused_series: AtomicU64::new(0),
            offset: Mutex::new(first_offset),
            ledger,
            closed: AtomicBool::new(false),
            peers: OnceLock::new(),
        }
    }

    pub(crate) fn introduce(&self, peers: Vec<WeakAddr<ModelSupervisor>>) {
        // Called once, by the builder.
        let _ = self.peers.set(peers);
    }

    pub(crate) fn close(&self) {
        // Under the lock: whoever has it hands over what it has; whoever comes next is refused.
        let _order = self.offset.lock();
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The offset that the next event gets.
    pub(crate) fn next_offset(&self) -> u64 {
        *self.offset.lock()
    }

    /// Replaces an event's names by where its model lives, and its vector by a ticket: whoever does not queue
    /// the event gives the ticket back ([`Board::watch`]).
    /// With a store the model's entry is kept in `pins`, so that it has its place until the event is journaled.
    pub(crate) fn route(
        &self,
        event: &MetricEvent,
        limit: Bounds,
        pins: &mut Vec<Arc<ModelEntry>>,
    ) -> Result<Routed, IngestError> {
        let at = self.stamp(event.ts(), limit)?;
        let routed = self.directory.with_or_insert(event.model_id(), |entry: &Arc<ModelEntry>| {
            if self.ledger.is_some() && pins.last().is_none_or(|last| !Arc::ptr_eq(last, entry)) {
                pins.push(Arc::clone(entry));
            }
            Ok::<Routed, IngestError>(Routed {
                address: entry.address,
                generation: entry.generation,
                key: self.learn_names(entry, event.version(), event.kind(), limit.now)?,
                at,
                value: event.raw_value(),
            })
        })??;
        match event.shared_vector() {
            None => Ok(routed),
            Some(vector) => Ok(Routed { value: self.vectors.put(vector)?, ..routed }),
        }
    }

    /// Keeps the names of a series; counts it when there are too many.
    pub(crate) fn learn_names(
        &self,
        entry: &ModelEntry,
        version: &Version,
        kind: &MetricKind,
        now: u32,
    ) -> Result<SeriesKey, IngestError> {
        // In event time a minute of the clock may be years of events.
        let now = (!self.timing.event_time).then_some(now);
        let learnt = entry.learn(version, kind, self.directory.series_max(), now);
        learnt.inspect_err(|_| {
            self.refused_series.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Gives the tickets of events back unless they are queued.
    pub(crate) fn watch(&self, routed: &[Routed]) -> Unqueued<'_> {
        Unqueued::new(&self.vectors, routed.iter().map(|event| event.value))
    }

    /// Gives batches their offsets and hands them over, in one step for all. Whether the shards live is to be
    /// asked before: either all of a batch is handed over or nothing.
    pub(crate) fn enqueue(
        &self,
        events: u64,
        loads: impl IntoIterator<Item = (usize, Load, Option<OwnedSemaphorePermit>)>,
        mut send: impl FnMut(usize, Batch),
    ) -> Result<u64, IngestError> {
        let mut next = self.offset.lock();
        if self.is_closed() {
            return Err(IngestError::Closed);
        }
        let base = *next;
        *next += events;
        for (shard, load, permit) in loads {
            if let Some(dock) = self.docks.get(shard) {
                dock.events_taken.fetch_add(load.as_slice().len() as u64, Ordering::AcqRel);
                send(shard, Batch { base, load, permit, reply: None, replayed: false, pins: None });
                dock.enqueued.fetch_add(1, Ordering::AcqRel);
            }
        }
        Ok(base)
    }

    /// For a shard's own thread: the offset of one event that may be handled at once, because nothing of
    /// that shard is queued before it; otherwise queues it.
    pub(crate) fn take_turn(
        &self,
        routed: Routed,
        reply: Option<tokio::sync::oneshot::Sender<Result<(), IngestError>>>,
        here: Option<usize>,
        pins: Vec<Arc<ModelEntry>>,
    ) -> Result<Turn, IngestError> {
        let unqueued = self.watch(&[routed]);
        let shard = routed.address.shard();
        let dock = self.docks.get(shard).ok_or(IngestError::Closed)?;
        if self.ledger.is_some() {
            let permits = vec![(shard, dock.try_room(1)?)];
            let reply = reply.map_or(Reply::Nobody, Reply::Handled);
            let events = Events { routed: vec![routed], permits, pins, reply };
            let base = self.journal(What::Events(events))?;
            unqueued.queued();
            return Ok(Turn::Queued(base));
        }
        let mut next = self.offset.lock();
        if self.is_closed() {
            return Err(IngestError::Closed);
        }
        let base = *next;
        if here == Some(shard) && dock.batches() == 0 {
            *next += 1;
            dock.events_taken.fetch_add(1, Ordering::AcqRel);
            dock.events_done.fetch_add(1, Ordering::AcqRel);
            unqueued.queued();
            return Ok(Turn::Now(base));
        }
        let permit = Some(dock.try_room(1)?);
        let peer = self.peer(shard).ok_or(IngestError::Closed)?;
        dock.events_taken.fetch_add(1, Ordering::AcqRel);
        peer.do_send(Batch { base, load: Load::One(routed), permit, reply, replayed: false, pins: None });
        dock.enqueued.fetch_add(1, Ordering::AcqRel);
        *next += 1;
        unqueued.queued();
        Ok(Turn::Queued(base))
    }

    /// Leaves something to be journaled; answers the offset that it is going to have.
    ///
    /// # Errors
    ///
    /// Fails when the monitoring is shut down, or the store takes nothing at present.
    pub(crate) fn journal(&self, what: What) -> Result<u64, IngestError> {
        let inbox = self.ledger.as_ref().ok_or(IngestError::Closed)?;
        let mut next = self.offset.lock();
        let last_words = matches!(what, What::Flush(_) | What::End);
        if self.is_closed() && !last_words {
            return Err(IngestError::Closed);
        }
        let (base, entries) = (*next, what.entries() as u64);
        inbox.push(Piece { base, what })?;
        *next += entries;
        Ok(base)
    }

    /// Has a turn of a model's life journaled.
    ///
    /// # Errors
    ///
    /// As [`Board::journal`], and for a turn that changes no state.
    pub(crate) fn journal_turn(
        &self,
        entry: &Arc<ModelEntry>,
        turn: Steering,
        reply: tokio::sync::oneshot::Sender<Result<(), ControlError>>,
    ) -> Result<(), ControlError> {
        let turn = match turn {
            Steering::Pause => Life::Pause,
            Steering::Resume => Life::Resume,
            Steering::Reset => Life::Reset,
            Steering::Retire => Life::Retire,
            Steering::Passivate => return Err(ControlError::Closed),
        };
        if entry.is_retired() {
            return Err(ControlError::UnknownModel(entry.id.to_string()));
        }
        self.journal(What::Turn(Arc::clone(entry), turn, self.clock.now(), reply))?;
        Ok(())
    }

    /// Has timers that went off journaled; those that cannot be go off again.
    pub(crate) fn journal_ticks(&self, ticks: Vec<(Arc<ModelEntry>, Timestamp)>) {
        let entries: Vec<_> = ticks.iter().map(|(entry, _)| Arc::clone(entry)).collect();
        if self.journal(What::Ticks(ticks)).is_err() {
            for entry in entries {
                let shard = entry.address.shard();
                self.tell(
                    shard,
                    Journaled { offset: 0, what: crate::journaled::Occurrence::TickLost(entry) },
                );
            }
        }
    }

    /// Gives offsets again from `offset` on, after what was to have them is taken back.
    pub(crate) fn begin_again_at(&self, offset: u64, take_back: impl FnOnce()) {
        let mut next = self.offset.lock();
        take_back();
        *next = offset;
    }

    /// Hands a journaled batch to its shard.
    pub(crate) fn send(&self, shard: usize, batch: Batch) {
        let (Some(dock), Some(peer)) = (self.docks.get(shard), self.peer(shard)) else { return };
        dock.events_taken.fetch_add(batch.load.as_slice().len() as u64, Ordering::AcqRel);
        peer.do_send(batch);
        dock.enqueued.fetch_add(1, Ordering::AcqRel);
    }

    /// Hands a journal entry that is no event to a shard.
    pub(crate) fn tell(&self, shard: usize, journaled: Journaled) {
        if let Some(peer) = self.peer(shard) {
            peer.do_send(journaled);
        }
    }

    /// A shard's address, while it lives.
    pub(crate) fn peer(&self, shard: usize) -> Option<Addr<ModelSupervisor>> {
        self.peers.get()?.get(shard)?.upgrade()
    }
}

/// When an event that came to an actor's own address is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// At once, with this offset.
    Now(u64),
    /// In the order of the shard's queue, with this offset.
    Queued(u64),
}
