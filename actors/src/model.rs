//! The actor of one model: its control plane, and the address that embedders send single events to.

use std::rc::Rc;

use actix::fut::WrapFuture;
use actix::{
    Actor, ActorContext, AsyncContext, Context, Handler, Message, MessageResult, Recipient, Response,
    SpawnHandle, Supervised,
};
use tokio::sync::oneshot;
use visu_tility_core::{Accepted, IngestError, MetricEvent};

use crate::board::Turn;
use crate::cell::ModelCell;
use crate::control::Steering;
use crate::directory::Pins;
use crate::lifecycle::Decision;
use crate::shard_state::Shard;
use crate::status::ModelStatus;
use crate::supervise::Restartable;

/// The actor of one model, awake from the model's first event until it is idle, retired or stopped.
///
/// It shares the model's state with the supervisor of the same arbiter, which feeds batches by direct
/// call. Its mailbox is for control ([`InspectModel`], [`PauseModel`], [`ResumeModel`], [`ResetModel`],
/// [`PassivateModel`], [`FollowModel`]) and for single events; both ways give the same decisions.
///
/// | an event by | bound | loss |
/// |---|---|---|
/// | `send().await` | the caller waits for the answer; at most one event per waiting caller is queued | none while the actor lives; dropping the future before the event was handled takes it back |
/// | `try_send` | 16 messages and one per clone of the address; `Full` above | none once it is taken |
/// | `do_send` | **none in the mailbox**: use [`MonitoringHandle::publish`](crate::MonitoringHandle::publish) where memory matters | an event that finds all credits out is refused and counted in `refused_full`; after the actor has stopped it is gone without a word |
///
/// The answer to `send` comes when the event was handled: [`IngestError::Poisoned`] names the observer
/// that panicked on it, [`IngestError::Full`] says that the shard's credits are out.
pub struct ModelActor {
    shard: Rc<Shard>,
    cell: Rc<ModelCell>,
    /// Keeps the actor alive while nobody outside holds its address.
    stay: Option<SpawnHandle>,
}

impl ModelActor {
    pub(crate) fn new(shard: Rc<Shard>, cell: Rc<ModelCell>) -> Self {
        Self { shard, cell, stay: None }
    }

    fn stay(&mut self, ctx: &mut Context<Self>) {
        self.stay = Some(ctx.spawn(std::future::pending::<()>().into_actor(self)));
    }

    /// Turns the model's life; with a store, once the turn is in its journal.
    fn steer(&self, turn: Steering) -> Response<()> {
        if turn != Steering::Passivate && self.shard.board.ledger.is_some() {
            let (reply, done) = oneshot::channel();
            let journaled = self.shard.board.journal_turn(&self.cell.entry, turn, reply);
            return Response::fut(async move {
                if journaled.is_ok() {
                    let _ = done.await;
                }
            });
        }
        // Refused only when the model was retired: then this actor is about to stop.
        if self.shard.steer(&self.cell.entry, turn).is_ok() {
            self.shard.remind();
        }
        Response::reply(())
    }
}

impl Actor for ModelActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.stay(ctx);
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.shard.actor_gone(&self.cell);
    }
}

impl Supervised for ModelActor {}

impl Restartable for ModelActor {}

/// Lets the actor stop once nobody outside holds its address; what is queued is handled before.
pub(crate) struct LetGo;

impl Message for LetGo {
    type Result = ();
}

impl Handler<LetGo> for ModelActor {
    type Result = ();

    fn handle(&mut self, _: LetGo, ctx: &mut Context<Self>) {
        if let Some(stay) = self.stay.take() {
            ctx.cancel_future(stay);
        }
    }
}

/// Takes a [`LetGo`] back.
pub(crate) struct Stay;

impl Message for Stay {
    type Result = ();
}

impl Handler<Stay> for ModelActor {
    type Result = ();

    fn handle(&mut self, _: Stay, ctx: &mut Context<Self>) {
        if self.stay.is_none() {
            self.stay(ctx);
        }
    }
}

/// Stops the actor, whoever holds its address.
pub(crate) struct Halt;

impl Message for Halt {
    type Result = ();
}

impl Handler<Halt> for ModelActor {
    type Result = ();

    fn handle(&mut self, _: Halt, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl Handler<MetricEvent> for ModelActor {
    type Result = Response<Result<Accepted, IngestError>>;

    fn handle(&mut self, event: MetricEvent, _: &mut Context<Self>) -> Self::Result {
        let answer = take_in(&self.shard, &event);
        self.shard.remind();
        answer
    }
}

/// Takes an event that came to an actor's own address: handled at once when nothing is queued before it,
/// else in the order of its shard's queue.
pub(crate) fn take_in(shard: &Rc<Shard>, event: &MetricEvent) -> Response<Result<Accepted, IngestError>> {
    let board = &shard.board;
    let (reply, answered) = oneshot::channel();
    let mut pins = Pins::default();
    let turn = board
        .route(event, board.limit(), &mut pins)
        .and_then(|routed| Ok((routed, board.take_turn(routed, Some(reply), Some(shard.index), pins)?)));
    match turn {
        Err(error) => Response::reply(Err(error)),
        Ok((routed, Turn::Now(offset))) => {
            let done = shard.deciding(|out| shard.deliver_one(&routed, offset, out));
            Response::reply(done.map(|()| Accepted { events: 1, first_offset: offset }))
        }
        Ok((_, Turn::Queued(offset))) => Response::fut(async move {
            answered.await.unwrap_or(Err(IngestError::Closed))?;
            Ok(Accepted { events: 1, first_offset: offset })
        }),
    }
}

/// Asks a model's actor for its status.
#[derive(Clone, Copy, Debug)]
pub struct InspectModel;

impl Message for InspectModel {
    type Result = ModelStatus;
}

impl Handler<InspectModel> for ModelActor {
    type Result = MessageResult<InspectModel>;

    fn handle(&mut self, _: InspectModel, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.shard.model_status(&self.cell.entry))
    }
}

/// Asks to be sent this model's decisions; bounds as for
/// [`MonitoringHandle::subscribe_actions`](crate::MonitoringHandle::subscribe_actions).
#[derive(Clone, Debug)]
pub struct FollowModel(pub Recipient<Decision>);

impl Message for FollowModel {
    type Result = ();
}

impl Handler<FollowModel> for ModelActor {
    type Result = ();

    fn handle(&mut self, FollowModel(recipient): FollowModel, _: &mut Context<Self>) {
        if !self.cell.entry.is_retired() {
            self.shard.subscribe(&self.cell.entry.id, recipient);
        }
    }
}

macro_rules! steering {
    ($($(#[$doc:meta])* $name:ident => $turn:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl Message for $name {
            type Result = ();
        }

        impl Handler<$name> for ModelActor {
            type Result = Response<()>;

            fn handle(&mut self, _: $name, _: &mut Context<Self>) -> Self::Result {
                self.steer(Steering::$turn)
            }
        }
    )*};
}

steering! {
    /// Asks that the model's events be counted but not shown to observers.
    PauseModel => Pause;
    /// Asks that the model's events be shown to observers again.
    ResumeModel => Resume;
    /// Asks that the model's state be thrown away; lifts a quarantine.
    ResetModel => Reset;
    /// Asks that the model be put to sleep until its next event.
    PassivateModel => Passivate;
    /// Asks that the model be forgotten.
    RetireModel => Retire;
}
