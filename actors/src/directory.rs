//! The names of all models, interned once: from a name to where the model lives.

mod entry;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use visu_tility_core::{IngestError, ModelId};

use crate::admission::{AdmissionStatus, Gate, Standing};
use crate::routed::Address;

mod counting;
mod passage;

pub(crate) use entry::ModelEntry;
use passage::Passages;
pub(crate) use passage::{Passage, Pins};

/// Who holds a model that may be evicted: the list of names, its place, and who evicts it.
const EVICTED_BY: usize = 3;
/// Parts of the table, each under a lock of its own.
const PARTS: usize = 16;

/// The places of one shard.
#[derive(Default)]
struct Places {
    entries: Vec<Place>,
    /// Places of models that are gone, with the generation that the next tenant gets. The lowest is given away first, so
    /// that what shards keep by place grows only with those that are there at a time.
    free: BinaryHeap<Reverse<(u32, u32)>>,
}

/// One place of a shard.
#[derive(Default)]
struct Place {
    entry: Option<Arc<ModelEntry>>,
    /// The generation whose events are journaled; `None` while there is none, or its model was retired.
    takes: Option<u32>,
    /// With a store: the offset after the last event of the place that was written to the journal.
    written: AtomicU64,
    /// With a store: the last passage that has an event of the place.
    passage: AtomicU64,
}

impl Places {
    /// Lets the next tenant have a model's place; answers who is gone if it was there.
    fn give_away(&mut self, entry: &ModelEntry) -> Option<Arc<ModelEntry>> {
        let place = self.entries.get_mut(entry.address.place())?;
        let gone = place.entry.take_if(|at| at.token() == entry.token())?;
        place.takes = None;
        self.free.push(Reverse((entry.address.place() as u32, entry.generation.wrapping_add(1))));
        Some(gone)
    }
}

/// All places, while events are written to the journal: nobody loses or gets one meanwhile. Nothing else of the directory
/// may be asked while this is held.
pub(crate) struct PlacesHeld<'a>(Vec<RwLockReadGuard<'a, Places>>);

impl PlacesHeld<'_> {
    /// Whether a model's events are journaled at a place. If so the model keeps it until the entry with this offset is
    /// handled.
    #[inline]
    pub(crate) fn keep(&self, address: Address, generation: u32, offset: u64) -> bool {
        let Some(place) = self.takes(address, generation) else { return false };
        place.written.store(offset + 1, Ordering::Relaxed);
        true
    }

    /// The place of a model whose events are journaled.
    #[inline]
    fn takes(&self, address: Address, generation: u32) -> Option<&Place> {
        let place = self.0.get(address.shard())?.entries.get(address.place())?;
        (place.takes == Some(generation)).then_some(place)
    }
}

/// All models by name and by place; shared by every thread.
pub(crate) struct Directory {
    hasher: DefaultHashBuilder,
    parts: [RwLock<HashTable<Arc<ModelEntry>>>; PARTS],
    places: Vec<RwLock<Places>>,
    /// Models that are known: those here, and with a store those that sleep there.
    models: AtomicU64,
    pub(crate) gate: Gate,
    series_max: usize,
    /// With a store: names whose retirement is journaled and not yet kept, and how often each.
    leaving: Mutex<BTreeMap<ModelId, u32>>,
    /// Retirements that were kept.
    departures: AtomicU64,
    /// How often events of a place ceased to be taken.
    unlistings: AtomicU64,
    /// With a store: events without names that are on their way to their models.
    passages: Arc<Passages>,
}

