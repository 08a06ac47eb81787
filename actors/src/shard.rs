//! The supervisor of one arbiter's models: takes batches, keeps timers, carries out control requests.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix::fut::WrapFuture;
use actix::{
    Actor, ActorContext, AsyncContext, Context, Handler, Message, MessageResult, Response, SpawnHandle,
    Supervised,
};
use tokio::sync::oneshot;
use visu_tility_core::{Accepted, IngestError, MetricEvent};

use crate::board::{Board, Turn};
use crate::control::Control;
use crate::dead_letter::DeadReason;
use crate::directory::Pins;
use crate::journaled::Journaled;
use crate::ledger::inbox::{Events, Reply, What};
use crate::model::take_in;
use crate::routed::{Batch, BatchReceipt, EventBatch, Rejected};
use crate::saving::{Extent, Saving};
use crate::shard_state::Shard;
use crate::status::ShardStatus;
use crate::supervise::{RestartCause, Restartable};

/// Messages of one event after which other actors of the arbiter get their turn.
const SINGLES_PER_TURN: u32 = 64;

/// The supervisor of the models of one arbiter.
///
/// Takes single events and [`EventBatch`]es from embedders; an event of another shard's model is
/// forwarded.
///
/// | an event by | bound | loss |
/// |---|---|---|
/// | `send().await` | the caller waits for the answer | none while the monitoring lives; dropping the future before the event was handled takes it back |
/// | `try_send` | 16 messages and one per clone of the address; `Full` above | none once it is taken |
/// | `do_send` | **none in the mailbox**: use [`MonitoringHandle::publish_batch`](crate::MonitoringHandle::publish_batch) where memory matters | what finds all credits out is refused and counted in `refused_full` |
pub struct ModelSupervisor {
    shard: Rc<Shard>,
    current: Option<Current>,
    alarm: Option<(i64, SpawnHandle)>,
    singles: u32,
    panics: u64,
    /// Those who wait until all that came before them is handled.
    settling: Vec<oneshot::Sender<()>>,
}

/// The batch that is being handled, kept so that a panic of the shard itself does not lose its rest.
struct Current {
    batch: Batch,
    cursor: Cell<usize>,
    /// Whether its events are being handled: a panic before that is none of theirs.
    begun: bool,
}

impl ModelSupervisor {
    pub(crate) fn new(shard: Rc<Shard>) -> Self {
        Self { shard, current: None, alarm: None, singles: 0, panics: 0, settling: Vec::new() }
    }

    /// Handles the rest of the present batch.
    fn work(&mut self, ctx: &mut Context<Self>) {
        if let Some(Current { batch, cursor, begun }) = &mut self.current {
            *begun = true;
            if self.shard.over.get() || batch.reply.is_some() || batch.asked || batch.replayed {
                let rest = batch.load.as_slice().get(cursor.get()..).unwrap_or_default();
                for routed in rest {
                    let offset = batch.offset_of(cursor.get());
                    let done = self.shard.deciding(|out| self.shard.deliver_new(routed, offset, out));
                    if self.shard.is_fenced() {
                        break;
                    }
                    cursor.set(cursor.get() + 1);
                    if batch.asked || batch.replayed {
                        self.shard.dock.answer(offset, &done);
                    }
                    if let Some(reply) = batch.reply.take() {
                        let _ = reply.send(done);
                    }
                }
            } else {
                self.shard.deliver(batch, cursor);
            }
        }
        self.finish_batch();
        self.after(ctx);
    }

    /// Once it was taken over: lets its models go and stops. What is left in the mailbox is its successor's, or is told
    /// that it is closed.
    fn step_down(&mut self, ctx: &mut Context<Self>) -> bool {
        let fenced = self.shard.is_fenced();
        if fenced {
            self.shard.clear();
            ctx.stop();
            // Nobody else lives on it.
            actix::Arbiter::current().stop();
        }
        fenced
    }

    fn finish_batch(&mut self) {
        // The credits come home here, when the batch is dropped.
        if let Some(Current { batch, .. }) = self.current.take().filter(|_| !self.shard.is_fenced()) {
            self.shard.dock.handled(&batch);
            self.shard.reach(batch.end());
        }
    }

    /// What is done after anything was handled: waits are set, flushes answered.
    fn after(&mut self, ctx: &mut Context<Self>) {
        if self.step_down(ctx) {
            return;
        }
        if self.shard.board.timing.event_time && !self.settling.is_empty() {
            self.shard.end_waits(true);
        }
        self.set_alarm(ctx);
        if self.current.is_none() {
            self.shard.sleep_surplus();
            self.shard.save_some(Extent::Urgent);
        }
        // Who is still sent what came before has not handled it.
        let settled = self.shard.saving.as_ref().is_none_or(Saving::is_idle) && !self.shard.is_repeating();
        if settled && self.shard.timers.borrow().first_wait().is_none() {
            for settled in self.settling.drain(..) {
                let _ = settled.send(());
            }
        }
    }

