//! What a handle holds: the board, the addresses of the shards, and the threads that were started for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::{ArbiterHandle, System};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use visu_tility_core::store::{StoreLimits, StoreReader, StoredModel, StoredPhase};
use visu_tility_core::{IngestError, MetricEvent, ModelId, MonitorPlan};

use crate::admission::Standing;
use crate::board::Board;
use crate::census::Census;
use crate::control::ControlError;
use crate::directory::{ModelEntry, Pins};
use crate::ledger::dispatch::sort;
use crate::ledger::inbox::{Events, Reply, What};
use crate::ledger::replay::RecoveryReport;
use crate::ledger::status::Figures;
use crate::outlet::Outlet;
use crate::routed::{Batch, BatchReceipt, Load, Rejected, Routed};
use crate::seats::Seats;
use crate::shard::LastHandleGone;
use crate::watchdog::Watchdog;

mod asking;

/// Models that are read at a time.
const MODELS_PAGE: usize = 1_024;

/// What all handles of one monitoring share. When the last is dropped, the actors stop.
pub(crate) struct House {
    pub(crate) board: Arc<Board>,
    pub(crate) outlet: Arc<Outlet>,
    pub(crate) shards: Arc<Seats>,
    pub(crate) plan: Mutex<Shown>,
    pub(crate) census: Census,
    pub(crate) watchdog: Arc<Watchdog>,
    /// Where helpers run: no shard's thread, unless the monitoring has none of its own.
    pub(crate) arbiter: ArbiterHandle,
    /// Of the threads that were started for it.
    pub(crate) system: Option<System>,
    pub(crate) ending: Ending,
    /// With a store.
    pub(crate) durable: Option<Durable>,
    /// The watchdog's thread ends when this is dropped.
    #[expect(dead_code, reason = "held until the house is dropped")]
    pub(crate) leash: Option<std::sync::mpsc::Sender<()>>,
}

/// The plan that is in force, as far as it was told.
pub(crate) struct Shown {
    pub(crate) plan: Arc<MonitorPlan>,
    /// With a store: the offset of its entry in the journal; 0 when it was in force at the start.
    offset: u64,
}

impl Shown {
    pub(crate) const fn new(plan: Arc<MonitorPlan>) -> Self {
        Self { plan, offset: 0 }
    }

    /// A plan has come into force at an offset. One that did so later stays, in whatever order it was told.
    pub(crate) fn follow(&mut self, plan: &Arc<MonitorPlan>, offset: u64) {
        if offset >= self.offset {
            (self.plan, self.offset) = (Arc::clone(plan), offset);
        }
    }
}

/// What a shutdown knows.
pub(crate) struct Ending {
    /// Whether one has come to its end with all stages done.
    pub(crate) drained: AtomicBool,
    /// The thread that everything runs on, where none was started for it.
    pub(crate) home: Option<std::thread::ThreadId>,
}

impl Ending {
    /// Made on the thread that the monitoring is started on.
    pub(crate) fn of(system: Option<&System>) -> Self {
        let home = system.is_none().then(|| std::thread::current().id());
        Self { drained: AtomicBool::new(false), home }
    }
}

/// What only a monitoring with a store has.
pub(crate) struct Durable {
    /// The plan that the builder was given.
    pub(crate) own: Arc<MonitorPlan>,
    pub(crate) reader: Mutex<Box<dyn StoreReader>>,
    pub(crate) figures: Arc<Figures>,
    pub(crate) recovery: watch::Receiver<Option<RecoveryReport>>,
    /// Whether the ledger was told that nothing comes any more.
    pub(crate) ended: AtomicBool,
}

/// One batch, sorted by shard, with its credits.
type Loads = Vec<(usize, Load, Option<OwnedSemaphorePermit>)>;

impl House {
    /// Events that are queued in one piece.
    pub(crate) fn piece_max(&self) -> usize {
        let credits = self.board.docks().map(|dock| dock.credits_max).min().unwrap_or(1);
        BatchReceipt::PIECE_MAX.min(credits)
    }

