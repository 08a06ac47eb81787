//! `cargo xtask quality [--only NAME]... [--json FILE] [--write]`: how well the detectors find labelled changes.
//!
//! The measuring is a benchmark of drift's own (`drift/benches/quality`), so that this command knows no detector.
//! `--write` puts what it prints into `docs/quality.md`, between the two marks.

use std::path::Path;

use crate::cargo::Call;
use crate::workspace::Workspace;
use crate::{Failure, Outcome};

const PAGE: &str = "docs/quality.md";
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

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
    replace(&Workspace::read()?.root.join(PAGE), &printed)
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

fn replace(page: &Path, printed: &str) -> Outcome {
    let failure = |what: String| Failure::new(format!("{PAGE}: {what}"), "cargo xtask quality --write");
    let text = std::fs::read_to_string(page).map_err(|error| failure(error.to_string()))?;
    let text = between(&text, printed).ok_or_else(|| failure(format!("no {BEGIN} ... {END}")))?;
    std::fs::write(page, text).map_err(|error| failure(error.to_string()))
}

/// The page with what is printed between its marks.
fn between(page: &str, printed: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", printed.trim()))
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, between, call};

    #[test]
    fn options_are_handed_on() {
        let line = call(&["--only", "rtt"]).unwrap().line();
        assert_eq!(line, "cargo bench --quiet -p visu-tility-drift --bench quality -- --only rtt");
    }

    #[test]
    fn what_is_measured_stands_between_the_marks() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(between(&page, "new\n").unwrap(), format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        assert!(between("a", "new").is_none());
    }
}
