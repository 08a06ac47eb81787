//! What NannyML reports of the pairs of `distances.json`.

use visu_tility_drift::distance::{nannyml, wasserstein_1};

use super::{folders, load, near, pairs};

#[test]
fn nannyml_values_are_reproduced() {
    for folder in folders() {
        let samples = pairs(&folder);
        let mut checked = 0;
        for pair in load(&folder, "nannyml.json")["pairs"].as_array().unwrap() {
            let name = pair["name"].as_str().unwrap();
            let (x, y) = &samples[name];
            for (key, theirs) in pair.as_object().unwrap() {
                let ours = match key.as_str() {
                    "jensen_shannon" => nannyml::jensen_shannon(x, y),
                    "hellinger" => nannyml::hellinger(x, y),
                    "wasserstein" => wasserstein_1(x, y),
                    "name" | "doane_edges" | "kolmogorov_smirnov" => continue,
                    other => panic!("unknown {other}"),
                };
                near(ours.unwrap(), theirs.as_f64().unwrap(), 1e-9, &format!("{name} {key}"));
                checked += 1;
            }
        }
        println!("{}: {checked} values of NannyML equal", folder.display());
    }
}
