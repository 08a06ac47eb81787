//! Plans of a monitoring with a store: which one is in force when some fail, and that who sleeps through many of them comes to
//! the state of who does not.

use std::time::Duration;

use visu_tility_core::store::{Effect, MemoryDisk, Operation, StoreError};
use visu_tility_core::{MonitorPlan, PerformanceDegrader};

use crate::durable::{close, over};
use crate::world::{pass, world};

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
