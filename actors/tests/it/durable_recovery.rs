//! Recoveries that cannot read on, that somebody asks in the middle of, or that come to a plan that is not there: nothing that
//! was acknowledged is lost, and nobody is shown half of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use visu_tility_actors::{AdmissionPolicy, ControlError, DeadReason, ModelPhase, MonitoringHandle, block_on};
use visu_tility_core::store::{
    Commit, Effect, MemoryDisk, Operation, OutboxQuery, Store, StoreError, StoreLimits,
};
use visu_tility_core::{
    Glob, IngestError, MetricEvent, MetricKind, MetricObserver, ModelId, MonitorPlan, ObserverAction,
    ObserverError, PerformanceDegrader,
};

use crate::durable::{close, contents, over, quick, reader};
use crate::world::{Low, accuracy, end, monitoring, pass, world};

async fn taken(handle: &MonitoringHandle, model: &str) -> u64 {
    handle.model_status_awake(model).await.unwrap().monitor.unwrap().taken
}

/// What may pass: in use, no room, a failing medium.
fn passing() -> [StoreError; 4] {
    [
        StoreError::Locked { path: "x".into(), pid: None },
        StoreError::DiskFull { detail: "no space".into() },
        StoreError::Full { limit: "journal_bytes_max", wanted: 2, max: 1 },
        StoreError::io("read", "it failed"),
    ]
}

/// Has so many reads fail.
fn fail_reads(disk: &MemoryDisk, mut left: u32, error: StoreError) {
    disk.set_hook(move |_, operation| match operation {
        Operation::Read if left > 0 => {
            left -= 1;
            Effect::Fail(error.clone())
        }
        _ => Effect::Proceed,
    });
}

/// A disk as a crash leaves it, with twenty events of one model in its journal.
async fn crashed() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let handle = over(&disk).start().unwrap();
    for second in 0..20 {
        handle.publish(accuracy("a", 0.9, second)).await.unwrap();
    }
    let again = disk.after_kill();
    end(handle).await;
    again
}

#[test]
fn a_recovery_reads_again_what_it_cannot_read_for_a_while() {
    for error in passing() {
        world(|| async {
            let disk = crashed().await;
            let handle = over(&disk).start().unwrap();
            fail_reads(&disk, 9, error.clone());
            let recovered = handle.recovered().await;
            assert_eq!((recovered.failed, recovered.entries), (None, 20), "{error}");
            assert!(recovered.micros > 5_000_000, "it waits between its tries");
            handle.publish(accuracy("a", 0.9, 20)).await.unwrap();
            assert_eq!(taken(&handle, "a").await, 21, "{error}");
            close(handle).await;
        });
    }
}

#[test]
fn a_plan_that_cannot_be_read_at_once_is_not_passed_over() {
    world(|| async {
        let plan = |below| {
            let degrader = PerformanceDegrader::new(below).unwrap();
            MonitorPlan::empty().with_observer(Box::new(degrader)).unwrap()
        };
        let disk = MemoryDisk::new();
        let handle = over(&disk).plan(plan(0.85)).start().unwrap();
        for (second, below) in [(0, 0.4), (1, 0.6), (2, 0.7)] {
            handle.publish(accuracy("a", 0.65, second)).await.unwrap();
            handle.reload(plan(below)).await.unwrap();
        }
        let (calm, hasty) = (disk.after_kill(), disk.after_kill());
        end(handle).await;
        for (disk, every) in [(&calm, u64::MAX), (&hasty, 2)] {
            let handle = over(disk).plan(plan(0.7)).start().unwrap();
            let mut reads = 0;
            disk.set_hook(move |_, operation| match operation {
                Operation::Read => {
                    reads += 1;
                    let fails = reads % every == 1 && every != u64::MAX;
                    if fails { Effect::Fail(StoreError::io("read", "it failed")) } else { Effect::Proceed }
                }
                _ => Effect::Proceed,
            });
            let recovered = handle.recovered().await;
            assert_eq!((recovered.failed, recovered.entries), (None, 6));
            disk.clear_hook();
            close(handle).await;
        }
        assert_eq!(contents(&calm), contents(&hasty));
    });
}

