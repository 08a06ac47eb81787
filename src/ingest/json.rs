//! Reads an event from one line of JSON, borrowing its texts.
//!
//! A good line is read in one pass without a single allocation. A bad one is read again, slowly, by
//! `diagnose`, to say which field is wrong and what it should be.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use visu_tility_core::{Timestamp, ValueRange};

use crate::ingest::diagnose::{diagnose, from_millis};
use crate::ingest::line::{EventLine, LineError};
use crate::ingest::rfc3339::parse_time;

/// Reads one line of NDJSON: an object with `model_id`, `kind`, `value` and, if known, `version` and `ts`.
///
/// `value` may be `null`: it was due but is missing; for an embedding it is a list of numbers. `ts` is RFC 3339 text or a whole number of milliseconds
/// since 1970; one below 100,000,000,000 is taken for seconds and refused.
///
/// # Errors
///
/// Fails when the line is not such an object; the error names the field and what is allowed.
///
/// # Examples
///
/// ```
/// use visu_tility::ingest::parse_json;
///
/// let line = parse_json(br#"{"model_id":"fraud","ts":"2025-02-03T00:00:00Z","kind":"F1","value":0.9}"#)?;
/// assert_eq!((&*line.model_id, line.value), ("fraud", Some(0.9)));
///
/// let error = parse_json(br#"{"model_id":"fraud","kind":"F1","value":"high"}"#).unwrap_err();
/// assert_eq!(error.to_string(), r#"field `value` is "high", must be a finite number or null"#);
/// # Ok::<(), visu_tility::ingest::LineError>(())
/// ```
pub fn parse_json(line: &[u8]) -> Result<EventLine<'_>, LineError> {
    serde_json::from_slice(line).map_err(|error| diagnose(line, &error))
}

impl<'de: 'a, 'a> Deserialize<'de> for EventLine<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LineVisitor)
    }
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = EventLine<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with model_id, kind and value")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<EventLine<'de>, M::Error> {
        let (mut model_id, mut version, mut ts, mut kind, mut value) = (None, None, None, None, None);
        while let Some(field) = map.next_key::<Field>()? {
            let twice = match field {
                Field::ModelId => model_id.replace(map.next_value::<Text<'de>>()?).is_some(),
                Field::Version => version.replace(map.next_value::<Option<Text<'de>>>()?).is_some(),
                Field::Ts => ts.replace(map.next_value::<Time>()?).is_some(),
                Field::Kind => kind.replace(map.next_value::<Text<'de>>()?).is_some(),
                Field::Value => value.replace(map.next_value::<Value>()?).is_some(),
            };
            if twice {
                return Err(M::Error::custom("field given twice"));
            }
        }
        let missing = M::Error::missing_field;
        let (number, vector) = match value.ok_or_else(|| missing("value"))? {
            Value::Number(number) => (number, None),
            Value::Vector(vector) => (None, Some(vector.into())),
        };
        Ok(EventLine {
            model_id: model_id.ok_or_else(|| missing("model_id"))?.0,
            version: version.flatten().map(|text| text.0),
            ts: ts.and_then(|time| time.0),
            kind: kind.ok_or_else(|| missing("kind"))?.0,
            value: number,
            vector,
        })
    }
}

enum Field {
    ModelId,
    Version,
    Ts,
    Kind,
    Value,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldVisitor;
        impl Visitor<'_> for FieldVisitor {
            type Value = Field;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field of an event")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Field, E> {
                Ok(match text {
                    "model_id" => Field::ModelId,
                    "version" => Field::Version,
                    "ts" => Field::Ts,
                    "kind" => Field::Kind,
                    "value" => Field::Value,
                    _ => return Err(E::custom("unknown field")),
                })
            }
        }
        deserializer.deserialize_identifier(FieldVisitor)
    }
}

