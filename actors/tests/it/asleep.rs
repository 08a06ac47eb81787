//! Sleeping models whose alerts are out: reset, retired, or woken under another plan, they resolve them.

use visu_tility_actors::{Monitoring, MonitoringBuilder};
use visu_tility_core::{
    AlertPhase, DriftDetector, MetricEvent, MetricKind, MonitorPlan, ObserverAction, PerformanceDegrader,
    Timestamp,
};

use crate::world::{Ears, end, world};

fn drift() -> MonitorPlan {
    MonitorPlan::empty().with_observer(Box::new(DriftDetector::default())).unwrap()
}

fn watching() -> MonitoringBuilder {
    Monitoring::builder().plan(drift()).arbiters(0)
}

fn score(model: &str, value: f64, second: i64) -> MetricEvent {
    let at = Timestamp::from_millis(1_700_000_000_000 + second * 1_000);
    MetricEvent::new(model, MetricKind::DriftScore, value).unwrap().at(at).unwrap()
}

/// The phases that a model's alerts went through.
fn told(ears: &Ears, model: &str) -> Vec<AlertPhase> {
    let phase = |action: &ObserverAction| match action {
        ObserverAction::Alert(alert) => Some(alert.phase),
        _ => None,
    };
    let of_model = |record: &&visu_tility_core::ActionRecord| record.id.model_id.as_str() == model;
    ears.records().iter().filter(of_model).filter_map(|record| phase(&record.action)).collect()
}

const OVER: [AlertPhase; 2] = [AlertPhase::Firing, AlertPhase::Resolved];

#[test]
fn a_sleeping_model_that_is_reset_or_retired_resolves_its_alerts() {
    world(|| async {
        let handle = watching().start().unwrap();
        let ears = Ears::on(&handle);
        for model in ["a", "b"] {
            handle.publish(score(model, 0.9, 0)).await.unwrap();
            handle.flush().await.unwrap();
            handle.passivate(model).await.unwrap();
        }
        crate::world::pass(std::time::Duration::from_secs(1)).await;
        handle.reset("a").await.unwrap();
        handle.retire("b").await.unwrap();
        assert_eq!((told(&ears, "a"), told(&ears, "b")), (OVER.to_vec(), OVER.to_vec()));
        // The state is gone for good.
        handle.publish(score("a", 0.1, 1)).await.unwrap();
        handle.publish(score("b", 0.1, 1)).await.unwrap();
        handle.flush().await.unwrap();
        for model in ["a", "b"] {
            assert_eq!(handle.model_status(model).await.unwrap().monitor.unwrap().taken, 1);
        }
        end(handle).await;
    });
}

#[test]
fn a_model_that_wakes_under_a_plan_without_its_rule_resolves_the_rules_alert() {
    world(|| async {
        let handle = watching().start().unwrap();
        let ears = Ears::on(&handle);
        handle.publish(score("a", 0.9, 0)).await.unwrap();
        handle.flush().await.unwrap();
        handle.passivate("a").await.unwrap();
        // Two plans on: what counts is the one it fell asleep under.
        handle.reload(MonitorPlan::empty()).await.unwrap();
        handle.reload(MonitorPlan::empty()).await.unwrap();
        handle.publish(score("a", 0.9, 1)).await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(told(&ears, "a"), OVER);
        end(handle).await;
    });
}

#[test]
fn a_model_that_wakes_under_a_plan_with_its_rule_goes_on_with_the_alert_it_has() {
    world(|| async {
        let handle = watching().start().unwrap();
        let ears = Ears::on(&handle);
        handle.publish(score("a", 0.9, 0)).await.unwrap();
        handle.flush().await.unwrap();
        handle.passivate("a").await.unwrap();
        let more = drift().with_observer(Box::new(PerformanceDegrader::new(0.5).unwrap())).unwrap();
        handle.reload(more).await.unwrap();
        handle.publish(score("a", 0.9, 1)).await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(told(&ears, "a"), [AlertPhase::Firing]);
        handle.passivate("a").await.unwrap();
        handle.reload(MonitorPlan::empty()).await.unwrap();
        handle.publish(score("a", 0.9, 2)).await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(told(&ears, "a"), OVER);
        end(handle).await;
    });
}
