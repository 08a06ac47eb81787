//! Histograms that are filled value by value, of numbers and of categories.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_str, put_u32, put_u64};
use crate::distance::{DistanceError, equal_width_edges, quantile_edges, separated_edges};
use crate::state::{COUNT_LIMIT, VALUE_LIMIT, ensure};

const VERSION: u8 = 1;

/// Most bins of a histogram.
const MAX_BINS: usize = 1_024;

/// The largest count of a bin: room for the sum over all bins.
const COUNT_MOST: u64 = COUNT_LIMIT / 2_048;

/// Edges that are made of values stay within the limit of values, the outermost ones too.
const EDGE_LIMIT: f64 = 0.99 * VALUE_LIMIT;

/// Most bytes of a category's name; longer ones are counted with the others.
const MAX_NAME: usize = 256;

/// Counts numbers between fixed edges; what is out of range and what is missing is kept apart.
///
/// Bin k holds the values above edge k up to edge k+1 included; the first bin also holds its lower edge. Cost: a
/// binary search. Memory: 16 bytes a bin.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::Histogram;
/// use visu_tility_drift::distance::BinnedDistance;
///
/// let reference: Vec<f64> = (0..1_000).map(f64::from).collect();
/// let mut old = Histogram::of_quantiles(&reference, 10)?;
/// let mut new = old.emptied();
/// reference.iter().for_each(|&value| old.insert(value));
/// (0..200).for_each(|i| new.insert(f64::from(i * 6)));
/// new.insert(f64::NAN);
/// assert_eq!((new.missing(), new.below(), new.above()), (1, 0, 33));
/// let verdict = BinnedDistance::JensenShannon.test(&old.open_counts(), &new.open_counts(), 0.01)?;
/// assert!(verdict.drifted());
/// # Ok::<(), visu_tility_drift::distance::DistanceError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    edges: Vec<f64>,
    counts: Vec<u64>,
    below: u64,
    above: u64,
    missing: u64,
}

impl Histogram {
    /// Builds an empty histogram with these edges.
    ///
    /// # Errors
    ///
    /// Fails when there are fewer than 2 or more than 1,025 edges, or they are not finite, within ±1e100 and
    /// rising.
    pub fn new(edges: &[f64]) -> Result<Self, DistanceError> {
        let bins = edges.len().saturating_sub(1);
        DistanceError::check("bins", bins as f64, (1..=MAX_BINS).contains(&bins), "from 1 to 1024")?;
        let rising = edges.iter().zip(edges.iter().skip(1)).all(|(a, b)| a < b);
        let bounded = edges.iter().all(|edge| edge.abs() <= VALUE_LIMIT);
        let first = edges.first().copied().unwrap_or(f64::NAN);
        DistanceError::check("edges", first, rising && bounded, "rising and within ±1e100")?;
        Ok(Self { edges: edges.to_vec(), counts: vec![0; bins], below: 0, above: 0, missing: 0 })
    }

    /// Builds an empty histogram of equally wide bins.
    ///
    /// # Errors
    ///
    /// Fails when `low` is not below `high`, one is not within ±1e100, or `bins` is not from 1 to 1,024.
    pub fn of_width(low: f64, high: f64, bins: usize) -> Result<Self, DistanceError> {
        DistanceError::check("bins", bins as f64, (1..=MAX_BINS).contains(&bins), "from 1 to 1024")?;
        Self::new(&equal_width_edges(low, high, bins)?)
    }

