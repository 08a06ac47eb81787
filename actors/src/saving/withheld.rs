//! Actions that the outbox has no room for: they wait at their shard, and so do the states that they go with.
//!
//! Events go on meanwhile, and models that have not acted are saved. The journal is held from the last states of those that
//! wait on, so its own bound is the bound of all this. What is refused is tried again with one model, then with one action of
//! it and without its state, so that no model has more actions than there is ever room for; then when entries of the outbox
//! were settled. As long as there is room there are twice as many models the next time.

use std::collections::BTreeSet;

use visu_tility_core::store::{LetterEntry, ModelChange};
use visu_tility_core::{ActionRecord, ModelId};

use crate::saving::save::{Returned, acting};
use crate::saving::sending::InFlight;
use crate::saving::{LETTERS_MAX, Saving, is_posted};
use crate::shard_state::Shard;

/// The number of a save that is not known yet.
const SOME_DAY: u64 = u64::MAX;

/// What waits, and for what.
pub(super) struct Withheld {
    /// In the order in which each model's were made.
    records: Vec<ActionRecord>,
    /// Retirements that go with records.
    forgotten: Vec<ModelChange>,
    /// The latest of their dead letters, no more than may wait for a save.
    letters: Vec<LetterEntry>,
    models: BTreeSet<ModelId>,
    /// The first offset that is needed for what has no mark.
    low: u64,
    /// How often there had been more room when something was refused last.
    refused_at: Option<u64>,
    /// Models that are tried together the next time; 0 stands for one action.
    at_a_time: usize,
    /// Those that are being tried; `usize::MAX` for what has not been refused before.
    tried: usize,
}

impl Default for Withheld {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            forgotten: Vec::new(),
            letters: Vec::new(),
            models: BTreeSet::new(),
            low: u64::MAX,
            refused_at: None,
            at_a_time: 1,
            tried: usize::MAX,
        }
    }
}

impl Withheld {
    pub(super) fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// How many models wait.
    pub(super) fn len(&self) -> usize {
        self.models.len()
    }

    pub(super) const fn low(&self) -> u64 {
        self.low
    }

    pub(super) fn models(&self) -> impl Iterator<Item = &ModelId> {
        self.models.iter()
    }

    pub(super) fn holds(&self, model: &ModelId) -> bool {
        self.models.contains(model)
    }

    /// Takes what has waited for longest out: some models with all that is theirs, which it answers, or one action.
    fn release(
        &mut self,
        records: &mut Vec<ActionRecord>,
        forgotten: &mut Vec<ModelChange>,
        letters: &mut Vec<LetterEntry>,
    ) -> BTreeSet<ModelId> {
        let mut chosen = BTreeSet::new();
        for record in self.records.iter().filter(|record| is_posted(record)) {
            if chosen.len() < self.at_a_time.max(1) || chosen.contains(&record.id.model_id) {
                chosen.insert(record.id.model_id.clone());
            } else {
                break;
            }
        }
        let own = |record: &ActionRecord| chosen.contains(&record.id.model_id);
        if self.at_a_time == 0
            && self.records.iter().filter(|record| own(record) && is_posted(record)).count() > 1
        {
            let first = self.records.iter().position(|record| own(record) && is_posted(record));
            records.extend(self.records.extract_if(..=first.unwrap_or(0), |record| own(record)));
            chosen.clear();
        } else {
            records.extend(self.records.extract_if(.., |record| own(record)));
            forgotten.extend(self.forgotten.extract_if(.., |change| chosen.contains(change.model())));
            letters.extend(self.letters.extract_if(.., |letter| chosen.contains(&letter.model)));
            self.models.retain(|model| !chosen.contains(model));
        }
        // If there is room for these.
        self.tried = self.at_a_time;
        self.at_a_time = self.at_a_time.saturating_mul(2).max(1);
        chosen
    }

    /// Takes note that what was tried is recorded.
    pub(super) const fn accepted(&mut self) {
        self.tried = usize::MAX;
    }

    /// Takes note that what was tried was refused, when there had been more room so often.
    const fn refused(&mut self, room: u64) {
        self.at_a_time = if self.tried > 1 { 1 } else { 0 };
        // Less than one action cannot be tried.
        self.refused_at = if self.tried == 0 { Some(room) } else { None };
    }
}

