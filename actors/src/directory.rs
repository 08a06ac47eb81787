//! The names of all models, interned once: from a name to where the model lives.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::{Mutex, RwLock};
use visu_tility_core::{IngestError, MetricKind, ModelId, MonitorPlan, SeriesKey, Version};

use crate::routed::{Address, token};

/// Who holds a model that may be evicted: the list of names, its place, its cell.
const EVICTED_BY: usize = 3;
/// Parts of the table, each under a lock of its own.
const PARTS: usize = 16;

/// One model's place, and the names that its series keys stand for.
pub(crate) struct ModelEntry {
    pub(crate) id: ModelId,
    pub(crate) address: Address,
    pub(crate) generation: u32,
    retired: AtomicBool,
    /// Whether its monitor is in memory.
    pub(crate) awake: AtomicBool,
    /// When the timer of a sleeping model goes off; `i64::MAX` when it is awake or has none.
    pub(crate) asleep_until: AtomicI64,
    names: Mutex<Vec<(SeriesKey, Version, MetricKind)>>,
    /// The plan under which its snapshot was written, when that was in this process.
    kept_plan: Mutex<Option<Arc<MonitorPlan>>>,
}

impl ModelEntry {
    /// Keeps the names that a key stands for, so that the shard can ask when it meets the key first.
    ///
    /// At most `max` are kept; the oldest gives way, as it does in the monitor. Two pairs of names with one
    /// key (64 bits of hash) are not mixed: the later one is refused.
    pub(crate) fn learn(
        &self,
        version: &Version,
        kind: &MetricKind,
        max: usize,
    ) -> Result<SeriesKey, IngestError> {
        let key = SeriesKey::of(version, kind);
        let mut names = self.names.lock();
        if let Some((_, known_version, known_kind)) = names.iter().find(|(known, ..)| *known == key) {
            if known_version == version && known_kind == kind {
                return Ok(key);
            }
            return Err(IngestError::Limit { limit: "one version and kind per key".into(), max: 1 });
        }
        if names.len() >= max.max(1) {
            names.remove(0);
        }
        names.reserve_exact(1);
        names.push((key, version.clone(), kind.clone()));
        Ok(key)
    }

    /// Works with the names that a key stands for, without a copy.
    pub(crate) fn with_names<T>(
        &self,
        key: SeriesKey,
        work: impl FnOnce(&Version, &MetricKind) -> T,
    ) -> Option<T> {
        let names = self.names.lock();
        names.iter().find(|(known, ..)| *known == key).map(|(_, version, kind)| work(version, kind))
    }

    /// The names that a key stands for.
    pub(crate) fn names(&self, key: SeriesKey) -> Option<(Version, MetricKind)> {
        self.with_names(key, |version, kind| (version.clone(), kind.clone()))
    }

    /// The plan under which its snapshot was written; `None` when that is not known.
    pub(crate) fn kept_plan(&self) -> Option<Arc<MonitorPlan>> {
        self.kept_plan.lock().clone()
    }

    pub(crate) fn keep_plan(&self, plan: Option<Arc<MonitorPlan>>) {
        *self.kept_plan.lock() = plan;
    }

    /// Its place and tenancy, as one number.
    pub(crate) const fn token(&self) -> u64 {
        token(self.address, self.generation)
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

/// The places of one shard.
#[derive(Default)]
struct Places {
    entries: Vec<Option<Arc<ModelEntry>>>,
    /// Places of retired models, with the generation that the next tenant gets.
    free: Vec<(u32, u32)>,
}

/// All models by name and by place; shared by every thread.
pub(crate) struct Directory {
    hasher: DefaultHashBuilder,
    parts: [RwLock<HashTable<Arc<ModelEntry>>>; PARTS],
    places: Vec<RwLock<Places>>,
    models: AtomicU64,
    models_max: u64,
    series_max: usize,
    refused: AtomicU64,
}

impl Directory {
    pub(crate) fn new(shards: usize, models_max: u64, series_max: usize) -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            parts: std::array::from_fn(|_| RwLock::new(HashTable::new())),
            places: (0..shards).map(|_| RwLock::default()).collect(),
            models: AtomicU64::new(0),
            models_max,
            series_max,
            refused: AtomicU64::new(0),
        }
    }

