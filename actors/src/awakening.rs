//! How a model of a shard comes to life: at its first event, or out of its sleep.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use visu_tility_core::{ActionRecord, ModelMonitor, MonitorPlan};

use crate::cell::{ModelCell, ModelPhase};
use crate::directory::ModelEntry;
use crate::hook::guard;
use crate::lifecycle::Lifecycle;
use crate::model::{ModelActor, Stay};
use crate::shard_state::Shard;
use crate::slab::CLEAN;
use crate::supervise::supervise;
use crate::tally::bump;

/// What was kept of a model.
pub(crate) struct Recalled {
    /// Its state; `None` when it had none.
    pub(crate) bytes: Option<Vec<u8>>,
    /// The plan that it was written under, when that is known.
    pub(crate) plan: Option<Arc<MonitorPlan>>,
    pub(crate) phase: ModelPhase,
    /// The first offset that it does not hold.
    pub(crate) next_offset: u64,
}

impl Shard {
    /// Starts a model's actor with the state it was put to sleep with, or none.
    ///
    /// Only for a model that is not retired: its place may be another one's.
    pub(crate) fn wake(
        self: &Rc<Self>,
        entry: &Arc<ModelEntry>,
        out: &mut Vec<ActionRecord>,
    ) -> Rc<ModelCell> {
        let place = entry.address.place();
        if let Some(cell) = self.cell(place) {
            if cell.generation == entry.generation {
                self.rouse(&cell, out);
                return cell;
            }
            // Retiring empties a place before it is given away.
            tracing::error!(model = %cell.entry.id, "a retired model was still at its place");
            self.vacate(&cell);
        }
        let cell = Rc::new(ModelCell::new(Arc::clone(entry), Rc::clone(&self.slab)));
        {
            let mut cells = self.cells.borrow_mut();
            if cells.len() <= place {
                cells.resize(place + 1, None);
            }
            if let Some(slot) = cells.get_mut(place) {
                *slot = Some(Rc::clone(&cell));
            }
        }
        self.tally.awake.set(self.tally.awake.get() + 1);
        self.tally.dozing.set(self.tally.dozing.get() + 1);
        self.rouse(&cell, out);
        cell
    }

    /// Gives a dozing model its state and its actor back.
    pub(crate) fn rouse(self: &Rc<Self>, cell: &Rc<ModelCell>, out: &mut Vec<ActionRecord>) {
        if cell.phase() != ModelPhase::Asleep {
            return;
        }
        self.tally.dozing.set(self.tally.dozing.get().saturating_sub(1));
        let model_id = cell.entry.id.clone();
        let recalled = self.recall(&cell.entry);
        let woken = !matches!(recalled, Ok(None));
        if self.saving.is_some() {
            self.board.directory.recalled(&cell.entry, woken);
        }
        let kept = recalled.as_ref().ok().and_then(Option::as_ref);
        let phase = kept.map_or(ModelPhase::Running, |recalled| recalled.phase);
        let offset = self.dock.pulse.entry();
        let shut = self.saving.as_ref().is_some_and(|saving| saving.book.shuts(&cell.entry.id, offset));
        let monitor = if recalled.is_ok() && !shut { self.build(&cell.entry, kept, out) } else { None };
        if self.is_fenced() {
            return;
        }
        match &recalled {
            Err(reason) => self.mark_aside(cell, reason),
            Ok(Some(kept)) if monitor.is_none() && !shut && kept.bytes.is_some() => {
                self.mark_aside(cell, "its snapshot cannot be restored");
            }
            Ok(_) => {}
        }
        let phase = if monitor.is_some() { phase } else { ModelPhase::Quarantined };
        self.enter(cell, phase);
        cell.set_monitor(monitor);
        cell.entry.awake.store(true, Ordering::Release);
        let clean = if self.saving.is_some() { CLEAN } else { 0 };
        cell.head(|head| head.touched.set(self.seconds.get() | clean));
        if let (Some(saving), Some(kept)) = (&self.saving, kept)
            && !saving.plans.borrow().since(kept.next_offset).is_empty()
        {
            // It followed plans that came while it slept.
            self.mark(cell, saving.position.get());
        }
        if shut {
            // What it would wake with stays, and the journal is not held for it.
            self.hurry(cell);
        }
        let asleep_until = cell.entry.asleep_until.swap(i64::MAX, Ordering::Relaxed);
        cell.head(|head| head.armed.set(asleep_until));
        self.arm(cell);
        self.follow_idleness(cell);
        start_actor(self, cell);
        bump(&self.tally.woken);
        self.tell(&if woken { Lifecycle::Woken { model_id } } else { Lifecycle::Started { model_id } });
    }

