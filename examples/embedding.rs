//! # Embeddings
//!
//! What it shows: a model that answers questions has no number that could be watched before its answers are
//! judged, but each question has an embedding. They are published as they are; nothing about them is said
//! beforehand, neither their dimension nor what is usual.
//!
//! Run it with: `cargo run --example embedding`
//!
//! You should see: nothing while the questions are about two subjects, in whatever order; one alert soon after
//! a third subject begins to come up, in one question of four, and its end, as what came then has been learned
//! and nothing else is seen; and what the observer knows at the end.

use std::sync::mpsc::channel;
use std::time::Duration;

use visu_tility::monitoring::{
    AlertPhase, EmbeddingObserver, MetricEvent, MonitorPlan, Monitoring, ObserverAction, Timestamp,
};

/// A stand-in for a model of texts: each subject has a direction, each question lies about it.
struct Questions(u64);

impl Questions {
    const DIMENSION: usize = 32;

    /// A number from 0 to 1 (splitmix64).
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The embedding of a question about a subject, of length 1.
    fn embed(&mut self, subject: usize) -> Vec<f32> {
        let about = |place: usize| if place % 5 == subject { 1.0 } else { 0.0 };
        let vector: Vec<f64> =
            (0..Self::DIMENSION).map(|place| about(place) + 1.6 * (self.unit() - 0.5)).collect();
        let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        vector.iter().map(|x| (x / length) as f32).collect()
    }

    /// One of two subjects, equally likely, or with this share a third.
    fn next(&mut self, third: f64) -> Vec<f32> {
        let subject = if self.unit() < third { 2 } else { usize::from(self.unit() < 0.5) };
        self.embed(subject)
    }
}

#[actix_rt::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Also in the default plan; the budget of false alarms says how sure it must be.
    let plan = MonitorPlan::empty().with_observer(Box::new(EmbeddingObserver::default()))?;
    let monitoring = Monitoring::builder().plan(plan).start()?;
    let (tell, told) = channel();
    monitoring.subscribe_actions_fn(move |record| {
        let _ = tell.send(record.clone()); // nobody listens any more at the end
    });

    let mut questions = Questions(1);
    let mut now = Timestamp::parse("2026-01-05T08:00:00Z").ok_or("not a time")?;
    for (stretch, third, count) in [("two subjects", 0.0, 3_000), ("a third one", 0.25, 2_000)] {
        println!("{stretch}: {count} questions");
        for _ in 0..count {
            // One a minute: how sure the observer must be follows from how often it is asked.
            now = now.plus(Duration::from_mins(1));
            let event = MetricEvent::embedding("support-bot", "question", questions.next(third))?;
            monitoring.publish(event.at(now)?).await?;
        }
        monitoring.flush().await?;
        for record in told.try_iter() {
            if let ObserverAction::Alert(alert) = record.action {
                let when = match alert.phase {
                    AlertPhase::Resolved => "when nothing more was seen".to_owned(),
                    _ => format!("at question {}", record.series_index),
                };
                println!("    {when}: {}", alert.summary);
            }
        }
    }

    let status = monitoring.model("support-bot")?.status().await?;
    let observers =
        status.monitor.iter().flat_map(|monitor| &monitor.series).flat_map(|series| &series.observers);
    for observer in observers {
        for name in ["dimension", "vectors", "misshapen"] {
            println!("{name}: {}", observer.figures.get(name).copied().unwrap_or_default());
        }
    }
    Ok(())
}
