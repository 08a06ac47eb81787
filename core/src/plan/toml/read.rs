//! The whole text of a plan, made into a plan or into the list of what is wrong.

use std::collections::BTreeMap;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue, Error};

use visu_tility_drift::AnyParams;

use super::super::{EventPolicy, FalseAlarmBudget, Glob, MonitorPlan, Rule, Scope};
use super::check::{self, Files};
use super::key::{self, Group, Key};
use super::problem::{PlanError, Problems};
use super::section::{Section, Settings, may_match, opposite};
use super::value::{one_of, quoted, shorten, shown};
use super::{choice, combination};
use crate::alert::Persistence;
use crate::check::{Check, StalenessObserver};

/// Reads a plan.
pub(super) fn plan(text: &str, files: Files<'_>, empty: bool) -> Result<MonitorPlan, PlanError> {
    let (length, max) = (text.len(), MonitorPlan::TOML_BYTES_MAX);
    if length > max {
        let mut problems = Problems::new("");
        problems.add(0, String::new(), format!("the plan is {length} bytes long, must be at most {max}"));
        return Err(problems.into_error());
    }
    let mut problems = Problems::new(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        syntax(&mut problems, &errors);
        return Err(problems.into_error());
    }
    let plan = read(root.get_ref(), files, empty, &mut problems);
    if problems.is_empty() { Ok(plan) } else { Err(problems.into_error()) }
}

/// Reads the text's tables, which hold a rule unless `empty` allows none; the plan is of no use when a problem was found.
fn read(root: &DeTable<'_>, files: Files<'_>, empty: bool, problems: &mut Problems) -> MonitorPlan {
    let root = Section { table: root, at: 0, path: String::new(), label: String::new() };
    let keys: Vec<&Key> = key::ROOT.iter().collect();
    let settings = root.settings(problems, &keys, |_| None);
    let events = events(&root, problems);
    let budget = budget(&root, problems);
    let list = root.entry("rule").and_then(|(_, value)| value.as_ref().as_array());
    let list = list.map_or(&[][..], |list| list);
    let rules = rules(list, files, problems);
    let defaults = settings.flag("default_rules") == Some(true);
    if problems.is_empty() && rules.is_empty() && !defaults && !empty {
        let text = "a plan without rules watches nothing: add [[rule]] or default_rules = true";
        problems.add(0, String::new(), text.to_owned());
    }
    let start = if defaults { MonitorPlan::default() } else { MonitorPlan::empty() };
    let rules = merge(start.rules, rules);
    let (count, max) = (rules.len().max(list.len()), MonitorPlan::RULES_MAX);
    if count > max {
        let text = format!("the plan has {count} rules, must be at most {max}");
        root.problem(problems, "rule", &text);
    }
    let budget_said = root.entry("budget").is_some();
    MonitorPlan { events, budget, budget_said, rules, observers: Vec::new() }
}

/// Reports what is no TOML: the first problem of each line, for those after it mostly follow from it.
fn syntax(problems: &mut Problems, errors: &[Error]) {
    let mut places: BTreeMap<usize, (usize, &str)> = BTreeMap::new();
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        let first = places.entry(problems.line(at)).or_insert((at, error.message()));
        if at < first.0 {
            *first = (at, error.message());
        }
    }
    for (at, message) in places.into_values() {
        problems.add(at, String::new(), format!("this is no TOML: {}", message.replace('\n', ", ")));
    }
}

/// Rules on top of others: a rule of the same name takes the place of the old one.
fn merge(mut rules: Vec<Rule>, newer: Vec<Rule>) -> Vec<Rule> {
    for rule in newer {
        match rules.iter_mut().find(|old| old.name == rule.name) {
            Some(old) => *old = rule,
            None => rules.push(rule),
        }
    }
    rules
}

/// Reads `[events]`.
fn events(root: &Section<'_>, problems: &mut Problems) -> EventPolicy {
    let Some((at, value)) = root.entry("events") else {
        return EventPolicy::default();
    };
    let Some(table) = value.as_ref().as_table() else {
        return EventPolicy::default();
    };
    let section = Section { table, at, path: "events".to_owned(), label: "events".to_owned() };
    let keys: Vec<&Key> = key::EVENTS.iter().collect();
    let mut settings = section.settings(problems, &keys, |_| None);
    let build = |settings: &Settings| {
        let usual = EventPolicy::default();
        let policy = EventPolicy {
            order: settings.choice("order", choice::ORDER).unwrap_or(usual.order),
            lateness_max: settings.span("lateness_max").unwrap_or(usual.lateness_max),
            back_step_count: settings.count("back_step_count").unwrap_or(usual.back_step_count),
            versions_max: settings.count("versions_max").unwrap_or(usual.versions_max),
            series_max: settings.count("series_max").unwrap_or(usual.series_max),
        };
        MonitorPlan::empty().with_events(policy).map(|plan| plan.events)
    };
    section.build(problems, &mut settings, build).unwrap_or_default()
}

