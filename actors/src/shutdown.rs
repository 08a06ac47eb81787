//! The end in stages, top down, with a deadline and a report of what was cut.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Stopwatch;
use crate::control::Control;
use crate::hook::guard;
use crate::house::House;
use crate::ledger::status::{SetAside, StoreStatus};
use crate::status::{DrainReport, SnapshotRound, UnkeptSnapshot};

/// How often it is looked whether all alerts of the store have been handed over.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// What an arbiter may take longer than the deadline before it counts as blocked.
const GRACE: Duration = Duration::from_millis(100);

/// Ends the monitoring and reports by the deadline, also when the arbiter that drains it is blocked or gone.
pub(crate) async fn end(house: &Arc<House>, deadline: Duration) -> DrainReport {
    house.board.close();
    for dock in house.board.docks() {
        // Who waits for room learns that there will be none.
        dock.credits.close();
    }
    let mut late = Late::set(house, deadline.saturating_add(GRACE));
    // Counted from now, not from when the arbiter comes to it.
    let begun = Stopwatch::start();
    let (report, mut answer) = oneshot::channel();
    let draining = Arc::clone(house);
    house.arbiter.spawn(async move {
        let passed = Duration::from_micros(u64::try_from(begun.micros()).unwrap_or(0));
        let limit = tokio::time::sleep(deadline.saturating_sub(passed));
        let _ = report.send(drain(&draining, limit).await);
    });
    match until(&mut answer, &mut late).await {
        Some(Ok(report)) => report,
        // An arbiter of a `System` that was stopped takes nothing more. Its actors live on where somebody still
        // polls that thread, who may be the one that waits here.
        Some(Err(_)) => drain(house, late).await,
        None => count(house, SnapshotRound::default()),
    }
}

/// Lets everything queued be handled, keeps the states, stops the actors, until `limit` comes.
async fn drain(house: &House, limit: impl Future<Output = ()>) -> DrainReport {
    let mut snapshots = SnapshotRound::default();
    let stages = async {
        // Alerts that were read from the store too late for the room there was come first to those they are for.
        while house.settle().await.is_ok() && owes_alerts(house) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        // What the store does not take any more is handled all the same, and its actors are stopped.
        let kept = match house.settle().await {
            Err(crate::ControlError::Store(reason)) => Err(crate::ControlError::Store(reason)),
            other => Ok(other?),
        };
        for shard in 0..house.shards.len() {
            let round = house.ask(shard, Control::Snapshot).await?;
            snapshots.kept += round.kept;
            snapshots.failed += round.failed;
            snapshots.unkept.extend(round.unkept);
            snapshots.unkept.truncate(DrainReport::UNKEPT_MAX);
        }
        stop(house).await?;
        house.outlet.close();
        house.end_ledger();
        house.census.empty().await;
        kept
    };
    let all = matches!(until(pin!(stages), pin!(limit)).await, Some(Ok(())));
    if all {
        house.ending.drained.store(true, Ordering::Release);
    } else if house.census.live() > 0 {
        // In order behind what is being handled: nothing can be taken out of an actor's hands.
        for shard in 0..house.shards.len() {
            let (reply, _) = oneshot::channel();
            if let (Some(dock), Some(addr)) = (house.board.dock(shard), house.shards.get(shard)) {
                let _ = dock.request(&mut Some(Control::Stop(reply)));
                addr.do_send(crate::shard::Poke);
            }
        }
        house.outlet.close();
        house.end_ledger();
    }
    count(house, snapshots)
}

