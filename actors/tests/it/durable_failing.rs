//! A store that fails, for a while or for good, or that refuses one model's state: who is told what, and that nothing that
//! was acknowledged is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use visu_tility_actors::{ControlError, ModelPhase, MonitoringHandle};
use visu_tility_core::codec::{DecodeError, Reader};
use visu_tility_core::store::{
    Commit, Committed, Effect, MemoryDisk, MemoryStore, ModelChange, Operation, Snapshot, Store, StoreError,
    StoreLimits, StoreReader, StoredPhase,
};
use visu_tility_core::{
    MetricEvent, MetricObserver, ModelId, MonitorPlan, ObserverAction, ObserverError, PerformanceDegrader,
};

use crate::durable::{close, over, reader};
use crate::world::{accuracy, end, pass, world};

fn fail_writes(disk: &MemoryDisk, error: StoreError) {
    disk.set_hook(move |_, operation| match operation {
        Operation::Write(_) => Effect::Fail(error.clone()),
        _ => Effect::Proceed,
    });
}

fn read_only() -> StoreError {
    StoreError::ReadOnly { path: "x".into(), detail: "rights".into() }
}

fn failing(handle: &MonitoringHandle) -> Option<String> {
    handle.store_status().unwrap().failing
}

async fn taken(handle: &MonitoringHandle, model: &str) -> u64 {
    handle.model_status_awake(model).await.unwrap().monitor.unwrap().taken
}

#[test]
fn a_store_that_works_again_is_noticed_although_nobody_publishes() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        // All is saved, so that nothing is left that would be tried again by itself.
        pass(Duration::from_mins(1)).await;
        fail_writes(&disk, StoreError::DiskFull { detail: "no space".into() });
        handle.publish(accuracy("a", 0.9, 1)).await.unwrap_err();
        pass(Duration::from_mins(1)).await;
        assert!(failing(&handle).unwrap().contains("no space"), "it is asked, and still fails");
        let tried = handle.store_status().unwrap().commits_failed;
        assert!((8..40).contains(&tried), "{tried} commits in a minute, at pauses of 5 s at most");
        disk.clear_hook();
        pass(Duration::from_secs(6)).await;
        assert_eq!(failing(&handle), None);
        // What asked is an entry of the journal that changes nothing.
        let accepted = handle.publish(accuracy("a", 0.9, 2)).await.unwrap();
        assert_eq!(accepted.first_offset, 2);
        assert_eq!(taken(&handle, "a").await, 2);
        let again = disk.after_kill();
        end(handle).await;
        let handle = over(&again).start().unwrap();
        assert_eq!(handle.recovered().await.failed, None);
        assert_eq!(taken(&handle, "a").await, 2);
        close(handle).await;
    });
}

#[test]
fn where_nothing_is_kept_any_more_whoever_waits_is_told_so() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        for model in ["a", "b"] {
            handle.publish(accuracy(model, 0.9, 0)).await.unwrap();
        }
        handle.flush().await.unwrap();
        // The turn still comes into the journal, what it leads to is not kept.
        let mut left = 1;
        disk.set_hook(move |_, operation| match operation {
            Operation::Write(_) if left == 0 => Effect::Fail(read_only()),
            Operation::Write(_) => {
                left -= 1;
                Effect::Proceed
            }
            _ => Effect::Proceed,
        });
        let soon = Duration::from_secs(1);
        let said = tokio::time::timeout(soon, handle.retire("a")).await.unwrap().unwrap_err().to_string();
        assert!(
            said.contains("it is in the journal and is done after a restart: `x` cannot be written"),
            "{said}"
        );
        for _ in 0..2 {
            let said = tokio::time::timeout(soon, handle.flush()).await.unwrap();
            assert!(matches!(&said, Err(ControlError::Store(why)) if why.contains("rights")), "{said:?}");
            let said = tokio::time::timeout(soon, handle.retire("b")).await.unwrap();
            assert!(matches!(said, Err(ControlError::Store(_))), "{said:?}");
        }
        disk.clear_hook();
        pass(Duration::from_mins(10)).await;
        assert!(failing(&handle).is_some(), "only a restart helps");
        let again = disk.after_kill();
        let report = tokio::time::timeout(soon, handle.shutdown(Duration::from_hours(1))).await.unwrap();
        assert!(!report.complete && report.snapshots == 0, "{report:?}");
        end(handle).await;
        let handle = over(&again).start().unwrap();
        assert_eq!(handle.recovered().await.failed, None);
        handle.flush().await.unwrap();
        assert!(matches!(handle.model_status("a").await, Err(ControlError::UnknownModel(_))));
        assert_eq!(taken(&handle, "b").await, 1);
        close(handle).await;
    });
}

