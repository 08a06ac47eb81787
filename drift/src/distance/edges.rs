//! Edges of bins, and counting into them.

use alloc::vec;
use alloc::vec::Vec;

use super::DistanceError;
use super::sample::{checked, mean_and_squares};
use crate::math::{ln, sqrt};

/// No histogram has more bins.
pub(crate) const MAX_BINS: usize = 65_536;

/// Returns the inner edges of `bins` bins that hold equal shares of the sample: its quantiles at 1/bins,
/// 2/bins, ..., interpolated linearly (numpy's default), without repetitions.
///
/// Ties make fewer bins. Count with [`count_right_closed`].
///
/// # Examples
///
/// ```
/// use visu_tility_drift::distance::{count_right_closed, quantile_edges};
///
/// let edges = quantile_edges(&[1.0, 2.0, 2.0, 3.0, 4.0], 4)?;
/// assert_eq!(edges, [2.0, 3.0]);
/// assert_eq!(count_right_closed(&[0.5, 2.0, 2.5, 9.0], &edges), [2, 1, 1]);
/// # Ok::<(), visu_tility_drift::distance::DistanceError>(())
/// ```
///
/// # Errors
///
/// Fails when the sample is empty, a value is not finite, or `bins` is not from 1 to 65,536.
pub fn quantile_edges(sample: &[f64], bins: usize) -> Result<Vec<f64>, DistanceError> {
    check_bins(bins)?;
    let mut sorted = checked("reference", sample, 1)?;
    sorted.sort_unstable_by(f64::total_cmp);
    let mut edges: Vec<f64> = (1..bins).filter_map(|i| quantile(&sorted, i as f64 / bins as f64)).collect();
    // Interpolation can be off by a rounding.
    edges.dedup_by(|next, last| *next <= *last);
    Ok(edges)
}

/// The quantile of a sorted sample, interpolated linearly.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let at = q * (sorted.len().checked_sub(1)? as f64);
    let below = at as usize;
    let (a, share) = (*sorted.get(below)?, at - below as f64);
    let b = sorted.get(below + 1).copied().unwrap_or(a);
    // numpy measures from the nearer end.
    Some(if share < 0.5 { a + (b - a) * share } else { b - (b - a) * (1.0 - share) })
}

/// Returns the `bins + 1` edges of equally wide bins from `low` to `high`.
///
/// # Errors
///
/// Fails when `low` is not below `high`, one is beyond ±1e100, or `bins` is not from 1 to 65,536.
pub fn equal_width_edges(low: f64, high: f64, bins: usize) -> Result<Vec<f64>, DistanceError> {
    check_bins(bins)?;
    let limit = crate::state::VALUE_LIMIT;
    DistanceError::check("low", low, low.abs() <= limit, "within ±1e100")?;
    DistanceError::check("high", high, high > low && high <= limit, "above `low` and within ±1e100")?;
    Ok(line(low, high, bins))
}

/// numpy's `linspace`.
fn line(low: f64, high: f64, bins: usize) -> Vec<f64> {
    let step = (high - low) / bins as f64;
    let inner = (0..bins).map(|i| i as f64 * step + low);
    inner.chain([high]).collect()
}

/// Returns the edges of numpy's rule `sturges` for a sample.
///
/// # Errors
///
/// Fails when the sample is empty or a value is not finite.
pub fn sturges_edges(sample: &[f64]) -> Result<Vec<f64>, DistanceError> {
    let values = checked("reference", sample, 1)?;
    let (low, high) = range(&values);
    Ok(by_width(low, high, (high - low) / (log2(values.len()) + 1.0)))
}

