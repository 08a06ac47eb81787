//! How alike neighbours are within short blocks: a dependence that changes of the level do not feign.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u16};
use crate::state::{VALUE_LIMIT, ensure};

/// Values of a block.
const BLOCK: usize = 32;
/// Correlations from -1 to 1 are counted in so many bins.
const BINS: usize = 64;
/// The least correlation that is taken for dependence.
const ALIKE: f64 = 0.5;

/// The rank correlation of neighbours in the middle one of the blocks of a window.
///
/// Of each block it is `1 - RVN / 2`, where `RVN` is the sum of the squared differences between the ranks of
/// neighbours over that between ranks and their mean. A block that holds a change of the level is one among many and
/// does not move the median.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    /// The values of the block under way.
    block: [f64; BLOCK],
    filled: usize,
    /// How many blocks had a correlation of each size.
    bins: [u16; BINS],
}

impl Blocks {
    /// Bytes on the heap.
    pub(crate) const HEAP: usize = size_of::<Self>();

    pub(crate) fn new() -> Box<Self> {
        Box::new(Self { block: [0.0; BLOCK], filled: 0, bins: [0; BINS] })
    }

    pub(crate) fn clear(&mut self) {
        self.filled = 0;
        self.bins.fill(0);
    }

    /// Takes a value within the limit of admitted values.
    #[inline]
    pub(crate) fn add(&mut self, value: f64) {
        if let Some(place) = self.block.get_mut(self.filled) {
            *place = value;
        }
        self.filled += 1;
        if self.filled >= BLOCK {
            self.close();
        }
    }

    #[cold]
    fn close(&mut self) {
        self.filled = 0;
        let Some(rho) = rank_correlation(&self.block) else { return };
        let at = (f64::midpoint(rho, 1.0) * BINS as f64) as usize;
        if let Some(bin) = self.bins.get_mut(at.min(BINS - 1)) {
            *bin = bin.saturating_add(1);
        }
    }

    /// Returns the median over the blocks, to 1/64; 0 when there is none in which values differ.
    pub(crate) fn correlation(&self) -> f64 {
        let blocks: u32 = self.bins.iter().map(|&bin| u32::from(bin)).sum();
        let mut below = 0.0;
        for (at, &bin) in self.bins.iter().enumerate() {
            let (half, bin) = (f64::from(blocks) / 2.0, f64::from(bin));
            if bin > 0.0 && below + bin >= half {
                return (at as f64 + (half - below) / bin) * 2.0 / BINS as f64 - 1.0;
            }
            below += bin;
        }
        0.0
    }

    /// Whether neighbours are alike within blocks.
    pub(crate) fn are_alike(&self) -> bool {
        self.correlation() >= ALIKE
    }

    /// Returns the least integrated autocorrelation time that the correlation stands for: that of a first-order
    /// autoregression. Nothing when neighbours are not alike.
    pub(crate) fn time(&self) -> Option<f64> {
        let rho = self.correlation().min(0.99);
        self.are_alike().then_some((1.0 + rho) / (1.0 - rho))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.filled as u8);
        self.block.iter().take(self.filled).for_each(|&value| put_f64(out, value));
        self.bins.iter().for_each(|&bin| put_u16(out, bin));
    }

    pub(crate) fn read(bytes: &mut Reader<'_>) -> Result<Box<Self>, DecodeError> {
        let mut next = Self::new();
        next.filled = usize::from(bytes.u8()?);
        ensure(next.filled < BLOCK, "block")?;
        for place in next.block.iter_mut().take(next.filled) {
            *place = bytes.finite("block")?;
            ensure(place.abs() <= VALUE_LIMIT, "block")?;
        }
        for bin in &mut next.bins {
            *bin = bytes.u16()?;
        }
        Ok(next)
    }
}

