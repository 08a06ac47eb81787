//! The store in SQLite keeps the contract, and says what is wrong with a file before it does anything to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;
use visu_tility_core::journal::{EntryValue, JournalEntry, JournalReader, JournalWriter, SeriesToken};
use visu_tility_core::store::conformance::{CASES, Workshop};
use visu_tility_core::store::{
    Commit, LetterEntry, ModelChange, Opened, OutboxEntry, OutboxQuery, OutboxTopic, PlanText, Settlement,
    Snapshot, Store, StoreError, StoreLimits, StoreReader, StoredPhase, Verdict,
};
use visu_tility_core::{ActionId, MetricKind, ModelId, Timestamp, Version};

use super::SqliteStore;

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("visu-tility-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

impl Workshop for Folder {
    fn open(&mut self, place: &str, limits: StoreLimits) -> Result<(Box<dyn Store>, Opened), StoreError> {
        let (store, opened) = SqliteStore::open(self.path(place), limits)?;
        Ok((Box::new(store), opened))
    }

    fn path(&self, place: &str) -> PathBuf {
        self.file(&format!("{place}.db"))
    }
}

#[test]
fn the_store_in_sqlite_keeps_the_contract() {
    for case in CASES {
        (case.run)(&mut Folder::new()).unwrap_or_else(|fault| panic!("{}: {fault}", case.name));
    }
}

fn open(path: &Path) -> Result<(SqliteStore, Opened), StoreError> {
    SqliteStore::open(path, StoreLimits::default())
}

fn id(name: &str) -> ModelId {
    ModelId::new(name).unwrap()
}

/// The `at`-th commit of a workload: three events, a snapshot, an action, a letter.
fn commit(at: u64) -> Commit {
    let mut writer = JournalWriter::new();
    let token = SeriesToken(at, 0);
    let model = id(&format!("fraud-{}", at % 3));
    writer.name(token, &model, Some((&Version::unversioned(), &MetricKind::F1))).unwrap();
    for event in 0..3 {
        writer.value(token, Timestamp::from_millis(1_764_000_000_000 + event), 0.25 * event as f64).unwrap();
    }
    let offset = 3 * at;
    let time = Timestamp::from_millis(1_764_000_000_000);
    let action = ActionId { model_id: model.clone(), offset, observer: "psi".into(), ordinal: 0 };
    let body = format!("{{\"summary\":\"drift at {at}\"}}");
    Commit {
        journal: vec![writer.finish(offset).unwrap()],
        plans: vec![PlanText { fingerprint: 7, text: "[[rule]]\n".to_owned() }],
        models: vec![ModelChange::Keep(Snapshot {
            model: model.clone(),
            next_offset: offset + 3,
            phase: StoredPhase::Running,
            due: Some(time.plus(std::time::Duration::from_secs(at))),
            plan: 7,
            form: 2,
            state: (0..2_000).map(|byte| (byte * 7 + at) as u8).collect(),
        })],
        outbox: vec![OutboxEntry {
            id: action,
            cause: offset,
            topic: OutboxTopic::Alert,
            at: time,
            body: body.clone(),
        }],
        settled: vec![Settlement { number: at, verdict: Verdict::Delivered, at: time }],
        letters: vec![LetterEntry {
            model,
            offset: Some(offset),
            observer: "psi".to_owned(),
            at: time,
            body,
        }],
        values: vec![("clock".to_owned(), Some(at.to_le_bytes().to_vec()))],
        ..Commit::default()
    }
}

/// Everything that a reader tells, as text, with every journal piece read.
fn shown(reader: &mut dyn StoreReader) -> Result<String, StoreError> {
    let summary = reader.summary()?;
    let models = reader.models(None, 1_000)?;
    let mut states = Vec::new();
    for model in &models {
        states.push(reader.snapshot(&model.model)?);
    }
    let due = reader.due(Timestamp::from_micros(i64::MAX), None, 1_000)?;
    let pieces = reader.journal(0, usize::MAX)?;
    for piece in &pieces {
        JournalReader::new(piece).map_err(|error| StoreError::corrupt("a journal piece", &error))?;
    }
    let outbox = reader.outbox(&OutboxQuery { limit: 1_000, ..OutboxQuery::default() })?;
    let letters = reader.dead_letters(0, 1_000)?;
    let words = (reader.plan(7)?, reader.plans()?, reader.value("clock")?);
    Ok(format!(
        "{summary:?}\n{models:?}\n{states:?}\n{due:?}\n{pieces:?}\n{outbox:?}\n{letters:?}\n{words:?}"
    ))
}

fn shown_at(path: &Path) -> Result<String, StoreError> {
    shown(&mut *SqliteStore::open_reader(path)?)
}

/// What a crash would leave of the open store at `path`: its files in a folder of their own.
fn image(path: &Path) -> (Folder, PathBuf) {
    let folder = Folder::new();
    let copy = folder.file("store.db");
    for ending in ["", "-wal", ".lock"] {
        let from = format!("{}{ending}", path.display());
        if Path::new(&from).exists() {
            fs::copy(&from, format!("{}{ending}", copy.display())).unwrap();
        }
    }
    (folder, copy)
}

/// A store with so many commits, still open, with the texts after each commit.
fn filled(folder: &Folder, commits: u64) -> (SqliteStore, Vec<String>) {
    let path = folder.file("store.db");
    let (mut store, _) = open(&path).unwrap();
    let mut texts = vec![shown_at(&path).unwrap()];
    for at in 0..commits {
        store.commit(&commit(at)).unwrap();
        texts.push(shown_at(&path).unwrap());
    }
    (store, texts)
}

#[test]
fn what_a_crash_leaves_is_opened_checked_and_whole() {
    let folder = Folder::new();
    let (store, texts) = filled(&folder, 10);
    let (_copy, path) = image(store.path());
    let (copy, opened) = open(&path).unwrap();
    assert_eq!(opened, Opened { new: false, clean: false });
    assert_eq!(shown(&mut *copy.reader().unwrap()).unwrap(), texts[10]);
}

#[test]
fn a_write_ahead_log_that_was_cut_or_removed_is_told() {
    let folder = Folder::new();
    let (store, texts) = filled(&folder, 6);
    let log = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    let length = fs::metadata(log(store.path())).unwrap().len();
    assert!(length > 50_000, "the log is {length} bytes");
    for kept in (0..length).step_by(7_001) {
        let (_folder, path) = image(store.path());
        fs::OpenOptions::new().write(true).open(log(&path)).unwrap().set_len(kept).unwrap();
        let error = open(&path).unwrap_err();
        assert!(
            matches!(error, StoreError::Corrupt { .. }) && error.to_string().contains("were acknowledged"),
            "{error}"
        );
        // Whoever says so goes on with what is there: whole commits.
        fs::remove_file(format!("{}.lock", path.display())).unwrap();
        let (copy, _) = open(&path).unwrap();
        let text = shown(&mut *copy.reader().unwrap()).unwrap();
        assert!(texts[..6].contains(&text), "cut to {kept}: half a commit");
    }
    let (_folder, path) = image(store.path());
    fs::remove_file(log(&path)).unwrap();
    assert!(matches!(open(&path), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_store_that_is_gone_is_not_begun_afresh() {
    let folder = Folder::new();
    let (store, _) = filled(&folder, 2);
    let (_folder, path) = image(store.path());
    fs::remove_file(&path).unwrap();
    fs::remove_file(format!("{}-wal", path.display())).unwrap();
    let error = open(&path).unwrap_err().to_string();
    assert!(error.contains("it holds 0 commits and 2 were acknowledged"), "{error}");
    assert!(!path.exists(), "nothing was made in its place");
}

#[test]
fn a_damaged_page_is_told_or_does_not_matter_but_never_believed() {
    let folder = Folder::new();
    let (store, texts) = filled(&folder, 12);
    Box::new(store).close().unwrap();
    let whole = fs::read(folder.file("store.db")).unwrap();
    let pages = whole.len() / 4_096;
    assert!(pages > 15, "{pages} pages");
    let (mut told, mut harmless) = (0, 0);
    for page in 0..pages {
        for clean in [true, false] {
            let folder = Folder::new();
            let path = folder.file("store.db");
            fs::write(&path, &whole).unwrap();
            if !clean {
                Connection::open(&path).unwrap().execute("UPDATE tally SET clean = 0", []).unwrap();
            }
            let mut bytes = fs::read(&path).unwrap();
            bytes[page * 4_096..(page + 1) * 4_096].fill(0xA5);
            fs::write(&path, bytes).unwrap();
            let found = open(&path).and_then(|(store, _)| shown(&mut *store.reader()?));
            match found {
                Err(StoreError::Corrupt { .. } | StoreError::Foreign { .. }) => told += 1,
                Err(error) => panic!("page {page}: {error:?}"),
                Ok(text) => {
                    assert_eq!(text, texts[12], "page {page}");
                    harmless += 1;
                }
            }
        }
    }
    // Pages of indexes that no question above uses, after a clean stop.
    assert!(told > 3 * harmless, "{told} told, {harmless} without consequence");
}

#[test]
fn the_check_of_a_large_file_leaves_out_the_states_and_nothing_else() {
    let folder = Folder::new();
    Box::new(filled(&folder, 12).0).close().unwrap();
    let whole = fs::read(folder.file("store.db")).unwrap();
    let roots: Vec<(String, usize)> = {
        let connection = Connection::open(folder.file("store.db")).unwrap();
        let mut roots =
            connection.prepare("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0").unwrap();
        let root = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)? as usize));
        roots.query_map([], root).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    };
    assert!(roots.len() > 12, "{roots:?}");
    for (name, page) in roots {
        let folder = Folder::new();
        let path = folder.file("store.db");
        let mut bytes = whole.clone();
        bytes[(page - 1) * 4_096..page * 4_096].fill(0xA5);
        fs::write(&path, bytes).unwrap();
        let checked = super::open::check(&Connection::open(&path).unwrap(), &path, 0);
        let left_out = ["snapshot", "schema_version"].contains(&&*name);
        assert_eq!(checked.is_ok(), left_out, "{name}: {checked:?}");
    }
}

#[test]
fn a_state_with_a_flipped_bit_is_told_by_its_model() {
    let folder = Folder::new();
    let (store, _) = filled(&folder, 3);
    let path = folder.file("store.db");
    Box::new(store).close().unwrap();
    let flip = "UPDATE snapshot SET state = CAST(x'ff' || substr(state, 2) AS BLOB) \
        WHERE model_id = (SELECT id FROM model WHERE name = 'fraud-1')";
    assert_eq!(Connection::open(&path).unwrap().execute(flip, []).unwrap(), 1);
    let error = shown_at(&path).unwrap_err().to_string();
    assert!(error.starts_with("the snapshot of model fraud-1 is damaged"), "{error}");
}

#[test]
fn a_journal_piece_that_is_missing_is_told_by_its_offset() {
    let folder = Folder::new();
    let (store, _) = filled(&folder, 5);
    for (gone, offset) in [(6, 6), (12, 12)] {
        let (_folder, path) = image(store.path());
        let connection = Connection::open(&path).unwrap();
        assert_eq!(connection.execute("DELETE FROM journal WHERE first_offset = ?1", [gone]).unwrap(), 1);
        let error = SqliteStore::open_reader(&path).unwrap().journal(3, usize::MAX).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the journal at offset {offset} is damaged: the piece there is missing")
        );
    }
}

