//! One model's whole state machine: events and time in, records out.
//!
//! A pure fold: no clock, no I/O, no randomness, no hash order. The same events and times in the same
//! order give the same records, bit for bit. The parts: `series` keeps what belongs to one version and
//! kind, `order` decides about late and repeated events, `own` runs the user's observers so that a panic
//! costs one event, `emit` writes records, `snapshot` writes and reads the state, `status` shows it.

mod emit;
mod order;
mod own;
mod reload;
mod series;
mod snapshot;
mod status;

use std::sync::Arc;

use crate::action::ActionRecord;
use crate::check::{Check, Silence};
use crate::event::MetricEvent;
use crate::id::{ModelId, Version};
use crate::ingest::IngestError;
use crate::kind::MetricKind;
use crate::plan::MonitorPlan;
use crate::time::Timestamp;

use crate::alert::{AlertLife, Condition, Persistence, Transition};
use emit::Cause;
use own::Own;
use series::{HAS_MORE, Series, SeriesIndex};

pub use series::SeriesKey;
pub use snapshot::RestoreError;
pub use status::{AlertStatus, MonitorStatus, ObserverStatus, SeriesStatus};

/// One value of a known version and kind, as it reaches a monitor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Event time.
    pub at: Timestamp,
    /// The value, checked against its kind; `NaN` when it was due but is missing.
    pub value: f64,
    /// Its offset: rises with every event of the model.
    pub offset: u64,
}

/// What became of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Taken.
    Taken,
    /// Taken, though it is older than the newest of its version and kind.
    Late,
    /// Not taken: older than the plan's lateness allows.
    TooLate,
    /// Not taken: the plan asks for rising times and this one does not rise.
    Repeated,
    /// Not taken: the version and kind must be admitted first.
    UnknownSeries,
}

impl Admission {
    /// Is true when observers have seen it.
    pub const fn is_taken(self) -> bool {
        matches!(self, Self::Taken | Self::Late)
    }
}

/// Who panicked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Casualty {
    /// The observer's name.
    pub observer: Arc<str>,
    /// Whether it is back to where it was before the event; otherwise it had to start afresh.
    pub restored: bool,
}

/// What a monitor has counted since it was made or reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Values taken for versions that have since given way.
    pub evicted_taken: u64,
    /// Values taken that were older than the newest of their series.
    pub late: u64,
    /// Values taken that were missing.
    pub missing: u64,
    /// Refused as too late.
    pub too_late: u64,
    /// Refused as repeats.
    pub repeated: u64,
    /// Times that a publisher's clock was found to be set back.
    pub back_steps: u64,
    /// Versions that gave way to newer ones.
    pub versions_evicted: u64,
    /// Failures and panics of the user's observers.
    pub observer_failures: u64,
}

/// The dead man's switch of a rule.
#[derive(Clone, Debug)]
struct Switch {
    rule: u16,
    silence: Silence,
    life: AlertLife,
}

/// What not every reading needs.
#[derive(Debug)]
struct Cold {
    /// All series but the first.
    more: Vec<Series>,
    switches: Vec<Switch>,
    own: Option<Box<Own>>,
    plan: Arc<MonitorPlan>,
    model: ModelId,
    /// The largest time of a tick.
    ticked: Timestamp,
    /// The offset whose records `ordinal` counts.
    ordinal_of: u64,
    ordinal: u32,
    counts: Counts,
}

/// One model's state machine.
///
/// State: 128 bytes, which hold all that a reading of the first version and kind touches while it has one
/// small check and nothing fires; and about 300 bytes behind a pointer, plus those of further series and of
/// larger checks.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use visu_tility_core::{MetricEvent, MetricKind, ModelId, ModelMonitor, MonitorPlan, Timestamp};
///
/// let mut monitor = ModelMonitor::new(ModelId::new("fraud")?, Arc::new(MonitorPlan::default()));
/// let event = MetricEvent::new("fraud", MetricKind::DriftScore, 0.4)?.at(Timestamp::from_millis(5))?;
/// let records = monitor.observe(&event, 0);
/// assert_eq!(records[0].action.as_str(), "alert");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[repr(align(64))]
pub struct ModelMonitor {
    /// No timer is due before this time; it may be early, never late.
    next_deadline: Timestamp,
    last_offset: u64,
    /// The series that was seen first.
    first: Option<Series>,
    cold: Box<Cold>,
}

/// A deadline that never comes.
const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

