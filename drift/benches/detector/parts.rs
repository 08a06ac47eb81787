//! What stands in front of detectors and around them: estimators, preparation, combination.

use std::hint::black_box;

use visu_tility_drift::combination::{
    EvidenceMerge, EvidenceMergeParams, Gate, GateParams, Vote, VoteParams,
};
use visu_tility_drift::{
    AnyDetector, BatcherParams, CalendarNovelty, Ewma, ExceedanceBitsParams, GapParams, MixtureESr,
    MixtureParams, NoveltyParams, PageHinkley, PageHinkleyParams, ParamError, Preparation, PreparationParams,
    QuantileSketch, RangeGuardParams, SeasonalParams, Standardizer, StandardizerParams,
};

use crate::stream::Stream::{Bits, Latency, Uniform};
use crate::{Bench, InMemory};

pub fn estimators(bench: &mut Bench) -> Result<(), ParamError> {
    let mut mean = Ewma::default();
    bench.step("ewma", Uniform, |value| _ = black_box(mean.update(value)));
    let mut sketch = QuantileSketch::default();
    bench.step("quantile sketch", Latency, |value| sketch.insert(value));
    black_box(sketch.quantile(0.99));
    let (mut calendar, mut seconds) = (CalendarNovelty::new(NoveltyParams::default())?, 0);
    bench.step("calendar novelty", Latency, |value| {
        seconds += 300;
        black_box(calendar.update(value, seconds));
    });
    Ok(())
}

/// Each stage alone, all together, and none.
pub fn preparation(bench: &mut Bench) -> Result<(), ParamError> {
    let mut scores = Standardizer::new(StandardizerParams::default())?;
    bench.step("standardizer", Uniform, |value| _ = black_box(scores.update(value)));
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
        bench.step(name, Uniform, |value| {
            seconds += 600;
            black_box(stages.update(value, seconds));
        });
    }
    Ok(())
}

impl InMemory for Vote {}
impl InMemory for Gate {}
impl InMemory for EvidenceMerge {}

pub fn combination(bench: &mut Bench) -> Result<(), ParamError> {
    let page = || PageHinkley::new(PageHinkleyParams::default()).map(AnyDetector::from);
    let name = "vote of 3 page-hinkley";
    if bench.asks_for(name) {
        bench.detector(name, Bits, None, Vote::new(VoteParams::default(), vec![page()?, page()?, page()?])?);
    }
    let name = "gate on page-hinkley";
    if bench.asks_for(name) {
        bench.detector(name, Bits, None, Gate::new(GateParams::default(), page()?)?);
    }
    let name = "merge of 2 e-sr";
    if bench.asks_for(name) {
        let bets = || MixtureESr::new(MixtureParams { m_pre: 0.12, ..MixtureParams::default() });
        let members = vec![bets()?.into(), bets()?.into()];
        let merge = EvidenceMerge::new(EvidenceMergeParams::default(), members, &[1.0, 1.0])?;
        bench.detector(name, Bits, None, merge);
    }
    Ok(())
}
