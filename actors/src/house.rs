//! What a handle holds: the board, the addresses of the shards, and the threads that were started for it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use actix::{ArbiterHandle, System};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use visu_tility_core::store::{StoreLimits, StoreReader, StoredPhase};
use visu_tility_core::{IngestError, MetricEvent, ModelId, MonitorPlan};

use crate::board::Board;
use crate::census::Census;
use crate::control::{Control, ControlError};
use crate::directory::ModelEntry;
use crate::ledger::dispatch::sort;
use crate::ledger::inbox::{Events, Reply, What};
use crate::ledger::replay::RecoveryReport;
use crate::ledger::status::Figures;
use crate::outlet::Outlet;
use crate::routed::{Batch, BatchReceipt, Load, Rejected, Routed};
use crate::seats::Seats;
use crate::shard::{LastHandleGone, Poke, Settle};
use crate::watchdog::Watchdog;

/// Models that are read at a time.
const MODELS_PAGE: usize = 1_024;

/// What all handles of one monitoring share. When the last is dropped, the actors stop.
pub(crate) struct House {
    pub(crate) board: Arc<Board>,
    pub(crate) outlet: Arc<Outlet>,
    pub(crate) shards: Arc<Seats>,
    pub(crate) plan: Mutex<Arc<MonitorPlan>>,
    pub(crate) census: Census,
    pub(crate) watchdog: Arc<Watchdog>,
    /// Where helpers run: no shard's thread, unless the monitoring has none of its own.
    pub(crate) arbiter: ArbiterHandle,
    /// Of the threads that were started for it.
    pub(crate) system: Option<System>,
    /// Whether a shutdown has come to its end with all stages done.
    pub(crate) drained: AtomicBool,
    /// With a store.
    pub(crate) durable: Option<Durable>,
    /// The watchdog's thread ends when this is dropped.
    #[expect(dead_code, reason = "held until the house is dropped")]
    pub(crate) leash: Option<std::sync::mpsc::Sender<()>>,
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

/// Models whose places events need until they are journaled; none without a store.
pub(crate) type Pins = Vec<Arc<ModelEntry>>;

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

