//! An observer that does not come back: who is named, who is quarantined, and that its neighbours go on as if nothing had been.
//!
//! A stuck thread is a real one, on an arbiter of its own; it waits at a gate that the test opens at its end. The watchdog
//! looks when it is told to, by a stopwatch that is told what to show.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use visu_tility_actors::{
    ControlError, DeadReason, DurabilityPolicy, ManualClock, ModelPhase, Monitoring, MonitoringBuilder,
    MonitoringHandle, WatchdogPolicy, block_on,
};
use visu_tility_core::store::{MemoryDisk, OutboxQuery, Store, StoreLimits, StoredPhase};
use visu_tility_core::{MetricEvent, MonitorPlan, PerformanceDegrader};

use crate::turnstile::{At, Gate, Opens, STUCK, Turnstile};
use crate::world::{accuracy, world};

pub(crate) fn builder(gate: &Arc<Gate>, at: At, arbiters: usize) -> MonitoringBuilder {
    let plan = MonitorPlan::empty().with_observer(Box::new(PerformanceDegrader::new(0.85).unwrap())).unwrap();
    let clock = Arc::new(ManualClock::new(accuracy("m", 0.9, 0).ts().unwrap()));
    Monitoring::builder()
        .plan(plan)
        .observer(Box::new(Turnstile::new(gate, at)))
        .arbiters(arbiters)
        .clock(clock)
        .ahead_max(Duration::from_hours(1))
        .watch_by_hand()
}

pub(crate) fn over(disk: &MemoryDisk, gate: &Arc<Gate>, at: At, arbiters: usize) -> MonitoringHandle {
    let (store, _) = disk.open(StoreLimits::default()).unwrap();
    let durability = DurabilityPolicy { gather_max: Duration::ZERO, ..DurabilityPolicy::default() };
    builder(gate, at, arbiters).store(Box::new(store)).durability(durability).start().unwrap()
}

/// The watchdog sees a call, and sees it again much later. Calls that end are seen no second time: those of other threads
/// are waited for.
pub(crate) fn look_twice(handle: &MonitoringHandle, round: u64) {
    while handle.look_for_stuck(Duration::from_secs(100 * round)) > 1 {
        std::thread::yield_now();
    }
    handle.look_for_stuck(Duration::from_secs(100 * round + 31));
}

/// Ends a monitoring in order; `left` actors may be with a thread that is still stuck.
pub(crate) fn close(handle: MonitoringHandle) {
    for model in handle.models() {
        block_on(handle.model_addr(model)).unwrap();
    }
    let report = block_on(handle.shutdown(Duration::from_mins(1)));
    assert!(report.complete, "{report:?}");
    assert_eq!(handle.census().live(), 0);
    drop(handle);
}

/// States and the outbox by id, without one model.
pub(crate) fn contents(disk: &MemoryDisk, without: &str) -> (Vec<String>, Vec<String>) {
    let (store, _) = disk.after_kill().open(StoreLimits::default()).unwrap();
    let mut reader = store.reader().unwrap();
    let mut states = Vec::new();
    for row in reader.models(None, 1_000).unwrap().iter().filter(|row| row.model.as_str() != without) {
        let snapshot = reader.snapshot(&row.model).unwrap().unwrap();
        states.push(format!("{} {:?} {:x?}", row.model, snapshot.phase, snapshot.state));
    }
    let all = reader.outbox(&OutboxQuery { limit: 10_000, ..OutboxQuery::default() }).unwrap();
    let mut outbox: Vec<String> = all
        .iter()
        .filter(|stored| stored.entry.id.model_id.as_str() != without)
        .map(|stored| format!("{:?} {}", stored.entry.id, stored.entry.body))
        .collect();
    outbox.sort();
    (states, outbox)
}

/// Events of a few models; the one at `stuck_at` is one that model `m0` does not come back from.
fn events(from: usize, to: usize, stuck_at: usize) -> Vec<MetricEvent> {
    (from..to)
        .map(|at| {
            let wave = [0.95, 0.91, 0.2, 0.97, 0.5][at % 5];
            let (model, value) = if at == stuck_at { (0, STUCK) } else { (at % 4, wave) };
            accuracy(&format!("m{model}"), value, at as i64)
        })
        .collect()
}

pub(crate) fn take(handle: &MonitoringHandle, events: &[MetricEvent]) {
    for chunk in events.chunks(7) {
        let receipt = block_on(handle.publish_batch(chunk.to_vec()));
        assert!(receipt.rejected.is_empty(), "{receipt:?}");
    }
}