/// The rank correlation of neighbours, with mean ranks for equal values; nothing where all are equal.
fn rank_correlation(block: &[f64]) -> Option<f64> {
    let rank = |value: f64| {
        // Twice the rank, from 0: those below count twice, those equal once.
        block.iter().map(|&other| 2 * u32::from(other < value) + u32::from(other == value)).sum::<u32>()
    };
    let middle = block.len() as f64;
    let (mut spread, mut steps, mut before) = (0.0, 0.0, None);
    for &value in block {
        let rank = f64::from(rank(value));
        spread += (rank - middle) * (rank - middle);
        steps += before.map_or(0.0, |before: f64| (rank - before) * (rank - before));
        before = Some(rank);
    }
    (spread > 0.0).then(|| 1.0 - steps / spread / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Source;

    /// By hand: ranks 1 to 10, 12, 13, 11 have the squared steps 9, 4, 1, 4 over a spread of 182.
    #[test]
    fn the_correlation_is_by_bartels_ratio() {
        let rising: Vec<f64> = (1..=10).chain([12, 13, 11]).map(f64::from).collect();
        let rho = rank_correlation(&rising).unwrap();
        assert!((rho - (1.0 - 18.0 / 182.0 / 2.0)).abs() < 1e-12, "{rho}");
        // Mean ranks 1.5, 1.5, 3.5, 3.5: steps 0, 4, 0 over a spread of 4.
        assert_eq!(rank_correlation(&[2.0, 2.0, 7.0, 7.0]), Some(0.5));
        assert_eq!(rank_correlation(&[2.0; 8]), None);
    }

    fn correlation(values: impl Iterator<Item = f64>) -> f64 {
        let mut blocks = Blocks::new();
        values.for_each(|value| blocks.add(value));
        blocks.correlation()
    }

    /// Spearman's correlation of a normal pair is `6 / pi asin(phi / 2)`; blocks of 32 take `(1 + 3 phi) / 32` off, as
    /// an estimated mean does (Kendall 1954), and a little more.
    #[test]
    fn an_autoregression_is_seen_through_spikes() {
        for phi in [0.0_f64, 0.5, 0.7, 0.9] {
            let ar1 = Source::Ar1 { phi, mean: 0.0, deviation: 1.0 };
            let theory = 6.0 / core::f64::consts::PI * (phi / 2.0).asin() - (1.0 + 3.0 * phi) / 32.0;
            let seen = correlation(ar1.stream(1).unwrap().take(64_000));
            assert!((seen - theory).abs() < 0.05, "{phi}: {seen}, {theory}");
            let spiked = ar1.stream(1).unwrap().take(64_000).enumerate();
            let spiked = correlation(spiked.map(|(i, x)| if i % 50 == 0 { 1e6 } else { x }));
            assert!((spiked - theory).abs() < 0.1, "{phi}: {spiked}, {theory}");
        }
    }

    #[test]
    fn levels_that_come_and_go_are_no_dependence() {
        let noise = Source::Gaussian { mean: 0.0, deviation: 1.0 }.stream(2).unwrap();
        let levels = noise.take(64_000).enumerate().map(|(i, x)| x + (i / 100 * 7 % 5) as f64 * 10.0);
        let seen = correlation(levels);
        assert!(seen < 0.1, "{seen}");
    }

    #[test]
    fn blocks_of_equal_values_say_nothing() {
        assert_eq!(correlation([3.0; 320].into_iter()), 0.0);
    }

    #[test]
    fn one_read_back_goes_on_alike() {
        let mut stream = Source::Ar1 { phi: 0.7, mean: 0.0, deviation: 1.0 }.stream(4).unwrap();
        let mut blocks = Blocks::new();
        (0..333).for_each(|_| blocks.add(stream.draw()));
        let mut bytes = Vec::new();
        blocks.write(&mut bytes);
        let mut copy = Blocks::read(&mut Reader::new(&bytes)).unwrap();
        for _ in 0..100 {
            let value = stream.draw();
            blocks.add(value);
            copy.add(value);
        }
        assert_eq!(blocks.correlation().to_bits(), copy.correlation().to_bits());
        for cut in 0..bytes.len() {
            assert!(Blocks::read(&mut Reader::new(&bytes[..cut])).is_err(), "{cut}");
        }
        bytes[0] = 32;
        assert!(Blocks::read(&mut Reader::new(&bytes)).is_err());
    }
}
