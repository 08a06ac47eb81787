//! Distributions and vectors in a whole monitor: references of other versions, shares of the budget, kinds.

use visu_tility_drift::simulate::Random;

use super::*;
use crate::EventPolicy;

/// A rule `scores` with a reference of 100 values of `v1` and windows of 50.
fn borrowing() -> MonitorPlan {
    let small = DistributionShiftParams { reference: 100, window: 50, ..DistributionShiftParams::default() };
    let observer = DistributionObserver::new(small).unwrap().budgeted();
    let observer = observer.against_version(Version::new("v1").unwrap());
    let plan =
        MonitorPlan::empty().with_rule(Rule::new("scores", observer.builtin().unwrap()).unwrap()).unwrap();
    plan.with_events(EventPolicy { versions_max: 2, ..EventPolicy::default() }).unwrap()
}

/// Publishes `count` confidences of a version; returns the actions.
fn publish(
    monitor: &mut ModelMonitor,
    random: &mut Random,
    version: &str,
    count: i64,
    shift: f64,
) -> Vec<String> {
    let mut actions = Vec::new();
    for _ in 0..count {
        let now = monitor.status().taken as i64;
        let value = 0.5 * random.unit() + shift;
        let records = monitor.observe(&event(&MetricKind::Confidence, version, now, value), now as u64);
        actions.extend(records.into_iter().map(|record| match record.action {
            ObserverAction::Alert(alert) => format!("{}: {}", alert.phase, alert.summary),
            action => action.as_str().to_owned(),
        }));
    }
    actions
}

fn figure(monitor: &mut ModelMonitor, version: &str, name: &str) -> Option<f64> {
    let status = monitor.status();
    let series = status.series.iter().find(|series| series.version.as_str() == version)?;
    series.observers.first()?.figures.get(name).copied()
}

#[test]
fn a_version_is_held_against_the_first_values_of_another() {
    let (mut monitor, mut random) = (monitor(borrowing()), Random::new(11));
    // It asks after 1, 2, 4, ... 64 values, and there is nothing yet.
    assert_eq!(publish(&mut monitor, &mut random, "v2", 90, 0.4), Vec::<String>::new());
    assert_eq!(figure(&mut monitor, "v2", "waiting"), Some(90.0));
    assert_eq!(publish(&mut monitor, &mut random, "v1", 250, 0.0), Vec::<String>::new());
    assert_eq!(figure(&mut monitor, "v1", "windows"), Some(3.0), "it is held against its own");
    // Asked after 128 values; the 50 after that are the first window.
    assert_eq!(publish(&mut monitor, &mut random, "v2", 87, 0.4), Vec::<String>::new());
    assert_eq!(
        (figure(&mut monitor, "v2", "window_filled"), figure(&mut monitor, "v2", "reference_size")),
        (Some(49.0), Some(100.0))
    );
    let told = publish(&mut monitor, &mut random, "v2", 1, 0.4);
    assert_eq!(told.len(), 1);
    let wanted = "firing: Confidence of digits version v2 is distributed higher: distance ";
    assert!(told[0].starts_with(wanted), "{}", told[0]);
    assert_eq!(publish(&mut monitor, &mut random, "v2", 50, 0.4), Vec::<String>::new(), "told once");
    let told = publish(&mut monitor, &mut random, "v2", 50, 0.0);
    assert_eq!(told, ["resolved: Confidence of digits version v2 is well again (scores)"]);
}

#[test]
fn a_copied_reference_outlives_the_version_it_is_from_and_a_restart() {
    let plan = Arc::new(borrowing());
    let (mut monitor, mut random) = (ModelMonitor::new(id(), plan.clone()), Random::new(12));
    publish(&mut monitor, &mut random, "v1", 100, 0.0);
    publish(&mut monitor, &mut random, "v2", 20, 0.0);
    // v3 makes v1 give way before it has asked.
    publish(&mut monitor, &mut random, "v3", 300, 0.0);
    assert_eq!(monitor.status().versions_evicted, 1);
    assert_eq!(
        (figure(&mut monitor, "v3", "waiting"), figure(&mut monitor, "v3", "windows")),
        (Some(300.0), None)
    );
    let mut monitor = ModelMonitor::restore(id(), plan, &monitor.snapshot()).unwrap();
    assert_eq!(figure(&mut monitor, "v2", "reference_size"), Some(100.0));
    let told = publish(&mut monitor, &mut random, "v2", 50, 0.4);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(figure(&mut monitor, "v3", "waiting"), Some(300.0));
    // It is back, learns anew, and v2 (the longer silent is v3) keeps the copy that it has.
    publish(&mut monitor, &mut random, "v1", 100, 0.2);
    assert_eq!(figure(&mut monitor, "v1", "reference_size"), Some(100.0));
    assert_eq!(figure(&mut monitor, "v3", "waiting"), None, "it gave way");
    publish(&mut monitor, &mut random, "v2", 50, 0.0);
    assert_eq!(monitor.alerts_out(), 0, "well against the first v1");
}

