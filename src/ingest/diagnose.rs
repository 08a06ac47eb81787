//! Says what is wrong with a line of JSON that is not an event: slow, thorough, and only for bad lines.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use visu_tility_core::{Timestamp, nearest};

use crate::ingest::line::LineError;
use crate::ingest::rfc3339::parse_time;

/// The fields of an event, in the order of its wire form.
pub(crate) const FIELDS: [&str; 5] = ["model_id", "version", "ts", "kind", "value"];

/// The same for a message.
const ALLOWED: &str = "model_id, version, ts, kind, value";

/// What a `ts` must be.
const TIME: &str = "a time such as \"2025-02-03T00:00:00.000Z\" or whole milliseconds since 1970";

/// What a `value` must be before its kind is looked at.
pub(crate) const NUMBER: &str = "a finite number or null";

/// What a `value` must be that begins as a list.
const LIST: &str = "a list of finite numbers";

/// What a `ts` must be that was given in seconds, as it seems.
const MILLIS: &str = "whole milliseconds since 1970 (looks like seconds; milliseconds are meant)";

/// A time of whole milliseconds since 1970; `None` when it looks like seconds: it would be before March 1973.
pub(crate) fn from_millis(millis: i64) -> Option<Timestamp> {
    const SECONDS_BELOW: i64 = 100_000_000_000;
    (!(0..SECONDS_BELOW).contains(&millis)).then(|| Timestamp::from_millis(millis))
}

/// What a `ts` must be that is none.
pub(crate) fn allowed_time(text: &str) -> &'static str {
    let seconds = text.parse().is_ok_and(|number: f64| (0.0..1e11).contains(&number));
    if seconds { MILLIS } else { TIME }
}

/// Finds the mistake of a line that `error` was met on.
pub(crate) fn diagnose(line: &[u8], error: &serde_json::Error) -> LineError {
    let Ok(text) = std::str::from_utf8(line) else {
        return LineError::malformed("not UTF-8 text");
    };
    if !text.trim_start().starts_with('{') {
        return LineError::malformed(format!("{} is not an object", shown(text.trim())));
    }
    match serde_json::from_str::<Pairs<'_>>(text) {
        Ok(Pairs(pairs)) => mistake(&pairs).unwrap_or_else(|| LineError::malformed(plain(error))),
        Err(syntax) => not_a_number(text, &syntax)
            .or_else(|| in_list(text, &syntax))
            .unwrap_or_else(|| LineError::malformed(plain(&syntax))),
    }
}

/// The error for a field that no event has; the nearest one is named.
pub(crate) fn unknown_field(name: &str) -> LineError {
    let hint = nearest(name, FIELDS).map_or(String::new(), |near| format!(" (nearest: {near})"));
    LineError::UnknownField { name: shown(name), allowed: ALLOWED, hint }
}

/// Cuts a text for display.
fn shown(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The parser's own words, with the column only: the line within the line is always 1.
fn plain(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", " at column ")
}

/// The fields of an object as they stand there, repeats included.
struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Pairs<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs<'de>, M::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    pairs.push((key, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

/// The first mistake among well-formed fields.
fn mistake(pairs: &[(Cow<'_, str>, &RawValue)]) -> Option<LineError> {
    if let Some((name, _)) = pairs.iter().find(|(name, _)| !FIELDS.contains(&&**name)) {
        return Some(unknown_field(name));
    }
    for field in FIELDS {
        let mut given = pairs.iter().filter(|(name, _)| name == field).map(|(_, raw)| raw.get());
        let Some(raw) = given.next() else {
            if matches!(field, "version" | "ts") {
                continue;
            }
            return Some(LineError::field(field, "missing", "given"));
        };
        if given.next().is_some() {
            return Some(LineError::field(field, "given twice", "given once"));
        }
        if let Some((place, component)) = wrong_component(raw).filter(|_| field == "value") {
            return Some(of_list(component, place));
        }
        if let Some(allowed) = wrong_type(field, raw) {
            return Some(LineError::field(field, raw, allowed));
        }
    }
    None
}

/// What a field must be, when it is not.
fn wrong_type(field: &str, raw: &str) -> Option<&'static str> {
    let text = serde_json::from_str::<String>(raw).ok();
    match field {
        "ts" | "value" | "version" if raw == "null" => None,
        "ts" if raw.parse().is_ok_and(|millis| from_millis(millis).is_some()) => None,
        "ts" => text.and_then(|text| parse_time(&text)).is_none().then(|| allowed_time(raw)),
        "value" if raw.starts_with('[') => None,
        "value" => serde_json::from_str::<f64>(raw).is_err().then_some(NUMBER),
        _ => text.is_none().then_some("a text"),
    }
}

/// The first component of a list that is no number, and its place from 1; `None` for what is no list.
fn wrong_component(raw: &str) -> Option<(usize, &str)> {
    let list: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    let number = |one: &&RawValue| serde_json::from_str::<f64>(one.get()).is_ok();
    let at = list.iter().position(|one| !number(one))?;
    Some((at + 1, list.get(at)?.get()))
}

/// The error for a component of a vector, by its place from 1.
fn of_list(component: &str, place: usize) -> LineError {
    LineError::field("value", format!("{} in place {place} of the list", shown(component)), LIST)
}

/// The place, from 1, at the end of the beginning of a line that stops within the list of `value`.
fn place_in_list(before: &str) -> Option<usize> {
    let (head, list) = before.rsplit_once('[')?;
    let key = head.trim_end().strip_suffix(':')?.trim_end();
    let numbers = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || "+-.,".contains(c);
    (key.ends_with("\"value\"") && list.chars().all(numbers)).then(|| list.matches(',').count() + 1)
}

/// Any other syntax error within the list of `value`: the parser's own words, with the field and the place.
fn in_list(text: &str, error: &serde_json::Error) -> Option<LineError> {
    let place = place_in_list(text.get(..error.column().min(text.len()).checked_sub(1)?)?)?;
    Some(LineError::malformed(format!("{}, in place {place} of the list of field `value`", plain(error))))
}

/// The commonest syntax error: a number that JSON does not have (`NaN`, `Infinity`, `-inf`), as some
/// writers put it. Named by its field.
fn not_a_number(text: &str, error: &serde_json::Error) -> Option<LineError> {
    // The parser stops within the word, at a character of its that no value begins with.
    let stop = error.column().min(text.len());
    let before = text.get(..stop)?;
    let start =
        before.rfind(|c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c))).map_or(0, |at| at + 1);
    let word = text.get(start..)?.split([',', '}', ']', ' ', '\t']).next()?;
    let bare = word.trim_start_matches(['-', '+']).to_ascii_lowercase();
    if !matches!(bare.as_str(), "nan" | "inf" | "infinity") {
        return None;
    }
    if let Some(place) = place_in_list(text.get(..start)?) {
        return Some(of_list(word, place));
    }
    let key = text.get(..start)?.trim_end().strip_suffix(':')?.trim_end().strip_suffix('"')?;
    let key = key.get(key.rfind('"')? + 1..)?;
    let field = FIELDS.into_iter().find(|field| *field == key)?;
    let allowed = match field {
        "value" => NUMBER,
        "ts" => TIME,
        _ => "a text",
    };
    Some(LineError::field(field, word, allowed))
}

