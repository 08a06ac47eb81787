//! What a calibration keeps of the events: a bounded number of values of each kind, and counts of all.

use std::collections::HashMap;

use visu_tility_core::{MetricKind, ModelId, Timestamp, Version};

use super::Calibrate;
use crate::ingest::{EventLine, EventReader, LineError, NextLine, SeriesTable};
use crate::replay::{BadLine, BadLines, Input, ReplayWatcher, Times};

/// Values that are kept of a kind.
const VALUES_KEPT: usize = 200_000;

/// Values that are kept of all kinds together: 160 MB.
const VALUES_KEPT_OF_ALL: usize = 10_000_000;

/// The largest size of a value: detectors take larger ones as this.
pub(super) const VALUE_LIMIT: f64 = 1e100;

/// The most series of a run.
const SERIES_MAX: usize = 4_000_000;

/// Lines between two notes of progress.
const PROGRESS_EVERY: u64 = 2_048;

const DAY_MICROS: f64 = 86_400e6;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// The events of a run, as far as a calibration needs them.
///
/// Of each kind of a model the first 200,000 good values are kept (10,000,000 of all together), its
/// versions pooled; everything is counted.
#[derive(Debug)]
pub struct History {
    /// The kinds of every model, by model and then in the order of arrival.
    pub(crate) samples: Vec<Sample>,
    /// Accepted events.
    pub(crate) events: u64,
    /// Lines that could not be used.
    pub(crate) bad: BadLines,
    /// The files, as they were named.
    pub(crate) files: Vec<String>,
}

/// One kind of one model, all versions together.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) model_id: ModelId,
    pub(crate) kind: MetricKind,
    pub(crate) versions: Vec<Version>,
    /// Accepted events, missing values included.
    pub(crate) events: u64,
    /// Values among them.
    pub(crate) values: u64,
    /// Values up to the end of what is good.
    pub(crate) good: u64,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// The good values that were kept, in the order of time.
    pub(crate) kept: Vec<f64>,
    /// Their times: microseconds while events are read, whole seconds since 1970 afterwards.
    pub(crate) times: Vec<i64>,
    ordered: bool,
}

impl Sample {
    fn new(model_id: ModelId, kind: MetricKind, at: Timestamp) -> Self {
        let (versions, kept, times) = (Vec::new(), Vec::new(), Vec::new());
        let (first, last) = (at, at);
        Self {
            model_id,
            kind,
            versions,
            events: 0,
            values: 0,
            good: 0,
            first,
            last,
            kept,
            times,
            ordered: true,
        }
    }

    /// Takes an event; answers whether its value was kept.
    fn add(&mut self, at: Timestamp, value: Option<f64>, good: bool, room: bool) -> bool {
        self.events += 1;
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        let Some(value) = value else { return false };
        self.values += 1;
        if !good {
            return false;
        }
        self.good += 1;
        if !room || self.kept.len() >= VALUES_KEPT {
            return false;
        }
        let micros = at.micros();
        self.ordered &= self.times.last().is_none_or(|last| *last <= micros);
        // As every detector takes it.
        self.kept.push(value.clamp(-VALUE_LIMIT, VALUE_LIMIT));
        self.times.push(micros);
        true
    }

    /// Puts the values into the order of time; those of one time stay as they came.
    fn finish(&mut self) {
        if !self.ordered {
            let times = std::mem::take(&mut self.times);
            let mut both: Vec<(i64, f64)> = times.into_iter().zip(self.kept.drain(..)).collect();
            both.sort_by_key(|(at, _)| *at);
            (self.times, self.kept) = both.into_iter().unzip();
        }
        for time in &mut self.times {
            *time = time.div_euclid(MICROS_PER_SECOND);
        }
    }

    /// Good values that were not kept.
    pub(crate) fn cut(&self) -> u64 {
        self.good - self.kept.len() as u64
    }

    /// Values a day, `None` when all came at one time.
    pub(crate) fn values_per_day(&self) -> Option<f64> {
        let days = (self.last.micros().saturating_sub(self.first.micros())) as f64 / DAY_MICROS;
        (days > 0.0 && self.values > 1).then(|| (self.values - 1) as f64 / days)
    }

    /// Mean and standard deviation of the values that were kept.
    pub(crate) fn moments(&self) -> (f64, f64) {
        let (mut n, mut mean, mut squares) = (0.0, 0.0, 0.0);
        for value in &self.kept {
            n += 1.0;
            let step = value - mean;
            mean += step / n;
            squares += step * (value - mean);
        }
        let spread = if n > 1.0 { (squares / (n - 1.0)).sqrt() } else { 0.0 };
        (mean, spread)
    }
}

impl History {
    pub(super) fn read(options: &Calibrate, inputs: Vec<Input>, watcher: &mut dyn ReplayWatcher) -> Self {
        let mut reading = Reading {
            options,
            watcher,
            table: SeriesTable::new(SERIES_MAX, options.custom_kinds),
            sample_of: Vec::new(),
            by_kind: HashMap::new(),
            kept: 0,
            times: Times::default(),
            history: Self { samples: Vec::new(), events: 0, bad: BadLines::default(), files: Vec::new() },
        };
        for mut input in inputs {
            reading.read(&input.name, &mut input.reader);
            reading.history.files.push(input.name);
        }
        let mut history = reading.history;
        history.samples.iter_mut().for_each(Sample::finish);
        history.samples.sort_by(|a, b| a.model_id.cmp(&b.model_id));
        history
    }

