//! What no detector ever does: panic, grow without bound, hold a `NaN`, or forget over a snapshot.

use proptest::collection::vec;
use proptest::prelude::*;
use visu_tility_drift::codec::Reader;
use visu_tility_drift::{
    Adwin, AdwinParams, AnyDetector, AnyParams, CalendarNovelty, Compat, Detector, Ewma, Family, Level,
    MedianShift, MedianShiftParams, MixtureESr, MixtureParams, Mode, NoveltyParams, QuantileSketch,
    QuantileSketchParams, Recursion, Setting, Signal, Standardizer, StandardizerParams, WindowedQuantiles,
};

use crate::variants::{detectors, with};

/// Values of every kind: all bit patterns, and runs in which detectors have something to find.
fn streams() -> impl Strategy<Value = Vec<f64>> {
    let any = vec(any::<u64>().prop_map(f64::from_bits), 0..150);
    let mixed = vec(
        prop_oneof![
            8 => -3.0..3.0,
            4 => prop_oneof![Just(0.0), Just(1.0), Just(-0.0)],
            1 => proptest::sample::select(vec![f64::NAN, f64::INFINITY, f64::MAX, f64::MIN, 1e-310]),
        ],
        0..400,
    );
    let steps = (0.0..1.0, -2.0..2.0, vec(0.0..0.3, 50..300)).prop_map(|(low, step, noise)| {
        let half = noise.len() / 2;
        noise.iter().enumerate().map(|(i, e)| low + e + if i < half { 0.0 } else { step }).collect()
    });
    prop_oneof![any, mixed, steps]
}

fn state(detector: &dyn Detector) -> Vec<u8> {
    let mut bytes = Vec::new();
    detector.write_state(&mut bytes);
    bytes
}

