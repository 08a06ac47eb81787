//! Gaps and clocks, and what parameters of the stages may not be.

use visu_tility_drift::codec::Reader;
use visu_tility_drift::{
    Arrival, BatcherParams, ExceedanceBitsParams, Gap, GapParams, Outside, PreparationParams,
    RangeGuardParams, SeasonalParams, StandardizerParams,
};

#[test]
fn parameters_out_of_range_are_refused_by_name() {
    let off = PreparationParams::default();
    let refused = |params: PreparationParams| params.validate().unwrap_err().param;
    let range = RangeGuardParams { low: 1.0, high: 1.0, outside: Outside::Refuse };
    assert_eq!(refused(PreparationParams { range: Some(range), ..off }), "high");
    let seasonal = SeasonalParams { learn: 0, ..SeasonalParams::default() };
    assert_eq!(refused(PreparationParams { seasonal: Some(seasonal), ..off }), "learn");
    let exceedance = ExceedanceBitsParams { learn: 100_000, ..ExceedanceBitsParams::default() };
    assert_eq!(refused(PreparationParams { exceedance: Some(exceedance), ..off }), "learn");
    let batch = BatcherParams { times: f64::NAN, ..BatcherParams::default() };
    assert_eq!(refused(PreparationParams { batch: Some(batch), ..off }), "times");
    let standardize = StandardizerParams { learn: 1, clip: 1.0 };
    assert_eq!(refused(PreparationParams { standardize: Some(standardize), ..off }), "learn");
    assert_eq!(off.validate(), Ok(()));
}

#[test]
fn a_clock_that_was_set_back_silences_a_stream_for_seven_values_and_not_for_ever() {
    let came = |longest_seconds| {
        let mut gap = Gap::new(GapParams { longest_seconds, latest_seconds: 60 }).unwrap();
        (0..100).for_each(|second| _ = gap.update(1_000_000 + second));
        // Stragglers that are out of order among themselves say nothing of the clock.
        assert!((0..100).all(|second| gap.update(10_000 - second) == Arrival::TooLate));
        let back: Vec<Arrival> = (0..9)
            .map(|second| {
                let mut bytes = Vec::new();
                gap.write_state(&mut bytes);
                gap.read_state(&mut Reader::new(&bytes)).unwrap();
                gap.update(500_000 + second)
            })
            .collect();
        assert!(back[..6].iter().all(|arrival| *arrival == Arrival::TooLate), "{back:?}");
        (back[6], back[7], back[8])
    };
    // The last straggler begins the row.
    assert_eq!(came(3_600), (Arrival::AfterGap, Arrival::InTurn, Arrival::InTurn));
    assert_eq!(came(0), (Arrival::Late, Arrival::InTurn, Arrival::InTurn));
}
