//! From events to a plan: what is proposed, that the plan is one, and what is told of a history that will
//! not do.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::process::Stdio;

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use visu_tility::monitoring::MonitorPlan;

use crate::replay_command::{DIGITS, Folder, Ran, assert_golden, command, gzip, run};

/// The end of the digits' good events: the camera shifts at 01:23:20.
const GOOD_UNTIL: &str = "2025-02-03T01:23:00Z";

/// The digits' events of some kinds.
fn digits(kinds: &[&str]) -> String {
    let file = std::fs::File::open(format!("{}/{}", env!("CARGO_MANIFEST_DIR"), DIGITS[0])).unwrap();
    let mut text = String::new();
    MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    let wanted = |line: &&str| kinds.iter().any(|kind| line.contains(&format!("\"kind\":\"{kind}\"")));
    text.lines().filter(wanted).fold(String::new(), |text, line| text + line + "\n")
}

/// Right and wrong answers of a model, a second apart: wrong where `wrong` says so.
pub(crate) fn answers(model: &str, count: u64, wrong: impl Fn(u64) -> bool) -> String {
    let mut text = String::new();
    for at in 0..count {
        let (ts, value) = (1_738_540_800_000 + at * 1_000, u8::from(!wrong(at)));
        let _ = writeln!(text, r#"{{"model_id":"{model}","ts":{ts},"kind":"Correct","value":{value}}}"#);
    }
    text
}

/// A number below `n` that looks like chance.
pub(crate) fn chance(at: u64, n: u64) -> u64 {
    let z = at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z ^ (z >> 31)) % n
}

pub(crate) fn calibrate(events: &str, more: &[&str]) -> Ran {
    run(["calibrate", events, "--runs", "20"].iter().chain(more))
}

pub(crate) fn kind<'a>(report: &'a Value, model: &str, kind: &str) -> &'a Value {
    let kinds = report["kinds"].as_array().unwrap();
    kinds.iter().find(|one| one["model_id"] == model && one["kind"] == kind).unwrap()
}

#[test]
fn digits_are_calibrated_as_agreed() {
    let folder = Folder::new("calibrate_golden");
    let events = folder.write("digits.ndjson", digits(&["Correct", "Confidence", "Accuracy"]));
    let plan = folder.path("plan.toml");
    let ran = calibrate(&events, &["--good-until", GOOD_UNTIL, "--plan-out", &plan]);
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    assert_golden("calibrate_digits.txt", &folder.strip(&ran.stdout));
    assert_golden("calibrate_digits.toml", &std::fs::read_to_string(&plan).unwrap());
}

#[test]
fn the_plan_is_one_and_fires_what_was_shown() {
    let folder = Folder::new("calibrate_plan");
    let path = folder.path("plan.toml");
    let args = ["--good-until", GOOD_UNTIL, "--plan-out", &path, "--format", "json"];
    let report = calibrate(DIGITS[0], &args).json();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(report["plan"], *text);
    let plan = MonitorPlan::from_toml(&text).unwrap();
    assert_eq!(plan.budget().false_alarms_per_30_days, 1.0);
    let names: Vec<&str> = plan.rules().iter().map(|rule| &*rule.name).collect();
    for kept in ["drift-score", "latency", "data-quality", "staleness"] {
        assert!(names.contains(&kept), "{names:?}");
    }
    let ran = run(["check", &path]);
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    assert!(!ran.stdout.contains("takes values") && !ran.stdout.contains("looks for"), "{}", ran.stdout);
    let replayed = run(["replay", DIGITS[0], "--plan", &path, "--format", "json"]).json();
    assert_eq!(replayed["alarms"], report["replay"]["alarms"]);
    let correct = kind(&report, "digits", "Correct");
    assert_eq!((&correct["watch"], &correct["detector"]), (&"proposed".into(), &"e-sr".into()));
    assert!(correct["parameters"].get("arl").is_none(), "the budget sets it");
    let bound = correct["parameters"]["m_pre"].as_f64().unwrap();
    assert!(bound < correct["mean"].as_f64().unwrap() - 0.005, "the level is not used as if it were known");
}

