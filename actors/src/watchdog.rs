//! Sees from a thread of its own when an observer of the user's does not come back, names it, and with a store has its
//! arbiter replaced.
//!
//! A thread cannot be ended from outside. Of one that is stuck the models are given to a fresh arbiter; it stays behind,
//! fenced, until its observer comes back, if ever.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::{Arbiter, ArbiterHandle, System};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::oneshot;
use visu_tility_core::journal::Turn;
use visu_tility_core::{Deed, ModelId, ObserverError, Sighting};

use crate::board::Board;
use crate::clock::Stopwatch;
use crate::directory::ModelEntry;
use crate::dock::{Dock, ShardPulse};
use crate::handle::MonitoringHandle;
use crate::ledger::culprit::Culprit;
use crate::ledger::inbox::What;
use crate::ledger::takeover::Takeover;
use crate::routed::Address;

/// How long a fresh arbiter may take to start; then it is tried again at the next look.
const START_MAX: Duration = Duration::from_secs(5);
/// How long the ledger may take to replace an arbiter, before it is asked again.
const ASK_AGAIN: Duration = Duration::from_mins(10);
const HOUR: Duration = Duration::from_hours(1);

/// The settings of the watchdog.
///
/// | setting | range | default | what it trades |
/// |---|---|---|---|
/// | `stuck_after` | none, or 100 ms to 1 day | 30 s | how long the other models of an arbiter wait, against an observer that is only slow |
/// | `replaced_max` | 0 to 60 in an hour | 3 | threads that may be left behind, against models that are not watched |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchdogPolicy {
    /// An observer that has not come back from one call after so long is stuck; `None`: nobody looks.
    pub stuck_after: Option<Duration>,
    /// Arbiters that may be replaced within an hour. Each leaves a thread behind.
    pub replaced_max: usize,
}

impl Default for WatchdogPolicy {
    fn default() -> Self {
        Self { stuck_after: Some(Duration::from_secs(30)), replaced_max: 3 }
    }
}

impl WatchdogPolicy {
    /// Checks the settings against their ranges.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`], which names the setting and its range.
    pub fn check(&self) -> Result<(), ObserverError> {
        let (min, max) = (Duration::from_millis(100), Duration::from_hours(24));
        if let Some(after) = self.stuck_after.filter(|after| !(min..=max).contains(after)) {
            let said = format!("`stuck_after` is {after:?}, must be from {min:?} to {max:?}");
            return Err(ObserverError::Config(said));
        }
        if self.replaced_max > 60 {
            let said = format!("`replaced_max` is {}, must be at most 60", self.replaced_max);
            return Err(ObserverError::Config(said));
        }
        Ok(())
    }
}

/// An observer that does not come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StuckObserver {
    /// The shard, that is, its arbiter.
    pub shard: usize,
    /// Whose observer it is; `None` when the model is gone.
    pub model_id: Option<ModelId>,
    /// The observer's name, when it is known.
    pub observer: Option<Arc<str>>,
    /// How long it was seen there, in seconds.
    pub seconds: u64,
    /// Why its arbiter is not replaced; `None` when it is being, or was.
    pub not_replaced: Option<String>,
}

impl std::fmt::Display for StuckObserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { shard, model_id, observer, seconds, .. } = self;
        let (model, observer) =
            (model_id.as_ref().map_or("?", |model| model.as_str()), observer.as_deref().unwrap_or("?"));
        write!(f, "arbiter {shard} is stuck in observer `{observer}` of model `{model}` for {seconds} s")
    }
}

/// What the watchdog has seen and done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WatchdogStatus {
    /// Observers that do not come back at present, and whose arbiter is still in charge.
    pub stuck: Vec<StuckObserver>,
    /// Observers that were found stuck, ever.
    pub found: u64,
    /// Arbiters that were replaced, ever.
    pub replaced: u64,
    /// Threads of those that have not come back.
    pub left_behind: usize,
}

impl WatchdogStatus {
    /// One that is not being replaced: its arbiter's models are not watched.
    pub fn given_up(&self) -> Option<&StuckObserver> {
        self.stuck.iter().find(|stuck| stuck.not_replaced.is_some())
    }
}

/// One call of an observer, since it was first seen.
struct Seen {
    epoch: u64,
    call: u64,
    since: Duration,
    /// Once it was told.
    stuck: Option<StuckObserver>,
    /// When it was asked to have its arbiter replaced.
    asked: Option<Duration>,
}

#[derive(Default)]
struct State {
    seen: BTreeMap<usize, Seen>,
    found: u64,
    replaced: u64,
    /// When arbiters were replaced, within the last hour.
    recent: VecDeque<Duration>,
    left_behind: Vec<Arc<Dock>>,
}

/// Looks at all shards from outside.
pub(crate) struct Watchdog {
    policy: WatchdogPolicy,
    board: Arc<Board>,
    /// Where fresh arbiters are started; `None` with no thread of its own.
    ground: Option<ArbiterHandle>,
    state: Mutex<State>,
}

