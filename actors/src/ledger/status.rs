//! What the ledger has done, for who asks.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde::Serialize;
use visu_tility_core::ModelId;
use visu_tility_core::store::{Commit, StoreError};

use crate::plans::CHANGES_MAX;

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
    /// Whether the outbox had no room for the last actions that were to be recorded: they wait, with the states that they go
    /// with, until entries are settled. Everything else goes on.
    pub outbox_full: bool,
    /// Changes of plan that are remembered for models that have not followed them, with the plan before the first.
    pub plan_changes: u64,
    /// Models that are set aside: what is kept of them cannot be read, or what is to be kept cannot be. Until they
    /// are reset, retired or readable again the journal is not cut above what they need.
    pub aside: u64,
    /// The first of those in the order of their names, at most [`StoreStatus::ASIDE_MAX`].
    pub aside_first: Vec<SetAside>,
}

impl StoreStatus {
    /// The most models that are named because they are set aside.
    pub const ASIDE_MAX: usize = 100;
}

/// A model that is in quarantine because of its state in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SetAside {
    /// The model.
    pub model_id: ModelId,
    /// What is wrong with its state.
    pub reason: String,
}

/// The figures, shared between the ledger and who asks.
#[derive(Default)]
pub(crate) struct Figures {
    status: Mutex<StoreStatus>,
    /// Why nothing is taken until the process starts again.
    lost: OnceLock<String>,
    /// Why, and the first offset that a state must hold to lift it: older ones may still be on their way.
    aside: Mutex<BTreeMap<ModelId, (String, u64)>>,
    /// How many there are, for who asks often.
    aside_count: AtomicUsize,
    /// Whether alerts wait in the store that were not handed over yet.
    owes_alerts: AtomicBool,
    /// How often there was more room in the outbox.
    room: AtomicU64,
    /// Of all models the one that was saved first, when plans were surveyed last.
    oldest: Mutex<Option<ModelId>>,
}

impl Figures {
    /// Whether alerts wait in the store that are yet to be handed over.
    pub(crate) fn owes_alerts(&self) -> bool {
        self.owes_alerts.load(Ordering::Acquire) && self.lost().is_none()
    }

    pub(crate) fn set_owes_alerts(&self, owes: bool) {
        self.owes_alerts.store(owes, Ordering::Release);
    }

    pub(crate) fn status(&self) -> StoreStatus {
        let mut status = self.status.lock().clone();
        let aside = self.aside.lock();
        status.aside = aside.len() as u64;
        let first = aside.iter().take(StoreStatus::ASIDE_MAX);
        status.aside_first = first
            .map(|(model, (reason, _))| SetAside { model_id: model.clone(), reason: reason.clone() })
            .collect();
        status
    }

    pub(crate) fn begin(&self, first_offset: u64, next_offset: u64) {
        let mut status = self.status.lock();
        (status.first_offset, status.next_offset) = (first_offset, next_offset);
    }

    pub(crate) fn committed(&self, commit: &Commit, next_offset: u64, micros: i64) {
        let mut status = self.status.lock();
        status.commits += 1;
        status.next_offset = next_offset;
        status.first_offset = commit.truncate_below.unwrap_or(status.first_offset);
        status.entries += commit.journal.iter().map(|piece| u64::from(piece.entries)).sum::<u64>();
        status.journal_bytes += commit.journal_bytes();
        status.saves += commit.models.len() as u64;
        status.posted += commit.outbox.len() as u64;
        status.outbox_full &= commit.outbox.is_empty();
        status.commit_us = u64::try_from(micros).unwrap_or(0);
        status.commit_us_max = status.commit_us_max.max(status.commit_us);
    }

    pub(crate) fn plan_changes(&self, changes: usize) {
        self.status.lock().plan_changes = changes as u64;
    }

    pub(crate) fn oldest(&self, oldest: Option<ModelId>) {
        *self.oldest.lock() = oldest;
    }

    /// Why no further plan may come into force; `None` when it may.
    pub(crate) fn why_no_plan(&self) -> Option<String> {
        let changes = self.status.lock().plan_changes;
        let oldest = self.oldest.lock().as_ref().map(|model| format!(", {model} the first of them"));
        (changes >= CHANGES_MAX as u64).then(|| {
            format!(
                "{changes} changes of plan are remembered for models that have not followed them{}; at most {CHANGES_MAX} are",
                oldest.unwrap_or_default()
            )
        })
    }

    pub(crate) fn ok(&self) {
        self.status.lock().failing = None;
    }

    /// Takes note that a commit was refused, which is tried again in parts.
    pub(crate) fn refused(&self) {
        self.status.lock().commits_failed += 1;
    }

    /// Takes note that nothing is taken until the process starts again.
    pub(crate) fn lose(&self, error: &StoreError) {
        let _ = self.lost.set(error.to_string());
    }

    /// Why nothing is taken until the process starts again.
    pub(crate) fn lost(&self) -> Option<&str> {
        self.lost.get().map(String::as_str)
    }

    /// Takes note that a model is set aside, until a state is kept that reaches beyond `position`.
    pub(crate) fn set_aside(&self, model: &ModelId, reason: &str, position: u64) {
        let mut aside = self.aside.lock();
        aside.insert(model.clone(), (reason.to_owned(), position));
        self.aside_count.store(aside.len(), Ordering::Release);
    }

    /// Why a model is set aside.
    pub(crate) fn why_aside(&self, model: &ModelId) -> Option<String> {
        if self.aside_count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.aside.lock().get(model).map(|(reason, _)| reason.clone())
    }

    /// Takes note that a model's state is kept again up to an offset, or is no more.
    pub(crate) fn not_aside(&self, model: &ModelId, next_offset: u64) {
        if self.aside_count.load(Ordering::Acquire) > 0 {
            let mut aside = self.aside.lock();
            if aside.get(model).is_some_and(|(_, position)| next_offset > *position) {
                aside.remove(model);
            }
            self.aside_count.store(aside.len(), Ordering::Release);
        }
    }

    /// Takes note that the outbox has no room; answers whether that is new.
    pub(crate) fn outbox_is_full(&self) -> bool {
        let mut status = self.status.lock();
        status.commits_failed += 1;
        !std::mem::replace(&mut status.outbox_full, true)
    }

    /// Takes note that there is more room in the outbox.
    pub(crate) fn more_room(&self) {
        self.room.fetch_add(1, Ordering::AcqRel);
    }

    /// How often there was more room in the outbox.
    pub(crate) fn room(&self) -> u64 {
        self.room.load(Ordering::Acquire)
    }

    pub(crate) fn failed(&self, error: &StoreError) {
        let mut status = self.status.lock();
        status.commits_failed += 1;
        status.failing = Some(error.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_set_aside_stays_so_through_a_state_that_was_on_its_way_before() {
        let (figures, model) = (Figures::default(), ModelId::new("a").unwrap());
        figures.set_aside(&model, "torn", 7);
        figures.not_aside(&model, 7);
        assert_eq!((figures.why_aside(&model).as_deref(), figures.status().aside), (Some("torn"), 1));
        // A reset, or the end of the model, is behind that.
        figures.not_aside(&model, 8);
        assert_eq!((figures.why_aside(&model), figures.status().aside), (None, 0));
    }
}
