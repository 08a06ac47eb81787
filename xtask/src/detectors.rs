//! `cargo xtask detectors`: measures every detector and writes `docs/detectors.md`.

use std::path::Path;

use crate::cargo::Call;
use crate::{Failure, Outcome};

pub(crate) fn run() -> Outcome {
    let page = Call::new("bench --quiet -p visu-tility-drift --bench page").output()?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/detectors.md");
    std::fs::write(&path, page)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display()), "cargo xtask detectors"))?;
    println!("docs/detectors.md is written; times are of this machine");
    Ok(())
}
