//! Counts the actors that live, so that a shutdown and a test can know when all are gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// How many supervised actors live; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Census(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    live: AtomicUsize,
    gone: Notify,
    /// Those of one shard are counted by themselves, too.
    whole: Option<Whole>,
}

/// The count that another is a part of, until it is not any more.
#[derive(Debug)]
struct Whole(Mutex<Option<Arc<Count>>>);

impl Count {
    fn enter(&self) {
        if let Some(Whole(whole)) = &self.whole {
            let whole = whole.lock();
            self.live.fetch_add(1, Ordering::AcqRel);
            if let Some(whole) = &*whole {
                whole.enter();
            }
        } else {
            self.live.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn leave(&self, actors: usize) {
        let part_of = self.whole.as_ref().map(|Whole(whole)| whole.lock());
        if actors > 0 && self.live.fetch_sub(actors, Ordering::AcqRel) == actors {
            self.gone.notify_waiters();
        }
        if let Some(whole) = part_of.as_ref().and_then(|whole| whole.as_ref()) {
            whole.leave(actors);
        }
    }
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

    /// A count of its own that is a part of this one.
    pub(crate) fn part(&self) -> Self {
        let whole = Some(Whole(Mutex::new(Some(Arc::clone(&self.0)))));
        Self(Arc::new(Count { whole, ..Count::default() }))
    }

    /// Takes a part out of the whole, with all that live there: nobody waits for them any more.
    pub(crate) fn disown(&self) {
        let Some(Whole(whole)) = &self.0.whole else { return };
        let mut whole = whole.lock();
        if let Some(whole) = whole.take() {
            whole.leave(self.live());
        }
    }

    /// Counts one more until the presence is dropped.
    pub(crate) fn enter(&self) -> Presence {
        self.0.enter();
        Presence(Arc::clone(&self.0))
    }
}

/// One actor that lives.
pub(crate) struct Presence(Arc<Count>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.leave(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_a_part_that_is_disowned_are_not_waited_for() {
        let all = Census::default();
        let part = all.part();
        let (one, other) = (all.enter(), part.enter());
        assert_eq!((all.live(), part.live()), (2, 1));
        part.disown();
        assert_eq!((all.live(), part.live()), (1, 1));
        drop(other);
        assert_eq!((all.live(), part.live()), (1, 0));
        drop(one);
        assert_eq!(all.live(), 0);
    }
}
