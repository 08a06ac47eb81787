//! What is said of plans that cannot be: every problem, word for word.

use proptest::prelude::*;
use visu_tility_core::{ChangeObserver, Check, MonitorPlan, PlanError};
use visu_tility_drift::AnyParams;

/// Asserts that a plan is refused with exactly these lines.
#[track_caller]
fn refused(text: &str, lines: &[&str]) {
    let error = MonitorPlan::from_toml(text).expect_err("is refused");
    assert_eq!(error.to_string(), lines.join("\n"), "\nin\n{text}");
}

/// Asserts that a rule on lines 1 to 3 with `keys` from line 4 is refused with exactly these lines.
#[track_caller]
pub(super) fn rule_refused(of: &str, keys: &str, lines: &[&str]) {
    refused(&format!("[[rule]]\nname = \"r\"\ntype = \"{of}\"\n{keys}\n"), lines);
}

#[test]
fn only_novelty_takes_a_calendar() {
    let said =
        "line 5: rule \"r\": `calendar` is true, which is for `detector` \"novelty\" only, not for \"adwin\"";
    rule_refused("change", "detector = \"adwin\"\ncalendar = true", &[said]);
    let text = "[[rule]]\nname = \"r\"\ntype = \"change\"\ndetector = \"novelty\"\ncalendar = true\n";
    let plan = MonitorPlan::from_toml(text).unwrap();
    assert!(matches!(&plan.rules()[0].check, Check::Change(change) if change.has_calendar()));
}

#[test]
fn all_problems_are_listed_by_line() {
    let text = "[event]\n[[rule]]\nname = \"accuracy-floor\"\ntype = \"performance\"\nmin_acuracy = 0.85\n\
                [[rule]]\nname = \"b\"\ntype = \"latency\"\nslo_ms = 0\nshare_min = 2\n[[rule]]\n";
    refused(
        text,
        &[
            "line 1: unknown table `event`, did you mean `events`?",
            "line 5: rule \"accuracy-floor\": unknown key `min_acuracy`, did you mean `min_accuracy`?",
            "line 9: rule \"b\": `slo_ms` is 0, must be above 0",
            "line 10: rule \"b\": `share_min` is 2, must be above 0 and below 1",
            "line 11: rule[2]: `name` is missing, every rule has one",
            "line 11: rule[2]: `type` is missing, must be \"drift-score\", \"performance\", \"change\", \
             \"combination\", \"distribution\", \"embedding\", \"latency\", \"data-quality\" or \"staleness\"",
        ],
    );
    let error: PlanError = MonitorPlan::from_toml(text).unwrap_err();
    let paths: Vec<&str> = error.problems().iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "event",
            "rule[0].min_acuracy",
            "rule[1].slo_ms",
            "rule[1].share_min",
            "rule[2].name",
            "rule[2].type"
        ]
    );
    assert_eq!(error.problems()[1].line, 5);
}

#[test]
fn a_plan_that_watches_nothing_is_refused() {
    let nothing = "line 1: a plan without rules watches nothing: add [[rule]] or default_rules = true";
    for text in ["", "default_rules = false", "rule = []", "[events]\norder = \"strict\"", "# only words"] {
        refused(text, &[nothing]);
    }
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    refused(
        "[[rule]]\nfor = 5m\nsmoothing = .5\nname = \"ok\"\nx = [1\n",
        &[
            "line 2: this is no TOML: string values must be quoted, expected literal string",
            "line 3: this is no TOML: invalid mantissa, expected digits",
            "line 5: this is no TOML: unclosed array, expected `]`",
        ],
    );
    refused("default_rules = true\ndefault_rules = true", &["line 2: this is no TOML: duplicate key"]);
    refused("rule = 1\n[[rule]]", &["line 2: this is no TOML: duplicate key"]);
}

#[test]
fn a_text_that_is_too_long_is_refused() {
    let long = "#".repeat(MonitorPlan::TOML_BYTES_MAX + 1);
    refused(&long, &["line 1: the plan is 1048577 bytes long, must be at most 1048576"]);
    refused(
        &long[1..],
        &["line 1: a plan without rules watches nothing: add [[rule]] or default_rules = true"],
    );
}

