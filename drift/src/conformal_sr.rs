//! Conformal Shiryaev-Roberts: any change of any score, by its ranks among all values.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::conformal_bets::{BETS, Bets};
use crate::parameters::parameters;
use crate::rank_reference::RankReference;
use crate::splitmix::SplitMix64;
use crate::state::{self, Tally, ensure};
use crate::{Detector, Direction, Level, Mode, ParamError, Signal};

/// What `arl` may be.
const ARL_LEAST: f64 = 2.0;
const ARL_MOST: f64 = 1e15;
const VERSION: u8 = 2;
/// The evidence of a bet is not followed beyond this.
const MOST: f64 = 1e60;
/// Every so many bets one dates the change.
const DATED: usize = 3;

parameters! {
    /// Parameters of [`ConformalSr`].
    pub struct ConformalSrParams {
        /// Which scores are bad: large ones, small ones, or both.
        pub mode: Mode = Mode::Both,
        /// Number of first values, in 10..=160, between which later ones are counted.
        pub cuts: u32 = 128,
        /// Least average number of values between false alarms, in [2, 1e15].
        pub arl: f64 = 10_000.0,
        /// Start of the random numbers that break ties. Detectors of one seed alarm together more often than
        /// chance would have it: give each stream its own.
        pub seed: u64 = 1,
    }
}

impl ConformalSrParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { cuts, arl, .. } = *self;
        ParamError::check("cuts", f64::from(cuts), (10..=160).contains(&cuts), "in 10..=160")?;
        ParamError::check("arl", arl, (ARL_LEAST..=ARL_MOST).contains(&arl), "in [2, 1e15]")
    }
}

/// Shiryaev-Roberts on the ranks of scores among all before: finds any shift, of any distribution.
///
/// Use it on a score of which nothing is known but that it should stay as it is: a nonconformity score, a
/// confidence, a distance, an error of any scale and tail, or zeros and ones. Do not use it when the good level
/// is known ([`crate::MixtureESr`]), for a change that comes early or grows slowly (bad values join those that
/// ranks are taken among: the change should come after about as many good values as it takes to see it at the
/// least, of a small one after several times as many), nor on values that depend on each other (batch them first).
///
/// # Guarantee
///
/// While all values since the start or the last alarm are exchangeable (for one, independent and of one
/// distribution, whichever), the mean number of values to the first alarm is at least `arl`.
///
/// # Recurrence
///
/// Each score is ranked among all so far, itself included, with ties broken by a random number `u`: of `n`, `a` larger
/// and `e` as large, the p-value is
///
/// `p_t = (a + u e) / n` (of `1 - p_t` for small scores).
///
/// The first `cuts` values divide the line into cells: each of them, and what lies between two. Later ones are kept as
/// counts, so that two in one cell are as large as each other, and any other two what they are.
///
/// These are conformal p-values: exchangeable values make them independent and uniform, exactly, at any `n` (Vovk,
/// Gammerman and Shafer, "Algorithmic Learning in a Random World", theorem on smoothed conformal predictors;
/// it is what the paper below builds on). Cells do not change that: of the `n` places that a new value may take among
/// those before, all as likely, `e` lie in a cell in which `e - 1` values are, and to break the tie at random
/// is to choose one of these. No quantity is estimated, so none can mislead.
///
/// Bets on p-values `f_k` have mean 1: eight powers `k p^(k - 1)` and eight likelihood ratios of a grown share
/// of values below 1/2, 1/4, ..., 1/256, averaged over short pieces. Then
///
/// `M_k,t = f_k(p_t) (M_k,t-1 + 1)`, `M_t = sum over k of M_k,t / K`, alarm when `M_t >= arl`.
///
/// `M_t - t` is a martingale, so that the mean of `t` at the alarm is that of `M_t`, and `M_t` is an e-value
/// ([`Detector::log_evidence`]). After an alarm all is
/// forgotten, the cells too: what was good is no more.
///
/// In the signal, `statistic` is `M_t`, `threshold` is `arl`. Some of the bets keep a CUSUM each: `since` is the
/// number of values since the strongest was last at rest, and its side is the direction.
///
/// # Cost
///
/// With `arl` at 10,000, after 2000 good values, a share of ones of .1 that becomes .2 is seen after 185
/// values and .3 after 58, one of .02 that becomes .06 after 289. The measured run length is 1.3 to 1.5 times
/// `arl` on every distribution tried.
///
/// One search among the cuts, one sum over their counts, and three operations per bet (16, with `Both` 32)
/// and value; at most 16 bytes per cut, and 16 per bet. A clone shares the table of bets.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{ConformalSr, ConformalSrParams, Detector, Direction};
///
/// let mut scores = ConformalSr::new(ConformalSrParams::default())?;
/// // Between 0 and 1, from value 3000 on between 0.3 and 1.3.
/// let score = |i: u64| (i * 7919 % 1000) as f64 / 1000.0 + if i < 3000 { 0.0 } else { 0.3 };
/// let (at, signal) = (0..5000)
///     .map(|i| (i, scores.update(score(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a change of this size is found");
/// assert_eq!((at, signal.since, signal.direction), (3015, 15, Direction::Up));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing. On a constant stream p-values are the random numbers alone, and alarms
/// come by chance, as seldom as `arl` says. (A p-value of 1 for all while nothing has varied would stop those, and keep
/// the guarantee on such a stream; but on one that begins constant the p-values after would no longer be independent
/// of those before, of which the proof stands.)
/// After 2^32 - 1 values no more are counted.
///
/// # Differences
///
/// From the paper: ranks are among cells instead of among all values, which keeps the space bounded and the
/// validity exact, and costs what a rank within a cell would tell.
///
/// # References
///
/// Vovk, Petej, Nouretdinov, Ahlberg, Carlsson and Gammerman, "Retrain or not retrain: conformal test
/// martingales for change-point detection", COPA 2021 (arXiv 2102.10439); Shin, Ramdas and Rinaldo,
/// "E-detectors" (arXiv 2203.03532).
#[derive(Clone, Debug)]
pub struct ConformalSr {
    params: ConformalSrParams,
    bets: Arc<Bets>,
    tally: Tally,
    /// Values since the last alarm.
    seen: u64,
    random: SplitMix64,
    reference: RankReference,
    up: Side,
    down: Side,
    statistic: f64,
    arl: f64,
    stale: bool,
}

