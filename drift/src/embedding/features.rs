//! Random Fourier features of the Gaussian kernel.

use alloc::vec::Vec;

use crate::math::sqrt;
use crate::special::sin_cos;
use crate::splitmix::SplitMix64;

/// `m` directions in a space, from a seed: sine and cosine along each make features whose dot product is, on
/// average over directions, `exp(-|x - y|^2 / (2 bandwidth^2))` (Rahimi and Recht, NIPS 2007).
#[derive(Debug)]
pub(super) struct Features {
    dimension: usize,
    scale: f64,
    directions: Vec<f32>,
}

impl Features {
    pub(super) fn new(dimension: usize, count: usize, seed: u64) -> Self {
        let mut random = SplitMix64::new(seed);
        let size = dimension * count;
        let mut directions = Vec::with_capacity(size + 1);
        while directions.len() < size {
            let (a, b) = random.normals();
            directions.extend([a as f32, b as f32]);
        }
        directions.truncate(size);
        Self { dimension, scale: 1.0 / sqrt(count as f64), directions }
    }

    /// Writes the features of a vector, two for each direction; their squares sum to 1.
    pub(super) fn of(&self, vector: &[f32], bandwidth: f64, out: &mut [f32]) {
        for (direction, pair) in self.directions.chunks_exact(self.dimension).zip(out.chunks_exact_mut(2)) {
            let along = product(direction, vector) / bandwidth;
            let (sine, cosine) = sin_cos(along);
            if let [first, second] = pair {
                *first = (cosine * self.scale) as f32;
                *second = (sine * self.scale) as f32;
            }
        }
    }
}

/// The dot product in eight sums, which the compiler keeps in one wide register. Components are held within ±1e15,
/// so that no sum of at most 4,096 products overflows.
fn product(direction: &[f32], vector: &[f32]) -> f64 {
    let held = |x: f32| x.clamp(-1e15, 1e15);
    let mut sums = [0.0_f32; 8];
    let (mut left, mut right) = (direction.chunks_exact(8), vector.chunks_exact(8));
    for (x, y) in left.by_ref().zip(right.by_ref()) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * held(*y);
        }
    }
    let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(x, y)| x * held(*y)).sum();
    f64::from(sums.iter().sum::<f32>() + rest)
}
