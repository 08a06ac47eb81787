//! The default latency monitor beside the series it was chosen on: a server's own regimes, hourly latencies of a
//! cloud service, and latencies in which nothing changes.

use serde_json::{Value, json};
use visu_tility_drift::{ConformalSr, ConformalSrParams, Detector, MedianShiftParams};

use crate::data::{Data, Trouble, positions};
use crate::matching::{Episodes, Matched};
use crate::report::{Bar, Report, rounded};
use crate::{Outcome, rtt};

const PROTOCOL: &str = "`lat_regimes_a`: 13,000 measured requests; delays of the four causes (bigger model, rolled \
    back, noisy neighbour, neighbour gone), alarms before the first or more than 500 values after one. `msft`: 12 \
    series of hourly latency; a run of hours marked anomalous counts as a change at its start and one behind its \
    end, an alarm as for round-trip times. Clean: 400,000 made values in which nothing changes, false alarms in 30 days \
    at a value a minute. Windows: the same of an accuracy in windows of so many answers, by the rule for windowed metrics \
    (`conformal-sr`). The run lengths are those of the default plan's \
    budget for a model with nothing else: at four requests a second (`lat_regimes_a`) 15,728,640, hourly 960, at a \
    value a minute 61,440.";

const WINDOW: usize = 500;
const CLEAN: usize = 400_000;

/// Run lengths of the default plan's budget: 30 days of 2^19, 32 and 2^11 values.
const REQUESTS: f64 = 15_728_640.0;
const HOURLY: f64 = 960.0;
const BY_THE_MINUTE: f64 = 61_440.0;

/// Reads the columns `Value` and `Label` of each file of a tar of CSV.
fn tables(tar: &[u8]) -> Vec<(Vec<f64>, Vec<bool>)> {
    let mut found = Vec::new();
    let mut rest = tar;
    // A header of 512 bytes with the size in octal at 124, then the file in blocks of 512.
    while let Some(header) = rest.get(..512).filter(|header| header[0] != 0) {
        let size = std::str::from_utf8(&header[124..136]).unwrap_or("0");
        let size = usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).unwrap_or(0);
        let file = String::from_utf8_lossy(&rest[512..512 + size]);
        let line = |line: &str| {
            let mut fields = line.rsplit(',');
            let label = fields.next()?.trim() == "1";
            Some((fields.next()?.parse::<f64>().ok()?, label))
        };
        let rows: (Vec<f64>, Vec<bool>) = file.lines().filter_map(line).unzip();
        if !rows.0.is_empty() {
            found.push(rows);
        }
        rest = rest.get(512 + size.div_ceil(512) * 512..).unwrap_or_default();
    }
    found
}

/// Starts of runs of marked values, and the first value behind each.
fn edges(labels: &[bool]) -> Vec<usize> {
    let before = [false].into_iter().chain(labels.iter().copied());
    before.zip(labels).enumerate().filter(|(_, (was, is))| was != *is).map(|(i, _)| i).collect()
}

/// A fixed stream of numbers (splitmix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// Draws from (0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((z ^ (z >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Draws from the standard normal distribution (Box and Muller).
    fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

/// Latencies in which nothing changes: what they are, and the values.
fn clean() -> Vec<(&'static str, Vec<f64>)> {
    let made = |draw: &mut dyn FnMut(&mut Numbers) -> f64| {
        let mut numbers = Numbers(7);
        (0..CLEAN).map(|_| draw(&mut numbers)).collect::<Vec<f64>>()
    };
    let related = |share: f64| {
        let mut last = 0.0;
        made(&mut |numbers| {
            last = share * last + numbers.normal();
            100.0 + last
        })
    };
    vec![
        ("normal, 100 and 5", made(&mut |numbers| 100.0 + 5.0 * numbers.normal())),
        ("lognormal, sigma 0.5", made(&mut |numbers| 100.0 * (0.5 * numbers.normal()).exp())),
        ("lognormal, sigma 1", made(&mut |numbers| 100.0 * numbers.normal().exp())),
        ("Pareto, shape 1.5", made(&mut |numbers| 20.0 * numbers.uniform().powf(-1.0 / 1.5))),
        ("1 ms or 10 ms", made(&mut |numbers| if numbers.uniform() < 0.5 { 1.0 } else { 10.0 })),
        (
            "1 ms or 10 ms, with noise",
            made(&mut |numbers| {
                (if numbers.uniform() < 0.5 { 1.0 } else { 10.0 }) * (1.0 + 0.05 * numbers.uniform())
            }),
        ),
        ("1, 2 or 3 ms", made(&mut |numbers| 1.0 + (3.0 * numbers.uniform()).floor())),
        ("whole milliseconds", made(&mut |numbers| 10.0 - (3.0 * numbers.uniform().ln()).ceil())),
        ("AR(1), 0.5", related(0.5)),
        ("AR(1), 0.7", related(0.7)),
        ("AR(1), 0.9", related(0.9)),
    ]
}

