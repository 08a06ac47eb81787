//! Median nanoseconds per value of each detector, and the ratio to a loop of dependent multiply-adds.
//!
//! Run with `cargo bench -p visu-tility-drift`. Compare ratios between machines, not nanoseconds.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use visu_tility_drift::distance::{BinnedDistance, NullLaw, Permutation, wasserstein_1};
use visu_tility_drift::{
    Adwin, AdwinParams, AnyDetector, CentroidShift, CentroidShiftParams, Detector, DistributionShift,
    DistributionShiftParams, Ewma, MedianShift, MedianShiftParams, Mixture, MixtureESr, MixtureParams,
    OnlineMmd, OnlineMmdParams, PageHinkley, PageHinkleyParams, ParamError, QuantileSketch, Reservoir,
    Standardizer, StandardizerParams,
};

const VALUES: usize = 200_000;
const ROUNDS: usize = 15;

/// A fixed stream of uniform numbers in [0, 1) (splitmix64).
fn uniform() -> Vec<f64> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..VALUES).map(|_| next()).collect()
}

/// Returns the median over the rounds of the nanoseconds per value.
fn measure(stream: &[f64], mut step: impl FnMut(f64)) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for &value in stream {
                step(black_box(value));
            }
            start.elapsed().as_nanos() as f64 / stream.len() as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied().unwrap_or(0.0)
}

fn detector(stream: &[f64], mut detector: impl Detector) -> f64 {
    measure(stream, |value| {
        black_box(detector.update(value));
    })
}

fn main() -> Result<(), ParamError> {
    let uniform = uniform();
    let bits: Vec<f64> = uniform.iter().map(|&u| f64::from(u < 0.1)).collect();
    let latency: Vec<f64> = uniform.iter().map(|&u| 20.0 * (1.0 + u) / (1.001 - u)).collect();

    let mut sum = 1.0_f64;
    let unit = measure(&uniform, |value| sum = black_box(sum * 0.999_999 + value));
    black_box(sum);

    let report = |name: &str, ns: f64| println!("{name:28} {ns:8.1} ns  {:6.2} x", ns / unit);
    report("dependent multiply-add", unit);
    let mut mean = Ewma::default();
    report("ewma", measure(&uniform, |value| _ = black_box(mean.update(value))));
    let mut scores = Standardizer::new(StandardizerParams::default())?;
    report("standardizer", measure(&uniform, |value| _ = black_box(scores.update(value))));
    let page = || PageHinkley::new(PageHinkleyParams::default());
    report("page_hinkley", detector(&bits, page()?));
    let clock = |clock| Adwin::new(AdwinParams { clock, ..AdwinParams::default() });
    report("adwin, clock 32, bits", detector(&bits, clock(32)?));
    report("adwin, clock 32, uniform", detector(&uniform, clock(32)?));
    report("adwin, clock 1, bits", detector(&bits, clock(1)?));
    report("adwin in AnyDetector", detector(&bits, AnyDetector::from(clock(32)?)));
    for max_components in [16, 64] {
        let params = MixtureParams { m_pre: 0.12, max_components, ..MixtureParams::default() };
        let mixture = Arc::new(Mixture::new(params)?);
        let name = format!("mixture_e_sr, {} bets", mixture.lambdas().len());
        report(&name, detector(&bits, MixtureESr::with_mixture(mixture)));
    }
    let median = MedianShift::new(MedianShiftParams::default())?;
    report("median_shift", detector(&latency, median));
    let mut sketch = QuantileSketch::default();
    report("quantile_sketch", measure(&latency, |value| sketch.insert(value)));
    black_box(sketch.quantile(0.99));
    report(
        "distribution, 10 bins",
        detector(&latency, DistributionShift::new(DistributionShiftParams::default())?),
    );
    if let Ok(mut sample) = Reservoir::new(500, 1) {
        report("reservoir", measure(&latency, |value| sample.insert(value)));
    }
    vectors(&uniform, unit)?;
    comparisons(&uniform);
    Ok(())
}

/// Detectors of vectors of 64 components, per vector.
fn vectors(uniform: &[f64], unit: f64) -> Result<(), ParamError> {
    let all: Vec<f32> = uniform.iter().map(|&u| u as f32).collect();
    let starts: Vec<f64> = (0..4_000).map(f64::from).collect();
    let at = |start: f64| all.get(start as usize * 7..start as usize * 7 + 64).unwrap_or_default();
    let mut mmd = OnlineMmd::new(OnlineMmdParams::default())?;
    let ns = measure(&starts, |start| _ = black_box(mmd.update(at(start))));
    println!("{:28} {ns:8.1} ns  {:6.2} x", "online_mmd, 64 x 64", ns / unit);
    let mut centroid = CentroidShift::new(CentroidShiftParams::default())?;
    let ns = measure(&starts, |start| _ = black_box(centroid.update(at(start))));
    println!("{:28} {ns:8.1} ns  {:6.2} x", "centroid, 64", ns / unit);
    Ok(())
}

/// Whole comparisons, in microseconds.
fn comparisons(uniform: &[f64]) {
    let (x, y) = uniform.split_at(1_000);
    let y = y.get(..1_000).unwrap_or_default();
    let report = |name: &str, step: &mut dyn FnMut()| {
        let ns = measure(&[0.0; 4], |_| step());
        println!("{name:28} {:8.1} us", ns / 1_000.0);
    };
    report("law of psi, 10 even bins", &mut || {
        _ = black_box(NullLaw::uniform(BinnedDistance::Psi, 1_000, 200, 10));
    });
    let uneven: Vec<u64> = (10..20).collect();
    report("law of psi, 10 uneven bins", &mut || {
        _ = black_box(NullLaw::of(BinnedDistance::Psi, &uneven, 1_000, 200));
    });
    report("wasserstein, 1000 + 1000", &mut || _ = black_box(wasserstein_1(x, y)));
    let test = Permutation::default();
    report("permutations of it, 999", &mut || _ = black_box(test.wasserstein_1(x, y, 0.01)));
}
