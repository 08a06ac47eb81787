//! What waits for the ledger: pieces in the order of their offsets, saves, verdicts of deliveries.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use visu_tility_core::journal::Turn;
use visu_tility_core::store::Settlement;
use visu_tility_core::{IngestError, MonitorPlan, Timestamp};

use crate::control::ControlError;
use crate::directory::{ModelEntry, Pins};
use crate::ledger::takeover::Takeover;
use crate::routed::Routed;
use crate::saving::{BYTES_MAX, STATES_MAX, Save};

/// Something to be journaled. Its offset holds until a commit before it fails: then it is answered with an error.
pub(crate) struct Piece {
    pub(crate) base: u64,
    pub(crate) what: What,
}

/// What is to be journaled, and who waits for it.
pub(crate) enum What {
    Events(Events),
    /// Timers that went off.
    Ticks(Vec<(Arc<ModelEntry>, Timestamp)>),
    /// A turn of a model's life.
    Turn(Arc<ModelEntry>, Turn, Timestamp, oneshot::Sender<Result<(), ControlError>>),
    /// A plan that comes into force, under its fingerprint; a reply for each shard.
    Plan(Arc<MonitorPlan>, u64, Timestamp, Vec<oneshot::Sender<Result<(), ControlError>>>),
    /// An entry that changes nothing: whether the store takes anything again.
    Probe,
    /// Wants to know when all before it is with the shards or refused.
    Flush(oneshot::Sender<()>),
    /// The last handle is gone: nothing comes after it.
    End,
}

impl What {
    /// Offsets that it takes.
    pub(crate) fn entries(&self) -> usize {
        match self {
            Self::Events(events) => events.routed.len(),
            Self::Ticks(ticks) => ticks.len(),
            Self::Turn(..) | Self::Plan(..) | Self::Probe => 1,
            Self::Flush(_) | Self::End => 0,
        }
    }

    /// Tells who waits that it did not come into the journal.
    pub(crate) fn refuse(self, error: &IngestError) {
        match self {
            Self::Events(events) => events.reply.refuse(error),
            Self::Turn(.., reply) => drop(reply.send(Err(ControlError::from(error.clone())))),
            Self::Plan(.., replies) => {
                for reply in replies {
                    let _ = reply.send(Err(ControlError::from(error.clone())));
                }
            }
            Self::Flush(done) => drop(done.send(())),
            Self::Ticks(_) | Self::Probe | Self::End => {}
        }
    }
}

/// Events that were published together.
pub(crate) struct Events {
    pub(crate) routed: Vec<Routed>,
    /// Their credits, by shard.
    pub(crate) permits: Vec<(usize, OwnedSemaphorePermit)>,
    /// Models that must not lose their places meanwhile.
    pub(crate) pins: Pins,
    pub(crate) reply: Reply,
}

/// Who waits for events.
pub(crate) enum Reply {
    Nobody,
    /// Wants the first offset once they are durable.
    Durable(oneshot::Sender<Result<u64, IngestError>>),
    /// Wants to know what became of a single event at its model.
    Handled(oneshot::Sender<Result<(), IngestError>>),
}

impl Reply {
    fn refuse(self, error: &IngestError) {
        match self {
            Self::Nobody => {}
            Self::Durable(reply) => drop(reply.send(Err(error.clone()))),
            Self::Handled(reply) => drop(reply.send(Err(error.clone()))),
        }
    }
}

impl Queue {
    /// Whether anything is to be kept besides what is published.
    pub(crate) fn has_saves(&self) -> bool {
        !self.saves.is_empty() || !self.settled.is_empty() || !self.takeovers.is_empty()
    }

    /// Takes as many saves out, of those that are still wanted, as go into one commit with some that are there, `max` in all.
    pub(crate) fn take_saves(&mut self, saves: &mut Vec<Save>, max: usize, wanted: impl Fn(&Save) -> bool) {
        let add =
            |(states, bytes): (usize, usize), save: &Save| (states + save.models.len(), bytes + save.bytes());
        let mut full = saves.iter().fold((0, 0), add);
        while saves.len() < max
            && full.0 < STATES_MAX
            && full.1 < BYTES_MAX
            && let Some(save) = self.saves.pop_front()
        {
            if wanted(&save) {
                full = add(full, &save);
                saves.push(save);
            }
        }
    }
}

/// The ledger's letter box. Pushing never blocks for the store.
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    woken: Condvar,
    notify: Notify,
}

/// What is in it.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) pieces: VecDeque<Piece>,
    /// Entries of the pieces.
    pub(crate) entries: usize,
    pub(crate) saves: VecDeque<Save>,
    pub(crate) settled: VecDeque<Settlement>,
    /// Shards that are to be replaced.
    pub(crate) takeovers: Vec<Takeover>,
    /// Why nothing is taken.
    pub(crate) refusing: Option<IngestError>,
    /// Nobody looks here any more.
    over: bool,
    /// Whether something came since the ledger looked last.
    rung: bool,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self { queue: Mutex::default(), woken: Condvar::new(), notify: Notify::new() }
    }

    /// Puts a piece behind all others. The caller holds the lock that orders offsets.
    ///
    /// # Errors
    ///
    /// Fails while the store takes nothing; who waits for the piece hears nothing.
    pub(crate) fn push(&self, piece: Piece) -> Result<(), IngestError> {
        let mut queue = self.queue.lock();
        if queue.over {
            return Err(IngestError::Closed);
        }
        let takes = matches!(piece.what, What::Flush(_) | What::End);
        if let Some(error) = queue.refusing.clone().filter(|_| !takes) {
            return Err(error);
        }
        queue.entries += piece.what.entries();
        queue.pieces.push_back(piece);
        self.ring(queue);
        Ok(())
    }

    /// Refuses everything from now on; answers what was left.
    pub(crate) fn close(&self) -> VecDeque<Piece> {
        let mut queue = self.queue.lock();
        queue.over = true;
        std::mem::take(&mut queue.pieces)
    }

    pub(crate) fn save(&self, save: Save) {
        let mut queue = self.queue.lock();
        queue.saves.push_back(save);
        self.ring(queue);
    }

    pub(crate) fn take_over(&self, takeover: Takeover) {
        let mut queue = self.queue.lock();
        queue.takeovers.push(takeover);
        self.ring(queue);
    }

    pub(crate) fn settle(&self, settlement: Settlement) {
        let mut queue = self.queue.lock();
        queue.settled.push_back(settlement);
        self.ring(queue);
    }

    /// Has the ledger look whether there is something to do.
    pub(crate) fn wake(&self) {
        self.ring(self.queue.lock());
    }

    fn ring(&self, mut queue: parking_lot::MutexGuard<'_, Queue>) {
        queue.rung = true;
        drop(queue);
        self.woken.notify_one();
        self.notify.notify_one();
    }

    /// Works with what waits.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut Queue) -> T) -> T {
        work(&mut self.queue.lock())
    }

    /// Blocks the thread until something comes, or for so long.
    pub(crate) fn wait(&self, span: Option<Duration>) {
        let mut queue = self.queue.lock();
        if !queue.rung {
            match span {
                None => self.woken.wait(&mut queue),
                Some(span) => drop(self.woken.wait_for(&mut queue, span)),
            }
        }
        queue.rung = false;
    }

    /// As [`Inbox::wait`], on a runtime.
    pub(crate) async fn waited(&self, span: Option<Duration>) {
        let span = span.unwrap_or(Duration::from_hours(1));
        let _ = tokio::time::timeout(span, self.notify.notified()).await;
        self.queue.lock().rung = false;
    }
}
