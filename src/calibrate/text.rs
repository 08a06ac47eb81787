//! A calibration as text for a person at a terminal.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use visu_tility_core::ValueRange;
use visu_tility_drift::calibration::RunLength;

use super::choice::Watch;
use super::delay::PredictedDelay;
use super::report::{Calibration, KindCalibration};
use crate::replay::{TextReport, count, counted, cut, number, one_line, span, time};

/// Models that are shown.
const MODELS_SHOWN: usize = 10;

/// Shows a calibration as text.
#[derive(Clone, Copy, Debug)]
pub struct CalibrationText<'a> {
    calibration: &'a Calibration,
    width: usize,
    colour: bool,
}

impl<'a> CalibrationText<'a> {
    /// Shows a calibration 100 characters wide, without colours.
    pub fn new(calibration: &'a Calibration) -> Self {
        Self { calibration, width: 100, colour: false }
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
        self.colour = colour;
        self
    }

    fn head(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let one = self.calibration;
        let files: Vec<&str> = one.files.iter().map(|f| f.rsplit('/').next().unwrap_or(f)).collect();
        let title = one_line(&format!("Calibration from {}", files.join(", ")));
        writeln!(f, "{}", cut(&title, self.width))?;
        let budget = counted_alarms(one.false_alarms_per_30_days);
        let good = match one.good_until {
            Some(end) => format!("good up to {}", time(end)),
            None => "all of it taken as good".to_owned(),
        };
        let events = counted(one.events, "event");
        writeln!(f, "{events}, {good} · budget: {budget} · seed {}", one.seed)
    }

    fn kind(&self, f: &mut Formatter<'_>, kind: &KindCalibration) -> fmt::Result {
        let name = format!("  {:<18} ", cut(&kind.kind.to_string(), 40));
        let indent = name.chars().count().min(21);
        let lines = wrapped(&facts(kind), self.width.saturating_sub(name.chars().count()));
        for (at, line) in lines.iter().enumerate() {
            writeln!(f, "{:<indent$}{line}", if at == 0 { &*name } else { "" })?;
        }
        let wide = self.width.saturating_sub(4);
        let season = kind.season.map_or_else(String::new, |season| format!("season: {}", season.told()));
        for line in [watch(kind), season, delays(kind)].iter().flat_map(|text| wrapped(text, wide)) {
            writeln!(f, "    {line}")?;
        }
        Ok(())
    }

    /// A note or a warning, a line above it.
    fn told(&self, f: &mut Formatter<'_>, word: &str, text: &str) -> fmt::Result {
        f.write_str("\n")?;
        for (at, line) in wrapped(text, self.width.saturating_sub(word.len())).iter().enumerate() {
            writeln!(f, "{:<wide$}{line}", if at == 0 { word } else { "" }, wide = word.len())?;
        }
        Ok(())
    }

    fn models(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut ids: Vec<_> = self.calibration.kinds.iter().map(|kind| &kind.model_id).collect();
        ids.dedup();
        for id in ids.iter().take(MODELS_SHOWN) {
            let text = cut(id.as_str(), self.width.saturating_sub(4));
            let rule = "─".repeat(self.width.saturating_sub(text.chars().count() + 1));
            writeln!(f, "\n{text} {rule}")?;
            for kind in self.calibration.kinds.iter().filter(|kind| kind.model_id == **id) {
                self.kind(f, kind)?;
            }
        }
        let left = ids.len().saturating_sub(MODELS_SHOWN);
        if left > 0 {
            writeln!(f, "\nand {} (--format json has all of them)", counted(left as u64, "further model"))?;
        }
        Ok(())
    }
}

impl Display for CalibrationText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.models(f)?;
        if let Some(report) = &self.calibration.replay {
            let rule = "─".repeat(self.width.saturating_sub(36));
            writeln!(f, "\nWhat this plan would have fired {rule}")?;
            TextReport::new(report).width(self.width).colour(self.colour).brief(f, MODELS_SHOWN)?;
        }
        let warnings = self.calibration.warnings();
        warnings.iter().try_for_each(|warning| self.told(f, "warning: ", warning))?;
        self.calibration.notes.iter().try_for_each(|note| self.told(f, "note: ", note))
    }
}

/// The budget in words.
pub(super) fn counted_alarms(budget: f64) -> String {
    format!("{} per model and 30 days", false_alarms_of(budget))
}

fn false_alarms_of(budget: f64) -> String {
    let plural = if budget == 1.0 { "" } else { "s" };
    format!("{} false alarm{plural}", number(budget))
}

/// Numbers of a kind.
pub(super) fn facts(kind: &KindCalibration) -> String {
    let what = if kind.kind.range() == ValueRange::Vector { "vector" } else { "value" };
    let mut facts = vec![counted(kind.values, what)];
    if let Some(rate) = kind.values_per_day {
        facts.push(format!("{} a day", rough(rate)));
    }
    if kind.missing() > 0 {
        facts.push(format!("{} missing", count(kind.missing())));
    }
    if kind.used < kind.values && kind.kind.range() != ValueRange::Vector {
        facts.push(format!("{} used", count(kind.used)));
    }
    if let Some(mean) = kind.mean {
        facts.push(format!("mean {}", number(mean)));
    }
    if let Some(deviation) = kind.deviation {
        facts.push(format!("deviation {}", number(deviation)));
    }
    if kind.batch_length > 1 {
        facts.push(format!(
            "neighbours alike over {}: batches of {}",
            rough(kind.autocorrelation_time),
            count(kind.batch_length)
        ));
    }
    facts.join(" · ")
}

