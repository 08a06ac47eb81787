//! Behaviour of a whole monitor.

mod budget;
mod combination;
mod comparison;
mod ids;
mod time;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use visu_tility_drift::codec::{DecodeError, Reader, put_u64};
use visu_tility_drift::{CentroidShiftParams, DistributionShiftParams, Level, MedianShiftParams};

use super::*;
use crate::{
    AlertPhase, ChangeObserver, DistributionObserver, DriftDetector, EmbeddingObserver, EventOrder,
    MetricObserver, ObserverAction, ObserverError, PerformanceDegrader, Reaction, Rule, Severity,
    StalenessObserver, ValueRange,
};

fn id() -> ModelId {
    ModelId::new("digits").unwrap()
}

fn second(s: i64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000_000_000 + s * 1_000_000)
}

fn event(kind: &MetricKind, version: &str, s: i64, value: f64) -> MetricEvent {
    let event = MetricEvent::new("digits", kind.clone(), value).unwrap();
    event.with_version(version).unwrap().at(second(s)).unwrap()
}

fn monitor(plan: MonitorPlan) -> ModelMonitor {
    ModelMonitor::new(id(), Arc::new(plan))
}

fn floor() -> MonitorPlan {
    MonitorPlan::empty().with_observer(Box::new(PerformanceDegrader::new(0.85).unwrap())).unwrap()
}

/// Feeds values a second apart; returns (second, action, level) of each record.
fn feed(monitor: &mut ModelMonitor, kind: &MetricKind, values: &[f64]) -> Vec<(i64, String, Level)> {
    let mut seen = Vec::new();
    for (s, value) in values.iter().enumerate() {
        for record in monitor.observe(&event(kind, "1", s as i64, *value), s as u64) {
            let phase = match &record.action {
                ObserverAction::Alert(alert) => format!("alert {}", alert.phase),
                action => action.as_str().to_owned(),
            };
            seen.push((s as i64, phase, record.level));
        }
    }
    seen
}

#[test]
fn a_model_below_its_floor_asks_once_and_not_once_per_event() {
    let seen =
        feed(&mut monitor(floor()), &MetricKind::Accuracy, &[0.9, 0.7, 0.7, 0.7, 0.7, 1.0, 1.0, 1.0, 0.1]);
    if cfg!(feature = "automated_retraining") {
        let wanted = [(2, "retrain".to_owned(), Level::Drift), (8, "retrain".to_owned(), Level::Drift)];
        assert_eq!(seen, wanted);
    } else {
        let alert = |s, phase: &str, level| (s, format!("alert {phase}"), level);
        let wanted = [
            alert(2, "firing", Level::Drift),
            alert(7, "resolved", Level::Normal),
            alert(8, "firing", Level::Drift),
        ];
        assert_eq!(seen, wanted);
    }
}

