//! Runs the user's observers: a panic costs the observer the event that caused it, and nothing else.
//!
//! Each observer has a checkpoint (a clone) and the events seen since. After a panic the clone takes its
//! place and sees those events again; observers are deterministic, so it is where it was before the event.

use std::sync::Arc;

use visu_tility_drift::{Level, Signal};

use crate::action::{ActionRecord, Alert, ObserverAction, RetrainRequest};
use crate::alert::{AlertCondition, AlertLife, Persistence, Severity, Transition};
use crate::error::ObserverError;
use crate::event::MetricEvent;
use crate::footprint::{Deed, marked, within};
use crate::kind::MetricKind;
use crate::observer::MetricObserver;
use crate::plan::{MonitorPlan, Reaction};
use crate::time::Timestamp;

use super::body::Body;
use super::emit::{Cause, Demand, Origin, WELL};
use super::series::{SeriesIndex, SeriesKey};
use super::{Casualty, Reading};

/// Events seen before a new checkpoint is made.
const CHECKPOINT_EVERY: usize = 32;
/// Time between two calls of `on_tick`.
const TICK_EVERY: std::time::Duration = std::time::Duration::from_mins(1);
/// Calls of `on_tick` without a reading between; then the observers are left alone until the next one.
const TICKS_MAX: u32 = 60;

/// What an observer has seen since its checkpoint.
#[derive(Clone, Debug)]
enum Seen {
    Event(MetricEvent),
    Tick(Timestamp),
}

/// An alert of an observer on one series; `None` as series for what it said on a tick.
#[derive(Clone, Debug)]
pub(super) struct OwnLife {
    pub series: Option<SeriesKey>,
    pub life: AlertLife,
    pub response: Reaction,
    pub severity: Severity,
}

/// One of the user's observers, for this model.
pub(super) struct OwnObserver {
    pub name: Arc<str>,
    pub observer: Box<dyn MetricObserver>,
    checkpoint: Box<dyn MetricObserver>,
    seen: Vec<Seen>,
    pub lives: Vec<OwnLife>,
    pub failures: u64,
    pub last_failure: Option<String>,
}

impl std::fmt::Debug for OwnObserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnObserver")
            .field("name", &self.name)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

impl OwnObserver {
    fn start(place: usize, prototype: &Arc<dyn MetricObserver>) -> Self {
        let clone = || marked(place, Deed::Begin, || prototype.clone_observer());
        Self {
            name: prototype.name().into(),
            observer: clone(),
            checkpoint: clone(),
            seen: Vec::new(),
            lives: Vec::new(),
            failures: 0,
            last_failure: None,
        }
    }

    /// Lets the observer see something; a panic inside leaves checkpoint and list as they were.
    fn show(&mut self, what: Seen) -> Result<ObserverAction, ObserverError> {
        let answer = match &what {
            Seen::Event(event) => self.observer.on_metric(event),
            Seen::Tick(now) => self.observer.on_tick(*now),
        };
        self.seen.push(what);
        if self.seen.len() >= CHECKPOINT_EVERY {
            self.checkpoint = self.observer.clone();
            self.seen.clear();
        }
        answer
    }

    /// Puts the observer back to the last thing it saw without a panic.
    fn put_back(&mut self) {
        let mut observer = self.checkpoint.clone();
        for seen in &self.seen {
            // The answers were given before; only the state is wanted.
            let _ = match seen {
                Seen::Event(event) => observer.on_metric(event),
                Seen::Tick(now) => observer.on_tick(*now),
            };
        }
        self.observer = observer;
    }

    /// Takes the present state as checkpoint.
    pub fn mark(&mut self) {
        self.checkpoint = self.observer.clone();
        self.seen.clear();
    }
}

/// What an observer answered, taken apart.
struct Said {
    response: Option<Reaction>,
    severity: Severity,
    priority: i32,
    summary: String,
}

impl Said {
    const NOTHING: Self =
        Self { response: None, severity: Severity::Info, priority: 0, summary: String::new() };

