//! A budgeted rule that is restored at any point decides as one that was never interrupted.

use visu_tility_drift::simulate::Source;

use super::*;

/// One of each that keeps its evidence or its threshold in its own way, all in one budget.
const RULES: [(&str, &str); 8] = [
    ("cusum", "type = \"change\"\ndetector = \"cusum\"\nmode = \"down\"\nbaseline = 0.9\ntarget = 0.6\n"),
    ("e-sr", "type = \"change\"\ndetector = \"e-sr\"\nmode = \"down\"\nm_pre = 0.9\ngap = true\n"),
    ("conformal", "type = \"change\"\ndetector = \"conformal-sr\"\ncuts = 20\n"),
    ("focus", "type = \"change\"\ndetector = \"focus\"\n"),
    (
        "batched",
        "type = \"change\"\ndetector = \"focus\"\nbatch = true\nbatch_learn = 256\nbatch_early = true\n",
    ),
    (
        "vote",
        "type = \"combination\"\ncombine = \"vote\"\nneed = 1\nmembers = [{ detector = \"focus\" }, \
         { detector = \"cusum\", mode = \"down\", baseline = 0.9, target = 0.6 }]\n",
    ),
    (
        "merge",
        "type = \"combination\"\ncombine = \"evidence-merge\"\nmembers = [\
         { detector = \"e-sr\", mode = \"down\", m_pre = 0.9 }, { detector = \"conformal-sr\", cuts = 10 }]\n",
    ),
    (
        "gate",
        "type = \"combination\"\ncombine = \"gate\"\nrearm = \"cool-down\"\ncool_down = 40\n\
         members = [{ detector = \"focus\" }]\n",
    ),
];

/// The plan of some of the rules; `which` has a bit for each.
fn plan(which: u8, per_30_days: f64) -> Arc<MonitorPlan> {
    let chosen = RULES.iter().enumerate().filter(|(place, _)| which >> place & 1 == 1);
    let rules =
        chosen.map(|(_, (name, keys))| format!("[[rule]]\nname = \"{name}\"\nkinds = \"Correct\"\n{keys}"));
    let text = format!("[budget]\nfalse_alarms_per_30_days = {per_30_days}\n{}", rules.collect::<String>());
    let plan = MonitorPlan::from_toml(&text).unwrap_or_else(|error| panic!("{error}"));
    assert!(plan.rules().iter().all(|rule| rule.check.is_budgeted()));
    Arc::new(plan)
}

/// What happens to a model.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many values of a version, so far apart, of which so many in ten are right.
    Values { version: u8, count: u32, apart_ms: i64, right: u8 },
    /// Nothing comes for so many hours.
    Silence(i64),
    /// The plan has another budget.
    Budget(f64),
}

fn step() -> impl Strategy<Value = Step> {
    let apart = prop_oneof![Just(50_i64), Just(1_000), Just(60_000), Just(1_200_000)];
    let right = prop_oneof![3 => Just(9_u8), 1 => Just(5)];
    prop_oneof![
        6 => (0_u8..3, 1_u32..120, apart, right)
            .prop_map(|(version, count, apart_ms, right)| Step::Values { version, count, apart_ms, right }),
        1 => prop_oneof![Just(30_i64), Just(200)].prop_map(Step::Silence),
        2 => prop_oneof![Just(0.5), Just(50.0), Just(5_000.0)].prop_map(Step::Budget),
    ]
}

/// Plays the steps; before each value whose number is in `cuts` the model is written and read back.
fn play(which: u8, steps: &[Step], cuts: &[u32]) -> (Vec<String>, Vec<f64>, Vec<u8>) {
    let mut now = plan(which, 5.0);
    let mut model = ModelMonitor::new(id(), now.clone());
    let mut chances = Source::Beta { a: 1.0, b: 1.0 }.stream(7).unwrap();
    let (mut ms, mut number, mut told, mut arls) = (0_i64, 0_u32, Vec::new(), Vec::new());
    for step in steps {
        match *step {
            Step::Silence(hours) => ms += hours * 3_600_000,
            Step::Budget(per_30_days) => {
                now = plan(which, per_30_days);
                let mut out = Vec::new();
                model.reload(now.clone(), &mut out);
                told.extend(out.iter().map(|record| format!("{record:?}")));
            }
            Step::Values { version, count, apart_ms, right } => {
                for chance in chances.by_ref().take(count as usize) {
                    if cuts.contains(&number) {
                        let bytes = model.snapshot();
                        model = ModelMonitor::restore(id(), now.clone(), &bytes).unwrap();
                        assert_eq!(model.snapshot(), bytes, "before value {number}");
                    }
                    (ms, number) = (ms + apart_ms, number + 1);
                    let value = f64::from(u8::from(chance < f64::from(right) / 10.0));
                    let event = MetricEvent::new("digits", MetricKind::Correct, value).unwrap();
                    let event = event.with_version(["a", "b", "c"][usize::from(version)]).unwrap();
                    let at = Timestamp::from_micros(second(0).micros() + ms * 1_000);
                    let records = model.observe(&event.at(at).unwrap(), u64::from(number));
                    told.extend(records.iter().map(|record| format!("{record:?}")));
                }
            }
        }
        let figures = model.status().series.into_iter().flat_map(|series| series.observers);
        arls.extend(figures.filter_map(|observer| observer.figures.get("arl").copied()));
    }
    // A deadline may be early: when time was last let pass is not the same, and changes nothing.
    model.tick(Timestamp::from_micros(second(0).micros() + ms * 1_000), &mut Vec::new());
    (told, arls, model.snapshot())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_budgeted_rule_that_is_restored_anywhere_decides_as_one_that_was_not(
        which in 1_u8..=255,
        steps in proptest::collection::vec(step(), 1..14),
        cuts in proptest::collection::vec(0_u32..700, 1..8),
    ) {
        let (whole, parts) = (play(which, &steps, &[]), play(which, &steps, &cuts));
        prop_assert_eq!(whole.0, parts.0);
        prop_assert_eq!(whole.1, parts.1);
        prop_assert!(whole.2 == parts.2, "the states differ");
    }
}

#[test]
fn each_rule_alone_is_restored_at_every_point_while_its_run_length_waits_and_after() {
    let values = |count, apart_ms, right| Step::Values { version: 0, count, apart_ms, right };
    let steps = [
        values(100, 60_000, 9),
        values(12, 60_000, 2),
        Step::Budget(5_000.0),
        values(60, 60_000, 9),
        Step::Silence(200),
        Step::Values { version: 1, count: 20, apart_ms: 50, right: 9 },
        values(60, 1_000, 4),
    ];
    for (place, (name, _)) in RULES.iter().enumerate() {
        let whole = play(1 << place, &steps, &[]);
        assert!(!whole.0.is_empty(), "{name} says something");
        let all: Vec<u32> = (0..300).collect();
        assert!(play(1 << place, &steps, &all) == whole, "{name}");
    }
}
