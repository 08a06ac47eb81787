//! Seasons in a history, and rules that fire over their budget on what was taken as good.

use std::fmt::Write as _;

use serde_json::Value;
use visu_tility::monitoring::MonitorPlan;

use crate::calibrate::{answers, calibrate, chance, kind};
use crate::replay_command::{Folder, run};

/// Values of a feature every five minutes, for so many days.
fn feature(days: u64, mut value: impl FnMut(u64) -> f64) -> String {
    let mut text = String::new();
    for at in 0..days * 288 {
        let (ts, value) = (1_738_540_800_000 + at * 300_000, value(at));
        let _ = writeln!(text, r#"{{"model_id":"shop","ts":{ts},"kind":"Feature:load","value":{value:.4}}}"#);
    }
    text
}

/// Up by day, down by night: from -1 to 1.
fn hill(at: u64) -> f64 {
    (at as f64 / 288.0 * std::f64::consts::TAU).sin()
}

/// A number that looks normal: mean 0, deviation 1.
fn noise(at: u64) -> f64 {
    let unit = |k: u64| chance(at * 12 + k, 1_000_000) as f64 / 1e6;
    (0..12).map(unit).sum::<f64>() - 6.0
}

fn report(folder: &Folder, text: String) -> Value {
    calibrate(&folder.write("events.ndjson", text), &["--format", "json"]).json()
}

fn stages(report: &Value) -> (bool, bool) {
    let plan = report["plan"].as_str().unwrap();
    (plan.contains("\nseasonal = true"), plan.contains("\nbatch_early = false"))
}

#[test]
fn a_daily_season_is_taken_off_and_the_plan_keeps_to_its_budget() {
    let folder = Folder::new("calibrate_sine");
    let events = folder.write("events.ndjson", feature(60, |at| hill(at) + 0.3 * noise(at)));
    let report = calibrate(&events, &["--format", "json"]).json();
    let found = kind(&report, "shop", "Feature:load");
    let season = &found["season"];
    assert_eq!((&season["season"], &season["removed"]), (&"day".into(), &true.into()), "{season}");
    assert!(season["share"].as_f64().unwrap() > 0.9 && season["cycles"].as_u64().unwrap() > 20, "{season}");
    assert_eq!(stages(&report), (true, false));
    MonitorPlan::from_toml(report["plan"].as_str().unwrap()).unwrap();
    // Two months at one false alarm in 30 days.
    let alarms = |report: &Value| report["alarms"].as_array().unwrap().len();
    assert!(alarms(&report["replay"]) <= 6, "{}", alarms(&report["replay"]));
    assert_eq!(report["over_budget"].as_array().unwrap().len(), 0);
    let plain = run(["replay", &events, "--format", "json"]).json();
    // The default plan takes the season for dependence and is as quiet, on means of days: it sees changes late.
    assert!(alarms(&plain) <= 6, "{}", alarms(&plain));
    // A move by a deviation is still seen within a day.
    let seconds = found["delays"][1]["seconds"].as_f64().unwrap();
    assert!(seconds < 86_400.0, "{seconds}");
    for format in ["text", "html"] {
        let shown = calibrate(&events, &["--format", format]).stdout;
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.contains("eason: the hour of the day explains"), "{shown}");
        assert!(shown.contains("it is taken off"), "{shown}");
    }
}

#[test]
fn a_season_on_values_that_are_alike_asks_for_both_stages() {
    let folder = Folder::new("calibrate_ar_season");
    let mut x = 0.0;
    let value = |at: u64| {
        x = 0.9 * x + 0.436 * noise(at);
        x + 1.5 * hill(at)
    };
    let report = report(&folder, feature(60, value));
    let found = kind(&report, "shop", "Feature:load");
    assert_eq!(stages(&report), (true, true), "{found}");
    assert!(found["why"].as_str().unwrap().contains("on means of what is left"), "{found}");
    // The detector learns for no more than a run length before the simulated change: else all streams are early.
    let delay = &found["delays"][1];
    assert!(delay["runs"].as_u64() > delay["early"].as_u64() && delay["values"].is_f64(), "{delay}");
    assert_eq!(report["over_budget"].as_array().unwrap().len(), 0);
}

