//! What goes into the store in which commits: states that are refused or cannot be written, an outbox without room, a save of
//! all, and what a shutdown says of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use visu_tility_actors::{
    AlertSink, BoxFuture, DurabilityPolicy, ModelPhase, MonitoringBuilder, SinkFailure,
};
use visu_tility_core::codec::{DecodeError, Reader};
use visu_tility_core::store::{
    Commit, Committed, MemoryDisk, MemoryStore, ModelChange, OutboxQuery, Refusal, Store, StoreError,
    StoreLimits, StoreReader,
};
use visu_tility_core::{
    ActionRecord, Check, DriftDetector, MetricEvent, MetricKind, MetricObserver, ModelId, MonitorPlan,
    ObserverAction, ObserverError, Rule,
};

use crate::durable::{close, over, quick, reader};
use crate::world::{Ears, accuracy, end, monitoring, pass, world};

/// Says how it is called and looks at each commit.
struct Watched<F> {
    store: MemoryStore,
    look: F,
}

impl<F: FnMut(&Commit) -> Result<(), StoreError> + Send> Store for Watched<F> {
    fn commit(&mut self, commit: &Commit) -> Result<Committed, StoreError> {
        (self.look)(commit)?;
        self.store.commit(commit)
    }

    fn reader(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        self.store.reader()
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Box::new(self.store).close()
    }
}

fn watched(
    disk: &MemoryDisk,
    look: impl FnMut(&Commit) -> Result<(), StoreError> + Send + 'static,
) -> MonitoringBuilder {
    let (store, _) = disk.open(StoreLimits::default()).unwrap();
    monitoring().store(Box::new(Watched { store, look })).durability(quick())
}

/// Writes more than a store takes once it has seen a value below 0.5, or panics then, as it is told.
#[derive(Clone)]
struct Odd {
    low: bool,
    panics: bool,
    mended: Arc<AtomicBool>,
}

impl Odd {
    fn plan(panics: bool, mended: &Arc<AtomicBool>) -> MonitorPlan {
        let odd = Self { low: false, panics, mended: Arc::clone(mended) };
        MonitorPlan::empty().with_observer(Box::new(odd)).unwrap()
    }
}

impl MetricObserver for Odd {
    fn name(&self) -> &'static str {
        "odd"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        self.low |= event.value().is_some_and(|value| value < 0.5);
        Ok(ObserverAction::NoOp)
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.low));
        if self.low && !self.mended.load(Ordering::SeqCst) {
            assert!(!self.panics, "odd");
            out.resize(StoreLimits::SNAPSHOT_BYTES_MAX + 1, 7);
        }
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.low = bytes.u8()? == 1;
        bytes.take(bytes.remaining()).map(drop)
    }
}

async fn taken(handle: &visu_tility_actors::MonitoringHandle, model: &str) -> u64 {
    handle.model_status_awake(model).await.unwrap().monitor.unwrap().taken
}

fn of_form_nine(disk: &MemoryDisk) {
    let mut from = reader(disk);
    let rows = from.models(None, 10_000).unwrap();
    let models = rows.iter().map(|row| {
        let mut snapshot = from.snapshot(&row.model).unwrap().unwrap();
        snapshot.form = 9;
        ModelChange::Keep(snapshot)
    });
    let commit = Commit { models: models.collect(), ..Commit::default() };
    let (mut store, _) = disk.open(StoreLimits::default()).unwrap();
    store.commit(&commit).unwrap();
    Box::new(store).close().unwrap();
}

