//! A detector under test: its plan's name and parameters, or several of which any may alarm.

use visu_tility_drift::{
    AnyDetector, AnyParams, BatcherParams, Detector, PreparationParams, Prepared, Setting,
};

/// What a stream of right and wrong answers is fed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feed {
    /// 1 is a wrong answer.
    Error,
    /// 1 is a right answer, and any other value is itself.
    Plain,
}

/// A detector's name in a plan, and what differs from its defaults.
pub(crate) type Part = (&'static str, &'static [(&'static str, Setting<'static>)]);

/// One row of a table.
pub(crate) struct Contender {
    /// How the row is called.
    pub(crate) label: &'static str,
    /// Alarms when one of them does.
    pub(crate) parts: &'static [Part],
    pub(crate) feed: Feed,
}

/// The detectors of a contender.
#[derive(Clone)]
pub(crate) struct Panel {
    parts: Vec<AnyDetector>,
    /// Starts afresh after an alarm, what stands before it included.
    afresh: bool,
}

impl Contender {
    /// Builds it, or nothing when this build lacks one of its detectors.
    pub(crate) fn build(&self) -> Option<Panel> {
        let default_plan = self.label.ends_with("(the default plan)");
        let build = |(name, settings): &Part| {
            let mut params = AnyParams::by_name(name)?;
            for (key, value) in *settings {
                if let Err(error) = params.set(key, *value) {
                    panic!("{}: {error}", self.label);
                }
            }
            let detector = params.build().expect("parameters of a contender are in range");
            // As in the default plan, where the detector itself starts afresh and the batcher does not.
            let batch = default_plan.then_some(BatcherParams { early: true, ..BatcherParams::default() });
            let stages = PreparationParams { batch, ..PreparationParams::default() };
            Some(if default_plan { Prepared::new(stages, detector).ok()?.into() } else { detector })
        };
        let parts = self.parts.iter().map(build).collect::<Option<Vec<_>>>()?;
        Some(Panel { parts, afresh: !default_plan })
    }
}

impl Panel {
    /// Returns where it alarms; as in the recorded tables it starts afresh after each.
    pub(crate) fn alarms(&mut self, values: impl Iterator<Item = f64>) -> Vec<usize> {
        self.parts.iter_mut().for_each(Detector::reset);
        let mut found = Vec::new();
        for (i, value) in values.enumerate() {
            // Every part takes the value, also behind one that alarms.
            let alarmed =
                self.parts.iter_mut().filter_map(|one| one.update(value).drift_detected().then_some(()));
            if alarmed.count() > 0 {
                found.push(i);
                self.parts.iter_mut().filter(|_| self.afresh).for_each(Detector::reset);
            }
        }
        found
    }
}
