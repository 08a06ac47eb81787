//! Run lengths of CUSUM against published tables, plain chains, and streams.

use visu_tility_drift::{
    Cusum, CusumFamily, CusumParams, Detector, Direction, Mode, cusum_arl, cusum_delay, cusum_threshold,
};

fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn gaussian(shift: f64, mode: Mode) -> CusumParams {
    let family = CusumFamily::Gaussian;
    CusumParams { family, mode, baseline: 0.0, target: shift, ..CusumParams::default() }
}

fn bits(baseline: f64, target: f64, mode: Mode) -> CusumParams {
    CusumParams { baseline, target, mode, ..CusumParams::default() }
}

/// Montgomery, "Introduction to Statistical Quality Control", table 9.3 (`k = 1/2`), and Hawkins and Olwell's
/// 5.0706 for one side at 1,000.
#[test]
fn run_lengths_of_gaussian_values_are_those_of_the_textbooks() {
    for (h, both) in [(4.0, 168.0), (5.0, 465.0)] {
        let found = cusum_arl(&gaussian(1.0, Mode::Both), h).unwrap();
        assert!((found / both - 1.0).abs() < 0.003, "{h}: {found}");
        let one = cusum_arl(&gaussian(1.0, Mode::Up), h).unwrap();
        assert!((one / found - 2.0).abs() < 1e-9);
    }
    for (h, one) in [(4.0, 335.4), (5.0, 930.9), (5.070_6, 1_000.0)] {
        let found = cusum_arl(&gaussian(1.0, Mode::Up), h).unwrap();
        assert!((found / one - 1.0).abs() < 0.002, "{h}: {found}");
    }
}

/// `(exp(2 k b) - 1 - 2 k b) / (2 k^2)` with `b = h + 1.166` is good for small `k`.
#[test]
fn run_lengths_are_near_siegmunds_formula() {
    for (shift, h) in [(0.2_f64, 10.0_f64), (0.2, 30.0), (0.5, 8.0), (0.5, 20.0), (0.1, 59.0), (0.1, 61.0)] {
        let (k, b) = (0.5 * shift, h + 1.166);
        let formula = ((2.0 * k * b).exp() - 1.0 - 2.0 * k * b) / (2.0 * k * k);
        let found = cusum_arl(&gaussian(shift, Mode::Up), h * shift).unwrap();
        assert!((found / formula - 1.0).abs() < 0.02, "{shift} {h}: {found} {formula}");
    }
}

#[test]
fn a_threshold_gives_the_run_length_that_was_asked_for() {
    for arl in [20.0, 1e4, 1e9] {
        for params in [gaussian(1.0, Mode::Up), gaussian(0.3, Mode::Both), gaussian(2.0, Mode::Down)] {
            let target = if params.mode == Mode::Down { -params.target } else { params.target };
            let params = CusumParams { arl, target, ..params };
            let threshold = cusum_threshold(&params).unwrap();
            let found = cusum_arl(&params, threshold).unwrap();
            assert!((found / arl - 1.0).abs() < 1e-4, "{params:?}: {found}");
        }
        for (p, other) in [(0.1, 0.2), (0.4, 0.5), (0.02, 0.06), (0.002, 0.008), (0.5, 0.2), (1e-5, 3e-5)] {
            for mode in [if other > p { Mode::Up } else { Mode::Down }, Mode::Both] {
                let params = CusumParams { arl, ..bits(p, other, mode) };
                let threshold = cusum_threshold(&params).unwrap();
                let found = cusum_arl(&params, threshold).unwrap();
                assert!(found >= 0.999 * arl, "{params:?}: {found}");
            }
        }
    }
}

/// A change of many deviations: values beyond half of it are the only ones that count.
#[test]
fn run_lengths_of_rare_ends_lose_no_digits() {
    for shift in [0.5, 1.0, 3.0, 8.0, 15.0, 31.0, 100.0] {
        for arl in [10.0, 1e4, 1e10, 1e15] {
            let params = CusumParams { arl, ..gaussian(shift, Mode::Up) };
            let threshold = cusum_threshold(&params).unwrap();
            let found = cusum_arl(&params, threshold).unwrap();
            // The least threshold, of a millionth of a deviation, may be more than enough.
            let least = threshold <= 1.1e-6 * shift;
            assert!(found >= arl * (1.0 - 1e-9), "{shift} {arl}: {found} at {threshold}");
            assert!(least || found <= arl * (1.0 + 1e-9), "{shift} {arl}: {found} at {threshold}");
        }
    }
    // One value alone passes 3.6 deviations above k = 4 with probability `erfc(7.6 / sqrt(2)) / 2`,
    // and two or more do it rarely.
    let found = cusum_arl(&gaussian(8.0, Mode::Up), 3.6 * 8.0).unwrap();
    let one = 1.0 / 1.480_653_749_004_8e-14;
    assert!(found < one && found > 0.8 * one, "{found} {one}");
    let mut test = Cusum::new(gaussian(40.0, Mode::Up)).unwrap();
    assert!(!test.update(19.0).drift_detected());
    let signal = test.update(40.0);
    assert!(signal.drift_detected() && signal.threshold.is_finite());
}

