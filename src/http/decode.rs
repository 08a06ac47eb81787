//! Parses the events of a body: NDJSON, a JSON array, or one object. What is no event is noted with its place.

use serde_json::value::RawValue;
use visu_tility_core::MetricEvent;

use crate::ingest::{LINE_BYTES_MAX, LineError, LineReader, RawLine, parse_json};

/// The events of a body.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// What is to be published.
    pub(super) events: Vec<MetricEvent>,
    /// The place of each among all that the body holds, from 0.
    pub(super) places: Vec<usize>,
    /// What is no event.
    pub(super) refused: Vec<(usize, LineError)>,
}

/// Why a body is not looked at further.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Undecoded {
    /// It holds more events than are taken at once.
    TooMany,
    /// It holds none.
    Empty,
    /// It begins like an array and is none.
    Malformed(String),
}

/// Parses a body with at most `events_max` events.
pub(super) fn decode(body: &[u8], events_max: usize) -> Result<Decoded, Undecoded> {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii();
    let mut decoded = Decoded::default();
    if text.starts_with(b"[") {
        let items: Vec<&RawValue> =
            serde_json::from_slice(text).map_err(|error| Undecoded::Malformed(error.to_string()))?;
        if items.len() > events_max {
            return Err(Undecoded::TooMany);
        }
        for item in items {
            decoded.take(item.get().as_bytes());
        }
    } else if serde_json::from_slice::<&RawValue>(text).is_ok() {
        // One object, on however many lines.
        decoded.take(text);
    } else {
        decoded.take_lines(text, events_max)?;
    }
    if decoded.found() == 0 { Err(Undecoded::Empty) } else { Ok(decoded) }
}

impl Decoded {
    /// Events and what is none.
    pub(super) fn found(&self) -> usize {
        self.events.len() + self.refused.len()
    }

    fn take_lines(&mut self, text: &[u8], events_max: usize) -> Result<(), Undecoded> {
        let mut lines = LineReader::new(text, LINE_BYTES_MAX);
        // Bytes in memory can always be read.
        while let Ok(Some(line)) = lines.next_line() {
            match line {
                RawLine::Text(line) if line.trim_ascii().is_empty() => continue,
                RawLine::Text(line) => self.take(line),
                RawLine::TooLong { bytes } => {
                    let error = LineError::TooLong { bytes, limit: LINE_BYTES_MAX };
                    self.refused.push((self.found(), error));
                }
            }
            if self.found() > events_max {
                return Err(Undecoded::TooMany);
            }
        }
        Ok(())
    }

    fn take(&mut self, text: &[u8]) {
        let place = self.found();
        match parse_json(text).and_then(|line| line.to_event()) {
            Ok(event) => {
                self.events.push(event);
                self.places.push(place);
            }
            Err(error) => self.refused.push((place, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"model_id":"m","kind":"F1","value":0.5}"#;
    const BAD: &str = r#"{"model_id":"m","kind":"F1","value":2}"#;

    fn places(body: &str) -> (Vec<usize>, Vec<usize>) {
        let decoded = decode(body.as_bytes(), 10).unwrap();
        assert_eq!(decoded.events.len(), decoded.places.len());
        (decoded.places, decoded.refused.into_iter().map(|(place, _)| place).collect())
    }

    #[test]
    fn lines_an_array_and_one_object_give_the_same_events() {
        let expected = (vec![0, 2], vec![1]);
        assert_eq!(places(&format!("{GOOD}\n\n{BAD}\r\n{GOOD}\n")), expected);
        assert_eq!(
            places(&format!(" \u{feff}[{GOOD},\n {BAD} , {GOOD}]").replace(" \u{feff}", "\u{feff} ")),
            expected
        );
        assert_eq!(places(&GOOD.replace(',', ",\n")), (vec![0], vec![]));
        assert_eq!(places(&format!("not json\n{GOOD}")), (vec![1], vec![0]));
    }

    #[test]
    fn what_cannot_be_looked_at_is_told() {
        let said = |body: &str, max| decode(body.as_bytes(), max).unwrap_err();
        assert_eq!(said(" \n \n", 9), Undecoded::Empty);
        assert_eq!(said("[]", 9), Undecoded::Empty);
        assert_eq!(said(&format!("{GOOD}\n{GOOD}\n{GOOD}"), 2), Undecoded::TooMany);
        assert_eq!(said(&format!("[{GOOD},{GOOD},{GOOD}]"), 2), Undecoded::TooMany);
        assert!(matches!(said(&format!("[{GOOD},"), 9), Undecoded::Malformed(_)));
    }
}