    fn alert(alert: Alert) -> Self {
        let Alert { severity, summary, .. } = alert;
        Self { response: Some(Reaction::Alert), severity, priority: 0, summary }
    }

    fn retrain(request: RetrainRequest) -> Self {
        let RetrainRequest { reason, priority, .. } = request;
        Self { response: Some(Reaction::Retrain), severity: Severity::Warning, priority, summary: reason }
    }

    /// What the answer means for an episode of this response: an alert that is out stays out while a
    /// retrain is asked for, and the other way round.
    fn condition(&self, response: Reaction) -> AlertCondition {
        match self.response {
            None => AlertCondition::Clear,
            Some(said) if said == response => AlertCondition::Fire,
            Some(_) => AlertCondition::Hold,
        }
    }
}

/// What the user's code was doing.
#[derive(Clone, Copy, Debug)]
enum Doing {
    Reading { index: SeriesIndex, reading: Reading, ordinal: u64 },
    Tick(Timestamp),
}

/// Where the user's code is, so that a panic out of it can be told apart and mended.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// An observer sees something.
    Running { observer: usize, doing: Doing },
    /// An observer that panicked is put back; a panic here means that it must start afresh.
    Restoring { observer: usize, doing: Doing },
    /// The observers from this one on have not seen it yet.
    Resume { observer: usize, doing: Doing },
}

/// The user's observers of one model.
#[derive(Debug)]
pub(super) struct Own {
    pub observers: Vec<OwnObserver>,
    stage: Option<Stage>,
    /// Whose state is being written.
    pub writing: Option<usize>,
    pub next_tick: Timestamp,
    /// Ticks since the last reading.
    pub ticks: u32,
}

impl Own {
    /// Clones the plan's prototypes; `None` when there are none.
    pub fn start(plan: &MonitorPlan) -> Option<Box<Self>> {
        if plan.observers.is_empty() {
            return None;
        }
        let observers =
            plan.observers.iter().enumerate().map(|(place, own)| OwnObserver::start(place, own)).collect();
        Some(Box::new(Self {
            observers,
            stage: None,
            writing: None,
            next_tick: super::body::NEVER,
            ticks: 0,
        }))
    }

    /// One bit for each observer that wants the kind.
    pub fn wanting(&self, kind: &MetricKind) -> u32 {
        let bits = self.observers.iter().enumerate();
        bits.filter(|(i, own)| marked(*i, Deed::Begin, || own.observer.wants(kind)))
            .fold(0, |bits, (i, _)| bits | (1 << i))
    }

    /// Whose state could not be written, once told.
    pub fn unwritten(&mut self) -> Option<Arc<str>> {
        let place = self.writing.take()?;
        self.observers.get(place).map(|own| own.name.clone())
    }

    /// When `on_tick` is due.
    pub fn deadline(&self) -> Option<Timestamp> {
        (self.next_tick != super::body::NEVER).then_some(self.next_tick)
    }
}

impl Body {
    /// Shows a reading to the user's observers from `from` on.
    #[cold]
    pub(super) fn run_own(
        &mut self,
        index: SeriesIndex,
        reading: &Reading,
        ordinal: u64,
        from: usize,
        out: &mut Vec<ActionRecord>,
    ) {
        let Some(series) = self.series.get(index) else { return };
        let (key, wanted) = (series.key, series.wanted);
        let (version, kind) = (series.info.version.clone(), series.info.kind.clone());
        let value = (!reading.value.is_nan()).then_some(reading.value);
        let (model, at) = (self.model.clone(), Some(reading.at));
        let event = match &self.vector {
            Some(vector) => MetricEvent::from_vector(model, version, kind, at, Arc::clone(vector)),
            None => MetricEvent::from_parts(model, version, kind, at, value),
        };
        let Ok(event) = event else { return };
        if let Some(own) = &mut self.own {
            own.ticks = 0;
            if own.next_tick == super::body::NEVER {
                self.plan_tick(reading.at);
            }
        }
        let doing = Doing::Reading { index, reading: *reading, ordinal };
        let count = self.own.as_ref().map_or(0, |own| own.observers.len());
        for observer in from..count {
            if wanted & (1 << observer) == 0 {
                continue;
            }
            let answer = self.show(observer, doing, Seen::Event(event.clone()));
            self.answer(observer, Some((key, index)), answer, Cause::reading(reading, ordinal), out);
        }
    }

