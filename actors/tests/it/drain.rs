//! The end: nothing that was taken is lost, and nobody stays behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use visu_tility_actors::{
    AlertSink, BoxFuture, ControlError, DeadReason, MemorySnapshots, ModelPhase, ModelStatus, Monitoring,
    SinkFailure, SnapshotKeeper, block_on,
};
use visu_tility_core::{
    ActionRecord, IngestError, MetricEvent, MetricObserver, ModelId, ObserverAction, ObserverError,
};

use crate::world::{Ears, Low, accuracy, end, monitoring, world};

/// A deadline that comes in a world where time is made, and in no other: the machine's clock keeps it as well.
const LONG: Duration = Duration::from_hours(24);

/// Counts what it is told, slowly.
#[derive(Default)]
struct Slow(AtomicUsize);

impl AlertSink for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn deliver(&self, _: Arc<ActionRecord>) -> BoxFuture<Result<(), SinkFailure>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            tokio::task::yield_now().await;
            Ok(())
        })
    }
}

#[test]
fn a_drain_under_load_loses_nothing() {
    world(|| async {
        let (sink, keeper) = (Arc::new(Slow::default()), Arc::new(MemorySnapshots::default()));
        let handle = monitoring()
            .observer(Box::new(Low))
            .alert_sink(Arc::clone(&sink) as _)
            .snapshots(Arc::clone(&keeper) as _)
            .start()
            .unwrap();
        let ears = Ears::on(&handle);
        for batch in 0..50 {
            let events =
                (0..1_000).map(|i| accuracy(&format!("m{}", i % 100), f64::from(i as u8 % 2), batch));
            assert_eq!(handle.try_publish_batch(&events.collect::<Vec<_>>()).accepted, 1_000);
        }
        let report = handle.shutdown(LONG).await;
        assert!(report.complete, "{report:?}");
        assert_eq!((report.events_cut, report.alerts_cut, report.actors_left), (0, 0, 0));
        assert_eq!((report.snapshots, keeper.len()), (100, 100));
        let alerts = ears.records().iter().filter(|r| r.action.as_str() == "alert").count();
        assert!(alerts >= 50);
        assert_eq!(sink.0.load(Ordering::Relaxed), alerts);
        let refused = handle.publish(accuracy("m1", 0.9, 99)).await;
        assert_eq!(refused, Err(IngestError::Closed));
        assert_eq!(handle.status().await.unwrap_err(), ControlError::Closed);
        assert_eq!(handle.flush().await, Err(ControlError::Closed));
        end(handle).await;
    });
}

/// Never done.
struct Stuck;

impl AlertSink for Stuck {
    fn name(&self) -> &'static str {
        "stuck"
    }

    fn deliver(&self, _: Arc<ActionRecord>) -> BoxFuture<Result<(), SinkFailure>> {
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_deadline_cuts_and_the_report_says_what() {
    world(|| async {
        let builder = monitoring().observer(Box::new(Low)).alert_sink(Arc::new(Stuck));
        let handle = builder.delivery_timeout(2 * LONG).start().unwrap();
        for model in ["a", "b", "c"] {
            handle.publish(accuracy(model, 0.1, 0)).await.unwrap();
        }
        let report = handle.shutdown(LONG).await;
        // Each model asks twice: `low` for an alert, its floor for a retrain, which is an alert without the feature.
        assert!(!report.complete && report.actors_left > 0, "{report:?}");
        assert!(report.alerts_cut >= 3 && report.alerts_cut + report.retrains_cut == 6, "{report:?}");
    });
}

#[test]
fn dropping_every_handle_handles_what_is_queued_and_stops_all_actors() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        let ears = Ears::on(&handle);
        let addr = {
            handle.publish(accuracy("m0", 0.9, 0)).await.unwrap();
            handle.model_addr("m0").await.unwrap()
        };
        let events: Vec<_> = (0..300).map(|i| accuracy(&format!("m{i}"), 0.1, i)).collect();
        assert_eq!(handle.try_publish_batch(&events).accepted, 300);
        let second = handle.clone();
        let model = second.model("m7").unwrap();
        end_but_for(handle, || drop((second, model))).await;
        assert_eq!(ears.records().len(), 300);
        assert!(
            !addr.connected(),
            "an address that is still held does not keep an actor of a monitoring that ended"
        );
    });
}

async fn end_but_for(handle: visu_tility_actors::MonitoringHandle, rest: impl FnOnce()) {
    rest();
    end(handle).await;
}