    /// Sets the timer for the first model that waits for its restart.
    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        if self.shard.board.timing.event_time {
            return;
        }
        let first = self.shard.timers.borrow().first_wait();
        let Some(first) = first else { return };
        if let Some((at, handle)) = self.alarm {
            if at <= first {
                return;
            }
            ctx.cancel_future(handle);
        }
        let wait = u64::try_from(first - self.shard.now()).unwrap_or(0);
        let handle = ctx.run_later(Duration::from_micros(wait), |actor, ctx| {
            actor.alarm = None;
            actor.shard.end_waits(false);
            actor.after(ctx);
        });
        self.alarm = Some((first, handle));
    }

    /// Carries out what waits in the control lane.
    fn obey(&mut self, ctx: &mut Context<Self>) {
        if self.step_down(ctx) {
            return;
        }
        while let Some(control) = self.shard.dock.next_control(self.shard.is_repeating()) {
            let stop = matches!(control, Control::Stop(_));
            if stop {
                self.halt(ctx);
            }
            self.shard.obey(control, self.panics);
        }
        self.after(ctx);
    }

    /// Stops the models at once, and the shard once its mailbox is empty: batches that are in it become dead
    /// letters.
    fn halt(&mut self, ctx: &mut Context<Self>) {
        self.shard.clear();
        self.shard.dock.close_control();
        ctx.address().do_send(Finish);
    }

    /// Gives the arbiter's other actors their turn before the next message.
    fn give_way(&mut self, ctx: &mut Context<Self>) {
        self.singles = 0;
        ctx.wait(tokio::task::yield_now().into_actor(self));
    }
}

impl Actor for ModelSupervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.alarm = None;
        if !self.shard.board.timing.event_time {
            ctx.run_interval(self.shard.settings.tick_every, |actor, ctx| {
                actor.shard.tick_due(actor.shard.board.clock.now());
                actor.shard.sweep();
                if actor.current.is_none() {
                    actor.shard.save_some(Extent::Share);
                }
                actor.after(ctx);
            });
        }
        if let Some(span) = self.shard.settings.idle_after {
            ctx.run_interval(span.max(Duration::from_secs(1)), |actor, _| actor.shard.sleep_idle());
        }
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.shard.clear();
    }
}

impl Drop for ModelSupervisor {
    /// However it ends, nobody waits for an answer from it.
    fn drop(&mut self) {
        self.shard.dock.leave();
    }
}

impl Supervised for ModelSupervisor {}

impl Restartable for ModelSupervisor {
    fn restarted(&mut self, cause: &RestartCause, ctx: &mut Context<Self>) {
        self.panics = cause.panics;
        if let Some(Current { batch, cursor, begun: true }) = &self.current {
            let at = cursor.get();
            if let Some(routed) = batch.load.as_slice().get(at) {
                drop(self.shard.dock.waiter(batch.offset_of(at)));
                let (offset, reason) = (batch.offset_of(at), cause.reason.clone());
                let reason = DeadReason::Panicked { reason };
                match self.shard.cell_of(routed.address, routed.generation) {
                    Some(cell) => self.shard.bury(&cell, Some((routed, offset)), None, reason),
                    None => self.shard.bury_stray(routed, offset, reason),
                }
            }
            cursor.set(at + 1);
        }
        self.work(ctx);
    }

    fn quarantined(&mut self, cause: &RestartCause, ctx: &mut Context<Self>) {
        self.restarted(cause, ctx);
    }
}

impl Handler<Batch> for ModelSupervisor {
    type Result = ();

    fn handle(&mut self, batch: Batch, ctx: &mut Context<Self>) {
        let single = batch.load.as_slice().len() == 1;
        // Before anything that may panic, so that nothing of it is lost.
        self.current = Some(Current { batch, cursor: Cell::new(0), begun: false });
        self.obey(ctx);
        self.work(ctx);
        self.singles += 1;
        if !single || self.singles >= SINGLES_PER_TURN {
            self.give_way(ctx);
        }
    }
}

/// Says that something waits in the control lane.
pub(crate) struct Poke;

impl Message for Poke {
    type Result = ();
}

impl Handler<Poke> for ModelSupervisor {
    type Result = ();

    fn handle(&mut self, _: Poke, ctx: &mut Context<Self>) {
        self.obey(ctx);
    }
}

/// Asks to be told when all that was queued before it is handled.
pub(crate) struct Settle(pub(crate) oneshot::Sender<()>);

impl Message for Settle {
    type Result = ();
}

impl Handler<Settle> for ModelSupervisor {
    type Result = ();

    fn handle(&mut self, Settle(settled): Settle, ctx: &mut Context<Self>) {
        if self.shard.board.timing.event_time {
            // Who is silent is silent by the time of all models, wherever they live.
            let newest = self.shard.board.newest();
            self.shard.deciding(|out| self.shard.catch_up(newest, out));
        }
        if self.shard.over.get() {
            return;
        }
        self.settling.push(settled);
        self.after(ctx);
    }
}

