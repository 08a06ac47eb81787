//! Writes a monitor's state as bytes, and reads it back.
//!
//! Form 3, little-endian: `3`, model id, times and counts, the division of the budget, then per series its names,
//! counts and the state of each rule by name, then switches and the user's observers by name. Settings are not in it:
//! the plan at hand decides, and the state of a rule that is gone or has another check is left out.

use std::sync::Arc;

use thiserror::Error;
use visu_tility_drift::codec::{DecodeError, Reader, put_bytes, put_i64, put_str, put_u16, put_u32, put_u64};

use crate::alert::{AlertLife, Severity};
use crate::footprint::{Deed, marked, within};
use crate::id::{ModelId, Version};
use crate::kind::MetricKind;
use crate::plan::{MonitorPlan, Reaction};
use crate::time::Timestamp;

use super::body::{Body, Counts};
use super::own::{OwnLife, OwnObserver};
use super::series::{Series, SeriesKey, Share};

/// The form that is written.
const FORM: u8 = 3;
/// What small states come to, in bytes, so that they are written without asking for memory again.
const ROOM: usize = 512;

/// A snapshot could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The bytes are not a snapshot.
    #[error("the snapshot is damaged: {0}")]
    Damaged(#[from] DecodeError),
    /// The snapshot is of another model.
    #[error("the snapshot is of model {found}")]
    OtherModel {
        /// Whose it is.
        found: String,
    },
}

