//! The report as text for a person at a terminal.

mod model;
mod paint;
mod score;

use std::fmt::{self, Display, Formatter};

use crate::replay::figures::{count, counted, cut, more, one_line, span, time};
use crate::replay::over_budget::OverBudget;
use crate::replay::report::Report;
use paint::Paint;

/// Shows a report as text.
///
/// # Examples
///
/// ```
/// use visu_tility::replay::{Report, TextReport};
///
/// fn show(report: &Report) {
///     println!("{}", TextReport::new(report).width(80));
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TextReport<'a> {
    report: &'a Report,
    width: usize,
    paint: Paint,
}

/// Models that are shown in full.
const MODELS_SHOWN: usize = 10;

/// Models that are shown on a line of their own.
const MODELS_LISTED: usize = 20;

impl<'a> TextReport<'a> {
    /// Shows a report 100 characters wide, without colours.
    pub fn new(report: &'a Report) -> Self {
        Self { report, width: 100, paint: Paint(false) }
    }

    /// Sets the width in characters; from 60 to 160.
    #[must_use]
    pub fn width(mut self, width: usize) -> Self {
        self.width = width.clamp(60, 160);
        self
    }

    /// Sets whether colours are used.
    #[must_use]
    pub fn colour(mut self, colour: bool) -> Self {
        self.paint = Paint(colour);
        self
    }

    fn header(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Report { events, missing, models, .. } = self.report;
        let files: Vec<&str> = self.report.files.iter().map(|f| f.rsplit('/').next().unwrap_or(f)).collect();
        let title = cut(&format!("Replay of {}", files.join(", ")), self.width);
        writeln!(f, "{}", self.paint.bold(&title))?;
        let mut facts =
            vec![format!("{} of {}", counted(*events, "event"), counted(models.len() as u64, "model"))];
        let kinds = || models.iter().flat_map(|model| &model.kinds);
        let (first, last) = (kinds().map(|k| k.first_ts).min(), kinds().map(|k| k.last_ts).max());
        if let (Some(first), Some(last)) = (first, last) {
            facts.push(format!("{} to {} UTC ({})", time(first), time(last), span(last.since(first))));
        }
        if *missing > 0 {
            facts.push(format!("{} missing", counted(*missing, "value")));
        }
        writeln!(f, "{}", facts.join(" · "))?;
        if let Some(bad) = self.report.bad.counted() {
            writeln!(f, "{}", self.paint.yellow(&format!("{bad} could not be used")))?;
        }
        for told in self.report.unseen.told(&self.report.policy) {
            writeln!(f, "{}", self.paint.yellow(&cut(&one_line(&told), self.width * 2)))?;
        }
        self.found(f)?;
        let Some((rules, causes)) = OverBudget::told(&self.report.over_budget) else { return Ok(()) };
        writeln!(f, "{}", self.paint.yellow(&cut(&one_line(&rules), self.width * 2)))?;
        writeln!(f, "  {}", self.paint.dim(causes))
    }

    /// Counts what the observers said.
    fn found(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let models = &self.report.models;
        let alarms: u64 = models.iter().map(super::report::ModelReport::drifts).sum();
        let open = self.report.alerts.iter().filter(|alert| alert.resolved.is_none()).count() as u64;
        let mut found = vec![
            counted(alarms, "drift alarm"),
            counted(self.report.alerts.len() as u64, "alert"),
            counted(self.report.retrains.len() as u64, "retrain request"),
        ];
        if open > 0 {
            found.insert(2, format!("{} still firing", count(open)));
        }
        let found = found.join(" · ");
        writeln!(f, "{}", if alarms > 0 { self.paint.red(&found) } else { self.paint.green(&found) })
    }

    fn heading(&self, f: &mut Formatter<'_>, text: &str) -> fmt::Result {
        let text = cut(text, self.width.saturating_sub(4));
        let rule = "─".repeat(self.width.saturating_sub(text.chars().count() + 1));
        writeln!(f, "\n{} {}", self.paint.bold(&text), self.paint.dim(&rule))
    }

    /// Which observers watch, from the plan.
    fn plan(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.heading(f, "Watching")?;
        let mut lines =
            self.report.plan.lines().map(str::trim_end).filter(|line| !line.is_empty()).peekable();
        if lines.peek().is_none() {
            return writeln!(f, "  nothing: the plan is empty");
        }
        lines.try_for_each(|line| writeln!(f, "  {}", cut(line, self.width - 2)))
    }

    fn models(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let models = self.report.worst_first();
        let (shown, rest) = models.split_at(MODELS_SHOWN.min(models.len()));
        if models.len() > MODELS_SHOWN {
            let text = format!(
                "\nThe {} of {} models with the most alarms:",
                shown.len(),
                count(models.len() as u64)
            );
            writeln!(f, "{}", self.paint.dim(&text))?;
        }
        for model in shown {
            self.model(f, model)?;
        }
        if rest.is_empty() {
            return Ok(());
        }
        self.heading(f, "Further models")?;
        let width = rest.iter().map(|model| model.model_id.as_str().len()).max().unwrap_or(0).min(40);
        for model in rest.iter().take(MODELS_LISTED) {
            let name = paint::fit(model.model_id.as_str(), width);
            let (events, drifts) = (counted(model.events, "event"), counted(model.drifts(), "drift alarm"));
            writeln!(f, "  {name}  {events:>16}  {drifts}")?;
        }
        let left = rest.len().saturating_sub(MODELS_LISTED);
        if left > 0 {
            writeln!(f, "  {} (all of them are in the JSON report)", more(left as u64, "model"))?;
        }
        Ok(())
    }

    /// The least that tells what a plan did: counts, drawings and alarms of the models with the most alarms.
    pub(crate) fn brief(&self, f: &mut Formatter<'_>, models: usize) -> fmt::Result {
        self.found(f)?;
        for told in self.report.unseen.told(&self.report.policy) {
            writeln!(f, "{}", self.paint.yellow(&cut(&one_line(&told), self.width * 2)))?;
        }
        self.report.worst_first().into_iter().take(models).try_for_each(|model| self.brief_model(f, model))
    }

    fn bad_lines(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let bad = &self.report.bad;
        let Some(counted) = bad.counted() else { return Ok(()) };
        self.heading(f, &format!("{counted} not used"))?;
        for (class, lines) in &bad.classes {
            writeln!(f, "  {:>9}  {}", count(*lines), one_line(class))?;
        }
        writeln!(f, "  {}", self.paint.dim("the first ones:"))?;
        for line in bad.first.iter().take(5) {
            writeln!(f, "  {}", cut(&one_line(&line.to_string()), self.width * 2))?;
        }
        Ok(())
    }
}

impl Display for TextReport<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.header(f)?;
        self.plan(f)?;
        self.models(f)?;
        if let Some(score) = &self.report.score {
            self.score(f, score)?;
        }
        if self.report.unlisted > 0 {
            writeln!(f, "\n{} counted but not listed", counted(self.report.unlisted, "further record"))?;
        }
        self.bad_lines(f)
    }
}
