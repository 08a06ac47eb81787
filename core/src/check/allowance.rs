//! The part of a model's false-alarm budget that one detector may spend, and the run length that keeps it.

use visu_tility_drift::codec::{DecodeError, Reader, put_f64, put_i64, put_u32, put_u64};

use super::budgeted::FollowsBudget;
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

/// While time stands still, what has come is taken to have come within an hour.
const STANDSTILL_PER_DAY: f64 = 24.0;
/// Evidence that reaches the threshold of so great a part of a shorter run length does not count towards it.
const EVIDENCE_MOST: f64 = 1.0 / 8.0;

/// A share of a budget of false alarms, and the rate of values that it is spent at.
///
/// With `B` false alarms per 30 days for the model, `k` detectors that share it and `r` values a day, each
/// may give one false alarm in `30 r k / B` values. The rate is that since the first value or since the
/// last look, whichever is larger, rounded up to a power of two so that the threshold seldom moves; `k` is
/// rounded up likewise.
///
/// Until 64 values have come, one a second is assumed. While all values bear one time (a job that stamps a day's
/// predictions at midnight), the rate is not known: then it is that of all of them within an hour, if that is more.
/// However long it truly was, `n` values then spend at most the budget of `1 + log2(n / 3,600)` hours.
///
/// A longer run length holds at once, a shorter one ([`Allowance::aim`]) where the detector's evidence allows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Allowance {
    /// False alarms per 30 days of the model.
    budget: f64,
    sharers: u32,
    first: Timestamp,
    /// Values before the first that counts.
    seen_at_first: u64,
    last_look: Timestamp,
    seen_at_look: u64,
    /// Values a day.
    rate: f64,
    /// The rate is measured from the next value on.
    afresh: bool,
    /// The detector still has a longer run length than its share allows, because of its evidence.
    held: bool,
    /// The value at which it is looked at again; it follows from the rest.
    next_look: u64,
}

impl Allowance {
    pub const fn new(budget: f64, sharers: u32) -> Self {
        let (first, last_look) = (Timestamp::EPOCH, Timestamp::EPOCH);
        let (seen_at_first, seen_at_look, rate) = (0, 0, RATE_ASSUMED);
        let (afresh, held, next_look) = (false, false, FIRST_LOOK);
        Self { budget, sharers, first, seen_at_first, last_look, seen_at_look, rate, afresh, held, next_look }
    }

    /// The average number of values between false alarms that keeps within the share.
    pub fn arl(&self) -> f64 {
        run_length(self.budget, self.rate, self.sharers)
    }

    /// Values a day, as the run length takes them.
    pub const fn rate_per_day(&self) -> f64 {
        self.rate
    }

    /// Takes note of who shares; answers whether the detector is to be aimed anew.
    pub fn share(&mut self, budget: f64, sharers: u32) -> bool {
        let before = self.arl();
        (self.budget, self.sharers) = (budget, sharers);
        self.plan_look();
        self.arl() != before
    }

    /// Measures the rate from the next value on: what went before, a long silence included, says nothing of it. The
    /// rate seen before holds until then.
    pub const fn measure_afresh(&mut self) {
        (self.afresh, self.next_look) = (true, 0);
    }

    /// Takes note of a value, the `seen`-th; answers whether the detector is to be aimed anew.
    #[inline]
    pub fn note(&mut self, seen: u64, at: Timestamp) -> bool {
        if seen > 1 && seen < self.next_look {
            return false;
        }
        self.look(seen, at)
    }

    /// Sets the detector to the run length that keeps within the share.
    ///
    /// A longer one holds at once. So does a shorter one, unless the evidence gathered so far would reach the threshold of an
    /// eighth of it: a whole fleet whose budget is loosened would alarm with the next values, though they say nothing. Such
    /// evidence is forgotten; where that would forget the level before the change too, the longer run length is kept, value
    /// for value, until the evidence has fallen. Either way the run length in force is never shorter than the share's
    /// and evidence is never added, so that the budget is kept; and a change that is under way is still found.
    pub fn aim(&mut self, detector: &mut impl FollowsBudget) {
        let wanted = self.arl();
        let longer = detector.run_length().is_some_and(|arl| arl > wanted);
        let much = longer && detector.reaches(wanted * EVIDENCE_MOST);
        self.held = much && !detector.forget_evidence();
        if !self.held {
            detector.set_run_length(wanted);
        }
        self.plan_look();
    }

