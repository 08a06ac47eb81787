//! Several change detectors on the values of one version and kind, as one.

mod combined;

use std::sync::Arc;

use visu_tility_drift::combination::{
    EvidenceMerge, EvidenceMergeParams, Gate, GateParams, Rearm, Vote, VoteParams,
};
use visu_tility_drift::{
    AnyDetector, AnyParams, Detector, ParamError, PreparationParams, Setting, StandardizerParams,
};

use super::Check;
use super::before::settings_around;
use super::budgeted::{Budgeted, set_usual_arl};
use super::change::{AlertOn, ChangeState, seed_of};
use super::standalone::Standalone;
use crate::action::ObserverAction;
use crate::error::ObserverError;
use crate::event::MetricEvent;
use crate::kind::MetricKind;
use crate::observer::MetricObserver;

pub(crate) use combined::Combined;

/// How detectors are made into one.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Combine {
    /// A change is what enough of them say within a number of values.
    Vote(VoteParams),
    /// A change is what the weighted average of their e-values says.
    EvidenceMerge(EvidenceMergeParams),
    /// One detector, with its own way to warn and to be armed again.
    Gate,
}

impl Combine {
    /// The names, as in a plan.
    pub(crate) const NAMES: &'static [&'static str] = &["vote", "evidence-merge", "gate"];

    /// Names it as a plan does.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Vote(_) => "vote",
            Self::EvidenceMerge(_) => "evidence-merge",
            Self::Gate => "gate",
        }
    }

    /// How many members it may have.
    const fn sizes(&self) -> (usize, usize) {
        match self {
            Self::Vote(_) | Self::EvidenceMerge(_) => (2, CombinationObserver::MEMBERS_MAX),
            Self::Gate => (1, 1),
        }
    }
}

/// Tells when the level of a metric has changed, by several detectors or by one with a policy of its own.
///
/// Use it where one detector alone is not trusted, or speaks too often for one lasting change:
///
/// | `combine` | a change is | in the budget |
/// |---|---|---|
/// | vote | what `need` members say within `horizon` values | if more votes are needed than members have no `arl` |
/// | evidence-merge | the weighted average of the members' e-values at `arl` | as one detector |
/// | gate | what its one member says, when it is armed | as its member, unless that has `rearm = false` |
///
/// Around each a [`Gate`] may warn from a share of the threshold on and hold back drifts after a drift
/// ([`CombinationObserver::gated`]). What it holds back, and a vote that is short of `need`, is a warning: recorded, no
/// alert. What a change means for the alert is as for a [`super::ChangeObserver`], and so is what stands before the
/// members ([`CombinationObserver::prepared`]): all see the same values.
///
/// # False alarms
///
/// *Evidence-merge.* The members' e-values are on average at most the number of values since the start, so their
/// weighted average is, and an alarm at `arl` comes on average after at least `arl` values, however alike the members
/// ([`EvidenceMerge`]). This holds while what each member takes for good is so: the level of `e-sr`, the exchangeability
/// of `conformal-sr`. In a budget it is one sharer, whose `arl` is set.
///
/// *Vote.* Each drift takes `need` alarms of different members, each alarm counts once. `u` members without an `arl` can
/// be `u` of them; at least `need - u` are of the `b` others. Each of those is given `b / (need - u)` times the run length
/// that the budget leaves the vote, so that the vote keeps to it, whatever the dependence ([`Vote`]). With `need <= u`
/// nothing is known, and the vote is in no budget.
///
/// *Gate.* It lets through some of its member's alarms and makes none, so its member's run length is its own. With
/// `rearm = false` the member's is the time to its first alarm only, so that it is in no budget.
///
/// # Cost
///
/// That of the members. State: at most 4 KiB a member, so 32 KiB, and that of the preparation.
///
/// # Examples
///
/// ```
/// use visu_tility_core::{CombinationObserver, MetricEvent, MetricKind, MetricObserver};
/// use visu_tility_core::drift::AnyParams;
/// use visu_tility_core::drift::combination::VoteParams;
///
/// let members = ["focus", "page-hinkley", "adwin"].map(AnyParams::by_name);
/// let mut vote = CombinationObserver::vote(VoteParams::default(), members.into_iter().flatten())?;
/// let mut alarms = Vec::new();
/// for i in 0..2_000 {
///     let right = i * 7 % 10 >= if i < 1_000 { 1 } else { 6 };
///     let event = MetricEvent::new("digits", MetricKind::Correct, f64::from(u8::from(right)))?;
///     if vote.on_metric(&event)?.as_str() == "alert" {
///         alarms.push(i);
///     }
/// }
/// assert_eq!(alarms.first(), Some(&1_055));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CombinationObserver {
    combine: Combine,
    /// The detectors and their weights, which only a merge looks at.
    members: Vec<(AnyParams, f64)>,
    gate: GateParams,
    /// Built once, cloned for each stream: the clones share its tables.
    prototype: Arc<Combined>,
    /// The run length between false alarms follows from the plan's budget.
    budgeted: bool,
    prepare: Box<PreparationParams>,
    alert_on: AlertOn,
    seen: Standalone,
}

