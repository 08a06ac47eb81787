//! Lives in the embedder's hands: pause, resume, reset, retire, reload, sleep; and who is told.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Context, Handler};
use parking_lot::Mutex;
use visu_tility_actors::{
    ControlError, InspectModel, InspectShard, Lifecycle, ManualClock, MemorySnapshots, ModelPhase,
    PassivateModel, PauseModel, ResumeModel,
};
use visu_tility_core::{
    ActionRecord, IngestError, MetricEvent, MonitorPlan, PerformanceDegrader, StalenessObserver,
};

use crate::world::{Bomb, Ears, Low, accuracy, end, monitoring, pass, world};

fn names(turns: &[Lifecycle]) -> Vec<String> {
    let name = |turn: &Lifecycle| {
        let text = serde_json::to_value(turn).unwrap();
        text["event"].as_str().unwrap().to_owned()
    };
    turns.iter().map(name).collect()
}

#[test]
fn pause_counts_resume_shows_reset_forgets_retire_removes() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        let ears = Ears::on(&handle);
        let taken = async |model: &str| {
            handle.flush().await.unwrap();
            handle.model_status(model).await.unwrap().monitor.map(|monitor| monitor.taken)
        };
        handle.publish(accuracy("m", 0.9, 0)).await.unwrap();
        handle.publish(accuracy("n", 0.9, 0)).await.unwrap();
        assert_eq!(taken("m").await, Some(1));

        handle.pause("m").await.unwrap();
        for second in 1..4 {
            handle.publish(accuracy("m", 0.9, second)).await.unwrap();
        }
        assert_eq!(taken("m").await, Some(1));
        let status = handle.model_status("m").await.unwrap();
        assert_eq!((status.phase, status.unseen), (ModelPhase::Paused, 3));

        handle.resume("m").await.unwrap();
        handle.publish(accuracy("m", 0.9, 4)).await.unwrap();
        assert_eq!(taken("m").await, Some(2));

        handle.reset("m").await.unwrap();
        assert_eq!(taken("m").await, Some(0));

        handle.retire("m").await.unwrap();
        assert_eq!(handle.model_status("m").await.unwrap_err(), ControlError::UnknownModel("m".into()));
        assert_eq!(handle.models().len(), 1);
        handle.publish(accuracy("m", 0.9, 5)).await.unwrap();
        assert_eq!((taken("m").await, taken("n").await), (Some(1), Some(1)));
        let turns = names(&ears.turns());
        assert_eq!(turns, ["started", "started", "paused", "resumed", "reset", "retired", "started"]);
        end(handle).await;
    });
}

#[test]
fn what_a_paused_model_was_not_shown_is_not_called_handled() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        for model in ["m", "n"] {
            handle.publish(accuracy(model, 0.9, 0)).await.unwrap();
        }
        handle.flush().await.unwrap();
        handle.pause("m").await.unwrap();
        let batch: Vec<_> = (1..5).flat_map(|s| [accuracy("m", 0.9, s), accuracy("n", 0.9, s)]).collect();
        let _ = handle.publish_batch(batch).await;
        let addr = handle.model_addr("m").await.unwrap();
        assert_eq!(addr.send(accuracy("m", 0.9, 5)).await.unwrap(), Err(IngestError::Paused));
        let report = handle.shutdown(Duration::from_secs(5)).await;
        // Two before the pause, eight behind it in one batch, one sent alone.
        assert_eq!((report.events_handled, report.events_unseen, report.events_cut), (6, 5, 0));
        assert!(report.complete);
    });
}

#[test]
fn the_models_own_address_does_the_same() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        handle.publish(accuracy("m", 0.9, 0)).await.unwrap();
        handle.flush().await.unwrap();
        let addr = handle.model_addr("m").await.unwrap();
        addr.send(PauseModel).await.unwrap();
        assert_eq!(addr.send(accuracy("m", 0.9, 1)).await.unwrap(), Err(IngestError::Paused));
        addr.send(ResumeModel).await.unwrap();
        assert_eq!(addr.send(accuracy("m", 0.9, 2)).await.unwrap().unwrap().first_offset, 2);
        addr.send(PassivateModel).await.unwrap();
        assert_eq!(addr.send(InspectModel).await.unwrap().phase, ModelPhase::Asleep);
        assert_eq!(addr.send(accuracy("m", 0.9, 3)).await.unwrap().unwrap().first_offset, 3);
        assert_eq!(addr.send(InspectModel).await.unwrap().monitor.unwrap().taken, 3);
        let shard = handle.supervisor().send(InspectShard).await.unwrap();
        assert_eq!((shard.awake, shard.passivated, shard.woken), (1, 1, 2));
        end(handle).await;
    });
}

