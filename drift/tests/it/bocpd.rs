//! BOCPD against the exact posterior, written down from the likelihoods of whole segments.

use proptest::collection::vec;
use proptest::prelude::*;
use visu_tility_drift::{Bocpd, BocpdFamily, BocpdParams, Detector, Direction, Level, Signal};

/// ln Γ, by Stirling's series after steps up to 30.
fn ln_gamma(mut x: f64) -> f64 {
    let mut steps = 0.0;
    while x < 30.0 {
        steps += x.ln();
        x += 1.0;
    }
    let series = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1_260.0 * x.powi(5));
    (x - 0.5) * x.ln() - x + std::f64::consts::TAU.ln() / 2.0 + series - steps
}

/// The logarithm of the probability (density) of a whole segment, its parameters integrated out.
fn segment(values: &[f64], p: &BocpdParams) -> f64 {
    let n = values.len() as f64;
    let sum: f64 = values.iter().sum();
    let (a, b) = (p.prior_mean * p.prior_weight, (1.0 - p.prior_mean) * p.prior_weight);
    match p.family {
        BocpdFamily::Gaussian => {
            let mean = if n > 0.0 { sum / n } else { 0.0 };
            let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
            let kappa = p.prior_weight + n;
            let beta = p.prior_shape * p.prior_deviation.powi(2);
            let alpha = p.prior_shape + n / 2.0;
            let last =
                beta + squares / 2.0 + p.prior_weight * n * (mean - p.prior_mean).powi(2) / (2.0 * kappa);
            ln_gamma(alpha) - ln_gamma(p.prior_shape) + p.prior_shape * beta.ln() - alpha * last.ln()
                + (p.prior_weight / kappa).ln() / 2.0
                - n / 2.0 * std::f64::consts::TAU.ln()
        }
        BocpdFamily::Bernoulli => {
            ln_gamma(a + sum) + ln_gamma(b + n - sum) - ln_gamma(a + b + n) - ln_gamma(a) - ln_gamma(b)
                + ln_gamma(a + b)
        }
        BocpdFamily::Poisson => {
            let rate = p.prior_weight;
            let orders: f64 = values.iter().map(|x| ln_gamma(x + 1.0)).sum();
            ln_gamma(a + sum) - ln_gamma(a) + a * rate.ln() - (a + sum) * (rate + n).ln() - orders
        }
    }
}

fn ln_sum(terms: &[f64]) -> f64 {
    let best = terms.iter().copied().fold(f64::MIN, f64::max);
    best + terms.iter().map(|t| (t - best).exp()).sum::<f64>().ln()
}

/// The exact posterior of the run length after each value: `[t][s]` for a segment that began after value `s`.
fn exact(stream: &[f64], p: &BocpdParams) -> Vec<Vec<f64>> {
    // The probability that a segment begins after value s, and of all values up to there.
    let mut begins = vec![0.0];
    let mut all = Vec::new();
    for t in 1..=stream.len() {
        let joint: Vec<f64> = (0..t)
            .map(|s| begins[s] + segment(&stream[s..t], p) + (t - s) as f64 * (1.0 - p.hazard).ln())
            .collect();
        begins.push(ln_sum(&joint) + (p.hazard / (1.0 - p.hazard)).ln());
        let mut posterior = joint;
        posterior.push(begins[t]);
        let total = ln_sum(&posterior);
        for x in &mut posterior {
            *x = (*x - total).exp();
        }
        all.push(posterior);
    }
    all
}

