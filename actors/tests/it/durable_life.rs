//! What lasts longer than a process: silence, sleep, alerts on their way, panics, dead letters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use visu_tility_actors::{
    AlertSink, BoxFuture, DurabilityPolicy, InspectModel, ManualClock, ModelPhase, Monitoring, RestartPolicy,
    SinkFailure, StartError,
};
use visu_tility_core::codec::{DecodeError, Reader};
use visu_tility_core::store::{
    Effect, MemoryDisk, Operation, OutboxQuery, StoreError, StoreLimits, StoredPhase,
};
use visu_tility_core::{
    Accepted, ActionRecord, IngestError, MetricEvent, MetricObserver, ModelId, MonitorPlan, ObserverAction,
    ObserverError, Severity, StalenessObserver, Timestamp,
};

use crate::durable::{close, contents, over, quick, reader};
use crate::world::{Ears, Low, POISON, accuracy, end, pass, world};

fn silence(span: Duration) -> MonitorPlan {
    MonitorPlan::empty().with_observer(Box::new(StalenessObserver::after(span).unwrap())).unwrap()
}

fn low() -> MonitorPlan {
    MonitorPlan::empty().with_observer(Box::new(Low)).unwrap()
}

/// The clock at a second of event time.
fn at(second: i64) -> Timestamp {
    accuracy("m", 0.9, second).ts().unwrap()
}

#[test]
fn a_model_that_fell_silent_before_a_crash_is_told_of_after_it() {
    world(|| async {
        let disk = MemoryDisk::new();
        let clock = Arc::new(ManualClock::new(at(0)));
        let watching = |disk: &MemoryDisk| {
            over(disk).plan(silence(Duration::from_mins(1))).clock(Arc::clone(&clock) as _).start().unwrap()
        };
        let handle = watching(&disk);
        for model in ["a", "b"] {
            handle.publish(accuracy(model, 0.9, 0)).await.unwrap();
        }
        handle.flush().await.unwrap();
        handle.passivate("b").await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(handle.model_status("b").await.unwrap().phase, ModelPhase::Asleep);
        let again = disk.after_kill();
        end(handle).await;

        clock.set(at(50));
        let handle = watching(&again);
        let ears = Ears::on(&handle);
        let _ = handle.recovered().await;
        pass(Duration::from_secs(3)).await;
        assert!(ears.records().is_empty());
        clock.set(at(70));
        pass(Duration::from_secs(3)).await;
        handle.flush().await.unwrap();
        let mut silent: Vec<String> = ears.records().iter().map(|r| r.id.model_id.to_string()).collect();
        silent.sort();
        assert_eq!(silent, ["a", "b"], "asleep or awake, by the clock");
        // The tick is in the journal, so the next process does not tell of it again.
        let third = again.after_kill();
        end(handle).await;
        let handle = watching(&third);
        let ears = Ears::on(&handle);
        pass(Duration::from_secs(5)).await;
        handle.flush().await.unwrap();
        assert!(ears.records().is_empty(), "{:?}", ears.records());
        close(handle).await;
    });
}

#[test]
fn a_sleeping_model_leaves_memory_and_is_known_all_the_same() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).idle_after(Some(Duration::from_secs(10))).start().unwrap();
        let ears = Ears::on(&handle);
        for model in 0..50 {
            handle.publish(accuracy(&format!("m{model}"), 0.9, 0)).await.unwrap();
        }
        pass(Duration::from_mins(1)).await;
        let status = handle.status().await.unwrap();
        assert_eq!(
            (status.models_in_memory, status.shards[0].awake, status.shards[0].passivated),
            (0, 0, 50)
        );
        assert_eq!(handle.models().len(), 50);
        assert_eq!(handle.model_status("m7").await.unwrap().phase, ModelPhase::Asleep);
        assert!(handle.model_status("m50").await.is_err());
        // It goes on from where it was.
        for second in 1..4 {
            handle.publish(accuracy("m7", 0.9, second)).await.unwrap();
        }
        handle.flush().await.unwrap();
        assert_eq!(handle.model_status("m7").await.unwrap().monitor.unwrap().taken, 4);
        assert_eq!(ears.turns().iter().filter(|turn| format!("{turn:?}").starts_with("Woken")).count(), 1);
        // Who holds a handle keeps the place.
        let held = handle.model("m8").unwrap();
        handle.publish(accuracy("m8", 0.9, 5)).await.unwrap();
        pass(Duration::from_mins(1)).await;
        assert_eq!(held.status().await.unwrap().phase, ModelPhase::Asleep);
        held.publish_event(&accuracy("m8", 0.9, 6)).await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(held.status().await.unwrap().monitor.unwrap().taken, 3);
        close(handle).await;
    });
}

