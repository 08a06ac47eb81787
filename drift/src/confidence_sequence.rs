//! Repeated confidence sequences: a change of an unknown mean, with a proven bound on false alarms.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u32, put_u64};
use crate::math::{exp, ln};
use crate::parameters::parameters;
use crate::regret::{regret, upper_mean};
use crate::state::{self, Tally, VALUE_LIMIT, ensure};
use crate::windowed_glr::divergence;
use crate::{Detector, Direction, Level, Mode, ParamError, Signal};

/// What `arl` may be.
const ARL_LEAST: f64 = 2.0;
const ARL_MOST: f64 = 1e15;
const VERSION: u8 = 1;
/// Starting times of level `k` lie `2^(k + 1)` looks apart; the last level takes all the rest.
const LEVELS: u32 = 20;
/// A starting time is kept for this many times the distance within its level.
const KEPT: u64 = 4;
/// Most starting times that are kept at once: of each level one more than that, of the last twice as many.
const MOST: usize = (LEVELS as usize + 2) * (KEPT as usize + 1);
/// A starting time whose evidence cannot come closer to the threshold than this is left out.
const NEGLIGIBLE: f64 = 8.0;

parameters! {
    /// Parameters of [`ConfidenceSequence`].
    pub struct ConfidenceSequenceParams {
        /// Which way a change is bad.
        pub mode: Mode = Mode::Both,
        /// Lower end of the values, in the stream's units.
        pub low: f64 = 0.0,
        /// Upper end of the values, above `low`.
        pub high: f64 = 1.0,
        /// Least average number of values between false alarms, in [2, 1e15].
        pub arl: f64 = 10_000.0,
        /// Values from one look to the next, in 1..=1024. It is also the finest distance of starting times.
        pub clock: u32 = 8,
    }
}

impl ConfidenceSequenceParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { low, high, arl, clock, .. } = *self;
        ParamError::check("low", low, low.abs() <= VALUE_LIMIT, "finite")?;
        let apart = high - low;
        let ok = high.abs() <= VALUE_LIMIT && apart >= 1e-12 * (low.abs() + high.abs()) && apart >= 1e-100;
        ParamError::check("high", high, ok, "finite and above `low`")?;
        ParamError::check("arl", arl, (ARL_LEAST..=ARL_MOST).contains(&arl), "in [2, 1e15]")?;
        ParamError::check("clock", f64::from(clock), (1..=1024).contains(&clock), "in 1..=1024")
    }
}

