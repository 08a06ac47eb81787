//! The retrain scheduler: one open request per model, a bounded number at a time, a queue that survives.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use visu_tility_actors::{
    BoxFuture, MonitoringHandle, RetrainExecutor, RetrainFailure, RetrainOrder, RetrainOutcome,
    RetrainPolicy, Submission,
};
use visu_tility_core::{ModelId, RetrainRequest};

use crate::world::{accuracy, end, monitoring, pass, world};

/// Retrains when it is given leave; panics for models called so.
struct Trainer {
    seen: Arc<Mutex<Vec<String>>>,
    leave: Arc<Semaphore>,
}

impl Trainer {
    fn new() -> Arc<Self> {
        Arc::new(Self { seen: Arc::default(), leave: Arc::new(Semaphore::new(0)) })
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().clone()
    }
}

impl RetrainExecutor for Trainer {
    fn execute(&self, order: RetrainOrder) -> BoxFuture<Result<RetrainOutcome, RetrainFailure>> {
        self.seen.lock().push(order.model_id.to_string());
        assert!(!order.model_id.as_str().starts_with("panic-at-once"), "at once");
        let leave = Arc::clone(&self.leave);
        Box::pin(async move {
            let _leave = leave.acquire_owned().await;
            assert!(!order.model_id.as_str().starts_with("panic-later"), "later");
            if order.model_id.as_str().starts_with("fail") {
                return Err(RetrainFailure { reason: "no data".into() });
            }
            Ok(RetrainOutcome { summary: "done".into() })
        })
    }
}

/// Below the floor, well, and below again within the hour; the monitor asks once per episode.
async fn two_episodes(handle: &MonitoringHandle) {
    let mut second = 0;
    for (value, events) in [(0.5, 3), (1.0, 40), (0.5, 3)] {
        for _ in 0..events {
            handle.publish(accuracy("m", value, second)).await.unwrap();
            second += 1;
        }
        handle.flush().await.unwrap();
        turns().await;
    }
}

async fn turns() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

fn wish(priority: i32) -> RetrainRequest {
    RetrainRequest { reason: "asked".into(), priority, ..RetrainRequest::default() }
}

fn id(name: &str) -> ModelId {
    ModelId::new(name).unwrap()
}

#[test]
fn a_model_below_its_floor_asks_once_and_is_retrained() {
    world(|| async {
        let trainer = Trainer::new();
        trainer.leave.add_permits(100);
        let handle = monitoring().retrain_executor(Arc::clone(&trainer) as _).start().unwrap();
        let events = (0..100).map(|i| accuracy(["a", "b"][i as usize % 2], 0.3, i)).collect();
        let _ = handle.publish_batch(events).await;
        handle.flush().await.unwrap();
        turns().await;
        assert_eq!(trainer.seen(), ["a", "b"]);
        let status = handle.status().await.unwrap().retrains;
        assert_eq!((status.created, status.succeeded, status.waiting), (2, 2, 0));
        end(handle).await;
    });
}

#[test]
fn it_survives_a_panic_with_its_queue_and_what_runs() {
    world(|| async {
        let trainer = Trainer::new();
        let handle = monitoring().retrain_executor(Arc::clone(&trainer) as _).start().unwrap();
        for (name, priority) in
            [("running", 0), ("panic-at-once", 9), ("panic-later", 8), ("fail", 7), ("last", 1)]
        {
            assert_eq!(handle.request_retrain(id(name), wish(priority)).await.unwrap(), Submission::Created);
        }
        let before = handle.status().await.unwrap().retrains;
        assert_eq!((before.running.len(), before.waiting, before.restarts), (1, 4, 0));
        assert!(handle.scheduler().send(visu_tility_actors::PanicForTest).await.is_err());
        let after = handle.status().await.unwrap().retrains;
        assert_eq!(
            (after.running.clone(), after.queue.clone(), after.restarts),
            (before.running, before.queue, 1)
        );
        assert_eq!(handle.request_retrain(id("last"), wish(1)).await.unwrap(), Submission::Coalesced);
        assert_eq!(handle.request_retrain(id("running"), wish(1)).await.unwrap(), Submission::RerunQueued);
        trainer.leave.add_permits(100);
        turns().await;
        assert_eq!(trainer.seen(), ["running", "panic-at-once", "panic-later", "fail", "last", "running"]);
        let done = handle.status().await.unwrap().retrains;
        assert_eq!((done.succeeded, done.failed, done.retried, done.running.len()), (3, 3, 3, 0));
        assert_eq!((done.waiting, done.held.len()), (3, 3));
        end(handle).await;
    });
}

