//! One model's whole state machine: events and time in, records out.
//!
//! A pure fold: no clock, no I/O, no randomness, no hash order. The same events and times in the same
//! order give the same records, bit for bit. The parts: `lane` takes the common reading in one cache line,
//! `body` everything else; `series` keeps what belongs to one version and
//! kind, `order` decides about late and repeated events, `own` runs the user's observers so that a panic
//! costs one event, `emit` writes records, `snapshot` writes and reads the state, `status` shows it.

mod body;
mod budget;
mod emit;
mod lane;
mod order;
mod own;
mod reload;
mod series;
mod snapshot;
mod status;

use std::sync::Arc;

use crate::action::ActionRecord;
use crate::event::MetricEvent;
use crate::id::{ModelId, Version};
use crate::ingest::IngestError;
use crate::kind::MetricKind;
use crate::plan::MonitorPlan;
use crate::time::Timestamp;

use body::Body;
use lane::Lane;

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
    /// Whether it was told that time passes, and not shown a reading: the reading before which time passed, if any, is
    /// still to be taken, by [`ModelMonitor::resume`].
    pub on_tick: bool,
}

/// One model's state machine.
///
/// State: one cache line of 64 bytes, which holds all that a reading of the first version and kind touches
/// while a single small check watches it and nothing fires; and about 400 bytes behind a pointer, plus those
/// of further series and of larger checks.
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
#[repr(C, align(64))]
pub struct ModelMonitor {
    lane: Lane,
    body: Box<Body>,
}

impl ModelMonitor {
    /// Starts a model that has seen nothing.
    pub fn new(model: ModelId, plan: Arc<MonitorPlan>) -> Self {
        Self { lane: Lane::CLOSED, body: Box::new(Body::new(model, plan)) }
    }

    /// The model that it is about.
    pub const fn model_id(&self) -> &ModelId {
        &self.body.model
    }

    /// The plan that it follows.
    pub const fn plan(&self) -> &Arc<MonitorPlan> {
        &self.body.plan
    }

    /// The offset of the last reading that was taken; 0 before the first.
    pub const fn last_offset(&self) -> u64 {
        if self.lane.is_open() { self.lane.last_offset } else { self.body.last_offset }
    }

