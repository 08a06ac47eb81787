//! What can be wrong with an event, and with an observer.

use thiserror::Error;

/// An event was refused where it was built.
///
/// The text names the field, the value (shortened) and what is allowed; of a name also the first character that is
/// not, its place, and what the name could be instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("field `{field}` is {value}, must be {allowed}{offence}")]
pub struct EventError {
    field: &'static str,
    value: String,
    allowed: String,
    offence: String,
}

impl EventError {
    /// Builds the error for a field; `value` is shortened to 64 characters.
    pub fn new(field: &'static str, value: impl AsRef<str>, allowed: impl Into<String>) -> Self {
        Self { field, value: shorten(value.as_ref()), allowed: allowed.into(), offence: String::new() }
    }

    /// Builds the error for a name; an empty one is called so, others are quoted.
    pub(crate) fn name(field: &'static str, value: &str, allowed: &str, offence: String) -> Self {
        let length = value.len();
        let mut shown = if value.is_empty() { "empty".to_owned() } else { format!("{:?}", shorten(value)) };
        if length > 64 {
            shown = format!("{shown} ({length} bytes)");
        }
        Self { field, value: shown, allowed: allowed.to_owned(), offence }
    }

    /// The field that was refused: `model_id`, `version`, `ts`, `kind` or `value`.
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// The value as it came, shortened.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What is allowed.
    pub fn allowed(&self) -> &str {
        &self.allowed
    }
}

/// Says which character of a name is the first that is not allowed, where it stands, and what the name could be
/// instead; empty when there is no such character.
pub(crate) fn offence(name: &str, allowed: impl Fn(char) -> bool) -> String {
    let Some((before, wrong)) = name.chars().enumerate().find(|(_, c)| !allowed(*c)) else {
        return String::new();
    };
    let place = before + 1;
    let said = format!("; character {place} ({:?}) is none of these", wrong.to_string());
    let instead: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    // A name of which nothing to read is left, or that is cut off above, is no help.
    if instead.len() > 64 || !instead.contains(|c: char| c.is_alphanumeric()) {
        return said;
    }
    format!("{said}, {instead:?} would do")
}

/// Cuts a text for display at 64 characters.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Something an observer, or the path to it, could not do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ObserverError {
    /// A setting is out of its range; the text names it and what is allowed.
    #[error("configuration: {0}")]
    Config(String),
    /// The other side of a channel is gone or full.
    #[error("channel: {0}")]
    Channel(String),
    /// The observer itself failed on an event; the event counts as seen.
    #[error("internal: {0}")]
    Internal(String),
}

impl From<EventError> for ObserverError {
    fn from(error: EventError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<visu_tility_drift::ParamError> for ObserverError {
    fn from(error: visu_tility_drift::ParamError) -> Self {
        Self::Config(error.to_string())
    }
}
