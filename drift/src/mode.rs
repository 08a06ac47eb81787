//! Which way a detector looks.

use crate::parameters::words;

/// Which changes a one- or two-sided detector looks for.
///
/// | | mean grows | mean shrinks |
/// |---|---|---|
/// | `Up` | signalled | not |
/// | `Down` | not | signalled |
/// | `Both` | signalled | signalled |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Mode {
    /// A growing mean only.
    Up,
    /// A shrinking mean only.
    Down,
    /// Either.
    #[default]
    Both,
}

words!(Mode { Up = "up", Down = "down", Both = "both" });
