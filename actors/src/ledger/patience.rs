//! How often it is tried again to read what cannot be read, after which pauses, and when that is told.

use std::time::Duration;

/// The first pause after an error; each further one is twice as long, up to a bound.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest pause where nothing else is said.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How often it is told that a read still fails, in microseconds.
const TELL_EVERY: i64 = 60_000_000;
/// Tries in a row that may fail, the first included, before a recovery is given up: with pauses up to 5 s, 10 s of them.
const TRIES_MAX: u64 = 10;

/// Reads of one kind that fail. All times are the ledger's stopwatch's, in microseconds.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Tries in a row that failed.
    tries: u64,
    until: i64,
    tell_at: i64,
}

impl Patience {
    /// How long nothing is to be tried.
    pub(super) fn wait(&self, now: i64) -> Option<Duration> {
        let left = u64::try_from(self.until.saturating_sub(now)).unwrap_or(0);
        (left > 0).then(|| Duration::from_micros(left))
    }

    /// Takes note that a try failed; answers the pause before the next one.
    pub(super) fn failed(&mut self, now: i64, pause_max: Duration) -> Duration {
        let pause = PAUSE_MIN.saturating_mul(1 << self.tries.min(20)).min(pause_max.max(PAUSE_MIN));
        self.tries = self.tries.saturating_add(1);
        self.until = now.saturating_add(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX));
        pause
    }

    /// Takes note that a try failed that is made for ever; answers how often it has, when that is to be told: at once, and
    /// then once a minute.
    pub(super) fn failed_again(&mut self, now: i64) -> Option<u64> {
        self.failed(now, PAUSE_MAX);
        if !self.is_first() && now < self.tell_at {
            return None;
        }
        self.tell_at = now.saturating_add(TELL_EVERY);
        Some(self.tries)
    }

    /// Whether this was the first of the tries in a row that failed.
    pub(super) const fn is_first(&self) -> bool {
        self.tries == 1
    }

    /// Whether so many tries have failed that a recovery makes no other.
    pub(super) const fn is_over(&self) -> bool {
        self.tries >= TRIES_MAX
    }

    /// Takes note that a try worked; answers how many had failed before.
    pub(super) fn worked(&mut self) -> u64 {
        std::mem::take(self).tries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound_and_the_last_try_comes_within_ten_seconds() {
        let (mut patience, mut now, mut pauses) = (Patience::default(), 0, Vec::new());
        while !patience.is_over() {
            assert_eq!(patience.wait(now), None);
            let pause = patience.failed(now, Duration::from_secs(5));
            assert_eq!((patience.is_first(), patience.wait(now)), (pauses.is_empty(), Some(pause)));
            now += i64::try_from(pause.as_micros()).unwrap();
            pauses.push(pause.as_millis());
        }
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_000, 5_000]);
        patience.worked();
        assert!(!patience.is_over() && patience.failed(now, Duration::ZERO) == PAUSE_MIN);
    }

    #[test]
    fn a_failure_that_lasts_is_told_once_a_minute() {
        let (mut patience, mut now, mut told, mut tries) = (Patience::default(), 0, Vec::new(), 0);
        while now < 600_000_000 {
            tries += 1;
            told.extend(patience.failed_again(now));
            now += i64::try_from(patience.wait(now).unwrap().as_micros()).unwrap();
        }
        assert_eq!((told[0], told.len()), (1, 10), "at once, then in ten minutes");
        assert!(tries < 140, "{tries}");
        assert_eq!(patience.worked(), tries);
        assert_eq!(
            (patience.worked(), patience.failed_again(now)),
            (0, Some(1)),
            "told anew when it comes back"
        );
    }
}
