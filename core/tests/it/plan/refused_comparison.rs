//! What is said of rules of distributions and vectors that cannot be, word for word.

use visu_tility_core::MonitorPlan;

use super::refused::rule_refused;

/// The usual run length of the detector is one window of these; the budget's is not.
#[test]
fn a_window_of_any_size_leaves_the_run_length_to_the_budget() {
    for keys in [
        "type = \"distribution\"\nkinds = [\"Confidence\"]",
        "type = \"change\"\nkinds = [\"Confidence\"]\ndetector = \"distribution\"",
    ] {
        let text = format!("[[rule]]\nname = \"r\"\n{keys}\nwindow = 10000\n");
        let plan = MonitorPlan::from_toml(&text).unwrap();
        assert_eq!(MonitorPlan::from_toml(&plan.to_toml()).unwrap().to_toml(), plan.to_toml());
    }
    rule_refused(
        "change",
        "detector = \"distribution\"\nwindow = 10000\narl = 15000",
        &["line 6: rule \"r\": `arl` is 15000, must be at least twice the window, at most 1e12"],
    );
}

#[test]
fn references_that_cannot_be_are_told() {
    rule_refused(
        "distribution",
        "reference = 1\nbins = 1\nwindow = 5\ndistance = \"helinger\"\narl = 9\nwindows = 3",
        &[
            "line 4: rule \"r\": `reference` is 1, must be from 50 to 1000000",
            "line 5: rule \"r\": `bins` is 1, must be from 2 to 32",
            "line 6: rule \"r\": `window` is 5, must be from 10 to 1000000",
            "line 7: rule \"r\": `distance` is \"helinger\", must be \"psi\", \"kl\", \"js\", \"hellinger\", \"tvd\", \
             \"l-infinity\", \"chi-square\" or \"g\", did you mean \"hellinger\"?",
            "line 8: rule \"r\": `arl` is 9, must be at least twice the window, at most 1e12",
            "line 9: rule \"r\": unknown key `windows`, did you mean `window`?",
        ],
    );
    for (keys, said) in [
        ("edges = [0, 1, 2]", "line 4: rule \"r\": `edges` says nothing without `counts`"),
        ("counts = [60]", "line 4: rule \"r\": `counts` says nothing without `edges`"),
        ("edges = 3\ncounts = [60]", "line 4: rule \"r\": `edges` is 3, must be a list of numbers"),
        (
            "edges = [0, 1, \"x\"]\ncounts = [9, 60]",
            "line 4: rule \"r\": `edges` is a list, of which number 2 is \"x\", must be a number",
        ),
        (
            "edges = [0, 1, 2]\ncounts = [-1, 60]",
            "line 5: rule \"r\": `counts` is a list, of which number 0 is -1, must not be negative",
        ),
        (
            "edges = [0, 1, 2]\ncounts = [60]",
            "line 5: rule \"r\": `counts` has 1 numbers, must have one less than the 3 of `edges`",
        ),
        (
            "edges = [0, 2, 1]\ncounts = [60, 60]",
            "line 4: rule \"r\": `edges` is 0, must be rising and within ±1e100",
        ),
        ("edges = [0, 1]\ncounts = [60]", "line 4: rule \"r\": `edges` makes 1 bins, must make from 2 to 64"),
        ("edges = [0, 1, 2]\ncounts = [0, 1]", "line 5: rule \"r\": `counts` sums to 1, must be at least 50"),
        ("edges = [0, 1, 2]\ncounts = [0, 0]", "line 5: rule \"r\": `counts` sums to 0, must be at least 50"),
        (
            "edges = [0, 1, 2]\ncounts = [60, 60]\nreference = 70",
            "line 6: rule \"r\": `reference` says nothing beside `edges`",
        ),
        (
            "edges = [0, 1, 2]\ncounts = [60, 60]\nreference_version = \"v1\"",
            "line 6: rule \"r\": `reference_version` says nothing beside `edges`",
        ),
        (
            "reference_file = \"a.json\"",
            "line 4: rule \"r\": `reference_file` is \"a.json\", which is not read here: write `edges` and `counts`, or \
             take `MonitorPlan::from_toml_with`",
        ),
        (
            "reference_version = \"v 1\"",
            "line 4: rule \"r\": `reference_version` is \"v 1\", must be 1 to 128 printable ASCII characters without \
             blanks",
        ),
        (
            "versions = \"v2*\"\nreference_version = \"v1\"",
            "line 5: rule \"r\": `reference_version` is \"v1\", which `versions` leaves out",
        ),
        (
            "kinds = \"Embedding:text\"",
            "line 4: rule \"r\": `kinds` has \"Embedding:text\", which is of vectors: they are watched by type \
             \"embedding\"",
        ),
    ] {
        rule_refused("distribution", keys, &[said]);
    }
}

