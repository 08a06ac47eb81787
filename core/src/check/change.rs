//! A streaming change detector on the values of one version and kind.

mod calendar;

use std::sync::Arc;

use visu_tility_drift::codec::{DecodeError, Reader};
use visu_tility_drift::{
    AnyDetector, AnyParams, Detector, Direction, Level, Preparation, PreparationParams, Setting, Signal,
    StandardizerParams,
};

use super::allowance::Shared;
use super::before::settings_around;
use super::budgeted::{Budgeted, set_usual_arl};
use super::standalone::Standalone;
use super::{Check, Verdict};
use crate::action::ObserverAction;
use crate::alert::AlertCondition;
use crate::error::ObserverError;
use crate::event::MetricEvent;
use crate::kind::MetricKind;
use crate::observer::MetricObserver;
use crate::time::Timestamp;

pub(crate) use calendar::Calendar;

/// A detector that may look at the time of a value.
pub(crate) trait TakesTime: Detector {
    /// Takes a value of a time.
    #[inline]
    fn update_at(&mut self, value: f64, at: Timestamp) -> Signal {
        let _ = at;
        self.update(value)
    }
}

impl TakesTime for AnyDetector {}

/// Which changes raise an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlertOn {
    /// Changes in the kind's bad direction (either one where the kind has none). The default.
    #[default]
    Bad,
    /// Changes in either direction.
    Any,
}

impl AlertOn {
    /// The direction that is bad; unknown when either is.
    pub(super) const fn bad_direction(self, kind: &MetricKind) -> Direction {
        match self {
            Self::Bad => kind.bad_direction(),
            Self::Any => Direction::Unknown,
        }
    }
}

/// What a plan says of a detector's random numbers.
pub(super) fn seed_of(params: &AnyParams) -> u64 {
    match params.get("seed") {
        Some(Setting::Count(seed)) => seed,
        _ => 0,
    }
}

/// Tells when the level of a metric has changed.
///
/// Use it for streams of single values, such as [`MetricKind::Correct`], [`MetricKind::Confidence`] or
/// features: the detector weighs the noise and needs no floor. Where a floor is agreed, add a
/// [`super::PerformanceDegrader`].
///
/// | change | recorded | alert |
/// |---|---|---|
/// | in the bad direction | yes | fires |
/// | in the good direction | yes, with no action | resolved at once, if one was out |
///
/// A detection is one instant: the alert stays out until a change back, or until the plan's
/// `keep_firing` has passed without another.
///
/// A preparation may stand before the detector ([`ChangeObserver::prepared`]): for values whose scale is not
/// known, that have a season, or that resemble their neighbours.
///
/// Cost and state are those of the detector; with a calendar ([`ChangeObserver::with_calendar`]) 22 KiB.
#[derive(Clone, Debug)]
pub struct ChangeObserver {
    params: AnyParams,
    /// Built once, cloned for each stream: the clones share its tables.
    prototype: Arc<AnyDetector>,
    /// The run length between false alarms follows from the plan's budget.
    budgeted: bool,
    /// Novelty looks at the times of values.
    calendar: bool,
    prepare: Box<PreparationParams>,
    alert_on: AlertOn,
    seen: Standalone,
}

impl PartialEq for ChangeObserver {
    /// The prototype follows from the parameters.
    fn eq(&self, other: &Self) -> bool {
        (&self.params, self.budgeted, self.calendar, &self.prepare, self.alert_on)
            == (&other.params, other.budgeted, other.calendar, &other.prepare, other.alert_on)
    }
}

impl ChangeObserver {
    /// Builds a check with a detector, given by its parameters, on the values as they are.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`], naming the parameter, when one is out of its range.
    ///
    /// # Examples
    ///
    /// ```
    /// use visu_tility_core::{ChangeObserver, MetricObserver};
    /// use visu_tility_core::drift::{AnyParams, PageHinkleyParams};
    ///
    /// let quick = ChangeObserver::new(PageHinkleyParams { threshold: 5.0, ..Default::default() })?;
    /// assert_eq!(quick.name(), "page-hinkley");
    /// assert!(ChangeObserver::new(PageHinkleyParams { threshold: -5.0, ..Default::default() }).is_err());
    /// # Ok::<(), visu_tility_core::ObserverError>(())
    /// ```
    pub fn new(detector: impl Into<AnyParams>) -> Result<Self, ObserverError> {
        let params = detector.into();
        let prototype = Arc::new(params.build()?);
        Ok(Self {
            params,
            prototype,
            budgeted: false,
            calendar: false,
            prepare: Box::default(),
            alert_on: AlertOn::Bad,
            seen: Standalone::default(),
        })
    }

