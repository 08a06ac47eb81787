//! Delays after a change, each detector as it is set and at one measured run length.

use serde_json::{Value, json};
use visu_tility_drift::Detector;

use crate::contender::{ALL, Contender, Setup};
use crate::law::{Law, row_seed};
use crate::report::{Bar, Report, significant};
use crate::run_length::Lengths;
use crate::{Asked, threads};

const SEED: u64 = 2_001;
const ARL: f64 = 10_000.0;
/// Good values before the change.
const CLEAN: u64 = 2_000;
/// Values after it in which it must be found.
const LIMIT: u64 = 40_000;
const RUNS: u64 = 400;
/// Runs that only count false alarms among the good values.
const STARTS: u64 = 2_000;
/// How many halvings find the `arl` of a measured run length, between these.
const HALVINGS: u32 = 12;
const LOW: f64 = 10.0;
const HIGH: f64 = 80_000.0;
/// How much slower the e-detector may be than a tuned CUSUM.
const SLOWER: f64 = 1.15;
/// How many times the false alarms of a detector without memory there may be at the start.
const EXCESS: f64 = 1.2;

/// A good level and the bad ones.
type Change = (&'static str, f64, &'static [f64]);

const CHANGES: [Change; 3] =
    [("bits .1", 0.1, &[0.15, 0.2, 0.3]), ("bits .02", 0.02, &[0.06]), ("bits .002", 0.002, &[0.008, 0.02])];

/// The forms that are compared; `true` for those of the default plan.
const COMPARED: [(&str, &str, bool); 9] = [
    ("e-sr", "up", false),
    ("exceedance", "agreed limit", false),
    ("cusum", "to twice, up", false),
    ("focus", "known, up", false),
    ("focus", "unknown, up", false),
    ("focus", "unknown, both", true),
    ("conformal-sr", "up", false),
    ("conformal-sr", "both", true),
    ("confidence-sequence", "both", false),
];

struct Job {
    contender: &'static Contender,
    by_default: bool,
    law: Law,
    bad: &'static [f64],
}

/// One detector at one `arl`.
struct Row {
    arl: f64,
    seed: u64,
    run_length: Lengths,
    delays: Vec<Lengths>,
    early: f64,
}

pub(crate) fn run(asked: &Asked) -> Report {
    let mut jobs = Vec::new();
    for (name, form, by_default) in COMPARED.into_iter().filter(|(name, ..)| asked.wants(name)) {
        let contender = ALL.iter().find(|one| (one.name, one.form) == (name, form)).unwrap();
        for (name, p, bad) in CHANGES {
            jobs.push(Job { contender, by_default, law: Law::bits(name, p), bad });
        }
    }
    let rows = threads::each(&jobs, asked.threads, |job| {
        [job.at(ARL, asked.runs), job.at(job.calibrated(), asked.runs)]
    });
    report(&jobs, &rows)
}

impl Job {
    fn name(&self) -> String {
        format!("{} {} {}", self.contender.name, self.contender.form, self.law.name)
    }

    fn setup(&self, arl: f64) -> Option<Setup> {
        self.contender.setup(&self.law, 1, arl)
    }

    /// Finds the `arl` at which the measured run length is 10,000.
    fn calibrated(&self) -> f64 {
        let seed = row_seed(SEED, &self.name());
        let (mut low, mut high) = (LOW, HIGH);
        for _ in 0..HALVINGS {
            let middle = (low * high).sqrt();
            let long = self.setup(middle).is_some_and(|setup| {
                let (mut values, mut alarms) = (0, 0_u32);
                self.lengths(&setup, seed, RUNS, |length, alarm| {
                    values += length;
                    alarms += u32::from(alarm);
                });
                values as f64 >= ARL * f64::from(alarms)
            });
            if long { high = middle } else { low = middle }
        }
        // Where the run length jumps, as with rare ones, the side where it is not too short.
        high
    }

    fn lengths(&self, setup: &Setup, seed: u64, runs: u64, mut each: impl FnMut(u64, bool)) {
        let (fresh, cap) = (setup.build(0), 10 * ARL as u64);
        for run in 0..runs {
            let mut stream = self.law.stream(seed, run);
            let mut detector = if setup.is_random() { setup.build(run) } else { fresh.clone() };
            let alarm = (1..=cap).find(|_| detector.update(stream.draw()).drift_detected());
            each(alarm.unwrap_or(cap), alarm.is_some());
        }
    }

    fn at(&self, arl: f64, runs: u64) -> Row {
        let setup = self.setup(arl).unwrap();
        // The same streams for all detectors, so that they are compared on them.
        let seed = row_seed(SEED + 1, self.law.name);
        let mut run_length = Lengths::default();
        self.lengths(&setup, seed, runs, |length, alarm| run_length.add((length, alarm)));
        let delays =
            self.bad.iter().map(|&p| delay(&setup, &self.law, &Law::bits("", p), CLEAN, RUNS, seed + 1).0);
        let delays = delays.collect();
        let fresh = setup.build(0);
        let early = (0..STARTS).filter(|&run| {
            let mut stream = self.law.stream(seed + 2, run);
            let mut detector = if setup.is_random() { setup.build(run) } else { fresh.clone() };
            (0..CLEAN).any(|_| detector.update(stream.draw()).drift_detected())
        });
        Row { arl, seed, run_length, delays, early: early.count() as f64 / STARTS as f64 }
    }
}

