//! Streams files of events through the supervisor and its actors, and makes the report.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use visu_tility_actors::{
    ControlError, ModelHandle, Monitoring, MonitoringHandle, Routed, SeriesHandle, StartError, block_on,
};
use visu_tility_core::{ActionRecord, IngestError, MonitorPlan, Timestamp};

use crate::ingest::{EventLine, EventReader, LineError, NextLine, SeriesTable};
use crate::replay::bad_lines::{BadLine, BadLines};
use crate::replay::collect::{Collector, ModelCount, PlotDetail};
use crate::replay::records::Records;
use crate::replay::report::Report;
use crate::replay::unseen::{Asked, Unseen};

/// Events handed over at a time.
const BATCH: usize = 2_048;

/// Events on their way to the models of one thread at any time.
const CREDITS: usize = 6 * BATCH;

/// The most series of a run.
const SERIES_MAX: usize = 4_000_000;

/// How long the actors may take to stop.
const STOP_WITHIN: Duration = Duration::from_mins(1);

/// A file of events, opened.
#[derive(Debug)]
pub struct Input {
    /// What to call it in messages.
    pub name: String,
    /// Where its events come from.
    pub reader: EventReader,
}

/// Is told how a run goes on.
pub trait ReplayWatcher {
    /// A line could not be used; told for the first [`BadLines::SHOWN_MAX`], and for every file that ends early.
    fn bad_line(&mut self, line: &BadLine);

    /// So many events have been accepted.
    fn progress(&mut self, events: u64);
}

/// Why a run did not come to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The actors did not start.
    #[error("start the monitoring: {0}")]
    Start(#[from] StartError),
    /// The actors stopped while events were coming.
    #[error("hand events to the monitoring: {0}")]
    Publish(#[from] IngestError),
    /// The actors stopped before everything was handled.
    #[error("wait for the monitoring: {0}")]
    Flush(#[from] ControlError),
}

/// Streams events through the real supervisor and actors: what would this plan have done?
///
/// Timers run off the time in the events, so that the same files give the same report. Files are read one
/// after the other, in the order given, as one run. An event without a time takes the newest time so far; when
/// none had one yet, events are taken to be a second apart, from 1970 on. Memory does not grow with the
/// files; it grows with models, kinds and alarms.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Replay {
    /// What is watched how.
    pub plan: MonitorPlan,
    /// Threads that models are spread over. Default 1.
    pub arbiters: usize,
    /// Whether an unknown kind is taken as one of the user's own. Default no.
    pub custom_kinds: bool,
    /// The latest time that is believed. Default: any.
    pub not_after: Option<Timestamp>,
    /// How much is kept for drawing. Default nothing.
    pub detail: PlotDetail,
}

impl Replay {
    /// Sets up a run of a plan.
    pub fn new(plan: MonitorPlan) -> Self {
        Self { plan, arbiters: 1, custom_kinds: false, not_after: None, detail: PlotDetail::None }
    }

    /// Runs all events of all inputs, and waits until every one is handled.
    ///
    /// # Errors
    ///
    /// Fails when the actors do not start, or stop before the end. Lines that cannot be used are no error; they
    /// are counted in the report.
    pub fn run(&self, inputs: Vec<Input>, watcher: &mut dyn ReplayWatcher) -> Result<Report, ReplayError> {
        let handle = Monitoring::builder()
            .plan(self.plan.clone())
            .arbiters(self.arbiters)
            .event_time(true)
            .credits(CREDITS)
            .ahead_max(Duration::MAX)
            .models_max(SERIES_MAX as u64)
            .idle_after(None)
            .start()?;
        let outbox = Arc::new(Mutex::new(Vec::new()));
        let inbox = outbox.clone();
        handle.subscribe_actions_fn(move |record: &ActionRecord| {
            inbox.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
        });
        let mut files = Vec::with_capacity(inputs.len());
        let mut run = Run::new(self, handle, outbox, watcher);
        for (file, mut input) in inputs.into_iter().enumerate() {
            files.push(input.name);
            run.files.clone_from(&files);
            run.read(file as u32, &mut input.reader)?;
        }
        run.send()?;
        block_on(run.handle.flush())?;
        run.take_records();
        let unseen = block_on(Unseen::ask(&run.handle, self.plan.events(), &run.asked()))?;
        drop(block_on(run.handle.shutdown(STOP_WITHIN)));
        run.take_records();
        Ok(run.report(&self.plan, &unseen))
    }
}

/// An event that has been read and not yet been accepted.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    series: u32,
    file: u32,
    line: u64,
    at: Timestamp,
    /// `NaN` for a missing value.
    value: f64,
}

/// A run on its way.
struct Run<'a> {
    options: &'a Replay,
    handle: MonitoringHandle,
    /// Records that the shards have delivered and nobody has looked at.
    outbox: Arc<Mutex<Vec<ActionRecord>>>,
    watcher: &'a mut dyn ReplayWatcher,
    files: Vec<String>,
    table: SeriesTable,
    models: Vec<Option<ModelHandle>>,
    series: Vec<SeriesHandle>,
    collector: Collector,
    records: Records,
    bad: BadLines,
    batch: Vec<Routed>,
    waiting: Vec<Waiting>,
    times: Times,
}

