//! A clock that never goes back, over one that may.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use visu_tility_core::Timestamp;

use crate::clock::{Clock, Stopwatch};

/// What it may stand still for: threads that read the time at once see it in any order.
const JITTER_US: i64 = 1_000;

/// How the clock behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClockStatus {
    /// How often it was set back by more than a millisecond.
    pub back_steps: u64,
    /// How far the monitoring's time is ahead of it because of that, in microseconds.
    pub ahead_us: u64,
    /// With a store: how far it was, at the start, behind the time at which the store was last written, in microseconds; 0
    /// up to a second.
    pub behind_us: u64,
}

/// The time that the monitoring goes by.
///
/// | the clock below | this one |
/// |---|---|
/// | goes on, or is set forward | shows the same |
/// | is behind what was shown, by a millisecond at most | stands still |
/// | is further behind | goes on at half speed until the other has caught up |
///
/// So events without a time, and ticks, are never older than those before. How fast time passes is asked of a clock that is
/// never set.
pub(crate) struct Steady {
    below: Arc<dyn Clock>,
    watch: Stopwatch,
    /// The latest time shown.
    shown: AtomicI64,
    slow: Mutex<Slow>,
    back_steps: AtomicU64,
    /// How far the clock below was behind the last process at the start.
    behind: Duration,
}

/// Where it stood when it was last asked at half speed.
struct Slow {
    shown: i64,
    /// By the stopwatch: up to when what passed has been shown.
    at: i64,
}

impl Steady {
    pub(crate) fn new(below: Arc<dyn Clock>, behind: Duration) -> Self {
        Self {
            below,
            watch: Stopwatch::start(),
            shown: AtomicI64::new(i64::MIN),
            slow: Mutex::new(Slow { shown: i64::MIN, at: 0 }),
            back_steps: AtomicU64::new(0),
            behind,
        }
    }

    /// The present time.
    pub(crate) fn now(&self) -> Timestamp {
        let below = self.below.now().micros();
        let shown = self.shown.fetch_max(below, Ordering::AcqRel).max(below);
        let behind = shown.saturating_sub(below);
        Timestamp::from_micros(if behind > JITTER_US { self.slowly() } else { shown })
    }

    /// The next time at half speed.
    #[cold]
    fn slowly(&self) -> i64 {
        let mut slow = self.slow.lock();
        // The thread may have waited since it was asked.
        let below = self.below.now().micros();
        if self.shown.load(Ordering::Acquire).saturating_sub(below) <= JITTER_US {
            return self.shown.fetch_max(below, Ordering::AcqRel).max(below);
        }
        let (shown, now) = (self.shown.load(Ordering::Acquire), self.watch.micros());
        if slow.shown != shown {
            // It went by the clock below until now. It goes on by a microsecond at once, so that nothing is a repeat.
            *slow = Slow { shown, at: now - 2 };
            self.back_steps.fetch_add(1, Ordering::Relaxed);
        }
        let half = (now - slow.at).max(0) / 2;
        slow.at += 2 * half;
        slow.shown = shown.saturating_add(half);
        self.shown.fetch_max(slow.shown, Ordering::AcqRel).max(slow.shown)
    }

    pub(crate) fn status(&self) -> ClockStatus {
        let ahead = self.now().micros().saturating_sub(self.below.now().micros());
        ClockStatus {
            back_steps: self.back_steps.load(Ordering::Relaxed),
            ahead_us: u64::try_from(ahead).unwrap_or(0),
            behind_us: u64::try_from(self.behind.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl Clock for Steady {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn time_goes_on_at_half_speed_after_the_clock_was_set_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let (begin, second) = (Timestamp::from_millis(1_738_540_800_000), Duration::from_secs(1));
            let (tick, half) = (Duration::from_micros(1), second / 2);
            let below = Arc::new(ManualClock::new(begin));
            let steady = Steady::new(below.clone(), Duration::ZERO);
            assert_eq!(steady.now(), begin);
            below.set(begin.minus(Duration::from_millis(1)));
            assert_eq!((steady.now(), steady.status().back_steps), (begin, 0));
            // A minute back; the other goes on.
            let back = begin.minus(Duration::from_mins(1));
            for passed in 0..60 {
                below.set(back.plus(second * passed));
                assert_eq!(steady.now(), begin.plus(half * passed).plus(tick), "{passed}");
                tokio::time::advance(second).await;
            }
            let status = steady.status();
            assert_eq!((status.back_steps, status.ahead_us), (1, 31_000_001));
            // Set right again: from there on it shows the same.
            let ahead = begin.plus(Duration::from_hours(1));
            below.set(ahead);
            assert_eq!((steady.now(), steady.status().ahead_us), (ahead, 0));
            below.set(begin);
            assert_eq!((steady.now(), steady.status().back_steps), (ahead.plus(tick), 2));
        });
    }
}