    /// Takes the run length between false alarms from the plan's budget instead of the detector's `arl`.
    ///
    /// The model's budget is divided over all its detectors that are budgeted, and becomes a run length by
    /// the rate at which values are seen to come.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when the detector has no `arl`, or a threshold that was given.
    pub fn budgeted(mut self) -> Result<Self, ObserverError> {
        // What the budget will set need not be told apart.
        if !set_usual_arl(&mut self.params)? {
            return Err(ObserverError::Config(format!(
                "`detector` is \"{}\", which has no `arl` that a budget could set",
                self.params.name()
            )));
        }
        let mut prototype = self.params.build()?;
        if !prototype.set_arl(Budgeted::<AnyDetector>::start_arl()) {
            return Err(ObserverError::Config(
                "`threshold` is given, so that no budget can set the run length".to_owned(),
            ));
        }
        self.prototype = Arc::new(prototype);
        self.budgeted = true;
        Ok(self)
    }

    /// Has novelty look at the times of values too: what is strange for the hour of the day or the time of the week
    /// ([`visu_tility_drift::CalendarNovelty`]). For metrics with a rhythm of which nothing else is known; state then is
    /// 22 KiB, of which at most 17 KiB are written.
    ///
    /// # Errors
    ///
    /// Fails with [`ObserverError::Config`] when the detector is another one.
    pub fn with_calendar(mut self) -> Result<Self, ObserverError> {
        let AnyParams::Novelty(_) = self.params else {
            return Err(ObserverError::Config(format!(
                "`calendar` is true, which is for `detector` \"novelty\" only, not for \"{}\"",
                self.params.name()
            )));
        };
        self.calendar = true;
        Ok(self)
    }

    /// Whether the detector looks at the times of values.
    pub const fn has_calendar(&self) -> bool {
        self.calendar
    }

    /// Whether a budget can set the detector's run length: it has one, and no threshold was given instead.
    pub(crate) fn has_run_length(&self) -> bool {
        self.prototype.arl().is_some()
    }

    /// The detector's parameters.
    pub const fn detector(&self) -> &AnyParams {
        &self.params
    }

    pub(super) fn start(&self, kind: &MetricKind) -> ChangeState {
        let detector = Budgeted::new((*self.prototype).clone(), self.budgeted);
        ChangeState::new(detector, &self.prepare, self.alert_on.bad_direction(kind), seed_of(&self.params))
    }

    /// Starts with a calendar; `None` when it has none.
    pub(super) fn start_calendar(&self, kind: &MetricKind) -> Option<ChangeState<Calendar>> {
        let AnyParams::Novelty(params) = self.params else { return None };
        let detector = if self.calendar { Calendar::new(params).ok()? } else { return None };
        let bad = self.alert_on.bad_direction(kind);
        Some(ChangeState::new(Budgeted::new(detector, false), &self.prepare, bad, 0))
    }

    fn settings(&self) -> Check {
        let (prototype, prepare) = (Arc::clone(&self.prototype), self.prepare.clone());
        Check::Change(Self { prototype, prepare, seen: Standalone::default(), ..*self })
    }
}

settings_around!(ChangeObserver);

impl MetricObserver for ChangeObserver {
    fn name(&self) -> &'static str {
        self.params.name()
    }

    fn on_metric(&mut self, event: &MetricEvent) -> Result<ObserverAction, ObserverError> {
        let check = self.settings();
        self.seen.alert(&check, event)
    }

    fn builtin(&self) -> Option<Check> {
        Some(self.settings())
    }
}

/// A detector, what stands before it, and the last that it said.
#[derive(Clone, Debug)]
pub(crate) struct ChangeState<D = AnyDetector> {
    preparation: Option<Box<Preparation>>,
    detector: Budgeted<D>,
    bad: Direction,
    /// Direction of the change that an alert may be out for; unknown when the detector does not tell.
    out: Direction,
    last: Signal,
    /// Where the detector's random numbers begin. It follows from the names, so it is not in the state.
    seed: u64,
}

impl<D: TakesTime> ChangeState<D> {
    /// Starts with a fresh detector; a `bad` direction of unknown is either.
    pub fn new(detector: Budgeted<D>, prepare: &PreparationParams, bad: Direction, seed: u64) -> Self {
        // In no memory when there are no stages.
        let some = *prepare != PreparationParams::default();
        let preparation = some.then(|| Preparation::new(*prepare).ok().map(Box::new)).flatten();
        Self { preparation, detector, bad, out: Direction::Unknown, last: Signal::default(), seed }
    }

