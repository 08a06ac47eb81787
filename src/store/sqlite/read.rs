//! Readers on connections of their own, and the copy.

use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, ToSql};
use visu_tility_core::store::{
    JournalPiece, LetterEntry, OutboxEntry, OutboxQuery, OutboxTopic, Snapshot, StoreError, StoreReader,
    StoreSummary, StoredAction, StoredLetter, StoredModel, StoredPhase, Verdict, checksum,
};
use visu_tility_core::{ActionId, ModelId, Timestamp};

use super::schema::Tally;
use super::{fault, open, place};

/// Reads a store.
pub(super) struct SqliteReader {
    connection: Connection,
    path: PathBuf,
}

const MODEL: &str = "SELECT name, next_offset, phase, due_us, plan, form, bytes FROM model";

impl SqliteReader {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |error: rusqlite::Error| fault::of("open the store for reading", path, &error);
        if !path.exists() {
            return Err(StoreError::io(format!("open `{}`", path.display()), "there is no such file"));
        }
        place::refuse_foreign_log(path)?;
        let connection = match connect(path, false) {
            // Where nothing may be written beside it, it can be read as long as no log is left beside it.
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::CannotOpen)
                    && place::log_of(path).is_none() =>
            {
                connect(path, true).map_err(failed)?
            }
            connected => connected.map_err(failed)?,
        };
        if open::version(&connection, path)? == 0 {
            return Err(StoreError::Foreign { path: path.into(), detail: "an empty file".to_owned() });
        }
        Ok(Self { connection, path: path.into() })
    }

    fn failed(&self, error: &rusqlite::Error) -> StoreError {
        fault::of("read the store", &self.path, error)
    }

    /// Rows of a query, each read by `read`.
    fn rows<T>(
        &self,
        sql: &str,
        parameters: &[&dyn ToSql],
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = || {
            self.connection.prepare(sql)?.query_map(parameters, read)?.collect::<rusqlite::Result<Vec<T>>>()
        };
        rows().map_err(|error| self.failed(&error))
    }

    /// The first row of a query.
    fn row<T>(
        &self,
        sql: &str,
        parameters: &[&dyn ToSql],
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let row = self.connection.query_row(sql, parameters, read).optional();
        row.map_err(|error| self.failed(&error))
    }
}

impl StoreReader for SqliteReader {
    fn summary(&mut self) -> Result<StoreSummary, StoreError> {
        self.counts()
    }

