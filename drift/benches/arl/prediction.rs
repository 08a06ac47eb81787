//! Predicted delays against measured ones.

use serde_json::json;
use visu_tility_drift::calibration::{Trial, predict_delay};
use visu_tility_drift::{AnyParams, cusum_delay};

use crate::contender::{ALL, Contender};
use crate::delay::delay;
use crate::law::{Law, row_seed};
use crate::report::{Bar, Report, significant};
use crate::{Asked, threads};

const SEED: u64 = 3_001;
const ARL: f64 = 10_000.0;
const CLEAN: u64 = 2_000;
const RUNS: u64 = 1_000;
/// How far off a prediction may be.
const OFF: f64 = 0.2;

const CHANGES: [(f64, f64); 3] = [(0.1, 0.2), (0.1, 0.3), (0.02, 0.06)];

const PREDICTED: [(&str, &str); 5] = [
    ("e-sr", "up"),
    ("focus", "unknown, both"),
    ("cusum", "to twice, up"),
    ("conformal-sr", "both"),
    ("confidence-sequence", "both"),
];

struct Row {
    by: &'static str,
    predicted: f64,
    measured: (f64, f64),
    seeds: [u64; 2],
}

type Job = (&'static Contender, f64, f64);

pub(crate) fn run(asked: &Asked) -> Report {
    let mut jobs: Vec<Job> = Vec::new();
    for (name, form) in PREDICTED.into_iter().filter(|(name, _)| asked.wants(name)) {
        let contender = ALL.iter().find(|one| (one.name, one.form) == (name, form)).unwrap();
        jobs.extend(CHANGES.iter().map(|&(good, bad)| (contender, good, bad)));
    }
    let rows = threads::each(&jobs, asked.threads, measure);
    let (mut cells, mut worst) = (Vec::new(), 0.0_f64);
    for ((contender, good, bad), row) in
        jobs.iter().zip(&rows).flat_map(|(job, rows)| rows.iter().map(move |row| (job, row)))
    {
        let ratio = row.predicted / row.measured.0;
        worst = worst.max((ratio - 1.0).abs());
        cells.push(vec![
            json!(contender.name),
            json!(contender.form),
            json!(good),
            json!(bad),
            json!(row.by),
            significant(row.predicted),
            significant(row.measured.0),
            significant(row.measured.1),
            significant(ratio),
            json!(row.seeds),
        ]);
    }
    let what =
        format!("no prediction is off by more than {:.0} % (at most {:.0} %)", 100.0 * worst, 100.0 * OFF);
    Report {
        name: "prediction",
        title: "Predicted and measured delays",
        protocol: format!(
            "`predict_delay` simulates {RUNS} runs with {CLEAN} good values before the change, at a nominal 10,000; measured are {RUNS} \
             others from another seed and by another loop. `cusum_delay` is computed, for a sum of 0 at the change, with the bad \
             level as `target`. Table seed {SEED}."
        ),
        columns: vec![
            "detector",
            "form",
            "good",
            "bad",
            "by",
            "predicted",
            "measured",
            "s.e.",
            "ratio",
            "seeds",
        ],
        rows: cells,
        bars: vec![Bar { what, met: worst <= OFF }],
    }
}

fn measure(&(contender, good, bad): &Job) -> Vec<Row> {
    let name = format!("{} {} {good} {bad}", contender.name, contender.form);
    let seeds = [SEED, SEED + 1].map(|table| row_seed(table, &name));
    let (good, bad) = (Law::bits("good", good), Law::bits("bad", bad));
    let mut setup = contender.setup(&good, 1, ARL).unwrap();
    if let AnyParams::Cusum(params) = &mut setup.params {
        params.target = bad.mean;
    }
    let (delays, _) = delay(&setup, &good, &bad, CLEAN, RUNS, seeds[1]);
    let measured = (delays.mean, delays.error());
    let trial = Trial { runs: RUNS, cap: 40_000, seed: seeds[0] };
    let simulated = predict_delay(&setup.build(0), &good.source, &bad.source, CLEAN, trial).unwrap();
    let mut rows = vec![Row { by: "predict_delay", predicted: simulated.mean, measured, seeds }];
    if let AnyParams::Cusum(params) = &setup.params {
        rows.push(Row { by: "cusum_delay", predicted: cusum_delay(params).unwrap(), measured, seeds });
    }
    rows
}
