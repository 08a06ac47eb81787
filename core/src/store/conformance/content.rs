//! Reads a whole store by small pages, so that two can be compared.

use crate::store::commit::{JournalPiece, Snapshot};
use crate::store::record::{OutboxQuery, StoreSummary, StoredAction, StoredLetter, StoredModel};
use crate::store::{StoreError, StoreReader};
use crate::time::Timestamp;

use super::{Outcome, expect, works};

/// Pages are this small, so that their edges are met.
const PAGE: usize = 3;

/// Everything that a reader tells.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content {
    summary: StoreSummary,
    journal: Vec<JournalPiece>,
    models: Vec<StoredModel>,
    snapshots: Vec<Snapshot>,
    due: Vec<StoredModel>,
    outbox: Vec<StoredAction>,
    waiting: Vec<StoredAction>,
    letters: Vec<StoredLetter>,
    plans: Vec<(u64, String)>,
}

/// Reads it all.
pub(super) fn read(reader: &mut dyn StoreReader) -> Result<Content, String> {
    let summary = works("summary", reader.summary())?;
    let models = models(reader)?;
    let mut snapshots = Vec::new();
    for found in &models {
        let snapshot = works("snapshot", reader.snapshot(&found.model))?;
        let snapshot =
            snapshot.ok_or_else(|| format!("model {} is listed and has no snapshot", found.model))?;
        expect("the row of a model", found, &row(&snapshot))?;
        snapshots.push(snapshot);
    }
    let outbox = outbox(reader, false)?;
    let waiting = outbox_waiting(&outbox, reader)?;
    let mut plans = Vec::new();
    for fingerprint in works("plans", reader.plans())? {
        let text = works("plan", reader.plan(fingerprint))?.ok_or("a plan is listed and has no text")?;
        plans.push((fingerprint, text));
    }
    let (journal, due) = (journal(reader, summary)?, due(reader)?);
    let letters = letters(reader)?;
    let counted = [
        summary.models,
        summary.snapshot_bytes,
        summary.journal_pieces,
        summary.journal_bytes,
        summary.outbox_waiting,
        summary.outbox_settled,
        summary.dead_letters,
    ];
    let listed = [
        models.len() as u64,
        models.iter().map(|model| model.bytes).sum(),
        journal.len() as u64,
        journal.iter().map(|piece| piece.bytes.len() as u64).sum(),
        waiting.len() as u64,
        (outbox.len() - waiting.len()) as u64,
        letters.len() as u64,
    ];
    expect("the counts of the summary against what is listed", &counted, &listed)?;
    Ok(Content { summary, journal, models, snapshots, due, outbox, waiting, letters, plans })
}

/// Compares two stores, and says which part is not the same.
pub(super) fn same(found: &Content, wanted: &Content) -> Outcome {
    expect("the summary", &found.summary, &wanted.summary)?;
    expect("the journal", &found.journal, &wanted.journal)?;
    expect("the models", &found.models, &wanted.models)?;
    expect("the snapshots", &found.snapshots, &wanted.snapshots)?;
    expect("the due models", &found.due, &wanted.due)?;
    expect("the outbox", &found.outbox, &wanted.outbox)?;
    expect("what waits in the outbox", &found.waiting, &wanted.waiting)?;
    expect("the dead letters", &found.letters, &wanted.letters)?;
    expect("the plans", &found.plans, &wanted.plans)
}

fn row(snapshot: &Snapshot) -> StoredModel {
    StoredModel {
        model: snapshot.model.clone(),
        next_offset: snapshot.next_offset,
        phase: snapshot.phase,
        due: snapshot.due,
        plan: snapshot.plan,
        form: snapshot.form,
        bytes: snapshot.state.len() as u64,
    }
}

/// Follows pages until one is empty.
fn paged<T>(
    what: &str,
    mut next: impl FnMut(Option<&T>) -> Result<Vec<T>, StoreError>,
) -> Result<Vec<T>, String> {
    let mut all = Vec::new();
    loop {
        let page = works(what, next(all.last()))?;
        if page.is_empty() {
            return Ok(all);
        }
        if page.len() > PAGE {
            return Err(format!("{what}: a page of {} where {PAGE} were asked for", page.len()));
        }
        all.extend(page);
    }
}

fn models(reader: &mut dyn StoreReader) -> Result<Vec<StoredModel>, String> {
    paged("models", |last: Option<&StoredModel>| reader.models(last.map(|last| &last.model), PAGE))
}

fn due(reader: &mut dyn StoreReader) -> Result<Vec<StoredModel>, String> {
    let end = Timestamp::from_micros(i64::MAX);
    paged("due", |last: Option<&StoredModel>| {
        reader.due(end, last.and_then(|last| Some((last.due?, &last.model))), PAGE)
    })
}

fn letters(reader: &mut dyn StoreReader) -> Result<Vec<StoredLetter>, String> {
    paged("dead_letters", |last: Option<&StoredLetter>| {
        reader.dead_letters(last.map_or(0, |last| last.number), PAGE)
    })
}

fn outbox(reader: &mut dyn StoreReader, waiting: bool) -> Result<Vec<StoredAction>, String> {
    paged("outbox", |last: Option<&StoredAction>| {
        let after = last.map_or(0, |last| last.number);
        reader.outbox(&OutboxQuery { waiting, after, limit: PAGE, ..OutboxQuery::default() })
    })
}

fn outbox_waiting(all: &[StoredAction], reader: &mut dyn StoreReader) -> Result<Vec<StoredAction>, String> {
    let waiting = outbox(reader, true)?;
    let wanted: Vec<StoredAction> = all.iter().filter(|action| action.settled.is_none()).cloned().collect();
    expect("what waits against the whole outbox", &waiting, &wanted)?;
    Ok(waiting)
}

/// Follows the journal, and checks that it is dense from its first offset to its next.
fn journal(reader: &mut dyn StoreReader, summary: StoreSummary) -> Result<Vec<JournalPiece>, String> {
    let (mut all, mut from) = (Vec::new(), summary.first_offset);
    loop {
        let pieces = works("journal", reader.journal(from, 64))?;
        if pieces.is_empty() {
            expect("the end of the journal", &from, &summary.next_offset)?;
            return Ok(all);
        }
        for piece in pieces {
            expect("where a piece begins", &piece.first_offset, &from)?;
            from = piece.end();
            all.push(piece);
        }
    }
}