#[test]
fn the_key_of_an_alert_outlives_episodes_and_restarts() {
    let plan = MonitorPlan::empty().with_observer(Box::new(DriftDetector::default())).unwrap();
    let keys: Vec<String> = (0..2)
        .flat_map(|_| {
            let mut monitor = monitor(plan.clone());
            let steps = [0.5, 0.1, 0.5].into_iter().enumerate();
            steps
                .flat_map(|(s, x)| {
                    monitor.observe(&event(&MetricKind::DriftScore, "1", s as i64, x), s as u64)
                })
                .filter_map(|record| match record.action {
                    ObserverAction::Alert(alert) => Some(alert.dedup_key),
                    _ => None,
                })
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(keys.len(), 6);
    assert!(keys.iter().all(|key| key == &keys[0]));
}

#[test]
fn late_events_are_taken_too_late_ones_are_not() {
    let mut monitor = monitor(floor());
    let accuracy = MetricKind::Accuracy;
    let mut offer = |s, x| {
        let mut out = Vec::new();
        let key = monitor.admit(&Version::unversioned(), &accuracy, &mut out).unwrap();
        let admission =
            monitor.observe_reading(key, &Reading { at: second(s), value: x, offset: 0 }, &mut out);
        (admission, monitor.status().taken)
    };
    assert_eq!(offer(1000, 0.9), (Admission::Taken, 1));
    assert_eq!(offer(1000, 0.9), (Admission::Taken, 2), "one instant may hold several values");
    assert_eq!(offer(998, 0.9), (Admission::Late, 3));
    assert_eq!(offer(700, 0.9), (Admission::Late, 4));
    assert_eq!(offer(699, 0.9), (Admission::TooLate, 4));
}

#[test]
fn a_clock_set_back_is_noticed_after_eight_events() {
    let mut monitor = monitor(floor());
    monitor.observe(&event(&MetricKind::Accuracy, "1", 100_000, 0.9), 0);
    for s in 0..20 {
        monitor.observe(&event(&MetricKind::Accuracy, "1", s, 0.9), 0);
    }
    let status = monitor.status();
    assert_eq!((status.too_late, status.back_steps, status.taken), (7, 1, 1 + 13));
    assert_eq!(status.series[0].newest, Some(second(19)));
}

#[test]
fn rising_times_can_be_asked_for() {
    let events = crate::EventPolicy { order: EventOrder::Strict, ..crate::EventPolicy::default() };
    let mut monitor = monitor(floor().with_events(events).unwrap());
    for s in [1, 2, 2, 1, 3] {
        monitor.observe(&event(&MetricKind::Accuracy, "1", s, 0.9), 0);
    }
    let status = monitor.status();
    assert_eq!((status.taken, status.repeated), (3, 2));
}

#[test]
fn each_version_is_watched_by_itself_and_the_oldest_gives_way() {
    let mut monitor = monitor(floor());
    monitor.observe(&event(&MetricKind::Accuracy, "v0", 0, 0.1), 0);
    for v in 1..8 {
        monitor.observe(&event(&MetricKind::Accuracy, &format!("v{v}"), v, 0.9), v as u64);
    }
    assert_eq!((monitor.status().series.len(), monitor.alerts_out()), (8, 1));
    let records = monitor.observe(&event(&MetricKind::Accuracy, "v8", 8, 0.9), 8);
    let status = monitor.status();
    assert_eq!((status.series.len(), status.versions_evicted, monitor.alerts_out()), (8, 1, 0));
    assert!(status.series.iter().all(|series| series.version.as_str() != "v0"));
    assert_eq!(records.len(), usize::from(!cfg!(feature = "automated_retraining")), "an alert is resolved");
}

#[test]
fn pairs_of_version_and_kind_are_bounded() {
    let events = crate::EventPolicy { series_max: 3, ..crate::EventPolicy::default() };
    let mut monitor = monitor(floor().with_events(events).unwrap());
    for i in 0..5 {
        monitor.observe(&event(&MetricKind::feature(format!("f{i}")).unwrap(), "1", i, 0.0), 0);
    }
    assert_eq!(monitor.status().series.len(), 3);
    let refused = monitor.admit(&Version::unversioned(), &MetricKind::F1, &mut Vec::new());
    assert_eq!(refused, Err(IngestError::Limit { limit: "series_max".into(), max: 3 }));
}

#[test]
fn silence_fires_by_time_alone_and_is_over_with_the_next_event() {
    let stale = StalenessObserver::after(Duration::from_mins(1)).unwrap();
    let mut monitor = monitor(MonitorPlan::empty().with_observer(Box::new(stale)).unwrap());
    monitor.observe(&event(&MetricKind::Accuracy, "1", 0, 0.9), 3);
    assert_eq!(monitor.next_deadline(), Some(second(60)));
    let mut out = Vec::new();
    monitor.tick(second(59), &mut out);
    assert!(out.is_empty());
    monitor.tick(second(61), &mut out);
    assert_eq!((out.len(), out[0].statistic, out[0].kind.clone()), (1, 61.0, None));
    monitor.tick(second(500), &mut out);
    assert_eq!(out.len(), 1, "one alert for one silence");
    let over = monitor.observe(&event(&MetricKind::Accuracy, "1", 501, 0.9), 4);
    assert!(matches!(&over[0].action, ObserverAction::Alert(alert) if alert.phase == AlertPhase::Resolved));
    assert_eq!(monitor.next_deadline(), Some(second(561)));
}

#[test]
fn it_makes_no_difference_who_lets_time_pass() {
    let stale = StalenessObserver::after(Duration::from_mins(1)).unwrap();
    let plan = MonitorPlan::empty().with_observer(Box::new(stale)).unwrap();
    let (mut ticked, mut alone) = (monitor(plan.clone()), monitor(plan));
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for (offset, s) in [0, 10, 200, 210, 900].into_iter().enumerate() {
        while let Some(due) = ticked.next_deadline().filter(|due| *due <= second(s)) {
            ticked.tick(due, &mut a);
        }
        let event = event(&MetricKind::Accuracy, "1", s, 0.9);
        a.extend(ticked.observe(&event, offset as u64));
        b.extend(alone.observe(&event, offset as u64));
    }
    assert_eq!((a.len(), &a), (4, &b));
}

#[test]
fn silence_between_two_events_is_told_before_the_second() {
    let stale = StalenessObserver::after(Duration::from_mins(1)).unwrap();
    let mut monitor = monitor(MonitorPlan::empty().with_observer(Box::new(stale)).unwrap());
    monitor.observe(&event(&MetricKind::Accuracy, "1", 0, 0.9), 0);
    let records = monitor.observe(&event(&MetricKind::Accuracy, "1", 100, 0.9), 1);
    let phases: Vec<_> = records
        .iter()
        .map(|record| match &record.action {
            ObserverAction::Alert(alert) => (record.id.offset, alert.phase),
            _ => panic!("an alert"),
        })
        .collect();
    assert_eq!(phases, [(0, AlertPhase::Firing), (1, AlertPhase::Resolved)]);
}

/// Alerts on every value at or above 10; panics on 13, fails on 12; counts what it saw.
#[derive(Clone, Default)]
struct Touchy {
    seen: u64,
    calls: Arc<AtomicU64>,
}

impl MetricObserver for Touchy {
    fn name(&self) -> &'static str {
        "touchy"
    }
    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.seen += 1;
        let value = event.value().unwrap_or(0.0);
        assert!(value != 13.0, "thirteen");
        if value == 12.0 {
            return Err(ObserverError::Internal("twelve".into()));
        }
        if value >= 10.0 {
            return Ok(ObserverAction::alert(Severity::Critical, format!("{value} after {}", self.seen)));
        }
        Ok(ObserverAction::NoOp)
    }
    fn write_state(&self, out: &mut Vec<u8>) {
        put_u64(out, self.seen);
    }
    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.seen = bytes.u64()?;
        bytes.finish()
    }
}

