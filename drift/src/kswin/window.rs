//! The last values in order of size, with the age of each: empirical distributions without sorting again.

use alloc::vec::Vec;

/// Splits that are tried first when the likeliest is looked for.
const SEEDS: u64 = 12;

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
        let n = self.len();
        // How many values lie up to each different one, and where the value of each age is among those.
        let (mut up_to, mut places): (Vec<f32>, _) = (Vec::with_capacity(n), alloc::vec![0; n]);
        let mut previous = f64::NAN;
        for (i, (&value, &stamp)) in (1_u16..).zip(self.values.iter().zip(&self.stamps)) {
            if value != previous {
                up_to.push(0.0);
            }
            let place = up_to.len() - 1;
            up_to.iter_mut().skip(place).for_each(|count| *count = f32::from(i));
            let age = usize::from(self.now.wrapping_sub(stamp));
            places.iter_mut().skip(age).take(1).for_each(|slot| *slot = place);
            previous = value;
        }
        // Of how many of the newest `k` lie up to each value, times `n`, and `k` times how many of all do, the
        // difference is the gap: whole numbers below 2^24.
        let mut newest = alloc::vec![0.0; up_to.len()];
        let weighed = |gap: f64, k: u64| gap * gap / (k * (n as u64 - k)) as f64;
        // Some splits first: most others cannot be better, as a gap grows by `n` at most from one to the next.
        let seeds = (1..SEEDS).map(|i| i * n as u64 / SEEDS).filter(|&k| k > 0);
        let floor = seeds.map(|k| weighed(self.split(k as u16).gap().into(), k)).fold(0.0, f64::max);
        let (mut best, mut gap) = ((0, 0.0_f64), 0.0);
        for (k, &place) in (1..n as u64).zip(&places) {
            newest.iter_mut().skip(place).for_each(|count| *count += n as f32);
            gap += n as f64;
            if weighed(gap, k) < floor.max(best.1) {
                continue;
            }
            gap = largest(&newest, &up_to, k as f32).into();
            if weighed(gap, k) > best.1 {
                best = (k, weighed(gap, k));
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

/// The largest size of a difference of `newest` and `k` times `all`. Eight at once, for vector instructions.
fn largest(newest: &[f32], all: &[f32], k: f32) -> f32 {
    let mut largest = [0.0_f32; 8];
    for (newest, all) in newest.chunks(8).zip(all.chunks(8)) {
        for (largest, (newest, all)) in largest.iter_mut().zip(newest.iter().zip(all)) {
            let size = (newest - k * all).abs();
            *largest = if size > *largest { size } else { *largest };
        }
    }
    largest.iter().copied().fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::Window;

    /// All splits, one by one.
    #[test]
    fn the_likeliest_split_is_the_best_of_all() {
        let mut state = 7_u64;
        for (size, kinds) in [(4, 3), (20, 5), (64, 1_000_000), (384, 40), (384, 1_000_000), (100, 1)] {
            for change in [0, 1, size / 3, size - 2] {
                let mut window = Window::new(size as usize);
                for i in 0..size {
                    state =
                        state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let level = if size - i <= change { kinds / 3 } else { 0 };
                    window.push(((state >> 33) % kinds + level) as f64);
                }
                let weight = |k: u64| {
                    let gap = f64::from(window.split(k as u16).gap());
                    gap * gap / (k * (size - k)) as f64
                };
                let best = (1..size)
                    .fold((0, 0.0), |best, k| if weight(k) > best.1 { (k, weight(k)) } else { best });
                assert_eq!(window.likeliest_split(), best.0, "{size} {kinds} {change}");
            }
        }
    }
}