    /// The detector.
    pub const fn detector(&self) -> &D {
        &self.detector.detector
    }

    pub fn observe(&mut self, value: f64, at: Timestamp) -> Verdict {
        // A missing value says nothing about the level and nothing about time.
        if value.is_nan() {
            return Verdict::level(AlertCondition::Clear);
        }
        let value = match &mut self.preparation {
            None => value,
            Some(preparation) => {
                let restarts = preparation.restarts();
                let prepared = preparation.update(value, at.micros().div_euclid(1_000_000));
                if preparation.restarts() != restarts {
                    // What was before a silence, or single values, are no baseline for what comes after.
                    self.detector.detector.reset();
                    self.detector.detector.reseed(self.seed);
                }
                match prepared {
                    Some(prepared) => prepared,
                    None => return Verdict::level(AlertCondition::Clear),
                }
            }
        };
        self.detector.note(self.detector.detector.count() + 1, at);
        let before = self.last.level;
        let mut signal = self.detector.detector.update_at(value, at);
        if let Some(preparation) = &mut self.preparation {
            signal = preparation.judge(signal);
        }
        self.last = signal;
        match signal.level {
            Level::Normal => Verdict::level(AlertCondition::Clear),
            Level::Warning => {
                Verdict { condition: AlertCondition::Clear, detected: before != Level::Warning }
            }
            Level::Drift => Verdict { condition: self.changed(signal.direction), detected: true },
        }
    }

    /// What a change means for the alert.
    fn changed(&mut self, direction: Direction) -> AlertCondition {
        let bad = match self.bad {
            Direction::Unknown => true,
            bad => direction == bad || direction == Direction::Unknown,
        };
        if bad {
            self.out = direction;
            return AlertCondition::Fire;
        }
        if direction == self.out { AlertCondition::Clear } else { AlertCondition::Over }
    }

    /// Takes its share of the model's budget.
    pub fn share(&mut self, share: Shared) {
        self.detector.share(share);
    }

    /// Measures the rate of values from the next one on.
    pub fn measure_afresh(&mut self) {
        self.detector.measure_afresh();
    }

    /// Gives the detector random numbers of its own, before the first value.
    pub fn reseed(&mut self, seed: u64) {
        self.seed = self.seed.rotate_left(32) ^ seed;
        self.detector.detector.reseed(self.seed);
    }

    pub const fn is_budgeted(&self) -> bool {
        self.detector.is_budgeted()
    }

    pub const fn signal(&self) -> Signal {
        self.last
    }

    pub fn figures(&self, out: &mut Vec<(&'static str, f64)>) {
        out.extend([("statistic", self.last.statistic), ("threshold", self.last.threshold)]);
        let detector = &self.detector.detector;
        out.extend(detector.estimation().map(|level| ("level", level)));
        out.extend(detector.baseline().map(|level| ("baseline", level)));
        out.extend(detector.arl().map(|arl| ("arl", arl)));
        self.detector.figures(out);
        if let Some(preparation) = &self.preparation {
            preparation_figures(preparation, out);
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.preparation.is_some()));
        if let Some(preparation) = &self.preparation {
            preparation.write_state(out);
        }
        self.detector.write_allowance(out);
        out.push(self.out as u8);
        self.last.write(out);
        self.detector.detector.write_state(out);
    }

    pub fn read(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        match (bytes.u8()?, &mut self.preparation) {
            (1, Some(preparation)) => preparation.read_state(bytes)?,
            (0, None) => {}
            _ => return Err(DecodeError::Parameters { what: "preparation" }),
        }
        self.detector.read_allowance(bytes)?;
        self.out = Direction::read(bytes)?;
        self.last = Signal::read(bytes)?;
        self.detector.detector.read_state(bytes)
    }
}

