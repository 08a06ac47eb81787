//! Round-trip times of the internet with hand-labelled changes: the default plan's latency monitor.

use serde_json::{Value, json};
use visu_tility_drift::{
    BatcherParams, Detector, MedianShift, MedianShiftParams, Preparation, PreparationParams,
};

use crate::Outcome;
use crate::data::{Data, positions};
use crate::latency::Numbers;
use crate::matching::Matched;
use crate::report::{Bar, Report, rounded};

const PROTOCOL: &str = "18 series of `LatencyMs` (137,936 values, 334 changes in the series here). An alarm is \
    right from 2 values before to 30 after a change; pairs are one to one, earliest first; scores are pooled over \
    the series. A value comes every four minutes, 360 a day, which a monitor takes as 512: the budget of one false \
    alarm in 30 days is a run length of 15,360 for the model of each series, which has this metric only; with eight \
    detectors on a model it would be 122,880. Left out: for each series the setting is chosen, out of a fixed grid, on \
    the others.";

/// What the default plan makes of its budget at the rate of these series, alone and as one of eight detectors.
const BUDGETED: MedianShiftParams = at(15_360.0);
const OF_EIGHT: MedianShiftParams = at(122_880.0);

/// The defaults with a run length, or with none.
pub(crate) const fn at(arl: f64) -> MedianShiftParams {
    MedianShiftParams {
        recent: 8,
        reference: 60,
        threshold: 2.5,
        share: 0.75,
        floor_absolute: 0.0,
        floor_relative: 0.001,
        arl,
    }
}

/// Medians alone, as the monitor was before it looked at more than the middle of the recent values.
pub(crate) const MEDIANS: MedianShiftParams = MedianShiftParams {
    recent: 10,
    reference: 30,
    threshold: 4.0,
    share: 0.5,
    floor_absolute: 0.0,
    floor_relative: 0.001,
    arl: 0.0,
};

/// Where a monitor alarms.
pub(crate) type Alarms = fn(MedianShiftParams, &[f64]) -> Vec<usize>;

/// Times that the series are resampled.
const RESAMPLED: usize = 4_000;

/// A labelled series.
pub(crate) struct Series {
    pub(crate) id: String,
    pub(crate) values: Vec<f64>,
    pub(crate) changes: Vec<usize>,
}

/// Reads all series.
pub(crate) fn load(data: &Data) -> Result<Vec<Series>, crate::Trouble> {
    let labels = data.json("real/rtt/rtt.labels.json")?;
    let models = data.events("real/rtt/rtt.events.ndjson.gz")?;
    let series = models.into_iter().map(|(id, mut kinds)| {
        let changes = positions(&labels[&id]["changes"], "event");
        Series { values: kinds.remove("LatencyMs").unwrap_or_default(), changes, id }
    });
    Ok(series.collect())
}

/// Returns where the monitor alarms, armed again as it arms itself.
pub(crate) fn alarms(params: MedianShiftParams, values: &[f64]) -> Vec<usize> {
    let mut monitor = MedianShift::new(params).expect("the settings of a grid are in range");
    let indexed = values.iter().enumerate();
    indexed.filter(|&(_, &value)| monitor.update(value).drift_detected()).map(|(i, _)| i).collect()
}

/// Returns where the default plan's rule alarms: the monitor behind the batcher, which learns within blocks.
pub(crate) fn planned(params: MedianShiftParams, values: &[f64]) -> Vec<usize> {
    let batch = BatcherParams {
        early: true,
        within_blocks: true,
        learn: 320,
        times: 1.0,
        recheck: 2_048,
        ..Default::default()
    };
    let stages = PreparationParams { batch: Some(batch), ..PreparationParams::default() };
    let mut stages = Preparation::new(stages).expect("the default plan's settings are in range");
    let mut monitor = MedianShift::new(params).expect("the settings of a grid are in range");
    let mut found = Vec::new();
    for (i, &value) in values.iter().enumerate() {
        let restarts = stages.restarts();
        let value = stages.update(value, 0);
        if stages.restarts() != restarts {
            monitor.reset();
            // As the budget does, which goes by the rate of what the monitor is given.
            monitor.set_arl(stages.arl(params.arl));
        }
        if value.is_some_and(|value| stages.judge(monitor.update(value)).drift_detected()) {
            found.push(i);
        }
    }
    found
}

fn score(series: &[Series], params: MedianShiftParams, at: Alarms) -> Vec<Matched> {
    let one = |one: &Series| Matched::new(&one.changes, &at(params, &one.values), one.values.len());
    series.iter().map(one).collect()
}

