//! Many models, of which few are to be awake: what is in memory at a time is bounded, and nobody's decisions change.

use std::sync::Arc;
use std::time::Duration;

use visu_tility_actors::{Lifecycle, ManualClock, ModelPhase, MonitoringHandle};
use visu_tility_core::store::{MemoryDisk, StoreSummary};
use visu_tility_core::{MonitorPlan, StalenessObserver, Timestamp};

use crate::durable::{close, contents, over, reader};
use crate::world::{Ears, accuracy, end, monitoring, pass, world};

const MODELS: usize = 300;

fn name(model: usize) -> String {
    format!("m{:03}", model * 7 % MODELS)
}

/// The most that were awake at a time, as the turns of their lives tell.
fn awake_at_most(ears: &Ears) -> usize {
    let (mut awake, mut most) = (0_usize, 0);
    for turn in ears.turns() {
        match turn {
            Lifecycle::Started { .. } | Lifecycle::Woken { .. } => awake += 1,
            Lifecycle::Passivated { .. } => awake -= 1,
            _ => {}
        }
        most = most.max(awake);
    }
    most
}

async fn awake(handle: &MonitoringHandle) -> usize {
    handle.status().await.unwrap().shards.iter().map(|shard| shard.awake).sum()
}

/// Ten models at a time are sent events, some of which alert; each comes up three times.
async fn walk(handle: &MonitoringHandle) {
    for round in 0..3 {
        for first in (0..MODELS).step_by(10) {
            for second in 0..3 {
                let at = round * 100 + second;
                let value =
                    |model: usize| if (model + round as usize).is_multiple_of(40) { 0.2 } else { 0.9 };
                let batch = (first..first + 10).map(|model| accuracy(&name(model), value(model), at));
                assert_eq!(handle.publish_batch(batch.collect()).await.accepted, 10);
            }
        }
    }
    handle.flush().await.unwrap();
}

#[test]
fn no_more_models_than_wanted_stay_awake_and_they_decide_the_same() {
    world(|| async {
        let mut kept = Vec::new();
        for awake_max in [None, Some(20)] {
            let disk = MemoryDisk::new();
            let handle = over(&disk).awake_max(awake_max).start().unwrap();
            let ears = Ears::on(&handle);
            walk(&handle).await;
            let (now, most) = (awake(&handle).await, awake_at_most(&ears));
            match awake_max {
                None => assert_eq!((now, most), (MODELS, MODELS)),
                // Those of the batches that come while who goes to sleep is saved are awake besides.
                Some(max) => assert!(now <= max && most <= max + 30, "{now} awake, {most} at most"),
            }
            assert_eq!(handle.models().len(), MODELS);
            pass(Duration::from_secs(5)).await;
            assert_eq!(
                handle.status().await.unwrap().models_in_memory as usize,
                now,
                "who sleeps is not in memory"
            );
            close(handle).await;
            kept.push(contents(&disk));
        }
        let [all, few] = kept.try_into().unwrap();
        assert_eq!((all.0.len(), all.0, all.1.len()), (MODELS, few.0, few.1.len()));
        assert!(!all.1.is_empty());
        assert_eq!(all.1, few.1);
    });
}

#[test]
fn without_a_store_no_more_stay_awake_either() {
    world(|| async {
        let handle = monitoring().awake_max(Some(20)).start().unwrap();
        let ears = Ears::on(&handle);
        walk(&handle).await;
        assert_eq!((awake(&handle).await, awake_at_most(&ears)), (20, 30));
        handle.publish(accuracy(&name(0), 0.9, 500)).await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(handle.model_status(name(0)).await.unwrap().monitor.unwrap().taken, 10);
        end(handle).await;
    });
}

