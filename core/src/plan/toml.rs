//! A plan as TOML: read with every problem found and its line, and written so that it reads back.
//!
//! `docs/plan.md` is the format for people. The map, in the order of reading:
//!
//! - `problem.rs`: [`PlanError`], what is wrong and on which line;
//! - `key.rs`: the format as tables, which key is of which type and what it holds;
//! - `value.rs`: one TOML value to one setting, or what it must be; `choice.rs`: the words among them;
//! - `section.rs`: one TOML table to its settings;
//! - `check.rs`: the settings of a rule to its check, `combination.rs` where that has members; `read.rs`: the whole text to a plan;
//! - `write.rs`: the way back.

mod check;
mod choice;
mod combination;
mod key;
mod problem;
mod read;
mod section;
mod value;
mod write;

use super::warning::{blind, heavy, opposed, short, unbound};
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
        Self::from_toml_with(text, |_| {
            Err("which is not read here: write `edges` and `counts`, or take `MonitorPlan::from_toml_with`"
                .to_owned())
        })
    }

    /// Reads a plan that names files, such as `reference_file` of a distribution rule.
    ///
    /// `files` gives the text of a file by the name that stands in the plan, or says why not: a text that reads after
    /// "`reference_file` is NAME, ". The plan holds what was read, and [`MonitorPlan::to_toml`] writes it out.
    ///
    /// # Errors
    ///
    /// As [`MonitorPlan::from_toml`], and for files that are not there or hold no reference.
    ///
    /// # Examples
    ///
    /// ```
    /// use visu_tility_core::MonitorPlan;
    ///
    /// let plan = "[[rule]]\nname = \"ink\"\ntype = \"distribution\"\nreference_file = \"ink.json\"\n";
    /// let files = |name: &str| match name {
    ///     "ink.json" => Ok(r#"{"edges": [0, 0.5, 1], "counts": [300, 200]}"#.to_owned()),
    ///     _ => Err("which is not there".to_owned()),
    /// };
    /// let written = MonitorPlan::from_toml_with(plan, files)?.to_toml();
    /// assert!(written.contains("counts = [300, 200]"));
    /// # Ok::<(), visu_tility_core::PlanError>(())
    /// ```
    pub fn from_toml_with(
        text: &str,
        files: impl Fn(&str) -> Result<String, String>,
    ) -> Result<Self, PlanError> {
        read::plan(text, &files, false)
    }

    /// Reads what [`MonitorPlan::to_toml`] wrote, a plan without rules too. Observers of the user's own that the text
    /// names are taken from `own`: the very same prototypes, so that a model keeps their states from one plan to the other.
    /// Those that `own` does not have are left out.
    ///
    /// # Errors
    ///
    /// As [`MonitorPlan::from_toml`].
    ///
    /// # Examples
    ///
    /// ```
    /// use visu_tility_core::MonitorPlan;
    ///
    /// let own = MonitorPlan::empty();
    /// let again = MonitorPlan::from_kept(&own.to_toml(), &own)?;
    /// assert!(again.rules().is_empty() && !own.changes_to(&again).events_changed);
    /// # Ok::<(), visu_tility_core::PlanError>(())
    /// ```
    pub fn from_kept(text: &str, own: &Self) -> Result<Self, PlanError> {
        let no_files = |_: &str| Err("which was written out when the plan was kept".to_owned());
        let mut plan = read::plan(text, &no_files, true)?;
        let named = |name: &str| text.contains(&write::own_observer(name));
        plan.observers.extend(own.observers().iter().filter(|observer| named(observer.name())).cloned());
        Ok(plan)
    }

    /// Writes the plan with every setting, so that [`MonitorPlan::from_toml`] reads an equal one.
    ///
    /// Observers of the user's own cannot be written; a comment names each. A plan without rules is
    /// written too, but is refused when read. Rules that were built by hand, around [`super::Rule::new`],
    /// with a name or a pattern that no plan may have, are refused likewise.
    pub fn to_toml(&self) -> String {
        write::plan(self)
    }

    /// Says what the plan asks for and does not get, a sentence for each.
    ///
    /// Rules that ask for a retrain, without the feature `automated_retraining`: an alert is raised instead. And, when
    /// somebody set the budget of false alarms, rules whose detectors keep to none, or a member of which says its own
    /// `arl`; rules whose windows are too short for the run length that the budget asks for at one value a second when
    /// each rule that shares it watches one version and kind; and rules one of whose detectors is blind to what is bad of
    /// a kind that they are for, or is told that latencies, features or custom kinds are normal, which they seldom are
    /// (other kinds, and detectors that take no law, are not looked at). A rule that names no kinds is for all. And floors and limits on kinds that are bad on the other side, or that have another range.
    pub fn warnings(&self) -> Vec<String> {
        let unmet = self.rules.iter().filter(|rule| {
            matches!(rule.response, Reaction::Retrain | Reaction::AlertAndRetrain)
                && !rule.response.retrains()
        });
        let unmet = unmet.map(|rule| {
            let instead = match rule.response {
                Reaction::AlertAndRetrain => "only the alert is raised",
                _ => "an alert is raised instead",
            };
            format!(
                "rule {:?}: response {:?} needs the feature `automated_retraining`, {instead}",
                rule.name,
                rule.response.as_str()
            )
        });
        let unbound = self.rules.iter().filter(|_| self.budget_said).filter_map(unbound);
        let short = self.rules.iter().filter_map(|rule| short(rule, &self.rules, self.budget));
        let blind = self.rules.iter().flat_map(blind);
        let heavy = self.rules.iter().flat_map(heavy);
        let opposed = self.rules.iter().filter_map(opposed);
        unmet.chain(unbound).chain(short).chain(blind).chain(heavy).chain(opposed).collect()
    }
}
