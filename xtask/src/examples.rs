//! `cargo xtask examples`: runs every example of the root package and compares what it prints with
//! `examples/golden/NAME.txt`; and those of drift that have such a file in `drift/examples/golden` (the others
//! read data or measure). With `BLESS=1` it writes those files instead.
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
const DRIFT_GOLDEN: &str = "drift/examples/golden";

/// Longer than any example may take; a server that was forgotten is ended then.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) fn run() -> Outcome {
    let workspace = Workspace::read()?;
    let of = |package| -> Result<Vec<&str>, Failure> {
        Ok(workspace.package(package)?.targets_of("example").map(|target| target.name.as_str()).collect())
    };
    let all = of(PRODUCT)?.into_iter().map(|name| (name, "examples/golden"));
    let agreed = |name: &str| workspace.root.join(DRIFT_GOLDEN).join(format!("{name}.txt")).is_file();
    let drift = of(DRIFT)?.into_iter().filter(|name| agreed(name)).map(|name| (name, DRIFT_GOLDEN));
    Call::new("build --workspace --all-features --examples --quiet").run()?;
    for (name, folder) in all.chain(drift) {
        let printed = printed_by(&workspace, name)?;
        let verdict = settle(&workspace.root, folder, name, &printed)?;
        println!("{name}: {verdict}");
    }
    Ok(())
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
    use super::first_difference;

    #[test]
    fn the_first_line_that_differs_is_shown() {
        assert_eq!(first_difference("a\nb\n", "a\r\nb"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n").as_deref(), Some("line 2\n- b\n+ c"));
        assert_eq!(first_difference("a\n", "a\nb\n").as_deref(), Some("line 2\n- (the end)\n+ b"));
    }
}
