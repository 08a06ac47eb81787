//! The budget over time: what a month spends of it, whatever the versions, rates and clocks do.
//!
//! A detector set to a run length of `A` gives at each value a false alarm with a chance of at most about `1 / A`. What
//! a month spends is the sum of these over all values that are judged.

use visu_tility_drift::simulate::Source;
use visu_tility_drift::{
    AnyParams, ConformalSrParams, Detector, FocusParams, GapParams, MixtureParams, Mode, PreparationParams,
};

use super::*;
use crate::FalseAlarmBudget;
use crate::check::CheckState;

const DAY: i64 = 86_400;
const MONTH: i64 = 30 * DAY;

/// `e-sr` within the budget.
fn check() -> ChangeObserver {
    let params =
        MixtureParams { mode: Mode::Down, m_pre: 0.9, delta_upper: 0.85, ..MixtureParams::default() };
    ChangeObserver::new(params).unwrap().budgeted().unwrap()
}

fn plan_of(check: &ChangeObserver, per_30_days: f64) -> Arc<MonitorPlan> {
    let rule = Rule::new("change", check.builtin().unwrap()).unwrap();
    let budget = FalseAlarmBudget { false_alarms_per_30_days: per_30_days };
    Arc::new(MonitorPlan::empty().with_rule(rule).unwrap().with_budget(budget).unwrap())
}

/// A model, and what it has spent.
struct Spender {
    monitor: ModelMonitor,
    spent: f64,
    taken: u64,
    offset: u64,
}

impl Spender {
    /// `e-sr` on all kinds, one false alarm in 30 days.
    fn new() -> Self {
        Self::of(plan_of(&check(), 1.0))
    }

    fn of(plan: Arc<MonitorPlan>) -> Self {
        Self { monitor: ModelMonitor::new(id(), plan), spent: 0.0, taken: 0, offset: 0 }
    }

    fn give(&mut self, kind: &MetricKind, version: &str, micros: i64) {
        let version = Version::new(version).unwrap();
        let key = SeriesKey::of(&version, kind);
        self.offset += 1;
        let at = Timestamp::from_micros(second(0).micros() + micros);
        let reading = Reading { at, value: 1.0, offset: self.offset };
        let mut out = Vec::new();
        let mut admission = self.monitor.observe_reading(key, &reading, &mut out);
        if admission == Admission::UnknownSeries {
            self.monitor.admit(&version, kind, &mut out).unwrap();
            admission = self.monitor.observe_reading(key, &reading, &mut out);
        }
        assert!(out.is_empty());
        if admission.is_taken() {
            self.taken += 1;
            self.spent += 1.0 / self.arl(key);
        }
    }

    fn arl(&self, key: SeriesKey) -> f64 {
        let series = &self.monitor.body.series[self.monitor.body.find(key).unwrap()];
        match &series.first.as_ref().unwrap().state {
            CheckState::Change(state) => state.detector().arl().unwrap(),
            _ => panic!("a change"),
        }
    }
}

fn correct(spender: &mut Spender, version: &str, second: i64) {
    spender.give(&MetricKind::Correct, version, second * 1_000_000);
}

/// What was spent of one false alarm in 30 days is at most half as much again.
fn within(spent: f64, days: f64, what: impl std::fmt::Display) {
    assert!(spent > 0.0 && spent <= 1.5 * days / 30.0, "{what}: {} of the budget", spent * 30.0 / days);
}

#[test]
fn versions_that_appear_all_the_time_spend_no_more_than_one() {
    for every in [600, 3_600, DAY] {
        let mut model = Spender::new();
        (0..MONTH).step_by(60).for_each(|t| correct(&mut model, &format!("v{}", t / every), t));
        within(model.spent, 30.0, every);
    }
}

/// The story: a pod's name was taken for the version. Each was judged as if one value a second came, of a hundred that
/// did, and gone before its rate was looked at: 12 times the budget.
#[test]
fn versions_too_short_to_be_measured_spend_at_the_rate_of_their_kind() {
    for values in [1, 20, 64, 1_000] {
        let mut model = Spender::new();
        for i in 0..50_000 {
            model.give(&MetricKind::Correct, &format!("v{}", i / values), i * 10_000);
        }
        within(model.spent, 500.0 / DAY as f64, values);
    }
}

