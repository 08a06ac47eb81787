//! The budget of false alarms: one number for a model, divided, and turned into average run lengths.

use core::fmt;

use crate::{AnyParams, ParamError, Setting, SettingError};

/// Days that a budget counts over.
const DAYS: f64 = 30.0;

/// How many false alarms a model may give in 30 days.
///
/// # Arithmetic
///
/// A stream of `v` values a day watched by a detector whose mean number of values between false alarms is
/// at least `A` gives at most `30 v / A` false alarms in 30 days in the long run (the renewal theorem: it
/// starts afresh after each). So `A = 30 v / budget`.
///
/// Rates add up, whatever the dependence between the streams (the expectation of a sum): a budget is
/// divided by weights `w_i` into `budget w_i / sum w`, and the parts are as much as the whole. In doubles
/// each part is off by at most three roundings, `4e-16` of itself, and so is their sum.
///
/// Where the detectors have e-values there is another way: one alarm for all of them, when the weighted
/// average of the e-values reaches [`Budget::merged_arl`].
///
/// # Examples
///
/// ```
/// use visu_tility_drift::Budget;
///
/// // One false alarm a month, over an error rate and a latency, at one value a second.
/// let [errors, latency] = Budget::new(1.0)?.divide([3.0, 1.0])?;
/// assert_eq!((errors.false_alarms_per_30_days, latency.false_alarms_per_30_days), (0.75, 0.25));
/// assert_eq!((errors.arl(86_400.0)?, latency.arl(86_400.0)?), (3_456_000.0, 10_368_000.0));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Budget {
    /// False alarms allowed in 30 days, in [1e-9, 1e9].
    pub false_alarms_per_30_days: f64,
}

impl Budget {
    /// Allows so many false alarms in 30 days.
    ///
    /// # Errors
    ///
    /// Fails when the number is not in [1e-9, 1e9].
    pub fn new(false_alarms_per_30_days: f64) -> Result<Self, ParamError> {
        let budget = Self { false_alarms_per_30_days };
        budget.validate()?;
        Ok(budget)
    }

    /// Checks the number against its range.
    ///
    /// # Errors
    ///
    /// Fails when it is not in [1e-9, 1e9].
    pub fn validate(&self) -> Result<(), ParamError> {
        let allowed = self.false_alarms_per_30_days;
        let ok = (1e-9..=1e9).contains(&allowed);
        ParamError::check("false_alarms_per_30_days", allowed, ok, "in [1e-9, 1e9]")
    }

    /// Returns the average run length, in values, that a stream of so many values a day needs: at least 2.
    ///
    /// # Errors
    ///
    /// Fails when the budget is out of range, or `values_per_day` is not in (0, 1e15].
    pub fn arl(&self, values_per_day: f64) -> Result<f64, ParamError> {
        self.validate()?;
        check_rate(values_per_day)?;
        Ok((DAYS * values_per_day / self.false_alarms_per_30_days).max(2.0))
    }

    /// Returns what a detector of that average run length spends on a stream of so many values a day.
    ///
    /// # Errors
    ///
    /// Fails when `arl` is below 1, `values_per_day` is not in (0, 1e15], or what is spent is out of range.
    pub fn spent(arl: f64, values_per_day: f64) -> Result<Self, ParamError> {
        ParamError::check("arl", arl, arl >= 1.0, "at least 1")?;
        check_rate(values_per_day)?;
        Self::new(DAYS * values_per_day / arl)
    }

    /// Divides the budget in proportion to the weights.
    ///
    /// # Errors
    ///
    /// Fails when a weight is not above 0 and finite, or leaves a part below 1e-9.
    pub fn divide<const N: usize>(&self, weights: [f64; N]) -> Result<[Self; N], ParamError> {
        let total = weights.iter().sum();
        let mut parts = [*self; N];
        for (part, weight) in parts.iter_mut().zip(weights) {
            *part = self.part(weight, total)?;
        }
        Ok(parts)
    }

    /// Returns the part of `weight` in `total`: of how many equal parts, with a weight of 1.
    ///
    /// # Errors
    ///
    /// Fails when `weight` is not above 0, is above `total`, or leaves a part below 1e-9.
    pub fn part(&self, weight: f64, total: f64) -> Result<Self, ParamError> {
        self.validate()?;
        let ok = weight > 0.0 && weight <= total && total.is_finite();
        ParamError::check("weight", weight, ok, "above 0 and at most the total")?;
        Self::new(self.false_alarms_per_30_days * (weight / total))
    }

    /// Returns the `arl` of a [`crate::combination::EvidenceMerge`] over streams, given the weight and the values
    /// per day of each: `30 sum_i w_i v_i / budget`, with the weights divided by their sum.
    ///
    /// The merge has an alarm on average after at least so many values, counted by the weighted average
    /// over the streams; at a budget of one that is once in 30 days.
    ///
    /// # Errors
    ///
    /// Fails when there is no stream, a weight is not above 0, or a rate is not in (0, 1e15].
    pub fn merged_arl(&self, streams: &[(f64, f64)]) -> Result<f64, ParamError> {
        let total: f64 = streams.iter().map(|&(weight, _)| weight).sum();
        let mut values_per_day = 0.0;
        for &(weight, rate) in streams {
            let ok = weight > 0.0 && total.is_finite();
            ParamError::check("weight", weight, ok, "above 0 and finite")?;
            check_rate(rate)?;
            values_per_day += weight / total * rate;
        }
        self.arl(values_per_day)
    }
}

fn check_rate(values_per_day: f64) -> Result<(), ParamError> {
    let ok = values_per_day > 0.0 && values_per_day <= 1e15;
    ParamError::check("values_per_day", values_per_day, ok, "in (0, 1e15]")
}

/// A detector could not be set to an average run length.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ArlError {
    /// The detector of that name has no bound on its false alarms.
    NoArl(&'static str),
    /// The detector's `arl` is no number.
    Setting(SettingError),
    /// The detector refused the number, or another parameter is out of range.
    Param(ParamError),
}

impl fmt::Display for ArlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoArl(name) => write!(f, "detector `{name}` has no average run length to set"),
            Self::Setting(source) => source.fmt(f),
            Self::Param(source) => source.fmt(f),
        }
    }
}

impl core::error::Error for ArlError {}

impl AnyParams {
    /// Sets the average run length, in values that the detector is given.
    ///
    /// Behind a batcher give it [`crate::Preparation::arl`] of the one in values.
    ///
    /// # Errors
    ///
    /// Fails, changing nothing, when the detector has no `arl`, or refuses this one.
    pub fn set_arl(&mut self, arl: f64) -> Result<(), ArlError> {
        let mut next = *self;
        if next.get("arl").is_none() {
            return Err(ArlError::NoArl(self.name()));
        }
        next.set("arl", Setting::Number(arl)).map_err(ArlError::Setting)?;
        next.check().map_err(ArlError::Param)?;
        *self = next;
        Ok(())
    }
}
