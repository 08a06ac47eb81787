//! `cargo xtask crash [--kills N] [--seed S]`: the server, killed at random moments under load.
//!
//! The killing and the judging are a test of the root package (`tests/it/crash.rs`), which does 20 kills among the other
//! tests; this runs it alone with other numbers.

use crate::cargo::Call;
use crate::{Failure, Outcome};

const KILLS: u64 = 1_000;
const SEED: u64 = 1;

pub(crate) fn run(words: &[&str]) -> Outcome {
    call(words)?.run()
}

fn call(words: &[&str]) -> Result<Call, Failure> {
    let (mut kills, mut seed) = (KILLS, SEED);
    let mut words = words.iter();
    while let Some(option) = words.next() {
        let wrong = |what: String| Failure::new(what, "cargo xtask help");
        let number = match *option {
            "--kills" => &mut kills,
            "--seed" => &mut seed,
            other => return Err(wrong(format!("unknown option: {other}"))),
        };
        let value = words.next().and_then(|value| value.parse().ok());
        *number = value.ok_or_else(|| wrong(format!("{option} needs a whole number")))?;
    }
    let call = Call::new(
        "test --quiet -p visu-tility --features automated_retraining --test it crash:: -- --nocapture",
    );
    Ok(call.env("VISU_TILITY_CRASH_KILLS", kills.to_string()).env("VISU_TILITY_CRASH_SEED", seed.to_string()))
}

#[cfg(test)]
mod tests {
    use super::call;

    #[test]
    fn kills_and_seed_are_handed_on() {
        let line = call(&["--seed", "7", "--kills", "30"]).unwrap().line();
        assert!(
            line.starts_with("VISU_TILITY_CRASH_KILLS='30' VISU_TILITY_CRASH_SEED='7' cargo test "),
            "{line}"
        );
        assert!(call(&["--kills"]).is_err_and(|failure| failure.what == "--kills needs a whole number"));
        assert!(call(&["--fast"]).is_err());
    }
}
