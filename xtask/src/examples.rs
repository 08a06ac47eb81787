//! `cargo xtask examples`: runs every example of the root package and compares what it prints with
//! `examples/golden/NAME.txt`; and those of drift that have such a file in `drift/examples/golden` (the others
//! read data or measure). With `BLESS=1` it writes those files instead. It fails, too, when there are no examples, when a
//! golden file has no example, and when a README names one that is not there.
//!
//! The examples are built with the selection of the step that runs all tests, so nothing is built twice.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::cargo::Call;
use crate::workspace::{PRODUCT, Workspace};
use crate::{Failure, Outcome};

const DRIFT: &str = "visu-tility-drift";
const GOLDEN: &str = "examples/golden";
const DRIFT_GOLDEN: &str = "drift/examples/golden";

/// Longer than any example may take; a server that was forgotten is ended then.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) fn run() -> Outcome {
    let workspace = Workspace::read()?;
    let of = |package| -> Result<Vec<&str>, Failure> {
        Ok(workspace.package(package)?.targets_of("example").map(|target| target.name.as_str()).collect())
    };
    let all = of(PRODUCT)?.into_iter().map(|name| (name, GOLDEN));
    let agreed = |name: &str| workspace.root.join(DRIFT_GOLDEN).join(format!("{name}.txt")).is_file();
    let drift = of(DRIFT)?.into_iter().filter(|name| agreed(name)).map(|name| (name, DRIFT_GOLDEN));
    for (package, folder, readme) in
        [(PRODUCT, GOLDEN, "README.md"), (DRIFT, DRIFT_GOLDEN, "drift/README.md")]
    {
        let readme = read(&workspace.root, readme)?;
        if let Some(missing) = missing(&of(package)?, &golden(&workspace.root, folder)?, &readme) {
            return Err(Failure::new(format!("{package}: {missing}"), "cargo xtask examples"));
        }
    }
    Call::new("build --workspace --all-features --examples --quiet").run()?;
    for (name, folder) in all.chain(drift) {
        let printed = printed_by(&workspace, name)?;
        let verdict = settle(&workspace.root, folder, name, &printed)?;
        println!("{name}: {verdict}");
    }
    Ok(())
}

fn read(root: &Path, file: &str) -> Result<String, Failure> {
    fs::read_to_string(root.join(file))
        .map_err(|error| Failure::new(format!("{file}: {error}"), "cargo xtask examples"))
}

/// The examples whose output is agreed, by the files of a folder.
fn golden(root: &Path, folder: &str) -> Result<Vec<String>, Failure> {
    let unread = |error: std::io::Error| Failure::new(format!("{folder}: {error}"), "cargo xtask examples");
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join(folder)).map_err(unread)? {
        let file = PathBuf::from(entry.map_err(unread)?.file_name());
        names.extend(file.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Says which example is missing: all of them, one whose output is agreed, one that a README names.
fn missing(examples: &[&str], golden: &[String], readme: &str) -> Option<String> {
    if examples.is_empty() || golden.is_empty() {
        return Some("no examples, or none with an agreed output".to_owned());
    }
    let there = |name: &str| examples.contains(&name);
    if let Some(name) = golden.iter().find(|name| !there(name)) {
        return Some(format!("the agreed output of {name} has no example"));
    }
    named(readme)
        .find(|name| !there(name))
        .map(|name| format!("the README names the example {name}, which is not there"))
}

/// The examples that a README names: in calls, in links, and in the first column of a table under a call.
fn named(readme: &str) -> impl Iterator<Item = &str> {
    let word =
        |text: &'_ str| text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let after = move |mark: &'static str| {
        let names = readme.split(mark).skip(1).map(move |rest| rest.get(..word(rest)).unwrap_or(rest));
        names.filter(|name| !name.is_empty())
    };
    let table = readme.lines().skip_while(|line| !line.trim_end().ends_with("--example` | |")).skip(2);
    let rows = table.map_while(|line| line.strip_prefix("| `"));
    let rows = rows.map(move |row| row.get(..word(row)).unwrap_or(row));
    // A link to a folder of data or of plans is none to an example.
    let links = after("](examples/").filter(|name| !["data", "plans", "golden"].contains(name));
    after("--example ").chain(links).chain(rows)
}

fn failure(name: &str, what: &str) -> Failure {
    Failure::new(format!("example {name}: {what}"), format!("cargo run --all-features --example {name}"))
}

/// What the example prints on its standard output.
fn printed_by(workspace: &Workspace, name: &str) -> Result<String, Failure> {
    let program =
        workspace.target.join("debug/examples").join(name).with_extension(std::env::consts::EXE_EXTENSION);
    let mut child = Command::new(&program)
        .current_dir(&workspace.root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failure(name, &format!("{} was not started: {error}", program.display())))?;
    let Some(mut output) = child.stdout.take() else { return Err(failure(name, "it has no output")) };
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut printed = String::new();
        let read = output.read_to_string(&mut printed).map(|_| printed);
        let _ = sender.send(read); // nobody listens any more when the time was up
    });
    let Ok(read) = receiver.recv_timeout(PATIENCE) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(failure(name, &format!("not at its end after {} s", PATIENCE.as_secs())));
    };
    let status = child.wait().map_err(|error| failure(name, &error.to_string()))?;
    if !status.success() {
        return Err(failure(name, &status.to_string()));
    }
    read.map_err(|error| failure(name, &error.to_string()))
}

