//! Whose reading of an algorithm a detector follows.

use crate::ParamError;
use crate::parameters::words;

/// Which implementation a detector agrees with, to the last alarm index.
///
/// Published detectors and the libraries that made them known differ. Each detector's page says in what.
///
/// | | follows | use it |
/// |---|---|---|
/// | `Paper` | the paper | always, unless old alarms must be reproduced |
/// | `River` | the Python library river 0.26.1 | to move a river deployment over |
/// | `Moa` | the Java framework MOA (2026-09) | to compare with published MOA experiments |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Compat {
    /// The paper's algorithm.
    #[default]
    Paper,
    /// river 0.26.1.
    River,
    /// MOA as of 2026-09.
    Moa,
}

words!(Compat { Paper = "paper", River = "river", Moa = "moa" });

impl Compat {
    /// Refuses `other`, which has no such detector; `allowed` says what there is.
    pub(crate) fn refuse(self, other: Self, allowed: &'static str) -> Result<(), ParamError> {
        ParamError::check("compat", f64::from(self as u8), self != other, allowed)
    }
}
