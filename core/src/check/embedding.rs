//! A change of the distribution of vectors, such as embeddings, of one version and kind.

use std::sync::{Arc, OnceLock};

use visu_tility_drift::codec::{DecodeError, Reader, put_u32, put_u64};
use visu_tility_drift::{
    CentroidShift, CentroidShiftParams, Level, OnlineMmd, OnlineMmdParams, Signal, VectorError,
};

use super::allowance::Shared;
use super::budgeted::{Budgeted, FollowsBudget};
use super::distribution::usual_arl;
use super::standalone::Standalone;
use super::{Check, Verdict};
use crate::action::ObserverAction;
use crate::alert::AlertCondition;
use crate::error::ObserverError;
use crate::event::MetricEvent;
use crate::observer::MetricObserver;
use crate::time::Timestamp;

/// How vectors are compared, with the detector's parameters. Their `dimension` says nothing: it is learnt.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum EmbeddingMethod {
    /// The newest with all before, by maximum mean discrepancy: any change, no reference.
    Mmd(OnlineMmdParams),
    /// Each window's centroid with that of the first ones: a move as a whole, cheaper.
    Centroid(CentroidShiftParams),
}

impl EmbeddingMethod {
    /// The names, as in a plan.
    pub(crate) const NAMES: &'static [&'static str] = &["mmd", "centroid"];

    /// Names the method as a plan does.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Mmd(_) => "mmd",
            Self::Centroid(_) => "centroid",
        }
    }

    fn validate(&self) -> Result<(), ObserverError> {
        match self {
            Self::Mmd(params) => params.validate()?,
            Self::Centroid(params) => params.validate()?,
        }
        Ok(())
    }

    fn with_dimension(mut self, wanted: u32) -> Self {
        match &mut self {
            Self::Mmd(params) => params.dimension = wanted,
            Self::Centroid(params) => params.dimension = wanted,
        }
        self
    }

    /// With the run length that stands where the budget sets it.
    fn with_usual_arl(mut self) -> Self {
        match &mut self {
            Self::Mmd(params) => params.arl = OnlineMmdParams::default().arl,
            Self::Centroid(params) => params.arl = usual_arl(params.window),
        }
        self
    }
}

/// Tells when the vectors of a version and kind, such as the embeddings of what a model is asked, have changed.
///
/// Use it where the input is text or images and there is no number to watch. Nothing need be known: the dimension is
/// that of the first vector; a later vector of another length is counted as misshapen and changes nothing. How seldom
/// a false alarm may come follows from the model's budget ([`EmbeddingObserver::budgeted`], as by default) or from the
/// parameter `arl`. See [`OnlineMmd`] and [`CentroidShift`].
///
/// A change is recorded and fires. It is one instant, after which the detector learns anew: the alert stays out until
/// the plan's `keep_firing` has passed without another.
///
/// Kinds by default: `Embedding:*`. Only vectors are seen: a plan in which such a rule names other kinds alone is
/// refused, and no rule of this type ever matches a number, nor does any other but `data-quality` a vector.
///
/// Cost and state are those of the detector. State by default (`mmd`, 64 features): 40 KiB while it learns, or 64 bytes
/// times the dimension if that is more, then 1 KiB times log2 of the vectors, at most 31 KiB; with the largest 512
/// features eight times as much. `centroid`: 28 bytes times the dimension. The states of a rule share the random
/// directions (256 bytes times the dimension), as far as they have the dimension that came first.
///
/// # Examples
///
/// ```
/// use visu_tility_core::{EmbeddingObserver, MetricEvent, MetricObserver};
/// use visu_tility_core::drift::CentroidShiftParams;
///
/// let mut texts = EmbeddingObserver::centroid(CentroidShiftParams { arl: 1e5, ..Default::default() })?;
/// let noise = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1 << 24) as f32;
/// let vector = |i: u64| [noise(3 * i), noise(3 * i + 1), noise(3 * i + 2) + if i < 2_000 { 0.0 } else { 0.3 }];
/// let mut alarms = Vec::new();
/// for i in 0..3_000 {
///     let event = MetricEvent::embedding("support-bot", "question", vector(i))?;
///     if texts.on_metric(&event)?.as_str() == "alert" {
///         alarms.push(i);
///     }
/// }
/// assert_eq!(alarms, [2_099]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingObserver {
    settings: Arc<Settings>,
    seen: Standalone,
}

/// What all states of a rule share.
#[derive(Debug)]
struct Settings {
    method: EmbeddingMethod,
    /// The run length between false alarms follows from the plan's budget.
    budgeted: bool,
    /// A fresh detector of the dimension that came first: its clones share the directions.
    prototype: OnceLock<VectorDetector>,
}