    /// Calls `on_tick` where it is due.
    pub(super) fn tick_own(&mut self, now: Timestamp, out: &mut Vec<ActionRecord>) {
        if self.own.as_ref().is_some_and(|own| now >= own.next_tick) {
            self.plan_tick(now);
            if let Some(own) = &mut self.own {
                own.ticks += 1;
                if own.ticks >= TICKS_MAX {
                    own.next_tick = super::body::NEVER;
                }
            }
            self.tick_own_from(0, now, out);
        }
    }

    fn plan_tick(&mut self, now: Timestamp) {
        let Some(own) = &mut self.own else { return };
        own.next_tick = now.plus(TICK_EVERY);
        let next = own.next_tick;
        self.note_deadline(Some(next));
    }

    fn tick_own_from(&mut self, from: usize, now: Timestamp, out: &mut Vec<ActionRecord>) {
        let count = self.own.as_ref().map_or(0, |own| own.observers.len());
        for observer in from..count {
            let answer = self.show(observer, Doing::Tick(now), Seen::Tick(now));
            self.answer(observer, None, answer, Cause::time(now), out);
        }
    }

    /// Runs the user's code, with a note of where it is in case it does not come back.
    fn show(&mut self, observer: usize, doing: Doing, what: Seen) -> Result<ObserverAction, ObserverError> {
        let Some(own) = &mut self.own else { return Ok(ObserverAction::NoOp) };
        own.stage = Some(Stage::Running { observer, doing });
        let shown = own.observers.get_mut(observer);
        let answer = shown.and_then(|own| within(observer, Deed::Observe, || own.show(what)));
        own.stage = None;
        answer.unwrap_or(Ok(ObserverAction::NoOp))
    }

    /// Moves the observer's alert on this series by what it answered.
    fn answer(
        &mut self,
        observer: usize,
        series: Option<(SeriesKey, SeriesIndex)>,
        answer: Result<ObserverAction, ObserverError>,
        cause: Cause,
        out: &mut Vec<ActionRecord>,
    ) {
        let now = self.now();
        let Some(own) = self.own.as_mut().and_then(|own| own.observers.get_mut(observer)) else {
            return;
        };
        let said = match answer {
            Ok(ObserverAction::Alert(alert)) => Said::alert(alert),
            Ok(ObserverAction::Retrain(request)) => Said::retrain(request),
            Ok(ObserverAction::NoOp) => Said::NOTHING,
            Err(error) => {
                own.failures += 1;
                own.last_failure = Some(error.to_string());
                self.counts.observer_failures += 1;
                return;
            }
        };
        let key = series.map(|(key, _)| key);
        if let Some(response) = said.response
            && !own.lives.iter().any(|life| life.series == key && life.response == response)
        {
            let severity = said.severity;
            own.lives.push(OwnLife { series: key, life: AlertLife::default(), response, severity });
        }
        let mut told = Vec::new();
        for own_life in own.lives.iter_mut().filter(|life| life.series == key) {
            let condition = said.condition(own_life.response);
            let mut transition = own_life.life.step(condition, now, &Persistence::default());
            let worse = condition == AlertCondition::Fire && said.severity > own_life.severity;
            if transition == Transition::Fired || worse {
                // Something worse than what was told is told again, under the same key.
                (transition, own_life.severity) = (Transition::Fired, said.severity);
            }
            told.push((transition, own_life.clone()));
        }
        own.lives.retain(|life| life.life.is_alive());
        let origin = Origin { observer: own.name.clone(), about: self.names_of(key) };
        let signal =
            Signal { level: Level::Drift, statistic: cause.value.unwrap_or(0.0), ..Signal::default() };
        for (transition, OwnLife { life, response, severity, .. }) in told {
            let summary = match said.summary.as_str() {
                "" => format!("{} ({})", self.model, origin.observer),
                text => text.to_owned(),
            };
            let demand = Demand { response, severity, priority: said.priority, summary, over: WELL };
            self.tell(&origin, (transition, life), signal, cause, demand, out);
        }
    }

