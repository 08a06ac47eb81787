//! A series drawn in a fixed number of buckets, whatever its length: filled while it streams by.

/// What values are multiplied by before they are summed up: the sum of 2^64 of the largest ones is still a
/// number, and as a power of two it changes no digit of others.
pub(crate) const SUM_SCALE: f64 = 1.0 / 18_446_744_073_709_551_616.0;

/// The mean of values from their scaled sum.
pub(crate) fn scaled_mean(scaled_sum: f64, count: u64, min: f64, max: f64) -> f64 {
    // Rounding must not lead out of the range, least of all beyond the largest number.
    (scaled_sum / count.max(1) as f64 / SUM_SCALE).max(min).min(max)
}

/// A moving average, moved towards a value.
fn moved(ema: f64, value: f64, smoothing: f64) -> f64 {
    let step = value - ema;
    // The difference of two numbers need not be one.
    if step.is_finite() { ema + smoothing * step } else { ema * (1.0 - smoothing) + value * smoothing }
}

/// Values of neighbouring positions, summed up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Values in it; 0 leaves the others without meaning.
    pub count: u64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Sum of the values, each times [`SUM_SCALE`].
    scaled_sum: f64,
    /// The moving average after the last value.
    pub ema: f64,
}

impl Bucket {
    const EMPTY: Self =
        Self { count: 0, min: f64::INFINITY, max: f64::NEG_INFINITY, scaled_sum: 0.0, ema: 0.0 };

    /// Mean of the values, `None` when there are none.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| scaled_mean(self.scaled_sum, self.count, self.min, self.max))
    }

    /// Adds the bucket that comes behind this one.
    fn absorb(&mut self, next: &Self) {
        if next.count > 0 {
            self.count += next.count;
            self.min = self.min.min(next.min);
            self.max = self.max.max(next.max);
            self.scaled_sum += next.scaled_sum;
            self.ema = next.ema;
        }
    }
}

/// A series in at most `limit` buckets of equal width over the positions of its model.
///
/// Starts with one position a bucket; when a position lies behind the last bucket, neighbours are merged and
/// the width doubles. Adding a value costs a few nanoseconds, memory is at most `limit` buckets.
///
/// # Examples
///
/// ```
/// use visu_tility::replay::Plot;
///
/// let mut plot = Plot::new(64, 0.2);
/// for position in 0..1_000 {
///     plot.add(position, 1.0);
/// }
/// let plot = plot.finished();
/// assert_eq!(plot.width(), 16);
/// assert_eq!(plot.buckets().len(), 63);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// The bucket that is being filled, kept here so that most values touch no other memory.
    open: Bucket,
    /// Where it belongs.
    at: usize,
    /// Logarithm of the width.
    shift: u32,
    smoothing: f64,
    limit: usize,
    /// All buckets up to the open one.
    buckets: Vec<Bucket>,
}

impl Plot {
    /// Draws in at most `limit` buckets (at least 2), with a moving average of the smoothing given.
    pub fn new(limit: usize, smoothing: f64) -> Self {
        let open = Bucket { ema: f64::NAN, ..Bucket::EMPTY };
        Self { open, at: 0, shift: 0, smoothing, limit: limit.max(2), buckets: Vec::new() }
    }

    /// Adds the value at a position; positions do not fall.
    pub fn add(&mut self, position: u64, value: f64) {
        let at = (position >> self.shift) as usize;
        if at != self.at {
            self.turn(position);
        }
        let open = &mut self.open;
        open.ema = if open.ema.is_nan() { value } else { moved(open.ema, value, self.smoothing) };
        open.count += 1;
        open.min = open.min.min(value);
        open.max = open.max.max(value);
        open.scaled_sum += value * SUM_SCALE;
    }

    /// Puts the open bucket to the others and opens that of a position.
    fn turn(&mut self, position: u64) {
        self.close();
        let mut at = (position >> self.shift) as usize;
        while at >= self.limit {
            self.halve();
            at = (position >> self.shift) as usize;
        }
        // The open bucket goes on where values of its place have been put already.
        let known = self.buckets.get_mut(at).map(|known| std::mem::replace(known, Bucket::EMPTY));
        let ema = self.open.ema;
        self.open = Bucket { ema, ..known.unwrap_or(Bucket::EMPTY) };
        self.at = at;
    }

    /// Puts the open bucket to the others.
    fn close(&mut self) {
        if self.open.count == 0 {
            return;
        }
        if self.buckets.len() <= self.at {
            self.buckets.resize(self.at + 1, Bucket::EMPTY);
        }
        if let Some(bucket) = self.buckets.get_mut(self.at) {
            bucket.absorb(&self.open);
        }
        self.open = Bucket { ema: self.open.ema, ..Bucket::EMPTY };
    }