    /// Reads a known model's entry without keeping it.
    pub(crate) fn with<T>(&self, id: &str, read: impl FnOnce(&Arc<ModelEntry>) -> T) -> Option<T> {
        let hash = self.hasher.hash_one(id);
        let part = self.part(hash).read();
        part.find(hash, |entry| entry.id.as_str() == id).map(read)
    }

    /// A model's entry, made on the first call for its name, however many there are: it was admitted before.
    pub(crate) fn insert_again(&self, id: &ModelId) -> Result<Arc<ModelEntry>, IngestError> {
        self.insert(id, u64::MAX, Arc::clone)
    }

    /// Reads a model's entry, made on the first call for its name.
    pub(crate) fn with_or_insert<T>(
        &self,
        id: &ModelId,
        read: impl FnOnce(&Arc<ModelEntry>) -> T,
    ) -> Result<T, IngestError> {
        self.insert(id, self.models_max, read)
    }

    fn insert<T>(
        &self,
        id: &ModelId,
        models_max: u64,
        read: impl FnOnce(&Arc<ModelEntry>) -> T,
    ) -> Result<T, IngestError> {
        let hash = self.hasher.hash_one(id.as_str());
        {
            let part = self.part(hash).read();
            if let Some(entry) = part.find(hash, |entry| entry.id == *id) {
                return Ok(read(entry));
            }
        }
        let mut part = self.part(hash).write();
        if let Some(entry) = part.find(hash, |entry| entry.id == *id) {
            return Ok(read(entry));
        }
        let entry = self.settle(id, models_max)?;
        let seen = read(&entry);
        part.insert_unique(hash, entry, |entry| self.hasher.hash_one(entry.id.as_str()));
        Ok(seen)
    }

    /// The shard of a model.
    pub(crate) fn shard_of(&self, id: &ModelId) -> usize {
        shard_of(id.as_str(), self.places.len())
    }

    /// Takes note that nobody of a shard is awake; places of those that were retired are given away.
    pub(crate) fn begin_again(&self, shard: usize) {
        let Some(places) = self.places.get(shard) else { return };
        let entries: Vec<_> = places.read().entries.iter().flatten().cloned().collect();
        for entry in entries {
            entry.awake.store(false, Ordering::Release);
            entry.asleep_until.store(i64::MAX, Ordering::Relaxed);
            if entry.is_retired() {
                self.free(&entry);
            }
        }
    }

    /// The most series that a model's names are kept of.
    pub(crate) const fn series_max(&self) -> usize {
        self.series_max
    }

    /// Who lives at a place.
    pub(crate) fn at(&self, address: Address) -> Option<Arc<ModelEntry>> {
        self.places.get(address.shard())?.read().entries.get(address.place())?.clone()
    }

    /// Forgets a model; its place is given to another one with the next generation.
    pub(crate) fn remove(&self, entry: &ModelEntry) {
        self.unlist(entry);
        self.free(entry);
    }

    /// Takes a model's name off the list, so that who names it next means another one. It keeps its place.
    pub(crate) fn unlist(&self, entry: &ModelEntry) {
        entry.retired.store(true, Ordering::Release);
        let hash = self.hasher.hash_one(entry.id.as_str());
        let same = |found: &Arc<ModelEntry>| found.token() == entry.token();
        if let Ok(found) = self.part(hash).write().find_entry(hash, same) {
            drop(found.remove());
        }
    }

    /// Lets go of a sleeping model's name and place if nobody but its shard holds them: whoever names it next gets it a
    /// place, and its state from the store.
    pub(crate) fn evict(&self, entry: &Arc<ModelEntry>) {
        let hash = self.hasher.hash_one(entry.id.as_str());
        let mut part = self.part(hash).write();
        let Ok(found) = part.find_entry(hash, |found| found.token() == entry.token()) else { return };
        // Under the lock nobody gets hold of it: the list, its place and its cell have it.
        if Arc::strong_count(found.get()) <= EVICTED_BY {
            drop(found.remove());
            self.free(entry);
        }
    }

