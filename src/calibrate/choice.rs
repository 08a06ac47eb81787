//! Which detector watches a kind, and why: the one that its history asks for, or the default plan's.

use visu_tility_core::{ChangeObserver, Check, MetricKind, MonitorPlan, Rule, ValueRange, Version};
use visu_tility_drift::calibration::{Proposal, Reason, Seasonality, Wish, propose, seasonality};
use visu_tility_drift::{
    AnyParams, ConformalSrParams, Direction, Input, Mode, ParamError, PreparationParams, SeasonalParams,
};

use super::Calibrate;
use super::history::Sample;
use super::season::{FoundSeason, Residuals};
use super::sharing::budgeted;
use crate::replay::{count, number};

/// Fewest batches of a history of values that are alike from which a level is bounded: fewer are a few stretches of
/// time, of which a change may be one.
pub(crate) const BATCHES_MIN: u64 = 100;

/// Fewest batches for a detector that learns the level itself: fewer do not tell how long a batch must be.
const BATCHES_FEW: u64 = 20;

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
    /// The season of its values, whether or not it can be taken off.
    pub(crate) season: Option<Seasonality>,
    /// Whether the values are zeros and ones.
    pub(crate) bits: bool,
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
        let mut choice = Self {
            proposal: None,
            default,
            season: None,
            bits: false,
            autocorrelation_time: 1.0,
            batch_length: 1,
            why: String::new(),
        };
        match choice.decide(options, sample, spread)? {
            Ok((proposal, why)) => (choice.proposal, choice.why) = (Some(proposal), why),
            Err(why) => choice.why = why,
        }
        Ok(choice)
    }

    /// The proposal and why; or why the default plan's rule is kept.
    fn decide(
        &mut self,
        options: &Calibrate,
        sample: &Sample,
        spread: f64,
    ) -> Result<Result<(Proposal, String), String>, ParamError> {
        let Some(default) = self.default.clone() else { return Ok(Err(unwatched(&sample.kind))) };
        if sample.is_of_vectors() {
            return Ok(Err(
                "it learns from the vectors themselves, and no rule is made from a history of them"
                    .to_owned(),
            ));
        }
        let used = sample.kept.len() as u64;
        if used < Calibrate::VALUES_MIN {
            let least = Calibrate::VALUES_MIN;
            return Ok(Err(format!("{} of the {least} good values that a proposal needs", count(used))));
        }
        let single = input(sample);
        if spread <= 0.0 && single == Input::Any {
            return Ok(Err("all values are the same, which says nothing of their spread".to_owned()));
        }
        self.bits = single == Input::Bits;
        self.season = seasonality(&sample.kept, &sample.times);
        let rest = self.without_season(sample, single)?;
        let (values, input) =
            rest.as_ref().map_or((&sample.kept, single), |(_, rest)| (&rest.values, Input::Any));
        // The run length is put in when it is known who shares the budget.
        let mode = mode(&sample.kind);
        let wish = Wish { input, mode, confidence: options.confidence, ..Wish::default() };
        let mut proposal = propose(values, &wish)?;
        if let Some((stage, _)) = rest {
            // What is left is on the scale of deviations.
            let standardize = None;
            proposal.preparation =
                PreparationParams { seasonal: Some(stage), standardize, ..proposal.preparation };
        }
        let (time, batch) = (proposal.autocorrelation_time, batch_length(&proposal));
        (self.autocorrelation_time, self.batch_length) = (time, batch);
        let guaranteed = proposal.reason != Reason::NoGuarantee && proposal.params.get("arl").is_some();
        let batches = if batch > 1 { values.len() as u64 / batch } else { u64::MAX };
        // One that learns the level itself and keeps to the budget on values of any law.
        let any_law = of_any_law(&default);
        let learns = any_law.is_some() && input != Input::Bits;
        if batches < if learns { BATCHES_FEW } else { BATCHES_MIN } {
            let least = count(if learns { BATCHES_FEW } else { BATCHES_MIN });
            let few = format!("{least} batches of {}", count(batch));
            return Ok(Err(format!("neighbouring values are alike, and there are fewer than {few}")));
        }
        // Where the level is not bounded, a detector whose run length holds for values of any law is preferred.
        // Means of bits are no bits.
        let bounded = proposal.reason == Reason::BoundedLevel && batches >= BATCHES_MIN;
        let other = !bounded && (input != Input::Bits || batch == 1);
        Ok(match any_law {
            Some(any_law) if !guaranteed || other => behind_stages(any_law, &proposal)
                .ok_or_else(|| "its run length holds for values like these".to_owned()),
            _ if guaranteed => {
                let why = why(&proposal, sample, &wish);
                Ok((proposal, why))
            }
            _ => Err("no detector with a bound on false alarms takes such values".to_owned()),
        })
    }

    /// The stage that takes the season off, and what is left, where there is a season that can be taken off.
    fn without_season(
        &self,
        sample: &Sample,
        input: Input,
    ) -> Result<Option<(SeasonalParams, Residuals)>, ParamError> {
        let Some(season) = self.season.filter(|_| input != Input::Bits) else { return Ok(None) };
        let stage = season.stage();
        let rest = Residuals::of(sample, stage)?;
        Ok((rest.values.len() as u64 >= Calibrate::VALUES_MIN).then_some((stage, rest)))
    }

    /// The season that was found, and whether the proposal takes it off.
    pub(crate) fn found_season(&self) -> Option<FoundSeason> {
        let removed = self.proposal.as_ref().is_some_and(|one| one.preparation.seasonal.is_some());
        self.season.as_ref().map(|found| FoundSeason::of(found, removed, self.bits))
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
        self.proposal.is_some() || self.default.as_ref().is_some_and(|rule| rule.check.is_budgeted())
    }

    /// The length of the batches whose means the detector that watches is given, 1 for single values; a length that is to
    /// be learnt is that of the history.
    pub(crate) fn batch_given(&self) -> u64 {
        let kept = || self.default_change().and_then(|change| change.preparation().batch);
        match (&self.proposal, kept()) {
            (Some(proposal), _) => batch_length(proposal),
            (None, Some(batch)) if batch.length == 0 => self.batch_length,
            (None, batch) => batch.map_or(1, |batch| batch.length),
        }
    }

    /// How many detectors share the model's budget for one version of the kind: the default plan's, one of which a
    /// proposal takes the place of.
    pub(crate) fn sharers(&self, sample: &Sample, default: &MonitorPlan) -> u64 {
        let version = Version::unversioned();
        let usual = budgeted(default, &sample.model_id, &version, &sample.kind) as u64;
        let replaced = self.default.as_ref().is_some_and(|rule| rule.check.is_budgeted());
        usual + u64::from(self.proposal.is_some() && !replaced)
    }

    /// The share of what is bad among good values from 0 to 1, as far as the history bounds it; 0 for other values, and
    /// where all are perfect and nothing is bounded.
    pub(crate) fn bad_share(&self, sample: &Sample) -> f64 {
        if sample.kind.range() != ValueRange::Unit {
            return 0.0;
        }
        let (mean, _) = sample.moments();
        let bound = self.proposal.as_ref().filter(|one| one.reason == Reason::BoundedLevel);
        let level = bound.and_then(|one| one.baseline).map_or(mean, |level| level.bound);
        if mode(&sample.kind) == Mode::Down { 1.0 - level } else { level }
    }
}

