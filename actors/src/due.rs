//! What a shard does when time passes: tells the monitors that wait for it, ends waits.

use std::rc::Rc;
use std::sync::atomic::Ordering;

use visu_tility_core::{ActionRecord, Timestamp};

use crate::cell::{ModelCell, ModelPhase};
use crate::hook::guard;
use crate::routed::Address;
use crate::shard_state::Shard;
use crate::timers::{Due, Tenant};

impl Shard {
    /// Takes note of an event's time; what is due before it is done first.
    pub(crate) fn pass_time(self: &Rc<Self>, at: Timestamp, out: &mut Vec<ActionRecord>) {
        if self.timers.borrow().newest < at.micros() {
            self.run_due(at.micros(), out);
            self.timers.borrow_mut().newest = at.micros();
        }
    }

    /// Sets the shard's timer for a model, if the model is due before the one that is set.
    pub(crate) fn arm(&self, cell: &ModelCell) {
        let due = cell.with_monitor(|monitor| monitor.and_then(|monitor| monitor.next_deadline()));
        if let Some(due) = due
            && due.micros() < cell.head(|head| head.armed.get())
        {
            let tenant = (cell.entry.address.place() as u32, cell.generation);
            let before = cell.head(|head| head.armed.replace(due.micros()));
            self.timers.borrow_mut().arm(before, due, tenant);
        }
    }

    /// In event-time mode: ends the waits that are over at `now`.
    ///
    /// Monitors are not ticked: a model's time is moved by its own events, and by [`Shard::catch_up`]. So it
    /// makes no difference which other models share its shard, or in which order files are read.
    pub(crate) fn run_due(self: &Rc<Self>, now: i64, out: &mut Vec<ActionRecord>) {
        if !self.board.timing.event_time {
            return;
        }
        loop {
            let place = self.timers.borrow_mut().next_wait(now);
            let Some(place) = place else { return };
            self.end_wait(place, out);
        }
    }

    /// In event-time mode: moves the time of all models to `now`, in order of what is due.
    pub(crate) fn catch_up(self: &Rc<Self>, now: Timestamp, out: &mut Vec<ActionRecord>) {
        loop {
            let due = self.timers.borrow_mut().next(now.micros());
            match due {
                Some(Due::Tick(due, tenant)) => self.tick(tenant, due, due, out),
                Some(Due::Wait(place)) => self.end_wait(place, out),
                None => return,
            }
        }
    }

    /// Outside event-time mode: tells monitors that wait for it that it is `now`; with a store, has the journal say so.
    pub(crate) fn tick_due(self: &Rc<Self>, now: Timestamp) {
        if self.is_fenced() {
            return;
        }
        if self.saving.is_some() {
            if !self.is_repeating() {
                self.ask_ticks(now);
            }
            return;
        }
        self.deciding(|out| {
            loop {
                let due = self.timers.borrow_mut().next_tick(now.micros());
                let Some((due, tenant)) = due else { break };
                self.tick(tenant, due, now.micros(), out);
            }
        });
    }

    /// Lets time pass in one model whose timer, set for `due`, went off.
    ///
    /// A model that sleeps is woken for it: silence, too, is something to be told of.
    fn tick(self: &Rc<Self>, (place, generation): Tenant, due: i64, now: i64, out: &mut Vec<ActionRecord>) {
        if self.over.get() {
            return;
        }
        let awake = self.cell(place as usize);
        let cell = match awake {
            Some(cell) if cell.phase() != ModelPhase::Asleep => {
                if cell.generation != generation || cell.head(|head| head.armed.get()) != due {
                    return;
                }
                cell
            }
            _ => {
                let address = Address::new(self.index as u8, place);
                let entry = self.board.directory.at(address).filter(|entry| entry.generation == generation);
                let Some(entry) = entry else { return };
                entry.asleep_until.store(i64::MAX, Ordering::Relaxed);
                self.wake(&entry, out)
            }
        };
        self.tick_cell(&cell, now, out);
    }

    /// Tells a model what time it is, and sets its timer anew.
    pub(crate) fn tick_cell(self: &Rc<Self>, cell: &Rc<ModelCell>, now: i64, out: &mut Vec<ActionRecord>) {
        let set = cell.head(|head| head.armed.replace(i64::MAX));
        if self.saving.is_some() && set != i64::MAX {
            // It may be set for later: the journal's ticks need not come from it.
            let tenant = (cell.entry.address.place() as u32, cell.generation);
            self.timers.borrow_mut().disarm(set, tenant);
        }
        if cell.phase() == ModelPhase::Running {
            let ticked = guard(|| {
                cell.with_monitor(|monitor| {
                    if let Some(monitor) = monitor {
                        monitor.tick(Timestamp::from_micros(now), out);
                    }
                });
            });
            if let Err(reason) = ticked {
                let _ = self.casualties(cell, None, reason, out);
            }
        }
        // A timer is never set for a time that has passed: it could go off for ever.
        let next = cell.with_monitor(|monitor| monitor.and_then(|monitor| monitor.next_deadline()));
        if let Some(next) = next
            && next.micros() > now
        {
            self.arm(cell);
        }
    }
}
