//! What a calibration found: the proposal for each kind, the plan, and its replay.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use visu_tility_core::{Check, MetricKind, ModelId, MonitorPlan, Rule, Timestamp, ValueRange, Version};
use visu_tility_drift::calibration::{Bound, Reason, RunLength};
use visu_tility_drift::{AnyParams, Budget, ParamError, Setting};

use super::choice::{BATCHES_MIN, Choice, Watch, finds_changes};
use super::delay::{PredictedDelay, Simulation, keep_firing_unsimulated};
use super::history::{History, Sample};
use super::over_budget::{self, OverBudget};
use super::plan::{Decided, entries};
use super::season::FoundSeason;
use super::text::rough;
use super::{Calibrate, CalibrateError, toml};
use crate::replay::{Report, count, counted};

/// The most kinds, over all models, that have a proposal: a plan has at most 1,000 rules.
const PROPOSED_MAX: usize = 900;

/// The most kinds, over all models, whose delays are predicted.
const PREDICTED_MAX: usize = 64;

/// Streams that run lengths are measured on, and for each of more kinds than [`PREDICTED_MAX`].
const STREAMS: u64 = 50;
const STREAMS_FEW: u64 = 5;

/// Batches from which the history itself is in doubt: the longest that are chosen.
const BATCH_DOUBTFUL: u64 = 1_024;

/// A plan made from a history, with the reasons and what it would have fired.
///
/// The fields that are serialised, and their names, are a promise to those who read the JSON.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Calibration {
    /// False alarms that a model may give in 30 days.
    pub false_alarms_per_30_days: f64,
    /// Confidence of bounds of good levels.
    pub confidence: f64,
    /// The end of what was taken as good; null when all was.
    pub good_until: Option<Timestamp>,
    /// Seed of the simulations.
    pub seed: u64,
    /// Accepted events.
    pub events: u64,
    /// The files, as they were named.
    pub files: Vec<String>,
    /// The kinds of every model, all versions together.
    pub kinds: Vec<KindCalibration>,
    /// What a reader should know before he uses the plan, in sentences.
    pub notes: Vec<String>,
    /// The rules that would have fired over their budget on what was taken as good; empty until
    /// [`Calibration::replayed`] was told.
    pub over_budget: Vec<OverBudget>,
    /// The plan, as TOML.
    #[serde(rename = "plan")]
    pub plan_toml: String,
    /// What the plan made of the same events; null until [`Calibration::replayed`] was told.
    pub replay: Option<Report>,
    /// The plan.
    #[serde(skip)]
    pub plan: MonitorPlan,
}

/// What was found for one kind of one model.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KindCalibration {
    /// The model.
    pub model_id: ModelId,
    /// What is measured.
    pub kind: MetricKind,
    /// Its versions, in the order of arrival.
    pub versions: Vec<Version>,
    /// How many of them a detector is at work on at the end of the history: those that were not silent for eight days
    /// and did not give way to newer ones. What is said of a kind without any is for when its values come again.
    pub versions_at_work: u64,
    /// Accepted events, missing values included.
    pub events: u64,
    /// Values (vectors) among them.
    pub values: u64,
    /// Good values that the proposal rests on.
    pub used: u64,
    /// Good values beyond those, which were only counted.
    pub cut: u64,
    /// Values a day; null when all came at one time.
    pub values_per_day: Option<f64>,
    /// Mean of the values used; null without any.
    pub mean: Option<f64>,
    /// Standard deviation of the values used; null with fewer than two.
    pub deviation: Option<f64>,
    /// How many values weigh as much as one, because neighbours are alike; 1 for independent ones.
    pub autocorrelation_time: f64,
    /// Values of a batch whose mean says little of the next one's.
    pub batch_length: u64,
    /// Values of a batch whose mean the detector is given; 1 for single values.
    pub batch_given: u64,
    /// The season of the good values; null when none was found.
    pub season: Option<FoundSeason>,
    /// Who watches.
    pub watch: Watch,
    /// The rule of the plan that looks for changes; null when none does.
    pub rule: Option<Arc<str>>,
    /// Its detector, or how it compares.
    pub detector: Option<&'static str>,
    /// The parameters of the detector; without `arl` where the budget sets it.
    pub parameters: BTreeMap<&'static str, serde_json::Value>,
    /// The bound of the good level that the detector takes as known; null when it takes none.
    pub baseline: Option<Bound>,
    /// Why this detector.
    pub why: String,
    /// False alarms of this kind in 30 days, of those of its model; null when it keeps to no budget.
    pub budget: Option<f64>,
    /// How many detectors share the model's budget at the end of the history, this one included.
    pub sharers: u64,
    /// Mean number of values between false alarms that this needs, of one version: the one with the most values.
    pub arl_needed: Option<f64>,
    /// The one that a monitor has set by the end of the history: with rate and number of sharers rounded up to powers of
    /// two, the rate as a monitor measures it.
    pub arl: Option<f64>,
    /// False alarms of a rule that keeps to no budget, simulated on streams like the history; null for
    /// others.
    pub run_length: Option<RunLength>,
    /// Seconds that an alert is kept after the last alarm, where the proposal says it; null elsewhere.
    pub keep_firing_s: Option<u64>,
    /// How soon changes are seen; empty with too few values.
    pub delays: Vec<PredictedDelay>,
    /// Whether delays were left out because there are too many kinds.
    pub delays_left_out: bool,
}

