//! Who may become a model: policies, refusals and their counts; what sleeps in a store is known.

use std::sync::Arc;
use std::time::Duration;

use visu_tility_actors::{
    AdmissionPolicy, AdmissionStatus, ManualClock, ModelPhase, Monitoring, MonitoringBuilder,
    MonitoringHandle, NewModels,
};
use visu_tility_core::store::{Effect, MemoryDisk, Operation, StoreError};
use visu_tility_core::{EventPolicy, Glob, IngestError, MetricEvent, MetricKind, MonitorPlan};

use crate::durable::{close, over, reader};
use crate::world::{accuracy, end, monitoring, pass, world};

fn list(patterns: &[&str]) -> AdmissionPolicy {
    AdmissionPolicy::AllowList(patterns.iter().map(|pattern| Glob::new(*pattern)).collect())
}

fn quota(new_max: u64, seen_min: u32) -> AdmissionPolicy {
    let period = Duration::from_mins(1);
    AdmissionPolicy::Quota(NewModels { new_max, period, seen_min })
}

/// Puts models to sleep that are idle.
fn sleepy(disk: &MemoryDisk) -> MonitoringBuilder {
    over(disk).idle_after(Some(Duration::from_secs(10)))
}

async fn admission(handle: &MonitoringHandle) -> AdmissionStatus {
    let status = handle.status().await.unwrap();
    assert_eq!(status.admission, handle.admission());
    assert_eq!(status.models, handle.models().len() as u64);
    status.admission
}

async fn refusal(handle: &MonitoringHandle, model: &str, second: i64) -> String {
    handle.publish(accuracy(model, 0.9, second)).await.unwrap_err().to_string()
}

#[test]
fn a_list_admits_what_is_on_it_and_tells_all_others_what_is() {
    world(|| async {
        let patterns = list(&["fraud-*", "ads", "a", "b", "c"]);
        let handle = monitoring().admission(patterns).start().unwrap();
        let events =
            ["fraud-eu", "spam", "ads", "adsx", "spam"].map(|model| accuracy(model, 0.9, 0)).to_vec();
        let receipt = handle.publish_batch(events).await;
        let rejected: Vec<usize> = receipt.rejected.iter().map(|rejected| rejected.index).collect();
        assert_eq!((receipt.accepted, rejected), (2, vec![1, 3, 4]));
        assert!(matches!(receipt.rejected[0].error, IngestError::Unlisted { .. }));
        assert_eq!(
            receipt.rejected[0].error.to_string(),
            "field `model_id` is \"spam\", must be a known model or match fraud-*, ads, a or one of 2 more"
        );
        assert!(handle.model("other").is_err() && handle.model("ads").is_ok());
        let status = admission(&handle).await;
        assert_eq!((status.policy, status.models, status.admitted), ("allow_list", 2, 2));
        assert_eq!((status.refused_unlisted, status.refused()), (4, 4));
        let most = &status.most_refused[0];
        assert_eq!((most.model_id.as_str(), most.refused_min, most.refused_max), ("spam", 2, 2));
        assert_eq!(status.most_refused.len(), 3);
        end(handle).await;
    });
}

#[test]
fn a_quota_admits_who_was_seen_often_enough_and_so_many_in_a_period() {
    world(|| async {
        let handle = monitoring().admission(quota(2, 3)).admission_seed(1).start().unwrap();
        for model in ["a", "b", "c"] {
            for seen in 0..2 {
                let said = refusal(&handle, model, seen).await;
                let wanted = format!(
                    "field `model_id` is \"{model}\", must be a known model or be sent 3 times first"
                );
                assert_eq!(said, wanted);
            }
        }
        for model in ["a", "b"] {
            handle.publish(accuracy(model, 0.9, 3)).await.unwrap();
        }
        pass(Duration::from_millis(20_500)).await;
        let said = refusal(&handle, "c", 3).await;
        assert_eq!(
            said,
            "field `model_id` is \"c\", must be a known model: 2 new ones are taken per 60 s, again in 40 s"
        );
        // Who is known is never refused.
        handle.publish(accuracy("a", 0.9, 4)).await.unwrap();
        let status = admission(&handle).await;
        assert_eq!((status.admitted, status.new_left), (2, Some(0)));
        assert_eq!((status.refused_unseen, status.refused_quota), (6, 1));

        // In the next period `c`, whose three times count for one, is to be seen twice more.
        pass(Duration::from_secs(40)).await;
        assert_eq!(admission(&handle).await.new_left, Some(2));
        assert!(refusal(&handle, "c", 4).await.contains("3 times first"));
        handle.publish(accuracy("c", 0.9, 5)).await.unwrap();
        assert_eq!(admission(&handle).await.new_left, Some(1));
        end(handle).await;
    });
}

