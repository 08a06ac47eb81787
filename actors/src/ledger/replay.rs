//! Repeats what the store's journal holds, before anything new is taken: the same entries with the same offsets, a
//! bounded number at a time. The shards leave out what their models' snapshots hold.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use visu_tility_core::journal::{EntryValue, JournalEntry, JournalNames, Turn};
use visu_tility_core::store::{JournalPiece, StoreError};
use visu_tility_core::{IngestError, ModelId, MonitorPlan, SeriesKey};

use crate::admission::Standing;
use crate::board::Board;
use crate::clock::Stopwatch;
use crate::directory::ModelEntry;
use crate::dock::Dock;
use crate::journaled::{Journaled, Name, Occurrence};
use crate::ledger::opening::{kept, missing};
use crate::ledger::scribe::NO_PLAN;
use crate::ledger::{Ledger, Next, dispatch};
use crate::routed::{Batch, Load, Routed};

/// Bytes of the journal that are read at a time.
const READ_BYTES: usize = 4 << 20;
/// Events that are handed over in one.
const EVENTS_MAX: usize = 4_096;
/// How long a full house is given.
const FULL_WAIT: Duration = Duration::from_millis(1);

/// What a recovery did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[must_use]
pub struct RecoveryReport {
    /// Entries of the journal that were repeated, those that snapshots held included.
    pub entries: u64,
    /// Models that they named; one that was put to sleep meanwhile counts each time it is woken.
    pub models: u64,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// Why it could not be carried to its end; then nothing is taken.
    pub failed: Option<String>,
}

/// A recovery that goes on.
pub(crate) struct Replay {
    pub(super) journal: Range<u64>,
    pieces: VecDeque<JournalPiece>,
    piece: Option<Decoded>,
    known: Known,
    report: RecoveryReport,
    since: Stopwatch,
    /// Repeated for one shard.
    pub(super) only: Option<Only>,
}

/// One shard that the journal is repeated for, while the others go on.
pub(crate) struct Only {
    pub(super) shard: usize,
    /// The first entry that it is sent again; those before are read for the names in them.
    pub(super) from: u64,
    /// The offset after the last entry that it was sent again.
    pub(super) sent: u64,
    /// Retirements before this one have taken their model's name off the list before.
    pub(super) live_from: u64,
    /// Who was retired there, and may be listed again only because of this.
    pub(super) retired: Vec<Arc<ModelEntry>>,
    /// Names of models that count until their end is sent again.
    pub(super) ended: BTreeSet<ModelId>,
}

/// A piece of the journal that was read.
struct Decoded {
    entries: VecDeque<(u64, JournalEntry)>,
    end: u64,
}

/// The journal's dictionary.
#[derive(Default)]
struct Known {
    names: JournalNames,
    /// Where the models of its names live, once it was asked.
    homes: Vec<Option<Home>>,
    /// For one shard that is sent the journal again: whose its names are.
    shards: Vec<usize>,
}

/// Where a model lives, and the key of the series that was named with it.
type Home = (Arc<ModelEntry>, SeriesKey);

impl Replay {
    pub(crate) fn new(journal: Range<u64>) -> Self {
        let (pieces, piece, report) = (VecDeque::new(), None, RecoveryReport::default());
        let (known, since) = (Known::default(), Stopwatch::start());
        Self { journal, pieces, piece, known, report, since, only: None }
    }

    /// The first entry that was not repeated yet.
    pub(super) fn position(&self) -> u64 {
        let Some(piece) = &self.piece else { return self.journal.start };
        piece.entries.front().map_or(piece.end.max(self.journal.start), |(offset, _)| *offset)
    }
}

impl Ledger {
    /// Repeats a part of the journal.
    pub(crate) fn repeat(&mut self, mut replay: Replay) -> Next {
        match self.repeat_some(&mut replay) {
            Ok(Some(next)) => {
                self.replay = Some(replay);
                next
            }
            Ok(None) => {
                for shard in 0..self.board.shards() {
                    let what = Occurrence::Caught;
                    self.board.tell(shard, Journaled { offset: 0, what });
                }
                self.recovered(replay, None);
                Next::Now
            }
            Err(error) => {
                // What was acknowledged cannot be shown to its models: nothing is taken on top of that.
                self.recovered(replay, Some(error.to_string()));
                self.fail(match error {
                    StoreError::Io { .. } => StoreError::corrupt("the journal", &error),
                    other => other,
                });
                self.refuse_gathered();
                Next::Now
            }
        }
    }

