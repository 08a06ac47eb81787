//! Streams of vectors: embeddings of texts or images, rows of features.
//!
//! | | compares | finds | needs |
//! |---|---|---|---|
//! | [`OnlineMmd`] | the last s vectors with all before, for s on a grid | any change of the distribution | nothing |
//! | [`CentroidShift`] | each window's centroid with the first vectors' | a change of the mean | a good start |

mod centroid_shift;
mod features;
mod online_mmd;
mod online_mmd_state;

use alloc::vec::Vec;
use core::fmt;

pub use centroid_shift::{CentroidMetric, CentroidShift, CentroidShiftParams};
pub use online_mmd::{MmdBound, OnlineMmd, OnlineMmdParams};

use crate::codec::{DecodeError, Reader, put_u64};
use crate::state::Tally;

/// A vector was refused; the detector has counted it and is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VectorError {
    /// It has not the dimension that the detector was built for.
    Length {
        /// Its length.
        found: usize,
        /// The dimension.
        expected: usize,
    },
    /// A component is not finite.
    NotFinite {
        /// Its place, from 0.
        index: usize,
    },
}

impl fmt::Display for VectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { found, expected } => {
                write!(f, "the vector has {found} components, must have {expected}")
            }
            Self::NotFinite { index } => write!(f, "component {index} is not finite, must be"),
        }
    }
}

impl core::error::Error for VectorError {}

/// Counts vectors taken and refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct VectorTally {
    /// Taken, and refused for a component.
    values: Tally,
    /// Refused for their length.
    misshapen: u64,
}

impl VectorTally {
    fn admit(&mut self, vector: &[f32], dimension: u32) -> Result<(), VectorError> {
        if vector.len() != dimension as usize {
            self.misshapen = self.misshapen.saturating_add(1);
            return Err(VectorError::Length { found: vector.len(), expected: dimension as usize });
        }
        if let Some(index) = vector.iter().position(|x| !x.is_finite()) {
            self.values.ignored = self.values.ignored.saturating_add(1);
            return Err(VectorError::NotFinite { index });
        }
        self.values.taken = self.values.taken.saturating_add(1);
        Ok(())
    }

    fn write(self, out: &mut Vec<u8>) {
        self.values.write(out);
        put_u64(out, self.misshapen);
    }

    fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { values: Tally::read(bytes)?, misshapen: bytes.u64()? })
    }
}

/// What is known of the covariance of vectors: enough for the length of a mean of many.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    /// The sum of its eigenvalues.
    trace: f64,
    /// The sum of their squares.
    squares: f64,
    /// An upper bound of the largest.
    largest: f64,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
