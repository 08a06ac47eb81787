//! Each rule shown failing, and passing beside it, on a snippet: a rule that cannot fail is worthless.

use crate::papers;
use crate::rules;
use crate::source::{Finding, Source, has_token, mask};

fn lines(findings: &[Finding]) -> Vec<usize> {
    findings.iter().map(|finding| finding.line).collect()
}

fn ask(rule: fn(&Source) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
    lines(&rule(&Source::new(path, text)))
}

#[test]
fn comments_and_literals_are_blanked() {
    let blank = |text: &str| mask(text).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(blank("a // b {\nc"), "a c");
    assert_eq!(blank("a /* { /* nested */ } */ b"), "a b");
    assert_eq!(blank(r#"a("}\"{", b'{', '\'', '}')"#), "a( , , , )");
    assert_eq!(blank("let r = r#\"a \" {\"#; x"), "let r = ; x");
    assert_eq!(blank("br\"\\\" cr##\"\"# \"## c\"{\" r#type"), "r#type");
    assert_eq!(blank("fn f<'a>(x: &'a str, y: char) {}"), "fn f<'a>(x: &'a str, y: char) {}");
    assert_eq!(blank("'\\u{7d}' + 'é' + bar\"{\""), "+ + bar");
}

#[test]
fn masking_keeps_every_line_where_it_was() {
    let text = "a\n/* b\nc */\n\"d\ne\"\nf";
    assert_eq!(mask(text).lines().count(), text.lines().count());
    assert!(mask(text).ends_with("\nf"));
}

#[test]
fn words_are_whole() {
    assert!(has_token("Utc::now()", "Utc::now"));
    assert!(!has_token("MyUtc::now()", "Utc::now"));
    assert!(!has_token("Utc::nowhere", "Utc::now"));
    assert!(has_token("x.unwrap().y", ".unwrap()"));
    assert!(!has_token("x.unwrap_or(1)", ".unwrap()"));
}

#[test]
fn test_items_are_told_from_code_that_ships() {
    let text = "fn a() {}\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n fn b() {}\n}\nfn c() {}\n";
    assert_eq!(Source::new("core/src/x.rs", text).test, [false, true, true, true, true, true, false]);
    let shipped = "#[cfg(not(test))]\nfn a() {}\n#[cfg(any(test, feature = \"f\"))]\nfn b() {}";
    assert_eq!(Source::new("core/src/x.rs", shipped).test, [false; 4]);
    let field = "struct S {\n#[cfg(test)]\na: u8,\n}\nfn c() {}";
    assert!(!Source::new("core/src/x.rs", field).test[4]);
    assert_eq!(Source::new("core/tests/x.rs", "fn a() {}").test, [true]);
}

#[test]
fn functions_are_found_with_their_lines() {
    let text = "fn a(x: [u8; 3]) -> u8 {\n  let p: fn(u8) = q; // }\n  fn inner() {\n  }\n  1\n}\ntrait T { fn none(); }";
    let found = Source::new("core/src/x.rs", text).functions();
    let spans: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.lines.start, f.lines.end)).collect();
    assert_eq!(spans, [("a", 0, 6), ("inner", 2, 4)]);
}

#[test]
fn a_file_without_a_reason_is_found() {
    assert_eq!(ask(rules::opens_with_module_doc, "core/src/x.rs", "use a;\n"), [1]);
    assert_eq!(ask(rules::opens_with_module_doc, "core/src/x.rs", "//!\n"), [1]);
    assert_eq!(ask(rules::opens_with_module_doc, "core/src/x.rs", ""), [1]);
    assert!(ask(rules::opens_with_module_doc, "core/src/x.rs", "//! Why.\n").is_empty());
}

