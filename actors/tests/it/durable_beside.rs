//! What happens beside each other in a monitoring with a store: queries and retirements, publishers and a recovery, sleep
//! and what was routed before it, ticks and a store that takes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use visu_tility_actors::{ControlError, ManualClock};
use visu_tility_core::store::{Effect, MemoryDisk, Operation, StoreError};
use visu_tility_core::{IngestError, MetricEvent, MetricKind, MonitorPlan, StalenessObserver, Version};

use crate::durable::{close, over, reader};
use crate::world::{accuracy, end, pass, world};

fn embedding(model: &str, second: i64) -> MetricEvent {
    let at = accuracy(model, 0.9, second).ts().unwrap();
    MetricEvent::embedding(model, "text", [1.0, 2.0]).unwrap().at(at).unwrap()
}

/// Has the n-th write from now on fail.
fn fail_write(disk: &MemoryDisk, nth: u32) {
    let writes = AtomicU32::new(0);
    disk.set_hook(move |_, operation| {
        let full = StoreError::DiskFull { detail: "no space left".into() };
        let due =
            matches!(operation, Operation::Write(_)) && writes.fetch_add(1, Ordering::Relaxed) + 1 == nth;
        if due { Effect::Fail(full) } else { Effect::Proceed }
    });
}

#[test]
fn who_asks_beside_a_retirement_makes_no_empty_model() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        handle.passivate("a").await.unwrap();
        handle.flush().await.unwrap();
        // The retirement comes into the journal; that it is done is kept only at the second try.
        fail_write(&disk, 2);
        let retiring = handle.clone();
        let retired = actix_rt::spawn(async move { retiring.retire("a").await });
        pass(Duration::from_millis(5)).await;
        assert!(!retired.is_finished());
        let seen = handle.model_status("a").await;
        assert!(matches!(seen, Err(ControlError::UnknownModel(_))), "{seen:?}");
        retired.await.unwrap().unwrap();
        assert_eq!(handle.status().await.unwrap().store.unwrap().commits_failed, 1);
        assert_eq!(handle.models(), []);
        close(handle).await;
    });
}

#[test]
fn publishers_that_hold_all_places_of_vectors_do_not_hold_up_a_recovery() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        for second in 0..3 {
            handle.publish(embedding("a", second)).await.unwrap();
        }
        let again = disk.after_kill();
        end(handle).await;
        let handle = over(&again).start().unwrap();
        let mut taken = 0;
        while handle.try_publish(&embedding("b", 0)).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 16_384);
        let recovered = tokio::time::timeout(Duration::from_mins(1), handle.recovered()).await.unwrap();
        assert_eq!((recovered.failed, recovered.entries), (None, 3));
        handle.flush().await.unwrap();
        assert_eq!(handle.status().await.unwrap().vectors_waiting, 0);
        assert_eq!(reader(&again).summary().unwrap().next_offset, 3 + 16_384);
        close(handle).await;
    });
}

#[test]
fn an_event_that_was_routed_before_its_model_lost_its_place_is_refused_and_reaches_nobody() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).idle_after(Some(Duration::from_secs(1))).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        handle.flush().await.unwrap();
        let at = accuracy("a", 0.9, 1).ts().unwrap();
        let series = handle.model("a").unwrap().series(&Version::unversioned(), &MetricKind::Accuracy);
        let routed = series.reading(at, 0.8).unwrap();
        assert_eq!(handle.publish_routed(vec![routed]).await.accepted, 1);
        drop(series);
        handle.flush().await.unwrap();
        pass(Duration::from_secs(10)).await;
        assert_eq!(handle.status().await.unwrap().models_in_memory, 0);
        // `b` takes the place.
        handle.publish(accuracy("b", 0.9, 2)).await.unwrap();
        let live = handle.model("b").unwrap().series(&Version::unversioned(), &MetricKind::Accuracy);
        let receipt = handle.publish_routed(vec![routed, live.reading(at, 0.9).unwrap(), routed]).await;
        let refused: Vec<_> = receipt.rejected.iter().map(|no| (no.index, no.error.clone())).collect();
        assert_eq!(refused, [(0, IngestError::Retired), (2, IngestError::Retired)]);
        assert_eq!(receipt.accepted, 1);
        handle.flush().await.unwrap();
        let seen = |status: visu_tility_actors::ModelStatus| status.monitor.map(|monitor| monitor.taken);
        assert_eq!(seen(handle.model_status("b").await.unwrap()), Some(2));
        assert_eq!(handle.dead_letters(), []);
        drop(live);
        close(handle).await;
    });
}

#[test]
fn an_event_that_was_routed_while_its_models_retirement_was_on_its_way_is_of_who_takes_the_name() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        for second in 0..3 {
            handle.publish(accuracy("a", 0.9, second)).await.unwrap();
        }
        handle.flush().await.unwrap();
        let at = accuracy("a", 0.9, 4).ts().unwrap();
        let series = handle.model("a").unwrap().series(&Version::unversioned(), &MetricKind::Accuracy);
        // It is in the ledger's letter box, and the ledger has yet to look there.
        let retiring = handle.clone();
        let mut retired = Box::pin(retiring.retire("a"));
        assert!(std::future::poll_fn(|cx| Poll::Ready(retired.as_mut().poll(cx).is_pending())).await);
        let receipt = handle.publish_routed(vec![series.reading(at, 0.8).unwrap()]).await;
        assert_eq!((receipt.accepted, receipt.rejected), (1, vec![]));
        assert_eq!(retired.await, Ok(()));
        drop(retiring);
        handle.flush().await.unwrap();
        let status = handle.model_status("a").await.unwrap();
        assert_eq!(status.monitor.map(|monitor| monitor.taken), Some(1));
        assert_eq!(handle.dead_letters(), []);
        drop(series);
        close(handle).await;
    });
}

#[test]
fn a_sleeping_model_is_told_of_time_though_the_first_commit_of_its_tick_fails() {
    world(|| async {
        let disk = MemoryDisk::new();
        let silence = StalenessObserver::after(Duration::from_secs(30)).unwrap();
        let plan = MonitorPlan::empty().with_observer(Box::new(silence)).unwrap();
        let clock = Arc::new(ManualClock::new(accuracy("a", 0.9, 0).ts().unwrap()));
        let handle = over(&disk)
            .plan(plan)
            .idle_after(Some(Duration::from_secs(1)))
            .clock(Arc::clone(&clock) as _)
            .start()
            .unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        handle.flush().await.unwrap();
        pass(Duration::from_secs(10)).await;
        assert_eq!(handle.status().await.unwrap().models_in_memory, 0);
        fail_write(&disk, 1);
        clock.set(accuracy("a", 0.9, 100).ts().unwrap());
        pass(Duration::from_secs(10)).await;
        handle.flush().await.unwrap();
        assert_eq!(handle.status().await.unwrap().store.unwrap().commits_failed, 1);
        assert_eq!(handle.status().await.unwrap().actions, 1);
        close(handle).await;
    });
}
