//! The settings of the edge: who may become a model, and which times are taken.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use visu_tility_core::{MonitorPlan, ObserverError};

use crate::admission::{AdmissionPolicy, Gate};
use crate::builder::StartError;
use crate::directory::Directory;
use crate::ledger::durably::Durably;
use crate::timing::Timing;

pub(crate) struct EdgeSettings {
    pub(crate) models_max: u64,
    pub(crate) admission: AdmissionPolicy,
    pub(crate) admission_seed: Option<u64>,
    pub(crate) ahead_max: Duration,
    pub(crate) behind_max: Option<Duration>,
    pub(crate) event_time: bool,
}

impl Default for EdgeSettings {
    fn default() -> Self {
        Self {
            models_max: 1_000_000,
            admission: AdmissionPolicy::Open,
            admission_seed: None,
            ahead_max: Duration::from_mins(1),
            behind_max: None,
            event_time: false,
        }
    }
}

impl EdgeSettings {
    /// Checks the settings against their ranges and against the plan.
    pub(crate) fn check(&self, plan: &MonitorPlan) -> Result<(), ObserverError> {
        let (ahead_max, lateness_max) = (self.ahead_max, plan.events().lateness_max);
        if ahead_max > lateness_max && !self.event_time {
            tracing::warn!(
                ?ahead_max,
                ?lateness_max,
                "an event from a clock that is ahead can make others too late"
            );
        }
        self.admission.check()
    }

    /// What checks times.
    pub(crate) const fn timing(&self) -> Timing {
        Timing::new(self.event_time, self.ahead_max, self.behind_max)
    }

    /// The list of names, with who decides about new ones.
    pub(crate) fn directory(
        self,
        plan: &MonitorPlan,
        shards: usize,
        durable: Option<&mut Durably>,
    ) -> Result<Directory, StartError> {
        let names_max = 2 * plan.events().series_max as usize;
        let seed = self.admission_seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        let (stored, models) = match durable {
            Some(durable) => {
                let (reader, models) = durable.for_gate()?;
                (Some((reader, Arc::clone(&durable.inbox))), models)
            }
            None => (None, 0),
        };
        let gate = Gate::new(self.admission, self.models_max, seed, stored);
        Ok(Directory::new(shards, gate, names_max, models))
    }
}