#[test]
fn a_recovery_too_keeps_few_awake() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        walk(&handle).await;
        let (again, bounded) = (disk.after_kill(), disk.after_kill());
        end(handle).await;
        let mut kept = Vec::new();
        for (disk, awake_max) in [(&again, None), (&bounded, Some(20))] {
            let handle = over(disk).awake_max(awake_max).start().unwrap();
            let ears = Ears::on(&handle);
            let report = handle.recovered().await;
            assert!(report.failed.is_none() && report.entries as usize >= 8 * MODELS, "{report:?}");
            handle.flush().await.unwrap();
            let most = awake_at_most(&ears);
            assert!(if awake_max.is_none() { most > 200 } else { awake(&handle).await <= 20 }, "{most}");
            close(handle).await;
            kept.push(contents(disk));
        }
        assert_eq!(kept[0], kept[1]);
    });
}

#[test]
fn looking_at_models_that_sleep_brings_none_into_memory() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).idle_after(Some(Duration::from_secs(10))).start().unwrap();
        walk(&handle).await;
        handle.pause(name(5)).await.unwrap();
        pass(Duration::from_mins(1)).await;
        assert_eq!(handle.status().await.unwrap().models_in_memory, 1, "the one that is paused");
        let statuses = handle.model_statuses().await.unwrap();
        let asleep = statuses.iter().filter(|status| status.phase == ModelPhase::Asleep).count();
        assert_eq!((statuses.len(), asleep), (MODELS, MODELS - 1));
        assert_eq!(handle.models_after(None, 1_000).await.unwrap().len(), MODELS);
        assert_eq!(handle.status().await.unwrap().models_in_memory, 1);
        // An order needs a place for the model; it is taken away again.
        for model in 0..MODELS {
            handle.passivate(name(model)).await.unwrap();
        }
        assert_eq!(handle.status().await.unwrap().models_in_memory as usize, MODELS);
        let held = handle.model(name(7)).unwrap();
        pass(Duration::from_secs(3)).await;
        assert_eq!(handle.status().await.unwrap().models_in_memory, 2, "and the one that somebody holds");
        held.publish_event(&accuracy(&name(7), 0.9, 900)).await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(held.status().await.unwrap().monitor.unwrap().taken, 10);
        drop(held);
        close(handle).await;
    });
}

#[test]
fn many_that_are_due_while_they_sleep_are_woken_a_few_at_a_time_and_sleep_on() {
    const DUE: usize = 3_000;
    world(|| async {
        let at = |second: i64| -> Timestamp { accuracy("m", 0.9, second).ts().unwrap() };
        let disk = MemoryDisk::new();
        let clock = Arc::new(ManualClock::new(at(0)));
        let silence = StalenessObserver::after(Duration::from_mins(1)).unwrap();
        let plan = MonitorPlan::empty().with_observer(Box::new(silence)).unwrap();
        let start =
            |disk: &MemoryDisk| over(disk).plan(plan.clone()).clock(Arc::clone(&clock) as _).start().unwrap();
        let handle = start(&disk);
        let batch = (0..DUE).map(|model| accuracy(&format!("m{model}"), 0.9, 0)).collect();
        assert_eq!(handle.publish_batch(batch).await.accepted as usize, DUE);
        close(handle).await;

        clock.set(at(10_000));
        let handle = start(&disk);
        let ears = Ears::on(&handle);
        pass(Duration::from_secs(30)).await;
        handle.flush().await.unwrap();
        assert_eq!(ears.records().iter().filter(|record| !record.action.is_noop()).count(), DUE);
        let most = awake_at_most(&ears);
        assert!(most <= 1_024, "{most} were awake at a time");
        let status = handle.status().await.unwrap();
        assert_eq!((status.shards[0].woken as usize, status.shards[0].awake), (DUE, 0));
        assert!(handle.shutdown(Duration::from_mins(1)).await.complete);
        end(handle).await;
        let StoreSummary { models, journal_pieces, .. } = reader(&disk).summary().unwrap();
        assert_eq!((models as usize, journal_pieces), (DUE, 0));
    });
}
