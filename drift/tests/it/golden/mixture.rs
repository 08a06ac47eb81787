//! Mixture e-detectors against R's stcpR6.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use visu_tility_drift::{Detector, Family, Mixture, MixtureESr, MixtureParams, Mode, Recursion, WindowedGlr};

use super::{folders, load, numbers, streams};

fn mode(case: &Value) -> Mode {
    match case["alternative"].as_str().unwrap() {
        "greater" => Mode::Up,
        "less" => Mode::Down,
        _ => Mode::Both,
    }
}

fn mixture_params(case: &Value) -> Option<MixtureParams> {
    let text = |key: &str| case[key].as_str().unwrap();
    Some(MixtureParams {
        recursion: match text("method") {
            "SR" => Recursion::ShiryaevRoberts,
            "CU" => Recursion::Cusum,
            "ST" => Recursion::SequentialTest,
            "GLRCU" => return None,
            other => panic!("{other}"),
        },
        family: match text("family") {
            "Ber" => Family::Bernoulli,
            "Bounded" => Family::Bounded,
            "Normal" => Family::Normal,
            other => panic!("{other}"),
        },
        mode: mode(case),
        m_pre: case["m_pre"].as_f64().unwrap(),
        delta_lower: case["delta_lower"].as_f64().unwrap(),
        delta_upper: case["delta_upper"].as_f64().unwrap(),
        arl: case["arl"].as_f64().unwrap(),
        max_components: if mode(case) == Mode::Both { 149 } else { 255 },
        rearm: false,
        sigma: case.get("sigma").and_then(Value::as_f64).unwrap_or(1.0),
        band: 0.0,
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

fn stream_of(streams: &HashMap<String, Vec<f64>>, case: &Value) -> Vec<f64> {
    let stream = streams[case["stream"].as_str().unwrap()].iter();
    let ends = case.get("clip_to_unit").map(numbers);
    let unit = |&x: &f64| ends.as_ref().map_or(x, |e| ((x - e[0]) / (e[1] - e[0])).clamp(0.0, 1.0));
    stream.map(unit).collect()
}

#[test]
fn mixture_agrees_with_stcpr6_in_log_values_and_in_its_choice_of_bets() {
    for folder in folders() {
        let (streams, file) = (streams(&folder), load(&folder, "edetector.json"));
        let mut equal = 0;
        for case in file["results"].as_array().unwrap() {
            let Some(params) = mixture_params(case) else { continue };
            let stream = stream_of(&streams, case);
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
fn the_windowed_likelihood_ratio_agrees_with_stcpr6() {
    for folder in folders() {
        let (streams, file) = (streams(&folder), load(&folder, "edetector.json"));
        let mut equal = 0;
        for case in file["results"].as_array().unwrap().iter().filter(|case| case["method"] == "GLRCU") {
            let number = |key: &str| case.get(key).and_then(Value::as_f64);
            let family = if case["family"] == "Normal" { Family::Normal } else { Family::Bernoulli };
            let window = number("k_max").unwrap_or(1000.0) as usize;
            let (m_pre, sigma) = (number("m_pre").unwrap(), number("sigma").unwrap_or(1.0));
            let mut glr = WindowedGlr::new(family, mode(case), m_pre, sigma, window).unwrap();
            let log_arl = number("arl").unwrap().ln();
            let mut expected = case["log_value"].as_array().unwrap().iter().peekable();
            let mut first = -1;
            for (i, x) in (0..).zip(stream_of(&streams, case)) {
                let log = glr.update(x);
                if log >= log_arl && first < 0 {
                    first = i;
                }
                if let Some(point) = expected.next_if(|point| point[0].as_i64() == Some(i)) {
                    let Some(value) = point[1].as_f64() else { continue };
                    assert!((log - value).abs() <= 1e-9 * value.abs().max(1.0), "{i}: {log} is not {value}");
                }
            }
            assert!(expected.next().is_none());
            assert_eq!(Some(first), case["first_index_ge_log_arl"].as_i64());
            equal += 1;
        }
        println!("{}: {equal} windowed likelihood ratio cases equal", folder.display());
        assert!(equal > 0);
    }
}
