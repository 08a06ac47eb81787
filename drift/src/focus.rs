//! `FOCuS`: the likelihood ratio of a change at any time by any amount, in logarithmic memory.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64};
use crate::parameters::{parameters, words};
use crate::state::{self, Tally, ensure};
use crate::{Detector, Direction, Level, Mode, ParamError, Signal};

mod cost;
mod hull;
mod model;
mod table;
mod threshold;

use cost::{Cost, Now, PoissonUnknown};
use hull::{Best, Hull};
use model::{Model, known_anchor, with_cost};
use threshold::threshold;

/// What `arl` may be.
const ARL_LEAST: f64 = 100.0;
const ARL_MOST: f64 = 1e15;
const VERSION: u8 = 2;
/// Scaled values beyond this size are taken as this size, so that squares of sums stay finite.
const SCALED_LIMIT: f64 = 1e60;
/// Counts beyond this are taken as this.
const COUNT_MOST: f64 = 1e12;
/// Sums of whole numbers are exact up to here, and no stream is longer.
const LENGTH_MOST: f64 = 4_503_599_627_370_496.0;

/// What kind of values a stream of [`Focus`] has.
///
/// | | values | others are taken as |
/// |---|---|---|
/// | `Gaussian` | any, of deviation `sigma` around a mean | |
/// | `Bernoulli` | 0 or 1 | 1 from 0.5 up, 0 below |
/// | `Poisson` | counts | 0 below 0; 1e12 above it |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum FocusFamily {
    /// Measurements around a mean.
    Gaussian,
    /// Zeros and ones: errors, hits.
    #[default]
    Bernoulli,
    /// Numbers of events per interval.
    Poisson,
}

words!(FocusFamily { Gaussian = "gaussian", Bernoulli = "bernoulli", Poisson = "poisson" });

parameters! {
    /// Parameters of [`Focus`].
    pub struct FocusParams {
        /// Kind of the values.
        pub family: FocusFamily = FocusFamily::Bernoulli,
        /// Which way to look.
        pub mode: Mode = Mode::Both,
        /// Whether the good level is known, and is `baseline`. An estimate is not knowledge: for a run length of
        /// 1e6, a mean of 1,000 values taken as known needs a threshold of 239 where 14.4 is right.
        pub known: bool = false,
        /// The good level when it is known: any mean, a rate in (0, 1) of ones, a rate above 0 of counts.
        pub baseline: f64 = 0.1,
        /// Standard deviation of Gaussian values, in [1e-100, 1e100].
        pub sigma: f64 = 1.0,
        /// Least average number of values between false alarms, in [100, 1e15].
        pub arl: f64 = 100_000.0,
        /// Threshold of the log-likelihood ratio, at most 1e100; 0 takes the one for `arl`.
        pub threshold: f64 = 0.0,
        /// Start afresh with the value after a drift, or go on with all values.
        pub rearm: bool = true,
    }
}

impl FocusParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { family, baseline, sigma, arl, threshold, .. } = *self;
        let (ok, allowed) = match family {
            FocusFamily::Gaussian => (baseline.abs() <= state::VALUE_LIMIT, "finite"),
            FocusFamily::Bernoulli => ((1e-12..=1.0 - 1e-12).contains(&baseline), "in (0, 1)"),
            FocusFamily::Poisson => ((1e-12..=COUNT_MOST).contains(&baseline), "above 0, at most 1e12"),
        };
        ParamError::check("baseline", baseline, ok, allowed)?;
        ParamError::check("sigma", sigma, (1e-100..=1e100).contains(&sigma), "in [1e-100, 1e100]")?;
        ParamError::check("arl", arl, (ARL_LEAST..=ARL_MOST).contains(&arl), "in [100, 1e15]")?;
        let ok = (0.0..=1e100).contains(&threshold);
        ParamError::check("threshold", threshold, ok, "0 or above, at most 1e100")
    }
}

