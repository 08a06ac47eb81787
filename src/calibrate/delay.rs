//! How soon a change of a stated size is seen: seeded simulations of the detector that would watch.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use visu_tility_core::{MetricKind, ValueRange};
use visu_tility_drift::calibration::{RunLength, Trial, measure_arl, predict_delay};
use visu_tility_drift::simulate::Source;
use visu_tility_drift::{AnyParams, Direction, ParamError, Preparation, PreparationParams, Prepared};

use super::Calibrate;
use super::choice::Choice;
use super::history::{Sample, VALUE_LIMIT};
use super::plan::{Decided, keep_firing};
use super::season::Residuals;
use super::sharing::VersionRate;

/// Values after which a change counts as not seen; times the length of batches, up to [`BATCHES_MAX`].
const CAP: u64 = 10_000;

/// The changes that are asked about where nobody says which, at most: of a level that is bad in a smaller share of values
/// once and twice that share.
const DROPS: [f64; 2] = [0.05, 0.1];

/// How many times longer one waits for changes that are small because errors are rare.
const PATIENCE: u64 = 32;

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
    /// Median number of values from the first changed one to the alarm, over all streams that count: one in which the
    /// change was not seen within `cap` values is later than every other. `None` when that is half of them or more.
    pub values: Option<f64>,
    /// The same time in seconds, at the rate of the version with the most values.
    pub seconds: Option<f64>,
    /// Mean number of values; `None` when the change was not seen in some stream.
    pub mean: Option<f64>,
    /// Standard error of the mean; `None` with it.
    pub standard_error: Option<f64>,
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
    /// Share of what is bad.
    bad: f64,
    /// Good values before a change, and values after which run lengths are cut off and changes count as not seen.
    history: u64,
    cap: u64,
    patience: u64,
    /// The least change that matters, for a detector that fires again and again.
    least: Option<Least>,
}

/// The least change of a level from 0 to 1 that matters to an `e-sr`: the least that is asked about, or as much as the
/// bad share where that is less.
#[derive(Clone, Copy, Debug)]
struct Least {
    to: f64,
    /// About how many values it takes.
    values: f64,
}

impl Least {
    fn of(options: &Calibrate, Decided { sample, choice, arl, .. }: Decided<'_>) -> Option<Self> {
        let AnyParams::MixtureESr(params) = choice.proposal.as_ref()?.params else { return None };
        let (mean, spread) = sample.moments();
        let bad = choice.bad_share(sample);
        let asked = changes(options, &sample.kind, mean, spread, bad);
        let nearest = asked.into_iter().min_by(|a, b| (a - mean).abs().total_cmp(&(b - mean).abs()));
        let moved = nearest.map_or(params.delta_lower, |to| (to - mean).abs());
        let moved = if bad > 0.0 { moved.min(bad) } else { moved };
        let down = sample.kind.bad_direction() == Direction::Down;
        // The divergence of two Bernoulli laws, to its second order.
        let values = 2.0 * params.m_pre * (1.0 - params.m_pre) * arl?.ln() / (moved * moved);
        let to = if down { mean - moved } else { mean + moved };
        (sample.kind.range() == ValueRange::Unit && values.is_finite()).then_some(Self { to, values })
    }
}

/// How long an alert is kept, where nothing can be simulated.
pub(crate) fn keep_firing_unsimulated(options: &Calibrate, one: Decided<'_>) -> Option<Duration> {
    let rate = one.sample.leading()?.values_per_day()?;
    Some(keep_firing(Least::of(options, one)?.values / rate * 86_400.0))
}

impl<'a> Simulation<'a> {
    /// Sets one up, where there are a detector and values to draw from.
    pub(crate) fn of(options: &'a Calibrate, one: Decided<'a>) -> Result<Option<Self>, ParamError> {
        let Decided { sample, choice, arl, .. } = one;
        let Some((detector, learns)) = detector(choice, arl)? else { return Ok(None) };
        if sample.kept.len() < 2 {
            return Ok(None);
        }
        let batch = choice.batch_given();
        let (mean, spread) = sample.moments();
        let seasonal = choice.proposal.as_ref().and_then(|proposal| proposal.preparation.seasonal);
        let rest = seasonal.map(|stage| Residuals::of(sample, stage)).transpose()?;
        let (values, per_unit) = rest.map_or((sample.kept.clone(), 1.0), |rest| (rest.values, rest.per_unit));
        let law = Law::of(values, sample, choice, mean);
        // No more than a run length: else false alarms come before the change.
        let room = arl.map_or(u64::MAX, |arl| (arl as u64).max(SETTLED));
        let history = (learns * batch.min(LEARNT_MAX)).min(room);
        let cap = CAP * batch.min(BATCHES_MAX);
        let least = Least::of(options, one);
        let patience = least.map_or(cap, |least| cap.max((4.0 * least.values) as u64).min(cap * PATIENCE));
        let bad = choice.bad_share(sample);
        Ok(Some(Self {
            options,
            sample,
            detector,
            law,
            per_unit,
            mean,
            spread,
            bad,
            history,
            cap,
            patience,
            least,
        }))
    }

