//! The tree the rules look at: which folders, which files, read once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::source::Source;

/// Folders that hold Rust sources of the project.
const CODE: [&str; 8] = ["drift", "core", "actors", "src", "tests", "examples", "benches", "xtask"];

/// Folders never looked into: what cargo and git write.
const SKIPPED: [&str; 3] = ["target", ".git", "node_modules"];

/// Endings of files that are text. A file without an ending (`LICENSE-MIT`, `.ci/run`) is text too.
const TEXT: [&str; 14] =
    ["rs", "toml", "md", "txt", "json", "html", "css", "js", "yml", "yaml", "sh", "csv", "out", "lock"];

/// The root of the repository: the folder of the root package.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file of the project, in the order of its paths.
pub(crate) fn sources() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(|| {
        let mut paths = Vec::new();
        for folder in CODE {
            walk(&root().join(folder), &mut paths);
        }
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "rs"));
        read(paths)
    })
}

/// Every text file of the project, sources included, in the order of its paths: what git tracks or would
/// add; without git (an unpacked archive) every file there is.
pub(crate) fn texts() -> Vec<(String, String)> {
    let mut paths = tracked().unwrap_or_else(|| {
        let mut paths = Vec::new();
        walk(&root(), &mut paths);
        paths
    });
    paths.retain(|path| is_text(path));
    paths.sort();
    paths.into_iter().filter_map(|path| Some((relative(&path), fs::read_to_string(&path).ok()?))).collect()
}

/// The text of a file by its path from the root, if it is there.
pub(crate) fn text(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

fn tracked() -> Option<Vec<PathBuf>> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .ok()?;
    let names = String::from_utf8(listing.stdout).ok()?;
    let paths: Vec<PathBuf> =
        names.split('\0').filter(|name| !name.is_empty()).map(|name| root().join(name)).collect();
    (listing.status.success() && !paths.is_empty()).then_some(paths)
}

fn is_text(path: &Path) -> bool {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some(ending) => TEXT.contains(&ending),
        None => true,
    }
}

fn read(mut paths: Vec<PathBuf>) -> Vec<Source> {
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            Source::new(&relative(path), &text)
        })
        .collect()
}

fn relative(path: &Path) -> String {
    let inside = path.strip_prefix(root()).unwrap_or(path);
    inside.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        // `file_type` does not follow links, so a link to a folder is not walked twice.
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_file() {
            found.push(path);
        } else if kind.is_dir() && !SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
            walk(&path, found);
        }
    }
}
