//! What a calibrated plan does with what is not in its history, and that its numbers are those of a monitor.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;
use visu_tility::monitoring::{MetricEvent, MonitorPlan, Timestamp};
use visu_tility_core::{Check, ModelId, ModelMonitor, MonitorStatus, SeriesStatus, Version};

use crate::calibrate::{answers, calibrate, chance, kind};
use crate::replay_command::{Folder, run};

fn line(model: &str, version: &str, ts: u64, kind: &str, value: &str) -> String {
    let ts = 1_738_540_800_000 + ts * 1_000;
    format!(
        "{{\"model_id\":\"{model}\",\"version\":\"{version}\",\"ts\":{ts},\"kind\":\"{kind}\",\"value\":{value}}}\n"
    )
}

/// What a monitor of a model says with a plan at the end of its events.
fn status(plan: MonitorPlan, model: &str, events: &str) -> MonitorStatus {
    let model = ModelId::new(model).unwrap();
    let mut monitor = ModelMonitor::new(model.clone(), Arc::new(plan));
    for (offset, line) in events.lines().enumerate() {
        let event: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| event[key].as_str().unwrap();
        let (model, version) = (model.clone(), Version::new(text("version")).unwrap());
        let kind = text("kind").parse().unwrap();
        let at = Some(Timestamp::from_millis(event["ts"].as_i64().unwrap()));
        let event = match &event["value"] {
            Value::Array(vector) => {
                let vector = vector.iter().map(|x| x.as_f64().unwrap() as f32).collect();
                MetricEvent::from_vector(model, version, kind, at, vector)
            }
            value => MetricEvent::from_parts(model, version, kind, at, value.as_f64()),
        };
        monitor.observe(&event.unwrap(), offset as u64);
    }
    monitor.status()
}

/// The run length that a monitor of the model `m` with the proposed plan has set by the end of the events, by version
/// and kind.
fn monitored(report: &Value, events: &str) -> BTreeMap<(String, String), f64> {
    let plan = MonitorPlan::from_toml(report["plan"].as_str().unwrap()).unwrap();
    let mut found = BTreeMap::new();
    for series in status(plan, "m", events).series {
        let set = series.observers.iter().filter_map(|observer| observer.figures.get("arl"));
        found.extend(set.map(|arl| ((series.version.to_string(), series.kind.to_string()), *arl)));
    }
    found
}

#[test]
fn what_is_not_in_the_history_is_watched_as_by_default_and_nothing_twice() {
    let folder = Folder::new("calibrate_new");
    let history = folder.write("history.ndjson", answers("old", 4_000, |at| chance(at, 20) == 0));
    let plan = folder.path("plan.toml");
    let mut text = calibrate(&history, &["--plan-out", &plan]).stdout;
    assert!(text.contains("correct-calibrated"), "{text}");
    text.clear();
    for version in ["-", "2"] {
        for kind in ["Correct", "Confidence", "Accuracy", "LatencyMs", "Feature:x", "Custom:y"] {
            text += &line("", version, 0, kind, "1");
        }
        text += &line("", version, 0, "Embedding:e", "[1, 2]");
    }
    let calibrated = MonitorPlan::from_toml(&std::fs::read_to_string(&plan).unwrap()).unwrap();
    for model in ["old", "new"] {
        let watching = |plan: MonitorPlan| -> Vec<(String, Vec<String>)> {
            let names = |series: &SeriesStatus| {
                series.observers.iter().map(|observer| observer.name.clone()).collect()
            };
            let status = status(plan, model, &text);
            status.series.iter().map(|series| (series.kind.to_string(), names(series))).collect()
        };
        let mut wanted = watching(MonitorPlan::default());
        assert_eq!(wanted.len(), 2 * 7);
        for (kind, names) in &mut wanted {
            if model == "old" && kind == "Correct" {
                *names = ["correct-calibrated", "data-quality"].map(str::to_owned).to_vec();
            }
        }
        assert_eq!(watching(calibrated.clone()), wanted, "{model}");
    }
    let staleness = |plan: &MonitorPlan| plan.rules().iter().find(|rule| &*rule.name == "staleness").cloned();
    assert!(staleness(&calibrated).is_some_and(|rule| Some(rule) == staleness(&MonitorPlan::default())));
}

