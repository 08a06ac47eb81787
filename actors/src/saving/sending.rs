//! Hands states, actions and dead letters to the ledger, in saves of a bounded size, and takes note of what has reached the
//! store.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use visu_tility_core::store::{ModelChange, Snapshot};
use visu_tility_core::{ActionRecord, ModelId};

use crate::cell::ModelCell;
use crate::saving::save::acting;
use crate::saving::{BYTES_MAX, Extent, STATES_MAX, Save, Saving};
use crate::shard_state::Shard;
use crate::slab::CLEAN;
use crate::status::{DrainReport, SnapshotRound, UnkeptSnapshot};
use crate::timers::Tenant;

/// What is on its way to the store.
pub(super) struct InFlight {
    pub(super) number: u64,
    /// The first offset that is needed if it does not get there.
    pub(super) low: u64,
    /// Models that are to sleep once it is there, if nothing came for them.
    pub(super) sleepy: Vec<Rc<ModelCell>>,
    /// Models whose states go with actions, with the first offset that the states before do not hold.
    pub(super) acting: Vec<(ModelId, Tenant, u64)>,
}

/// Somebody who waits until all is saved.
pub(super) struct Round {
    /// The last save that it is about.
    number: u64,
    counts: SnapshotRound,
    /// States that the store had refused before.
    refused: u64,
    reply: oneshot::Sender<SnapshotRound>,
}

/// A save that is being put together.
#[derive(Default)]
struct Parcel {
    models: Vec<ModelChange>,
    bytes: usize,
    /// Its states' marks.
    marks: Vec<(Tenant, u64)>,
}

impl Parcel {
    fn add(&mut self, snapshot: Snapshot, tenant: Tenant, offset: u64) {
        self.bytes += snapshot.state.len();
        self.models.push(ModelChange::Keep(snapshot));
        self.marks.push((tenant, offset));
    }

    fn is_full(&self) -> bool {
        self.models.len() >= STATES_MAX || self.bytes >= BYTES_MAX
    }
}

impl Shard {
    /// Saves what is to be saved, unless a save is on its way.
    pub(crate) fn save_some(self: &Rc<Self>, extent: Extent) {
        let Some(saving) = self.saving.as_ref().filter(|_| !self.is_fenced()) else { return };
        self.collect_saved();
        if !saving.in_flight.borrow().is_empty() && extent != Extent::All {
            return;
        }
        self.choose(saving, extent);
        drop(self.send_saves(saving));
        self.reach(saving.position.get());
    }

    /// Saves all; the answer comes when it is in the store.
    pub(crate) fn save_all(self: &Rc<Self>, reply: oneshot::Sender<SnapshotRound>) {
        let Some(saving) = &self.saving else { return };
        self.collect_saved();
        let refused = self.dock.refused.load(Ordering::Acquire);
        self.choose(saving, Extent::All);
        let round = self.send_saves(saving);
        let number = saving.number.get();
        saving.rounds.borrow_mut().push(Round { number, counts: round, refused, reply });
        self.collect_saved();
        self.reach(saving.position.get());
    }

    /// Writes the states of the models that were picked, and sends them with what waits: in one save, unless they are too
    /// many or too large for one.
    fn send_saves(self: &Rc<Self>, saving: &Saving) -> SnapshotRound {
        let mut round = SnapshotRound::default();
        self.withhold(saving);
        let mut urgent = saving.urgent.take();
        urgent.sort_unstable();
        urgent.dedup();
        let mut parcel = Parcel { models: saving.forgotten.take(), ..Parcel::default() };
        let mut records = saving.records.take();
        let low = saving.waiting_from.replace(u64::MAX);
        // Who began anew under a name goes into one save with the end of who had it before.
        let ended: BTreeSet<ModelId> = parcel.models.iter().map(|change| change.model().clone()).collect();
        if !ended.is_empty() {
            let renewed = |cell: Rc<ModelCell>| ended.contains(&cell.entry.id);
            urgent.sort_by_key(|tenant| !self.cell(tenant.0 as usize).is_some_and(renewed));
        }
        for tenant in urgent {
            let cell = self.cell(tenant.0 as usize).filter(|cell| cell.generation == tenant.1);
            let Some(cell) = cell.filter(|cell| !cell.is_aside()) else { continue };
            if saving.withheld.borrow().holds(&cell.entry.id) {
                saving.park(tenant, u64::MAX);
                continue;
            }
            // Without it the mark stays, and the journal with it.
            let Some(snapshot) = self.snapshot_of(saving, &cell, &mut round) else { continue };
            let offset = saving.unmark(tenant.0 as usize).unwrap_or(u64::MAX);
            cell.head(|head| head.touched.set(head.touched.get() | CLEAN));
            self.mark_held(&cell);
            parcel.add(snapshot, tenant, offset);
            if parcel.is_full() && !ended.contains(&cell.entry.id) {
                let parcel = std::mem::take(&mut parcel);
                let own = take_own(&mut records, &parcel.models);
                self.send(saving, parcel, own, low);
            }
        }
        if !parcel.models.is_empty() || !records.is_empty() || !saving.letters.borrow().is_empty() {
            self.send(saving, parcel, records, low);
        }
        saving.let_sleep();
        round
    }

