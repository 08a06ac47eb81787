//! The detectors of other systems against river and MOA: every drift, and every value of a warning.

use serde_json::Value;
use visu_tility_drift::{AnyParams, Detector, Level, Setting};

use super::{assert_drifts, cases, folders, integers, label, load, params_of, streams};

/// What becomes of river's flag of a warning on a drift.
#[derive(Clone, Copy, PartialEq)]
enum Flag {
    Falls,
    Stays,
    /// It is on when the other side warns, which one level cannot say.
    Unsaid,
}

/// Checks all cases of one detector of `file`, in every folder.
fn check(file: &str, theirs: &str, flag: Flag, build: impl Fn(&Value) -> AnyParams) {
    let mut checked = 0;
    for folder in folders() {
        let (streams, recorded) = (streams(&folder), load(&folder, file));
        let cases = cases(&recorded, theirs);
        for case in &cases {
            let mut detector = build(case).build().unwrap();
            let (mut drifts, mut warnings) = (Vec::new(), Vec::new());
            let mut last = Level::Normal;
            for (i, &x) in (0..).zip(&streams[case["stream"].as_str().unwrap()]) {
                let level = detector.update(x).level;
                let warned = level == Level::Drift && last == Level::Warning && flag == Flag::Stays;
                if level == Level::Drift {
                    drifts.push(i);
                }
                if level == Level::Warning || warned {
                    warnings.push(i);
                }
                last = level;
            }
            assert_drifts(&drifts, case);
            assert_warnings(&warnings, &drifts, flag, case);
        }
        println!("{}: {} {theirs} cases of {file} equal", folder.display(), cases.len());
        checked += cases.len();
    }
    assert!(checked > 0, "no case of {theirs} in {file}");
}

/// Lists of ranges may be cut after 100; the number of values in them is not.
fn assert_warnings(found: &[u64], drifts: &[u64], flag: Flag, case: &Value) {
    let ranges = case["warnings"].as_array().unwrap().iter().map(integers);
    let mut expected: Vec<u64> = ranges.flat_map(|range| range[0]..=range[1]).collect();
    if flag == Flag::Unsaid {
        expected.retain(|i| !drifts.contains(i));
    }
    assert!(found.starts_with(&expected), "{}: {found:?} for {expected:?}", label(case));
    let number = case["n_warning_samples"].as_u64().unwrap_or(expected.len() as u64);
    assert_eq!(found.len() as u64, number, "{}", label(case));
}

fn against_river(ours: &str, theirs: &str, flag: Flag) {
    check("river.json", theirs, flag, |case| params_of(ours, "river", case, &[]));
}

/// `options` are the letters of MOA's option string and our names for them.
fn against_moa(ours: &str, theirs: &str, options: &[(&str, &str)]) {
    check("moa.json", theirs, Flag::Falls, |case| {
        let mut params = AnyParams::by_name(ours).unwrap();
        params.set("compat", Setting::Word("moa")).unwrap();
        if theirs == "HDDM_A_Test" {
            // Both ways unless its options say otherwise.
            params.set("two_sided_test", Setting::Flag(true)).unwrap();
        }
        let mut words = case["cli"].as_str().unwrap().split_whitespace().skip(1);
        while let (Some(letter), Some(value)) = (words.next(), words.next()) {
            let known = options.iter().find(|(known, _)| *known == letter);
            let (_, name) = known.unwrap_or_else(|| panic!("{theirs} has {letter}"));
            let setting = match (value.parse::<u64>(), value) {
                (Ok(count), _) => Setting::Count(count),
                (_, "Two-sided") => Setting::Flag(true),
                (_, "One-sided") => Setting::Flag(false),
                _ => Setting::Number(value.parse().unwrap()),
            };
            params.set(name, setting).unwrap();
        }
        params
    });
}

#[test]
fn ddm_agrees_with_river_and_moa() {
    against_river("ddm", "DDM", Flag::Falls);
    let options = [("-n", "warm_start"), ("-w", "warning_threshold"), ("-o", "drift_threshold")];
    against_moa("ddm", "DDM", &options);
}

#[test]
fn eddm_agrees_with_river_and_moa() {
    against_river("eddm", "EDDM", Flag::Stays);
    against_moa("eddm", "EDDM", &[]);
}

#[test]
fn rddm_agrees_with_moa() {
    let options = [
        ("-n", "warm_start"),
        ("-w", "warning_threshold"),
        ("-o", "drift_threshold"),
        ("-x", "max_concept"),
        ("-y", "min_concept"),
        ("-z", "warning_limit"),
    ];
    against_moa("rddm", "RDDM", &options);
}

#[test]
fn hddm_a_agrees_with_river_and_moa() {
    against_river("hddm-a", "HDDM_A", Flag::Unsaid);
    let options = [("-d", "drift_confidence"), ("-w", "warning_confidence"), ("-t", "two_sided_test")];
    against_moa("hddm-a", "HDDM_A_Test", &options);
}

#[test]
fn hddm_w_agrees_with_river_and_moa() {
    against_river("hddm-w", "HDDM_W", Flag::Unsaid);
    let options = [
        ("-d", "drift_confidence"),
        ("-w", "warning_confidence"),
        ("-m", "lambda_val"),
        ("-t", "two_sided_test"),
    ];
    against_moa("hddm-w", "HDDM_W_Test", &options);
}

#[test]
fn fhddm_agrees_with_river() {
    against_river("fhddm", "FHDDM", Flag::Falls);
}

#[test]
fn stepd_agrees_with_moa() {
    let options = [("-r", "sliding_window_size"), ("-o", "drift_confidence"), ("-w", "warning_confidence")];
    against_moa("stepd", "STEPD", &options);
}

#[test]
fn ecdd_agrees_with_moa() {
    against_moa("ecdd", "EWMAChartDM", &[("-n", "warm_start"), ("-l", "lambda_val")]);
}

#[test]
fn gma_agrees_with_moa() {
    let options = [("-n", "min_instances"), ("-l", "threshold"), ("-a", "alpha")];
    against_moa("gma", "GeometricMovingAverageDM", &options);
}

#[test]
fn seed_agrees_with_moa() {
    let options = [
        ("-d", "delta"),
        ("-b", "block_size"),
        ("-e", "epsilon_prime"),
        ("-a", "alpha"),
        ("-c", "compress_term"),
    ];
    against_moa("seed", "SEEDChangeDetector", &options);
}
