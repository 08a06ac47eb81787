//! Any text as a plan: what the fuzz target `core/fuzz` and a test here both call.
// The fuzz target has no test configuration of its own.
#![allow(clippy::unwrap_used, clippy::panic)]

use visu_tility_core::MonitorPlan;

/// Asks what holds for all texts: they are refused with a reason, or they are a plan that is read again as it was written.
/// Answers whether it was taken.
pub(crate) fn check(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let plan = match MonitorPlan::from_toml(&text) {
        Ok(plan) => plan,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    drop(plan.warnings());
    let written = plan.to_toml();
    let again = MonitorPlan::from_toml(&written).unwrap_or_else(|error| panic!("{error}, in\n{written}"));
    assert_eq!(again.to_toml(), written);
    let change = plan.changes_to(&again);
    assert!(!change.events_changed, "{change:?}");
    true
}

#[cfg(test)]
const PLAN: &str = r#"default_rules = false
[events]
order = "strict"
lateness_max = "5m"
[budget]
false_alarms_per_30_days = 0.5
[[rule]]
name = "floor"
type = "performance"
models = "fraud-*"
versions = "v1"
kinds = ["Accuracy", "F1"]
min_accuracy = 0.85
smoothing = 0.1
response = "alert"
for_count = 3
for = "10s"
[[rule]]
name = "change"
type = "change"
kinds = "Confidence"
detector = "cusum"
mode = "down"
baseline = 0.9
target = 0.6
"#;

#[test]
fn a_plan_with_any_byte_changed_is_refused_or_is_read_again_as_it_was_written() {
    assert!(check(PLAN.as_bytes()));
    let mut taken = 0;
    for place in 0..PLAN.len() {
        for value in [b'"', b'9', b'-', b'\n', 0, 0xff] {
            let mut data = PLAN.as_bytes().to_vec();
            data[place] = value;
            taken += u32::from(check(&data));
        }
        // And with a piece of it twice, or gone.
        let end = (place + 9).min(PLAN.len());
        check(&[&PLAN.as_bytes()[..end], &PLAN.as_bytes()[place..]].concat());
        check(&[&PLAN.as_bytes()[..place], &PLAN.as_bytes()[end..]].concat());
    }
    assert!(taken > 20, "{taken} were taken");
}

#[test]
fn a_plan_that_is_deep_or_long_is_refused_without_a_fall() {
    for text in [
        "[".repeat(100_000),
        "a=[".repeat(50_000),
        "a.".repeat(50_000),
        format!("a = {}1", "{b=".repeat(50_000)),
    ] {
        assert!(!check(text.as_bytes()));
    }
}
