//! What can go wrong between a program and its store.

use std::path::PathBuf;

use thiserror::Error;

use super::commit::Refusal;

/// A store could not do what it was asked.
///
/// | error | the commit | try the same again | what helps |
/// |---|---|---|---|
/// | `Refused` | not there | no | a fault of the caller |
/// | `Full` | not there | yes, later | deliver, take snapshots and truncate; or a larger limit |
/// | `DiskFull` | not there | yes, later | room on the disk |
/// | `ReadOnly` | not there | no | rights to the file and its folder |
/// | `Corrupt` | not there | no | a backup |
/// | `Newer` | not opened | no | the release that wrote it, or a newer one |
/// | `Foreign` | not opened | no | another path |
/// | `Locked` | not opened | yes, later | stop the other process |
/// | `Unsupported` | - | no | another store |
/// | `Io` | in doubt: whole or not at all after the next opening | yes | depends on what is said |
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The commit is not one that a store may take.
    #[error("the commit was refused: {0}")]
    Refused(#[from] Refusal),
    /// A limit of the store is reached.
    #[error("limit `{limit}` of {max} would be exceeded: {wanted} are asked for")]
    Full {
        /// The setting's name in [`StoreLimits`](super::StoreLimits).
        limit: &'static str,
        /// What it would come to.
        wanted: u64,
        /// What is allowed.
        max: u64,
    },
    /// The medium has no room left.
    #[error("no room is left on the disk: {detail}")]
    DiskFull {
        /// What the medium said.
        detail: String,
    },
    /// The store may be read but not written.
    #[error("`{path}` cannot be written: {detail}", path = path.display())]
    ReadOnly {
        /// Which file.
        path: PathBuf,
        /// What the medium said.
        detail: String,
    },
    /// What was read cannot be what was written.
    #[error("{what} is damaged: {detail}")]
    Corrupt {
        /// What: the file, a table, the snapshot of a model, the journal at an offset.
        what: String,
        /// How that was seen.
        detail: String,
    },
    /// A newer release wrote it.
    #[error("the store has form {found}, this release reads up to form {known}")]
    Newer {
        /// The form found.
        found: u32,
        /// The newest that this release reads.
        known: u32,
    },
    /// The file is something else.
    #[error("`{path}` is not a store: {detail}", path = path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What was found instead.
        detail: String,
    },
    /// Another writer has it.
    #[error("`{path}` is in use by {}", holder(*pid), path = path.display())]
    Locked {
        /// Which file.
        path: PathBuf,
        /// The process that has it, when that is known.
        pid: Option<u32>,
    },
    /// This implementation cannot do it.
    #[error("this store cannot do it: {0}")]
    Unsupported(&'static str),
    /// The medium failed.
    #[error("{doing}: {detail}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the medium said.
        detail: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed later without a new opening.
    pub const fn can_retry(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::DiskFull { .. } | Self::Locked { .. } | Self::Io { .. })
    }

    /// Whether a commit that failed so may be found after the next opening all the same.
    pub const fn is_in_doubt(&self) -> bool {
        matches!(self, Self::Io { .. })
    }

    /// Builds the error for damage.
    pub fn corrupt(what: impl Into<String>, detail: &(impl ToString + ?Sized)) -> Self {
        Self::Corrupt { what: what.into(), detail: detail.to_string() }
    }

    /// Builds the error for a medium that failed.
    pub fn io(doing: impl Into<String>, detail: &(impl ToString + ?Sized)) -> Self {
        Self::Io { doing: doing.into(), detail: detail.to_string() }
    }
}

/// Names the process that holds a lock.
fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("another process (pid {pid})"))
}
