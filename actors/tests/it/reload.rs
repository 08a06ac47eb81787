//! A new plan whose observers panic when they are made: a model that does not run stays where it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use visu_tility_actors::ModelPhase;
use visu_tility_core::{MetricEvent, MetricObserver, MonitorPlan, ObserverAction, ObserverError};

use crate::world::{accuracy, end, monitoring, world};

/// Panics when it is copied for a model, as often as its fuse says.
struct Fragile(Arc<AtomicI32>);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        assert!(self.0.fetch_sub(1, Ordering::Relaxed) <= 0, "broke on the way");
        Self(Arc::clone(&self.0))
    }
}

impl MetricObserver for Fragile {
    fn name(&self) -> &'static str {
        "fragile"
    }

    fn on_metric(&mut self, _: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        Ok(ObserverAction::NoOp)
    }
}

#[test]
fn a_paused_model_stays_paused_when_new_plans_break_on_it() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        handle.publish(accuracy("m", 0.9, 0)).await.unwrap();
        handle.flush().await.unwrap();
        handle.pause("m").await.unwrap();
        let fuse = Arc::new(AtomicI32::new(0));
        for _ in 0..3 {
            let plan = MonitorPlan::empty().with_observer(Box::new(Fragile(Arc::clone(&fuse)))).unwrap();
            fuse.store(1, Ordering::Relaxed);
            handle.reload(plan).await.unwrap();
        }
        let status = handle.model_status("m").await.unwrap();
        assert_eq!((status.phase, status.panics), (ModelPhase::Paused, 3));
        assert_eq!(handle.status().await.unwrap().shards[0].waiting, 0);
        handle.publish(accuracy("m", 0.9, 1)).await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(handle.model_status("m").await.unwrap().unseen, 1);
        handle.resume("m").await.unwrap();
        assert_eq!(handle.model_status("m").await.unwrap().phase, ModelPhase::Running);
        end(handle).await;
    });
}