    /// When [`ModelMonitor::tick`] is to be called if no event comes before; `None` when never. It may be
    /// earlier than needed, never later.
    #[inline]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        // While the lane is open nothing is due ever.
        if self.lane.is_open() { None } else { self.body.next_deadline() }
    }

    /// Values taken, missing ones included.
    pub fn taken(&self) -> u64 {
        self.body.taken() + self.lane.taken_since()
    }

    /// Counts the alerts that are out.
    pub fn alerts_out(&self) -> usize {
        self.body.alerts_out()
    }

    /// Reads what [`ModelMonitor::observe_reading`] will read first, so that a caller with many readings at
    /// hand can have the memory of several models fetched at once. The number means nothing.
    #[inline]
    pub const fn touch(&self) -> u64 {
        self.lane.last_offset
    }

    /// Takes one event: [`ModelMonitor::admit`] and [`ModelMonitor::observe_reading`] in one. An event
    /// without a time takes that of the newest event seen.
    pub fn observe(&mut self, event: &MetricEvent, offset: u64) -> Vec<ActionRecord> {
        let mut out = Vec::new();
        let at = event.ts().unwrap_or_else(|| self.leave_lane().now());
        let reading = Reading { at, value: event.raw_value(), offset };
        let key = SeriesKey::of(event.version(), event.kind());
        let take = |monitor: &mut Self, out: &mut Vec<ActionRecord>| match event.shared_vector() {
            Some(vector) => monitor.observe_vector(key, &reading, vector, out),
            None => monitor.observe_reading(key, &reading, out),
        };
        if take(self, &mut out) == Admission::UnknownSeries
            && self.admit(event.version(), event.kind(), &mut out).is_ok()
        {
            take(self, &mut out);
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
        self.leave_lane().admit(version, kind, out)
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
        if self.lane.take(key, reading) {
            return Admission::Taken;
        }
        self.observe_in_body(key, reading, out)
    }

    /// Takes one vector of a known version and kind, as [`ModelMonitor::observe_reading`] takes a number; the
    /// reading's value is `NaN`.
    pub fn observe_vector(
        &mut self,
        key: SeriesKey,
        reading: &Reading,
        vector: &Arc<[f32]>,
        out: &mut Vec<ActionRecord>,
    ) -> Admission {
        self.body.vector = Some(Arc::clone(vector));
        let admission = self.observe_in_body(key, reading, out);
        // After a panic it stays for `resume`.
        self.body.vector = None;
        admission
    }

    #[inline(never)]
    fn observe_in_body(
        &mut self,
        key: SeriesKey,
        reading: &Reading,
        out: &mut Vec<ActionRecord>,
    ) -> Admission {
        let admission = self.leave_lane().observe_reading(key, reading, out);
        self.lane = Lane::open(&self.body);
        admission
    }

    /// Lets time pass: waits that are over fire or resolve their alerts, silence that is too long fires.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<ActionRecord>) {
        self.leave_lane().tick(now, out);
        self.lane = Lane::open(&self.body);
    }

    /// Forgets what was seen and starts afresh with the same plan; alerts that are out are resolved.
    pub fn reset(&mut self, out: &mut Vec<ActionRecord>) {
        self.leave_lane().reset(out);
    }

    /// Follows a new plan from now on.
    ///
    /// A rule whose name and check are the same keeps its state and its alert, also when its waits, its
    /// severity or its response changed. All others start afresh; alerts of rules that are gone or whose
    /// check changed are resolved. The user's observers keep their state when the new plan holds the very
    /// same prototype.
    pub fn reload(&mut self, plan: Arc<MonitorPlan>, out: &mut Vec<ActionRecord>) {
        self.leave_lane().reload(plan, out);
    }

    /// After a panic was caught out of [`ModelMonitor::observe_reading`], [`ModelMonitor::tick`] or
    /// [`ModelMonitor::resume`]: names the user's observer that was running and puts it back to where it
    /// was before the event. Call [`ModelMonitor::resume`] afterwards, so that the remaining observers see
    /// the event too.
    ///
    /// It runs the user's code and may itself panic (call it under `catch_unwind` too, and again after a
    /// panic): the observer then starts afresh from its prototype.
    ///
    /// `None` means that no user's observer was running: the state may be torn, and the monitor is to be
    /// restored from a snapshot or reset.
    pub fn recover(&mut self) -> Option<Casualty> {
        self.leave_lane().recover()
    }

    /// Carries on after [`ModelMonitor::recover`]: shows the event to the observers that had not seen it.
    pub fn resume(&mut self, out: &mut Vec<ActionRecord>) {
        self.leave_lane().resume(out);
        self.body.vector = None;
    }

    /// Shows the monitor as it is now. Cost: all observers, and some allocations; not for the hot path.
    pub fn status(&mut self) -> MonitorStatus {
        self.leave_lane().status()
    }

    /// Writes the state. The same state gives the same bytes.
    pub fn snapshot(&mut self) -> Vec<u8> {
        self.leave_lane().snapshot()
    }

    /// After a panic was caught out of [`ModelMonitor::snapshot`]: names the user's observer whose
    /// [`crate::MetricObserver::write_state`] it came from. The monitor is as it was.
    pub fn unwritten(&mut self) -> Option<Arc<str>> {
        self.body.own.as_mut()?.unwritten()
    }

    /// Starts a monitor from a snapshot.
    ///
    /// Rules are found by name and kind of check: those that the plan no longer has are left out, new ones
    /// start afresh, and so does one whose written state does not fit its present settings.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are not a whole snapshot of a form that this release reads, or when it is of
    /// another model.
    pub fn restore(model: ModelId, plan: Arc<MonitorPlan>, bytes: &[u8]) -> Result<Self, RestoreError> {
        let body = Body::restore(model, plan, bytes)?;
        Ok(Self { lane: Lane::CLOSED, body: Box::new(body) })
    }

    /// Brings what the lane holds back into the body, where everything else looks for it.
    fn leave_lane(&mut self) -> &mut Body {
        self.lane.close(&mut self.body);
        &mut self.body
    }
}

#[cfg(test)]
mod tests;