    fn snapshot(&mut self, model: &ModelId) -> Result<Option<Snapshot>, StoreError> {
        let sql = "SELECT name, next_offset, phase, due_us, plan, form, bytes, sum, state \
             FROM model JOIN snapshot ON model_id = id WHERE name = ?1";
        let read = |row: &Row<'_>| {
            let known = model_of(row)?;
            Ok((known, row.get::<_, i64>(7)? as u64, row.get::<_, Vec<u8>>(8)?))
        };
        let Some((known, expected, state)) = self.row(sql, &[&model.as_str()], read)? else {
            return Ok(None);
        };
        let found = checksum(&state);
        if found != expected {
            let detail = format!("its sum is {found:016x}, it should be {expected:016x}");
            return Err(StoreError::corrupt(format!("the snapshot of model {model}"), &detail));
        }
        let StoredModel { model, next_offset, phase, due, plan, form, .. } = known;
        Ok(Some(Snapshot { model, next_offset, phase, due, plan, form, state }))
    }

    fn model(&mut self, model: &ModelId) -> Result<Option<StoredModel>, StoreError> {
        self.row(&format!("{MODEL} WHERE name = ?1"), &[&model.as_str()], model_of)
    }

    fn models(&mut self, after: Option<&ModelId>, limit: usize) -> Result<Vec<StoredModel>, StoreError> {
        let sql = format!("{MODEL} WHERE name > ?1 AND phase <> 'forgotten' ORDER BY name LIMIT ?2");
        self.rows(&sql, &[&after.map_or("", ModelId::as_str), &page(limit)], model_of)
    }

    fn due(
        &mut self,
        before: Timestamp,
        after: Option<(Timestamp, &ModelId)>,
        limit: usize,
    ) -> Result<Vec<StoredModel>, StoreError> {
        let (due, name) = after.map_or((i64::MIN, ""), |(due, model)| (due.micros(), model.as_str()));
        let sql = format!(
            "{MODEL} WHERE due_us IS NOT NULL AND due_us < ?1 AND (due_us, name) > (?2, ?3) ORDER BY due_us, name LIMIT ?4"
        );
        self.rows(&sql, &[&before.micros(), &due, &name, &page(limit)], model_of)
    }

    fn journal(&mut self, from: u64, bytes_max: usize) -> Result<Vec<JournalPiece>, StoreError> {
        // One transaction, so that the bounds are those of what is read.
        let transaction = self.connection.unchecked_transaction().map_err(|error| self.failed(&error))?;
        let summary = self.counts()?;
        let mut pieces: Vec<JournalPiece> = Vec::new();
        let wanted = from.max(summary.first_offset);
        let mut expected = wanted;
        let mut read = || {
            let mut statement = self.connection.prepare(
                "SELECT first_offset, entries, piece FROM journal WHERE first_offset >= coalesce((SELECT \
                 max(first_offset) FROM journal WHERE first_offset <= ?1), ?1) ORDER BY first_offset",
            )?;
            let mut rows = statement.query([int(from)])?;
            let mut bytes = 0_usize;
            while expected < summary.next_offset {
                let Some(row) = rows.next()? else { return Ok(()) };
                let entries: u32 = row.get(1)?;
                let piece = JournalPiece { first_offset: unsigned(row, 0)?, entries, bytes: row.get(2)? };
                bytes = bytes.saturating_add(piece.bytes.len());
                let begins = if pieces.is_empty() {
                    piece.first_offset <= wanted
                } else {
                    piece.first_offset == expected
                };
                if !begins || piece.end() <= expected {
                    return Ok(());
                }
                if !pieces.is_empty() && bytes > bytes_max {
                    expected = summary.next_offset;
                    return Ok(());
                }
                expected = piece.end();
                pieces.push(piece);
            }
            Ok(())
        };
        read().map_err(|error| self.failed(&error))?;
        drop(transaction);
        if expected < summary.next_offset {
            return Err(StoreError::corrupt(
                format!("the journal at offset {expected}"),
                "the piece there is missing",
            ));
        }
        Ok(pieces)
    }

    fn outbox(&mut self, query: &OutboxQuery) -> Result<Vec<StoredAction>, StoreError> {
        let waiting = if query.waiting { "AND verdict IS NULL" } else { "" };
        let of_model = if query.model.is_some() { "AND model = ?3" } else { "AND ?3 = ''" };
        let of_topic = if query.topic.is_some() { "AND topic = ?4" } else { "AND ?4 = ''" };
        let sql = format!(
            "SELECT number, model, event_offset, observer, ordinal, cause, topic, at_us, body, verdict, settled_us \
             FROM outbox WHERE number > ?1 {waiting} {of_model} {of_topic} ORDER BY number LIMIT ?2"
        );
        let model = query.model.as_ref().map_or("", ModelId::as_str);
        let topic = query.topic.map_or("", OutboxTopic::as_str);
        self.rows(&sql, &[&int(query.after), &page(query.limit), &model, &topic], action_of)
    }

    fn dead_letters(&mut self, after: u64, limit: usize) -> Result<Vec<StoredLetter>, StoreError> {
        let sql = "SELECT number, model, event_offset, observer, at_us, body FROM dead_letter \
             WHERE number > ?1 ORDER BY number LIMIT ?2";
        self.rows(sql, &[&int(after), &page(limit)], |row| {
            let entry = LetterEntry {
                model: name(row, 1)?,
                offset: row.get::<_, Option<i64>>(2)?.map(|offset| offset as u64),
                observer: row.get(3)?,
                at: Timestamp::from_micros(row.get(4)?),
                body: row.get(5)?,
            };
            Ok(StoredLetter { number: unsigned(row, 0)?, entry })
        })
    }

    fn plan(&mut self, fingerprint: u64) -> Result<Option<String>, StoreError> {
        self.row("SELECT text FROM plan WHERE fingerprint = ?1", &[&(fingerprint as i64)], |row| row.get(0))
    }

    fn plans(&mut self) -> Result<Vec<u64>, StoreError> {
        // Numbers from 2^63 on are kept as negative ones.
        let sql = "SELECT fingerprint FROM plan ORDER BY fingerprint < 0, fingerprint";
        self.rows(sql, &[], |row| Ok(row.get::<_, i64>(0)? as u64))
    }

    fn value(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.row("SELECT value FROM value WHERE name = ?1", &[&name], |row| row.get(0))
    }

    fn backup(&mut self, to: &Path) -> Result<(), StoreError> {
        if to.exists() {
            return Err(StoreError::io(format!("copy to `{}`", to.display()), "something is there already"));
        }
        let partial = place::beside(to, ".partial");
        let copied = self.copy(&partial).and_then(|()| {
            std::fs::rename(&partial, to).map_err(|error| fault::of_file("rename to", to, &error))?;
            sync_folder(to)
        });
        if copied.is_err() {
            // What cannot be removed either is named by the error that led here.
            let _removed = std::fs::remove_file(&partial);
        }
        copied
    }
}

