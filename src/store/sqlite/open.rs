//! What is asked of a file before anything is written to it, and how a store is begun.

use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use visu_tility_core::store::{Opened, StoreError, StoreLimits};

use super::lock::Lock;
use super::place::Place;
use super::schema::{APPLICATION_ID, MIGRATIONS, Tally, VERSION};
use super::{SqliteStore, fault, place};

/// How long a connection waits for one that does not keep to the lock, such as a shell.
const BUSY: Duration = Duration::from_secs(5);

/// The tables that are checked in a large file; the states, which have sums of their own, are left out.
const CHECKED: [&str; 7] = ["tally", "journal", "model", "outbox", "dead_letter", "plan", "value"];

pub(super) fn open(path: &Path, limits: StoreLimits) -> Result<(SqliteStore, Opened), StoreError> {
    let (mut lock, witness) = Lock::take(path)?;
    if path.exists() {
        // SQLite would open it for reading alone, and say so only at the first commit.
        let writable = OpenOptions::new().read(true).write(true).open(path);
        writable.map_err(|error| fault::of_file("open", path, &error))?;
    } else {
        missing(path, witness.commits, 0)?;
    }
    place::refuse_foreign_log(path)?;
    let failed = |doing: &'static str| move |error: rusqlite::Error| fault::of(doing, path, &error);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed("open the store"))?;
    prepare(&connection).map_err(failed("open the store"))?;
    // Whoever is refused below leaves all files as they are: closing would move the log into the store.
    let leave_log = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
    connection.set_db_config(leave_log, true).map_err(failed("open the store"))?;
    let found = version(&connection, path)?;
    missing(
        path,
        witness.commits,
        if found == 0 { 0 } else { commits(&connection).map_err(failed("read"))? },
    )?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed("start the write-ahead log"))?;
    migrate(&mut connection, found).map_err(failed("bring the store up to this release"))?;
    let mut tally = Tally::read(&connection).map_err(failed("read the counts"))?;
    if !tally.clean {
        check(&connection, path, SqliteStore::CHECK_BYTES_MAX)?;
        count_pieces(&connection, path, &tally)?;
    }
    let opened = Opened { new: found == 0, clean: tally.clean };
    connection.execute_batch("UPDATE tally SET clean = 0").map_err(failed("write"))?;
    tally.clean = false;
    connection.set_db_config(leave_log, false).map_err(failed("open the store"))?;
    lock.witness(tally.commits);
    let place = Place::of(path);
    Ok((SqliteStore { connection, path: path.into(), limits, tally, place, lock }, opened))
}

/// Sets what is set for every connection, writers and readers.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    // Nothing of this writes to the file. Sizes of cells are checked so that a damaged page is an error, not nonsense.
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; \
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384; PRAGMA journal_size_limit = 67108864;",
    )
}

/// The form of the store; 0 when the file is empty.
pub(super) fn version(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let failed = |error: rusqlite::Error| fault::of("read the store's form", path, &error);
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failed);
    let application = number("PRAGMA application_id")?;
    if application == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 {
        return Ok(0);
    }
    if application != APPLICATION_ID {
        let detail = format!("a database of another program (application id {application:#x})");
        return Err(StoreError::Foreign { path: path.into(), detail });
    }
    let found = number("SELECT coalesce(max(version), 0) FROM schema_version")?;
    match u32::try_from(found) {
        Ok(found) if (1..=VERSION).contains(&found) => Ok(found),
        Ok(found) if found > VERSION => Err(StoreError::Newer { found, known: VERSION }),
        _ => Err(StoreError::corrupt(path.display().to_string(), &format!("form {found}"))),
    }
}

fn commits(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .query_row("SELECT commits FROM tally", [], |row| row.get::<_, i64>(0))
        .map(|count| count.max(0) as u64)
}

/// Holds what the store has against what was acknowledged.
fn missing(path: &Path, acknowledged: u64, found: u64) -> Result<(), StoreError> {
    if found >= acknowledged {
        return Ok(());
    }
    let lock = Lock::path_of(path);
    let detail = format!(
        "it holds {found} commits and {acknowledged} were acknowledged: its write-ahead log was cut or removed, or an \
         older file was put in its place; to go on with what is there, remove `{}`",
        lock.display()
    );
    Err(StoreError::corrupt(path.display().to_string(), &detail))
}

/// Brings the store to the newest form, in one transaction.
fn migrate(connection: &mut Connection, found: u32) -> rusqlite::Result<()> {
    if found == VERSION {
        return Ok(());
    }
    let steps = MIGRATIONS.iter().zip(1_u32..).skip(found as usize);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (sql, version) in steps {
        transaction.execute_batch(sql)?;
        transaction.execute(
            "INSERT INTO schema_version (version, release) VALUES (?1, ?2)",
            (version, env!("CARGO_PKG_VERSION")),
        )?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// Looks the file over after an unclean stop; of one with more bytes than `whole_max`, all but the states.
pub(super) fn check(connection: &Connection, path: &Path, whole_max: u64) -> Result<(), StoreError> {
    let large = path.metadata().is_ok_and(|file| file.len() > whole_max);
    let questions: Vec<String> = if large {
        CHECKED.iter().map(|table| format!("PRAGMA quick_check({table})")).collect()
    } else {
        vec!["PRAGMA quick_check(1)".to_owned()]
    };
    for question in questions {
        let answer = connection
            .query_row(&question, [], |row| row.get::<_, String>(0))
            .map_err(|error| fault::of("check the store", path, &error))?;
        if answer != "ok" {
            return Err(StoreError::corrupt(path.display().to_string(), answer.trim()));
        }
    }
    Ok(())
}

/// Holds the journal against its count: where rows are missing at its end, no gap shows it.
pub(super) fn count_pieces(connection: &Connection, path: &Path, tally: &Tally) -> Result<(), StoreError> {
    let found: i64 = connection
        .query_row("SELECT count(*) FROM journal", [], |row| row.get(0))
        .map_err(|error| fault::of("count the journal", path, &error))?;
    if u64::try_from(found) == Ok(tally.journal_pieces) {
        return Ok(());
    }
    let detail = format!("the journal holds {found} pieces, the counts say {}", tally.journal_pieces);
    Err(StoreError::corrupt(path.display().to_string(), &detail))
}