/// The settings among which a left-out series finds its own.
fn grid() -> Vec<MedianShiftParams> {
    let mut all = Vec::new();
    for recent in [6, 8, 10, 12] {
        for reference in [30, 60] {
            for share in [0.5, 0.75, 0.9] {
                for threshold in [2.0, 2.5, 3.0, 4.0] {
                    all.push(MedianShiftParams { recent, reference, share, threshold, ..BUDGETED });
                }
            }
        }
    }
    all
}

/// Scores each series with what is best on the others.
fn left_out(scores: &[Vec<Matched>], series: usize) -> Matched {
    let mut chosen = Vec::new();
    for out in 0..series {
        let without = |all: &Vec<Matched>| {
            Matched::pool(all.iter().enumerate().filter(|(i, _)| *i != out).map(|(_, one)| one)).f1()
        };
        let best = scores.iter().max_by(|a, b| without(a).total_cmp(&without(b)));
        chosen.extend(best.map(|all| all[out]));
    }
    Matched::pool(&chosen)
}

/// Returns the 5th and the 95th of 100 parts of F1 over resampled series (bootstrap, splitmix64 from 7).
fn spread(own: &[Matched]) -> [f64; 2] {
    let mut numbers = Numbers(7);
    let mut scores: Vec<f64> = (0..RESAMPLED)
        .map(|_| {
            let drawn: Vec<&Matched> =
                own.iter().map(|_| &own[(numbers.uniform() * own.len() as f64) as usize]).collect();
            Matched::pool(drawn).f1()
        })
        .collect();
    scores.sort_by(f64::total_cmp);
    [0.05, 0.95].map(|part| scores[(part * RESAMPLED as f64) as usize])
}

fn row(label: &str, matched: &Matched) -> Vec<Value> {
    vec![
        json!(label),
        rounded(matched.precision(), 3),
        rounded(matched.recall(), 3),
        rounded(matched.f1(), 3),
        rounded(matched.mean_delay(), 2),
        rounded(matched.false_per_1000(), 2),
        json!(matched.alarms),
    ]
}

fn recorded(label: &str, [precision, recall, f1, delay, wrong]: [f64; 5], alarms: usize) -> Vec<Value> {
    let label = format!("{label} (river, recorded)");
    vec![json!(label), json!(precision), json!(recall), json!(f1), json!(delay), json!(wrong), json!(alarms)]
}

pub(crate) fn run(data: &Data) -> Outcome {
    let series = load(data)?;
    let default = BUDGETED;
    assert_eq!(MedianShiftParams { arl: default.arl, ..MedianShiftParams::default() }, default);
    let own = score(&series, default, planned);
    let pooled = Matched::pool(&own);
    let grid = grid();
    let scores: Vec<Vec<Matched>> = grid.iter().map(|&params| score(&series, params, planned)).collect();
    let others = left_out(&scores, series.len());
    let mut rows = vec![
        row("median-shift (the default plan)", &pooled),
        row(
            "median-shift (the default plan), one of eight detectors",
            &Matched::pool(&score(&series, OF_EIGHT, planned)),
        ),
        row("median-shift, chosen on the other series", &others),
        row("median-shift, no bound", &Matched::pool(&score(&series, at(0.0), alarms))),
        row(
            "median-shift, no bound, medians alone (10/30, 4)",
            &Matched::pool(&score(&series, MEDIANS, alarms)),
        ),
    ];
    if pooled.changes == 334 {
        // tables/rtt_baseline.txt
        rows.push(recorded("ADWIN .002, clock 1", [0.489, 0.554, 0.520, 6.96, 1.40], 378));
        rows.push(recorded("PageHinkley", [0.308, 0.644, 0.416, 7.60, 3.51], 699));
        rows.push(recorded("KSWIN", [0.205, 0.317, 0.249, 14.36, 2.99], 518));
    }
    let [low, high] = spread(&own);
    let good = scores.iter().filter(|all| Matched::pool(*all).f1() >= 0.75).count();
    let each = series.iter().map(|one| {
        let alarms = planned(default, &one.values);
        let matched = Matched::new(&one.changes, &alarms, one.values.len());
        let found = json!({"alarms": alarms, "found": matched.found, "f1": matched.f1()});
        (one.id.clone(), found)
    });
    Ok(Report {
        title: "Latency: round-trip times",
        protocol: PROTOCOL,
        columns: vec!["detector", "precision", "recall", "F1", "mean delay", "false per 1,000", "alarms"],
        bars: vec![Bar {
            what: format!("F1 of the default plan's at least 0.75: {:.3}", pooled.f1()),
            met: pooled.f1() >= 0.75,
        }],
        notes: vec![
            format!("{good} of the {} settings of the grid reach 0.75", grid.len()),
            format!(
                "over resampled series F1 of the default lies from {low:.2} to {high:.2} in 9 of 10 cases"
            ),
        ],
        detail: each.collect(),
        rows,
    })
}
