//! The state machine behind the lane: everything that is decided about one model.

use std::sync::Arc;

use super::budget::Division;
use super::emit::Cause;
use super::order;
use super::own::Own;
use super::series::{Series, SeriesIndex, SeriesKey, Share};
use super::{Admission, Reading};
use crate::action::ActionRecord;
use crate::alert::{AlertCondition, AlertLife, Persistence, Transition};
use crate::check::{Check, Silence};
use crate::id::{ModelId, Version};
use crate::ingest::IngestError;
use crate::kind::MetricKind;
use crate::plan::MonitorPlan;
use crate::time::Timestamp;

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
pub(super) struct Switch {
    pub rule: u16,
    pub silence: Silence,
    pub life: AlertLife,
}

/// One model's state machine, but for the lane.
#[derive(Debug)]
pub(super) struct Body {
    /// No timer is due before this time; it may be early, never late.
    pub next_deadline: Timestamp,
    pub last_offset: u64,
    /// No budgeted series has been silent for too long before a reading of this time; it may be early, never late.
    pub silence_due: Timestamp,
    /// How the budget is divided; none while nothing shares it.
    pub division: Option<Box<Division>>,
    /// In the order in which they were first seen.
    pub series: Vec<Series>,
    pub switches: Vec<Switch>,
    pub own: Option<Box<Own>>,
    /// The reading before which time is passing.
    pub pending: Option<(SeriesKey, Reading)>,
    /// The vector of the reading that is being taken, if it has one.
    pub vector: Option<Arc<[f32]>>,
    pub plan: Arc<MonitorPlan>,
    pub model: ModelId,
    /// The largest time of a tick.
    pub ticked: Timestamp,
    /// The offset whose records `ordinal` counts.
    pub ordinal_of: u64,
    pub ordinal: u32,
    pub counts: Counts,
}

/// A deadline that never comes.
pub(super) const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

impl Body {
    /// Starts a model that has seen nothing.
    pub fn new(model: ModelId, plan: Arc<MonitorPlan>) -> Self {
        Self {
            next_deadline: NEVER,
            last_offset: 0,
            silence_due: NEVER,
            division: None,
            series: Vec::new(),
            switches: Self::switches(&model, &plan),
            own: Own::start(&plan),
            pending: None,
            vector: None,
            plan,
            model,
            ticked: Timestamp::EPOCH,
            ordinal_of: 0,
            ordinal: 0,
            counts: Counts::default(),
        }
    }

    /// Fresh switches of the rules that watch this model as a whole.
    pub(super) fn switches(model: &ModelId, plan: &MonitorPlan) -> Vec<Switch> {
        let rules = plan.rules_for_model(model).into_iter();
        let switches = rules.filter_map(|(index, rule)| match &rule.check {
            Check::Staleness(settings) => {
                let silence = Silence::new(settings);
                Some(Switch { rule: index as u16, silence, life: AlertLife::default() })
            }
            _ => None,
        });
        switches.collect()
    }

