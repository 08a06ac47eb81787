//! What a shard of a durable monitoring knows of its store: which models are dirty since when, what is to be saved at once,
//! what is on its way.
//!
//! A model's actions go into one commit with its state after them. So a state that is recovered is never older than an
//! action that is recorded, and a replay makes only those again that never were.

mod choice;
mod dirty;
mod save;
mod states;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use visu_tility_core::store::{LetterEntry, ModelChange, Snapshot, StoreReader, StoredPhase};
use visu_tility_core::{ActionRecord, ModelId, MonitorPlan};

use crate::awakening::Recalled;
use crate::cell::{ModelCell, ModelPhase};
use crate::control::ControlError;
use crate::dead_letter::DeadLetter;
use crate::dock::{Dock, Waiter};
use crate::durability::DurabilityPolicy;
use crate::ledger::culprit::Book;
use crate::ledger::inbox::Inbox;
use crate::ledger::opening::kept;
use crate::ledger::status::Figures;
use crate::plans::Plans;
use crate::saving::choice::Choice;
use crate::saving::dirty::Dirty;
use crate::shard_state::Shard;
use crate::slab::CLEAN;
use crate::status::SnapshotRound;
use crate::timers::Tenant;

pub(crate) use save::{Save, is_posted};

/// The form of a snapshot's bytes that stands for no state at all.
const NO_STATE: u32 = 0;
/// That of [`ModelMonitor::snapshot`].
const MONITOR: u32 = 1;
/// Dead letters that wait for a save; more give way to newer ones.
const LETTERS_MAX: usize = 1_024;

/// What was read of a model.
type Reading = Result<Option<Recalled>, String>;

/// What is on its way to the store.
struct InFlight {
    number: u64,
    /// The first offset that is needed if it does not get there.
    low: u64,
    /// Models that are to sleep once it is there, if nothing came for them.
    sleepy: Vec<Rc<ModelCell>>,
}

/// What the durable side of a shard is built from.
pub(crate) struct SavingParts {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) figures: Arc<Figures>,
    pub(crate) policy: DurabilityPolicy,
    pub(crate) reader: Box<dyn StoreReader>,
    pub(crate) plans: Plans,
    pub(crate) book: Arc<Book>,
    /// Where the journal begins.
    pub(crate) position: u64,
}

/// The durable side of a shard.
pub(crate) struct Saving {
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) figures: Arc<Figures>,
    policy: DurabilityPolicy,
    reader: RefCell<Box<dyn StoreReader>>,
    pub(crate) plans: RefCell<Plans>,
    /// Models that are not to be shown what their observers did not come back from.
    pub(crate) book: Arc<Book>,
    /// The offset after the last entry that was handled.
    pub(crate) position: Cell<u64>,
    dirty: RefCell<Dirty>,
    /// Models that are to be saved at once.
    urgent: RefCell<Vec<Tenant>>,
    choice: Choice,
    sleepy: RefCell<Vec<Rc<ModelCell>>>,
    forgotten: RefCell<Vec<ModelChange>>,
    /// Models that were retired, with the save that says so: until it is kept the store still shows what they were.
    graves: RefCell<BTreeMap<ModelId, u64>>,
    /// The save, and the entry that somebody waits for: until then the store knows the model by name.
    mourners: RefCell<Vec<(u64, u64)>>,
    records: RefCell<Vec<ActionRecord>>,
    letters: RefCell<Vec<LetterEntry>>,
    /// Where the shard was when the first of those that wait came.
    waiting_from: Cell<u64>,
    in_flight: RefCell<Option<InFlight>>,
    number: Cell<u64>,
    /// What was read of the model that is woken next.
    at_hand: RefCell<Option<(ModelId, Reading)>>,
    /// Who waits for a save, and for which.
    rounds: RefCell<Vec<(u64, SnapshotRound, oneshot::Sender<SnapshotRound>)>>,
}

