//! Everything that can be wrong with a file of events: told with its line, counted, and the rest still used.

use std::fmt::Write as _;

use crate::replay_command::{DIGITS, Folder, gzip, run};

/// Lines that are no event, and what is said of each behind `file:line: `.
fn cases() -> Vec<(String, String)> {
    let id = |id: &str| format!(r#"{{"model_id":"{id}","kind":"F1","value":0.5}}"#);
    let value = |value: &str| format!(r#"{{"model_id":"m","kind":"Accuracy","value":{value}}}"#);
    let kind = |kind: &str| format!(r#"{{"model_id":"m","kind":"{kind}","value":0.5}}"#);
    let ts = |ts: &str| format!(r#"{{"model_id":"m","ts":{ts},"kind":"F1","value":0.5}}"#);
    let long = "x".repeat(300);
    let kinds =
        "Accuracy, Precision, Recall, F1, LatencyMs, DriftScore, Correct, Confidence, ErrorRate, Throughput";
    let kinds = format!("must be one of {kinds}, Feature:NAME, Custom:NAME or Embedding:NAME");
    let a_time = r#"must be a time such as "2025-02-03T00:00:00.000Z" or whole milliseconds since 1970"#;
    let cases = [
        ("not json", "malformed line: not json is not an object".to_owned()),
        (
            r#"{"model_id":"m","kind":"F1","value":0.5"#,
            "malformed line: EOF while parsing an object at column 39".into(),
        ),
        (&kind("Acuracy"), format!("field `kind` is \"Acuracy\", {kinds} (nearest: Accuracy)")),
        (&kind("Colour"), format!("field `kind` is \"Colour\", {kinds}")),
        (&value("NaN"), "field `value` is NaN, must be a finite number or null".into()),
        (&value("1.5"), "field `value` is 1.5, must be a number from 0 to 1 for Accuracy".into()),
        (&value("1e999"), "field `value` is 1e999, must be a finite number or null".into()),
        (&value("\"0.5\""), "field `value` is \"0.5\", must be a finite number or null".into()),
        (
            &id(&long),
            format!(
                "field `model_id` is \"{}…\" (300 bytes), must be 1 to 256 letters, digits and _ - : / @ + = ~ #",
                "x".repeat(64)
            ),
        ),
        (
            &id("a b"),
            "field `model_id` is \"a b\", must be 1 to 256 letters, digits and _ - : / @ + = ~ #; character 2 (\" \") is none of these, \"a_b\" would do".into(),
        ),
        (
            &id("gpt-4.1"),
            "field `model_id` is \"gpt-4.1\", must be 1 to 256 letters, digits and _ - : / @ + = ~ #; character 6 (\".\") is none of these, \"gpt-4_1\" would do".into(),
        ),
        (&id(""), "field `model_id` is empty, must be 1 to 256 letters, digits and _ - : / @ + = ~ #".into()),
        (
            &ts("\"2031-01-01T00:00:00Z\""),
            "field `ts` is 2031-01-01T00:00:00.000Z, must be at most 2030-01-01T00:00:00.000Z (--not-after sets it)".into(),
        ),
        (
            &ts("\"1969-12-31T23:59:59Z\""),
            "field `ts` is 1969-12-31T23:59:59.000Z, must be a time from 1970 up to 2200".into(),
        ),
        (&ts("\"yesterday\""), format!("field `ts` is \"yesterday\", {a_time}")),
        (r#"{"model_id":"m","value":0.5}"#, "field `kind` is missing, must be given".into()),
        (
            r#"{"model_id":"m","kind":"F1","value":1,"value":0}"#,
            "field `value` is given twice, must be given once".into(),
        ),
        (
            r#"{"model_id":"m","kind":"F1","valu":1}"#,
            "unknown field `valu`, must be one of model_id, version, ts, kind, value (nearest: value)".into(),
        ),
        (r#"{"model_id":7,"kind":"F1","value":1}"#, "field `model_id` is 7, must be a text".into()),
        (
            r#"{"model_id":"m","version":"1 2","kind":"F1","value":1}"#,
            "field `version` is \"1 2\", must be 1 to 128 printable ASCII characters without blanks; character 2 (\" \") is none of these, \"1_2\" would do".into(),
        ),
    ];
    cases.into_iter().map(|(line, said)| (line.to_owned(), said)).collect()
}

#[test]
fn every_bad_line_is_told_with_its_place_and_the_rest_is_used() {
    let folder = Folder::new("bad");
    let (mut text, mut expected) = (String::new(), String::new());
    let good = r#"{"model_id":"m","version":"1","ts":"2025-02-03T00:00:00Z","kind":"F1","value":0.5}"#;
    for (at, (line, said)) in cases().into_iter().enumerate() {
        let _ = writeln!(text, "{good}\n{line}\n");
        let _ = writeln!(expected, "bad.ndjson:{}: {said}", 3 * at + 2);
    }
    let path = folder.write("bad.ndjson", &text);
    let ran = run(["replay", &path, "--format", "json", "--not-after", "2030-01-01T00:00:00Z"]);
    assert_eq!(ran.status, 0);
    assert_eq!(folder.strip(&ran.stderr), expected);
    let report = ran.json();
    assert_eq!((&report["events"], &report["rejected"]), (&20.into(), &20.into()));
    let first = &report["bad_lines"][2];
    assert_eq!(first["line"], 8);
    assert!(first["file"].as_str().unwrap().ends_with("/bad.ndjson"));
    assert!(first["reason"].as_str().unwrap().ends_with("(nearest: Accuracy)"));
}

#[test]
fn seconds_long_values_and_names_of_kinds_are_told_as_they_were_meant() {
    let folder = Folder::new("meant");
    let text = "{\"model_id\":\"m\",\"ts\":1738540800,\"kind\":\"F1\",\"value\":1}\n\
                {\"model_id\":\"m\",\"ts\":1738540800.5,\"kind\":\"F1\",\"value\":1}\n\
                {\"model_id\":\"m\",\"kind\":\"Feature:a b\",\"value\":1}\n\
                {\"model_id\":\"m\",\"kind\":\"F1\",\"value\":1e308}\n\
                {\"model_id\":\"m\",\"kind\":\"LatencyMs\",\"value\":-1e-300}\n";
    let path = folder.write("meant.ndjson", text);
    let name = "`Feature:`, `Custom:` or `Embedding:` and 1 to 128 printable ASCII characters without blanks";
    let seconds = "must be whole milliseconds since 1970 (looks like seconds; milliseconds are meant)";
    let expected = [
        format!("field `ts` is 1738540800, {seconds}"),
        format!("field `ts` is 1738540800.5, {seconds}"),
        format!("field `kind` is \"Feature:a b\", must be {name}"),
        "field `value` is 1e308, must be a number from 0 to 1 for F1".to_owned(),
        "field `value` is -1e-300, must be a finite number, 0 or more for LatencyMs".to_owned(),
    ];
    let said = folder.strip(&run(["replay", &path]).stderr);
    for (at, (said, expected)) in said.lines().zip(&expected).enumerate() {
        assert_eq!(said, format!("meant.ndjson:{}: {expected}", at + 1));
    }
    assert_eq!(said.lines().count(), 6, "{said}");
}

#[test]
fn the_first_twenty_are_shown_and_the_rest_is_summed_up() {
    let folder = Folder::new("many");
    let mut text = "{\"model_id\":\"m\",\"kind\":\"F1\",\"value\":1}\n".to_owned();
    for at in 0..60 {
        text.push_str(if at % 3 == 0 {
            "nonsense\n"
        } else {
            "{\"model_id\":\"m\",\"kind\":\"F1\",\"value\":2}\n"
        });
    }
    let path = folder.write("many.ndjson", &text);
    let ran = run(["replay", &path, "--format", "json"]);
    let lines: Vec<String> = folder.strip(&ran.stderr).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 23);
    assert_eq!(lines[20], "and 40 more lines could not be used; of all 60:");
    assert_eq!(lines[21], "         40  field `value` not as allowed");
    assert_eq!(lines[22], "         20  malformed line");
    assert_eq!(ran.json()["bad_lines"].as_array().unwrap().len(), 20);
    assert_eq!(run(["replay", &path, "--quiet", "--format", "json"]).stderr, "");
    let text = run(["replay", &path, "--quiet"]).stdout;
    assert!(text.contains("60 lines not used") && text.contains("       20  malformed line"), "{text}");
}

#[test]
fn a_null_is_a_missing_value_and_no_mistake() {
    let folder = Folder::new("null");
    let text = "{\"model_id\":\"m\",\"kind\":\"Feature:x\",\"value\":null}\n{\"model_id\":\"m\",\"kind\":\"Feature:x\",\"value\":3}\n";
    let path = folder.write("null.ndjson", text);
    let report = run(["replay", &path, "--format", "json"]).json();
    assert_eq!(
        (&report["events"], &report["missing"], &report["rejected"]),
        (&2.into(), &1.into(), &0.into())
    );
    let kind = &report["models"][0]["kinds"][0];
    assert_eq!((&kind["events"], &kind["mean"]), (&2.into(), &3.0.into()));
}

#[test]
fn a_cut_off_file_is_told_and_used_as_far_as_it_goes() {
    let folder = Folder::new("cut");
    let whole = std::fs::read(format!("{}/{}", env!("CARGO_MANIFEST_DIR"), DIGITS[0])).unwrap();
    let path = folder.write("cut.ndjson.gz", &whole[..whole.len() / 2]);
    let ran = run(["replay", &path, "--format", "json"]);
    assert_eq!(ran.status, 0);
    let report = ran.json();
    let events = report["events"].as_u64().unwrap();
    assert!(events > 15_000, "{events}");
    assert_eq!(report["rejected"], 1);
    let said = format!(
        "cut.ndjson.gz:{events}: gzip data ends early, the file is cut off; read up to line {events}\n"
    );
    assert_eq!(folder.strip(&ran.stderr), said);

    let mut damaged = whole;
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    let path = folder.write("damaged.ndjson.gz", &damaged);
    let ran = run(["replay", &path, "--format", "json"]);
    assert_eq!(ran.status, 0);
    assert!(ran.stderr.contains("gzip data is damaged"), "{}", ran.stderr);
    assert!(ran.json()["events"].as_u64().unwrap() > 15_000);
}

#[test]
fn without_a_usable_event_the_status_is_three() {
    let folder = Folder::new("none");
    let empty = folder.write("empty.ndjson", "");
    let ran = run(["replay", &empty]);
    assert_eq!(ran.status, 3);
    assert_eq!(folder.strip(&ran.stderr), "empty.ndjson: file is empty\nerror: no event could be used\n");
    for (name, content) in
        [("blank.ndjson", "\n\n"), ("bad.ndjson", "x\n"), ("head.csv", "model_id,kind,value\n")]
    {
        let path = folder.write(name, content);
        let ran = run(["replay", &path]);
        assert_eq!(ran.status, 3, "{name}");
        assert!(ran.stderr.ends_with("error: no event could be used\n"), "{name}: {}", ran.stderr);
    }
    let packed = folder.write("empty.ndjson.gz", gzip(b""));
    assert_eq!(run(["replay", &packed]).status, 3);
}

#[test]
fn an_empty_file_is_told_of_and_is_no_line() {
    let folder = Folder::new("empty");
    let empty = folder.write("empty.ndjson", "");
    let ran = run(["replay", &empty, DIGITS[0], "--format", "json"]);
    assert_eq!((ran.status, &*folder.strip(&ran.stderr)), (0, "empty.ndjson: file is empty\n"));
    let report = ran.json();
    assert_eq!((&report["events"], &report["rejected"]), (&40_320.into(), &0.into()));
    assert_eq!(report["bad_lines"][0]["line"], 0);
    let ran = run(["replay", &empty, DIGITS[0], "--quiet"]);
    assert_eq!(folder.strip(&ran.stderr), "empty.ndjson: file is empty\n");
    assert!(ran.stdout.contains("\n1 file could not be used\n"), "{}", ran.stdout);
    let page = run(["replay", &empty, DIGITS[0], "--format", "html"]).stdout;
    assert!(page.contains("<b>1</b> file not used") && page.contains("1 file not used</h2>"));
}

#[test]
fn a_file_that_cannot_hold_events_gets_one_hint() {
    let folder = Folder::new("hints");
    let good = "{\"model_id\":\"m\",\"kind\":\"F1\",\"value\":1}";
    let list = folder.write("list.json", format!("[\n{}\n]\n", vec![good; 50].join(",\n")));
    let wide: Vec<u8> = format!("\u{feff}{good}\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let wide = folder.write("wide.ndjson", wide);
    let twice = folder.write("twice.ndjson.gz", gzip(&gzip(good.as_bytes())));
    for (path, said) in [
        (list, "list.json: begins with `[`, must be NDJSON: one object a line, without a list around them"),
        (wide, "wide.ndjson: is UTF-16 text, must be UTF-8"),
        (twice, "twice.ndjson.gz: is gzip within gzip, must be packed once"),
    ] {
        let ran = run(["replay", &path]);
        assert_eq!(ran.status, 3);
        assert_eq!(folder.strip(&ran.stderr), format!("{said}\nerror: no event could be used\n"));
    }
}

#[test]
fn a_file_that_cannot_be_opened_ends_the_command_at_once() {
    let folder = Folder::new("absent");
    let absent = folder.path("absent.ndjson");
    let ran = run(["replay", DIGITS[0], &absent]);
    assert_eq!((ran.status, &*ran.stdout), (2, ""));
    assert_eq!(folder.strip(&ran.stderr), "error: absent.ndjson: No such file or directory (os error 2)\n");
    let ran = run(["replay", &folder.path("")]);
    assert_eq!((ran.status, ran.stderr.contains("is a directory")), (2, true));
}

#[test]
fn a_header_that_lacks_a_field_is_told() {
    let folder = Folder::new("header");
    let path = folder.write("events.csv", "model,kind,value\nm,F1,1\n");
    let ran = run(["replay", &path]);
    assert_eq!(ran.status, 3);
    assert!(ran.stderr.contains("events.csv:1: header: "), "{}", ran.stderr);
    let path = folder.write("rows.csv", "model_id,kind,value\nm,F1,1\nm,F1\nm,F1,0.5\n");
    let ran = run(["replay", &path, "--format", "json"]);
    assert_eq!(folder.strip(&ran.stderr), "rows.csv:3: row of 2 cells, must be 3 as in the header\n");
    assert_eq!(ran.json()["events"], 2);
}

#[test]
fn a_line_without_end_costs_that_line_only() {
    let folder = Folder::new("endless");
    let good = "{\"model_id\":\"m\",\"kind\":\"F1\",\"value\":1}\n";
    let path = folder.write("long.ndjson", format!("{good}{}\n{good}", "x".repeat(3 << 20)));
    let ran = run(["replay", &path, "--format", "json"]);
    assert_eq!(folder.strip(&ran.stderr), "long.ndjson:2: line of 3145728 bytes, must be at most 1048576\n");
    assert_eq!(ran.json()["events"], 2);
}

#[test]
fn unknown_kinds_may_be_taken_as_ones_own() {
    let folder = Folder::new("custom");
    let path = folder.write("cpu.ndjson", "{\"model_id\":\"m\",\"kind\":\"CpuPercent\",\"value\":71.5}\n");
    assert_eq!(run(["replay", &path]).status, 3);
    let report = run(["replay", &path, "--custom-kinds", "--format", "json"]).json();
    assert_eq!(report["models"][0]["kinds"][0]["kind"], "Custom:CpuPercent");
}

#[test]
fn the_far_future_is_a_day_after_the_start_unless_said() {
    let folder = Folder::new("future");
    let path = folder.write(
        "future.ndjson",
        "{\"model_id\":\"m\",\"ts\":\"2190-01-01T00:00:00Z\",\"kind\":\"F1\",\"value\":1}\n",
    );
    let ran = run(["replay", &path]);
    assert_eq!(ran.status, 3);
    assert!(
        ran.stderr.contains("field `ts` is 2190-01-01T00:00:00.000Z, must be at most 20"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("(--not-after sets it)"), "{}", ran.stderr);
    assert_eq!(run(["replay", &path, "--not-after", "2191-01-01T00:00:00Z"]).status, 0);
}

#[test]
fn a_date_stands_for_its_end() {
    let folder = Folder::new("date");
    let event = "{\"model_id\":\"m\",\"ts\":\"2190-01-01T23:59:59Z\",\"kind\":\"F1\",\"value\":1}\n";
    let path = folder.write("future.ndjson", event);
    assert_eq!(run(["replay", &path, "--not-after", "2190-01-01"]).status, 0);
    assert_eq!(run(["replay", &path, "--not-after", "2189-12-31"]).status, 3);
    for wrong in ["2190-02-30", "2190-01", "soon", ""] {
        let ran = run(["replay", &path, "--not-after", wrong]);
        assert_eq!((ran.status, ran.stderr.contains("or a date such as 2025-02-03")), (2, true), "{wrong}");
    }
}

#[test]
fn wrong_usage_and_labels_have_status_two() {
    let folder = Folder::new("usage");
    for args in [
        &["replay"][..],
        &["replay", "x", "--format", "xml"],
        &["replay", "x", "--not-after", "soon"],
        &["dance"],
    ] {
        assert_eq!(run(args.iter()).status, 2, "{args:?}");
    }
    let labels = folder.write("labels.json", "{\"drifts\":[{\"event\":-5}]}");
    let ran = run(["replay", DIGITS[0], "--labels", &labels]);
    assert_eq!(ran.status, 2);
    let said = "error: labels.json: field `drifts[0].event` is -5, must be a whole number from 0\n";
    assert_eq!(folder.strip(&ran.stderr), said);
    let two = "{\"model_id\":\"a\",\"kind\":\"F1\",\"value\":1}\n{\"model_id\":\"b\",\"kind\":\"F1\",\"value\":1}\n";
    let two = folder.write("two.ndjson", two);
    let ran = run(["replay", &two, "--labels", DIGITS[1]]);
    assert_eq!(ran.status, 2);
    assert!(ran.stderr.contains("labels of a single model, but the events are of 2"), "{}", ran.stderr);
}
