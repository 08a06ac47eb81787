//! What a metric event measures.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use visu_tility_drift::Direction;

use crate::error::EventError;
use crate::id::MetricName;
use crate::nearest::nearest;

/// What an event measures; on the wire a string such as `"Accuracy"` or `"Feature:ink"`.
///
/// | kind | values | bad when it goes |
/// |---|---|---|
/// | `Accuracy`, `Precision`, `Recall`, `F1`, `Correct`, `Confidence` | 0 to 1 | down |
/// | `ErrorRate`, `DriftScore` (the latter without upper end) | 0 to 1, 0 and up | up |
/// | `LatencyMs` | 0 and up | up |
/// | `Throughput` | 0 and up | down |
/// | `Feature(name)`, `Custom(name)` | any finite number | either way |
/// | `Embedding(name)` | a list of 1 to 4,096 finite numbers | either way |
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// Share of right predictions in a window.
    Accuracy,
    /// Precision in a window.
    Precision,
    /// Recall in a window.
    Recall,
    /// F1 score in a window.
    F1,
    /// Time to answer one request, in milliseconds.
    LatencyMs,
    /// A distance computed by the publisher between reference and current data.
    DriftScore,
    /// Whether one prediction was right: 1 or 0 (or a share between).
    Correct,
    /// The model's own probability of its answer.
    Confidence,
    /// Share of failed requests in a window.
    ErrorRate,
    /// Requests per second.
    Throughput,
    /// One input feature's value.
    Feature(MetricName),
    /// A metric of the user's own.
    Custom(MetricName),
    /// A vector that stands for an input or an answer, such as the embedding of a text.
    Embedding(MetricName),
}

/// The values that a kind may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueRange {
    /// From 0 to 1, both included.
    Unit,
    /// 0 and above.
    NonNegative,
    /// Any finite number.
    Any,
    /// No number but a list of them.
    Vector,
}

impl ValueRange {
    /// The most components of a vector.
    pub const VECTOR_MAX: usize = 4_096;

    /// Is true when `value` is a number in range.
    pub fn contains(self, value: f64) -> bool {
        match self {
            Self::Unit => (0.0..=1.0).contains(&value),
            Self::NonNegative => value >= 0.0 && value.is_finite(),
            Self::Any => value.is_finite(),
            Self::Vector => false,
        }
    }

    /// Says what is allowed.
    pub const fn allowed(self) -> &'static str {
        match self {
            Self::Unit => "a number from 0 to 1",
            Self::NonNegative => "a finite number, 0 or more",
            Self::Any => "a finite number",
            Self::Vector => "a list of 1 to 4096 finite numbers",
        }
    }
}

impl MetricKind {
    /// The kinds that need no name, in the order of the table above.
    pub const PLAIN: [Self; 10] = [
        Self::Accuracy,
        Self::Precision,
        Self::Recall,
        Self::F1,
        Self::LatencyMs,
        Self::DriftScore,
        Self::Correct,
        Self::Confidence,
        Self::ErrorRate,
        Self::Throughput,
    ];

    /// Builds the kind of one input feature.
    ///
    /// # Errors
    ///
    /// Fails when the name is not 1 to 128 printable ASCII characters without blanks.
    pub fn feature(name: impl AsRef<str>) -> Result<Self, EventError> {
        MetricName::new(name).map(Self::Feature)
    }

    /// Builds a kind of the user's own.
    ///
    /// # Errors
    ///
    /// Fails when the name is not 1 to 128 printable ASCII characters without blanks.
    pub fn custom(name: impl AsRef<str>) -> Result<Self, EventError> {
        MetricName::new(name).map(Self::Custom)
    }

    /// Builds the kind of a vector.
    ///
    /// # Errors
    ///
    /// Fails when the name is not 1 to 128 printable ASCII characters without blanks.
    pub fn embedding(name: impl AsRef<str>) -> Result<Self, EventError> {
        MetricName::new(name).map(Self::Embedding)
    }

    /// The values it may take.
    pub const fn range(&self) -> ValueRange {
        match self {
            Self::Accuracy
            | Self::Precision
            | Self::Recall
            | Self::F1
            | Self::Correct
            | Self::Confidence
            | Self::ErrorRate => ValueRange::Unit,
            Self::LatencyMs | Self::DriftScore | Self::Throughput => ValueRange::NonNegative,
            Self::Feature(_) | Self::Custom(_) => ValueRange::Any,
            Self::Embedding(_) => ValueRange::Vector,
        }
    }

