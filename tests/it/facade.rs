//! What an embedder sees: the easy front, under both feature sets, and names that do not get in the way.

use visu_tility::monitoring::{
    AlertPhase, DriftDetector, MetricEvent, MetricKind, MetricObserver, ObserverAction, ObserverError,
    ObserverManager, PerformanceDegrader,
};

fn accuracy(value: f64) -> MetricEvent {
    MetricEvent::new("model_xyz", MetricKind::Accuracy, value).unwrap()
}

/// What a rule that wants a retrain does in this build.
const WISH: &str = if cfg!(feature = "automated_retraining") { "retrain" } else { "alert" };

#[actix_rt::test]
async fn a_floor_asks_once_and_again_after_it_recovered() {
    let mut manager = ObserverManager::default();
    manager.register(Box::new(DriftDetector::default()));
    manager.register(Box::new(PerformanceDegrader::new(0.85).unwrap()));
    let mut seen = Vec::new();
    for value in [0.81, 0.80, 0.99, 0.99, 0.99, 0.99, 0.1] {
        let actions = manager.dispatch(accuracy(value)).await.unwrap();
        seen.push(actions.iter().map(ObserverAction::as_str).collect::<Vec<_>>());
    }
    let over = if cfg!(feature = "automated_retraining") { vec![] } else { vec!["alert"] };
    // By hand: the average is .81, .808, .8444, .87352 (recovered from .865 on), ..., .7362.
    assert_eq!(seen, [vec![WISH], vec![], vec![], over, vec![], vec![], vec![WISH]]);
}

#[actix_rt::test]
async fn an_alert_is_told_twice() {
    let mut manager = ObserverManager::default();
    manager.register(Box::new(DriftDetector::default()));
    let mut phases = Vec::new();
    for score in [0.2, 0.4, 0.5, 0.1] {
        let event = MetricEvent::new("m", MetricKind::DriftScore, score).unwrap();
        for action in manager.dispatch(event).await.unwrap() {
            let ObserverAction::Alert(alert) = action else { panic!("an alert") };
            phases.push((alert.phase, alert.dedup_key));
        }
    }
    let [(AlertPhase::Firing, first), (AlertPhase::Resolved, second)] = &phases[..] else {
        panic!("fired and resolved: {phases:?}");
    };
    assert_eq!(first, second);
}

#[actix_rt::test]
async fn observers_may_be_added_between_events_and_share_a_name() {
    let mut manager = ObserverManager::default();
    manager.register(Box::new(PerformanceDegrader::new(0.5).unwrap()));
    assert!(manager.dispatch(accuracy(0.6)).await.unwrap().is_empty());
    manager.register(Box::new(PerformanceDegrader::new(0.7).unwrap()));
    assert_eq!(manager.dispatch(accuracy(0.6)).await.unwrap().len(), 1);
}

#[derive(Clone)]
struct Named(&'static str);

impl MetricObserver for Named {
    fn name(&self) -> &str {
        self.0
    }
    fn on_metric(&mut self, _: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        if self.0 == "panics" { panic!("on purpose") } else { Ok(ObserverAction::NoOp) }
    }
}

#[actix_rt::test]
async fn what_is_wrong_with_an_observer_is_told_by_the_next_dispatch() {
    let mut manager = ObserverManager::default();
    manager.register(Box::new(Named("two words")));
    let error = manager.dispatch(accuracy(0.9)).await.unwrap_err();
    assert!(matches!(&error, ObserverError::Config(text) if text.contains("`name`")), "{error}");
    assert!(manager.dispatch(accuracy(0.9)).await.is_ok(), "the others go on");
    manager.register(Box::new(Named("panics")));
    let error = manager.dispatch(accuracy(0.9)).await.unwrap_err();
    assert!(matches!(&error, ObserverError::Internal(text) if text.contains("on purpose")), "{error}");
}

#[test]
fn it_works_without_an_actix_system() {
    let mut manager = ObserverManager::default();
    manager.register(Box::new(PerformanceDegrader::new(0.85).unwrap()));
    let actions = visu_tility::monitoring::block_on(manager.dispatch(accuracy(0.5))).unwrap();
    assert_eq!(actions[0].as_str(), WISH);
}

#[cfg(feature = "automated_retraining")]
#[actix_rt::test]
async fn a_retrain_reaches_the_attached_retrainer_once() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use visu_tility::monitoring::{BoxFuture, RetrainExecutor, RetrainFailure, RetrainOrder, RetrainOutcome};

    struct Counting(Arc<AtomicU64>, tokio::sync::mpsc::UnboundedSender<String>);
    impl RetrainExecutor for Counting {
        fn execute(&self, order: RetrainOrder) -> BoxFuture<Result<RetrainOutcome, RetrainFailure>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let _ = self.1.send(order.model_id.to_string());
            Box::pin(async { Ok(RetrainOutcome::default()) })
        }
    }
    let (calls, (sent, mut received)) = (Arc::new(AtomicU64::new(0)), tokio::sync::mpsc::unbounded_channel());
    let mut manager = ObserverManager::default();
    manager.register(Box::new(PerformanceDegrader::new(0.85).unwrap()));
    manager.attach_retrainer(Arc::new(Counting(calls.clone(), sent))).unwrap();
    for value in [0.81, 0.80, 0.79] {
        manager.dispatch(accuracy(value)).await.unwrap();
    }
    assert_eq!(received.recv().await.as_deref(), Some("model_xyz"));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn no_name_is_one_of_the_actix_prelude() {
    // `use actix::prelude::*; use visu_tility::monitoring::*;` must leave every name usable.
    const PRELUDE: &[&str] = &[
        "Message",
        "MessageResponse",
        "Arbiter",
        "ArbiterHandle",
        "System",
        "SystemRunner",
        "Stream",
        "Condition",
        "Actor",
        "ActorContext",
        "ActorState",
        "AsyncContext",
        "Running",
        "SpawnHandle",
        "Supervised",
        "actors",
        "Addr",
        "MailboxError",
        "Recipient",
        "RecipientRequest",
        "Request",
        "SendError",
        "Context",
        "ContextFutureSpawner",
        "dev",
        "fut",
        "ActorFuture",
        "ActorFutureExt",
        "ActorStream",
        "ActorStreamExt",
        "ActorTryFuture",
        "ActorTryFutureExt",
        "WrapFuture",
        "WrapStream",
        "ActorResponse",
        "AtomicResponse",
        "Handler",
        "MessageResult",
        "Response",
        "ResponseActFuture",
        "ResponseFuture",
        "io",
        "ArbiterService",
        "SystemService",
        "StreamHandler",
        "Supervisor",
        "SyncArbiter",
        "SyncContext",
        "IntervalFunc",
        "TimerFunc",
    ];
    let facade = include_str!("../../src/monitoring.rs");
    let exported = facade.lines().filter(|line| !line.trim_start().starts_with("//"));
    for line in exported {
        for name in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
            assert!(!PRELUDE.contains(&name), "{name} is a name of actix::prelude: {line}");
        }
    }
}
