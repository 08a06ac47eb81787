//! Roughly how often each of any number of names was seen, in a fixed amount of memory.

use std::hash::Hasher;

/// Counters of a row: 2^20.
const WIDTH: usize = 1 << 20;
/// Rows.
const DEPTH: usize = 4;

/// A count-min sketch with conservative update and halving.
///
/// Each row gives a name one of its counters by a keyed hash of its own; a name's estimate is the smallest of its
/// counters. Adding raises only those counters that are the smallest.
///
/// With `w` = 2^20 counters in each of `d` = 4 rows an estimate is never below the true count, and with a probability of
/// at least 1 - e^-`d` = 98 % at most e/`w` = 2.6e-6 times all names counted above it: 2.6 after a million (Cormode and
/// Muthukrishnan, *An improved data stream summary: the count-min sketch and its applications*, J. Algorithms 55, 2005,
/// theorem 1). Conservative update never gives a larger estimate (Estan and Varghese, *New directions in traffic
/// measurement and accounting*, SIGCOMM 2002, section 4.1.1).
///
/// Cost: two SipHash-2-4 and four reads for a name; 4 MiB, of which only what was touched is resident. Halving writes all.
pub(super) struct Sketch {
    counters: Vec<u8>,
    keys: (u64, u64),
}

impl Sketch {
    /// Bytes of its counters.
    pub(super) const BYTES: usize = WIDTH * DEPTH;
    /// The largest count.
    pub(super) const COUNT_MAX: u32 = u8::MAX as u32;

    pub(super) fn new(seed: u64) -> Self {
        Self { counters: vec![0; Self::BYTES], keys: (seed, seed.rotate_left(32) ^ 0x9e37_79b9_7f4a_7c15) }
    }

    /// Counts a name; answers how often it was seen, this time included.
    pub(super) fn add(&mut self, name: &str) -> u32 {
        let places = self.places(name);
        let smallest = places.iter().filter_map(|place| self.counters.get(*place)).min();
        let count = smallest.copied().unwrap_or(0).saturating_add(1);
        for place in places {
            if let Some(counter) = self.counters.get_mut(place) {
                *counter = count.max(*counter);
            }
        }
        u32::from(count)
    }

    /// Halves all counts, so that what was seen long ago counts for less and less.
    pub(super) fn halve(&mut self) {
        self.counters.iter_mut().for_each(|counter| *counter >>= 1);
    }

    /// A counter in each row. Of each hash two parts of 20 bits are used.
    fn places(&self, name: &str) -> [usize; DEPTH] {
        let (first, second) = (self.hash(name, 0), self.hash(name, 1));
        let place = |row: usize, bits: u64| row * WIDTH + (bits as usize & (WIDTH - 1));
        [place(0, first), place(1, first >> 32), place(2, second), place(3, second >> 32)]
    }

    #[expect(
        deprecated,
        reason = "std's hasher that takes a key: who cannot read that cannot choose who collides"
    )]
    fn hash(&self, name: &str, row: u64) -> u64 {
        let mut hasher = std::hash::SipHasher::new_with_keys(self.keys.0, self.keys.1 ^ row);
        hasher.write(name.as_bytes());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_never_too_low_and_seldom_too_high_by_more_than_the_paper_says() {
        let mut sketch = Sketch::new(7);
        let names: Vec<String> = (0..200_000).map(|number| format!("model-{number}")).collect();
        for (number, name) in names.iter().enumerate() {
            for _ in 0..=number % 3 {
                sketch.add(name);
            }
        }
        let total: f64 = names.iter().enumerate().map(|(number, _)| (number % 3 + 1) as f64).sum();
        let bound = std::f64::consts::E / WIDTH as f64 * total;
        let mut over = 0;
        for (number, name) in names.iter().enumerate() {
            let (truth, estimate) = ((number % 3 + 1) as u32, sketch.add(name) - 1);
            assert!(estimate >= truth, "{name}");
            over += usize::from(f64::from(estimate - truth) > bound);
        }
        assert!(over as f64 <= (-(DEPTH as f64)).exp() * names.len() as f64, "{over} of {}", names.len());
    }

    #[test]
    fn counts_are_halved_and_end_at_their_bound_and_another_seed_has_others_collide() {
        let mut sketch = Sketch::new(1);
        for count in 1..=300 {
            assert_eq!(sketch.add("a"), count.min(Sketch::COUNT_MAX));
        }
        sketch.halve();
        assert_eq!((sketch.add("a"), sketch.add("b")), (128, 1));
        assert_eq!(sketch.places("a"), Sketch::new(1).places("a"));
        assert_ne!(sketch.places("a"), Sketch::new(2).places("a"));
    }
}
