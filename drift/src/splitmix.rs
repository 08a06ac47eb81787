//! Seeded random numbers for what must be random and yet the same each time.

use crate::math::{ln, sqrt};
use crate::special::sin_cos;

/// `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014): one word of state, any seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Returns the state, to write down.
    pub(crate) const fn state(self) -> u64 {
        self.state
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform on [0, 1).
    pub(crate) const fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform on 0 .. `bound`, which must be above 0; the bias is below `bound` / 2^64.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// A pair of independent standard normal numbers (Box and Muller).
    pub(crate) fn normals(&mut self) -> (f64, f64) {
        let radius = sqrt(-2.0 * ln(1.0 - self.uniform()));
        let (sine, cosine) = sin_cos(core::f64::consts::TAU * self.uniform());
        (radius * cosine, radius * sine)
    }

    /// Shuffles in place (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}
