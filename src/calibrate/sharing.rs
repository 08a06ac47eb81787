//! Who shares a model's budget, and at which rate each one's values come: counted and measured as a monitor does.

use visu_tility_core::{BudgetShare, FalseAlarmBudget, ModelId, MonitorPlan, Timestamp, Version};

use super::Calibrate;
use super::history::Sample;
use crate::ingest::Series;

const DAY_MICROS: f64 = 86_400e6;

/// The values of one version of a kind.
#[derive(Clone, Debug)]
pub(crate) struct VersionRate {
    pub(crate) version: Version,
    /// Values, missing ones left out.
    pub(crate) values: u64,
    first: Timestamp,
    last: Timestamp,
    /// What its detector is left of the budget.
    pub(crate) share: BudgetShare,
    sharers: u32,
    /// Whether it takes a share at the end of the history.
    pub(crate) at_work: bool,
}

impl VersionRate {
    pub(crate) fn new(options: &Calibrate, version: Version, at: Timestamp) -> Self {
        let share = BudgetShare::new(&options.budget(), 1);
        Self { version, values: 0, first: at, last: at, share, sharers: 1, at_work: true }
    }

    /// Takes note of an event while so many share the budget.
    pub(crate) fn note(&mut self, options: &Calibrate, sharers: u32, at: Timestamp, is_value: bool) {
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        if self.sharers != sharers {
            self.sharers = sharers;
            self.share.share(&options.budget(), sharers);
        }
        if is_value {
            self.values += 1;
            self.share.note(at);
        }
    }

    /// Values a day on average; `None` when all came at one time.
    pub(crate) fn values_per_day(&self) -> Option<f64> {
        per_day(self.values, self.first, self.last)
    }

    /// The run length that a monitor sets when so many share the budget, in values; the detector takes means of
    /// batches of `batch`.
    ///
    /// A monitor measures the rate of what it gives the detector. Of single values that was done here; of means the rate
    /// is that of the values on average over the length of a batch.
    pub(crate) fn run_length(&self, budget: FalseAlarmBudget, sharers: u64, batch: u64) -> f64 {
        let sharers = u32::try_from(sharers).unwrap_or(u32::MAX);
        if batch > 1 {
            let rate = self.values_per_day().unwrap_or_else(|| self.share.values_per_day());
            return budget.run_length(Some(rate / batch as f64), sharers) * batch as f64;
        }
        let mut share = self.share;
        share.share(&budget, sharers);
        share.run_length()
    }
}

/// Values a day between two times; `None` when these are one.
pub(crate) fn per_day(values: u64, first: Timestamp, last: Timestamp) -> Option<f64> {
    let days = last.micros().saturating_sub(first.micros()) as f64 / DAY_MICROS;
    (days > 0.0 && values > 1).then(|| (values - 1) as f64 / days)
}

/// One model while events are read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// Detectors that share its budget by the default plan. A proposal takes the place of one of them.
    pub(crate) sharers: u32,
    /// Versions of samples.
    series: Vec<(usize, usize)>,
}

impl Model {
    /// Makes a series known; answers whether a monitor takes it, which it does up to a number of them.
    pub(crate) fn admit(&mut self, default: &MonitorPlan, series: &Series, place: (usize, usize)) -> bool {
        if self.series.len() >= default.events().series_max as usize {
            return false;
        }
        self.sharers += budgeted(default, &series.model_id, &series.version, &series.kind) as u32;
        self.series.push(place);
        true
    }

    /// Says which versions are at work when all has been read: not those that gave way to newer ones, nor those that
    /// have been silent for so long that a monitor gives their share to the others.
    pub(crate) fn settle(&self, samples: &mut [Sample], versions_max: usize) {
        let mut newest: Vec<(Version, Timestamp)> = Vec::new();
        for (sample, version) in &self.series {
            let Some(one) = samples.get(*sample).and_then(|sample| sample.versions.get(*version)) else {
                continue;
            };
            match newest.iter_mut().find(|(name, _)| *name == one.version) {
                Some((_, last)) => *last = one.last.max(*last),
                None => newest.push((one.version.clone(), one.last)),
            }
        }
        newest.sort_by_key(|(_, last)| std::cmp::Reverse(*last));
        let now = newest.first().map_or(Timestamp::EPOCH, |(_, last)| *last);
        newest.truncate(versions_max);
        for (sample, version) in &self.series {
            let one = samples.get_mut(*sample).and_then(|sample| sample.versions.get_mut(*version));
            if let Some(one) = one {
                let kept = newest.iter().any(|(name, _)| *name == one.version);
                one.at_work = kept && one.last.plus(FalseAlarmBudget::SILENCE_MAX) > now;
            }
        }
    }
}

/// How many detectors of a plan share a model's budget for a version and kind.
pub(crate) fn budgeted(
    plan: &MonitorPlan,
    model: &ModelId,
    version: &Version,
    kind: &visu_tility_core::MetricKind,
) -> usize {
    plan.rules_for(model, version, kind).iter().filter(|(_, rule)| rule.check.is_budgeted()).count()
}
