//! What a stream's preparation tells while it learns, and what it keeps of its own after a silence.

use proptest::collection::vec;
use proptest::prelude::*;
use visu_tility_drift::codec::Reader;
use visu_tility_drift::simulate::Source;
use visu_tility_drift::{
    BatcherParams, ConformalSr, ConformalSrParams, Detector, ExceedanceBitsParams, GapParams, Preparation,
    PreparationParams, Prepared, StandardizerParams,
};

#[test]
fn it_says_how_many_values_it_still_learns_from() {
    let exceedance =
        Some(ExceedanceBitsParams { learn: 100, quantile: 0.9, ..ExceedanceBitsParams::default() });
    let batch = Some(BatcherParams { learn: 300, ..BatcherParams::default() });
    let standardize = Some(StandardizerParams { learn: 20, clip: 10.0 });
    let off = PreparationParams::default();
    for params in [
        PreparationParams { standardize, ..off },
        PreparationParams { exceedance, ..off },
        PreparationParams { batch, standardize, ..off },
        PreparationParams { exceedance, batch, standardize, ..off },
    ] {
        let mut preparation = Preparation::new(params).unwrap();
        let mut stream = Source::Ar1 { phi: 0.8, mean: 0.0, deviation: 1.0 }.stream(7).unwrap();
        // How many it says are left, and the length of a batch, before each value until the first comes out.
        let mut told = Vec::new();
        while told.len() < 100_000 {
            let status = preparation.status();
            let known = params.batch.is_none() || status.batch_length.is_some();
            told.push((status.learning_left, known.then_some(status.batch_length.unwrap_or(1))));
            if preparation.update(stream.next().unwrap(), 0).is_some() {
                break;
            }
        }
        let all = told.len() as u64;
        assert!(told[0].0.is_some_and(|left| left >= 20) && all < 10_000, "{all}");
        for (taken, (left, length)) in (0..).zip(told) {
            let truly = all - taken;
            match (left, length) {
                // The rest of the learning, and the batch that is the first to come out.
                (Some(left), Some(length)) => assert_eq!(left + length, truly, "after {taken}"),
                (None, Some(length)) => assert!(truly <= length, "after {taken}"),
                (left, None) => assert!(left.is_some_and(|left| left < truly), "after {taken}: {left:?}"),
            }
        }
    }
}

/// The story: a silence that a whole fleet shares made all of its detectors go on with the same random numbers, and their
/// false alarms came together.
#[test]
fn after_a_gap_a_stream_goes_on_with_random_numbers_of_its_own() {
    let gap = Some(GapParams { longest_seconds: 600, latest_seconds: 0 });
    let params = PreparationParams { gap, ..PreparationParams::default() };
    let fresh = || ConformalSr::new(ConformalSrParams::default()).unwrap();
    // With bits, most of what a value says is random.
    let bits: Vec<f64> = Source::Bernoulli { p: 0.5 }.stream(3).unwrap().take(400).collect();
    let statistics = |update: &mut dyn FnMut(f64, i64) -> f64, from: i64| -> Vec<f64> {
        bits.iter().zip(from..).map(|(&bit, second)| update(bit, second)).collect()
    };
    let mut seen = Vec::new();
    for seed in [Some(5), Some(6), None] {
        let (mut prepared, mut alone) = (Prepared::new(params, fresh()).unwrap(), fresh());
        if let Some(seed) = seed {
            prepared.reseed(seed);
            alone.reseed(seed);
        }
        let mut prepared = |bit, second| prepared.update_at(bit, second).unwrap().statistic;
        let expected = statistics(&mut |bit, _| alone.update(bit).statistic, 0);
        assert_eq!(statistics(&mut prepared, 0), expected);
        assert_eq!(statistics(&mut prepared, 5_000), expected, "after a gap");
        seen.push(expected);
    }
    assert!(seen[0] != seen[1] && seen[1] != seen[2] && seen[2] != seen[0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The story: the seed was not in the state, so that a stream that was restored went on after the next silence with
    /// the random numbers of its parameters, and decided otherwise than one that had never stopped.
    #[test]
    fn a_snapshot_at_any_point_changes_nothing_whatever_gaps_follow(
        steps in vec(prop_oneof![40 => Just(1_i64), 1 => Just(10_000_i64)], 0..600),
        cut in 0_usize..600,
        seed in any::<Option<u64>>(),
    ) {
        let gap = Some(GapParams { longest_seconds: 600, latest_seconds: 0 });
        let params = PreparationParams { gap, ..PreparationParams::default() };
        let fresh = || {
            let scores = ConformalSrParams { cuts: 10, arl: 100.0, ..ConformalSrParams::default() };
            Prepared::new(params, ConformalSr::new(scores).unwrap()).unwrap()
        };
        let mut whole = fresh();
        if let Some(seed) = seed {
            whole.reseed(seed);
        }
        let bits = Source::Bernoulli { p: 0.5 }.stream(3).unwrap();
        let times = steps.iter().scan(0, |now, step| { *now += step; Some(*now) });
        let stream: Vec<(f64, i64)> = bits.zip(times).collect();
        let (before, after) = stream.split_at(cut.min(stream.len()));
        for &(x, t) in before {
            whole.update_at(x, t);
        }
        let mut bytes = Vec::new();
        whole.write_state(&mut bytes);
        // What it was given before does not matter.
        let mut restored = fresh();
        restored.reseed(99);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(restored.read_state(&mut reader), Ok(()));
        prop_assert_eq!(reader.finish(), Ok(()));
        for &(x, t) in after {
            prop_assert_eq!(whole.update_at(x, t), restored.update_at(x, t));
        }
        let (mut a, mut b) = (Vec::new(), Vec::new());
        whole.write_state(&mut a);
        restored.write_state(&mut b);
        prop_assert_eq!(a, b);
        // The form that had no seed.
        bytes[0] = 1;
        prop_assert!(fresh().read_state(&mut Reader::new(&bytes)).is_err());
    }
}
