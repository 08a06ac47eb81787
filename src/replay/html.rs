//! The report as one page that needs nothing but itself: no script, no request, light and dark.

mod escape;
mod figure;
mod scale;
mod table;

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use crate::replay::figures::{count, counted, span, time};
use crate::replay::over_budget::OverBudget;
use crate::replay::report::{AlarmReport, AlertReport, ModelReport, Report};
use crate::replay::score::Score;
use crate::replay::unseen::Unseen;
pub(crate) use escape::Safe;

/// Models that are drawn: those with the most alarms.
const MODELS_DRAWN: usize = 24;

/// Colours that observers are told apart by; further ones share.
const COLOURS: usize = 8;

/// Shows a report as a page of HTML.
///
/// Every text of somebody else's (names of models, observers and files, summaries, labels) is escaped.
///
/// # Examples
///
/// ```
/// use visu_tility::replay::{HtmlReport, Report};
///
/// fn page(report: &Report) -> String {
///     HtmlReport::new(report).to_string()
/// }
/// ```
#[derive(Debug)]
pub struct HtmlReport<'a> {
    report: &'a Report,
    /// Colours of the observers that said something.
    colours: BTreeMap<&'a str, usize>,
    alarms: BTreeMap<&'a str, Vec<&'a AlarmReport>>,
    alerts: BTreeMap<&'a str, Vec<&'a AlertReport>>,
}

impl<'a> HtmlReport<'a> {
    /// Prepares the page.
    pub fn new(report: &'a Report) -> Self {
        let mut names: Vec<&Arc<str>> = report.alarms.iter().map(|alarm| &alarm.observer).collect();
        names.sort();
        names.dedup();
        let colours = names.into_iter().enumerate().map(|(at, name)| (&**name, at % COLOURS)).collect();
        let mut alarms: BTreeMap<&str, Vec<&AlarmReport>> = BTreeMap::new();
        for alarm in &report.alarms {
            alarms.entry(alarm.model_id.as_str()).or_default().push(alarm);
        }
        let mut alerts: BTreeMap<&str, Vec<&AlertReport>> = BTreeMap::new();
        for alert in &report.alerts {
            alerts.entry(alert.model_id.as_str()).or_default().push(alert);
        }
        Self { report, colours, alarms, alerts }
    }

    fn alarms_of(&self, model: &ModelReport) -> &[&'a AlarmReport] {
        self.alarms.get(model.model_id.as_str()).map_or(&[], Vec::as_slice)
    }

