//! Preparation, in front of any detector: from values as they come to values that a detector can judge.
//!
//! | stage | type | takes | gives |
//! |---|---|---|---|
//! | 1 | [`Gap`] | the time of a value | late and lost values counted, a fresh start after a silence |
//! | 2 | [`RangeGuard`] | any value | values that can be |
//! | 3 | [`SeasonalResidual`] | a value and its time | the value less its hour's level, in deviations |
//! | 4 | [`ExceedanceBits`] | values of any law | 0 and 1 |
//! | 5 | [`Batcher`] | values that resemble their neighbours | means of batches that do not |
//! | 6 | [`Standardizer`] | values of any scale | scores of mean 0 and deviation 1 |
//!
//! The order is fixed, because each stage needs the one before: a season is learned from values that can
//! be; a season would look like dependence to the batcher; a tail is one of values and not of means; and
//! the standardiser is last, because what a detector must know is the deviation of what it is given: that
//! of means, where there is a batcher. Standardised values would have to be put to scale again after
//! batching, by an estimate.

pub(crate) mod autocorrelation;
pub(crate) mod batcher;
pub(crate) mod blocks;
pub(crate) mod exceedance;
pub(crate) mod gap;
pub(crate) mod guard;
pub(crate) mod prepared;
pub(crate) mod seasonal;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_u64};
use crate::math::sqrt;
use crate::state::{self, COUNT_LIMIT, Fingerprint, ensure};
use crate::{
    Arrival, Batcher, BatcherParams, ExceedanceBits, ExceedanceBitsParams, Gap, GapParams, ParamError,
    RangeGuard, RangeGuardParams, SeasonalParams, SeasonalResidual, Signal, Standardizer, StandardizerParams,
};

const VERSION: u8 = 1;

/// Which stages a [`Preparation`] has, and their parameters. Every stage is off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct PreparationParams {
    /// Watch the times of values.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub gap: Option<GapParams>,
    /// Keep values within a declared range.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub range: Option<RangeGuardParams>,
    /// Take the season off.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub seasonal: Option<SeasonalParams>,
    /// Turn values into exceedances of a limit.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub exceedance: Option<ExceedanceBitsParams>,
    /// Take means of batches.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub batch: Option<BatcherParams>,
    /// Put values on a scale of mean 0 and deviation 1.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub standardize: Option<StandardizerParams>,
}

impl PreparationParams {
    /// Checks every field of every stage against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        Preparation::new(*self).map(|_| ())
    }

    fn fingerprint(&self) -> u64 {
        let stages = [
            self.gap.is_some(),
            self.range.is_some(),
            self.seasonal.is_some(),
            self.exceedance.is_some(),
            self.batch.is_some(),
            self.standardize.is_some(),
        ];
        stages.iter().fold(Fingerprint::new(), |hash, &on| hash.u64(u64::from(on))).finish()
    }
}

/// What became of the values that a [`Preparation`] was given.
///
/// `given` is `passed + missing + outside + too_late + learning + batched`, where `outside` counts refused
/// values only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PreparationCounts {
    /// All values.
    pub given: u64,
    /// Values (or means that a value completed) that went on to the detector.
    pub passed: u64,
    /// Values that were not finite.
    pub missing: u64,
    /// Values refused for being outside the declared range.
    pub outside: u64,
    /// Values refused for being too late.
    pub too_late: u64,
    /// Values that a stage learned from and gave nothing for.
    pub learning: u64,
    /// Values that went into a batch without completing it.
    pub batched: u64,
}