fn families() -> impl Strategy<Value = (BocpdParams, Vec<f64>)> {
    let params = (0.01..0.2, 0.1..3.0, 0.2..2.0, 0.3..3.0).prop_map(|(hazard, weight, shape, deviation)| {
        BocpdParams {
            hazard,
            prior_weight: weight,
            prior_shape: shape,
            prior_deviation: deviation,
            learn: 0,
            runs: 64,
            ..BocpdParams::default()
        }
    });
    let values = (vec(-2.0..2.0, 1..60), -5.0..5.0, 0_usize..60);
    (params, values, 0..3_usize).prop_map(|(mut params, (noise, step, at), family)| {
        let stepped = noise.iter().enumerate().map(|(i, e)| if i < at { *e } else { e + step });
        let stream = match family {
            0 => stepped.collect(),
            1 => stepped.map(|x| f64::from(x > 0.5)).collect(),
            _ => stepped.map(|x: f64| (x * x).round()).collect(),
        };
        params.family = [BocpdFamily::Gaussian, BocpdFamily::Bernoulli, BocpdFamily::Poisson][family];
        (params, stream)
    })
}

/// The share of the exact posterior that counts: segments of 3 to 250 values.
fn recent(posterior: &[f64], t: usize) -> f64 {
    (1..=t).filter(|s| (3..=250).contains(&(t - s))).map(|s| posterior[s]).sum()
}