#[test]
fn a_file_that_holds_no_reference_is_told_with_its_line() {
    let files = |name: &str| match name {
        "one.json" => Ok("[3.5]".to_owned()),
        "bins.json" => Ok("{\"edges\": [0, 1, 2], \"counts\": [3]}".to_owned()),
        "text.json" => Ok("edges".to_owned()),
        _ => Err("which cannot be read: no such file".to_owned()),
    };
    for (name, said) in [
        ("gone.json", "which cannot be read: no such file"),
        ("one.json", "which holds no reference: the reference has 1 values, must have at least 50"),
        (
            "bins.json",
            "which holds no reference: `counts` has 1 numbers, must have one less than the 3 of `edges`",
        ),
        (
            "text.json",
            "which holds no reference: it must be JSON: {\"edges\": [numbers], \"counts\": [whole numbers]} or a list of \
             numbers",
        ),
    ] {
        let text = format!("[[rule]]\nname = \"r\"\ntype = \"distribution\"\nreference_file = \"{name}\"\n");
        let error = MonitorPlan::from_toml_with(&text, files).unwrap_err();
        assert_eq!(error.to_string(), format!("line 4: rule \"r\": `reference_file` is \"{name}\", {said}"));
    }
}

#[test]
fn rules_of_vectors_are_checked() {
    rule_refused(
        "embedding",
        "method = \"mdd\"\nfeatures = 4\nbandwidth = -1\nclock = 0\narl = 5",
        &[
            "line 4: rule \"r\": `method` is \"mdd\", must be \"mmd\" or \"centroid\", did you mean \"mmd\"?",
            "line 5: rule \"r\": `features` is 4, must be from 8 to 512",
            "line 6: rule \"r\": `bandwidth` is -1, must be 0 or from 1e-30 to 1e30",
            "line 7: rule \"r\": `clock` is 0, must be from 1 to 1000",
            "line 8: rule \"r\": `arl` is 5, must be from 100 to 1e12",
        ],
    );
    for (keys, said) in [
        (
            "window = 50",
            "line 4: rule \"r\": `window` is a key of method \"centroid\", not of method \"mmd\"",
        ),
        (
            "method = \"centroid\"\nseed = 3",
            "line 5: rule \"r\": `seed` is a key of method \"mmd\", not of method \"centroid\"",
        ),
        (
            "method = \"centroid\"\nwindow = 3",
            "line 5: rule \"r\": `window` is 3, must be from 10 to 1000000",
        ),
        (
            "kinds = \"F1\"",
            "line 4: rule \"r\": `kinds` has \"F1\", which is of numbers: this type watches \"Embedding:NAME\"",
        ),
        (
            "kinds = [\"*\", \"Feature:*\"]",
            "line 4: rule \"r\": `kinds` has \"Feature:*\", which is of numbers: this type watches \"Embedding:NAME\"",
        ),
        (
            "dimension = 3",
            "line 4: rule \"r\": unknown key `dimension`, known are `name`, `type`, `models`, `versions`, `kinds`, \
             `fallback`, `severity`, `for`, `for_count`, `keep_firing`, `keep_count`, `response`, `priority`, `method`, `arl`, \
             `features`, `bandwidth`, `clock`, `bound`, `seed`, `reference`, `window`, `metric`",
        ),
    ] {
        rule_refused("embedding", keys, &[said]);
    }
}
