//! Detectors of vectors: false alarms, changes found, refusals, snapshots.

use std::path::Path;

use visu_tility_drift::codec::Reader;
use visu_tility_drift::{
    CentroidMetric, CentroidShift, CentroidShiftParams, MmdBound, OnlineMmd, OnlineMmdParams, Signal,
    VectorError,
};

/// `SplitMix64` and Box-Muller.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Normal vectors with this mean of the first component, this deviation, and this correlation of neighbours.
    fn vector(&mut self, dimension: usize, mean: f64, deviation: f64, correlation: f64) -> Vec<f32> {
        let mut last = self.normal();
        let own = (1.0 - correlation * correlation).sqrt();
        (0..dimension)
            .map(|i| {
                last = correlation * last + own * self.normal();
                (deviation * last + if i == 0 { mean } else { 0.0 }) as f32
            })
            .collect()
    }
}

fn mmd(dimension: u32, arl: f64, bound: MmdBound) -> OnlineMmd {
    OnlineMmd::new(OnlineMmdParams { dimension, arl, bound, ..Default::default() }).unwrap()
}

fn centroid(dimension: u32, metric: CentroidMetric, arl: f64) -> CentroidShift {
    let params = CentroidShiftParams { dimension, metric, arl, reference: 400, window: 50 };
    CentroidShift::new(params).unwrap()
}

/// Vectors until the first drift, at most `most`.
fn run(most: u64, mut step: impl FnMut(u64) -> Signal) -> u64 {
    (1..=most).find(|&i| step(i).drift_detected()).unwrap_or(most)
}

/// Mean run length over 24 streams of at most 3 ARL; a stream without alarm counts as that long.
fn mean_run(arl: f64, mut make: impl FnMut(u64) -> Box<dyn FnMut(u64) -> Signal>) -> f64 {
    let runs = 24;
    let total: u64 = (0..runs).map(|seed| run((3.0 * arl) as u64, make(seed))).sum();
    total as f64 / runs as f64
}

#[test]
fn vectors_of_one_distribution_rarely_alarm() {
    let arl = 600.0;
    for (dimension, correlation) in [(4, 0.0), (16, 0.9)] {
        let mean = mean_run(arl, |seed| {
            let (mut random, mut detector) = (Random(seed), mmd(dimension, arl, MmdBound::Estimated));
            Box::new(move |_| {
                detector.update(&random.vector(dimension as usize, 0.0, 1.0, correlation)).unwrap()
            })
        });
        println!(
            "online-mmd, d {dimension}, correlation {correlation}: mean run {mean:.0} of at most 1800, seeds 0..24"
        );
        assert!(mean >= 0.9 * arl, "{mean}");
        for metric in [CentroidMetric::Euclidean, CentroidMetric::Cosine] {
            let mean = mean_run(arl, |seed| {
                let (mut random, mut detector) = (Random(seed), centroid(dimension, metric, arl));
                Box::new(move |_| {
                    detector.update(&random.vector(dimension as usize, 3.0, 1.0, correlation)).unwrap()
                })
            });
            println!(
                "centroid {metric:?}, d {dimension}, correlation {correlation}: mean run {mean:.0}, seeds 0..24"
            );
            assert!(mean >= 0.8 * arl, "{mean}");
        }
    }
}

#[test]
fn changes_of_mean_spread_and_covariance_are_found() {
    for (what, mean, deviation, correlation, most) in
        [("mean", 1.5, 1.0, 0.3, 250), ("spread", 0.0, 1.5, 0.3, 400), ("covariance", 0.0, 1.0, 0.9, 600)]
    {
        let mut delays: Vec<u64> = (0..5)
            .map(|seed| {
                let (mut random, mut detector) = (Random(100 + seed), mmd(8, 10_000.0, MmdBound::Estimated));
                for _ in 0..1_000 {
                    detector.update(&random.vector(8, 0.0, 1.0, 0.3)).unwrap();
                }
                run(5_000, |_| detector.update(&random.vector(8, mean, deviation, correlation)).unwrap())
            })
            .collect();
        delays.sort_unstable();
        println!("{what}: found after {delays:?}, seeds 100..105");
        assert!(delays[2] <= most, "{what}: {delays:?}");
    }
    for metric in [CentroidMetric::Euclidean, CentroidMetric::Cosine] {
        let (mut random, mut detector) = (Random(1), centroid(8, metric, 10_000.0));
        for _ in 0..1_000 {
            detector.update(&random.vector(8, 3.0, 1.0, 0.0)).unwrap();
        }
        let delay = run(1_000, |_| {
            let mut vector = random.vector(8, 3.0, 1.0, 0.0);
            vector[1] += 1.0;
            detector.update(&vector).unwrap()
        });
        assert!(delay <= 100, "{metric:?} {delay}");
    }
}