#[test]
fn delays_and_run_lengths_are_those_of_the_plan() {
    let folder = Folder::new("calibrate_delay");
    let events = folder.write("a.ndjson", answers("a", 20_000, |at| chance(at, 20) == 0));
    let args = ["--format", "json", "--false-alarms-per-30d", "2", "--drop", "0.05", "--runs", "100"];
    let report = run(["calibrate", &events].iter().chain(&args)).json();
    let found = kind(&report, "a", "Correct");
    // One detector, one value a second (taken as 131,072 a day), two false alarms.
    assert_eq!(found["arl"], 30.0 * 131_072.0 / 2.0);
    let needed = found["arl_needed"].as_f64().unwrap();
    assert!((needed / (30.0 * 86_400.0 / 2.0) - 1.0).abs() < 1e-3, "{needed}");
    assert_eq!(found["budget"], 2.0);
    let delay = &found["delays"][0];
    let (values, seconds) = (delay["values"].as_f64().unwrap(), delay["seconds"].as_f64().unwrap());
    assert!((values - seconds).abs() < 0.01 * values, "one value a second");
    assert!((100.0..600.0).contains(&values) && delay["missed"] == 0, "{delay}");
    assert_eq!(found["delays"].as_array().unwrap().len(), 1);
    // An alert is kept for twice the delay: about as long as alarms are apart while the level stays bad.
    let (keep, mean) = (found["keep_firing_s"].as_f64().unwrap(), delay["mean"].as_f64().unwrap());
    assert!(keep == 900.0 || (keep / 60.0 - (2.0 * mean / 60.0).ceil()).abs() < 1e-9, "{keep} after {mean}");
    let plan = MonitorPlan::from_toml(report["plan"].as_str().unwrap()).unwrap();
    let rule = plan.rules().iter().find(|rule| &*rule.name == "correct-calibrated").unwrap();
    assert_eq!(rule.persistence.keep_firing.as_secs_f64(), keep);
    let tighter = ["--format", "json", "--false-alarms-per-30d", "0.01", "--drop", "0.05"];
    let tighter = calibrate(&events, &tighter).json();
    let later = kind(&tighter, "a", "Correct")["delays"][0]["values"].as_f64().unwrap();
    assert!(later > values, "fewer false alarms cost delay: {later} against {values}");
}

