//! `cargo xtask deny`: licences and sources of the dependencies by `deny.toml`, where cargo-deny is installed.

use crate::Outcome;
use crate::cargo::Call;

pub(crate) fn run() -> Outcome {
    if !Call::new("deny --version").works() {
        println!("cargo-deny is not installed; nothing was checked");
        return Ok(());
    }
    Call::new("deny check bans licenses sources").run()
}
