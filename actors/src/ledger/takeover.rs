//! A shard whose thread is stuck is taken over: its successor begins with what the store holds, and is sent again what the
//! journal holds behind that, while the others go on.
//!
//! | of a shard that is taken over | what becomes of it |
//! |---|---|
//! | states that are in the store | its successor reads them when it comes to the model |
//! | entries behind them | are sent again, in order, before anything newer |
//! | saves that the ledger has not taken | are thrown away: what they held is in the journal |
//! | answers that somebody waits for | are given by its successor |
//! | credits of what was in its mailbox | are made anew |

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use actix::ArbiterHandle;
use tokio::sync::OwnedSemaphorePermit;
use visu_tility_core::store::StoreError;

use crate::board::Board;
use crate::dock::Dock;
use crate::journaled::{Journaled, Occurrence};
use crate::ledger::culprit::Culprit;
use crate::ledger::replay::{Only, Replay};
use crate::ledger::{Ledger, Next};
use crate::routed::Batch;
use crate::saving::SavingParts;

/// What a watchdog asks for.
pub(crate) struct Takeover {
    pub(crate) shard: usize,
    /// How often the shard was taken over before.
    pub(crate) epoch: u64,
    /// Whom its observer does not come back from.
    pub(crate) culprit: Culprit,
    /// Where the successor is to live.
    pub(crate) arbiter: ArbiterHandle,
}

/// A shard that is sent its journal again.
pub(crate) struct Resending {
    replay: Replay,
    /// Credits of what came meanwhile, up to which offset each.
    permits: VecDeque<(u64, OwnedSemaphorePermit)>,
}

/// By shard.
pub(crate) type Resendings = BTreeMap<usize, Resending>;

impl Resending {
    /// Leaves what came meanwhile to be sent from the journal.
    pub(crate) fn leave(&mut self, board: &Board, mut batch: Batch) {
        for event in batch.load.as_slice() {
            board.vectors.take(event.value);
        }
        if let Some(dock) = batch.load.as_slice().first().and_then(|event| board.dock(event.address.shard()))
        {
            dock.took(batch.load.as_slice().len());
        }
        let end = batch.end();
        self.permits.extend(batch.permit.take().map(|permit| (end, permit)));
    }
}

impl Ledger {
    /// The first offset that a recovery would still need.
    pub(super) fn low_water(&self) -> u64 {
        if !self.repeated {
            return self.truncated;
        }
        let of_shard = |(dock, sent): (Arc<Dock>, &u64)| Self::low_of(&dock, *sent);
        let shards = self.board.docks().zip(&self.sent).map(of_shard).min().unwrap_or(0);
        shards.min(self.apart.low()).min(self.next_offset)
    }

    /// The first offset that a recovery of one shard would need.
    fn low_of(dock: &Dock, sent: u64) -> u64 {
        // In this order: what is not handled is not yet dirty.
        let handled = dock.position.load(std::sync::atomic::Ordering::Acquire);
        let dirty = dock.dirty_from.load(std::sync::atomic::Ordering::Acquire);
        if handled >= sent { dirty } else { dirty.min(handled) }
    }

    /// Has successors take the place of shards that are stuck, now that it is kept whom they are stuck in.
    pub(super) fn take_over_all(&mut self) {
        if self.apart.is_busy() {
            // What it had saved comes first, be it kept or refused.
            return;
        }
        for takeover in std::mem::take(&mut self.takeovers) {
            let replaced = self.take_over(&takeover);
            if let Err(error) = &replaced {
                tracing::error!(shard = takeover.shard, %error, "a stuck arbiter was not replaced");
            }
            if !matches!(replaced, Ok(true)) {
                takeover.arbiter.stop();
            }
        }
    }