#[test]
fn files_that_are_not_ours_or_from_a_newer_release_are_refused_and_left_as_they_are() {
    let folder = Folder::new();
    let path = folder.file("store.db");
    fs::write(&path, "dear diary, today nothing happened at all, again\n".repeat(100)).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(open(&path), Err(StoreError::Foreign { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::remove_file(&path).unwrap();
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE recipe (name); PRAGMA application_id = 5")
        .unwrap();
    let before = fs::read(&path).unwrap();
    let error = open(&path).unwrap_err().to_string();
    assert!(error.contains("a database of another program (application id 0x5)"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::remove_file(&path).unwrap();
    let (store, _) = open(&path).unwrap();
    Box::new(store).close().unwrap();
    Connection::open(&path).unwrap().execute("INSERT INTO schema_version VALUES (99, '7.0.0')", []).unwrap();
    let before = fs::read(&path).unwrap();
    assert_eq!(open(&path).unwrap_err(), StoreError::Newer { found: 99, known: 1 });
    assert_eq!(SqliteStore::open_reader(&path).err(), Some(StoreError::Newer { found: 99, known: 1 }));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_full_disk_is_told_and_the_same_commit_is_taken_when_there_is_room() {
    let folder = Folder::new();
    let (mut store, texts) = filled(&folder, 4);
    let pages: i64 = store.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    store
        .connection
        .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, i64>(0))
        .unwrap();
    let mut large = commit(4);
    large.values.push(("ballast".to_owned(), Some(vec![1; 500_000])));
    let error = store.commit(&large).unwrap_err();
    assert!(
        matches!(error, StoreError::DiskFull { .. }) && error.can_retry() && !error.is_in_doubt(),
        "{error:?}"
    );
    assert_eq!(shown_at(store.path()).unwrap(), texts[4]);
    store.connection.query_row("PRAGMA max_page_count = 100000", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(store.commit(&large).unwrap().next_offset, 15);
    // The counts were not moved by the commit that failed.
    drop(store);
    let (store, _) = open(&folder.file("store.db")).unwrap();
    assert_eq!((store.tally.commits, store.tally.next_offset, store.tally.models), (5, 15, 3));
}

#[test]
#[cfg(unix)]
fn what_may_not_be_written_is_refused_by_name_and_can_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let (store, texts) = filled(&folder, 2);
    let path = folder.file("store.db");
    Box::new(store).close().unwrap();
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(&path, 0o444);
    if fs::OpenOptions::new().write(true).open(&path).is_ok() {
        // Whoever may do everything is not told that he may not.
        return;
    }
    let error = open(&path).unwrap_err();
    assert!(matches!(&error, StoreError::ReadOnly { path: said, .. } if *said == path), "{error:?}");
    assert!(!error.can_retry());
    assert_eq!(shown_at(&path).unwrap(), texts[2]);
    allow(&path, 0o644);
    fs::remove_file(folder.file("store.db.lock")).unwrap();
    allow(&folder.0, 0o555);
    let error = open(&path).unwrap_err();
    let read = shown_at(&path);
    allow(&folder.0, 0o755);
    assert_eq!(read.unwrap(), texts[2], "where nothing may be written beside it");
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
}

#[test]
fn a_shell_reads_the_views() {
    let folder = Folder::new();
    let (store, _) = filled(&folder, 2);
    let connection = Connection::open(store.path()).unwrap();
    let text = |sql: &str| {
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| {
            let cell = |at| format!("{:?}", row.get::<_, rusqlite::types::Value>(at).unwrap());
            Ok((0..columns).map(cell).collect::<Vec<_>>().join(" "))
        };
        statement.query_map([], row).unwrap().collect::<rusqlite::Result<Vec<_>>>().unwrap().join("\n")
    };
    assert_eq!(
        text("SELECT * FROM models"),
        "Text(\"fraud-0\") Text(\"running\") Integer(3) Text(\"2025-11-24T16:00:00.000Z\") Integer(2000) \
         Text(\"0000000000000007\")\n\
         Text(\"fraud-1\") Text(\"running\") Integer(6) Text(\"2025-11-24T16:00:01.000Z\") Integer(2000) \
         Text(\"0000000000000007\")"
    );
    assert_eq!(text("SELECT * FROM journal_range"), "Integer(0) Integer(6) Integer(2) Integer(232)");
    assert_eq!(
        text("SELECT number, at, model, topic, verdict FROM actions"),
        "Integer(1) Text(\"2025-11-24T16:00:00.000Z\") Text(\"fraud-0\") Text(\"alert\") Text(\"delivered\")\n\
         Integer(2) Text(\"2025-11-24T16:00:00.000Z\") Text(\"fraud-1\") Text(\"alert\") Text(\"waiting\")"
    );
    assert_eq!(text("SELECT count(*) FROM dead_letters"), "Integer(2)");
    assert_eq!(text("PRAGMA quick_check"), "Text(\"ok\")");
}

/// A file that release 0.1.0 wrote, of three commits as above. It must open for ever, and is never written again.
#[test]
fn the_fixture_of_form_1_opens_and_says_what_it_said() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store_form_1.db");
    if !file.exists() && std::env::var_os("BLESS").is_some() {
        let folder = Folder::new();
        Box::new(filled(&folder, 3).0).close().unwrap();
        fs::copy(folder.file("store.db"), &file).unwrap();
    }
    let folder = Folder::new();
    let path = folder.file("store.db");
    fs::copy(&file, &path).unwrap();
    let (mut store, opened) = open(&path).unwrap();
    assert_eq!(opened, Opened { new: false, clean: true });
    let mut reader = store.reader().unwrap();
    let summary = reader.summary().unwrap();
    assert_eq!((summary.first_offset, summary.next_offset, summary.journal_pieces), (0, 9, 3));
    assert_eq!((summary.models, summary.snapshot_bytes, summary.dead_letters_total), (3, 6_000, 3));
    let snapshot = reader.snapshot(&id("fraud-2")).unwrap().unwrap();
    assert_eq!(
        (snapshot.next_offset, snapshot.phase, snapshot.plan, snapshot.form),
        (9, StoredPhase::Running, 7, 2)
    );
    assert_eq!(snapshot.due, Timestamp::parse("2025-11-24T16:00:02Z"));
    assert!(snapshot.state.iter().zip(0_u64..).all(|(byte, at)| *byte == (at * 7 + 2) as u8));
    let pieces = reader.journal(3, 1).unwrap();
    let piece = JournalReader::new(&pieces[0]).unwrap();
    let names = (piece.names()[0].model.as_str(), piece.names()[0].series.clone());
    assert_eq!(names, ("fraud-1", Some((Version::unversioned(), MetricKind::F1))));
    let at = Timestamp::parse("2025-11-24T16:00:00.002Z").unwrap();
    let last = JournalEntry::Event { name: 0, at, value: EntryValue::Number(0.5) };
    assert_eq!(piece.entries().last(), Some((5, last)));
    let waiting = reader.outbox(&OutboxQuery { waiting: true, limit: 9, ..OutboxQuery::default() }).unwrap();
    assert_eq!(
        (waiting.len(), waiting[0].number, &*waiting[0].entry.body),
        (1, 3, "{\"summary\":\"drift at 2\"}")
    );
    assert_eq!(reader.dead_letters(2, 9).unwrap()[0].entry.observer, "psi");
    assert_eq!(reader.plan(7).unwrap().as_deref(), Some("[[rule]]\n"));
    assert_eq!(reader.value("clock").unwrap(), Some(2_u64.to_le_bytes().to_vec()));
    assert_eq!(store.commit(&commit(3)).unwrap().next_offset, 12);
}
