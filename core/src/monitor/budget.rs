//! Divides the model's budget of false alarms over the detectors that share it.
//!
//! Those share it that are at work: a version that is silent for longer than [`SILENCE_MAX`] gives no alarms, so the
//! others may have what it would spend. Its next reading makes it a sharer again before the reading is judged, so
//! that at any time the shares of those that are judged make at most the whole. Its rate is then measured afresh: a
//! mean over the silence would let it spend, while it speaks, what the others have had.
//!
//! Thresholds move when the number of parts does ([`Parts`]): a power of two that is enough for all sharers, and that does
//! not go to and fro with one of them.

use std::time::Duration;

use visu_tility_drift::codec::{DecodeError, Reader, put_i64, put_str, put_u32, put_u64};

use super::body::{Body, NEVER};
use super::series::{BEFORE, Series, SeriesIndex, Share};
use crate::check::{Pace, Shared, rounded};
use crate::kind::MetricKind;
use crate::plan::FalseAlarmBudget;
use crate::time::Timestamp;

const SILENCE_MAX: Duration = FalseAlarmBudget::SILENCE_MAX;
/// Event time for which fewer parts must have been enough before there are fewer.
const PARTS_HOLD: Duration = Duration::from_hours(8 * 24);

/// Into how many parts the budget is divided.
///
/// | sharers | parts |
/// |---|---|
/// | more than parts | at once as many as are needed, rounded up to a power of two; eight days begin |
/// | as many or fewer | as before, until the eight days are over |
/// | | then as many as were needed at most in the eight days; the next eight begin |
///
/// So there are fewer at most once in eight days, and never fewer than sharers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    count: u32,
    /// The most sharers in the present eight days.
    most: u32,
    /// When they began; before all times if the next reading begins them.
    since: Timestamp,
}

impl Parts {
    pub const NONE: Self = Self { count: 1, most: 0, since: BEFORE };

    /// Takes note of how many share.
    const fn take(&mut self, sharers: u32) {
        let needed = rounded(sharers);
        if needed > self.count {
            (self.count, self.most, self.since) = (needed, sharers, BEFORE);
        }
        if sharers > self.most {
            self.most = sharers;
        }
    }

    /// Takes note of the time, when so many share; answers whether the number of parts is another one. Between two changes
    /// it makes no difference how often it is told.
    fn settle(&mut self, sharers: u32, at: Timestamp) -> bool {
        let before = self.count;
        if before == 1 {
            return false;
        }
        if self.since == BEFORE {
            self.since = at;
        } else if at >= self.since.plus(PARTS_HOLD) {
            (self.count, self.most, self.since) = (rounded(self.most), sharers, at);
        }
        self.count != before
    }

    /// When it is to be told the time again, though nobody comes or goes.
    fn due(&self) -> Timestamp {
        if self.count == 1 { NEVER } else { self.since.plus(PARTS_HOLD) }
    }

    fn write(self, out: &mut Vec<u8>) {
        put_u32(out, self.count);
        put_u32(out, self.most);
        put_i64(out, self.since.micros());
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (count, most) = (bytes.u32()?, bytes.u32()?);
        if rounded(count) != count || rounded(most) > count {
            return Err(DecodeError::Range { field: "parts" });
        }
        Ok(Self { count, most, since: Timestamp::from_micros(bytes.i64()?) })
    }
}

/// The rate of one kind over all versions.
#[derive(Clone, Debug)]
struct KindPace {
    kind: MetricKind,
    pace: Pace,
    taken: u64,
    newest: Timestamp,
    /// It follows from the rest.
    next_look: u64,
}

impl KindPace {
    const fn new(kind: MetricKind) -> Self {
        Self { kind, pace: Pace::new(), taken: 0, newest: BEFORE, next_look: 0 }
    }

    /// Takes note of a reading; answers whether the rate is another one.
    #[inline]
    fn note(&mut self, at: Timestamp, budget: FalseAlarmBudget) -> bool {
        self.taken = self.taken.saturating_add(1);
        self.newest = self.newest.max(at);
        if self.taken > 1 && self.taken < self.next_look {
            return false;
        }
        let changed = self.pace.look(self.taken, self.newest, budget.values_to_look(self.pace.per_day()));
        self.plan_look(budget);
        changed
    }

