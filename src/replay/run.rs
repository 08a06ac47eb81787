//! Streams files of events through the supervisor and its actors, and makes the report.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use visu_tility_actors::{
    ControlError, ModelHandle, Monitoring, MonitoringHandle, Routed, SeriesHandle, StartError, block_on,
};
use visu_tility_core::{ActionRecord, IngestError, MonitorPlan, Timestamp};

use crate::ingest::{EventLine, EventReader, LineError};
use crate::replay::bad_lines::BadLine;
use crate::replay::collect::{Collector, ModelCount, PlotDetail};
use crate::replay::intake::{Intake, SERIES_MAX, TakeEvents};
use crate::replay::records::Records;
use crate::replay::report::Report;
use crate::replay::unseen::{Asked, Unseen};

/// Events handed over at a time.
const BATCH: usize = 2_048;

/// Events on their way to the models of one thread at any time.
const CREDITS: usize = 6 * BATCH;

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
    /// A line could not be used; told for the first [`crate::replay::BadLines::SHOWN_MAX`], and for every
    /// file that ends early.
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
        let mut run = Run::new(self, handle, outbox, watcher);
        run.read_all(inputs)?;
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
    handle: MonitoringHandle,
    /// Records that the shards have delivered and nobody has looked at.
    outbox: Arc<Mutex<Vec<ActionRecord>>>,
    intake: Intake<'a>,
    models: Vec<Option<ModelHandle>>,
    series: Vec<SeriesHandle>,
    collector: Collector,
    records: Records,
    /// An event that was taken, and its series, until it is known where it stood.
    taken: Option<(u32, Routed)>,
    batch: Vec<Routed>,
    waiting: Vec<Waiting>,
}

impl<'a> Run<'a> {
    fn new(
        options: &'a Replay,
        handle: MonitoringHandle,
        outbox: Arc<Mutex<Vec<ActionRecord>>>,
        watcher: &'a mut dyn ReplayWatcher,
    ) -> Self {
        Self {
            handle,
            outbox,
            intake: Intake::new(options.custom_kinds, options.not_after, watcher),
            models: Vec::new(),
            series: Vec::new(),
            // What a shard has handled may still lie in the outbox: two batches of slack.
            collector: Collector::new(CREDITS * options.arbiters.max(1) + 2 * BATCH, options.detail),
            records: Records::default(),
            taken: None,
            batch: Vec::with_capacity(BATCH),
            waiting: Vec::with_capacity(BATCH),
        }
    }

    /// Finds a line's series, opening it if it is new, and the time that the line stands for.
    fn place(&mut self, line: &EventLine<'_>) -> Result<(u32, Timestamp), LineError> {
        let placed = self.intake.place(line)?;
        while self.series.len() <= placed.0 as usize {
            self.open()?;
        }
        Ok(placed)
    }

    /// Checks one line and makes it ready for its model.
    fn take_number(&mut self, line: &EventLine<'_>) -> Result<(), LineError> {
        let (series, at) = self.place(line)?;
        let routed = match (self.series.get(series as usize), line.value) {
            // The handle checks value and time; it knows the kind's range.
            (Some(handle), Some(value)) => {
                handle.reading(at, value).map_err(|error| LineError::of_event(error, line.value))?
            }
            (Some(handle), None) => {
                self.intake.table.check(series, line)?;
                handle.missing(at)
            }
            (None, _) => return Err(LineError::malformed("series without a handle")),
        };
        self.intake.times.note(line.ts);
        self.taken = Some((series, routed));
        Ok(())
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
        self.intake.times.note(line.ts);
        self.collector.add(series, at, f64::NAN);
        Ok(Ok(()))
    }

    /// Opens the handle of the next series of the table.
    #[cold]
    fn open(&mut self) -> Result<(), LineError> {
        let Some(series) = self.intake.table.get(self.series.len() as u32) else {
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
                    let class = "refused by the monitoring".to_owned();
                    self.intake.refuse(class, event.file, event.line, || text);
                }
            }
        }
        self.waiting = waiting;
        self.waiting.clear();
        self.keep(&delivered);
        self.intake.watcher.progress(self.collector.events());
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

    /// The models, by number.
    fn asked(&self) -> Vec<Asked> {
        let mut models: Vec<Asked> = Vec::with_capacity(self.intake.table.models());
        for series in self.intake.table.all() {
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
        let Intake { table, bad, files, .. } = self.intake;
        let mut report = Report::assemble(&table, self.collector, self.records, bad, plan);
        report.note_unseen(&table, unseen);
        report.note_over_budget();
        report.files = files;
        report
    }
}

impl<'a> TakeEvents<'a> for Run<'a> {
    type Error = ReplayError;

    fn intake(&mut self) -> &mut Intake<'a> {
        &mut self.intake
    }

    fn take(&mut self, line: &EventLine<'_>) -> Result<Result<(), LineError>, ReplayError> {
        if line.vector.is_some() { self.take_vector(line) } else { Ok(self.take_number(line)) }
    }

    fn taken_from(&mut self, file: u32, line: u64) -> Result<(), ReplayError> {
        let Some((series, routed)) = self.taken.take() else { return Ok(()) };
        let (at, value) = (routed.at(), routed.value().unwrap_or(f64::NAN));
        self.batch.push(routed);
        self.waiting.push(Waiting { series, file, line, at, value });
        if self.batch.len() >= BATCH { self.send() } else { Ok(()) }
    }
}