    /// When [`super::ModelMonitor::tick`] is to be called if no event comes before; `None` when never. It may be
    /// earlier than needed, never later.
    #[inline]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        (self.next_deadline != NEVER).then_some(self.next_deadline)
    }

    /// The largest time seen, in events and ticks.
    pub(super) fn now(&self) -> Timestamp {
        self.series.iter().map(|series| series.newest).fold(self.ticked, Timestamp::max)
    }

    /// Values taken, missing ones included.
    pub fn taken(&self) -> u64 {
        self.series.iter().map(|series| series.taken).sum::<u64>() + self.counts.evicted_taken
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
        let max = self.plan.events.series_max;
        if self.series.len() >= max as usize {
            return Err(IngestError::Limit { limit: "series_max".to_owned(), max: u64::from(max) });
        }
        let wanted = self.wanted(kind);
        self.push_series(Series::start(key, version, kind, &self.model, &self.plan, wanted));
        self.divide_budget();
        Ok(key)
    }

    /// Drops the longest silent version when `version` is new and there is no room for one more.
    fn make_room_for(&mut self, version: &Version, out: &mut Vec<ActionRecord>) {
        let mut versions: Vec<(Version, Timestamp)> = Vec::new();
        for series in &self.series {
            let newest = series.newest;
            match versions.iter_mut().find(|(name, _)| *name == series.info.version) {
                Some((_, last)) => *last = newest.max(*last),
                None => versions.push((series.info.version.clone(), newest)),
            }
        }
        if versions.len() < self.plan.events.versions_max as usize
            || versions.iter().any(|(name, _)| name == version)
        {
            return;
        }
        let Some((oldest, _)) = versions.iter().min_by_key(|(_, last)| *last) else { return };
        for index in 0..self.series.len() {
            if self.series.get(index).is_some_and(|series| series.info.version == *oldest) {
                self.resolve_series(index, out);
            }
        }
        let (gone, kept): (Vec<Series>, Vec<Series>) =
            std::mem::take(&mut self.series).into_iter().partition(|series| series.info.version == *oldest);
        self.series = kept;
        self.counts.evicted_taken += gone.iter().map(|series| series.taken).sum::<u64>();
        self.counts.versions_evicted += 1;
    }

    /// Takes one value of a known version and kind; time moves first.
    pub fn observe_reading(
        &mut self,
        key: SeriesKey,
        reading: &Reading,
        out: &mut Vec<ActionRecord>,
    ) -> Admission {
        let Some(index) = self.find(key) else {
            return Admission::UnknownSeries;
        };
        // If an observer panics on a tick, the reading is still to be taken.
        self.pending = self.own.is_some().then_some((key, *reading));
        // At the times at which things fall due, so that it makes no difference who lets time pass.
        while reading.at >= self.next_deadline {
            // What was waited for may be over since: then nothing is due, as a monitor that was restored knows.
            let due = self.earliest();
            self.next_deadline = due;
            if reading.at < due {
                break;
            }
            self.tick(due, out);
            if self.next_deadline <= due {
                self.tick(reading.at, out);
                break;
            }
        }
        self.pending = None;
        let policy = self.plan.events;
        let mut counts = self.counts;
        let Some(series) = self.series.get_mut(index) else {
            return Admission::UnknownSeries;
        };
        let before = series.newest;
        let admission = if reading.at > before {
            series.newest = reading.at;
            series.back_run = 0;
            Admission::Taken
        } else {
            let admission = order::admit(series, reading.at, &policy, &mut counts);
            self.counts = counts;
            admission
        };
        if !admission.is_taken() {
            return admission;
        }
        if series.share != Share::None {
            self.spend(index, reading.at, before);
        }
        self.last_offset = reading.offset;
        if reading.value.is_nan() && self.vector.is_none() {
            self.counts.missing += 1;
        }
        self.show_to_rules(index, reading, out);
        admission
    }

    /// Shows a reading that was taken to all observers.
    fn show_to_rules(&mut self, index: SeriesIndex, reading: &Reading, out: &mut Vec<ActionRecord>) {
        let Some(series) = self.series.get_mut(index) else { return };
        let ordinal = series.taken;
        series.taken += 1;
        let wanted = series.wanted;
        let vector = self.vector.clone();
        let mut slot = 0;
        while let Some(instance) = self.instance(index, slot) {
            let verdict = match &vector {
                None => instance.state.observe(reading.value, reading.at),
                Some(vector) => instance.state.observe_vector(vector, reading.at),
            };
            let asks = instance.state.asks_for().is_some();
            if verdict.condition == AlertCondition::Fire || verdict.detected || instance.life.is_some() {
                self.settle(index, slot, verdict, reading, ordinal, out);
            }
            if asks {
                self.lend_reference(index, slot);
            }
            slot += 1;
        }
        if !self.switches.is_empty() {
            self.hear(reading.at, out);
        }
        if wanted != 0 {
            self.run_own(index, reading, ordinal, 0, out);
        }
    }

    /// Lets time pass: waits that are over fire or resolve their alerts, silence that is too long fires.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<ActionRecord>) {
        self.ticked = self.ticked.max(now);
        let now = self.now();
        if now < self.next_deadline {
            return;
        }
        for index in 0..self.series.len() {
            let mut slot = 0;
            while self.instance(index, slot).is_some() {
                self.tick_instance(index, slot, now, out);
                slot += 1;
            }
        }
        for switch in 0..self.switches.len() {
            self.tick_switch(switch, now, out);
        }
        if self.own.is_some() {
            self.tick_own(now, out);
        }
        self.next_deadline = self.earliest();
    }

    /// The earliest time at which anything is due.
    pub(super) fn earliest(&self) -> Timestamp {
        let instances = self.series.iter().flat_map(Series::instances);
        let waits = instances.filter_map(|i| i.life.as_ref()?.deadline(&self.rule(i.rule)?.persistence));
        let silences = self.switches.iter().filter_map(|switch| {
            let wait = self.rule(switch.rule).and_then(|rule| switch.life.deadline(&rule.persistence));
            let silence = if switch.life.is_alive() { None } else { switch.silence.deadline() };
            [wait, silence].into_iter().flatten().min()
        });
        let own = self.own.as_ref().and_then(|own| own.deadline());
        waits.chain(silences).chain(own).min().unwrap_or(NEVER)
    }

    /// Makes sure that a wait which has just begun is not slept through.
    pub(super) fn note_deadline(&mut self, deadline: Option<Timestamp>) {
        if let Some(deadline) = deadline {
            self.next_deadline = self.next_deadline.min(deadline);
        }
    }

    /// Tells the switches that an event has come.
    fn hear(&mut self, at: Timestamp, out: &mut Vec<ActionRecord>) {
        for index in 0..self.switches.len() {
            let Some(switch) = self.switches.get_mut(index) else { break };
            switch.silence.observe(at);
            let (alive, deadline) = (switch.life.is_alive(), switch.silence.deadline());
            if alive {
                self.step_switch(index, AlertCondition::Over, at, out);
            }
            // Also when nothing else changed: a limit that is learnt may have become shorter.
            self.note_deadline(deadline);
        }
    }

    /// Fires a switch whose silence is too long by now.
    fn tick_switch(&mut self, index: usize, now: Timestamp, out: &mut Vec<ActionRecord>) {
        let Some(switch) = self.switches.get(index) else { return };
        let alive = switch.life.is_alive();
        let silent = switch.silence.deadline().is_some_and(|due| now >= due);
        if !alive && silent {
            self.step_switch(index, AlertCondition::Fire, now, out);
        } else if alive {
            self.move_switch(index, now, out, |life, rule| life.tick(now, rule));
        }
    }

    pub(super) fn step_switch(
        &mut self,
        index: usize,
        condition: AlertCondition,
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
        let rule = self.switches.get(index).map(|switch| switch.rule);
        let Some(persistence) = rule.and_then(|rule| self.persistence(rule)) else { return };
        // Silence has no events that could be counted.
        let persistence = Persistence { for_count: 1, keep_count: 1, ..persistence };
        let Some(switch) = self.switches.get_mut(index) else { return };
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

    pub(super) fn persistence(&self, rule: u16) -> Option<Persistence> {
        self.rule(rule).map(|rule| rule.persistence)
    }

    /// Forgets what was seen and starts afresh with the same plan; alerts that are out are resolved.
    pub fn reset(&mut self, out: &mut Vec<ActionRecord>) {
        self.resolve_all(out);
        self.series.clear();
        self.switches = Self::switches(&self.model, &self.plan);
        self.own = Own::start(&self.plan);
        (self.next_deadline, self.silence_due, self.division) = (NEVER, NEVER, None);
        self.counts = Counts::default();
        // What a panic left half done is forgotten too.
        (self.pending, self.vector) = (None, None);
    }
}
