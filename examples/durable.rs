//! # Durable
//!
//! What it shows: where a monitoring keeps its state is the embedder's choice. With a store what was acknowledged
//! outlives the process, here in one SQLite file; without one all is in memory and gone with it. A store of your own
//! implements `visu_tility::store::Store` and is given in the same place.
//!
//! Run it with: `cargo run --example durable`
//!
//! You should see: accuracy falls in the first life, and an alert is raised. The second life goes on where the first
//! ended: it knows the values and the alert, does not raise it again, and resolves it. One without a store knows nothing.

use std::path::Path;
use std::time::Duration;

use visu_tility::monitoring::{
    MetricEvent, MetricKind, MonitorPlan, Monitoring, MonitoringBuilder, ObserverAction, Timestamp,
};
use visu_tility::store::{SqliteStore, StoreLimits};

type Failure = Box<dyn std::error::Error>;

/// One life of a process: publishes the accuracy of so many days, and ends.
async fn live(name: &str, builder: MonitoringBuilder, days: &[(i64, f64)]) -> Result<(), Failure> {
    println!("{name}:");
    let plan = MonitorPlan::from_toml(
        "default_rules = false\n[[rule]]\nname = \"floor\"\ntype = \"performance\"\nmin_accuracy = 0.85\n\
         response = \"alert\"\n",
    )?;
    let monitoring = builder.plan(plan).start()?;
    // What the journal holds of the life before is repeated first.
    let report = monitoring.recovered().await;
    if let Some(failed) = report.failed {
        return Err(failed.into());
    }
    monitoring.subscribe_actions_fn(|record| {
        if let ObserverAction::Alert(alert) = &record.action {
            println!("    {}: {}", alert.phase, alert.summary);
        }
    });
    for (day, accuracy) in days {
        let at = Timestamp::from_millis(1_767_600_000_000 + day * 86_400_000);
        let event = MetricEvent::new("digits", MetricKind::Accuracy, *accuracy)?.at(at)?;
        // With a store this answers when the event is on the disk.
        monitoring.publish(event).await?;
    }
    monitoring.flush().await?;
    let status = monitoring.model_status("digits").await?;
    let taken = status.monitor.map_or(0, |monitor| monitor.taken);
    println!("    {taken} values are known, {} were published in this life", days.len());
    if !monitoring.shutdown(Duration::from_secs(5)).await.complete {
        return Err("not all was done in time".into());
    }
    Ok(())
}

/// A monitoring whose state is in a file.
fn in_file(path: &Path) -> Result<MonitoringBuilder, Failure> {
    let (store, _) = SqliteStore::open(path, StoreLimits::default())?;
    Ok(Monitoring::builder().store(Box::new(store)))
}

#[actix_rt::main]
async fn main() -> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("visu-tility-durable-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("monitor.db");
    let fall = [(0, 0.93), (1, 0.91), (2, 0.52), (3, 0.55)];
    let rise = [(4, 0.56), (5, 0.97), (6, 0.98), (7, 0.99), (8, 0.99)];

    live("first life, in a file", in_file(&path)?, &fall).await?;
    live("second life, in the same file", in_file(&path)?, &rise).await?;
    live("a life in memory", Monitoring::builder(), &rise[1..]).await?;

    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
