//! Right and wrong answers of real models with known drifts: detectors by their plan's names.

use serde_json::{Value, json};
use visu_tility_drift::Setting::{Count, Flag, Number, Word};

use crate::Outcome;
use crate::contender::{Contender, Feed, Panel, Part};
use crate::data::{Data, positions};
use crate::matching::Episodes;
use crate::pcg::Pcg;
use crate::report::{Bar, Report, rounded};

const PROTOCOL: &str = "The bits of `Correct` of each stream, permuted inside each segment, 200 times with numpy's \
    permutations of seeds 1000 to 1199: share of drifts found before the next, mean delay of those found, false \
    alarms per 10,000 values before the first drift (or of all, where there is none). A detector starts afresh \
    after an alarm. `once` is the stream as it is: delays up to the next drift, then alarms before the first \
    drift (false) and alarms after the first of a drift (repeats). `recorded` rows are river 0.26.1 on the same permutations (KSWIN on 20 of them).";

const REPLICATES: u32 = 200;

const STREAMS: [&str; 5] = [
    "shippable/digits_camera",
    "shippable/car_loan",
    "streams/abrupt_insects",
    "streams/arabic_voices",
    "streams/arabic_stationary",
];

/// What the default plan makes of one false alarm in 30 days when bits come every second and nothing else does:
/// 30 days of 2^17 values. The bars are asked of it.
const DEFAULT: &str = "focus, ARL 3.9e6 (the default plan)";
const ASKED: [&str; 1] = [DEFAULT];

const FOCUS_PLAN: Part = ("focus", &[("family", Word("bernoulli")), ("arl", Number(3_932_160.0))]);
const FOCUS_1E6: Part = ("focus", &[("family", Word("bernoulli")), ("arl", Number(1e6))]);
const FOCUS_1E5: Part = ("focus", &[("family", Word("bernoulli")), ("arl", Number(1e5))]);
const FOCUS_1E7: Part = ("focus", &[("family", Word("bernoulli")), ("arl", Number(1e7))]);
const ADWIN: Part = ("adwin", &[("compat", Word("river"))]);
const ADWIN_CLOCK_1: Part = ("adwin", &[("compat", Word("river")), ("clock", Count(1))]);
const ADWIN_05: Part = ("adwin", &[("compat", Word("river")), ("delta", Number(0.05))]);
const HDDM_A: Part = ("hddm-a", &[("compat", Word("river")), ("two_sided_test", Flag(true))]);
const PAGE_HINKLEY: Part = ("page-hinkley", &[("compat", Word("river"))]);

/// What is scored. What a build does not have is left out and said.
const CONTENDERS: [Contender; 11] = [
    Contender { label: DEFAULT, parts: &[FOCUS_PLAN], feed: Feed::Error },
    Contender { label: "focus, ARL 1e5", parts: &[FOCUS_1E5], feed: Feed::Error },
    Contender { label: "focus, ARL 1e6", parts: &[FOCUS_1E6], feed: Feed::Error },
    Contender { label: "focus, ARL 1e6, or adwin", parts: &[FOCUS_1E6, ADWIN], feed: Feed::Error },
    Contender { label: "focus, ARL 1e7", parts: &[FOCUS_1E7], feed: Feed::Error },
    Contender { label: "adwin", parts: &[ADWIN], feed: Feed::Error },
    Contender { label: "adwin, clock 1", parts: &[ADWIN_CLOCK_1], feed: Feed::Error },
    Contender { label: "adwin, delta .05", parts: &[ADWIN_05], feed: Feed::Error },
    Contender { label: "page-hinkley", parts: &[PAGE_HINKLEY], feed: Feed::Error },
    Contender { label: "kswin", parts: &[("kswin", &[])], feed: Feed::Error },
    Contender { label: "hddm-a, two-sided", parts: &[HDDM_A], feed: Feed::Error },
];

/// A stream of right (1) and wrong (0) answers.
struct Stream {
    name: &'static str,
    correct: Vec<u8>,
    /// Where parts begin that are alike inside, and the end.
    segments: Vec<usize>,
    /// First value of each drift, and the last of its change.
    drifts: Vec<(usize, usize)>,
}

/// What the replicates of one stream say of one detector.
#[derive(Clone, Default)]
struct Tally {
    replicates: u32,
    /// Delays of each drift, summed, and how many found it.
    drifts: Vec<(usize, u32)>,
    early: usize,
    /// Values before the first drift.
    clean: usize,
}

