//! What is watched in a simulation: rules that fire often, and observers of one's own that panic on some events.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use visu_tility_core::codec::{DecodeError, Reader};
use visu_tility_core::drift::PageHinkleyParams;
use visu_tility_core::{
    ChangeObserver, Check, DriftDetector, EventOrder, EventPolicy, MetricEvent, MetricObserver, MonitorPlan,
    ObserverAction, ObserverError, PerformanceDegrader, Persistence, Rule, Severity, StalenessObserver,
    Timestamp,
};

use crate::chance::Chance;

/// Values from here up to a thousandth more: the counter panics on them.
pub(crate) const POISON: f64 = 0.666;
/// Values on which the other one panics, too.
pub(crate) const POISON_FOR_ALL: f64 = 0.777;

fn is_near(value: Option<f64>, poison: f64) -> bool {
    value.is_some_and(|value| (poison..poison + 1e-3).contains(&value))
}

/// Counts, tells of every few events, and panics on poison.
#[derive(Clone)]
struct Counter {
    seen: u64,
    every: u64,
}

impl MetricObserver for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        self.seen += 1;
        let poison = is_near(event.value(), POISON) || is_near(event.value(), POISON_FOR_ALL);
        assert!(!poison, "poison");
        if self.seen.is_multiple_of(self.every) {
            return Ok(ObserverAction::alert(Severity::Info, self.seen.to_string()));
        }
        Ok(ObserverAction::NoOp)
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.seen.to_le_bytes());
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.seen = bytes.u64()?;
        bytes.finish()
    }
}

/// Tells of low values, and asks for a retrain at very low ones; remembers nothing.
#[derive(Clone)]
struct Low;

impl MetricObserver for Low {
    fn name(&self) -> &'static str {
        "low"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        assert!(!is_near(event.value(), POISON_FOR_ALL), "poison for all");
        Ok(match event.value() {
            #[cfg(feature = "automated_retraining")]
            Some(value) if value < 0.2 => ObserverAction::retrain("very low"),
            Some(value) if value < 0.5 => ObserverAction::alert(Severity::Warning, "low"),
            _ => ObserverAction::NoOp,
        })
    }
}

/// Counts minutes, and panics in some of them.
#[derive(Clone)]
struct Ticker {
    minutes: u64,
}

impl MetricObserver for Ticker {
    fn name(&self) -> &'static str {
        "ticker"
    }

    fn on_metric(&mut self, _: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        Ok(ObserverAction::NoOp)
    }

    fn on_tick(&mut self, now: Timestamp) -> Result<ObserverAction, ObserverError> {
        self.minutes += 1;
        assert!((now.micros() / 1_000).rem_euclid(7) != 0, "a bad minute");
        Ok(ObserverAction::NoOp)
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.minutes.to_le_bytes());
    }

    fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.minutes = bytes.u64()?;
        bytes.finish()
    }
}

thread_local! {
    /// States that cannot be written, in a thousand, and who draws them.
    static SPOILS: RefCell<(u64, Chance)> = RefCell::new((0, Chance::new(0, 9)));
    /// Whether one could not since it was asked last.
    static SPOILT: Cell<bool> = const { Cell::new(false) };
}

/// From now on so many of a thousand states cannot be written on this thread.
pub(crate) fn spoil(per_mille: u64, seed: u64) {
    SPOILS.set((per_mille, Chance::new(seed, 9)));
}

/// Whether a state could not be written since this was asked last.
pub(crate) fn was_spoilt() -> bool {
    SPOILT.take()
}

/// Remembers nothing, and cannot always say so.
#[derive(Clone)]
struct Scribbler;

impl MetricObserver for Scribbler {
    fn name(&self) -> &'static str {
        "scribbler"
    }

    fn on_metric(&mut self, _: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        Ok(ObserverAction::NoOp)
    }

    fn write_state(&self, _: &mut Vec<u8>) {
        let spoilt = SPOILS.with_borrow_mut(|(rate, chance)| *rate > 0 && chance.below(1_000) < *rate);
        if spoilt {
            SPOILT.set(true);
        }
        assert!(!spoilt, "no ink");
    }
}

/// Draws plans that share their observers of one's own, as those of one program do.
pub(crate) fn draw(chance: &mut Chance, ticker: bool, scribbler: bool) -> Vec<Arc<MonitorPlan>> {
    let counter = Counter { seen: 0, every: chance.between(2, 9) };
    let mut base = MonitorPlan::empty().with_observer(Box::new(counter)).unwrap();
    if chance.percent(60) {
        base = base.with_observer(Box::new(Low)).unwrap();
    }
    if ticker {
        base = base.with_observer(Box::new(Ticker { minutes: 0 })).unwrap();
    }
    if scribbler {
        base = base.with_observer(Box::new(Scribbler)).unwrap();
    }
    (0..chance.between(1, 4)).map(|_| Arc::new(draw_one(base.clone(), chance))).collect()
}

fn draw_one(base: MonitorPlan, chance: &mut Chance) -> MonitorPlan {
    let order = if chance.percent(30) { EventOrder::Strict } else { EventOrder::Arrival };
    let lateness_max = chance.millis(500, 120_000);
    let policy = EventPolicy { order, lateness_max, ..EventPolicy::default() };
    let mut plan = base.with_events(policy).unwrap();
    let mut add = |name: &str, check: Check, percent: u64, chance: &mut Chance| {
        if chance.percent(percent) {
            let mut rule = Rule::new(name, check).unwrap();
            rule.persistence = persistence(chance);
            plan = plan.clone().with_rule(rule).unwrap();
        }
    };
    let floor = 0.5 + chance.below(40) as f64 / 100.0;
    add("floor", Check::Performance(PerformanceDegrader::new(floor).unwrap()), 70, chance);
    let score = 0.2 + chance.below(50) as f64 / 100.0;
    add("score", Check::DriftScore(DriftDetector::new(score).unwrap()), 50, chance);
    let silence = Duration::from_secs(chance.between(5, 60));
    add("silence", Check::Staleness(StalenessObserver::after(silence).unwrap()), 60, chance);
    let change = PageHinkleyParams { min_instances: 5, threshold: 0.5, ..PageHinkleyParams::default() };
    add("change", Check::Change(ChangeObserver::new(change).unwrap()), 50, chance);
    plan
}

/// Often none, else waits that timers must end.
fn persistence(chance: &mut Chance) -> Persistence {
    let none = Persistence::default();
    if chance.percent(50) {
        return none;
    }
    Persistence {
        for_time: chance.millis(0, 20_000),
        for_count: chance.between(1, 3) as u32,
        keep_firing: chance.millis(0, 30_000),
        keep_count: chance.between(1, 3) as u32,
    }
}