    pub(super) fn recovered(&mut self, mut replay: Replay, failed: Option<String>) {
        replay.report.micros = u64::try_from(replay.since.micros()).unwrap_or(0);
        replay.report.failed = failed;
        self.board.directory.gate.caught_up();
        tracing::info!(
            entries = replay.report.entries,
            micros = replay.report.micros,
            "the journal was repeated"
        );
        self.recovery.send_replace(Some(replay.report));
    }

    /// `None` when all is repeated.
    pub(super) fn repeat_some(&mut self, replay: &mut Replay) -> Result<Option<Next>, StoreError> {
        if replay.piece.is_none() {
            if replay.pieces.is_empty() {
                if replay.journal.is_empty() {
                    return Ok(None);
                }
                replay.pieces = self.reader.journal(replay.journal.start, READ_BYTES)?.into();
            }
            let Some(piece) = replay.pieces.pop_front() else {
                let (from, to) = (replay.journal.start, replay.journal.end);
                return Err(StoreError::corrupt(
                    "the journal",
                    &format!("offsets {from} to {to} are missing"),
                ));
            };
            let (decoded, begins) =
                decode(&self.board, &piece, &replay.journal, &mut replay.known, replay.only.as_ref())?;
            if begins && replay.only.is_none() {
                self.scribe.begins(piece.first_offset);
            }
            replay.piece = Some(decoded);
        }
        let Some(decoded) = &mut replay.piece else { return Ok(Some(Next::Now)) };
        let Some((offset, entry)) = decoded.entries.front() else {
            replay.journal.start = decoded.end.max(replay.journal.start);
            replay.piece = None;
            return Ok(Some(Next::Now));
        };
        if *offset >= replay.journal.end {
            // Read along with what is wanted, of one shard that is sent the journal as far as the others were.
            return Ok(None);
        }
        if matches!(entry, JournalEntry::Event { .. }) {
            let Replay { journal, known, report, only, .. } = replay;
            return self.repeat_events(decoded, known, report, journal.end, only.as_mut());
        }
        let offset = *offset;
        let Some((_, entry)) = decoded.entries.pop_front() else { return Ok(Some(Next::Now)) };
        replay.report.entries += 1;
        self.repeat_other(&mut replay.known, offset, &entry, &mut replay.report, replay.only.as_mut())?;
        Ok(Some(Next::Now))
    }