impl PartialEq for CombinationObserver {
    /// The prototype follows from the rest.
    fn eq(&self, other: &Self) -> bool {
        (&self.combine, &self.members, &self.gate, self.budgeted, &self.prepare, self.alert_on)
            == (&other.combine, &other.members, &other.gate, other.budgeted, &other.prepare, other.alert_on)
    }
}

impl CombinationObserver {
    /// The most members: 8. A vote and a merge have at least 2, a gate has 1.
    pub const MEMBERS_MAX: usize = 8;

    /// Builds a check that fires when enough of its members do.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`], naming the member and the parameter, when one is out of its range, when
    /// there are not 2 to 8 members or fewer than `need`, and when one has `rearm = false`: it would vote with every
    /// value.
    pub fn vote(
        params: VoteParams,
        members: impl IntoIterator<Item = AnyParams>,
    ) -> Result<Self, ObserverError> {
        let members = members.into_iter().map(|member| (member, 1.0)).collect();
        Self::of(Combine::Vote(params), members, GateParams::default())
    }

    /// Builds a check that fires when the weighted average of its members' e-values reaches `arl`. The members' own
    /// `arl` says nothing.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`], naming the member and the parameter, when one is out of its range, when
    /// there are not 2 to 8 members, when one has no e-value (`e-sr` and `conformal-sr` have), and when a weight is not
    /// above 0 and finite.
    pub fn evidence_merge(
        params: EvidenceMergeParams,
        members: impl IntoIterator<Item = (AnyParams, f64)>,
    ) -> Result<Self, ObserverError> {
        let members = members.into_iter().collect();
        Self::of(Combine::EvidenceMerge(params), members, GateParams::default())
    }

    /// Builds a check with one detector behind a gate.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when a parameter is out of its range, and when the gate would neither warn
    /// nor hold back anything.
    pub fn gate(params: GateParams, member: impl Into<AnyParams>) -> Result<Self, ObserverError> {
        Self::of(Combine::Gate, vec![(member.into(), 1.0)], params)
    }

