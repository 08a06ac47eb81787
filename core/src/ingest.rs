//! What a publisher is answered: what was taken, and what was not and why.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::ModelId;

/// What was taken of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Events taken.
    pub events: u64,
    /// Offset of the first one taken; offsets are dense and rise by one per event.
    pub first_offset: u64,
}

/// Why an event was not taken.
///
/// | error | the event | try again |
/// |---|---|---|
/// | `Full` | not taken | yes, later |
/// | `Closed` | not taken | no |
/// | `Future` | not taken | no: its clock is ahead |
/// | `Past` | not taken | no: its clock is behind, or it waited too long |
/// | `Limit` | not taken | after raising the limit |
/// | `Unlisted` | not taken | no: its model is none of those that are allowed |
/// | `Unseen` | not taken; it counts | yes: after some more its model is known |
/// | `Quota` | not taken | yes, in the next period |
/// | `Paused` | taken and counted, not shown to observers | - |
/// | `Poisoned` | taken; the observer named panicked on it, all others saw it; in the dead letters | no |
/// | `Quarantined` | diverted to the dead letters | after a reset of the model |
/// | `Retired` | not taken | no: the handle is stale |
/// | `Store` | not taken: the store could not keep it | when `retry` says so, later |
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IngestError {
    /// No room: all credits are out.
    #[error("no room: {waiting} events are waiting, {credits} are allowed")]
    Full {
        /// Events that wait.
        waiting: usize,
        /// How many may.
        credits: usize,
    },
    /// The monitoring has been shut down.
    #[error("monitoring is shut down")]
    Closed,
    /// The event's time is too far ahead.
    #[error("field `ts` is {ts}, must be at most {ahead_max_s} s ahead of the clock")]
    Future {
        /// The event's time.
        ts: crate::Timestamp,
        /// How far ahead it may be, in seconds.
        ahead_max_s: u64,
    },
    /// The event's time is too far behind.
    #[error("field `ts` is {ts}, must be at most {behind_max_s} s behind the clock")]
    Past {
        /// The event's time.
        ts: crate::Timestamp,
        /// How far behind it may be, in seconds.
        behind_max_s: u64,
    },
    /// Its model is not known, and none of those that are allowed.
    #[error("field `model_id` is \"{model_id}\", must be a known model or match {allowed}")]
    Unlisted {
        /// The model.
        model_id: ModelId,
        /// The first patterns of those that are allowed, and how many more there are.
        allowed: String,
    },
    /// Its model is not known, and has not been seen often enough to be taken for a new one.
    #[error("field `model_id` is \"{model_id}\", must be a known model or be sent {seen_min} times first")]
    Unseen {
        /// The model.
        model_id: ModelId,
        /// How often it must be seen.
        seen_min: u32,
    },
    /// Its model is not known, and no more new ones are taken in this period.
    #[error(
        "field `model_id` is \"{model_id}\", must be a known model: {new_max} new ones are taken per {period_s} s, \
         again in {again_s} s"
    )]
    Quota {
        /// The model.
        model_id: ModelId,
        /// New models of a period.
        new_max: u64,
        /// How long a period is, in seconds.
        period_s: u64,
        /// Seconds until the next one.
        again_s: u64,
    },
    /// A limit on models, versions or kinds is reached.
    #[error("limit `{limit}` of {max} is reached")]
    Limit {
        /// The setting's name.
        limit: String,
        /// Its value.
        max: u64,
    },
    /// The model is paused.
    #[error("model is paused")]
    Paused,
    /// An observer panicked on this event.
    #[error("observer `{observer}` panicked: {reason}")]
    Poisoned {
        /// Whose panic it was.
        observer: String,
        /// The panic's text.
        reason: String,
    },
    /// The model has been restarted too often and takes no events.
    #[error("model is quarantined")]
    Quarantined,
    /// The model was retired after the handle was made.
    #[error("model was retired")]
    Retired,
    /// The store could not make it durable, so it was not taken.
    #[error("the store could not keep it: {reason}")]
    Store {
        /// What the store said.
        reason: String,
        /// Whether the same event may be taken later without anybody's doing.
        retry: bool,
    },
}