    /// Answers whether the fresh arbiter is of use.
    fn take_over(&mut self, takeover: &Takeover) -> Result<bool, StoreError> {
        let Takeover { shard, epoch, ref arbiter, .. } = *takeover;
        let (Some(store), Some(nursery)) = (&self.store, &self.nursery) else { return Ok(false) };
        let Some(old) = self.board.dock(shard).filter(|dock| dock.epoch == epoch && !dock.is_over()) else {
            return Ok(false);
        };
        if self.ending || self.board.is_closed() {
            return Ok(false);
        }
        let sent = self.sent.get(shard).copied().unwrap_or(0);
        let low = Self::low_of(&old, sent).min(sent).max(self.truncated);
        // All that can fail comes before the fence.
        let reader = store.reader()?;
        let (own, plan) = &self.own;
        let plans = self.plans.before(low, &mut *self.reader, *own, plan)?;
        old.fence();
        let dock = Arc::new(old.heir(low));
        let saving = SavingParts {
            inbox: Arc::clone(&self.inbox),
            figures: Arc::clone(&self.figures),
            policy: self.policy,
            reader,
            plans,
            book: Arc::clone(&self.culprits.book),
            position: low,
        };
        let mut ended = self.board.directory.begin_again(shard);
        let plan = saving.plans.present();
        let addr = nursery.begin(arbiter, shard, &self.board, &dock, plan, Some(saving));
        self.board.replace(shard, dock, addr.downgrade());
        nursery.seats.replace(shard, addr);
        old.send_on();
        self.board.vectors.release(shard);
        // Those that are due are asleep again.
        self.due = None;
        let before = self.resending.remove(&shard);
        let (mut live_from, mut permits) = (sent, VecDeque::new());
        let mut retired = Vec::new();
        if let Some(Resending { mut replay, permits: held }) = before {
            let position = replay.position();
            if let Some(only) = replay.only.take() {
                live_from = only.live_from.max(position);
                ended.extend(only.ended);
                retired = only.retired;
            }
            permits = held;
        }
        let only = Only { shard, from: low, sent: low, live_from, retired, ended };
        // From where the names begin that its entries have.
        let begin = self.scribe.begin_before(low).unwrap_or(self.truncated);
        let mut replay = Replay::new(begin..begin);
        replay.only = Some(only);
        self.resending.insert(shard, Resending { replay, permits });
        self.board.shift();
        tracing::warn!(shard, from = low, to = self.next_offset, "a stuck arbiter was replaced");
        Ok(true)
    }

    /// Sends a part of what is to be sent again; `None` when nothing is.
    pub(super) fn resend_some(&mut self) -> Option<Next> {
        let shards: Vec<usize> = self.resending.keys().copied().collect();
        let mut next = None;
        for shard in shards {
            let Some(mut resending) = self.resending.remove(&shard) else { continue };
            // While the whole journal is repeated: up to where that is.
            let limit = self.replay.as_ref().map_or(self.next_offset, Replay::position);
            resending.replay.journal.end = limit.max(resending.replay.journal.start);
            let step = match self.repeat_some(&mut resending.replay) {
                Ok(step) => step,
                Err(error) => {
                    // As when the whole journal cannot be read: nothing is taken on top of that.
                    let what = Occurrence::Caught { whole: false };
                    self.fail_for_good(error);
                    self.refuse_gathered();
                    // Nobody waits for what does not come.
                    self.board.tell(shard, Journaled { offset: 0, what });
                    Some(Next::Now)
                }
            };
            let Some(step) = step else {
                self.caught_up(resending.replay);
                continue;
            };
            let position = resending.replay.position();
            while resending.permits.front().is_some_and(|(end, _)| *end <= position) {
                resending.permits.pop_front();
            }
            self.resending.insert(shard, resending);
            next = Some(next.map_or(step, |next| sooner(next, step)));
        }
        next
    }

    /// From here on the successor is sent what comes, as everybody is.
    fn caught_up(&mut self, mut replay: Replay) {
        let only = replay.only.take();
        // It holds whom it has named.
        drop(replay);
        let Some(Only { shard, retired, .. }) = only else { return };
        if self.replay.is_none() {
            self.board.tell(shard, Journaled { offset: 0, what: Occurrence::Caught { whole: true } });
        }
        let Some(dock) = self.board.dock(shard) else { return };
        for entry in retired {
            // Known again by name only because it was sent again.
            self.board.directory.evict(&entry, dock.position.load(std::sync::atomic::Ordering::Acquire));
        }
    }
}

/// The one of two that comes first.
pub(super) fn sooner(one: Next, other: Next) -> Next {
    match (one, other) {
        (Next::Now, _) | (_, Next::Now) => Next::Now,
        (Next::Within(one), Next::Within(other)) => Next::Within(one.min(other)),
        (Next::Over, next) | (next, Next::Over) => next,
    }
}
