//! The store in one SQLite file: write-ahead log, a sync for every commit, one writer, readers beside it.
//!
//! - `lock.rs`: the file beside the store that keeps a second process out and witnesses what was acknowledged;
//! - `place.rs`: whether the files are still those that were opened;
//! - `open.rs`: what is asked of a file before anything is written to it;
//! - `schema.rs`: the tables, and how older ones are brought up;
//! - `write.rs`: a commit as one transaction;
//! - `read.rs`: readers, and the copy;
//! - `restore.rs`: a copy put where a store is to be;
//! - `fault.rs`: what SQLite's errors mean.

mod fault;
mod lock;
mod open;
mod place;
mod read;
mod restore;
mod schema;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use visu_tility_core::store::{
    Commit, Committed, Opened, Store, StoreError, StoreLimits, StoreReader, StoreSummary,
};

use lock::Lock;
use place::Place;
use read::SqliteReader;
use schema::Tally;

/// A store in one SQLite file.
///
/// Beside `PATH` there are, while it is open, `PATH-wal` and `PATH-shm`, which SQLite makes and removes, and always
/// `PATH.lock`: it keeps a second process out, names the process that has the store, and counts the commits that were
/// acknowledged, so that a write-ahead log that somebody cut or removed is noticed and not taken for the truth.
///
/// **Durability**: an acknowledged commit outlasts a crash of the process, and a loss of power as far as the disk keeps
/// what it says that it has synced (`synchronous=FULL`: one sync of the log for every commit).
///
/// # Examples
///
/// ```
/// use visu_tility::store::{Commit, JournalPiece, SqliteStore, Store, StoreLimits};
///
/// let folder = std::env::temp_dir().join(format!("visu-tility-doc-{}", std::process::id()));
/// std::fs::create_dir_all(&folder)?;
/// let path = folder.join("monitor.db");
///
/// let (mut store, opened) = SqliteStore::open(&path, StoreLimits::default())?;
/// assert!(opened.new);
/// let piece = JournalPiece { first_offset: 0, entries: 3, bytes: vec![1, 2] };
/// store.commit(&Commit { journal: vec![piece], ..Commit::default() })?;
/// Box::new(store).close()?;
///
/// let (store, opened) = SqliteStore::open(&path, StoreLimits::default())?;
/// assert!(opened.clean);
/// assert_eq!(store.reader()?.summary()?.next_offset, 3);
/// # drop(store);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SqliteStore {
    // Closed before the lock is let go: fields are dropped in this order.
    connection: Connection,
    path: PathBuf,
    limits: StoreLimits,
    tally: Tally,
    place: Place,
    lock: Lock,
}

impl SqliteStore {
    /// Above this size of the file the states of models are left out of the check after an unclean stop: each is checked
    /// against its own sum when it is read.
    pub const CHECK_BYTES_MAX: u64 = 256 << 20;

    /// Opens the store at `path`, or makes one. A store that was not closed cleanly is checked (`PRAGMA quick_check`), one
    /// of an older form is brought up to this release's.
    ///
    /// # Errors
    ///
    /// Nothing is written before all of these have been asked, in this order: [`StoreError::Locked`] when another process,
    /// or this one, has it open; [`StoreError::ReadOnly`]; [`StoreError::Foreign`] when it is another program's file;
    /// [`StoreError::Newer`]; [`StoreError::Corrupt`] when it is damaged, or holds fewer commits than were acknowledged.
    pub fn open(path: impl AsRef<Path>, limits: StoreLimits) -> Result<(Self, Opened), StoreError> {
        open::open(path.as_ref(), limits)
    }

    /// Opens a reader of the store at `path` without keeping its writer out, in this process or another.
    ///
    /// # Errors
    ///
    /// Fails when there is no store, when it is another program's file or of a newer form, or when it cannot be read.
    pub fn open_reader(path: impl AsRef<Path>) -> Result<Box<dyn StoreReader>, StoreError> {
        Ok(Box::new(SqliteReader::open(path.as_ref())?))
    }

    /// Puts a copy ([`StoreReader::backup`]) where a store is to be, and answers what it holds. Copying the file by hand
    /// does as well where nothing is; beside what a store has left behind it does not.
    ///
    /// # Errors
    ///
    /// Fails when a store, or its log, is there already ([`StoreError::Locked`] while a process has it open), or when the
    /// copy is damaged, another program's file or of a newer form. Nothing is there then.
    pub fn restore(copy: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<StoreSummary, StoreError> {
        restore::restore(copy.as_ref(), to.as_ref())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Store for SqliteStore {
    fn commit(&mut self, commit: &Commit) -> Result<Committed, StoreError> {
        if commit.is_empty() {
            return Ok(Committed { next_offset: self.tally.next_offset, posted: Vec::new() });
        }
        let (committed, tally) =
            write::commit(&mut self.connection, &self.path, self.tally, commit, &self.limits)?;
        self.tally = tally;
        self.place.check()?;
        self.lock.witness(tally.commits);
        Ok(committed)
    }

    fn reader(&self) -> Result<Box<dyn StoreReader>, StoreError> {
        Self::open_reader(&self.path)
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        let Self { connection, path, lock, .. } = *self;
        let closed = connection
            .execute_batch("UPDATE tally SET clean = 1; PRAGMA wal_checkpoint(TRUNCATE);")
            .map_err(|error| fault::of("close the store", &path, &error));
        drop(connection);
        drop(lock);
        closed
    }
}