#[test]
fn what_a_recovery_cannot_read_at_all_is_not_cut_and_is_there_for_the_next() {
    for error in passing() {
        world(|| async {
            let disk = crashed().await;
            let before = reader(&disk).summary().unwrap();
            let handle = over(&disk).start().unwrap();
            fail_reads(&disk, u32::MAX, error.clone());
            let failed = handle.recovered().await.failed.unwrap();
            assert_eq!(failed, error.to_string());
            let soon = Duration::from_secs(1);
            let refused = tokio::time::timeout(soon, handle.publish(accuracy("a", 0.9, 30))).await.unwrap();
            assert!(matches!(refused, Err(IngestError::Store { retry: false, .. })), "{refused:?}");
            // Whatever passes by itself: what was acknowledged is not shown to its models here.
            disk.clear_hook();
            pass(Duration::from_mins(10)).await;
            let refused = handle.publish(accuracy("a", 0.9, 31)).await.unwrap_err();
            assert!(matches!(refused, IngestError::Store { retry: false, .. }), "{refused}");
            let flushed = tokio::time::timeout(soon, handle.flush()).await.unwrap();
            assert!(matches!(flushed, Err(ControlError::Store(_))), "{flushed:?}");
            let shown = tokio::time::timeout(soon, handle.model_status("a")).await.unwrap();
            assert!(
                matches!(shown, Err(ControlError::Store(_) | ControlError::UnknownModel(_))),
                "{shown:?}"
            );
            let held = handle.model("b");
            assert!(held.is_err() || held.unwrap().addr().await.is_err(), "nobody is woken");
            let after = reader(&disk).summary().unwrap();
            assert_eq!((after.first_offset, after.next_offset), (before.first_offset, before.next_offset));
            let report = handle.shutdown(Duration::from_mins(1)).await;
            assert!(!report.complete && report.snapshots == 0, "{report:?}");
            end(handle).await;
            let handle = over(&disk).start().unwrap();
            assert_eq!(handle.recovered().await.failed, None);
            assert_eq!(taken(&handle, "a").await, 20, "{error}");
            close(handle).await;
        });
    }
}

/// A plan whose limit for alerts is another one.
fn stricter() -> MonitorPlan {
    let plan = MonitorPlan::empty().with_observer(Box::new(PerformanceDegrader::new(0.95).unwrap())).unwrap();
    plan.with_observer(Box::new(Low)).unwrap()
}

#[test]
fn who_asks_for_a_model_while_the_journal_is_repeated_waits_for_what_is_owed_to_it() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).plan(stricter()).start().unwrap();
        handle.reload(MonitorPlan::empty()).await.unwrap();
        handle.publish(accuracy("b", 0.9, 0)).await.unwrap();
        handle.publish(accuracy("a", 0.9, 1)).await.unwrap();
        handle.reload(stricter()).await.unwrap();
        for second in 2..6 {
            handle.publish(accuracy("a", 0.3, second)).await.unwrap();
        }
        handle.flush().await.unwrap();
        assert!(reader(&disk).model(&ModelId::new("a").unwrap()).unwrap().is_some(), "saved with its alert");
        assert!(reader(&disk).model(&ModelId::new("b").unwrap()).unwrap().is_none());
        let (calm, hasty) = (disk.after_kill(), disk.after_kill());
        end(handle).await;
        let handle = over(&calm).plan(stricter()).start().unwrap();
        assert_eq!(handle.recovered().await.failed, None);
        let shown = handle.model_status_awake("a").await.unwrap().monitor;
        close(handle).await;
        let handle = over(&hasty).plan(stricter()).start().unwrap();
        let model = handle.model("a").unwrap();
        assert!(handle.recovery().is_none());
        let (addr, status) = (model.addr().await, model.status().await);
        assert!(handle.recovery().is_some());
        assert!(addr.is_ok() && status.is_ok());
        let hasty_shown = model.status().await.unwrap().monitor;
        assert_eq!(format!("{hasty_shown:?}"), format!("{shown:?}"));
        drop(model);
        close(handle).await;
        assert_eq!(contents(&calm), contents(&hasty));
    });
}

#[test]
fn who_is_asked_for_while_the_journal_is_repeated_is_not_set_aside_where_few_may_be_awake() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        for model in ["b", "c", "a"] {
            handle.publish(accuracy(model, 0.9, 0)).await.unwrap();
        }
        for second in 2..6 {
            handle.publish(accuracy("a", 0.3, second)).await.unwrap();
        }
        handle.flush().await.unwrap();
        for second in 7..12 {
            handle.publish(accuracy("b", 0.9, second)).await.unwrap();
        }
        let again = disk.after_kill();
        end(handle).await;
        let handle = over(&again).awake_max(Some(1)).start().unwrap();
        let model = handle.model("a").unwrap();
        model.addr().await.unwrap();
        assert_eq!(handle.recovered().await.failed, None);
        pass(Duration::from_secs(2)).await;
        handle.flush().await.unwrap();
        assert_eq!(handle.store_status().unwrap().aside_first, []);
        for (name, expected) in [("a", 5), ("b", 6), ("c", 1)] {
            assert_eq!(taken(&handle, name).await, expected, "{name}");
        }
        drop(model);
        close(handle).await;
    });
}

