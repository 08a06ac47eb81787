//! One value of a plan: what it may be, how it is read, and what is said when it is something else.

use std::time::Duration;

use ::toml::de::{DeInteger, DeValue};

use crate::nearest::nearest;

/// What a key holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// A number; its range is that of the constructor.
    Number,
    /// A whole number that is not negative.
    Count { min: u64, max: u64 },
    /// A whole number of 32 bits.
    Whole,
    /// A length of time.
    Span,
    /// One of these words.
    Choice(fn() -> Vec<&'static str>),
    /// One of these words, which a detector knows.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// `true`, `false`, or how many values to learn from.
    Standardize,
    /// Any text.
    Text,
    /// A list of numbers.
    Numbers,
    /// A list of whole numbers that are not negative.
    Counts,
    /// A pattern or a list of patterns.
    Globs,
    /// A table.
    Table,
    /// A list of tables.
    Tables,
    /// A list of tables that stand in one key; how many there are.
    Members,
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Setting {
    Number(f64),
    Count(u64),
    Whole(i32),
    Span(Duration),
    Choice(&'static str),
    Flag(bool),
    Text(String),
    Numbers(Vec<f64>),
    Counts(Vec<u64>),
}

impl Shape {
    /// Reads a value; `Ok(None)` for those that are read elsewhere: patterns and tables.
    ///
    /// The error is what the value must be, and reads after "`key` is VALUE, ".
    pub fn read(self, value: &DeValue<'_>) -> Result<Option<Setting>, String> {
        match self {
            Self::Number => number(value).map(Setting::Number),
            Self::Count { min, max } => count(value, min, max).map(Setting::Count),
            Self::Whole => whole(value).map(Setting::Whole),
            Self::Span => span(value).map(Setting::Span),
            Self::Choice(words) => choice(value, &words()).map(Setting::Choice),
            Self::Word(words) => choice(value, words).map(Setting::Choice),
            Self::Flag => value.as_bool().map(Setting::Flag).ok_or("must be true or false".to_owned()),
            Self::Standardize => standardize(value),
            Self::Text => {
                value.as_str().map(|text| Setting::Text(text.to_owned())).ok_or("must be a text".to_owned())
            }
            Self::Numbers => list(value, number).map(Setting::Numbers),
            Self::Counts => list(value, |value| count(value, 0, u64::MAX)).map(Setting::Counts),
            Self::Table if !value.is_table() => {
                return Err("must be a table: write it between [ and ]".to_owned());
            }
            Self::Tables if !value.is_array() => {
                return Err("must be a list of tables: write [[rule]]".to_owned());
            }
            Self::Members => match value.as_array() {
                Some(list) if list.iter().all(|item| item.as_ref().is_table()) => {
                    Ok(Setting::Count(list.len() as u64))
                }
                // Each of them is told by itself.
                Some(_) => return Ok(None),
                None => Err("must be a list of tables: write [{ detector = \"adwin\" }, ...]".to_owned()),
            },
            Self::Globs | Self::Table | Self::Tables => return Ok(None),
        }
        .map(Some)
    }
}

/// A value for a message, shortened.
pub(super) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => shorten(&number.to_string()),
        DeValue::Float(number) => shorten(number.as_str()),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A text between quotes, shortened to 64 characters.
pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", shorten(text))
}

/// A text without quotes, on one line, shortened to 64 characters.
pub(super) fn plain(text: &str) -> String {
    shorten(text).escape_debug().to_string()
}

/// Cuts a text at 64 characters; the mark of the cut is no ASCII.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// `"a", "b" or "c"`.
pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn number(value: &DeValue<'_>) -> Result<f64, String> {
    let text = match value {
        DeValue::Integer(integer) => return Ok(integer_of(integer)? as f64),
        DeValue::Float(float) => float.as_str(),
        _ => return Err("must be a number".to_owned()),
    };
    match text.parse::<f64>() {
        Ok(number) if number.is_nan() => Err("must be a number".to_owned()),
        // A literal such as 1e999, which no f64 holds.
        Ok(number) if number.is_infinite() && !text.contains("inf") => Err("which is too large".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("must be a number".to_owned()),
    }
}

fn integer_of(integer: &DeInteger<'_>) -> Result<i128, String> {
    i128::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| "which is too large".to_owned())
}

fn integer(value: &DeValue<'_>) -> Result<i128, String> {
    integer_of(value.as_integer().ok_or_else(|| "must be a whole number".to_owned())?)
}

fn count(value: &DeValue<'_>, min: u64, max: u64) -> Result<u64, String> {
    let number = integer(value)?;
    if number < i128::from(min) {
        return Err(if min == 0 {
            "must not be negative".to_owned()
        } else {
            format!("must be at least {min}")
        });
    }
    u64::try_from(number).ok().filter(|number| *number <= max).ok_or_else(|| format!("must be at most {max}"))
}

/// Reads a list; the first item that is no good is named by its place.
fn list<T>(value: &DeValue<'_>, read: impl Fn(&DeValue<'_>) -> Result<T, String>) -> Result<Vec<T>, String> {
    let items = value.as_array().ok_or_else(|| "must be a list of numbers".to_owned())?;
    let items = items.iter().enumerate().map(|(place, item)| {
        let item = item.as_ref();
        read(item).map_err(|must| format!("of which number {place} is {}, {must}", shown(item)))
    });
    items.collect()
}