#[test]
fn models_that_are_set_aside_use_up_no_saves_of_others() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        for model in ["a0", "a1", "a2"] {
            handle.publish(accuracy(model, 0.9, 0)).await.unwrap();
        }
        close(handle).await;
        of_form_nine(&disk);
        let policy = DurabilityPolicy { saves_max: 2, ..quick() };
        let handle = over(&disk).durability(policy).start().unwrap();
        for model in ["a0", "a1", "a2", "b"] {
            handle.publish(accuracy(model, 0.9, 1)).await.unwrap();
        }
        pass(Duration::from_mins(2)).await;
        assert_eq!(handle.store_status().unwrap().aside, 3);
        let b = reader(&disk).model(&ModelId::new("b").unwrap()).unwrap();
        assert_eq!(b.map(|row| row.next_offset), Some(7), "it is saved in its time");
        for model in ["a0", "a1", "a2"] {
            handle.reset(model).await.unwrap();
        }
        pass(Duration::from_mins(2)).await;
        assert_eq!(handle.store_status().unwrap().aside, 0);
        handle.publish(accuracy("a1", 0.9, 2)).await.unwrap();
        assert_eq!(taken(&handle, "a1").await, 1);
        close(handle).await;
        let summary = reader(&disk).summary().unwrap();
        assert_eq!(summary.first_offset, summary.next_offset, "the journal is held for nobody");
    });
}

#[test]
fn a_state_that_cannot_be_written_is_no_reason_to_lose_what_was_acknowledged() {
    world(|| async {
        let disk = MemoryDisk::new();
        let mended = Arc::new(AtomicBool::new(false));
        let handle = over(&disk).plan(Odd::plan(true, &mended)).start().unwrap();
        for model in ["a", "b"] {
            handle.publish(accuracy(model, 0.9, 0)).await.unwrap();
        }
        pass(Duration::from_mins(1)).await;
        handle.publish(accuracy("a", 0.1, 1)).await.unwrap();
        pass(Duration::from_mins(1)).await;
        assert_eq!(handle.model_status("a").await.unwrap().phase, ModelPhase::Quarantined);
        for second in 2..6 {
            handle.publish(accuracy("a", 0.9, second)).await.unwrap();
            handle.publish(accuracy("b", 0.9, second)).await.unwrap();
            pass(Duration::from_mins(1)).await;
        }
        let again = disk.after_kill();
        let report = handle.shutdown(Duration::from_mins(1)).await;
        assert_eq!((report.complete, report.aside), (false, 1), "{report:?}");
        assert_eq!(report.unkept.len(), 1);
        end(handle).await;
        for disk in [again, disk] {
            mended.store(true, Ordering::SeqCst);
            let handle = over(&disk).plan(Odd::plan(true, &mended)).start().unwrap();
            assert_eq!((taken(&handle, "a").await, taken(&handle, "b").await), (6, 5));
            assert_eq!(handle.store_status().unwrap().aside, 0);
            close(handle).await;
        }
    });
}

fn phases(records: &[ActionRecord]) -> Vec<String> {
    let alerts = records.iter().filter_map(|record| match &record.action {
        ObserverAction::Alert(alert) => Some(format!("{:?}", alert.phase)),
        _ => None,
    });
    alerts.collect()
}

#[test]
fn a_model_that_is_set_aside_follows_no_plan_and_its_reset_resolves_what_is_out() {
    // Once its state cannot be written, once the store refuses it.
    for panics in [true, false] {
        world(|| async {
            let mended = Arc::new(AtomicBool::new(false));
            let disk = MemoryDisk::new();
            let odd = Odd::plan(panics, &mended);
            let rule = Check::DriftScore(DriftDetector::new(0.2).unwrap());
            let watched = odd.clone().with_rule(Rule::new("score", rule).unwrap()).unwrap();
            let score = |second| {
                let score = MetricEvent::new("m", MetricKind::DriftScore, 0.4).unwrap();
                score.at(accuracy("m", 0.4, second).ts().unwrap()).unwrap()
            };
            let handle = over(&disk).plan(watched).start().unwrap();
            let ears = Ears::on(&handle);
            handle.publish(score(0)).await.unwrap();
            pass(Duration::from_mins(2)).await;
            assert_eq!(handle.store_status().unwrap().aside, 1);
            handle.publish(score(1)).await.unwrap();
            assert_eq!(phases(&ears.records()), ["Firing"]);

            handle.reload(odd.clone()).await.unwrap();
            pass(Duration::from_mins(2)).await;
            assert_eq!(phases(&ears.records()), ["Firing"], "its end is in what it has not seen");

            mended.store(true, Ordering::SeqCst);
            handle.reset("m").await.unwrap();
            pass(Duration::from_mins(2)).await;
            assert_eq!(phases(&ears.records()), ["Firing", "Resolved"]);
            assert_eq!(handle.store_status().unwrap().aside, 0);
            handle.publish(score(200)).await.unwrap();
            assert_eq!(phases(&ears.records()), ["Firing", "Resolved"], "it follows the plan in force");
            close(handle).await;
        });
    }
}

