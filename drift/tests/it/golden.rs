//! What the reference implementations say of recorded streams, to the last index.
//!
//! The full set is read from the folder named by `VISU_TILITY_GOLDEN`, or `shared/data/golden` beside the
//! workspace; where it is absent, only the excerpt in `tests/golden` is checked.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use std::sync::Arc;
use visu_tility_drift::{
    Adwin, AdwinParams, Compat, Detector, Family, Mixture, MixtureESr, MixtureParams, Mode, PageHinkley,
    PageHinkleyParams, Recursion,
};

/// The folders to check: the excerpt always, the full set where it is.
fn folders() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let full = std::env::var_os("VISU_TILITY_GOLDEN")
        .map_or_else(|| here.join("../../shared/data/golden"), PathBuf::from);
    let mut all = vec![here.join("tests/golden")];
    if full.join("streams.json").is_file() {
        all.push(full);
    } else {
        println!("skipped: the full golden set is not at {}; the excerpt is checked", full.display());
    }
    all
}

fn load(folder: &Path, name: &str) -> Value {
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn streams(folder: &Path) -> HashMap<String, Vec<f64>> {
    let file = load(folder, "streams.json");
    let values = |stream: &Value| match stream {
        Value::String(bits) => bits.bytes().map(|bit| f64::from(bit - b'0')).collect(),
        other => numbers(other),
    };
    file["streams"].as_object().unwrap().iter().map(|(name, s)| (name.clone(), values(s))).collect()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn integers(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect()
}

fn cases<'a>(file: &'a Value, detector: &str) -> Vec<&'a Value> {
    file["results"].as_array().unwrap().iter().filter(|case| case["detector"] == detector).collect()
}

fn drifts(detector: &mut dyn Detector, stream: &[f64]) -> Vec<u64> {
    (0..).zip(stream).filter(|(_, x)| detector.update(**x).drift_detected()).map(|(i, _)| i).collect()
}

fn label(case: &Value) -> String {
    format!("{} {} on {}", case["detector"], case["params"], case["stream"])
}

/// Lists may be cut after 300 drifts; their number is not.
fn assert_drifts(found: &[u64], case: &Value) {
    let expected = integers(&case["drifts"]);
    assert_eq!(found.len() as u64, case["n_drifts"].as_u64().unwrap(), "{}", label(case));
    assert_eq!(found[..expected.len()], expected, "{}", label(case));
}

fn adwin_params(case: &Value, compat: Compat) -> AdwinParams {
    let mut params = AdwinParams { compat, ..AdwinParams::default() };
    for (key, value) in case["params"].as_object().unwrap() {
        match key.as_str() {
            "delta" => params.delta = value.as_f64().unwrap(),
            "clock" => params.clock = value.as_u64().unwrap() as u32,
            "max_buckets" => params.max_buckets = value.as_u64().unwrap() as u8,
            "min_window_length" => params.min_window_length = value.as_u64().unwrap() as u32,
            "grace_period" => params.grace_period = value.as_u64().unwrap() as u32,
            other => panic!("unknown parameter {other}"),
        }
    }
    params
}

fn page_hinkley_params(case: &Value) -> PageHinkleyParams {
    let mut params = PageHinkleyParams { compat: Compat::River, ..PageHinkleyParams::default() };
    for (key, value) in case["params"].as_object().unwrap() {
        match key.as_str() {
            "min_instances" => params.min_instances = value.as_u64().unwrap(),
            "delta" => params.delta = value.as_f64().unwrap(),
            "threshold" => params.threshold = value.as_f64().unwrap(),
            "alpha" => params.alpha = value.as_f64().unwrap(),
            "mode" => {
                params.mode = match value.as_str().unwrap() {
                    "up" => Mode::Up,
                    "down" => Mode::Down,
                    _ => Mode::Both,
                }
            }
            other => panic!("unknown parameter {other}"),
        }
    }
    params
}

fn mixture_params(case: &Value) -> Option<MixtureParams> {
    Some(MixtureParams {
        recursion: match case["method"].as_str().unwrap() {
            "SR" => Recursion::ShiryaevRoberts,
            "CU" => Recursion::Cusum,
            _ => return None,
        },
        family: match case["family"].as_str().unwrap() {
            "Ber" => Family::Bernoulli,
            "Bounded" => Family::Bounded,
            _ => return None,
        },
        mode: match case["alternative"].as_str().unwrap() {
            "greater" => Mode::Up,
            "less" => Mode::Down,
            _ => Mode::Both,
        },
        m_pre: case["m_pre"].as_f64().unwrap(),
        delta_lower: case["delta_lower"].as_f64().unwrap(),
        delta_upper: case["delta_upper"].as_f64().unwrap(),
        arl: case["arl"].as_f64().unwrap(),
        max_components: 149,
        rearm: false,
    })
}

/// Runs a case and returns the first index at the threshold, -1 when there is none.
fn assert_log_values(mixture: Mixture, stream: &[f64], case: &Value, tolerance: f64) -> i64 {
    let mut detector = MixtureESr::with_mixture(Arc::new(mixture));
    let mut expected = case["log_value"].as_array().unwrap().iter().peekable();
    let mut first = -1;
    for (i, &x) in (0..).zip(stream) {
        let reached = detector.update(x).drift_detected();
        if reached && first < 0 {
            first = i;
        }
        if let Some(point) = expected.next_if(|point| point[0].as_i64() == Some(i)) {
            let Some(value) = point[1].as_f64() else { continue };
            let log = detector.log_value().unwrap();
            let near = (log - value).abs() <= tolerance * value.abs().max(1.0);
            assert!(near, "{} on {} at {i}: {log} is not {value}", case["method"], case["stream"]);
        }
    }
    assert!(expected.next().is_none());
    first
}

