//! A save that the store refuses holds up no other. Whoever is named by the refusal, or would be refused by itself, is taken
//! out at once; else the saves of a refused commit are tried one by one, a refused one in halves, and so on. A model whose
//! state is refused is set aside, its actions are recorded all the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::Ordering;

use visu_tility_core::store::{Commit, ModelChange, Refusal, StoreReader};
use visu_tility_core::{ActionRecord, ModelId};

use crate::journaled::{Journaled, Occurrence};
use crate::ledger::status::Figures;
use crate::ledger::{Ledger, dispatch};
use crate::saving::Save;

/// What is tried by itself.
#[derive(Default)]
pub(super) struct Apart {
    /// Saves that were refused together, and parts of them, in their order.
    parts: VecDeque<Save>,
    /// Whether what is being committed is one of them.
    alone: bool,
    /// Models that were set aside, with the offset from which on each needs the journal, and the first that a state must
    /// hold to change that.
    aside: BTreeMap<ModelId, (u64, u64)>,
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
        self.aside.values().map(|(low, _)| *low).min().unwrap_or(u64::MAX)
    }

    /// Takes note that states are kept.
    pub(super) fn kept(&mut self, models: &[ModelChange], figures: &Figures) {
        self.alone = false;
        for change in models {
            let (model, next_offset) = (change.model(), change.next_offset());
            if self.aside.get(model).is_some_and(|(_, refused)| next_offset > *refused) {
                self.aside.remove(model);
            }
            figures.not_aside(model, next_offset);
        }
    }

    /// From now on the journal is kept for a model as far as its last state needs it, or as far as it goes back.
    fn set_aside(&mut self, change: &ModelChange, reader: &mut dyn StoreReader, truncated: u64) {
        let model = change.model();
        let kept = reader.model(model).ok().flatten().map_or(0, |row| row.next_offset);
        let aside = self.aside.entry(model.clone()).or_insert_with(|| (kept.max(truncated), 0));
        aside.1 = aside.1.max(change.next_offset());
    }
}

impl Ledger {
    /// Takes note that states are in the store.
    pub(super) fn note_kept(&mut self, models: &[ModelChange]) {
        self.apart.kept(models, &self.figures);
        for change in models {
            if let ModelChange::Forget { model, .. } = change {
                self.board.directory.left(model);
            }
        }
    }

    /// Deals with a commit that was refused; false when that is not for its saves.
    pub(super) fn take_apart(&mut self, refusal: &Refusal) -> bool {
        if self.saves.is_empty() {
            return false;
        }
        let alone = std::mem::take(&mut self.apart.alone);
        if !alone {
            tracing::warn!(%refusal, "a commit was refused, its states are looked at one by one");
        }
        let mut again = VecDeque::new();
        for mut save in std::mem::take(&mut self.saves) {
            if drop_overtaken(&mut save, refusal) {
                again.push_back(save);
                continue;
            }
            let guilty = guilty(&mut save, refusal, self.next_offset);
            if !guilty.is_empty() {
                let refused = save.extract(&guilty);
                again.extend(self.give_up_states(refused, refusal));
                again.push_back(save);
            } else if !alone {
                again.push_back(save);
            } else {
                match halves(save) {
                    (first, Some(second)) => again.extend([first, second]),
                    (single, None) => again.extend(self.give_up_part(single, refusal)),
                }
            }
        }
        while let Some(part) = again.pop_back() {
            self.apart.parts.push_front(part);
        }
        true
    }

    /// Gives up what is refused by itself; answers what of it is still to be tried.
    fn give_up_part(&mut self, single: Save, refusal: &Refusal) -> Option<Save> {
        if !single.models.is_empty() {
            return self.give_up_states(single, refusal);
        }
        let records = single.records.iter().map(|record| (&record.id.model_id, Some(record.id.offset)));
        let letters = single.letters.iter().map(|letter| (&letter.model, letter.offset));
        for (model, offset) in records.chain(letters) {
            tracing::error!(%model, offset, %refusal, "the store refuses a record or a dead letter, it is lost");
        }
        if !single.more {
            // The rest of its save is kept, or given up too.
            dispatch::saved(&self.board, single.shard, single.number, Vec::new());
        }
        None
    }

    /// Sets models aside whose states are refused; answers what is still to be tried: their actions, and what counts as
    /// the end of their save.
    fn give_up_states(&mut self, mut refused: Save, refusal: &Refusal) -> Option<Save> {
        let reason = format!("its state is refused by the store: {refusal}");
        for change in std::mem::take(&mut refused.models) {
            let model = change.model();
            tracing::error!(%model, %refusal, "the store refuses the state, the model is set aside");
            self.apart.set_aside(&change, &mut *self.reader, self.truncated);
            self.figures.set_aside(model, &reason, change.next_offset());
            if let Some(dock) = self.board.dock(refused.shard) {
                dock.refused.fetch_add(1, Ordering::AcqRel);
            }
            let what = Occurrence::SetAside(model.clone(), reason.clone());
            self.board.tell(refused.shard, Journaled { offset: 0, what });
        }
        if refused.records.is_empty() && refused.letters.is_empty() && refused.more {
            return None;
        }
        Some(refused)
    }
}