impl Shard {
    /// Takes back what the outbox had no room for, of saves that are else in the store.
    pub(super) fn take_back(&self, saving: &Saving, flights: &[InFlight], returned: Vec<Returned>) {
        let mut withheld = saving.withheld.borrow_mut();
        let (mut records, mut forgotten, mut letters) = (Vec::new(), Vec::new(), Vec::new());
        let mut room = None;
        for mut back in returned {
            let flight = flights.iter().find(|flight| flight.number == back.number);
            withheld.low = withheld.low.min(flight.map_or(saving.position.get(), |flight| flight.low));
            for model in acting(&back.records) {
                let states = flight.iter().flat_map(|flight| &flight.acting);
                for (_, tenant, offset) in states.filter(|(of, ..)| *of == model) {
                    // Who lives there now may be another one.
                    if self.cell(tenant.0 as usize).is_some_and(|cell| cell.generation == tenant.1) {
                        saving.park(*tenant, *offset);
                    }
                }
                withheld.models.insert(model);
            }
            saving.put_off(&back.forgotten, back.number);
            records.append(&mut back.records);
            forgotten.append(&mut back.forgotten);
            letters.append(&mut back.letters);
            room = Some(back.room);
        }
        if let Some(room) = room {
            withheld.refused(room);
        }
        // They are older than what waits.
        records.append(&mut withheld.records);
        forgotten.append(&mut withheld.forgotten);
        letters.append(&mut withheld.letters);
        (withheld.records, withheld.forgotten, withheld.letters) = (records, forgotten, letters);
    }

    /// While the outbox is full: keeps what was decided since, and tries a part of what waits when there is more room.
    pub(super) fn withhold(&self, saving: &Saving) {
        let mut withheld = saving.withheld.borrow_mut();
        if withheld.is_empty() {
            return;
        }
        let mut fresh = saving.records.borrow_mut();
        let mut forgotten = saving.forgotten.borrow_mut();
        for model in acting(&fresh) {
            if let Some(tenant) = self.tenant_of(model.as_str()) {
                saving.park(tenant, u64::MAX);
            }
            withheld.models.insert(model);
        }
        let Withheld { records, forgotten: kept, letters, models, .. } = &mut *withheld;
        let mut new_letters = saving.letters.borrow_mut();
        letters.extend(new_letters.extract_if(.., |letter| models.contains(&letter.model)));
        letters.drain(..letters.len().saturating_sub(LETTERS_MAX));
        records.extend(fresh.extract_if(.., |record| models.contains(&record.id.model_id)));
        let wait: Vec<_> = forgotten.extract_if(.., |change| models.contains(change.model())).collect();
        saving.put_off(&wait, saving.number.get() + 1);
        kept.extend(wait);
        withheld.low = withheld.low.min(saving.waiting_from.get());
        if withheld.refused_at == Some(saving.figures.room()) {
            return;
        }
        for model in withheld.release(&mut fresh, &mut forgotten, &mut new_letters) {
            if let Some(tenant) = self.tenant_of(model.as_str()) {
                saving.unpark(tenant);
                saving.urgent.borrow_mut().push(tenant);
            }
        }
        saving.waiting_from.set(saving.waiting_from.get().min(withheld.low));
        saving.take_up(&forgotten, withheld.forgotten.is_empty());
        if withheld.is_empty() {
            withheld.low = u64::MAX;
        }
    }
}

impl Saving {
    /// Retirements are not in the save of that number after all: who waits for it waits on.
    fn put_off(&self, forgotten: &[ModelChange], number: u64) {
        if forgotten.is_empty() {
            return;
        }
        let mut graves = self.graves.borrow_mut();
        graves.extend(forgotten.iter().map(|change| (change.model().clone(), SOME_DAY)));
        for (of, _) in self.mourners.borrow_mut().iter_mut().filter(|(of, _)| *of == number) {
            *of = SOME_DAY;
        }
    }

    /// Retirements are in the next save; `all` that were put off.
    fn take_up(&self, forgotten: &[ModelChange], all: bool) {
        let number = self.number.get() + 1;
        let mut graves = self.graves.borrow_mut();
        graves.extend(forgotten.iter().map(|change| (change.model().clone(), number)));
        for (of, _) in self.mourners.borrow_mut().iter_mut().filter(|(of, _)| all && *of == SOME_DAY) {
            *of = number;
        }
    }
}
