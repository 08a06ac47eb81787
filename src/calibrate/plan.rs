//! The proposed plan: the default plan, with rules for the kinds that have a proposal in the place of its
//! own rules for them.

use std::collections::HashSet;
use std::time::Duration;

use visu_tility_core::{ChangeObserver, Check, Glob, MetricKind, ModelId, MonitorPlan, ObserverError, Rule};
use visu_tility_drift::AnyParams;
use visu_tility_drift::calibration::{Proposal, Reason};

use super::Calibrate;
use super::choice::Choice;
use super::delay::PredictedDelay;
use super::history::Sample;

/// A kind of a model, and what was decided for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided<'a> {
    pub(crate) sample: &'a Sample,
    pub(crate) choice: &'a Choice,
    /// The run length that its budget sets.
    pub(crate) arl: Option<f64>,
    /// How long its alert is kept after the last alarm; `None` as in the default plan.
    pub(crate) keep_firing: Option<Duration>,
}

/// A rule of the plan, and what it is made from.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) rule: Rule,
    /// The proposals that it stands for; none for a rule of the default plan.
    pub(crate) made_from: Vec<Decided<'a>>,
    /// What is to be said of a rule of the default plan, if anything.
    pub(crate) said: Option<String>,
}

/// The shortest and the longest time that an alert of `e-sr` is kept after its last alarm: one that comes and goes
/// within a quarter of an hour helps nobody on call, and changes a day apart are two.
const KEEP_LEAST: Duration = Duration::from_mins(15);
const KEEP_MOST: Duration = Duration::from_hours(24);
/// As the default plan keeps alerts of changes.
const KEEP_DEFAULT: Duration = Duration::from_hours(1);

/// The longest part of a rule's name that comes from the kind.
const SLUG_MAX: usize = 100;

/// Lists the rules in the order of the default plan's.
pub(crate) fn entries<'a>(decided: &[Decided<'a>]) -> Result<Vec<Entry<'a>>, ObserverError> {
    let default = MonitorPlan::default();
    let mut names: HashSet<String> = HashSet::new();
    let mut entries = Vec::new();
    for rule in default.rules() {
        if !matches!(rule.check, Check::Change(_)) {
            entries.push(kept(rule.clone(), None));
            continue;
        }
        let of_rule =
            |one: &&Decided<'a>| one.choice.default.as_ref().is_some_and(|own| own.name == rule.name);
        let mine: Vec<Decided<'a>> = decided.iter().filter(of_rule).copied().collect();
        let mut proposed: Vec<&MetricKind> = Vec::new();
        for one in mine.iter().filter(|one| one.choice.proposal.is_some()) {
            if !proposed.contains(&&one.sample.kind) {
                proposed.push(&one.sample.kind);
            }
        }
        for kind in &proposed {
            let of_kind: Vec<Decided<'a>> =
                mine.iter().filter(|one| one.sample.kind == **kind).copied().collect();
            entries.extend(rules_of_kind(rule, kind, &of_kind, &mut names)?);
        }
        entries.extend(rest(rule, &mine, &proposed));
    }
    Ok(entries)
}

/// The rules for a kind that has a proposal in some model.
fn rules_of_kind<'a>(
    default: &Rule,
    kind: &MetricKind,
    decided: &[Decided<'a>],
    names: &mut HashSet<String>,
) -> Result<Vec<Entry<'a>>, ObserverError> {
    let mut groups: Vec<(ChangeObserver, Vec<Decided<'a>>)> = Vec::new();
    let mut few: Vec<Decided<'a>> = Vec::new();
    let mut holds_level = false;
    for one in decided {
        let Some(proposal) = &one.choice.proposal else {
            few.push(*one);
            continue;
        };
        holds_level |= proposal.reason == Reason::BoundedLevel;
        let check = check(proposal)?;
        match groups.iter_mut().find(|(other, _)| *other == check) {
            Some((_, group)) => group.push(*one),
            None => groups.push((check, vec![*one])),
        }
    }
    let one_for_all = groups.len() == 1 && few.is_empty() && !holds_level;
    let base = slug(kind);
    let mut entries = Vec::new();
    for (check, made_from) in groups {
        let mut rule = Rule::new(free(&format!("{base}-change"), names), Check::Change(check))?;
        rule.severity = default.severity;
        rule.scope.kinds = vec![Glob::new(kind.to_string())];
        if !one_for_all {
            rule.scope.models = models(&made_from);
        }
        let keep = made_from.iter().filter_map(|one| one.keep_firing).max();
        rule.persistence.keep_firing = keep.unwrap_or(rule.persistence.keep_firing.max(KEEP_DEFAULT));
        entries.push(Entry { rule, made_from, said: None });
    }
    if !few.is_empty() {
        let mut rule = default.clone();
        rule.name = free(&format!("{base}-default"), names).into();
        rule.scope.kinds = vec![Glob::new(kind.to_string())];
        rule.scope.models = models(&few);
        entries.push(kept(rule, Some("The default plan's rule, for models without a proposal.".to_owned())));
    }
    Ok(entries)
}

