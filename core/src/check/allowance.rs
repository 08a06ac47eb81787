//! The part of a model's false-alarm budget that one detector may spend, and the run length that keeps it.

use visu_tility_drift::codec::{DecodeError, Reader, put_f64, put_u32, put_u64};

use super::budgeted::FollowsBudget;
use super::pace::{Pace, RATE_ASSUMED, power_of_two_from};
use crate::plan::FalseAlarmBudget;
use crate::time::Timestamp;

/// The days that a budget is for.
const DAYS: f64 = 30.0;
/// The rate is looked at before all sharers together spend so great a part of a false alarm at rates that are no longer
/// true, or before that much of a day's values have come, whichever is later: a rate that followed the hours of the day
/// would have the evidence of the day forgotten in the evening.
const SPENT_MOST: f64 = 1.0 / 16.0;
/// What every detector with a bound on false alarms takes.
const ARL_RANGE: (f64, f64) = (100.0, 1e15);
/// More than a model can have.
const SHARERS_MAX: u32 = 1 << 20;

/// Evidence that reaches the threshold of so great a part of a shorter run length does not count towards it.
const EVIDENCE_MOST: f64 = 1.0 / 8.0;
/// How often it is asked after in one run length, at most every so many values.
const HOLD_LOOKS: f64 = 64.0;
const HOLD_LOOK_LEAST: u64 = 16;

/// A shorter run length that waits for the detector's evidence to fall.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Hold {
    /// The value at which the evidence is looked at next; 0 for the next one.
    next: u64,
    /// The value from which on it does not wait any longer; 0 before the first look.
    until: u64,
    /// That value has come. Only between a look and what follows it, so it is not written.
    over: bool,
}

/// A share of a budget of false alarms, and the rate of values that it is spent at.
///
/// With `B` false alarms per 30 days for the model, `k` detectors that share it and `r` values a day ([`Pace`]), each
/// may give one false alarm in `30 r k / B` values; `k` is rounded up to a power of two so that the threshold seldom
/// moves.
///
/// A longer run length holds at once, a shorter one ([`Allowance::aim`]) where the detector's evidence allows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Allowance {
    /// False alarms per 30 days of the model.
    budget: f64,
    sharers: u32,
    pace: Pace,
    /// The detector still has a longer run length than its share allows, because of its evidence.
    hold: Option<Hold>,
    /// The value at which it is looked at again; it follows from the rest.
    next_look: u64,
}

impl Allowance {
    pub fn new(budget: f64, sharers: u32) -> Self {
        let mut new = Self { budget, sharers, pace: Pace::new(), hold: None, next_look: 0 };
        new.plan_look();
        new
    }

    /// The average number of values between false alarms that keeps within the share.
    pub fn arl(&self) -> f64 {
        run_length(self.budget, self.pace.per_day(), self.sharers)
    }

    /// Values a day, as the run length takes them.
    pub const fn rate_per_day(&self) -> f64 {
        self.pace.per_day()
    }

    /// Takes note of who shares; answers whether the detector is to be aimed anew.
    ///
    /// Until its own rate has been seen it takes that of its kind over all versions, if that is more than one a second: else
    /// many short-lived versions would each spend at one a second what comes faster.
    pub fn share(&mut self, share: Shared) -> bool {
        let before = self.arl();
        (self.budget, self.sharers) = (share.budget, share.sharers);
        self.pace.assume(share.per_day);
        self.changed(before)
    }

    /// Answers whether the run length is another one than before; then it waits from now on, if it must.
    fn changed(&mut self, before: f64) -> bool {
        let changed = self.arl() != before;
        if changed {
            self.hold = None;
        }
        self.plan_look();
        changed
    }

