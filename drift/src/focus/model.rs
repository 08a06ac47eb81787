//! Which cost a detector's parameters ask for, and what its sums are of deviations from.

use super::cost::{BernoulliKnown, PoissonKnown, PoissonUnknown};
use super::{FocusFamily, FocusParams};
use crate::math::ln;

/// The cost of the family.
#[derive(Clone, Copy, Debug)]
pub(super) enum Model {
    GaussianKnown,
    GaussianUnknown,
    BernoulliKnown(BernoulliKnown),
    BernoulliUnknown,
    PoissonKnown(PoissonKnown),
    PoissonUnknown(PoissonUnknown),
}

impl Model {
    pub(super) fn of(params: &FocusParams) -> Self {
        let level = params.baseline;
        match (params.family, params.known) {
            (FocusFamily::Gaussian, true) => Self::GaussianKnown,
            (FocusFamily::Gaussian, false) => Self::GaussianUnknown,
            (FocusFamily::Bernoulli, true) => {
                Self::BernoulliKnown(BernoulliKnown { ln_p: ln(level), ln_q: ln(1.0 - level) })
            }
            (FocusFamily::Bernoulli, false) => Self::BernoulliUnknown,
            (FocusFamily::Poisson, true) => {
                Self::PoissonKnown(PoissonKnown { rate: level, rest: level - whole_part(level) })
            }
            (FocusFamily::Poisson, false) => Self::PoissonUnknown(PoissonUnknown { rate: 1.0 }),
        }
    }
}

/// Runs `$body` with `$cost` as the cost of `$model`.
macro_rules! with_cost {
    ($model:expr, $cost:ident => $body:expr) => {
        match $model {
            Model::GaussianKnown => {
                let $cost = &$crate::focus::cost::GaussianKnown;
                $body
            }
            Model::GaussianUnknown => {
                let $cost = &$crate::focus::cost::GaussianUnknown;
                $body
            }
            Model::BernoulliKnown(cost) => {
                let $cost = &cost;
                $body
            }
            Model::BernoulliUnknown => {
                let $cost = &$crate::focus::cost::BernoulliUnknown;
                $body
            }
            Model::PoissonKnown(cost) => {
                let $cost = &cost;
                $body
            }
            Model::PoissonUnknown(cost) => {
                let $cost = &cost;
                $body
            }
        }
    };
}
pub(super) use with_cost;

/// What sums are of deviations from before the first value. Of counts it is whole, so that their sums are exact.
pub(super) fn known_anchor(params: &FocusParams) -> f64 {
    match params.family {
        _ if !params.known => 0.0,
        FocusFamily::Gaussian => params.baseline,
        FocusFamily::Bernoulli => 0.0,
        FocusFamily::Poisson => whole_part(params.baseline),
    }
}

/// The whole part of a rate.
fn whole_part(rate: f64) -> f64 {
    rate as u64 as f64
}