#[test]
fn mixture_agrees_with_stcpr6_in_log_values_and_in_its_choice_of_bets() {
    for folder in folders() {
        let (streams, file) = (streams(&folder), load(&folder, "edetector.json"));
        let mut equal = 0;
        for case in file["results"].as_array().unwrap() {
            let Some(params) = mixture_params(case) else { continue };
            let mut stream = streams[case["stream"].as_str().unwrap()].clone();
            if let Some(clip) = case.get("clip_to_unit") {
                let ends = numbers(clip);
                for x in &mut stream {
                    *x = ((*x - ends[0]) / (ends[1] - ends[0])).clamp(0.0, 1.0);
                }
            }
            let (lambdas, weights) = (numbers(&case["lambdas"]), numbers(&case["weights"]));
            let given = Mixture::with_components(params, &lambdas, &weights).unwrap();
            let first = assert_log_values(given, &stream, case, 1e-9);
            assert_eq!(Some(first), case["first_index_ge_log_arl"].as_i64());

            let chosen = Mixture::new(params).unwrap();
            assert_eq!(chosen.lambdas().len(), lambdas.len());
            for (ours, theirs) in chosen.lambdas().iter().zip(&lambdas) {
                assert!((ours - theirs).abs() <= 1e-8 * theirs.abs(), "bet {ours} is not {theirs}");
            }
            for (ours, theirs) in chosen.weights().iter().zip(&weights) {
                assert!((ours - theirs).abs() <= 1e-8 * theirs, "weight {ours} is not {theirs}");
            }
            equal += 1;
        }
        println!("{}: {equal} e-detector cases equal", folder.display());
        assert!(equal > 0);
    }
}

#[test]
fn adwin_agrees_with_river_in_drifts_and_in_every_bit_of_its_window() {
    for folder in folders() {
        let (streams, river) = (streams(&folder), load(&folder, "river.json"));
        let cases = cases(&river, "ADWIN");
        for case in &cases {
            let stream = &streams[case["stream"].as_str().unwrap()];
            let mut adwin = Adwin::new(adwin_params(case, Compat::River)).unwrap();
            let mut checkpoints = case["checkpoints"].as_array().into_iter().flatten().peekable();
            let mut found = Vec::new();
            for (i, &x) in (0..).zip(stream) {
                if adwin.update(x).drift_detected() {
                    found.push(i);
                }
                if let Some(check) = checkpoints.next_if(|check| check[0].as_u64() == Some(i)) {
                    let window = [adwin.width() as f64, adwin.total(), adwin.sum_of_squares()];
                    assert_eq!(window.to_vec(), numbers(check)[1..], "{} at {i}", label(case));
                }
            }
            assert!(checkpoints.next().is_none());
            assert_drifts(&found, case);
            // Up to the first drift, and with it, the paper's algorithm is the same.
            let mut paper = Adwin::new(adwin_params(case, Compat::Paper)).unwrap();
            assert_eq!(drifts(&mut paper, stream).first(), found.first(), "{}", label(case));
            let last = [adwin.width() as f64, adwin.total(), adwin.sum_of_squares()];
            assert_eq!(last.to_vec(), numbers(&case["final"])[..3], "{} at the end", label(case));
        }
        println!("{}: {} river ADWIN cases equal", folder.display(), cases.len());
        assert!(!cases.is_empty());
    }
}

#[test]
fn page_hinkley_agrees_with_river() {
    for folder in folders() {
        let (streams, river) = (streams(&folder), load(&folder, "river.json"));
        let cases = cases(&river, "PageHinkley");
        for case in &cases {
            let mut test = PageHinkley::new(page_hinkley_params(case)).unwrap();
            assert_drifts(&drifts(&mut test, &streams[case["stream"].as_str().unwrap()]), case);
        }
        println!("{}: {} river PageHinkley cases equal", folder.display(), cases.len());
        assert!(!cases.is_empty());
    }
}

#[test]
fn adwin_and_page_hinkley_agree_with_moa() {
    for folder in folders() {
        let (streams, moa) = (streams(&folder), load(&folder, "moa.json"));
        let adwin = AdwinParams { compat: Compat::Moa, ..AdwinParams::default() };
        let cases_adwin = cases(&moa, "ADWINChangeDetector");
        for case in &cases_adwin {
            let mut detector = Adwin::new(adwin).unwrap();
            assert_drifts(&drifts(&mut detector, &streams[case["stream"].as_str().unwrap()]), case);
        }
        let test = PageHinkleyParams { compat: Compat::Moa, ..PageHinkleyParams::default() };
        let cases_test = cases(&moa, "PageHinkleyDM");
        for case in &cases_test {
            let mut detector = PageHinkley::new(test).unwrap();
            assert_drifts(&drifts(&mut detector, &streams[case["stream"].as_str().unwrap()]), case);
        }
        println!("{}: {} MOA cases equal", folder.display(), cases_adwin.len() + cases_test.len());
        assert!(!cases_adwin.is_empty() && !cases_test.is_empty());
    }
}
