//! Rules that would have fired too often on what was taken as good.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use visu_tility_core::{MetricKind, ModelId, Timestamp};
use visu_tility_drift::Level;

use super::report::{Calibration, KindCalibration};
use crate::replay::{AlarmReport, Report, count, counted, number, time};

/// The share of the good days within which a first alarm leaves nothing to learn from.
const SOON: f64 = 0.1;

/// A rule that fires on good values more often than its share of the budget allows, beyond chance.
///
/// By chance a rule within its share fires at most three standard deviations (of a Poisson law) above it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OverBudget {
    /// The model.
    pub model_id: ModelId,
    /// What is measured.
    pub kind: MetricKind,
    /// The rule of the plan.
    pub rule: Arc<str>,
    /// How often it would have fired on what was taken as good.
    pub fired: u64,
    /// How often its share of the budget allows; the model's whole budget for a rule that keeps to none.
    pub allowed: f64,
    /// Whether the rule keeps to the budget.
    pub budgeted: bool,
    /// When it fired first.
    pub first: Timestamp,
    /// What may help.
    pub help: String,
}

impl OverBudget {
    /// Finds the rules, by what the plan made of the events.
    pub(super) fn of(calibration: &Calibration, report: &Report) -> Vec<Self> {
        let good = |at: Timestamp| calibration.good_until.is_none_or(|end| at <= end);
        let mut fired: BTreeMap<(&ModelId, String, &Arc<str>), Vec<&AlarmReport>> = BTreeMap::new();
        for alarm in report.alarms.iter().filter(|alarm| alarm.level == Level::Drift && good(alarm.ts)) {
            if let Some(kind) = &alarm.kind {
                fired.entry((&alarm.model_id, kind.to_string(), &alarm.observer)).or_default().push(alarm);
            }
        }
        let of_kind = |kind: &KindCalibration| {
            let rule = kind.rule.clone()?;
            let alarms = fired.get(&(&kind.model_id, kind.kind.to_string(), &rule))?;
            let first = alarms.iter().map(|alarm| alarm.ts).min()?;
            let (start, days) = good_days(calibration, report, kind)?;
            let budget = kind.budget.unwrap_or(calibration.false_alarms_per_30_days);
            let (fired, allowed) = (alarms.len() as u64, budget * days / 30.0);
            let most = allowed + 3.0 * allowed.sqrt() + 0.5;
            (fired as f64 > most).then(|| Self {
                model_id: kind.model_id.clone(),
                kind: kind.kind.clone(),
                rule,
                fired,
                allowed,
                budgeted: kind.budget.is_some(),
                first,
                help: help(kind, days, first, start),
            })
        };
        calibration.kinds.iter().filter_map(of_kind).collect()
    }

    /// The warning.
    pub(crate) fn told(&self) -> String {
        let Self { model_id, kind, rule, fired, allowed, budgeted, first, help } = self;
        let (times, allowed, first) = (counted(*fired, "time"), number(*allowed), time(*first));
        let whose = if *budgeted {
            "by its share of the budget"
        } else {
            "by the model's whole budget, to which it does not keep"
        };
        format!(
            "rule {rule} on {kind} of {model_id} would have fired {times} on what was taken as good, where {allowed} \
             are allowed {whose}; first at {first}. {help}"
        )
    }
}

/// The first time and the days of good values of a kind.
fn good_days(calibration: &Calibration, report: &Report, kind: &KindCalibration) -> Option<(Timestamp, f64)> {
    let model = report.models.iter().find(|model| model.model_id == kind.model_id)?;
    let mine = || model.kinds.iter().filter(|one| one.kind == kind.kind);
    let first = mine().map(|one| one.first_ts).min()?;
    let last = mine().map(|one| one.last_ts).max()?;
    let last = calibration.good_until.map_or(last, |end| end.min(last));
    Some((first, last.since(first).as_secs_f64() / 86_400.0))
}

/// What may help, by what is known of the values.
fn help(kind: &KindCalibration, days: f64, first: Timestamp, start: Timestamp) -> String {
    let alike = kind.batch_length > 1;
    let soon = first.since(start).as_secs_f64() / 86_400.0 < SOON * days;
    let looks = match (&kind.season, alike) {
        (Some(season), _) if season.bits => {
            "The zeros and ones have a season, which no stage takes off: send the rate of each hour as a kind of its \
             own, from which it can be taken"
        }
        (Some(season), _) if season.removed => {
            "The season may change, or hold more than hours: look at the plot"
        }
        (_, true) => "Neighbouring values are alike: a change, a trend or a season looks like this",
        _ => "There may be real changes in it, bursts, or a season of another length than a day or a week",
    };
    let next = if soon {
        "it fires from the beginning on, so an earlier --good-until does not help; a longer history may, or a rule of \
         your own"
            .to_owned()
    } else {
        format!("--good-until with a time well before {} learns from what came before", time(first))
    };
    format!("{looks} (--format html draws it); {next}")
}

/// How many warnings are shown before the rest is counted.
pub(crate) const SHOWN_MAX: usize = 20;

/// The warnings, as many as are shown, and how many more there are.
pub(crate) fn warnings(over: &[OverBudget]) -> Vec<String> {
    let mut told: Vec<String> = over.iter().take(SHOWN_MAX).map(OverBudget::told).collect();
    if over.len() > SHOWN_MAX {
        let left = count((over.len() - SHOWN_MAX) as u64);
        told.push(format!(
            "{left} more rules and kinds fire over their budget; --format json has all of them"
        ));
    }
    told
}
