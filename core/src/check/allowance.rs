//! The part of a model's false-alarm budget that one detector may spend, and the run length that keeps it.

use visu_tility_drift::codec::{DecodeError, Reader, put_f64, put_i64, put_u32, put_u64};

use crate::plan::FalseAlarmBudget;
use crate::time::Timestamp;

/// The days that a budget is for.
const DAYS: f64 = 30.0;
const MICROS_PER_DAY: f64 = 86_400e6;
/// Values a day that are assumed until the rate has been seen: one a second.
const RATE_ASSUMED: f64 = 86_400.0;
/// The rate is first looked at after so many values, then whenever their number has doubled...
const FIRST_LOOK: u64 = 64;
/// ...and at least every so many...
const LOOK_EVERY: u64 = 65_536;
/// ...but before so great a part of a false alarm is spent at a rate that is no longer true...
const SPENT_MOST: f64 = 1.0 / 16.0;
/// ...though never before so many.
const LOOK_LEAST: u64 = 16;
/// What every detector with a bound on false alarms takes.
const ARL_RANGE: (f64, f64) = (100.0, 1e15);
/// More than a model can have.
const SHARERS_MAX: u32 = 1 << 20;

/// A share of a budget of false alarms, and the rate of values that it is spent at.
///
/// With `B` false alarms per 30 days for the model, `k` detectors that share it and `r` values a day, each
/// may give one false alarm in `30 r k / B` values. The rate is that since the first value or since the
/// last look, whichever is larger, rounded up to a power of two so that the threshold seldom moves; `k` is
/// rounded up likewise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Allowance {
    /// False alarms per 30 days of the model.
    budget: f64,
    sharers: u32,
    first: Timestamp,
    last_look: Timestamp,
    seen_at_look: u64,
    /// Values a day.
    rate: f64,
    /// The value at which the rate is looked at again; it follows from the rest.
    next_look: u64,
}

impl Allowance {
    pub const fn new(budget: f64, sharers: u32) -> Self {
        let start = Timestamp::EPOCH;
        let rate = RATE_ASSUMED;
        Self { budget, sharers, first: start, last_look: start, seen_at_look: 0, rate, next_look: FIRST_LOOK }
    }

    /// The average number of values between false alarms that keeps within the share.
    pub fn arl(&self) -> f64 {
        run_length(self.budget, self.rate, self.sharers)
    }

    /// Values a day, as the run length takes them.
    pub const fn rate_per_day(&self) -> f64 {
        self.rate
    }

    /// Takes note of who shares; answers whether the run length has changed.
    pub fn share(&mut self, budget: f64, sharers: u32) -> bool {
        let before = self.arl();
        (self.budget, self.sharers) = (budget, sharers);
        self.plan_look();
        self.arl() != before
    }

    /// Takes note of a value, the `seen`-th; answers whether the run length has changed.
    #[inline]
    pub fn note(&mut self, seen: u64, at: Timestamp) -> bool {
        if seen > 1 && seen < self.next_look {
            return false;
        }
        let changed = self.look(seen, at);
        self.plan_look();
        changed
    }

    fn plan_look(&mut self) {
        let spent = ((self.arl() * SPENT_MOST) as u64).max(LOOK_LEAST);
        self.next_look = self.seen_at_look + self.seen_at_look.clamp(FIRST_LOOK, LOOK_EVERY).min(spent);
    }

    #[cold]
    fn look(&mut self, seen: u64, at: Timestamp) -> bool {
        if seen <= 1 {
            // Also of a detector that has started afresh after a silence.
            (self.first, self.last_look, self.seen_at_look) = (at, at, 0);
            return false;
        }
        let rate = |values: u64, since: Timestamp| {
            let days = (at.micros().saturating_sub(since.micros())) as f64 / MICROS_PER_DAY;
            if days > 0.0 { values as f64 / days } else { 0.0 }
        };
        let seen_rate = rate(seen, self.first).max(rate(seen - self.seen_at_look, self.last_look));
        (self.last_look, self.seen_at_look) = (at, seen);
        if seen_rate <= 0.0 {
            return false;
        }
        let before = self.rate;
        self.rate = power_of_two_from(seen_rate);
        self.rate != before
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        put_f64(out, self.budget);
        put_u32(out, self.sharers);
        put_i64(out, self.first.micros());
        put_i64(out, self.last_look.micros());
        put_u64(out, self.seen_at_look);
        put_f64(out, self.rate);
    }

    pub fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (budget, sharers) = (bytes.finite("budget")?, bytes.u32()?);
        let (first, last_look) = (bytes.i64()?, bytes.i64()?);
        let (seen_at_look, rate) = (bytes.u64()?, bytes.finite("rate")?);
        let ok = budget > 0.0 && rate > 0.0 && sharers <= SHARERS_MAX && seen_at_look <= 1 << 60;
        if !ok {
            return Err(DecodeError::Range { field: "allowance" });
        }
        let (first, last_look) = (Timestamp::from_micros(first), Timestamp::from_micros(last_look));
        let mut read = Self { budget, sharers, first, last_look, seen_at_look, rate, next_look: 0 };
        read.plan_look();
        Ok(read)
    }
}

