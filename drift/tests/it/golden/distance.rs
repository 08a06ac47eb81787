//! scipy's tests and the closed formulas of distances.

use serde_json::Value;
use visu_tility_drift::distance::{
    Alternative, BinnedDistance, DistanceError, TestOutcome, chi_square, chi_square_corrected,
    count_right_closed, cramer_von_mises, energy, g_test, jensen_shannon_divergence, mann_whitney, mmd2,
    quantile_edges, wasserstein_1, welch_t,
};

use super::{folders, integers, load, near, numbers};

/// A statistic and its p-value; `null` where it is undefined.
fn check_test(name: &str, ours: Result<TestOutcome, DistanceError>, theirs: &Value) -> usize {
    if theirs.is_null() {
        assert!(ours.is_err(), "{name}");
        return 1;
    }
    let ours = ours.unwrap();
    let statistic = theirs.get("stat").or_else(|| theirs.get("u")).unwrap().as_f64().unwrap();
    near(ours.statistic, statistic, 1e-9, name);
    near(ours.p_value, theirs["p"].as_f64().unwrap(), 1e-6, &format!("p of {name}"));
    if let Some(df) = theirs.get("df").and_then(Value::as_f64) {
        near(ours.degrees.unwrap(), df, 1e-9, &format!("degrees of {name}"));
    }
    1
}

fn check_binned(name: &str, x: &[u64], y: &[u64], file: &Value) -> usize {
    let mut checked = 0;
    for (key, theirs) in file.as_object().unwrap() {
        let of = |distance: BinnedDistance| distance.between(x, y).unwrap();
        let ours = match key.as_str() {
            "psi_eps1e4" => of(BinnedDistance::Psi),
            "kl_eps1e4_x_y" => of(BinnedDistance::KullbackLeibler),
            "kl_eps1e4_y_x" => BinnedDistance::KullbackLeibler.between(y, x).unwrap(),
            "js_distance_base2" => of(BinnedDistance::JensenShannon),
            "js_divergence_nats" => jensen_shannon_divergence(x, y).unwrap(),
            "hellinger" => of(BinnedDistance::Hellinger),
            "tvd" => of(BinnedDistance::TotalVariation),
            "linf" => of(BinnedDistance::LInfinity),
            "chi2" => {
                checked += check_table(&format!("{name} chi2"), x, y, theirs);
                continue;
            }
            "edges" | "counts_x" | "counts_y" => continue,
            other => panic!("unknown {other}"),
        };
        near(ours, theirs.as_f64().unwrap(), 1e-9, &format!("{name} {key}"));
        checked += 1;
    }
    checked
}

/// Of a 2 x 2 table scipy corrects by default; the record does not say.
fn check_table(name: &str, x: &[u64], y: &[u64], theirs: &Value) -> usize {
    let plain = chi_square(x, y);
    let statistic = theirs["stat"].as_f64().unwrap();
    let corrected = plain.as_ref().is_ok_and(|plain| {
        plain.degrees == Some(1.0) && (plain.statistic - statistic).abs() > 1e-9 * statistic
    });
    check_test(name, if corrected { chi_square_corrected(x, y) } else { plain }, theirs)
}

fn check_pair(pair: &Value) -> usize {
    let name = pair["name"].as_str().unwrap();
    let (x, y) = (numbers(&pair["x"]), numbers(&pair["y"]));
    let bins = &pair["binned_deciles"];
    let edges = quantile_edges(&x, 10).unwrap();
    let counts = (count_right_closed(&x, &edges), count_right_closed(&y, &edges));
    let mut checked = 0;
    for (key, theirs) in pair.as_object().unwrap() {
        let title = format!("{name} {key}");
        checked += match key.as_str() {
            "wasserstein1" => {
                near(wasserstein_1(&x, &y).unwrap(), theirs.as_f64().unwrap(), 1e-9, &title);
                1
            }
            "energy_distance" => {
                near(energy(&x, &y).unwrap(), theirs.as_f64().unwrap(), 1e-9, &title);
                1
            }
            "cvm_asymptotic" => check_test(&title, cramer_von_mises(&x, &y), theirs),
            "mannwhitney_asymptotic" => {
                check_test(&title, mann_whitney(&x, &y, Alternative::TwoSided), theirs)
            }
            "welch_t" => check_test(&title, welch_t(&x, &y), theirs),
            "binned_deciles" => {
                for (ours, theirs) in edges.iter().zip(numbers(&bins["edges"])) {
                    near(*ours, theirs, 1e-9, &title);
                }
                assert_eq!(counts.0, integers(&bins["counts_x"]), "{title}");
                assert_eq!(counts.1, integers(&bins["counts_y"]), "{title}");
                check_binned(&title, &counts.0, &counts.1, bins)
            }
            "chi2_contingency_deciles" => check_table(&title, &counts.0, &counts.1, theirs),
            "g_test_deciles" => {
                let plain = g_test(&counts.0, &counts.1, false).unwrap();
                let statistic = theirs["stat"].as_f64().unwrap();
                let corrected = (plain.statistic - statistic).abs() > 1e-9 * statistic;
                check_test(&title, g_test(&counts.0, &counts.1, corrected), theirs)
            }
            // Checked with the Kolmogorov-Smirnov test.
            "name" | "x" | "y" | "ks_exact" | "ks_asymp" => 0,
            mmd if mmd.starts_with("mmd2_rbf_gamma_") => {
                let gamma = mmd.trim_start_matches("mmd2_rbf_gamma_").parse().unwrap();
                let ours = mmd2(&x, &y, 1, gamma).unwrap();
                near(ours.biased, theirs["biased"].as_f64().unwrap(), 1e-9, &title);
                near(ours.unbiased.unwrap(), theirs["unbiased"].as_f64().unwrap(), 1e-9, &title);
                2
            }
            other => panic!("unknown {other}"),
        };
    }
    checked
}

#[test]
fn distances_agree_with_scipy_and_the_closed_formulas() {
    for folder in folders() {
        let file = load(&folder, "distances.json");
        let pairs: usize = file["pairs"].as_array().unwrap().iter().map(check_pair).sum();
        let categorical = file["categorical"].as_array().unwrap().iter().map(|case| {
            check_binned("categorical", &integers(&case["counts_x"]), &integers(&case["counts_y"]), case)
        });
        let categorical: usize = categorical.sum();
        println!("{}: {} distances equal", folder.display(), pairs + categorical);
    }
}
