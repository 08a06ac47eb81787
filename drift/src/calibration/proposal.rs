//! Which detector a history asks for.

use alloc::vec::Vec;

use crate::calibration::{Bound, upper_mean, upper_share};
use crate::math::sqrt;
use crate::preparation::autocorrelation::WINDOW_LIMIT;
use crate::{
    AnyParams, Batcher, BatcherParams, Family, Input, MixtureParams, Mode, ParamError, PreparationParams,
    Prepared, Setting, StandardizerParams,
};

/// Fewest values of a history that say anything of autocorrelation.
const FEWEST: u64 = 256;

/// An average run length that every detector proposed here takes.
const ARL_ANY: f64 = 100.0;

/// What is wanted of a detector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// Kind of the values: [`Input::Bits`] and [`Input::Unit`] have a bounded range.
    pub input: Input,
    /// Which way a change is bad: `Up` for errors, `Down` for accuracy.
    pub mode: Mode,
    /// Least average number of values between false alarms, in [2, 1e15]; see [`crate::Budget::arl`].
    pub arl: f64,
    /// Confidence of the bound of the good level, in [0.5, 1).
    pub confidence: f64,
}

impl Default for Wish {
    /// Wants one false alarm in 10,000 values of bits that are bad when 1, with 95 % confidence.
    fn default() -> Self {
        Self { input: Input::Bits, mode: Mode::Up, arl: 10_000.0, confidence: 0.95 }
    }
}

/// Why a detector is proposed.
///
/// | | good level | false alarms |
/// |---|---|---|
/// | `BoundedLevel` | a confidence bound from the history, wide by less than the least change | at most one per `arl`, if the bound holds |
/// | `UnknownLevel` | learned by the detector itself | at most one per `arl` |
/// | `NoGuarantee` | learned by the detector itself | not bounded: no detector here has a bound for such values |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The history is long enough to bound the good level.
    BoundedLevel,
    /// The history is too short for that, or both directions are bad, or the values have no bounds.
    UnknownLevel,
    /// As `UnknownLevel`, and no detector with a guarantee takes such values.
    NoGuarantee,
}

/// A detector for a history: what to write into a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proposal {
    /// The detector and its parameters; its `arl` counts what it is given.
    pub params: AnyParams,
    /// What to put in front of it.
    pub preparation: PreparationParams,
    /// What the history says of the good level; nothing for values without bounds or fewer than two.
    pub baseline: Option<Bound>,
    /// Integrated autocorrelation time of the history in values: 1 when values are independent or fewer
    /// than 256.
    pub autocorrelation_time: f64,
    /// Why this one.
    pub reason: Reason,
}

impl Proposal {
    /// Builds the detector behind its preparation.
    ///
    /// # Errors
    ///
    /// None for what [`propose`] returned; else names the first parameter that is out of range.
    pub fn build(&self) -> Result<Prepared, ParamError> {
        Prepared::new(self.preparation, self.params.build()?)
    }
}

/// Proposes a detector, its parameters and its preparation for values like those of a good history.
///
/// 1. The autocorrelation of the history chooses the length of batches; all that follows is of batches.
/// 2. For values in [0, 1] with one bad direction, the good level is bounded on its bad side:
///    [`upper_share`] for single bits, [`upper_mean`] for anything else. Where the bound is off the
///    estimate by less than half the least change worth a signal (the lesser of half the bad share and a
///    sixth of a deviation), or by less than 0.005, `e-sr` with the bound as `m_pre` is proposed.
/// 3. Otherwise a detector that learns the level with its uncertainty: `confidence-sequence` for values in
///    [0, 1], `focus` for single counts (taken as a Poisson law's), `conformal-sr` for anything else; at last
///    `adwin`, without a guarantee. Values without bounds are standardised first.
///
/// Values that are not finite are left out; a bad history makes a bad proposal.
///
/// # Errors
///
/// Fails when a number of `wish` is out of range.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::calibration::{Reason, Wish, propose};
/// use visu_tility_drift::simulate::Source;
///
/// let history: Vec<f64> = Source::Bernoulli { p: 0.1 }.stream(1)?.take(4_000).collect();
/// let proposal = propose(&history, &Wish::default())?;
/// assert_eq!((proposal.params.name(), proposal.reason), ("e-sr", Reason::BoundedLevel));
/// assert!(proposal.baseline.is_some_and(|level| level.bound > 0.1 && level.bound < 0.12));
/// // A tenth of it says too little of the level.
/// assert_ne!(propose(&history[..300], &Wish::default())?.params.name(), "e-sr");
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
pub fn propose(history: &[f64], wish: &Wish) -> Result<Proposal, ParamError> {
    let Wish { arl, confidence, .. } = *wish;
    ParamError::check("arl", arl, (2.0..=1e15).contains(&arl), "in [2, 1e15]")?;
    let ok = (0.5..=1.0 - 1e-9).contains(&confidence);
    ParamError::check("confidence", confidence, ok, "in [0.5, 1)")?;
    let history: Vec<f64> = history.iter().copied().filter(|value| value.is_finite()).collect();
    let (length, autocorrelation_time) = dependence(&history)?;
    let mut preparation = PreparationParams::default();
    if length > 1 {
        preparation.batch = Some(BatcherParams { length, ..BatcherParams::default() });
    }
    let arl = (arl / length as f64).max(2.0);
    let bounded = matches!(wish.input, Input::Bits | Input::Unit);
    let baseline = if bounded { level(&history, wish, length)? } else { None };
    if let Some((mixture, baseline)) = baseline.and_then(|found| known(&history, wish, length, arl, found)) {
        let (params, reason) = (AnyParams::MixtureESr(mixture), Reason::BoundedLevel);
        return Ok(Proposal { params, preparation, baseline: Some(baseline), autocorrelation_time, reason });
    }
    if !bounded {
        preparation.standardize = Some(StandardizerParams::default());
    }
    let (params, reason) = unknown(wish, length, arl);
    Ok(Proposal { params, preparation, baseline, autocorrelation_time, reason })
}