    /// Sends one save; the journal is needed from `low` on for what has no mark.
    fn send(&self, saving: &Saving, parcel: Parcel, records: Vec<ActionRecord>, low: u64) {
        let number = saving.number.get() + 1;
        saving.number.set(number);
        let low = parcel.marks.iter().map(|(_, offset)| *offset).fold(low, u64::min);
        let Parcel { models, marks, .. } = parcel;
        let acting = acting_states(&models, &marks, &records, low);
        let flight = InFlight { number, low, sleepy: Vec::new(), acting };
        saving.in_flight.borrow_mut().push_back(flight);
        let cause = saving.position.get().saturating_sub(1);
        let (shard, epoch, letters) = (self.index, self.dock.epoch, saving.letters.take());
        saving.inbox.save(Save { shard, epoch, number, models, records, cause, letters, ..Save::default() });
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
        self.announce();
        let mut flights = Vec::new();
        {
            let mut in_flight = saving.in_flight.borrow_mut();
            while in_flight.front().is_some_and(|flight| flight.number <= saved) {
                flights.extend(in_flight.pop_front());
            }
        }
        if !flights.is_empty() {
            // What was returned of a save that is not yet there comes with it.
            let mut returned = self.dock.returned.lock();
            let returned: Vec<_> = returned.extract_if(.., |returned| returned.number <= saved).collect();
            if returned.is_empty() {
                saving.withheld.borrow_mut().accepted();
            } else {
                self.take_back(saving, &flights, returned);
            }
            for cell in flights.into_iter().flat_map(|flight| flight.sleepy) {
                self.fall_asleep(&cell);
            }
            self.reach(saving.position.get());
        }
        saving.graves.borrow_mut().retain(|_, number| *number > saved);
        let lost = saving.figures.lost();
        saving.answer_mourners(&self.dock, saved, lost);
        self.answer_rounds(saving, saved, lost.is_some());
    }

    /// Answers those whose saves are in the store, or never get there.
    fn answer_rounds(&self, saving: &Saving, saved: u64, lost: bool) {
        let mut rounds = saving.rounds.borrow_mut();
        for Round { number, counts: mut round, refused, reply } in
            rounds.extract_if(.., |round| round.number <= saved || lost)
        {
            let unsaved = if number > saved {
                round.kept
            } else {
                self.dock.refused.load(Ordering::Acquire).saturating_sub(refused).min(round.kept)
            };
            round.kept -= unsaved;
            round.failed += unsaved;
            let withheld = saving.withheld.borrow().len() as u64;
            round.failed += withheld;
            let room = DrainReport::UNKEPT_MAX.saturating_sub(round.unkept.len());
            round.unkept.extend(saving.withheld.borrow().models().take(room).map(|model| UnkeptSnapshot {
                model_id: model.clone(),
                observer: None,
                reason: "the outbox has no room for its actions".to_owned(),
            }));
            let _ = reply.send(round);
        }
    }
}

impl Saving {
    /// Has those sleep who are to, once the last save is there that was sent.
    fn let_sleep(&self) {
        let mut sleepy = self.sleepy.borrow_mut();
        let withheld = self.withheld.borrow();
        if let Some(flight) = self.in_flight.borrow_mut().back_mut() {
            flight.sleepy.extend(sleepy.extract_if(.., |cell| !withheld.holds(&cell.entry.id)));
        } else {
            sleepy.retain(|cell| withheld.holds(&cell.entry.id));
        }
    }
}

/// Takes the records out that belong to some states, in their order.
fn take_own(records: &mut Vec<ActionRecord>, models: &[ModelChange]) -> Vec<ActionRecord> {
    if records.is_empty() {
        return Vec::new();
    }
    let own: BTreeSet<&ModelId> = models.iter().map(ModelChange::model).collect();
    records.extract_if(.., |record| own.contains(&record.id.model_id)).collect()
}

/// The states of a save that go with actions.
fn acting_states(
    models: &[ModelChange],
    marks: &[(Tenant, u64)],
    records: &[ActionRecord],
    low: u64,
) -> Vec<(ModelId, Tenant, u64)> {
    let acting = acting(records);
    if acting.is_empty() {
        return Vec::new();
    }
    let kept = models.iter().filter(|change| matches!(change, ModelChange::Keep(_)));
    let states = kept.zip(marks).filter(|(change, _)| acting.contains(change.model()));
    states.map(|(change, (tenant, offset))| (change.model().clone(), *tenant, (*offset).min(low))).collect()
}