/// An observer whose state grows beyond what a store takes when it sees a value below 0.5.
#[derive(Clone, Default)]
struct Hoarder(Vec<u8>);

impl MetricObserver for Hoarder {
    fn name(&self) -> &'static str {
        "hoarder"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        if event.value().is_some_and(|value| value < 0.5) {
            self.0.resize(StoreLimits::SNAPSHOT_BYTES_MAX + 1, 7);
        }
        Ok(ObserverAction::NoOp)
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.0 = vec![7; bytes.remaining()];
        for byte in &mut self.0 {
            *byte = bytes.u8()?;
        }
        Ok(())
    }
}

#[test]
fn a_state_that_the_store_refuses_holds_up_no_other_model() {
    world(|| async {
        let plan = || MonitorPlan::empty().with_observer(Box::new(Hoarder::default())).unwrap();
        let disk = MemoryDisk::new();
        let handle = over(&disk).plan(plan()).start().unwrap();
        for model in ["a", "b", "c"] {
            handle.publish(accuracy(model, 0.9, 0)).await.unwrap();
        }
        handle.publish(accuracy("b", 0.1, 1)).await.unwrap();
        pass(Duration::from_secs(40)).await;
        handle.flush().await.unwrap();
        let store = handle.store_status().unwrap();
        assert_eq!((store.failing, store.aside), (None, 1));
        assert_eq!(store.aside_first[0].model_id.as_str(), "b");
        assert!(
            store.aside_first[0].reason.contains("is refused by the store: a snapshot is"),
            "{:?}",
            store.aside_first
        );
        assert_eq!(handle.model_status("b").await.unwrap().phase, ModelPhase::Quarantined);
        let kept: Vec<String> =
            reader(&disk).models(None, 10).unwrap().iter().map(|row| row.model.to_string()).collect();
        assert_eq!(kept, ["a", "c"], "the others are kept");
        // What it was sent stays in the journal, whatever else is saved.
        for second in 2..50 {
            handle.publish(accuracy("a", 0.9, second)).await.unwrap();
            pass(Duration::from_secs(2)).await;
        }
        assert!(reader(&disk).summary().unwrap().first_offset <= 1);
        let again = disk.after_kill();
        end(handle).await;

        // A reset lets it begin anew, and the journal go.
        let handle = over(&again).plan(plan()).start().unwrap();
        assert_eq!(handle.recovered().await.failed, None);
        pass(Duration::from_secs(40)).await;
        assert_eq!(handle.store_status().unwrap().aside, 1, "so it is after a restart");
        handle.reset("b").await.unwrap();
        handle.publish(accuracy("b", 0.9, 60)).await.unwrap();
        pass(Duration::from_mins(2)).await;
        handle.flush().await.unwrap();
        let store = handle.store_status().unwrap();
        assert_eq!((store.aside, store.first_offset), (0, store.next_offset), "{store:?}");
        assert_eq!(taken(&handle, "b").await, 1);
        close(handle).await;
    });
}

#[test]
fn a_snapshot_of_a_newer_form_stays_as_it_is_with_all_that_came_since() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        close(handle).await;
        let mut snapshot = reader(&disk).snapshot(&ModelId::new("a").unwrap()).unwrap().unwrap();
        let old = snapshot.clone();
        snapshot.form = 9;
        let put = |snapshot: Snapshot| {
            let (mut store, _) = disk.open(StoreLimits::default()).unwrap();
            let commit = visu_tility_core::store::Commit {
                models: vec![ModelChange::Keep(snapshot)],
                ..visu_tility_core::store::Commit::default()
            };
            store.commit(&commit).unwrap();
            Box::new(store).close().unwrap();
        };
        put(snapshot.clone());

        let handle = over(&disk).start().unwrap();
        assert_eq!(handle.recovered().await.failed, None);
        handle.publish(accuracy("a", 0.9, 1)).await.unwrap();
        handle.publish(accuracy("b", 0.9, 1)).await.unwrap();
        pass(Duration::from_mins(2)).await;
        handle.flush().await.unwrap();
        let store = handle.store_status().unwrap();
        assert_eq!(store.aside_first[0].reason, "its snapshot has form 9, this release reads up to form 1");
        assert_eq!(handle.model_status("a").await.unwrap().phase, ModelPhase::Quarantined);
        let _ = handle.shutdown(Duration::from_mins(1)).await;
        end(handle).await;
        let kept = reader(&disk).snapshot(&old.model).unwrap().unwrap();
        assert_eq!((kept.form, kept.phase, &kept.state), (9, StoredPhase::Running, &old.state));

        // The release that reads it goes on where it was, with what came meanwhile.
        put(old);
        let handle = over(&disk).start().unwrap();
        assert_eq!(handle.recovered().await.failed, None);
        assert_eq!(taken(&handle, "a").await, 2);
        close(handle).await;
    });
}

