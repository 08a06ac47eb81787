//! What belongs to one version and kind of a model.

use crate::alert::AlertLife;
use crate::check::CheckState;
use crate::id::{ModelId, Version};
use crate::kind::MetricKind;
use crate::plan::{MonitorPlan, Rule};
use crate::time::Timestamp;

use super::body::Body;

/// Names a version and kind within a model in eight bytes: a hash of both.
///
/// Whoever makes keys from outside input keeps the names beside them and compares, so that two pairs with
/// one hash are noticed and not mixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey(u64);

impl SeriesKey {
    /// Hashes a version and kind: FNV-1a with 64 bits, finished by the mixer of `SplitMix64`. Never 0.
    pub fn of(version: &Version, kind: &MetricKind) -> Self {
        let name = kind.metric_name().unwrap_or_default();
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for part in [version.as_str(), kind.family(), name] {
            for byte in part.bytes().chain(std::iter::once(0)) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((hash ^ (hash >> 31)).max(1))
    }

    /// The key of a written hash.
    pub(super) const fn from_hash(hash: u64) -> Self {
        Self(hash)
    }

    /// The hash.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Place of a series in its monitor.
pub(super) type SeriesIndex = usize;

/// A rule at work on one version and kind.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub state: CheckState,
    /// The alert, while it is alive.
    pub life: Option<Box<AlertLife>>,
    /// Place of the rule in the plan.
    pub rule: u16,
}

impl Instance {
    /// Starts a rule on a kind; `None` when it watches the model as a whole.
    pub fn start(index: usize, rule: &Rule, version: &Version, kind: &MetricKind, seed: u64) -> Option<Self> {
        let mut state = rule.check.start(version, kind)?;
        state.reseed(seed);
        Some(Self { state, life: None, rule: index as u16 })
    }

    /// The alert's state.
    pub fn life(&self) -> AlertLife {
        self.life.as_deref().copied().unwrap_or_default()
    }

    /// Keeps the alert's state, in no memory when there is nothing to keep.
    pub fn set_life(&mut self, life: AlertLife) {
        match &mut self.life {
            _ if !life.is_alive() => self.life = None,
            Some(kept) => **kept = life,
            none => *none = Some(Box::new(life)),
        }
    }
}

/// The seldom used part of a series.
#[derive(Clone, Debug)]
pub(super) struct SeriesInfo {
    pub version: Version,
    pub kind: MetricKind,
    /// The newest of the too-late readings that `back_run` counts.
    pub back_at: Timestamp,
    /// All rules but the first.
    pub rest: Vec<Instance>,
}

/// The part of a series in the model's budget of false alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// No detector of it is budgeted.
    None,
    /// Its detectors take their share.
    Taken,
    /// It has been silent for long: its detectors leave theirs to the others.
    Left,
}

/// What is kept of one version and kind: what every reading needs, and a pointer to the rest.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub key: SeriesKey,
    /// The newest time taken; before all times at the start.
    pub newest: Timestamp,
    /// Values taken, missing ones included.
    pub taken: u64,
    /// Which of the user's observers want its readings: one bit for each.
    pub wanted: u32,
    /// Too-late readings in a row, in order among themselves.
    pub back_run: u32,
    pub share: Share,
    /// Place of its kind's rate in the division of the budget.
    pub pace: u16,
    /// The first rule, which for most series is the only one.
    pub first: Option<Instance>,
    pub info: Box<SeriesInfo>,
}

/// Where the random numbers of a rule on one version and kind of one model begin: the same ever after, and
/// others' are others.
pub(super) fn seed_of(model: &ModelId, key: SeriesKey, rule: &Rule) -> u64 {
    let names = model.as_str().bytes().chain([0]).chain(rule.name.bytes());
    names.fold(key.get(), |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Before all times that an event may carry.
pub(super) const BEFORE: Timestamp = Timestamp::from_micros(i64::MIN);

impl Series {
    /// Starts a series with the plan's rules for it.
    pub fn start(
        key: SeriesKey,
        version: &Version,
        kind: &MetricKind,
        model: &ModelId,
        plan: &MonitorPlan,
        wanted: u32,
    ) -> Self {
        let rules = plan.rules_for(model, version, kind).into_iter();
        let mut instances = rules.filter_map(|(index, rule)| {
            Instance::start(index, rule, version, kind, seed_of(model, key, rule))
        });
        let first = instances.next();
        let mut rest: Vec<Instance> = instances.collect();
        rest.shrink_to_fit();
        let info = SeriesInfo { version: version.clone(), kind: kind.clone(), back_at: BEFORE, rest };
        // The budget is divided after this.
        let share = Share::None;
        Self {
            key,
            newest: BEFORE,
            taken: 0,
            wanted,
            back_run: 0,
            share,
            pace: 0,
            first,
            info: Box::new(info),
        }
    }

    /// The rules at work, in the plan's order.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.first.iter().chain(&self.info.rest)
    }

    /// The rule at work in a place of that order.
    #[inline]
    pub fn instance(&mut self, slot: usize) -> Option<&mut Instance> {
        match slot.checked_sub(1) {
            None => self.first.as_mut(),
            Some(slot) => self.info.rest.get_mut(slot),
        }
    }

    /// Takes all rules out.
    pub fn take_instances(&mut self) -> Vec<Instance> {
        self.first.take().into_iter().chain(std::mem::take(&mut self.info.rest)).collect()
    }

    /// Puts rules in the place of those that were taken out.
    pub fn put_instances(&mut self, instances: Vec<Instance>) {
        let mut instances = instances.into_iter();
        self.first = instances.next();
        self.info.rest = instances.collect();
    }
}

impl Body {
    /// Finds a series. Models have a handful.
    pub(super) fn find(&self, key: SeriesKey) -> Option<SeriesIndex> {
        self.series.iter().position(|series| series.key == key)
    }

    /// Which of the user's observers want the readings of a kind: one bit for each.
    pub(super) fn wanted(&self, kind: &MetricKind) -> u32 {
        self.own.as_ref().map_or(0, |own| own.wanting(kind))
    }

    /// Adds a series behind the others.
    pub(super) fn push_series(&mut self, series: Series) {
        // Models have few series, and there are many models: no room is kept for more.
        self.series.reserve_exact(1);
        self.series.push(series);
    }

    pub(super) fn instance(&mut self, index: SeriesIndex, slot: usize) -> Option<&mut Instance> {
        self.series.get_mut(index)?.instance(slot)
    }

    /// Gives a rule that waits for the reference of another version what that version has learnt, if it has.
    #[cold]
    pub(super) fn lend_reference(&mut self, index: SeriesIndex, slot: usize) {
        let lent = || {
            let series = self.series.get(index)?;
            let borrower = series.instances().nth(slot)?;
            let lender = SeriesKey::of(borrower.state.asks_for()?, &series.info.kind);
            let lender = self.series.get(self.find(lender)?)?;
            let lender = lender.instances().find(|instance| instance.rule == borrower.rule)?;
            lender.state.lends().cloned()
        };
        let lent = lent();
        if let (Some(reference), Some(borrower)) = (lent, self.instance(index, slot)) {
            borrower.state.borrows(reference);
        }
    }

    pub(super) fn rule(&self, rule: u16) -> Option<&Rule> {
        self.plan.rules.get(usize::from(rule))
    }
}