    /// Is true when no event could be used.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// Accepted events.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Is true when there are values, and none of them was taken as good.
    pub fn has_no_good_value(&self) -> bool {
        self.samples.iter().any(|sample| sample.values > 0)
            && self.samples.iter().all(|sample| sample.good == 0)
    }

    /// The time of the first event; `None` without any.
    pub fn first_time(&self) -> Option<Timestamp> {
        self.samples.iter().map(|sample| sample.first).min()
    }

    /// The lines that could not be used.
    pub fn bad_lines(&self) -> &BadLines {
        &self.bad
    }
}

/// Files on their way into a history.
struct Reading<'a> {
    options: &'a Calibrate,
    watcher: &'a mut dyn ReplayWatcher,
    table: SeriesTable,
    /// The sample of each series.
    sample_of: Vec<usize>,
    by_kind: HashMap<(u32, MetricKind), usize>,
    kept: usize,
    times: Times,
    history: History,
}

impl Reading<'_> {
    /// Reads one file to its end.
    fn read(&mut self, file: &str, reader: &mut EventReader) {
        loop {
            let outcome = match reader.next_event() {
                NextLine::Event(line) => self.take(&line),
                NextLine::Bad(error) => Err(error),
                NextLine::Blank => continue,
                NextLine::End => break,
                NextLine::Broken(text) => {
                    let line = reader.line_number();
                    let reason = if line == 0 { text } else { format!("{text}; read up to line {line}") };
                    self.give_up(file, line, "file cannot be read on", reason);
                    return;
                }
            };
            if let Err(error) = outcome {
                let line = reader.line_number();
                if let Some(bad) = self.history.bad.add(error.class(), file, line, || error.to_string()) {
                    self.watcher.bad_line(bad);
                }
            }
            if self.history.events.is_multiple_of(PROGRESS_EVERY) {
                self.watcher.progress(self.history.events);
            }
        }
        if reader.line_number() == 0 {
            self.give_up(file, 0, "file is empty", "file is empty".to_owned());
        }
    }

    fn give_up(&mut self, file: &str, line: u64, class: &str, reason: String) {
        self.history.bad.add(class.to_owned(), file, line, || reason.clone());
        self.watcher.bad_line(&BadLine { file: file.to_owned(), line, reason });
    }

    /// Checks one line and counts it.
    fn take(&mut self, line: &EventLine<'_>) -> Result<(), LineError> {
        let series = self.table.intern(line)?;
        if let (Some(ts), Some(limit)) = (line.ts, self.options.not_after)
            && ts > limit
            && ts.in_bounds()
        {
            let allowed = format!("at most {limit} (--not-after sets it)");
            return Err(LineError::field("ts", ts.to_string(), allowed));
        }
        if line.vector.is_some() {
            line.to_event()?;
        } else {
            self.table.check(series, line)?;
        }
        let at = self.times.of(line.ts);
        self.times.note(line.ts);
        let good = self.options.good_until.is_none_or(|end| at <= end);
        let room = self.kept < VALUES_KEPT_OF_ALL;
        let number = self.sample(series, at);
        self.history.events += 1;
        if let Some(sample) = self.history.samples.get_mut(number)
            && sample.add(at, line.value, good, room)
        {
            self.kept += 1;
        }
        Ok(())
    }

    /// Finds the sample of a series, a new one if need be.
    fn sample(&mut self, series: u32, at: Timestamp) -> usize {
        while self.sample_of.len() <= series as usize {
            let Some(known) = self.table.get(self.sample_of.len() as u32) else { break };
            let samples = &mut self.history.samples;
            let number = *self.by_kind.entry((known.model, known.kind.clone())).or_insert_with(|| {
                samples.push(Sample::new(known.model_id.clone(), known.kind.clone(), at));
                samples.len() - 1
            });
            if let Some(sample) = samples.get_mut(number) {
                sample.versions.push(known.version.clone());
            }
            self.sample_of.push(number);
        }
        self.sample_of.get(series as usize).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1_000)
    }

    fn sample() -> Sample {
        Sample::new(ModelId::new("m").unwrap(), MetricKind::F1, at(0))
    }

    #[test]
    fn values_are_put_into_the_order_of_time() {
        let mut sample = sample();
        for (second, value) in [(0, 0.1), (20, 0.3), (10, 0.2), (20, 0.4)] {
            assert!(sample.add(at(second), Some(value), true, true));
        }
        sample.add(at(30), None, true, true);
        sample.finish();
        assert_eq!(sample.kept, [0.1, 0.2, 0.3, 0.4]);
        assert_eq!(sample.times, [0, 10, 20, 20], "in seconds");
        assert_eq!((sample.events, sample.values, sample.cut()), (5, 4, 0));
        assert_eq!(sample.values_per_day(), Some(3.0 / (30.0 / 86_400.0)));
    }

    #[test]
    fn what_is_not_kept_is_counted() {
        let mut sample = sample();
        for second in 0..=VALUES_KEPT as i64 {
            sample.add(at(second), Some(0.5), true, true);
        }
        sample.add(at(1), Some(0.5), true, false);
        sample.add(at(2), Some(0.5), false, true);
        sample.finish();
        assert_eq!((sample.kept.len(), sample.cut()), (VALUES_KEPT, 2));
        assert_eq!(sample.good, sample.values - 1);
    }

    #[test]
    fn the_largest_numbers_have_moments_that_are_numbers() {
        let mut sample = sample();
        for value in [f64::MAX, -f64::MAX, f64::MAX] {
            sample.add(at(0), Some(value), true, true);
        }
        let (mean, spread) = sample.moments();
        assert!(mean.is_finite() && spread.is_finite() && spread > 1e99);
        assert_eq!(sample.values_per_day(), None);
    }
}