    /// Hands over a run of events as far as there is room.
    fn repeat_events(
        &mut self,
        decoded: &mut Decoded,
        known: &mut Known,
        report: &mut RecoveryReport,
        end: u64,
        only: Option<&mut Only>,
    ) -> Result<Option<Next>, StoreError> {
        let Some(base) = decoded.entries.front().map(|(offset, _)| *offset) else {
            return Ok(Some(Next::Now));
        };
        let within = |offset: u64| only.is_none() || offset < end;
        let run = decoded
            .entries
            .iter()
            .take_while(|(offset, entry)| within(*offset) && matches!(entry, JournalEntry::Event { .. }));
        let run = run.count().min(EVENTS_MAX);
        if !self.has_room_for_more(only.as_deref()) {
            return Ok(Some(Next::Within(FULL_WAIT)));
        }
        let mut routed = Vec::with_capacity(run);
        let mut places = Vec::with_capacity(run);
        let mut pins = Vec::new();
        for place in 0..run {
            let Some((offset, JournalEntry::Event { name, at, value })) = decoded.entries.get(place) else {
                break;
            };
            let (name, at, Ok(offset)) = (*name, *at, u32::try_from(*offset - base)) else { break };
            let value = match value {
                EntryValue::Number(value) => *value,
                EntryValue::Missing => f64::NAN,
                EntryValue::Vector(vector) => match self.board.vectors.put_again(vector) {
                    Ok(ticket) => ticket,
                    Err(_) => break,
                },
            };
            let Some((entry, key)) = resolve(&self.board, known, name, report, only.as_deref())? else {
                break;
            };
            if pins.last().is_none_or(|last| !Arc::ptr_eq(last, &entry)) {
                pins.push(Arc::clone(&entry));
            }
            places.push(offset);
            routed.push(Routed { address: entry.address, generation: entry.generation, key, at, value });
        }
        if routed.is_empty() {
            return Ok(Some(Next::Within(FULL_WAIT)));
        }
        report.entries += routed.len() as u64;
        decoded.entries.drain(..routed.len());
        let pins: Option<Arc<[_]>> = Some(pins.into());
        let batch =
            |load, pins| Batch { base, load, permit: None, reply: None, asked: false, replayed: true, pins };
        if let Some(only) = only {
            let batch = batch(Load::Part(routed, places), pins);
            only.sent = batch.end();
            self.board.vectors.sent(batch.load.as_slice(), only.shard);
            self.board.send_again(only.shard, batch);
            return Ok(Some(Next::Now));
        }
        for (shard, load) in dispatch::sort(routed, self.board.shards()) {
            let batch = batch(load, pins.clone());
            self.note_sent(shard, batch.end());
            self.board.vectors.sent(batch.load.as_slice(), shard);
            self.board.send(shard, batch);
        }
        Ok(Some(Next::Now))
    }

    /// Whether no shard is far behind what it was sent. Credits are no measure here: who publishes while the journal is
    /// repeated holds them until that is done.
    fn has_room_for_more(&self, only: Option<&Only>) -> bool {
        let near = |(dock, sent): (Arc<Dock>, &u64)| {
            sent.saturating_sub(dock.position.load(Ordering::Acquire)) <= EVENTS_MAX as u64
        };
        match only {
            Some(only) => self.board.dock(only.shard).is_none_or(|dock| near((dock, &only.sent))),
            None => self.board.docks().zip(&self.sent).all(near),
        }
    }

    /// Hands over an entry that is no event.
    fn repeat_other(
        &mut self,
        known: &mut Known,
        offset: u64,
        entry: &JournalEntry,
        report: &mut RecoveryReport,
        mut only: Option<&mut Only>,
    ) -> Result<(), StoreError> {
        match *entry {
            JournalEntry::Tick { name, now } => {
                if let Some((entry, _)) = resolve(&self.board, known, name, report, only.as_deref())? {
                    self.tell_again(entry.address.shard(), offset, Occurrence::Tick(entry, now), only);
                }
            }
            JournalEntry::Turn { name, turn, .. } => {
                if let Some((entry, _)) = resolve(&self.board, known, name, report, only.as_deref())? {
                    let shard = entry.address.shard();
                    // It is off the list already, and who is listed by that name is the one who came after.
                    let stays = only.as_deref_mut().filter(|only| offset < only.live_from);
                    let kept = if stays.is_some() { Name::Stays } else { Name::Goes };
                    if let Some(only) = stays.filter(|_| turn == Turn::Retire) {
                        only.retired.push(Arc::clone(&entry));
                    } else if turn == Turn::Retire {
                        // As when it happened: who is named from here on is another one.
                        self.board.directory.unlist(&entry);
                        self.board.directory.leave(&entry.id);
                    }
                    self.tell_again(shard, offset, Occurrence::Turn(entry, turn, kept), only);
                }
            }
            JournalEntry::Plan { fingerprint: NO_PLAN, .. } | JournalEntry::Event { .. } => {}
            JournalEntry::Plan { fingerprint, .. } => {
                let plan = self.plan_again(fingerprint)?;
                let shards = only.as_ref().map_or(0..self.board.shards(), |only| only.shard..only.shard + 1);
                for shard in shards {
                    let what = Occurrence::Plan(Arc::clone(&plan), fingerprint);
                    self.tell_again(shard, offset, what, only.as_deref_mut());
                }
            }
        }
        Ok(())
    }

