//! Models that are set aside: what is kept of one cannot be read, or the store refuses what would be kept. It is in
//! quarantine, its last state and its part of the journal stay as they are, and neighbours notice nothing.

use std::rc::Rc;
use std::sync::Arc;

use visu_tility_core::ModelId;

use crate::cell::{ModelCell, ModelPhase};
use crate::lifecycle::Lifecycle;
use crate::shard_state::Shard;

impl Shard {
    /// Takes note that the store refuses a model's state. One that has left memory since is set aside when it is woken.
    pub(crate) fn set_aside(self: &Rc<Self>, model: &ModelId, reason: String) {
        let Some(entry) = self.board.directory.with(model.as_str(), Arc::clone) else { return };
        let Some(cell) = self.cell_of(entry.address, entry.generation) else { return };
        if !cell.has_monitor() {
            return;
        }
        self.drop_wait(&cell);
        self.mark_aside(&cell, &reason);
        cell.set_monitor(None);
        self.enter(&cell, ModelPhase::Quarantined);
        self.outlet.tell(&Lifecycle::Quarantined { model_id: entry.id.clone(), reason });
    }

    /// Has a model's last state and its part of the journal stay as they are, and says so in the status.
    pub(crate) fn mark_aside(&self, cell: &ModelCell, reason: &str) {
        cell.in_trouble(|trouble| trouble.unreadable = true);
        if let Some(saving) = &self.saving {
            saving.figures.set_aside(&cell.entry.id, reason, saving.position.get());
        }
    }
}
