//! Events that were accepted and that rules saw late or not at all: the report tells of every one.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};
use visu_tility::ingest::EventReader;
use visu_tility::monitoring::{MetricEvent, MetricObserver, MonitorPlan, ObserverAction, ObserverError};
use visu_tility::replay::{BadLine, Input, Replay, ReplayWatcher};

use crate::replay_command::{Folder, run};

/// A plan whose `[events]` are as given, with one rule.
fn plan(events: &str) -> String {
    format!("[events]\n{events}\n[[rule]]\nname = \"floor\"\ntype = \"performance\"\nmin_accuracy = 0.5\n")
}

/// Events of a model, at so many seconds behind 2025-02-03.
fn events(model: &str, version: &str, kind: &str, seconds: impl IntoIterator<Item = i64>) -> String {
    let mut text = String::new();
    for second in seconds {
        let ts = 1_738_540_800_000 + second * 1_000;
        let _ = writeln!(
            text,
            r#"{{"model_id":"{model}","version":"{version}","ts":{ts},"kind":"{kind}","value":0.5}}"#
        );
    }
    text
}

/// What one run tells in every form: JSON, text, page.
fn told(folder: &Folder, text: &str, plan: &str) -> (Value, String, String) {
    let (events, plan) = (folder.write("events.ndjson", text), folder.write("plan.toml", plan));
    let as_form = |form: &str| run(["replay", &events, "--plan", &plan, "--format", form]);
    (as_form("json").json(), as_form("text").stdout, as_form("html").stdout)
}

#[test]
fn events_that_come_too_late_are_told_of_in_every_form() {
    let folder = Folder::new("too_late");
    // Every other event is an hour behind: too late, and never eight of them in a row.
    let ahead = (0..9_000).flat_map(|at| [10_000 + at, at]);
    let quiet = events("quiet", "1", "F1", 0..10);
    let text = events("m", "1", "Accuracy", ahead) + &quiet;
    let (report, text, page) = told(&folder, &text, &plan("lateness_max = \"5m\""));
    assert_eq!((&report["events"], &report["rejected"]), (&18_010.into(), &0.into()));
    let unseen = json!({"late": 0, "too_late": 9_000, "repeated": 0, "refused": 0, "versions_evicted": 0});
    assert_eq!(report["unseen"], unseen);
    assert_eq!(report["models"][0]["unseen"], unseen);
    assert_eq!(report["models"][1]["unseen"]["too_late"], 0);
    let line = "9,000 events came too late and were not seen by rules (lateness_max 5m); \
                see [events] in the plan";
    assert_eq!(text.lines().filter(|said| said.trim() == line).count(), 2, "in all and by model: {text}");
    assert!(page.contains(line) && page.contains("<b>9,000</b> events not seen by rules"), "{page}");
}

#[test]
fn late_repeated_and_missing_events_are_counted_by_model() {
    let folder = Folder::new("late");
    let text = events("m", "1", "Accuracy", [100, 40, 100, 50]);
    let (report, text_form, _) = told(&folder, &text, &plan("order = \"arrival\""));
    assert_eq!((&report["unseen"]["late"], &report["unseen"]["repeated"]), (&2.into(), &0.into()));
    assert!(text_form.contains("2 events came late and were seen in the order of arrival"), "{text_form}");
    let missing = r#"{"model_id":"n","kind":"F1","value":null}"#;
    let (report, text_form, _) = told(&folder, &(text + missing), &plan("order = \"strict\""));
    assert_eq!(report["models"][0]["unseen"]["repeated"], 3);
    assert_eq!((&report["missing"], &report["models"][0]["missing"]), (&1.into(), &0.into()));
    assert_eq!(report["models"][1]["missing"], 1);
    let line = "3 events came again and were not seen by rules (order strict); see [events] in the plan";
    assert!(text_form.contains(line), "{text_form}");
}

#[test]
fn events_over_the_bound_of_series_are_told_of_with_the_reason() {
    let folder = Folder::new("refused");
    let text: String = (0..5).map(|at| events("m", "1", &format!("Custom:k{at}"), 0..10)).collect();
    let (report, text, page) = told(&folder, &text, &plan("series_max = 3"));
    assert_eq!((&report["events"], &report["unseen"]["refused"]), (&50.into(), &20.into()));
    assert_eq!(report["models"][0]["unseen"]["refused"], 20);
    let line = "20 events were refused and not seen by rules (more versions and kinds than series_max 3)";
    assert!(text.contains(line), "{text}");
    assert!(page.contains(line), "{page}");
}

#[test]
fn versions_that_gave_way_are_counted() {
    let folder = Folder::new("versions");
    let text: String =
        (0..5).map(|at| events("m", &format!("v{at}"), "Accuracy", at * 10..at * 10 + 10)).collect();
    let (report, text, _) = told(&folder, &text, &plan("versions_max = 2"));
    assert_eq!((&report["unseen"]["versions_evicted"], &report["unseen"]["refused"]), (&3.into(), &0.into()));
    assert!(text.contains("3 versions gave way to newer ones (versions_max 2)"), "{text}");
}

#[test]
fn what_rules_did_not_see_does_not_depend_on_the_threads() {
    let folder = Folder::new("threads");
    let mut text = String::new();
    for model in 0..20 {
        text += &events(&format!("m{model}"), "1", "Accuracy", (0..50).flat_map(|at| [10_000 + at, at]));
        let kinds =
            (0..3 + model % 3).map(|at| events(&format!("m{model}"), "1", &format!("Custom:k{at}"), 0..3));
        text.extend(kinds);
    }
    let (events, plan) = (folder.write("e.ndjson", text), folder.write("plan.toml", plan("series_max = 4")));
    for form in ["json", "text", "html"] {
        let one = run(["replay", &events, "--plan", &plan, "--format", form]).stdout;
        for arbiters in ["2", "3"] {
            let more = run(["replay", &events, "--plan", &plan, "--format", form, "--arbiters", arbiters]);
            assert!(more.stdout == one, "{form} differs with {arbiters} arbiters");
        }
    }
}

/// Panics on every value above 1.
#[derive(Clone)]
struct Touchy;

const TOUCHY: &str = "touchy";

impl MetricObserver for Touchy {
    fn name(&self) -> &str {
        TOUCHY
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        assert!(event.value().is_none_or(|value| value <= 1.0), "too much");
        Ok(ObserverAction::NoOp)
    }
}

struct Silent;

impl ReplayWatcher for Silent {
    fn bad_line(&mut self, _: &BadLine) {}
    fn progress(&mut self, _: u64) {}
}

#[test]
fn events_of_a_model_in_quarantine_are_refused() {
    let mut text = events("calm", "1", "Custom:x", 0..100);
    for at in 0..100 {
        text += &events("m", "1", "Custom:x", [at]).replace("0.5}", if at < 40 { "0.5}" } else { "2}" });
    }
    let reader = EventReader::from_reader(std::io::Cursor::new(text), None, Arc::default()).unwrap();
    let input = Input { name: "events".to_owned(), reader };
    let plan = MonitorPlan::empty().with_observer(Box::new(Touchy)).unwrap();
    let report = Replay::new(plan).run(vec![input], &mut Silent).unwrap();
    let [calm, model] = report.models.as_slice() else { panic!("{:?}", report.models) };
    assert_eq!((calm.unseen.not_seen(), model.events), (0, 100));
    // Forty good ones, and those that were seen until the panics were too many.
    assert_eq!((model.unseen.refused, &*model.unseen.refused_because), (54, "the model is in quarantine"));
    assert_eq!(report.unseen, model.unseen);
}