#[test]
fn versions_that_go_silent_and_return_spend_no_more_than_who_speaks_always() {
    for (versions, speaks, period) in [(2, 1, 9), (8, 1, 9), (8, 2, 16), (4, 5, 20), (8, 9, 72)] {
        let mut model = Spender::new();
        for t in (0..6 * MONTH).step_by(1_200) {
            for v in (0..versions).filter(|v| (t / DAY + v * period / versions) % period < speaks) {
                correct(&mut model, &format!("v{v}"), t + v);
            }
        }
        within(model.spent, 180.0, format!("{versions} of {speaks} in {period} days"));
    }
}

#[test]
fn batches_that_come_each_nine_days_spend_no_more_than_a_steady_stream() {
    for (values, apart) in [(50, 1), (50, 60), (500, 1), (2_000, 60)] {
        for versions in [1, 8] {
            let mut model = Spender::new();
            for batch in 0..10 * versions {
                let (round, v) = (batch / versions, batch % versions);
                for i in 0..values {
                    correct(&mut model, &format!("v{v}"), (9 * round + v) * DAY + i * apart);
                }
            }
            within(model.spent, 90.0, format!("{values} by {versions}, {apart} s apart"));
        }
    }
}

#[test]
fn bursts_after_a_quiet_year_spend_no_more_than_a_steady_stream() {
    for (quiet, burst, hours) in [(1, 200, 6), (1, 1_000, 24), (10, 50, 24), (10, 1_000, 72), (100, 50, 480)]
    {
        let mut model = Spender::new();
        (0..365 * quiet).for_each(|i| correct(&mut model, "1", i * DAY / quiet));
        model.spent = 0.0;
        let mut next = 365 * DAY;
        for t in (365 * DAY..365 * DAY + MONTH).step_by((DAY / quiet).min(3_600) as usize) {
            if t >= next {
                (0..burst).for_each(|i| model.give(&MetricKind::Correct, "1", t * 1_000_000 + i * 100_000));
                next += hours * 3_600;
            }
            if t % (DAY / quiet) == 0 {
                correct(&mut model, "1", t + burst / 10);
            }
        }
        within(model.spent, 30.0, format!("{burst} in {hours} h"));
    }
}

/// The story: each series was looked at before it had spent a sixteenth of a false alarm, however many there were.
#[test]
fn a_burst_on_all_kinds_spends_no_more_than_one_on_one_kind() {
    let kinds: Vec<MetricKind> = (0..50).map(|i| MetricKind::feature(format!("f{i}")).unwrap()).collect();
    let mut model = Spender::new();
    let quiet = 200 * 10;
    for t in (0..quiet).map(|i| i * DAY / 10) {
        for kind in &kinds {
            model.give(kind, "1", t * 1_000_000);
        }
    }
    model.spent = 0.0;
    for i in 0..1_500 {
        for kind in &kinds {
            model.give(kind, "1", 200 * DAY * 1_000_000 + i * 100_000);
        }
    }
    assert!(model.spent < 0.2, "{} false alarms in 150 seconds", model.spent);
}

#[test]
fn rates_that_change_a_thousandfold_are_followed() {
    for (slow, span) in [(600, 1), (600, 24), (600, 100), (3_600, 1), (3_600, 100)] {
        for per_30_days in [1.0, 10.0, 100.0] {
            let (mut model, mut micros) = (Spender::of(plan_of(&check(), per_30_days)), 0);
            while micros < MONTH * 1_000_000 && model.taken < 100_000 {
                let quick = micros / 3_600_000_000 / span % 20 == 7;
                model.give(&MetricKind::Correct, "1", micros);
                micros += slow * if quick { 1_000 } else { 1_000_000 };
            }
            within(
                model.spent / per_30_days,
                micros as f64 / 1e6 / DAY as f64,
                format!("{slow} s, {span} h"),
            );
        }
    }
}

#[test]
fn clocks_that_step_back_and_on_spend_no_more_than_true_ones() {
    for step in [3_600, DAY, 10 * DAY, 400 * DAY] {
        for (every, sign) in [(500, -1), (500, 1), (50, -1), (50, 1)] {
            let mut model = Spender::new();
            for i in 0..MONTH / 120 {
                correct(&mut model, "1", i * 120 + if i / every % 2 == 1 { sign * step } else { 0 });
            }
            within(model.spent, 30.0, format!("{} s each {every}", sign * step));
        }
        for every in [16, 97] {
            let mut model = Spender::new();
            for i in 0..MONTH / 120 {
                correct(&mut model, "1", i * 120 + if i % every == every - 1 { step } else { 0 });
            }
            within(model.spent, 30.0, format!("one of {every} ahead by {step} s"));
        }
    }
}