    fn plan_look(&mut self) {
        let soon = self.held || self.afresh;
        self.next_look = if soon { 0 } else { self.look_due() };
    }

    /// The value at which the rate is looked at again.
    fn look_due(&self) -> u64 {
        let spent = ((self.arl() * SPENT_MOST) as u64).max(LOOK_LEAST);
        let counted = self.seen_at_look.saturating_sub(self.seen_at_first);
        self.seen_at_look + counted.clamp(FIRST_LOOK, LOOK_EVERY).min(spent)
    }

    #[cold]
    fn look(&mut self, seen: u64, at: Timestamp) -> bool {
        if seen <= 1 || self.afresh {
            // Also of a detector that has started afresh after a silence.
            (self.first, self.last_look, self.afresh) = (at, at, false);
            (self.seen_at_first, self.seen_at_look) = (seen.saturating_sub(1), seen.saturating_sub(1));
        }
        let before = self.rate;
        if seen >= self.look_due() {
            self.measure(seen, at);
        }
        self.plan_look();
        self.held || self.rate != before
    }

    fn measure(&mut self, seen: u64, at: Timestamp) {
        let rate = |values: u64, since: Timestamp| {
            let days = (at.micros().saturating_sub(since.micros())) as f64 / MICROS_PER_DAY;
            if days > 0.0 { values as f64 / days } else { 0.0 }
        };
        let counted = seen - self.seen_at_first.min(seen);
        let seen_rate =
            rate(counted, self.first).max(rate(seen - self.seen_at_look.min(seen), self.last_look));
        (self.last_look, self.seen_at_look) = (at, seen);
        self.rate = if seen_rate > 0.0 {
            power_of_two_from(seen_rate)
        } else {
            let most = counted as f64 * STANDSTILL_PER_DAY;
            if most > self.rate { power_of_two_from(most) } else { self.rate }
        };
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        put_f64(out, self.budget);
        put_u32(out, self.sharers);
        put_i64(out, self.first.micros());
        put_u64(out, self.seen_at_first);
        put_i64(out, self.last_look.micros());
        put_u64(out, self.seen_at_look);
        put_f64(out, self.rate);
        out.push(u8::from(self.afresh) | u8::from(self.held) << 1);
    }

    pub fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (budget, sharers) = (bytes.finite("budget")?, bytes.u32()?);
        let (first, seen_at_first) = (Timestamp::from_micros(bytes.i64()?), bytes.u64()?);
        let (last_look, seen_at_look) = (Timestamp::from_micros(bytes.i64()?), bytes.u64()?);
        let (rate, flags) = (bytes.finite("rate")?, bytes.u8()?);
        let ok = budget > 0.0 && rate > 0.0 && sharers <= SHARERS_MAX && flags < 4;
        if !ok || seen_at_look > 1 << 60 || seen_at_first > seen_at_look {
            return Err(DecodeError::Range { field: "allowance" });
        }
        let (afresh, held, next_look) = (flags & 1 != 0, flags & 2 != 0, 0);
        let mut read = Self {
            budget,
            sharers,
            first,
            seen_at_first,
            last_look,
            seen_at_look,
            rate,
            afresh,
            held,
            next_look,
        };
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
    fn while_time_stands_still_what_has_come_is_taken_to_have_come_within_an_hour() {
        let mut allowance = Allowance::new(1.0, 1);
        assert!((1..=3_600).all(|seen| !allowance.note(seen, at(5))), "one a second is assumed anyway");
        let mut spent = 0.0;
        for seen in 3_601..=1_000_000 {
            allowance.note(seen, at(5));
            spent += 1.0 / allowance.arl();
        }
        // Of one false alarm in 720 hours.
        assert!(spent < (1_000_000.0_f64 / 3_600.0).log2() / 720.0, "{spent}");
        assert!(allowance.rate_per_day() >= 20e6, "{}", allowance.rate_per_day());
        // The next day's million: a million a day, and the day that is counted once too often.
        (1_000_001..=2_000_000).for_each(|seen| _ = allowance.note(seen, at(86_405)));
        assert_eq!(allowance.rate_per_day(), 2_097_152.0);
    }

    #[test]
    fn a_small_batch_at_one_time_is_followed_when_time_moves() {
        let mut allowance = Allowance::new(1.0, 1);
        (1..=10_000).for_each(|seen| _ = allowance.note(seen, at(5)));
        assert_eq!(allowance.rate_per_day(), 262_144.0, "8,192 an hour at the last look");
        (10_001..=20_000).for_each(|seen| _ = allowance.note(seen, at(86_405)));
        assert_eq!(allowance.rate_per_day(), 16_384.0);
    }

