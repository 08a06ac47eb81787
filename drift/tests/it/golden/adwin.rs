//! ADWIN against river and MOA.

use visu_tility_drift::{Adwin, AnyParams, Detector};

use super::{
    assert_all_drifts, assert_drifts, cases, drifts, folders, label, load, numbers, params_of, streams,
};

#[test]
fn adwin_agrees_with_river_in_drifts_and_in_every_bit_of_its_window() {
    for folder in folders() {
        let (streams, river) = (streams(&folder), load(&folder, "river.json"));
        let cases = cases(&river, "ADWIN");
        for case in &cases {
            let stream = &streams[case["stream"].as_str().unwrap()];
            let AnyParams::Adwin(params) = params_of("adwin", "river", case, &[]) else { unreachable!() };
            let mut adwin = Adwin::new(params).unwrap();
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
            let mut paper = params_of("adwin", "paper", case, &[]).build().unwrap();
            assert_eq!(drifts(&mut paper, stream).first(), found.first(), "{}", label(case));
            let last = [adwin.width() as f64, adwin.total(), adwin.sum_of_squares()];
            assert_eq!(last.to_vec(), numbers(&case["final"])[..3], "{} at the end", label(case));
        }
        println!("{}: {} river ADWIN cases equal", folder.display(), cases.len());
        assert!(!cases.is_empty());
    }
}

#[test]
fn adwin_agrees_with_moa() {
    let build = |case: &_| params_of("adwin", "moa", case, &[]).build().unwrap();
    assert!(assert_all_drifts("moa.json", "ADWINChangeDetector", build) > 0);
}
