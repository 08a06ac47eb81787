//! What is due when, within one shard: monitors that wait for a time, restarts that wait for their turn.

use std::collections::{BTreeSet, VecDeque};

use visu_tility_core::Timestamp;

/// A model's place and the generation of who lives there.
pub(crate) type Tenant = (u32, u32);

/// The timers of one shard.
pub(crate) struct Timers {
    /// The largest event time handled.
    pub(crate) newest: i64,
    /// In event-time mode the end of the first wait, otherwise never.
    pub(crate) next_due: i64,
    event_time: bool,
    /// One entry per model at most, asleep or awake.
    ticks: BTreeSet<(i64, Tenant)>,
    waits: BTreeSet<(i64, u32)>,
    /// Awake models in the order in which they are looked at for idleness.
    pub(crate) idle: VecDeque<(u32, Tenant)>,
}

/// What has fallen due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The monitor at this place waits for this time.
    Tick(i64, Tenant),
    /// The wait of the model at this place is over.
    Wait(u32),
}

impl Timers {
    pub(crate) fn new(event_time: bool) -> Self {
        Self {
            newest: 0,
            next_due: i64::MAX,
            event_time,
            ticks: BTreeSet::new(),
            waits: BTreeSet::new(),
            idle: VecDeque::new(),
        }
    }

    /// Sets a monitor's timer in place of the one that was set for `before`.
    pub(crate) fn arm(&mut self, before: i64, due: Timestamp, tenant: Tenant) {
        if before != i64::MAX {
            self.ticks.remove(&(before, tenant));
        }
        self.ticks.insert((due.micros(), tenant));
        self.refresh();
    }

    /// Takes a monitor's timer away.
    pub(crate) fn disarm(&mut self, due: i64, tenant: Tenant) {
        self.ticks.remove(&(due, tenant));
        self.refresh();
    }

    /// Lets a model wait for its restart.
    pub(crate) fn hold(&mut self, due: i64, place: u32) {
        self.waits.insert((due, place));
        self.refresh();
    }

    /// Ends a wait before its time.
    pub(crate) fn release(&mut self, due: i64, place: u32) {
        self.waits.remove(&(due, place));
        self.refresh();
    }

    /// The monitor that is due first, at `now` at the latest.
    pub(crate) fn next_tick(&mut self, now: i64) -> Option<(i64, Tenant)> {
        let first = *self.ticks.first()?;
        if first.0 > now {
            return None;
        }
        self.ticks.pop_first();
        self.refresh();
        Some(first)
    }

    /// The model whose wait is over first, at `now` at the latest.
    pub(crate) fn next_wait(&mut self, now: i64) -> Option<u32> {
        let first = *self.waits.first()?;
        if first.0 > now {
            return None;
        }
        self.waits.pop_first();
        self.refresh();
        Some(first.1)
    }

    /// What is due first at event time `now`: of a tick and a wait at the same time the tick.
    pub(crate) fn next(&mut self, now: i64) -> Option<Due> {
        let tick = self.ticks.first().map_or(i64::MAX, |(due, _)| *due);
        let wait = self.waits.first().map_or(i64::MAX, |(due, _)| *due);
        if tick <= wait {
            self.next_tick(now).map(|(due, tenant)| Due::Tick(due, tenant))
        } else {
            self.next_wait(now).map(Due::Wait)
        }
    }

    /// When the first wait is over.
    pub(crate) fn first_wait(&self) -> Option<i64> {
        self.waits.first().map(|(due, _)| *due)
    }

    fn refresh(&mut self) {
        if self.event_time {
            self.next_due = self.first_wait().unwrap_or(i64::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_of_time_then_place() {
        let mut timers = Timers::new(true);
        timers.arm(i64::MAX, Timestamp::from_micros(30), (1, 0));
        timers.arm(i64::MAX, Timestamp::from_micros(20), (2, 0));
        timers.arm(i64::MAX, Timestamp::from_micros(20), (0, 0));
        timers.arm(i64::MAX, Timestamp::from_micros(40), (3, 0));
        timers.arm(40, Timestamp::from_micros(35), (3, 0));
        timers.hold(20, 7);
        assert_eq!(timers.next_due, 20);
        let due: Vec<Due> = std::iter::from_fn(|| timers.next(25)).collect();
        assert_eq!(due, [Due::Tick(20, (0, 0)), Due::Tick(20, (2, 0)), Due::Wait(7)]);
        assert_eq!((timers.next_due, timers.next(30)), (i64::MAX, Some(Due::Tick(30, (1, 0)))));
    }

    #[test]
    fn outside_event_time_nothing_falls_due_by_events() {
        let mut timers = Timers::new(false);
        timers.arm(i64::MAX, Timestamp::from_micros(1), (1, 0));
        assert_eq!(timers.next_due, i64::MAX);
        timers.hold(5, 1);
        timers.release(5, 1);
        assert_eq!((timers.first_wait(), timers.next_tick(1)), (None, Some((1, (1, 0)))));
    }
}
