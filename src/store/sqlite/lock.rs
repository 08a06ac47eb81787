//! The file beside the store: a lock, the process that holds it, and how many commits were acknowledged.
//!
//! The count is a witness that stands outside the database. It is written after the commit was synced, so it is never
//! ahead of the truth; it is not synced itself, so it may be behind. A store that holds fewer commits than its witness
//! saw has lost some: a write-ahead log that was cut or removed looks to SQLite like one that ended there.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use visu_tility_core::store::StoreError;

use super::fault;

/// A lock that is held while this lives. The file stays: removing it would let two processes hold two locks.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pid: Option<u32>,
    /// How many commits were acknowledged.
    pub(super) commits: u64,
}

impl Lock {
    /// Where the lock of a store is.
    pub(super) fn path_of(store: &Path) -> PathBuf {
        let mut path = store.as_os_str().to_owned();
        path.push(".lock");
        path.into()
    }

    /// Takes the lock, and answers what its last holder left in it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] when it is held, with the holder's process id.
    pub(super) fn take(store: &Path) -> Result<(Self, Words), StoreError> {
        let path = Self::path_of(store);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(|error| fault::of_file("open", &path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { path: store.into(), pid: Words::read(&mut file).pid });
            }
            Err(TryLockError::Error(error)) => return Err(fault::of_file("lock", &path, &error)),
        }
        let words = Words::read(&mut file);
        let mut lock = Self { file };
        // From now on a process that is kept out is told by whom.
        lock.witness(words.commits);
        Ok((lock, words))
    }

    /// Notes who holds the store and how many commits were acknowledged. That it failed changes nothing but what a later
    /// opening can tell, so nobody is told.
    pub(super) fn witness(&mut self, commits: u64) {
        let words = format!("pid {:>10}\nacknowledged commits {commits:>20}\n", std::process::id());
        let _written = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.write_all(words.as_bytes()));
    }
}

impl Words {
    /// Reads the words; what is not there or not readable says nothing.
    fn read(file: &mut File) -> Self {
        let mut bytes = [0; 128];
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read(&mut bytes)).unwrap_or(0);
        let text = std::str::from_utf8(bytes.get(..read).unwrap_or_default()).unwrap_or_default();
        let after = |word: &str| text.lines().find_map(|line| line.strip_prefix(word)).map(str::trim);
        Self {
            pid: after("pid ").and_then(|pid| pid.parse().ok()),
            commits: after("acknowledged commits ").and_then(|count| count.parse().ok()).unwrap_or(0),
        }
    }
}
