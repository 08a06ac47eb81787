//! What a handle holds: the board, the addresses of the shards, and the threads that were started for it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix::{Addr, ArbiterHandle, System};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use visu_tility_core::{IngestError, MetricEvent, MonitorPlan};

use crate::board::Board;
use crate::census::Census;
use crate::control::{Control, ControlError};
use crate::outlet::Outlet;
use crate::routed::{Batch, BatchReceipt, Load, Rejected, Routed};
use crate::shard::{LastHandleGone, ModelSupervisor, Poke, Settle};

/// What all handles of one monitoring share. When the last is dropped, the actors stop.
pub(crate) struct House {
    pub(crate) board: Arc<Board>,
    pub(crate) outlet: Arc<Outlet>,
    pub(crate) shards: Vec<Addr<ModelSupervisor>>,
    pub(crate) plan: Mutex<Arc<MonitorPlan>>,
    pub(crate) census: Census,
    /// Where helpers run: the first shard's arbiter.
    pub(crate) arbiter: ArbiterHandle,
    /// Of the threads that were started for it.
    pub(crate) system: Option<System>,
    /// Whether a shutdown has come to its end with all stages done.
    pub(crate) drained: AtomicBool,
}

/// One batch, sorted by shard, with its credits.
type Loads = Vec<(usize, Load, Option<OwnedSemaphorePermit>)>;

impl House {
    /// Events that are queued in one piece.
    pub(crate) fn piece_max(&self) -> usize {
        let credits = self.board.docks.iter().map(|dock| dock.credits_max).min().unwrap_or(1);
        BatchReceipt::PIECE_MAX.min(credits)
    }

    /// Replaces the names of a piece's events by places; what cannot be taken is noted.
    pub(crate) fn route_all(
        &self,
        events: &[MetricEvent],
        from: usize,
        receipt: &mut BatchReceipt,
    ) -> Vec<Routed> {
        let limit = self.board.limit();
        let mut routed = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            match self.board.route(event, limit) {
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
    ) -> (Vec<Routed>, usize) {
        let limit = self.board.limit();
        let mut routed = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            match self.board.route(event, limit) {
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
    pub(crate) fn sort(&self, routed: Vec<Routed>) -> Vec<(usize, Load)> {
        if self.shards.len() <= 1 {
            return vec![(0, Load::Many(routed))];
        }
        let mut sorted: Vec<(Vec<Routed>, Vec<u32>)> = vec![Default::default(); self.shards.len()];
        for (place, event) in routed.into_iter().enumerate() {
            if let Some((shard, places)) = sorted.get_mut(event.address.shard()) {
                shard.push(event);
                places.push(place as u32);
            }
        }
        let parts = sorted.into_iter().enumerate().filter(|(_, (load, _))| !load.is_empty());
        parts.map(|(shard, (load, places))| (shard, Load::Part(load, places))).collect()
    }

    /// Waits for room in every shard that a piece goes to, then hands it over.
    pub(crate) async fn put(&self, routed: Vec<Routed>) -> Result<u64, IngestError> {
        let events = routed.len() as u64;
        let unqueued = self.board.watch(&routed);
        let mut loads: Loads = Vec::with_capacity(self.shards.len());
        // In the order of the shards, so that two publishers never wait for each other.
        for (shard, load) in self.sort(routed) {
            let dock = self.board.docks.get(shard).ok_or(IngestError::Closed)?;
            let permit = dock.room(load.as_slice().len()).await?;
            loads.push((shard, load, Some(permit)));
        }
        let base = self.enqueue(events, loads)?;
        unqueued.queued();
        Ok(base)
    }

    /// Hands a piece over if there is room in every shard that it goes to.
    pub(crate) fn try_put(&self, routed: Vec<Routed>) -> Result<u64, IngestError> {
        let events = routed.len() as u64;
        let unqueued = self.board.watch(&routed);
        let mut loads: Loads = Vec::with_capacity(self.shards.len());
        for (shard, load) in self.sort(routed) {
            let dock = self.board.docks.get(shard).ok_or(IngestError::Closed)?;
            let permit = dock.try_room(load.as_slice().len())?;
            loads.push((shard, load, Some(permit)));
        }
        let base = self.enqueue(events, loads)?;
        unqueued.queued();
        Ok(base)
    }

    /// Waits for room for one event and hands it over.
    pub(crate) async fn put_one(&self, routed: Routed) -> Result<u64, IngestError> {
        let unqueued = self.board.watch(&[routed]);
        let shard = routed.address.shard();
        let dock = self.board.docks.get(shard).ok_or(IngestError::Closed)?;
        let permit = dock.room(1).await?;
        let base = self.enqueue(1, vec![(shard, Load::One(routed), Some(permit))])?;
        unqueued.queued();
        Ok(base)
    }

    /// Hands one event over if there is room.
    pub(crate) fn try_put_one(&self, routed: Routed) -> Result<u64, IngestError> {
        let unqueued = self.board.watch(&[routed]);
        let shard = routed.address.shard();
        let dock = self.board.docks.get(shard).ok_or(IngestError::Closed)?;
        let permit = dock.try_room(1)?;
        let base = self.enqueue(1, vec![(shard, Load::One(routed), Some(permit))])?;
        unqueued.queued();
        Ok(base)
    }

    fn enqueue(&self, events: u64, loads: Loads) -> Result<u64, IngestError> {
        if !loads.iter().all(|(shard, ..)| self.shards.get(*shard).is_some_and(Addr::connected)) {
            return Err(IngestError::Closed);
        }
        self.board.enqueue(events, loads, |shard, batch: Batch| {
            if let Some(addr) = self.shards.get(shard) {
                addr.do_send(batch);
            }
        })
    }

    /// Leaves a request in a shard's control lane and waits for the answer.
    pub(crate) async fn ask<T>(
        &self,
        shard: usize,
        request: impl FnOnce(oneshot::Sender<T>) -> Control,
    ) -> Result<T, ControlError> {
        let (reply, answer) = oneshot::channel();
        let addr = self.shards.get(shard).filter(|addr| addr.connected()).ok_or(ControlError::Closed)?;
        self.board.docks.get(shard).ok_or(ControlError::Closed)?.request(request(reply))?;
        addr.do_send(Poke);
        answer.await.map_err(|_| ControlError::Closed)
    }

    /// Waits until every shard has handled what was queued before.
    pub(crate) async fn settle(&self) -> Result<(), ControlError> {
        let waits: Vec<_> = self
            .shards
            .iter()
            .map(|addr| {
                let (settled, wait) = oneshot::channel();
                addr.do_send(Settle(settled));
                wait
            })
            .collect();
        for wait in waits {
            wait.await.map_err(|_| ControlError::Closed)?;
        }
        self.outlet.settle().await;
        Ok(())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.board.close();
        for shard in &self.shards {
            shard.do_send(LastHandleGone);
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