/// Reads `[budget]`.
fn budget(root: &Section<'_>, problems: &mut Problems) -> FalseAlarmBudget {
    let Some((at, value)) = root.entry("budget") else {
        return FalseAlarmBudget::default();
    };
    let Some(table) = value.as_ref().as_table() else {
        return FalseAlarmBudget::default();
    };
    let section = Section { table, at, path: "budget".to_owned(), label: "budget".to_owned() };
    let keys: Vec<&Key> = key::BUDGET.iter().collect();
    let mut settings = section.settings(problems, &keys, |_| None);
    let build = |settings: &Settings| {
        let usual = FalseAlarmBudget::default().false_alarms_per_30_days;
        let false_alarms_per_30_days = settings.number("false_alarms_per_30_days").unwrap_or(usual);
        MonitorPlan::empty()
            .with_budget(FalseAlarmBudget { false_alarms_per_30_days })
            .map(|plan| plan.budget)
    };
    section.build(problems, &mut settings, build).unwrap_or_default()
}

/// Reads the `[[rule]]`s, as many as a plan may have.
fn rules(list: &[Spanned<DeValue<'_>>], files: Files<'_>, problems: &mut Problems) -> Vec<Rule> {
    let mut names = BTreeMap::new();
    let mut rules = Vec::new();
    for (i, value) in list.iter().take(MonitorPlan::RULES_MAX).enumerate() {
        let (at, path) = (value.span().start, format!("rule[{i}]"));
        if let Some(table) = value.as_ref().as_table() {
            let label = rule_label(table, &path);
            let section = Section { table, at, path, label };
            unique(&section, problems, &mut names);
            rules.extend(rule(&section, files, problems));
        } else {
            let text = format!("{path} is {}, must be a table: write [[rule]]", shown(value.as_ref()));
            problems.add(at, path, text);
        }
    }
    rules
}

/// Names a rule in messages: by its name, or by its place when it has none.
fn rule_label(table: &DeTable<'_>, path: &str) -> String {
    match table.get("name").and_then(|name| name.as_ref().as_str()) {
        Some(name) if !name.is_empty() => format!("rule {}", quoted(name)),
        _ => path.to_owned(),
    }
}

/// Reports a name that an earlier rule has.
fn unique<'a>(section: &Section<'a>, problems: &mut Problems, names: &mut BTreeMap<&'a str, usize>) {
    let Some((at, value)) = section.entry("name") else {
        return;
    };
    let Some(name) = value.as_ref().as_str() else {
        return;
    };
    if let Some(line) = names.get(name) {
        let text = format!("`name` is taken already by the rule on line {line}");
        section.problem(problems, "name", &text);
    } else {
        names.insert(name, problems.line(at));
    }
}

/// Reads one rule; `None` when it has a problem that leaves nothing to go on with.
fn rule(section: &Section<'_>, files: Files<'_>, problems: &mut Problems) -> Option<Rule> {
    let word = |name, words: Vec<&'static str>| {
        let text = section.entry(name).and_then(|(_, value)| value.as_ref().as_str());
        words.into_iter().find(|word| Some(*word) == text)
    };
    let type_name = word("type", choice::words(choice::TYPE));
    let detector = word("detector", AnyParams::NAMES.to_vec());
    let groups = key::groups().iter().filter(|group| group.is_of(type_name, detector));
    let keys: Vec<&Key> = key::RULE.iter().chain(groups.flat_map(|group| group.keys)).collect();
    let mut settings = section.settings(problems, &keys, |name| foreign(name, type_name, detector, false));

    section.require(problems, &settings, "name", "every rule has one");
    section.require(
        problems,
        &settings,
        "type",
        &format!("must be {}", one_of(&choice::words(choice::TYPE))),
    );
    if type_name == Some("performance") {
        section.require(problems, &settings, "min_accuracy", "must be a number from 0 to 1");
    }
    if type_name == Some("change") {
        let must = format!("must be {}", one_of(AnyParams::NAMES));
        section.require(problems, &settings, "detector", &must);
    }
    if type_name == Some("combination") {
        settings.set_members(combination::members(section, problems, &settings));
    }
    if type_name == Some("staleness") {
        for name in ["versions", "kinds"] {
            if section.entry(name).is_some() {
                let text = format!("`{name}` says nothing here: staleness is of the model as a whole");
                section.problem(problems, name, &text);
            }
        }
    }
    let name = section.build(problems, &mut settings, |settings| match settings.text("name") {
        Some(name) => {
            let any = Check::Staleness(StalenessObserver::learnt());
            // One that is too long is refused by its beginning, which fits into the message.
            let name = if name.len() > Rule::NAME_MAX { shorten(name) } else { name.to_owned() };
            Rule::new(name, any).map(|rule| Some(rule.name))
        }
        None => Ok(None),
    });
    let type_name = type_name.filter(|name| *name != "change" || detector.is_some())?;
    let check =
        section.build(problems, &mut settings, |settings| check::build(type_name, settings, files))?;
    check_scope(section, &settings, &check, problems);
    // The name was looked at above.
    let rule = Rule::new(name??, check).ok()?;
    Some(with_common(rule, &settings))
}

