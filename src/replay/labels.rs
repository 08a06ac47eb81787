//! The truth about a file of events: when its models really changed.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use thiserror::Error;
use visu_tility_core::nearest;

use crate::replay::figures::{count, counted};
use crate::replay::report::{ModelReport, Report};

/// One true drift of a model. Positions count predictions from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Where it begins.
    pub event: u64,
    /// Where the change is complete; `event` when it is abrupt.
    pub event_end: u64,
    /// What happened, for a person; may be empty.
    pub what: String,
}

/// What is true of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Its drifts, by position.
    pub drifts: Vec<Drift>,
    /// How many predictions there are by the labels; `None` when they do not say.
    pub length: Option<u64>,
}

/// How alarms are held against the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelForm {
    /// `drifts`: a few changes, each with a window behind it.
    Drifts,
    /// `changes`: many changes, matched one to one within a narrow window.
    Changes,
}

/// Labels of one or more models, all of one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// The form.
    pub form: LabelForm,
    /// What is true, by model; the empty name stands for the single model of the run.
    pub models: BTreeMap<String, Truth>,
}

/// A file of labels is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct LabelError(String);

impl LabelError {
    /// The error for labels without a model's name where the run has not one model.
    pub(crate) fn ambiguous(models: usize) -> Self {
        let hint = "say which by `model_id`, or give labels by model";
        Self(format!("labels of a single model, but the events are of {models}; {hint}"))
    }

    /// The error for a model that is not in the events.
    pub(crate) fn absent(model: &str, models: &[ModelReport]) -> Self {
        const SHOWN: usize = 5;
        let names = || models.iter().map(|model| model.model_id.as_str());
        let hint = nearest(model, names()).map_or(String::new(), |near| format!(" (nearest: {near})"));
        let mut known: Vec<&str> = names().take(SHOWN).collect();
        if models.len() > SHOWN {
            known.push("…");
        }
        let model: String = model.chars().take(64).collect();
        let known = known.join(", ");
        Self(format!("model {model:?} is not in the events, must be one of {known}{hint}"))
    }

    /// The error for a position that lies behind the events.
    fn beyond(model: &ModelReport, form: LabelForm, field: &str, value: u64, last: u64) -> Self {
        let form = if form == LabelForm::Drifts { "drifts" } else { "changes" };
        let (model, length) = (&model.model_id, counted(model.length, "prediction"));
        Self(format!(
            "field `{form}[].{field}` of model `{model}` is {value}, must be at most {last}: {length} of it were read"
        ))
    }
}

impl Labels {
    /// Reads labels in one of their forms:
    ///
    /// - `{"drifts": [{"event": 2500, "event_end": 2500, "what": "..."}], "predictions": 8000}` for the single
    ///   model of a run, or the one that `"model_id"` names; `event_end` and `what` may be left out, `events`
    ///   stands for `predictions` where that is absent;
    /// - `{"MODEL": {"changes": [{"event": 1640}], "events": 11993}, ...}` by model; `drifts` may stand there too.
    ///
    /// # Errors
    ///
    /// Fails when the text is not JSON or not of such a form; the error names the field and what is allowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use visu_tility::replay::Labels;
    ///
    /// let labels = Labels::from_json(r#"{"drifts": [{"event": 2500}], "predictions": 8000}"#)?;
    /// assert_eq!(labels.models[""].drifts[0].event_end, 2500);
    /// # Ok::<(), visu_tility::replay::LabelError>(())
    /// ```
    pub fn from_json(text: &str) -> Result<Self, LabelError> {
        let value: Value = serde_json::from_str(text).map_err(|error| fault(format!("not JSON: {error}")))?;
        let Value::Object(top) = value else { return Err(fault("must be an object".to_owned())) };
        let mut labels = Self { form: LabelForm::Drifts, models: BTreeMap::new() };
        if top.contains_key("drifts") || top.contains_key("changes") {
            let name = top.get("model_id").and_then(Value::as_str).unwrap_or_default().to_owned();
            labels.form = form(&top);
            labels.models.insert(name, truth(&top, "")?);
            return Ok(labels);
        }
        for (at, (model, value)) in top.iter().enumerate() {
            let Some(object) = value.as_object() else {
                let text = "no field `drifts`, and not an object by model either: it must be an object with \
                            `drifts` or `changes`";
                return Err(fault(format!("field `{model}`: {text}")));
            };
            let truth = truth(object, model)?;
            if at > 0 && labels.form != form(object) {
                return Err(fault(format!("field `{model}`: `drifts` and `changes` cannot be mixed")));
            }
            labels.form = form(object);
            labels.models.insert(model.clone(), truth);
        }
        if labels.models.is_empty() { Err(fault("holds no model".to_owned())) } else { Ok(labels) }
    }

