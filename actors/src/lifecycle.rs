//! What happens to models, as messages for whoever subscribes.

use std::sync::Arc;

use actix::Message;
use serde::Serialize;
use visu_tility_core::{ActionRecord, ModelId};

/// One decision of one observer, as a message for an actor of the embedder's.
#[derive(Clone, Debug)]
pub struct Decision(pub Arc<ActionRecord>);

impl Message for Decision {
    type Result = ();
}

/// A turn in the life of one model's actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Lifecycle {
    /// Its first event has come.
    Started {
        /// The model.
        model_id: ModelId,
    },
    /// An observer of it panicked; it goes on after a wait.
    Restarted {
        /// The model.
        model_id: ModelId,
        /// The observer, when it is known.
        observer: Option<Arc<str>>,
        /// What the panic said.
        reason: String,
        /// The wait, in microseconds; events that come meanwhile are held.
        backoff_us: u64,
    },
    /// It has panicked too often: events go to the dead letters until it is reset.
    Quarantined {
        /// The model.
        model_id: ModelId,
        /// What the last panic said.
        reason: String,
    },
    /// It was idle; its actor stopped, its state is kept.
    Passivated {
        /// The model.
        model_id: ModelId,
    },
    /// It came back with its state.
    Woken {
        /// The model.
        model_id: ModelId,
    },
    /// Its events are counted but not shown to observers.
    Paused {
        /// The model.
        model_id: ModelId,
    },
    /// Its events are shown to observers again.
    Resumed {
        /// The model.
        model_id: ModelId,
    },
    /// Its state was thrown away; a quarantine or a pause is over.
    Reset {
        /// The model.
        model_id: ModelId,
    },
    /// It is gone; an event that names it starts it anew.
    Retired {
        /// The model.
        model_id: ModelId,
    },
}

impl Message for Lifecycle {
    type Result = ();
}

impl Lifecycle {
    /// The model that it is about.
    pub const fn model_id(&self) -> &ModelId {
        match self {
            Self::Started { model_id }
            | Self::Restarted { model_id, .. }
            | Self::Quarantined { model_id, .. }
            | Self::Passivated { model_id }
            | Self::Woken { model_id }
            | Self::Paused { model_id }
            | Self::Resumed { model_id }
            | Self::Reset { model_id }
            | Self::Retired { model_id } => model_id,
        }
    }
}
