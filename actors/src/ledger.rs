//! The ledger: everything that is to outlive the process goes through it, in one order.
//!
//! It gathers what publishers, shards and sinks leave in its `inbox`, has the `scribe` write it as pieces of the journal,
//! commits, and only then hands events to the shards (`dispatch`) and decisions to those they are for (`delivery`). When it
//! starts, it repeats what the store's journal holds (`replay`); a shard that is stuck it has replaced (`takeover`), and
//! remembers whom it was stuck in (`culprit`). While the store takes nothing, `failing`
//! answers; what it refuses for good `apart` keeps from holding up the rest, and so does `room` with what the outbox has no
//! room for. It does not wait by itself: [`Ledger::turn`]
//! does what there is to do and says when to come back; `driver` calls it, on a thread of its own or as a task of the arbiter.

mod apart;
pub(crate) mod clock;
pub(crate) mod culprit;
mod cutting;
pub(crate) mod delivery;
pub(crate) mod dispatch;
pub(crate) mod driver;
mod due;
pub(crate) mod durably;
mod failing;
pub(crate) mod inbox;
pub(crate) mod opening;
mod patience;
pub(crate) mod replay;
mod room;
pub(crate) mod scribe;
pub(crate) mod status;
mod survey;
pub(crate) mod takeover;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use visu_tility_core::journal::Turn;
use visu_tility_core::store::{Commit, Committed, JournalPiece, Settlement, Store, StoreError, StoreReader};
use visu_tility_core::{ModelId, MonitorPlan, Timestamp};

use crate::board::Board;
use crate::clock::Stopwatch;
use crate::directory::Passage;
use crate::durability::DurabilityPolicy;
use crate::ledger::apart::Apart;
use crate::ledger::clock::Dial;
use crate::ledger::culprit::Culprits;
use crate::ledger::delivery::Delivery;
use crate::ledger::failing::Failing;
use crate::ledger::inbox::{Events, Inbox, Piece, What};
use crate::ledger::opening::PlanLog;
use crate::ledger::patience::Patience;
use crate::ledger::replay::{Recovery, RecoveryReport, Replay};
use crate::ledger::room::Room;
use crate::ledger::scribe::Scribe;
use crate::ledger::status::Figures;
use crate::ledger::survey::Survey;
use crate::ledger::takeover::{Resendings, Takeover, sooner};
use crate::nursery::Nursery;
use crate::outlet::Outlet;
use crate::saving::Save;

/// Settlements of one commit.
const SETTLED_MAX: usize = 16_384;
/// How often it is looked whether models that sleep are due, and whether the shards have ended.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const END_LOOK_EVERY: Duration = Duration::from_millis(2);

/// Dictionaries of the journal that are begun, when that is cheap, while each state is saved once.
const BEGINS_PER_SAVE: u32 = 4;

/// When the ledger is to be called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// At once.
    Now,
    /// When something comes, or after so long.
    Within(Duration),
    /// Never: the store is closed.
    Over,
}

/// The one who writes to the store.
pub(crate) struct Ledger {
    store: Option<Box<dyn Store>>,
    reader: Box<dyn StoreReader>,
    board: Arc<Board>,
    inbox: Arc<Inbox>,
    outlet: Arc<Outlet>,
    policy: DurabilityPolicy,
    watch: Stopwatch,
    scribe: Scribe,
    commit: Commit,
    /// What is being committed.
    gathered: Vec<Piece>,
    saves: Vec<Save>,
    apart: Apart,
    settled: Vec<Settlement>,
    /// When the first of what waits was seen.
    since: Option<i64>,
    next_offset: u64,
    /// A commit of which it is not known whether it is there: what the next offset is if it is.
    doubt: Option<u64>,
    failing: Option<Failing>,
    /// For each shard, the offset after the last entry that it was sent.
    sent: Vec<u64>,
    truncated: u64,
    /// Events under way to the shards that came without names, with the offset after the last of each.
    passages: VecDeque<(u64, Passage)>,
    replay: Option<Replay>,
    /// Whether the journal of the life before was repeated to its end: until then none of it is cut.
    repeated: bool,
    /// What a recovery came to that the shards have yet to come to the end of, and since when it went on.
    folding: Option<(RecoveryReport, Stopwatch)>,
    delivery: Delivery,
    plans: PlanLog,
    survey: Survey,
    culprits: Culprits,
    room: Room,
    /// Shards that are to be replaced with the next commit.
    takeovers: Vec<Takeover>,
    /// Shards that are sent their journal again.
    resending: Resendings,
    /// What shards are begun anew with; `None` where there are no threads for it.
    nursery: Option<Nursery>,
    figures: Arc<Figures>,
    dial: Dial,
    ending: bool,
    /// The last who was due: whoever falls asleep later is due later, unless the clock was set back or a tick was lost.
    due: Option<(Timestamp, ModelId)>,
    /// With what cannot be read of them. They are looked for at their own pauses.
    undue: Patience,
    /// The time at which it was looked last who is due.
    looked: Timestamp,
    /// The offset after the ticks of those who were woken last because they were due.
    due_end: u64,
    /// When it is looked again, by the stopwatch.
    look_at: i64,
    /// When the journal is cut by itself, by the stopwatch.
    trim_at: i64,
    /// When a dictionary is begun so that the journal can be cut there, by the stopwatch.
    begin_at: i64,
    recovery: Recovery,
    /// The plan that the builder was given, under its fingerprint.
    own: (u64, Arc<MonitorPlan>),
}