/// Returns the length of batches and the autocorrelation time that the history asks for.
fn dependence(history: &[f64]) -> Result<(u64, f64), ParamError> {
    let learn = (history.len() as u64).min(WINDOW_LIMIT);
    if learn < FEWEST {
        return Ok((1, 1.0));
    }
    let mut batcher = Batcher::new(BatcherParams { learn, ..BatcherParams::default() })?;
    for &value in history.iter().take(learn as usize) {
        batcher.update(value);
    }
    Ok((batcher.length().unwrap_or(1), batcher.autocorrelation_time().unwrap_or(1.0)))
}

/// Bounds the good level on its bad side: from above, of `1 - x` when a fall is bad.
fn level(history: &[f64], wish: &Wish, length: u64) -> Result<Option<Bound>, ParamError> {
    let down = wish.mode == Mode::Down;
    let bad = history.iter().map(|value| value.clamp(0.0, 1.0)).map(|x| if down { 1.0 - x } else { x });
    if wish.input == Input::Bits && length == 1 {
        let bad: Vec<f64> = bad.collect();
        let ones = bad.iter().filter(|&&x| x > 0.5).count() as u64;
        let n = bad.len() as u64;
        return if n == 0 { Ok(None) } else { upper_share(ones, n, wish.confidence).map(Some) };
    }
    let mut batcher = Batcher::new(BatcherParams { length, ..BatcherParams::default() })?;
    let means: Vec<f64> = bad.filter_map(|x| batcher.update(x)).collect();
    if means.len() < 2 { Ok(None) } else { upper_mean(&means, wish.confidence).map(Some) }
}

/// Returns the mixture for a level that is bounded well enough, and the bound in the stream's own terms.
fn known(history: &[f64], wish: &Wish, length: u64, arl: f64, bad: Bound) -> Option<(MixtureParams, Bound)> {
    let Bound { estimate, bound, .. } = bad;
    if wish.mode == Mode::Both || !(1e-9..=0.999).contains(&bound) {
        return None;
    }
    let n = history.len().max(1) as f64;
    let mean = history.iter().map(|x| x.clamp(0.0, 1.0)).sum::<f64>() / n;
    let apart = history.iter().map(|x| x.clamp(0.0, 1.0) - mean);
    let deviation = sqrt(apart.map(|x| x * x).sum::<f64>() / n);
    let sixth = if deviation > 0.0 { deviation / 6.0 } else { 1.0 };
    let room = 0.999 * (1.0 - bound);
    let delta_lower = (0.5 * bound).min(sixth).clamp(1e-9, room);
    if bound - estimate > (0.5 * delta_lower).max(0.005) {
        return None;
    }
    let delta_upper = 0.5_f64.min(room).max(delta_lower);
    let down = wish.mode == Mode::Down;
    let single_bits = wish.input == Input::Bits && length == 1;
    let params = MixtureParams {
        family: if single_bits { Family::Bernoulli } else { Family::Bounded },
        mode: wish.mode,
        m_pre: if down { 1.0 - bound } else { bound },
        delta_lower,
        delta_upper,
        arl,
        ..MixtureParams::default()
    };
    params.validate().ok()?;
    let level = Bound { estimate: if down { 1.0 - estimate } else { estimate }, bound: params.m_pre, ..bad };
    Some((params, level))
}

/// Chooses among the detectors that learn the level themselves.
fn unknown(wish: &Wish, length: u64, arl: f64) -> (AnyParams, Reason) {
    let single = length == 1;
    let (names, family): (&[&str], &str) = match wish.input {
        Input::Bits if single => (&["confidence-sequence", "focus"], "bernoulli"),
        Input::Bits | Input::Unit => (&["confidence-sequence"], "bounded"),
        // Of no known law (counts too may spread more than a Poisson law): only what holds for any.
        Input::Counts | Input::Any => (&["conformal-sr", "focus"], "gaussian"),
    };
    let mode = match wish.mode {
        Mode::Up => "up",
        Mode::Down => "down",
        Mode::Both => "both",
    };
    for name in names {
        let Some(mut params) = AnyParams::by_name(name) else { continue };
        // A detector that has no such parameter, or other words for it, keeps its default.
        let _ = params.set("family", Setting::Word(family));
        let _ = params.set("mode", Setting::Word(mode));
        // More than was asked for where that is below what the detector takes.
        if params.set_arl(arl).is_ok() || params.set_arl(arl.max(ARL_ANY)).is_ok() {
            return (params, Reason::UnknownLevel);
        }
    }
    (AnyParams::Adwin(crate::AdwinParams::default()), Reason::NoGuarantee)
}
