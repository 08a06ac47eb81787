//! Times that cannot be right: what is refused, what is counted, and that nothing of it costs honest events anything.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use visu_tility_actors::{DeadReason, ManualClock, Monitoring, MonitoringHandle};
use visu_tility_core::{
    EventOrder, EventPolicy, IngestError, MetricEvent, MetricKind, MonitorPlan, MonitorStatus, Timestamp,
    Version,
};

use crate::world::{accuracy, end, pass, world};

/// The clock at a second of event time.
fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(accuracy("m", 0.9, 0).ts().unwrap().micros() + second * 1_000_000)
}

fn event(at: Timestamp) -> MetricEvent {
    MetricEvent::new("m", MetricKind::Accuracy, 0.9).unwrap().at(at).unwrap()
}

async fn monitor(handle: &MonitoringHandle) -> MonitorStatus {
    handle.flush().await.unwrap();
    handle.model_status("m").await.unwrap().monitor.unwrap()
}

#[test]
fn an_event_from_far_ahead_or_far_behind_is_refused_and_later_ones_lose_nothing() {
    world(|| async {
        let clock = Arc::new(ManualClock::new(at(0)));
        let behind_max = Some(Duration::from_hours(1));
        let builder = Monitoring::builder().arbiters(0).clock(clock.clone()).behind_max(behind_max);
        let handle = builder.start().unwrap();
        handle.publish(event(at(0))).await.unwrap();
        for (ts, said) in [
            (at(61), "must be at most 60 s ahead of the clock"),
            (at(86_400 * 365), "must be at most 60 s ahead of the clock"),
            (at(-3_601), "must be at most 3600 s behind the clock"),
            (Timestamp::EPOCH, "must be at most 3600 s behind the clock"),
        ] {
            let refused = handle.publish(event(ts)).await.unwrap_err().to_string();
            assert!(refused.starts_with("field `ts` is ") && refused.ends_with(said), "{refused}");
        }
        // As far ahead as may be: whoever is right comes 60 s after it, and is taken.
        handle.publish(event(at(60))).await.unwrap();
        for second in 1..=20 {
            clock.set(at(second));
            handle.publish(event(at(second))).await.unwrap();
        }
        let monitor = monitor(&handle).await;
        assert_eq!((monitor.taken, monitor.late, monitor.too_late), (22, 20, 0));
        let status = handle.status().await.unwrap();
        assert_eq!((status.refused_future, status.refused_past, status.dead_letters), (2, 2, 0));
        end(handle).await;
    });
}

#[test]
fn times_before_1970_and_beyond_the_bounds_are_refused_of_routed_events_too() {
    world(|| async {
        let clock = Arc::new(ManualClock::new(at(0)));
        let handle = Monitoring::builder().arbiters(0).clock(clock).start().unwrap();
        let series = handle.model("m").unwrap().series(&Version::unversioned(), &MetricKind::Accuracy);
        let good = series.reading(at(0), 0.9).unwrap();
        let routed = [i64::MIN, -1, 0, at(0).micros(), at(61).micros(), i64::MAX]
            .map(|micros| good.moved_to(Timestamp::from_micros(micros)))
            .to_vec();
        let receipt = handle.publish_routed(routed).await;
        let refused: Vec<_> = receipt
            .rejected
            .iter()
            .map(|rejected| (rejected.index, matches!(rejected.error, IngestError::Past { .. })))
            .collect();
        assert_eq!(refused, [(0, true), (1, true), (4, false), (5, false)]);
        assert_eq!((receipt.accepted, monitor(&handle).await.taken), (2, 2));
        end(handle).await;
    });
}

#[test]
fn a_clock_that_is_set_back_makes_no_event_late_and_is_counted() {
    world(|| async {
        let clock = Arc::new(ManualClock::new(at(3_600)));
        let plan = MonitorPlan::default();
        let policy = EventPolicy { order: EventOrder::Strict, ..*plan.events() };
        let builder = Monitoring::builder().plan(plan.with_events(policy).unwrap()).arbiters(0);
        let handle = builder.clock(clock.clone()).start().unwrap();
        let now = || MetricEvent::new("m", MetricKind::Accuracy, 0.9).unwrap();
        handle.publish(now()).await.unwrap();
        for second in 0..30 {
            // An hour back, and on from there.
            clock.set(at(second));
            pass(Duration::from_secs(1)).await;
            handle.publish(now()).await.unwrap();
        }
        let monitor = monitor(&handle).await;
        assert_eq!((monitor.taken, monitor.repeated, monitor.too_late), (31, 0, 0));
        let status = handle.status().await.unwrap();
        assert_eq!(status.clock.back_steps, 1);
        assert!(status.clock.ahead_us > 3_500_000_000, "{:?}", status.clock);
        end(handle).await;
    });
}

/// Publishes events at these seconds from the clock's; answers how many were taken, and what was refused.
async fn sent(handle: &MonitoringHandle, clock: &ManualClock, offsets: &[i64]) -> (u64, u64) {
    let (mut taken, mut refused) = (0, 0);
    for (step, offset) in offsets.iter().enumerate() {
        clock.set(at(step as i64));
        let ts = at(step as i64 + offset);
        let Ok(event) = MetricEvent::new("m", MetricKind::Accuracy, 0.9).unwrap().at(ts) else {
            refused += 1;
            continue;
        };
        match handle.publish(event).await {
            Ok(_) => taken += 1,
            Err(IngestError::Future { .. } | IngestError::Past { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    (taken, refused)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_skew_every_event_is_taken_or_counted(
        offsets in prop::collection::vec(
            prop_oneof![
                -5_i64..5,
                -400..400_i64,
                prop::num::i64::ANY.prop_map(|any| any % 10_000_000_000),
            ],
            1..200,
        ),
        strict in any::<bool>(),
        behind_max in prop::option::of(1_u64..1_000),
        ahead_max in 0_u64..1_000,
    ) {
        world(|| async {
            let clock = Arc::new(ManualClock::new(at(0)));
            let order = if strict { EventOrder::Strict } else { EventOrder::Arrival };
            let plan = MonitorPlan::default();
            let policy = EventPolicy { order, ..*plan.events() };
            let handle = Monitoring::builder()
                .plan(plan.with_events(policy).unwrap())
                .arbiters(0)
                .clock(clock.clone())
                .ahead_max(Duration::from_secs(ahead_max))
                .behind_max(behind_max.map(Duration::from_secs))
                .start()
                .unwrap();
            // So that there is a model.
            handle.publish(event(at(0))).await.unwrap();
            let (taken, refused) = sent(&handle, &clock, &offsets).await;
            assert_eq!(taken + refused, offsets.len() as u64);
            let monitor = monitor(&handle).await;
            assert_eq!(monitor.taken + monitor.too_late + monitor.repeated, taken + 1);
            let status = handle.status().await.unwrap();
            let never_events = offsets.iter().enumerate().filter(|(step, offset)| {
                !at(*step as i64 + **offset).in_bounds()
            });
            assert_eq!(status.refused_future + status.refused_past + never_events.count() as u64, refused);
            assert_eq!((status.events, status.shards[0].too_late), (taken + 1, monitor.too_late));
            assert_eq!(status.dead_letters, monitor.too_late);
            assert!(handle.dead_letters().iter().all(|letter| letter.reason == DeadReason::TooLate));
            end(handle).await;
        });
    }
}
