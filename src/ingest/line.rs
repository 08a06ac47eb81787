//! One line of a file as the fields of an event, borrowed; and what can be wrong with a line.

use std::borrow::Cow;
use std::sync::Arc;

use thiserror::Error;
use visu_tility_core::{EventError, MetricEvent, MetricKind, ModelId, Timestamp, Version};

/// The fields of an event as they stand on a line: read, not yet checked against their ranges.
///
/// Borrows from the line wherever nothing had to be unescaped.
#[derive(Clone, Debug, PartialEq)]
pub struct EventLine<'a> {
    /// The model's name.
    pub model_id: Cow<'a, str>,
    /// The version, if one was named.
    pub version: Option<Cow<'a, str>>,
    /// The time, if one was given.
    pub ts: Option<Timestamp>,
    /// The kind's text.
    pub kind: Cow<'a, str>,
    /// The number; `None` when the line says that it is missing, and for a vector.
    pub value: Option<f64>,
    /// The list of numbers, if it is one.
    pub vector: Option<Arc<[f32]>>,
}

impl EventLine<'_> {
    /// Builds the checked event.
    ///
    /// # Errors
    ///
    /// Fails on the first field that is out of its range.
    ///
    /// # Examples
    ///
    /// ```
    /// use visu_tility::ingest::parse_json;
    ///
    /// let line = parse_json(br#"{"model_id":"fraud","kind":"F1","value":0.9}"#)?;
    /// assert_eq!(line.to_event()?.value(), Some(0.9));
    /// # Ok::<(), visu_tility::ingest::LineError>(())
    /// ```
    pub fn to_event(&self) -> Result<MetricEvent, LineError> {
        let model_id = ModelId::new(&*self.model_id)?;
        let version = match &self.version {
            Some(version) => Version::new(&**version)?,
            None => Version::unversioned(),
        };
        let kind = parse_kind(&self.kind)?;
        if let Some(vector) = &self.vector {
            return Ok(MetricEvent::from_vector(model_id, version, kind, self.ts, Arc::clone(vector))?);
        }
        MetricEvent::from_parts(model_id, version, kind, self.ts, self.value)
            .map_err(|error| LineError::of_event(error, self.value))
    }
}

/// Reads a kind; when its name is refused, the whole text is shown and not the name alone.
pub(crate) fn parse_kind(text: &str) -> Result<MetricKind, EventError> {
    text.parse().map_err(|error: EventError| match text.split_once(':') {
        Some((family, _)) if MetricKind::NAMED.contains(&family) => {
            let shown = match text.char_indices().nth(48) {
                Some((cut, _)) => format!("\"{}…\"", text.get(..cut).unwrap_or_default().escape_debug()),
                None => format!("{text:?}"),
            };
            EventError::new("kind", shown, error.allowed())
        }
        _ => error,
    })
}

/// Why a line is not an event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LineError {
    /// It is not JSON, or not an object.
    #[error("malformed line: {what}")]
    Malformed {
        /// What is wrong, with the column.
        what: String,
    },
    /// It is longer than is read.
    #[error("line of {bytes} bytes, must be at most {limit}")]
    TooLong {
        /// How long it is; at least this when the file ends inside it.
        bytes: u64,
        /// How long it may be.
        limit: usize,
    },
    /// A field is missing, given twice, of the wrong type or out of range.
    #[error(transparent)]
    Field(#[from] EventError),
    /// A field that no event has.
    #[error("unknown field `{name}`, must be one of {allowed}{hint}")]
    UnknownField {
        /// Its name, shortened.
        name: String,
        /// The fields of an event.
        allowed: &'static str,
        /// The nearest of them, in brackets, or nothing.
        hint: String,
    },
    /// A row has another number of cells than the header.
    #[error("row of {found} cells, must be {expected} as in the header")]
    Cells {
        /// Cells of the row.
        found: usize,
        /// Cells of the header.
        expected: usize,
    },
}

impl LineError {
    /// Builds the error for a line that is no JSON object or no CSV.
    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed { what: what.into() }
    }

    /// Builds the error for a field.
    pub(crate) fn field(field: &'static str, value: impl AsRef<str>, allowed: impl Into<String>) -> Self {
        Self::Field(EventError::new(field, value, allowed))
    }

    /// Builds the error for what a checked event refused; a value of hundreds of digits is shown in short.
    pub(crate) fn of_event(error: EventError, value: Option<f64>) -> Self {
        let long = |value: &f64| *value != 0.0 && !(1e-5..1e16).contains(&value.abs());
        match value.filter(long) {
            Some(value) if error.field() == "value" => {
                Self::field("value", format!("{value:e}"), error.allowed())
            }
            _ => error.into(),
        }
    }

    /// Names the kind of mistake, for a summary: lines with the same class are counted together.
    pub fn class(&self) -> String {
        match self {
            Self::Malformed { .. } => "malformed line".to_owned(),
            Self::TooLong { .. } => "line too long".to_owned(),
            Self::Field(error) => match error.value() {
                "missing" => format!("field `{}` missing", error.field()),
                "given twice" => format!("field `{}` given twice", error.field()),
                _ => format!("field `{}` not as allowed", error.field()),
            },
            Self::UnknownField { .. } => "unknown field".to_owned(),
            Self::Cells { .. } => "wrong number of cells".to_owned(),
        }
    }
}
