//! Combinations at work: budgets, snapshots, reloads, figures.

use visu_tility_drift::AnyParams;

use super::*;
use crate::ObserverStatus;

const VOTE: &str = "combine = \"vote\"\nneed = 2\nhorizon = 300\nmembers = [{ detector = \"focus\" }, \
                    { detector = \"conformal-sr\", cuts = 20 }, { detector = \"page-hinkley\", threshold = 15 }]\n";
const MERGE: &str = "combine = \"evidence-merge\"\nwarn_share = 0.1\nmembers = [\
                     { detector = \"e-sr\", mode = \"down\", m_pre = 0.9, weight = 2 }, \
                     { detector = \"conformal-sr\", cuts = 20 }]\n";
const GATE: &str =
    "combine = \"gate\"\nrearm = \"cool-down\"\ncool_down = 40\nmembers = [{ detector = \"ddm\" }]\n";

fn plan(rules: &[(&str, &str)]) -> MonitorPlan {
    let rules = rules.iter().map(|(name, keys)| {
        format!("[[rule]]\nname = \"{name}\"\ntype = \"combination\"\nkinds = \"Correct\"\n{keys}")
    });
    let text = format!("[budget]\nfalse_alarms_per_30_days = 50\n{}", rules.collect::<String>());
    MonitorPlan::from_toml(&text).unwrap_or_else(|error| panic!("{error}"))
}

fn all() -> MonitorPlan {
    plan(&[("vote", VOTE), ("merge", MERGE), ("gate", GATE)])
}

fn statuses(monitor: &mut ModelMonitor) -> Vec<ObserverStatus> {
    monitor.status().series[0].observers.clone()
}

/// Right answers, nine in ten; from `from` on five in ten. One is missing.
fn answer(i: i64, from: i64) -> MetricEvent {
    let right = i * 7 % 10 >= if i < from { 1 } else { 5 };
    if i == 17 {
        let event = MetricEvent::missing("digits", MetricKind::Correct).unwrap();
        return event.with_version("1").unwrap().at(second(i)).unwrap();
    }
    event(&MetricKind::Correct, "1", i, f64::from(u8::from(right)))
}

fn run(monitor: &mut ModelMonitor, from: i64, range: std::ops::Range<i64>) -> Vec<String> {
    let records = range.flat_map(|i| monitor.observe(&answer(i, from), i as u64));
    records.map(|record| format!("{record:?}")).collect()
}

#[test]
fn a_combination_is_one_sharer_and_its_members_keep_its_part() {
    let mut monitor = monitor(all());
    run(&mut monitor, i64::MAX, 0..200);
    let status = statuses(&mut monitor);
    // One value a second, taken as 2^17 a day. The vote and the merge share; the gate has no bound.
    let arl = 30.0 * 131_072.0 * 2.0 / 50.0;
    assert!((status[0].figures["arl"] - arl).abs() < 1e-6);
    assert_eq!(status[1].threshold, Some(arl));
    assert!(!status[2].figures.contains_key("arl"));
    // One of two votes may be Page-Hinkley's; the other is one of two members', each with twice the run length.
    assert_eq!(status[0].figures["member_2_threshold"], 2.0 * arl);
    // Members of the merge do not start afresh before it fires.
    assert!((status[1].figures["member_1_threshold"] - arl * 1.5).abs() < 1e-6);
    assert!((status[1].figures["member_2_threshold"] - arl * 3.0).abs() < 1e-6);
}

#[test]
fn the_status_tells_what_each_member_says() {
    let mut monitor = monitor(all());
    let mut pending = None;
    for i in 0..400 {
        run(&mut monitor, 200, i..i + 1);
        let status = statuses(&mut monitor);
        let votes: f64 = (1..=3).map(|n| status[0].figures[&*format!("member_{n}_vote")]).sum();
        assert_eq!(votes > 0.0, status[0].statistic == 1.0, "at {i}");
        pending = pending.or((votes > 0.0).then_some(i));
        let parts = status[1].figures["member_1_part"] + status[1].figures["member_2_part"];
        assert!(status[1].level == Level::Drift || parts == status[1].statistic, "at {i}");
        if status[0].level == Level::Drift {
            assert!(pending.is_some_and(|first| first > 200 && first < i), "{pending:?} before {i}");
            assert_eq!((status[0].direction, status[0].statistic), (visu_tility_drift::Direction::Down, 2.0));
            return;
        }
    }
    panic!("two of three see five in ten for nine in ten");
}

#[test]
fn a_reload_keeps_members_unless_their_rule_changed() {
    let mut kept = monitor(all());
    run(&mut kept, 500, 0..400);
    let before = statuses(&mut kept);
    let other = VOTE.replace("threshold = 15", "threshold = 16");
    let gentle = format!("{MERGE}severity = \"info\"\n");
    let mut out = Vec::new();
    kept.reload(Arc::new(plan(&[("merge", &gentle), ("vote", &other), ("gate", GATE)])), &mut out);
    assert!(out.is_empty());
    let after = statuses(&mut kept);
    assert_eq!(after[0].figures["member_1_statistic"], before[1].figures["member_1_statistic"]);
    assert_eq!(after[0].statistic, before[1].statistic);
    assert_eq!(after[1].figures["member_3_statistic"], 0.0, "a member's threshold is another one's");
    assert_eq!(after[2].figures["held_back"], before[2].figures["held_back"]);
}

