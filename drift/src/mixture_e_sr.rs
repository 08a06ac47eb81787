//! The mixture e-detector: a change detector whose false alarms have a proven bound.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u32, put_u64};
use crate::math::{exp, ln};
use crate::mixture::{ARL_LEAST, ARL_MOST, Daters, Family, LANES, Mixture, MixtureParams, Recursion};
use crate::state::{self, Tally, ensure};
use crate::{Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;
/// The highest threshold: of a run length of which half the cases are sure.
const THRESHOLD_MOST: f64 = 2.0 * ARL_MOST;
/// A component is scaled by this power of two when it leaves the range of a double.
const SCALE: f64 = 1.340_780_792_994_259_7e154; // 2^512
/// One that was scaled down is scaled back below this: far from where it would be scaled down again.
const SCALED_BACK: f64 = 8.636_168_555_094_445e-78; // 2^-256
const LN_SCALE: f64 = 512.0 * core::f64::consts::LN_2;
/// No value multiplies evidence by more than `exp` of this, so that no product leaves the range of a double.
const MOST_GAIN: f64 = 300.0;
/// The evidence of a dating component is not followed beyond this.
const DATED: f64 = 1e300;
/// A component is not scaled more often than this, in either direction.
const SCALED: i32 = 1 << 30;

/// Mixture of e-Shiryaev-Roberts (or e-CUSUM) detectors of the mean, of values in [0, 1] or with light tails.
///
/// Use it when the good level is known or agreed ("at most 2 % errors", "accuracy at least 0.9"): it has
/// the shortest delay of all detectors here at the same false-alarm rate, and its rate is a theorem. Do
/// not use it with a level learned from a few hundred values (widen it by its error, or use
/// [`crate::Adwin`]).
///
/// # Guarantee
///
/// While the conditional mean of each value, given all before, is on the good side of `m_pre` (in the band
/// around it, in both directions), the mean number of values to the first alarm is at least `arl`: whatever
/// the distribution in [0, 1], dependent values included. With [`Family::Normal`], whatever the
/// distribution that is sub-Gaussian at scale `sigma` given all before. With
/// [`Recursion::SequentialTest`] the chance of any alarm is at most `1 / arl`.
///
/// # Recurrence
///
/// For bets `l_k` with weights `w_k`, `M_k,t = L_k(x_t) (M_k,t-1 + 1)`, `M_t = sum_k w_k M_k,t`, alarm when
/// `M_t >= arl`; [`crate::Family`] has the increments `L_k`. After an alarm it starts afresh with the next
/// value, unless `rearm` is off.
///
/// In the signal, `statistic` is `M_t` (at most `f64::MAX`; [`MixtureESr::log_value`] has no such end),
/// `threshold` is `arl`. Four of the bets, spread over all, keep a plain CUSUM each; `since` is the number of
/// values since the strongest of them was last at rest, and its sign is the direction. It is close for
/// large changes (`.1` to `.2`: short by 5 of 113 values on average), a third short for the least
/// (`.1` to `.15`), and names little more than the last errors where errors are rare.
///
/// # Cost
///
/// Five operations per component and value, four components at once (`Normal`: and an exponential each);
/// eight bytes per component and stream. Without `rearm` a value takes three times as long while components are
/// beyond 1e154, and as long as before when the evidence has gone back. Lambdas and weights are shared between streams through an [`Arc`].
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Detector, MixtureESr, MixtureParams};
///
/// // One error in ten is fine; alarm at most once in 10,000 values while that holds.
/// let mut errors = MixtureESr::new(MixtureParams { m_pre: 0.1, ..Default::default() })?;
/// let error = |i: u64| f64::from(i * 7 % 10 < if i < 1000 { 1 } else { 3 });
/// let (at, signal) = (0..2000)
///     .map(|i| (i, errors.update(error(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.since), (1043, 44));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; values outside [0, 1] are taken as the nearer end (not with
/// `Normal`, where one value multiplies evidence by at most `exp(300)`). Without
/// `rearm` components are scaled one by one when they leave the range of a double, so nothing overflows,
/// however long the stream.
///
/// # Differences
///
/// From the R package stcpR6: the bets and weights are the same when `max_components` is large enough for
/// the paper's optimum (55 bets at the defaults); the default of 16 bets takes less than half the time and
/// was not slower by more than 2 % in any change tried. stcpR6 does not start afresh after an alarm.
///
/// # References
///
/// Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection",
/// NEJSDS 2023 (arXiv 2203.03532): e-detectors, their average run length, mixtures of baseline increments, the
/// grid, bounded values.
#[derive(Clone, Debug)]
pub struct MixtureESr {
    mixture: Arc<Mixture>,
    tally: Tally,
    /// Weight times evidence of each component, in groups.
    evidence: Box<[[f64; LANES]]>,
    /// How often each component was scaled down, or if negative up; empty until one was.
    scaled: Vec<i32>,
    dating: Dating,
    value: f64,
    /// The threshold: that of the bets, until it is moved.
    arl: f64,
    stale: bool,
}