/// A row of the recorded tables.
struct Recorded {
    stream: String,
    detector: String,
    found: Vec<Option<f64>>,
    delays: Vec<Option<f64>>,
    false_alarms: f64,
}

impl Stream {
    fn read(data: &Data, place: &'static str) -> Result<Self, crate::Trouble> {
        let labels = data.json(&format!("real/{place}.labels.json"))?;
        let mut kinds = data.stream(&format!("real/{place}.events.ndjson.gz"))?;
        let correct =
            kinds.remove("Correct").unwrap_or_default().iter().map(|&v| u8::from(v != 0.0)).collect();
        let list = |key: &str| labels[key].as_array().cloned().unwrap_or_default();
        let segments = list("segments").iter().filter_map(Value::as_u64).map(|at| at as usize).collect();
        let starts = positions(&labels["drifts"], "event");
        let ends = list("drifts").into_iter().zip(&starts);
        let drifts =
            ends.map(|(drift, &start)| (start, drift["event_end"].as_u64().map_or(start, |at| at as usize)));
        let name = place.rsplit('/').next().unwrap_or(place);
        Ok(Self { name, correct, segments, drifts: drifts.collect() })
    }

    /// The bits permuted inside each segment, as in the replicate of this number.
    fn permuted(&self, replicate: u32) -> Vec<u8> {
        let (mut pcg, mut bits) = (Pcg::new(1_000 + replicate), self.correct.clone());
        for pair in self.segments.windows(2) {
            pcg.shuffle(&mut bits[pair[0]..pair[1]]);
        }
        bits
    }

    /// Where the alarms before the first drift end.
    fn clean(&self) -> usize {
        self.drifts.first().map_or(self.correct.len(), |&(start, _)| start)
    }

    /// From each drift to the next.
    fn spans(&self) -> Vec<(usize, usize)> {
        let next = self.drifts.iter().skip(1).map(|&(start, _)| start).chain([self.correct.len()]);
        self.drifts.iter().map(|&(start, _)| start).zip(next).collect()
    }
}

impl Tally {
    fn add(&mut self, stream: &Stream, alarms: &[usize]) {
        let spans = stream.spans();
        self.drifts.resize(spans.len(), (0, 0));
        for (drift, &(start, end)) in self.drifts.iter_mut().zip(&spans) {
            if let Some(at) = alarms.iter().find(|&&at| (start..end).contains(&at)) {
                *drift = (drift.0 + at - start, drift.1 + 1);
            }
        }
        self.replicates += 1;
        self.early += alarms.iter().filter(|&&at| at < stream.clean()).count();
        self.clean += stream.clean();
    }

    fn found(&self) -> Vec<f64> {
        self.drifts.iter().map(|&(_, found)| f64::from(found) / f64::from(self.replicates)).collect()
    }

    fn delays(&self) -> Vec<Option<f64>> {
        let mean = |&(sum, found): &(usize, u32)| (found > 0).then(|| sum as f64 / f64::from(found));
        self.drifts.iter().map(mean).collect()
    }

    fn false_alarms(&self) -> f64 {
        1e4 * self.early as f64 / self.clean as f64
    }
}

fn fed(feed: Feed, bits: &[u8]) -> impl Iterator<Item = f64> + '_ {
    bits.iter().map(move |&bit| f64::from(if feed == Feed::Error { 1 - bit } else { bit }))
}

/// Reads the recorded rows: those of the tables, and those measured since in the same way.
fn recorded(data: &Data) -> Result<Vec<Recorded>, crate::Trouble> {
    let text = data.text("real/tables/river_replicates.csv")?;
    let list = |text: &str| serde_json::from_str::<Vec<Option<f64>>>(text).unwrap_or_default();
    let row = |line: &str| {
        let [head, found, _, delays, _, _, tail] = line.split('"').collect::<Vec<_>>().try_into().ok()?;
        let mut head = head.split(',');
        Some(Recorded {
            stream: head.next()?.to_owned(),
            detector: head.next()?.to_owned(),
            found: list(found),
            delays: list(delays),
            false_alarms: tail.trim_start_matches(',').split(',').next()?.parse().ok()?,
        })
    };
    let plain = |line: &str| {
        let [stream, detector, _, _, _, _, wrong, _] = line.split(',').collect::<Vec<_>>().try_into().ok()?;
        let (found, delays) = (Vec::new(), Vec::new());
        let (stream, detector) = (str::to_owned(stream), str::to_owned(detector));
        Some(Recorded { stream, detector, found, delays, false_alarms: wrong.parse().ok()? })
    };
    let rows = text.lines().skip(1).filter_map(|line| row(line).or_else(|| plain(line)));
    let since = SINCE.iter().map(|&(stream, detector, found, delays, false_alarms)| Recorded {
        stream: stream.to_owned(),
        detector: detector.to_owned(),
        found: found.iter().copied().map(Some).collect(),
        delays: delays.to_vec(),
        false_alarms,
    });
    Ok(rows.chain(since).collect())
}

