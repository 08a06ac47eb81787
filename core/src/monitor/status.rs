//! What a monitor shows to who asks: plain data, made on request.

use std::collections::BTreeMap;

use serde::Serialize;
use visu_tility_drift::{Direction, Level};

use crate::alert::{AlertLife, AlertPhase};
use crate::id::{ModelId, Version};
use crate::kind::MetricKind;
use crate::time::Timestamp;

use super::body::{Body, Counts};
use super::series::{BEFORE, Series};

/// A monitor as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct MonitorStatus {
    /// The model.
    pub model_id: ModelId,
    /// The largest time seen, in events and by timers; `None` before the first, also after a reset.
    pub now: Option<Timestamp>,
    /// Offset of the last reading taken.
    pub last_offset: u64,
    /// Values taken, missing ones included.
    pub taken: u64,
    /// Of those, older than the newest of their series.
    pub late: u64,
    /// Of those, missing.
    pub missing: u64,
    /// Refused as too late.
    pub too_late: u64,
    /// Refused as repeats.
    pub repeated: u64,
    /// Times that a publisher's clock was found to be set back.
    pub back_steps: u64,
    /// Versions that gave way to newer ones.
    pub versions_evicted: u64,
    /// Failures and panics of the user's observers.
    pub observer_failures: u64,
    /// Versions and kinds, in the order in which they were first seen.
    pub series: Vec<SeriesStatus>,
    /// Observers of the model as a whole.
    pub observers: Vec<ObserverStatus>,
}

/// One version and kind.
#[derive(Clone, Debug, Serialize)]
pub struct SeriesStatus {
    /// The version.
    pub version: Version,
    /// The kind.
    pub kind: MetricKind,
    /// Values taken.
    pub taken: u64,
    /// The newest time; `None` before the first value.
    pub newest: Option<Timestamp>,
    /// Who watches it.
    pub observers: Vec<ObserverStatus>,
}

/// One observer, on one version and kind or on the model as a whole.
#[derive(Clone, Debug, Serialize)]
pub struct ObserverStatus {
    /// Its name.
    pub name: String,
    /// What it checks; `own` for one of the user's.
    pub check: String,
    /// What its detector said last.
    pub level: Level,
    /// Which way the series went.
    pub direction: Direction,
    /// What it computed.
    pub statistic: f64,
    /// What it holds that against; `None` while its detector has none yet, and for one of the user's own.
    pub threshold: Option<f64>,
    /// Its alert.
    pub alert: AlertStatus,
    /// Further figures, such as `p95`.
    pub figures: BTreeMap<&'static str, f64>,
}

/// An observer's alert.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct AlertStatus {
    /// Where it is in its life.
    pub phase: AlertPhase,
    /// When the condition was first seen; `None` when inactive.
    pub started: Option<Timestamp>,
    /// When it fired; `None` when it is not out.
    pub fired: Option<Timestamp>,
}

impl AlertStatus {
    fn of(life: &AlertLife) -> Self {
        Self {
            phase: life.phase(),
            started: life.is_alive().then(|| life.started()),
            fired: life.is_out().then(|| life.fired()),
        }
    }
}

impl Body {
    /// Shows the monitor as it is now. Cost: all observers, and some allocations; not for the hot path.
    pub fn status(&self) -> MonitorStatus {
        let Counts {
            evicted_taken: _,
            late,
            missing,
            too_late,
            repeated,
            back_steps,
            versions_evicted,
            observer_failures,
        } = self.counts;
        let mut observers = self.switch_statuses();
        observers.extend(self.own_statuses(None));
        MonitorStatus {
            model_id: self.model.clone(),
            now: Some(self.now()).filter(|now| *now > Timestamp::EPOCH),
            last_offset: self.last_offset,
            taken: self.taken(),
            late,
            missing,
            too_late,
            repeated,
            back_steps,
            versions_evicted,
            observer_failures,
            series: self.series.iter().map(|series| self.series_status(series)).collect(),
            observers,
        }
    }

    /// Counts the alerts that are out.
    pub fn alerts_out(&self) -> usize {
        let instances = self.series.iter().flat_map(Series::instances);
        instances.filter(|instance| instance.life().is_out()).count()
            + self.switches.iter().filter(|switch| switch.life.is_out()).count()
            + self.own.as_ref().map_or(0, |own| own.observers.iter().map(|o| o.lives.len()).sum())
    }

    fn series_status(&self, series: &Series) -> SeriesStatus {
        let mut observers: Vec<ObserverStatus> = Vec::new();
        for instance in series.instances() {
            let Some(rule) = self.rule(instance.rule) else { continue };
            let signal = instance.state.signal();
            let mut figures = Vec::new();
            instance.state.figures(&mut figures);
            observers.push(ObserverStatus {
                name: rule.name.to_string(),
                check: rule.check.type_name().to_owned(),
                level: signal.level,
                direction: signal.direction,
                statistic: signal.statistic,
                threshold: (signal.threshold < f64::MAX).then_some(signal.threshold),
                alert: AlertStatus::of(&instance.life()),
                figures: figures.into_iter().filter(|(_, value)| value.is_finite()).collect(),
            });
        }
        observers.extend(self.own_statuses(Some(series)));
        SeriesStatus {
            version: series.info.version.clone(),
            kind: series.info.kind.clone(),
            taken: series.taken,
            newest: (series.newest != BEFORE).then_some(series.newest),
            observers,
        }
    }

    fn switch_statuses(&self) -> Vec<ObserverStatus> {
        let switches = self.switches.iter().filter_map(|switch| {
            let rule = self.rule(switch.rule)?;
            let limit = switch.silence.limit().as_secs_f64();
            let silent = switch.silence.last().map_or(0.0, |last| self.now().since(last).as_secs_f64());
            Some(ObserverStatus {
                name: rule.name.to_string(),
                check: rule.check.type_name().to_owned(),
                level: if switch.life.is_out() { Level::Drift } else { Level::Normal },
                direction: Direction::Unknown,
                statistic: silent,
                threshold: Some(limit),
                alert: AlertStatus::of(&switch.life),
                figures: BTreeMap::new(),
            })
        });
        switches.collect()
    }

    /// The user's observers that want this series; for `None`, what they said on ticks.
    fn own_statuses(&self, series: Option<&Series>) -> Vec<ObserverStatus> {
        let Some(own) = &self.own else { return Vec::new() };
        let key = series.map(|series| series.key);
        let wanted = |i: usize| series.is_none_or(|series| series.wanted & (1 << i) != 0);
        let observers = own.observers.iter().enumerate().filter(|(i, _)| wanted(*i));
        let with_life = observers.map(|(_, own)| (own, own.lives.iter().find(|life| life.series == key)));
        with_life
            .filter(|(_, life)| series.is_some() || life.is_some())
            .map(|(own, life)| ObserverStatus {
                name: own.name.to_string(),
                check: "own".to_owned(),
                level: if life.is_some_and(|life| life.life.is_out()) { Level::Drift } else { Level::Normal },
                direction: Direction::Unknown,
                statistic: 0.0,
                threshold: None,
                alert: life.map(|life| AlertStatus::of(&life.life)).unwrap_or_default(),
                figures: BTreeMap::from([("failures", own.failures as f64)]),
            })
            .collect()
    }
}
