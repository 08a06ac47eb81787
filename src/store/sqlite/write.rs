//! A commit as one transaction.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use visu_tility_core::ModelId;
use visu_tility_core::store::{
    Commit, Committed, LetterEntry, ModelChange, OutboxEntry, Posted, Refusal, Settlement, StoreError,
    StoreLimits, StoredPhase, checksum,
};

use super::fault;
use super::schema::Tally;

/// What a step came to: an error of SQLite, or one that the contract asks for.
enum Stop {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Makes all of a commit durable and answers the counts after it; or changes nothing.
pub(super) fn commit(
    connection: &mut Connection,
    path: &Path,
    tally: Tally,
    commit: &Commit,
    limits: &StoreLimits,
) -> Result<(Committed, Tally), StoreError> {
    let next_offset = commit.check(tally.next_offset)?;
    run(connection, Tally { next_offset, ..tally }, commit, limits).map_err(|stop| match stop {
        Stop::Store(error) => error,
        Stop::Sqlite(error) => fault::of("commit", path, &error),
    })
}

fn run(
    connection: &mut Connection,
    mut tally: Tally,
    commit: &Commit,
    limits: &StoreLimits,
) -> Result<(Committed, Tally), Stop> {
    // Rolled back where it is dropped without having been committed.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    change_models(&transaction, &commit.models, &mut tally)?;
    append(&transaction, commit, &mut tally)?;
    if let Some(below) = commit.truncate_below {
        truncate(&transaction, below, &mut tally)?;
    }
    if !commit.journal.is_empty() {
        limits.admit_journal(tally.journal_bytes)?;
    }
    let posted = post(&transaction, &commit.outbox, &mut tally)?;
    settle(&transaction, &commit.settled, &mut tally)?;
    if posted.iter().any(|posted| matches!(posted, Posted::New(_))) {
        limits.admit_outbox(tally.outbox_waiting)?;
    }
    bury(&transaction, &commit.letters, limits, &mut tally)?;
    if commit.truncate_below.is_some() {
        forget(&transaction, limits, &mut tally)?;
    }
    keep_words(&transaction, commit)?;
    tally.commits += 1;
    tally.write(&transaction)?;
    transaction.commit()?;
    Ok((Committed { next_offset: tally.next_offset, posted }, tally))
}

fn append(transaction: &Transaction<'_>, commit: &Commit, tally: &mut Tally) -> Result<(), Stop> {
    let mut insert = None;
    for piece in &commit.journal {
        let insert = match &mut insert {
            Some(insert) => insert,
            None => insert.insert(transaction.prepare(
                "INSERT INTO journal (first_offset, entries, bytes, piece) VALUES (?1, ?2, ?3, ?4)",
            )?),
        };
        let bytes = piece.bytes.len();
        insert.execute(params![int(piece.first_offset), piece.entries, int(bytes as u64), piece.bytes])?;
        tally.journal_bytes += bytes as u64;
        tally.journal_pieces += 1;
    }
    Ok(())
}

/// Removes the pieces that lie below an offset whole.
fn truncate(transaction: &Transaction<'_>, below: u64, tally: &mut Tally) -> Result<(), Stop> {
    let gone = "FROM journal WHERE first_offset < ?1 AND first_offset + entries <= ?1";
    let (pieces, bytes): (i64, i64) = transaction.query_row(
        &format!("SELECT count(*), coalesce(sum(bytes), 0) {gone}"),
        [int(below)],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if pieces > 0 {
        transaction.execute(&format!("DELETE {gone}"), [int(below)])?;
        tally.journal_pieces = tally.journal_pieces.saturating_sub(pieces as u64);
        tally.journal_bytes = tally.journal_bytes.saturating_sub(bytes as u64);
    }
    Ok(())
}

/// What is known of a model before it is changed.
struct Known {
    id: i64,
    next_offset: u64,
    live: bool,
    bytes: u64,
}

fn change_models(
    transaction: &Transaction<'_>,
    changes: &[ModelChange],
    tally: &mut Tally,
) -> Result<(), Stop> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut find = transaction.prepare("SELECT id, next_offset, phase, bytes FROM model WHERE name = ?1")?;
    let mut insert = transaction.prepare(
        "INSERT INTO model (name, next_offset, phase, due_us, plan, form, bytes, sum) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let mut update = transaction.prepare(
        "UPDATE model SET next_offset = ?2, phase = ?3, due_us = ?4, plan = ?5, form = ?6, bytes = ?7, sum = ?8 \
         WHERE id = ?1",
    )?;
    let mut state_in =
        transaction.prepare("INSERT OR REPLACE INTO snapshot (model_id, state) VALUES (?1, ?2)")?;
    let mut state_out = transaction.prepare("DELETE FROM snapshot WHERE model_id = ?1")?;
    for change in changes {
        let name = change.model().as_str();
        let known = find
            .query_row([name], |row| {
                Ok(Known {
                    id: row.get(0)?,
                    next_offset: row.get::<_, i64>(1)? as u64,
                    live: row.get_ref(2)?.as_str()? != StoredPhase::Forgotten.as_str(),
                    bytes: row.get::<_, i64>(3)? as u64,
                })
            })
            .optional()?;
        if let Some(known) = &known {
            forward(change, known.next_offset)?;
            tally.models -= u64::from(known.live);
            tally.snapshot_bytes = tally.snapshot_bytes.saturating_sub(known.bytes);
        }
        let next_offset = int(change.next_offset());
        let (phase, due, plan, form, state) = match change {
            ModelChange::Keep(kept) => (kept.phase, kept.due, kept.plan, kept.form, Some(&kept.state)),
            ModelChange::Forget { .. } => (StoredPhase::Forgotten, None, 0, 0, None),
        };
        let due = due.map(visu_tility_core::Timestamp::micros);
        let bytes = state.map_or(0, Vec::len) as u64;
        let sum = state.map_or(0, |state| checksum(state)) as i64;
        let (phase, plan, bytes_kept) = (phase.as_str(), plan as i64, int(bytes));
        let id = if let Some(known) = known {
            update.execute(params![known.id, next_offset, phase, due, plan, form, bytes_kept, sum])?;
            known.id
        } else {
            insert.insert(params![name, next_offset, phase, due, plan, form, bytes_kept, sum])?
        };
        if let Some(state) = state {
            state_in.execute(params![id, state])?;
        } else {
            state_out.execute([id])?;
        }
        tally.models += u64::from(state.is_some());
        tally.snapshot_bytes += bytes;
    }
    Ok(())
}

/// Refuses a model that would go back.
fn forward(change: &ModelChange, kept: u64) -> Result<(), StoreError> {
    let (model, found): (&ModelId, u64) = (change.model(), change.next_offset());
    if found >= kept { Ok(()) } else { Err(Refusal::Backward { model: model.clone(), kept, found }.into()) }
}

fn post(
    transaction: &Transaction<'_>,
    entries: &[OutboxEntry],
    tally: &mut Tally,
) -> Result<Vec<Posted>, Stop> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut insert = transaction.prepare(
        "INSERT INTO outbox (number, model, event_offset, observer, ordinal, cause, topic, at_us, body) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
         ON CONFLICT (model, event_offset, observer, ordinal) DO NOTHING",
    )?;
    let mut find = transaction.prepare(
        "SELECT number FROM outbox WHERE model = ?1 AND event_offset = ?2 AND observer = ?3 AND ordinal = ?4",
    )?;
    let mut posted = Vec::with_capacity(entries.len());
    for entry in entries {
        let (model, offset) = (entry.id.model_id.as_str(), entry.id.offset as i64);
        let (observer, ordinal) = (&*entry.id.observer, entry.id.ordinal);
        let number = tally.outbox_posted + 1;
        let (topic, at) = (entry.topic.as_str(), entry.at.micros());
        let cause = int(entry.cause);
        let row = params![int(number), model, offset, observer, ordinal, cause, topic, at, entry.body];
        if insert.execute(row)? == 1 {
            tally.outbox_posted = number;
            tally.outbox_waiting += 1;
            posted.push(Posted::New(number));
        } else {
            let known: i64 = find.query_row(params![model, offset, observer, ordinal], |row| row.get(0))?;
            posted.push(Posted::Known(known as u64));
        }
    }
    Ok(posted)
}

