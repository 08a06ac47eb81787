//! The share of values of a sort among the newest one to two windows.

use visu_tility_drift::codec::{DecodeError, Reader, put_u32};

/// Counts of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tally {
    values: u32,
    counted: u32,
}

impl Tally {
    const EMPTY: Self = Self { values: 0, counted: 0 };
}

/// Two windows that rotate: when one is full and one more value comes, it becomes the last one.
#[derive(Clone, Debug)]
pub(super) struct Share {
    window: u32,
    count_min: u32,
    last: Tally,
    now: Tally,
}

impl Share {
    /// Starts with windows of so many values; the share is told from `count_min` on.
    pub const fn new(window: u32, count_min: u32) -> Self {
        Self { window, count_min, last: Tally::EMPTY, now: Tally::EMPTY }
    }

    /// Takes a value that counts or not; is true when it begins a new window.
    pub const fn take(&mut self, counts: bool) -> bool {
        let full = self.now.values >= self.window;
        if full {
            (self.last, self.now) = (self.now, Tally::EMPTY);
        }
        self.now.values += 1;
        self.now.counted += counts as u32;
        full
    }

    /// Is true when enough values were seen.
    pub const fn is_told(&self) -> bool {
        self.last.values + self.now.values >= self.count_min
    }

    /// The share of those that count; `None` before the first value.
    pub fn of(&self) -> Option<f64> {
        let values = self.last.values + self.now.values;
        (values > 0).then(|| f64::from(self.last.counted + self.now.counted) / f64::from(values))
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        for tally in [self.last, self.now] {
            put_u32(out, tally.values);
            put_u32(out, tally.counted);
        }
    }

    /// Replaces the counts by written ones; `what` is the check whose windows they are.
    pub fn read(&mut self, bytes: &mut Reader<'_>, what: &'static str) -> Result<(), DecodeError> {
        let window = self.window;
        let mut tally = || {
            let tally = Tally { values: bytes.u32()?, counted: bytes.u32()? };
            if tally.counted > tally.values {
                return Err(DecodeError::Range { field: "window" });
            }
            if tally.values > window {
                return Err(DecodeError::Parameters { what });
            }
            Ok(tally)
        };
        (self.last, self.now) = (tally()?, tally()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_one_to_two_windows() {
        let mut share = Share::new(10, 3);
        assert_eq!((share.of(), share.is_told()), (None, false));
        let turned: Vec<u32> = (1..=31).filter(|i| share.take(i % 5 == 0)).collect();
        assert_eq!(turned, [11, 21, 31]);
        // The values 21 to 31, of which 25 and 30 count.
        assert_eq!((share.of(), share.is_told()), (Some(2.0 / 11.0), true));
        let mut bytes = Vec::new();
        share.write(&mut bytes);
        let mut copy = Share::new(10, 3);
        copy.read(&mut Reader::new(&bytes), "share").unwrap();
        assert_eq!((copy.last, copy.now), (share.last, share.now));
        let mut shorter = Share::new(9, 3);
        let refused = shorter.read(&mut Reader::new(&bytes), "share");
        assert_eq!(refused, Err(DecodeError::Parameters { what: "share" }));
        assert_eq!(shorter.of(), None, "left as it was");
        bytes[4] = 11;
        let refused = copy.read(&mut Reader::new(&bytes), "share");
        assert_eq!(refused, Err(DecodeError::Range { field: "window" }));
    }
}