#[test]
fn a_plan_with_too_many_rules_is_refused() {
    let rules = |count: usize| -> String {
        let rule = |i| format!("[[rule]]\nname = \"r{i}\"\ntype = \"latency\"\n");
        (0..count).map(rule).collect::<Vec<_>>().concat()
    };
    assert_eq!(MonitorPlan::from_toml(&rules(1_000)).unwrap().rules().len(), 1_000);
    refused(&rules(1_001), &["line 1: the plan has 1001 rules, must be at most 1000"]);
    let on_top = format!("default_rules = true\n{}", rules(1_000));
    refused(&on_top, &["line 2: the plan has 1011 rules, must be at most 1000"]);
}

#[test]
fn a_flood_of_problems_is_cut() {
    let text = (0..150).map(|i| format!("nonsense{i} = 1\n")).collect::<Vec<_>>().concat();
    let error = MonitorPlan::from_toml(&text).unwrap_err();
    assert_eq!((error.problems().len(), error.omitted()), (PlanError::PROBLEMS_MAX, 50));
    assert!(error.to_string().ends_with("\nand 50 more"), "{error}");
}

#[test]
fn the_top_and_the_events_are_checked() {
    refused(
        "default_rules = \"yes\"\nevents = 3\nrule = { name = \"x\" }\ncolour = 1",
        &[
            "line 1: `default_rules` is \"yes\", must be true or false",
            "line 2: `events` is 3, must be a table: write it between [ and ]",
            "line 3: `rule` is a table, must be a list of tables: write [[rule]]",
            "line 4: unknown key `colour`, known are `default_rules`, `events`, `budget`, `rule`",
        ],
    );
    refused("rule = [1]", &["line 1: rule[0] is 1, must be a table: write [[rule]]"]);
    refused("[[rules]]\nname = \"x\"", &["line 1: unknown table `rules`, did you mean `rule`?"]);
    refused(
        "[events]\norder = \"strct\"\nlateness_max = 300\nback_step_count = 1001\nversions_max = 0\n\
         series_max = -1\nserie_max = 2",
        &[
            "line 2: events: `order` is \"strct\", must be \"arrival\" or \"strict\", did you mean \"strict\"?",
            "line 3: events: `lateness_max` is 300, must be a length of time such as \"5m\" or \"1h30m\": whole \
             numbers with ms, s, m, h or d",
            "line 4: events: `back_step_count` is 1001, must be from 1 to 1000",
            "line 5: events: `versions_max` is 0, must be from 1 to 64",
            "line 6: events: `series_max` is -1, must not be negative",
            "line 7: events: unknown key `serie_max`, did you mean `series_max`?",
        ],
    );
}

#[test]
fn names_are_checked() {
    refused(
        "[[rule]]\nname = \"\"\ntype = \"latency\"\n[[rule]]\nname = \"a b\"\ntype = \"latency\"\n\
         [[rule]]\nname = 7\ntype = \"latency\"\n[[rule]]\nname = \"x\"\ntype = \"latency\"\n\
         [[rule]]\ntype = \"latency\"\nname = \"x\"\n",
        &[
            "line 2: rule[0]: `name` is \"\", must be 1 to 128 printable ASCII characters without blanks",
            "line 5: rule \"a b\": `name` is \"a b\", must be 1 to 128 printable ASCII characters without blanks",
            "line 8: rule[2]: `name` is 7, must be a text",
            "line 15: rule \"x\": `name` is taken already by the rule on line 11",
        ],
    );
}

#[test]
fn a_budget_is_a_positive_number_and_asks_for_a_detector_with_an_arl() {
    for bad in ["0", "-1", "1e7", "nan", "\"one\""] {
        let text = format!("default_rules = true\n[budget]\nfalse_alarms_per_30_days = {bad}\n");
        let said = MonitorPlan::from_toml(&text).unwrap_err().to_string();
        assert!(said.starts_with("line 3: budget: `false_alarms_per_30_days` is "), "{said}");
    }
    refused(
        "default_rules = true\n[budget]\nper_month = 1\n",
        &["line 3: budget: unknown key `per_month`, known are `false_alarms_per_30_days`"],
    );
}

