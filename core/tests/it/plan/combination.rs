//! Combinations in a plan: what is taken, what is said of those that cannot be.

use visu_tility_core::{Check, CombinationObserver, Combine, MonitorPlan};
use visu_tility_drift::combination::{EvidenceMergeParams, GateParams, Rearm, VoteParams};
use visu_tility_drift::{AnyParams, Setting};

use super::refused::rule_refused;

fn by_name(name: &str) -> AnyParams {
    AnyParams::by_name(name).unwrap()
}

fn check(keys: &str) -> Check {
    let text = format!("[[rule]]\nname = \"r\"\ntype = \"combination\"\n{keys}\n");
    let plan = MonitorPlan::from_toml(&text).unwrap_or_else(|error| panic!("{error}\nin\n{text}"));
    plan.rules()[0].check.clone()
}

#[test]
fn windows_of_a_member_may_be_longer_than_half_of_the_usual_run_length() {
    let member = "{ detector = \"distribution\", window = 10000 }";
    for keys in [
        format!("combine = \"vote\"\nmembers = [{member}, {{ detector = \"focus\" }}]"),
        format!("combine = \"gate\"\nrearm = \"cool-down\"\ncool_down = 9\nmembers = [{member}]"),
    ] {
        let Check::Combination(rule) = check(&keys) else { panic!("a combination") };
        assert!(rule.is_budgeted(), "{keys}");
    }
}

#[test]
fn a_vote_is_as_in_code() {
    let mut page = by_name("page-hinkley");
    page.set("threshold", Setting::Number(20.0)).unwrap();
    let members = [by_name("focus"), page, by_name("conformal-sr")];
    let params = VoteParams { need: 2, horizon: 150, agree: false };
    let code = CombinationObserver::vote(params, members).unwrap().budgeted().unwrap();
    let text = "combine = \"vote\"\nhorizon = 150\nagree = false\nmembers = [\n{ detector = \"focus\" },\n\
                { detector = \"page-hinkley\", threshold = 20 },\n{ detector = \"conformal-sr\" }]";
    assert_eq!(check(text), Check::Combination(code));
    // As tables of their own.
    let long =
        "combine = \"vote\"\n[[rule.members]]\ndetector = \"adwin\"\n[[rule.members]]\ndetector = \"ddm\"\n";
    let members = [by_name("adwin"), by_name("ddm")];
    let code = CombinationObserver::vote(VoteParams::default(), members).unwrap();
    assert_eq!(check(long), Check::Combination(code));
}

#[test]
fn a_merge_and_a_gate_are_as_in_code() {
    let members = [(by_name("e-sr"), 2.0), (by_name("conformal-sr"), 1.0)];
    let merge = CombinationObserver::evidence_merge(EvidenceMergeParams { arl: 5_000.0 }, members).unwrap();
    let gate = GateParams { warn_share: 0.1, ..GateParams::default() };
    let text = |arl: &str| {
        format!(
            "combine = \"evidence-merge\"\n{arl}warn_share = 0.1\nmembers = [\n{{ detector = \"e-sr\", weight = 2 }},\n\
             {{ detector = \"conformal-sr\" }}]"
        )
    };
    let merge = merge.gated(gate).unwrap();
    assert_eq!(check(&text("arl = 5000\n")), Check::Combination(merge.clone()));
    assert_eq!(check(&text("")), Check::Combination(merge.budgeted().unwrap()));
    let gate = GateParams { rearm: Rearm::CoolDown, cool_down: 50, ..GateParams::default() };
    let code = CombinationObserver::gate(gate, by_name("adwin")).unwrap();
    let text =
        "combine = \"gate\"\nrearm = \"cool-down\"\ncool_down = 50\nmembers = [{ detector = \"adwin\" }]";
    assert_eq!(check(text), Check::Combination(code));
}

