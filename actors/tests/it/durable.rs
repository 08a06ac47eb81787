//! A monitoring with a store: what was acknowledged is there after a crash, once and in order.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use visu_tility_actors::{
    ControlError, DurabilityPolicy, ManualClock, ModelPhase, MonitoringBuilder, MonitoringHandle,
};
use visu_tility_core::store::{
    Effect, MemoryDisk, Operation, OutboxQuery, Store, StoreError, StoreLimits, StoreReader, StoredPhase,
};
use visu_tility_core::{IngestError, MonitorPlan, PerformanceDegrader};

use crate::durable_life::Counter;
use crate::world::{Ears, accuracy, end, monitoring, pass, world};

/// A monitoring over what is on a disk.
pub(crate) fn over(disk: &MemoryDisk) -> MonitoringBuilder {
    let (store, _) = disk.open(StoreLimits::default()).unwrap();
    // A clock that stands: no timer goes off, which two runs would be told of at different offsets.
    let clock = Arc::new(ManualClock::new(accuracy("m", 0.9, 0).ts().unwrap()));
    monitoring().store(Box::new(store)).durability(quick()).clock(clock)
}

/// Gathers nothing that has not come.
pub(crate) fn quick() -> DurabilityPolicy {
    DurabilityPolicy { gather_max: Duration::ZERO, ..DurabilityPolicy::default() }
}

pub(crate) fn reader(disk: &MemoryDisk) -> Box<dyn StoreReader> {
    let (store, _) = disk.after_kill().open(StoreLimits::default()).unwrap();
    store.reader().unwrap()
}

/// Ends a monitoring in order, its store closed.
pub(crate) async fn close(handle: MonitoringHandle) {
    // Those that sleep have not followed the plans that came since.
    for model in handle.models() {
        handle.model_addr(model).await.unwrap();
    }
    let report = handle.shutdown(Duration::from_mins(1)).await;
    assert!(report.complete, "{report:?}");
    end(handle).await;
}

/// What a store holds, so that two can be compared: states, phases, the outbox by id.
pub(crate) fn contents(disk: &MemoryDisk) -> (Vec<String>, Vec<String>) {
    let mut reader = reader(disk);
    let models = reader.models(None, 1_000).unwrap();
    let state = |model: &visu_tility_core::store::StoredModel| {
        let snapshot = reader.snapshot(&model.model).unwrap().unwrap();
        format!("{} {:?} {:x?}", model.model, snapshot.phase, snapshot.state)
    };
    let states = models.iter().map(state).collect();
    (states, outbox(disk))
}

fn outbox(disk: &MemoryDisk) -> Vec<String> {
    let query = OutboxQuery { limit: 1_000, ..OutboxQuery::default() };
    let entries = reader(disk).outbox(&query).unwrap();
    let mut lines: Vec<String> =
        entries.iter().map(|stored| format!("{:?} {}", stored.entry.id, stored.entry.body)).collect();
    lines.sort();
    lines
}

#[test]
fn what_is_acknowledged_is_in_the_journal() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        for second in 0..3 {
            let accepted = handle.publish(accuracy("a", 0.9, second)).await.unwrap();
            assert_eq!(accepted.first_offset, second as u64);
            assert_eq!(reader(&disk).summary().unwrap().next_offset, second as u64 + 1);
        }
        let receipt = handle.publish_batch((3..10).map(|second| accuracy("b", 0.9, second)).collect()).await;
        assert_eq!((receipt.accepted, receipt.first_offset), (7, 3));
        assert_eq!(reader(&disk).summary().unwrap().next_offset, 10);
        handle.flush().await.unwrap();
        let status = handle.status().await.unwrap();
        assert_eq!((status.events, status.store.unwrap().entries), (10, 10));
        close(handle).await;
        let summary = reader(&disk).summary().unwrap();
        assert_eq!((summary.models, summary.journal_pieces), (2, 0), "{summary:?}");
    });
}

