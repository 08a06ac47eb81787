//! How much a store keeps: every bound is a named setting.

use super::error::StoreError;

/// The bounds of a store. Exceeding one that refuses holds the publishers up; nothing that was acknowledged is dropped.
///
/// | setting | default | what happens at the bound |
/// |---|---|---|
/// | `journal_bytes_max` | 4 GiB | a commit that appends is refused ([`StoreError::Full`]) until the journal is truncated |
/// | `outbox_waiting_max` | 1,000,000 | a commit that posts is refused until entries are settled |
/// | `outbox_history_max` | 10,000 | of entries that are settled and that no replay can make again, the oldest are removed at the next truncation |
/// | `dead_letters_max` | 10,000 | the oldest gives way |
///
/// Bounds that are part of the form, and not settings, are constants: [`StoreLimits::PIECE_BYTES_MAX`] and those beside
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Bytes of journal pieces, 1 and up.
    pub journal_bytes_max: u64,
    /// Outbox entries that wait for delivery, 1 and up.
    pub outbox_waiting_max: u64,
    /// Settled outbox entries that are kept to be looked at, 0 and up.
    pub outbox_history_max: u64,
    /// Dead letters, 0 and up.
    pub dead_letters_max: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            journal_bytes_max: 4 << 30,
            outbox_waiting_max: 1_000_000,
            outbox_history_max: 10_000,
            dead_letters_max: 10_000,
        }
    }
}

impl StoreLimits {
    /// The most bytes of one journal piece: 64 MiB.
    pub const PIECE_BYTES_MAX: usize = 64 << 20;
    /// The most bytes of one snapshot: 64 MiB.
    pub const SNAPSHOT_BYTES_MAX: usize = 64 << 20;
    /// The most bytes of the body of an outbox entry or a dead letter: 256 KiB.
    pub const BODY_BYTES_MAX: usize = 256 << 10;
    /// The most bytes of a plan's text: 4 MiB.
    pub const PLAN_BYTES_MAX: usize = 4 << 20;
    /// The most bytes of an observer's name, and of the name of a value: 256.
    pub const NAME_BYTES_MAX: usize = 256;
    /// The most bytes of a value: 1 MiB.
    pub const VALUE_BYTES_MAX: usize = 1 << 20;

    /// Checks that the journal may hold so many bytes after a commit that appends.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] when it may not.
    pub const fn admit_journal(&self, bytes: u64) -> Result<(), StoreError> {
        within("journal_bytes_max", bytes, self.journal_bytes_max)
    }

    /// Checks that so many outbox entries may wait after a commit that posts.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] when they may not.
    pub const fn admit_outbox(&self, waiting: u64) -> Result<(), StoreError> {
        within("outbox_waiting_max", waiting, self.outbox_waiting_max)
    }
}

const fn within(limit: &'static str, wanted: u64, max: u64) -> Result<(), StoreError> {
    if wanted <= max { Ok(()) } else { Err(StoreError::Full { limit, wanted, max }) }
}
