//! What the reference implementations say of recorded streams, to the last index.
//!
//! The full set is read from the folder named by `VISU_TILITY_GOLDEN`, or `shared/data/golden` beside the
//! workspace; where it is absent, only the excerpt in `tests/golden` is checked.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use visu_tility_drift::{AnyDetector, AnyParams, Detector, Setting};

mod adwin;
mod classic;
mod cusum;
mod distance;
mod evidently;
mod focus;
mod kolmogorov;
mod kswin;
mod mixture;
mod nannyml;
mod page_hinkley;
mod special;

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

/// Values are recorded to 15 digits; what is 0 but for rounding is near 0.
fn near(ours: f64, theirs: f64, relative: f64, what: &str) {
    let off = (ours - theirs).abs();
    assert!(off <= relative * theirs.abs() + 2e-15, "{what}: {ours:e}, recorded {theirs:e}");
}

/// The samples of `distances.json` by name.
fn pairs(folder: &Path) -> HashMap<String, (Vec<f64>, Vec<f64>)> {
    let file = load(folder, "distances.json");
    let pair = |pair: &Value| {
        (pair["name"].as_str().unwrap().to_owned(), (numbers(&pair["x"]), numbers(&pair["y"])))
    };
    file["pairs"].as_array().unwrap().iter().map(pair).collect()
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

/// The detector of a plan's name under a case's parameters, which have the same names here; `renamed` are
/// those that have not.
fn params_of(name: &str, compat: &str, case: &Value, renamed: &[(&str, &str)]) -> AnyParams {
    let mut params = AnyParams::by_name(name).unwrap();
    params.set("compat", Setting::Word(compat)).unwrap();
    for (key, value) in case["params"].as_object().into_iter().flatten() {
        let key = renamed.iter().find(|(theirs, _)| theirs == key).map_or(key.as_str(), |(_, ours)| ours);
        set(&mut params, key, value);
    }
    params
}

/// Sets a parameter from JSON.
fn set(params: &mut AnyParams, key: &str, value: &Value) {
    let setting = match value {
        Value::String(word) => Setting::Word(word),
        Value::Bool(flag) => Setting::Flag(*flag),
        Value::Number(number) => {
            number.as_u64().map_or_else(|| Setting::Number(number.as_f64().unwrap()), Setting::Count)
        }
        other => panic!("{key} is {other}"),
    };
    params.set(key, setting).unwrap_or_else(|error| panic!("{}: {error}", params.name()));
}

/// Checks all cases of one detector of `file` drift by drift, in every folder; answers how many there were.
fn assert_all_drifts(file: &str, theirs: &str, build: impl Fn(&Value) -> AnyDetector) -> usize {
    let mut checked = 0;
    for folder in folders() {
        let (streams, recorded) = (streams(&folder), load(&folder, file));
        let cases = cases(&recorded, theirs);
        for case in &cases {
            assert_drifts(&drifts(&mut build(case), &streams[case["stream"].as_str().unwrap()]), case);
        }
        println!("{}: {} {theirs} cases of {file} equal", folder.display(), cases.len());
        checked += cases.len();
    }
    checked
}
