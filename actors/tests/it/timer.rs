//! Time that passes without events: by the clock, and in event time by the events of others.

use std::sync::Arc;
use std::time::Duration;

use visu_tility_actors::{ManualClock, ModelPhase, RestartPolicy};
use visu_tility_core::{MonitorPlan, StalenessObserver};

use crate::world::{Bomb, Ears, POISON, accuracy, end, monitoring, pass, world};

fn silence(span: Duration) -> MonitorPlan {
    MonitorPlan::empty().with_observer(Box::new(StalenessObserver::after(span).unwrap())).unwrap()
}

#[test]
fn a_silent_model_is_told_of_by_the_clock() {
    world(|| async {
        let start = accuracy("m", 0.9, 0).ts().unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let plan = silence(Duration::from_mins(1));
        let handle = monitoring().plan(plan).clock(Arc::clone(&clock) as _).start().unwrap();
        let ears = Ears::on(&handle);
        for model in ["a", "b"] {
            handle.publish(accuracy(model, 0.9, 0)).await.unwrap();
        }
        handle.flush().await.unwrap();
        clock.set(start.plus(Duration::from_secs(50)));
        handle.publish(accuracy("b", 0.9, 50)).await.unwrap();
        pass(Duration::from_secs(3)).await;
        clock.set(start.plus(Duration::from_secs(70)));
        pass(Duration::from_secs(3)).await;
        let silent: Vec<String> = ears.records().iter().map(|r| r.id.model_id.to_string()).collect();
        assert_eq!(silent, ["a"]);
        end(handle).await;
    });
}

#[test]
fn in_event_time_silence_is_told_in_order_of_time_however_events_are_batched() {
    let run = |batch: usize| {
        world(move || async move {
            let handle =
                monitoring().plan(silence(Duration::from_secs(30))).event_time(true).start().unwrap();
            let ears = Ears::on(&handle);
            // Four models fall silent one after the other while a fifth goes on.
            let mut events = Vec::new();
            for second in 0..200 {
                for (model, until) in [("a", 10), ("b", 25), ("c", 60), ("d", 61)] {
                    if second <= until {
                        events.push(accuracy(model, 0.9, second));
                    }
                }
                events.push(accuracy("e", 0.9, second));
            }
            for events in events.chunks(batch) {
                let _ = handle.publish_batch(events.to_vec()).await;
            }
            handle.flush().await.unwrap();
            end(handle).await;
            ears.records()
        })
    };
    let records = run(1_000);
    let silent: Vec<&str> = records.iter().map(|r| r.id.model_id.as_str()).collect();
    assert_eq!(silent, ["a", "b", "c", "d"]);
    assert!(records.is_sorted_by_key(|record| record.at));
    assert_eq!(records, run(1));
    assert_eq!(records, run(13));
}

#[test]
fn a_timer_that_goes_off_while_its_model_waits_for_its_restart_is_made_up_for() {
    world(|| async {
        let start = accuracy("m", 0.9, 0).ts().unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let policy =
            RestartPolicy { backoff_min: Duration::from_secs(20), jitter: 0.0, ..RestartPolicy::default() };
        let handle = monitoring()
            .plan(silence(Duration::from_mins(1)).with_observer(Box::new(Bomb::default())).unwrap())
            .clock(Arc::clone(&clock) as _)
            .restart_policy(policy)
            .start()
            .unwrap();
        let ears = Ears::on(&handle);
        for second in 0..2 {
            handle.publish(accuracy("m", POISON, second)).await.unwrap();
        }
        pass(Duration::from_secs(2)).await;
        assert_eq!(handle.model_status("m").await.unwrap().phase, ModelPhase::Waiting);
        clock.set(start.plus(Duration::from_secs(70)));
        pass(Duration::from_secs(3)).await;
        assert_eq!(ears.records(), []);
        pass(Duration::from_secs(30)).await;
        assert_eq!(handle.model_status("m").await.unwrap().phase, ModelPhase::Running);
        assert_eq!(ears.records().len(), 1, "the silence is told of after the wait");
        end(handle).await;
    });
}
