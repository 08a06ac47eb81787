//! More events than can be handled: bounds hold, nothing is dropped without a word, control gets through.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use visu_tility_actors::ManualClock;
use visu_tility_core::{IngestError, MetricEvent, MetricKind, Timestamp};

use crate::world::{accuracy, end, monitoring, world};

#[test]
fn credits_bound_what_is_queued_and_a_publisher_waits_for_room() {
    world(|| async {
        let handle = monitoring().credits(100).start().unwrap();
        let events = |from: i64| (from..from + 60).map(|i| accuracy("m", 0.9, i)).collect::<Vec<_>>();
        // The shard does not run until this test waits for something.
        assert_eq!(handle.try_publish_batch(&events(0)).accepted, 60);
        let full = handle.try_publish_batch(&events(60));
        assert_eq!((full.accepted, full.rejected.len()), (0, 60));
        assert_eq!(full.rejected[0].error, IngestError::Full { waiting: 60, credits: 100 });
        let publisher = handle.clone();
        let mut waiting = Box::pin(async move { publisher.publish_batch(events(60)).await });
        let first = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await;
        assert!(first.is_pending());
        let receipt = waiting.await;
        assert_eq!((receipt.accepted, receipt.first_offset), (60, 60));
        handle.flush().await.unwrap();
        let status = handle.status().await.unwrap();
        assert_eq!(
            (status.events, status.shards[0].refused_full, status.shards[0].credits_out),
            (120, 60, 0)
        );
        end(handle).await;
    });
}

#[test]
fn a_batch_larger_than_all_credits_is_cut_and_gets_through() {
    world(|| async {
        let handle = monitoring().credits(10).start().unwrap();
        let receipt = handle.publish_batch((0..1_005).map(|i| accuracy("m", 0.9, i)).collect()).await;
        assert_eq!((receipt.accepted, receipt.first_offset), (1_005, 0));
        handle.flush().await.unwrap();
        assert_eq!(handle.model_status("m").await.unwrap().monitor.unwrap().taken, 1_005);
        end(handle).await;
    });
}

#[test]
fn a_control_message_overtakes_a_flood() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        handle.publish(accuracy("m", 0.9, 0)).await.unwrap();
        handle.flush().await.unwrap();
        for batch in 0..60 {
            let events: Vec<_> = (0..1_000).map(|i| accuracy("m", 0.9, batch * 1_000 + i)).collect();
            assert_eq!(handle.try_publish_batch(&events).accepted, 1_000);
        }
        let status = handle.model_status("m").await.unwrap();
        let taken = status.monitor.unwrap().taken;
        assert!(taken <= 1_001, "the answer came after {taken} events");
        handle.flush().await.unwrap();
        assert_eq!(handle.model_status("m").await.unwrap().monitor.unwrap().taken, 60_001);
        end(handle).await;
    });
}

#[test]
fn a_flooded_shard_lets_its_neighbours_run() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        for _ in 0..60 {
            let events: Vec<_> = (0..1_000).map(|i| accuracy("m", 0.9, i)).collect();
            assert_eq!(handle.try_publish_batch(&events).accepted, 1_000);
        }
        let mut turns = 0;
        while handle.pulses()[0].progress() < 60_000 && turns < 10_000 {
            tokio::task::yield_now().await;
            turns += 1;
        }
        assert!((59..10_000).contains(&turns), "this task got {turns} turns during 60 batches");
        end(handle).await;
    });
}

#[test]
fn an_address_refuses_what_finds_no_credit_and_counts_it() {
    world(|| async {
        let handle = monitoring().credits(8).start().unwrap();
        // All credits are out when the supervisor comes to handle the events that were sent to it.
        let supervisor = handle.supervisor();
        for i in 0..20 {
            supervisor.do_send(accuracy("m", 0.9, i));
        }
        let events: Vec<_> = (20..28).map(|i| accuracy("m", 0.9, i)).collect();
        assert_eq!(handle.try_publish_batch(&events).accepted, 8);
        drop(supervisor);
        handle.flush().await.unwrap();
        let status = handle.status().await.unwrap();
        assert_eq!(status.events + status.shards[0].refused_full, 28);
        assert_eq!(status.shards[0].refused_full, 20);
        end(handle).await;
    });
}

#[test]
fn models_are_bounded_and_refusals_are_told_and_counted() {
    world(|| async {
        let handle = monitoring().models_max(2).start().unwrap();
        let events = ["a", "b", "c", "a"].map(|model| accuracy(model, 0.9, 0)).to_vec();
        let receipt = handle.publish_batch(events).await;
        assert_eq!((receipt.accepted, receipt.rejected[0].index), (3, 2));
        assert!(
            matches!(&receipt.rejected[0].error, IngestError::Limit { limit, max: 2 } if limit == "models_max")
        );
        assert!(handle.model("d").is_err());
        assert_eq!(handle.status().await.unwrap().admission.refused_limit, 2);
        end(handle).await;
    });
}

#[test]
fn behind_a_piece_of_a_batch_that_found_no_room_nothing_is_taken() {
    world(|| async {
        let handle = monitoring().credits(4).start().unwrap();
        for second in 0..2 {
            handle.try_publish(&accuracy("z", 0.9, second)).unwrap();
        }
        // Pieces of four and two: the second one would find room.
        let events: Vec<_> = (0..6).map(|second| accuracy("a", 0.9, second)).collect();
        let receipt = handle.try_publish_batch(&events);
        assert_eq!(receipt.accepted, 0);
        let full = receipt.rejected.iter().filter(|r| matches!(r.error, IngestError::Full { .. }));
        assert_eq!(full.map(|rejected| rejected.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        end(handle).await;
    });
}

#[test]
fn bounds_at_the_ends_of_their_types_are_taken() {
    world(|| async {
        let shown = Timestamp::from_millis(1_700_000_000_000);
        let clock = Arc::new(ManualClock::new(shown));
        let builder = monitoring().credits(usize::MAX).ahead_max(Duration::MAX).clock(clock);
        let handle = builder.start().unwrap();
        let event = MetricEvent::new("m", MetricKind::Accuracy, 0.9).unwrap();
        handle.publish(event).await.unwrap();
        handle.flush().await.unwrap();
        let status = handle.model_status("m").await.unwrap();
        let now = status.monitor.unwrap().now;
        assert_eq!(now, Some(shown), "an event without a time takes the clock's");
        end(handle).await;
    });
}
