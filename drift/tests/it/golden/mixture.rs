//! Mixture e-detectors against R's stcpR6.

use std::sync::Arc;

use serde_json::Value;
use visu_tility_drift::{Detector, Family, Mixture, MixtureESr, MixtureParams, Mode, Recursion};

use super::{folders, load, numbers, streams};

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
