//! `FOCuS` against all windows, and its false alarms against what its thresholds promise.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use visu_tility_drift::codec::Reader;
use visu_tility_drift::{Detector, Direction, Focus, FocusFamily, FocusParams, Mode, Signal};

fn x_ln(x: f64, y: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x * y.ln() }
}

/// The log-likelihood of `n` values with this sum and sum of squares at a level.
fn likelihood(family: FocusFamily, level: f64, n: f64, sum: f64, squares: f64) -> f64 {
    match family {
        FocusFamily::Gaussian => -0.5 * (squares - 2.0 * level * sum + n * level * level),
        FocusFamily::Bernoulli => x_ln(sum, level) + x_ln(n - sum, 1.0 - level),
        FocusFamily::Poisson => x_ln(sum, level) - n * level,
    }
}

/// The best window that ends with the last value, by trying them all: ratio, cut, upwards.
fn brute(family: FocusFamily, mode: Mode, known: Option<f64>, values: &[f64]) -> (f64, usize, bool) {
    let own = |part: &[f64], level: Option<f64>| {
        let n = part.len() as f64;
        let (sum, squares) = (part.iter().sum::<f64>(), part.iter().map(|x| x * x).sum::<f64>());
        likelihood(family, level.unwrap_or(sum / n), n, sum, squares)
    };
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let mut best = (0.0, values.len(), true);
    for cut in usize::from(known.is_none())..values.len() {
        let (before, after) = values.split_at(cut);
        let upwards = mean(after) > known.unwrap_or_else(|| mean(before));
        if mode == Mode::Up && !upwards || mode == Mode::Down && upwards {
            continue;
        }
        let ratio = match known {
            Some(_) => own(after, None) - own(after, known),
            None => own(before, None) + own(after, None) - own(values, None),
        };
        if ratio > best.0 {
            best = (ratio, cut, upwards);
        }
    }
    best
}

fn forms() -> impl Strategy<Value = (FocusFamily, Mode, bool)> {
    use FocusFamily::{Bernoulli, Gaussian, Poisson};
    let family = prop_oneof![Just(Gaussian), Just(Bernoulli), Just(Poisson)];
    (family, prop_oneof![Just(Mode::Up), Just(Mode::Down), Just(Mode::Both)], any::<bool>())
}

fn value(family: FocusFamily, level: f64, u: f64) -> f64 {
    match family {
        FocusFamily::Gaussian => 4.0 * level + 3.0 * u,
        FocusFamily::Bernoulli => f64::from(u8::from(u < level)),
        FocusFamily::Poisson => (8.0 * level * u).floor(),
    }
}

