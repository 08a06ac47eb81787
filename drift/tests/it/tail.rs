//! The far tail: thresholds of windows against a reference, where a run length of 1e6 and more lies.

use visu_tility_drift::distance::{
    BinnedDistance, DistanceError, NullLaw, count_right_closed, quantile_edges,
};
use visu_tility_drift::simulate::Random;
use visu_tility_drift::special::{chi2_quantile, ln_gamma};

/// `n` over `k`, its logarithm.
fn ways(n: u64, k: u64) -> f64 {
    ln_gamma(n as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0)
}

fn binomial(n: u64, k: u64, p: f64) -> f64 {
    (ways(n, k) + k as f64 * p.ln() + (n - k) as f64 * (1.0 - p).ln()).exp()
}

/// The probability that a window of `m` has at least `k` of what the `n` of the reference have `a` of: the exact test of
/// Fisher.
fn fisher(a: u64, n: u64, k: u64, m: u64) -> f64 {
    let both = a + k;
    (k..=both.min(m)).map(|k| (ways(m, k) + ways(n, both - k) - ways(n + m, both)).exp()).sum()
}

fn beyond(distance: BinnedDistance, reference: &[u64], window: &[u64], level: f64) -> bool {
    let far = distance.threshold_of_table(reference, window, level).unwrap();
    distance.between(reference, window).unwrap() >= far
}

#[test]
fn a_bit_that_becomes_more_frequent_is_held_to_the_exact_test_of_fisher() {
    for (n, a, m, level) in
        [(1_000, 4, 200, 1e-5), (500, 1, 200, 2e-5), (5_000, 20, 1_000, 1e-4), (200, 0, 100, 1e-3)]
    {
        let reference = [n - a, a];
        for distance in [BinnedDistance::JensenShannon, BinnedDistance::ChiSquare, BinnedDistance::G] {
            let least = (0..=m).find(|&k| k * n > a * m && beyond(distance, &reference, &[m - k, k], level));
            let least = least.unwrap();
            let (at, before) = (fisher(a, n, least, m), fisher(a, n, least - 1, m));
            println!(
                "{distance:?} {a} of {n}, {m}: from {least} on, {at:.2e}, one less {before:.2e}, level {level:.0e}"
            );
            // Not lower than the test allows; and not higher but for the other side's part.
            assert!(at <= level && before > 0.5 * level, "{distance:?} {a} of {n}");
        }
    }
}

/// The reference and the window are both of one known law, so that the probability of a false alarm is a sum.
#[test]
fn of_rare_bits_the_exact_rate_of_false_alarms_is_within_the_level() {
    let (n, m, arl) = (500, 200, 1e7);
    let level = m as f64 / arl;
    for (p, distances) in [(0.02, &BinnedDistance::ALL[..]), (0.005, &[BinnedDistance::TotalVariation])] {
        let of_window: Vec<f64> = (0..=m).map(|k| binomial(m, k, p)).collect();
        for &distance in distances {
            let (mut rate, mut fitted) = (0.0, 0.0);
            for a in (0..=n).filter(|&a| binomial(n, a, p) > 1e-3) {
                let reference = [n - a, a];
                let law = NullLaw::of(distance, &[2 * (n - a) + 1, 2 * a + 1], n, m).unwrap();
                let near = law.threshold(level).unwrap();
                for (k, chance) in (0..=m).zip(&of_window) {
                    let window = [m - k, k];
                    let apart = distance.between(&reference, &window).unwrap();
                    let far = beyond(distance, &reference, &window, level);
                    rate += binomial(n, a, p) * if far { *chance } else { 0.0 };
                    fitted += binomial(n, a, p) * if apart >= near { *chance } else { 0.0 };
                }
            }
            println!(
                "{distance:?}, one in {}: {:.2} of the level, fitted {:.2}",
                1.0 / p,
                rate / level,
                fitted / level
            );
            // The references that are left out are a hundredth.
            assert!(rate <= 0.95 * level, "{distance:?} {p}: {} of the level", rate / level);
        }
    }
}

