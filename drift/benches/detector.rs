//! Median nanoseconds per value of each detector, and the ratio to a loop of dependent multiply-adds.
//!
//! Run with `cargo bench -p visu-tility-drift`. Compare ratios between machines, not nanoseconds.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use visu_tility_drift::combination::{
    EvidenceMerge, EvidenceMergeParams, Gate, GateParams, Vote, VoteParams,
};
use visu_tility_drift::{
    Adwin, AdwinParams, AnyDetector, AnyParams, BatcherParams, Bocpd, BocpdFamily, BocpdParams,
    CalendarNovelty, ConfidenceSequence, ConfidenceSequenceParams, ConformalSr, ConformalSrParams, Cusum,
    CusumFamily, CusumMoa, CusumMoaParams, CusumParams, Detector, Ewma, Exceedance, ExceedanceBitsParams,
    ExceedanceParams, Family, Focus, FocusFamily, FocusParams, GapParams, Kswin, KswinParams, KswinSample,
    MedianShift, MedianShiftParams, Mixture, MixtureESr, MixtureParams, Mode, Novelty, NoveltyParams,
    PageHinkley, PageHinkleyParams, ParamError, Preparation, PreparationParams, QuantileSketch,
    RangeGuardParams, SeasonalParams, Setting, Standardizer, StandardizerParams,
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

/// The count of Poisson values of this rate below which a share `u` of them lies.
fn poisson(rate: f64, u: f64) -> f64 {
    let (mut count, mut mass) = (0.0, (-rate).exp());
    let mut below = mass;
    while u > below && count < 100.0 {
        count += 1.0;
        mass *= rate / count;
        below += mass;
    }
    count
}

fn report_focus(uniform: &[f64], bits: &[f64], report: impl Fn(&str, f64)) -> Result<(), ParamError> {
    // Sums of twelve uniform numbers less 6 are all but normal.
    let normal: Vec<f64> =
        (0..uniform.len()).map(|i| uniform.iter().cycle().skip(i * 7).take(12).sum::<f64>() - 6.0).collect();
    let counts: Vec<f64> = uniform.iter().map(|&u| poisson(2.5, u)).collect();
    let families = [
        (FocusFamily::Gaussian, "gaussian", &normal[..], 0.0),
        (FocusFamily::Bernoulli, "bernoulli", bits, 0.1),
        (FocusFamily::Poisson, "poisson", &counts[..], 2.5),
    ];
    for (family, word, stream, baseline) in families {
        for (mode, side) in [(Mode::Up, "up"), (Mode::Both, "both")] {
            for known in [true, false] {
                let params = FocusParams { family, mode, known, baseline, ..FocusParams::default() };
                let name = format!("focus, {word} {side}, {}", if known { "known" } else { "unknown" });
                report(&name, detector(stream, Focus::new(params)?));
            }
        }
    }
    Ok(())
}

fn report_cusum(uniform: &[f64], bits: &[f64], report: impl Fn(&str, f64)) -> Result<(), ParamError> {
    report("cusum, bits up", detector(bits, Cusum::new(CusumParams::default())?));
    let both = CusumParams { mode: Mode::Both, ..CusumParams::default() };
    report("cusum, bits both", detector(bits, Cusum::new(both)?));
    let family = CusumFamily::Gaussian;
    let values = CusumParams { family, baseline: 0.5, target: 1.0, sigma: 0.3, mode: Mode::Both, ..both };
    report("cusum, gaussian both", detector(uniform, Cusum::new(values)?));
    report("cusum_moa", detector(bits, CusumMoa::new(CusumMoaParams::default())?));
    Ok(())
}

#[expect(clippy::too_many_lines, reason = "a list")]
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
    report_focus(&uniform, &bits, report)?;
    report_cusum(&uniform, &bits, report)?;
    let normal = MixtureParams { family: Family::Normal, m_pre: 0.5, ..MixtureParams::default() };
    report("mixture_e_sr, normal", detector(&uniform, MixtureESr::new(normal)?));
    report("exceedance, learnt limit", detector(&latency, Exceedance::new(ExceedanceParams::default())?));
    let sequence = || ConfidenceSequence::new(ConfidenceSequenceParams::default());
    report("confidence_sequence, bits", detector(&bits, sequence()?));
    report("confidence_sequence, uniform", detector(&uniform, sequence()?));
    for (mode, name) in [(Mode::Up, "conformal_sr, up"), (Mode::Both, "conformal_sr, both")] {
        let params = ConformalSrParams { mode, ..ConformalSrParams::default() };
        report(name, detector(&latency, ConformalSr::new(params)?));
    }
    let median = MedianShift::new(MedianShiftParams::default())?;
    report("median_shift", detector(&latency, median));
    let novelty = || Novelty::new(NoveltyParams::default());
    report("novelty, bits", detector(&bits, novelty()?));
    report("novelty, latency", detector(&latency, novelty()?));
    let (mut calendar, mut seconds) = (CalendarNovelty::new(NoveltyParams::default())?, 0);
    let step = |value| {
        seconds += 300;
        black_box(calendar.update(value, seconds));
    };
    report("calendar_novelty, latency", measure(&latency, step));
    for sample in [KswinSample::Whole, KswinSample::Random] {
        // Without drifts, which would leave the window short.
        let params = KswinParams { sample, alpha: 1e-9, ..KswinParams::default() };
        report(&format!("kswin, {sample:?}"), detector(&uniform, Kswin::new(params)?));
    }
    let normal: Vec<f64> = uniform
        .chunks(12)
        .flat_map(|part| {
            let sum: f64 = part.iter().sum();
            part.iter().map(move |u| sum - 6.0 + u)
        })
        .collect();
    let counts: Vec<f64> = uniform.iter().map(|u| (u * 9.0).floor()).collect();
    let streams = [&normal, &bits, &counts];
    let families = [BocpdFamily::Gaussian, BocpdFamily::Bernoulli, BocpdFamily::Poisson];
    for (family, stream) in families.into_iter().zip(streams) {
        let params = BocpdParams { family, ..BocpdParams::default() };
        report(&format!("bocpd, 48 runs, {family:?}"), detector(stream, Bocpd::new(params)?));
    }
    for name in ["ddm", "eddm", "rddm", "hddm-a", "hddm-w", "fhddm", "stepd", "ecdd", "gma", "seed"] {
        if let Some(params) = AnyParams::by_name(name) {
            report(name, detector(&bits, params.build()?));
        }
    }
    for name in ["hddm-a", "hddm-w"] {
        let params = AnyParams::by_name(name)
            .map(|mut params| params.set("two_sided_test", Setting::Flag(true)).map(|()| params));
        if let Some(Ok(params)) = params {
            report(&format!("{name}, two-sided"), detector(&bits, params.build()?));
        }
    }
    let mut sketch = QuantileSketch::default();
    report("quantile_sketch", measure(&latency, |value| sketch.insert(value)));
    black_box(sketch.quantile(0.99));
    preparation(&uniform, &report)?;
    combination(&bits, &report)
}

