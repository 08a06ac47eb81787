//! Rows of the tables in docs/semantics.md that nothing else asks: ways in that lose silently or not, and clocks.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix::dev::SendError;
use visu_tility_actors::{ManualClock, Monitoring, MonitoringHandle};
use visu_tility_core::{
    EventOrder, EventPolicy, MetricEvent, MetricKind, MonitorPlan, MonitorStatus, Timestamp,
};

use crate::world::{accuracy, end, monitoring, pass, world};

async fn monitor(handle: &MonitoringHandle, model: &str) -> MonitorStatus {
    handle.flush().await.unwrap();
    handle.model_status(model).await.unwrap().monitor.unwrap()
}

#[test]
fn an_address_that_does_not_wait_says_that_its_mailbox_is_full_and_what_it_took_is_handled() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        let supervisor = handle.supervisor();
        let mut taken = 0;
        let refused = loop {
            match supervisor.try_send(accuracy("m", 0.9, taken)) {
                Ok(()) => taken += 1,
                Err(refused) => break refused,
            }
            assert!(taken < 100, "the mailbox is not bounded");
        };
        assert!(matches!(refused, SendError::Full(_)));
        assert!(taken >= 16, "{taken}");
        drop(supervisor);
        assert_eq!(monitor(&handle, "m").await.taken, taken as u64);
        end(handle).await;
    });
}

#[test]
fn an_event_whose_sender_stops_waiting_before_it_is_handled_is_withdrawn() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        let supervisor = handle.supervisor();
        let mut first = Box::pin(supervisor.send(accuracy("m", 0.9, 0)));
        let mut second = Box::pin(supervisor.send(accuracy("m", 0.9, 1)));
        // Both are in the mailbox; the shard does not run until this test waits for something.
        for request in [&mut first, &mut second] {
            assert!(poll_fn(|cx| Poll::Ready(request.as_mut().poll(cx))).await.is_pending());
        }
        drop(first);
        assert_eq!(second.await.unwrap().unwrap().first_offset, 0, "it is the only one");
        assert_eq!(monitor(&handle, "m").await.taken, 1);
        drop(supervisor);
        end(handle).await;
    });
}

#[test]
fn what_is_sent_without_an_answer_when_monitoring_has_ended_is_gone_and_who_waits_is_told() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        let supervisor = handle.supervisor();
        handle.publish(accuracy("m", 0.9, 0)).await.unwrap();
        let report = handle.shutdown(Duration::from_mins(1)).await;
        assert_eq!((report.complete, report.events_handled), (true, 1));
        supervisor.do_send(accuracy("m", 0.9, 1));
        assert!(supervisor.send(accuracy("m", 0.9, 2)).await.is_err(), "nobody is there");
        drop(supervisor);
        end(handle).await;
    });
}

/// The clock at a second of event time.
fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(accuracy("m", 0.9, 0).ts().unwrap().micros() + second * 1_000_000)
}

#[test]
fn behind_an_event_from_ahead_strict_order_leaves_out_what_comes_until_then_and_no_more() {
    world(|| async {
        let clock = Arc::new(ManualClock::new(at(0)));
        let plan = MonitorPlan::default();
        let policy = EventPolicy { order: EventOrder::Strict, ..*plan.events() };
        let builder = Monitoring::builder().plan(plan.with_events(policy).unwrap()).arbiters(0);
        let handle = builder.clock(clock.clone()).start().unwrap();
        handle.publish(accuracy("m", 0.9, 30)).await.unwrap();
        for second in 1..=40 {
            clock.set(at(second));
            handle.publish(accuracy("m", 0.9, second)).await.unwrap();
        }
        let monitor = monitor(&handle, "m").await;
        assert_eq!((monitor.taken, monitor.repeated, monitor.too_late), (11, 30, 0));
        end(handle).await;
    });
}

#[test]
fn an_old_event_as_the_first_of_its_series_is_taken_and_so_are_those_that_follow_it() {
    world(|| async {
        let clock = Arc::new(ManualClock::new(at(0)));
        let handle = Monitoring::builder().arbiters(0).clock(clock).start().unwrap();
        for second in [-86_400 * 365, -86_400 * 365 + 1, 0] {
            handle.publish(accuracy("m", 0.9, second)).await.unwrap();
        }
        let monitor = monitor(&handle, "m").await;
        assert_eq!((monitor.taken, monitor.late, monitor.too_late), (3, 0, 0));
        end(handle).await;
    });
}

#[test]
fn behind_a_clock_that_was_set_forward_events_with_times_of_their_own_are_too_late_until_eight_came() {
    world(|| async {
        let clock = Arc::new(ManualClock::new(at(0)));
        let handle = Monitoring::builder().arbiters(0).clock(clock.clone()).start().unwrap();
        let without_a_time = || MetricEvent::new("m", MetricKind::Accuracy, 0.9).unwrap();
        handle.publish(without_a_time()).await.unwrap();
        clock.set(at(3_600));
        pass(Duration::from_secs(1)).await;
        handle.publish(without_a_time()).await.unwrap();
        // Its time is that of the clock; publishers that are right are an hour behind it.
        for second in 1..=8 {
            handle.publish(accuracy("m", 0.9, second)).await.unwrap();
        }
        let monitor = monitor(&handle, "m").await;
        assert_eq!((monitor.taken, monitor.too_late, monitor.back_steps), (3, 7, 1));
        end(handle).await;
    });
}
