//! Takes what is recorded in the outbox to those it is for, each entry until somebody has settled it.
//!
//! What a commit posted is handed over at once while there is room; else, and when the process starts, it is read from the
//! store in its order. A cursor on the numbers of the entries keeps each from being handed over twice; each topic has its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use visu_tility_core::ActionRecord;
use visu_tility_core::store::{
    OutboxQuery, OutboxTopic, Posted, Settlement, StoreReader, StoredAction, Verdict,
};

use crate::clock::Clock;
use crate::ledger::inbox::Inbox;
use crate::ledger::patience::Patience;
use crate::ledger::status::Figures;
use crate::outlet::Outlet;
use crate::saving::{Save, is_posted};

/// Entries that are read at a time.
const PAGE: usize = 256;

/// Waits until everybody whom an outbox entry is for is done with it.
pub(crate) struct Receipt {
    number: u64,
    left: AtomicUsize,
    delivered: AtomicBool,
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipt").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Receipt {
    fn new(number: u64, inbox: &Arc<Inbox>, clock: &Arc<dyn Clock>) -> Arc<Self> {
        let (left, delivered) = (AtomicUsize::new(1), AtomicBool::new(false));
        Arc::new(Self { number, left, delivered, inbox: Arc::clone(inbox), clock: Arc::clone(clock) })
    }

    /// So many more are to be done with it.
    pub(crate) fn also_for(&self, more: usize) {
        self.left.fetch_add(more, Ordering::AcqRel);
    }

    /// One of them is done with it. Of several it is enough that one has it.
    pub(crate) fn done(&self, delivered: bool) {
        if delivered {
            self.delivered.store(true, Ordering::Release);
        }
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let had = self.delivered.load(Ordering::Acquire);
            let verdict = if had { Verdict::Delivered } else { Verdict::Abandoned };
            self.inbox.settle(Settlement { number: self.number, verdict, at: self.clock.now() });
        }
    }
}

/// How far the deliveries of one topic have come.
struct Stream {
    topic: OutboxTopic,
    /// The largest number that was handed over.
    cursor: u64,
    /// Whether the store holds entries after the cursor that wait.
    behind: bool,
}

impl Stream {
    fn of(topic: OutboxTopic) -> Self {
        Self { topic, cursor: 0, behind: taken(topic) }
    }
}

/// How far deliveries have come, each topic by itself: alerts do not wait behind retrains that nobody carries out.
pub(crate) struct Delivery {
    streams: [Stream; OutboxTopic::ALL.len()],
    figures: Arc<Figures>,
    /// With an outbox that cannot be read.
    patience: Patience,
}

impl Delivery {
    pub(crate) fn new(figures: Arc<Figures>) -> Self {
        let delivery =
            Self { streams: OutboxTopic::ALL.map(Stream::of), figures, patience: Patience::default() };
        delivery.note();
        delivery
    }

    /// Says whether alerts wait in the store that were not handed over.
    fn note(&self) {
        let owes = |stream: &Stream| stream.behind && stream.topic == OutboxTopic::Alert;
        self.figures.set_owes_alerts(self.streams.iter().any(owes));
    }

    /// How long the store is not to be asked, because it could not be read.
    pub(crate) fn pause(&self, now: i64) -> Option<Duration> {
        self.patience.wait(now)
    }

    /// Whether the store is to be asked for more.
    pub(crate) fn is_behind(&self) -> bool {
        self.streams.iter().any(|stream| stream.behind)
    }

    /// Has the store asked for what came after the cursors.
    pub(crate) fn look_again(&mut self) {
        for stream in &mut self.streams {
            stream.behind = taken(stream.topic);
        }
        self.note();
    }

    /// Hands on the records of a save that is kept. `posted` has one answer for each that is in the outbox; it is short
    /// when the answers were lost with the commit's. Answers what subscribers are to be told, by the save's shard.
    pub(crate) fn take(
        &mut self,
        outlet: &Outlet,
        inbox: &Arc<Inbox>,
        save: &Save,
        posted: &mut impl Iterator<Item = Posted>,
    ) -> Vec<Arc<ActionRecord>> {
        outlet.count_actions(save.records.len());
        let heard = outlet.is_heard();
        let mut told = Vec::new();
        for record in &save.records {
            let posted = if is_posted(record) { posted.next() } else { None };
            if !heard && posted.is_none() {
                continue;
            }
            let record = Arc::new(record.clone());
            if heard {
                told.push(Arc::clone(&record));
            }
            let topic = OutboxTopic::of(&record.action);
            let stream = self.streams.iter_mut().find(|stream| Some(stream.topic) == topic);
            let (Some(posted), Some(stream)) = (posted, stream) else { continue };
            match posted {
                Posted::New(number) if !stream.behind && outlet.has_room(stream.topic) => {
                    stream.cursor = stream.cursor.max(number);
                    outlet.hand_over(&record, Some(Receipt::new(number, inbox, &outlet.clock)));
                }
                // Read from the store when its turn comes.
                _ => stream.behind = taken(stream.topic),
            }
        }
        self.note();
        told
    }

    /// Hands over what the store holds, alerts first; true when there may be more at once.
    ///
    /// An outbox that cannot be read is tried again at growing pauses; `now` is the ledger's stopwatch's.
    pub(crate) fn catch_up(
        &mut self,
        reader: &mut dyn StoreReader,
        outlet: &Outlet,
        inbox: &Arc<Inbox>,
        now: i64,
    ) -> bool {
        if self.patience.wait(now).is_some() {
            return false;
        }
        let ready = |stream: &&mut Stream| stream.behind && outlet.has_room(stream.topic);
        let Some(stream) = self.streams.iter_mut().find(ready) else { return false };
        let topic = Some(stream.topic);
        let query = OutboxQuery { waiting: true, topic, model: None, after: stream.cursor, limit: PAGE };
        let page = match reader.outbox(&query) {
            Ok(page) => page,
            Err(error) => {
                if let Some(times) = self.patience.failed_again(now) {
                    tracing::error!(%error, times, "outbox entries that wait cannot be read");
                }
                return false;
            }
        };
        let times = self.patience.worked();
        if times > 0 {
            tracing::info!(times, "outbox entries that wait can be read again");
        }
        stream.behind = !page.is_empty();
        for StoredAction { number, entry, .. } in &page {
            if !outlet.has_room(stream.topic) {
                break;
            }
            stream.cursor = stream.cursor.max(*number);
            let receipt = Receipt::new(*number, inbox, &outlet.clock);
            match entry.record() {
                Ok(record) => outlet.hand_over(&Arc::new(record), Some(receipt)),
                Err(error) => {
                    tracing::error!(%error, "an outbox entry cannot be read, it is given up");
                    receipt.done(false);
                }
            }
        }
        self.note();
        true
    }
}

/// Whether this build has somebody whom entries of a topic go to; what it has not waits for one that has.
fn taken(topic: OutboxTopic) -> bool {
    topic == OutboxTopic::Alert || cfg!(feature = "automated_retraining")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_settled_once_when_all_are_done() {
        let inbox = Arc::new(Inbox::new());
        let clock: Arc<dyn Clock> = Arc::new(crate::clock::ManualClock::default());
        let receipt = Receipt::new(4, &inbox, &clock);
        receipt.also_for(2);
        receipt.done(false);
        receipt.done(true);
        assert!(inbox.with(|queue| queue.settled.is_empty()));
        receipt.done(false);
        let settled = inbox.with(|queue| queue.settled.pop_front()).unwrap();
        assert_eq!((settled.number, settled.verdict), (4, Verdict::Delivered));
    }
}
