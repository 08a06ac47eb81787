//! What it shows: what values go through before a detector sees them, and why it matters.
//!
//! Run it with: `cargo run --release -p visu-tility-drift --example preparation`
//!
//! You should see one detector alarm all the time on a metric with days, dependence and broken values, and,
//! behind its preparation, only after the metric has changed on day 60.
//!
//! ```text
//! bare: 73 alarms, 68 of them before the change; days 0.1, 0.3, 0.3, 0.3, 0.3, ...
//! prepared: 8 alarms, 0 of them before the change; days 62.0, 62.2, 62.4, 62.6, 63.8, ...
//! 21600 values: 22 missing, 21 out of range, 3298 to learn from, 18043 into batches, 216 passed on
//! an autocorrelation time of 9.6 values gives batches of 58
//! ```

use std::error::Error;

use visu_tility_drift::simulate::Source;
use visu_tility_drift::{
    Adwin, AdwinParams, BatcherParams, Detector, Outside, PreparationParams, Prepared, RangeGuardParams,
    Season, SeasonalParams, StandardizerParams,
};

/// A value every five minutes.
const STEP: i64 = 300;
const DAY: i64 = 86_400;
const CHANGE: i64 = 60 * DAY;
const END: i64 = 75 * DAY;

/// A load: more by day than by night, neighbours alike, now and then a broken value; on day 60 it rises.
fn load() -> Result<Vec<(i64, f64)>, Box<dyn Error>> {
    let noise = Source::Ar1 { phi: 0.8, mean: 0.0, deviation: 5.0 }.stream(3)?;
    let values = (0..END / STEP).map(|i| i * STEP).zip(noise).map(|(seconds, noise)| {
        let hour = (seconds % DAY) as f64 / 3_600.0;
        let by_day = 20.0 * (1.0 - (hour - 14.0).abs() / 12.0).max(0.0);
        let risen = if seconds < CHANGE { 0.0 } else { 6.0 };
        let value = match seconds / STEP % 1_000 {
            500 => f64::NAN,
            700 => -1e9,
            _ => 50.0 + by_day + noise + risen,
        };
        (seconds, value)
    });
    Ok(values.collect())
}

/// Prints the day of each alarm, the first few of them.
fn report(name: &str, alarms: &[i64]) {
    let days: Vec<String> =
        alarms.iter().take(5).map(|seconds| format!("{:.1}", *seconds as f64 / DAY as f64)).collect();
    let early = alarms.iter().filter(|seconds| **seconds < CHANGE).count();
    let more = if alarms.len() > 5 { ", ..." } else { "" };
    println!(
        "{name}: {} alarms, {early} of them before the change; days {}{more}",
        alarms.len(),
        days.join(", ")
    );
}

fn main() -> Result<(), Box<dyn Error>> {
    let load = load()?;
    let params = AdwinParams { clock: 1, ..AdwinParams::default() };
    let mut bare = Adwin::new(params)?;
    let alarms: Vec<i64> = load
        .iter()
        .filter(|(_, value)| bare.update(*value).drift_detected())
        .map(|(seconds, _)| *seconds)
        .collect();
    report("bare", &alarms);

    let stages = PreparationParams {
        // What cannot be is refused and counted.
        range: Some(RangeGuardParams { low: 0.0, high: 1_000.0, outside: Outside::Refuse }),
        // What is usual at this hour is taken off.
        seasonal: Some(SeasonalParams { season: Season::Day, ..SeasonalParams::default() }),
        // Neighbours that are alike become one mean; how many is learnt.
        batch: Some(BatcherParams::default()),
        // And the rest is put on one scale.
        standardize: Some(StandardizerParams { learn: 100, ..StandardizerParams::default() }),
        ..PreparationParams::default()
    };
    let mut prepared = Prepared::new(stages, Adwin::new(params)?)?;
    let alarms: Vec<i64> = load
        .iter()
        .filter(|(seconds, value)| {
            prepared.update_at(*value, *seconds).is_some_and(|signal| signal.drift_detected())
        })
        .map(|(seconds, _)| *seconds)
        .collect();
    report("prepared", &alarms);

    let status = prepared.preparation().status();
    let counts = status.counts;
    println!(
        "{} values: {} missing, {} out of range, {} to learn from, {} into batches, {} passed on",
        counts.given, counts.missing, counts.outside, counts.learning, counts.batched, counts.passed
    );
    println!(
        "an autocorrelation time of {:.1} values gives batches of {}",
        status.autocorrelation_time.unwrap_or(0.0),
        status.batch_length.unwrap_or(0)
    );
    Ok(())
}
