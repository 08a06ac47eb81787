//! Finds the number that a name has in the dictionary, by a token of two words: no text is hashed or compared.

/// Stands for a name while pieces are written: two words that the caller gives, the same for the same name and different
/// for different ones. Which they are is nobody else's business; they are not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesToken(pub u64, pub u64);

/// A table of tokens by open addressing, emptied by raising its stamp.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    slots: Vec<Slot>,
    /// The last one found of those whose first words end alike: neighbours there are neighbours here, without gaps, so that
    /// the tokens of many models that have one series each lie in a fraction of the memory.
    near: Vec<Slot>,
    used: u32,
    stamp: u32,
    /// Events often come in runs of one series.
    last: Option<(SeriesToken, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    token: SeriesToken,
    number: u32,
    /// The slot is taken when this is the table's.
    stamp: u32,
}

const EMPTY: Slot = Slot { token: SeriesToken(0, 0), number: 0, stamp: 0 };
const SLOTS: usize = 256;

impl Tokens {
    pub(super) fn new() -> Self {
        Self::with_slots(SLOTS)
    }

    fn with_slots(slots: usize) -> Self {
        Self { slots: vec![EMPTY; slots], near: vec![EMPTY; slots / 2], used: 0, stamp: 1, last: None }
    }

    pub(super) fn clear(&mut self) {
        let wanted = (self.used as usize * 4).next_power_of_two().max(SLOTS);
        if wanted < self.slots.len() {
            // Memory that was of use once only.
            *self = Self::with_slots(wanted);
            return;
        }
        (self.used, self.last) = (0, None);
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.slots.fill(EMPTY);
            self.near.fill(EMPTY);
            self.stamp = 1;
        }
    }

    #[inline]
    pub(super) fn find(&mut self, token: SeriesToken) -> Option<u32> {
        if let Some((last, number)) = self.last
            && last == token
        {
            return Some(number);
        }
        let (near, stamp) = (self.near_of(token), self.stamp);
        if let Some(slot) = self.near.get(near)
            && slot.stamp == stamp
            && slot.token == token
        {
            let number = slot.number;
            self.last = Some((token, number));
            return Some(number);
        }
        self.find_far(token, near)
    }

    fn find_far(&mut self, token: SeriesToken, near: usize) -> Option<u32> {
        let found = *self.slots.get(self.place_of(token)).filter(|slot| slot.stamp == self.stamp)?;
        if let Some(slot) = self.near.get_mut(near) {
            *slot = found;
        }
        self.last = Some((token, found.number));
        Some(found.number)
    }

    /// Reads the slot at which the search for a token begins.
    #[inline]
    pub(super) fn touch(&self, token: SeriesToken) -> u64 {
        self.near.get(self.near_of(token)).map_or(0, |slot| slot.token.0)
    }

    /// Gives a token that is not in the table its number.
    pub(super) fn insert(&mut self, token: SeriesToken, number: u32) {
        if (self.used as usize + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let (place, stamp) = (self.place_of(token), self.stamp);
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = Slot { token, number, stamp };
            self.used += 1;
        }
    }

    fn grow(&mut self) {
        let wider = vec![EMPTY; self.slots.len() * 2];
        self.near = vec![EMPTY; self.slots.len()];
        let old = std::mem::replace(&mut self.slots, wider);
        let stamp = self.stamp;
        for slot in old.into_iter().filter(|slot| slot.stamp == stamp) {
            let place = self.place_of(slot.token);
            if let Some(free) = self.slots.get_mut(place) {
                *free = slot;
            }
        }
    }

    /// Where a token is if it was the last one found of those like it.
    #[inline]
    fn near_of(&self, SeriesToken(a, _): SeriesToken) -> usize {
        a.wrapping_add((a >> 24).wrapping_mul(0x9E37_79B9)) as usize & (self.near.len() - 1)
    }

    /// Where the token is, or where it would be put. At least half of the slots are free, so this ends.
    fn place_of(&self, token: SeriesToken) -> usize {
        let mask = self.slots.len() - 1;
        let SeriesToken(a, b) = token;
        let hash = (a ^ b.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut place = (hash >> 32) as usize & mask;
        while let Some(slot) = self.slots.get(place)
            && slot.stamp == self.stamp
            && slot.token != token
        {
            place = (place + 1) & mask;
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_keep_their_numbers_while_the_table_grows_and_lose_them_when_it_is_emptied() {
        let mut tokens = Tokens::new();
        for round in 0..3 {
            for number in 0..10_000 {
                let token = SeriesToken(u64::from(number) << 24, u64::from(number % 7));
                assert_eq!(tokens.find(token), None, "round {round}, token {number}");
                tokens.insert(token, number);
            }
            for number in (0..10_000).rev() {
                assert_eq!(
                    tokens.find(SeriesToken(u64::from(number) << 24, u64::from(number % 7))),
                    Some(number)
                );
            }
            assert_eq!(tokens.find(SeriesToken(1, 1)), None);
            tokens.clear();
        }
    }

    #[test]
    fn tokens_whose_first_words_are_the_same_are_told_apart_in_any_order() {
        let mut tokens = Tokens::new();
        let series = |number: u32| SeriesToken(u64::from(number / 4), u64::from(number % 4));
        for number in 0..4_000 {
            tokens.insert(series(number), number);
        }
        for step in [1, 4, 1_001] {
            for number in (0..4_000).map(|number| number * step % 4_000) {
                assert_eq!(tokens.find(series(number)), Some(number), "step {step}");
            }
        }
        assert_eq!(tokens.find(SeriesToken(7, 4)), None);
    }

    #[test]
    fn a_stamp_that_comes_round_leaves_nothing_of_old_times() {
        let mut tokens = Tokens::new();
        tokens.insert(SeriesToken(1, 2), 5);
        tokens.stamp = u32::MAX;
        tokens.insert(SeriesToken(3, 4), 6);
        tokens.clear();
        assert_eq!((tokens.find(SeriesToken(1, 2)), tokens.find(SeriesToken(3, 4))), (None, None));
    }
}
