//! Hands what is durable to the shards, in the order of its offsets.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedSemaphorePermit;
use visu_tility_core::IngestError;

use crate::board::Board;
use crate::control::ControlError;
use crate::journaled::{Journaled, Occurrence};
use crate::ledger::inbox::{Events, Piece, Reply, What};
use crate::routed::{Batch, Load, Routed};
use crate::shard::{LastHandleGone, Poke};

/// Sends a piece that is in the journal; `sent` is, for each shard, the offset after the last entry it was sent.
pub(crate) fn send(board: &Board, sent: &mut [u64], piece: Piece) {
    let base = piece.base;
    let mut note = |shard: usize, end: u64| {
        if let Some(sent) = sent.get_mut(shard) {
            *sent = end;
        }
    };
    match piece.what {
        What::Events(events) => {
            let Events { routed, mut permits, pins: _, reply } = events;
            let (single, durable) = match reply {
                Reply::Nobody => (None, None),
                Reply::Durable(reply) => (None, Some(reply)),
                Reply::Handled(reply) => (Some(reply), None),
            };
            let mut single = single;
            for (shard, load) in sort(routed, board.docks.len()) {
                let batch = Batch {
                    base,
                    load,
                    permit: permit(&mut permits, shard),
                    reply: single.take(),
                    replayed: false,
                    pins: None,
                };
                note(shard, batch.end());
                board.send(shard, batch);
            }
            if let Some(durable) = durable {
                let _ = durable.send(Ok(base));
            }
        }
        What::Ticks(ticks) => {
            for (offset, (entry, now)) in (base..).zip(ticks) {
                if entry.is_retired() {
                    continue;
                }
                note(entry.address.shard(), offset + 1);
                board.tell(entry.address.shard(), Journaled { offset, what: Occurrence::Tick(entry, now) });
            }
        }
        What::Turn(entry, turn, _, reply) => {
            let shard = entry.address.shard();
            if entry.is_retired() {
                let _ = reply.send(Err(ControlError::UnknownModel(entry.id.to_string())));
                return;
            }
            note(shard, base + 1);
            if turn == visu_tility_core::journal::Turn::Retire {
                // Who names it from here on means another one.
                board.directory.unlist(&entry);
                board.directory.leave(&entry.id);
            }
            board.tell(shard, Journaled { offset: base, what: Occurrence::Turn(entry, turn, Some(reply)) });
        }
        What::Plan(plan, fingerprint, _, replies) => {
            for (shard, reply) in replies.into_iter().enumerate() {
                note(shard, base + 1);
                let what = Occurrence::Plan(Arc::clone(&plan), fingerprint, Some(reply));
                board.tell(shard, Journaled { offset: base, what });
            }
        }
        What::Probe => {}
        What::Flush(done) => drop(done.send(())),
        What::End => end(board),
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

/// Tells a shard that what it saved is kept.
pub(crate) fn saved(board: &Board, shard: usize, number: u64) {
    if let Some(dock) = board.docks.get(shard) {
        dock.saved.fetch_max(number, Ordering::AcqRel);
    }
    if let Some(peer) = board.peer(shard) {
        peer.do_send(Poke);
    }
}

/// Has all shards save what keeps the journal long.
pub(crate) fn press(board: &Board) {
    for dock in &board.docks {
        dock.pressed.store(true, Ordering::Release);
    }
    poke(board);
}

/// Has all shards look whether anything is saved any more, so that nobody waits for what is not.
pub(crate) fn poke(board: &Board) {
    for shard in 0..board.docks.len() {
        if let Some(peer) = board.peer(shard) {
            peer.do_send(Poke);
        }
    }
}

fn end(board: &Board) {
    for shard in 0..board.docks.len() {
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