#[test]
fn a_policy_out_of_its_range_is_refused_at_the_start() {
    world(|| async {
        let said = |policy| monitoring().admission(policy).start().map(drop).unwrap_err().to_string();
        assert!(said(list(&[])).contains("the allow-list has 0 patterns, must have from 1 to 4096"));
        assert!(said(quota(1, 0)).contains("`seen_min` is 0, must be from 1 to 255"));
        let brief = NewModels { period: Duration::ZERO, ..NewModels::default() };
        assert!(said(AdmissionPolicy::Quota(brief)).contains("`period` is 0ns, must be from 1s"));
    });
}

#[test]
fn a_model_that_sleeps_in_the_store_is_known_and_one_that_was_retired_is_not() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        for model in ["a", "b", "gone"] {
            handle.publish(accuracy(model, 0.9, 0)).await.unwrap();
        }
        handle.retire("gone").await.unwrap();
        close(handle).await;
        for policy in [quota(0, 1), list(&["z"])] {
            let handle = sleepy(&disk).admission(policy).start().unwrap();
            let _ = handle.recovered().await;
            assert_eq!(
                (admission(&handle).await.models, handle.status().await.unwrap().models_in_memory),
                (2, 0)
            );
            handle.publish(accuracy("a", 0.9, 1)).await.unwrap();
            assert!(handle.publish(accuracy("gone", 0.9, 1)).await.is_err());
            let before = handle.status().await.unwrap().next_offset;
            assert!(handle.publish(accuracy("new", 0.9, 1)).await.is_err());
            handle.flush().await.unwrap();
            // Asleep again.
            pass(Duration::from_mins(1)).await;
            let status = handle.status().await.unwrap();
            assert_eq!(
                (status.next_offset, status.models_in_memory),
                (before, 0),
                "nothing of it is journaled"
            );
            handle.publish(accuracy("a", 0.9, 2)).await.unwrap();
            handle.flush().await.unwrap();
            let status = admission(&handle).await;
            assert_eq!((status.models, status.admitted, status.refused()), (2, 0, 2));
            close(handle).await;
        }
        assert_eq!(reader(&disk).summary().unwrap().models, 2);
    });
}

#[test]
fn a_model_that_only_the_journal_knows_is_known_while_it_is_being_repeated() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        for model in ["a", "b"] {
            handle.publish(accuracy(model, 0.9, 0)).await.unwrap();
        }
        let again = disk.after_kill();
        end(handle).await;
        assert_eq!(reader(&again).summary().unwrap().models, 0, "nothing was saved");
        let handle = over(&again).admission(quota(0, 1)).start().unwrap();
        // It cannot be said yet, and who can wait does.
        let said = handle.try_publish(&accuracy("a", 0.9, 1)).unwrap_err();
        assert!(
            matches!(&said, IngestError::Store { reason, retry: true } if reason.contains("being repeated"))
        );
        let events = ["b", "new", "a"].map(|model| accuracy(model, 0.9, 1)).to_vec();
        let receipt = handle.publish_batch(events).await;
        assert_eq!((receipt.accepted, receipt.rejected[0].index), (2, 1));
        assert!(matches!(receipt.rejected[0].error, IngestError::Quota { .. }));
        handle.flush().await.unwrap();
        assert_eq!(handle.model_status("a").await.unwrap().monitor.unwrap().taken, 2);
        let status = admission(&handle).await;
        assert_eq!((status.models, status.admitted, status.refused_quota), (2, 0, 1));
        close(handle).await;
    });
}

