//! The papers' forms of the detectors of other systems: held against the definition, and at their edges.

use proptest::collection::vec;
use proptest::prelude::*;
use visu_tility_drift::Setting::{self, Count, Flag, Number, Word};
use visu_tility_drift::{AnyDetector, AnyParams, Detector, Direction, Level, Seed, SeedParams, Signal};

fn with(name: &str, settings: &[(&str, Setting<'_>)]) -> AnyDetector {
    let mut params = AnyParams::by_name(name).unwrap();
    for (key, value) in settings {
        params.set(key, *value).unwrap();
    }
    params.build().unwrap()
}

fn bits(stream: &[bool]) -> Vec<f64> {
    stream.iter().map(|&bit| f64::from(u8::from(bit))).collect()
}

fn signals(detector: &mut dyn Detector, stream: &[f64]) -> Vec<Signal> {
    stream.iter().map(|&x| detector.update(x)).collect()
}

fn drifts(detector: &mut dyn Detector, stream: &[f64]) -> Vec<usize> {
    let signals = signals(detector, stream);
    (0..).zip(&signals).filter(|(_, signal)| signal.drift_detected()).map(|(i, _)| i).collect()
}

/// Some bits of an error rate that changes half way.
fn errors() -> impl Strategy<Value = Vec<f64>> {
    (0.0..1.0, 0.0..1.0, vec(0.0..1.0, 0..900)).prop_map(|(before, after, noise): (f64, f64, Vec<f64>)| {
        let half = noise.len() / 2;
        let rate = |i| if i < half { before } else { after };
        noise.iter().enumerate().map(|(i, &u)| f64::from(u8::from(u < rate(i)))).collect()
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn spread(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|x| (x - mean).powi(2)).sum()
}

#[test]
fn the_first_error_after_a_clean_start_is_a_drift_elsewhere_only() {
    let mut stream = vec![0.0; 500];
    stream.push(1.0);
    for name in ["ddm", "rddm"] {
        assert_eq!(drifts(&mut with(name, &[]), &stream), [] as [usize; 0], "{name}");
        assert_eq!(drifts(&mut with(name, &[("compat", Word("moa"))]), &stream), [500], "{name}");
    }
    assert_eq!(drifts(&mut with("ddm", &[("compat", Word("river"))]), &stream), [500]);
}

#[test]
fn constant_streams_raise_nothing() {
    for name in ["ddm", "eddm", "rddm", "hddm-a", "hddm-w", "fhddm", "stepd", "ecdd", "gma", "seed"] {
        for value in [0.0, 1.0, 0.5, 0.73] {
            let levels = signals(&mut with(name, &[]), &vec![value; 3_000]);
            assert!(levels.iter().all(|signal| signal.level == Level::Normal), "{name} on {value}");
        }
    }
}

#[test]
fn a_detector_that_a_library_lacks_is_refused_in_its_name() {
    let lacking = [
        ("fhddm", "moa"),
        ("rddm", "river"),
        ("stepd", "river"),
        ("ecdd", "river"),
        ("gma", "river"),
        ("seed", "river"),
    ];
    for (name, compat) in lacking {
        let mut params = AnyParams::by_name(name).unwrap();
        params.set("compat", Word(compat)).unwrap();
        let error = params.check().unwrap_err().message();
        assert!(error.starts_with("`compat` is ") && error.contains(" has no "), "{error}");
    }
}

#[test]
fn a_warning_that_is_stricter_than_the_drift_is_refused() {
    let levels = [
        ("ddm", "warning_threshold", 3.1, 3.0),
        ("rddm", "warning_threshold", 2.3, 2.258),
        ("hddm-a", "warning_confidence", 0.000_9, 0.001),
        ("hddm-w", "warning_confidence", 0.000_9, 0.001),
        ("stepd", "warning_confidence", 0.002_9, 0.003),
        ("eddm", "alpha", 0.89, 0.9),
    ];
    for (name, field, stricter, as_strict) in levels {
        let mut params = AnyParams::by_name(name).unwrap();
        params.set(field, Number(stricter)).unwrap();
        let error = params.check().unwrap_err();
        assert!(error.param == field && (error.allowed.contains("drift_") || name == "eddm"), "{error}");
        params.set(field, Number(as_strict)).unwrap();
        assert_eq!(params.check(), Ok(()), "{name}");
    }
}

#[test]
fn states_stay_small_under_the_largest_parameters() {
    let noise = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1_u64 << 53) as f64;
    let largest = [
        with("rddm", &[("min_concept", Count(24_000))]),
        with("fhddm", &[("sliding_window_size", Count(24_000)), ("short_window_size", Count(24_000))]),
        with("stepd", &[("sliding_window_size", Count(24_000))]),
        with("seed", &[("block_size", Count(2)), ("epsilon_prime", Number(0.0))]),
    ];
    for mut detector in largest {
        for i in 0..50_000 {
            detector.update(noise(i));
        }
        let mut state = Vec::new();
        detector.write_state(&mut state);
        assert!(state.len() <= 4_096, "{} writes {} bytes", detector.name(), state.len());
        assert!(state.len() > 2_000, "{} is not full", detector.name());
    }
    for name in ["rddm", "fhddm", "stepd"] {
        let window = if name == "rddm" { "min_concept" } else { "sliding_window_size" };
        let mut params = AnyParams::by_name(name).unwrap();
        params.set(window, Count(24_001)).unwrap();
        assert!(params.check().is_err(), "{name}");
    }
}

#[test]
fn a_long_concept_is_shortened_to_its_newest_values() {
    let settings = [("max_concept", Count(1_000)), ("min_concept", Count(200))];
    let mut rddm = with("rddm", &settings);
    let error = |i: u32| i.is_multiple_of(if i < 900 { 10 } else { 20 });
    for i in 0..1_000 {
        assert_eq!(rddm.update(f64::from(u8::from(error(i)))).level, Level::Normal);
    }
    let seen = |from| (from..1_001).filter(|&i| error(i)).count() as f64 / f64::from(1_001 - from);
    rddm.update(f64::from(u8::from(error(1_000))));
    assert!((rddm.estimation().unwrap() - seen(800)).abs() < 1e-12, "{:?}", rddm.estimation());
}

#[test]
fn too_many_warnings_in_a_row_are_a_drift() {
    let settings = [("warning_limit", Count(5)), ("drift_threshold", Number(1e6))];
    let mut rddm = with("rddm", &settings);
    let stream: Vec<f64> =
        (0..600).map(|i| f64::from(u8::from(if i < 500 { i % 10 == 0 } else { i % 2 == 0 }))).collect();
    let signals = signals(&mut rddm, &stream);
    let at = signals.iter().position(Signal::drift_detected).unwrap();
    assert!(signals[at - 5..at].iter().all(Signal::warning_detected) && signals[at].since == 6);
    assert!(!signals[at - 6].warning_detected());
}

#[test]
fn a_shrinking_mean_is_seen_when_asked_for() {
    let stream: Vec<f64> = (0..2_000).map(|i| f64::from(u8::from(i < 1_000 || i % 10 == 0))).collect();
    for name in ["hddm-a", "hddm-w"] {
        assert_eq!(drifts(&mut with(name, &[]), &stream), [] as [usize; 0], "{name}");
        let both = ("two_sided_test", Flag(true));
        let mut test = with(name, &[both]);
        let signals = signals(&mut test, &stream);
        let (at, signal) = (0..).zip(&signals).find(|(_, signal)| signal.drift_detected()).unwrap();
        assert!((1_001..1_060).contains(&at) && signal.direction == Direction::Down, "{name} at {at}");
        let mut moa = with(name, &[both, ("compat", Word("moa"))]);
        assert_eq!(drifts(&mut moa, &stream), [] as [usize; 0], "{name} restarts in silence");
        assert!(moa.estimation().unwrap() < 0.3, "{name} did restart");
    }
}

/// EDDM from its definition: the distances between errors since the last drift; up to the first close call.
fn eddm_levels(stream: &[f64], warm: usize) -> Vec<Level> {
    let (mut at, mut largest, mut held) = (Vec::new(), 0.0_f64, Level::Normal);
    let mut levels = Vec::new();
    for (i, &x) in stream.iter().enumerate() {
        if held == Level::Drift {
            (at, largest, held) = (Vec::new(), 0.0, Level::Normal);
        }
        if x == 1.0 {
            at.push(i as f64);
            if at.len() >= warm.max(2) {
                let distances: Vec<f64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
                let width = mean(&distances) + 2.0 * (spread(&distances) / distances.len() as f64).sqrt();
                let ratio = width / largest;
                // What hangs on the last digit is decided by rounding, and so is all that follows from it.
                if [0.9, 0.95, 1.0].iter().any(|edge| (ratio - edge).abs() < 1e-9) && spread(&distances) > 0.0
                {
                    return levels;
                }
                held = match ratio {
                    _ if width > largest => Level::Normal,
                    _ if ratio < 0.9 => Level::Drift,
                    _ if ratio < 0.95 => Level::Warning,
                    _ => Level::Normal,
                };
                largest = largest.max(width);
            }
        }
        levels.push(held);
    }
    levels
}

/// STEPD's statistic from its definition; `stream` is what came since the last drift.
fn stepd_z(stream: &[f64], window: usize) -> f64 {
    let (older, recent) = stream.split_at(stream.len() - window);
    let inverse = 1.0 / older.len() as f64 + 1.0 / recent.len() as f64;
    let rate = mean(stream);
    let excess = (mean(older) - mean(recent)).abs() - 0.5 * inverse;
    if rate == 0.0 || rate == 1.0 { 0.0 } else { excess.max(0.0) / (rate * (1.0 - rate) * inverse).sqrt() }
}

/// SEED's drifts from its definition, over the values themselves and without merging.
fn seed_drifts(stream: &[f64], block: usize, delta: f64) -> Vec<usize> {
    let (mut start, mut drifts) = (0, Vec::new());
    for end in (1..=stream.len()).filter(|end| end % block == 0) {
        while let Some(cut) = (start + block..end).step_by(block).rev().find(|&cut| {
            let (old, new) = (&stream[start..cut], &stream[cut..end]);
            let n = (end - start) as f64;
            let log = (2.0 * n.ln() / delta).ln();
            let h = 1.0 / old.len() as f64 + 1.0 / new.len() as f64;
            let variance = spread(&stream[start..end]) / n;
            (mean(old) - mean(new)).abs() > (2.0 * h * variance * log).sqrt() + 2.0 / 3.0 * h * log
        }) {
            start = cut;
            drifts.push(end - 1);
        }
    }
    drifts.dedup();
    drifts
}

proptest! {
    #[test]
    fn fhddm_sees_in_errors_what_river_sees_in_successes(stream in vec(any::<bool>(), 0..600), size in 1_u64..40) {
        let settings = [("sliding_window_size", Count(size)), ("confidence_level", Number(0.05))];
        let short = ("short_window_size", Count(size / 2));
        let flipped: Vec<bool> = stream.iter().map(|bit| !bit).collect();
        let mut ours = with("fhddm", &[settings[0], settings[1], short]);
        let mut river = with("fhddm", &[settings[0], settings[1], short, ("compat", Word("river"))]);
        prop_assert_eq!(drifts(&mut ours, &bits(&stream)), drifts(&mut river, &bits(&flipped)));
    }

    #[test]
    fn eddm_follows_its_definition(stream in errors()) {
        let mut eddm = with("eddm", &[("warm_start", Count(10))]);
        let levels: Vec<Level> = signals(&mut eddm, &stream).iter().map(|signal| signal.level).collect();
        let defined = eddm_levels(&stream, 10);
        prop_assert_eq!(&levels[..defined.len()], defined);
    }

    #[test]
    fn stepd_follows_its_definition(stream in errors()) {
        let mut stepd = with("stepd", &[]);
        let mut start = 0;
        for (i, &x) in stream.iter().enumerate() {
            let signal = stepd.update(x);
            let z = if i + 1 - start < 60 { 0.0 } else { stepd_z(&stream[start..=i], 30) };
            prop_assert!((signal.statistic - z).abs() < 1e-9, "{} for {}", signal.statistic, z);
            prop_assert_eq!(signal.drift_detected(), z > 2.967_737_925_341_783);
            if signal.drift_detected() {
                start = i + 1;
            }
        }
    }

    #[test]
    fn seed_follows_its_definition(stream in errors(), block in 1_usize..20, delta in 0.01..0.5) {
        // 128 blocks are kept, so fewer are made.
        let stream = &stream[..stream.len().min(127 * block)];
        let block_size = block as u32;
        let params = SeedParams { delta, block_size, compress_term: 10_000, ..SeedParams::default() };
        prop_assert_eq!(drifts(&mut Seed::new(params).unwrap(), stream), seed_drifts(stream, block, delta));
    }

    #[test]
    fn gma_looks_down_as_it_looks_up(stream in vec(-3.0..3.0, 0..400)) {
        let build = |mode| with("gma", &[("mode", Word(mode)), ("threshold", Number(0.2)), ("alpha", Number(0.9))]);
        let mirrored: Vec<f64> = stream.iter().map(|x| -x).collect();
        prop_assert_eq!(drifts(&mut build("up"), &stream), drifts(&mut build("down"), &mirrored));
        prop_assert_eq!(drifts(&mut build("both"), &stream), drifts(&mut build("both"), &mirrored));
    }
}
