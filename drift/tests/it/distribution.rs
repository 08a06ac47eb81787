//! Summaries of streams, and windows against a reference.

use visu_tility_drift::codec::Reader;
use visu_tility_drift::distance::BinnedDistance;
use visu_tility_drift::{
    CategoryCounts, Detector, Direction, DistributionShift, DistributionShiftParams, Histogram,
    HistogramDrift, Reservoir,
};

struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A skewed positive number.
    fn skewed(&mut self) -> f64 {
        1.0 / (1.001 - self.uniform())
    }
}

/// Mean number of values to the first false alarm after learning, over `runs` streams of at most 6 ARL.
fn mean_run(params: DistributionShiftParams, runs: u64, mut value: impl FnMut(&mut Random) -> f64) -> f64 {
    let most = (6.0 * params.arl) as u64;
    let one = |seed| {
        let (mut random, mut detector) = (Random(seed), DistributionShift::new(params).unwrap());
        for _ in 0..params.reference {
            detector.update(value(&mut random));
        }
        (1..=most).find(|_| detector.update(value(&mut random)).drift_detected()).unwrap_or(most)
    };
    (0..runs).map(one).sum::<u64>() as f64 / runs as f64
}

#[test]
fn false_alarms_come_as_seldom_as_was_asked() {
    for distance in BinnedDistance::ALL {
        for (reference, bins, window) in [(500, 10, 100), (1_000, 20, 50)] {
            let params = DistributionShiftParams { reference, bins, window, distance, arl: 4_000.0 };
            let continuous = mean_run(params, 32, Random::skewed);
            let discrete = mean_run(params, 32, |random| (random.uniform() * random.uniform() * 6.0).floor());
            println!(
                "{distance:?}, {reference} values, {bins} bins, window {window}: mean run {continuous:.0} \
                 (skewed), {discrete:.0} (six values), seeds 0..32"
            );
            // The standard error of 32 runs is a sixth.
            assert!(
                continuous >= 0.6 * 4_000.0 && discrete >= 0.6 * 4_000.0,
                "{distance:?} {continuous} {discrete}"
            );
        }
    }
}

#[test]
fn a_window_that_the_usual_run_length_has_no_room_for_is_named_itself() {
    let said = |window, arl| {
        DistributionShiftParams { window, arl, ..Default::default() }
            .validate()
            .map_err(|error| error.to_string())
    };
    let named = "`window` is 10000, must be from 10 to half of `arl`, which is 10000 unless it is given";
    assert_eq!(said(10_000, 10_000.0), Err(named.to_owned()));
    let given = "`arl` is 15000, must be at least twice the window, at most 1e12";
    assert_eq!(said(10_000, 15_000.0), Err(given.to_owned()));
    assert_eq!(said(10_000, 20_000.0), Ok(()));
}

#[test]
fn every_distance_finds_a_shift_and_its_direction() {
    for distance in BinnedDistance::ALL {
        for (by, direction) in [(0.3, Direction::Up), (-0.3, Direction::Down)] {
            let params = DistributionShiftParams { distance, ..Default::default() };
            let (mut random, mut detector) = (Random(9), DistributionShift::new(params).unwrap());
            let first =
                (0..4_000).map(|i| (i, detector.update(random.uniform() + if i < 3_000 { 0.0 } else { by })));
            let (at, signal) = first.into_iter().find(|(_, signal)| signal.drift_detected()).unwrap();
            assert_eq!((at, signal.direction, signal.since), (3_199, direction, 200), "{distance:?}");
        }
    }
}

#[test]
fn a_constant_reference_sees_every_other_value() {
    for other in [1.0, 3.0, 2.0 + 1e-12] {
        let mut detector = DistributionShift::new(DistributionShiftParams::default()).unwrap();
        let alarm =
            (0..3_000).find(|&i| detector.update(if i < 2_000 { 2.0 } else { other }).drift_detected());
        assert_eq!(alarm, Some(2_199), "{other}");
    }
}

