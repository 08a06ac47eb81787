//! The values that have been seen, as a few intervals: what is far from all of them is new.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u32};
use crate::state::{VALUE_LIMIT, bounded, ensure};

/// What one value adds to a weight; a value alone is forgotten at the second halving after it.
const UNIT: u32 = 2;

/// At most `K` disjoint intervals, in order, that hold every value inserted.
///
/// When there is no room for another, the two that are closest become one. So the widest `K - 1` gaps
/// between the values are kept as they are, and only narrow ones are closed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spans<const K: usize> {
    list: [Span; K],
    used: usize,
}

/// The values from `low` to `high`, both included, and [`UNIT`] for each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Span {
    low: f64,
    high: f64,
    weight: u32,
}

impl<const K: usize> Spans<K> {
    pub(crate) const fn new() -> Self {
        Self { list: [Span { low: 0.0, high: 0.0, weight: 0 }; K], used: 0 }
    }

    fn list(&self) -> &[Span] {
        self.list.get(..self.used).unwrap_or(&[])
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Returns the distance to the nearest value seen, 0 inside an interval; nothing when there is none.
    #[inline]
    pub(crate) fn gap(&self, value: f64) -> Option<f64> {
        let at = self.list().partition_point(|span| span.high < value);
        let above = self.list().get(at).map(|span| span.low - value);
        let below = at.checked_sub(1).and_then(|i| self.list().get(i)).map(|span| value - span.high);
        match (above, below) {
            (Some(above), Some(below)) => Some(above.min(below).max(0.0)),
            (Some(one), None) | (None, Some(one)) => Some(one.max(0.0)),
            (None, None) => None,
        }
    }

    /// Adds one value.
    #[inline]
    pub(crate) fn insert(&mut self, value: f64) {
        let at = self.list().partition_point(|span| span.high < value);
        match self.list.get_mut(at) {
            Some(span) if at < self.used && span.low <= value => {
                span.weight = span.weight.saturating_add(UNIT);
            }
            _ => self.place(at, Span { low: value, high: value, weight: UNIT }),
        }
    }

    /// Adds all that another holds.
    pub(crate) fn merge<const J: usize>(&mut self, other: &Spans<J>) {
        for &span in other.list() {
            let first = self.list().partition_point(|mine| mine.high < span.low);
            let past = self.list().partition_point(|mine| mine.low <= span.high);
            let joined = self.list().get(first..past).unwrap_or(&[]).iter().fold(span, Span::join);
            if past > first {
                self.remove(first, past - first);
            }
            self.place(first, joined);
        }
    }

    /// Puts a span that touches no other at its place; closes the narrowest gap when there is no room.
    fn place(&mut self, at: usize, span: Span) {
        let mut at = at;
        if self.used == K {
            let mut narrowest = f64::INFINITY;
            let mut pair = 0;
            for (i, (a, b)) in self.list().iter().zip(self.list().iter().skip(1)).enumerate() {
                if i + 1 != at && b.low - a.high < narrowest {
                    narrowest = b.low - a.high;
                    pair = i;
                }
            }
            let above = self.list().get(at).map_or(f64::INFINITY, |next| next.low - span.high);
            let below = at.checked_sub(1).and_then(|i| self.list().get(i));
            let below = below.map_or(f64::INFINITY, |last| span.low - last.high);
            if above.min(below) <= narrowest {
                let nearest = if below <= above { at.saturating_sub(1) } else { at };
                if let Some(near) = self.list.get_mut(nearest) {
                    *near = near.join(&span);
                }
                return;
            }
            if let [a, b, ..] = self.list.get_mut(pair..).unwrap_or(&mut []) {
                *a = a.join(b);
            }
            self.remove(pair + 1, 1);
            at -= usize::from(pair < at);
        }
        self.used += 1;
        if let Some(moved) = self.list.get_mut(at..self.used) {
            moved.rotate_right(1);
        }
        if let Some(slot) = self.list.get_mut(at) {
            *slot = span;
        }
    }

    fn remove(&mut self, at: usize, count: usize) {
        if let Some(moved) = self.list.get_mut(at..self.used) {
            moved.rotate_left(count);
            self.used -= count;
        }
        // What is not used is always the same, so that equal contents are equal.
        self.list.iter_mut().skip(self.used).for_each(|span| *span = Span::default());
    }

    /// Forgets half of the weight, and the intervals that have none left.
    pub(crate) fn halve(&mut self) {
        let mut kept = Self::new();
        for span in self.list() {
            let weight = span.weight / 2;
            if let (true, Some(slot)) = (weight > 0, kept.list.get_mut(kept.used)) {
                *slot = Span { weight, ..*span };
                kept.used += 1;
            }
        }
        *self = kept;
    }

    /// Returns the sum of the weights in values.
    pub(crate) fn weight(&self) -> f64 {
        self.list().iter().map(|span| f64::from(span.weight)).sum::<f64>() / f64::from(UNIT)
    }

    /// Returns how far it is from the lowest to the highest value.
    pub(crate) fn extent(&self) -> f64 {
        match self.list() {
            [one] => one.high - one.low,
            [first, .., last] => last.high - first.low,
            [] => 0.0,
        }
    }

    /// Returns how far it is between the two quantiles that leave a share of `tail` outside on each side,
    /// taking the values of an interval as evenly spread.
    pub(crate) fn width(&self, tail: f64) -> f64 {
        let outside = tail * self.weight() * f64::from(UNIT);
        let low =
            from_below(self.list().iter(), outside, |span, share| span.low + share * (span.high - span.low));
        let high = from_below(self.list().iter().rev(), outside, |span, share| {
            span.high - share * (span.high - span.low)
        });
        (high - low).max(0.0)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.used as u8);
        for span in self.list() {
            put_f64(out, span.low);
            put_f64(out, span.high);
            put_u32(out, span.weight);
        }
    }

