//! The metric event: one measurement of one version of one model, checked when it is built.

use std::fmt;
use std::sync::Arc;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::EventError;
use crate::id::{ModelId, Version};
use crate::kind::{MetricKind, ValueRange};
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
    /// Finite and in the kind's range, or `NaN` for a missing value and for a vector.
    value: f64,
    vector: Option<Arc<[f32]>>,
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
        let (model_id, version) = (ModelId::new(model_id)?, Version::unversioned());
        Ok(Self { model_id, version, kind, ts: None, value, vector: None })
    }

    /// Builds an event of a vector, such as the embedding of a text; its kind is `Embedding` with this name.
    ///
    /// # Errors
    ///
    /// Fails when `model_id` or `name` is not of its characters, or the vector is not 1 to 4,096 finite
    /// numbers.
    ///
    /// # Examples
    ///
    /// ```
    /// use visu_tility_core::MetricEvent;
    ///
    /// let event = MetricEvent::embedding("support-bot", "question", [0.25, -0.5, 0.75])?;
    /// assert_eq!(event.vector(), Some(&[0.25, -0.5, 0.75][..]));
    /// assert!(MetricEvent::embedding("support-bot", "question", [f32::NAN]).is_err());
    /// # Ok::<(), visu_tility_core::EventError>(())
    /// ```
    pub fn embedding(
        model_id: impl AsRef<str>,
        name: impl AsRef<str>,
        vector: impl Into<Arc<[f32]>>,
    ) -> Result<Self, EventError> {
        let kind = MetricKind::embedding(name)?;
        Self::from_vector(ModelId::new(model_id)?, Version::unversioned(), kind, None, vector.into())
    }

    /// Builds an event of a vector from parts that were checked before.
    ///
    /// # Errors
    ///
    /// Fails when the kind is not `Embedding`, the vector is not 1 to 4,096 finite numbers, or `ts` is out
    /// of bounds.
    pub fn from_vector(
        model_id: ModelId,
        version: Version,
        kind: MetricKind,
        ts: Option<Timestamp>,
        vector: Arc<[f32]>,
    ) -> Result<Self, EventError> {
        check_vector(&kind, &vector)?;
        if let Some(ts) = ts {
            check_ts(ts)?;
        }
        Ok(Self { model_id, version, kind, ts, value: f64::NAN, vector: Some(vector) })
    }

    /// Builds an event that says a value was due but is not there; only data-quality observers see it.
    ///
    /// # Errors
    ///
    /// Fails when `model_id` is not 1 to 256 characters of its set.
    pub fn missing(model_id: impl AsRef<str>, kind: MetricKind) -> Result<Self, EventError> {
        let model_id = ModelId::new(model_id)?;
        let version = Version::unversioned();
        Ok(Self { model_id, version, kind, ts: None, value: f64::NAN, vector: None })
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
        Ok(Self { model_id, version, kind, ts, value: value.unwrap_or(f64::NAN), vector: None })
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

    /// The vector; `None` for an event of a number, and when it was due but is missing.
    pub fn vector(&self) -> Option<&[f32]> {
        self.vector.as_deref()
    }

    /// The vector, shared.
    pub fn shared_vector(&self) -> Option<&Arc<[f32]>> {
        self.vector.as_ref()
    }

    /// The number; `None` when it was due but is missing, and for a vector.
    pub fn value(&self) -> Option<f64> {
        (!self.value.is_nan()).then_some(self.value)
    }

    /// The number, `NaN` when it is missing and for a vector.
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

/// Checks a vector against its kind.
fn check_vector(kind: &MetricKind, vector: &[f32]) -> Result<(), EventError> {
    if kind.range() != ValueRange::Vector {
        let allowed = format!("{} for {kind}", kind.range().allowed());
        return Err(EventError::new("value", format!("a list of {}", vector.len()), allowed));
    }
    let bad = vector.iter().position(|component| !component.is_finite());
    let found = match bad {
        Some(at) => format!("not finite at place {}", at + 1),
        None if vector.is_empty() || vector.len() > ValueRange::VECTOR_MAX => {
            format!("a list of {}", vector.len())
        }
        None => return Ok(()),
    };
    Err(EventError::new("value", found, format!("{} for {kind}", ValueRange::Vector.allowed())))
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
    value: WireValue<'a>,
}

/// A value on the wire.
#[derive(Serialize)]
#[serde(untagged)]
enum WireValue<'a> {
    Number(Option<f64>),
    Vector(&'a [f32]),
}

/// The form that is read; `version` and `ts` may be left out, `value` may be null but not left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireIn {
    model_id: ModelId,
    version: Option<Version>,
    ts: Option<Timestamp>,
    kind: MetricKind,
    value: ValueIn,
}

