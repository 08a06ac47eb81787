//! Everything that an embedder needs, under one path: `use visu_tility::monitoring::*;`.
//!
//! - publish: [`Monitoring`], [`MonitoringHandle`], [`MetricEvent`], [`MetricKind`];
//! - watch: [`MonitorPlan`], the built-in observers, [`MetricObserver`] for your own;
//! - act: [`ObserverAction`], [`ActionRecord`], [`AlertSink`], subscriptions;
//! - try out: [`ObserverManager`].

mod observer_manager;

pub use observer_manager::ObserverManager;
pub use visu_tility_actors::{
    AdmissionPolicy, AdmissionStatus, AlertDispatcher, AlertSink, BatchReceipt, BoxFuture, Clock,
    ClockStatus, ControlError, DeadLetter, DeadReason, Decision, DispatcherStatus, DrainReport,
    DurabilityPolicy, EventBatch, FleetStatus, FollowModel, InspectDispatcher, InspectModel, InspectShard,
    Lifecycle, LifecycleSink, LogSink, ManualClock, MemorySnapshots, ModelActor, ModelHandle, ModelPhase,
    ModelRow, ModelStatus, ModelSupervisor, Monitoring, MonitoringBuilder, MonitoringHandle, NewModels,
    PassivateModel, PauseModel, PublishError, RecoveryReport, RefusedModel, Rejected, ResetModel,
    RestartPolicy, ResumeModel, RetireModel, Routed, SeriesHandle, SetAside, ShardStatus, SinkFailure,
    SnapshotKeeper, StartError, StoreStatus, StuckObserver, SupervisionEvent, SystemClock, UnkeptSnapshot,
    WatchdogPolicy, WatchdogStatus, WeakMonitoringHandle, block_on,
};
#[cfg(feature = "automated_retraining")]
pub use visu_tility_actors::{
    InspectScheduler, RetrainExecutor, RetrainFailure, RetrainOrder, RetrainOutcome, RetrainPolicy,
    RetrainScheduler, SchedulerStatus, Submission,
};
pub use visu_tility_core::{
    Accepted, ActionId, ActionRecord, Alert, AlertCondition, AlertOn, AlertPhase, ChangeObserver, Check,
    CombinationObserver, Combine, DataQualityObserver, DistributionObserver, DriftDetector, EmbeddingMethod,
    EmbeddingObserver, EventError, EventOrder, EventPolicy, Glob, IngestError, LatencyObserver, MetricEvent,
    MetricKind, MetricName, MetricObserver, ModelId, ModelMonitor, MonitorPlan, MonitorStatus,
    ObserverAction, ObserverError, ObserverStatus, PerformanceDegrader, Persistence, PlanChange, PlanError,
    Reaction, RetrainRequest, Rule, RunningCheck, Scope, SeriesStatus, Severity, StalenessObserver,
    Timestamp, Version, codec,
};