#[test]
fn the_journal_is_cut_below_what_no_recovery_needs() {
    world(|| async {
        let disk = MemoryDisk::new();
        let policy = DurabilityPolicy { save_every: Duration::from_secs(5), ..quick() };
        let handle = over(&disk).durability(policy).start().unwrap();
        for second in 0..20 {
            for model in ["a", "b", "c"] {
                handle.publish(accuracy(model, 0.9, second)).await.unwrap();
            }
            pass(Duration::from_secs(1)).await;
            let summary = reader(&disk).summary().unwrap();
            // Six seconds of entries at most, those of the dictionary before them, and the tick's grain.
            let kept = summary.next_offset - summary.first_offset;
            assert!(kept <= 3 * 10, "{kept} entries are kept at second {second}");
        }
        let first = handle.status().await.unwrap().store.unwrap().first_offset;
        assert!(first > 30, "{first}");
        close(handle).await;
    });
}

/// Delivers when it is let.
#[derive(Default)]
struct Slow {
    open: AtomicBool,
    begun: AtomicUsize,
    delivered: Mutex<Vec<u64>>,
}

/// One that a test keeps a hold of.
struct Sink(Arc<Slow>);

impl AlertSink for Sink {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn deliver(&self, record: Arc<ActionRecord>) -> BoxFuture<Result<(), SinkFailure>> {
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        let slow = Arc::clone(&self.0);
        Box::pin(async move {
            if !slow.open.load(Ordering::Acquire) {
                std::future::pending::<()>().await;
            }
            slow.delivered.lock().push(record.id.offset);
            Ok(())
        })
    }
}

#[test]
fn an_alert_that_was_on_its_way_is_delivered_after_the_crash_and_then_no_more() {
    world(|| async {
        let disk = MemoryDisk::new();
        let slow = Arc::new(Slow::default());
        let watching = |disk: &MemoryDisk, slow: &Arc<Slow>| {
            let builder = over(disk).plan(low()).delivery_timeout(Duration::from_hours(1));
            builder.alert_sink(Arc::new(Sink(Arc::clone(slow)))).start().unwrap()
        };
        let handle = watching(&disk, &slow);
        for second in 0..3 {
            handle.publish(accuracy(&format!("m{second}"), 0.1, second)).await.unwrap();
        }
        pass(Duration::from_secs(1)).await;
        assert_eq!((slow.begun.load(Ordering::Acquire), slow.delivered.lock().len()), (1, 0));
        let again = disk.after_kill();
        assert_eq!(reader(&again).summary().unwrap().outbox_waiting, 3);

        let open = Arc::new(Slow { open: AtomicBool::new(true), ..Slow::default() });
        let next = watching(&again, &open);
        next.flush().await.unwrap();
        assert_eq!(*open.delivered.lock(), [0, 1, 2], "in order, once each");
        next.flush().await.unwrap();
        assert_eq!(reader(&again).summary().unwrap().outbox_waiting, 0);
        close(next).await;
        let third = watching(&again.after_kill(), &open);
        third.flush().await.unwrap();
        assert_eq!(open.delivered.lock().len(), 3);
        close(third).await;
        slow.open.store(true, Ordering::Release);
        let _ = handle.shutdown(Duration::ZERO).await;
    });
}

#[test]
fn more_alerts_than_find_room_wait_in_the_store() {
    world(|| async {
        let disk = MemoryDisk::new();
        let open = Arc::new(Slow { open: AtomicBool::new(true), ..Slow::default() });
        let builder = over(&disk).plan(low()).alerts_max(4);
        let handle = builder.alert_sink(Arc::new(Sink(Arc::clone(&open)))).start().unwrap();
        let events = (0..100).map(|second| accuracy(&format!("m{second}"), 0.1, second)).collect();
        assert_eq!(handle.publish_batch(events).await.accepted, 100);
        handle.flush().await.unwrap();
        pass(Duration::from_secs(5)).await;
        assert_eq!(*open.delivered.lock(), (0..100).collect::<Vec<_>>());
        handle.flush().await.unwrap();
        assert_eq!(reader(&disk).summary().unwrap().outbox_waiting, 0);
        assert_eq!(handle.status().await.unwrap().alerts.refused, 0);
        close(handle).await;
    });
}