/// Change of the mean of values in a range when the good mean is not known.
///
/// Use it when nobody can say what level is good, only that it should stay: it learns from all values since
/// its start, needs no reference to be set aside, and its false alarms have a bound whatever the level. Do
/// not use it when the level is known ([`crate::MixtureESr`] takes a third of the time), nor when values do
/// not depend on each other ([`crate::ConformalSr`] takes about half). For values that all lie in a small
/// part of their range give it that part as `low` and `high`: its evidence is that of zeros and ones.
///
/// With `arl` at 10,000, after 2000 good values, a share of ones of .1 that becomes .2 is seen after 319
/// values and .3 after 91; .02 that becomes .06 after 654. Its measured run length is above ten times `arl`:
/// the price of a bound for every level and dependence.
///
/// # Guarantee
///
/// While the conditional mean of each value, given all before, is one and the same unknown number, the mean
/// number of values to the first alarm is at least `arl`, and the chance of an alarm among the first `t`
/// values is at most `t / (2 arl)`: whatever the distribution in the range, dependent values included.
///
/// # Recurrence
///
/// Every mean `m` is tested by itself, and a change is declared when none is left: when the intersection of
/// all confidence sets is empty. With the values scaled to [0, 1]:
///
/// - After `t = clock * 1, 2, 3, 4, 6, 8, 12, 16, ...` values, `m` is left out for good when the sum of all
///   is too far from it: when a binomial tail at `m` (values 0 and 1 only) or Chernoff's bound
///   `exp(-t D(mean, m))` is below `e_t = min(t / (14 arl), 0.05)`, in both directions half of that each.
///   What is left is an interval.
/// - For a starting time `v` with `n` values after it of mean `a`, `E_v(m)` is the mixture over `q` (by the
///   law Beta(1/2, 1/2)) of the products of `(q / m)^x ((1 - q) / (1 - m))^(1 - x)`, which is
///   `exp(n D(a, m) - r)` with the regret `r` of about `ln(n) / 2`. `m` is left out now when
///   `M_t(m) = sum over v of w_v E_v(m)` is at least `4 arl`.
///
/// `D` is the Kullback-Leibler divergence of Bernoulli laws. It is enough to look at the nearer end of the
/// interval, with the starting times whose mean `a` is beyond it.
///
/// The bound: for the true `m`, each `E_v(m)` has mean at most 1, since `(q / m)^x ((1 - q) / (1 - m))^(1 - x)`
/// is convex in `x`; so `M_t(m)` stopped at the alarm or at `t` has at most the mean of the weights begun by
/// `t`, which is `t`, and is `4 arl` with a chance of at most `t / (4 arl)` (Markov). The `e_t` up to `t` add
/// up to at most `3.5 t / (14 arl)`, which is as much again. Together that is the second bound above; summed
/// over `t` it gives the first.
///
/// Starting times lie on a grid: every `clock` values one begins, of level `k` when its number is an odd
/// multiple of `2^k`, and is kept for `4 * 2^(k + 1)` times `clock` values. So a change `d` values ago has a
/// starting time within `d / 8` of it (or `clock / 2`), at about `4 log2(n / clock)` starting times in all.
/// Leaving starting times out only lowers `M_t`. The weights of a level make up for its distances: together
/// they are as large as if one began at each value with weight 1, so that the grid costs no threshold; it
/// costs the few values by which a starting time is off. After an alarm all is forgotten.
///
/// In the signal, `statistic` is the logarithm of `M_t` at that end, or 0 where that is negative (starting
/// times of negligible evidence are left out of it), at the last look; `threshold` is `ln(4 arl)`; `since` is
/// the number of values since the strongest starting time. When the interval itself has become empty, as
/// after a slow change, the statistic is the threshold and `since` is 0.
///
/// # Cost
///
/// A few operations per starting time, once every `clock` values, and some logarithms for those near the
/// threshold; 16 bytes per starting time, of which there are at most 110. The worst is a look at which the past
/// leaves out means, two for each doubling: with zeros and ones 2 µs after 1,000 values, 8 after 65,000 and 45 from
/// eight million on; with others below 1.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{ConfidenceSequence, ConfidenceSequenceParams, Detector, Direction};
///
/// let mut errors = ConfidenceSequence::new(ConfidenceSequenceParams::default())?;
/// let error = |i: u64| f64::from(i * 7 % 10 < if i < 1000 { 1 } else { 3 });
/// let (at, signal) = (0..2000)
///     .map(|i| (i, errors.update(error(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.since, signal.direction), (1127, 104, Direction::Up));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values outside the range are taken as the nearer end. A change
/// within the first few dozen values has nothing to be held against and is found late.
///
/// # Differences
///
/// From the paper: confidence sequences of one level are joined over starting times into one sum for each
/// mean (as where the paper speaks of e-detectors); the long past is held in fixed-time intervals whose error
/// grows with time as the bound allows, which are much shorter than a sequence begun at the first value.
///
/// # References
///
/// Shekhar and Ramdas, "Reducing sequential change detection to sequential estimation", ICML 2024
/// (arXiv 2309.09111); Shin, Ramdas and Rinaldo, "E-detectors" (arXiv 2203.03532); Howard and others,
/// "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics 49 (2021) (the
/// beta-binomial mixture); Krichevsky and Trofimov, "The performance of universal encoding", IEEE Transactions
/// on Information Theory 27 (1981) (the law of `q`); Hoeffding, "Probability inequalities for sums of bounded
/// random variables", JASA 58 (1963), theorem 1 (the tail).
#[derive(Clone, Debug)]
pub struct ConfidenceSequence {
    params: ConfidenceSequenceParams,
    tally: Tally,
    /// Values since the last alarm, their scaled sum, and whether they are zeros and ones only.
    seen: u64,
    sum: f64,
    bits: bool,
    /// The means that the past leaves, in [0, 1].
    least: f64,
    most: f64,
    starts: Vec<Start>,
    statistic: f64,
    arl: f64,
    threshold: f64,
    stale: bool,
}

/// A time at which the mean may have changed, and the sum up to it.
#[derive(Clone, Copy, Debug)]
struct Start {
    at: u64,
    sum: f64,
}

/// The evidence at a look, in logarithms.
#[derive(Clone, Copy, Debug, Default)]
struct Evidence {
    most: f64,
    /// Of all, relative to the most.
    share: f64,
    since: u64,
}