    /// Evidence that is told, on the scale of run lengths.
    struct Told {
        arl: f64,
        evidence: f64,
        forgets: bool,
    }

    impl FollowsBudget for Told {
        fn run_length(&self) -> Option<f64> {
            Some(self.arl)
        }
        fn set_run_length(&mut self, values: f64) {
            self.arl = values;
        }
        fn reaches(&self, values: f64) -> bool {
            self.evidence >= values
        }
        fn forget_evidence(&mut self) -> bool {
            self.evidence *= if self.forgets { 0.0 } else { 1.0 };
            self.forgets
        }
    }

    #[test]
    fn a_shorter_run_length_waits_for_evidence_to_fall_and_a_longer_one_does_not() {
        let mut allowance = Allowance::new(1.0, 1);
        let mut detector = Told { arl: 0.0, evidence: 1e9, forgets: false };
        allowance.aim(&mut detector);
        let long = 30.0 * 86_400.0;
        assert_eq!(detector.arl, long);
        assert!(allowance.share(10.0, 1));
        allowance.aim(&mut detector);
        assert_eq!(detector.arl, long);
        let mut values = 0;
        while detector.arl == long {
            detector.evidence /= 2.0;
            values += 1;
            assert!(allowance.note(values + 1, at(values)), "asked after at each value");
            allowance.aim(&mut detector);
        }
        assert_eq!((detector.arl, detector.evidence), (long / 10.0, 1e9 / 2_f64.powi(values as i32)));
        assert!(detector.evidence < long / 80.0 && detector.evidence >= long / 160.0);
        assert!(!allowance.note(values + 2, at(values)), "and no more after that");
        detector.evidence = 1e9;
        assert!(allowance.share(10.0, 2));
        allowance.aim(&mut detector);
        assert_eq!(detector.arl, long / 5.0, "at once");
    }

    #[test]
    fn evidence_that_can_be_forgotten_does_not_count_towards_a_shorter_run_length() {
        let long = 30.0 * 86_400.0;
        for (evidence, kept) in [(long / 79.0, 0.0), (long / 81.0, long / 81.0)] {
            let (mut allowance, mut detector) =
                (Allowance::new(10.0, 1), Told { arl: long, evidence, forgets: true });
            allowance.aim(&mut detector);
            assert_eq!((detector.arl, detector.evidence), (long / 10.0, kept));
        }
    }

    #[test]
    fn a_rate_that_is_measured_afresh_forgets_the_silence_before() {
        let mut allowance = Allowance::new(1.0, 1);
        let feed = |allowance: &mut Allowance, from: u64, count: u64, second: u64| {
            (0..count).for_each(|i| _ = allowance.note(from + i, at(second + 60 * i)));
            allowance.rate_per_day()
        };
        assert_eq!(feed(&mut allowance, 1, 1_000, 0), 2_048.0);
        let mut other = allowance;
        // A year later a day of one value a minute: as a mean since the first it is six values a day.
        allowance.measure_afresh();
        assert_eq!(feed(&mut allowance, 1_001, 3_000, 31_536_000), 2_048.0);
        let mut least = other.rate_per_day();
        (0..3_000).for_each(|i| least = least.min(feed(&mut other, 1_001 + i, 1, 31_536_000 + 60 * i)));
        assert!(least < 10.0, "{least}");
    }

    #[test]
    fn rates_are_rounded_up_within_limits() {
        assert_eq!(power_of_two_from(0.0), 0.000_000_953_674_316_406_25);
        assert!(power_of_two_from(f64::MAX).is_finite());
    }

    #[test]
    fn it_is_read_back() {
        let mut allowance = Allowance::new(1.0, 1);
        (1..100).for_each(|seen| _ = allowance.note(seen, at(seen * 7)));
        allowance.measure_afresh();
        (100..150).for_each(|seen| _ = allowance.note(seen, at(seen * 7)));
        let mut detector = Told { arl: 1e15, evidence: 1e15, forgets: false };
        allowance.aim(&mut detector);
        let mut bytes = Vec::new();
        allowance.write(&mut bytes);
        assert_eq!(Allowance::read(&mut Reader::new(&bytes)), Ok(allowance));
    }
}