    /// Builds an empty histogram whose bins hold equal shares of `sample`, from its least value to its largest.
    /// Ties make fewer bins.
    ///
    /// # Errors
    ///
    /// Fails when the sample is empty, constant, or a value is not finite, or `bins` is not from 1 to 1,024.
    pub fn of_quantiles(sample: &[f64], bins: usize) -> Result<Self, DistanceError> {
        DistanceError::check("bins", bins as f64, (1..=MAX_BINS).contains(&bins), "from 1 to 1024")?;
        let inner = quantile_edges(sample, bins)?;
        let limit = |value: f64| value.clamp(-VALUE_LIMIT, VALUE_LIMIT);
        let low = limit(sample.iter().copied().fold(f64::INFINITY, f64::min));
        let high = limit(sample.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        if low >= high {
            return Err(DistanceError::Constant);
        }
        let mut edges = vec![low];
        edges.extend(inner.into_iter().filter(|&edge| edge > low && edge < high));
        edges.push(high);
        Self::new(&edges)
    }

    /// Builds a histogram of counts that are given, such as numpy's `histogram` makes.
    ///
    /// # Errors
    ///
    /// Fails as [`Histogram::new`] does, when there is not one count for each bin, or a count is above 2^49.
    ///
    /// # Examples
    ///
    /// ```
    /// use visu_tility_drift::Histogram;
    ///
    /// let scores = Histogram::from_counts(&[0.0, 0.5, 1.0], &[700, 300])?;
    /// assert_eq!(scores.total(), 1_000);
    /// assert!(Histogram::from_counts(&[0.0, 0.5, 1.0], &[700]).is_err());
    /// # Ok::<(), visu_tility_drift::distance::DistanceError>(())
    /// ```
    pub fn from_counts(edges: &[f64], counts: &[u64]) -> Result<Self, DistanceError> {
        let mut histogram = Self::new(edges)?;
        if counts.len() != histogram.counts.len() {
            let (reference, current) = (histogram.counts.len(), counts.len());
            return Err(DistanceError::Bins { reference, current });
        }
        let most = counts.iter().copied().max().unwrap_or(0);
        DistanceError::check("counts", most as f64, most <= COUNT_MOST, "at most 2^49")?;
        histogram.counts.copy_from_slice(counts);
        Ok(histogram)
    }

    /// Builds an empty histogram whose bins hold about equal shares of `sample`, and in which a value that is often
    /// the least keeps a bin of its own. Of a constant sample it has three bins: below, equal, above.
    ///
    /// # Errors
    ///
    /// Fails when the sample is empty, a value is not finite, or `bins` is not from 2 to 512.
    pub fn around(sample: &[f64], bins: usize) -> Result<Self, DistanceError> {
        DistanceError::check("bins", bins as f64, (2..=MAX_BINS / 2).contains(&bins), "from 2 to 512")?;
        quantile_edges(sample, bins)?;
        let sample: Vec<f64> =
            sample.iter().map(|value| value.clamp(-EDGE_LIMIT, EDGE_LIMIT) + 0.0).collect();
        let mut edges = separated_edges(&sample, bins)?;
        let least = sample.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = sample.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let low = least.next_down();
        // The outermost bins are open for whoever compares; here they need an end.
        let first = edges.first().copied().unwrap_or(low);
        edges.insert(0, if least < first { least } else { first.next_down() });
        let last = edges.last().copied().unwrap_or(greatest);
        edges.push(if greatest > last { greatest } else { last.next_up() });
        Self::new(&edges)
    }

    /// Returns an empty histogram with the same edges.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self { counts: vec![0; self.counts.len()], below: 0, above: 0, missing: 0, ..self.clone() }
    }

    /// Counts a value; one that is not finite is missing.
    #[inline]
    pub fn insert(&mut self, value: f64) {
        if !value.is_finite() {
            self.missing += 1;
            return;
        }
        let under = self.edges.partition_point(|&edge| edge < value);
        // A value on the lowest edge is in the first bin.
        let bin = if under == 0 && self.edges.first() == Some(&value) { 1 } else { under };
        match self.counts.get_mut(bin.wrapping_sub(1)) {
            Some(count) => *count += 1,
            None if bin == 0 => self.below += 1,
            None => self.above += 1,
        }
    }

    /// Returns the edges, one more than bins.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// Returns the counts of the bins.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Returns the counts with what lies below in the first bin and what lies above in the last.
    pub fn open_counts(&self) -> Vec<u64> {
        let mut counts = self.counts.clone();
        counts.iter_mut().take(1).for_each(|count| *count += self.below);
        counts.iter_mut().rev().take(1).for_each(|count| *count += self.above);
        counts
    }

    /// Counts values below the first edge.
    pub const fn below(&self) -> u64 {
        self.below
    }

    /// Counts values above the last edge.
    pub const fn above(&self) -> u64 {
        self.above
    }

    /// Counts values that were not finite.
    pub const fn missing(&self) -> u64 {
        self.missing
    }

    /// Counts all values that were finite.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.below + self.above
    }

    /// Adds the counts of a histogram with the same edges.
    ///
    /// # Errors
    ///
    /// Fails, changing nothing, when the edges differ.
    pub fn merge(&mut self, other: &Self) -> Result<(), DistanceError> {
        if self.edges != other.edges {
            return Err(DistanceError::Bins { reference: self.counts.len(), current: other.counts.len() });
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.below += other.below;
        self.above += other.above;
        self.missing += other.missing;
        Ok(())
    }

    /// Appends edges and counts in the crate's versioned form: at most 17 KB, 16 bytes a bin and 37 more.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_u32(out, self.counts.len() as u32);
        self.edges.iter().for_each(|&edge| put_f64(out, edge));
        self.counts.iter().for_each(|&count| put_u64(out, count));
        for count in [self.below, self.above, self.missing] {
            put_u64(out, count);
        }
    }

    /// Reads what [`Histogram::write`] wrote.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are cut short, of an unknown version, or hold edges or counts out of range.
    pub fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        version(bytes, "histogram")?;
        let bins = bytes.u32()? as usize;
        ensure((1..=MAX_BINS).contains(&bins), "bins")?;
        let edges = (0..=bins).map(|_| bytes.finite("edges")).collect::<Result<Vec<_>, _>>()?;
        let mut read = Self::new(&edges).map_err(|_| DecodeError::Range { field: "edges" })?;
        for count in &mut read.counts {
            *count = count_of(bytes)?;
        }
        (read.below, read.above, read.missing) = (count_of(bytes)?, count_of(bytes)?, count_of(bytes)?);
        Ok(read)
    }
}

