//! The merge of e-values: several detectors with a guarantee as one with the same guarantee.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::combination::member::{MOST, read_members, write_members};
use crate::math::exp;
use crate::parameters::parameters;
use crate::splitmix::SplitMix64;
use crate::state::{self, Fingerprint, Tally, ensure};
use crate::{AnyDetector, Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 2;
/// Values after which a detector that ever has an e-value has one.
const TRIAL: u32 = 256;
/// What `arl` may be.
const ARL_LEAST: f64 = 2.0;
const ARL_MOST: f64 = 1e15;

parameters! {
    /// Parameters of [`EvidenceMerge`].
    pub struct EvidenceMergeParams {
        /// Least average number of values between false alarms, in [2, 1e15]; with values given to single
        /// members, the weighted average of their numbers.
        pub arl: f64 = 10_000.0,
    }
}

impl EvidenceMergeParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        ParamError::check("arl", self.arl, (ARL_LEAST..=ARL_MOST).contains(&self.arl), "in [2, 1e15]")
    }
}

/// The weighted average of the e-values of several detectors, with an alarm when it reaches `arl`.
///
/// Use it over detectors that have an e-value ([`Detector::log_evidence`]): one metric watched in several
/// ways (each value goes to all), or several metrics or slices of a model (each value goes to its own
/// member, [`EvidenceMerge::update_member`]). Against a division of the budget by `k` members it loses
/// nothing when one member alone sees the change (it must reach `k arl` in both), and gains when several
/// do.
///
/// # Guarantee
///
/// At any stopping time `T` while nothing has changed, member `i` has an e-value of at most `E N_i(T)` on
/// average, `N_i` the values it was given. So `arl <= E sum_i w_i M_i(T) <= E sum_i w_i N_i(T)`: with all
/// values given to all, the average run length is at least `arl`, however dependent the members.
/// A member's own threshold has no part in it, but one that starts afresh after an alarm of its own would lose its
/// evidence too early: members that have an `arl` are set to `arl / w_i`, which none reaches before the merge
/// reaches `arl`.
///
/// In the signal, `statistic` is the average (at most `f64::MAX`), `threshold` is `arl`; with a drift, direction
/// and `since` are those of the strongest member ([`Detector::leaning`]). After a drift all members are reset, each
/// with random numbers of its own.
///
/// # Cost
///
/// That of the members, and a logarithm and an exponential for each.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::combination::{EvidenceMerge, EvidenceMergeParams};
/// use visu_tility_drift::{Detector, Family, MixtureESr, MixtureParams};
///
/// let bets = |m_pre| MixtureParams { m_pre, delta_upper: 0.4, rearm: false, ..Default::default() };
/// let members = [MixtureESr::new(bets(0.1))?.into(), MixtureESr::new(bets(0.2))?.into()];
/// let mut merge = EvidenceMerge::new(EvidenceMergeParams::default(), members.into(), &[1.0, 1.0])?;
/// // Errors of the first metric rise from one to three in ten; the second has two in ten throughout.
/// let error = |i: u64, in_ten: u64| f64::from(i * 7 % 10 < in_ten);
/// let at = (0..2000)
///     .find(|&i| {
///         let first = merge.update_member(0, error(i, if i < 1000 { 1 } else { 3 }));
///         let second = merge.update_member(1, error(i, 2));
///         first.drift_detected() || second.drift_detected()
///     })
///     .expect("a change of this size is found");
/// assert_eq!(at, 1046);
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # References
///
/// Shin, Ramdas and Rinaldo, arXiv 2203.03532 (the run length of e-detectors, and of mixtures of
/// them); Vovk and Wang, "E-values: Calibration, combination and applications", Ann. Stat. 49 (2021):
/// the average is the best symmetric way to merge dependent e-values.
#[derive(Clone, Debug)]
pub struct EvidenceMerge {
    params: EvidenceMergeParams,
    members: Vec<AnyDetector>,
    weights: Vec<f64>,
    /// Weight times e-value of each member.
    parts: Vec<f64>,
    /// What each member said last.
    said: Vec<Signal>,
    /// Where members' random numbers begin when they are reset; nothing while they are the parameters' own.
    seeds: Option<SplitMix64>,
    /// Place of the member that was the strongest at the last drift.
    strongest: Option<u32>,
    arl: f64,
    tally: Tally,
    statistic: f64,
}

