//! Reads an event from one row of CSV; the header says which column is which field.

use std::borrow::Cow;

use visu_tility_core::{Timestamp, nearest};

use crate::ingest::diagnose::{FIELDS, NUMBER, allowed_time, from_millis, unknown_field};
use crate::ingest::line::{EventLine, LineError};
use crate::ingest::rfc3339::parse_time;

/// Which column holds which field, from the header of a CSV file.
///
/// Fields are found by name, in any order. `version` and `ts` may be absent; columns of other names are
/// passed over, unless the name looks like a mistyped field that is absent. Cells may be quoted
/// (RFC 4180); a quoted cell cannot hold a line break. Blanks around a cell are taken off. Numbers are written
/// as in JSON. An empty `value` is a missing value, an empty `version` or `ts` is as if not given.
///
/// # Examples
///
/// ```
/// use visu_tility::ingest::CsvColumns;
///
/// let columns = CsvColumns::from_header("kind,value,model_id")?;
/// let line = columns.parse(b"Accuracy,0.93,fraud")?;
/// assert_eq!((&*line.model_id, line.value), ("fraud", Some(0.93)));
/// # Ok::<(), visu_tility::ingest::LineError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvColumns {
    /// For each column the field it holds: its place in [`FIELDS`].
    fields: Vec<Option<usize>>,
}

impl CsvColumns {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// Fails when `model_id`, `kind` or `value` is absent, a field is named twice, or a name looks like a
    /// mistyped field.
    pub fn from_header(header: &str) -> Result<Self, LineError> {
        let mut names = Vec::new();
        cells(header, |_, cell| names.push(cell.into_owned()))?;
        let mut fields = Vec::with_capacity(names.len());
        for name in &names {
            let field = FIELDS.iter().position(|field| field == name);
            let mistyped =
                || nearest(name, FIELDS).is_some_and(|near| !names.iter().any(|other| other == near));
            match (field, field.and_then(|at| FIELDS.get(at))) {
                (Some(at), Some(name)) if fields.contains(&Some(at)) => {
                    return Err(LineError::field(name, "given twice", "given once in the header"));
                }
                (None, _) if mistyped() => return Err(unknown_field(name)),
                _ => fields.push(field),
            }
        }
        for (at, field) in FIELDS.into_iter().enumerate() {
            if !matches!(field, "version" | "ts") && !fields.contains(&Some(at)) {
                return Err(LineError::field(field, "missing", "a column of the header"));
            }
        }
        Ok(Self { fields })
    }

    /// Reads one row.
    ///
    /// # Errors
    ///
    /// Fails when the row has another number of cells than the header, or a cell is not what its field
    /// must be.
    pub fn parse<'a>(&self, row: &'a [u8]) -> Result<EventLine<'a>, LineError> {
        let row = std::str::from_utf8(row).map_err(|_| LineError::malformed("not UTF-8 text"))?;
        let mut found: [Cow<'a, str>; 5] = [const { Cow::Borrowed("") }; 5];
        let mut count = 0;
        cells(row, |at, cell| {
            count = at + 1;
            if let Some(slot) = self.fields.get(at).copied().flatten().and_then(|field| found.get_mut(field))
            {
                *slot = cell;
            }
        })?;
        if count != self.fields.len() {
            return Err(LineError::Cells { found: count, expected: self.fields.len() });
        }
        let [model_id, version, ts, kind, value] = found;
        Ok(EventLine {
            model_id,
            version: (!version.is_empty()).then_some(version),
            ts: if ts.is_empty() { None } else { Some(time(&ts)?) },
            kind,
            vector: None,
            value: match &*value {
                "" | "null" => None,
                text => {
                    Some(number(text).ok_or_else(|| LineError::field("value", format!("{text:?}"), NUMBER))?)
                }
            },
        })
    }
}

/// A time as text or as whole milliseconds.
fn time(text: &str) -> Result<Timestamp, LineError> {
    if let Some(time) = parse_time(text) {
        return Ok(time);
    }
    let millis = text.parse().ok().filter(|_| is_json_number(text));
    millis.and_then(from_millis).ok_or_else(|| LineError::field("ts", text, allowed_time(text)))
}

/// A finite number, written as in JSON, so that both forms of a file agree on what can be used.
fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite() && is_json_number(text))
}

/// Is true for the numbers of JSON among those that Rust reads: no `+` or point at the start, no point at the
/// end of the digits, no `0` before a digit.
fn is_json_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let starts = match unsigned {
        [b'0', next, ..] => !next.is_ascii_digit(),
        [first, ..] => first.is_ascii_digit(),
        [] => false,
    };
    let mut behind = unsigned.iter().skip_while(|byte| **byte != b'.').skip(1);
    let point = unsigned.contains(&b'.');
    starts && (!point || behind.next().is_some_and(u8::is_ascii_digit))
}

