//! Whether the store's files belong together, and whether they are still those that were opened.
//!
//! A file that is removed or replaced while it is open goes on taking commits, which are gone with the process. So each
//! commit looks, after it is synced and before it is acknowledged, whether its files are where they were: a call of the
//! system for each of three files, beside a sync.
//!
//! `SQLite` takes whatever log lies beside a file for the file's own. Where a copy was put over a store that had not been
//! closed, that undoes the copy, or makes one file of two: so a log is looked at before it is opened.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use visu_tility_core::store::StoreError;

use super::lock::Lock;

/// The store, its log and its lock, and which files they are.
#[derive(Debug)]
pub(super) struct Place {
    files: [(PathBuf, Option<Identity>); 3],
}

/// What tells a file from another at the same path: device and number.
type Identity = (u64, u64);

impl Place {
    /// Takes note of the files of a store that has been opened and written to.
    pub(super) fn of(store: &Path) -> Self {
        let files = [store.to_owned(), beside(store, "-wal"), Lock::path_of(store)];
        Self { files: files.map(|path| (path.clone(), identity(&path))) }
    }

    /// Looks whether they are where they were.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Corrupt`] when one is gone or another: nothing helps but to put it back and start again.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        for (path, known) in &self.files {
            if identity(path) != *known {
                let detail =
                    "it was removed, moved or replaced while the store was open; put it back and start again";
                return Err(StoreError::corrupt(path.display().to_string(), detail));
            }
        }
        Ok(())
    }
}

/// A file beside a store.
pub(super) fn beside(store: &Path, ending: &str) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// The log beside a store, if commits may be in it.
pub(super) fn log_of(store: &Path) -> Option<PathBuf> {
    let log = beside(store, "-wal");
    log.metadata().is_ok_and(|file| file.len() > 0).then_some(log)
}

/// Refuses a log that is not the file's own.
///
/// A store says in its head that it has a log before it has one, and a copy of ours says that it has none
/// (<https://sqlite.org/fileformat2.html>, 1.3.3: the file format's write version, at byte 18, is 2 with a log).
///
/// # Errors
///
/// Fails with [`StoreError::Corrupt`], which says what to do.
pub(super) fn refuse_foreign_log(store: &Path) -> Result<(), StoreError> {
    // In this order: a writer that begins a log meanwhile has changed the head before.
    let Some(log) = log_of(store) else { return Ok(()) };
    let mut head = [0; 19];
    let read = File::open(store).and_then(|mut file| file.read(&mut head));
    let is_foreign = match read {
        Ok(0) => true,
        Ok(_) => head.starts_with(b"SQLite format 3\0") && head.last() == Some(&1),
        // Said where it is opened.
        Err(_) => false,
    };
    if !is_foreign {
        return Ok(());
    }
    let detail = format!(
        "the write-ahead log `{}` beside it is another store's: a copy was put over a store that had not been closed; move \
         all four files away (`{1}`, `{1}-wal`, `{1}-shm`, `{1}.lock`) and restore the copy into an empty folder",
        log.display(),
        store.display()
    );
    Err(StoreError::corrupt(store.display().to_string(), &detail))
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    path.metadata().ok().map(|file| (file.dev(), file.ino()))
}

/// Elsewhere an open file cannot be removed.
#[cfg(not(unix))]
fn identity(_: &Path) -> Option<Identity> {
    None
}