#[test]
fn a_shutdown_comes_after_the_alerts_that_wait_in_the_store() {
    world(|| async {
        let disk = MemoryDisk::new();
        let open = Arc::new(Slow { open: AtomicBool::new(true), ..Slow::default() });
        let builder = over(&disk).plan(low()).alerts_max(4);
        let handle = builder.alert_sink(Arc::new(Sink(Arc::clone(&open)))).start().unwrap();
        let events = (0..100).map(|second| accuracy(&format!("m{second}"), 0.1, second)).collect();
        assert_eq!(handle.publish_batch(events).await.accepted, 100);
        close(handle).await;
        assert_eq!(*open.delivered.lock(), (0..100).collect::<Vec<_>>());
        assert_eq!(reader(&disk).summary().unwrap().outbox_waiting, 0);
    });
}

/// Panics on [`POISON`] and keeps its count over a restart.
#[derive(Clone, Default)]
pub(crate) struct Counter(u64);

impl MetricObserver for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        self.0 += 1;
        assert!(event.value() != Some(POISON), "poison");
        let tenth = self.0.is_multiple_of(10);
        Ok(if tenth {
            ObserverAction::alert(Severity::Info, self.0.to_string())
        } else {
            ObserverAction::NoOp
        })
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.0 = bytes.u64()?;
        Ok(())
    }
}

