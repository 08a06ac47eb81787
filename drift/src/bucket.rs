//! ADWIN's window: an exponential histogram of bucket totals and squared deviations.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64};
use crate::state::{bounded, ensure};

/// Rows a window can have, whatever its parameters.
pub(crate) const MAX_ROWS: usize = 32;
/// Bytes that the rows may take together, so that the whole detector stays within 4 KiB.
const BYTE_BUDGET: usize = 3_600;

/// The sum and the sum of squared deviations of the values in one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) total: f64,
    pub(crate) squares: f64,
}

/// Rows of buckets: a bucket of row `i` stands for `2^i` values, the oldest first in each row and the
/// oldest rows last.
///
/// A row holds at most `max_buckets` between updates; one more and its two oldest become one bucket of
/// the next row (Bifet and Gavaldà 2007; Datar et al. 2002). Rows are added as they are needed.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    stride: usize,
    /// Most rows.
    bound: usize,
    used: [u8; MAX_ROWS],
    cells: Vec<Bucket>,
}

impl Rows {
    /// Builds an empty window; `max_buckets` must be in 1..=16.
    pub(crate) fn new(max_buckets: u8) -> Self {
        let stride = usize::from(max_buckets) + 1;
        let bound = (BYTE_BUDGET / (stride * size_of::<Bucket>())).clamp(1, MAX_ROWS);
        Self { stride, bound, used: [0; MAX_ROWS], cells: Vec::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.cells.clear();
        self.used = [0; MAX_ROWS];
    }

    /// Counts heap bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Bucket>()
    }

    /// Walks the rows from the oldest: the size of the row's buckets, then the buckets.
    #[inline]
    pub(crate) fn oldest_first(&self) -> impl Iterator<Item = (f64, &[Bucket])> {
        self.cells
            .chunks_exact(self.stride)
            .zip(&self.used)
            .enumerate()
            .rev()
            .map(|(i, (row, &used))| ((1_u64 << i) as f64, row.get(..usize::from(used)).unwrap_or(row)))
    }

    /// Adds a value. Returns true when the window is at its bound and its oldest bucket must go.
    #[inline]
    pub(crate) fn push(&mut self, value: f64) -> bool {
        if self.cells.is_empty() {
            self.add_row();
        }
        self.append(0, Bucket { total: value, squares: 0.0 });
        self.compress()
    }

    /// Takes out the oldest bucket, with the number of values in it.
    pub(crate) fn pop_oldest(&mut self) -> Option<(f64, Bucket)> {
        let last = (self.cells.len() / self.stride).checked_sub(1)?;
        let row = self.cells.get_mut(last * self.stride..)?;
        let oldest = *row.first()?;
        row.copy_within(1.., 0);
        let used = self.used.get_mut(last)?;
        *used = used.saturating_sub(1);
        // With one bucket a row, the rows before it may be empty too.
        let kept = self.used.iter().rposition(|&used| used > 0).map_or(0, |row| row + 1);
        self.cells.truncate(kept * self.stride);
        Some(((1_u64 << last) as f64, oldest))
    }

    /// Adds all buckets up: the sum of the `width` values and their squared deviations from the mean.
    pub(crate) fn sums(&self, width: f64) -> (f64, f64) {
        let buckets = || self.oldest_first().flat_map(|(size, row)| row.iter().map(move |b| (size, b)));
        let total: f64 = buckets().map(|(_, bucket)| bucket.total).sum();
        let mean = if width > 0.0 { total / width } else { 0.0 };
        let squares = |(size, bucket): (f64, &Bucket)| {
            let apart = bucket.total / size - mean;
            bucket.squares + size * apart * apart
        };
        (total, buckets().map(squares).sum())
    }

    fn add_row(&mut self) {
        self.cells.reserve_exact(self.stride);
        self.cells.resize(self.cells.len() + self.stride, Bucket::default());
    }

    // The row index stays below `bound` and the position below `stride`: checked by `compress`, which
    // every append is followed by.
    #[allow(clippy::indexing_slicing)]
    #[inline]
    fn append(&mut self, row: usize, bucket: Bucket) {
        let used = &mut self.used[row];
        self.cells[row * self.stride + usize::from(*used)] = bucket;
        *used += 1;
    }

    // As above: only rows that exist are looked at.
    #[allow(clippy::indexing_slicing)]
    #[inline]
    fn compress(&mut self) -> bool {
        let mut row = 0;
        while usize::from(self.used[row]) == self.stride {
            if row + 1 == self.bound {
                return true;
            }
            let start = row * self.stride;
            let merged = merge(self.cells[start], self.cells[start + 1], (1_u64 << row) as f64);
            self.cells.copy_within(start + 2..start + self.stride, start);
            self.used[row] -= 2;
            if start + self.stride == self.cells.len() {
                self.add_row();
            }
            self.append(row + 1, merged);
            row += 1;
        }
        false
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let rows = self.cells.len() / self.stride;
        out.push(rows as u8);
        for (row, &used) in self.cells.chunks_exact(self.stride).zip(&self.used) {
            out.push(used);
            for bucket in row.iter().take(usize::from(used)) {
                put_f64(out, bucket.total);
                put_f64(out, bucket.squares);
            }
        }
    }

    /// Reads what [`Rows::write`] wrote for the same `max_buckets`.
    pub(crate) fn read(&self, bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut rows = Self::new((self.stride - 1) as u8);
        let count = usize::from(bytes.u8()?);
        ensure(count <= rows.bound, "rows")?;
        for i in 0..count {
            let used = bytes.u8()?;
            let newest_kept = i + 1 < count || used > 0;
            ensure(usize::from(used) < rows.stride && newest_kept, "row")?;
            rows.add_row();
            let size = (1_u64 << i) as f64;
            for _ in 0..used {
                let total = bounded(bytes, "total", size * 1.01)?;
                let squares = bytes.finite("squares")?;
                ensure((0.0..=1e250).contains(&squares), "squares")?;
                rows.append(i, Bucket { total, squares });
            }
        }
        Ok(rows)
    }

    /// Counts the values in the window.
    pub(crate) fn width(&self) -> f64 {
        self.used.iter().enumerate().map(|(i, &used)| (1_u64 << i) as f64 * f64::from(used)).sum()
    }
}

/// Joins two buckets of `size` values each (Babcock et al. 2003, equation for combined variance).
#[inline]
fn merge(a: Bucket, b: Bucket, size: f64) -> Bucket {
    let apart = a.total / size - b.total / size;
    Bucket { total: a.total + b.total, squares: a.squares + b.squares + size * 0.5 * apart * apart }
}