/// Compares with the golden file, or writes it when that was asked for; says which.
fn settle(root: &Path, folder: &str, name: &str, printed: &str) -> Result<&'static str, Failure> {
    let file: PathBuf = root.join(folder).join(format!("{name}.txt"));
    if std::env::var_os("BLESS").is_some() {
        let written =
            file.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&file, printed));
        return match written {
            Ok(()) => Ok("written"),
            Err(error) => Err(failure(name, &format!("golden file not written: {error}"))),
        };
    }
    let golden = fs::read_to_string(&file).map_err(|error| {
        let what = format!("{folder}/{name}.txt: {error}; to write it: BLESS=1 cargo xtask examples");
        failure(name, &what)
    })?;
    match first_difference(&golden, printed) {
        None => Ok("as agreed"),
        Some(difference) => Err(failure(name, &format!("printed something else than agreed\n{difference}"))),
    }
}

/// The first line in which two texts differ, shown from both; line ends do not count.
fn first_difference(golden: &str, printed: &str) -> Option<String> {
    let (mut golden, mut printed) = (golden.lines(), printed.lines());
    let mut line = 0;
    loop {
        line += 1;
        match (golden.next(), printed.next()) {
            (None, None) => return None,
            (expected, actual) if expected != actual => {
                let show = |text: Option<&str>| text.unwrap_or("(the end)").to_owned();
                return Some(format!("line {line}\n- {}\n+ {}", show(expected), show(actual)));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{first_difference, missing, named};

    const README: &str = "run `cargo run --example service`:\n\n| [quick](examples/quick.rs) | x |\n| [data](examples/data/README.md) |\n\n\
        | `cargo run -p drift --example` | |\n|---|---|\n| `compare` | x |\n| `budget -- 400` | y |\n\n| `other` |\n";

    #[test]
    fn the_examples_of_a_readme_are_found_in_calls_links_and_tables() {
        assert_eq!(named(README).collect::<Vec<_>>(), ["service", "quick", "compare", "budget"]);
        assert_eq!(named("no example here").count(), 0);
    }

    #[test]
    fn what_is_missing_is_told() {
        let golden = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let all = ["budget", "compare", "quick", "service"];
        assert_eq!(missing(&all, &golden(&all), README), None);
        assert_eq!(missing(&all, &golden(&["quick"]), README), None, "not all have an agreed output");
        assert!(missing(&[], &[], "").is_some(), "no examples at all");
        assert!(missing(&all, &[], "").is_some(), "none is compared");
        let told = missing(&all[1..], &golden(&["quick"]), README).unwrap();
        assert!(told.contains("README names the example budget"), "{told}");
        let told = missing(&all[..3], &golden(&all), "").unwrap();
        assert!(told.contains("output of service has no example"), "{told}");
    }

    #[test]
    fn the_first_line_that_differs_is_shown() {
        assert_eq!(first_difference("a\nb\n", "a\r\nb"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n").as_deref(), Some("line 2\n- b\n+ c"));
        assert_eq!(first_difference("a\n", "a\nb\n").as_deref(), Some("line 2\n- (the end)\n+ b"));
    }
}
