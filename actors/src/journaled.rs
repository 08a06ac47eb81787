//! What a shard does with journal entries that are no events: ticks, turns of a model's life, plans; and how it repeats
//! entries that a store's journal holds.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix::Message;
use visu_tility_core::journal::Turn;
use visu_tility_core::{ActionRecord, IngestError, ModelId, MonitorPlan, Timestamp};

use crate::awakening::Recalled;
use crate::cell::{ModelCell, ModelPhase};
use crate::control::{ControlError, Steering};
use crate::dead_letter::DeadReason;
use crate::directory::ModelEntry;
use crate::dock::{Dock, Waiter};
use crate::routed::Routed;
use crate::shard_state::Shard;
use crate::tally::bump;

/// How much later a timer goes off again whose tick was not journaled.
const TICK_AGAIN_US: i64 = 1_000_000;

/// An entry of the journal, at its place among the batches of its shard.
pub(crate) struct Journaled {
    pub(crate) offset: u64,
    pub(crate) what: Occurrence,
}

impl Message for Journaled {
    type Result = ();
}

/// What becomes of the name of a model that is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// Who names it next means another one.
    Goes,
    /// It is another one's already: of that one nothing is known before this.
    Stays,
}

/// What an entry says.
pub(crate) enum Occurrence {
    /// A model is told what time it is.
    Tick(Arc<ModelEntry>, Timestamp),
    /// A model's life takes a turn.
    Turn(Arc<ModelEntry>, Turn, Name),
    /// A plan comes into force.
    Plan(Arc<MonitorPlan>, u64),
    /// A tick did not come into the journal.
    TickLost(Arc<ModelEntry>),
    /// The store refuses a model's state, for a reason.
    SetAside(ModelId, String),
    /// A sleeping model is to follow the plans that came since it was saved. Who sent it sees when it is dropped.
    Renew(Arc<ModelEntry>, Arc<()>),
    /// No model is older than this offset: plans that gave way before it are needed no more.
    PlansFrom(u64),
    /// All that the journal held has been repeated, or as much of it as could be read.
    Caught { whole: bool },
}

/// An answer that somebody waits for at the dock. Whoever takes the shard over owes it then; a panic pays it.
struct Owed<'a> {
    dock: &'a Dock,
    offset: u64,
}

impl<'a> Owed<'a> {
    const fn new(dock: &'a Dock, offset: u64) -> Self {
        Self { dock, offset }
    }

    fn pay(self, answer: Result<(), ControlError>) {
        if let Some(Waiter::Turn(reply)) = self.dock.waiter(self.offset) {
            let _ = reply.send(answer);
        }
    }
}

impl Drop for Owed<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(self.dock.waiter(self.offset));
        }
    }
}

/// What a shard knows while it repeats the journal.
#[derive(Default)]
pub(crate) struct Repeating {
    /// For each model that came up, by place and tenancy, the first offset that its snapshot does not hold.
    held: BTreeMap<u64, u64>,
    /// Those of whom that could not be read.
    unknown: BTreeSet<u64>,
}

impl Shard {
    /// Whether the journal is being repeated.
    pub(crate) fn is_repeating(&self) -> bool {
        self.repeating.borrow().is_some()
    }

