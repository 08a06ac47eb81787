//! Rules that made more alarms than the budget allows in the time that was replayed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use visu_tility_core::{ModelId, MonitorPlan, Rule, Timestamp};
use visu_tility_drift::Level;

use crate::replay::change_score::{EARLY_MAX, LATE_MAX};
use crate::replay::drift_score::windows;
use crate::replay::figures::{counted, number};
use crate::replay::labels::{LabelError, LabelForm, Labels, Truth};
use crate::replay::report::{ModelReport, Report};
use crate::replay::score::Score;

const THIRTY_DAYS_MICROS: f64 = 30.0 * 86_400e6;

/// Rules that a text names before the rest is counted.
const NAMED_MAX: usize = 4;

/// A rule within the budget that made more alarms of level `drift` than its share of it allows, beyond chance.
///
/// By chance a rule within its share makes at most three standard deviations (of a Poisson law) more. Up to
/// [`OverBudget::FEW`] alarms are passed over: a monitor is there for real changes, and may have found some. Where labels
/// are given, alarms at a labelled change are not counted, nor is its part of the time; of a model without labels all are.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OverBudget {
    /// The model.
    pub model_id: ModelId,
    /// The rule.
    pub observer: Arc<str>,
    /// Alarms of level `drift`, warnings left out.
    pub drifts: u64,
    /// How many its share of the budget allows in that time, on average.
    pub allowed: f64,
}

impl OverBudget {
    /// So many alarms of a rule of a model are never too many.
    pub const FEW: u64 = 3;

    /// Finds the rules, with the alarms that are counted, and the part of a model's time in which they are.
    fn of(report: &Report, truths: &BTreeMap<&ModelId, Vec<(u64, u64)>>) -> Vec<Self> {
        let none = Vec::new();
        let held = |model: &ModelId| truths.get(model).unwrap_or(&none);
        let mut drifts: BTreeMap<(&ModelId, &str), u64> = BTreeMap::new();
        for alarm in report.alarms.iter().filter(|alarm| alarm.level == Level::Drift) {
            let known =
                held(&alarm.model_id).iter().any(|(from, end)| (*from..*end).contains(&alarm.position));
            *drifts.entry((&alarm.model_id, &alarm.observer)).or_default() += u64::from(!known);
        }
        let mut over = Vec::new();
        for model in &report.models {
            let covered: u64 = held(&model.model_id).iter().map(|(from, end)| end - from).sum();
            let clean = 1.0 - covered as f64 / model.length.max(1) as f64;
            for (observer, allowed) in &model.allowed {
                let made = drifts.get(&(&model.model_id, observer)).copied().unwrap_or_default();
                let allowed = allowed * clean.max(0.0);
                if made > Self::FEW && made as f64 > allowed + 3.0 * allowed.sqrt() + 0.5 {
                    let (model_id, observer) = (model.model_id.clone(), observer.clone());
                    over.push(Self { model_id, observer, drifts: made, allowed });
                }
            }
        }
        over
    }

    /// Says which rules and what it may come from, in two sentences; nothing when there are none.
    pub(crate) fn told(over: &[Self]) -> Option<(String, &'static str)> {
        let mut rules: BTreeMap<&str, (u64, f64, u64)> = BTreeMap::new();
        for one in over {
            let (drifts, allowed, models) = rules.entry(&one.observer).or_default();
            (*drifts, *allowed, *models) = (*drifts + one.drifts, *allowed + one.allowed, *models + 1);
        }
        let mut rules: Vec<(&str, (u64, f64, u64))> = rules.into_iter().collect();
        rules.sort_by_key(|(_, (drifts, ..))| std::cmp::Reverse(*drifts));
        let named = rules.iter().take(NAMED_MAX).map(|(rule, (drifts, allowed, models))| {
            let alarms = counted(*drifts, "alarm");
            let on = if *models > 1 { format!(" on {models} models") } else { String::new() };
            format!("{rule} {alarms}{on} ({} allowed)", number((allowed * 1e4).round() / 1e4))
        });
        let mut named: Vec<String> = named.collect();
        let left = rules.len().saturating_sub(NAMED_MAX);
        if left > 0 {
            named.push(counted(left as u64, "further rule"));
        }
        (!named.is_empty()).then(|| (format!("more than the budget allows: {}", named.join(", ")), CAUSES))
    }
}

/// What too many alarms usually come from.
const CAUSES: &str = "they usually come of real changes (a detector that is told the good level fires again while one \
                      lasts), of a season, or of values that depend on each other: `calibrate` finds the last two";

