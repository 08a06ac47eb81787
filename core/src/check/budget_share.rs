//! What a budget leaves a detector, for who is not a monitor: the same estimate of the rate, the same rounding.

use super::allowance::{Allowance, Shared};
use crate::plan::FalseAlarmBudget;
use crate::time::Timestamp;

/// The rate of values of one version and kind, as a monitor measures it, and the run length that it sets.
///
/// A monitor looks at the rate after 64 values, and then whenever their number has doubled, or sooner where the
/// budget is large; until then one value a second is assumed. It takes the rate since the first value or since the last
/// look, whichever is larger, rounded up to a power of two. Cost: a few comparisons a value; 80 bytes.
///
/// # Examples
///
/// ```
/// use visu_tility_core::{BudgetShare, FalseAlarmBudget, Timestamp};
///
/// let mut share = BudgetShare::new(&FalseAlarmBudget::default(), 1);
/// (0..1_000).for_each(|minute| share.note(Timestamp::from_millis(minute * 60_000)));
/// assert_eq!(share.values_per_day(), 2_048.0);
/// assert_eq!(share.run_length(), 30.0 * 2_048.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetShare {
    allowance: Allowance,
    seen: u64,
}

impl BudgetShare {
    /// Starts before the first value of a detector that is one of `sharers`.
    pub fn new(budget: &FalseAlarmBudget, sharers: u32) -> Self {
        Self { allowance: Allowance::new(budget.false_alarms_per_30_days, sharers), seen: 0 }
    }

    /// Takes note of the time of a value; of a missing one none is taken.
    pub fn note(&mut self, at: Timestamp) {
        self.seen += 1;
        self.allowance.note(self.seen, at);
    }

    /// Takes note of how many detectors share the budget, itself included.
    pub fn share(&mut self, budget: &FalseAlarmBudget, sharers: u32) {
        // Of other versions it knows nothing: they count only until its own rate has been seen.
        let shared = Shared { budget: budget.false_alarms_per_30_days, sharers, per_day: 0.0 };
        self.allowance.share(shared);
    }

    /// The average number of values between false alarms that keeps within its share.
    pub fn run_length(&self) -> f64 {
        self.allowance.arl()
    }

    /// Values a day, rounded up to a power of two.
    pub const fn values_per_day(&self) -> f64 {
        self.allowance.rate_per_day()
    }
}
