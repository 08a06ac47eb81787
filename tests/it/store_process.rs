//! The store in SQLite between processes: a second one is kept out, and one that is killed loses nothing that it
//! acknowledged.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use visu_tility::monitoring::ModelId;
use visu_tility::store::{
    Commit, JournalPiece, ModelChange, Snapshot, SqliteStore, Store, StoreError, StoreLimits, StoreReader,
    StoredPhase,
};

/// Names the store to a process that is to commit to it until it is killed.
const STORE: &str = "VISU_TILITY_TEST_STORE";

/// A piece whose bytes follow from its offset.
fn piece(first_offset: u64) -> JournalPiece {
    let length = 100 + first_offset * 37 % 9_000;
    let bytes = (0..length).map(|at| (first_offset * 13 + at) as u8).collect();
    JournalPiece { first_offset, entries: 1, bytes }
}

/// Not a test of its own: what the other process does.
#[test]
fn the_process_that_commits_until_it_is_killed() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let (mut store, _) = SqliteStore::open(PathBuf::from(path), StoreLimits::default()).unwrap();
    let mut next = store.reader().unwrap().summary().unwrap().next_offset;
    loop {
        let pieces = vec![piece(next), piece(next + 1)];
        let truncate_below = next.checked_sub(50);
        next = store
            .commit(&Commit { journal: pieces, truncate_below, ..Commit::default() })
            .unwrap()
            .next_offset;
        println!("acknowledged {next}");
    }
}

fn start(path: &Path) -> (Child, impl Iterator<Item = u64>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store_process::the_process_that_commits_until_it_is_killed", "--nocapture"])
        .env(STORE, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let acknowledged = lines.filter_map(|line| line.split("acknowledged ").nth(1)?.parse().ok());
    (child, acknowledged)
}

#[test]
fn a_process_that_is_killed_loses_nothing_that_it_acknowledged() {
    let folder = std::env::temp_dir().join(format!("visu-tility-kill-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("store.db");
    for round in 0..8 {
        let (mut child, mut acknowledged) = start(&path);
        // Other moments in every round, some of them within a checkpoint of the log.
        let seen = acknowledged.nth(10 + round * 23).unwrap();
        match SqliteStore::open(&path, StoreLimits::default()) {
            Err(StoreError::Locked { pid, .. }) => assert_eq!(pid, Some(child.id())),
            other => panic!("a second process is told {:?}", other.map(|(_, opened)| opened)),
        }
        // A reader is not kept out.
        let read = SqliteStore::open_reader(&path).unwrap().summary().unwrap().next_offset;
        assert!(read >= seen, "{read} read, {seen} acknowledged");
        child.kill().unwrap();
        child.wait().unwrap();
        let last = acknowledged.last().unwrap_or(seen);
        let (store, opened) = SqliteStore::open(&path, StoreLimits::default()).unwrap();
        assert!(!opened.clean && !opened.new);
        let mut reader = store.reader().unwrap();
        let summary = reader.summary().unwrap();
        // The one that was under way may be there: nobody was told.
        assert!((last..=last + 2).contains(&summary.next_offset), "{last} acknowledged, {summary:?}");
        let pieces = reader.journal(0, usize::MAX).unwrap();
        assert_eq!(pieces.len() as u64, summary.next_offset - summary.first_offset);
        assert!(pieces.iter().all(|found| *found == piece(found.first_offset)));
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Readers on other threads, while the writer appends, truncates, keeps and forgets: each call is of one moment.
#[test]
fn no_reader_sees_half_a_commit() {
    let folder = std::env::temp_dir().join(format!("visu-tility-half-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (mut store, _) = SqliteStore::open(folder.join("store.db"), StoreLimits::default()).unwrap();
    let stop = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let watch = |mut reader: Box<dyn StoreReader>| {
            let (mut moments, mut last) = (0, 0);
            while !stop.load(Ordering::Relaxed) || moments == 0 {
                let summary = reader.summary().unwrap();
                assert!(summary.next_offset >= last, "a reader went back");
                // Every commit keeps one more model, and one more state of 10 bytes.
                assert_eq!(
                    (summary.models, summary.snapshot_bytes),
                    (summary.next_offset, 10 * summary.next_offset)
                );
                assert!(summary.next_offset - summary.first_offset <= 7, "{summary:?}");
                let pieces = reader.journal(0, usize::MAX).unwrap();
                let offsets: Vec<u64> = pieces.iter().map(|piece| piece.first_offset).collect();
                assert!(
                    offsets.windows(2).all(|pair| pair[0] + 1 == pair[1]) && offsets.len() <= 7,
                    "{offsets:?}"
                );
                last = summary.next_offset;
                moments += 1;
            }
            moments
        };
        let readers = [store.reader().unwrap(), store.reader().unwrap()];
        let watchers: Vec<_> = readers.map(|reader| scope.spawn(move || watch(reader))).into_iter().collect();
        for offset in 0..400 {
            let snapshot = Snapshot {
                model: ModelId::new(format!("m{offset}")).unwrap(),
                next_offset: offset,
                phase: StoredPhase::Running,
                due: None,
                plan: 0,
                form: 0,
                state: vec![offset as u8; 10],
            };
            let commit = Commit {
                journal: vec![piece(offset)],
                models: vec![ModelChange::Keep(snapshot)],
                truncate_below: (offset % 5 == 4).then(|| offset - 1),
                ..Commit::default()
            };
            store.commit(&commit).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        watchers.into_iter().map(|watcher| watcher.join().unwrap()).sum::<u32>()
    });
    assert!(seen >= 2, "{seen} moments were seen");
    std::fs::remove_dir_all(&folder).unwrap();
}

/// On a disk that is really full: `mount -t tmpfs -o size=400k tmpfs FOLDER`, then this test with
/// `VISU_TILITY_SMALL_DISK=FOLDER`. Without it the same is asked with SQLite's own bound, in `src/store/sqlite/tests.rs`.
#[test]
fn a_disk_that_is_really_full_is_told_and_the_same_commit_is_taken_when_there_is_room() {
    let Some(folder) = std::env::var_os("VISU_TILITY_SMALL_DISK").map(PathBuf::from) else { return };
    let (ballast, path) = (folder.join("ballast"), folder.join("store.db"));
    std::fs::write(&ballast, vec![0; 150_000]).unwrap();
    let (mut store, _) = SqliteStore::open(&path, StoreLimits::default()).unwrap();
    let mut reader = store.reader().unwrap();
    let mut next = 0;
    let (commit, error) = loop {
        let commit = Commit { journal: vec![piece(next)], ..Commit::default() };
        match store.commit(&commit) {
            Ok(committed) => next = committed.next_offset,
            Err(error) => break (commit, error),
        }
    };
    assert!(next > 5, "{next} commits had room");
    assert!(matches!(error, StoreError::DiskFull { .. }) && error.can_retry(), "{error:?}");
    assert_eq!(reader.summary().unwrap().next_offset, next);
    assert!(store.commit(&commit).is_err());
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(store.commit(&commit).unwrap().next_offset, next + 1);
    drop((store, reader));
    let (store, _) = SqliteStore::open(&path, StoreLimits::default()).unwrap();
    assert_eq!(store.reader().unwrap().journal(0, usize::MAX).unwrap().len() as u64, next + 1);
}
