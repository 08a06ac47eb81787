//! One transaction of a store: what it holds, and what of it no store may take.

use thiserror::Error;

use crate::action::{ActionId, ObserverAction};
use crate::id::ModelId;
use crate::time::Timestamp;

use super::error::StoreError;
use super::limits::StoreLimits;

/// Everything that one transaction changes. See [`Store::commit`](super::Store::commit) for the order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Pieces to append to the journal, dense.
    pub journal: Vec<JournalPiece>,
    /// Plans to keep; one that is known already changes nothing.
    pub plans: Vec<PlanText>,
    /// Snapshots to keep and models to forget, in the order of the list.
    pub models: Vec<ModelChange>,
    /// Actions to deliver; one whose id is known already changes nothing.
    pub outbox: Vec<OutboxEntry>,
    /// What became of outbox entries. One that is settled already, or is gone, changes nothing.
    pub settled: Vec<Settlement>,
    /// Dead letters to keep. One with an offset is known by offset, model and observer, and is kept once.
    pub letters: Vec<LetterEntry>,
    /// Fingerprints of plans that nothing needs any more.
    pub dropped_plans: Vec<u64>,
    /// The journal need no longer hold what is below; whole pieces go, so more than this may stay.
    pub truncate_below: Option<u64>,
    /// Named values to set, or to remove with `None`. Names beginning with `_` belong to the store.
    pub values: Vec<(String, Option<Vec<u8>>)>,
}

/// Consecutive entries of the journal, as [`JournalWriter`](crate::journal::JournalWriter) wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalPiece {
    /// The offset of its first entry.
    pub first_offset: u64,
    /// How many entries it holds, 1 and up.
    pub entries: u32,
    /// The entries. A store does not look into them.
    pub bytes: Vec<u8>,
}

impl JournalPiece {
    /// The offset after its last entry, saturating.
    pub const fn end(&self) -> u64 {
        self.first_offset.saturating_add(self.entries as u64)
    }
}

/// What happens to one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelChange {
    /// Its snapshot takes the place of the last one.
    Keep(Snapshot),
    /// It is retired. The store remembers that, and up to where, until the journal holds nothing before `next_offset`: a
    /// replay must not bring it back to life from half of its events.
    Forget {
        /// Which.
        model: ModelId,
        /// The first journal offset that may be of a later model with the same name.
        next_offset: u64,
    },
}

impl ModelChange {
    /// Which model it is about.
    pub const fn model(&self) -> &ModelId {
        match self {
            Self::Keep(snapshot) => &snapshot.model,
            Self::Forget { model, .. } => model,
        }
    }

    /// The first journal offset that it does not hold.
    pub const fn next_offset(&self) -> u64 {
        match self {
            Self::Keep(snapshot) => snapshot.next_offset,
            Self::Forget { next_offset, .. } => *next_offset,
        }
    }
}

/// The state of one model as of an offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Which model.
    pub model: ModelId,
    /// The first journal offset that it does not hold: entries of the model from there on are to be replayed.
    pub next_offset: u64,
    /// How the model was.
    pub phase: StoredPhase,
    /// When the model wants to be told that time has passed, asleep or not; `None` when it does not.
    pub due: Option<Timestamp>,
    /// Fingerprint of the plan that the state was written under.
    pub plan: u64,
    /// The form of the bytes, given by who wrote them.
    pub form: u32,
    /// The state.
    pub state: Vec<u8>,
}

/// How a model was when its snapshot was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoredPhase {
    /// Its observers see its events.
    #[default]
    Running,
    /// Its events are counted but not shown.
    Paused,
    /// It has panicked too often.
    Quarantined,
    /// It was retired; only a store says this.
    Forgotten,
}

impl StoredPhase {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Running, Self::Paused, Self::Quarantined, Self::Forgotten];

    /// The word that stands in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Quarantined => "quarantined",
            Self::Forgotten => "forgotten",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == word)
    }
}