/// What a [`Preparation`] knows, for a page of status.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct PreparationStatus {
    /// What became of the values.
    pub counts: PreparationCounts,
    /// Values clamped to the declared range.
    pub clamped: u64,
    /// Values taken out of order.
    pub late: u64,
    /// Silences after which the stream started afresh.
    pub gaps: u64,
    /// Values per batch now; nothing while it is learned or without a batcher.
    pub batch_length: Option<u64>,
    /// Integrated autocorrelation time in values; nothing while it is learned or without a batcher.
    pub autocorrelation_time: Option<f64>,
    /// Hours of the season learned; nothing without that stage.
    pub seasonal_cells: Option<u16>,
    /// Limit of the exceedance, in the units of its input; nothing while it is learned.
    pub exceedance_limit: Option<f64>,
    /// Values still to come before the detector is given one; nothing when it may be given the next. At least so many
    /// while the length of batches is learned, of which a standardiser behind them needs as many means, or a season is.
    pub learning_left: Option<u64>,
    /// Is true when every stage has learned what it learns once.
    pub ready: bool,
}

/// The stages in front of a detector, in their fixed order.
///
/// # Cost
///
/// Without stages 1 ns; else the sum of the stages. At most 4 KiB written with all of them, and 5 KiB in
/// memory.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{BatcherParams, Preparation, PreparationParams, RangeGuardParams};
///
/// let range = RangeGuardParams { low: 0.0, high: 1.0, ..Default::default() };
/// let batch = BatcherParams { length: 2, ..Default::default() };
/// let params = PreparationParams { range: Some(range), batch: Some(batch), ..Default::default() };
/// let mut preparation = Preparation::new(params)?;
/// let out = [0.2, 7.0, f64::NAN, 0.6].map(|value| preparation.update(value, 0));
/// assert_eq!(out, [None, None, None, Some(0.4)]);
/// let counts = preparation.status().counts;
/// assert_eq!((counts.given, counts.outside, counts.missing, counts.batched), (4, 1, 1, 1));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Preparation {
    params: PreparationParams,
    /// Is true when no stage is on.
    idle: bool,
    counts: PreparationCounts,
    /// Times that batches began, or changed their length, with nothing behind them that allows for it.
    rebatched: u64,
    // Those that few have are in boxes, so that a preparation without them is small.
    gap: Option<Box<Gap>>,
    range: Option<Box<RangeGuard>>,
    seasonal: Option<Box<SeasonalResidual>>,
    exceedance: Option<Box<ExceedanceBits>>,
    batch: Option<Batcher>,
    standardize: Option<Box<Standardizer>>,
}

