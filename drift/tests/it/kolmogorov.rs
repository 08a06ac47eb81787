//! The two-sample test and KSWIN against counting and sorting everything anew.

use proptest::collection::vec;
use proptest::prelude::*;
use visu_tility_drift::{
    AnyDetector, AnyParams, Compat, Detector, Direction, KolmogorovSmirnov, Kswin, KswinParams, KswinSample,
};

/// The greatest differences of the first sample's share at or below a value to the second's, above and below.
fn plain(first: &[f64], second: &[f64]) -> (f64, f64) {
    let share =
        |sample: &[f64], at: f64| sample.iter().filter(|&&x| x <= at).count() as f64 / sample.len() as f64;
    first.iter().chain(second).fold((0.0, 0.0), |(above, below), &at| {
        let apart = share(first, at) - share(second, at);
        (f64::max(above, apart), f64::max(below, -apart))
    })
}

/// The share of all orders of two samples without ties whose statistic is at least `d`.
fn counted(n: usize, m: usize, d: f64) -> f64 {
    let (mut far, mut all) = (0_u32, 0_u32);
    for order in 0..1_u32 << (n + m) {
        if order.count_ones() as usize != n {
            continue;
        }
        let (mut x, mut y, mut farthest) = (0.0, 0.0, 0.0_f64);
        for place in 0..n + m {
            if order >> place & 1 == 1 {
                x += 1.0;
            } else {
                y += 1.0;
            }
            farthest = farthest.max((x / n as f64 - y / m as f64).abs());
        }
        all += 1;
        far += u32::from(farthest >= d - 1e-9);
    }
    f64::from(far) / f64::from(all)
}

#[test]
fn exact_p_values_are_shares_of_all_orders() {
    for n in 1..=8_usize {
        for m in 1..=(14 - n).min(8) {
            for low in 0..=m {
                // `low` values of the second sample below all of the first, the others above.
                let first: Vec<f64> = (0..n).map(|i| i as f64).collect();
                let second: Vec<f64> =
                    (0..m).map(|i| if i < low { -1.0 - i as f64 } else { 100.0 + i as f64 }).collect();
                let test = KolmogorovSmirnov::new(&first, &second).unwrap();
                let (p, expected) = (test.p_exact().unwrap(), counted(n, m, test.statistic()));
                assert!(
                    (p - expected).abs() <= 1e-12 * expected,
                    "{n} {m} {}: {p}, {expected}",
                    test.statistic()
                );
            }
        }
    }
}

#[test]
fn critical_values_are_the_least_at_the_level() {
    for (n, m, alpha) in [(30, 30, 0.005), (70, 30, 0.005), (12, 9, 0.05), (7, 4, 0.1), (40, 40, 0.3)] {
        let d = KolmogorovSmirnov::critical(n, m, alpha).unwrap();
        let first: Vec<f64> = (0..n).map(|i| i as f64).collect();
        let mut ps = Vec::new();
        for shift in 0..=n {
            let second: Vec<f64> = (0..m).map(|i| (i * n / m + shift) as f64 + 0.5).collect();
            let test = KolmogorovSmirnov::new(&first, &second).unwrap();
            let p = test.p_exact().unwrap();
            assert_eq!(p <= alpha, test.statistic() >= d - 1e-12, "{n} {m} {}", test.statistic());
            ps.push(p);
        }
        assert!(ps.iter().any(|p| *p <= alpha) && ps.iter().any(|p| *p > alpha));
    }
    assert_eq!(KolmogorovSmirnov::critical(3, 3, 0.05), None);
    assert_eq!(KolmogorovSmirnov::critical(0, 3, 0.05), None);
    assert_eq!(KolmogorovSmirnov::critical(3, 3, 0.1), Some(1.0));
}