/// What a ledger is made of.
pub(crate) struct LedgerParts {
    pub(crate) store: Box<dyn Store>,
    pub(crate) reader: Box<dyn StoreReader>,
    pub(crate) board: Arc<Board>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) outlet: Arc<Outlet>,
    pub(crate) policy: DurabilityPolicy,
    pub(crate) plans: PlanLog,
    pub(crate) culprits: Culprits,
    pub(crate) nursery: Option<Nursery>,
    /// What the journal holds: from the first offset up to the next one.
    pub(crate) journal: std::ops::Range<u64>,
    pub(crate) figures: Arc<Figures>,
    pub(crate) recovery: Recovery,
    pub(crate) own: (u64, Arc<MonitorPlan>),
}

impl Ledger {
    pub(crate) fn new(parts: LedgerParts) -> Self {
        let LedgerParts { store, reader, board, inbox, outlet, policy, plans, journal, figures, .. } = parts;
        let (culprits, nursery, recovery, own) = (parts.culprits, parts.nursery, parts.recovery, parts.own);
        let shards = board.shards();
        Self {
            store: Some(store),
            reader,
            board,
            inbox,
            outlet,
            policy,
            watch: Stopwatch::start(),
            scribe: Scribe::new(),
            commit: Commit::default(),
            gathered: Vec::new(),
            saves: Vec::new(),
            apart: Apart::default(),
            settled: Vec::new(),
            since: None,
            next_offset: journal.end,
            doubt: None,
            failing: None,
            sent: vec![journal.start; shards],
            truncated: journal.start,
            passages: VecDeque::new(),
            replay: Some(Replay::new(journal)),
            repeated: false,
            folding: None,
            delivery: Delivery::new(Arc::clone(&figures)),
            plans,
            survey: Survey::default(),
            culprits,
            room: Room::default(),
            takeovers: Vec::new(),
            resending: Resendings::new(),
            nursery,
            figures,
            dial: Dial::default(),
            ending: false,
            due: None,
            undue: Patience::default(),
            looked: Timestamp::EPOCH,
            due_end: 0,
            look_at: 0,
            trim_at: 0,
            begin_at: 0,
            recovery,
            own,
        }
    }

    pub(crate) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// Does what there is to do.
    pub(crate) fn turn(&mut self) -> Next {
        if self.store.is_none() {
            return Next::Over;
        }
        self.tell_recovered();
        let now = self.watch.micros();
        self.end_passages();
        if let Some(wait) = self.pause(now) {
            self.answer_while_failing();
            if self.ending {
                return self.give_up();
            }
            // What is in the journal is repeated meanwhile.
            return match self.replay.take() {
                Some(replay) => sooner(self.repeat(replay), Next::Within(wait)),
                None => Next::Within(wait),
            };
        }
        if self.doubt.is_some() {
            self.resolve_doubt();
            return Next::Now;
        }
        // A shard that is sent its journal again is brought to where the others are first.
        let resent = self.resend_some();
        if self.is_lost() {
            return Next::Now;
        }
        if let Some(replay) = self.replay.take_if(|_| resent.is_none()) {
            let next = self.repeat(replay);
            // Saves of what was repeated go on meanwhile.
            if self.replay.is_none() || !self.has_saves() {
                return next;
            }
        } else if self.replay.is_none() {
            self.look_for_due(now);
            self.look_for_plans(now);
            if !self.makes_room()
                && let Some(wait) = self.gather(now)
            {
                return resent.map_or(Next::Within(wait), |resent| sooner(resent, Next::Within(wait)));
            }
        }
        self.take_rest();
        if self.compose() {
            self.write();
            return Next::Now;
        }
        // What was gathered needed no commit.
        self.carry_on(&Committed::default());
        if self.apart.is_busy() || self.probe() {
            return Next::Now;
        }
        match resent {
            Some(resent) => sooner(resent, Next::Within(LOOK_EVERY)),
            None => self.idle(),
        }
    }

