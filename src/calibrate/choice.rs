//! Which detector watches a kind, and why: the one that its history asks for, or the default plan's.

use visu_tility_core::{ChangeObserver, Check, MetricKind, MonitorPlan, Rule, ValueRange, Version};
use visu_tility_drift::calibration::{Proposal, Reason, Wish, propose};
use visu_tility_drift::{Direction, Input, Mode, ParamError, PreparationParams, Setting};

use super::Calibrate;
use super::history::Sample;
use crate::replay::{count, number};

/// Fewest batches of a history of values that are alike: fewer are a few stretches of time, of which a change may
/// be one.
const BATCHES_MIN: u64 = 100;

/// Who watches a kind.
///
/// | | whose rule | keeps to the budget |
/// |---|---|---|
/// | `Proposed` | a rule made from the history | yes |
/// | `Default` | the default plan's | as that one does |
/// | `Nobody` | none: the default plan has no rule for changes of this kind | - |
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Watch {
    /// A rule that was made from the history.
    Proposed,
    /// The default plan's rule for changes of this kind.
    Default,
    /// No rule for changes.
    Nobody,
}

/// What was decided for one kind of one model.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    /// What the history asks for; `None` where the default plan's rule is kept.
    pub(crate) proposal: Option<Proposal>,
    /// The default plan's rule for changes of this kind.
    pub(crate) default: Option<Rule>,
    /// Autocorrelation time and length of batches, as far as the history tells.
    pub(crate) autocorrelation_time: f64,
    pub(crate) batch_length: u64,
    /// Why, in a sentence.
    pub(crate) why: String,
}

impl Choice {
    /// Decides for one kind.
    pub(crate) fn of(options: &Calibrate, sample: &Sample, spread: f64) -> Result<Self, ParamError> {
        let default = default_rule(&sample.kind);
        let keep = |why: String, time: f64, batch: u64| {
            let (proposal, default) = (None, default.clone());
            Ok(Self { proposal, default, autocorrelation_time: time, batch_length: batch, why })
        };
        let used = sample.kept.len() as u64;
        if default.is_none() {
            return keep(unwatched(&sample.kind), 1.0, 1);
        }
        if used < Calibrate::VALUES_MIN {
            let least = Calibrate::VALUES_MIN;
            let few = format!("{} of the {least} good values that a proposal needs", count(used));
            return keep(few, 1.0, 1);
        }
        let input = input(sample);
        if spread <= 0.0 && input == Input::Any {
            return keep("all values are the same, which says nothing of their spread".to_owned(), 1.0, 1);
        }
        // The run length is put in when it is known who shares the budget.
        let wish =
            Wish { input, mode: mode(&sample.kind), confidence: options.confidence, ..Wish::default() };
        let proposal = propose(&sample.kept, &wish)?;
        let (time, batch) = (proposal.autocorrelation_time, batch_length(&proposal));
        if batch > 1 && used / batch < BATCHES_MIN {
            let batches = format!("{} batches of {}", count(BATCHES_MIN), count(batch));
            let few = format!("neighbouring values are alike, and there are fewer than {batches}");
            return keep(few, time, batch);
        }
        let guaranteed = proposal.reason != Reason::NoGuarantee && proposal.params.get("arl").is_some();
        let budgeted = default.as_ref().is_some_and(|rule| is_budgeted(rule) && !is_for_normal_values(rule));
        // Where the level is not bounded, the default plan's detector is preferred if its run length holds
        // for values of any law. Means of bits are no bits.
        let other = proposal.reason != Reason::BoundedLevel && (input != Input::Bits || batch == 1);
        if budgeted && (!guaranteed || other) {
            let Some(proposal) = default.as_ref().and_then(|rule| batched(rule, &proposal)) else {
                return keep("its run length holds for values like these".to_owned(), time, batch);
            };
            let why = "the default plan's detector, on means: neighbouring values are alike".to_owned();
            let proposal = Some(proposal);
            return Ok(Self { proposal, default, autocorrelation_time: time, batch_length: batch, why });
        }
        if !guaranteed {
            return keep(
                "no detector with a bound on false alarms takes such values".to_owned(),
                time,
                batch,
            );
        }
        let why = why(&proposal, sample, &wish);
        let proposal = Some(proposal);
        Ok(Self { proposal, default, autocorrelation_time: time, batch_length: batch, why })
    }