/// How long an alert of `e-sr` is kept after the last alarm, so that it does not resolve while the level is bad.
///
/// The detector starts afresh after each alarm, and fires again and again while the level stays bad: about as often
/// as the change is seen in the first place. Twice the mean time in which the least change that is asked about is
/// seen bridges nearly all of these waits; longer than needed it would make one alert of two changes. A least change
/// below what the detector is set to see counts as that. In whole minutes, from [`KEEP_LEAST`] to [`KEEP_MOST`].
pub(crate) fn keep_firing(
    options: &Calibrate,
    one: Decided<'_>,
    delays: &[PredictedDelay],
) -> Option<Duration> {
    let AnyParams::MixtureESr(params) = one.choice.proposal.as_ref()?.params else { return None };
    let predicted = delays.iter().filter(|delay| delay.missed == 0).filter_map(|delay| delay.seconds);
    let seconds = predicted.reduce(f64::max).or_else(|| {
        // Not simulated: about `2 m (1 - m) ln(arl) / d^2` values for a change `d` from a good level `m` (the
        // divergence of two Bernoulli laws, to its second order).
        let least = options.drops.iter().copied().fold(f64::INFINITY, f64::min);
        let change = if least.is_finite() { least.max(params.delta_lower) } else { params.delta_lower };
        let level = params.m_pre;
        let values = 2.0 * level * (1.0 - level) * one.arl?.ln() / (change * change);
        Some(values / one.sample.values_per_day()? * 86_400.0)
    })?;
    let minutes = (2.0 * seconds / 60.0).ceil().clamp(0.0, 1e6) as u64;
    Some(Duration::from_mins(minutes).clamp(KEEP_LEAST, KEEP_MOST))
}

/// What is left of a rule of the default plan when some of its kinds have rules of their own.
fn rest<'a>(default: &Rule, mine: &[Decided<'a>], proposed: &[&MetricKind]) -> Option<Entry<'a>> {
    if proposed.is_empty() {
        return Some(kept(default.clone(), None));
    }
    let mut kinds: Vec<Glob> = Vec::new();
    let mut narrowed = false;
    for glob in &default.scope.kinds {
        let taken = |kind: &&MetricKind| glob.matches(&kind.to_string());
        if !proposed.iter().copied().any(|kind| taken(&kind)) {
            kinds.push(glob.clone());
        } else if glob.as_str().contains(['*', '?']) {
            narrowed = true;
            let others = mine.iter().map(|one| &one.sample.kind).filter(|kind| !proposed.contains(kind));
            for kind in others.filter(taken) {
                let own = Glob::new(kind.to_string());
                if !kinds.contains(&own) {
                    kinds.push(own);
                }
            }
        }
    }
    if kinds.is_empty() {
        return None;
    }
    let said = narrowed.then(|| {
        "The default plan's rule, for the kinds above that have no rule of their own. A kind that is not in \
         this history is not among them."
            .to_owned()
    });
    let mut rule = default.clone();
    rule.scope.kinds = kinds;
    Some(kept(rule, said))
}

fn kept<'a>(rule: Rule, said: Option<String>) -> Entry<'a> {
    Entry { rule, made_from: Vec::new(), said }
}

/// The check of a proposal; the plan's budget sets its run length.
fn check(proposal: &Proposal) -> Result<ChangeObserver, ObserverError> {
    ChangeObserver::new(proposal.params)?.budgeted()?.prepared(proposal.preparation)
}

fn models(decided: &[Decided<'_>]) -> Vec<Glob> {
    let mut ids: Vec<&ModelId> = decided.iter().map(|one| &one.sample.model_id).collect();
    ids.sort();
    ids.dedup();
    ids.into_iter().map(|id| Glob::new(id.as_str())).collect()
}

/// A kind as part of a rule's name: `Feature:left_edge` as `feature-left-edge`.
fn slug(kind: &MetricKind) -> String {
    let text = kind.to_string();
    let plain = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
    plain.take(SLUG_MAX).collect()
}

/// A name that no other rule has.
fn free(name: &str, names: &mut HashSet<String>) -> String {
    let mut found = name.to_owned();
    let mut number = 1;
    let default = MonitorPlan::default();
    // The default plan's own name may be taken only by the rule that replaces it whole.
    let kept =
        |name: &str| default.rules().iter().any(|rule| &*rule.name == name && rule.scope.kinds.len() > 1);
    while kept(&found) || !names.insert(found.clone()) {
        number += 1;
        found = format!("{name}-{number}");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_become_names() {
        let kind: MetricKind = "Feature:left_edge/Ä".parse().unwrap_or(MetricKind::F1);
        assert_eq!(slug(&kind), "f1", "only printable ASCII is a name");
        assert_eq!(slug(&"Feature:left_edge".parse().unwrap()), "feature-left-edge");
        let mut names = HashSet::new();
        assert_eq!(free("f1-change", &mut names), "f1-change");
        assert_eq!(free("f1-change", &mut names), "f1-change-2");
        assert_eq!(free("feature-change", &mut names), "feature-change-2");
    }
}
