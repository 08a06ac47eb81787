//! What the ledger does while the store takes nothing: who waits is told, offsets are given again, doubts are resolved.

use std::collections::BTreeMap;
use std::time::Duration;

use visu_tility_core::store::{Committed, StoreError};
use visu_tility_core::{IngestError, ModelId};

use crate::ledger::inbox::{Piece, What};
use crate::ledger::patience::PAUSE_MIN;
use crate::ledger::{Ledger, Next, dispatch};

/// How often it is looked who waits, once nothing but a new process helps.
const NEVER: Duration = Duration::from_hours(24);

/// Why commits fail at present.
pub(super) struct Failing {
    error: StoreError,
    /// Whether it may pass by itself; else nothing but a new process helps.
    retry: bool,
    /// Since when commits fail, and when the next is tried, by the ledger's stopwatch.
    since: i64,
    until: i64,
    pause: Duration,
}

impl Ledger {
    /// How long nothing is to be tried.
    pub(super) fn pause(&mut self, now: i64) -> Option<Duration> {
        let failing = self.failing.as_ref()?;
        if !failing.retry {
            return Some(NEVER);
        }
        let left = u64::try_from(failing.until - now).unwrap_or(0);
        if left > 0 {
            return Some(Duration::from_micros(left));
        }
        self.inbox.with(|queue| queue.refusing = None);
        None
    }

    /// Takes note that a commit failed, and refuses publishers for a while.
    pub(super) fn fail(&mut self, error: StoreError) {
        let retry = error.can_retry();
        self.fail_as(error, retry);
    }

    /// Takes nothing more, whatever the error: what was acknowledged cannot be shown to its models.
    pub(super) fn fail_for_good(&mut self, error: StoreError) {
        self.fail_as(error, false);
    }

