//! `cargo xtask tidy`: the house rules over the tree, which are the test `tests/tidy.rs`.

use crate::Outcome;
use crate::cargo::Call;

pub(crate) fn run() -> Outcome {
    // The same selection as the step that runs all tests, so that nothing is built twice.
    // A broken rule is told by its message; a backtrace would bury it.
    Call::new("test --workspace --all-features --quiet --test tidy").env("RUST_BACKTRACE", "0").run()
}
