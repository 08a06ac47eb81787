//! Counts the actors that live, so that a shutdown and a test can know when all are gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many supervised actors live; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Census(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    live: AtomicUsize,
    gone: Notify,
}

impl Census {
    /// Actors that live now.
    pub fn live(&self) -> usize {
        self.0.live.load(Ordering::Acquire)
    }

    /// Waits until no actor lives.
    pub async fn empty(&self) {
        loop {
            let gone = self.0.gone.notified();
            if self.live() == 0 {
                return;
            }
            gone.await;
        }
    }

    /// Counts one more until the presence is dropped.
    pub(crate) fn enter(&self) -> Presence {
        self.0.live.fetch_add(1, Ordering::AcqRel);
        Presence(Arc::clone(&self.0))
    }
}

/// One actor that lives.
pub(crate) struct Presence(Arc<Count>);

impl Drop for Presence {
    fn drop(&mut self) {
        if self.0.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.gone.notify_waiters();
        }
    }
}