/// What a preparation knows, and what it kept back.
fn preparation_figures(preparation: &Preparation, out: &mut Vec<(&'static str, f64)>) {
    let status = preparation.status();
    let counts = status.counts;
    out.push(("prepared", counts.passed as f64));
    for (name, count) in [
        ("outside", counts.outside),
        ("too_late", counts.too_late),
        ("learning", counts.learning),
        ("gaps", status.gaps),
    ] {
        if count > 0 {
            out.push((name, count as f64));
        }
    }
    out.extend(status.learning_left.map(|left| ("learning_left", left as f64)));
    out.extend(status.batch_length.map(|length| ("batch_length", length as f64)));
    out.extend(status.autocorrelation_time.map(|time| ("autocorrelation_time", time)));
    out.extend(status.seasonal_cells.map(|cells| ("season_hours_learnt", f64::from(cells))));
    out.extend(status.exceedance_limit.map(|limit| ("exceedance_limit", limit)));
}

#[cfg(test)]
mod tests {
    use visu_tility_drift::{AdwinParams, BatcherParams, Compat, MixtureParams};

    use super::*;

    fn adwin() -> ChangeObserver {
        ChangeObserver::new(AdwinParams { compat: Compat::River, ..AdwinParams::default() }).unwrap()
    }

    fn at(second: u64) -> Timestamp {
        Timestamp::from_micros(second as i64 * 1_000_000)
    }

    /// 1 with a fixed pattern of zeros, `bad` of ten.
    fn correct(i: u64, bad: u64) -> f64 {
        f64::from(u8::from(i * 7 % 10 >= bad))
    }

    #[test]
    fn a_fall_fires_and_a_change_back_is_over() {
        let mut state = adwin().start(&MetricKind::Correct);
        let seen: Vec<_> = (0..3000u64)
            .map(|i| state.observe(correct(i, if (1000..2000).contains(&i) { 6 } else { 1 }), at(i)))
            .enumerate()
            .filter(|(_, verdict)| verdict.detected)
            .map(|(i, verdict)| (i, verdict.condition))
            .collect();
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert!((1000..1100).contains(&seen[0].0) && seen[0].1 == AlertCondition::Fire);
        assert!((2000..2100).contains(&seen[1].0) && seen[1].1 == AlertCondition::Over);
    }

    #[test]
    fn a_known_level_is_watched_with_a_guarantee() {
        let params = MixtureParams {
            mode: visu_tility_drift::Mode::Down,
            m_pre: 0.9,
            delta_upper: 0.8,
            ..MixtureParams::default()
        };
        let observer = ChangeObserver::new(params).unwrap();
        let mut state = observer.start(&MetricKind::Correct);
        let fired: Vec<u64> = (0..1500)
            .filter(|i| {
                state.observe(correct(*i, if *i >= 1000 { 4 } else { 1 }), at(*i)).condition
                    == AlertCondition::Fire
            })
            .collect();
        assert!(fired.first().is_some_and(|at| (1000..1060).contains(at)), "{fired:?}");
    }

    #[test]
    fn a_feature_is_scaled_before_it_is_watched() {
        let observer = adwin().standardized(StandardizerParams::default()).unwrap();
        let mut state = observer.start(&MetricKind::feature("x").unwrap());
        let value = |i: u64| 50_000.0 + 900.0 * (i as f64 * 0.7).sin();
        assert!((0..3000).all(|i| !state.observe(value(i), at(i)).detected));
        let found =
            (3000..3200).find(|i| state.observe(value(*i) + 900.0, at(*i)).condition == AlertCondition::Fire);
        assert!(found.is_some());
    }

    #[test]
    fn while_it_learns_it_says_until_when() {
        let batch = Some(BatcherParams { learn: 256, length: 10, ..BatcherParams::default() });
        let standardize = Some(StandardizerParams { learn: 100, clip: 10.0 });
        let params = PreparationParams { batch, standardize, ..PreparationParams::default() };
        let mut state = adwin().prepared(params).unwrap().start(&MetricKind::LatencyMs);
        let left = |state: &ChangeState| {
            let mut figures = Vec::new();
            state.figures(&mut figures);
            figures.into_iter().find(|(name, _)| *name == "learning_left").map(|(_, left)| left)
        };
        assert_eq!(left(&state), Some(1_000.0));
        (0..998).for_each(|i| _ = state.observe((i * 7 % 10) as f64, at(i)));
        assert_eq!(left(&state), Some(2.0));
        (998..1_000).for_each(|i| _ = state.observe((i * 7 % 10) as f64, at(i)));
        assert_eq!(left(&state), None);
    }

    #[test]
    fn state_is_read_back_anywhere() {
        for cut in [0u64, 31, 1010, 1500, 2050] {
            let observer = adwin();
            let mut whole = observer.start(&MetricKind::Correct);
            let value = |i| correct(i, if i >= 1000 { 6 } else { 1 });
            for i in 0..cut {
                whole.observe(value(i), at(i));
            }
            let mut bytes = Vec::new();
            whole.write(&mut bytes);
            let mut copy = observer.start(&MetricKind::Correct);
            copy.read(&mut Reader::new(&bytes)).unwrap();
            for i in cut..3000 {
                assert_eq!(
                    whole.observe(value(i), at(i)),
                    copy.observe(value(i), at(i)),
                    "after {cut} at {i}"
                );
            }
        }
    }
}