    /// Measures the rate of values from the next one on.
    pub fn measure_afresh(&mut self) {
        self.pace.measure_afresh();
        self.plan_look();
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
    /// evidence is forgotten; where that would forget the level before the change too, the longer run length is kept until
    /// the evidence has fallen, but for one of the shorter run lengths at most. Either way the run length in force is never
    /// shorter than the share's and evidence is never added, so that the budget is kept; and a change that is under way is
    /// still found.
    ///
    /// | evidence above an eighth of the shorter one's threshold | the detector can forget it | |
    /// |---|---|---|
    /// | no | | the shorter one holds |
    /// | yes | yes | it is forgotten, the shorter one holds |
    /// | yes | no | the longer one is kept; asked again 64 times within a run length, not oftener than every 16 values |
    pub fn aim(&mut self, detector: &mut impl FollowsBudget) {
        let wanted = self.arl();
        let waited = self.hold.is_some_and(|hold| hold.over);
        let longer = !waited && detector.run_length().is_some_and(|arl| arl > wanted);
        let waits = longer && detector.reaches(wanted * EVIDENCE_MOST) && !detector.forget_evidence();
        self.hold = waits.then(|| self.hold.unwrap_or_default());
        if !waits {
            detector.set_run_length(wanted);
        }
        self.plan_look();
    }

    fn plan_look(&mut self) {
        let due = self.pace.look_due(self.spent_most());
        self.next_look = self.hold.map_or(due, |hold| due.min(hold.next));
    }

    /// After so many values at most the rate is looked at. The same for one sharer and for many: bursts often reach all.
    fn spent_most(&self) -> f64 {
        FalseAlarmBudget { false_alarms_per_30_days: self.budget }.values_to_look(self.pace.per_day())
    }

    #[cold]
    fn look(&mut self, seen: u64, at: Timestamp) -> bool {
        let before = self.arl();
        self.pace.look(seen, at, self.spent_most());
        let changed = self.changed(before);
        let asks = self.wait(seen);
        self.plan_look();
        changed || asks
    }

    /// While the run length waits: answers whether the evidence is to be looked at with this value.
    fn wait(&mut self, seen: u64) -> bool {
        let arl = self.arl();
        let Some(hold) = &mut self.hold else { return false };
        // A detector that has started afresh counts from 1 and has no evidence.
        if seen > 1 && seen < hold.next {
            return false;
        }
        if hold.until == 0 || seen <= 1 {
            hold.until = seen.saturating_add(arl as u64);
        }
        hold.over = seen >= hold.until;
        let step = ((arl / HOLD_LOOKS) as u64).max(HOLD_LOOK_LEAST);
        hold.next = seen.saturating_add(step).min(hold.until);
        true
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        put_f64(out, self.budget);
        put_u32(out, self.sharers);
        self.pace.write(out);
        out.push(u8::from(self.hold.is_some()));
        if let Some(hold) = self.hold {
            put_u64(out, hold.next);
            put_u64(out, hold.until);
        }
    }

    pub fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (budget, sharers) = (bytes.finite("budget")?, bytes.u32()?);
        if budget <= 0.0 || sharers > SHARERS_MAX {
            return Err(DecodeError::Range { field: "allowance" });
        }
        let pace = Pace::read(bytes)?;
        let hold = match bytes.u8()? {
            0 => None,
            1 => Some(Hold { next: bytes.u64()?, until: bytes.u64()?, over: false }),
            _ => return Err(DecodeError::Range { field: "hold" }),
        };
        let mut read = Self { budget, sharers, pace, hold, next_look: 0 };
        read.plan_look();
        Ok(read)
    }
}

/// What a detector is told of the budget that it has a share in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared {
    /// False alarms per 30 days of the model.
    pub budget: f64,
    /// Over how many detectors it is divided.
    pub sharers: u32,
    /// Values a day of the model's values of the same kind, over all versions.
    pub per_day: f64,
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

impl FalseAlarmBudget {
    /// The number of values at this rate that may be judged before the rate is looked at again.
    pub(crate) fn values_to_look(self, rate: f64) -> f64 {
        (run_length(self.false_alarms_per_30_days, rate, 1) * SPENT_MOST).max(rate)
    }
}

