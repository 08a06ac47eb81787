//! One budget of false alarms over all that watch a model.

use std::collections::BTreeMap;

use visu_tility_drift::simulate::Source;
use visu_tility_drift::{
    AnyParams, ConformalSrParams, FocusParams, GapParams, MixtureParams, Mode, PreparationParams,
};

use super::*;
use crate::{BudgetShare, FalseAlarmBudget, ObserverStatus};

/// `FOCuS` within the budget, on all kinds.
fn plan(per_30_days: f64) -> MonitorPlan {
    plan_of(FocusParams::default(), per_30_days)
}

fn plan_of(params: impl Into<AnyParams>, per_30_days: f64) -> MonitorPlan {
    let check = ChangeObserver::new(params).unwrap().budgeted().unwrap();
    let rule = Rule::new("change", check.builtin().unwrap()).unwrap();
    let budget = FalseAlarmBudget { false_alarms_per_30_days: per_30_days };
    MonitorPlan::empty().with_rule(rule).unwrap().with_budget(budget).unwrap()
}

/// The run length of each series' detector.
fn arls(monitor: &mut ModelMonitor) -> Vec<f64> {
    let figure = |observer: &ObserverStatus| observer.figures["arl"];
    monitor.status().series.iter().map(|series| figure(&series.observers[0])).collect()
}

const DAYS: f64 = 30.0;

#[test]
fn the_budget_is_shared_by_the_series_of_a_model() {
    let mut monitor = monitor(plan(2.0));
    for s in 0..100 {
        monitor.observe(&event(&MetricKind::Correct, "1", s, 1.0), s as u64);
    }
    // One value a second, taken as 2^17 a day; all of the budget of 2.
    assert_eq!(arls(&mut monitor), [DAYS * 131_072.0 / 2.0]);
    for s in 0..100 {
        monitor.observe(&event(&MetricKind::Confidence, "1", s * 60, 1.0), 0);
        monitor.observe(&event(&MetricKind::Correct, "2", s, 1.0), 0);
    }
    // Three sharers, taken as four; the second series has a value a minute.
    let second = DAYS * 131_072.0 * 4.0 / 2.0;
    assert_eq!(arls(&mut monitor), [second, DAYS * 2_048.0 * 4.0 / 2.0, second]);
}

/// Who calibrates asks a [`BudgetShare`], with none of the monitor's state; the two must not differ.
#[test]
fn a_budget_share_outside_a_monitor_sets_the_same_run_length() {
    let budget = FalseAlarmBudget { false_alarms_per_30_days: 3.0 };
    // All at one time; one a minute; bursts; a pause of an hour after each hundred.
    let times: [fn(i64) -> i64; 4] =
        [|_| 0, |n| n * 60, |n| n / 50 * 600 + n % 50, |n| n * 5 + n / 100 * 3_600];
    for time in times {
        let mut monitor = monitor(plan(3.0));
        let mut share = BudgetShare::new(&budget, 1);
        for n in 0..5_000 {
            monitor.observe(&event(&MetricKind::Correct, "1", time(n), f64::from(n % 3 > 0)), n as u64);
            share.note(second(time(n)));
            if n % 617 == 0 {
                assert_eq!(arls(&mut monitor), [share.run_length()]);
            }
        }
        monitor.observe(&event(&MetricKind::Confidence, "1", time(5_000), 0.5), 5_000);
        share.share(&budget, 2);
        assert_eq!(arls(&mut monitor)[0], share.run_length());
    }
}

#[test]
fn a_reload_with_another_budget_moves_the_run_lengths_and_keeps_the_state() {
    let mut monitor = monitor(plan(1.0));
    for s in 0..100 {
        monitor.observe(&event(&MetricKind::Correct, "1", s, 1.0), s as u64);
    }
    let before = arls(&mut monitor)[0];
    let mut out = Vec::new();
    monitor.reload(Arc::new(plan(10.0)), &mut out);
    assert!((arls(&mut monitor)[0] - before / 10.0).abs() < 1e-6 && out.is_empty());
    let change = plan(1.0).changes_to(&plan(10.0));
    assert!(change.budget_changed && change.changed.is_empty());
    // 100 good values are remembered: bad ones are a change at once.
    let found = (100..200)
        .find(|s| !monitor.observe(&event(&MetricKind::Correct, "1", *s, 0.0), *s as u64).is_empty());
    assert!(found.is_some_and(|s| s < 115), "{found:?}");
}