impl<'a> Run<'a> {
    fn new(
        options: &'a Replay,
        handle: MonitoringHandle,
        outbox: Arc<Mutex<Vec<ActionRecord>>>,
        watcher: &'a mut dyn ReplayWatcher,
    ) -> Self {
        Self {
            options,
            handle,
            outbox,
            watcher,
            files: Vec::new(),
            table: SeriesTable::new(SERIES_MAX, options.custom_kinds),
            models: Vec::new(),
            series: Vec::new(),
            // What a shard has handled may still lie in the outbox: two batches of slack.
            collector: Collector::new(CREDITS * options.arbiters.max(1) + 2 * BATCH, options.detail),
            records: Records::default(),
            bad: BadLines::default(),
            batch: Vec::with_capacity(BATCH),
            waiting: Vec::with_capacity(BATCH),
            times: Times::default(),
        }
    }

    /// Reads one file to its end.
    fn read(&mut self, file: u32, reader: &mut EventReader) -> Result<(), ReplayError> {
        loop {
            let outcome = match reader.next_event() {
                NextLine::Event(line) if line.vector.is_some() => self.take_vector(&line)?.map(|()| None),
                NextLine::Event(line) => self.take(&line).map(Some),
                NextLine::Bad(error) => Err(error),
                NextLine::Blank => continue,
                NextLine::End => break,
                NextLine::Broken(text) => {
                    let line = reader.line_number();
                    let reason = if line == 0 { text } else { format!("{text}; read up to line {line}") };
                    self.give_up(file, line, "file cannot be read on", reason);
                    return Ok(());
                }
            };
            let line = reader.line_number();
            match outcome {
                Ok(None) => {}
                Ok(Some((series, routed))) => {
                    let (at, value) = (routed.at(), routed.value().unwrap_or(f64::NAN));
                    self.batch.push(routed);
                    self.waiting.push(Waiting { series, file, line, at, value });
                    if self.batch.len() >= BATCH {
                        self.send()?;
                    }
                }
                Err(error) => self.refuse(error.class(), file, line, || error.to_string()),
            }
        }
        if reader.line_number() == 0 {
            self.give_up(file, 0, "file is empty", "file is empty".to_owned());
        }
        Ok(())
    }

    /// Finds a line's series, opening it if it is new, and the time that the line stands for.
    fn place(&mut self, line: &EventLine<'_>) -> Result<(u32, Timestamp), LineError> {
        let series = self.table.intern(line)?;
        if let (Some(ts), Some(limit)) = (line.ts, self.options.not_after)
            && ts > limit
            && ts.in_bounds()
        {
            return Err(LineError::field(
                "ts",
                ts.to_string(),
                format!("at most {limit} (--not-after sets it)"),
            ));
        }
        while self.series.len() <= series as usize {
            self.open()?;
        }
        Ok((series, self.times.of(line.ts)))
    }

    /// Checks one line and makes it ready for its model.
    fn take(&mut self, line: &EventLine<'_>) -> Result<(u32, Routed), LineError> {
        let (series, at) = self.place(line)?;
        let routed = match (self.series.get(series as usize), line.value) {
            // The handle checks value and time; it knows the kind's range.
            (Some(handle), Some(value)) => {
                handle.reading(at, value).map_err(|error| LineError::of_event(error, line.value))?
            }
            (Some(handle), None) => {
                self.table.check(series, line)?;
                handle.missing(at)
            }
            (None, _) => return Err(LineError::malformed("series without a handle")),
        };
        self.times.note(line.ts);
        Ok((series, routed))
    }

    /// Checks a line with a vector and hands it over at once: few wait on their way, and each takes room.
    fn take_vector(&mut self, line: &EventLine<'_>) -> Result<Result<(), LineError>, ReplayError> {
        let placed = self.place(line).and_then(|(series, at)| Ok((series, at, line.to_event()?)));
        let (series, at, event) = match placed {
            Ok(placed) => placed,
            Err(error) => return Ok(Err(error)),
        };
        let Ok(event) = event.at(at) else {
            return Ok(Err(LineError::field("ts", at.to_string(), "a time from 1970 up to 2200")));
        };
        self.send()?;
        while let Err(error) = block_on(self.handle.publish(event.clone())) {
            match error {
                IngestError::Full { .. } => block_on(self.handle.flush())?,
                IngestError::Closed => return Err(error.into()),
                other => return Ok(Err(LineError::malformed(format!("refused by the monitoring: {other}")))),
            }
        }
        self.times.note(line.ts);
        self.collector.add(series, at, f64::NAN);
        Ok(Ok(()))
    }

