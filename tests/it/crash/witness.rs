//! Copies the journal and the outbox while the server writes them, so that nothing is cut before it was seen.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use visu_tility::monitoring::{ModelId, Timestamp};
use visu_tility::store::journal::{EntryValue, JournalEntry, JournalNames, JournalReader};
use visu_tility::store::{OutboxQuery, SqliteStore, StoreReader, StoredAction};

/// How often it looks.
const EVERY: Duration = Duration::from_millis(2);

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    Event { kind: String, version: String, at: Timestamp, value: f64 },
    Tick(Timestamp),
}

pub(super) struct Witness {
    store: PathBuf,
    /// What `next` is, for who runs beside.
    pub(super) seen: Arc<AtomicU64>,
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

    /// Copies until nobody holds the other end.
    pub(super) fn follow(&mut self, stopped: &Receiver<()>) {
        let mut reader = self.reader();
        while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            self.copy(&mut *reader);
        }
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
                self.seen.store(self.next, Ordering::SeqCst);
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