fn settle(transaction: &Transaction<'_>, settled: &[Settlement], tally: &mut Tally) -> Result<(), Stop> {
    if settled.is_empty() {
        return Ok(());
    }
    let mut update = transaction
        .prepare("UPDATE outbox SET verdict = ?2, settled_us = ?3 WHERE number = ?1 AND verdict IS NULL")?;
    for Settlement { number, verdict, at } in settled {
        let changed = update.execute(params![int(*number), verdict.as_str(), at.micros()])? as u64;
        tally.outbox_waiting -= changed;
        tally.outbox_settled += changed;
    }
    Ok(())
}

fn bury(
    transaction: &Transaction<'_>,
    letters: &[LetterEntry],
    limits: &StoreLimits,
    tally: &mut Tally,
) -> Result<(), Stop> {
    if !letters.is_empty() {
        let mut insert = transaction.prepare(
            "INSERT INTO dead_letter (number, model, event_offset, observer, at_us, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )?;
        for letter in letters {
            let (number, offset) = (int(tally.dead_letters_total + 1), letter.offset.map(int));
            let (model, at) = (letter.model.as_str(), letter.at.micros());
            let new =
                insert.execute(params![number, model, offset, letter.observer, at, letter.body])? as u64;
            tally.dead_letters_total += new;
            tally.dead_letters += new;
        }
    }
    let surplus = tally.dead_letters.saturating_sub(limits.dead_letters_max);
    if surplus > 0 {
        transaction.execute(
            "DELETE FROM dead_letter WHERE number IN (SELECT number FROM dead_letter ORDER BY number LIMIT ?1)",
            [int(surplus)],
        )?;
        tally.dead_letters -= surplus;
    }
    Ok(())
}

/// Removes what only the part of the journal that is gone could have brought back.
fn forget(transaction: &Transaction<'_>, limits: &StoreLimits, tally: &mut Tally) -> Result<(), Stop> {
    let first: Option<i64> =
        transaction.query_row("SELECT min(first_offset) FROM journal", [], |row| row.get(0))?;
    let first = first.unwrap_or(int(tally.next_offset));
    transaction.execute("DELETE FROM model WHERE phase = 'forgotten' AND next_offset <= ?1", [first])?;
    if tally.outbox_settled <= limits.outbox_history_max {
        return Ok(());
    }
    let gone = transaction.execute(
        "DELETE FROM outbox WHERE verdict IS NOT NULL AND cause < ?1 AND number NOT IN (SELECT number FROM outbox \
         WHERE verdict IS NOT NULL AND cause < ?1 ORDER BY number DESC LIMIT ?2)",
        [first, int(limits.outbox_history_max)],
    )?;
    tally.outbox_settled = tally.outbox_settled.saturating_sub(gone as u64);
    Ok(())
}

/// Plans and named values.
fn keep_words(transaction: &Transaction<'_>, commit: &Commit) -> Result<(), Stop> {
    for plan in &commit.plans {
        transaction.execute(
            "INSERT INTO plan (fingerprint, text) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            params![plan.fingerprint as i64, plan.text],
        )?;
    }
    for fingerprint in &commit.dropped_plans {
        transaction.execute("DELETE FROM plan WHERE fingerprint = ?1", [*fingerprint as i64])?;
    }
    for (name, value) in &commit.values {
        match value {
            Some(value) => transaction.execute(
                "INSERT INTO value (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
                params![name, value],
            )?,
            None => transaction.execute("DELETE FROM value WHERE name = ?1", [name])?,
        };
    }
    Ok(())
}

/// SQLite's numbers are signed; offsets and counts stay below 2^63, and what is asked for beyond is not there.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
