//! The end in stages, top down, with a deadline and a report of what was cut.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::control::Control;
use crate::house::House;
use crate::status::DrainReport;

/// What an arbiter may take longer than the deadline before it counts as blocked.
const GRACE: Duration = Duration::from_millis(100);

/// Ends the monitoring and reports by the deadline, also when the arbiter that drains it is blocked.
pub(crate) async fn end(house: &Arc<House>, deadline: Duration) -> DrainReport {
    house.board.close();
    for dock in &house.board.docks {
        // Who waits for room learns that there will be none.
        dock.credits.close();
    }
    let (report, answer) = oneshot::channel();
    let (done, late) = channel::<()>();
    let first = Arc::new(Mutex::new(Some(report)));
    let tell = |first: &Mutex<Option<oneshot::Sender<DrainReport>>>, report| {
        if let Some(first) = first.lock().take() {
            let _ = first.send(report);
        }
    };
    let (draining, drained) = (Arc::clone(house), Arc::clone(&first));
    house.arbiter.spawn(async move {
        let report = drain(&draining, deadline).await;
        drop(done);
        tell(&drained, report);
    });
    // Weak: the thread ends a moment after the report is out.
    let cut = Arc::downgrade(house);
    let watch = move || {
        if late.recv_timeout(deadline.saturating_add(GRACE)) == Err(RecvTimeoutError::Timeout) {
            let mut report = DrainReport::default();
            if let Some(house) = cut.upgrade() {
                count_cut(&house, &mut report);
            }
            tell(&first, report);
        }
    };
    // Without a thread to spare the arbiter keeps the deadline alone.
    let _ = std::thread::Builder::new().name("visu-tility-deadline".to_owned()).spawn(watch);
    answer.await.unwrap_or_default()
}

/// Lets everything queued be handled, keeps the states, stops the actors.
async fn drain(house: &House, deadline: Duration) -> DrainReport {
    let mut report = DrainReport::default();
    let stages = async {
        house.settle().await?;
        for shard in 0..house.shards.len() {
            let round = house.ask(shard, Control::Snapshot).await?;
            report.snapshots += round.kept;
            report.snapshots_failed += round.failed;
            report.unkept.extend(round.unkept);
            report.unkept.truncate(DrainReport::UNKEPT_MAX);
        }
        stop(house).await?;
        house.outlet.close();
        house.census.empty().await;
        Ok::<(), crate::ControlError>(())
    };
    let all = matches!(tokio::time::timeout(deadline, stages).await, Ok(Ok(())));
    // A second shutdown finds nobody to ask, and nothing left to do.
    report.complete = all || house.census.live() == 0;
    if !report.complete {
        // In order behind what is being handled: nothing can be taken out of an actor's hands.
        for shard in 0..house.shards.len() {
            let (reply, _) = tokio::sync::oneshot::channel();
            if let (Some(dock), Some(addr)) = (house.board.docks.get(shard), house.shards.get(shard)) {
                let _ = dock.request(Control::Stop(reply));
                addr.do_send(crate::shard::Poke);
            }
        }
        house.outlet.close();
    }
    if report.complete {
        report.actors_left = house.census.live();
    } else {
        count_cut(house, &mut report);
    }
    report
}

/// Counts what the deadline cuts.
fn count_cut(house: &House, report: &mut DrainReport) {
    report.events_cut = house.board.docks.iter().map(|dock| dock.credits_out()).sum();
    report.alerts_cut = house.outlet.alerts.waiting();
    #[cfg(feature = "automated_retraining")]
    {
        report.retrains_cut = house.outlet.retrains.waiting();
    }
    report.actors_left = house.census.live();
}

async fn stop(house: &House) -> Result<(), crate::ControlError> {
    for shard in 0..house.shards.len() {
        house.ask(shard, Control::Stop).await?;
    }
    Ok(())
}