#[cfg(test)]
mod tests {
    use crate::ingest::json::parse_json;

    fn said(line: &str) -> String {
        parse_json(line.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn numbers_that_json_does_not_have_are_named_by_field() {
        for word in ["NaN", "Infinity", "-Infinity", "nan", "-inf"] {
            let text = said(&format!(r#"{{"model_id":"m","kind":"F1","value": {word}}}"#));
            assert_eq!(text, format!("field `value` is {word}, must be a finite number or null"));
        }
        let text = said(r#"{"model_id":"m","kind":"F1","value":1e999}"#);
        assert_eq!(text, "field `value` is 1e999, must be a finite number or null");
        assert!(said(r#"{"ts":NaN,"model_id":"m"}"#).starts_with("field `ts` is NaN, must be a time"));
    }

    #[test]
    fn wrong_types_and_counts_are_named() {
        assert_eq!(said(r#"{"model_id":7,"kind":"F1","value":1}"#), "field `model_id` is 7, must be a text");
        assert_eq!(said(r#"{"model_id":"m","value":1}"#), "field `kind` is missing, must be given");
        assert_eq!(
            said(r#"{"model_id":"m","kind":"F1","value":1,"value":2}"#),
            "field `value` is given twice, must be given once"
        );
        assert!(
            said(r#"{"model_id":"m","ts":"soon","kind":"F1","value":1}"#)
                .starts_with("field `ts` is \"soon\"")
        );
        assert!(
            said(r#"{"model_id":"m","ts":1.5,"kind":"F1","value":1}"#).starts_with("field `ts` is 1.5, must")
        );
        assert_eq!(
            said(r#"{"model_id":"m","ts":1738540800,"kind":"F1","value":1}"#),
            "field `ts` is 1738540800, must be whole milliseconds since 1970 (looks like seconds; milliseconds are meant)"
        );
    }

    #[test]
    fn a_wrong_component_of_a_list_is_named_by_its_place() {
        let value = |list: &str| said(&format!(r#"{{"model_id":"m","kind":"Embedding:e","value":{list}}}"#));
        for (list, component, place) in [
            ("[1, NaN]", "NaN", 2),
            ("[-Infinity,1]", "-Infinity", 1),
            ("[0.5,2e3, inf ,4]", "inf", 3),
            (r#"[1,"x",null]"#, r#""x""#, 2),
            ("[1,null]", "null", 2),
            ("[1,2,1e999]", "1e999", 3),
            ("[[1]]", "[1]", 1),
        ] {
            let told = format!(
                "field `value` is {component} in place {place} of the list, must be a list of finite numbers"
            );
            assert_eq!(value(list), told, "{list}");
        }
        for (list, place) in [("[1,,2]", 2), ("[1, 2.]", 2), ("[1,2,3 4]", 3), ("[1,0x10]", 2), ("[+1]", 1)] {
            let told = value(list);
            let end = format!(", in place {place} of the list of field `value`");
            assert!(told.starts_with("malformed line: ") && told.ends_with(&end), "{list}: {told}");
        }
    }

    #[test]
    fn unknown_fields_get_a_hint() {
        assert_eq!(
            said(r#"{"model_id":"m","kind":"F1","valu":1}"#),
            "unknown field `valu`, must be one of model_id, version, ts, kind, value (nearest: value)"
        );
    }

    #[test]
    fn what_is_no_object_is_malformed_with_a_column() {
        assert_eq!(said("[1,2]"), "malformed line: [1,2] is not an object");
        assert_eq!(said(r#"{"model_id":"m""#), "malformed line: EOF while parsing an object at column 15");
        assert_eq!(
            said(r#"{"model_id":"m","kind":"F1","value":1} x"#),
            "malformed line: trailing characters at column 40"
        );
        let error = parse_json(b"\xff\xfe{").unwrap_err().to_string();
        assert_eq!(error, "malformed line: not UTF-8 text");
    }
}
