//! Vectors on their way: they reach their model by every way, and none is left behind wherever it ends.

use visu_tility_actors::{EventBatch, MonitoringHandle};
use visu_tility_core::{
    MetricEvent, MetricObserver, MonitorPlan, ObserverAction, ObserverError, Severity, Timestamp,
};

use crate::world::{Ears, accuracy, end, monitoring, world};

/// Alerts on a vector whose components add up to more than 10; panics on one that begins with -1.
#[derive(Clone)]
struct Sum;

impl MetricObserver for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        let Some(vector) = event.vector() else { return Ok(ObserverAction::NoOp) };
        assert!(vector[0] != -1.0, "a vector that begins with -1");
        let sum: f32 = vector.iter().sum();
        Ok(if sum > 10.0 { ObserverAction::alert(Severity::Info, "large") } else { ObserverAction::NoOp })
    }
}

fn embedding(model: &str, vector: [f32; 3], second: i64) -> MetricEvent {
    let at = Timestamp::from_millis(1_700_000_000_000 + second * 1_000);
    MetricEvent::embedding(model, "text", vector).unwrap().at(at).unwrap()
}

async fn waiting(handle: &MonitoringHandle) -> usize {
    handle.flush().await.unwrap();
    handle.status().await.unwrap().vectors_waiting
}

#[test]
fn a_vector_reaches_its_model_by_every_way() {
    world(|| async {
        let plan = MonitorPlan::empty();
        let handle = monitoring().plan(plan).observer(Box::new(Sum)).event_time(true).start().unwrap();
        let ears = Ears::on(&handle);
        let large = |model: &str| embedding(model, [5.0, 5.0, 5.0], 1);
        handle.publish(large("a")).await.unwrap();
        handle.try_publish(&large("b")).unwrap();
        let mixed = vec![accuracy("c", 0.9, 0), large("c"), accuracy("c", 0.9, 2)];
        assert_eq!(handle.publish_batch(mixed).await.accepted, 3);
        assert_eq!(handle.try_publish_batch(&[large("d")]).accepted, 1);
        handle.model("e").unwrap().publish_event(&large("e")).await.unwrap();
        let _ = handle.supervisor().send(large("f")).await.unwrap();
        let receipt = handle.supervisor().send(EventBatch(vec![large("g")])).await.unwrap();
        assert_eq!(receipt.accepted, 1);
        let _ = handle.model("h").unwrap();
        let _ = handle.model_addr("h").await.unwrap().send(large("h")).await.unwrap();
        assert_eq!(waiting(&handle).await, 0);
        end(handle).await;
        let mut told: Vec<String> = ears.records().iter().map(|r| r.id.model_id.to_string()).collect();
        told.sort();
        assert_eq!(told, ["a", "b", "c", "d", "e", "f", "g", "h"]);
    });
}

#[test]
fn no_vector_is_left_behind_by_a_panic_a_pause_or_a_model_that_is_gone() {
    world(|| async {
        let plan = MonitorPlan::empty();
        let handle = monitoring().plan(plan).observer(Box::new(Sum)).event_time(true).start().unwrap();
        let ears = Ears::on(&handle);
        // The second one waits for the restart and is shown after it.
        handle.publish(embedding("a", [-1.0, 0.0, 0.0], 0)).await.unwrap();
        handle.publish(embedding("a", [9.0, 9.0, 9.0], 1)).await.unwrap();
        assert_eq!(waiting(&handle).await, 0);
        assert_eq!(ears.records().len(), 1);

        handle.publish(accuracy("b", 0.9, 0)).await.unwrap();
        handle.pause("b").await.unwrap();
        handle.publish(embedding("b", [9.0, 9.0, 9.0], 1)).await.unwrap();
        assert_eq!(waiting(&handle).await, 0);

        let gone = handle.model("c").unwrap();
        handle.retire("c").await.unwrap();
        assert!(gone.publish_event(&embedding("c", [9.0, 9.0, 9.0], 1)).await.is_err());
        drop(gone);
        // An hour too late.
        handle.publish(embedding("d", [0.0, 0.0, 0.0], 7_200)).await.unwrap();
        handle.publish(embedding("d", [0.0, 0.0, 0.0], 0)).await.unwrap();
        assert_eq!(waiting(&handle).await, 0);
        end(handle).await;
    });
}

#[test]
fn more_vectors_than_have_a_place_wait_for_one() {
    world(|| async {
        let plan = MonitorPlan::empty();
        let handle = monitoring().plan(plan).observer(Box::new(Sum)).event_time(true).start().unwrap();
        let ears = Ears::on(&handle);
        let events: Vec<MetricEvent> = (0..40_000).map(|i| embedding("a", [5.0, 5.0, 5.0], i)).collect();
        let receipt = handle.publish_batch(events).await;
        assert_eq!((receipt.accepted, receipt.rejected.len()), (40_000, 0));
        assert_eq!(waiting(&handle).await, 0);
        // One alert: it goes on firing.
        assert_eq!(ears.records().len(), 1);
        let events: Vec<MetricEvent> = (0..20_000).map(|i| embedding("b", [0.0; 3], 40_000 + i)).collect();
        let receipt = handle.try_publish_batch(&events);
        assert!(receipt.accepted <= 16_384 && !receipt.rejected.is_empty(), "there is no waiting here");
        assert_eq!(waiting(&handle).await, 0);
        end(handle).await;
    });
}
