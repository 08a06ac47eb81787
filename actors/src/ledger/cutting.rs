//! Where the journal is cut: as far as no recovery needs it, and no reader that was promised more. And how long the models of
//! events under way keep their places.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::dock::Dock;
use crate::ledger::Ledger;

impl Ledger {
    /// Has the commit cut the journal; answers whether it does. `next` is the offset after the commit's last entry. One that
    /// would cut it and do nothing else, `alone`, waits until nothing else has come for long, or the end has come.
    pub(super) fn cut(&mut self, now: i64, next: u64, alone: bool) -> bool {
        if alone && now < self.trim_at && !self.ending {
            return false;
        }
        // What is kept for readers gives way when the store takes nothing more, and at the end.
        let kept = if self.failing.is_none() && !self.ending { self.policy.keep_entries } else { 0 };
        let low = self.low_water().saturating_sub(kept);
        if low > self.truncated {
            if alone {
                self.trim_at = now + self.saving_time(1);
            }
            let cut = self.scribe.cut(low, next, alone);
            self.commit.truncate_below = cut.filter(|cut| *cut > self.truncated);
        }
        self.commit.truncate_below.is_some()
    }

    /// A part of the time in which each state is saved once, in microseconds.
    pub(super) fn saving_time(&self, part: u32) -> i64 {
        i64::try_from((self.policy.save_every / part).as_micros()).unwrap_or(i64::MAX / 2)
    }

    /// Lets the models of events lose their places once these are handled.
    pub(super) fn end_passages(&mut self) {
        if self.passages.is_empty() {
            return;
        }
        let under_way = |(dock, sent): (Arc<Dock>, &u64)| {
            let handled = dock.position.load(Ordering::Acquire);
            (handled < *sent).then_some(handled)
        };
        let handled = self.board.docks().zip(&self.sent).filter_map(under_way).min().unwrap_or(u64::MAX);
        while self.passages.front().is_some_and(|(end, _)| *end <= handled) {
            self.passages.pop_front();
        }
    }
}
