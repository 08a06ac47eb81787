//! What is read of a store, and written to it, before anything else happens: which plans were in force when.

use std::ops::Range;
use std::sync::Arc;

use visu_tility_core::journal::JournalWriter;
use visu_tility_core::store::{Commit, PlanText, Store, StoreError, StoreReader, checksum};
use visu_tility_core::{MonitorPlan, Timestamp};

use crate::plans::Plans;

/// The named value that holds the log of plans: an offset and a fingerprint a line.
const LOG: &str = "plans-in-force";
/// Plans that the log remembers besides those that the journal needs.
const LOG_MAX: usize = 64;

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
        if !plans.log.is_empty() {
            let mut writer = JournalWriter::new();
            // The first row of a piece always finds room.
            let _ = writer.plan(now, fingerprint);
            commit.journal.extend(writer.finish(next_offset));
        }
        plans.note(next_offset, fingerprint, text, summary.first_offset, &mut commit);
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
    let missing = || StoreError::corrupt("the plans", &format!("{fingerprint:016x} is not there"));
    let text = reader.plan(fingerprint)?.ok_or_else(missing)?;
    let plan = MonitorPlan::from_kept(&text, own)
        .map_err(|error| StoreError::corrupt(format!("plan {fingerprint:016x}"), &error))?;
    Ok(Arc::new(plan))
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
        Ok(Self { log, staged: None })
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
                let known = if *of == fingerprint { Arc::clone(own) } else { kept(reader, *of, own)? };
                before.enter(*offset, *of, known);
            }
        }
        Ok(before)
    }

    /// Has a plan come into force with the commit.
    pub(crate) fn enter(
        &mut self,
        offset: u64,
        fingerprint: u64,
        plan: &MonitorPlan,
        first_offset: u64,
        commit: &mut Commit,
    ) {
        self.note(offset, fingerprint, plan.to_toml(), first_offset, commit);
    }

    fn note(&mut self, offset: u64, fingerprint: u64, text: String, first_offset: u64, commit: &mut Commit) {
        let mut log = self.staged.take().unwrap_or_else(|| self.log.clone());
        log.push((offset, fingerprint));
        // Of those before the journal's first entry one is needed, the others by models that sleep for long.
        let old = log.iter().filter(|(offset, _)| *offset < first_offset).count();
        let surplus = log.len().saturating_sub(LOG_MAX).min(old.saturating_sub(1));
        log.drain(..surplus);
        let lines: Vec<String> = log.iter().map(|(offset, plan)| format!("{offset} {plan:016x}")).collect();
        commit.plans.push(PlanText { fingerprint, text });
        commit.values.retain(|(name, _)| name != LOG);
        commit.values.push((LOG.to_owned(), Some(lines.join("\n").into_bytes())));
        self.staged = Some(log);
    }

    /// The commit is there.
    pub(crate) fn keep(&mut self) {
        if let Some(log) = self.staged.take() {
            self.log = log;
        }
    }

    /// The commit failed.
    pub(crate) fn forget(&mut self) {
        self.staged = None;
    }
}