/// What neighbours come to when nothing is stuck. At the place of the entry that quarantines `m0` something else is done
/// to it, so that offsets are the same.
fn uninterrupted(parts: [Vec<MetricEvent>; 2], arbiters: usize) -> (Vec<String>, Vec<String>) {
    let (disk, gate) = (MemoryDisk::new(), Arc::new(Gate::default()));
    gate.open();
    let handle = over(&disk, &gate, At::Event, arbiters);
    let [before, after] = parts;
    take(&handle, &before);
    block_on(handle.pause("m0")).unwrap();
    take(&handle, &after);
    close(handle);
    contents(&disk, "m0")
}

/// Says what differs, and not all that does not.
pub(crate) fn same(left: &(Vec<String>, Vec<String>), right: &(Vec<String>, Vec<String>)) {
    for (left, right) in left.0.iter().zip(&right.0).chain(left.1.iter().zip(&right.1)) {
        assert_eq!(left, right);
    }
    assert_eq!((left.0.len(), left.1.len()), (right.0.len(), right.1.len()));
    assert!(!left.0.is_empty() && !left.1.is_empty());
}

#[test]
fn neighbours_of_a_stuck_model_go_on_bit_for_bit_and_it_is_quarantined() {
    for arbiters in [1, 3] {
        let (disk, gate) = (MemoryDisk::new(), Arc::new(Gate::default()));
        let opens = Opens(Arc::clone(&gate));
        let handle = over(&disk, &gate, At::Event, arbiters);
        take(&handle, &events(0, 60, 41));
        gate.reached(1);
        // Taken while it is stuck: durable, and nobody's yet.
        take(&handle, &events(60, 90, 41));
        look_twice(&handle, 0);
        take(&handle, &events(90, 120, 41));
        block_on(handle.flush()).unwrap();
        let status = block_on(handle.status()).unwrap();
        let watchdog = &status.watchdog;
        assert_eq!((watchdog.found, watchdog.replaced, watchdog.left_behind), (1, 1, 1), "{watchdog:?}");
        assert!(watchdog.given_up().is_none());
        let culprit = block_on(handle.model_status("m0")).unwrap();
        assert_eq!(culprit.phase, ModelPhase::Quarantined);
        // It has seen what came before, and not the event that it is stuck on.
        let taken = events(0, 41, 41).iter().filter(|event| event.model_id().as_str() == "m0").count() as u64;
        assert_eq!(culprit.monitor.unwrap().taken, taken);
        let stuck: Vec<_> =
            handle.dead_letters().into_iter().filter(|letter| letter.reason == DeadReason::Stuck).collect();
        assert_eq!(stuck.len(), 1);
        assert_eq!((stuck[0].offset, stuck[0].observer.as_deref()), (Some(41), Some("turnstile")));
        let dead = handle
            .dead_letters()
            .into_iter()
            .filter(|letter| letter.reason == DeadReason::Quarantined)
            .count();
        let later = events(42, 120, 41).iter().filter(|event| event.model_id().as_str() == "m0").count();
        assert_eq!(dead, later);
        close(handle);
        assert_eq!(gate.comers(), 1);
        same(&contents(&disk, "m0"), &uninterrupted([events(0, 90, 41), events(90, 120, 41)], arbiters));
        drop(opens);
    }
}

#[test]
fn a_replay_does_not_hang_on_what_stuck_and_a_reset_lets_it_in_again() {
    let (disk, gate) = (MemoryDisk::new(), Arc::new(Gate::default()));
    let _opens = Opens(Arc::clone(&gate));
    let handle = over(&disk, &gate, At::Event, 1);
    take(&handle, &events(0, 60, 41));
    gate.reached(1);
    look_twice(&handle, 0);
    block_on(handle.flush()).unwrap();
    // Killed before any model but those that acted is saved.
    let again = disk.after_kill();
    drop(handle);
    let handle = over(&again, &gate, At::Event, 1);
    let report = block_on(handle.recovered());
    assert!(report.failed.is_none(), "{report:?}");
    take(&handle, &events(60, 80, 41));
    block_on(handle.flush()).unwrap();
    assert_eq!(gate.comers(), 1, "it was shown to the observer again");
    assert_eq!(block_on(handle.model_status("m0")).unwrap().phase, ModelPhase::Quarantined);
    block_on(handle.reset("m0")).unwrap();
    take(&handle, &[accuracy("m0", 0.95, 200)]);
    block_on(handle.flush()).unwrap();
    let after = again.after_kill();
    drop(handle);
    let handle = over(&after, &gate, At::Event, 1);
    let _ = block_on(handle.recovered());
    block_on(handle.flush()).unwrap();
    block_on(handle.model_addr("m0")).unwrap();
    let status = block_on(handle.model_status("m0")).unwrap();
    assert_eq!((status.phase, status.monitor.unwrap().taken), (ModelPhase::Running, 1));
    close(handle);
    assert_eq!(gate.comers(), 1);
    same(&contents(&after, "m0"), &uninterrupted([events(0, 60, 41), events(60, 80, 41)], 1));
}