#[test]
fn a_state_that_the_store_refuses_costs_one_commit_more_and_is_counted_as_not_kept() {
    world(|| async {
        let disk = MemoryDisk::new();
        let commits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&commits);
        let look = move |commit: &Commit| {
            counted.fetch_add(usize::from(!commit.models.is_empty()), Ordering::SeqCst);
            Ok(())
        };
        let plan = Odd::plan(false, &Arc::default());
        let handle = watched(&disk, look).plan(plan).start().unwrap();
        for n in 0..200 {
            handle.publish(accuracy(&format!("m{n}"), 0.9, 0)).await.unwrap();
        }
        handle.publish(accuracy("m7", 0.1, 1)).await.unwrap();
        let report = handle.shutdown(Duration::from_mins(1)).await;
        // So large a state fills a save: what comes behind it is another one.
        assert_eq!(commits.load(Ordering::SeqCst), 3, "one was refused, two had the others");
        assert_eq!((report.snapshots, report.snapshots_failed, report.aside), (199, 1, 1), "{report:?}");
        assert!(!report.complete && report.unkept[0].model_id.as_str() == "m7", "{report:?}");
        end(handle).await;
        assert_eq!(reader(&disk).summary().unwrap().models, 199);
    });
}

#[test]
fn a_state_that_is_refused_without_its_name_is_found_by_halves() {
    world(|| async {
        let disk = MemoryDisk::new();
        let commits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&commits);
        let look = move |commit: &Commit| {
            counted.fetch_add(usize::from(!commit.models.is_empty()), Ordering::SeqCst);
            let bad = commit.models.iter().any(|change| change.model().as_str() == "m77");
            if bad { Err(Refusal::TooLong { what: "a row", bytes: 2, max: 1 }.into()) } else { Ok(()) }
        };
        let handle = watched(&disk, look).start().unwrap();
        for n in 0..256 {
            handle.publish(accuracy(&format!("m{n}"), 0.9, 0)).await.unwrap();
        }
        let report = handle.shutdown(Duration::from_mins(1)).await;
        // The save once more, then two for each halving.
        assert_eq!(commits.load(Ordering::SeqCst), 2 + 2 * 8);
        assert_eq!((report.snapshots, report.snapshots_failed), (255, 1), "{report:?}");
        end(handle).await;
        assert_eq!(reader(&disk).summary().unwrap().models, 255);
    });
}

#[test]
fn a_save_of_all_is_cut_into_commits_of_a_bounded_size() {
    world(|| async {
        let disk = MemoryDisk::new();
        let most = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&most);
        let look = move |commit: &Commit| {
            seen.fetch_max(commit.models.len(), Ordering::SeqCst);
            Ok(())
        };
        let policy = DurabilityPolicy { save_every: Duration::from_hours(24), ..quick() };
        let handle = watched(&disk, look).durability(policy).start().unwrap();
        for part in 0..10 {
            let events = (0..1_000).map(|n| accuracy(&format!("m{}", part * 1_000 + n), 0.9, 0));
            assert_eq!(handle.publish_batch(events.collect()).await.accepted, 1_000);
        }
        let report = handle.shutdown(Duration::from_mins(1)).await;
        assert_eq!((report.complete, report.snapshots), (true, 10_000), "{report:?}");
        assert_eq!(most.load(Ordering::SeqCst), 4_096);
        end(handle).await;
    });
}

