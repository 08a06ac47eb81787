//! Any bytes as a model's snapshot: what the fuzz target `core/fuzz` and a test here both call.
//!
//! Free bytes hardly get past the form, so the bytes are edits of a true snapshot: places and what is written there.
// The fuzz target has no test configuration of its own.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::{Arc, OnceLock};

use visu_tility_core::{MetricEvent, MetricKind, ModelId, ModelMonitor, MonitorPlan, Timestamp, Version};

/// One rule of each kind that keeps a state of its own.
const PLAN: &str = r#"
[budget]
false_alarms_per_30_days = 1.0
[[rule]]
name = "floor"
type = "performance"
kinds = "Accuracy"
min_accuracy = 0.6
[[rule]]
name = "adwin"
type = "change"
kinds = "Confidence"
detector = "adwin"
[[rule]]
name = "focus"
type = "change"
kinds = "Confidence"
detector = "focus"
batch = true
[[rule]]
name = "latency"
type = "latency"
slo_ms = 100.0
[[rule]]
name = "spread"
type = "distribution"
kinds = "Feature:*"
[[rule]]
name = "vote"
type = "combination"
kinds = "Confidence"
combine = "vote"
need = 1
members = [{ detector = "focus" }, { detector = "page-hinkley" }]
[[rule]]
name = "nulls"
type = "data-quality"
[[rule]]
name = "silence"
type = "staleness"
after = "10m"
"#;

fn model() -> ModelId {
    ModelId::new("fraud").unwrap()
}

fn plan() -> Arc<MonitorPlan> {
    static KEPT: OnceLock<Arc<MonitorPlan>> = OnceLock::new();
    let read = || Arc::new(MonitorPlan::from_toml(PLAN).unwrap_or_else(|error| panic!("{error}")));
    Arc::clone(KEPT.get_or_init(read))
}

/// The `at`-th event of a stream that comes to every rule.
fn event(at: u64) -> MetricEvent {
    let kinds = [
        MetricKind::Accuracy,
        MetricKind::Confidence,
        MetricKind::LatencyMs,
        MetricKind::feature("age").unwrap(),
    ];
    let kind = kinds[(at % 4) as usize].clone();
    let version = Version::new(if at.is_multiple_of(9) { "v2" } else { "v1" }).unwrap();
    let time = Timestamp::from_millis(1_764_000_000_000 + at as i64 * 700);
    let value = (!at.is_multiple_of(23)).then_some(0.3 + (at * 7 % 13) as f64 / 20.0);
    MetricEvent::from_parts(model(), version, kind, Some(time), value).unwrap()
}

/// A true snapshot.
fn snapshot() -> &'static [u8] {
    static KEPT: OnceLock<Vec<u8>> = OnceLock::new();
    KEPT.get_or_init(|| {
        let mut monitor = ModelMonitor::new(model(), plan());
        for at in 0..400 {
            drop(monitor.observe(&event(at), at));
        }
        monitor.snapshot()
    })
}

/// Asks what holds for all bytes: they are refused with a reason, or they are a state that goes on without a panic, and that
/// comes out the same when it is written and read again. Answers whether they were taken.
pub(crate) fn check(bytes: &[u8]) -> bool {
    let mut monitor = match ModelMonitor::restore(model(), plan(), bytes) {
        Ok(monitor) => monitor,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    assert_eq!(monitor.model_id(), &model());
    drop(monitor.status());
    let written = monitor.snapshot();
    let mut again = ModelMonitor::restore(model(), plan(), &written)
        .unwrap_or_else(|error| panic!("written again: {error}"));
    assert_eq!(again.snapshot(), written);
    let mut out = Vec::new();
    for at in 400..440 {
        out.extend(again.observe(&event(at), at));
    }
    again.tick(Timestamp::from_millis(1_764_100_000_000), &mut out);
    drop(again.snapshot());
    true
}

/// Edits a true snapshot as the bytes say: a place in two bytes, what is written there, how it ends; or takes them as they
/// are.
pub(crate) fn check_edits(data: &[u8]) -> bool {
    let Some((how, data)) = data.split_first() else { return false };
    if how % 8 == 7 {
        return check(data);
    }
    let mut bytes = snapshot().to_vec();
    let (edits, rest) = data.as_chunks::<3>();
    for [low, high, value] in edits {
        let place = usize::from(u16::from_le_bytes([*low, *high])) % bytes.len();
        bytes[place] = if how % 2 == 0 { *value } else { bytes[place] ^ *value };
    }
    if let [cut, ..] = rest {
        bytes.truncate(bytes.len() - usize::from(*cut).min(bytes.len()));
    }
    check(&bytes)
}

#[test]
fn a_snapshot_with_one_byte_changed_is_refused_or_is_a_state_that_goes_on() {
    let length = snapshot().len();
    assert!((2_000..65_536).contains(&length), "{length} bytes");
    let mut taken = 0;
    // Places so close that each field is met; some of the values make lengths long.
    for place in (0..length).step_by(5) {
        let [low, high] = (place as u16).to_le_bytes();
        let value = [0x00, 0x7f, 0x80, 0xff][place % 4];
        taken += u32::from(check_edits(&[0, low, high, value]));
    }
    // Numbers may be others; names, lengths and counts may not.
    assert!(taken > 20 && (taken as usize) < length / 5, "{taken} of {} were taken", length / 5);
}

#[test]
fn a_snapshot_that_ends_anywhere_or_goes_on_behind_its_end_is_refused() {
    assert!(check(snapshot()));
    for length in (0..snapshot().len()).step_by(13) {
        assert!(!check(&snapshot()[..length]), "cut to {length}");
    }
    let mut longer = snapshot().to_vec();
    longer.push(0);
    assert!(!check(&longer));
}

#[cfg(test)]
proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, cases: 96, ..Default::default() })]

    #[test]
    fn edits_of_a_snapshot_are_refused_or_are_a_state_that_goes_on(
        data in proptest::collection::vec(proptest::num::u8::ANY, 1..40)
    ) {
        let _ = check_edits(&data);
    }
}