impl EvidenceMerge {
    /// Builds a merge over members; `weights` are divided by their sum.
    ///
    /// # Errors
    ///
    /// Fails when `arl` is out of range, when there are no members or more than 64, when one has no
    /// e-value, or when the weights are not as many, above 0 and finite.
    pub fn new(
        params: EvidenceMergeParams,
        members: Vec<AnyDetector>,
        weights: &[f64],
    ) -> Result<Self, ParamError> {
        params.validate()?;
        let n = members.len();
        ParamError::check("members", n as f64, (1..=MOST).contains(&n), "1 to 64 of them")?;
        for member in &members {
            ParamError::check("members", n as f64, Self::takes(member), "detectors with an e-value")?;
        }
        let given = weights.len();
        ParamError::check("weights", given as f64, given == n, "as many as members")?;
        let total: f64 = weights.iter().sum();
        for &weight in weights {
            let ok = weight > 0.0 && total.is_finite() && weight / total > 0.0;
            ParamError::check("weights", weight, ok, "above 0 and finite")?;
        }
        let weights = weights.iter().map(|weight| weight / total).collect();
        let mut merge = Self {
            params,
            members,
            weights,
            parts: alloc::vec![0.0; n],
            said: alloc::vec![Signal::default(); n],
            seeds: None,
            strongest: None,
            arl: params.arl,
            tally: Tally::default(),
            statistic: 0.0,
        };
        merge.aim();
        merge.gather();
        Ok(merge)
    }

    /// Says whether a detector can be a member: whether it has an e-value.
    pub fn takes(member: &AnyDetector) -> bool {
        let mut trial = member.clone();
        (0..TRIAL).any(|_| {
            trial.update(0.5);
            trial.log_evidence().is_some()
        })
    }

    /// Gives a value to one member only; a member that is not there counts it as ignored.
    pub fn update_member(&mut self, member: usize, value: f64) -> Signal {
        let known = if member < self.members.len() { value } else { f64::NAN };
        let Some(value) = self.tally.admit(known) else {
            return Signal::quiet(self.statistic, self.arl);
        };
        self.give(member, value);
        self.judge()
    }

    /// Gives a value to a member and takes its e-value.
    fn give(&mut self, member: usize, value: f64) {
        let own = self.members.get_mut(member).zip(self.parts.get_mut(member));
        let own = own.zip(self.weights.get(member)).zip(self.said.get_mut(member));
        if let Some((((detector, part), weight), said)) = own {
            *said = detector.update(value);
            *part = evidence(detector) * weight;
        }
    }

    fn judge(&mut self) -> Signal {
        let threshold = self.arl;
        let statistic = self.parts.iter().sum::<f64>().min(f64::MAX);
        self.statistic = statistic;
        if statistic < threshold {
            return Signal::quiet(statistic, threshold);
        }
        let (direction, since) = self.leaning();
        self.strongest = self.leader().map(|member| member as u32);
        self.members.iter_mut().for_each(AnyDetector::reset);
        self.sow();
        self.gather();
        Signal { level: Level::Drift, direction, statistic, threshold, since }
    }

