//! What is watched how: which observers look at which models, versions and kinds.
//!
//! A plan is built in code or read from TOML (`toml.rs`), is checked once, and is shared by all monitors.

mod defaults;
mod glob;
mod toml;
mod warning;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::alert::{Persistence, Severity};
use crate::check::Check;
use crate::error::ObserverError;
use crate::id::{ModelId, Version};
use crate::kind::MetricKind;
use crate::observer::MetricObserver;

pub use glob::Glob;
pub use toml::{PlanError, PlanProblem};

/// How late, repeated and disordered events are taken; see `docs/semantics.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPolicy {
    /// Which order of times is asked of the events of one version and kind. Default
    /// [`EventOrder::Arrival`].
    pub order: EventOrder,
    /// How far behind the newest event of its version and kind an event may be. Default 5 minutes.
    pub lateness_max: Duration,
    /// With arrival order: too-late events in a row, in order among themselves, after which the publisher's
    /// clock is taken to have been set back. Default 8.
    pub back_step_count: u32,
    /// Versions kept per model, 1 to 64; the one that was silent for longest gives way. Default 8.
    pub versions_max: u32,
    /// Pairs of version and kind kept per model, 1 to 4,096; more are refused. Default 256.
    pub series_max: u32,
}

impl Default for EventPolicy {
    fn default() -> Self {
        Self {
            order: EventOrder::Arrival,
            lateness_max: Duration::from_mins(5),
            back_step_count: 8,
            versions_max: 8,
            series_max: 256,
        }
    }
}

/// How many false alarms a model may give.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FalseAlarmBudget {
    /// False alarms per model and 30 days that all detectors that are budgeted give together at most, on
    /// average; in [1e-6, 1e6]. Default 1.
    pub false_alarms_per_30_days: f64,
}

impl FalseAlarmBudget {
    /// Event time without a reading after which a version and kind takes no share of the budget, until its next one: 8
    /// days, longer than a week, so that who publishes once a week keeps one.
    pub const SILENCE_MAX: Duration = Duration::from_hours(8 * 24);
}

impl Default for FalseAlarmBudget {
    fn default() -> Self {
        Self { false_alarms_per_30_days: 1.0 }
    }
}

/// Which order of times is asked of the events of one version and kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventOrder {
    /// Events count in the order in which they arrive; equal times are different events.
    #[default]
    Arrival,
    /// Times must rise; an event that is not newer than the last one is a repeat and left out. For
    /// publishers that send again what may have been lost.
    Strict,
}

/// What is done when a rule fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reaction {
    /// It is recorded; nobody is told.
    Record,
    /// An alert is raised, and resolved when it is over.
    #[default]
    Alert,
    /// A retrain is asked for, once per episode. Without the feature `automated_retraining` an alert is
    /// raised instead.
    Retrain,
    /// Both.
    AlertAndRetrain,
}

impl Reaction {
    /// Is true when an alert is raised in this build.
    pub const fn alerts(self) -> bool {
        match self {
            Self::Record => false,
            Self::Alert | Self::AlertAndRetrain => true,
            Self::Retrain => !cfg!(feature = "automated_retraining"),
        }
    }

    /// Is true when a retrain is asked for in this build.
    pub const fn retrains(self) -> bool {
        cfg!(feature = "automated_retraining") && matches!(self, Self::Retrain | Self::AlertAndRetrain)
    }

    /// Names the response as a plan does.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::Alert => "alert",
            Self::Retrain => "retrain",
            Self::AlertAndRetrain => "alert-and-retrain",
        }
    }
}

/// Which models, versions and kinds a rule is for. An empty list of kinds means those that the check
/// watches by itself; an empty list of models or versions means all.
///
/// | `fallback` | a version and kind of a model that is in the lists of |
/// |---|---|
/// | `false` | this rule is watched by it |
/// | `true` | this rule is watched by it if it is in those of no rule with the same purpose and without `fallback` |
///
/// Rules of one type have the same purpose; `change` and `combination` count as one type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Patterns of model ids.
    pub models: Vec<Glob>,
    /// Patterns of versions.
    pub versions: Vec<Glob>,
    /// Patterns of kinds in their wire form.
    pub kinds: Vec<Glob>,
    /// Whether the rule gives way to every other with the same purpose. Default no.
    pub fallback: bool,
}