fn whole(value: &DeValue<'_>) -> Result<i32, String> {
    i32::try_from(integer(value)?).map_err(|_| format!("must be from {} to {}", i32::MIN, i32::MAX))
}

fn choice(value: &DeValue<'_>, words: &[&'static str]) -> Result<&'static str, String> {
    let text = value.as_str();
    if let Some(word) = words.iter().find(|word| Some(**word) == text) {
        return Ok(word);
    }
    let hint = text
        .and_then(|text| nearest(text, words.iter().copied()))
        .map_or(String::new(), |word| format!(", did you mean \"{word}\"?"));
    Err(format!("must be {}{hint}", one_of(words)))
}

fn standardize(value: &DeValue<'_>) -> Result<Setting, String> {
    match value {
        DeValue::Boolean(flag) => Ok(Setting::Flag(*flag)),
        DeValue::Integer(_) => count(value, 0, u64::MAX).map(Setting::Count),
        _ => Err("must be true, false or the number of values to learn from".to_owned()),
    }
}

fn span(value: &DeValue<'_>) -> Result<Duration, String> {
    value.as_str().and_then(parse_span).ok_or_else(|| {
        "must be a length of time such as \"5m\" or \"1h30m\": whole numbers with ms, s, m, h or d".to_owned()
    })
}

/// Units of time in nanoseconds, the largest first. The last two are for what was set in code.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Reads a sum of whole numbers with units, such as `1h30m`.
pub(super) fn parse_span(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (digits, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = tail.split_at(tail.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(tail.len()));
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
        nanos = nanos.checked_add(u128::from(digits.parse::<u64>().ok()?) * size)?;
        rest = after;
    }
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    (!text.is_empty()).then(|| Duration::new(seconds, (nanos % 1_000_000_000) as u32))
}

/// Writes a length of time so that [`parse_span`] reads the same.
pub(super) fn write_span(span: Duration) -> String {
    if span.is_zero() {
        return "0s".to_owned();
    }
    let mut nanos = span.as_nanos();
    let mut text = String::new();
    for (unit, size) in UNITS {
        if nanos >= size {
            text.push_str(&(nanos / size).to_string());
            text.push_str(unit);
            nanos %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_of_time() {
        for (text, millis) in [
            ("0s", 0),
            ("250ms", 250),
            ("90s", 90_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("1m1ms", 60_001),
            ("30m1h", 5_400_000),
        ] {
            assert_eq!(parse_span(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "5", "m", "5 m", "-5m", "1.5h", "5M", "5min", "5m ", "99999999999999999999s", "1h30", "٣s"]
        {
            assert_eq!(parse_span(text), None, "{text}");
        }
    }

    #[test]
    fn lengths_of_time_for_a_person() {
        assert_eq!(write_span(Duration::from_mins(90)), "1h30m");
        assert_eq!(write_span(Duration::from_hours(24)), "1d");
        assert_eq!(write_span(Duration::from_micros(1_500)), "1ms500us");
    }

    proptest! {
        #[test]
        fn lengths_of_time_are_read_back(seconds: u64, nanos in 0_u32..1_000_000_000) {
            let span = Duration::new(seconds, nanos);
            prop_assert_eq!(parse_span(&write_span(span)), Some(span));
        }
    }
}
