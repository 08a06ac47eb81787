//! Plans on the command line: what they change, how mistakes are told, and the help.

use crate::replay_command::{DIGITS, Folder, assert_golden, run};

const PLAN: &str = r#"
[[rule]]
name = "accuracy-floor"
type = "performance"
models = "dig*"
min_accuracy = 0.85
"#;

#[test]
fn a_plan_decides_who_watches() {
    let folder = Folder::new("plan");
    let plan = folder.write("plan.toml", PLAN);
    let report = run(["replay", DIGITS[0], "--plan", &plan, "--format", "json"]).json();
    let observers = report["models"][0]["observers"].as_array().unwrap();
    assert_eq!(observers.len(), 1);
    assert_eq!(observers[0]["observer"], "accuracy-floor");
    let asked = &observers[0][if cfg!(feature = "automated_retraining") { "retrains" } else { "alerts" }];
    assert!(asked.as_u64().unwrap() >= 2, "{observers:?}");
    let page = run(["replay", DIGITS[0], "--plan", &plan, "--format", "html"]).stdout;
    assert!(page.contains("accuracy-floor: limit 0.85"), "the limit is drawn");
}

#[test]
fn a_good_plan_is_said_to_be_one() {
    let folder = Folder::new("check");
    let plan = folder.write("plan.toml", PLAN);
    let ran = run(["check", &plan]);
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    let said = folder.strip(&ran.stdout);
    assert!(said.starts_with("ok: plan.toml: 1 observer\n\n  accuracy-floor"), "{said}");
    assert!(said.contains("Accuracy of dig*"), "{said}");
}

#[test]
fn a_file_that_a_plan_names_is_beside_the_plan() {
    let folder = Folder::new("reference");
    let rule = "[[rule]]\nname = \"ink\"\ntype = \"distribution\"\nkinds = \"Feature:ink\"\nreference_file = \"ink.json\"\n";
    let plan = folder.write("plan.toml", rule);
    let ran = run(["check", &plan]);
    assert_eq!((ran.status, &*ran.stdout), (2, ""));
    let said = folder.strip(&ran.stderr);
    let wanted =
        "error: plan.toml: line 5: rule \"ink\": `reference_file` is \"ink.json\", which cannot be read: ";
    assert!(said.starts_with(wanted), "{said}");
    folder.write("ink.json", "{\"edges\": [0, 1, 2], \"counts\": [500, 500]}");
    let ran = run(["check", &plan]);
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    assert!(ran.stdout.contains("distribution (js)"), "{}", ran.stdout);
    let report = run(["replay", DIGITS[0], "--plan", &plan, "--format", "json"]).json();
    let observers = report["models"][0]["observers"].as_array().unwrap();
    assert_eq!(observers[0]["observer"], "ink");
    assert!(observers[0]["alerts"].as_u64().unwrap() >= 1, "no ink is within the reference: {observers:?}");
}

#[test]
fn every_mistake_of_a_plan_is_told_with_its_line() {
    let folder = Folder::new("mistakes");
    let text = "[[rule]]\nname = \"floor\"\ntype = \"performance\"\nmin_acuracy = 0.85\n\n[[rule]]\nname = \"floor\"\ntype = \"staleness\"\n";
    let plan = folder.write("plan.toml", text);
    for args in [&["check", &plan][..], &["replay", DIGITS[0], "--plan", &plan]] {
        let ran = run(args.iter());
        assert_eq!((ran.status, &*ran.stdout), (2, ""));
        let said = folder.strip(&ran.stderr);
        assert!(said.lines().all(|line| line.starts_with("error: plan.toml: line ")), "{said}");
        assert!(
            said.contains("line 4") && said.contains("`min_acuracy`") && said.contains("`min_accuracy`"),
            "{said}"
        );
        assert!(said.contains("line 7"), "{said}");
    }
    let ran = run(["check", &folder.path("absent.toml")]);
    assert_eq!((ran.status, ran.stderr.contains("absent.toml: No such file")), (2, true));
}

#[test]
fn the_help_is_as_agreed() {
    let parts = [&["--help"][..], &["replay", "--help"], &["calibrate", "--help"], &["check", "--help"]];
    let parts = parts.map(run);
    assert!(parts.iter().all(|part| part.status == 0));
    assert_golden("help.txt", &parts.map(|part| part.stdout).join("\n-----\n\n"));
    let version = run(["--version"]).stdout;
    assert_eq!(version, format!("visu-tility {}\n", env!("CARGO_PKG_VERSION")));
}
