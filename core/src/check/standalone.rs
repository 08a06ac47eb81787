//! Lets a built-in check be used by itself, outside a monitor: one state per model, version and kind.

use std::collections::BTreeMap;

use super::{Check, CheckState};
use crate::action::ObserverAction;
use crate::alert::{AlertCondition, Severity};
use crate::error::ObserverError;
use crate::event::MetricEvent;
use crate::time::Timestamp;

/// The most states kept; one more is refused with [`ObserverError::Internal`].
const STATES_MAX: usize = 10_000;

/// States of one check for every model, version and kind that it has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standalone {
    states: BTreeMap<(String, String, String), CheckState>,
}

impl PartialEq for Standalone {
    /// Settings are compared, not what was seen.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Standalone {
    /// Feeds the event to its state, if the check watches its kind, and says what to do while it fires.
    pub fn step(
        &mut self,
        check: &Check,
        event: &MetricEvent,
        on_fire: impl FnOnce(String) -> ObserverAction,
    ) -> Result<ObserverAction, ObserverError> {
        if !check.watches(event.kind()) {
            return Ok(ObserverAction::NoOp);
        }
        let key = (event.model_id().to_string(), event.version().to_string(), event.kind().to_string());
        if !self.states.contains_key(&key) && self.states.len() >= STATES_MAX {
            return Err(ObserverError::Internal(format!(
                "more than {STATES_MAX} models, versions and kinds"
            )));
        }
        if !self.states.contains_key(&key) {
            let Some(fresh) = check.start(event.version(), event.kind()) else {
                return Ok(ObserverAction::NoOp);
            };
            self.states.insert(key.clone(), fresh);
        }
        let Some(state) = self.states.get_mut(&key) else { return Ok(ObserverAction::NoOp) };
        let at = event.ts().unwrap_or(Timestamp::EPOCH);
        let verdict = match event.vector() {
            Some(vector) => state.observe_vector(vector, at),
            None => state.observe(event.raw_value(), at),
        };
        let signal = state.signal();
        if state.asks_for().is_some() {
            self.lend(&key);
        }
        if verdict.condition != AlertCondition::Fire {
            return Ok(ObserverAction::NoOp);
        }
        Ok(on_fire(format!(
            "{} {}: {} against {}",
            event.kind(),
            check.type_name(),
            figure(signal.statistic),
            figure(signal.threshold)
        )))
    }

    /// Gives a state that waits for the reference of another version what that version has learnt.
    fn lend(&mut self, key: &(String, String, String)) {
        let Some(named) = self.states.get(key).and_then(CheckState::asks_for) else { return };
        let lender = (key.0.clone(), named.to_string(), key.2.clone());
        let Some(reference) = self.states.get(&lender).and_then(CheckState::lends).cloned() else { return };
        if let Some(state) = self.states.get_mut(key) {
            state.borrows(reference);
        }
    }

    /// As [`Standalone::step`], with an alert while it fires.
    pub fn alert(&mut self, check: &Check, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        self.step(check, event, |summary| ObserverAction::alert(Severity::Warning, summary))
    }
}

/// A number for a person: four significant digits.
pub(crate) fn figure(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    if value.abs() >= 1e7 {
        return format!("{value:.3e}");
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    if !(0..=12).contains(&digits) && digits > 0 {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.*}", usize::try_from(digits).unwrap_or(0));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_four_digits() {
        for (value, text) in [
            (0.845_67, "0.8457"),
            (0.85, "0.85"),
            (1234.5, "1234"),
            (0.0, "0"),
            (17.356, "17.36"),
            (5e99, "5.000e99"),
        ] {
            assert_eq!(figure(value), text);
        }
    }
}
