//! Whether a history has a season: an hour-of-day or hour-of-week profile that holds on days it was not learned from.

use alloc::vec;
use alloc::vec::Vec;

use crate::math::{ln, sqrt};
use crate::{Season, SeasonalParams};

const DAY: usize = 24;
const WEEK: usize = 168;
/// The newest hours that are looked at: ten years.
const HOURS_MAX: usize = 87_660;
/// Hours between what a profile is learned from and what it is held against.
const APART: usize = 24;
/// Fewest days and weeks in each half.
const DAYS_LEAST: usize = 6;
const WEEKS_LEAST: usize = 3;
/// Least share of the variance of hourly levels that is worth a stage.
const SHARE_LEAST: f64 = 0.1;
/// Standard deviations beyond chance: one in 1,000 for a normal law.
const SCORE_LEAST: f64 = 3.1;
/// Values that the level of an hour is to be learned from, and the visits of it that this may take.
const LEARN_VALUES: f64 = 60.0;
const LEARN: (f64, f64) = (4.0, 14.0);

/// A season that was found in a history.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Seasonality {
    /// The hour of the day, or of the week where that explains more.
    pub season: Season,
    /// Share of the variance of hourly levels in the second half of the history that the profile of the first
    /// half explains, trend aside; in [0.1, 1].
    pub share: f64,
    /// How far beyond chance it fits, in standard deviations: of its fit when turned by a random number of hours
    /// each day (of days each week), and of what the fits of days differ by, if that is less far.
    pub score: f64,
    /// Days (weeks) of the second half that have values.
    pub cycles: u64,
    /// Mean number of values of an hour that has any.
    pub values_per_hour: f64,
}

impl Seasonality {
    /// Returns the stage that takes it off: an hour of the day is learned from 4 days, more (up to 14) where an
    /// hour has fewer than 15 values; one of the week from 4 weeks.
    pub fn stage(&self) -> SeasonalParams {
        let visits = (LEARN_VALUES / self.values_per_hour.max(1.0)).clamp(LEARN.0, LEARN.1) as u16;
        let learn = if self.season == Season::Day { visits } else { SeasonalParams::default().learn };
        SeasonalParams { season: self.season, learn, ..SeasonalParams::default() }
    }
}

/// Looks for a season of the day or of the week in values and their times in Unix seconds, in order of time.
///
/// 1. Values become ranks, so that neither tails nor scale matter, and ranks become means of hours (of UTC).
///    What moves slowly is taken off: the centred mean of a day, or of a week.
/// 2. The mean of each hour of the day is learned on the first half and held against the second, a day between
///    them. It must explain a tenth of the variance there.
/// 3. It must fit better than by chance. Were the stream stationary, whatever its autocorrelation, each day would
///    fit a profile turned by any number of hours as well: with `S(k)` the product of a day with the profile
///    turned by `k` of the hours that have values, the sum of `S(0)` over days has mean 0 and the variance of the
///    sum over days of the mean of `S(k)^2`. More than 3.1 such deviations (more where neighbouring days fit alike)
///    are asked for. Where hours are empty, those on both sides are no neighbours, and what is turned over them
///    fits worse than chance: so the mean of `S(0)` is also held against how much the days' own differ, by Student's
///    law with one degree of freedom less than days, and must be as rare.
/// 4. The hour of the week is taken where it explains a tenth of what the hour of the day leaves, by the test of the
///    turned profile alone, with weeks turned by whole days.
///
/// Measured on 3,000 histories without a season each, of 14 to 90 days, white and AR(1) of .5 to .999 from hour to
/// hour, with values at all hours, in office hours, on week-days, both, or in three hours a day: at most 0.15 % had one
/// found, most often none. (Turned onto empty hours, as before, a profile was found in up to 14 %.)
///
/// Nothing is found in less than 14 days (the week: 8 weeks; more where most hours are empty), where fewer than
/// three hours a day have values, or where the times are not there. A season of the spread alone, or one of another
/// length, is not looked for.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::calibration::seasonality;
/// use visu_tility_drift::simulate::Random;
/// use visu_tility_drift::Season;
///
/// let mut random = Random::new(1);
/// let seconds: Vec<i64> = (0..30 * 144).map(|i| i * 600).collect();
/// let hill = |at: i64| (at as f64 / 86_400.0 * core::f64::consts::TAU).sin();
/// let daily: Vec<f64> = seconds.iter().map(|&at| hill(at) + random.normal()).collect();
/// let found = seasonality(&daily, &seconds).map(|found| (found.season, found.share > 0.5));
/// assert_eq!(found, Some((Season::Day, true)));
/// let noise: Vec<f64> = seconds.iter().map(|_| random.normal()).collect();
/// assert_eq!(seasonality(&noise, &seconds), None);
/// ```
pub fn seasonality(values: &[f64], seconds: &[i64]) -> Option<Seasonality> {
    let hours = Hours::of(values, seconds)?;
    let day = hours.look(DAY, 1, DAYS_LEAST);
    let week = hours.look(WEEK, DAY, WEEKS_LEAST);
    let (season, found) = match (week.filter(Found::holds), day.filter(Found::holds)) {
        (Some(week), _) => (Season::Week, week),
        (None, Some(day)) => (Season::Day, day),
        (None, None) => return None,
    };
    let Found { whole, score, cycles, .. } = found;
    Some(Seasonality { season, share: whole, score, cycles, values_per_hour: hours.values_per_hour })
}

