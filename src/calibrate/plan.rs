//! The proposed plan: the default plan, and for the kinds that have a proposal rules of their own, to which the default
//! plan's give way. So a model, version or kind that is not in the history is watched as by default.

use std::collections::HashSet;
use std::time::Duration;

use visu_tility_core::{
    ChangeObserver, Check, Glob, MetricKind, ModelId, MonitorPlan, ObserverError, Rule, Version,
};
use visu_tility_drift::calibration::Proposal;

use super::choice::{Choice, has_detector};
use super::history::Sample;

/// A kind of a model, and what was decided for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided<'a> {
    pub(crate) sample: &'a Sample,
    pub(crate) choice: &'a Choice,
    /// How many detectors share its model's budget.
    pub(crate) sharers: u64,
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

/// What is said of a rule of the default plan that gives way to others.
const GIVES_WAY: &str = "The default plan's rule, for everything that no rule without `fallback` watches: models and kinds \
                         that are not in this history, and those without a proposal.";

/// The longest part of a rule's name that comes from the kind.
const SLUG_MAX: usize = 100;

/// Lists the rules in the order of the default plan's.
pub(crate) fn entries<'a>(decided: &[Decided<'a>]) -> Result<Vec<Entry<'a>>, ObserverError> {
    let default = MonitorPlan::default();
    let mut names: HashSet<String> = default.rules().iter().map(|rule| rule.name.to_string()).collect();
    let mut entries = Vec::new();
    for rule in default.rules() {
        let mine = |one: &&Decided<'a>| {
            let replaced = one.choice.default.as_ref().is_some_and(|own| own.name == rule.name);
            replaced && one.choice.proposal.is_some()
        };
        let mine: Vec<Decided<'a>> = decided.iter().filter(mine).copied().collect();
        entries.extend(own_rules(rule, &mine, &mut names)?);
        let mut rule = rule.clone();
        // Also one that watches the same kinds beside: it would be wrong about the same changes.
        let gives_way = has_detector(&rule) && decided.iter().any(|one| gives_way(&rule, *one));
        rule.scope.fallback |= gives_way;
        let said = gives_way.then(|| GIVES_WAY.to_owned());
        entries.push(Entry { rule, made_from: Vec::new(), said });
    }
    Ok(entries)
}

/// Whether a rule of the default plan would watch what a proposal does.
fn gives_way(rule: &Rule, one: Decided<'_>) -> bool {
    let version = Version::unversioned();
    one.choice.proposal.is_some() && rule.is_for_series(&version, &one.sample.kind)
}

/// The rules for kinds that have a proposal: one for each kind and all models with the same.
fn own_rules<'a>(
    default: &Rule,
    decided: &[Decided<'a>],
    names: &mut HashSet<String>,
) -> Result<Vec<Entry<'a>>, ObserverError> {
    let mut groups: Vec<(&MetricKind, ChangeObserver, Vec<Decided<'a>>)> = Vec::new();
    for one in decided {
        let Some(proposal) = &one.choice.proposal else { continue };
        let (kind, check) = (&one.sample.kind, check(proposal)?);
        match groups.iter_mut().find(|(other, same, _)| *other == kind && *same == check) {
            Some((_, _, group)) => group.push(*one),
            None => groups.push((kind, check, vec![*one])),
        }
    }
    // All of a kind side by side, in the order in which kinds are met.
    let order: Vec<&MetricKind> = groups.iter().map(|(kind, ..)| *kind).collect();
    groups.sort_by_key(|(kind, ..)| order.iter().position(|other| other == kind));
    let rule = |(kind, check, made_from): (&MetricKind, ChangeObserver, Vec<Decided<'a>>)| {
        let name = free(&format!("{}-calibrated", slug(kind)), names);
        let mut rule = Rule::new(name, Check::Change(check))?;
        rule.severity = default.severity;
        rule.scope.kinds = vec![Glob::literal(&kind.to_string())];
        rule.scope.models = models(&made_from);
        let keep = made_from.iter().filter_map(|one| one.keep_firing).max();
        rule.persistence.keep_firing = keep.unwrap_or(default.persistence.keep_firing);
        Ok(Entry { rule, made_from, said: None })
    };
    groups.into_iter().map(rule).collect()
}

/// How long an alert of `e-sr` is kept after the last alarm, so that it does not resolve while the level is bad.
///
/// The detector starts afresh after each alarm, and fires again and again while the level stays bad: about as often
/// as the change is seen in the first place. Twice the time in which the least change that matters is seen bridges
/// nearly all of these waits; longer than needed it would make one alert of two changes. In whole minutes, from
/// [`KEEP_LEAST`] to [`KEEP_MOST`].
pub(crate) fn keep_firing(seconds: f64) -> Duration {
    let minutes = (2.0 * seconds / 60.0).ceil().clamp(0.0, 1e6) as u64;
    Duration::from_mins(minutes).clamp(KEEP_LEAST, KEEP_MOST)
}

/// The check of a proposal; the plan's budget sets its run length.
fn check(proposal: &Proposal) -> Result<ChangeObserver, ObserverError> {
    ChangeObserver::new(proposal.params)?.budgeted()?.prepared(proposal.preparation)
}

fn models(decided: &[Decided<'_>]) -> Vec<Glob> {
    let mut ids: Vec<&ModelId> = decided.iter().map(|one| &one.sample.model_id).collect();
    ids.sort();
    ids.dedup();
    ids.into_iter().map(|id| Glob::literal(id.as_str())).collect()
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
    while !names.insert(found.clone()) {
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
        let mut names = HashSet::from(["feature-change".to_owned()]);
        assert_eq!(free("f1-change", &mut names), "f1-change");
        assert_eq!(free("f1-change", &mut names), "f1-change-2");
        assert_eq!(free("feature-change", &mut names), "feature-change-2");
    }
}
