//! What is timed: detectors by their plan's names, under which parameters, on which stream, with which bar.

use std::error::Error;
use std::fmt::Write as _;

use visu_tility_drift::Setting::{self, Count, Flag, Number, Word};
use visu_tility_drift::{AnyDetector, AnyParams};

use crate::stream::Stream::{self, Bits, Counts, Latency, Normal, Uniform};

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    name: &'static str,
    settings: &'static [(&'static str, Setting<'static>)],
    pub stream: Stream,
    /// At most so many nanoseconds per value.
    pub bar: Option<f64>,
}

impl Row {
    const fn new(name: &'static str, stream: Stream) -> Self {
        Self { name, settings: &[], stream, bar: None }
    }

    const fn bar(self, ns: f64) -> Self {
        Self { bar: Some(ns), ..self }
    }

    const fn with(self, settings: &'static [(&'static str, Setting<'static>)]) -> Self {
        Self { settings, ..self }
    }

    /// Returns the name and what differs from the defaults.
    pub fn label(&self) -> String {
        let mut label = self.name.to_owned();
        for (key, value) in self.settings {
            // Writing to a string cannot fail.
            let _ = match value {
                Number(number) => write!(label, ", {key} {number}"),
                Count(count) => write!(label, ", {key} {count}"),
                Word(word) => write!(label, ", {word}"),
                Flag(true) => write!(label, ", {key}"),
                Flag(false) => write!(label, ", not {key}"),
                _ => Ok(()),
            };
        }
        label
    }

    /// Builds the detector, or nothing when there is none of that name.
    pub fn build(&self) -> Result<Option<AnyDetector>, Box<dyn Error>> {
        let Some(mut params) = AnyParams::by_name(self.name) else { return Ok(None) };
        for (key, value) in self.settings {
            params.set(key, *value)?;
        }
        Ok(Some(params.build()?))
    }
}

/// The rows with parameters or bars of their own. The label shows what is set.
const ROWS: &[Row] = &[
    Row::new("e-sr", Bits).with(&[("m_pre", Number(0.12))]).bar(25.0),
    Row::new("e-sr", Bits).with(&[("m_pre", Number(0.12)), ("max_components", Count(64))]),
    Row::new("focus", Normal).with(&[("family", Word("gaussian")), ("known", Flag(true))]).bar(120.0),
    Row::new("focus", Normal).with(&[("family", Word("gaussian")), ("known", Flag(false))]).bar(120.0),
    Row::new("focus", Normal)
        .with(&[("family", Word("gaussian")), ("known", Flag(false)), ("mode", Word("both"))])
        .bar(120.0),
    Row::new("focus", Bits).with(&[("family", Word("bernoulli")), ("known", Flag(false))]),
    Row::new("focus", Counts).with(&[("family", Word("poisson")), ("known", Flag(false))]),
    Row::new("cusum", Bits),
    Row::new("cusum", Normal).with(&[("family", Word("gaussian")), ("baseline", Number(0.0))]),
    Row::new("exceedance", Latency),
    Row::new("confidence-sequence", Bits),
    Row::new("confidence-sequence", Uniform),
    Row::new("conformal-sr", Latency),
    Row::new("distribution", Normal),
    Row::new("adwin", Bits).bar(60.0),
    Row::new("adwin", Uniform).bar(60.0),
    Row::new("adwin", Bits).with(&[("clock", Count(1))]),
    Row::new("page-hinkley", Bits).bar(10.0),
    Row::new("median-shift", Latency),
    Row::new("novelty", Bits),
    Row::new("novelty", Latency),
    // Without drifts, which would leave the window short.
    Row::new("kswin", Uniform).with(&[("alpha", Number(1e-9))]).bar(500.0),
    Row::new("kswin", Uniform).with(&[("alpha", Number(1e-9)), ("sample", Word("random"))]),
    Row::new("bocpd", Normal).with(&[("family", Word("gaussian"))]).bar(2000.0),
    Row::new("bocpd", Bits).with(&[("family", Word("bernoulli"))]).bar(2000.0),
    Row::new("bocpd", Counts).with(&[("family", Word("poisson"))]).bar(2000.0),
    Row::new("ddm", Bits).bar(10.0),
    Row::new("eddm", Bits).bar(10.0),
    Row::new("hddm-a", Bits).bar(25.0),
    Row::new("hddm-a", Bits).with(&[("two_sided_test", Flag(true))]).bar(25.0),
    Row::new("hddm-w", Bits).bar(15.0),
    Row::new("hddm-w", Bits).with(&[("two_sided_test", Flag(true))]).bar(15.0),
];

/// Returns those rows, then the defaults of every detector that has none.
pub fn rows() -> Vec<Row> {
    let mut rows = ROWS.to_vec();
    for name in AnyParams::NAMES {
        if ROWS.iter().all(|row| row.name != *name)
            && let Some(params) = AnyParams::by_name(name)
        {
            rows.push(Row::new(name, Stream::of(params.input())));
        }
    }
    rows
}
