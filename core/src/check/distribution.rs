//! The distribution of the values of one version and kind against a reference, window by window.

mod reference;
mod state;

use std::sync::Arc;

use visu_tility_drift::{DistributionShiftParams, Histogram, HistogramDrift, Parameters as _, Setting};

use super::Check;
use super::standalone::Standalone;
use crate::action::ObserverAction;
use crate::error::ObserverError;
use crate::event::MetricEvent;
use crate::id::Version;
use crate::observer::MetricObserver;

pub(crate) use state::DistributionState;

/// Tells when the distribution of a feature, a prediction or a score is no longer that of a reference.
///
/// Use it where any change matters: of the level, the spread, the shape, the share of a value. For a change of the
/// level alone a [`super::ChangeObserver`] is faster and needs no reference.
///
/// Each `window` values their histogram is compared with the reference's, by a distance whose threshold follows from
/// both sizes and from how seldom a false alarm may come: by the model's budget ([`DistributionObserver::budgeted`],
/// as by default) or the parameter `arl`. See [`HistogramDrift`].
///
/// | last whole window | recorded | alert |
/// |---|---|---|
/// | has drifted, the one before had not, or the other way | yes | fires |
/// | has drifted, as the one before | no | stays out |
/// | has not drifted | no | recovers |
/// | there is none yet | no | as it was |
///
/// Between two windows the last one counts. The reference does not move, also after a drift: what is different from
/// the reference stays an alert. It is one of
///
/// - the first `reference` values of the same version and kind (default);
/// - given, as a histogram ([`DistributionObserver::against`]);
/// - the first `reference` values of another version of the same model and kind
///   ([`DistributionObserver::against_version`]). That version is held against the same values itself. The others
///   copy them once they are all there; until then, asked for after 1, 2, 4, 8, ... values, nothing is compared. A
///   copy stays when the named version gives way to newer ones; whoever comes after that waits until it is back.
///
/// Missing values are counted and not compared.
///
/// A window that has passed the threshold of a fitted law is held against an exact one
/// ([`visu_tility_drift::distance::BinnedDistance::threshold_of_table`]), so that the run length holds also where it is
/// long and bins expect few values, dozens of them too.
///
/// Kinds by default: `Feature:*` and `Confidence`. Numbers only: no rule of this type sees a vector.
///
/// Cost: a comparison with each edge a value; when a reference is complete or the budget is divided anew, about
/// 10 us a bin; for a window that passes the fitted threshold, up to 0.8 ms (10 bins; 4.7 where one holds 99 of 100 values) and 5.8 ms (64). State: at most 2.2 KiB while the edges are learnt, then 1 KiB, with 64 given bins 2.5 KiB.
///
/// # Examples
///
/// ```
/// use visu_tility_core::{DistributionObserver, MonitorPlan, Rule, MetricObserver};
/// use visu_tility_core::drift::DistributionShiftParams;
///
/// let training: Vec<f64> = (0..5_000).map(|i| f64::from(i % 100) / 100.0).collect();
/// let scores = DistributionObserver::new(DistributionShiftParams { window: 500, ..Default::default() })?
///     .against(&DistributionObserver::reference_of(&training, 10)?)?
///     .budgeted();
/// let rule = Rule::new("scores", scores.builtin().ok_or("a built-in check")?)?;
/// println!("{}", MonitorPlan::empty().with_rule(rule)?.to_toml());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DistributionObserver {
    settings: Arc<Settings>,
    seen: Standalone,
}

/// What all states of a rule share.
#[derive(Clone, Debug)]
struct Settings {
    params: DistributionShiftParams,
    /// The run length between false alarms follows from the plan's budget.
    budgeted: bool,
    source: Source,
    /// Built once where the reference is given.
    prototype: Option<HistogramDrift>,
}

impl PartialEq for Settings {
    /// The prototype follows from the rest.
    fn eq(&self, other: &Self) -> bool {
        (&self.params, self.budgeted, &self.source) == (&other.params, other.budgeted, &other.source)
    }
}

/// Where the reference is from.
#[derive(Clone, Debug, PartialEq)]
enum Source {
    /// The first values of the series itself.
    First,
    /// It is given.
    Given(Histogram),
    /// The first values of another version.
    Version(Version),
}

impl Default for DistributionObserver {
    /// The first 1,000 values in 10 bins, windows of 200, the Jensen-Shannon distance, within the plan's budget.
    fn default() -> Self {
        let settings = Settings {
            params: DistributionShiftParams::default(),
            budgeted: true,
            source: Source::First,
            prototype: None,
        };
        Self { settings: Arc::new(settings), seen: Standalone::default() }
    }
}

impl DistributionObserver {
    /// The fewest values that a reference must have been made of.
    pub const REFERENCE_MIN: u64 = 50;

