//! A rule that gives way where another with the same purpose watches.

use std::collections::BTreeMap;

use visu_tility_drift::FocusParams;

use super::*;
use crate::Check;

/// A change rule for `Correct`, on top of it one for a single model.
fn plan(own: &str) -> MonitorPlan {
    let text = format!(
        r#"
        [[rule]]
        name = "usual"
        type = "change"
        kinds = ["Correct", "Feature:*"]
        fallback = true
        detector = "focus"
        {own}
        "#
    );
    MonitorPlan::from_toml(&text).unwrap()
}

const OWN: &str = "
[[rule]]
name = \"own\"
type = \"change\"
models = \"digits\"
kinds = [\"Correct\", 'Feature:a\\*']
detector = \"e-sr\"
[[rule]]
name = \"floor\"
type = \"performance\"
kinds = \"Correct\"
min_accuracy = 0.5
smoothing = 0.01
[[rule]]
name = \"silent\"
type = \"staleness\"
fallback = true
[[rule]]
name = \"silent-digits\"
type = \"staleness\"
models = \"digits\"
after = \"1h\"";

fn watching(plan: &MonitorPlan, model: &str, kind: &str) -> Vec<String> {
    let rules =
        plan.rules_for(&ModelId::new(model).unwrap(), &Version::new("7").unwrap(), &kind.parse().unwrap());
    rules.into_iter().map(|(_, rule)| rule.name.to_string()).collect()
}

#[test]
fn a_fallback_watches_what_no_other_rule_with_its_purpose_does() {
    let plan = plan(OWN);
    assert_eq!(watching(&plan, "digits", "Correct"), ["own", "floor"], "a floor has another purpose");
    assert_eq!(watching(&plan, "new", "Correct"), ["usual", "floor"]);
    assert_eq!(watching(&plan, "digits", "Feature:a*"), ["own"], "a name that looks like a pattern");
    assert_eq!(watching(&plan, "digits", "Feature:ab"), ["usual"]);
    assert_eq!(watching(&plan, "digits", "Accuracy"), [""; 0]);
    let whole = |model: &str| -> Vec<String> {
        let rules = plan.rules_for_model(&ModelId::new(model).unwrap());
        rules.into_iter().map(|(_, rule)| rule.name.to_string()).collect()
    };
    assert_eq!((whole("digits"), whole("new")), (vec!["silent-digits".into()], vec!["silent".into()]));
    let mut shown = plan.to_string();
    shown.retain(|c| c != '\n');
    assert!(shown.contains("of all models, where no other does"), "{shown}");
}

#[test]
fn a_vote_and_a_change_rule_have_one_purpose() {
    let vote = "[[rule]]\nname = \"vote\"\ntype = \"combination\"\ncombine = \"vote\"\nkinds = \"Correct\"\n\
                members = [{ detector = \"focus\" }, { detector = \"adwin\" }]";
    assert_eq!(watching(&plan(vote), "digits", "Correct"), ["vote"]);
    assert_eq!(watching(&plan(vote), "digits", "Feature:x"), ["usual"]);
}

#[test]
fn a_fallback_begins_and_ends_with_a_reload_and_takes_a_share_only_while_it_watches() {
    let mut monitor = monitor(plan(""));
    let mut records = Vec::new();
    let mut at = 0;
    let mut feed = |monitor: &mut ModelMonitor, count: i64, value: f64| {
        for _ in 0..count {
            records.extend(monitor.observe(&event(&MetricKind::Correct, "1", at, value), at as u64));
            at += 1;
        }
        std::mem::take(&mut records)
    };
    let observers = |monitor: &mut ModelMonitor| -> BTreeMap<String, f64> {
        let status = monitor.status();
        let all = status.series.iter().flat_map(|series| &series.observers);
        all.map(|one| (one.name.clone(), one.figures.get("arl").copied().unwrap_or(0.0))).collect()
    };
    feed(&mut monitor, 300, 1.0);
    let fired = feed(&mut monitor, 100, 0.0);
    assert!(fired.iter().any(|record| matches!(&record.action, ObserverAction::Alert(_))));
    let alone = observers(&mut monitor)["usual"];
    let mut out = Vec::new();
    monitor.reload(Arc::new(plan(OWN)), &mut out);
    let resolved = |record: &ActionRecord| match &record.action {
        ObserverAction::Alert(alert) => alert.phase == AlertPhase::Resolved,
        _ => false,
    };
    assert!(out.len() == 1 && resolved(&out[0]), "its alert ends with it: {out:?}");
    let now = observers(&mut monitor);
    assert!(now.contains_key("own") && !now.contains_key("usual"), "{now:?}");
    feed(&mut monitor, 64, 1.0);
    assert_eq!(observers(&mut monitor)["own"], alone, "one sharer, as before");
    monitor.reload(Arc::new(plan("")), &mut out);
    assert!(observers(&mut monitor).contains_key("usual"), "it watches again, afresh");
    let mut read = ModelMonitor::restore(id(), Arc::new(plan("")), &monitor.snapshot()).unwrap();
    assert_eq!(observers(&mut read), observers(&mut monitor));
}

#[test]
fn a_rule_that_is_no_fallback_watches_beside_others() {
    let rule = |name: &str| {
        let check = ChangeObserver::new(FocusParams::default()).unwrap();
        Rule::new(name, Check::Change(check)).unwrap()
    };
    let both = MonitorPlan::empty().with_rule(rule("a")).unwrap().with_rule(rule("b")).unwrap();
    assert_eq!(watching(&both, "digits", "Correct"), ["a", "b"]);
    let all_fall_back = |name: &str| {
        let mut rule = rule(name);
        rule.scope.fallback = true;
        rule
    };
    let plan = MonitorPlan::empty().with_rule(all_fall_back("a")).unwrap();
    let plan = plan.with_rule(all_fall_back("b")).unwrap();
    assert_eq!(
        watching(&plan, "digits", "Correct"),
        ["a", "b"],
        "they give way to others, not to each other"
    );
}
