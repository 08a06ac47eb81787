//! A combination and its members: tables within a rule's table.

use visu_tility_drift::AnyParams;
use visu_tility_drift::Parameters;
use visu_tility_drift::combination::{EvidenceMergeParams, GateParams, VoteParams};

use super::check::{detector, preparation, said};
use super::choice;
use super::key::{self, Key};
use super::problem::Problems;
use super::read::foreign;
use super::section::{Section, Settings};
use super::value::{one_of, shown};
use crate::check::{CombinationObserver, Combine, refusal};
use crate::error::ObserverError;

/// A member as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    params: AnyParams,
    weight: f64,
    /// It says an `arl` of its own.
    says_arl: bool,
}

impl Member {
    /// One that every combination takes, in the place of one that was refused.
    fn stand_in() -> Self {
        let params = AnyParams::MixtureESr(visu_tility_drift::MixtureParams::default());
        Self { params, weight: 1.0, says_arl: false }
    }
}

/// Reads the members of a rule, and reports what is wrong with the rule's keys of them.
pub(super) fn members(section: &Section<'_>, problems: &mut Problems, rule: &Settings) -> Vec<Member> {
    let must = format!("must be {}", one_of(Combine::NAMES));
    section.require(problems, rule, "combine", &must);
    let most = CombinationObserver::MEMBERS_MAX;
    let must = format!("must be a list of 2 to {most} tables, with `combine` \"gate\" of 1");
    section.require(problems, rule, "members", &must);
    let list = section.entry("members").and_then(|(_, value)| value.as_ref().as_array());
    let list = list.map_or(&[][..], |list| list);
    let members = list.iter().enumerate().map(|(place, value)| {
        let at = value.span().start;
        let path = format!("{}.members[{place}]", section.path);
        let label = format!("{}: member {}", section.label, place + 1);
        let Some(table) = value.as_ref().as_table() else {
            let is = shown(value.as_ref());
            problems.add(
                at,
                path,
                format!("{label} is {is}, must be a table such as {{ detector = \"adwin\" }}"),
            );
            return Member::stand_in();
        };
        let table = Section { table, at, path, label };
        member(&table, problems, rule).unwrap_or_else(Member::stand_in)
    });
    members.collect()
}

/// Reads one member; `None` when it has a problem.
fn member(section: &Section<'_>, problems: &mut Problems, rule: &Settings) -> Option<Member> {
    let text = section.entry("detector").and_then(|(_, value)| value.as_ref().as_str());
    let name = AnyParams::NAMES.iter().copied().find(|name| Some(*name) == text);
    let groups = key::groups().iter().filter(|group| group.detector.is_some());
    let own = groups.filter(|group| group.is_of(None, name)).flat_map(|group| group.keys);
    let keys: Vec<&Key> = key::MEMBER.iter().chain(own).collect();
    let mut settings = section.settings(problems, &keys, |key| foreign(key, Some("change"), name, true));
    section.require(problems, &settings, "detector", &format!("must be {}", one_of(AnyParams::NAMES)));
    name?;
    let params = section.build(problems, &mut settings, |settings| {
        let params = detector(settings)?;
        params.check()?;
        Ok(params)
    })?;
    let combine = rule.word("combine").unwrap_or_default();
    let mut refused = refusal(combine, &params);
    let merge = combine == EVIDENCE_MERGE;
    let weight = settings.number("weight");
    if weight.is_some() && !merge && !combine.is_empty() {
        refused = Some(("weight", format!("`weight` says nothing with `combine` \"{combine}\"")));
    } else if let Some(weight) = weight.filter(|weight| !(*weight > 0.0 && weight.is_finite())) {
        refused = Some(("weight", format!("`weight` is {weight}, must be above 0 and finite")));
    }
    let says_arl = settings.parameter("arl").is_some();
    if says_arl && merge {
        let text = "`arl` says nothing here: that of the rule, or the budget, is for all members together";
        refused = Some(("arl", text.to_owned()));
    }
    if let Some((key, text)) = refused {
        section.problem(problems, key, &text);
        return None;
    }
    Some(Member { params, weight: weight.unwrap_or(1.0), says_arl })
}

const EVIDENCE_MERGE: &str = "evidence-merge";

/// Builds the check of the settings of its rule. What was refused or is missing has been reported; anything stands in
/// for it.
pub(super) fn build(settings: &Settings) -> Result<CombinationObserver, ObserverError> {
    let gate = gate(settings)?;
    let word = settings.word("combine");
    let combine = match word {
        Some(EVIDENCE_MERGE) => Combine::EvidenceMerge(said(settings)?),
        Some("gate") => Combine::Gate,
        Some(_) => Combine::Vote(said(settings)?),
        None => Combine::Vote(VoteParams::default()),
    };
    if word.is_some() {
        foreign_to::<VoteParams>(settings, "vote", &combine)?;
        foreign_to::<EvidenceMergeParams>(settings, EVIDENCE_MERGE, &combine)?;
    }
    let read = settings.members();
    let members = if word.is_some() && settings.has("members") { read.to_vec() } else { stand_ins(&combine) };
    let weighted = members.iter().map(|member| (member.params, member.weight)).collect();
    let observer = CombinationObserver::of(combine, weighted, gate)?
        .alert_on(settings.choice("alert_on", choice::ALERT_ON).unwrap_or_default())
        .prepared(preparation(settings)?)?;
    // Whoever does not say how often it may be wrong leaves it to the budget, if that can hold it.
    let said_so = settings.has("arl") || members.iter().any(|member| member.says_arl);
    if said_so || observer.unbound().is_some() { Ok(observer) } else { observer.budgeted() }
}

/// As many members as are asked for.
fn stand_ins(combine: &Combine) -> Vec<Member> {
    let count = match combine {
        Combine::Vote(params) => usize::from(params.need).clamp(2, CombinationObserver::MEMBERS_MAX),
        Combine::EvidenceMerge(_) => 2,
        Combine::Gate => 1,
    };
    vec![Member::stand_in(); count]
}

/// When to warn and to be armed again.
fn gate(settings: &Settings) -> Result<GateParams, ObserverError> {
    let rearm = settings.word("rearm").unwrap_or("at-once");
    for (key, wanted) in [("cool_down", "cool-down"), ("fallen_share", "fallen")] {
        if settings.has(key) && rearm != wanted && !settings.is_bad("rearm") {
            let text = format!("`{key}` says nothing without `rearm = \"{wanted}\"`");
            return Err(ObserverError::Config(text));
        }
    }
    let gate: GateParams = said(settings)?;
    // One that was refused would have done something.
    let refused = settings.is_bad("warn_share") || settings.is_bad("rearm");
    Ok(if refused { GateParams { warn_share: 0.5, ..gate } } else { gate })
}

/// Refuses what only another way to combine has.
fn foreign_to<P: Parameters>(
    settings: &Settings,
    other: &str,
    combine: &Combine,
) -> Result<(), ObserverError> {
    if combine.name() == other {
        return Ok(());
    }
    match P::ALL.iter().find(|known| settings.has(known.name)) {
        Some(known) => Err(ObserverError::Config(format!(
            "`{}` is a key of combine \"{other}\", not of combine \"{}\"",
            known.name,
            combine.name()
        ))),
        None => Ok(()),
    }
}
