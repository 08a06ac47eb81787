//! `visu-tility backup`: a copy of a store as of one moment.

use std::path::{Path, PathBuf};

use visu_tility::store::SqliteStore;

use super::args::BackupArgs;
use super::{Failure, Outcome, say};

/// The name of the store in the folder that `serve` is given.
pub(super) const STORE: &str = "visu-tility.db";

/// Copies a store.
pub(crate) fn run(args: &BackupArgs) -> Result<Outcome, Failure> {
    let store = store_at(&args.store);
    let failed = |error| Failure::at(store.display(), error);
    let mut reader = SqliteStore::open_reader(&store).map_err(failed)?;
    reader.backup(&args.to).map_err(failed)?;
    let mut copy =
        SqliteStore::open_reader(&args.to).map_err(|error| Failure::at(args.to.display(), error))?;
    let held = copy.summary().map_err(|error| Failure::at(args.to.display(), error))?;
    let bytes = std::fs::metadata(&args.to).map_or(0, |file| file.len());
    say(|out| {
        writeln!(
            out,
            "copied to {}: {bytes} bytes, {} models, journal from offset {} to {}",
            args.to.display(),
            held.models,
            held.first_offset,
            held.next_offset
        )
    })?;
    Ok(Outcome::Done)
}

/// The store's file, when its folder may be meant.
pub(super) fn store_at(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(STORE) } else { path.to_owned() }
}
