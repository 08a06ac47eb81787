//! Writes what was gathered as pieces of the journal, and mends routes whose model has changed its place.

use std::sync::Arc;

use visu_tility_core::journal::{JournalWriter, SeriesToken, Turn, Unwritten};
use visu_tility_core::store::JournalPiece;
use visu_tility_core::{SeriesKey, Timestamp};

use crate::admission::Standing;
use crate::board::Board;
use crate::directory::ModelEntry;
use crate::ledger::inbox::{Events, What};
use crate::routed::Routed;
use crate::vectors::is_ticket;

/// The fingerprint of an entry that means nothing: it stands for an event whose model is no more, or asked whether the store
/// takes anything.
pub(crate) const NO_PLAN: u64 = 0;

/// Writes entries, a piece after the other.
pub(crate) struct Scribe {
    writer: JournalWriter,
    /// The models of the events that were written: they keep their places until the events are handled.
    named: Vec<Arc<ModelEntry>>,
}

impl Scribe {
    pub(crate) fn new() -> Self {
        Self { writer: JournalWriter::new(), named: Vec::new() }
    }

    /// The models of the events that were written since this was asked last.
    pub(crate) fn named(&mut self) -> Arc<[Arc<ModelEntry>]> {
        std::mem::take(&mut self.named).into()
    }

    /// Writes what was gathered; `next` is the offset of its first entry.
    pub(crate) fn write(
        &mut self,
        board: &Board,
        what: &mut What,
        next: &mut u64,
        out: &mut Vec<JournalPiece>,
    ) {
        match what {
            What::Events(Events { routed, pins, .. }) => {
                for event in routed {
                    self.event(board, event, pins, next, out);
                }
            }
            What::Ticks(ticks) => {
                for (entry, now) in ticks {
                    if entry.is_retired() {
                        self.nothing(next, out);
                        continue;
                    }
                    self.about(entry, next, out, |writer, token| writer.tick(token, *now));
                }
            }
            What::Turn(entry, turn, at, _) => {
                if entry.is_retired() {
                    return self.nothing(next, out);
                }
                let turn: Turn = *turn;
                self.about(entry, next, out, |writer, token| writer.turn(token, *at, turn));
            }
            What::Plan(_, fingerprint, at, _) => {
                let fingerprint = *fingerprint;
                self.until_written(next, out, |writer| writer.plan(*at, fingerprint));
            }
            What::Probe => self.nothing(next, out),
            What::Flush(_) | What::End => {}
        }
    }

    /// Makes a piece of what was written since the last one.
    pub(crate) fn finish(&mut self, next: &mut u64, out: &mut Vec<JournalPiece>) {
        if let Some(piece) = self.writer.finish(*next) {
            *next = piece.end();
            out.push(piece);
        }
    }

    fn event(
        &mut self,
        board: &Board,
        event: &mut Routed,
        pins: &[Arc<ModelEntry>],
        next: &mut u64,
        out: &mut Vec<JournalPiece>,
    ) {
        // Twice at most: it has a name then, and a new piece has room.
        for _ in 0..4 {
            let token = SeriesToken(event.token(), event.key.get());
            let written = if is_ticket(event.value)
                && let Some(vector) = board.vectors.peek(event.value)
            {
                self.writer.vector(token, event.at, &vector)
            } else {
                self.writer.value(token, event.at, event.value)
            };
            match written {
                Ok(()) => return,
                Err(Unwritten::Full) => self.finish(next, out),
                Err(Unwritten::Unnamed) if self.name(board, event, pins) => {}
                Err(_) => break,
            }
        }
        // Nobody it could be shown to, now or in a replay.
        event.astray();
        self.nothing(next, out);
    }

    /// Writes an entry that changes nothing, for what nobody is there any more.
    fn nothing(&mut self, next: &mut u64, out: &mut Vec<JournalPiece>) {
        self.until_written(next, out, |writer| writer.plan(Timestamp::EPOCH, NO_PLAN));
    }

    /// Names an event's series, of its model where that lives now; false when there is none.
    fn name(&mut self, board: &Board, event: &mut Routed, pins: &[Arc<ModelEntry>]) -> bool {
        if !event.at.in_bounds() {
            return false;
        }
        let (token, key) = (event.token(), event.key);
        let here = board.directory.at(event.address);
        let here = here.filter(|entry| entry.token() == token && !entry.is_retired());
        if let Some(entry) = here
            && let Some(named) = self.write_name(&entry, token, key)
        {
            self.named.push(entry);
            return named;
        }
        // Retired while the event was on its way: it is of the model that takes its place.
        let Some(gone) = pins.iter().find(|entry| entry.token() == token) else { return false };
        let Some((version, kind)) = gone.names(key) else { return false };
        // It was admitted when the event was published.
        let Ok(present) = board.directory.insert_again(&gone.id, Standing::Renewed) else { return false };
        if present.learn(&version, &kind, board.directory.series_max(), None).is_err() {
            return false;
        }
        (event.address, event.generation) = (present.address, present.generation);
        let named = self.write_name(&present, event.token(), key).unwrap_or(false);
        self.named.push(present);
        named
    }

    /// Names a series; `None` when its names are not known. A piece that is full is finished by the caller.
    fn write_name(&mut self, entry: &ModelEntry, token: u64, key: SeriesKey) -> Option<bool> {
        let token = SeriesToken(token, key.get());
        let writer = &mut self.writer;
        entry.with_names(key, |version, kind| {
            !matches!(writer.name(token, &entry.id, Some((version, kind))), Err(Unwritten::Vector(_)))
        })
    }

    /// Writes an entry about a model as a whole.
    fn about(
        &mut self,
        entry: &ModelEntry,
        next: &mut u64,
        out: &mut Vec<JournalPiece>,
        write: impl Fn(&mut JournalWriter, SeriesToken) -> Result<(), Unwritten>,
    ) {
        let token = SeriesToken(entry.token(), 0);
        self.until_written(next, out, |writer| {
            writer.name(token, &entry.id, None)?;
            write(writer, token)
        });
    }

    /// Writes, finishing the piece when that is full.
    fn until_written(
        &mut self,
        next: &mut u64,
        out: &mut Vec<JournalPiece>,
        write: impl Fn(&mut JournalWriter) -> Result<(), Unwritten>,
    ) {
        if write(&mut self.writer).is_err() {
            self.finish(next, out);
            // The first of an empty piece always finds room.
            let _ = write(&mut self.writer);
        }
    }
}