#[test]
fn who_is_killed_while_stuck_is_stuck_in_the_recovery_and_taken_over_there() {
    for arbiters in [1, 3] {
        let (disk, gate) = (MemoryDisk::new(), Arc::new(Gate::default()));
        let _opens = Opens(Arc::clone(&gate));
        let handle = over(&disk, &gate, At::Event, arbiters);
        take(&handle, &events(0, 90, 41));
        gate.reached(1);
        let again = disk.after_kill();
        drop(handle);
        let handle = over(&again, &gate, At::Event, arbiters);
        gate.reached(2);
        look_twice(&handle, 0);
        let report = block_on(handle.recovered());
        assert!(report.failed.is_none(), "{report:?}");
        take(&handle, &events(90, 120, 41));
        block_on(handle.flush()).unwrap();
        assert_eq!(block_on(handle.model_status("m0")).unwrap().phase, ModelPhase::Quarantined);
        close(handle);
        assert_eq!(gate.comers(), 2);
        same(&contents(&again, "m0"), &uninterrupted([events(0, 90, 41), events(90, 120, 41)], arbiters));
    }
}

#[test]
fn a_state_that_is_never_written_or_read_quarantines_its_model_with_the_last_one() {
    let (disk, gate) = (MemoryDisk::new(), Arc::new(Gate::default()));
    let opens = Opens(Arc::clone(&gate));
    let handle = over(&disk, &gate, At::Write, 1);
    // The alert is saved with the state, which is never written.
    take(&handle, &events(0, 60, 41));
    gate.reached(1);
    look_twice(&handle, 0);
    take(&handle, &events(60, 80, 41));
    block_on(handle.flush()).unwrap();
    assert_eq!(block_on(handle.model_status("m0")).unwrap().phase, ModelPhase::Quarantined);
    close(handle);
    assert_eq!(gate.comers(), 1);
    same(&contents(&disk, "m0"), &uninterrupted([events(0, 60, 41), events(60, 80, 41)], 1));
    drop(opens);
    // What is written is never read.
    let (disk, open) = (MemoryDisk::new(), Arc::new(Gate::default()));
    let handle = over(&disk, &open, At::Event, 1);
    open.open();
    take(&handle, &events(0, 60, 41));
    close(handle);
    let gate = Arc::new(Gate::default());
    let opens = Opens(Arc::clone(&gate));
    for life in 0..2 {
        let handle = over(&disk, &gate, At::Read, 1);
        let _ = block_on(handle.recovered());
        if life == 0 {
            take(&handle, &events(60, 80, 41));
            gate.reached(1);
        } else {
            take(&handle, &events(80, 100, 41));
        }
        look_twice(&handle, 0);
        block_on(handle.flush()).unwrap();
        assert_eq!(block_on(handle.model_status("m0")).unwrap().phase, ModelPhase::Quarantined);
        if life == 1 {
            block_on(handle.reset("m0")).unwrap();
            take(&handle, &[accuracy("m0", 0.95, 300)]);
            block_on(handle.flush()).unwrap();
            let status = block_on(handle.model_status("m0")).unwrap();
            assert_eq!((status.phase, status.monitor.unwrap().taken), (ModelPhase::Running, 1));
        }
        close(handle);
    }
    assert_eq!(gate.comers(), 1);
    same(&contents(&disk, "m0"), &uninterrupted([events(0, 80, 41), events(80, 100, 41)], 1));
    drop(opens);
}

