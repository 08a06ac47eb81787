//! The rules over Rust sources. Each is a function from one file to what it found there, so that a snippet
//! can show it failing; which files it is asked about is part of the rule.

use crate::source::{Finding, Source, has_token};

/// Lines of a file that are not test code.
pub(crate) const FILE_LINES: usize = 500;

/// Lines of a function, from `fn` to its closing brace.
pub(crate) const FUNCTION_LINES: usize = 70;

/// Stems that say nothing of what a file holds.
const EMPTY_NAMES: [&str; 10] =
    ["util", "utils", "common", "helper", "helpers", "manager", "type", "types", "misc", "stuff"];

/// What may not stop or talk from inside a library.
const LOUD: [&str; 9] = [
    ".unwrap()",
    ".expect(",
    "todo!",
    "unimplemented!",
    "dbg!",
    "println!",
    "print!",
    "eprintln!",
    "eprint!",
];

/// Reads of the wall or the monotonic clock.
const CLOCKS: [&str; 5] =
    ["Utc::now", "Local::now", "SystemTime::now", "Instant::now", "OffsetDateTime::now"];

/// Words of unfinished work. Written apart, so that this file does not trip over itself.
const UNFINISHED: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("place", "holder")];

/// What a floor may not name, by the start of its path; see "Floors" in ARCHITECTURE.md.
const ABOVE: [(&str, &[&str]); 3] = [
    ("drift/", &["visu_tility_core", "visu_tility_actors", "visu_tility::", "actix", "tokio", "chrono"]),
    ("core/", &["visu_tility_actors", "visu_tility::", "actix::", "actix_rt::", "actix_web::", "tokio::"]),
    ("actors/", &["visu_tility::", "actix_web", "rusqlite"]),
];

/// The outside world, which a floor may not touch. Its tests and benchmarks may: they read
/// fixtures and data.
const OUTSIDE: [(&str, &[&str]); 3] = [
    ("drift/", &["std::fs", "std::net", "std::thread", "std::env", "std::process", "rand::"]),
    ("core/", &["std::fs", "std::net", "std::thread", "std::env", "std::process", "rand::"]),
    ("actors/", &["std::fs", "std::net"]),
];

/// The one file of core that may name actix: the impls behind its optional feature.
const CORE_ACTIX: &str = "core/src/actix.rs";

/// Doors of the product, which know handles and never an actor.
const DOORS: [&str; 2] = ["src/http", "src/cli"];

/// The actors of the third floor.
const ACTORS: [&str; 4] = ["ModelSupervisor", "ModelActor", "RetrainScheduler", "AlertDispatcher"];

/// The one module that may re-export by glob: the import path users were promised.
const FACADE: &str = "src/monitoring.rs";

pub(crate) fn opens_with_module_doc(source: &Source) -> Vec<Finding> {
    let first = source.raw.first().map(String::as_str).unwrap_or_default();
    let says = first.strip_prefix("//!").is_some_and(|doc| !doc.trim().is_empty());
    if says { vec![] } else { vec![source.finding(0, first)] }
}

pub(crate) fn file_is_short(source: &Source) -> Vec<Finding> {
    let whole_file_is_test = source.test.iter().all(|test| *test);
    let lines = source.test.iter().filter(|test| whole_file_is_test || !**test).count();
    if lines <= FILE_LINES { vec![] } else { vec![source.finding(FILE_LINES, format!("{lines} lines"))] }
}

pub(crate) fn functions_are_short(source: &Source) -> Vec<Finding> {
    source
        .functions()
        .into_iter()
        .filter(|function| function.lines.len() > FUNCTION_LINES)
        .filter(|function| !source.allows(function.lines.start, "function-length"))
        .map(|function| {
            let what = format!("fn {} has {} lines", function.name, function.lines.len());
            source.finding(function.lines.start, what)
        })
        .collect()
}

pub(crate) fn file_name_says_something(source: &Source) -> Vec<Finding> {
    let stem = source.stem();
    if stem == "mod" || EMPTY_NAMES.contains(&stem) { vec![source.finding(0, stem)] } else { vec![] }
}

pub(crate) fn library_is_quiet(source: &Source) -> Vec<Finding> {
    let library = ["drift/src/", "core/src/", "actors/src/", "src/"]
        .iter()
        .any(|folder| source.path.starts_with(folder))
        && !is_command_line(&source.path);
    if !library {
        return vec![];
    }
    tokens(source, "quiet", &LOUD, |line| !source.test[line])
}

fn is_command_line(path: &str) -> bool {
    path == "src/main.rs"
        || path == "src/cli.rs"
        || path.starts_with("src/cli/")
        || path.starts_with("src/bin/")
}

pub(crate) fn tests_do_not_sleep(source: &Source) -> Vec<Finding> {
    tokens(
        source,
        "sleep",
        &["sleep", "sleep_until", "sleep_ms", "recv_timeout", "park_timeout", "wait_timeout"],
        |line| source.test[line],
    )
}

pub(crate) fn clock_is_read_in_clock_files(source: &Source) -> Vec<Finding> {
    let floor_without_clock = source.path.starts_with("drift/") || source.path.starts_with("core/");
    if floor_without_clock && !source.path.contains("/benches/") {
        return tokens(source, "clock", &CLOCKS, |_| true);
    }
    let actors = source.path.starts_with("actors/src/") && !source.stem().contains("clock");
    if actors { tokens(source, "clock", &CLOCKS, |line| !source.test[line]) } else { vec![] }
}

