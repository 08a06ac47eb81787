//! A plan as TOML: read with every problem found and its line, and written so that it reads back.
//!
//! `docs/plan.md` is the format for people. The map, in the order of reading:
//!
//! - `problem.rs`: [`PlanError`], what is wrong and on which line;
//! - `key.rs`: the format as tables, which key is of which type and what it holds;
//! - `value.rs`: one TOML value to one setting, or what it must be; `choice.rs`: the words among them;
//! - `section.rs`: one TOML table to its settings;
//! - `check.rs`: the settings of a rule to its check; `read.rs`: the whole text to a plan;
//! - `write.rs`: the way back.

mod check;
mod choice;
mod key;
mod problem;
mod read;
mod section;
mod value;
mod write;

use super::{MonitorPlan, Reaction};

pub use problem::{PlanError, PlanProblem};

impl MonitorPlan {
    /// The longest text that [`MonitorPlan::from_toml`] reads, in bytes: 1 MiB.
    pub const TOML_BYTES_MAX: usize = 1 << 20;

    /// Reads a plan; `docs/plan.md` describes the format.
    ///
    /// # Errors
    ///
    /// Fails with every problem that was found, each with its line: what is no TOML, unknown keys (with
    /// the nearest known one), values of the wrong type or out of their range, names that are missing or
    /// taken, and a plan that watches nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use visu_tility_core::MonitorPlan;
    ///
    /// let plan = MonitorPlan::from_toml(
    ///     r#"
    ///     [[rule]]
    ///     name = "accuracy-floor"
    ///     type = "performance"
    ///     models = "fraud-*"
    ///     min_accuracy = 0.85
    ///     "#,
    /// )?;
    /// assert_eq!(plan.rules().len(), 1);
    ///
    /// let error = MonitorPlan::from_toml("default_rule = true").unwrap_err();
    /// assert_eq!(error.to_string(), "line 1: unknown key `default_rule`, did you mean `default_rules`?");
    /// # Ok::<(), visu_tility_core::PlanError>(())
    /// ```
    pub fn from_toml(text: &str) -> Result<Self, PlanError> {
        read::plan(text)
    }

    /// Writes the plan with every setting, so that [`MonitorPlan::from_toml`] reads an equal one.
    ///
    /// Observers of the user's own cannot be written; a comment names each. A plan without rules is
    /// written too, but is refused when read. Rules that were built by hand, around [`super::Rule::new`],
    /// with a name or a pattern that no plan may have, are refused likewise.
    pub fn to_toml(&self) -> String {
        write::plan(self)
    }

    /// Says what the plan asks for and this build does not do: one sentence per rule.
    ///
    /// Empty with the feature `automated_retraining`; without it, rules that ask for a retrain raise an
    /// alert instead.
    pub fn warnings(&self) -> Vec<String> {
        let unmet = self.rules.iter().filter(|rule| {
            matches!(rule.response, Reaction::Retrain | Reaction::AlertAndRetrain)
                && !rule.response.retrains()
        });
        unmet
            .map(|rule| {
                let instead = match rule.response {
                    Reaction::AlertAndRetrain => "only the alert is raised",
                    _ => "an alert is raised instead",
                };
                format!(
                    "rule {:?}: response {:?} needs the feature `automated_retraining`, {instead}",
                    rule.name,
                    rule.response.as_str()
                )
            })
            .collect()
    }
}
