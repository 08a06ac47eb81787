//! scipy's distribution functions.

use visu_tility_drift::special::{
    beta_cdf, binomial_sf, chi2_quantile, chi2_sf, f_sf, normal_quantile, normal_sf, student_t_sf,
};

use super::{folders, load, near, numbers};

#[test]
fn special_functions_agree_with_scipy() {
    for folder in folders() {
        let file = load(&folder, "distances.json");
        let mut checked = 0;
        for (name, rows) in file["special_functions"].as_object().unwrap() {
            for row in rows.as_array().unwrap().iter().map(numbers) {
                let ours = match (name.as_str(), row.as_slice()) {
                    ("chi2_sf", [x, df, _]) => chi2_sf(*x, *df),
                    ("normal_ppf", [p, _]) => normal_quantile(*p),
                    ("normal_sf", [x, _]) => normal_sf(*x),
                    ("chi2_isf", [q, df, _]) => chi2_quantile(*q, *df),
                    ("t_sf", [t, df, _]) => student_t_sf(*t, *df),
                    ("f_sf", [x, d1, d2, _]) => f_sf(*x, *d1, *d2),
                    ("beta_cdf", [x, a, b, _]) => beta_cdf(*x, *a, *b),
                    ("binom_sf", [k, n, p, _]) => binomial_sf(*k as u64, *n as u64, *p),
                    // Checked with the Kolmogorov-Smirnov test.
                    ("kolmogorov_sf", _) => continue,
                    other => panic!("unknown {other:?}"),
                };
                near(ours, *row.last().unwrap(), 1e-9, &format!("{name} {row:?}"));
                checked += 1;
            }
        }
        println!("{}: {checked} values of special functions equal", folder.display());
    }
}
