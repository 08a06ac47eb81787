//! The bets of a mixture e-detector: which alternatives it looks for, and how much each weighs.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::math::{exp, ln};
use crate::mixture_grid::{Side, grid};
use crate::parameters::{parameters, words};
use crate::state::Fingerprint;
use crate::{Mode, ParamError};

/// Components are kept in groups of four, which the compiler turns into vector instructions.
pub(crate) const LANES: usize = 4;
/// Bounds the state of a stream to 12 bytes times this.
const MOST: usize = 300;

/// What kind of values a stream has.
///
/// | | values | increment for bet `l` at good mean `m` |
/// |---|---|---|
/// | `Bernoulli` | 0 or 1 | `exp(l x) / (1 - m + m exp(l))` |
/// | `Bounded` | anywhere in [0, 1] | `1 + l (x / m - 1)` |
///
/// Both are valid for any values in [0, 1]; `Bernoulli` is quicker on 0 and 1, where it is the likelihood
/// ratio, `Bounded` on values that lie well inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Family {
    /// Zeros and ones: errors, timeouts, exceedances of a limit.
    #[default]
    Bernoulli,
    /// Scores and rates in [0, 1].
    Bounded,
}

words!(Family { Bernoulli = "bernoulli", Bounded = "bounded" });

/// How a component grows.
///
/// | | recurrence | threshold `arl` gives |
/// |---|---|---|
/// | `ShiryaevRoberts` | `M = L (M + 1)` | an average run length of at least `arl` |
/// | `Cusum` | `M = L max(M, 1)` | the same, and a longer delay: never above the former |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Recursion {
    /// Sums the evidence over all starting times.
    #[default]
    ShiryaevRoberts,
    /// Keeps the evidence of the best starting time.
    Cusum,
}

words!(Recursion { ShiryaevRoberts = "shiryaev-roberts", Cusum = "cusum" });

parameters! {
    /// Parameters of [`crate::MixtureESr`].
    pub struct MixtureParams {
        /// Kind of the values.
        pub family: Family = Family::Bernoulli,
        /// Which way a change is bad. With `Both` the guarantee needs a mean of exactly `m_pre`, else a mean on
        /// the good side of it.
        pub mode: Mode = Mode::Up,
        /// Bound of the good mean, in (0, 1). An estimate from few values must be widened first: a mean that is
        /// in truth worse than this is a change.
        pub m_pre: f64 = 0.1,
        /// Least change worth a signal, above 0.
        pub delta_lower: f64 = 0.05,
        /// Largest change looked for, from `delta_lower` up, with `m_pre` ± it inside (0, 1).
        pub delta_upper: f64 = 0.5,
        /// Least average number of values between false alarms, in [2, 1e15].
        pub arl: f64 = 10_000.0,
        /// Most bets per direction, in 2..=149. The paper's optimum is taken when it is smaller.
        pub max_components: u8 = 16,
        /// How components grow.
        pub recursion: Recursion = Recursion::ShiryaevRoberts,
        /// Start afresh with the value after a drift, or go on gathering evidence.
        pub rearm: bool = true,
    }
}

impl MixtureParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { mode, m_pre, delta_lower, delta_upper, arl, max_components, .. } = *self;
        ParamError::check("m_pre", m_pre, (1e-9..=1.0 - 1e-9).contains(&m_pre), "inside (0, 1)")?;
        ParamError::check("delta_lower", delta_lower, delta_lower >= 1e-9, "above 0")?;
        let ok = delta_upper >= delta_lower;
        ParamError::check("delta_upper", delta_upper, ok, "at least `delta_lower`")?;
        let room_up = mode == Mode::Down || m_pre + delta_upper < 1.0;
        let room_down = mode == Mode::Up || m_pre - delta_upper > 0.0;
        let allowed = "small enough that `m_pre` plus or minus it is inside (0, 1)";
        ParamError::check("delta_upper", delta_upper, room_up && room_down, allowed)?;
        ParamError::check("arl", arl, (2.0..=1e15).contains(&arl), "in [2, 1e15]")?;
        let ok = (2..=149).contains(&max_components);
        ParamError::check("max_components", f64::from(max_components), ok, "in 2..=149")
    }
}

/// One group of components: weight, increment at 0, and what is added to it at 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    pub(crate) weight: [f64; LANES],
    pub(crate) base: [f64; LANES],
    pub(crate) slope: [f64; LANES],
}

/// The bets whose plain CUSUMs date a change, spread over all bets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Daters {
    pub(crate) base: [f64; LANES],
    pub(crate) slope: [f64; LANES],
}

/// The constants of a mixture e-detector, shared by all streams that are watched alike.
///
/// Build it once, keep it behind an `Arc`, and give it to [`crate::MixtureESr::with_mixture`] for each
/// stream: a stream then holds one number per component.
#[derive(Clone, Debug)]
pub struct Mixture {
    params: MixtureParams,
    lambdas: Vec<f64>,
    weights: Vec<f64>,
    lanes: Box<[Lane]>,
    daters: Daters,
    fingerprint: u64,
}

