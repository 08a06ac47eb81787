//! What is asked of the command that it must not do, or must tell of: files given twice, labels that do not
//! fit the events, plans with warnings, numbers at the edge.

use std::fmt::Write as _;
use std::io::Write;
use std::process::Stdio;

use crate::replay_command::{DIGITS, Folder, command, run};

const EVENT: &str = "{\"model_id\":\"m\",\"kind\":\"F1\",\"value\":1}\n";

/// So many events of a model, a second apart.
fn events(model: &str, count: u32, value: impl Fn(u32) -> f64) -> String {
    let mut text = String::new();
    for at in 0..count {
        let (ts, value) = (1_738_540_800_000 + u64::from(at) * 1_000, value(at));
        let _ = writeln!(text, r#"{{"model_id":"{model}","ts":{ts},"kind":"Custom:x","value":{value:e}}}"#);
    }
    text
}

#[test]
fn the_report_is_not_written_over_what_is_read() {
    let folder = Folder::new("over");
    let events = folder.write("events.ndjson", EVENT);
    let plan = "[[rule]]\nname = \"f\"\ntype = \"performance\"\nmin_accuracy = 0.5\nresponse = \"alert\"\n";
    let plan = folder.write("plan.toml", plan);
    let labels = folder.write("labels.json", "{\"drifts\":[]}");
    std::fs::create_dir(folder.path("sub")).unwrap();
    let mut outs = vec![events.clone(), folder.path("sub/../events.ndjson"), plan.clone(), labels.clone()];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&events, folder.path("symlink")).unwrap();
        outs.push(folder.path("symlink"));
    }
    std::fs::hard_link(&events, folder.path("hard")).unwrap();
    outs.extend(cfg!(unix).then(|| folder.path("hard")));
    let before = [&events, &plan, &labels].map(|path| std::fs::read_to_string(path).unwrap());
    for out in &outs {
        let ran = run(["replay", &events, "--plan", &plan, "--labels", &labels, "--out", out]);
        assert_eq!((ran.status, &*ran.stdout), (2, ""), "{out}");
        assert!(
            ran.stderr.starts_with("error: --out: ") && ran.stderr.contains("must be another"),
            "{}",
            ran.stderr
        );
        let after = [&events, &plan, &labels].map(|path| std::fs::read_to_string(path).unwrap());
        assert_eq!(before, after, "{out}");
    }
    assert_eq!(run(["replay", &events, "--out", &folder.path("report.txt")]).status, 0);
    assert_eq!(run(["replay", &events, "--out", &folder.path("report.txt")]).status, 0, "a report of before");
}

#[cfg(unix)]
#[test]
fn the_report_is_not_written_over_the_file_behind_the_standard_input() {
    let folder = Folder::new("stdin_out");
    let events = folder.write("events.ndjson", EVENT);
    let input = std::fs::File::open(&events).unwrap();
    let output = command().args(["replay", "-", "--out", &events]).stdin(input).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&events).unwrap(), EVENT);
}

#[test]
fn the_standard_input_is_read_once() {
    let ran = run(["replay", "-", "-"]);
    assert_eq!((ran.status, &*ran.stdout), (2, ""));
    assert_eq!(ran.stderr, "error: -: given twice, must be given once: it is the standard input\n");
}

