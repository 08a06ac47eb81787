//! Run lengths and delays, by seeded simulation.

use alloc::vec::Vec;

use crate::calibration::special::{bisect, poisson_cdf};
use crate::math::sqrt;
use crate::simulate::{Random, Source};
use crate::{Detector, ParamError};

/// How much to simulate, and from which seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Independent streams, at least 1.
    pub runs: u64,
    /// Values after which a stream is given up, at least 1.
    pub cap: u64,
    /// Seed; each stream's own is derived from it.
    pub seed: u64,
}

impl Trial {
    fn check(&self) -> Result<(), ParamError> {
        ParamError::check("runs", self.runs as f64, self.runs >= 1, "at least 1")?;
        ParamError::check("cap", self.cap as f64, self.cap >= 1, "at least 1")
    }
}

/// Times to the first false alarm, some of them cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RunLength {
    /// Streams.
    pub runs: u64,
    /// Streams that gave an alarm before the cap.
    pub alarms: u64,
    /// Values of all streams up to their alarm or the cap.
    pub values: f64,
    /// Sum of the squares of the streams' numbers of values.
    squares: f64,
}

impl RunLength {
    /// Adds a stream of so many values, with an alarm on the last or cut off after it.
    pub fn add(&mut self, values: u64, alarm: bool) {
        let values = values as f64;
        self.runs += 1;
        self.alarms += u64::from(alarm);
        self.values += values;
        self.squares += values * values;
    }

    /// Counts the streams that were cut off.
    pub const fn censored(&self) -> u64 {
        self.runs - self.alarms
    }

    /// Returns the average run length, or nothing without an alarm.
    ///
    /// Without cuts it is the mean. With cuts it is all values over all alarms, the maximum likelihood
    /// estimate when the chance of an alarm is the same on every value. A detector that starts afresh is
    /// less likely to alarm at first, so cutting early makes it too large: take a cap of several times
    /// the run length, or read [`RunLength::cut_mean`], which claims less.
    pub fn mean(&self) -> Option<f64> {
        (self.alarms > 0).then(|| self.values / self.alarms as f64)
    }

    /// Returns the mean of the values looked at: without cuts the average run length, with cuts less than
    /// it, whatever the law; nothing without streams.
    pub fn cut_mean(&self) -> Option<f64> {
        (self.runs > 0).then(|| self.values / self.runs as f64)
    }

    /// Returns the standard error of [`RunLength::mean`], or nothing with fewer than two alarms.
    pub fn standard_error(&self) -> Option<f64> {
        let mean = self.mean().filter(|_| self.alarms > 1)?;
        let n = self.alarms as f64;
        if self.censored() > 0 {
            return Some(mean / sqrt(n));
        }
        Some(sqrt(((self.squares - n * mean * mean) / (n - 1.0)).max(0.0) / n))
    }

    /// Returns what the average run length is at least, with a confidence in (0, 1), when the chance of an
    /// alarm is the same on every value; nothing without values. Without any alarm it is a third of the
    /// values at 95 %.
    pub fn at_least(&self, confidence: f64) -> Option<f64> {
        if !(confidence > 0.0 && confidence < 1.0) || self.values <= 0.0 {
            return None;
        }
        // The alarms that would have been so few with a chance of 1 - confidence.
        let most = 2.0 * self.alarms as f64 + 100.0 + 50.0 * sqrt(self.alarms as f64);
        let expected = bisect(0.0, most, |rate| poisson_cdf(self.alarms, rate) <= 1.0 - confidence);
        Some(self.values / expected)
    }
}

/// Measures the mean number of values to the first alarm on streams without a change.
///
/// The detector is copied afresh for each stream (also with what it has seen, if anything). The same
/// arguments give the same answer.
///
/// # Errors
///
/// Fails when a number of `source` or `trial` is out of range.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::calibration::{Trial, measure_arl};
/// use visu_tility_drift::simulate::Source;
/// use visu_tility_drift::{MixtureESr, MixtureParams};
///
/// let errors = MixtureESr::new(MixtureParams { m_pre: 0.1, arl: 1_000.0, ..Default::default() })?;
/// let trial = Trial { runs: 200, cap: 20_000, seed: 1 };
/// let measured = measure_arl(&errors, &Source::Bernoulli { p: 0.1 }, trial)?;
/// assert!(measured.mean().is_some_and(|arl| arl >= 1_000.0));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
pub fn measure_arl<D: Detector + Clone>(
    detector: &D,
    source: &Source,
    trial: Trial,
) -> Result<RunLength, ParamError> {
    trial.check()?;
    let mut measured = RunLength::default();
    for run in 0..trial.runs {
        let mut stream = source.stream(Random::fork(trial.seed, run))?;
        let mut own = detector.clone();
        own.reseed(Random::fork(!trial.seed, run));
        let alarm = (1..=trial.cap).find(|_| own.update(stream.draw()).drift_detected());
        measured.add(alarm.unwrap_or(trial.cap), alarm.is_some());
    }
    Ok(measured)
}