    /// As [`House::route_all`], up to the first vector that finds no place; answers how many events were looked at.
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
                Err(error) => receipt.rejected.push(Rejected { index: from + index, error }),
            }
        }
        (routed, events.len())
    }

    /// Checks the times of events that were routed by their publisher.
    pub(crate) fn check_times(&self, routed: &mut Vec<Routed>, from: usize, receipt: &mut BatchReceipt) {
        let limit = self.board.limit();
        let newest = routed.iter().map(|event| event.at).max().unwrap_or_default();
        if newest <= limit {
            self.board.note_newest(newest);
            return;
        }
        let mut index = from;
        routed.retain(|event| {
            let checked = self.board.stamp(Some(event.at), limit);
            index += 1;
            if let Err(error) = checked {
                receipt.rejected.push(Rejected { index: index - 1, error });
                return false;
            }
            true
        });
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

    /// A model that is known by name.
    pub(crate) fn known(&self, model_id: &str) -> Result<Arc<ModelEntry>, ControlError> {
        let entry = self.board.directory.with(model_id, Arc::clone);
        let entry = entry.or_else(|| self.known_to_store(model_id));
        entry.ok_or_else(|| ControlError::UnknownModel(model_id.to_owned()))
    }

    /// A model that sleeps in the store and is given a place.
    fn known_to_store(&self, model_id: &str) -> Option<Arc<ModelEntry>> {
        let durable = self.durable.as_ref()?;
        let model = ModelId::new(model_id).ok()?;
        let row = durable.reader.lock().model(&model).ok().flatten()?;
        let alive = row.phase != StoredPhase::Forgotten;
        alive.then(|| self.board.directory.insert_again(&model).ok())?
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

    /// A plan as a replay would find it: with the observers that the builder was given.
    pub(crate) fn as_kept(&self, plan: &MonitorPlan, text: &str) -> Result<Arc<MonitorPlan>, String> {
        let Some(durable) = &self.durable else { return Ok(Arc::new(plan.clone())) };
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

    /// Leaves a request in a shard's control lane and waits for the answer.
    ///
    /// Of a shard that is taken over meanwhile the successor answers, unless the request was begun before.
    pub(crate) async fn ask<T>(
        &self,
        shard: usize,
        request: impl FnOnce(oneshot::Sender<T>) -> Control,
    ) -> Result<T, ControlError> {
        let mut shifts = self.board.shifts();
        let (reply, mut answer) = oneshot::channel();
        let epoch = self.leave(shard, request(reply)).await?;
        loop {
            if let Some(answered) = first(&mut answer, pin!(shifts.changed())).await {
                return answered.map_err(|_| ControlError::Closed);
            }
            if let Some(stuck) = self.watchdog.given_up(shard) {
                return Err(ControlError::Stuck(Box::new(stuck)));
            }
            if self.board.dock(shard).is_some_and(|dock| dock.epoch != epoch) {
                // Behind all that was left in the lane.
                let (reply, mut behind) = oneshot::channel();
                self.leave(shard, Control::Status(reply)).await?;
                let answered = first(&mut answer, pin!(&mut behind)).await;
                let answered = answered.and_then(Result::ok).or_else(|| answer.try_recv().ok());
                return answered.ok_or(ControlError::Interrupted);
            }
        }
    }

    /// Leaves a request; answers how often the shard was taken over before.
    async fn leave(&self, shard: usize, control: Control) -> Result<u64, ControlError> {
        let mut control = Some(control);
        loop {
            let mut shifts = self.board.shifts();
            if let Some(stuck) = self.watchdog.given_up(shard) {
                return Err(ControlError::Stuck(Box::new(stuck)));
            }
            let addr = self.shards.get(shard).filter(actix::Addr::connected).ok_or(ControlError::Closed)?;
            let dock = self.board.dock(shard).ok_or(ControlError::Closed)?;
            match dock.request(&mut control) {
                Ok(()) => {
                    addr.do_send(Poke);
                    return Ok(dock.epoch);
                }
                // Its successor is about to come.
                Err(ControlError::Closed) if dock.is_fenced() => drop(shifts.changed().await),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until every shard has handled what was queued before.
    ///
    /// With a store: and until its decisions are recorded, delivered and settled.
    pub(crate) async fn settle(&self) -> Result<(), ControlError> {
        let _ = self.recovered().await;
        self.flush_ledger().await;
        let settle = |shard| {
            let (settled, wait) = oneshot::channel();
            if let Some(addr) = self.shards.get(shard) {
                addr.do_send(Settle(settled));
            }
            wait
        };
        let shifts = self.board.shifts();
        let waits: Vec<_> =
            (0..self.shards.len()).map(|shard| (shard, self.shards.epoch(shard), settle(shard))).collect();
        for (shard, mut epoch, mut wait) in waits {
            let mut shifts = shifts.clone();
            loop {
                if let Some(stuck) = self.watchdog.given_up(shard) {
                    return Err(ControlError::Stuck(Box::new(stuck)));
                }
                let settled = first(&mut wait, pin!(shifts.changed())).await;
                // Who was asked may be gone: its successor is asked instead.
                let present = self.shards.epoch(shard);
                match settled {
                    Some(Ok(())) => break,
                    _ if present != epoch => (epoch, wait) = (present, settle(shard)),
                    Some(Err(_)) => return Err(ControlError::Closed),
                    None => {}
                }
            }
        }
        self.outlet.settle().await;
        self.flush_ledger().await;
        Ok(())
    }
}

/// Waits for an answer, or for what comes instead: then `None`.
async fn first<T, U>(
    answer: &mut oneshot::Receiver<T>,
    mut instead: Pin<&mut impl Future<Output = U>>,
) -> Option<Result<T, oneshot::error::RecvError>> {
    poll_fn(|cx| match Pin::new(&mut *answer).poll(cx) {
        Poll::Ready(answered) => Poll::Ready(Some(answered)),
        Poll::Pending => instead.as_mut().poll(cx).map(|_| None),
    })
    .await
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