#[test]
fn an_outbox_that_cannot_be_read_is_tried_at_growing_pauses_and_delivered_then() {
    world(|| async {
        let disk = MemoryDisk::new();
        let plan = MonitorPlan::empty().with_observer(Box::new(crate::world::Low)).unwrap();
        let handle = over(&disk).plan(plan).start().unwrap();
        let reads = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&reads);
        disk.set_hook(move |_, operation| match operation {
            Operation::Read => {
                count.fetch_add(1, Ordering::Relaxed);
                Effect::Fail(StoreError::io("read", "it failed"))
            }
            _ => Effect::Proceed,
        });
        let _ = handle.recovered().await;
        let before = reads.load(Ordering::Relaxed);
        pass(Duration::from_mins(1)).await;
        // Twice a second it is asked who is due; the outbox at pauses up to 5 s.
        let reads = reads.load(Ordering::Relaxed) - before;
        assert!((120..150).contains(&reads), "{reads} reads in a minute");
        disk.clear_hook();
        handle.publish(accuracy("a", 0.3, 1)).await.unwrap();
        handle.flush().await.unwrap();
        pass(Duration::from_secs(6)).await;
        assert_eq!(reader(&disk).summary().unwrap().outbox_settled, 1, "the alert is delivered");
        close(handle).await;
    });
}

/// A store that loses the answer of the first commit without entries that changes a model twice.
struct Forgetful {
    store: MemoryStore,
    lost: Arc<AtomicU64>,
}

impl Store for Forgetful {
    fn commit(&mut self, commit: &Commit) -> Result<Committed, StoreError> {
        let committed = self.store.commit(commit)?;
        let twice = matches!(&commit.models[..], [first, second, ..] if first.model() == second.model());
        if twice && commit.journal.is_empty() && self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(StoreError::io("commit", "no answer came"));
        }
        Ok(committed)
    }

    fn reader(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        self.store.reader()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Box::new(self.store).close()
    }
}

#[test]
fn a_model_that_is_retired_and_comes_back_in_a_commit_whose_answer_is_lost_is_not_set_aside() {
    world(|| async {
        let plan =
            MonitorPlan::empty().with_observer(Box::new(PerformanceDegrader::new(0.85).unwrap())).unwrap();
        let plan = plan.with_observer(Box::new(crate::world::Low)).unwrap();
        let (disk, lost) = (MemoryDisk::new(), Arc::new(AtomicU64::new(0)));
        let (store, _) = disk.open(StoreLimits::default()).unwrap();
        let store = Forgetful { store, lost: Arc::clone(&lost) };
        let handle = over(&MemoryDisk::new()).store(Box::new(store)).plan(plan).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        handle.flush().await.unwrap();
        // All on their way at once: its end and its new life are saved together.
        let (one, two, three) = (handle.clone(), handle.clone(), handle.clone());
        let first = actix_rt::spawn(async move { one.publish(accuracy("a", 0.3, 1)).await });
        let retired = actix_rt::spawn(async move { two.retire("a").await });
        let second = actix_rt::spawn(async move { three.publish(accuracy("a", 0.3, 2)).await });
        first.await.unwrap().unwrap();
        retired.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
        handle.publish(accuracy("a", 0.9, 3)).await.unwrap();
        handle.flush().await.unwrap();
        assert!(lost.load(Ordering::Relaxed) > 0, "an answer was lost");
        assert_eq!(handle.store_status().unwrap().aside, 0);
        assert_eq!(handle.model_status("a").await.unwrap().phase, ModelPhase::Running);
        assert_eq!((taken(&handle, "a").await, handle.dead_letters().len()), (2, 0));
        close(handle).await;
    });
}
