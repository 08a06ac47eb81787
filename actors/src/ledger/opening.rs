//! What is read of a store, and written to it, before anything else happens: which plans were in force when.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use visu_tility_core::journal::JournalWriter;
use visu_tility_core::store::{Commit, ModelChange, PlanText, Store, StoreError, StoreReader, checksum};
use visu_tility_core::{MonitorPlan, Timestamp};

use crate::ledger::survey::Needed;
use crate::plans::{LOG_MAX, Plans};

/// The named value that holds the log of plans: an offset and a fingerprint a line.
const LOG: &str = "plans-in-force";

/// A store that was opened for a monitoring.
pub(crate) struct Opening {
    pub(crate) reader: Box<dyn StoreReader>,
    /// What the journal holds.
    pub(crate) journal: Range<u64>,
    pub(crate) plans: PlanLog,
    /// The plans of the log that were in force before the journal's first entry, for the shards.
    pub(crate) before: Plans,
}

/// Opens a store and has the present plan come into force, if it is another than the one before.
pub(crate) fn open(
    store: &mut dyn Store,
    plan: &Arc<MonitorPlan>,
    now: Timestamp,
) -> Result<Opening, StoreError> {
    let mut reader = store.reader()?;
    let summary = reader.summary()?;
    let (text, fingerprint) = written(plan);
    MonitorPlan::from_kept(&text, plan)
        .map_err(|error| StoreError::corrupt("the plan to be kept", &error))?;
    let mut plans = PlanLog::read(&mut *reader)?;
    let mut commit = Commit::default();
    let mut next_offset = summary.next_offset;
    if plans.log.last().is_none_or(|(_, last)| *last != fingerprint) {
        if plans.log.len() >= LOG_MAX {
            // A model that cannot be read, or cannot be saved, for so many changes.
            let (limit, max) = ("plan_changes_max", LOG_MAX as u64);
            return Err(StoreError::Full { limit, wanted: max + 1, max });
        }
        if !plans.log.is_empty() {
            let mut writer = JournalWriter::new();
            // The first row of a piece always finds room.
            let _ = writer.plan(now, fingerprint);
            commit.journal.extend(writer.finish(next_offset));
        }
        plans.enter(next_offset, fingerprint, text, &mut commit);
        next_offset = store.commit(&commit)?.next_offset;
        plans.keep();
    }
    let before = plans.before(summary.first_offset, &mut *reader, fingerprint, plan)?;
    Ok(Opening { reader, journal: summary.first_offset..next_offset, plans, before })
}

/// Reads a plan that is kept; one that was in force and is not there is damage.
pub(crate) fn kept(
    reader: &mut dyn StoreReader,
    fingerprint: u64,
    own: &MonitorPlan,
) -> Result<Arc<MonitorPlan>, StoreError> {
    let text = reader.plan(fingerprint)?.ok_or_else(|| missing(fingerprint))?;
    let plan = MonitorPlan::from_kept(&text, own)
        .map_err(|error| StoreError::corrupt(format!("plan {fingerprint:016x}"), &error))?;
    Ok(Arc::new(plan))
}

/// A plan that somebody needs is not there.
fn missing(fingerprint: u64) -> StoreError {
    StoreError::corrupt("the plans", &format!("{fingerprint:016x} is not there"))
}

/// A plan's text and its fingerprint, which is never 0.
pub(crate) fn written(plan: &MonitorPlan) -> (String, u64) {
    let text = plan.to_toml();
    let fingerprint = checksum(text.as_bytes()).max(1);
    (text, fingerprint)
}

/// Which plan came into force at which offset, oldest first.
#[derive(Default)]
pub(crate) struct PlanLog {
    log: Vec<(u64, u64)>,
    /// What it is going to be once the present commit is there.
    staged: Option<Vec<(u64, u64)>>,
    /// What a survey has found to be needed: the rest goes with the next commit.
    needed: Option<Needed>,
}

impl PlanLog {
    fn read(reader: &mut dyn StoreReader) -> Result<Self, StoreError> {
        let bytes = reader.value(LOG)?.unwrap_or_default();
        let text = String::from_utf8(bytes).map_err(|error| StoreError::corrupt(LOG, &error))?;
        let line = |line: &str| {
            let (offset, fingerprint) = line.split_once(' ')?;
            Some((offset.parse().ok()?, u64::from_str_radix(fingerprint, 16).ok()?))
        };
        let log: Option<Vec<(u64, u64)>> = text.lines().map(line).collect();
        let log = log.ok_or_else(|| StoreError::corrupt(LOG, "a line is not an offset and a fingerprint"))?;
        Ok(Self { log, ..Self::default() })
    }