#[test]
fn a_long_file_is_found_and_its_tests_do_not_count() {
    let long = "a;\n".repeat(rules::FILE_LINES + 1);
    assert_eq!(ask(rules::file_is_short, "core/src/x.rs", &long), [rules::FILE_LINES + 1]);
    assert_eq!(ask(rules::file_is_short, "tests/x.rs", &long), [rules::FILE_LINES + 1]);
    let tested = format!("a;\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert!(ask(rules::file_is_short, "core/src/x.rs", &tested).is_empty());
}

#[test]
fn a_long_function_is_found() {
    let body = "    a();\n".repeat(rules::FUNCTION_LINES - 2);
    let fits = format!("fn f() {{\n{body}}}\n");
    assert!(ask(rules::functions_are_short, "core/src/x.rs", &fits).is_empty());
    let long = format!("\nfn f() {{\n{body}    a();\n}}\n");
    assert_eq!(ask(rules::functions_are_short, "core/src/x.rs", &long), [2]);
}

#[test]
fn empty_names_are_found() {
    for path in ["core/src/alert/mod.rs", "core/src/util.rs", "actors/src/manager.rs", "src/http/helpers.rs"]
    {
        assert_eq!(ask(rules::file_name_says_something, path, ""), [1], "{path}");
    }
    assert!(ask(rules::file_name_says_something, "core/src/observer_manager.rs", "").is_empty());
}

#[test]
fn loud_code_is_found_in_libraries_only() {
    let text = "a.unwrap();\n// b.unwrap()\nc.expect(\"d\");\ndbg!(x);\nprintln!();\n#[cfg(test)]\nfn t() { a.unwrap() }\n";
    assert_eq!(ask(rules::library_is_quiet, "core/src/x.rs", text), [1, 3, 4, 5]);
    assert_eq!(ask(rules::library_is_quiet, "src/http/x.rs", text), [1, 3, 4, 5]);
    for path in ["src/main.rs", "src/cli/replay.rs", "tests/it/x.rs", "examples/x.rs", "xtask/src/ci.rs"] {
        assert!(ask(rules::library_is_quiet, path, text).is_empty(), "{path}");
    }
    for word in ["todo!()", "unimplemented!()", "eprintln!()", "print!()", "eprint!()"] {
        assert_eq!(ask(rules::library_is_quiet, "drift/src/x.rs", word), [1], "{word}");
    }
}

#[test]
fn an_excuse_needs_a_why_and_reaches_one_line() {
    let with = "a.unwrap(); // tidy-allow(quiet): the lock cannot be poisoned\n";
    assert!(ask(rules::library_is_quiet, "core/src/x.rs", with).is_empty());
    let before = "// tidy-allow(quiet): the lock cannot be poisoned\na.unwrap();\nb.unwrap();\n";
    assert_eq!(ask(rules::library_is_quiet, "core/src/x.rs", before), [3]);
    let without = "a.unwrap(); // tidy-allow(quiet):\n";
    assert_eq!(ask(rules::library_is_quiet, "core/src/x.rs", without), [1]);
    let other = "a.unwrap(); // tidy-allow(sleep): wrong rule\n";
    assert_eq!(ask(rules::library_is_quiet, "core/src/x.rs", other), [1]);
}

#[test]
fn a_sleeping_test_is_found() {
    let text = "std::thread::sleep(d);\ntokio::time::sleep(d).await;\nuse std::thread::sleep;\nasleep();\n";
    assert_eq!(ask(rules::tests_do_not_sleep, "tests/it/x.rs", text), [1, 2, 3]);
    assert!(ask(rules::tests_do_not_sleep, "src/x.rs", text).is_empty());
    let waits = "lines.recv();\nlines.recv_timeout(d);\n";
    assert_eq!(ask(rules::tests_do_not_sleep, "tests/it/x.rs", waits), [2]);
}

#[test]
fn a_clock_is_found_where_it_may_not_be_read() {
    for read in ["Utc::now()", "std::time::SystemTime::now()", "Instant::now()"] {
        assert_eq!(ask(rules::clock_is_read_in_clock_files, "drift/src/x.rs", read), [1], "{read}");
        assert_eq!(ask(rules::clock_is_read_in_clock_files, "core/src/clock.rs", read), [1], "{read}");
        assert_eq!(ask(rules::clock_is_read_in_clock_files, "actors/src/x.rs", read), [1], "{read}");
        assert!(ask(rules::clock_is_read_in_clock_files, "actors/src/wall_clock.rs", read).is_empty());
        assert!(ask(rules::clock_is_read_in_clock_files, "src/cli/replay.rs", read).is_empty());
    }
}

#[test]
fn a_glob_export_is_found() {
    let text = "pub use a::*;\nuse b::*;\npub use c::{\n    d,\n    e::*,\n};\npub use f::g;\n";
    assert_eq!(ask(rules::exports_have_names, "core/src/lib.rs", text), [1, 3]);
    assert!(ask(rules::exports_have_names, "src/monitoring.rs", text).is_empty());
}

#[test]
fn unfinished_work_is_found() {
    let words = [concat!("// TO", "DO: x"), concat!("/// FIX", "ME"), concat!("//! place", "holder")];
    for word in words {
        assert_eq!(ask(rules::work_is_finished, "core/src/x.rs", &format!("a\n{word}\n")), [2], "{word}");
    }
    assert!(ask(rules::work_is_finished, "core/src/x.rs", "const XXXL: u8 = 1;").is_empty());
}

#[test]
fn an_arrow_upward_is_found() {
    let upward = [
        ("drift/src/x.rs", "use visu_tility_core::A;"),
        ("drift/src/x.rs", "use std::fs;"),
        ("core/src/x.rs", "use visu_tility_actors::A;"),
        ("core/src/x.rs", "impl actix::Message for A {}"),
        ("core/src/x.rs", "std::thread::spawn(f);"),
        ("actors/src/x.rs", "use actix_web::web;"),
        ("actors/src/x.rs", "use rusqlite::Connection;"),
        ("actors/src/x.rs", "std::fs::read(p);"),
        ("src/http/models.rs", "use visu_tility_actors::ModelSupervisor;"),
        ("src/cli/replay.rs", "AlertDispatcher::start();"),
    ];
    for (path, text) in upward {
        assert_eq!(ask(rules::arrows_never_run_upward, path, text), [1], "{path}: {text}");
    }
    let fine = [
        ("core/src/actix.rs", "impl actix::Message for A {}"),
        ("core/src/x.rs", "//! Never names actix::Message."),
        ("core/src/x.rs", "use visu_tility_drift::Signal;"),
        ("drift/tests/golden.rs", "std::fs::read(fixture);"),
        ("drift/benches/x.rs", "std::fs::read(data);"),
        ("actors/src/x.rs", "use actix::prelude::*;"),
        ("src/http/models.rs", "let s: ModelSupervisorStatus = handle.status();"),
    ];
    for (path, text) in fine {
        assert!(ask(rules::arrows_never_run_upward, path, text).is_empty(), "{path}: {text}");
    }
}

#[test]
fn an_example_without_its_head_is_found() {
    let head = "//! What it shows: a.\n//! Run it with `cargo run --example x`.\n//! You should see: b.\n";
    assert!(ask(rules::example_has_head, "examples/x.rs", head).is_empty());
    assert_eq!(ask(rules::example_has_head, "examples/y.rs", head), [1]);
    assert_eq!(ask(rules::example_has_head, "examples/x.rs", "//! Nothing.\n").len(), 4);
    assert_eq!(rules::example_name("examples/x/main.rs"), Some("x"));
    assert_eq!(rules::example_name("examples/x/part.rs"), None);
}

#[test]
fn public_names_are_read_off_a_root_module() {
    let text = "pub mod codec;\npub use a::{B, c::{self, D as E}};\npub use f::G;\nmod private;\npub(crate) use h::I;\n\
                pub const fn j() {}\npub const K: u8 = 1;\n#[cfg(test)]\nmod tests {\n    pub use l::M;\n}\n";
    let names = rules::public_names(&Source::new("core/src/lib.rs", text));
    assert_eq!(names, ["B", "E", "G", "K", "c", "codec (module)", "j"]);
}

#[test]
fn a_path_of_one_machine_is_found() {
    let paths = |line: &str| lines(&papers::machine_paths("README.md", line));
    for folder in ["work", "tmp", "root", "home"] {
        assert_eq!(paths(&format!("a\nsee /{folder}/x")), [2], "{folder}");
        assert_eq!(paths(&format!("\"/{folder}/x\"")), [1], "{folder}");
        assert!(paths(&format!("https://example.org/{folder}/x and .../{folder}/")).is_empty(), "{folder}");
    }
}

#[test]
fn papers_that_break_their_bounds_are_found() {
    assert_eq!(lines(&papers::too_long("A.md", "a\nb\nc\n", 2)), [3]);
    assert!(papers::too_long("A.md", "a\nb\n", 2).is_empty());
    assert_eq!(lines(&papers::no_early_block("README.md", &"a\n".repeat(60))), [40]);
    assert!(papers::no_early_block("README.md", "a\n```rust\n").is_empty());
}

#[test]
fn a_dead_link_is_found() {
    let text = "[a](there.md#x) [b](https://c.d)\n[e](gone.md)\n```\n[f](gone.md)\n```\n[g](#x)\n";
    assert_eq!(lines(&papers::dead_links("docs/p.md", text, |target| target == "docs/there.md")), [2]);
}

#[test]
fn a_golden_file_shows_what_went_and_came() {
    assert_eq!(papers::difference("a\nb\n", "a\nb\n"), None);
    assert_eq!(papers::difference("a\nb\n", "a\nc\n").as_deref(), Some("- b\n+ c\n"));
    assert!(papers::difference("a\nb\n", "b\na\n").is_some());
}
