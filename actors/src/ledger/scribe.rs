//! Writes what was gathered as pieces of the journal, and mends routes whose model has changed its place.

use std::collections::VecDeque;
use std::sync::Arc;

use visu_tility_core::Timestamp;
use visu_tility_core::journal::{JournalWriter, SeriesToken, Turn, Unwritten};
use visu_tility_core::store::JournalPiece;

use crate::admission::Standing;
use crate::board::Board;
use crate::directory::{ModelEntry, Pins};
use crate::ledger::inbox::{Events, What};
use crate::routed::Routed;
use crate::vectors::is_ticket;

/// The fingerprint of an entry that means nothing: it stands for an event whose model is no more, or asked whether the store
/// takes anything.
pub(crate) const NO_PLAN: u64 = 0;

/// Names up to which a dictionary is begun afresh so that the journal can be cut there.
const NAMES_FEW: usize = 4_096;

/// Names up to which where they are is near enough not to be touched ahead, and events for which it is.
const NAMES_NEAR: usize = 4_096;
const AHEAD: usize = 32;

/// Writes entries, a piece after the other.
pub(crate) struct Scribe {
    writer: JournalWriter,
    /// Where the dictionaries begin that the journal holds, in order: it is cut at one of these.
    begins: VecDeque<u64>,
}

impl Scribe {
    pub(crate) fn new() -> Self {
        Self { writer: JournalWriter::new(), begins: VecDeque::new() }
    }

    /// Takes note that a dictionary begins in the journal that is repeated.
    pub(crate) fn begins(&mut self, offset: u64) {
        self.begins.push_back(offset);
    }

    /// Begins a dictionary if that costs little, so that the journal can be cut there. Called now and then.
    pub(crate) fn begin_cheaply(&mut self) {
        if self.writer.entries() == 0 && self.writer.names() <= NAMES_FEW {
            self.writer.begin_dictionary();
        }
    }

    /// Where the journal may be cut so that it holds what lies from `low` on and begins with a dictionary; `end` is the
    /// offset after its last entry. `now` has it cut at its end if nothing of it is needed.
    pub(crate) fn cut(&mut self, low: u64, end: u64, now: bool) -> Option<u64> {
        if now && low >= end && self.writer.entries() == 0 {
            self.writer.begin_dictionary();
        }
        if low >= end && self.writer.dictionary_begun().is_none() {
            return Some(end);
        }
        self.begin_before(low)
    }

    /// Where the last dictionary begins that names what lies from `low` on.
    pub(crate) fn begin_before(&self, low: u64) -> Option<u64> {
        self.begins.iter().rev().find(|begin| **begin <= low).copied()
    }

    /// Takes note that the journal was cut.
    pub(crate) fn was_cut(&mut self, at: u64) {
        while self.begins.front().is_some_and(|begin| *begin < at) {
            self.begins.pop_front();
        }
    }

