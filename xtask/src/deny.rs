//! `cargo xtask deny`: licences and sources of the dependencies by `deny.toml`, which cargo-deny checks.

use crate::cargo::Call;
use crate::{Failure, Outcome};

/// How cargo-deny comes onto a machine.
const INSTALL: &str = "cargo install --locked cargo-deny";

pub(crate) fn run() -> Outcome {
    if !Call::new("deny --version").works() {
        // A gate that checks nothing would pass for one that has found nothing.
        return Err(Failure::new("cargo-deny is not installed, nothing was checked", INSTALL));
    }
    Call::new("deny check bans licenses sources").run()
}
