//! Bayesian online change-point detection with a bounded number of run lengths.

mod gamma;
mod runs;

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u32, put_u64};
use crate::parameters::{parameters, words};
use crate::state::{self, Tally, VALUE_LIMIT, bounded, ensure};
use crate::{Detector, Direction, Level, ParamError, Signal};
use runs::{LEAST_WEIGHT, Prior, Run, Runs};

const VERSION: u8 = 1;
/// Larger counts are taken as this.
const COUNT_MAX: f64 = 1e9;
/// The least variance that a prior may expect, and the most that sums of squares may reach.
const SPREADS: (f64, f64) = (1e-60, 1e225);

/// What [`Bocpd`] takes the values of a segment for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum BocpdFamily {
    /// Normal values of unknown mean and variance.
    #[default]
    Gaussian,
    /// Zeros and ones of an unknown share. A value of at least 0.5 is a one.
    Bernoulli,
    /// Counts of an unknown mean. Values are rounded to whole numbers from 0 to 10^9.
    Poisson,
}

words!(BocpdFamily { Gaussian = "gaussian", Bernoulli = "bernoulli", Poisson = "poisson" });

parameters! {
    /// Parameters of [`Bocpd`].
    pub struct BocpdParams {
        /// What the values of a segment are.
        pub family: BocpdFamily = BocpdFamily::Gaussian,
        /// Probability of a change at each value, 1e-9 to 0.5: one over the expected length of a segment.
        pub hazard: f64 = 0.0002,
        /// Probability of a recent change that is a drift, in (0, 1).
        pub threshold: f64 = 0.5,
        /// Probability of a recent change that is a warning, in (0, `threshold`].
        pub warning: f64 = 0.25,
        /// How long ago, in values, a change is still recent; greater than `settle`.
        pub recent: u64 = 1000,
        /// Values that a new segment must have before it counts, at least 1; a few keep single wild values
        /// quiet.
        pub settle: u64 = 3,
        /// Values from which the prior's mean (and, of the Gaussian, deviation) is learnt; 0 takes those
        /// below. Ignored by the Bernoulli family.
        pub learn: u64 = 50,
        /// Prior mean of a segment: 1e-9 to 1 - 1e-9 with the Bernoulli family, 1e-9 to 1e9 with the Poisson
        /// family.
        pub prior_mean: f64 = 0.5,
        /// How many values the prior mean is worth, 1e-6 to 1e6.
        pub prior_weight: f64 = 1.0,
        /// Gaussian: prior standard deviation within a segment, 1e-30 to 1e100.
        pub prior_deviation: f64 = 1.0,
        /// Gaussian: half as many values as the prior deviation is worth, 0.01 to 1e6.
        pub prior_shape: f64 = 1.0,
        /// Run lengths that are kept, 8 to 64.
        pub runs: u16 = 48,
    }
}

impl BocpdParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { hazard, threshold, warning, recent, settle, learn, .. } = *self;
        ParamError::check("hazard", hazard, (1e-9..=0.5).contains(&hazard), "from 1e-9 to 0.5")?;
        ParamError::check("threshold", threshold, threshold > 0.0 && threshold < 1.0, "in (0, 1)")?;
        let ok = warning > 0.0 && warning <= threshold;
        ParamError::check("warning", warning, ok, "above 0 and at most `threshold`")?;
        ParamError::check("settle", settle as f64, settle >= 1, "at least 1")?;
        ParamError::check("recent", recent as f64, recent > settle, "greater than `settle`")?;
        let ok = learn == 0 || (2..=1 << 32).contains(&learn);
        ParamError::check("learn", learn as f64, ok, "0, or from 2 to 2^32")?;
        let Self { prior_mean, prior_weight, prior_deviation, prior_shape, runs, .. } = *self;
        let (ok, allowed) = match self.family {
            BocpdFamily::Gaussian => (prior_mean.abs() <= VALUE_LIMIT, "finite"),
            BocpdFamily::Bernoulli => ((1e-9..=1.0 - 1e-9).contains(&prior_mean), "from 1e-9 to 1 - 1e-9"),
            BocpdFamily::Poisson => ((1e-9..=COUNT_MAX).contains(&prior_mean), "from 1e-9 to 1e9"),
        };
        ParamError::check("prior_mean", prior_mean, ok, allowed)?;
        let ok = (1e-6..=1e6).contains(&prior_weight);
        ParamError::check("prior_weight", prior_weight, ok, "from 1e-6 to 1e6")?;
        let ok = (1e-30..=1e100).contains(&prior_deviation);
        ParamError::check("prior_deviation", prior_deviation, ok, "from 1e-30 to 1e100")?;
        let ok = (0.01..=1e6).contains(&prior_shape);
        ParamError::check("prior_shape", prior_shape, ok, "from 0.01 to 1e6")?;
        ParamError::check("runs", runs.into(), (8..=64).contains(&runs), "from 8 to 64")
    }

    /// How many values are learnt from.
    fn learns(&self) -> u64 {
        if self.family == BocpdFamily::Bernoulli { 0 } else { self.learn }
    }

    /// The belief about a segment of this mean and variance.
    fn prior(&self, mean: f64, variance: f64) -> Prior {
        let spread = match self.family {
            BocpdFamily::Gaussian => self.prior_shape * variance.max(SPREADS.0),
            _ => 0.0,
        };
        Prior { mean, weight: self.prior_weight, shape: self.prior_shape, spread }
    }
}