/// Counts the windows that are beyond their thresholds, of all whose distance is not near; references and windows are
/// of the same shares.
fn alarms(
    shares: &[f64],
    sizes: (u64, u64),
    level: f64,
    of: (u64, u64),
    distances: &[BinnedDistance],
) -> Vec<u32> {
    let (mut random, mut alarms) = (Random::new(5), vec![0; distances.len()]);
    let whole: f64 = shares.iter().sum();
    let mut counts = |size: u64| {
        let mut counts = vec![0_u64; shares.len()];
        for _ in 0..size {
            let mut at = random.unit() * whole;
            let bin = shares.iter().position(|share| {
                at -= share;
                at < 0.0
            });
            counts[bin.unwrap_or(0)] += 1;
        }
        counts
    };
    for _ in 0..of.0 {
        let reference = counts(sizes.0);
        let doubled: Vec<u64> = reference.iter().map(|count| 2 * count + 1).collect();
        // Nothing nearer is beyond: asserted below for some.
        let near = |&distance: &BinnedDistance| {
            let law = NullLaw::of(distance, &doubled, sizes.0, sizes.1).unwrap();
            law.threshold((30.0 * level).min(0.1)).unwrap()
        };
        let near: Vec<f64> = distances.iter().map(near).collect();
        for i in 0..of.1 {
            let window = counts(sizes.1);
            for ((&distance, near), alarms) in distances.iter().zip(&near).zip(&mut alarms) {
                let apart = distance.between(&reference, &window).unwrap();
                if apart >= *near {
                    *alarms += u32::from(beyond(distance, &reference, &window, level));
                } else if i == 0 {
                    assert!(!beyond(distance, &reference, &window, level), "{distance:?} {apart}");
                }
            }
        }
    }
    alarms
}

const LOOSE: [BinnedDistance; 4] = [
    BinnedDistance::Psi,
    BinnedDistance::KullbackLeibler,
    BinnedDistance::Hellinger,
    BinnedDistance::JensenShannon,
];

/// Where the fitted law let through 3 times the level with PSI and KL at 1e-4, and 26 times at 1e-5.
#[test]
fn of_small_windows_the_false_alarms_are_within_the_level() {
    let (level, references, windows) = (2e-4, 10, 15_000);
    let found = alarms(&[1.0; 10], (500, 100), level, (references, windows), &LOOSE);
    let wanted = (references * windows) as f64 * level;
    println!("{found:?} false alarms of {wanted} allowed, seed 5");
    // The error of a count, wider as windows of one reference go together.
    assert!(found.iter().all(|&count| f64::from(count) <= wanted + 4.0 * wanted.sqrt()), "{found:?}");
    assert!(found.iter().all(|&count| f64::from(count) >= 0.2 * wanted), "{found:?}");
}

/// A law of the window with the reference's counts as parameters let through 3.4 times the level with PSI here.
#[test]
fn of_dozens_of_rare_bins_the_false_alarms_are_within_the_level() {
    let zipf: Vec<f64> = (1..=30).map(|k| f64::from(k).powf(-1.5)).collect();
    let (level, references, windows) = (2e-4, 100, 1_500);
    let found = alarms(&zipf, (500, 100), level, (references, windows), &LOOSE);
    let wanted = (references * windows) as f64 * level;
    println!("{found:?} false alarms of {wanted} allowed, seed 5");
    assert!(found.iter().all(|&count| f64::from(count) <= wanted + 3.0 * wanted.sqrt()), "{found:?}");
    assert!(found.iter().all(|&count| f64::from(count) >= 0.1 * wanted), "{found:?}");
}

/// Bins between the quantiles of the reference itself: what both count together says too much there. By the law of
/// tables alone 6 times the level with KL.
#[test]
fn of_bins_that_the_reference_gave_the_false_alarms_are_within_the_level() {
    let (level, references, windows) = (2e-3, 20, 600);
    let (mut random, mut found) = (Random::new(6), [0_u32; 2]);
    for _ in 0..references {
        let reference: Vec<f64> = (0..100).map(|_| random.unit()).collect();
        let edges = quantile_edges(&reference, 10).unwrap();
        let counts = count_right_closed(&reference, &edges);
        for _ in 0..windows {
            let window: Vec<f64> = (0..100).map(|_| random.unit()).collect();
            let window = count_right_closed(&window, &edges);
            // Far below any threshold here (28).
            if BinnedDistance::G.between(&counts, &window).unwrap() < 14.0 {
                continue;
            }
            for (&distance, found) in LOOSE[..2].iter().zip(&mut found) {
                *found += u32::from(beyond(distance, &counts, &window, level));
            }
        }
    }
    let wanted = f64::from(references * windows) * level;
    println!("{found:?} false alarms of {wanted} allowed, seed 6");
    assert!(found.iter().all(|&count| f64::from(count) <= wanted + 3.0 * wanted.sqrt()), "{found:?}");
    assert!(found.iter().all(|&count| f64::from(count) >= 0.2 * wanted), "{found:?}");
}