#[test]
fn the_limit_counts_those_asleep_and_a_retired_one_makes_room() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = sleepy(&disk).models_max(2).start().unwrap();
        for model in ["a", "b"] {
            handle.publish(accuracy(model, 0.9, 0)).await.unwrap();
        }
        pass(Duration::from_mins(1)).await;
        assert_eq!(handle.status().await.unwrap().models_in_memory, 0);
        assert_eq!(refusal(&handle, "c", 0).await, "limit `models_max` of 2 is reached");
        handle.publish(accuracy("a", 0.9, 1)).await.unwrap();
        handle.retire("b").await.unwrap();
        // Its grave is not in the store yet, perhaps: it is a new one all the same.
        handle.publish(accuracy("b", 0.9, 2)).await.unwrap();
        assert!(refusal(&handle, "c", 2).await.contains("models_max"));
        handle.retire("b").await.unwrap();
        handle.publish(accuracy("c", 0.9, 3)).await.unwrap();
        handle.flush().await.unwrap();
        let status = admission(&handle).await;
        assert_eq!((status.models, status.refused_limit), (2, 2));
        let again = disk.after_kill();
        end(handle).await;
        let handle = over(&again).models_max(2).start().unwrap();
        handle.flush().await.unwrap();
        assert_eq!(admission(&handle).await.models, 2, "after a recovery, too");
        assert!(refusal(&handle, "d", 4).await.contains("models_max"));
        handle.publish(accuracy("c", 0.9, 4)).await.unwrap();
        close(handle).await;
    });
}

#[test]
fn while_nothing_can_be_journaled_no_name_is_kept() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        let full = || StoreError::Io { doing: "write".into(), detail: "no space".into() };
        disk.set_hook(move |_, operation| match operation {
            Operation::Read => Effect::Proceed,
            _ => Effect::Fail(full()),
        });
        let mut refused = 0;
        for number in 0..1_000 {
            let event = accuracy(&format!("new-{number}"), 0.9, 0);
            refused += u64::from(matches!(handle.publish(event).await, Err(IngestError::Store { .. })));
        }
        assert_eq!(refused, 1_000);
        let status = handle.status().await.unwrap();
        assert!(status.models_in_memory < 100, "{}", status.models_in_memory);
        assert!(status.admission.refused_in_doubt > 900);
        disk.clear_hook();
        pass(Duration::from_secs(10)).await;
        handle.publish(accuracy("new-7", 0.9, 1)).await.unwrap();
        close(handle).await;
    });
}

/// Sends very many unknown ids in batches, among them a known model's events; how many of each were taken.
async fn flood(handle: &MonitoringHandle, ids: usize) -> (u64, u64) {
    let (mut known, mut taken) = (0, 0);
    for first in (0..ids).step_by(1_000) {
        let mut events: Vec<MetricEvent> =
            (first..first + 1_000).map(|id| accuracy(&format!("flood-{id}"), 0.9, 0)).collect();
        events.push(accuracy("known", 0.9, 0));
        let receipt = handle.publish_batch(events).await;
        assert_eq!(receipt.accepted + receipt.rejected.len() as u64, 1_001);
        let lost = receipt.rejected.last().is_some_and(|last| last.index == 1_000);
        known += u64::from(!lost);
        taken += receipt.accepted - u64::from(!lost);
    }
    (known, taken)
}

