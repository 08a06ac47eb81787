//! Windows against references: alarms and none, ties, constants, gaps, snapshots, and what is refused.

use visu_tility_drift::codec::Reader;
use visu_tility_drift::distance::BinnedDistance;
use visu_tility_drift::simulate::Random;
use visu_tility_drift::{Direction, DistributionShiftParams, Level};

use super::super::*;
use super::Phase;
use crate::alert::AlertCondition;
use crate::check::Shared;
use crate::time::Timestamp;

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(second as i64 * 1_000_000)
}

fn start(observer: &DistributionObserver) -> DistributionState {
    observer.start(&Version::unversioned())
}

fn observer(reference: u32, window: u32, arl: f64) -> DistributionObserver {
    DistributionObserver::new(DistributionShiftParams { reference, window, arl, ..Default::default() })
        .unwrap()
}

#[test]
fn a_window_that_has_drifted_fires_and_a_later_one_that_has_not_recovers() {
    let mut state = start(&observer(500, 100, 1e5));
    let mut random = Random::new(1);
    let mut seen = Vec::new();
    let mut last = AlertCondition::Hold;
    for i in 0..2_000 {
        let shift = if (1_000..1_300).contains(&i) { 0.5 } else { 0.0 };
        let verdict = state.observe(random.unit() + shift, at(i));
        if verdict.condition != last || verdict.detected {
            seen.push((i, verdict.condition, verdict.detected));
            last = verdict.condition;
        }
    }
    let wanted = [
        (599, AlertCondition::Clear, false),
        (1_099, AlertCondition::Fire, true),
        (1_399, AlertCondition::Clear, false),
    ];
    assert_eq!(seen, wanted, "three drifted windows in a row are one detection");
    assert_eq!(state.signal().level, Level::Normal);
}

#[test]
fn the_signal_says_which_way_and_the_figures_how_far() {
    let mut state = start(&observer(500, 100, 1e5));
    let mut random = Random::new(2);
    for i in 0..640 {
        let value = random.unit() - if i < 500 { 0.0 } else { 0.4 };
        state.observe(if i % 10 == 9 { f64::NAN } else { value }, at(i));
    }
    // 576 values were there: 500 for the reference, 76 of the first window.
    let mut figures = Vec::new();
    state.figures(&mut figures);
    let figure = |figures: &[(&str, f64)], name| figures.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    assert_eq!((figure(&figures, "missing"), figure(&figures, "window_filled")), (Some(64.0), Some(76.0)));
    assert_eq!((figure(&figures, "reference_size"), figure(&figures, "p_value")), (Some(500.0), None));
    for i in 640..664 {
        state.observe(random.unit() - 0.4, at(i));
    }
    let signal = state.signal();
    assert_eq!((signal.level, signal.direction), (Level::Drift, Direction::Down));
    figures.clear();
    state.figures(&mut figures);
    assert_eq!(figure(&figures, "distance"), Some(signal.statistic));
    assert_eq!(figure(&figures, "threshold"), Some(signal.threshold));
    assert!(figure(&figures, "p_value").unwrap() < 1e-6, "{figures:?}");
}

#[test]
fn false_alarms_keep_to_the_run_length() {
    let (runs, values, arl) = (20, 40_000, 5_000.0);
    for (what, draw) in [
        ("uniform", (|r: &mut Random| r.unit()) as fn(&mut Random) -> f64),
        ("ties", |r| (r.unit() * r.unit() * 6.0).floor()),
        ("mostly 0", |r| if r.unit() < 0.8 { 0.0 } else { r.normal() }),
        ("heavy tails", |r| (r.normal() / r.unit().max(1e-9)).clamp(-1e12, 1e12)),
    ] {
        for distance in [BinnedDistance::JensenShannon, BinnedDistance::Psi] {
            let params = DistributionShiftParams {
                reference: 1_000,
                window: 100,
                arl,
                distance,
                ..Default::default()
            };
            let observer = DistributionObserver::new(params).unwrap();
            let mut alarms = 0;
            for seed in 0..runs {
                let (mut state, mut random) = (start(&observer), Random::new(seed));
                for i in 0..1_000 + values {
                    let before = state.windows;
                    let verdict = state.observe(draw(&mut random), at(i));
                    alarms += u64::from(state.windows > before && verdict.condition == AlertCondition::Fire);
                }
            }
            let wanted = (runs * values) as f64 / arl;
            println!("{what}, {distance:?}: {alarms} alarms of {wanted} allowed, seeds 0..{runs}");
            assert!((alarms as f64) < 1.35 * wanted, "{what} {distance:?}: {alarms} of {wanted}");
        }
    }
}

#[test]
fn a_constant_stream_is_quiet_until_it_moves() {
    let mut state = start(&observer(50, 20, 1e6));
    for i in 0..5_000 {
        assert_ne!(state.observe(7.0, at(i)).condition, AlertCondition::Fire, "{i}");
    }
    let found = (0..40).find(|i| state.observe(7.5, at(*i)).condition == AlertCondition::Fire);
    assert!(found.is_some_and(|at| at < 30), "{found:?}");
    assert_eq!(state.signal().direction, Direction::Up);
}

