//! Distances of what cannot be compared are errors that say what is allowed; never a panic or a `NaN`.

use proptest::collection::vec;
use proptest::prelude::*;
use visu_tility_drift::distance::{
    Alternative, BinnedDistance, DistanceError, NullLaw, Permutation, anderson_darling, chi_square,
    count_right_closed, cramer_von_mises, cramer_von_mises_exact, doane_edges, energy, equal_width_edges,
    evidently, mann_whitney, mann_whitney_exact, median_gamma, mmd2, nannyml, quantile_edges, student_t,
    sturges_edges, wasserstein_1, welch_t,
};

/// All numbers that comparing two samples gives.
fn all(x: &[f64], y: &[f64]) -> Vec<(&'static str, Result<f64, DistanceError>)> {
    let test = Permutation { rounds: 19, seed: 1 };
    let statistic = |outcome: Result<visu_tility_drift::distance::TestOutcome, _>| {
        outcome.map(|outcome| outcome.statistic + outcome.p_value)
    };
    vec![
        ("wasserstein", wasserstein_1(x, y)),
        ("energy", energy(x, y)),
        ("cramer", statistic(cramer_von_mises(x, y))),
        ("cramer exact", statistic(cramer_von_mises_exact(x, y))),
        ("mann-whitney", statistic(mann_whitney(x, y, Alternative::TwoSided))),
        ("mann-whitney exact", statistic(mann_whitney_exact(x, y, Alternative::Greater))),
        ("welch", statistic(welch_t(x, y))),
        ("student", statistic(student_t(x, y))),
        ("anderson", statistic(anderson_darling(x, y))),
        ("mmd", mmd2(x, y, 1, 0.5).map(|mmd| mmd.biased + mmd.unbiased.unwrap_or(0.0))),
        ("gamma", median_gamma(x, 1)),
        ("permutation", test.wasserstein_1(x, y, 0.2).map(|v| v.statistic + v.threshold + v.p_value)),
        ("permuted mmd", test.mmd2(x, y, 1, 1.0, 0.2).map(|v| v.statistic + v.threshold + v.p_value)),
        ("evidently psi", evidently::psi(x, y)),
        ("evidently kl", evidently::kullback_leibler(x, y)),
        ("evidently js", evidently::jensen_shannon(x, y)),
        ("evidently hellinger", evidently::hellinger(x, y)),
        ("evidently wasserstein", evidently::wasserstein(x, y)),
        ("evidently mannw", evidently::mann_whitney_p(x, y)),
        ("evidently cvm", evidently::cramer_von_mises_p(x, y)),
        ("nannyml js", nannyml::jensen_shannon(x, y)),
        ("nannyml hellinger", nannyml::hellinger(x, y)),
    ]
}