impl Mixture {
    /// Chooses the bets for `params` as the paper does.
    ///
    /// The bets lie on a geometric grid of the information per value between `delta_lower` and
    /// `delta_upper`; number and weights minimise the bound on the delay (section 4, the threshold
    /// function `g`). Building takes well under a millisecond.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: MixtureParams) -> Result<Self, ParamError> {
        params.validate()?;
        let sides: &[Side] = match params.mode {
            Mode::Up => &[Side::Up],
            Mode::Down => &[Side::Down],
            Mode::Both => &[Side::Up, Side::Down],
        };
        let share = sides.len() as f64;
        let (mut lambdas, mut weights) = (Vec::new(), Vec::new());
        for &side in sides {
            for (lambda, weight) in grid(&params, side, 1.0 / (share * params.arl)) {
                lambdas.push(lambda);
                weights.push(weight / share);
            }
        }
        Self::with_components(params, &lambdas, &weights)
    }

    /// Takes bets and weights as they are given; `delta_lower`, `delta_upper`, `mode` and
    /// `max_components` of `params` are not used.
    ///
    /// # Errors
    ///
    /// Fails when there are none or more than 300, when the numbers differ, when a weight is not above 0
    /// or they do not add up to 1 (within 1e-6), or when a bet can lose all or more than all on a value in
    /// [0, 1] (`Bounded`: `lambda` outside `(-m / (1 - m), 1)`; `Bernoulli`: beyond ±100).
    pub fn with_components(
        params: MixtureParams,
        lambdas: &[f64],
        weights: &[f64],
    ) -> Result<Self, ParamError> {
        let m = params.m_pre;
        ParamError::check("m_pre", m, (1e-9..=1.0 - 1e-9).contains(&m), "inside (0, 1)")?;
        ParamError::check("arl", params.arl, (2.0..=1e15).contains(&params.arl), "in [2, 1e15]")?;
        let n = lambdas.len();
        ParamError::check("lambdas", n as f64, (1..=MOST).contains(&n), "1 to 300 of them")?;
        ParamError::check("weights", weights.len() as f64, weights.len() == n, "as many as lambdas")?;
        let total: f64 = weights.iter().sum();
        let above_zero = weights.iter().all(|&weight| weight > 0.0);
        let ok = above_zero && (total - 1.0).abs() <= 1e-6;
        ParamError::check("weights", total, ok, "above 0 and together 1")?;
        for &lambda in lambdas {
            let (base, slope) = increment(params.family, m, lambda);
            let ok = base > 0.0 && base + slope > 0.0 && lambda.abs() <= 100.0 / m.min(1.0 - m);
            let ok = ok && (params.family == Family::Bounded || lambda.abs() <= 100.0);
            ParamError::check("lambdas", lambda, ok, "a bet that cannot lose all")?;
        }
        let daters = daters(&params, lambdas);
        let fingerprint = table_fingerprint(&params, lambdas, weights);
        let lanes = lanes(&params, lambdas, weights);
        Ok(Self { params, lambdas: lambdas.into(), weights: weights.into(), lanes, daters, fingerprint })
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &MixtureParams {
        &self.params
    }

    /// Returns the bets, positive for a growing mean.
    pub fn lambdas(&self) -> &[f64] {
        &self.lambdas
    }

    /// Returns the weights of the bets.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    pub(crate) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    pub(crate) const fn daters(&self) -> &Daters {
        &self.daters
    }

    pub(crate) const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

/// Writes the increment of a bet as a line through its values at 0 and 1.
///
/// For the Bernoulli family the chord lies above the curve `exp(l x)`, and is valid for any value in
/// between: its mean at a mean of `m` is exactly 1.
fn increment(family: Family, m: f64, lambda: f64) -> (f64, f64) {
    match family {
        Family::Bernoulli => {
            let normal = 1.0 - m + m * exp(lambda);
            (1.0 / normal, (exp(lambda) - 1.0) / normal)
        }
        Family::Bounded => (1.0 - lambda, lambda / m),
    }
}

/// Picks the least and the greatest bet and two between, in the order of size, both signs alike.
fn daters(params: &MixtureParams, lambdas: &[f64]) -> Daters {
    let mut sorted = lambdas.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut daters = Daters::default();
    for (i, (base, slope)) in daters.base.iter_mut().zip(&mut daters.slope).enumerate() {
        let place = i * (sorted.len() - 1) / (LANES - 1);
        let lambda = sorted.get(place).copied().unwrap_or_default();
        (*base, *slope) = increment(params.family, params.m_pre, lambda);
    }
    daters
}

/// Groups the components, filling the last group with ones of no weight.
fn lanes(params: &MixtureParams, lambdas: &[f64], weights: &[f64]) -> Box<[Lane]> {
    let empty = Lane { weight: [0.0; LANES], base: [0.0; LANES], slope: [0.0; LANES] };
    let groups = lambdas.chunks(LANES).zip(weights.chunks(LANES));
    let group = |(lambdas, weights): (&[f64], &[f64])| {
        let mut lane = empty;
        let slots = lane.weight.iter_mut().zip(&mut lane.base).zip(&mut lane.slope);
        for (((weight, base), slope), (&lambda, &given)) in slots.zip(lambdas.iter().zip(weights)) {
            *weight = given;
            (*base, *slope) = increment(params.family, params.m_pre, lambda);
        }
        lane
    };
    groups.map(group).collect()
}

fn table_fingerprint(params: &MixtureParams, lambdas: &[f64], weights: &[f64]) -> u64 {
    let start = Fingerprint::new().u64(params.fingerprint());
    lambdas.iter().chain(weights).fold(start, |hash, &number| hash.f64(number)).finish()
}

/// Returns `ln` of the threshold, for reports.
pub(crate) fn log_threshold(params: &MixtureParams) -> f64 {
    ln(params.arl)
}