/// Windows of a metric that does not change.
fn windows() -> Vec<(&'static str, Vec<f64>)> {
    let made = |answers: usize, share: f64| {
        let mut numbers = Numbers(7);
        let right = |numbers: &mut Numbers| (0..answers).filter(|_| numbers.uniform() < share).count() as f64;
        (0..CLEAN).map(|_| right(&mut numbers) / answers as f64).collect::<Vec<f64>>()
    };
    let mut numbers = Numbers(7);
    vec![
        ("20 answers, 0.9", made(20, 0.9)),
        ("20 answers, 0.99", made(20, 0.99)),
        ("50 answers, 0.98", made(50, 0.98)),
        ("100 answers, 0.95", made(100, 0.95)),
        ("normal", (0..CLEAN).map(|_| 0.95 + 0.01 * numbers.normal()).collect()),
    ]
}

/// How often the default plan's rule for windowed metrics alarms.
fn windowed(values: &[f64]) -> usize {
    let params = ConformalSrParams { arl: BY_THE_MINUTE, ..Default::default() };
    let mut rule = ConformalSr::new(params).expect("the default plan's settings are in range");
    values.iter().filter(|&&value| rule.update(value).drift_detected()).count()
}

/// False alarms in 30 days at a value a minute.
fn monthly(alarms: usize) -> Value {
    rounded(43_200.0 * alarms as f64 / CLEAN as f64, 2)
}

/// The figures of one monitor, in the order of the table's rows, and whether its bar is met.
struct Column {
    cells: Vec<Value>,
    met: bool,
}

/// `at` gives the monitor at a run length.
fn column(
    data: &Data,
    at: fn(f64) -> MedianShiftParams,
    alarms: rtt::Alarms,
    clean: &[(&'static str, Vec<f64>)],
) -> Result<Column, Trouble> {
    let labels = data.json("real/shippable/lat_regimes_a.labels.json")?;
    let drifts: Vec<(usize, usize)> =
        positions(&labels["drifts"], "event").into_iter().map(|at| (at, at)).collect();
    let kinds = data.stream("real/shippable/lat_regimes_a.events.ndjson.gz")?;
    let values = kinds.get("LatencyMs").map(Vec::as_slice).unwrap_or_default();
    let told = Episodes::new(&drifts, &alarms(at(REQUESTS), values), WINDOW);
    let hourly = tables(&data.unpacked("real/msft/msft_latency.tar.gz")?);
    let hourly: Vec<Matched> = hourly
        .iter()
        .map(|(values, marked)| Matched::new(&edges(marked), &alarms(at(HOURLY), values), values.len()))
        .collect();
    let hourly = Matched::pool(&hourly);
    let mut cells = vec![
        json!(told.delays),
        json!([told.false_alarms, told.repeats]),
        json!([hourly.precision(), hourly.recall(), hourly.f1()].map(|score| rounded(score, 3))),
        rounded(hourly.false_per_1000(), 2),
    ];
    cells.extend(clean.iter().map(|(_, values)| monthly(alarms(at(BY_THE_MINUTE), values).len())));
    let met = told.delays.iter().take(3).all(Option::is_some) && told.false_alarms == 0;
    Ok(Column { cells, met })
}

pub(crate) fn run(data: &Data) -> Outcome {
    let (clean, windows) = (clean(), windows());
    let own = column(data, rtt::at, rtt::planned, &clean)?;
    let unbound = column(data, |_| rtt::at(0.0), rtt::alarms, &clean)?;
    let medians = column(data, |_| rtt::MEDIANS, rtt::alarms, &clean)?;
    let names = [
        "lat_regimes_a: delays",
        "lat_regimes_a: false alarms, repeats",
        "msft: precision, recall, F1",
        "msft: false alarms per 1,000",
    ];
    let names =
        names.map(str::to_owned).into_iter().chain(clean.iter().map(|(name, _)| format!("clean: {name}")));
    let cells = own.cells.into_iter().zip(unbound.cells).zip(medians.cells);
    let mut rows: Vec<Vec<Value>> = names
        .zip(cells)
        .map(|(name, ((own, unbound), medians))| vec![json!(name), own, unbound, medians])
        .collect();
    rows.extend(windows.iter().map(|(name, values)| {
        vec![json!(format!("windows: {name}")), monthly(windowed(values)), Value::Null, Value::Null]
    }));
    let what = "lat_regimes_a: bigger model, roll-back and noisy neighbour seen, no false alarm".to_owned();
    Ok(Report {
        title: "Latency: other series",
        protocol: PROTOCOL,
        columns: vec!["series", "the default plan", "no bound", "no bound, medians alone (10/30, 4)"],
        rows,
        bars: vec![Bar { what, met: own.met }],
        notes: Vec::new(),
        detail: Value::Null,
    })
}
