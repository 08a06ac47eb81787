//! How many values come in a day, as far as their times tell.

use visu_tility_drift::codec::{DecodeError, Reader, put_f64, put_i64, put_u64};

use crate::time::Timestamp;

const MICROS_PER_DAY: f64 = 86_400e6;
/// Values a day that are assumed until the rate has been seen: one a second.
pub(crate) const RATE_ASSUMED: f64 = 86_400.0;
/// The rate is first looked at after so many values (16 where one was seen before), then whenever their number has doubled...
const FIRST_LOOK: u64 = 64;
/// ...and at least every so many...
const LOOK_EVERY: u64 = 65_536;
/// ...and as often as is asked for, though never before so many.
const LOOK_LEAST: u64 = 16;
/// While time stands still, what has come is taken to have come within an hour.
const STANDSTILL_PER_DAY: f64 = 24.0;
/// A rate that is seen is believed to be lower when it is by so much below the next lower power of two.
const FALL_MARGIN: f64 = 1.5;

/// The rate of a stream of values.
///
/// It is that since the first value or since the last look, whichever is larger, rounded up to a power of two. It rises
/// as soon as it is seen to be higher. It falls when it is seen to be below a third of what was taken: near a power of
/// two it would go to and fro with chance.
///
/// Until 64 values have come, one a second is assumed, or what [`Pace::assume`] says. While all values bear one time (a
/// job that stamps a day's predictions at midnight), the rate is not known: then it is that of all of them within an
/// hour, if that is more. However long it truly was, `n` values then spend at most the budget of `1 + log2(n / 3,600)`
/// hours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pace {
    first: Timestamp,
    /// Values before the first that counts.
    seen_at_first: u64,
    last_look: Timestamp,
    seen_at_look: u64,
    /// Values a day.
    rate: f64,
    /// The rate is measured from the next value on.
    afresh: bool,
    /// The rate has been seen, and is not just assumed.
    known: bool,
}

impl Pace {
    pub const fn new() -> Self {
        let (first, last_look) = (Timestamp::EPOCH, Timestamp::EPOCH);
        let (seen_at_first, seen_at_look, rate) = (0, 0, RATE_ASSUMED);
        Self { first, seen_at_first, last_look, seen_at_look, rate, afresh: false, known: false }
    }

    /// Values a day.
    pub const fn per_day(&self) -> f64 {
        self.rate
    }

    /// Takes this rate until one has been seen, but no less than one a second.
    pub fn assume(&mut self, per_day: f64) {
        if !self.known {
            self.rate = self.rate.max(per_day);
        }
    }

    /// Measures the rate from the next value on: what went before, a long silence included, says nothing of it. The
    /// rate seen before holds until then.
    pub const fn measure_afresh(&mut self) {
        self.afresh = true;
    }

    /// The value at which it is looked at again, after at most `most` (16 if that is less); 0 for the next one.
    pub fn look_due(&self, most: f64) -> u64 {
        if self.afresh {
            return 0;
        }
        let counted = self.seen_at_look.saturating_sub(self.seen_at_first);
        // Begun anew, many short bursts could each spend at the rate before.
        let least = if self.known && counted == 0 { LOOK_LEAST } else { FIRST_LOOK };
        self.seen_at_look + counted.clamp(least, LOOK_EVERY).min((most as u64).max(LOOK_LEAST))
    }

    /// Takes note of the `seen`-th value, measures when that is due, and answers whether the rate is another one.
    #[cold]
    pub fn look(&mut self, seen: u64, at: Timestamp, most: f64) -> bool {
        if seen <= 1 || self.afresh {
            // Also of a detector that has started afresh after a silence.
            (self.first, self.last_look, self.afresh) = (at, at, false);
            (self.seen_at_first, self.seen_at_look) = (seen.saturating_sub(1), seen.saturating_sub(1));
        }
        let before = self.rate;
        if seen >= self.look_due(most) {
            self.measure(seen, at);
        }
        self.rate != before
    }

