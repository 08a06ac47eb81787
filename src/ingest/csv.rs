//! Reads an event from one row of CSV; the header says which column is which field.

use std::borrow::Cow;

use visu_tility_core::nearest;

use crate::ingest::diagnose::{FIELDS, NUMBER, TIME, unknown_field};
use crate::ingest::line::{EventLine, LineError};
use crate::ingest::rfc3339::parse_time;

/// Which column holds which field, from the header of a CSV file.
///
/// Fields are found by name, in any order. `version` and `ts` may be absent; columns of other names are
/// passed over, unless the name looks like a mistyped field that is absent. Cells may be quoted
/// (RFC 4180); a quoted cell cannot hold a line break. An empty `value` is a missing value, an empty
/// `version` or `ts` is as if not given.
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
        cells(header, |_, cell| names.push(cell.trim().to_owned()))?;
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
            ts: match ts.trim() {
                "" => None,
                text => Some(time(text).ok_or_else(|| LineError::field("ts", text, TIME))?),
            },
            kind,
            value: match value.trim() {
                "" | "null" => None,
                text => {
                    Some(text.parse().map_err(|_| LineError::field("value", format!("{text:?}"), NUMBER))?)
                }
            },
        })
    }
}

/// A time as text or as whole milliseconds.
fn time(text: &str) -> Option<visu_tility_core::Timestamp> {
    parse_time(text).or_else(|| text.parse().ok().map(visu_tility_core::Timestamp::from_millis))
}

/// Walks over the cells of a row, unquoted.
fn cells<'a>(row: &'a str, mut take: impl FnMut(usize, Cow<'a, str>)) -> Result<(), LineError> {
    let mut rest = row;
    for at in 0.. {
        let (cell, after) = match rest.strip_prefix('"') {
            Some(inside) => quoted(inside)?,
            None => match rest.split_once(',') {
                Some((cell, after)) => (Cow::Borrowed(cell), Some(after)),
                None => (Cow::Borrowed(rest), None),
            },
        };
        take(at, cell);
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
        assert_eq!(read("model_id,ts,kind,value", "m,1500,F1,1").unwrap().ts.unwrap().micros(), 1_500_000);
    }

    #[test]
    fn quotes_are_taken_off() {
        let line = read("\"model_id\",kind,value", r#""m","Feature:a""b,c",2"#).unwrap();
        assert_eq!((&*line.model_id, &*line.kind), ("m", "Feature:a\"b,c"));
        assert!(read("model_id,kind,value", "\"m,F1,1").unwrap_err().contains("quote without"));
        assert!(read("model_id,kind,value", "\"m\"x,F1,1").unwrap_err().contains("behind a closing"));
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
