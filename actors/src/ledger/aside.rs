//! Models that a watchdog put aside, and from which entry of the journal on, as a named value of the store.
//!
//! The entry on which an observer did not come back stands in the journal; a replay that showed it to that observer again
//! would not come back either. So what is written here goes with its own commit before anybody takes the shard over.

use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use visu_tility_core::store::{Commit, StoreError, StoreReader};
use visu_tility_core::{Deed, ModelId};

/// The named value that holds them, as JSON.
const NAME: &str = "put-aside";
/// The most that are remembered; the oldest gives way.
const ASIDES_MAX: usize = 1_024;

/// What an observer did not come back from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum From {
    Observe,
    Write,
    Begin,
}

/// One model that was put aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Aside {
    model: String,
    /// The entry that was being handled.
    offset: u64,
    /// The entry that reset or retired it.
    until: Option<u64>,
    from: From,
    observer: Option<String>,
}

impl Aside {
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

/// Those that were put aside, for the shards to look into.
#[derive(Default)]
pub(crate) struct Book(RwLock<Arc<[Aside]>>);

impl Book {
    fn all(&self) -> Arc<[Aside]> {
        Arc::clone(&self.0.read())
    }

    /// Whether a model is not to be shown an entry, since its observer did not come back from that; with the observer.
    pub(crate) fn holds(&self, model: &ModelId, offset: u64) -> Option<Held> {
        let all = self.all();
        let here = |aside: &&Aside| {
            aside.from == From::Observe && aside.offset == offset && aside.model == model.as_str()
        };
        all.iter().find(here).map(|aside| Held { observer: aside.observer.as_deref().map(Arc::from) })
    }

    /// Whether a model is to have no observers at an entry, since one did not come back from writing or reading its state.
    pub(crate) fn shuts(&self, model: &ModelId, offset: u64) -> bool {
        let all = self.all();
        all.iter().any(|aside| {
            let until = aside.until.unwrap_or(u64::MAX);
            aside.model == model.as_str()
                && match aside.from {
                    From::Observe => false,
                    From::Write => offset < until,
                    // What resets it must not wake it either.
                    From::Begin => offset <= until,
                }
        })
    }
}

/// The ledger's side of it.
pub(crate) struct Asides {
    kept: Vec<Aside>,
    /// What it is going to be once the present commit is there.
    staged: Option<Vec<Aside>>,
    pub(crate) book: Arc<Book>,
}

impl Asides {
    pub(crate) fn read(reader: &mut dyn StoreReader) -> Result<Self, StoreError> {
        let kept: Vec<Aside> = match reader.value(NAME)? {
            Some(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| StoreError::corrupt(NAME, &error))?
            }
            None => Vec::new(),
        };
        let book = Arc::new(Book(RwLock::new(kept.clone().into())));
        Ok(Self { kept, staged: None, book })
    }

    /// Has a model put aside with the commit.
    pub(crate) fn add(&mut self, aside: &Aside) {
        let list = self.staged.get_or_insert_with(|| self.kept.clone());
        if list.len() >= ASIDES_MAX {
            list.remove(0);
        }
        if !list.contains(aside) {
            list.push(aside.clone());
        }
    }

    /// Has a model let in again from an entry on.
    pub(crate) fn lift(&mut self, model: &ModelId, offset: u64) {
        let of_model = |aside: &Aside| aside.until.is_none() && aside.model == model.as_str();
        if !self.staged.as_ref().unwrap_or(&self.kept).iter().any(of_model) {
            return;
        }
        let list = self.staged.get_or_insert_with(|| self.kept.clone());
        for aside in list.iter_mut().filter(|aside| of_model(aside)) {
            aside.until = Some(offset);
        }
    }

    /// Puts what has changed into the commit, without those that no replay comes to any more.
    pub(crate) fn enter(&mut self, truncated: u64, commit: &mut Commit) {
        let Some(list) = &mut self.staged else { return };
        list.retain(|aside| match aside.from {
            From::Observe => aside.offset >= truncated,
            From::Write | From::Begin => aside.until.is_none_or(|until| until >= truncated),
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
    fn who_was_put_aside_is_known_to_the_next_process_until_no_replay_comes_to_it() {
        let disk = MemoryDisk::new();
        let (mut store, _) = disk.open(StoreLimits::default()).unwrap();
        let mut asides = Asides::read(&mut *store.reader().unwrap()).unwrap();
        let (a, b) = (ModelId::new("a").unwrap(), ModelId::new("b").unwrap());
        asides.add(&Aside::new(&a, 7, Deed::Observe, Some("own")));
        asides.add(&Aside::new(&b, 9, Deed::Begin, None));
        let mut commit = Commit::default();
        asides.enter(0, &mut commit);
        store.commit(&commit).unwrap();
        asides.keep();
        let mut again = Asides::read(&mut *store.reader().unwrap()).unwrap();
        assert_eq!(again.kept, asides.kept);
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
