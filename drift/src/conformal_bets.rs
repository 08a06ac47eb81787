//! Bets on p-values: densities on [0, 1] that are large near 0, as tables.

use alloc::boxed::Box;

use crate::math::{exp, ln};

/// Bets of one direction.
pub(crate) const BETS: usize = 16;
/// Powers `k p^(k - 1)`, against changes that grow smoothly into the tail.
const POWERS: [f64; 8] = [0.95, 0.89, 0.81, 0.72, 0.61, 0.48, 0.33, 0.18];
/// Steps at 1/2, 1/4, ..., 1/256, against a share of bad values whose odds grow by this factor: the
/// likelihood ratio of zeros and ones.
const ODDS: f64 = 2.5;
/// Bets are constant on pieces of width `1 / FINE` below `1 / SPLIT`, and `1 / COARSE` above.
const FINE: usize = 4096;
const COARSE: usize = 256;
const SPLIT: usize = 16;
const PIECES: usize = FINE / SPLIT + COARSE - COARSE / SPLIT;

/// The mean height of each bet on each piece.
#[derive(Clone, Debug)]
pub(crate) struct Bets {
    heights: Box<[[f64; BETS]]>,
}

impl Bets {
    pub(crate) fn new() -> Self {
        let fine = FINE / SPLIT;
        let end = |piece: usize| {
            if piece <= fine {
                piece as f64 / FINE as f64
            } else {
                (piece - fine + COARSE / SPLIT) as f64 / COARSE as f64
            }
        };
        let height = |piece: usize| {
            let (low, high) = (end(piece), end(piece + 1));
            let mut heights = [0.0; BETS];
            let powers = POWERS.iter().map(|&k| (power(high, k) - power(low, k)) / (high - low));
            let steps = (1..=8).map(|j| step(f64::from(1_u32 << j).recip(), high));
            heights.iter_mut().zip(powers.chain(steps)).for_each(|(slot, height)| *slot = height);
            heights
        };
        Self { heights: (0..PIECES).map(height).collect() }
    }

    /// Returns the heights of all bets at a p-value in [0, 1].
    #[inline]
    pub(crate) fn at(&self, p: f64) -> &[f64; BETS] {
        const NONE: &[f64; BETS] = &[0.0; BETS];
        let fine = FINE / SPLIT;
        let piece = if p * (SPLIT as f64) < 1.0 {
            (p * FINE as f64) as usize
        } else {
            (p * COARSE as f64) as usize + fine - COARSE / SPLIT
        };
        self.heights.get(piece.min(PIECES - 1)).unwrap_or(NONE)
    }
}

fn power(p: f64, k: f64) -> f64 {
    if p > 0.0 { exp(k * ln(p)) } else { 0.0 }
}

/// The height on a piece that ends at `high` of the bet that the share below `share` has grown.
fn step(share: f64, high: f64) -> f64 {
    let grown = ODDS * share / (1.0 - share + ODDS * share);
    if high <= share { grown / share } else { (1.0 - grown) / (1.0 - share) }
}

#[cfg(test)]
mod tests {
    use super::{BETS, Bets};

    #[test]
    fn every_bet_has_a_mean_of_1_over_uniform_p_values() {
        let (bets, n) = (Bets::new(), 65_536);
        let mut sums = [0.0; BETS];
        for i in 0..n {
            let heights = bets.at((f64::from(i) + 0.5) / f64::from(n));
            sums.iter_mut().zip(heights).for_each(|(sum, height)| *sum += height);
        }
        for sum in sums {
            assert!((sum / f64::from(n) - 1.0).abs() < 1e-10, "{sum}");
        }
        let [first, .., last] = bets.at(0.0);
        assert!(*first > 1.0 && (last - 2.485_436_893).abs() < 1e-6, "{first} {last}");
        assert!(bets.at(1.0).iter().all(|&height| height > 0.0 && height < 1.0));
    }
}