impl Calibration {
    pub(super) fn of(options: &Calibrate, history: &History) -> Result<Self, CalibrateError> {
        let mut choices = Vec::with_capacity(history.samples.len());
        for sample in &history.samples {
            choices.push(Choice::of(options, sample, sample.moments().1)?);
        }
        cap(&history.samples, &mut choices);
        refuse(options, &history.samples, &mut choices)?;
        let pairs = || history.samples.iter().zip(&choices);
        let sharers = sharers(&history.samples, &choices);
        let decided = pairs().map(|(sample, choice)| decided(options, sample, choice, &sharers));
        let mut decided: Vec<Decided<'_>> = decided.collect();
        let mut simulated = Vec::with_capacity(decided.len());
        for one in &mut decided {
            let before = simulated.iter().filter(|one: &&Simulated| one.is_asked).count();
            let found = Simulated::of(options, *one, before)?;
            one.keep_firing = found.keep_firing;
            simulated.push(found);
        }
        let plan_toml = toml::write(options, history, &entries(&decided)?)?;
        let plan = MonitorPlan::from_toml(&plan_toml)?;
        let mut kinds = Vec::with_capacity(choices.len());
        for (one, found) in decided.iter().zip(simulated) {
            let mut kind = KindCalibration::of(options, *one, &plan)?;
            kind.keep_firing_s = one.keep_firing.map(|keep| keep.as_secs());
            (kind.delays, kind.run_length, kind.delays_left_out) =
                (found.delays, found.run_length, found.left_out);
            kinds.push(kind);
        }
        let mut calibration = Self {
            false_alarms_per_30_days: options.false_alarms_per_30_days,
            confidence: options.confidence,
            good_until: options.good_until,
            seed: options.seed,
            events: history.events,
            files: history.files.clone(),
            kinds,
            notes: Vec::new(),
            over_budget: Vec::new(),
            plan_toml,
            replay: None,
            plan,
        };
        calibration.note_history();
        Ok(calibration)
    }

    /// Takes what the plan made of the same events, and warns where it fires over its budget on good ones.
    pub fn replayed(&mut self, mut report: Report) {
        self.over_budget = OverBudget::of(self, &report);
        // That counts all of the history, changes that are known to be in it too.
        report.over_budget.clear();
        self.replay = Some(report);
    }

    /// What is wrong with the plan, in a sentence each: a rule that fires over its budget on good values.
    pub fn warnings(&self) -> Vec<String> {
        over_budget::warnings(&self.over_budget)
    }

    /// Writes the calibration as JSON.
    ///
    /// # Errors
    ///
    /// Fails when `out` does.
    pub fn write_json(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        out.write_all(b"\n")
    }

    fn note_history(&mut self) {
        let cut: u64 = self.kinds.iter().map(|kind| kind.cut).sum();
        if cut > 0 {
            let kinds = self.kinds.iter().filter(|kind| kind.cut > 0).count() as u64;
            self.notes.push(format!(
                "{} of {} were counted but not kept: proposals rest on the first ones",
                counted(cut, "good value"),
                counted(kinds, "kind")
            ));
        }
        let few =
            |kind: &KindCalibration| kind.batch_length > 1 && kind.used / kind.batch_length < BATCHES_MIN;
        let long = |kind: &KindCalibration| kind.batch_length >= BATCH_DOUBTFUL || few(kind);
        if let Some(alike) = first_and_more(self.kinds.iter().filter(|kind| long(kind))) {
            self.notes.push(format!(
                "neighbouring values of {alike} are alike over many values: a change, a trend or a season in what was \
                 taken as good looks like this; --good-until TIME says where the good ends"
            ));
        }
        // Where the history itself is in doubt, that comes first.
        let blind = |kind: &&KindCalibration| !long(kind) && unseen(kind).is_some();
        if let Some(kinds) = first_and_more(self.kinds.iter().filter(blind))
            && let Some(change) = self.kinds.iter().find(blind).and_then(unseen)
        {
            self.notes.push(format!(
                "changes of {kinds} would mostly go unseen: {}. A larger budget (--false-alarms-per-30d) sees smaller \
                 changes; --drop and --shift ask about larger ones",
                super::text::delay(change)
            ));
        }
    }
}

