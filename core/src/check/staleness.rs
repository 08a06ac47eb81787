//! A dead man's switch: a model from which nothing has come for too long.

use std::time::Duration;

use visu_tility_drift::codec::{DecodeError, Reader, put_i64, put_u64};

use super::Check;
use crate::action::ObserverAction;
use crate::error::ObserverError;
use crate::event::MetricEvent;
use crate::observer::MetricObserver;
use crate::time::Timestamp;

/// Alerts when no event of a model has come for too long.
///
/// Use it for every model: metrics that stop coming switch off all other checks without a word. It
/// watches the model as a whole, over all versions and kinds, so that an old version may fall silent. A gap
/// of just the limit is no silence, a longer one is.
///
/// The limit is fixed, or learnt from the longest gaps, so that bursts, nightly jobs, nights and week-ends
/// are no silence:
///
/// | seen so far, from the first event to the newest | limit, never below 10 minutes nor above 400 days |
/// |---|---|
/// | less than a day | 36 hours: a pause at night cannot be told from the end |
/// | a day to a week | five times the longest gap: who pauses at night may pause over the week-end |
/// | one to two weeks | twice the longest gap |
/// | two weeks or more | twice the second longest gap of the last two to four weeks |
///
/// The second longest, because a single outage must not set the limit for the next one; of two in four weeks
/// the shorter one counts as usual until it is forgotten. A stream without pauses is told of after ten
/// minutes; one of office hours, whose longest usual gap is the week-end of 64 hours, after 128. Who wants to
/// know sooner sets the limit. So does who has but a few events a day at random times: with one a day there
/// is about one false alarm in 105 days, with one an hour one in five years (300 simulated years).
///
/// Cost: a few comparisons per event, one timer per model. State: 48 bytes per model, and the limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StalenessObserver {
    after: Option<Duration>,
}

impl StalenessObserver {
    /// The shortest limit that is learnt.
    pub const LEARNT_MIN: Duration = Duration::from_mins(10);
    /// The longest limit, learnt or fixed.
    pub const LIMIT_MAX: Duration = Duration::from_hours(24 * 400);
    /// The limit until a day has been seen.
    pub const LEARNT_START: Duration = Duration::from_hours(36);
    /// For how long gaps are remembered at least, and at most twice that where events come often: two weeks.
    pub const LEARNT_WINDOW: Duration = Duration::from_hours(24 * 14);
    /// How many of the longest usual gaps make silence.
    pub const FACTOR: u32 = 2;
    /// The same until a week has been seen: a week-end of 64 hours is four nights of 16.
    pub const FACTOR_FIRST: u32 = 5;
    const DAY: Duration = Duration::from_hours(24);
    const WEEK: Duration = Duration::from_hours(24 * 7);

    /// Builds a check with a learnt limit.
    pub const fn learnt() -> Self {
        Self { after: None }
    }

    /// Builds a check with a fixed limit.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when it is not from one second to 400 days.
    pub fn after(limit: Duration) -> Result<Self, ObserverError> {
        if limit < Duration::from_secs(1) || limit > Self::LIMIT_MAX {
            return Err(ObserverError::Config(format!(
                "`after` is {} s, must be from 1 s to 400 days",
                limit.as_secs_f64()
            )));
        }
        Ok(Self { after: Some(limit) })
    }

    /// The fixed limit; `None` when it is learnt.
    pub const fn limit(&self) -> Option<Duration> {
        self.after
    }

    /// The limit that stands after events at these times: the fixed one, or what a model with this history has taught.
    ///
    /// Use it to tell what silence would be, or to write it into a plan. Times that do not rise are left out, as those
    /// of late events are.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use visu_tility_core::{StalenessObserver, Timestamp};
    ///
    /// let nightly = (0..30).map(|night| Timestamp::from_millis(night * 86_400_000));
    /// assert_eq!(StalenessObserver::learnt().limit_after(nightly), Duration::from_hours(48));
    /// ```
    pub fn limit_after(&self, times: impl IntoIterator<Item = Timestamp>) -> Duration {
        let mut silence = Silence::new(self);
        times.into_iter().for_each(|at| silence.observe(at));
        silence.limit()
    }
}