impl Evidence {
    fn add(&mut self, log: f64, since: u64) {
        if self.share == 0.0 {
            *self = Self { most: log, share: 1.0, since };
        } else if log > self.most {
            *self = Self { most: log, share: 1.0 + self.share * exp(self.most - log), since };
        } else {
            self.share += exp(log - self.most);
        }
    }

    /// The logarithm of the sum, at least 0.
    fn log(self) -> f64 {
        if self.share > 0.0 { (self.most + ln(self.share)).max(0.0) } else { 0.0 }
    }
}

impl ConfidenceSequence {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: ConfidenceSequenceParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &ConfidenceSequenceParams {
        &self.params
    }

    /// Counts the bytes that the detector holds now, on the heap included.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.starts.capacity() * size_of::<Start>()
    }

    fn fresh(params: ConfidenceSequenceParams) -> Self {
        Self {
            params,
            tally: Tally { taken: 0, ignored: 0 },
            seen: 0,
            sum: 0.0,
            bits: true,
            least: 0.0,
            most: 1.0,
            starts: Vec::new(),
            statistic: 0.0,
            arl: params.arl,
            threshold: ln(4.0 * params.arl),
            stale: false,
        }
    }

    /// The level of a starting time.
    fn level(&self, at: u64) -> u32 {
        (at / u64::from(self.params.clock)).trailing_zeros().min(LEVELS)
    }

    /// Returns the means that the past has left as possible, in the stream's units.
    pub fn interval(&self) -> (f64, f64) {
        let ConfidenceSequenceParams { low, high, .. } = self.params;
        (low + (high - low) * self.least, low + (high - low) * self.most)
    }

    /// Leaves out the means from which the sum of all values is too far.
    fn narrow(&mut self) {
        let number = self.seen / u64::from(self.params.clock);
        if !matches!(number >> number.trailing_zeros(), 1 | 3) {
            return;
        }
        let n = self.seen as f64;
        let error = (n / (14.0 * self.arl)).min(0.05);
        let error = if self.params.mode == Mode::Both { error / 2.0 } else { error };
        if self.params.mode != Mode::Down {
            self.most = self.most.min(upper_mean(n, self.sum, self.bits, error));
        }
        if self.params.mode != Mode::Up {
            self.least = self.least.max(1.0 - upper_mean(n, n - self.sum, self.bits, error));
        }
    }

    /// Sums the evidence of all starting times against the means that are left.
    fn look(&self, threshold: f64) -> (Evidence, Evidence) {
        let ln_one = ln(f64::from(self.params.clock) / f64::from(LEVELS + 2));
        let (mut up, mut down) = (Evidence::default(), Evidence::default());
        for start in &self.starts {
            let after = self.seen - start.at;
            let n = after as f64;
            let sum = (self.sum - start.sum).clamp(0.0, n);
            let mean = sum / n;
            let (end, evidence) = match self.params.mode {
                Mode::Up | Mode::Both if mean > self.most => (self.most, &mut up),
                Mode::Down | Mode::Both if mean < self.least => (self.least, &mut down),
                _ => continue,
            };
            let weight = ln_one + f64::from((self.level(start.at) + 1).min(LEVELS)) * core::f64::consts::LN_2;
            // The divergence is at most the chi-square distance, and the regret is never below 0.
            let room = (threshold - NEGLIGIBLE - weight) * end * (1.0 - end);
            if n * (mean - end) * (mean - end) < room {
                continue;
            }
            evidence.add(weight + n * divergence(mean, end) - regret(sum, n - sum), after);
        }
        (up, down)
    }

    /// Begins a starting time and drops those that are too old for their level.
    fn begin(&mut self) {
        let clock = u64::from(self.params.clock);
        let seen = self.seen;
        let keep = |at: u64| {
            let level = (at / clock).trailing_zeros().min(LEVELS);
            seen - at <= (KEPT * clock) << (level + 1)
        };
        self.starts.retain(|start| keep(start.at));
        if self.starts.capacity() == self.starts.len() {
            self.starts.reserve_exact(16);
        }
        self.starts.push(Start { at: seen, sum: self.sum });
    }
}

