//! Divides the model's budget of false alarms over the detectors that share it.
//!
//! Those share it that are at work: a version that is silent for longer than [`SILENCE_MAX`] gives no alarms, so the
//! others may have what it would spend. Its next reading makes it a sharer again before the reading is judged, so
//! that at any time the shares of those that are judged make at most the whole. Its rate is then measured afresh: a
//! mean over the silence would let it spend, while it speaks, what the others have had.

use std::time::Duration;

use super::body::{Body, NEVER};
use super::series::{BEFORE, SeriesIndex, Share};
use crate::plan::FalseAlarmBudget;
use crate::time::Timestamp;

const SILENCE_MAX: Duration = FalseAlarmBudget::SILENCE_MAX;

impl Body {
    /// Gives every detector that is budgeted its share anew; for whenever their number or the plan changed.
    pub(super) fn divide_budget(&mut self) {
        let mut sharers = 0;
        for series in &mut self.series {
            let own = series.instances().filter(|instance| instance.state.is_budgeted()).count() as u32;
            series.share = match (own, series.share) {
                (0, _) => Share::None,
                (_, Share::Left) => Share::Left,
                _ => Share::Taken,
            };
            sharers += if series.share == Share::Taken { own } else { 0 };
        }
        self.silence_due = if sharers == 0 { NEVER } else { BEFORE };
        let budget = self.plan.budget.false_alarms_per_30_days;
        for series in self.series.iter_mut().filter(|series| series.share == Share::Taken) {
            let mut slot = 0;
            while let Some(instance) = series.instance(slot) {
                instance.state.share(budget, sharers);
                slot += 1;
            }
        }
    }

    /// Before a reading is judged: sees to it that its series has a share, and that others which are silent have none.
    ///
    /// Who shares follows from the readings alone, not from ticks or restarts.
    #[cold]
    pub(super) fn share_at(&mut self, index: SeriesIndex, at: Timestamp) {
        let mut changed = false;
        if let Some(series) = self.series.get_mut(index)
            && series.share == Share::Left
        {
            series.share = Share::Taken;
            let mut slot = 0;
            while let Some(instance) = series.instance(slot) {
                instance.state.measure_afresh();
                slot += 1;
            }
            changed = true;
        }
        let mut due = NEVER;
        for (place, series) in self.series.iter_mut().enumerate() {
            // One that was just admitted has no time yet.
            if series.share != Share::Taken || series.newest == BEFORE {
                continue;
            }
            let ends = series.newest.plus(SILENCE_MAX);
            if at >= ends && place != index {
                series.share = Share::Left;
                changed = true;
            } else {
                due = due.min(ends);
            }
        }
        if changed {
            self.divide_budget();
        }
        self.silence_due = due;
    }

    /// How many series leave their share to the others.
    #[cfg(test)]
    pub(super) fn silent_series(&self) -> usize {
        self.series.iter().filter(|series| series.share == Share::Left).count()
    }
}