#[test]
fn no_more_run_at_a_time_than_allowed_and_without_an_executor_they_wait() {
    world(|| async {
        let trainer = Trainer::new();
        let policy = RetrainPolicy { running_max: 2, waiting_max: 3, ..RetrainPolicy::default() };
        let handle =
            monitoring().retrain_executor(Arc::clone(&trainer) as _).retrain_policy(policy).start().unwrap();
        for name in ["a", "b", "c", "d", "e"] {
            assert_eq!(handle.request_retrain(id(name), wish(0)).await.unwrap(), Submission::Created);
        }
        let full = handle.request_retrain(id("f"), wish(0)).await.unwrap();
        assert_eq!(full, Submission::Refused { rule: "waiting_max", until: None });
        let displaced = handle.request_retrain(id("f"), wish(1)).await.unwrap();
        assert_eq!(displaced, Submission::Displaced { model: id("e") });
        turns().await;
        assert_eq!(trainer.seen(), ["a", "b"]);
        trainer.leave.add_permits(100);
        turns().await;
        assert_eq!(trainer.seen(), ["a", "b", "f", "c", "d"]);
        assert!(matches!(
            handle.request_retrain(id("a"), wish(0)).await.unwrap(),
            Submission::Deferred { .. }
        ));
        end(handle).await;

        let handle = monitoring().start().unwrap();
        handle.request_retrain(id("a"), wish(0)).await.unwrap();
        turns().await;
        assert_eq!(handle.status().await.unwrap().retrains.waiting, 1);
        end(handle).await;
    });
}

#[test]
fn an_episode_that_begins_in_the_cooldown_is_retrained_at_its_end() {
    world(|| async {
        let trainer = Trainer::new();
        trainer.leave.add_permits(100);
        let handle = monitoring().retrain_executor(Arc::clone(&trainer) as _).start().unwrap();
        two_episodes(&handle).await;
        turns().await;
        let status = handle.status().await.unwrap().retrains;
        assert_eq!((status.created, status.deferred, status.refused), (1, 1, 0));
        assert_eq!((status.held.len(), trainer.seen().len()), (1, 1));
        pass(Duration::from_mins(50)).await;
        assert_eq!(trainer.seen().len(), 1);
        pass(Duration::from_mins(15)).await;
        assert_eq!(trainer.seen(), ["m", "m"]);
        let status = handle.status().await.unwrap().retrains;
        assert_eq!((status.succeeded, status.waiting), (2, 0));
        end(handle).await;
    });
}

#[test]
fn in_event_time_a_cooldown_ends_by_the_events_alone() {
    world(|| async {
        let trainer = Trainer::new();
        trainer.leave.add_permits(100);
        let handle =
            monitoring().retrain_executor(Arc::clone(&trainer) as _).event_time(true).start().unwrap();
        two_episodes(&handle).await;
        pass(Duration::from_hours(5)).await;
        assert_eq!(trainer.seen(), ["m"]);
        handle.publish(accuracy("other", 0.99, 3_700)).await.unwrap();
        handle.flush().await.unwrap();
        pass(Duration::from_secs(2)).await;
        assert_eq!(trainer.seen(), ["m", "m"]);
        end(handle).await;
    });
}

#[test]
fn a_retrain_that_fails_is_tried_again_and_given_up_in_the_end() {
    world(|| async {
        let trainer = Trainer::new();
        trainer.leave.add_permits(100);
        let handle = monitoring().retrain_executor(Arc::clone(&trainer) as _).start().unwrap();
        handle.request_retrain(id("fail"), wish(0)).await.unwrap();
        turns().await;
        let status = handle.status().await.unwrap().retrains;
        assert_eq!((trainer.seen().len(), status.failed, status.retried, status.given_up), (1, 1, 1, 0));
        assert_eq!(status.held.first().map(|(_, order)| order.attempt), Some(2));
        pass(Duration::from_mins(7)).await;
        assert_eq!(trainer.seen().len(), 2);
        // In its wait it is open: nobody's wish is lost.
        assert_eq!(handle.request_retrain(id("fail"), wish(0)).await.unwrap(), Submission::Coalesced);
        pass(Duration::from_hours(5)).await;
        assert_eq!(trainer.seen().len(), 3);
        let status = handle.status().await.unwrap().retrains;
        assert_eq!((status.failed, status.retried, status.given_up, status.waiting), (3, 2, 1, 0));
        end(handle).await;
    });
}
