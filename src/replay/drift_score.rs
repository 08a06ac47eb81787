//! Scores alarms against a few known drifts: found or missed, how late, how many false.

use serde::Serialize;

/// How alarms did against the drifts of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DriftScore {
    /// Drifts with an alarm in their window.
    pub detected: u64,
    /// Drifts there are.
    pub total: u64,
    /// Mean delay of the detected ones, in predictions, to one decimal.
    pub mean_delay: Option<f64>,
    /// Delay of each drift; `None` where it was missed.
    pub delays: Vec<Option<u64>>,
    /// Alarms outside every window.
    #[serde(rename = "false")]
    pub false_alarms: u64,
    /// Alarms in a window after its first.
    pub repeats: u64,
    /// False alarms in 10,000 predictions outside the windows, to two decimals; `None` when there are none
    /// outside.
    pub false_per_10k: Option<f64>,
    /// Predictions outside the windows.
    #[serde(skip)]
    pub clean: u64,
}

impl DriftScore {
    /// Scores the positions of alarms.
    ///
    /// `drifts` holds start and end of each change, `length` the predictions of the model. A drift's window
    /// begins where it starts and ends at the next drift or `max_delay` behind its end. An alarm belongs to the
    /// latest drift whose window holds it: the first one there is the detection, later ones are repeats.
    pub fn of(drifts: &[(u64, u64)], alarms: &[u64], length: u64, max_delay: u64) -> Self {
        let windows = windows(drifts, length, max_delay);
        let mut alarms = alarms.to_vec();
        alarms.sort_unstable();
        let mut delays: Vec<Option<u64>> = vec![None; windows.len()];
        let (mut false_alarms, mut repeats) = (0, 0);
        for alarm in alarms {
            let held = windows.iter().zip(&mut delays).rev().find(|((a, e), _)| (*a..*e).contains(&alarm));
            match held {
                None => false_alarms += 1,
                Some((_, Some(_))) => repeats += 1,
                Some(((start, _), delay)) => *delay = Some(alarm - start),
            }
        }
        // Windows do not overlap, so that what they cover is at most the whole.
        let covered: u64 = windows.iter().map(|(a, e)| (*e).min(length) - (*a).min(length)).sum();
        let clean = length.saturating_sub(covered);
        Self::from_parts(delays, false_alarms, repeats, clean)
    }

    /// Adds up the scores of several models.
    pub fn pooled<'a>(scores: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum = Self::default();
        for score in scores {
            sum.delays.extend(&score.delays);
            sum.false_alarms += score.false_alarms;
            sum.repeats += score.repeats;
            sum.clean += score.clean;
        }
        Self::from_parts(sum.delays, sum.false_alarms, sum.repeats, sum.clean)
    }

    fn from_parts(delays: Vec<Option<u64>>, false_alarms: u64, repeats: u64, clean: u64) -> Self {
        let found: Vec<u64> = delays.iter().copied().flatten().collect();
        let mean_delay =
            (!found.is_empty()).then(|| rounded(found.iter().sum::<u64>() as f64 / found.len() as f64, 1));
        let false_per_10k = (clean > 0).then(|| rounded(1e4 * false_alarms as f64 / clean as f64, 2));
        let (detected, total) = (found.len() as u64, delays.len() as u64);
        Self { detected, total, mean_delay, delays, false_alarms, repeats, false_per_10k, clean }
    }
}

/// The window of each drift: where it starts, and the first position behind it.
pub(crate) fn windows(drifts: &[(u64, u64)], length: u64, max_delay: u64) -> Vec<(u64, u64)> {
    let mut drifts = drifts.to_vec();
    drifts.sort_unstable();
    let next = drifts.iter().skip(1).map(|(start, _)| *start).chain([length]);
    drifts
        .iter()
        .zip(next)
        .map(|((start, end), next)| (*start, end.saturating_add(max_delay).min(next).max(*start)))
        .collect()
}

