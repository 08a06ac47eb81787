//! The threshold that an average run length asks for.

use super::FocusParams;
use super::table::{KNOTS, thresholds};
use crate::Mode;
use crate::math::ln;

/// The run lengths of the first and the last of the simulated thresholds.
const FIRST: f64 = 100.0;
const LAST: f64 = 31_622.776_601_683_79;
/// How the threshold grows with the logarithm of the run length above the last: the run length of a maximum
/// over all windows goes as `exp(h) / sqrt(h)`, so it is `1 / (1 - 1 / (2 h))`, at most 1.05 there.
const GROWTH: f64 = 1.06;

/// Returns the threshold of a detector.
pub(super) fn threshold(params: &FocusParams) -> f64 {
    if params.threshold > 0.0 {
        return params.threshold;
    }
    let table = thresholds(params.family, params.known, params.mode == Mode::Both);
    let place = ln(params.arl / FIRST) / ln(LAST / FIRST) * (KNOTS - 1) as f64;
    let over = GROWTH * ln(params.arl / LAST).max(0.0);
    let knot = place.max(0.0) as usize;
    match (table.get(knot), table.get(knot + 1)) {
        (Some(low), Some(high)) => low + (high - low) * (place - knot as f64),
        _ => table.last().copied().unwrap_or(0.0) + over,
    }
}
