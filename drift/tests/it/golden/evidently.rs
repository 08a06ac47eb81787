//! What Evidently reports of the pairs of `distances.json`.

use serde_json::Value;
use visu_tility_drift::distance::{DistanceError, anderson_darling, energy, evidently, student_t};

use super::{folders, integers, load, near, pairs};

/// Checks one score; answers how many were checked. An undefined one is an error here; that Evidently failed
/// with one of its own says nothing.
fn check(title: &str, ours: Result<f64, DistanceError>, theirs: &Value, tolerance: f64) -> usize {
    if theirs.get("error").is_some() {
        return 0;
    }
    match theirs.get("score").and_then(Value::as_f64) {
        Some(score) => near(ours.unwrap(), score, tolerance, title),
        None => assert!(ours.is_err(), "{title}: {ours:?}"),
    }
    1
}

fn check_numbers(pair: &Value, x: &[f64], y: &[f64]) -> usize {
    let mut checked = 0;
    for (key, theirs) in pair.as_object().unwrap() {
        let title = format!("{} {key}", pair["name"]);
        let p = |outcome: Result<visu_tility_drift::distance::TestOutcome, _>| outcome.map(|o| o.p_value);
        let (ours, tolerance) = match key.as_str() {
            "psi" => (evidently::psi(x, y), 1e-9),
            "kl_div" => (evidently::kullback_leibler(x, y), 1e-9),
            "jensenshannon" => (evidently::jensen_shannon(x, y), 1e-9),
            "hellinger" => (evidently::hellinger(x, y), 1e-9),
            "wasserstein" => (evidently::wasserstein(x, y), 1e-9),
            "ed" => (energy(x, y), 1e-9),
            "t_test" => (p(student_t(x, y)), 1e-6),
            "mannw" => (evidently::mann_whitney_p(x, y), 1e-6),
            "cramer_von_mises" => (evidently::cramer_von_mises_p(x, y), 1e-6),
            "anderson" => (p(anderson_darling(x, y)), 1e-6),
            "default_test" => {
                assert_eq!(evidently::default_test(x, y), Ok(theirs.as_str().unwrap()), "{title}");
                checked += 1;
                continue;
            }
            // The first is another test's; the second needs numpy's shuffles.
            "ks" | "empirical_mmd" | "name" | "sturges_edges_combined" => continue,
            other => panic!("unknown {other}"),
        };
        checked += check(&title, ours, theirs, tolerance);
    }
    checked
}

fn check_categories(case: &Value, x: &[u64], y: &[u64]) -> usize {
    let mut checked = 0;
    for (key, theirs) in case.as_object().unwrap() {
        let (ours, tolerance) = match key.as_str() {
            "psi" => (evidently::psi_categorical(x, y), 1e-9),
            "kl_div" => (evidently::kullback_leibler_categorical(x, y), 1e-9),
            "jensenshannon" => (evidently::jensen_shannon_categorical(x, y), 1e-9),
            "hellinger" => (evidently::hellinger_categorical(x, y), 1e-9),
            "chisquare" => (evidently::chi_square_p(x, y), 1e-6),
            "z" => (evidently::z_p(x, y), 1e-6),
            // The first needs numpy's shuffles; the second fails on unequal totals there.
            "TVD" | "g_test" => continue,
            other => panic!("unknown {other}"),
        };
        checked += check(&format!("categorical {key}"), ours, theirs, tolerance);
    }
    checked
}

#[test]
fn evidently_values_are_reproduced() {
    for folder in folders() {
        let (samples, file) = (pairs(&folder), load(&folder, "evidently.json"));
        let counts = load(&folder, "distances.json");
        let mut checked = 0;
        for pair in file["pairs"].as_array().unwrap() {
            let (x, y) = &samples[pair["name"].as_str().unwrap()];
            checked += check_numbers(pair, x, y);
        }
        let categorical = file["categorical"].as_array().into_iter().flatten();
        for (case, of) in categorical.zip(counts["categorical"].as_array().unwrap()) {
            checked += check_categories(case, &integers(&of["counts_x"]), &integers(&of["counts_y"]));
        }
        println!("{}: {checked} values of Evidently equal", folder.display());
    }
}
