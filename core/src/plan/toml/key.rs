//! The format as tables: which keys there are, of which type, and what each holds.

use std::sync::LazyLock;

use visu_tility_drift::combination::GateParams;
use visu_tility_drift::{
    self as drift, AnyParams, BatcherParams, CentroidShiftParams, DistributionShiftParams,
    ExceedanceBitsParams, GapParams, OnlineMmdParams, Parameters as _, RangeGuardParams, SeasonalParams,
};

use super::choice;
use super::value::Shape;
use crate::check::{Combine, EmbeddingMethod};

/// One key and what it holds.
#[derive(Debug)]
pub(super) struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
}

/// Keys that only some rules have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    /// The type that has them.
    pub type_name: &'static str,
    /// The detector that has them; `None` for all of the type.
    pub detector: Option<&'static str>,
    /// The keys.
    pub keys: &'static [Key],
}

impl Group {
    /// Is true when a rule of this type and detector has the keys; what is not known counts as any.
    pub fn is_of(&self, type_name: Option<&str>, detector: Option<&str>) -> bool {
        let is_detector = |own: &str| detector.is_none_or(|detector| own == detector);
        type_name.is_none_or(|name| self.type_name == name) && self.detector.is_none_or(is_detector)
    }

    /// Names it in a sentence.
    pub fn label(&self) -> String {
        match self.detector {
            None => format!("type \"{}\"", self.type_name),
            Some(detector) => format!("detector \"{detector}\""),
        }
    }
}

const fn key(name: &'static str, shape: Shape) -> Key {
    Key { name, shape }
}

const fn number(name: &'static str) -> Key {
    Key { name, shape: Shape::Number }
}

/// A whole number, not negative, that its type holds; what is left of the range is the constructor's.
const fn count(name: &'static str, max: u64) -> Key {
    Key { name, shape: Shape::Count { min: 0, max } }
}

/// The words of a parameter.
fn words_of<P: drift::Parameters>(name: &str) -> Vec<&'static str> {
    match P::ALL.iter().find(|known| known.name == name).map(|known| known.shape) {
        Some(drift::Shape::Word(words)) => words.to_vec(),
        _ => Vec::new(),
    }
}

const U32: u64 = u32::MAX as u64;

/// The keys of the text itself.
pub(super) const ROOT: &[Key] = &[
    key("default_rules", Shape::Flag),
    key("events", Shape::Table),
    key("budget", Shape::Table),
    key("rule", Shape::Tables),
];

/// The keys of `[events]`.
pub(super) const EVENTS: &[Key] = &[
    key("order", Shape::Choice(|| choice::words(choice::ORDER))),
    key("lateness_max", Shape::Span),
    count("back_step_count", U32),
    count("versions_max", U32),
    count("series_max", U32),
];

/// The keys of `[budget]`.
pub(super) const BUDGET: &[Key] = &[number("false_alarms_per_30_days")];

/// The keys of every rule.
pub(super) const RULE: &[Key] = &[
    key("name", Shape::Text),
    key("type", Shape::Choice(|| choice::words(choice::TYPE))),
    key("models", Shape::Globs),
    key("versions", Shape::Globs),
    key("kinds", Shape::Globs),
    key("fallback", Shape::Flag),
    key("severity", Shape::Choice(|| choice::words(choice::SEVERITY))),
    key("for", Shape::Span),
    key("for_count", Shape::Count { min: 1, max: U32 }),
    key("keep_firing", Shape::Span),
    key("keep_count", Shape::Count { min: 1, max: U32 }),
    key("response", Shape::Choice(|| choice::words(choice::RESPONSE))),
    key("priority", Shape::Whole),
];

/// The keys of every member of a combination, beside the parameters of its detector.
pub(super) const MEMBER: &[Key] = &[key("detector", Shape::Word(AnyParams::NAMES)), number("weight")];

/// The keys of each type, and of each detector of `change`.
pub(super) fn groups() -> &'static [Group] {
    static ALL: LazyLock<Vec<Group>> = LazyLock::new(|| {
        let detectors = AnyParams::NAMES.iter().map(|name| detector(name));
        TYPES.iter().copied().chain(stages()).chain(detectors).collect()
    });
    &ALL
}

/// The keys of the stages before a detector: each has a switch, and its parameters behind its name.
fn stages() -> impl Iterator<Item = Group> {
    let stages = [
        ("gap", GapParams::ALL),
        ("range", RangeGuardParams::ALL),
        ("seasonal", SeasonalParams::ALL),
        ("exceedance", ExceedanceBitsParams::ALL),
        ("batch", BatcherParams::ALL),
    ];
    stages.into_iter().flat_map(|(name, parameters)| {
        let own = parameters.iter().map(|known| {
            let name: &'static str = String::leak(format!("{name}_{}", known.name));
            key(name, shape(known.shape))
        });
        let keys: Vec<Key> = std::iter::once(key(name, Shape::Flag)).chain(own).collect();
        let keys: &'static [Key] = Vec::leak(keys);
        ["change", "combination"].map(|type_name| Group { type_name, detector: None, keys })
    })
}

/// What a parameter may hold, as a key.
const fn shape(shape: drift::Shape) -> Shape {
    match shape {
        drift::Shape::Count { max } => Shape::Count { min: 0, max },
        drift::Shape::Word(words) => Shape::Word(words),
        drift::Shape::Flag => Shape::Flag,
        _ => Shape::Number,
    }
}