    /// How long an alert is kept after the last alarm; `None` as in the default plan.
    pub(crate) fn keep_firing(&self, delays: &[PredictedDelay]) -> Result<Option<Duration>, ParamError> {
        let rate = self.sample.leading().and_then(VersionRate::values_per_day);
        let Some((least, rate)) = self.least.zip(rate) else { return Ok(None) };
        let known = delays.iter().find(|delay| (delay.to - least.to).abs() < 1e-12);
        let simulated = known.map_or_else(|| self.delay(least.to), |known| Ok(known.clone()))?;
        let values = simulated.mean.unwrap_or_else(|| least.values.max(simulated.values.unwrap_or(0.0)));
        Ok(Some(keep_firing(values / rate * 86_400.0)))
    }

    /// Predicts the delays of the changes that are asked about.
    pub(crate) fn delays(&self) -> Result<Vec<PredictedDelay>, ParamError> {
        let changes = changes(self.options, &self.sample.kind, self.mean, self.spread, self.bad);
        changes.into_iter().map(|to| self.delay(to)).collect()
    }

    fn delay(&self, to: f64) -> Result<PredictedDelay, ParamError> {
        let (from, cap, runs) = (self.mean, self.patience, self.options.runs);
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
        let values = found.median;
        let rate = self.sample.leading().and_then(VersionRate::values_per_day);
        let whole = found.runs > 0 && found.missed == 0;
        Ok(PredictedDelay {
            from,
            to,
            values,
            seconds: values.zip(rate).map(|(values, rate)| values / rate * 86_400.0),
            mean: whole.then_some(found.mean),
            standard_error: whole.then_some(found.standard_error),
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
fn changes(options: &Calibrate, kind: &MetricKind, mean: f64, spread: f64, bad: f64) -> Vec<f64> {
    let down = kind.bad_direction() == Direction::Down;
    let mut levels: Vec<f64> = if kind.range() == ValueRange::Unit {
        let room = if down { mean / 2.0 } else { (1.0 - mean) / 2.0 };
        let usual = DROPS.map(|drop| if bad > 0.0 { drop.min(drop / DROPS[0] * bad) } else { drop });
        let drops = if options.drops.is_empty() { &usual[..] } else { &options.drops };
        let moved = drops.iter().map(|drop| drop.min(room)).filter(|moved| *moved > 0.0);
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
    let mut stages = PreparationParams { seasonal: None, ..*change.preparation() };
    if let Some(batch) = &mut stages.batch {
        // What a monitor learns from the values.
        batch.length = choice.batch_given();
    }
    let preparation = Preparation::new(stages)?;
    if change.is_budgeted() {
        let _ = arl.map(|arl| params.set_arl(preparation.arl(arl)));
    }
    let learns = LEARNT + standardized(&stages);
    Ok(Some((Prepared::new(stages, params.build()?)?, learns)))
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
        let of = |kind, mean: f64, spread, bad| changes(&options, &kind, mean, spread, bad);
        near(of(MetricKind::Correct, 0.95, 0.2, 0.06), &[0.9, 0.85]);
        near(of(MetricKind::Correct, 0.1, 0.2, 0.9), &[0.05]);
        near(of(MetricKind::ErrorRate, 0.9, 0.2, 0.9), &[0.95]);
        near(of(MetricKind::LatencyMs, 10.0, 2.0, 0.0), &[11.0, 12.0]);
        near(of(MetricKind::Throughput, 10.0, 2.0, 0.0), &[9.0, 8.0]);
        near(of(MetricKind::LatencyMs, 10.0, 0.0, 0.0), &[]);
        near(of(MetricKind::Correct, 0.0, 0.0, 1.0), &[]);
    }

    #[test]
    fn rare_errors_are_asked_about_in_their_own_measure() {
        let mut options = Calibrate::new(1.0).unwrap();
        let of = |options: &Calibrate, kind, mean| changes(options, &kind, mean, 0.03, 0.001);
        let near = |found: &[f64], wanted: [f64; 2]| {
            assert!(
                found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12) && found.len() == 2,
                "{found:?}"
            );
        };
        near(&of(&options, MetricKind::Correct, 0.999), [0.998, 0.997]);
        near(&of(&options, MetricKind::ErrorRate, 0.001), [0.002, 0.003]);
        options.drops = vec![0.05, 0.1];
        near(&of(&options, MetricKind::Correct, 0.999), [0.949, 0.899]);
    }
}
