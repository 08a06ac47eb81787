//! What a shard does after a panic of one model's observer, and with the events it cannot show.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use visu_tility_core::{ActionRecord, IngestError, ModelMonitor, MonitorPlan};

use crate::cell::{ModelCell, ModelPhase};
use crate::dead_letter::{DeadLetter, DeadReason};
use crate::hook::guard;
use crate::lifecycle::Lifecycle;
use crate::restart::{Verdict, seed_of};
use crate::routed::Routed;
use crate::shard_state::Shard;
use crate::tally::bump;
use crate::vectors::is_ticket;

/// Events held for all waiting models of a shard together.
const HELD_ALL_MAX: usize = 65_536;

/// A panic of one observer.
struct Loss {
    /// Whose it was, if it is known.
    observer: Option<Arc<str>>,
    reason: String,
    /// It was told that time passes; the event was not what it panicked on.
    on_tick: bool,
}

impl Shard {
    /// Mends a model after a panic, buries the event, and decides when the model goes on.
    ///
    /// `event` is `None` when not an event but time led to it. So it may be with an event, too: time passes before it, and
    /// an observer that panics then has not lost the event.
    ///
    /// # Errors
    ///
    /// Fails with [`IngestError::Poisoned`] when an observer, or the model, has lost the event.
    pub(crate) fn casualties(
        self: &Rc<Self>,
        cell: &Rc<ModelCell>,
        event: Option<(&Routed, u64)>,
        reason: String,
        out: &mut Vec<ActionRecord>,
    ) -> Result<(), IngestError> {
        let losses = self.mend(cell, reason, out);
        let mut taken = Ok(());
        for Loss { observer, reason, on_tick } in &losses {
            bump(&self.tally.panics);
            if !on_tick {
                taken = Err(IngestError::Poisoned {
                    observer: observer.as_deref().unwrap_or("unknown").to_owned(),
                    reason: reason.clone(),
                });
            }
            let event = event.filter(|_| !on_tick);
            self.bury(cell, event, observer.clone(), DeadReason::Panicked { reason: reason.clone() });
        }
        self.judge(cell, losses);
        self.arm(cell);
        taken
    }

    /// Puts the observers that panicked back, and lets the others see the event.
    fn mend(&self, cell: &ModelCell, first: String, out: &mut Vec<ActionRecord>) -> Vec<Loss> {
        let mut losses: Vec<Loss> = Vec::new();
        let mut reason = first;
        // Each observer may panic on the event, on being put back, and once more on starting afresh.
        for _ in 0..3 * MonitorPlan::OBSERVERS_MAX {
            match guard(|| cell.with_monitor(|monitor| monitor.and_then(ModelMonitor::recover))) {
                Ok(Some(casualty)) => {
                    losses.push(Loss {
                        observer: Some(casualty.observer),
                        reason: std::mem::take(&mut reason),
                        on_tick: casualty.on_tick,
                    });
                    let resumed = guard(|| {
                        cell.with_monitor(|monitor| {
                            if let Some(monitor) = monitor {
                                monitor.resume(out);
                            }
                        });
                    });
                    match resumed {
                        Ok(()) => return losses,
                        Err(next) => reason = next,
                    }
                }
                Ok(None) => break,
                Err(_) => {}
            }
        }
        // The monitor itself may be torn.
        if self.saving.is_some() {
            // What came behind its last snapshot is in the journal: neither gives way, so that nothing is lost unseen.
            tracing::error!(model = %cell.entry.id, reason, "a model's state is torn, it is set aside");
            self.mark_aside(cell, &format!("its state was torn by a panic: {reason}"));
            losses.push(Loss { observer: None, reason, on_tick: false });
            cell.set_monitor(None);
            return losses;
        }
        // Back to the last snapshot, or to the start.
        losses.push(Loss { observer: None, reason, on_tick: false });
        let recalled = self.recall(&cell.entry);
        let monitor = recalled.ok().and_then(|recalled| self.build(&cell.entry, recalled.as_ref(), out));
        cell.set_monitor(monitor);
        losses
    }

