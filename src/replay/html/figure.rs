//! One drawing for each kind of a model: the series, its moving average, limits, alarms and true drifts.

use std::fmt::{self, Formatter, Write as _};

use visu_tility_core::MetricKind;
use visu_tility_drift::Level;

use super::HtmlReport;
use super::escape::Safe;
use super::scale::{LEFT, RIGHT, Scale, WIDTH};
use crate::replay::figures::{count, cut, number, short_figures, time};
use crate::replay::plot::Plot;
use crate::replay::report::{AlarmReport, KindReport, ModelReport};
use crate::replay::score::Score;

/// Kinds of a model that are drawn.
const KINDS_DRAWN: usize = 16;

/// Height of one row of alarms, of which every observer has its own.
const LANE: f64 = 13.0;

/// Height of the part with the series.
const PANE: f64 = 130.0;

/// One kind with all its versions.
struct Drawing<'a> {
    kind: &'a MetricKind,
    versions: Vec<&'a KindReport>,
    /// Names and alarms of the observers that said something.
    lanes: Vec<(&'a str, Vec<&'a AlarmReport>)>,
    top: f64,
    x: Scale,
    y: Scale,
}

impl Drawing<'_> {
    fn bottom(&self) -> f64 {
        self.top + PANE
    }
}

impl HtmlReport<'_> {
    /// Draws the kinds of a model.
    pub(super) fn figures(&self, f: &mut Formatter<'_>, model: &ModelReport) -> fmt::Result {
        let mut kinds: Vec<&MetricKind> = Vec::new();
        for kind in &model.kinds {
            if !kinds.contains(&&kind.kind) {
                kinds.push(&kind.kind);
            }
        }
        for (at, kind) in kinds.iter().take(KINDS_DRAWN).enumerate() {
            let versions: Vec<_> = model.kinds.iter().filter(|series| series.kind == **kind).collect();
            // Alarms about the model as a whole stand on its first drawing.
            let about = |alarm: &&AlarmReport| match &alarm.kind {
                Some(other) => other == *kind,
                None => at == 0,
            };
            let alarms: Vec<_> = self.alarms_of(model).iter().copied().filter(about).collect();
            self.figure(f, model, kind, versions, &alarms)?;
        }
        let left = kinds.len().saturating_sub(KINDS_DRAWN);
        if left > 0 {
            writeln!(f, "<p class=\"note\">{left} more kinds are not drawn.</p>")?;
        }
        Ok(())
    }

    fn figure(
        &self,
        f: &mut Formatter<'_>,
        model: &ModelReport,
        kind: &MetricKind,
        versions: Vec<&KindReport>,
        alarms: &[&AlarmReport],
    ) -> fmt::Result {
        let mut lanes: Vec<(&str, Vec<&AlarmReport>)> = Vec::new();
        for alarm in alarms {
            match lanes.iter_mut().find(|(name, _)| *name == &*alarm.observer) {
                Some((_, lane)) => lane.push(alarm),
                None => lanes.push((&alarm.observer, vec![alarm])),
            }
        }
        let top = 6.0 + LANE * lanes.len() as f64;
        let x = Scale::new((0.0, model.length.max(1) as f64), (LEFT, RIGHT));
        let y = Scale::new(value_range(&versions), (top + PANE, top));
        let drawing = Drawing { kind, versions, lanes, top, x, y };
        caption(f, &drawing)?;
        if drawing.versions.iter().all(|series| series.plot.is_none()) {
            return f.write_str("<p class=\"note\">not drawn: too many series</p>\n");
        }
        let height = drawing.bottom() + 20.0;
        write!(f, "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"")?;
        writeln!(f, "{} over {} predictions\">", Safe(&kind.to_string()), model.length)?;
        self.background(f, model, &drawing)?;
        axes(f, &drawing)?;
        for (at, series) in drawing.versions.iter().enumerate() {
            if let Some(plot) = &series.plot {
                write!(f, "<g class=\"v{}\">", at % 4)?;
                curve(f, &drawing, plot, series.kind != MetricKind::Correct)?;
                f.write_str("</g>\n")?;
            }
        }
        limits(f, &drawing)?;
        self.lanes(f, &drawing)?;
        f.write_str("</svg>\n")
    }

    /// True drifts and the lives of alerts.
    fn background(&self, f: &mut Formatter<'_>, model: &ModelReport, drawing: &Drawing<'_>) -> fmt::Result {
        let (top, height) = (drawing.top, PANE);
        for alert in self.alerts_of(model).iter().filter(|alert| alert.kind.as_ref() == Some(drawing.kind)) {
            let from = drawing.x.at(alert.position as f64);
            let to = drawing.x.at(alert.resolved_position.unwrap_or(model.length) as f64);
            let width = (to - from).max(1.0);
            write!(
                f,
                "<rect class=\"alert\" x=\"{from:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{height}\">"
            )?;
            writeln!(f, "<title>{}</title></rect>", Safe(&short_figures(&alert.summary)))?;
        }
        for (start, end, what) in self.truth(model) {
            let (from, to, bottom) = (drawing.x.at(start as f64), drawing.x.at(end as f64), drawing.bottom());
            if end > start {
                let width = to - from;
                writeln!(
                    f,
                    "<rect class=\"span\" x=\"{from:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{height}\"/>"
                )?;
            }
            write!(f, "<line class=\"truth\" x1=\"{from:.1}\" x2=\"{from:.1}\" y1=\"0\" y2=\"{bottom}\">")?;
            writeln!(f, "<title>true drift at {}: {}</title></line>", count(start), Safe(what))?;
        }
        Ok(())
    }

    /// The true drifts of a model: start, end, what happened.
    fn truth(&self, model: &ModelReport) -> Vec<(u64, u64, &str)> {
        let name = model.model_id.as_str();
        match &self.report.score {
            Some(Score::Drifts(score)) => {
                let mine = score.drifts.iter().filter(|drift| drift.model_id == name);
                mine.map(|drift| (drift.event, drift.event_end, &*drift.what)).collect()
            }
            Some(Score::Changes(score)) => {
                let mine = score.models.iter().filter(|other| other.model_id == name);
                mine.flat_map(|other| other.changes.iter().map(|at| (*at, *at, "labelled change"))).collect()
            }
            None => Vec::new(),
        }
    }

    /// One row of marks for each observer; at most one mark a pixel.
    fn lanes(&self, f: &mut Formatter<'_>, drawing: &Drawing<'_>) -> fmt::Result {
        for (at, (name, alarms)) in drawing.lanes.iter().enumerate() {
            let colour = self.colours.get(name).copied().unwrap_or(0);
            let base = 4.0 + LANE * at as f64;
            let mut last = None;
            writeln!(f, "<g class=\"o{colour}\">")?;
            for alarm in alarms {
                let x = drawing.x.at(alarm.position as f64);
                let pixel = (x as i64, alarm.level);
                if last.replace(pixel) == Some(pixel) {
                    continue;
                }
                let (left, right, foot) = (x - 4.0, x + 4.0, base + 8.0);
                let class = if alarm.level == Level::Drift { "" } else { " class=\"warning\"" };
                write!(f, "<path{class} d=\"M{x:.1} {foot:.1}L{left:.1} {base:.1}H{right:.1}Z\"><title>")?;
                let (level, position, ts) = (alarm.level.as_str(), count(alarm.position), time(alarm.ts));
                writeln!(f, "{}: {level} at prediction {position}, {ts}</title></path>", Safe(name))?;
            }
            writeln!(f, "<text x=\"0\" y=\"{:.1}\">{}</text></g>", base + 8.0, Safe(&short(name)))?;
        }
        Ok(())
    }
}

