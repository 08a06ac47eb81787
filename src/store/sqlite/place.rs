//! Whether the store's files are still those that were opened.
//!
//! A file that is removed or replaced while it is open goes on taking commits, which are gone with the process. So each
//! commit looks, after it is synced and before it is acknowledged, whether its files are where they were: a call of the
//! system for each of three files, beside a sync.

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
        let mut log = store.as_os_str().to_owned();
        log.push("-wal");
        let files = [store.to_owned(), PathBuf::from(log), Lock::path_of(store)];
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