    /// Decides between a restart at once, one after a wait, and quarantine. A model that is paused or in
    /// quarantine, and panicked on a new plan, stays so, unless there is nothing left of it.
    fn judge(&self, cell: &Rc<ModelCell>, losses: Vec<Loss>) {
        let model_id = cell.entry.id.clone();
        let last = losses.into_iter().next_back();
        let (observer, reason) = last.map_or((None, String::new()), |last| (last.observer, last.reason));
        let now = self.now();
        let verdict = cell.in_trouble(|trouble| {
            trouble.last_reason = Some(reason.clone());
            trouble.history.panicked(now, &self.settings.policy, seed_of(model_id.as_str()))
        });
        let lost = !cell.has_monitor();
        // What is repeated comes faster than it came; what was put into quarantine for good was saved as such.
        let verdict = if self.is_repeating() { Verdict::Restart(Duration::ZERO) } else { verdict };
        if !lost && !matches!(cell.phase(), ModelPhase::Running | ModelPhase::Waiting) {
            return;
        }
        match verdict {
            Verdict::Restart(wait) if !lost => {
                if !wait.is_zero() {
                    self.drop_wait(cell);
                    let due = now.saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX));
                    self.enter(cell, ModelPhase::Waiting);
                    cell.in_trouble(|trouble| trouble.due = due);
                    self.timers.borrow_mut().hold(due, cell.entry.address.place() as u32);
                }
                let backoff_us = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
                self.tell(&Lifecycle::Restarted { model_id, observer, reason, backoff_us });
            }
            _ => {
                tracing::error!(model = %model_id, reason, "model is quarantined until it is reset");
                self.drop_wait(cell);
                self.enter(cell, ModelPhase::Quarantined);
                self.hurry(cell);
                self.tell(&Lifecycle::Quarantined { model_id, reason });
            }
        }
    }

    /// Whether it was taken over: whatever is still done here is thrown away.
    pub(crate) fn is_fenced(&self) -> bool {
        self.dock.is_fenced()
    }

    /// Says what happened to a model.
    pub(crate) fn tell(&self, lifecycle: &Lifecycle) {
        if !self.is_fenced() {
            self.outlet.tell(lifecycle);
        }
    }

    /// Has the models that come to life from now on follow a plan.
    pub(crate) fn follow(&self, plan: &Arc<MonitorPlan>) {
        self.plan.replace(Arc::clone(plan));
        *self.dock.plan.lock() = Some(Arc::clone(plan));
    }

    /// What restarts are timed by: event time in event-time mode, else a stopwatch.
    pub(crate) fn now(&self) -> i64 {
        if self.board.timing.event_time { self.timers.borrow().newest } else { self.watch.micros() }
    }

    /// Changes a model's phase and the shard's counts of phases.
    pub(crate) fn enter(&self, cell: &ModelCell, phase: ModelPhase) {
        let count = |phase| match phase {
            ModelPhase::Waiting => Some(&self.tally.waiting),
            ModelPhase::Quarantined => Some(&self.tally.quarantined),
            _ => None,
        };
        if let Some(before) = count(cell.enter(phase)) {
            before.set(before.get().saturating_sub(1));
        }
        if let Some(after) = count(phase) {
            after.set(after.get() + 1);
        }
    }

    /// Whether one more event can be held for a model.
    pub(crate) fn has_room(&self, cell: &ModelCell, routed: &Routed) -> bool {
        let crowded = is_ticket(routed.value) && self.board.vectors.is_half_full();
        let held = cell.in_trouble(|trouble| trouble.held.len());
        !crowded && held < self.settings.held_max && self.dock.held.load(Ordering::Relaxed) < HELD_ALL_MAX
    }

    /// Keeps an event for the time after the wait.
    pub(crate) fn hold(&self, cell: &ModelCell, routed: &Routed, offset: u64) -> Result<(), IngestError> {
        if self.has_room(cell, routed) {
            cell.in_trouble(|trouble| trouble.held.push_back((*routed, offset)));
            self.dock.held.fetch_add(1, Ordering::AcqRel);
            return Ok(());
        }
        self.bury(cell, Some((routed, offset)), None, DeadReason::HeldFull);
        Err(IngestError::Limit { limit: "held_max".into(), max: self.settings.held_max as u64 })
    }

    /// Ends a model's wait: it sees what was held for it, in order. Another panic holds the rest again.
    pub(crate) fn end_wait(self: &Rc<Self>, place: u32, out: &mut Vec<ActionRecord>) {
        let Some(cell) = self.cell(place as usize) else { return };
        if cell.phase() != ModelPhase::Waiting {
            return;
        }
        self.enter(&cell, ModelPhase::Running);
        self.show_held(&cell, out);
        // Its timer may have gone off meanwhile.
        self.arm(&cell);
    }

    /// Shows a model what was held for it.
    pub(crate) fn show_held(self: &Rc<Self>, cell: &Rc<ModelCell>, out: &mut Vec<ActionRecord>) {
        let held = cell.in_trouble(|trouble| std::mem::take(&mut trouble.held));
        self.dock.held.fetch_sub(held.len(), Ordering::AcqRel);
        for (routed, offset) in held {
            // They were counted when they came.
            self.tally.events.set(self.tally.events.get().saturating_sub(1));
            let _ = self.deliver_one(&routed, offset, out);
        }
    }

    /// Ends the waits that are over by the shard's stopwatch, or, when `all`, every wait.
    pub(crate) fn end_waits(self: &Rc<Self>, all: bool) {
        let now = if all { i64::MAX } else { self.now() };
        self.deciding(|out| {
            loop {
                let place = self.timers.borrow_mut().next_wait(now);
                let Some(place) = place else { break };
                self.end_wait(place, out);
            }
        });
    }

    /// Keeps a dead letter.
    pub(crate) fn bury(
        &self,
        cell: &ModelCell,
        event: Option<(&Routed, u64)>,
        observer: Option<Arc<str>>,
        reason: DeadReason,
    ) {
        cell.in_trouble(|trouble| trouble.dead += 1);
        if let Some((routed, _)) = event {
            self.board.vectors.take(routed.value);
        }
        let names = event.and_then(|(routed, _)| cell.entry.names(routed.key));
        let (version, kind) = names.unzip();
        let newest = visu_tility_core::Timestamp::from_micros(self.timers.borrow().newest);
        self.keep_letter(DeadLetter {
            model_id: cell.entry.id.clone(),
            version,
            kind,
            at: event.map_or(newest, |(routed, _)| routed.at),
            value: event.and_then(|(routed, _)| routed.value()),
            offset: event.map(|(_, offset)| offset),
            observer,
            reason,
        });
    }

    fn keep_letter(&self, letter: DeadLetter) {
        if self.is_fenced() {
            return;
        }
        if let Some(saving) = self.saving.as_ref().filter(|_| letter.reason != DeadReason::ShutDown) {
            saving.bury(&letter);
        }
        self.outlet.dead.push(letter);
    }

    /// Buries an event that has no model here: it is gone, or the shard is.
    pub(crate) fn bury_stray(&self, routed: &Routed, offset: u64, reason: DeadReason) {
        self.board.vectors.take(routed.value);
        let tenant = self.board.directory.at(routed.address);
        let name = tenant.filter(|entry| entry.generation == routed.generation).map(|entry| entry.id.clone());
        if let Some(model_id) = name.or_else(|| visu_tility_core::ModelId::new("-").ok()) {
            self.keep_letter(DeadLetter {
                model_id,
                version: None,
                kind: None,
                at: routed.at,
                value: routed.value(),
                offset: Some(offset),
                observer: None,
                reason,
            });
        }
    }
}