/// A text, borrowed unless it holds an escape.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A time, or null.
struct Time(Option<Timestamp>);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimeVisitor;
        impl Visitor<'_> for TimeVisitor {
            type Value = Time;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Time, E> {
                parse_time(text).map(|ts| Time(Some(ts))).ok_or_else(|| E::custom("no time"))
            }
            fn visit_u64<E: Error>(self, millis: u64) -> Result<Time, E> {
                i64::try_from(millis).map_err(E::custom).and_then(|millis| self.visit_i64(millis))
            }
            fn visit_i64<E: Error>(self, millis: i64) -> Result<Time, E> {
                from_millis(millis).map(|ts| Time(Some(ts))).ok_or_else(|| E::custom("seconds"))
            }
            fn visit_unit<E: Error>(self) -> Result<Time, E> {
                Ok(Time(None))
            }
        }
        deserializer.deserialize_any(TimeVisitor)
    }
}

/// A number or null, or a list of numbers.
enum Value {
    Number(Option<f64>),
    Vector(Vec<f32>),
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a list of numbers")
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
                Ok(Value::Number(Some(value)))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
                Ok(Value::Number(Some(value as f64)))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
                Ok(Value::Number(Some(value as f64)))
            }
            fn visit_unit<E: Error>(self) -> Result<Value, E> {
                Ok(Value::Number(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                let mut vector = Vec::new();
                while let Some(component) = list.next_element::<f64>()? {
                    // One more than is allowed is enough to be refused, and what no f32 holds becomes infinite.
                    if vector.len() <= ValueRange::VECTOR_MAX {
                        vector.push(component as f32);
                    }
                }
                Ok(Value::Vector(vector))
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_vector() {
        let read = parse_json(br#"{"model_id":"m","kind":"Embedding:text","value":[1, -0.5,2e-3]}"#).unwrap();
        assert_eq!((read.value, read.vector.as_deref()), (None, Some(&[1.0, -0.5, 0.002][..])));
        assert_eq!(read.to_event().unwrap().vector().unwrap().len(), 3);
        let error = parse_json(br#"{"model_id":"m","kind":"Embedding:text","value":[1,"x"]}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"field `value` is "x" in place 2 of the list, must be a list of finite numbers"#
        );
        let scalar = parse_json(br#"{"model_id":"m","kind":"F1","value":[1]}"#).unwrap().to_event();
        let said = "field `value` is a list of 1, must be a number from 0 to 1 for F1";
        assert_eq!(scalar.unwrap_err().to_string(), said);
    }

    #[test]
    fn a_good_line_borrows_everything() {
        let line = br#" {"value":1,"kind":"Feature:ink","ts":1738540802250,"version":"1","model_id":"m"} "#;
        let read = parse_json(line).unwrap();
        assert!(matches!((&read.model_id, &read.kind), (Cow::Borrowed("m"), Cow::Borrowed("Feature:ink"))));
        assert_eq!(read.ts, Timestamp::parse("2025-02-03T00:00:02.250Z"));
        assert_eq!(read.value, Some(1.0));
    }

    #[test]
    fn escapes_nulls_and_left_out_fields_are_read() {
        let read = parse_json(br#"{"model_id":"\u006d","version":null,"ts":null,"kind":"F1","value":null}"#);
        let read = read.unwrap();
        assert_eq!((&*read.model_id, read.version, read.ts, read.value), ("m", None, None, None));
        assert_eq!(parse_json(br#"{"model_id":"m","kind":"F1","value":-0.5}"#).unwrap().value, Some(-0.5));
    }

    #[test]
    fn numbers_are_read_to_the_last_bit() {
        let line = br#"{"model_id":"m","kind":"F1","value":0.10000000000000000555111512312578270}"#;
        assert_eq!(parse_json(line).unwrap().value, Some(0.1));
        let line = br#"{"model_id":"m","kind":"F1","value":8.41e-21}"#;
        assert_eq!(parse_json(line).unwrap().value, Some(8.41e-21));
    }

    #[test]
    fn the_checked_event_is_that_of_the_wire_form() {
        let line =
            r#"{"model_id":"m","version":"2","ts":"2025-02-03T00:00:00.000Z","kind":"F1","value":0.25}"#;
        let event = parse_json(line.as_bytes()).unwrap().to_event().unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
    }
}
