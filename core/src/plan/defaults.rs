//! The plan that is used when none is given.

use std::time::Duration;

use visu_tility_drift::{
    BatcherParams, ConformalSrParams, FocusParams, MedianShiftParams, PreparationParams,
};

use super::{Glob, MonitorPlan, Reaction, Rule, Scope};
use crate::alert::Severity;
use crate::check::{
    ChangeObserver, Check, DataQualityObserver, DriftDetector, EmbeddingObserver, LatencyObserver,
    StalenessObserver,
};
use crate::error::ObserverError;

impl Default for MonitorPlan {
    /// Watches every kind that arrives, for all models; needs no baseline and asks for no retrain.
    ///
    /// | rule | kinds | check |
    /// |---|---|---|
    /// | `drift-score` | `DriftScore` | above 0.3 |
    /// | `correct-change` | `Correct` | `focus` on bits of an unknown level, within the budget |
    /// | `quality-change` | `Accuracy`, `Precision`, `Recall`, `F1`, `ErrorRate` | conformal Shiryaev-Roberts, within the budget |
    /// | `quality-collapse` | the same five | the median of 5 against that of 20 before, by at least 0.2: outside the budget, see below |
    /// | `confidence-change` | `Confidence` | conformal Shiryaev-Roberts, within the budget |
    /// | `feature-change` | `Feature:*`, `Custom:*` | conformal Shiryaev-Roberts, within the budget |
    /// | `embedding-change` | `Embedding:*` | maximum mean discrepancy, within the budget |
    /// | `latency` | `LatencyMs` | quantiles, for who asks |
    /// | `latency-shift` | `LatencyMs`, `Throughput` | six of the last 8 against the median of 60 before, within the budget |
    /// | `data-quality` | `Feature:*`, `Custom:*`, `Correct`, `Confidence` | more than 5 % missing |
    /// | `staleness` | any | silent for twice the longest usual gap, at least 10 minutes |
    ///
    /// The four rules of conformal Shiryaev-Roberts and of `focus` stand behind the automatic batcher: values that are
    /// like their neighbours go to them as means, once that is seen, and single values before
    /// ([`BatcherParams::early`]). So does `latency-shift`, but with a batcher that looks for dependence within short
    /// blocks ([`BatcherParams::within_blocks`]), since levels that come and go are what it is to find. Of a dependence
    /// that is weak and long it sees nothing: of the sum of equal parts of noise and an autoregression of 0.95 it makes
    /// two alarms a month. A season of the day is not taken off by any rule: batches
    /// grow as long as it asks for and show changes late, and `latency-shift` takes it for changes. `calibrate` finds it.
    ///
    /// All changes are looked for within the budget but for a collapse: the detectors at work share one false alarm per 30
    /// days. None of them has a setting that was chosen by looking at a stream but for the median shift: its windows, share
    /// and threshold were chosen on the open series of round-trip times, as was what its batcher takes for dependence. Its
    /// batches are one autocorrelation time long, the least there is, which made autoregressions of up to 0.99 show to
    /// suffice.
    ///
    /// What it does not see: rare errors in short runs do not show their dependence in the 2,048 values that are learnt from
    /// (of 98 right answers in 100 whose errors keep on with a probability of a half, `correct-change` made 162 alarms in 100
    /// months instead of 100, of 99 in 100, 1,389); rolling windows, which are so much like their neighbours that batches
    /// become longer than the window by far (publish windows that do not overlap); a new version that is bad from its first
    /// value on, since it is held against itself ([`Check::Distribution`] holds it against another version).
    ///
    /// # A collapse, outside the budget
    ///
    /// Ranks of 20 values hardly show a chance of one in millions, which is what the budget asks for until the rate of the
    /// values is known (64 of them), and after that where they come often. An accuracy that falls from 0.95 to 0.4, in
    /// windows of 50 answers, is told by `quality-change` at the 50th bad window behind 25 good ones, at the 72nd behind 20,
    /// and behind 15 mostly not at all (medians of 300 made streams, the budget all its own). `quality-collapse` tells it at
    /// the 5th at the latest. It takes no share of the budget: it asks for a median that moved by 4 times the spread of both
    /// windows and by at least 0.2, and for no more than one false alarm in 100 values whatever their law, while they do not
    /// depend on each other (`arl`, without which single answers gave up to 70,000); what keeps it silent is the floor.
    /// False alarms in a million windows without a change, the most of shares of right answers from 0.3 to 0.99 (made
    /// binomial values):
    ///
    /// | answers in a window | 50 | 20 | 10 | 1 to 5 |
    /// |---|---|---|---|---|
    /// | false alarms in a million windows | 0 | 1 | 14 | 140 |
    ///
    /// So publish windows of 20 answers and more, and single answers as `Correct`. Of 2,000 falls behind 20 good windows of 20
    /// answers it told 98 %, half of them at the 5th bad window. Its first alarm needs 16 windows. No stream that is
    /// scored chose a setting.
    fn default() -> Self {
        // The settings below are in range, which a test holds them to.
        Self { rules: rules().unwrap_or_default(), ..Self::empty() }
    }
}

