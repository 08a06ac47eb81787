//! An actix `System` that is stopped with events queued, as web servers stop theirs at a signal.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::{Arbiter, System};
use visu_tility_actors::{DrainReport, Monitoring, MonitoringHandle, block_on};
use visu_tility_core::{MetricEvent, MetricObserver, ObserverAction, ObserverError};

use crate::world::accuracy;

/// Longer than any test may take: who waits for it hangs.
const NEVER: Duration = Duration::from_hours(24);

/// Waits at its first event until it is let go, stops the `System` that it is in if it is to, and counts.
#[derive(Clone)]
struct Gate {
    opens: Arc<Mutex<Receiver<()>>>,
    stops: bool,
    seen: Arc<AtomicU64>,
}

impl MetricObserver for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn on_metric(&mut self, _: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        if self.seen.fetch_add(1, Ordering::AcqRel) == 0 {
            // An error: the other end is gone, the gate stands open.
            let _ = self.opens.lock().unwrap().recv();
            if self.stops {
                System::current().stop();
            }
        }
        Ok(ObserverAction::NoOp)
    }
}

fn publish(handle: &MonitoringHandle, seconds: std::ops::Range<i64>) {
    for second in seconds {
        handle.try_publish(&accuracy("m", 0.9, second)).unwrap();
    }
}

#[test]
fn the_end_of_the_system_around_it_takes_no_event() {
    let (open, opens) = channel();
    let seen = Arc::new(AtomicU64::new(0));
    let gate = Gate { opens: Arc::new(Mutex::new(opens)), stops: false, seen: Arc::clone(&seen) };
    let system = System::new();
    let handle = system.block_on(async {
        let handle = Monitoring::builder().observer(Box::new(gate)).start().unwrap();
        publish(&handle, 0..1_000);
        System::current().stop();
        handle
    });
    system.run().unwrap();
    publish(&handle, 1_000..1_500);
    drop(open);
    let report = block_on(handle.shutdown(NEVER));
    let whole = DrainReport { complete: true, events_handled: 1_500, snapshots: 1, ..DrainReport::default() };
    assert_eq!((&report, seen.load(Ordering::Acquire)), (&whole, 1_500));
    // Asked again, it says the same, but that there were no states left to keep.
    assert_eq!(block_on(handle.shutdown(NEVER)), DrainReport { snapshots: 0, ..whole });
}

#[test]
fn on_an_arbiter_that_takes_nothing_more_a_shutdown_handles_what_is_queued() {
    System::new().block_on(async {
        let handle = Monitoring::builder().arbiters(0).start().unwrap();
        publish(&handle, 0..1_000);
        System::current().stop();
        while Arbiter::current().spawn(async {}) {
            tokio::task::yield_now().await;
        }
        publish(&handle, 1_000..1_500);
        let report = handle.shutdown(NEVER).await;
        let whole =
            DrainReport { complete: true, events_handled: 1_500, snapshots: 1, ..DrainReport::default() };
        assert_eq!(report, whole);
    });
}

#[test]
fn events_that_went_with_their_system_are_counted_and_nobody_waits_for_them() {
    let system = System::new();
    let handle = system.block_on(async {
        let handle = Monitoring::builder().arbiters(0).start().unwrap();
        publish(&handle, 0..10);
        handle.flush().await.unwrap();
        publish(&handle, 10..1_000);
        handle
    });
    drop(system);
    let lost = DrainReport { events_handled: 10, events_cut: 990, ..DrainReport::default() };
    assert_eq!(block_on(handle.shutdown(NEVER)), lost);
    assert_eq!(block_on(handle.shutdown(NEVER)), lost, "asked again, it is no better");
}

#[test]
fn an_observer_that_stops_the_monitorings_own_system_is_no_reason_to_wait_or_to_miscount() {
    let (open, opens) = channel();
    let seen = Arc::new(AtomicU64::new(0));
    let gate = Gate { opens: Arc::new(Mutex::new(opens)), stops: true, seen: Arc::clone(&seen) };
    let handle = Monitoring::builder().observer(Box::new(gate)).start().unwrap();
    publish(&handle, 0..1_000);
    drop(open);
    block_on(handle.census().empty());
    let report = block_on(handle.shutdown(NEVER));
    assert_eq!(report.events_handled, seen.load(Ordering::Acquire), "{report:?}");
    assert_eq!((report.complete, report.events_handled + report.events_cut), (false, 1_000), "{report:?}");
}

#[test]
fn what_a_deadline_cuts_stays_cut() {
    let seen = Arc::new(AtomicU64::new(0));
    let (open, opens) = channel();
    let gate = Gate { opens: Arc::new(Mutex::new(opens)), stops: false, seen: Arc::clone(&seen) };
    let builder = Monitoring::builder().dead_letters_max(10_000);
    let handle = builder.observer(Box::new(gate)).start().unwrap();
    publish(&handle, 0..10_000);
    let report = block_on(handle.shutdown(Duration::from_millis(1)));
    assert_eq!((report.complete, report.events_handled, report.events_cut), (false, 0, 10_000));
    drop(open);
    block_on(handle.census().empty());
    // What was in hand was handled after all; the others are dead letters.
    let report = block_on(handle.shutdown(NEVER));
    assert_eq!((report.complete, report.events_handled), (false, seen.load(Ordering::Acquire)), "{report:?}");
    assert_eq!((report.events_handled + report.events_cut, report.actors_left), (10_000, 0), "{report:?}");
    assert_eq!(handle.dead_letters().len() as u64, report.events_cut);
}