#[test]
fn another_reference_in_the_plan_starts_afresh_after_a_restart() {
    let (mut monitor, mut random) = (monitor(borrowing()), Random::new(13));
    publish(&mut monitor, &mut random, "v1", 150, 0.0);
    publish(&mut monitor, &mut random, "v2", 20, 0.0);
    let small = DistributionShiftParams { reference: 100, window: 50, ..DistributionShiftParams::default() };
    let own = DistributionObserver::new(small).unwrap().budgeted();
    let plan = MonitorPlan::empty().with_rule(Rule::new("scores", own.builtin().unwrap()).unwrap()).unwrap();
    let mut restored = ModelMonitor::restore(id(), Arc::new(plan), &monitor.snapshot()).unwrap();
    assert_eq!(figure(&mut restored, "v2", "learning"), Some(0.0));
}

#[test]
fn vectors_reach_the_rules_of_vectors_and_share_the_budget() {
    let params = CentroidShiftParams { reference: 100, window: 50, ..CentroidShiftParams::default() };
    let centroid = EmbeddingObserver::centroid(params).unwrap().budgeted();
    let rule = Rule::new("texts", centroid.builtin().unwrap()).unwrap();
    let mut monitor = monitor(MonitorPlan::default().with_rule(rule).unwrap());
    let mut random = Random::new(14);
    let mut told = Vec::new();
    for s in 0..400_i64 {
        let mut vector = || {
            (0..3).map(|_| (random.normal() + f64::from(u8::from(s >= 300)) * 3.0) as f32).collect::<Vec<_>>()
        };
        let text = MetricEvent::embedding("digits", "text", vector()).unwrap().at(second(s)).unwrap();
        for record in monitor.observe(&text, s as u64) {
            told.push((s, record.id.observer.to_string(), record.action.as_str().to_owned()));
        }
    }
    let mut names: Vec<&str> = told.iter().map(|(_, name, _)| &**name).collect();
    names.sort_unstable();
    assert_eq!(names, ["embedding-change", "texts"], "{told:?}");
    let status = monitor.status();
    let observers: Vec<&str> = status.series[0].observers.iter().map(|observer| &*observer.name).collect();
    assert_eq!(observers, ["embedding-change", "texts"], "and no rule of numbers");
    for observer in &status.series[0].observers {
        // One value a second, one false alarm in 30 days for the two: 30 x 131,072 x 2.
        assert_eq!(observer.figures["arl"], 30.0 * 131_072.0 * 2.0, "{}", observer.name);
    }
    let missing = MetricEvent::missing("digits", MetricKind::embedding("text").unwrap()).unwrap();
    monitor.observe(&missing.at(second(500)).unwrap(), 500);
    assert_eq!(monitor.status().series[0].observers[0].figures["missing"], 1.0);
    assert_eq!(monitor.status().missing, 1);
}

#[test]
fn a_vector_that_is_there_is_no_fault_of_quality() {
    let quality = crate::DataQualityObserver::default();
    let mut rule = Rule::new("gaps", quality.builtin().unwrap()).unwrap();
    rule.scope.kinds = vec![crate::Glob::new("Embedding:*")];
    let mut monitor = monitor(MonitorPlan::empty().with_rule(rule).unwrap());
    let kind = MetricKind::embedding("text").unwrap();
    for s in 0..300 {
        let event = match s % 30 {
            0 => MetricEvent::missing("digits", kind.clone()).unwrap(),
            _ => MetricEvent::embedding("digits", "text", [1.0, 2.0]).unwrap(),
        };
        assert!(monitor.observe(&event.at(second(s)).unwrap(), s as u64).is_empty());
    }
    let share = monitor.status().series[0].observers[0].figures["bad_share"];
    assert!((share - 1.0 / 30.0).abs() < 1e-12, "{share}");
}