/// The evidence of the bets of one direction, and the CUSUMs of some.
#[derive(Clone, Copy, Debug, Default)]
struct Side {
    evidence: [f64; BETS],
    cusum: [f64; BETS / DATED],
    since: [u64; BETS / DATED],
}

impl Side {
    /// Takes the heights of the bets at a p-value; returns the sum of the evidence.
    #[inline]
    fn add(&mut self, heights: &[f64; BETS]) -> f64 {
        let mut sum = 0.0;
        for (evidence, height) in self.evidence.iter_mut().zip(heights) {
            *evidence = ((*evidence + 1.0) * height).min(MOST);
            sum += *evidence;
        }
        let dated = heights.iter().skip(1).step_by(DATED);
        for ((cusum, since), height) in self.cusum.iter_mut().zip(&mut self.since).zip(dated) {
            *cusum = (cusum.max(1.0) * height).min(MOST);
            *since = if *cusum <= 1.0 { 0 } else { *since + 1 };
        }
        sum
    }

    fn strongest(&self) -> (f64, u64) {
        let all = self.cusum.iter().zip(&self.since);
        all.fold((0.0, 0), |best, (&cusum, &since)| if cusum > best.0 { (cusum, since) } else { best })
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.evidence.iter().chain(&self.cusum).for_each(|&number| put_f64(out, number));
        self.since.iter().for_each(|&since| put_u64(out, since));
    }

    fn read(bytes: &mut Reader<'_>, seen: u64) -> Result<Self, DecodeError> {
        let mut side = Self::default();
        for number in side.evidence.iter_mut().chain(&mut side.cusum) {
            *number = bytes.finite("evidence")?;
            ensure((0.0..=MOST).contains(number), "evidence")?;
        }
        for since in &mut side.since {
            *since = bytes.u64()?;
            ensure(*since <= seen, "since")?;
        }
        Ok(side)
    }
}

