//! Behaviour of a whole monitor where time and change meet: each of these was once wrong.

use std::sync::Arc;
use std::time::Duration;

use super::super::*;
use super::{event, floor, id, monitor, second};
use crate::{
    AlertPhase, DriftDetector, EventOrder, EventPolicy, Glob, LatencyObserver, MetricObserver,
    ObserverAction, ObserverError, Reaction, Rule, Severity, StalenessObserver,
};

fn stale(seconds: u64) -> MonitorPlan {
    let stale = StalenessObserver::after(Duration::from_secs(seconds)).unwrap();
    MonitorPlan::empty().with_observer(Box::new(stale)).unwrap()
}

fn phases(records: &[ActionRecord]) -> Vec<AlertPhase> {
    let alerts = records.iter().filter_map(|record| match &record.action {
        ObserverAction::Alert(alert) => Some(alert.phase),
        _ => None,
    });
    alerts.collect()
}

#[test]
fn a_limit_that_becomes_shorter_moves_the_deadline() {
    let mut monitor = monitor(MonitorPlan::default());
    for minute in 0..=24 * 60 {
        monitor.observe(&event(&MetricKind::Throughput, "1", minute * 60, 5.0), 0);
    }
    // After a day without pauses it is ten minutes and no longer a day and a half.
    let due = second(24 * 3_600).plus(Duration::from_secs(601));
    assert!(monitor.next_deadline().is_some_and(|deadline| deadline <= due));
    let mut out = Vec::new();
    monitor.tick(due, &mut out);
    assert_eq!(phases(&out), [AlertPhase::Firing]);
}

#[test]
fn a_series_that_runs_behind_makes_no_silence() {
    let mut monitor = monitor(stale(60));
    let mut records = Vec::new();
    for step in 0..20 {
        records.extend(monitor.observe(&event(&MetricKind::Accuracy, "2", 300 + step * 30, 0.9), 0));
        records.extend(monitor.observe(&event(&MetricKind::Accuracy, "1", 60 + step * 30, 0.9), 0));
    }
    assert_eq!(records, []);
}

#[derive(Clone)]
struct TickBomb;

impl MetricObserver for TickBomb {
    fn name(&self) -> &'static str {
        "tick-bomb"
    }
    fn on_metric(&mut self, _: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        Ok(ObserverAction::NoOp)
    }
    fn on_tick(&mut self, _: Timestamp) -> Result<ObserverAction, ObserverError> {
        panic!("tick");
    }
}

#[test]
fn a_panic_on_a_tick_does_not_cost_the_reading_behind_it() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    let plan = MonitorPlan::empty().with_observer(Box::new(DriftDetector::default())).unwrap();
    let mut monitor = monitor(plan.with_observer(Box::new(TickBomb)).unwrap());
    let mut out = Vec::new();
    let key = monitor.admit(&Version::unversioned(), &MetricKind::DriftScore, &mut out).unwrap();
    for (offset, (s, value)) in [(0, 0.1), (61, 0.9)].into_iter().enumerate() {
        let reading = Reading { at: second(s), value, offset: offset as u64 };
        let mut fine =
            catch_unwind(AssertUnwindSafe(|| monitor.observe_reading(key, &reading, &mut out))).is_ok();
        while !fine {
            assert!(monitor.recover().is_some());
            fine = catch_unwind(AssertUnwindSafe(|| monitor.resume(&mut out))).is_ok();
        }
    }
    assert_eq!((phases(&out), monitor.taken()), (vec![AlertPhase::Firing], 2));
}

/// Counts its ticks.
#[derive(Clone)]
struct Ticks(Arc<std::sync::atomic::AtomicU64>);

impl MetricObserver for Ticks {
    fn name(&self) -> &'static str {
        "ticks"
    }
    fn on_metric(&mut self, _: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        Ok(ObserverAction::NoOp)
    }
    fn on_tick(&mut self, _: Timestamp) -> Result<ObserverAction, ObserverError> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(ObserverAction::NoOp)
    }
}

#[test]
fn a_gap_of_decades_is_an_hour_of_ticks() {
    let ticks = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut monitor = monitor(MonitorPlan::empty().with_observer(Box::new(Ticks(ticks.clone()))).unwrap());
    let at = |days: i64| Timestamp::from_micros(days * 86_400_000_000);
    for days in [0, 20_000] {
        let event = MetricEvent::new("digits", MetricKind::Accuracy, 0.9).unwrap().at(at(days)).unwrap();
        monitor.observe(&event, 0);
    }
    assert_eq!(ticks.load(std::sync::atomic::Ordering::Relaxed), 60);
    assert!(monitor.next_deadline().is_some(), "and from the second event on they come again");
}

fn drift_rule(response: Reaction) -> MonitorPlan {
    let mut rule = Rule::new("drift", DriftDetector::default().builtin().unwrap()).unwrap();
    rule.response = response;
    MonitorPlan::empty().with_rule(rule).unwrap()
}

#[test]
fn an_alert_does_not_stay_out_when_a_reload_makes_its_rule_tell_nobody() {
    let mut monitor = monitor(drift_rule(Reaction::Alert));
    monitor.observe(&event(&MetricKind::DriftScore, "1", 0, 0.9), 0);
    let mut out = Vec::new();
    monitor.reload(Arc::new(drift_rule(Reaction::Record)), &mut out);
    assert_eq!((phases(&out), monitor.alerts_out()), (vec![AlertPhase::Resolved], 0));
}

