//! The proposed plan as TOML: every number with where it comes from.

use std::fmt::Write as _;

use visu_tility_core::{ChangeObserver, Check, MonitorPlan, ObserverError, Rule};

use super::Calibrate;
use super::history::History;
use super::plan::{Decided, Entry};
use super::text::rough;
use crate::replay::{count, counted, number, one_line, time};

/// Width of a line of comment.
const WIDTH: usize = 100;

/// Models that a rule's comment tells of, one by one.
const MODELS_TOLD: usize = 4;

/// Settings that say what every rule of the type does anyway.
const PLAIN: [&str; 8] = [
    "for = \"0s\"",
    "for_count = 1",
    "keep_count = 1",
    "priority = 0",
    "response = \"alert\"",
    "severity = \"warning\"",
    "alert_on = \"bad\"",
    "standardize = false",
];

/// Writes the plan.
pub(crate) fn write(
    options: &Calibrate,
    history: &History,
    entries: &[Entry<'_>],
) -> Result<String, ObserverError> {
    let mut out = String::new();
    head(&mut out, options, history);
    for entry in entries {
        out.push('\n');
        if entry.made_from.is_empty() {
            let said = entry.said.as_deref().unwrap_or("As in the default plan.");
            comment(&mut out, said);
            if unbudgeted(&entry.rule) {
                comment(&mut out, "It keeps to no budget: its run length is its own, or it has none.");
            }
        }
        for one in entry.made_from.iter().take(MODELS_TOLD) {
            reason(&mut out, *one);
        }
        let left = entry.made_from.len().saturating_sub(MODELS_TOLD);
        if left > 0 {
            comment(&mut out, &format!("And {}, alike.", counted(left as u64, "more model")));
        }
        rule(&mut out, entry)?;
    }
    Ok(out)
}

fn head(out: &mut String, options: &Calibrate, history: &History) {
    let files: Vec<&str> = history.files.iter().map(|name| name.rsplit('/').next().unwrap_or(name)).collect();
    comment(out, &format!("Proposed by `visu-tility calibrate` from {}.", one_line(&files.join(", "))));
    let samples = &history.samples;
    if let (Some(first), Some(last)) =
        (samples.iter().map(|one| one.first).min(), samples.iter().map(|one| one.last).max())
    {
        let good = match options.good_until {
            Some(end) => format!("; what came up to {} was taken as good", time(end)),
            None => "; all of it was taken as good".to_owned(),
        };
        let events = counted(history.events, "event");
        comment(out, &format!("{events} from {} to {} UTC{good}.", time(first), time(last)));
    }
    comment(out, "What it fires on events: visu-tility replay EVENTS --plan THIS_FILE");
    let budget = options.false_alarms_per_30_days;
    out.push_str("\n[budget]\n");
    let _ =
        writeln!(out, "false_alarms_per_30_days = {budget:?}  # per model, over all rules without an `arl`");
}

/// Why a kind of a model is watched so.
fn reason(out: &mut String, one: Decided<'_>) {
    let Decided { sample, choice, arl, .. } = one;
    let (mean, spread) = sample.moments();
    let rate = sample
        .values_per_day()
        .map_or_else(|| "at one time".to_owned(), |rate| format!("{} a day", count(rate.round() as u64)));
    let id = &sample.model_id;
    comment(
        out,
        &format!(
            "{id}: {}, {rate}, mean {}, deviation {}.",
            counted(sample.kept.len() as u64, "value"),
            number(mean),
            number(spread)
        ),
    );
    let name = choice.proposal.as_ref().map_or("", |proposal| proposal.params.name());
    comment(out, &format!("{name}: {}.", choice.why));
    if let Some(season) = choice.found_season() {
        comment(out, &format!("Season: {}.", season.told()));
    }
    if one.keep_firing.is_some() {
        let again = "While the level stays bad it fires again and again, as it starts afresh after each alarm: each is \
                     recorded, and all within `keep_firing` of the one before are one alert.";
        comment(out, again);
    }
    if let Some(arl) = arl {
        comment(
            out,
            &format!("At this rate its share of the budget is a false alarm in {} values.", rough(arl)),
        );
    }
}

fn rule(out: &mut String, entry: &Entry<'_>) -> Result<(), ObserverError> {
    let whole = MonitorPlan::empty().with_rule(entry.rule.clone())?.to_toml();
    let own = whole.find("[[rule]]").and_then(|at| whole.get(at..)).unwrap_or_default();
    let change = matches!(entry.rule.check, Check::Change(_));
    for line in own.lines() {
        let plain = PLAIN.contains(&line) || (change && line == "keep_firing = \"1h\"");
        if plain || (!change && line == "keep_firing = \"0s\"") {
            continue;
        }
        out.push_str(line);
        if !entry.made_from.is_empty() {
            out.push_str(note(line, entry));
        }
        out.push('\n');
    }
    Ok(())
}

/// Where a setting of a proposed rule comes from.
fn note(line: &str, entry: &Entry<'_>) -> &'static str {
    let key = line.split(' ').next().unwrap_or_default();
    let kept = entry.made_from.iter().any(|one| one.keep_firing.is_some());
    let standardized = matches!(&entry.rule.check, Check::Change(change) if change.is_budgeted());
    match key {
        "models" => "  # whose history this is",
        "m_pre" => "  # the bound of the good level, not its estimate",
        "delta_lower" => "  # the least change worth a signal: half the bad share, or a sixth of a deviation",
        "keep_firing" if kept => "  # twice the time in which the least change that matters is seen again",
        "seasonal" => "  # each value less the level of its hour, in deviations",
        "batch" => "  # neighbouring values are alike: the detector is given means",
        "standardize" if standardized => "  # values that mean and deviation are learnt from, not watched",
        _ => "",
    }
}

fn unbudgeted(rule: &Rule) -> bool {
    matches!(&rule.check, Check::Change(change) if !ChangeObserver::is_budgeted(change))
}

/// Adds a text as lines of comment.
fn comment(out: &mut String, text: &str) {
    let mut width = usize::MAX;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width == usize::MAX {
            out.push('#');
            width = 1;
        } else if width + 1 + length > WIDTH {
            out.push_str("\n#");
            width = 1;
        }
        out.push(' ');
        // Names may hold anything; a control character would end the comment.
        out.extend(word.chars().map(|c| if c.is_control() { ' ' } else { c }));
        width += 1 + length;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_stays_one() {
        let mut out = String::new();
        comment(&mut out, &format!("a\n[[rule]]\u{7} {}", "word ".repeat(60)));
        assert!(out.lines().count() > 2 && out.lines().all(|line| line.starts_with("# ")), "{out}");
        assert!(out.lines().all(|line| line.chars().count() <= WIDTH));
    }
}
