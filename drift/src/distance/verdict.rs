//! What a comparison says.

/// A statistic with its p-value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TestOutcome {
    /// The statistic, as the test's page defines it.
    pub statistic: f64,
    /// The probability, were nothing different, of a statistic at least as extreme.
    pub p_value: f64,
    /// Degrees of freedom of the law that gave the p-value, where it has any.
    pub degrees: Option<f64>,
}

/// A distance held against a threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Verdict {
    /// The distance.
    pub statistic: f64,
    /// What the distance reaches with a probability of about `level` when nothing has changed.
    pub threshold: f64,
    /// The probability of such a distance when nothing has changed.
    pub p_value: f64,
    /// The false-alarm probability that the threshold was computed for.
    pub level: f64,
}

impl Verdict {
    /// Is true when the distance has reached the threshold.
    pub fn drifted(&self) -> bool {
        self.statistic >= self.threshold
    }
}
