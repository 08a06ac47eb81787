//! Observers that panic: what is lost, who is told, and who is not touched.

use std::time::Duration;

use visu_tility_actors::{DeadReason, Lifecycle, ModelPhase, RestartPolicy};
use visu_tility_core::{IngestError, MetricEvent, MetricObserver, ObserverAction, ObserverError, Timestamp};

use crate::world::{Bomb, Ears, Low, POISON, accuracy, end, monitoring, pass, world};

#[test]
fn a_poison_event_among_good_ones_is_the_only_one_lost_and_all_other_observers_see_it() {
    world(|| async {
        let handle =
            monitoring().observer(Box::new(Bomb::default())).observer(Box::new(Low)).start().unwrap();
        let ears = Ears::on(&handle);
        // Ten good values and a poison in the middle: the bomb says "ten" at the last good one.
        let values = [0.9, 0.9, 0.9, 0.9, 0.9, POISON, 0.9, 0.9, 0.9, 0.9, 0.9];
        let events = values.iter().zip(0..).map(|(value, second)| accuracy("m", *value, second)).collect();
        let receipt = handle.publish_batch(events).await;
        assert_eq!((receipt.accepted, receipt.rejected.len()), (11, 0));
        handle.flush().await.unwrap();

        let letters = handle.dead_letters();
        assert_eq!(letters.len(), 1);
        assert_eq!((letters[0].offset, letters[0].value), (Some(5), Some(POISON)));
        assert_eq!(letters[0].observer.as_deref(), Some("bomb"));
        assert_eq!(letters[0].kind.as_ref().map(ToString::to_string).as_deref(), Some("Accuracy"));
        assert_eq!(letters[0].reason, DeadReason::Panicked { reason: "poison".into() });

        let records = ears.records();
        let told: Vec<(&str, u64)> = records.iter().map(|r| (&*r.id.observer, r.id.offset)).collect();
        assert!(told.contains(&("low", 5)), "the other observer saw the poison: {told:?}");
        assert!(told.contains(&("bomb", 10)), "the bomb was put back and saw all others: {told:?}");

        let status = handle.model_status("m").await.unwrap();
        assert_eq!((status.phase, status.panics, status.dead_letters), (ModelPhase::Running, 1, 1));
        assert_eq!(status.monitor.unwrap().taken, 11);
        assert_eq!(ears.backoffs("m"), [0]);
        end(handle).await;
    });
}

#[test]
fn backoff_holds_events_in_order_grows_is_jittered_and_ends_in_quarantine() {
    world(|| async {
        let handle = monitoring().observer(Box::new(Bomb::default())).start().unwrap();
        let ears = Ears::on(&handle);
        for second in 0..6 {
            handle.publish(accuracy("m", POISON, second)).await.unwrap();
            handle.publish(accuracy("m", 0.9, second)).await.unwrap();
            handle.publish(accuracy("calm", 0.9, second)).await.unwrap();
            handle.flush().await.unwrap();
        }
        let waits = ears.backoffs("m");
        assert_eq!(waits.len(), 5);
        assert_eq!(waits[0], 0);
        for (wait, plain) in waits[1..].iter().zip([20.0, 40.0, 80.0, 160.0]) {
            let share = *wait as f64 / plain;
            assert!((0.75..=1.25).contains(&share) && share != 1.0, "{waits:?}");
        }
        let status = handle.model_status("m").await.unwrap();
        assert_eq!(status.phase, ModelPhase::Quarantined);
        assert_eq!((status.panics, status.last_reason.as_deref()), (6, Some("poison")));
        // What came behind the last poison went to the dead letters, with that reason.
        assert_eq!(status.dead_letters, 7);
        assert_eq!(handle.dead_letters().last().unwrap().reason, DeadReason::Quarantined);
        // All good events before were seen.
        assert_eq!(status.monitor.unwrap().taken, 6 + 5);

        let calm = handle.model_status("calm").await.unwrap();
        assert_eq!((calm.phase, calm.monitor.unwrap().taken), (ModelPhase::Running, 6));

        let addr = handle.model_addr("m").await.unwrap();
        let refused = addr.send(accuracy("m", 0.9, 9)).await.unwrap();
        assert_eq!(refused, Err(IngestError::Quarantined));
        drop(addr);
        handle.reset("m").await.unwrap();
        handle.publish(accuracy("m", 0.9, 10)).await.unwrap();
        handle.flush().await.unwrap();
        let status = handle.model_status("m").await.unwrap();
        assert_eq!((status.phase, status.monitor.unwrap().taken), (ModelPhase::Running, 1));
        let turns = ears.turns();
        assert!(turns.iter().any(|turn| matches!(turn, Lifecycle::Quarantined { .. })));
        assert!(matches!(turns.last(), Some(Lifecycle::Reset { .. })));
        end(handle).await;
    });
}

