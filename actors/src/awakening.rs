//! How a model of a shard comes to life: at its first event, or out of its sleep.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use visu_tility_core::{ActionRecord, ModelMonitor};

use crate::cell::{ModelCell, ModelPhase};
use crate::directory::ModelEntry;
use crate::hook::guard;
use crate::lifecycle::Lifecycle;
use crate::model::{ModelActor, Stay};
use crate::shard_state::Shard;
use crate::supervise::supervise;
use crate::tally::bump;

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
        self.rouse(&cell, out);
        cell
    }

    /// Gives a dozing model its state and its actor back.
    pub(crate) fn rouse(self: &Rc<Self>, cell: &Rc<ModelCell>, out: &mut Vec<ActionRecord>) {
        if cell.phase() != ModelPhase::Asleep {
            return;
        }
        let model_id = cell.entry.id.clone();
        let snapshot = self.recall(&cell.entry);
        let woken = snapshot.is_some();
        let monitor = self.build(&cell.entry, snapshot.as_deref(), out);
        let phase = if monitor.is_some() { ModelPhase::Running } else { ModelPhase::Quarantined };
        self.enter(cell, phase);
        cell.set_monitor(monitor);
        cell.head(|head| head.touched.set(self.seconds.get()));
        let asleep_until = cell.entry.asleep_until.swap(i64::MAX, Ordering::Relaxed);
        cell.head(|head| head.armed.set(asleep_until));
        self.arm(cell);
        self.follow_idleness(cell);
        start_actor(self, cell);
        bump(&self.tally.woken);
        self.outlet.tell(&if woken {
            Lifecycle::Woken { model_id }
        } else {
            Lifecycle::Started { model_id }
        });
    }

    /// Reads what was kept of a model.
    pub(crate) fn recall(&self, entry: &ModelEntry) -> Option<Vec<u8>> {
        guard(|| self.keeper.recall(&entry.id)).unwrap_or(None)
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
        snapshot: Option<&[u8]>,
        out: &mut Vec<ActionRecord>,
    ) -> Option<ModelMonitor> {
        let (model, plan) = (&entry.id, self.plan.borrow().clone());
        let built = guard(|| {
            if let Some(bytes) = snapshot {
                let written_under = entry.kept_plan().unwrap_or_else(|| Arc::clone(&plan));
                match ModelMonitor::restore(model.clone(), Arc::clone(&written_under), bytes) {
                    Ok(mut monitor) => {
                        if !Arc::ptr_eq(&written_under, &plan) {
                            monitor.reload(plan, out);
                        }
                        return monitor;
                    }
                    Err(error) => {
                        tracing::error!(%model, %error, "snapshot was not restored, model starts afresh");
                    }
                }
            }
            ModelMonitor::new(model.clone(), plan)
        });
        built.inspect_err(|reason| tracing::error!(%model, reason, "model was not started")).ok()
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
