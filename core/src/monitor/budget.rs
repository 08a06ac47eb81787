//! Divides the model's budget of false alarms over the detectors that share it.

use super::body::Body;
use super::series::Series;

impl Body {
    /// Gives every detector that is budgeted its share anew; for whenever their number or the plan changed.
    pub(super) fn divide_budget(&mut self) {
        let instances = self.series.iter().flat_map(Series::instances);
        let sharers = instances.filter(|instance| instance.state.is_budgeted()).count() as u32;
        if sharers == 0 {
            return;
        }
        let budget = self.plan.budget.false_alarms_per_30_days;
        for series in &mut self.series {
            let mut slot = 0;
            while let Some(instance) = series.instance(slot) {
                instance.state.share(budget, sharers);
                slot += 1;
            }
        }
    }
}