#[test]
fn a_plan_may_come_from_the_standard_input() {
    let check = |text: &str| {
        let mut child = command()
            .args(["check", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (status, said, _) = check("[[rule]]\nname = \"f\"\ntype = \"performance\"\nmin_accuracy = 0.5\n");
    assert!(status == 0 && said.starts_with("ok: standard input: 1 observer\n"), "{said}");
    let (status, _, said) = check("[[rule]]\nnome = \"f\"\n");
    assert!(status == 2 && said.starts_with("error: standard input: line "), "{said}");
}

#[test]
fn warnings_of_a_plan_are_told_before_a_replay() {
    let folder = Folder::new("warnings");
    let events = folder.write("events.ndjson", EVENT);
    let plan = "[[rule]]\nname = \"f\"\ntype = \"performance\"\nmin_accuracy = 0.5\nresponse = \"retrain\"\n";
    let plan = folder.write("plan.toml", plan);
    let ran = run(["replay", &events, "--plan", &plan]);
    assert_eq!(ran.status, 0);
    if cfg!(feature = "automated_retraining") {
        assert_eq!(ran.stderr, "");
    } else {
        assert!(ran.stderr.starts_with("warning: rule \"f\""), "{}", ran.stderr);
        assert!(run(["check", &plan]).stdout.contains(ran.stderr.trim_end()), "{}", ran.stderr);
    }
}

#[test]
fn labels_that_do_not_fit_the_events_are_refused() {
    let folder = Folder::new("misfit");
    let path = folder.write("events.ndjson", events("alpha", 100, |_| 0.5) + &events("beta", 50, |_| 0.5));
    let out = folder.write("report.txt", "as before");
    for (labels, said) in [
        (
            r#"{"model_id":"alpha","drifts":[{"event":100}]}"#,
            "labels: field `drifts[].event` of model `alpha` is 100, must be at most 99: 100 predictions of it were read",
        ),
        (
            r#"{"model_id":"alpha","drifts":[{"event":9,"event_end":101}]}"#,
            "labels: field `drifts[].event_end` of model `alpha` is 101, must be at most 100: 100 predictions of it were read",
        ),
        (
            r#"{"alpha":{"changes":[]},"beta":{"changes":[{"event":70}]}}"#,
            "labels: field `changes[].event` of model `beta` is 70, must be at most 49: 50 predictions of it were read",
        ),
        (
            r#"{"alpa":{"changes":[]}}"#,
            "labels: model \"alpa\" is not in the events, must be one of alpha, beta (nearest: alpha)",
        ),
        (
            r#"{"model_id":"alpha","drifts":[{"event":9,"event_end":8}]}"#,
            "labels.json: field `drifts[0].event_end` is 8, must be a whole number from 9",
        ),
        (
            r#"{"drifts":[],"changes":[]}"#,
            "labels.json: field `changes` cannot stand beside `drifts`, there must be one of the two",
        ),
    ] {
        let labels = folder.write("labels.json", labels);
        let ran = run(["replay", &path, "--labels", &labels, "--out", &out]);
        assert_eq!(ran.status, 2, "{said}");
        assert_eq!(folder.strip(&ran.stderr), format!("error: {said}\n"));
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "as before");
    }
}

#[test]
fn the_predictions_that_were_read_count_and_not_those_that_labels_promise() {
    let folder = Folder::new("promise");
    // The first step up leads to an alarm, which is no drift by the labels.
    let path = folder
        .write("events.ndjson", events("m", 2_000, |at| f64::from(at / 100 % 2) + f64::from(at % 7) / 50.0));
    let mut reports = Vec::new();
    for (predictions, told) in [(2_000, false), (10, true), (9_000, true)] {
        let labels = format!(r#"{{"drifts":[{{"event":500}}],"predictions":{predictions}}}"#);
        let labels = folder.write("labels.json", labels);
        let ran = run(["replay", &path, "--labels", &labels, "--max-delay", "50", "--format", "json"]);
        assert_eq!((ran.status, !ran.stderr.is_empty()), (0, told), "{}", ran.stderr);
        if predictions == 9_000 {
            let said =
                "warning: labels: model `m` has 9,000 predictions by the labels, 2,000 were read and count\n";
            assert_eq!(ran.stderr, said);
        }
        assert!(ran.json()["score"]["false_per_10k"].as_f64().unwrap() > 0.0, "{}", ran.json()["score"]);
        reports.push(ran.stdout);
    }
    assert!(reports.iter().all(|report| *report == reports[0]));
}

#[test]
fn a_line_of_blocks_has_no_gap_where_events_are() {
    let folder = Folder::new("gaps");
    let path = folder.write("events.ndjson", events("m", 20_000, |at| f64::from(at % 100)));
    let text = run(["replay", &path]).stdout;
    let line = text.lines().find(|line| line.trim_start().starts_with("Custom:x")).unwrap();
    let blocks = line.split("  ").find(|part| part.starts_with(|c| ('▁'..='█').contains(&c))).unwrap();
    assert!(blocks.chars().count() >= 40 && !blocks.contains(' '), "{line}");
}

#[test]
fn the_largest_numbers_are_drawn_and_told_in_short() {
    let folder = Folder::new("largest");
    let custom = |low: f64| events("m", 3_000, |at| if at < 1_500 { low } else { 1.7e308 });
    let latency = custom(1e3).replace("Custom:x", "LatencyMs");
    for (name, text) in [("up", custom(1e308)), ("both", custom(-1.7e308)), ("latency", latency)] {
        let path = folder.write(name, text);
        let page = run(["replay", &path, "--format", "html"]).stdout;
        assert!(!page.contains("NaN") && !page.replace("info", "").contains("inf"), "{name}");
        let report = run(["replay", &path, "--format", "json"]);
        let kind = &report.json()["models"][0]["kinds"][0];
        assert!(kind["mean"].as_f64().is_some_and(|mean| mean.abs() <= 1.7e308), "{kind}");
        let text = run(["replay", &path]).stdout;
        assert!(!text.contains("NaN") && !text.contains("inf "), "{text}");
        for form in [&page, &text] {
            assert!(!form.contains("0000000000"), "{name}: {form}");
        }
    }
}

#[test]
fn numbers_in_csv_are_those_of_json() {
    let folder = Folder::new("csv_numbers");
    let text = "model_id, kind ,value\nm,F1,+1\nm,F1,1.\nm,F1,.5\nm,F1,01\n m , F1 , 0.5 \n";
    let path = folder.write("events.csv", text);
    let ran = run(["replay", &path, "--format", "json"]);
    let report = ran.json();
    assert_eq!((&report["events"], &report["rejected"]), (&1.into(), &4.into()));
    assert!(
        ran.stderr.contains("events.csv:2: field `value` is \"+1\", must be a finite number"),
        "{}",
        ran.stderr
    );
    assert_eq!(run(["replay", DIGITS[0], &path, "--quiet"]).status, 0);
}