#[test]
fn without_a_system_it_brings_its_own_thread_and_takes_it_along() {
    let handle = Monitoring::builder().start().unwrap();
    let census = handle.census();
    for i in 0..1_000 {
        block_on(handle.publish(accuracy("m", 0.9, i))).unwrap();
    }
    block_on(handle.flush()).unwrap();
    assert_eq!(block_on(handle.model_status("m")).unwrap().monitor.unwrap().taken, 1_000);
    drop(handle);
    block_on(census.empty());
}

#[test]
fn states_kept_at_the_end_are_there_at_the_next_start() {
    let keeper = Arc::new(MemorySnapshots::default());
    for round in 0..3_u64 {
        let snapshots = Arc::clone(&keeper) as Arc<dyn SnapshotKeeper>;
        let handle = Monitoring::builder().snapshots(snapshots).start().unwrap();
        block_on(handle.publish(accuracy("m", 0.9, round as i64))).unwrap();
        block_on(handle.flush()).unwrap();
        let taken = block_on(handle.model_status("m")).unwrap().monitor.unwrap().taken;
        assert_eq!(taken, round + 1);
        assert_eq!(block_on(handle.shutdown(LONG)).snapshots, 1);
    }
    assert!(keeper.recall(&ModelId::new("m").unwrap()).is_some());
}

#[test]
fn a_monitoring_without_an_arbiter_of_its_own_needs_a_system() {
    let refused = Monitoring::builder().arbiters(0).start().map(drop).unwrap_err();
    assert!(refused.to_string().contains("`arbiters` is 0"));
}

#[test]
fn what_a_deadline_cuts_is_a_dead_letter_and_wakes_nobody() {
    world(|| async {
        let handle = monitoring().dead_letters_max(2_000).start().unwrap();
        let ears = Ears::on(&handle);
        for batch in 0..500 {
            let events =
                [accuracy(&format!("m{batch}"), 0.1, batch), accuracy(&format!("n{batch}"), 0.1, batch)];
            assert_eq!(handle.try_publish_batch(&events).accepted, 2);
        }
        let report = handle.shutdown(Duration::ZERO).await;
        assert!(!report.complete && report.events_cut > 0, "{report:?}");
        let census = handle.census();
        let gone = tokio::time::timeout(Duration::from_mins(1), census.empty()).await;
        assert!(gone.is_ok(), "{} actors outlive the shutdown", census.live());
        let letters = handle.dead_letters();
        assert!(!letters.is_empty() && letters.iter().all(|letter| letter.reason == DeadReason::ShutDown));
        // Each event was either seen by its model, whose first it was, or is a dead letter.
        let started = ears
            .turns()
            .iter()
            .filter(|turn| matches!(turn, visu_tility_actors::Lifecycle::Started { .. }))
            .count();
        assert_eq!(started + letters.len(), 1_000);
        end(handle).await;
    });
}

#[test]
fn who_asks_while_the_end_comes_is_answered() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        for i in 0..200 {
            handle.publish(accuracy(&format!("m{i}"), 0.9, i)).await.unwrap();
        }
        let ask = |i: usize| {
            let handle = handle.clone();
            actix::spawn(async move {
                for _ in 0..i {
                    tokio::task::yield_now().await;
                }
                loop {
                    let answer = if i.is_multiple_of(2) {
                        handle.status().await.map(drop)
                    } else {
                        handle.model_status("m7").await.map(drop)
                    };
                    if let Err(error) = answer {
                        return error;
                    }
                    tokio::task::yield_now().await;
                }
            })
        };
        let asked: Vec<_> = (0..100).map(ask).collect();
        let _ = handle.shutdown(LONG).await;
        for answer in asked {
            let answer = tokio::time::timeout(Duration::from_mins(1), answer).await;
            assert_eq!(answer.expect("nobody answers").unwrap(), ControlError::Closed);
        }
        end(handle).await;
    });
}

#[test]
fn who_asks_from_other_threads_while_the_end_comes_is_answered() {
    for _ in 0..30 {
        let handle = Monitoring::builder().start().unwrap();
        let (done, answers) = std::sync::mpsc::channel();
        for _ in 0..4 {
            let (handle, done) = (handle.clone(), done.clone());
            std::thread::spawn(move || {
                while block_on(handle.status()).is_ok() {}
                let _ = done.send(());
            });
        }
        let _ = block_on(handle.shutdown(LONG));
        for _ in 0..4 {
            // Waits for ever where a request was left in the lane of a shard that is gone.
            answers.recv().unwrap();
        }
    }
}

