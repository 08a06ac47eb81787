//! The two-sample Kolmogorov-Smirnov test against scipy.

use visu_tility_drift::KolmogorovSmirnov;

use super::{folders, load, numbers};

#[test]
fn kolmogorov_smirnov_agrees_with_scipy() {
    for folder in folders().iter().filter(|folder| folder.join("distances.json").is_file()) {
        let file = load(folder, "distances.json");
        let mut checked = 0;
        for pair in file["pairs"].as_array().unwrap() {
            let [x, y] = ["x", "y"].map(|key| numbers(&pair[key]));
            let test = KolmogorovSmirnov::new(&x, &y).unwrap();
            let ours = [("ks_exact", test.p_exact()), ("ks_asymp", Some(test.p_asymptotic()))];
            for (key, p) in ours {
                let Some([stat, expected]) = pair.get(key).map(|v| [&v["stat"], &v["p"]]) else { continue };
                let stat = stat.as_f64().unwrap();
                assert!((test.statistic() - stat).abs() <= 1e-12, "{} {key}", pair["name"]);
                let (Some(expected), Some(p)) = (expected.as_f64(), p) else { continue };
                assert!((p - expected).abs() <= 1e-9 * expected, "{} {key}: {p}, {expected}", pair["name"]);
                checked += 1;
            }
        }
        println!("{}: {checked} Kolmogorov-Smirnov p-values equal", folder.display());
        assert!(checked > 0);
    }
}