#[test]
fn a_given_reference_works_from_its_written_form() {
    let mut random = Random(10);
    let training: Vec<f64> = (0..2_000).map(|_| random.skewed()).collect();
    let mut reference = Histogram::of_quantiles(&training[..500], 10).unwrap();
    for &value in &training {
        reference.insert(value);
    }
    let mut bytes = Vec::new();
    reference.write(&mut bytes);
    let read = Histogram::read(&mut Reader::new(&bytes)).unwrap();
    assert_eq!(read, reference);
    let build = || HistogramDrift::new(&read, BinnedDistance::G, 100, 5_000.0).unwrap();
    let (mut whole, mut copy) = (build(), build());
    for i in 0..3_000 {
        if i % 41 == 0 {
            let mut bytes = Vec::new();
            whole.write_state(&mut bytes);
            assert!(bytes.len() <= 600, "{}", bytes.len());
            copy = build();
            assert_eq!(copy.read_state(&mut Reader::new(&bytes)), Ok(()));
        }
        let value = if i % 50 == 0 { f64::NAN } else { random.skewed() * if i < 2_000 { 1.0 } else { 1.5 } };
        let signal = whole.update(value);
        assert_eq!(signal, copy.update(value));
        assert!(!signal.drift_detected() || i > 2_000, "{i}");
    }
    assert_eq!((whole.count(), whole.ignored()), (2_940, 60));
    let one_bin = Histogram::of_width(0.0, 1.0, 1).unwrap();
    let error = HistogramDrift::new(&one_bin, BinnedDistance::G, 100, 5_000.0).unwrap_err();
    assert_eq!(error.to_string(), "`bins` is 1, must be from 2 to 64");
    let empty = Histogram::of_width(0.0, 1.0, 4).unwrap();
    let error = HistogramDrift::new(&empty, BinnedDistance::G, 100, 5_000.0).unwrap_err();
    assert_eq!(error.to_string(), "the reference counts nothing, must count something");
}

