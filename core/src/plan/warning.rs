//! What is said of a rule whose detector does not suit the budget, or the kinds that the rule is for.

use visu_tility_drift::{AnyParams, Detector, Direction, Input, PreparationParams, Setting};

use super::{FalseAlarmBudget, Glob, Rule};
use crate::check::{AlertOn, Check, Combine};
use crate::kind::{MetricKind, ValueRange};

/// The kinds without a name of their own that the rule is for: those of its patterns, or without patterns those that its
/// check watches by itself.
fn plain_kinds(rule: &Rule) -> impl Iterator<Item = MetricKind> {
    let all = rule.scope.kinds.is_empty();
    MetricKind::PLAIN.into_iter().filter(move |kind| {
        if all { rule.check.watches(kind) } else { Glob::any(&rule.scope.kinds, kind.family()) }
    })
}

/// The features and the kinds of the user's own that the rule is for, by the pattern that is of them.
fn named_kinds(rule: &Rule) -> impl Iterator<Item = &str> {
    [("Feature:", "Feature:*"), ("Custom:", "Custom:*")].into_iter().filter_map(|(family, any)| {
        if rule.scope.kinds.is_empty() {
            return Some(any);
        }
        let of_family = |pattern: &&Glob| {
            let (head, is_wild) = pattern.head();
            head.starts_with(family) || (is_wild && family.starts_with(&head))
        };
        rule.scope.kinds.iter().find(of_family).map(Glob::as_str)
    })
}

/// The word that a parameter is set to, if it has one.
fn word(detector: &AnyParams, name: &str) -> &'static str {
    match detector.get(name) {
        Some(Setting::Word(word)) => word,
        _ => "",
    }
}

/// One detector of a rule, with what the rule says of its values.
struct Member<'a> {
    /// What stands before its name: nothing where it is the only one.
    place: String,
    detector: &'a AnyParams,
    prepare: &'a PreparationParams,
    alert_on: AlertOn,
}

/// The detectors of a rule about changes.
fn members(rule: &Rule) -> Vec<Member<'_>> {
    match &rule.check {
        Check::Change(one) => vec![Member {
            place: String::new(),
            detector: one.detector(),
            prepare: one.preparation(),
            alert_on: one.alerts_on(),
        }],
        Check::Combination(all) => {
            let members = all.members().iter().enumerate().map(|(place, (detector, _))| Member {
                place: format!("member {}, ", place + 1),
                detector,
                prepare: all.preparation(),
                alert_on: all.alerts_on(),
            });
            members.collect()
        }
        _ => Vec::new(),
    }
}

/// Names a rule whose false alarms are not within the budget.
///
/// | `arl` of | is | warned of |
/// |---|---|---|
/// | the rule | missing in the detector, or 0 | yes |
/// | the rule | given | no: it is the rule's own bound, where the rule says it |
/// | a member of a vote or a gate | given | yes: it takes the whole combination out of the budget |
pub(super) fn unbound(rule: &Rule) -> Option<String> {
    let why = match &rule.check {
        Check::Change(change) => match change.detector().get("arl") {
            None => format!("detector {:?} has no `arl`", change.detector().name()),
            Some(Setting::Number(0.0)) => "`arl` is 0".to_owned(),
            Some(_) => return None,
        },
        Check::Combination(all) => match all.unbound() {
            Some(why) => why,
            None if all.is_budgeted() || matches!(all.combine(), Combine::EvidenceMerge(_)) => return None,
            None => "a member has an `arl` of its own, which takes all members out".to_owned(),
        },
        _ => return None,
    };
    Some(format!("rule {:?}: {why}, so its false alarms are not within the budget", rule.name))
}

/// Counts the rules that share a budget with one: those that the budget sets and that may be for the same model, itself
/// included. How many versions and kinds each watches is not known before they come.
fn sharers(rule: &Rule, rules: &[Rule]) -> u32 {
    let with = |other: &&Rule| {
        let (mine, theirs) = (&rule.scope.models, &other.scope.models);
        other.check.is_budgeted() && (mine.is_empty() || theirs.is_empty() || mine == theirs)
    };
    u32::try_from(rules.iter().filter(with).count()).unwrap_or(u32::MAX).max(1)
}

/// Names a rule whose detector cannot show the run length that the budget may ask for: at one value a second, when each
/// rule of the plan that shares the budget watches one version and kind of a model. With faster values, or more versions
/// and kinds, it asks for more.
pub(super) fn short(rule: &Rule, rules: &[Rule], budget: FalseAlarmBudget) -> Option<String> {
    let sharers = sharers(rule, rules);
    let arl = budget.run_length(None, sharers);
    let (whose, most) = match &rule.check {
        Check::Change(change) if change.is_budgeted() => {
            let mut detector = change.detector().build().ok()?;
            detector.set_arl(arl);
            (format!("{:?}", detector.name()), detector.arl()?)
        }
        Check::Combination(all) if all.is_budgeted() => ("a member".to_owned(), all.most_of(arl)?),
        _ => return None,
    };
    if most >= 0.999 * arl {
        return None;
    }
    let shared = match sharers {
        1 => "nothing else shares it on a model".to_owned(),
        rules => format!("the {rules} rules that share it watch one version and kind each"),
    };
    Some(format!(
        "rule {:?}: the windows of {whose} can show run lengths up to {most:.0}, and the budget asks for {arl:.0} at one \
         value a second when {shared}: beyond, its false alarms are not within the budget",
        rule.name
    ))
}

