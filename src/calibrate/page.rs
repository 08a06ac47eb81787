//! A calibration as one page that needs nothing but itself.

use std::fmt::{self, Display, Formatter};

use super::choice::Watch;
use super::report::{Calibration, KindCalibration};
use super::text::{counted_alarms, delay, rough, watch};
use crate::replay::{HtmlReport, Safe, count, counted, number, page_head, time};

/// Rows of the table of kinds.
const ROWS_MAX: usize = 500;

/// Shows a calibration as a page of HTML: the proposals, the plan, and the replay with its plots.
///
/// Every text of somebody else's is escaped.
#[derive(Clone, Copy, Debug)]
pub struct CalibrationPage<'a> {
    calibration: &'a Calibration,
}

impl<'a> CalibrationPage<'a> {
    /// Prepares the page.
    pub fn new(calibration: &'a Calibration) -> Self {
        Self { calibration }
    }

    fn head(self, f: &mut Formatter<'_>) -> fmt::Result {
        let one = self.calibration;
        page_head(f, "Calibration from", &one.files)?;
        let good = match one.good_until {
            Some(end) => format!("good up to {} UTC", time(end)),
            None => "all of it taken as good".to_owned(),
        };
        let (events, budget) = (counted(one.events, "event"), counted_alarms(one.false_alarms_per_30_days));
        writeln!(f, "<p>{events}, {good} · budget: {budget} · seed {}</p></header>", one.seed)?;
        for warning in one.warnings() {
            writeln!(f, "<p><b>Warning:</b> {}</p>", Safe(&warning))?;
        }
        one.notes.iter().try_for_each(|note| writeln!(f, "<p class=\"note\"><b>Note:</b> {}</p>", Safe(note)))
    }

    fn proposals(self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("<section><h2>Proposal</h2><table>")?;
        f.write_str(
            "<tr><th>model<th>kind<th class=\"n\">values<th class=\"n\">used<th class=\"n\">a day<th class=\"n\">missing",
        )?;
        f.write_str(
            "<th class=\"n\">mean<th class=\"n\">deviation<th class=\"n\">batch<th>rule<th>detector",
        )?;
        f.write_str("<th class=\"n\">budget<th class=\"n\">run length\n")?;
        let kinds = &self.calibration.kinds;
        kinds.iter().take(ROWS_MAX).try_for_each(|kind| row(f, kind))?;
        f.write_str("</table>")?;
        if kinds.len() > ROWS_MAX {
            let left = count((kinds.len() - ROWS_MAX) as u64);
            writeln!(f, "<p class=\"note\">and {left} more, in the JSON report</p>")?;
        }
        f.write_str(
            "<p class=\"note\">Budget: false alarms in 30 days. Run length: mean number of values between false \
             alarms that a monitor sets by it. Batch: neighbours are alike over less than so many values.</p>",
        )?;
        f.write_str("</section>\n")
    }

    fn delays(self, f: &mut Formatter<'_>) -> fmt::Result {
        let kinds = || self.calibration.kinds.iter().filter(|kind| !kind.delays.is_empty());
        if kinds().next().is_none() {
            return Ok(());
        }
        f.write_str("<section><h2>How soon a change is seen <small>simulated</small></h2><table>")?;
        f.write_str("<tr><th>model<th>kind<th>change\n")?;
        for kind in kinds() {
            for told in &kind.delays {
                let text = delay(told);
                write!(f, "<tr><td>{}<td>{}", Safe(kind.model_id.as_str()), Safe(&kind.kind.to_string()))?;
                writeln!(f, "<td>{}", Safe(&text))?;
            }
        }
        f.write_str("</table></section>\n")
    }
}

impl Display for CalibrationPage<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.proposals(f)?;
        self.delays(f)?;
        let plan = Safe(self.calibration.plan_toml.trim_end());
        writeln!(f, "<section><h2>The plan</h2><pre>{plan}</pre></section>")?;
        if let Some(report) = &self.calibration.replay {
            f.write_str("<h2>What this plan would have fired</h2>\n")?;
            HtmlReport::new(report).body(f)?;
        }
        f.write_str("</body>\n</html>\n")
    }
}

fn row(f: &mut Formatter<'_>, kind: &KindCalibration) -> fmt::Result {
    let maybe = |value: Option<f64>, show: &dyn Fn(f64) -> String| value.map_or_else(|| "-".to_owned(), show);
    write!(f, "<tr><td>{}<td>{}", Safe(kind.model_id.as_str()), Safe(&kind.kind.to_string()))?;
    write!(
        f,
        "<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}",
        count(kind.values),
        count(kind.used),
        maybe(kind.values_per_day, &rough)
    )?;
    write!(f, "<td class=\"n\">{}<td class=\"n\">{}", count(kind.missing()), maybe(kind.mean, &number))?;
    write!(
        f,
        "<td class=\"n\">{}<td class=\"n\">{}",
        maybe(kind.deviation, &number),
        count(kind.batch_length)
    )?;
    let (rule, detector) = (kind.rule.as_deref().unwrap_or("-"), kind.detector.unwrap_or("-"));
    let class = if kind.watch == Watch::Proposed { "yes" } else { "" };
    write!(f, "<td class=\"{class}\">{}<td>{detector}", Safe(rule))?;
    let none = if kind.watch == Watch::Default { "none" } else { "-" };
    let budget = kind.budget.map_or_else(|| none.to_owned(), number);
    writeln!(f, "<td class=\"n\">{budget}<td class=\"n\">{}", maybe(kind.arl, &rough))?;
    writeln!(f, "<tr><td><td colspan=\"12\" class=\"note\">{}", Safe(&watch(kind)))?;
    match kind.season {
        Some(season) => writeln!(f, "<br>Season: {}", Safe(&season.told())),
        None => Ok(()),
    }
}
