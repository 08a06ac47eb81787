//! The figures that `MedianShift` gives for its defaults, on labelled round-trip times, and the rule by which they
//! are counted.
//!
//! The data is looked for where `cargo xtask quality` looks; where it is absent the test passes with a line that
//! says so.

use visu_tility_drift::{Detector, MedianShift, MedianShiftParams};

#[path = "../../benches/quality/data.rs"]
#[allow(dead_code)] // the benchmark reads more kinds of files
mod data;
#[path = "../../benches/quality/matching.rs"]
mod matching;

use data::{Data, Trouble, positions};
use matching::{Episodes, Matched};

/// Pairs the monitor's alarms on each series with its labels.
fn score(data: &Data, params: MedianShiftParams) -> Result<Matched, Trouble> {
    let labels = data.json("real/rtt/rtt.labels.json")?;
    let models = data.events("real/rtt/rtt.events.ndjson.gz")?;
    let scores = models.iter().map(|(id, kinds)| {
        let mut monitor = MedianShift::new(params).unwrap();
        let values = kinds["LatencyMs"].iter().enumerate();
        let alarms: Vec<usize> =
            values.filter(|&(_, &value)| monitor.update(value).drift_detected()).map(|(i, _)| i).collect();
        Matched::new(&positions(&labels[id]["changes"], "event"), &alarms, kinds["LatencyMs"].len())
    });
    Ok(Matched::pool(&scores.collect::<Vec<_>>()))
}

/// Without a bound, with that of the parameters, with that of the default plan's budget for one value in four
/// minutes (30 days of 512, for a model with nothing else), and for one with eight detectors.
const SCORES: [(f64, f64); 4] = [(0.0, 0.787), (10_000.0, 0.771), (15_360.0, 0.771), (122_880.0, 0.764)];

#[test]
fn median_shift_scores_on_round_trip_times_as_its_page_says() {
    for (arl, f1) in SCORES {
        let params = MedianShiftParams { arl, ..MedianShiftParams::default() };
        let pooled = match score(&Data::find(), params) {
            Ok(pooled) => pooled,
            Err(Trouble::Absent(path)) => {
                return println!("skipped: no labelled times at {}", path.display());
            }
            Err(trouble) => panic!("{trouble:?}"),
        };
        let (precision, recall) = (pooled.precision(), pooled.recall());
        println!("arl {arl}: precision {precision:.3}, recall {recall:.3}, F1 {:.4}", pooled.f1());
        // Other series than those the page speaks of may lie there; the default must do well on any.
        assert!(pooled.f1() >= 0.6, "{}", pooled.f1());
        if pooled.changes == 334 {
            assert!((pooled.f1() - f1).abs() < 1e-3, "{arl}: {}", pooled.f1());
        }
    }
}

#[test]
fn a_change_takes_the_first_free_alarm_of_its_window() {
    // 98 is in time for 100 (two early), 131 for none but 110; 200 is nobody's; 300 has none.
    let matched = Matched::new(&[100, 110, 300], &[98, 131, 200], 1_000);
    assert_eq!((matched.found, matched.alarms, matched.changes, matched.delay), (2, 3, 3, 21));
    assert!((matched.f1() - 2.0 / 3.0).abs() < 1e-12);
    assert!((matched.false_per_1000() - 1.0).abs() < 1e-12);
    assert!((Matched::pool([&matched, &matched]).mean_delay() - 10.5).abs() < 1e-12);
    // One alarm finds one change.
    assert_eq!(Matched::new(&[100, 101], &[105], 1_000).found, 1);
    assert_eq!(Matched::new(&[100], &[97, 131], 1_000).found, 0);
}

#[test]
fn an_episode_has_the_alarms_up_to_the_next_drift_or_its_window() {
    let episodes = Episodes::new(&[(100, 100), (200, 250)], &[50, 110, 120, 199, 260, 349, 350], 100);
    assert_eq!(episodes.delays, [Some(10), Some(60)]);
    assert_eq!((episodes.false_alarms, episodes.repeats), (2, 3));
    assert_eq!(Episodes::new(&[], &[1, 2], 100).false_alarms, 2);
}