/// Bayesian online change-point detection (BOCPD): how long has the present segment lasted?
///
/// Use it when changes are rare and abrupt, values within a segment are independent, and a probability of
/// change is wanted rather than a guarantee. It sees changes of mean and of spread, and says when they were.
/// Values that are not of the family (heavy tails, correlation) look like changes to it: put a batcher or a
/// clip in front. There is no bound on false alarms; `hazard` and `threshold` trade them for delay. At the
/// defaults, measured on 300,000 values: one in 14,000 normal values, in 11,000 bits of share 0.1, in 8,000
/// counts of mean 4, but in 460 values of Student's t with 5 degrees of freedom; a shift of one deviation is
/// found after 19 values, of 0.5 after 67, of 0.3 after 170, a doubled spread after 13.
///
/// # Recurrence
///
/// The posterior of the run length `r`, the number of values since the last change, from the predictive
/// `p_r(x)` of the values of the run and the constant hazard `H`, then normalised:
///
/// `P(r+1) ~ P(r) p_r(x) (1 - H)`, `P(0) ~ sum over r of P(r) p_r(x) H`.
///
/// | family | belief about a segment before its first value | predictive |
/// |---|---|---|
/// | Gaussian | variance ~ inverse gamma(`prior_shape`, `prior_shape * prior_deviation^2`), mean ~ normal(`prior_mean`, variance / `prior_weight`) | Student's t |
/// | Bernoulli | share ~ beta(`prior_mean * prior_weight`, `(1 - prior_mean) * prior_weight`); by default Jeffreys' | Bernoulli |
/// | Poisson | mean ~ gamma(`prior_mean * prior_weight`, rate `prior_weight`) | negative binomial |
///
/// The first `learn` values give `prior_mean` and `prior_deviation` their place and scale, and start the
/// first run.
///
/// `statistic` is the probability that the present run has at least `settle` and at most `recent` values
/// and began after the start, or the last drift. [`Level::Drift`] when it reaches `threshold`. The posterior
/// is not touched by a drift; only runs that begin later count from then on.
/// `since` is the most probable of those run lengths, and the direction that of its mean against the mean
/// of the older runs before the statistic rose to `warning`.
///
/// # Runs that are kept
///
/// There are as many run lengths as values, so all but `runs` of them are merged: when the list is full, the
/// two neighbours are made one for which the smaller probability times the relative difference of their
/// lengths is least; the heavier's segment stays, with both probabilities. No probability is lost and the
/// heaviest run never goes; what is lost is where exactly, among nearly equal or hardly probable starts, the
/// segment began. On a stationary stream the kept starts thin out towards the past. So the cost per value
/// is the same for ever.
///
/// # Cost
///
/// For each kept run one logarithm (none in long, quiet runs), one exponential, a root and three divisions
/// (Gaussian); 40 bytes for each run, and 0.7 KB.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Bocpd, BocpdParams, Detector, Direction};
///
/// let mut test = Bocpd::new(BocpdParams::default())?;
/// // Around 20 for 300 values, one deviation higher after.
/// let value = |i: u64| (i * 37 % 101) as f64 / 29.0 + if i < 300 { 18.0 } else { 19.0 };
/// let (at, signal) = (0..600)
///     .map(|i| (i, test.update(value(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.since, signal.direction), (322, 23, Direction::Up));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values beyond ±1e100 are taken as ±1e100. A constant learning
/// phase gives a deviation of a millionth of the mean (of 1e-6 at mean 0).
///
/// # Differences
///
/// The paper keeps every run length, or drops those below a small probability, which on a stationary stream
/// keeps too many or loses mass. Unpruned, this is the paper's recursion to the digit.
///
/// # References
///
/// Adams and MacKay, "Bayesian Online Changepoint Detection", arXiv:0710.3742 (2007), section 2 and
/// algorithm 1; Murphy, "Conjugate Bayesian analysis of the Gaussian distribution" (2007) (the predictive
/// distribution).
#[derive(Clone, Debug)]
pub struct Bocpd {
    params: BocpdParams,
    tally: Tally,
    prior: Prior,
    runs: Runs,
    /// Runs that begin at or before this value do not count.
    settled: u64,
    /// The mean of the older runs before the statistic rose.
    before: f64,
    statistic: f64,
}

