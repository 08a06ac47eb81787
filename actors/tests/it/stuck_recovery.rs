//! Shards that are sent their journal again because their thread is stuck, or that are stuck in a recovery with nobody to take
//! them over: who asks meanwhile does no harm, and waits for nothing that does not come.

use std::sync::Arc;
use std::time::Duration;

use visu_tility_actors::{ControlError, ModelPhase, WatchdogPolicy, block_on};
use visu_tility_core::store::{Effect, MemoryDisk, Operation, StoreError, StoreLimits};
use visu_tility_core::{IngestError, MonitorPlan, PerformanceDegrader};

use crate::stuck::{builder, close, contents, look_twice, over, poll, same, take};
use crate::turnstile::{At, Gate, Opens, STUCK, Turnstile};
use crate::world::accuracy;

#[test]
fn who_is_asked_for_while_its_shard_is_sent_the_journal_again_has_followed_all_plans() {
    let run = |stuck: bool| {
        let (disk, gate) = (MemoryDisk::new(), Arc::new(Gate::default()));
        let opens = Opens(Arc::clone(&gate));
        if !stuck {
            gate.open();
        }
        let handle = over(&disk, &gate, At::Event, 1);
        take(&handle, &[accuracy("m0", 0.9, 0)]);
        let degrader = PerformanceDegrader::new(0.6).unwrap();
        let plan = MonitorPlan::empty().with_observer(Box::new(degrader)).unwrap();
        let plan = plan.with_observer(Box::new(Turnstile::new(&gate, At::Event))).unwrap();
        block_on(handle.reload(plan)).unwrap();
        // Saved with what it asks for; the journal is needed from before the plan on, for the other one.
        take(&handle, &[accuracy("m1", 0.2, 1), accuracy("m1", 0.2, 2), accuracy("m1", 0.7, 3)]);
        block_on(handle.flush()).unwrap();
        take(&handle, &[accuracy("m0", STUCK, 4)]);
        let asking = handle.clone();
        let mut asked = Box::pin(async move { asking.model_addr("m1").await.is_ok() });
        if stuck {
            gate.reached(1);
            assert!(poll(&mut asked).is_pending());
            look_twice(&handle, 0);
        } else {
            block_on(handle.pause("m0")).unwrap();
        }
        take(&handle, &[accuracy("m1", 0.5, 5)]);
        assert!(block_on(asked));
        take(&handle, &[accuracy("m1", 0.8, 6)]);
        block_on(handle.flush()).unwrap();
        assert_eq!(block_on(handle.model_status("m1")).unwrap().phase, ModelPhase::Running);
        assert_eq!(handle.store_status().unwrap().aside, 0);
        close(handle);
        drop(opens);
        disk
    };
    same(&contents(&run(true), "m0"), &contents(&run(false), "m0"));
}

#[test]
fn a_recovery_does_not_wait_for_a_shard_that_is_stuck_and_is_not_replaced() {
    let (disk, gate) = (MemoryDisk::new(), Arc::new(Gate::default()));
    let opens = Opens(Arc::clone(&gate));
    let handle = over(&disk, &gate, At::Event, 1);
    take(&handle, &[accuracy("m0", 0.9, 0), accuracy("m0", STUCK, 1)]);
    gate.reached(1);
    let again = disk.after_kill();
    let (store, _) = again.open(StoreLimits::default()).unwrap();
    let policy = WatchdogPolicy { replaced_max: 0, ..WatchdogPolicy::default() };
    let shut = Arc::new(Gate::default());
    let opens_again = Opens(Arc::clone(&shut));
    let second = builder(&shut, At::Event, 1).store(Box::new(store)).watchdog(policy).start().unwrap();
    shut.reached(1);
    let mut recovered = Box::pin(async { second.recovered().await });
    assert!(poll(&mut recovered).is_pending());
    while second.look_for_stuck(Duration::ZERO) > 1 {
        std::thread::yield_now();
    }
    second.look_for_stuck(Duration::from_secs(31));
    assert_eq!(block_on(recovered).failed, None);
    assert!(matches!(block_on(second.model_status("m0")), Err(ControlError::Stuck(_))));
    drop(opens_again);
    drop(opens);
    // It has come back.
    while second.look_for_stuck(Duration::from_secs(32)) > 0 {
        std::thread::yield_now();
    }
    block_on(second.flush()).unwrap();
    assert_eq!(block_on(second.model_status("m0")).unwrap().monitor.unwrap().taken, 2);
    close(second);
    let _ = block_on(handle.shutdown(Duration::from_mins(1)));
}

#[test]
fn who_asks_for_a_model_whose_shard_cannot_be_sent_its_journal_again_is_told_so() {
    let (disk, gate) = (MemoryDisk::new(), Arc::new(Gate::default()));
    let opens = Opens(Arc::clone(&gate));
    let handle = over(&disk, &gate, At::Event, 1);
    take(&handle, &[accuracy("m0", 0.9, 0), accuracy("m1", 0.9, 1), accuracy("m0", STUCK, 2)]);
    gate.reached(1);
    let mut asked = Box::pin(async { handle.model_addr("m1").await });
    assert!(poll(&mut asked).is_pending());
    disk.set_hook(|_, operation| match operation {
        Operation::Read => Effect::Fail(StoreError::corrupt("x", "broken")),
        _ => Effect::Proceed,
    });
    look_twice(&handle, 0);
    assert!(matches!(block_on(asked), Err(ControlError::Store(why)) if why.contains("broken")));
    assert!(matches!(block_on(handle.flush()), Err(ControlError::Store(_))));
    let refused = block_on(handle.publish(accuracy("m1", 0.9, 3)));
    assert!(matches!(refused, Err(IngestError::Store { retry: false, .. })), "{refused:?}");
    drop(opens);
    let _ = block_on(handle.shutdown(Duration::from_mins(1)));
}