#[test]
fn histograms_keep_what_is_out_of_range_apart_and_merge() {
    let mut histogram = Histogram::new(&[0.0, 1.0, 2.0]).unwrap();
    for value in [0.0, 1.0, 1.5, 2.0, -0.1, 2.1, f64::NAN, f64::INFINITY] {
        histogram.insert(value);
    }
    assert_eq!(histogram.counts(), [2, 2]);
    assert_eq!((histogram.below(), histogram.above(), histogram.missing()), (1, 1, 2));
    assert_eq!((histogram.open_counts(), histogram.total()), (vec![3, 3], 6));
    let mut twice = histogram.clone();
    twice.merge(&histogram).unwrap();
    assert_eq!((twice.counts(), twice.missing()), (&[4, 4][..], 4));
    assert!(twice.merge(&Histogram::new(&[0.0, 1.0, 3.0]).unwrap()).is_err());
    for bad in [&[1.0][..], &[1.0, 1.0], &[0.0, f64::NAN], &[2.0, 1.0]] {
        assert!(Histogram::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn written_summaries_are_read_back_or_refused() {
    let mut histogram = Histogram::of_width(-1.0, 1.0, 7).unwrap();
    let mut names = CategoryCounts::new(3).unwrap();
    let mut sample = Reservoir::new(9, 4).unwrap();
    let mut random = Random(12);
    for i in 0..200 {
        histogram.insert(2.2 * random.uniform() - 1.1);
        names.insert(["a", "bb", "", "d", "e"][i % 5]);
        sample.insert(random.uniform());
    }
    names.insert_missing();
    assert_eq!(
        (names.counts().collect::<Vec<_>>(), names.other()),
        (vec![("", 40), ("a", 40), ("bb", 40)], 80)
    );
    let mut bytes = Vec::new();
    histogram.write(&mut bytes);
    names.write(&mut bytes);
    sample.write(&mut bytes);
    let mut reader = Reader::new(&bytes);
    assert_eq!(Histogram::read(&mut reader).as_ref(), Ok(&histogram));
    assert_eq!(CategoryCounts::read(&mut reader).as_ref(), Ok(&names));
    assert_eq!(Reservoir::read(&mut reader).as_ref(), Ok(&sample));
    assert_eq!(reader.finish(), Ok(()));
    for cut in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[cut] ^= 0x55;
        for bytes in [&bytes[..cut], &damaged, &damaged[cut..]] {
            // Whatever is read goes on working.
            if let Ok(mut read) = Histogram::read(&mut Reader::new(bytes)) {
                read.insert(0.3);
                assert!(read.total() > 0);
            }
            if let Ok(mut read) = Reservoir::read(&mut Reader::new(bytes)) {
                read.insert(0.3);
                read.merge(&sample);
            }
            let _ = CategoryCounts::read(&mut Reader::new(bytes));
        }
    }
}

#[test]
fn every_value_is_as_likely_to_be_in_the_reservoir() {
    let mut hits = [0_u32; 60];
    for seed in 0..4_000 {
        let (mut left, mut right) =
            (Reservoir::new(10, seed).unwrap(), Reservoir::new(10, seed + 9_000).unwrap());
        (0..20).for_each(|i| left.insert(f64::from(i)));
        (20..60).for_each(|i| right.insert(f64::from(i)));
        left.merge(&right);
        assert_eq!((left.values().len(), left.count()), (10, 60));
        left.values().iter().for_each(|&value| hits[value as usize] += 1);
    }
    // Each is in one of six; the standard deviation of a count is 24.
    assert!(hits.iter().all(|&count| count.abs_diff(667) < 100), "{hits:?}");
}

#[test]
fn the_run_length_of_a_given_reference_can_be_moved() {
    let mut random = Random(12);
    let training: Vec<f64> = (0..1_000).map(|_| random.skewed()).collect();
    let mut reference = Histogram::around(&training, 10).unwrap();
    for &value in &training {
        reference.insert(value);
    }
    let build = |arl| HistogramDrift::new(&reference, BinnedDistance::Hellinger, 50, arl).unwrap();
    for arl in [500.0, 1e5, 1e9] {
        let (mut built, mut moved) = (build(arl), build(3_000.0));
        moved.set_arl(arl);
        moved.set_arl(f64::NAN);
        assert_eq!((moved.arl(), moved.threshold()), (arl, built.threshold()));
        for i in 0..2_000 {
            if i % 333 == 0 {
                let mut bytes = Vec::new();
                moved.write_state(&mut bytes);
                moved = build(3_000.0);
                moved.read_state(&mut Reader::new(&bytes)).unwrap();
                assert!(build(4_000.0).read_state(&mut Reader::new(&bytes)).is_err());
            }
            let value = random.skewed() * if i < 1_000 { 1.0 } else { 1.4 };
            assert_eq!(built.update(value), moved.update(value), "{arl} at {i}");
            assert_eq!(built.filled(), (i + 1) % 50);
        }
        let p = moved.p_value(moved.threshold()).unwrap();
        // That of the fitted law, or farther where a window has passed it.
        let fitted = (p * arl / 50.0 - 1.0).abs() < 1e-6;
        assert!(fitted || p * arl / 50.0 < 1.0, "{p} for {arl}");
        assert!((build(arl).p_value(build(arl).threshold()).unwrap() * arl / 50.0 - 1.0).abs() < 1e-6);
    }
    assert_eq!(build(3_000.0).reference_size(), 1_000);
}

#[test]
fn a_histogram_around_a_sample_keeps_what_is_often_apart() {
    let bins = |sample: &[f64]| {
        let mut histogram = Histogram::around(sample, 4).unwrap();
        for &value in sample {
            histogram.insert(value);
        }
        assert_eq!((histogram.below(), histogram.above()), (0, 0), "{sample:?}");
        histogram.counts().to_vec()
    };
    assert_eq!(bins(&[3.0; 9]), [0, 9, 0]);
    assert_eq!(bins(&[0.0, 0.0, 0.0, 1.0, 1.0]), [0, 3, 2, 0]);
    assert_eq!(bins(&[0.0]), [0, 1, 0]);
    assert_eq!(bins(&(0..8).map(f64::from).collect::<Vec<_>>()), [2, 2, 2, 2]);
    bins(&[-1e99, 1e99]);
    Histogram::around(&[f64::MAX, f64::MIN], 4).unwrap();
    for bad in [&[][..], &[f64::NAN], &[f64::INFINITY, 1.0]] {
        assert!(Histogram::around(bad, 4).is_err(), "{bad:?}");
    }
    assert!(Histogram::around(&[1.0, 2.0], 1).is_err());
    let error = Histogram::from_counts(&[0.0, 1.0, 2.0], &[1]).unwrap_err();
    assert_eq!(error.to_string(), "the reference has 2 bins and the current 1, must be as many");
    assert!(Histogram::from_counts(&[0.0, 1.0], &[u64::MAX]).is_err());
}

#[test]
fn a_merge_with_a_small_sample_stays_a_sample_of_all_values() {
    let (mut share, runs) = (0.0, 200);
    for seed in 0..runs {
        let mut large = Reservoir::new(100, seed).unwrap();
        let mut small = Reservoir::new(10, seed + 1_000).unwrap();
        (0..1_000).for_each(|_| large.insert(0.0));
        (0..1_000).for_each(|_| small.insert(0.0));
        large.merge(&small);
        (0..100).for_each(|_| large.insert(1.0));
        share += large.values().iter().sum::<f64>() / large.values().len() as f64 / runs as f64;
    }
    // 100 of 2,100.
    assert!((0.035..0.06).contains(&share), "{share}");
}

/// Zeros and ones once shared a bin when most values were 1: a fall to all zeros was not seen.
#[test]
fn a_common_largest_value_has_a_bin_of_its_own() {
    let bit = |i: u64, good: u64| f64::from(u8::from(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57 < good));
    for (good, bad) in [(122, 64), (122, 0), (6, 64)] {
        let mut shift = DistributionShift::new(DistributionShiftParams::default()).unwrap();
        let values = (0..5_000).map(|i| bit(i, good)).chain((5_000..7_000).map(|i| bit(i, bad)));
        let alarms: Vec<usize> =
            values.enumerate().filter(|&(_, x)| shift.update(x).drift_detected()).map(|(i, _)| i).collect();
        assert!(
            alarms.first().is_some_and(|&at| (5_000..5_600).contains(&at)),
            "{good} to {bad}: {alarms:?}"
        );
    }
    let mut reference = Histogram::around(&[0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 4).unwrap();
    for x in [0.0, 1.0, 1.0] {
        reference.insert(x);
    }
    assert_eq!(reference.counts().iter().filter(|&&count| count > 0).count(), 2);
}

/// The story: a threshold that was found again by another mathematical library, and rounded otherwise, made a good state
/// refused.
#[test]
fn a_state_keeps_the_threshold_of_the_library_that_wrote_it() {
    let training: Vec<f64> = (0..1_000).map(|i| f64::from(i * 7 % 100)).collect();
    let mut reference = Histogram::of_quantiles(&training, 10).unwrap();
    for &value in &training {
        reference.insert(value);
    }
    let build = || HistogramDrift::new(&reference, BinnedDistance::Hellinger, 100, 10_000.0).unwrap();
    let mut scores = build();
    for &value in &training[..150] {
        scores.update(value);
    }
    let mut bytes = Vec::new();
    scores.write_state(&mut bytes);
    let own = scores.threshold();
    let at = bytes.windows(8).position(|eight| eight == own.to_le_bytes()).unwrap();
    let read = |threshold: f64| {
        let mut bytes = bytes.clone();
        bytes[at..at + 8].copy_from_slice(&threshold.to_le_bytes());
        let mut scores = build();
        scores.read_state(&mut Reader::new(&bytes)).map(|()| scores.threshold())
    };
    for threshold in [own, own.next_up(), own.next_down()] {
        assert_eq!(read(threshold), Ok(threshold));
    }
    assert!(read(1.01 * own).is_err() && read(0.99 * own).is_err() && read(f64::NAN).is_err());
}
