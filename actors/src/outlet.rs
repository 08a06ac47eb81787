//! Where a shard's decisions go: subscribers, the alert dispatcher, the retrain scheduler, dead letters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use visu_tility_core::store::OutboxTopic;
use visu_tility_core::{ActionRecord, ObserverAction};

use crate::alert::DispatchDesk;
use crate::clock::Clock;
use crate::dead_letter::DeadLetters;
use crate::hook::guard;
use crate::ledger::delivery::Receipt;
use crate::lifecycle::{Decision, Lifecycle};
use crate::pump::Subscribers;
#[cfg(feature = "automated_retraining")]
use crate::retrain::RetrainDesk;

type ActionFn = Arc<dyn Fn(&ActionRecord) + Send + Sync>;
type LifecycleFn = Arc<dyn Fn(&Lifecycle) + Send + Sync>;

/// Functions of subscribers; `None` once the monitoring has ended.
///
/// They are called without the lock, so that they may subscribe others.
struct Listeners<F: ?Sized>(RwLock<Option<Arc<[Arc<F>]>>>);

impl<F: ?Sized> Default for Listeners<F> {
    fn default() -> Self {
        Self(RwLock::new(Some(Arc::default())))
    }
}

impl<F: ?Sized> Listeners<F> {
    fn add(&self, listener: Arc<F>) {
        let mut all = self.0.write();
        if let Some(known) = all.take() {
            *all = Some(known.iter().cloned().chain([listener]).collect());
        }
    }

    fn present(&self) -> Arc<[Arc<F>]> {
        self.0.read().clone().unwrap_or_default()
    }

    /// Lets all go, with what they hold.
    fn clear(&self) {
        let all = self.0.write().take();
        let _ = guard(|| drop(all));
    }
}

/// What all shards hand their results to. Dropped when the last shard and the last handle are gone; what
/// hangs on it then stops by itself.
pub(crate) struct Outlet {
    pub(crate) decisions: Subscribers<Decision>,
    pub(crate) lifecycles: Subscribers<Lifecycle>,
    action_fns: Listeners<dyn Fn(&ActionRecord) + Send + Sync>,
    lifecycle_fns: Listeners<dyn Fn(&Lifecycle) + Send + Sync>,
    pub(crate) dead: DeadLetters,
    pub(crate) alerts: DispatchDesk,
    #[cfg(feature = "automated_retraining")]
    pub(crate) retrains: RetrainDesk,
    pub(crate) clock: Arc<dyn Clock>,
    actions: AtomicU64,
    subscriber_panics: AtomicU64,
}

impl Outlet {
    pub(crate) fn new(
        dead_letters_max: usize,
        alerts: DispatchDesk,
        #[cfg(feature = "automated_retraining")] retrains: RetrainDesk,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            decisions: Subscribers::default(),
            lifecycles: Subscribers::default(),
            action_fns: Listeners::default(),
            lifecycle_fns: Listeners::default(),
            dead: DeadLetters::new(dead_letters_max),
            alerts,
            #[cfg(feature = "automated_retraining")]
            retrains,
            clock,
            actions: AtomicU64::new(0),
            subscriber_panics: AtomicU64::new(0),
        }
    }

    pub(crate) fn on_action(&self, tell: ActionFn) {
        self.action_fns.add(tell);
    }

    pub(crate) fn on_lifecycle(&self, tell: LifecycleFn) {
        self.lifecycle_fns.add(tell);
    }

    /// Hands on what observers decided, in order.
    pub(crate) fn deliver(&self, records: &mut Vec<ActionRecord>) {
        self.count_actions(records.len());
        for record in records.drain(..) {
            let record = Arc::new(record);
            self.announce(&record);
            self.hand_over(&record, None);
        }
    }

    /// Counts decisions that are handed on.
    pub(crate) fn count_actions(&self, actions: usize) {
        self.actions.fetch_add(actions as u64, Ordering::Relaxed);
    }

    /// Whether anybody is to be told of decisions.
    pub(crate) fn is_heard(&self) -> bool {
        !self.decisions.is_empty() || !self.action_fns.present().is_empty()
    }

    /// Tells subscribers of a decision, on the thread of its shard.
    pub(crate) fn announce(&self, record: &Arc<ActionRecord>) {
        for tell in self.action_fns.present().iter() {
            self.count_panic(&guard(|| tell(record)));
        }
        if !self.decisions.is_empty() {
            self.decisions.tell(&record.id.model_id, &Decision(Arc::clone(record)));
        }
    }

    /// Hands a decision to those who act on it. With a receipt they say when they are done.
    pub(crate) fn hand_over(&self, record: &Arc<ActionRecord>, receipt: Option<Arc<Receipt>>) {
        match &record.action {
            ObserverAction::Alert(_) => self.alerts.submit(record, receipt),
            #[cfg(feature = "automated_retraining")]
            ObserverAction::Retrain(request) => self.retrains.submit(record, request, receipt),
            _ => {}
        }
    }

    /// Whether those who act on decisions of a topic can take more without refusing any.
    pub(crate) fn has_room(&self, topic: OutboxTopic) -> bool {
        match topic {
            OutboxTopic::Alert => self.alerts.has_room(),
            #[cfg(feature = "automated_retraining")]
            OutboxTopic::Retrain => self.retrains.has_room(),
            _ => false,
        }
    }

    /// Says what happened to a model.
    pub(crate) fn tell(&self, lifecycle: &Lifecycle) {
        for tell in self.lifecycle_fns.present().iter() {
            self.count_panic(&guard(|| tell(lifecycle)));
        }
        self.lifecycles.tell(lifecycle.model_id(), lifecycle);
    }

    /// Waits until all that was handed over has been handled.
    pub(crate) async fn settle(&self) {
        self.decisions.settle().await;
        self.lifecycles.settle().await;
        self.alerts.settle().await;
        #[cfg(feature = "automated_retraining")]
        self.retrains.settle().await;
    }

    /// Lets all that hangs on it stop, once what was handed over has been handled.
    pub(crate) fn close(&self) {
        self.action_fns.clear();
        self.lifecycle_fns.clear();
        self.decisions.clear();
        self.lifecycles.clear();
        self.alerts.close();
        #[cfg(feature = "automated_retraining")]
        self.retrains.close();
    }

    /// Decisions handed on.
    pub(crate) fn actions(&self) -> u64 {
        self.actions.load(Ordering::Relaxed)
    }

    /// Panics of subscribers that are functions.
    pub(crate) fn subscriber_panics(&self) -> u64 {
        self.subscriber_panics.load(Ordering::Relaxed)
    }

    fn count_panic(&self, told: &Result<(), String>) {
        if told.is_err() {
            self.subscriber_panics.fetch_add(1, Ordering::Relaxed);
        }
    }
}