/// Checks one signal; `warming` allows a statistic past its threshold that is held back.
fn check_signal(signal: Signal, value: f64, warming: bool) {
    assert!(signal.statistic.is_finite() && signal.threshold.is_finite(), "{signal:?}");
    assert!(value.is_finite() || signal.level == Level::Normal);
    let quiet = signal.level == Level::Normal && value.is_finite();
    assert!(!quiet || warming || signal.statistic <= signal.threshold, "{signal:?}");
    assert!(signal.level != Level::Drift || signal.statistic >= signal.threshold, "{signal:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_snapshot_at_any_point_changes_no_later_signal(stream in streams(), cut in 0_usize..400) {
        let cut = cut.min(stream.len());
        for fresh in detectors() {
            let mut whole = fresh.clone();
            let warms = match &whole {
                // Its first values are held back.
                AnyDetector::PageHinkley(_)
                | AnyDetector::Gma(_)
                | AnyDetector::Ecdd(_)
                | AnyDetector::Rddm(_)
                | AnyDetector::CusumMoa(_) => true,
                // A wild value can leave a negative variance, with which nothing is ever cut.
                AnyDetector::Adwin(adwin) => adwin.params().compat != Compat::Paper,
                _ => false,
            };
            for &value in &stream[..cut] {
                check_signal(whole.update(value), value, warms);
            }
            let bytes = state(&whole);
            prop_assert!(bytes.len() <= 4_096, "{} writes {} bytes", whole.name(), bytes.len());
            let mut restored = fresh.clone();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(restored.read_state(&mut reader), Ok(()), "{}", whole.name());
            prop_assert_eq!(reader.finish(), Ok(()));
            for &value in &stream[cut..] {
                let (a, b) = (whole.update(value), restored.update(value));
                check_signal(a, value, warms);
                prop_assert_eq!(a, b, "{}", whole.name());
            }
            prop_assert_eq!(state(&whole), state(&restored));
            let finite = stream.iter().filter(|value| value.is_finite()).count() as u64;
            prop_assert_eq!(whole.count(), finite);
            prop_assert_eq!(whole.ignored(), stream.len() as u64 - finite);
        }
    }

    #[test]
    fn estimators_survive_snapshots(stream in streams(), cut in 0_usize..400) {
        let cut = cut.min(stream.len());
        let sketch = QuantileSketchParams { max_bins: 40, ..QuantileSketchParams::default() };
        let scores = StandardizerParams { learn: 20, clip: 5.0 };
        let build = || (
            Ewma::default(),
            Standardizer::new(scores).unwrap(),
            WindowedQuantiles::new(sketch, 50).unwrap(),
        );
        let (mut a, mut b) = (build(), build());
        for &value in &stream[..cut] {
            a.0.update(value);
            a.1.update(value);
            a.2.insert(value);
        }
        let mut bytes = Vec::new();
        a.0.write_state(&mut bytes);
        a.1.write_state(&mut bytes);
        a.2.write_state(&mut bytes);
        let mut reader = Reader::new(&bytes);
        prop_assert!(b.0.read_state(&mut reader).is_ok() && b.1.read_state(&mut reader).is_ok());
        prop_assert_eq!(b.2.read_state(&mut reader), Ok(()));
        for &value in &stream[cut..] {
            prop_assert_eq!(a.0.update(value).to_bits(), b.0.update(value).to_bits());
            let score = a.1.update(value);
            prop_assert!(score.is_none_or(|z| z.abs() <= 5.0));
            prop_assert_eq!(score, b.1.update(value));
            a.2.insert(value);
            b.2.insert(value);
            prop_assert!(a.2.bytes() <= 1_024);
            for q in [0.0, 0.5, 0.99, 1.0] {
                prop_assert_eq!(a.2.quantile(q), b.2.quantile(q));
            }
        }
        prop_assert!(a.0.value().is_none_or(f64::is_finite));
    }

    #[test]
    fn reading_any_bytes_fails_or_gives_a_working_detector(
        noise in vec(any::<u8>(), 0..300),
        at in 0_usize..2_000,
        stream in streams(),
    ) {
        for fresh in detectors() {
            let mut source = fresh.clone();
            for &value in &stream {
                source.update(value);
            }
            let before = state(&fresh);
            let mut bytes = state(&source);
            let at = at % bytes.len();
            for (byte, &other) in bytes[at..].iter_mut().zip(&noise[..noise.len().min(9)]) {
                *byte = other;
            }
            for bytes in [&bytes[..], &bytes[..at], &noise] {
                let mut target = fresh.clone();
                if target.read_state(&mut Reader::new(bytes)).is_err() {
                    prop_assert_eq!(&state(&target), &before, "a failed read must change nothing");
                }
                for &value in &stream {
                    check_signal(target.update(value), value, true);
                }
            }
        }
        let mut sketch = QuantileSketch::default();
        if sketch.read_state(&mut Reader::new(&noise)).is_ok() {
            prop_assert!(sketch.quantile(0.5).is_none_or(f64::is_finite));
        }
    }

    #[test]
    fn novelty_with_a_clock_survives_snapshots_and_any_bytes(
        stream in streams(),
        times in vec(prop_oneof![8 => -200_000_i64..2_000_000, 1 => any::<i64>()], 400),
        cut in 0_usize..400,
        noise in vec(any::<u8>(), 0..9),
        at in 0_usize..40_000,
    ) {
        let params = NoveltyParams { memory: 100, threshold: 0.001, min_instances: 0, ..NoveltyParams::default() };
        let fresh = CalendarNovelty::new(params).unwrap();
        let write = |detector: &CalendarNovelty| {
            let mut bytes = Vec::new();
            detector.write_state(&mut bytes);
            bytes
        };
        let cut = cut.min(stream.len());
        let timed: Vec<(f64, i64)> = stream.iter().copied().zip(times).collect();
        let mut whole = fresh.clone();
        for &(value, time) in &timed[..cut] {
            check_signal(whole.update(value, time), value, false);
        }
        let bytes = write(&whole);
        let (mut restored, mut reader) = (fresh.clone(), Reader::new(&bytes));
        prop_assert_eq!(restored.read_state(&mut reader), Ok(()));
        prop_assert_eq!(reader.finish(), Ok(()));
        for &(value, time) in &timed[cut..] {
            prop_assert_eq!(whole.update(value, time), restored.update(value, time));
        }
        let mut bytes = write(&whole);
        prop_assert_eq!(&bytes, &write(&restored));
        prop_assert_eq!(whole.count() + whole.ignored(), stream.len() as u64);
        prop_assert_eq!(whole.bytes(), fresh.bytes());
        let at = at % bytes.len();
        for (byte, &other) in bytes[at..].iter_mut().zip(&noise) {
            *byte = other;
        }
        for bytes in [&bytes[..], &bytes[..at]] {
            let mut target = fresh.clone();
            if target.read_state(&mut Reader::new(bytes)).is_err() {
                prop_assert_eq!(write(&target), write(&fresh), "a failed read must change nothing");
            }
            for &(value, time) in &timed {
                check_signal(target.update(value, time), value, true);
            }
        }
    }

    #[test]
    fn a_corrupt_sketch_is_refused_or_works(values in vec(0.0..1e6, 1..80), at in 0_usize..500, byte: u8) {
        let mut sketch = QuantileSketch::default();
        for &value in &values { sketch.insert(value); }
        let mut bytes = Vec::new();
        sketch.write_state(&mut bytes);
        let at = at % bytes.len();
        bytes[at] = byte;
        let mut other = QuantileSketch::default();
        if other.read_state(&mut Reader::new(&bytes)).is_ok() {
            for &value in &values { other.insert(value); }
            prop_assert!(other.merge(&sketch).is_ok());
            prop_assert!(other.quantile(0.9).is_some_and(f64::is_finite));
        }
    }
}