impl PartialEq for Settings {
    /// The prototype follows from what comes.
    fn eq(&self, other: &Self) -> bool {
        (&self.method, self.budgeted) == (&other.method, other.budgeted)
    }
}

impl Settings {
    /// A fresh detector; `None` for a dimension that no vector has.
    fn detector(&self, dimension: u32) -> Option<VectorDetector> {
        if let Some(prototype) = self.prototype.get()
            && prototype.dimension() == dimension
        {
            return Some(prototype.clone());
        }
        let fresh = match self.method.with_dimension(dimension) {
            EmbeddingMethod::Mmd(params) => VectorDetector::Mmd(OnlineMmd::new(params).ok()?),
            EmbeddingMethod::Centroid(params) => VectorDetector::Centroid(CentroidShift::new(params).ok()?),
        };
        // Whichever comes first stays; both are alike.
        let _ = self.prototype.set(fresh.clone());
        Some(fresh)
    }
}

impl Default for EmbeddingObserver {
    /// Maximum mean discrepancy with 64 random directions, within the plan's budget.
    fn default() -> Self {
        Self::of(EmbeddingMethod::Mmd(OnlineMmdParams::default()), true)
    }
}

impl EmbeddingObserver {
    /// Builds a check that compares the newest vectors with all before.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`], naming the parameter, when one is out of its range.
    pub fn mmd(params: OnlineMmdParams) -> Result<Self, ObserverError> {
        Self::new(EmbeddingMethod::Mmd(params))
    }

    /// Builds a check that compares each window's centroid with that of the first vectors.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`], naming the parameter, when one is out of its range.
    pub fn centroid(params: CentroidShiftParams) -> Result<Self, ObserverError> {
        Self::new(EmbeddingMethod::Centroid(params))
    }

    /// Builds a check with a method.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`], naming the parameter, when one is out of its range.
    pub fn new(method: EmbeddingMethod) -> Result<Self, ObserverError> {
        let method = method.with_dimension(1);
        method.validate()?;
        Ok(Self::of(method, false))
    }

    fn of(method: EmbeddingMethod, budgeted: bool) -> Self {
        // What is learnt need not be told apart.
        let method = method.with_dimension(1);
        let settings = Settings { method, budgeted, prototype: OnceLock::new() };
        Self { settings: Arc::new(settings), seen: Standalone::default() }
    }

    /// Takes the run length between false alarms from the plan's budget instead of the parameter `arl`.
    #[must_use]
    pub fn budgeted(self) -> Self {
        Self::of(self.settings.method.with_usual_arl(), true)
    }

    /// The method and its parameters; `arl` says nothing when the plan's budget sets it.
    pub fn method(&self) -> &EmbeddingMethod {
        &self.settings.method
    }

    /// Whether the plan's budget sets the run length.
    pub fn is_budgeted(&self) -> bool {
        self.settings.budgeted
    }

    pub(super) fn start(&self) -> EmbeddingState {
        EmbeddingState {
            settings: Arc::clone(&self.settings),
            detector: Budgeted::new(OfDimension(None), self.settings.budgeted),
            missing: 0,
            last: Signal::default(),
        }
    }

    fn settings(&self) -> Check {
        let settings = Arc::clone(&self.settings);
        Check::Embedding(Self { settings, seen: Standalone::default() })
    }
}

impl MetricObserver for EmbeddingObserver {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        let check = self.settings();
        self.seen.alert(&check, event)
    }

    fn builtin(&self) -> Option<Check> {
        Some(self.settings())
    }
}

/// One of the detectors of vectors.
#[derive(Clone, Debug)]
enum VectorDetector {
    Mmd(OnlineMmd),
    Centroid(CentroidShift),
}

impl VectorDetector {
    const fn dimension(&self) -> u32 {
        match self {
            Self::Mmd(mmd) => mmd.params().dimension,
            Self::Centroid(centroid) => centroid.params().dimension,
        }
    }

    fn update(&mut self, vector: &[f32]) -> Result<Signal, VectorError> {
        match self {
            Self::Mmd(mmd) => mmd.update(vector),
            Self::Centroid(centroid) => centroid.update(vector),
        }
    }

    const fn count(&self) -> u64 {
        match self {
            Self::Mmd(mmd) => mmd.count(),
            Self::Centroid(centroid) => centroid.count(),
        }
    }

    /// Vectors refused, for their length or for a component.
    const fn misshapen(&self) -> u64 {
        match self {
            Self::Mmd(mmd) => mmd.misshapen() + mmd.ignored(),
            Self::Centroid(centroid) => centroid.misshapen() + centroid.ignored(),
        }
    }

