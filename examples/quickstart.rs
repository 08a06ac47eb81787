//! # Quickstart
//!
//! What it shows: the smallest use there is. Observers are registered, events go in, actions come out.
//!
//! Run it with: `cargo run --example quickstart`
//!
//! You should see: one line per event. A drift score that is too high raises one alert, and one that is low
//! again ends it. Accuracy below the agreed floor asks for a retrain, once, although it stays below (built
//! without the feature `automated_retraining` it raises an alert instead; the line is the same).

#[allow(clippy::wildcard_imports, reason = "one path holds everything that an embedder needs")]
use visu_tility::monitoring::*;

#[actix_rt::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut manager = ObserverManager::default();
    manager.register(Box::new(DriftDetector::default()));
    manager.register(Box::new(PerformanceDegrader::new(0.85)?));

    let drift = [0.12, 0.41, 0.44, 0.10].map(|value| (MetricKind::DriftScore, value));
    let accuracy = [0.93, 0.81, 0.64, 0.62].map(|value| (MetricKind::Accuracy, value));
    for (kind, value) in drift.into_iter().chain(accuracy) {
        let event = MetricEvent::new("fraud", kind.clone(), value)?;
        let actions = manager.dispatch(event).await?;
        println!("{kind} {value:.2}: {}", if actions.is_empty() { "nothing to do" } else { "act" });
        for action in actions {
            match action {
                ObserverAction::Alert(alert) if alert.phase == AlertPhase::Resolved => {
                    println!("    it is over");
                }
                ObserverAction::Alert(alert) => println!("    {}", alert.summary),
                ObserverAction::Retrain(request) => println!("    {}", request.reason),
                _ => {}
            }
        }
    }
    Ok(())
}