/// What kind of thing is to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutboxTopic {
    /// A page, or word that it is over.
    Alert,
    /// A wish to have a model retrained.
    Retrain,
}

impl OutboxTopic {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Alert, Self::Retrain];

    /// The topic of an action; `None` for one that asks for nothing.
    pub const fn of(action: &ObserverAction) -> Option<Self> {
        match action {
            ObserverAction::NoOp => None,
            ObserverAction::Alert(_) => Some(Self::Alert),
            ObserverAction::Retrain(_) => Some(Self::Retrain),
        }
    }

    /// The word that stands in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Retrain => "retrain",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == word)
    }
}

/// One action to deliver at least once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its name, for ever: posted twice, it is there once.
    pub id: ActionId,
    /// The journal offset of the entry that led to it. Of an action that a timer led to it is not the offset in the id,
    /// which is that of the event before.
    pub cause: u64,
    /// What it is.
    pub topic: OutboxTopic,
    /// Event time of the decision.
    pub at: Timestamp,
    /// The decision, as text that a person can read.
    pub body: String,
}

/// What became of an outbox entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The entry's number, from [`Posted`] or [`StoredAction`](super::StoredAction).
    pub number: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// When, by the clock of who delivered it.
    pub at: Timestamp,
}

/// How the delivery of an outbox entry ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// Whoever it was for has it.
    Delivered,
    /// It was given up: overtaken, or refused for good.
    Abandoned,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Delivered, Self::Abandoned];

    /// The word that stands in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Abandoned => "abandoned",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == word)
    }
}

/// One event that was not shown to all of its observers, or not taken at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterEntry {
    /// Which model it was for.
    pub model: ModelId,
    /// The journal offset of the entry; `None` when it never came into the journal.
    pub offset: Option<u64>,
    /// Whose panic it was; empty when it was nobody's.
    pub observer: String,
    /// The event's time.
    pub at: Timestamp,
    /// The letter, as text that a person can read.
    pub body: String,
}

/// The text of a plan under its fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanText {
    /// Names the text, given by who wrote it.
    pub fingerprint: u64,
    /// The plan.
    pub text: String,
}

/// What a commit came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The offset that the next journal entry gets.
    pub next_offset: u64,
    /// What became of each outbox entry of the commit, in order.
    pub posted: Vec<Posted>,
}

/// What became of one posted outbox entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It is new and has this number.
    New(u64),
    /// It was known already, under this number.
    Known(u64),
}

/// Why no store may take a commit: a fault of the caller.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A journal piece does not begin where the one before it ends.
    #[error("a journal piece begins at offset {found}, the next offset is {expected}")]
    Offset {
        /// The next offset.
        expected: u64,
        /// Where the piece begins.
        found: u64,
    },
    /// A journal piece holds no entries, or more than offsets are left.
    #[error("the journal piece at offset {first_offset} holds {entries} entries")]
    Entries {
        /// Where the piece begins.
        first_offset: u64,
        /// How many it says that it holds.
        entries: u32,
    },
    /// Something speaks of offsets that the journal does not have yet.
    #[error("{what} speaks of offset {offset}, the journal ends at {end}")]
    Ahead {
        /// What.
        what: &'static str,
        /// The offset.
        offset: u64,
        /// The offset after the journal's last entry, with this commit.
        end: u64,
    },
    /// A model would go back.
    #[error("model {model} is kept up to offset {kept}, the commit says {found}")]
    Backward {
        /// Which model.
        model: ModelId,
        /// Up to where it is kept.
        kept: u64,
        /// What the commit says.
        found: u64,
    },
    /// Something is too long.
    #[error("{what} is {bytes} bytes, at most {max} are allowed")]
    TooLong {
        /// What.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// A value's name is empty or the store's own.
    #[error("the value name {0:?} is empty or begins with `_`")]
    ValueName(String),
    /// A snapshot says that its model is forgotten.
    #[error("a snapshot of model {0} says that it is forgotten")]
    ForgottenSnapshot(ModelId),
}