#[test]
fn the_proven_bound_finds_large_changes() {
    let (mut random, mut detector) = (Random(3), mmd(4, 10_000.0, MmdBound::Proven));
    for _ in 0..1_000 {
        assert!(!detector.update(&random.vector(4, 0.0, 1.0, 0.0)).unwrap().drift_detected());
    }
    let delay = run(2_000, |_| detector.update(&random.vector(4, 4.0, 1.0, 0.0)).unwrap());
    assert!(delay < 200, "{delay}");
}

#[test]
fn refused_vectors_are_counted_and_change_nothing() {
    let mut detectors =
        (mmd(2, 1_000.0, MmdBound::Estimated), centroid(2, CentroidMetric::Euclidean, 1_000.0));
    let mut plain = detectors.clone();
    let mut random = Random(4);
    for i in 0..900 {
        let vector = random.vector(2, if i < 700 { 0.0 } else { 2.0 }, 1.0, 0.0);
        let short = VectorError::Length { found: 1, expected: 2 };
        assert_eq!(detectors.0.update(&vector[..1]), Err(short));
        assert_eq!(detectors.1.update(&vector[..1]), Err(short));
        let broken = [vector[0], f32::NAN];
        assert_eq!(detectors.0.update(&broken), Err(VectorError::NotFinite { index: 1 }));
        assert_eq!(detectors.1.update(&broken), Err(VectorError::NotFinite { index: 1 }));
        assert_eq!(detectors.0.update(&vector), plain.0.update(&vector));
        assert_eq!(detectors.1.update(&vector), plain.1.update(&vector));
    }
    assert_eq!((detectors.0.count(), detectors.0.ignored(), detectors.0.misshapen()), (900, 900, 900));
    assert_eq!((detectors.1.count(), detectors.1.ignored(), detectors.1.misshapen()), (900, 900, 900));
}

#[test]
fn snapshots_at_any_point_change_no_later_signal_and_are_bounded() {
    let fresh = (mmd(3, 500.0, MmdBound::Estimated), centroid(3, CentroidMetric::Cosine, 500.0));
    let mut whole = fresh.clone();
    let mut copy = fresh.clone();
    let mut random = Random(5);
    let mut largest = (0, 0);
    for i in 0..3_000_u32 {
        let mut vector = random.vector(3, f64::from(i / 1_100), 1.0, 0.0);
        if i % 97 == 0 {
            vector[0] = [f32::MAX, f32::MIN, 0.0][i as usize / 97 % 3];
        }
        if i % 7 == 0 {
            let (mut a, mut b) = (Vec::new(), Vec::new());
            whole.0.write_state(&mut a);
            whole.1.write_state(&mut b);
            largest = (a.len().max(largest.0), b.len().max(largest.1));
            copy = fresh.clone();
            let (mut ra, mut rb) = (Reader::new(&a), Reader::new(&b));
            assert_eq!((copy.0.read_state(&mut ra), ra.finish()), (Ok(()), Ok(())), "{i}");
            assert_eq!((copy.1.read_state(&mut rb), rb.finish()), (Ok(()), Ok(())), "{i}");
            // Any changed byte is refused or gives a working detector.
            let at = random.uniform();
            for (bytes, other) in [(&mut a, true), (&mut b, false)] {
                let at = (at * bytes.len() as f64) as usize;
                bytes[at] ^= 1 << (i % 8);
                let mut damaged = fresh.clone();
                let read = if other {
                    damaged.0.read_state(&mut Reader::new(bytes))
                } else {
                    damaged.1.read_state(&mut Reader::new(bytes))
                };
                if read.is_ok() {
                    for _ in 0..30 {
                        let (a, b) = (damaged.0.update(&vector).unwrap(), damaged.1.update(&vector).unwrap());
                        assert!(
                            a.statistic.is_finite() && b.statistic.is_finite() && b.threshold.is_finite()
                        );
                    }
                }
            }
        }
        let (a, b) = (whole.0.update(&vector).unwrap(), whole.1.update(&vector).unwrap());
        assert!(a.statistic.is_finite() && b.statistic.is_finite() && a.threshold.is_finite());
        assert!(
            a.drift_detected() == (a.statistic >= a.threshold)
                && b.drift_detected() == (b.statistic >= b.threshold)
        );
        assert_eq!((a, b), (copy.0.update(&vector).unwrap(), copy.1.update(&vector).unwrap()), "{i}");
    }
    println!("largest states: {} and {} bytes", largest.0, largest.1);
    assert!(largest.0 <= 40_000 && largest.1 <= 3 * 28 + 200, "{largest:?}");
}

