//! What the edge and all shards share: names, offsets, the docks and addresses of shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use actix::{Addr, WeakAddr};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{OwnedSemaphorePermit, watch};
use visu_tility_core::journal::Turn as Life;
use visu_tility_core::{IngestError, MetricEvent, MetricKind, SeriesKey, Timestamp, Version};

use crate::control::{ControlError, Steering};
use crate::directory::{Directory, ModelEntry, Pins};
use crate::dock::Dock;
use crate::journaled::Journaled;
use crate::ledger::inbox::{Events, Inbox, Piece, Reply, What};
use crate::routed::{Batch, Load, Routed};
use crate::shard::ModelSupervisor;
use crate::status::ShardStatus;
use crate::steady::Steady;
use crate::timing::{Bounds, Timing};
use crate::vectors::{Unqueued, Vectors};

/// What the edge and all shards share. Holds no strong address, so that nothing keeps itself alive.
pub(crate) struct Board {
    pub(crate) directory: Directory,
    docks: Vec<RwLock<Arc<Dock>>>,
    /// Told when a shard is found stuck, or is taken over.
    shifts: watch::Sender<u64>,
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
    peers: RwLock<Vec<WeakAddr<ModelSupervisor>>>,
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
            docks: docks.into_iter().map(RwLock::new).collect(),
            shifts: watch::Sender::new(0),
            vectors: Vectors::default(),
            clock,
            timing,
            refused_series: AtomicU64::new(0),
            offset: Mutex::new(first_offset),
            ledger,
            closed: AtomicBool::new(false),
            peers: RwLock::default(),
        }
    }

    pub(crate) fn introduce(&self, peers: Vec<WeakAddr<ModelSupervisor>>) {
        // Called once, by the builder.
        *self.peers.write() = peers;
    }

    /// How many shards there are.
    pub(crate) const fn shards(&self) -> usize {
        self.docks.len()
    }

    /// What the edge shares with one shard.
    pub(crate) fn dock(&self, shard: usize) -> Option<Arc<Dock>> {
        Some(Arc::clone(&*self.docks.get(shard)?.read()))
    }

    /// The docks of all shards.
    pub(crate) fn docks(&self) -> impl Iterator<Item = Arc<Dock>> {
        self.docks.iter().map(|dock| Arc::clone(&*dock.read()))
    }

    /// Has a shard's successor take its place.
    pub(crate) fn replace(&self, shard: usize, dock: Arc<Dock>, addr: WeakAddr<ModelSupervisor>) {
        if let Some(slot) = self.docks.get(shard) {
            *slot.write() = dock;
        }
        if let Some(slot) = self.peers.write().get_mut(shard) {
            *slot = addr;
        }
    }

    /// Tells who waits for a shard that something has changed.
    pub(crate) fn shift(&self) {
        self.shifts.send_modify(|shifts| *shifts = shifts.wrapping_add(1));
    }

    /// Is told when a shard is found stuck, or is taken over.
    pub(crate) fn shifts(&self) -> watch::Receiver<u64> {
        self.shifts.subscribe()
    }

    /// What is known of a shard without asking it.
    pub(crate) fn status_of(&self, shard: usize) -> ShardStatus {
        let Some(dock) = self.dock(shard) else { return ShardStatus::default() };
        ShardStatus {
            shard,
            held: dock.held.load(Ordering::Acquire),
            batches: dock.batches(),
            credits_out: dock.credits_out(),
            credits: dock.credits_max,
            refused_full: dock.refused_full.load(Ordering::Relaxed),
            ..ShardStatus::default()
        }
    }

    /// Waits for room for so many events in a shard.
    pub(crate) async fn room(
        &self,
        shard: usize,
        events: usize,
    ) -> Result<OwnedSemaphorePermit, IngestError> {
        loop {
            let dock = self.dock(shard).ok_or(IngestError::Closed)?;
            match dock.room(events).await {
                // Its credits went with it; there are new ones.
                Err(IngestError::Closed) if dock.is_fenced() => {}
                done => return done,
            }
        }
    }

    /// Takes room for so many events in a shard, if there is.
    pub(crate) fn try_room(&self, shard: usize, events: usize) -> Result<OwnedSemaphorePermit, IngestError> {
        loop {
            let dock = self.dock(shard).ok_or(IngestError::Closed)?;
            match dock.try_room(events) {
                Err(IngestError::Closed) if dock.is_fenced() => {}
                done => return done,
            }
        }
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
        pins: &mut Pins,
    ) -> Result<Routed, IngestError> {
        let at = self.stamp(event.ts(), limit)?;
        let routed = self.directory.with_or_insert(event.model_id(), |entry: &Arc<ModelEntry>| {
            if self.ledger.is_some() {
                pins.add(entry);
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
            if let Some(dock) = self.dock(shard) {
                dock.took(load.as_slice().len());
                send(
                    shard,
                    Batch { base, load, permit, reply: None, asked: false, replayed: false, pins: None },
                );
                dock.queued();
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
        pins: Pins,
    ) -> Result<Turn, IngestError> {
        let unqueued = self.watch(&[routed]);
        let shard = routed.address.shard();
        if self.ledger.is_some() {
            let permits = vec![(shard, self.try_room(shard, 1)?)];
            let reply = reply.map_or(Reply::Nobody, Reply::Handled);
            let events = Events { routed: vec![routed], permits, pins, reply };
            let base = self.journal(What::Events(events))?;
            unqueued.queued();
            return Ok(Turn::Queued(base));
        }
        let dock = self.dock(shard).ok_or(IngestError::Closed)?;
        let mut next = self.offset.lock();
        if self.is_closed() {
            return Err(IngestError::Closed);
        }
        let base = *next;
        if here == Some(shard) && dock.batches() == 0 {
            *next += 1;
            dock.took_and_did();
            unqueued.queued();
            return Ok(Turn::Now(base));
        }
        let permit = Some(dock.try_room(1)?);
        let peer = self.peer(shard).ok_or(IngestError::Closed)?;
        dock.took(1);
        let load = Load::One(routed);
        peer.do_send(Batch { base, load, permit, reply, asked: false, replayed: false, pins: None });
        dock.queued();
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
        if let Some(dock) = self.dock(shard) {
            dock.took(batch.load.as_slice().len());
        }
        self.send_again(shard, batch);
    }

    /// As [`Board::send`], for events that are counted already.
    pub(crate) fn send_again(&self, shard: usize, batch: Batch) {
        let (Some(dock), Some(peer)) = (self.dock(shard), self.peer(shard)) else { return };
        peer.do_send(batch);
        dock.queued();
    }

    /// Hands a journal entry that is no event to a shard.
    pub(crate) fn tell(&self, shard: usize, journaled: Journaled) {
        if let Some(peer) = self.peer(shard) {
            peer.do_send(journaled);
        }
    }

    /// A shard's address, while it lives.
    pub(crate) fn peer(&self, shard: usize) -> Option<Addr<ModelSupervisor>> {
        self.peers.read().get(shard)?.upgrade()
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