/// How well a profile holds.
#[derive(Clone, Copy, Debug)]
struct Found {
    /// Share of the variance that the whole profile explains, and of what the profile of the turned ones leaves.
    whole: f64,
    own: f64,
    score: f64,
    cycles: u64,
}

impl Found {
    fn holds(&self) -> bool {
        self.own >= SHARE_LEAST && self.whole >= SHARE_LEAST && self.score >= SCORE_LEAST
    }
}

/// Mean ranks of hours, NaN where there are none.
struct Hours {
    means: Vec<f64>,
    /// The hour of the first one.
    first: i64,
    values_per_hour: f64,
}

impl Hours {
    fn of(values: &[f64], seconds: &[i64]) -> Option<Self> {
        let n = values.len().min(seconds.len());
        let hour = |at: &i64| at.div_euclid(3_600);
        let last = seconds.iter().take(n).map(hour).max()?;
        let first = seconds.iter().take(n).map(hour).min()?.max(last.saturating_sub(HOURS_MAX as i64 - 1));
        let length = (last - first) as usize + 1;
        if length < 2 * DAYS_LEAST * DAY {
            return None;
        }
        let mut sums = vec![(0.0_f64, 0.0_f64); length];
        for (rank, at) in ranks(values.get(..n)?).into_iter().zip(seconds) {
            let place = usize::try_from(hour(at) - first).ok().and_then(|place| sums.get_mut(place));
            if let Some((sum, count)) = place.filter(|_| rank.is_finite()) {
                *sum += rank;
                *count += 1.0;
            }
        }
        let filled = sums.iter().filter(|(_, count)| *count > 0.0).count().max(1);
        let all: f64 = sums.iter().map(|(_, count)| count).sum();
        let means = sums.iter().map(|(sum, count)| if *count > 0.0 { sum / count } else { f64::NAN });
        Some(Self { means: means.collect(), first, values_per_hour: all / filled as f64 })
    }

    /// The place of an hour in a cycle.
    fn phase(&self, at: usize, cycle: usize) -> usize {
        (self.first + at as i64).rem_euclid(cycle as i64) as usize
    }

    /// Holds the profile of a cycle, less the mean of it turned by `turn` hours again and again, against what it
    /// was not learned from.
    fn look(&self, cycle: usize, turn: usize, least: usize) -> Option<Found> {
        let apart = self.less_trend(cycle);
        let from = apart.iter().position(|x| x.is_finite())?;
        let end = apart.iter().rposition(|x| x.is_finite())? + 1;
        let middle = from.midpoint(end);
        if middle < from + least * cycle + APART / 2 || end < middle + least * cycle + APART / 2 {
            return None;
        }
        let phase = |at: usize| self.phase(at, cycle);
        let learned = |at: &usize| apart.get(*at).is_some_and(|x| x.is_finite());
        let part = |range: core::ops::Range<usize>| range.filter(learned).collect::<Vec<usize>>();
        let value = |at: usize| apart.get(at).copied().unwrap_or_default();

        let first = part(from..middle - APART / 2);
        let profile = profile(first.iter().map(|&at| (phase(at), value(at))), cycle);
        let common = common(&profile, turn);
        let own: Vec<f64> = profile.iter().zip(&common).map(|(x, mean)| x - mean).collect();
        let of = |profile: &[f64], at: usize| {
            profile.get(at % cycle).copied().filter(|x| x.is_finite()).unwrap_or_default()
        };

        let all_turned = turned(&own, turn);
        let (mut all, mut left, mut left_by_common) = (0.0, 0.0, 0.0);
        let mut fits: Vec<(f64, f64)> = Vec::new();
        let start = middle + APART / 2;
        for block in 0..(end - start) / cycle {
            let hours = part(start + block * cycle..start + (block + 1) * cycle);
            if hours.is_empty() {
                continue;
            }
            for &at in &hours {
                let (x, base) = (value(at), of(&common, phase(at)));
                all += x * x;
                left_by_common += (x - base) * (x - base);
                let rest = x - base - of(&own, phase(at));
                left += rest * rest;
            }
            let fit =
                |profile: &Vec<f64>| hours.iter().map(|&at| value(at) * of(profile, phase(at))).sum::<f64>();
            let chance = all_turned.iter().map(|profile| fit(profile) * fit(profile)).sum::<f64>();
            fits.push((fit(&own), chance / all_turned.len() as f64));
        }
        let share = |left: f64, of: f64| if of > 0.0 { 1.0 - left / of } else { 0.0 };
        let (whole, own) = (share(left, all), share(left, left_by_common));
        // Weeks are too few to say how much they differ.
        let score = if cycle == DAY { score(&fits).min(score_of_spread(&fits)) } else { score(&fits) };
        Some(Found { whole, own, score, cycles: fits.len() as u64 })
    }