#[test]
fn a_detector_with_a_threshold_of_its_own_takes_nothing_from_the_budget() {
    for (detector, threshold, budgeted) in
        [("focus", "", true), ("focus", "threshold = 9.0", false), ("cusum", "threshold = 9.0", false)]
    {
        let rule =
            format!("[[rule]]\nname = \"r\"\ntype = \"change\"\ndetector = \"{detector}\"\n{threshold}\n");
        let plan = MonitorPlan::from_toml(&rule).unwrap();
        let rule = plan.rules().iter().find(|rule| &*rule.name == "r").unwrap();
        let Check::Change(change) = &rule.check else { panic!("a change") };
        assert_eq!(change.is_budgeted(), budgeted, "{detector} {threshold}");
        assert_eq!(ChangeObserver::new(*change.detector()).unwrap().budgeted().is_ok(), budgeted);
        let again = MonitorPlan::from_toml(&plan.to_toml()).unwrap();
        assert_eq!(again.to_toml(), plan.to_toml());
    }
}

#[test]
fn types_and_detectors_are_checked() {
    refused(
        "[[rule]]\nname = \"r\"\ntype = \"latnecy\"\nwindow = \"a\"\n",
        &[
            "line 3: rule \"r\": `type` is \"latnecy\", must be \"drift-score\", \"performance\", \"change\", \
             \"combination\", \"distribution\", \"embedding\", \"latency\", \"data-quality\" or \"staleness\", did you mean \"latency\"?",
            "line 4: rule \"r\": `window` is \"a\", must be a whole number",
        ],
    );
    let (last, rest) = AnyParams::NAMES.split_last().unwrap();
    let detectors = format!("\"{}\" or \"{last}\"", rest.join("\", \""));
    rule_refused(
        "change",
        "delta = 0.1\nslo_ms = 3",
        &[
            &format!("line 1: rule \"r\": `detector` is missing, must be {detectors}"),
            "line 5: rule \"r\": `slo_ms` is a key of type \"latency\", not of type \"change\"",
        ],
    );
    rule_refused(
        "change",
        "detector = \"adwyn\"",
        &[&format!(
            "line 4: rule \"r\": `detector` is \"adwyn\", must be {detectors}, did you mean \"adwin\"?"
        )],
    );
    rule_refused(
        "performance",
        "",
        &["line 1: rule \"r\": `min_accuracy` is missing, must be a number from 0 to 1"],
    );
}

#[test]
fn a_key_of_another_type_is_told_whose_it_is() {
    rule_refused(
        "performance",
        "min_accuracy = 0.8\nshare_max = 0.1\nafter = \"5m\"",
        &[
            "line 5: rule \"r\": `share_max` is a key of type \"data-quality\", not of type \"performance\"",
            "line 6: rule \"r\": `after` is a key of type \"staleness\", not of type \"performance\"",
        ],
    );
    rule_refused(
        "change",
        "detector = \"adwin\"\nfloor_relative = 0.9\nmin_accuracy = 0.8",
        &[
            "line 5: rule \"r\": `floor_relative` is a key of detector \"median-shift\", not of detector \"adwin\"",
            "line 6: rule \"r\": `min_accuracy` is a key of type \"performance\", not of detector \"adwin\"",
        ],
    );
    rule_refused(
        "staleness",
        "kinds = \"Accuracy\"\nversions = \"2\"",
        &[
            "line 4: rule \"r\": `kinds` says nothing here: staleness is of the model as a whole",
            "line 5: rule \"r\": `versions` says nothing here: staleness is of the model as a whole",
        ],
    );
}

