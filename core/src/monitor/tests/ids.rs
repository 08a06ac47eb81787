//! What names a decision.

use super::*;

#[test]
fn ids_name_offset_observer_and_ordinal() {
    let mut rule = Rule::new("both", PerformanceDegrader::new(0.85).unwrap().builtin().unwrap()).unwrap();
    rule.response = Reaction::AlertAndRetrain;
    let mut monitor = monitor(MonitorPlan::empty().with_rule(rule).unwrap());
    let records = monitor.observe(&event(&MetricKind::Accuracy, "1", 0, 0.5), 17);
    let ids: Vec<_> = records.iter().map(|r| (r.id.offset, &*r.id.observer, r.id.ordinal)).collect();
    let all = [(17, "both", 0), (17, "both", 1)];
    assert_eq!(ids, if cfg!(feature = "automated_retraining") { &all[..] } else { &all[..1] });
    assert_eq!((records[0].statistic, records[0].threshold, records[0].value), (0.5, 0.85, Some(0.5)));
}