    /// The hours less their centred mean over a cycle, which knows no season; NaN at both ends.
    fn less_trend(&self, cycle: usize) -> Vec<f64> {
        let mut sums = Vec::with_capacity(self.means.len() + 1);
        let mut sum = (0.0, 0.0);
        sums.push(sum);
        for mean in &self.means {
            if mean.is_finite() {
                sum = (sum.0 + mean, sum.1 + 1.0);
            }
            sums.push(sum);
        }
        // Twice the sum of a cycle's hours, those at both ends counting half.
        let window = |at: usize, half: usize| {
            let wide = (sums.get(at + half + 1)?, sums.get(at.checked_sub(half)?)?);
            let inner = (sums.get(at + half)?, sums.get(at + 1 - half)?);
            let sum = wide.0.0 - wide.1.0 + inner.0.0 - inner.1.0;
            let count = wide.0.1 - wide.1.1 + inner.0.1 - inner.1.1;
            (count >= cycle as f64 / 4.0).then(|| sum / count)
        };
        let of = |(at, mean): (usize, &f64)| window(at, cycle / 2).map_or(f64::NAN, |level| mean - level);
        self.means.iter().enumerate().map(of).collect()
    }
}

/// The rank of each value among all, from 0 to 1; ties share the middle one.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let value = |at: &usize| values.get(*at).copied().unwrap_or(f64::NAN);
    order.sort_by(|a, b| value(a).total_cmp(&value(b)));
    let mut ranks = vec![f64::NAN; values.len()];
    let n = values.len().max(1) as f64;
    let mut at = 0;
    for ties in order.chunk_by(|a, b| value(a) == value(b)) {
        let rank = (at as f64 + ties.len() as f64 / 2.0) / n;
        for place in ties.iter().filter(|place| value(place).is_finite()) {
            if let Some(own) = ranks.get_mut(*place) {
                *own = rank;
            }
        }
        at += ties.len();
    }
    ranks
}

/// The mean at each phase; NaN where there is nothing.
fn profile(values: impl Iterator<Item = (usize, f64)>, cycle: usize) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); cycle];
    for (phase, value) in values {
        if let Some((sum, count)) = sums.get_mut(phase) {
            *sum += value;
            *count += 1.0;
        }
    }
    sums.into_iter().map(|(sum, count)| if count > 0.0 { sum / count } else { f64::NAN }).collect()
}

/// What is left of a profile when it is turned by `turn` again and again, and the mean is taken.
fn common(profile: &[f64], turn: usize) -> Vec<f64> {
    let mean = |at: usize| {
        let same = profile.iter().skip(at % turn).step_by(turn).filter(|x| x.is_finite());
        let (sum, count) = same.fold((0.0, 0.0), |(sum, count), x| (sum + x, count + 1.0));
        if count > 0.0 { sum / count } else { f64::NAN }
    };
    let means: Vec<f64> = (0..turn).map(mean).collect();
    (0..profile.len()).map(|at| means.get(at % turn).copied().unwrap_or(f64::NAN)).collect()
}

/// A profile turned by each number of its places, `turn` apart, that have values; others stay as they are.
fn turned(profile: &[f64], turn: usize) -> Vec<Vec<f64>> {
    let filled = |class: usize| {
        let places = (class..profile.len()).step_by(turn);
        places.filter(|&at| profile.get(at).is_some_and(|x| x.is_finite())).collect::<Vec<usize>>()
    };
    let classes: Vec<Vec<usize>> = (0..turn).map(filled).collect();
    let turns = classes.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let turned_by = |by: usize| {
        let mut turned = profile.to_vec();
        for places in &classes {
            for (&to, &from) in places.iter().zip(places.iter().cycle().skip(by)) {
                if let (Some(to), Some(&x)) = (turned.get_mut(to), profile.get(from)) {
                    *to = x;
                }
            }
        }
        turned
    };
    (0..turns).map(turned_by).collect()
}

