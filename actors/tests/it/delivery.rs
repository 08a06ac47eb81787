//! How events get to models: every way gives the same decisions, in the order of the offsets.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler};
use parking_lot::Mutex;
use proptest::prelude::*;
use visu_tility_actors::{
    Decision, EventBatch, ManualClock, Monitoring, MonitoringHandle, PublishError, block_on,
};
use visu_tility_core::{
    ActionRecord, IngestError, MetricEvent, MetricKind, ModelId, ModelMonitor, MonitorPlan,
    PerformanceDegrader, Timestamp, Version,
};

use crate::world::{Bomb, Ears, Low, POISON, accuracy, end, monitoring, world};

/// A way to publish.
#[derive(Clone, Copy, Debug)]
enum Way {
    Batch(usize),
    Routed,
    One,
    Supervisor,
    SupervisorBatch,
    Model,
}

const WAYS: [Way; 8] = [
    Way::Batch(1_000),
    Way::Batch(7),
    Way::Routed,
    Way::One,
    Way::Supervisor,
    Way::SupervisorBatch,
    Way::Model,
    Way::Batch(1),
];

async fn publish(handle: &MonitoringHandle, events: &[MetricEvent], way: Way) {
    match way {
        Way::Batch(size) => {
            for events in events.chunks(size) {
                assert_eq!(handle.publish_batch(events.to_vec()).await.rejected, []);
            }
        }
        Way::Routed => {
            let route = |event: &MetricEvent| {
                let series = handle.model(event.model_id()).unwrap().series(event.version(), event.kind());
                series.reading(event.ts().unwrap(), event.value().unwrap()).unwrap()
            };
            assert_eq!(handle.publish_routed(events.iter().map(route).collect()).await.rejected, []);
        }
        Way::One => {
            for event in events {
                handle.publish(event.clone()).await.unwrap();
            }
        }
        Way::Supervisor => {
            for event in events {
                let _ = handle.supervisor().send(event.clone()).await.unwrap();
            }
        }
        Way::SupervisorBatch => {
            let receipt = handle.supervisor().send(EventBatch(events.to_vec())).await.unwrap();
            assert_eq!(receipt.rejected, []);
        }
        Way::Model => {
            for event in events {
                let _ = handle.model(event.model_id()).unwrap();
                let addr = handle.model_addr(event.model_id()).await.unwrap();
                let _ = addr.send(event.clone()).await.unwrap();
            }
        }
    }
}

fn records_of(events: &[MetricEvent], way: Way) -> Vec<ActionRecord> {
    let events = events.to_vec();
    world(move || async move {
        let builder = monitoring().observer(Box::new(Bomb::default())).observer(Box::new(Low));
        let handle = builder.event_time(true).start().unwrap();
        let ears = Ears::on(&handle);
        publish(&handle, &events, way).await;
        handle.flush().await.unwrap();
        end(handle).await;
        ears.records()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_ways_give_the_same_decisions(
        steps in proptest::collection::vec((0_usize..4, 0_usize..2, 0_i64..3, 0_usize..12), 1..120)
    ) {
        let mut second = 0;
        let events: Vec<MetricEvent> = steps
            .into_iter()
            .map(|(model, version, pause, value)| {
                second += pause;
                let value = if value == 11 { POISON } else { value as f64 / 10.0 };
                accuracy(["a", "b", "c", "d"][model], value, second).with_version(["1", "2"][version]).unwrap()
            })
            .collect();
        let by_batch = records_of(&events, WAYS[0]);
        for way in &WAYS[1..] {
            prop_assert_eq!(&by_batch, &records_of(&events, *way), "{:?}", way);
        }
    }
}

#[test]
fn an_actor_decides_what_the_monitor_alone_decides() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        let ears = Ears::on(&handle);
        let plan = MonitorPlan::empty().with_observer(Box::new(PerformanceDegrader::new(0.85).unwrap()));
        let mut monitor = ModelMonitor::new(ModelId::new("m").unwrap(), Arc::new(plan.unwrap()));
        let events: Vec<_> = (0..500_i64).map(|i| accuracy("m", (i % 37) as f64 / 37.0, i)).collect();
        let expected: Vec<_> =
            events.iter().zip(0..).flat_map(|(event, offset)| monitor.observe(event, offset)).collect();
        let _ = handle.publish_batch(events).await;
        handle.flush().await.unwrap();
        assert!(!expected.is_empty());
        assert_eq!(ears.records(), expected);
        end(handle).await;
    });
}