/// A plan that asks for a retraining, and pages, of a model that is bad.
#[cfg(feature = "automated_retraining")]
#[test]
fn an_outbox_without_room_holds_up_only_what_acts() {
    world(|| async {
        let disk = MemoryDisk::new();
        let limits = StoreLimits { outbox_waiting_max: 1, ..StoreLimits::default() };
        let start = |disk: &MemoryDisk, limits: StoreLimits| {
            let (store, _) = disk.open(limits).unwrap();
            let observer = Box::new(visu_tility_core::PerformanceDegrader::new(0.85).unwrap());
            let plan = MonitorPlan::empty().with_observer(observer).unwrap();
            monitoring().plan(plan).store(Box::new(store)).durability(quick()).start().unwrap()
        };
        // Nobody carries a retraining out: what is recorded waits for ever.
        let handle = start(&disk, limits);
        for second in 0..5 {
            for model in ["a", "b"] {
                handle.publish(accuracy(model, 0.3, second)).await.unwrap();
            }
        }
        handle.publish(accuracy("c", 0.9, 5)).await.unwrap();
        pass(Duration::from_mins(2)).await;
        handle.publish(accuracy("c", 0.9, 6)).await.unwrap();
        let status = handle.store_status().unwrap();
        assert_eq!((status.failing, status.outbox_full), (None, true));
        let kept = |model: &str| reader(&disk).model(&ModelId::new(model).unwrap()).unwrap().is_some();
        assert!(kept("c"), "who does not act is saved");
        assert!(!kept("b"), "who acts waits with its actions");
        assert!(reader(&disk).summary().unwrap().first_offset <= 1, "the journal is held for it");
        let again = disk.after_kill();
        let report = handle.shutdown(Duration::from_secs(5)).await;
        assert!(!report.complete, "{report:?}");
        end(handle).await;
        for disk in [again, disk] {
            let handle = start(&disk, StoreLimits::default());
            assert_eq!(handle.recovered().await.failed, None);
            handle.flush().await.unwrap();
            let query = OutboxQuery { limit: 100, ..OutboxQuery::default() };
            let entries = reader(&disk).outbox(&query).unwrap();
            for model in ["a", "b"] {
                let of_model = entries.iter().filter(|stored| stored.entry.id.model_id.as_str() == model);
                assert_eq!(of_model.count(), 1, "once each");
                assert_eq!(taken(&handle, model).await, 5);
            }
            end(handle).await;
        }
    });
}

/// Takes its time.
struct Slow;

impl AlertSink for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn deliver(&self, _: Arc<ActionRecord>) -> BoxFuture<Result<(), SinkFailure>> {
        Box::pin(async {
            pass(Duration::from_secs(1)).await;
            Ok(())
        })
    }
}

#[test]
fn an_outbox_that_has_room_again_takes_what_waited_in_its_order() {
    world(|| async {
        let disk = MemoryDisk::new();
        let (store, _) = disk.open(StoreLimits { outbox_waiting_max: 2, ..StoreLimits::default() }).unwrap();
        let plan = MonitorPlan::empty().with_observer(Box::new(crate::world::Low)).unwrap();
        let handle = monitoring()
            .plan(plan)
            .alert_sink(Arc::new(Slow))
            .store(Box::new(store))
            .durability(quick())
            .start()
            .unwrap();
        let ears = Ears::on(&handle);
        for second in 0..4 {
            for n in 0..10 {
                let value = if second % 2 == 0 { 0.3 } else { 0.9 };
                handle.publish(accuracy(&format!("m{n}"), value, second)).await.unwrap();
            }
        }
        handle.flush().await.unwrap();
        let query = OutboxQuery { limit: 1_000, ..OutboxQuery::default() };
        let entries = reader(&disk).outbox(&query).unwrap();
        assert!(entries.len() >= 10, "{}", entries.len());
        for n in 0..10 {
            let name = format!("m{n}");
            let heard: Vec<u64> = ears
                .records()
                .iter()
                .filter(|record| record.id.model_id.as_str() == name && !record.action.is_noop())
                .map(|record| record.id.offset)
                .collect();
            let kept: Vec<u64> = entries
                .iter()
                .filter(|stored| stored.entry.id.model_id.as_str() == name)
                .map(|stored| stored.entry.id.offset)
                .collect();
            assert!(heard.is_sorted() && heard == kept && !kept.is_empty(), "{heard:?} {kept:?}");
        }
        assert!(!handle.store_status().unwrap().outbox_full);
        close(handle).await;
    });
}
