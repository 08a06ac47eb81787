//! The memory store keeps the contract, and a crash at any of its operations leaves a commit whole or not at all.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::store::commit::{ModelChange, OutboxEntry, OutboxTopic, Settlement, StoredPhase, Verdict};
use crate::store::conformance::{CASES, Workshop};
use crate::store::record::Opened;
use crate::{ActionId, Timestamp};

#[derive(Default)]
struct Disks(BTreeMap<String, MemoryDisk>);

impl Workshop for Disks {
    fn open(&mut self, place: &str, limits: StoreLimits) -> Result<(Box<dyn Store>, Opened), StoreError> {
        let disk = self.0.entry(place.to_owned()).or_default();
        // Short logs give way to their states in the middle of a case.
        disk.compact_at(2_000);
        let (store, opened) = disk.open(limits)?;
        Ok((Box::new(store), opened))
    }

    fn path(&self, place: &str) -> PathBuf {
        place.into()
    }
}

#[test]
fn the_store_in_memory_keeps_the_contract() {
    for case in CASES {
        (case.run)(&mut Disks::default()).unwrap_or_else(|fault| panic!("{}: {fault}", case.name));
    }
}

fn id(name: &str) -> ModelId {
    ModelId::new(name).unwrap()
}

/// A workload in which each commit leans on the ones before.
fn workload() -> Vec<Commit> {
    let mut commits = Vec::new();
    for at in 0..6_u64 {
        let snapshot = Snapshot {
            model: id(&format!("m{}", at % 2)),
            next_offset: 3 * at,
            phase: StoredPhase::Running,
            due: None,
            plan: 1,
            form: 1,
            state: vec![at as u8; 40],
        };
        let action = ActionId { model_id: id("m0"), offset: 3 * at, observer: "psi".into(), ordinal: 0 };
        commits.push(Commit {
            journal: vec![JournalPiece { first_offset: 3 * at, entries: 3, bytes: vec![at as u8; 30] }],
            models: vec![ModelChange::Keep(snapshot)],
            outbox: vec![OutboxEntry {
                id: action,
                cause: 3 * at,
                topic: OutboxTopic::Alert,
                at: Timestamp::EPOCH,
                body: "{}".to_owned(),
            }],
            settled: vec![Settlement { number: at, verdict: Verdict::Delivered, at: Timestamp::EPOCH }],
            truncate_below: (at == 4).then_some(9),
            ..Commit::default()
        });
    }
    commits
}

/// What a store holds, in a form that can be compared; debugging text shows every field.
fn shown(store: &MemoryStore) -> String {
    format!("{:?}", lock(&store.state))
}

/// The states after 0, 1, 2, ... commits of the workload.
fn states() -> Vec<String> {
    let mut store = MemoryStore::new(StoreLimits::default());
    let mut states = vec![shown(&store)];
    for commit in workload() {
        store.commit(&commit).unwrap();
        states.push(shown(&store));
    }
    states
}

/// Runs the workload until the effect that is to come at an operation; answers the disk and how many commits were
/// acknowledged.
fn run(at: u64, effect: &Effect) -> (MemoryDisk, usize) {
    let disk = MemoryDisk::new();
    disk.compact_at(400);
    let effect = effect.clone();
    disk.set_hook(move |number, _| if number == at { effect.clone() } else { Effect::Proceed });
    let Ok((mut store, _)) = disk.open(StoreLimits::default()) else { return (disk, 0) };
    let acknowledged = workload().iter().take_while(|commit| store.commit(commit).is_ok()).count();
    (disk, acknowledged)
}

