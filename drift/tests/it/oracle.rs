//! Every incremental statistic against the same one computed afresh from all values.

use proptest::collection::vec;
use proptest::prelude::*;
use visu_tility_drift::{
    Detector, Ewma, MedianShift, MedianShiftParams, Mixture, MixtureESr, MixtureParams, PageHinkley,
    PageHinkleyParams, QuantileSketch, QuantileSketchParams, Standardizer, StandardizerParams,
    WindowedQuantiles,
};

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    if n % 2 == 1 { sorted[n / 2] } else { f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]) }
}

fn choose(n: usize, k: usize) -> f64 {
    (1..=k).map(|i| (n - k + i) as f64 / i as f64).product()
}

/// Whether the places of the recent values among `fresh` ones before them are too far out for chance.
fn is_significant(fresh: &[f64], recent: &[f64], spared: usize, up: bool, level: f64) -> bool {
    let (n, m) = (fresh.len(), recent.len());
    (0..=spared).any(|j| {
        let edge = if up { recent[j] } else { recent[m - 1 - j] };
        let beyond = fresh.iter().filter(|&&x| if up { x >= edge } else { x <= edge }).count();
        let orders = |i: usize| choose(m - j - 1 + i, i) * choose(n - i + j, j);
        let chance = (0..=beyond).map(orders).sum::<f64>() / choose(n + m, m);
        n > 0 && chance <= level / (2 * (spared + 1)) as f64 * (1.0 + 1e-9)
    })
}

