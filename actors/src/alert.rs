//! The alert dispatcher: takes the alerts of all shards to the sinks, to each in order, to all at a time.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Supervised};
use serde::Serialize;
use thiserror::Error;
use tokio::sync::oneshot;
use visu_tility_core::{ActionRecord, AlertPhase, ObserverAction, Severity};

use crate::caught::Caught;
use crate::hook::guard;
use crate::ledger::delivery::Receipt;
use crate::supervise::{RestartCause, Restartable};

/// A future that may be sent to another thread.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A sink could not deliver an alert.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("deliver to sink `{sink}`: {reason}")]
pub struct SinkFailure {
    /// The sink.
    pub sink: String,
    /// Why.
    pub reason: String,
}

/// Delivers alerts to somebody.
pub trait AlertSink: Send + Sync {
    /// Names the sink in logs and in the status.
    fn name(&self) -> &str;

    /// Delivers one alert: that it fires, or that it is over. The next one comes when this is done. A panic
    /// counts as a failure, and so does a delivery that takes longer than
    /// [`MonitoringBuilder::delivery_timeout`](crate::MonitoringBuilder::delivery_timeout): its future is
    /// dropped. It runs on an arbiter, so it must not block.
    fn deliver(&self, record: Arc<ActionRecord>) -> BoxFuture<Result<(), SinkFailure>>;
}

/// Writes alerts to the log: a firing critical one as an error, others as warnings, resolved ones as
/// information.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogSink;