/// A value that is read.
enum ValueIn {
    Missing,
    Number(f64),
    Vector(Vec<f32>),
}

impl<'de> Deserialize<'de> for ValueIn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;

        impl<'de> Visitor<'de> for AnyValue {
            type Value = ValueIn;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a list of numbers or null")
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<ValueIn, E> {
                Ok(ValueIn::Missing)
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<ValueIn, E> {
                Ok(ValueIn::Number(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<ValueIn, E> {
                Ok(ValueIn::Number(value as f64))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<ValueIn, E> {
                Ok(ValueIn::Number(value as f64))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ValueIn, A::Error> {
                let mut vector = Vec::new();
                while let Some(component) = list.next_element::<f64>()? {
                    if vector.len() > ValueRange::VECTOR_MAX {
                        // One more than is allowed is enough to be refused; the rest need not be kept.
                        continue;
                    }
                    // What no f32 holds becomes infinite and is refused.
                    vector.push(component as f32);
                }
                Ok(ValueIn::Vector(vector))
            }
        }

        deserializer.deserialize_any(AnyValue)
    }
}

impl Serialize for MetricEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { model_id, version, kind, ts, .. } = self;
        let value = match self.vector() {
            Some(vector) => WireValue::Vector(vector),
            None => WireValue::Number(self.value()),
        };
        Wire { model_id, version, ts: *ts, kind, value }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MetricEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = WireIn::deserialize(deserializer)?;
        let version = wire.version.unwrap_or_else(Version::unversioned);
        let (model_id, kind, ts) = (wire.model_id, wire.kind, wire.ts);
        match wire.value {
            ValueIn::Missing => Self::from_parts(model_id, version, kind, ts, None),
            ValueIn::Number(value) => Self::from_parts(model_id, version, kind, ts, Some(value)),
            ValueIn::Vector(vector) => Self::from_vector(model_id, version, kind, ts, vector.into()),
        }
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
    fn a_vector_is_a_list_on_the_wire_and_of_its_kind_only() {
        let line = r#"{"model_id":"m","version":"1","kind":"Embedding:text","value":[0.5,-1.0]}"#;
        let event: MetricEvent = serde_json::from_str(line).unwrap();
        assert_eq!((event.vector(), event.value()), (Some(&[0.5, -1.0][..]), None));
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
        for (kind, value, said) in [
            ("Embedding:text", "3", "field `value` is 3, must be a list of 1 to 4096 finite numbers"),
            ("Embedding:text", "[]", "field `value` is a list of 0, must be"),
            ("Embedding:text", "[1,1e39]", "field `value` is not finite at place 2"),
            ("F1", "[0.5]", "field `value` is a list of 1, must be a number from 0 to 1 for F1"),
        ] {
            let line = format!(r#"{{"model_id":"m","kind":"{kind}","value":{value}}}"#);
            let error = serde_json::from_str::<MetricEvent>(&line).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let long = vec![0.0; ValueRange::VECTOR_MAX + 1];
        assert!(MetricEvent::embedding("m", "text", long).is_err());
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
