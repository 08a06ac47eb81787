//! Which models are saved next: who has acted, who lies too far back, and a share of the others, of these first who was just
//! sent an event: a state that was touched lately costs a fraction of one that was not.

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;

use super::dirty::Mark;
use super::{Extent, Saving, is_posted};
use crate::routed::Routed;
use crate::shard_state::Shard;
use crate::slab::{Head, live};
use crate::timers::Tenant;

/// Of the events of a batch, each so manieth is remembered, and so many at most.
const SEEN_EVERY: usize = 8;
const SEEN_MAX: usize = 128;

/// What it is chosen by.
pub(super) struct Choice {
    /// Where the shard was when models were picked last.
    picked_at: Cell<u64>,
    /// Entries times dirty models that no save was made for yet; `save_events` of them make one.
    owed: Cell<u64>,
    /// Some of those whom the last batch was for.
    seen: RefCell<Vec<Tenant>>,
}

impl Choice {
    pub(super) fn new(position: u64) -> Self {
        Self { picked_at: Cell::new(position), owed: Cell::new(0), seen: RefCell::default() }
    }

    /// How many models are to be saved now that the shard has come so far.
    fn share(&self, position: u64, dirty: usize, save_events: u64) -> usize {
        let entries = position.saturating_sub(self.picked_at.replace(position));
        let owed = self.owed.get().saturating_add((dirty as u64).saturating_mul(entries));
        self.owed.set(owed % save_events);
        (owed / save_events) as usize
    }
}

impl Saving {
    /// Takes note whom a batch was for.
    pub(crate) fn saw(&self, events: &[Routed]) {
        let mut seen = self.choice.seen.borrow_mut();
        seen.clear();
        let tenant = |event: &Routed| (event.address.place() as u32, event.generation);
        seen.extend(events.iter().rev().step_by(SEEN_EVERY).take(SEEN_MAX).map(tenant));
    }
}

impl Shard {
    /// Picks models to save.
    pub(super) fn choose(&self, saving: &Saving, extent: Extent) {
        let mut urgent = saving.urgent.borrow_mut();
        for record in saving.records.borrow().iter().filter(|record| is_posted(record)) {
            urgent.extend(self.tenant_of(record.id.model_id.as_str()));
        }
        let dirty = saving.dirty.borrow();
        let (position, now) = (saving.position.get(), (self.watch.micros() / 1_000_000) as u32);
        let every = u32::try_from(saving.policy.save_every.as_secs()).unwrap_or(u32::MAX).max(1);
        let ticks = saving.policy.save_every.as_millis() / self.settings.tick_every.as_millis().max(1);
        // So many a tick, and so many an entry, that all are saved once in that time, and in as many entries. A journal
        // that is full has room again only when nobody needs it any more.
        let all = self.dock.pressed.swap(false, Ordering::AcqRel) || extent == Extent::All;
        let of_ticks = if extent == Extent::Share { dirty.len().div_ceil(ticks.max(1) as usize) } else { 0 };
        let many = saving.policy.save_events;
        let mut of_entries = saving.choice.share(position, dirty.len(), many);
        if !all && of_entries > 0 {
            let warm = self.warm(saving, position, of_entries.min(saving.policy.saves_max));
            of_entries -= warm.len();
            urgent.extend(warm);
        }
        let mut taken = 0;
        for Mark { offset, tenant, second } in dirty.iter() {
            let back = position.saturating_sub(offset);
            let far = back >= many || (taken < of_entries && back >= many / 2);
            // A young one waits, so that a model that has just been saved is not saved again.
            let old = now.saturating_sub(second);
            let aged = extent == Extent::Share && (old >= every || (taken < of_ticks && old >= every / 2));
            if !all && (taken >= saving.policy.saves_max || !(far || aged)) {
                break;
            }
            if extent != Extent::All && self.is_held_from(tenant, offset) {
                // All that it has seen is saved: without this it would be saved again and again until its restart.
                continue;
            }
            urgent.push(tenant);
            taken += 1;
        }
    }

    /// Of those whom the last batch was for, the ones that lie furthest back, if that is half as far as they may.
    fn warm(&self, saving: &Saving, position: u64, max: usize) -> Vec<Tenant> {
        let (dirty, seen) = (saving.dirty.borrow(), saving.choice.seen.borrow());
        let back = |offset: u64| position.saturating_sub(offset) >= saving.policy.save_events / 2;
        if dirty.first_offset().is_none_or(|first| !back(first)) {
            return Vec::new();
        }
        let since = |tenant: &Tenant| Some((dirty.since(*tenant)?, *tenant));
        let mut warm: Vec<_> = seen.iter().filter_map(since).filter(|(offset, _)| back(*offset)).collect();
        warm.sort_unstable();
        warm.dedup();
        let held = |(offset, tenant): &(u64, Tenant)| !self.is_held_from(*tenant, *offset);
        warm.into_iter().filter(held).take(max).map(|(_, tenant)| tenant).collect()
    }

    /// Whether what a model's last snapshot does not hold is just what is held for it until its restart.
    fn is_held_from(&self, (place, generation): Tenant, offset: u64) -> bool {
        let runs = |head: &Head| head.live.get() == live(generation);
        if self.slab.heads.borrow().get(place as usize).is_some_and(runs) {
            // Nothing is held for it, and what is known of one in trouble is far away.
            return false;
        }
        let cell = self.cell(place as usize).filter(|cell| cell.generation == generation);
        cell.is_some_and(|cell| {
            let trouble = cell.trouble.borrow();
            let first = trouble.as_ref().and_then(|trouble| trouble.held.front());
            first.is_some_and(|held| held.1 == offset)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_dirty_is_due_so_that_all_are_once_in_so_many_entries() {
        let choice = Choice::new(0);
        // 10 models, each once in 1,000 entries: one in 100.
        let shares: Vec<_> = (1..=8).map(|batch| choice.share(batch * 50, 10, 1_000)).collect();
        assert_eq!(shares, [0, 1, 0, 1, 0, 1, 0, 1]);
        assert_eq!(choice.share(1_400, 10, 1_000), 10);
    }
}