/// Rounds to so many decimals, as a printed number is.
pub(crate) fn rounded(value: f64, decimals: usize) -> f64 {
    format!("{value:.decimals$}").parse().unwrap_or(value)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The drifts of `digits_camera`. All expected numbers here are those of the independent scorer
    /// `drift_score.py`.
    const DIGITS: [(u64, u64); 4] = [(2500, 2500), (4000, 4000), (5500, 6500), (7250, 7250)];

    fn digits(alarms: &[u64]) -> DriftScore {
        DriftScore::of(&DIGITS, alarms, 8000, 1000)
    }

    #[test]
    fn no_alarm_finds_nothing() {
        let score = digits(&[]);
        assert_eq!(
            (score.detected, score.total, score.mean_delay, score.false_per_10k),
            (0, 4, None, Some(0.0))
        );
    }

    #[test]
    fn the_first_alarm_in_a_window_is_the_detection() {
        let score = digits(&[2600, 2700, 4100, 5600, 7300]);
        assert_eq!((score.detected, score.mean_delay, score.repeats), (4, Some(87.5), 1));
        assert_eq!(score.delays, [Some(100), Some(100), Some(100), Some(50)]);
        let score = digits(&[3000; 5]);
        assert_eq!(
            (score.detected, score.mean_delay, score.repeats, score.false_alarms),
            (1, Some(500.0), 4, 0)
        );
    }

    #[test]
    fn windows_hold_their_start_and_not_their_end() {
        let score =
            digits(&[100, 2499, 2500, 3499, 3500, 3999, 4000, 4999, 5000, 5499, 5500, 7249, 7250, 7999]);
        assert_eq!(
            (score.detected, score.mean_delay, score.false_alarms, score.repeats),
            (4, Some(0.0), 6, 4)
        );
        assert_eq!(score.false_per_10k, Some(17.14));
        assert_eq!(digits(&[2400, 2450]).false_per_10k, Some(5.71));
    }

    #[test]
    fn a_stationary_stream_has_only_false_alarms() {
        let score = DriftScore::of(&[], &[5, 6], 7800, 1000);
        assert_eq!((score.total, score.false_alarms, score.false_per_10k), (0, 2, Some(2.56)));
        assert_eq!(DriftScore::of(&[(0, 0)], &[3], 1000, 1000).false_per_10k, None);
    }

    /// Knuth's generator (MMIX constants), upper 31 bits; the same in the script that gave the numbers.
    pub(crate) fn generator(mut state: u64) -> impl FnMut() -> u64 {
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        }
    }

    #[test]
    fn many_overlapping_drifts_agree_with_the_script() {
        let mut next = generator(7);
        let mut drifts = Vec::new();
        for _ in 0..40 {
            let start = next() % 100_000;
            drifts.push((start, start + next() % 1500));
        }
        let alarms: Vec<u64> = (0..300).map(|_| next() % 100_000).collect();
        let score = DriftScore::of(&drifts, &alarms, 100_000, 500);
        assert_eq!((score.detected, score.total, score.mean_delay), (30, 40, Some(286.4)));
        assert_eq!((score.false_alarms, score.repeats, score.false_per_10k), (172, 98, Some(28.98)));
        assert_eq!(score.delays.iter().flatten().sum::<u64>(), 8592);
    }

    #[test]
    fn a_rate_is_never_negative() {
        // Drifts behind the end, an end before its start, windows far beyond the predictions.
        for (drifts, length) in [
            (&[(9_000, 9_500)][..], 8_000),
            (&[(5, 3), (70, 80)], 50),
            (&[(0, u64::MAX)], 10),
            (&[(3, 3)], 0),
        ] {
            let score = DriftScore::of(drifts, &[1, 2, 9_999], length, u64::MAX);
            assert!(score.false_per_10k.is_none_or(|rate| rate >= 0.0), "{drifts:?}: {score:?}");
            assert!(score.clean <= length);
        }
    }

    #[test]
    fn pooling_one_score_is_the_score() {
        let score = digits(&[100, 2600, 4100]);
        assert_eq!(DriftScore::pooled([&score]), score);
    }
}
