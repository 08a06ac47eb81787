//! A world of its own for each test: paused time, one arbiter, and no actor that outlives the test.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use actix::System;
use parking_lot::Mutex;
use visu_tility_actors::{Lifecycle, Monitoring, MonitoringBuilder, MonitoringHandle};
use visu_tility_core::{
    ActionRecord, MetricEvent, MetricKind, MetricObserver, MonitorPlan, ObserverAction, ObserverError,
    PerformanceDegrader, Severity, Timestamp,
};

/// The value on which a [`Bomb`] goes off.
pub(crate) const POISON: f64 = 0.666;

/// Runs a test in a world where time passes only when nobody has anything to do.
pub(crate) fn world<F: Future>(test: impl FnOnce() -> F) -> F::Output {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    System::with_tokio_rt(runtime).block_on(async { test().await })
}

/// Lets time pass.
pub(crate) async fn pass(span: Duration) {
    let _ = tokio::time::timeout(span, pending::<()>()).await;
}

/// A builder for the test's own arbiter, with a plan that alerts below an accuracy of 0.85.
pub(crate) fn monitoring() -> MonitoringBuilder {
    let plan = MonitorPlan::empty().with_observer(Box::new(PerformanceDegrader::new(0.85).unwrap())).unwrap();
    // Their events run ahead of clocks that stand still.
    Monitoring::builder().plan(plan).arbiters(0).ahead_max(Duration::from_hours(1))
}

/// What came out of a monitoring.
#[derive(Clone, Default)]
pub(crate) struct Ears {
    records: Arc<Mutex<Vec<ActionRecord>>>,
    turns: Arc<Mutex<Vec<Lifecycle>>>,
}

impl Ears {
    pub(crate) fn on(handle: &MonitoringHandle) -> Self {
        let ears = Self::default();
        let (records, turns) = (Arc::clone(&ears.records), Arc::clone(&ears.turns));
        handle.subscribe_actions_fn(move |record| records.lock().push(record.clone()));
        handle.subscribe_lifecycle_fn(move |turn| turns.lock().push(turn.clone()));
        ears
    }

    pub(crate) fn records(&self) -> Vec<ActionRecord> {
        self.records.lock().clone()
    }

    pub(crate) fn turns(&self) -> Vec<Lifecycle> {
        self.turns.lock().clone()
    }

    /// Waits in milliseconds before the restarts of a model.
    pub(crate) fn backoffs(&self, model: &str) -> Vec<u64> {
        let of_model = |turn: &Lifecycle| match turn {
            Lifecycle::Restarted { model_id, backoff_us, .. } if model_id.as_str() == model => {
                Some(backoff_us / 1_000)
            }
            _ => None,
        };
        self.turns().iter().filter_map(of_model).collect()
    }
}

/// Drops the last handle and checks that every actor stops.
pub(crate) async fn end(handle: MonitoringHandle) {
    let census = handle.census();
    drop(handle);
    let gone = tokio::time::timeout(Duration::from_hours(1), census.empty()).await;
    assert!(gone.is_ok(), "{} actors outlive their test", census.live());
}

/// An accuracy at a second of event time.
pub(crate) fn accuracy(model: &str, value: f64, second: i64) -> MetricEvent {
    let at = Timestamp::from_millis(1_700_000_000_000 + second * 1_000);
    MetricEvent::new(model, MetricKind::Accuracy, value).unwrap().at(at).unwrap()
}

/// Panics on [`POISON`]; alerts when it has seen ten values, so that lost ones are noticed.
#[derive(Clone, Default)]
pub(crate) struct Bomb {
    seen: u64,
}

impl MetricObserver for Bomb {
    fn name(&self) -> &'static str {
        "bomb"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        self.seen += 1;
        assert!(event.value() != Some(POISON), "poison");
        Ok(if self.seen == 10 { ObserverAction::alert(Severity::Info, "ten") } else { ObserverAction::NoOp })
    }
}

/// Alerts on every value below 0.5, after the bomb in the plan.
#[derive(Clone)]
pub(crate) struct Low;

impl MetricObserver for Low {
    fn name(&self) -> &'static str {
        "low"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        Ok(match event.value() {
            Some(value) if value < 0.7 => ObserverAction::alert(Severity::Warning, "low"),
            _ => ObserverAction::NoOp,
        })
    }
}