    /// Does what an entry says.
    pub(crate) fn obey_journal(self: &Rc<Self>, Journaled { offset, what }: Journaled) {
        if self.is_fenced() {
            return;
        }
        match what {
            Occurrence::Tick(entry, now) => {
                self.dock.pulse.at_entry(offset);
                if self.is_new_to(entry.token(), &entry, offset) && !self.quarantine_at(&entry, None, offset)
                {
                    self.tick_journaled(&entry, offset, now);
                }
            }
            Occurrence::Turn(entry, turn, name) => {
                self.dock.pulse.at_entry(offset);
                let owed = Owed::new(&self.dock, offset);
                let new = self.is_new_to(entry.token(), &entry, offset);
                // Its state may be of a later time: only who asks for it now has it thrown away.
                let doubtful = turn == Turn::Reset && self.is_unknown(entry.token());
                let answer = if new && !doubtful {
                    self.turn(&entry, offset, turn, name)
                } else {
                    if turn == Turn::Retire {
                        self.ended_before(&entry, offset, name);
                    }
                    Ok(())
                };
                if self.is_fenced() {
                    return;
                }
                match &self.saving {
                    Some(saving) if turn == Turn::Retire && answer.is_ok() => {
                        saving.answer_when_forgotten(offset);
                    }
                    _ => owed.pay(answer),
                }
            }
            Occurrence::Plan(plan, fingerprint) => {
                self.dock.pulse.at_entry(offset);
                let owed = Owed::new(&self.dock, offset);
                self.follow_plan(offset, fingerprint, &plan);
                if self.is_fenced() {
                    return;
                }
                owed.pay(Ok(()));
            }
            Occurrence::TickLost(entry) => return self.tick_again(&entry),
            Occurrence::SetAside(model, reason) => return self.set_aside(&model, reason),
            Occurrence::Renew(entry, _present) => return self.renew(&entry),
            Occurrence::PlansFrom(offset) => {
                if let Some(saving) = &self.saving {
                    saving.plans.borrow_mut().forget_before(offset);
                }
                return;
            }
            Occurrence::Caught { whole } => return self.caught_up(whole),
        }
        self.reach(offset + 1);
    }

    /// While the journal is repeated: a retirement that is kept already is come to.
    fn ended_before(&self, entry: &ModelEntry, offset: u64, name: Name) {
        let directory = &self.board.directory;
        if name == Name::Goes {
            directory.disown(entry);
            directory.remove(entry);
        } else if self.dock.was_handled(offset) {
            // Who was taken over has come to it.
            return;
        }
        directory.left(&entry.id);
    }

    /// While the journal is repeated: quarantines a model if this is the entry that an observer of it did not come back
    /// from; answers whether it did.
    pub(crate) fn quarantine_at(
        self: &Rc<Self>,
        entry: &Arc<ModelEntry>,
        event: Option<&Routed>,
        offset: u64,
    ) -> bool {
        let Some(saving) = self.saving.as_ref().filter(|_| self.is_repeating()) else { return false };
        let Some(held) = saving.book.holds(&entry.id, offset) else { return false };
        self.deciding(|out| {
            let cell = self.wake(entry, out);
            self.end_wait_now(&cell, out);
            self.mark(&cell, offset);
            self.bury(&cell, event.map(|event| (event, offset)), held.observer, DeadReason::Stuck);
        });
        self.quarantine(entry);
        if let Some(cell) = self.cell_of(entry.address, entry.generation) {
            self.hurry(&cell);
        }
        true
    }

    /// As [`Shard::deliver_one`], for one that the model's snapshot may hold already.
    pub(crate) fn deliver_new(
        self: &Rc<Self>,
        routed: &Routed,
        offset: u64,
        out: &mut Vec<ActionRecord>,
    ) -> Result<(), IngestError> {
        if self.is_repeating()
            && !self.is_fenced()
            && let Some(entry) = self.board.directory.at(routed.address)
            && entry.generation == routed.generation
        {
            if !self.is_new_to(entry.token(), &entry, offset) {
                self.board.vectors.take(routed.value);
                bump(&self.tally.events);
                return Ok(());
            }
            self.dock.pulse.at_entry(offset);
            if self.quarantine_at(&entry, Some(routed), offset) {
                bump(&self.tally.events);
                return Err(IngestError::Quarantined);
            }
        }
        self.deliver_one(routed, offset, out)
    }

