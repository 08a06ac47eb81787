//! What a shard of a durable monitoring knows of its store: which models are dirty since when, what is to be saved at once,
//! what is on its way.
//!
//! A model's actions go into one commit with its state after them. So a state that is recovered is never older than an
//! action that is recorded, and a replay makes only those again that never were. The one exception is a model whose state
//! cannot be kept: its actions are recorded without it, the journal is held from its last state on, and what a replay
//! makes of that is known already by its ids.
//!
//! `dirty` is the order in which models became dirty, `picking` says whom to save, `sending` cuts that into saves and takes
//! note of what has reached the store, `states` writes states, `withheld` keeps what the outbox has no room for.

mod choice;
mod dirty;
mod picking;
mod save;
mod sending;
mod states;
mod withheld;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

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
use crate::saving::sending::{InFlight, Round};
use crate::saving::withheld::Withheld;
use crate::timers::Tenant;

pub(crate) use picking::Extent;
pub(crate) use save::{BYTES_MAX, Returned, STATES_MAX, Save, is_posted};

/// The form of a snapshot's bytes that stands for no state at all.
const NO_STATE: u32 = 0;
/// That of [`ModelMonitor::snapshot`].
const MONITOR: u32 = 1;
/// Dead letters that wait for a save; more give way to newer ones.
const LETTERS_MAX: usize = 1_024;

/// What was read of a model.
type Reading = Result<Option<Recalled>, String>;

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
    /// Those of the dirty that no save is for at present: they are set aside, or wait for room in the outbox.
    parked: RefCell<Dirty>,
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
    /// In the order of their numbers.
    in_flight: RefCell<VecDeque<InFlight>>,
    withheld: RefCell<Withheld>,
    number: Cell<u64>,
    /// What was read of the model that is woken next.
    at_hand: RefCell<Option<(ModelId, Reading)>>,
    /// Who waits for a save, and for which.
    rounds: RefCell<Vec<Round>>,
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
            parked: RefCell::default(),
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
            withheld: RefCell::default(),
            number: Cell::new(0),
            at_hand: RefCell::default(),
            rounds: RefCell::default(),
        }
    }

    /// The first offset that a recovery would need for what is not yet in the store.
    pub(crate) fn low(&self) -> u64 {
        let of_marks = |marks: &RefCell<Dirty>| marks.borrow().first_offset().unwrap_or(u64::MAX);
        let in_flight = self.in_flight.borrow().iter().map(|flight| flight.low).min().unwrap_or(u64::MAX);
        let waiting = self.waiting_from.get().min(self.withheld.borrow().low());
        of_marks(&self.dirty).min(of_marks(&self.parked)).min(in_flight).min(waiting)
    }

    /// Whether nothing waits and nothing is on its way, or what does never gets there.
    pub(crate) fn is_idle(&self) -> bool {
        self.figures.lost().is_some()
            || self.in_flight.borrow().is_empty()
                && self.waiting_from.get() == u64::MAX
                && self.withheld.borrow().is_empty()
                && self.rounds.borrow().is_empty()
    }

    /// Models that are to sleep once they are saved.
    pub(crate) fn sleepy(&self) -> usize {
        let in_flight: usize = self.in_flight.borrow().iter().map(|flight| flight.sleepy.len()).sum();
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
        if !self.parked.borrow().has(tenant.0 as usize) {
            self.dirty.borrow_mut().mark(tenant, offset, second);
        }
    }

    fn is_dirty(&self, place: usize) -> bool {
        self.dirty.borrow().has(place) || self.parked.borrow().has(place)
    }

    /// Takes a place's mark away; answers the offset.
    fn unmark(&self, place: usize) -> Option<u64> {
        let parked = self.parked.borrow_mut().unmark(place);
        let dirty = self.dirty.borrow_mut().unmark(place);
        parked.into_iter().chain(dirty).min()
    }

    /// No save is for a model for the present; the journal is held for it from `offset` on, or its mark.
    pub(crate) fn park(&self, tenant: Tenant, offset: u64) {
        let marked = self.unmark(tenant.0 as usize).unwrap_or(u64::MAX);
        if offset.min(marked) < u64::MAX {
            self.parked.borrow_mut().mark(tenant, offset.min(marked), 0);
        }
    }

    /// Saves are for a model again.
    pub(crate) fn unpark(&self, tenant: Tenant) {
        let offset = self.parked.borrow_mut().unmark(tenant.0 as usize);
        if let Some(offset) = offset {
            self.dirty.borrow_mut().mark(tenant, offset, 0);
        }
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
        let unread = known.is_none() && form != NO_STATE;
        let written_under = if unread { Some(self.read_plan(plan)?) } else { known };
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
    fn read_plan(&self, fingerprint: u64) -> Result<Arc<MonitorPlan>, String> {
        let own = Arc::clone(self.plans.borrow().own());
        let read = kept(&mut **self.reader.borrow_mut(), fingerprint, &own);
        let read = read.map_err(|error| error.to_string())?;
        self.plans.borrow_mut().remember(fingerprint, Arc::clone(&read));
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
