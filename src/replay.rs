//! Any file of events against any plan: what would it have done?
//!
//! The map:
//!
//! - [`Replay`] streams files through the supervisor and its actors (`run`), counts what passes
//!   (`collect`), sorts what comes back (`records`) and makes the [`Report`] (`assemble`);
//! - [`Labels`] say when models really changed; [`Score`] holds the alarms against them, by [`DriftScore`]
//!   for a few drifts and [`ChangeScore`] for many changes;
//! - [`OverBudget`] names rules that made more alarms than the plan's budget allows;
//! - a report is written as JSON by [`Report::write_json`], as text by [`TextReport`], as a page by
//!   [`HtmlReport`].

mod assemble;
mod bad_lines;
mod change_score;
mod collect;
mod drift_score;
mod figures;
mod html;
mod intake;
mod labels;
mod over_budget;
mod plot;
mod records;
mod report;
mod run;
mod score;
mod text;
mod unseen;

pub(crate) use figures::{count, counted, cut, number, one_line, span, time};
pub(crate) use html::{Safe, page_head};
pub(crate) use intake::{Intake, TakeEvents};

pub use bad_lines::{BadLine, BadLines};
pub use change_score::{ChangeScore, EARLY_MAX, LATE_MAX, Matches};
pub use collect::PlotDetail;
pub use drift_score::DriftScore;
pub use html::HtmlReport;
pub use labels::{Drift, LabelError, LabelForm, Labels, Truth};
pub use over_budget::OverBudget;
pub use plot::{Bucket, Plot};
pub use report::{AlarmReport, AlertReport, KindReport, ModelReport, ObserverReport, Report, RetrainReport};
pub use run::{Input, Replay, ReplayError, ReplayWatcher};
pub use score::{ChangesScore, DriftFate, DriftsScore, ModelChanges, Of, Score};
pub use text::TextReport;
pub use unseen::Unseen;
