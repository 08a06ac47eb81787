//! How a model is watched: the trait that users implement.

use visu_tility_drift::codec::{DecodeError, Reader};

use crate::action::ObserverAction;
use crate::check::Check;
use crate::error::ObserverError;
use crate::event::MetricEvent;
use crate::kind::MetricKind;
use crate::time::Timestamp;

/// Turns the events of one model into actions.
///
/// What is registered is a prototype: each model's monitor works on a clone of its own, fed with that
/// model's events in order, from one thread at a time. An observer reads no clock: time is in the event.
///
/// An observer says on *every* event what it thinks of it. The monitor turns a run of
/// [`ObserverAction::Alert`] answers on one version and kind into one alert that fires once and resolves
/// when the observer answers [`ObserverAction::NoOp`] again; a run of [`ObserverAction::Retrain`] answers
/// asks once. An alert of a higher severity than the one that is out is told again.
///
/// A panic costs the observer the event that caused it, and nothing else: the clone is put back to where
/// it was before that event.
///
/// # Examples
///
/// ```
/// use visu_tility_core::{MetricEvent, MetricKind, MetricObserver, ObserverAction, ObserverError, Severity};
///
/// /// Alerts while confidence is low.
/// #[derive(Clone)]
/// struct Unsure;
///
/// impl MetricObserver for Unsure {
///     fn name(&self) -> &str {
///         "unsure"
///     }
///
///     fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
///         Ok(match (event.kind(), event.value()) {
///             (MetricKind::Confidence, Some(p)) if p < 0.2 => {
///                 ObserverAction::alert(Severity::Warning, format!("confidence {p}"))
///             }
///             _ => ObserverAction::NoOp,
///         })
///     }
/// }
/// ```
pub trait MetricObserver: CloneObserver + Send + Sync {
    /// Names the observer: a stable part of alert keys and action ids. At most 128 characters are kept.
    fn name(&self) -> &str;

    /// Takes the next event of the model.
    ///
    /// # Errors
    ///
    /// May fail with [`ObserverError::Internal`]; the event counts as seen, the failure is counted, and
    /// other observers are not touched.
    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError>;

    /// Says which kinds it wants to see. Default: all. Asked once per version and kind.
    fn wants(&self, kind: &MetricKind) -> bool {
        let _ = kind;
        true
    }

    /// Takes note, once a minute of event time, that time has passed. Default: nothing. After
    /// an hour without a reading it is left alone until the next one.
    ///
    /// # Errors
    ///
    /// As [`MetricObserver::on_metric`].
    fn on_tick(&mut self, now: Timestamp) -> Result<ObserverAction, ObserverError> {
        let _ = now;
        Ok(ObserverAction::NoOp)
    }

    /// Appends its state to a snapshot. Default: it has none.
    fn write_state(&self, out: &mut Vec<u8>) {
        let _ = out;
    }

    /// Takes back the state that it wrote. Default: expects none.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are not a state of this observer; it then starts afresh.
    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        bytes.finish()
    }

    /// Says that it is one of the built-in checks, which monitors run inline per version and kind.
    #[doc(hidden)]
    fn builtin(&self) -> Option<Check> {
        None
    }
}

/// Clones a boxed observer; implemented for every observer that is `Clone`.
pub trait CloneObserver {
    /// Makes a copy with the state as it is.
    fn clone_observer(&self) -> Box<dyn MetricObserver>;
}

impl<T: MetricObserver + Clone + 'static> CloneObserver for T {
    fn clone_observer(&self) -> Box<dyn MetricObserver> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn MetricObserver> {
    fn clone(&self) -> Self {
        (**self).clone_observer()
    }
}