/// Counts what it is shown, and waits while its gate is shut.
#[derive(Clone)]
struct Waits {
    shut: Arc<Mutex<()>>,
    seen: Arc<AtomicU64>,
}

impl MetricObserver for Waits {
    fn name(&self) -> &'static str {
        "waits"
    }

    fn on_metric(&mut self, _: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        drop(self.shut.lock());
        self.seen.fetch_add(1, Ordering::SeqCst);
        Ok(ObserverAction::NoOp)
    }
}

#[test]
fn a_recovery_is_over_when_the_shards_have_handled_what_was_repeated() {
    let waits = || Waits { shut: Arc::default(), seen: Arc::default() };
    let disk = MemoryDisk::new();
    let start = |disk: &MemoryDisk, waits: &Waits| {
        let (store, _) = disk.open(StoreLimits::default()).unwrap();
        let plan = MonitorPlan::empty().with_observer(Box::new(waits.clone())).unwrap();
        let listed = AdmissionPolicy::AllowList(vec![Glob::new("m*")]);
        let builder =
            monitoring().arbiters(2).plan(plan).admission(listed).ahead_max(Duration::from_hours(100_000));
        builder.store(Box::new(store)).durability(quick()).start().unwrap()
    };
    let handle = start(&disk, &waits());
    for n in 0..40 {
        block_on(handle.publish(accuracy(&format!("m{}", n % 8), 0.9, n))).unwrap();
    }
    let again = disk.after_kill();
    drop(handle);
    let waits = waits();
    let shut = waits.shut.lock();
    let handle = start(&again, &waits);
    // All of it is read once a name that is not there can be told from one that may be in the journal.
    while !matches!(handle.try_publish(&accuracy("other", 0.9, 0)), Err(IngestError::Unlisted { .. })) {
        std::thread::yield_now();
    }
    assert_eq!(handle.recovery(), None, "the shards wait in their observers");
    drop(shut);
    assert_eq!(block_on(handle.recovered()).entries, 40);
    assert_eq!(waits.seen.load(Ordering::SeqCst), 40);
    assert!(block_on(handle.shutdown(Duration::from_mins(1))).complete);
}

#[test]
fn who_publishes_what_stays_in_doubt_for_good_is_told_so() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        disk.set_hook(move |_, operation| match operation {
            Operation::Sync => Effect::Fail(StoreError::io("sync", "it failed")),
            Operation::Read => Effect::Fail(StoreError::corrupt("x", "broken")),
            _ => Effect::Proceed,
        });
        let soon = Duration::from_secs(1);
        for second in 1..3 {
            let said = tokio::time::timeout(soon, handle.publish(accuracy("a", 0.9, second))).await.unwrap();
            assert!(matches!(said, Err(IngestError::Store { retry: false, .. })), "{said:?}");
        }
        let said = tokio::time::timeout(soon, handle.flush()).await.unwrap();
        assert!(matches!(said, Err(ControlError::Store(_))), "{said:?}");
        let again = disk.after_kill();
        let _ = handle.shutdown(Duration::from_mins(1)).await;
        end(handle).await;
        let handle = over(&again).start().unwrap();
        // An error may have been a commit that is there after all.
        assert!((1..=2).contains(&taken(&handle, "a").await));
        close(handle).await;
    });
}

/// Panics where it is asked whether it wants a kind, as long as it is told to: then nobody knows how far the model came.
#[derive(Clone)]
struct Tears(Arc<AtomicBool>);

impl MetricObserver for Tears {
    fn name(&self) -> &'static str {
        "tears"
    }

    fn on_metric(&mut self, _: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        Ok(ObserverAction::NoOp)
    }

    fn wants(&self, kind: &MetricKind) -> bool {
        assert!(*kind != MetricKind::F1 || !self.0.load(Ordering::SeqCst), "torn");
        true
    }
}

