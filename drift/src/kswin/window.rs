//! The last values in order of size, with the age of each: empirical distributions without sorting again.

use alloc::vec::Vec;

/// The greatest differences of the older values' distribution function above and below the newer ones'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Apart {
    pub(super) above: i32,
    pub(super) below: i32,
}

impl Apart {
    /// The greater of both.
    pub(super) const fn gap(self) -> u32 {
        let (above, below) = (self.above.unsigned_abs(), self.below.unsigned_abs());
        if above > below { above } else { below }
    }
}

/// At most `capacity` values, sorted, equal ones by arrival.
#[derive(Clone, Debug)]
pub(super) struct Window {
    capacity: usize,
    values: Vec<f64>,
    /// When each value came, modulo 2^16; no window is as long.
    stamps: Vec<u16>,
    /// The stamp of the newest value.
    now: u16,
}

impl Window {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { capacity, values: Vec::new(), stamps: Vec::new(), now: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) const fn is_full(&self) -> bool {
        self.len() == self.capacity
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.stamps.clear();
    }

    /// Counts the bytes held on the heap.
    pub(super) fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<f64>() + self.stamps.capacity() * size_of::<u16>()
    }

    /// Takes a value; the oldest leaves a full window.
    pub(super) fn push(&mut self, value: f64) {
        if self.values.capacity() < self.capacity {
            self.values.reserve_exact(self.capacity - self.values.len());
            self.stamps.reserve_exact(self.capacity - self.stamps.len());
        }
        let (oldest, full) = (self.now.wrapping_sub(self.capacity as u16 - 1), self.is_full());
        self.now = self.now.wrapping_add(1);
        let to = self.values.partition_point(|other| *other <= value);
        if !full {
            self.values.insert(to, value);
            self.stamps.insert(to, self.now);
            return;
        }
        let Some(from) = self.stamps.iter().position(|stamp| *stamp == oldest) else { return };
        let at = if from < to {
            self.values.copy_within(from + 1..to, from);
            self.stamps.copy_within(from + 1..to, from);
            to - 1
        } else {
            self.values.copy_within(to..from, to + 1);
            self.stamps.copy_within(to..from, to + 1);
            to
        };
        if let (Some(slot), Some(stamp)) = (self.values.get_mut(at), self.stamps.get_mut(at)) {
            (*slot, *stamp) = (value, self.now);
        }
    }

    /// Drops all but the newest `keep` values.
    pub(super) fn keep_newest(&mut self, keep: u16) {
        let mut at = 0;
        for i in 0..self.len() {
            let (Some(&value), Some(&stamp)) = (self.values.get(i), self.stamps.get(i)) else { break };
            if self.now.wrapping_sub(stamp) >= keep {
                continue;
            }
            if let (Some(slot), Some(mark)) = (self.values.get_mut(at), self.stamps.get_mut(at)) {
                (*slot, *mark) = (value, stamp);
            }
            at += 1;
        }
        self.values.truncate(at);
        self.stamps.truncate(at);
    }

    /// Runs through the values in order of size; `step` says by how much each, of the age it is given
    /// (0 for the newest), moves the difference of the distribution functions. All steps add up to 0.
    #[inline]
    pub(super) fn apart(&self, mut step: impl FnMut(u16) -> i32) -> Apart {
        let (mut sum, mut previous) = (0, f64::NAN);
        let (mut above, mut below) = (0, 0);
        for (&value, &stamp) in self.values.iter().zip(&self.stamps) {
            // Equal values count together.
            let seen = if value == previous { 0 } else { sum };
            above = above.max(seen);
            below = below.min(seen);
            sum += step(self.now.wrapping_sub(stamp));
            previous = value;
        }
        Apart { above, below }
    }

    /// Compares the newest `recent` values with all older ones. The unit is `1 / (recent older)`.
    #[inline]
    pub(super) fn split(&self, recent: u16) -> Apart {
        let (newer, older) = (i32::from(recent), self.len() as i32 - i32::from(recent));
        self.apart(|age| if age < recent { -older } else { newer })
    }

    /// Returns the number of newest values that differ most from the rest, each split weighed by its
    /// sizes as the statistic's deviation asks: `D sqrt(k (n - k) / n)` is greatest.
    pub(super) fn likeliest_split(&self) -> u64 {
        let n = self.len() as u64;
        let weighed = |k: u64| {
            let gap = f64::from(self.split(k as u16).gap());
            gap * gap / (k * (n - k)) as f64
        };
        let mut best = (0, 0.0);
        for k in 1..n {
            let weight = weighed(k);
            if weight > best.1 {
                best = (k, weight);
            }
        }
        best.0
    }

    /// Returns the values in order of arrival.
    pub(super) fn by_arrival(&self) -> Vec<f64> {
        let mut order = alloc::vec![0.0; self.len()];
        for (&value, &stamp) in self.values.iter().zip(&self.stamps) {
            let age = usize::from(self.now.wrapping_sub(stamp));
            if let Some(slot) = order.iter_mut().rev().nth(age) {
                *slot = value;
            }
        }
        order
    }

    /// Returns the mean of the values whose age `wanted` takes, or nothing when there is none.
    pub(super) fn mean(&self, wanted: impl Fn(u16) -> bool) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0_u32);
        for (&value, &stamp) in self.values.iter().zip(&self.stamps) {
            if wanted(self.now.wrapping_sub(stamp)) {
                sum += value;
                count += 1;
            }
        }
        (count > 0).then(|| sum / f64::from(count))
    }
}