    /// Finds the member with the largest part in the average.
    fn leader(&self) -> Option<usize> {
        let parts = self.parts.iter().enumerate().filter(|(_, part)| **part > 0.0);
        parts.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(member, _)| member)
    }

    /// Gives members random numbers of their own, if any were asked for.
    fn sow(&mut self) {
        if let Some(seeds) = &mut self.seeds {
            self.members.iter_mut().for_each(|member| member.reseed(seeds.next()));
        }
    }

    /// Sets members so that none starts afresh before the merge has its alarm.
    fn aim(&mut self) {
        for (member, weight) in self.members.iter_mut().zip(&self.weights) {
            member.set_arl(self.arl / weight);
        }
    }

    /// Takes the e-values of all members anew.
    fn gather(&mut self) {
        for ((part, member), weight) in self.parts.iter_mut().zip(&self.members).zip(&self.weights) {
            *part = evidence(member) * weight;
        }
        self.statistic = self.parts.iter().sum::<f64>().min(f64::MAX);
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &EvidenceMergeParams {
        &self.params
    }

    /// Returns the members.
    pub fn members(&self) -> &[AnyDetector] {
        &self.members
    }

    /// Returns each member's share in the average, which together are 1.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Says what each member said on the last value that it was given.
    pub fn said(&self) -> impl ExactSizeIterator<Item = Signal> + '_ {
        self.said.iter().copied()
    }

    /// Returns each member's part in the average at present: its weight times its e-value.
    pub fn parts(&self) -> &[f64] {
        &self.parts
    }

    /// Returns the place of the member that had the largest part in the last drift; nothing before the first.
    pub fn strongest(&self) -> Option<usize> {
        self.strongest.map(|member| member as usize)
    }

    fn fingerprint(&self) -> u64 {
        let start = Fingerprint::new().u64(self.params.fingerprint());
        self.weights.iter().fold(start, |hash, &weight| hash.f64(weight)).finish()
    }
}

/// Returns a member's e-value, 0 where it has none yet.
fn evidence(member: &AnyDetector) -> f64 {
    member.log_evidence().map_or(0.0, |log| exp(log).min(f64::MAX))
}

impl Detector for EvidenceMerge {
    fn update(&mut self, value: f64) -> Signal {
        let Some(value) = self.tally.admit(value) else {
            return Signal::quiet(self.statistic, self.arl);
        };
        (0..self.members.len()).for_each(|member| self.give(member, value));
        self.judge()
    }

    fn reset(&mut self) {
        self.members.iter_mut().for_each(AnyDetector::reset);
        self.tally = Tally::default();
        (self.seeds, self.strongest) = (None, None);
        self.said.fill(Signal::default());
        self.gather();
    }

    fn name(&self) -> &'static str {
        "evidence-merge"
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
        self.aim();
        true
    }

    fn reaches(&self, arl: f64) -> bool {
        state::run_length(arl, ARL_LEAST, ARL_MOST).is_some_and(|arl| self.statistic >= arl)
    }

    fn can_forget(&self) -> bool {
        self.members.iter().all(Detector::can_forget)
    }

    /// All of it or nothing: nothing where a member cannot tell its evidence from the level.
    fn forget_evidence(&mut self) -> bool {
        let all = self.can_forget();
        if all {
            self.members.iter_mut().for_each(|member| _ = member.forget_evidence());
            self.gather();
        }
        all
    }

    fn reseed(&mut self, seed: u64) {
        self.seeds = Some(SplitMix64::new(seed));
        self.sow();
    }

    fn leaning(&self) -> (Direction, u64) {
        let member = self.leader().and_then(|member| self.members.get(member));
        member.map_or((Direction::Unknown, 0), Detector::leaning)
    }

    fn log_evidence(&self) -> Option<f64> {
        (self.statistic > 0.0).then(|| crate::math::ln(self.statistic))
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.fingerprint());
        self.tally.write(out);
        put_f64(out, self.arl);
        out.push(u8::from(self.seeds.is_some()));
        put_u64(out, self.seeds.map_or(0, SplitMix64::state));
        out.push(self.strongest.map_or(u8::MAX, |member| member as u8));
        self.said.iter().for_each(|signal| signal.write(out));
        write_members(&self.members, out);
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "evidence-merge", VERSION, self.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let mut next = Self { tally, ..self.clone() };
        next.arl = state::read_run_length(bytes, ARL_LEAST, ARL_MOST)?;
        let seeds = state::flag(bytes, "seeds")?;
        next.seeds = Some(SplitMix64::new(bytes.u64()?)).filter(|_| seeds);
        next.strongest = match bytes.u8()? {
            u8::MAX => None,
            member => {
                ensure(usize::from(member) < next.members.len(), "strongest")?;
                Some(u32::from(member))
            }
        };
        for signal in &mut next.said {
            *signal = Signal::read(bytes)?;
        }
        next.members = read_members(&self.members, bytes)?;
        next.gather();
        *self = next;
        Ok(())
    }
}

impl From<EvidenceMerge> for AnyDetector {
    fn from(merge: EvidenceMerge) -> Self {
        Self::Custom(Box::new(merge))
    }
}
