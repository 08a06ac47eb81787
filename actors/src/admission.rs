//! Who may become a model: what is decided about a name that nobody knows, before anything is kept of it.
//!
//! The map: `sketch` counts names in fixed memory, `refusals` keeps who is refused most. A model that is known, awake or
//! asleep in the store, never comes here, or is recognised here. Nothing that is decided here is repeated by a recovery:
//! what the journal holds was admitted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use visu_tility_core::store::{StoreReader, StoredPhase};
use visu_tility_core::{Glob, IngestError, ModelId, ObserverError};

use crate::clock::Stopwatch;
use crate::ledger::inbox::Inbox;

mod refusals;
mod sketch;

use refusals::Refusals;
pub use refusals::RefusedModel;
use sketch::Sketch;

/// Patterns that a refusal names.
const NAMED_MAX: usize = 3;

/// Which unknown models are taken.
///
/// | policy | an unknown model's event |
/// |---|---|
/// | `Open` | taken |
/// | `AllowList` | taken if its name is of one of the patterns, else [`IngestError::Unlisted`] |
/// | `Quota` | [`IngestError::Unseen`] until it was seen so often, then taken, or [`IngestError::Quota`] when the period's new models are all taken |
///
/// In all three [`IngestError::Limit`] when there are `models_max` models. A known model is never refused: neither one that
/// sleeps in the store, nor one that was made known under another policy. A refused event is not journaled, and nothing is
/// allocated for its model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdmissionPolicy {
    /// Any, as far as there is room.
    #[default]
    Open,
    /// Those whose name is of one of these patterns, at least one and at most 4,096. Cost: the patterns are tried one after the other.
    AllowList(Vec<Glob>),
    /// So many new ones in a period.
    Quota(NewModels),
}

impl AdmissionPolicy {
    /// The most patterns of a list.
    pub const PATTERNS_MAX: usize = 4_096;

    /// Checks the settings against their ranges.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`], which names the setting and its range.
    pub fn check(&self) -> Result<(), ObserverError> {
        match self {
            Self::AllowList(patterns) if !(1..=Self::PATTERNS_MAX).contains(&patterns.len()) => {
                let (count, max) = (patterns.len(), Self::PATTERNS_MAX);
                let said = format!("the allow-list has {count} patterns, must have from 1 to {max}");
                Err(ObserverError::Config(said))
            }
            Self::Quota(quota) => quota.check(),
            _ => Ok(()),
        }
    }
}

/// How many unknown models become known in a period.
///
/// How often a name was seen is counted in a sketch of 4 MiB, whatever the number of names: with 98 % certainty the count is
/// too high by at most 2.6e-6 of all unknown events that were counted, and never too low; at the end of a period all counts
/// are halved. So a flood of a million names may carry a name over `seen_min` early; `new_max` holds all the same. The
/// hash has a key, at random unless [`MonitoringBuilder::admission_seed`](crate::MonitoringBuilder::admission_seed) gives
/// one: who knows it can choose names that collide, and so have a name counted as seen that was not. More they cannot.
///
/// | setting | range | default |
/// |---|---|---|
/// | `new_max` | 0 and up | 100 |
/// | `period` | 1 s to 30 days | 1 h |
/// | `seen_min` | 1 to 255 | 3 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewModels {
    /// Models that may become known in one period. The periods follow one another, so that within any span of one period
    /// at most twice as many do.
    pub new_max: u64,
    /// How long a period is, on a clock that is never set.
    pub period: Duration,
    /// Which of a name's events is the first to be taken: with 1 the first one.
    pub seen_min: u32,
}

impl Default for NewModels {
    fn default() -> Self {
        Self { new_max: 100, period: Duration::from_hours(1), seen_min: 3 }
    }
}

impl NewModels {
    fn check(&self) -> Result<(), ObserverError> {
        let (min, max) = (Duration::from_secs(1), Duration::from_hours(30 * 24));
        if !(min..=max).contains(&self.period) {
            let said = format!("`period` is {:?}, must be from {min:?} to {max:?}", self.period);
            return Err(ObserverError::Config(said));
        }
        if !(1..=Sketch::COUNT_MAX).contains(&self.seen_min) {
            let said = format!("`seen_min` is {}, must be from 1 to {}", self.seen_min, Sketch::COUNT_MAX);
            return Err(ObserverError::Config(said));
        }
        Ok(())
    }
}