/// Stream, detector, share found, mean delays, false alarms per 10,000: river 0.26.1 on the two streams that the
/// recorded table leaves out, measured by the same script with the labels' drifts.
type Since = (&'static str, &'static str, &'static [f64], &'static [Option<f64>], f64);

const SINCE: [Since; 20] = [
    (
        "digits_camera",
        "ADWIN d=.002",
        &[1.0, 1.0, 1.0, 1.0],
        &[Some(27.2), Some(37.4), Some(171.5), Some(95.9)],
        0.0,
    ),
    (
        "digits_camera",
        "ADWIN d=.05",
        &[1.0, 1.0, 1.0, 1.0],
        &[Some(27.0), Some(31.0), Some(112.4), Some(65.6)],
        0.0,
    ),
    ("digits_camera", "DDM", &[1.0, 0.0, 0.03, 0.0], &[Some(38.8), None, Some(1302.5), None], 5.1),
    (
        "digits_camera",
        "EDDM",
        &[1.0, 0.035, 0.57, 0.12],
        &[Some(15.7), Some(870.4), Some(982.8), Some(523.2)],
        10.24,
    ),
    ("digits_camera", "HDDM_A", &[1.0, 0.0, 0.18, 0.0], &[Some(20.1), None, Some(1329.8), None], 0.02),
    (
        "digits_camera",
        "HDDM_A two-sided",
        &[1.0, 1.0, 1.0, 1.0],
        &[Some(20.1), Some(23.7), Some(237.2), Some(52.3)],
        0.02,
    ),
    ("digits_camera", "HDDM_W", &[1.0, 0.0, 1.0, 0.0], &[Some(16.9), None, Some(1018.6), None], 0.0),
    ("digits_camera", "FHDDM", &[1.0, 0.0, 1.0, 0.0], &[Some(34.5), None, Some(818.4), None], 0.0),
    (
        "digits_camera",
        "PageHinkley",
        &[1.0, 1.0, 1.0, 1.0],
        &[Some(74.1), Some(68.7), Some(419.5), Some(158.1)],
        0.0,
    ),
    (
        "digits_camera",
        "KSWIN",
        &[1.0, 1.0, 0.1, 0.35],
        &[Some(20.3), Some(17.1), Some(1050.0), Some(26.0)],
        0.0,
    ),
    ("car_loan", "ADWIN d=.002", &[1.0], &[Some(2091.1)], 0.0),
    ("car_loan", "ADWIN d=.05", &[0.99], &[Some(1131.3)], 0.017),
    ("car_loan", "DDM", &[0.745], &[Some(2177.0)], 1.606),
    ("car_loan", "EDDM", &[0.995], &[Some(485.1)], 11.846),
    ("car_loan", "HDDM_A", &[0.01], &[Some(2839.0)], 0.0),
    ("car_loan", "HDDM_A two-sided", &[0.01], &[Some(2839.0)], 0.0),
    ("car_loan", "HDDM_W", &[0.0], &[None], 0.0),
    ("car_loan", "FHDDM", &[0.0], &[None], 0.0),
    ("car_loan", "PageHinkley", &[1.0], &[Some(2074.0)], 0.0),
    ("car_loan", "KSWIN", &[0.0], &[None], 0.0),
];

/// The recorded detectors that are not river's defaults.
const NOT_DEFAULT: [&str; 2] = ["ADWIN d=.05", "HDDM_A two-sided"];

