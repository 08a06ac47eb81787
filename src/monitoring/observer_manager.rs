//! The easy front: register observers, dispatch events, get the actions back.

use std::sync::Arc;

use parking_lot::Mutex;
use visu_tility_actors::{Monitoring, MonitoringBuilder, MonitoringHandle};
use visu_tility_core::{
    ActionRecord, IngestError, MetricEvent, MetricObserver, MonitorPlan, ObserverAction, ObserverError, Rule,
};

#[cfg(feature = "automated_retraining")]
use visu_tility_actors::RetrainExecutor;

/// Records that wait for the dispatch that led to them; timers' records pass through and are dropped
/// oldest first (subscribe to the handle for those).
const WAITING_MAX: usize = 4_096;

/// Registers observers and dispatches events to them, one model's actor each.
///
/// The way in for a first try and for tests: one call per event, whose actions come back. It starts a
/// [`Monitoring`] at the first dispatch, with just the observers that were registered. A service with
/// traffic uses [`Monitoring::builder`] and publishes batches; [`ObserverManager::handle`] leads over.
///
/// # Examples
///
/// ```
/// use visu_tility::monitoring::*;
///
/// # #[actix_rt::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut manager = ObserverManager::default();
/// manager.register(Box::new(DriftDetector::default()));
/// manager.register(Box::new(PerformanceDegrader::new(0.85)?));
///
/// let event = MetricEvent::new("model_xyz", MetricKind::DriftScore, 0.5)?;
/// let actions = manager.dispatch(event).await?;
/// assert!(matches!(&actions[..], [ObserverAction::Alert(alert)] if alert.summary.contains("model_xyz")));
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct ObserverManager {
    plan: Option<MonitorPlan>,
    /// The first registration that failed; told at the next dispatch.
    refused: Option<ObserverError>,
    changed: bool,
    running: Option<Running>,
    #[cfg(feature = "automated_retraining")]
    retrainer: Option<Arc<dyn RetrainExecutor>>,
}

/// What exists from the first dispatch on.
struct Running {
    handle: MonitoringHandle,
    records: Arc<Mutex<Vec<ActionRecord>>>,
}

impl ObserverManager {
    /// Adds an observer for all models. A name that is taken gets a number behind it.
    ///
    /// An observer that cannot be added (a name of more than 128 characters, more than 30 of one's own) is
    /// told by the next [`ObserverManager::dispatch`].
    pub fn register(&mut self, observer: Box<dyn MetricObserver>) -> &mut Self {
        let plan = self.plan.take().unwrap_or_else(MonitorPlan::empty);
        match add(plan.clone(), observer) {
            Ok(plan) => (self.plan, self.changed) = (Some(plan), true),
            Err(error) => {
                self.plan = Some(plan);
                self.refused.get_or_insert(error);
            }
        }
        self
    }

    /// Says who carries out the retrains that observers ask for. Without one they are recorded and
    /// returned only. Must come before the first dispatch.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] once events have been dispatched.
    #[cfg(feature = "automated_retraining")]
    pub fn attach_retrainer(
        &mut self,
        retrainer: Arc<dyn RetrainExecutor>,
    ) -> Result<&mut Self, ObserverError> {
        if self.running.is_some() {
            return Err(ObserverError::Config("attach the retrainer before the first dispatch".to_owned()));
        }
        self.retrainer = Some(retrainer);
        Ok(self)
    }

    /// Hands an event to its model's actor and returns what the observers want done; the runtime acts on
    /// it as well (alerts go to the log, retrains to the retrainer). An event without a time gets the
    /// present one.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when an observer could not be added, with
    /// [`ObserverError::Channel`] when monitoring cannot take the event, and with
    /// [`ObserverError::Internal`] when an observer panicked on it.
    pub async fn dispatch(&mut self, event: MetricEvent) -> Result<Vec<ObserverAction>, ObserverError> {
        if let Some(error) = self.refused.take() {
            return Err(error);
        }
        let changed = std::mem::take(&mut self.changed);
        if self.running.is_none() {
            self.running = Some(self.start()?);
        } else if changed && let (Some(running), Some(plan)) = (&self.running, &self.plan) {
            running.handle.reload(plan.clone()).await.map_err(|e| ObserverError::Channel(e.to_string()))?;
        }
        let Some(running) = &self.running else { return Ok(Vec::new()) };
        let answer = running.handle.supervisor().send(event).await;
        let accepted = answer.map_err(|error| ObserverError::Channel(error.to_string()))?;
        let offset = match accepted {
            Ok(accepted) => accepted.first_offset,
            Err(error @ IngestError::Poisoned { .. }) => {
                return Err(ObserverError::Internal(error.to_string()));
            }
            Err(error) => return Err(ObserverError::Channel(error.to_string())),
        };
        let mut records = running.records.lock();
        let (mine, rest) = std::mem::take(&mut *records).into_iter().partition(|r| r.id.offset == offset);
        *records = rest;
        let mine: Vec<ActionRecord> = mine;
        Ok(mine.into_iter().map(|record| record.action).filter(|action| !action.is_noop()).collect())
    }

    /// The handle of what runs; `None` before the first dispatch.
    pub fn handle(&self) -> Option<&MonitoringHandle> {
        self.running.as_ref().map(|running| &running.handle)
    }

    fn start(&self) -> Result<Running, ObserverError> {
        let plan = self.plan.clone().unwrap_or_else(MonitorPlan::empty);
        let builder = self.with_retrainer(Monitoring::builder().plan(plan));
        let handle = builder.start().map_err(|error| ObserverError::Channel(error.to_string()))?;
        let records = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&records);
        handle.subscribe_actions_fn(move |record: &ActionRecord| {
            let mut records = sink.lock();
            if records.len() >= WAITING_MAX {
                records.remove(0);
            }
            records.push(record.clone());
        });
        Ok(Running { handle, records })
    }

    #[cfg(feature = "automated_retraining")]
    fn with_retrainer(&self, builder: MonitoringBuilder) -> MonitoringBuilder {
        match &self.retrainer {
            Some(retrainer) => builder.retrain_executor(Arc::clone(retrainer)),
            None => builder,
        }
    }

    #[cfg(not(feature = "automated_retraining"))]
    #[allow(clippy::unused_self, reason = "the twin of the method that has something to add")]
    fn with_retrainer(&self, builder: MonitoringBuilder) -> MonitoringBuilder {
        builder
    }
}

/// Adds an observer, a built-in one under a name that is free.
fn add(plan: MonitorPlan, observer: Box<dyn MetricObserver>) -> Result<MonitorPlan, ObserverError> {
    let Some(check) = observer.builtin() else {
        return plan.with_observer(observer);
    };
    let taken = |name: &str| plan.rules().iter().any(|rule| &*rule.name == name);
    let name = observer.name();
    let numbered = (2..=MonitorPlan::RULES_MAX + 1).map(|n| format!("{name}-{n}"));
    let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default();
    plan.with_rule(Rule::new(free, check)?)
}
