//! `FOCuS` against `changepoint_online`.

use serde_json::Value;
use visu_tility_drift::{Detector, Focus, FocusFamily, FocusParams, Mode};

use super::{folders, load, numbers, streams};

/// The detector of a case. With a threshold next to nothing, every statistic is searched to the end.
fn focus(case: &Value) -> Focus {
    let (family, level) = match case["family"].as_str().unwrap() {
        "gaussian" => (FocusFamily::Gaussian, "mean"),
        "bernoulli" => (FocusFamily::Bernoulli, "p"),
        "poisson" => (FocusFamily::Poisson, "rate"),
        other => panic!("family {other}"),
    };
    let mode = match case["params"].get("side").and_then(Value::as_str) {
        Some("up" | "right" | "greater") => Mode::Up,
        Some("down" | "left" | "less") => Mode::Down,
        _ => Mode::Both,
    };
    let (known, sigma) = (case["params"][level].as_f64(), case["params"]["sigma"].as_f64());
    let mut params = FocusParams { family, mode, threshold: 1e-100, rearm: false, ..FocusParams::default() };
    params.known = known.is_some();
    params.baseline = known.unwrap_or(params.baseline);
    params.sigma = sigma.unwrap_or(1.0);
    Focus::new(params).unwrap()
}

/// What `changepoint_online`'s ratio is short of the exact one: it holds rates of 0 and 1 off by 1e-9, which
/// costs 1e-9 for each value of a segment that is all zeros, or all ones of bits.
fn held(case: &Value, values: &[f64], since: u64) -> f64 {
    let (family, cut) = (case["family"].as_str().unwrap(), values.len() - since as usize);
    let cost = |values: &[f64]| {
        let all = |x: f64| values.iter().all(|&value| value == x);
        let pure = all(0.0) || family == "bernoulli" && all(1.0);
        if pure { values.len() as f64 * 1e-9 } else { 0.0 }
    };
    match (family, case["params"]["p"].is_number() || case["params"]["rate"].is_number()) {
        ("gaussian", _) => 0.0,
        (_, true) => cost(&values[cut..]),
        (_, false) => cost(&values[..cut]) + cost(&values[cut..]) - cost(values),
    }
}

#[test]
fn focus_agrees_with_changepoint_online_in_statistics_crossings_and_change_locations() {
    for folder in folders() {
        let (streams, file) = (streams(&folder), load(&folder, "focus.json"));
        let cases = file["results"].as_array().unwrap();
        for case in cases {
            let label = format!("{} {} on {}", case["family"], case["params"], case["stream"]);
            let mut detector = focus(case);
            let stream = &streams[case["stream"].as_str().unwrap()];
            let n = case["n"].as_u64().map_or(stream.len(), |n| n as usize);
            let signals: Vec<_> = stream[..n].iter().map(|&x| detector.update(x)).collect();
            for point in case["stat"].as_array().unwrap() {
                let point = numbers(point);
                let at = point[0] as usize;
                let found = signals[at].statistic - held(case, &stream[..=at], signals[at].since);
                let near = (found - point[1]).abs() <= 1e-9 * point[1].max(1.0);
                assert!(near, "{label} at {at}: {found} is not {}", point[1]);
            }
            for (threshold, expected) in case["thresholds"].as_object().unwrap() {
                let threshold: f64 = threshold.parse().unwrap();
                let found = signals.iter().position(|signal| signal.statistic >= threshold);
                let place = found.map(|i| vec![i as f64, (i + 1) as f64 - signals[i].since as f64]);
                let expected = expected.is_array().then(|| numbers(expected));
                assert_eq!(place, expected, "{label} over {threshold}");
            }
        }
        println!("{}: {} FOCuS cases equal", folder.display(), cases.len());
        assert!(!cases.is_empty());
    }
}