impl Directory {
    /// `stored` is how many models the store knows.
    pub(crate) fn new(shards: usize, gate: Gate, series_max: usize, stored: u64) -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            parts: std::array::from_fn(|_| RwLock::new(HashTable::new())),
            places: (0..shards).map(|_| RwLock::default()).collect(),
            models: AtomicU64::new(stored),
            gate,
            series_max,
            leaving: Mutex::default(),
            departures: AtomicU64::new(0),
            unlistings: AtomicU64::new(0),
            passages: Arc::default(),
        }
    }

    /// Reads a known model's entry without keeping it.
    pub(crate) fn with<T>(&self, id: &str, read: impl FnOnce(&Arc<ModelEntry>) -> T) -> Option<T> {
        let hash = self.hasher.hash_one(id);
        let part = self.part(hash).read();
        part.find(hash, |entry| entry.id.as_str() == id).map(read)
    }

    /// A model's entry, made on the first call for its name, whoever it is: it was admitted before.
    pub(crate) fn insert_again(
        &self,
        id: &ModelId,
        standing: Standing,
    ) -> Result<Arc<ModelEntry>, IngestError> {
        self.insert(id, Arc::clone, |_| Ok(standing))
    }

    /// Reads a model's entry, made on the first call for its name if it is admitted.
    pub(crate) fn with_or_insert<T>(
        &self,
        id: &ModelId,
        read: impl FnOnce(&Arc<ModelEntry>) -> T,
    ) -> Result<T, IngestError> {
        self.insert(id, read, |id| self.gate.decide(id, self.len() < self.gate.models_max))
    }

    fn insert<T>(
        &self,
        id: &ModelId,
        read: impl FnOnce(&Arc<ModelEntry>) -> T,
        decide: impl FnOnce(&ModelId) -> Result<Standing, IngestError>,
    ) -> Result<T, IngestError> {
        let hash = self.hasher.hash_one(id.as_str());
        {
            let part = self.part(hash).read();
            if let Some(entry) = part.find(hash, |entry| entry.id == *id) {
                return Ok(read(entry));
            }
        }
        // Without a lock: it may ask the store.
        let standing = decide(id)?;
        let mut part = self.part(hash).write();
        if let Some(entry) = part.find(hash, |entry| entry.id == *id) {
            self.gate.unsettled(standing);
            return Ok(read(entry));
        }
        let entry = self.settle(id, standing).inspect_err(|_| self.gate.unsettled(standing))?;
        let seen = read(&entry);
        part.insert_unique(hash, entry, |entry| self.hasher.hash_one(entry.id.as_str()));
        Ok(seen)
    }

    /// The most series that a model's names are kept of.
    pub(crate) const fn series_max(&self) -> usize {
        self.series_max
    }

    /// Who lives at a place.
    pub(crate) fn at(&self, address: Address) -> Option<Arc<ModelEntry>> {
        self.places.get(address.shard())?.read().entries.get(address.place())?.entry.clone()
    }

    /// Holds all places.
    pub(crate) fn hold_places(&self) -> PlacesHeld<'_> {
        PlacesHeld(self.places.iter().map(RwLock::read).collect())
    }

    /// Forgets a model; its place is given to another one with the next generation.
    pub(crate) fn remove(&self, entry: &ModelEntry) {
        self.unlist(entry);
        if entry.standing.lock().take().is_some() {
            self.uncount();
        }
        self.free(entry);
    }

    /// Takes a model's name off the list, so that who names it next means another one. It keeps its place, and counts until it is
    /// removed.
    pub(crate) fn unlist(&self, entry: &ModelEntry) {
        entry.retired.store(true, Ordering::Release);
        if let Some(places) = self.places.get(entry.address.shard())
            && let Some(place) = places.write().entries.get_mut(entry.address.place())
            && place.takes == Some(entry.generation)
        {
            place.takes = None;
            self.unlistings.fetch_add(1, Ordering::Release);
        }
        let hash = self.hasher.hash_one(entry.id.as_str());
        let same = |found: &Arc<ModelEntry>| found.token() == entry.token();
        if let Ok(found) = self.part(hash).write().find_entry(hash, same) {
            drop(found.remove());
        }
    }

    /// Lets go of a sleeping model's name and place if nobody but its shard holds them, none of its events is under way,
    /// and all that were journaled are handled, which are those before `handled`: whoever names it next gets it a place, and its state from
    /// the store.
    pub(crate) fn evict(&self, entry: &Arc<ModelEntry>, handled: u64) {
        let hash = self.hasher.hash_one(entry.id.as_str());
        let mut part = self.part(hash).write();
        let Ok(found) = part.find_entry(hash, |found| found.token() == entry.token()) else { return };
        // Under the lock nobody gets hold of it: the list, its place and who evicts it have it.
        if Arc::strong_count(found.get()) <= EVICTED_BY && self.free_if(entry, handled) {
            drop(found.remove());
            // Who never woke is in no store.
            self.disown(entry);
        }
    }

    /// Evicts those of a shard that sleep and that nobody holds: who was only looked at, or was held when it fell asleep.
    /// Looks at `count` places from `from` on; answers where to go on.
    pub(crate) fn sweep(&self, shard: usize, from: usize, count: usize, handled: u64) -> usize {
        let Some(places) = self.places.get(shard) else { return 0 };
        let (idle, end) = {
            let places = places.read();
            let from = from.min(places.entries.len());
            let slots = places.entries.get(from..).unwrap_or_default().iter().take(count);
            let idle = |entry: &&Arc<ModelEntry>| {
                !entry.awake.load(Ordering::Acquire) && Arc::strong_count(entry) < EVICTED_BY
            };
            let idle: Vec<_> = slots.filter_map(|place| place.entry.as_ref()).filter(idle).cloned().collect();
            (idle, from + count >= places.entries.len())
        };
        for entry in &idle {
            self.evict(entry, handled);
        }
        if end { 0 } else { from + count }
    }

    /// Gives a model's place to whoever comes next.
    fn free(&self, entry: &ModelEntry) {
        let Some(places) = self.places.get(entry.address.shard()) else { return };
        let mut places = places.write();
        let Some(place) = places.entries.get(entry.address.place()) else { return };
        let passage = place.passage.load(Ordering::Relaxed);
        if let Some(gone) = places.give_away(entry) {
            self.passages.keep(passage, gone);
        }
    }

    /// As [`Directory::free`], unless an event of the place is under way, or one was journaled that is not
    /// before `handled`.
    fn free_if(&self, entry: &ModelEntry, handled: u64) -> bool {
        let Some(places) = self.places.get(entry.address.shard()) else { return false };
        let mut places = places.write();
        let Some(place) = places.entries.get(entry.address.place()) else { return false };
        if place.written.load(Ordering::Relaxed) > handled
            || self.passages.is_needed(place.passage.load(Ordering::Relaxed))
        {
            return false;
        }
        drop(places.give_away(entry));
        true
    }

    /// Names of all models, sorted.
    pub(crate) fn ids(&self) -> Vec<ModelId> {
        self.ids_after(None, usize::MAX)
    }

    /// The first names after `after`, at most `limit`, sorted. Looks at all of them, keeps no more than it answers.
    pub(crate) fn ids_after(&self, after: Option<&ModelId>, limit: usize) -> Vec<ModelId> {
        let mut first = BinaryHeap::new();
        for part in &self.parts {
            for entry in part.read().iter().filter(|entry| after.is_none_or(|after| entry.id > *after)) {
                if first.len() < limit {
                    first.push(entry.id.clone());
                } else if let Some(mut last) = first.peek_mut()
                    && entry.id < *last
                {
                    *last = entry.id.clone();
                }
            }
        }
        first.into_sorted_vec()
    }

    /// The shard that a model of this name lives on.
    pub(crate) fn shard_of(&self, id: &str) -> usize {
        shard_of(id, self.places.len())
    }

    /// How many models are known, those that sleep in the store too.
    pub(crate) fn len(&self) -> u64 {
        self.models.load(Ordering::Relaxed)
    }

    /// How many of them have a place in memory.
    pub(crate) fn places_taken(&self) -> u64 {
        let taken = |places: &RwLock<Places>| {
            let places = places.read();
            places.entries.len().saturating_sub(places.free.len()) as u64
        };
        self.places.iter().map(taken).sum()
    }

    /// Who is taken and who is not.
    pub(crate) fn admission(&self) -> AdmissionStatus {
        self.gate.status(self.len())
    }

    fn part(&self, hash: u64) -> &RwLock<HashTable<Arc<ModelEntry>>> {
        // Bits from the middle: the table uses the lowest and the highest.
        let [first, ..] = &self.parts;
        self.parts.get((hash >> 40) as usize % PARTS).unwrap_or(first)
    }

    /// Gives a model its place.
    fn settle(&self, id: &ModelId, standing: Standing) -> Result<Arc<ModelEntry>, IngestError> {
        let shard = shard_of(id.as_str(), self.places.len());
        let Some(places) = self.places.get(shard) else { return Err(IngestError::Closed) };
        let mut places = places.write();
        let max = self.gate.models_max;
        if standing == Standing::New {
            let one_more = |models: u64| (models < max).then_some(models + 1);
            if self.models.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
                return Err(self.gate.full(id, "models_max", max));
            }
        }
        let (place, generation) = match places.free.pop() {
            Some(Reverse(free)) => free,
            None if places.entries.len() < Address::PLACES_MAX as usize => {
                places.entries.push(Place::default());
                (places.entries.len() as u32 - 1, 0)
            }
            None => {
                if standing == Standing::New {
                    self.uncount();
                }
                return Err(self.gate.full(id, "models per arbiter", u64::from(Address::PLACES_MAX)));
            }
        };
        match standing {
            Standing::New => self.gate.settled(),
            Standing::Renewed => self.count(),
            _ => {}
        }
        let entry = Arc::new(ModelEntry {
            id: id.clone(),
            address: Address::new(shard as u8, place),
            generation,
            retired: AtomicBool::new(false),
            awake: AtomicBool::new(false),
            asleep_until: AtomicI64::new(i64::MAX),
            standing: Mutex::new(Some(standing)),
            names: Mutex::new(Vec::new()),
            kept_plan: Mutex::new(None),
        });
        if let Some(place) = places.entries.get_mut(place as usize) {
            (place.entry, place.takes) = (Some(Arc::clone(&entry)), Some(generation));
        }
        Ok(entry)
    }
}