    fn halve(&mut self) {
        let merged = self.buckets.chunks(2).map(|pair| {
            let mut sum = Bucket::EMPTY;
            for bucket in pair {
                sum.absorb(bucket);
            }
            sum
        });
        self.buckets = merged.collect();
        self.shift += 1;
    }

    /// Ends the filling: [`Plot::buckets`] then holds every value.
    #[must_use]
    pub fn finished(mut self) -> Self {
        self.close();
        self
    }

    /// The buckets from position 0 on; the one that is being filled is not among them until
    /// [`Plot::finished`].
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// How many positions a bucket spans.
    pub fn width(&self) -> u64 {
        1 << self.shift
    }

    /// The smoothing of the moving average.
    pub fn smoothing(&self) -> f64 {
        self.smoothing
    }

    /// The means of `columns` of equal width over the positions up to `end`; a bucket counts for every column
    /// that it reaches into, as far as it does. A column without values is `None`.
    pub fn columns(&self, columns: usize, end: u64) -> Vec<Option<f64>> {
        let columns = columns.max(1);
        let (end, width) = (end.max(1) as f64, self.width() as f64);
        let column = |at: usize| {
            // In buckets; a column may cut its first and last one, and be narrower than one.
            let (from, to) =
                (at as f64 * end / columns as f64 / width, (at + 1) as f64 * end / columns as f64 / width);
            let (mut mean, mut weight) = (0.0, 0.0);
            let first = from as usize;
            for (place, bucket) in
                self.buckets.iter().enumerate().skip(first).take(to.ceil() as usize - first)
            {
                let share = (place as f64 + 1.0).min(to) - (place as f64).max(from);
                let Some(middle) = bucket.mean().filter(|_| share > 0.0) else { continue };
                let values = bucket.count as f64 * share;
                weight += values;
                mean = moved(mean, middle, values / weight);
            }
            (weight > 0.0).then_some(mean)
        };
        (0..columns).map(column).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_when_the_width_doubles() {
        let mut plot = Plot::new(16, 0.5);
        for position in 0..1_000_u64 {
            plot.add(position, position as f64);
        }
        let plot = plot.finished();
        assert_eq!((plot.width(), plot.buckets().len()), (64, 16));
        assert_eq!(plot.buckets().iter().map(|b| b.count).sum::<u64>(), 1_000);
        assert_eq!(plot.buckets()[1].min, 64.0);
        assert_eq!(plot.buckets()[1].max, 127.0);
        assert_eq!(plot.buckets()[15].mean(), Some(f64::midpoint(960.0, 999.0)));
        assert!((plot.buckets()[15].ema - 998.0).abs() < 1e-9);
    }

    #[test]
    fn gaps_stay_empty() {
        let mut plot = Plot::new(8, 0.2);
        plot.add(0, 1.0);
        plot.add(5, 2.0);
        let plot = plot.finished();
        assert_eq!(plot.buckets()[3].mean(), None);
        assert_eq!(plot.columns(3, 6), [Some(1.0), None, Some(2.0)]);
    }

    #[test]
    fn a_column_is_blank_only_where_there_is_nothing() {
        for (positions, columns) in [(20_000, 64), (20_000, 63), (8_000, 52), (100, 64), (65, 64), (3, 64)] {
            let mut plot = Plot::new(64, 0.2);
            (0..positions).for_each(|position| plot.add(position, 1.0));
            let drawn = plot.finished().columns(columns, positions);
            assert_eq!(drawn, vec![Some(1.0); columns], "{positions} in {columns}");
        }
        let mut plot = Plot::new(64, 0.2);
        (0..20_000).filter(|at| !(5_000..15_000).contains(at)).for_each(|at| plot.add(at, 1.0));
        let drawn = plot.finished().columns(64, 20_000);
        assert_eq!(drawn.iter().filter(|column| column.is_none()).count(), 30, "{drawn:?}");
    }

    #[test]
    fn the_largest_numbers_stay_numbers() {
        let mut plot = Plot::new(4, 0.2);
        for position in 0..1_000 {
            plot.add(position, if position % 2 == 0 { f64::MAX } else { -f64::MAX });
            plot.add(position, f64::MAX);
        }
        let plot = plot.finished();
        for bucket in plot.buckets() {
            assert!(bucket.mean().unwrap().is_finite() && bucket.ema.is_finite(), "{bucket:?}");
        }
        assert!(plot.columns(3, 1_000).iter().all(|column| column.unwrap().is_finite()));
    }

    #[test]
    fn one_far_position_costs_no_memory() {
        let mut plot = Plot::new(8, 0.2);
        plot.add(0, 1.0);
        plot.add(1 << 40, 1.0);
        let plot = plot.finished();
        assert!(plot.buckets().len() <= 8);
    }
}