#[test]
fn values_of_the_wrong_type_are_told() {
    rule_refused(
        "performance",
        "min_accuracy = \"0.85\"\nsmoothing = nan\nrecover = 1e999\nseverity = 1\nfor = \"5 m\"\nfor_count = 1.5\n\
         keep_firing = 1979-05-27\nkeep_count = [1]\nresponse = { a = 1 }\npriority = 3000000000\n\
         models = 3\nversions = [\"a\", true]\nkinds = []",
        &[
            "line 4: rule \"r\": `min_accuracy` is \"0.85\", must be a number",
            "line 5: rule \"r\": `smoothing` is nan, must be a number",
            "line 6: rule \"r\": `recover` is 1e999, which is too large",
            "line 7: rule \"r\": `severity` is 1, must be \"info\", \"warning\" or \"critical\"",
            "line 8: rule \"r\": `for` is \"5 m\", must be a length of time such as \"5m\" or \"1h30m\": whole \
             numbers with ms, s, m, h or d",
            "line 9: rule \"r\": `for_count` is 1.5, must be a whole number",
            "line 10: rule \"r\": `keep_firing` is 1979-05-27, must be a length of time such as \"5m\" or \
             \"1h30m\": whole numbers with ms, s, m, h or d",
            "line 11: rule \"r\": `keep_count` is a list, must be a whole number",
            "line 12: rule \"r\": `response` is a table, must be \"record\", \"alert\", \"retrain\" or \
             \"alert-and-retrain\"",
            "line 13: rule \"r\": `priority` is 3000000000, must be from -2147483648 to 2147483647",
            "line 14: rule \"r\": `models` has 3, must be a text or a list of texts",
            "line 15: rule \"r\": `versions` has true, must be a text or a list of texts",
            "line 16: rule \"r\": `kinds` is an empty list, leave it out for all",
        ],
    );
    rule_refused(
        "latency",
        "for_count = 0\nkeep_count = 4294967296\nwindow = -1\ncount_min = 99999999999999999999999999999999999999999",
        &[
            "line 4: rule \"r\": `for_count` is 0, must be at least 1",
            "line 5: rule \"r\": `keep_count` is 4294967296, must be at most 4294967295",
            "line 6: rule \"r\": `window` is -1, must not be negative",
            "line 7: rule \"r\": `count_min` is 99999999999999999999999999999999999999999, which is too large",
        ],
    );
}

#[test]
fn long_values_are_shortened() {
    let long = "x".repeat(100);
    let shown = format!("{}…", "x".repeat(64));
    rule_refused(
        "latency",
        &format!("severity = \"{long}\""),
        &[&format!(
            "line 4: rule \"r\": `severity` is \"{shown}\", must be \"info\", \"warning\" or \"critical\""
        )],
    );
    refused(
        &format!("[[rule]]\nname = \"{}\"\ntype = \"latency\"", "x".repeat(129)),
        &[&format!(
            "line 2: rule \"{shown}\": `name` is \"{shown}\", must be 1 to 128 printable ASCII characters \
             without blanks"
        )],
    );
    refused(
        "\"a\\nb\" = 1",
        &["line 1: unknown key `a\\nb`, known are `default_rules`, `events`, `budget`, `rule`"],
    );
}

#[test]
fn patterns_that_match_nothing_are_told() {
    rule_refused(
        "latency",
        "models = [\n  \"fraud-*\",\n  \"fraud eu*\",\n  \"\",\n  \"gpt-?.1*\"\n]\nversions = \"é\"",
        &[
            "line 6: rule \"r\": `models` has \"fraud eu*\", which matches nothing: 1 to 256 letters, digits and \
             _ - : / @ + = ~ #; character 6 (\" \") is none of these, \"fraud_eu*\" would do",
            "line 7: rule \"r\": `models` has an empty pattern, leave it out for all",
            "line 8: rule \"r\": `models` has \"gpt-?.1*\", which matches nothing: 1 to 256 letters, digits and \
             _ - : / @ + = ~ #; character 6 (\".\") is none of these, \"gpt-?_1*\" would do",
            "line 10: rule \"r\": `versions` has \"é\", which matches nothing: 1 to 128 printable ASCII characters \
             without blanks; character 1 (\"é\") is none of these",
        ],
    );
    let error = MonitorPlan::from_toml(
        "[[rule]]\nname = \"r\"\ntype = \"latency\"\nmodels = [\"ok\", \"not ok\"]\nversions = \"a b\"",
    );
    let paths: Vec<String> =
        error.unwrap_err().problems().iter().map(|problem| problem.path.clone()).collect();
    assert_eq!(paths, ["rule[0].models[1]", "rule[0].versions"]);
}

