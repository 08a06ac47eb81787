//! What the docs show of a command's output is what it says: figures in them cannot become stale.

use serde_json::Value;

use crate::replay_command::{Folder, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn page(name: &str) -> String {
    std::fs::read_to_string(format!("{ROOT}/{name}")).unwrap()
}

/// The blocks of a page between fences: language and content.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let parts = page.split("```").skip(1).step_by(2);
    parts.map(|block| block.split_once('\n').unwrap()).collect()
}

/// The words behind the name of the program, `plan.toml` in a folder of the test's own.
fn words(command: &str, folder: &Folder) -> Vec<String> {
    let command = command.replace("\\\n", " ");
    let words = command.split_whitespace().skip_while(|word| !["replay", "calibrate"].contains(word));
    words.map(|word| if word == "plan.toml" { folder.path(word) } else { word.to_owned() }).collect()
}

/// The part of an output that begins with the same word as a part that is shown, and is as long.
fn same_part(shown: &[&str], output: &str) -> Vec<String> {
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let from = output.lines().skip_while(|line| first(line) != first(shown[0]));
    from.take(shown.len()).map(str::to_owned).collect()
}

#[test]
fn the_page_on_calibrate_shows_what_the_command_says() {
    let folder = Folder::new("documented_calibrate");
    let text = page("docs/calibrate.md");
    let blocks = blocks(&text);
    let shown = blocks.iter().position(|(language, _)| *language == "text").unwrap();
    let ((language, command), shown) = (blocks[shown - 1], blocks[shown].1);
    assert_eq!(language, "sh");
    let output = run(words(command, &folder)).stdout;
    let lines: Vec<&str> = shown.lines().collect();
    let parts: Vec<String> =
        lines.split(|line| *line == "...").map(|part| same_part(part, &output).join("\n")).collect();
    let found = parts.join("\n...\n") + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(format!("{ROOT}/docs/calibrate.md"), text.replace(shown, &found)).unwrap();
        return;
    }
    assert_eq!(shown, found, "after a wanted change: BLESS=1 cargo test --test it\n{output}");
}

/// Where what is shown is not what was found, with both; an empty list or table stands for one that is left out.
fn stale(shown: &Value, found: &Value, place: &str) -> Vec<(String, Value, Value)> {
    let wrong = || vec![(place.to_owned(), shown.clone(), found.clone())];
    match (shown, found) {
        (Value::Array(shown), Value::Array(found)) if shown.len() <= found.len() => {
            let pairs = shown.iter().zip(found).enumerate();
            pairs.flat_map(|(at, (shown, found))| stale(shown, found, &format!("{place}[{at}]"))).collect()
        }
        (Value::Object(shown), Value::Object(_)) if shown.is_empty() => Vec::new(),
        (Value::Object(shown), Value::Object(found)) if found.keys().all(|key| shown.contains_key(key)) => {
            let pairs = shown.iter().map(|(key, shown)| (key, shown, &found[key]));
            pairs.flat_map(|(key, shown, found)| stale(shown, found, &format!("{place}.{key}"))).collect()
        }
        (shown, found) if shown == found => Vec::new(),
        _ => wrong(),
    }
}

/// The text with a figure mended, by the key that it stands behind.
fn mended(text: &str, (place, shown, found): &(String, Value, Value)) -> String {
    let key = place.rsplit('.').next().unwrap();
    text.replacen(&format!("\"{key}\": {shown}"), &format!("\"{key}\": {found}"), 1)
}

#[test]
fn the_page_on_replay_shows_the_report_of_the_readmes_first_command() {
    let folder = Folder::new("documented_replay");
    let (readme, replay) = (page("README.md"), page("docs/replay.md"));
    let command = readme.lines().find(|line| line.contains(" replay ")).unwrap();
    let mut words = words(command, &folder);
    words.extend(["--format", "json"].map(str::to_owned));
    let found = run(words).json();
    let shown = blocks(&replay).into_iter().find(|(language, _)| *language == "json").unwrap().1;
    let stale = stale(&serde_json::from_str(shown).unwrap(), &found, "report");
    if std::env::var_os("BLESS").is_some() {
        let text = stale.iter().fold(replay.clone(), |text, one| mended(&text, one));
        std::fs::write(format!("{ROOT}/docs/replay.md"), text).unwrap();
        return;
    }
    assert_eq!(stale, [], "place, shown, found; after a wanted change: BLESS=1 cargo test --test it");
}

#[test]
fn a_figure_that_is_stale_is_found() {
    let of = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let found = of(r#"{"a": [{"b": 1.5, "c": 2}, {"b": 3, "c": 4}], "d": {"e": null}}"#);
    assert_eq!(stale(&of(r#"{"a": [{"b": 1.5, "c": 2}], "d": {}}"#), &found, ""), []);
    for (text, place) in [
        (r#"{"a": [{"b": 1.4, "c": 2}], "d": {}}"#, ".a[0].b"),
        (r#"{"a": [{"b": 1.5}], "d": {}}"#, ".a[0]"),
        (r#"{"a": [], "d": {"e": 0}}"#, ".d.e"),
        (r#"{"a": []}"#, ""),
    ] {
        let stale = stale(&of(text), &found, "");
        assert_eq!(stale.iter().map(|(place, ..)| place.as_str()).collect::<Vec<_>>(), [place]);
        if place == ".a[0].b" {
            assert_eq!(mended(text, &stale[0]), text.replace("1.4", "1.5"));
        }
    }
    let output = "head\n  Correct 1 value\n    rule\ntail\n";
    assert_eq!(same_part(&["  Correct 2 values", "    old"], output), ["  Correct 1 value", "    rule"]);
}

/// All Rust sources of some folders.
fn sources(folder: &std::path::Path, found: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|ending| ending == "rs") {
            *found += &std::fs::read_to_string(entry).unwrap();
        }
    }
}

#[test]
fn each_test_that_the_page_on_semantics_names_is_there() {
    let mut text = String::new();
    for folder in ["actors/src", "actors/tests", "core/src", "core/tests", "src", "tests"] {
        sources(&std::path::Path::new(ROOT).join(folder), &mut text);
    }
    let page = page("docs/semantics_tests.md");
    let names = page.split('`').skip(1).step_by(2);
    let names: Vec<&str> = names.filter(|name| name.matches('_').count() >= 3).collect();
    assert!(names.len() > 60, "{} names were found", names.len());
    let gone: Vec<_> = names.iter().filter(|name| !text.contains(&format!("fn {name}()"))).collect();
    // Of a proptest the arguments stand on the lines behind.
    let gone: Vec<_> = gone.into_iter().filter(|name| !text.contains(&format!("fn {name}(\n"))).collect();
    assert!(gone.is_empty(), "no such tests: {gone:#?}");
}
