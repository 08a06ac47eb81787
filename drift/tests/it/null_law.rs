//! How often identical windows are called drifted at the thresholds that are computed for them.

use visu_tility_drift::distance::{BinnedDistance, NullLaw, Permutation};

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Counts of `n` values in bins with these cumulated weights.
    fn counts(&mut self, n: u64, until: &[f64]) -> Vec<u64> {
        let mut counts = vec![0; until.len()];
        let all = *until.last().unwrap();
        for _ in 0..n {
            let at = self.uniform() * all;
            counts[until.partition_point(|&edge| edge <= at).min(until.len() - 1)] += 1;
        }
        counts
    }
}

/// Bins whose weights fall by this factor from each to the next.
fn bins(count: usize, falling: f64) -> Vec<f64> {
    let mut sum = 0.0;
    (0..count)
        .map(|i| {
            sum += falling.powi(i as i32);
            sum
        })
        .collect()
}

fn shares_of_alarms(
    n: u64,
    m: u64,
    count: usize,
    falling: f64,
    runs: u32,
) -> Vec<(BinnedDistance, f64, f64)> {
    let until = bins(count, falling);
    let mut random = Random(11);
    let pairs: Vec<_> = (0..runs).map(|_| (random.counts(n, &until), random.counts(m, &until))).collect();
    let weights: Vec<u64> = (0..count).map(|i| (1e6 * falling.powi(i as i32)) as u64).collect();
    BinnedDistance::ALL
        .into_iter()
        .map(|distance| {
            let law = NullLaw::of(distance, &weights, n, m).unwrap();
            let limits = [0.05, 0.01].map(|level| law.threshold(level).unwrap());
            let over = limits.map(|limit| {
                pairs.iter().filter(|(a, b)| distance.between(a, b).unwrap() >= limit).count() as f64
                    / f64::from(runs)
            });
            (distance, over[0], over[1])
        })
        .collect()
}

/// What a share of `RUNS` may be off by chance.
fn slack(level: f64) -> f64 {
    3.5 * (level * (1.0 - level) / f64::from(RUNS)).sqrt()
}

const RUNS: u32 = 1_500;

#[test]
fn false_alarms_are_as_many_as_the_level_says() {
    for (n, m, count, falling) in [
        (100, 100, 5, 1.0),
        (100, 100, 30, 1.0),
        (100, 1_000, 10, 0.7),
        (1_000, 100, 10, 1.0),
        (500, 500, 20, 0.8),
        (5_000, 1_000, 10, 0.7),
    ] {
        for (distance, five, one) in shares_of_alarms(n, m, count, falling, RUNS) {
            let what = format!("{distance:?} of {n} and {m} in {count} bins: {five} at .05, {one} at .01");
            println!("{what}");
            assert!(five <= 0.05 * 1.2 + slack(0.05) && one <= 0.01 * 1.5 + slack(0.01), "{what}");
            // The union over bins is an upper bound.
            let least = if distance == BinnedDistance::LInfinity { 0.4 } else { 0.75 };
            assert!(five >= 0.05 * least - slack(0.05), "{what}");
        }
    }
}

#[test]
fn large_counts_have_the_asymptotic_law() {
    let scale = 2.0 / 1e6;
    let chi2 = visu_tility_drift::special::chi2_quantile(0.01, 9.0);
    let nats = chi2 * scale / 8.0;
    for (distance, expected) in [
        (BinnedDistance::Psi, chi2 * scale),
        (BinnedDistance::KullbackLeibler, chi2 * scale / 2.0),
        (BinnedDistance::JensenShannon, (nats / std::f64::consts::LN_2).sqrt()),
        (BinnedDistance::Hellinger, nats.sqrt()),
        (BinnedDistance::ChiSquare, chi2),
        (BinnedDistance::G, chi2),
    ] {
        let law = NullLaw::uniform(distance, 1_000_000, 1_000_000, 10).unwrap();
        let threshold = law.threshold(0.01).unwrap();
        assert!((threshold / expected - 1.0).abs() < 2e-3, "{distance:?}: {threshold} {expected}");
        assert!((law.p_value(threshold) - 0.01).abs() < 1e-9);
    }
}

#[test]
fn permutations_keep_their_level_and_find_a_shift() {
    let mut random = Random(5);
    let test = Permutation { rounds: 199, seed: 3 };
    let (mut alarms, mut found) = ([0; 3], [0; 3]);
    let runs = 300;
    for _ in 0..runs {
        let x: Vec<f64> = (0..40).map(|_| random.uniform()).collect();
        let y: Vec<f64> = (0..24).map(|_| random.uniform()).collect();
        let shifted: Vec<f64> = y.iter().map(|y| y + 0.4).collect();
        for (of, hits) in [(&y, &mut alarms), (&shifted, &mut found)] {
            let verdicts = [
                test.wasserstein_1(&x, of, 0.05),
                test.energy(&x, of, 0.05),
                test.mmd2(&x, of, 1, 5.0, 0.05),
            ];
            for (verdict, hits) in verdicts.into_iter().zip(hits) {
                let verdict = verdict.unwrap();
                assert_eq!(verdict.drifted(), verdict.p_value <= 0.05, "{verdict:?}");
                *hits += u32::from(verdict.drifted());
            }
        }
    }
    println!("of {runs}: {alarms:?} false alarms at .05, {found:?} shifts found");
    let most = f64::from(runs) * (0.05 + 3.5 * (0.05 * 0.95 / f64::from(runs)).sqrt());
    assert!(alarms.iter().all(|&count| f64::from(count) <= most) && found.iter().all(|&count| count > 280));
}
