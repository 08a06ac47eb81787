//! `visu-tility inspect`: what a store holds, read while its server runs or not.

use std::collections::VecDeque;
use std::io::Write;

use serde::Serialize;
use serde_json::value::RawValue;
use visu_tility::monitoring::{ModelId, Timestamp};
use visu_tility::store::{
    OutboxQuery, OutboxTopic, SqliteStore, StoreError, StoreReader, StoredAction, StoredLetter, StoredModel,
};

use super::args::{InspectArgs, Shown};
use super::backup::store_at;
use super::{Failure, Outcome, say};

/// Rows that are read at a time.
const PAGE: usize = 1_024;

/// What a store holds.
#[derive(Debug, Serialize)]
struct Inventory {
    store: String,
    journal: Journal,
    models: Listing<ModelLine>,
    alerts: Listing<Action>,
    jobs: Listing<Action>,
    dead_letters: Listing<Letter>,
    /// Fingerprints of the plans that are kept.
    plans: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Journal {
    first_offset: u64,
    next_offset: u64,
    pieces: u64,
    bytes: u64,
}

/// Some of many.
#[derive(Debug, Serialize)]
struct Listing<T> {
    /// How many are kept.
    kept: u64,
    /// How many of them still wait to be delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<u64>,
    /// How many there ever were.
    #[serde(skip_serializing_if = "Option::is_none")]
    ever: Option<u64>,
    shown: Vec<T>,
}

#[derive(Debug, Serialize)]
struct ModelLine {
    model_id: ModelId,
    phase: &'static str,
    /// The first offset that its saved state does not hold.
    next_offset: u64,
    /// When it wants to be told that time has passed.
    due: Option<Timestamp>,
    bytes: u64,
    plan: String,
}

#[derive(Debug, Serialize)]
struct Action {
    number: u64,
    model_id: ModelId,
    offset: u64,
    observer: String,
    ordinal: u32,
    at: Timestamp,
    /// What became of it: `waiting`, `delivered`, `abandoned`.
    state: &'static str,
    settled: Option<Timestamp>,
    record: Box<RawValue>,
    #[serde(skip)]
    summary: String,
}

#[derive(Debug, Serialize)]
struct Letter {
    number: u64,
    model_id: ModelId,
    offset: Option<u64>,
    observer: String,
    at: Timestamp,
    body: Box<RawValue>,
}

/// Shows a store.
pub(crate) fn run(args: &InspectArgs) -> Result<Outcome, Failure> {
    let store = store_at(&args.store);
    let place = store.display().to_string();
    let read = SqliteStore::open_reader(&store);
    let read = read.and_then(|mut reader| Inventory::read(&mut *reader, place.clone(), args.limit));
    let inventory = read.map_err(|error| Failure::at(&place, error))?;
    say(|out| match args.format {
        Shown::Text => inventory.write(out),
        Shown::Json => {
            serde_json::to_writer_pretty(&mut *out, &inventory)?;
            writeln!(out)
        }
    })?;
    Ok(Outcome::Done)
}

impl Inventory {
    fn read(reader: &mut dyn StoreReader, store: String, limit: usize) -> Result<Self, StoreError> {
        let summary = reader.summary()?;
        let models = if limit == 0 { Vec::new() } else { reader.models(None, limit)? };
        let plans = reader.plans()?.into_iter().map(|plan| format!("{plan:016x}")).collect();
        let [alerts, jobs] = actions(reader, limit)?;
        Ok(Self {
            store,
            journal: Journal {
                first_offset: summary.first_offset,
                next_offset: summary.next_offset,
                pieces: summary.journal_pieces,
                bytes: summary.journal_bytes,
            },
            models: Listing {
                kept: summary.models,
                waiting: None,
                ever: None,
                shown: models.into_iter().map(ModelLine::of).collect(),
            },
            alerts,
            jobs,
            dead_letters: Listing {
                kept: summary.dead_letters,
                waiting: None,
                ever: Some(summary.dead_letters_total),
                shown: letters(reader, limit)?,
            },
            plans,
        })
    }

    fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let Journal { first_offset, next_offset, pieces, bytes } = self.journal;
        writeln!(out, "{}", self.store)?;
        writeln!(
            out,
            "journal       offsets {first_offset} to {next_offset}, {pieces} pieces, {bytes} bytes"
        )?;
        writeln!(out, "plans         {} kept: {}", self.plans.len(), self.plans.join(" "))?;
        writeln!(out, "models        {}", self.models.kept)?;
        for model in &self.models.shown {
            let due = model.due.map_or(String::new(), |due| format!(", due {due}"));
            let ModelLine { model_id, phase, next_offset, bytes, .. } = model;
            writeln!(out, "  {model_id}: {phase}, saved up to offset {next_offset}, {bytes} bytes{due}")?;
        }
        for (name, listing) in [("alerts        ", &self.alerts), ("jobs          ", &self.jobs)] {
            let waiting = listing.waiting.unwrap_or(0);
            writeln!(out, "{name}{} kept, {waiting} of them wait", listing.kept)?;
            for Action { number, model_id, observer, at, state, summary, .. } in &listing.shown {
                writeln!(out, "  #{number} {at} {model_id} {observer}: {summary} ({state})")?;
            }
        }
        let Listing { kept, ever, shown, .. } = &self.dead_letters;
        writeln!(out, "dead letters  {kept} kept, {} ever", ever.unwrap_or(0))?;
        for Letter { number, model_id, offset, observer, at, body } in shown {
            let offset = offset.map_or("-".to_owned(), |offset| offset.to_string());
            writeln!(out, "  #{number} {at} {model_id} offset {offset} {observer}: {body}")?;
        }
        Ok(())
    }
}

impl ModelLine {
    fn of(StoredModel { model, next_offset, phase, due, plan, bytes, .. }: StoredModel) -> Self {
        let (phase, plan) = (phase.as_str(), format!("{plan:016x}"));
        Self { model_id: model, phase, next_offset, due, bytes, plan }
    }
}

impl Action {
    fn of(StoredAction { number, entry, settled }: StoredAction) -> Self {
        let state = settled.map_or("waiting", |(verdict, _)| verdict.as_str());
        let summary = summary(&entry.body);
        Self {
            number,
            model_id: entry.id.model_id,
            offset: entry.id.offset,
            observer: entry.id.observer.to_string(),
            ordinal: entry.id.ordinal,
            at: entry.at,
            state,
            settled: settled.map(|(_, at)| at),
            record: raw(&entry.body),
            summary,
        }
    }
}

/// Alerts and retrain requests: how many there are, and the latest.
fn actions(reader: &mut dyn StoreReader, limit: usize) -> Result<[Listing<Action>; 2], StoreError> {
    let mut listings = [OutboxTopic::Alert, OutboxTopic::Retrain].map(|topic| (topic, Latest::new(limit), 0));
    let mut query = OutboxQuery { limit: PAGE, ..OutboxQuery::default() };
    loop {
        let page = reader.outbox(&query)?;
        let Some(last) = page.last() else { break };
        query.after = last.number;
        for action in page {
            if let Some((_, latest, waiting)) =
                listings.iter_mut().find(|(topic, ..)| *topic == action.entry.topic)
            {
                *waiting += u64::from(action.settled.is_none());
                latest.push(action);
            }
        }
    }
    Ok(listings.map(|(_, latest, waiting)| Listing {
        kept: latest.seen,
        waiting: Some(waiting),
        ever: None,
        shown: latest.kept.into_iter().map(Action::of).collect(),
    }))
}

fn letters(reader: &mut dyn StoreReader, limit: usize) -> Result<Vec<Letter>, StoreError> {
    let (mut latest, mut after) = (Latest::new(limit), 0);
    loop {
        let page = reader.dead_letters(after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.number;
        for letter in page {
            latest.push(letter);
        }
    }
    let letter = |StoredLetter { number, entry }| Letter {
        number,
        model_id: entry.model,
        offset: entry.offset,
        observer: entry.observer,
        at: entry.at,
        body: raw(&entry.body),
    };
    Ok(latest.kept.into_iter().map(letter).collect())
}

/// The last few of many.
struct Latest<T> {
    kept: VecDeque<T>,
    limit: usize,
    seen: u64,
}

impl<T> Latest<T> {
    const fn new(limit: usize) -> Self {
        Self { kept: VecDeque::new(), limit, seen: 0 }
    }

    fn push(&mut self, item: T) {
        self.seen += 1;
        self.kept.push_back(item);
        if self.kept.len() > self.limit {
            self.kept.pop_front();
        }
    }
}

/// What an action says for a person.
fn summary(body: &str) -> String {
    let record: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let text = |at: &str| record.pointer(at).and_then(serde_json::Value::as_str);
    match (text("/action/alert/phase"), text("/action/alert/summary"), text("/action/retrain/reason")) {
        (Some(phase), Some(summary), _) => format!("{phase}: {summary}"),
        (.., Some(reason)) => reason.to_owned(),
        _ => body.to_owned(),
    }
}

/// A body as it stands; one that is no JSON as a text.
fn raw(body: &str) -> Box<RawValue> {
    let text = |body: &str| RawValue::from_string(serde_json::Value::from(body).to_string());
    RawValue::from_string(body.to_owned())
        .or_else(|_| text(body))
        .unwrap_or_else(|_| RawValue::NULL.to_owned())
}
