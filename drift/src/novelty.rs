//! Novelty: how far a value is from every value seen.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::habituation::{Habit, Habituation, Verdict};
use crate::parameters::parameters;
use crate::spans::Spans;
use crate::state::{self, Tally, bounded, ensure};
use crate::{Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;
/// Values in a short mean.
const SHORT: usize = 5;
/// Intervals kept of each view.
const SPANS: usize = 32;
/// How much a view counts: the value, the short mean, the step between two short means.
const WEIGHTS: [f64; 3] = [1.0, 0.25, 0.25];
/// Values seen at which novelty counts half.
const HALF: f64 = 1000.0;
/// Least scale as a share of the extent.
const NARROW: f64 = 1e-3;

parameters! {
    /// Parameters of [`Novelty`] and [`crate::CalendarNovelty`].
    pub struct NoveltyParams {
        /// No drift before this many values.
        pub min_instances: u32 = 100,
        /// Novelty that is reported, in parts of the usual range of the values, above 0.
        pub threshold: f64 = 0.02,
        /// Share of the values at each end that is outside their usual range, in [0, 0.25].
        pub tail: f64 = 0.02,
        /// How much a drift dampens the next: novelty is divided by e to the power of this, not negative.
        pub habituation: f64 = 0.5,
        /// Values after which a drift's damping has faded to a third, at least 1.
        pub recovery: f64 = 2000.0,
        /// Values after a drift in which only a larger statistic is another.
        pub rest: u32 = 30,
        /// Values after which the memory fades by half, at least 100.
        pub memory: u32 = 50_000,
    }
}

impl NoveltyParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { threshold, tail, habituation, recovery, rest, memory, .. } = *self;
        let ok = threshold > 0.0 && threshold <= 1e6;
        ParamError::check("threshold", threshold, ok, "above 0, at most 1e6")?;
        ParamError::check("tail", tail, (0.0..=0.25).contains(&tail), "in [0, 0.25]")?;
        ParamError::check("habituation", habituation, (0.0..=100.0).contains(&habituation), "in [0, 100]")?;
        ParamError::check("recovery", recovery, (1.0..=1e9).contains(&recovery), "in [1, 1e9]")?;
        ParamError::check("rest", f64::from(rest), rest <= 1_000_000_000, "at most 1e9")?;
        let ok = (100..=1_000_000_000).contains(&memory);
        ParamError::check("memory", f64::from(memory), ok, "in [100, 1e9]")
    }

    pub(crate) const fn habit(&self) -> Habit {
        Habit {
            threshold: self.threshold,
            strength: self.habituation,
            recovery: self.recovery,
            rest: self.rest,
        }
    }
}

/// Alarms on a value that is far from every value seen before.
///
/// Use it on a metric of which nothing is known: no scale, no distribution, no labels. It finds spikes,
/// drops, values between two usual levels, and first steps to a new level; what has come before is not new
/// and does not alarm again. Where times are known, [`crate::CalendarNovelty`] sees more. Not for changes
/// inside the usual range (a mean that moves by half a deviation): the other detectors are for those. There
/// is no bound on false alarms; what limits them is that each makes the next harder.
///
/// # Recurrence
///
/// Three views of the stream each keep the values that they have seen, as 32 intervals (when a 33rd is
/// needed, the two closest become one): the value `x_t` (weight 1), the mean `m_t` of the newest 5 (weight
/// 1/4), and the step `m_t - m_(t-5)` (weight 1/4). The last two wait for 5 values before they are kept, as
/// they share values. The novelty of a view with value `v` after `n` values is
///
/// `g = weight * gap(v) / range * n / (n + 1000)`,
///
/// where `gap` is the distance to the nearest interval and `range` the distance of the `tail` and
/// `1 - tail` quantiles. The statistic is the largest `g exp(-habituation a)` over the views.
///
/// [`Level::Drift`] when it has reached `threshold` and `min_instances` values have come. Then the view's
/// tiredness `a` grows by 1, that of the others by 1/2; all fade by the factor `1 - 1 / recovery` with each
/// value. For the next `rest` values only a statistic above that of the drift is another; lower ones are
/// reported as 0. After `memory` values all that was seen weighs half, and values that came once are
/// forgotten at the second halving.
///
/// In the signal, `statistic` is in parts of the usual range, `threshold` the parameter, `since` is 1 for
/// the value and 5 for the other views.
///
/// # Cost
///
/// 55 to 65 ns, 9 to 10 times a dependent multiply-add; no allocation. 2.6 KiB, without heap; at most 2.2 KiB
/// written.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Direction, Novelty, NoveltyParams};
///
/// let mut novelty = Novelty::new(NoveltyParams::default())?;
/// // Either around 1 or around 9, until at value 1000 there is a 5.
/// let value = |i: u32| {
///     let noise = f64::from(i % 7) * 0.1;
///     if i == 1000 { 5.0 } else if i / 20 % 2 == 0 { 1.0 + noise } else { 9.0 + noise }
/// };
/// let alarms: Vec<u32> = (0..1100).filter(|&i| novelty.update(value(i)).drift_detected()).collect();
/// assert_eq!(alarms, [1000]);
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values beyond ±1e100 are taken as ±1e100. After a constant
/// start any other value has novelty 1 before the factor of `n`. A statistic is at most 1e6.
///
/// Alarms per 10,000 values of noise in which nothing changes, over 20,000 values: normal 3.4, first-order
/// autoregressive with .9 or .99 3.2 and 3.0, lognormal 8.2, Student t with 3 degrees 9.8; more than half of
/// them in the first 2,000, except for normal noise.
///
/// # Quality
///
/// Numenta Anomaly Benchmark 1.1, the 24 series of `realAWSCloudwatch` and `realKnownCause`, standard
/// profile: 63.7 at the best threshold (0.0126), 59.1 with the threshold chosen on the other category. See
/// [`crate::CalendarNovelty`] for the protocol and for what chose the constants.
///
/// # References
///
/// The rules are this crate's own. The parts are known: distance to the nearest neighbour as a measure of
/// strangeness (Knorr, Ng, "Algorithms for Mining Distance-Based Outliers in Large Datasets", VLDB 1998),
/// a histogram that joins its closest bins (Ben-Haim, Tom-Tov, "A Streaming Parallel Decision Tree
/// Algorithm", JMLR 11, 2010).
#[derive(Clone, Copy, Debug)]
pub struct Novelty {
    params: NoveltyParams,
    tally: Tally,
    views: Views,
    habituation: Habituation<3>,
    statistic: f64,
}

