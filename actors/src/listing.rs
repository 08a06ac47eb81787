//! What a front asks of a monitoring without waiting for its shards: models a page at a time, whether it is ready.

use serde::Serialize;
use visu_tility_core::ModelId;
use visu_tility_core::store::StoredPhase;

use crate::admission::AdmissionStatus;
use crate::cell::ModelPhase;
use crate::control::ControlError;
use crate::handle::MonitoringHandle;
use crate::house::House;
use crate::ledger::replay::RecoveryReport;
use crate::ledger::status::StoreStatus;
use crate::model::InspectModel;
use crate::status::ModelStatus;

/// One model of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelRow {
    /// The model.
    pub model_id: ModelId,
    /// Where it is in its life; [`ModelPhase::Asleep`] also of one that runs when it is woken.
    pub phase: ModelPhase,
}

impl MonitoringHandle {
    /// The models after `after` in the order of their names, at most `limit` (0 is read as 1). With a store also those
    /// that sleep in it. None is woken.
    ///
    /// Cost: a request to the shard of each model that has a place in memory, and one page of the store.
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::Store`] when the store cannot be read, else as [`MonitoringHandle::model_status`].
    pub async fn models_after(
        &self,
        after: Option<&ModelId>,
        limit: usize,
    ) -> Result<Vec<ModelRow>, ControlError> {
        let limit = limit.max(1);
        let mut rows = Vec::new();
        for (model_id, stored) in self.house.page(after, limit)? {
            let phase = match stored {
                Some(stored) => asleep_as(stored),
                None => match self.model_status(&model_id).await {
                    Ok(status) => status.phase,
                    Err(ControlError::UnknownModel(_)) => continue,
                    Err(error) => return Err(error),
                },
            };
            rows.push(ModelRow { model_id, phase });
        }
        Ok(rows)
    }

    /// One model as it is now; a sleeping one is woken, so that its state can be shown.
    ///
    /// # Errors
    ///
    /// Fails with [`ControlError::UnknownModel`], [`ControlError::Busy`] or [`ControlError::Closed`].
    pub async fn model_status_awake(&self, model_id: impl AsRef<str>) -> Result<ModelStatus, ControlError> {
        let addr = self.model_addr(model_id.as_ref()).await?;
        addr.send(InspectModel).await.map_err(|_| ControlError::Closed)
    }

    /// The store as the ledger sees it, without waiting for anybody; `None` without a store.
    pub fn store_status(&self) -> Option<StoreStatus> {
        self.house.durable.as_ref().map(|durable| durable.figures.status())
    }

    /// Which models are known and which were refused, without waiting for anybody.
    pub fn admission(&self) -> AdmissionStatus {
        self.house.board.directory.admission()
    }

    /// Waits until what the store's journal held has been repeated and handled, and says what that came to. Without a store
    /// there is nothing to wait for. What is published before waits behind it.
    pub async fn recovered(&self) -> RecoveryReport {
        self.house.recovered().await
    }

    /// What the recovery did; `None` while it goes on. Without a store there is nothing to recover.
    pub fn recovery(&self) -> Option<RecoveryReport> {
        match &self.house.durable {
            Some(durable) => durable.recovery.borrow().clone(),
            None => Some(RecoveryReport::default()),
        }
    }

    /// Whether events are refused because a shutdown was asked for.
    pub fn is_closing(&self) -> bool {
        self.house.board.is_closed()
    }
}

/// What a model is that sleeps in the store.
pub(crate) const fn asleep_as(stored: StoredPhase) -> ModelPhase {
    match stored {
        StoredPhase::Paused => ModelPhase::Paused,
        StoredPhase::Quarantined => ModelPhase::Quarantined,
        _ => ModelPhase::Asleep,
    }
}

impl House {
    /// A model that sleeps in the store without a place in memory; looking at it gives it none.
    pub(crate) fn asleep(&self, model_id: &str) -> Result<Option<ModelStatus>, ControlError> {
        let directory = &self.board.directory;
        if self.durable.is_none() || self.board.is_closed() || directory.with(model_id, |_| ()).is_some() {
            return Ok(None);
        }
        let row = self.stored(model_id)?;
        // It may have been woken meanwhile.
        let row = row.filter(|row| directory.with(row.model.as_str(), |_| ()).is_none());
        Ok(row.map(|row| {
            let shard = directory.shard_of(row.model.as_str());
            ModelStatus { phase: asleep_as(row.phase), ..ModelStatus::asleep(row.model, shard) }
        }))
    }

    /// A page of names: those with a place in memory, and those that sleep in the store, with their phase there.
    fn page(
        &self,
        after: Option<&ModelId>,
        limit: usize,
    ) -> Result<Vec<(ModelId, Option<StoredPhase>)>, ControlError> {
        let mut page: Vec<_> =
            self.board.directory.ids_after(after, limit).into_iter().map(|id| (id, None)).collect();
        if let Some(durable) = &self.durable {
            let stored = durable.reader.lock().models(after, limit);
            let stored = stored.map_err(|error| ControlError::Store(error.to_string()))?;
            page.extend(stored.into_iter().map(|row| (row.model, Some(row.phase))));
            // In front of a stored one of the same name comes the one that is awake.
            page.sort_by(|(a, a_stored), (b, b_stored)| {
                a.cmp(b).then(a_stored.is_some().cmp(&b_stored.is_some()))
            });
            page.dedup_by(|(later, _), (first, _)| later == first);
            page.truncate(limit);
        }
        Ok(page)
    }
}
