//! Writes records: what an alert's transition or a detection means for the outside.

use std::sync::Arc;

use visu_tility_drift::{Direction, Level, Signal};

use crate::action::{ActionId, ActionRecord, Alert, ObserverAction, RetrainRequest};
use crate::alert::{AlertCondition, AlertLife, AlertPhase, Persistence, Severity, Transition, dedup_key};
use crate::check::{Check, Verdict, figure};
use crate::id::Version;
use crate::kind::MetricKind;
use crate::plan::{Reaction, Rule};
use crate::time::Timestamp;

use super::Reading;
use super::body::Body;
use super::series::SeriesIndex;

/// What led to a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause {
    pub at: Timestamp,
    pub value: Option<f64>,
    pub series_index: u64,
}

impl Cause {
    /// Time alone.
    pub const fn time(at: Timestamp) -> Self {
        Self { at, value: None, series_index: 0 }
    }

    /// A reading, the `ordinal`th of its series.
    pub fn reading(reading: &Reading, ordinal: u64) -> Self {
        let value = (!reading.value.is_nan()).then_some(reading.value);
        Self { at: reading.at, value, series_index: ordinal }
    }
}

/// Whose record it is: the observer, and the version and kind, if it is not about the model as a whole.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub observer: Arc<str>,
    pub about: Option<(Version, MetricKind)>,
}

impl Origin {
    fn of(rule: &Rule, about: Option<(Version, MetricKind)>) -> Self {
        Self { observer: rule.name.clone(), about }
    }

    /// The parts of the alert's key.
    fn key(&self, model: &str) -> String {
        let (version, kind) = match &self.about {
            Some((version, kind)) => (version.as_str(), kind.to_string()),
            None => ("", String::new()),
        };
        dedup_key(&[model, version, &kind, &self.observer])
    }

    /// `Accuracy of fraud version 2` or `fraud`.
    fn subject(&self, model: &str) -> String {
        match &self.about {
            Some((version, kind)) if *version == Version::unversioned() => format!("{kind} of {model}"),
            Some((version, kind)) => format!("{kind} of {model} version {version}"),
            None => model.to_owned(),
        }
    }
}

/// One line for a person: what was seen, and the figures it rests on.
fn summary(rule: &Rule, subject: &str, signal: &Signal, grounds: Option<String>) -> String {
    let (statistic, threshold) = (figure(signal.statistic), figure(signal.threshold));
    let grounds = grounds.unwrap_or_default();
    let what = match (&rule.check, signal.direction) {
        (Check::Change(_), Direction::Down) => format!("fell: change {statistic} against {threshold}"),
        (Check::Change(_), Direction::Up) => format!("rose: change {statistic} against {threshold}"),
        (Check::Change(_), Direction::Unknown) | (Check::Embedding(_), _) => {
            format!("changed: {statistic} against {threshold}")
        }
        (Check::Combination(_), Direction::Down) => format!("fell: {grounds}"),
        (Check::Combination(_), Direction::Up) => format!("rose: {grounds}"),
        (Check::Combination(_), Direction::Unknown) => format!("changed: {grounds}"),
        (Check::Distribution(_), Direction::Down) => {
            format!("is distributed lower: distance {statistic} against {threshold}")
        }
        (Check::Distribution(_), Direction::Up) => {
            format!("is distributed higher: distance {statistic} against {threshold}")
        }
        (Check::Distribution(_), Direction::Unknown) => {
            format!("is distributed otherwise: distance {statistic} against {threshold}")
        }
        (Check::DriftScore(_), _) => format!("is {statistic}, above {threshold}"),
        (Check::Performance(_), _) => format!("averages {statistic}, below {threshold}"),
        (Check::Latency(_), _) => format!("is within its objective for {statistic}, below {threshold}"),
        (Check::DataQuality(_), _) => {
            format!("has a share of {statistic} missing or out of range, above {threshold}")
        }
        (Check::Staleness(_), _) => format!("has been silent for {}", span(signal.statistic)),
    };
    format!("{subject} {what} ({})", rule.name)
}

