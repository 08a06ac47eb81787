//! What a calibration keeps of the events: a bounded number of values of each kind, and counts of all.

use std::collections::HashMap;
use std::convert::Infallible;

use visu_tility_core::{MetricKind, ModelId, MonitorPlan, Timestamp, ValueRange};

use super::Calibrate;
use super::sharing::{Model, VersionRate, per_day};
use crate::ingest::{EventLine, LineError};
use crate::replay::{BadLines, Input, Intake, ReplayWatcher, TakeEvents};

/// Values that are kept of a kind.
const VALUES_KEPT: usize = 200_000;

/// Values that are kept of all kinds together: 160 MB.
const VALUES_KEPT_OF_ALL: usize = 10_000_000;

/// The largest size of a value: detectors take larger ones as this.
pub(super) const VALUE_LIMIT: f64 = 1e100;

/// Lines between two notes of progress.
const PROGRESS_EVERY: u64 = 2_048;

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
    /// Its versions, in the order of arrival.
    pub(crate) versions: Vec<VersionRate>,
    /// Accepted events, missing values included.
    pub(crate) events: u64,
    /// Values (vectors) among them.
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

    /// Takes an event; answers whether its value was kept. Vectors are counted and never kept.
    fn add(&mut self, at: Timestamp, value: Seen, good: bool, room: bool) -> bool {
        self.events += 1;
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        if value == Seen::Missing {
            return false;
        }
        self.values += 1;
        self.good += u64::from(good);
        let Seen::Number(value) = value else { return false };
        if !good {
            return false;
        }
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

    /// Good values that were not kept; of vectors none is meant to be.
    pub(crate) fn cut(&self) -> u64 {
        if self.is_of_vectors() { 0 } else { self.good - self.kept.len() as u64 }
    }

    /// Whether its values are vectors.
    pub(crate) fn is_of_vectors(&self) -> bool {
        self.kind.range() == ValueRange::Vector
    }

    /// How many versions are at work at the end.
    pub(crate) fn at_work(&self) -> u64 {
        self.versions.iter().filter(|version| version.at_work).count() as u64
    }

    /// The version that is spoken of where one is: of those at work the one with the most values.
    pub(crate) fn leading(&self) -> Option<&VersionRate> {
        let rank = |version: &&VersionRate| (version.at_work, version.values);
        // The first of several.
        self.versions.iter().rev().max_by_key(rank)
    }

    /// Values a day, `None` when all came at one time.
    pub(crate) fn values_per_day(&self) -> Option<f64> {
        per_day(self.values, self.first, self.last)
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
            default: MonitorPlan::default(),
            intake: Intake::new(options.custom_kinds, options.not_after, watcher),
            place_of: Vec::new(),
            by_kind: HashMap::new(),
            models: Vec::new(),
            kept: 0,
            events: 0,
            samples: Vec::new(),
        };
        let Ok(()) = reading.read_all(inputs);
        let versions_max = reading.default.events().versions_max as usize;
        let Reading { intake: Intake { bad, files, .. }, mut samples, models, events, .. } = reading;
        for model in &models {
            model.settle(&mut samples, versions_max);
        }
        samples.iter_mut().for_each(Sample::finish);
        samples.sort_by(|a, b| a.model_id.cmp(&b.model_id));
        Self { samples, events, bad, files }
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

/// What an event holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Seen {
    Number(f64),
    Vector,
    Missing,
}

/// Where the events of a series go.
#[derive(Clone, Copy, Debug)]
struct Place {
    model: usize,
    sample: usize,
    version: usize,
}

/// Files on their way into a history.
struct Reading<'a> {
    options: &'a Calibrate,
    /// Says who shares the budget.
    default: MonitorPlan,
    intake: Intake<'a>,
    /// The place of each series.
    place_of: Vec<Place>,
    by_kind: HashMap<(u32, MetricKind), usize>,
    models: Vec<Model>,
    kept: usize,
    events: u64,
    samples: Vec<Sample>,
}

impl<'a> TakeEvents<'a> for Reading<'a> {
    type Error = Infallible;

    fn intake(&mut self) -> &mut Intake<'a> {
        &mut self.intake
    }

    fn take(&mut self, line: &EventLine<'_>) -> Result<Result<(), LineError>, Infallible> {
        Ok(self.count(line))
    }

    fn taken_from(&mut self, _: u32, _: u64) -> Result<(), Infallible> {
        if self.events.is_multiple_of(PROGRESS_EVERY) {
            self.intake.watcher.progress(self.events);
        }
        Ok(())
    }
}

impl Reading<'_> {
    /// Checks one line and counts it.
    fn count(&mut self, line: &EventLine<'_>) -> Result<(), LineError> {
        let (series, at) = self.intake.place(line)?;
        if line.vector.is_some() {
            line.to_event()?;
        } else {
            self.intake.table.check(series, line)?;
        }
        self.intake.times.note(line.ts);
        let good = self.options.good_until.is_none_or(|end| at <= end);
        let room = self.kept < VALUES_KEPT_OF_ALL;
        let Some(place) = self.place(series, at) else { return Ok(()) };
        self.events += 1;
        let seen = match line.value {
            Some(value) => Seen::Number(value),
            None if line.vector.is_some() => Seen::Vector,
            None => Seen::Missing,
        };
        let Some(sample) = self.samples.get_mut(place.sample) else { return Ok(()) };
        self.kept += usize::from(sample.add(at, seen, good, room));
        if let Some((model, version)) =
            self.models.get(place.model).zip(sample.versions.get_mut(place.version))
        {
            version.note(self.options, model.sharers, at, seen != Seen::Missing);
        }
        Ok(())
    }

    /// Finds where a series goes, to a new place if need be.
    fn place(&mut self, series: u32, at: Timestamp) -> Option<Place> {
        while self.place_of.len() <= series as usize {
            let known = self.intake.table.get(self.place_of.len() as u32)?;
            let samples = &mut self.samples;
            let sample = *self.by_kind.entry((known.model, known.kind.clone())).or_insert_with(|| {
                samples.push(Sample::new(known.model_id.clone(), known.kind.clone(), at));
                samples.len() - 1
            });
            let model = known.model as usize;
            if self.models.len() <= model {
                self.models.resize_with(model + 1, Model::default);
            }
            let versions = &mut samples.get_mut(sample)?.versions;
            let version = versions.len();
            let mut rate = VersionRate::new(self.options, known.version.clone(), at);
            rate.at_work = self.models.get_mut(model)?.admit(&self.default, known, (sample, version));
            versions.push(rate);
            self.place_of.push(Place { model, sample, version });
        }
        self.place_of.get(series as usize).copied()
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
            assert!(sample.add(at(second), Seen::Number(value), true, true));
        }
        sample.add(at(30), Seen::Missing, true, true);
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
            sample.add(at(second), Seen::Number(0.5), true, true);
        }
        sample.add(at(1), Seen::Number(0.5), true, false);
        sample.add(at(2), Seen::Number(0.5), false, true);
        sample.finish();
        assert_eq!((sample.kept.len(), sample.cut()), (VALUES_KEPT, 2));
        assert_eq!(sample.good, sample.values - 1);
    }

    #[test]
    fn the_largest_numbers_have_moments_that_are_numbers() {
        let mut sample = sample();
        for value in [f64::MAX, -f64::MAX, f64::MAX] {
            sample.add(at(0), Seen::Number(value), true, true);
        }
        let (mean, spread) = sample.moments();
        assert!(mean.is_finite() && spread.is_finite() && spread > 1e99);
        assert_eq!(sample.values_per_day(), None);
    }
}