/// The kind, what came of it, and who watches it.
fn caption(f: &mut Formatter<'_>, drawing: &Drawing<'_>) -> fmt::Result {
    let mut facts = Vec::new();
    for series in &drawing.versions {
        let mut fact = format!("version {}: {} events", series.version, count(series.events));
        if let (Some(mean), Some(min), Some(max)) = (series.mean, series.min, series.max) {
            let _ = write!(fact, ", mean {} from {} to {}", number(mean), number(min), number(max));
        }
        facts.push(fact);
    }
    let watchers: Vec<&str> = match drawing.versions.first() {
        Some(series) => series.watched_by.iter().map(|name| &**name).collect(),
        None => Vec::new(),
    };
    let watched = if watchers.is_empty() { "nobody".to_owned() } else { watchers.join(", ") };
    let (facts, kind) = (facts.join("; "), drawing.kind.to_string());
    writeln!(f, "<h3>{} <small>{} · watched by {}</small></h3>", Safe(&kind), Safe(&facts), Safe(&watched))
}

/// A name that fits beside the rows of marks.
fn short(name: &str) -> String {
    cut(name, 20)
}

/// The range of what is drawn: means, moving averages and limits, with some air.
fn value_range(versions: &[&KindReport]) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut take = |value: f64| (low, high) = (low.min(value), high.max(value));
    for series in versions {
        for bucket in series.plot.iter().flat_map(|plot| plot.buckets()).filter(|bucket| bucket.count > 0) {
            take(bucket.ema);
            bucket.mean().into_iter().for_each(&mut take);
        }
        series.thresholds.iter().for_each(|(_, limit)| take(*limit));
    }
    if low > high {
        return (0.0, 1.0);
    }
    let air = if high > low { high * 0.08 - low * 0.08 } else { high.abs().max(1.0) * 0.1 };
    ((low - air).max(f64::MIN), (high + air).min(f64::MAX))
}