/// How many false alarms the budget allows each of its rules on a model in the time that was replayed, as for a monitor: at
/// each time it is divided evenly over the versions and kinds between their first and last events, once for each rule.
///
/// A monitor gives a share for eight days of silence more and rounds the number of shares up, so that it allows less.
pub(crate) fn allowed(model: &ModelReport, plan: &MonitorPlan) -> Vec<(Arc<str>, f64)> {
    let budgeted = |rule: &Rule| rule.check.is_budgeted();
    let mut sharers: Vec<(Timestamp, Timestamp, Arc<str>)> = Vec::new();
    for kind in &model.kinds {
        let rules = plan.rules_for(&model.model_id, &kind.version, &kind.kind).into_iter();
        let rules = rules.filter(|(_, rule)| budgeted(rule));
        sharers.extend(rules.map(|(_, rule)| (kind.first_ts, kind.last_ts, rule.name.clone())));
    }
    let mut edges: Vec<(Timestamp, i64)> = Vec::with_capacity(2 * sharers.len());
    edges.extend(sharers.iter().flat_map(|(first, last, _)| [(*first, 1), (*last, -1)]));
    edges.sort_unstable();
    // What one sharer has been allowed from the beginning up to each edge.
    let (mut at_work, mut sum, mut before) = (0_i64, 0.0, Timestamp::EPOCH);
    let mut summed: BTreeMap<Timestamp, f64> = BTreeMap::new();
    for (at, step) in edges {
        if at_work > 0 {
            let part = at.micros().saturating_sub(before.micros()) as f64 / THIRTY_DAYS_MICROS;
            sum += plan.budget().false_alarms_per_30_days * part / at_work as f64;
        }
        (at_work, before) = (at_work + step, at);
        summed.insert(at, sum);
    }
    let up_to = |at: &Timestamp| summed.get(at).copied().unwrap_or_default();
    let mut rules: BTreeMap<Arc<str>, f64> = BTreeMap::new();
    for (first, last, rule) in sharers {
        *rules.entry(rule).or_default() += up_to(&last) - up_to(&first);
    }
    // Where all bears one time, nothing is known of how long it took.
    rules.into_iter().filter(|(_, allowed)| *allowed > 0.0).collect()
}

impl Report {
    /// Scores the alarms against labels, a drift found up to `max_delay` predictions behind its end, and leaves what is
    /// labelled out of what counts against the budget.
    ///
    /// # Errors
    ///
    /// Fails as [`Score::of`] does, and leaves the report as it was.
    pub fn hold_against(&mut self, labels: &Labels, max_delay: u64) -> Result<(), LabelError> {
        self.score = Some(Score::of(self, labels, max_delay)?);
        let mut truths = BTreeMap::new();
        for model in &self.models {
            let truth = labels.models.get(model.model_id.as_str()).or_else(|| labels.models.get(""));
            let held = truth.map(|truth| held(truth, labels.form, model.length, max_delay));
            truths.extend(held.map(|held| (&model.model_id, held)));
        }
        self.over_budget = OverBudget::of(self, &truths);
        Ok(())
    }

    /// Finds the rules that made more alarms than the budget allows, none of them taken to be right.
    pub(crate) fn note_over_budget(&mut self) {
        self.over_budget = OverBudget::of(self, &BTreeMap::new());
    }
}

/// Where alarms are taken to be right, from and up to, one behind the other.
fn held(truth: &Truth, form: LabelForm, length: u64, max_delay: u64) -> Vec<(u64, u64)> {
    let drifts = truth.drifts.iter();
    let (drifts, late): (Vec<(u64, u64)>, u64) = match form {
        LabelForm::Drifts => (drifts.map(|drift| (drift.event, drift.event_end)).collect(), max_delay),
        LabelForm::Changes => {
            (drifts.map(|drift| (drift.event.saturating_sub(EARLY_MAX), drift.event)).collect(), LATE_MAX + 1)
        }
    };
    windows(&drifts, length, late)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(rule: &str, model: &str, drifts: u64, allowed: f64) -> OverBudget {
        OverBudget { model_id: ModelId::new(model).unwrap(), observer: rule.into(), drifts, allowed }
    }

    #[test]
    fn rules_are_named_with_all_models_together_and_the_worst_first() {
        let told = |over: &[OverBudget]| OverBudget::told(over).map(|(rules, _)| rules);
        assert_eq!(told(&[]), None);
        let said = told(&[over("b", "m", 9, 0.25), over("a", "m", 4, 0.5), over("a", "n", 4_000, 1.0)]);
        let expected = "more than the budget allows: a 4,004 alarms on 2 models (1.5 allowed), b 9 alarms (0.25 allowed)";
        assert_eq!(said.as_deref(), Some(expected));
        let many: Vec<OverBudget> = (0..6).map(|at| over(&format!("r{at}"), "m", 9, 0.5)).collect();
        assert!(told(&many).unwrap().ends_with("r3 9 alarms (0.5 allowed), 2 further rules"));
    }

    #[test]
    fn what_is_labelled_is_from_two_before_a_change_to_thirty_behind() {
        let labels = Labels::from_json(r#"{"changes":[{"event":10},{"event":30},{"event":99}]}"#).unwrap();
        let all = held(&labels.models[""], labels.form, 100, 1_000);
        assert_eq!(all, [(8, 28), (28, 61), (97, 100)]);
    }
}
