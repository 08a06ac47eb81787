//! The merge of e-values: several detectors with a guarantee as one with the same guarantee.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader};
use crate::combination::vote::{read_members, write_members};
use crate::math::exp;
use crate::parameters::parameters;
use crate::state::{self, Fingerprint, Tally, ensure};
use crate::{AnyDetector, Detector, Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;
/// Most members.
const MOST: usize = 64;

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
        ParamError::check("arl", self.arl, (2.0..=1e15).contains(&self.arl), "in [2, 1e15]")
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
/// A member that starts afresh after an alarm of its own keeps this, but loses its evidence: give it
/// `rearm = false`, or an `arl` that it does not reach first.
///
/// In the signal, `statistic` is the average (at most `f64::MAX`), `threshold` is `arl`; direction and
/// `since` are those of the strongest member whose own alarm comes with this value, else unknown. After
/// a drift all members are reset.
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
/// Shin, Ramdas and Rinaldo, arXiv 2203.03532: definition 2.2, theorem 2.4 and section 3 (mixtures of
/// e-detectors); Vovk and Wang, "E-values: Calibration, combination and applications", Ann. Stat. 49 (2021):
/// the average is the best symmetric way to merge dependent e-values.
#[derive(Clone, Debug)]
pub struct EvidenceMerge {
    params: EvidenceMergeParams,
    members: Vec<AnyDetector>,
    weights: Vec<f64>,
    /// Weight times e-value of each member.
    parts: Vec<f64>,
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
            let mut trial = member.clone();
            trial.update(0.5);
            let ok = trial.log_evidence().is_some();
            ParamError::check("members", n as f64, ok, "detectors with an e-value")?;
        }
        let given = weights.len();
        ParamError::check("weights", given as f64, given == n, "as many as members")?;
        let total: f64 = weights.iter().sum();
        for &weight in weights {
            let ok = weight > 0.0 && total.is_finite() && weight / total > 0.0;
            ParamError::check("weights", weight, ok, "above 0 and finite")?;
        }
        let weights = weights.iter().map(|weight| weight / total).collect();
        let parts = alloc::vec![0.0; n];
        let mut merge = Self { params, members, weights, parts, tally: Tally::default(), statistic: 0.0 };
        merge.gather();
        Ok(merge)
    }

    /// Gives a value to one member only; a member that is not there counts it as ignored.
    pub fn update_member(&mut self, member: usize, value: f64) -> Signal {
        let known = if member < self.members.len() { value } else { f64::NAN };
        let Some(value) = self.tally.admit(known) else {
            return Signal::quiet(self.statistic, self.params.arl);
        };
        let loudest = self.give(member, value).filter(Signal::drift_detected);
        self.judge(loudest)
    }

    /// Gives a value to a member and takes its e-value.
    fn give(&mut self, member: usize, value: f64) -> Option<Signal> {
        let (detector, part) = (self.members.get_mut(member)?, self.parts.get_mut(member)?);
        let signal = detector.update(value);
        *part = evidence(detector) * self.weights.get(member)?;
        Some(signal)
    }

    fn judge(&mut self, loudest: Option<Signal>) -> Signal {
        let threshold = self.params.arl;
        let statistic = self.parts.iter().sum::<f64>().min(f64::MAX);
        self.statistic = statistic;
        if statistic < threshold {
            return Signal::quiet(statistic, threshold);
        }
        self.members.iter_mut().for_each(AnyDetector::reset);
        self.gather();
        let (direction, since) =
            loudest.map_or((Direction::Unknown, 0), |signal| (signal.direction, signal.since));
        Signal { level: Level::Drift, direction, statistic, threshold, since }
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
            return Signal::quiet(self.statistic, self.params.arl);
        };
        let mut loudest: Option<(f64, Signal)> = None;
        for member in 0..self.members.len() {
            let signal = self.give(member, value).filter(Signal::drift_detected);
            let part = self.parts.get(member).copied().unwrap_or_default();
            if let Some(signal) = signal.filter(|_| loudest.is_none_or(|(most, _)| part > most)) {
                loudest = Some((part, signal));
            }
        }
        self.judge(loudest.map(|(_, signal)| signal))
    }

    fn reset(&mut self) {
        self.members.iter_mut().for_each(AnyDetector::reset);
        self.tally = Tally::default();
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

    fn log_evidence(&self) -> Option<f64> {
        (self.statistic > 0.0).then(|| crate::math::ln(self.statistic))
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.fingerprint());
        self.tally.write(out);
        write_members(&self.members, out);
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "evidence-merge", VERSION, self.fingerprint())?;
        let tally = Tally::read(bytes)?;
        let members = read_members(&self.members, bytes)?;
        let mut next = Self { members, weights: self.weights.clone(), parts: self.parts.clone(), ..*self };
        next.tally = tally;
        next.gather();
        ensure(next.statistic.is_finite() && next.statistic < self.params.arl, "statistic")?;
        *self = next;
        Ok(())
    }
}

impl From<EvidenceMerge> for AnyDetector {
    fn from(merge: EvidenceMerge) -> Self {
        Self::Custom(Box::new(merge))
    }
}
