//! The last so many bits of a stream, packed: the memory of detectors that slide a window over errors.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_u32, put_u64};
use crate::state::ensure;

/// The most bits that fit a detector's state.
pub(crate) const BITS_LIMIT: u32 = 24_000;

/// A queue of at most `capacity` bits; a push onto a full one drops the oldest.
#[derive(Clone, Debug)]
pub(crate) struct BitRing {
    words: Box<[u64]>,
    capacity: u32,
    start: u32,
    len: u32,
}

impl BitRing {
    /// Makes room for `capacity` bits, at least 1 and at most [`BITS_LIMIT`].
    pub(crate) fn new(capacity: u32) -> Self {
        let capacity = capacity.clamp(1, BITS_LIMIT);
        Self { words: vec![0; capacity.div_ceil(64) as usize].into(), capacity, start: 0, len: 0 }
    }

    /// Counts the bits held.
    #[inline]
    pub(crate) const fn len(&self) -> u32 {
        self.len
    }

    /// Is true when the next push drops a bit.
    #[inline]
    pub(crate) const fn is_full(&self) -> bool {
        self.len == self.capacity
    }

    #[inline]
    fn slot(&self, position: u32) -> u32 {
        let slot = self.start + position;
        if slot >= self.capacity { slot - self.capacity } else { slot }
    }

    /// Returns the bit at `position`, 0 being the oldest; `false` beyond the end.
    #[inline]
    pub(crate) fn at(&self, position: u32) -> bool {
        let slot = self.slot(position);
        self.words.get((slot / 64) as usize).is_some_and(|word| word >> (slot % 64) & 1 == 1)
    }

    /// Takes a bit in, and returns the one that falls out.
    #[inline]
    pub(crate) fn push(&mut self, bit: bool) -> Option<bool> {
        let full = self.is_full();
        let oldest = full.then(|| self.at(0));
        let slot = self.slot(if full { 0 } else { self.len });
        if let Some(word) = self.words.get_mut((slot / 64) as usize) {
            *word = *word & !(1 << (slot % 64)) | u64::from(bit) << (slot % 64);
        }
        if full {
            self.start = self.slot(1);
        } else {
            self.len += 1;
        }
        oldest
    }

    /// Forgets every bit.
    pub(crate) const fn clear(&mut self) {
        self.start = 0;
        self.len = 0;
    }

    /// Forgets all but the newest `n` bits.
    pub(crate) fn keep_newest(&mut self, n: u64) {
        let gone = self.len - u32::try_from(n).unwrap_or(u32::MAX).min(self.len);
        self.start = self.slot(gone);
        self.len -= gone;
    }

    /// Walks from the oldest bit to the newest.
    pub(crate) fn iter(&self) -> impl Iterator<Item = bool> + '_ {
        (0..self.len).map(|position| self.at(position))
    }

    /// Counts the ones among the newest `n`.
    pub(crate) fn ones(&self, n: u32) -> u32 {
        let n = n.min(self.len);
        let (from, to) = (self.start + self.len - n, self.start + self.len);
        // The slots go round at the capacity.
        let wrapped = (from.saturating_sub(self.capacity), to.saturating_sub(self.capacity));
        self.ones_between(from.min(self.capacity), to.min(self.capacity))
            + self.ones_between(wrapped.0, wrapped.1)
    }

    /// Counts the ones in the slots from one up to, not with, another, word by word.
    fn ones_between(&self, from: u32, to: u32) -> u32 {
        let skipped = (from / 64) as usize;
        let words = self.words.iter().enumerate().take(to.div_ceil(64) as usize).skip(skipped);
        let masked = words.map(|(i, word)| {
            let first = 64 * i as u32;
            let (after, before) = (from.saturating_sub(first), to - first);
            let below = if before < 64 { (1 << before) - 1 } else { u64::MAX };
            (word & below & (u64::MAX << after)).count_ones()
        });
        masked.sum()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_u32(out, self.start);
        put_u32(out, self.len);
        self.words.iter().for_each(|&word| put_u64(out, word));
    }

    /// Reads what [`BitRing::write`] wrote for the same capacity.
    pub(crate) fn read(bytes: &mut Reader<'_>, capacity: u32) -> Result<Self, DecodeError> {
        let mut ring = Self::new(capacity);
        ring.start = bytes.u32()?;
        ring.len = bytes.u32()?;
        ensure(ring.start < ring.capacity && ring.len <= ring.capacity, "bits")?;
        for word in &mut ring.words {
            *word = bytes.u64()?;
        }
        Ok(ring)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::BitRing;

    #[test]
    fn a_ring_holds_what_a_queue_holds() {
        for capacity in [1, 3, 63, 64, 65, 200] {
            let (mut ring, mut queue) = (BitRing::new(capacity), VecDeque::new());
            for i in 0..1_000_u32 {
                let bit = i.wrapping_mul(0x9e37_79b9) >> 31 == 1;
                let dropped = if queue.len() == capacity as usize { queue.pop_front() } else { None };
                queue.push_back(bit);
                assert_eq!(ring.push(bit), dropped);
                assert!(ring.iter().eq(queue.iter().copied()));
                for newest in [0, 7, 64, 130, 1_000] {
                    let ones = queue.iter().rev().take(newest).filter(|bit| **bit).count();
                    assert_eq!(ring.ones(newest as u32), ones as u32);
                }
                if i == 300 {
                    ring.keep_newest(2);
                    queue.drain(..queue.len().saturating_sub(2));
                }
                if i == 500 {
                    ring.clear();
                    queue.clear();
                }
            }
        }
    }
}