    /// The plans that were in force before an entry of the journal.
    pub(crate) fn before(
        &self,
        first_offset: u64,
        reader: &mut dyn StoreReader,
        fingerprint: u64,
        own: &Arc<MonitorPlan>,
    ) -> Result<Plans, StoreError> {
        let mut before = Plans::new(fingerprint, Arc::clone(own));
        for (place, (offset, of)) in self.log.iter().enumerate() {
            // The first was in force from the start, or is the last one before what the journal holds.
            if place == 0 || *offset < first_offset {
                let known = match before.find(*of) {
                    Some(known) => known,
                    None => kept(reader, *of, own)?,
                };
                before.enter(*offset, *of, known);
            }
        }
        Ok(before)
    }

    /// Has a plan come into force with the commit.
    pub(crate) fn enter(&mut self, offset: u64, fingerprint: u64, text: String, commit: &mut Commit) {
        let mut log = self.staged.take().unwrap_or_else(|| self.log.clone());
        log.push((offset, fingerprint));
        commit.plans.push(PlanText { fingerprint, text });
        self.stage(log, commit);
    }

    fn stage(&mut self, log: Vec<(u64, u64)>, commit: &mut Commit) {
        let lines: Vec<String> = log.iter().map(|(offset, plan)| format!("{offset} {plan:016x}")).collect();
        commit.values.retain(|(name, _)| name != LOG);
        commit.values.push((LOG.to_owned(), Some(lines.join("\n").into_bytes())));
        self.staged = Some(log);
    }

    /// How many changes it holds, with the plan that was in force before them.
    pub(crate) fn changes(&self) -> usize {
        self.log.len()
    }

    /// The offset at which the first of so many last changes came.
    pub(crate) fn begin_of_last(&self, changes: usize) -> u64 {
        let place = self.log.len().saturating_sub(changes);
        self.log.get(place).map_or(0, |(offset, _)| *offset)
    }

    /// Takes note of what is needed, for [`PlanLog::sweep`]; answers how many plans are then kept that are not in the log.
    pub(super) fn needed(&mut self, needed: Needed) -> usize {
        let of_log: BTreeSet<u64> =
            self.log.iter().skip(surplus(&self.log, needed.low)).map(|(_, plan)| *plan).collect();
        let others = needed.used.difference(&of_log).count();
        self.needed = Some(needed);
        others
    }

    /// Has what is needed no more dropped with the commit. What the commit itself speaks of stays.
    pub(crate) fn sweep(&mut self, commit: &mut Commit) {
        let Some(Needed { low, used, kept }) = &self.needed else { return };
        let mut log = self.staged.take().unwrap_or_else(|| self.log.clone());
        let surplus = surplus(&log, *low);
        log.drain(..surplus);
        let of_log: BTreeSet<u64> = log.iter().map(|(_, plan)| *plan).collect();
        let saved = |plan: &u64| {
            commit.models.iter().any(|change| matches!(change, ModelChange::Keep(kept) if kept.plan == *plan))
        };
        let goes = |plan: &&u64| !of_log.contains(plan) && !used.contains(plan) && !saved(plan);
        let dropped: Vec<u64> = kept.iter().filter(goes).copied().collect();
        commit.dropped_plans.extend(dropped);
        if surplus > 0 || commit.values.iter().any(|(name, _)| name == LOG) {
            self.stage(log, commit);
        }
    }

    /// The commit is there. Answers from which offset on changes are still needed, when some are not.
    pub(crate) fn keep(&mut self) -> Option<u64> {
        if let Some(log) = self.staged.take() {
            self.log = log;
        }
        self.needed.take().map(|needed| needed.low)
    }

    /// The commit failed.
    pub(crate) fn forget(&mut self) {
        self.staged = None;
    }
}

/// Changes that nobody needs who is not older than an offset: of those before it all but the last.
fn surplus(log: &[(u64, u64)], low: u64) -> usize {
    log.iter().take_while(|(offset, _)| *offset < low).count().saturating_sub(1)
}
