//! What a distribution check keeps of one version and kind.

use std::sync::Arc;

use visu_tility_drift::codec::{DecodeError, Reader, put_f64, put_str, put_u32, put_u64};
use visu_tility_drift::{DistributionShiftParams, Histogram, HistogramDrift, Level, Signal};

use super::{Settings, Source};
use crate::alert::AlertCondition;
use crate::check::Verdict;
use crate::check::allowance::Shared;
use crate::check::budgeted::{Budgeted, FollowsBudget};
use crate::id::Version;
use crate::time::Timestamp;

/// The edges are the quantiles of at most this many first values.
const EDGES_FROM: u32 = 256;
/// Values that are compared are within this.
const VALUE_LIMIT: f64 = 1e100;

/// A reference, and the windows that are held against it.
#[derive(Clone, Debug)]
pub(crate) struct DistributionState {
    settings: Arc<Settings>,
    /// Numbers seen.
    taken: u64,
    /// Values that were due and not there.
    missing: u64,
    /// Windows compared.
    windows: u64,
    phase: Budgeted<Phase>,
    /// Of the last whole window.
    last: Signal,
}

/// How far the reference has come.
#[derive(Clone, Debug)]
enum Phase {
    /// Another version's is not there yet.
    Waiting,
    /// Values for the edges.
    Edges(Vec<f64>),
    /// Edges are there, the reference is counted.
    Counting(Histogram),
    Watching {
        /// What was learnt or copied; what is given stands in the settings.
        reference: Option<Histogram>,
        windows: HistogramDrift,
    },
}

impl Phase {
    const LEARNING: Self = Self::Edges(Vec::new());
}

/// Each window is judged by itself: there is no evidence that would count later.
impl FollowsBudget for Phase {
    fn run_length(&self) -> Option<f64> {
        match self {
            Self::Watching { windows, .. } => Some(windows.arl()),
            _ => None,
        }
    }

    fn set_run_length(&mut self, arl: f64) {
        if let Self::Watching { windows, .. } = self {
            windows.set_arl(arl);
        }
    }
}

impl DistributionState {
    pub(super) fn new(settings: Arc<Settings>, version: &Version) -> Self {
        let phase = match (&settings.source, &settings.prototype) {
            (Source::Given(_), Some(windows)) => {
                Phase::Watching { reference: None, windows: windows.clone() }
            }
            (Source::Version(named), _) if named != version => Phase::Waiting,
            _ => Phase::LEARNING,
        };
        let mut phase = Budgeted::new(phase, settings.budgeted);
        phase.aim();
        let (taken, missing, windows, last) = (0, 0, 0, Signal::default());
        Self { settings, taken, missing, windows, phase, last }
    }

    pub fn observe(&mut self, value: f64, at: Timestamp) -> Verdict {
        if value.is_nan() {
            self.missing += 1;
            return Verdict::level(self.condition());
        }
        self.taken += 1;
        self.phase.note(self.taken, at);
        match &mut self.phase.detector {
            Phase::Watching { windows, .. } => {
                let signal = windows.update(value);
                if windows.filled() == 0 {
                    return self.compared(signal);
                }
            }
            Phase::Waiting => {}
            Phase::Edges(_) | Phase::Counting(_) => self.learn(value),
        }
        Verdict::level(self.condition())
    }

    /// Takes what was said of a whole window.
    fn compared(&mut self, signal: Signal) -> Verdict {
        let before = std::mem::replace(&mut self.last, signal);
        self.windows += 1;
        let drifted = signal.level == Level::Drift;
        let news = before.level != Level::Drift || before.direction != signal.direction;
        Verdict { condition: self.condition(), detected: drifted && news }
    }

    /// What the last whole window means for the alert.
    const fn condition(&self) -> AlertCondition {
        match (self.windows, self.last.level) {
            (0, _) => AlertCondition::Hold,
            (_, Level::Drift) => AlertCondition::Fire,
            _ => AlertCondition::Clear,
        }
    }

    fn learn(&mut self, value: f64) {
        let DistributionShiftParams { reference, bins, .. } = self.settings.params;
        match &mut self.phase.detector {
            Phase::Edges(values) => {
                values.push(value.clamp(-VALUE_LIMIT, VALUE_LIMIT));
                if values.len() < reference.min(EDGES_FROM) as usize {
                    return;
                }
                // There are numbers, and they are finite.
                let Ok(mut counts) = Histogram::around(values, bins as usize) else { return };
                for &value in values.iter() {
                    counts.insert(value);
                }
                self.phase.detector = Phase::Counting(counts);
            }
            Phase::Counting(counts) => counts.insert(value),
            Phase::Waiting | Phase::Watching { .. } => return,
        }
        if let Phase::Counting(counts) = &mut self.phase.detector
            && counts.total() >= reference.into()
        {
            let counts = counts.clone();
            self.watch(counts);
        }
    }

    /// Begins to watch, or to learn again where the counts allow no law (they always do).
    fn watch(&mut self, reference: Histogram) {
        let DistributionShiftParams { distance, window, arl, .. } = self.settings.params;
        self.phase.put(match HistogramDrift::new(&reference, distance, window, arl) {
            Ok(windows) => Phase::Watching { reference: Some(reference), windows },
            Err(_) => Phase::LEARNING,
        });
    }

    /// Takes its share of the model's budget.
    pub fn share(&mut self, share: Shared) {
        self.phase.share(share);
    }