    pub(crate) fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let used = usize::from(bytes.u8()?);
        ensure(used <= K, "spans")?;
        let mut spans = Self { used, ..Self::new() };
        let mut last = -VALUE_LIMIT * 4.0;
        for slot in spans.list.iter_mut().take(used) {
            let (low, high) = (bounded(bytes, "span", 2.5)?, bounded(bytes, "span", 2.5)?);
            let weight = bytes.u32()?;
            ensure(last < low && low <= high && weight > 0, "span")?;
            *slot = Span { low, high, weight };
            last = high;
        }
        Ok(spans)
    }
}

impl Span {
    fn join(self, other: &Self) -> Self {
        Self {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            weight: self.weight.saturating_add(other.weight),
        }
    }
}

/// Goes through the spans until `outside` of the weight is passed.
fn from_below<'a>(
    spans: impl Iterator<Item = &'a Span>,
    outside: f64,
    place: impl Fn(&Span, f64) -> f64,
) -> f64 {
    let mut left = outside;
    let mut found = 0.0;
    for span in spans {
        let weight = f64::from(span.weight);
        found = place(span, (left / weight).min(1.0));
        left -= weight;
        if left < 0.0 {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn of<const K: usize>(values: &[f64]) -> Spans<K> {
        let mut spans = Spans::new();
        for &value in values {
            spans.insert(value);
        }
        spans
    }

    fn nearest(values: &[f64], value: f64) -> Option<f64> {
        values.iter().map(|other| (other - value).abs()).min_by(f64::total_cmp)
    }

    /// Checks order, and that the intervals hold the values and nothing beyond their ends.
    fn check<const K: usize>(spans: &Spans<K>, values: &[f64]) {
        let list = spans.list();
        assert!(list.iter().all(|span| span.low <= span.high), "{list:?}");
        assert!(list.windows(2).all(|pair| pair[0].high < pair[1].low), "{list:?}");
        for end in list.iter().flat_map(|span| [span.low, span.high]) {
            assert!(values.contains(&end), "{end} was never inserted");
        }
        assert!(values.iter().all(|&value| spans.gap(value) == Some(0.0)));
        assert_eq!(spans.weight(), values.len() as f64);
    }

    proptest! {
        #[test]
        fn few_values_are_kept_as_they_are(values in vec(-9_i8..9, 1..99), asked in -20.0..20.0) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let spans = of::<18>(&values);
            check(&spans, &values);
            prop_assert_eq!(spans.gap(asked), nearest(&values, asked));
        }

        #[test]
        fn intervals_hold_all_values_and_no_gap_is_invented(
            values in vec(-1e3..1e3, 1..300),
            asked in -2e3..2e3,
        ) {
            let spans = of::<5>(&values);
            check(&spans, &values);
            let gap = spans.gap(asked).unwrap();
            prop_assert!(gap == 0.0 || Some(gap) == nearest(&values, asked), "{gap}");
        }

        #[test]
        fn merging_holds_what_both_hold(a in vec(-50.0..50.0, 0..40), b in vec(-50.0..50.0, 1..40)) {
            let mut both = of::<4>(&a);
            both.merge(&of::<2>(&b));
            let all: Vec<f64> = a.iter().chain(&b).copied().collect();
            check(&both, &all);
        }
    }

    #[test]
    fn the_widest_gaps_are_kept() {
        let values: Vec<f64> =
            (0..1000).map(|i| f64::from(i % 10) + if i % 20 < 10 { 0.0 } else { 500.0 }).collect();
        let spans = of::<4>(&values);
        assert_eq!((spans.gap(250.0), spans.gap(-3.0), spans.extent()), (Some(241.0), Some(3.0), 509.0));
    }

    #[test]
    fn the_width_leaves_the_tails_out() {
        // A hundred values spread evenly over [0, 1], and one far away.
        let mut spans = of::<3>(&(0..=100).map(|i| f64::from(i) / 100.0).collect::<Vec<_>>());
        spans.insert(50.0);
        assert_eq!(spans.width(0.0), 50.0);
        let width = spans.width(0.05);
        assert!((width - 0.9).abs() < 0.05, "{width}");
        assert_eq!((Spans::<3>::new().width(0.1), of::<3>(&[7.0]).width(0.25)), (0.0, 0.0));
    }

    #[test]
    fn a_value_alone_is_forgotten_at_the_second_halving() {
        let mut spans = of::<3>(&[1.0, 5.0, 5.0, 5.0, 5.0]);
        spans.halve();
        assert_eq!(spans.gap(1.0), Some(0.0));
        spans.halve();
        assert_eq!((spans.gap(1.0), spans.gap(5.0)), (Some(4.0), Some(0.0)));
    }
}
