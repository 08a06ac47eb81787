//! From a history of events to a plan: which detector for each kind, how tight, how soon it sees a change,
//! and what the plan would have fired.
//!
//! The map, in the order of the work:
//!
//! - [`Calibrate`] holds what is wished for; [`Calibrate::read`] keeps a bounded part of the events in a
//!   [`History`] (`history`, and who shares a budget in `sharing`);
//! - [`Calibrate::propose`] makes a [`Calibration`] of it: a rule for each kind (`choice`, `season`), predicted delays
//!   (`delay`), and the plan with its reasons as TOML (`plan`, `toml`);
//! - [`crate::replay::Replay`] runs the same events through [`Calibration::plan`], and
//!   [`Calibration::replayed`] takes its report;
//! - a calibration is written as JSON by [`Calibration::write_json`], as text by [`CalibrationText`], as a
//!   page by [`CalibrationPage`].

mod choice;
mod delay;
mod history;
mod over_budget;
mod page;
mod plan;
mod report;
mod season;
mod sharing;
mod text;
mod toml;

use thiserror::Error;
use visu_tility_core::{FalseAlarmBudget, ObserverError, PlanError, Timestamp};
use visu_tility_drift::ParamError;

use crate::replay::{Input, ReplayWatcher};

pub use choice::Watch;
pub use delay::PredictedDelay;
pub use history::History;
pub use over_budget::OverBudget;
pub use page::CalibrationPage;
pub use report::{Calibration, KindCalibration};
pub use season::FoundSeason;
pub use text::CalibrationText;

/// What is wished of a plan, and how its delays are predicted.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use visu_tility::calibrate::{Calibrate, CalibrationText};
/// use visu_tility::ingest::EventReader;
/// use visu_tility::replay::{BadLine, Input, Replay, ReplayWatcher};
///
/// struct Silent;
/// impl ReplayWatcher for Silent {
///     fn bad_line(&mut self, _: &BadLine) {}
///     fn progress(&mut self, _: u64) {}
/// }
///
/// fn events() -> Result<Vec<Input>, std::io::Error> {
///     let line = |n: u32| format!("{{\"model_id\":\"a\",\"kind\":\"Correct\",\"value\":{}}}\n", u8::from(n % 7 > 0));
///     let text: String = (0..3_000).map(line).collect();
///     let reader = EventReader::from_reader(std::io::Cursor::new(text), None, Arc::default())?;
///     Ok(vec![Input { name: "events".to_owned(), reader }])
/// }
///
/// let mut calibrate = Calibrate::new(1.0)?;
/// calibrate.runs = 10;
/// let history = calibrate.read(events()?, &mut Silent);
/// let mut calibration = calibrate.propose(&history)?;
/// let report = Replay::new(calibration.plan.clone()).run(events()?, &mut Silent)?;
/// calibration.replayed(report);
/// println!("{}", CalibrationText::new(&calibration));
/// # assert_eq!(calibration.kinds.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Calibrate {
    /// False alarms that a model may give in 30 days, in [1e-6, 1e6].
    pub false_alarms_per_30_days: f64,
    /// Confidence of the bound of a good level, in [0.5, 1). Default 0.95.
    pub confidence: f64,
    /// Changes to predict the delay of, for kinds from 0 to 1: how far the level moves in the bad
    /// direction, in (0, 1]; at most half the way to 0 or 1 is taken. Default none, which stands for 0.05 and 0.1, or
    /// for once and twice the share of what is bad among good values where that is less: errors that are rare do not
    /// rise by 0.05.
    pub drops: Vec<f64>,
    /// The same for other kinds, in standard deviations, in (0, 100]. Default 0.5 and 1.
    pub shifts: Vec<f64>,
    /// The end of what is taken as good; what comes later is replayed only. Default: all is good.
    pub good_until: Option<Timestamp>,
    /// Simulated streams for each delay, from 1 to 10,000. Default 100.
    pub runs: u64,
    /// Seed of the simulations. Default 1.
    pub seed: u64,
    /// Whether an unknown kind is taken as one of the user's own. Default no.
    pub custom_kinds: bool,
    /// The latest time that is believed. Default: any.
    pub not_after: Option<Timestamp>,
}

/// Why there is no calibration.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// A setting is out of its range.
    #[error(transparent)]
    Setting(#[from] ParamError),
    /// A rule could not be built.
    #[error("build a rule: {0}")]
    Rule(#[from] ObserverError),
    /// The plan that was written cannot be read.
    #[error("read the proposed plan: {0}")]
    Plan(#[from] PlanError),
}

impl Calibrate {
    /// The fewest good values of a kind that a proposal is made from: fewer say nothing of how much
    /// neighbouring values are alike.
    pub const VALUES_MIN: u64 = 256;

    /// Allows so many false alarms per model in 30 days; everything else as by default.
    ///
    /// # Errors
    ///
    /// Fails when the number is not in [1e-6, 1e6].
    pub fn new(false_alarms_per_30_days: f64) -> Result<Self, CalibrateError> {
        let calibrate = Self {
            false_alarms_per_30_days,
            confidence: 0.95,
            drops: Vec::new(),
            shifts: vec![0.5, 1.0],
            good_until: None,
            runs: 100,
            seed: 1,
            custom_kinds: false,
            not_after: None,
        };
        calibrate.check()?;
        Ok(calibrate)
    }

    /// The budget of each model.
    pub(crate) const fn budget(&self) -> FalseAlarmBudget {
        FalseAlarmBudget { false_alarms_per_30_days: self.false_alarms_per_30_days }
    }

    /// Checks every setting against its range.
    fn check(&self) -> Result<(), ParamError> {
        let budget = self.false_alarms_per_30_days;
        let ok = (1e-6..=1e6).contains(&budget);
        ParamError::check("false_alarms_per_30_days", budget, ok, "from 0.000001 to 1000000")?;
        let ok = (0.5..=1.0 - 1e-9).contains(&self.confidence);
        ParamError::check("confidence", self.confidence, ok, "in [0.5, 1)")?;
        for &drop in &self.drops {
            ParamError::check("drops", drop, drop > 0.0 && drop <= 1.0, "in (0, 1]")?;
        }
        for &shift in &self.shifts {
            ParamError::check("shifts", shift, shift > 0.0 && shift <= 100.0, "in (0, 100]")?;
        }
        ParamError::check("runs", self.runs as f64, (1..=10_000).contains(&self.runs), "from 1 to 10000")
    }

    /// Reads all events of all inputs, one after the other, and keeps of each kind what a proposal needs.
    ///
    /// Lines that cannot be used are counted and told of, as in a replay.
    pub fn read(&self, inputs: Vec<Input>, watcher: &mut dyn ReplayWatcher) -> History {
        History::read(self, inputs, watcher)
    }

    /// Proposes a rule for every kind of every model, and the plan.
    ///
    /// The same history and settings give the same calibration.
    ///
    /// # Errors
    ///
    /// Fails when a setting is out of its range.
    pub fn propose(&self, history: &History) -> Result<Calibration, CalibrateError> {
        self.check()?;
        Calibration::of(self, history)
    }
}
