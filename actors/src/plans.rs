//! The plans that a shard knows: which was in force from which offset on, and those that snapshots were written under.

use std::sync::Arc;

use visu_tility_core::MonitorPlan;

/// Changes of plan that are remembered before those models are woken that have not followed the first half of them.
pub(crate) const CHANGES_KEPT: usize = 256;
/// Changes of plan that are remembered before a further one is refused.
pub(crate) const CHANGES_MAX: usize = 1_024;
/// Changes of a log: that many reloads may be on their way when one is refused, or processes may begin with another plan.
pub(crate) const LOG_MAX: usize = 2 * CHANGES_MAX;
/// Plans kept besides those of the log.
const OTHERS_MAX: usize = 8;

/// A plan under its fingerprint.
type Known = (u64, Arc<MonitorPlan>);

/// The plans of one shard.
#[derive(Clone)]
pub(crate) struct Plans {
    /// With the offset from which on it was in force, oldest first.
    log: Vec<(u64, Known)>,
    /// Of sleeping models, the latest last.
    others: Vec<Known>,
    /// What the builder was given: the user's own observers are taken from it.
    own: Known,
}

impl Plans {
    pub(crate) const fn new(fingerprint: u64, plan: Arc<MonitorPlan>) -> Self {
        Self { log: Vec::new(), others: Vec::new(), own: (fingerprint, plan) }
    }

    /// Whether a plan is the one that is in force.
    pub(crate) fn is_in_force(&self, fingerprint: u64) -> bool {
        self.log.last().is_some_and(|(_, (last, _))| *last == fingerprint)
    }

    /// A plan comes into force; nothing changes when it is that already, for who sleeps no less than for who is awake.
    pub(crate) fn enter(&mut self, offset: u64, fingerprint: u64, plan: Arc<MonitorPlan>) {
        if self.is_in_force(fingerprint) {
            return;
        }
        if self.log.len() >= LOG_MAX {
            // Not come to: the ledger has as many at most.
            self.log.remove(0);
        }
        self.log.push((offset, (fingerprint, plan)));
    }

    /// Nobody needs what came into force before an offset any more, but for the last of that.
    pub(crate) fn forget_before(&mut self, offset: u64) {
        let old = self.log.iter().take_while(|(from, _)| *from < offset).count();
        self.log.drain(..old.saturating_sub(1));
    }

    /// The plan that is in force.
    pub(crate) fn present(&self) -> Arc<MonitorPlan> {
        self.log.last().map_or_else(|| Arc::clone(&self.own.1), |(_, (_, plan))| Arc::clone(plan))
    }

    /// What the builder was given.
    pub(crate) const fn own(&self) -> &Arc<MonitorPlan> {
        &self.own.1
    }

    /// The plans that came into force at an offset or later, in order.
    pub(crate) fn since(&self, offset: u64) -> Vec<Arc<MonitorPlan>> {
        let since = self.log.iter().filter(|(from, _)| *from >= offset);
        since.map(|(_, (_, plan))| Arc::clone(plan)).collect()
    }

    pub(crate) fn find(&self, fingerprint: u64) -> Option<Arc<MonitorPlan>> {
        self.all().find(|(of, _)| *of == fingerprint).map(|(_, plan)| Arc::clone(plan))
    }

    /// The fingerprint of a plan that was given out here.
    pub(crate) fn fingerprint(&self, plan: &Arc<MonitorPlan>) -> Option<u64> {
        self.all().find(|(_, known)| Arc::ptr_eq(known, plan)).map(|(fingerprint, _)| *fingerprint)
    }

    /// Remembers a plan that a snapshot was written under.
    pub(crate) fn remember(&mut self, fingerprint: u64, plan: Arc<MonitorPlan>) {
        if self.others.len() >= OTHERS_MAX {
            self.others.remove(0);
        }
        self.others.push((fingerprint, plan));
    }

    /// The latest first: one that has come into force again is found as it is in force now.
    fn all(&self) -> impl Iterator<Item = &Known> {
        self.log.iter().rev().map(|(_, known)| known).chain(&self.others).chain([&self.own])
    }
}
