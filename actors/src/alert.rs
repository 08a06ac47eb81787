//! The alert dispatcher: takes the alerts of all shards to the sinks, one after the other.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use actix::fut::{ActorFutureExt, WrapFuture};
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, Supervised};
use serde::Serialize;
use thiserror::Error;
use tokio::sync::oneshot;
use visu_tility_core::{ActionRecord, AlertPhase, ObserverAction, Severity};

use crate::caught::Caught;
use crate::hook::guard;
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

    /// Delivers one alert: that it fires, or that it is over. A panic counts as a failure.
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
    /// Alerts that wait.
    pub waiting: usize,
    /// How many may wait.
    pub waiting_max: usize,
    /// Alerts that found no room.
    pub refused: u64,
    /// Deliveries to sinks that worked.
    pub delivered: u64,
    /// Deliveries to sinks that failed.
    pub failed: u64,
    /// Restarts after a panic.
    pub restarts: u64,
}

/// Figures that the shards and the dispatcher share.
#[derive(Default)]
struct Tally {
    waiting: AtomicUsize,
    refused: AtomicU64,
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
        start: impl FnOnce(Box<dyn FnOnce() -> AlertDispatcher + Send>) -> Addr<AlertDispatcher>,
    ) -> Self {
        let tally = Arc::new(Tally::default());
        let shared = Arc::clone(&tally);
        let addr = start(Box::new(move || AlertDispatcher {
            sinks,
            queue: VecDeque::new(),
            tally: shared,
            waiting_max,
            current: None,
            closing: false,
            settling: Vec::new(),
            status: DispatcherStatus::default(),
        }));
        Self { addr, tally, waiting_max }
    }

    /// Hands an alert over, or counts that there was no room.
    pub(crate) fn submit(&self, record: &Arc<ActionRecord>) {
        if self.tally.waiting.fetch_add(1, Ordering::AcqRel) >= self.waiting_max || !self.addr.connected() {
            self.tally.waiting.fetch_sub(1, Ordering::AcqRel);
            self.tally.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.addr.do_send(Page(Arc::clone(record)));
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
        self.tally.waiting.load(Ordering::Acquire)
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

/// Takes alerts to the sinks. A sink that panics or fails costs that delivery only.
pub struct AlertDispatcher {
    sinks: Vec<Arc<dyn AlertSink>>,
    queue: VecDeque<Arc<ActionRecord>>,
    tally: Arc<Tally>,
    waiting_max: usize,
    /// The alert that is being delivered.
    current: Option<Arc<ActionRecord>>,
    closing: bool,
    settling: Vec<oneshot::Sender<()>>,
    status: DispatcherStatus,
}

impl Actor for AlertDispatcher {
    type Context = Context<Self>;
}

impl Supervised for AlertDispatcher {}

impl Restartable for AlertDispatcher {
    /// Delivers the alert at which it was interrupted once more.
    fn restarted(&mut self, cause: &RestartCause, ctx: &mut Context<Self>) {
        self.status.restarts = cause.panics;
        if let Some(record) = self.current.take() {
            self.queue.push_front(record);
        }
        self.next(ctx);
    }

    /// Gives up on the alert at which it panicked again and again.
    fn quarantined(&mut self, cause: &RestartCause, ctx: &mut Context<Self>) {
        self.status.restarts = cause.panics;
        if self.current.take().is_some() {
            self.status.failed += 1;
            self.tally.waiting.fetch_sub(1, Ordering::AcqRel);
        }
        self.next(ctx);
    }
}

impl AlertDispatcher {
    /// Begins the next delivery, or tells those who wait that there is none.
    fn next(&mut self, ctx: &mut Context<Self>) {
        if self.current.is_some() {
            return;
        }
        let Some(record) = self.queue.pop_front() else {
            for settled in self.settling.drain(..) {
                let _ = settled.send(());
            }
            if self.closing {
                ctx.stop();
            }
            return;
        };
        self.current = Some(Arc::clone(&record));
        let deliveries: Vec<_> = self
            .sinks
            .iter()
            .map(|sink| {
                (sink.name().to_owned(), guard(|| sink.deliver(Arc::clone(&record))).map(Caught::new))
            })
            .collect();
        let all = async move {
            let mut failed = 0;
            let total = deliveries.len() as u64;
            for (sink, delivery) in deliveries {
                let done = match delivery {
                    Ok(delivery) => delivery
                        .await
                        .unwrap_or_else(|reason| Err(SinkFailure { sink: sink.clone(), reason })),
                    Err(reason) => Err(SinkFailure { sink: sink.clone(), reason }),
                };
                if let Err(error) = done {
                    failed += 1;
                    tracing::error!(%error, "alert was not delivered");
                }
            }
            (total - failed, failed)
        };
        ctx.spawn(all.into_actor(self).map(|(delivered, failed), actor, ctx| {
            actor.status.delivered += delivered;
            actor.status.failed += failed;
            actor.tally.waiting.fetch_sub(1, Ordering::AcqRel);
            actor.current = None;
            actor.next(ctx);
        }));
    }
}

/// One alert to deliver.
struct Page(Arc<ActionRecord>);

impl Message for Page {
    type Result = ();
}

impl Handler<Page> for AlertDispatcher {
    type Result = ();

    fn handle(&mut self, Page(record): Page, ctx: &mut Context<Self>) {
        self.queue.push_back(record);
        self.next(ctx);
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
        self.next(ctx);
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
        self.next(ctx);
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
        status.waiting = self.tally.waiting.load(Ordering::Acquire);
        status.waiting_max = self.waiting_max;
        status.refused = self.tally.refused.load(Ordering::Relaxed);
        actix::MessageResult(status)
    }
}
