//! Models that are set aside: what is kept of one cannot be read, what would be kept cannot be written, or the store refuses
//! it. Such a model is in quarantine, its last state and its part of the journal stay as they are, and neighbours notice
//! nothing.

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
        if !cell.has_monitor() || cell.is_aside() {
            return;
        }
        self.drop_wait(&cell);
        // Its monitor stays as it is, so that a reset can resolve the alerts that are out.
        self.mark_aside(&cell, &reason);
        self.enter(&cell, ModelPhase::Quarantined);
        self.outlet.tell(&Lifecycle::Quarantined { model_id: entry.id.clone(), reason });
    }

    /// Has a model's last state and its part of the journal stay as they are, and says so in the status. No save is for it
    /// until that is lifted.
    pub(crate) fn mark_aside(&self, cell: &ModelCell, reason: &str) {
        cell.in_trouble(|trouble| trouble.aside = true);
        if let Some(saving) = &self.saving {
            saving.park(cell.tenant(), u64::MAX);
            saving.figures.set_aside(&cell.entry.id, reason, saving.position.get());
        }
    }

    /// What was thrown away keeps nobody aside: it is saved again, and the status follows when that is in the store.
    pub(crate) fn lift_aside(&self, cell: &ModelCell) {
        if cell.is_aside() {
            cell.in_trouble(|trouble| trouble.aside = false);
            if let Some(saving) = &self.saving {
                saving.unpark(cell.tenant());
            }
        }
    }
}