/// The views of a stream without a clock, and what each has seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Views {
    /// The newest values, oldest first, and how many there are.
    ring: [f64; 2 * SHORT],
    held: usize,
    /// Values since the memory last faded.
    age: u32,
    value: Spans<SPANS>,
    mean: Delayed,
    step: Delayed,
}

/// What a view over several values has seen, without the newest, which share values with the next.
#[derive(Clone, Copy, Debug)]
struct Delayed {
    waiting: [f64; SHORT],
    held: usize,
    seen: Spans<SPANS>,
}

impl Delayed {
    const fn new() -> Self {
        Self { waiting: [0.0; SHORT], held: 0, seen: Spans::new() }
    }

    fn push(&mut self, value: f64) {
        if self.held == SHORT {
            self.seen.insert(self.waiting[0]);
            self.waiting.rotate_left(1);
        } else {
            self.held += 1;
        }
        if let Some(slot) = self.waiting.get_mut(self.held - 1) {
            *slot = value;
        }
    }

    fn novelty(&mut self, value: f64, tail: f64) -> f64 {
        let novelty = novelty(&self.seen, value, tail);
        self.push(value);
        novelty
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.held as u8);
        self.waiting.iter().take(self.held).for_each(|&value| put_f64(out, value));
        self.seen.write(out);
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut next = Self { held: usize::from(bytes.u8()?), ..Self::new() };
        ensure(next.held <= SHORT, "waiting")?;
        for value in next.waiting.iter_mut().take(next.held) {
            *value = bounded(bytes, "waiting", 2.5)?;
        }
        next.seen = Spans::read(bytes)?;
        Ok(next)
    }
}

/// Measures the gap of a value to all seen, in parts of their usual range; less while few have been seen.
#[inline]
fn novelty(seen: &Spans<SPANS>, value: f64, tail: f64) -> f64 {
    match seen.gap(value) {
        Some(gap) if gap > 0.0 => {
            let weight = seen.weight();
            relative(gap, scale(seen, tail)) * (weight / (weight + HALF))
        }
        _ => 0.0,
    }
}

/// Returns the usual range of the values.
pub(crate) fn scale(seen: &Spans<SPANS>, tail: f64) -> f64 {
    seen.width(tail).max(NARROW * seen.extent())
}

/// Returns a gap in parts of a scale; 1 when all values were the same.
pub(crate) fn relative(gap: f64, scale: f64) -> f64 {
    if scale > 0.0 { (gap / scale).min(1e6) } else { 1.0 }
}

impl Views {
    pub(crate) const fn new() -> Self {
        Self {
            ring: [0.0; 2 * SHORT],
            held: 0,
            age: 0,
            value: Spans::new(),
            mean: Delayed::new(),
            step: Delayed::new(),
        }
    }