#[test]
fn what_has_no_season_gets_none() {
    let folder = Folder::new("calibrate_no_season");
    let mut x = 0.0;
    let autoregression = |at: u64| {
        x = 0.95 * x + 0.312 * noise(at);
        x
    };
    let step = |at: u64| noise(at) + 3.0 * f64::from(u8::from(at > 6_000));
    for text in [feature(40, noise), feature(40, autoregression), feature(40, step)] {
        let report = report(&folder, text);
        assert_eq!(kind(&report, "shop", "Feature:load")["season"], Value::Null);
        assert!(!stages(&report).0);
    }
    let short = report(&folder, feature(9, |at| hill(at) + 0.3 * noise(at)));
    assert_eq!(kind(&short, "shop", "Feature:load")["season"], Value::Null, "nine days are too few");
}

#[test]
fn the_season_of_zeros_and_ones_is_told_and_stays() {
    let folder = Folder::new("calibrate_bits_season");
    let wrong = |at: u64| (chance(at, 1_000) as f64) < 60.0 * (1.0 + 0.9 * hill(at));
    let text = answers("a", 60 * 288, wrong);
    // A second apart as they are written; five minutes apart as they are meant.
    let spread = |line: &str| {
        let (head, tail) = line.split_once("\"ts\":").unwrap();
        let (ts, tail) = tail.split_at(13);
        let ts: u64 = ts.parse().unwrap();
        format!("{head}\"ts\":{}{tail}\n", 1_738_540_800_000 + (ts - 1_738_540_800_000) * 300)
    };
    let report = report(&folder, text.lines().map(spread).collect());
    let season = &kind(&report, "a", "Correct")["season"];
    assert_eq!((&season["bits"], &season["removed"]), (&true.into(), &false.into()), "{season}");
    assert!(!stages(&report).0);
    let shown = calibrate(&folder.path("events.ndjson"), &[]).stdout;
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains("no stage takes it off zeros and ones"), "{shown}");
}

#[test]
fn values_that_are_alike_over_long_are_watched_on_means() {
    // An AR(1) of which a history holds fewer than 100 batches: without batches it fires hundreds of times.
    let folder = Folder::new("calibrate_few_batches");
    let mut x = 0.0;
    let value = |at: u64| {
        x = 0.98 * x + 0.199 * noise(at);
        x
    };
    let report = report(&folder, feature(90, value));
    let found = kind(&report, "shop", "Feature:load");
    let batches = found["used"].as_u64().unwrap() / found["batch_length"].as_u64().unwrap();
    assert!((20..100).contains(&batches), "{batches}");
    assert_eq!(stages(&report), (false, true));
    assert_eq!(report["over_budget"].as_array().unwrap().len(), 0);
    let note = report["notes"][0].as_str().unwrap();
    assert!(note.contains("alike over many values"), "{note}");
}

#[test]
fn a_rule_over_its_budget_is_warned_of_with_what_may_help() {
    let folder = Folder::new("calibrate_over");
    // Quiet, then bursts for the rest, and all of it taken as good. In this noise no alarm comes before by chance.
    let value =
        |at: u64| noise(at + 1_000_000) + if at > 4_000 && (at / 150).is_multiple_of(2) { 6.0 } else { 0.0 };
    let events = folder.write("events.ndjson", feature(40, value));
    let out = folder.path("report.json");
    let ran = calibrate(&events, &["--format", "json", "--out", &out]);
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&out).unwrap()).unwrap();
    let over = &report["over_budget"][0];
    let alarms = report["replay"]["alarms"].as_array().unwrap();
    assert_eq!(over["fired"].as_u64().unwrap(), alarms.len() as u64);
    // 40 days, less the last five minutes, at one alarm in 30.
    assert!((over["allowed"].as_f64().unwrap() - 40.0 / 30.0).abs() < 1e-3, "{over}");
    assert_eq!(over["rule"], kind(&report, "shop", "Feature:load")["rule"]);
    assert_eq!(over["first"], alarms[0]["ts"]);
    assert!(
        over["help"].as_str().unwrap().contains("--good-until with a time well before 2025-02-"),
        "{over}"
    );
    let told =
        format!("would have fired {} times on what was taken as good, where 1.333 are allowed", alarms.len());
    assert!(ran.stderr.starts_with("warning: rule ") && ran.stderr.contains(&told), "{}", ran.stderr);
    let text = calibrate(&events, &[]);
    assert_eq!(text.stderr, "", "it is in the report");
    for shown in [text.stdout, calibrate(&events, &["--format", "html"]).stdout] {
        let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(shown.to_lowercase().contains("warning:") && shown.contains(&told), "{shown}");
    }
}