/// The number of sharers as thresholds take it.
pub(crate) const fn rounded(sharers: u32) -> u32 {
    if sharers > SHARERS_MAX { SHARERS_MAX } else { sharers.next_power_of_two() }
}

/// The run length at a rate that is rounded already.
fn run_length(budget: f64, rate: f64, sharers: u32) -> f64 {
    (DAYS * rate * f64::from(rounded(sharers)) / budget).clamp(ARL_RANGE.0, ARL_RANGE.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(allowance: &mut Allowance, budget: f64, sharers: u32) -> bool {
        allowance.share(Shared { budget, sharers, per_day: 0.0 })
    }

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
        assert!(share(&mut allowance, 4.0, 3) && !share(&mut allowance, 4.0, 4));
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
        let mut asked = Vec::new();
        let note = |allowance: &mut Allowance, detector: &mut Told, seen: u64, asked: &mut Vec<u64>| {
            if allowance.note(seen, at(seen)) {
                asked.push(seen);
                allowance.aim(detector);
            }
        };
        (1..=100).for_each(|seen| note(&mut allowance, &mut detector, seen, &mut asked));
        let long = 30.0 * 131_072.0;
        assert_eq!((detector.arl, asked.len()), (long, 1));
        asked.clear();
        assert!(share(&mut allowance, 10.0, 1));
        allowance.aim(&mut detector);
        assert_eq!(detector.arl, long);
        let mut seen = 100;
        while detector.arl == long {
            // Down by a half every 6,144 values, which are 1 of 64 parts of the run length.
            detector.evidence *= 0.5_f64.powf(1.0 / 6_144.0);
            seen += 1;
            note(&mut allowance, &mut detector, seen, &mut asked);
        }
        assert!(asked[0] == 101 && asked.windows(2).all(|pair| pair[1] - pair[0] == 6_144), "{asked:?}");
        assert_eq!(detector.arl, long / 10.0);
        assert!(detector.evidence < long / 80.0 && detector.evidence >= long / 160.0);
        detector.evidence = 1e9;
        assert!(share(&mut allowance, 10.0, 2));
        allowance.aim(&mut detector);
        assert_eq!(detector.arl, long / 5.0, "at once");
    }

    #[test]
    fn a_shorter_run_length_waits_for_one_run_length_at_most() {
        let mut allowance = Allowance::new(1.0, 1);
        let mut detector = Told { arl: 30.0 * 86_400.0, evidence: 1e9, forgets: false };
        assert!(share(&mut allowance, 1_000.0, 1));
        allowance.aim(&mut detector);
        let mut asked = 0;
        // 2,592 values; time stands still, so that the rate says nothing.
        for seen in 1..=2_593 {
            assert_eq!(detector.arl, 30.0 * 86_400.0, "at {seen}");
            if allowance.note(seen, at(0)) {
                asked += 1;
                allowance.aim(&mut detector);
            }
        }
        assert_eq!((detector.arl, asked), (2_592.0, 66));
        assert!((2_594..3_000).all(|seen| !allowance.note(seen, at(0))), "and no more after that");
    }

    #[test]
    fn a_wait_that_a_snapshot_falls_into_goes_on() {
        let mut allowance = Allowance::new(1.0, 1);
        let mut detector = Told { arl: 30.0 * 86_400.0, evidence: 1e9, forgets: false };
        share(&mut allowance, 1_000.0, 1);
        allowance.aim(&mut detector);
        for seen in 1..=4_100 {
            let mut bytes = Vec::new();
            allowance.write(&mut bytes);
            assert_eq!(Allowance::read(&mut Reader::new(&bytes)), Ok(allowance), "at {seen}");
            if allowance.note(seen, at(seen)) {
                allowance.aim(&mut detector);
            }
        }
        assert!(detector.arl < 30.0 * 86_400.0);
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
