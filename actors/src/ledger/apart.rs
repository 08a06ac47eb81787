//! A save that the store refuses holds up no other: the saves of a refused commit are tried one model at a time, and a
//! model whose state is refused by itself is set aside.

use std::collections::{BTreeMap, VecDeque};

use visu_tility_core::ModelId;
use visu_tility_core::store::{ModelChange, Refusal, StoreReader};

use crate::journaled::{Journaled, Occurrence};
use crate::ledger::Ledger;
use crate::ledger::status::Figures;
use crate::saving::Save;

/// What is tried by itself.
#[derive(Default)]
pub(super) struct Apart {
    /// Parts of saves that were refused together, in their order.
    parts: VecDeque<Save>,
    /// Whether what is being committed is one of them.
    alone: bool,
    /// Models that were set aside, with the offset from which on each needs the journal.
    aside: BTreeMap<ModelId, u64>,
}

impl Apart {
    /// Whether nothing else is to be committed.
    pub(super) fn is_busy(&self) -> bool {
        self.alone || !self.parts.is_empty()
    }

    /// The next part, unless one is being committed.
    pub(super) fn next(&mut self) -> Option<Save> {
        let part = if self.alone { None } else { self.parts.pop_front() };
        self.alone |= part.is_some();
        part
    }

    /// The first offset that those who are set aside need.
    pub(super) fn low(&self) -> u64 {
        self.aside.values().copied().min().unwrap_or(u64::MAX)
    }

    /// Takes note that states are kept.
    pub(super) fn kept(&mut self, models: &[ModelChange], figures: &Figures) {
        self.alone = false;
        for change in models {
            self.aside.remove(change.model());
            figures.not_aside(change.model());
        }
    }

    /// From now on the journal is kept for a model as far as its last state needs it, or as far as it goes back.
    fn set_aside(&mut self, model: &ModelId, reader: &mut dyn StoreReader, truncated: u64) {
        let kept = reader.model(model).ok().flatten().map_or(0, |row| row.next_offset);
        self.aside.entry(model.clone()).or_insert_with(|| kept.max(truncated));
    }
}

impl Ledger {
    /// Deals with a commit that was refused; false when that is not for its saves.
    pub(super) fn take_apart(&mut self, refusal: &Refusal) -> bool {
        if self.apart.alone {
            for part in std::mem::take(&mut self.saves) {
                self.set_aside(&part, refusal);
                // The rest of its save is kept, or set aside too.
                self.apart.alone = false;
                super::dispatch::saved(&self.board, part.shard, part.number, Vec::new());
            }
            return true;
        }
        if self.saves.is_empty() {
            return false;
        }
        tracing::warn!(%refusal, "a commit was refused, its states are kept one by one");
        for save in std::mem::take(&mut self.saves) {
            self.apart.parts.extend(parts(save));
        }
        true
    }

    fn set_aside(&mut self, part: &Save, refusal: &Refusal) {
        let reason = format!("its state is refused by the store: {refusal}");
        let shard = part.shard;
        for change in &part.models {
            let model = change.model();
            tracing::error!(%model, %refusal, "the store refuses the state, the model is set aside");
            self.apart.set_aside(model, &mut *self.reader, self.truncated);
            self.figures.set_aside(model, &reason);
            let what = Occurrence::SetAside(model.clone(), reason.clone());
            self.board.tell(shard, Journaled { offset: 0, what });
        }
        if part.models.is_empty() {
            let records = part.records.iter().map(|record| (&record.id.model_id, Some(record.id.offset)));
            let letters = part.letters.iter().map(|letter| (&letter.model, letter.offset));
            for (model, offset) in records.chain(letters) {
                tracing::error!(%model, offset, %refusal, "the store refuses a record or a dead letter, it is lost");
            }
        }
    }
}

/// A save as one part for each model, one for each dead letter, and one for what is left. The last has the number, so the
/// shard learns of it when all are kept.
fn parts(save: Save) -> Vec<Save> {
    let Save { shard, epoch, number, models, mut records, cause, letters, .. } = save;
    let mut parts = Vec::with_capacity(models.len() + 1);
    let part = |models: Vec<ModelChange>, records, letters, number| Save {
        shard,
        epoch,
        number,
        models,
        records,
        cause,
        letters,
        lent: (0, 0),
    };
    for change in models {
        let model = change.model().clone();
        // Of a model that is retired and began anew, all goes with the first.
        let own = records.extract_if(.., |record| record.id.model_id == model).collect();
        parts.push(part(vec![change], own, Vec::new(), 0));
    }
    parts.extend(letters.into_iter().map(|letter| part(Vec::new(), Vec::new(), vec![letter], 0)));
    parts.push(part(Vec::new(), records, Vec::new(), number));
    parts
}
