//! A shard that panics itself, outside of any observer: it goes on behind the event at which it did.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use visu_tility_actors::RestartPolicy;
use visu_tility_core::{IngestError, MonitorPlan};

use crate::world::{Bomb, Ears, Low, POISON, accuracy, end, monitoring, world};

/// A log that panics at the first error: code of the embedder's that runs on a shard outside of an observer.
struct Brittle(AtomicBool);

impl Subscriber for Brittle {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        assert!(self.0.swap(true, Ordering::Relaxed), "the log broke");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn plan() -> MonitorPlan {
    let plan = MonitorPlan::empty().with_observer(Box::new(Bomb::default())).unwrap();
    plan.with_observer(Box::new(Low)).unwrap()
}

#[test]
fn what_was_decided_before_it_is_told_and_what_comes_behind_it_is_handled() {
    let _brittle = tracing::subscriber::set_default(Brittle(AtomicBool::new(false)));
    world(|| async {
        // Quarantine at the first panic, which is an error in the log.
        let policy = RestartPolicy { restarts_max: 0, ..RestartPolicy::default() };
        let handle = monitoring().plan(plan()).restart_policy(policy).start().unwrap();
        let ears = Ears::on(&handle);
        let events = [accuracy("before", 0.1, 0), accuracy("m", POISON, 0), accuracy("behind", 0.1, 0)];
        assert_eq!(handle.try_publish_batch(&events).accepted, 3);
        handle.flush().await.unwrap();
        let told: Vec<String> = ears.records().iter().map(|r| r.id.model_id.to_string()).collect();
        assert_eq!(told, ["before", "m", "behind"]);
        let shard = handle.status().await.unwrap().shards[0].clone();
        assert_eq!((shard.shard_panics, shard.batches, shard.credits_out), (1, 0, 0));
        end(handle).await;
    });
}

#[test]
fn who_waits_for_the_answer_to_its_event_is_told_and_the_batch_counts_as_handled() {
    let _brittle = tracing::subscriber::set_default(Brittle(AtomicBool::new(false)));
    world(|| async {
        let policy = RestartPolicy { restarts_max: 0, ..RestartPolicy::default() };
        let handle = monitoring().plan(plan()).restart_policy(policy).start().unwrap();
        handle.publish(accuracy("m", 0.9, 0)).await.unwrap();
        handle.flush().await.unwrap();
        let addr = handle.model_addr("m").await.unwrap();
        // The actor finds an event queued before its own, which then waits in the shard's queue.
        let answer = addr.send(accuracy("m", POISON, 1));
        handle.try_publish(&accuracy("n", 0.9, 1)).unwrap();
        assert_eq!(answer.await.unwrap(), Err(IngestError::Closed));
        let shard = handle.status().await.unwrap().shards[0].clone();
        assert_eq!((shard.shard_panics, shard.batches, shard.credits_out), (1, 0, 0));
        // Nothing is queued, so that the next one is handled at once.
        assert!(addr.send(accuracy("n", 0.9, 2)).await.unwrap().is_ok());
        drop(addr);
        end(handle).await;
    });
}
