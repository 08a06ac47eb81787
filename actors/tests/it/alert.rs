//! Alerts on their way to the sinks: in order, bounded, whatever a sink does.

use std::sync::Arc;

use parking_lot::Mutex;
use visu_tility_actors::{AlertSink, BoxFuture, SinkFailure};
use visu_tility_core::ActionRecord;

use crate::world::{Low, accuracy, end, monitoring, world};

/// Keeps offsets; fails on every third, panics on every fifth, at once or later.
#[derive(Default)]
struct Fickle(Mutex<Vec<u64>>);

impl AlertSink for Fickle {
    fn name(&self) -> &'static str {
        "fickle"
    }

    fn deliver(&self, record: Arc<ActionRecord>) -> BoxFuture<Result<(), SinkFailure>> {
        let offset = record.id.offset;
        self.0.lock().push(offset);
        assert!(offset % 10 != 5, "at once");
        Box::pin(async move {
            tokio::task::yield_now().await;
            assert!(!offset.is_multiple_of(10), "later");
            let failure = SinkFailure { sink: "fickle".into(), reason: "third".into() };
            if offset.is_multiple_of(3) { Err(failure) } else { Ok(()) }
        })
    }
}

#[test]
fn a_sink_that_fails_or_panics_costs_that_delivery_only() {
    world(|| async {
        let (fickle, other) = (Arc::new(Fickle::default()), Arc::new(Fickle::default()));
        let handle = monitoring()
            .plan(visu_tility_core::MonitorPlan::empty().with_observer(Box::new(Low)).unwrap())
            .alert_sink(Arc::clone(&fickle) as _)
            .alert_sink(Arc::clone(&other) as _)
            .start()
            .unwrap();
        let _ = handle.publish_batch((0..30).map(|i| accuracy(&format!("m{i}"), 0.1, i)).collect()).await;
        handle.flush().await.unwrap();
        assert_eq!(*fickle.0.lock(), (0..30).collect::<Vec<_>>());
        assert_eq!(*other.0.lock(), (0..30).collect::<Vec<_>>());
        let alerts = handle.status().await.unwrap().alerts;
        // Of 30 offsets 10 are a multiple of three, 6 of five, 2 of both.
        assert_eq!(
            (alerts.delivered, alerts.failed, alerts.waiting, alerts.restarts),
            (2 * 16, 2 * 14, 0, 0)
        );
        end(handle).await;
    });
}

#[test]
fn alerts_beyond_the_bound_are_counted() {
    world(|| async {
        let handle = monitoring()
            .plan(visu_tility_core::MonitorPlan::empty().with_observer(Box::new(Low)).unwrap())
            .alert_sink(Arc::new(Fickle::default()))
            .alerts_max(10)
            .start()
            .unwrap();
        let _ = handle.publish_batch((0..30).map(|i| accuracy(&format!("m{i}"), 0.1, i)).collect()).await;
        handle.flush().await.unwrap();
        let alerts = handle.status().await.unwrap().alerts;
        assert_eq!((alerts.refused, alerts.delivered + alerts.failed), (20, 10));
        end(handle).await;
    });
}