/// Returns the edges of numpy's rule `doane` for a sample: Sturges' with more bins for skewed ones.
///
/// # Errors
///
/// Fails when the sample is empty or a value is not finite.
pub fn doane_edges(sample: &[f64]) -> Result<Vec<f64>, DistanceError> {
    let values = checked("reference", sample, 1)?;
    let (low, high) = range(&values);
    let n = values.len() as f64;
    let (mean, squares) = mean_and_squares(&values);
    let deviation = sqrt(squares / n);
    let width = if values.len() > 2 && deviation > 0.0 && high > low {
        let error = sqrt(6.0 * (n - 2.0) / ((n + 1.0) * (n + 3.0)));
        let cube = |x: &f64| {
            let z = (x - mean) / deviation;
            z * z * z
        };
        let skewness = values.iter().map(cube).sum::<f64>() / n;
        let more = ln(1.0 + skewness.abs() / error) / core::f64::consts::LN_2;
        (high - low) / (1.0 + log2(values.len()) + more)
    } else {
        0.0
    };
    Ok(by_width(low, high, width))
}

fn range(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    (low, values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

/// Exact for powers of two, where the number of bins hangs on it.
fn log2(n: usize) -> f64 {
    if n.is_power_of_two() { f64::from(n.trailing_zeros()) } else { ln(n as f64) / core::f64::consts::LN_2 }
}

/// Cuts the range into bins of about `width`; one bin of width 1 around a constant.
fn by_width(low: f64, high: f64, width: f64) -> Vec<f64> {
    if high <= low {
        return vec![low - 0.5, low + 0.5];
    }
    let mut bins = 1;
    if width > 0.0 {
        let ratio = (high - low) / width;
        bins = ratio as usize;
        bins += usize::from((bins as f64) < ratio);
    }
    line(low, high, bins.clamp(1, MAX_BINS))
}

/// Counts a sample between inner edges: bin k holds the values above edge k-1 up to edge k included, the first
/// and the last are open. Values that are not finite are left out.
pub fn count_right_closed(sample: &[f64], edges: &[f64]) -> Vec<u64> {
    let mut counts = vec![0; edges.len() + 1];
    for value in sample.iter().filter(|value| value.is_finite()) {
        let bin = edges.partition_point(|edge| edge < value);
        counts.iter_mut().skip(bin).take(1).for_each(|count| *count += 1);
    }
    counts
}

/// Counts as numpy's `histogram`: bins closed on the left, the last on both sides; what lies outside is left
/// out.
pub(super) fn count_left_closed(sample: &[f64], edges: &[f64]) -> Vec<u64> {
    let bins = edges.len().saturating_sub(1);
    let mut counts = vec![0; bins];
    for &value in sample {
        let after = edges.partition_point(|&edge| edge <= value);
        let bin = if after == edges.len() && edges.last() == Some(&value) { bins } else { after };
        if bin >= 1 {
            counts.iter_mut().skip(bin - 1).take(1).for_each(|count| *count += 1);
        }
    }
    counts
}

fn check_bins(bins: usize) -> Result<(), DistanceError> {
    DistanceError::check("bins", bins as f64, (1..=MAX_BINS).contains(&bins), "from 1 to 65536")
}

/// Returns inner edges as [`quantile_edges`] does, and one more just below each edge that is itself a common value:
/// one that half as many of the sample equal as a bin would hold.
///
/// Bins are closed at their upper edge, so without it such a value shares its bin with all that lie between it and
/// the edge before: on bits of which most are 1, zeros and ones would be in one bin.
pub(crate) fn separated_edges(sample: &[f64], bins: usize) -> Result<Vec<f64>, DistanceError> {
    let quantiles = quantile_edges(sample, bins)?;
    let least = sample.iter().copied().fold(f64::INFINITY, f64::min);
    let mut edges: Vec<f64> = Vec::with_capacity(2 * quantiles.len());
    for edge in quantiles {
        let equal = sample.iter().filter(|&&value| value == edge).count();
        let below = edge.next_down();
        let last = edges.last().copied().unwrap_or(f64::NEG_INFINITY);
        let shared = sample.iter().any(|&value| last < value && value < edge);
        if (shared && 2 * bins * equal >= sample.len()) || edge == least {
            edges.push(below);
        }
        edges.push(edge);
    }
    Ok(edges)
}