    /// Replaces the names of a piece's events by places; what cannot be taken is noted.
    pub(crate) fn route_all(
        &self,
        events: &[MetricEvent],
        from: usize,
        receipt: &mut BatchReceipt,
        pins: &mut Pins,
    ) -> Vec<Routed> {
        let limit = self.board.limit();
        let mut routed = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            match self.board.route(event, limit, pins) {
                Ok(event) => routed.push(event),
                Err(error) => receipt.rejected.push(Rejected { index: from + index, error }),
            }
        }
        routed
    }

    /// As [`House::route_all`], up to the first event that has to wait: a vector that finds no place, or one of which it
    /// cannot be said yet whether its model is known. Answers how many events were looked at.
    pub(crate) fn route_while_room(
        &self,
        events: &[MetricEvent],
        from: usize,
        receipt: &mut BatchReceipt,
        pins: &mut Pins,
    ) -> (Vec<Routed>, usize) {
        let limit = self.board.limit();
        let mut routed = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            match self.board.route(event, limit, pins) {
                Ok(event) => routed.push(event),
                Err(IngestError::Full { .. }) if event.vector().is_some() => return (routed, index),
                Err(IngestError::Store { .. }) if self.is_repeating() => return (routed, index),
                Err(error) => receipt.rejected.push(Rejected { index: from + index, error }),
            }
        }
        (routed, events.len())
    }

    /// Gives back what events hold that are not published after all.
    pub(crate) fn let_go(&self, routed: &[Routed]) {
        drop(self.board.watch(routed));
    }

    /// With a store: whether its journal is still being repeated.
    pub(crate) fn is_repeating(&self) -> bool {
        self.board.directory.gate.is_repeating()
    }

    /// Replaces the names of an event by places, waiting for what it has to wait for.
    pub(crate) async fn route(&self, event: &MetricEvent, pins: &mut Pins) -> Result<Routed, IngestError> {
        let board = &self.board;
        let mut routed = board.route(event, board.limit(), pins);
        if matches!(routed, Err(IngestError::Store { .. })) && self.is_repeating() {
            let _ = self.recovered().await;
            routed = board.route(event, board.limit(), pins);
        }
        match routed {
            Err(IngestError::Full { .. }) => {
                board.vectors.room(|| board.route(event, board.limit(), pins)).await
            }
            done => done,
        }
    }

    /// Checks the times of events that were routed by their publisher. With a store also whose they are, and their models
    /// keep their places from then on.
    pub(crate) fn check_routed(
        &self,
        routed: &mut Vec<Routed>,
        from: usize,
        receipt: &mut BatchReceipt,
    ) -> Pins {
        let limit = self.board.limit();
        // With a store a model loses its place when it sleeps: whoever lives there now is another one.
        let boarding = self.durable.as_ref().map(|_| self.board.directory.board());
        let all_known = || boarding.as_ref().is_none_or(|to| routed.iter().all(|event| to.take(event)));
        if routed.iter().all(|event| limit.hold(event.at)) && all_known() {
            if let Some(newest) = routed.iter().map(|event| event.at).max() {
                self.board.note_newest(newest);
            }
        } else {
            let mut index = from;
            routed.retain(|event| {
                let known = boarding.as_ref().is_none_or(|to| to.take(event));
                let known = if known { Ok(()) } else { Err(IngestError::Retired) };
                let checked = known.and_then(|()| self.board.stamp(Some(event.at), limit));
                index += 1;
                if let Err(error) = checked {
                    receipt.rejected.push(Rejected { index: index - 1, error });
                    return false;
                }
                true
            });
        }
        boarding.map(|boarding| Pins::from(boarding.depart())).unwrap_or_default()
    }

    /// Sorts a piece's events by shard, without credits.
    fn sort(&self, routed: Vec<Routed>) -> Vec<(usize, Load)> {
        sort(routed, self.shards.len())
    }

    /// Waits for room in every shard that a piece goes to, then hands it over.
    ///
    /// With a store it answers when the piece is durable.
    pub(crate) async fn put(&self, routed: Vec<Routed>, pins: Pins) -> Result<u64, IngestError> {
        if self.durable.is_some() {
            return self.put_durably(routed, pins).await;
        }
        let events = routed.len() as u64;
        let unqueued = self.board.watch(&routed);
        let mut loads: Loads = Vec::with_capacity(self.shards.len());
        // In the order of the shards, so that two publishers never wait for each other.
        for (shard, load) in self.sort(routed) {
            let permit = self.board.room(shard, load.as_slice().len()).await?;
            loads.push((shard, load, Some(permit)));
        }
        let base = self.enqueue(events, loads)?;
        unqueued.queued();
        Ok(base)
    }

    /// Hands a piece over if there is room in every shard that it goes to.
    ///
    /// With a store the piece is not durable yet when this answers: what is lost is lost in order.
    pub(crate) fn try_put(&self, routed: Vec<Routed>, pins: Pins) -> Result<u64, IngestError> {
        if self.durable.is_some() {
            return self.try_put_durably(routed, pins);
        }
        let events = routed.len() as u64;
        let unqueued = self.board.watch(&routed);
        let mut loads: Loads = Vec::with_capacity(self.shards.len());
        for (shard, load) in self.sort(routed) {
            let permit = self.board.try_room(shard, load.as_slice().len())?;
            loads.push((shard, load, Some(permit)));
        }
        let base = self.enqueue(events, loads)?;
        unqueued.queued();
        Ok(base)
    }

    /// Waits for room for one event and hands it over.
    pub(crate) async fn put_one(&self, routed: Routed, pins: Pins) -> Result<u64, IngestError> {
        if self.durable.is_some() {
            return self.put_durably(vec![routed], pins).await;
        }
        let unqueued = self.board.watch(&[routed]);
        let shard = routed.address.shard();
        let permit = self.board.room(shard, 1).await?;
        let base = self.enqueue(1, vec![(shard, Load::One(routed), Some(permit))])?;
        unqueued.queued();
        Ok(base)
    }

    /// Hands one event over if there is room.
    pub(crate) fn try_put_one(&self, routed: Routed, pins: Pins) -> Result<u64, IngestError> {
        if self.durable.is_some() {
            return self.try_put_durably(vec![routed], pins);
        }
        let unqueued = self.board.watch(&[routed]);
        let shard = routed.address.shard();
        let permit = self.board.try_room(shard, 1)?;
        let base = self.enqueue(1, vec![(shard, Load::One(routed), Some(permit))])?;
        unqueued.queued();
        Ok(base)
    }

    /// Waits for room in every shard that a piece goes to, and until the piece is in the journal.
    async fn put_durably(&self, routed: Vec<Routed>, pins: Pins) -> Result<u64, IngestError> {
        let unqueued = self.board.watch(&routed);
        let mut permits = Vec::new();
        // In the order of the shards, so that two publishers never wait for each other.
        for (shard, events) in self.count(&routed) {
            permits.push((shard, self.board.room(shard, events).await?));
        }
        self.all_live()?;
        let (reply, durable) = oneshot::channel();
        let events = Events { routed, permits, pins, reply: Reply::Durable(reply) };
        self.board.journal(What::Events(events))?;
        unqueued.queued();
        durable.await.unwrap_or(Err(IngestError::Closed))
    }

    /// Leaves a piece to be journaled if there is room in every shard that it goes to.
    fn try_put_durably(&self, routed: Vec<Routed>, pins: Pins) -> Result<u64, IngestError> {
        let unqueued = self.board.watch(&routed);
        let mut permits = Vec::new();
        for (shard, events) in self.count(&routed) {
            permits.push((shard, self.board.try_room(shard, events)?));
        }
        self.all_live()?;
        let events = Events { routed, permits, pins, reply: Reply::Nobody };
        let base = self.board.journal(What::Events(events))?;
        unqueued.queued();
        Ok(base)
    }

    /// Events for each shard that gets any.
    fn count(&self, routed: &[Routed]) -> Vec<(usize, usize)> {
        if self.shards.len() <= 1 {
            return vec![(0, routed.len())];
        }
        let mut counts = vec![0; self.shards.len()];
        for event in routed {
            if let Some(count) = counts.get_mut(event.address.shard()) {
                *count += 1;
            }
        }
        counts.into_iter().enumerate().filter(|(_, count)| *count > 0).collect()
    }

    fn all_live(&self) -> Result<(), IngestError> {
        if (0..self.shards.len()).all(|shard| self.shards.connected(shard)) {
            Ok(())
        } else {
            Err(IngestError::Closed)
        }
    }

    /// With a store: waits until what was published before is durable or refused, and with the shards.
    pub(crate) async fn flush_ledger(&self) {
        if self.durable.is_some() {
            let (done, flushed) = oneshot::channel();
            if self.board.journal(What::Flush(done)).is_ok() {
                let _ = flushed.await;
            }
        }
    }

    /// With a store: waits until its journal has been repeated.
    pub(crate) async fn recovered(&self) -> RecoveryReport {
        let Some(durable) = &self.durable else { return RecoveryReport::default() };
        let mut recovery = durable.recovery.clone();
        let report = recovery.wait_for(Option::is_some).await.ok().and_then(|report| report.clone());
        report.unwrap_or_else(|| RecoveryReport {
            failed: Some("the monitoring ended first".into()),
            ..RecoveryReport::default()
        })
    }

    /// A model that is known by name; one that sleeps in the store is given a place.
    pub(crate) fn known(&self, model_id: &str) -> Result<Arc<ModelEntry>, ControlError> {
        if let Some(entry) = self.board.directory.with(model_id, Arc::clone) {
            return Ok(entry);
        }
        let unknown = || ControlError::UnknownModel(model_id.to_owned());
        let row = self.stored(model_id)?.ok_or_else(unknown)?;
        self.board.directory.insert_again(&row.model, Standing::Stored).map_err(|_| unknown())
    }

    /// What the store knows of a model that was not retired.
    pub(crate) fn stored(&self, model_id: &str) -> Result<Option<StoredModel>, ControlError> {
        let (Some(durable), Ok(model)) = (&self.durable, ModelId::new(model_id)) else { return Ok(None) };
        let directory = &self.board.directory;
        loop {
            let departures = directory.departures();
            let row = durable.reader.lock().model(&model);
            let row = row.map_err(|error| ControlError::Store(error.to_string()))?;
            if directory.is_leaving(&model) {
                return Ok(None);
            }
            // Else what was read may be older than its retirement.
            if departures == directory.departures() {
                return Ok(row.filter(|row| row.phase != StoredPhase::Forgotten));
            }
        }
    }

    /// The names of all models, those that sleep in the store too.
    pub(crate) fn ids(&self) -> Vec<ModelId> {
        let mut ids = self.board.directory.ids();
        if let Some(durable) = &self.durable {
            let mut reader = durable.reader.lock();
            let mut after: Option<ModelId> = None;
            while let Ok(page) = reader.models(after.as_ref(), MODELS_PAGE) {
                let Some(last) = page.last() else { break };
                after = Some(last.model.clone());
                ids.extend(page.into_iter().map(|row| row.model));
            }
            ids.sort_unstable();
            ids.dedup();
        }
        ids
    }

    /// A plan as a replay would find it: with the observers that the builder was given. Refused while as many changes are
    /// remembered as may be.
    pub(crate) fn as_kept(&self, plan: &MonitorPlan, text: &str) -> Result<Arc<MonitorPlan>, String> {
        let Some(durable) = &self.durable else { return Ok(Arc::new(plan.clone())) };
        if let Some(why_not) = durable.figures.why_no_plan() {
            return Err(why_not);
        }
        let (bytes, max) = (text.len(), StoreLimits::PLAN_BYTES_MAX);
        if bytes > max {
            return Err(format!("the plan is {bytes} bytes long, must be at most {max}"));
        }
        let kept = MonitorPlan::from_kept(text, &durable.own).map_err(|error| error.to_string())?;
        let has = |name: &str| kept.observers().iter().any(|own| own.name() == name);
        match plan.observers().iter().find(|own| !has(own.name())) {
            Some(own) => Err(format!("observer `{}` was not given to the builder", own.name())),
            None => Ok(Arc::new(kept)),
        }
    }

    /// With a store: has the ledger keep what is left and close it.
    pub(crate) fn end_ledger(&self) {
        if let Some(durable) = &self.durable
            && !durable.ended.swap(true, Ordering::AcqRel)
        {
            let _ = self.board.journal(What::End);
        }
    }

    fn enqueue(&self, events: u64, loads: Loads) -> Result<u64, IngestError> {
        if !loads.iter().all(|(shard, ..)| self.shards.connected(*shard)) {
            return Err(IngestError::Closed);
        }
        self.board.enqueue(events, loads, |shard, batch: Batch| {
            if let Some(addr) = self.shards.get(shard) {
                addr.do_send(batch);
            }
        })
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.board.close();
        if self.durable.is_some() {
            // Behind what was published, by way of the ledger.
            self.end_ledger();
        } else {
            for shard in (0..self.shards.len()).filter_map(|shard| self.shards.get(shard)) {
                shard.do_send(LastHandleGone);
            }
        }
        // The threads that were started for this end when the last actor is gone.
        if let Some(system) = self.system.take() {
            let census = self.census.clone();
            self.arbiter.spawn(async move {
                census.empty().await;
                system.stop();
            });
        }
    }
}