#[test]
fn the_budget_has_what_it_can_hold() {
    let budgeted = |keys: &str| match check(keys) {
        Check::Combination(check) => check.is_budgeted(),
        _ => panic!("a combination"),
    };
    let vote = |need: u8, members: &str| {
        let members: Vec<String> =
            members.split(' ').map(|name| format!("{{ detector = \"{name}\" }}")).collect();
        format!("combine = \"vote\"\nneed = {need}\nmembers = [{}]", members.join(", "))
    };
    assert!(budgeted(&vote(1, "focus conformal-sr")));
    assert!(budgeted(&vote(2, "focus conformal-sr adwin")));
    // Both votes can be of those without a bound.
    assert!(!budgeted(&vote(2, "focus page-hinkley adwin")));
    assert!(budgeted(&vote(3, "focus page-hinkley adwin")));
    let own = "members = [{ detector = \"focus\", arl = 2000 }, { detector = \"conformal-sr\" }]";
    assert!(!budgeted(&format!("combine = \"vote\"\n{own}")), "a member has its own");
    let fixed = "members = [{ detector = \"focus\", threshold = 9 }, { detector = \"conformal-sr\" }]";
    assert!(!budgeted(&format!("combine = \"vote\"\nneed = 1\n{fixed}")));
    let gate =
        |member: &str| format!("combine = \"gate\"\nwarn_share = 0.5\nmembers = [{{ detector = {member} }}]");
    assert!(budgeted(&gate("\"focus\"")) && !budgeted(&gate("\"adwin\"")));
    assert!(!budgeted(&gate("\"e-sr\", rearm = false")));
    // In code likewise, with the reason.
    let refused = |made: CombinationObserver| made.budgeted().unwrap_err().to_string();
    let vote = CombinationObserver::vote(VoteParams::default(), [by_name("adwin"), by_name("ddm")]).unwrap();
    assert!(refused(vote).contains(
        "`need` is 2 and 2 of its members have no `arl` that a budget could set: they can be all its votes"
    ));
}

#[test]
fn whoever_sets_a_budget_is_told_of_members_that_do_not_keep_to_it() {
    let plan = |budget: &str| {
        MonitorPlan::from_toml(&format!(
            "{budget}[[rule]]\nname = \"a\"\ntype = \"combination\"\ncombine = \"vote\"\n\
             members = [{{ detector = \"adwin\" }}, {{ detector = \"focus\" }}, {{ detector = \"page-hinkley\" }}]\n\
             [[rule]]\nname = \"b\"\ntype = \"combination\"\ncombine = \"gate\"\nwarn_share = 0.5\n\
             members = [{{ detector = \"adwin\" }}]\n\
             [[rule]]\nname = \"c\"\ntype = \"combination\"\nkinds = \"Correct\"\ncombine = \"evidence-merge\"\n\
             members = [{{ detector = \"conformal-sr\" }}, {{ detector = \"e-sr\", mode = \"up\" }}]\n"
        ))
        .unwrap()
    };
    let blind = "rule \"c\": member 2, detector \"e-sr\" looks for mode = \"up\" only, and Correct is bad when it goes down";
    assert_eq!(plan("").warnings(), [blind]);
    assert_eq!(
        plan("[budget]\nfalse_alarms_per_30_days = 1\n").warnings(),
        [
            "rule \"a\": `need` is 2 and 2 of its members have no `arl` that a budget could set: they can be all its \
             votes, so its false alarms are not within the budget",
            "rule \"b\": its member has no `arl` that a budget could set, so its false alarms are not within the budget",
            blind,
        ]
    );
}

#[test]
fn a_member_with_an_arl_of_its_own_under_a_budget_is_a_warning() {
    let said = |budget: &str, rule: &str| {
        let text = format!("{budget}[[rule]]\nname = \"a\"\ntype = \"combination\"\n{rule}");
        MonitorPlan::from_toml(&text).unwrap().warnings()
    };
    let budget = "[budget]\nfalse_alarms_per_30_days = 1\n";
    let vote = "combine = \"vote\"\nmembers = [{ detector = \"focus\", arl = 100 }, { detector = \"conformal-sr\" }]\n";
    let gate = "combine = \"gate\"\nwarn_share = 0.5\nmembers = [{ detector = \"focus\", arl = 100 }]\n";
    let merge = "combine = \"evidence-merge\"\narl = 100\nkinds = \"ErrorRate\"\n\
                 members = [{ detector = \"e-sr\" }, { detector = \"conformal-sr\" }]\n";
    for rule in [vote, gate] {
        let warning = "rule \"a\": a member has an `arl` of its own, which takes all members out, so its false alarms are not \
                       within the budget";
        assert_eq!(said(budget, rule), [warning]);
        assert_eq!((said("", rule), said(budget, &rule.replace(", arl = 100", ""))), (vec![], vec![]));
    }
    // The `arl` of the rule itself is its own bound, as for a single detector.
    assert_eq!(said(budget, merge), [""; 0]);
}

