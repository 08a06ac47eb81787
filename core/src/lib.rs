//! One model's events in, decisions out.
//!
//! Knows models, metrics, observers and alerts; knows no runtime, no clock, no I/O and no randomness.
//! The map:
//!
//! - what comes in: [`MetricEvent`] of a [`MetricKind`], named by [`ModelId`] and [`Version`], at a
//!   [`Timestamp`]; what cannot be one is an [`EventError`];
//! - who looks at it: [`MetricObserver`], the trait, and the built-in checks;
//! - what is watched how: [`MonitorPlan`];
//! - what ties it together for one model: [`ModelMonitor`], a pure fold;
//! - where a thread is in the user's code: [`Footprint`], for a watchdog;
//! - what comes out: [`ActionRecord`]s, and [`MonitorStatus`] for who asks;
//! - what outlives the process: the [`journal`] and the [`store`], as a port.
#![forbid(unsafe_code)]

mod action;
#[cfg(feature = "actix")]
mod actix;
mod alert;
mod check;
mod checksum;
mod error;
mod event;
mod footprint;
mod id;
mod ingest;
pub mod journal;
mod kind;
mod monitor;
mod nearest;
mod observer;
mod plan;
pub mod store;
mod time;

pub use action::{ActionId, ActionRecord, Alert, ObserverAction, RetrainRequest};
pub use alert::{AlertCondition, AlertLife, AlertPhase, Persistence, Severity, Transition, dedup_key};
pub use check::{
    AlertOn, BudgetShare, ChangeObserver, Check, CombinationObserver, Combine, DataQualityObserver,
    DistributionObserver, DriftDetector, EmbeddingMethod, EmbeddingObserver, LatencyObserver,
    PerformanceDegrader, RunningCheck, StalenessObserver,
};
pub use error::{EventError, ObserverError};
pub use event::MetricEvent;
pub use footprint::{Deed, Footprint, Sighting};
pub use id::{MetricName, ModelId, Version};
pub use ingest::{Accepted, IngestError};
pub use kind::{MetricKind, ValueRange};
pub use monitor::{
    Admission, AlertStatus, Casualty, ModelMonitor, MonitorStatus, ObserverStatus, Reading, RestoreError,
    SeriesKey, SeriesStatus,
};
pub use nearest::nearest;
pub use observer::{CloneObserver, MetricObserver};
pub use plan::{
    EventOrder, EventPolicy, FalseAlarmBudget, Glob, MonitorPlan, PlanChange, PlanError, PlanProblem,
    Reaction, Rule, Scope,
};
pub use time::Timestamp;
pub use visu_tility_drift as drift;
pub use visu_tility_drift::codec;
