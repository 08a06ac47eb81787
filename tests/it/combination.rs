//! Combinations on real data: what the rules find on the digits, against the members' own alarms.

use std::io::Read;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use visu_tility::drift::{AnyParams, Detector, Direction, Level, Setting, Signal};
use visu_tility::monitoring::{
    ActionRecord, MetricEvent, MetricKind, ModelId, ModelMonitor, MonitorPlan, ObserverAction, Timestamp,
};

// What is true of the stream: `examples/data/README.md`.
const CAMERA_SHIFTS: usize = 2_500;
const CAMERA_PUT_RIGHT: usize = 4_000;
const NOISE_GROWS: usize = 5_500;
const NOISE_ENDS: usize = 7_250;

/// The answers of the digits' model, right or wrong, a prediction every two seconds.
fn answers() -> Vec<f64> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/digits_camera.events.ndjson.gz");
    let mut text = String::new();
    MultiGzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let value = |line: &str| -> Option<f64> {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        (event["kind"] == "Correct").then(|| event["value"].as_f64().unwrap())
    };
    let answers: Vec<f64> = text.lines().filter_map(value).collect();
    assert_eq!(answers.len(), 8_000);
    answers
}

fn event(place: usize, value: f64) -> MetricEvent {
    let at = Timestamp::from_micros(1_738_540_800_000_000 + place as i64 * 2_000_000);
    MetricEvent::new("digits", MetricKind::Correct, value).unwrap().at(at).unwrap()
}