/// Said of what is as it should be.
pub(super) const WELL: &str = "is well again";

/// What is said when the alert of a check is over: many a detector that has found a change takes what came after it as
/// usual, so that its silence is no sign that all is well; a change back is (`detected`).
const fn over(check: &Check, detected: bool) -> &'static str {
    match check {
        Check::Change(_) | Check::Combination(_) if !detected => {
            "shows no further change, which does not say that it is good again"
        }
        _ => WELL,
    }
}

/// A span in seconds, in the two largest units that it has.
fn span(seconds: f64) -> String {
    let seconds = seconds as u64;
    let units = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let mut parts = units.iter().scan(seconds, |rest, (unit, size)| {
        let count = *rest / size;
        *rest %= size;
        Some((count, *unit))
    });
    let first = parts.find(|(count, _)| *count > 0);
    let Some((count, unit)) = first else { return "0 s".into() };
    match parts.next() {
        Some((more, smaller)) if more > 0 => format!("{count} {unit} {more} {smaller}"),
        _ => format!("{count} {unit}"),
    }
}

/// What an observer wants when it fires.
pub(super) struct Demand {
    pub response: Reaction,
    pub severity: Severity,
    pub priority: i32,
    pub summary: String,
    /// What is said of the subject when the alert is over.
    pub over: &'static str,
}

impl Body {
    /// Takes a verdict that needs more than a look: moves the alert and writes what is to be told.
    #[cold]
    pub(super) fn settle(
        &mut self,
        index: SeriesIndex,
        slot: usize,
        verdict: Verdict,
        reading: &Reading,
        ordinal: u64,
        out: &mut Vec<ActionRecord>,
    ) {
        let Some(rule) = self.instance(index, slot).map(|instance| instance.rule) else { return };
        let Some(persistence) = self.persistence(rule) else { return };
        let now = self.now();
        let Some(instance) = self.instance(index, slot) else { return };
        let mut life = instance.life();
        let transition = life.step(verdict.condition, now, &persistence);
        instance.set_life(life);
        self.note_deadline(life.deadline(&persistence));
        let cause = Cause::reading(reading, ordinal);
        self.emit_instance(index, slot, (transition, life), verdict.detected, cause, out);
    }

    /// Writes what an instance's transition means.
    pub(super) fn emit_instance(
        &mut self,
        index: SeriesIndex,
        slot: usize,
        (transition, life): (Transition, AlertLife),
        detected: bool,
        cause: Cause,
        out: &mut Vec<ActionRecord>,
    ) {
        if transition == Transition::None && !detected {
            return;
        }
        let Some(series) = self.series.get(index) else { return };
        let Some(instance) = series.instances().nth(slot) else { return };
        let Some(rule) = self.rule(instance.rule) else { return };
        let about = (series.info.version.clone(), series.info.kind.clone());
        let origin = Origin::of(rule, Some(about));
        let signal = instance.state.signal();
        let demand = Demand {
            response: rule.response,
            severity: rule.severity,
            priority: rule.priority,
            summary: summary(rule, &origin.subject(self.model.as_str()), &signal, instance.state.grounds()),
            over: over(&rule.check, detected),
        };
        if transition != Transition::Fired && detected {
            self.write(&origin, signal, cause, ObserverAction::NoOp, out);
        }
        self.tell(&origin, (transition, life), signal, cause, demand, out);
    }

    /// Writes what a dead man's switch has to tell.
    pub(super) fn emit_switch(
        &mut self,
        index: usize,
        transition: Transition,
        at: Timestamp,
        out: &mut Vec<ActionRecord>,
    ) {
        if transition == Transition::None {
            return;
        }
        let Some(switch) = self.switches.get(index) else { return };
        let Some(rule) = self.rule(switch.rule) else { return };
        let silent = switch.silence.last().map_or(0.0, |last| at.since(last).as_secs_f64());
        let limit = switch.silence.limit().as_secs_f64();
        let signal = Signal { level: Level::Drift, statistic: silent, threshold: limit, ..Signal::default() };
        let demand = Demand {
            response: rule.response,
            severity: rule.severity,
            priority: rule.priority,
            summary: format!("{} has been silent for {} ({})", self.model, span(silent), rule.name),
            over: WELL,
        };
        let (origin, life) = (Origin::of(rule, None), switch.life);
        self.tell(&origin, (transition, life), signal, Cause::time(at), demand, out);
    }

