//! The bets of a mixture e-detector: which alternatives it looks for, and how much each weighs.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::math::exp;
use crate::mixture_grid::{Side, grid};
use crate::parameters::{parameters, words};
use crate::state::{Fingerprint, VALUE_LIMIT};
use crate::{Mode, ParamError};

/// What `arl` may be.
pub(crate) const ARL_LEAST: f64 = 2.0;
pub(crate) const ARL_MOST: f64 = 1e15;
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
/// | `Normal` | any | `exp(l z - l^2 / 2)` with `z = (x - m) / sigma` |
///
/// The first two are valid for any values in [0, 1]; `Bernoulli` is quicker on 0 and 1, where it is the
/// likelihood ratio, `Bounded` on values that lie well inside. `Normal` is valid for sub-Gaussian values of
/// scale `sigma`: normal ones of at most that standard deviation, and any within a range of `2 sigma`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Family {
    /// Zeros and ones: errors, timeouts, exceedances of a limit.
    #[default]
    Bernoulli,
    /// Scores and rates in [0, 1].
    Bounded,
    /// Values of any size with tails no heavier than a normal distribution's of known scale.
    Normal,
}

words!(Family { Bernoulli = "bernoulli", Bounded = "bounded", Normal = "normal" });

/// How a component grows.
///
/// | | recurrence | threshold `arl` gives |
/// |---|---|---|
/// | `ShiryaevRoberts` | `M = L (M + 1)` | an average run length of at least `arl` |
/// | `Cusum` | `M = L max(M, 1)` | the same, and a longer delay: never above the former |
/// | `SequentialTest` | `M = L M` | a chance of at most `1 / arl` of any alarm, ever |
///
/// The last is a test that the good level holds from the first value on, not a change detector: evidence
/// that good values have eaten is not given back, so a late change is found late or never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
pub enum Recursion {
    /// Sums the evidence over all starting times.
    #[default]
    ShiryaevRoberts,
    /// Keeps the evidence of the best starting time.
    Cusum,
    /// Starts once.
    SequentialTest,
}

words!(Recursion {
    ShiryaevRoberts = "shiryaev-roberts",
    Cusum = "cusum",
    SequentialTest = "sequential-test",
});

parameters! {
    /// Parameters of [`crate::MixtureESr`].
    pub struct MixtureParams {
        /// Kind of the values.
        pub family: Family = Family::Bernoulli,
        /// Which way a change is bad. With `Both` the guarantee needs a mean within `band` of `m_pre`, else a
        /// mean on the good side of its edge.
        pub mode: Mode = Mode::Up,
        /// The good mean, or its bound; in (0, 1) but for `Normal`. An estimate from few values must be
        /// widened (see `band`): a mean that is in truth worse is a change.
        pub m_pre: f64 = 0.1,
        /// How far from `m_pre` the good mean may lie, not negative: changes are counted from the edges
        /// `m_pre` ± `band`, which are inside (0, 1) but for `Normal`.
        pub band: f64 = 0.0,
        /// Least change worth a signal, above 0, from the edge of the band.
        pub delta_lower: f64 = 0.05,
        /// Largest change looked for, from `delta_lower` up, with the edge ± it inside (0, 1) but for `Normal`.
        pub delta_upper: f64 = 0.5,
        /// Scale of the noise in the units of the values, for `Normal` only, above 0.
        pub sigma: f64 = 1.0,
        /// Least average number of values between false alarms, in [2, 1e15].
        pub arl: f64 = 10_000.0,
        /// Most bets per direction, in 2..=255, with `Both` at most 149. The paper's optimum is taken when it is smaller.
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
        let Self { mode, delta_lower, delta_upper, arl, max_components, .. } = *self;
        self.check_level()?;
        let (least, unit) = match self.family {
            Family::Normal => (1e-9 * self.sigma, self.sigma),
            _ => (1e-9, 1.0),
        };
        ParamError::check("delta_lower", delta_lower, delta_lower >= least, "above 0")?;
        let ok = delta_upper >= delta_lower;
        ParamError::check("delta_upper", delta_upper, ok, "at least `delta_lower`")?;
        if self.family == Family::Normal {
            let allowed = "at most 100 `sigma`";
            ParamError::check("delta_upper", delta_upper, delta_upper <= 100.0 * unit, allowed)?;
        } else {
            let room_up = mode == Mode::Down || self.edge(Side::Up) + delta_upper < 1.0;
            let room_down = mode == Mode::Up || self.edge(Side::Down) - delta_upper > 0.0;
            let allowed = "small enough that `m_pre` and `band` plus or minus it are inside (0, 1)";
            ParamError::check("delta_upper", delta_upper, room_up && room_down, allowed)?;
        }
        ParamError::check("arl", arl, (ARL_LEAST..=ARL_MOST).contains(&arl), "in [2, 1e15]")?;
        let ok = (2..=if mode == Mode::Both { 149 } else { 255 }).contains(&max_components);
        ParamError::check(
            "max_components",
            f64::from(max_components),
            ok,
            "in 2..=255, with mode \"both\" at most 149",
        )
    }

    /// Checks the good level and its scale.
    fn check_level(&self) -> Result<(), ParamError> {
        let Self { family, m_pre, band, sigma, .. } = *self;
        if family == Family::Normal {
            let ok = (1e-100..=VALUE_LIMIT).contains(&sigma);
            ParamError::check("sigma", sigma, ok, "above 0 and finite")?;
            ParamError::check("m_pre", m_pre, m_pre.abs() <= VALUE_LIMIT, "finite")?;
            return ParamError::check("band", band, (0.0..=VALUE_LIMIT).contains(&band), "not negative");
        }
        let inside = 1e-9..=1.0 - 1e-9;
        ParamError::check("m_pre", m_pre, inside.contains(&m_pre), "inside (0, 1)")?;
        let edges = [self.edge(Side::Up), self.edge(Side::Down)];
        let ok = band >= 0.0 && edges.iter().all(|edge| inside.contains(edge));
        ParamError::check("band", band, ok, "not negative, with `m_pre` ± it inside (0, 1)")
    }

    /// Returns the edge of the good means on one side.
    pub(crate) fn edge(&self, side: Side) -> f64 {
        match side {
            Side::Up => self.m_pre + self.band,
            Side::Down => self.m_pre - self.band,
        }
    }
}

