//! The life of an alert: from a condition seen to a page and back.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use visu_tility_drift::codec::{DecodeError, Reader, put_i64, put_u32};

use crate::time::Timestamp;

/// What an observer's condition is at one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertCondition {
    /// Beyond the fire threshold.
    Fire,
    /// Between the fire and the recover threshold: neither bad enough to fire nor good enough to recover.
    Hold,
    /// On the good side of the recover threshold.
    Clear,
    /// Known to be over, for example by a change back: no wait is needed.
    Over,
}

/// Where an alert is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertPhase {
    /// The condition does not hold.
    #[default]
    Inactive,
    /// The condition holds, but not yet for long enough.
    Pending,
    /// The alert is out.
    Firing,
    /// The condition has cleared, but not yet for long enough.
    Recovering,
    /// The alert is over; it goes out once and the life starts again.
    Resolved,
}

impl AlertPhase {
    /// Names the phase as it stands in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
            Self::Recovering => "recovering",
            Self::Resolved => "resolved",
        }
    }
}

impl fmt::Display for AlertPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How long a condition must hold before it fires, and be gone before it resolves.
///
/// Both a time and a count are asked for, so that a sparse model does not fire on one event that is an
/// hour old and a busy one does not fire on three events within a millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// Event time for which the condition must hold before it fires. Default 0.
    pub for_time: Duration,
    /// Events in a row on which it must hold before it fires, at least 1. Default 1.
    pub for_count: u32,
    /// Event time for which it must be clear before it resolves. Default 0.
    pub keep_firing: Duration,
    /// Events in a row on which it must be clear before it resolves, at least 1. Default 1.
    pub keep_count: u32,
}

impl Default for Persistence {
    fn default() -> Self {
        Self { for_time: Duration::ZERO, for_count: 1, keep_firing: Duration::ZERO, keep_count: 1 }
    }
}

/// What happened to an alert at one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// Nothing that anybody must be told.
    None,
    /// It went from pending to firing: tell.
    Fired,
    /// It went from recovering to resolved: tell.
    Resolved,
}

/// One alert's state machine.
///
/// | phase | `Fire` | `Hold` | `Clear` | `Over` |
/// |---|---|---|---|---|
/// | inactive | pending, or firing at once when `for` is met | inactive | inactive | inactive |
/// | pending | firing when `for` is met in time and count | inactive | inactive | inactive |
/// | firing | firing | firing | recovering, or resolved at once when `keep` is met | resolved |
/// | recovering | firing, nobody is told again | recovering, clock starts again | resolved when `keep` is met in time and count | resolved |
///
/// `resolved` is told once and is `inactive` afterwards. Time moves on without events through
/// [`AlertLife::tick`]: a pending alert whose count is met fires, a recovering one whose count is met
/// resolves when its time is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertLife {
    phase: AlertPhase,
    /// Consecutive events of the condition that the phase waits for.
    run: u32,
    /// When the present phase's wait began: the first event of the run.
    run_since: Timestamp,
    /// When the condition was first seen in this episode.
    started: Timestamp,
    /// When the alert fired in this episode.
    fired: Timestamp,
}

impl AlertLife {
    /// Takes the condition at one event.
    pub fn step(&mut self, condition: AlertCondition, at: Timestamp, rule: &Persistence) -> Transition {
        use AlertPhase::{Firing, Inactive, Pending, Recovering, Resolved};
        match (self.phase, condition) {
            (Inactive | Resolved, AlertCondition::Fire) => {
                *self = Self { phase: Pending, run: 1, run_since: at, started: at, fired: at };
                self.settle(at, rule)
            }
            (Pending, AlertCondition::Fire) | (Recovering, AlertCondition::Clear) => {
                if self.run == 0 {
                    self.run_since = at;
                }
                self.run = self.run.saturating_add(1);
                self.settle(at, rule)
            }
            (Firing, AlertCondition::Clear) => {
                (self.phase, self.run, self.run_since) = (Recovering, 1, at);
                self.settle(at, rule)
            }
            (Firing | Recovering, AlertCondition::Over) => {
                self.phase = Resolved;
                Transition::Resolved
            }
            (Inactive | Resolved | Pending, _) => {
                *self = Self::default();
                Transition::None
            }
            (Firing, _) => Transition::None,
            (Recovering, AlertCondition::Fire) => {
                self.phase = Firing;
                Transition::None
            }
            (Recovering, AlertCondition::Hold) => {
                (self.run, self.run_since) = (0, at);
                Transition::None
            }
        }
    }