impl Commit {
    /// Is true when it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.journal.clear();
        self.plans.clear();
        self.models.clear();
        self.outbox.clear();
        self.settled.clear();
        self.letters.clear();
        self.dropped_plans.clear();
        self.truncate_below = None;
        self.values.clear();
    }

    /// Bytes that it appends to the journal.
    pub fn journal_bytes(&self) -> u64 {
        self.journal.iter().map(|piece| piece.bytes.len() as u64).sum()
    }

    /// Checks what can be checked without knowing more of the store than its next offset, and answers the one after the
    /// commit. Every store calls this first; that no model goes back it checks itself.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError::Refused`]: pieces are not dense, something speaks of offsets that are not there yet, or is
    /// longer than the constants of [`StoreLimits`] allow.
    pub fn check(&self, next_offset: u64) -> Result<u64, StoreError> {
        let mut end = next_offset;
        for piece in &self.journal {
            let JournalPiece { first_offset, entries, ref bytes } = *piece;
            if first_offset != end {
                return Err(Refusal::Offset { expected: end, found: first_offset }.into());
            }
            // Offsets stay below 2^63, which every medium can hold.
            let after = end.checked_add(u64::from(entries)).filter(|after| i64::try_from(*after).is_ok());
            end = after
                .filter(|_| entries > 0)
                .ok_or(StoreError::Refused(Refusal::Entries { first_offset, entries }))?;
            short("a journal piece", bytes.len(), StoreLimits::PIECE_BYTES_MAX)?;
        }
        for change in &self.models {
            check_model(change, end)?;
        }
        for entry in &self.outbox {
            before("an outbox entry", entry.cause.saturating_add(1), end)?;
            short("an outbox entry", entry.body.len(), StoreLimits::BODY_BYTES_MAX)?;
            short("an observer's name", entry.id.observer.len(), StoreLimits::NAME_BYTES_MAX)?;
        }
        for letter in &self.letters {
            before("a dead letter", letter.offset.map_or(0, |offset| offset.saturating_add(1)), end)?;
            short("a dead letter", letter.body.len(), StoreLimits::BODY_BYTES_MAX)?;
            short("an observer's name", letter.observer.len(), StoreLimits::NAME_BYTES_MAX)?;
        }
        for plan in &self.plans {
            short("a plan", plan.text.len(), StoreLimits::PLAN_BYTES_MAX)?;
        }
        before("the truncation", self.truncate_below.unwrap_or(0), end)?;
        for (name, value) in &self.values {
            if name.is_empty() || name.starts_with('_') {
                return Err(Refusal::ValueName(name.clone()).into());
            }
            short("the name of a value", name.len(), StoreLimits::NAME_BYTES_MAX)?;
            short("a value", value.as_ref().map_or(0, Vec::len), StoreLimits::VALUE_BYTES_MAX)?;
        }
        Ok(end)
    }
}

fn check_model(change: &ModelChange, end: u64) -> Result<(), StoreError> {
    match change {
        ModelChange::Keep(snapshot) => {
            if snapshot.phase == StoredPhase::Forgotten {
                return Err(Refusal::ForgottenSnapshot(snapshot.model.clone()).into());
            }
            short("a snapshot", snapshot.state.len(), StoreLimits::SNAPSHOT_BYTES_MAX)?;
            before("a snapshot", snapshot.next_offset, end)
        }
        ModelChange::Forget { next_offset, .. } => before("a retirement", *next_offset, end),
    }
}

fn short(what: &'static str, bytes: usize, max: usize) -> Result<(), StoreError> {
    if bytes <= max { Ok(()) } else { Err(Refusal::TooLong { what, bytes, max }.into()) }
}

fn before(what: &'static str, offset: u64, end: u64) -> Result<(), StoreError> {
    if offset <= end { Ok(()) } else { Err(Refusal::Ahead { what, offset, end }.into()) }
}