    fn measure(&mut self, seen: u64, at: Timestamp) {
        let rate = |values: u64, since: Timestamp| {
            let days = (at.micros().saturating_sub(since.micros())) as f64 / MICROS_PER_DAY;
            if days > 0.0 { values as f64 / days } else { 0.0 }
        };
        let counted = seen - self.seen_at_first.min(seen);
        let since_look = rate(seen - self.seen_at_look.min(seen), self.last_look);
        let seen_rate = rate(counted, self.first).max(since_look);
        (self.last_look, self.seen_at_look) = (at, seen);
        if seen_rate > 0.0 {
            let falls = power_of_two_from(seen_rate * FALL_MARGIN) < self.rate;
            if falls || seen_rate > self.rate || !self.known {
                self.rate = power_of_two_from(seen_rate);
            }
            self.known = true;
        } else {
            let most = counted as f64 * STANDSTILL_PER_DAY;
            self.rate = if most > self.rate { power_of_two_from(most) } else { self.rate };
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        put_i64(out, self.first.micros());
        put_u64(out, self.seen_at_first);
        put_i64(out, self.last_look.micros());
        put_u64(out, self.seen_at_look);
        put_f64(out, self.rate);
        out.push(u8::from(self.afresh) | u8::from(self.known) << 1);
    }

    pub fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (first, seen_at_first) = (Timestamp::from_micros(bytes.i64()?), bytes.u64()?);
        let (last_look, seen_at_look) = (Timestamp::from_micros(bytes.i64()?), bytes.u64()?);
        let (rate, flags) = (bytes.finite("rate")?, bytes.u8()?);
        if rate <= 0.0 || flags >= 4 || seen_at_look > 1 << 60 || seen_at_first > seen_at_look {
            return Err(DecodeError::Range { field: "pace" });
        }
        let (afresh, known) = (flags & 1 != 0, flags & 2 != 0);
        Ok(Self { first, seen_at_first, last_look, seen_at_look, rate, afresh, known })
    }
}

/// The smallest power of two from `2^-20` to `2^60` that is not below `value`.
pub(crate) fn power_of_two_from(value: f64) -> f64 {
    let mut power = f64::from_bits(0x3eb0_0000_0000_0000);
    while power < value && power < 1.152_921_504_606_847e18 {
        power *= 2.0;
    }
    power
}

#[cfg(test)]
mod tests {
    use visu_tility_drift::simulate::Source;

    use super::*;

    #[test]
    fn rates_are_rounded_up_within_limits() {
        assert_eq!(power_of_two_from(0.0), 0.000_000_953_674_316_406_25);
        assert!(power_of_two_from(f64::MAX).is_finite());
    }

    #[test]
    fn a_rate_near_a_power_of_two_does_not_go_to_and_fro_with_chance() {
        for (place, share) in [0.7, 0.9, 0.97, 1.03, 1.1, 1.4].into_iter().enumerate() {
            let mut pace = Pace::new();
            // Gaps from nothing to twice the mean, which is that of a share of 1,024 a day.
            let mean = MICROS_PER_DAY / (share * 1_024.0);
            let gaps = Source::Beta { a: 1.0, b: 1.0 }.stream(place as u64).unwrap();
            let (mut micros, mut changes) = (0.0, 0);
            for (seen, gap) in (1..=50_000).zip(gaps) {
                micros += 2.0 * mean * gap;
                let at = Timestamp::from_micros(micros as i64);
                if pace.look_due(32.0) <= seen && pace.look(seen, at, 32.0) {
                    changes += 1;
                }
                assert!(seen < 64 || pace.per_day() >= share * 1_024.0 * 0.9, "{share} at {seen}");
            }
            assert!(changes <= 4, "{share}: {changes} changes in 1,500 looks");
            assert!(pace.per_day() <= 3.0 * share * 1_024.0, "{share}: {}", pace.per_day());
        }
    }

    #[test]
    fn what_is_assumed_holds_until_a_rate_is_seen() {
        let mut pace = Pace::new();
        pace.assume(5.0);
        assert_eq!(pace.per_day(), RATE_ASSUMED, "one a second at least");
        pace.assume(1e9);
        (1..=64).for_each(|seen| _ = pace.look(seen, Timestamp::from_micros(seen as i64 * 60_000_000), 64.0));
        assert_eq!(pace.per_day(), 2_048.0);
        pace.assume(1e9);
        assert_eq!(pace.per_day(), 2_048.0);
    }

    #[test]
    fn it_is_read_back_and_damage_is_refused() {
        let mut pace = Pace::new();
        (1..100).for_each(|seen| _ = pace.look(seen, Timestamp::from_micros(seen as i64), 32.0));
        pace.measure_afresh();
        let mut bytes = Vec::new();
        pace.write(&mut bytes);
        assert_eq!(Pace::read(&mut Reader::new(&bytes)), Ok(pace));
        bytes[40] = 4;
        let refused = Pace::read(&mut Reader::new(&bytes));
        assert_eq!(refused, Err(DecodeError::Range { field: "pace" }));
    }
}
