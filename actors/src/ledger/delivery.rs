//! Takes what is recorded in the outbox to those it is for, each entry until somebody has settled it.
//!
//! What a commit posted is handed over at once while there is room; else, and when the process starts, it is read from the
//! store in its order. A cursor on the numbers of the entries keeps each from being handed over twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use visu_tility_core::ActionRecord;
use visu_tility_core::store::{
    OutboxQuery, OutboxTopic, Posted, Settlement, StoreLimits, StoreReader, StoredAction, Verdict,
};

use crate::clock::Clock;
use crate::ledger::inbox::Inbox;
use crate::outlet::Outlet;
use crate::saving::{Save, topic_of};

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

/// How far deliveries have come.
pub(crate) struct Delivery {
    /// The largest number that was handed over.
    cursor: u64,
    /// Whether the store holds entries after the cursor that wait.
    behind: bool,
}

impl Delivery {
    pub(crate) const fn new() -> Self {
        Self { cursor: 0, behind: true }
    }

    /// Whether the store is to be asked for more.
    pub(crate) const fn is_behind(&self) -> bool {
        self.behind
    }

    /// Has the store asked for what came after the cursor.
    pub(crate) const fn look_again(&mut self) {
        self.behind = true;
    }

    /// Hands on the records of a save that is kept. `posted` has one answer for each that is in the outbox; it is short
    /// when the answers were lost with the commit's.
    pub(crate) fn take(
        &mut self,
        outlet: &Outlet,
        inbox: &Arc<Inbox>,
        save: &Save,
        posted: &mut impl Iterator<Item = Posted>,
    ) {
        outlet.count_actions(save.records.len());
        for record in &save.records {
            let posted = topic_of(record).and_then(|_| posted.next());
            let record = Arc::new(record.clone());
            outlet.announce(&record);
            match posted {
                Some(Posted::New(number)) if !self.behind && outlet.has_room() => {
                    self.cursor = self.cursor.max(number);
                    outlet.hand_over(&record, Some(Receipt::new(number, inbox, &outlet.clock)));
                }
                // Read from the store when its turn comes.
                Some(_) => self.behind = true,
                None => {}
            }
        }
    }

    /// Hands over what the store holds; true when there may be more at once.
    pub(crate) fn catch_up(
        &mut self,
        reader: &mut dyn StoreReader,
        outlet: &Outlet,
        inbox: &Arc<Inbox>,
    ) -> bool {
        if !self.behind || !outlet.has_room() {
            return false;
        }
        let query = OutboxQuery { waiting: true, model: None, after: self.cursor, limit: PAGE };
        let page = match reader.outbox(&query) {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "outbox entries that wait cannot be read");
                return false;
            }
        };
        self.behind = !page.is_empty();
        for StoredAction { number, entry, .. } in &page {
            if !outlet.has_room() {
                return false;
            }
            self.cursor = self.cursor.max(*number);
            let receipt = Receipt::new(*number, inbox, &outlet.clock);
            match record_of(&entry.body) {
                Some(record) if taken(entry.topic) => {
                    outlet.hand_over(&Arc::new(record), Some(receipt));
                }
                // For a build with more features.
                Some(_) => {}
                None => {
                    tracing::error!(id = ?entry.id, "an outbox entry cannot be read, it is given up");
                    receipt.done(false);
                }
            }
        }
        self.behind
    }
}

/// A record as it stands in the outbox.
pub(crate) fn body_of(record: &ActionRecord) -> String {
    let body = serde_json::to_string(record).unwrap_or_default();
    if body.len() <= StoreLimits::BODY_BYTES_MAX {
        return body;
    }
    let mut short = record.clone();
    match &mut short.action {
        visu_tility_core::ObserverAction::Alert(alert) => shorten(&mut alert.summary),
        visu_tility_core::ObserverAction::Retrain(request) => shorten(&mut request.reason),
        _ => {}
    }
    serde_json::to_string(&short).unwrap_or_default()
}

/// Cuts a text that is too long for the store to 1 KiB.
fn shorten(text: &mut String) {
    let mut end = text.len().min(1_024);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

/// Reads a record back. Numbers that JSON has no form for come back as `NaN`.
fn record_of(body: &str) -> Option<ActionRecord> {
    let mut value: serde_json::Value = serde_json::from_str(body).ok()?;
    let mut nan = [false; 2];
    for (nan, field) in nan.iter_mut().zip(["statistic", "threshold"]) {
        if let Some(number) = value.get_mut(field).filter(|number| number.is_null()) {
            (*nan, *number) = (true, 0.into());
        }
    }
    let mut record: ActionRecord = serde_json::from_value(value).ok()?;
    let [statistic, threshold] = nan;
    if statistic {
        record.statistic = f64::NAN;
    }
    if threshold {
        record.threshold = f64::NAN;
    }
    Some(record)
}

/// Whether this build has somebody whom entries of a topic go to.
fn taken(topic: OutboxTopic) -> bool {
    topic == OutboxTopic::Alert || cfg!(feature = "automated_retraining")
}

#[cfg(test)]
mod tests {
    use visu_tility_core::drift::{Direction, Level};
    use visu_tility_core::{ActionId, ModelId, ObserverAction, Severity, Timestamp};

    use super::*;

    fn record(summary: String, statistic: f64) -> ActionRecord {
        ActionRecord {
            id: ActionId {
                model_id: ModelId::new("m").unwrap(),
                offset: 7,
                observer: "o".into(),
                ordinal: 1,
            },
            version: None,
            kind: None,
            at: Timestamp::from_micros(5),
            series_index: 3,
            level: Level::Drift,
            direction: Direction::Down,
            statistic,
            threshold: f64::INFINITY,
            since: 0,
            value: None,
            action: ObserverAction::alert(Severity::Info, summary),
        }
    }

    #[test]
    fn a_record_is_read_back_as_it_was_written_and_what_is_no_number_as_nan() {
        let read = record_of(&body_of(&record("low".into(), 0.1 + 0.2))).unwrap();
        assert!(read.threshold.is_nan());
        assert_eq!(ActionRecord { threshold: f64::INFINITY, ..read }, record("low".into(), 0.1 + 0.2));
        assert!(record_of(&body_of(&record(String::new(), f64::NAN))).unwrap().statistic.is_nan());
        assert_eq!(record_of("{"), None);
    }

    #[test]
    fn a_text_that_is_too_long_for_the_store_is_cut() {
        let body = body_of(&record("é".repeat(StoreLimits::BODY_BYTES_MAX), 1.0));
        assert!(body.len() <= StoreLimits::BODY_BYTES_MAX);
        let ObserverAction::Alert(alert) = record_of(&body).unwrap().action else { panic!() };
        assert_eq!(alert.summary, "é".repeat(512));
    }

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
