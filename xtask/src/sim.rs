//! `cargo xtask sim [--seeds N] [--from S] [--threads N] [--steps N] [--trace]`: random lives of a whole monitoring over a
//! disk that fails, on virtual time, each held against an uninterrupted run.
//!
//! The simulation is a test of the actors' own (`actors/tests/sim`), built for speed here.

use crate::cargo::Call;
use crate::{Failure, Outcome};

pub(crate) fn run(words: &[&str]) -> Outcome {
    call(words)?.run()
}

/// The simulation with these options.
fn call(words: &[&str]) -> Result<Call, Failure> {
    const NUMBERS: [&str; 4] = ["--seeds", "--from", "--threads", "--steps"];
    let mut call = Call::new("test --release --quiet -p visu-tility-actors --all-features --test sim --");
    let mut words = words.iter();
    while let Some(word) = words.next() {
        call = call.word(*word);
        if NUMBERS.contains(word) {
            let number = words.next().filter(|number| number.parse::<u64>().is_ok());
            let number = number.ok_or_else(|| unknown(&format!("{word} needs a number")))?;
            call = call.word(*number);
        } else if *word != "--trace" {
            return Err(unknown(&format!("unknown option: {word}")));
        }
    }
    Ok(call)
}

fn unknown(what: &str) -> Failure {
    Failure::new(what, "cargo xtask help")
}

#[cfg(test)]
mod tests {
    use super::call;

    #[test]
    fn options_are_handed_on_and_others_refused() {
        let line = call(&["--from", "7", "--seeds", "1", "--trace"]).unwrap().line();
        let wanted = "cargo test --release --quiet -p visu-tility-actors --all-features --test sim -- --from 7 --seeds 1 --trace";
        assert_eq!(line, wanted);
        assert!(call(&["--seeds"]).is_err() && call(&["--seed", "1"]).is_err());
    }
}