/// Who was taken and who was not, since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdmissionStatus {
    /// `open`, `allow_list` or `quota`.
    pub policy: &'static str,
    /// Models that are known: in memory, and asleep in the store.
    pub models: u64,
    /// How many may be.
    pub models_max: u64,
    /// Models that became known.
    pub admitted: u64,
    /// With a quota: how many more may become known in this period.
    pub new_left: Option<u64>,
    /// Events refused because there are `models_max` models, or an arbiter has no place for one more.
    pub refused_limit: u64,
    /// Events refused because their model is none of those that are allowed.
    pub refused_unlisted: u64,
    /// Events refused because their model has not been seen often enough.
    pub refused_unseen: u64,
    /// Events refused because no more models become known in this period.
    pub refused_quota: u64,
    /// Events refused because it cannot be said whether their model is known: the store cannot be read, its journal is
    /// still being repeated, or it takes nothing.
    pub refused_in_doubt: u64,
    /// The models that were refused most often, at most 16; any that makes up more than a sixteenth of all refusals is
    /// among them.
    pub most_refused: Vec<RefusedModel>,
}

impl AdmissionStatus {
    /// All events that were refused because their model is not known.
    pub const fn refused(&self) -> u64 {
        self.refused_limit
            + self.refused_unlisted
            + self.refused_unseen
            + self.refused_quota
            + self.refused_in_doubt
    }
}

/// What a model that is about to get a place counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It becomes known, and is counted. (If the store turns out to know it, that is put right.)
    New,
    /// As `New`, beyond all bounds: it was admitted before, and retired since.
    Renewed,
    /// The store knows it, and it is counted there.
    Stored,
    /// The journal names it; when it wakes it is seen whether the store knew it.
    Unsettled,
    /// It has woken, and is counted once.
    Settled,
    /// Of a journal that is sent again: it is counted as the one by its name who was retired since.
    Counted,
}

/// What is decided about unknown names.
pub(crate) struct Gate {
    policy: AdmissionPolicy,
    pub(crate) models_max: u64,
    /// Of a store that may know who is unknown here.
    stored: Option<Stored>,
    /// Whether the store's journal is still being repeated: it may name anybody.
    repeating: AtomicBool,
    quota: Mutex<Quota>,
    refusals: Mutex<Refusals>,
    admitted: AtomicU64,
    counts: [AtomicU64; 5],
}

/// Who is known to a store, and whether it takes anything.
struct Stored {
    reader: Mutex<Box<dyn StoreReader>>,
    ledger: Arc<Inbox>,
}

/// What a quota keeps.
struct Quota {
    /// Made at the first unknown name.
    sketch: Option<Sketch>,
    seed: u64,
    watch: Stopwatch,
    /// The present period, counted from 0.
    period: u64,
    /// Models that became known in it.
    spent: u64,
}

/// Why a name is refused, as a place among the counts.
#[derive(Clone, Copy)]
enum Reason {
    Limit,
    Unlisted,
    Unseen,
    Quota,
    InDoubt,
}

impl Gate {
    pub(crate) fn new(
        policy: AdmissionPolicy,
        models_max: u64,
        seed: u64,
        stored: Option<(Box<dyn StoreReader>, Arc<Inbox>)>,
    ) -> Self {
        let quota = Quota { sketch: None, seed, watch: Stopwatch::start(), period: 0, spent: 0 };
        Self {
            policy,
            models_max,
            repeating: AtomicBool::new(stored.is_some()),
            stored: stored.map(|(reader, ledger)| Stored { reader: Mutex::new(reader), ledger }),
            quota: Mutex::new(quota),
            refusals: Mutex::default(),
            admitted: AtomicU64::new(0),
            counts: Default::default(),
        }
    }

    /// Takes note that the store's journal has been repeated.
    pub(crate) fn caught_up(&self) {
        self.repeating.store(false, Ordering::Release);
    }

    /// Whether the store's journal is still being repeated.
    pub(crate) fn is_repeating(&self) -> bool {
        self.repeating.load(Ordering::Acquire)
    }

    /// Decides about a name that has no place; `room` says whether there may be one more model.
    pub(crate) fn decide(&self, id: &ModelId, room: bool) -> Result<Standing, IngestError> {
        let welcome = match &self.policy {
            AdmissionPolicy::Open => true,
            AdmissionPolicy::AllowList(patterns) => {
                patterns.iter().any(|pattern| pattern.matches(id.as_str()))
            }
            // Whom the store knows costs nothing of it.
            AdmissionPolicy::Quota(_) => false,
        };
        // What cannot be journaled is to leave no name behind.
        let refusing =
            self.stored.as_ref().and_then(|stored| stored.ledger.with(|queue| queue.refusing.clone()));
        if welcome && room && refusing.is_none() {
            return Ok(Standing::New);
        }
        let stored = match (self.is_stored(id), refusing) {
            (Ok(true), _) => true,
            (_, Some(error)) | (Err(error), None) => return Err(self.refuse(id, Reason::InDoubt, error)),
            (Ok(false), None) => false,
        };
        if stored {
            return Ok(Standing::Stored);
        }
        if !room {
            return Err(self.full(id, "models_max", self.models_max));
        }
        match &self.policy {
            AdmissionPolicy::Open => Ok(Standing::New),
            AdmissionPolicy::AllowList(patterns) => {
                let error = IngestError::Unlisted { model_id: id.clone(), allowed: named(patterns) };
                Err(self.refuse(id, Reason::Unlisted, error))
            }
            AdmissionPolicy::Quota(quota) => {
                let decided = self.quota.lock().take(quota, id);
                decided.map_err(|(reason, error)| self.refuse(id, reason, error))
            }
        }
    }