fn plan(keys: &str) -> MonitorPlan {
    let text = format!("[[rule]]\nname = \"r\"\ntype = \"combination\"\nkinds = \"Correct\"\n{keys}\n");
    MonitorPlan::from_toml(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn monitor(plan: &MonitorPlan) -> ModelMonitor {
    ModelMonitor::new(ModelId::new("digits").unwrap(), Arc::new(plan.clone()))
}

/// What a plan says of the answers.
fn watch(plan: &MonitorPlan, answers: &[f64]) -> Vec<ActionRecord> {
    let mut monitor = monitor(plan);
    let readings = answers.iter().enumerate();
    readings.flat_map(|(place, value)| monitor.observe(&event(place, *value), place as u64)).collect()
}

/// The drifts among records: place, direction, statistic. An alert that resolves is not one.
fn drifts(records: &[ActionRecord]) -> Vec<(usize, Direction, f64)> {
    let drifts = records.iter().filter(|record| record.level == Level::Drift);
    drifts.map(|record| (record.series_index as usize, record.direction, record.statistic)).collect()
}

/// Texts of the alerts that fired.
fn fired(records: &[ActionRecord]) -> Vec<(usize, &str)> {
    let fired = records.iter().filter_map(|record| match &record.action {
        ObserverAction::Alert(alert) if record.level == Level::Drift => {
            Some((record.series_index as usize, alert.summary.as_str()))
        }
        _ => None,
    });
    fired.collect()
}

fn member(name: &str, settings: &[(&str, Setting<'_>)]) -> AnyParams {
    let mut params = AnyParams::by_name(name).unwrap();
    for (key, value) in settings {
        params.set(key, *value).unwrap();
    }
    params
}

/// What one detector alone says of each answer.
fn alone(params: AnyParams, answers: &[f64]) -> Vec<Signal> {
    let mut detector = params.build().unwrap();
    answers.iter().map(|value| detector.update(*value)).collect()
}

/// The vote by its definition, from complete lists of the members' alarms.
fn voted(members: &[Vec<Signal>], need: usize, horizon: usize) -> Vec<(usize, Direction, f64)> {
    let mut last: Vec<Option<(usize, Direction)>> = vec![None; members.len()];
    let mut found = Vec::new();
    for at in 0..members[0].len() {
        for (member, last) in members.iter().zip(&mut last) {
            if member[at].drift_detected() {
                *last = Some((at, member[at].direction));
            }
        }
        let cast: Vec<Direction> =
            last.iter().flatten().filter(|(when, _)| at - when < horizon).map(|(_, way)| *way).collect();
        let of = |wanted| cast.iter().filter(|way| **way == wanted).count();
        let (up, down, either) = (of(Direction::Up), of(Direction::Down), of(Direction::Unknown));
        if up.max(down) + either >= need {
            let way = match up.cmp(&down) {
                std::cmp::Ordering::Greater => Direction::Up,
                std::cmp::Ordering::Less => Direction::Down,
                std::cmp::Ordering::Equal => Direction::Unknown,
            };
            found.push((at, way, (up.max(down) + either) as f64));
            last.fill(None);
        }
    }
    found
}

#[test]
fn a_vote_finds_what_two_of_its_members_find() {
    let answers = answers();
    let plan = plan(
        "combine = \"vote\"\nneed = 2\nhorizon = 200\nmembers = [\n{ detector = \"focus\", arl = 10000 },\n\
         { detector = \"page-hinkley\", threshold = 20 },\n{ detector = \"adwin\" }]",
    );
    let members = [
        member("focus", &[("arl", Setting::Number(10_000.0))]),
        member("page-hinkley", &[("threshold", Setting::Number(20.0))]),
        member("adwin", &[]),
    ];
    let members: Vec<Vec<Signal>> = members.iter().map(|params| alone(*params, &answers)).collect();
    let records = watch(&plan, &answers);
    let found = drifts(&records);
    assert_eq!(found, voted(&members, 2, 200));
    // Each true change is found, with its direction; the noise grows slowly.
    for (at, way, within) in [
        (CAMERA_SHIFTS, Direction::Down, 50),
        (CAMERA_PUT_RIGHT, Direction::Up, 50),
        (NOISE_GROWS, Direction::Down, 600),
        (NOISE_ENDS, Direction::Up, 100),
    ] {
        let first = found.iter().find(|(place, ..)| *place >= at).unwrap();
        assert!(first.1 == way && first.0 < at + within, "{at}: {first:?}");
    }
    // Page-Hinkley speaks of the last bad answers before the camera is put right; nobody joins it.
    let page = &members[1];
    assert!((3_000..CAMERA_PUT_RIGHT).any(|place| page[place].drift_detected()));
    assert!(!found.iter().any(|(place, ..)| (3_000..CAMERA_PUT_RIGHT).contains(place)));
    assert_eq!(
        fired(&records),
        [
            (2_527, "Correct of digits fell: 2 of 3 votes (focus, adwin), 2 needed (r)"),
            (6_048, "Correct of digits fell: 2 of 3 votes (focus, page-hinkley), 2 needed (r)"),
        ]
    );
}

#[test]
fn a_merge_finds_what_the_average_of_its_members_evidence_finds() {
    let answers = answers();
    let arl = 20_000.0;
    let plan = plan(&format!(
        "combine = \"evidence-merge\"\narl = {arl}\nmembers = [\n\
         {{ detector = \"e-sr\", mode = \"down\", m_pre = 0.9, weight = 3 }},\n\
         {{ detector = \"e-sr\", mode = \"down\", m_pre = 0.93 }}]"
    ));
    let bets = |m_pre| {
        let params = member(
            "e-sr",
            &[
                ("mode", Setting::Word("down")),
                ("m_pre", Setting::Number(m_pre)),
                ("rearm", Setting::Flag(false)),
            ],
        );
        params.build().unwrap()
    };
    let (mut a, mut b) = (bets(0.9), bets(0.93));
    let mut expected = Vec::new();
    for (at, value) in answers.iter().enumerate() {
        let (one, two) = (a.update(*value).statistic, b.update(*value).statistic);
        let average = 0.75 * one + 0.25 * two;
        if average >= arl {
            expected.push((at, Direction::Down, average));
            (a, b) = (bets(0.9), bets(0.93));
        }
    }
    let records = watch(&plan, &answers);
    let found = drifts(&records);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!((found.0, found.1), (expected.0, expected.1));
        // The one is a sum, the other an average of powers.
        assert!((found.2 / expected.2 - 1.0).abs() < 1e-9, "{found:?} {expected:?}");
    }
    // It goes on while answers are bad, and is quiet while nine in ten are right.
    let bad = [CAMERA_SHIFTS..CAMERA_PUT_RIGHT, NOISE_GROWS..NOISE_ENDS];
    assert!(found.iter().all(|(place, ..)| bad.iter().any(|bad| bad.contains(place))));
    assert_eq!(
        fired(&records),
        [
            (2_513, "Correct of digits fell: evidence 40887 against 20000, most of it from e-sr 2 (r)"),
            (6_048, "Correct of digits fell: evidence 34097 against 20000, most of it from e-sr 2 (r)"),
        ]
    );
}

#[test]
fn a_gate_speaks_once_in_its_cool_down_and_warns_in_between() {
    let answers = answers();
    let plan = plan(
        "combine = \"gate\"\nrearm = \"cool-down\"\ncool_down = 1000\nmembers = [{ detector = \"adwin\" }]",
    );
    let alarms: Vec<usize> = alone(member("adwin", &[]), &answers)
        .iter()
        .enumerate()
        .filter_map(|(place, signal)| signal.drift_detected().then_some(place))
        .collect();
    // Let through is the first, and then the first after each thousand.
    let mut expected: Vec<usize> = Vec::new();
    for at in &alarms {
        if expected.last().is_none_or(|last| at - last > 1_000) {
            expected.push(*at);
        }
    }
    let records = watch(&plan, &answers);
    let places: Vec<usize> = drifts(&records).iter().map(|(place, ..)| *place).collect();
    assert_eq!(places, expected);
    assert!(expected.len() < alarms.len());
    let warned = records.iter().filter(|record| record.level == Level::Warning).count();
    assert_eq!(warned, alarms.len() - expected.len(), "what is held back is recorded");
}

#[test]
fn the_plan_of_the_examples_finds_the_digits_changes_within_its_budget() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/plans/combination.toml");
    let plan = MonitorPlan::from_toml(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(
        plan.warnings(),
        [
            "rule \"correct-once\": its member has no `arl` that a budget could set, so its false alarms are not within the \
          budget"
        ]
    );
    let records = watch(&plan, &answers());
    let by = |name: &str| -> Vec<ActionRecord> {
        records.iter().filter(|record| &*record.id.observer == name).cloned().collect()
    };
    for name in ["correct-vote", "correct-evidence", "correct-once"] {
        let first = drifts(&by(name))[0];
        assert!((CAMERA_SHIFTS..CAMERA_SHIFTS + 100).contains(&first.0), "{name}: {first:?}");
        assert_eq!(first.1, Direction::Down, "{name}");
    }
}