    /// Builds any of them.
    pub(crate) fn of(
        combine: Combine,
        mut members: Vec<(AnyParams, f64)>,
        gate: GateParams,
    ) -> Result<Self, ObserverError> {
        let (least, most) = combine.sizes();
        let count = members.len();
        if !(least..=most).contains(&count) {
            let must = if least == most { least.to_string() } else { format!("{least} to {most}") };
            return Err(ObserverError::Config(format!(
                "`members` has {count}, must have {must} with `combine` \"{}\"",
                combine.name()
            )));
        }
        for (place, (member, weight)) in members.iter_mut().enumerate() {
            let named = |text: String| {
                ObserverError::Config(format!("member {} \"{}\": {text}", place + 1, member.name()))
            };
            member.check().map_err(|error| named(error.to_string()))?;
            if let Some((_, text)) = refusal(combine.name(), member) {
                return Err(named(text));
            }
            if let Combine::EvidenceMerge(_) = combine {
                let ok = *weight > 0.0 && weight.is_finite();
                ParamError::check("weight", *weight, ok, "above 0 and finite")
                    .map_err(|error| named(error.to_string()))?;
                // What is set from outside need not be told apart.
                set_usual_arl(member)?;
            }
        }
        if combine == Combine::Gate && gate.rearm == Rearm::AtOnce && gate.warn_share == 0.0 {
            return Err(ObserverError::Config(
                "`combine` is \"gate\", which does nothing without a `warn_share`, or a `rearm` that is not \"at-once\""
                    .to_owned(),
            ));
        }
        let prototype = Arc::new(build(&combine, &members, GateParams::default())?);
        let observer = Self {
            combine,
            members,
            gate: GateParams::default(),
            prototype,
            budgeted: false,
            prepare: Box::default(),
            alert_on: AlertOn::Bad,
            seen: Standalone::default(),
        };
        observer.gated(gate)
    }

    /// Says when to warn, and when a drift may follow a drift.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when a parameter is out of its range, and for a vote or a merge that is to
    /// be armed again when its statistic has fallen: both start afresh after a drift, so it always has.
    pub fn gated(mut self, params: GateParams) -> Result<Self, ObserverError> {
        params.validate()?;
        if params.rearm == Rearm::Fallen && self.combine != Combine::Gate {
            return Err(ObserverError::Config(format!(
                "`rearm` is \"fallen\", which says nothing with `combine` \"{}\": it starts afresh after a drift",
                self.combine.name()
            )));
        }
        self.prototype = Arc::new(build(&self.combine, &self.members, params)?);
        self.gate = params;
        self.aim();
        Ok(self)
    }

    /// Takes the run length between false alarms from the plan's budget.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when no bound is known: see the type's page.
    pub fn budgeted(mut self) -> Result<Self, ObserverError> {
        if let Some(why) = self.unbound() {
            return Err(ObserverError::Config(why));
        }
        if let Combine::EvidenceMerge(params) = &mut self.combine {
            params.arl = EvidenceMergeParams::default().arl;
        }
        for (member, _) in &mut self.members {
            set_usual_arl(member)?;
        }
        self.prototype = Arc::new(build(&self.combine, &self.members, self.gate)?);
        self.budgeted = true;
        self.aim();
        Ok(self)
    }

    /// Has the prototype begin as a budget has it.
    fn aim(&mut self) {
        if self.budgeted {
            Arc::make_mut(&mut self.prototype).set_arl(Budgeted::<Combined>::start_arl());
        }
    }

    /// Why no budget can hold it; nothing when one can.
    pub(crate) fn unbound(&self) -> Option<String> {
        let lasts = |(member, _): &&(AnyParams, f64)| member.get("rearm") == Some(Setting::Flag(false));
        match &self.combine {
            Combine::Gate if self.members.iter().any(|member| lasts(&member)) => Some(
                "its member has `rearm = false`, whose run length is that to its first alarm only".to_owned(),
            ),
            _ if self.prototype.arl().is_some() => None,
            Combine::Vote(params) => {
                let bare = self.prototype.members().iter().filter(|member| member.arl().is_none()).count();
                Some(format!(
                    "`need` is {} and {bare} of its members have no `arl` that a budget could set: they can be all its \
                     votes",
                    params.need
                ))
            }
            _ => Some("its member has no `arl` that a budget could set".to_owned()),
        }
    }

    /// How the members are made into one.
    pub const fn combine(&self) -> &Combine {
        &self.combine
    }