    /// Vectors of the reference still to come.
    const fn learning_left(&self) -> u32 {
        match self {
            Self::Mmd(_) => 0,
            Self::Centroid(centroid) => centroid.params().reference.saturating_sub(centroid.learnt()),
        }
    }

    const fn arl(&self) -> f64 {
        match self {
            Self::Mmd(mmd) => mmd.arl(),
            Self::Centroid(centroid) => centroid.arl(),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Mmd(mmd) => mmd.write_state(out),
            Self::Centroid(centroid) => centroid.write_state(out),
        }
    }

    fn read(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        match self {
            Self::Mmd(mmd) => mmd.read_state(bytes),
            Self::Centroid(centroid) => centroid.read_state(bytes),
        }
    }
}

/// A detector once the first vector has told the dimension.
#[derive(Clone, Debug)]
struct OfDimension(Option<VectorDetector>);

impl FollowsBudget for OfDimension {
    fn run_length(&self) -> Option<f64> {
        self.0.as_ref().map(VectorDetector::arl)
    }

    fn set_run_length(&mut self, arl: f64) {
        match &mut self.0 {
            Some(VectorDetector::Mmd(mmd)) => mmd.set_arl(arl),
            Some(VectorDetector::Centroid(centroid)) => centroid.set_arl(arl),
            None => {}
        }
    }

    /// Of a centroid each window is judged by itself.
    fn reaches(&self, arl: f64) -> bool {
        matches!(&self.0, Some(VectorDetector::Mmd(mmd)) if mmd.reaches(arl))
    }
}

/// A detector of the dimension that was seen, and the last that it said.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddingState {
    settings: Arc<Settings>,
    detector: Budgeted<OfDimension>,
    /// Vectors that were due and not there.
    missing: u64,
    last: Signal,
}

impl EmbeddingState {
    /// Takes note of a vector that is missing.
    pub const fn observe_missing(&mut self) -> Verdict {
        self.missing += 1;
        Verdict::level(AlertCondition::Clear)
    }

    pub fn observe(&mut self, vector: &[f32], at: Timestamp) -> Verdict {
        const QUIET: Verdict = Verdict::level(AlertCondition::Clear);
        if self.detector.detector.0.is_none() {
            let dimension = u32::try_from(vector.len()).unwrap_or(0);
            self.detector.put(OfDimension(self.settings.detector(dimension)));
        }
        let Some(detector) = &mut self.detector.detector.0 else { return QUIET };
        let before = detector.count();
        let Ok(signal) = detector.update(vector) else { return QUIET };
        self.last = signal;
        self.detector.note(before + 1, at);
        match signal.level {
            Level::Drift => Verdict { condition: AlertCondition::Fire, detected: true },
            _ => QUIET,
        }
    }

    /// Measures the rate of vectors from the next one on.
    pub fn measure_afresh(&mut self) {
        self.detector.measure_afresh();
    }

    /// Takes its share of the model's budget.
    pub fn share(&mut self, share: Shared) {
        self.detector.share(share);
    }

    pub const fn is_budgeted(&self) -> bool {
        self.detector.is_budgeted()
    }

    pub const fn signal(&self) -> Signal {
        self.last
    }

    pub fn figures(&self, out: &mut Vec<(&'static str, f64)>) {
        out.push(("missing", self.missing as f64));
        if let Some(detector) = &self.detector.detector.0 {
            out.extend([
                ("statistic", self.last.statistic),
                ("threshold", self.last.threshold),
                ("dimension", f64::from(detector.dimension())),
                ("vectors", detector.count() as f64),
                ("misshapen", detector.misshapen() as f64),
                ("arl", detector.arl()),
            ]);
            let left = detector.learning_left();
            out.extend((left > 0).then_some(("learning_left", f64::from(left))));
        }
        self.detector.figures(out);
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        self.detector.write_allowance(out);
        put_u64(out, self.missing);
        self.last.write(out);
        put_u32(out, self.detector.detector.0.as_ref().map_or(0, VectorDetector::dimension));
        if let Some(detector) = &self.detector.detector.0 {
            detector.write(out);
        }
    }

    pub fn read(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        let mut budgeted = self.detector.clone();
        budgeted.read_allowance(bytes)?;
        let missing = bytes.u64()?;
        if missing > 1 << 60 {
            return Err(DecodeError::Range { field: "missing" });
        }
        let last = Signal::read(bytes)?;
        budgeted.detector.0 = match bytes.u32()? {
            0 => None,
            dimension => {
                let fresh = self.settings.detector(dimension);
                let mut detector = fresh.ok_or(DecodeError::Range { field: "dimension" })?;
                detector.read(bytes)?;
                Some(detector)
            }
        };
        (self.detector, self.missing, self.last) = (budgeted, missing, last);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