    /// Lets time pass without an event.
    pub fn tick(&mut self, now: Timestamp, rule: &Persistence) -> Transition {
        self.settle(now, rule)
    }

    /// When [`AlertLife::tick`] would change something, if no event comes before.
    pub fn deadline(&self, rule: &Persistence) -> Option<Timestamp> {
        let (span, count) = match self.phase {
            AlertPhase::Pending => (rule.for_time, rule.for_count),
            AlertPhase::Recovering => (rule.keep_firing, rule.keep_count),
            _ => return None,
        };
        (self.run >= count).then(|| self.run_since.plus(span))
    }

    /// Moves on when both the count and the time of the present wait are met.
    fn settle(&mut self, now: Timestamp, rule: &Persistence) -> Transition {
        if self.deadline(rule).is_none_or(|due| now < due) {
            return Transition::None;
        }
        if self.phase == AlertPhase::Pending {
            (self.phase, self.fired) = (AlertPhase::Firing, now);
            Transition::Fired
        } else {
            self.phase = AlertPhase::Resolved;
            Transition::Resolved
        }
    }

    /// Where it is.
    pub const fn phase(&self) -> AlertPhase {
        self.phase
    }

    /// Is true while the alert is out: firing or recovering.
    pub const fn is_out(&self) -> bool {
        matches!(self.phase, AlertPhase::Firing | AlertPhase::Recovering)
    }

    /// Is true when a condition or time can still change it: pending, firing or recovering.
    pub const fn is_alive(&self) -> bool {
        matches!(self.phase, AlertPhase::Pending | AlertPhase::Firing | AlertPhase::Recovering)
    }

    /// When the condition was first seen in this episode.
    pub const fn started(&self) -> Timestamp {
        self.started
    }

    /// When it fired in this episode.
    pub const fn fired(&self) -> Timestamp {
        self.fired
    }

    /// Appends the state.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.phase as u8);
        put_u32(out, self.run);
        for time in [self.run_since, self.started, self.fired] {
            put_i64(out, time.micros());
        }
    }

    /// Reads what [`AlertLife::write`] wrote.
    pub(crate) fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let phase = match bytes.u8()? {
            0 => AlertPhase::Inactive,
            1 => AlertPhase::Pending,
            2 => AlertPhase::Firing,
            3 => AlertPhase::Recovering,
            4 => AlertPhase::Resolved,
            _ => return Err(DecodeError::Range { field: "alert phase" }),
        };
        let run = bytes.u32()?;
        let mut time = || bytes.i64().map(Timestamp::from_micros);
        Ok(Self { phase, run, run_since: time()?, started: time()?, fired: time()? })
    }
}

/// How much an alert matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth a look in working hours.
    #[default]
    Warning,
    /// Somebody must act now.
    Critical,
}

impl Severity {
    /// Names the severity as it stands in a plan.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The key under which the repeats of an alert are collapsed: 32 hexadecimal digits that depend on the
/// model, the version, the kind and the observer's name alone, so that they outlive a restart.
///
/// FNV-1a with 128 bits over the parts, each ended by a zero byte.
pub fn dedup_key(parts: &[&str]) -> String {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for part in parts {
        for byte in part.bytes().chain(std::iter::once(0)) {
            hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
        }
    }
    format!("{hash:032x}")
}

#[cfg(test)]
mod tests {
    use super::AlertCondition::{Clear, Fire, Hold, Over};
    use super::Transition::{Fired, None as Quiet, Resolved};
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    fn rule(for_s: u64, for_count: u32, keep_s: u64, keep_count: u32) -> Persistence {
        let [for_time, keep_firing] = [for_s, keep_s].map(Duration::from_secs);
        Persistence { for_time, for_count, keep_firing, keep_count }
    }

    /// Phases after each step.
    fn run(rule: &Persistence, steps: &[(AlertCondition, i64)]) -> Vec<(&'static str, Transition)> {
        let mut life = AlertLife::default();
        steps
            .iter()
            .map(|(condition, second)| {
                let transition = life.step(*condition, at(*second), rule);
                (life.phase().as_str(), transition)
            })
            .collect()
    }

