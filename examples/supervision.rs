//! # Supervision
//!
//! What it shows: what a panic costs. An observer has a bug: it panics on negative values, and one model
//! sends some.
//!
//! Run it with: `cargo run --example supervision`
//!
//! You should see: the model restarted at once after the first panic, after growing waits when more follow,
//! and put into quarantine when there are too many. What was lost lies in the dead letters, with its reason.
//! The neighbour, watched by the same observer on the same thread, has missed nothing. A reset lifts the
//! quarantine.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use visu_tility::monitoring::{
    DeadLetter, DeadReason, Lifecycle, MetricEvent, MetricKind, MetricObserver, ModelStatus, MonitorPlan,
    Monitoring, MonitoringHandle, ObserverAction, ObserverError, RestartPolicy, Severity,
};

type Failure = Box<dyn std::error::Error>;

/// An observer with a bug.
#[derive(Clone)]
struct RootMeanSquare;

impl MetricObserver for RootMeanSquare {
    fn name(&self) -> &'static str {
        "root-mean-square"
    }

    #[allow(clippy::panic, reason = "the bug that this example is about")]
    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        match event.value() {
            Some(power) if power < 0.0 => panic!("no root of {power}"),
            Some(power) if power.sqrt() > 100.0 => Ok(ObserverAction::alert(Severity::Warning, "too loud")),
            _ => Ok(ObserverAction::NoOp),
        }
    }
}

#[actix_rt::main]
async fn main() -> Result<(), Failure> {
    // Three restarts are allowed, after nothing, 4 ms and 8 ms; no chance in the waits, so that this
    // example prints the same every time.
    let policy = RestartPolicy {
        restarts_max: 3,
        backoff_min: Duration::from_millis(4),
        jitter: 0.0,
        ..RestartPolicy::default()
    };
    let monitoring = Monitoring::builder()
        .plan(MonitorPlan::empty())
        .observer(Box::new(RootMeanSquare))
        .restart_policy(policy)
        .start()?;
    let (tell, life) = channel();
    monitoring.subscribe_lifecycle_fn(move |turn| {
        let _ = tell.send(turn.clone()); // nobody listens any more at the end
    });

    println!("one bad event among good ones");
    publish(&monitoring, &[1.0, 2.0, -3.0, 4.0, 5.0]).await?;
    show(&monitoring, &life).await?;

    println!("\ntwo more: what comes during a wait is held, in order, and seen after it");
    publish(&monitoring, &[-6.0, 7.0, -8.0, 9.0]).await?;
    show(&monitoring, &life).await?;

    println!("\none too many: quarantine, which answers, and counts what it does not see");
    publish(&monitoring, &[10.0, -11.0, 12.0, 13.0]).await?;
    show(&monitoring, &life).await?;

    println!("\nthe dead letters");
    for DeadLetter { model_id, value, reason, .. } in monitoring.dead_letters() {
        let why = match reason {
            DeadReason::Panicked { reason } => format!("panicked: {reason}"),
            DeadReason::Quarantined => "the model was in quarantine".to_owned(),
            other => format!("{other:?}"),
        };
        println!("    {model_id}, {}: {why}", value.unwrap_or_default());
    }

    println!("\nafter a reset it starts afresh");
    monitoring.reset("microphone").await?;
    publish(&monitoring, &[14.0]).await?;
    show(&monitoring, &life).await?;

    let report = monitoring.shutdown(Duration::from_secs(5)).await;
    println!("\nshut down: complete {}, {} actors left", report.complete, report.actors_left);
    Ok(())
}

/// Publishes the values for the model in trouble, and as many good ones for its neighbour, by turns.
async fn publish(monitoring: &MonitoringHandle, values: &[f64]) -> Result<(), Failure> {
    let power = MetricKind::custom("power")?;
    for value in values {
        monitoring.publish(MetricEvent::new("microphone", power.clone(), *value)?).await?;
        monitoring.publish(MetricEvent::new("neighbour", power.clone(), value.abs())?).await?;
    }
    monitoring.flush().await?; // all is handled, and all waits are over
    Ok(())
}

/// Prints what happened to the models since the last time, and how they are.
async fn show(monitoring: &MonitoringHandle, life: &Receiver<Lifecycle>) -> Result<(), Failure> {
    for turn in life.try_iter() {
        match turn {
            Lifecycle::Restarted { model_id, reason, backoff_us, .. } => {
                println!("    {model_id} restarted, wait {} ms: {reason}", backoff_us / 1_000);
            }
            Lifecycle::Quarantined { model_id, reason } => println!("    {model_id} quarantined: {reason}"),
            Lifecycle::Started { model_id } => println!("    {model_id} started"),
            Lifecycle::Reset { model_id } => println!("    {model_id} reset"),
            _ => {}
        }
    }
    for model in monitoring.models() {
        let status = monitoring.model_status(&model).await?;
        let seen = status.monitor.as_ref().map_or(0, |monitor| monitor.taken);
        let ModelStatus { phase, panics, dead_letters, .. } = status;
        println!("    {model}: {phase:?}, seen {seen}, panics {panics}, dead letters {dead_letters}");
    }
    Ok(())
}
