//! The tables of the page: score, alerts, alarms, retrains, bad lines.

use std::fmt::{self, Display, Formatter};

use super::HtmlReport;
use super::escape::Safe;
use crate::replay::change_score::ChangeScore;
use crate::replay::drift_score::DriftScore;
use crate::replay::figures::{count, number, short_figures, span, time};
use crate::replay::report::{AlarmReport, AlertReport};
use crate::replay::score::{ChangesScore, DriftsScore, Score};

/// Rows of a table.
const ROWS_MAX: usize = 200;

impl HtmlReport<'_> {
    /// The alarms of a model, folded away.
    pub(super) fn alarm_table(&self, f: &mut Formatter<'_>, alarms: &[&AlarmReport]) -> fmt::Result {
        if alarms.is_empty() {
            return Ok(());
        }
        writeln!(f, "<details><summary>{} alarms</summary><table>", count(alarms.len() as u64))?;
        f.write_str(
            "<tr><th>time<th class=\"n\">event<th class=\"n\">prediction<th>level<th>observer<th>kind",
        )?;
        f.write_str("<th class=\"n\">statistic<th class=\"n\">threshold\n")?;
        for alarm in alarms.iter().take(ROWS_MAX) {
            let (index, position) = (count(alarm.index), count(alarm.position));
            let colour = self.colours.get(&*alarm.observer).copied().unwrap_or(0);
            write!(
                f,
                "<tr><td class=\"t\">{}<td class=\"n\">{index}<td class=\"n\">{position}",
                time(alarm.ts)
            )?;
            let (level, observer) = (alarm.level.as_str(), Safe(&alarm.observer));
            write!(f, "<td>{level}<td><span class=\"dot o{colour}\">▾</span> {observer}")?;
            let kind = alarm.kind.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
            let (statistic, threshold) = (number(alarm.statistic), number(alarm.threshold));
            writeln!(f, "<td>{}<td class=\"n\">{statistic}<td class=\"n\">{threshold}", Safe(&kind))?;
        }
        f.write_str("</table>")?;
        left(f, alarms.len())?;
        f.write_str("</details>\n")
    }

    /// The retrain requests of all models.
    pub(super) fn retrain_table(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let retrains = &self.report.retrains;
        if retrains.is_empty() {
            return Ok(());
        }
        f.write_str("<section><h2>Retrain requests</h2><table>")?;
        f.write_str(
            "<tr><th>time<th class=\"n\">event<th>model<th>observer<th class=\"n\">priority<th>reason\n",
        )?;
        for retrain in retrains.iter().take(ROWS_MAX) {
            let (ts, index, priority) = (time(retrain.ts), count(retrain.index), retrain.priority);
            let (model, observer) = (Safe(retrain.model_id.as_str()), Safe(&retrain.observer));
            write!(f, "<tr><td class=\"t\">{ts}<td class=\"n\">{index}<td>{model}<td>{observer}")?;
            writeln!(f, "<td class=\"n\">{priority}<td>{}", Safe(&short_figures(&retrain.reason)))?;
        }
        f.write_str("</table>")?;
        left(f, retrains.len())?;
        f.write_str("</section>\n")
    }

    /// The lines that could not be used.
    pub(super) fn bad_lines(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let bad = &self.report.bad;
        let Some(counted) = bad.counted() else { return Ok(()) };
        writeln!(f, "<section><h2>{counted} not used</h2><table>")?;
        for (class, lines) in &bad.classes {
            writeln!(f, "<tr><td class=\"n\">{}<td>{}", count(*lines), Safe(class))?;
        }
        f.write_str("</table><details><summary>the first ones</summary><pre>")?;
        for line in &bad.first {
            writeln!(f, "{}", Safe(&line.to_string()))?;
        }
        f.write_str("</pre></details></section>\n")
    }
}

/// The score.
pub(super) fn score(f: &mut Formatter<'_>, score: &Score) -> fmt::Result {
    f.write_str("<section><h2>Score</h2>\n")?;
    match score {
        Score::Drifts(score) => drifts(f, score)?,
        Score::Changes(score) => changes(f, score)?,
    }
    f.write_str("</section>\n")
}

/// The alerts of a model.
pub(super) fn alert_table(f: &mut Formatter<'_>, alerts: &[&AlertReport]) -> fmt::Result {
    if alerts.is_empty() {
        return Ok(());
    }
    f.write_str(
        "<h3>Alerts</h3><table><tr><th>fired<th>resolved<th>for<th>severity<th>observer<th>summary\n",
    )?;
    for alert in alerts.iter().take(ROWS_MAX) {
        write!(f, "<tr><td class=\"t\">{}", time(alert.fired))?;
        match alert.resolved {
            Some(end) => {
                write!(f, "<td class=\"t\">{}<td class=\"t\">{}", time(end), span(end.since(alert.fired)))?;
            }
            None => f.write_str("<td class=\"firing\">still firing<td>")?,
        }
        let (severity, summary) = (alert.severity, short_figures(&alert.summary));
        writeln!(f, "<td>{severity}<td>{}<td>{}", Safe(&alert.observer), Safe(&summary))?;
    }
    f.write_str("</table>\n")?;
    left(f, alerts.len())
}

