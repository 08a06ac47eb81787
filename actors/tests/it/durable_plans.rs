//! Plans of a monitoring with a store: which one is in force when some fail, and that who sleeps through many of them comes to
//! the state of who does not.

use std::time::Duration;

use visu_tility_actors::{ModelPhase, MonitoringHandle};
use visu_tility_core::store::{
    Commit, Effect, MemoryDisk, ModelChange, Operation, Store, StoreError, StoreLimits,
};
use visu_tility_core::{ModelId, MonitorPlan, PerformanceDegrader};

use crate::durable::{close, contents, over, reader};
use crate::world::{Low, accuracy, end, pass, world};

/// A plan with an alert below a floor.
fn floor(floor: f64) -> MonitorPlan {
    MonitorPlan::empty().with_observer(Box::new(PerformanceDegrader::new(floor).unwrap())).unwrap()
}

#[test]
fn plans_that_do_not_come_into_force_are_not_what_the_next_one_is_compared_with() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).plan(floor(0.5)).start().unwrap();
        disk.set_hook(|_, operation| match operation {
            Operation::Write(_) => Effect::Fail(StoreError::DiskFull { detail: "no space".into() }),
            _ => Effect::Proceed,
        });
        let (one, two) = (handle.clone(), handle.clone());
        let one = actix_rt::spawn(async move { one.reload(floor(0.6)).await });
        let two = actix_rt::spawn(async move { two.reload(floor(0.7)).await });
        one.await.unwrap().unwrap_err();
        two.await.unwrap().unwrap_err();
        disk.clear_hook();
        pass(Duration::from_mins(1)).await;
        let change = handle.reload(floor(0.5)).await.unwrap();
        assert_eq!(change, floor(0.5).changes_to(&floor(0.5)), "nothing has changed");
        close(handle).await;
    });
}

/// Changes that give the next ones something to lose: none of the rules, then two plans in turns.
async fn change_often(handle: &MonitoringHandle, times: usize) {
    handle.reload(MonitorPlan::empty()).await.unwrap();
    for time in 0..times {
        let with_low = || floor(0.85).with_observer(Box::new(Low)).unwrap();
        handle.reload(if time % 2 == 0 { floor(0.85) } else { with_low() }).await.unwrap();
    }
}

async fn asleep(handle: &MonitoringHandle, model: &str) -> bool {
    handle.model_status(model).await.unwrap().phase == ModelPhase::Asleep
}

/// States after so many changes of plan, which model `a` sleeps through, or not, and all of them, or not, learn of again
/// after a crash.
fn states_after(times: usize, sleeps: bool, crash: bool) -> Vec<String> {
    world(|| async {
        let plan = || floor(0.85).with_observer(Box::new(Low)).unwrap();
        let disk = MemoryDisk::new();
        let handle = over(&disk).plan(plan()).start().unwrap();
        for second in 0..5 {
            for model in ["a", "b"] {
                handle.publish(accuracy(model, 0.9, second)).await.unwrap();
            }
        }
        if sleeps {
            handle.passivate("a").await.unwrap();
            handle.flush().await.unwrap();
            assert!(asleep(&handle, "a").await);
        }
        change_often(&handle, times).await;
        let (disk, handle) = if crash {
            let again = disk.after_kill();
            end(handle).await;
            let handle = over(&again).plan(plan()).start().unwrap();
            assert_eq!(handle.recovered().await.failed, None);
            (again, handle)
        } else {
            // As the next process does when another plan is in force.
            if times % 2 == 1 {
                handle.reload(plan()).await.unwrap();
            }
            (disk, handle)
        };
        for model in ["a", "b"] {
            handle.publish(accuracy(model, 0.9, 9)).await.unwrap();
        }
        close(handle).await;
        contents(&disk).0
    })
}

