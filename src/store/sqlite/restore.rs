//! A copy put where a store is to be.

use std::path::Path;

use visu_tility_core::store::{StoreError, StoreReader, StoreSummary};

use super::lock::Lock;
use super::place;
use super::read::SqliteReader;

pub(super) fn restore(copy: &Path, to: &Path) -> Result<StoreSummary, StoreError> {
    let mut reader = SqliteReader::open(copy)?;
    // Nobody opens a store there until it is whole.
    let (mut lock, _) = Lock::take(to)?;
    // An empty log, and an index to none, are what a store leaves that was closed.
    let there = if to.exists() { Some(to.to_owned()) } else { place::log_of(to) };
    if let Some(there) = there {
        let detail = format!("`{}` is there already: move it away, with what is beside it", there.display());
        return Err(StoreError::io(format!("restore to `{}`", to.display()), &detail));
    }
    let tally = reader.check()?;
    reader.backup(to)?;
    // The counts are those of the copy from now on: fewer than were acknowledged, if it replaces a later store.
    lock.witness(tally.commits);
    SqliteReader::open(to)?.summary()
}