    /// Takes note that what was written from `end` on may not have come into the journal.
    pub(crate) fn commit_failed(&mut self, end: u64) {
        while self.begins.back().is_some_and(|begin| *begin >= end) {
            self.begins.pop_back();
        }
        self.writer.abandon();
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
                let kept = board.directory.holds(pins);
                let mut done = self.run(board, routed, kept, *next);
                while let Some(event) = routed.get_mut(done) {
                    self.event(board, event, pins, next, out);
                    done += 1;
                    done += self.run(board, routed.get(done..).unwrap_or_default(), kept, *next);
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
        let begins = self.writer.dictionary_begun().is_none();
        if let Some(piece) = self.writer.finish(*next) {
            if begins {
                self.begins.push_back(piece.first_offset);
            }
            *next = piece.end();
            out.push(piece);
        }
    }

    /// Writes events that need nothing but a row; answers how many, up to the first that needs more. `kept` are those whose
    /// models keep their places anyway.
    fn run(&mut self, board: &Board, routed: &[Routed], kept: bool, next: u64) -> usize {
        let far = self.writer.names() > NAMES_NEAR;
        let places = (!kept && !routed.is_empty()).then(|| board.directory.hold_places());
        let mut done = 0;
        while let Some(rest) = routed.get(done..).filter(|rest| !rest.is_empty()) {
            let chunk = rest.get(..AHEAD).unwrap_or(rest);
            if far {
                let touched = chunk.iter().fold(0, |all, event| all ^ self.writer.touch(token_of(event)));
                std::hint::black_box(touched);
            }
            let first = next + self.writer.entries() as u64;
            let plain = |(event, offset): &(&Routed, u64)| {
                let here =
                    || places.as_ref().is_none_or(|it| it.keep(event.address, event.generation, *offset));
                event.at.in_bounds() && !is_ticket(event.value) && here()
            };
            let plain = chunk.iter().zip(first..).take_while(plain);
            let written =
                self.writer.values(plain.map(|(event, _)| (token_of(event), event.at, event.value)));
            done += written;
            if written < chunk.len() {
                break;
            }
        }
        done
    }

    /// Writes an event that may need a name, a vector, another piece or another place.
    fn event(
        &mut self,
        board: &Board,
        event: &mut Routed,
        pins: &Pins,
        next: &mut u64,
        out: &mut Vec<JournalPiece>,
    ) {
        if event.at.in_bounds()
            && let Some(entry) = self.home(board, event, pins, *next)
        {
            // Twice at most: it has a name then, and a new piece has room.
            for _ in 0..4 {
                match self.row(board, event) {
                    Ok(()) => return,
                    Err(Unwritten::Full) => self.finish(next, out),
                    Err(Unwritten::Unnamed) => match self.name(&entry, event) {
                        Some(Ok(())) => {}
                        Some(Err(Unwritten::Full)) => self.finish(next, out),
                        _ => break,
                    },
                    Err(_) => break,
                }
            }
        }
        // Nobody it could be shown to, now or in a replay.
        event.astray();
        self.nothing(next, out);
    }

    fn row(&mut self, board: &Board, event: &Routed) -> Result<(), Unwritten> {
        let token = token_of(event);
        if is_ticket(event.value)
            && let Some(vector) = board.vectors.peek(event.value)
        {
            return self.writer.vector(token, event.at, &vector);
        }
        self.writer.value(token, event.at, event.value)
    }

    /// Writes an entry that changes nothing, for what nobody is there any more.
    fn nothing(&mut self, next: &mut u64, out: &mut Vec<JournalPiece>) {
        self.until_written(next, out, |writer| writer.plan(Timestamp::EPOCH, NO_PLAN));
    }

    /// The model of an event where that lives now, which keeps its place until the event is handled; `None` when there is
    /// none.
    fn home(&self, board: &Board, event: &mut Routed, pins: &Pins, next: u64) -> Option<Arc<ModelEntry>> {
        let offset = next + self.writer.entries() as u64;
        let keep =
            |event: &Routed| board.directory.hold_places().keep(event.address, event.generation, offset);
        let (token, key) = (event.token(), event.key);
        if keep(event) {
            return board.directory.at(event.address).filter(|entry| entry.token() == token);
        }
        // Retired while the event was on its way: it is of the model that takes its place.
        let unlisted = board.directory.at(event.address).filter(|entry| entry.token() == token);
        let gone = unlisted.or_else(|| pins.departed(token))?;
        let (version, kind) = gone.names(key)?;
        // It was admitted when the event was published.
        let present = board.directory.insert_again(&gone.id, Standing::Renewed).ok()?;
        present.learn(&version, &kind, board.directory.series_max(), None).ok()?;
        (event.address, event.generation) = (present.address, present.generation);
        keep(event).then_some(present)
    }

    /// Names an event's series; `None` when its names are not known.
    fn name(&mut self, entry: &ModelEntry, event: &Routed) -> Option<Result<(), Unwritten>> {
        let (token, writer) = (token_of(event), &mut self.writer);
        entry.with_names(event.key, |version, kind| writer.name(token, &entry.id, Some((version, kind))))
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

/// What stands for an event's series while pieces are written.
#[inline]
const fn token_of(event: &Routed) -> SeriesToken {
    SeriesToken(event.token(), event.key.get())
}
