//! How often it is tried again to read what a recovery needs, and after which pauses.

use std::time::Duration;

/// The first pause after an error; each further one is twice as long, up to `backoff_max`.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Tries in a row that may fail, the first included, before a recovery is given up: with pauses up to 5 s, 10 s of them.
const TRIES_MAX: u32 = 10;

/// What a recovery has put up with.
#[derive(Default)]
pub(super) struct Patience {
    /// Tries in a row that failed.
    tries: u32,
    /// When it is tried again, by the ledger's stopwatch.
    until: i64,
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

    /// Whether this was the first of the tries in a row that failed.
    pub(super) const fn is_first(&self) -> bool {
        self.tries == 1
    }

    /// Whether so many tries have failed that no other is made.
    pub(super) const fn is_over(&self) -> bool {
        self.tries >= TRIES_MAX
    }

    /// Takes note that a try worked.
    pub(super) fn worked(&mut self) {
        *self = Self::default();
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
}
