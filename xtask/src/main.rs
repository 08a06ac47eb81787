//! The gates of the house, behind one command: `cargo xtask ci`. Only cargo is needed.
//!
//! `ci` lists the steps in the order that uses the compile cache best; each of `tidy`, `purity`, `features`,
//! `examples`, `fuzz`, `deny`, `crash`, `detectors`, `arl`, `bench`, `quality` and `sim` is also a command of its own. `cargo` runs cargo,
//! `workspace` knows what `cargo metadata` says, `marks` replaces the measured part of a page.
#![forbid(unsafe_code)]

mod arl;
mod bench;
mod cargo;
mod ci;
mod crash;
mod deny;
mod detectors;
mod examples;
mod features;
mod fuzz;
mod help;
mod marks;
mod purity;
mod quality;
mod sim;
mod tidy;
mod workspace;

use std::process::ExitCode;

/// What a step answers: nothing, or what failed and how to run it again.
type Outcome = Result<(), Failure>;

/// Why a step failed.
#[derive(Debug)]
struct Failure {
    /// What went wrong, for a person.
    what: String,
    /// The command that shows it again.
    rerun: String,
}

impl Failure {
    fn new(what: impl Into<String>, rerun: impl Into<String>) -> Self {
        Self { what: what.into(), rerun: rerun.into() }
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => {
            help::print();
            Ok(())
        }
        ["ci"] => ci::run(ci::Extent::Whole),
        ["ci", "--fast"] => ci::run(ci::Extent::Fast),
        ["tidy"] => tidy::run(),
        ["purity"] => purity::run(),
        ["features"] => features::run(),
        ["examples"] => examples::run(),
        ["deny"] => deny::run(),
        ["fuzz"] => fuzz::run(),
        ["crash", rest @ ..] => crash::run(rest),
        ["detectors"] => detectors::run(),
        ["arl", rest @ ..] => arl::run(rest),
        ["bench", rest @ ..] => bench::run(rest),
        ["quality", rest @ ..] => quality::run(rest),
        ["sim", rest @ ..] => sim::run(rest),
        _ => Err(Failure::new(format!("unknown command: {}", words.join(" ")), "cargo xtask help")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nfailed: {}\n   run: {}", failure.what, failure.rerun);
            ExitCode::FAILURE
        }
    }
}
