//! MOA's CUSUM.

use serde_json::Value;
use visu_tility_drift::{AnyParams, Setting};

use super::{assert_all_drifts, set};

/// The parameters of a case: MOA's option string, or named ones.
fn params(case: &Value) -> AnyParams {
    let mut params = AnyParams::by_name("cusum-moa").unwrap();
    let words: Vec<&str> = case["cli"].as_str().unwrap_or("").split_whitespace().collect();
    for pair in words.windows(2) {
        let number = || Setting::Number(pair[1].parse().unwrap());
        match pair[0] {
            "-n" => params.set("min_instances", Setting::Count(pair[1].parse().unwrap())).unwrap(),
            "-d" => params.set("delta", number()).unwrap(),
            "-l" => params.set("threshold", number()).unwrap(),
            _ => {}
        }
    }
    for (key, value) in case["params"].as_object().into_iter().flatten() {
        let key = if key == "lambda" { "threshold" } else { key };
        set(&mut params, key, value);
    }
    params
}

#[test]
fn cusum_agrees_with_moa() {
    let checked = assert_all_drifts("moa.json", "CusumDM", |case| params(case).build().unwrap());
    assert!(checked > 0);
}