impl AlertSink for LogSink {
    fn name(&self) -> &'static str {
        "log"
    }

    fn deliver(&self, record: Arc<ActionRecord>) -> BoxFuture<Result<(), SinkFailure>> {
        if let ObserverAction::Alert(alert) = &record.action {
            let (model, observer, summary) = (&record.id.model_id, &record.id.observer, &alert.summary);
            match (alert.phase, alert.severity) {
                (AlertPhase::Resolved, _) => tracing::info!(%model, %observer, %summary, "alert is over"),
                (_, Severity::Critical) => tracing::error!(%model, %observer, %summary, "alert"),
                (_, Severity::Warning) => tracing::warn!(%model, %observer, %summary, "alert"),
                (_, Severity::Info) => tracing::info!(%model, %observer, %summary, "alert"),
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What the dispatcher has done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DispatcherStatus {
    /// Alerts that wait, at the sink for which most do.
    pub waiting: usize,
    /// How many may wait for a sink.
    pub waiting_max: usize,
    /// Alerts that found no room, for each sink that had none.
    pub refused: u64,
    /// Deliveries to sinks that worked.
    pub delivered: u64,
    /// Deliveries to sinks that failed or took too long.
    pub failed: u64,
    /// Restarts after a panic.
    pub restarts: u64,
}

/// Figures that the shards and the dispatcher share.
#[derive(Default)]
struct Tally {
    on_their_way: AtomicUsize,
    /// The longest line of a sink.
    in_line: AtomicUsize,
    refused: AtomicU64,
}

impl Tally {
    fn waiting(&self) -> usize {
        self.on_their_way.load(Ordering::Acquire) + self.in_line.load(Ordering::Acquire)
    }
}

/// The dispatcher as the shards see it: an address with a bound.
pub(crate) struct DispatchDesk {
    addr: Addr<AlertDispatcher>,
    tally: Arc<Tally>,
    waiting_max: usize,
}

impl DispatchDesk {
    /// The desk, and how to build the actor behind it.
    pub(crate) fn open(
        sinks: Vec<Arc<dyn AlertSink>>,
        waiting_max: usize,
        delivery_timeout: Duration,
        start: impl FnOnce(Box<dyn FnOnce() -> AlertDispatcher + Send>) -> Addr<AlertDispatcher>,
    ) -> Self {
        let tally = Arc::new(Tally::default());
        let shared = Arc::clone(&tally);
        let addr = start(Box::new(move || AlertDispatcher {
            lines: sinks.into_iter().map(Line::new).collect(),
            tally: shared,
            waiting_max,
            delivery_timeout,
            closing: false,
            settling: Vec::new(),
            status: DispatcherStatus::default(),
        }));
        Self { addr, tally, waiting_max }
    }

    /// Hands an alert over, or counts that there was no room.
    ///
    /// With a receipt it is settled when all sinks are done with it; what finds no room is not settled.
    pub(crate) fn submit(&self, record: &Arc<ActionRecord>, receipt: Option<Arc<Receipt>>) {
        let on_their_way = self.tally.on_their_way.fetch_add(1, Ordering::AcqRel);
        if on_their_way >= self.waiting_max || !self.addr.connected() {
            self.tally.on_their_way.fetch_sub(1, Ordering::AcqRel);
            self.tally.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.addr.do_send(Page { record: Arc::clone(record), receipt });
    }

    /// Whether half of the room is free.
    pub(crate) fn has_room(&self) -> bool {
        self.tally.waiting() < self.waiting_max.div_ceil(2)
    }

    /// Waits until all alerts handed over have been delivered or have failed.
    pub(crate) async fn settle(&self) {
        let (settled, wait) = oneshot::channel();
        self.addr.do_send(Settle(settled));
        let _ = wait.await;
    }

    /// Lets the dispatcher stop once nothing waits.
    pub(crate) fn close(&self) {
        self.addr.do_send(Close);
    }

    /// Alerts that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.tally.waiting()
    }

    pub(crate) const fn addr(&self) -> &Addr<AlertDispatcher> {
        &self.addr
    }
}

impl Drop for DispatchDesk {
    fn drop(&mut self) {
        self.close();
    }
}

/// One sink, and the alerts that wait for it. A slow or hung one holds up nobody else.
struct Line {
    sink: Arc<dyn AlertSink>,
    queue: VecDeque<Page>,
    /// The alert that is being delivered.
    current: Option<Page>,
}

impl Line {
    fn new(sink: Arc<dyn AlertSink>) -> Self {
        Self { sink, queue: VecDeque::new(), current: None }
    }

    fn len(&self) -> usize {
        self.queue.len() + usize::from(self.current.is_some())
    }
}

/// Takes alerts to the sinks. A sink that panics, fails or hangs costs that delivery only.
pub struct AlertDispatcher {
    lines: Vec<Line>,
    tally: Arc<Tally>,
    waiting_max: usize,
    delivery_timeout: Duration,
    closing: bool,
    settling: Vec<oneshot::Sender<()>>,
    status: DispatcherStatus,
}

impl Actor for AlertDispatcher {
    type Context = Context<Self>;
}

impl Supervised for AlertDispatcher {}

impl Restartable for AlertDispatcher {
    /// Delivers the alerts at which it was interrupted once more.
    fn restarted(&mut self, cause: &RestartCause, ctx: &mut Context<Self>) {
        self.status.restarts = cause.panics;
        for line in &mut self.lines {
            if let Some(page) = line.current.take() {
                line.queue.push_front(page);
            }
        }
        self.next_all(ctx);
    }

    /// Gives up on the alerts at which it panicked again and again.
    fn quarantined(&mut self, cause: &RestartCause, ctx: &mut Context<Self>) {
        self.status.restarts = cause.panics;
        for line in &mut self.lines {
            if let Some(page) = line.current.take() {
                self.status.failed += 1;
                page.done(false);
            }
        }
        self.next_all(ctx);
    }
}

impl AlertDispatcher {
    /// Begins the next delivery to every sink that is idle, and tells those who wait that nothing is left.
    fn next_all(&mut self, ctx: &mut Context<Self>) {
        for index in 0..self.lines.len() {
            self.next(index, ctx);
        }
        self.rest(ctx);
    }

    /// Takes note of how many wait; when none do, tells those who want to know, and stops if it is to.
    fn rest(&mut self, ctx: &mut Context<Self>) {
        let longest = self.lines.iter().map(Line::len).max().unwrap_or(0);
        self.tally.in_line.store(longest, Ordering::Release);
        if longest > 0 {
            return;
        }
        for settled in self.settling.drain(..) {
            let _ = settled.send(());
        }
        if self.closing {
            ctx.stop();
        }
    }

    /// Begins the next delivery to one sink, if it is idle.
    fn next(&mut self, index: usize, ctx: &mut Context<Self>) {
        let timeout = self.delivery_timeout;
        let Some(line) = self.lines.get_mut(index).filter(|line| line.current.is_none()) else { return };
        let Some(page) = line.queue.pop_front() else { return };
        let record = Arc::clone(&page.record);
        line.current = Some(page);
        let sink = Arc::clone(&line.sink);
        let name = guard(|| sink.name().to_owned()).unwrap_or_default();
        let delivery = guard(|| sink.deliver(record)).map(Caught::new);
        let delivery = async move {
            let failure = |reason| SinkFailure { sink: name.clone(), reason };
            let delivery = delivery.map_err(failure)?;
            match tokio::time::timeout(timeout, delivery).await {
                Ok(done) => done.unwrap_or_else(|reason| Err(failure(reason))),
                Err(_) => Err(failure(format!("no answer within {} ms", timeout.as_millis()))),
            }
        };
        ctx.spawn(delivery.into_actor(self).map(move |done, actor, ctx| {
            let delivered = done.is_ok();
            match done {
                Ok(()) => actor.status.delivered += 1,
                Err(error) => {
                    actor.status.failed += 1;
                    tracing::error!(%error, "alert was not delivered");
                }
            }
            if let Some(page) = actor.lines.get_mut(index).and_then(|line| line.current.take()) {
                page.done(delivered);
            }
            actor.next(index, ctx);
            actor.rest(ctx);
        }));
    }
}

/// One alert to deliver.
#[derive(Clone)]
struct Page {
    record: Arc<ActionRecord>,
    /// Told when it is done with.
    receipt: Option<Arc<Receipt>>,
}

impl Page {
    fn done(&self, delivered: bool) {
        if let Some(receipt) = &self.receipt {
            receipt.done(delivered);
        }
    }
}

impl Message for Page {
    type Result = ();
}

impl Handler<Page> for AlertDispatcher {
    type Result = ();

    fn handle(&mut self, page: Page, ctx: &mut Context<Self>) {
        self.tally.on_their_way.fetch_sub(1, Ordering::AcqRel);
        if let Some(receipt) = &page.receipt {
            receipt.also_for(self.lines.len());
        }
        for line in &mut self.lines {
            if line.len() < self.waiting_max {
                line.queue.push_back(page.clone());
            } else {
                page.done(false);
                self.tally.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        page.done(false);
        self.next_all(ctx);
    }
}

/// Asks to be told when nothing waits.
struct Settle(oneshot::Sender<()>);

impl Message for Settle {
    type Result = ();
}

impl Handler<Settle> for AlertDispatcher {
    type Result = ();

    fn handle(&mut self, Settle(settled): Settle, ctx: &mut Context<Self>) {
        self.settling.push(settled);
        self.next_all(ctx);
    }
}

/// Asks to stop once nothing waits.
struct Close;

impl Message for Close {
    type Result = ();
}

impl Handler<Close> for AlertDispatcher {
    type Result = ();

    fn handle(&mut self, _: Close, ctx: &mut Context<Self>) {
        self.closing = true;
        self.next_all(ctx);
    }
}

/// Asks the dispatcher for its status.
pub struct InspectDispatcher;

impl Message for InspectDispatcher {
    type Result = DispatcherStatus;
}

impl Handler<InspectDispatcher> for AlertDispatcher {
    type Result = actix::MessageResult<InspectDispatcher>;

    fn handle(&mut self, _: InspectDispatcher, _: &mut Context<Self>) -> Self::Result {
        let mut status = self.status.clone();
        status.waiting = self.tally.waiting();
        status.waiting_max = self.waiting_max;
        status.refused = self.tally.refused.load(Ordering::Relaxed);
        actix::MessageResult(status)
    }
}
