//! Requests that overtake data: left in a side queue that a shard empties before each batch.

use std::sync::Arc;

use actix::Addr;
use thiserror::Error;
use tokio::sync::oneshot;
use visu_tility_core::{IngestError, ModelId, MonitorPlan};

use crate::directory::ModelEntry;
use crate::model::ModelActor;
use crate::status::{ModelStatus, ShardStatus, SnapshotRound};

/// A request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No model of this name is known.
    #[error("model `{0}` is not known")]
    UnknownModel(String),
    /// The model could not be started: building its observers panicked.
    #[error("model `{0}` could not be started")]
    NotStarted(ModelId),
    /// Too many requests wait.
    #[error("{waiting_max} control requests are waiting")]
    Busy {
        /// How many may wait.
        waiting_max: usize,
    },
    /// The store could not make it durable, so it was not done.
    #[error("the store could not keep it: {0}")]
    Store(String),
    /// The shard is stuck in an observer of the user's, and is not going to be replaced.
    #[error("the shard is stuck: {0}")]
    Stuck(Box<crate::watchdog::StuckObserver>),
    /// It was begun by a thread that got stuck: whether it was done is not known.
    #[error("it was begun by a thread that got stuck")]
    Interrupted,
    /// The monitoring has been shut down.
    #[error("monitoring is shut down")]
    Closed,
}

impl From<IngestError> for ControlError {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Store { reason, .. } => Self::Store(reason),
            _ => Self::Closed,
        }
    }
}

/// One request to a shard.
pub(crate) enum Control {
    Status(oneshot::Sender<ShardStatus>),
    Model(Arc<ModelEntry>, Order),
    Reload(Arc<MonitorPlan>, oneshot::Sender<()>),
    /// Hands the state of all awake models to the keeper.
    Snapshot(oneshot::Sender<SnapshotRound>),
    /// Comes behind all that was left in the lane before.
    Behind(oneshot::Sender<()>),
    /// Stops the shard and its models.
    Stop(oneshot::Sender<()>),
}

impl Control {
    /// Whether it waits while the journal is repeated: for what is owed to a model, or behind what waits for that.
    pub(crate) const fn waits(&self) -> bool {
        matches!(self, Self::Model(..) | Self::Behind(_))
    }
}

/// One request about a model.
pub(crate) enum Order {
    Inspect(oneshot::Sender<Result<ModelStatus, ControlError>>),
    Address(oneshot::Sender<Result<Addr<ModelActor>, ControlError>>),
    Turn(Steering, oneshot::Sender<Result<(), ControlError>>),
}

/// A turn that the embedder gives a model's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Steering {
    Pause,
    Resume,
    Reset,
    Passivate,
    Retire,
}
