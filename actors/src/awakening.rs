//! How a model of a shard comes to life: at its first event, or out of its sleep.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use visu_tility_core::{ModelId, ModelMonitor};

use crate::cell::{ModelCell, ModelPhase};
use crate::directory::ModelEntry;
use crate::hook::guard;
use crate::lifecycle::Lifecycle;
use crate::model::{ModelActor, Stay};
use crate::shard_state::{Shard, bump};
use crate::supervise::supervise;

impl Shard {
    /// Starts a model's actor with the state it was put to sleep with, or none.
    pub(crate) fn wake(self: &Rc<Self>, entry: &Arc<ModelEntry>) -> Rc<ModelCell> {
        let place = entry.address.place();
        if let Some(cell) = self.cell(place) {
            self.rouse(&cell);
            return cell;
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
        self.rouse(&cell);
        cell
    }

    /// Gives a dozing model its state and its actor back.
    pub(crate) fn rouse(self: &Rc<Self>, cell: &Rc<ModelCell>) {
        if cell.phase() != ModelPhase::Asleep {
            return;
        }
        let model_id = cell.entry.id.clone();
        let snapshot = guard(|| self.keeper.recall(&model_id)).unwrap_or(None);
        let woken = snapshot.is_some();
        let monitor = self.build(&model_id, snapshot.as_deref());
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

    /// Builds a monitor; `None` when even that panics.
    pub(crate) fn build(&self, model: &ModelId, snapshot: Option<&[u8]>) -> Option<ModelMonitor> {
        let plan = self.plan.borrow().clone();
        let built = guard(|| {
            if let Some(bytes) = snapshot {
                match ModelMonitor::restore(model.clone(), Arc::clone(&plan), bytes) {
                    Ok(monitor) => return monitor,
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
