//! The models that were refused most often, in a fixed amount of memory.

use serde::Serialize;
use visu_tility_core::ModelId;

/// A model that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedModel {
    /// The model.
    pub model_id: ModelId,
    /// Events refused, too high by `over_max` at most.
    pub refused: u64,
    /// What the count may be too high by.
    pub over_max: u64,
}

/// Keeps the most frequent of any number of names: whoever comes when all places are taken gets that of the least
/// frequent, and its count as its own error (Space-Saving; Metwally, Agrawal, El Abbadi, *Efficient computation of frequent
/// and top-k elements in data streams*, ICDT 2005). Any name of more than 1/16 of all refusals is among them.
#[derive(Default)]
pub(super) struct Refusals(Vec<RefusedModel>);

impl Refusals {
    /// Names that are kept.
    pub(super) const MAX: usize = 16;

    pub(super) fn add(&mut self, model_id: &ModelId) {
        if let Some(known) = self.0.iter_mut().find(|known| known.model_id == *model_id) {
            known.refused += 1;
        } else if self.0.len() < Self::MAX {
            self.0.push(RefusedModel { model_id: model_id.clone(), refused: 1, over_max: 0 });
        } else if let Some(least) = self.0.iter_mut().min_by_key(|known| known.refused) {
            let over_max = least.refused;
            *least = RefusedModel { model_id: model_id.clone(), refused: over_max + 1, over_max };
        }
    }

    /// Most often refused first; those that are certain first among equals.
    pub(super) fn most(&self) -> Vec<RefusedModel> {
        let mut most = self.0.clone();
        most.sort_by(|a, b| {
            b.refused.cmp(&a.refused).then(a.over_max.cmp(&b.over_max)).then(a.model_id.cmp(&b.model_id))
        });
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_often_is_found_among_very_many() {
        let mut refusals = Refusals::default();
        let id = |name: &str| ModelId::new(name).unwrap();
        for number in 0..100_000 {
            refusals.add(&id(&format!("flood-{number}")));
            if number % 8 == 0 {
                refusals.add(&id("fraud"));
            }
        }
        let most = refusals.most();
        assert_eq!((most.len(), most[0].model_id.as_str()), (Refusals::MAX, "fraud"));
        assert!(most[0].refused >= 12_500 && most[0].refused - most[0].over_max <= 12_500, "{most:?}");
    }
}