    /// Gives a model's place to whoever comes next.
    fn free(&self, entry: &ModelEntry) {
        let Some(places) = self.places.get(entry.address.shard()) else { return };
        let mut places = places.write();
        let slot = places.entries.get_mut(entry.address.place());
        if let Some(slot) = slot.filter(|slot| slot.as_ref().is_some_and(|at| at.token() == entry.token())) {
            *slot = None;
            places.free.push((entry.address.place() as u32, entry.generation.wrapping_add(1)));
            self.models.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Names of all models, sorted.
    pub(crate) fn ids(&self) -> Vec<ModelId> {
        let mut ids: Vec<ModelId> = self
            .parts
            .iter()
            .flat_map(|part| part.read().iter().map(|entry| entry.id.clone()).collect::<Vec<_>>())
            .collect();
        ids.sort_unstable();
        ids
    }

    /// How many models are known.
    pub(crate) fn len(&self) -> u64 {
        self.models.load(Ordering::Relaxed)
    }

    /// How many events were refused because `models_max` was reached.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn part(&self, hash: u64) -> &RwLock<HashTable<Arc<ModelEntry>>> {
        // Bits from the middle: the table uses the lowest and the highest.
        let [first, ..] = &self.parts;
        self.parts.get((hash >> 40) as usize % PARTS).unwrap_or(first)
    }

    /// Gives a new model its place.
    fn settle(&self, id: &ModelId, models_max: u64) -> Result<Arc<ModelEntry>, IngestError> {
        let limit = |limit: &str, max: u64| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            IngestError::Limit { limit: limit.into(), max }
        };
        let counted = self
            .models
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < models_max).then_some(n + 1));
        if counted.is_err() {
            return Err(limit("models_max", self.models_max));
        }
        let shard = shard_of(id.as_str(), self.places.len());
        let Some(places) = self.places.get(shard) else { return Err(IngestError::Closed) };
        let mut places = places.write();
        let (place, generation) = match places.free.pop() {
            Some(free) => free,
            None if places.entries.len() < Address::PLACES_MAX as usize => {
                places.entries.push(None);
                (places.entries.len() as u32 - 1, 0)
            }
            None => {
                self.models.fetch_sub(1, Ordering::Relaxed);
                return Err(limit("models per arbiter", u64::from(Address::PLACES_MAX)));
            }
        };
        let entry = Arc::new(ModelEntry {
            id: id.clone(),
            address: Address::new(shard as u8, place),
            generation,
            retired: AtomicBool::new(false),
            awake: AtomicBool::new(false),
            asleep_until: AtomicI64::new(i64::MAX),
            names: Mutex::new(Vec::new()),
            kept_plan: Mutex::new(None),
        });
        if let Some(slot) = places.entries.get_mut(place as usize) {
            *slot = Some(Arc::clone(&entry));
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
    use super::*;

    fn id(name: &str) -> ModelId {
        ModelId::new(name).unwrap()
    }

    #[test]
    fn a_name_keeps_its_place_and_a_retired_place_gets_a_new_generation() {
        let directory = Directory::new(1, 10, 4);
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
    fn models_are_bounded_with_refusals_counted_and_names_are_bounded() {
        let directory = Directory::new(4, 2, 1);
        for name in ["a", "b"] {
            directory.with_or_insert(&id(name), |_| ()).unwrap();
        }
        let error = directory.with_or_insert(&id("c"), |_| ()).unwrap_err();
        assert_eq!(error, IngestError::Limit { limit: "models_max".into(), max: 2 });
        assert_eq!((directory.len(), directory.refused()), (2, 1));
        let entry = directory.with("a", Arc::clone).unwrap();
        let version = Version::unversioned();
        let key = entry.learn(&version, &MetricKind::F1, directory.series_max()).unwrap();
        assert_eq!(entry.names(key), Some((version.clone(), MetricKind::F1)));
        let newer = entry.learn(&version, &MetricKind::Recall, directory.series_max()).unwrap();
        assert_eq!((entry.names(key), entry.names(newer)), (None, Some((version, MetricKind::Recall))));
    }
}
