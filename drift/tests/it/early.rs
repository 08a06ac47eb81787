//! The batcher that gives single values while it learns.

use visu_tility_drift::simulate::Source;
use visu_tility_drift::{
    AnyDetector, BatcherParams, ConformalSr, ConformalSrParams, Detector, PreparationParams, Prepared,
};

fn early(arl: f64, seed: u64) -> Prepared {
    let scores = ConformalSr::new(ConformalSrParams { arl, seed, ..ConformalSrParams::default() }).unwrap();
    let batch = Some(BatcherParams { early: true, ..BatcherParams::default() });
    let params = PreparationParams { batch, ..PreparationParams::default() };
    Prepared::new(params, AnyDetector::from(scores)).unwrap()
}

/// When it alarms on normal values that rise by so many deviations at each of these places.
fn alarms(seed: u64, rises: &[(usize, f64)], values: usize) -> Vec<usize> {
    let mut detector = early(1e6, seed);
    let noise = Source::Gaussian { mean: 0.0, deviation: 1.0 }.stream(seed).unwrap();
    let level = |i| rises.iter().filter(|(at, _)| i >= *at).map(|(_, by)| by).sum::<f64>();
    let told =
        noise.take(values).enumerate().filter(|(i, x)| detector.update(x + level(*i)).drift_detected());
    told.map(|(i, _)| i).collect()
}

/// The story: a change at 400 was taken for dependence, batches of 150 and more followed, and 69 of 100 streams never told
/// of the next change.
#[test]
fn a_change_while_it_learns_does_not_hide_the_next() {
    let found = (1..=20).filter(|seed| {
        let told = alarms(*seed, &[(400, 2.0), (8_000, 1.0)], 10_000);
        told.iter().any(|at| (8_000..8_300).contains(at))
    });
    assert!(found.count() >= 19);
}

/// A change that looks like dependence itself may be missed, but not often.
#[test]
fn a_change_while_it_learns_is_seen() {
    for at in [150, 300, 450, 490, 600, 980, 1_010, 1_500, 2_040] {
        let found =
            (1..=30).filter(|seed| alarms(*seed, &[(at, 2.0)], at + 400).iter().any(|told| *told >= at));
        let found = found.count();
        assert!(found >= 24, "at {at}: {found} of 30");
    }
}

/// The story: of 200 streams 25 alarmed within 64 values, before it was first asked whether neighbours are alike.
#[test]
fn what_is_like_its_neighbours_does_not_alarm_while_it_learns() {
    for phi in [0.9, 0.97, 0.99] {
        let told = (1..=200).map(|seed| {
            let mut detector = early(1e6, seed);
            let alike = Source::Ar1 { phi, mean: 0.0, deviation: 1.0 }.stream(seed).unwrap();
            alike.take(2_048).filter(|x| detector.update(*x).drift_detected()).count()
        });
        assert!(told.sum::<usize>() <= 2, "{phi}");
    }
}
