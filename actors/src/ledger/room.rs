//! What the outbox has no room for goes back to its shards; what else was to be committed goes on.

use crate::ledger::{Ledger, dispatch};
use crate::saving::Save;

/// The limit of a store that is reached when too many actions wait: see
/// [`StoreLimits`](visu_tility_core::store::StoreLimits).
const LIMIT: &str = "outbox_waiting_max";

/// What is known of the outbox's room.
#[derive(Default)]
pub(super) struct Room {
    /// Whether saves wait for it.
    withholding: bool,
    /// Whether there was none: saves are tried one by one until one of them finds some.
    pub(super) tight: bool,
}

impl Ledger {
    /// Deals with a commit that a limit was in the way of; false when that is not for the actions in its saves.
    pub(super) fn has_no_room(&mut self, limit: &str) -> bool {
        if limit != LIMIT {
            return false;
        }
        if !self.saves.iter().any(Save::acts) {
            return false;
        }
        // Together they may be too many, and each by itself not: those of several arbiters are told apart first.
        self.room.tight = true;
        if self.saves.len() > 1 {
            let others = self.saves.drain(1..);
            self.inbox.with(|queue| others.rev().for_each(|save| queue.saves.push_front(save)));
            return true;
        }
        let room = self.figures.room();
        let mut any = false;
        for save in &mut self.saves {
            let Some(returned) = save.split_acting(room) else { continue };
            any = true;
            if let Some(dock) = self.board.dock(save.shard).filter(|dock| dock.epoch == save.epoch) {
                dock.returned.lock().push(returned);
            }
        }
        self.room.withholding |= any;
        if any && self.figures.outbox_is_full() {
            tracing::error!(
                "the outbox is full: actions wait with their states, and the journal is kept for them"
            );
        }
        any
    }

    /// After a commit: has shards try again what waits for room, if there is more of it.
    pub(super) fn note_room(&mut self) {
        self.room.tight &= self.commit.outbox.is_empty();
        if self.room.withholding && !self.commit.settled.is_empty() {
            self.figures.more_room();
            dispatch::poke(&self.board);
        }
    }
}
