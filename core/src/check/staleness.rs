//! A dead man's switch: a model from which nothing has come for too long.

use std::time::Duration;

use visu_tility_drift::codec::{DecodeError, Reader, put_f64, put_i64, put_u64};

use super::Check;
use crate::action::ObserverAction;
use crate::error::ObserverError;
use crate::event::MetricEvent;
use crate::observer::MetricObserver;
use crate::time::Timestamp;

/// Alerts when no event of a model has come for too long.
///
/// Use it for every model: metrics that stop coming switch off all other checks without a word. It
/// watches the model as a whole, over all versions and kinds, so that an old version may fall silent.
///
/// The limit is fixed, or learnt: twenty times the usual gap between events (a moving average of gaps
/// above 0, smoothing 0.05), at least ten minutes; until twenty gaps have been seen it is a day.
///
/// Cost: one comparison per event, one timer per model. State: 40 bytes per model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StalenessObserver {
    after: Option<Duration>,
}

impl StalenessObserver {
    /// The shortest limit that is learnt.
    pub const LEARNT_MIN: Duration = Duration::from_mins(10);
    /// The limit until enough gaps have been seen.
    pub const LEARNT_START: Duration = Duration::from_hours(24);
    /// Gaps that must have been seen.
    pub const GAPS_MIN: u64 = 20;
    /// How many usual gaps make silence.
    pub const GAPS: f64 = 20.0;
    const SMOOTHING: f64 = 0.05;

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
        if limit < Duration::from_secs(1) || limit > Duration::from_hours(24 * 400) {
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
    gap_us: f64,
    gaps: u64,
}

impl Silence {
    pub const fn new(settings: &StalenessObserver) -> Self {
        Self { after: settings.after, last: None, gap_us: 0.0, gaps: 0 }
    }

    /// Takes note of an event.
    pub fn observe(&mut self, at: Timestamp) {
        // One that runs behind the others is no sign of life for a later time.
        if self.last.is_some_and(|last| at <= last) {
            return;
        }
        if let Some(last) = self.last.replace(at) {
            let gap = at.since(last).min(self.limit()).as_micros() as f64;
            self.gaps += 1;
            if self.gaps == 1 {
                self.gap_us = gap;
            } else {
                self.gap_us += StalenessObserver::SMOOTHING * (gap - self.gap_us);
            }
        }
    }

    /// How long it may be silent.
    pub fn limit(&self) -> Duration {
        match self.after {
            Some(limit) => limit,
            None if self.gaps < StalenessObserver::GAPS_MIN => StalenessObserver::LEARNT_START,
            None => Duration::from_micros((StalenessObserver::GAPS * self.gap_us) as u64)
                .max(StalenessObserver::LEARNT_MIN),
        }
    }

    /// When silence becomes too long; `None` before the first event.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.last.map(|last| last.plus(self.limit()))
    }

    /// When the last event came.
    pub const fn last(&self) -> Option<Timestamp> {
        self.last
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        put_i64(out, self.last.map_or(i64::MIN, Timestamp::micros));
        put_f64(out, self.gap_us);
        put_u64(out, self.gaps);
    }

    pub fn read(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        let last = bytes.i64()?;
        let gap_us = bytes.finite("gap")?;
        let gaps = bytes.u64()?;
        if gap_us < 0.0 {
            return Err(DecodeError::Range { field: "gap" });
        }
        self.last = (last != i64::MIN).then_some(Timestamp::from_micros(last));
        (self.gap_us, self.gaps) = (gap_us, gaps);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_learnt_from_the_gaps() {
        let mut silence = Silence::new(&StalenessObserver::learnt());
        assert_eq!(silence.deadline(), None);
        for minute in 0..=20 {
            assert_eq!(silence.limit(), StalenessObserver::LEARNT_START);
            silence.observe(Timestamp::from_micros(minute * 4 * 60_000_000));
        }
        assert_eq!(silence.limit(), Duration::from_mins(80));
        silence.observe(Timestamp::from_micros(80 * 60_000_000));
        assert_eq!(silence.gaps, 20, "an event at the same instant is no gap");
    }

    #[test]
    fn a_fixed_limit_is_checked() {
        assert!(StalenessObserver::after(Duration::ZERO).unwrap_err().to_string().contains("`after`"));
        assert_eq!(
            Silence::new(&StalenessObserver::after(Duration::from_secs(5)).unwrap()).limit(),
            Duration::from_secs(5)
        );
    }
}
