//! The rules over what is not Rust: the papers at the door, and the golden list of public names.

use std::fmt::Write as _;
use std::fs;

use crate::rules;
use crate::source::{Finding, Source};
use crate::tree;

/// Top folders of machines. Joined with slashes at run time, so that this file does not trip over itself.
const MACHINE_FOLDERS: [&str; 5] = ["work", "tmp", "root", "home", "Users"];

/// The crates, by the folder of their root module.
const CRATES: [(&str, &[&str]); 4] = [
    ("visu-tility-drift", &["drift/src/lib.rs"]),
    ("visu-tility-core", &["core/src/lib.rs"]),
    ("visu-tility-actors", &["actors/src/lib.rs"]),
    ("visu-tility", &["src/lib.rs", "src/monitoring.rs"]),
];

/// Absolute paths below a machine's folder. One inside an address (`https://host/home/`) is none.
pub(crate) fn machine_paths(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for folder in MACHINE_FOLDERS {
        let needle = format!("/{folder}/");
        for (at, line) in text.lines().enumerate() {
            let absolute = line.match_indices(&needle).any(|(start, _)| {
                let before = line[..start].chars().last();
                !before.is_some_and(|c| c.is_alphanumeric() || "._-~{}$*)".contains(c))
            });
            if absolute {
                found.push(Finding { path: path.to_owned(), line: at + 1, what: needle.clone() });
            }
        }
    }
    found
}

pub(crate) fn too_long(path: &str, text: &str, limit: usize) -> Vec<Finding> {
    let lines = text.lines().count();
    if lines <= limit {
        return vec![];
    }
    vec![Finding { path: path.to_owned(), line: limit + 1, what: format!("{lines} lines") }]
}

pub(crate) fn no_early_block(path: &str, text: &str) -> Vec<Finding> {
    if text.lines().take(39).any(|line| line.trim_start().starts_with("```")) {
        return vec![];
    }
    vec![Finding { path: path.to_owned(), line: 40, what: "no code block so far".to_owned() }]
}

/// Relative links `[text](target)` of a Markdown file whose target is not there. Code blocks are passed over.
pub(crate) fn dead_links(path: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut in_block = false;
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        }
        let links = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|_| !in_block) {
            let target = link.split(['#', ' ']).next().unwrap_or_default();
            if target.is_empty() || target.contains(':') {
                continue; // inside the page, or an address
            }
            let target = target.trim_start_matches('/');
            let joined = if folder.is_empty() { target.to_owned() } else { format!("{folder}/{target}") };
            if !exists(&joined) {
                found.push(Finding { path: path.to_owned(), line: at + 1, what: link.to_owned() });
            }
        }
    }
    found
}

/// The public names of every crate, one a line.
pub(crate) fn public_names(sources: &[Source]) -> String {
    let mut listing =
        String::from("# Public names by crate. After a wanted change: BLESS=1 cargo test --test tidy\n");
    for (name, roots) in CRATES {
        let _ = write!(listing, "\n{name}\n");
        for source in sources.iter().filter(|source| roots.contains(&source.path.as_str())) {
            if source.stem() != "lib" {
                let _ = writeln!(listing, "  {}:", source.stem());
            }
            for public in rules::public_names(source) {
                let _ = writeln!(listing, "  {public}");
            }
        }
    }
    listing
}

/// Compares with a golden file; with `BLESS` set, writes it.
pub(crate) fn assert_golden(path: &str, actual: &str) {
    if std::env::var_os("BLESS").is_some() {
        let file = tree::root().join(path);
        fs::create_dir_all(file.parent().expect("a golden file lies in a folder")).unwrap();
        fs::write(file, actual).unwrap();
        return;
    }
    let golden = tree::text(path).unwrap_or_default();
    if let Some(difference) = difference(&golden, actual) {
        panic!("{path} differs; if that is wanted: BLESS=1 cargo test --test tidy\n{difference}");
    }
}

/// The lines that went and came, or nothing when the texts agree.
pub(crate) fn difference(golden: &str, actual: &str) -> Option<String> {
    if golden == actual {
        return None;
    }
    let mut report = String::new();
    for gone in golden.lines().filter(|line| !actual.lines().any(|other| other == *line)) {
        let _ = writeln!(report, "- {gone}");
    }
    for come in actual.lines().filter(|line| !golden.lines().any(|other| other == *line)) {
        let _ = writeln!(report, "+ {come}");
    }
    if report.is_empty() {
        report.push_str("the same lines in another order or number\n");
    }
    Some(report)
}