#[test]
fn a_model_whose_state_is_torn_is_set_aside_and_has_all_of_its_events_after_a_restart() {
    world(|| async {
        let tears = Tears(Arc::new(AtomicBool::new(true)));
        let plan = || MonitorPlan::empty().with_observer(Box::new(tears.clone())).unwrap();
        let disk = MemoryDisk::new();
        let handle = over(&disk).plan(plan()).start().unwrap();
        for second in 0..3 {
            handle.publish(accuracy("a", 0.9, second)).await.unwrap();
        }
        // Saved, then three more that are in the journal alone.
        pass(Duration::from_mins(1)).await;
        for second in 3..6 {
            handle.publish(accuracy("a", 0.9, second)).await.unwrap();
        }
        let at = accuracy("a", 0.9, 6).ts().unwrap();
        handle.publish(MetricEvent::new("a", MetricKind::F1, 0.9).unwrap().at(at).unwrap()).await.unwrap();
        for second in 7..9 {
            handle.publish(accuracy("a", 0.9, second)).await.unwrap();
            handle.publish(accuracy("b", 0.9, second)).await.unwrap();
        }
        pass(Duration::from_mins(2)).await;
        handle.flush().await.unwrap();
        let status = handle.store_status().unwrap();
        assert_eq!(status.aside, 1);
        assert!(status.aside_first[0].reason.contains("torn"), "{:?}", status.aside_first);
        assert_eq!(handle.model_status("a").await.unwrap().phase, ModelPhase::Quarantined);
        let reasons: Vec<_> = handle.dead_letters().into_iter().map(|letter| letter.reason).collect();
        assert!(matches!(
            reasons[..],
            [DeadReason::Panicked { .. }, DeadReason::Quarantined, DeadReason::Quarantined]
        ));
        assert_eq!(taken(&handle, "b").await, 2);
        // The journal is kept for it from its last snapshot on.
        assert_eq!(reader(&disk).summary().unwrap().first_offset, 3);
        let again = disk.after_kill();
        end(handle).await;
        // It is torn again: still nothing is lost.
        let handle = over(&again).plan(plan()).start().unwrap();
        assert_eq!(handle.recovered().await.failed, None);
        handle.flush().await.unwrap();
        assert_eq!(handle.store_status().unwrap().aside, 1);
        let again = again.after_kill();
        end(handle).await;
        tears.0.store(false, Ordering::SeqCst);
        let handle = over(&again).plan(plan()).start().unwrap();
        assert_eq!(handle.recovered().await.failed, None);
        assert_eq!((taken(&handle, "a").await, taken(&handle, "b").await), (9, 2));
        assert_eq!(handle.store_status().unwrap().aside, 0);
        close(handle).await;
    });
}

#[test]
fn a_torn_model_that_is_reset_begins_anew_and_lets_the_journal_go() {
    world(|| async {
        let tears = Tears(Arc::new(AtomicBool::new(true)));
        let plan = MonitorPlan::empty().with_observer(Box::new(tears.clone())).unwrap();
        let disk = MemoryDisk::new();
        let handle = over(&disk).plan(plan).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        let at = accuracy("a", 0.9, 1).ts().unwrap();
        handle.publish(MetricEvent::new("a", MetricKind::F1, 0.9).unwrap().at(at).unwrap()).await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(handle.store_status().unwrap().aside, 1);
        handle.reset("a").await.unwrap();
        handle.publish(accuracy("a", 0.9, 2)).await.unwrap();
        assert_eq!(taken(&handle, "a").await, 1);
        handle.flush().await.unwrap();
        assert_eq!(handle.store_status().unwrap().aside, 0);
        close(handle).await;
        assert_eq!(reader(&disk).summary().unwrap().journal_pieces, 0);
    });
}

#[test]
fn a_plan_that_was_in_force_and_is_not_in_the_store_is_damage() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        handle.reload(stricter_without_own()).await.unwrap();
        let again = disk.after_kill();
        end(handle).await;
        let (mut store, _) = again.open(StoreLimits::default()).unwrap();
        let plans = store.reader().unwrap().plans().unwrap();
        assert_eq!(plans.len(), 2);
        store.commit(&Commit { dropped_plans: plans.clone(), ..Commit::default() }).unwrap();
        drop(store);
        let again = again.after_kill();
        let error = over(&again).plan(stricter_without_own()).start().err().unwrap();
        let error = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.contains("the plans is damaged") && error.contains("is not there"), "{error}");
    });
}

fn stricter_without_own() -> MonitorPlan {
    MonitorPlan::empty().with_observer(Box::new(PerformanceDegrader::new(0.95).unwrap())).unwrap()
}

#[test]
fn a_recovery_goes_on_while_states_cannot_be_saved() {
    world(|| async {
        let disk = crashed().await;
        let handle = over(&disk).start().unwrap();
        disk.set_hook(|_, operation| match operation {
            Operation::Write(_) => Effect::Fail(StoreError::DiskFull { detail: "no space".into() }),
            _ => Effect::Proceed,
        });
        assert_eq!(handle.recovered().await.failed, None);
        assert_eq!(taken(&handle, "a").await, 20);
        disk.clear_hook();
        pass(Duration::from_secs(10)).await;
        handle.publish(accuracy("a", 0.3, 20)).await.unwrap();
        handle.flush().await.unwrap();
        let query = OutboxQuery { limit: 10, ..OutboxQuery::default() };
        assert!(!reader(&disk).outbox(&query).unwrap().is_empty());
        close(handle).await;
    });
}
