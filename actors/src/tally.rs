//! What a shard counts.

use std::cell::Cell;

/// Counters of a shard.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) events: Cell<u64>,
    pub(crate) late: Cell<u64>,
    pub(crate) too_late: Cell<u64>,
    pub(crate) repeated: Cell<u64>,
    pub(crate) refused_series: Cell<u64>,
    pub(crate) panics: Cell<u64>,
    pub(crate) snapshots_failed: Cell<u64>,
    pub(crate) passivated: Cell<u64>,
    pub(crate) woken: Cell<u64>,
    pub(crate) awake: Cell<usize>,
    /// Of those awake, the ones that are asleep but for their actor, which has not stopped yet.
    pub(crate) dozing: Cell<usize>,
    pub(crate) waiting: Cell<usize>,
    pub(crate) quarantined: Cell<usize>,
}

pub(crate) fn bump(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}