#[test]
fn a_state_of_other_members_is_left_out_and_not_called_damage() {
    let mut old = monitor(all());
    run(&mut old, 500, 0..400);
    let bytes = old.snapshot();
    // The same name and type, but another way to combine, other members, other weights.
    let swapped = MERGE.replace("weight = 2", "weight = 3");
    let fewer = VOTE.replace("{ detector = \"focus\" }, ", "");
    let other = plan(&[("vote", &fewer), ("merge", &swapped), ("gate", VOTE)]);
    let mut restored = ModelMonitor::restore(id(), Arc::new(other), &bytes).unwrap();
    assert!(statuses(&mut restored).iter().all(|status| status.statistic == 0.0));
    for cut in (0..bytes.len()).step_by(37) {
        assert!(ModelMonitor::restore(id(), Arc::new(all()), &bytes[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn two_models_members_draw_other_random_numbers() {
    let threshold = |model: &str| {
        let mut monitor = ModelMonitor::new(ModelId::new(model).unwrap(), Arc::new(all()));
        for i in 0..60 {
            let value = f64::from(u8::from(i % 10 != 0));
            let event = MetricEvent::new(model, MetricKind::Correct, value).unwrap().at(second(i)).unwrap();
            monitor.observe(&event, i as u64);
        }
        let status = statuses(&mut monitor);
        [&status[0], &status[1]].map(|status| status.figures["member_2_statistic"])
    };
    let (a, b) = (threshold("a"), threshold("b"));
    assert!(a[0] != b[0] && a[1] != b[1] && a[0] != a[1], "{a:?} {b:?}");
}

#[test]
fn what_stands_before_the_members_works_on_the_values_once_for_all() {
    let prepared = |keys: &str| monitor(plan(&[("vote", &format!("{VOTE}{keys}"))]));
    // The first hundred values are learnt from, and none of them reaches a member.
    let mut scaled = prepared("standardize = 100\n");
    run(&mut scaled, i64::MAX, 0..100);
    assert_eq!(statuses(&mut scaled)[0].figures["member_2_statistic"], 0.0);
    run(&mut scaled, i64::MAX, 100..200);
    let figures = &statuses(&mut scaled)[0].figures;
    // One of the 200 is missing.
    assert_eq!((figures["learning"], figures["prepared"]), (100.0, 99.0));
    assert!(figures["member_2_statistic"] > 0.0);
    // After a silence all begin anew: the same values say the same again.
    let mut gaps = prepared("gap = true\ngap_longest_seconds = 100\n");
    run(&mut gaps, i64::MAX, 1_000..1_200);
    let before = statuses(&mut gaps)[0].figures.clone();
    run(&mut gaps, i64::MAX, 5_000..5_200);
    let after = statuses(&mut gaps)[0].figures.clone();
    for figure in ["member_1_statistic", "member_2_statistic", "member_3_statistic"] {
        assert_eq!(after[figure], before[figure], "{figure}");
    }
    assert_eq!(after["gaps"], 1.0);
}

#[test]
fn the_state_of_eight_members_is_within_what_is_stated() {
    // The largest of those that a plan can name.
    let size = |name: &str| {
        let mut detector = AnyParams::by_name(name).unwrap().build().unwrap();
        let mut bytes = Vec::new();
        (0..3_000)
            .for_each(|i| _ = visu_tility_drift::Detector::update(&mut detector, f64::from(i * 7 % 10 != 0)));
        visu_tility_drift::Detector::write_state(&detector, &mut bytes);
        bytes.len()
    };
    let largest = AnyParams::NAMES.iter().max_by_key(|name| size(name)).unwrap();
    let members = vec![format!("{{ detector = \"{largest}\" }}"); 8].join(", ");
    let mut monitor = monitor(plan(&[("r", &format!("combine = \"vote\"\nmembers = [{members}]\n"))]));
    run(&mut monitor, 1_000, 0..3_000);
    let bytes = monitor.snapshot().len();
    assert!(bytes <= 8 * 4_096 + 1_024, "{bytes} with {largest}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_snapshot_anywhere_changes_nothing(
        cuts in proptest::collection::vec(0_i64..900, 1..4),
        from in 100_i64..800,
    ) {
        let mut whole = monitor(all());
        let expected = run(&mut whole, from, 0..900);
        let mut parts = monitor(all());
        let mut cuts = cuts;
        cuts.sort_unstable();
        let (mut seen, mut at) = (Vec::new(), 0);
        for cut in cuts {
            seen.extend(run(&mut parts, from, at..cut));
            at = cut;
            let bytes = parts.snapshot();
            parts = ModelMonitor::restore(id(), Arc::new(all()), &bytes).unwrap();
            prop_assert_eq!(parts.snapshot(), bytes);
        }
        seen.extend(run(&mut parts, from, at..900));
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(parts.snapshot(), whole.snapshot());
    }
}