/// Reports patterns that cannot be meant with this check.
fn check_scope(section: &Section<'_>, settings: &Settings, check: &Check, problems: &mut Problems) {
    for kinds in settings.globs("kinds") {
        let pattern = kinds.as_str();
        let may = |vectors: bool| may_match(pattern, vectors);
        let why = match check {
            Check::Embedding(_) if !may(true) => "which is of numbers: this type watches \"Embedding:NAME\"",
            Check::Embedding(_) | Check::DataQuality(_) | Check::Staleness(_) => continue,
            _ if !may(false) => "which is of vectors: they are watched by type \"embedding\"",
            _ => continue,
        };
        section.problem(problems, "kinds", &format!("`kinds` has {}, {why}", quoted(pattern)));
    }
    let fires = check.fires_towards();
    for kinds in settings.globs("kinds") {
        let Some(kind) = opposite(kinds.as_str(), fires) else { continue };
        let bad = kind.bad_direction().as_str();
        let type_name = check.type_name();
        let text = format!(
            "`kinds` has {}, and {kind} is bad when it goes {bad}: type \"{type_name}\" fires when it goes {}",
            quoted(kinds.as_str()),
            fires.as_str()
        );
        section.problem(problems, "kinds", &text);
    }
    if let Check::Distribution(check) = check
        && let Some(version) = check.reference_version()
        && !Glob::any(&settings.globs("versions"), version.as_str())
    {
        let text =
            format!("`reference_version` is {}, which `versions` leaves out", quoted(version.as_str()));
        section.problem(problems, "reference_version", &text);
    }
}

/// Sets what every rule has; what is not there stays as it is.
fn with_common(rule: Rule, settings: &Settings) -> Rule {
    let usual = rule.persistence;
    Rule {
        scope: Scope {
            models: settings.globs("models"),
            versions: settings.globs("versions"),
            kinds: settings.globs("kinds"),
            fallback: settings.flag("fallback").unwrap_or(false),
        },
        persistence: Persistence {
            for_time: settings.span("for").unwrap_or(usual.for_time),
            for_count: settings.count("for_count").unwrap_or(usual.for_count),
            keep_firing: settings.span("keep_firing").unwrap_or(usual.keep_firing),
            keep_count: settings.count("keep_count").unwrap_or(usual.keep_count),
        },
        severity: settings.choice("severity", choice::SEVERITY).unwrap_or(rule.severity),
        response: settings.choice("response", choice::RESPONSE).unwrap_or(rule.response),
        priority: settings.whole("priority").unwrap_or(rule.priority),
        ..rule
    }
}

/// What is said of a key that rules of another type or detector have.
pub(super) fn foreign(
    name: &str,
    type_name: Option<&str>,
    detector: Option<&str>,
    member: bool,
) -> Option<String> {
    let all = key::groups().iter().filter(|group| group.keys.iter().any(|key| key.name == name));
    // Within a member, what other detectors have is nearer than what rules have.
    let near = |group: &&Group| group.detector.is_some();
    let owners: Vec<&Group> = if all.clone().any(|group| member && near(&group)) {
        all.filter(near).collect()
    } else {
        all.collect()
    };
    let labels: Vec<String> = owners.iter().map(|group| group.label()).collect();
    let (last, rest) = labels.split_last()?;
    let owners = match rest {
        [] => last.clone(),
        [first, _, _, ..] => format!("{first} and {} others", rest.len()),
        rest => format!("{} and {last}", rest.join(", ")),
    };
    let own = match (type_name, detector) {
        (Some("change"), Some(detector)) => format!("detector \"{detector}\""),
        (type_name, _) => format!("type \"{}\"", type_name.unwrap_or_default()),
    };
    Some(format!("`{name}` is a key of {owners}, not of {own}"))
}
