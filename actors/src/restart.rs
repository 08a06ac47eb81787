//! When what has panicked is started again: intensity, backoff, quarantine.

use std::collections::VecDeque;
use std::time::Duration;

/// How often, and after which wait, something that panicked is started again.
///
/// | panic | what follows |
/// |---|---|
/// | the first, or the first after `reset_after` of peace | restart at once |
/// | the n-th since, n ≥ 2 | restart after `backoff_min · factor^(n-2)`, at most `backoff_max`, ± `jitter` |
/// | more than `restarts_max` within `window` | quarantine, until it is reset by hand |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestartPolicy {
    /// Restarts allowed within [`RestartPolicy::window`]. Default 5.
    pub restarts_max: u32,
    /// The window of the restart intensity. Default 60 s.
    pub window: Duration,
    /// The first wait. Default 20 ms.
    pub backoff_min: Duration,
    /// The longest wait. Default 30 s.
    pub backoff_max: Duration,
    /// By how much the wait grows from one panic to the next, at least 1. Default 2.
    pub factor: f64,
    /// Share by which a wait may be shorter or longer, 0 to 1, so that many do not come back at once.
    /// Drawn from the name and the count: the same in every run. Default 0.2.
    pub jitter: f64,
    /// Peace after which the waits start over. Default 60 s.
    pub reset_after: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            restarts_max: 5,
            window: Duration::from_mins(1),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(30),
            factor: 2.0,
            jitter: 0.2,
            reset_after: Duration::from_mins(1),
        }
    }
}

impl RestartPolicy {
    /// The wait before the restart that follows the `streak`-th panic in a row, from 1.
    pub fn backoff(&self, streak: u32, seed: u64) -> Duration {
        let Some(doublings) = streak.checked_sub(2) else { return Duration::ZERO };
        let grown = self.backoff_min.as_secs_f64() * self.factor.max(1.0).powi(doublings.min(64) as i32);
        let wait = grown.min(self.backoff_max.as_secs_f64());
        // 53 bits of the mixed seed as a share of 1.
        let share = (mix(seed ^ u64::from(streak)) >> 11) as f64 / (1_u64 << 53) as f64;
        let swing = self.jitter.clamp(0.0, 1.0) * (2.0 * share - 1.0);
        Duration::try_from_secs_f64(wait * (1.0 + swing)).unwrap_or(self.backoff_max)
    }
}

/// What follows a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on, after the wait.
    Restart(Duration),
    /// It has panicked too often.
    Quarantine,
}

/// The panics of one supervised thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct RestartHistory {
    /// Restarts within the window, oldest first; never more than `restarts_max`.
    recent: VecDeque<i64>,
    streak: u32,
    last: i64,
    total: u64,
}

impl RestartHistory {
    /// Takes note of a panic at `now`, in microseconds of any clock that does not run back.
    pub(crate) fn panicked(&mut self, now: i64, policy: &RestartPolicy, seed: u64) -> Verdict {
        let ago = |span: Duration| now.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX));
        let peace = self.total > 0 && self.last <= ago(policy.reset_after);
        self.streak = if peace { 1 } else { self.streak.saturating_add(1) };
        self.last = now;
        self.total += 1;
        while self.recent.front().is_some_and(|oldest| *oldest <= ago(policy.window)) {
            self.recent.pop_front();
        }
        if self.recent.len() >= policy.restarts_max as usize {
            return Verdict::Quarantine;
        }
        self.recent.push_back(now);
        Verdict::Restart(policy.backoff(self.streak, seed))
    }

    /// Panics ever.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// Forgets what the intensity and the backoff rest on; keeps the total.
    pub(crate) fn forgive(&mut self) {
        *self = Self { total: self.total, ..Self::default() };
    }
}

/// A seed from a name: FNV-1a, the same in every run.
pub(crate) fn seed_of(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finisher of `SplitMix64`: every bit of the input moves every bit of the output.
const fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn waits(policy: &RestartPolicy, seed: u64, at: &[i64]) -> Vec<Option<u128>> {
        let mut history = RestartHistory::default();
        at.iter()
            .map(|now| match history.panicked(*now, policy, seed) {
                Verdict::Restart(wait) => Some(wait.as_millis()),
                Verdict::Quarantine => None,
            })
            .collect()
    }

    #[test]
    fn backoff_grows_from_nothing_and_ends_in_quarantine() {
        let policy = RestartPolicy { jitter: 0.0, ..RestartPolicy::default() };
        let told = waits(&policy, 1, &[0, 1, 2, 3, 4, 5]);
        assert_eq!(told, [Some(0), Some(20), Some(40), Some(80), Some(160), None]);
    }

    #[test]
    fn peace_resets_the_backoff_and_empties_the_window() {
        let policy = RestartPolicy { jitter: 0.0, ..RestartPolicy::default() };
        let told = waits(&policy, 1, &[0, SECOND, 2 * SECOND, 62 * SECOND, 63 * SECOND]);
        assert_eq!(told, [Some(0), Some(20), Some(40), Some(0), Some(20)]);
    }

    #[test]
    fn jitter_is_bounded_differs_by_name_and_repeats() {
        let policy = RestartPolicy { backoff_min: Duration::from_secs(1), ..RestartPolicy::default() };
        let of = |name: &str| policy.backoff(2, seed_of(name)).as_micros();
        assert_eq!(of("a"), of("a"));
        let seen: std::collections::BTreeSet<u128> = (0..100).map(|i| of(&format!("m{i}"))).collect();
        assert!(seen.len() > 90, "{} different waits of 100", seen.len());
        assert!(seen.iter().all(|wait| (800_000..=1_200_000).contains(wait)));
        assert!(seen.first().is_some_and(|w| *w < 850_000) && seen.last().is_some_and(|w| *w > 1_150_000));
    }

    #[test]
    fn the_wait_is_capped() {
        let policy = RestartPolicy { jitter: 0.0, ..RestartPolicy::default() };
        assert_eq!(policy.backoff(u32::MAX, 1), policy.backoff_max);
    }
}