/// The story: two versions' clocks were nine days apart. By the one's the other was always silent, so that it was measured
/// afresh with each value, which is never; and while one spoke the other's share was its own too: 11 times the budget.
#[test]
fn versions_whose_clocks_are_far_apart_spend_no_more_than_others() {
    for days in [7, 9, 365] {
        for micros in [60_000_000, 1_000_000, 100_000] {
            let mut model = Spender::new();
            // A day of one value in ten minutes before the clocks go apart, so that rates are known.
            (0..3 * 144).for_each(|i| correct(&mut model, &(i % 3).to_string(), i / 3 * 600));
            for i in 0..10_000 {
                if i == 3_000 {
                    // A sixteenth of a false alarm goes to the change of the rate.
                    model.spent = 0.0;
                }
                for v in 0..3 {
                    let at = (1 + v * days) * DAY * 1_000_000 + i * micros;
                    model.give(&MetricKind::Correct, &format!("{v}"), at);
                }
            }
            within(model.spent, (7_000 * micros) as f64 / 1e6 / DAY as f64, format!("{days} days, {micros}"));
        }
    }
}

#[test]
fn batches_that_bear_one_time_spend_no_more_than_their_days() {
    for (values, hours) in [(10, 1), (100, 1), (100, 24), (1_000, 24), (100, 216), (1_000, 216)] {
        let mut model = Spender::new();
        let batches = (720 / hours).max(3);
        for batch in 0..batches {
            (0..values).for_each(|_| correct(&mut model, "1", batch * hours * 3_600));
        }
        within(model.spent, (batches * hours) as f64 / 24.0, format!("{values} each {hours} h"));
    }
    let mut growing = Spender::new();
    for batch in 0..30 {
        (0..10_i64 << (batch / 3)).for_each(|_| correct(&mut growing, "1", batch * DAY));
    }
    within(growing.spent, 30.0, "twice as many each three days");
}

/// The story: after each gap the rate was looked at after 64 values. Bursts of 59 a day never were: 1.8 times the budget.
#[test]
fn bursts_between_gaps_are_measured() {
    let gap = GapParams { longest_seconds: DAY as u64, ..GapParams::default() };
    let prepare = PreparationParams { gap: Some(gap), ..PreparationParams::default() };
    let plan = plan_of(&check().prepared(prepare).unwrap(), 1.0);
    for burst in [15, 30, 59, 100] {
        let mut model = Spender::of(plan.clone());
        (0..720).for_each(|hour| correct(&mut model, "1", hour * 3_600));
        model.spent = 0.0;
        for round in 0..29 {
            (0..burst).for_each(|i| correct(&mut model, "1", MONTH + round * 90_000 + i));
        }
        within(model.spent, 30.0, burst);
    }
}

/// Alarms, not what they ought to be: evidence goes from one budget to the next.
#[test]
fn plans_that_are_reloaded_with_another_budget_all_the_time_keep_to_their_mean() {
    let sr = MixtureParams { mode: Mode::Down, m_pre: 0.9, delta_upper: 0.85, ..MixtureParams::default() };
    let detectors: [AnyParams; 3] =
        [sr.into(), FocusParams::default().into(), ConformalSrParams::default().into()];
    for params in detectors {
        let check = ChangeObserver::new(params).unwrap().budgeted().unwrap();
        let plans = [5.0, 50.0].map(|per_30_days| plan_of(&check, per_30_days));
        for hours in [2, 48] {
            let mut alarms = 0;
            for model in 0..4 {
                let mut monitor = ModelMonitor::new(id(), plans[0].clone());
                let bits = Source::Bernoulli { p: 0.9 }.stream(model).unwrap();
                // A thousand values a day, for 24 days.
                for (i, bit) in (0..24_000_i64).zip(bits) {
                    if i % (hours * 1_000 / 24) == 0 {
                        let turn = (i / (hours * 1_000 / 24)) as usize;
                        monitor.reload(plans[turn % 2].clone(), &mut Vec::new());
                    }
                    let records = monitor.observe(&event(&MetricKind::Correct, "1", i * 86, bit), i as u64);
                    alarms += records.iter().filter(|record| record.level == Level::Drift).count();
                }
            }
            // 27.5 in 30 days on average.
            let allowed = 27.5 * 4.0 * 24.0 / 30.0;
            assert!(alarms as f64 <= 1.5 * allowed, "{}: {alarms} of {allowed}", params.name());
        }
    }
}