/// The keys of a detector: its parameters.
fn detector(name: &'static str) -> Group {
    let parameters = AnyParams::by_name(name).map_or(&[][..], |params| params.parameters());
    let keys: Vec<Key> = parameters.iter().map(|known| key(known.name, shape(known.shape))).collect();
    // Made once for the life of the program.
    Group { type_name: "change", detector: Some(name), keys: Vec::leak(keys) }
}

/// The keys of each type.
const TYPES: &[Group] = &[
    Group { type_name: "drift-score", detector: None, keys: &[number("threshold"), number("recover")] },
    Group {
        type_name: "performance",
        detector: None,
        keys: &[number("min_accuracy"), number("smoothing"), number("recover"), count("count_min", U32)],
    },
    Group {
        type_name: "change",
        detector: None,
        keys: &[
            key("detector", Shape::Word(AnyParams::NAMES)),
            key("calendar", Shape::Flag),
            key("standardize", Shape::Standardize),
            number("clip"),
            key("alert_on", Shape::Choice(|| choice::words(choice::ALERT_ON))),
        ],
    },
    Group {
        type_name: "combination",
        detector: None,
        keys: &[
            key("combine", Shape::Word(Combine::NAMES)),
            key("members", Shape::Members),
            count("need", u8::MAX as u64),
            count("horizon", u64::MAX),
            key("agree", Shape::Flag),
            number("arl"),
            number("warn_share"),
            key("rearm", Shape::Choice(|| words_of::<GateParams>("rearm"))),
            count("cool_down", u64::MAX),
            number("fallen_share"),
            key("standardize", Shape::Standardize),
            number("clip"),
            key("alert_on", Shape::Choice(|| choice::words(choice::ALERT_ON))),
        ],
    },
    Group {
        type_name: "distribution",
        detector: None,
        keys: &[
            count("reference", U32),
            count("bins", U32),
            count("window", U32),
            key("distance", Shape::Choice(|| words_of::<DistributionShiftParams>("distance"))),
            number("arl"),
            key("edges", Shape::Numbers),
            key("counts", Shape::Counts),
            key("reference_file", Shape::Text),
            key("reference_version", Shape::Text),
        ],
    },
    Group {
        type_name: "embedding",
        detector: None,
        keys: &[
            key("method", Shape::Word(EmbeddingMethod::NAMES)),
            number("arl"),
            count("features", U32),
            number("bandwidth"),
            count("clock", U32),
            key("bound", Shape::Choice(|| words_of::<OnlineMmdParams>("bound"))),
            count("seed", u64::MAX),
            count("reference", U32),
            count("window", U32),
            key("metric", Shape::Choice(|| words_of::<CentroidShiftParams>("metric"))),
        ],
    },
    Group {
        type_name: "latency",
        detector: None,
        keys: &[number("slo_ms"), number("share_min"), count("window", U32), count("count_min", U32)],
    },
    Group {
        type_name: "data-quality",
        detector: None,
        keys: &[
            number("min"),
            number("max"),
            number("share_max"),
            count("window", U32),
            count("count_min", U32),
        ],
    },
    Group { type_name: "staleness", detector: None, keys: &[key("after", Shape::Span)] },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Keys that stand in a table of `docs/plan.md`, with the heading before it.
    fn documented() -> Vec<(String, String)> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/plan.md");
        let (mut heading, mut found) = (String::new(), Vec::new());
        for line in std::fs::read_to_string(path).unwrap().lines() {
            if line.starts_with('#') {
                heading = line.trim_start_matches('#').trim().to_owned();
            }
            if let Some(row) = line.strip_prefix("| `") {
                found.push((heading.clone(), row.split('`').next().unwrap().to_owned()));
            }
        }
        found
    }

    #[test]
    fn every_key_stands_in_the_docs_and_no_other() {
        let fixed = [
            ("The file", ROOT),
            ("The table [events]", EVENTS),
            ("The table [budget]", BUDGET),
            ("Every rule", RULE),
            ("Members", MEMBER),
        ];
        let preparation = |group: Group| ("Preparation".to_owned(), group.keys);
        let fixed = fixed.into_iter().map(|(heading, keys)| (heading.to_owned(), keys));
        let all = fixed
            .chain(TYPES.iter().map(|group| (group.label(), group.keys)))
            .chain(stages().filter(|group| group.type_name == "change").map(preparation));
        let mut known: Vec<(String, String)> = all
            .flat_map(|(heading, keys)| keys.iter().map(move |key| (heading.clone(), key.name.to_owned())))
            .collect();
        let mut documented = documented();
        known.sort();
        documented.sort();
        assert_eq!(documented, known);
    }

    #[test]
    fn the_types_are_those_of_the_choices() {
        let types = choice::words(choice::TYPE);
        assert!(types.iter().all(|name| groups().iter().any(|group| group.type_name == *name)));
        assert!(groups().iter().all(|group| types.contains(&group.type_name)));
    }

    #[test]
    fn no_parameter_of_a_detector_has_the_name_of_another_key() {
        let change = TYPES.iter().find(|group| group.type_name == "change").unwrap();
        for group in groups().iter().filter(|group| group.detector.is_some()) {
            for key in group.keys {
                let taken = RULE.iter().chain(change.keys).chain(MEMBER).any(|other| other.name == key.name);
                assert!(!taken, "{} of {}", key.name, group.label());
            }
        }
    }
}
