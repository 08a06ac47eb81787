//! The score in the text report: each drift with what became of it, each observer with its figures.

use std::fmt::{self, Formatter};

use super::TextReport;
use super::paint::fit;
use crate::replay::change_score::ChangeScore;
use crate::replay::drift_score::DriftScore;
use crate::replay::figures::{count, counted, more, number, one_line};
use crate::replay::score::{ChangesScore, DriftFate, DriftsScore, Score};

/// Drifts that are shown.
const DRIFTS_SHOWN: usize = 40;

/// Models that are shown.
const MODELS_SHOWN: usize = 30;

impl TextReport<'_> {
    /// Shows the score.
    pub(super) fn score(&self, f: &mut Formatter<'_>, score: &Score) -> fmt::Result {
        match score {
            Score::Drifts(score) => self.drifts_score(f, score),
            Score::Changes(score) => self.changes_score(f, score),
        }
    }

    fn drifts_score(&self, f: &mut Formatter<'_>, score: &DriftsScore) -> fmt::Result {
        let all = &score.all;
        self.heading(f, &format!("Score: {} of {} found", all.detected, counted(all.total, "true drift")))?;
        self.fates(f, &score.drifts, self.report.models.len() > 1)?;
        let left = score.drifts.len().saturating_sub(DRIFTS_SHOWN);
        if left > 0 {
            writeln!(f, "  {}", more(left as u64, "drift"))?;
        }
        let titles = ["found", "mean delay", "false", "repeats", "false/10k"];
        let [found, delay, wrong, repeats, rate] = titles;
        let name = fit("observer", 24);
        let title = format!("  {name}  {found:>7}{delay:>12}{wrong:>8}{repeats:>9}{rate:>12}");
        writeln!(f, "\n{}", self.paint.dim(&title))?;
        let together = self.paint.bold(&drift_row("all together", all));
        writeln!(f, "{together}")?;
        // What said nothing has no row.
        let spoke = |score: &DriftScore| score.detected + score.false_alarms + score.repeats > 0;
        for of in score.observers.iter().filter(|of| spoke(&of.score)) {
            writeln!(f, "{}", drift_row(&of.observer, &of.score))?;
        }
        let delay = count(score.max_delay);
        let text = format!(
            "a drift counts as found up to {delay} predictions behind its end; only drift alarms count"
        );
        writeln!(f, "  {}", self.paint.dim(&text))
    }

    /// Shows drifts below one another, each column as wide as its widest cell.
    fn fates(&self, f: &mut Formatter<'_>, drifts: &[DriftFate], name_model: bool) -> fmt::Result {
        let shown = || drifts.iter().take(DRIFTS_SHOWN);
        let what = |drift: &DriftFate| {
            let what = if drift.what.is_empty() { "drift".to_owned() } else { one_line(&drift.what) };
            if name_model { format!("{}: {what}", drift.model_id) } else { what }
        };
        let places = shown().map(|drift| place(drift).chars().count()).max().unwrap_or(0);
        let room = self.width.saturating_sub(places + 36).max(20);
        let whats = shown().map(|drift| what(drift).chars().count()).max().unwrap_or(0).min(room);
        for drift in shown() {
            let mark = match drift.delay {
                Some(_) => self.paint.green("✔"),
                None => self.paint.red("✘"),
            };
            let fate = match (drift.delay, &drift.observer) {
                (Some(delay), Some(observer)) => format!("after {:>5} by {observer}", count(delay)),
                _ => "missed".to_owned(),
            };
            let (place, what) = (fit(&place(drift), places), fit(&what(drift), whats));
            writeln!(f, "  {mark} {place}  {what}  {fate}")?;
        }
        Ok(())
    }

    fn changes_score(&self, f: &mut Formatter<'_>, score: &ChangesScore) -> fmt::Result {
        let all = &score.all;
        self.heading(
            f,
            &format!("Score: {} of {} found", count(all.found), counted(all.changes, "labelled change")),
        )?;
        let mut models: Vec<_> = score.models.iter().collect();
        models.sort_by(|a, b| a.model_id.cmp(&b.model_id));
        for model in models.iter().take(MODELS_SHOWN) {
            let found = model.delays.iter().flatten().count() as u64;
            let missed = model.delays.len() as u64 - found;
            let mark = if missed == 0 { self.paint.green("✔") } else { self.paint.red("✘") };
            let name = fit(&model.model_id, 24);
            let spare = count(model.alarms - found);
            writeln!(
                f,
                "  {mark} {name}  {found:>4} found  {missed:>4} missed  {spare:>6} alarms without a change"
            )?;
        }
        let left = models.len().saturating_sub(MODELS_SHOWN);
        if left > 0 {
            writeln!(f, "  {}", more(left as u64, "model"))?;
        }
        let title = format!(
            "  {}  {:>9}{:>8}{:>7}{:>12}{:>12}{:>8}",
            fit("observer", 24),
            "precision",
            "recall",
            "F1",
            "mean delay",
            "false/1000",
            "alarms"
        );
        writeln!(f, "\n{}", self.paint.dim(&title))?;
        writeln!(f, "{}", self.paint.bold(&change_row("all together", all)))?;
        for of in score.observers.iter().filter(|of| of.score.alarms > 0) {
            writeln!(f, "{}", change_row(&of.observer, &of.score))?;
        }
        let text = "an alarm counts from 2 samples before a change to 30 behind it, one to one";
        writeln!(f, "  {}", self.paint.dim(text))
    }
}

/// Where a drift is: `5,500 to 6,500`.
fn place(drift: &DriftFate) -> String {
    if drift.event_end == drift.event {
        count(drift.event)
    } else {
        format!("{} to {}", count(drift.event), count(drift.event_end))
    }
}

fn drift_row(name: &str, score: &DriftScore) -> String {
    let found = format!("{}/{}", score.detected, score.total);
    let (delay, rate) = (optional(score.mean_delay), optional(score.false_per_10k));
    let (name, false_alarms, repeats) = (fit(name, 24), count(score.false_alarms), count(score.repeats));
    format!("  {name}  {found:>7}{delay:>12}{false_alarms:>8}{repeats:>9}{rate:>12}")
}

fn change_row(name: &str, score: &ChangeScore) -> String {
    let (name, precision, f1) = (fit(name, 24), score.precision, score.f1);
    let (recall, delay, rate) =
        (optional(score.recall), optional(score.delay), optional(score.false_per_1000));
    let alarms = count(score.alarms);
    format!("  {name}  {precision:>9}{recall:>8}{f1:>7}{delay:>12}{rate:>12}{alarms:>8}")
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), number)
}
