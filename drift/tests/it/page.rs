//! `docs/detectors.md` is made by a program; it must have been run since the last change of a detector.

use visu_tility_drift::{AnyParams, Setting};

#[test]
fn the_page_has_every_detector_and_every_parameter_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/detectors.md");
    let Ok(page) = std::fs::read_to_string(path) else {
        println!("skipped: this copy of the crate is without {path}");
        return;
    };
    let again = "run `cargo xtask detectors`";
    for name in AnyParams::NAMES {
        let params = AnyParams::by_name(name).unwrap();
        assert!(!params.when().is_empty(), "{name} does not say when to use it");
        assert!(page.contains(&format!("| [`{name}`](#{name}) |")), "no row of {name}: {again}");
        let section = page.split("\n## ").find(|section| section.lines().next() == Some(name));
        let section = section.unwrap_or_else(|| panic!("no section of {name}: {again}"));
        let rows = section.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(rows, params.parameters().len(), "parameters of {name}: {again}");
        for parameter in params.parameters() {
            let default = match params.get(parameter.name).unwrap() {
                Setting::Number(number) => format!("{number:?}"),
                Setting::Count(count) => count.to_string(),
                Setting::Word(word) => format!("\"{word}\""),
                Setting::Flag(flag) => flag.to_string(),
                other => panic!("{other:?}"),
            };
            let row = format!("| `{}` | `{default}` |", parameter.name);
            assert!(section.contains(&row), "{name} has no {row} in the page: {again}");
        }
    }
}
