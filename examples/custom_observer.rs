//! # An observer of your own
//!
//! What it shows: an observer that the product does not have. It watches which classes a model answers: when
//! one of them is suddenly answered much more or less often than usual, something upstream has changed, and
//! nobody needs a label to see it. It has state, chooses the kinds it sees, and survives its model's sleep.
//!
//! Run it with: `cargo run --example custom_observer`
//!
//! You should see: one alert when the share of fraud leaves its usual band, and one end of it, however many
//! events lie between; with the model put to sleep and woken in the middle of it.

use std::sync::mpsc::channel;

use visu_tility::monitoring::codec::{DecodeError, Reader, put_u64};
use visu_tility::monitoring::{
    AlertPhase, MetricEvent, MetricKind, MetricObserver, MonitorPlan, Monitoring, ObserverAction,
    ObserverError, Severity,
};

/// Events that the share is taken over.
const WINDOW: u32 = 50;

/// Alerts while the share of one class is out of its band.
#[derive(Clone)]
struct ClassShare {
    kind: MetricKind,
    class: f64,
    band: (f64, f64),
    /// One bit per event, the newest lowest: whether it was the class.
    recent: u64,
    /// Events seen, up to a full window.
    seen: u64,
}

impl ClassShare {
    fn new(kind: MetricKind, class: f64, band: (f64, f64)) -> Self {
        Self { kind, class, band, recent: 0, seen: 0 }
    }
}

impl MetricObserver for ClassShare {
    fn name(&self) -> &'static str {
        "class-share"
    }

    /// Asked once per version and kind; of other kinds it hears nothing.
    fn wants(&self, kind: &MetricKind) -> bool {
        *kind == self.kind
    }

    /// Says on every event what it thinks of it. That a run of alerts becomes one is the monitor's work.
    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        let Some(class) = event.value() else { return Ok(ObserverAction::NoOp) };
        let hit = u64::from(class == self.class);
        self.recent = (self.recent << 1 | hit) & ((1 << WINDOW) - 1);
        self.seen = (self.seen + 1).min(u64::from(WINDOW));
        if self.seen < u64::from(WINDOW) {
            return Ok(ObserverAction::NoOp);
        }
        let share = f64::from(self.recent.count_ones()) / f64::from(WINDOW);
        let (low, high) = self.band;
        if (low..=high).contains(&share) {
            return Ok(ObserverAction::NoOp);
        }
        let what = format!("class {} is {share:.2} of the answers, usual are {low} to {high}", self.class);
        Ok(ObserverAction::alert(Severity::Warning, what))
    }

    /// What is needed to go on after a sleep; what the plan says anew (kind, class, band) is not.
    fn write_state(&self, out: &mut Vec<u8>) {
        put_u64(out, self.recent);
        put_u64(out, self.seen);
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        (self.recent, self.seen) = (bytes.u64()?, bytes.u64()?);
        bytes.finish()
    }
}

#[actix_rt::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let answer = MetricKind::custom("answer")?;
    let monitoring = Monitoring::builder()
        .plan(MonitorPlan::empty())
        .observer(Box::new(ClassShare::new(answer.clone(), 1.0, (0.02, 0.20))))
        .start()?;
    let (tell, told) = channel();
    monitoring.subscribe_actions_fn(move |record| {
        let _ = tell.send(record.clone()); // nobody listens any more at the end
    });
    let fraud = monitoring.model("fraud")?;

    // One answer in ten is fraud; then every second one; then one in ten again.
    for (stretch, every, events) in [("usual", 10, 200), ("flooded", 2, 100), ("usual again", 10, 200)] {
        println!("{stretch}: one answer in {every} is fraud, {events} events");
        for i in 0..events {
            if every == 2 && i == 50 {
                monitoring.flush().await?;
                monitoring.passivate("fraud").await?;
                println!("    after {i} events the model is asleep: {:?}", fraud.status().await?.phase);
            }
            fraud.publish(answer.clone(), f64::from(u8::from(i % every == 0))).await?;
            fraud.publish(MetricKind::Confidence, 0.9).await?; // not wanted, not seen
        }
        monitoring.flush().await?;
        for record in told.try_iter() {
            let ObserverAction::Alert(alert) = record.action else { continue };
            match alert.phase {
                AlertPhase::Resolved => println!("    answer {}: over", record.series_index),
                _ => println!("    answer {}: {}", record.series_index, alert.summary),
            }
        }
    }
    Ok(())
}