/// `FOCuS`: finds a change of the level at any time in the past, of any size, and says when it was.
///
/// Use it when the size of a change is not known, and the good level need not be known either: the default
/// watches error bits of a model whose error rate nobody has stated. It says since when the level is another,
/// and in which direction. Values must be independent while nothing changes; put batches of autocorrelated
/// ones in front. A level that is an estimate is not a known one (see `known`). Where the level of bits is
/// known, [`crate::MixtureESr`] and [`crate::Cusum`] are sooner, at a rate of 0.1 by a quarter and at 0.002 by
/// half: the thresholds here hold at any rate, and are high for rare ones.
///
/// # Recurrence
///
/// The statistic after `n` values is the log-likelihood ratio, not doubled,
///
/// `max over cut < n of  l(cut + 1..n) + l(1..cut) - l(1..n)`
///
/// with the maximised log-likelihoods `l` of the family, or `l(cut + 1..n) - l0(cut + 1..n)` against the known
/// level; one-sided, over the cuts after which the level is above (below) the one before. [`Level::Drift`]
/// when it reaches the threshold; with `rearm` everything starts afresh with the next value.
///
/// Cuts that can never be the best again are dropped: what is left are the vertices of the convex hull of the
/// points (number of values, their sum), below for changes upwards, above for those downwards, and with a known
/// level only those since the mean was last on the good side of it. Among independent values they are about
/// `ln n` per side (19 after 1e8, with a deviation of 4.2). Of those only the youngest are looked at: a cut's
/// ratio is at most that of a younger one plus what the cut had reached when the younger one came, and the
/// search ends when this bound is below half the threshold.
///
/// In the signal, `statistic` is the ratio, exact from half the threshold up; below, that of the youngest
/// cuts. `since` counts the values after the best cut.
///
/// # False alarms
///
/// The threshold for `arl` is from a table that `examples/focus_table.rs` simulates, up to a run length of
/// 31,623; from there on it grows by 1.06 for each `e` in the run length, which is more than it must. For bits
/// and counts it is the largest over rates from 0.0005 to 0.9995 and from 0.003 to 60, so that the run length
/// is at least `arl` at any. Measured at a nominal 10,000 (`focus_table check`, both sides, level unknown):
/// 10,200 for Gaussian values; 12,900 for bits at a rate of 0.4, 23,500 at 0.1, 41,000 at 0.02; 15,300 to
/// 16,300 for counts at rates from 1 to 40. Rarer ones alarm less often still.
///
/// There is no excess at the start, when the level is unknown: the share of runs that end within the first
/// fifth of `arl` is 0.16 for Gaussian values and less for others, where a test without memory has 0.18. The
/// first windows are few, and the ratio carries the uncertainty of the level before.
///
/// # Cost
///
/// About two cuts per value and side, whatever `n`: no logarithm for Gaussian values; for bits, those of
/// segments below 1,024 values are tabled, and an unknown level takes two or three of the whole stream. The
/// state is one struct of 3.8 KiB without heap, 2.8 KiB at most when written. There are at most 56 cuts per
/// side. Streams that need more (sums that stay convex, as of a ramp) lose the cut whose neighbours are
/// nearest to each other, relative to their age: the statistic can only become smaller by that, so that no
/// false alarm is added.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Direction, Focus, FocusParams};
///
/// let mut focus = Focus::new(FocusParams::default())?;
/// // One error in 10 values, then three.
/// let value = |i: u64| f64::from(u8::from(i % 10 == 0 || (i >= 1000 && i % 10 < 3)));
/// let (at, signal) = (0..2000)
///     .map(|i| (i, focus.update(value(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, at + 1 - signal.since, signal.direction), (1072, 1000, Direction::Up));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing. Gaussian values are taken as at most 1e60 `sigma` off the
/// baseline, or, when that is not known, off the first value. A constant stream has a statistic of 0 when the
/// level is unknown. After 4.5e15 values further ones are not counted. Counts are summed as deviations from the
/// first, or from the known rate, and their ratio is no difference of large numbers, so that counts of millions
/// do as well as small ones.
///
/// # Differences
///
/// `changepoint_online` holds rates of 0 and 1 off by 1e-9, so that its ratios are smaller by 1e-9 for each value
/// of a segment of zeros or ones only. There is no such limit here.
///
/// # References
///
/// Romano, Eckley, Fearnhead and Rigaill, "Fast online changepoint detection via functional pruning CUSUM
/// statistics", JMLR 24 (2023); Ward, Romano, Eckley and Fearnhead, "A constant-per-iteration likelihood ratio
/// test for online changepoint detection for exponential family models", Statistics and Computing 34 (2024),
/// arXiv 2302.04743 (other families, and the bound that ends the search).
#[derive(Clone, Debug)]
pub struct Focus {
    params: FocusParams,
    model: Model,
    tally: Tally,
    now: Now,
    /// What sums are of deviations from: the known mean, the whole part of the known rate of counts, or the first
    /// value; 0 for bits.
    anchor: f64,
    up: Hull,
    down: Hull,
    statistic: f64,
    arl: f64,
    threshold: f64,
    stale: bool,
}