impl MetricObserver for StalenessObserver {
    fn name(&self) -> &'static str {
        "staleness"
    }

    fn on_metric(&mut self, _: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        Ok(ObserverAction::NoOp)
    }

    fn builtin(&self) -> Option<Check> {
        Some(Check::Staleness(self.clone()))
    }
}

/// What is known of a model's rhythm.
#[derive(Clone, Debug)]
pub(crate) struct Silence {
    after: Option<Duration>,
    last: Option<Timestamp>,
    /// The event from which on the current window counts.
    start: Timestamp,
    /// The two longest gaps that ended in the current window, in microseconds, the longest first.
    current: [u64; 2],
    /// Those of the window before; the first is 0 when there was none.
    previous: [u64; 2],
}

impl Silence {
    pub const fn new(settings: &StalenessObserver) -> Self {
        Self { after: settings.after, last: None, start: Timestamp::EPOCH, current: [0; 2], previous: [0; 2] }
    }

    /// Takes note of an event.
    pub fn observe(&mut self, at: Timestamp) {
        let Some(last) = self.last else {
            (self.last, self.start) = (Some(at), at);
            return;
        };
        // One that runs behind the others is no sign of life for a later time.
        if at <= last {
            return;
        }
        self.last = Some(at);
        // With a fixed limit too: a plan that learns may follow.
        let gap = micros(at.since(last));
        let [first, second] = self.current;
        if gap > second {
            self.current = [first.max(gap), first.min(gap)];
        }
        // Windows end at an event and not between two, so that each holds whole weeks of pauses.
        if at.since(self.start) >= StalenessObserver::LEARNT_WINDOW {
            (self.start, self.previous, self.current) = (at, self.current, [0; 2]);
        }
    }

    /// How long it may be silent.
    pub fn limit(&self) -> Duration {
        self.after.unwrap_or_else(|| self.learnt())
    }

    fn learnt(&self) -> Duration {
        let ([first, second], [before, before_second]) = (self.current, self.previous);
        let (gap, factor) = if before == 0 {
            let seen = self.last.map_or(Duration::ZERO, |last| last.since(self.start));
            if seen < StalenessObserver::DAY {
                return StalenessObserver::LEARNT_START;
            }
            let early = seen < StalenessObserver::WEEK;
            (first, if early { StalenessObserver::FACTOR_FIRST } else { StalenessObserver::FACTOR })
        } else {
            let longest_but_one = first.min(before).max(second).max(before_second);
            // One gap as long as the window has no second.
            let gap = if longest_but_one == 0 { first.max(before) } else { longest_but_one };
            (gap, StalenessObserver::FACTOR)
        };
        Duration::from_micros(gap.saturating_mul(u64::from(factor)))
            .clamp(StalenessObserver::LEARNT_MIN, StalenessObserver::LIMIT_MAX)
    }

    /// The first time at which silence is too long; `None` before the first event.
    pub fn deadline(&self) -> Option<Timestamp> {
        // An event at the limit itself is in time.
        self.last.map(|last| last.plus(self.limit() + Duration::from_micros(1)))
    }

    /// When the last event came.
    pub const fn last(&self) -> Option<Timestamp> {
        self.last
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        put_i64(out, self.last.map_or(i64::MIN, Timestamp::micros));
        put_i64(out, self.start.micros());
        for gap in self.current.iter().chain(&self.previous) {
            put_u64(out, *gap);
        }
    }

    pub fn read(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        let (last, start) = (bytes.i64()?, Timestamp::from_micros(bytes.i64()?));
        let last = (last != i64::MIN).then_some(Timestamp::from_micros(last));
        if start > last.unwrap_or(start) {
            return Err(DecodeError::Range { field: "start" });
        }
        let current = [bytes.u64()?, bytes.u64()?];
        let previous = [bytes.u64()?, bytes.u64()?];
        let fit = |[first, second]: [u64; 2]| second <= first;
        if !fit(current) || !fit(previous) {
            return Err(DecodeError::Range { field: "gap" });
        }
        (self.last, self.start, self.current, self.previous) = (last, start, current, previous);
        Ok(())
    }
}

/// A span in microseconds, saturating.
fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
