//! Nominal against measured average run lengths.

use std::collections::HashMap;

use serde_json::{Value, json};
use visu_tility_drift::{AnyDetector, Detector, Preparation};

use crate::contender::{ALL, Contender, Setup, batched};
use crate::law::{Kind, Law, row_seed};
use crate::report::{Bar, Report, significant};
use crate::{Asked, threads};

const SEED: u64 = 1_001;
/// A run is cut after so many times the nominal length.
const CAP: f64 = 10.0;
const FEWEST: f64 = 8.0;
/// Runs from which the number of runs is reckoned; they do not count.
const PILOTS: u64 = 4;
/// How many times as many values a row gets that did not hold at first.
const AGAIN: f64 = 4.0;

/// Run lengths, those that were cut counted as the cap: their mean is never above the true one's expectation.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lengths {
    pub(crate) runs: u64,
    pub(crate) cut: u64,
    pub(crate) mean: f64,
    squares: f64,
}

impl Lengths {
    pub(crate) fn add(&mut self, (length, alarm): (u64, bool)) {
        self.runs += 1;
        self.cut += u64::from(!alarm);
        let apart = length as f64 - self.mean;
        self.mean += apart / self.runs as f64;
        self.squares += apart * (length as f64 - self.mean);
    }

    pub(crate) fn error(&self) -> f64 {
        let n = self.runs as f64;
        (self.squares / (n - 1.0).max(1.0) / n).sqrt()
    }
}

struct Job {
    contender: &'static Contender,
    law: Law,
    nominal: f64,
}

struct Row {
    seed: u64,
    lengths: Lengths,
    again: bool,
}

pub(crate) fn run(asked: &Asked) -> Report {
    let mut jobs = Vec::new();
    for contender in ALL.iter().filter(|contender| asked.wants(contender.name)) {
        for law in Law::all() {
            for &nominal in &asked.nominal {
                let length = expected_length(&law);
                if contender.setup(&law, length, nominal / length as f64).is_some() {
                    jobs.push(Job { contender, law: law.clone(), nominal });
                }
            }
        }
    }
    let rows = threads::each(&jobs, asked.threads, |job| measure(job, asked));
    report(&jobs, &rows)
}

/// The length of batches that the batcher should choose: six autocorrelation times.
fn expected_length(law: &Law) -> u64 {
    match law.kind {
        Kind::Batched { phi } => (6.0 * (1.0 + phi) / (1.0 - phi)).ceil() as u64,
        _ => 1,
    }
}

impl Job {
    fn name(&self) -> String {
        format!("{} {} {} {}", self.contender.name, self.contender.form, self.law.name, self.nominal)
    }

    fn holds(&self, lengths: &Lengths) -> bool {
        lengths.mean + 2.0 * lengths.error() >= self.nominal
    }
}

fn measure(job: &Job, asked: &Asked) -> Row {
    let most = asked.runs as f64;
    let seed = row_seed(SEED, &job.name());
    let first = lengths(job, seed, most, asked.values);
    if job.holds(&first) {
        return Row { seed, lengths: first, again: false };
    }
    let seed = row_seed(SEED + 1, &job.name());
    Row { seed, lengths: lengths(job, seed, AGAIN * most, AGAIN * asked.values), again: true }
}

fn lengths(job: &Job, seed: u64, most: f64, values: f64) -> Lengths {
    let mut bench = Bench::new(job);
    let mut pilot = Lengths::default();
    // Streams that no other run has.
    (0..PILOTS).for_each(|run| pilot.add(bench.length(seed, u64::MAX - run)));
    let runs = (values / pilot.mean.max(1.0)).min(most).max(FEWEST.min(most)) as u64;
    let mut measured = Lengths::default();
    (0..runs).for_each(|run| measured.add(bench.length(seed, run)));
    measured
}

/// Makes runs of one job, and keeps what can be used again.
struct Bench<'a> {
    job: &'a Job,
    /// A detector by the length of batches and its `arl`, with its parameters.
    built: HashMap<u64, (Setup, AnyDetector)>,
}

impl<'a> Bench<'a> {
    fn new(job: &'a Job) -> Self {
        Self { job, built: HashMap::new() }
    }