#[test]
fn samples_have_edges() {
    assert_eq!(KolmogorovSmirnov::new(&[], &[1.0]), None);
    assert_eq!(KolmogorovSmirnov::new(&[f64::NAN], &[1.0]), None);
    let same = KolmogorovSmirnov::new(&[0.0, -0.0, 2.0], &[2.0, 0.0, 0.0]).unwrap();
    assert_eq!((same.statistic(), same.p_value(), same.direction()), (0.0, 1.0, Direction::Unknown));
    assert_eq!(same.p_asymptotic(), 1.0);
    let one = KolmogorovSmirnov::new(&[f64::NEG_INFINITY], &[f64::INFINITY, f64::NAN]).unwrap();
    assert_eq!((one.statistic(), one.p_value(), one.direction()), (1.0, 1.0, Direction::Up));
    assert_eq!((one.sizes(), one.location()), ((1, 1), f64::NEG_INFINITY));
    let large: Vec<f64> = (0..10_001).map(f64::from).collect();
    let test = KolmogorovSmirnov::new(&large, &[5_000.5, 9_000.5, 9_001.5]).unwrap();
    assert_eq!(test.p_value(), test.p_asymptotic());
}

/// KSWIN with all older values as one would write it down.
fn plain_kswin(stream: &[f64], params: &KswinParams) -> Vec<(usize, f64, Direction)> {
    let (w, r) = (usize::from(params.window_size), usize::from(params.stat_size));
    let (mut window, mut drifts) = (Vec::new(), Vec::new());
    for (i, &x) in stream.iter().enumerate() {
        window.push(x);
        if window.len() > w {
            window.remove(0);
        }
        if window.len() < w {
            continue;
        }
        let test = KolmogorovSmirnov::new(&window[..w - r], &window[w - r..]).unwrap();
        if test.p_exact().unwrap() <= params.alpha {
            drifts.push((i, test.statistic(), test.direction()));
            window.drain(..w - r);
        }
    }
    drifts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_statistic_is_the_greatest_difference(
        first in vec(prop_oneof![-3.0..3.0, (-3_i8..3).prop_map(f64::from)], 1..60),
        second in vec(prop_oneof![-2.0..4.0, (-3_i8..3).prop_map(f64::from)], 1..60),
    ) {
        let test = KolmogorovSmirnov::new(&first, &second).unwrap();
        let (above, below) = plain(&first, &second);
        prop_assert!((test.statistic() - above.max(below)).abs() < 1e-12);
        if (above - below).abs() > 1e-9 {
            prop_assert_eq!(test.direction() == Direction::Up, above > below);
        }
        let turned = KolmogorovSmirnov::new(&second, &first).unwrap();
        prop_assert_eq!(turned.statistic(), test.statistic());
        prop_assert!((turned.p_value() - test.p_value()).abs() <= 1e-12 * test.p_value());
        prop_assert!((0.0..=1.0).contains(&test.p_asymptotic()));
    }

    #[test]
    fn kswin_is_what_sorting_again_gives(
        parts in vec((-1.0..1.0, 0.1..2.0, vec(-1.0..1.0, 20..90)), 2..6),
        digits in 0..3_i32,
        window_size in 8_u16..80,
        share in 0.1..0.5,
        alpha in 0.001..0.2,
    ) {
        let scale = 10.0_f64.powi(digits);
        let stream: Vec<f64> = parts
            .iter()
            .flat_map(|(level, spread, noise)| noise.iter().map(move |e| level + spread * e))
            .map(|x: f64| (x * scale).round() / scale)
            .collect();
        let stat_size = ((f64::from(window_size) * share) as u16).max(2);
        let params = KswinParams { alpha, window_size, stat_size, ..KswinParams::default() };
        let mut test = Kswin::new(params).unwrap();
        let mut found = Vec::new();
        for (i, &x) in stream.iter().enumerate() {
            let signal = test.update(x);
            if signal.drift_detected() {
                found.push((i, signal.statistic, signal.direction));
                prop_assert!((1..u64::from(window_size)).contains(&signal.since));
            }
            if let Some(p) = test.p_value() {
                prop_assert_eq!(p <= alpha, signal.drift_detected());
            }
        }
        let expected = plain_kswin(&stream, &params);
        prop_assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert_eq!(found.0, expected.0);
            prop_assert!((found.1 - expected.1).abs() < 1e-12);
            prop_assert_eq!(found.2, expected.2);
        }
    }
}

