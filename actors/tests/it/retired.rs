//! A retired model's address and handle: they reach nobody, least of all who lives at its place now.

use std::time::Duration;

use visu_tility_actors::{
    ControlError, DeadReason, InspectModel, ModelPhase, MonitoringHandle, PassivateModel, PauseModel,
    ResetModel, ResumeModel, RetireModel,
};

use crate::world::{accuracy, end, monitoring, pass, world};

async fn state(handle: &MonitoringHandle, model: &str) -> (ModelPhase, Option<u64>) {
    handle.flush().await.unwrap();
    let status = handle.model_status(model).await.unwrap();
    (status.phase, status.monitor.map(|monitor| monitor.taken))
}

#[test]
fn a_retired_models_actor_stops_though_its_address_is_held() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        handle.flush().await.unwrap();
        let stale = handle.model_addr("a").await.unwrap();
        let lived = handle.census().live();
        handle.retire("a").await.unwrap();
        pass(Duration::from_secs(1)).await;
        assert!(!stale.connected());
        assert_eq!(handle.census().live(), lived - 1);
        // `b` takes the place.
        handle.publish(accuracy("b", 0.9, 1)).await.unwrap();
        assert!(stale.send(ResetModel).await.is_err());
        assert!(stale.send(PauseModel).await.is_err());
        assert_eq!(state(&handle, "b").await, (ModelPhase::Running, Some(1)));
        drop(stale);
        end(handle).await;
    });
}

#[test]
fn what_a_retired_models_actor_still_reads_touches_no_other_model() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        for second in 0..3 {
            handle.publish(accuracy("a", 0.9, second)).await.unwrap();
        }
        handle.flush().await.unwrap();
        let stale = handle.model_addr("a").await.unwrap();
        // Handled in one go, before the actor learns that it is to stop.
        stale.do_send(RetireModel);
        stale.do_send(PauseModel);
        let reset = stale.send(ResetModel);
        let seen = stale.send(InspectModel);
        for second in 0..3 {
            handle.publish(accuracy("b", 0.9, second)).await.unwrap();
        }
        assert!(reset.await.is_ok());
        assert_eq!(seen.await.unwrap().monitor.map(|monitor| monitor.taken), None);
        assert_eq!(state(&handle, "b").await, (ModelPhase::Running, Some(3)));
        assert_eq!(handle.dead_letters(), []);
        drop(stale);
        end(handle).await;
    });
}

#[test]
fn no_turn_of_a_retired_model_reaches_the_next_tenant_of_its_place() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        handle.flush().await.unwrap();
        let stale = handle.model_addr("a").await.unwrap();
        let held = handle.model("a").unwrap();
        // Asked for at once: all but the first find the model gone and another one at its place.
        let of = |turn: usize| {
            let handle = handle.clone();
            actix::spawn(async move {
                match turn {
                    0 | 4 => handle.retire("a").await,
                    1 => handle.pause("a").await,
                    2 => handle.reset("a").await,
                    _ => handle.passivate("a").await,
                }
            })
        };
        let turns: Vec<_> = (0..5).map(of).collect();
        tokio::task::yield_now().await;
        handle.publish(accuracy("b", 0.9, 1)).await.unwrap();
        let mut said = Vec::new();
        for turn in turns {
            said.push(turn.await.unwrap());
        }
        let unknown = Err(ControlError::UnknownModel("a".into()));
        assert_eq!(said, [Ok(()), unknown.clone(), unknown.clone(), unknown.clone(), unknown]);
        stale.do_send(PauseModel);
        stale.do_send(ResumeModel);
        stale.do_send(PassivateModel);
        assert_eq!(state(&handle, "b").await, (ModelPhase::Running, Some(1)));
        assert!(matches!(held.status().await, Err(ControlError::UnknownModel(_))));
        assert!(matches!(held.addr().await, Err(ControlError::UnknownModel(_))));
        assert!(handle.dead_letters().iter().all(|letter| letter.reason != DeadReason::Retired));
        drop((stale, held));
        end(handle).await;
    });
}