/// Comes behind all that was queued when the shard was halted.
struct Finish;

impl Message for Finish {
    type Result = ();
}

impl Handler<Finish> for ModelSupervisor {
    type Result = ();

    fn handle(&mut self, _: Finish, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

/// Says that the last handle is gone: stop, after what was queued before.
pub(crate) struct LastHandleGone;

impl Message for LastHandleGone {
    type Result = ();
}

impl Handler<LastHandleGone> for ModelSupervisor {
    type Result = ();

    fn handle(&mut self, _: LastHandleGone, ctx: &mut Context<Self>) {
        if !self.shard.over.get() {
            self.shard.end_waits(true);
            self.shard.save_some(Extent::All);
            self.halt(ctx);
        }
    }
}

impl Handler<Journaled> for ModelSupervisor {
    type Result = ();

    fn handle(&mut self, journaled: Journaled, ctx: &mut Context<Self>) {
        self.shard.obey_journal(journaled);
        // Some of what waits in the control lane may have waited for this.
        self.obey(ctx);
        self.singles += 1;
        if self.singles >= SINGLES_PER_TURN {
            self.give_way(ctx);
        }
    }
}

impl Handler<MetricEvent> for ModelSupervisor {
    type Result = Response<Result<Accepted, IngestError>>;

    fn handle(&mut self, event: MetricEvent, ctx: &mut Context<Self>) -> Self::Result {
        let answer = take_in(&self.shard, &event);
        self.after(ctx);
        self.singles += 1;
        if self.singles >= SINGLES_PER_TURN {
            self.give_way(ctx);
        }
        answer
    }
}

impl Handler<EventBatch> for ModelSupervisor {
    type Result = Response<BatchReceipt>;

    /// Takes each event as if it had come alone; the answer does not wait for those that were queued. With a store it
    /// waits until they are durable.
    fn handle(&mut self, EventBatch(events): EventBatch, ctx: &mut Context<Self>) -> Self::Result {
        let board = &self.shard.board;
        let limit = board.limit();
        let mut receipt = BatchReceipt::default();
        if board.ledger.is_some() {
            let taken = take_all(board, &events);
            self.give_way(ctx);
            return Response::fut(taken);
        }
        self.shard.deciding(|out| {
            for (index, event) in events.iter().enumerate() {
                let turn = board.route(event, limit, &mut Pins::default()).and_then(|routed| {
                    let turn = board.take_turn(routed, None, Some(self.shard.index), Pins::default())?;
                    Ok((routed, turn))
                });
                if let Ok((routed, Turn::Now(offset))) = &turn {
                    // Taken, whatever becomes of it: that is in the dead letters, as for queued ones.
                    let _ = self.shard.deliver_one(routed, *offset, out);
                }
                match turn {
                    Ok((_, Turn::Now(offset) | Turn::Queued(offset))) => {
                        if receipt.accepted == 0 {
                            receipt.first_offset = offset;
                        }
                        receipt.accepted += 1;
                    }
                    Err(error) => receipt.rejected.push(Rejected { index, error }),
                }
            }
        });
        self.after(ctx);
        self.give_way(ctx);
        Response::reply(receipt)
    }
}

/// Leaves the events of a message to be journaled, as far as there is room, and answers when they are.
fn take_all(board: &Board, events: &[MetricEvent]) -> impl Future<Output = BatchReceipt> + 'static {
    let limit = board.limit();
    let mut waits = Vec::with_capacity(events.len());
    for event in events {
        let mut pins = Pins::default();
        let (reply, wait) = oneshot::channel();
        let taken = board.route(event, limit, &mut pins).and_then(|routed| {
            let shard = routed.address.shard();
            let unqueued = board.watch(&[routed]);
            let permits = vec![(shard, board.try_room(shard, 1)?)];
            let reply = Reply::Durable(reply);
            board.journal(What::Events(Events { routed: vec![routed], permits, pins, reply }))?;
            unqueued.queued();
            Ok(wait)
        });
        waits.push(taken);
    }
    async move {
        let mut receipt = BatchReceipt::default();
        for (index, wait) in waits.into_iter().enumerate() {
            let taken = match wait {
                Ok(wait) => wait.await.unwrap_or(Err(IngestError::Closed)),
                Err(error) => Err(error),
            };
            match taken {
                Ok(offset) => {
                    if receipt.accepted == 0 {
                        receipt.first_offset = offset;
                    }
                    receipt.accepted += 1;
                }
                Err(error) => receipt.rejected.push(Rejected { index, error }),
            }
        }
        receipt
    }
}

/// Asks a supervisor for its status.
#[derive(Clone, Copy, Debug)]
pub struct InspectShard;

impl Message for InspectShard {
    type Result = ShardStatus;
}

impl Handler<InspectShard> for ModelSupervisor {
    type Result = MessageResult<InspectShard>;

    fn handle(&mut self, _: InspectShard, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.shard.status(self.panics))
    }
}