    /// Takes pieces, unless more are to be waited for: then says how long. All that waits shares the commit, as far as it
    /// has room.
    fn gather(&mut self, now: i64) -> Option<Duration> {
        if !self.gathered.is_empty() || self.apart.is_busy() {
            return None;
        }
        let Self { policy, gathered, since, resending, .. } = self;
        self.inbox.with(|queue| {
            let hurry = queue.pieces.iter().any(|piece| !matches!(piece.what, What::Events(_)));
            if !queue.pieces.is_empty() && queue.entries < policy.gather_events && !hurry {
                let waited = u64::try_from(now - *since.get_or_insert(now)).unwrap_or(0);
                let left = policy.gather_max.saturating_sub(Duration::from_micros(waited));
                if !left.is_zero() {
                    return Some(left);
                }
            }
            let mut entries = 0;
            while entries < DurabilityPolicy::COMMIT_ENTRIES_MAX {
                // Nobody is sent home who is still sent what came before.
                let end = matches!(queue.pieces.front(), Some(Piece { what: What::End, .. }));
                if end && !resending.is_empty() {
                    break;
                }
                let Some(piece) = queue.pieces.pop_front() else { break };
                entries += piece.what.entries();
                let last = matches!(piece.what, What::Turn(_, Turn::Retire, ..) | What::Plan(..) | What::End);
                gathered.push(piece);
                if last {
                    break;
                }
            }
            queue.entries -= entries;
            // What is left was gathered while this is written.
            *since = (!queue.pieces.is_empty()).then(|| now - 1_000_000);
            None
        })
    }

    fn has_saves(&self) -> bool {
        let kept_back = !self.saves.is_empty() || self.apart.is_busy();
        kept_back || self.inbox.with(|queue| queue.has_saves())
    }

    /// Takes saves and settlements; those of a commit that failed come first.
    fn take_rest(&mut self) {
        if self.apart.is_busy() {
            if self.gathered.is_empty() {
                self.saves.extend(self.apart.next());
            }
            return;
        }
        let Self { saves, settled, takeovers, board, room, .. } = self;
        self.inbox.with(|queue| {
            // What a shard had saved after it was taken over is thrown away.
            let present = |save: &Save| board.dock(save.shard).is_some_and(|dock| dock.epoch == save.epoch);
            queue.take_saves(saves, if room.tight { 1 } else { usize::MAX }, present);
            takeovers.append(&mut queue.takeovers);
            let more = SETTLED_MAX.saturating_sub(settled.len()).min(queue.settled.len());
            settled.extend(queue.settled.drain(..more));
        });
    }

    /// Puts together what is to be committed; false when that is nothing.
    fn compose(&mut self) -> bool {
        self.commit.clear();
        let mut next = self.next_offset;
        let now = self.watch.micros();
        if now >= self.begin_at {
            self.begin_at = now + self.saving_time(BEGINS_PER_SAVE);
            self.scribe.begin_cheaply();
        }
        for piece in &mut self.gathered {
            if let What::Plan(plan, fingerprint, ..) = &piece.what {
                self.plans.enter(piece.base, *fingerprint, plan.to_toml(), &mut self.commit);
            }
            if let What::Turn(entry, Turn::Reset | Turn::Retire, ..) = &piece.what {
                self.culprits.lift(&entry.id, piece.base);
            }
            self.scribe.write(&self.board, &mut piece.what, &mut next, &mut self.commit.journal);
        }
        self.scribe.finish(&mut next, &mut self.commit.journal);
        for takeover in &self.takeovers {
            self.culprits.add(&takeover.culprit);
        }
        self.culprits.enter(self.truncated, &mut self.commit);
        for save in &mut self.saves {
            save.enter(&mut self.commit);
        }
        self.plans.sweep(&mut self.commit);
        self.commit.settled.extend_from_slice(&self.settled);
        let nothing = self.commit.is_empty();
        self.cut(now, next, nothing);
        let something = !nothing || self.commit.truncate_below.is_some();
        if something {
            self.dial.enter(now, self.board.clock.now(), &mut self.commit);
        }
        something
    }