    /// Says for which models the labels promise another number of predictions than were read; it is those
    /// that were read that count.
    pub fn warnings(&self, report: &Report) -> Vec<String> {
        let model = |name: &str| match report.models.as_slice() {
            [model] if name.is_empty() => Some(model),
            models => models.iter().find(|model| model.model_id.as_str() == name),
        };
        let differ = self.models.iter().filter_map(|(name, truth)| {
            let model = model(name)?;
            let promised = truth.length.filter(|promised| *promised != model.length)?;
            let (name, promised, read) = (&model.model_id, count(promised), count(model.length));
            Some(format!(
                "model `{name}` has {promised} predictions by the labels, {read} were read and count"
            ))
        });
        differ.collect()
    }

    /// Adds the labels of a further file.
    ///
    /// # Errors
    ///
    /// Fails when they are of the other form or name the same model.
    pub fn merge(&mut self, other: Self) -> Result<(), LabelError> {
        if self.form != other.form {
            return Err(fault("`drifts` and `changes` cannot be mixed in one run".to_owned()));
        }
        for (model, truth) in other.models {
            if self.models.insert(model.clone(), truth).is_some() {
                let what =
                    if model.is_empty() { "the single model".to_owned() } else { format!("`{model}`") };
                return Err(fault(format!("{what} is labelled twice")));
            }
        }
        Ok(())
    }
}

fn fault(text: String) -> LabelError {
    LabelError(text)
}

fn form(object: &Map<String, Value>) -> LabelForm {
    if object.contains_key("changes") { LabelForm::Changes } else { LabelForm::Drifts }
}

impl Truth {
    /// Holds the positions against what was read of the model.
    pub(crate) fn check(&self, form: LabelForm, model: &ModelReport) -> Result<(), LabelError> {
        let last = model.length.saturating_sub(1);
        for drift in &self.drifts {
            if drift.event > last {
                return Err(LabelError::beyond(model, form, "event", drift.event, last));
            }
            // A change may be complete with the last prediction, counted either way.
            if drift.event_end > model.length {
                return Err(LabelError::beyond(model, form, "event_end", drift.event_end, model.length));
            }
        }
        Ok(())
    }
}