/// The check for a fall that no window of right answers shows by chance.
fn collapse() -> Result<ChangeObserver, ObserverError> {
    let floor_absolute = COLLAPSE_LEAST / COLLAPSE_THRESHOLD;
    ChangeObserver::new(MedianShiftParams {
        recent: 5,
        reference: 20,
        share: 0.5,
        threshold: COLLAPSE_THRESHOLD,
        floor_absolute,
        arl: 100.0,
        ..MedianShiftParams::default()
    })
}

/// The least move of the median that is a collapse; it asks for so many times the spread too.
const COLLAPSE_LEAST: f64 = 0.2;
const COLLAPSE_THRESHOLD: f64 = 4.0;

/// The kinds that are rates of a window of answers.
const QUALITY: [&str; 5] = ["Accuracy", "Precision", "Recall", "F1", "ErrorRate"];

fn rules() -> Result<Vec<Rule>, ObserverError> {
    let batch = Some(BatcherParams { early: true, ..BatcherParams::default() });
    let prepare = PreparationParams { batch, ..PreparationParams::default() };
    let bits = ChangeObserver::new(FocusParams::default())?.budgeted()?.prepared(prepare)?;
    let scores = ChangeObserver::new(ConformalSrParams::default())?.budgeted()?.prepared(prepare)?;
    // Windows are few and no finer than their answers: a quarter of the cells, and of the memory.
    let windows = ConformalSrParams { cuts: 32, ..ConformalSrParams::default() };
    let windows = ChangeObserver::new(windows)?.budgeted()?.prepared(prepare)?;
    let latency = ChangeObserver::new(MedianShiftParams::default())?.budgeted()?.prepared(blocks())?;
    Ok(vec![
        rule("drift-score", &[], Check::DriftScore(DriftDetector::default()), Severity::Warning),
        rule("correct-change", &["Correct"], Check::Change(bits), Severity::Warning),
        rule("quality-change", &QUALITY, Check::Change(windows), Severity::Warning),
        rule("quality-collapse", &QUALITY, Check::Change(collapse()?), Severity::Warning),
        rule("confidence-change", &["Confidence"], Check::Change(scores.clone()), Severity::Info),
        rule("feature-change", &["Feature:*", "Custom:*"], Check::Change(scores), Severity::Info),
        rule("embedding-change", &[], Check::Embedding(EmbeddingObserver::default()), Severity::Info),
        rule("latency", &[], Check::Latency(LatencyObserver::default()), Severity::Warning),
        rule("latency-shift", &["LatencyMs", "Throughput"], Check::Change(latency), Severity::Info),
        rule(
            "data-quality",
            &["Feature:*", "Custom:*", "Correct", "Confidence"],
            Check::DataQuality(DataQualityObserver::default()),
            Severity::Warning,
        ),
        rule("staleness", &[], Check::Staleness(StalenessObserver::learnt()), Severity::Warning),
    ])
}

/// Batches only where neighbours are alike within blocks of 32 values, learnt from ten blocks.
fn blocks() -> PreparationParams {
    let batch = BatcherParams {
        early: true,
        within_blocks: true,
        learn: 320,
        times: 1.0,
        recheck: 2_048,
        ..Default::default()
    };
    PreparationParams { batch: Some(batch), ..PreparationParams::default() }
}

/// One rule of the default plan.
fn rule(name: &str, kinds: &[&str], check: Check, severity: Severity) -> Rule {
    let scope = Scope { kinds: kinds.iter().map(|kind| Glob::new(*kind)).collect(), ..Scope::default() };
    let mut persistence = crate::alert::Persistence::default();
    if matches!(check, Check::Change(_) | Check::Embedding(_)) {
        persistence.keep_firing = Duration::from_hours(1);
    }
    Rule { name: name.into(), scope, check, persistence, severity, response: Reaction::Alert, priority: 0 }
}