/// The shard of a model: FNV-1a 32 of its name modulo the number of shards, the same in every run.
fn shard_of(id: &str, shards: usize) -> usize {
    let hash =
        id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash as usize % shards.max(1)
}

#[cfg(test)]
mod tests {
    use visu_tility_core::{MetricKind, Version};

    use super::*;
    use crate::admission::AdmissionPolicy;

    fn id(name: &str) -> ModelId {
        ModelId::new(name).unwrap()
    }

    fn directory(shards: usize, models_max: u64, series_max: usize) -> Directory {
        Directory::new(shards, Gate::new(AdmissionPolicy::Open, models_max, 0, None), series_max, 0)
    }

    #[test]
    fn a_name_keeps_its_place_and_a_retired_place_gets_a_new_generation() {
        let directory = directory(1, 10, 4);
        let first = directory.with_or_insert(&id("a"), Arc::clone).unwrap();
        assert!(Arc::ptr_eq(&first, &directory.with_or_insert(&id("a"), Arc::clone).unwrap()));
        directory.remove(&first);
        assert!(first.is_retired() && directory.with("a", |_| ()).is_none());
        let second = directory.with_or_insert(&id("b"), Arc::clone).unwrap();
        assert_eq!((second.address, second.generation), (first.address, first.generation + 1));
        directory.remove(&first);
        assert_eq!(directory.len(), 1);
    }

