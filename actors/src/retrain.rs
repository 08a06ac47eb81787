//! The retrain scheduler: one actor that takes the wishes of all shards and hands them to an executor.
//!
//! Supervised by us and held by the monitoring itself: `SystemService` would return the dead address of a
//! panicked singleton for ever. The queue lives in memory; a durable one takes its place behind the same
//! executor later.

mod queue;
mod receipts;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::{
    Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, MessageResult, SpawnHandle,
    Supervised,
};
use serde::Serialize;
use thiserror::Error;
use visu_tility_core::{ActionRecord, ModelId, RetrainRequest, Timestamp, Version};

use crate::alert::BoxFuture;
use crate::board::Board;
use crate::caught::Caught;
use crate::census::Census;
use crate::clock::Stopwatch;
use crate::control::ControlError;
use crate::handle::MonitoringHandle;
use crate::hook::guard;
use crate::ledger::delivery::Receipt;
use crate::supervise::{RestartCause, Restartable};

use queue::{Outcome, RetrainQueue};
use receipts::Receipts;

pub use queue::{RetrainOrder, RetrainPolicy, Submission};

/// Wishes that may be on their way to the scheduler.
const WISHES_MAX: usize = 65_536;
/// In event-time mode: how often it is looked whether events have brought a request's time.
const EVENT_TIME_LOOK: Duration = Duration::from_secs(1);

/// What a retrain led to, in one line for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetrainOutcome {
    /// What was made.
    pub summary: String,
}

/// A retrain that did not work.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[error("retrain: {reason}")]
pub struct RetrainFailure {
    /// Why.
    pub reason: String,
}

/// Carries out retrains.
pub trait RetrainExecutor: Send + Sync {
    /// Retrains one model. Runs on an arbiter, beside the scheduler: what blocks must be moved elsewhere.
    /// A panic counts as a failure. Goes on while the scheduler is restarted.
    fn execute(&self, order: RetrainOrder) -> BoxFuture<Result<RetrainOutcome, RetrainFailure>>;
}

/// What the scheduler has done and has before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SchedulerStatus {
    /// Requests that wait for their turn, in the order in which they will run.
    pub queue: Vec<RetrainOrder>,
    /// Requests that wait for a time, the end of a cooldown or a further try, with that time, by model.
    pub held: Vec<(Timestamp, RetrainOrder)>,
    /// Requests that wait for their turn or for a time, reruns included.
    pub waiting: usize,
    /// How many models may wait; reruns and further tries come on top, at most as many as may run.
    pub waiting_max: usize,
    /// Models that are being retrained.
    pub running: Vec<ModelId>,
    /// Answers `Created`.
    pub created: u64,
    /// Answers `Coalesced`.
    pub coalesced: u64,
    /// Answers `RerunQueued`.
    pub reruns: u64,
    /// Answers `Displaced`.
    pub displaced: u64,
    /// Answers `Deferred`.
    pub deferred: u64,
    /// Answers `Refused`, and wishes that found the scheduler's mailbox full.
    pub refused: u64,
    /// Retrains that worked.
    pub succeeded: u64,
    /// Retrains that failed or panicked, each try counted.
    pub failed: u64,
    /// Of those, the ones that are tried again.
    pub retried: u64,
    /// Requests that failed as often as the policy allows, and were dropped.
    pub given_up: u64,
    /// Restarts of the scheduler after a panic.
    pub restarts: u64,
}

/// Figures that the shards and the scheduler share.
#[derive(Default)]
struct Tally {
    on_their_way: AtomicUsize,
    turned_away: AtomicU64,
    waiting: AtomicUsize,
}

/// The scheduler as the shards see it: an address with a bound.
pub(crate) struct RetrainDesk {
    addr: Addr<RetrainScheduler>,
    tally: Arc<Tally>,
}

impl RetrainDesk {
    pub(crate) fn open(
        policy: RetrainPolicy,
        executor: Option<Arc<dyn RetrainExecutor>>,
        census: Census,
        board: Arc<Board>,
        start: impl FnOnce(Box<dyn FnOnce() -> RetrainScheduler + Send>) -> Addr<RetrainScheduler>,
    ) -> Self {
        let tally = Arc::new(Tally::default());
        let shared = Arc::clone(&tally);
        let addr = start(Box::new(move || RetrainScheduler {
            queue: RetrainQueue::new(policy),
            executor,
            census,
            board,
            passed: Stopwatch::start(),
            alarm: None,
            tally: shared,
            closing: false,
            receipts: Receipts::default(),
            status: SchedulerStatus::default(),
        }));
        Self { addr, tally }
    }