#[test]
fn a_snapshot_of_any_score_is_read_back() {
    let mut rule = Rule::new("score", DriftDetector::default().builtin().unwrap()).unwrap();
    rule.scope.kinds = vec![Glob::new("Feature:*")];
    let plan = Arc::new(MonitorPlan::empty().with_rule(rule).unwrap());
    let mut monitor = ModelMonitor::new(id(), plan.clone());
    monitor.observe(&event(&MetricKind::feature("x").unwrap(), "1", 0, -1.0), 0);
    assert!(ModelMonitor::restore(id(), plan, &monitor.snapshot()).is_ok());
}

#[test]
fn a_rule_whose_window_shrank_starts_afresh_and_the_model_does_not() {
    let plan = |window| {
        let latency = LatencyObserver::default().with_window(window, 5).unwrap();
        let rule = Rule::new("latency", latency.builtin().unwrap()).unwrap();
        Arc::new(floor().with_rule(rule).unwrap())
    };
    let mut monitor = ModelMonitor::new(id(), plan(100));
    for s in 0..90 {
        monitor.observe(&event(&MetricKind::LatencyMs, "1", s, 5.0), 0);
        monitor.observe(&event(&MetricKind::Accuracy, "1", s, 0.9), 0);
    }
    let restored = ModelMonitor::restore(id(), plan(20), &monitor.snapshot()).unwrap();
    assert_eq!(restored.taken(), 180);
}

#[test]
fn a_snapshot_after_a_clock_set_back_changes_nothing() {
    let plan = Arc::new(drift_rule(Reaction::Alert));
    let mut whole = ModelMonitor::new(id(), plan.clone());
    whole.observe(&event(&MetricKind::DriftScore, "1", 3_600, 0.1), 0);
    let mut copy = ModelMonitor::restore(id(), plan, &whole.snapshot()).unwrap();
    for s in 0..8 {
        let event = event(&MetricKind::DriftScore, "1", s, 0.9);
        assert_eq!(whole.observe(&event, s as u64), copy.observe(&event, s as u64));
    }
}

#[test]
fn strict_order_keeps_out_whatever_is_sent_again() {
    let events = EventPolicy { order: EventOrder::Strict, ..EventPolicy::default() };
    let mut monitor = monitor(floor().with_events(events).unwrap());
    for s in (0..1_000).chain(0..600) {
        monitor.observe(&event(&MetricKind::Accuracy, "1", s, 0.9), 0);
    }
    assert_eq!(monitor.taken(), 1_000);
}

/// Answers an alert, a worse alert, a retrain, and nothing, by value.
#[derive(Clone)]
struct Escalating;

impl MetricObserver for Escalating {
    fn name(&self) -> &'static str {
        "escalating"
    }
    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        Ok(match event.value() {
            Some(1.0) => ObserverAction::alert(Severity::Warning, "bad"),
            Some(2.0) => ObserverAction::alert(Severity::Critical, "worse"),
            Some(3.0) => ObserverAction::retrain("worst"),
            _ => ObserverAction::NoOp,
        })
    }
}

#[test]
fn what_gets_worse_is_told_again() {
    let mut monitor = monitor(MonitorPlan::empty().with_observer(Box::new(Escalating)).unwrap());
    let kind = MetricKind::custom("x").unwrap();
    let steps = [1.0, 1.0, 2.0, 2.0, 1.0, 3.0, 3.0, 0.0].into_iter().enumerate();
    let told: Vec<(usize, String)> = steps
        .flat_map(|(s, value)| {
            let records = monitor.observe(&event(&kind, "1", s as i64, value), s as u64);
            records.into_iter().map(move |record| match record.action {
                ObserverAction::Alert(alert) => (s, format!("{} {}", alert.severity, alert.phase)),
                action => (s, action.as_str().to_owned()),
            })
        })
        .collect();
    let told: Vec<(usize, &str)> = told.iter().map(|(s, text)| (*s, text.as_str())).collect();
    if cfg!(feature = "automated_retraining") {
        let wanted =
            [(0, "warning firing"), (2, "critical firing"), (5, "retrain"), (7, "critical resolved")];
        assert_eq!(told, wanted);
    } else {
        // The wish for a retrain is an alert of its own.
        assert_eq!(told.len(), 5);
        assert_eq!(told[2], (5, "warning firing"));
    }
}

#[test]
fn staleness_looks_at_times_and_not_at_counts() {
    let mut plan = stale(60);
    let mut rule = plan.rules()[0].clone();
    rule.persistence.for_count = 2;
    plan = MonitorPlan::empty().with_rule(rule).unwrap();
    let mut monitor = monitor(plan);
    monitor.observe(&event(&MetricKind::Accuracy, "1", 0, 0.9), 0);
    let mut out = Vec::new();
    monitor.tick(second(61), &mut out);
    assert_eq!(phases(&out), [AlertPhase::Firing]);
}

/// Restored, a monitor knew its next deadline exactly where the one that lived on knew an earlier bound, so it let time pass
/// at other moments: the two made the same decisions, but their states were not the same bytes.
#[test]
fn a_monitor_that_is_restored_between_events_stays_the_same_to_the_last_bit() {
    let mut alone = monitor(stale(60));
    let mut broken = monitor(stale(60));
    let mut out = Vec::new();
    for (step, s) in (0..20).map(|step| step * 25).chain([700, 710, 900]).enumerate() {
        let event = event(&MetricKind::Accuracy, "1", s, 0.9);
        assert_eq!(alone.observe(&event, step as u64), broken.observe(&event, step as u64));
        broken = ModelMonitor::restore(id(), Arc::clone(broken.plan()), &broken.snapshot()).unwrap();
        assert_eq!(alone.snapshot(), broken.snapshot(), "after {s} s");
    }
    alone.tick(second(2_000), &mut out);
    assert_eq!(phases(&out), [AlertPhase::Firing]);
}
