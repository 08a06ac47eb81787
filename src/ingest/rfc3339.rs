//! Reads the one form of a time that nearly every event has, without the general parser.

use visu_tility_core::Timestamp;

/// Reads a time as RFC 3339 text.
///
/// The fixed form `YYYY-MM-DDTHH:MM:SS[.f]Z` with up to six digits of fraction takes a short way of about
/// five nanoseconds; every other form (offsets, leap seconds, lower case, finer fractions) goes through
/// [`Timestamp::parse`]. Both ways give the same time.
///
/// # Examples
///
/// ```
/// use visu_tility::ingest::parse_time;
///
/// assert_eq!(parse_time("2025-02-03T00:00:02.250Z"), parse_time("2025-02-03T01:00:02.25+01:00"));
/// assert_eq!(parse_time("yesterday"), None);
/// ```
pub fn parse_time(text: &str) -> Option<Timestamp> {
    fixed_form(text.as_bytes()).or_else(|| Timestamp::parse(text))
}

/// The fixed form, or `None` for everything that is not plainly it.
fn fixed_form(text: &[u8]) -> Option<Timestamp> {
    let [y1, y2, y3, y4, b'-', o1, o2, b'-', d1, d2, b'T', h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] =
        text
    else {
        return None;
    };
    let year = two(*y1, *y2)? * 100 + two(*y3, *y4)?;
    let (month, day) = (two(*o1, *o2)?, two(*d1, *d2)?);
    let (hour, minute, second) = (two(*h1, *h2)?, two(*m1, *m2)?, two(*s1, *s2)?);
    if day == 0 || day > month_days(year, month)? || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = fraction(rest)?;
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(Timestamp::from_micros(seconds * 1_000_000 + micros))
}

/// Two digits as a number.
fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}

/// The end of the text: `Z`, or a point, one to six digits and `Z`; in microseconds.
fn fraction(rest: &[u8]) -> Option<i64> {
    let digits = match rest {
        [b'Z'] => return Some(0),
        [b'.', digits @ .., b'Z'] if (1..=6).contains(&digits.len()) => digits,
        _ => return None,
    };
    let mut micros = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        micros = micros * 10 + i64::from(digit);
    }
    Some(micros * 10_i64.pow(6 - digits.len() as u32))
}

/// Days of a month, `None` when there is no such month.
fn month_days(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    })
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (Hinnant, "chrono-compatible low-level date
/// algorithms", `days_from_civil`), for years from 0.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_agrees_with_the_general_parser() {
        let mut micros: i64 = -62_167_219_200_000_000; // 0000-01-01
        while micros < 253_402_300_800_000_000 {
            let text = Timestamp::from_micros(micros).to_string();
            assert_eq!(fixed_form(text.as_bytes()), Timestamp::parse(&text), "{text}");
            assert!(fixed_form(text.as_bytes()).is_some(), "{text}");
            micros += 86_399_987_654_321; // a bit less than 1000 days
        }
        for text in ["2024-02-29T23:59:59Z", "2000-02-29T00:00:00.5Z", "1970-01-01T00:00:00.000001Z"] {
            assert_eq!(fixed_form(text.as_bytes()), Timestamp::parse(text), "{text}");
        }
    }

    #[test]
    fn other_forms_go_the_long_way() {
        for text in ["2025-02-03T01:00:00+01:00", "2025-02-03t00:00:00z", "2025-02-03T00:00:00.123456789Z"] {
            assert_eq!(fixed_form(text.as_bytes()), None);
            assert!(parse_time(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2025",
            "2023-02-29T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-00-01T00:00:00Z",
            "2025-01-00T00:00:00Z",
            "2025-01-01T24:00:00Z",
            "2025-01-01T00:60:00Z",
            "2025-01-01T00:00:00",
            "2025-01-01T00:00:00.Z",
            "2025-01-01T00:00:00.1x3Z",
            "2025-01-0:T00:00:00Z",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
