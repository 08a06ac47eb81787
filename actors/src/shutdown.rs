//! The end in stages, top down, with a deadline and a report of what was cut.

use std::time::Duration;

use crate::control::Control;
use crate::house::House;
use crate::status::DrainReport;

/// Stops the intake, lets everything queued be handled, keeps the states, stops the actors.
pub(crate) async fn drain(house: &House, deadline: Duration) -> DrainReport {
    let mut report = DrainReport::default();
    house.board.close();
    for dock in &house.board.docks {
        // Who waits for room learns that there will be none.
        dock.credits.close();
    }
    let stages = async {
        house.settle().await?;
        for shard in 0..house.shards.len() {
            report.snapshots += house.ask(shard, Control::Snapshot).await?;
        }
        stop(house).await?;
        house.outlet.close();
        house.census.empty().await;
        Ok::<(), crate::ControlError>(())
    };
    report.complete = matches!(tokio::time::timeout(deadline, stages).await, Ok(Ok(())));
    if !report.complete {
        report.events_cut = house.board.docks.iter().map(|dock| dock.credits_out()).sum();
        report.alerts_cut = house.outlet.alerts.waiting();
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
    #[cfg(feature = "automated_retraining")]
    {
        report.retrains_cut = house.outlet.retrains.waiting();
    }
    report.actors_left = house.census.live();
    report
}

async fn stop(house: &House) -> Result<(), crate::ControlError> {
    for shard in 0..house.shards.len() {
        house.ask(shard, Control::Stop).await?;
    }
    Ok(())
}
