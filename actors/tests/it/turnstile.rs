//! An observer that stops at a gate until the test opens it.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use visu_tility_core::{
    MetricEvent, MetricObserver, ObserverAction, ObserverError, Severity, Timestamp, codec,
};

/// The value that a [`Turnstile`] does not come back from, if its gate is shut.
pub(crate) const STUCK: f64 = 0.123;
/// What it does not come back from besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Event,
    Write,
    Read,
    Tick,
}

/// Where a thread waits until the test lets it go.
#[derive(Default)]
pub(crate) struct Gate {
    /// How many came, and whether it is open.
    state: Mutex<(u64, bool)>,
    moved: Condvar,
}

impl Gate {
    pub(crate) fn pass(&self) {
        let mut state = self.state.lock();
        state.0 += 1;
        self.moved.notify_all();
        while !state.1 {
            self.moved.wait(&mut state);
        }
    }

    /// Waits until somebody is at the gate.
    pub(crate) fn reached(&self, comers: u64) {
        let mut state = self.state.lock();
        while state.0 < comers {
            self.moved.wait(&mut state);
        }
    }

    pub(crate) fn comers(&self) -> u64 {
        self.state.lock().0
    }

    pub(crate) fn open(&self) {
        self.state.lock().1 = true;
        self.moved.notify_all();
    }
}

/// Opens its gate when the test ends, however it ends.
pub(crate) struct Opens(pub(crate) Arc<Gate>);

impl Drop for Opens {
    fn drop(&mut self) {
        self.0.open();
    }
}

/// Counts values, alerts on low ones, and stops at its gate when it has seen [`STUCK`].
#[derive(Clone)]
pub(crate) struct Turnstile {
    gate: Arc<Gate>,
    at: At,
    seen: u64,
    sum: f64,
    struck: bool,
}

impl Turnstile {
    pub(crate) fn new(gate: &Arc<Gate>, at: At) -> Self {
        Self { gate: Arc::clone(gate), at, seen: 0, sum: 0.0, struck: false }
    }
}

impl MetricObserver for Turnstile {
    fn name(&self) -> &'static str {
        "turnstile"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        let value = event.value().unwrap_or(0.0);
        self.seen += 1;
        self.sum += value;
        self.struck |= value == STUCK;
        if self.at == At::Event && value == STUCK {
            self.gate.pass();
        }
        Ok(if value < 0.3 { ObserverAction::alert(Severity::Info, "low") } else { ObserverAction::NoOp })
    }

    fn on_tick(&mut self, _: Timestamp) -> Result<ObserverAction, ObserverError> {
        if self.at == At::Tick && self.struck {
            self.gate.pass();
        }
        Ok(ObserverAction::NoOp)
    }

    fn write_state(&self, out: &mut Vec<u8>) {
        if self.at == At::Write && self.struck {
            self.gate.pass();
        }
        out.extend_from_slice(&self.seen.to_le_bytes());
        out.extend_from_slice(&self.sum.to_bits().to_le_bytes());
        out.push(u8::from(self.struck));
    }

    fn read_state(&mut self, bytes: &mut codec::Reader<'_>) -> Result<(), codec::DecodeError> {
        self.seen = bytes.u64()?;
        self.sum = f64::from_bits(bytes.u64()?);
        self.struck = bytes.u8()? == 1;
        if self.at == At::Read && self.struck {
            self.gate.pass();
        }
        bytes.finish()
    }
}
