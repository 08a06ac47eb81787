//! Where a report or a plan goes: the standard output, or a file that is there whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{Failure, say};

/// The name of the standard input and of the standard output.
pub(super) const STANDARD: &str = "-";

/// The standard input and output by the names of a system that has them as files, and what swallows everything.
const STANDARD_INPUT: &str = "/dev/stdin";
const STANDARD_OUTPUT: &str = "/dev/stdout";
const NOWHERE: &str = "/dev/null";

/// What an option such as `--out` asks for.
///
/// | what is there | how it is written |
/// |---|---|
/// | `-`, or the option is not given | to the standard output |
/// | nothing, or a plain file | to a file beside it, which takes its name at the end |
/// | a plain file in a folder that takes no new ones | at the end, in the place of what it held |
/// | a pipe, a terminal, a device | as it stands |
///
/// A link is followed: what it names is written. A run that ends early leaves everything as it was. A file is on the
/// disk before it takes the name; one beside that a crash left behind (`.visu-tility-….part`) is in nobody's way.
#[derive(Debug)]
pub(crate) struct Output {
    option: &'static str,
    shown: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Standard,
    /// The file that is to be there at the end, with no links on the way.
    Beside(PathBuf),
    Open(File),
}

impl Output {
    /// Looks whether it can be written, and that it is none of the files that are read; changes nothing.
    pub(crate) fn new(
        option: &'static str,
        path: Option<&Path>,
        inputs: &[&PathBuf],
    ) -> Result<Self, Failure> {
        let Some(path) = path.filter(|path| path.as_os_str() != STANDARD) else {
            return Ok(Self { option, shown: "standard output".to_owned(), place: Place::Standard });
        };
        if let Some(input) = inputs.iter().find(|input| same_path(path, input) || same_file(path, input)) {
            let (path, input) = (path.display(), input.display());
            let reason = format!("{path} is the file that is read as {input}, must be another one");
            return Err(Failure::at(option, reason));
        }
        let place = place(option, path).map_err(|error| Failure::at(path.display(), error))?;
        Ok(Self { option, shown: path.display().to_string(), place })
    }

    /// Is true for the standard output.
    pub(crate) const fn is_standard(&self) -> bool {
        matches!(self.place, Place::Standard)
    }

    /// Is true when what is written comes out where the standard output goes, by whatever name: `/dev/stdout`, or the
    /// file that a shell sends it to. What is thrown away (`/dev/null`) goes nowhere.
    fn reaches_standard(&self) -> bool {
        let named = Path::new(&self.shown);
        self.is_standard()
            || (same_thing(named, Path::new(STANDARD_OUTPUT)) && !same_thing(named, Path::new(NOWHERE)))
    }

    /// Refuses two that are one file, or both the standard output.
    pub(crate) fn refuse_same(&self, other: &Self) -> Result<(), Failure> {
        let file = |output: &Self| match &output.place {
            Place::Beside(path) => Some(path.clone()),
            _ => None,
        };
        if self.reaches_standard() && other.reaches_standard() {
            let reason =
                format!("is the standard output, as is {}: one of the two must name a file", other.option);
            return Err(Failure::at(self.option, reason));
        }
        let named = |output: &Self| PathBuf::from(&output.shown);
        let one = file(self).zip(file(other)).is_some_and(|(a, b)| a == b || same_file(&a, &b));
        if one || (!self.is_standard() && !other.is_standard() && same_file(&named(self), &named(other))) {
            let reason = format!("{} is the file of {}, must be another one", self.shown, other.option);
            return Err(Failure::at(self.option, reason));
        }
        Ok(())
    }

    /// Writes it.
    pub(crate) fn write(
        self,
        write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        let written = match self.place {
            Place::Standard => return say(write),
            Place::Open(file) => {
                // What is no plain file (a pipe, a terminal) has no length to cut.
                let _ = file.set_len(0);
                match fill(file, write) {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
                    other => other,
                }
            }
            Place::Beside(target) => replace(self.option, &target, write),
        };
        written.map_err(|error| Failure::at(self.shown, error))
    }
}

