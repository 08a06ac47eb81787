//! What a shard does on request: look, pause, resume, reset, put to sleep, retire, reload.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::Recipient;
use visu_tility_core::{ActionRecord, ModelId, ModelMonitor, MonitorPlan};

use crate::awakening::start_actor;
use crate::cell::{ModelCell, ModelPhase};
use crate::control::{Control, ControlError, Order, Steering};
use crate::dead_letter::DeadReason;
use crate::directory::ModelEntry;
use crate::hook::guard;
use crate::journaled::Name;
use crate::lifecycle::{Decision, Lifecycle};
use crate::shard_state::Shard;
use crate::status::{DrainReport, ModelStatus, ShardStatus, SnapshotRound, UnkeptSnapshot};
use crate::tally::bump;

impl Shard {
    /// Carries out one request; [`Control::Stop`] is the supervisor's business.
    pub(crate) fn obey(self: &Rc<Self>, control: Control, shard_panics: u64) {
        match control {
            Control::Status(reply) => drop(reply.send(self.status(shard_panics))),
            Control::Model(entry, order) => self.obey_order(&entry, order),
            Control::Reload(plan, reply) => {
                self.reload(&plan);
                let _ = reply.send(());
            }
            Control::Snapshot(reply) if self.saving.is_some() => self.save_all(reply),
            Control::Snapshot(reply) => drop(reply.send(self.snapshot_all())),
            Control::Behind(reply) | Control::Stop(reply) => drop(reply.send(())),
        }
    }

    fn obey_order(self: &Rc<Self>, entry: &Arc<ModelEntry>, order: Order) {
        match order {
            Order::Inspect(reply) => {
                let _ = reply.send(self.present(entry).and_then(|()| self.status_of(entry)));
            }
            Order::Address(reply) => {
                let _ = reply.send(self.present(entry).map(|()| {
                    let cell = self.deciding(|out| self.wake(entry, out));
                    start_actor(self, &cell)
                }));
            }
            Order::Turn(turn, reply) => drop(reply.send(self.steer(entry, turn))),
        }
    }

    /// Refuses what is asked of a model that was retired: its place may be another one's by now.
    fn present(&self, entry: &ModelEntry) -> Result<(), ControlError> {
        if self.over.get() {
            return Err(ControlError::Closed);
        }
        if entry.is_retired() {
            return Err(ControlError::UnknownModel(entry.id.to_string()));
        }
        if self.behind.get() {
            let lost = self.saving.as_ref().and_then(|saving| saving.figures.lost());
            return Err(ControlError::Store(format!("what came before: {}", lost.unwrap_or_default())));
        }
        Ok(())
    }

    /// One model as it is now; one that sleeps in the store is not woken, and shown as what it sleeps as.
    fn status_of(&self, entry: &ModelEntry) -> Result<ModelStatus, ControlError> {
        let mut status = self.model_status(entry);
        if status.phase == ModelPhase::Asleep
            && let Some(saving) = &self.saving
        {
            status.phase = saving.phase_of(&entry.id).map_err(ControlError::Store)?;
        }
        Ok(status)
    }

    /// Has a recipient sent one model's decisions.
    pub(crate) fn subscribe(&self, model: &ModelId, recipient: Recipient<Decision>) {
        let (arbiter, census) = &self.helpers;
        self.outlet.decisions.add(recipient, Some(model.clone()), arbiter, census);
    }