    /// While the journal is repeated: whether a model's snapshot, or that it was retired, does not hold an entry yet.
    pub(crate) fn is_new_to(&self, token: u64, entry: &Arc<ModelEntry>, offset: u64) -> bool {
        let mut repeating = self.repeating.borrow_mut();
        let Some(Repeating { held, unknown }) = repeating.as_mut() else { return true };
        if let Some(held) = held.get(&token) {
            return offset >= *held;
        }
        let Some(saving) = &self.saving else { return true };
        let (next_offset, recalled) = saving.look_up(&entry.id);
        if next_offset.is_none() {
            unknown.insert(token);
        }
        let next_offset = next_offset.unwrap_or(0);
        held.insert(token, next_offset);
        let new = offset >= next_offset;
        if new {
            self.board.directory.looked_up(entry, !matches!(recalled, Ok(None)));
            // It is going to be woken now.
            saving.at_hand(&entry.id, recalled);
        }
        new
    }

    /// While the journal is repeated: whether it cannot be read what a model's snapshot holds.
    fn is_unknown(&self, token: u64) -> bool {
        self.repeating.borrow().as_ref().is_some_and(|repeating| repeating.unknown.contains(&token))
    }

    /// Lets time pass in a model, awake or not.
    fn tick_journaled(self: &Rc<Self>, entry: &Arc<ModelEntry>, offset: u64, now: Timestamp) {
        // Its end may be in the journal behind this: then it keeps its place until the shard comes to that.
        let here = self.board.directory.at(entry.address).is_some_and(|here| here.token() == entry.token());
        if self.over.get() || !here {
            return;
        }
        let asleep = self.awake_at((entry.address.place() as u32, entry.generation)).is_none();
        let cell = self.deciding(|out| {
            let cell = self.wake(entry, out);
            self.end_wait_now(&cell, out);
            self.mark(&cell, offset);
            self.tick_cell(&cell, now.micros(), out);
            cell
        });
        if asleep && !self.is_repeating() {
            // Nobody has sent it anything: it sleeps on, so that many that are due do not fill the memory.
            self.passivate(&cell);
        }
    }

    /// Turns a model's life as the journal says.
    fn turn(
        self: &Rc<Self>,
        entry: &Arc<ModelEntry>,
        offset: u64,
        turn: Turn,
        name: Name,
    ) -> Result<(), ControlError> {
        if self.over.get() {
            return Err(ControlError::Closed);
        }
        let awake = || {
            let cell = self.cell_of(entry.address, entry.generation);
            cell.filter(|cell| cell.phase() != ModelPhase::Asleep)
        };
        if let Some(cell) = awake() {
            // What was held came before.
            self.deciding(|out| self.end_wait_now(&cell, out));
            self.mark(&cell, offset);
        }
        match turn {
            Turn::Pause => self.steer_now(entry, Steering::Pause),
            Turn::Resume => self.steer_now(entry, Steering::Resume),
            Turn::Reset => self.steer_now(entry, Steering::Reset),
            Turn::Retire => {
                self.retire(entry, name);
                self.clean(entry.address.place());
                if let Some(saving) = &self.saving {
                    saving.forget(&entry.id, offset + 1);
                }
                return Ok(());
            }
            Turn::Quarantine => self.quarantine(entry),
            _ => {}
        }
        if let Some(cell) = awake() {
            self.mark(&cell, offset);
            self.hurry(&cell);
        }
        Ok(())
    }

    /// Follows a plan from an offset on.
    fn follow_plan(self: &Rc<Self>, offset: u64, fingerprint: u64, plan: &Arc<MonitorPlan>) {
        if let Some(saving) = &self.saving {
            if saving.plans.borrow().is_in_force(fingerprint) {
                return;
            }
            saving.plans.borrow_mut().enter(offset, fingerprint, Arc::clone(plan));
        }
        let cells: Vec<_> = self.cells.borrow().iter().flatten().cloned().collect();
        self.follow(plan);
        for cell in cells {
            if cell.phase() == ModelPhase::Asleep || !self.is_new_to(cell.entry.token(), &cell.entry, offset)
            {
                continue;
            }
            self.deciding(|out| self.end_wait_now(&cell, out));
            self.mark(&cell, offset);
            // One that is set aside follows it when it is shown what it has not seen, or is reset.
            if !cell.is_aside() {
                self.reload_cell(&cell, plan);
            }
        }
    }