    fn fail_as(&mut self, error: StoreError, retry: bool) {
        let now = self.watch.micros();
        let before = self.failing.as_ref();
        let retry = retry && before.is_none_or(|before| before.retry);
        let pause = before.map_or(PAUSE_MIN, |before| before.pause.saturating_mul(2));
        let pause = pause.min(self.policy.backoff_max.max(PAUSE_MIN));
        let since = before.map_or(now, |before| before.since);
        if before.is_none_or(|before| before.error != error || before.retry != retry) {
            tracing::error!(%error, retry, "the store takes nothing");
        }
        let refusal = refusal(&error, retry);
        self.figures.failed(&error);
        if !retry {
            self.figures.lose(&error);
            if let Some(replay) = self.replay.take() {
                // Nobody waits for what does not come.
                self.recovered(replay, Some(error.to_string()));
            }
            dispatch::poke(&self.board);
        }
        if matches!(error, StoreError::Full { .. }) {
            dispatch::press(&self.board);
        }
        self.inbox.with(|queue| queue.refusing = Some(refusal));
        let until = now.saturating_add(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX / 2));
        self.failing = Some(Failing { error, retry, since, until, pause });
    }

    /// Whether nothing but a new process helps.
    pub(super) fn is_lost(&self) -> bool {
        self.failing.as_ref().is_some_and(|failing| !failing.retry)
    }

    /// Whether a limit of the store is in the way and something waits that may make room: it goes by itself, as what is
    /// published would be refused again, and it with that.
    pub(super) fn makes_room(&mut self) -> bool {
        let full =
            self.failing.as_ref().is_some_and(|failing| matches!(failing.error, StoreError::Full { .. }));
        full && self.gathered.is_empty() && (!self.settled.is_empty() || self.has_saves())
    }

    /// Takes note that a commit worked.
    pub(super) fn works_again(&mut self) {
        let Some(Failing { error, since, .. }) = self.failing.take() else { return };
        let lasted_ms = self.watch.micros().saturating_sub(since) / 1_000;
        tracing::info!(%error, lasted_ms, "the store takes entries again");
    }

    /// Tells all publishers that wait that nothing of theirs was taken; their offsets are given again.
    pub(super) fn refuse_gathered(&mut self) {
        let Some(failing) = &self.failing else { return };
        let refusal = refusal(&failing.error, failing.retry);
        let Self { board, inbox, gathered, next_offset, .. } = &mut *self;
        let mut refused = Vec::new();
        board.begin_again_at(*next_offset, || {
            inbox.with(|queue| {
                refused.extend(gathered.drain(..).chain(queue.pieces.drain(..)));
                (queue.entries, queue.refusing) = (0, Some(refusal.clone()));
            });
        });
        self.plans.forget();
        self.culprits.forget();
        for piece in refused {
            self.ending |= matches!(piece.what, What::End);
            if matches!(piece.what, What::Ticks(_)) {
                // Of those that sleep nobody but the store knows when they are due.
                self.due = None;
            }
            dispatch::refuse(&self.board, piece, &refusal);
        }
    }

    /// Answers who waits for what came before, of which there is nothing, and notices the end.
    pub(super) fn answer_while_failing(&mut self) {
        let mut rest = Vec::new();
        let ending = self.inbox.with(|queue| {
            let others = |piece: &Piece| !matches!(piece.what, What::Flush(_) | What::End);
            if !queue.pieces.iter().any(others) {
                rest.extend(queue.pieces.drain(..));
            }
            queue.pieces.iter().any(|piece| matches!(piece.what, What::End))
        });
        // The end may be part of what is in doubt.
        self.ending |= ending || self.gathered.iter().any(|piece| matches!(piece.what, What::End));
        for piece in rest {
            self.ending |= matches!(piece.what, What::End);
            dispatch::send(&self.board, &mut self.sent, &mut self.resending, piece);
        }
    }

    /// Has the store asked whether it takes anything again, when nobody else does; true when that is on its way.
    pub(super) fn probe(&self) -> bool {
        let wanted = self.failing.is_some() && self.replay.is_none() && !self.ending;
        wanted && self.board.journal(What::Probe).is_ok()
    }

    /// Takes nothing more, after a panic of its own.
    pub(crate) fn stop(&mut self, reason: &str) {
        self.fail(StoreError::Refused(visu_tility_core::store::Refusal::ValueName(reason.to_owned())));
        self.refuse_gathered();
        self.close();
    }

    /// Asks the store whether a commit in doubt is there.
    pub(super) fn resolve_doubt(&mut self) {
        let Some(end) = self.doubt else { return };
        let summary = match self.reader.summary() {
            Ok(summary) => summary,
            Err(error) => {
                self.fail(error);
                if self.is_lost() {
                    // Who waits is told that it is in doubt for good.
                    self.refuse_gathered();
                }
                return;
            }
        };
        let there = if end > self.next_offset { Ok(summary.next_offset >= end) } else { self.has_states() };
        let there = match there {
            Ok(there) => there,
            Err(error) => return self.fail(error),
        };
        self.doubt = None;
        self.delivery.look_again();
        if there {
            // Numbers of what it posted are not known: they are read from the store.
            self.succeeded(&Committed { next_offset: end, posted: Vec::new() });
        } else {
            self.refuse_gathered();
        }
    }

    /// Whether the store has the states of a commit in doubt that had no entries.
    ///
    /// It is asked about a model that the commit changes more than once: if the store is where the last change leads, the
    /// commit is there, and if it were made again, its first change would go back. One that changes each model once may be
    /// made again, whether it is there or not.
    fn has_states(&mut self) -> Result<bool, StoreError> {
        let mut reached: BTreeMap<&ModelId, u64> = BTreeMap::new();
        let mut further = None;
        for change in self.saves.iter().flat_map(|save| &save.models) {
            let before = reached.insert(change.model(), change.next_offset());
            if before.is_some_and(|before| before < change.next_offset()) {
                further = Some(change.model());
            }
        }
        let Some(model) = further else { return Ok(false) };
        let wanted = reached.get(model).copied().unwrap_or(u64::MAX);
        Ok(self.reader.model(model)?.is_some_and(|row| row.next_offset >= wanted))
    }

    /// Ends although commits fail: the store is left as by a crash.
    pub(super) fn give_up(&mut self) -> Next {
        self.refuse_gathered();
        self.close()
    }

    pub(super) fn close(&mut self) -> Next {
        self.store = None;
        // What is recorded and what shards that have ended have not told any more.
        for dock in self.board.docks() {
            for record in std::mem::take(&mut *dock.told.lock()) {
                self.outlet.announce(&record);
            }
        }
        for piece in self.inbox.close() {
            dispatch::refuse(&self.board, piece, &IngestError::Closed);
        }
        Next::Over
    }
}

/// What publishers are told.
fn refusal(error: &StoreError, retry: bool) -> IngestError {
    IngestError::Store { reason: error.to_string(), retry }
}