#[test]
fn memory_is_bounded_on_long_streams() {
    let bits = |i: u64| f64::from(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60 == 0);
    let wide = AdwinParams { max_buckets: 16, ..AdwinParams::default() };
    let mut windows = [Adwin::new(AdwinParams::default()).unwrap(), Adwin::new(wide).unwrap()];
    for i in 0..1_000_000 {
        for adwin in &mut windows {
            adwin.update(bits(i));
            assert!(adwin.bytes() <= 4_096, "{}", adwin.bytes());
        }
    }
    assert_eq!(windows[0].width(), 1_000_000);
    // 16 buckets a row fill the memory at 13 rows; the oldest values then leave in silence.
    assert!(windows[1].width() <= 17 * 8_191 && windows[1].detections() == 0);

    let mut median = MedianShift::new(MedianShiftParams::default()).unwrap();
    (0..1_000).for_each(|i| _ = median.update(bits(i)));
    let mut copy = median.clone();
    (0..1_000).for_each(|i| _ = copy.update(bits(i)));
    assert!(copy.bytes() <= 1_344, "{}", copy.bytes());
}

/// Sums kept by subtraction would be off by the rounding of the large values for ever.
#[test]
fn large_values_leave_no_trace_once_they_are_cut() {
    let mut adwin = Adwin::new(AdwinParams::default()).unwrap();
    for i in 0..300 {
        adwin.update(1e17 + f64::from(i % 7) * 1e15);
    }
    for i in 0..3_000 {
        adwin.update(f64::from(i % 2));
    }
    let (mean, variance) = (adwin.estimation().unwrap(), adwin.variance());
    assert!(adwin.width() <= 3_000 && (mean - 0.5).abs() < 0.01, "{mean} over {}", adwin.width());
    assert!((variance - 0.25).abs() < 0.01, "{variance}");
}

#[test]
fn evidence_never_overflows() {
    let params = MixtureParams { rearm: false, ..MixtureParams::default() };
    let mut detector = MixtureESr::new(params).unwrap();
    for _ in 0..20_000 {
        detector.update(1.0);
    }
    // The bet for +0.5 gains ln(0.6 / 0.1) a value.
    let expected = 20_000.0 * 6.0_f64.ln();
    let log = detector.log_value().unwrap();
    assert!((log - expected).abs() < 10.0, "{log}");
    for _ in 0..2_000_000 {
        check_signal(detector.update(0.0), 0.0, false);
    }
    // After a long good stretch the smallest bet's evidence is left, and fades too.
    assert!(detector.log_value().unwrap() < 10.0, "{:?}", detector.log_value());
}

#[test]
fn evidence_of_any_size_is_followed() {
    for recursion in [Recursion::ShiryaevRoberts, Recursion::Cusum, Recursion::SequentialTest] {
        let (family, mode) = (Family::Normal, Mode::Both);
        let params =
            MixtureParams { family, mode, m_pre: 0.0, recursion, rearm: false, ..Default::default() };
        let mut detector = MixtureESr::new(params).unwrap();
        let wild = [1e300, -1e300, 5.0, f64::MIN, 40.0, f64::MAX, -2.0, 1e-300];
        for value in wild.into_iter().cycle().take(10_000) {
            check_signal(detector.update(value), value, false);
            assert!(detector.log_value().is_none_or(f64::is_finite));
        }
        assert!(state(&detector).len() <= 4_096);
    }
}

/// A test that good values have driven to nothing does not find a change as if it started afresh.
#[test]
fn a_sequential_test_remembers_the_good_values() {
    let recursion = Recursion::SequentialTest;
    let params = MixtureParams { m_pre: 0.3, recursion, ..MixtureParams::default() };
    let mut detector = MixtureESr::new(params).unwrap();
    (0..100_000).for_each(|_| _ = detector.update(0.0));
    // The bet for a change of .05 has lost ln(.65 / .7) at each.
    let lost = 100_000.0 * (0.65_f64 / 0.7).ln();
    assert!((detector.log_value().unwrap() - lost).abs() < 10.0, "{:?} {lost}", detector.log_value());
    let alarm = (0..1_000_000).find(|_| detector.update(1.0).drift_detected());
    // All ones gain ln(.35 / .3) each, and had to make up for all that.
    let first = (-lost / (0.35_f64 / 0.3).ln()) as i32;
    assert!(alarm.is_some_and(|at| (first - 100..first + 200).contains(&at)), "{alarm:?} {first}");
}

#[test]
fn detectors_can_be_sent() {
    const fn send<T: Send>() {}
    send::<AnyDetector>();
    send::<Ewma>();
    send::<Standardizer>();
    send::<WindowedQuantiles>();
    assert!(size_of::<AnyDetector>() <= 64);
    assert_eq!(size_of::<Ewma>(), 16);
}