/// Counts what was handled and what is cut. Actors that are gone may have taken events with them, so that
/// nobody is left is no proof that all was done.
fn count(house: &House, snapshots: SnapshotRound) -> DrainReport {
    let SnapshotRound { kept: snapshots, failed: snapshots_failed, unkept } = snapshots;
    let mut report = DrainReport { snapshots, snapshots_failed, unkept, ..DrainReport::default() };
    for dock in house.board.docks() {
        let (handled, unseen, cut) = dock.fates();
        report.events_handled += handled;
        report.events_unseen += unseen;
        report.events_cut += cut;
    }
    report.alerts_cut = house.outlet.alerts.waiting();
    #[cfg(feature = "automated_retraining")]
    {
        report.retrains_cut = house.outlet.retrains.waiting();
    }
    report.actors_left = house.census.live();
    // A second shutdown finds nobody to ask, and nothing left to do.
    let drained = house.ending.drained.load(Ordering::Acquire);
    report.complete = drained && report.events_cut == 0 && report.alerts_cut == 0;
    if let Some(store) = house.durable.as_ref().map(|durable| durable.figures.status()) {
        name_aside(&mut report, store);
        report.complete &= report.aside == 0 && report.snapshots_failed == 0 && !owes_alerts(house);
    }
    report
}

/// Whether alerts wait in the store that are yet to be handed over.
fn owes_alerts(house: &House) -> bool {
    house.durable.as_ref().is_some_and(|durable| durable.figures.owes_alerts())
}

/// Puts those into a report who are set aside.
fn name_aside(report: &mut DrainReport, store: StoreStatus) {
    report.aside = store.aside;
    for SetAside { model_id, reason } in store.aside_first {
        let known = report.unkept.iter().any(|unkept| unkept.model_id == model_id);
        if !known && report.unkept.len() < DrainReport::UNKEPT_MAX {
            report.unkept.push(UnkeptSnapshot { model_id, observer: None, reason });
        }
    }
}

async fn stop(house: &House) -> Result<(), crate::ControlError> {
    for shard in 0..house.shards.len() {
        house.ask(shard, Control::Stop).await?;
    }
    Ok(())
}

/// The end of a shutdown's time, for who waits for it.
enum Late {
    /// On the thread that everything runs on: while that is blocked nobody could be told anyway, so its own clock is right.
    Here(Pin<Box<tokio::time::Sleep>>),
    Alarm(Alarm),
}

impl Late {
    fn set(house: &House, after: Duration) -> Self {
        let here = house.ending.home == Some(std::thread::current().id());
        // It fails without a runtime, or with one that has no clock.
        let sleep = here.then(|| guard(|| Box::pin(tokio::time::sleep(after))).ok()).flatten();
        sleep.map_or_else(|| Self::Alarm(Alarm::set(after)), Self::Here)
    }
}

impl Future for Late {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Self::Here(sleep) => sleep.as_mut().poll(cx),
            Self::Alarm(alarm) => Pin::new(alarm).poll(cx),
        }
    }
}

/// Goes off after a time, on whatever thread it is awaited and with whatever runtime, or none.
struct Alarm {
    rings: oneshot::Receiver<()>,
    /// Ends the thread when the alarm is not wanted any more.
    _wanted: Sender<()>,
}

impl Alarm {
    fn set(after: Duration) -> Self {
        let (ring, rings) = oneshot::channel();
        let (wanted, unwanted) = channel::<()>();
        let wait = move || {
            if unwanted.recv_timeout(after) == Err(RecvTimeoutError::Timeout) {
                let _ = ring.send(());
            }
        };
        // Without a thread to spare the arbiter keeps the deadline alone.
        let _ = std::thread::Builder::new().name("visu-tility-deadline".to_owned()).spawn(wait);
        Self { rings, _wanted: wanted }
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // An alarm whose thread could not be started never goes off; its end is asked about once only.
        if self.rings.is_terminated() {
            return Poll::Pending;
        }
        match Pin::new(&mut self.rings).poll(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

/// Waits for a future until `limit` comes; `None` when that is sooner.
async fn until<F: Future + Unpin>(
    mut future: F,
    mut limit: impl Future<Output = ()> + Unpin,
) -> Option<F::Output> {
    poll_fn(|cx| match Pin::new(&mut future).poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Pin::new(&mut limit).poll(cx).map(|()| None),
    })
    .await
}