/// One observer of a plan: a check, what it is for, and what follows when it fires.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Names it: a stable part of alert keys and action ids; unique within a plan.
    pub name: Arc<str>,
    /// What it is for.
    pub scope: Scope,
    /// What it checks.
    pub check: Check,
    /// How long its condition must hold, and be gone; a staleness rule, which sees no events, looks at the
    /// times only.
    pub persistence: Persistence,
    /// How much its alerts matter.
    pub severity: Severity,
    /// What follows when it fires.
    pub response: Reaction,
    /// Priority of its retrain requests; larger is sooner. Default 0.
    pub priority: i32,
}

impl Rule {
    /// The longest name, in bytes.
    pub const NAME_MAX: usize = 128;

    /// Builds a rule for all models with the check's own defaults: a change, also by several
    /// detectors or of vectors, is kept firing for an hour, a
    /// performance floor asks for a retrain, everything else raises an alert.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when the name is not 1 to 128 printable ASCII characters
    /// without blanks.
    pub fn new(name: impl AsRef<str>, check: Check) -> Result<Self, ObserverError> {
        let name = name.as_ref();
        if name.is_empty() || name.len() > Self::NAME_MAX || !name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(ObserverError::Config(format!(
                "`name` is {name:?}, must be 1 to {} printable ASCII characters without blanks",
                Self::NAME_MAX
            )));
        }
        let mut persistence = Persistence::default();
        if matches!(check, Check::Change(_) | Check::Combination(_) | Check::Embedding(_)) {
            persistence.keep_firing = Duration::from_hours(1);
        }
        let response =
            if matches!(check, Check::Performance(_)) { Reaction::Retrain } else { Reaction::Alert };
        Ok(Self {
            name: name.into(),
            scope: Scope::default(),
            check,
            persistence,
            severity: Severity::Warning,
            response,
            priority: 0,
        })
    }

    /// Is true when the rule is for this model. Whether a `fallback` gives way is the plan's to say:
    /// [`MonitorPlan::rules_for`].
    pub fn is_for_model(&self, model: &ModelId) -> bool {
        Glob::any(&self.scope.models, model.as_str())
    }

    /// Is true when the rule is for this version and kind of a model that it is for. Whether a `fallback` gives way is
    /// the plan's to say: [`MonitorPlan::rules_for`].
    pub fn is_for_series(&self, version: &Version, kind: &MetricKind) -> bool {
        if self.check.is_per_model()
            || !self.check.takes(kind)
            || !Glob::any(&self.scope.versions, version.as_str())
        {
            return false;
        }
        if self.scope.kinds.is_empty() {
            return self.check.watches(kind);
        }
        Glob::any(&self.scope.kinds, &kind.to_string())
    }
}

/// Leaves out the `fallback` rules that give way to others among these.
fn without_fallbacks(mut rules: Vec<(usize, &Rule)>) -> Vec<(usize, &Rule)> {
    if rules.iter().any(|(_, rule)| rule.scope.fallback) {
        let firm: Vec<&str> = rules
            .iter()
            .filter(|(_, rule)| !rule.scope.fallback)
            .map(|(_, rule)| rule.check.purpose())
            .collect();
        rules.retain(|(_, rule)| !rule.scope.fallback || !firm.contains(&rule.check.purpose()));
    }
    rules
}

/// What is watched how.
///
/// [`MonitorPlan::default`] watches every kind that arrives; [`MonitorPlan::empty`] watches nothing until
/// rules or observers are added.
///
/// # Examples
///
/// ```
/// use visu_tility_core::{MonitorPlan, PerformanceDegrader};
///
/// let plan = MonitorPlan::empty().with_observer(Box::new(PerformanceDegrader::new(0.85)?))?;
/// assert_eq!(plan.rules().len(), 1);
/// println!("{}", MonitorPlan::default());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MonitorPlan {
    pub(crate) events: EventPolicy,
    pub(crate) budget: FalseAlarmBudget,
    /// Somebody said what it is.
    pub(crate) budget_said: bool,
    pub(crate) rules: Vec<Rule>,
    pub(crate) observers: Vec<Arc<dyn MetricObserver>>,
}