    /// Takes the next value; gives the weighted novelty in each view.
    #[inline]
    pub(crate) fn update(&mut self, value: f64, params: &NoveltyParams) -> [f64; 3] {
        self.age += 1;
        if self.age >= params.memory {
            self.age = 0;
            self.value.halve();
            self.mean.seen.halve();
            self.step.seen.halve();
        }
        let mut found = [0.0; 3];
        found[0] = novelty(&self.value, value, params.tail);
        self.value.insert(value);
        self.ring.rotate_left(1);
        self.ring[2 * SHORT - 1] = value;
        self.held = (self.held + 1).min(2 * SHORT);
        if self.held >= SHORT {
            let mean = self.newer();
            found[1] = self.mean.novelty(mean, params.tail);
            if self.held == 2 * SHORT {
                found[2] = self.step.novelty(mean - self.older(), params.tail);
            }
        }
        for (found, weight) in found.iter_mut().zip(WEIGHTS) {
            *found *= weight;
        }
        found
    }

    fn newer(&self) -> f64 {
        self.ring.iter().skip(SHORT).sum::<f64>() / SHORT as f64
    }

    fn older(&self) -> f64 {
        self.ring.iter().take(SHORT).sum::<f64>() / SHORT as f64
    }

    /// Returns the usual range of the values.
    pub(crate) fn scale(&self, tail: f64) -> f64 {
        scale(&self.value, tail)
    }

    /// Is true when the memory has just faded.
    pub(crate) const fn faded(&self) -> bool {
        self.age == 0
    }

    /// Makes the signal of a verdict.
    pub(crate) fn signal(&self, verdict: Verdict, threshold: f64) -> Signal {
        if !verdict.reported {
            return Signal::quiet(verdict.statistic, threshold);
        }
        let since = if matches!(verdict.view, 1 | 2) { SHORT as u64 } else { 1 };
        let up = match verdict.view {
            1 | 2 => self.newer() > self.older(),
            _ => self.ring[2 * SHORT - 1] > self.older(),
        };
        let direction = if up { Direction::Up } else { Direction::Down };
        Signal { level: Level::Drift, direction, statistic: verdict.statistic, threshold, since }
    }

    /// Returns the mean of the newest values.
    pub(crate) fn estimation(&self) -> Option<f64> {
        if self.held >= SHORT { Some(self.newer()) } else { None }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.held as u8);
        self.ring.iter().skip(2 * SHORT - self.held).for_each(|&value| put_f64(out, value));
        put_u64(out, u64::from(self.age));
        self.value.write(out);
        self.mean.write(out);
        self.step.write(out);
    }

    pub(crate) fn read(bytes: &mut Reader<'_>, params: &NoveltyParams) -> Result<Self, DecodeError> {
        let mut next = Self { held: usize::from(bytes.u8()?), ..Self::new() };
        ensure(next.held <= 2 * SHORT, "held")?;
        for value in next.ring.iter_mut().skip(2 * SHORT - next.held) {
            *value = bounded(bytes, "value", 1.0)?;
        }
        let age = bytes.u64()?;
        ensure(age < u64::from(params.memory), "age")?;
        next.age = age as u32;
        next.value = Spans::read(bytes)?;
        next.mean = Delayed::read(bytes)?;
        next.step = Delayed::read(bytes)?;
        Ok(next)
    }
}

impl Novelty {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: NoveltyParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &NoveltyParams {
        &self.params
    }

    const fn fresh(params: NoveltyParams) -> Self {
        Self {
            params,
            tally: Tally { taken: 0, ignored: 0 },
            views: Views::new(),
            habituation: Habituation::new(),
            statistic: 0.0,
        }
    }
}

impl Detector for Novelty {
    fn update(&mut self, value: f64) -> Signal {
        let threshold = self.params.threshold;
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, threshold);
        };
        let novelty = self.views.update(value, &self.params);
        let verdict = self.habituation.judge(&novelty, self.params.habit());
        if self.tally.taken < u64::from(self.params.min_instances) {
            self.statistic = 0.0;
            return Signal::quiet(0.0, threshold);
        }
        self.statistic = if verdict.reported { 0.0 } else { verdict.statistic };
        self.views.signal(verdict, threshold)
    }

    fn reset(&mut self) {
        *self = Self::fresh(self.params);
    }

    fn name(&self) -> &'static str {
        "novelty"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn estimation(&self) -> Option<f64> {
        self.views.estimation()
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        self.habituation.write(out);
        put_f64(out, self.statistic);
        self.views.write(out);
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "novelty", VERSION, self.params.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let habituation = Habituation::read(bytes, self.params.habit())?;
        let statistic = bytes.finite("statistic")?;
        ensure((0.0..self.params.threshold).contains(&statistic), "statistic")?;
        let views = Views::read(bytes, &self.params)?;
        *self = Self { params: self.params, tally, views, habituation, statistic };
        Ok(())
    }
}
