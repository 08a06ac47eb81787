//! Exceedances of a limit, agreed or learnt, with a bound on false alarms that knows which.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u32};
use crate::math::{exp, ln};
use crate::mixture::{ARL_LEAST, ARL_MOST, Mixture, MixtureParams};
use crate::parameters::parameters;
use crate::state::{self, Tally, VALUE_LIMIT, ensure};
use crate::{Detector, Direction, MixtureESr, Mode, ParamError, Signal};

const VERSION: u8 = 1;
/// Most extreme values that are kept while the limit is learnt.
const MOST_KEPT: u32 = 400;

parameters! {
    /// Parameters of [`Exceedance`].
    pub struct ExceedanceParams {
        /// Which values are bad: with `Up` those above the limit, with `Down` those below it. `Both` is
        /// refused.
        pub mode: Mode = Mode::Up,
        /// Number of values from which the limit is learnt, at most 1,000,000; 0 to use `limit` and `share`.
        pub learn: u32 = 1000,
        /// Quantile of the learnt values that becomes the limit, in (0, 1); at most 400 of the learnt values
        /// may lie beyond it.
        pub quantile: f64 = 0.95,
        /// Chance, in (0, 0.5], that the learnt limit has in truth a larger share of bad values beyond it than
        /// is allowed for. It is made up for in the threshold.
        pub uncertainty: f64 = 0.1,
        /// The agreed limit in the stream's units, used when `learn` is 0.
        pub limit: f64 = 0.0,
        /// Share of values beyond the agreed limit that is still good, in (0, 1), used when `learn` is 0.
        pub share: f64 = 0.05,
        /// Least growth of the share worth a signal, above 0.
        pub delta_lower: f64 = 0.02,
        /// Largest growth of the share looked for, with which it stays below 1.
        pub delta_upper: f64 = 0.5,
        /// Least average number of values between false alarms, in [2, 1e15].
        pub arl: f64 = 10_000.0,
        /// Most bets, in 2..=255.
        pub max_components: u8 = 16,
    }
}

impl ExceedanceParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { learn, quantile, uncertainty, limit, share, .. } = *self;
        ParamError::check("mode", 2.0, self.mode != Mode::Both, "\"up\" or \"down\"")?;
        ParamError::check("learn", f64::from(learn), learn <= 1_000_000, "at most 1000000")?;
        ParamError::check("quantile", quantile, quantile > 0.0 && quantile < 1.0, "in (0, 1)")?;
        let kept = self.kept();
        let allowed = "such that at most 400 of the learnt values, and fewer than all, lie beyond it";
        let ok = kept <= MOST_KEPT && (learn == 0 || kept < learn);
        ParamError::check("quantile", quantile, ok, allowed)?;
        let ok = (1e-9..=0.5).contains(&uncertainty);
        ParamError::check("uncertainty", uncertainty, ok, "in (0, 0.5]")?;
        ParamError::check("limit", limit, limit.abs() <= VALUE_LIMIT, "finite")?;
        ParamError::check("share", share, (1e-9..=1.0 - 1e-9).contains(&share), "in (0, 1)")?;
        ParamError::check("arl", self.arl, (ARL_LEAST..=ARL_MOST).contains(&self.arl), "in [2, 1e15]")?;
        // The level and the band of the bets are none of this detector's parameters.
        let allowed =
            "small enough that it and the share of bad values that is still good are together below 1";
        self.mixture().validate().map_err(|error| match error.param {
            "delta_upper" if self.delta_upper >= self.delta_lower => {
                ParamError { allowed: allowed.into(), ..error }
            }
            _ => error,
        })
    }

    /// Counts the extreme values of which the least extreme is the limit.
    fn kept(&self) -> u32 {
        let beyond = match self.mode {
            Mode::Down => self.quantile,
            _ => 1.0 - self.quantile,
        };
        ((f64::from(self.learn) + 1.0) * beyond + 1e-9).max(1.0) as u32
    }

    /// Returns the share of values beyond the limit that the evidence is held against.
    ///
    /// With a learnt limit this is the upper `uncertainty` quantile of the unknown true share.
    pub fn good_share(&self) -> f64 {
        if self.learn == 0 {
            return self.share;
        }
        upper_share(self.learn, self.kept(), self.uncertainty)
    }

    /// How sure the share is that evidence is held against.
    fn trust(&self) -> f64 {
        if self.learn == 0 { 1.0 } else { 1.0 - self.uncertainty }
    }

    fn mixture(&self) -> MixtureParams {
        MixtureParams {
            m_pre: self.good_share(),
            delta_lower: self.delta_lower,
            delta_upper: self.delta_upper,
            // The bets are those for the largest run length where the threshold is above it.
            arl: (self.arl / self.trust()).min(ARL_MOST),
            max_components: self.max_components,
            ..MixtureParams::default()
        }
    }
}

