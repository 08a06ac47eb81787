//! Points in time, as microseconds of UTC: what events carry and what decisions are made on.
//!
//! Nothing in this crate asks what time it is; a time is always handed in.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time in UTC, to the microsecond.
///
/// On the wire it is RFC 3339 text (`2025-02-03T00:00:00.000Z`); a number is read as milliseconds
/// since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z, the earliest time that an event may carry.
    pub const EPOCH: Self = Self(0);
    /// 2200-01-01T00:00:00Z, the end (exclusive) of the times that an event may carry.
    pub const LIMIT: Self = Self(7_258_118_400_000_000);

    /// Builds from microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Builds from milliseconds since 1970, saturating.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Counts the microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 text.
    pub fn parse(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text).ok().map(|t| Self(t.timestamp_micros()))
    }

    /// Is true for the times that an event may carry: 1970 up to 2200.
    pub const fn in_bounds(self) -> bool {
        self.0 >= Self::EPOCH.0 && self.0 < Self::LIMIT.0
    }

    /// The time `span` later, saturating.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span_micros(span)))
    }

    /// The time `span` earlier, saturating.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span_micros(span)))
    }

    /// The span from `earlier` to this, zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The same time for `chrono`; `None` outside its range.
    pub fn to_datetime(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.0)
    }
}

/// Microseconds of a span, saturating at `i64::MAX`.
fn span_micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_micros())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_datetime() {
            Some(time) if self.0.rem_euclid(1_000) == 0 => {
                f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
            }
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true)),
            None => write!(f, "{} µs", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Timestamp;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time as RFC 3339 text or milliseconds since 1970")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
                Timestamp::parse(text)
                    .ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
            fn visit_i64<E: serde::de::Error>(self, millis: i64) -> Result<Timestamp, E> {
                Ok(Timestamp::from_millis(millis))
            }
            fn visit_u64<E: serde::de::Error>(self, millis: u64) -> Result<Timestamp, E> {
                Ok(Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let time = Timestamp::parse("2025-02-03T00:00:02.250Z").unwrap();
        assert_eq!(time.micros(), 1_738_540_802_250_000);
        assert_eq!(time.to_string(), "2025-02-03T00:00:02.250Z");
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2025-02-03T00:00:02.250Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>("1738540802250").unwrap(), time);
        assert_eq!(Timestamp::parse("2025-02-03T01:00:02.250+01:00"), Some(time));
    }

    #[test]
    fn bounds_are_1970_to_2200() {
        assert!(Timestamp::EPOCH.in_bounds());
        assert!(!Timestamp::from_micros(-1).in_bounds());
        assert_eq!(Timestamp::parse("2200-01-01T00:00:00Z"), Some(Timestamp::LIMIT));
        assert!(!Timestamp::LIMIT.in_bounds());
    }

    #[test]
    fn spans_saturate() {
        let late = Timestamp::from_micros(i64::MAX);
        assert_eq!(late.plus(Duration::MAX), late);
        assert_eq!(Timestamp::EPOCH.since(late), Duration::ZERO);
    }
}
