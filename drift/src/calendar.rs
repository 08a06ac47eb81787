//! The values seen at each time of a day or week.

use alloc::vec;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_i64, put_u32};
use crate::spans::Spans;
use crate::state::ensure;

/// Intervals kept of a slot, and of its newest occasion.
const SEEN: usize = 4;
const FRESH: usize = 2;

/// A period cut into slots of equal length; each remembers the values of its earlier occasions.
///
/// The values of the newest occasion are kept apart until the next one, so that a strange day is held
/// against other days and not against its own morning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Calendar {
    slots: Vec<Slot>,
    /// Seconds in a slot.
    length: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Slot {
    seen: Spans<SEEN>,
    fresh: Spans<FRESH>,
    /// Number of the newest occasion, counting slots from the epoch.
    occasion: i64,
    /// Earlier occasions.
    visits: u32,
}

impl Slot {
    const fn new() -> Self {
        Self { seen: Spans::new(), fresh: Spans::new(), occasion: i64::MIN, visits: 0 }
    }

    /// Makes the newest occasion an earlier one.
    fn close(&mut self) {
        if !self.fresh.is_empty() {
            self.seen.merge(&self.fresh);
            self.fresh = Spans::new();
            self.visits = self.visits.saturating_add(1);
        }
    }
}

impl Calendar {
    /// Cuts a period of `period` seconds, at least `slots`, into `slots`.
    pub(crate) fn new(period: i64, slots: usize) -> Self {
        Self { slots: vec![Slot::new(); slots], length: (period / slots as i64).max(1) }
    }

    /// Takes the next value. Gives its distance to the values of this slot and its neighbours on earlier
    /// occasions, and the number of those; nothing while there are fewer than `least`.
    pub(crate) fn update(&mut self, value: f64, seconds: i64, least: u32) -> Option<(f64, u32)> {
        let occasion = seconds.div_euclid(self.length);
        let count = self.slots.len() as i64;
        let at = occasion.rem_euclid(count.max(1)) as usize;
        let next = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        let last = at.checked_sub(1).unwrap_or(self.slots.len().saturating_sub(1));
        let slot = self.slots.get_mut(at)?;
        if slot.occasion != occasion {
            slot.close();
            slot.occasion = occasion;
            let after = self.slots.get_mut(next)?;
            if after.occasion.abs_diff(occasion) > count as u64 / 2 {
                after.close();
            }
        }
        let visits = self.slots.get(at)?.visits;
        let gap = if visits >= least {
            let near = [last, at, next].into_iter().filter_map(|i| self.slots.get(i));
            near.filter_map(|slot| slot.seen.gap(value)).reduce(f64::min)
        } else {
            None
        };
        self.slots.get_mut(at)?.fresh.insert(value);
        Some((gap?, visits))
    }

    /// Returns the memory on the heap.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    /// Forgets half of the weight.
    pub(crate) fn halve(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.seen.halve());
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for slot in &self.slots {
            put_i64(out, slot.occasion);
            put_u32(out, slot.visits);
            slot.seen.write(out);
            slot.fresh.write(out);
        }
    }

    /// Replaces the contents by what [`Calendar::write`] wrote.
    pub(crate) fn read(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        let count = self.slots.len() as i64;
        for (at, slot) in (0_i64..).zip(&mut self.slots) {
            let (occasion, visits) = (bytes.i64()?, bytes.u32()?);
            let (seen, fresh) = (Spans::read(bytes)?, Spans::read(bytes)?);
            let fits = occasion.rem_euclid(count) == at;
            ensure(fits || (occasion == i64::MIN && fresh.is_empty()), "occasion")?;
            *slot = Slot { seen, fresh, occasion, visits };
        }
        Ok(())
    }
}