#[test]
fn a_quarantined_model_of_many_answers_through_its_address() {
    world(|| async {
        let handle = monitoring().observer(Box::new(Bomb::default())).start().unwrap();
        for second in 0..8 {
            handle.publish(accuracy("m", crate::world::POISON, second)).await.unwrap();
        }
        handle.flush().await.unwrap();
        let addr = handle.model_addr("m").await.unwrap();
        let status = addr.send(InspectModel).await.unwrap();
        assert_eq!((status.phase, status.panics, status.dead_letters), (ModelPhase::Quarantined, 6, 8));
        let fleet = handle.status().await.unwrap();
        assert_eq!((fleet.shards[0].quarantined, fleet.shards[0].panics, fleet.dead_letters), (1, 6, 8));
        assert!(serde_json::to_string(&fleet).unwrap().contains("\"quarantined\":1"));
        end(handle).await;
    });
}

/// The events of ten models in turns, with pauses in which models may fall asleep.
fn visits() -> Vec<MetricEvent> {
    let value = |i: i64| if i % 7 == 0 { 0.2 } else { 0.6 + (i % 4) as f64 / 10.0 };
    (0..400).map(|i| accuracy(&format!("m{}", i / 5 % 10), value(i), i)).collect()
}

fn records_with(idle_after: Option<Duration>) -> (Vec<ActionRecord>, u64) {
    world(move || async move {
        let keeper = Arc::new(MemorySnapshots::default());
        let handle = monitoring()
            .event_time(true)
            .idle_after(idle_after)
            .snapshots(Arc::clone(&keeper) as _)
            .start()
            .unwrap();
        let ears = Ears::on(&handle);
        for events in visits().chunks(5) {
            let _ = handle.publish_batch(events.to_vec()).await;
            pass(Duration::from_secs(1)).await;
        }
        handle.flush().await.unwrap();
        let shard = handle.status().await.unwrap().shards[0].clone();
        assert_eq!(shard.events, 400);
        end(handle).await;
        (ears.records(), shard.passivated)
    })
}

#[test]
fn sleep_loses_nothing_and_gives_the_same_decisions_as_never_sleeping() {
    let (awake, never) = records_with(None);
    let (asleep, often) = records_with(Some(Duration::from_secs(3)));
    assert!(never == 0 && often > 20, "{often} times asleep");
    assert!(!awake.is_empty());
    assert_eq!(awake, asleep);
}

#[test]
fn a_sleeping_model_costs_no_actor_and_comes_back_with_its_state() {
    world(|| async {
        let handle = monitoring().idle_after(Some(Duration::from_secs(10))).start().unwrap();
        let ears = Ears::on(&handle);
        let before = handle.census().live();
        for i in 0..50 {
            handle.publish(accuracy(&format!("m{i}"), 0.9, i)).await.unwrap();
        }
        handle.flush().await.unwrap();
        assert_eq!(handle.census().live(), before + 50);
        pass(Duration::from_mins(1)).await;
        assert_eq!(handle.census().live(), before);
        assert_eq!(handle.status().await.unwrap().shards[0].awake, 0);
        assert_eq!(handle.model_status("m3").await.unwrap().phase, ModelPhase::Asleep);
        handle.publish(accuracy("m3", 0.9, 99)).await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(handle.model_status("m3").await.unwrap().monitor.unwrap().taken, 2);
        assert_eq!(names(&ears.turns()).iter().filter(|name| *name == "woken").count(), 1);
        end(handle).await;
    });
}