impl Detector for ConfidenceSequence {
    fn update(&mut self, value: f64) -> Signal {
        let threshold = self.threshold;
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, threshold);
        };
        if self.stale {
            *self = Self { tally: self.tally, arl: self.arl, threshold, ..Self::fresh(self.params) };
        }
        let ConfidenceSequenceParams { low, high, clock, .. } = self.params;
        let value = ((value - low) / (high - low)).clamp(0.0, 1.0);
        self.bits &= value == 0.0 || value == 1.0;
        self.seen += 1;
        self.sum = (self.sum + value).min(self.seen as f64);
        if !self.seen.is_multiple_of(u64::from(clock)) {
            return Signal::quiet(self.statistic, threshold);
        }
        self.narrow();
        let (up, down) = self.look(threshold);
        let rising = up.log() >= down.log();
        let strongest = if rising { up } else { down };
        let none_left = self.least > self.most;
        self.statistic = if none_left { strongest.log().max(threshold) } else { strongest.log() };
        if self.statistic < threshold {
            self.begin();
            return Signal::quiet(self.statistic, threshold);
        }
        self.stale = true;
        let (direction, since) = match (strongest.share > 0.0, rising) {
            (false, _) => (Direction::Unknown, 0),
            (true, true) => (Direction::Up, strongest.since),
            (true, false) => (Direction::Down, strongest.since),
        };
        Signal { level: Level::Drift, direction, statistic: self.statistic, threshold, since }
    }

    fn reset(&mut self) {
        *self = Self { arl: self.arl, threshold: self.threshold, ..Self::fresh(self.params) };
    }

    fn name(&self) -> &'static str {
        "confidence-sequence"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn estimation(&self) -> Option<f64> {
        let ConfidenceSequenceParams { low, high, .. } = self.params;
        if self.seen == 0 { None } else { Some(low + (high - low) * (self.sum / self.seen as f64)) }
    }

    fn arl(&self) -> Option<f64> {
        Some(self.arl)
    }

    /// What the past has left out stays left out: the bound holds from the larger run length to the smaller.
    fn set_arl(&mut self, arl: f64) -> bool {
        self.arl = state::run_length(arl, ARL_LEAST, ARL_MOST).unwrap_or(self.arl);
        self.threshold = ln(4.0 * self.arl);
        true
    }

    fn reaches(&self, arl: f64) -> bool {
        state::run_length(arl, ARL_LEAST, ARL_MOST).is_some_and(|arl| self.statistic >= ln(4.0 * arl))
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_u64(out, self.seen);
        put_f64(out, self.sum);
        out.push(u8::from(self.bits));
        put_f64(out, self.least);
        put_f64(out, self.most);
        put_f64(out, self.statistic);
        put_f64(out, self.arl);
        out.push(u8::from(self.stale));
        put_u32(out, self.starts.len() as u32);
        for start in &self.starts {
            put_u64(out, start.at);
            put_f64(out, start.sum);
        }
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "confidence-sequence", VERSION, self.params.fingerprint())?;
        let mut next = Self { tally: Tally::read(bytes)?, ..Self::fresh(self.params) };
        next.seen = bytes.u64()?;
        ensure(next.seen <= next.tally.taken, "seen")?;
        next.sum = bytes.finite("sum")?;
        ensure((0.0..=next.seen as f64).contains(&next.sum), "sum")?;
        let bits = bytes.u8()?;
        ensure(bits <= 1, "bits")?;
        next.bits = bits == 1;
        (next.least, next.most) = (bytes.f64()?, bytes.f64()?);
        let unit = 0.0..=1.0;
        ensure(unit.contains(&next.least) && unit.contains(&next.most), "interval")?;
        // Against a mean of 0 or 1 that is left only by chance the evidence would be endless.
        ensure(next.least < 1.0 && next.most > 0.0, "interval")?;
        next.statistic = bytes.finite("statistic")?;
        next.arl = state::read_run_length(bytes, ARL_LEAST, ARL_MOST)?;
        next.threshold = ln(4.0 * next.arl);
        let stale = bytes.u8()?;
        next.stale = stale == 1;
        ensure(stale <= 1 && next.statistic >= 0.0, "statistic")?;
        let starts = bytes.u32()? as usize;
        ensure(starts <= MOST, "starts")?;
        for _ in 0..starts {
            let (at, sum) = (bytes.u64()?, bytes.finite("sum")?);
            let last = next.starts.last().map_or((0, 0.0), |last| (last.at, last.sum));
            let ok = at > last.0 && at <= next.seen && at % u64::from(self.params.clock) == 0;
            ensure(ok && next.seen - at <= (KEPT * u64::from(self.params.clock)) << (LEVELS + 1), "start")?;
            ensure(sum >= last.1 && sum <= next.sum && sum <= at as f64, "sum")?;
            next.starts.push(Start { at, sum });
        }
        *self = next;
        Ok(())
    }
}
