//! The handle: how the rest of a program publishes events, asks, steers and subscribes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::{Addr, Recipient};
use tokio::sync::oneshot;
use visu_tility_core::{Accepted, ActionRecord, IngestError, MetricEvent, ModelId, MonitorPlan, PlanChange};

use crate::alert::InspectDispatcher;
use crate::census::Census;
use crate::control::{Control, ControlError, Order, Steering};
use crate::dead_letter::DeadLetter;
use crate::directory::{ModelEntry, Pins};
use crate::hook::panics_suppressed;
use crate::house::House;
use crate::ledger::inbox::What;
use crate::ledger::opening::written;
use crate::lifecycle::{Decision, Lifecycle};
use crate::model::ModelActor;
use crate::model_handle::{ModelHandle, PublishError};
use crate::routed::{BatchReceipt, Rejected, Routed};
use crate::shard::ModelSupervisor;
use crate::shutdown;
use crate::status::{DrainReport, FleetStatus, ModelStatus};

/// A running monitoring. Clones are handles of the same; when the last one is dropped, its actors handle
/// what is queued and stop.
///
/// Its futures need no runtime: they may be awaited in an actix service, on tokio, or with
/// [`block_on`](crate::block_on) on a plain thread.
///
/// | publishing by | waits | bound | what an error means |
/// |---|---|---|---|
/// | [`publish`](Self::publish), [`publish_batch`](Self::publish_batch) | for room | the shard's credits | not taken |
/// | [`try_publish`](Self::try_publish), [`try_publish_batch`](Self::try_publish_batch) | never | the same; [`IngestError::Full`] when they are out | not taken |
///
/// An event that was taken is handled in the order of its offset, among those of its shard, unless the
/// process dies or a shutdown's deadline comes first; what then becomes of it is in the decisions or in
/// the dead letters.
#[derive(Clone)]
pub struct MonitoringHandle {
    pub(crate) house: Arc<House>,
}

/// A handle that does not keep the monitoring running: for what the monitoring itself holds, such as
/// subscribers and sinks. Made by [`MonitoringHandle::downgrade`].
#[derive(Clone)]
pub struct WeakMonitoringHandle {
    house: Weak<House>,
}

impl WeakMonitoringHandle {
    /// A handle, as long as another one lives.
    pub fn upgrade(&self) -> Option<MonitoringHandle> {
        Some(MonitoringHandle { house: self.house.upgrade()? })
    }
}

impl MonitoringHandle {
    /// Publishes one event, waiting for room; with a store, until it is durable.
    ///
    /// # Errors
    ///
    /// Fails with [`IngestError::Future`], [`IngestError::Past`], [`IngestError::Closed`], with [`IngestError::Limit`],
    /// [`IngestError::Unlisted`], [`IngestError::Unseen`] or [`IngestError::Quota`] when its model is not known, or, with
    /// a store, with [`IngestError::Store`]; the event was then not taken.
    pub async fn publish(&self, event: MetricEvent) -> Result<Accepted, IngestError> {
        let mut pins = Pins::default();
        let routed = self.house.route(&event, &mut pins).await?;
        let first_offset = self.house.put_one(routed, pins).await?;
        Ok(Accepted { events: 1, first_offset })
    }

    /// Publishes one event if there is room. With a store it is on its way to the journal when this answers, and not
    /// durable yet.
    ///
    /// # Errors
    ///
    /// Fails like [`Self::publish`], and with [`IngestError::Full`].
    pub fn try_publish(&self, event: &MetricEvent) -> Result<Accepted, IngestError> {
        let mut pins = Pins::default();
        let routed = self.house.board.route(event, self.house.board.limit(), &mut pins)?;
        let first_offset = self.house.try_put_one(routed, pins)?;
        Ok(Accepted { events: 1, first_offset })
    }