impl Watchdog {
    pub(crate) fn new(policy: WatchdogPolicy, board: &Arc<Board>, system: Option<&System>) -> Self {
        let ground = system.map(|system| system.arbiter().clone());
        Self { policy, board: Arc::clone(board), ground, state: Mutex::default() }
    }

    /// Starts the thread that looks, unless nobody is to look; it ends when what is answered is dropped.
    pub(crate) fn run(self: &Arc<Self>) -> Result<Option<Sender<()>>, std::io::Error> {
        let Some(after) = self.policy.stuck_after else { return Ok(None) };
        let every = (after / 8).clamp(Duration::from_millis(25), Duration::from_secs(1));
        let (leash, ended) = channel::<()>();
        let weak: Weak<Self> = Arc::downgrade(self);
        let begun = Stopwatch::start();
        let look = move || {
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let Some(watchdog) = weak.upgrade() else { return };
                watchdog.look(Duration::from_micros(u64::try_from(begun.micros()).unwrap_or(0)));
            }
        };
        std::thread::Builder::new().name("watchdog".into()).spawn(look)?;
        Ok(Some(leash))
    }

    pub(crate) fn status(&self) -> WatchdogStatus {
        let state = self.state.lock();
        WatchdogStatus {
            stuck: state.seen.iter().filter_map(|(shard, seen)| self.still(*shard, seen)).collect(),
            found: state.found,
            replaced: state.replaced,
            left_behind: state.left_behind.len(),
        }
    }

    /// The observer that a shard is stuck in for good.
    pub(crate) fn given_up(&self, shard: usize) -> Option<StuckObserver> {
        let state = self.state.lock();
        self.still(shard, state.seen.get(&shard)?).filter(|stuck| stuck.not_replaced.is_some())
    }

    /// One that was found stuck and has not come back since.
    fn still(&self, shard: usize, seen: &Seen) -> Option<StuckObserver> {
        let dock = self.board.dock(shard).filter(|dock| dock.epoch == seen.epoch)?;
        let call = dock.footprint.sighting()?.call;
        seen.stuck.clone().filter(|_| call == seen.call)
    }

    /// Looks at all shards; the stopwatch shows `now`. Answers how many are within the user's code.
    pub(crate) fn look(&self, now: Duration) -> usize {
        let Some(after) = self.policy.stuck_after else { return 0 };
        let mut shifted = false;
        let mut state = self.state.lock();
        state.left_behind.retain(|dock| dock.footprint.sighting().is_some());
        for (shard, dock) in self.board.docks().enumerate() {
            shifted |= self.look_at(&mut state, shard, &dock, after, now);
            let stuck = state.seen.get(&shard).and_then(|seen| seen.stuck.as_ref());
            dock.give_up(stuck.is_some_and(|stuck| stuck.not_replaced.is_some()));
        }
        let within = state.seen.len();
        drop(state);
        if shifted {
            self.board.shift();
            if let Some(inbox) = &self.board.ledger {
                inbox.wake();
            }
        }
        within
    }

    /// Looks at one shard; answers whether who waits for it is to look again.
    fn look_at(
        &self,
        state: &mut State,
        shard: usize,
        dock: &Arc<Dock>,
        after: Duration,
        now: Duration,
    ) -> bool {
        let Some(sighting) = dock.footprint.sighting() else {
            return state.seen.remove(&shard).is_some_and(|seen| {
                if let Some(stuck) = &seen.stuck {
                    tracing::info!(
                        shard,
                        seconds = stuck.seconds,
                        "an observer that was stuck has come back"
                    );
                }
                seen.stuck.is_some()
            });
        };
        let known = state.seen.get(&shard);
        if known.is_none_or(|seen| seen.call != sighting.call || seen.epoch != dock.epoch) {
            let seen = Seen { epoch: dock.epoch, call: sighting.call, since: now, stuck: None, asked: None };
            return state.seen.insert(shard, seen).is_some_and(|before| before.stuck.is_some());
        }
        let stuck_for = now.saturating_sub(known.map_or(now, |seen| seen.since));
        if stuck_for < after {
            return false;
        }
        self.found_stuck(state, shard, dock, sighting, stuck_for, now)
    }

    fn found_stuck(
        &self,
        state: &mut State,
        shard: usize,
        dock: &Arc<Dock>,
        sighting: Sighting,
        stuck_for: Duration,
        now: Duration,
    ) -> bool {
        let entry = self.board.directory.at(Address::new(shard as u8, dock.pulse.place()));
        let offset = dock.pulse.entry();
        let plan = dock.plan.lock().clone();
        let observer: Option<Arc<str>> =
            plan.and_then(|plan| Some(plan.observers().get(sighting.observer)?.name().into()));
        if dock.footprint.sighting() != Some(sighting) {
            // It has come back while it was looked at.
            return false;
        }
        state.recent.retain(|at| now.saturating_sub(*at) < HOUR);
        let asked = state.seen.get(&shard).and_then(|seen| seen.asked);
        let asked = asked.is_some_and(|asked| now.saturating_sub(asked) < ASK_AGAIN);
        let mut not_replaced = if asked { None } else { self.hindrance(state, entry.as_ref()) };
        if !asked
            && not_replaced.is_none()
            && let Some(entry) = &entry
        {
            not_replaced = self.replace(shard, dock, entry, offset, sighting.deed, observer.as_deref()).err();
            if not_replaced.is_none() {
                state.replaced += 1;
                state.recent.push_back(now);
                if !state.left_behind.iter().any(|left| Arc::ptr_eq(left, dock)) {
                    state.left_behind.push(Arc::clone(dock));
                }
            }
        }
        let Some(seen) = state.seen.get_mut(&shard) else { return false };
        if !asked && not_replaced.is_none() {
            seen.asked = Some(now);
        }
        let model_id = entry.map(|entry| entry.id.clone());
        let seconds = stuck_for.as_secs();
        let stuck = StuckObserver { shard, model_id, observer, seconds, not_replaced };
        let first = seen.stuck.is_none();
        if first {
            state.found += 1;
            let (model, observer) = (stuck.model_id.as_ref().map(ModelId::as_str), stuck.observer.as_deref());
            let kept = stuck.not_replaced.as_deref();
            tracing::error!(shard, model, observer, seconds, not_replaced = kept, "an observer is stuck");
        }
        let before = seen.stuck.replace(stuck);
        before.is_none_or(|before| {
            before.not_replaced.is_some()
                != seen.stuck.as_ref().is_some_and(|stuck| stuck.not_replaced.is_some())
        })
    }

    /// Why a stuck arbiter cannot be replaced.
    fn hindrance(&self, state: &State, entry: Option<&Arc<ModelEntry>>) -> Option<String> {
        let said = if self.board.ledger.is_none() {
            "without a store the states of its models would be lost"
        } else if self.ground.is_none() {
            "the monitoring has no thread of its own"
        } else if self.board.is_closed() {
            "monitoring is shut down"
        } else if entry.is_none() {
            "the model is not known"
        } else if state.recent.len() >= self.policy.replaced_max {
            "`replaced_max` arbiters were replaced within the hour"
        } else {
            return None;
        };
        Some(said.to_owned())
    }

    /// Has the ledger write down the model and a fresh arbiter take the place of the stuck one.
    fn replace(
        &self,
        shard: usize,
        dock: &Dock,
        entry: &Arc<ModelEntry>,
        offset: u64,
        deed: Deed,
        observer: Option<&str>,
    ) -> Result<(), String> {
        let (Some(inbox), Some(ground)) = (&self.board.ledger, &self.ground) else {
            return Err("there is no store".to_owned());
        };
        let (ready, started) = channel();
        ground.spawn_fn(move || drop(ready.send(Arbiter::try_new().map(|arbiter| arbiter.handle()))));
        let arbiter = match started.recv_timeout(START_MAX) {
            Ok(Ok(arbiter)) => arbiter,
            Ok(Err(error)) => return Err(format!("no thread for an arbiter: {error}")),
            Err(_) => return Err("a fresh arbiter did not start, a sink or an executor blocks".to_owned()),
        };
        let culprit = Culprit::new(&entry.id, offset, deed, observer);
        inbox.take_over(Takeover { shard, epoch: dock.epoch, culprit, arbiter });
        // In the journal for who reads it; and should the observer come back before it is fenced.
        let (reply, _) = oneshot::channel();
        let turn = What::Turn(Arc::clone(entry), Turn::Quarantine, self.board.clock.now(), reply);
        let _ = self.board.journal(turn);
        Ok(())
    }
}