fn normals(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    let mut uniform = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    move || (-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn with_every_run_kept_the_posterior_is_exact((params, stream) in families()) {
        let mut detector = Bocpd::new(params).unwrap();
        let exact = exact(&stream, &params);
        for (i, (&x, posterior)) in stream.iter().zip(&exact).enumerate() {
            detector.update(x);
            let runs: Vec<(u64, f64)> = detector.run_lengths().collect();
            prop_assert_eq!(runs.len(), posterior.len());
            for (s, (length, weight)) in runs.iter().enumerate() {
                prop_assert_eq!(*length as usize, i + 1 - s);
                prop_assert!((weight - posterior[s]).abs() <= 1e-9, "{} {}: {} {}", i, s, weight, posterior[s]);
            }
        }
    }
}

/// With 48 of up to 320 runs, the probability of a recent change is that of all runs within 0.03.
#[test]
fn few_runs_tell_nearly_what_all_tell() {
    let mut worst = 0.0_f64;
    for (seed, step, family) in [
        (1, 0.0, BocpdFamily::Gaussian),
        (2, 0.5, BocpdFamily::Gaussian),
        (3, 1.0, BocpdFamily::Gaussian),
        (4, 3.0, BocpdFamily::Gaussian),
        (5, 0.3, BocpdFamily::Bernoulli),
        (6, 1.0, BocpdFamily::Poisson),
    ] {
        let mut normal = normals(seed);
        let stream: Vec<f64> = (0..320)
            .map(|i| normal() + if i < 200 { 0.0 } else { step })
            .map(|x| match family {
                BocpdFamily::Gaussian => x,
                BocpdFamily::Bernoulli => f64::from(x > 1.0),
                BocpdFamily::Poisson => x.abs().round(),
            })
            .collect();
        let prior_mean = if family == BocpdFamily::Gaussian { 0.0 } else { 0.5 };
        let params = BocpdParams { family, learn: 0, prior_mean, ..BocpdParams::default() };
        let mut detector = Bocpd::new(params).unwrap();
        for (i, (&x, posterior)) in stream.iter().zip(&exact(&stream, &params)).enumerate() {
            detector.update(x);
            let now = i + 1;
            let total: f64 = detector.run_lengths().map(|run| run.1).sum();
            assert!((total - 1.0).abs() < 1e-12);
            let kept: f64 = detector
                .run_lengths()
                .filter(|run| (3..=250).contains(&run.0) && (run.0 as usize) < now)
                .map(|run| run.1)
                .sum();
            worst = worst.max((kept - recent(posterior, now)).abs());
        }
    }
    println!("worst difference {worst}");
    assert!(worst <= 0.03, "{worst}");
}

#[test]
fn shifts_are_found_with_their_place_and_direction() {
    for (seed, step, direction) in
        [(1, 2.0, Direction::Up), (2, -2.0, Direction::Down), (3, 4.0, Direction::Up)]
    {
        let mut normal = normals(seed);
        // Scale and place are learnt.
        let scaled = |z: f64| 500.0 + 20.0 * z;
        let mut detector = Bocpd::new(BocpdParams { threshold: 0.9, ..BocpdParams::default() }).unwrap();
        for _ in 0..2_000 {
            let signal = detector.update(scaled(normal()));
            assert!(!signal.drift_detected(), "{seed} {signal:?}");
        }
        let (delay, signal) = (1..200_u64)
            .map(|i| (i, detector.update(scaled(normal() + step))))
            .find(|(_, signal)| signal.drift_detected())
            .unwrap();
        assert!(delay <= 15 && signal.since.abs_diff(delay) <= 1, "{delay} {signal:?}");
        assert_eq!(signal.direction, direction);
        assert!((detector.baseline().unwrap() - 500.0).abs() < 5.0, "{:?}", detector.baseline());
        // One change is one drift, and the next is seen again.
        for _ in 0..1_000 {
            assert!(!detector.update(scaled(normal() + step)).drift_detected());
        }
        assert!((detector.estimation().unwrap() - scaled(step)).abs() < 5.0);
        let back = (1..200_u64).map(|_| detector.update(scaled(normal()))).find(|s| s.level == Level::Drift);
        assert_ne!(back.unwrap().direction, direction);
    }
}

#[test]
fn a_changed_spread_is_found() {
    let mut normal = normals(11);
    let mut detector = Bocpd::new(BocpdParams::default()).unwrap();
    assert!((0..1_000).all(|_| !detector.update(normal()).drift_detected()));
    let delay = (1..200).find(|_| detector.update(3.0 * normal()).drift_detected());
    assert!(delay.is_some_and(|delay| delay <= 20), "{delay:?}");
}

#[test]
fn a_rising_share_and_a_rising_count_are_found() {
    for family in [BocpdFamily::Bernoulli, BocpdFamily::Poisson] {
        let mut normal = normals(5);
        let mut value = |level: f64| match family {
            BocpdFamily::Bernoulli => f64::from(normal() > 1.3 - level),
            _ => (3.0 + level + normal()).max(0.0).round(),
        };
        let mut detector = Bocpd::new(BocpdParams { family, ..BocpdParams::default() }).unwrap();
        assert!((0..1_000).all(|_| !detector.update(value(0.0)).drift_detected()), "{family:?}");
        let found = (1..300).map(|_| detector.update(value(1.5))).find(Signal::drift_detected);
        assert_eq!(found.map(|signal| signal.direction), Some(Direction::Up), "{family:?}");
    }
}

#[test]
fn memory_and_probability_are_kept_on_long_streams() {
    let params = BocpdParams { runs: 64, ..BocpdParams::default() };
    let mut detector = Bocpd::new(params).unwrap();
    let mut normal = normals(9);
    for i in 0..100_000_u32 {
        detector.update(normal());
        if i % 1_000 == 999 {
            let total: f64 = detector.run_lengths().map(|run| run.1).sum();
            assert!((total - 1.0).abs() < 1e-9 && detector.bytes() <= 4_096, "{total} {}", detector.bytes());
        }
    }
    let mut state = Vec::new();
    detector.write_state(&mut state);
    assert!(state.len() <= 4_096, "{}", state.len());
    assert_eq!(detector.run_lengths().count(), 64);
    // The kept starts thin out: half of them lie in the last hundredth of the stream.
    assert!(detector.run_lengths().filter(|run| run.0 <= 1_000).count() >= 32);
}

#[test]
fn a_constant_stream_is_quiet_until_it_moves() {
    for family in [BocpdFamily::Gaussian, BocpdFamily::Bernoulli, BocpdFamily::Poisson] {
        let mut detector = Bocpd::new(BocpdParams { family, ..BocpdParams::default() }).unwrap();
        for _ in 0..2_000 {
            let signal = detector.update(1.0);
            assert!(!signal.drift_detected() && signal.statistic.is_finite());
        }
        let mut other = (0..50).map(|_| detector.update(0.0));
        assert!(
            other.any(|signal| signal.drift_detected() && signal.direction == Direction::Down),
            "{family:?}"
        );
    }
}