    #[test]
    fn a_model_keeps_its_place_while_an_event_of_it_is_journaled_and_not_handled() {
        let directory = directory(1, 10, 4);
        let entry = directory.with_or_insert(&id("a"), Arc::clone).unwrap();
        let (address, generation) = (entry.address, entry.generation);
        assert!(directory.hold_places().keep(address, generation, 7));
        assert!(!directory.hold_places().keep(address, generation + 1, 8));
        // The list, its place, and here in place of its cell.
        directory.evict(&entry, 7);
        assert_eq!(directory.with("a", |known| Arc::ptr_eq(known, &entry)), Some(true));
        let held = Arc::clone(&entry);
        directory.evict(&entry, 8);
        assert!(directory.with("a", |_| ()).is_some(), "somebody else holds it");
        drop(held);
        directory.evict(&entry, 8);
        assert!(directory.with("a", |_| ()).is_none() && directory.at(address).is_none());
        assert!(!directory.hold_places().keep(address, generation, 9));
        let next = directory.with_or_insert(&id("b"), Arc::clone).unwrap();
        assert_eq!((next.address, next.generation), (address, generation + 1));
        assert!(directory.hold_places().keep(address, generation + 1, 9));
        directory.unlist(&next);
        assert!(!directory.hold_places().keep(address, generation + 1, 10), "it was retired");
    }