fn params(family: FocusFamily, mode: Mode, known: bool) -> FocusParams {
    FocusParams { family, mode, known, baseline: 0.3, rearm: false, ..FocusParams::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_statistic_is_the_best_of_all_windows(
        (family, mode, known) in forms(),
        parts in vec((0.02..0.98_f64, vec(0.0..1.0_f64, 1..40)), 1..5),
        threshold in prop_oneof![Just(1e-100), 0.5..6.0],
    ) {
        let values: Vec<f64> =
            parts.iter().flat_map(|(level, us)| us.iter().map(|&u| value(family, *level, u))).collect();
        let mut focus = Focus::new(FocusParams { threshold, ..params(family, mode, known) }).unwrap();
        for n in 1..=values.len() {
            let signal = focus.update(values[n - 1]);
            let (ratio, cut, upwards) = brute(family, mode, known.then_some(0.3), &values[..n]);
            let near = (signal.statistic - ratio).abs() <= 1e-9 * (1.0 + ratio);
            // Below half the threshold it may be that of a younger window.
            prop_assert!(near || ratio < 0.5 * threshold && signal.statistic < ratio, "{signal:?} {ratio}");
            if ratio >= threshold + 1e-9 && near {
                prop_assert!(signal.drift_detected());
                // Windows may tie.
                let others = brute(family, mode, known.then_some(0.3), &values[..n]).1;
                let tied = signal.since == (n - others) as u64;
                let direction = if upwards { Direction::Up } else { Direction::Down };
                prop_assert!(!tied || signal.direction == direction || ratio < 1e-9);
                let since = signal.since as usize;
                let place = brute_at(family, known, &values[..n], n - since);
                prop_assert!((place - ratio).abs() <= 1e-9 * (1.0 + ratio), "{cut} {since}");
            }
        }
    }
}

/// The ratio at one cut.
fn brute_at(family: FocusFamily, known: bool, values: &[f64], cut: usize) -> f64 {
    let own = |part: &[f64], level: Option<f64>| {
        let n = part.len() as f64;
        let (sum, squares) = (part.iter().sum::<f64>(), part.iter().map(|x| x * x).sum::<f64>());
        likelihood(family, level.unwrap_or(sum / n), n, sum, squares)
    };
    let (before, after) = values.split_at(cut);
    match known {
        _ if after.is_empty() || (before.is_empty() && !known) => 0.0,
        true => own(after, None) - own(after, Some(0.3)),
        false => own(before, None) + own(after, None) - own(values, None),
    }
}

struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// `avg_run_len` of the authors of `FOCuS`; `examples/focus_table.rs published` prints the higher thresholds.
#[test]
fn run_lengths_are_those_that_the_authors_published() {
    let published = [(4.6, 129.0), (5.8, 386.0), (7.0, 1_202.0)];
    let mut random = Random(17);
    for known in [false, true] {
        let family = FocusFamily::Gaussian;
        let form = FocusParams { baseline: 0.0, threshold: 8.0, ..params(family, Mode::Both, known) };
        let (fresh, runs) = (Focus::new(form).unwrap(), 800);
        let mut sums = [0_u32; 3];
        for _ in 0..runs {
            let (mut focus, mut reached, mut n) = (fresh.clone(), 0, 0);
            while reached < 3 {
                n += 1;
                let statistic = focus.update(random.normal()).statistic;
                while reached < 3 && statistic >= published[reached].0 {
                    sums[reached] += n;
                    reached += 1;
                }
            }
        }
        for ((threshold, theirs), sum) in published.iter().zip(sums) {
            let ours = f64::from(sum) / f64::from(runs);
            println!("known {known}, threshold {threshold}: {ours:.0}, published {theirs}");
            assert!((ours / theirs - 1.0).abs() < 0.1, "{threshold}: {ours}, published {theirs}");
        }
    }
}

/// With seed 23: alarms in 400,000 bits at a run length of 1,000, from a fresh start after each.
#[test]
fn false_alarms_of_bits_are_no_more_than_the_run_length_allows() {
    let mut random = Random(23);
    for known in [false, true] {
        for p in [0.002, 0.02, 0.1, 0.4, 0.9] {
            let baseline = if known { p } else { 0.5 };
            let form = FocusParams { known, baseline, arl: 1_000.0, ..FocusParams::default() };
            let mut focus = Focus::new(form).unwrap();
            let bit = |random: &mut Random| f64::from(u8::from(random.uniform() < p));
            let alarms = (0..400_000).filter(|_| focus.update(bit(&mut random)).drift_detected()).count();
            println!("p {p}, known {known}: {alarms} alarms, 400 allowed");
            assert!(alarms <= 440, "{p} {known}: {alarms}");
        }
    }
}

#[test]
fn thresholds_grow_with_the_run_length_and_are_accepted_up_to_1e15() {
    for family in [FocusFamily::Gaussian, FocusFamily::Bernoulli, FocusFamily::Poisson] {
        for (known, mode) in [(false, Mode::Up), (false, Mode::Both), (true, Mode::Down), (true, Mode::Both)]
        {
            let mut last = 0.0;
            for arl in (8..=60).map(|quarter| 10_f64.powf(0.25 * f64::from(quarter))) {
                let params = FocusParams { arl: arl.min(1e15), ..params(family, mode, known) };
                let threshold = Focus::new(params).unwrap().update(0.0).threshold;
                assert!(
                    threshold > last && threshold < 1.1 * arl.ln() + 2.0,
                    "{family:?} {arl}: {threshold}"
                );
                last = threshold;
            }
        }
    }
    // The authors' threshold for a run length of 1e6, mean unknown, is 14.40.
    let gaussian = FocusParams { arl: 1e6, ..params(FocusFamily::Gaussian, Mode::Both, false) };
    let threshold = Focus::new(gaussian).unwrap().update(0.0).threshold;
    assert!((14.3..14.7).contains(&threshold), "{threshold}");
}

#[test]
fn candidates_stay_few_on_any_stream() {
    let mut random = Random(5);
    let shapes: [fn(f64, &mut Random) -> f64; 4] = [
        |_, random| random.normal(),
        // Convex sums: every place is a vertex of one side.
        |i, _| i,
        |i, _| (i * i).min(1e90),
        |i, _| (i * 0.001).sin() * i,
    ];
    for shape in shapes {
        let form = FocusParams { threshold: 1e100, ..params(FocusFamily::Gaussian, Mode::Both, false) };
        let mut focus = Focus::new(form).unwrap();
        let mut most = 0;
        for i in 0..100_000 {
            let signal = focus.update(shape(f64::from(i), &mut random));
            assert!(signal.statistic.is_finite());
            most = most.max(focus.candidates());
        }
        assert!(most <= 112, "{most}");
        let mut bytes = Vec::new();
        focus.write_state(&mut bytes);
        assert!(
            bytes.len() <= 4_096 && size_of::<Focus>() <= 4_096,
            "{} {}",
            bytes.len(),
            size_of::<Focus>()
        );
    }
}

/// What is left out at the limit of candidates makes the ratio smaller, never larger, and hardly so.
#[test]
fn beyond_the_limit_of_candidates_the_ratio_is_a_little_smaller() {
    let form = FocusParams { threshold: 1e-100, ..params(FocusFamily::Gaussian, Mode::Both, false) };
    let mut focus = Focus::new(form).unwrap();
    let mut values = Vec::new();
    for i in 0..400 {
        values.push(f64::from(i) * 0.01);
        let found = focus.update(values[i as usize]).statistic;
        let (exact, ..) = brute(FocusFamily::Gaussian, Mode::Both, None, &values);
        assert!(found <= exact + 1e-9 && found >= 0.99 * exact, "{i}: {found} {exact}");
    }
    assert!(focus.candidates() >= 50);
}

/// The bits of a stream that say whether the model was right, and where that changed.
fn correct(folder: &Path, name: &str) -> (Vec<f64>, Vec<u64>) {
    let file = GzDecoder::new(File::open(folder.join(format!("{name}.events.ndjson.gz"))).unwrap());
    let events =
        BufReader::new(file).lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let bits =
        events.filter(|event| event["kind"] == "Correct").map(|event| event["value"].as_f64().unwrap());
    let labels: Value =
        serde_json::from_reader(File::open(folder.join(format!("{name}.labels.json"))).unwrap()).unwrap();
    let drifts = labels["drifts"].as_array().unwrap().iter().map(|drift| drift["event"].as_u64().unwrap());
    (bits.collect(), drifts.collect())
}

/// With the defaults, which were not chosen on them. The streams are read from the folder named by
/// `VISU_TILITY_STREAMS`, or `shared/data/real/streams` beside the workspace.
#[test]
fn the_defaults_find_the_drifts_of_real_models_and_nothing_else() {
    let folder = std::env::var_os("VISU_TILITY_STREAMS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/real/streams"),
        PathBuf::from,
    );
    if !folder.is_dir() {
        println!("skipped: the real streams are not at {}", folder.display());
        return;
    }
    for name in ["abrupt_insects", "arabic_voices", "arabic_stationary"] {
        let (bits, drifts) = correct(&folder, name);
        let mut focus = Focus::new(FocusParams::default()).unwrap();
        let alarms: Vec<u64> = (0..)
            .zip(&bits)
            .filter(|(_, bit)| focus.update(**bit).drift_detected())
            .map(|(i, _)| i)
            .collect();
        println!("{name}: alarms {alarms:?}, drifts {drifts:?}");
        assert_eq!(alarms.len(), drifts.len(), "{name}");
        assert!(
            alarms.iter().zip(&drifts).all(|(alarm, drift)| (*drift..drift + 40).contains(alarm)),
            "{name}"
        );
    }
}