/// Opens a disk and answers how many commits it holds: exactly so many, or the test fails.
fn found(disk: &MemoryDisk, states: &[String], what: &str) -> usize {
    let (store, _) = disk.open(StoreLimits::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let shown = shown(&store);
    states
        .iter()
        .position(|state| *state == shown)
        .unwrap_or_else(|| panic!("{what}: a state that never was"))
}

#[test]
fn a_crash_at_any_operation_keeps_every_acknowledged_commit_and_no_half_one() {
    let states = states();
    let (disk, all) = run(u64::MAX, &Effect::Proceed);
    assert_eq!(all, 6);
    let (mut images, mut gained) = (0, 0);
    for at in 0..disk.operations() {
        let mut effects = vec![Effect::CrashBefore, Effect::CrashAfter];
        effects.extend((0..400).step_by(7).map(Effect::Tear));
        for effect in effects {
            let (disk, acknowledged) = run(at, &effect);
            let what = format!("{effect:?} at operation {at}");
            assert!(disk.is_crashed(), "{what}");
            let mut after = vec![disk.after_kill()];
            after.extend((0..=disk.unsynced()).step_by(11).map(|kept| disk.after_power_loss(kept)));
            for image in after {
                let commits = found(&image, &states, &what);
                // The one that was under way may be there: nobody was told.
                assert!(commits == acknowledged || commits == acknowledged + 1, "{what}: {commits}");
                (images, gained) = (images + 1, gained + commits - acknowledged);
            }
        }
    }
    assert!(images > 1_000 && gained > 50, "{images} images, {gained} with a commit that nobody was told of");
}

#[test]
fn a_commit_whose_sync_failed_can_be_tried_again_and_is_there_once() {
    let states = states();
    let failure = StoreError::io("sync", "the disk said no");
    let (disk, _) = run(u64::MAX, &Effect::Proceed);
    for at in 0..disk.operations() {
        let disk = MemoryDisk::new();
        let error = failure.clone();
        let failed = std::sync::Arc::new(AtomicU64::new(0));
        let counted = std::sync::Arc::clone(&failed);
        disk.set_hook(move |number, _| {
            if number != at {
                return Effect::Proceed;
            }
            counted.fetch_add(1, Ordering::Relaxed);
            Effect::Fail(error.clone())
        });
        let mut store =
            disk.open(StoreLimits::default()).or_else(|_| disk.open(StoreLimits::default())).unwrap().0;
        for (number, commit) in workload().iter().enumerate() {
            if let Err(error) = store.commit(commit) {
                assert!(error.is_in_doubt() && error.can_retry());
                // Nobody sees it, and after a crash it is there whole or not at all.
                assert_eq!(shown(&store), states[number]);
                let commits = found(&disk.after_kill(), &states, "after the failure");
                assert!(commits == number || commits == number + 1);
                store.commit(commit).unwrap();
            }
        }
        drop(store);
        disk.clear_hook();
        assert_eq!(found(&disk, &states, "in the end"), 6);
        assert!(failed.load(Ordering::Relaxed) <= 1);
    }
}

#[test]
fn rot_in_what_was_synced_is_told_and_not_taken_for_a_torn_end() {
    let disk = MemoryDisk::new();
    let (mut store, _) = disk.open(StoreLimits::default()).unwrap();
    for commit in workload() {
        store.commit(&commit).unwrap();
    }
    let rotten = disk.after_kill();
    assert!(rotten.rot(20, 1));
    let error = rotten.open(StoreLimits::default()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(!error.can_retry());
}

#[test]
fn a_crashed_store_answers_nobody_and_a_crash_on_reading_is_one() {
    let (disk, _) = run(u64::MAX, &Effect::Proceed);
    let after = disk.after_kill();
    let (mut store, opened) = after.open(StoreLimits::default()).unwrap();
    assert_eq!(opened, Opened { new: false, clean: false });
    let mut reader = store.reader().unwrap();
    after.set_hook(|_, operation| match operation {
        Operation::Read => Effect::CrashBefore,
        _ => Effect::Proceed,
    });
    assert!(reader.summary().is_err());
    after.clear_hook();
    assert!(reader.summary().is_err() && store.commit(&Commit::default()).is_err());
}
