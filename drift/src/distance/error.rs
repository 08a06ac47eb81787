//! Why two samples have no distance.

use core::fmt;

/// A distance could not be computed.
///
/// The text reads after "failed to compare: ".
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum DistanceError {
    /// A sample has fewer values than the distance needs.
    TooFew {
        /// Which sample: `reference` or `current`.
        sample: &'static str,
        /// How many it has.
        found: usize,
        /// How many it must have.
        least: usize,
    },
    /// A sample has more values than the method can take.
    TooMany {
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// A value is not finite.
    NotFinite {
        /// Which sample: `reference` or `current`.
        sample: &'static str,
        /// Where it stands, from 0.
        index: usize,
    },
    /// The two histograms have different numbers of bins.
    Bins {
        /// Bins of the reference.
        reference: usize,
        /// Bins of the current one.
        current: usize,
    },
    /// There are too few bins, or too few in which anything was counted.
    TooFewBins {
        /// How many there are.
        found: usize,
        /// How many there must be.
        least: usize,
    },
    /// A histogram counts nothing.
    Empty {
        /// Which one: `reference` or `current`.
        histogram: &'static str,
    },
    /// The length of a list of vectors is not a multiple of their dimension.
    Dimension {
        /// The length.
        length: usize,
        /// The dimension, which must be above 0.
        dimension: usize,
    },
    /// All values are equal, which leaves the statistic undefined.
    Constant,
    /// An argument is out of range.
    Argument {
        /// Its name.
        name: &'static str,
        /// The value that was given.
        value: f64,
        /// What is allowed.
        allowed: &'static str,
    },
}

impl DistanceError {
    /// Checks an argument; `NaN` never passes.
    pub(crate) fn check(name: &'static str, value: f64, ok: bool, allowed: &'static str) -> Result<(), Self> {
        if ok && !value.is_nan() { Ok(()) } else { Err(Self::Argument { name, value, allowed }) }
    }
}

impl fmt::Display for DistanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew { sample, found, least } => {
                write!(f, "the {sample} has {found} values, must have at least {least}")
            }
            Self::TooMany { found, most } => write!(f, "there are {found} values, may be at most {most}"),
            Self::NotFinite { sample, index } => {
                write!(f, "value {index} of the {sample} is not finite, must be")
            }
            Self::Bins { reference, current } => {
                write!(f, "the reference has {reference} bins and the current {current}, must be as many")
            }
            Self::TooFewBins { found, least } => {
                write!(f, "there are {found} bins with counts, must be at least {least}")
            }
            Self::Empty { histogram } => write!(f, "the {histogram} counts nothing, must count something"),
            Self::Dimension { length, dimension } => {
                write!(f, "{length} numbers are not vectors of dimension {dimension}, must be a multiple")
            }
            Self::Constant => write!(f, "all values are equal, must be at least two different ones"),
            Self::Argument { name, value, allowed } => write!(f, "`{name}` is {value}, must be {allowed}"),
        }
    }
}

impl core::error::Error for DistanceError {}