/// Who watches, with which run length, and why.
pub(super) fn watch(kind: &KindCalibration) -> String {
    let rule = kind.rule.as_deref().unwrap_or("-");
    let detector = kind.detector.unwrap_or("-");
    let what = if kind.kind.range() == ValueRange::Vector { "vectors" } else { "values" };
    let each = match kind.versions_at_work {
        0 | 1 => String::new(),
        versions => format!(" over {}", counted(versions, "version")),
    };
    let one = if each.is_empty() { "" } else { " of one" };
    match (kind.watch, kind.arl, kind.budget) {
        (Watch::Proposed, Some(arl), Some(budget)) => {
            let (share, arl) = (false_alarms_of(budget), rough(arl));
            let why = &kind.why;
            format!("{rule}: {detector}, {share} in 30 days{each}, at most one in {arl} values{one}: {why}")
        }
        (Watch::Default, Some(arl), Some(budget)) => {
            let (share, arl, why) = (false_alarms_of(budget), rough(arl), &kind.why);
            let kept = format!("{rule} ({detector}) of the default plan is kept: {why}");
            let held = if kind.batch_length > 1 && kind.batch_given == 1 {
                ", if neighbours were not alike"
            } else {
                ""
            };
            format!("{kept}; {share} in 30 days{each}, at most one in {arl} {what}{one}{held}")
        }
        (Watch::Nobody, ..) => kind.why.clone(),
        _ => {
            let why = &kind.why;
            let alarms = kind.run_length.map_or_else(String::new, false_alarms);
            format!("{rule} ({detector}) of the default plan is kept: {why}. It keeps to no budget{alarms}")
        }
    }
}

/// How many false alarms a rule without a budget gives.
fn false_alarms(found: RunLength) -> String {
    match found.mean() {
        Some(mean) => format!(": a false alarm in about {} values, simulated", rough(mean)),
        None => format!(": no false alarm in {} simulated values", rough(found.values)),
    }
}

/// How soon changes are seen, in a sentence each.
pub(super) fn delays(kind: &KindCalibration) -> String {
    if kind.delays_left_out {
        return "delays are predicted for the first 64 kinds only".to_owned();
    }
    kind.delays.iter().map(delay).collect::<Vec<_>>().join("; ")
}

/// How soon one change is seen.
pub(super) fn delay(delay: &PredictedDelay) -> String {
    let (from, to) = (number(delay.from), number(delay.to));
    let way = if delay.to < delay.from { "drop" } else { "rise" };
    let change = format!("a {way} from {from} to {to}");
    if delay.runs == 0 {
        return format!("{change}: nothing to tell, false alarms come first");
    }
    let (cap, runs, found) = (count(delay.cap), delay.runs, delay.runs - delay.missed);
    let time = delay.seconds.map_or_else(String::new, |s| {
        format!(" ({})", span(Duration::try_from_secs_f64(s).unwrap_or(Duration::MAX)))
    });
    let seen = match delay.values {
        Some(values) if delay.missed == 0 => format!("is seen after about {} values{time}", rough(values)),
        Some(values) => format!(
            "is seen after about {} values{time}, within {cap} in {found} of {} only",
            rough(values),
            counted(runs, "stream")
        ),
        None if found == 0 => format!("is not seen within {cap} values"),
        None => format!("is seen within {cap} values in {found} of {} only", counted(runs, "stream")),
    };
    let early = match delay.early {
        0 => String::new(),
        early => format!(" (left out: {} with a false alarm before it)", counted(early, "stream")),
    };
    format!("{change} {seen}{early}")
}

/// A large number in three digits, a small one in two.
pub(super) fn rough(value: f64) -> String {
    if value < 10.0 {
        return number((value * 10.0).round() / 10.0);
    }
    let digits = if value < 1_000.0 { 2 } else { 3 };
    let step = 10_f64.powi(value.log10().floor() as i32 - digits + 1);
    let rounded = (value / step).round() * step;
    if rounded < 1e13 { count(rounded.round() as u64) } else { format!("{rounded:.1e}") }
}

/// Breaks a text into lines.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = one_line(word);
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_rough_as_they_are_sure() {
        assert_eq!([2.34, 10.4, 213.0, 999.6, 43_212.0].map(rough), ["2.3", "10", "210", "1,000", "43,200"]);
        assert_eq!(rough(1e15), "1.0e15");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("ab cd ef", 5), ["ab cd", "ef"]);
        assert!(wrapped("", 5).is_empty());
    }

    #[test]
    fn a_delay_is_a_sentence() {
        let mut one = PredictedDelay {
            from: 0.95,
            to: 0.9,
            values: Some(213.0),
            seconds: Some(10_650.0),
            mean: None,
            standard_error: None,
            runs: 100,
            missed: 0,
            early: 0,
            cap: 10_000,
        };
        assert_eq!(delay(&one), "a drop from 0.95 to 0.9 is seen after about 210 values (2h 57m)");
        (one.missed, one.seconds) = (3, None);
        assert!(
            delay(&one).ends_with("is seen after about 210 values, within 10,000 in 97 of 100 streams only")
        );
        (one.missed, one.values, one.early) = (60, None, 1);
        assert!(delay(&one).ends_with(
            "is seen within 10,000 values in 40 of 100 streams only (left out: 1 stream with a false alarm before it)"
        ));
        (one.missed, one.early) = (100, 0);
        assert!(delay(&one).ends_with("is not seen within 10,000 values"));
        (one.runs, one.missed) = (0, 0);
        assert!(delay(&one).ends_with("false alarms come first"));
    }
}