/// Each stage alone, all together, and none.
fn preparation(stream: &[f64], report: &impl Fn(&str, f64)) -> Result<(), ParamError> {
    let off = PreparationParams::default();
    let range = Some(RangeGuardParams { low: 0.0, high: 1.0, ..RangeGuardParams::default() });
    let gap = Some(GapParams { longest_seconds: 3_600, latest_seconds: 60 });
    let seasonal = Some(SeasonalParams::default());
    let exceedance = Some(ExceedanceBitsParams::default());
    let batch = Some(BatcherParams::default());
    let standardize = Some(StandardizerParams::default());
    for (name, params) in [
        ("preparation, none", off),
        ("preparation, range", PreparationParams { range, ..off }),
        ("preparation, gap", PreparationParams { gap, ..off }),
        ("preparation, seasonal", PreparationParams { seasonal, ..off }),
        ("preparation, exceedance", PreparationParams { exceedance, ..off }),
        ("preparation, batch", PreparationParams { batch, ..off }),
        ("preparation, standardize", PreparationParams { standardize, ..off }),
        ("preparation, all", PreparationParams { gap, range, seasonal, exceedance, batch, standardize }),
    ] {
        let mut stages = Preparation::new(params)?;
        let mut seconds = 0;
        let step = |value| {
            seconds += 600;
            black_box(stages.update(value, seconds));
        };
        report(name, measure(stream, step));
    }
    Ok(())
}

fn combination(stream: &[f64], report: &impl Fn(&str, f64)) -> Result<(), ParamError> {
    let page = || PageHinkley::new(PageHinkleyParams::default()).map(AnyDetector::from);
    let vote = Vote::new(VoteParams::default(), vec![page()?, page()?, page()?])?;
    report("vote of 3 page_hinkley", detector(stream, vote));
    report("gate on page_hinkley", detector(stream, Gate::new(GateParams::default(), page()?)?));
    let bets = || MixtureESr::new(MixtureParams { m_pre: 0.12, ..MixtureParams::default() });
    let members = vec![bets()?.into(), bets()?.into()];
    let merge = EvidenceMerge::new(EvidenceMergeParams::default(), members, &[1.0, 1.0])?;
    report("merge of 2 mixture_e_sr", detector(stream, merge));
    Ok(())
}