impl ModelMonitor {
    /// Starts a model that has seen nothing.
    pub fn new(model: ModelId, plan: Arc<MonitorPlan>) -> Self {
        let cold = Cold {
            more: Vec::new(),
            switches: Self::switches(&model, &plan),
            own: Own::start(&plan),
            plan,
            model,
            ticked: Timestamp::EPOCH,
            ordinal_of: 0,
            ordinal: 0,
            counts: Counts::default(),
        };
        Self { next_deadline: NEVER, last_offset: 0, first: None, cold: Box::new(cold) }
    }

    /// Fresh switches of the rules that watch this model as a whole.
    fn switches(model: &ModelId, plan: &MonitorPlan) -> Vec<Switch> {
        let rules = plan.rules.iter().enumerate().filter(|(_, rule)| rule.is_for_model(model));
        let switches = rules.filter_map(|(index, rule)| match &rule.check {
            Check::Staleness(settings) => {
                let silence = Silence::new(settings);
                Some(Switch { rule: index as u16, silence, life: AlertLife::default() })
            }
            _ => None,
        });
        switches.collect()
    }

    /// The model that it is about.
    pub const fn model_id(&self) -> &ModelId {
        &self.cold.model
    }

    /// The plan that it follows.
    pub const fn plan(&self) -> &Arc<MonitorPlan> {
        &self.cold.plan
    }

    /// The offset of the last reading that was offered to it; 0 before the first.
    pub const fn last_offset(&self) -> u64 {
        self.last_offset
    }