impl Bocpd {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: BocpdParams) -> Result<Self, ParamError> {
        params.validate()?;
        let deviation = params.prior_deviation;
        let mut detector = Self {
            params,
            tally: Tally::default(),
            prior: params.prior(params.prior_mean, deviation * deviation),
            runs: Runs::new(params.runs.into(), params.prior_shape),
            settled: 0,
            before: 0.0,
            statistic: 0.0,
        };
        detector.reset();
        Ok(detector)
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &BocpdParams {
        &self.params
    }

    /// Returns the kept run lengths in values, the longest first, each with its probability; none while it
    /// learns.
    pub fn run_lengths(&self) -> impl Iterator<Item = (u64, f64)> {
        let learnt = self.tally.taken >= self.params.learns();
        let now = self.tally.taken;
        self.runs.list.iter().filter(move |_| learnt).map(move |run| (now - run.start, run.weight))
    }

    /// Counts the bytes that the detector holds, on the heap included.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.runs.list.capacity() * size_of::<Run>()
    }

    /// A run without values.
    fn fresh(&self, weight: f64) -> Run {
        let level = if self.params.family == BocpdFamily::Gaussian { self.prior.mean } else { 0.0 };
        Run::new(self.tally.taken, weight, level, self.prior.spread)
    }

    fn mean(&self, run: &Run) -> f64 {
        if self.params.family == BocpdFamily::Gaussian {
            return run.level;
        }
        let length = (self.tally.taken - run.start) as f64;
        (self.prior.sum() + run.level) / (self.prior.weight + length)
    }

    /// Adds a value to the mean and the squared deviations in the first run; the last one sets the prior.
    #[cold]
    fn learn(&mut self, value: f64) {
        let (gaussian, n) = (self.params.family == BocpdFamily::Gaussian, self.tally.taken as f64);
        let last = self.tally.taken == self.params.learns();
        let Some(run) = self.runs.list.first_mut() else { return };
        let apart = value - run.level;
        run.level += apart / n;
        run.spread += apart * (value - run.level);
        if !last {
            return;
        }
        let (mean, squares) = (run.level, run.spread.max(0.0));
        let least = 1e-6 * if mean == 0.0 { 1.0 } else { mean.abs() };
        let variance = (squares / (n - 1.0)).max(least * least);
        let mean = if gaussian { mean } else { mean.max(0.5 / n) };
        self.prior = self.params.prior(mean, variance);
        run.weight = 1.0 - self.params.hazard;
        (run.level, run.spread) =
            if gaussian { (mean, self.prior.spread + squares / 2.0) } else { (run.level * n, 0.0) };
        self.before = mean;
        self.runs.push(self.fresh(self.params.hazard));
    }

    /// Takes a value as the family sees it.
    fn step(&mut self, value: f64) {
        let (before, hazard) = (self.tally.taken - 1, self.params.hazard);
        let best = match self.params.family {
            BocpdFamily::Gaussian => self.runs.gaussian(value, before, &self.prior),
            BocpdFamily::Bernoulli => self.runs.bernoulli(value >= 0.5, before, &self.prior),
            BocpdFamily::Poisson => self.runs.poisson(value, before, &self.prior),
        };
        self.runs.normalise(best, 1.0 - hazard);
        self.runs.push(self.fresh(hazard));
    }

    /// Adds up the runs that count.
    fn changed(&self) -> Changed {
        let now = self.tally.taken;
        let BocpdParams { recent, settle, .. } = self.params;
        let first = (self.settled + 1).max(now.saturating_sub(recent));
        let last = now.saturating_sub(settle);
        let mut found = Changed { probability: 0.0, run: None, before: None };
        let likelier = |run: &Run, best: Option<Run>| best.is_none_or(|best| run.weight > best.weight);
        for run in &self.runs.list {
            if run.start < first {
                if likelier(run, found.before) {
                    found.before = Some(*run);
                }
            } else if run.start <= last {
                found.probability += run.weight;
                if likelier(run, found.run) {
                    found.run = Some(*run);
                }
            }
        }
        found.probability = found.probability.min(1.0);
        found
    }
}

/// What the runs say of a recent change.
struct Changed {
    probability: f64,
    /// The likeliest run that counts.
    run: Option<Run>,
    /// The likeliest of those that began too early to count.
    before: Option<Run>,
}

