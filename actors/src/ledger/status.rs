//! What the ledger has done, for who asks.

use parking_lot::Mutex;
use serde::Serialize;
use visu_tility_core::store::{Commit, StoreError};

/// The store of a monitoring, as its ledger sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreStatus {
    /// Why nothing is taken at present; `None` while commits work.
    pub failing: Option<String>,
    /// The first offset that a recovery would still need.
    pub first_offset: u64,
    /// The offset after the last entry that is durable.
    pub next_offset: u64,
    /// Commits that worked.
    pub commits: u64,
    /// Commits that failed.
    pub commits_failed: u64,
    /// Journal entries written by this process.
    pub entries: u64,
    /// Bytes of journal written by this process.
    pub journal_bytes: u64,
    /// Snapshots of models written by this process.
    pub saves: u64,
    /// Alerts and retrain requests recorded by this process.
    pub posted: u64,
    /// How long the last commit took, in microseconds.
    pub commit_us: u64,
    /// How long the slowest commit took, in microseconds.
    pub commit_us_max: u64,
}

/// The figures, shared between the ledger and who asks.
#[derive(Default)]
pub(crate) struct Figures(Mutex<StoreStatus>);

impl Figures {
    pub(crate) fn status(&self) -> StoreStatus {
        self.0.lock().clone()
    }

    pub(crate) fn begin(&self, first_offset: u64, next_offset: u64) {
        let mut status = self.0.lock();
        (status.first_offset, status.next_offset) = (first_offset, next_offset);
    }

    pub(crate) fn committed(&self, commit: &Commit, next_offset: u64, micros: i64) {
        let mut status = self.0.lock();
        status.commits += 1;
        status.next_offset = next_offset;
        status.first_offset = commit.truncate_below.unwrap_or(status.first_offset);
        status.entries += commit.journal.iter().map(|piece| u64::from(piece.entries)).sum::<u64>();
        status.journal_bytes += commit.journal_bytes();
        status.saves += commit.models.len() as u64;
        status.posted += commit.outbox.len() as u64;
        status.commit_us = u64::try_from(micros).unwrap_or(0);
        status.commit_us_max = status.commit_us_max.max(status.commit_us);
    }

    pub(crate) fn ok(&self) {
        self.0.lock().failing = None;
    }

    pub(crate) fn failed(&self, error: &StoreError) {
        let mut status = self.0.lock();
        status.commits_failed += 1;
        status.failing = Some(error.to_string());
    }
}