    /// Opens the handle of the next series of the table.
    #[cold]
    fn open(&mut self) -> Result<(), LineError> {
        let Some(series) = self.table.get(self.series.len() as u32) else {
            return Err(LineError::malformed("series without a name"));
        };
        let model = series.model as usize;
        if self.models.len() <= model {
            self.models.resize_with(model + 1, || None);
        }
        let refused = |error: &dyn std::fmt::Display| {
            LineError::field("model_id", series.model_id.as_str(), format!("one that is taken ({error})"))
        };
        let Some(slot) = self.models.get_mut(model) else {
            return Err(LineError::malformed("model without a place"));
        };
        let handle = match slot {
            Some(handle) => handle,
            None => {
                slot.insert(self.handle.model(series.model_id.as_str()).map_err(|error| refused(&error))?)
            }
        };
        self.series.push(handle.series(&series.version, &series.kind));
        self.collector.add_series(series);
        Ok(())
    }

    /// Hands over the batch, counts what was accepted, and takes what came back.
    fn send(&mut self) -> Result<(), ReplayError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        let receipt = block_on(self.handle.publish_routed(batch));
        let delivered = self.delivered();
        let waiting = std::mem::take(&mut self.waiting);
        let mut rejected = receipt.rejected.into_iter().peekable();
        for (at, event) in waiting.iter().enumerate() {
            match rejected.next_if(|rejected| rejected.index == at) {
                None => self.collector.add(event.series, event.at, event.value),
                Some(rejected) if rejected.error == IngestError::Closed => return Err(rejected.error.into()),
                Some(rejected) => {
                    let text = rejected.error.to_string();
                    self.refuse("refused by the monitoring".to_owned(), event.file, event.line, || text);
                }
            }
        }
        self.waiting = waiting;
        self.waiting.clear();
        self.keep(&delivered);
        self.watcher.progress(self.collector.events());
        Ok(())
    }

    /// Takes what the shards have delivered.
    fn delivered(&self) -> Vec<ActionRecord> {
        std::mem::take(&mut *self.outbox.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&mut self, delivered: &[ActionRecord]) {
        for record in delivered {
            self.records.add(record, self.collector.place(record));
        }
    }

    fn take_records(&mut self) {
        let delivered = self.delivered();
        self.keep(&delivered);
    }

    /// Counts a line that cannot be used, and tells of it if it is among the first.
    fn refuse(&mut self, class: String, file: u32, line: u64, reason: impl FnOnce() -> String) {
        let file = self.files.get(file as usize).map_or("", String::as_str);
        if let Some(line) = self.bad.add(class, file, line, reason) {
            self.watcher.bad_line(line);
        }
    }

    /// Counts a file that cannot be used any further, and tells of it in any case.
    fn give_up(&mut self, file: u32, line: u64, class: &str, reason: String) {
        let file = self.files.get(file as usize).cloned().unwrap_or_default();
        self.bad.add(class.to_owned(), &file, line, || reason.clone());
        self.watcher.bad_line(&BadLine { file, line, reason });
    }

    /// The models, by number.
    fn asked(&self) -> Vec<Asked> {
        let mut models: Vec<Asked> = Vec::with_capacity(self.table.models());
        for series in self.table.all() {
            if let Some(known) = models.get_mut(series.model as usize) {
                known.series += 1;
            } else {
                let count = self.collector.models.get(series.model as usize).copied().unwrap_or_default();
                let (model, ModelCount { events, disordered, .. }) = (series.model_id.clone(), count);
                models.push(Asked { model, events, series: 1, disordered });
            }
        }
        models
    }

    fn report(mut self, plan: &MonitorPlan, unseen: &[Unseen]) -> Report {
        self.records.sort();
        let mut report = Report::assemble(&self.table, self.collector, self.records, self.bad, plan);
        report.note_unseen(&self.table, unseen);
        report.files = self.files;
        report
    }
}

/// Gives a time to events that have none.
#[derive(Debug, Default)]
pub(crate) struct Times {
    newest: Timestamp,
    /// Whether any event had a time.
    known: bool,
}

impl Times {
    /// The time of the next event.
    pub(crate) fn of(&self, ts: Option<Timestamp>) -> Timestamp {
        ts.unwrap_or(self.newest)
    }

    /// Takes note that the event was used.
    pub(crate) fn note(&mut self, ts: Option<Timestamp>) {
        match ts {
            Some(ts) if self.known => self.newest = self.newest.max(ts),
            Some(ts) => (self.newest, self.known) = (ts, true),
            None if self.known => {}
            None => self.newest = self.newest.plus(Duration::from_secs(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_without_a_time_take_the_newest_or_are_a_second_apart() {
        let second = |n: i64| Timestamp::from_millis(n * 1_000);
        let mut times = Times::default();
        let mut next = |ts: Option<Timestamp>| {
            let at = times.of(ts);
            times.note(ts);
            at
        };
        assert_eq!([next(None), next(None), next(None)], [second(0), second(1), second(2)]);
        assert_eq!(next(Some(second(100))), second(100));
        assert_eq!([next(None), next(None)], [second(100), second(100)]);
        assert_eq!(next(Some(second(90))), second(90));
        assert_eq!(next(None), second(100));
    }
}