impl Focus {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: FocusParams) -> Result<Self, ParamError> {
        params.validate()?;
        let anchor = known_anchor(&params);
        let level = params.known.then_some(match params.family {
            FocusFamily::Gaussian => 0.0,
            _ => params.baseline - anchor,
        });
        Ok(Self {
            params,
            model: Model::of(&params),
            tally: Tally::default(),
            now: Now::default(),
            anchor,
            up: Hull::new(1.0, level),
            down: Hull::new(-1.0, level),
            statistic: 0.0,
            arl: params.arl,
            threshold: threshold(&params),
            stale: false,
        })
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &FocusParams {
        &self.params
    }

    /// Counts the places that are held as possible change locations, of both sides.
    pub const fn candidates(&self) -> usize {
        self.up.len() + self.down.len()
    }

    /// Forgets the stream, but not how many values came.
    fn restart(&mut self) {
        self.now = Now::default();
        self.up.clear();
        self.down.clear();
        self.anchor = known_anchor(&self.params);
        self.stale = false;
    }

    /// Takes the value on the scale of the sums.
    #[inline]
    fn scaled(&mut self, value: f64) -> f64 {
        let first = self.now.n == 0.0 && !self.params.known;
        match self.params.family {
            FocusFamily::Gaussian => {
                if first {
                    self.anchor = value;
                }
                ((value - self.anchor) / self.params.sigma).clamp(-SCALED_LIMIT, SCALED_LIMIT)
            }
            FocusFamily::Bernoulli => f64::from(value >= 0.5),
            FocusFamily::Poisson => {
                let count = value.clamp(0.0, COUNT_MOST);
                if first {
                    // A rate of 0 has no likelihood.
                    self.anchor = count.max(1.0);
                    self.model = Model::PoissonUnknown(PoissonUnknown { rate: self.anchor });
                }
                count - self.anchor
            }
        }
    }

    /// Checks an anchor that was read with `n` values, and takes it into the cost.
    fn check_anchor(&mut self, n: f64) -> Result<(), DecodeError> {
        let fresh = known_anchor(&self.params);
        let ok = match self.params.family {
            _ if self.params.known || n == 0.0 => self.anchor == fresh,
            FocusFamily::Gaussian => true,
            FocusFamily::Bernoulli => self.anchor == fresh,
            FocusFamily::Poisson => (1.0..=COUNT_MOST).contains(&self.anchor),
        };
        if let Model::PoissonUnknown(cost) = &mut self.model
            && n > 0.0
        {
            cost.rate = self.anchor;
        }
        ensure(ok, "anchor")
    }

    #[inline]
    fn step<C: Cost>(&mut self, cost: &C, value: f64) -> Signal {
        if self.now.n < LENGTH_MOST {
            self.now.add(cost, value);
        }
        let now = self.now;
        let threshold = self.threshold;
        let floor = 0.5 * threshold;
        let side = |hull: &mut Hull| {
            hull.prune(&now);
            let best = hull.best(cost, &now, floor);
            hull.push(&now, best.bound);
            best
        };
        let none = Best { ratio: -1.0, cut: now.n, bound: 0.0 };
        let up = if self.params.mode == Mode::Down { none } else { side(&mut self.up) };
        let down = if self.params.mode == Mode::Up { none } else { side(&mut self.down) };
        let (best, direction) =
            if up.ratio >= down.ratio { (up, Direction::Up) } else { (down, Direction::Down) };
        self.statistic = best.ratio;
        if best.ratio < threshold {
            return Signal::quiet(best.ratio, threshold);
        }
        self.stale = self.params.rearm;
        let since = (now.n - best.cut) as u64;
        Signal { level: Level::Drift, direction, statistic: best.ratio, threshold, since }
    }
}