/// The length of a proposal's batches, 1 for single values.
fn batch_length(proposal: &Proposal) -> u64 {
    proposal.preparation.batch.map_or(1, |batch| batch.length.max(1))
}

/// The rule of the default plan that looks for changes of this kind; of several, one that keeps to the budget.
pub(crate) fn default_rule(kind: &MetricKind) -> Option<Rule> {
    let plan = MonitorPlan::default();
    let version = Version::unversioned();
    let mine = || plan.rules().iter().filter(|rule| rule.is_for_series(&version, kind));
    let within = mine().find(|rule| has_detector(rule) && rule.check.is_budgeted());
    let any = || mine().find(|rule| has_detector(rule)).or_else(|| mine().find(|rule| finds_changes(rule)));
    within.or_else(any).cloned()
}

/// Is true for a rule whose place a proposal takes where both would watch.
pub(crate) fn has_detector(rule: &Rule) -> bool {
    matches!(rule.check, Check::Change(_) | Check::Combination(_))
}

/// Is true for a rule that looks for changes of whatever form.
pub(crate) fn finds_changes(rule: &Rule) -> bool {
    has_detector(rule) || matches!(rule.check, Check::Distribution(_) | Check::Embedding(_))
}

/// A detector whose run length holds for values of any law.
#[derive(Clone, Copy)]
enum AnyLaw {
    /// The default plan's.
    Default(AnyParams),
    /// In its place, as the default plan's for latencies and throughput, a median shift, sees only values that move by
    /// several times their spread.
    Instead(AnyParams),
}

/// The detector that suits values of any law in the place of this rule, if the rule's own has a run length for such: the
/// rule's own, but for latencies and throughput, whose is a median shift.
fn of_any_law(rule: &Rule) -> Option<AnyLaw> {
    let Check::Change(change) = &rule.check else { return None };
    match change.detector() {
        _ if !change.is_budgeted() => None,
        AnyParams::MedianShift(_) => Some(AnyLaw::Instead(ConformalSrParams::default().into())),
        own => Some(AnyLaw::Default(*own)),
    }
}

/// A detector behind the season and the batches of a proposal, where there are any, and why; nothing where that is the
/// default plan's rule as it is.
fn behind_stages(detector: AnyLaw, proposal: &Proposal) -> Option<(Proposal, String)> {
    let PreparationParams { seasonal, batch, .. } = proposal.preparation;
    let stages = match (seasonal, batch) {
        (None, None) => "",
        (None, Some(_)) => ", on means: neighbouring values are alike",
        (Some(_), None) => ", on what is left of the values without their season",
        (Some(_), Some(_)) => ", on means of what is left of the values without their season",
    };
    let (params, what) = match detector {
        AnyLaw::Default(_) if stages.is_empty() => return None,
        AnyLaw::Default(params) => (params, "the default plan's detector"),
        AnyLaw::Instead(params) => (
            params,
            "its run length holds for values of any law, and it sees less than the default plan's needs",
        ),
    };
    let proposal = Proposal {
        params,
        preparation: PreparationParams { seasonal, batch, ..PreparationParams::default() },
        baseline: None,
        reason: Reason::UnknownLevel,
        ..*proposal
    };
    Some((proposal, format!("{what}{stages}")))
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
        (_, _) if proposal.preparation.seasonal.is_some() => {
            format!("{short}, of what is left without the season")
        }
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
