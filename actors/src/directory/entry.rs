//! One model's place, and the names that its series keys stand for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;
use visu_tility_core::{IngestError, MetricKind, ModelId, MonitorPlan, SeriesKey, Version};

use crate::admission::Standing;
use crate::routed::{Address, token};

/// Seconds after which nothing that was published is on its way to its model any more.
const ON_THE_WAY_S: u32 = 60;

/// What a key stands for.
pub(super) struct Names {
    key: SeriesKey,
    version: Version,
    kind: MetricKind,
    /// When it was last published, in seconds.
    used: u32,
}

/// One model's place, and the names that its series keys stand for.
pub(crate) struct ModelEntry {
    pub(crate) id: ModelId,
    pub(crate) address: Address,
    pub(crate) generation: u32,
    pub(super) retired: AtomicBool,
    /// Whether its monitor is in memory.
    pub(crate) awake: AtomicBool,
    /// When the timer of a sleeping model goes off; `i64::MAX` when it is awake or has none.
    pub(crate) asleep_until: AtomicI64,
    /// Whether and where it is counted among all models; `None` once it is retired.
    pub(super) standing: Mutex<Option<Standing>>,
    pub(super) names: Mutex<Vec<Names>>,
    /// The plan under which its snapshot was written, when that was in this process.
    pub(super) kept_plan: Mutex<Option<Arc<MonitorPlan>>>,
}

impl ModelEntry {
    /// Keeps the names that a key stands for, so that the shard can ask when it meets the key first.
    ///
    /// At most `max` are kept; then the one that was not used for longest gives way, unless that is less than a minute ago:
    /// its events may be on their way. `now` is in seconds; without it that is not asked, and nothing counts as a use. Two
    /// pairs of names with one key (64 bits of hash) are not mixed: the later one is refused.
    pub(crate) fn learn(
        &self,
        version: &Version,
        kind: &MetricKind,
        max: usize,
        now: Option<u32>,
    ) -> Result<SeriesKey, IngestError> {
        let key = SeriesKey::of(version, kind);
        let mut names = self.names.lock();
        if let Some(known) = names.iter_mut().find(|known| known.key == key) {
            if known.version == *version && known.kind == *kind {
                known.used = known.used.max(now.unwrap_or(0));
                return Ok(key);
            }
            return Err(IngestError::Limit { limit: "one version and kind per key".into(), max: 1 });
        }
        if names.len() >= max.max(1) {
            let oldest = names.iter().enumerate().min_by_key(|(_, known)| known.used);
            let Some((place, used)) = oldest.map(|(place, known)| (place, known.used)) else {
                return Err(IngestError::Closed);
            };
            if now.is_some_and(|now| used.saturating_add(ON_THE_WAY_S) > now) {
                return Err(IngestError::Limit { limit: "2 x series_max".into(), max: max as u64 });
            }
            names.remove(place);
        }
        names.reserve_exact(1);
        names.push(Names { key, version: version.clone(), kind: kind.clone(), used: now.unwrap_or(0) });
        Ok(key)
    }

    /// Works with the names that a key stands for, without a copy.
    pub(crate) fn with_names<T>(
        &self,
        key: SeriesKey,
        work: impl FnOnce(&Version, &MetricKind) -> T,
    ) -> Option<T> {
        let names = self.names.lock();
        names.iter().find(|known| known.key == key).map(|known| work(&known.version, &known.kind))
    }

    /// The names that a key stands for.
    pub(crate) fn names(&self, key: SeriesKey) -> Option<(Version, MetricKind)> {
        self.with_names(key, |version, kind| (version.clone(), kind.clone()))
    }

    /// The plan under which its snapshot was written; `None` when that is not known.
    pub(crate) fn kept_plan(&self) -> Option<Arc<MonitorPlan>> {
        self.kept_plan.lock().clone()
    }

    pub(crate) fn keep_plan(&self, plan: Option<Arc<MonitorPlan>>) {
        *self.kept_plan.lock() = plan;
    }

    /// Takes note that what comes for it is sent again, and is of one by its name who counts until that one's end.
    pub(crate) fn begins_as_another(&self) {
        let mut standing = self.standing.lock();
        if matches!(*standing, Some(Standing::New | Standing::Renewed)) {
            *standing = Some(Standing::Settled);
        }
    }

    /// Its place and tenancy, as one number.
    pub(crate) const fn token(&self) -> u64 {
        token(self.address, self.generation)
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}
