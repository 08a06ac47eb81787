//! In event time it makes no difference how many threads there are, or in which order models are read.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use visu_tility::ingest::{EventFormat, EventReader, NextLine};
use visu_tility::monitoring::{EventOrder, EventPolicy, MonitorPlan, Monitoring, Timestamp, block_on};
use visu_tility::replay::{BadLine, Input, Replay, ReplayWatcher};

struct Quiet;

impl ReplayWatcher for Quiet {
    fn bad_line(&mut self, line: &BadLine) {
        panic!("{line:?}");
    }
    fn progress(&mut self, _: u64) {}
}

/// An event every ten seconds for so many minutes.
fn model(name: &str, minutes: i64) -> Input {
    let mut text = String::new();
    for step in 0..minutes * 6 {
        let ts = Timestamp::from_millis(1_738_540_800_000 + step * 10_000);
        text.push_str(r#"{"model_id":""#);
        text.push_str(name);
        text.push_str(r#"","ts":""#);
        text.push_str(&ts.to_string());
        text.push_str("\",\"kind\":\"Accuracy\",\"value\":0.9}\n");
    }
    let read = Arc::new(AtomicU64::new(0));
    let reader = EventReader::from_reader(Cursor::new(text), Some(EventFormat::Ndjson), read).unwrap();
    Input { name: name.to_owned(), reader }
}

/// Who was silent since when, as told by a rule of two minutes.
fn silences(arbiters: usize, inputs: Vec<Input>) -> Vec<(String, String)> {
    let plan = "[[rule]]\nname = \"silent\"\ntype = \"staleness\"\nafter = \"2m\"\n";
    let mut replay = Replay::new(MonitorPlan::from_toml(plan).unwrap());
    replay.arbiters = arbiters;
    let report = replay.run(inputs, &mut Quiet).unwrap();
    report.alarms.iter().map(|alarm| (alarm.model_id.to_string(), alarm.ts.to_string())).collect()
}

#[test]
fn a_silent_model_is_found_whatever_stands_beside_it() {
    let wanted = [("b".to_owned(), "2025-02-03T00:31:50.000001Z".to_owned())];
    for arbiters in 1..=4 {
        assert_eq!(silences(arbiters, vec![model("a", 120), model("b", 30)]), wanted, "{arbiters} threads");
        assert_eq!(silences(arbiters, vec![model("b", 30), model("a", 120)]), wanted, "{arbiters} threads");
    }
}

/// The real round-trip times: 18 series, of which one has a back-step of two seconds.
fn round_trip_times() -> Option<EventReader> {
    let folder = std::env::var_os("VISU_TILITY_DATA").unwrap_or_else(|| "../shared/data".into());
    let path = std::path::Path::new(&folder).join("real/rtt/rtt.events.ndjson.gz");
    if !path.exists() {
        eprintln!("skipped: {} is not there; VISU_TILITY_DATA names the folder of the data", path.display());
        return None;
    }
    Some(EventReader::open(&path, Arc::new(AtomicU64::new(0))).unwrap())
}

#[test]
fn real_times_with_a_back_step_are_all_taken_or_counted() {
    for (order, repeated) in [(EventOrder::Arrival, 0), (EventOrder::Strict, 1)] {
        let Some(mut reader) = round_trip_times() else { return };
        let plan = MonitorPlan::empty();
        let events = EventPolicy { order, ..*plan.events() };
        let handle = Monitoring::builder().plan(plan.with_events(events).unwrap()).start().unwrap();
        let (mut sent, mut batch) = (0, Vec::new());
        block_on(async {
            while let NextLine::Event(line) = reader.next_event() {
                batch.push(line.to_event().unwrap());
                if batch.len() == 8_192 {
                    sent += batch.len() as u64;
                    assert!(handle.publish_batch(std::mem::take(&mut batch)).await.rejected.is_empty());
                }
            }
            sent += batch.len() as u64;
            assert!(handle.publish_batch(batch).await.rejected.is_empty());
            handle.flush().await.unwrap();
            let status = handle.status().await.unwrap();
            assert_eq!((sent, status.events, status.models), (137_936, 137_936, 18));
            let shard = &status.shards[0];
            assert_eq!((shard.late, shard.too_late, shard.repeated), (1 - repeated, 0, repeated));
            let of_model = handle.model_status("rtt-12919").await.unwrap().monitor.unwrap();
            assert_eq!((of_model.late, of_model.repeated, of_model.back_steps), (1 - repeated, repeated, 0));
        });
    }
}