/// Finds how a path is to be written.
fn place(option: &str, path: &Path) -> std::io::Result<Place> {
    let known = std::fs::metadata(path).ok();
    if known.as_ref().is_some_and(|data| !data.is_file()) {
        return OpenOptions::new().write(true).open(path).map(Place::Open);
    }
    let target = target(path)?;
    // A file that must not be written is not replaced either.
    let open = known.map(|_| OpenOptions::new().write(true).open(&target)).transpose()?;
    match (beside(option, &target), open) {
        (Ok((_, beside)), _) => std::fs::remove_file(&beside).map(|()| Place::Beside(target)),
        (Err(_), Some(open)) => Ok(Place::Open(open)),
        (Err(error), None) => Err(error),
    }
}

/// The file itself: links resolved, also one that names what is not there yet.
fn target(path: &Path) -> std::io::Result<PathBuf> {
    if let Ok(known) = path.canonicalize() {
        return Ok(known);
    }
    let named = match path.read_link() {
        Ok(link) => path.parent().unwrap_or(Path::new("")).join(link),
        Err(_) => path.to_owned(),
    };
    let folder = named.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = named.file_name().ok_or(ErrorKind::InvalidFilename)?;
    Ok(folder.canonicalize()?.join(name))
}

/// Makes a new file beside, for what is not yet whole.
///
/// Its name is tried until it is nobody's: in a container the number of the process is always the same, and what lies
/// there may be left behind as well as being written by another container just now.
fn beside(option: &str, target: &Path) -> std::io::Result<(File, PathBuf)> {
    let process = std::process::id();
    let mut attempt = 0_u64;
    loop {
        let path = target.with_file_name(format!(".visu-tility-{process}-{attempt}{option}.part"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => attempt += 1,
            opened => return opened.map(|file| (file, path)),
        }
    }
}

/// Writes a file beside and gives it the name.
fn replace(
    option: &str,
    target: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let (file, beside) = beside(option, target)?;
    if let Ok(before) = std::fs::metadata(target) {
        let _ = file.set_permissions(before.permissions());
    }
    let done = fill(file, write).and_then(|()| std::fs::rename(&beside, target));
    if done.is_err() {
        let _ = std::fs::remove_file(&beside);
    } else if let Some(folder) = target.parent() {
        // What the folder says is on the disk too, where a folder can be synced: the file is whole in any case.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    done
}

fn fill(file: File, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> std::io::Result<()> {
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    // A pipe or a terminal has nothing to sync.
    if file.metadata()?.is_file() { file.sync_all() } else { Ok(()) }
}

fn same_path(out: &Path, input: &Path) -> bool {
    let known = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    known(out).is_some_and(|out| known(input) == Some(out))
}

/// Is true when both are one plain file on the disk, as with a hard link; pipes and terminals may be both.
fn same_file(out: &Path, input: &Path) -> bool {
    same_thing(out, input) && std::fs::metadata(out).is_ok_and(|out| out.is_file())
}

/// Is true when two names lead to one thing: a file, a pipe, a device; `-` is the standard input.
pub(super) fn same_thing(one: &Path, other: &Path) -> bool {
    let named = |path: &Path| {
        if path.as_os_str() == STANDARD { Path::new(STANDARD_INPUT).to_owned() } else { path.to_owned() }
    };
    one == other || same_path(one, other) || same_place(&named(one), &named(other))
}

#[cfg(unix)]
fn same_place(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |path: &Path| std::fs::metadata(path).ok().map(|data| (data.dev(), data.ino()));
    place(one).is_some_and(|one| place(other) == Some(one))
}

#[cfg(not(unix))]
fn same_place(_: &Path, _: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The story: in a container the process is always number 1, so that one killed run made all later ones fail.
    #[test]
    fn what_a_killed_run_of_the_same_number_left_is_in_nobodys_way() {
        let folder = std::env::temp_dir().join(format!("visu-tility-output-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let target = folder.canonicalize().unwrap().join("out");
        let left: Vec<PathBuf> = (0..3).map(|_| beside("--out", &target).unwrap().1).collect();
        for (round, text) in ["one", "two"].into_iter().enumerate() {
            let output = Output::new("--out", Some(&target), &[]).unwrap();
            output.write(|out| out.write_all(text.as_bytes())).unwrap();
            assert_eq!(std::fs::read_to_string(&target).unwrap(), text);
            assert_eq!(std::fs::read_dir(&folder).unwrap().count(), left.len() + 1, "round {round}");
        }
        let output = Output::new("--out", Some(&target), &[]).unwrap();
        assert!(output.write(|_| Err(ErrorKind::StorageFull.into())).is_err());
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "two", "as it was");
        assert!(left.iter().all(|path| path.is_file()), "another's files are left alone");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
