//! One table of a plan, read key by key.

use std::collections::BTreeMap;
use std::time::Duration;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};
use visu_tility_drift::Direction;

use super::super::Glob;
use super::choice::{self, Choices};
use super::combination::Member;
use super::key::Key;
use super::problem::Problems;
use super::value::{Setting, Shape, plain, quoted, shown};
use crate::error::{EventError, ObserverError, offence};
use crate::id::{ModelId, Version};
use crate::kind::MetricKind;
use crate::nearest::nearest;

/// A table with its place in the text.
pub(super) struct Section<'a> {
    /// The table.
    pub table: &'a DeTable<'a>,
    /// Where it begins, in bytes.
    pub at: usize,
    /// What stands before its keys in a path; empty for the text itself.
    pub path: String,
    /// What stands before its problems; empty for the text itself.
    pub label: String,
}

impl<'a> Section<'a> {
    /// A key's value and where the key stands.
    pub fn entry(&self, name: &str) -> Option<(usize, &'a Spanned<DeValue<'a>>)> {
        let (key, value) = self.table.get_key_value(name)?;
        Some((key.span().start, value))
    }

    /// Reports what is wrong with a key, at the key's place or, where it is missing, at the table's.
    pub fn problem(&self, problems: &mut Problems, name: &str, text: &str) {
        let at = self.entry(name).map_or(self.at, |(at, _)| at);
        self.problem_at(problems, at, &plain(name), text);
    }

    fn problem_at(&self, problems: &mut Problems, at: usize, name: &str, text: &str) {
        let dot = if self.path.is_empty() || name.is_empty() { "" } else { "." };
        let colon = if self.label.is_empty() { "" } else { ": " };
        problems.add(at, format!("{}{dot}{name}", self.path), format!("{}{colon}{text}", self.label));
    }

    /// Reads all keys by their shapes; `foreign` says what to tell of one that is not among them but known
    /// elsewhere.
    pub fn settings(
        &self,
        problems: &mut Problems,
        keys: &[&'static Key],
        foreign: impl Fn(&str) -> Option<String>,
    ) -> Settings {
        let mut settings = Settings::default();
        for (name, value) in self.table {
            let name: &str = name.as_ref();
            let Some(key) = keys.iter().find(|key| key.name == name) else {
                let text = foreign(name).unwrap_or_else(|| {
                    let (text, meant) = unknown(name, value.as_ref(), keys);
                    settings.meant.extend(meant);
                    text
                });
                self.problem(problems, name, &text);
                continue;
            };
            match key.shape.read(value.as_ref()) {
                Ok(Some(setting)) => {
                    settings.values.insert(key.name, setting);
                }
                Ok(None) => {}
                Err(must) => {
                    let text = format!("`{name}` is {}, {must}", shown(value.as_ref()));
                    self.problem(problems, name, &text);
                    settings.bad.push(key.name);
                }
            }
            if matches!(key.shape, Shape::Globs) {
                let globs = self.globs(problems, key.name, value);
                settings.globs.insert(key.name, globs);
            }
        }
        settings
    }

    /// Reports a key that must be there and is not, not even mistyped.
    pub fn require(&self, problems: &mut Problems, settings: &Settings, name: &str, must: &str) {
        if self.entry(name).is_none() && !settings.meant.contains(&name) {
            self.problem(problems, name, &format!("`{name}` is missing, {must}"));
        }
    }

    /// Builds something of the settings; each key that the error names is reported and left out, and it
    /// is tried again, so that every problem is found.
    pub fn build<T>(
        &self,
        problems: &mut Problems,
        settings: &mut Settings,
        build: impl Fn(&Settings) -> Result<T, ObserverError>,
    ) -> Option<T> {
        loop {
            let text = match build(settings) {
                Ok(built) => return Some(built),
                Err(ObserverError::Config(text)) => text,
                Err(other) => other.to_string(),
            };
            let mut named = text.split('`').skip(1).step_by(2);
            let Some(key) = named.find_map(|name| settings.key(name)) else {
                self.problem_at(problems, self.at, "", &text);
                return None;
            };
            self.problem(problems, key, &worded(&text, key, settings));
            settings.refuse(key);
        }
    }

    /// Reads a pattern or a list of patterns.
    fn globs(&self, problems: &mut Problems, name: &'static str, value: &Spanned<DeValue<'a>>) -> Vec<Glob> {
        let (list, is_list) = match value.as_ref() {
            DeValue::Array(list) => (list.iter().collect::<Vec<_>>(), true),
            _ => (vec![value], false),
        };
        if list.is_empty() {
            self.problem(problems, name, &format!("`{name}` is an empty list, leave it out for all"));
        }
        let mut globs = Vec::new();
        for (i, item) in list.into_iter().enumerate() {
            let glob = match item.as_ref() {
                DeValue::String(pattern) => checked_glob(name, pattern),
                other => Err(format!("`{name}` has {}, must be a text or a list of texts", shown(other))),
            };
            let path = if is_list { format!("{name}[{i}]") } else { name.to_owned() };
            match glob {
                Ok(glob) => globs.push(glob),
                Err(text) => self.problem_at(problems, item.span().start, &path, &text),
            }
        }
        globs
    }
}

/// Gives a word that was refused as the plan has it: a detector knows it by a number.
fn worded(text: &str, key: &str, settings: &Settings) -> String {
    let head = format!("`{key}` is ");
    let rest = text.strip_prefix(&head).and_then(|rest| rest.split_once(", "));
    match (settings.word(key), rest) {
        (Some(word), Some((number, must))) if number.parse::<f64>().is_ok() => {
            format!("{head}\"{word}\", {must}")
        }
        _ => text.to_owned(),
    }
}

/// What is said of a key that is none, and the key that it was probably meant to be.
fn unknown(name: &str, value: &DeValue<'_>, keys: &[&'static Key]) -> (String, Option<&'static str>) {
    let is_table = match value {
        DeValue::Array(list) => list.iter().any(|item| item.as_ref().is_table()),
        value => value.is_table(),
    };
    let what = if is_table { "table" } else { "key" };
    let name = plain(name);
    let near = nearest(&name, keys.iter().map(|key| key.name));
    let hint = if let Some(near) = near {
        format!("did you mean `{near}`?")
    } else {
        let known: Vec<String> = keys.iter().map(|key| format!("`{}`", key.name)).collect();
        format!("known are {}", known.join(", "))
    };
    (format!("unknown {what} `{name}`, {hint}"), near)
}

