//! What is read again and again until it can be read: at pauses that grow, told at once and then once a minute.

use std::time::Duration;

/// The first pause after a read that failed, which is doubled with each that follows.
const PAUSE_MIN_US: i64 = 20_000;
/// The longest pause.
const PAUSE_MAX_US: i64 = 5_000_000;
/// How often it is told that a read still fails.
const TELL_EVERY_US: i64 = 60_000_000;

/// Reads of one kind that fail. All times are the ledger's stopwatch's, in microseconds.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// How often the read has failed since it worked last.
    times: u64,
    pause: i64,
    until: i64,
    tell_at: i64,
}

impl Patience {
    /// How long the read is not to be tried; `None` when it may be.
    pub(super) fn left(&self, now: i64) -> Option<Duration> {
        let left = u64::try_from(self.until.saturating_sub(now)).unwrap_or(0);
        (self.times > 0 && left > 0).then(|| Duration::from_micros(left))
    }

    /// The read failed. Answers how often it has, when that is to be told.
    pub(super) fn failed(&mut self, now: i64) -> Option<u64> {
        self.pause = if self.times == 0 { PAUSE_MIN_US } else { (self.pause * 2).min(PAUSE_MAX_US) };
        self.until = now.saturating_add(self.pause);
        self.times += 1;
        if self.times > 1 && now < self.tell_at {
            return None;
        }
        self.tell_at = now.saturating_add(TELL_EVERY_US);
        Some(self.times)
    }

    /// The read worked. Answers how often it had failed before.
    pub(super) fn worked(&mut self) -> u64 {
        std::mem::take(self).times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_a_failure_is_told_once_a_minute() {
        let mut patience = Patience::default();
        assert_eq!(patience.left(0), None);
        let (mut now, mut told, mut tries) = (0, Vec::new(), 0);
        while now < 600_000_000 {
            tries += 1;
            told.extend(patience.failed(now));
            let left = patience.left(now).unwrap();
            assert!(left <= Duration::from_micros(PAUSE_MAX_US as u64));
            now += left.as_micros() as i64;
            assert_eq!(patience.left(now), None);
        }
        assert_eq!(told[0], 1, "at once");
        assert_eq!(told.len(), 10, "in ten minutes");
        assert!(tries < 140, "{tries}");
        assert_eq!(patience.worked(), tries);
        assert_eq!((patience.worked(), patience.failed(now)), (0, Some(1)), "told anew when it comes back");
        assert_eq!(patience.left(now), Some(Duration::from_micros(PAUSE_MIN_US as u64)));
    }
}
