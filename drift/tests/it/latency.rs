//! The figures that `MedianShift` gives for its defaults, on labelled round-trip times.
//!
//! The series are read from the folder named by `VISU_TILITY_RTT`, or `shared/data/real/rtt` beside the
//! workspace; where it is absent the test passes with a line that says so.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;
use visu_tility_drift::{Detector, MedianShift, MedianShiftParams};

struct Series {
    values: Vec<f64>,
    changes: Vec<usize>,
}

fn load(folder: &Path) -> Vec<Series> {
    let mut series: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let file = GzDecoder::new(File::open(folder.join("rtt.events.ndjson.gz")).unwrap());
    for line in BufReader::new(file).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let id = event["model_id"].as_str().unwrap().to_owned();
        series.entry(id).or_default().push(event["value"].as_f64().unwrap());
    }
    let labels: Value = serde_json::from_reader(File::open(folder.join("rtt.labels.json")).unwrap()).unwrap();
    let changes = |id: &str| -> Vec<usize> {
        let list = labels[id]["changes"].as_array().unwrap();
        list.iter().map(|change| change["event"].as_u64().unwrap() as usize).collect()
    };
    series.into_iter().map(|(id, values)| Series { changes: changes(&id), values }).collect()
}

/// Matches each change with the first free alarm from 2 values before to 30 after it; returns precision,
/// recall and F1 over all series.
fn score(all: &[Series], params: MedianShiftParams) -> [f64; 3] {
    let (mut matched, mut raised, mut labelled) = (0, 0, 0);
    for series in all {
        let mut monitor = MedianShift::new(params).unwrap();
        let mut alarms: Vec<usize> = Vec::new();
        for (i, &value) in series.values.iter().enumerate() {
            if monitor.update(value).drift_detected() {
                alarms.push(i);
            }
        }
        raised += alarms.len();
        labelled += series.changes.len();
        for &change in &series.changes {
            if let Some(at) = alarms.iter().position(|&i| i + 2 >= change && i <= change + 30) {
                alarms.remove(at);
                matched += 1;
            }
        }
    }
    let (precision, recall) = (f64::from(matched) / raised as f64, f64::from(matched) / labelled as f64);
    [precision, recall, 2.0 * precision * recall / (precision + recall)]
}

#[test]
fn median_shift_scores_on_round_trip_times_as_its_page_says() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::var_os("VISU_TILITY_RTT")
        .map_or_else(|| here.join("../../shared/data/real/rtt"), PathBuf::from);
    if !folder.join("rtt.labels.json").is_file() {
        println!("skipped: no labelled round-trip times at {}", folder.display());
        return;
    }
    let series = load(&folder);
    let default = MedianShiftParams::default();
    let [precision, recall, f1] = score(&series, default);
    println!("default: precision {precision:.3}, recall {recall:.3}, F1 {f1:.3}");
    let script = MedianShiftParams { floor_absolute: 0.15, floor_relative: 0.0, ..default };
    let [_, _, f1_script] = score(&series, script);
    println!("floor of 0.15 ms: F1 {f1_script:.3}");
    // Other series than those the page speaks of may lie there; the default must do well on any.
    assert!(f1 >= 0.6, "{f1}");
    if series.iter().map(|s| s.changes.len()).sum::<usize>() == 334 {
        assert!((f1 - 0.721).abs() < 5e-4 && (f1_script - 0.722).abs() < 5e-4, "{f1} {f1_script}");
    }
}
