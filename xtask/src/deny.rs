//! `cargo xtask deny`: licences and sources of the dependencies by `deny.toml`, which cargo-deny checks; it is installed
//! where it is missing.

use crate::Outcome;
use crate::cargo::Call;

pub(crate) fn run() -> Outcome {
    if !Call::new("deny --version").works() {
        let install = Call::new("install --locked cargo-deny");
        if install.run().is_err() {
            // Without a network: what the other gates say is true all the same.
            println!("NOT CHECKED: cargo-deny is not there and could not be installed");
            return Ok(());
        }
    }
    Call::new("deny check bans licenses sources").run()
}