/// One group of components: weight, increment at 0, and what is added to it at 1.
///
/// `Normal`: the logarithm of the increment at `m_pre`, and what is added to it a `sigma` above.
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
    /// `delta_upper`; number and weights minimise the bound on the delay (the paper's threshold
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
    /// [0, 1] (`Bounded`: `lambda` outside `(-m / (1 - m), 1)`; `Bernoulli` and `Normal`: beyond ±100).
    pub fn with_components(
        params: MixtureParams,
        lambdas: &[f64],
        weights: &[f64],
    ) -> Result<Self, ParamError> {
        params.check_level()?;
        ParamError::check("arl", params.arl, (2.0..=1e15).contains(&params.arl), "in [2, 1e15]")?;
        let n = lambdas.len();
        ParamError::check("lambdas", n as f64, (1..=MOST).contains(&n), "1 to 300 of them")?;
        ParamError::check("weights", weights.len() as f64, weights.len() == n, "as many as lambdas")?;
        let total: f64 = weights.iter().sum();
        let above_zero = weights.iter().all(|&weight| weight > 0.0);
        let ok = above_zero && (total - 1.0).abs() <= 1e-6;
        ParamError::check("weights", total, ok, "above 0 and together 1")?;
        for &lambda in lambdas {
            let (base, slope) = increment(&params, lambda);
            let ok = match params.family {
                Family::Normal => lambda.abs() <= 100.0,
                Family::Bernoulli => lambda.abs() <= 100.0 && base > 0.0 && base + slope > 0.0,
                Family::Bounded => lambda.abs() <= 1e11 && base > 0.0 && base + slope > 0.0,
            };
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

/// Writes the increment of a bet as a line through its values at 0 and 1, or for `Normal` its logarithm as
/// a line through those at `m_pre` and a `sigma` above.
///
/// For the Bernoulli family the chord lies above the curve `exp(l x)`, and is valid for any value in
/// between: its mean at a mean of `m` is exactly 1.
fn increment(params: &MixtureParams, lambda: f64) -> (f64, f64) {
    let m = params.edge(if lambda < 0.0 { Side::Down } else { Side::Up });
    match params.family {
        Family::Bernoulli => {
            let normal = 1.0 - m + m * exp(lambda);
            (1.0 / normal, (exp(lambda) - 1.0) / normal)
        }
        Family::Bounded => (1.0 - lambda, lambda / m),
        Family::Normal => (-lambda.abs() * (params.band / params.sigma) - lambda * lambda / 2.0, lambda),
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
        (*base, *slope) = increment(params, lambda);
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
            (*base, *slope) = increment(params, lambda);
        }
        lane
    };
    groups.map(group).collect()
}

fn table_fingerprint(params: &MixtureParams, lambdas: &[f64], weights: &[f64]) -> u64 {
    let start = Fingerprint::new().u64(params.fingerprint());
    lambdas.iter().chain(weights).fold(start, |hash, &number| hash.f64(number)).finish()
}