#[test]
fn all_that_waits_shares_a_commit() {
    world(|| async {
        let disk = MemoryDisk::new();
        let few = DurabilityPolicy { gather_events: 10, ..quick() };
        let handle = over(&disk).durability(few).start().unwrap();
        let commits = async || handle.status().await.unwrap().store.unwrap().commits;
        handle.flush().await.unwrap();
        let before = commits().await;
        // The ledger has no turn until all of them wait.
        for batch in 0..5 {
            let events: Vec<_> =
                (batch * 40..(batch + 1) * 40).map(|second| accuracy("a", 0.9, second)).collect();
            assert_eq!(handle.try_publish_batch(&events).accepted, 40);
        }
        handle.flush().await.unwrap();
        assert_eq!((commits().await - before, reader(&disk).summary().unwrap().next_offset), (1, 200));
        close(handle).await;
    });
}

#[test]
fn after_a_crash_states_are_as_if_there_had_been_none() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        for second in 0..40 {
            let value = if second % 20 < 15 { 0.9 } else { 0.3 };
            handle.publish(accuracy("a", value, second)).await.unwrap();
            handle.publish(accuracy("b", 0.95, second)).await.unwrap();
        }
        handle.flush().await.unwrap();
        let before = (handle.model_statuses().await.unwrap(), outbox(&disk));
        let again = disk.after_kill();
        end(handle).await;
        assert!(!before.1.is_empty());

        let handle = over(&again).start().unwrap();
        let report = handle.recovered().await;
        assert!(report.entries > 0 && report.failed.is_none(), "{report:?}");
        handle.flush().await.unwrap();
        let after = handle.model_statuses().await.unwrap();
        let shown = |statuses: &[visu_tility_actors::ModelStatus]| {
            statuses.iter().map(|status| format!("{:?}", status.monitor)).collect::<Vec<_>>()
        };
        // One that was saved after it had acted sleeps until its next event.
        let wide_awake = after.iter().all(|status| status.monitor.is_some());
        assert!(wide_awake, "{after:?}");
        assert_eq!((shown(&after), outbox(&again)), (shown(&before.0), before.1));
        end(handle).await;
    });
}

