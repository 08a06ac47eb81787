//! The metric event: one measurement of one version of one model, checked when it is built.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::EventError;
use crate::id::{ModelId, Version};
use crate::kind::MetricKind;
use crate::time::Timestamp;

/// One measurement of one version of one model.
///
/// What cannot be a measurement is refused here: beyond this type no code checks again.
///
/// # Examples
///
/// ```
/// use visu_tility_core::{MetricEvent, MetricKind, Timestamp};
///
/// let event = MetricEvent::new("fraud", MetricKind::Accuracy, 0.93)?
///     .with_version("2025-11")?
///     .at(Timestamp::parse("2025-11-23T12:00:00Z").ok_or("not a time")?)?;
/// assert_eq!(event.value(), Some(0.93));
/// assert!(MetricEvent::new("fraud", MetricKind::Accuracy, 93.0).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MetricEvent {
    model_id: ModelId,
    version: Version,
    kind: MetricKind,
    ts: Option<Timestamp>,
    /// Finite and in the kind's range, or `NaN` for a missing value.
    value: f64,
}

impl MetricEvent {
    /// Builds an event of an unnamed version that takes its time where it is published.
    ///
    /// # Errors
    ///
    /// Fails when `model_id` is not 1 to 256 characters of its set, or `value` is not finite or not in
    /// the kind's range; the error names the field and what is allowed.
    pub fn new(model_id: impl AsRef<str>, kind: MetricKind, value: f64) -> Result<Self, EventError> {
        check_value(&kind, value)?;
        Ok(Self { model_id: ModelId::new(model_id)?, version: Version::unversioned(), kind, ts: None, value })
    }

    /// Builds an event that says a value was due but is not there; only data-quality observers see it.
    ///
    /// # Errors
    ///
    /// Fails when `model_id` is not 1 to 256 characters of its set.
    pub fn missing(model_id: impl AsRef<str>, kind: MetricKind) -> Result<Self, EventError> {
        let model_id = ModelId::new(model_id)?;
        Ok(Self { model_id, version: Version::unversioned(), kind, ts: None, value: f64::NAN })
    }

    /// Builds an event from parts that were checked before; `None` as value means a missing one.
    ///
    /// # Errors
    ///
    /// Fails when the value is not finite or not in the kind's range, or `ts` is out of bounds.
    pub fn from_parts(
        model_id: ModelId,
        version: Version,
        kind: MetricKind,
        ts: Option<Timestamp>,
        value: Option<f64>,
    ) -> Result<Self, EventError> {
        if let Some(value) = value {
            check_value(&kind, value)?;
        }
        if let Some(ts) = ts {
            check_ts(ts)?;
        }
        Ok(Self { model_id, version, kind, ts, value: value.unwrap_or(f64::NAN) })
    }

    /// Names the version that was measured.
    ///
    /// # Errors
    ///
    /// Fails when it is not 1 to 128 printable ASCII characters without blanks.
    pub fn with_version(mut self, version: impl AsRef<str>) -> Result<Self, EventError> {
        self.version = Version::new(version)?;
        Ok(self)
    }

    /// Sets the time of the measurement.
    ///
    /// # Errors
    ///
    /// Fails when it is before 1970 or not before 2200.
    pub fn at(mut self, ts: impl Into<Timestamp>) -> Result<Self, EventError> {
        let ts = ts.into();
        check_ts(ts)?;
        self.ts = Some(ts);
        Ok(self)
    }

    /// Gives an event without a time the time `now`.
    #[must_use]
    pub fn stamped(mut self, now: Timestamp) -> Self {
        self.ts.get_or_insert(now);
        self
    }

    /// The served model.
    pub const fn model_id(&self) -> &ModelId {
        &self.model_id
    }

    /// The version that was measured; [`Version::unversioned`] when none was named.
    pub const fn version(&self) -> &Version {
        &self.version
    }

    /// What was measured.
    pub const fn kind(&self) -> &MetricKind {
        &self.kind
    }

    /// When it was measured; `None` until it is published, if the publisher set no time.
    pub const fn ts(&self) -> Option<Timestamp> {
        self.ts
    }

    /// The value; `None` when it was due but is missing.
    pub fn value(&self) -> Option<f64> {
        (!self.value.is_nan()).then_some(self.value)
    }

    /// The value, `NaN` when it is missing.
    pub const fn raw_value(&self) -> f64 {
        self.value
    }
}

/// Checks a value against its kind.
fn check_value(kind: &MetricKind, value: f64) -> Result<(), EventError> {
    if kind.range().contains(value) {
        return Ok(());
    }
    let allowed = format!("{} for {kind}", kind.range().allowed());
    Err(EventError::new("value", value.to_string(), allowed))
}

/// Checks a time against the bounds of all times.
fn check_ts(ts: Timestamp) -> Result<(), EventError> {
    if ts.in_bounds() {
        return Ok(());
    }
    Err(EventError::new("ts", ts.to_string(), "a time from 1970 up to 2200"))
}

/// The form on the wire.
#[derive(Serialize)]
struct Wire<'a> {
    model_id: &'a ModelId,
    version: &'a Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<Timestamp>,
    kind: &'a MetricKind,
    value: Option<f64>,
}

/// The form that is read; `version` and `ts` may be left out, `value` may be null but not left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireIn {
    model_id: ModelId,
    version: Option<Version>,
    ts: Option<Timestamp>,
    kind: MetricKind,
    #[serde(deserialize_with = "Option::deserialize")]
    value: Option<f64>,
}

impl Serialize for MetricEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { model_id, version, kind, ts, .. } = self;
        Wire { model_id, version, ts: *ts, kind, value: self.value() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MetricEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = WireIn::deserialize(deserializer)?;
        let version = wire.version.unwrap_or_else(Version::unversioned);
        Self::from_parts(wire.model_id, version, wire.kind, wire.ts, wire.value)
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_outside_its_kind_is_refused_with_field_value_and_range() {
        let error = MetricEvent::new("m", MetricKind::Accuracy, 1.5).unwrap_err();
        assert_eq!(error.to_string(), "field `value` is 1.5, must be a number from 0 to 1 for Accuracy");
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(MetricEvent::new("m", MetricKind::LatencyMs, bad).unwrap_err().field(), "value");
        }
    }

    #[test]
    fn the_wire_form_is_read_back() {
        let line = r#"{"model_id":"digits","version":"1","ts":"2025-02-03T00:00:00.000Z","kind":"Feature:ink","value":276.406}"#;
        let event: MetricEvent = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
    }

    #[test]
    fn null_is_a_missing_value_and_a_left_out_one_is_an_error() {
        let event: MetricEvent =
            serde_json::from_str(r#"{"model_id":"m","kind":"Feature:x","value":null}"#).unwrap();
        assert_eq!(event.value(), None);
        assert_eq!(event.version().as_str(), "-");
        assert!(serde_json::from_str::<MetricEvent>(r#"{"model_id":"m","kind":"Feature:x"}"#).is_err());
    }

    #[test]
    fn unknown_fields_and_times_out_of_bounds_are_refused() {
        let line = r#"{"model_id":"m","kind":"F1","value":1,"timestamp":3}"#;
        assert!(serde_json::from_str::<MetricEvent>(line).unwrap_err().to_string().contains("timestamp"));
        let event = MetricEvent::new("m", MetricKind::F1, 1.0).unwrap();
        assert_eq!(event.at(Timestamp::LIMIT).unwrap_err().field(), "ts");
    }
}