impl Saving {
    pub(crate) fn new(parts: SavingParts) -> Self {
        let SavingParts { inbox, figures, policy, reader, plans, book, position } = parts;
        Self {
            inbox,
            figures,
            policy,
            reader: RefCell::new(reader),
            plans: RefCell::new(plans),
            book,
            position: Cell::new(position),
            dirty: RefCell::default(),
            urgent: RefCell::default(),
            choice: Choice::new(position),
            sleepy: RefCell::default(),
            forgotten: RefCell::default(),
            graves: RefCell::default(),
            mourners: RefCell::default(),
            records: RefCell::default(),
            letters: RefCell::default(),
            waiting_from: Cell::new(u64::MAX),
            in_flight: RefCell::default(),
            number: Cell::new(0),
            at_hand: RefCell::default(),
            rounds: RefCell::default(),
        }
    }

    /// The first offset that a recovery would need for what is not yet in the store.
    pub(crate) fn low(&self) -> u64 {
        let dirty = self.dirty.borrow().first_offset().unwrap_or(u64::MAX);
        let in_flight = self.in_flight.borrow().as_ref().map_or(u64::MAX, |flight| flight.low);
        dirty.min(in_flight).min(self.waiting_from.get())
    }

    /// Whether nothing waits and nothing is on its way, or what does never gets there.
    pub(crate) fn is_idle(&self) -> bool {
        self.figures.lost().is_some()
            || self.in_flight.borrow().is_none()
                && self.waiting_from.get() == u64::MAX
                && self.rounds.borrow().is_empty()
    }

    /// Models that are to sleep once they are saved.
    pub(crate) fn sleepy(&self) -> usize {
        let in_flight = self.in_flight.borrow().as_ref().map_or(0, |flight| flight.sleepy.len());
        self.sleepy.borrow().len() + in_flight
    }

    fn wait(&self) {
        self.waiting_from.set(self.waiting_from.get().min(self.position.get()));
    }

    /// Keeps what was decided until it is saved.
    pub(crate) fn decided(&self, out: &mut Vec<ActionRecord>) {
        self.wait();
        self.records.borrow_mut().append(out);
    }

    /// Keeps a dead letter until it is saved.
    pub(crate) fn bury(&self, letter: &DeadLetter) {
        self.wait();
        let mut letters = self.letters.borrow_mut();
        if letters.len() >= LETTERS_MAX {
            letters.remove(0);
        }
        letters.push(letter.entry());
    }

    /// Has a model forgotten.
    pub(crate) fn forget(&self, model: &ModelId, next_offset: u64) {
        self.wait();
        self.graves.borrow_mut().insert(model.clone(), self.number.get() + 1);
        self.forgotten.borrow_mut().push(ModelChange::Forget { model: model.clone(), next_offset });
    }

    /// Answers who asked for what was forgotten last, once that is kept.
    pub(crate) fn answer_when_forgotten(&self, offset: u64) {
        self.mourners.borrow_mut().push((self.number.get() + 1, offset));
    }

    fn answer_mourners(&self, dock: &Dock, saved: u64, lost: Option<&str>) {
        let over = |number: u64| number <= saved || lost.is_some();
        for (number, offset) in self.mourners.borrow_mut().extract_if(.., |(number, _)| over(*number)) {
            if let Some(Waiter::Turn(done)) = dock.waiter(offset) {
                let _ = done.send(if number <= saved { Ok(()) } else { Err(in_the_journal(lost)) });
            }
        }
    }

    fn mark(&self, tenant: Tenant, offset: u64, second: u32) {
        self.dirty.borrow_mut().mark(tenant, offset, second);
    }

    fn is_dirty(&self, place: usize) -> bool {
        self.dirty.borrow().has(place)
    }

    /// Takes a place's mark away; answers the offset.
    fn unmark(&self, place: usize) -> Option<u64> {
        self.dirty.borrow_mut().unmark(place)
    }

    /// The first offset that a model's snapshot does not hold, `None` when not even that can be read, and the snapshot.
    pub(crate) fn look_up(&self, model: &ModelId) -> (Option<u64>, Reading) {
        let recalled = self.recall(model);
        if let Ok(Some(recalled)) = recalled {
            return (Some(recalled.next_offset), Ok(Some(recalled)));
        }
        let row = again(|| self.reader.borrow_mut().model(model).map_err(|error| error.to_string()));
        match row {
            Ok(row) => (Some(row.map_or(0, |row| row.next_offset)), recalled),
            // It may have been retired: what came before that is not to be shown to a new one.
            Err(error) => (None, recalled.and(Err(error))),
        }
    }