/// Watches how many values lie beyond a limit: latencies above an objective, scores below a floor.
///
/// Use it on values of any distribution, heavy tails included, when a growing tail is what hurts: with the
/// limit that was agreed on, or with a quantile of the first values as the limit. Do not use it for a shift
/// of the middle that leaves the tail alone ([`crate::ConformalSr`] sees any), nor with a learnt limit on
/// values that depend on each other (batch them first).
///
/// # Guarantee
///
/// With an agreed limit: while each value, given all before, is beyond it with a chance of at most `share`,
/// the mean number of values to the first alarm is at least `arl`, dependent values included.
///
/// With a learnt limit: while all values are independent and of one distribution, whichever, the same on
/// average over what was learnt. The true share beyond the limit is not known and is not taken as
/// known: at `k` of `learn` values from the extreme it has a Beta(k, learn + 1 - k) law (below it where
/// values tie), and the evidence is held against that law's upper quantile at `uncertainty`, the threshold
/// being `arl / (1 - uncertainty)`. So with chance `1 - uncertainty` the average for this very limit is at
/// least the threshold, and over all limits the average to the first alarm is at least `arl`.
///
/// With a learnt limit that is a bound to the first alarm, not on the rate in the long run. The evidence starts
/// afresh after an alarm and the limit stays: a model whose limit is among the unlucky ones, of which there are at
/// most `uncertainty`, has more than one false alarm in `arl` values for as long as it keeps the limit. Of models
/// with the defaults and uniform values 3 % had more than that at an `arl` of 1,000 and 8 % at 10,000, all together
/// a third of it; at 100,000 it was 9 %, and all together 0.8 of it, most from the unlucky ones. An `uncertainty` of
/// 0.01 leaves at most 1 % such models; `reset` after a false alarm learns another limit. With an agreed limit the
/// bound holds from each alarm to the next.
///
/// # Recurrence
///
/// That of [`MixtureESr`] with [`crate::Family::Bernoulli`] on the bits `x > limit` (or `x < limit`),
/// `m_pre` being [`ExceedanceParams::good_share`]. No value is judged while the limit is learnt. After an
/// alarm the evidence starts afresh with the next value; the limit stays until [`Detector::reset`].
///
/// In the signal, `statistic`, `threshold` and `since` are those of [`MixtureESr`]; the direction is that of
/// `mode`.
///
/// # Cost
///
/// That of [`MixtureESr`] and one comparison; eight bytes per extreme value while the limit is learnt (50 by
/// default).
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, Direction, Exceedance, ExceedanceParams};
///
/// let mut tail = Exceedance::new(ExceedanceParams::default())?;
/// // Latencies between 10 and 110 ms; from value 3000 on every fourth takes 50 ms more.
/// let latency = |i: u64| {
///     let usual = 10.0 + (i * 7919 % 1000) as f64 / 10.0;
///     usual + if i >= 3000 && i % 4 == 0 { 50.0 } else { 0.0 }
/// };
/// let (at, signal) = (0..5000)
///     .map(|i| (i, tail.update(latency(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.direction, tail.limit()), (3092, Direction::Up, Some(105.0)));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; those equal to the limit are good. Of a constant stream
/// nothing is ever beyond the limit.
///
/// # References
///
/// Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection",
/// NEJSDS 2023 (arXiv 2203.03532); the law of the share: David and Nagaraja, "Order
/// Statistics" (2003), chapter on distribution-free intervals.
#[derive(Clone, Debug)]
pub struct Exceedance {
    params: ExceedanceParams,
    tally: Tally,
    inner: MixtureESr,
    /// The most extreme values so far, the least extreme first, signed so that larger is worse.
    kept: Vec<f64>,
    limit: Option<f64>,
}

impl Exceedance {
    /// Builds a detector with bets of its own. A clone shares them.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: ExceedanceParams) -> Result<Self, ParamError> {
        params.validate()?;
        let mixture = Arc::new(Mixture::new(params.mixture())?);
        let mut inner = MixtureESr::with_mixture(mixture);
        inner.set_threshold(params.arl / params.trust());
        let mut detector = Self { params, tally: Tally::default(), inner, kept: Vec::new(), limit: None };
        detector.reset();
        Ok(detector)
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &ExceedanceParams {
        &self.params
    }

    /// Returns the limit, or nothing while it is learnt.
    pub fn limit(&self) -> Option<f64> {
        self.limit.map(|limit| self.signed(limit))
    }

    /// Counts the bytes that the detector holds now, on the heap included, the shared bets not.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() - size_of::<MixtureESr>()
            + self.inner.bytes()
            + self.kept.capacity() * size_of::<f64>()
    }

    const fn signed(&self, value: f64) -> f64 {
        if matches!(self.params.mode, Mode::Down) { 0.0 - value } else { value }
    }

    /// Keeps a value if it is among the most extreme; sets the limit at the last.
    fn learn(&mut self, value: f64) {
        let most = self.params.kept() as usize;
        let place = self.kept.partition_point(|&other| other < value);
        if self.kept.len() < most {
            self.kept.insert(place, value);
        } else if let Some((lower, _)) = self.kept.split_at_mut_checked(place) {
            // The least extreme leaves.
            if let Some(last) = lower.len().checked_sub(1) {
                lower.rotate_left(1);
                lower.iter_mut().skip(last).for_each(|slot| *slot = value);
            }
        }
        if self.tally.taken == u64::from(self.params.learn) {
            self.limit = self.kept.first().copied();
            self.kept = Vec::new();
        }
    }
}