    /// Writes the records of a transition: an alert, a retrain, both, or that there was something.
    pub(super) fn tell(
        &mut self,
        origin: &Origin,
        (transition, life): (Transition, AlertLife),
        signal: Signal,
        cause: Cause,
        demand: Demand,
        out: &mut Vec<ActionRecord>,
    ) {
        let Demand { response, severity, priority, summary, over } = demand;
        let phase = match transition {
            Transition::None => return,
            Transition::Fired => AlertPhase::Firing,
            Transition::Resolved => AlertPhase::Resolved,
        };
        let fired = phase == AlertPhase::Firing;
        let level = if fired { Level::Drift } else { Level::Normal };
        let signal = Signal { level, ..signal };
        if response.alerts() {
            let dedup_key = origin.key(self.model.as_str());
            let summary = if fired {
                summary.clone()
            } else {
                format!("{} {over} ({})", origin.subject(self.model.as_str()), origin.observer)
            };
            let alert = Alert { dedup_key, severity, phase, started: life.started(), summary };
            self.write(origin, signal, cause, ObserverAction::Alert(alert), out);
        }
        if response.retrains() && fired {
            let request = RetrainRequest { reason: summary, priority, since: life.started() };
            self.write(origin, signal, cause, ObserverAction::Retrain(request), out);
        } else if fired && !response.alerts() {
            self.write(origin, signal, cause, ObserverAction::NoOp, out);
        }
    }

    /// Appends one record under the next id of the present offset.
    pub(super) fn write(
        &mut self,
        origin: &Origin,
        signal: Signal,
        cause: Cause,
        action: ObserverAction,
        out: &mut Vec<ActionRecord>,
    ) {
        let offset = self.last_offset;
        if self.ordinal_of != offset {
            (self.ordinal_of, self.ordinal) = (offset, 0);
        }
        let (model_id, observer) = (self.model.clone(), origin.observer.clone());
        let id = ActionId { model_id, offset, observer, ordinal: self.ordinal };
        self.ordinal += 1;
        let (version, kind) = origin.about.clone().unzip();
        out.push(ActionRecord {
            id,
            version,
            kind,
            at: cause.at,
            series_index: cause.series_index,
            level: signal.level,
            direction: signal.direction,
            statistic: signal.statistic,
            threshold: signal.threshold,
            since: signal.since,
            value: cause.value,
            action,
        });
    }

    /// Resolves every alert of one series that is out.
    pub(super) fn resolve_series(&mut self, index: SeriesIndex, out: &mut Vec<ActionRecord>) {
        let mut slot = 0;
        while self.instance(index, slot).is_some() {
            self.resolve_instance(index, slot, out);
            slot += 1;
        }
        if let Some(key) = self.series.get(index).map(|series| series.key) {
            self.resolve_own(Some(key), out);
        }
    }

    /// Resolves an instance's alert, if it is out.
    pub(super) fn resolve_instance(&mut self, index: SeriesIndex, slot: usize, out: &mut Vec<ActionRecord>) {
        let now = self.now();
        let Some(instance) = self.instance(index, slot) else { return };
        let mut life = instance.life();
        let transition = life.step(AlertCondition::Over, now, &Persistence::default());
        instance.set_life(life);
        self.emit_instance(index, slot, (transition, life), false, Cause::time(now), out);
    }

    /// Resolves every alert of the model that is out.
    pub(super) fn resolve_all(&mut self, out: &mut Vec<ActionRecord>) {
        for index in 0..self.series.len() {
            self.resolve_series(index, out);
        }
        let now = self.now();
        for index in 0..self.switches.len() {
            self.step_switch(index, AlertCondition::Over, now, out);
        }
        self.resolve_own(None, out);
    }
}