impl MonitorPlan {
    /// The most rules of a plan.
    pub const RULES_MAX: usize = 1_000;
    /// The most observers of the user's own.
    pub const OBSERVERS_MAX: usize = 30;

    /// A plan that watches nothing.
    pub fn empty() -> Self {
        let (events, budget) = (EventPolicy::default(), FalseAlarmBudget::default());
        Self { events, budget, budget_said: false, rules: Vec::new(), observers: Vec::new() }
    }

    /// How events are taken.
    pub const fn events(&self) -> &EventPolicy {
        &self.events
    }

    /// How many false alarms a model may give.
    pub const fn budget(&self) -> &FalseAlarmBudget {
        &self.budget
    }

    /// The rules, in the order in which they see an event.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules that watch a version and kind of a model, with their places in [`MonitorPlan::rules`] and in that
    /// order. A `fallback` that gives way is not among them.
    pub fn rules_for(&self, model: &ModelId, version: &Version, kind: &MetricKind) -> Vec<(usize, &Rule)> {
        let rules = self.rules.iter().enumerate();
        let is_for = |rule: &Rule| rule.is_for_model(model) && rule.is_for_series(version, kind);
        without_fallbacks(rules.filter(|(_, rule)| is_for(rule)).collect())
    }

    /// The same for the rules that watch a model as a whole.
    pub fn rules_for_model(&self, model: &ModelId) -> Vec<(usize, &Rule)> {
        let rules = self.rules.iter().enumerate();
        let is_for = |rule: &Rule| rule.check.is_per_model() && rule.is_for_model(model);
        without_fallbacks(rules.filter(|(_, rule)| is_for(rule)).collect())
    }

    /// The observers of the user's own, which see an event after the rules.
    pub fn observers(&self) -> &[Arc<dyn MetricObserver>] {
        &self.observers
    }

    /// Sets how events are taken.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when a bound is out of its range.
    pub fn with_events(mut self, events: EventPolicy) -> Result<Self, ObserverError> {
        let check = |name: &str, value: u32, max: u32| {
            if (1..=max).contains(&value) {
                return Ok(());
            }
            Err(ObserverError::Config(format!("`{name}` is {value}, must be from 1 to {max}")))
        };
        check("versions_max", events.versions_max, 64)?;
        check("series_max", events.series_max, 4_096)?;
        check("back_step_count", events.back_step_count, 1_000)?;
        self.events = events;
        Ok(self)
    }

    /// Sets how many false alarms a model may give.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when it is out of its range.
    pub fn with_budget(mut self, budget: FalseAlarmBudget) -> Result<Self, ObserverError> {
        let value = budget.false_alarms_per_30_days;
        if !(1e-6..=1e6).contains(&value) {
            return Err(ObserverError::Config(format!(
                "`false_alarms_per_30_days` is {value}, must be from 0.000001 to 1000000"
            )));
        }
        self.budget = budget;
        self.budget_said = true;
        Ok(self)
    }

    /// Adds a rule.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when its name is taken or the plan is full.
    pub fn with_rule(mut self, rule: Rule) -> Result<Self, ObserverError> {
        self.check_name(&rule.name)?;
        if self.rules.len() >= Self::RULES_MAX {
            return Err(ObserverError::Config(format!("a plan has at most {} rules", Self::RULES_MAX)));
        }
        self.rules.push(rule);
        Ok(self)
    }

    /// Adds an observer: a built-in one becomes a rule for all models, one of the user's own is cloned for
    /// each model.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when its name is taken or not allowed, or the plan is full.
    pub fn with_observer(mut self, observer: Box<dyn MetricObserver>) -> Result<Self, ObserverError> {
        if let Some(check) = observer.builtin() {
            return self.with_rule(Rule::new(observer.name(), check)?);
        }
        // The same rules of naming hold for both.
        Rule::new(observer.name(), Check::Staleness(crate::check::StalenessObserver::learnt()))?;
        self.check_name(observer.name())?;
        if self.observers.len() >= Self::OBSERVERS_MAX {
            return Err(ObserverError::Config(format!(
                "a plan has at most {} observers of one's own",
                Self::OBSERVERS_MAX
            )));
        }
        self.observers.push(observer.into());
        Ok(self)
    }

