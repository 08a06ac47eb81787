//! What is asked of an event's time where it is published, and which time an event without one gets.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use visu_tility_core::{IngestError, Timestamp};

use crate::board::Board;

/// The policy, and what was refused.
pub(crate) struct Timing {
    /// Timers run off the events' own times.
    pub(crate) event_time: bool,
    ahead_max: Duration,
    behind_max: Option<Duration>,
    /// The largest event time seen at the edge; `i64::MIN` before the first.
    newest: AtomicI64,
    refused_future: AtomicU64,
    refused_past: AtomicU64,
}

/// The times that present events may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    earliest: Timestamp,
    latest: Timestamp,
    /// The present time, in seconds.
    pub(crate) now: u32,
}

impl Bounds {
    pub(crate) fn hold(self, ts: Timestamp) -> bool {
        self.earliest <= ts && ts <= self.latest
    }
}

impl Timing {
    pub(crate) const fn new(event_time: bool, ahead_max: Duration, behind_max: Option<Duration>) -> Self {
        Self {
            event_time,
            ahead_max,
            behind_max,
            newest: AtomicI64::new(i64::MIN),
            refused_future: AtomicU64::new(0),
            refused_past: AtomicU64::new(0),
        }
    }

    /// Events refused as too far ahead, and as too far behind.
    pub(crate) fn refused(&self) -> (u64, u64) {
        (self.refused_future.load(Ordering::Relaxed), self.refused_past.load(Ordering::Relaxed))
    }
}

/// A time in whole seconds since 1970.
fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.micros() / 1_000_000).unwrap_or(0)
}

impl Board {
    /// The times that present events may have.
    pub(crate) fn limit(&self) -> Bounds {
        let now = self.clock.now();
        let earliest = self.timing.behind_max.map_or(Timestamp::EPOCH, |behind| now.minus(behind));
        Bounds {
            earliest: earliest.max(Timestamp::EPOCH),
            latest: now.plus(self.timing.ahead_max),
            now: seconds(now),
        }
    }

    /// Checks an event's time against `limit`, or gives it one.
    pub(crate) fn stamp(&self, ts: Option<Timestamp>, limit: Bounds) -> Result<Timestamp, IngestError> {
        let timing = &self.timing;
        let Some(ts) = ts else {
            if !timing.event_time {
                return Ok(self.clock.now());
            }
            let newest = timing.newest.load(Ordering::Relaxed);
            return Ok(if newest == i64::MIN { self.clock.now() } else { Timestamp::from_micros(newest) });
        };
        if ts > limit.latest {
            timing.refused_future.fetch_add(1, Ordering::Relaxed);
            return Err(IngestError::Future { ts, ahead_max_s: timing.ahead_max.as_secs() });
        }
        if ts < limit.earliest {
            timing.refused_past.fetch_add(1, Ordering::Relaxed);
            let since_1970 = || self.clock.now().since(Timestamp::EPOCH);
            let behind_max_s = timing.behind_max.unwrap_or_else(since_1970).as_secs();
            return Err(IngestError::Past { ts, behind_max_s });
        }
        self.note_newest(ts);
        Ok(ts)
    }

    /// The largest event time seen at the edge.
    pub(crate) fn newest(&self) -> Timestamp {
        Timestamp::from_micros(self.timing.newest.load(Ordering::Relaxed))
    }

    /// Takes note that times up to `newest` were seen at the edge.
    pub(crate) fn note_newest(&self, newest: Timestamp) {
        if self.timing.event_time {
            self.timing.newest.fetch_max(newest.micros(), Ordering::Relaxed);
        }
    }
}