/// The first of some kinds, and how many more there are.
fn first_and_more<'a>(mut kinds: impl Iterator<Item = &'a KindCalibration>) -> Option<String> {
    let first = kinds.next()?;
    let name = format!("{} of {}", first.kind, first.model_id);
    match kinds.count() {
        0 => Some(name),
        more => Some(format!("{name} (and {more} more)")),
    }
}

/// A change that would mostly go unseen, of a kind of which nothing worse is said.
fn unseen(kind: &KindCalibration) -> Option<&PredictedDelay> {
    kind.delays.iter().find(|delay| delay.values.is_none() && delay.runs > 0)
}

impl KindCalibration {
    fn of(
        options: &Calibrate,
        Decided { sample, choice, arl, sharers, .. }: Decided<'_>,
        plan: &MonitorPlan,
    ) -> Result<Self, ParamError> {
        let (mean, deviation) = sample.moments();
        let used = sample.kept.len() as u64;
        let leading = sample.leading();
        let version = leading.map_or_else(Version::unversioned, |one| one.version.clone());
        let rules = plan.rules_for(&sample.model_id, &version, &sample.kind);
        let rule = rules.iter().map(|(_, rule)| *rule).find(|rule| finds_changes(rule));
        let change = rule.and_then(|rule| match &rule.check {
            Check::Change(change) => Some(change),
            _ => None,
        });
        let at_work = sample.at_work();
        let instances = at_work.max(1);
        let (mut budget, mut arl_needed) = (None, None);
        if choice.is_budgeted() {
            let whole = Budget::new(options.false_alarms_per_30_days)?;
            let part = whole.part(instances as f64, sharers.max(instances) as f64)?;
            budget = Some(part.false_alarms_per_30_days);
            let each = Budget::new(part.false_alarms_per_30_days / instances as f64)?;
            let rate = leading.map(|one| one.values_per_day().unwrap_or_else(|| one.share.values_per_day()));
            arl_needed = Some(each.arl(rate.unwrap_or(86_400.0).clamp(1e-6, 1e15))?);
        }
        let known = choice.proposal.filter(|proposal| proposal.reason == Reason::BoundedLevel);
        Ok(Self {
            model_id: sample.model_id.clone(),
            kind: sample.kind.clone(),
            versions: sample.versions.iter().map(|one| one.version.clone()).collect(),
            versions_at_work: at_work,
            events: sample.events,
            values: sample.values,
            used,
            cut: sample.cut(),
            values_per_day: sample.values_per_day(),
            mean: (used > 0).then_some(mean),
            deviation: (used > 1).then_some(deviation),
            autocorrelation_time: choice.autocorrelation_time,
            batch_length: choice.batch_length,
            batch_given: choice.batch_given(),
            season: choice.found_season(),
            watch: choice.watch(),
            rule: rule.map(|rule| rule.name.clone()),
            detector: rule.and_then(detector),
            parameters: change
                .map_or_else(BTreeMap::new, |change| parameters(change.detector(), change.is_budgeted())),
            baseline: known.and_then(|proposal| proposal.baseline),
            why: choice.why.clone(),
            budget,
            sharers,
            arl_needed,
            arl,
            run_length: None,
            keep_firing_s: None,
            delays: Vec::new(),
            delays_left_out: false,
        })
    }

    /// Values that were due but missing.
    pub fn missing(&self) -> u64 {
        self.events - self.values
    }
}

/// What was simulated of a kind.
#[derive(Debug, Default)]
struct Simulated {
    is_asked: bool,
    left_out: bool,
    delays: Vec<PredictedDelay>,
    run_length: Option<RunLength>,
    keep_firing: Option<Duration>,
}

