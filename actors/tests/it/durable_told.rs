//! What is said of a store: who is paused, that a disk is full no more, that the clock was set back.

use std::sync::Arc;
use std::time::Duration;

use visu_tility_actors::{DeadReason, ManualClock, ModelPhase};
use visu_tility_core::store::{Effect, MemoryDisk, Operation, StoreError};
use visu_tility_core::{MetricEvent, MetricKind};

use crate::durable::{close, over};
use crate::log::Log;
use crate::world::{accuracy, pass, world};

#[test]
fn a_paused_model_is_shown_as_paused_after_a_restart_awake_or_asleep() {
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        for model in ["a", "b"] {
            handle.publish(accuracy(model, 0.9, 0)).await.unwrap();
        }
        handle.pause("a").await.unwrap();
        handle.flush().await.unwrap();
        let killed = disk.after_kill();
        close(handle).await;
        // After the crash what came for b is repeated, which wakes it.
        for (disk, other) in [(disk, ModelPhase::Asleep), (killed, ModelPhase::Running)] {
            let handle = over(&disk).start().unwrap();
            assert_eq!(handle.recovered().await.failed, None);
            let phase = async |name: &str| handle.model_status(name).await.unwrap().phase;
            assert_eq!(phase("a").await, ModelPhase::Paused);
            // Who holds a handle gives it a place in memory, and wakes it not.
            let held = (handle.model("a").unwrap(), handle.model("b").unwrap());
            assert_eq!((phase("a").await, phase("b").await), (ModelPhase::Paused, other));
            assert_eq!(held.0.status().await.unwrap().phase, ModelPhase::Paused);
            let rows = handle.models_after(None, 10).await.unwrap();
            assert_eq!(rows.iter().map(|row| row.phase).collect::<Vec<_>>(), [ModelPhase::Paused, other]);
            held.0.addr().await.unwrap();
            assert_eq!(phase("a").await, ModelPhase::Paused);
            drop(held);
            close(handle).await;
        }
    });
}

#[test]
fn the_end_of_a_full_disk_is_said_once_with_how_long_it_lasted() {
    let log = Log::default();
    let _logged = log.here();
    world(|| async {
        let disk = MemoryDisk::new();
        let handle = over(&disk).start().unwrap();
        handle.publish(accuracy("a", 0.9, 0)).await.unwrap();
        pass(Duration::from_mins(1)).await;
        disk.set_hook(|_, operation| match operation {
            Operation::Write(_) => Effect::Fail(StoreError::DiskFull { detail: "no space".into() }),
            _ => Effect::Proceed,
        });
        handle.publish(accuracy("a", 0.9, 1)).await.unwrap_err();
        pass(Duration::from_mins(3)).await;
        assert_eq!(log.lines("the store takes entries again"), Vec::<String>::new());
        disk.clear_hook();
        pass(Duration::from_mins(1)).await;
        for second in 2..5 {
            handle.publish(accuracy("a", 0.9, second)).await.unwrap();
        }
        let failed = log.lines("the store takes nothing");
        assert!(
            failed.len() == 1 && failed[0].starts_with("ERROR") && failed[0].contains("no space"),
            "{failed:?}"
        );
        let again = log.lines("the store takes entries again");
        assert!(again.len() == 1 && again[0].contains("no space"), "{again:?}");
        let lasted = again[0].split("lasted_ms=").nth(1).unwrap().split(' ').next().unwrap();
        // Noticed within a pause of 5 s.
        assert!((180_000..186_000).contains(&lasted.parse::<u64>().unwrap()), "{again:?}");
        close(handle).await;
    });
}

#[test]
fn a_clock_that_was_set_back_between_two_starts_is_said_once_with_how_far() {
    let log = Log::default();
    let _logged = log.here();
    world(|| async {
        let noon = accuracy("m", 0.9, 0).ts().unwrap();
        let disk = MemoryDisk::new();
        let set_back = |minutes| noon.minus(Duration::from_mins(minutes));
        // Where the clock stands, how far that is behind, and how many of eight events without a time are too late.
        let starts = [
            (noon, 0, 0),
            (noon.minus(Duration::from_millis(900)), 0, 0),
            (set_back(3), 179_100_000, 0),
            (set_back(93), 5_400_000_000, 7),
            (set_back(93), 0, 0),
        ];
        for (round, (now, behind, late)) in starts.into_iter().enumerate() {
            let before = log.lines("the clock is behind").len();
            let handle = over(&disk).clock(Arc::new(ManualClock::new(now))).start().unwrap();
            assert_eq!(handle.recovered().await.failed, None);
            assert_eq!(handle.status().await.unwrap().clock.behind_us, behind, "start {round}");
            let said = log.lines("the clock is behind").split_off(before);
            assert_eq!(said.len(), usize::from(behind > 0), "{said:?}");
            assert!(said.iter().all(|line| line.starts_with("WARN")), "{said:?}");
            let seconds = said.first().and_then(|line| line.split("behind_s=").nth(1)?.split(' ').next());
            assert_eq!(seconds.map_or(0.0, |it| it.parse().unwrap()), behind as f64 / 1e6);
            let letters = handle.dead_letters().len();
            for _ in 0..8 {
                handle.publish(MetricEvent::new("a", MetricKind::Accuracy, 0.9).unwrap()).await.unwrap();
            }
            handle.flush().await.unwrap();
            let letters = handle.dead_letters().split_off(letters);
            assert!(letters.iter().all(|letter| letter.reason == DeadReason::TooLate));
            assert_eq!(letters.len(), late, "start {round}");
            close(handle).await;
        }
    });
}
