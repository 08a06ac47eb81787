//! What the actors show to who asks: plain data, serialisable.

use std::sync::Arc;

use serde::Serialize;
use visu_tility_core::{ModelId, MonitorStatus};

use crate::admission::AdmissionStatus;
use crate::alert::DispatcherStatus;
use crate::cell::ModelPhase;
use crate::ledger::status::StoreStatus;
use crate::steady::ClockStatus;
use crate::watchdog::WatchdogStatus;

/// One model's actor.
#[derive(Clone, Debug, Serialize)]
pub struct ModelStatus {
    /// The model.
    pub model_id: ModelId,
    /// Where it is in its life.
    pub phase: ModelPhase,
    /// The shard that it lives on.
    pub shard: usize,
    /// Panics of its observers since its actor was woken.
    pub panics: u64,
    /// What the last panic said.
    pub last_reason: Option<String>,
    /// Events that wait for its restart.
    pub held: usize,
    /// Events of it that went to the dead letters since its actor was woken.
    pub dead_letters: u64,
    /// Events that came while it was paused.
    pub unseen: u64,
    /// What its observers say; `None` while it is asleep.
    pub monitor: Option<MonitorStatus>,
}

impl ModelStatus {
    /// A model that is asleep and of which nothing more is known.
    pub(crate) const fn asleep(model_id: ModelId, shard: usize) -> Self {
        let (phase, last_reason, monitor) = (ModelPhase::Asleep, None, None);
        Self { model_id, phase, shard, panics: 0, last_reason, held: 0, dead_letters: 0, unseen: 0, monitor }
    }
}

/// One shard.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ShardStatus {
    /// Its number, from 0.
    pub shard: usize,
    /// Models that are awake.
    pub awake: usize,
    /// Models that wait for their restart.
    pub waiting: usize,
    /// Models in quarantine.
    pub quarantined: usize,
    /// Events handled: shown to observers, held, refused by the model's order rule, or dead.
    pub events: u64,
    /// Of those, older than the newest of their series.
    pub late: u64,
    /// Of those, refused as too late.
    pub too_late: u64,
    /// Of those, refused as repeats.
    pub repeated: u64,
    /// Of those, refused because their version and kind would be one too many.
    pub refused_series: u64,
    /// Events that wait for their model's restart.
    pub held: usize,
    /// Panics of observers.
    pub panics: u64,
    /// Panics of the shard's own actor.
    pub shard_panics: u64,
    /// Snapshots that could not be written, because an observer panicked, or not be kept. The model stays awake, and what
    /// was kept before stays.
    pub snapshots_failed: u64,
    /// Models put to sleep.
    pub passivated: u64,
    /// Models woken, the first time included.
    pub woken: u64,
    /// Batches that are queued.
    pub batches: u64,
    /// Credits that are out: events queued or being handled.
    pub credits_out: usize,
    /// Credits there are.
    pub credits: usize,
    /// Events refused because no credit was left.
    pub refused_full: u64,
}

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct FleetStatus {
    /// Models that are known, those that sleep in a store too.
    pub models: u64,
    /// Of those, the ones whose names are in memory.
    pub models_in_memory: u64,
    /// The offset that the next event gets.
    pub next_offset: u64,
    /// Events handled, all shards together.
    pub events: u64,
    /// Decisions handed on.
    pub actions: u64,
    /// Events refused because their time was too far ahead.
    pub refused_future: u64,
    /// Events refused because their time was too far behind.
    pub refused_past: u64,
    /// Events refused where they were published because their model has twice as many versions and kinds on their way as
    /// it may have; the shards count those that were refused there.
    pub refused_series: u64,
    /// How the clock behaves.
    pub clock: ClockStatus,
    /// Which models are known, and which were refused.
    pub admission: AdmissionStatus,
    /// Vectors whose events are on their way; at most 16,384, more are refused as `Full`.
    pub vectors_waiting: usize,
    /// Dead letters ever.
    pub dead_letters: u64,
    /// Panics that were counted instead of logged, in the whole process.
    pub panics_suppressed: u64,
    /// Decisions that found no room at a subscriber.
    pub decisions_dropped: u64,
    /// Lifecycle messages that found no room at a subscriber.
    pub lifecycles_dropped: u64,
    /// Panics of subscribers that are functions.
    pub subscriber_panics: u64,
    /// The alert dispatcher.
    pub alerts: DispatcherStatus,
    /// The retrain scheduler.
    #[cfg(feature = "automated_retraining")]
    pub retrains: crate::retrain::SchedulerStatus,
    /// The store, where there is one.
    pub store: Option<StoreStatus>,
    /// Observers that do not come back, and what was done about them.
    pub watchdog: WatchdogStatus,
    /// The shards. Of one that is stuck, and is not replaced, what can be known without asking it.
    pub shards: Vec<ShardStatus>,
}

/// What a shutdown did, and what it cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[must_use]
pub struct DrainReport {
    /// Whether all was done before the deadline: every event that was taken is handled or was left out because
    /// its model was paused, every alert delivered or failed, every actor stopped. Never true of events or alerts that are
    /// lost, however they were. With a store also: every state is kept, and no model is set aside.
    pub complete: bool,
    /// Events that were taken, ever, and handled: shown to their model's observers, or a dead letter for a
    /// reason of their own. With `events_unseen` and `events_cut` these are all that were taken.
    pub events_handled: u64,
    /// Events that were taken while their model was paused, which its observers were therefore not shown.
    pub events_unseen: u64,
    /// Events that were taken and that no model saw: queued, in the batch that was being handled or waiting for
    /// their model's restart when the deadline came, or lost with an arbiter that somebody stopped.
    pub events_cut: u64,
    /// Alerts that still waited when the deadline came.
    pub alerts_cut: usize,
    /// Retrain requests that were not begun, also when the end is complete: the queue is not durable, and no
    /// retrain is begun once the end has come.
    pub retrains_cut: usize,
    /// Models whose state was handed to the snapshot keeper; with a store, those whose state was committed at the end.
    pub snapshots: u64,
    /// Models whose state could not be written or kept: what they would wake with is their last snapshot, if any. With a
    /// store the journal is kept from there on.
    pub snapshots_failed: u64,
    /// With a store: models that are set aside, see [`StoreStatus::aside`].
    pub aside: u64,
    /// The first of those whose state was not kept or that are set aside, at most [`DrainReport::UNKEPT_MAX`].
    pub unkept: Vec<UnkeptSnapshot>,
    /// Actors that still lived when the report was made.
    pub actors_left: usize,
}

impl DrainReport {
    /// The most models that are named because their state was not kept.
    pub const UNKEPT_MAX: usize = 100;
}

/// A model whose state was not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnkeptSnapshot {
    /// The model.
    pub model_id: ModelId,
    /// The user's observer whose `write_state` panicked; `None` when it was not that.
    pub observer: Option<Arc<str>>,
    /// What the panic said.
    pub reason: String,
}

/// What became of the states of one shard's models.
#[derive(Debug, Default)]
pub(crate) struct SnapshotRound {
    pub(crate) kept: u64,
    pub(crate) failed: u64,
    /// The first of those that failed.
    pub(crate) unkept: Vec<UnkeptSnapshot>,
}