    /// Hands a wish over, or counts that there was no room.
    ///
    /// With a receipt it is settled when the retrain is over or the wish refused; what finds no room is not settled.
    pub(crate) fn submit(
        &self,
        record: &Arc<ActionRecord>,
        request: &RetrainRequest,
        receipt: Option<Arc<Receipt>>,
    ) {
        if self.tally.on_their_way.fetch_add(1, Ordering::AcqRel) >= WISHES_MAX || !self.addr.connected() {
            self.tally.on_their_way.fetch_sub(1, Ordering::AcqRel);
            self.tally.turned_away.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let wish = Wish {
            model_id: record.id.model_id.clone(),
            version: record.version.clone(),
            request: request.clone(),
            at: record.at,
            receipt,
        };
        self.addr.do_send(Counted(wish));
    }

    /// Whether half of the room on the way to the scheduler is free.
    pub(crate) fn has_room(&self) -> bool {
        self.tally.on_their_way.load(Ordering::Acquire) < WISHES_MAX / 2
    }

    /// Hands a wish over and waits for the answer.
    pub(crate) async fn ask(&self, wish: Wish) -> Option<Submission> {
        self.addr.send(wish).await.ok()
    }

    /// Waits until all wishes handed over are queued or refused.
    pub(crate) async fn settle(&self) {
        let _ = self.status().await;
    }

    pub(crate) async fn status(&self) -> Option<SchedulerStatus> {
        self.addr.send(InspectScheduler).await.ok()
    }

    /// Lets the scheduler stop; what runs is carried to its end.
    pub(crate) fn close(&self) {
        self.addr.do_send(Close);
    }

    /// Requests that wait, those on their way to the scheduler included.
    pub(crate) fn waiting(&self) -> usize {
        self.tally.waiting.load(Ordering::Acquire) + self.tally.on_their_way.load(Ordering::Acquire)
    }

    pub(crate) const fn addr(&self) -> &Addr<RetrainScheduler> {
        &self.addr
    }
}

impl Drop for RetrainDesk {
    fn drop(&mut self) {
        self.close();
    }
}

impl MonitoringHandle {
    /// Asks for a model to be retrained, as an observer would, and says what became of it.
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::Closed`] after a shutdown.
    pub async fn request_retrain(
        &self,
        model_id: ModelId,
        request: RetrainRequest,
    ) -> Result<Submission, ControlError> {
        let at = self.house.board.clock.now();
        let wish = Wish { model_id, version: None, request, at, receipt: None };
        self.house.outlet.retrains.ask(wish).await.ok_or(ControlError::Closed)
    }

    /// The address of the retrain scheduler.
    pub fn scheduler(&self) -> Addr<RetrainScheduler> {
        self.house.outlet.retrains.addr().clone()
    }
}

/// Queues retrain requests and hands them to the executor, a bounded number at a time.
///
/// Without an executor requests wait. A request that comes too soon after the last one waits until it may
/// run, and one whose run failed is tried again: an observer asks once per episode. Times are the events';
/// between events they go on with the clock, but in event-time mode.
pub struct RetrainScheduler {
    queue: RetrainQueue,
    executor: Option<Arc<dyn RetrainExecutor>>,
    census: Census,
    board: Arc<Board>,
    /// Since the queue's time was moved on.
    passed: Stopwatch,
    alarm: Option<SpawnHandle>,
    tally: Arc<Tally>,
    closing: bool,
    receipts: Receipts,
    status: SchedulerStatus,
}

impl RetrainScheduler {
    /// Moves the queue's time on: in event-time mode to the newest event's, else by what has passed since.
    fn pass_time(&mut self) {
        let passed = u64::try_from(self.passed.micros()).unwrap_or(0);
        self.passed = Stopwatch::start();
        let now = self.queue.now().plus(Duration::from_micros(passed));
        self.queue.pass(if self.board.timing.event_time { self.board.newest() } else { now });
    }

    /// Comes back when the first request that waits for a time may run.
    fn set_alarm(&mut self, ctx: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        let Some(first) = self.queue.first_held().filter(|_| !self.closing) else { return };
        // What time events will have is not known.
        let wait = if self.board.timing.event_time { EVENT_TIME_LOOK } else { first.since(self.queue.now()) };
        self.alarm = Some(ctx.run_later(wait, |actor, ctx| {
            actor.alarm = None;
            actor.pass_time();
            actor.start_more(ctx);
        }));
    }

    fn submit(&mut self, wish: &Wish, ctx: &mut Context<Self>) -> Submission {
        self.pass_time();
        let answer = self.queue.submit(&wish.model_id, wish.version.clone(), &wish.request, wish.at);
        let count = match &answer {
            Submission::Created => &mut self.status.created,
            Submission::Coalesced => &mut self.status.coalesced,
            Submission::RerunQueued => &mut self.status.reruns,
            Submission::Displaced { .. } => &mut self.status.displaced,
            Submission::Deferred { .. } => &mut self.status.deferred,
            Submission::Refused { .. } => &mut self.status.refused,
        };
        *count += 1;
        self.receipts.submitted(&wish.model_id, wish.receipt.clone(), &answer);
        self.start_more(ctx);
        answer
    }

    /// Begins as many retrains as may run. Each is a task of its own, so that a restart of the scheduler
    /// does not cut it.
    fn start_more(&mut self, ctx: &mut Context<Self>) {
        while let Some(executor) = self.executor.clone().filter(|_| !self.closing) {
            let Some(order) = self.queue.start() else { break };
            self.receipts.started(&order.model_id);
            let (scheduler, presence) = (ctx.address(), self.census.enter());
            actix::spawn(async move {
                let model_id = order.model_id.clone();
                let result = match guard(|| executor.execute(order)) {
                    Ok(running) => Caught::new(running).await,
                    Err(reason) => Err(reason),
                };
                let result = result.unwrap_or_else(|reason| Err(RetrainFailure { reason }));
                drop(executor);
                drop(presence);
                scheduler.do_send(Finished { model_id, result });
            });
        }
        self.tally.waiting.store(self.queue.waiting(), Ordering::Release);
        self.set_alarm(ctx);
    }
}

impl Actor for RetrainScheduler {
    type Context = Context<Self>;
}

impl Supervised for RetrainScheduler {}

impl Restartable for RetrainScheduler {
    fn restarted(&mut self, cause: &RestartCause, ctx: &mut Context<Self>) {
        self.status.restarts = cause.panics;
        // It went with the rest of the context.
        self.alarm = None;
        self.pass_time();
        self.start_more(ctx);
    }

    fn quarantined(&mut self, cause: &RestartCause, ctx: &mut Context<Self>) {
        self.restarted(cause, ctx);
    }
}

/// One model's wish to be retrained.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) model_id: ModelId,
    pub(crate) version: Option<Version>,
    pub(crate) request: RetrainRequest,
    pub(crate) at: Timestamp,
    /// Told when the retrain is over.
    pub(crate) receipt: Option<Arc<Receipt>>,
}

impl Message for Wish {
    type Result = Submission;
}

impl Handler<Wish> for RetrainScheduler {
    type Result = MessageResult<Wish>;

    fn handle(&mut self, wish: Wish, ctx: &mut Context<Self>) -> Self::Result {
        MessageResult(self.submit(&wish, ctx))
    }
}

/// A wish that was counted when it was sent.
struct Counted(Wish);

impl Message for Counted {
    type Result = ();
}

impl Handler<Counted> for RetrainScheduler {
    type Result = ();

    fn handle(&mut self, Counted(wish): Counted, ctx: &mut Context<Self>) {
        self.tally.on_their_way.fetch_sub(1, Ordering::AcqRel);
        let _ = self.submit(&wish, ctx);
    }
}

/// A retrain is over.
struct Finished {
    model_id: ModelId,
    result: Result<RetrainOutcome, RetrainFailure>,
}

impl Message for Finished {
    type Result = ();
}

impl Handler<Finished> for RetrainScheduler {
    type Result = ();

    fn handle(&mut self, Finished { model_id, result }: Finished, ctx: &mut Context<Self>) {
        self.pass_time();
        let follows = self.queue.finish(&model_id, result.is_ok());
        self.receipts.finished(&model_id, follows);
        match result {
            Ok(outcome) => {
                self.status.succeeded += 1;
                tracing::info!(model = %model_id, outcome = outcome.summary, "retrain is done");
            }
            Err(error) => {
                self.status.failed += 1;
                if follows == Outcome::Retry {
                    self.status.retried += 1;
                    tracing::warn!(model = %model_id, %error, "retrain failed and is tried again");
                } else {
                    self.status.given_up += 1;
                    tracing::error!(model = %model_id, %error, "retrain failed as often as is allowed");
                }
            }
        }
        self.start_more(ctx);
        if self.closing && self.queue.running().is_empty() {
            ctx.stop();
        }
    }
}

/// Asks to stop once nothing runs.
struct Close;

impl Message for Close {
    type Result = ();
}

impl Handler<Close> for RetrainScheduler {
    type Result = ();

    fn handle(&mut self, _: Close, ctx: &mut Context<Self>) {
        self.closing = true;
        if self.queue.running().is_empty() {
            ctx.stop();
        }
    }
}

/// Asks the scheduler for its status.
#[derive(Clone, Copy, Debug)]
pub struct InspectScheduler;

impl Message for InspectScheduler {
    type Result = SchedulerStatus;
}

impl Handler<InspectScheduler> for RetrainScheduler {
    type Result = MessageResult<InspectScheduler>;

    fn handle(&mut self, _: InspectScheduler, ctx: &mut Context<Self>) -> Self::Result {
        self.pass_time();
        self.start_more(ctx);
        MessageResult(SchedulerStatus {
            queue: self.queue.waiting_orders(),
            held: self.queue.held_orders(),
            waiting: self.queue.waiting(),
            waiting_max: self.queue.policy().waiting_max,
            running: self.queue.running(),
            refused: self.status.refused + self.tally.turned_away.load(Ordering::Relaxed),
            ..self.status.clone()
        })
    }
}

/// Makes the scheduler panic, for tests of its supervision. Public because tests link the crate as users do,
/// and no user code runs inside the scheduler that could panic in its stead.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct PanicForTest;

impl Message for PanicForTest {
    type Result = ();
}

impl Handler<PanicForTest> for RetrainScheduler {
    type Result = ();

    #[expect(clippy::panic, reason = "this is what it is for")]
    fn handle(&mut self, _: PanicForTest, _: &mut Context<Self>) {
        panic!("asked to panic");
    }
}