#[derive(Clone)]
struct Second;

impl MetricObserver for Second {
    fn name(&self) -> &'static str {
        "second"
    }
    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        let hit = event.value() == Some(13.0);
        Ok(if hit { ObserverAction::alert(Severity::Info, "thirteen") } else { ObserverAction::NoOp })
    }
}

/// Feeds under `catch_unwind` as the runtime does; returns the records and who panicked.
fn survive(monitor: &mut ModelMonitor, values: &[f64]) -> (Vec<ActionRecord>, Vec<Casualty>) {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    let (mut out, mut casualties) = (Vec::new(), Vec::new());
    let kind = MetricKind::custom("x").unwrap();
    let key = monitor.admit(&Version::unversioned(), &kind, &mut out).unwrap();
    for (s, value) in values.iter().enumerate() {
        let reading = Reading { at: second(s as i64), value: *value, offset: s as u64 };
        let mut fine =
            catch_unwind(AssertUnwindSafe(|| monitor.observe_reading(key, &reading, &mut out))).is_ok();
        while !fine {
            match catch_unwind(AssertUnwindSafe(|| monitor.recover())) {
                Ok(casualty) => casualties.extend(casualty),
                Err(_) => continue,
            }
            fine = catch_unwind(AssertUnwindSafe(|| monitor.resume(&mut out))).is_ok();
        }
    }
    (out, casualties)
}

#[test]
fn a_panic_costs_one_observer_one_event() {
    let plan = MonitorPlan::empty()
        .with_observer(Box::new(Touchy::default()))
        .unwrap()
        .with_observer(Box::new(Second))
        .unwrap();
    let mut values: Vec<f64> = (0..100).map(|i| f64::from(i % 7)).collect();
    values[50] = 13.0;
    values[99] = 10.0;
    let mut with = monitor(plan.clone());
    let (out, casualties) = survive(&mut with, &values);
    assert_eq!(casualties, [Casualty { observer: "touchy".into(), restored: true, on_tick: false }]);
    let summaries: Vec<_> = out
        .iter()
        .filter_map(|record| match &record.action {
            ObserverAction::Alert(alert) if alert.phase == AlertPhase::Firing => Some(alert.summary.as_str()),
            _ => None,
        })
        .collect();
    // The second observer saw the poison; the first has seen the 99 others.
    assert_eq!(summaries, ["thirteen", "10 after 99"]);
    values.remove(50);
    let (_, none) = survive(&mut monitor(plan), &values);
    assert!(none.is_empty());
}

#[test]
fn a_failure_is_counted_and_changes_no_alert() {
    let plan = MonitorPlan::empty().with_observer(Box::new(Touchy::default())).unwrap();
    let mut monitor = monitor(plan);
    let (out, _) = survive(&mut monitor, &[11.0, 12.0, 11.0, 1.0]);
    assert_eq!(out.len(), 2, "fired once, resolved once");
    assert_eq!(monitor.status().observer_failures, 1);
}