    /// The direction in which it gets worse; [`Direction::Unknown`] when either may be bad.
    pub const fn bad_direction(&self) -> Direction {
        match self {
            Self::Accuracy
            | Self::Precision
            | Self::Recall
            | Self::F1
            | Self::Correct
            | Self::Confidence
            | Self::Throughput => Direction::Down,
            Self::LatencyMs | Self::DriftScore | Self::ErrorRate => Direction::Up,
            Self::Feature(_) | Self::Custom(_) | Self::Embedding(_) => Direction::Unknown,
        }
    }

    /// The word before the name: `Accuracy`, `Feature`, `Custom`.
    pub const fn family(&self) -> &'static str {
        match self {
            Self::Accuracy => "Accuracy",
            Self::Precision => "Precision",
            Self::Recall => "Recall",
            Self::F1 => "F1",
            Self::LatencyMs => "LatencyMs",
            Self::DriftScore => "DriftScore",
            Self::Correct => "Correct",
            Self::Confidence => "Confidence",
            Self::ErrorRate => "ErrorRate",
            Self::Throughput => "Throughput",
            Self::Feature(_) => "Feature",
            Self::Custom(_) => "Custom",
            Self::Embedding(_) => "Embedding",
        }
    }

    /// The words of the kinds that have a name.
    pub const NAMED: [&'static str; 3] = ["Feature", "Custom", "Embedding"];

    /// The name after the word, for `Feature`, `Custom` and `Embedding`.
    pub fn metric_name(&self) -> Option<&str> {
        match self {
            Self::Feature(name) | Self::Custom(name) | Self::Embedding(name) => Some(name.as_str()),
            _ => None,
        }
    }
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.metric_name() {
            None => f.pad(self.family()),
            Some(name) => f.pad(&format!("{}:{name}", self.family())),
        }
    }
}

impl FromStr for MetricKind {
    type Err = EventError;

    fn from_str(text: &str) -> Result<Self, EventError> {
        if let Some(plain) = Self::PLAIN.into_iter().find(|kind| kind.family() == text) {
            return Ok(plain);
        }
        match text.split_once(':') {
            Some(("Feature", name)) => Self::feature(name),
            Some(("Custom", name)) => Self::custom(name),
            Some(("Embedding", name)) => Self::embedding(name),
            _ => Err(unknown_kind(text)),
        }
    }
}

/// The error for a kind that is none, naming the nearest one.
fn unknown_kind(text: &str) -> EventError {
    let names = plain_names();
    let hint = nearest(text, names.iter().copied()).map_or(String::new(), |n| format!(" (nearest: {n})"));
    EventError::name(
        "kind",
        text,
        &format!("one of {}, Feature:NAME, Custom:NAME or Embedding:NAME{hint}", names.join(", ")),
        String::new(),
    )
}

/// The names of the kinds that need no further name.
fn plain_names() -> [&'static str; 10] {
    let mut names = [""; 10];
    for (name, kind) in names.iter_mut().zip(MetricKind::PLAIN.iter()) {
        *name = kind.family();
    }
    names
}

impl Serialize for MetricKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MetricKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_from_its_text() {
        let named = [
            MetricKind::feature("ink").unwrap(),
            MetricKind::custom("CpuPercent").unwrap(),
            MetricKind::embedding("text").unwrap(),
        ];
        for kind in MetricKind::PLAIN.into_iter().chain(named) {
            assert_eq!(kind.to_string().parse::<MetricKind>().unwrap(), kind);
        }
    }

    #[test]
    fn an_unknown_kind_is_told_the_nearest_known_one() {
        let error = "Acuracy".parse::<MetricKind>().unwrap_err().to_string();
        assert!(error.contains("`kind` is \"Acuracy\"") && error.contains("nearest: Accuracy"), "{error}");
        assert!("Feature:".parse::<MetricKind>().is_err());
        assert!("Feature:a b".parse::<MetricKind>().is_err());
    }

    #[test]
    fn ranges_leave_out_what_is_not_a_number() {
        for range in [ValueRange::Unit, ValueRange::NonNegative, ValueRange::Any, ValueRange::Vector] {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                assert!(!range.contains(bad));
            }
        }
        assert!(ValueRange::Unit.contains(1.0) && !ValueRange::Unit.contains(1.000_001));
        assert!(ValueRange::NonNegative.contains(0.0) && !ValueRange::NonNegative.contains(-0.1));
    }
}