/// Delays of the runs without an alarm before the change, and the number of those with one.
pub(crate) fn delay(
    setup: &Setup,
    good: &Law,
    bad: &Law,
    clean: u64,
    runs: u64,
    seed: u64,
) -> (Lengths, u64) {
    let (mut delays, mut early, fresh) = (Lengths::default(), 0, setup.build(0));
    for run in 0..runs {
        let mut stream = good.stream(seed, run);
        let mut detector = if setup.is_random() { setup.build(run) } else { fresh.clone() };
        if (0..clean).any(|_| detector.update(stream.draw()).drift_detected()) {
            early += 1;
            continue;
        }
        stream.change(bad.source.clone()).unwrap();
        let alarm = (1..=LIMIT).find(|_| detector.update(stream.draw()).drift_detected());
        delays.add((alarm.unwrap_or(LIMIT), alarm.is_some()));
    }
    (delays, early)
}

fn report(jobs: &[Job], rows: &[[Row; 2]]) -> Report {
    let mut cells = Vec::new();
    for (job, pair) in jobs.iter().zip(rows) {
        for (row, set) in pair.iter().zip(["nominal", "measured"]) {
            cells.push(line(job, row, set));
        }
    }
    Report {
        name: "delay",
        title: "Delays at a run length of 10,000",
        protocol: format!(
            "Mean number of values from a change of the share of ones to the alarm, both included, over those of {RUNS} \
             runs that had not alarmed in {CLEAN} good values before; one not found within {LIMIT} counts as that \
             (*lost*). In a row `nominal` the detector's `arl` is 10,000; in a row `measured` it is the `arl` at which \
             the run length (all values over all alarms, {RUNS} runs, table seed {SEED}, {HALVINGS} halvings) is \
             10,000; its measurement on other streams stands beside it. *At start*: the share of {STARTS} runs that \
             alarmed in the first {CLEAN} good values, over that of a detector without memory whose run length is \
             10,000, which is 0.181; *by own length*: over that of one with the run length that was measured. All \
             detectors are given the same streams: the row's seed draws those of the run length, plus 1 of the \
             delays, plus 2 of the start."
        ),
        columns: vec![
            "detector",
            "form",
            "good",
            "10,000 is",
            "arl",
            "run length",
            "s.e.",
            "bad",
            "delay",
            "s.e. of delay",
            "lost",
            "at start",
            "by own length",
            "seed",
        ],
        rows: cells,
        bars: bars(jobs, rows),
    }
}

fn line(job: &Job, row: &Row, set: &str) -> Vec<Value> {
    let list = |value: &dyn Fn(&Lengths) -> Value| Value::Array(row.delays.iter().map(value).collect());
    let mean = significant(row.run_length.mean);
    vec![
        json!(job.contender.name),
        json!(job.contender.form),
        json!(job.law.mean),
        json!(set),
        significant(row.arl),
        if row.run_length.cut > 0 { json!(format!("> {mean}")) } else { mean },
        significant(row.run_length.error()),
        json!(job.bad),
        list(&|delay| significant(delay.mean)),
        list(&|delay| significant(delay.error())),
        list(&|delay| json!(delay.cut)),
        significant(row.early / memoryless(ARL)),
        significant(row.early / memoryless(row.run_length.mean)),
        json!(row.seed),
    ]
}

/// The share of alarms among the good values without memory.
fn memoryless(run_length: f64) -> f64 {
    1.0 - (-(CLEAN as f64) / run_length).exp()
}

fn bars(jobs: &[Job], rows: &[[Row; 2]]) -> Vec<Bar> {
    let mut bars = Vec::new();
    let find = |name: &str, good: f64| {
        let at = jobs.iter().position(|job| job.contender.name == name && job.law.mean == good)?;
        Some((&jobs[at], &rows[at]))
    };
    for (good, bad) in [(0.1, 0.2), (0.002, 0.008)] {
        let (Some((job, ours)), Some((_, best))) = (find("e-sr", good), find("cusum", good)) else {
            continue;
        };
        let at = job.bad.iter().position(|&p| p == bad).unwrap();
        let ratio = ours[1].delays[at].mean / best[1].delays[at].mean;
        let what = format!(
            "{good} to {bad} at one measured run length: e-sr takes {ratio:.3} times as long as the tuned cusum (at most {SLOWER})"
        );
        bars.push(Bar { what, met: ratio <= SLOWER });
    }
    for (job, row) in jobs.iter().zip(rows).filter(|(job, _)| job.by_default) {
        let [nominal, measured] = [0, 1].map(|i| row[i].early / memoryless(ARL));
        let what = format!(
            "{}: {nominal:.2} times the false alarms of no memory in the first {CLEAN} values at a nominal 10,000 (at most {EXCESS}); {measured:.2} at a measured one",
            job.name()
        );
        bars.push(Bar { what, met: nominal <= EXCESS });
    }
    bars
}