/// Says whether a text may be a name.
type NameCheck = fn(&str) -> Result<(), EventError>;

/// A pattern that can match something, or what is wrong with it.
fn checked_glob(name: &str, pattern: &str) -> Result<Glob, String> {
    if name == "kinds" {
        check_kinds(pattern)?;
    } else if pattern.is_empty() {
        return Err(format!("`{name}` has an empty pattern, leave it out for all"));
    }
    let (check_part, may_hold): (NameCheck, fn(char) -> bool) = match name {
        "models" => (|part| ModelId::new(part).map(drop), ModelId::may_hold),
        "versions" => (|part| Version::new(part).map(drop), Version::may_hold),
        _ => return Ok(Glob::new(pattern)),
    };
    // Each part between the wildcards must be of what a name may hold.
    let mut parts = pattern.split(['*', '?']).filter(|part| !part.is_empty());
    parts.try_for_each(check_part).map_err(|e| {
        let offence = offence(pattern, |c| "*?".contains(c) || may_hold(c));
        format!("`{name}` has {}, which matches nothing: {}{offence}", quoted(pattern), e.allowed())
    })?;
    Ok(Glob::new(pattern))
}

/// Is true when a kind of vectors, or one of numbers, may be of this pattern.
pub(super) fn may_match(pattern: &str, vectors: bool) -> bool {
    let of = |family: &&str| (*family == "Embedding") == vectors;
    let glob = Glob::new(pattern);
    if MetricKind::PLAIN.iter().map(MetricKind::family).filter(of).any(|family| glob.matches(family)) {
        return true;
    }
    let (head, is_wild) = glob.head();
    let named = MetricKind::NAMED.into_iter().filter(of).map(|family| format!("{family}:"));
    named.into_iter().any(|family| head.starts_with(&family) || (is_wild && family.starts_with(&head)))
}

/// The kind that a pattern is of when all that it may match are bad only in the direction opposite to `fires`.
pub(super) fn opposite(pattern: &str, fires: Direction) -> Option<MetricKind> {
    let glob = Glob::new(pattern);
    let (head, is_wild) = glob.head();
    // Of what has a name of its own the bad direction is not known.
    let named = MetricKind::NAMED
        .iter()
        .any(|family| head.starts_with(&format!("{family}:")) || (is_wild && family.starts_with(&head)));
    let mut matched = MetricKind::PLAIN.into_iter().filter(|kind| glob.matches(kind.family()));
    let first = matched.next()?;
    let away = |kind: &MetricKind| fires != Direction::Unknown && kind.bad_direction() != fires;
    (!named && away(&first) && matched.all(|kind| away(&kind))).then_some(first)
}