pub(crate) fn exports_have_names(source: &Source) -> Vec<Finding> {
    if source.path == FACADE {
        return vec![];
    }
    statements(source, "pub use ")
        .into_iter()
        .filter(|(line, statement)| statement.contains('*') && !source.allows(*line, "glob"))
        .map(|(line, statement)| source.finding(line, statement))
        .collect()
}

pub(crate) fn work_is_finished(source: &Source) -> Vec<Finding> {
    let hit = |line: &str| UNFINISHED.iter().any(|word| has_token(line, word));
    source
        .raw
        .iter()
        .enumerate()
        .filter(|(at, line)| hit(line) && !source.allows(*at, "unfinished"))
        .map(|(at, line)| source.finding(at, line.trim()))
        .collect()
}

pub(crate) fn arrows_never_run_upward(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    for (floor, banned) in ABOVE {
        if source.path.starts_with(floor) && source.path != CORE_ACTIX {
            found.extend(tokens(source, "floor", banned, |_| true));
        }
    }
    let measures = source.path.contains("/benches/") || source.path.contains("/examples/");
    for (floor, banned) in OUTSIDE {
        if source.path.starts_with(floor) {
            found.extend(tokens(source, "floor", banned, |line| !source.test[line] && !measures));
        }
    }
    if DOORS.iter().any(|door| source.path.starts_with(door)) {
        found.extend(tokens(source, "floor", &ACTORS, |_| true));
    }
    found
}

pub(crate) fn example_has_head(source: &Source) -> Vec<Finding> {
    let Some(name) = example_name(&source.path) else { return vec![] };
    let head: Vec<&str> = source
        .raw
        .iter()
        .map(String::as_str)
        .take_while(|line| line.starts_with("//!") || line.trim().is_empty())
        .collect();
    let head = head.join("\n");
    [
        "What it shows".to_owned(),
        "Run it with".to_owned(),
        "You should see".to_owned(),
        format!("--example {name}"),
    ]
    .into_iter()
    .filter(|part| !head.contains(part.as_str()))
    .map(|part| source.finding(0, format!("the head comment lacks \"{part}\"")))
    .collect()
}

/// The name cargo gives an example: `quickstart` for `examples/quickstart.rs` and `examples/quickstart/main.rs`.
pub(crate) fn example_name(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("examples/")?;
    let name = inside.strip_suffix("/main.rs").or_else(|| inside.strip_suffix(".rs"))?;
    (!name.contains('/')).then_some(name)
}

/// Every public name a crate's root gives out: `pub use` by its last or `as` name, `pub mod`, and items
/// defined there. Features are not looked at: a name behind one is public too.
pub(crate) fn public_names(source: &Source) -> Vec<String> {
    let mut names: Vec<String> =
        statements(source, "pub use ").iter().flat_map(|(_, statement)| used_names(statement)).collect();
    for (at, line) in source.code.iter().enumerate() {
        let words: Vec<&str> = line
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .filter(|word| !word.is_empty())
            .collect();
        // Only at the left margin: what is indented belongs to an impl or an inner module.
        if !source.test[at] && line.starts_with("pub ") {
            names.extend(defined_name(&words));
        }
    }
    names.sort();
    names.dedup();
    names
}

fn defined_name(words: &[&str]) -> Option<String> {
    let kinds = ["mod", "fn", "struct", "enum", "trait", "type", "const", "static", "union"];
    let rest = words.iter().skip_while(|word| matches!(**word, "pub" | "async" | "unsafe" | "const"));
    let mut rest = rest.skip_while(|word| !kinds.contains(word));
    if let (Some(kind), Some(name)) = (rest.next(), rest.next()) {
        return Some(if *kind == "mod" { format!("{name} (module)") } else { (*name).to_owned() });
    }
    // `pub const NAME`: the word was skipped as a qualifier.
    match words {
        ["pub", "const", name, ..] => Some((*name).to_owned()),
        _ => None,
    }
}

/// The names that a `pub use` statement brings, nested braces unfolded.
fn used_names(statement: &str) -> Vec<String> {
    let body = statement.trim_start_matches("pub use ").trim_end_matches(';').trim();
    let mut names = Vec::new();
    for part in split_at_top_commas(body) {
        match part.find('{') {
            Some(open) => {
                let prefix = part[..open].trim().trim_end_matches("::");
                let inside = part[open + 1..].trim().trim_end_matches('}');
                names.extend(
                    used_names(inside)
                        .into_iter()
                        .map(|name| if name == "self" { last_name(prefix).to_owned() } else { name }),
                );
            }
            None => names.push(match part.rsplit_once(" as ") {
                Some((_, alias)) => alias.trim().to_owned(),
                None if part.trim().ends_with('*') => part.trim().to_owned(),
                None => last_name(part).to_owned(),
            }),
        }
    }
    names.retain(|name| !name.is_empty() && name != "_");
    names
}

fn last_name(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path).trim()
}

fn split_at_top_commas(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Statements that begin with `opening` outside tests, each on one line, with the line it begins on.
fn statements(source: &Source, opening: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, line) in source.code.iter().enumerate() {
        if source.test[at] || !line.trim_start().starts_with(opening) {
            continue;
        }
        let mut statement = String::new();
        for line in &source.code[at..] {
            statement.push_str(line.trim());
            if line.contains(';') {
                break;
            }
            statement.push(' ');
        }
        found.push((at, statement));
    }
    found
}

fn tokens(source: &Source, rule: &str, needles: &[&str], asked: impl Fn(usize) -> bool) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, line) in source.code.iter().enumerate() {
        if !asked(at) || source.allows(at, rule) {
            continue;
        }
        if let Some(needle) = needles.iter().find(|needle| has_token(line, needle)) {
            found.push(source.finding(at, *needle));
        }
    }
    found
}
