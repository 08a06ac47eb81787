//! The states that a shard has saved: how they are written, what becomes of a model that cannot, and of one that sleeps.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use visu_tility_core::ModelMonitor;
use visu_tility_core::store::{Snapshot, StoredPhase};

use crate::cell::{ModelCell, ModelPhase};
use crate::hook::guard;
use crate::ledger::opening::written;
use crate::lifecycle::Lifecycle;
use crate::saving::{MONITOR, NO_STATE, Saving};
use crate::shard_state::Shard;
use crate::status::{DrainReport, SnapshotRound, UnkeptSnapshot};
use crate::tally::bump;

impl Shard {
    /// Writes one model's snapshot; one that cannot write itself is put aside with what is known of it.
    pub(super) fn snapshot_of(
        self: &Rc<Self>,
        saving: &Saving,
        cell: &Rc<ModelCell>,
        round: &mut SnapshotRound,
    ) -> Option<Snapshot> {
        if cell.phase() == ModelPhase::Asleep {
            return None;
        }
        let held = cell.trouble.borrow().as_ref().and_then(|trouble| trouble.held.front().map(|held| held.1));
        let next_offset = held.unwrap_or_else(|| saving.position.get());
        // If it does not come back from this, it is this that it has not seen.
        self.dock.pulse.at_entry(saving.position.get());
        let state = guard(|| {
            cell.with_monitor(|monitor| {
                monitor.map(|it| (it.snapshot(), Arc::clone(it.plan()), it.next_deadline()))
            })
        });
        let phase = |cell: &ModelCell| match cell.phase() {
            ModelPhase::Paused => StoredPhase::Paused,
            ModelPhase::Quarantined => StoredPhase::Quarantined,
            _ => StoredPhase::Running,
        };
        let model = cell.entry.id.clone();
        match state {
            Ok(Some((state, plan, due))) => {
                round.kept += 1;
                let known = saving.plans.borrow().fingerprint(&plan);
                let plan = known.unwrap_or_else(|| written(&plan).1);
                let phase = phase(cell);
                let due = due.filter(|_| phase == StoredPhase::Running);
                return Some(Snapshot { model, next_offset, phase, due, plan, form: MONITOR, state });
            }
            Ok(None) => {}
            Err(reason) => self.put_aside(cell, reason, round),
        }
        // What it would wake with is the last that it wrote.
        match saving.reader.borrow_mut().snapshot(&model) {
            Ok(Some(last)) => Some(Snapshot { next_offset, phase: phase(cell), due: None, ..last }),
            Ok(None) => {
                let plan = saving.plans.borrow().present();
                let plan = saving.plans.borrow().fingerprint(&plan).unwrap_or(0);
                let (phase, state) = (phase(cell), Vec::new());
                Some(Snapshot { model, next_offset, phase, due: None, plan, form: NO_STATE, state })
            }
            Err(error) => {
                tracing::error!(%model, %error, "the last snapshot cannot be read, it is left as it is");
                None
            }
        }
    }

    /// Tells subscribers what is recorded. No lock and no borrow is held meanwhile: what they do is theirs.
    pub(super) fn announce(&self) {
        let told = std::mem::take(&mut *self.dock.told.lock());
        for record in &told {
            self.outlet.announce(record);
        }
    }

    /// Puts a model into quarantine whose observer panics when it is to write its state.
    fn put_aside(self: &Rc<Self>, cell: &Rc<ModelCell>, reason: String, round: &mut SnapshotRound) {
        let observer = cell.with_monitor(|monitor| monitor.and_then(ModelMonitor::unwritten));
        bump(&self.tally.snapshots_failed);
        let model_id = cell.entry.id.clone();
        tracing::error!(model = %model_id, observer = observer.as_deref(), reason, "state cannot be written, model is quarantined");
        round.failed += 1;
        if round.unkept.len() < DrainReport::UNKEPT_MAX {
            round.unkept.push(UnkeptSnapshot {
                model_id: model_id.clone(),
                observer,
                reason: reason.clone(),
            });
        }
        self.drop_wait(cell);
        self.enter(cell, ModelPhase::Quarantined);
        self.tell(&Lifecycle::Quarantined { model_id, reason });
    }

    /// Puts a model to sleep whose state is in the store, unless something came for it since or it is due soon: from then
    /// on the ledger looks when it is due.
    pub(super) fn fall_asleep(self: &Rc<Self>, cell: &Rc<ModelCell>) {
        let place = cell.entry.address.place();
        let dirty = self.saving.as_ref().is_none_or(|saving| saving.is_dirty(place));
        if dirty || self.over.get() || !self.may_sleep(cell) {
            return;
        }
        let set = cell.head(|head| head.armed.replace(i64::MAX));
        if set != i64::MAX {
            self.timers.borrow_mut().disarm(set, (place as u32, cell.generation));
        }
        cell.set_monitor(None);
        self.doze(cell);
        cell.entry.awake.store(false, Ordering::Release);
        if let Some(saving) = &self.saving {
            // While the journal is repeated: what was read of it is no longer what it would wake with.
            saving.at_hand_no_more();
        }
        if let Some(addr) = cell.actor.borrow().as_ref().and_then(actix::WeakAddr::upgrade) {
            addr.do_send(crate::model::LetGo);
        }
        self.tell(&Lifecycle::Passivated { model_id: cell.entry.id.clone() });
    }
}
