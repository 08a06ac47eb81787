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
    /// | `confidence-change` | `Confidence` | conformal Shiryaev-Roberts, within the budget |
    /// | `feature-change` | `Feature:*`, `Custom:*` | conformal Shiryaev-Roberts, within the budget |
    /// | `embedding-change` | `Embedding:*` | maximum mean discrepancy, within the budget |
    /// | `latency` | `LatencyMs` | quantiles, for who asks |
    /// | `latency-shift` | `LatencyMs`, `Throughput` | six of the last 8 against the median of 60 before, within the budget |
    /// | `data-quality` | `Feature:*`, `Custom:*` | more than 5 % missing |
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
    /// All changes are looked for within the budget: the detectors at work share one false alarm per 30 days. None
    /// has a setting that was chosen by looking at a stream but for the median shift: its windows, share and threshold
    /// were chosen on the open series of round-trip times, as was what its batcher takes for dependence. Its batches are
    /// one autocorrelation time long, the least there is, which made autoregressions of up to 0.99 show to suffice.
    fn default() -> Self {
        // The settings below are in range, which a test holds them to.
        Self { rules: rules().unwrap_or_default(), ..Self::empty() }
    }
}

fn rules() -> Result<Vec<Rule>, ObserverError> {
    let batch = Some(BatcherParams { early: true, ..BatcherParams::default() });
    let prepare = PreparationParams { batch, ..PreparationParams::default() };
    let bits = ChangeObserver::new(FocusParams::default())?.budgeted()?.prepared(prepare)?;
    let scores = ChangeObserver::new(ConformalSrParams::default())?.budgeted()?.prepared(prepare)?;
    let latency = ChangeObserver::new(MedianShiftParams::default())?.budgeted()?.prepared(blocks())?;
    Ok(vec![
        rule("drift-score", &[], Check::DriftScore(DriftDetector::default()), Severity::Warning),
        rule("correct-change", &["Correct"], Check::Change(bits), Severity::Warning),
        rule(
            "quality-change",
            &["Accuracy", "Precision", "Recall", "F1", "ErrorRate"],
            Check::Change(scores.clone()),
            Severity::Warning,
        ),
        rule("confidence-change", &["Confidence"], Check::Change(scores.clone()), Severity::Info),
        rule("feature-change", &["Feature:*", "Custom:*"], Check::Change(scores), Severity::Info),
        rule("embedding-change", &[], Check::Embedding(EmbeddingObserver::default()), Severity::Info),
        rule("latency", &[], Check::Latency(LatencyObserver::default()), Severity::Warning),
        rule("latency-shift", &["LatencyMs", "Throughput"], Check::Change(latency), Severity::Info),
        rule(
            "data-quality",
            &["Feature:*", "Custom:*"],
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
    use visu_tility_drift::AnyParams;

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
        assert_eq!(*quality.detector(), AnyParams::from(ConformalSrParams::default()));
        let unbound = |rule: &&Rule| matches!(&rule.check, Check::Change(change) if !change.is_budgeted());
        assert_eq!(plan.rules().iter().find(unbound), None);
        let Check::Change(feature) = &find("feature-change").check else { panic!("a change") };
        assert!(feature.is_budgeted() && feature.detector().name() == "conformal-sr");
        assert_eq!(plan.rules().len(), rules().unwrap().len());
    }
}
