//! A replay says which rules made more alarms than their budget allows, and takes labelled changes for right.

use std::fmt::Write as _;
use std::sync::Arc;

use visu_tility::ingest::EventReader;
use visu_tility::monitoring::MonitorPlan;
use visu_tility::replay::{BadLine, HtmlReport, Input, Labels, Replay, ReplayWatcher, Report, TextReport};

struct Silent;

impl ReplayWatcher for Silent {
    fn bad_line(&mut self, _: &BadLine) {}
    fn progress(&mut self, _: u64) {}
}

const PLAN: &str = "[[rule]]\nname = \"level\"\ntype = \"change\"\nkinds = \"LatencyMs\"\ndetector = \"conformal-sr\"\n\
                    alert_on = \"any\"\n\
                    [[rule]]\nname = \"other\"\ntype = \"change\"\nkinds = \"Custom:x\"\ndetector = \"conformal-sr\"\n";

/// Values in half a day, one every two minutes.
const HALF_DAY: u64 = 360;

/// Two weeks and a day of a latency that is higher in every second half of a day; in the last half of that time a
/// steady kind comes too.
fn replayed(seasonal: bool) -> Report {
    let mut text = String::new();
    for at in 0..=30 * HALF_DAY {
        let high = seasonal && at / HALF_DAY % 2 == 1;
        let ts = 1_735_689_600_000 + at * 120_000;
        // A step of 7 in 101 never comes again before all have been.
        let noise = (at * 7 % 101) as f64 / 101.0;
        let value = if high { 30.0 } else { 20.0 } + noise;
        writeln!(text, "{{\"model_id\":\"m\",\"kind\":\"LatencyMs\",\"value\":{value},\"ts\":{ts}}}")
            .unwrap();
        if at >= 15 * HALF_DAY {
            writeln!(text, "{{\"model_id\":\"m\",\"kind\":\"Custom:x\",\"value\":{noise},\"ts\":{ts}}}")
                .unwrap();
        }
    }
    let reader = EventReader::from_reader(std::io::Cursor::new(text), None, Arc::default()).unwrap();
    let replay = Replay::new(MonitorPlan::from_toml(PLAN).unwrap());
    replay.run(vec![Input { name: "season.ndjson".to_owned(), reader }], &mut Silent).unwrap()
}

/// Labels at so many of the beginnings of half a day, from the first.
fn labels(count: u64) -> Labels {
    let drifts: Vec<String> = (1..=count).map(|half| format!("{{\"event\":{}}}", half * HALF_DAY)).collect();
    Labels::from_json(&format!("{{\"drifts\":[{}]}}", drifts.join(","))).unwrap()
}

#[test]
fn a_season_makes_more_alarms_than_the_budget_allows_and_every_report_says_so() {
    let report = replayed(true);
    let [over] = &report.over_budget[..] else { panic!("{:?}", report.over_budget) };
    assert_eq!((over.model_id.as_str(), &*over.observer), ("m", "level"));
    assert_eq!(over.drifts, report.alarms.iter().filter(|alarm| &*alarm.observer == "level").count() as u64);
    assert!(over.drifts >= 20, "{} alarms at 29 steps", over.drifts);
    // One a month: alone for 7.5 of 30 days, and one of two for 7.5 more.
    assert!((over.allowed - (0.25 + 0.125)).abs() < 1e-9, "{}", over.allowed);
    let said = format!("more than the budget allows: level {} alarms (0.375 allowed)", over.drifts);
    let (text, page) = (TextReport::new(&report).to_string(), HtmlReport::new(&report).to_string());
    for shown in [&text, &page] {
        assert!(shown.contains(&said) && shown.contains("of a season"), "{shown}");
    }
    let mut json = Vec::new();
    report.write_json(&mut json).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["over_budget"][0]["observer"], "level");
    assert_eq!(json["over_budget"][0]["drifts"], over.drifts);
}

#[test]
fn alarms_at_labelled_changes_do_not_count_and_neither_does_that_time() {
    let mut report = replayed(true);
    let all = report.over_budget[0].clone();
    report.hold_against(&labels(29), 1_000).unwrap();
    assert_eq!(report.over_budget, [], "every step is labelled");
    // The first 13 steps, each up to the next one, leave 16 of 30 halves of days and the one before the first.
    report.hold_against(&labels(13), HALF_DAY).unwrap();
    let [rest] = &report.over_budget[..] else { panic!("{:?}", report.over_budget) };
    assert!(rest.drifts < all.drifts && rest.drifts > 3, "{} of {}", rest.drifts, all.drifts);
    assert!((rest.allowed / all.allowed - 17.0 / 30.0).abs() < 1e-3, "{} of {}", rest.allowed, all.allowed);
    assert!(report.score.is_some());
}

#[test]
fn where_nothing_changes_nothing_is_said() {
    let report = replayed(false);
    assert_eq!(report.over_budget, []);
    assert!(!TextReport::new(&report).to_string().contains("more than the budget allows"));
    assert!(!HtmlReport::new(&report).to_string().contains("more than the budget allows"));
}
