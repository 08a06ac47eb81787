//! How likely the sums of bins are: what ties their counts together.

use alloc::vec;
use alloc::vec::Vec;

use super::Bin;
use crate::math::sqrt;

/// How likely each sum is, from `low` on.
pub(super) struct Row {
    low: i64,
    chances: Vec<f64>,
}

impl Row {
    pub(super) fn at(&self, sum: i64) -> f64 {
        let at = usize::try_from(sum - self.low).ok();
        at.and_then(|at| self.chances.get(at)).copied().unwrap_or(0.0)
    }

    /// Pairs the chances of a bin with those of the rest, so that the sums are `sum` steps above the bin's lowest
    /// count; where both are possible, the place in the bin and the product.
    pub(super) fn under<'a>(
        &'a self,
        chances: &'a [f64],
        sum: i64,
    ) -> impl Iterator<Item = (usize, f64)> + 'a {
        // The bin's place 0 goes with this place of the row, each next with the one before.
        let first = sum - self.low;
        let skipped = usize::try_from(first + 1 - self.chances.len() as i64).unwrap_or(0);
        let length = usize::try_from(first + 1 - skipped as i64).unwrap_or(0);
        let rest = self.chances.get(..length).unwrap_or_default();
        let own = chances.get(skipped..).unwrap_or_default();
        own.iter().zip(rest.iter().rev()).enumerate().map(move |(at, (own, rest))| (at + skipped, own * rest))
    }
}

/// Returns for each bin how likely the sums of it and all after it are, and at last that of none. Of the first only
/// `sum` is wanted; of the others what can matter to it.
pub(super) fn rows(bins: &[Bin], chances: &[Vec<f64>], sum: i64, reach: f64) -> Vec<Row> {
    let whole: f64 = bins.iter().map(|bin| bin.deviation * bin.deviation).sum();
    let longest = bins.iter().map(|bin| bin.chances.len()).max().unwrap_or(0) as i64;
    let mut out = vec![Row { low: 0, chances: vec![1.0] }];
    let (mut off, mut variance, mut low, mut high) = (0.0, 0.0, 0, 0);
    let mut left = bins.len();
    for (bin, chances) in bins.iter().zip(chances).rev() {
        left -= 1;
        off += bin.off;
        variance += bin.deviation * bin.deviation;
        low += bin.low;
        high += bin.low + bin.chances.len() as i64 - 1;
        // The deviation of the sum, given that of all.
        let bridge = sqrt((variance * (whole - variance) / whole.max(f64::MIN_POSITIVE)).max(0.0));
        let (middle, width) = (off as i64, (reach * bridge) as i64 + longest + 1);
        let (from, to) =
            if left == 0 { (sum, sum) } else { (low.max(middle - width), high.min(middle + width)) };
        let next = out
            .last()
            .map_or(Row { low: 0, chances: Vec::new() }, |row| convolved(row, bin.low, chances, from, to));
        out.push(next);
    }
    out.reverse();
    out
}

fn convolved(rest: &Row, own: i64, chances: &[f64], from: i64, to: i64) -> Row {
    let length = usize::try_from(to - from + 1).unwrap_or(0);
    let mut out = vec![0.0; length];
    for (count, &chance) in (own..).zip(chances) {
        // Where the rest's row begins in this one.
        let begin = rest.low + count - from;
        let skip = usize::try_from(-begin).unwrap_or(0);
        let at = usize::try_from(begin).unwrap_or(0);
        let to = out.get_mut(at..).unwrap_or_default();
        let of = rest.chances.get(skip..).unwrap_or_default();
        for (sum, rest) in to.iter_mut().zip(of) {
            *sum += chance * rest;
        }
    }
    Row { low: from, chances: out }
}