#[test]
fn a_tick_that_an_observer_does_not_come_back_from_is_no_event_of_its_model() {
    let (disk, gate) = (MemoryDisk::new(), Arc::new(Gate::default()));
    let _opens = Opens(Arc::clone(&gate));
    let handle = over(&disk, &gate, At::Tick, 1);
    // Time passes before the second, by more than a minute.
    take(&handle, &[accuracy("m0", STUCK, 0), accuracy("m1", 0.9, 1), accuracy("m0", 0.9, 90)]);
    gate.reached(1);
    look_twice(&handle, 0);
    block_on(handle.flush()).unwrap();
    let stuck = &handle.dead_letters()[0];
    assert_eq!((stuck.offset, &stuck.reason), (Some(2), &DeadReason::Stuck));
    assert_eq!(block_on(handle.model_status("m0")).unwrap().monitor.unwrap().taken, 1);
    close(handle);
    assert_eq!(gate.comers(), 1);
}

/// Has the neighbour `m1` retired: that is in the journal before what comes next. While the arbiter is stuck nobody answers.
fn retire(handle: &MonitoringHandle) -> impl Future<Output = ()> + Unpin {
    let handle = handle.clone();
    let mut retiring = Box::pin(async move { handle.retire("m1").await.unwrap() });
    let mut done = poll(&mut retiring).is_ready();
    std::future::poll_fn(move |cx| {
        if done {
            return Poll::Ready(());
        }
        let answer = retiring.as_mut().poll(cx);
        done = answer.is_ready();
        answer
    })
}

pub(crate) fn poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn who_is_retired_while_its_arbiter_is_stuck_ends_once_and_counts_once() {
    for (anew, again) in [(true, false), (false, false), (true, true)] {
        let run = |stuck: bool| {
            let (disk, gate) = (MemoryDisk::new(), Arc::new(Gate::default()));
            let opens = Opens(Arc::clone(&gate));
            if !stuck {
                gate.open();
            }
            let handle = over(&disk, &gate, At::Event, 1);
            let _ = block_on(handle.recovered());
            let named = |from, to| {
                let mut events = events(from, to, 41);
                events.retain(|event| anew || from < 60 || event.model_id().as_str() != "m1");
                events
            };
            take(&handle, &named(0, 60));
            if stuck {
                gate.reached(1);
            }
            let mut retired = vec![retire(&handle)];
            take(&handle, &named(60, 90));
            if again {
                retired.push(retire(&handle));
                take(&handle, &named(90, 100));
            }
            if stuck {
                look_twice(&handle, 0);
            } else {
                block_on(handle.pause("m0")).unwrap();
            }
            take(&handle, &named(100, 130));
            block_on(handle.flush()).unwrap();
            for answered in retired {
                block_on(answered);
            }
            assert_eq!(handle.admission().models, if anew { 4 } else { 3 }, "anew {anew}, stuck {stuck}");
            close(handle);
            drop(opens);
            disk
        };
        same(&contents(&run(true), "m0"), &contents(&run(false), "m0"));
    }
}

#[test]
fn without_a_store_it_is_named_and_nobody_waits_for_it() {
    let gate = Arc::new(Gate::default());
    let opens = Opens(Arc::clone(&gate));
    let handle = builder(&gate, At::Event, 2).start().unwrap();
    take(&handle, &events(0, 60, 41));
    gate.reached(1);
    while handle.look_for_stuck(Duration::ZERO) > 1 {
        std::thread::yield_now();
    }
    handle.look_for_stuck(Duration::from_secs(29));
    assert_eq!(handle.watchdog().found, 0);
    handle.look_for_stuck(Duration::from_secs(31));
    let watchdog = handle.watchdog();
    let stuck = watchdog.given_up().unwrap();
    assert_eq!(
        stuck.to_string(),
        format!("arbiter {} is stuck in observer `turnstile` of model `m0` for 31 s", stuck.shard)
    );
    let why = stuck.not_replaced.as_deref().unwrap();
    assert!(why.contains("without a store"), "{why}");
    assert!(matches!(block_on(handle.flush()), Err(ControlError::Stuck(_))));
    assert!(matches!(block_on(handle.model_status("m0")), Err(ControlError::Stuck(_))));
    let status = block_on(handle.status()).unwrap();
    assert!(status.shards[stuck.shard].credits_out > 0, "{status:?}");
    // It comes back.
    drop(opens);
    while handle.watchdog().given_up().is_some() {
        std::thread::yield_now();
    }
    block_on(handle.flush()).unwrap();
    assert!(block_on(handle.shutdown(Duration::from_mins(1))).complete);
}