/// One step of a workload, and the journal entries that it makes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Publish(&'static str, f64),
    Batch(&'static str, usize, f64),
    Pause(&'static str),
    Resume(&'static str),
    Reset(&'static str),
    Retire(&'static str),
    Passivate(&'static str),
    Reload(f64),
}

impl Step {
    pub(crate) fn entries(self) -> u64 {
        match self {
            Self::Batch(_, events, _) => events as u64,
            Self::Passivate(_) => 0,
            _ => 1,
        }
    }

    pub(crate) async fn take(self, handle: &MonitoringHandle, at: usize) -> Result<(), String> {
        let second = at as i64 * 60;
        let told = |error: ControlError| error.to_string();
        match self {
            Self::Publish(model, value) => {
                let taken = handle.publish(accuracy(model, value, second)).await;
                taken.map(drop).map_err(|error| error.to_string())
            }
            Self::Batch(model, events, value) => {
                let events = (0..events as i64).map(|more| accuracy(model, value, second + more)).collect();
                let receipt = handle.publish_batch(events).await;
                if receipt.rejected.is_empty() { Ok(()) } else { Err(format!("{receipt:?}")) }
            }
            Self::Pause(model) => handle.pause(model).await.map_err(told),
            Self::Resume(model) => handle.resume(model).await.map_err(told),
            Self::Reset(model) => handle.reset(model).await.map_err(told),
            Self::Retire(model) => handle.retire(model).await.map_err(told),
            Self::Passivate(model) => handle.passivate(model).await.map_err(told),
            Self::Reload(floor) => handle.reload(plan(floor)).await.map(drop).map_err(told),
        }
    }
}

pub(crate) fn plan(floor: f64) -> MonitorPlan {
    let plan =
        MonitorPlan::empty().with_observer(Box::new(PerformanceDegrader::new(floor).unwrap())).unwrap();
    plan.with_observer(Box::new(Counter::default())).unwrap()
}

fn workload() -> Vec<Step> {
    use Step::{Batch, Passivate, Pause, Publish, Reload, Reset, Resume, Retire};
    vec![
        Publish("a", 0.9),
        Batch("b", 5, 0.5),
        Publish("a", 0.4),
        Passivate("b"),
        Pause("a"),
        Publish("a", 0.1),
        Publish("b", 0.99),
        Resume("a"),
        Publish("c", 0.2),
        Reload(0.6),
        Batch("b", 12, 0.97),
        Passivate("a"),
        Reset("b"),
        Publish("b", 0.1),
        Retire("c"),
        Publish("c", 0.95),
        Passivate("c"),
        Reload(0.85),
        Publish("a", 0.2),
        Batch("c", 3, 0.1),
        Pause("c"),
        Publish("b", 0.93),
        Publish("c", 0.5),
    ]
}

/// Takes steps from a journal offset on; answers what went wrong.
pub(crate) async fn work(handle: &MonitoringHandle, steps: &[Step], from: u64) -> Result<(), String> {
    let mut offset = 0;
    for (at, step) in steps.iter().copied().enumerate() {
        let done = offset + step.entries() <= from && step.entries() > 0;
        // A model that is asleep or not there is none to put to sleep.
        if !done && offset >= from {
            let taken = step.take(handle, at).await;
            if !matches!(step, Step::Passivate(_)) {
                taken?;
            }
            handle.flush().await.map_err(|error| error.to_string())?;
        }
        offset += step.entries();
    }
    Ok(())
}

/// What an uninterrupted run leaves, and how many operations it takes.
async fn uninterrupted() -> ((Vec<String>, Vec<String>), u64) {
    let disk = MemoryDisk::new();
    let handle = over(&disk).plan(plan(0.85)).start().unwrap();
    work(&handle, &workload(), 0).await.unwrap();
    let operations = disk.operations();
    close(handle).await;
    (contents(&disk), operations)
}

/// The floor of the plan that is in force at an offset of the workload.
pub(crate) fn floor_at(steps: &[Step], offset: u64) -> f64 {
    let (mut at, mut floor) = (0, 0.85);
    for step in steps.iter().copied() {
        if at >= offset {
            break;
        }
        if let Step::Reload(to) = step {
            floor = to;
        }
        at += step.entries();
    }
    floor
}

/// Lets the process end at an operation, brings it back and carries the workload to its end.
async fn interrupted(crash: u64, effect: Effect) -> (Vec<String>, Vec<String>) {
    let disk = MemoryDisk::new();
    let handle = over(&disk).plan(plan(0.85)).start().unwrap();
    disk.set_hook(move |number, _| if number == crash { effect.clone() } else { Effect::Proceed });
    let working = tokio::time::timeout(Duration::from_secs(30), work(&handle, &workload(), 0)).await;
    let disk = if disk.is_crashed() {
        disk.after_kill()
    } else {
        assert_eq!(working, Ok(Ok(())));
        disk.after_kill()
    };
    end(handle).await;

    let from = reader(&disk).summary().unwrap().next_offset;
    // The plan that was in force is the one that the process comes back with, as from its file.
    let handle = over(&disk).plan(plan(floor_at(&workload(), from))).start().unwrap();
    assert_eq!(handle.recovered().await.failed, None);
    work(&handle, &workload(), from).await.unwrap();
    close(handle).await;
    contents(&disk)
}

#[test]
fn a_crash_at_any_operation_of_the_store_changes_nothing() {
    world(|| async {
        let (expected, operations) = uninterrupted().await;
        assert!(expected.1.len() >= 6, "the workload is to act: {:#?}", expected.1);
        for crash in 3..operations {
            for effect in [Effect::CrashBefore, Effect::CrashAfter, Effect::Tear(7)] {
                let found = interrupted(crash, effect.clone()).await;
                assert_eq!(found, expected, "crash at operation {crash} of {operations}: {effect:?}");
            }
        }
    });
}

fn disk_full() -> StoreError {
    StoreError::DiskFull { detail: "no space left on device".into() }
}

#[test]
fn a_commit_that_fails_is_told_and_nothing_of_it_is_taken() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        disk.set_hook(|_, operation| match operation {
            Operation::Write(_) => Effect::Fail(disk_full()),
            _ => Effect::Proceed,
        });
        let refused = handle.publish(accuracy("a", 0.9, 1)).await.unwrap_err();
        assert!(
            matches!(&refused, IngestError::Store { reason, retry: true } if reason.contains("no space left"))
        );
        assert!(handle.status().await.unwrap().store.unwrap().failing.is_some());
        // While it pauses nobody waits.
        let refused = handle.try_publish(&accuracy("a", 0.9, 1)).unwrap_err();
        assert!(matches!(refused, IngestError::Store { .. }));
        assert!(matches!(handle.pause("a").await, Err(ControlError::Store(_))));
        disk.clear_hook();
        pass(Duration::from_secs(1)).await;
        let accepted = handle.publish(accuracy("a", 0.9, 2)).await.unwrap();
        assert_eq!(
            accepted.first_offset, 2,
            "offsets stay dense: 1 is the entry that asked whether it works again"
        );
        handle.flush().await.unwrap();
        let status = handle.status().await.unwrap();
        assert_eq!((status.events, status.store.unwrap().failing), (2, None));
        close(handle).await;
    });
}

#[test]
fn a_store_that_never_recovers_holds_up_no_end() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        disk.set_hook(|_, operation| match operation {
            Operation::Write(_) => {
                Effect::Fail(StoreError::ReadOnly { path: "x".into(), detail: "y".into() })
            }
            _ => Effect::Proceed,
        });
        let refused = handle.publish(accuracy("a", 0.9, 1)).await.unwrap_err();
        assert!(matches!(refused, IngestError::Store { retry: false, .. }));
        let report = handle.shutdown(Duration::from_secs(5)).await;
        assert!(!report.complete, "a state was not kept");
        end(handle).await;
    });
}

