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

/// The detectors that gather evidence, each with parameters that suit bits of which one in ten is wrong.
fn gathering() -> Vec<AnyDetector> {
    let names = ["e-sr", "focus", "cusum", "exceedance", "confidence-sequence", "conformal-sr"];
    let set = |params: &mut AnyParams, name, value| params.set(name, value).unwrap();
    names
        .map(|name| {
            let mut params = AnyParams::by_name(name).unwrap();
            match name {
                "e-sr" => set(&mut params, "m_pre", Setting::Number(0.1)),
                "cusum" => {
                    set(&mut params, "family", Setting::Word("bernoulli"));
                    set(&mut params, "baseline", Setting::Number(0.1));
                    set(&mut params, "target", Setting::Number(0.3));
                }
                "exceedance" => {
                    set(&mut params, "learn", Setting::Count(0));
                    set(&mut params, "limit", Setting::Number(0.5));
                    set(&mut params, "quantile", Setting::Number(0.9));
                }
                _ => {}
            }
            set(&mut params, "arl", Setting::Number(1e9));
            params.build().unwrap()
        })
        .into()
}

/// The oracle: what a copy with that run length holds its statistic against.
#[test]
fn evidence_reaches_a_run_length_when_it_is_at_its_threshold() {
    for mut detector in gathering() {
        let name = detector.name();
        let mut reached = 0;
        for (i, value) in stream().into_iter().enumerate() {
            let signal = detector.update(value);
            if signal.drift_detected() {
                break;
            }
            // Often where the evidence is great; a threshold of some takes milliseconds to compute.
            for arl in [100.0, 1e3, 1e5, 1e7] {
                if i % if i < 3_000 { 500 } else { 5 } > 0 {
                    break;
                }
                let mut copy = detector.clone();
                assert!(copy.set_arl(arl));
                let against = copy.update(f64::NAN).threshold;
                let reaches = detector.reaches(arl);
                assert_eq!(reaches, signal.statistic >= against, "{name} at {i} for {arl}");
                reached += usize::from(reaches);
            }
        }
        assert!(!detector.reaches(f64::NAN), "{name}");
        assert!(reached > 0, "{name}");
    }
}

#[test]
fn whoever_forgets_its_evidence_still_finds_a_change_that_is_under_way() {
    let values = stream();
    for mut detector in gathering() {
        let name = detector.name();
        let under_way = 3_015;
        values.iter().take(under_way).for_each(|&value| _ = detector.update(value));
        let mut whole = detector.clone();
        let forgot = detector.forget_evidence();
        // These two learn the level from the values that the evidence is of.
        assert_eq!(forgot, !matches!(name, "focus" | "confidence-sequence"), "{name}");
        let find = |detector: &mut AnyDetector| {
            values.iter().skip(under_way).position(|&value| detector.update(value).drift_detected())
        };
        if !forgot {
            assert_eq!(find(&mut detector), find(&mut whole), "{name}");
            continue;
        }
        assert!(!detector.reaches(100.0), "{name}");
        let (after, before) = (find(&mut detector).unwrap(), find(&mut whole).unwrap());
        assert!(before <= after && after < before + 150, "{name}: {after} for {before}");
    }
}

#[test]
fn every_detector_knows_beforehand_whether_it_can_forget() {
    let mut can = 0;
    for name in AnyParams::NAMES {
        let mut detector = AnyParams::by_name(name).unwrap().build().unwrap();
        stream().iter().take(3_015).for_each(|&value| _ = detector.update(value));
        let before = detector.can_forget();
        assert_eq!(detector.forget_evidence(), before, "{name}");
        assert_eq!(detector.can_forget(), before, "{name}");
        can += usize::from(before);
    }
    assert!(can >= 4, "{can}");
}

#[test]
fn a_focus_that_knows_its_level_forgets_and_keeps_it() {
    let mut params = AnyParams::by_name("focus").unwrap();
    params.set("known", Setting::Flag(true)).unwrap();
    params.set("baseline", Setting::Number(0.1)).unwrap();
    let mut fresh = params.build().unwrap();
    let mut detector = fresh.clone();
    stream().iter().take(3_015).for_each(|&value| _ = detector.update(value));
    assert!(detector.forget_evidence());
    for &value in stream().iter().skip(3_015) {
        assert_eq!(detector.update(value), fresh.update(value));
    }
}
