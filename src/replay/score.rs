//! Holds the alarms of a run against labels, for each observer and for all together.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use visu_tility_drift::Level;

use crate::replay::change_score::{ChangeScore, Matches};
use crate::replay::drift_score::{DriftScore, windows};
use crate::replay::labels::{LabelError, LabelForm, Labels, Truth};
use crate::replay::report::{AlarmReport, ModelReport, Report};

/// How the alarms of a run did. Only drifts count; warnings do not.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "form", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Score {
    /// Against a few drifts, each with a window behind it.
    Drifts(DriftsScore),
    /// Against many changes, one to one.
    Changes(ChangesScore),
}

/// How alarms did against drifts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DriftsScore {
    /// How long behind its end a drift may be found, in predictions.
    pub max_delay: u64,
    /// All observers together, all models together.
    #[serde(flatten)]
    pub all: DriftScore,
    /// Each drift and what became of it.
    pub drifts: Vec<DriftFate>,
    /// Each observer by itself, all models together.
    pub observers: Vec<Of<DriftScore>>,
}

/// How alarms did against changes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ChangesScore {
    /// All observers together, all models together.
    #[serde(flatten)]
    pub all: ChangeScore,
    /// Each observer by itself, all models together.
    pub observers: Vec<Of<ChangeScore>>,
    /// Each model, all observers together.
    pub models: Vec<ModelChanges>,
}

/// The score of one observer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Of<S> {
    /// The observer.
    pub observer: Arc<str>,
    /// Its score.
    #[serde(flatten)]
    pub score: S,
}

/// The changes of one model and what became of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ModelChanges {
    /// The model.
    pub model_id: String,
    /// Where it changed, by position.
    pub changes: Vec<u64>,
    /// The delay of each; null where it was missed.
    pub delays: Vec<Option<u64>>,
    /// Drift alarms there were.
    pub alarms: u64,
}

/// One true drift and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DriftFate {
    /// The model.
    pub model_id: String,
    /// Where it begins, by position.
    pub event: u64,
    /// Where the change is complete.
    pub event_end: u64,
    /// What happened.
    pub what: String,
    /// How late it was found; null when it was missed.
    pub delay: Option<u64>,
    /// Who found it first.
    pub observer: Option<Arc<str>>,
    /// In which kind.
    pub kind: Option<String>,
}

/// The drift alarms of one labelled model.
struct Case<'a> {
    model: &'a ModelReport,
    truth: &'a Truth,
    alarms: Vec<&'a AlarmReport>,
}

impl Case<'_> {
    fn positions(&self, observer: Option<&str>) -> Vec<u64> {
        let of = |alarm: &&&AlarmReport| observer.is_none_or(|name| &*alarm.observer == name);
        self.alarms.iter().filter(of).map(|alarm| alarm.position).collect()
    }

    fn drifts(&self) -> Vec<(u64, u64)> {
        self.truth.drifts.iter().map(|drift| (drift.event, drift.event_end)).collect()
    }

    fn drift_score(&self, observer: Option<&str>, max_delay: u64) -> DriftScore {
        DriftScore::of(&self.drifts(), &self.positions(observer), self.model.length, max_delay)
    }

    fn matches(&self, observer: Option<&str>) -> Matches {
        let changes: Vec<u64> = self.truth.drifts.iter().map(|drift| drift.event).collect();
        Matches::of(&changes, &self.positions(observer), self.model.length)
    }

    /// What became of each drift, and who found it.
    fn fates(&self, max_delay: u64) -> Vec<DriftFate> {
        let windows = windows(&self.drifts(), self.model.length, max_delay);
        let score = self.drift_score(None, max_delay);
        self.truth
            .drifts
            .iter()
            .zip(windows.iter().zip(&score.delays))
            .map(|(drift, ((start, _), delay))| {
                let finder =
                    delay.and_then(|delay| self.alarms.iter().find(|alarm| alarm.position == start + delay));
                DriftFate {
                    model_id: self.model.model_id.to_string(),
                    event: drift.event,
                    event_end: drift.event_end,
                    what: drift.what.clone(),
                    delay: *delay,
                    observer: finder.map(|alarm| alarm.observer.clone()),
                    kind: finder.and_then(|alarm| alarm.kind.as_ref()).map(ToString::to_string),
                }
            })
            .collect()
    }
}

impl Score {
    /// Scores a report against labels; a drift may be found up to `max_delay` predictions behind its end.
    ///
    /// # Errors
    ///
    /// Fails when the labels name no model and the run has not exactly one, name one that is not in the events,
    /// or a position behind them.
    pub fn of(report: &Report, labels: &Labels, max_delay: u64) -> Result<Self, LabelError> {
        let cases = cases(report, labels)?;
        let mut names: Vec<&Arc<str>> =
            cases.iter().flat_map(|case| &case.model.observers).map(|o| &o.observer).collect();
        names.sort();
        names.dedup();
        Ok(match labels.form {
            LabelForm::Drifts => {
                let pooled = |observer: Option<&str>| {
                    let scores: Vec<_> = cases.iter().map(|c| c.drift_score(observer, max_delay)).collect();
                    DriftScore::pooled(&scores)
                };
                let drifts = cases.iter().flat_map(|case| case.fates(max_delay)).collect();
                let observers = each(&names, |name| pooled(Some(name)));
                Self::Drifts(DriftsScore { max_delay, all: pooled(None), drifts, observers })
            }
            LabelForm::Changes => {
                let pooled = |observer: Option<&str>| {
                    let matches: Vec<_> = cases.iter().map(|case| case.matches(observer)).collect();
                    ChangeScore::pooled(&matches)
                };
                let models = cases.iter().map(model_changes).collect();
                let observers = each(&names, |name| pooled(Some(name)));
                Self::Changes(ChangesScore { all: pooled(None), observers, models })
            }
        })
    }
}

fn each<S>(names: &[&Arc<str>], score: impl Fn(&str) -> S) -> Vec<Of<S>> {
    names.iter().map(|name| Of { observer: (*name).clone(), score: score(name) }).collect()
}

fn model_changes(case: &Case<'_>) -> ModelChanges {
    let matches = case.matches(None);
    ModelChanges {
        model_id: case.model.model_id.to_string(),
        changes: case.truth.drifts.iter().map(|drift| drift.event).collect(),
        delays: matches.delays,
        alarms: matches.alarms,
    }
}

/// Brings labels and models together.
fn cases<'a>(report: &'a Report, labels: &'a Labels) -> Result<Vec<Case<'a>>, LabelError> {
    let mut alarms: BTreeMap<&str, Vec<&AlarmReport>> = BTreeMap::new();
    for alarm in report.alarms.iter().filter(|alarm| alarm.level == Level::Drift) {
        alarms.entry(alarm.model_id.as_str()).or_default().push(alarm);
    }
    let mut cases = Vec::new();
    for (name, truth) in &labels.models {
        let model = match (name.as_str(), report.models.as_slice()) {
            ("", [model]) => Some(model),
            ("", models) => return Err(LabelError::ambiguous(models.len())),
            (name, models) => models.iter().find(|model| model.model_id.as_str() == name),
        };
        let model = model.ok_or_else(|| LabelError::absent(name, &report.models))?;
        truth.check(labels.form, model)?;
        let mut alarms = alarms.get(model.model_id.as_str()).cloned().unwrap_or_default();
        alarms.sort_by_key(|alarm| alarm.position);
        cases.push(Case { model, truth, alarms });
    }
    Ok(cases)
}
