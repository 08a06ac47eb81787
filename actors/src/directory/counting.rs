//! How many models are known: those here and those in the store, each once, through retirements and shards that begin again.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use visu_tility_core::ModelId;

use super::{Directory, ModelEntry};
use crate::admission::Standing;

impl Directory {
    /// Takes note that a retirement is journaled: until it is kept, the store still shows what the model was.
    pub(crate) fn leave(&self, id: &ModelId) {
        *self.leaving.lock().entry(id.clone()).or_default() += 1;
    }

    /// Takes note that a retirement is kept.
    pub(crate) fn left(&self, id: &ModelId) {
        let mut leaving = self.leaving.lock();
        self.departures.fetch_add(1, Ordering::AcqRel);
        if let Some(times) = leaving.get_mut(id) {
            *times -= 1;
            if *times == 0 {
                leaving.remove(id);
            }
        }
    }

    /// Whether what the store shows of a name is gone.
    pub(crate) fn is_leaving(&self, id: &ModelId) -> bool {
        self.leaving.lock().contains_key(id)
    }

    /// Retirements that were kept: what was read of the store before one of them may be of no use.
    pub(crate) fn departures(&self) -> u64 {
        self.departures.load(Ordering::Acquire)
    }

    /// Takes note of whether the store knows a model that the journal names, which may or may not wake it.
    pub(crate) fn looked_up(&self, entry: &ModelEntry, stored: bool) {
        self.stand(entry, stored, if stored { Standing::Stored } else { Standing::New });
    }

    /// Takes note of whether the store knew a model that wakes, which says whether it is counted there.
    pub(crate) fn recalled(&self, entry: &ModelEntry, stored: bool) {
        self.stand(entry, stored, Standing::Settled);
    }

    fn stand(&self, entry: &ModelEntry, stored: bool, becomes: Standing) {
        let mut standing = entry.standing.lock();
        match (*standing, stored) {
            (Some(Standing::New | Standing::Renewed), true) => self.uncount(),
            (Some(Standing::Stored | Standing::Unsettled), false) => self.count(),
            (Some(Standing::Counted), _) => return,
            _ => {}
        }
        *standing = standing.and(Some(becomes));
    }

    /// Takes note that a model is none that is counted: nothing came of it, or its end, which the journal repeats, is in the
    /// store already.
    pub(crate) fn disown(&self, entry: &ModelEntry) {
        if matches!(entry.standing.lock().take(), Some(Standing::New | Standing::Renewed)) {
            self.uncount();
        }
    }

    pub(super) fn count(&self) {
        self.models.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn uncount(&self) {
        let less = |models: u64| Some(models.saturating_sub(1));
        let _ = self.models.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Takes note that nobody of a shard is awake; places of those that were retired are given away. They count until the
    /// shard is sent their end again: answers their names, as far as they do.
    pub(crate) fn begin_again(&self, shard: usize) -> BTreeSet<ModelId> {
        let Some(places) = self.places.get(shard) else { return BTreeSet::new() };
        let entries: Vec<_> = {
            let places = places.read();
            places.entries.iter().filter_map(|place| place.entry.clone()).collect()
        };
        let mut ended = BTreeSet::new();
        for entry in entries {
            entry.awake.store(false, Ordering::Release);
            entry.asleep_until.store(i64::MAX, Ordering::Relaxed);
            if entry.is_retired() {
                let standing = entry.standing.lock().take();
                if !matches!(standing, None | Some(Standing::Stored | Standing::Unsettled)) {
                    ended.insert(entry.id.clone());
                }
                self.free(&entry);
            }
        }
        ended
    }

    /// Takes note that the end of another one by a model's name was sent again.
    pub(crate) fn ends_as_another(&self, entry: &ModelEntry) {
        let mut standing = entry.standing.lock();
        if standing.is_some() {
            self.uncount();
        }
        if *standing == Some(Standing::Counted) {
            // Nobody has named it since.
            *standing = Some(Standing::Unsettled);
        }
    }
}