/// With large counts the statistic is chi-square whatever the shares, so the exact threshold is known; the counts are
/// taken in strides here, rare bins in others.
#[test]
fn of_large_windows_the_threshold_is_that_of_chi_square() {
    let uneven: Vec<u64> = (1..=30).map(|k| 400_000 / (k * k)).collect();
    for shares in [&[20_000; 10][..], &[300; 10], &uneven] {
        let reference: Vec<u64> = shares.iter().map(|share| 5 * share).collect();
        // A little off, as a window is that is looked at.
        let window: Vec<u64> =
            shares.iter().zip(0_u64..).map(|(&n, i)| n + n.isqrt() * (i % 3) - n.isqrt()).collect();
        for level in [1e-3, 1e-5, 1e-8] {
            let wanted = chi2_quantile(level, (shares.len() - 1) as f64);
            for distance in [BinnedDistance::ChiSquare, BinnedDistance::G] {
                let far = distance.threshold_of_table(&reference, &window, level).unwrap();
                println!(
                    "{distance:?} of {} bins, {level:.0e}: {far:.3}, chi-square {wanted:.3}",
                    shares.len()
                );
                assert!((0.99..1.05).contains(&(far / wanted)), "{distance:?} {level} {far} {wanted}");
            }
        }
    }
}

/// A window that is far beyond gets a bound, which is not much more than what is measured when it is near.
#[test]
fn what_is_far_beyond_is_held_against_a_bound() {
    let reference = [50; 10];
    for distance in LOOSE {
        let near =
            distance.threshold_of_table(&reference, &[10, 12, 8, 10, 11, 9, 10, 10, 7, 13], 1e-5).unwrap();
        let window = [90, 0, 0, 0, 0, 0, 0, 0, 5, 5];
        let far = distance.threshold_of_table(&reference, &window, 1e-5).unwrap();
        let apart = distance.between(&reference, &window).unwrap();
        println!("{distance:?} {near:.3} {far:.3} {apart:.3}");
        assert!(far < apart && near < 1.02 * far, "{distance:?} {near} {far} {apart}");
    }
}

#[test]
fn any_table_has_a_threshold_and_it_is_the_same_each_time() {
    let huge = 1_u64 << 49;
    for (reference, window) in [
        (vec![1, 0], vec![0, 1]),
        (vec![0, 50, 0], vec![0, 0, 200]),
        (vec![0, 50, 0], vec![0, 9, 0]),
        (vec![huge, 1, huge], vec![1, 100, 2]),
        (vec![7, 9, 0, 4], vec![huge, 9, huge, 3]),
        (vec![huge; 5], vec![huge; 5]),
        (vec![7; 64], vec![1; 64]),
        (vec![500_000, 3, 400_000, 0], vec![400_000, 500_000, 3, 3]),
    ] {
        for distance in BinnedDistance::ALL {
            for level in [0.5, 1e-3, 1e-11] {
                let far = distance.threshold_of_table(&reference, &window, level).unwrap();
                assert!(far.is_finite() && far > 0.0, "{distance:?} {reference:?} {far}");
                assert_eq!(distance.threshold_of_table(&reference, &window, level), Ok(far));
            }
        }
    }
}

#[test]
fn what_has_no_threshold_is_refused_by_name() {
    let said = |reference: &[u64], window: &[u64], level| {
        BinnedDistance::Psi.threshold_of_table(reference, window, level).unwrap_err().to_string()
    };
    assert_eq!(said(&[5], &[5], 0.1), "there are 1 bins with counts, must be at least 2");
    assert_eq!(said(&[0, 0], &[1, 1], 0.1), "the reference counts nothing, must count something");
    assert_eq!(said(&[5, 5], &[0, 0], 0.1), "the current counts nothing, must count something");
    assert_eq!(said(&[5, 5], &[5], 0.1), "the reference has 2 bins and the current 1, must be as many");
    assert_eq!(said(&[5, 5], &[5, 5], 1.0), "`level` is 1, must be in (0, 1)");
    assert!(matches!(
        BinnedDistance::Psi.threshold_of_table(&[5, 5], &[5, 5], f64::NAN),
        Err(DistanceError::Argument { name: "level", .. })
    ));
}
