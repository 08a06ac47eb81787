//! What a request may ask for.

use std::time::Duration;

use visu_tility_core::ObserverError;

/// The bounds of the surface over HTTP.
///
/// | setting | range | default | at the bound |
/// |---|---|---|---|
/// | `body_bytes_max` | 1 KiB to 1 GiB | 8 MiB | 413; of a packed body also what it unpacks to |
/// | `bodies_bytes_max` | `body_bytes_max` to 64 GiB | 64 MiB | 429 |
/// | `body_time_max` | 1 ms to 1 h | 10 s | 408 |
/// | `events_max` | 1 to 10,000,000 | 100,000 | 413 |
/// | `listed_max` | 1 to 1,000,000 | 1,000 | further refusals are counted, further models are on the next page |
///
/// A parsed event takes a few times the bytes of its text, so `bodies_bytes_max` bounds memory up to that factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Bytes of one body.
    pub body_bytes_max: usize,
    /// Bytes of all bodies that are being read or whose events wait to be taken. What has come of a body is counted, not
    /// the length that it announces; a packed one counts as `body_bytes_max` while it is unpacked. An eighth, as far as
    /// the longest body leaves it, is kept for bodies of at most `body_bytes_max / 128` bytes (64 KiB), so that they find
    /// room beside long ones that come slowly.
    pub bodies_bytes_max: usize,
    /// How long one body may take to come.
    pub body_time_max: Duration,
    /// Events of one body.
    pub events_max: usize,
    /// Refused events that are listed in an answer, and models of a page.
    pub listed_max: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 8 << 20,
            bodies_bytes_max: 64 << 20,
            body_time_max: Duration::from_secs(10),
            events_max: 100_000,
            listed_max: 1_000,
        }
    }
}

impl HttpLimits {
    /// Checks the settings against their ranges.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`], which names the setting and its range.
    pub fn check(&self) -> Result<(), ObserverError> {
        let count = |name: &str, count: usize, min: usize, max: usize| {
            if (min..=max).contains(&count) {
                return Ok(());
            }
            Err(ObserverError::Config(format!("`{name}` is {count}, must be from {min} to {max}")))
        };
        count("body_bytes_max", self.body_bytes_max, 1 << 10, 1 << 30)?;
        count("bodies_bytes_max", self.bodies_bytes_max, self.body_bytes_max, 64 << 30)?;
        count("events_max", self.events_max, 1, 10_000_000)?;
        count("listed_max", self.listed_max, 1, 1_000_000)?;
        let (min, max) = (Duration::from_millis(1), Duration::from_hours(1));
        if (min..=max).contains(&self.body_time_max) {
            return Ok(());
        }
        let said = format!("`body_time_max` is {:?}, must be from {min:?} to {max:?}", self.body_time_max);
        Err(ObserverError::Config(said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_out_of_its_range_is_named() {
        assert!(HttpLimits::default().check().is_ok());
        let small = HttpLimits { bodies_bytes_max: 1 << 20, ..HttpLimits::default() };
        let said = small.check().unwrap_err().to_string();
        assert!(said.contains("`bodies_bytes_max` is 1048576, must be from 8388608"), "{said}");
        let never = HttpLimits { body_time_max: Duration::ZERO, ..HttpLimits::default() };
        assert!(never.check().unwrap_err().to_string().contains("`body_time_max` is 0ns"));
    }
}