    fn alerts_of(&self, model: &ModelReport) -> &[&'a AlertReport] {
        self.alerts.get(model.model_id.as_str()).map_or(&[], Vec::as_slice)
    }

    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        page_head(f, "Replay of", &self.report.files)?;
        let kinds = || self.report.models.iter().flat_map(|model| &model.kinds);
        if let (Some(first), Some(last)) =
            (kinds().map(|k| k.first_ts).min(), kinds().map(|k| k.last_ts).max())
        {
            let (from, to, length) = (time(first), time(last), span(last.since(first)));
            writeln!(f, "<p>{from} to {to} UTC ({length})</p>")?;
        }
        f.write_str("</header>\n")
    }

    fn tiles(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let report = self.report;
        let drifts: u64 = report.models.iter().map(ModelReport::drifts).sum();
        let open = report.alerts.iter().filter(|alert| alert.resolved.is_none()).count();
        let mut tiles = vec![
            (count(report.events), "events".to_owned(), ""),
            (
                count(report.models.len() as u64),
                if report.models.len() == 1 { "model" } else { "models" }.to_owned(),
                "",
            ),
            (count(drifts), "drift alarms".to_owned(), if drifts > 0 { "bad" } else { "good" }),
            (count(report.alerts.len() as u64), format!("alerts, {open} still firing"), ""),
            (count(report.retrains.len() as u64), "retrain requests".to_owned(), ""),
        ];
        match &report.score {
            Some(Score::Drifts(score)) => {
                let share = format!("{}/{}", score.all.detected, score.all.total);
                tiles.push((share, "true drifts found".to_owned(), "good"));
            }
            Some(Score::Changes(score)) => {
                let share = format!("{}/{}", score.all.found, score.all.changes);
                tiles.push((share, "labelled changes found".to_owned(), "good"));
            }
            None => {}
        }
        let not_seen = report.unseen.not_seen();
        if not_seen > 0 {
            tiles.push((count(not_seen), "events not seen by rules".to_owned(), "bad"));
        }
        for (bad, noun) in [(report.rejected, "line"), (report.bad.files, "file")] {
            if bad > 0 {
                let plural = if bad == 1 { "" } else { "s" };
                tiles.push((count(bad), format!("{noun}{plural} not used"), "bad"));
            }
        }
        f.write_str("<ul class=\"tiles\">")?;
        for (figure, what, class) in tiles {
            write!(f, "<li class=\"{class}\"><b>{figure}</b> {what}</li>")?;
        }
        f.write_str("</ul>\n")?;
        self.unseen(f, &report.unseen)?;
        OverBudget::told(&report.over_budget).map_or(Ok(()), |(rules, causes)| {
            writeln!(f, "<p class=\"note\">{}; {causes}.</p>", Safe(&rules))
        })
    }

    /// What rules saw late or not at all.
    fn unseen(&self, f: &mut Formatter<'_>, unseen: &Unseen) -> fmt::Result {
        let told = unseen.told(&self.report.policy);
        told.iter().try_for_each(|told| writeln!(f, "<p class=\"note\">{}</p>", Safe(told)))
    }

    fn models(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let models = self.report.worst_first();
        let drawn = MODELS_DRAWN.min(models.len());
        if models.len() > drawn {
            let total = count(models.len() as u64);
            writeln!(
                f,
                "<p class=\"note\">Drawn are the {drawn} of {total} models with the most alarms.</p>"
            )?;
        }
        if drawn > 0 {
            f.write_str(LEGEND)?;
        }
        for model in models.iter().take(drawn) {
            let facts = [counted(model.events, "event"), counted(model.drifts(), "drift alarm")].join(" · ");
            writeln!(f, "<section><h2>{} <small>{facts}</small></h2>", Safe(model.model_id.as_str()))?;
            if models.len() > 1 {
                self.unseen(f, &model.unseen)?;
            }
            self.figures(f, model)?;
            table::alert_table(f, self.alerts_of(model))?;
            self.alarm_table(f, self.alarms_of(model))?;
            f.write_str("</section>\n")?;
        }
        Ok(())
    }
}

impl HtmlReport<'_> {
    /// Everything between the head of the page and its end.
    pub(crate) fn body(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.tiles(f)?;
        if let Some(score) = &self.report.score {
            table::score(f, score)?;
        }
        self.models(f)?;
        self.retrain_table(f)?;
        self.bad_lines(f)?;
        writeln!(f, "<section><h2>Watching</h2><pre>{}</pre></section>", Safe(self.report.plan.trim_end()))
    }
}

impl Display for HtmlReport<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.body(f)?;
        f.write_str("</body>\n</html>\n")
    }
}

/// Opens a page about some files: everything up to the title, within the header.
pub(crate) fn page_head(f: &mut Formatter<'_>, what: &str, files: &[String]) -> fmt::Result {
    let names: Vec<&str> = files.iter().map(|f| f.rsplit('/').next().unwrap_or(f)).collect();
    let names = names.join(", ");
    f.write_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")?;
    f.write_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")?;
    f.write_str("<meta name=\"color-scheme\" content=\"light dark\">\n")?;
    writeln!(f, "<title>{what} {}</title>\n<style>{STYLE}</style>\n</head>\n<body>", Safe(&names))?;
    writeln!(f, "<header><h1>{what} <span>{}</span></h1>", Safe(&names))
}

/// How to read a drawing.
const LEGEND: &str = "<p class=\"note\">Over the predictions of a model: thick line moving average, thin line mean, \
    band least to greatest, ▾ alarm, red ground alert firing, dotted green true drift, dashed red limit.</p>\n";

/// The page's looks.
const STYLE: &str = include_str!("html/style.css");