/// Refuses a pattern of kinds that no kind is of.
fn check_kinds(pattern: &str) -> Result<(), String> {
    let fault = |what: &str| Err(format!("`kinds` has {}, {what}, {}", quoted(pattern), kind_hint(pattern)));
    let families = MetricKind::NAMED.map(|family| format!("{family}:"));
    let (head, is_wild) = Glob::new(pattern).head();
    if is_wild {
        if may_match(pattern, true) || may_match(pattern, false) {
            return Ok(());
        }
        return fault("which no kind is of");
    }
    match head.parse::<MetricKind>() {
        Ok(_) => Ok(()),
        // The family is right and the name is not.
        Err(error) if families.iter().any(|family| pattern.starts_with(family.as_str())) => {
            Err(format!("`kinds` has {}, must be {}", quoted(pattern), error.allowed()))
        }
        Err(_) => fault("which is no kind"),
    }
}

/// The kind that a pattern was probably meant to be, or all there are.
fn kind_hint(pattern: &str) -> String {
    let named = pattern.split_once(':');
    let near = match named {
        Some((family, name)) => {
            nearest(family, MetricKind::NAMED).map(|family| format!("{family}:{}", plain(name)))
        }
        None => nearest(pattern, MetricKind::PLAIN.iter().map(MetricKind::family)).map(str::to_owned),
    };
    if let Some(near) = near {
        return format!("did you mean \"{near}\"?");
    }
    let known: Vec<&str> = MetricKind::PLAIN.iter().map(MetricKind::family).collect();
    format!("known are {}, Feature:NAME, Custom:NAME, Embedding:NAME", known.join(", "))
}

/// What was read of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    values: BTreeMap<&'static str, Setting>,
    globs: BTreeMap<&'static str, Vec<Glob>>,
    members: Vec<Member>,
    /// Keys that are there, but of the wrong type or out of range.
    bad: Vec<&'static str>,
    /// Keys that unknown ones were probably meant to be.
    meant: Vec<&'static str>,
}

impl Settings {
    /// Keeps the members of a combination.
    pub fn set_members(&mut self, members: Vec<Member>) {
        self.members = members;
    }

    /// The members of a combination.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Is true when the key is there and was refused: what depends on it is not checked.
    pub fn is_bad(&self, name: &str) -> bool {
        self.bad.contains(&name)
    }

    /// Is true when the key is there and was not refused.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    fn key(&self, name: &str) -> Option<&'static str> {
        self.values.get_key_value(name).map(|(key, _)| *key)
    }

    fn refuse(&mut self, name: &'static str) {
        self.values.remove(name);
        self.bad.push(name);
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.values.get(name)? {
            Setting::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// A whole number that is not negative, as the type that holds it.
    pub fn count<T: TryFrom<u64>>(&self, name: &str) -> Option<T> {
        match self.values.get(name)? {
            Setting::Count(count) => T::try_from(*count).ok(),
            _ => None,
        }
    }

    /// A whole number.
    pub fn whole(&self, name: &str) -> Option<i32> {
        match self.values.get(name)? {
            Setting::Whole(whole) => Some(*whole),
            _ => None,
        }
    }

    /// A length of time.
    pub fn span(&self, name: &str) -> Option<Duration> {
        match self.values.get(name)? {
            Setting::Span(span) => Some(*span),
            _ => None,
        }
    }

    /// What a word stands for.
    pub fn choice<T: Copy>(&self, name: &str, choices: Choices<T>) -> Option<T> {
        choice::meaning(choices, self.word(name)?)
    }

    /// A word.
    pub fn word(&self, name: &str) -> Option<&'static str> {
        match self.values.get(name)? {
            Setting::Choice(word) => Some(word),
            _ => None,
        }
    }

    /// `true` or `false`.
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.values.get(name)? {
            Setting::Flag(flag) => Some(*flag),
            _ => None,
        }
    }

    /// A detector's parameter.
    pub fn parameter(&self, name: &str) -> Option<visu_tility_drift::Setting<'static>> {
        match self.values.get(name)? {
            Setting::Number(number) => Some(visu_tility_drift::Setting::Number(*number)),
            Setting::Count(count) => Some(visu_tility_drift::Setting::Count(*count)),
            Setting::Choice(word) => Some(visu_tility_drift::Setting::Word(word)),
            Setting::Flag(flag) => Some(visu_tility_drift::Setting::Flag(*flag)),
            Setting::Whole(_)
            | Setting::Span(_)
            | Setting::Text(_)
            | Setting::Numbers(_)
            | Setting::Counts(_) => None,
        }
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name)? {
            Setting::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A list of numbers.
    pub fn numbers(&self, name: &str) -> Option<&[f64]> {
        match self.values.get(name)? {
            Setting::Numbers(numbers) => Some(numbers),
            _ => None,
        }
    }

    /// A list of whole numbers.
    pub fn counts(&self, name: &str) -> Option<&[u64]> {
        match self.values.get(name)? {
            Setting::Counts(counts) => Some(counts),
            _ => None,
        }
    }

    /// Patterns; none when the key is not there.
    pub fn globs(&self, name: &str) -> Vec<Glob> {
        self.globs.get(name).cloned().unwrap_or_default()
    }
}