impl Preparation {
    /// Builds the stages, which have seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: PreparationParams) -> Result<Self, ParamError> {
        Ok(Self {
            params,
            idle: params == PreparationParams::default(),
            counts: PreparationCounts::default(),
            rebatched: 0,
            gap: params.gap.map(Gap::new).transpose()?.map(Box::new),
            range: params.range.map(RangeGuard::new).transpose()?.map(Box::new),
            seasonal: params.seasonal.map(SeasonalResidual::new).transpose()?.map(Box::new),
            exceedance: params.exceedance.map(ExceedanceBits::new).transpose()?.map(Box::new),
            batch: params.batch.map(Batcher::new).transpose()?,
            standardize: params.standardize.map(Standardizer::new).transpose()?.map(Box::new),
        })
    }

    /// Takes a value and its time in Unix seconds; returns what the detector is to be given, if anything.
    #[inline]
    pub fn update(&mut self, value: f64, seconds: i64) -> Option<f64> {
        self.counts.given = self.counts.given.saturating_add(1);
        if !value.is_finite() {
            self.counts.missing = self.counts.missing.saturating_add(1);
            return None;
        }
        if self.idle { Some(value) } else { self.stages(value, seconds) }
    }

    fn stages(&mut self, value: f64, seconds: i64) -> Option<f64> {
        let counts = &mut self.counts;
        if let Some(gap) = &mut self.gap {
            match gap.update(seconds) {
                Arrival::TooLate => {
                    counts.too_late = counts.too_late.saturating_add(1);
                    return None;
                }
                Arrival::AfterGap => {
                    if let Some(batch) = &mut self.batch {
                        batch.restart_batch();
                    }
                }
                Arrival::InTurn | Arrival::Late => {}
            }
        }
        let mut value = value;
        if let Some(range) = &mut self.range {
            let Some(within) = range.update(value) else {
                counts.outside = counts.outside.saturating_add(1);
                return None;
            };
            value = within;
        }
        let waiting = &mut counts.learning;
        if let Some(seasonal) = &mut self.seasonal {
            value = counted(seasonal.update(value, seconds), waiting)?;
        }
        if let Some(exceedance) = &mut self.exceedance {
            value = counted(exceedance.update(value), waiting)?;
        }
        if let Some(batch) = &mut self.batch {
            let before = batch.independent_values();
            let length = batch.length();
            let known = length.is_some();
            let mean = batch.update(value);
            let after = batch.independent_values();
            let single = length.or(batch.params().early.then_some(1));
            if self.standardize.is_none()
                && single.is_some()
                && batch.length().is_some_and(|now| Some(now) != single)
            {
                self.rebatched = self.rebatched.saturating_add(1);
            }
            if single.is_some() && before != after {
                // The variance of a mean is that of a value over this.
                self.standardize.iter_mut().for_each(|scores| scores.sharpen(sqrt(after / before)));
            }
            value = counted(mean, if known { &mut counts.batched } else { &mut *waiting })?;
        }
        match &mut self.standardize {
            Some(standardize) => counted(standardize.update(value), &mut counts.learning),
            None => Some(value),
        }
    }

    /// Counts the silences.
    pub fn gaps(&self) -> u64 {
        self.gap.as_ref().map_or(0, |gap| gap.gaps())
    }

    /// Counts what a detector should start afresh after, as [`crate::Prepared`] does: silences, and means of another
    /// number of values than before, which are of another law. A standardiser behind the batches allows for these.
    /// Only whether it moves with a value says something: a state that was read counts from another start.
    pub fn restarts(&self) -> u64 {
        self.gaps().saturating_add(self.rebatched)
    }

    /// Returns what a detector's signal on a value that came out counts for: nothing while single values pass of which
    /// neighbours are alike, as far as has been seen ([`Batcher::doubts`]). A change that counts makes a batcher that
    /// learns from single values begin again ([`Batcher::change_seen`]).
    #[inline]
    pub fn judge(&mut self, signal: Signal) -> Signal {
        let Some(batch) = &mut self.batch else { return signal };
        if batch.doubts() {
            return Signal::quiet(signal.statistic, signal.threshold);
        }
        if signal.drift_detected() {
            batch.change_seen();
        }
        signal
    }

    /// Returns what became of the values.
    pub const fn counts(&self) -> PreparationCounts {
        let PreparationCounts { given, missing, outside, too_late, learning, batched, .. } = self.counts;
        // Not counted one by one: it would be a second addition on a path of one nanosecond.
        let kept = missing + outside + too_late + learning + batched;
        PreparationCounts { passed: given.saturating_sub(kept), ..self.counts }
    }

    /// Returns what is known.
    pub fn status(&self) -> PreparationStatus {
        let (range, gap) = (self.range.as_deref(), self.gap.as_deref());
        let batch = self.batch.as_ref();
        let seasonal = self.seasonal.as_deref();
        let all_hours = |season: &SeasonalResidual| season.learned_cells() >= season.cells();
        PreparationStatus {
            counts: self.counts(),
            clamped: range.map_or(0, |range| range.outside() - self.counts.outside.min(range.outside())),
            late: gap.map_or(0, Gap::late),
            gaps: self.gaps(),
            batch_length: batch.and_then(Batcher::length),
            autocorrelation_time: batch.and_then(Batcher::autocorrelation_time),
            seasonal_cells: seasonal.map(SeasonalResidual::learned_cells),
            exceedance_limit: self.exceedance.as_deref().and_then(ExceedanceBits::limit),
            learning_left: self.learning_left(),
            ready: seasonal.is_none_or(all_hours)
                && self.exceedance.as_deref().is_none_or(ExceedanceBits::is_ready)
                && batch.is_none_or(|batch| batch.length().is_some())
                && self.standardize.as_deref().is_none_or(Standardizer::is_ready),
        }
    }

    /// Values that the stages which count them still learn from, each after the one before.
    fn learning_left(&self) -> Option<u64> {
        let batch = self.batch.as_ref();
        let (length, filled) = batch.map_or((1, 0), |batch| (batch.length().unwrap_or(1), batch.filled()));
        let scores = self.standardize.as_deref().map_or(0, Standardizer::left);
        let left = [
            self.exceedance.as_deref().map_or(0, ExceedanceBits::left),
            batch.filter(|batch| !batch.params().early).map_or(0, Batcher::left),
            scores.saturating_mul(length).saturating_sub(filled),
        ];
        let left = left.into_iter().fold(0, u64::saturating_add);
        (left > 0).then_some(left)
    }

    /// Turns an average run length in values into one in what the detector is given, at least 2: fewer by
    /// the length of a batch.
    pub fn arl(&self, values: f64) -> f64 {
        self.batch.as_ref().map_or(values, |batch| batch.arl(values))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &PreparationParams {
        &self.params
    }

    /// Forgets the stream and learns anew.
    pub fn reset(&mut self) {
        self.counts = PreparationCounts::default();
        self.gap.iter_mut().for_each(|stage| stage.reset());
        self.range.iter_mut().for_each(|stage| stage.reset());
        self.seasonal.iter_mut().for_each(|stage| stage.reset());
        self.exceedance.iter_mut().for_each(|stage| stage.reset());
        self.batch.iter_mut().for_each(Batcher::reset);
        self.standardize.iter_mut().for_each(|stage| stage.reset());
    }

    /// Appends the state of all stages.
    pub fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        let PreparationCounts { given, missing, outside, too_late, learning, batched, .. } = self.counts;
        for count in [given, missing, outside, too_late, learning, batched] {
            put_u64(out, count);
        }
        self.gap.iter().for_each(|stage| stage.write_state(out));
        self.range.iter().for_each(|stage| stage.write_state(out));
        self.seasonal.iter().for_each(|stage| stage.write_state(out));
        self.exceedance.iter().for_each(|stage| stage.write_state(out));
        self.batch.iter().for_each(|stage| stage.write_state(out));
        self.standardize.iter().for_each(|stage| stage.write_state(out));
    }

    /// Replaces the state by one that [`Preparation::write_state`] wrote for the same parameters.
    ///
    /// # Errors
    ///
    /// Fails, leaving the state as it was, when the bytes are cut short, of an unknown version, of other
    /// parameters, or hold a value out of its range.
    pub fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "preparation", VERSION, self.params.fingerprint())?;
        let mut numbers = [0; 6];
        for number in &mut numbers {
            *number = bytes.u64()?;
            ensure(*number <= COUNT_LIMIT, "count")?;
        }
        let mut next = self.clone();
        let [given, missing, outside, too_late, learning, batched] = numbers;
        next.counts = PreparationCounts { given, passed: 0, missing, outside, too_late, learning, batched };
        next.gap.as_mut().map_or(Ok(()), |stage| stage.read_state(bytes))?;
        next.range.as_mut().map_or(Ok(()), |stage| stage.read_state(bytes))?;
        next.seasonal.as_mut().map_or(Ok(()), |stage| stage.read_state(bytes))?;
        next.exceedance.as_mut().map_or(Ok(()), |stage| stage.read_state(bytes))?;
        next.batch.as_mut().map_or(Ok(()), |stage| stage.read_state(bytes))?;
        next.standardize.as_mut().map_or(Ok(()), |stage| stage.read_state(bytes))?;
        *self = next;
        Ok(())
    }
}

/// Counts a value that gave nothing.
#[inline]
fn counted(out: Option<f64>, waiting: &mut u64) -> Option<f64> {
    *waiting = waiting.saturating_add(u64::from(out.is_none()));
    out
}