#[test]
fn kinds_are_told_the_nearest_one() {
    rule_refused(
        "latency",
        "kinds = [\n\"Acuracy\",\n\"feature:*\",\n\"Feature:a b\",\n\"xyzzy\",\n\"Featur:ink\",\n\"Lat?ncyMs\",\n\
         \"F*\",\n\"*\",\n\"Feature:in?\",\n\"Custom:CpuPercent\",\n\"?ccuracy\"]",
        &[
            "line 5: rule \"r\": `kinds` has \"Acuracy\", which is no kind, did you mean \"Accuracy\"?",
            "line 6: rule \"r\": `kinds` has \"feature:*\", which no kind is of, did you mean \"Feature:*\"?",
            "line 7: rule \"r\": `kinds` has \"Feature:a b\", must be `Feature:`, `Custom:` or `Embedding:` and 1 to 128 \
             printable ASCII characters without blanks",
            "line 8: rule \"r\": `kinds` has \"xyzzy\", which is no kind, known are Accuracy, Precision, Recall, \
             F1, LatencyMs, DriftScore, Correct, Confidence, ErrorRate, Throughput, Feature:NAME, Custom:NAME, Embedding:NAME",
            "line 9: rule \"r\": `kinds` has \"Featur:ink\", which is no kind, did you mean \"Feature:ink\"?",
        ],
    );
}

/// The story: a floor on latency passed, and fired for as long as the model was fast.
#[test]
fn a_floor_for_what_is_bad_when_it_goes_up_is_refused() {
    let told = |line: usize, pattern: &str, kind: &str, goes: &str, of: &str, fires: &str| {
        format!(
            "line {line}: rule \"r\": `kinds` has \"{pattern}\", and {kind} is bad when it goes {goes}: type \"{of}\" \
             fires when it goes {fires}"
        )
    };
    rule_refused(
        "performance",
        "min_accuracy = 0.8\nkinds = [\"Accuracy\", \"LatencyMs\", \"Err*\", \"*\", \"Custom:auc\", \"[DF]*\"]",
        &[
            &told(5, "LatencyMs", "LatencyMs", "up", "performance", "down"),
            &told(5, "Err*", "ErrorRate", "up", "performance", "down"),
            "line 5: rule \"r\": `kinds` has \"[DF]*\", which no kind is of, known are Accuracy, Precision, Recall, \
             F1, LatencyMs, DriftScore, Correct, Confidence, ErrorRate, Throughput, Feature:NAME, Custom:NAME, \
             Embedding:NAME",
        ],
    );
    for of in ["drift-score", "latency"] {
        rule_refused(of, "kinds = \"Accuracy\"", &[&told(4, "Accuracy", "Accuracy", "down", of, "up")]);
    }
}

#[test]
fn ranges_are_those_of_the_constructors() {
    rule_refused(
        "drift-score",
        "threshold = 0",
        &["line 4: rule \"r\": `threshold` is 0, must be a finite number above 0"],
    );
    rule_refused(
        "drift-score",
        "recover = 0.4",
        &["line 4: rule \"r\": `recover` is 0.4, must be from 0 to the threshold 0.3"],
    );
    rule_refused(
        "performance",
        "min_accuracy = 1.2\nsmoothing = 0\nrecover = 0.5\ncount_min = 0",
        &[
            "line 4: rule \"r\": `min_accuracy` is 1.2, must be a number from 0 to 1",
            "line 5: rule \"r\": `smoothing` is 0, must be in (0, 1]",
            "line 7: rule \"r\": `count_min` is 0, must be from 1 to 1000000",
        ],
    );
    rule_refused(
        "performance",
        "min_accuracy = 0.8\nrecover = 0.5",
        &["line 5: rule \"r\": `recover` is 0.5, must be from `min_accuracy` 0.8 to 1"],
    );
    rule_refused("latency", "window = 5", &["line 4: rule \"r\": `window` is 5, must be from 10 to 1000000"]);
    rule_refused(
        "latency",
        "window = 20\ncount_min = 21",
        &["line 5: rule \"r\": `count_min` is 21, must be from 1 to `window` 20"],
    );
    rule_refused(
        "data-quality",
        "min = 3\nmax = 2\nshare_max = 1.0\nwindow = 5\ncount_min = 7",
        &[
            "line 4: rule \"r\": `min` is 3, must be at most `max` 2",
            "line 6: rule \"r\": `share_max` is 1, must be at least 0 and below 1",
            "line 7: rule \"r\": `window` is 5, must be from 10 to 1000000",
        ],
    );
    rule_refused(
        "staleness",
        "after = \"999ms\"",
        &["line 4: rule \"r\": `after` is 0.999 s, must be from 1 s to 400 days"],
    );
    // The default of one key does not refuse the other.
    MonitorPlan::from_toml("[[rule]]\nname = \"r\"\ntype = \"latency\"\nwindow = 20").unwrap();
    MonitorPlan::from_toml("[[rule]]\nname = \"r\"\ntype = \"data-quality\"\nmax = 0.5\nwindow = 20")
        .unwrap();
}