/// How much longer the deviation of a sum of fits is where neighbouring days fit alike, beyond what chance makes of
/// so few, than where they do not; with the mean of the fits and the sum of squares about it.
fn alike(fits: &[(f64, f64)]) -> (f64, f64, f64) {
    let n = fits.len() as f64;
    let mean = fits.iter().map(|(fit, _)| fit).sum::<f64>() / n;
    let squares: f64 = fits.iter().map(|(fit, _)| (fit - mean) * (fit - mean)).sum();
    let products = fits.iter().zip(fits.iter().skip(1)).map(|(a, b)| (a.0 - mean) * (b.0 - mean));
    let alike = if squares > 0.0 { products.sum::<f64>() / squares - 1.0 / sqrt(n) } else { 0.0 };
    (sqrt(1.0 + 2.0 * alike.max(0.0)), mean, squares)
}

/// The sum of fits in deviations of it by chance.
fn score(fits: &[(f64, f64)]) -> f64 {
    let chance: f64 = fits.iter().map(|(_, chance)| chance).sum();
    let (longer, mean, _) = alike(fits);
    if chance > 0.0 { mean * fits.len() as f64 / (sqrt(chance) * longer) } else { 0.0 }
}

/// The mean of fits in deviations by how much they differ, as rare for a normal law as it is for Student's.
fn score_of_spread(fits: &[(f64, f64)]) -> f64 {
    let (longer, mean, squares) = alike(fits);
    let freedom = fits.len() as f64 - 1.0;
    if freedom < 1.0 || mean <= 0.0 {
        return 0.0;
    }
    if squares <= 0.0 {
        return f64::MAX;
    }
    normal_of_student(mean / (sqrt(squares / (freedom + 1.0) / freedom) * longer), freedom)
}