    /// Builds a check against the first values, with a false alarm every `arl` values.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`], naming the parameter, when one is out of its range.
    pub fn new(params: DistributionShiftParams) -> Result<Self, ObserverError> {
        params.validate()?;
        let settings = Settings { params, budgeted: false, source: Source::First, prototype: None };
        Ok(Self { settings: Arc::new(settings), seen: Standalone::default() })
    }

    /// Takes this histogram as the reference. What it counts beyond its edges is counted in its outermost bins, as
    /// will be values beyond them; `reference` and `bins` of the parameters say nothing then.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when it has not 2 to 64 bins or counts fewer than 50 values.
    pub fn against(self, reference: &Histogram) -> Result<Self, ObserverError> {
        let bins = reference.counts().len();
        if !(2..=64).contains(&bins) {
            return Err(ObserverError::Config(format!("`edges` makes {bins} bins, must make from 2 to 64")));
        }
        let total = reference.total();
        if total < Self::REFERENCE_MIN {
            return Err(ObserverError::Config(format!(
                "`counts` sums to {total}, must be at least {}",
                Self::REFERENCE_MIN
            )));
        }
        let open = Histogram::from_counts(reference.edges(), &reference.open_counts())
            .map_err(|error| ObserverError::Config(error.to_string()))?;
        let DistributionShiftParams { distance, window, arl, .. } = self.settings.params;
        let prototype = HistogramDrift::new(&open, distance, window, arl)
            .map_err(|error| ObserverError::Config(error.to_string()))?;
        // What does not count need not be told apart.
        let usual = DistributionShiftParams::default();
        let (reference, bins) = (usual.reference, usual.bins);
        let params = DistributionShiftParams { reference, bins, ..self.settings.params };
        Ok(self.with(|settings| {
            settings.params = params;
            settings.source = Source::Given(open);
            settings.prototype = Some(prototype);
        }))
    }

    /// Takes the first values of another version of the same model and kind as the reference.
    #[must_use]
    pub fn against_version(self, version: Version) -> Self {
        self.with(|settings| (settings.source, settings.prototype) = (Source::Version(version), None))
    }

    /// Takes the run length between false alarms from the plan's budget instead of the parameter `arl`.
    #[must_use]
    pub fn budgeted(self) -> Self {
        // What the budget will set need not be told apart.
        let params =
            DistributionShiftParams { arl: usual_arl(self.settings.params.window), ..self.settings.params };
        self.with(|settings| {
            settings.budgeted = true;
            settings.params = params;
            if let Some(prototype) = &settings.prototype {
                let DistributionShiftParams { distance, window, arl, .. } = params;
                // Built before with the same reference.
                let again = match &settings.source {
                    Source::Given(reference) => HistogramDrift::new(reference, distance, window, arl).ok(),
                    _ => None,
                };
                settings.prototype = Some(again.unwrap_or_else(|| prototype.clone()));
            }
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// The parameters; `arl` says nothing when the plan's budget sets it, `reference` and `bins` say nothing when the
    /// reference is given.
    pub fn params(&self) -> &DistributionShiftParams {
        &self.settings.params
    }

    /// The distance's name in a plan.
    pub(crate) fn distance_name(&self) -> &'static str {
        match self.settings.params.get("distance") {
            Some(Setting::Word(name)) => name,
            _ => "",
        }
    }

    /// Whether the plan's budget sets the run length.
    pub fn is_budgeted(&self) -> bool {
        self.settings.budgeted
    }

    /// The reference, where it is given.
    pub fn reference(&self) -> Option<&Histogram> {
        match &self.settings.source {
            Source::Given(reference) => Some(reference),
            _ => None,
        }
    }

    /// The version whose first values are the reference, if it is another one's.
    pub fn reference_version(&self) -> Option<&Version> {
        match &self.settings.source {
            Source::Version(version) => Some(version),
            _ => None,
        }
    }

    pub(super) fn start(&self, version: &Version) -> DistributionState {
        DistributionState::new(Arc::clone(&self.settings), version)
    }

    fn settings(&self) -> Check {
        let settings = Arc::clone(&self.settings);
        Check::Distribution(Self { settings, seen: Standalone::default() })
    }
}

/// What `arl` is while the budget has not set it.
pub(crate) fn usual_arl(window: u32) -> f64 {
    (2.0 * f64::from(window)).max(DistributionShiftParams::default().arl)
}

impl MetricObserver for DistributionObserver {
    fn name(&self) -> &'static str {
        "distribution"
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        let check = self.settings();
        self.seen.alert(&check, event)
    }

    fn builtin(&self) -> Option<Check> {
        Some(self.settings())
    }
}