/// How long a change goes unseen.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Delay {
    /// Mean number of values from the first changed one to the alarm, both included; streams that were cut
    /// off count as the cap, so with any of these it is less than the true mean. 0 without streams.
    pub mean: f64,
    /// Standard error of `mean`; 0 with fewer than two streams.
    pub standard_error: f64,
    /// Median number of values among all streams that count, one that was cut off being beyond every other;
    /// `None` without streams, and where so many were cut off that it is not known.
    pub median: Option<f64>,
    /// Streams that count.
    pub runs: u64,
    /// Streams in which the change was not seen before the cap.
    pub missed: u64,
    /// Streams that do not count, because of an alarm before the change.
    pub early: u64,
}

/// Predicts the delay of a detector for a change from one law to another after `history` good values.
///
/// The mean is over streams without an alarm before the change. Detectors that learn the good level are
/// given `history` values to learn it from; others need none. One that draws random numbers of its own draws
/// others in each stream ([`Detector::reseed`]).
///
/// # Errors
///
/// Fails when a number of `before`, `after` or `trial` is out of range.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::calibration::{Trial, predict_delay};
/// use visu_tility_drift::simulate::Source;
/// use visu_tility_drift::{MixtureESr, MixtureParams};
///
/// // Accuracy falls from 0.95 to 0.90: errors from one in twenty to one in ten.
/// let errors = MixtureESr::new(MixtureParams { m_pre: 0.06, delta_lower: 0.02, ..Default::default() })?;
/// let (good, bad) = (Source::Bernoulli { p: 0.05 }, Source::Bernoulli { p: 0.1 });
/// let delay = predict_delay(&errors, &good, &bad, 500, Trial { runs: 200, cap: 20_000, seed: 1 })?;
/// assert!((150.0..450.0).contains(&delay.mean) && delay.standard_error < 30.0, "{delay:?}");
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
pub fn predict_delay<D: Detector + Clone>(
    detector: &D,
    before: &Source,
    after: &Source,
    history: u64,
    trial: Trial,
) -> Result<Delay, ParamError> {
    trial.check()?;
    after.check()?;
    let mut delays = RunLength::default();
    let (mut early, mut found) = (0, Vec::new());
    for run in 0..trial.runs {
        let mut stream = before.stream(Random::fork(trial.seed, run))?;
        let mut own = detector.clone();
        own.reseed(Random::fork(!trial.seed, run));
        if (0..history).any(|_| own.update(stream.draw()).drift_detected()) {
            early += 1;
            continue;
        }
        stream.change(after.clone())?;
        let alarm = (1..=trial.cap).find(|_| own.update(stream.draw()).drift_detected());
        delays.add(alarm.unwrap_or(trial.cap), alarm.is_some());
        found.extend(alarm);
    }
    let n = delays.runs as f64;
    let mean = delays.cut_mean().unwrap_or(0.0);
    let spread = (delays.squares - n * mean * mean).max(0.0);
    let standard_error = if delays.runs > 1 { sqrt(spread / (n - 1.0) / n) } else { 0.0 };
    let median = median(found, delays.runs);
    Ok(Delay { mean, standard_error, median, runs: delays.runs, missed: delays.censored(), early })
}

/// The median of `runs` delays, of which those that are not among the `found` are longer than any.
fn median(mut found: Vec<u64>, runs: u64) -> Option<f64> {
    found.sort_unstable();
    let at = |place: u64| found.get(usize::try_from(place).ok()?).map(|delay| *delay as f64);
    Some(f64::midpoint(at(runs.checked_sub(1)? / 2)?, at(runs / 2)?))
}
