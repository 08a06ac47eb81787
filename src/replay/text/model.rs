//! One model in the text report: its kinds as lines of blocks, its alerts, its alarms.

use std::fmt::{self, Formatter};

use visu_tility_core::{MetricKind, Severity, Timestamp, Version};
use visu_tility_drift::{Direction, Level};

use super::paint::{fit, sparkline};
use super::{Paint, TextReport};
use crate::replay::figures::{count, counted, cut, more, number, one_line, short_figures, span, time};
use crate::replay::report::{
    AlarmReport, AlertReport, KindReport, ModelReport, ObserverReport, RetrainReport,
};
use crate::replay::score::Score;

/// Kinds of a model that are shown.
const KINDS_SHOWN: usize = 14;

/// Alarms of an observer that are shown.
const ALARMS_SHOWN: usize = 6;

/// Alarms of an observer of which the times are told.
const ALARMS_BRIEF: usize = 2;

/// Alerts of a model that are shown.
const ALERTS_SHOWN: usize = 12;

impl TextReport<'_> {
    /// Shows one model in full.
    pub(super) fn model(&self, f: &mut Formatter<'_>, model: &ModelReport) -> fmt::Result {
        let id = &model.model_id;
        let versions: Vec<&str> = model.versions.iter().take(6).map(Version::as_str).collect();
        let more = if model.versions.len() > 6 { ", …" } else { "" };
        let word = if model.versions.len() == 1 { "version" } else { "versions" };
        let (events, versions) = (counted(model.events, "event"), versions.join(", "));
        self.heading(f, &format!("{id} · {word} {versions}{more} · {events}"))?;
        if self.report.models.len() > 1 {
            for told in model.unseen.told(&self.report.policy) {
                writeln!(f, "  {}", self.paint.yellow(&cut(&one_line(&told), self.width * 2)))?;
            }
        }
        self.kinds(f, model)?;
        let alerts: Vec<_> = self.report.alerts.iter().filter(|alert| alert.model_id == *id).collect();
        self.alerts(f, &alerts)?;
        let alarms: Vec<_> = self.report.alarms.iter().filter(|alarm| alarm.model_id == *id).collect();
        self.alarms(f, model, &alarms)?;
        self.retrains(f, model)
    }

    /// Shows the drawings of one model, and when each observer spoke.
    pub(super) fn brief_model(&self, f: &mut Formatter<'_>, model: &ModelReport) -> fmt::Result {
        let id = &model.model_id;
        self.heading(f, id.as_str())?;
        self.kinds(f, model)?;
        let loud = |observer: &&ObserverReport| observer.alarms > 0;
        for observer in model.observers.iter().filter(loud) {
            let name = &observer.observer;
            let drifts = counted(observer.alarms - observer.warnings, "drift alarm");
            let mine = self.report.alarms.iter();
            let mine = mine.filter(|a| a.model_id == *id && a.observer == *name && a.level == Level::Drift);
            let times: Vec<String> = mine.take(ALARMS_BRIEF).map(|alarm| time(alarm.ts)).collect();
            let more = if observer.alarms as usize > ALARMS_BRIEF { ", …" } else { "" };
            let alerts = counted(observer.alerts, "alert");
            let line = format!("  {}  {alerts}, {drifts}: {}{more}", fit(name, 24), times.join(", "));
            writeln!(f, "{}", cut(line.trim_end_matches([':', ' ']), self.width))?;
        }
        Ok(())
    }

    fn kinds(&self, f: &mut Formatter<'_>, model: &ModelReport) -> fmt::Result {
        let several = model.versions.len() > 1;
        let label = |kind: &KindReport| {
            if several { format!("{} {}", kind.kind, kind.version) } else { kind.kind.to_string() }
        };
        let shown = || model.kinds.iter().take(KINDS_SHOWN);
        let names = shown().map(|kind| label(kind).chars().count()).max().unwrap_or(0).clamp(8, 28);
        let columns = self.width.saturating_sub(names + 36).clamp(16, 64);
        for kind in shown() {
            let name = fit(&label(kind), names);
            let line = kind
                .plot
                .as_ref()
                .map_or_else(String::new, |plot| sparkline(&plot.columns(columns, model.length)));
            let line = self.paint.blue(&fit(&line, columns));
            writeln!(f, "  {name}  {line}  {}", facts(kind))?;
        }
        self.marks(f, model, names, columns)?;
        let left = model.kinds.len().saturating_sub(KINDS_SHOWN);
        if left > 0 {
            writeln!(f, "  {}", more(left as u64, "kind"))?;
        }
        Ok(())
    }

    /// Lines under the blocks: where drift alarms stand, and where the true drifts are.
    fn marks(&self, f: &mut Formatter<'_>, model: &ModelReport, names: usize, columns: usize) -> fmt::Result {
        let column = |position: u64| {
            let share = position as f64 / model.length.max(1) as f64;
            ((share * columns as f64) as usize).min(columns - 1)
        };
        let mut line = vec![' '; columns];
        let mut any = false;
        let of_model = |alarm: &&AlarmReport| alarm.model_id == model.model_id && alarm.level == Level::Drift;
        for alarm in self.report.alarms.iter().filter(of_model) {
            line.iter_mut().skip(column(alarm.position)).take(1).for_each(|c| *c = '▲');
            any = true;
        }
        if any {
            let line: String = line.iter().collect();
            writeln!(f, "  {}  {}  drift alarms", fit("", names), self.paint.red(&line))?;
        }
        let truth: Vec<(u64, u64)> = match &self.report.score {
            Some(Score::Drifts(score)) => {
                let mine = score.drifts.iter().filter(|drift| drift.model_id == model.model_id.as_str());
                mine.map(|drift| (drift.event, drift.event_end)).collect()
            }
            Some(Score::Changes(score)) => {
                let mine = score.models.iter().filter(|other| other.model_id == model.model_id.as_str());
                mine.flat_map(|other| other.changes.iter().map(|at| (*at, *at))).collect()
            }
            None => Vec::new(),
        };
        if truth.is_empty() {
            return Ok(());
        }
        let mut line = vec![' '; columns];
        for (start, end) in truth {
            let (from, to) = (column(start), column(end));
            line.iter_mut().take(to + 1).skip(from).for_each(|c| *c = '═');
            line.iter_mut().skip(from).take(1).for_each(|c| *c = '┃');
        }
        let line: String = line.iter().collect();
        writeln!(f, "  {}  {}  true drifts", fit("", names), self.paint.green(&line))
    }

    fn alerts(&self, f: &mut Formatter<'_>, alerts: &[&AlertReport]) -> fmt::Result {
        if alerts.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n  {}", self.paint.bold(&counted(alerts.len() as u64, "alert")))?;
        for alert in alerts.iter().take(ALERTS_SHOWN) {
            let life = match alert.resolved {
                Some(resolved) => {
                    let end = time_after(alert.fired, resolved);
                    format!("{} → resolved {end} ({})", time(alert.fired), span(resolved.since(alert.fired)))
                }
                None => format!("{} → still firing", time(alert.fired)),
            };
            let severity = severity(self.paint, alert.severity);
            writeln!(f, "    {severity} {}  {life}", alert.observer)?;
            writeln!(f, "             {}", cut(&short_figures(&one_line(&alert.summary)), self.width - 13))?;
        }
        self.left(f, alerts.len(), ALERTS_SHOWN, "alert")
    }

    fn alarms(&self, f: &mut Formatter<'_>, model: &ModelReport, alarms: &[&AlarmReport]) -> fmt::Result {
        let loud = |observer: &&ObserverReport| observer.alarms + observer.alerts + observer.retrains > 0;
        for observer in model.observers.iter().filter(loud) {
            let ObserverReport { observer: name, alarms: total, warnings, .. } = observer;
            let mut parts = vec![counted(total - warnings, "drift alarm")];
            if *warnings > 0 {
                parts.push(counted(*warnings, "warning"));
            }
            writeln!(f, "\n  {}  {}", self.paint.bold(name), parts.join(", "))?;
            // Drifts before warnings: a screen full of warnings would hide them.
            let of = |level: Level| {
                alarms.iter().filter(move |alarm| alarm.observer == *name && alarm.level == level)
            };
            let mut listed: Vec<_> =
                of(Level::Drift).chain(of(Level::Warning)).take(ALARMS_SHOWN).copied().collect();
            listed.sort_by_key(|alarm| alarm.index);
            self.alarm_rows(f, &listed)?;
            self.left(f, *total as usize, ALARMS_SHOWN, "alarm")?;
        }
        let silent: Vec<&str> = model.observers.iter().filter(|o| !loud(o)).map(|o| &*o.observer).collect();
        if silent.is_empty() {
            return Ok(());
        }
        let text = cut(&format!("silent: {}", silent.join(", ")), self.width - 2);
        writeln!(f, "\n  {}", self.paint.dim(&text))
    }

    /// Shows alarms below one another, each column as wide as its widest cell.
    fn alarm_rows(&self, f: &mut Formatter<'_>, alarms: &[&AlarmReport]) -> fmt::Result {
        let about = |alarm: &AlarmReport| {
            alarm.kind.as_ref().map_or_else(|| "the model".to_owned(), MetricKind::to_string)
        };
        let widest = |of: &dyn Fn(&AlarmReport) -> String| {
            alarms.iter().map(|alarm| of(alarm).chars().count()).max().unwrap_or(0)
        };
        let kinds = widest(&about).min(26);
        let (events, predictions) = (widest(&|a| count(a.index)), widest(&|a| count(a.position)));
        for alarm in alarms {
            let arrow = match alarm.direction {
                Direction::Up => "↑",
                Direction::Down => "↓",
                Direction::Unknown => " ",
            };
            let mark = match alarm.level {
                Level::Drift => self.paint.red("▲"),
                _ => self.paint.yellow("△"),
            };
            let (index, position) = (count(alarm.index), count(alarm.position));
            let place = format!("event {index:>events$}  prediction {position:>predictions$}");
            let (about, ts) = (fit(&about(alarm), kinds), time(alarm.ts));
            let held = format!("{} against {}", number(alarm.statistic), number(alarm.threshold));
            writeln!(f, "    {mark} {about} {arrow}  {place}  {ts}  {}", self.paint.dim(&held))?;
        }
        Ok(())
    }

    fn retrains(&self, f: &mut Formatter<'_>, model: &ModelReport) -> fmt::Result {
        let of_model = |retrain: &&RetrainReport| retrain.model_id == model.model_id;
        let retrains: Vec<_> = self.report.retrains.iter().filter(of_model).collect();
        if retrains.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n  {}", self.paint.bold(&counted(retrains.len() as u64, "retrain request")))?;
        for retrain in retrains.iter().take(ALERTS_SHOWN) {
            let (ts, index) = (time(retrain.ts), count(retrain.index));
            writeln!(f, "    ↻ {ts}  event {index}  {}, priority {}", retrain.observer, retrain.priority)?;
            writeln!(f, "      {}", cut(&short_figures(&one_line(&retrain.reason)), self.width - 6))?;
        }
        self.left(f, retrains.len(), ALERTS_SHOWN, "request")
    }

    /// Says how many of a list are not shown.
    fn left(&self, f: &mut Formatter<'_>, total: usize, shown: usize, noun: &str) -> fmt::Result {
        if total <= shown {
            return Ok(());
        }
        let text = format!(
            "and {} more {noun}{}",
            count((total - shown) as u64),
            if total - shown == 1 { "" } else { "s" }
        );
        writeln!(f, "    {}", self.paint.dim(&text))
    }
}

/// A later time: without its date when that is the same.
fn time_after(from: Timestamp, to: Timestamp) -> String {
    let (from, to) = (time(from), time(to));
    match (from.split_once(' '), to.split_once(' ')) {
        (Some((day, _)), Some((same, clock))) if day == same => clock.to_owned(),
        _ => to,
    }
}

fn severity(paint: Paint, severity: Severity) -> String {
    let text = format!("{:<8}", severity.as_str());
    match severity {
        Severity::Info => paint.dim(&text),
        Severity::Warning => paint.yellow(&text),
        Severity::Critical => paint.red(&text),
    }
}

/// Mean and range of a series.
fn facts(kind: &KindReport) -> String {
    match (kind.mean, kind.min, kind.max) {
        (Some(mean), Some(min), Some(max)) => {
            format!("mean {} from {} to {}", number(mean), number(min), number(max))
        }
        _ => "no value".to_owned(),
    }
}