#[test]
fn without_a_thread_of_its_own_it_is_named_from_another() {
    world(|| async {
        let gate = Arc::new(Gate::default());
        let handle = builder(&gate, At::Event, 0).start().unwrap();
        let (seen, looker) = (Arc::clone(&gate), handle.clone());
        let looking = std::thread::spawn(move || {
            seen.reached(1);
            look_twice(&looker, 0);
            let watchdog = looker.watchdog();
            seen.open();
            watchdog
        });
        let _ = handle.publish_batch(events(0, 60, 41)).await;
        handle.flush().await.unwrap();
        let watchdog = looking.join().unwrap();
        assert_eq!(watchdog.given_up().unwrap().observer.as_deref(), Some("turnstile"));
        crate::world::end(handle).await;
    });
}

#[test]
fn no_more_arbiters_are_replaced_than_may_be() {
    let (disk, gate) = (MemoryDisk::new(), Arc::new(Gate::default()));
    let opens = Opens(Arc::clone(&gate));
    let (store, _) = disk.open(StoreLimits::default()).unwrap();
    let policy = WatchdogPolicy { replaced_max: 2, ..WatchdogPolicy::default() };
    let handle = builder(&gate, At::Event, 1).store(Box::new(store)).watchdog(policy).start().unwrap();
    for round in 0..3 {
        take(&handle, &[accuracy(&format!("m{round}"), STUCK, 5), accuracy("other", 0.9, round)]);
        gate.reached(round as u64 + 1);
        look_twice(&handle, round as u64);
        if round < 2 {
            block_on(handle.flush()).unwrap();
        }
    }
    let watchdog = handle.watchdog();
    assert_eq!((watchdog.found, watchdog.replaced, watchdog.left_behind), (3, 2, 2));
    assert!(watchdog.given_up().unwrap().not_replaced.as_deref().unwrap().contains("replaced_max"));
    // An hour later it may.
    handle.look_for_stuck(Duration::from_secs(3_800));
    block_on(handle.flush()).unwrap();
    assert_eq!((handle.watchdog().replaced, handle.watchdog().given_up()), (3, None));
    assert_eq!(block_on(handle.model_status("m2")).unwrap().phase, ModelPhase::Quarantined);
    close(handle);
    drop(opens);
}

#[test]
fn an_answer_that_is_waited_for_is_given_by_the_successor_and_turns_and_plans_come_through() {
    let (disk, gate) = (MemoryDisk::new(), Arc::new(Gate::default()));
    let opens = Opens(Arc::clone(&gate));
    let handle = over(&disk, &gate, At::Event, 1);
    take(&handle, &events(0, 30, 1_000));
    let addr = block_on(handle.model_addr("m1")).unwrap();
    // Stuck behind what is on its way when they are sent.
    take(&handle, &[accuracy("m0", STUCK, 40)]);
    gate.reached(1);
    let asking: Vec<_> = [("pause", "m1"), ("retire", "m2")]
        .into_iter()
        .map(|(what, model)| {
            let handle = handle.clone();
            std::thread::spawn(move || match what {
                "pause" => block_on(handle.pause(model)),
                _ => block_on(handle.retire(model)),
            })
        })
        .collect();
    let inspecting = {
        let handle = handle.clone();
        std::thread::spawn(move || block_on(handle.model_status("m3")))
    };
    take(&handle, &events(41, 60, 1_000));
    look_twice(&handle, 0);
    for asked in asking {
        asked.join().unwrap().unwrap();
    }
    let seen = inspecting.join().unwrap();
    assert!(matches!(seen, Ok(_) | Err(ControlError::Interrupted)), "{seen:?}");
    assert_eq!(block_on(handle.model_status("m1")).unwrap().phase, ModelPhase::Paused);
    block_on(handle.flush()).unwrap();
    // The address is that of an actor of the old thread, which ends when it comes back.
    drop(opens);
    assert!(block_on(addr.send(accuracy("m1", 0.9, 70))).is_err() || gate.comers() == 1);
    drop(addr);
    close(handle);
    let (store, _) = disk.after_kill().open(StoreLimits::default()).unwrap();
    let mut reader = store.reader().unwrap();
    let row = |model: &str| visu_tility_core::ModelId::new(model).unwrap();
    assert_eq!(reader.model(&row("m0")).unwrap().unwrap().phase, StoredPhase::Quarantined);
    assert_eq!(reader.model(&row("m1")).unwrap().unwrap().phase, StoredPhase::Paused);
}
