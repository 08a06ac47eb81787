//! `cargo xtask fuzz`: the fuzz targets compile. To run one: `cargo install cargo-fuzz`, then `cargo +nightly fuzz run NAME`
//! in the folder above its `fuzz`.
//!
//! Each calls what an ordinary test calls with edits of its own, so the gate need not run them. They stand outside the
//! workspace, where no other gate sees them.

use crate::Outcome;
use crate::cargo::Call;
use crate::workspace::Workspace;

/// Folders with targets: of events, of journals, plans and snapshots of models, of states of detectors.
const FOLDERS: [&str; 3] = ["fuzz", "core/fuzz", "drift/fuzz"];

pub(crate) fn run() -> Outcome {
    // Not in the folder of the rest: other features would be built in turns.
    let target = Workspace::read()?.target.join("fuzz").display().to_string();
    for folder in FOLDERS {
        // What is only checked is not linked, so libFuzzer need not be there and no C++ compiler either.
        Call::new("check --quiet --locked --manifest-path")
            .word(format!("{folder}/Cargo.toml"))
            .word("--target-dir")
            .word(&*target)
            .env("CUSTOM_LIBFUZZER_PATH", "/not-linked/libfuzzer.a")
            .run()?;
    }
    Ok(())
}