#[test]
fn a_reload_keeps_what_stays_and_resolves_what_goes() {
    let drift = DriftDetector::default();
    let plan = floor().with_observer(Box::new(drift.clone())).unwrap();
    let mut monitor = monitor(plan);
    monitor.observe(&event(&MetricKind::DriftScore, "1", 0, 0.9), 0);
    monitor.observe(&event(&MetricKind::Accuracy, "1", 0, 0.9), 1);
    let mut out = Vec::new();
    let mut renamed = Rule::new("drift-score", drift.builtin().unwrap()).unwrap();
    renamed.severity = Severity::Critical;
    monitor.reload(Arc::new(MonitorPlan::empty().with_rule(renamed).unwrap()), &mut out);
    assert!(out.is_empty(), "the alert stays out: {out:?}");
    assert_eq!((monitor.alerts_out(), monitor.status().series[1].observers.len()), (1, 0));
    monitor.reload(Arc::new(floor()), &mut out);
    assert_eq!((out.len(), out[0].action.as_str(), monitor.alerts_out()), (1, "alert", 0));
}

#[test]
fn an_observer_that_a_reload_adds_sees_the_series_that_exist() {
    let mut monitor = monitor(floor());
    let kind = MetricKind::custom("x").unwrap();
    monitor.observe(&event(&kind, "1", 0, 1.0), 0);
    let plan = floor().with_observer(Box::new(Touchy::default())).unwrap();
    monitor.reload(Arc::new(plan), &mut Vec::new());
    assert_eq!(monitor.observe(&event(&kind, "1", 1, 11.0), 1).len(), 1);
    monitor.reload(Arc::new(floor()), &mut Vec::new());
    assert_eq!(monitor.observe(&event(&kind, "1", 2, 11.0), 2).len(), 0);
}

#[test]
fn a_reset_forgets_and_resolves() {
    let mut monitor = monitor(MonitorPlan::default());
    monitor.observe(&event(&MetricKind::DriftScore, "1", 0, 0.9), 0);
    let mut out = Vec::new();
    monitor.reset(&mut out);
    assert_eq!((out.len(), monitor.status().series.len(), monitor.status().taken), (1, 0, 0));
}

#[derive(Clone)]
struct AfraidOfVectors;

impl MetricObserver for AfraidOfVectors {
    fn name(&self) -> &'static str {
        "afraid"
    }
    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        assert!(event.vector().is_none(), "a vector");
        Ok(ObserverAction::alert(Severity::Info, format!("{:?}", event.value())))
    }
}

#[test]
fn a_reset_after_a_panic_forgets_the_vector_too() {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    let plan = MonitorPlan::empty().with_observer(Box::new(AfraidOfVectors)).unwrap();
    let mut monitor = monitor(plan);
    let vector = MetricEvent::embedding("digits", "text", [0.5_f32]).unwrap().at(second(0)).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| monitor.observe(&vector, 0))).is_err());
    monitor.reset(&mut Vec::new());
    assert_eq!(monitor.observe(&event(&MetricKind::Accuracy, "1", 1, 0.5), 1).len(), 1);
}

#[test]
fn damaged_snapshots_are_refused() {
    let plan = Arc::new(MonitorPlan::default());
    let mut monitor = ModelMonitor::new(id(), plan.clone());
    for s in 0..100 {
        monitor.observe(&event(&MetricKind::Correct, "1", s, 1.0), s as u64);
        monitor.observe(&event(&MetricKind::LatencyMs, "1", s, 3.0), s as u64);
    }
    let bytes = monitor.snapshot();
    for cut in 0..bytes.len() {
        assert!(ModelMonitor::restore(id(), plan.clone(), &bytes[..cut]).is_err(), "{cut}");
    }
    let other = ModelMonitor::restore(ModelId::new("x").unwrap(), plan.clone(), &bytes);
    assert_eq!(other.unwrap_err(), RestoreError::OtherModel { found: "digits".into() });
    let mut newer = bytes.clone();
    newer[0] = 5;
    assert!(ModelMonitor::restore(id(), plan.clone(), &newer).unwrap_err().to_string().contains("version 5"));
    assert_eq!(ModelMonitor::restore(id(), plan, &bytes).unwrap().snapshot(), bytes);
}

