//! Copies the journal and the outbox while the server writes them, so that nothing is cut before it was seen.

use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex};

use visu_tility::monitoring::{ModelId, Timestamp};
use visu_tility::store::journal::{EntryValue, JournalEntry, JournalNames, JournalReader};
use visu_tility::store::{OutboxQuery, SqliteStore, StoreReader, StoredAction};

/// How far the witness has come, for who waits for it.
#[derive(Default)]
pub(super) struct Seen {
    /// The first offset that was not seen, and whether the witness looks on.
    next: Mutex<(u64, bool)>,
    moved: Condvar,
}

impl Seen {
    /// Waits until all before an offset was seen, or nobody looks any more.
    pub(super) fn wait_for(&self, offset: u64) {
        let next = self.next.lock().unwrap();
        drop(self.moved.wait_while(next, |(next, looks)| *looks && *next < offset).unwrap());
    }

    /// The witness looks on, or does so no more.
    pub(super) fn set(&self, next: u64, looks: bool) {
        *self.next.lock().unwrap() = (next, looks);
        self.moved.notify_all();
    }
}

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    Event { kind: String, version: String, at: Timestamp, value: f64 },
    Tick(Timestamp),
}

pub(super) struct Witness {
    store: PathBuf,
    pub(super) seen: Arc<Seen>,
    /// The first offset that was not seen yet.
    pub(super) next: u64,
    names: JournalNames,
    /// What was seen and not taken away.
    pub(super) entries: Vec<(u64, ModelId, Entry)>,
    posted: u64,
    pub(super) actions: Vec<StoredAction>,
}

impl Witness {
    pub(super) fn new(store: PathBuf) -> Self {
        Self {
            store,
            seen: Arc::default(),
            next: 0,
            names: JournalNames::new(),
            entries: Vec::new(),
            posted: 0,
            actions: Vec::new(),
        }
    }

    pub(super) fn reader(&self) -> Box<dyn StoreReader> {
        SqliteStore::open_reader(&self.store).unwrap()
    }

    /// Copies whenever it is told that there is more, until nobody holds the other end.
    pub(super) fn follow(&mut self, more: &Receiver<()>) {
        let mut reader = self.reader();
        while more.recv().is_ok() {
            while more.try_recv().is_ok() {}
            self.copy(&mut *reader);
            self.seen.set(self.next, true);
        }
        self.seen.set(self.next, false);
    }

    /// Copies what is new.
    pub(super) fn copy(&mut self, reader: &mut dyn StoreReader) {
        loop {
            let pieces = reader.journal(self.next, 1 << 20).unwrap();
            if pieces.is_empty() {
                break;
            }
            for piece in &pieces {
                assert!(
                    piece.first_offset <= self.next,
                    "the journal was cut at {} before it was seen from {} on",
                    piece.first_offset,
                    self.next
                );
                let journal = self.names.read(piece).unwrap();
                for (offset, entry) in journal.entries().filter(|(offset, _)| *offset >= self.next) {
                    let (name, entry) = read(&journal, entry);
                    self.entries.push((offset, name, entry));
                }
                self.next = piece.end();
            }
        }
        loop {
            let query = OutboxQuery { after: self.posted, limit: 1_000, ..OutboxQuery::default() };
            let page = reader.outbox(&query).unwrap();
            let Some(last) = page.last() else { return };
            self.posted = last.number;
            self.actions.extend(page);
        }
    }
}

fn read(journal: &JournalReader<'_>, entry: JournalEntry) -> (ModelId, Entry) {
    match entry {
        JournalEntry::Event { name, at, value: EntryValue::Number(value) } => {
            let name = &journal.names()[name];
            let (version, kind) = name.series.as_ref().unwrap();
            let (version, kind) = (version.as_str().to_owned(), kind.to_string());
            (name.model.clone(), Entry::Event { kind, version, at, value })
        }
        JournalEntry::Tick { name, now } => (journal.names()[name].model.clone(), Entry::Tick(now)),
        other => panic!("nobody sent {other:?}"),
    }
}
