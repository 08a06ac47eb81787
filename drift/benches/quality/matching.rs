//! Pairs alarms with labelled changes, by the two rules that the recorded tables were made with.

/// Alarms count from so many values before a change in a series of round-trip times ...
pub(crate) const BEFORE: usize = 2;
/// ... to so many after it.
pub(crate) const AFTER: usize = 30;

/// What one series adds to a pooled score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Matched {
    pub(crate) found: usize,
    pub(crate) alarms: usize,
    pub(crate) changes: usize,
    pub(crate) values: usize,
    /// Values from change to alarm, over all found; an early alarm counts 0.
    pub(crate) delay: usize,
}

impl Matched {
    /// Pairs one to one: each change, in order, takes the first alarm within its window that is free.
    pub(crate) fn new(changes: &[usize], alarms: &[usize], values: usize) -> Self {
        let mut free = alarms.to_vec();
        let (mut found, mut delay) = (0, 0);
        for &change in changes {
            let within = |&at: &usize| at + BEFORE >= change && at <= change + AFTER;
            if let Some(at) = free.iter().position(within) {
                delay += free.remove(at).saturating_sub(change);
                found += 1;
            }
        }
        Self { found, alarms: alarms.len(), changes: changes.len(), values, delay }
    }

    /// Adds up the series.
    pub(crate) fn pool<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        all.into_iter().fold(Self::default(), |sum, one| Self {
            found: sum.found + one.found,
            alarms: sum.alarms + one.alarms,
            changes: sum.changes + one.changes,
            values: sum.values + one.values,
            delay: sum.delay + one.delay,
        })
    }

    pub(crate) fn precision(&self) -> f64 {
        share(self.found, self.alarms)
    }

    pub(crate) fn recall(&self) -> f64 {
        share(self.found, self.changes)
    }

    pub(crate) fn f1(&self) -> f64 {
        // The harmonic mean of the two.
        share(2 * self.found, self.alarms + self.changes)
    }

    pub(crate) fn mean_delay(&self) -> f64 {
        share(self.delay, self.found)
    }

    pub(crate) fn false_per_1000(&self) -> f64 {
        1e3 * share(self.alarms - self.found, self.values)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Drifts of one stream and what became of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Episodes {
    /// Values from each drift to its first alarm.
    pub(crate) delays: Vec<Option<usize>>,
    /// Alarms in no drift's window.
    pub(crate) false_alarms: usize,
    /// Alarms after the first in a window.
    pub(crate) repeats: usize,
}

impl Episodes {
    /// Each drift `(start, end of the change)` has the alarms from its start to `after` values past its end, or
    /// to the next drift.
    pub(crate) fn new(drifts: &[(usize, usize)], alarms: &[usize], after: usize) -> Self {
        let mut delays = vec![None; drifts.len()];
        let (mut false_alarms, mut repeats) = (0, 0);
        for &at in alarms {
            let latest = drifts.iter().rposition(|&(start, _)| start <= at);
            match latest.filter(|&i| at < drifts[i].1 + after) {
                None => false_alarms += 1,
                Some(i) if delays[i].is_none() => delays[i] = Some(at - drifts[i].0),
                Some(_) => repeats += 1,
            }
        }
        Self { delays, false_alarms, repeats }
    }
}
