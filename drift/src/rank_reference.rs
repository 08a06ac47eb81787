//! Ranks in a bounded space: values counted in cells between the first of them.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u32};
use crate::state::{bounded, ensure};

/// Counts of values in cells. The first values become the cuts: a cell is a cut itself or what lies between
/// two.
#[derive(Clone, Debug, Default)]
pub(crate) struct RankReference {
    /// Sorted and distinct.
    cuts: Vec<f64>,
    /// Values taken for cuts, equal ones included.
    taken: u32,
    /// One more than twice the cuts once these are complete, else none.
    counts: Vec<u32>,
    total: u32,
}

impl RankReference {
    /// Is true when the cuts are complete.
    pub(crate) fn is_complete(&self) -> bool {
        !self.counts.is_empty()
    }

    /// Takes a value as a cut; the last of `most` completes them.
    pub(crate) fn cut(&mut self, value: f64, most: u32) {
        if self.cuts.capacity() == 0 {
            self.cuts.reserve_exact(most as usize);
        }
        let place = self.cuts.partition_point(|&cut| cut < value);
        if self.cuts.get(place) != Some(&value) {
            self.cuts.insert(place, value);
        }
        self.taken += 1;
        if self.taken == most {
            self.counts = alloc::vec![0; 2 * self.cuts.len() + 1];
        }
    }

    /// Counts a value. Returns how many counted values have a larger cell, how many the same, and how many
    /// there are, the value itself included in both.
    ///
    /// From 2^32 - 1 values on the counts stay as they are.
    #[inline]
    pub(crate) fn rank(&mut self, value: f64) -> (u32, u32, u32) {
        let place = self.cuts.partition_point(|&cut| cut < value);
        let cell = 2 * place + usize::from(self.cuts.get(place) == Some(&value));
        let Some((lower, [equal, ..])) = self.counts.split_at_mut_checked(cell) else { return (0, 1, 1) };
        let below: u32 = lower.iter().sum();
        let above = self.total - below - *equal;
        if self.total < u32::MAX {
            *equal += 1;
            self.total += 1;
        }
        (above, (*equal).max(1), self.total)
    }

    /// Counts the bytes on the heap.
    pub(crate) fn heap(&self) -> usize {
        self.cuts.capacity() * size_of::<f64>() + self.counts.capacity() * size_of::<u32>()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_u32(out, self.taken);
        put_u32(out, self.cuts.len() as u32);
        self.cuts.iter().for_each(|&cut| put_f64(out, cut));
        self.counts.iter().for_each(|&count| put_u32(out, count));
    }

    /// Reads what `write` wrote after `seen` values, of which the first `most` are cuts.
    pub(crate) fn read(bytes: &mut Reader<'_>, most: u32, seen: u64) -> Result<Self, DecodeError> {
        let (taken, n) = (bytes.u32()?, bytes.u32()?);
        let ok = u64::from(taken) == seen.min(u64::from(most)) && n <= taken && (n == 0) == (taken == 0);
        ensure(ok, "cuts")?;
        let mut next = Self { taken, ..Self::default() };
        if n > 0 {
            next.cuts.reserve_exact(most as usize);
        }
        for _ in 0..n {
            let cut = bounded(bytes, "cut", 1.0)?;
            ensure(next.cuts.last().is_none_or(|&last| last < cut), "cut")?;
            next.cuts.push(cut);
        }
        if taken == most {
            let mut total = 0_u64;
            for _ in 0..=2 * n {
                next.counts.push(bytes.u32()?);
                total += next.counts.last().copied().map_or(0, u64::from);
            }
            ensure(total == (seen - u64::from(most)).min(u64::from(u32::MAX)), "counts")?;
            next.total = total as u32;
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::RankReference;

    #[test]
    fn ranks_are_those_among_all_values_in_cells() {
        let values: Vec<f64> = (0..800_u32).map(|i| f64::from(i * 7_919 % 101 / 3)).collect();
        let mut reference = RankReference::default();
        values[..10].iter().for_each(|&value| reference.cut(value, 10));
        let cuts = reference.cuts.clone();
        let cell = |x: f64| cuts.iter().map(|&c| u32::from(c < x) + u32::from(c <= x)).sum::<u32>();
        for (i, &value) in values.iter().enumerate().skip(10) {
            let all = values[10..=i].iter().map(|&x| cell(x));
            let above = all.clone().filter(|&c| c > cell(value)).count() as u32;
            let equal = all.clone().filter(|&c| c == cell(value)).count() as u32;
            assert_eq!(reference.rank(value), (above, equal, all.count() as u32));
        }
    }
}