    fn plan_look(&mut self, budget: FalseAlarmBudget) {
        self.next_look = self.pace.look_due(budget.values_to_look(self.pace.per_day()));
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_str(out, &self.kind.to_string());
        self.pace.write(out);
        put_u64(out, self.taken);
        put_i64(out, self.newest.micros());
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = bytes.str("kind")?.parse().map_err(|_| DecodeError::Range { field: "kind" })?;
        let (pace, taken) = (Pace::read(bytes)?, bytes.u64()?);
        if taken > 1 << 60 {
            return Err(DecodeError::Range { field: "taken" });
        }
        let newest = Timestamp::from_micros(bytes.i64()?);
        // A look that is not due changes nothing.
        Ok(Self { kind, pace, taken, newest, next_look: 0 })
    }
}

/// What is kept of the budget of a model that has detectors which share it.
#[derive(Clone, Debug)]
pub(super) struct Division {
    parts: Parts,
    /// Of each kind that is watched within the budget, in the order in which they were first seen.
    paces: Vec<KindPace>,
}

impl Division {
    const NEW: Self = Self { parts: Parts::NONE, paces: Vec::new() };

    /// Keeps a rate for each kind that has a share, and tells the series where it is.
    fn keep_paces(&mut self, series: &mut [Series], budget: FalseAlarmBudget) {
        let shares = |series: &&mut Series| series.share != Share::None;
        self.paces.retain(|pace| {
            series.iter().any(|series| series.share != Share::None && series.info.kind == pace.kind)
        });
        for series in series.iter_mut().filter(shares) {
            let found = self.paces.iter().position(|pace| pace.kind == series.info.kind);
            series.pace = found.unwrap_or(self.paces.len()) as u16;
            if found.is_none() {
                self.paces.push(KindPace::new(series.info.kind.clone()));
            }
        }
        self.paces.iter_mut().for_each(|pace| pace.plan_look(budget));
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.parts.write(out);
        put_u32(out, self.paces.len() as u32);
        self.paces.iter().for_each(|pace| pace.write(out));
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (parts, mut paces) = (Parts::read(bytes)?, Vec::new());
        for _ in 0..bytes.u32()? {
            paces.push(KindPace::read(bytes)?);
        }
        Ok(Self { parts, paces })
    }
}

impl Body {
    /// Gives every detector that is budgeted its share anew; for whenever their number or the plan changed.
    pub(super) fn divide_budget(&mut self) {
        let (mut sharers, mut any) = (0, false);
        for series in &mut self.series {
            let own = series.instances().filter(|instance| instance.state.is_budgeted()).count() as u32;
            series.share = match (own, series.share) {
                (0, _) => Share::None,
                (_, Share::Left) => Share::Left,
                _ => Share::Taken,
            };
            any |= own > 0;
            sharers += if series.share == Share::Taken { own } else { 0 };
        }
        if !any {
            (self.division, self.silence_due) = (None, NEVER);
            return;
        }
        let division = self.division.get_or_insert_with(|| Box::new(Division::NEW));
        division.parts.take(sharers);
        division.keep_paces(&mut self.series, self.plan.budget);
        self.silence_due = BEFORE;
        self.hand_out();
    }

    /// Tells the detectors of all series that take a share how large it is.
    fn hand_out(&mut self) {
        let Some(division) = &self.division else { return };
        for series in self.series.iter_mut().filter(|series| series.share == Share::Taken) {
            let pace = division.paces.get(usize::from(series.pace));
            let share = Shared {
                budget: self.plan.budget.false_alarms_per_30_days,
                sharers: division.parts.count,
                per_day: pace.map_or(0.0, |pace| pace.pace.per_day()),
            };
            let mut slot = 0;
            while let Some(instance) = series.instance(slot) {
                instance.state.share(share);
                slot += 1;
            }
        }
    }

    /// Before a reading of a series with a share is judged; `before` is the newest time of the series without it.
    #[inline]
    pub(super) fn spend(&mut self, index: SeriesIndex, at: Timestamp, before: Timestamp) {
        let left = self.series.get(index).is_some_and(|series| series.share == Share::Left);
        if left || at >= self.silence_due {
            self.share_at(index, at, before);
        }
        let (budget, pace) = (self.plan.budget, self.series.get(index).map_or(0, |series| series.pace));
        let pace = self.division.as_mut().and_then(|division| division.paces.get_mut(usize::from(pace)));
        if pace.is_some_and(|pace| pace.note(at, budget)) {
            // At once, not with the next division: that may be a restart.
            self.hand_out();
        }
    }