    /// A detector that has seen nothing, for means of so many values, and how many it learns from.
    fn fresh(&mut self, length: u64, run: u64) -> (AnyDetector, u64) {
        let Job { contender, law, nominal } = self.job;
        let arl = nominal / length as f64;
        let (setup, fresh) = self.built.entry(length).or_insert_with(|| {
            // Where the batches of a stream are longer than expected, the detector's least.
            let setup = (0..40).find_map(|i| contender.setup(law, length, arl * 1.1_f64.powi(i))).unwrap();
            (setup, setup.build(0))
        });
        let detector = if setup.is_random() { setup.build(run) } else { fresh.clone() };
        (detector, setup.learning())
    }

    /// The number of judged values to the first alarm, and whether there was one.
    fn length(&mut self, seed: u64, run: u64) -> (u64, bool) {
        let cap = (CAP * self.job.nominal) as u64;
        if matches!(self.job.law.kind, Kind::Batched { .. }) {
            return self.batched_length(seed, run, cap);
        }
        let law = &self.job.law;
        let mut stream = law.stream(seed, run);
        let (mut detector, learning) = self.fresh(1, run);
        let law = &self.job.law;
        for _ in 0..learning {
            detector.update(law.draw(&mut stream));
        }
        let alarm = (1..=cap).find(|_| detector.update(law.draw(&mut stream)).drift_detected());
        (alarm.unwrap_or(cap), alarm.is_some())
    }

    /// The same behind the automatic batcher, in values and not in means; the detector is built when the length
    /// is known, and its `arl` follows the length when that changes.
    fn batched_length(&mut self, seed: u64, run: u64, cap: u64) -> (u64, bool) {
        let Job { contender, law, nominal } = self.job;
        let setup = contender.setup(law, 1, *nominal).unwrap();
        let (mut preparation, learning) = (Preparation::new(batched(&setup)).unwrap(), setup.learning());
        let (mut stream, mut judged, mut given) = (law.stream(seed, run), 0, 0);
        let mut behind: Option<(AnyDetector, f64)> = None;
        loop {
            if judged > 0 || (given >= learning && preparation.status().ready) {
                judged += 1;
            }
            if let Some(mean) = preparation.update(stream.draw(), 0) {
                let arl = preparation.arl(*nominal);
                let (detector, at) = behind.get_or_insert_with(|| {
                    let length = preparation.status().batch_length.unwrap_or(1);
                    (self.fresh(length, run).0, f64::NAN)
                });
                if *at != arl {
                    detector.set_arl(arl);
                    *at = arl;
                }
                given += 1;
                if detector.update(mean).drift_detected() && judged > 0 {
                    return (judged, true);
                }
            }
            if judged >= cap {
                return (cap, false);
            }
        }
    }
}

fn report(jobs: &[Job], rows: &[Row]) -> Report {
    let mut failed = Vec::new();
    let mut cells = Vec::new();
    for (job, row) in jobs.iter().zip(rows) {
        let holds = job.holds(&row.lengths);
        let Lengths { runs, cut, mean, .. } = row.lengths;
        if !holds {
            failed.push(job.name());
        }
        let measured = if cut > 0 { json!(format!("> {}", significant(mean))) } else { significant(mean) };
        cells.push(vec![
            json!(job.contender.name),
            json!(job.contender.form),
            json!(job.law.name),
            significant(job.nominal),
            measured,
            significant(row.lengths.error()),
            json!(runs),
            json!(cut),
            Value::from(row.seed),
            json!(match (holds, row.again) {
                (true, false) => "holds",
                (true, true) => "holds (second)",
                (false, _) => "FAILS",
            }),
        ]);
    }
    let what = if failed.is_empty() {
        format!("all {} rows hold", rows.len())
    } else {
        format!("{} of {} rows fail: {}", failed.len(), rows.len(), failed.join("; "))
    };
    Report {
        name: "run-length",
        title: "Average run lengths without a change",
        protocol: format!(
            "In judged values: what a detector or its preparation learns from and does not judge is left out. Runs are \
             cut at {CAP} times the nominal length and then count as that, so a mean with cuts (`>`) is less than the true one. \
             Table seed {SEED}; a row's own is printed, and run `r` draws from `Random::fork(seed, r)`. *Holds*: mean + 2 standard errors \
             are not below the nominal length. A row that does not hold is measured again with {AGAIN} times the values from other seeds, \
             and that stands (*second*)."
        ),
        columns: vec![
            "detector", "form", "stream", "nominal", "measured", "s.e.", "runs", "cut", "seed", "verdict",
        ],
        rows: cells,
        bars: vec![Bar { what, met: failed.is_empty() }],
    }
}