impl Simulated {
    /// Simulates a kind, `before` others having been.
    fn of(options: &Calibrate, one: Decided<'_>, before: usize) -> Result<Self, ParamError> {
        let enough = one.sample.kept.len() as u64 >= Calibrate::VALUES_MIN;
        let is_asked = one.choice.watch() != Watch::Nobody && enough;
        let left_out = is_asked && before >= PREDICTED_MAX;
        let mut found = Self { is_asked, left_out, ..Self::default() };
        if !is_asked || left_out {
            found.keep_firing = keep_firing_unsimulated(options, one);
            return Ok(found);
        }
        let Some(simulation) = Simulation::of(options, one)? else { return Ok(found) };
        found.delays = simulation.delays()?;
        found.keep_firing = simulation.keep_firing(&found.delays)?;
        if one.choice.watch() == Watch::Default && one.arl.is_none() {
            found.run_length = Some(simulation.run_length(STREAMS)?);
        }
        Ok(found)
    }
}

/// How many detectors share the budget of each model at the end of the history.
fn sharers<'a>(samples: &'a [Sample], choices: &[Choice]) -> HashMap<&'a ModelId, u64> {
    let default = MonitorPlan::default();
    let mut sharers: HashMap<&ModelId, u64> = HashMap::new();
    for (sample, choice) in samples.iter().zip(choices) {
        *sharers.entry(&sample.model_id).or_default() += choice.sharers(sample, &default) * sample.at_work();
    }
    sharers
}

fn decided<'a>(
    options: &Calibrate,
    sample: &'a Sample,
    choice: &'a Choice,
    sharers: &HashMap<&ModelId, u64>,
) -> Decided<'a> {
    let at_work = sharers.get(&sample.model_id).copied().unwrap_or_default();
    let comes_again = if sample.at_work() == 0 { u64::from(choice.is_budgeted()) } else { 0 };
    let sharers = at_work + comes_again;
    let batch = choice.batch_given();
    let run_length = || sample.leading().map(|one| one.run_length(options.budget(), sharers, batch));
    let arl = if choice.is_budgeted() { run_length() } else { None };
    Decided { sample, choice, sharers, arl, keep_firing: None }
}

/// The name of what a rule finds changes with.
fn detector(rule: &Rule) -> Option<&'static str> {
    match &rule.check {
        Check::Change(check) => Some(check.detector().name()),
        Check::Combination(check) => Some(check.combine().name()),
        Check::Distribution(_) => Some(rule.check.type_name()),
        Check::Embedding(check) => Some(check.method().name()),
        _ => None,
    }
}

/// Gives up proposals whose detector, on values drawn from the history, has more false alarms than its run
/// length allows: those for values without bounds hold for a law that these values may not have.
fn refuse(options: &Calibrate, samples: &[Sample], choices: &mut [Choice]) -> Result<(), ParamError> {
    let sharers = sharers(samples, choices);
    // Many kinds share the time.
    let streams = if choices.len() > PREDICTED_MAX { STREAMS_FEW } else { STREAMS };
    for (sample, choice) in samples.iter().zip(choices.iter_mut()) {
        if sample.kind.range() == ValueRange::Unit || choice.proposal.is_none() {
            continue;
        }
        let one = decided(options, sample, choice, &sharers);
        let (Some(arl), Some(simulation)) = (one.arl, Simulation::of(options, one)?) else { continue };
        let found = simulation.run_length(streams)?;
        let expected = found.values / arl;
        let most = expected + 3.0 * expected.sqrt() + 1.0;
        if let Some(mean) = found.mean().filter(|_| found.alarms as f64 > most) {
            choice.refuse(&rough(mean));
        }
    }
    Ok(())
}

/// Leaves proposals to the kinds with the most values, where there are more than a plan has rules for.
fn cap(samples: &[Sample], choices: &mut [Choice]) {
    let mut proposed: Vec<usize> = choices
        .iter()
        .enumerate()
        .filter(|(_, choice)| choice.proposal.is_some())
        .map(|(at, _)| at)
        .collect();
    proposed.sort_by_key(|at| std::cmp::Reverse(samples.get(*at).map_or(0, |sample| sample.values)));
    for at in proposed.into_iter().skip(PROPOSED_MAX) {
        if let Some(choice) = choices.get_mut(at) {
            choice.proposal = None;
            choice.why = format!("{} other kinds have more values", count(PROPOSED_MAX as u64));
        }
    }
}

fn parameters(params: &AnyParams, budgeted: bool) -> BTreeMap<&'static str, serde_json::Value> {
    let shown = params.parameters().iter().filter(|parameter| !(budgeted && parameter.name == "arl"));
    let value = |name: &str| {
        Some(match params.get(name)? {
            Setting::Number(number) => number.into(),
            Setting::Count(count) => count.into(),
            Setting::Word(word) => word.into(),
            Setting::Flag(flag) => flag.into(),
            _ => return None,
        })
    };
    shown.filter_map(|parameter| Some((parameter.name, value(parameter.name)?))).collect()
}