/// A plan with every check, waits included.
fn everything() -> MonitorPlan {
    let mut plan = MonitorPlan::default();
    let mut slow = Rule::new("slow", DriftDetector::default().builtin().unwrap()).unwrap();
    slow.persistence.for_time = Duration::from_secs(5);
    slow.persistence.for_count = 2;
    slow.persistence.keep_firing = Duration::from_secs(7);
    plan = plan.with_rule(slow).unwrap();
    plan = plan
        .with_rule(Rule::new("floor", PerformanceDegrader::new(0.5).unwrap().builtin().unwrap()).unwrap())
        .unwrap();
    let always = ChangeObserver::new(MedianShiftParams::default()).unwrap().builtin().unwrap();
    plan = plan.with_rule(Rule::new("shift", always).unwrap()).unwrap();
    let small = DistributionShiftParams { reference: 50, window: 10, ..DistributionShiftParams::default() };
    let windows = DistributionObserver::new(small).unwrap();
    let version = Version::new("v1").unwrap();
    let borrowed = windows.clone().against_version(version).budgeted();
    plan = plan.with_rule(Rule::new("windows", windows.builtin().unwrap()).unwrap()).unwrap();
    plan = plan.with_rule(Rule::new("borrowed", borrowed.builtin().unwrap()).unwrap()).unwrap();
    let small = CentroidShiftParams { reference: 40, window: 10, ..CentroidShiftParams::default() };
    let centroid = EmbeddingObserver::centroid(small).unwrap().budgeted();
    plan = plan.with_rule(Rule::new("centroid", centroid.builtin().unwrap()).unwrap()).unwrap();
    plan.with_observer(Box::new(Touchy::default())).unwrap()
}

fn any_event() -> impl Strategy<Value = (usize, u8, i64, f64)> {
    (0usize..7, 0u8..3, -3i64..40, prop_oneof![8 => 0.0..1.0f64, 1 => Just(1.0), 1 => Just(f64::NAN)])
}

proptest! {
    #[test]
    fn a_snapshot_anywhere_changes_nothing(events in prop::collection::vec(any_event(), 1..300), cut in 0usize..300) {
        let kinds = [
            MetricKind::Accuracy, MetricKind::DriftScore, MetricKind::Correct, MetricKind::LatencyMs,
            MetricKind::feature("ink").unwrap(), MetricKind::custom("own").unwrap(),
            MetricKind::embedding("text").unwrap(),
        ];
        let plan = Arc::new(everything());
        let mut whole = ModelMonitor::new(id(), plan.clone());
        let mut cut_up = ModelMonitor::new(id(), plan.clone());
        // So many that the references of one version are there, and the next ones may ask for them.
        for s in -200_i64..-130 {
            let ink = event(&kinds[4], "v1", s, (s * s % 17) as f64 / 17.0);
            let text = MetricEvent::embedding("digits", "text", [(s * s % 13) as f32, (s % 7) as f32, 0.0]).unwrap();
            let text = text.with_version("v1").unwrap().at(second(s)).unwrap();
            for event in [ink, text] {
                prop_assert_eq!(whole.observe(&event, 0), cut_up.observe(&event, 0));
            }
        }
        let mut now = 0;
        for (offset, (kind, version, step, value)) in events.into_iter().enumerate() {
            if offset == cut {
                cut_up = ModelMonitor::restore(id(), plan.clone(), &cut_up.snapshot()).unwrap();
            }
            now += step;
            let value = (!value.is_nan()).then_some(value);
            let version = Version::new(format!("v{version}")).unwrap();
            let (kind, at) = (kinds[kind].clone(), Some(second(now)));
            let event = match value {
                Some(value) if kind.range() == ValueRange::Vector => {
                    let vector = vec![value as f32, (value * 37.0 % 1.0) as f32, if value < 0.9 { 0.0 } else { 1.0 }];
                    MetricEvent::from_vector(id(), version, kind, at, vector.into()).unwrap()
                }
                value => MetricEvent::from_parts(id(), version, kind, at, value).unwrap(),
            };
            prop_assert_eq!(whole.observe(&event, offset as u64), cut_up.observe(&event, offset as u64));
        }
        prop_assert_eq!(whole.snapshot(), cut_up.snapshot());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0usize..60_000) {
        let plan = Arc::new(everything());
        let _ = ModelMonitor::restore(id(), plan.clone(), &bytes);
        let mut monitor = ModelMonitor::new(id(), plan.clone());
        for s in 0..60 {
            monitor.observe(&event(&MetricKind::Correct, "1", s, 1.0), s as u64);
            monitor.observe(&event(&MetricKind::Confidence, "v1", s, (s as f64 * 0.37) % 1.0), s as u64);
            let text = MetricEvent::embedding("digits", "text", [s as f32, (s % 7) as f32]).unwrap();
            monitor.observe(&text.at(second(s)).unwrap(), s as u64);
        }
        let mut good = monitor.snapshot();
        let at = at % good.len();
        for (place, byte) in good.iter_mut().skip(at).zip(bytes) {
            *place ^= byte;
        }
        let _ = ModelMonitor::restore(id(), plan, &good);
    }
}
