//! What travels to a shard: an event without its names, and batches of them.

use std::sync::Arc;

use actix::Message;
use tokio::sync::OwnedSemaphorePermit;
use visu_tility_core::{IngestError, MetricEvent, SeriesKey, Timestamp};

use crate::directory::ModelEntry;

/// Bits of an address that name the model's place within its shard.
const PLACE_BITS: u32 = 24;

/// Where a model lives: its shard (8 bits) and its place within it (24 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address(u32);

impl Address {
    pub(crate) const SHARDS_MAX: usize = 256;
    pub(crate) const PLACES_MAX: u32 = 1 << PLACE_BITS;

    pub(crate) const fn new(shard: u8, place: u32) -> Self {
        Self((shard as u32) << PLACE_BITS | (place & (Self::PLACES_MAX - 1)))
    }

    pub(crate) const fn shard(self) -> usize {
        (self.0 >> PLACE_BITS) as usize
    }

    pub(crate) const fn place(self) -> usize {
        (self.0 & (Self::PLACES_MAX - 1)) as usize
    }
}

/// A place and a tenancy of it, as one number.
pub(crate) const fn token(address: Address, generation: u32) -> u64 {
    (generation as u64) << 32 | address.0 as u64
}

/// One event on its way to its model, in 32 bytes: names replaced by where the model lives and a key.
///
/// Built by [`SeriesHandle::reading`](crate::SeriesHandle::reading); its value was checked there.
#[derive(Clone, Copy, Debug)]
pub struct Routed {
    pub(crate) address: Address,
    pub(crate) generation: u32,
    pub(crate) key: SeriesKey,
    pub(crate) at: Timestamp,
    /// `NaN` for a missing value.
    pub(crate) value: f64,
}

impl Routed {
    /// When it was measured.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// The same value at another time.
    #[must_use]
    pub const fn moved_to(self, at: Timestamp) -> Self {
        Self { at, ..self }
    }

    /// Its model's place and tenancy, as one number.
    #[inline]
    pub(crate) const fn token(&self) -> u64 {
        token(self.address, self.generation)
    }

    /// Makes it an event of a tenant that is no more.
    pub(crate) const fn astray(&mut self) {
        self.generation = self.generation.wrapping_sub(1);
    }

    /// The value; `None` when it was due but is missing.
    pub fn value(&self) -> Option<f64> {
        (!self.value.is_nan()).then_some(self.value)
    }
}

/// Events of one batch that go to one shard; the credits come home when it is dropped.
pub(crate) struct Batch {
    pub(crate) base: u64,
    pub(crate) load: Load,
    /// The events' credits.
    pub(crate) permit: Option<OwnedSemaphorePermit>,
    /// Wants to know what became of a single event.
    pub(crate) reply: Option<tokio::sync::oneshot::Sender<Result<(), IngestError>>>,
    /// With a store: somebody waits at the dock for what becomes of a single event.
    pub(crate) asked: bool,
    /// It comes from the journal of a store, and may be known already.
    pub(crate) replayed: bool,
    /// While the journal is repeated: its models, which keep their places until it is handled.
    #[expect(dead_code, reason = "held until the batch is dropped")]
    pub(crate) pins: Option<Arc<[Arc<ModelEntry>]>>,
}

impl Message for Batch {
    type Result = ();
}

impl Batch {
    /// The offset after its last event.
    pub(crate) fn end(&self) -> u64 {
        self.offset_of(self.load.as_slice().len().saturating_sub(1)) + 1
    }

    /// The offset of the event at a place of the batch.
    #[inline]
    pub(crate) fn offset_of(&self, place: usize) -> u64 {
        self.base
            + match &self.load {
                Load::One(_) | Load::Many(_) => place as u64,
                Load::Part(_, offsets) => offsets.get(place).copied().map_or(0, u64::from),
            }
    }
}

/// One event, without a vector of its own, or many.
pub(crate) enum Load {
    One(Routed),
    Many(Vec<Routed>),
    /// What one shard gets of a batch, with each event's place in the whole.
    Part(Vec<Routed>, Vec<u32>),
}

impl Load {
    pub(crate) fn as_slice(&self) -> &[Routed] {
        match self {
            Self::One(routed) => std::slice::from_ref(routed),
            Self::Many(routed) | Self::Part(routed, _) => routed,
        }
    }
}

/// Many events as one message for the supervisor's address.
///
/// A plain `Vec<MetricEvent>` cannot be a message: both the trait and the vector are foreign to this
/// workspace. The answer says which events were not taken and why; taken means queued or handled.
#[derive(Clone, Debug)]
pub struct EventBatch(pub Vec<MetricEvent>);

impl Message for EventBatch {
    type Result = BatchReceipt;
}

impl From<Vec<MetricEvent>> for EventBatch {
    fn from(events: Vec<MetricEvent>) -> Self {
        Self(events)
    }
}

/// What was taken of a batch, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[must_use]
pub struct BatchReceipt {
    /// Events taken.
    pub accepted: u64,
    /// Offset of the first one taken. Offsets of a batch of at most [`BatchReceipt::PIECE_MAX`] events
    /// follow one another without a gap; a larger one is cut into pieces of that size, and one with more vectors
    /// than find a place at once is cut where they wait.
    pub first_offset: u64,
    /// Events not taken, in order.
    pub rejected: Vec<Rejected>,
}

impl BatchReceipt {
    /// The most events that are queued in one piece.
    pub const PIECE_MAX: usize = 8_192;
}

/// One event of a batch that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rejected {
    /// Its place in the batch, from 0.
    pub index: usize,
    /// Why.
    pub error: IngestError,
}