fn version(bytes: &mut Reader<'_>, what: &'static str) -> Result<(), DecodeError> {
    let found = bytes.u8()?;
    if found == VERSION { Ok(()) } else { Err(DecodeError::Version { what, found }) }
}

fn count_of(bytes: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let count = bytes.u64()?;
    ensure(count <= COUNT_MOST, "count")?;
    Ok(count)
}

/// Counts categories by name, up to a number of them; later ones are counted together as others.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::CategoryCounts;
///
/// let mut old = CategoryCounts::new(2)?;
/// ["web", "app", "web", "fax"].iter().for_each(|name| old.insert(name));
/// let mut new = CategoryCounts::new(2)?;
/// ["app", "app", "kiosk"].iter().for_each(|name| new.insert(name));
/// // app, web, all others.
/// assert_eq!(old.aligned(&new), (vec![1, 2, 1], vec![2, 0, 1]));
/// # Ok::<(), visu_tility_drift::distance::DistanceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CategoryCounts {
    limit: usize,
    /// Sorted by name.
    counts: Vec<(String, u64)>,
    other: u64,
    missing: u64,
}

impl CategoryCounts {
    /// Builds an empty count of at most `limit` categories.
    ///
    /// # Errors
    ///
    /// Fails when `limit` is not from 1 to 1,024.
    pub fn new(limit: usize) -> Result<Self, DistanceError> {
        DistanceError::check("limit", limit as f64, (1..=MAX_BINS).contains(&limit), "from 1 to 1024")?;
        Ok(Self { limit, counts: Vec::new(), other: 0, missing: 0 })
    }

    /// Counts a value. Once there are `limit` categories, and for names longer than 256 bytes, a new one is another.
    pub fn insert(&mut self, name: &str) {
        self.add(name, 1);
    }

    /// Counts a value that is not there.
    pub const fn insert_missing(&mut self) {
        self.missing += 1;
    }

    fn add(&mut self, name: &str, count: u64) {
        match self.counts.binary_search_by(|(known, _)| known.as_str().cmp(name)) {
            Ok(at) => self.counts.iter_mut().skip(at).take(1).for_each(|(_, sum)| *sum += count),
            Err(at) if self.counts.len() < self.limit && name.len() <= MAX_NAME => {
                self.counts.insert(at, (name.into(), count));
            }
            Err(_) => self.other += count,
        }
    }

    /// Lists the categories with their counts, by name.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(name, count)| (name.as_str(), *count))
    }

    /// Counts values of no category of its own.
    pub const fn other(&self) -> u64 {
        self.other
    }

    /// Counts values that were missing.
    pub const fn missing(&self) -> u64 {
        self.missing
    }

    /// Returns the counts of this one and of `current` over this one's categories by name, and last all others.
    pub fn aligned(&self, current: &Self) -> (Vec<u64>, Vec<u64>) {
        let own = self.counts.iter().map(|(_, count)| *count).chain([self.other]).collect();
        let mut theirs: Vec<u64> = vec![0; self.counts.len() + 1];
        let mut other = current.other;
        for (name, count) in &current.counts {
            match self.counts.binary_search_by(|(known, _)| known.cmp(name)) {
                Ok(at) => theirs.iter_mut().skip(at).take(1).for_each(|sum| *sum += count),
                Err(_) => other += count,
            }
        }
        theirs.iter_mut().rev().take(1).for_each(|sum| *sum = other);
        (own, theirs)
    }

    /// Adds the counts of another; its categories beyond this one's limit become others, by name.
    pub fn merge(&mut self, other: &Self) {
        other.counts.iter().for_each(|(name, count)| self.add(name, *count));
        self.other += other.other;
        self.missing += other.missing;
    }

    /// Appends the counts in the crate's versioned form: at most `limit` times 268 bytes and 25 more.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_u32(out, self.limit as u32);
        put_u32(out, self.counts.len() as u32);
        for (name, count) in &self.counts {
            put_str(out, name);
            put_u64(out, *count);
        }
        put_u64(out, self.other);
        put_u64(out, self.missing);
    }

    /// Reads what [`CategoryCounts::write`] wrote.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are cut short, of an unknown version, or names or counts are out of range or order.
    pub fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        version(bytes, "category counts")?;
        let limit = bytes.u32()? as usize;
        let mut read = Self::new(limit).map_err(|_| DecodeError::Range { field: "limit" })?;
        let categories = bytes.u32()? as usize;
        ensure(categories <= limit, "categories")?;
        for _ in 0..categories {
            let name = bytes.str("name")?;
            let rising = read.counts.last().is_none_or(|(last, _)| last.as_str() < name);
            ensure(rising && name.len() <= MAX_NAME, "name")?;
            read.counts.push((name.into(), count_of(bytes)?));
        }
        (read.other, read.missing) = (count_of(bytes)?, count_of(bytes)?);
        Ok(read)
    }
}
