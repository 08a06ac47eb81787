//! KSWIN against river, from the samples that river drew.

use visu_tility_drift::{AnyParams, Kswin};

use super::{folders, integers, label, load, params_of, streams};

#[test]
fn kswin_agrees_with_river_in_drifts_and_p_values() {
    for folder in folders() {
        let (streams, recorded) = (streams(&folder), load(&folder, "kswin.json"));
        let cases = recorded["results"].as_array().unwrap();
        let mut p_values = 0;
        for case in cases {
            let whole = &streams[case["stream"].as_str().unwrap()];
            let [from, n] = ["offset", "n"].map(|key| case[key].as_u64().unwrap_or(0) as usize);
            let AnyParams::Kswin(params) = params_of("kswin", "river", case, &[]) else { unreachable!() };
            let mut test = Kswin::new(params).unwrap();
            let mut steps = case["steps"].as_array().unwrap().iter().peekable();
            let mut found = Vec::new();
            let until = if n == 0 { whole.len() } else { from + n };
            for (i, &x) in (0..).zip(&whole[from..until]) {
                let step = steps.next_if(|step| step[0].as_u64() == Some(i));
                let sample: Vec<usize> = step
                    .map_or_else(Vec::new, |s| integers(&s[1]).iter().map(|&place| place as usize).collect());
                if test.update_with_sample(x, &sample).drift_detected() {
                    found.push(i);
                }
                assert_eq!(test.p_value().is_some(), step.is_some(), "{} at {i}", label(case));
                if let (Some(p), Some(step)) = (test.p_value(), step) {
                    let expected = step[2].as_f64().unwrap();
                    // Recorded with 12 digits.
                    assert!(
                        (p - expected).abs() <= 1e-11 * expected,
                        "{} at {i}: {p}, {expected}",
                        label(case)
                    );
                    p_values += 1;
                }
            }
            assert!(steps.next().is_none());
            assert_eq!(found, integers(&case["drifts"]), "{}", label(case));
        }
        println!("{}: {} KSWIN cases, {p_values} p-values equal", folder.display(), cases.len());
        assert!(p_values > 0);
    }
}