#[test]
fn a_paused_and_a_retired_model_are_so_after_a_restart() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        for model in ["a", "b"] {
            handle.publish(accuracy(model, 0.9, 0)).await.unwrap();
        }
        handle.pause("a").await.unwrap();
        handle.retire("b").await.unwrap();
        let again = disk.after_kill();
        end(handle).await;

        let handle = over(&again).start().unwrap();
        let _ = handle.recovered().await;
        handle.publish(accuracy("a", 0.9, 1)).await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(handle.model_status("a").await.unwrap().phase, ModelPhase::Paused);
        assert!(matches!(handle.model_status("b").await, Err(ControlError::UnknownModel(_))));
        handle.resume("a").await.unwrap();
        assert_eq!(handle.model_status("a").await.unwrap().phase, ModelPhase::Running);
        close(handle).await;
        let row = reader(&again).models(None, 10).unwrap();
        assert_eq!(row.len(), 1);
        assert_eq!(row[0].phase, StoredPhase::Running);
    });
}

#[test]
fn subscribers_hear_of_an_action_when_it_is_recorded() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let (seen, on) = (Arc::clone(&recorded), disk.clone());
        handle.subscribe_actions_fn(move |record| seen.lock().push((record.id.clone(), outbox(&on).len())));
        let ears = Ears::on(&handle);
        handle.publish(accuracy("a", 0.2, 0)).await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(ears.records().len(), 1);
        assert_eq!(recorded.lock().first().map(|(_, entries)| *entries), Some(1));
        close(handle).await;
    });
}