impl Detector for Focus {
    fn update(&mut self, value: f64) -> Signal {
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, self.threshold);
        };
        if self.stale {
            self.restart();
        }
        let value = self.scaled(value);
        with_cost!(self.model, cost => self.step(cost, value))
    }

    fn reset(&mut self) {
        self.restart();
        self.tally = Tally::default();
        self.statistic = 0.0;
    }

    fn name(&self) -> &'static str {
        "focus"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn estimation(&self) -> Option<f64> {
        let mean = self.now.sum / self.now.n;
        match self.params.family {
            _ if self.now.n == 0.0 => None,
            FocusFamily::Gaussian => Some(self.anchor + mean * self.params.sigma),
            FocusFamily::Bernoulli => Some(mean),
            FocusFamily::Poisson => Some((self.anchor + mean).max(0.0)),
        }
    }

    fn baseline(&self) -> Option<f64> {
        self.params.known.then_some(self.params.baseline)
    }

    fn arl(&self) -> Option<f64> {
        // A threshold that was given stands for no run length that is known.
        (self.params.threshold == 0.0).then_some(self.arl)
    }

    fn set_arl(&mut self, arl: f64) -> bool {
        if self.params.threshold > 0.0 {
            return false;
        }
        self.arl = state::run_length(arl, ARL_LEAST, ARL_MOST).unwrap_or(self.arl);
        self.threshold = threshold(&FocusParams { arl: self.arl, ..self.params });
        true
    }

    fn reaches(&self, arl: f64) -> bool {
        let arl = state::run_length(arl, ARL_LEAST, ARL_MOST).filter(|_| self.params.threshold == 0.0);
        arl.is_some_and(|arl| self.statistic >= threshold(&FocusParams { arl, ..self.params }))
    }

    fn can_forget(&self) -> bool {
        // An unknown level is learnt from the values that the evidence is of.
        self.params.known
    }

    fn forget_evidence(&mut self) -> bool {
        if self.params.known {
            self.restart();
            self.statistic = 0.0;
        }
        self.params.known
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_f64(out, self.now.n);
        put_f64(out, self.now.sum);
        put_f64(out, self.anchor);
        put_f64(out, self.statistic);
        put_f64(out, self.arl);
        out.push(u8::from(self.stale));
        match self.params.mode {
            Mode::Up => self.up.write(out),
            Mode::Down => self.down.write(out),
            Mode::Both => {
                self.up.write(out);
                self.down.write(out);
            }
        }
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "focus", VERSION, self.params.fingerprint())?;
        let mut read = self.clone();
        read.tally = Tally::read(bytes)?;
        let (n, sum) = (bytes.f64()?, bytes.finite("sum")?);
        ensure((0.0..=LENGTH_MOST).contains(&n) && n % 1.0 == 0.0, "length")?;
        ensure(n <= read.tally.taken as f64, "length")?;
        read.anchor = state::bounded(bytes, "anchor", 1.0)?;
        read.check_anchor(n)?;
        read.statistic = bytes.finite("statistic")?;
        read.arl = state::read_run_length(bytes, ARL_LEAST, ARL_MOST)?;
        read.threshold = threshold(&FocusParams { arl: read.arl, ..self.params });
        let stale = bytes.u8()?;
        ensure(stale <= 1, "stale")?;
        read.stale = stale == 1;
        let (family, anchor) = (self.params.family, read.anchor);
        let possible = move |run: f64, rise: f64| match family {
            FocusFamily::Gaussian => rise.abs() <= 1.01 * SCALED_LIMIT * run,
            FocusFamily::Bernoulli => (0.0..=run).contains(&rise) && rise % 1.0 == 0.0,
            FocusFamily::Poisson => (-1.01 * anchor * run..=1.01 * COUNT_MOST * run).contains(&rise),
        };
        let (up, down) = (self.params.mode != Mode::Down, self.params.mode != Mode::Up);
        with_cost!(read.model, cost => {
            read.now = Now::new(cost, n, sum);
            if up {
                read.up.read(bytes, cost, &read.now, possible)?;
            }
            if down {
                read.down.read(bytes, cost, &read.now, possible)?;
            }
        });
        *self = read;
        Ok(())
    }
}