/// The CUSUMs of a few bets, and how long each has been off its rest.
#[derive(Clone, Copy, Debug, Default)]
struct Dating {
    evidence: [f64; LANES],
    since: [u64; LANES],
}

impl Dating {
    #[inline]
    fn add<const NORMAL: bool>(&mut self, daters: &Daters, value: f64) {
        let own = self.evidence.iter_mut().zip(&mut self.since);
        for ((evidence, since), (base, slope)) in own.zip(daters.base.iter().zip(&daters.slope)) {
            *evidence = (evidence.max(1.0) * gain::<NORMAL>(*base, *slope, value)).min(DATED);
            *since = if *evidence <= 1.0 { 0 } else { *since + 1 };
        }
    }

    /// Tells which way the strongest evidence points, and since when.
    fn strongest(&self, daters: &Daters) -> (Direction, u64) {
        let all = self.evidence.iter().zip(&self.since).zip(&daters.slope);
        let best = all.max_by(|((a, _), _), ((b, _), _)| a.total_cmp(b));
        best.map_or((Direction::Unknown, 0), |((_, &since), &slope)| {
            (if slope > 0.0 { Direction::Up } else { Direction::Down }, since)
        })
    }
}

impl MixtureESr {
    /// Builds a detector with bets of its own.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: MixtureParams) -> Result<Self, ParamError> {
        Ok(Self::with_mixture(Arc::new(Mixture::new(params)?)))
    }

    /// Builds a detector that shares its bets with others.
    pub fn with_mixture(mixture: Arc<Mixture>) -> Self {
        let mut detector = Self {
            evidence: alloc::vec![[0.0; LANES]; mixture.lanes().len()].into(),
            arl: mixture.params().arl,
            mixture,
            tally: Tally::default(),
            scaled: Vec::new(),
            dating: Dating::default(),
            value: 0.0,
            stale: false,
        };
        detector.start();
        detector
    }

    /// Returns the shared bets.
    pub const fn mixture(&self) -> &Arc<Mixture> {
        &self.mixture
    }

    /// Returns the natural logarithm of the statistic, or nothing when that is 0, as before the first value.
    pub fn log_value(&self) -> Option<f64> {
        let most = self.scaled.iter().copied().max().unwrap_or(0);
        let sum = if self.scaled.is_empty() {
            self.value
        } else {
            let components = self.evidence.as_flattened().iter().zip(&self.scaled);
            components.map(|(&evidence, &scaled)| evidence * power(most.saturating_sub(scaled))).sum()
        };
        if sum > 0.0 { Some(ln(sum) + f64::from(most) * LN_SCALE) } else { None }
    }

    /// Returns the statistic after the last value.
    pub(crate) const fn statistic(&self) -> f64 {
        self.value
    }

    /// Returns the threshold.
    pub(crate) const fn threshold(&self) -> f64 {
        self.arl
    }

    /// Moves the threshold, to twice the largest run length at most.
    pub(crate) fn set_threshold(&mut self, threshold: f64) {
        self.arl = state::run_length(threshold, ARL_LEAST, THRESHOLD_MOST).unwrap_or(self.arl);
    }

    /// Returns the natural logarithm of the threshold.
    pub fn log_threshold(&self) -> f64 {
        ln(self.arl)
    }

    /// Counts the bytes that the detector holds now, on the heap included, the shared bets not.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.evidence) + self.scaled.capacity() * size_of::<i32>()
    }

    fn start(&mut self) {
        self.evidence.fill([0.0; LANES]);
        self.scaled = Vec::new();
        self.dating = Dating::default();
        self.value = 0.0;
        self.stale = false;
        if self.is_test() {
            for (group, lane) in self.evidence.iter_mut().zip(self.mixture.lanes()) {
                *group = lane.weight;
            }
            self.scaled = alloc::vec![0; self.evidence.len() * LANES];
        }
    }

    fn is_test(&self) -> bool {
        self.mixture.params().recursion == Recursion::SequentialTest
    }

    /// Takes a value, in the units of the bets.
    #[inline]
    fn take<const NORMAL: bool>(&mut self, value: f64) {
        self.dating.add::<NORMAL>(self.mixture.daters(), value);
        self.value = if self.scaled.is_empty() {
            self.step::<NORMAL>(value)
        } else {
            self.step_scaled::<NORMAL>(value)
        };
    }

    /// Takes a value while all components are within range; returns their sum.
    #[inline]
    fn step<const NORMAL: bool>(&mut self, value: f64) -> f64 {
        let mut sums = [0.0; LANES];
        let cusum = self.mixture.params().recursion == Recursion::Cusum;
        for (group, lane) in self.evidence.iter_mut().zip(self.mixture.lanes()) {
            let parts = group.iter_mut().zip(&mut sums);
            let constants = lane.weight.iter().zip(&lane.base).zip(&lane.slope);
            for ((evidence, sum), ((weight, base), slope)) in parts.zip(constants) {
                let started = if cusum { evidence.max(*weight) } else { *evidence + *weight };
                *evidence = started * gain::<NORMAL>(*base, *slope, value);
                *sum += *evidence;
            }
        }
        sums.iter().sum()
    }

    /// Begins to scale components one by one.
    #[cold]
    fn scale(&mut self) {
        let scale = |evidence: &mut f64| {
            let beyond = *evidence > SCALE;
            *evidence *= power(i32::from(beyond));
            i32::from(beyond)
        };
        self.scaled = self.evidence.as_flattened_mut().iter_mut().map(scale).collect();
    }

    /// Takes a value when components are scaled.
    #[cold]
    fn step_scaled<const NORMAL: bool>(&mut self, value: f64) -> f64 {
        let mixture = Arc::clone(&self.mixture);
        let recursion = mixture.params().recursion;
        let test = recursion == Recursion::SequentialTest;
        let lanes = mixture.lanes().iter();
        let constants = lanes.flat_map(|lane| lane.weight.iter().zip(&lane.base).zip(&lane.slope));
        let components = self.evidence.as_flattened_mut().iter_mut().zip(&mut self.scaled);
        let mut sum = 0.0;
        for ((evidence, scaled), ((weight, base), slope)) in components.zip(constants) {
            let started = match recursion {
                Recursion::ShiryaevRoberts => *evidence + weight * power(*scaled),
                Recursion::Cusum => evidence.max(weight * power(*scaled)),
                Recursion::SequentialTest => *evidence,
            };
            *evidence = started * gain::<NORMAL>(*base, *slope, value);
            if *evidence > SCALE {
                *evidence = if *scaled < SCALED { *evidence / SCALE } else { SCALE };
                *scaled = (*scaled + 1).min(SCALED);
            } else if (*scaled > 0 && *evidence < SCALED_BACK)
                || (test && *evidence > 0.0 && *evidence * SCALE < 1.0)
            {
                let room = *scaled > -SCALED;
                *evidence *= if room { SCALE } else { 1.0 };
                *scaled -= i32::from(room);
            }
            sum += match *scaled {
                ..=-2 => 0.0,
                -1 => *evidence / SCALE,
                0 => *evidence,
                1 => *evidence * SCALE,
                2.. => f64::MAX,
            };
        }
        if !test && self.scaled.iter().all(|&scaled| scaled == 0) {
            // All are within range again.
            self.scaled = Vec::new();
        }
        sum.min(f64::MAX)
    }
}