/// The chain of all states, solved by iteration.
#[test]
fn run_lengths_of_bits_are_those_of_the_plain_chain() {
    for (p, up, down, limit) in [
        (0.1, 6_usize, 1_usize, 30_usize),
        (0.1, 6, 1, 4),
        (0.3, 3, 2, 25),
        (0.3, 3, 2, 2),
        (0.1, 35, 6, 80),
        (0.45, 1, 1, 12),
        (0.6, 1, 2, 9),
        (0.55, 3, 4, 24),
    ] {
        // Rates whose log-likelihood ratios have this quotient, by bisection.
        let (mut low, mut high) = (p + 1e-9, 1.0 - 1e-9);
        for _ in 0..200 {
            let middle: f64 = 0.5 * (low + high);
            let quotient = (middle / p).ln() / ((1.0 - p) / (1.0 - middle)).ln();
            if quotient > up as f64 / down as f64 { low = middle } else { high = middle }
        }
        let unit = (low / p).ln() / up as f64;
        let mut lengths = vec![1.0; limit];
        let mut before = 0.0;
        while lengths[0] > before * (1.0 + 1e-12) {
            before = lengths[0];
            for i in 0..limit {
                let above = lengths.get(i + up).copied().unwrap_or(0.0);
                lengths[i] = 1.0 + p * above + (1.0 - p) * lengths[i.saturating_sub(down)];
            }
        }
        let found = cusum_arl(&bits(p, low, Mode::Up), limit as f64 * unit).unwrap();
        assert!((found / lengths[0] - 1.0).abs() < 1e-6, "{p} {limit}: {found} {}", lengths[0]);
    }
}

/// Thomas' elimination of the chain with 60 digits (mpmath). Up to 1e15 a chain that takes the chance of staying
/// from 1 loses a quarter of it.
#[test]
fn run_lengths_of_bits_are_exact_however_long() {
    for (p, target, threshold, exact) in [
        (0.3, 0.505_940_527_500_110_6, 34.406_912_998_302_515, 14_657_417_550_375_488.0),
        (0.1, 0.194_357_958_289_041_13, 34.389_500_918_131_57, 34_781_978_994_120_468.0),
        (0.8, 0.930_613_672_188_080_1, 34.405_394_531_149_2, 15_115_479_993_055_214.0),
        (0.45, 0.55, 34.214_353_576_296_766, 43_958_487_134_463_672.0),
        (0.02, 0.028_062_199_938_220_87, 32.989_348_884_669_37, 180_854_837_431_544_960.0_f64),
    ] {
        let found = cusum_arl(&bits(p, target, Mode::Up), threshold).unwrap();
        assert!((found / exact - 1.0).abs() < 1e-11, "{p}: {found} {exact}");
    }
}

/// The integral equation on a grid of 14 Gauss-Legendre nodes every 1.6 deviations, solved by Gauss' elimination
/// with pivots: another grid, another solver.
#[test]
fn run_lengths_of_gaussian_values_are_those_of_a_finer_grid() {
    for (k, h, exact) in [
        (1.0, 9.0, 319_736_185.830_133_1),
        (0.5, 11.0, 381_319.622_601_377_25),
        (0.25, 5.0, 141.687_745_216_854_3),
        (0.25, 15.0, 25_806.025_679_008_19),
        (0.05, 30.0, 3_690.199_651_291_805),
        (0.02, 45.0, 4_364.587_770_277_838),
    ] {
        let shift = 2.0 * k;
        let found = cusum_arl(&gaussian(shift, Mode::Up), h * shift).unwrap();
        assert!((found / exact - 1.0).abs() < 2e-9, "{k} {h}: {found} {exact}");
    }
    for (k, h, exact) in [(0.25, 20.0, 76.681_700_651_072_28), (0.02, 30.0, 667.609_454_140_043_1)] {
        let shift = 2.0 * k;
        let params = CusumParams { threshold: h * shift, ..gaussian(shift, Mode::Up) };
        let found = cusum_delay(&params).unwrap();
        assert!((found / exact - 1.0).abs() < 2e-9, "{k} {h}: {found} {exact}");
    }
}

