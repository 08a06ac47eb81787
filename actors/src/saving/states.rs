//! The states that a shard has saved: how they are written, what becomes of a model that cannot, and of one that sleeps.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use visu_tility_core::store::{Snapshot, StoredPhase};
use visu_tility_core::{ModelId, ModelMonitor};

use crate::cell::{ModelCell, ModelPhase};
use crate::hook::guard;
use crate::ledger::opening::written;
use crate::lifecycle::Lifecycle;
use crate::listing::asleep_as;
use crate::saving::{MONITOR, NO_STATE, Saving, again};
use crate::shard_state::Shard;
use crate::status::{DrainReport, SnapshotRound, UnkeptSnapshot};
use crate::tally::bump;

impl Saving {
    /// What a model is that sleeps, without its state being read.
    pub(crate) fn phase_of(&self, model: &ModelId) -> Result<ModelPhase, String> {
        if self.graves.borrow().contains_key(model) {
            return Ok(ModelPhase::Asleep);
        }
        let row = again(|| self.reader.borrow_mut().model(model).map_err(|error| error.to_string()))?;
        Ok(row.map_or(ModelPhase::Asleep, |row| asleep_as(row.phase)))
    }
}

impl Shard {
    /// Writes one model's snapshot. One that cannot be written, or that has none and whose last one cannot be read, is set
    /// aside: its last state stays what it is, up to where it was, and the journal is held from there on.
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
            Err(reason) => {
                self.unwritten(cell, &reason, round);
                return None;
            }
        }
        // It has no state of its own: what it would wake with is the last that it wrote.
        match again(|| saving.reader.borrow_mut().snapshot(&model).map_err(|error| error.to_string())) {
            Ok(Some(last)) => Some(Snapshot { next_offset, phase: phase(cell), due: None, ..last }),
            Ok(None) => {
                let plan = saving.plans.borrow().present();
                let plan = saving.plans.borrow().fingerprint(&plan).unwrap_or(0);
                let (phase, state) = (phase(cell), Vec::new());
                Some(Snapshot { model, next_offset, phase, due: None, plan, form: NO_STATE, state })
            }
            Err(error) => {
                let reason = format!("its last snapshot cannot be read: {error}");
                self.unkept(cell, None, &reason, round);
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

    /// Sets a model aside whose observer panics when it is to write its state.
    fn unwritten(self: &Rc<Self>, cell: &Rc<ModelCell>, said: &str, round: &mut SnapshotRound) {
        let observer = cell.with_monitor(|monitor| monitor.and_then(ModelMonitor::unwritten));
        let reason = match &observer {
            Some(observer) => format!("its state cannot be written, `{observer}` panicked: {said}"),
            None => format!("its state cannot be written: {said}"),
        };
        self.drop_wait(cell);
        self.enter(cell, ModelPhase::Quarantined);
        self.unkept(cell, observer, &reason, round);
        self.tell(&Lifecycle::Quarantined { model_id: cell.entry.id.clone(), reason });
    }

    /// Sets a model aside of which nothing is kept for the present.
    fn unkept(&self, cell: &ModelCell, observer: Option<Arc<str>>, reason: &str, round: &mut SnapshotRound) {
        let model_id = cell.entry.id.clone();
        tracing::error!(model = %model_id, observer = observer.as_deref(), reason, "model is set aside");
        bump(&self.tally.snapshots_failed);
        self.mark_aside(cell, reason);
        round.failed += 1;
        if round.unkept.len() < DrainReport::UNKEPT_MAX {
            round.unkept.push(UnkeptSnapshot { model_id, observer, reason: reason.to_owned() });
        }
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