#[test]
fn it_starts_afresh_after_a_drift() {
    let mut focus = Focus::new(FocusParams::default()).unwrap();
    let bit = |i: u64| f64::from(u8::from(i.is_multiple_of(10) || (i >= 1_000 && i % 10 < 6)));
    let drifts: Vec<(u64, Signal)> =
        (0..4_000).map(|i| (i, focus.update(bit(i)))).filter(|(_, signal)| signal.drift_detected()).collect();
    assert_eq!(drifts.len(), 1, "{drifts:?}");
    assert_eq!(drifts[0].1.direction, Direction::Up);
    assert!((drifts[0].0 + 1 - drifts[0].1.since).abs_diff(1_000) <= 5, "{drifts:?}");
    assert!((focus.estimation().unwrap() - 0.6).abs() < 0.01);
    assert_eq!(focus.count(), 4_000);
}

#[test]
fn parameters_out_of_range_are_refused() {
    let refused = |params: FocusParams| Focus::new(params).unwrap_err().param;
    let default = FocusParams::default();
    assert_eq!(refused(FocusParams { baseline: 0.0, ..default }), "baseline");
    assert_eq!(refused(FocusParams { sigma: -1.0, ..default }), "sigma");
    assert_eq!(refused(FocusParams { arl: 99.0, ..default }), "arl");
    assert_eq!(refused(FocusParams { arl: f64::NAN, ..default }), "arl");
    assert_eq!(refused(FocusParams { threshold: -1.0, ..default }), "threshold");
}

