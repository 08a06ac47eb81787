//! The season of a kind: what was found, and what is left of its values when it is taken off.

use serde::Serialize;
use visu_tility_drift::calibration::Seasonality;
use visu_tility_drift::{ParamError, Season, SeasonalParams, SeasonalResidual};

use super::history::Sample;
use crate::replay::counted;

/// A season that was found in the good values of a kind.
///
/// | `removed` | |
/// |---|---|
/// | true | the proposed rule has the stage `seasonal` |
/// | false | it stays: the values are zeros and ones (`bits`), whose median says nothing, or the default plan's rule is kept |
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FoundSeason {
    /// Whether the proposed rule takes it off.
    pub removed: bool,
    /// Whether the values are zeros and ones, from which no stage can take it off.
    pub bits: bool,
    /// `day`: the hour of the day; `week`: the hour of the week.
    pub season: Season,
    /// Share of the variance of hourly levels that it explains where it was not learnt from.
    pub share: f64,
    /// How far beyond chance, in standard deviations.
    pub score: f64,
    /// Days (weeks) that it was held against.
    pub cycles: u64,
    /// Days (weeks) from which a monitor learns an hour; nothing is watched before.
    pub learn: u16,
}

impl FoundSeason {
    /// Says it of what was found.
    pub(crate) fn of(found: &Seasonality, removed: bool, bits: bool) -> Self {
        let Seasonality { season, share, score, cycles, .. } = *found;
        Self { removed, bits, season, share, score, cycles, learn: found.stage().learn }
    }

    /// What was found and what is done about it, in a sentence.
    pub(crate) fn told(&self) -> String {
        let (hour, cycle) = if self.season == Season::Day { ("day", "day") } else { ("week", "week") };
        let percent = match (100.0 * self.share).round() {
            percent if percent >= 100.0 => "more than 99 %".to_owned(),
            percent => format!("{percent} %"),
        };
        let (held, learn) = (counted(self.cycles, cycle), counted(u64::from(self.learn), cycle));
        let found = format!(
            "the hour of the {hour} explains {percent} of how hourly levels vary, on {held} that it was not learnt from"
        );
        if self.removed {
            return format!(
                "{found}: it is taken off (nothing is watched while its hours are learnt, {learn})"
            );
        }
        let why = if self.bits { "; no stage takes it off zeros and ones" } else { "" };
        format!("{found}: it stays in the values{why}")
    }
}

/// What is left of a history without its season: deviations from the level of the hour.
#[derive(Clone, Debug)]
pub(crate) struct Residuals {
    pub(crate) values: Vec<f64>,
    /// Deviations in one unit of the values: the mean over the values' hours.
    pub(crate) per_unit: f64,
}

impl Residuals {
    pub(crate) fn of(sample: &Sample, stage: SeasonalParams) -> Result<Self, ParamError> {
        let mut season = SeasonalResidual::new(stage)?;
        let timed = || sample.kept.iter().zip(&sample.times);
        let values = timed().filter_map(|(value, at)| season.update(*value, *at)).collect();
        let deviations = timed().filter_map(|(_, at)| season.hour(*at)).map(|(_, deviation)| deviation);
        let (sum, hours) = deviations
            .filter(|deviation| *deviation > 0.0)
            .fold((0.0, 0.0), |(sum, hours), deviation| (sum + 1.0 / deviation, hours + 1.0));
        Ok(Self { values, per_unit: if hours > 0.0 { sum / hours } else { 1.0 } })
    }
}
