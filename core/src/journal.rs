//! The byte form of the journal: everything that changes a model's state, in the order of its offsets.
//!
//! A model's state is a function of the journal's entries that name it. What leads to an entry: an event that was taken;
//! a model's timer that went off; a turn that an operator or the watchdog gave a model's life; a new plan. An entry has an
//! offset, one more than the one before. Entries travel in pieces: rows of 20 bytes refer to names in a dictionary, and a sum
//! closes each. A piece either begins a dictionary (form 1) or continues that of the pieces before it (form 2), and names
//! only what is new to it: so a journal is read from a piece that begins one, in order ([`JournalNames`]).
//!
//! Little-endian; form 1 has its names before its rows, form 2 behind them:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the form, `1` or `2` |
//! | 3 | zero |
//! | 4 | rows, 1 to [`JournalWriter::ROWS_MAX`] |
//! | 8 | offset of the first row; the others follow without a gap |
//! | 4 | names that are new |
//! | 4 | bytes of these names |
//! | 4 | components of all vectors |
//! | 4 | names of the dictionary before this piece; zero in form 1 |
//! | 8 | form 2 only: offset of the dictionary's first entry |
//! | - | names, each three texts with their length in two bytes before them: model, version, kind; the latter two are empty where only the model is named |
//! | 20 each | rows: 4 bytes of number (name, by its place in the dictionary, in the lower 28 bits, kind of row in the upper 4), 8 bytes of microseconds since 1970, 8 bytes that depend on the kind |
//! | 4 each | components of vectors, in the order of their rows |
//! | 8 | [`checksum`](crate::store::checksum) of all before |
//!
//! | kind of row | name | the last 8 bytes |
//! |---|---|---|
//! | 0 a value | series | the value, an f64 in the kind's range |
//! | 1 a missing value | series | zero |
//! | 2 a vector | series | how many components, 1 to 4,096 |
//! | 3 a tick | model | zero |
//! | 4 a turn | model | 1 pause, 2 resume, 3 reset, 4 retire, 5 quarantine |
//! | 5 a plan | zero | its fingerprint |

mod read;
#[cfg(test)]
mod tests;
mod tokens;
mod write;

use std::sync::Arc;

use thiserror::Error;
use visu_tility_drift::codec::DecodeError;

use crate::id::{ModelId, Version};
use crate::kind::MetricKind;
use crate::time::Timestamp;

pub use read::{JournalNames, JournalReader};
pub use tokens::SeriesToken;
pub use write::{JournalWriter, Unwritten};

/// The form of a piece that begins a dictionary, and of one that continues it.
const FORM: u8 = 1;
const CONTINUES: u8 = 2;
/// Bytes before the names or rows of the two.
const HEAD: usize = 32;
const HEAD_CONTINUES: usize = HEAD + 8;
/// Bytes of a row.
const ROW: usize = 20;
/// Bytes of the sum at the end.
const SUM: usize = 8;
/// The bits of a row's number that are the name's.
const NAME_BITS: u32 = 28;

const VALUE: u32 = 0;
const MISSING: u32 = 1;
const VECTOR: u32 = 2;
const TICK: u32 = 3;
const TURN: u32 = 4;
const PLAN: u32 = 5;

/// Whom an entry is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryName {
    /// The model.
    pub model: ModelId,
    /// The version and the kind, for an event.
    pub series: Option<(Version, MetricKind)>,
}

/// One entry as it is read. `name` is a place in [`JournalReader::names`].
#[derive(Clone, Debug, PartialEq)]
pub enum JournalEntry {
    /// An event was taken.
    Event {
        /// Its model, version and kind.
        name: usize,
        /// Its time.
        at: Timestamp,
        /// Its value.
        value: EntryValue,
    },
    /// A model was told that time has passed.
    Tick {
        /// Which model.
        name: usize,
        /// What time it was.
        now: Timestamp,
    },
    /// A model's life took a turn.
    Turn {
        /// Which model.
        name: usize,
        /// When, by the clock of who gave it.
        at: Timestamp,
        /// Which turn.
        turn: Turn,
    },
    /// A plan came into force.
    Plan {
        /// When, by the clock of who gave it.
        at: Timestamp,
        /// Its fingerprint in the store.
        fingerprint: u64,
    },
}

/// The value of an event as it is read.
#[derive(Clone, Debug, PartialEq)]
pub enum EntryValue {
    /// A number in the kind's range.
    Number(f64),
    /// It was due but not there.
    Missing,
    /// A vector.
    Vector(Arc<[f32]>),
}

/// A turn that is given to a model's life from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Turn {
    /// Its events are counted but not shown.
    Pause,
    /// Its events are shown again.
    Resume,
    /// It starts afresh.
    Reset,
    /// It is gone.
    Retire,
    /// It is put aside until a reset.
    Quarantine,
}

impl Turn {
    /// All of them, in the order of their codes from 1.
    pub const ALL: [Self; 5] = [Self::Pause, Self::Resume, Self::Reset, Self::Retire, Self::Quarantine];

    const fn code(self) -> u64 {
        match self {
            Self::Pause => 1,
            Self::Resume => 2,
            Self::Reset => 3,
            Self::Retire => 4,
            Self::Quarantine => 5,
        }
    }

    fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|turn| turn.code() == code)
    }
}

/// Bytes are not a journal piece.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The sum at the end is not the sum of what is before.
    #[error("the sum is {found:016x}, it should be {expected:016x}")]
    Sum {
        /// What the bytes come to.
        found: u64,
        /// What stands at the end.
        expected: u64,
    },
    /// The bytes do not have the form.
    #[error(transparent)]
    Form(#[from] DecodeError),
    /// The piece is whole, but another than the store says.
    #[error("the piece holds {entries} entries from offset {first_offset}, the store says otherwise")]
    Other {
        /// Where it begins.
        first_offset: u64,
        /// How many entries it holds.
        entries: u32,
    },
    /// The piece continues a dictionary that is not at hand.
    #[error(
        "the piece continues the dictionary from offset {dictionary} behind {names} names, another one is at hand"
    )]
    Continues {
        /// Where the dictionary began.
        dictionary: u64,
        /// How many names it had before the piece.
        names: usize,
    },
}
