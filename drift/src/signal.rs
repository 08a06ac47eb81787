//! What a detector says after each value.

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
}
