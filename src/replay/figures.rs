//! Numbers, spans and times as a person reads them.

use std::time::Duration;

use visu_tility_core::Timestamp;

/// A count with its thousands apart: `12,655`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 event`, `2 events`.
pub(crate) fn counted(value: u64, noun: &str) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(value))
}

/// What is left out of a list: `and 3 more alerts`.
pub(crate) fn more(value: u64, noun: &str) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("and {} more {noun}{plural}", count(value))
}

/// A measured value in at most six characters or so: four significant digits.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e7).contains(&size) {
        return format!("{value:.2e}");
    }
    let decimals = (3 - size.log10().floor() as i32).clamp(0, 7) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A span in its two largest units: `2h 13m`.
pub(crate) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let two = |a: u64, x: &str, b: u64, y: &str| {
        if b == 0 { format!("{a}{x}") } else { format!("{a}{x} {b}{y}") }
    };
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 10 => format!("{}s", number(span.as_millis() as f64 / 1e3)),
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => two(minutes, "m", seconds % 60, "s"),
        (0, hours, minutes) => two(hours, "h", minutes, "m"),
        (days, hours, _) => two(days, "d", hours, "h"),
    }
}

/// A time to the second: `2025-02-03 00:42:11`.
pub(crate) fn time(ts: Timestamp) -> String {
    let text = ts.to_string();
    text.get(..19).map_or_else(|| text.clone(), |text| text.replacen('T', " ", 1))
}

/// A text with its longest figures cut to a few digits: `1e300` printed in full has three hundred.
pub(crate) fn short_figures(text: &str) -> String {
    const DIGITS_MAX: usize = 17;
    let mut short = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, figure) = rest.split_at(at);
        let end = figure.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(figure.len());
        let (figure, behind) = figure.split_at(end);
        short.push_str(before);
        let whole = figure.split('.').next().unwrap_or_default().len();
        match figure.parse() {
            Ok(value) if whole > DIGITS_MAX => short.push_str(&number(value)),
            _ => short.push_str(figure),
        }
        rest = behind;
    }
    short.push_str(rest);
    short
}

/// A text of somebody else's on one line: control characters become blanks.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Cuts a text at so many characters.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!(
            [0, 999, 1_000, 40_320, 1_234_567].map(count),
            ["0", "999", "1,000", "40,320", "1,234,567"]
        );
        assert_eq!([counted(1, "event"), counted(2, "event")], ["1 event", "2 events"]);
        assert_eq!([more(1, "event"), more(2, "event")], ["and 1 more event", "and 2 more events"]);
    }

    #[test]
    fn numbers_keep_four_digits() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.561_198, "0.5612"),
            (276.406, "276.4"),
            (22_951.0, "22951"),
            (-0.000_012, "-1.20e-5"),
            (0.95, "0.95"),
            (1e300, "1.00e300"),
            (100.0, "100"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn the_longest_figures_of_a_text_are_cut() {
        let long = format!("change -{}, of 12.5 m2 in 2025.", 1.7e308);
        assert_eq!(short_figures(&long), "change -1.70e308, of 12.5 m2 in 2025.");
        assert_eq!(short_figures(&format!("{}", 5e99)), "5.00e99");
        assert_eq!(short_figures("größer 1 2 3"), "größer 1 2 3");
        assert_eq!(short_figures(""), "");
    }

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [
            (0.25, "0.25s"),
            (59.0, "59s"),
            (90.0, "1m 30s"),
            (3_600.0, "1h"),
            (8_000.0, "2h 13m"),
            (90_000.0, "1d 1h"),
        ] {
            assert_eq!(span(Duration::from_secs_f64(seconds)), text);
        }
        assert_eq!(time(Timestamp::from_millis(1_738_540_802_250)), "2025-02-03 00:00:02");
    }
}