    /// Has a sleeping model follow the plans that it has slept through, and sleep on.
    fn renew(self: &Rc<Self>, entry: &Arc<ModelEntry>) {
        let here = self.board.directory.at(entry.address).is_some_and(|here| here.token() == entry.token());
        let asleep = self.awake_at((entry.address.place() as u32, entry.generation)).is_none();
        if self.over.get() || !here || !asleep {
            return;
        }
        let cell = self.deciding(|out| self.wake(entry, out));
        if cell.phase() == ModelPhase::Running {
            self.passivate(&cell);
        } else {
            self.hurry(&cell);
        }
    }

    /// Shows a waiting model what is held for it, whatever it panics on: the next entry is none that can be held.
    pub(crate) fn end_wait_now(self: &Rc<Self>, cell: &Rc<ModelCell>, out: &mut Vec<ActionRecord>) {
        // Each round at least one of those held is done with.
        while cell.phase() == ModelPhase::Waiting {
            self.drop_wait(cell);
            self.end_wait(cell.entry.address.place() as u32, out);
        }
    }

    /// Sets a timer again whose tick was not journaled.
    fn tick_again(&self, entry: &ModelEntry) {
        let Some(cell) = self.cell_of(entry.address, entry.generation) else { return };
        let due = Timestamp::from_micros(self.board.clock.now().micros().saturating_add(TICK_AGAIN_US));
        cell.head(|head| head.armed.set(due.micros()));
        let tenant = (entry.address.place() as u32, entry.generation);
        self.timers.borrow_mut().arm(i64::MAX, due, tenant);
    }

    /// Goes over from repeating to what happens now.
    fn caught_up(&self, whole: bool) {
        self.repeating.replace(None);
        self.behind.set(!whole);
        self.dock.catch_up();
        if let Some(saving) = &self.saving {
            saving.at_hand_no_more();
            saving.inbox.wake();
        }
    }

    /// Takes note of how far the shard has come.
    pub(crate) fn reach(&self, position: u64) {
        let Some(saving) = &self.saving else { return };
        if self.over.get() {
            // What comes then is not shown to its model: the journal keeps it for the next process.
            return;
        }
        saving.position.set(position);
        // In this order: see `Ledger::low_water`.
        self.dock.dirty_from.store(saving.low(), Ordering::Release);
        self.dock.position.store(position, Ordering::Release);
    }

    /// Asks for a tick of each model whose timer went off.
    pub(crate) fn ask_ticks(&self, now: Timestamp) {
        let mut ticks = Vec::new();
        loop {
            let due = self.timers.borrow_mut().next_tick(now.micros());
            let Some((due, (place, generation))) = due else { break };
            let address = crate::routed::Address::new(self.index as u8, place);
            let Some(cell) = self.cell_of(address, generation) else { continue };
            // It stays armed for a time that is past, so that no event sets it again before the tick is back.
            if cell.phase() != ModelPhase::Asleep && cell.head(|head| head.armed.get()) == due {
                ticks.push((Arc::clone(&cell.entry), now));
            }
        }
        for some in ticks.chunks(crate::routed::BatchReceipt::PIECE_MAX) {
            self.board.journal_ticks(some.to_vec());
        }
    }

    /// Puts what was read of a model where [`Shard::recall`] looks first.
    pub(crate) fn recalled_at_hand(&self, entry: &ModelEntry) -> Option<Result<Option<Recalled>, String>> {
        self.saving.as_ref()?.take_at_hand(&entry.id)
    }
}