/// A state of `detector` whose bytes from `at` on, `stride` apart, are replaced by the eight of each of `by`.
fn forged(detector: &AnyDetector, at: usize, stride: usize, by: &[u64]) -> Vec<u8> {
    let mut bytes = state(detector);
    for (i, number) in by.iter().enumerate() {
        bytes[at + i * stride..][..8].copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

/// Counts of blocks whose sum is beyond 64 bits.
#[test]
fn a_seed_state_of_impossible_width_is_refused() {
    let mut detector = AnyParams::by_name("seed").unwrap().build().unwrap();
    (0..32 * 40).for_each(|i| _ = detector.update(f64::from(i % 2)));
    let head = 9 + 16 + 4 + 4 + 8 + 24 + 16 + 2;
    let blocks = (state(&detector).len() - head) / 24;
    assert!(blocks >= 16);
    let mut bytes = forged(&detector, head, 24, &vec![1 << 60; blocks]);
    bytes[9..17].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    assert!(detector.read_state(&mut Reader::new(&bytes)).is_err());
}

/// More ones than values: shares above 1, and weights below 0.
#[test]
fn a_bocpd_state_with_more_ones_than_values_is_refused() {
    let mut detector = with("bocpd", &[("family", Setting::Word("bernoulli"))]);
    (0..20).for_each(|i| _ = detector.update(f64::from(i % 2)));
    let head = 9 + 16 + 16 + 8 + 8 + 8 + 4;
    let bytes = forged(&detector, head + 16, 32, &[1e9_f64.to_bits()]);
    assert!(detector.read_state(&mut Reader::new(&bytes)).is_err());
}

/// No mean of 0 or 1 is ever all that is left.
#[test]
fn a_confidence_sequence_state_without_room_is_refused() {
    let mut detector = with("confidence-sequence", &[]);
    (0..20).for_each(|i| _ = detector.update(f64::from(i % 2)));
    let interval = 9 + 16 + 8 + 8 + 1;
    for ends in [[0, 0], [1.0_f64.to_bits(), 1.0_f64.to_bits()]] {
        let bytes = forged(&detector, interval, 8, &ends);
        assert!(detector.read_state(&mut Reader::new(&bytes)).is_err());
    }
}

/// Components that were scaled as often as can be, in both directions, and go further.
#[test]
fn evidence_scaled_to_the_end_stays_there() {
    let recursion = Setting::Word("sequential-test");
    let mut detector = with("e-sr", &[("recursion", recursion), ("rearm", Setting::Flag(false))]);
    let scaled = 9 + 16 + 8 + 8 + 1 + 64 + 4;
    let bytes = forged(&detector, scaled, 8, &[0xc000_0000_4000_0000; 8]);
    detector.read_state(&mut Reader::new(&bytes)).unwrap();
    for value in [0.0, 1.0] {
        for _ in 0..20_000 {
            assert!(detector.update(value).statistic.is_finite());
        }
        assert!(detector.log_evidence().is_some_and(f64::is_finite));
        let bytes = state(&detector);
        assert_eq!(detector.read_state(&mut Reader::new(&bytes)), Ok(()));
    }
}

/// Weights so small that their sum cannot be divided by.
#[test]
fn a_bocpd_state_of_hardly_any_weight_is_refused() {
    let mut detector = with("bocpd", &[]);
    (0..100).for_each(|i| _ = detector.update(f64::from(i % 2)));
    let head = 9 + 16 + 16 + 8 + 8 + 8 + 4;
    let bytes = forged(&detector, head + 8, 32, &[1e-231_f64.to_bits()]);
    assert!(detector.read_state(&mut Reader::new(&bytes)).is_err());
}

/// What the smallest changes tell is a difference of numbers that agree to nine digits.
#[test]
fn bets_on_the_smallest_changes_can_be_built() {
    for family in [Family::Bernoulli, Family::Bounded, Family::Normal] {
        for m_pre in [1e-6, 0.002, 0.1, 0.3, 0.5, 0.9] {
            for delta_lower in [1e-9, 2e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4] {
                let params =
                    MixtureParams { family, m_pre, delta_lower, delta_upper: 0.05, ..Default::default() };
                let mixture = visu_tility_drift::Mixture::new(params);
                let built = mixture.unwrap_or_else(|error| panic!("{params:?}: {error}"));
                let least = built.lambdas().iter().copied().fold(f64::INFINITY, f64::min);
                let best = (delta_lower / m_pre / (1.0 - m_pre)).min(1e9);
                assert!(
                    family != Family::Bernoulli || (least / best - 1.0).abs() < 0.05 || best > 0.1,
                    "{params:?} {least}"
                );
            }
        }
    }
}
