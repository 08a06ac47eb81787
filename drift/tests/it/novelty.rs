//! What the novelty detectors find, and what they leave alone.

use visu_tility_drift::{CalendarNovelty, Detector, Direction, Novelty, NoveltyParams};

/// Uniform numbers in [0, 1) (splitmix64).
fn uniform(i: u64) -> f64 {
    let z = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn alarms(params: NoveltyParams, values: impl Iterator<Item = f64>) -> Vec<(usize, Direction)> {
    let mut novelty = Novelty::new(params).unwrap();
    let signals = values.map(|value| novelty.update(value)).enumerate();
    signals.filter(|(_, signal)| signal.drift_detected()).map(|(i, signal)| (i, signal.direction)).collect()
}

#[test]
fn bounded_noise_seldom_alarms() {
    let found = alarms(NoveltyParams::default(), (0..200_000).map(uniform));
    assert!(found.len() <= 2, "{found:?}");
}

#[test]
fn a_spike_a_drop_and_a_new_level_are_found_at_once() {
    let value = |i: u64| {
        uniform(i)
            + match i {
                1_500 => 3.0,
                3_000 => -3.0,
                5_000.. => 9.0,
                _ => 0.0,
            }
    };
    let found = alarms(NoveltyParams::default(), (0..8_000).map(value));
    assert_eq!(&found[..2], &[(1_500, Direction::Up), (3_000, Direction::Down)]);
    assert_eq!(found[2], (5_000, Direction::Up));
    assert!(found.iter().skip(3).all(|&(i, _)| i < 5_040), "the new level is soon known: {found:?}");
}

#[test]
fn what_has_been_seen_does_not_alarm_again_until_it_is_forgotten() {
    let value = |i: u64| if i % 1_000 == 999 { 5.0 } else { uniform(i) };
    let known = alarms(NoveltyParams::default(), (0..20_000).map(value));
    // The means know the spike only after they have seen it beside several others.
    assert!(known.contains(&(999, Direction::Up)), "{known:?}");
    assert!(known.iter().filter(|&&(i, _)| i > 5_000).count() <= 1, "{known:?}");
    let short = NoveltyParams { memory: 300, recovery: 100.0, ..NoveltyParams::default() };
    let forgotten = alarms(short, (0..20_000).map(value));
    assert!((1..20).all(|k| forgotten.contains(&(1_000 * k + 999, Direction::Up))), "{forgotten:?}");
}

#[test]
fn each_alarm_makes_the_next_harder() {
    // Every 200 values one that is 3 % of the range beyond the last.
    let value = |i: u64| if i % 200 == 199 { 1.0 + 0.03 * (i / 200) as f64 } else { uniform(i) };
    let count = |habituation| {
        let params = NoveltyParams { habituation, ..NoveltyParams::default() };
        alarms(params, (0..6_000).map(value)).len()
    };
    assert!(count(0.0) > 2 * count(1.0), "{} {}", count(0.0), count(1.0));
}

#[test]
fn scale_and_origin_do_not_matter() {
    let stream = |i: u64| (uniform(i) * 64.0).floor() + if i % 777 == 776 { (i / 100) as f64 } else { 0.0 };
    let plain = alarms(NoveltyParams::default(), (0..9_000).map(stream));
    let scaled = alarms(NoveltyParams::default(), (0..9_000).map(|i| 1024.0 * stream(i) - 4096.0));
    assert!(!plain.is_empty());
    assert_eq!(plain, scaled);
}

#[test]
fn a_usual_value_at_an_unusual_hour_is_seen_with_a_clock_only() {
    let value = |i: u64| uniform(i) + if (96..216).contains(&(i % 288)) && i / 288 != 20 { 8.0 } else { 0.0 };
    let mut clock = CalendarNovelty::new(NoveltyParams::default()).unwrap();
    let seen = |found: &[usize]| found.iter().any(|&i| i / 288 == 20);
    let with: Vec<usize> = (0..7_000_u64)
        .filter(|&i| clock.update(value(i), i as i64 * 300).drift_detected())
        .map(|i| i as usize)
        .collect();
    assert!(seen(&with), "{with:?}");
    let without: Vec<usize> =
        alarms(NoveltyParams::default(), (0..7_000).map(value)).into_iter().map(|(i, _)| i).collect();
    assert!(!seen(&without), "{without:?}");
}

#[test]
fn a_day_of_the_week_is_known_after_some_weeks() {
    // Quiet on the sixth and seventh day of each week; in the ninth week the second day is quiet too.
    let busy = |day: i64| day % 7 < 5 && day != 57;
    let value =
        |i: i64| uniform(i as u64) + if busy(i / 24) && (8..18).contains(&(i % 24)) { 8.0 } else { 0.0 };
    let mut clock = CalendarNovelty::new(NoveltyParams::default()).unwrap();
    let found: Vec<i64> = (0..24 * 70)
        .filter(|&i| clock.update(value(i), i * 3_600).drift_detected())
        .map(|i| i / 24)
        .collect();
    assert!(found.contains(&57), "{found:?}");
    assert!(found.iter().all(|&day| day < 28 || day == 57), "{found:?}");
}

#[test]
fn memory_is_the_same_for_ever() {
    let mut clock = CalendarNovelty::new(NoveltyParams::default()).unwrap();
    let before = clock.bytes();
    let mut written = Vec::new();
    for i in 0..400_000_i64 {
        clock.update(1e3 / uniform(i as u64) * (i % 5_000) as f64, i * 61);
        if i % 50_000 == 49_999 {
            written.clear();
            clock.write_state(&mut written);
            assert!(written.len() <= 17_000, "{}", written.len());
        }
    }
    assert!(clock.bytes() == before && before <= 22_000, "{before}");
    assert!(size_of::<Novelty>() <= 2_700, "{}", size_of::<Novelty>());
    let mut novelty = Novelty::new(NoveltyParams::default()).unwrap();
    (0..5_000).for_each(|i| _ = novelty.update(1.0 / uniform(i)));
    written.clear();
    novelty.write_state(&mut written);
    assert!(written.len() <= 2_200, "{}", written.len());
}

#[test]
fn parameters_out_of_range_are_refused() {
    let with = |change: fn(&mut NoveltyParams)| {
        let mut params = NoveltyParams::default();
        change(&mut params);
        Novelty::new(params).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(with(|_| ()), Ok(()));
    for (field, result) in [
        ("threshold", with(|params| params.threshold = 0.0)),
        ("tail", with(|params| params.tail = 0.3)),
        ("habituation", with(|params| params.habituation = -1.0)),
        ("recovery", with(|params| params.recovery = f64::NAN)),
        ("rest", with(|params| params.rest = u32::MAX)),
        ("memory", with(|params| params.memory = 99)),
    ] {
        assert!(result.as_ref().is_err_and(|text| text.contains(field)), "{field}: {result:?}");
    }
}

/// The rules of the pages over the whole history, without intervals: exact while no view has more values
/// than it can keep apart.
struct Naive {
    params: NoveltyParams,
    values: Vec<f64>,
    times: Vec<i64>,
    tired: [f64; 5],
    quiet_until: usize,
    last: f64,
}

impl Naive {
    fn new(params: NoveltyParams) -> Self {
        Self { params, values: Vec::new(), times: Vec::new(), tired: [0.0; 5], quiet_until: 0, last: 0.0 }
    }

    fn mean(&self, end: usize) -> f64 {
        self.values[end - 5..end].iter().sum::<f64>() / 5.0
    }

    /// The distance of the quantiles.
    fn range(&self, seen: &[f64]) -> f64 {
        let mut sorted = seen.to_vec();
        sorted.sort_by(f64::total_cmp);
        let outside = self.params.tail * sorted.len() as f64;
        let at = (0..sorted.len()).find(|&i| (i + 1) as f64 > outside).unwrap();
        let (low, high) = (sorted[at], sorted[sorted.len() - 1 - at]);
        (high - low).max(1e-3 * (sorted[sorted.len() - 1] - sorted[0]))
    }

    fn view(&self, weight: f64, seen: &[f64], value: f64) -> f64 {
        let gap = gap(seen.iter(), value);
        if gap < 1e-9 {
            return 0.0;
        }
        let (range, n) = (self.range(seen), seen.len() as f64);
        weight * if range > 0.0 { gap / range } else { 1.0 } * n / (n + 1_000.0)
    }

    /// Novelty for the time of a period in slots of `length` seconds; `values` hold the newest already.
    fn calendar(&self, length: i64, slots: i64) -> f64 {
        let (&value, earlier) = self.values.split_last().unwrap();
        let occasion = |time: &i64| time.div_euclid(length);
        let now = occasion(self.times.last().unwrap());
        let mut visits: Vec<i64> = self.times.iter().map(occasion).collect();
        visits.retain(|&o| (now - o) % slots == 0 && o < now);
        visits.dedup();
        let near = earlier.iter().zip(&self.times).filter(|(_, time)| {
            let apart = now - occasion(time);
            apart > 1 && [0, 1, slots - 1].contains(&apart.rem_euclid(slots))
        });
        if visits.len() < 3 {
            return 0.0;
        }
        let (gap, k) = (gap(near.map(|(value, _)| value), value), visits.len() as f64);
        if gap == 0.0 { 0.0 } else { 0.25 * gap / self.range(earlier) * k / (k + 6.0) }
    }

    fn update(&mut self, value: f64, time: Option<i64>) -> (f64, bool) {
        let mut views = [self.view(1.0, &self.values, value), 0.0, 0.0, 0.0, 0.0];
        self.values.push(value);
        let n = self.values.len();
        if n > 10 {
            let means: Vec<f64> = (5..n - 5).map(|end| self.mean(end)).collect();
            views[1] = self.view(0.25, &means, self.mean(n));
        }
        if n > 15 {
            let step = |end| self.mean(end) - self.mean(end - 5);
            let steps: Vec<f64> = (10..n - 5).map(step).collect();
            views[2] = self.view(0.25, &steps, step(n));
        }
        if let Some(time) = time {
            self.times.push(time);
            views[3] = self.calendar(3_600, 24);
            views[4] = self.calendar(7_200, 84);
        }
        let NoveltyParams { threshold, habituation, recovery, rest, min_instances, .. } = self.params;
        let (mut statistic, mut view) = (0.0, 0);
        for (i, novelty) in views.into_iter().enumerate() {
            self.tired[i] *= 1.0 - 1.0 / recovery;
            let dampened = novelty * (-habituation * self.tired[i]).exp();
            if dampened > statistic {
                (statistic, view) = (dampened, i);
            }
        }
        if n <= self.quiet_until && statistic <= self.last {
            statistic = 0.0;
        }
        let drift = statistic >= threshold;
        if drift {
            (self.quiet_until, self.last) = (n + rest as usize, statistic);
            for (i, tired) in self.tired.iter_mut().enumerate() {
                *tired += if i == view { 1.0 } else { 0.5 };
            }
        }
        if n < min_instances as usize { (0.0, false) } else { (statistic, drift) }
    }
}

fn gap<'a>(seen: impl Iterator<Item = &'a f64>, value: f64) -> f64 {
    seen.map(|other| (other - value).abs()).min_by(f64::total_cmp).unwrap_or(0.0)
}

#[test]
fn novelty_follows_its_page() {
    let params = NoveltyParams {
        threshold: 0.005,
        recovery: 150.0,
        tail: 0.03,
        min_instances: 20,
        ..NoveltyParams::default()
    };
    let mut drifts = 0;
    for seed in 0..12 {
        let (mut naive, mut novelty) = (Naive::new(params), Novelty::new(params).unwrap());
        for i in 0..700 {
            let u = uniform(seed * 10_000 + i);
            // 0 or 1, seldom 2, more seldom 3.
            let value = if u < 0.003 {
                3.0
            } else if u < 0.01 {
                2.0
            } else {
                f64::from(u < 0.4)
            };
            let (statistic, drift) = naive.update(value, None);
            let signal = novelty.update(value);
            assert!((signal.statistic - statistic).abs() < 1e-9, "{seed}, {i}: {statistic} {signal:?}");
            assert_eq!(signal.drift_detected(), drift, "{seed}, {i}");
            drifts += u32::from(drift);
        }
    }
    assert!(drifts > 30, "{drifts}");
}

#[test]
fn calendar_novelty_follows_its_page() {
    let params =
        NoveltyParams { threshold: 0.005, recovery: 150.0, min_instances: 20, ..NoveltyParams::default() };
    let mut drifts = 0;
    for seed in 0..4 {
        let (mut naive, mut novelty) = (Naive::new(params), CalendarNovelty::new(params).unwrap());
        for i in 0..24 * 45 {
            let (day, hour) = (i / 24, i % 24);
            let strange = uniform(seed * 7_000 + day) < 0.07;
            let busy = (8..18).contains(&hour) && (day % 7 < 5) != strange;
            let time = (i * 3_600 + 1_000 * seed) as i64;
            let (statistic, drift) = naive.update(if busy { 8.0 } else { 0.0 }, Some(time));
            let signal = novelty.update(if busy { 8.0 } else { 0.0 }, time);
            assert!((signal.statistic - statistic).abs() < 1e-9, "{seed}, {i}: {statistic} {signal:?}");
            assert_eq!(signal.drift_detected(), drift, "{seed}, {i}");
            drifts += u32::from(drift);
        }
    }
    assert!(drifts > 5, "{drifts}");
}
