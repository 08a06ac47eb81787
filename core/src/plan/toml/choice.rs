//! The words of a plan, and what each stands for.

use super::super::{EventOrder, Reaction};
use crate::alert::Severity;
use crate::check::AlertOn;

/// A word and what it stands for.
pub(super) type Choices<T> = &'static [(&'static str, T)];

pub(super) const ORDER: Choices<EventOrder> =
    &[("arrival", EventOrder::Arrival), ("strict", EventOrder::Strict)];

pub(super) const SEVERITY: Choices<Severity> =
    &[("info", Severity::Info), ("warning", Severity::Warning), ("critical", Severity::Critical)];

pub(super) const RESPONSE: Choices<Reaction> = &[
    ("record", Reaction::Record),
    ("alert", Reaction::Alert),
    ("retrain", Reaction::Retrain),
    ("alert-and-retrain", Reaction::AlertAndRetrain),
];

pub(super) const ALERT_ON: Choices<AlertOn> = &[("bad", AlertOn::Bad), ("any", AlertOn::Any)];

/// The types of rules, as [`crate::Check::type_name`] has them.
pub(super) const TYPE: Choices<()> = &[
    ("drift-score", ()),
    ("performance", ()),
    ("change", ()),
    ("combination", ()),
    ("distribution", ()),
    ("embedding", ()),
    ("latency", ()),
    ("data-quality", ()),
    ("staleness", ()),
];

/// The words of a choice.
pub(super) fn words<T>(choices: Choices<T>) -> Vec<&'static str> {
    choices.iter().map(|(word, _)| *word).collect()
}

/// What a word stands for.
pub(super) fn meaning<T: Copy>(choices: Choices<T>, word: &str) -> Option<T> {
    choices.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
}

/// The word that stands for a value.
pub(super) fn word<T: PartialEq>(choices: Choices<T>, value: &T) -> &'static str {
    choices.iter().find(|(_, known)| known == value).map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_types() {
        assert!(SEVERITY.iter().all(|(word, severity)| severity.as_str() == *word));
        assert!(RESPONSE.iter().all(|(word, response)| response.as_str() == *word));
    }
}
