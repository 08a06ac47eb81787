//! Any bytes as events, NDJSON or CSV, plain or packed: what the fuzz target `fuzz` and a test here both call.
// The fuzz target has no test configuration of its own.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use visu_tility::ingest::{EventFormat, EventReader, LINE_BYTES_MAX, NextLine, parse_json};

/// Asks what holds for all bytes: each line is refused with a reason, or is an event that is the same when it is written
/// as JSON and read again. Answers how many were events.
pub(crate) fn check(data: &[u8]) -> u64 {
    let Some((how, data)) = data.split_first() else { return 0 };
    let format = [None, Some(EventFormat::Ndjson), Some(EventFormat::Csv)][usize::from(how % 3)];
    let bytes = std::io::Cursor::new(data.to_vec());
    let Ok(mut reader) = EventReader::from_reader(bytes, format, Arc::new(AtomicU64::new(0))) else {
        return 0;
    };
    let mut events = 0;
    // A reader ends: each line takes a byte at least.
    for _ in 0..=data.len() * LINE_BYTES_MAX {
        match reader.next_event() {
            NextLine::Event(line) => match line.to_event() {
                Ok(event) => {
                    events += 1;
                    let written = serde_json::to_vec(&event).unwrap();
                    let again = parse_json(&written).and_then(|line| line.to_event());
                    let again = again
                        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&written)));
                    // A missing value is equal to nothing, its text is.
                    assert_eq!(serde_json::to_vec(&again).unwrap(), written);
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            },
            NextLine::Bad(error) => assert!(!error.to_string().is_empty() && !error.class().is_empty()),
            NextLine::Broken(why) => {
                assert!(!why.is_empty());
                break;
            }
            NextLine::Blank => {}
            NextLine::End => break,
        }
    }
    events
}

#[cfg(test)]
const NDJSON: &str = r#"{"model_id":"fraud","version":"2025-11","kind":"F1","value":0.5,"ts":"2025-11-24T10:00:00.25Z"}
{"model_id":"fraud","kind":"LatencyMs","value":12.5e0,"ts":1764000000000}
{"model_id":"a.b-c_d","kind":"Embedding:text","value":[0.5,-1,2e-3]}
{"model_id":"m","kind":"Feature:age","value":null}
"#;

#[cfg(test)]
const CSV: &str = "model_id,version,kind,value,ts\nfraud,v1,Accuracy,0.9,2025-11-24T10:00:00Z\nb,,Correct,1,\n\"c\",x,F1,,1764000000000\n";

#[test]
fn events_with_any_byte_changed_are_refused_or_come_out_as_they_went_in() {
    let mut events = 0;
    for (how, text) in [(1, NDJSON), (2, CSV)] {
        let whole = [&[how], text.as_bytes()].concat();
        assert!(check(&whole) >= 3, "{} events", check(&whole));
        for place in 1..whole.len() {
            for value in [b'"', b'{', b',', b'\\', b'9', b'\n', 0, 0xc3, 0xff] {
                let mut data = whole.clone();
                data[place] = value;
                events += check(&data);
            }
            // And cut, with a piece of it twice, or gone.
            let end = (place + 7).min(whole.len());
            check(&whole[..place]);
            check(&[&whole[..end], &whole[place..]].concat());
            check(&[&whole[..place], &whole[end..]].concat());
        }
    }
    assert!(events > 1_000, "{events} events");
}