fn axes(f: &mut Formatter<'_>, drawing: &Drawing<'_>) -> fmt::Result {
    let bottom = drawing.bottom();
    for tick in drawing.y.ticks(4) {
        let (y, text) = (drawing.y.at(tick), number(tick));
        write!(f, "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>")?;
        writeln!(f, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 6.0, y + 4.0)?;
    }
    for tick in drawing.x.ticks(8) {
        let (x, text) = (drawing.x.at(tick), count(tick as u64));
        let foot = bottom + 16.0;
        writeln!(f, "<text x=\"{x:.1}\" y=\"{foot:.1}\" text-anchor=\"middle\">{text}</text>")?;
    }
    writeln!(f, "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{bottom}\" y2=\"{bottom}\"/>")
}

/// The band from the least to the greatest, the mean and the moving average.
fn curve(f: &mut Formatter<'_>, drawing: &Drawing<'_>, plot: &Plot, banded: bool) -> fmt::Result {
    let (mut upper, mut lower, mut mean, mut ema) = (Vec::new(), Vec::new(), String::new(), String::new());
    for (at, bucket) in plot.buckets().iter().enumerate() {
        let Some(middle) = bucket.mean() else { continue };
        let x = drawing.x.at((at as f64 + 0.5) * plot.width() as f64);
        let pen = if mean.is_empty() { 'M' } else { 'L' };
        let _ = write!(mean, "{pen}{x:.1} {:.1}", drawing.y.at(middle));
        let _ = write!(ema, "{pen}{x:.1} {:.1}", drawing.y.at(bucket.ema));
        upper.push((x, drawing.y.at(bucket.max)));
        lower.push((x, drawing.y.at(bucket.min)));
    }
    let mut band = String::new();
    for (x, y) in upper.into_iter().chain(lower.into_iter().rev()) {
        let _ = write!(band, "{}{x:.1} {y:.1}", if band.is_empty() { 'M' } else { 'L' });
    }
    let smoothing = plot.smoothing();
    // A band from 0 to 1 says nothing of values that are 0 or 1.
    if banded && plot.width() > 1 {
        writeln!(f, "<path class=\"band\" d=\"{band}Z\"/>")?;
    }
    writeln!(f, "<path class=\"mean\" d=\"{mean}\"/>")?;
    writeln!(f, "<path class=\"ema\" d=\"{ema}\"><title>moving average, smoothing {smoothing}</title></path>")
}

/// Limits that the values are held against.
fn limits(f: &mut Formatter<'_>, drawing: &Drawing<'_>) -> fmt::Result {
    let mut known: Vec<&(std::sync::Arc<str>, f64)> = Vec::new();
    for limit in drawing.versions.iter().flat_map(|series| &series.thresholds) {
        if !known.contains(&limit) {
            known.push(limit);
        }
    }
    for (name, limit) in known {
        let (y, limit) = (drawing.y.at(*limit), number(*limit));
        write!(f, "<line class=\"limit\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\">")?;
        writeln!(f, "<title>{}: limit {limit}</title></line>", Safe(name))?;
        let foot = y - 4.0;
        writeln!(f, "<text x=\"{RIGHT}\" y=\"{foot:.1}\" text-anchor=\"end\">{} {limit}</text>", Safe(name))?;
    }
    Ok(())
}
