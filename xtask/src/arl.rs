//! `cargo xtask arl [--write] [OPTION]...`: what the detectors with a bound promise, against what is measured.
//!
//! The measuring is a benchmark of drift's own (`drift/benches/arl`), so that this command knows no detector.
//! `--write` puts what it prints into `docs/guarantee.md`, between the two marks, also where a row fails.

use std::path::Path;

use crate::cargo::Call;
use crate::workspace::Workspace;
use crate::{Failure, Outcome, marks};

const PAGE: &str = "docs/guarantee.md";

pub(crate) fn run(words: &[&str]) -> Outcome {
    let (write, rest): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| **word == "--write");
    if write.is_empty() {
        return call(&rest)?.run();
    }
    if rest.iter().any(|word| *word != "--threads" && word.parse::<usize>().is_err()) {
        return Err(Failure::new(
            "--write writes all tables, so it goes with --threads only",
            "cargo xtask help",
        ));
    }
    let workspace = Workspace::read()?;
    let tables = workspace.target.join("arl.md");
    let failure = |what: String| Failure::new(what, "cargo xtask arl --write");
    // What an earlier run left is not what is measured now.
    if tables.exists() {
        std::fs::remove_file(&tables).map_err(|error| failure(format!("{}: {error}", tables.display())))?;
    }
    let outcome = call(&rest)?.word("--markdown").word(tables.to_string_lossy()).run();
    let Ok(printed) = std::fs::read_to_string(&tables) else { return outcome };
    marks::replace(&workspace.root.join(PAGE), &printed, "cargo xtask arl --write")?;
    println!("{PAGE} is written");
    outcome
}

/// The benchmark with these options; a file's name is taken from where the command was given.
fn call(options: &[&str]) -> Result<Call, Failure> {
    let mut call = Call::new("bench --quiet -p visu-tility-drift --bench arl --");
    let mut file_next = false;
    for option in options {
        // Cargo runs a benchmark in its package's folder.
        call = if file_next { call.word(absolute(Path::new(option))?) } else { call.word(*option) };
        file_next = matches!(*option, "--json" | "--markdown");
    }
    Ok(call)
}

fn absolute(path: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(path)
        .map_err(|error| Failure::new(format!("{}: {error}", path.display()), "cargo xtask arl"))?;
    Ok(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::{call, run};

    #[test]
    fn options_are_handed_on() {
        let line = call(&["--only", "e-sr", "--json", "/x.json"]).unwrap().line();
        assert_eq!(
            line,
            "cargo bench --quiet -p visu-tility-drift --bench arl -- --only e-sr --json /x.json"
        );
    }

    #[test]
    fn a_part_is_not_written_over_the_whole() {
        assert!(run(&["--write", "--only", "e-sr"]).is_err());
    }
}