    /// Reads what is kept of a model.
    pub(crate) fn recall(&self, model: &ModelId) -> Reading {
        if self.graves.borrow().contains_key(model) {
            return Ok(None);
        }
        if let Some(reason) = self.figures.why_aside(model) {
            return Err(reason);
        }
        again(|| self.recall_once(model))
    }

    fn recall_once(&self, model: &ModelId) -> Result<Option<Recalled>, String> {
        let snapshot = self.reader.borrow_mut().snapshot(model).map_err(|error| error.to_string())?;
        let Some(Snapshot { next_offset, phase, plan, form, state, .. }) = snapshot else { return Ok(None) };
        let known = self.plans.borrow().find(plan);
        let written_under = if known.is_some() { known } else { self.read_plan(plan)? };
        let phase = match phase {
            StoredPhase::Paused => ModelPhase::Paused,
            StoredPhase::Quarantined => ModelPhase::Quarantined,
            _ => ModelPhase::Running,
        };
        if form > MONITOR {
            return Err(format!("its snapshot has form {form}, this release reads up to form {MONITOR}"));
        }
        let bytes = (form != NO_STATE).then_some(state);
        Ok(Some(Recalled { bytes, plan: written_under, phase, next_offset }))
    }

    /// Reads the plan that a snapshot was written under.
    fn read_plan(&self, fingerprint: u64) -> Result<Option<Arc<MonitorPlan>>, String> {
        let own = Arc::clone(self.plans.borrow().own());
        let read =
            kept(&mut **self.reader.borrow_mut(), fingerprint, &own).map_err(|error| error.to_string())?;
        if let Some(read) = &read {
            self.plans.borrow_mut().remember(fingerprint, Arc::clone(read));
        }
        Ok(read)
    }

    pub(crate) fn at_hand(&self, model: &ModelId, recalled: Result<Option<Recalled>, String>) {
        self.at_hand.replace(Some((model.clone(), recalled)));
    }

    pub(crate) fn at_hand_no_more(&self) {
        self.at_hand.replace(None);
    }

    pub(crate) fn take_at_hand(&self, model: &ModelId) -> Option<Result<Option<Recalled>, String>> {
        let at_hand = self.at_hand.take()?;
        (at_hand.0 == *model).then_some(at_hand.1)
    }
}

/// What is told of a turn that is in the journal and whose end the store does not take any more.
fn in_the_journal(lost: Option<&str>) -> ControlError {
    ControlError::Store(format!(
        "it is in the journal and is done after a restart: {}",
        lost.unwrap_or_default()
    ))
}

/// Reads a few times, for what may pass.
fn again<T>(mut read: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    read().or_else(|_| read()).or_else(|_| read())
}

/// How much is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What has acted, and what lies too far back.
    Urgent,
    /// Also a share of what is dirty: called once a tick.
    Share,
    /// All that is dirty.
    All,
}

impl Shard {
    /// Takes note that a model's state goes beyond its snapshot from an offset on.
    pub(crate) fn mark(&self, cell: &ModelCell, offset: u64) {
        if let Some(saving) = &self.saving {
            let seconds = self.seconds.get();
            cell.head(|head| head.touched.set(seconds));
            saving.mark((cell.entry.address.place() as u32, cell.generation), offset, seconds);
        }
    }

    /// As [`Shard::mark`], from the hot path.
    #[cold]
    pub(crate) fn mark_place(&self, tenant: Tenant, offset: u64) {
        if let Some(saving) = &self.saving {
            saving.mark(tenant, offset, self.seconds.get());
        }
    }

    /// Takes a place's mark away.
    pub(crate) fn clean(&self, place: usize) {
        if let Some(saving) = &self.saving
            && let Some(offset) = saving.unmark(place)
        {
            // Until its end is in the store the journal is needed from there on.
            saving.waiting_from.set(saving.waiting_from.get().min(offset));
        }
    }

    /// Has a model saved at once.
    pub(crate) fn hurry(&self, cell: &ModelCell) {
        if let Some(saving) = &self.saving {
            saving.wait();
            saving.urgent.borrow_mut().push((cell.entry.address.place() as u32, cell.generation));
        }
    }

    /// Has a model put to sleep as soon as it is saved.
    pub(crate) fn sleep_when_saved(&self, cell: &Rc<ModelCell>) {
        if let Some(saving) = &self.saving {
            self.hurry(cell);
            saving.sleepy.borrow_mut().push(Rc::clone(cell));
        }
    }

