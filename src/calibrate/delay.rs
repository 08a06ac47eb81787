//! How soon a change of a stated size is seen: seeded simulations of the detector that would watch.

use std::sync::Arc;

use serde::Serialize;
use visu_tility_core::{MetricKind, ValueRange};
use visu_tility_drift::calibration::{RunLength, Trial, measure_arl, predict_delay};
use visu_tility_drift::simulate::Source;
use visu_tility_drift::{Direction, ParamError, Preparation, PreparationParams, Prepared};

use super::Calibrate;
use super::choice::{Choice, batch_length};
use super::history::{Sample, VALUE_LIMIT};
use super::plan::Decided;
use super::season::Residuals;

/// Values after which a change counts as not seen; times the length of batches, up to [`BATCHES_MAX`].
const CAP: u64 = 10_000;

/// Good values before the change, for a detector that knows its level and for one that learns it.
const SETTLED: u64 = 200;
const LEARNT: u64 = 1_000;

/// How many times longer batches make the wait for a change at most.
const BATCHES_MAX: u64 = 8;
/// And the good values before it, in which a detector behind batches learns.
const LEARNT_MAX: u64 = 256;

/// Streams of the look ahead that tells whether a change is seen at all.
const PILOT: u64 = 5;

/// How soon one change is seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PredictedDelay {
    /// Level before the change.
    pub from: f64,
    /// Level after it.
    pub to: f64,
    /// Mean number of values from the first changed one to the alarm; `None` when no stream had an alarm
    /// in time. Where some had none it is too small: see `missed`.
    pub values: Option<f64>,
    /// Its standard error.
    pub standard_error: f64,
    /// The same time in seconds, at the rate of the history.
    pub seconds: Option<f64>,
    /// Streams that count.
    pub runs: u64,
    /// Streams among them in which the change was not seen within `cap` values.
    pub missed: u64,
    /// Streams that do not count, because of an alarm before the change.
    pub early: u64,
    /// Values after which a change counts as not seen.
    pub cap: u64,
}

/// The detector that watches a kind, on streams like its history.
pub(crate) struct Simulation<'a> {
    options: &'a Calibrate,
    sample: &'a Sample,
    detector: Prepared,
    law: Law,
    /// What a detector is given for one unit of the values.
    per_unit: f64,
    mean: f64,
    spread: f64,
    /// Good values before a change, and values after which one counts as not seen.
    history: u64,
    cap: u64,
}

impl<'a> Simulation<'a> {
    /// Sets one up, where there are a detector and values to draw from.
    pub(crate) fn of(
        options: &'a Calibrate,
        Decided { sample, choice, arl, .. }: Decided<'a>,
    ) -> Result<Option<Self>, ParamError> {
        let Some((detector, learns)) = detector(choice, arl)? else { return Ok(None) };
        if sample.kept.len() < 2 {
            return Ok(None);
        }
        let batch = choice.proposal.as_ref().map_or(1, batch_length);
        let (mean, spread) = sample.moments();
        let seasonal = choice.proposal.as_ref().and_then(|proposal| proposal.preparation.seasonal);
        let rest = seasonal.map(|stage| Residuals::of(sample, stage)).transpose()?;
        let (values, per_unit) = rest.map_or((sample.kept.clone(), 1.0), |rest| (rest.values, rest.per_unit));
        let law = Law::of(values, sample, choice, mean);
        // No more than a run length: else false alarms come before the change.
        let room = arl.map_or(u64::MAX, |arl| (arl as u64).max(SETTLED));
        let history = (learns * batch.min(LEARNT_MAX)).min(room);
        let cap = CAP * batch.min(BATCHES_MAX);
        Ok(Some(Self { options, sample, detector, law, per_unit, mean, spread, history, cap }))
    }

    /// Predicts the delays of the changes that are asked about.
    pub(crate) fn delays(&self) -> Result<Vec<PredictedDelay>, ParamError> {
        let changes = changes(self.options, &self.sample.kind, self.mean, self.spread);
        changes.into_iter().map(|to| self.delay(to)).collect()
    }

    fn delay(&self, to: f64) -> Result<PredictedDelay, ParamError> {
        let (from, cap, runs) = (self.mean, self.cap, self.options.runs);
        let (before, after) =
            (self.law.at(from, from), self.law.at(from, from + (to - from) * self.per_unit));
        let run = |runs: u64| {
            let trial = Trial { runs, cap, seed: self.options.seed };
            predict_delay(&self.detector, &before, &after, self.history, trial)
        };
        let mut found = run(runs.min(PILOT))?;
        if (found.missed < found.runs || found.runs == 0) && runs > PILOT {
            found = run(runs)?;
        }
        let values = (found.missed < found.runs).then_some(found.mean);
        let rate = self.sample.values_per_day();
        Ok(PredictedDelay {
            from,
            to,
            values,
            standard_error: found.standard_error,
            seconds: values.zip(rate).map(|(values, rate)| values / rate * 86_400.0),
            runs: found.runs,
            missed: found.missed,
            early: found.early,
            cap,
        })
    }