/// The number that a standard normal one exceeds about as seldom as Student's exceeds `t`, from 0 up (Wallace, Annals of
/// Mathematical Statistics 30, 1959).
fn normal_of_student(t: f64, freedom: f64) -> f64 {
    (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0) * sqrt(freedom * ln(1.0 + t * t / freedom))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Random;

    /// Values every ten minutes: their times, and a season of the day, of the weekend, and an AR(1) of unit spread
    /// that is alike from hour to hour by `phi`.
    fn stream(days: i64, daily: f64, weekend: f64, phi: f64, seed: u64) -> (Vec<f64>, Vec<i64>) {
        let mut random = Random::new(seed);
        let step = phi.powf(1.0 / 6.0);
        let mut x = 0.0;
        let seconds: Vec<i64> = (0..days * 144).map(|at| 1_738_540_800 + at * 600).collect();
        let value = |&at: &i64| {
            x = step * x + sqrt(1.0 - step * step) * random.normal();
            let day = at as f64 / 86_400.0;
            let off = if (at / 86_400) % 7 < 2 { weekend } else { 0.0 };
            x + daily * (day * core::f64::consts::TAU).sin() + off
        };
        (seconds.iter().map(value).collect(), seconds)
    }

    fn found(days: i64, daily: f64, weekend: f64, phi: f64, seed: u64) -> Option<Season> {
        let (values, seconds) = stream(days, daily, weekend, phi, seed);
        seasonality(&values, &seconds).map(|found| found.season)
    }

    #[test]
    fn a_season_of_the_day_is_found_in_noise_and_in_an_autoregression() {
        for seed in 0..20 {
            assert_eq!(found(60, 0.5, 0.0, 0.0, seed), Some(Season::Day), "seed {seed}");
            assert_eq!(found(60, 1.5, 0.0, 0.9, seed), Some(Season::Day), "seed {seed}");
        }
    }

    #[test]
    fn a_weekend_asks_for_the_hour_of_the_week_where_there_are_weeks_enough() {
        assert_eq!(found(63, 1.0, -2.0, 0.0, 1), Some(Season::Week));
        assert_eq!(found(63, 0.0, -2.0, 0.0, 1), Some(Season::Week));
        assert_eq!(found(35, 1.0, -1.0, 0.0, 1), Some(Season::Day));
    }

    #[test]
    fn noise_of_any_autocorrelation_has_no_season() {
        for phi in [0.0, 0.5, 0.9, 0.99, 0.999] {
            let seasons = (0..60).filter(|seed| found(60, 0.0, 0.0, phi, *seed).is_some()).count();
            assert_eq!(seasons, 0, "phi {phi}");
        }
    }

    #[test]
    fn a_trend_and_random_steps_have_no_season() {
        for seed in 0..60 {
            let (mut values, seconds) = stream(60, 0.0, 0.0, 0.0, seed);
            let (mut level, mut random) = (0.0, Random::new(!seed));
            for (at, value) in values.iter_mut().enumerate() {
                if random.below(500) == 0 {
                    level = 4.0 * random.normal();
                }
                *value += if seed % 2 == 0 { level } else { at as f64 / 100.0 };
            }
            assert_eq!(seasonality(&values, &seconds), None, "seed {seed}");
        }
    }

    #[test]
    fn a_history_without_days_enough_or_without_times_has_none() {
        assert_eq!(found(12, 2.0, 0.0, 0.0, 1), None);
        let (values, seconds) = stream(60, 2.0, 0.0, 0.0, 1);
        assert_eq!(seasonality(&values, &[]), None);
        assert_eq!(seasonality(&values, &vec![0; values.len()]), None);
        assert_eq!(seasonality(&vec![1.0; values.len()], &seconds), None);
        assert_eq!(seasonality(&vec![f64::NAN; values.len()], &seconds), None);
        assert_eq!(seasonality(&[1.0; 3], &[i64::MIN, 0, i64::MAX]), None);
        // One wild time does not hide the season of the others.
        let far: Vec<i64> = [i64::MIN].into_iter().chain(seconds.iter().skip(1).copied()).collect();
        assert_eq!(seasonality(&values, &far).map(|found| found.season), Some(Season::Day));
    }

    #[test]
    fn hours_of_few_values_are_learned_longer() {
        let learn = |values_per_hour: f64, season: Season| {
            Seasonality { season, share: 0.5, score: 9.0, cycles: 30, values_per_hour }.stage().learn
        };
        assert_eq!([60.0, 10.0, 1.0].map(|values| learn(values, Season::Day)), [4, 6, 14]);
        assert_eq!(learn(1.0, Season::Week), 4);
    }

    /// Values of some hours only, which are told by the hour of the day and the day of the week, Monday 0.
    fn at_hours(all: (Vec<f64>, Vec<i64>), filled: impl Fn(i64, i64) -> bool) -> Option<Season> {
        let times = all.1.into_iter().zip(all.0);
        let some = times.filter(|(at, _)| filled(at / 3_600 % 24, (at / 86_400 + 3) % 7));
        let (times, values): (Vec<i64>, Vec<f64>) = some.unzip();
        seasonality(&values, &times).map(|found| found.season)
    }

    const HOURS: [fn(i64, i64) -> bool; 5] = [
        |hour, _| (8..17).contains(&hour),
        |hour, _| (9..12).contains(&hour),
        |hour, _| hour == 2 || hour == 9 || hour == 20,
        |_, day| day < 5,
        |hour, day| (8..17).contains(&hour) && day < 5,
    ];

    #[test]
    fn most_hours_may_be_empty() {
        for (filled, days) in HOURS.into_iter().zip([35, 60, 35, 35, 35]) {
            for seed in 0..20 {
                let own = at_hours(stream(days, 3.0, 0.0, 0.5, seed), filled);
                assert_eq!(own, Some(Season::Day), "seed {seed} days {days}");
            }
        }
    }

    /// The profile was turned onto empty hours, where it fits nothing: 7 to 13 % of such histories had a season.
    #[test]
    fn noise_has_no_season_where_hours_are_empty() {
        let mut seasons = 0;
        for (at, filled) in HOURS.into_iter().enumerate() {
            for seed in 0..120 {
                let phi = [0.0, 0.9, 0.999][seed as usize % 3];
                let days = if seed % 2 == 0 { 21 } else { 40 };
                let noise = stream(days, 0.0, 0.0, phi, 1_000 * at as u64 + seed);
                seasons += usize::from(at_hours(noise, filled).is_some());
            }
        }
        // One in a thousand is the level; of 600, more than three come once in 250 times.
        assert!(seasons <= 3, "{seasons}");
    }

    #[test]
    fn a_score_is_as_rare_as_students_t() {
        for (t, freedom) in [(5.893, 5.0), (4.025, 11.0), (3.396, 29.0)] {
            let level = crate::special::student_t_sf(t, freedom);
            let own = crate::special::normal_sf(normal_of_student(t, freedom));
            assert!((level / 0.001 - 1.0).abs() < 0.01 && (own / level - 1.0).abs() < 0.1, "{t}: {own}");
        }
    }
}
