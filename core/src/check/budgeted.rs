//! A detector whose run length between false alarms may follow the plan's budget.

use visu_tility_drift::codec::{DecodeError, Reader};
use visu_tility_drift::{AnyParams, Detector, Setting};

use super::allowance::{Allowance, Shared};
use super::distribution::usual_arl;
use crate::error::ObserverError;
use crate::time::Timestamp;

/// What can be held to a run length.
pub(crate) trait FollowsBudget {
    /// The average number of values between false alarms that it is set to, if it has one now.
    fn run_length(&self) -> Option<f64>;

    /// Sets it to what its share of the budget leaves it.
    fn set_run_length(&mut self, arl: f64);

    /// Is true when the evidence gathered so far is at or above the threshold of that run length. Default: there is none.
    fn reaches(&self, arl: f64) -> bool {
        let _ = arl;
        false
    }

    /// Drops that evidence and keeps the level that was learnt, if it can tell one from the other. Default: it cannot.
    fn forget_evidence(&mut self) -> bool {
        false
    }
}

impl<D: Detector> FollowsBudget for D {
    fn run_length(&self) -> Option<f64> {
        self.arl()
    }

    fn set_run_length(&mut self, arl: f64) {
        self.set_arl(arl);
    }

    fn reaches(&self, arl: f64) -> bool {
        Detector::reaches(self, arl)
    }

    fn forget_evidence(&mut self) -> bool {
        Detector::forget_evidence(self)
    }
}

/// Gives a detector the run length that stands where something else sets it, and fits its windows; answers whether it has
/// one.
pub(crate) fn set_usual_arl(params: &mut AnyParams) -> Result<bool, ObserverError> {
    let usual = match params {
        AnyParams::DistributionShift(shift) => Some(Setting::Number(usual_arl(shift.window))),
        _ => AnyParams::by_name(params.name()).and_then(|usual| usual.get("arl")),
    };
    let Some(usual) = usual else { return Ok(false) };
    params.set("arl", usual).map_err(|error| ObserverError::Config(error.to_string()))?;
    Ok(true)
}

/// A detector with its allowance: the detector is told whenever its run length changes.
///
/// | | budgeted | not budgeted |
/// |---|---|---|
/// | a value, a new share, a new detector | the detector follows the allowance | nothing |
/// | written | 1 and the allowance | 0 |
///
/// The detector is not in what is written: its owner writes it where it stood before there was this type.
#[derive(Clone, Debug)]
pub(crate) struct Budgeted<D> {
    pub detector: D,
    /// What the plan's budget leaves it.
    allowance: Option<Allowance>,
}

impl<D: FollowsBudget> Budgeted<D> {
    /// Puts a detector under the budget, which was built for [`Self::start_arl`], or under none.
    pub fn new(detector: D, budgeted: bool) -> Self {
        Self { detector, allowance: budgeted.then(Self::allowance) }
    }

    /// What a detector is built for, until the model's budget is divided.
    pub fn start_arl() -> f64 {
        Self::allowance().arl()
    }

    fn allowance() -> Allowance {
        Allowance::new(1.0, 1)
    }

    pub const fn is_budgeted(&self) -> bool {
        self.allowance.is_some()
    }

    /// Takes note of a value, the `seen`-th that counts.
    #[inline]
    pub fn note(&mut self, seen: u64, at: Timestamp) {
        if let Some(allowance) = &mut self.allowance
            && allowance.note(seen, at)
        {
            allowance.aim(&mut self.detector);
        }
    }

    /// Takes its share of the model's budget.
    pub fn share(&mut self, share: Shared) {
        if let Some(allowance) = &mut self.allowance
            && allowance.share(share)
        {
            allowance.aim(&mut self.detector);
        }
    }

    /// Puts another detector, or another state of it, in the place of the one that was there.
    pub fn put(&mut self, detector: D) {
        self.detector = detector;
        self.aim();
    }

    /// Holds the detector to what the budget leaves.
    pub fn aim(&mut self) {
        if let Some(allowance) = &mut self.allowance {
            allowance.aim(&mut self.detector);
        }
    }

    /// Measures the rate of values from the next one on.
    pub fn measure_afresh(&mut self) {
        if let Some(allowance) = &mut self.allowance {
            allowance.measure_afresh();
        }
    }

    /// The run length that the budget leaves it.
    #[cfg(test)]
    pub fn arl(&self) -> Option<f64> {
        self.allowance.map(|allowance| allowance.arl())
    }

    pub fn figures(&self, out: &mut Vec<(&'static str, f64)>) {
        out.extend(self.allowance.map(|allowance| ("values_per_day_max", allowance.rate_per_day())));
    }

    /// Appends the allowance.
    pub fn write_allowance(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.allowance.is_some()));
        if let Some(allowance) = &self.allowance {
            allowance.write(out);
        }
    }

    /// Replaces the allowance by a written one; the detector is not told, for its threshold is in its own state.
    pub fn read_allowance(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.allowance = match (bytes.u8()?, &self.allowance) {
            (1, Some(_)) => Some(Allowance::read(bytes)?),
            (0, None) => None,
            _ => return Err(DecodeError::Parameters { what: "budget" }),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what it was told.
    #[derive(Clone, Debug, Default)]
    struct Told(Vec<f64>);

    impl FollowsBudget for Told {
        fn run_length(&self) -> Option<f64> {
            self.0.last().copied()
        }

        fn set_run_length(&mut self, arl: f64) {
            self.0.push(arl);
        }
    }

    fn at(second: u64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + second as i64 * 1_000_000)
    }

    #[test]
    fn a_detector_is_told_when_its_run_length_changes_and_only_then() {
        let mut budgeted = Budgeted::new(Told::default(), true);
        // One a minute instead of the assumed one a second, then half the budget.
        (1..=1_000).for_each(|seen| budgeted.note(seen, at(seen * 60)));
        let share = Shared { budget: 0.5, sharers: 1, per_day: 0.0 };
        budgeted.share(share);
        budgeted.share(share);
        assert_eq!(budgeted.detector.0, [30.0 * 2_048.0, 60.0 * 2_048.0]);
        budgeted.put(Told::default());
        assert_eq!(budgeted.detector.0, [60.0 * 2_048.0], "a new one is aimed at once");
    }

    #[test]
    fn without_a_budget_nothing_is_told_and_no_other_state_is_read() {
        let mut free = Budgeted::new(Told::default(), false);
        free.note(1, at(0));
        free.share(Shared { budget: 7.0, sharers: 3, per_day: 0.0 });
        free.put(Told::default());
        assert!(free.detector.0.is_empty() && !free.is_budgeted());
        let mut bytes = Vec::new();
        Budgeted::new(Told::default(), true).write_allowance(&mut bytes);
        let refused = free.read_allowance(&mut Reader::new(&bytes));
        assert_eq!(refused, Err(DecodeError::Parameters { what: "budget" }));
    }
}