#[test]
fn embeddings_are_counted_and_share_the_budget() {
    let folder = Folder::new("calibrate_embedding");
    let mut text = String::new();
    for at in 0..2_000 {
        text += &line("m", "-", at * 60, "Correct", if chance(at, 20) == 0 { "0" } else { "1" });
        let vector = format!("[{}, {}]", chance(at, 100), chance(at + 7_777, 100));
        text += &line("m", "-", at * 60, "Embedding:text", &vector);
    }
    let report = calibrate(&folder.write("events.ndjson", &text), &["--format", "json"]).json();
    let found = kind(&report, "m", "Embedding:text");
    assert_eq!(
        (&found["values"], &found["events"], &found["cut"]),
        (&2_000.into(), &2_000.into(), &0.into())
    );
    let (rule, detector) = (&found["rule"], &found["detector"]);
    assert_eq!(
        (rule, detector, &found["watch"]),
        (&"embedding-change".into(), &"mmd".into(), &"default".into())
    );
    assert_eq!((&found["budget"], &kind(&report, "m", "Correct")["budget"]), (&0.5.into(), &0.5.into()));
    let monitored = monitored(&report, &text);
    for name in ["Embedding:text", "Correct"] {
        let arl = monitored[&("-".to_owned(), name.to_owned())];
        assert_eq!(kind(&report, "m", name)["arl"], arl, "{name}");
    }
    let shown = calibrate(&folder.path("events.ndjson"), &[]).stdout;
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        shown.contains("Embedding:text 2,000 vectors · 1,440 a day embedding-change (mmd) of the"),
        "{shown}"
    );
    assert!(!shown.contains("missing") && shown.contains("at most one in 123,000 vectors"), "{shown}");
}

#[test]
fn a_feature_whose_name_looks_like_a_pattern_has_a_rule_of_its_own() {
    let folder = Folder::new("calibrate_pattern");
    let mut text = String::new();
    let mut x = 0.0;
    for at in 0..12_000 {
        x = 0.9 * x + chance(at, 1_000) as f64;
        text += &line("m", "-", at, "Feature:a*", &x.to_string());
        text += &line("m", "-", at, "Feature:ab", &chance(at + 99, 50).to_string());
    }
    let report = calibrate(&folder.write("events.ndjson", &text), &["--format", "json"]).json();
    let plan = MonitorPlan::from_toml(report["plan"].as_str().unwrap()).unwrap();
    let names = |kind: &str| -> Vec<String> {
        let (model, version) = (ModelId::new("m").unwrap(), Version::unversioned());
        let rules = plan.rules_for(&model, &version, &kind.parse().unwrap());
        let changes = rules.into_iter().filter(|(_, rule)| matches!(rule.check, Check::Change(_)));
        changes.map(|(_, rule)| rule.name.to_string()).collect()
    };
    let starred = kind(&report, "m", "Feature:a*");
    assert_eq!((&starred["watch"], &starred["rule"]), (&"proposed".into(), &"feature-a--calibrated".into()));
    assert_eq!(names("Feature:a*"), ["feature-a--calibrated"]);
    // It is given means, so the monitor counts those.
    let batch = starred["batch_given"].as_f64().unwrap();
    let means = monitored(&report, &text)[&("-".to_owned(), "Feature:a*".to_owned())];
    assert!(batch > 1.0 && starred["arl"] == batch * means, "{starred} {means}");
    assert_eq!(names("Feature:ab"), ["feature-change"], "the star is no wildcard");
}

/// The story: with two versions the rate of both was taken for that of each, and both were counted as sharers too; and
/// where all values bear one time a rate of one a second was taken, which no monitor takes.
#[test]
fn run_lengths_are_those_that_a_monitor_sets() {
    let folder = Folder::new("calibrate_rates");
    let value = |at: u64| if chance(at, 20) == 0 { "0" } else { "1" };
    // Two versions side by side, one with a third of the values.
    let mut side = String::new();
    (0..9_000)
        .for_each(|at| side += &line("m", if at % 3 == 0 { "1" } else { "2" }, at * 7, "Correct", value(at)));
    // One after the other, the first silent for four weeks at the end: a monitor gives its share away after 24 days.
    let mut next = String::new();
    (0..3_000).for_each(|at| next += &line("m", "1", at * 60, "Correct", value(at)));
    (0..20_000).for_each(|at| next += &line("m", "2", 180_000 + at * 120, "Correct", value(at)));
    // All at one time; in bursts of a hundred at one time each ten minutes.
    let mut once = String::new();
    (0..9_000).for_each(|at| once += &line("m", "2", 0, "Correct", value(at)));
    let mut bursts = String::new();
    (0..9_000).for_each(|at| bursts += &line("m", "2", at / 100 * 600, "Correct", value(at)));
    for (name, text, sharers) in
        [("side", side, 2), ("next", next, 1), ("once", once, 1), ("bursts", bursts, 1)]
    {
        let events = folder.write(&format!("{name}.ndjson"), &text);
        let report = calibrate(&events, &["--format", "json"]).json();
        let found = kind(&report, "m", "Correct");
        assert_eq!((&found["watch"], &found["detector"]), (&"proposed".into(), &"e-sr".into()), "{name}");
        assert_eq!(found["arl"], monitored(&report, &text)[&("2".into(), "Correct".into())], "{name}");
        assert_eq!(
            (&found["sharers"], &found["versions_at_work"]),
            (&sharers.into(), &sharers.into()),
            "{name}"
        );
        assert_eq!(found["budget"], 1.0, "{name}");
    }
}

