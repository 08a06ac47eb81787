//! Which models of a shard are saved, and when.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cell::ModelCell;
use crate::directory::ModelEntry;
use crate::saving::dirty::Mark;
use crate::saving::{Saving, is_posted};
use crate::shard_state::Shard;
use crate::timers::Tenant;

/// How much is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What has acted, and what lies too far back.
    Urgent,
    /// Also a share of what is dirty: called once a tick.
    Share,
    /// All that is dirty.
    All,
}

impl Shard {
    /// Takes note that a model's state goes beyond its snapshot from an offset on.
    pub(crate) fn mark(&self, cell: &ModelCell, offset: u64) {
        let Some(saving) = &self.saving else { return };
        let seconds = self.seconds.get();
        cell.head(|head| head.touched.set(seconds));
        if !cell.is_aside() {
            saving.mark(cell.tenant(), offset, seconds);
        } else if !saving.is_dirty(cell.entry.address.place()) {
            saving.park(cell.tenant(), offset);
        }
    }

    /// As [`Shard::mark`], from the hot path.
    #[cold]
    pub(crate) fn mark_place(&self, tenant: Tenant, offset: u64) {
        if let Some(saving) = &self.saving {
            saving.mark(tenant, offset, self.seconds.get());
        }
    }

    /// Takes a place's mark away.
    pub(crate) fn clean(&self, place: usize) {
        if let Some(saving) = &self.saving
            && let Some(offset) = saving.unmark(place)
        {
            // Until its end is in the store the journal is needed from there on.
            saving.waiting_from.set(saving.waiting_from.get().min(offset));
        }
    }

    /// Has a model saved at once.
    pub(crate) fn hurry(&self, cell: &ModelCell) {
        if let Some(saving) = &self.saving {
            saving.wait();
            saving.urgent.borrow_mut().push(cell.tenant());
        }
    }

    /// Has a model put to sleep as soon as it is saved.
    pub(crate) fn sleep_when_saved(&self, cell: &Rc<ModelCell>) {
        if let Some(saving) = &self.saving {
            self.hurry(cell);
            saving.sleepy.borrow_mut().push(Rc::clone(cell));
        }
    }

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
        let entries = position.saturating_sub(saving.picked_at.replace(position));
        let many = saving.policy.save_events;
        let of_entries = (dirty.len() as u64).saturating_mul(entries).div_ceil(many) as usize;
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

    /// Who lives at a name's place.
    pub(super) fn tenant_of(&self, model: &str) -> Option<Tenant> {
        let tenant = |entry: &Arc<ModelEntry>| (entry.address.place() as u32, entry.generation);
        self.board.directory.with(model, tenant)
    }

    /// Whether what a model's last snapshot does not hold is just what is held for it until its restart.
    fn is_held_from(&self, (place, generation): Tenant, offset: u64) -> bool {
        let cell = self.cell(place as usize).filter(|cell| cell.generation == generation);
        cell.is_some_and(|cell| {
            let trouble = cell.trouble.borrow();
            let first = trouble.as_ref().and_then(|trouble| trouble.held.front());
            first.is_some_and(|held| held.1 == offset)
        })
    }
}
