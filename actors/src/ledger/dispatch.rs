//! Hands what is durable to the shards, in the order of its offsets.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedSemaphorePermit;
use visu_tility_core::{ActionRecord, IngestError};

use crate::board::Board;
use crate::control::ControlError;
use crate::dock::Waiter;
use crate::journaled::{Journaled, Name, Occurrence};
use crate::ledger::inbox::{Events, Piece, Reply, What};
use crate::ledger::takeover::Resendings;
use crate::routed::{Batch, Load, Routed};
use crate::shard::{LastHandleGone, Poke};

/// Sends a piece that is in the journal; `sent` is, for each shard, the offset after the last entry that it was sent.
///
/// What is for a shard that is sent its journal again is left to that.
pub(crate) fn send(board: &Board, sent: &mut [u64], again: &mut Resendings, piece: Piece) {
    let base = piece.base;
    let mut note = |shard: usize, end: u64| {
        if let Some(sent) = sent.get_mut(shard) {
            *sent = end;
        }
    };
    match piece.what {
        What::Events(events) => send_events(board, again, base, events, note),
        What::Ticks(ticks) => {
            for (offset, (entry, now)) in (base..).zip(ticks) {
                if entry.is_retired() {
                    continue;
                }
                let shard = entry.address.shard();
                note(shard, offset + 1);
                if !again.contains_key(&shard) {
                    board.tell(shard, Journaled { offset, what: Occurrence::Tick(entry, now) });
                }
            }
        }
        What::Turn(entry, turn, _, reply) => {
            let shard = entry.address.shard();
            if entry.is_retired() {
                let _ = reply.send(Err(ControlError::UnknownModel(entry.id.to_string())));
                return;
            }
            note(shard, base + 1);
            expect(board, shard, base, Waiter::Turn(reply));
            if again.contains_key(&shard) {
                return;
            }
            if turn == visu_tility_core::journal::Turn::Retire {
                // Who names it from here on means another one.
                board.directory.unlist(&entry);
                board.directory.leave(&entry.id);
            }
            board.tell(shard, Journaled { offset: base, what: Occurrence::Turn(entry, turn, Name::Goes) });
        }
        What::Plan(plan, fingerprint, _, replies) => {
            for (shard, reply) in replies.into_iter().enumerate() {
                note(shard, base + 1);
                expect(board, shard, base, Waiter::Turn(reply));
                let what = Occurrence::Plan(Arc::clone(&plan), fingerprint);
                if !again.contains_key(&shard) {
                    board.tell(shard, Journaled { offset: base, what });
                }
            }
        }
        What::Probe => {}
        What::Flush(done) => drop(done.send(())),
        What::End => end(board),
    }
}

fn send_events(
    board: &Board,
    again: &mut Resendings,
    base: u64,
    events: Events,
    mut note: impl FnMut(usize, u64),
) {
    let Events { routed, mut permits, pins: _, reply } = events;
    let (mut asked, durable) = match reply {
        Reply::Nobody => (None, None),
        Reply::Durable(reply) => (None, Some(reply)),
        Reply::Handled(reply) => (Some(reply), None),
    };
    for (shard, load) in sort(routed, board.shards()) {
        let single = asked.take();
        let (permit, asked) = (permit(&mut permits, shard), single.is_some());
        let batch = Batch { base, load, permit, reply: None, asked, replayed: false, pins: None };
        note(shard, batch.end());
        if let Some(reply) = single {
            expect(board, shard, base, Waiter::Event(reply));
        }
        if let Some(again) = again.get_mut(&shard) {
            again.leave(board, batch);
        } else {
            board.vectors.sent(batch.load.as_slice(), shard);
            board.send(shard, batch);
        }
    }
    if let Some(durable) = durable {
        let _ = durable.send(Ok(base));
    }
}

fn expect(board: &Board, shard: usize, offset: u64, waiter: Waiter) {
    if let Some(dock) = board.dock(shard) {
        dock.owe(offset, waiter);
    }
}

/// Answers for a piece that is not in the journal.
pub(crate) fn refuse(board: &Board, piece: Piece, refusal: &IngestError) {
    match &piece.what {
        What::Events(events) => {
            for event in &events.routed {
                board.vectors.take(event.value);
            }
        }
        What::Ticks(ticks) => {
            for (entry, _) in ticks {
                let what = Occurrence::TickLost(Arc::clone(entry));
                board.tell(entry.address.shard(), Journaled { offset: 0, what });
            }
        }
        What::End => end(board),
        What::Turn(..) | What::Plan(..) | What::Probe | What::Flush(_) => {}
    }
    piece.what.refuse(refusal);
}

/// Tells a shard that what it saved is kept, and what its subscribers are to be told: on its thread, so that one who is slow
/// holds up no commit.
pub(crate) fn saved(board: &Board, shard: usize, number: u64, told: Vec<Arc<ActionRecord>>) {
    if let Some(dock) = board.dock(shard) {
        if !told.is_empty() {
            // In this order: who sees that it is kept finds it here.
            dock.told.lock().extend(told);
        }
        dock.saved.fetch_max(number, Ordering::AcqRel);
    }
    if let Some(peer) = board.peer(shard) {
        peer.do_send(Poke);
    }
}

/// Has all shards save what keeps the journal long.
pub(crate) fn press(board: &Board) {
    for dock in board.docks() {
        dock.pressed.store(true, Ordering::Release);
    }
    poke(board);
}

/// Has all shards look whether anything is saved any more, so that nobody waits for what is not.
pub(crate) fn poke(board: &Board) {
    for shard in 0..board.shards() {
        if let Some(peer) = board.peer(shard) {
            peer.do_send(Poke);
        }
    }
}

fn end(board: &Board) {
    for shard in 0..board.shards() {
        if let Some(peer) = board.peer(shard) {
            peer.do_send(LastHandleGone);
        }
    }
}

/// Sorts events by shard.
pub(crate) fn sort(routed: Vec<Routed>, shards: usize) -> Vec<(usize, Load)> {
    if shards <= 1 {
        return vec![(0, Load::Many(routed))];
    }
    let mut sorted: Vec<(Vec<Routed>, Vec<u32>)> = vec![Default::default(); shards];
    for (place, event) in routed.into_iter().enumerate() {
        if let Some((shard, places)) = sorted.get_mut(event.address.shard()) {
            shard.push(event);
            places.push(place as u32);
        }
    }
    let parts = sorted.into_iter().enumerate().filter(|(_, (load, _))| !load.is_empty());
    parts.map(|(shard, (load, places))| (shard, Load::Part(load, places))).collect()
}

pub(crate) fn permit(
    permits: &mut Vec<(usize, OwnedSemaphorePermit)>,
    shard: usize,
) -> Option<OwnedSemaphorePermit> {
    let place = permits.iter().position(|(of, _)| *of == shard)?;
    Some(permits.swap_remove(place).1)
}
