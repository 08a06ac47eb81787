//! Models whose observer did not come back, and from which entry of the journal on, as a named value of the store.
//!
//! The entry on which an observer did not come back stands in the journal; a replay that showed it to that observer again
//! would not come back either. So what is written here goes with its own commit before anybody takes the shard over.

use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use visu_tility_core::store::{Commit, StoreError, StoreReader};
use visu_tility_core::{Deed, ModelId};

/// The named value that holds them, as JSON.
const NAME: &str = "culprits";
/// The most that are remembered; the oldest gives way.
const CULPRITS_MAX: usize = 1_024;

/// What an observer did not come back from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum From {
    Observe,
    Write,
    Begin,
}

/// One model that an observer was stuck in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Culprit {
    model: String,
    /// The entry that was being handled.
    offset: u64,
    /// The entry that reset or retired it.
    until: Option<u64>,
    from: From,
    observer: Option<String>,
}

impl Culprit {
    pub(crate) fn new(model: &ModelId, offset: u64, deed: Deed, observer: Option<&str>) -> Self {
        let from = match deed {
            Deed::Observe => From::Observe,
            Deed::Write => From::Write,
            Deed::Begin => From::Begin,
        };
        Self { model: model.to_string(), offset, until: None, from, observer: observer.map(str::to_owned) }
    }
}

/// An entry that a model is not to be shown.
pub(crate) struct Held {
    /// Who did not come back from it, when that is known.
    pub(crate) observer: Option<Arc<str>>,
}

/// Those models, for the shards to look into.
#[derive(Default)]
pub(crate) struct Book(RwLock<Arc<[Culprit]>>);

impl Book {
    fn all(&self) -> Arc<[Culprit]> {
        Arc::clone(&self.0.read())
    }

    /// Whether a model is not to be shown an entry, since its observer did not come back from that; with the observer.
    pub(crate) fn holds(&self, model: &ModelId, offset: u64) -> Option<Held> {
        let all = self.all();
        let here = |culprit: &&Culprit| {
            culprit.from == From::Observe && culprit.offset == offset && culprit.model == model.as_str()
        };
        all.iter().find(here).map(|culprit| Held { observer: culprit.observer.as_deref().map(Arc::from) })
    }

    /// Whether a model is to have no observers at an entry, since one did not come back from writing or reading its state.
    pub(crate) fn shuts(&self, model: &ModelId, offset: u64) -> bool {
        let all = self.all();
        all.iter().any(|culprit| {
            let until = culprit.until.unwrap_or(u64::MAX);
            culprit.model == model.as_str()
                && match culprit.from {
                    From::Observe => false,
                    From::Write => offset < until,
                    // What resets it must not wake it either.
                    From::Begin => offset <= until,
                }
        })
    }
}

/// The ledger's side of it.
pub(crate) struct Culprits {
    kept: Vec<Culprit>,
    /// What it is going to be once the present commit is there.
    staged: Option<Vec<Culprit>>,
    pub(crate) book: Arc<Book>,
}

impl Culprits {
    pub(crate) fn read(reader: &mut dyn StoreReader) -> Result<Self, StoreError> {
        let kept: Vec<Culprit> = match reader.value(NAME)? {
            Some(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| StoreError::corrupt(NAME, &error))?
            }
            None => Vec::new(),
        };
        let book = Arc::new(Book(RwLock::new(kept.clone().into())));
        Ok(Self { kept, staged: None, book })
    }

    /// Has a model written down with the commit.
    pub(crate) fn add(&mut self, culprit: &Culprit) {
        let list = self.staged.get_or_insert_with(|| self.kept.clone());
        if list.len() >= CULPRITS_MAX {
            list.remove(0);
        }
        if !list.contains(culprit) {
            list.push(culprit.clone());
        }
    }

    /// Has a model let in again from an entry on.
    pub(crate) fn lift(&mut self, model: &ModelId, offset: u64) {
        let of_model = |culprit: &Culprit| culprit.until.is_none() && culprit.model == model.as_str();
        if !self.staged.as_ref().unwrap_or(&self.kept).iter().any(of_model) {
            return;
        }
        let list = self.staged.get_or_insert_with(|| self.kept.clone());
        for culprit in list.iter_mut().filter(|culprit| of_model(culprit)) {
            culprit.until = Some(offset);
        }
    }

    /// Puts what has changed into the commit, without those that no replay comes to any more.
    pub(crate) fn enter(&mut self, truncated: u64, commit: &mut Commit) {
        let Some(list) = &mut self.staged else { return };
        list.retain(|culprit| match culprit.from {
            From::Observe => culprit.offset >= truncated,
            From::Write | From::Begin => culprit.until.is_none_or(|until| until >= truncated),
        });
        let value = serde_json::to_vec(list).ok().filter(|_| !list.is_empty());
        commit.values.push((NAME.to_owned(), value));
    }

    /// The commit is there.
    pub(crate) fn keep(&mut self) {
        if let Some(list) = self.staged.take() {
            *self.book.0.write() = list.clone().into();
            self.kept = list;
        }
    }

    /// The commit failed.
    pub(crate) fn forget(&mut self) {
        self.staged = None;
    }
}

#[cfg(test)]
mod tests {
    use visu_tility_core::store::{MemoryDisk, Store, StoreLimits};

    use super::*;

    #[test]
    fn who_was_stuck_is_known_to_the_next_process_until_no_replay_comes_to_it() {
        let disk = MemoryDisk::new();
        let (mut store, _) = disk.open(StoreLimits::default()).unwrap();
        let mut culprits = Culprits::read(&mut *store.reader().unwrap()).unwrap();
        let (a, b) = (ModelId::new("a").unwrap(), ModelId::new("b").unwrap());
        culprits.add(&Culprit::new(&a, 7, Deed::Observe, Some("own")));
        culprits.add(&Culprit::new(&b, 9, Deed::Begin, None));
        let mut commit = Commit::default();
        culprits.enter(0, &mut commit);
        store.commit(&commit).unwrap();
        culprits.keep();
        let mut again = Culprits::read(&mut *store.reader().unwrap()).unwrap();
        assert_eq!(again.kept, culprits.kept);
        assert_eq!(again.book.holds(&a, 7).unwrap().observer.as_deref(), Some("own"));
        assert!(again.book.holds(&a, 8).is_none() && again.book.holds(&b, 9).is_none());
        assert!(again.book.shuts(&b, 0) && !again.book.shuts(&a, 7));
        again.lift(&b, 20);
        commit.clear();
        again.enter(8, &mut commit);
        again.keep();
        assert!(again.book.holds(&a, 7).is_none(), "the journal begins behind it");
        assert!(again.book.shuts(&b, 20) && !again.book.shuts(&b, 21));
    }
}