    /// Measures the rate of values from the next one on.
    pub fn measure_afresh(&mut self) {
        self.phase.measure_afresh();
    }

    pub const fn is_budgeted(&self) -> bool {
        self.phase.is_budgeted()
    }

    /// The version whose reference it waits for, when it is time to ask.
    pub fn asks_for(&self) -> Option<&Version> {
        match (&self.phase.detector, &self.settings.source) {
            (Phase::Waiting, Source::Version(version)) if self.taken.is_power_of_two() => Some(version),
            _ => None,
        }
    }

    /// Its own reference, for other versions.
    pub const fn lends(&self) -> Option<&Histogram> {
        match &self.phase.detector {
            Phase::Watching { reference, .. } => reference.as_ref(),
            _ => None,
        }
    }

    /// Takes another version's reference.
    pub fn borrows(&mut self, reference: Histogram) {
        if matches!(self.phase.detector, Phase::Waiting) {
            self.watch(reference);
        }
    }

    pub const fn signal(&self) -> Signal {
        self.last
    }

    pub fn figures(&self, out: &mut Vec<(&'static str, f64)>) {
        out.push(("missing", self.missing as f64));
        match &self.phase.detector {
            Phase::Waiting => out.push(("waiting", self.taken as f64)),
            Phase::Edges(values) => out.extend(self.learning(values.len() as u64)),
            Phase::Counting(counts) => out.extend(self.learning(counts.total())),
            Phase::Watching { windows, .. } => {
                if self.windows > 0 {
                    out.push(("distance", self.last.statistic));
                    out.extend(windows.p_value(self.last.statistic).map(|p| ("p_value", p)));
                }
                out.extend([
                    ("threshold", windows.threshold()),
                    ("windows", self.windows as f64),
                    ("window_filled", f64::from(windows.filled())),
                    ("reference_size", windows.reference_size() as f64),
                    ("arl", windows.arl()),
                ]);
            }
        }
        self.phase.figures(out);
    }

    /// How much of the reference is there, and how much is still to come.
    fn learning(&self, counted: u64) -> [(&'static str, f64); 2] {
        let left = u64::from(self.settings.params.reference).saturating_sub(counted);
        [("learning", counted as f64), ("learning_left", left as f64)]
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        let DistributionShiftParams { reference, bins, .. } = self.settings.params;
        put_u32(out, reference);
        put_u32(out, bins);
        put_str(out, self.source());
        self.phase.write_allowance(out);
        for count in [self.taken, self.missing, self.windows] {
            put_u64(out, count);
        }
        self.last.write(out);
        match &self.phase.detector {
            Phase::Waiting => out.push(0),
            Phase::Edges(values) => {
                out.push(1);
                put_u32(out, values.len() as u32);
                for &value in values {
                    put_f64(out, value);
                }
            }
            Phase::Counting(counts) => {
                out.push(2);
                counts.write(out);
            }
            Phase::Watching { reference, windows } => {
                out.push(if reference.is_some() { 3 } else { 4 });
                if let Some(reference) = reference {
                    reference.write(out);
                }
                windows.write_state(out);
            }
        }
    }

    /// Tells the sources apart in what is written; a version is never empty and has no blanks.
    fn source(&self) -> &str {
        match &self.settings.source {
            Source::First => "",
            Source::Given(_) => " given",
            Source::Version(version) => version.as_str(),
        }
    }

    pub fn read(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        let DistributionShiftParams { reference, bins, .. } = self.settings.params;
        let same = (bytes.u32()?, bytes.u32()?) == (reference, bins);
        if !same || bytes.str("source")? != self.source() {
            return Err(DecodeError::Parameters { what: "distribution" });
        }
        let mut read = self.clone();
        read.phase.read_allowance(bytes)?;
        (read.taken, read.missing, read.windows) = (bytes.u64()?, bytes.u64()?, bytes.u64()?);
        if [read.taken, read.missing, read.windows].iter().any(|&count| count > 1 << 60) {
            return Err(DecodeError::Range { field: "taken" });
        }
        read.last = Signal::read(bytes)?;
        read.read_phase(bytes)?;
        *self = read;
        Ok(())
    }

    fn read_phase(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        let wanted = self.settings.params.reference;
        let bad = |field| Err(DecodeError::Range { field });
        let own = !matches!(self.settings.source, Source::Given(_));
        self.phase.detector = match bytes.u8()? {
            0 if matches!(self.settings.source, Source::Version(_)) => Phase::Waiting,
            1 if own => {
                let count = bytes.u32()?;
                if count >= wanted.min(EDGES_FROM) {
                    return bad("values");
                }
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(bytes.finite("values")?);
                }
                if values.iter().any(|value| value.abs() > VALUE_LIMIT) {
                    return bad("values");
                }
                Phase::Edges(values)
            }
            2 if own => {
                let counts = Histogram::read(bytes)?;
                if counts.counts().len() > 64 || counts.total() >= wanted.into() {
                    return bad("reference");
                }
                Phase::Counting(counts)
            }
            3 if own => {
                self.watch(Histogram::read(bytes)?);
                let Phase::Watching { windows, .. } = &mut self.phase.detector else {
                    return bad("reference");
                };
                return windows.read_state(bytes);
            }
            4 if !own => {
                let Phase::Watching { windows, .. } = &mut self.phase.detector else {
                    return bad("reference");
                };
                return windows.read_state(bytes);
            }
            _ => return bad("phase"),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