#[test]
fn a_kind_that_has_gone_silent_leaves_its_share_to_the_others() {
    let folder = Folder::new("calibrate_silent");
    let mut text = String::new();
    // Four weeks in all: a monitor gives the share of who is silent away after 24 days.
    for at in 0..40_000 {
        text += &line("m", "-", at * 60, "Correct", if chance(at, 20) == 0 { "0" } else { "1" });
        if at < 3_000 {
            text += &line("m", "-", at * 60, "F1", &format!("0.{}", 900 + chance(at, 90)));
        }
    }
    let report = calibrate(&folder.write("events.ndjson", &text), &["--format", "json"]).json();
    let (correct, silent) = (kind(&report, "m", "Correct"), kind(&report, "m", "F1"));
    assert_eq!(correct["arl"], monitored(&report, &text)[&("-".into(), "Correct".into())]);
    assert_eq!((&correct["sharers"], &correct["budget"]), (&1.into(), &1.0.into()));
    // Until it comes again.
    assert_eq!((&silent["versions_at_work"], &silent["sharers"]), (&0.into(), &2.into()));
    let again = text.clone() + &line("m", "-", 40_000 * 60, "F1", "0.95");
    assert_eq!(
        correct["arl"].as_f64().unwrap() * 2.0,
        monitored(&report, &again)[&("-".into(), "Correct".into())]
    );
}

#[test]
fn an_alert_about_rare_errors_is_kept_as_long_as_they_take_to_be_seen_again() {
    let folder = Folder::new("calibrate_rare");
    let text = answers("a", 60_000, |at| chance(at, 500) == 0);
    let events = folder.write("rare.ndjson", &text);
    let report = calibrate(&events, &["--format", "json"]).json();
    let found = kind(&report, "a", "Correct");
    let bad = 1.0 - found["baseline"]["bound"].as_f64().unwrap();
    let delay = &found["delays"][0];
    let drop = delay["from"].as_f64().unwrap() - delay["to"].as_f64().unwrap();
    assert!((0.001..0.01).contains(&bad) && (drop - bad).abs() < 1e-12, "asked about as much again: {delay}");
    let (seconds, keep) = (delay["seconds"].as_f64().unwrap(), found["keep_firing_s"].as_f64().unwrap());
    assert!(seconds > 900.0 && keep > 1.5 * seconds, "{keep} for {seconds}");
    // Who asks about a large drop is told of it, and the alert is kept as before.
    let large = calibrate(&events, &["--format", "json", "--drop", "0.05"]).json();
    let large = kind(&large, "a", "Correct");
    assert!(large["delays"][0]["seconds"].as_f64().unwrap() < seconds / 5.0, "{large}");
    assert_eq!(large["keep_firing_s"], keep);
    // So that a change that lasts is one alert. Errors four times as many, from the middle on.
    let changed = answers("a", 60_000, |at| chance(at, 500) < if at < 30_000 { 1 } else { 4 });
    let changed = folder.write("changed.ndjson", changed);
    let plan = folder.path("plan.toml");
    calibrate(&events, &["--plan-out", &plan]);
    let replayed = run(["replay", &changed, "--plan", &plan, "--format", "json"]).json();
    let (alarms, alerts) = (replayed["alarms"].as_array().unwrap(), replayed["alerts"].as_array().unwrap());
    let fired = |alert: &&Value| alert["observer"] == "correct-calibrated";
    assert!(alarms.len() > 3 && alerts.iter().filter(fired).count() == 1, "{alerts:?}");
}

/// The story: where the change was seen in 15 of 100 streams the mean counted the others as seen at the last value.
#[test]
fn a_change_that_is_mostly_unseen_is_not_given_a_delay_and_is_noted() {
    let folder = Folder::new("calibrate_unseen");
    let mut text = String::new();
    for at in 0..3_000_u64 {
        let ts = 1_738_540_800_000 + at * 1_000;
        let value = (0..12).map(|k| chance(at * 12 + k, 1_000_000) as f64 / 1e6).sum::<f64>();
        let _ = writeln!(text, r#"{{"model_id":"a","ts":{ts},"kind":"Feature:x","value":{value}}}"#);
    }
    let events = folder.write("events.ndjson", text);
    let args = ["--false-alarms-per-30d", "0.001", "--shift", "0.05", "--shift", "2"];
    let report = calibrate(&events, &[&args[..], &["--format", "json"]].concat()).json();
    let delays = kind(&report, "a", "Feature:x")["delays"].as_array().unwrap();
    let (small, large) = (&delays[0], &delays[1]);
    assert!(
        small["missed"].as_u64() > Some(0) && small["values"].is_null() && small["mean"].is_null(),
        "{small}"
    );
    assert!(large["missed"] == 0 && large["values"].is_f64() && large["mean"].is_f64(), "{large}");
    let notes = report["notes"].as_array().unwrap();
    assert!(
        notes.len() == 1 && notes[0].as_str().unwrap().starts_with("changes of Feature:x of a would"),
        "{notes:?}"
    );
    let shown = calibrate(&events, &args).stdout;
    assert!(
        shown.contains("is not seen within 10,000 values") && shown.contains("\nnote: changes of"),
        "{shown}"
    );
}
