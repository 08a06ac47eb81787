//! From a threshold to the average run length, and back.

use super::lattice::{Lattice, ceil};
use super::{CusumFamily, CusumParams, normal};
use crate::{Mode, ParamError};

/// One side of a CUSUM.
#[derive(Clone, Copy, Debug)]
pub(super) enum Design {
    /// A shift in deviations, negative downwards.
    Normal { shift: f64 },
    /// A lattice, and whether ones raise the sum.
    Bits { lattice: Lattice, ones: bool },
}

impl Design {
    /// The sides that look up and down.
    pub(super) fn sides(params: &CusumParams) -> (Option<Self>, Option<Self>) {
        let CusumParams { mode, .. } = *params;
        let up = (mode != Mode::Down).then(|| Self::of(params, true));
        let down = (mode != Mode::Up).then(|| Self::of(params, false));
        (up, down)
    }

    fn of(params: &CusumParams, rising: bool) -> Self {
        let CusumParams { family, baseline, target, sigma, .. } = *params;
        match family {
            CusumFamily::Gaussian => {
                let shift = ((target - baseline) / sigma).abs();
                Self::Normal { shift: if rising { shift } else { -shift } }
            }
            CusumFamily::Bernoulli => {
                let other = if (target > baseline) == rising { target } else { mirrored(baseline, target) };
                let (rate, other) = if rising { (baseline, other) } else { (1.0 - baseline, 1.0 - other) };
                Self::Bits { lattice: Lattice::new(rate, other), ones: rising }
            }
        }
    }

    /// What 0 gains, what 1 gains more, and the log-likelihood ratio of one unit of those.
    pub(super) fn gains(self) -> (f64, f64, f64) {
        match self {
            Self::Normal { shift } => (-0.5 * shift * shift, shift, 1.0),
            Self::Bits { lattice, ones } => {
                let (up, down) = lattice.steps();
                let (one, zero) = if ones { (up, down) } else { (down, up) };
                (zero, one - zero, lattice.unit)
            }
        }
    }

    /// The units at which a threshold is reached.
    pub(super) fn limit(self, threshold: f64) -> f64 {
        match self {
            Self::Normal { .. } => threshold,
            // A threshold that was computed is a whole number of units but for rounding.
            Self::Bits { lattice, .. } => ceil(threshold / lattice.unit * (1.0 - 1e-12)).max(1.0),
        }
    }

    fn arl(self, threshold: f64) -> f64 {
        match self {
            Self::Normal { shift } => {
                let shift = shift.abs();
                normal::run_length(0.5 * shift, threshold / shift)
            }
            Self::Bits { lattice, .. } => lattice.run_length(self.limit(threshold)),
        }
    }

    fn delay(self, threshold: f64) -> f64 {
        match self {
            Self::Normal { shift } => {
                let shift = shift.abs();
                normal::run_length(-0.5 * shift, threshold / shift)
            }
            Self::Bits { lattice, .. } => lattice.delay(self.limit(threshold)),
        }
    }

    fn threshold(self, arl: f64) -> f64 {
        match self {
            Self::Normal { shift } => {
                let shift = shift.abs();
                normal::threshold(0.5 * shift, arl) * shift
            }
            Self::Bits { lattice, .. } => lattice.limit(arl) * lattice.unit,
        }
    }
}

/// The rate as far from `rate` as `other`, in log-odds, on the other side.
fn mirrored(rate: f64, other: f64) -> f64 {
    let odds = rate / (1.0 - rate);
    let mirrored = odds * odds * (1.0 - other) / other;
    (mirrored / (1.0 + mirrored)).clamp(1e-15, 1.0 - 1e-15)
}

/// Returns the average number of values between false alarms of a [`crate::Cusum`] with this threshold of the
/// log-likelihood ratio, while the level is `baseline`.
///
/// For bits it is that of the lattice (see [`crate::Cusum`]), to about 1e-11 up to a ratio of 40 and by its growth
/// beyond; where a kind of bit is so rare that a step is more than 400 of the other, to half a percent. For
/// Gaussian values it is good to about 1e-9.
///
/// With [`Mode::Both`] it is the lower bound from both sides' rates, which is exact for Gaussian values.
///
/// # Errors
///
/// Fails when a parameter is out of its range, or `threshold` is not in (0, 1e6].
pub fn cusum_arl(params: &CusumParams, threshold: f64) -> Result<f64, ParamError> {
    params.validate()?;
    let ok = threshold > 0.0 && threshold <= 1e6;
    ParamError::check("threshold", threshold, ok, "above 0, at most 1e6")?;
    let (up, down) = Design::sides(params);
    let rate = |side: Option<Design>| side.map_or(0.0, |side| 1.0 / side.arl(threshold));
    Ok(1.0 / (rate(up) + rate(down)))
}

/// Returns the threshold of the log-likelihood ratio of a [`crate::Cusum`]: the given one, or the least whose
/// average run length is `arl`.
///
/// With [`Mode::Both`] it is the larger of both sides' thresholds for twice `arl`.
///
/// # Errors
///
/// Fails when a parameter is out of its range.
pub fn cusum_threshold(params: &CusumParams) -> Result<f64, ParamError> {
    params.validate()?;
    if params.threshold > 0.0 {
        return Ok(params.threshold);
    }
    let arl = if params.mode == Mode::Both { 2.0 * params.arl } else { params.arl };
    let (up, down) = Design::sides(params);
    let least = |side: Option<Design>| side.map_or(0.0, |side| side.threshold(arl));
    Ok(least(up).max(least(down)))
}

/// Returns the average number of values from a change of the level to `target` until a [`crate::Cusum`] says so,
/// when its sum was 0 at the change. It seldom is far from it, so that most changes are found a little sooner.
///
/// As exact as [`cusum_arl`]. With [`Mode::Both`] it is that of the side of `target`.
///
/// # Errors
///
/// Fails when a parameter is out of its range.
pub fn cusum_delay(params: &CusumParams) -> Result<f64, ParamError> {
    let threshold = cusum_threshold(params)?;
    let (up, down) = Design::sides(params);
    let side = if params.target > params.baseline { up } else { down };
    Ok(side.map_or(0.0, |side| side.delay(threshold)))
}