/// Reads what is true of one model.
fn truth(object: &Map<String, Value>, model: &str) -> Result<Truth, LabelError> {
    let path = |rest: &str| if model.is_empty() { rest.to_owned() } else { format!("{model}.{rest}") };
    let key = match (object.contains_key("drifts"), object.contains_key("changes")) {
        (true, true) => {
            let text = "cannot stand beside `drifts`, there must be one of the two";
            return Err(fault(format!("field `{}` {text}", path("changes"))));
        }
        (_, true) => "changes",
        _ => "drifts",
    };
    let Some(list) = object.get(key).and_then(Value::as_array) else {
        return Err(fault(format!("field `{}` must be a list of objects with `event`", path(key))));
    };
    let mut drifts = Vec::with_capacity(list.len());
    for (at, entry) in list.iter().enumerate() {
        let number = |field: &str| entry.get(field).map(|value| value.as_u64().ok_or(value));
        let wrong = |field: &str, value: Option<&Value>| {
            let shown =
                value.map_or_else(|| "missing".to_owned(), |v| v.to_string().chars().take(64).collect());
            fault(format!(
                "field `{}` is {shown}, must be a whole number from 0",
                path(&format!("{key}[{at}].{field}"))
            ))
        };
        let event = match number("event") {
            Some(Ok(event)) => event,
            Some(Err(value)) => return Err(wrong("event", Some(value))),
            None => return Err(wrong("event", None)),
        };
        let event_end = match number("event_end") {
            None => event,
            Some(Ok(end)) if end >= event => end,
            Some(other) => {
                let shown = other.map_or_else(ToString::to_string, |end| end.to_string());
                let field = path(&format!("{key}[{at}].event_end"));
                return Err(fault(format!(
                    "field `{field}` is {shown}, must be a whole number from {event}"
                )));
            }
        };
        let what =
            entry.get("what").or_else(|| entry.get("kind")).and_then(Value::as_str).unwrap_or_default();
        drifts.push(Drift { event, event_end, what: what.to_owned() });
    }
    drifts.sort_by_key(|drift| (drift.event, drift.event_end));
    let length = ["predictions", "events"].into_iter().find_map(|field| Some((field, object.get(field)?)));
    let length = length.map(|(field, value)| {
        let wrong = || {
            let shown: String = value.to_string().chars().take(64).collect();
            fault(format!("field `{}` is {shown}, must be a whole number from 0", path(field)))
        };
        value.as_u64().ok_or_else(wrong)
    });
    Ok(Truth { drifts, length: length.transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let text = r#"{"stream":"s","predictions":8000,"events":40320,
            "drifts":[{"event":5500,"event_end":6500,"what":"noise"},{"event":2500,"kind":"abrupt"}]}"#;
        let labels = Labels::from_json(text).unwrap();
        let truth = &labels.models[""];
        assert_eq!((labels.form, truth.length), (LabelForm::Drifts, Some(8000)));
        assert_eq!((truth.drifts[0].event_end, &*truth.drifts[0].what), (2500, "abrupt"));
        let text = r#"{"a":{"events":9,"unanswered":1,"changes":[{"event":3,"ts":"x"}]},"b":{"changes":[]}}"#;
        let labels = Labels::from_json(text).unwrap();
        assert_eq!((labels.form, labels.models.len()), (LabelForm::Changes, 2));
    }

    #[test]
    fn mistakes_name_the_field() {
        let said = |text: &str| Labels::from_json(text).unwrap_err().to_string();
        assert!(said("nonsense").starts_with("not JSON"));
        assert_eq!(said("[]"), "must be an object");
        assert_eq!(said("{}"), "holds no model");
        assert_eq!(
            said(r#"{"drifts":[{"events":1}]}"#),
            "field `drifts[0].event` is missing, must be a whole number from 0"
        );
        assert_eq!(
            said(r#"{"drifts":[{"event":-1}]}"#),
            "field `drifts[0].event` is -1, must be a whole number from 0"
        );
        assert_eq!(
            said(r#"{"drifts":[{"event":5,"event_end":4}]}"#),
            "field `drifts[0].event_end` is 4, must be a whole number from 5"
        );
        assert!(said(r#"{"m":{"changes":7}}"#).starts_with("field `m.changes` must be a list"));
        assert!(said(r#"{"drift":[]}"#).contains("field `drift`"));
        assert!(said(r#"{"a":{"changes":[]},"b":{"drifts":[]}}"#).contains("cannot be mixed"));
        let text = "cannot stand beside `drifts`, there must be one of the two";
        assert_eq!(said(r#"{"drifts":[],"changes":[]}"#), format!("field `changes` {text}"));
        assert_eq!(said(r#"{"m":{"drifts":[],"changes":[]}}"#), format!("field `m.changes` {text}"));
        assert_eq!(
            said(r#"{"drifts":[],"predictions":-8}"#),
            "field `predictions` is -8, must be a whole number from 0"
        );
        assert!(said(r#"{"m":{"changes":[],"events":"9"}}"#).starts_with("field `m.events` is \"9\""));
    }

    #[test]
    fn files_are_merged_unless_they_clash() {
        let one = Labels::from_json(r#"{"a":{"changes":[]}}"#).unwrap();
        let mut both = one.clone();
        both.merge(Labels::from_json(r#"{"b":{"changes":[]}}"#).unwrap()).unwrap();
        assert_eq!(both.models.len(), 2);
        assert_eq!(both.merge(one).unwrap_err().to_string(), "`a` is labelled twice");
    }
}