impl ConformalSr {
    /// Builds a detector that has seen nothing. A clone shares its table of bets.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: ConformalSrParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::with_bets(params, Arc::new(Bets::new())))
    }

    fn with_bets(params: ConformalSrParams, bets: Arc<Bets>) -> Self {
        Self {
            params,
            bets,
            tally: Tally::default(),
            seen: 0,
            random: SplitMix64::new(params.seed),
            reference: RankReference::default(),
            up: Side::default(),
            down: Side::default(),
            statistic: 0.0,
            arl: params.arl,
            stale: false,
        }
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &ConformalSrParams {
        &self.params
    }

    /// Counts the bytes that the detector holds now, on the heap included, the shared bets not.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.reference.heap()
    }

    /// Starts afresh, but for the counts of the caller and the random numbers.
    fn start(&mut self) {
        let next = Self::with_bets(self.params, Arc::clone(&self.bets));
        *self = Self { tally: self.tally, random: self.random, arl: self.arl, ..next };
    }
}

impl Detector for ConformalSr {
    fn update(&mut self, value: f64) -> Signal {
        let ConformalSrParams { mode, cuts, .. } = self.params;
        let arl = self.arl;
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, arl);
        };
        if self.stale {
            self.start();
        }
        self.seen += 1;
        let (above, equal, total) = self.reference.rank(value, cuts);
        let p = (f64::from(above) + self.random.uniform() * f64::from(equal)) / f64::from(total);
        let bets = BETS as f64;
        self.statistic = match mode {
            Mode::Up => self.up.add(self.bets.at(p)) / bets,
            Mode::Down => self.down.add(self.bets.at(1.0 - p)) / bets,
            Mode::Both => {
                (self.up.add(self.bets.at(p)) + self.down.add(self.bets.at(1.0 - p))) / (2.0 * bets)
            }
        };
        if self.statistic < arl {
            return Signal::quiet(self.statistic, arl);
        }
        self.stale = true;
        let (direction, since) = self.leaning();
        Signal { level: Level::Drift, direction, statistic: self.statistic, threshold: arl, since }
    }

    fn reset(&mut self) {
        *self = Self { arl: self.arl, ..Self::with_bets(self.params, Arc::clone(&self.bets)) };
    }

    fn name(&self) -> &'static str {
        "conformal-sr"
    }

    fn count(&self) -> u64 {
        self.tally.taken
    }

    fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    fn reseed(&mut self, seed: u64) {
        self.random = SplitMix64::new(seed);
    }

    fn arl(&self) -> Option<f64> {
        Some(self.arl)
    }

    fn set_arl(&mut self, arl: f64) -> bool {
        self.arl = state::run_length(arl, ARL_LEAST, ARL_MOST).unwrap_or(self.arl);
        true
    }

    fn reaches(&self, arl: f64) -> bool {
        state::run_length(arl, ARL_LEAST, ARL_MOST).is_some_and(|arl| self.statistic >= arl)
    }

    fn can_forget(&self) -> bool {
        true
    }

    fn forget_evidence(&mut self) -> bool {
        (self.up, self.down, self.statistic) = (Side::default(), Side::default(), 0.0);
        true
    }

    fn log_evidence(&self) -> Option<f64> {
        (self.statistic > 0.0).then(|| crate::math::ln(self.statistic))
    }

    fn leaning(&self) -> (Direction, u64) {
        let (up, down) = (self.up.strongest(), self.down.strongest());
        if up.0 >= down.0 { (Direction::Up, up.1) } else { (Direction::Down, down.1) }
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_u64(out, self.seen);
        put_u64(out, self.random.state());
        self.reference.write(out);
        put_f64(out, self.statistic);
        put_f64(out, self.arl);
        out.push(u8::from(self.stale));
        self.up.write(out);
        self.down.write(out);
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "conformal-sr", VERSION, self.params.fingerprint())?;
        let mut next = Self::with_bets(self.params, Arc::clone(&self.bets));
        next.tally = Tally::read(bytes)?;
        next.seen = bytes.u64()?;
        ensure(next.seen <= next.tally.taken, "seen")?;
        next.random = SplitMix64::new(bytes.u64()?);
        next.reference = RankReference::read(bytes, self.params.cuts, next.seen)?;
        next.statistic = bytes.finite("statistic")?;
        next.arl = state::read_run_length(bytes, ARL_LEAST, ARL_MOST)?;
        let stale = bytes.u8()?;
        next.stale = stale == 1;
        ensure(stale <= 1 && next.statistic >= 0.0, "statistic")?;
        (next.up, next.down) = (Side::read(bytes, next.seen)?, Side::read(bytes, next.seen)?);
        *self = next;
        Ok(())
    }
}