    #[test]
    fn with_no_waits_it_fires_and_resolves_at_once_and_once() {
        let seen =
            run(&rule(0, 1, 0, 1), &[(Fire, 0), (Fire, 1), (Hold, 2), (Clear, 3), (Clear, 4), (Fire, 5)]);
        let told: Vec<_> = seen.iter().map(|s| s.1).collect();
        assert_eq!(told, [Fired, Quiet, Quiet, Resolved, Quiet, Fired]);
    }

    #[test]
    fn it_waits_for_time_and_count_both() {
        let both = rule(10, 3, 0, 1);
        let seen = run(&both, &[(Fire, 0), (Fire, 1), (Fire, 2), (Fire, 9), (Fire, 10)]);
        assert_eq!(
            seen.iter().map(|s| s.0).collect::<Vec<_>>(),
            ["pending"; 4].iter().copied().chain(["firing"]).collect::<Vec<_>>()
        );
        let seen = run(&both, &[(Fire, 0), (Fire, 11), (Fire, 12)]);
        assert_eq!(seen[1].0, "pending");
        assert_eq!(seen[2], ("firing", Transition::Fired));
    }

    #[test]
    fn a_pending_alert_that_holds_no_longer_is_nothing() {
        let seen = run(&rule(10, 1, 0, 1), &[(Fire, 0), (Hold, 5), (Fire, 11), (Fire, 20), (Fire, 21)]);
        assert_eq!(seen[1].0, "inactive");
        assert_eq!(seen[3].0, "pending");
        assert_eq!(seen[4].1, Transition::Fired);
    }

    #[test]
    fn recovering_goes_back_without_a_second_page() {
        let seen = run(
            &rule(0, 1, 10, 2),
            &[
                (Fire, 0),
                (Clear, 1),
                (Fire, 5),
                (Clear, 6),
                (Hold, 12),
                (Clear, 13),
                (Clear, 22),
                (Clear, 23),
            ],
        );
        let told: Vec<_> = seen.iter().map(|s| s.1).collect();
        // Ten seconds of clear count from the first clear event after the hold.
        assert_eq!(told, [Fired, Quiet, Quiet, Quiet, Quiet, Quiet, Quiet, Resolved]);
        assert_eq!(seen[4].0, "recovering");
    }

    #[test]
    fn time_alone_fires_and_resolves_when_the_count_is_met() {
        let both = rule(10, 1, 20, 1);
        let mut life = AlertLife::default();
        life.step(Fire, at(0), &both);
        assert_eq!(life.deadline(&both), Some(at(10)));
        assert_eq!(life.tick(at(9), &both), Transition::None);
        assert_eq!(life.tick(at(10), &both), Transition::Fired);
        assert_eq!(life.deadline(&both), None);
        life.step(Clear, at(11), &both);
        assert_eq!(life.tick(at(31), &both), Transition::Resolved);
        assert_eq!(life.tick(at(99), &both), Transition::None);
    }

    #[test]
    fn what_is_over_waits_for_nothing() {
        let slow = rule(0, 1, 3600, 100);
        let seen = run(&slow, &[(Fire, 0), (Over, 1), (Over, 2), (Fire, 3), (Clear, 4), (Over, 5)]);
        assert_eq!(seen[1].1, Transition::Resolved);
        assert_eq!(seen[2], ("inactive", Transition::None));
        assert_eq!(seen[5].1, Transition::Resolved);
    }

    #[test]
    fn state_is_read_back() {
        let mut life = AlertLife::default();
        life.step(Fire, at(3), &rule(10, 2, 0, 1));
        let mut bytes = Vec::new();
        life.write(&mut bytes);
        assert_eq!(AlertLife::read(&mut Reader::new(&bytes)).unwrap(), life);
        bytes[0] = 9;
        assert!(AlertLife::read(&mut Reader::new(&bytes)).is_err());
    }

    #[test]
    fn the_key_is_that_of_the_published_function() {
        // FNV-1a 128 of "foobar" is 0x343e1662793c64bf6f0d3597ba446f18 (Noll's test vectors); the key
        // adds the ending zero of each part.
        assert_ne!(dedup_key(&["ab", "c"]), dedup_key(&["a", "bc"]));
        assert_eq!(dedup_key(&["m", "1", "Accuracy", "floor"]), dedup_key(&["m", "1", "Accuracy", "floor"]));
        assert_eq!(dedup_key(&[]), "6c62272e07bb014262b821756295c58d");
    }
}