    fn names_of(&self, key: Option<SeriesKey>) -> Option<(crate::id::Version, MetricKind)> {
        let series = self.series.get(self.find(key?)?)?;
        Some((series.info.version.clone(), series.info.kind.clone()))
    }

    /// As [`super::ModelMonitor::recover`].
    pub fn recover(&mut self) -> Option<Casualty> {
        let plan = self.plan.clone();
        let own = self.own.as_mut()?;
        let (observer, doing, restored) = match own.stage? {
            Stage::Running { observer, doing } => {
                own.stage = Some(Stage::Restoring { observer, doing });
                let own = own.observers.get_mut(observer)?;
                let _ = within(observer, Deed::Observe, || own.put_back());
                (observer, doing, true)
            }
            Stage::Restoring { observer, doing } => {
                let old = own.observers.get_mut(observer)?;
                let (lives, failures) = (std::mem::take(&mut old.lives), old.failures);
                let fresh = OwnObserver {
                    lives,
                    failures,
                    ..OwnObserver::start(observer, plan.observers.get(observer)?)
                };
                *own.observers.get_mut(observer)? = fresh;
                (observer, doing, false)
            }
            Stage::Resume { .. } => return None,
        };
        let on_tick = matches!(doing, Doing::Tick(_));
        own.stage = Some(Stage::Resume { observer: observer + 1, doing });
        let own = own.observers.get_mut(observer)?;
        own.failures += 1;
        own.last_failure = Some("panicked".to_owned());
        let casualty = Casualty { observer: own.name.clone(), restored, on_tick };
        self.counts.observer_failures += 1;
        Some(casualty)
    }

    /// Carries on after [`super::ModelMonitor::recover`]: shows the event to the observers that had not seen it.
    pub fn resume(&mut self, out: &mut Vec<ActionRecord>) {
        let Some(own) = &mut self.own else { return };
        let Some(Stage::Resume { observer, doing }) = own.stage.take() else { return };
        match doing {
            Doing::Reading { index, reading, ordinal } => {
                self.run_own(index, &reading, ordinal, observer, out);
            }
            Doing::Tick(now) => {
                self.tick_own_from(observer, now, out);
                self.next_deadline = self.earliest();
                if let Some((key, reading)) = self.pending.take() {
                    self.observe_reading(key, &reading, out);
                }
            }
        }
    }

    /// Resolves the alerts of the user's observers on one series, or, for `None`, all of them.
    pub(super) fn resolve_own(&mut self, key: Option<SeriesKey>, out: &mut Vec<ActionRecord>) {
        self.resolve_own_where(|_, life| key.is_none() || life.series == key, out);
    }

    /// Resolves those alerts of the user's observers, told by the observer's place, that are over.
    pub(super) fn resolve_own_where(
        &mut self,
        over: impl Fn(usize, &OwnLife) -> bool,
        out: &mut Vec<ActionRecord>,
    ) {
        let now = self.now();
        let Some(own) = &mut self.own else { return };
        let mut ended = Vec::new();
        for (place, observer) in own.observers.iter_mut().enumerate() {
            let name = observer.name.clone();
            observer.lives.retain(|life| {
                let ends = over(place, life);
                if ends {
                    ended.push((name.clone(), life.clone()));
                }
                !ends
            });
        }
        for (name, mut ended) in ended {
            let transition = ended.life.step(AlertCondition::Over, now, &Persistence::default());
            let origin = Origin { observer: name, about: self.names_of(ended.series) };
            let summary = format!("{} ({})", self.model, origin.observer);
            let demand = Demand {
                response: ended.response,
                severity: ended.severity,
                priority: 0,
                summary,
                over: WELL,
            };
            let signal = Signal { level: Level::Drift, ..Signal::default() };
            self.tell(&origin, (transition, ended.life), signal, Cause::time(now), demand, out);
        }
    }
}
