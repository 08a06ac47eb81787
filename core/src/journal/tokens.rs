//! Finds the number that a name has in the dictionary, by a token of two words: no text is hashed or compared.

/// Stands for a name while pieces are written: two words that the caller gives, the same for the same name and different
/// for different ones. Which they are is nobody else's business; they are not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesToken(pub u64, pub u64);

/// A table of tokens by open addressing, emptied by raising its stamp.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    slots: Vec<Slot>,
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
        Self { slots: vec![EMPTY; SLOTS], used: 0, stamp: 1, last: None }
    }

    pub(super) fn clear(&mut self) {
        let wanted = (self.used as usize * 4).next_power_of_two().max(SLOTS);
        if wanted < self.slots.len() {
            // Memory that was of use once only.
            *self = Self { slots: vec![EMPTY; wanted], used: 0, stamp: 1, last: None };
            return;
        }
        (self.used, self.last) = (0, None);
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.slots.fill(EMPTY);
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
        let slot = self.slots.get(self.place_of(token)).filter(|slot| slot.stamp == self.stamp)?;
        let number = slot.number;
        self.last = Some((token, number));
        Some(number)
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
        let old = std::mem::replace(&mut self.slots, wider);
        let stamp = self.stamp;
        for slot in old.into_iter().filter(|slot| slot.stamp == stamp) {
            let place = self.place_of(slot.token);
            if let Some(free) = self.slots.get_mut(place) {
                *free = slot;
            }
        }
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
    fn a_stamp_that_comes_round_leaves_nothing_of_old_times() {
        let mut tokens = Tokens::new();
        tokens.insert(SeriesToken(1, 2), 5);
        tokens.stamp = u32::MAX;
        tokens.insert(SeriesToken(3, 4), 6);
        tokens.clear();
        assert_eq!((tokens.find(SeriesToken(1, 2)), tokens.find(SeriesToken(3, 4))), (None, None));
    }
}