    fn write(&mut self) {
        let Some(store) = &mut self.store else { return };
        let begun = self.watch.micros();
        let outcome = store.commit(&self.commit);
        let end = self.commit.journal.last().map_or(self.next_offset, JournalPiece::end);
        if outcome.is_err() {
            Save::give_back(&mut self.saves, &mut self.commit);
            // Names that were in it are not in the journal.
            self.scribe.commit_failed(self.next_offset);
        }
        match outcome {
            Ok(committed) => {
                self.figures.committed(&self.commit, committed.next_offset, self.watch.micros() - begun);
                self.succeeded(&committed);
            }
            Err(error) if error.is_in_doubt() => {
                self.doubt = Some(end);
                self.fail(error);
                self.resolve_doubt();
            }
            Err(StoreError::Refused(refusal)) if self.take_apart(&refusal) => {
                self.plans.forget();
                self.culprits.forget();
                self.figures.refused();
            }
            Err(StoreError::Full { limit, .. }) if self.has_no_room(limit) => {
                self.plans.forget();
                self.culprits.forget();
            }
            Err(error) => {
                self.fail(error);
                self.refuse_gathered();
            }
        }
    }

    fn succeeded(&mut self, committed: &Committed) {
        self.works_again();
        self.figures.ok();
        if let Some(cut) = self.commit.truncate_below {
            self.truncated = cut;
            self.scribe.was_cut(cut);
        }
        self.next_offset = self.next_offset.max(committed.next_offset);
        self.inbox.with(|queue| queue.refusing = None);
        self.note_room();
        let models = std::mem::take(&mut self.commit.models);
        self.note_kept(&models);
        self.commit.models = models;
        self.commit.clear();
        self.carry_on(committed);
    }

    /// Does what had to wait for the commit.
    fn carry_on(&mut self, committed: &Committed) {
        self.note_plans();
        self.culprits.keep();
        for mut piece in std::mem::take(&mut self.gathered) {
            self.ending |= matches!(piece.what, What::End);
            if let What::Events(Events { routed, pins, .. }) = &mut piece.what {
                let end = piece.base + routed.len() as u64;
                self.passages.extend(pins.take_passage().map(|passage| (end, passage)));
            }
            dispatch::send(&self.board, &mut self.sent, &mut self.resending, piece);
        }
        let mut posted = committed.posted.iter().copied();
        for save in std::mem::take(&mut self.saves) {
            // If it was in doubt it has them still.
            self.note_kept(&save.models);
            let told = self.delivery.take(&self.outlet, &self.inbox, &save, &mut posted);
            let number = if save.more { 0 } else { save.number };
            dispatch::saved(&self.board, save.shard, number, told);
        }
        self.settled.clear();
        self.take_over_all();
    }

    /// What is done when nothing is to be committed.
    fn idle(&mut self) -> Next {
        if self.replay.is_some() {
            return Next::Now;
        }
        let now = self.watch.micros();
        if self.delivery.catch_up(&mut *self.reader, &self.outlet, &self.inbox, now) {
            return Next::Now;
        }
        if self.ending {
            return self.end();
        }
        if self.delivery.is_behind() {
            return Next::Within(
                self.delivery.pause(now).map_or(END_LOOK_EVERY, |left| left.min(LOOK_EVERY)),
            );
        }
        let left = u64::try_from(self.look_at - self.watch.micros()).unwrap_or(0);
        Next::Within(Duration::from_micros(left).clamp(END_LOOK_EVERY, LOOK_EVERY))
    }

    /// Closes the store once all shards have ended and what they left is kept.
    fn end(&mut self) -> Next {
        let ended = |shard: usize| self.board.dock(shard).is_none_or(|dock| dock.is_over());
        if !(0..self.board.shards()).all(ended) {
            return Next::Within(END_LOOK_EVERY);
        }
        if self.has_saves() {
            return Next::Now;
        }
        self.commit.clear();
        if self.cut(self.watch.micros(), self.next_offset, true) {
            self.dial.enter(i64::MAX / 2, self.board.clock.now(), &mut self.commit);
            self.write();
            return Next::Now;
        }
        if let Some(store) = self.store.take()
            && let Err(error) = store.close()
        {
            tracing::error!(%error, "the store was not closed cleanly");
        }
        self.close()
    }
}