#[test]
fn measured_run_lengths_are_the_computed_ones() {
    let mut next = uniform(5);
    for (p, other, mode) in [(0.1, 0.2, Mode::Up), (0.3, 0.15, Mode::Both), (0.02, 0.06, Mode::Both)] {
        let params = CusumParams { arl: 500.0, ..bits(p, other, mode) };
        let mut test = Cusum::new(params).unwrap();
        let computed = cusum_arl(&params, cusum_threshold(&params).unwrap()).unwrap();
        let (mut alarms, mut values) = (0_u32, 0_u32);
        while alarms < 1_500 {
            values += 1;
            alarms += u32::from(test.update(f64::from(u8::from(next() < p))).drift_detected());
        }
        let found = f64::from(values) / f64::from(alarms);
        // With both sides the computed one is a lower bound.
        let most = if mode == Mode::Both { 1.25 } else { 1.07 };
        assert!((0.93..most).contains(&(found / computed)), "{params:?}: {found} {computed}");
    }
}

#[test]
fn measured_delays_are_the_computed_ones() {
    let mut next = uniform(6);
    for (p, other, mode) in [(0.1, 0.2, Mode::Up), (0.3, 0.15, Mode::Both), (0.002, 0.02, Mode::Up)] {
        let params = CusumParams { arl: 1_000.0, ..bits(p, other, mode) };
        let mut test = Cusum::new(params).unwrap();
        let (mut alarms, mut values) = (0_u32, 0_u32);
        while alarms < 2_000 {
            values += 1;
            alarms += u32::from(test.update(f64::from(u8::from(next() < other))).drift_detected());
        }
        let (found, computed) = (f64::from(values) / f64::from(alarms), cusum_delay(&params).unwrap());
        assert!((found / computed - 1.0).abs() < 0.07, "{params:?}: {found} {computed}");
    }
    // Montgomery's table 9.3: a shift of one deviation is found after 10.4 values at `h = 5`.
    let params = CusumParams { threshold: 5.0, ..gaussian(1.0, Mode::Both) };
    assert!((cusum_delay(&params).unwrap() - 10.4).abs() < 0.05, "{}", cusum_delay(&params).unwrap());
}

#[test]
fn both_directions_are_found_and_dated() {
    for (mode, level, direction) in [
        (Mode::Both, 2.0, Direction::Up),
        (Mode::Both, -2.0, Direction::Down),
        (Mode::Up, 2.0, Direction::Up),
    ] {
        let mut test = Cusum::new(gaussian(1.0, mode)).unwrap();
        assert!((0..100).all(|i| !test.update(f64::from(i % 2) - 0.5).drift_detected()));
        let (taken, signal) =
            (1..50).map(|n| (n, test.update(level))).find(|(_, s)| s.drift_detected()).unwrap();
        assert_eq!(signal.direction, direction);
        assert!((taken..=taken + 2).contains(&signal.since), "{taken} {signal:?}");
    }
}

#[test]
fn parameters_out_of_range_are_refused() {
    let refused = |params: CusumParams| Cusum::new(params).unwrap_err().param;
    assert_eq!(refused(bits(0.1, 0.05, Mode::Up)), "target");
    assert_eq!(refused(bits(0.1, 0.2, Mode::Down)), "target");
    assert_eq!(refused(bits(0.1, 0.1001, Mode::Both)), "target");
    assert_eq!(refused(bits(0.0, 0.1, Mode::Up)), "baseline");
    assert_eq!(refused(gaussian(0.0, Mode::Both)), "target");
    assert_eq!(refused(CusumParams { sigma: 0.0, ..gaussian(1.0, Mode::Up) }), "sigma");
    assert_eq!(refused(CusumParams { arl: 1.0, ..CusumParams::default() }), "arl");
    assert!(cusum_arl(&CusumParams::default(), 0.0).is_err());
}

#[test]
fn a_reset_leaves_nothing() {
    let fresh = Cusum::new(bits(0.3, 0.15, Mode::Both)).unwrap();
    let mut used = fresh;
    (0..100).for_each(|i| _ = used.update(f64::from(i % 2)));
    used.reset();
    let state = |cusum: &Cusum| {
        let mut bytes = Vec::new();
        cusum.write_state(&mut bytes);
        bytes
    };
    assert_eq!(state(&used), state(&fresh));
}