    /// The members' parameters and weights. An `arl` says nothing in a merge and where the budget sets it, a weight
    /// says nothing but in a merge.
    pub fn members(&self) -> &[(AnyParams, f64)] {
        &self.members
    }

    /// When it warns, and when it may speak again.
    pub const fn gate_params(&self) -> &GateParams {
        &self.gate
    }

    /// The run length that its members can show when `arl` is asked for.
    pub(crate) fn most_of(&self, arl: f64) -> Option<f64> {
        let mut combined = (*self.prototype).clone();
        combined.set_arl(arl);
        combined.arl()
    }

    /// What it is, in a few words: `vote (2 of 3)`.
    pub(crate) fn label(&self) -> String {
        let count = self.members.len();
        match (&self.combine, self.members.first()) {
            (Combine::Vote(params), _) => format!("vote ({} of {count})", params.need),
            (Combine::Gate, Some((member, _))) => format!("gate ({})", member.name()),
            (combine, _) => format!("{} ({count})", combine.name()),
        }
    }

    pub(super) fn start(&self, kind: &MetricKind) -> ChangeState<Combined> {
        let detector = Budgeted::new((*self.prototype).clone(), self.budgeted);
        let seeds = self.members.iter().map(|(member, _)| seed_of(member));
        let seed = seeds.fold(0_u64, |all, seed| all.rotate_left(7) ^ seed);
        ChangeState::new(detector, &self.prepare, self.alert_on.bad_direction(kind), seed)
    }

    fn settings(&self) -> Check {
        Check::Combination(Self { seen: Standalone::default(), ..self.clone() })
    }
}

/// Why a detector cannot be a member: the parameter, and what is said of it.
pub(crate) fn refusal(combine: &str, member: &AnyParams) -> Option<(&'static str, String)> {
    let takes = |params: AnyParams| params.build().is_ok_and(|member| EvidenceMerge::takes(&member));
    if combine == "evidence-merge" && !takes(*member) {
        let known = AnyParams::NAMES.iter().filter(|name| AnyParams::by_name(name).is_some_and(takes));
        let known: Vec<String> = known.map(|name| format!("\"{name}\"")).collect();
        let text = format!(
            "`detector` is \"{}\", which has no e-value: an evidence-merge takes {}",
            member.name(),
            known.join(" and ")
        );
        return Some(("detector", text));
    }
    if combine == "vote" && member.get("rearm") == Some(Setting::Flag(false)) {
        let text = "`rearm` is false, must be true in a vote: it would vote with every value after its alarm";
        return Some(("rearm", text.to_owned()));
    }
    None
}

/// Builds the detector. The members have been checked.
fn build(
    combine: &Combine,
    members: &[(AnyParams, f64)],
    gate: GateParams,
) -> Result<Combined, ObserverError> {
    let detectors: Result<Vec<AnyDetector>, ParamError> =
        members.iter().map(|(member, _)| member.build()).collect();
    let mut detectors = detectors?;
    Ok(match combine {
        Combine::Vote(params) => Combined::Vote(Gate::over(gate, Vote::new(*params, detectors)?)?),
        Combine::EvidenceMerge(params) => {
            let weights: Vec<f64> = members.iter().map(|(_, weight)| *weight).collect();
            Combined::Merge(Gate::over(gate, EvidenceMerge::new(*params, detectors, &weights)?)?)
        }
        Combine::Gate => {
            let none = || ObserverError::Config("`members` has 0, must have 1".to_owned());
            Combined::One(Gate::over(gate, detectors.pop().ok_or_else(none)?)?)
        }
    })
}

settings_around!(CombinationObserver);

impl MetricObserver for CombinationObserver {
    fn name(&self) -> &'static str {
        self.combine.name()
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        let check = self.settings();
        self.seen.alert(&check, event)
    }

    fn builtin(&self) -> Option<Check> {
        Some(self.settings())
    }
}