    /// Reads what was kept of a model.
    ///
    /// # Errors
    ///
    /// Fails when something is kept and cannot be read; then it is not overwritten either.
    pub(crate) fn recall(&self, entry: &ModelEntry) -> Result<Option<Recalled>, String> {
        if let Some(saving) = &self.saving {
            let recalled = self.recalled_at_hand(entry).unwrap_or_else(|| saving.recall(&entry.id));
            return recalled.inspect_err(|reason| {
                tracing::error!(model = %entry.id, reason, "state cannot be read, model is quarantined");
            });
        }
        let bytes = guard(|| self.keeper.recall(&entry.id)).unwrap_or(None);
        Ok(bytes.map(|bytes| Recalled {
            bytes: Some(bytes),
            plan: entry.kept_plan(),
            phase: ModelPhase::Running,
            next_offset: u64::MAX,
        }))
    }

    /// Keeps a snapshot, and under which plan it was written.
    pub(crate) fn keep(&self, entry: &ModelEntry, snapshot: Vec<u8>) -> Result<(), String> {
        guard(|| self.keeper.keep(&entry.id, snapshot))?;
        entry.keep_plan(Some(self.plan.borrow().clone()));
        Ok(())
    }

    /// Forgets what was kept of a model.
    pub(crate) fn forget(&self, entry: &ModelEntry) {
        let _ = guard(|| self.keeper.forget(&entry.id));
        entry.keep_plan(None);
    }

    /// Builds a monitor; `None` when even that panics.
    ///
    /// A snapshot that was written under another plan is read with that one, so that the change of plans
    /// resolves the alerts of rules that are gone.
    pub(crate) fn build(
        &self,
        entry: &ModelEntry,
        recalled: Option<&Recalled>,
        out: &mut Vec<ActionRecord>,
    ) -> Option<ModelMonitor> {
        let (model, plan) = (&entry.id, self.plan.borrow().clone());
        self.dock.enter(entry.address.place() as u32);
        let built = guard(|| {
            if let Some(Recalled { bytes: Some(bytes), plan: written_under, next_offset, .. }) = recalled {
                let written_under = written_under.clone().unwrap_or_else(|| Arc::clone(&plan));
                match ModelMonitor::restore(model.clone(), written_under, bytes) {
                    Ok(mut monitor) => {
                        self.follow_plans(&mut monitor, *next_offset, &plan, out);
                        return Some(monitor);
                    }
                    Err(error) if self.saving.is_some() => {
                        tracing::error!(%model, %error, "snapshot was not restored, model is quarantined");
                        return None;
                    }
                    Err(error) => {
                        tracing::error!(%model, %error, "snapshot was not restored, model starts afresh");
                    }
                }
            }
            Some(ModelMonitor::new(model.clone(), plan))
        });
        built.inspect_err(|reason| tracing::error!(%model, reason, "model was not started")).ok().flatten()
    }

    /// Brings a model that slept to the present plan; with a store, by way of all that were in force meanwhile, as if it
    /// had been awake.
    fn follow_plans(
        &self,
        monitor: &mut ModelMonitor,
        next_offset: u64,
        present: &Arc<MonitorPlan>,
        out: &mut Vec<ActionRecord>,
    ) {
        let missed = self.saving.as_ref().map(|saving| saving.plans.borrow().since(next_offset));
        for plan in missed.into_iter().flatten().chain([Arc::clone(present)]) {
            if !Arc::ptr_eq(monitor.plan(), &plan) {
                monitor.reload(plan, out);
            }
        }
    }
}

/// Starts the actor of a model.
pub(crate) fn start_actor(shard: &Rc<Shard>, cell: &Rc<ModelCell>) -> actix::Addr<ModelActor> {
    let known = cell.actor.borrow().as_ref().and_then(actix::WeakAddr::upgrade);
    if let Some(addr) = known {
        // It may have been let go, and have come back to its work meanwhile.
        addr.do_send(Stay);
        return addr;
    }
    {
        let (shard_of_actor, cell_of_actor) = (Rc::clone(shard), Rc::clone(cell));
        let addr = supervise(cell.entry.id.as_str(), &shard.supervision, |_| {
            ModelActor::new(shard_of_actor, cell_of_actor)
        });
        cell.actor.replace(Some(addr.downgrade()));
        addr
    }
}