#[test]
fn run_lengths_and_rates_are_read_back_and_divided_anew() {
    let mut whole = monitor(plan(1.0));
    for s in 0..200 {
        whole.observe(&event(&MetricKind::Correct, "1", s * 5, 1.0), s as u64);
        whole.observe(&event(&MetricKind::Confidence, "1", s * 5, 1.0), s as u64);
    }
    let mut read = ModelMonitor::restore(id(), Arc::new(plan(1.0)), &whole.snapshot()).unwrap();
    assert_eq!(arls(&mut read), arls(&mut whole));
    // Under another budget than it was written under.
    let mut other = ModelMonitor::restore(id(), Arc::new(plan(4.0)), &whole.snapshot()).unwrap();
    assert_eq!(arls(&mut other)[0] * 4.0, arls(&mut whole)[0]);
}

/// The promise itself, over streams of every kind that the default plan watches with a bound.
#[test]
fn a_model_without_a_change_gives_no_more_false_alarms_than_its_budget() {
    let mut alarms = 0;
    let (models, minutes) = (40, 4_000);
    for model in 0..models {
        // A value a minute on five series: 4,000 minutes are 2.8 days.
        let budget = FalseAlarmBudget { false_alarms_per_30_days: 10.0 };
        let mut monitor = monitor(MonitorPlan::default().with_budget(budget).unwrap());
        let bits = Source::Bernoulli { p: 0.9 }.stream(model).unwrap();
        let scores = Source::Beta { a: 8.0, b: 2.0 }.stream(model + 1_000).unwrap();
        let tails = Source::StudentT { freedom: 3.0, mean: 0.0, scale: 5.0 }.stream(model + 2_000).unwrap();
        // Latencies of a cache that is hit or missed, and the accuracy of windows.
        let misses = Source::Bernoulli { p: 0.5 }.stream(model + 3_000).unwrap().map(|miss| 1.0 + 9.0 * miss);
        let windows = Source::Gaussian { mean: 0.9, deviation: 0.01 }.stream(model + 4_000).unwrap();
        let feature = MetricKind::feature("x").unwrap();
        let kinds = [
            MetricKind::Correct,
            MetricKind::Confidence,
            feature,
            MetricKind::LatencyMs,
            MetricKind::Accuracy,
        ];
        let streams = bits.zip(scores).zip(tails).zip(misses).zip(windows);
        for (minute, ((((bit, score), tail), latency), accuracy)) in (0..minutes).zip(streams) {
            for (kind, value) in kinds.iter().zip([bit, score, tail, latency, accuracy]) {
                let records = monitor.observe(&event(kind, "1", minute * 60, value), minute as u64);
                alarms += records.iter().filter(|record| record.level == Level::Drift).count();
            }
        }
    }
    let allowed = 10.0 * models as f64 * (minutes as f64 / 1_440.0) / 30.0;
    assert!((alarms as f64) <= allowed, "{alarms} alarms where {allowed:.0} are allowed");
}

#[test]
fn the_budget_holds_from_the_first_value_also_when_it_is_the_one_assumed() {
    let mut monitor = monitor(plan(1.0));
    // Equal times tell nothing of the rate: one a second stays assumed.
    for offset in 1..=200 {
        monitor.observe(&event(&MetricKind::Correct, "1", 0, 1.0), offset);
    }
    assert_eq!(arls(&mut monitor), [DAYS * 86_400.0]);
}

