//! Handles of one model and of one series of it: names are looked up once, not per event.

use std::sync::Arc;

use actix::{Addr, Recipient};
use thiserror::Error;
use visu_tility_core::{
    Accepted, EventError, IngestError, MetricEvent, MetricKind, ModelId, SeriesKey, Timestamp, ValueRange,
    Version,
};

use crate::control::{ControlError, Order};
use crate::directory::{ModelEntry, Pins};
use crate::handle::MonitoringHandle;
use crate::lifecycle::Decision;
use crate::model::ModelActor;
use crate::routed::{Address, Routed};
use crate::status::ModelStatus;

/// An event was not published.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// It cannot be an event.
    #[error(transparent)]
    Event(#[from] EventError),
    /// It was not taken.
    #[error(transparent)]
    Ingest(#[from] IngestError),
}

/// One model of a running monitoring.
#[derive(Clone)]
pub struct ModelHandle {
    monitoring: MonitoringHandle,
    entry: Arc<ModelEntry>,
}

impl ModelHandle {
    pub(crate) fn new(monitoring: MonitoringHandle, entry: Arc<ModelEntry>) -> Self {
        Self { monitoring, entry }
    }

    /// The model.
    pub fn id(&self) -> &ModelId {
        &self.entry.id
    }

    /// Publishes a value of the unnamed version, measured now, waiting for room.
    ///
    /// # Errors
    ///
    /// Fails when the value is not in the kind's range, or like [`MonitoringHandle::publish`].
    pub async fn publish(&self, kind: MetricKind, value: f64) -> Result<Accepted, PublishError> {
        let event =
            MetricEvent::from_parts(self.entry.id.clone(), Version::unversioned(), kind, None, Some(value))?;
        self.publish_event(&event).await
    }

    /// Publishes a value of the unnamed version, measured now, if there is room.
    ///
    /// # Errors
    ///
    /// Fails with [`IngestError::Full`] when there is none, when the value is not in the kind's range, or
    /// like [`MonitoringHandle::publish`].
    pub fn try_publish(&self, kind: MetricKind, value: f64) -> Result<Accepted, PublishError> {
        let routed = self.route(kind, value)?;
        let first_offset = self.monitoring.house.try_put_one(routed, self.pins())?;
        Ok(Accepted { events: 1, first_offset })
    }

    /// Publishes several values of the unnamed version, measured together now: all of them if there is
    /// room, else none. For request handlers, which must not wait.
    ///
    /// # Errors
    ///
    /// Fails as [`ModelHandle::try_publish`] does, at the first value that cannot be published.
    pub fn try_publish_all(
        &self,
        values: impl IntoIterator<Item = (MetricKind, f64)>,
    ) -> Result<Accepted, PublishError> {
        let routed: Result<Vec<Routed>, PublishError> =
            values.into_iter().map(|(kind, value)| self.route(kind, value)).collect();
        let routed = routed?;
        let events = routed.len() as u64;
        let first_offset = self.monitoring.house.try_put(routed, self.pins())?;
        Ok(Accepted { events, first_offset })
    }

    /// One value of the unnamed version, measured now, on its way.
    fn route(&self, kind: MetricKind, value: f64) -> Result<Routed, PublishError> {
        if self.entry.is_retired() {
            return Err(IngestError::Retired.into());
        }
        let board = &self.monitoring.house.board;
        let at = board.stamp(None, board.limit())?;
        let version = Version::unversioned();
        let event = MetricEvent::from_parts(self.entry.id.clone(), version, kind, Some(at), Some(value))?;
        let key = self.learn(event.version(), event.kind())?;
        let ModelEntry { address, generation, .. } = *self.entry;
        Ok(Routed { address, generation, key, at, value })
    }

    /// Publishes an event of this model, waiting for room; the event's own name is not looked at.
    ///
    /// # Errors
    ///
    /// Fails with [`IngestError::Retired`] when the model was retired since, or like
    /// [`MonitoringHandle::publish`].
    pub async fn publish_event(&self, event: &MetricEvent) -> Result<Accepted, PublishError> {
        if self.entry.is_retired() {
            return Err(IngestError::Retired.into());
        }
        let board = &self.monitoring.house.board;
        let at = board.stamp(event.ts(), board.limit())?;
        let key = self.learn(event.version(), event.kind())?;
        let ModelEntry { address, generation, .. } = *self.entry;
        let value = match event.shared_vector() {
            None => event.raw_value(),
            Some(vector) => board.vectors.room(|| board.vectors.put(vector)).await?,
        };
        let routed = Routed { address, generation, key, at, value };
        let first_offset = self.monitoring.house.put_one(routed, self.pins()).await?;
        Ok(Accepted { events: 1, first_offset })
    }

    /// A handle of one version and kind of it.
    ///
    /// When another version and kind of the model has the same 64-bit key, the handle makes no events:
    /// [`SeriesHandle::reading`] says so.
    pub fn series(&self, version: &Version, kind: &MetricKind) -> SeriesHandle {
        let key = self.learn(version, kind).ok();
        let entry = Arc::clone(&self.entry);
        SeriesHandle::new(entry, version, kind, key)
    }

    /// Keeps the model's place until its event is journaled; without a store nothing is needed.
    fn pins(&self) -> Pins {
        let mut pins = Pins::default();
        if self.monitoring.house.durable.is_some() {
            pins.add(&self.entry);
        }
        pins
    }

    fn learn(&self, version: &Version, kind: &MetricKind) -> Result<SeriesKey, IngestError> {
        let board = &self.monitoring.house.board;
        board.learn_names(&self.entry, version, kind, board.limit().now)
    }

    /// The model as it is now; while a store's journal is repeated it waits for the end of that.
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::UnknownModel`] when it was retired since, with [`ControlError::Busy`],
    /// [`ControlError::Closed`], or [`ControlError::Store`] when the journal or the store cannot be read.
    pub async fn status(&self) -> Result<ModelStatus, ControlError> {
        self.monitoring.order_of(&self.entry, Order::Inspect).await?
    }

    /// The address of its actor; see [`MonitoringHandle::model_addr`].
    ///
    /// # Errors
    ///
    /// Fails as [`ModelHandle::status`] does.
    pub async fn addr(&self) -> Result<Addr<ModelActor>, ControlError> {
        self.monitoring.order_of(&self.entry, Order::Address).await?
    }

    /// Has an actor sent this model's decisions until it is retired; bounds as for
    /// [`MonitoringHandle::subscribe_actions`].
    pub fn follow(&self, recipient: Recipient<Decision>) {
        let house = &self.monitoring.house;
        house.outlet.decisions.add(recipient, Some(self.entry.id.clone()), &house.arbiter, &house.census);
    }
}

/// One version and kind of a model: makes events that need no look-up.
///
/// What [`SeriesHandle::reading`] needs is in the handle itself; names are behind a pointer.
#[derive(Clone)]
pub struct SeriesHandle {
    address: Address,
    generation: u32,
    range: ValueRange,
    /// `None` when another series has its key.
    key: Option<SeriesKey>,
    names: Arc<SeriesNames>,
}

struct SeriesNames {
    /// The model keeps its place while it is held.
    entry: Arc<ModelEntry>,
    version: Version,
    kind: MetricKind,
}

impl SeriesHandle {
    fn new(entry: Arc<ModelEntry>, version: &Version, kind: &MetricKind, key: Option<SeriesKey>) -> Self {
        let range = kind.range();
        let ModelEntry { address, generation, .. } = *entry;
        let names = SeriesNames { entry, version: version.clone(), kind: kind.clone() };
        Self { address, generation, range, key, names: Arc::new(names) }
    }

    /// An event with this value, for [`MonitoringHandle::publish_routed`].
    ///
    /// # Errors
    ///
    /// Fails when the value is not finite or not in the kind's range.
    #[inline]
    pub fn reading(&self, at: Timestamp, value: f64) -> Result<Routed, EventError> {
        match self.key {
            Some(key) if self.range.contains(value) && at.in_bounds() => Ok(self.routed(key, at, value)),
            _ => Err(self.refusal(at, value)),
        }
    }

    /// What is wrong with a reading.
    #[cold]
    fn refusal(&self, at: Timestamp, value: f64) -> EventError {
        let SeriesNames { entry, version, kind } = &*self.names;
        let (id, version) = (entry.id.clone(), version.clone());
        match MetricEvent::from_parts(id, version, kind.clone(), Some(at), Some(value)) {
            Err(error) => error,
            Ok(_) => EventError::new("kind", kind.to_string(), "one whose key no other version and kind has"),
        }
    }

    /// An event that says a value was due but is not there. Where [`SeriesHandle::reading`] fails for the
    /// series' key, it goes to the dead letters.
    pub fn missing(&self, at: Timestamp) -> Routed {
        if let Some(key) = self.key {
            return self.routed(key, at, f64::NAN);
        }
        let key = SeriesKey::of(&self.names.version, &self.names.kind);
        // Of a generation that is no more.
        let generation = self.generation.wrapping_sub(1);
        Routed { generation, ..self.routed(key, at, f64::NAN) }
    }

    fn routed(&self, key: SeriesKey, at: Timestamp, value: f64) -> Routed {
        Routed { address: self.address, generation: self.generation, key, at, value }
    }

    /// The kind.
    pub fn kind(&self) -> &MetricKind {
        &self.names.kind
    }

    /// The version.
    pub fn version(&self) -> &Version {
        &self.names.version
    }
}