#[test]
fn a_flood_of_names_is_refused_within_the_bounds_and_known_models_lose_nothing() {
    const IDS: usize = 100_000;
    for (policy, may) in [(AdmissionPolicy::Open, 499), (list(&["known"]), 0), (quota(20, 2), 20)] {
        for durable in [false, true] {
            world(|| async {
                let disk = MemoryDisk::new();
                let start = || {
                    let clock = Arc::new(ManualClock::new(accuracy("m", 0.9, 0).ts().unwrap()));
                    let builder = if durable { over(&disk) } else { monitoring().clock(clock) };
                    builder.models_max(500).admission_seed(3)
                };
                let handle = if durable {
                    let handle = start().start().unwrap();
                    handle.publish(accuracy("known", 0.9, 0)).await.unwrap();
                    close(handle).await;
                    let handle = start().admission(policy.clone()).start().unwrap();
                    let _ = handle.recovered().await;
                    handle
                } else {
                    let handle = start().admission(policy.clone()).start().unwrap();
                    while handle.publish(accuracy("known", 0.9, 0)).await.is_err() {}
                    handle
                };
                let before = admission(&handle).await;
                let (known, taken) = flood(&handle, IDS).await;
                handle.flush().await.unwrap();
                let status = admission(&handle).await;
                assert_eq!(known, IDS as u64 / 1_000);
                assert!(taken <= may && status.models == taken + 1, "{taken} of {may}: {status:?}");
                assert!(status.policy == "quota" || taken == may, "{taken} of {may}");
                assert_eq!(taken + status.refused(), IDS as u64 + before.refused());
                assert_eq!(status.most_refused.len(), 16);
                let monitor = handle.model_status("known").await.unwrap().monitor.unwrap();
                assert_eq!(monitor.taken, known + 1);
                end(handle).await;
            });
        }
    }
}

#[test]
fn without_a_store_a_model_that_dozes_is_known() {
    world(|| async {
        let builder = Monitoring::builder().arbiters(0).admission(quota(1, 1));
        let handle = builder.start().unwrap();
        let event = MetricEvent::new("a", visu_tility_core::MetricKind::F1, 0.9).unwrap();
        handle.publish(event.clone()).await.unwrap();
        handle.flush().await.unwrap();
        handle.passivate("a").await.unwrap();
        assert_eq!(handle.model_status("a").await.unwrap().phase, ModelPhase::Asleep);
        handle.publish(event).await.unwrap();
        end(handle).await;
    });
}

#[test]
fn one_model_may_have_so_many_versions_and_kinds_and_what_is_over_is_counted() {
    world(|| async {
        let plan = MonitorPlan::default();
        let events = EventPolicy { versions_max: 2, series_max: 3, ..*plan.events() };
        let at = |second| accuracy("m", 0.9, second).ts().unwrap();
        let clock = Arc::new(ManualClock::new(at(0)));
        let builder = Monitoring::builder().plan(plan.with_events(events).unwrap()).arbiters(0);
        let handle = builder.clock(clock.clone()).start().unwrap();
        let event = |version: &str, feature: usize| {
            let kind = MetricKind::feature(format!("f{feature}")).unwrap();
            MetricEvent::new("a", kind, 1.0).unwrap().with_version(version).unwrap()
        };
        // Slices are kinds of their own: a flood of them ends at the bound, and the first go on.
        let flood: Vec<_> = (0..1_000).map(|feature| event("1", feature)).chain([event("1", 0)]).collect();
        let receipt = handle.publish_batch(flood).await;
        // Twice the bound is let through to the model, which takes the first and refuses the rest.
        assert_eq!((receipt.accepted, receipt.rejected.len(), receipt.rejected[0].index), (7, 994, 6));
        assert!(matches!(receipt.rejected[0].error, IngestError::Limit { max: 6, .. }));
        handle.flush().await.unwrap();
        let status = handle.status().await.unwrap();
        assert_eq!(
            (status.refused_series, status.shards[0].refused_series, status.dead_letters),
            (994, 3, 3)
        );
        clock.set(at(61));
        let alone = handle.supervisor().send(event("1", 5_000)).await.unwrap().unwrap_err();
        assert_eq!(alone.to_string(), "limit `series_max` of 3 is reached");
        let monitor = || async { handle.model_status("a").await.unwrap().monitor.unwrap() };
        assert_eq!((monitor().await.series.len(), monitor().await.taken), (3, 4));
        // Of versions the one that was silent for longest gives way.
        for version in ["1", "2", "3"] {
            let event = MetricEvent::new("b", MetricKind::F1, 1.0).unwrap();
            handle.publish(event.with_version(version).unwrap()).await.unwrap();
        }
        handle.flush().await.unwrap();
        let last = handle.model_status("b").await.unwrap().monitor.unwrap();
        assert_eq!((last.versions_evicted, last.series.len()), (1, 2));
        end(handle).await;
    });
}