#[test]
fn what_is_missing_is_told_once() {
    rule_refused(
        "combination",
        "",
        &[
            "line 1: rule \"r\": `combine` is missing, must be \"vote\", \"evidence-merge\" or \"gate\"",
            "line 1: rule \"r\": `members` is missing, must be a list of 2 to 8 tables, with `combine` \"gate\" of 1",
        ],
    );
    rule_refused(
        "combination",
        "combine = \"votes\"\nmembers = 3\nneed = 0\nrearm = \"never\"",
        &[
            "line 4: rule \"r\": `combine` is \"votes\", must be \"vote\", \"evidence-merge\" or \"gate\", did you mean \
             \"vote\"?",
            "line 5: rule \"r\": `members` is 3, must be a list of tables: write [{ detector = \"adwin\" }, ...]",
            "line 7: rule \"r\": `rearm` is \"never\", must be \"at-once\", \"cool-down\" or \"fallen\"",
        ],
    );
}

#[test]
fn every_problem_of_every_member_is_told_by_its_line() {
    let names: Vec<String> = AnyParams::NAMES.iter().map(|name| format!("\"{name}\"")).collect();
    let names = format!("{} or {}", names[..names.len() - 1].join(", "), names[names.len() - 1]);
    let text = "combine = \"vote\"\nmembers = [\n{ detector = \"focus\", treshold = 3 },\n{ detector = \"adwim\" },\n\
         {},\n{ detector = \"page-hinkley\", threshold = -5, delta = \"x\" },\n\
         { detector = \"adwin\", weight = 2 },\n{ detector = \"e-sr\", rearm = false },\n\
         { detector = \"adwin\", threshold = 3 },\n]\nneed = 9\nhorizon = 0";
    let told = [
            "line 6: rule \"r\": member 1: unknown key `treshold`, did you mean `threshold`?",
            "line 7: rule \"r\": member 2: `detector` is \"adwim\", must be DETECTORS, did you mean \"adwin\"?",
            "line 8: rule \"r\": member 3: `detector` is missing, must be DETECTORS",
            "line 9: rule \"r\": member 4: `threshold` is -5, must be above 0 and finite",
            "line 9: rule \"r\": member 4: `delta` is \"x\", must be a number",
            "line 10: rule \"r\": member 5: `weight` says nothing with `combine` \"vote\"",
            "line 11: rule \"r\": member 6: `rearm` is false, must be true in a vote: it would vote with every value \
             after its alarm",
            "line 12: rule \"r\": member 7: `threshold` is a key of detector \"focus\" and 7 others, not of detector \"adwin\"",
            "line 14: rule \"r\": `need` is 9, must be at most the number of members",
            "line 15: rule \"r\": `horizon` is 0, must be in 1..=2^60",
    ]
    .map(|told| told.replace("DETECTORS", &names));
    rule_refused("combination", text, &told.each_ref().map(String::as_str));
}