/// Takes the blanks around a cell off.
fn trimmed(cell: Cow<'_, str>) -> Cow<'_, str> {
    match cell {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// Walks over the cells of a row, unquoted, without the blanks around them.
fn cells<'a>(row: &'a str, mut take: impl FnMut(usize, Cow<'a, str>)) -> Result<(), LineError> {
    let mut rest = row;
    for at in 0.. {
        let (cell, after) = match rest.trim_start().strip_prefix('"') {
            Some(inside) => quoted(inside)?,
            None => match rest.split_once(',') {
                Some((cell, after)) => (Cow::Borrowed(cell), Some(after)),
                None => (Cow::Borrowed(rest), None),
            },
        };
        take(at, trimmed(cell));
        match after {
            Some(after) => rest = after,
            None => break,
        }
    }
    Ok(())
}

/// A quoted cell, from behind its opening quote; and what follows the comma behind it.
fn quoted(inside: &str) -> Result<(Cow<'_, str>, Option<&str>), LineError> {
    let mut from = 0;
    while let Some(quote) = inside.get(from..).and_then(|text| text.find('"')).map(|at| at + from) {
        let behind = inside.get(quote + 1..).unwrap_or_default();
        if behind.starts_with('"') {
            from = quote + 2;
            continue;
        }
        let cell = inside.get(..quote).unwrap_or_default();
        let cell = if from == 0 { Cow::Borrowed(cell) } else { Cow::Owned(cell.replace("\"\"", "\"")) };
        let behind = behind.trim_start();
        return match behind.strip_prefix(',') {
            None if behind.is_empty() => Ok((cell, None)),
            None => {
                Err(LineError::malformed("text behind a closing quote, must be `,` or the end of the line"))
            }
            after => Ok((cell, after)),
        };
    }
    Err(LineError::malformed("quote without a closing one on the same line"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(header: &str, row: &'a str) -> Result<EventLine<'a>, String> {
        CsvColumns::from_header(header).unwrap().parse(row.as_bytes()).map_err(|e| e.to_string())
    }

    #[test]
    fn columns_stand_in_any_order_and_others_are_passed_over() {
        let line = read("value,region,kind,ts,model_id,version", "1.5,eu,LatencyMs,2025-02-03T00:00:00Z,m,2");
        let line = line.unwrap();
        assert_eq!((&*line.model_id, line.version.as_deref(), line.value), ("m", Some("2"), Some(1.5)));
        assert_eq!(line.ts, parse_time("2025-02-03T00:00:00Z"));
    }

    #[test]
    fn empty_cells_are_not_given() {
        let line = read("model_id,version,ts,kind,value", "m,,,F1,").unwrap();
        assert_eq!((line.version, line.ts, line.value), (None, None, None));
        let line = read("model_id,ts,kind,value", "m,1738540802250,F1,1").unwrap();
        assert_eq!(line.ts, parse_time("2025-02-03T00:00:02.250Z"));
    }

    #[test]
    fn quotes_are_taken_off() {
        let line = read("\"model_id\",kind,value", r#""m","Feature:a""b,c",2"#).unwrap();
        assert_eq!((&*line.model_id, &*line.kind), ("m", "Feature:a\"b,c"));
        assert!(read("model_id,kind,value", "\"m,F1,1").unwrap_err().contains("quote without"));
        assert!(read("model_id,kind,value", "\"m\"x,F1,1").unwrap_err().contains("behind a closing"));
    }

    #[test]
    fn numbers_are_those_of_json() {
        let header = "model_id,kind,value,ts";
        for text in [
            "0", "-0", "-0.5", "1e3", "1E-3", "1.25e+2", "8.41e-21", "10", "0.10", "1e308", "+1", "1.", ".5",
            "01", "-.5", "-01", "00", "1.e3", "inf", "-inf", "NaN", "infinity", "1e999", "1_0", "0x1", "",
            "null", "-", "e",
        ] {
            let csv = read(header, &format!("m,F1,{text},")).map(|line| line.value.map(f64::to_bits));
            let text = if text.is_empty() { "null" } else { text };
            let json = format!(r#"{{"model_id":"m","kind":"F1","value":{text}}}"#);
            let json = crate::ingest::parse_json(json.as_bytes()).map(|line| line.value.map(f64::to_bits));
            assert_eq!(csv.ok(), json.ok(), "{text}");
        }
        for (ts, good) in [("1738540800000", true), ("+1738540800000", false), ("01738540800000", false)] {
            assert_eq!(read(header, &format!("m,F1,1,{ts}")).is_ok(), good, "{ts}");
        }
        assert!(read(header, "m,F1,1,1738540800").unwrap_err().contains("looks like seconds"));
    }

    #[test]
    fn blanks_around_every_cell_are_taken_off() {
        let line = read(
            " model_id, \"version\" ,ts , kind,value",
            " m ,\"2\" , 2025-02-03T00:00:00Z ,  \"F1\", 0.5 ",
        );
        let line = line.unwrap();
        assert_eq!((&*line.model_id, line.version.as_deref(), &*line.kind), ("m", Some("2"), "F1"));
        assert_eq!((line.ts, line.value), (parse_time("2025-02-03T00:00:00Z"), Some(0.5)));
        let line = read("model_id,version,ts,kind,value", "m, , ,F1, ").unwrap();
        assert_eq!((line.version, line.ts, line.value), (None, None, None));
    }

    #[test]
    fn mistakes_name_the_cell() {
        let said = |row| read("model_id,kind,value", row).unwrap_err();
        assert_eq!(said("m,F1"), "row of 2 cells, must be 3 as in the header");
        assert_eq!(said("m,F1,high"), "field `value` is \"high\", must be a finite number or null");
        assert!(read("model_id,kind,value,ts", "m,F1,1,soon").unwrap_err().starts_with("field `ts` is soon"));
    }

    #[test]
    fn a_header_lacking_a_field_is_refused() {
        let said = |header| CsvColumns::from_header(header).unwrap_err().to_string();
        assert_eq!(said("model_id,kind"), "field `value` is missing, must be a column of the header");
        assert!(
            said("model_id,kind,valeu").contains("unknown field `valeu`")
                && said("model_id,kind,valeu").contains("nearest: value")
        );
        assert_eq!(
            said("model_id,kind,value,kind"),
            "field `kind` is given twice, must be given once in the header"
        );
    }
}