/// Asks of the default what the best river default does.
fn bar(stream: &Stream, label: &str, own: &Tally, once: usize, recorded: &[&Recorded]) -> Bar {
    let (name, early) = (stream.name, own.early);
    let wrong = |row: &Recorded| (row.false_alarms * own.clean as f64 / 1e4).round() as usize;
    let sum = |row: &Recorded| row.delays.iter().flatten().sum::<f64>();
    let complete = |row: &&&Recorded| {
        !NOT_DEFAULT.contains(&row.detector.as_str()) && row.found.iter().all(|&found| found == Some(1.0))
    };
    if stream.drifts.is_empty() {
        let what = format!(
            "{name}, {label}: no alarm ({once}); in {} permutations {early} false alarms",
            own.replicates
        );
        return Bar { what, met: once == 0 };
    }
    let best = recorded.iter().filter(complete).min_by(|a, b| sum(a).total_cmp(&sum(b)));
    let all = own.found().iter().all(|&found| found == 1.0);
    let Some(best) = best else {
        return Bar { what: format!("{name}, {label}: all found (no river default finds all)"), met: all };
    };
    let quicker = own.delays().iter().zip(&best.delays).all(|(own, best)| own <= best);
    let wrong = wrong(best);
    let error = if early > wrong && !more(early, wrong) { ", within the sampling error" } else { "" };
    let what = format!(
        "{name}, {label}: all found ({}), each no later than by {}, the best river default ({}), no more false \
        alarms ({early} against {wrong}{error})",
        told(all),
        best.detector,
        told(quicker)
    );
    Bar { what, met: all && quicker && early <= wrong }
}

const fn told(met: bool) -> &'static str {
    if met { "yes" } else { "no" }
}

/// Whether `own` counts more than `other` beyond the sampling error: the chance that as many of all would be `own`'s
/// if each were either's is below 5 %.
fn more(own: usize, other: usize) -> bool {
    let all = own + other;
    let mut term = 0.5_f64.powi(all as i32);
    let mut tail = 0.0;
    for k in 0..=all {
        if k >= own {
            tail += term;
        }
        term *= (all - k) as f64 / (k + 1) as f64;
    }
    tail < 0.05
}

fn numbers(values: &[Option<f64>], decimals: i32) -> Value {
    values.iter().map(|value| value.map_or(Value::Null, |value| rounded(value, decimals))).collect()
}

fn row(stream: &Stream, contender: &Contender, tally: &Tally, once: &Episodes) -> Vec<Value> {
    let found: Vec<Option<f64>> = tally.found().into_iter().map(Some).collect();
    vec![
        json!(stream.name),
        json!(contender.label),
        numbers(&found, 3),
        numbers(&tally.delays(), 1),
        rounded(tally.false_alarms(), 3),
        json!(once.delays),
        json!([once.false_alarms, once.repeats]),
    ]
}

fn recorded_row(one: &Recorded) -> Vec<Value> {
    vec![
        json!(one.stream),
        json!(format!("{} (recorded)", one.detector)),
        numbers(&one.found, 3),
        numbers(&one.delays, 1),
        json!(one.false_alarms),
        Value::Null,
        Value::Null,
    ]
}

pub(crate) fn run(data: &Data) -> Outcome {
    let recorded = recorded(data)?;
    let (mut rows, mut bars, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let mut present: Vec<(&Contender, Panel)> =
        CONTENDERS.iter().filter_map(|one| Some((one, one.build()?))).collect();
    for place in STREAMS {
        let stream = Stream::read(data, place)?;
        let mut tallies = vec![Tally::default(); present.len()];
        for replicate in 0..REPLICATES {
            let bits = stream.permuted(replicate);
            for (tally, (contender, panel)) in tallies.iter_mut().zip(&mut present) {
                tally.add(&stream, &panel.alarms(fed(contender.feed, &bits)));
            }
        }
        let known: Vec<&Recorded> = recorded.iter().filter(|row| row.stream == stream.name).collect();
        for (tally, (contender, panel)) in tallies.iter().zip(&mut present) {
            let once = panel.alarms(fed(contender.feed, &stream.correct));
            let once = Episodes::new(&stream.drifts, &once, stream.correct.len());
            rows.push(row(&stream, contender, tally, &once));
            if ASKED.contains(&contender.label) {
                bars.push(bar(&stream, contender.label, tally, once.false_alarms, &known));
            }
        }
        rows.extend(known.into_iter().map(recorded_row));
    }
    let absent: Vec<&str> =
        CONTENDERS.iter().filter(|one| one.build().is_none()).map(|one| one.label).collect();
    if !absent.is_empty() {
        notes.push(format!("not in this build: {}", absent.join("; ")));
    }
    Ok(Report {
        title: "Right and wrong answers",
        protocol: PROTOCOL,
        columns: vec![
            "stream",
            "detector",
            "found",
            "mean delay",
            "false per 10,000",
            "once",
            "false, repeats",
        ],
        rows,
        bars,
        notes,
        detail: Value::Null,
    })
}