/// Keeps its thread until it is told to let go.
#[derive(Clone)]
struct Blocking(Arc<std::sync::Mutex<std::sync::mpsc::Receiver<()>>>);

impl visu_tility_core::MetricObserver for Blocking {
    fn name(&self) -> &'static str {
        "blocking"
    }
    fn on_metric(
        &mut self,
        _: &visu_tility_core::MetricEvent,
    ) -> Result<visu_tility_core::ObserverAction, visu_tility_core::ObserverError> {
        let _ = self.0.lock().unwrap().recv();
        Ok(visu_tility_core::ObserverAction::NoOp)
    }
}

#[test]
fn the_deadline_holds_while_an_observer_keeps_its_thread() {
    let (let_go, wait) = std::sync::mpsc::channel();
    let blocking = Blocking(Arc::new(std::sync::Mutex::new(wait)));
    let handle = Monitoring::builder().observer(Box::new(blocking)).start().unwrap();
    block_on(handle.publish(accuracy("m", 0.9, 0))).unwrap();
    let report = block_on(handle.shutdown(Duration::from_millis(1)));
    assert!(!report.complete && report.events_cut == 1 && report.actors_left > 0, "{report:?}");
    drop(let_go);
    block_on(handle.census().empty());
}

/// Cannot be written once it has seen a value below a half.
#[derive(Clone, Default)]
struct Unwritable(bool);

impl MetricObserver for Unwritable {
    fn name(&self) -> &'static str {
        "unwritable"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        self.0 |= event.value().is_some_and(|value| value < 0.5);
        Ok(ObserverAction::NoOp)
    }

    fn write_state(&self, _: &mut Vec<u8>) {
        assert!(!self.0, "no state today");
    }
}

/// The story: a state that could not be written was left out of the snapshots without a word.
#[test]
fn whose_state_could_not_be_written_is_told() {
    world(|| async {
        let keeper = Arc::new(MemorySnapshots::default());
        let handle = monitoring()
            .observer(Box::new(Low))
            .observer(Box::new(Unwritable::default()))
            .snapshots(Arc::clone(&keeper) as _)
            .start()
            .unwrap();
        for (second, value) in [(0, 0.9), (1, 0.4)] {
            for model in ["good", "bad"] {
                let value = if model == "good" { 0.9 } else { value };
                handle.publish(accuracy(model, value, second)).await.unwrap();
            }
        }
        handle.flush().await.unwrap();
        for model in ["good", "bad"] {
            handle.passivate(model).await.unwrap();
        }
        // It stays awake, with all that it knows.
        let phase = |status: ModelStatus| (status.phase, status.monitor.map(|monitor| monitor.taken));
        assert_eq!(phase(handle.model_status("good").await.unwrap()).0, ModelPhase::Asleep);
        assert_eq!(phase(handle.model_status("bad").await.unwrap()), (ModelPhase::Running, Some(2)));
        let shard = handle.status().await.unwrap().shards[0].clone();
        assert_eq!((shard.passivated, shard.snapshots_failed, shard.panics), (1, 1, 0));
        let report = handle.shutdown(Duration::from_mins(1)).await;
        assert_eq!((report.complete, report.snapshots, report.snapshots_failed), (true, 0, 1), "{report:?}");
        let [unkept] = &report.unkept[..] else { panic!("{report:?}") };
        assert_eq!((unkept.model_id.as_str(), unkept.observer.as_deref()), ("bad", Some("unwritable")));
        assert!(unkept.reason.contains("no state today"), "{unkept:?}");
        assert_eq!(keeper.len(), 1);
        end(handle).await;
    });
}

#[test]
fn a_first_offset_that_leaves_no_room_is_refused() {
    for (offset, fine) in [(u64::MAX, false), ((1 << 62) + 1, false), (1 << 62, true)] {
        world(move || async move {
            match monitoring().first_offset(offset).start() {
                Ok(handle) => {
                    assert!(fine, "{offset}");
                    let taken = handle.publish(accuracy("m", 0.9, 0)).await.unwrap();
                    assert_eq!(taken.first_offset, offset);
                    end(handle).await;
                }
                Err(error) => {
                    let said = format!("`first_offset` is {offset}, must be at most 4611686018427387904");
                    assert!(!fine && error.to_string().contains(&said), "{error}");
                }
            }
        });
    }
}