    #[test]
    fn who_sleeps_unheld_is_swept_out_and_the_lowest_place_is_given_away_first() {
        let directory = directory(1, 10, 4);
        let held = directory.with_or_insert(&id("held"), Arc::clone).unwrap();
        for name in ["a", "b", "c", "d"] {
            directory.with_or_insert(&id(name), |_| ()).unwrap();
        }
        directory.with("c", |entry| entry.awake.store(true, Ordering::Release)).unwrap();
        assert_eq!(directory.sweep(0, 0, 3, 0), 3);
        assert_eq!(directory.ids(), [id("c"), id("d"), id("held")]);
        assert_eq!(directory.sweep(0, 3, 3, 0), 0);
        assert_eq!(directory.ids(), [id("c"), id("held")]);
        let next = directory.with_or_insert(&id("e"), Arc::clone).unwrap();
        assert_eq!((next.address.place(), next.generation, held.address.place()), (1, 1, 0));
    }

    #[test]
    fn pages_of_names_are_sorted_and_none_is_left_out() {
        let directory = directory(2, 1_000, 4);
        let mut names: Vec<ModelId> = (0..100).map(|n| id(&format!("m{}", n * 37 % 100))).collect();
        for name in &names {
            directory.with_or_insert(name, |_| ()).unwrap();
        }
        names.sort();
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = directory.ids_after(after.as_ref(), 7);
            let Some(last) = page.last() else { break };
            after = Some(last.clone());
            paged.extend(page);
        }
        assert_eq!((&paged, directory.ids()), (&names, names.clone()));
    }

    #[test]
    fn models_are_bounded_with_refusals_counted_and_names_are_bounded() {
        let directory = directory(4, 2, 1);
        for name in ["a", "b"] {
            directory.with_or_insert(&id(name), |_| ()).unwrap();
        }
        let error = directory.with_or_insert(&id("c"), |_| ()).unwrap_err();
        assert_eq!(error, IngestError::Limit { limit: "models_max".into(), max: 2 });
        assert_eq!((directory.len(), directory.admission().refused()), (2, 1));
        let entry = directory.with("a", Arc::clone).unwrap();
        let version = Version::unversioned();
        let learn = |kind, now| entry.learn(&version, &kind, directory.series_max(), now);
        let key = learn(MetricKind::F1, Some(100)).unwrap();
        assert_eq!(entry.names(key), Some((version.clone(), MetricKind::F1)));
        // What was used lately does not give way.
        learn(MetricKind::F1, Some(150)).unwrap();
        assert!(matches!(learn(MetricKind::Recall, Some(209)), Err(IngestError::Limit { max: 1, .. })));
        let newer = learn(MetricKind::Recall, Some(210)).unwrap();
        assert_eq!(
            (entry.names(key), entry.names(newer)),
            (None, Some((version.clone(), MetricKind::Recall)))
        );
    }
}