    /// Turns a model's life. What does not apply to its phase changes nothing.
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::UnknownModel`] when the model was retired since, whoever lives at its place.
    pub(crate) fn steer(
        self: &Rc<Self>,
        entry: &Arc<ModelEntry>,
        turn: Steering,
    ) -> Result<(), ControlError> {
        self.present(entry)?;
        self.steer_now(entry, turn);
        Ok(())
    }

    /// Turns the life of a model that was not retired before.
    pub(crate) fn steer_now(self: &Rc<Self>, entry: &Arc<ModelEntry>, turn: Steering) {
        let model_id = entry.id.clone();
        match turn {
            Steering::Pause => {
                let cell = self.deciding(|out| self.wake(entry, out));
                if matches!(cell.phase(), ModelPhase::Running | ModelPhase::Waiting) {
                    self.end_wait_of(&cell);
                    self.enter(&cell, ModelPhase::Paused);
                    self.tell(&Lifecycle::Paused { model_id });
                }
            }
            Steering::Resume => {
                if self.saving.is_some() {
                    // It may sleep in the store, as what it was.
                    let _ = self.deciding(|out| self.wake(entry, out));
                }
                let cell = self.cell_of(entry.address, entry.generation);
                let paused = cell.filter(|cell| cell.phase() == ModelPhase::Paused);
                if let Some(cell) = paused {
                    self.enter(&cell, ModelPhase::Running);
                    self.arm(&cell);
                    self.tell(&Lifecycle::Resumed { model_id });
                    self.deciding(|out| self.show_held(&cell, out));
                }
            }
            Steering::Reset => self.reset(entry),
            Steering::Passivate => {
                if let Some(cell) = self.cell_of(entry.address, entry.generation) {
                    self.passivate(&cell);
                }
            }
            Steering::Retire => self.retire(entry, Name::Goes),
        }
    }

    /// Puts a model into quarantine, whatever it does.
    pub(crate) fn quarantine(self: &Rc<Self>, entry: &Arc<ModelEntry>) {
        let cell = self.deciding(|out| self.wake(entry, out));
        if cell.phase() == ModelPhase::Quarantined {
            return;
        }
        self.drop_wait(&cell);
        self.enter(&cell, ModelPhase::Quarantined);
        let reason = "an observer did not come back".to_owned();
        self.tell(&Lifecycle::Quarantined { model_id: entry.id.clone(), reason });
    }

    /// Wakes a model that sleeps with a state, so that what comes next can resolve its alerts.
    fn wake_kept(self: &Rc<Self>, entry: &Arc<ModelEntry>) {
        let cell = self.cell_of(entry.address, entry.generation);
        let asleep = cell.is_none_or(|cell| cell.phase() == ModelPhase::Asleep);
        if asleep && !matches!(self.recall(entry), Ok(None)) {
            let _ = self.deciding(|out| self.wake(entry, out));
        }
    }

    /// Throws a model's state away and lets it start afresh; lifts a quarantine and a pause.
    fn reset(self: &Rc<Self>, entry: &Arc<ModelEntry>) {
        self.wake_kept(entry);
        self.forget(entry);
        if let Some(cell) = self.cell_of(entry.address, entry.generation) {
            self.drop_wait(&cell);
            let plan = self.plan.borrow().clone();
            let afresh = |monitor: &mut ModelMonitor, out: &mut Vec<ActionRecord>| {
                monitor.reset(out);
                // One that was set aside has not followed the plans since.
                if !Arc::ptr_eq(monitor.plan(), &plan) {
                    monitor.reload(plan, out);
                }
            };
            let done = self.deciding(|out| {
                guard(|| cell.with_monitor(|monitor| monitor.map(|monitor| afresh(monitor, out))))
            });
            if !matches!(done, Ok(Some(()))) {
                cell.set_monitor(self.deciding(|out| self.build(entry, None, out)));
            }
            let alive = cell.has_monitor();
            self.enter(&cell, if alive { ModelPhase::Running } else { ModelPhase::Quarantined });
            if alive {
                self.lift_aside(&cell);
            }
            cell.in_trouble(|trouble| trouble.history.forgive());
            self.deciding(|out| self.show_held(&cell, out));
            self.arm(&cell);
        }
        self.tell(&Lifecycle::Reset { model_id: entry.id.clone() });
    }

    /// Forgets a model: state, actor, name. Events still held for it are dead letters.
    pub(crate) fn retire(self: &Rc<Self>, entry: &Arc<ModelEntry>, name: Name) {
        self.wake_kept(entry);
        if name == Name::Goes {
            self.board.directory.unlist(entry);
        }
        let place = entry.address.place();
        let known = self.cell_of(entry.address, entry.generation);
        if let Some(cell) = known {
            self.drop_wait(&cell);
            let held = cell.in_trouble(|trouble| std::mem::take(&mut trouble.held));
            self.dock.held.fetch_sub(held.len(), Ordering::AcqRel);
            for (routed, offset) in &held {
                self.bury(&cell, Some((routed, *offset)), None, DeadReason::Retired);
            }
            self.deciding(|out| {
                let _ = guard(|| cell.with_monitor(|monitor| monitor.map(|monitor| monitor.reset(out))));
            });
            cell.set_monitor(None);
            self.enter(&cell, ModelPhase::Quarantined);
            self.timers
                .borrow_mut()
                .disarm(cell.head(|head| head.armed.get()), (place as u32, cell.generation));
            self.vacate(&cell);
            self.enter(&cell, ModelPhase::Asleep);
        }
        if name == Name::Goes {
            self.board.directory.remove(entry);
            self.outlet.decisions.forget(&entry.id);
        } else {
            self.board.directory.ends_as_another(entry);
        }
        self.forget(entry);
        self.tell(&Lifecycle::Retired { model_id: entry.id.clone() });
    }

    /// Takes a model off its place, and stops its actor, whoever holds the address: what was sent to it
    /// before is answered.
    pub(crate) fn vacate(&self, cell: &Rc<ModelCell>) {
        if let Some(slot) = self.cells.borrow_mut().get_mut(cell.entry.address.place()) {
            *slot = None;
            self.tally.awake.set(self.tally.awake.get().saturating_sub(1));
            let dozing = usize::from(cell.phase() == ModelPhase::Asleep);
            self.tally.dozing.set(self.tally.dozing.get().saturating_sub(dozing));
        }
        if let Some(addr) = cell.actor.take().and_then(|addr| addr.upgrade()) {
            addr.do_send(crate::model::Halt);
        }
    }

    /// Puts a running model to sleep: its state goes to the keeper, its actor stops once its mailbox is
    /// empty and nobody holds its address. Until then it may be woken in place, and nothing is lost.
    pub(crate) fn passivate(self: &Rc<Self>, cell: &Rc<ModelCell>) {
        if cell.phase() != ModelPhase::Running {
            return;
        }
        if self.saving.is_some() {
            return self.sleep_when_saved(cell);
        }
        if !matches!(self.keep_state(cell), Some(Ok(()))) {
            return;
        }
        let id = &cell.entry.id;
        // Its timer stays set, and wakes it for a silence that is too long.
        self.arm(cell);
        cell.entry.asleep_until.store(cell.head(|head| head.armed.get()), Ordering::Relaxed);
        cell.set_monitor(None);
        self.doze(cell);
        if let Some(addr) = cell.actor.borrow().as_ref().and_then(actix::WeakAddr::upgrade) {
            addr.do_send(crate::model::LetGo);
        }
        self.tell(&Lifecycle::Passivated { model_id: id.clone() });
    }

    /// Clears the place of a model whose actor is gone, unless it was woken meanwhile.
    pub(crate) fn actor_gone(&self, cell: &Rc<ModelCell>) {
        if self.is_fenced() || cell.phase() != ModelPhase::Asleep {
            return;
        }
        let place = cell.entry.address.place();
        if let Some(slot) = self.cells.borrow_mut().get_mut(place)
            && slot.as_ref().is_some_and(|present| Rc::ptr_eq(present, cell))
        {
            *slot = None;
            self.tally.awake.set(self.tally.awake.get().saturating_sub(1));
            self.tally.dozing.set(self.tally.dozing.get().saturating_sub(1));
            if let Some(saving) = &self.saving {
                self.board.directory.evict(&cell.entry, saving.position.get());
            }
        }
    }

    /// Follows a new plan from now on.
    fn reload(self: &Rc<Self>, plan: &Arc<MonitorPlan>) {
        self.follow(plan);
        let cells: Vec<_> = self.cells.borrow().iter().flatten().cloned().collect();
        for cell in cells {
            self.reload_cell(&cell, plan);
        }
    }

    /// Has one model follow a plan.
    pub(crate) fn reload_cell(self: &Rc<Self>, cell: &Rc<ModelCell>, plan: &Arc<MonitorPlan>) {
        let done = self.deciding(|out| {
            guard(|| {
                cell.with_monitor(|monitor| {
                    if let Some(monitor) = monitor {
                        monitor.reload(Arc::clone(plan), out);
                    }
                });
            })
        });
        if let Err(reason) = done {
            let _ = self.deciding(|out| self.casualties(cell, None, reason, out));
        }
        self.arm(cell);
    }

    /// Hands the state of all awake models to the keeper.
    fn snapshot_all(&self) -> SnapshotRound {
        let cells: Vec<_> = self.cells.borrow().iter().flatten().cloned().collect();
        let mut round = SnapshotRound::default();
        for cell in cells {
            match self.keep_state(&cell) {
                Some(Ok(())) => round.kept += 1,
                Some(Err(unkept)) => {
                    round.failed += 1;
                    if round.unkept.len() < DrainReport::UNKEPT_MAX {
                        round.unkept.push(unkept);
                    }
                }
                None => {}
            }
        }
        round
    }

    /// Hands a model's state to the keeper; `None` when it has none. A failure is counted and logged, and the model stays
    /// as it is.
    fn keep_state(&self, cell: &ModelCell) -> Option<Result<(), UnkeptSnapshot>> {
        let written = guard(|| cell.with_monitor(|monitor| monitor.map(ModelMonitor::snapshot)));
        let kept = match written {
            Ok(None) => return None,
            Ok(Some(snapshot)) => self.keep(&cell.entry, snapshot).map_err(|reason| (None, reason)),
            Err(reason) => {
                let observer = cell.with_monitor(|monitor| monitor.and_then(ModelMonitor::unwritten));
                Err((observer, reason))
            }
        };
        Some(kept.map_err(|(observer, reason)| {
            bump(&self.tally.snapshots_failed);
            let model_id = cell.entry.id.clone();
            tracing::error!(model = %model_id, observer = observer.as_deref(), reason, "snapshot was not kept");
            UnkeptSnapshot { model_id, observer, reason }
        }))
    }

    /// Stops all models; what comes later wakes none.
    pub(crate) fn clear(&self) {
        self.over.set(true);
        let cells: Vec<_> = self.cells.take().into_iter().flatten().collect();
        for cell in cells {
            let held = cell.in_trouble(|trouble| std::mem::take(&mut trouble.held));
            for (routed, offset) in &held {
                self.bury(&cell, Some((routed, *offset)), None, DeadReason::ShutDown);
            }
            if let Some(addr) = cell.actor.take().and_then(|addr| addr.upgrade()) {
                addr.do_send(crate::model::Halt);
            }
            cell.set_monitor(None);
            cell.enter(ModelPhase::Quarantined);
        }
        self.tally.awake.set(0);
        self.tally.dozing.set(0);
    }

    /// Ends a model's wait now, showing it what was held.
    fn end_wait_of(self: &Rc<Self>, cell: &Rc<ModelCell>) {
        if cell.phase() == ModelPhase::Waiting {
            self.drop_wait(cell);
            self.deciding(|out| self.end_wait(cell.entry.address.place() as u32, out));
            // A panic among what was held may have begun another wait.
            self.drop_wait(cell);
        }
    }

    pub(crate) fn drop_wait(&self, cell: &ModelCell) {
        if cell.phase() == ModelPhase::Waiting {
            let due = cell.in_trouble(|trouble| trouble.due);
            self.timers.borrow_mut().release(due, cell.entry.address.place() as u32);
        }
    }

    /// One model as it is now; a sleeping one is not woken.
    pub(crate) fn model_status(&self, entry: &ModelEntry) -> ModelStatus {
        let mut status = ModelStatus::asleep(entry.id.clone(), self.index);
        let Some(cell) = self.cell_of(entry.address, entry.generation) else { return status };
        status.phase = cell.phase();
        status.monitor = cell.with_monitor(|monitor| monitor.map(ModelMonitor::status));
        if let Some(trouble) = cell.trouble.borrow().as_ref() {
            status.panics = trouble.history.total();
            status.last_reason.clone_from(&trouble.last_reason);
            status.held = trouble.held.len();
            status.dead_letters = trouble.dead;
            status.unseen = trouble.unseen;
        }
        status
    }

    /// The shard as it is now.
    pub(crate) fn status(&self, shard_panics: u64) -> ShardStatus {
        let tally = &self.tally;
        ShardStatus {
            shard: self.index,
            awake: tally.awake.get(),
            waiting: tally.waiting.get(),
            quarantined: tally.quarantined.get(),
            events: tally.events.get(),
            late: tally.late.get(),
            too_late: tally.too_late.get(),
            refused_series: tally.refused_series.get(),
            repeated: tally.repeated.get(),
            held: self.dock.held.load(Ordering::Acquire),
            panics: tally.panics.get(),
            shard_panics,
            snapshots_failed: tally.snapshots_failed.get(),
            passivated: tally.passivated.get(),
            woken: tally.woken.get(),
            batches: self.dock.batches(),
            credits_out: self.dock.credits_out(),
            credits: self.dock.credits_max,
            refused_full: self.dock.refused_full.load(Ordering::Relaxed),
        }
    }
}