    /// When [`ModelMonitor::tick`] is to be called if no event comes before; `None` when never. It may be
    /// earlier than needed, never later.
    #[inline]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        (self.next_deadline != NEVER).then_some(self.next_deadline)
    }

    /// The largest time seen, in events and ticks.
    fn now(&self) -> Timestamp {
        self.all().map(|series| series.newest).fold(self.cold.ticked, Timestamp::max)
    }

    /// Values taken, missing ones included.
    pub fn taken(&self) -> u64 {
        self.all().map(|series| series.taken).sum::<u64>() + self.cold.counts.evicted_taken
    }

    /// Reads what [`ModelMonitor::observe_reading`] will read first, so that a caller with many readings at
    /// hand can have the memory of several models fetched at once. The number means nothing.
    #[inline]
    pub fn touch(&self) -> u64 {
        self.last_offset ^ self.first.as_ref().map_or(0, |series| series.taken)
    }

    /// Takes one event: [`ModelMonitor::admit`] and [`ModelMonitor::observe_reading`] in one. An event
    /// without a time takes that of the newest event seen.
    pub fn observe(&mut self, event: &MetricEvent, offset: u64) -> Vec<ActionRecord> {
        let mut out = Vec::new();
        let at = event.ts().unwrap_or_else(|| self.now());
        let reading = Reading { at, value: event.raw_value(), offset };
        let key = SeriesKey::of(event.version(), event.kind());
        if self.observe_reading(key, &reading, &mut out) == Admission::UnknownSeries
            && self.admit(event.version(), event.kind(), &mut out).is_ok()
        {
            self.observe_reading(key, &reading, &mut out);
        }
        out
    }

    /// Makes a version and kind known, so that its readings are taken.
    ///
    /// When the model has as many versions as the plan allows, the one that was silent for longest gives
    /// way: its state is dropped and its alerts are resolved.
    ///
    /// # Errors
    ///
    /// Fails with [`IngestError::Limit`] when the model has as many pairs of version and kind as the plan
    /// allows.
    pub fn admit(
        &mut self,
        version: &Version,
        kind: &MetricKind,
        out: &mut Vec<ActionRecord>,
    ) -> Result<SeriesKey, IngestError> {
        let key = SeriesKey::of(version, kind);
        if self.find(key).is_some() {
            return Ok(key);
        }
        self.make_room_for(version, out);
        let max = self.cold.plan.events.series_max;
        if self.series_count() >= max as usize {
            return Err(IngestError::Limit { limit: "series_max".to_owned(), max: u64::from(max) });
        }
        let wanted = self.wanted(kind);
        self.push_series(Series::start(key, version, kind, &self.cold.model, &self.cold.plan, wanted));
        Ok(key)
    }

    /// Drops the longest silent version when `version` is new and there is no room for one more.
    fn make_room_for(&mut self, version: &Version, out: &mut Vec<ActionRecord>) {
        let mut versions: Vec<(Version, Timestamp)> = Vec::new();
        for series in self.all() {
            let newest = series.newest;
            match versions.iter_mut().find(|(name, _)| *name == series.info.version) {
                Some((_, last)) => *last = newest.max(*last),
                None => versions.push((series.info.version.clone(), newest)),
            }
        }
        if versions.len() < self.cold.plan.events.versions_max as usize
            || versions.iter().any(|(name, _)| name == version)
        {
            return;
        }
        let Some((oldest, _)) = versions.iter().min_by_key(|(_, last)| *last) else { return };
        for index in 0..self.series_count() {
            if self.series(index).is_some_and(|series| series.info.version == *oldest) {
                self.resolve_series(index, out);
            }
        }
        let (gone, kept): (Vec<Series>, Vec<Series>) =
            self.take_series().into_iter().partition(|series| series.info.version == *oldest);
        self.put_series(kept);
        self.cold.counts.evicted_taken += gone.iter().map(|series| series.taken).sum::<u64>();
        self.cold.counts.versions_evicted += 1;
    }

    /// Takes one value of a known version and kind.
    ///
    /// Time moves first: what falls due before the reading is told before it.
    #[inline]
    pub fn observe_reading(
        &mut self,
        key: SeriesKey,
        reading: &Reading,
        out: &mut Vec<ActionRecord>,
    ) -> Admission {
        // The common case, in two cache lines: the first series, in order, with nothing due and nobody
        // waiting behind its only rule.
        if let Some(series) = &mut self.first
            && series.key == key
            && reading.at > series.newest
            && reading.at < self.next_deadline
            && series.wanted == 0
            && !reading.value.is_nan()
            && let Some(instance) = &mut series.first
            && instance.life.is_none()
        {
            let verdict = instance.state.observe(reading.value);
            series.newest = reading.at;
            series.back_run = 0;
            let ordinal = series.taken;
            series.taken += 1;
            self.last_offset = reading.offset;
            if verdict.condition == Condition::Fire || verdict.detected {
                self.settle(0, 0, verdict, reading, ordinal, out);
            }
            return Admission::Taken;
        }
        self.observe_slowly(key, reading, out)
    }

    /// [`ModelMonitor::observe_reading`] for all other cases.
    #[inline(never)]
    fn observe_slowly(
        &mut self,
        key: SeriesKey,
        reading: &Reading,
        out: &mut Vec<ActionRecord>,
    ) -> Admission {
        let Some(index) = self.find(key) else {
            return Admission::UnknownSeries;
        };
        if reading.at >= self.next_deadline {
            self.tick(reading.at, out);
        }
        self.last_offset = reading.offset;
        let policy = self.cold.plan.events;
        let mut counts = self.cold.counts;
        let Some(series) = self.series_mut(index) else {
            return Admission::UnknownSeries;
        };
        let admission = if reading.at > series.newest {
            series.newest = reading.at;
            series.back_run = 0;
            Admission::Taken
        } else {
            let admission = order::admit(series, reading.at, &policy, &mut counts);
            self.cold.counts = counts;
            admission
        };
        if !admission.is_taken() {
            return admission;
        }
        if reading.value.is_nan() {
            self.cold.counts.missing += 1;
        }
        self.show_to_rules(index, reading, out);
        admission
    }

    /// Shows a reading that was taken to all observers.
    fn show_to_rules(&mut self, index: SeriesIndex, reading: &Reading, out: &mut Vec<ActionRecord>) {
        let Some(series) = self.series_mut(index) else { return };
        let ordinal = series.taken;
        series.taken += 1;
        let wanted = series.wanted & !HAS_MORE;
        let mut slot = 0;
        while let Some(instance) = self.instance(index, slot) {
            let verdict = instance.state.observe(reading.value);
            if verdict.condition == Condition::Fire || verdict.detected || instance.life.is_some() {
                self.settle(index, slot, verdict, reading, ordinal, out);
            }
            slot += 1;
        }
        if !self.cold.switches.is_empty() {
            self.hear(reading.at, out);
        }
        if wanted != 0 {
            self.run_own(index, reading, ordinal, 0, out);
        }
    }

    /// Lets time pass: waits that are over fire or resolve their alerts, silence that is too long fires.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<ActionRecord>) {
        self.cold.ticked = self.cold.ticked.max(now);
        let now = self.now();
        if now < self.next_deadline {
            return;
        }
        for index in 0..self.series_count() {
            let mut slot = 0;
            while self.instance(index, slot).is_some() {
                self.tick_instance(index, slot, now, out);
                slot += 1;
            }
        }
        for switch in 0..self.cold.switches.len() {
            self.tick_switch(switch, now, out);
        }
        if self.cold.own.is_some() {
            self.tick_own(now, out);
        }
        self.next_deadline = self.earliest();
    }

    /// The earliest time at which anything is due.
    fn earliest(&self) -> Timestamp {
        let instances = self.all().flat_map(Series::instances);
        let waits = instances.filter_map(|i| i.life.as_ref()?.deadline(&self.rule(i.rule)?.persistence));
        let silences = self.cold.switches.iter().filter_map(|switch| {
            let wait = self.rule(switch.rule).and_then(|rule| switch.life.deadline(&rule.persistence));
            let silence = if switch.life.is_alive() { None } else { switch.silence.deadline() };
            [wait, silence].into_iter().flatten().min()
        });
        let own = self.cold.own.as_ref().and_then(|own| own.deadline());
        waits.chain(silences).chain(own).min().unwrap_or(NEVER)
    }

    /// Makes sure that a wait which has just begun is not slept through.
    fn note_deadline(&mut self, deadline: Option<Timestamp>) {
        if let Some(deadline) = deadline {
            self.next_deadline = self.next_deadline.min(deadline);
        }
    }

    /// Tells the switches that an event has come.
    fn hear(&mut self, at: Timestamp, out: &mut Vec<ActionRecord>) {
        for index in 0..self.cold.switches.len() {
            let Some(switch) = self.cold.switches.get_mut(index) else { break };
            let fresh = switch.silence.last().is_none();
            switch.silence.observe(at);
            let (alive, deadline) = (switch.life.is_alive(), switch.silence.deadline());
            if alive {
                self.step_switch(index, Condition::Over, at, out);
            }
            if alive || fresh {
                self.note_deadline(deadline);
            }
        }
    }

    /// Fires a switch whose silence is too long by now.
    fn tick_switch(&mut self, index: usize, now: Timestamp, out: &mut Vec<ActionRecord>) {
        let Some(switch) = self.cold.switches.get(index) else { return };
        let alive = switch.life.is_alive();
        let silent = switch.silence.deadline().is_some_and(|due| now >= due);
        if !alive && silent {
            self.step_switch(index, Condition::Fire, now, out);
        } else if alive {
            self.move_switch(index, now, out, |life, rule| life.tick(now, rule));
        }
    }

    fn step_switch(
        &mut self,
        index: usize,
        condition: Condition,
        at: Timestamp,
        out: &mut Vec<ActionRecord>,
    ) {
        self.move_switch(index, at, out, |life, rule| life.step(condition, at, rule));
    }

    fn move_switch(
        &mut self,
        index: usize,
        at: Timestamp,
        out: &mut Vec<ActionRecord>,
        step: impl FnOnce(&mut AlertLife, &Persistence) -> Transition,
    ) {
        let rule = self.cold.switches.get(index).map(|switch| switch.rule);
        let Some(persistence) = rule.and_then(|rule| self.persistence(rule)) else { return };
        let Some(switch) = self.cold.switches.get_mut(index) else { return };
        let transition = step(&mut switch.life, &persistence);
        let deadline = switch.life.deadline(&persistence);
        self.note_deadline(deadline);
        self.emit_switch(index, transition, at, out);
    }

    /// Moves an instance's alert by time alone.
    fn tick_instance(
        &mut self,
        index: SeriesIndex,
        slot: usize,
        now: Timestamp,
        out: &mut Vec<ActionRecord>,
    ) {
        let Some(instance) = self.instance(index, slot) else { return };
        let (rule, mut life) = (instance.rule, instance.life());
        if !life.is_alive() {
            return;
        }
        let Some(persistence) = self.persistence(rule) else { return };
        let transition = life.tick(now, &persistence);
        if let Some(instance) = self.instance(index, slot) {
            instance.set_life(life);
        }
        self.emit_instance(index, slot, (transition, life), false, Cause::time(now), out);
    }

    fn persistence(&self, rule: u16) -> Option<Persistence> {
        self.rule(rule).map(|rule| rule.persistence)
    }

    /// Forgets what was seen and starts afresh with the same plan; alerts that are out are resolved.
    pub fn reset(&mut self, out: &mut Vec<ActionRecord>) {
        self.resolve_all(out);
        self.take_series();
        self.cold.switches = Self::switches(&self.cold.model, &self.cold.plan);
        self.cold.own = Own::start(&self.cold.plan);
        self.next_deadline = NEVER;
        self.cold.counts = Counts::default();
    }
}

#[cfg(test)]
mod tests;