/// The monitor as one would write it down: everything is sorted again at each value. Chance is judged by `b` values.
fn plain_median_shift(stream: &[f64], params: &MedianShiftParams, b: usize) -> Vec<(usize, f64)> {
    let (a, w) = (usize::from(params.reference), usize::from(params.recent));
    let mut last_alarm = None;
    let spared = |n: usize| ((1.0 - params.share) * n as f64 + 1e-9).floor() as usize;
    let (mut alarms, mut start, mut carried) = (Vec::new(), 0, 0.0);
    for i in 0..stream.len() {
        let least = if carried > 0.0 { b.min(a / 2 + 1) } else { a / 2 + 1 };
        if i + 1 - start < least + b {
            continue;
        }
        let from = (i + 1 - b).saturating_sub(a).max(start);
        let (reference, mut recent) = (&stream[from..=i - b], stream[i + 1 - w..=i].to_vec());
        let mut judged = stream[i + 1 - b..=i].to_vec();
        recent.sort_by(f64::total_cmp);
        judged.sort_by(f64::total_cmp);
        let (center, middle) = (median(reference), median(&recent));
        let (up, down) = (recent[spared(w)].min(middle), recent[w - 1 - spared(w)].max(middle));
        let edge = if middle > center { up } else { down };
        if (edge > center) != (middle > center) || edge == center {
            continue;
        }
        let apart: Vec<f64> = reference.iter().map(|x| (x - center).abs()).collect();
        let mut scale = 1.4826 * median(&apart);
        if reference.len() < a && carried > 0.0 {
            let n = reference.len() as f64;
            scale = (n * scale + (a as f64 - n) * carried) / a as f64;
        }
        let floor = params.floor_absolute.max(params.floor_relative * center.abs());
        let statistic = (edge - center).abs() / (scale + (middle - edge).abs() + floor);
        // Of values that an alarm has seen nothing is concluded.
        let fresh = &stream[last_alarm.map_or(from, |at: usize| from.max(at + 1)).min(i + 1 - b)..=i - b];
        let after = last_alarm.is_some_and(|at| at >= from);
        let level = 9.0 / 32.0 / params.arl + if after { 0.25 / a as f64 } else { 0.0 };
        let no_chance = params.arl == 0.0 || is_significant(fresh, &judged, spared(b), edge > center, level);
        if statistic >= params.threshold && no_chance {
            alarms.push((i, statistic));
            last_alarm = Some(i);
            (start, carried) = (i + 1 - b, scale);
        }
    }
    alarms
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn median_shift_is_what_sorting_again_gives(
        parts in vec((0.0..5.0, 0.01..2.0, vec(-1.0..1.0, 5..80)), 1..8),
        ties: bool,
        recent in 1_u16..15,
        reference in 4_u16..50,
        threshold in 0.5..6.0,
        share in proptest::sample::select(vec![0.5, 0.6, 0.7, 0.75, 0.9, 1.0]),
        arl in proptest::sample::select(vec![0.0, 2.0, 20.0, 1_000.0]),
    ) {
        let part = |(level, spread, noise): &(f64, f64, Vec<f64>)| {
            noise.iter().map(|e| level + spread * e).collect::<Vec<_>>()
        };
        let mut stream: Vec<f64> = parts.iter().flat_map(part).collect();
        if ties {
            for x in &mut stream { *x = x.round(); }
        }
        let params =
            MedianShiftParams { recent, reference, threshold, share, arl, ..MedianShiftParams::default() };
        let mut monitor = MedianShift::new(params).unwrap();
        let mut found = Vec::new();
        for (i, &x) in stream.iter().enumerate() {
            let signal = monitor.update(x);
            if signal.drift_detected() {
                found.push((i, signal.statistic.min(1e200)));
            }
        }
        let expected: Vec<(usize, f64)> =
            plain_median_shift(&stream, &params, monitor.recent()).into_iter().map(|(i, s)| (i, s.min(1e200))).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn page_hinkley_is_the_plain_sum_less_its_minimum(
        stream in vec(-1.0..1.0_f64, 1..300),
        step in 0.0..2.0_f64,
        threshold in 1.0..20.0,
        delta in 0.0..0.2,
    ) {
        let half = stream.len() / 2;
        let params = PageHinkleyParams { threshold, delta, alpha: 1.0, ..PageHinkleyParams::default() };
        let mut test = PageHinkley::new(params).unwrap();
        let (mut up, mut down, mut mean) = (vec![0.0], vec![0.0], 0.0);
        for (i, &x) in stream.iter().enumerate() {
            let x = if i < half { x } else { x + step };
            let signal = test.update(x);
            mean += (x - mean) / (i + 1) as f64;
            up.push(up[i] + x - mean - delta);
            down.push(down[i] - x + mean - delta);
            let height = |sum: &[f64]| sum[i + 1] - sum.iter().copied().fold(f64::MAX, f64::min);
            let expected = height(&up).max(height(&down));
            prop_assert!((signal.statistic - expected).abs() <= 1e-9 * (1.0 + expected));
            if (expected - threshold).abs() > 1e-9 {
                prop_assert_eq!(signal.drift_detected(), expected >= threshold && i + 1 >= 30);
            }
            if signal.drift_detected() {
                break;
            }
        }
    }

    #[test]
    fn quantiles_are_within_the_accuracy(
        values in vec(prop_oneof![1e-3..1e3, 1.0..2.0, Just(0.0), Just(-4.0)], 1..500),
        q in 0.0..=1.0,
        split in 0_usize..500,
        threshold in 0.0..20.0,
    ) {
        let params = QuantileSketchParams { max_bins: 900, ..QuantileSketchParams::default() };
        let mut whole = QuantileSketch::new(params).unwrap();
        let (mut left, mut right) = (whole.clone(), whole.clone());
        for (i, &x) in values.iter().enumerate() {
            whole.insert(x);
            if i < split { left.insert(x) } else { right.insert(x) }
        }
        left.merge(&right).unwrap();
        let mut sorted: Vec<f64> = values.iter().map(|x| x.max(0.0)).collect();
        sorted.sort_by(f64::total_cmp);
        let exact = sorted[(q * (sorted.len() - 1) as f64) as usize];
        let found = whole.quantile(q).unwrap();
        prop_assert!((found - exact).abs() <= 0.010_000_01 * exact, "{found} for {exact}");
        prop_assert_eq!(left.quantile(q), whole.quantile(q));
        prop_assert_eq!(left.count(), values.len() as u64);
        let above = whole.count_above(threshold);
        let count = |limit: f64| sorted.iter().filter(|&&x| x > limit).count() as u64;
        prop_assert!(above <= count(threshold) && above >= count(threshold * 1.0203));
    }

    #[test]
    fn a_collapsing_sketch_keeps_the_upper_quantiles(values in vec(-12.0..12.0_f64, 50..400)) {
        let params = QuantileSketchParams { max_bins: 256, ..QuantileSketchParams::default() };
        let mut sketch = QuantileSketch::new(params).unwrap();
        let mut sorted: Vec<f64> = values.iter().map(|x| x.exp()).collect();
        for &x in &sorted { sketch.insert(x); }
        sorted.sort_by(f64::total_cmp);
        let greatest = sorted[sorted.len() - 1];
        for (rank, &exact) in sorted.iter().enumerate() {
            // 256 bins of 2 % span a factor of about 166.
            if exact > greatest / 160.0 {
                // A little above the rank, so that rounding does not fall to the one below.
                let q = ((rank as f64 + 0.25) / (sorted.len() - 1) as f64).min(1.0);
                let found = sketch.quantile(q).unwrap();
                prop_assert!((found - exact).abs() <= 0.0101 * exact, "{found} for {exact}");
            }
        }
        prop_assert_eq!(sketch.count(), values.len() as u64);
        prop_assert!(sketch.bytes() <= 1_200);
    }

    #[test]
    fn windows_of_quantiles_hold_the_last_values(n in 1_u64..500, window in 1_u64..100) {
        let mut recent = WindowedQuantiles::new(QuantileSketchParams::default(), window).unwrap();
        (1..=n).for_each(|i| recent.insert(i as f64));
        let held = recent.count();
        prop_assert!(held >= window.min(n) && held <= 2 * window);
        prop_assert_eq!(recent.quantile(1.0), Some(n as f64));
        let oldest = (n - held + 1) as f64;
        prop_assert!((recent.quantile(0.0).unwrap() - oldest).abs() <= 0.0101 * oldest);
    }

    #[test]
    fn scores_are_those_of_two_passes(stream in vec(-1e3..1e3, 30..200), learn in 2_u64..30) {
        let mut scores = Standardizer::new(StandardizerParams { learn, clip: 4.0 }).unwrap();
        let (first, rest) = stream.split_at(learn as usize);
        for &x in first { assert!(scores.update(x).is_none()); }
        let n = learn as f64;
        let mean = first.iter().sum::<f64>() / n;
        let deviation = (first.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        prop_assert!((scores.mean().unwrap() - mean).abs() <= 1e-9 * (1.0 + mean.abs()));
        prop_assert!((scores.deviation().unwrap() - deviation).abs() <= 1e-9 * deviation);
        for &x in rest {
            let z = ((x - mean) / deviation).clamp(-4.0, 4.0);
            prop_assert!((scores.update(x).unwrap() - z).abs() <= 1e-6);
        }
    }

    #[test]
    fn the_mean_is_the_weighted_sum(stream in vec(-1e3..1e3, 1..60), smoothing in 0.01..=1.0) {
        let mut mean = Ewma::new(smoothing).unwrap();
        let last = stream.iter().fold(f64::NAN, |_, &x| mean.update(x));
        let n = stream.len();
        let weight = |i: usize| {
            let own = if i == 0 { 1.0 } else { smoothing };
            (1.0_f64 - smoothing).powi((n - 1 - i) as i32) * own
        };
        let expected: f64 = stream.iter().enumerate().map(|(i, x)| weight(i) * x).sum();
        prop_assert!((last - expected).abs() <= 1e-9 * (1.0 + expected.abs()));
        prop_assert_eq!(mean.value(), Some(last));
    }
}

/// The average run length is at least the nominal one, and not far above, on the boundary of the null.
#[test]
fn the_average_run_length_of_the_mixture_is_kept() {
    let params = MixtureParams { arl: 500.0, ..MixtureParams::default() };
    let mixture = std::sync::Arc::new(Mixture::new(params).unwrap());
    let mut state = 3_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let mut detector = MixtureESr::with_mixture(mixture);
    let (mut alarms, values) = (0, 1_000_000);
    for _ in 0..values {
        alarms += u32::from(detector.update(f64::from(uniform() < 0.1)).drift_detected());
    }
    let run_length = f64::from(values) / f64::from(alarms);
    assert!((500.0..1_500.0).contains(&run_length), "{run_length}");
}

#[test]
fn nothing_is_learned_from_a_constant() {
    let mut scores = Standardizer::new(StandardizerParams { learn: 10, clip: 3.0 }).unwrap();
    (0..10).for_each(|_| assert_eq!(scores.update(0.1), None));
    assert_eq!([0.1, 0.2, -5.0].map(|x| scores.update(x)), [Some(0.0), Some(3.0), Some(-3.0)]);
}

/// Squares of deviations below 1e-154 vanished, and with them every score.
#[test]
fn scores_are_the_same_at_any_scale() {
    let value = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / 1e6;
    let scores = |scale: f64| {
        let mut scores = Standardizer::new(StandardizerParams { learn: 100, clip: 10.0 }).unwrap();
        (0..200).filter_map(|i| scores.update(value(i) * scale)).collect::<Vec<f64>>()
    };
    let plain = scores(1.0);
    for power in [-990, -600, -3, 300] {
        let scaled = scores(2.0_f64.powi(power));
        assert!(plain.iter().zip(&scaled).all(|(a, b)| (a - b).abs() < 1e-12), "2^{power}");
    }
    assert!(plain.iter().any(|z| *z > 0.5) && plain.iter().any(|z| *z < -0.5));
}