#[test]
fn a_reset_leaves_nothing() {
    for (family, mode, known) in [
        (FocusFamily::Gaussian, Mode::Both, false),
        (FocusFamily::Bernoulli, Mode::Both, true),
        (FocusFamily::Poisson, Mode::Down, false),
    ] {
        let fresh = Focus::new(params(family, mode, known)).unwrap();
        let mut used = fresh.clone();
        (0..100).for_each(|i| _ = used.update(f64::from(i % 3)));
        used.reset();
        let state = |focus: &Focus| {
            let mut bytes = Vec::new();
            focus.write_state(&mut bytes);
            bytes
        };
        assert_eq!(state(&used), state(&fresh));
    }
}

fn counts(known: Option<f64>) -> FocusParams {
    let family = FocusFamily::Poisson;
    FocusParams { family, known: known.is_some(), baseline: known.unwrap_or(1.0), ..FocusParams::default() }
}

/// A constant 1e12 was an alarm: the ratio was a difference of sums.
#[test]
fn a_constant_count_is_no_change_however_large() {
    for count in [0.0, 1.0, 3.0, 1e3, 1e6, 123_456_789.0, 1e9, 999_999_999_999.0, 1e12, 1e15] {
        let mut focus = Focus::new(counts(None)).unwrap();
        let worst = (0..20_000).map(|_| focus.update(count).statistic).fold(0.0, f64::max);
        assert_eq!(worst, 0.0, "{count}");
        assert_eq!(focus.estimation(), Some(count.min(1e12)));
        if count >= 1.0 {
            let mut focus = Focus::new(counts(Some(count.min(1e12)))).unwrap();
            assert!((0..20_000).all(|_| focus.update(count).statistic == 0.0), "{count}");
        }
    }
}

/// A state of `n` counts around 1e6 of which the first was 700 above: no rounding may look like a change, and a
/// change of 1 % is 10 deviations.
#[test]
fn large_counts_go_on_for_ever_and_their_changes_are_found_at_once() {
    let rate = 1e6_f64;
    let mut random = Random(23);
    let mut count = |rate: f64| (rate + rate.sqrt() * random.normal()).round();
    for known in [None, Some(rate + 0.4)] {
        for n in [1e2_f64, 1e8, 1e10, 1e12] {
            let mut focus = Focus::new(FocusParams { arl: 1e9, ..counts(known) }).unwrap();
            focus.update(rate + if known.is_some() { 0.0 } else { 700.0 });
            let mut bytes = Vec::new();
            focus.write_state(&mut bytes);
            // Version, fingerprint, tally; length, sum, anchor, statistic, arl; then the candidates.
            let sum = if known.is_some() { 0.4 * n } else { -700.0 * (n - 1.0) };
            bytes[9..17].copy_from_slice(&((n as u64).to_le_bytes()));
            bytes[25..33].copy_from_slice(&n.to_le_bytes());
            bytes[33..41].copy_from_slice(&sum.round().to_le_bytes());
            bytes.truncate(66);
            for _ in 0..2 {
                let places =
                    if known.is_some() { vec![(n, sum.round())] } else { vec![(0.0, 0.0), (n, sum.round())] };
                bytes.extend((places.len() as u16).to_le_bytes());
                for (cut, sum) in places {
                    bytes.extend([cut, sum, 0.0].iter().flat_map(|x| x.to_le_bytes()));
                }
            }
            focus.read_state(&mut Reader::new(&bytes)).unwrap();
            let worst = (0..20_000).map(|_| focus.update(count(rate)).statistic).fold(0.0, f64::max);
            assert!(worst < 20.0, "{known:?} {n}: {worst}");
            let (at, signal) = (1..50)
                .map(|at| (at, focus.update(count(1.01 * rate))))
                .find(|(_, s)| s.drift_detected())
                .unwrap();
            assert!(at <= 2 && signal.direction == Direction::Up, "{known:?} {n}: {at} {signal:?}");
            assert!(signal.since <= at + 1, "{known:?} {n}: {at} {signal:?}");
        }
    }
}