#[cfg(test)]
mod tests {
    use visu_tility_drift::{AnyParams, Detector as _};

    use super::*;
    use crate::{MetricKind, Version};

    #[test]
    fn every_kind_is_watched_by_a_rule() {
        let plan = MonitorPlan::default();
        let named = [MetricKind::feature("x"), MetricKind::custom("y"), MetricKind::embedding("z")]
            .map(Result::unwrap);
        for kind in MetricKind::PLAIN.into_iter().chain(named) {
            let watching =
                plan.rules().iter().filter(|rule| rule.is_for_series(&Version::unversioned(), &kind));
            assert!(watching.count() >= 1, "{kind}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_table() {
        let plan = MonitorPlan::default();
        let find = |name: &str| plan.rules().iter().find(|rule| &*rule.name == name).unwrap();
        let Check::Change(quality) = &find("quality-change").check else { panic!("a change") };
        let windows = ConformalSrParams { cuts: 32, ..ConformalSrParams::default() };
        assert_eq!(*quality.detector(), AnyParams::from(windows));
        let outside = |rule: &&Rule| matches!(&rule.check, Check::Change(change) if !change.is_budgeted());
        let outside: Vec<&str> = plan.rules().iter().filter(outside).map(|rule| &*rule.name).collect();
        assert_eq!(outside, ["quality-collapse"]);
        let Check::Change(feature) = &find("feature-change").check else { panic!("a change") };
        assert!(feature.is_budgeted() && feature.detector().name() == "conformal-sr");
        assert_eq!(plan.rules().len(), rules().unwrap().len());
    }

    /// The share of right answers in windows of `size`, each right with a chance of `p`.
    fn windows(size: u32, p: f64, seed: u64) -> impl Iterator<Item = f64> {
        let mut state = seed;
        let mut right = move || {
            // Knuth, MMIX; the upper 53 bits.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            u32::from(((state >> 11) as f64) < p * (1_u64 << 53) as f64)
        };
        std::iter::repeat_with(move || f64::from((0..size).map(|_| right()).sum::<u32>()) / f64::from(size))
    }

    fn drifts(check: &ChangeObserver, values: impl Iterator<Item = f64>) -> Vec<usize> {
        let mut detector = check.detector().build().unwrap();
        let drifts = values.enumerate().filter(|(_, value)| detector.update(*value).drift_detected());
        drifts.map(|(at, _)| at).collect()
    }

    /// A part of what the page tells: a million windows of each share have at most one.
    #[test]
    fn windows_of_twenty_answers_that_do_not_change_are_no_collapse() {
        for percent in [30, 50, 70, 80, 90, 99] {
            let values = windows(20, f64::from(percent) / 100.0, 7).take(20_000);
            assert_eq!(drifts(&collapse().unwrap(), values), [0; 0], "{percent} %");
        }
    }

    #[test]
    fn single_answers_that_should_be_sent_as_correct_seldom_are_one() {
        let values = windows(1, 0.8, 7).take(200_000);
        assert!(drifts(&collapse().unwrap(), values).len() <= 60, "130 in a million were measured");
    }

    #[test]
    fn a_collapse_behind_few_good_windows_is_told_soon_where_the_ranks_need_more() {
        for good in [15, 20, 25] {
            for seed in 0..100 {
                let bad = windows(50, 0.4, seed + 1_000).take(8);
                let values: Vec<f64> = windows(50, 0.95, seed).take(good).chain(bad).collect();
                let told = drifts(&collapse().unwrap(), values.iter().copied());
                let first = told.first().map(|at| at + 1 - good);
                assert!(matches!(first, Some(3..=5)), "at bad window {first:?} behind {good}");
                let ranks = ChangeObserver::new(ConformalSrParams::default()).unwrap().budgeted().unwrap();
                let mut detector = ranks.detector().build().unwrap();
                detector.set_arl(crate::FalseAlarmBudget::default().run_length(None, 1));
                assert!(!values.iter().any(|value| detector.update(*value).drift_detected()));
            }
        }
    }

    #[test]
    fn nothing_is_said_against_the_default_plan_that_somebody_gave_a_budget() {
        let plan = MonitorPlan::default().with_budget(crate::FalseAlarmBudget::default()).unwrap();
        assert_eq!(plan.warnings(), [""; 0]);
    }
}