    /// Publishes many events in order, waiting for room. Those that cannot be taken are left out, and the
    /// receipt says which and why.
    pub async fn publish_batch(&self, events: Vec<MetricEvent>) -> BatchReceipt {
        let mut receipt = BatchReceipt::default();
        let piece_max = self.house.piece_max();
        let (mut from, mut waited) = (0, false);
        while let Some(rest) = events.get(from..).filter(|rest| !rest.is_empty()) {
            let piece = rest.get(..piece_max).unwrap_or(rest);
            let (mut pins, refused) = (Pins::default(), receipt.rejected.len());
            let (routed, done) = self.house.route_while_room(piece, from, &mut receipt, &mut pins);
            if done < piece.len() && !waited && self.house.is_repeating() {
                // As a whole, once it is known who is in the journal: its offsets follow one another.
                self.house.let_go(&routed);
                receipt.rejected.truncate(refused);
                let _ = self.house.recovered().await;
                waited = true;
                continue;
            }
            let taken = routed.len();
            let put = if taken == 0 { Ok(0) } else { self.house.put(routed, pins).await };
            note(&mut receipt, from, done, taken, put);
            from += done;
            // What has to wait does so, with nothing of this batch in hand.
            if let Some(event) = piece.get(done) {
                let put = self.publish(event.clone()).await.map(|accepted| accepted.first_offset);
                note(&mut receipt, from, 1, usize::from(put.is_ok()), put);
                from += 1;
            }
        }
        receipt
    }

    /// Publishes many events in order as far as there is room: behind a piece of at most
    /// [`BatchReceipt::PIECE_MAX`] events (or as many as there are credits) that found none, nothing is taken.
    pub fn try_publish_batch(&self, events: &[MetricEvent]) -> BatchReceipt {
        let mut receipt = BatchReceipt::default();
        let piece_max = self.house.piece_max();
        for (piece, part) in events.chunks(piece_max).enumerate() {
            let from = piece * piece_max;
            let mut pins = Pins::default();
            let routed = self.house.route_all(part, from, &mut receipt, &mut pins);
            let taken = routed.len();
            let put = if taken == 0 { Ok(0) } else { self.house.try_put(routed, pins) };
            let stop = put.as_ref().err().cloned();
            note(&mut receipt, from, part.len(), taken, put);
            if let Some(error) = stop {
                let rest = from + part.len()..events.len();
                receipt.rejected.extend(rest.map(|index| Rejected { index, error: error.clone() }));
                break;
            }
        }
        receipt
    }

    /// Publishes events that a [`SeriesHandle`](crate::SeriesHandle) has routed, waiting for room: no names
    /// are looked up. An event of a model that was retired since goes to the dead letters. With a store it is refused with
    /// [`IngestError::Retired`], and so is one of a model that sleeps and that no handle keeps at its place any more: keep
    /// the [`SeriesHandle`](crate::SeriesHandle) for as long as its events are on their way.
    pub async fn publish_routed(&self, mut routed: Vec<Routed>) -> BatchReceipt {
        let mut receipt = BatchReceipt::default();
        let piece_max = self.house.piece_max();
        let mut from = 0;
        while !routed.is_empty() {
            let rest = if routed.len() > piece_max { routed.split_off(piece_max) } else { Vec::new() };
            let events = routed.len();
            let pins = self.house.check_routed(&mut routed, from, &mut receipt);
            let taken = routed.len();
            let put = if taken == 0 { Ok(0) } else { self.house.put(routed, pins).await };
            note(&mut receipt, from, events, taken, put);
            from += events;
            routed = rest;
        }
        receipt
    }

    /// A handle of one model, which skips the look-up of its name. The model is made known.
    ///
    /// # Errors
    ///
    /// Fails when the name is not one, or the model is not known and not taken for a new one: as
    /// [`MonitoringHandle::try_publish`].
    pub fn model(&self, model_id: impl AsRef<str>) -> Result<ModelHandle, PublishError> {
        let id = ModelId::new(model_id)?;
        let entry = self.house.board.directory.with_or_insert(&id, Arc::clone)?;
        Ok(ModelHandle::new(self.clone(), entry))
    }

