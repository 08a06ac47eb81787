//! Who sleeps and is due is woken by a tick of the journal.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::admission::Standing;
use crate::ledger::inbox::What;
use crate::ledger::{LOOK_EVERY, Ledger};

/// Sleeping models that are woken together because they are due, and the pause before the next ones.
const DUE_PAGE: usize = 512;
const DUE_PAUSE: Duration = Duration::from_millis(10);

impl Ledger {
    /// Has those told what time it is who sleep and are due.
    pub(super) fn look_for_due(&mut self, now: i64) {
        if now < self.look_at || self.ending || self.board.is_closed() {
            return;
        }
        if !self.has_come_to(self.due_end) {
            // Those that were woken last come first, so that what is published has its turn between.
            self.look_at = now + i64::try_from(DUE_PAUSE.as_micros()).unwrap_or(i64::MAX);
            return;
        }
        let time = self.board.clock.now();
        if time < self.looked {
            self.due = None;
        }
        self.looked = time;
        let after = self.due.as_ref().map(|(due, model)| (*due, model));
        let rows = match self.reader.due(time, after, DUE_PAGE) {
            Ok(rows) => {
                self.undue.worked();
                rows
            }
            Err(error) => {
                if let Some(times) = self.undue.failed_again(now) {
                    tracing::error!(%error, times, "it cannot be read who is due");
                }
                Vec::new()
            }
        };
        let pause = if rows.len() < DUE_PAGE { LOOK_EVERY } else { DUE_PAUSE };
        self.look_at = now + i64::try_from(pause.as_micros()).unwrap_or(i64::MAX);
        let Some(last) = rows.last().and_then(|row| Some((row.due?, row.model.clone()))) else { return };
        let mut ticks = Vec::new();
        for row in rows {
            // Of one that is awake its shard knows when it is due.
            let awake =
                self.board.directory.with(row.model.as_str(), |entry| entry.awake.load(Ordering::Acquire));
            if awake != Some(true)
                && let Ok(entry) = self.board.directory.insert_again(&row.model, Standing::Stored)
            {
                ticks.push((entry, time));
            }
        }
        let woken = ticks.len() as u64;
        if ticks.is_empty() {
            self.due = Some(last);
            return;
        }
        match self.board.journal(What::Ticks(ticks)) {
            Ok(base) => self.due_end = base + woken,
            Err(_) => return,
        }
        self.due = Some(last);
    }

    /// Whether all shards have handled what they were sent of the entries below an offset.
    fn has_come_to(&self, offset: u64) -> bool {
        let mut shards = self.board.docks().zip(&self.sent);
        shards.all(|(dock, sent)| dock.position.load(Ordering::Acquire) >= offset.min(*sent))
    }
}