/// Takes changes out that the store has already, with a later one of the same model that is in the save too: so it is after
/// a commit whose answer was lost. Answers whether there were any.
fn drop_overtaken(save: &mut Save, refusal: &Refusal) -> bool {
    let Refusal::Backward { model, kept, .. } = refusal else { return false };
    let is_of = |change: &ModelChange| change.model() == model;
    if !save.models.iter().any(|change| is_of(change) && change.next_offset() >= *kept) {
        return false;
    }
    let before = save.models.len();
    save.models.retain(|change| !is_of(change) || change.next_offset() >= *kept);
    save.models.len() < before
}

/// The models whose states are refused whatever else is in their commit: the one that the refusal names, and those of whom
/// no store is needed to see it.
fn guilty(save: &mut Save, refusal: &Refusal, next_offset: u64) -> BTreeSet<ModelId> {
    let named = match refusal {
        Refusal::Backward { model, .. } | Refusal::ForgottenSnapshot(model) => Some(model),
        _ => None,
    };
    let mut guilty = BTreeSet::new();
    let mut commit = Commit::default();
    for change in &mut save.models {
        // Looked at in a commit of its own, without a copy of its state.
        let empty = ModelChange::Forget { model: change.model().clone(), next_offset: change.next_offset() };
        commit.models.push(std::mem::replace(change, empty));
        let refused = commit.check(next_offset).is_err();
        if let Some(back) = commit.models.pop() {
            *change = back;
        }
        if refused || named == Some(change.model()) {
            guilty.insert(change.model().clone());
        }
    }
    guilty
}

/// Cuts a save in two, a model's actions with its first state; there is no second half when it is one state, one action or
/// one dead letter.
fn halves(mut save: Save) -> (Save, Option<Save>) {
    let mut first = save.part();
    match (save.models.len(), save.records.len(), save.letters.len()) {
        (states @ 2.., ..) => {
            let models: BTreeSet<ModelId> =
                save.models.iter().take(states / 2).map(|change| change.model().clone()).collect();
            first.models = save.models.drain(..states / 2).collect();
            // Of a model that is retired and began anew, all goes with the first.
            let own = |record: &mut ActionRecord| models.contains(&record.id.model_id);
            first.records = save.records.extract_if(.., own).collect();
        }
        (1, ..) => {
            let model = save.models.first().map(|change| change.model().clone());
            let own = |record: &mut ActionRecord| Some(&record.id.model_id) == model.as_ref();
            first.records = save.records.extract_if(.., own).collect();
            first.models = std::mem::take(&mut save.models);
            if save.records.is_empty() && save.letters.is_empty() {
                first.more = save.more;
                return (first, None);
            }
        }
        (_, records @ 2.., _) => first.records = save.records.drain(..records / 2).collect(),
        (_, 1, 1..) => first.records = std::mem::take(&mut save.records),
        (_, _, letters @ 2..) => first.letters = save.letters.drain(..letters / 2).collect(),
        _ => return (save, None),
    }
    (first, Some(save))
}

#[cfg(test)]
mod tests {
    use super::*;
    use visu_tility_core::Timestamp;
    use visu_tility_core::store::LetterEntry;

    fn gone(name: &str) -> ModelChange {
        ModelChange::Forget { model: ModelId::new(name).unwrap(), next_offset: 4 }
    }

    fn letter(name: &str) -> LetterEntry {
        let (model, observer, body) = (ModelId::new(name).unwrap(), String::new(), String::new());
        LetterEntry { model, offset: Some(1), observer, at: Timestamp::EPOCH, body }
    }

    /// All parts that cannot be cut further.
    fn singles(save: Save) -> Vec<Save> {
        match halves(save) {
            (single, None) => vec![single],
            (first, Some(second)) => [first, second].into_iter().flat_map(singles).collect(),
        }
    }

    #[test]
    fn a_save_is_cut_down_to_its_states_and_letters_and_its_last_part_ends_it() {
        let models = ["a", "b", "c"].map(gone).to_vec();
        let letters = ["x", "y"].map(letter).to_vec();
        let parts = singles(Save { number: 7, models, letters, ..Save::default() });
        let told = |part: &Save| {
            let models = part.models.iter().map(|change| change.model().to_string());
            let letters = part.letters.iter().map(|letter| letter.model.to_string());
            (models.chain(letters).collect::<String>(), part.number, part.more)
        };
        let told: Vec<_> = parts.iter().map(told).collect();
        let told: Vec<_> = told.iter().map(|(what, number, more)| (what.as_str(), *number, *more)).collect();
        assert_eq!(told, [("a", 7, true), ("b", 7, true), ("c", 7, true), ("x", 7, true), ("y", 7, false)]);
    }
}