    /// Waits until all that was published before is handled and its decisions are delivered: to
    /// subscribers, to alert sinks, to the retrain queue. Waits for models that wait for their restart.
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::Closed`] after a shutdown, and with [`ControlError::Store`] once the store takes nothing any
    /// more: then all is handled, and what the journal does not hold is lost with the process. While the store fails for a
    /// while this waits.
    pub async fn flush(&self) -> Result<(), ControlError> {
        self.house.settle().await
    }

    /// The whole as it is now.
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::Closed`] after a shutdown.
    pub async fn status(&self) -> Result<FleetStatus, ControlError> {
        let mut shards = Vec::with_capacity(self.house.shards.len());
        for shard in 0..self.house.shards.len() {
            let status = self.house.ask(shard, Control::Status).await;
            shards.push(match status {
                Err(ControlError::Stuck(_)) => self.house.board.status_of(shard),
                status => status?,
            });
        }
        let (board, outlet) = (&self.house.board, &self.house.outlet);
        let (refused_future, refused_past) = board.timing.refused();
        let alerts = outlet.alerts.addr().send(InspectDispatcher).await.map_err(|_| ControlError::Closed)?;
        Ok(FleetStatus {
            models: board.directory.len(),
            models_in_memory: board.directory.places_taken(),
            next_offset: board.next_offset(),
            events: shards.iter().map(|shard| shard.events).sum(),
            actions: outlet.actions(),
            refused_future,
            refused_past,
            refused_series: board.refused_series.load(std::sync::atomic::Ordering::Relaxed),
            clock: board.clock.status(),
            admission: board.directory.admission(),
            vectors_waiting: board.vectors.waiting(),
            dead_letters: outlet.dead.total(),
            panics_suppressed: panics_suppressed(),
            decisions_dropped: outlet.decisions.dropped(),
            lifecycles_dropped: outlet.lifecycles.dropped(),
            subscriber_panics: outlet.subscriber_panics(),
            alerts,
            #[cfg(feature = "automated_retraining")]
            retrains: outlet.retrains.status().await.ok_or(ControlError::Closed)?,
            shards,
            watchdog: self.house.watchdog.status(),
            store: self.house.durable.as_ref().map(|durable| durable.figures.status()),
        })
    }

    /// The names of all models, sorted; with a store also of those that sleep in it, which are read one page after the other.
    pub fn models(&self) -> Vec<ModelId> {
        self.house.ids()
    }

    /// One model as it is now; a sleeping one is not woken, nor does it come into memory.
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::UnknownModel`], [`ControlError::Busy`], [`ControlError::Closed`] or
    /// [`ControlError::Store`].
    pub async fn model_status(&self, model_id: impl AsRef<str>) -> Result<ModelStatus, ControlError> {
        let _ = self.recovered().await;
        match self.house.asleep(model_id.as_ref())? {
            Some(status) => Ok(status),
            None => self.order(model_id.as_ref(), Order::Inspect).await?,
        }
    }

    /// All models as they are now, in the order of their names; one that is retired meanwhile is left out.
    ///
    /// Cost: one request per model.
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::Busy`] or [`ControlError::Closed`].
    pub async fn model_statuses(&self) -> Result<Vec<ModelStatus>, ControlError> {
        let mut ids = self.models();
        ids.sort_unstable();
        let mut statuses = Vec::with_capacity(ids.len());
        for id in ids {
            match self.model_status(&id).await {
                Ok(status) => statuses.push(status),
                Err(ControlError::UnknownModel(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(statuses)
    }

    /// The address of one model's actor; a sleeping one is woken. The actor lives as long as the address is
    /// held; it stops, address held or not, when the model is retired or the monitoring ends: what was sent
    /// to it before is answered, what is sent later fails with `MailboxError::Closed`. It never acts on the
    /// model that takes the retired one's place, not even on one of the same name.
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::UnknownModel`], [`ControlError::Busy`] or [`ControlError::Closed`].
    pub async fn model_addr(&self, model_id: impl AsRef<str>) -> Result<Addr<ModelActor>, ControlError> {
        self.order(model_id.as_ref(), Order::Address).await?
    }

    /// Counts a model's events without showing them to observers.
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::UnknownModel`], [`ControlError::Busy`] or [`ControlError::Closed`].
    pub async fn pause(&self, model_id: impl AsRef<str>) -> Result<(), ControlError> {
        self.steer(model_id.as_ref(), Steering::Pause).await
    }

    /// Shows a paused model's events to its observers again.
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::UnknownModel`], [`ControlError::Busy`] or [`ControlError::Closed`].
    pub async fn resume(&self, model_id: impl AsRef<str>) -> Result<(), ControlError> {
        self.steer(model_id.as_ref(), Steering::Resume).await
    }

    /// Throws a model's state away, resolving its alerts; lifts a quarantine, and a pause: who wants the model to begin
    /// anew and stay silent pauses it again.
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::UnknownModel`], [`ControlError::Busy`] or [`ControlError::Closed`].
    pub async fn reset(&self, model_id: impl AsRef<str>) -> Result<(), ControlError> {
        self.steer(model_id.as_ref(), Steering::Reset).await
    }

    /// Puts a running model to sleep until its next event. With a store this answers when that is asked for: it sleeps
    /// once its state is saved, if nothing has come for it meanwhile ([`MonitoringHandle::flush`] waits for that).
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::UnknownModel`], [`ControlError::Busy`] or [`ControlError::Closed`].
    pub async fn passivate(&self, model_id: impl AsRef<str>) -> Result<(), ControlError> {
        self.steer(model_id.as_ref(), Steering::Passivate).await
    }

    /// Forgets a model: its state, its actor, its name. Events of it that are still queued go to the dead
    /// letters; an event that names it later starts it anew.
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::UnknownModel`], [`ControlError::Busy`] or [`ControlError::Closed`]; with
    /// [`ControlError::Store`] when it cannot be made durable, or when the journal has it and the store takes nothing more:
    /// then it is done after a restart.
    pub async fn retire(&self, model_id: impl AsRef<str>) -> Result<(), ControlError> {
        self.steer(model_id.as_ref(), Steering::Retire).await
    }

    /// Follows a new plan from the next event on, and says what changed.
    ///
    /// With a store the plan is kept as text. Observers of your own are then those that the builder was given, found by
    /// their names, and keep their states: a plan that brings others is refused, for a replay would not find them. One that is in force already changes nothing.
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::Busy`], [`ControlError::Closed`] or [`ControlError::Store`].
    pub async fn reload(&self, plan: MonitorPlan) -> Result<PlanChange, ControlError> {
        let plan = Arc::new(plan);
        if self.house.durable.is_some() {
            return self.reload_durably(plan).await;
        }
        let before = std::mem::replace(&mut self.house.plan.lock().plan, Arc::clone(&plan));
        let changes = before.changes_to(&plan);
        for shard in 0..self.house.shards.len() {
            self.house.ask(shard, |reply| Control::Reload(Arc::clone(&plan), reply)).await?;
        }
        Ok(changes)
    }

    /// Has an actor sent every decision, in order per model. At most 65,536 wait for it; what finds no
    /// room is counted in `decisions_dropped`. The actor is kept alive until the monitoring ends.
    pub fn subscribe_actions(&self, recipient: Recipient<Decision>) {
        let house = &self.house;
        house.outlet.decisions.add(recipient, None, &house.arbiter, &house.census);
    }

    /// Has a function called with every decision, on the thread of its shard, in order per model; with a store once the
    /// decision is recorded. It must be quick: the models of that shard wait for it, and nobody else. A panic of it is
    /// counted and ignored.
    ///
    /// With a store, what is recorded when the shards have ended already, after the last handle is gone, is told on the
    /// thread that writes to it.
    ///
    /// It may publish with [`MonitoringHandle::try_publish`] and subscribe others. It must not wait for the
    /// monitoring, whose thread it is on: [`block_on`](crate::block_on) panics inside it.
    ///
    /// It is let go by [`MonitoringHandle::shutdown`]. Until then a handle that it holds keeps the monitoring
    /// running when all others are dropped: give it [`MonitoringHandle::downgrade`] instead.
    pub fn subscribe_actions_fn(&self, tell: impl Fn(&ActionRecord) + Send + Sync + 'static) {
        self.house.outlet.on_action(Arc::new(tell));
    }

    /// Has an actor sent every turn in the life of every model; bounds as for decisions.
    pub fn subscribe_lifecycle(&self, recipient: Recipient<Lifecycle>) {
        let house = &self.house;
        house.outlet.lifecycles.add(recipient, None, &house.arbiter, &house.census);
    }

    /// Has a function called with every turn in the life of every model, on the thread of its shard; what
    /// holds for [`MonitoringHandle::subscribe_actions_fn`] holds for it.
    pub fn subscribe_lifecycle_fn(&self, tell: impl Fn(&Lifecycle) + Send + Sync + 'static) {
        self.house.outlet.on_lifecycle(Arc::new(tell));
    }

    /// The latest dead letters, newest last; with a store those of its last life come first.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.house.outlet.dead.latest()
    }

    /// The address of the first shard's supervisor. Any supervisor takes events of any model.
    ///
    /// # Panics
    ///
    /// Never: a monitoring has at least one shard.
    pub fn supervisor(&self) -> Addr<ModelSupervisor> {
        let Some(first) = self.house.shards.get(0) else { unreachable!("a monitoring has a shard") };
        first
    }

    /// A handle that does not keep the monitoring running.
    pub fn downgrade(&self) -> WeakMonitoringHandle {
        WeakMonitoringHandle { house: Arc::downgrade(&self.house) }
    }

    /// Counts the actors that live.
    pub fn census(&self) -> Census {
        self.house.census.clone()
    }

    /// Ends the monitoring in stages: takes nothing more, handles what is queued and delivers its
    /// decisions, hands the state of all awake models to the snapshot keeper, stops all actors, lets go of
    /// the subscribers. What is not done after `deadline` is cut, and the report says what; events that were
    /// cut become dead letters.
    ///
    /// It may come after your actix `System` was stopped, as it does behind an actix-web server that was told to
    /// end by a signal: the monitoring's threads are not that system's, and all that was taken is handled all the
    /// same. (With `arbiters(0)` they are: what went with the system is counted as cut.) The deadline holds also when an observer or a subscriber blocks its thread;
    /// that thread then goes on until it comes back.
    pub async fn shutdown(&self, deadline: Duration) -> DrainReport {
        shutdown::end(&self.house, deadline).await
    }

    /// Has a plan journaled and waits until all shards follow it.
    async fn reload_durably(&self, plan: Arc<MonitorPlan>) -> Result<PlanChange, ControlError> {
        let (text, fingerprint) = written(&plan);
        let plan = self.house.as_kept(&plan, &text).map_err(ControlError::Store)?;
        let _ = self.recovered().await;
        let (replies, answers): (Vec<_>, Vec<_>) =
            (0..self.house.shards.len()).map(|_| oneshot::channel()).unzip();
        let at = self.house.board.clock.now();
        let offset = self.house.board.journal(What::Plan(Arc::clone(&plan), fingerprint, at, replies))?;
        for answer in answers {
            answer.await.unwrap_or(Err(ControlError::Closed))?;
        }
        // Not before: of several that are on their way each may fail by itself.
        let mut shown = self.house.plan.lock();
        let before = Arc::clone(&shown.plan);
        shown.follow(&plan, offset);
        drop(shown);
        Ok(before.changes_to(&plan))
    }

    async fn steer(&self, model_id: &str, turn: Steering) -> Result<(), ControlError> {
        if self.house.durable.is_some() && turn != Steering::Passivate {
            let _ = self.recovered().await;
            let entry = self.house.known(model_id)?;
            let (reply, done) = oneshot::channel();
            self.house.board.journal_turn(&entry, turn, reply)?;
            return done.await.unwrap_or(Err(ControlError::Closed));
        }
        self.order(model_id, |reply| Order::Turn(turn, reply)).await?
    }

    pub(crate) async fn order<T>(
        &self,
        model_id: &str,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> Result<T, ControlError> {
        let _ = self.recovered().await;
        let entry = self.house.known(model_id)?;
        self.order_of(&entry, order).await
    }

    pub(crate) async fn order_of<T>(
        &self,
        entry: &Arc<ModelEntry>,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> Result<T, ControlError> {
        let _ = self.recovered().await;
        let known = Arc::clone(entry);
        self.house.ask(entry.address.shard(), |reply| Control::Model(known, order(reply))).await
    }
}

/// Notes in a receipt what became of a piece.
fn note(receipt: &mut BatchReceipt, from: usize, events: usize, taken: usize, put: Result<u64, IngestError>) {
    match put {
        Ok(first) => {
            if receipt.accepted == 0 && taken > 0 {
                receipt.first_offset = first;
            }
            receipt.accepted += taken as u64;
        }
        Err(error) => {
            let known: Vec<usize> = receipt.rejected.iter().map(|r| r.index).filter(|i| *i >= from).collect();
            let rest = (from..from + events).filter(|index| !known.contains(index));
            receipt.rejected.extend(rest.map(|index| Rejected { index, error: error.clone() }));
            receipt.rejected.sort_by_key(|rejected| rejected.index);
        }
    }
}
