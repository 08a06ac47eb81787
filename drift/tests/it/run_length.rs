//! The run length of detectors with a bound can be moved while they run.

use visu_tility_drift::codec::Reader;
use visu_tility_drift::simulate::Source;
use visu_tility_drift::{AnyDetector, AnyParams, Detector, Setting, Tier};

fn with_arl(name: &str, arl: f64) -> AnyDetector {
    let mut params = AnyParams::by_name(name).unwrap();
    params.set("arl", Setting::Number(arl)).unwrap();
    params.build().unwrap()
}

/// 3,000 good bits and 1,000 bad ones.
fn stream() -> Vec<f64> {
    let mut stream = Source::Bernoulli { p: 0.1 }.stream(5).unwrap();
    let mut values: Vec<f64> = stream.by_ref().take(3_000).collect();
    stream.change(Source::Bernoulli { p: 0.4 }).unwrap();
    values.extend(stream.take(1_000));
    values
}

#[test]
fn a_detector_has_an_arl_when_it_has_a_bound() {
    for name in AnyParams::NAMES {
        let params = AnyParams::by_name(name).unwrap();
        let guaranteed = params.tier() == Tier::Guaranteed;
        assert_eq!(params.get("arl").is_some(), guaranteed, "{name}");
        let mut detector = params.build().unwrap();
        assert_eq!(detector.arl().is_some(), guaranteed, "{name}");
        assert_eq!(detector.set_arl(5_000.0), guaranteed, "{name}");
    }
}

#[test]
fn a_moved_detector_does_what_one_built_so_does() {
    let values = stream();
    for name in AnyParams::NAMES {
        let Some(mut moved) = AnyParams::by_name(name).map(|params| params.build().unwrap()) else {
            continue;
        };
        if moved.arl().is_none() {
            continue;
        }
        let mut alarms = Vec::new();
        for arl in [2_000.0, 1e6, 1e9] {
            assert!(moved.set_arl(arl) && moved.set_arl(f64::NAN));
            let near = (moved.arl().unwrap() / arl - 1.0).abs() < 1e-9;
            assert!(near, "{name} at {:?} for {arl}", moved.arl());
            moved.reset();
            let mut built = with_arl(name, arl);
            // The bets of these two are chosen for the run length.
            let same = !matches!(*name, "e-sr" | "exceedance");
            let mut first = None;
            for (i, &x) in (0..).zip(&values) {
                let (a, b) = (moved.update(x), built.update(x));
                assert!(!same || a == b, "{name} at {i}: {a:?} for {b:?}");
                first = first.or(a.drift_detected().then_some(i));
            }
            alarms.push(first.unwrap_or(i32::MAX));
        }
        assert!(alarms.is_sorted(), "{name} is no later with a larger run length: {alarms:?}");
    }
}

#[test]
fn a_moved_run_length_is_a_part_of_the_state() {
    let values = stream();
    for name in AnyParams::NAMES {
        let fresh = AnyParams::by_name(name).unwrap().build().unwrap();
        if fresh.arl().is_none() {
            continue;
        }
        for cut in [0, 50, 2_990, 3_020, 3_100] {
            let mut moved = fresh.clone();
            for (i, &x) in (0..).zip(&values[..cut]) {
                moved.update(x);
                if i == 40 {
                    moved.set_arl(3e4);
                }
                if i == 3_015 {
                    moved.set_arl(50.0);
                }
            }
            moved.set_arl(777.0 + cut as f64);
            let mut bytes = Vec::new();
            moved.write_state(&mut bytes);
            let mut read = fresh.clone();
            read.read_state(&mut Reader::new(&bytes))
                .unwrap_or_else(|error| panic!("{name} after {cut}: {error}"));
            assert_eq!(read.arl(), moved.arl(), "{name}");
            for &x in &values[cut..] {
                assert_eq!(read.update(x), moved.update(x), "{name}");
            }
        }
    }
}
