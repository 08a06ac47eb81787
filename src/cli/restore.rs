//! `visu-tility restore`: a copy put where `serve` looks for its store.

use visu_tility::store::SqliteStore;

use super::args::RestoreArgs;
use super::backup::STORE;
use super::{Failure, Outcome, say};

/// Restores a store.
pub(crate) fn run(args: &RestoreArgs) -> Result<Outcome, Failure> {
    let (copy, folder) = (args.copy.display(), &args.data_dir);
    // Asked first, so that no folder is made for a copy that is none.
    SqliteStore::open_reader(&args.copy).map_err(|error| Failure::at(&copy, error))?;
    std::fs::create_dir_all(folder).map_err(|error| Failure::at(folder.display(), error))?;
    let store = folder.join(STORE);
    let held = SqliteStore::restore(&args.copy, &store).map_err(|error| Failure::at(&copy, error))?;
    say(|out| {
        writeln!(
            out,
            "restored to {}: {} models, journal from offset {} to {}",
            store.display(),
            held.models,
            held.first_offset,
            held.next_offset
        )
    })?;
    Ok(Outcome::Done)
}