/// The digits of the full data set, where it is: first as they are, then moved by a pixel.
#[test]
fn a_moved_camera_is_found_in_the_digits() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder =
        std::env::var_os("VISU_TILITY_GOLDEN").map_or(here.join("../../shared/data/golden"), Into::into);
    let Ok(packed) = std::fs::read(folder.join("../real/shippable/digits.csv.gz")) else {
        println!("skipped: no digits");
        return;
    };
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed[..]), &mut text).unwrap();
    let images: Vec<Vec<f32>> =
        text.lines().map(|line| line.split(',').take(64).map(|x| x.parse().unwrap()).collect()).collect();
    let mut random = Random(6);
    let mut image = |moved: bool| -> Vec<f32> {
        let image = &images[(random.uniform() * images.len() as f64) as usize];
        let from = |at: usize| if at.is_multiple_of(8) { 0.0 } else { image[at - 1] };
        if moved { (0..64).map(from).collect() } else { image.clone() }
    };
    let mut detectors =
        (mmd(64, 10_000.0, MmdBound::Estimated), centroid(64, CentroidMetric::Euclidean, 10_000.0));
    for _ in 0..2_000 {
        let image = image(false);
        assert!(!detectors.0.update(&image).unwrap().drift_detected());
        assert!(!detectors.1.update(&image).unwrap().drift_detected());
    }
    let (mut mmd, mut mean) = (0, 0);
    for i in 1..=1_000 {
        let image = image(true);
        if detectors.0.update(&image).unwrap().drift_detected() && mmd == 0 {
            mmd = i;
        }
        if detectors.1.update(&image).unwrap().drift_detected() && mean == 0 {
            mean = i;
        }
    }
    println!("digits moved by a pixel, seed 6: online-mmd after {mmd}, centroid after {mean}");
    assert!((1..=200).contains(&mmd) && (1..=100).contains(&mean), "{mmd} {mean}");
}

#[test]
fn a_moved_run_length_is_as_one_built_so_and_a_part_of_the_state() {
    for arl in [2_000.0, 1e6, 1e9] {
        let mut built = (mmd(4, arl, MmdBound::Estimated), centroid(4, CentroidMetric::Euclidean, arl));
        let mut moved = (mmd(4, 1e4, MmdBound::Estimated), centroid(4, CentroidMetric::Euclidean, 1e4));
        let mut random = Random(7);
        for i in 0..1_500 {
            // While it learns, while it watches, and not at all by what is no number.
            if i == 30 {
                moved.0.set_arl(arl);
            }
            if i == 700 {
                moved.1.set_arl(arl);
                moved.0.set_arl(f64::NAN);
            }
            let vector = random.vector(4, if i < 1_000 { 0.0 } else { 1.5 }, 1.0, 0.3);
            let signals = (built.0.update(&vector).unwrap(), built.1.update(&vector).unwrap());
            let others = (moved.0.update(&vector).unwrap(), moved.1.update(&vector).unwrap());
            if i >= 750 {
                assert_eq!(signals, others, "{arl} at {i}");
            }
        }
        assert_eq!((moved.0.arl(), moved.1.arl()), (arl, arl));
        let (mut a, mut b) = (Vec::new(), Vec::new());
        moved.0.write_state(&mut a);
        moved.1.write_state(&mut b);
        let mut read = (mmd(4, 1e4, MmdBound::Estimated), centroid(4, CentroidMetric::Euclidean, 1e4));
        read.0.read_state(&mut Reader::new(&a)).unwrap();
        read.1.read_state(&mut Reader::new(&b)).unwrap();
        assert_eq!((read.0.arl(), read.1.arl()), (arl, arl));
        for _ in 0..1_000 {
            let vector = random.vector(4, 0.0, 1.0, 0.3);
            assert_eq!(read.0.update(&vector), moved.0.update(&vector));
            assert_eq!(read.1.update(&vector), moved.1.update(&vector));
        }
    }
    let mut clamped = (mmd(2, 1e4, MmdBound::Proven), centroid(2, CentroidMetric::Cosine, 1e4));
    clamped.0.set_arl(1.0);
    clamped.1.set_arl(1.0);
    assert_eq!((clamped.0.arl(), clamped.1.arl()), (100.0, 100.0));
}

#[test]
fn equal_vectors_are_no_change_and_a_change_from_them_is_seen() {
    let (same, other) = ([0.5, 1.0, -2.0, 3.0], [0.9, -1.0, -2.0, 3.0]);
    let mut mmd = OnlineMmd::new(OnlineMmdParams { dimension: 4, ..Default::default() }).unwrap();
    assert!((0..5_000).all(|_| !mmd.update(&same).unwrap().drift_detected()));
    assert!((0..500).any(|_| mmd.update(&other).unwrap().drift_detected()));
    for metric in [CentroidMetric::Euclidean, CentroidMetric::Cosine] {
        let params = CentroidShiftParams { dimension: 4, metric, ..Default::default() };
        let mut centroid = CentroidShift::new(params).unwrap();
        assert!((0..5_000).all(|_| !centroid.update(&same).unwrap().drift_detected()));
        assert!((0..200).any(|_| centroid.update(&other).unwrap().drift_detected()), "{metric:?}");
    }
}
