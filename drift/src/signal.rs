//! What a detector says after each value.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u64};

/// How sure a detector is that its stream has changed.
///
/// Levels are ordered: `Normal < Warning < Drift`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Level {
    /// Nothing to report, or still learning.
    #[default]
    Normal,
    /// The statistic has passed the detector's warning threshold but not its drift threshold.
    Warning,
    /// A change is declared.
    Drift,
}

impl Level {
    /// Names the level as it stands in reports: `normal`, `warning` or `drift`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Warning => "warning",
            Self::Drift => "drift",
        }
    }
}

/// Which way the stream's level went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Direction {
    /// Not known, or the detector does not tell.
    #[default]
    Unknown,
    /// Values have grown.
    Up,
    /// Values have shrunk.
    Down,
}

impl Direction {
    /// Names the direction as it stands in reports: `unknown`, `up` or `down`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    /// Reads a direction's byte, which is the direction as `u8`.
    ///
    /// # Errors
    ///
    /// Fails when there is none, or it is no direction's.
    pub fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match bytes.u8()? {
            0 => Ok(Self::Unknown),
            1 => Ok(Self::Up),
            2 => Ok(Self::Down),
            _ => Err(DecodeError::Range { field: "direction" }),
        }
    }
}

/// What a detector says about the stream after one value.
///
/// `statistic` and `threshold` are in the detector's own units (its page says which): the detector is
/// at [`Level::Drift`] when `statistic` has reached `threshold`. Both are finite.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Signal {
    /// How sure the detector is.
    pub level: Level,
    /// Which way the level moved; [`Direction::Unknown`] while `level` is [`Level::Normal`].
    pub direction: Direction,
    /// The detector's statistic after this value.
    pub statistic: f64,
    /// What `statistic` is held against for [`Level::Drift`].
    pub threshold: f64,
    /// Estimated number of values, this one included, since the change; 0 when not known.
    pub since: u64,
}

impl Signal {
    /// Says that nothing has changed.
    #[inline]
    pub(crate) const fn quiet(statistic: f64, threshold: f64) -> Self {
        Self { level: Level::Normal, direction: Direction::Unknown, statistic, threshold, since: 0 }
    }

    /// Is true when a change is declared on this value.
    pub const fn drift_detected(&self) -> bool {
        matches!(self.level, Level::Drift)
    }

    /// Is true when the statistic is in the warning zone (and not yet a drift).
    pub const fn warning_detected(&self) -> bool {
        matches!(self.level, Level::Warning)
    }

    /// Appends the signal, in 26 bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend([self.level as u8, self.direction as u8]);
        put_f64(out, self.statistic);
        put_f64(out, self.threshold);
        put_u64(out, self.since);
    }

    /// Reads what [`Signal::write`] wrote.
    ///
    /// # Errors
    ///
    /// Fails when bytes are missing, or a field is out of its range.
    pub fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let level = match bytes.u8()? {
            0 => Level::Normal,
            1 => Level::Warning,
            2 => Level::Drift,
            _ => return Err(DecodeError::Range { field: "level" }),
        };
        let direction = Direction::read(bytes)?;
        let (statistic, threshold) = (bytes.finite("statistic")?, bytes.finite("threshold")?);
        Ok(Self { level, direction, statistic, threshold, since: bytes.u64()? })
    }
}