impl SqliteReader {
    fn counts(&self) -> Result<StoreSummary, StoreError> {
        let read = |row: &Row<'_>| Ok(Tally::of(row)?.summary(unsigned(row, 12)?));
        let summary = self.row(Tally::SELECT, &[], read)?;
        summary
            .ok_or_else(|| StoreError::corrupt(self.path.display().to_string(), "the table `tally` is empty"))
    }

    /// Looks the whole store over, as after an unclean stop.
    pub(super) fn check(&self) -> Result<Tally, StoreError> {
        open::check(&self.connection, &self.path, u64::MAX)?;
        let tally = Tally::read(&self.connection).map_err(|error| self.failed(&error))?;
        open::count_pieces(&self.connection, &self.path, &tally)?;
        Ok(tally)
    }

    /// Copies every page as of one moment; the writer goes on.
    fn copy(&self, to: &Path) -> Result<(), StoreError> {
        let failed = |error: rusqlite::Error| fault::of("copy the store", to, &error);
        let mut target = Connection::open(to).map_err(failed)?;
        open::prepare(&target).map_err(failed)?;
        {
            let backup = Backup::new(&self.connection, &mut target).map_err(failed)?;
            match backup.step(-1).map_err(failed)? {
                StepResult::Done => {}
                _ => return Err(StoreError::Locked { path: self.path.clone(), pid: None }),
            }
        }
        // The last says in its head that it has no log: one that lies beside it is then known to be another's.
        target.execute_batch("UPDATE tally SET clean = 0; PRAGMA journal_mode = DELETE").map_err(failed)?;
        target.close().map_err(|(_, error)| failed(error))
    }
}

/// Connects for reading; `immutable` tells SQLite that nobody writes, so that it needs no files beside the store.
fn connect(path: &Path, immutable: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match path.to_str().filter(|_| immutable) {
        Some(path) => {
            let path = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
            let name = format!("file:{path}?immutable=1");
            Connection::open_with_flags(name, flags | OpenFlags::SQLITE_OPEN_URI)?
        }
        None => Connection::open_with_flags(path, flags)?,
    };
    open::prepare(&connection)?;
    // The file itself is opened only now.
    connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
    Ok(connection)
}

/// Makes a new name in a folder outlast a loss of power, where the system can.
fn sync_folder(of: &Path) -> Result<(), StoreError> {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) {
        let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| fault::of_file("sync", folder, &error))?;
    }
    Ok(())
}

fn model_of(row: &Row<'_>) -> rusqlite::Result<StoredModel> {
    Ok(StoredModel {
        model: name(row, 0)?,
        next_offset: unsigned(row, 1)?,
        phase: word(row, 2, StoredPhase::parse)?,
        due: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_micros),
        plan: row.get::<_, i64>(4)? as u64,
        form: row.get(5)?,
        bytes: unsigned(row, 6)?,
    })
}

fn action_of(row: &Row<'_>) -> rusqlite::Result<StoredAction> {
    let id = ActionId {
        model_id: name(row, 1)?,
        offset: row.get::<_, i64>(2)? as u64,
        observer: row.get::<_, String>(3)?.into(),
        ordinal: row.get(4)?,
    };
    let entry = OutboxEntry {
        id,
        cause: unsigned(row, 5)?,
        topic: word(row, 6, OutboxTopic::parse)?,
        at: Timestamp::from_micros(row.get(7)?),
        body: row.get(8)?,
    };
    let settled = match row.get::<_, Option<i64>>(10)? {
        Some(at) => Some((word(row, 9, Verdict::parse)?, Timestamp::from_micros(at))),
        None => None,
    };
    Ok(StoredAction { number: unsigned(row, 0)?, entry, settled })
}

fn name(row: &Row<'_>, at: usize) -> rusqlite::Result<ModelId> {
    ModelId::new(row.get_ref(at)?.as_str()?).map_err(|error| unreadable(at, Type::Text, error))
}

fn word<T>(row: &Row<'_>, at: usize, parse: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
    let word = row.get_ref(at)?.as_str()?;
    parse(word).ok_or_else(|| {
        unreadable(at, Type::Text, FromSqlError::Other(format!("unknown word {word:?}").into()))
    })
}

fn unsigned(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(at)?;
    u64::try_from(number).map_err(|error| unreadable(at, Type::Integer, error))
}

fn unreadable(
    at: usize,
    kind: Type,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, kind, Box::new(error))
}

fn page(limit: usize) -> i64 {
    int(limit.max(1) as u64)
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
