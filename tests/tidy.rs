//! The house rules, as tests over the tree itself. CONTRIBUTING.md says them in words.
//!
//! A rule is a function in `tidy/rules.rs`; `tidy/snippets.rs` shows each one failing on a snippet; the tests
//! here ask it about every file. Where a rule makes a place worse, break it there and say why:
//! `// tidy-allow(rule): why`, on the line or the one before. The rules that can be excused are
//! `function-length`, `quiet`, `sleep`, `clock`, `glob`, `unfinished` and `floor`.
//!
//! After a wanted change of the public names: `BLESS=1 cargo test --test tidy`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may stop

#[path = "tidy/papers.rs"]
mod papers;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/snippets.rs"]
mod snippets;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/tree.rs"]
mod tree;

use std::fmt::Write as _;
use std::path::Path;

use source::{Finding, Source};

fn assert_clean(rule: &str, findings: &[Finding]) {
    let mut report = String::new();
    for Finding { path, line, what } in findings {
        let _ = write!(report, "\n  {path}:{line}: {what}");
    }
    assert!(findings.is_empty(), "{} broken: {rule}{report}", findings.len());
}

fn every_file_keeps(rule: &str, ask: impl Fn(&Source) -> Vec<Finding>) {
    let sources = tree::sources();
    assert!(sources.len() > 3, "the tree was not found at {}", tree::root().display());
    let findings: Vec<Finding> = sources.iter().flat_map(ask).collect();
    assert_clean(rule, &findings);
}

#[test]
fn every_file_opens_with_its_reason() {
    every_file_keeps(
        "the first line of a file is `//!` and says why it exists",
        rules::opens_with_module_doc,
    );
}

#[test]
fn no_file_is_too_long() {
    let rule = format!("a file has at most {} lines without its tests", rules::FILE_LINES);
    every_file_keeps(&rule, rules::file_is_short);
}

#[test]
fn no_function_is_too_long() {
    let rule = format!("a function has at most {} lines", rules::FUNCTION_LINES);
    every_file_keeps(&rule, rules::functions_are_short);
}

#[test]
fn file_names_say_what_is_inside() {
    every_file_keeps(
        "no `mod.rs` (write foo.rs beside foo/), no util, common, helpers, manager, types",
        rules::file_name_says_something,
    );
}

#[test]
fn libraries_neither_stop_nor_print() {
    every_file_keeps(
        "no unwrap, expect, todo, unimplemented, dbg or print in a library outside its tests",
        rules::library_is_quiet,
    );
}

#[test]
fn tests_never_sleep() {
    every_file_keeps("a test waits for a signal or moves the paused clock", rules::tests_do_not_sleep);
}

#[test]
fn time_enters_as_a_value() {
    every_file_keeps(
        "drift and core read no clock; actors read it in files named after it",
        rules::clock_is_read_in_clock_files,
    );
}

#[test]
fn exports_are_by_name() {
    every_file_keeps("no `pub use x::*` outside src/monitoring.rs", rules::exports_have_names);
}

#[test]
fn nothing_is_left_unfinished() {
    every_file_keeps("no words of unfinished work", rules::work_is_finished);
}

#[test]
fn no_floor_names_one_above() {
    every_file_keeps(
        "an arrow never runs upward, and the lower floors know no runtime and no I/O",
        rules::arrows_never_run_upward,
    );
}

#[test]
fn examples_say_what_they_show() {
    every_file_keeps(
        "an example's head says \"What it shows\", \"Run it with\", \"You should see\"",
        rules::example_has_head,
    );
}

#[test]
fn readme_lists_every_example() {
    let readme = tree::text("README.md").unwrap_or_default();
    let findings: Vec<Finding> = tree::sources()
        .iter()
        .filter(|source| {
            rules::example_name(&source.path).is_some_and(|name| !source::has_token(&readme, name))
        })
        .map(|source| source.finding(0, "not named in README.md"))
        .collect();
    assert_clean("every example is listed in README.md", &findings);
}

#[test]
fn no_text_holds_a_path_of_one_machine() {
    let findings: Vec<Finding> =
        tree::texts().iter().flat_map(|(path, text)| papers::machine_paths(path, text)).collect();
    assert_clean("no absolute path of somebody's machine in a tracked file", &findings);
}

#[test]
fn architecture_fits_in_one_sitting() {
    let text = tree::text("ARCHITECTURE.md").expect("ARCHITECTURE.md is one of the papers at the door");
    assert_clean("ARCHITECTURE.md has at most 250 lines", &papers::too_long("ARCHITECTURE.md", &text, 250));
}

#[test]
fn readme_runs_before_line_40() {
    let text = tree::text("README.md").expect("README.md is one of the papers at the door");
    assert_clean(
        "README.md shows a block to run before line 40",
        &papers::no_early_block("README.md", &text),
    );
}

#[test]
fn links_between_papers_lead_somewhere() {
    let findings: Vec<Finding> = tree::texts()
        .iter()
        .filter(|(path, _)| Path::new(path).extension().is_some_and(|ending| ending == "md"))
        .flat_map(|(path, text)| papers::dead_links(path, text, |target| tree::root().join(target).exists()))
        .collect();
    assert_clean("a relative link names a file of the repository", &findings);
}

#[test]
fn public_names_are_the_agreed_ones() {
    papers::assert_golden("tests/golden/public_names.txt", &papers::public_names(tree::sources()));
}