/// Says how many rows are not shown.
fn left(f: &mut Formatter<'_>, rows: usize) -> fmt::Result {
    if rows <= ROWS_MAX {
        return Ok(());
    }
    writeln!(f, "<p class=\"note\">and {} more, in the JSON report</p>", count((rows - ROWS_MAX) as u64))
}

fn drifts(f: &mut Formatter<'_>, score: &DriftsScore) -> fmt::Result {
    f.write_str("<table><tr><th><th>model<th class=\"n\">at<th>what happened<th>found\n")?;
    for drift in score.drifts.iter().take(ROWS_MAX) {
        let (class, mark) = if drift.delay.is_some() { ("yes", "✔") } else { ("no", "✘") };
        let at = if drift.event_end > drift.event {
            format!("{} to {}", count(drift.event), count(drift.event_end))
        } else {
            count(drift.event)
        };
        write!(f, "<tr><td class=\"{class}\">{mark}<td>{}<td class=\"n\">{at}", Safe(&drift.model_id))?;
        let fate = match (drift.delay, &drift.observer, &drift.kind) {
            (Some(delay), Some(observer), kind) => {
                let kind = kind.as_ref().map_or_else(String::new, |kind| format!(" on {kind}"));
                format!("after {} predictions by {observer}{kind}", count(delay))
            }
            _ => "missed".to_owned(),
        };
        writeln!(f, "<td>{}<td>{}", Safe(&drift.what), Safe(&fate))?;
    }
    f.write_str("</table>")?;
    left(f, score.drifts.len())?;
    f.write_str(
        "<table><tr><th>observer<th class=\"n\">found<th class=\"n\">mean delay<th class=\"n\">false",
    )?;
    f.write_str("<th class=\"n\">repeats<th class=\"n\">false in 10,000\n")?;
    drift_row(f, &"<b>all together</b>", &score.all)?;
    let spoke = |score: &DriftScore| score.detected + score.false_alarms + score.repeats > 0;
    for of in score.observers.iter().filter(|of| spoke(&of.score)) {
        drift_row(f, &Safe(&of.observer), &of.score)?;
    }
    f.write_str("</table>\n")
}

fn drift_row(f: &mut Formatter<'_>, name: &dyn Display, score: &DriftScore) -> fmt::Result {
    let DriftScore { detected, total, false_alarms, repeats, .. } = score;
    let (delay, rate) = (optional(score.mean_delay), optional(score.false_per_10k));
    write!(f, "<tr><td>{name}<td class=\"n\">{detected}/{total}<td class=\"n\">{delay}")?;
    writeln!(f, "<td class=\"n\">{false_alarms}<td class=\"n\">{repeats}<td class=\"n\">{rate}")
}

fn changes(f: &mut Formatter<'_>, score: &ChangesScore) -> fmt::Result {
    f.write_str("<table><tr><th>observer<th class=\"n\">precision<th class=\"n\">recall<th class=\"n\">F1")?;
    f.write_str("<th class=\"n\">mean delay<th class=\"n\">false in 1,000<th class=\"n\">alarms\n")?;
    change_row(f, &"<b>all together</b>", &score.all)?;
    for of in score.observers.iter().filter(|of| of.score.alarms > 0) {
        change_row(f, &Safe(&of.observer), &of.score)?;
    }
    f.write_str(
        "</table><table><tr><th>model<th class=\"n\">found<th class=\"n\">missed<th class=\"n\">alarms\n",
    )?;
    for model in score.models.iter().take(ROWS_MAX) {
        let found = model.delays.iter().flatten().count();
        let (missed, alarms) = (model.delays.len() - found, count(model.alarms));
        write!(f, "<tr><td>{}<td class=\"n\">{found}", Safe(&model.model_id))?;
        writeln!(f, "<td class=\"n\">{missed}<td class=\"n\">{alarms}")?;
    }
    f.write_str("</table>")?;
    left(f, score.models.len())
}

fn change_row(f: &mut Formatter<'_>, name: &dyn Display, score: &ChangeScore) -> fmt::Result {
    let ChangeScore { precision, f1, .. } = score;
    let (recall, delay, rate) =
        (optional(score.recall), optional(score.delay), optional(score.false_per_1000));
    write!(f, "<tr><td>{name}<td class=\"n\">{precision}<td class=\"n\">{recall}<td class=\"n\">{f1}")?;
    writeln!(f, "<td class=\"n\">{delay}<td class=\"n\">{rate}<td class=\"n\">{}", count(score.alarms))
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), number)
}