#[test]
fn offsets_are_dense_and_in_order_of_delivery_over_several_arbiters() {
    let handle = Monitoring::builder().arbiters(3).first_offset(100).start().unwrap();
    let publishers: Vec<_> = (0..4)
        .map(|publisher| {
            let handle = handle.clone();
            std::thread::spawn(move || {
                let events: Vec<_> =
                    (0..600).map(|i| accuracy(&format!("m{}-{publisher}", i % 50), 0.5, i)).collect();
                let receipts =
                    events.chunks(100).map(|events| block_on(handle.publish_batch(events.to_vec())));
                receipts.map(|receipt| (receipt.first_offset, receipt.accepted)).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut spans: Vec<(u64, u64)> = publishers.into_iter().flat_map(|p| p.join().unwrap()).collect();
    spans.sort_unstable();
    let mut next = 100;
    for (first, accepted) in spans {
        assert_eq!(first, next);
        next += accepted;
    }
    block_on(handle.flush()).unwrap();
    let status = block_on(handle.status()).unwrap();
    assert_eq!((status.events, status.next_offset, status.models), (2_400, 2_500, 200));
    assert!(status.shards.iter().all(|shard| shard.events > 0 && shard.batches == 0));
    let census = handle.census();
    assert!(block_on(handle.shutdown(Duration::from_hours(24))).complete);
    drop(handle);
    block_on(census.empty());
}

#[test]
fn an_event_of_another_shard_is_forwarded() {
    let handle = Monitoring::builder().arbiters(2).start().unwrap();
    let supervisor = handle.supervisor();
    for i in 0..20 {
        let accepted = block_on(supervisor.send(accuracy(&format!("m{i}"), 0.5, i))).unwrap().unwrap();
        assert_eq!(accepted.first_offset, i as u64);
    }
    let status = block_on(handle.status()).unwrap();
    assert!(status.shards.iter().all(|shard| shard.events > 0), "{:?}", status.shards);
    let census = handle.census();
    drop(handle);
    block_on(census.empty());
}

#[test]
fn events_are_stamped_and_refused_by_the_clock_that_is_given() {
    world(|| async {
        let now = Timestamp::from_millis(1_000_000);
        let handle = monitoring().clock(Arc::new(ManualClock::new(now))).start().unwrap();
        let event = MetricEvent::new("m", MetricKind::F1, 0.5).unwrap();
        let ahead = |s: i64| event.clone().at(Timestamp::from_millis(1_000_000 + 1_000 * s)).unwrap();
        let receipt = handle.publish_batch(vec![event.clone(), ahead(3_601), ahead(3_600)]).await;
        assert_eq!((receipt.accepted, receipt.rejected[0].index), (2, 1));
        assert!(matches!(receipt.rejected[0].error, IngestError::Future { ahead_max_s: 3_600, .. }));
        handle.flush().await.unwrap();
        let status = handle.status().await.unwrap();
        assert_eq!(status.refused_future, 1);
        let model = handle.model_status("m").await.unwrap().monitor.unwrap();
        assert_eq!(model.series[0].newest, Some(now.plus(Duration::from_hours(1))));
        end(handle).await;
    });
}

#[test]
fn a_series_handle_checks_values_and_a_stale_one_is_told() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        let model = handle.model("m").unwrap();
        let series = model.series(&Version::unversioned(), &MetricKind::Accuracy);
        assert!(series.reading(Timestamp::EPOCH, 1.5).is_err());
        model.publish(MetricKind::Accuracy, 0.9).await.unwrap();
        handle.flush().await.unwrap();
        handle.retire("m").await.unwrap();
        let stale = model.publish(MetricKind::Accuracy, 0.9).await;
        assert_eq!(stale, Err(PublishError::Ingest(IngestError::Retired)));
        let reading = series.reading(Timestamp::EPOCH, 0.5).unwrap();
        assert_eq!(handle.publish_routed(vec![reading]).await.accepted, 1);
        handle.flush().await.unwrap();
        assert_eq!(handle.dead_letters().len(), 1);
        drop(model);
        end(handle).await;
    });
}

/// Keeps the decisions that it is sent.
struct Subscriber(Arc<Mutex<Vec<u64>>>);

impl Actor for Subscriber {
    type Context = Context<Self>;
}

impl Handler<Decision> for Subscriber {
    type Result = ();

    fn handle(&mut self, Decision(record): Decision, _: &mut Context<Self>) {
        self.0.lock().push(record.id.offset);
    }
}

#[test]
fn an_actor_is_sent_every_decision_in_order_and_one_model_may_be_followed() {
    world(|| async {
        let handle = monitoring().observer(Box::new(Low)).start().unwrap();
        let (all, one) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        handle.subscribe_actions(Subscriber(Arc::clone(&all)).start().recipient());
        handle.model("b").unwrap().follow(Subscriber(Arc::clone(&one)).start().recipient());
        let events = (0..400).map(|i| accuracy(["a", "b"][i as usize % 2], (i / 2 % 2) as f64, i)).collect();
        let _ = handle.publish_batch(events).await;
        handle.flush().await.unwrap();
        let (all, one) = (all.lock().clone(), one.lock().clone());
        assert!(all.len() > 300 && all.is_sorted(), "{} decisions", all.len());
        assert!(one.len() > 150 && one.iter().all(|offset| offset % 2 == 1));
        end(handle).await;
    });
}
