//! The bytes of a commit on a disk in memory. They live no longer than the process, so they have no version.

use visu_tility_drift::codec::{DecodeError, Reader, put_bytes, put_i64, put_str, put_u32, put_u64};

use crate::action::ActionId;
use crate::id::ModelId;
use crate::time::Timestamp;

use super::super::commit::{
    Commit, JournalPiece, LetterEntry, ModelChange, OutboxEntry, OutboxTopic, PlanText, Settlement, Snapshot,
    StoredPhase, Verdict,
};

/// Appends the bytes of a commit.
pub(super) fn write(commit: &Commit, out: &mut Vec<u8>) {
    list(out, &commit.journal, |out, piece| {
        put_u64(out, piece.first_offset);
        put_u32(out, piece.entries);
        put_bytes(out, &piece.bytes);
    });
    list(out, &commit.plans, |out, plan| {
        put_u64(out, plan.fingerprint);
        put_str(out, &plan.text);
    });
    list(out, &commit.models, write_model);
    list(out, &commit.outbox, |out, entry| {
        put_str(out, entry.id.model_id.as_str());
        put_u64(out, entry.id.offset);
        put_str(out, &entry.id.observer);
        put_u32(out, entry.id.ordinal);
        put_u64(out, entry.cause);
        put_str(out, entry.topic.as_str());
        put_i64(out, entry.at.micros());
        put_str(out, &entry.body);
    });
    list(out, &commit.settled, |out, settlement| {
        put_u64(out, settlement.number);
        put_str(out, settlement.verdict.as_str());
        put_i64(out, settlement.at.micros());
    });
    list(out, &commit.letters, |out, letter| {
        put_str(out, letter.model.as_str());
        option(out, letter.offset);
        put_str(out, &letter.observer);
        put_i64(out, letter.at.micros());
        put_str(out, &letter.body);
    });
    list(out, &commit.dropped_plans, |out, fingerprint| put_u64(out, *fingerprint));
    option(out, commit.truncate_below);
    list(out, &commit.values, |out, (name, value)| {
        put_str(out, name);
        out.push(u8::from(value.is_some()));
        put_bytes(out, value.as_deref().unwrap_or_default());
    });
}

fn write_model(out: &mut Vec<u8>, change: &ModelChange) {
    put_str(out, change.model().as_str());
    put_u64(out, change.next_offset());
    match change {
        ModelChange::Forget { .. } => put_str(out, StoredPhase::Forgotten.as_str()),
        ModelChange::Keep(snapshot) => {
            put_str(out, snapshot.phase.as_str());
            option(out, snapshot.due.map(|due| due.micros() as u64));
            put_u64(out, snapshot.plan);
            put_u32(out, snapshot.form);
            put_bytes(out, &snapshot.state);
        }
    }
}

/// Reads what [`write`] wrote.
pub(super) fn read(bytes: &mut Reader<'_>) -> Result<Commit, DecodeError> {
    let commit = Commit {
        journal: read_list(bytes, |bytes| {
            let (first_offset, entries) = (bytes.u64()?, bytes.u32()?);
            Ok(JournalPiece { first_offset, entries, bytes: bytes.bytes()?.to_vec() })
        })?,
        plans: read_list(bytes, |bytes| {
            Ok(PlanText { fingerprint: bytes.u64()?, text: bytes.str("text")?.to_owned() })
        })?,
        models: read_list(bytes, read_model)?,
        outbox: read_list(bytes, read_entry)?,
        settled: read_list(bytes, |bytes| {
            let number = bytes.u64()?;
            let verdict = word("verdict", Verdict::parse(bytes.str("verdict")?))?;
            Ok(Settlement { number, verdict, at: time(bytes)? })
        })?,
        letters: read_list(bytes, |bytes| {
            let model = model(bytes)?;
            let offset = read_option(bytes)?;
            let observer = bytes.str("observer")?.to_owned();
            Ok(LetterEntry { model, offset, observer, at: time(bytes)?, body: bytes.str("body")?.to_owned() })
        })?,
        dropped_plans: read_list(bytes, Reader::u64)?,
        truncate_below: read_option(bytes)?,
        values: read_list(bytes, |bytes| {
            let name = bytes.str("name")?.to_owned();
            let there = bytes.u8()? == 1;
            let value = bytes.bytes()?.to_vec();
            Ok((name, there.then_some(value)))
        })?,
    };
    bytes.finish()?;
    Ok(commit)
}

fn read_model(bytes: &mut Reader<'_>) -> Result<ModelChange, DecodeError> {
    let (model, next_offset) = (model(bytes)?, bytes.u64()?);
    let phase = word("phase", StoredPhase::parse(bytes.str("phase")?))?;
    if phase == StoredPhase::Forgotten {
        return Ok(ModelChange::Forget { model, next_offset });
    }
    let due = read_option(bytes)?.map(|due| Timestamp::from_micros(due as i64));
    let (plan, form) = (bytes.u64()?, bytes.u32()?);
    let state = bytes.bytes()?.to_vec();
    Ok(ModelChange::Keep(Snapshot { model, next_offset, phase, due, plan, form, state }))
}

fn read_entry(bytes: &mut Reader<'_>) -> Result<OutboxEntry, DecodeError> {
    let (model_id, offset) = (model(bytes)?, bytes.u64()?);
    let (observer, ordinal) = (bytes.str("observer")?.into(), bytes.u32()?);
    let id = ActionId { model_id, offset, observer, ordinal };
    let cause = bytes.u64()?;
    let topic = word("topic", OutboxTopic::parse(bytes.str("topic")?))?;
    Ok(OutboxEntry { id, cause, topic, at: time(bytes)?, body: bytes.str("body")?.to_owned() })
}

fn list<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    put_u32(out, items.len() as u32);
    for item in items {
        write(out, item);
    }
}

fn read_list<'a, T>(
    bytes: &mut Reader<'a>,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    (0..bytes.u32()?).map(|_| read(bytes)).collect()
}

fn option(out: &mut Vec<u8>, value: Option<u64>) {
    out.push(u8::from(value.is_some()));
    put_u64(out, value.unwrap_or(0));
}

fn read_option(bytes: &mut Reader<'_>) -> Result<Option<u64>, DecodeError> {
    let there = bytes.u8()? == 1;
    let value = bytes.u64()?;
    Ok(there.then_some(value))
}

fn model(bytes: &mut Reader<'_>) -> Result<ModelId, DecodeError> {
    ModelId::new(bytes.str("model_id")?).map_err(|_| DecodeError::Range { field: "model_id" })
}

fn time(bytes: &mut Reader<'_>) -> Result<Timestamp, DecodeError> {
    bytes.i64().map(Timestamp::from_micros)
}

fn word<T>(field: &'static str, found: Option<T>) -> Result<T, DecodeError> {
    found.ok_or(DecodeError::Range { field })
}