/// The story: latencies of a cache, 1 ms or 10, got the default plan's median shift, which needs a move by several
/// times their spread and was promised to see nothing.
#[test]
fn latencies_with_two_levels_get_a_detector_that_sees_their_mean_move() {
    let folder = Folder::new("calibrate_cache");
    let mut text = String::new();
    for at in 0..6_000_u64 {
        let value = if chance(at, 10) < if at < 5_000 { 5 } else { 3 } { 1 } else { 10 };
        let ts = 1_738_540_800_000 + at * 60_000;
        let _ = writeln!(text, r#"{{"model_id":"shop","ts":{ts},"kind":"LatencyMs","value":{value}}}"#);
    }
    let events = folder.write("events.ndjson", text);
    // Minute 5,000.
    let report = calibrate(&events, &["--format", "json", "--good-until", "2025-02-06T11:20:00Z"]).json();
    let latency = kind(&report, "shop", "LatencyMs");
    assert_eq!(latency["detector"], "conformal-sr");
    assert!(latency["delays"].as_array().unwrap().iter().all(|delay| delay["missed"] == 0), "{latency}");
    let alarms = report["replay"]["alarms"].as_array().unwrap();
    let found = |alarm: &Value| alarm["model_index"].as_u64().unwrap() >= 5_000;
    assert!(
        alarms.iter().any(found) && alarms.iter().filter(|alarm| !found(alarm)).count() <= 1,
        "{alarms:?}"
    );
}

#[test]
fn models_with_other_levels_have_rules_of_their_own() {
    let folder = Folder::new("calibrate_models");
    let good = answers("good", 8_000, |at| chance(at, 50) == 0);
    let bad = answers("bad", 8_000, |at| chance(at, 5) == 0);
    let events = folder.write("three.ndjson", good + &bad + &answers("few", 100, |at| at % 9 == 0));
    let report = calibrate(&events, &["--format", "json"]).json();
    let plan = MonitorPlan::from_toml(report["plan"].as_str().unwrap()).unwrap();
    let rule = |name: &str| plan.rules().iter().find(|rule| &*rule.name == name).unwrap();
    let models =
        |name: &str| rule(name).scope.models.iter().map(|glob| glob.as_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(models("correct-calibrated"), ["bad"]);
    assert_eq!(models("correct-calibrated-2"), ["good"]);
    assert_eq!(models("correct-change"), [""; 0]);
    assert!(rule("correct-change").scope.fallback, "the default plan's, for the others");
    assert_eq!(kind(&report, "few", "Correct")["rule"], "correct-change");
    let why = kind(&report, "few", "Correct")["why"].as_str().unwrap();
    assert_eq!(why, "100 of the 256 good values that a proposal needs");
}

#[test]
fn the_standard_input_is_read_once_and_used_twice() {
    let text = answers("a", 2_000, |at| chance(at, 10) == 0);
    let folder = Folder::new("calibrate_stdin");
    let events = folder.write("-", &text);
    let mut child = command()
        .args(["calibrate", "-", "--format", "json", "--runs", "20"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&gzip(text.as_bytes())).unwrap();
    let piped: Value = serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap();
    let read = calibrate(&events, &["--format", "json"]);
    assert_eq!(piped["kinds"], read.json()["kinds"]);
    assert_eq!(piped["replay"], read.json()["replay"]);
    assert_eq!(piped["plan"], read.json()["plan"]);
    assert!(read.stdout == calibrate(&events, &["--format", "json"]).stdout, "the same twice");
}

#[test]
fn what_cannot_be_asked_is_told_with_what_is_allowed() {
    let folder = Folder::new("calibrate_usage");
    let events = folder.write("a.ndjson", answers("a", 10, |_| false));
    let budget = "from 0.000001 to 1000000";
    for (args, allowed) in [
        (&["--false-alarms-per-30d", "0"][..], budget),
        (&["--false-alarms-per-30d", "-1"], budget),
        (&["--false-alarms-per-30d", "NaN"], budget),
        (&["--false-alarms-per-30d", "1e99"], budget),
        (&["--drop", "0"], "above 0 and at most 1"),
        (&["--shift", "inf"], "above 0 and at most 100"),
        (&["--runs", "0"], "1..=10000"),
        (&["--good-until", "soon"], "must be a time"),
    ] {
        let ran = run(["calibrate", &events].iter().chain(args));
        assert_eq!((ran.status, &*ran.stdout), (2, ""), "{args:?}");
        assert!(ran.stderr.contains(args[0]) && ran.stderr.contains(allowed), "{}", ran.stderr);
    }
    for (option, other) in [("--out", &events), ("--plan-out", &events)] {
        let ran = calibrate(&events, &[option, other]);
        assert_eq!(ran.status, 2);
        assert!(ran.stderr.starts_with(&format!("error: {option}: ")), "{}", ran.stderr);
    }
    let both = folder.path("both");
    let ran = calibrate(&events, &["--out", &both, "--plan-out", &both]);
    assert!(ran.status == 2 && ran.stderr.contains("must be another"), "{}", ran.stderr);
    assert_eq!(run(["calibrate", &folder.path("absent")]).status, 2);
}

#[test]
fn a_history_that_will_not_do_is_told() {
    let folder = Folder::new("calibrate_history");
    let ran = calibrate(&folder.write("none.ndjson", "\n[]\n"), &[]);
    assert_eq!((ran.status, &*ran.stdout), (3, ""));
    assert!(ran.stderr.ends_with("error: no event could be used\n"), "{}", ran.stderr);
    // Good for an hour, then bad for the rest, and all of it taken as good.
    let wrong = |at: u64| chance(at, 100) < if at < 19_000 { 4 } else { 60 };
    let events = answers("a", 20_000, wrong) + "nonsense\n";
    let events = folder.write("changed.ndjson", events);
    let ran = calibrate(&events, &[]);
    assert_eq!((ran.stderr.lines().count(), ran.stderr.contains("changed.ndjson:20001: ")), (1, true));
    assert!(ran.stdout.contains("note: ") && ran.stdout.contains("--good-until"), "{}", ran.stdout);
    let none_good = calibrate(&events, &["--good-until", "2020-01-01"]);
    assert_eq!((none_good.status, &*none_good.stdout), (2, ""));
    assert!(
        none_good.stderr.ends_with(
            "error: --good-until: 2020-01-01T23:59:59.999999Z is before every value (the first event is at \
             2025-02-03T00:00:00.000Z): none would be good\n"
        ),
        "{}",
        none_good.stderr
    );
    // Where only some kinds have nothing good, they say so.
    let late = r#"{"model_id":"a","ts":"2025-02-04T00:00:00Z","kind":"F1","value":0.5}"#;
    let events = folder.write("late.ndjson", answers("a", 600, |at| at % 9 == 0) + late + "\n");
    let report = calibrate(&events, &["--good-until", "2025-02-03", "--format", "json"]).json();
    let found = kind(&report, "a", "F1");
    assert_eq!((&found["used"], &found["watch"]), (&0.into(), &"default".into()));
    assert_eq!(found["mean"], Value::Null);
}

#[test]
fn numbers_at_the_edge_are_no_failure() {
    let folder = Folder::new("calibrate_edge");
    let mut text = String::new();
    for at in 0..600 {
        for (kind, value) in [
            ("Custom:same", "5"),
            ("Custom:huge", if at % 2 == 0 { "1.7e308" } else { "-1.7e308" }),
            ("Custom:null", "null"),
            ("Confidence", "1"),
            ("ErrorRate", "0"),
            ("DriftScore", "0.1"),
        ] {
            let _ =
                writeln!(text, r#"{{"model_id":"m","ts":1738540800000,"kind":"{kind}","value":{value}}}"#);
        }
    }
    let ran = calibrate(&folder.write("edge.ndjson", text), &["--format", "json"]);
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    let report = ran.json();
    assert_eq!(report["kinds"].as_array().unwrap().len(), 6);
    assert_eq!(kind(&report, "m", "DriftScore")["watch"], "nobody");
    assert_eq!(kind(&report, "m", "Custom:same")["watch"], "default");
    assert_eq!(kind(&report, "m", "Custom:null")["values"], 0);
    MonitorPlan::from_toml(report["plan"].as_str().unwrap()).unwrap();
}

#[test]
fn the_page_needs_nothing_but_itself_and_trusts_no_text() {
    let folder = Folder::new("calibrate_page");
    let mut text = answers("a", 3_000, |at| chance(at, 10) == 0 || at > 2_500);
    for at in 0..300 {
        let _ = writeln!(
            text,
            "{{\"model_id\":\"a\",\"kind\":\"Feature:<script>\",\"value\":{}}}",
            chance(at, 9)
        );
    }
    let events = folder.write("<b>&.ndjson", text);
    let plan = folder.path("plan.toml");
    let args = ["--format", "html", "--good-until", "2025-02-03T00:40:00Z", "--plan-out", &plan];
    let ran = calibrate(&events, &args);
    assert_eq!((ran.status, &*ran.stderr), (0, ""));
    let page = ran.stdout;
    for foreign in ["http://", "https://", "<script", "<link", "@import", "url(", "src=", "<b>&."] {
        assert!(!page.contains(foreign), "holds {foreign}");
    }
    for part in ["<!doctype html>", "Calibration from", "<h2>The plan</h2><pre>", "m_pre = ", "</html>"] {
        assert!(page.contains(part), "lacks {part}");
    }
    assert_eq!(page.matches("<svg").count(), 2);
    // Every row of the proposals has a cell for each column; `used` had none, which moved all behind it.
    let table = page.split("<h2>Proposal</h2>").nth(1).unwrap();
    let mut rows = table.split("<tr>").skip(1);
    let columns = rows.next().unwrap().matches("<th").count();
    assert_eq!((columns, rows.next().unwrap().matches("<td").count()), (13, 13));
    MonitorPlan::from_toml(&std::fs::read_to_string(&plan).unwrap()).unwrap();
}
