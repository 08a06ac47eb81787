//! How a monitoring with a store makes things durable: how much is gathered, how often states are saved.

use std::time::Duration;

use visu_tility_core::ObserverError;

/// The settings of a monitoring that has a [`Store`](visu_tility_core::store::Store).
///
/// | setting | range | default | what it trades |
/// |---|---|---|---|
/// | `gather_max` | 0 to 1 s | 1 ms | how long a publisher waits so that others share its commit |
/// | `gather_events` | 1 to 65,536 | 1,000 | how many events make a commit without more waiting; what waits by then goes along |
/// | `save_events` | 1 and up | 8,000,000 | journal entries that a recovery may have to repeat for a model |
/// | `save_every` | 1 s to 1 day | 30 s | how long a model's state lies behind its events at most |
/// | `saves_max` | 1 to 65,536 | 1,024 | models whose states are saved together because it is time, per arbiter |
/// | `keep_entries` | any | 0 | journal entries that stay for readers of the store, which a recovery reads over |
/// | `backoff_max` | 10 ms to 1 h | 5 s | the longest pause after commits that failed |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurabilityPolicy {
    /// How long the first event of a commit waits for others. What is gathered while the commit before it is written
    /// waits for nothing more.
    pub gather_max: Duration,
    /// Events that make a commit at once. All that waits goes into it, up to [`DurabilityPolicy::COMMIT_ENTRIES_MAX`] entries
    /// and the rest of the batch that reaches them: one sync of the disk serves all.
    pub gather_events: usize,
    /// A model whose first unsaved event lies so many journal entries back is saved; from half of that on models are saved
    /// little by little. An entry has 20 bytes and a little for names: the journal then holds 160 MB and the entries of the
    /// dictionary before them (see [`JournalWriter`](visu_tility_core::journal::JournalWriter)).
    pub save_events: u64,
    /// A model is saved so long after its first unsaved event, spread over that time when they are many.
    pub save_every: Duration,
    /// Models that are saved together because of `save_events` or `save_every`, besides those that have acted or are set
    /// aside. At a shutdown, and when the journal is full, all are saved. A commit has 4,096 states at most, or 16 MiB of
    /// them and one more.
    pub saves_max: usize,
    /// Journal entries that are kept behind those that a recovery needs, for whoever follows the journal by a reader of the
    /// store; they give way when the journal is full, and at an orderly end. A recovery reads them too, and leaves them out.
    pub keep_entries: u64,
    /// The pause after a commit that failed: 20 ms first, doubled up to this.
    pub backoff_max: Duration,
}

impl Default for DurabilityPolicy {
    fn default() -> Self {
        Self {
            gather_max: Duration::from_millis(1),
            gather_events: 1_000,
            save_events: 8_000_000,
            save_every: Duration::from_secs(30),
            saves_max: 1_024,
            keep_entries: 0,
            backoff_max: Duration::from_secs(5),
        }
    }
}

impl DurabilityPolicy {
    /// Journal entries up to which batches that wait are put into one commit.
    pub const COMMIT_ENTRIES_MAX: usize = 65_536;

    /// Checks the settings against their ranges.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`], which names the setting and its range.
    pub fn check(&self) -> Result<(), ObserverError> {
        let span = |name: &str, span: Duration, min: Duration, max: Duration| {
            if (min..=max).contains(&span) {
                return Ok(());
            }
            Err(ObserverError::Config(format!("`{name}` is {span:?}, must be from {min:?} to {max:?}")))
        };
        let count = |name: &str, count: u64, max: u64| {
            if (1..=max).contains(&count) {
                return Ok(());
            }
            Err(ObserverError::Config(format!("`{name}` is {count}, must be from 1 to {max}")))
        };
        span("gather_max", self.gather_max, Duration::ZERO, Duration::from_secs(1))?;
        span("save_every", self.save_every, Duration::from_secs(1), Duration::from_hours(24))?;
        span("backoff_max", self.backoff_max, Duration::from_millis(10), Duration::from_hours(1))?;
        count("gather_events", self.gather_events as u64, 65_536)?;
        count("save_events", self.save_events, u64::MAX)?;
        count("saves_max", self.saves_max as u64, 65_536)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_its_range_is_named() {
        assert!(DurabilityPolicy::default().check().is_ok());
        let policy = DurabilityPolicy { gather_events: 0, ..DurabilityPolicy::default() };
        let said = policy.check().unwrap_err().to_string();
        assert!(said.contains("`gather_events` is 0, must be from 1 to 65536"), "{said}");
        let policy = DurabilityPolicy { save_every: Duration::ZERO, ..DurabilityPolicy::default() };
        assert!(policy.check().unwrap_err().to_string().contains("`save_every` is 0ns, must be from 1s"));
    }
}
