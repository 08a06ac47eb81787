//! What a shard keeps of one model while it is awake.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use actix::WeakAddr;
use serde::Serialize;
use visu_tility_core::ModelMonitor;

use crate::directory::ModelEntry;
use crate::hook::guard;
use crate::model::ModelActor;
use crate::restart::RestartHistory;
use crate::routed::Routed;
use crate::slab::{Head, Slab, live};
use crate::timers::Tenant;

/// Where a model is in its life.
///
/// | phase | its events | how it ends |
/// |---|---|---|
/// | running | are shown to observers | pause, panic, idleness |
/// | waiting | are held, in order, up to a bound | when the wait is over |
/// | paused | are counted | resume |
/// | quarantined | go to the dead letters | reset |
/// | asleep | wake it | the next event |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelPhase {
    /// Its observers see its events.
    Running,
    /// It panicked and is restarted after a wait.
    Waiting,
    /// Its events are counted but not shown.
    Paused,
    /// It has panicked too often.
    Quarantined,
    /// It was idle, or has had no event yet; its state is kept as a snapshot.
    Asleep,
}

impl std::fmt::Display for ModelPhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Quarantined => "quarantined",
            Self::Asleep => "asleep",
        })
    }
}

/// One model, shared between its shard and its own actor, which live on the same thread.
pub(crate) struct ModelCell {
    phase: Cell<ModelPhase>,
    pub(crate) generation: u32,
    slab: Rc<Slab>,
    pub(crate) entry: Arc<ModelEntry>,
    pub(crate) actor: RefCell<Option<WeakAddr<ModelActor>>>,
    /// What only a model in trouble has.
    pub(crate) trouble: RefCell<Option<Box<Trouble>>>,
}

/// What a model that has panicked, or was paused, carries with it.
#[derive(Default)]
pub(crate) struct Trouble {
    pub(crate) history: RestartHistory,
    /// Events that wait for the restart, with their own offsets.
    pub(crate) held: VecDeque<(Routed, u64)>,
    /// When the wait is over.
    pub(crate) due: i64,
    /// Events that went to the dead letters.
    pub(crate) dead: u64,
    /// Events that came while it was paused.
    pub(crate) unseen: u64,
    /// What the last panic said.
    pub(crate) last_reason: Option<String>,
    /// It is set aside because of its state in the store.
    pub(crate) aside: bool,
}

impl ModelCell {
    /// A model that is asleep; its place in the slab is made.
    pub(crate) fn new(entry: Arc<ModelEntry>, slab: Rc<Slab>) -> Self {
        slab.reach(entry.address.place());
        Self {
            phase: Cell::new(ModelPhase::Asleep),
            generation: entry.generation,
            slab,
            entry,
            actor: RefCell::new(None),
            trouble: RefCell::new(None),
        }
    }

    pub(crate) fn phase(&self) -> ModelPhase {
        self.phase.get()
    }

    /// Changes the phase; says which it was before.
    pub(crate) fn enter(&self, phase: ModelPhase) -> ModelPhase {
        let running = phase == ModelPhase::Running;
        self.head(|head| head.live.set(if running { live(self.generation) } else { 0 }));
        self.phase.replace(phase)
    }

    /// Works with the monitor; `None` while the model sleeps.
    pub(crate) fn with_monitor<T>(&self, work: impl FnOnce(Option<&mut ModelMonitor>) -> T) -> T {
        self.slab.dock.enter(self.entry.address.place() as u32);
        let mut monitors = self.slab.monitors.borrow_mut();
        work(monitors.get_mut(self.entry.address.place()).and_then(Option::as_mut))
    }

    /// Puts a monitor in the place of the one that was there, which is dropped whatever its drop does.
    pub(crate) fn set_monitor(&self, monitor: Option<ModelMonitor>) {
        let mut monitors = self.slab.monitors.borrow_mut();
        if let Some(slot) = monitors.get_mut(self.entry.address.place()) {
            let before = std::mem::replace(slot, monitor);
            drop(monitors);
            let _ = guard(|| drop(before));
        }
    }

    /// Whether it has a monitor.
    pub(crate) fn has_monitor(&self) -> bool {
        self.with_monitor(|monitor| monitor.is_some())
    }

    /// Whether it is set aside: what is kept of it cannot be read, or what is to be kept cannot be. It is in quarantine until
    /// it is reset, or until a restart.
    pub(crate) fn is_aside(&self) -> bool {
        self.trouble.borrow().as_ref().is_some_and(|trouble| trouble.aside)
    }

    /// Its place and generation.
    pub(crate) fn tenant(&self) -> Tenant {
        (self.entry.address.place() as u32, self.generation)
    }

    /// Works with what is known of it before its monitor is asked.
    pub(crate) fn head<T: Default>(&self, work: impl FnOnce(&Head) -> T) -> T {
        self.slab.heads.borrow().get(self.entry.address.place()).map(work).unwrap_or_default()
    }

    /// Works on the trouble that it has, made on the first call.
    pub(crate) fn in_trouble<T>(&self, work: impl FnOnce(&mut Trouble) -> T) -> T {
        work(self.trouble.borrow_mut().get_or_insert_default())
    }
}