    /// Gives up the proposal: its detector has a false alarm in so many values.
    pub(crate) fn refuse(&mut self, values: &str) {
        if let Some(proposal) = self.proposal.take() {
            let name = proposal.params.name();
            self.why = format!("{name} has a false alarm in about {values} values drawn from this history");
        }
    }

    /// Who watches.
    pub(crate) const fn watch(&self) -> Watch {
        match (&self.proposal, &self.default) {
            (Some(_), _) => Watch::Proposed,
            (None, Some(_)) => Watch::Default,
            (None, None) => Watch::Nobody,
        }
    }

    /// The check of the default plan's rule.
    pub(crate) fn default_change(&self) -> Option<&ChangeObserver> {
        match self.default.as_ref().map(|rule| &rule.check) {
            Some(Check::Change(change)) => Some(change),
            _ => None,
        }
    }

    /// Whether the budget sets the run length of the detector that watches.
    pub(crate) fn is_budgeted(&self) -> bool {
        self.proposal.is_some() || self.default.as_ref().is_some_and(is_budgeted)
    }
}

/// The length of a proposal's batches, 1 for single values.
pub(crate) fn batch_length(proposal: &Proposal) -> u64 {
    proposal.preparation.batch.map_or(1, |batch| batch.length.max(1))
}

/// The rule of the default plan that looks for changes of this kind.
pub(crate) fn default_rule(kind: &MetricKind) -> Option<Rule> {
    let plan = MonitorPlan::default();
    let version = Version::unversioned();
    let change = |rule: &&Rule| matches!(rule.check, Check::Change(_)) && rule.is_for_series(&version, kind);
    plan.rules().iter().find(change).cloned()
}

/// The default plan's detector behind the batches of a proposal, where there are any.
fn batched(rule: &Rule, proposal: &Proposal) -> Option<Proposal> {
    let Check::Change(change) = &rule.check else { return None };
    let batch = Some(proposal.preparation.batch?);
    let preparation = PreparationParams { batch, ..PreparationParams::default() };
    Some(Proposal {
        params: *change.detector(),
        preparation,
        baseline: None,
        reason: Reason::UnknownLevel,
        ..*proposal
    })
}

fn is_budgeted(rule: &Rule) -> bool {
    matches!(&rule.check, Check::Change(change) if change.is_budgeted())
}

/// Whether the bound of the rule's detector rests on values that are about normal.
fn is_for_normal_values(rule: &Rule) -> bool {
    matches!(&rule.check, Check::Change(change) if change.detector().get("law") == Some(Setting::Word("normal")))
}

fn unwatched(kind: &MetricKind) -> String {
    match kind {
        MetricKind::DriftScore => "is held against a threshold by the rule `drift-score`".to_owned(),
        _ => "the default plan looks for no changes of this kind".to_owned(),
    }
}

/// What the values are: bits only where all of them are 0 or 1.
fn input(sample: &Sample) -> Input {
    match sample.kind.range() {
        ValueRange::Unit if sample.kept.iter().all(|value| *value == 0.0 || *value == 1.0) => Input::Bits,
        ValueRange::Unit => Input::Unit,
        _ => Input::Any,
    }
}

/// Which way is bad.
const fn mode(kind: &MetricKind) -> Mode {
    match kind.bad_direction() {
        Direction::Up => Mode::Up,
        Direction::Down => Mode::Down,
        Direction::Unknown => Mode::Both,
    }
}

fn why(proposal: &Proposal, sample: &Sample, wish: &Wish) -> String {
    let percent = number(100.0 * wish.confidence);
    let short = "learns the good level itself, with its error";
    match (proposal.reason, proposal.baseline) {
        (Reason::BoundedLevel, Some(level)) => {
            let side = if wish.mode == Mode::Down { "at least" } else { "at most" };
            let (bound, mean) = (number(level.bound), number(level.estimate));
            let values = counted_values(sample, batch_length(proposal));
            format!(
                "the good level is {side} {bound} with {percent} % confidence ({mean} in {values}): close enough \
                 to take this bound as known"
            )
        }
        (_, _) if wish.mode == Mode::Both => format!("{short}: a move in either direction counts"),
        (_, Some(_)) => {
            let values = counted_values(sample, batch_length(proposal));
            format!("{short}: {values} bound it too loosely to take a bound as known")
        }
        (_, None) => format!("{short}: such values have no bounds that would bound their mean"),
    }
}

fn counted_values(sample: &Sample, batch: u64) -> String {
    let values = sample.kept.len() as u64;
    if batch > 1 {
        return format!("{} values, as means of {}", count(values), count(batch));
    }
    format!("{} values", count(values))
}
