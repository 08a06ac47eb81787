//! A bounded queue in front of a subscriber's mailbox, which itself bounds nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::{ArbiterHandle, Message, Recipient};
use tokio::sync::{mpsc, oneshot};
use visu_tility_core::ModelId;

use crate::census::Census;

/// Messages that may wait for one subscriber.
pub(crate) const WAITING_MAX: usize = 65_536;

/// Hands messages to a recipient one after the other, each when the one before was handled.
pub(crate) struct Pump<M: Message<Result = ()> + Send> {
    queue: mpsc::Sender<Item<M>>,
    /// The one model that it wants to hear of; `None`: all.
    model: Option<ModelId>,
}

enum Item<M> {
    Message(M),
    Settle(oneshot::Sender<()>),
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pumped {
    Queued,
    Full,
    Gone,
}

impl<M: Message<Result = ()> + Send + 'static> Pump<M> {
    fn start(
        recipient: Recipient<M>,
        model: Option<ModelId>,
        arbiter: &ArbiterHandle,
        census: &Census,
    ) -> Self {
        let presence = census.enter();
        let (queue, mut waiting) = mpsc::channel(WAITING_MAX);
        arbiter.spawn(async move {
            let _presence = presence;
            while let Some(item) = waiting.recv().await {
                match item {
                    // A subscriber that panicked on a message and lives on gets the next one.
                    Item::Message(message) => {
                        if recipient.send(message).await.is_err() && !recipient.connected() {
                            return;
                        }
                    }
                    Item::Settle(settled) => drop(settled.send(())),
                }
            }
        });
        Self { queue, model }
    }

    fn push(&self, message: M) -> Pumped {
        match self.queue.try_send(Item::Message(message)) {
            Ok(()) => Pumped::Queued,
            Err(mpsc::error::TrySendError::Full(_)) => Pumped::Full,
            Err(mpsc::error::TrySendError::Closed(_)) => Pumped::Gone,
        }
    }
}

/// Subscribers of one sort.
pub(crate) struct Subscribers<M: Message<Result = ()> + Send> {
    pumps: parking_lot::RwLock<Vec<Pump<M>>>,
    dropped: Arc<AtomicU64>,
}

impl<M: Message<Result = ()> + Send> Default for Subscribers<M> {
    fn default() -> Self {
        Self { pumps: parking_lot::RwLock::default(), dropped: Arc::default() }
    }
}

impl<M: Message<Result = ()> + Send + Clone + 'static> Subscribers<M> {
    /// Has a recipient sent what concerns `model`, or, for `None`, everything.
    pub(crate) fn add(
        &self,
        recipient: Recipient<M>,
        model: Option<ModelId>,
        arbiter: &ArbiterHandle,
        census: &Census,
    ) {
        self.pumps.write().push(Pump::start(recipient, model, arbiter, census));
    }

    /// Lets those go that want to hear of one model only.
    pub(crate) fn forget(&self, model: &ModelId) {
        self.pumps.write().retain(|pump| pump.model.as_ref() != Some(model));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pumps.read().is_empty()
    }

    /// Queues a message about a model for each subscriber; what finds no room is counted.
    pub(crate) fn tell(&self, model: &ModelId, message: &M) {
        let mut gone = false;
        let pumps = self.pumps.read();
        for pump in pumps.iter().filter(|pump| pump.model.as_ref().is_none_or(|wanted| wanted == model)) {
            match pump.push(message.clone()) {
                Pumped::Queued => {}
                Pumped::Full => drop(self.dropped.fetch_add(1, Ordering::Relaxed)),
                Pumped::Gone => gone = true,
            }
        }
        drop(pumps);
        if gone {
            self.pumps.write().retain(|pump| !pump.queue.is_closed());
        }
    }

    /// Lets all subscribers go; what is queued for them is still handed over.
    pub(crate) fn clear(&self) {
        self.pumps.write().clear();
    }

    /// Messages that found no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until all that was told has been handled.
    pub(crate) async fn settle(&self) {
        let queues: Vec<_> = self.pumps.read().iter().map(|pump| pump.queue.clone()).collect();
        for queue in queues {
            let (settled, wait) = oneshot::channel();
            if queue.send(Item::Settle(settled)).await.is_ok() {
                let _ = wait.await;
            }
        }
    }
}