#[test]
fn peace_starts_the_backoff_over() {
    world(|| async {
        let handle = monitoring().observer(Box::new(Bomb::default())).start().unwrap();
        let ears = Ears::on(&handle);
        for _ in 0..3 {
            handle.publish(accuracy("m", POISON, 0)).await.unwrap();
            handle.publish(accuracy("m", POISON, 0)).await.unwrap();
            handle.flush().await.unwrap();
            pass(Duration::from_secs(61)).await;
        }
        let waits = ears.backoffs("m");
        assert_eq!(
            waits.iter().map(|wait| *wait > 0).collect::<Vec<_>>(),
            [false, true, false, true, false, true]
        );
        end(handle).await;
    });
}

#[test]
fn what_finds_no_room_while_held_is_a_dead_letter() {
    world(|| async {
        let handle = monitoring().observer(Box::new(Bomb::default())).held_max(2).start().unwrap();
        let poison = (0..2).map(|second| accuracy("m", POISON, second));
        let good = (2..6).map(|second| accuracy("m", 0.9, second));
        let _ = handle.publish_batch(poison.chain(good).collect()).await;
        handle.flush().await.unwrap();
        let full = handle.dead_letters().iter().filter(|l| l.reason == DeadReason::HeldFull).count();
        assert_eq!(full, 2);
        let status = handle.model_status("m").await.unwrap();
        assert_eq!((status.held, status.monitor.unwrap().taken), (0, 4));
        end(handle).await;
    });
}

#[test]
fn a_poisoned_sender_is_told_by_whom() {
    world(|| async {
        let handle = monitoring().observer(Box::new(Bomb::default())).start().unwrap();
        let poisoned = handle.supervisor().send(accuracy("m", POISON, 0)).await.unwrap();
        let expected = IngestError::Poisoned { observer: "bomb".into(), reason: "poison".into() };
        assert_eq!(poisoned, Err(expected));
        end(handle).await;
    });
}

#[test]
fn in_event_time_restarts_are_timed_by_events_alone() {
    let run = |batch: usize| {
        world(move || async move {
            let policy = RestartPolicy { backoff_min: Duration::from_secs(30), ..RestartPolicy::default() };
            let handle = monitoring()
                .observer(Box::new(Bomb::default()))
                .observer(Box::new(Low))
                .event_time(true)
                .restart_policy(policy)
                .start()
                .unwrap();
            let ears = Ears::on(&handle);
            let value = |i: i64| if i % 40 == 7 { POISON } else { 0.5 + (i % 5) as f64 / 10.0 };
            let events: Vec<_> =
                (0..200).map(|i| accuracy(["a", "b"][i as usize % 2], value(i), i)).collect();
            for events in events.chunks(batch) {
                let _ = handle.publish_batch(events.to_vec()).await;
            }
            handle.flush().await.unwrap();
            let mut records = ears.records();
            records.sort_by(|a, b| a.id.cmp(&b.id));
            end(handle).await;
            (ears.backoffs("b"), records)
        })
    };
    let (one, all) = (run(1), run(200));
    assert_eq!(one.0.len(), 5);
    assert_eq!(one.0, all.0);
    assert_eq!(one.1, all.1);
}

/// Panics when time passes.
#[derive(Clone)]
struct TickBomb;

impl MetricObserver for TickBomb {
    fn name(&self) -> &'static str {
        "tick-bomb"
    }

    fn on_metric(&mut self, _: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        Ok(ObserverAction::NoOp)
    }

    fn on_tick(&mut self, _: Timestamp) -> Result<ObserverAction, ObserverError> {
        panic!("tick")
    }
}

#[test]
fn an_event_before_which_an_observer_panics_on_a_tick_is_seen_by_all() {
    world(|| async {
        let handle = monitoring().observer(Box::new(TickBomb)).observer(Box::new(Low)).start().unwrap();
        let ears = Ears::on(&handle);
        handle.publish(accuracy("m", 0.9, 0)).await.unwrap();
        handle.publish(accuracy("m", 0.6, 61)).await.unwrap();
        handle.flush().await.unwrap();
        let status = handle.model_status("m").await.unwrap();
        assert_eq!((status.phase, status.monitor.unwrap().taken), (ModelPhase::Running, 2));
        assert!(ears.records().iter().any(|record| &*record.id.observer == "low"));
        let letters = handle.dead_letters();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].observer.as_deref(), Some("tick-bomb"));
        // Not the event's letter: it was seen by all.
        let of_event = (letters[0].offset, letters[0].value, letters[0].kind.clone());
        assert_eq!(of_event, (None, None, None));
        // Who waits for an answer learns that it was taken, tick or no tick.
        let taken = handle.supervisor().send(accuracy("m", 0.6, 125)).await.unwrap();
        assert_eq!(taken.map(|accepted| accepted.events), Ok(1));
        assert_eq!(handle.dead_letters().len(), 2);
        end(handle).await;
    });
}
