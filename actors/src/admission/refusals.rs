//! The models that were refused most often, in a fixed amount of memory.

use serde::Serialize;
use visu_tility_core::ModelId;

/// A model that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedModel {
    /// The model.
    pub model_id: ModelId,
    /// So many of its events were refused at least.
    pub refused_min: u64,
    /// So many at most: some may have been of names that were forgotten for it.
    pub refused_max: u64,
}

/// Keeps the most frequent of any number of names: whoever comes when all places are taken gets that of the least
/// frequent, and its count as what its own may be too high by (Space-Saving; Metwally, Agrawal, El Abbadi, *Efficient computation of frequent
/// and top-k elements in data streams*, ICDT 2005). Any name of more than 1/16 of all refusals is among them.
#[derive(Default)]
pub(super) struct Refusals(Vec<RefusedModel>);

impl Refusals {
    /// Names that are kept.
    pub(super) const MAX: usize = 16;

    pub(super) fn add(&mut self, model_id: &ModelId) {
        if let Some(known) = self.0.iter_mut().find(|known| known.model_id == *model_id) {
            known.refused_min += 1;
            known.refused_max += 1;
        } else if self.0.len() < Self::MAX {
            self.0.push(RefusedModel { model_id: model_id.clone(), refused_min: 1, refused_max: 1 });
        } else if let Some(least) = self.0.iter_mut().min_by_key(|known| known.refused_max) {
            let refused_max = least.refused_max + 1;
            *least = RefusedModel { model_id: model_id.clone(), refused_min: 1, refused_max };
        }
    }

    /// Most often refused first; those that are certain first among equals.
    pub(super) fn most(&self) -> Vec<RefusedModel> {
        let mut most = self.0.clone();
        most.sort_by(|a, b| {
            let (a_counts, b_counts) = ((a.refused_max, a.refused_min), (b.refused_max, b.refused_min));
            b_counts.cmp(&a_counts).then(a.model_id.cmp(&b.model_id))
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
        assert!((most[0].refused_min..=most[0].refused_max).contains(&12_500), "{most:?}");
    }
}