#[test]
fn an_observer_that_panics_leaves_the_same_after_a_crash() {
    let plan = || MonitorPlan::empty().with_observer(Box::new(Counter::default())).unwrap();
    let plan = || plan().with_observer(Box::new(Low)).unwrap();
    let policy = RestartPolicy { restarts_max: 100, ..RestartPolicy::default() };
    let value = |i: i64| if i % 7 == 3 { POISON } else { 0.9 };
    world(|| async {
        let (whole, broken) = (MemoryDisk::new(), MemoryDisk::new());
        let handle = over(&whole).plan(plan()).restart_policy(policy).start().unwrap();
        for i in 0..40 {
            handle.publish(accuracy("a", value(i), i)).await.unwrap();
        }
        handle.flush().await.unwrap();
        close(handle).await;
        let handle = over(&broken).plan(plan()).restart_policy(policy).start().unwrap();
        for i in 0..25 {
            // Some of these wait for its restart when the process ends.
            handle.publish(accuracy("a", value(i), i)).await.unwrap();
        }
        let again = broken.after_kill();
        end(handle).await;
        let handle = over(&again).plan(plan()).restart_policy(policy).start().unwrap();
        for i in 25..40 {
            handle.publish(accuracy("a", value(i), i)).await.unwrap();
        }
        handle.flush().await.unwrap();
        // Those of the life before are shown, those that the recovery made again only once.
        let told: Vec<_> = handle.dead_letters().iter().map(|letter| letter.offset).collect();
        close(handle).await;
        assert_eq!(contents(&again), contents(&whole));
        let handle = over(&again).plan(plan()).dead_letters_max(4).start().unwrap();
        let latest: Vec<_> = handle.dead_letters().iter().map(|letter| letter.offset).collect();
        assert_eq!(handle.dead_letters()[3].observer.as_deref(), Some("counter"));
        end(handle).await;
        let letters = |disk: &MemoryDisk| {
            let letters = reader(disk).dead_letters(0, 100).unwrap();
            letters
                .iter()
                .map(|letter| (letter.entry.offset, letter.entry.observer.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(letters(&again), letters(&whole));
        let offsets: Vec<_> = letters(&whole).into_iter().map(|(offset, _)| offset).collect();
        assert_eq!((offsets.len(), &told, latest.as_slice()), (6, &offsets, &offsets[2..]));
    });
}

/// Panics when its state is asked for after so many values.
#[derive(Clone, Default)]
struct Mute(u64);

impl MetricObserver for Mute {
    fn name(&self) -> &'static str {
        "mute"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        self.0 += u64::from(event.value() == Some(POISON));
        Ok(ObserverAction::NoOp)
    }

    fn write_state(&self, _: &mut Vec<u8>) {
        assert!(self.0 == 0, "mute");
    }
}

#[test]
fn a_model_that_cannot_write_its_state_is_put_aside_with_the_last_that_it_wrote() {
    world(|| async {
        let disk = MemoryDisk::new();
        let policy = DurabilityPolicy { save_every: Duration::from_secs(2), ..quick() };
        let plan = || MonitorPlan::empty().with_observer(Box::new(Mute::default())).unwrap();
        let handle = over(&disk).plan(plan()).durability(policy).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        pass(Duration::from_secs(10)).await;
        let good = reader(&disk).snapshot(&ModelId::new("a").unwrap()).unwrap().unwrap();
        handle.publish(accuracy("a", POISON, 1)).await.unwrap();
        pass(Duration::from_secs(10)).await;
        assert_eq!(handle.model_status("a").await.unwrap().phase, ModelPhase::Quarantined);
        assert_eq!(handle.status().await.unwrap().shards[0].snapshots_failed, 1);
        let kept = reader(&disk).snapshot(&ModelId::new("a").unwrap()).unwrap().unwrap();
        // What it has not written is repeated by who can write it: the journal is held for it, and that is said.
        assert_eq!((kept.next_offset, kept.phase), (good.next_offset, StoredPhase::Running));
        assert_eq!(kept.state, good.state);
        assert!(reader(&disk).summary().unwrap().first_offset <= 1);
        let status = handle.store_status().unwrap();
        assert_eq!(status.aside, 1);
        assert!(status.aside_first[0].reason.contains("`mute` panicked: mute"), "{:?}", status.aside_first);
        let again = disk.after_kill();
        end(handle).await;
        let handle = over(&again).plan(plan()).start().unwrap();
        handle.publish(accuracy("a", 0.9, 2)).await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(handle.model_status("a").await.unwrap().monitor.unwrap().taken, 3, "nothing is lost");
        pass(Duration::from_mins(1)).await;
        assert_eq!(handle.model_status("a").await.unwrap().phase, ModelPhase::Quarantined, "it still cannot");
        handle.reset("a").await.unwrap();
        handle.publish(accuracy("a", 0.9, 3)).await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(handle.model_status("a").await.unwrap().monitor.unwrap().taken, 1);
        assert_eq!(handle.store_status().unwrap().aside, 0);
        close(handle).await;
        let summary = reader(&again).summary().unwrap();
        assert_eq!(summary.first_offset, summary.next_offset, "the journal is held for nobody");
    });
}

#[test]
fn an_event_at_an_actors_address_is_answered_when_it_is_durable_and_handled() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).plan(low()).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        let addr = handle.model_addr("a").await.unwrap();
        let accepted = addr.send(accuracy("a", 0.9, 1)).await.unwrap();
        assert_eq!(accepted, Ok(Accepted { events: 1, first_offset: 1 }));
        assert_eq!(reader(&disk).summary().unwrap().next_offset, 2);
        assert_eq!(addr.send(InspectModel).await.unwrap().monitor.unwrap().taken, 2);
        let batch = visu_tility_actors::EventBatch(vec![accuracy("b", 0.9, 2), accuracy("a", 0.9, 3)]);
        let receipt = handle.supervisor().send(batch).await.unwrap();
        assert_eq!((receipt.accepted, receipt.first_offset), (2, 2));
        assert_eq!(reader(&disk).summary().unwrap().next_offset, 4);
        addr.send(visu_tility_actors::PauseModel).await.unwrap();
        assert_eq!(handle.model_status("a").await.unwrap().phase, ModelPhase::Paused);
        drop(addr);
        close(handle).await;
    });
}

#[test]
fn event_time_and_a_setting_out_of_range_are_refused_at_the_start() {
    world(|| async {
        let disk = MemoryDisk::new();
        let said = |started: Result<_, StartError>| started.err().map(|error| error.to_string());
        let refused = said(over(&disk).event_time(true).start().map(drop)).unwrap();
        assert!(refused.contains("`event_time` is on"), "{refused}");
        let policy = DurabilityPolicy { saves_max: 0, ..quick() };
        let refused = said(over(&disk).durability(policy).start().map(drop)).unwrap();
        assert!(refused.contains("`saves_max` is 0"), "{refused}");
    });
}