#[test]
fn members_of_a_merge_have_an_e_value_and_no_run_length_of_their_own() {
    rule_refused(
        "combination",
        "combine = \"evidence-merge\"\narl = 1\nneed = 2\nmembers = [\n{ detector = \"adwin\" },\n\
         { detector = \"e-sr\", arl = 500 },\n{ detector = \"e-sr\", weight = 0 },\n\
         { detector = \"conformal-sr\", weight = inf }]\nrearm = \"fallen\"",
        &[
            "line 5: rule \"r\": `arl` is 1, must be in [2, 1e15]",
            "line 6: rule \"r\": `need` is a key of combine \"vote\", not of combine \"evidence-merge\"",
            "line 8: rule \"r\": member 1: `detector` is \"adwin\", which has no e-value: an evidence-merge takes \
             \"e-sr\" and \"conformal-sr\"",
            "line 9: rule \"r\": member 2: `arl` says nothing here: that of the rule, or the budget, is for all members \
             together",
            "line 10: rule \"r\": member 3: `weight` is 0, must be above 0 and finite",
            "line 11: rule \"r\": member 4: `weight` is inf, must be above 0 and finite",
            "line 12: rule \"r\": `rearm` is \"fallen\", which says nothing with `combine` \"evidence-merge\": it \
             starts afresh after a drift",
        ],
    );
}

#[test]
fn a_gate_has_one_member_and_something_to_do() {
    let two = "members = [{ detector = \"adwin\" }, { detector = \"focus\" }]";
    let one = "members = [{ detector = \"adwin\" }]";
    rule_refused(
        "combination",
        &format!("combine = \"gate\"\n{two}\nwarn_share = 0.5"),
        &["line 5: rule \"r\": `members` has 2, must have 1 with `combine` \"gate\""],
    );
    rule_refused(
        "combination",
        &format!("combine = \"gate\"\n{one}"),
        &[
            "line 4: rule \"r\": `combine` is \"gate\", which does nothing without a `warn_share`, or a `rearm` that is not \
           \"at-once\"",
        ],
    );
    rule_refused(
        "combination",
        &format!(
            "combine = \"gate\"\n{one}\nwarn_share = 1\ncool_down = 5\nfallen_share = 0.5\nagree = true"
        ),
        &[
            "line 6: rule \"r\": `warn_share` is 1, must be in [0, 1)",
            "line 7: rule \"r\": `cool_down` says nothing without `rearm = \"cool-down\"`",
            "line 8: rule \"r\": `fallen_share` says nothing without `rearm = \"fallen\"`",
            "line 9: rule \"r\": `agree` is a key of combine \"vote\", not of combine \"gate\"",
        ],
    );
    rule_refused(
        "combination",
        &format!("combine = \"vote\"\n{one}\ngap_latest_seconds = 5\nslo_ms = 3"),
        &[
            "line 5: rule \"r\": `members` has 1, must have 2 to 8 with `combine` \"vote\"",
            "line 6: rule \"r\": `gap_latest_seconds` says nothing without `gap = true`",
            "line 7: rule \"r\": `slo_ms` is a key of type \"latency\", not of type \"combination\"",
        ],
    );
}

#[test]
fn code_names_the_member_that_cannot_be() {
    let refused = |made: Result<CombinationObserver, _>| match made.unwrap_err() {
        visu_tility_core::ObserverError::Config(text) => text,
        other => panic!("{other}"),
    };
    let mut bad = by_name("page-hinkley");
    bad.set("threshold", Setting::Number(-5.0)).unwrap();
    let vote = |members: [AnyParams; 2]| CombinationObserver::vote(VoteParams::default(), members);
    assert_eq!(
        refused(vote([by_name("adwin"), bad])),
        "member 2 \"page-hinkley\": `threshold` is -5, must be above 0 and finite"
    );
    let merge = |weight| {
        let members = [(by_name("e-sr"), 1.0), (by_name("conformal-sr"), weight)];
        CombinationObserver::evidence_merge(EvidenceMergeParams::default(), members)
    };
    assert_eq!(
        refused(merge(f64::NAN)),
        "member 2 \"conformal-sr\": `weight` is NaN, must be above 0 and finite"
    );
    assert!(matches!(merge(1.0).unwrap().combine(), Combine::EvidenceMerge(_)));
    let many = CombinationObserver::vote(VoteParams::default(), vec![by_name("adwin"); 9]);
    assert_eq!(refused(many), "`members` has 9, must have 2 to 8 with `combine` \"vote\"");
}
