//! `cargo xtask quality [--only NAME]... [--json FILE] [--write]`: how well the detectors find labelled changes.
//!
//! The measuring is a benchmark of drift's own (`drift/benches/quality`), so that this command knows no detector.
//! `--write` puts what it prints into `docs/quality.md`, between the two marks.

use crate::cargo::Call;
use crate::workspace::Workspace;
use crate::{Failure, Outcome, marks};

const PAGE: &str = "docs/quality.md";

pub(crate) fn run(words: &[&str]) -> Outcome {
    let (write, rest): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| **word == "--write");
    if write.is_empty() {
        return call(&rest)?.run();
    }
    if !rest.is_empty() {
        return Err(Failure::new("--write writes all data sets, so it stands alone", "cargo xtask help"));
    }
    let printed = call(&[])?.output()?;
    if printed.contains("\nskipped ") || printed.starts_with("skipped ") {
        return Err(Failure::new("a data set was not found, so nothing is written", "cargo xtask quality"));
    }
    marks::replace(&Workspace::read()?.root.join(PAGE), &printed, "cargo xtask quality --write")
}

/// The benchmark with these options; a file's name is taken from where the command was given.
fn call(options: &[&str]) -> Result<Call, Failure> {
    let mut call = Call::new("bench --quiet -p visu-tility-drift --bench quality --");
    let mut file_next = false;
    for option in options {
        // Cargo runs a benchmark in its package's folder.
        call = if file_next { call.word(absolute(option)?) } else { call.word(*option) };
        file_next = *option == "--json";
    }
    Ok(call)
}

fn absolute(path: &str) -> Result<String, Failure> {
    let failure = |what: String| Failure::new(what, "cargo xtask quality");
    let path = std::path::absolute(path).map_err(|error| failure(format!("{path}: {error}")))?;
    Ok(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::call;

    #[test]
    fn options_are_handed_on() {
        let line = call(&["--only", "rtt"]).unwrap().line();
        assert_eq!(line, "cargo bench --quiet -p visu-tility-drift --bench quality -- --only rtt");
    }
}