#[test]
fn a_rate_that_rises_after_a_silence_is_followed() {
    let gap = GapParams { longest_seconds: 86_400, ..GapParams::default() };
    let check = ChangeObserver::new(FocusParams::default()).unwrap().budgeted().unwrap();
    let check = check.prepared(PreparationParams { gap: Some(gap), ..PreparationParams::default() }).unwrap();
    let rule = Rule::new("change", check.builtin().unwrap()).unwrap();
    let mut monitor = monitor(MonitorPlan::empty().with_rule(rule).unwrap());
    let mut feed = |from: i64, every: i64, count: i64| {
        for i in 0..count {
            monitor.observe(&event(&MetricKind::Correct, "1", from + i * every, 1.0), 0);
        }
        arls(&mut monitor)[0]
    };
    // A value a minute for a week, two days of silence, then one a second.
    assert_eq!(feed(0, 60, 10_080), DAYS * 2_048.0);
    assert_eq!(feed(777_600, 1, 200), DAYS * 131_072.0);
}

/// How many of 1,000 models alarm at each of the first values after their budget is loosened from 0.1 to 10 false alarms
/// in 30 days, with nothing wrong.
fn fleet_after_a_reload(params: impl Into<AnyParams>) -> Vec<usize> {
    let params = params.into();
    let (before, after) = (Arc::new(plan_of(params, 0.1)), Arc::new(plan_of(params, 10.0)));
    let (models, values) = (1_000, 300);
    let mut alarms = vec![0; 40];
    for model in 0..models {
        let mut monitor = ModelMonitor::new(id(), before.clone());
        let bits = Source::Bernoulli { p: 0.9 }.stream(model).unwrap();
        // A value each 40 minutes: 36 a day, taken as 64.
        for (i, bit) in (0..values + alarms.len()).zip(bits) {
            if i == values {
                monitor.reload(after.clone(), &mut Vec::new());
            }
            let told = monitor.observe(&event(&MetricKind::Correct, "1", i as i64 * 2_400, bit), i as u64);
            if let Some(alarms) = i.checked_sub(values).and_then(|i| alarms.get_mut(i)) {
                *alarms += usize::from(!told.is_empty());
            }
        }
    }
    alarms
}

#[test]
fn a_budget_that_is_loosened_does_not_set_off_a_whole_fleet() {
    let down = MixtureParams { mode: Mode::Down, m_pre: 0.9, delta_upper: 0.85, ..MixtureParams::default() };
    let detectors: [AnyParams; 3] =
        [FocusParams::default().into(), ConformalSrParams::default().into(), down.into()];
    for params in detectors {
        let alarms = fleet_after_a_reload(params);
        // 30 days of 64 values to ten false alarms: one in 192 values.
        let expected = 1_000.0 / 192.0;
        // Within four deviations of a count that is expected.
        let most = |values: f64| expected * values + 4.0 * (expected * values).sqrt();
        assert!((alarms[0] as f64) <= most(1.0), "{}: {alarms:?}", params.name());
        let all: usize = alarms.iter().sum();
        assert!(all as f64 <= most(40.0) && all > 0, "{}: {alarms:?}", params.name());
    }
}

#[test]
fn a_change_that_is_under_way_when_the_budget_is_loosened_is_not_forgotten() {
    let (before, after) = (Arc::new(plan(0.1)), Arc::new(plan(10.0)));
    let mut found = BTreeMap::new();
    for reload in 0..30_i64 {
        let mut monitor = ModelMonitor::new(id(), before.clone());
        for i in 0..400_i64 {
            if i == 300 + reload {
                monitor.reload(after.clone(), &mut Vec::new());
            }
            // A tenth wrong, then half of them.
            let bit = if i < 300 { i % 10 != 0 } else { i % 2 != 0 };
            let bit = f64::from(u8::from(bit));
            if !monitor.observe(&event(&MetricKind::Correct, "1", i * 2_400, bit), i as u64).is_empty() {
                found.entry(reload).or_insert(i - 300);
            }
        }
    }
    assert_eq!(found.len(), 30, "{found:?}");
    // Never later than under the stricter budget, which the last ones had until after the alarm.
    let strict = found[&29];
    assert!(strict < 29 && found.values().all(|found| *found <= strict), "{found:?}");
    assert!(found[&0] < strict);
}

