//! Functions that are subscribers: what they may do on a shard's thread, and what they keep alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use visu_tility_actors::block_on;
use visu_tility_core::MonitorPlan;

use crate::world::{Ears, Low, accuracy, end, monitoring, pass, world};

fn low() -> MonitorPlan {
    MonitorPlan::empty().with_observer(Box::new(Low)).unwrap()
}

#[test]
fn a_subscriber_may_subscribe_others_and_publish_from_inside() {
    world(|| async {
        let handle = monitoring().plan(low()).start().unwrap();
        let later = Arc::new(AtomicU64::new(0));
        let (weak, count) = (handle.downgrade(), Arc::clone(&later));
        handle.subscribe_actions_fn(move |record| {
            let Some(handle) = weak.upgrade() else { return };
            if record.id.model_id.as_str() == "m" {
                let count = Arc::clone(&count);
                handle.subscribe_actions_fn(move |_| {
                    count.fetch_add(1, Ordering::Relaxed);
                });
                handle.subscribe_lifecycle_fn(|_| {});
                handle.try_publish(&accuracy("n", 0.1, 1)).unwrap();
            }
        });
        let weak = handle.downgrade();
        handle.subscribe_lifecycle_fn(move |_| {
            if let Some(handle) = weak.upgrade() {
                handle.subscribe_lifecycle_fn(|_| {});
            }
        });
        handle.publish(accuracy("m", 0.1, 0)).await.unwrap();
        handle.flush().await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(later.load(Ordering::Relaxed), 1);
        assert_eq!(handle.status().await.unwrap().subscriber_panics, 0);
        end(handle).await;
    });
}

#[test]
fn a_subscriber_that_would_wait_for_its_own_shard_panics_and_the_shard_goes_on() {
    world(|| async {
        let handle = monitoring().plan(low()).start().unwrap();
        let weak = handle.downgrade();
        handle.subscribe_actions_fn(move |_| {
            if let Some(handle) = weak.upgrade() {
                let _ = block_on(handle.flush());
            }
        });
        let ears = Ears::on(&handle);
        for second in 0..2 {
            handle.publish(accuracy("m", if second == 0 { 0.1 } else { 0.9 }, second)).await.unwrap();
        }
        handle.flush().await.unwrap();
        assert!(!ears.records().is_empty());
        let panics = handle.status().await.unwrap().subscriber_panics;
        assert_eq!(panics, ears.records().len() as u64);
        end(handle).await;
    });
}

#[test]
fn a_weak_handle_in_a_subscriber_lets_the_actors_stop_with_the_last_strong_one() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        let weak = handle.downgrade();
        let inside = weak.clone();
        handle.subscribe_actions_fn(move |_| drop(inside.upgrade().map(|handle| handle.models())));
        handle.publish(accuracy("m", 0.1, 0)).await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(weak.upgrade().map(|handle| handle.models().len()), Some(1));
        end(handle).await;
        assert!(weak.upgrade().is_none());
    });
}

#[test]
fn a_shutdown_lets_go_of_subscribers_and_of_the_handles_they_hold() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        let weak = handle.downgrade();
        let (one, two, three) = (handle.clone(), handle.clone(), handle.clone());
        handle.subscribe_actions_fn(move |_| drop(one.models()));
        handle.subscribe_lifecycle_fn(move |_| drop(two.models()));
        assert!(handle.shutdown(Duration::from_hours(24)).await.complete);
        // Who comes later is not kept either.
        handle.subscribe_actions_fn(move |_| drop(three.models()));
        end(handle).await;
        pass(Duration::from_secs(1)).await;
        assert!(weak.upgrade().is_none(), "a subscriber keeps the monitoring alive");
    });
}

#[test]
fn a_subscriber_that_is_slow_holds_up_its_shard_and_no_commit() {
    use std::sync::mpsc::channel;
    use visu_tility_core::store::{MemoryDisk, Store, StoreLimits};

    let (store, _) = MemoryDisk::new().open(StoreLimits::default()).unwrap();
    let store: Box<dyn Store> = Box::new(store);
    let quick = crate::durable::quick();
    let handle = visu_tility_actors::Monitoring::builder()
        .plan(low())
        .arbiters(2)
        .ahead_max(Duration::from_hours(1_000_000))
        .store(store)
        .durability(quick)
        .start()
        .unwrap();
    let (begun, has_begun) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let may_go_on = parking_lot::Mutex::new(may_go_on);
    handle.subscribe_actions_fn(move |record| {
        if record.action.is_noop() {
            return;
        }
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        let of_the_ledger = thread == "ledger";
        let _ = begun.send(thread);
        if !of_the_ledger {
            let _ = may_go_on.lock().recv();
        }
    });
    block_on(handle.publish(accuracy("m", 0.1, 0))).unwrap();
    let thread = has_begun.recv().unwrap();
    assert_ne!(thread, "ledger");
    // While it is at work all are acknowledged, those of its own shard too.
    for second in 1..200 {
        block_on(handle.publish(accuracy(&format!("n{second}"), 0.9, second))).unwrap();
        block_on(handle.publish(accuracy("m", 0.9, second))).unwrap();
    }
    drop(go_on);
    block_on(handle.flush()).unwrap();
    assert_eq!(block_on(handle.status()).unwrap().subscriber_panics, 0);
    assert!(block_on(handle.shutdown(Duration::from_mins(1))).complete);
}
