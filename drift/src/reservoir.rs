//! A sample of fixed size of a stream of any length.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u32, put_u64};
use crate::distance::DistanceError;
use crate::splitmix::SplitMix64;
use crate::state::{Tally, VALUE_LIMIT, ensure};

const VERSION: u8 = 1;

/// A uniform random sample of the finite values seen so far: each is in it with the same probability (Vitter,
/// ACM Transactions on Mathematical Software 11, 1985, algorithm R).
///
/// For distances that need samples, such as [`crate::distance::wasserstein_1`]. Cost: one random number a value.
/// Memory: 8 bytes for each kept value.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::Reservoir;
///
/// let mut sample = Reservoir::new(100, 7)?;
/// (0..100_000).for_each(|i| sample.insert(f64::from(i)));
/// let mean = sample.values().iter().sum::<f64>() / 100.0;
/// assert!(sample.values().len() == 100 && (mean - 50_000.0).abs() < 10_000.0);
/// # Ok::<(), visu_tility_drift::distance::DistanceError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Reservoir {
    capacity: usize,
    tally: Tally,
    random: SplitMix64,
    values: Vec<f64>,
}

impl Reservoir {
    /// Builds an empty sample of at most `capacity` values, with the seed of its choices.
    ///
    /// # Errors
    ///
    /// Fails when `capacity` is not from 1 to 65,536.
    pub fn new(capacity: usize, seed: u64) -> Result<Self, DistanceError> {
        let ok = (1..=65_536).contains(&capacity);
        DistanceError::check("capacity", capacity as f64, ok, "from 1 to 65536")?;
        Ok(Self { capacity, tally: Tally::default(), random: SplitMix64::new(seed), values: Vec::new() })
    }

    /// Takes a value into account; one that is not finite is counted and left out.
    #[inline]
    pub fn insert(&mut self, value: f64) {
        let Some(value) = self.tally.admit(value) else { return };
        if self.values.len() < self.capacity {
            self.values.push(value);
            return;
        }
        let at = self.random.below(self.tally.taken);
        if let Some(slot) = self.values.get_mut(at as usize) {
            *slot = value;
        }
    }

    /// Returns the sample, in no order.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Counts the finite values seen.
    pub const fn count(&self) -> u64 {
        self.tally.taken
    }

    /// Counts the values that were not finite.
    pub const fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    /// Makes this the sample of both streams together: from each, without repetition, in the proportion of what is
    /// left of them. Where one of them has kept too few for that, the sample becomes smaller, and stays so.
    pub fn merge(&mut self, other: &Self) {
        let (mut ours, mut theirs) = (core::mem::take(&mut self.values), other.values.clone());
        let (mut left, mut right) = (self.tally.taken, other.tally.taken);
        while self.values.len() < self.capacity && left + right > 0 {
            let from_ours = self.random.below(left + right) < left;
            let (pool, rest) = if from_ours { (&mut ours, &mut left) } else { (&mut theirs, &mut right) };
            if pool.is_empty() {
                // More would no longer be a sample of both; nor would later values, each kept for sure.
                self.capacity = self.values.len().max(1);
                break;
            }
            *rest -= 1;
            let at = self.random.below(pool.len() as u64) as usize;
            self.values.push(pool.swap_remove(at));
        }
        self.tally.taken = self.tally.taken.saturating_add(other.tally.taken);
        self.tally.ignored = self.tally.ignored.saturating_add(other.tally.ignored);
    }

    /// Appends the sample in the crate's versioned form: 33 bytes and 8 a kept value.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_u32(out, self.capacity as u32);
        self.tally.write(out);
        put_u64(out, self.random.state());
        put_u32(out, self.values.len() as u32);
        self.values.iter().for_each(|&value| put_f64(out, value));
    }

    /// Reads what [`Reservoir::write`] wrote.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are cut short, of an unknown version, or hold sizes or values out of range.
    pub fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let found = bytes.u8()?;
        if found != VERSION {
            return Err(DecodeError::Version { what: "reservoir", found });
        }
        let capacity = bytes.u32()? as usize;
        let mut read = Self::new(capacity, 0).map_err(|_| DecodeError::Range { field: "capacity" })?;
        read.tally = Tally::read(bytes)?;
        read.random = SplitMix64::new(bytes.u64()?);
        let kept = bytes.u32()? as usize;
        let expected = read.tally.taken.min(capacity as u64);
        // A merge of short samples can keep fewer than were seen.
        ensure(kept as u64 <= expected && (kept > 0 || expected == 0), "values")?;
        ensure(bytes.remaining() >= kept * 8, "values")?;
        for _ in 0..kept {
            let value = bytes.finite("values")?;
            ensure(value.abs() <= VALUE_LIMIT, "values")?;
            read.values.push(value);
        }
        Ok(read)
    }
}
