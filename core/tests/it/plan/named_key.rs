//! What a problem names in backticks is a key that the rule has, as the plan writes it.

use std::collections::BTreeSet;

use visu_tility_core::MonitorPlan;
use visu_tility_drift::combination::{EvidenceMergeParams, GateParams, VoteParams};
use visu_tility_drift::{
    AnyParams, BatcherParams, CentroidShiftParams, DistributionShiftParams, ExceedanceBitsParams, GapParams,
    OnlineMmdParams, Parameter, Parameters, RangeGuardParams, SeasonalParams, Shape,
};

use super::refused::rule_refused;

/// Values at and behind the ends of what a parameter may be.
fn odd(shape: Shape) -> Vec<String> {
    let numbers =
        ["-1.0", "0.0", "1e-300", "0.001", "0.5", "0.999", "1.0", "2.0", "33.5", "1e6", "1e300", "inf"];
    let counts = ["0", "1", "2", "3", "7", "60", "241", "513", "5000", "4294967295", "9223372036854775807"];
    match shape {
        Shape::Number => numbers.map(str::to_owned).to_vec(),
        Shape::Count { .. } => counts.map(str::to_owned).to_vec(),
        Shape::Word(words) => words.iter().map(|word| format!("\"{word}\"")).collect(),
        Shape::Flag => vec!["true".to_owned(), "false".to_owned()],
        _ => Vec::new(),
    }
}

/// Asserts of every problem of a rule with one parameter at an odd value that what it names in backticks are keys of
/// the rule; and that a word is shown as a word.
fn names_keys(head: &str, prefix: &str, parameters: &[Parameter]) {
    let keys: BTreeSet<String> = parameters.iter().map(|one| format!("{prefix}{}", one.name)).collect();
    for one in parameters.iter().filter(|one| one.name != "dimension") {
        for value in odd(one.shape) {
            let text = format!("[[rule]]\nname = \"r\"\n{head}{prefix}{} = {value}\n", one.name);
            let Err(error) = MonitorPlan::from_toml(&text) else { continue };
            for problem in error.problems() {
                let said = &problem.message;
                for named in said.split('`').skip(1).step_by(2) {
                    let key = named.split(" = ").next().unwrap();
                    let common =
                        text.contains(&format!("\n{key} = ")) || ["rearm", "warn_share"].contains(&key);
                    assert!(keys.contains(key) || common, "{said}\nin\n{text}");
                }
                assert!(said.len() < 200, "{said}");
                if matches!(one.shape, Shape::Word(_))
                    && said.contains(&format!("`{prefix}{}` is ", one.name))
                {
                    assert!(said.contains(&format!("`{prefix}{}` is {value}, ", one.name)), "{said}");
                }
            }
        }
    }
}

#[test]
fn problems_name_the_keys_that_are_to_be_written() {
    for name in AnyParams::NAMES {
        let parameters = AnyParams::by_name(name).unwrap().parameters();
        names_keys(&format!("type = \"change\"\ndetector = \"{name}\"\n"), "", parameters);
    }
    for (stage, parameters) in [
        ("gap", GapParams::ALL),
        ("range", RangeGuardParams::ALL),
        ("seasonal", SeasonalParams::ALL),
        ("exceedance", ExceedanceBitsParams::ALL),
        ("batch", BatcherParams::ALL),
    ] {
        let head = format!("type = \"change\"\ndetector = \"adwin\"\n{stage} = true\n");
        names_keys(&head, &format!("{stage}_"), parameters);
    }
    names_keys("type = \"distribution\"\n", "", DistributionShiftParams::ALL);
    names_keys("type = \"embedding\"\nmethod = \"mmd\"\n", "", OnlineMmdParams::ALL);
    names_keys("type = \"embedding\"\nmethod = \"centroid\"\n", "", CentroidShiftParams::ALL);
    for (combine, parameters) in [
        ("vote", VoteParams::ALL),
        ("evidence-merge", EvidenceMergeParams::ALL),
        ("gate", GateParams::ALL),
        ("vote", GateParams::ALL),
    ] {
        let members = "members = [{ detector = \"e-sr\" }, { detector = \"e-sr\" }]";
        let head = format!("type = \"combination\"\ncombine = \"{combine}\"\n{members}\n");
        names_keys(&head, "", parameters);
    }
}

#[test]
fn each_member_that_is_no_table_is_told() {
    rule_refused(
        "combination",
        "combine = \"vote\"\nmembers = [\n  { detector = \"adwin\" },\n  \"adwin\",\n  { detector = \"focus\" },\n  3]",
        &[
            "line 7: rule \"r\": member 2 is \"adwin\", must be a table such as { detector = \"adwin\" }",
            "line 9: rule \"r\": member 4 is 3, must be a table such as { detector = \"adwin\" }",
        ],
    );
    let text = "[[rule]]\nname = \"r\"\ntype = \"combination\"\ncombine = \"vote\"\nmembers = [1]";
    let error = MonitorPlan::from_toml(text).unwrap_err();
    assert_eq!(error.problems()[0].path, "rule[0].members[0]");
}

#[test]
fn keys_whose_words_are_in_another_order_are_known() {
    rule_refused(
        "performance",
        "min_accuracy = 0.8\nmin_count = 3",
        &["line 5: rule \"r\": unknown key `min_count`, did you mean `count_min`?"],
    );
    rule_refused(
        "latency",
        "min_share = 0.9",
        &["line 4: rule \"r\": unknown key `min_share`, did you mean `share_min`?"],
    );
}

#[test]
fn words_and_keys_of_stages_are_told_as_the_plan_has_them() {
    rule_refused(
        "change",
        "detector = \"rddm\"\ncompat = \"river\"\nrange = true\nrange_low = 5\nrange_high = 1e300\ngap = true\n\
         gap_longest_seconds = 1",
        &[
            "line 5: rule \"r\": `compat` is \"river\", must be \"paper\" or \"moa\": river has no RDDM",
            "line 8: rule \"r\": `range_high` is 1e300, must be above `range_low`, at most 1e100",
        ],
    );
}