impl Detector for Exceedance {
    fn update(&mut self, value: f64) -> Signal {
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.inner.statistic(), self.inner.threshold());
        };
        let value = self.signed(value);
        let Some(limit) = self.limit else {
            self.learn(value);
            return Signal::quiet(0.0, self.inner.threshold());
        };
        let mut signal = self.inner.update(f64::from(value > limit));
        if signal.drift_detected() {
            let down = self.params.mode == Mode::Down;
            signal.direction = if down { Direction::Down } else { Direction::Up };
        }
        signal
    }

    fn reset(&mut self) {
        self.inner.reset();
        self.tally = Tally::default();
        self.kept = Vec::new();
        self.limit = if self.params.learn == 0 { Some(self.signed(self.params.limit)) } else { None };
    }

    fn name(&self) -> &'static str {
        "exceedance"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn baseline(&self) -> Option<f64> {
        self.limit()
    }

    fn arl(&self) -> Option<f64> {
        Some(self.inner.threshold() * self.params.trust())
    }

    fn set_arl(&mut self, arl: f64) -> bool {
        if let Some(arl) = state::run_length(arl, ARL_LEAST, ARL_MOST) {
            self.inner.set_threshold(arl / self.params.trust());
        }
        true
    }

    fn reaches(&self, arl: f64) -> bool {
        self.inner.reaches(arl / self.params.trust())
    }

    fn can_forget(&self) -> bool {
        self.inner.can_forget()
    }

    fn forget_evidence(&mut self) -> bool {
        self.inner.forget_evidence()
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        out.push(u8::from(self.limit.is_some()));
        if let Some(limit) = self.limit {
            put_f64(out, limit);
            self.inner.write_state(out);
        } else {
            put_u32(out, self.kept.len() as u32);
            self.kept.iter().for_each(|&value| put_f64(out, value));
            put_f64(out, self.inner.threshold());
        }
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "exceedance", VERSION, self.params.fingerprint())?;
        let mut next = self.clone();
        next.reset();
        next.tally = Tally::read(bytes)?;
        let learn = u64::from(self.params.learn);
        let learnt = bytes.u8()?;
        ensure(learnt == u8::from(next.tally.taken >= learn), "limit")?;
        if learnt == 1 {
            let limit = state::bounded(bytes, "limit", 1.0)?;
            ensure(next.limit.is_none_or(|agreed| agreed == limit), "limit")?;
            next.limit = Some(limit);
            next.inner.read_state(bytes)?;
        } else {
            let most = u64::from(self.params.kept());
            let kept = bytes.u32()?;
            ensure(u64::from(kept) == next.tally.taken.min(most), "kept")?;
            for _ in 0..kept {
                let value = state::bounded(bytes, "kept", 1.0)?;
                ensure(next.kept.last().is_none_or(|&last| last <= value), "kept")?;
                next.kept.push(value);
            }
            next.inner.set_threshold(bytes.finite("arl")?);
        }
        *self = next;
        Ok(())
    }
}

/// Returns the share `p` that a Beta(k, n + 1 - k) number exceeds with the given chance.
///
/// A Beta(k, n + 1 - k) number exceeds `p` when fewer than `k` of `n` uniform numbers lie below `p`.
fn upper_share(n: u32, k: u32, chance: f64) -> f64 {
    let n = f64::from(n);
    let exceeds = |p: f64| {
        // Binomial terms from 0 to k - 1, each from the last, in logarithms.
        let (odds, mut term, mut sum) = (ln(p) - ln(1.0 - p), n * ln(1.0 - p), 0.0);
        for i in 0..k {
            let i = f64::from(i);
            sum += exp(term);
            term += odds + ln((n - i) / (i + 1.0));
        }
        sum
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if exceeds(middle) > chance {
            low = middle;
        } else {
            high = middle;
        }
    }
    high.clamp(1e-9, 1.0 - 1e-9)
}

#[cfg(test)]
mod tests {
    use super::upper_share;

    /// Against scipy 1.17: `beta.isf(chance, k, n + 1 - k)`.
    #[test]
    fn shares_are_quantiles_of_the_beta_law() {
        for (n, k, chance, expected) in [
            (1000, 50, 0.1, 0.058_942_873_173_826_82),
            (1000, 50, 0.05, 0.061_758_578_828_174_08),
            (10, 1, 0.1, 0.205_671_765_275_718_48),
            (20_000, 200, 0.01, 0.011_707_733_711_641_686),
        ] {
            let share = upper_share(n, k, chance);
            assert!((share - expected).abs() < 1e-9, "{share} is not {expected}");
        }
    }
}
