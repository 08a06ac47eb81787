//! Vectors: alarms and none, those of another length, snapshots.

use visu_tility_drift::simulate::Random;

use super::*;
use crate::kind::MetricKind;

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(second as i64 * 1_000_000)
}

fn vector(random: &mut Random, dimension: usize, mean: f64) -> Vec<f32> {
    (0..dimension).map(|_| (random.normal() + mean) as f32).collect()
}

fn methods() -> [EmbeddingObserver; 4] {
    let mmd = OnlineMmdParams { features: 16, ..Default::default() };
    let centroid = CentroidShiftParams { reference: 200, window: 50, ..Default::default() };
    [
        EmbeddingObserver::mmd(mmd).unwrap(),
        EmbeddingObserver::centroid(centroid).unwrap(),
        EmbeddingObserver::mmd(mmd).unwrap().budgeted(),
        EmbeddingObserver::centroid(centroid).unwrap().budgeted(),
    ]
}

#[test]
fn a_move_is_one_instant_and_a_clean_stream_gives_none() {
    for observer in methods() {
        let (mut state, mut random) = (observer.start(), Random::new(3));
        let fired: Vec<u64> = (0..3_000)
            .filter(|i| {
                let mean = if *i < 2_000 { 0.0 } else { 1.0 };
                state.observe(&vector(&mut random, 8, mean), at(*i)).detected
            })
            .collect();
        assert_eq!(fired.len(), 1, "{:?} {fired:?}", observer.method());
        assert!((2_000..2_300).contains(&fired[0]), "{:?} {fired:?}", observer.method());
    }
}

#[test]
fn false_alarms_keep_to_the_run_length() {
    let (runs, vectors, arl) = (30_u64, 4_000_u64, 2_000.0);
    for method in [
        EmbeddingMethod::Mmd(OnlineMmdParams { arl, features: 16, ..Default::default() }),
        EmbeddingMethod::Centroid(CentroidShiftParams {
            arl,
            reference: 400,
            window: 50,
            ..Default::default()
        }),
    ] {
        let observer = EmbeddingObserver::new(method).unwrap();
        let mut alarms = 0;
        for seed in 0..runs {
            let (mut state, mut random) = (observer.start(), Random::new(seed));
            for i in 0..vectors {
                alarms += u64::from(state.observe(&vector(&mut random, 6, 0.0), at(i)).detected);
            }
        }
        let wanted = (runs * vectors) as f64 / arl;
        println!("{}: {alarms} alarms of {wanted} allowed, seeds 0..{runs}", method.name());
        assert!((alarms as f64) < 1.35 * wanted, "{}: {alarms} of {wanted}", method.name());
    }
}

#[test]
fn what_has_another_length_is_counted_and_changes_nothing() {
    for observer in methods() {
        let (mut state, mut plain, mut random) = (observer.start(), observer.start(), Random::new(5));
        for i in 0..400 {
            let vector = vector(&mut random, 5, if i < 300 { 0.0 } else { 3.0 });
            let verdict = state.observe(&vector, at(i));
            assert_eq!(verdict, plain.observe(&vector, at(i)));
            assert_eq!(state.observe(&vector[..4], at(i)), Verdict::level(AlertCondition::Clear));
            assert!(!state.observe(&[f32::NAN; 5], at(i)).detected && !state.observe(&[], at(i)).detected);
            state.observe_missing();
            assert_eq!(state.signal(), plain.signal());
        }
        let mut figures = Vec::new();
        state.figures(&mut figures);
        for figure in [("misshapen", 1_200.0), ("missing", 400.0), ("dimension", 5.0), ("vectors", 400.0)] {
            assert!(figures.contains(&figure), "{figures:?}");
        }
    }
}

#[test]
fn an_empty_vector_teaches_no_dimension() {
    let mut state = methods()[0].start();
    state.observe(&[], at(0));
    state.observe(&[1.0, 2.0], at(1));
    assert_eq!(state.detector.detector.0.unwrap().dimension(), 2);
}

#[test]
fn the_states_of_a_rule_share_the_directions() {
    let observer = EmbeddingObserver::default();
    let (mut a, mut b, mut c) = (observer.start(), observer.start(), observer.start());
    a.observe(&[0.0; 64], at(0));
    b.observe(&[0.0; 64], at(0));
    c.observe(&[0.0; 3], at(0));
    assert_eq!(observer.settings.prototype.get().unwrap().dimension(), 64);
    assert_eq!(c.detector.detector.0.unwrap().dimension(), 3);
}

#[test]
fn the_state_is_read_back_anywhere_and_is_as_large_as_stated() {
    for observer in methods() {
        let (mut whole, mut copy, mut random) = (observer.start(), observer.start(), Random::new(6));
        let mut largest = 0;
        for i in 0..900 {
            if i % 61 == 0 {
                let mut bytes = Vec::new();
                whole.write(&mut bytes);
                largest = largest.max(bytes.len());
                copy = observer.start();
                copy.read(&mut Reader::new(&bytes)).unwrap();
                for cut in (0..bytes.len()).step_by(7) {
                    assert!(observer.start().read(&mut Reader::new(&bytes[..cut])).is_err(), "{cut}");
                }
            }
            if i == 300 {
                whole.share(Shared { budget: 100.0, sharers: 3, per_day: 0.0 });
                copy.share(Shared { budget: 100.0, sharers: 3, per_day: 0.0 });
            }
            let vector = vector(&mut random, 4, if i < 600 { 0.0 } else { 1.5 });
            assert_eq!(whole.observe(&vector, at(i)), copy.observe(&vector, at(i)), "{i}");
        }
        // With 16 features a quarter of the 40 KiB.
        assert!(largest <= 11 << 10, "{largest}");
        if let (Some(arl), Some(detector)) = (whole.detector.arl(), &whole.detector.detector.0) {
            assert_eq!(detector.arl(), arl, "the budget is kept to");
        }
    }
}

#[test]
fn numbers_never_reach_it() {
    let check = EmbeddingObserver::default().builtin().unwrap();
    assert!(check.watches(&MetricKind::embedding("x").unwrap()) && !check.takes(&MetricKind::F1));
    let mut alone = EmbeddingObserver::default();
    let event = MetricEvent::new("m", MetricKind::F1, 0.5).unwrap();
    assert_eq!(alone.on_metric(&event).unwrap(), ObserverAction::NoOp);
}