    /// Takes note that a decision came to a new model.
    pub(crate) fn settled(&self) {
        self.admitted.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes back that a new model was decided for: somebody else was first, or there is no place.
    pub(crate) fn unsettled(&self, standing: Standing) {
        if standing == Standing::New && matches!(self.policy, AdmissionPolicy::Quota(_)) {
            let mut quota = self.quota.lock();
            quota.spent = quota.spent.saturating_sub(1);
        }
    }

    /// Refuses because there are too many.
    pub(crate) fn full(&self, id: &ModelId, limit: &str, max: u64) -> IngestError {
        self.refuse(id, Reason::Limit, IngestError::Limit { limit: limit.into(), max })
    }

    fn refuse(&self, id: &ModelId, reason: Reason, error: IngestError) -> IngestError {
        if let Some(count) = self.counts.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.refusals.lock().add(id);
        error
    }

    /// Whether the store knows a model.
    fn is_stored(&self, id: &ModelId) -> Result<bool, IngestError> {
        let Some(stored) = &self.stored else { return Ok(false) };
        let doubt = |reason: String| IngestError::Store { reason, retry: true };
        // Asked first: what is saved in between is then found below.
        let repeating = self.is_repeating();
        let row = stored.reader.lock().model(id).map_err(|error| doubt(error.to_string()))?;
        match row {
            Some(row) if row.phase != StoredPhase::Forgotten => Ok(true),
            _ if repeating => Err(doubt("its journal is being repeated, and may know this model".to_owned())),
            _ => Ok(false),
        }
    }

    /// What is shown; `models` is how many are known.
    pub(crate) fn status(&self, models: u64) -> AdmissionStatus {
        let [limit, unlisted, unseen, quota, in_doubt] =
            self.counts.each_ref().map(|count| count.load(Ordering::Relaxed));
        let (policy, new_left) = match &self.policy {
            AdmissionPolicy::Open => ("open", None),
            AdmissionPolicy::AllowList(_) => ("allow_list", None),
            AdmissionPolicy::Quota(new) => ("quota", Some(self.quota.lock().left(new))),
        };
        AdmissionStatus {
            policy,
            models,
            models_max: self.models_max,
            admitted: self.admitted.load(Ordering::Relaxed),
            new_left,
            refused_limit: limit,
            refused_unlisted: unlisted,
            refused_unseen: unseen,
            refused_quota: quota,
            refused_in_doubt: in_doubt,
            most_refused: self.refusals.lock().most(),
        }
    }
}

impl Quota {
    /// Counts a name, and takes it when it was seen often enough and the period has room.
    fn take(&mut self, new: &NewModels, id: &ModelId) -> Result<Standing, (Reason, IngestError)> {
        let again_s = self.turn(new);
        let seed = self.seed;
        let seen = self.sketch.get_or_insert_with(|| Sketch::new(seed)).add(id.as_str());
        if seen < new.seen_min {
            let error = IngestError::Unseen { model_id: id.clone(), seen_min: new.seen_min };
            return Err((Reason::Unseen, error));
        }
        if self.spent >= new.new_max {
            let (new_max, period_s) = (new.new_max, new.period.as_secs());
            return Err((
                Reason::Quota,
                IngestError::Quota { model_id: id.clone(), new_max, period_s, again_s },
            ));
        }
        self.spent += 1;
        Ok(Standing::New)
    }

    /// How many more models may become known in this period.
    fn left(&mut self, new: &NewModels) -> u64 {
        self.turn(new);
        new.new_max.saturating_sub(self.spent)
    }

    /// Goes on to the present period; answers the whole seconds until the next one, at least 1.
    fn turn(&mut self, new: &NewModels) -> u64 {
        let now = u64::try_from(self.watch.micros()).unwrap_or(0);
        let length = u64::try_from(new.period.as_micros()).unwrap_or(u64::MAX).max(1);
        let period = now / length;
        if period > self.period {
            // After eight nothing is left to be halved.
            for _ in 0..(period - self.period).min(8) {
                if let Some(sketch) = &mut self.sketch {
                    sketch.halve();
                }
            }
            (self.period, self.spent) = (period, 0);
        }
        (length - now % length).div_ceil(1_000_000)
    }
}

/// The first patterns of a list, for a refusal.
fn named(patterns: &[Glob]) -> String {
    let mut text = patterns.iter().take(NAMED_MAX).map(Glob::as_str).collect::<Vec<_>>().join(", ");
    if let Some(more) = patterns.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        text = format!("{text} or one of {more} more");
    }
    text
}