impl Body {
    /// Writes the state. The same state gives the same bytes.
    pub fn snapshot(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ROOM);
        out.push(FORM);
        put_str(&mut out, self.model.as_str());
        put_i64(&mut out, self.ticked.micros());
        put_u64(&mut out, self.last_offset);
        put_u64(&mut out, self.ordinal_of);
        put_u32(&mut out, self.ordinal);
        for count in counts(&self.counts) {
            put_u64(&mut out, count);
        }
        self.write_division(&mut out);
        put_u32(&mut out, self.series.len() as u32);
        for series in &self.series {
            self.write_series(series, &mut out);
        }
        put_u16(&mut out, self.switches.len() as u16);
        for switch in &self.switches {
            put_str(&mut out, self.rule(switch.rule).map_or("", |rule| &rule.name));
            put_part(&mut out, |out| {
                switch.silence.write(out);
                switch.life.write(out);
            });
        }
        self.write_own(&mut out);
        out.shrink_to_fit();
        out
    }

    fn write_series(&self, series: &Series, out: &mut Vec<u8>) {
        put_str(out, series.info.version.as_str());
        put_str(out, &series.info.kind.to_string());
        put_i64(out, series.newest.micros());
        put_u64(out, series.taken);
        put_u32(out, series.back_run);
        put_i64(out, series.info.back_at.micros());
        out.push(u8::from(series.share == Share::Left));
        put_u16(out, series.instances().count() as u16);
        for instance in series.instances() {
            let rule = self.rule(instance.rule);
            put_str(out, rule.map_or("", |rule| &rule.name));
            put_str(out, rule.map_or("", |rule| rule.check.type_name()));
            put_part(out, |out| {
                instance.life().write(out);
                instance.state.write(out);
            });
        }
    }

    fn write_own(&mut self, out: &mut Vec<u8>) {
        let own = self.own.as_deref_mut();
        put_i64(out, own.as_ref().map_or(i64::MAX, |own| own.next_tick.micros()));
        put_u32(out, own.as_ref().map_or(0, |own| own.ticks));
        put_u16(out, own.as_ref().map_or(0, |own| own.observers.len()) as u16);
        let Some(own) = own else { return };
        for (place, observer) in own.observers.iter().enumerate() {
            // In case it does not come back.
            own.writing = Some(place);
            write_observer(place, observer, out);
        }
        own.writing = None;
    }

    /// Starts a monitor from a snapshot.
    ///
    /// Rules are found by name and kind of check: those that the plan no longer has are left out, new ones
    /// start afresh, and so does one whose written state does not fit its present settings.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are not a whole snapshot of a form that this release reads, or when it is of
    /// another model.
    pub fn restore(model: ModelId, plan: Arc<MonitorPlan>, bytes: &[u8]) -> Result<Self, RestoreError> {
        let mut bytes = Reader::new(bytes);
        let form = bytes.u8()?;
        if form != FORM {
            return Err(DecodeError::Version { what: "monitor", found: form }.into());
        }
        let found = bytes.str("model_id")?;
        if found != model.as_str() {
            return Err(RestoreError::OtherModel { found: found.to_owned() });
        }
        let mut monitor = Self::new(model, plan);
        monitor.ticked = Timestamp::from_micros(bytes.i64()?);
        monitor.last_offset = bytes.u64()?;
        monitor.ordinal_of = bytes.u64()?;
        monitor.ordinal = bytes.u32()?;
        monitor.counts = read_counts(&mut bytes)?;
        monitor.read_division(&mut bytes)?;
        for _ in 0..bytes.u32()? {
            monitor.read_series(&mut bytes)?;
        }
        for _ in 0..bytes.u16()? {
            let name = bytes.str("rule")?;
            let state = &mut Reader::new(bytes.bytes()?);
            let rules = &monitor.plan.rules;
            let of = |rule: u16| rules.get(usize::from(rule)).is_some_and(|rule| &*rule.name == name);
            if let Some(switch) = monitor.switches.iter_mut().find(|switch| of(switch.rule)) {
                switch.silence.read(state)?;
                switch.life = AlertLife::read(state)?;
                state.finish()?;
            }
        }
        monitor.read_own(&mut bytes)?;
        bytes.finish()?;
        monitor.divide_budget();
        monitor.next_deadline = monitor.earliest();
        Ok(monitor)
    }

    fn read_series(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        let version =
            Version::new(bytes.str("version")?).map_err(|_| DecodeError::Range { field: "version" })?;
        let kind: MetricKind =
            bytes.str("kind")?.parse().map_err(|_| DecodeError::Range { field: "kind" })?;
        let key = SeriesKey::of(&version, &kind);
        let wanted = self.wanted(&kind);
        let mut series = Series::start(key, &version, &kind, &self.model, &self.plan, wanted);
        series.newest = Timestamp::from_micros(bytes.i64()?);
        series.taken = bytes.u64()?;
        series.back_run = bytes.u32()?;
        series.info.back_at = Timestamp::from_micros(bytes.i64()?);
        series.share = match bytes.u8()? {
            0 => Share::None,
            1 => Share::Left,
            _ => return Err(DecodeError::Range { field: "share" }),
        };
        for _ in 0..bytes.u16()? {
            let (name, check) = (bytes.str("rule")?, bytes.str("check")?);
            let state = &mut Reader::new(bytes.bytes()?);
            let rules = &self.plan.rules;
            let of = |rule: u16| {
                let rule = rules.get(usize::from(rule));
                rule.is_some_and(|rule| &*rule.name == name && rule.check.type_name() == check)
            };
            let found = series.instances().position(|instance| of(instance.rule));
            let Some(instance) = found.and_then(|slot| series.instance(slot)) else { continue };
            let life = AlertLife::read(state)?;
            let mut fresh = instance.state.clone();
            // A state that does not fit the present settings is left out; the rule starts afresh.
            match fresh.read(state) {
                Ok(()) => {
                    instance.state = fresh;
                    instance.set_life(life);
                }
                // Of other settings, or of a form that this release no longer reads.
                Err(DecodeError::Parameters { .. } | DecodeError::Version { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if self.find(key).is_some() || self.series.len() >= self.plan.events.series_max as usize {
            return Err(DecodeError::Range { field: "series" });
        }
        self.push_series(series);
        Ok(())
    }

    fn read_own(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        let next_tick = Timestamp::from_micros(bytes.i64()?);
        let ticks = bytes.u32()?;
        for _ in 0..bytes.u16()? {
            let name = bytes.str("observer")?;
            let failures = bytes.u64()?;
            let mut lives = Vec::new();
            for _ in 0..bytes.u32()? {
                lives.push(read_life(bytes)?);
            }
            let state = bytes.bytes()?;
            let Some(own) = &mut self.own else { continue };
            let found = own.observers.iter_mut().enumerate().find(|(_, own)| &*own.name == name);
            let Some((place, found)) = found else { continue };
            // An observer that cannot read its state starts afresh, as its contract says.
            marked(place, Deed::Begin, || {
                let mut restored = found.observer.clone();
                if restored.read_state(&mut Reader::new(state)).is_ok() {
                    found.observer = restored;
                }
                found.mark();
            });
            (found.lives, found.failures) = (lives, failures);
        }
        if let Some(own) = &mut self.own {
            (own.next_tick, own.ticks) = (next_tick, ticks);
        }
        Ok(())
    }
}

/// Writes a part with its length in four bytes before it.
fn put_part(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    put_u32(out, 0);
    write(out);
    let length = (out.len() - at - 4) as u32;
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
}

/// One of the user's observers; runs the user's code.
fn write_observer(place: usize, own: &OwnObserver, out: &mut Vec<u8>) {
    put_str(out, &own.name);
    put_u64(out, own.failures);
    put_u32(out, own.lives.len() as u32);
    for life in &own.lives {
        out.push(u8::from(life.series.is_some()));
        put_u64(out, life.series.map_or(0, SeriesKey::get));
        out.push(life.severity as u8);
        out.push(response_code(life.response));
        life.life.write(out);
    }
    let mut state = Vec::new();
    let _ = within(place, Deed::Write, || own.observer.write_state(&mut state));
    put_bytes(out, &state);
}

/// The counts in the order of the form.
const fn counts(counts: &Counts) -> [u64; 8] {
    let Counts {
        evicted_taken,
        late,
        missing,
        too_late,
        repeated,
        back_steps,
        versions_evicted,
        observer_failures,
    } = *counts;
    [evicted_taken, late, missing, too_late, repeated, back_steps, versions_evicted, observer_failures]
}

fn read_counts(bytes: &mut Reader<'_>) -> Result<Counts, DecodeError> {
    Ok(Counts {
        evicted_taken: bytes.u64()?,
        late: bytes.u64()?,
        missing: bytes.u64()?,
        too_late: bytes.u64()?,
        repeated: bytes.u64()?,
        back_steps: bytes.u64()?,
        versions_evicted: bytes.u64()?,
        observer_failures: bytes.u64()?,
    })
}

const fn response_code(response: Reaction) -> u8 {
    match response {
        Reaction::Record => 0,
        Reaction::Alert => 1,
        Reaction::Retrain => 2,
        Reaction::AlertAndRetrain => 3,
    }
}

fn read_life(bytes: &mut Reader<'_>) -> Result<OwnLife, DecodeError> {
    let some = bytes.u8()? == 1;
    let key = bytes.u64()?;
    let severity = match bytes.u8()? {
        0 => Severity::Info,
        1 => Severity::Warning,
        2 => Severity::Critical,
        _ => return Err(DecodeError::Range { field: "severity" }),
    };
    let response = match bytes.u8()? {
        0 => Reaction::Record,
        1 => Reaction::Alert,
        2 => Reaction::Retrain,
        3 => Reaction::AlertAndRetrain,
        _ => return Err(DecodeError::Range { field: "response" }),
    };
    let series = some.then_some(SeriesKey::from_hash(key));
    Ok(OwnLife { series, life: AlertLife::read(bytes)?, response, severity })
}