#[test]
fn ranges_of_detectors_are_those_of_their_parameters() {
    rule_refused(
        "change",
        "detector = \"adwin\"\ndelta = 0\nclock = 0\nmax_buckets = 17\nmin_window_length = 0\ncompat = \"rivr\"\n\
         standardize = 1\nclip = 0\nalert_on = \"good\"",
        &[
            "line 5: rule \"r\": `delta` is 0, must be in (0, 1]",
            "line 6: rule \"r\": `clock` is 0, must be at least 1",
            "line 7: rule \"r\": `max_buckets` is 17, must be in 1..=16",
            "line 8: rule \"r\": `min_window_length` is 0, must be at least 1",
            "line 9: rule \"r\": `compat` is \"rivr\", must be \"paper\", \"river\" or \"moa\", did you mean \
             \"river\"?",
            "line 10: rule \"r\": `standardize` is 1, must be at least 2",
            "line 11: rule \"r\": `clip` is 0, must be in (0, 1e6]",
            "line 12: rule \"r\": `alert_on` is \"good\", must be \"bad\" or \"any\"",
        ],
    );
    rule_refused(
        "change",
        "detector = \"page-hinkley\"\nmin_instances = -1\ndelta = -1\nthreshold = 0\nalpha = 2\nmode = \"op\"\n\
         standardize = \"yes\"",
        &[
            "line 5: rule \"r\": `min_instances` is -1, must not be negative",
            "line 6: rule \"r\": `delta` is -1, must be not negative",
            "line 7: rule \"r\": `threshold` is 0, must be above 0 and finite",
            "line 8: rule \"r\": `alpha` is 2, must be in (0, 1]",
            "line 9: rule \"r\": `mode` is \"op\", must be \"up\", \"down\" or \"both\", did you mean \"up\"?",
            "line 10: rule \"r\": `standardize` is \"yes\", must be true, false or the number of values to learn \
             from",
        ],
    );
    rule_refused(
        "change",
        "detector = \"median-shift\"\nrecent = 0\nreference = 3\nthreshold = 1e10\nfloor_absolute = -1\n\
         floor_relative = inf\nclip = 3",
        &[
            "line 5: rule \"r\": `recent` is 0, must be at least 1",
            "line 6: rule \"r\": `reference` is 3, must be at least 4",
            "line 7: rule \"r\": `threshold` is 10000000000, must be above 0 and at most 1e9",
            "line 8: rule \"r\": `floor_absolute` is -1, must be not negative",
            "line 9: rule \"r\": `floor_relative` is inf, must be not negative",
            "line 10: rule \"r\": `clip` is 3, which says nothing without `standardize`",
        ],
    );
    rule_refused(
        "change",
        "detector = \"median-shift\"\nrecent = 235",
        &["line 5: rule \"r\": `reference` is 60, must be at most 240 together with `recent`"],
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,80}|([a-z_]{1,9} ?= ?[-0-9a-z\".\\[\\]{},]{0,9}\n|\\[\\[rule\\]\\]\n|type = \"(change|latency)\"\n){0,12}") {
        if let Err(error) = MonitorPlan::from_toml(&text) {
            let lines = text.lines().count().max(1);
            prop_assert!(!error.problems().is_empty());
            prop_assert!(error.problems().iter().all(|problem| (1..=lines + 1).contains(&problem.line)), "{}", error);
            prop_assert!(error.problems().is_sorted_by_key(|problem| problem.line));
        }
    }
}
