//! The monitoring's time as it was when the store was last written, as a named value there: so that the next process notices
//! a clock that was set back meanwhile.

use std::time::Duration;

use visu_tility_core::Timestamp;
use visu_tility_core::store::{Commit, StoreError, StoreReader};

/// The named value that holds it: microseconds since 1970, eight bytes, the lowest first.
const NAME: &str = "clock";
/// How often it is written, along with something else.
const EVERY_US: i64 = 1_000_000;
/// Clocks that differ by less are as good as right.
const NEAR: Duration = Duration::from_secs(1);

/// How far the clock is behind the time at which the store was last written; said in the log.
///
/// # Errors
///
/// Fails when that cannot be read.
pub(crate) fn behind(reader: &mut dyn StoreReader, now: Timestamp) -> Result<Duration, StoreError> {
    let Some(bytes) = reader.value(NAME)? else { return Ok(Duration::ZERO) };
    let bytes = <[u8; 8]>::try_from(bytes).map_err(|_| StoreError::corrupt(NAME, "it is not eight bytes"))?;
    let last = Timestamp::from_micros(i64::from_le_bytes(bytes));
    let behind = last.micros().saturating_sub(now.micros());
    let behind = Duration::from_micros(u64::try_from(behind).unwrap_or(0));
    if behind <= NEAR {
        return Ok(Duration::ZERO);
    }
    tracing::warn!(
        behind_s = behind.as_secs_f64(),
        now = %now,
        last = %last,
        "the clock is behind the time at which the store was last written: until it is there, events without a time of \
         their own may be too late"
    );
    Ok(behind)
}

/// When the time is written next.
#[derive(Default)]
pub(super) struct Dial {
    /// By the ledger's stopwatch.
    at: i64,
}

impl Dial {
    /// Puts the time into a commit if the one that is there is old.
    pub(super) fn enter(&mut self, watch: i64, now: Timestamp, commit: &mut Commit) {
        if watch >= self.at {
            self.at = watch + EVERY_US;
            commit.values.push((NAME.to_owned(), Some(now.micros().to_le_bytes().to_vec())));
        }
    }
}