    fn check_name(&self, name: &str) -> Result<(), ObserverError> {
        let taken = self.rules.iter().any(|rule| &*rule.name == name)
            || self.observers.iter().any(|observer| observer.name() == name);
        if taken {
            return Err(ObserverError::Config(format!("`name` is \"{name}\", which is taken already")));
        }
        Ok(())
    }

    /// Says what changes when `newer` takes the place of this plan.
    pub fn changes_to(&self, newer: &Self) -> PlanChange {
        let names = |plan: &Self| -> Vec<String> {
            let rules = plan.rules.iter().map(|rule| rule.name.to_string());
            rules.chain(plan.observers.iter().map(|observer| observer.name().to_owned())).collect()
        };
        let (old, new) = (names(self), names(newer));
        let changed = newer
            .rules
            .iter()
            .filter(|rule| self.rules.iter().any(|old| old.name == rule.name && old != *rule))
            .map(|rule| rule.name.to_string())
            .collect();
        PlanChange {
            added: new.iter().filter(|name| !old.contains(name)).cloned().collect(),
            removed: old.iter().filter(|name| !new.contains(name)).cloned().collect(),
            changed,
            events_changed: self.events != newer.events,
            budget_changed: self.budget != newer.budget,
        }
    }
}

/// What a reload changed, by name of rule or observer.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PlanChange {
    /// Were not there before.
    pub added: Vec<String>,
    /// Are there no more; their alerts are resolved.
    pub removed: Vec<String>,
    /// Have other settings; those whose check changed start afresh.
    pub changed: Vec<String>,
    /// Whether the rules for late and repeated events changed.
    pub events_changed: bool,
    /// Whether the budget of false alarms changed.
    #[serde(default)]
    pub budget_changed: bool,
}

impl fmt::Debug for MonitorPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let observers: Vec<&str> = self.observers.iter().map(|observer| observer.name()).collect();
        f.debug_struct("MonitorPlan")
            .field("events", &self.events)
            .field("budget", &self.budget)
            .field("budget_said", &self.budget_said)
            .field("rules", &self.rules)
            .field("observers", &observers)
            .finish()
    }
}

impl fmt::Display for MonitorPlan {
    /// One line per rule: its name, what it checks, and what it is for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |globs: &[Glob], all: &str| {
            if globs.is_empty() {
                return all.to_owned();
            }
            globs.iter().map(Glob::as_str).collect::<Vec<_>>().join(", ")
        };
        let wide = self.rules.iter().map(|rule| rule.name.len()).max().unwrap_or_default().clamp(20, 40);
        for rule in &self.rules {
            let kinds = match &rule.check {
                Check::Staleness(_) => "any event".to_owned(),
                Check::DriftScore(_) => list(&rule.scope.kinds, "DriftScore"),
                Check::Performance(_) => list(&rule.scope.kinds, "Accuracy"),
                Check::Latency(_) => list(&rule.scope.kinds, "LatencyMs"),
                Check::Distribution(_) => list(&rule.scope.kinds, "Feature:*, Confidence"),
                Check::Embedding(_) => list(&rule.scope.kinds, "Embedding:*"),
                Check::Change(_) | Check::Combination(_) | Check::DataQuality(_) => {
                    list(&rule.scope.kinds, "every kind")
                }
            };
            let check = match &rule.check {
                Check::Change(change) => format!("change ({})", change.detector().name()),
                Check::Combination(check) => check.label(),
                Check::Distribution(check) => format!("distribution ({})", check.distance_name()),
                Check::Embedding(check) => format!("embedding ({})", check.method().name()),
                check => check.type_name().to_owned(),
            };
            let models = list(&rule.scope.models, "all models");
            let (name, response) = (&rule.name, rule.response.as_str());
            let rest = if rule.scope.fallback { ", where no other does" } else { "" };
            writeln!(f, "{name:<wide$} {check:<22} {response:<8} {kinds} of {models}{rest}")?;
        }
        for observer in &self.observers {
            let (name, own) = (observer.name(), "your own");
            writeln!(f, "{name:<wide$} {own:<22} {:<8} every kind of all models", "")?;
        }
        Ok(())
    }
}