/// Names a rule one of whose detectors looks the wrong way for a kind, or takes other values.
pub(super) fn blind(rule: &Rule) -> Vec<String> {
    members(rule).iter().filter_map(|member| blind_member(rule, member)).collect()
}

fn blind_member(rule: &Rule, member: &Member<'_>) -> Option<String> {
    let Member { place, detector, prepare, alert_on } = member;
    let looks = match word(detector, "mode") {
        "up" => Direction::Up,
        "down" => Direction::Down,
        _ => Direction::Unknown,
    };
    // With a range of its own, or after a stage that makes bits, any value will do.
    let unit = matches!(detector.input(), Input::Bits | Input::Unit)
        && detector.get("low").is_none()
        && word(detector, "family") != "normal"
        && prepare.exceedance.is_none();
    // Of named kinds neither the range nor the bad direction is known.
    plain_kinds(rule).find_map(|kind| {
        let (name, bad) = (detector.name(), kind.bad_direction());
        if unit && kind.range() != ValueRange::Unit {
            return Some(format!(
                "rule {:?}: {place}detector {name:?} takes values from 0 to 1, and {kind} is {}",
                rule.name,
                kind.range().allowed()
            ));
        }
        let away = *alert_on == AlertOn::Bad && looks != Direction::Unknown && looks != bad;
        away.then(|| {
            format!(
                "rule {:?}: {place}detector {name:?} looks for mode = \"{}\" only, and {kind} is bad when it goes {}",
                rule.name,
                looks.as_str(),
                bad.as_str()
            )
        })
    })
}

/// Names a rule with a floor or a limit for kinds that are bad on its other side, or whose values are in another range.
pub(super) fn opposed(rule: &Rule) -> Option<String> {
    let fires = rule.check.fires_towards();
    if fires == Direction::Unknown {
        return None;
    }
    let (name, own) = (&rule.name, rule.check.type_name());
    plain_kinds(rule).find_map(|kind| {
        let bad = kind.bad_direction();
        if bad != fires {
            let (fires, bad) = (fires.as_str(), bad.as_str());
            return Some(format!(
                "rule {name:?}: type {own:?} fires when values go {fires}, and {kind} is bad when it goes {bad}"
            ));
        }
        // The floor itself is from 0 to 1.
        let other = matches!(rule.check, Check::Performance(_)) && kind.range() != ValueRange::Unit;
        let allowed = kind.range().allowed();
        other.then(|| {
            format!("rule {name:?}: `min_accuracy` is for values from 0 to 1, and {kind} is {allowed}")
        })
    })
}

/// Names a rule one of whose detectors takes values to be normal, for kinds that seldom are: a single value far out in a
/// heavy tail is then evidence beyond every threshold, and scaling does not make the tail lighter.
///
/// Only the law that a detector was given is held against `LatencyMs`, `Feature:*` and `Custom:*`. Not covered are other
/// kinds (a throughput may have a heavy tail too), detectors that take no law and have no bound for one (`page-hinkley`,
/// `adwin`, `novelty` and what is kept for river's and MOA's sake), and that means of a few heavy values are heavy too.
pub(super) fn heavy(rule: &Rule) -> Vec<String> {
    members(rule).iter().filter_map(|member| heavy_member(rule, member)).collect()
}

fn heavy_member(rule: &Rule, member: &Member<'_>) -> Option<String> {
    let Member { place, detector, prepare, .. } = member;
    let name = detector.name();
    let law = word(detector, "family");
    let normal = matches!((name, law), ("focus" | "cusum" | "bocpd", "gaussian") | ("e-sr", "normal"));
    if !normal || prepare.exceedance.is_some() {
        return None;
    }
    let latency = plain_kinds(rule).any(|kind| kind == MetricKind::LatencyMs);
    let kinds: Vec<&str> = latency.then_some("LatencyMs").into_iter().chain(named_kinds(rule)).collect();
    let (last, others) = kinds.split_last()?;
    let (kinds, are) = match others {
        [] => ((*last).to_owned(), "is"),
        others => (format!("{} and {last}", others.join(", ")), "are"),
    };
    Some(format!(
        "rule {:?}: {place}detector {name:?} with family = {law:?} takes values to be normal, which {kinds} seldom {are}: \
         heavy tails look like changes to it, also behind `standardize`; \"conformal-sr\", which ranks values, keeps to \
         its run length for any law of them",
        rule.name
    ))
}