#[test]
fn events_that_come_while_a_model_falls_asleep_are_not_lost() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        for i in 0..200_i64 {
            handle.publish(accuracy("m", 0.9, i)).await.unwrap();
            if i % 3 == 0 {
                handle.passivate("m").await.unwrap();
            }
            let events = [accuracy("m", 0.9, i), accuracy("m", 0.9, i)];
            assert_eq!(handle.try_publish_batch(&events).accepted, 2);
        }
        handle.flush().await.unwrap();
        let status = handle.model_status("m").await.unwrap();
        assert_eq!(status.monitor.unwrap().taken, 600);
        assert!(handle.status().await.unwrap().shards[0].passivated > 50);
        end(handle).await;
    });
}

#[test]
fn silence_wakes_a_sleeping_model_to_tell_of_it() {
    world(|| async {
        let staleness = StalenessObserver::after(Duration::from_mins(5)).unwrap();
        let plan = MonitorPlan::empty().with_observer(Box::new(staleness)).unwrap();
        let start = accuracy("m", 0.9, 0).ts().unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let handle = monitoring().plan(plan).clock(Arc::clone(&clock) as _).start().unwrap();
        let ears = Ears::on(&handle);
        handle.publish(accuracy("m", 0.9, 0)).await.unwrap();
        handle.flush().await.unwrap();
        handle.passivate("m").await.unwrap();
        clock.set(start.plus(Duration::from_secs(299)));
        pass(Duration::from_secs(5)).await;
        assert_eq!(ears.records(), []);
        clock.set(start.plus(Duration::from_secs(301)));
        pass(Duration::from_secs(5)).await;
        assert_eq!(ears.records().len(), 1);
        end(handle).await;
    });
}

#[test]
fn a_reload_says_what_changed_and_holds_from_the_next_event_on() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        let ears = Ears::on(&handle);
        handle.publish(accuracy("m", 0.8, 0)).await.unwrap();
        handle.flush().await.unwrap();
        assert_eq!(ears.records().len(), 1);
        let lower =
            MonitorPlan::empty().with_observer(Box::new(PerformanceDegrader::new(0.5).unwrap())).unwrap();
        let changes = handle.reload(lower.with_observer(Box::new(Low)).unwrap()).await.unwrap();
        assert_eq!((changes.added.as_slice(), changes.changed.len()), (["low".to_owned()].as_slice(), 1));
        handle.publish(accuracy("m", 0.6, 1)).await.unwrap();
        handle.publish(accuracy("new", 0.6, 1)).await.unwrap();
        handle.flush().await.unwrap();
        let low = ears.records().iter().filter(|record| &*record.id.observer == "low").count();
        assert_eq!(low, 2);
        end(handle).await;
    });
}

/// Keeps the turns that it is sent.
struct Watcher(Arc<Mutex<Vec<Lifecycle>>>);

impl Actor for Watcher {
    type Context = Context<Self>;
}

impl Handler<Lifecycle> for Watcher {
    type Result = ();

    fn handle(&mut self, turn: Lifecycle, _: &mut Context<Self>) {
        self.0.lock().push(turn);
    }
}

#[test]
fn an_actor_is_told_of_every_turn() {
    world(|| async {
        let handle = monitoring().observer(Box::new(Bomb::default())).start().unwrap();
        let ears = Ears::on(&handle);
        let seen = Arc::new(Mutex::new(Vec::new()));
        handle.subscribe_lifecycle(Watcher(Arc::clone(&seen)).start().recipient());
        for second in 0..8 {
            handle.publish(accuracy("m", crate::world::POISON, second)).await.unwrap();
        }
        handle.flush().await.unwrap();
        assert_eq!(*seen.lock(), ears.turns());
        assert_eq!(names(&ears.turns()).last().map(String::as_str), Some("quarantined"));
        assert_eq!(ears.turns()[0].model_id().as_str(), "m");
        end(handle).await;
    });
}

#[test]
fn an_unknown_model_is_told() {
    world(|| async {
        let handle = monitoring().start().unwrap();
        for answer in [handle.pause("x").await, handle.reset("x").await, handle.retire("x").await] {
            assert_eq!(answer, Err(ControlError::UnknownModel("x".into())));
        }
        end(handle).await;
    });
}