impl Detector for Bocpd {
    fn update(&mut self, value: f64) -> Signal {
        let BocpdParams { threshold, warning, family, .. } = self.params;
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, threshold);
        };
        let value = match family {
            BocpdFamily::Poisson => (value.clamp(0.0, COUNT_MAX) + 0.5) as u64 as f64,
            _ => value,
        };
        if self.tally.taken <= self.params.learns() {
            self.learn(value);
            return Signal::quiet(0.0, threshold);
        }
        self.step(value);
        let changed = self.changed();
        let statistic = changed.probability;
        self.statistic = statistic;
        if statistic < warning {
            if let Some(run) = changed.before {
                self.before = self.mean(&run);
            }
            return Signal::quiet(statistic, threshold);
        }
        let Some(run) = changed.run else { return Signal::quiet(statistic, threshold) };
        let since = self.tally.taken - run.start;
        let direction = match self.mean(&run) - self.before {
            apart if apart > 0.0 => Direction::Up,
            apart if apart < 0.0 => Direction::Down,
            _ => Direction::Unknown,
        };
        let level = if statistic >= threshold {
            self.settled = self.tally.taken;
            Level::Drift
        } else {
            Level::Warning
        };
        Signal { level, direction, statistic, threshold, since }
    }

    fn reset(&mut self) {
        let deviation = self.params.prior_deviation;
        self.prior = self.params.prior(self.params.prior_mean, deviation * deviation);
        self.tally = Tally::default();
        self.settled = 0;
        self.before = self.prior.mean;
        self.statistic = 0.0;
        self.runs.list.clear();
        let first = if self.params.learns() > 0 { Run::new(0, 1.0, 0.0, 0.0) } else { self.fresh(1.0) };
        self.runs.push(first);
    }

    fn name(&self) -> &'static str {
        "bocpd"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    /// Returns the mean of the most probable run.
    fn estimation(&self) -> Option<f64> {
        if self.tally.taken < self.params.learns().max(1) {
            return None;
        }
        self.runs.likeliest().map(|run| self.mean(run))
    }

    /// Returns the mean of the older runs before the statistic rose to `warning`.
    fn baseline(&self) -> Option<f64> {
        (self.tally.taken >= self.params.learns().max(1)).then_some(self.before)
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_f64(out, self.prior.mean);
        put_f64(out, self.prior.spread);
        put_u64(out, self.settled);
        put_f64(out, self.before);
        put_f64(out, self.statistic);
        put_u32(out, self.runs.list.len() as u32);
        for run in &self.runs.list {
            put_u64(out, run.start);
            put_f64(out, run.weight);
            put_f64(out, run.level);
            put_f64(out, run.spread);
        }
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "bocpd", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let (mean, spread) = (bytes.finite("prior")?, bytes.finite("prior")?);
        let gaussian = self.params.family == BocpdFamily::Gaussian;
        let ok = if gaussian {
            mean.abs() <= VALUE_LIMIT * 1.01 && spread >= SPREADS.0 * self.params.prior_shape
        } else {
            mean > 0.0 && mean <= COUNT_MAX * 1.01 && spread == 0.0
        };
        ensure(ok && spread <= SPREADS.1, "prior")?;
        let settled = bytes.u64()?;
        ensure(settled <= tally.taken, "settled")?;
        let before = bounded(bytes, "before", 1.01)?;
        let statistic = bytes.f64()?;
        ensure((0.0..=1.0).contains(&statistic), "statistic")?;
        let held = bytes.u32()?;
        ensure(held >= 1 && held <= self.params.runs.into(), "runs")?;
        let learning = tally.taken < self.params.learns();
        ensure(!learning || held == 1, "runs")?;
        let prior = Prior { mean, spread, ..self.prior };
        let mut runs = Runs::new(self.params.runs.into(), self.params.prior_shape);
        let (mut sum, mut next) = (0.0, 0);
        for _ in 0..held {
            let start = bytes.u64()?;
            let [weight, level, spread] = [bytes.f64()?, bytes.f64()?, bytes.f64()?];
            ensure(start >= next && start <= tally.taken && (!learning || start == 0), "start")?;
            // Smaller ones are held at 0: a sum of them could not be divided by.
            ensure(weight == 0.0 || (LEAST_WEIGHT..=1.0).contains(&weight), "weight")?;
            let (values, least) = ((tally.taken - start) as f64, if learning { 0.0 } else { prior.spread });
            let ok = match self.params.family {
                BocpdFamily::Gaussian => level.abs() <= VALUE_LIMIT * 1.01,
                // Ones among the values: a share above 1 would make weights negative.
                BocpdFamily::Bernoulli => (0.0..=values).contains(&level),
                BocpdFamily::Poisson => level >= 0.0 && level <= COUNT_MAX * values.max(1.0) * 1.01,
            };
            ensure(ok, "level")?;
            ensure(spread >= least && spread <= SPREADS.1, "spread")?;
            runs.push(Run::new(start, weight, level, spread));
            (sum, next) = (sum + weight, start + 1);
        }
        ensure((0.99..=1.01).contains(&sum), "weight")?;
        *self = Self { params: self.params, tally, prior, runs, settled, before, statistic };
        Ok(())
    }
}