#[test]
fn a_version_that_is_silent_for_more_than_a_week_leaves_its_share_to_the_others() {
    let day = 86_400;
    let mut whole = monitor(plan(1.0));
    let mut cut = monitor(plan(1.0));
    let feed = |monitor: &mut ModelMonitor, version: &str, from: i64, until: i64| {
        for s in (from..until).step_by(600) {
            monitor.observe(&event(&MetricKind::Correct, version, s, 1.0), s as u64);
        }
        arls(monitor)
    };
    let alone = DAYS * 256.0;
    assert_eq!(feed(&mut whole, "1", 0, day), [alone]);
    assert_eq!(feed(&mut whole, "2", day, 2 * day), [2.0 * alone; 2]);
    feed(&mut whole, "2", 2 * day, 8 * day);
    assert_eq!(arls(&mut whole), [2.0 * alone; 2], "a week is not long");
    cut = ModelMonitor::restore(id(), whole.plan().clone(), &whole.snapshot()).unwrap_or(cut);
    for monitor in [&mut whole, &mut cut] {
        feed(monitor, "2", 8 * day, 12 * day);
        assert_eq!((monitor.body.silent_series(), arls(monitor)[1]), (1, 2.0 * alone), "it may come back");
        feed(monitor, "2", 12 * day, 18 * day);
        assert_eq!((monitor.body.silent_series(), arls(monitor)[1]), (1, alone));
    }
    cut = ModelMonitor::restore(id(), whole.plan().clone(), &whole.snapshot()).unwrap_or(cut);
    assert_eq!(cut.body.silent_series(), 1);
    for monitor in [&mut whole, &mut cut] {
        // Its first value makes it a sharer before it is judged.
        assert_eq!(feed(monitor, "1", 18 * day, 18 * day + 1), [2.0 * alone; 2]);
        assert_eq!(monitor.body.silent_series(), 0);
        // Fifty days of silence, and as much again in a third of a day: by then the mean since the first is a tenth.
        feed(monitor, "2", 18 * day, 68 * day);
        for s in 0..1_000 {
            let at = 68 * day + 30 * s;
            monitor.observe(&event(&MetricKind::Correct, "1", at, 1.0), 0);
        }
        assert_eq!(arls(monitor), [2.0 * DAYS * 4_096.0, 2.0 * alone]);
    }
    assert_eq!(whole.snapshot(), cut.snapshot());
}

/// The story: a fifth version published every nine days, so that four and five shared by turns, and the thresholds of all
/// went to and fro.
#[test]
fn a_version_that_comes_and_goes_does_not_move_the_thresholds_of_the_others() {
    let day = 86_400;
    let mut monitor = monitor(plan(1.0));
    let mut seen = Vec::new();
    let mut silent = 0;
    for s in (0..60 * day).step_by(3_600) {
        for version in 0..4 {
            monitor.observe(&event(&MetricKind::Correct, &version.to_string(), s, 1.0), s as u64);
        }
        if s % (9 * day) == 0 {
            monitor.observe(&event(&MetricKind::Correct, "seldom", s, 1.0), s as u64);
        }
        silent += monitor.body.silent_series();
        let arl = arls(&mut monitor)[0];
        if s > 10 * day && seen.last() != Some(&arl) {
            seen.push(arl);
        }
    }
    assert!(silent > 100, "{silent}");
    assert_eq!(seen, [DAYS * 32.0 * 8.0]);
}

#[test]
fn who_shares_the_budget_does_not_depend_on_ticks() {
    let day = 86_400;
    let (mut ticked, mut alone) = (monitor(plan(1.0)), monitor(plan(1.0)));
    for s in (0..20 * day).step_by(3_600) {
        let version = if s < day { "1" } else { "2" };
        ticked.tick(second(s - 1), &mut Vec::new());
        for monitor in [&mut ticked, &mut alone] {
            monitor.observe(&event(&MetricKind::Correct, version, s, 1.0), s as u64);
        }
        assert_eq!(arls(&mut ticked), arls(&mut alone), "{s}");
    }
    assert_eq!((ticked.body.silent_series(), alone.body.silent_series()), (1, 1));
}