    /// Measures the run length between false alarms, from the first value on; the same for any number of
    /// `runs` that is wished for, because proposals rest on it.
    pub(crate) fn run_length(&self, streams: u64) -> Result<RunLength, ParamError> {
        let trial = Trial { runs: streams, cap: self.cap, seed: self.options.seed };
        measure_arl(&self.detector, &self.law.at(self.mean, self.mean), trial)
    }
}

/// The levels after the changes that are asked about.
fn changes(options: &Calibrate, kind: &MetricKind, mean: f64, spread: f64) -> Vec<f64> {
    let down = kind.bad_direction() == Direction::Down;
    let mut levels: Vec<f64> = if kind.range() == ValueRange::Unit {
        let room = if down { mean / 2.0 } else { (1.0 - mean) / 2.0 };
        let moved = options.drops.iter().map(|drop| drop.min(room)).filter(|moved| *moved > 0.0);
        moved.map(|moved| if down { mean - moved } else { mean + moved }).collect()
    } else {
        let moved = options.shifts.iter().map(|shift| shift * spread).filter(|moved| *moved > 0.0);
        moved.map(|moved| if down { mean - moved } else { mean + moved }).collect()
    };
    levels.retain(|level| (level - mean).abs() <= VALUE_LIMIT && *level != mean);
    levels.dedup();
    levels
}

/// The detector as it would stand in a service, and how many values it is given to learn from.
fn detector(choice: &Choice, arl: Option<f64>) -> Result<Option<(Prepared, u64)>, ParamError> {
    if let Some(proposal) = &choice.proposal {
        let mut params = proposal.params;
        // Simulated streams have no times: they are drawn from what is left without the season.
        let stages = PreparationParams { seasonal: None, ..proposal.preparation };
        let preparation = Preparation::new(stages)?;
        // What the budget will set; a detector that refuses it keeps its own.
        let _ = arl.map(|arl| params.set_arl(preparation.arl(arl)));
        let known = proposal.baseline.is_some() && proposal.params.get("m_pre").is_some();
        let learns = if known { SETTLED } else { LEARNT } + standardized(&stages);
        return Ok(Some((Prepared::new(stages, params.build()?)?, learns)));
    }
    let Some(change) = choice.default_change() else { return Ok(None) };
    let mut params = *change.detector();
    if change.is_budgeted() {
        let _ = arl.map(|arl| params.set_arl(arl));
    }
    let preparation = *change.preparation();
    let learns = LEARNT + standardized(&preparation);
    Ok(Some((Prepared::new(preparation, params.build()?)?, learns)))
}

fn standardized(preparation: &PreparationParams) -> u64 {
    preparation.standardize.map_or(0, |scale| scale.learn)
}

/// The law of the values, as the history has it.
enum Law {
    /// Single bits, in runs where they are alike.
    Bits { phi: f64 },
    /// The history itself, drawn in blocks.
    History { values: Arc<[f64]>, block: u64 },
}

impl Law {
    fn of(values: Vec<f64>, sample: &Sample, choice: &Choice, mean: f64) -> Self {
        let time = choice.autocorrelation_time.max(1.0);
        let bits = sample.kind.range() == ValueRange::Unit && (0.0..=1.0).contains(&mean);
        if bits && values.iter().all(|value| *value == 0.0 || *value == 1.0) {
            // Of values that repeat with probability phi the time is (1 + phi) / (1 - phi).
            return Self::Bits { phi: ((time - 1.0) / (time + 1.0)).min(0.999) };
        }
        let most = (values.len() as u64 / 4).max(1);
        let block = if time > 1.0 { ((4.0 * time).ceil() as u64).clamp(1, most) } else { 1 };
        Self::History { values: values.into(), block }
    }

    /// The law when its level has moved.
    fn at(&self, from: f64, to: f64) -> Source {
        match self {
            Self::Bits { phi } if *phi > 0.0 => Source::Sticky { p: to.clamp(0.0, 1.0), phi: *phi },
            Self::Bits { .. } => Source::Bernoulli { p: to.clamp(0.0, 1.0) },
            Self::History { values, block } => {
                Source::History { values: Arc::clone(values), block: *block, shift: to - from }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_goes_at_most_half_the_way() {
        let options = Calibrate::new(1.0).unwrap();
        let near = |found: Vec<f64>, wanted: &[f64]| {
            assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-12, "{found} against {wanted}");
            }
        };
        near(changes(&options, &MetricKind::Correct, 0.95, 0.2), &[0.9, 0.85]);
        near(changes(&options, &MetricKind::Correct, 0.1, 0.2), &[0.05]);
        near(changes(&options, &MetricKind::ErrorRate, 0.9, 0.2), &[0.95]);
        near(changes(&options, &MetricKind::LatencyMs, 10.0, 2.0), &[11.0, 12.0]);
        near(changes(&options, &MetricKind::Throughput, 10.0, 2.0), &[9.0, 8.0]);
        near(changes(&options, &MetricKind::LatencyMs, 10.0, 0.0), &[]);
        near(changes(&options, &MetricKind::Correct, 0.0, 0.0), &[]);
    }
}