    /// Before a reading is judged: sees to it that its series has a share, and that others which are silent have none.
    ///
    /// Who shares follows from the readings alone, not from ticks or restarts. A series that was silent by another's
    /// clock only has its rate measured on: else two versions whose clocks are far apart would never be measured.
    #[cold]
    fn share_at(&mut self, index: SeriesIndex, at: Timestamp, before: Timestamp) {
        let mut changed = false;
        if let Some(series) = self.series.get_mut(index)
            && series.share == Share::Left
        {
            series.share = Share::Taken;
            changed = true;
            let silent = at >= before.plus(SILENCE_MAX);
            let mut slot = 0;
            while let Some(instance) = series.instance(slot).filter(|_| silent) {
                instance.state.measure_afresh();
                slot += 1;
            }
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
        self.settle_parts(at);
        let parts_due = self.division.as_ref().map_or(NEVER, |division| division.parts.due());
        self.silence_due = due.min(parts_due);
    }

    /// Lets there be fewer parts when fewer have been enough for long.
    fn settle_parts(&mut self, at: Timestamp) {
        let taken = self.series.iter().filter(|series| series.share == Share::Taken);
        let instances = taken.flat_map(Series::instances);
        let sharers = instances.filter(|instance| instance.state.is_budgeted()).count() as u32;
        if let Some(division) = &mut self.division
            && division.parts.settle(sharers, at)
        {
            self.hand_out();
        }
    }

    pub(super) fn write_division(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.division.is_some()));
        if let Some(division) = &self.division {
            division.write(out);
        }
    }

    pub(super) fn read_division(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.division = match bytes.u8()? {
            0 => None,
            1 => Some(Box::new(Division::read(bytes)?)),
            _ => return Err(DecodeError::Range { field: "division" }),
        };
        Ok(())
    }

    /// How many series leave their share to the others.
    #[cfg(test)]
    pub(super) fn silent_series(&self) -> usize {
        self.series.iter().filter(|series| series.share == Share::Left).count()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hour(hours: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + hours * 3_600_000_000)
    }

    proptest! {
        #[test]
        fn parts_are_enough_for_all_and_fewer_only_after_eight_days_in_which_fewer_were_enough(
            around in 1_u32..40,
            steps in proptest::collection::vec((0_i64..60, -4_i32..=4), 1..200),
        ) {
            let (mut parts, mut now) = (Parts::NONE, 0);
            let (mut fell, mut history) = (i64::MIN / 2, Vec::new());
            for (hours, off) in steps {
                now += hours;
                let sharers = around.saturating_add_signed(off).max(1);
                let before = parts.count;
                // A snapshot is in between.
                let mut bytes = Vec::new();
                parts.write(&mut bytes);
                prop_assert_eq!(Parts::read(&mut Reader::new(&bytes)), Ok(parts));
                parts.settle(history.last().map_or(0, |&(_, sharers)| sharers), hour(now));
                parts.take(sharers);
                parts.settle(sharers, hour(now));
                history.push((now, sharers));
                prop_assert!(parts.count.is_power_of_two() && parts.count >= sharers);
                let most = |since: i64| {
                    // The last before that was still true then.
                    let old = history.iter().rev().find(|(at, _)| *at < since);
                    let young = history.iter().filter(|(at, _)| *at >= since);
                    rounded(young.chain(old).map(|(_, sharers)| *sharers).max().unwrap_or(0))
                };
                if parts.count < before {
                    prop_assert!(now - fell >= 192, "{} hours after the last", now - fell);
                    prop_assert!(parts.count >= most(now - 192));
                    fell = now;
                }
                // Told in time, no more than in the last two such times.
                prop_assert!(parts.count <= most(now - 2 * 192 - 120), "{} at {now}: {history:?}", parts.count);
            }
        }

        #[test]
        fn one_sharer_that_comes_and_goes_moves_nothing(power in 0_u32..7, every in 1_i64..190) {
            let (few, mut parts, mut changes) = (1 << power, Parts::NONE, 0);
            for turn in 0..200_i64 {
                let before = parts.count;
                let sharers = few + (turn % 2) as u32;
                parts.take(sharers);
                parts.settle(sharers, hour(turn * every));
                changes += u32::from(parts.count != before && turn > 1);
            }
            prop_assert_eq!((changes, parts.count), (0, 2 * few));
        }
    }

    #[test]
    fn damaged_parts_are_refused() {
        for (count, most) in [(3, 1), (0, 0), (4, 5)] {
            let mut bytes = Vec::new();
            Parts { count, most, since: hour(0) }.write(&mut bytes);
            let refused = Parts::read(&mut Reader::new(&bytes));
            assert_eq!(refused, Err(DecodeError::Range { field: "parts" }));
        }
    }
}