#[test]
fn the_budget_moves_the_threshold_and_the_state_is_read_back_anywhere() {
    let training: Vec<f64> = (0..400).map(f64::from).collect();
    let given = DistributionObserver::reference_of(&training, 8).unwrap();
    let small = DistributionShiftParams { reference: 400, window: 50, ..Default::default() };
    let learnt = DistributionObserver::new(small).unwrap();
    for observer in [
        learnt.clone().budgeted(),
        learnt.clone(),
        learnt.clone().against(&given).unwrap().budgeted(),
        learnt.against_version(Version::new("v1").unwrap()).budgeted(),
    ] {
        let mut random = Random::new(9);
        let (mut whole, mut copy) = (start(&observer), start(&observer));
        for i in 0..1_500_u64 {
            if i % 37 == 0 {
                let mut bytes = Vec::new();
                whole.write(&mut bytes);
                assert!(bytes.len() < 2_400, "{}", bytes.len());
                copy = start(&observer);
                copy.read(&mut Reader::new(&bytes)).unwrap();
                for cut in 0..bytes.len() {
                    assert!(start(&observer).read(&mut Reader::new(&bytes[..cut])).is_err(), "{cut}");
                }
                let mut other = start(&DistributionObserver::default());
                let refused = other.read(&mut Reader::new(&bytes));
                assert!(matches!(refused, Err(visu_tility_drift::codec::DecodeError::Parameters { .. })));
            }
            if i == 700 {
                for state in [&mut whole, &mut copy] {
                    state.borrows(given.clone());
                    state.share(Shared { budget: 4.0, sharers: 9, per_day: 0.0 });
                }
            }
            let value = if i % 11 == 0 { f64::NAN } else { random.unit() * 400.0 + (i / 1_000 * 100) as f64 };
            assert_eq!(whole.observe(value, at(i)), copy.observe(value, at(i)), "{i}");
            assert_eq!(whole.signal(), copy.signal());
        }
        assert!(whole.windows > 10);
        if let (Some(arl), Phase::Watching { windows, .. }) = (whole.phase.arl(), &whole.phase.detector) {
            assert_eq!(windows.arl(), arl, "the budget is kept to");
        }
    }
}

#[test]
fn references_that_are_none_are_refused() {
    let said = |result: Result<Histogram, ObserverError>| result.unwrap_err().to_string();
    for (values, text) in [
        (vec![], "configuration: the reference has 0 values, must have at least 50"),
        (vec![1.0], "configuration: the reference has 1 values, must have at least 50"),
        (vec![f64::NAN; 60], "configuration: value 0 of the reference is not finite, must be"),
    ] {
        assert_eq!(said(DistributionObserver::reference_of(&values, 10)), text);
    }
    assert_eq!(DistributionObserver::reference_of(&[3.0; 60], 10).unwrap().counts(), [0, 60, 0]);
    let bad = "configuration: it must be JSON: {\"edges\": [numbers], \"counts\": [whole numbers]} or a list of numbers";
    for (text, wanted) in [
        ("", bad),
        ("{}", bad),
        ("{\"edges\": [0, 1], \"counts\": [-1]}", bad),
        ("{\"edges\": [0, 1], \"counts\": [60], \"more\": 1}", bad),
        ("[1, 2, null]", "configuration: the reference has 2 values, must have at least 50"),
        (
            "{\"edges\": [0, 1], \"counts\": [30, 30]}",
            "configuration: `counts` has 2 numbers, must have one less than the 2 of `edges`",
        ),
        (
            "{\"edges\": [0, 2, 1], \"counts\": [30, 30]}",
            "configuration: `edges` is 0, must be rising and within ±1e100",
        ),
    ] {
        assert_eq!(said(DistributionObserver::reference_of_text(text, 10)), wanted, "{text}");
    }
    let against = |edges: &[f64], counts: &[u64]| {
        let reference = Histogram::from_counts(edges, counts).unwrap();
        DistributionObserver::default().against(&reference).unwrap_err().to_string()
    };
    assert_eq!(against(&[0.0, 1.0], &[100]), "configuration: `edges` makes 1 bins, must make from 2 to 64");
    for (counts, sum) in [([0, 0], 0), ([1, 0], 1), ([49, 0], 49)] {
        let text = format!("configuration: `counts` sums to {sum}, must be at least 50");
        assert_eq!(against(&[0.0, 1.0, 2.0], &counts), text);
    }
}

#[test]
fn by_itself_it_tells_versions_apart_and_lends_between_them() {
    let small = DistributionShiftParams { reference: 100, window: 50, arl: 1e6, ..Default::default() };
    let observer = DistributionObserver::new(small).unwrap();
    let mut observer = observer.against_version(Version::new("v1").unwrap());
    let mut random = Random::new(4);
    let mut tell = |version: &str, shift: f64| {
        let event =
            MetricEvent::new("m", crate::MetricKind::Confidence, 0.5 * random.unit() + shift).unwrap();
        observer.on_metric(&event.with_version(version).unwrap()).unwrap()
    };
    assert!((0..200).all(|_| tell("v1", 0.0) == ObserverAction::NoOp));
    let fired = (0..100).find(|_| tell("v2", 0.4).as_str() == "alert");
    assert_eq!(fired, Some(50), "the first value asks, the next 50 are the first window");
}

#[test]
fn while_the_reference_is_learnt_the_figures_say_until_when() {
    let mut state = start(&observer(500, 100, 1e5));
    let mut random = Random::new(3);
    for (taken, left) in [(0, Some(500.0)), (100, Some(400.0)), (300, Some(200.0)), (500, None)] {
        while state.taken < taken {
            state.observe(random.unit(), at(state.taken));
        }
        let mut figures = Vec::new();
        state.figures(&mut figures);
        assert_eq!(figures.iter().find(|(name, _)| *name == "learning_left").map(|(_, left)| *left), left);
    }
}
