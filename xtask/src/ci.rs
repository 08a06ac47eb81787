//! `cargo xtask ci [--fast]`: every gate in order, timed; stops at the first that fails.
//!
//! The order is the compile cache's: what only checks comes first (clippy builds the metadata that the
//! documentation reads), then one build of the tests with all features, which tidy, the tests and the examples
//! share, then the tests as a user's defaults build them, then the small selections of single crates.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::cargo::Call;
use crate::{Failure, Outcome, deny, examples, features, fuzz, purity, tidy};

/// How much is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Every gate.
    Whole,
    /// Without the feature matrix.
    Fast,
}

struct Step {
    name: &'static str,
    why: &'static str,
    run: fn() -> Outcome,
}

const STEPS: [Step; 11] = [
    Step { name: "fmt", why: "one form for all", run: fmt },
    Step { name: "clippy", why: "all targets, all features, no warning", run: clippy },
    Step { name: "doc", why: "documentation without a dead link", run: doc },
    Step { name: "tidy", why: "the house rules", run: tidy::run },
    Step { name: "test all features", why: "tests and doc tests, every feature on", run: test_all },
    Step { name: "examples", why: "each prints what it says it prints", run: examples::run },
    Step { name: "test defaults", why: "tests and doc tests, default features", run: test_defaults },
    Step { name: "purity", why: "the lower floors alone", run: purity::run },
    Step { name: "features", why: "every feature of every crate alone", run: features::run },
    Step { name: "fuzz", why: "the fuzz targets compile", run: fuzz::run },
    Step { name: "deny", why: "licences and sources of the dependencies", run: deny::run },
];

const SKIPPED_BY_FAST: &str = "features";

/// A step that ran: its name, how long it took, whether it passed.
type Timed = (&'static str, Duration, bool);

pub(crate) fn run(extent: Extent) -> Outcome {
    if std::env::var_os("BLESS").is_some() {
        return Err(Failure::new(
            "BLESS is set: a gate compares golden files, it does not write them",
            "cargo xtask ci",
        ));
    }
    let begun = Instant::now();
    let mut timed: Vec<Timed> = Vec::new();
    let mut failed: Option<Failure> = None;
    for step in chosen(extent) {
        println!("\n== {}: {} ==", step.name, step.why);
        let start = Instant::now();
        let outcome = (step.run)();
        timed.push((step.name, start.elapsed(), outcome.is_ok()));
        if let Err(failure) = outcome {
            failed = Some(failure);
            break;
        }
    }
    print!("{}", table(&timed, begun.elapsed()));
    match failed {
        None => Ok(()),
        Some(failure) => Err(failure),
    }
}

fn chosen(extent: Extent) -> impl Iterator<Item = &'static Step> {
    STEPS.iter().filter(move |step| extent == Extent::Whole || step.name != SKIPPED_BY_FAST)
}

fn table(timed: &[Timed], total: Duration) -> String {
    let mut lines = String::from("\n");
    for (name, took, passed) in timed {
        let verdict = if *passed { "ok" } else { "FAILED" };
        let _ = writeln!(lines, "{name:<20}{:>8.1} s  {verdict}", took.as_secs_f64());
    }
    let passed = timed.iter().filter(|(_, _, passed)| *passed).count();
    let _ =
        writeln!(lines, "{:<20}{:>8.1} s  {passed} of {} passed", "total", total.as_secs_f64(), timed.len());
    lines
}

fn fmt() -> Outcome {
    Call::new("fmt --all --check").run().map_err(|failure| Failure::new(failure.what, "cargo fmt --all"))
}

fn clippy() -> Outcome {
    Call::new("clippy --workspace --all-targets --all-features -- -D warnings").run()
}

fn doc() -> Outcome {
    Call::new("doc --workspace --no-deps --all-features").env("RUSTDOCFLAGS", "-D warnings").run()
}

fn test_all() -> Outcome {
    Call::new("test --workspace --all-features").run()
}

fn test_defaults() -> Outcome {
    Call::new("test --workspace").run()
}

#[cfg(test)]
mod tests {
    use super::{Extent, STEPS, chosen, table};
    use std::time::Duration;

    #[test]
    fn fast_leaves_out_the_matrix_alone() {
        assert_eq!(chosen(Extent::Whole).count(), STEPS.len());
        assert_eq!(chosen(Extent::Fast).count(), STEPS.len() - 1);
        assert!(chosen(Extent::Fast).all(|step| step.name != "features"));
    }

    #[test]
    fn the_table_names_each_step_and_the_total() {
        let steps = [("fmt", Duration::from_millis(1_500), true), ("clippy", Duration::from_secs(90), false)];
        let expected = "\nfmt                      1.5 s  ok\nclippy                  90.0 s  FAILED\n\
                        total                   91.5 s  1 of 2 passed\n";
        assert_eq!(table(&steps, Duration::from_millis(91_500)), expected);
    }
}