/// Every older value must be as likely to be drawn: the distance to a sample of 2 of 4 says which it was.
#[test]
fn samples_are_drawn_evenly() {
    let params = KswinParams {
        window_size: 6,
        stat_size: 2,
        sample: KswinSample::Random,
        alpha: 1e-9,
        ..KswinParams::default()
    };
    let mut test = Kswin::new(params).unwrap();
    // Newest 2 of values 1 and 10 alternately among 1, 10: D is 0, 1/2 by which were drawn.
    let mut counts = [0_u32; 3];
    for i in 0..60_000_u32 {
        let signal = test.update(f64::from(i % 2));
        if i >= 5 {
            counts[(signal.statistic * 2.0) as usize] += 1;
        }
    }
    // Of the 6 pairs out of two 0s and two 1s, 4 are mixed (D = 0) and 2 alike (D = 1/2).
    let mixed = f64::from(counts[0]) / 59_995.0;
    assert!((mixed - 4.0 / 6.0).abs() < 0.01 && counts[2] == 0, "{counts:?}");
}

#[test]
fn recorded_samples_that_do_not_fit_are_left_aside() {
    let params =
        KswinParams { window_size: 8, stat_size: 3, compat: Compat::River, ..KswinParams::default() };
    let (mut plain, mut fed) = (Kswin::new(params).unwrap(), Kswin::new(params).unwrap());
    let samples: [&[usize]; 4] = [&[], &[0, 1], &[0, 1, 5], &[2, 2, 1]];
    for i in 0..200_usize {
        let x = (i * 7 % 13) as f64;
        assert_eq!(plain.update(x), fed.update_with_sample(x, samples[i % 4]));
    }
}

#[test]
fn a_level_out_of_reach_never_drifts() {
    let settings = KswinParams { window_size: 6, stat_size: 3, alpha: 0.01, ..KswinParams::default() };
    for params in [settings, KswinParams { compat: Compat::River, ..settings }] {
        let mut test = Kswin::new(params).unwrap();
        for i in 0..100 {
            let signal = test.update(f64::from(i));
            assert!(!signal.drift_detected() && signal.threshold > 1.0);
        }
    }
}

#[test]
fn kswin_stays_within_its_memory() {
    let largest = KswinParams { window_size: 384, stat_size: 100, ..KswinParams::default() };
    let mut test = Kswin::new(largest).unwrap();
    for i in 0..5_000_u64 {
        test.update((i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64);
        assert!(test.bytes() <= 4_096, "{}", test.bytes());
    }
    let mut state = Vec::new();
    test.write_state(&mut state);
    assert!(state.len() <= 4_096, "{}", state.len());
}

/// After a drift the newest values stay, river's are forgotten.
#[test]
fn kswin_is_blind_after_a_drift_as_its_page_says() {
    let step = |i: u64| (i * 37 % 101) as f64 + if i < 200 { 0.0 } else { 500.0 };
    for (compat, blind) in [("paper", 70), ("river", 100)] {
        let mut params = AnyParams::by_name("kswin").unwrap();
        params.set("compat", visu_tility_drift::Setting::Word(compat)).unwrap();
        let Ok(AnyDetector::Kswin(mut test)) = params.build() else { unreachable!() };
        let drift = (0..400).find(|&i| test.update(step(i)).drift_detected()).unwrap();
        let tested = (drift + 1..400).find(|&i| {
            test.update(step(i));
            test.p_value().is_some()
        });
        assert_eq!(tested, Some(drift + blind), "{compat}");
    }
}
