//! Which outbox entries a retrain request stands for: they are settled when it is over.

use std::collections::BTreeMap;
use std::sync::Arc;

use visu_tility_core::ModelId;

use crate::ledger::delivery::Receipt;
use crate::retrain::queue::{Outcome, Submission};

/// The receipts of requests that are open, by model.
#[derive(Default)]
pub(crate) struct Receipts {
    /// Of requests that wait, for their turn, a time or the end of the present run.
    waiting: BTreeMap<ModelId, Vec<Arc<Receipt>>>,
    running: BTreeMap<ModelId, Vec<Arc<Receipt>>>,
}

impl Receipts {
    /// A wish was answered.
    pub(crate) fn submitted(&mut self, model: &ModelId, receipt: Option<Arc<Receipt>>, answer: &Submission) {
        if let Submission::Displaced { model } = answer {
            settle(self.waiting.remove(model), false);
        }
        let Some(receipt) = receipt else { return };
        match answer {
            Submission::Refused { .. } => receipt.done(false),
            _ => self.waiting.entry(model.clone()).or_default().push(receipt),
        }
    }

    /// A request runs.
    pub(crate) fn started(&mut self, model: &ModelId) {
        if let Some(receipts) = self.waiting.remove(model) {
            self.running.entry(model.clone()).or_default().extend(receipts);
        }
    }

    /// A run is over.
    pub(crate) fn finished(&mut self, model: &ModelId, follows: Outcome) {
        let receipts = self.running.remove(model);
        match follows {
            Outcome::Done => settle(receipts, true),
            Outcome::GivenUp => settle(receipts, false),
            Outcome::Retry => {
                self.waiting.entry(model.clone()).or_default().extend(receipts.into_iter().flatten());
            }
        }
    }
}

fn settle(receipts: Option<Vec<Arc<Receipt>>>, delivered: bool) {
    for receipt in receipts.into_iter().flatten() {
        receipt.done(delivered);
    }
}
