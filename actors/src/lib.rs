//! Lifecycles of model monitors: mailboxes, supervision, timers, back-pressure, shutdown, on actix.
//!
//! Knows actix; knows no HTTP, no database and no file, and decides nothing about statistics: a handler
//! asks the core, records, forwards. The map:
//!
//! - the way in: [`Monitoring::builder`] starts, [`MonitoringHandle`] publishes, asks, steers, subscribes;
//!   [`ModelHandle`] and [`SeriesHandle`] skip look-ups; `listing` is what fronts ask;
//! - at the edge: `board` (offsets, addresses), `dock` (credits, the control lane), `directory` (names, interned once),
//!   `admission` (who may become a model), `timing` (which times are taken), `steady` (a clock that never goes back),
//!   `edge` (their settings), `routed` (what travels);
//! - on an arbiter: [`ModelSupervisor`] (`shard`) takes batches; `shard_state` calls its models directly
//!   (their hot part lies in `slab`),
//!   `awakening` starts them, `recovery` mends what panicked, `steering` does what is asked, `due` what is
//!   due, `idle` who is put to sleep, and `timers` knows when;
//!   [`ModelActor`] (`model`) is one model's address;
//! - what comes out: `outlet` to subscribers (`pump`), [`AlertDispatcher`] (`alert`), the retrain scheduler
//!   (`retrain`, behind the feature `automated_retraining`), dead letters;
//! - with a store: `ledger` (journal, commits, recovery), `saving` (what a shard has the store keep), `journaled` (what the
//!   journal tells a shard besides events), `plans`, `durability` (the settings);
//! - what does not come back: `watchdog` sees an observer that is stuck and, with a store, has its arbiter replaced (`nursery`,
//!   `seats`, `ledger`);
//! - restart on panic: `supervise` (actors), `restart` (intensity, backoff), `hook` (a panic hook that a
//!   storm cannot turn into a denial of service), `census` (who lives).
//!
//! # Examples
//!
//! ```
//! use visu_tility_actors::{Monitoring, block_on};
//! use visu_tility_core::{MetricEvent, MetricKind};
//!
//! let monitoring = Monitoring::builder().start()?;
//! let event = MetricEvent::new("fraud", MetricKind::DriftScore, 0.4)?;
//! block_on(async {
//!     monitoring.publish(event).await?;
//!     monitoring.flush().await?;
//!     assert_eq!(monitoring.status().await?.events, 1);
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod admission;
mod alert;
mod aside;
mod awakening;
mod blocking;
mod board;
mod builder;
mod caught;
mod cell;
mod census;
mod clock;
mod control;
mod dead_letter;
mod directory;
mod dock;
mod due;
mod durability;
mod edge;
mod handle;
mod hook;
mod house;
mod idle;
mod journaled;
mod ledger;
mod lifecycle;
mod listing;
mod model;
mod model_handle;
mod nursery;
mod outlet;
mod plans;
mod pump;
mod recovery;
mod restart;
#[cfg(feature = "automated_retraining")]
mod retrain;
mod routed;
mod saving;
mod seats;
mod shard;
mod shard_state;
mod shutdown;
mod slab;
mod snapshot;
mod status;
mod steady;
mod steering;
mod supervise;
mod tally;
mod timers;
mod timing;
mod vectors;
mod watchdog;

pub use admission::{AdmissionPolicy, AdmissionStatus, NewModels, RefusedModel};
pub use alert::{
    AlertDispatcher, AlertSink, BoxFuture, DispatcherStatus, InspectDispatcher, LogSink, SinkFailure,
};
pub use blocking::block_on;
pub use builder::{Monitoring, MonitoringBuilder, StartError};
pub use cell::ModelPhase;
pub use census::Census;
pub use clock::{Clock, ManualClock, SystemClock};
pub use control::ControlError;
pub use dead_letter::{DeadLetter, DeadReason};
pub use dock::ShardPulse;
pub use durability::DurabilityPolicy;
pub use handle::{MonitoringHandle, WeakMonitoringHandle};
pub use hook::{install_panic_hook, panics_suppressed};
pub use ledger::replay::RecoveryReport;
pub use ledger::status::{SetAside, StoreStatus};
pub use lifecycle::{Decision, Lifecycle};
pub use listing::ModelRow;
pub use model::{
    FollowModel, InspectModel, ModelActor, PassivateModel, PauseModel, ResetModel, ResumeModel, RetireModel,
};
pub use model_handle::{ModelHandle, PublishError, SeriesHandle};
pub use restart::RestartPolicy;
#[cfg(feature = "automated_retraining")]
pub use retrain::{
    InspectScheduler, PanicForTest, RetrainExecutor, RetrainFailure, RetrainOrder, RetrainOutcome,
    RetrainPolicy, RetrainScheduler, SchedulerStatus, Submission,
};
pub use routed::{BatchReceipt, EventBatch, Rejected, Routed};
pub use shard::{InspectShard, ModelSupervisor};
pub use snapshot::{MemorySnapshots, SnapshotKeeper};
pub use status::{DrainReport, FleetStatus, ModelStatus, ShardStatus, UnkeptSnapshot};
pub use steady::ClockStatus;
pub use supervise::{
    LifecycleSink, RestartCause, Restartable, Supervision, SupervisionEvent, supervise, supervise_in,
};
pub use watchdog::{StuckObserver, WatchdogPolicy, WatchdogStatus};
