//! Scores alarms against many labelled changes, one to one within a narrow window.

use serde::Serialize;

use crate::replay::drift_score::rounded;

/// How far before a change an alarm may be and still count, in samples.
pub const EARLY_MAX: u64 = 2;

/// How far behind a change an alarm may be and still count, in samples.
pub const LATE_MAX: u64 = 30;

/// How the alarms of one model match its changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// For each change the delay of its alarm; `None` where it was missed.
    pub delays: Vec<Option<u64>>,
    /// Alarms there were.
    pub alarms: u64,
    /// Samples there were.
    pub length: u64,
}

/// How alarms did against changes, over one or more models.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChangeScore {
    /// Share of alarms that match a change, to three decimals; 0 without alarms.
    pub precision: f64,
    /// Share of changes that were found, to three decimals; `None` without changes.
    pub recall: Option<f64>,
    /// Harmonic mean of the two, to three decimals.
    pub f1: f64,
    /// Mean delay of the found ones in samples, to two decimals.
    pub delay: Option<f64>,
    /// Alarms without a change per 1,000 samples, to two decimals.
    pub false_per_1000: Option<f64>,
    /// Changes found.
    pub found: u64,
    /// Alarms there were.
    pub alarms: u64,
    /// Changes there are.
    pub changes: u64,
}

impl Matches {
    /// Matches alarms to changes: each change takes the first alarm not yet taken from [`EARLY_MAX`] samples
    /// before it to [`LATE_MAX`] behind it. `changes` are in order.
    pub fn of(changes: &[u64], alarms: &[u64], length: u64) -> Self {
        let mut alarms = alarms.to_vec();
        alarms.sort_unstable();
        let mut free: Vec<Option<u64>> = alarms.iter().copied().map(Some).collect();
        let delays = changes
            .iter()
            .map(|change| {
                let window = change.saturating_sub(EARLY_MAX)..=change.saturating_add(LATE_MAX);
                let from = alarms.partition_point(|alarm| alarm < window.start());
                let near = free.iter_mut().skip(from).find(|alarm| alarm.is_some());
                let taken = near.filter(|alarm| alarm.is_some_and(|at| window.contains(&at)))?.take()?;
                Some(taken.saturating_sub(*change))
            })
            .collect();
        Self { delays, alarms: alarms.len() as u64, length }
    }
}

impl ChangeScore {
    /// Adds up the matches of several models.
    pub fn pooled<'a>(all: impl IntoIterator<Item = &'a Matches>) -> Self {
        let mut delays: Vec<u64> = Vec::new();
        let (mut alarms, mut changes, mut length) = (0, 0, 0);
        for matches in all {
            delays.extend(matches.delays.iter().flatten());
            changes += matches.delays.len() as u64;
            alarms += matches.alarms;
            length += matches.length;
        }
        let found = delays.len() as u64;
        let share = |of: u64| (of > 0).then(|| found as f64 / of as f64);
        let (precision, recall) = (share(alarms).unwrap_or(0.0), share(changes));
        let sum = precision + recall.unwrap_or(0.0);
        let f1 = if sum > 0.0 { 2.0 * precision * recall.unwrap_or(0.0) / sum } else { 0.0 };
        Self {
            precision: rounded(precision, 3),
            recall: recall.map(|recall| rounded(recall, 3)),
            f1: rounded(f1, 3),
            delay: (found > 0).then(|| rounded(delays.iter().copied().sum::<u64>() as f64 / found as f64, 2)),
            false_per_1000: (length > 0).then(|| rounded(1e3 * (alarms - found) as f64 / length as f64, 2)),
            found,
            alarms,
            changes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::drift_score::tests::generator;

    fn delays(changes: &[u64], alarms: &[u64]) -> Vec<Option<u64>> {
        Matches::of(changes, alarms, 1000).delays
    }

    /// All expected numbers here are those of the independent scorer `rtt_score.py`.
    #[test]
    fn each_change_takes_the_first_free_alarm_of_its_window() {
        assert_eq!(delays(&[100, 105, 110], &[98, 103, 140]), [Some(0), Some(0), Some(30)]);
        assert_eq!(delays(&[100], &[97, 131]), [None]);
        assert_eq!(delays(&[100, 101], &[130]), [Some(30), None]);
    }

    #[test]
    fn many_series_agree_with_the_script() {
        let mut next = generator(7);
        // The same numbers as in the drift test are drawn first, as the script does.
        for _ in 0..40 * 2 + 300 {
            next();
        }
        let mut draw = |count: usize| {
            let mut positions: Vec<u64> = (0..count).map(|_| next() % 10_000).collect();
            positions.sort_unstable();
            positions
        };
        let mut all = Vec::new();
        for _ in 0..5 {
            let (changes, alarms) = (draw(20), draw(300));
            all.push(Matches::of(&changes, &alarms, 10_000));
        }
        let found: Vec<usize> = all.iter().map(|m| m.delays.iter().flatten().count()).collect();
        assert_eq!(found, [13, 17, 12, 13, 11]);
        let score = ChangeScore::pooled(&all);
        assert_eq!((score.precision, score.recall, score.f1), (0.044, Some(0.66), 0.082));
        assert_eq!((score.delay, score.false_per_1000), (Some(10.45), Some(28.68)));
        assert_eq!((score.alarms, score.changes), (1500, 100));
    }

    #[test]
    fn nothing_found_is_zero_and_nothing_to_find_is_none() {
        let none = Matches::of(&[1, 2, 3], &[], 100);
        let score = ChangeScore::pooled([&none]);
        assert_eq!((score.precision, score.recall, score.f1, score.delay), (0.0, Some(0.0), 0.0, None));
        assert_eq!(ChangeScore::pooled([&Matches::of(&[], &[4], 100)]).recall, None);
    }
}
