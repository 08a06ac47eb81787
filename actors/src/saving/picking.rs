//! What asks for a model to be saved: that its state goes beyond its snapshot, or that it is to be saved at once.

use std::rc::Rc;
use std::sync::Arc;

use crate::cell::ModelCell;
use crate::directory::ModelEntry;
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

    /// Who lives at a name's place.
    pub(super) fn tenant_of(&self, model: &str) -> Option<Tenant> {
        let tenant = |entry: &Arc<ModelEntry>| (entry.address.place() as u32, entry.generation);
        self.board.directory.with(model, tenant)
    }
}