impl MonitoringHandle {
    /// What a watchdog reads, per shard.
    pub fn pulses(&self) -> Vec<Arc<ShardPulse>> {
        self.house.board.docks().map(|dock| Arc::clone(&dock.pulse)).collect()
    }

    /// Observers that do not come back, and what was done about them; asks no shard.
    pub fn watchdog(&self) -> WatchdogStatus {
        self.house.watchdog.status()
    }

    /// Has the watchdog look as if its stopwatch showed `elapsed`, for tests; answers how many shards are within the user's code.
    #[doc(hidden)]
    pub fn look_for_stuck(&self, elapsed: Duration) -> usize {
        self.house.watchdog.look(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_its_range_is_named() {
        assert!(WatchdogPolicy::default().check().is_ok());
        assert!(WatchdogPolicy { stuck_after: None, replaced_max: 0 }.check().is_ok());
        let policy = WatchdogPolicy { stuck_after: Some(Duration::ZERO), ..WatchdogPolicy::default() };
        let said = policy.check().unwrap_err().to_string();
        assert!(said.contains("`stuck_after` is 0ns, must be from 100ms to 86400s"), "{said}");
        let policy = WatchdogPolicy { replaced_max: 61, ..WatchdogPolicy::default() };
        assert!(policy.check().unwrap_err().to_string().contains("`replaced_max` is 61, must be at most 60"));
    }
}
