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
    /// One for each cut while these are gathered, one more than twice the cuts once they are complete.
    counts: Vec<u32>,
    total: u32,
}

impl RankReference {
    /// Counts a value, which is a cut if it is among the first `most`. Returns how many counted values are larger, how
    /// many the same, and how many there are, the value itself included in both. Once the cuts are complete, values
    /// between the same two are the same.
    ///
    /// From 2^32 - 1 values on the counts stay as they are.
    #[inline]
    pub(crate) fn rank(&mut self, value: f64, most: u32) -> (u32, u32, u32) {
        let place = self.cuts.partition_point(|&cut| cut < value);
        let is_cut = self.cuts.get(place) == Some(&value);
        let mut cell = place;
        if self.total >= most {
            cell = 2 * place + usize::from(is_cut);
        } else if !is_cut {
            self.insert(place, value, most);
        }
        let Some((lower, [equal, ..])) = self.counts.split_at_mut_checked(cell) else { return (0, 1, 1) };
        let below: u32 = lower.iter().sum();
        let above = self.total - below - *equal;
        if self.total < u32::MAX {
            *equal += 1;
            self.total += 1;
        }
        let ranks = (above, (*equal).max(1), self.total);
        if self.total == most && self.counts.len() == self.cuts.len() {
            self.complete();
        }
        ranks
    }

    /// Adds a cut, with no count yet.
    fn insert(&mut self, place: usize, value: f64, most: u32) {
        if self.cuts.capacity() == 0 {
            self.cuts.reserve_exact(most as usize);
            self.counts.reserve_exact(most as usize);
        }
        self.cuts.insert(place, value);
        self.counts.insert(place, 0);
    }

    /// Makes room for what lies between the cuts.
    fn complete(&mut self) {
        let mut cells = alloc::vec![0; 2 * self.cuts.len() + 1];
        cells.iter_mut().skip(1).step_by(2).zip(&self.counts).for_each(|(cell, &count)| *cell = count);
        self.counts = cells;
    }

    /// Counts the bytes on the heap.
    pub(crate) fn heap(&self) -> usize {
        self.cuts.capacity() * size_of::<f64>() + self.counts.capacity() * size_of::<u32>()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_u32(out, self.cuts.len() as u32);
        self.cuts.iter().for_each(|&cut| put_f64(out, cut));
        self.counts.iter().for_each(|&count| put_u32(out, count));
    }

    /// Reads what `write` wrote after `seen` values, of which the first `most` are cuts.
    pub(crate) fn read(bytes: &mut Reader<'_>, most: u32, seen: u64) -> Result<Self, DecodeError> {
        let n = bytes.u32()?;
        ensure(u64::from(n) <= seen.min(u64::from(most)) && (n == 0) == (seen == 0), "cuts")?;
        let mut next = Self { total: seen.min(u64::from(u32::MAX)) as u32, ..Self::default() };
        if n > 0 {
            next.cuts.reserve_exact(most as usize);
        }
        for _ in 0..n {
            let cut = bounded(bytes, "cut", 1.0)?;
            ensure(next.cuts.last().is_none_or(|&last| last < cut), "cut")?;
            next.cuts.push(cut);
        }
        let complete = seen >= u64::from(most);
        let cells = if complete { 2 * n + 1 } else { n };
        next.counts.reserve_exact(if complete { cells } else { most } as usize);
        let (mut total, mut taken) = (0_u64, 0_u64);
        for cell in 0..cells {
            let count = bytes.u32()?;
            let cut = !complete || cell % 2 == 1;
            ensure(count > 0 || !cut, "counts")?;
            total += u64::from(count);
            taken += if cut { u64::from(count) } else { 0 };
            next.counts.push(count);
        }
        let ok = total == u64::from(next.total) && taken >= seen.min(u64::from(most));
        ensure(ok, "counts")?;
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::RankReference;
    use crate::splitmix::SplitMix64;

    /// Whatever the law, each p-value is uniform and says nothing of the next: also of values that tie, at the last cut
    /// and behind it.
    #[test]
    fn p_values_are_uniform_and_independent_from_the_first_value_on() {
        const RUNS: usize = 40_000;
        let laws: [fn(f64) -> f64; 4] =
            [|u| u, |u| f64::from(u < 0.1), |u| f64::from((3.0 * u * u) as u8), |_| 7.0];
        for (name, law) in laws.into_iter().enumerate() {
            let mut random = SplitMix64::new(3);
            // Of each value but the first: how many p-values fall in each fifth, and in each fifth after each.
            let mut pairs = [[[0_u32; 5]; 5]; 16];
            for _ in 0..RUNS {
                let (mut reference, mut last) = (RankReference::default(), None);
                for step in 0..17 {
                    let (above, equal, total) = reference.rank(law(random.uniform()), 10);
                    let p = (f64::from(above) + random.uniform() * f64::from(equal)) / f64::from(total);
                    let fifth = ((5.0 * p) as usize).min(4);
                    if let Some(before) = last.replace(fifth) {
                        pairs[step - 1][before][fifth] += 1;
                    }
                }
            }
            let expected = RUNS as f64 / 25.0;
            for (step, pairs) in pairs.iter().enumerate() {
                let cells = pairs.iter().flatten().map(|&n| (f64::from(n) - expected).powi(2) / expected);
                let chi: f64 = cells.sum();
                // 24 degrees of freedom: once in 100,000 times more.
                assert!(chi < 66.0, "law {name}, values {step} and {}: {chi}", step + 1);
            }
        }
    }

    #[test]
    fn ranks_are_those_among_all_values_the_later_ones_in_cells() {
        let values: Vec<f64> = (0..800_u32).map(|i| f64::from(i * 7_919 % 101 / 3)).collect();
        let mut reference = RankReference::default();
        let first = &values[..10];
        let cell = |x: f64| first.iter().map(|&c| u32::from(c < x) + u32::from(c <= x)).sum::<u32>();
        for (i, &value) in values.iter().enumerate() {
            let all = values[..=i].iter();
            // The first ten are themselves; so are they to the later ones, being the cuts.
            let higher = |&&x: &&f64| if i < 10 { x > value } else { cell(x) > cell(value) };
            let same = |&&x: &&f64| if i < 10 { x == value } else { cell(x) == cell(value) };
            let (above, equal) = (all.clone().filter(higher).count(), all.clone().filter(same).count());
            assert_eq!(reference.rank(value, 10), (above as u32, equal as u32, all.count() as u32), "{i}");
        }
    }
}