/// What a value multiplies the evidence of a bet by.
#[inline]
fn gain<const NORMAL: bool>(base: f64, slope: f64, value: f64) -> f64 {
    let line = base + slope * value;
    if NORMAL { exp(line.min(MOST_GAIN)) } else { line }
}

/// Returns one over the scale to a power: 0 from the third on.
fn power(scaled: i32) -> f64 {
    match scaled {
        ..=0 => 1.0,
        1 => 1.0 / SCALE,
        2 => 1.0 / SCALE / SCALE,
        3.. => 0.0,
    }
}

impl Detector for MixtureESr {
    fn update(&mut self, value: f64) -> Signal {
        let MixtureParams { family, m_pre, sigma, rearm, .. } = *self.mixture.params();
        let arl = self.arl;
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.value, arl);
        };
        if self.stale {
            self.start();
        }
        if family == Family::Normal {
            self.take::<true>((value - m_pre) / sigma);
        } else {
            self.take::<false>(value.clamp(0.0, 1.0));
        }
        if self.value < arl {
            return Signal::quiet(self.value, arl);
        }
        self.stale = rearm;
        if self.value > SCALE && self.scaled.is_empty() {
            self.scale();
        }
        let (direction, since) = self.leaning();
        Signal { level: Level::Drift, direction, statistic: self.value, threshold: arl, since }
    }

    fn reset(&mut self) {
        self.start();
        self.tally = Tally::default();
    }

    fn name(&self) -> &'static str {
        "e-sr"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn arl(&self) -> Option<f64> {
        Some(self.arl)
    }

    fn set_arl(&mut self, arl: f64) -> bool {
        self.arl = state::run_length(arl, ARL_LEAST, ARL_MOST).unwrap_or(self.arl);
        true
    }

    fn reaches(&self, arl: f64) -> bool {
        state::run_length(arl, ARL_LEAST, ARL_MOST).is_some_and(|arl| self.value >= arl)
    }

    fn can_forget(&self) -> bool {
        true
    }

    fn forget_evidence(&mut self) -> bool {
        self.start();
        true
    }

    fn log_evidence(&self) -> Option<f64> {
        self.log_value()
    }

    fn leaning(&self) -> (Direction, u64) {
        self.dating.strongest(self.mixture.daters())
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.mixture.fingerprint());
        self.tally.write(out);
        put_f64(out, self.value);
        put_f64(out, self.arl);
        out.push(u8::from(self.stale));
        for (&evidence, &since) in self.dating.evidence.iter().zip(&self.dating.since) {
            put_f64(out, evidence);
            put_u64(out, since);
        }
        put_u32(out, self.scaled.len() as u32);
        for &scaled in &self.scaled {
            put_u32(out, scaled.cast_unsigned());
        }
        for &evidence in self.evidence.as_flattened() {
            put_f64(out, evidence);
        }
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "e-sr", VERSION, self.mixture.fingerprint())?;
        let mut next = Self::with_mixture(Arc::clone(&self.mixture));
        next.tally = Tally::read(bytes)?;
        next.value = bytes.finite("value")?;
        ensure(next.value >= 0.0, "value")?;
        next.arl = state::read_run_length(bytes, ARL_LEAST, THRESHOLD_MOST)?;
        let stale = bytes.u8()?;
        ensure(stale <= u8::from(self.mixture.params().rearm), "stale")?;
        next.stale = stale == 1;
        for (evidence, since) in next.dating.evidence.iter_mut().zip(&mut next.dating.since) {
            *evidence = bytes.finite("dating")?;
            *since = bytes.u64()?;
            ensure((0.0..=DATED).contains(evidence) && *since <= next.tally.taken, "dating")?;
        }
        let scaled = bytes.u32()? as usize;
        let test = self.is_test();
        ensure(scaled == next.evidence.len() * LANES || (scaled == 0 && !test), "scaled")?;
        next.scaled.clear();
        for _ in 0..scaled {
            let times = bytes.u32()?.cast_signed();
            ensure((if test { -SCALED } else { 0 }..=SCALED).contains(&times), "scaled")?;
            next.scaled.push(times);
        }
        for evidence in next.evidence.as_flattened_mut() {
            *evidence = bytes.finite("evidence")?;
            ensure((0.0..=SCALE).contains(evidence), "evidence")?;
        }
        *self = next;
        Ok(())
    }
}