    /// The plan that came into force: the present one where it is that, so that models keep their own observers.
    fn plan_again(&mut self, fingerprint: u64) -> Result<Arc<MonitorPlan>, StoreError> {
        let (own, plan) = &self.own;
        if *own == fingerprint {
            return Ok(Arc::clone(plan));
        }
        let plan = kept(&mut *self.reader, fingerprint, plan)?;
        plan.ok_or_else(|| missing(fingerprint))
    }

    fn tell_again(&mut self, shard: usize, offset: u64, what: Occurrence, only: Option<&mut Only>) {
        match only {
            Some(only) => only.sent = offset + 1,
            None => self.note_sent(shard, offset + 1),
        }
        self.board.tell(shard, Journaled { offset, what });
    }

    fn note_sent(&mut self, shard: usize, end: u64) {
        if let Some(sent) = self.sent.get_mut(shard) {
            *sent = end;
        }
    }
}

/// Reads a piece, and says whether it begins a dictionary.
fn decode(
    board: &Board,
    piece: &JournalPiece,
    wanted: &Range<u64>,
    known: &mut Known,
    only: Option<&Only>,
) -> Result<(Decoded, bool), StoreError> {
    let what = || format!("the journal at offset {}", piece.first_offset);
    let Known { names, homes, shards } = known;
    let reader = names.read(piece).map_err(|error| StoreError::corrupt(what(), &error))?;
    let begins = reader.begins_dictionary();
    if begins {
        homes.clear();
        shards.clear();
    }
    homes.resize(reader.names().len(), None);
    let Some(only) = only else {
        let entries = reader.entries().filter(|(offset, _)| wanted.contains(offset)).collect();
        return Ok((Decoded { entries, end: piece.end() }, begins));
    };
    let new = reader.names().get(shards.len()..).unwrap_or_default();
    shards.extend(new.iter().map(|name| board.directory.shard_of(name.model.as_str())));
    let here = |(offset, entry): &(u64, JournalEntry)| {
        *offset >= only.from
            && match entry {
                JournalEntry::Plan { .. } => true,
                JournalEntry::Event { name, .. }
                | JournalEntry::Tick { name, .. }
                | JournalEntry::Turn { name, .. } => shards.get(*name) == Some(&only.shard),
            }
    };
    Ok((Decoded { entries: reader.entries().filter(here).collect(), end: piece.end() }, begins))
}

/// Where the model of a name lives, made known on the first call, and again when it was retired meanwhile.
fn resolve(
    board: &Board,
    known: &mut Known,
    name: usize,
    report: &mut RecoveryReport,
    only: Option<&Only>,
) -> Result<Option<Home>, StoreError> {
    if let Some(Some(home)) = known.homes.get(name)
        && !home.0.is_retired()
    {
        return Ok(Some(home.clone()));
    }
    let damaged = |error: &dyn std::fmt::Display| StoreError::corrupt("the journal", &error.to_string());
    let Some(names) = known.names.names().get(name) else { return Ok(None) };
    let entry = board.directory.with(names.model.as_str(), Arc::clone);
    report.models += u64::from(entry.is_none());
    let as_another = only.is_some_and(|only| only.ended.contains(&names.model));
    let standing = if as_another { Standing::Counted } else { Standing::Unsettled };
    let again = || board.directory.insert_again(&names.model, standing);
    let entry = entry.map_or_else(again, Ok).map_err(|error: IngestError| damaged(&error))?;
    if as_another {
        entry.begins_as_another();
    }
    let key = match &names.series {
        Some((version, kind)) => {
            // None gives way that a shard has yet to come to.
            let learnt = entry.learn(version, kind, board.directory.series_max() + 2 * EVENTS_MAX, None);
            learnt.map_err(|error| damaged(&error))?
        }
        None => {
            SeriesKey::of(&visu_tility_core::Version::unversioned(), &visu_tility_core::MetricKind::Accuracy)
        }
    };
    let resolved = (entry, key);
    if let Some(slot) = known.homes.get_mut(name) {
        *slot = Some(resolved.clone());
    }
    Ok(Some(resolved))
}

/// Tells who waits when the recovery has come to its end.
pub(crate) type Recovery = watch::Sender<Option<RecoveryReport>>;