#[test]
fn after_many_plans_a_model_is_what_it_would_be_asleep_or_awake_with_a_crash_or_without() {
    for times in [63, 64, 65, 300] {
        let awake = states_after(times, false, false);
        for (sleeps, crash) in [(true, false), (false, true), (true, true)] {
            assert_eq!(states_after(times, sleeps, crash), awake, "{times} {sleeps} {crash}");
        }
    }
}

#[test]
fn plans_that_nothing_needs_are_dropped_and_who_has_slept_through_many_is_brought_up_to_them() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).plan(floor(0.3)).start().unwrap();
        for model in ["a", "b"] {
            handle.publish(accuracy(model, 0.9, 0)).await.unwrap();
        }
        handle.passivate("a").await.unwrap();
        handle.flush().await.unwrap();
        for time in 0..200 {
            handle.reload(floor(0.5 + f64::from(time) / 1_000.0)).await.unwrap();
        }
        pass(Duration::from_mins(10)).await;
        assert_eq!(reader(&disk).plans().unwrap().len(), 201, "one sleeps that has followed none");
        assert_eq!(handle.store_status().unwrap().plan_changes, 201);
        assert!(asleep(&handle, "a").await);
        for time in 200..400 {
            handle.reload(floor(0.5 + f64::from(time) / 1_000.0)).await.unwrap();
        }
        pass(Duration::from_mins(10)).await;
        assert!(asleep(&handle, "a").await, "it was woken, saved, and sleeps on");
        assert_eq!(reader(&disk).plans().unwrap().len(), 1, "that in force");
        assert_eq!(handle.store_status().unwrap().plan_changes, 1);
        // What is left is enough to come back with.
        let again = disk.after_kill();
        end(handle).await;
        let handle = over(&again).plan(floor(0.3)).start().unwrap();
        assert_eq!(handle.recovered().await.failed, None);
        handle.publish(accuracy("a", 0.4, 3)).await.unwrap();
        let status = handle.model_status_awake("a").await.unwrap();
        assert_eq!((status.phase, status.monitor.unwrap().taken), (ModelPhase::Running, 2));
        pass(Duration::from_mins(10)).await;
        assert_eq!(reader(&again).plans().unwrap().len(), 2, "b sleeps with the other one");
        handle.publish(accuracy("b", 0.4, 3)).await.unwrap();
        pass(Duration::from_mins(10)).await;
        assert_eq!(reader(&again).plans().unwrap().len(), 1);
        close(handle).await;
    });
}

#[test]
fn a_model_that_cannot_be_read_is_named_when_too_many_plans_are_kept_for_it() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).plan(floor(0.3)).start().unwrap();
        for model in ["a", "b"] {
            handle.publish(accuracy(model, 0.9, 0)).await.unwrap();
        }
        close(handle).await;
        let mut snapshot = reader(&disk).snapshot(&ModelId::new("a").unwrap()).unwrap().unwrap();
        snapshot.form = 9;
        let (mut store, _) = disk.open(StoreLimits::default()).unwrap();
        let commit = Commit { models: vec![ModelChange::Keep(snapshot)], ..Commit::default() };
        store.commit(&commit).unwrap();
        drop(store);
        let handle = over(&disk).plan(floor(0.3)).start().unwrap();
        handle.publish(accuracy("b", 0.9, 1)).await.unwrap();
        for time in 0..1_023 {
            handle.reload(floor(if time % 2 == 0 { 0.5 } else { 0.6 })).await.unwrap();
        }
        pass(Duration::from_mins(10)).await;
        let refused = handle.reload(floor(0.4)).await.unwrap_err().to_string();
        let wanted =
            "1024 changes of plan are remembered for models that have not followed them, a the first of them";
        assert!(refused.contains(wanted), "{refused}");
        handle.reset("a").await.unwrap();
        pass(Duration::from_mins(10)).await;
        handle.reload(floor(0.4)).await.unwrap();
        pass(Duration::from_mins(10)).await;
        assert_eq!(handle.store_status().unwrap().plan_changes, 1);
        close(handle).await;
    });
}
