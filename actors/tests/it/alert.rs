//! Alerts on their way to the sinks: in order, bounded, whatever a sink does.

use std::sync::Arc;
use std::time::Duration;

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

/// Never answers.
struct Hung;

impl AlertSink for Hung {
    fn name(&self) -> &'static str {
        "hung"
    }

    fn deliver(&self, _: Arc<ActionRecord>) -> BoxFuture<Result<(), SinkFailure>> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_hung_sink_holds_up_no_other_and_its_deliveries_fail_after_a_while() {
    world(|| async {
        let fickle = Arc::new(Fickle::default());
        let handle = monitoring()
            .plan(visu_tility_core::MonitorPlan::empty().with_observer(Box::new(Low)).unwrap())
            .alert_sink(Arc::new(Hung))
            .alert_sink(Arc::clone(&fickle) as _)
            .delivery_timeout(Duration::from_secs(3))
            .start()
            .unwrap();
        let _ = handle.publish_batch((0..4).map(|i| accuracy(&format!("m{i}"), 0.1, i)).collect()).await;
        crate::world::pass(Duration::from_millis(500)).await;
        assert_eq!(*fickle.0.lock(), [0, 1, 2, 3]);
        let alerts = handle.status().await.unwrap().alerts;
        assert_eq!((alerts.delivered + alerts.failed, alerts.waiting), (4, 4));
        let flushed = tokio::time::timeout(Duration::from_secs(13), handle.flush()).await;
        assert!(flushed.is_ok(), "the sink that hangs stops the flush");
        let alerts = handle.status().await.unwrap().alerts;
        assert_eq!((alerts.delivered + alerts.failed, alerts.waiting), (8, 0));
        end(handle).await;
    });
}

#[test]
fn a_hung_sink_refuses_for_itself_only() {
    world(|| async {
        let fickle = Arc::new(Fickle::default());
        let handle = monitoring()
            .plan(visu_tility_core::MonitorPlan::empty().with_observer(Box::new(Low)).unwrap())
            .alert_sink(Arc::new(Hung))
            .alert_sink(Arc::clone(&fickle) as _)
            .alerts_max(4)
            .start()
            .unwrap();
        for i in 0..12 {
            handle.publish(accuracy(&format!("m{i}"), 0.1, i)).await.unwrap();
            crate::world::pass(Duration::from_millis(10)).await;
        }
        assert_eq!(*fickle.0.lock(), (0..12).collect::<Vec<_>>());
        assert_eq!(handle.status().await.unwrap().alerts.refused, 8);
        end(handle).await;
    });
}
