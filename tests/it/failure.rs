//! `visu-tility serve` over a store that is damaged, in the way, of another release, or on a disk that is full: it says what is
//! wrong and what to do, begins nothing afresh, and once the cause is gone all that was acknowledged is there.

mod disk;
mod ending;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use visu_tility::store::SqliteStore;

use crate::serve::{Server, command, folder, run, start};

/// The tables of a store, whose connection is not ours.
fn sql(store: &Path, statements: &str) {
    rusqlite::Connection::open(store).unwrap().execute_batch(statements).unwrap();
}

fn event(model: &str, value: f64) -> String {
    format!(r#"{{"model_id":"{model}","kind":"DriftScore","value":{value}}}"#)
}

fn body(answer: &str) -> Value {
    serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

/// Waits until a model shows so many events: what is repeated is shown as it is handled.
fn shows(server: &Server, model: &str, events: usize) {
    let mut shown = Value::Null;
    for _ in 0..2_000 {
        shown = body(&server.ask(&format!("GET /v1/models/{model}"), ""))["monitor"]["taken"].clone();
        if shown == events {
            return;
        }
    }
    panic!("{model} shows {shown} events, it was sent {events}");
}

/// Lets a model have so many events more.
fn publish(server: &Server, model: &str, events: usize) {
    let answer = server.ask("POST /v1/events", &format!("{}\n", event(model, 0.1)).repeat(events));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// A folder with a store as SIGKILL left it: 5 events of `a`, whose alert is recorded, 3 of `b`, in the journal alone.
struct Killed(PathBuf);

impl Killed {
    fn new(name: &str) -> Self {
        let folder = folder(name);
        let mut server = start(&folder.join("data"));
        publish(&server, "a", 4);
        let fires = server.ask("POST /v1/events", &event("a", 0.95));
        assert!(fires.starts_with("HTTP/1.1 200 "), "{fires}");
        // Its state is saved with its alert.
        let saved = |server: &Server| {
            let status = body(&server.ask("GET /v1/status", ""));
            status["monitoring"]["store"]["posted"] == 1
        };
        while !saved(&server) {}
        publish(&server, "b", 3);
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        Self(folder)
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    fn store(&self) -> PathBuf {
        self.data().join("visu-tility.db")
    }

    /// All files as they are.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(self.data()).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    /// Puts all files back.
    fn put_back(&self, files: &[(PathBuf, Vec<u8>)]) {
        fs::remove_dir_all(self.data()).unwrap();
        fs::create_dir_all(self.data()).unwrap();
        for (path, bytes) in files {
            fs::write(path, bytes).unwrap();
        }
    }

    /// That all which was acknowledged is there.
    fn is_whole(&self) {
        let server = start(&self.data());
        shows(&server, "a", 5);
        shows(&server, "b", 3);
        server.end();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Tries to start a server that is to refuse; answers what it says.
fn refused(data: &Path) -> String {
    let mut child = command()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok) {
        said += &line;
        said.push('\n');
        if line.starts_with("serving on") {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it serves: {said}");
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(2), "{said}");
    said
}

/// Starts a server that is to say that it takes nothing; answers why.
fn takes_nothing(data: &Path) -> String {
    let mut child = command()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .arg("--port-file")
        .arg(data.with_extension("port"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let failed = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("error: recovery failed"));
    let server = Server { child, lines, port_file: data.with_extension("port") };
    for request in ["POST /v1/events", "GET /readyz", "GET /v1/models"] {
        let answer = server.ask(request, &event("a", 0.1));
        assert!(answer.starts_with("HTTP/1.1 503 "), "{request}: {answer}");
    }
    server.signal("TERM");
    let (said, status) = server.rest();
    assert_eq!(status, 4, "{said}");
    failed.unwrap()
}

/// What is done to a store, and what is said then.
type Damage = (&'static str, fn(&Path), &'static str);

const REFUSED: &[Damage] = &[
    ("log cut", |store| cut(&wal(store), 2), "commits and"),
    ("log removed", |store| fs::remove_file(wal(store)).unwrap(), "its write-ahead log was cut or removed"),
    ("store empty", |store| empty(store), "were acknowledged"),
    ("store gone", |store| remove(store), "it holds 0 commits and"),
    ("not a store", |store| replace(store, b"model,value\n"), "is not a store"),
    ("another database", |store| another(store), "a database of another program"),
    (
        "newer schema",
        |store| sql(store, "INSERT INTO schema_version VALUES (99, '9.0')"),
        "has form 99, this release reads up to form",
    ),
    (
        "a folder",
        |store| {
            remove(store);
            fs::create_dir(store).unwrap();
        },
        "directory",
    ),
    ("page of tally", |store| flip(store, "tally"), "is damaged"),
    ("page of journal", |store| flip(store, "journal"), "is damaged"),
    ("page of model", |store| flip(store, "model"), "is damaged"),
    ("page of snapshot", |store| flip(store, "snapshot"), "is damaged"),
    ("page of outbox", |store| flip(store, "outbox"), "is damaged"),
    ("page of plan", |store| flip(store, "plan"), "is damaged"),
    ("page of value", |store| flip(store, "value"), "is damaged"),
    ("page of schema_version", |store| flip(store, "schema_version"), "is damaged"),
];

fn wal(store: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", store.display()))
}

fn cut(file: &Path, parts: u64) {
    let length = fs::metadata(file).unwrap().len();
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length / parts).unwrap();
}

fn remove(store: &Path) {
    fs::remove_file(store).unwrap();
    fs::remove_file(wal(store)).unwrap();
}

fn empty(store: &Path) {
    fs::write(store, b"").unwrap();
    fs::remove_file(wal(store)).unwrap();
}

fn replace(store: &Path, bytes: &[u8]) {
    remove(store);
    fs::write(store, bytes.repeat(1_000)).unwrap();
}

fn another(store: &Path) {
    remove(store);
    sql(store, "CREATE TABLE song (title TEXT)");
}

/// Changes the head of the page at which a table begins.
fn flip(store: &Path, table: &str) {
    let page: i64 = {
        let connection = rusqlite::Connection::open(store).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let question = format!("SELECT rootpage FROM sqlite_schema WHERE name = '{table}'");
        connection.query_row(&question, [], |row| row.get(0)).unwrap()
    };
    let mut bytes = fs::read(store).unwrap();
    for byte in &mut bytes[(page as usize - 1) * 4_096..][..64] {
        *byte ^= 0x5A;
    }
    fs::write(store, bytes).unwrap();
}

#[test]
fn a_store_that_cannot_be_trusted_is_refused_with_the_reason_and_left_as_it_is() {
    let killed = Killed::new("refused");
    let files = killed.files();
    for (name, damage, reason) in REFUSED {
        killed.put_back(&files);
        damage(&killed.store());
        let (before, log) = (fs::read(killed.store()).ok(), fs::read(wal(&killed.store())).ok());
        let said = refused(&killed.data());
        assert!(
            said.starts_with("error: failed to open the store: ") && said.contains(reason),
            "{name}: {said}"
        );
        assert!(fs::read(killed.store()).ok() == before, "{name}: the file was changed");
        assert!(log.is_none() || fs::read(wal(&killed.store())).ok() == log, "{name}: the log was changed");
        // Looked into, it is told too, or shown as far as it can be.
        let shown = run(&["inspect", killed.data().to_str().unwrap()]);
        assert!(matches!(shown.status.code(), Some(0 | 2)), "{name}: {shown:?}");
        assert!(!String::from_utf8_lossy(&shown.stderr).contains("panicked"), "{name}");
    }
    killed.put_back(&files);
    killed.is_whole();
}

#[test]
fn a_log_with_a_torn_end_loses_nothing_that_was_acknowledged() {
    let killed = Killed::new("torn");
    let mut log = fs::read(wal(&killed.store())).unwrap();
    log.extend((0..3_000_u32).map(|at| (at * 7) as u8));
    fs::write(wal(&killed.store()), log).unwrap();
    killed.is_whole();
}

/// Changes one piece of the journal, the last, as its bytes are.
fn change_journal(store: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let connection = rusqlite::Connection::open(store).unwrap();
    let last = "(SELECT max(first_offset) FROM journal)";
    let read = format!("SELECT piece FROM journal WHERE first_offset = {last}");
    let mut bytes: Vec<u8> = connection.query_row(&read, [], |row| row.get(0)).unwrap();
    change(&mut bytes);
    connection
        .execute(&format!("UPDATE journal SET piece = ?1 WHERE first_offset = {last}"), [bytes])
        .unwrap();
}

#[test]
fn a_journal_that_cannot_be_read_lets_nothing_be_taken_on_top_of_it() {
    let killed = Killed::new("journal");
    let files = killed.files();
    change_journal(&killed.store(), |bytes| bytes[40] ^= 1);
    let said = takes_nothing(&killed.data());
    assert!(said.contains("the journal at offset 5 is damaged"), "{said}");
    killed.put_back(&files);
    change_journal(&killed.store(), |bytes| {
        bytes[0] = 9;
        let body = bytes.len() - 8;
        let sum = visu_tility_core::store::checksum(&bytes[..body]);
        bytes[body..].copy_from_slice(&sum.to_le_bytes());
    });
    let said = takes_nothing(&killed.data());
    assert!(said.contains('9') && said.contains("the journal at offset 5"), "{said}");
    killed.put_back(&files);
    sql(&killed.store(), "DELETE FROM journal WHERE first_offset = 5");
    let said = refused(&killed.data());
    // How much of what is not needed any more is still there depends on the moment of the kill.
    assert!(
        said.contains("is damaged: the journal holds ") && said.contains(" pieces, the counts say "),
        "{said}"
    );
    killed.put_back(&files);
    killed.is_whole();
}

#[test]
fn a_state_that_cannot_be_read_sets_its_model_aside_and_no_other() {
    let killed = Killed::new("state");
    let files = killed.files();
    for (damage, reason) in [
        (
            "UPDATE snapshot SET state = zeroblob(length(state))",
            "the snapshot of model a is damaged: its sum is",
        ),
        ("UPDATE model SET form = 7", "its snapshot has form 7, this release reads up to form 1"),
    ] {
        killed.put_back(&files);
        sql(&killed.store(), damage);
        let server = start(&killed.data());
        publish(&server, "a", 1);
        publish(&server, "b", 1);
        shows(&server, "b", 4);
        assert_eq!(body(&server.ask("GET /v1/models/a", ""))["phase"], "quarantined");
        let ready = server.ask("GET /readyz", "");
        assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
        let warning = body(&ready)["warning"].as_str().unwrap().to_owned();
        assert!(
            warning.contains("models set aside: 1, the first of them a") && warning.contains(reason),
            "{warning}"
        );
        server.signal("TERM");
        let (said, status) = server.rest();
        assert!(status == 4 && said.contains("warning: the state of a is not saved"), "{status}: {said}");

        // Once it is put right it has all that came meanwhile.
        let right = rusqlite::Connection::open(killed.store()).unwrap();
        let known = folder("known");
        let copy = known.join("known.db");
        killed_copy(&files, &copy);
        right.execute("ATTACH ?1 AS known", [copy.to_str().unwrap()]).unwrap();
        right.execute_batch(
            "UPDATE snapshot SET state = (SELECT s.state FROM known.snapshot s JOIN known.model k ON k.id = s.model_id \
             WHERE k.name = 'a') WHERE model_id = (SELECT id FROM model WHERE name = 'a'); UPDATE model SET form = 1;",
        ).unwrap();
        drop(right);
        let server = start(&killed.data());
        shows(&server, "a", 6);
        shows(&server, "b", 4);
        server.end();
        fs::remove_dir_all(known).unwrap();
    }

    // Or somebody decides that it begins anew.
    killed.put_back(&files);
    sql(&killed.store(), "UPDATE snapshot SET state = zeroblob(length(state))");
    let server = start(&killed.data());
    publish(&server, "a", 1);
    assert!(server.ask("POST /v1/models/a/reset", "").starts_with("HTTP/1.1 200 "));
    publish(&server, "a", 2);
    shows(&server, "a", 2);
    while body(&server.ask("GET /readyz", "")).get("warning").is_some() {}
    server.end();
}

/// Writes the store of some files, with its log, to another place.
fn killed_copy(files: &[(PathBuf, Vec<u8>)], to: &Path) {
    for (path, bytes) in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        if let Some(ending) = name.strip_prefix("visu-tility.db") {
            fs::write(format!("{}{ending}", to.display()), bytes).unwrap();
        }
    }
}

#[test]
fn a_store_that_is_removed_while_it_is_open_acknowledges_nothing_more() {
    let killed = Killed::new("moved");
    for name in ["visu-tility.db", "visu-tility.db-wal", "visu-tility.db.lock"] {
        let server = start(&killed.data());
        let (file, aside) = (killed.data().join(name), killed.0.join("aside"));
        fs::rename(&file, &aside).unwrap();
        let answer = server.ask("POST /v1/events", &event("c", 0.1));
        assert!(answer.starts_with("HTTP/1.1 503 "), "{name}: {answer}");
        assert!(
            answer.contains("was removed, moved or replaced while the store was open"),
            "{name}: {answer}"
        );
        // Only a restart helps.
        assert!(
            answer.contains("retry-after: 30\r\n") && answer.contains(r#""retry":false"#),
            "{name}: {answer}"
        );
        let ready = server.ask("GET /readyz", "");
        assert!(ready.starts_with("HTTP/1.1 503 "), "{name}: {ready}");
        server.signal("TERM");
        let (said, status) = server.rest();
        assert_eq!(status, 4, "{name}: {said}");
        fs::rename(&aside, &file).unwrap();
        let server = start(&killed.data());
        shows(&server, "a", 5);
        shows(&server, "b", 3);
        server.end();
    }
}

#[test]
fn a_copy_that_is_made_under_load_is_the_exact_state_of_one_moment() {
    let folder = folder("copy");
    let server = start(&folder.join("data"));
    let mut acknowledged = 0;
    for round in 0..6 {
        let copy = folder.join(format!("copy-{round}.db"));
        let before = acknowledged;
        let mut copying = command()
            .arg("backup")
            .arg(folder.join("data"))
            .arg(&copy)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while copying.try_wait().unwrap().is_none() {
            publish(&server, ["a", "b", "c"][acknowledged % 3], 50);
            acknowledged += 50;
        }
        assert!(copying.wait().unwrap().success());
        let restored = folder.join(format!("restored-{round}"));
        fs::create_dir_all(&restored).unwrap();
        fs::rename(&copy, restored.join("visu-tility.db")).unwrap();
        let mut reader = SqliteStore::open_reader(restored.join("visu-tility.db")).unwrap();
        let events = reader.summary().unwrap().next_offset;
        assert!(
            events >= before as u64 && events <= acknowledged as u64,
            "{before} <= {events} <= {acknowledged}"
        );
        drop(reader);
        // Each model has what the copy's moment says, as if the server had stopped there.
        let again = start(&restored);
        let taken = |model: &&str| {
            body(&again.ask(&format!("GET /v1/models/{model}"), ""))["monitor"]["taken"].as_u64()
        };
        let mut tries = 0;
        while ["a", "b", "c"].iter().filter_map(taken).sum::<u64>() != events {
            tries += 1;
            assert!(tries < 2_000, "the copy is of offset {events}");
        }
        again.end();
    }
    server.end();
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_copy_beside_the_log_of_another_store_is_refused_and_restored_where_nothing_is() {
    let folder = folder("restored");
    let (data, copy) = (folder.join("data"), folder.join("copy.db"));
    let mut server = start(&data);
    publish(&server, "a", 3);
    let copied = run(&["backup", data.to_str().unwrap(), copy.to_str().unwrap()]);
    assert!(copied.status.success(), "{copied:?}");
    publish(&server, "a", 4);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    // As somebody does who does not know of the log, which is still there with commits behind the copy.
    let store = data.join("visu-tility.db");
    let crashed = fs::read(&store).unwrap();
    fs::copy(&copy, &store).unwrap();
    let log = fs::read(wal(&store)).unwrap();
    let said = refused(&data);
    assert!(
        said.contains("beside it is another store's") && said.contains("move all four files away"),
        "{said}"
    );
    let shown = run(&["inspect", data.to_str().unwrap()]);
    let said = String::from_utf8(shown.stderr).unwrap();
    assert!(shown.status.code() == Some(2) && said.contains("another store's"), "{said}");
    assert!(fs::read(&store).unwrap() == fs::read(&copy).unwrap() && fs::read(wal(&store)).unwrap() == log);
    let words = ["restore", copy.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
    assert_eq!(run(&words).status.code(), Some(2), "what is there is not written over");
    // Put back it is what it was.
    fs::write(&store, crashed).unwrap();
    let server = start(&data);
    shows(&server, "a", 7);
    server.end();
    // An older store in the place of a later one is noticed too, and a lock alone is in nobody's way.
    fs::copy(&copy, &store).unwrap();
    let said = refused(&data);
    assert!(said.contains("were acknowledged"), "{said}");
    fs::remove_file(&store).unwrap();
    assert!(run(&words).status.success());
    let server = start(&data);
    shows(&server, "a", 3);
    publish(&server, "a", 1);
    shows(&server, "a", 4);
    server.end();
    // What is damaged is no copy.
    flip(&copy, "journal");
    let other = folder.join("other");
    let words = ["restore", copy.to_str().unwrap(), "--data-dir", other.to_str().unwrap()];
    let said = String::from_utf8(run(&words).stderr).unwrap();
    assert!(said.contains("is damaged") && !other.join("visu-tility.db").exists(), "{said}");
    fs::remove_dir_all(&folder).unwrap();
}