    /// Saves what is to be saved, unless a save is on its way.
    pub(crate) fn save_some(self: &Rc<Self>, extent: Extent) {
        let Some(saving) = self.saving.as_ref().filter(|_| !self.is_fenced()) else { return };
        self.collect_saved();
        if saving.in_flight.borrow().is_some() && extent != Extent::All {
            return;
        }
        self.choose(saving, extent);
        let round = self.send_save(saving);
        drop(round);
        self.reach(saving.position.get());
    }

    /// Saves all; the answer comes when it is in the store.
    pub(crate) fn save_all(self: &Rc<Self>, reply: oneshot::Sender<SnapshotRound>) {
        let Some(saving) = &self.saving else { return };
        self.collect_saved();
        self.choose(saving, Extent::All);
        let round = self.send_save(saving);
        saving.rounds.borrow_mut().push((saving.number.get(), round, reply));
        self.collect_saved();
        self.reach(saving.position.get());
    }

    /// Writes the states of the models that were picked, and sends them with what waits.
    fn send_save(self: &Rc<Self>, saving: &Saving) -> SnapshotRound {
        let mut round = SnapshotRound::default();
        let mut urgent = saving.urgent.take();
        urgent.sort_unstable();
        urgent.dedup();
        let mut models = saving.forgotten.take();
        models.reserve(urgent.len());
        let mut low = saving.waiting_from.replace(u64::MAX);
        for (place, generation) in urgent {
            let Some(cell) = self.cell(place as usize).filter(|cell| cell.generation == generation) else {
                continue;
            };
            if cell.is_unreadable() {
                // Neither its snapshot nor its part of the journal gives way.
                continue;
            }
            let snapshot = self.snapshot_of(saving, &cell, &mut round);
            low = low.min(saving.unmark(place as usize).unwrap_or(u64::MAX));
            if let Some(snapshot) = snapshot {
                models.push(ModelChange::Keep(snapshot));
                cell.head(|head| head.touched.set(head.touched.get() | CLEAN));
                self.mark_held(&cell);
            }
        }
        let (records, letters) = (saving.records.take(), saving.letters.take());
        let sleepy = saving.sleepy.take();
        if models.is_empty() && records.is_empty() && letters.is_empty() {
            return round;
        }
        let number = saving.number.get() + 1;
        saving.number.set(number);
        if let Some(before) = saving.in_flight.borrow().as_ref() {
            low = low.min(before.low);
        }
        saving.in_flight.replace(Some(InFlight { number, low, sleepy }));
        let cause = saving.position.get().saturating_sub(1);
        let (shard, epoch, lent) = (self.index, self.dock.epoch, (0, 0));
        saving.inbox.save(Save { shard, epoch, number, models, records, cause, letters, lent });
        round
    }

    /// Marks a model that waits for its restart: what is held for it is not in its snapshot.
    fn mark_held(&self, cell: &ModelCell) {
        let first =
            cell.trouble.borrow().as_ref().and_then(|trouble| trouble.held.front().map(|held| held.1));
        if let Some(first) = first {
            self.mark(cell, first);
        }
    }

    /// Takes note of what has reached the store.
    pub(crate) fn collect_saved(self: &Rc<Self>) {
        let Some(saving) = self.saving.as_ref().filter(|_| !self.is_fenced()) else { return };
        let saved = self.dock.saved.load(Ordering::Acquire);
        let there = saving.in_flight.borrow().as_ref().is_some_and(|flight| flight.number <= saved);
        if there && let Some(flight) = saving.in_flight.take() {
            for cell in flight.sleepy {
                self.fall_asleep(&cell);
            }
            self.reach(saving.position.get());
        }
        saving.graves.borrow_mut().retain(|_, number| *number > saved);
        let lost = saving.figures.lost();
        saving.answer_mourners(&self.dock, saved, lost);
        let mut rounds = saving.rounds.borrow_mut();
        let pending = std::mem::take(&mut *rounds);
        for (number, round, reply) in pending {
            if number <= saved {
                let _ = reply.send(round);
            } else if lost.is_some() {
                let _ = reply.send(SnapshotRound { failed: round.failed + round.kept, kept: 0, ..round });
            } else {
                rounds.push((number, round, reply));
            }
        }
    }
}