#[test]
fn on_threads_of_its_own_a_store_is_recovered_too() {
    let disk = MemoryDisk::new();
    let start = |disk: &MemoryDisk| {
        let (store, _) = disk.open(StoreLimits::default()).unwrap();
        // So that no timer goes off: two runs would be told of different times.
        let clock = Arc::new(ManualClock::new(at(0)));
        let ahead_max = Duration::from_hours(1);
        let builder = Monitoring::builder().plan(low()).arbiters(2).clock(clock).ahead_max(ahead_max);
        builder.store(Box::new(store)).start().unwrap()
    };
    let event = |i: i64| accuracy(&format!("m{}", i % 10), if i % 100 == 9 { 0.1 } else { 0.9 }, i);
    visu_tility_actors::block_on(async {
        let handle = start(&disk);
        for batch in 0..10 {
            let events = (batch * 100..(batch + 1) * 100).map(event).collect();
            assert_eq!(handle.publish_batch(events).await.accepted, 100);
        }
        let again = disk.after_kill();
        let report = handle.shutdown(Duration::from_mins(1)).await;
        assert!(report.complete, "{report:?}");
        let handle = start(&again);
        handle.flush().await.unwrap();
        let report = handle.shutdown(Duration::from_mins(1)).await;
        assert!(report.complete, "{report:?}");
        assert_eq!(contents(&again), contents(&disk));
        let query = OutboxQuery { limit: 100, ..OutboxQuery::default() };
        // That it fires, and that it is over.
        assert_eq!(reader(&again).outbox(&query).unwrap().len(), 20);
    });
}

#[test]
fn a_snapshot_that_cannot_be_read_costs_nothing_that_a_restart_does_not_give_back() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).plan(low()).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        close(handle).await;
        let handle = over(&disk).plan(low()).start().unwrap();
        let _ = handle.recovered().await;
        let no_answer = || StoreError::Io { doing: "read".into(), detail: "no answer".into() };
        disk.set_hook(move |_, operation| match operation {
            Operation::Read => Effect::Fail(no_answer()),
            _ => Effect::Proceed,
        });
        handle.publish(accuracy("a", 0.9, 1)).await.unwrap();
        handle.flush().await.unwrap();
        disk.clear_hook();
        assert_eq!(handle.model_status("a").await.unwrap().phase, ModelPhase::Quarantined);
        handle.publish(accuracy("a", 0.9, 2)).await.unwrap();
        close_at_once(handle).await;
        let handle = over(&disk).plan(low()).start().unwrap();
        handle.flush().await.unwrap();
        let status = handle.model_status("a").await.unwrap();
        assert_eq!((status.phase, status.monitor.unwrap().taken), (ModelPhase::Running, 3));
        close(handle).await;
    });
}

/// As [`close`], waking nobody.
async fn close_at_once(handle: visu_tility_actors::MonitoringHandle) {
    let _ = handle.shutdown(Duration::from_mins(1)).await;
    end(handle).await;
}

#[test]
fn on_a_journal_that_cannot_be_read_nothing_is_taken() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).plan(low()).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        let again = disk.after_kill();
        end(handle).await;
        let handle = over(&again).plan(low()).start().unwrap();
        let no_answer = || StoreError::Io { doing: "read".into(), detail: "no answer".into() };
        again.set_hook(move |_, operation| match operation {
            Operation::Read => Effect::Fail(no_answer()),
            _ => Effect::Proceed,
        });
        assert!(handle.recovered().await.failed.unwrap().contains("no answer"));
        let refused = handle.publish(accuracy("a", 0.9, 1)).await.unwrap_err();
        assert!(matches!(refused, IngestError::Store { retry: false, .. }), "{refused}");
        close_at_once(handle).await;
        again.clear_hook();
        let handle = over(&again).plan(low()).start().unwrap();
        handle.flush().await.unwrap();
        assert_eq!(handle.model_status("a").await.unwrap().monitor.unwrap().taken, 1);
        close(handle).await;
    });
}