fn sample() -> impl Strategy<Value = Vec<f64>> {
    prop_oneof![
        vec(-3.0..3.0, 0..30),
        vec(proptest::sample::select(vec![0.0, 1.0, -0.0, 2.5]), 0..12),
        vec(any::<u64>().prop_map(f64::from_bits), 0..5),
        vec(proptest::sample::select(vec![1e308, -1e308, 1e-310, 0.0, f64::MAX]), 1..6),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_two_samples_give_a_number_or_an_error(x in sample(), y in sample()) {
        for (name, result) in all(&x, &y) {
            if let Ok(number) = result {
                prop_assert!(number.is_finite(), "{name}: {number} of {x:?} and {y:?}");
            }
        }
        let any_bad = x.iter().chain(&y).any(|value| !value.is_finite());
        prop_assert_eq!(wasserstein_1(&x, &y).is_err(), any_bad || x.is_empty() || y.is_empty());
        for edges in [sturges_edges(&x), doane_edges(&x), quantile_edges(&x, 10)].into_iter().flatten() {
            prop_assert!(edges.windows(2).all(|pair| pair[0] <= pair[1]));
            let counted: u64 = count_right_closed(&y, &edges).iter().sum();
            prop_assert_eq!(counted as usize, y.iter().filter(|value| value.is_finite()).count());
        }
    }

    #[test]
    fn any_two_histograms_give_a_number_or_an_error(
        a in vec(prop_oneof![Just(0_u64), 0..50_u64, any::<u64>()], 0..9),
        b in vec(prop_oneof![Just(0_u64), 0..50_u64, any::<u64>()], 0..9),
        level in prop_oneof![1e-9..1.0, Just(0.0), Just(f64::NAN)],
    ) {
        for distance in BinnedDistance::ALL {
            if let Ok(apart) = distance.between(&a, &b) {
                prop_assert!(apart.is_finite() && apart >= 0.0, "{distance:?} {apart} {a:?} {b:?}");
                let same = distance.between(&a, &a).unwrap();
                // G is a small difference of terms as large as the counts.
                let scale = a.iter().map(|&count| count as f64).sum::<f64>().max(1.0);
                prop_assert!(same.abs() < 1e-12 * scale, "{distance:?} {same}");
            }
            if let Ok(verdict) = distance.test(&a, &b, level) {
                prop_assert!(verdict.threshold.is_finite() && verdict.threshold > 0.0, "{distance:?} {verdict:?} {a:?} {b:?} {:?}", NullLaw::pooled(distance, &a, &b));
                prop_assert!((0.0..=1.0).contains(&verdict.p_value), "{distance:?} {verdict:?} {a:?} {b:?}");
            }
        }
    }
}

#[test]
fn errors_say_what_is_allowed() {
    let says = |result: Result<f64, DistanceError>| result.unwrap_err().to_string();
    assert_eq!(says(wasserstein_1(&[], &[1.0])), "the reference has 0 values, must have at least 1");
    assert_eq!(says(energy(&[1.0], &[f64::NAN])), "value 0 of the current is not finite, must be");
    assert_eq!(
        says(BinnedDistance::Psi.between(&[1, 2], &[1])),
        "the reference has 2 bins and the current 1, must be as many"
    );
    assert_eq!(
        says(BinnedDistance::Psi.between(&[], &[])),
        "there are 0 bins with counts, must be at least 1"
    );
    assert_eq!(
        says(BinnedDistance::G.between(&[0, 0], &[1, 1])),
        "the reference counts nothing, must count something"
    );
    assert_eq!(
        says(mmd2(&[1.0, 2.0, 3.0], &[1.0, 2.0], 2, 1.0).map(|mmd| mmd.biased)),
        "3 numbers are not vectors of dimension 2, must be a multiple"
    );
    assert_eq!(
        says(mmd2(&[1.0], &[1.0], 1, -1.0).map(|mmd| mmd.biased)),
        "`gamma` is -1, must be above 0 and finite"
    );
    assert_eq!(
        says(welch_t(&[2.0, 2.0], &[2.0, 2.0]).map(|t| t.statistic)),
        "all values are equal, must be at least two different ones"
    );
    assert_eq!(
        says(NullLaw::uniform(BinnedDistance::Psi, 10, 10, 4).unwrap().threshold(1.0)),
        "`level` is 1, must be in (0, 1)"
    );
    assert_eq!(
        says(Permutation { rounds: 99, seed: 0 }.energy(&[1.0], &[2.0], 0.001).map(|v| v.statistic)),
        "`level` is 0.001, must be at least 1 / (rounds + 1)"
    );
    assert!(equal_width_edges(1.0, 1.0, 3).is_err() && quantile_edges(&[1.0], 0).is_err());
    assert_eq!(chi_square(&[3, 0], &[5, 0]).unwrap_err(), DistanceError::TooFewBins { found: 1, least: 2 });
}

/// scipy 1.17.1, `mannwhitneyu(method="exact")`, `cramervonmises_2samp(method="exact")`.
#[test]
fn exact_laws_agree_with_scipy() {
    let x = [0.3, 1.7, 2.9, 4.1, 5.6, 7.2, 0.9];
    let y = [1.1, 3.3, 4.8, 6.5, 8.1, 9.4, 10.2, 11.6, 2.2];
    let near = |ours: f64, theirs: f64| assert!((ours - theirs).abs() < 1e-12, "{ours} {theirs}");
    for (alternative, p) in [
        (Alternative::TwoSided, 0.090_734_265_734_265_74),
        (Alternative::Less, 0.045_367_132_867_132_87),
        (Alternative::Greater, 0.964_423_076_923_076_9),
    ] {
        near(mann_whitney_exact(&x, &y, alternative).unwrap().p_value, p);
    }
    near(cramer_von_mises_exact(&x, &y).unwrap().p_value, 0.130_244_755_244_755_23);
    let tied = ([1.0, 2.0, 2.0, 3.0, 3.0], [2.0, 3.0, 4.0, 4.0]);
    near(cramer_von_mises_exact(&tied.0, &tied.1).unwrap().p_value, 0.206_349_206_349_206_34);
}