impl FalseAlarmBudget {
    /// The average number of values between false alarms that each of `sharers` detectors of a model is set to,
    /// whose values come at this rate; one a second is assumed where it is not known.
    ///
    /// Rate and sharers are rounded up to powers of two, so that thresholds seldom move; from 100 to 1e15.
    pub fn run_length(&self, values_per_day: Option<f64>, sharers: u32) -> f64 {
        let rate = values_per_day.map_or(RATE_ASSUMED, power_of_two_from);
        run_length(self.false_alarms_per_30_days, rate, sharers)
    }
}

/// The run length at a rate that is rounded already.
fn run_length(budget: f64, rate: f64, sharers: u32) -> f64 {
    let sharers = f64::from(sharers.min(SHARERS_MAX).next_power_of_two());
    (DAYS * rate * sharers / budget).clamp(ARL_RANGE.0, ARL_RANGE.1)
}

/// The smallest power of two from `2^-20` to `2^60` that is not below `value`.
fn power_of_two_from(value: f64) -> f64 {
    let mut power = f64::from_bits(0x3eb0_0000_0000_0000);
    while power < value && power < 1.152_921_504_606_847e18 {
        power *= 2.0;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + second as i64 * 1_000_000)
    }

    #[test]
    fn the_run_length_is_the_budget_over_the_rate() {
        // One value a minute, two false alarms in 30 days, three detectors taken as four.
        let of = |budget| FalseAlarmBudget { false_alarms_per_30_days: budget };
        assert_eq!(of(2.0).run_length(Some(1_440.0), 3), 30.0 * 2_048.0 * 4.0 / 2.0);
        assert_eq!(of(1.0).run_length(None, 1), 30.0 * 86_400.0);
        assert_eq!(of(1e6).run_length(Some(1.0), 1), 100.0);
    }

    #[test]
    fn a_budget_becomes_a_run_length_by_the_rate_that_is_seen() {
        // One value a minute, two false alarms in 30 days, three detectors (taken as four).
        let mut allowance = Allowance::new(2.0, 3);
        assert_eq!(allowance.arl(), 30.0 * 86_400.0 * 4.0 / 2.0, "one a second is assumed");
        let changes = (1..=1_000u64).filter(|seen| allowance.note(*seen, at(seen * 60))).count();
        // 1,440 a day, and one more than there are gaps.
        assert_eq!((changes, allowance.rate_per_day()), (1, 2_048.0));
        assert_eq!(allowance.arl(), 30.0 * 2_048.0 * 4.0 / 2.0);
        assert!(allowance.share(4.0, 3) && !allowance.share(4.0, 4));
    }

    #[test]
    fn a_rate_that_rises_is_followed_and_one_that_falls_is_not_trusted_at_once() {
        let mut allowance = Allowance::new(1.0, 1);
        let mut second = 0;
        for seen in 1..=300_000u64 {
            second += if seen < 100_000 { 60 } else { 1 };
            allowance.note(seen, at(second));
        }
        assert_eq!(allowance.rate_per_day(), 131_072.0);
    }

    /// The sum over all values of the chance of a false alarm, for one allowed in 30 days.
    #[test]
    fn a_burst_after_a_quiet_year_does_not_spend_more_than_its_time_allows() {
        let mut allowance = Allowance::new(1.0, 1);
        let (mut second, mut spent) = (0, 0.0);
        // 100 values a day for a year, then a day of 50,000.
        for seen in 1..=36_500 + 50_000u64 {
            let burst = seen > 36_500;
            second += if burst { 2 } else { 864 };
            allowance.note(seen, at(second));
            spent += if burst { 1.0 / allowance.arl() } else { 0.0 };
        }
        // The window in which it begins, and the next, are looked at too late.
        assert!(spent < 2.0 / 30.0 + 2.0 / 16.0, "{spent} false alarms in a day and a quarter");
    }

    #[test]
    fn a_first_value_that_is_much_older_than_the_rest_costs_little() {
        let mut allowance = Allowance::new(1.0, 1);
        let mut spent = 0.0;
        for seen in 1..=10_000u64 {
            allowance.note(seen, if seen == 1 { Timestamp::EPOCH } else { at(seen) });
            spent += 1.0 / allowance.arl();
        }
        assert!(spent < 0.2, "{spent}");
    }

    #[test]
    fn equal_times_tell_nothing_of_the_rate() {
        let mut allowance = Allowance::new(1.0, 1);
        assert!((1..=10_000).all(|seen| !allowance.note(seen, at(5))));
        assert_eq!(power_of_two_from(0.0), 0.000_000_953_674_316_406_25);
        assert!(power_of_two_from(f64::MAX).is_finite());
    }

    #[test]
    fn it_is_read_back() {
        let mut allowance = Allowance::new(1.0, 1);
        (1..100).for_each(|seen| _ = allowance.note(seen, at(seen * 7)));
        let mut bytes = Vec::new();
        allowance.write(&mut bytes);
        assert_eq!(Allowance::read(&mut Reader::new(&bytes)), Ok(allowance));
    }
}
