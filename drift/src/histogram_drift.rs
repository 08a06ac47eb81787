//! Windows of a stream against a reference histogram that is given.

use alloc::vec;
use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u32, put_u64};
use crate::distance::{BinnedDistance, DistanceError, NullLaw};
use crate::state::{self, Fingerprint, Tally, VALUE_LIMIT, ensure};
use crate::{Direction, Histogram, Level, Signal};

const VERSION: u8 = 3;

/// The largest run length.
const ARL_MOST: f64 = 1e12;

/// Fitted thresholds of one law that two mathematical libraries find differ by less than this part of them.
const SAME: f64 = 1e-6;

/// Most bins, so that the state stays below 4 KiB.
pub(crate) const MAX_BINS: usize = 64;

/// Compares each window of a stream with a reference histogram, which is given: from a file, from another version of
/// a model, from training data. [`crate::DistributionShift`] learns its reference and is otherwise the same.
///
/// Each `window` values the distance of their histogram from the reference is held against a threshold whose level
/// is `window / arl`, so that a false alarm comes every `arl` values on average. The threshold is that of
/// [`NullLaw`] for the sizes and the reference's shares (each with half a count more, so that no bin is held to be
/// impossible). That law is fitted, and wrong in the far tail: a window that passes its threshold is held against an
/// exact one, of that window and the reference ([`BinnedDistance::threshold_of_table`]), where that is larger. What
/// lies outside the reference's range counts in its outermost bins.
///
/// The level holds on average over references: one that by chance is far from its source alarms more often, another
/// less, and the mean distance between alarms is at least as long (Jensen).
///
/// Windows do not overlap: the delay after a large change is between half a window and one and a half. In the
/// signal, `statistic` is the last window's distance, `since` on a drift the window.
///
/// # Cost
///
/// A comparison with each edge a value; a pass over the bins a window. Building computes the fitted law (about 10 us
/// a bin). A window that passes it costs 0.1 to 0.2 ms more for 10 bins where it is far beyond, up to 0.8 ms where it is near (4.7 where
/// one bin holds 99 of 100 values); for 64 bins 0.3 to 1.6 and up to 5.8 ms (measured, windows of 100 to a million values). At most 64 bins; state at
/// most 0.6 KiB, the reference up to 1 KiB.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::distance::BinnedDistance;
/// use visu_tility_drift::{Direction, Histogram, HistogramDrift};
///
/// let training: Vec<f64> = (0..1_000).map(|i| f64::from(i * 7 % 100)).collect();
/// let mut reference = Histogram::of_quantiles(&training, 10)?;
/// training.iter().for_each(|&value| reference.insert(value));
/// let mut scores = HistogramDrift::new(&reference, BinnedDistance::Hellinger, 100, 10_000.0)?;
/// let live = |i: u32| f64::from(i * 11 % 100) + if i < 500 { 0.0 } else { 25.0 };
/// let (at, signal) = (0..2_000)
///     .map(|i| (i, scores.update(live(i))))
///     .find(|(_, signal)| signal.drift_detected())
///     .expect("a shift by a quarter of the range is found");
/// assert_eq!((at, signal.direction), (599, Direction::Up));
/// # Ok::<(), visu_tility_drift::distance::DistanceError>(())
/// ```
#[derive(Clone, Debug)]
pub struct HistogramDrift {
    tally: Tally,
    /// The run length that it was built for.
    built: f64,
    /// The run length that it is held to now.
    arl: f64,
    windows: Windows,
}

/// The comparison itself, without a count of its own.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    distance: BinnedDistance,
    window: u32,
    /// Inner edges; bins are open at both ends.
    pub(crate) edges: Vec<f64>,
    pub(crate) reference: Vec<u64>,
    /// The probability that a false alarm may have in a window.
    level: f64,
    /// What the fitted law says of it.
    fitted: f64,
    /// What the exact law said of the last window, if it had passed what is fitted.
    computed: Option<f64>,
    current: Vec<u64>,
    filled: u32,
    statistic: f64,
}

/// What the distance of a window of the reference's own distribution is.
fn law_of(reference: &[u64], distance: BinnedDistance, window: u32) -> Result<NullLaw, DistanceError> {
    let total = reference.iter().sum();
    let shares: Vec<u64> = reference.iter().map(|count| 2 * count + 1).collect();
    NullLaw::of(distance, &shares, total, window.into())
}

impl Windows {
    /// Moves the threshold to another run length; a law that was there is there still.
    pub(crate) fn aim(&mut self, arl: f64) {
        let (edges, reference) = (core::mem::take(&mut self.edges), core::mem::take(&mut self.reference));
        if let Ok(next) = Self::new(edges.clone(), reference.clone(), self.distance, self.window, arl) {
            (self.level, self.fitted, self.computed) = (next.level, next.fitted, None);
        }
        (self.edges, self.reference) = (edges, reference);
        if self.statistic >= self.threshold() {
            // It was not enough when it was looked at.
            self.statistic = 0.0;
        }
    }

    /// `edges` are inner ones, `reference` has one count more.
    pub(crate) fn new(
        edges: Vec<f64>,
        reference: Vec<u64>,
        distance: BinnedDistance,
        window: u32,
        arl: f64,
    ) -> Result<Self, DistanceError> {
        let level = (f64::from(window) / arl).min(0.5);
        let fitted = law_of(&reference, distance, window)?.threshold(level)?;
        let (current, computed) = (vec![0; reference.len()], None);
        let (filled, statistic) = (0, 0.0);
        Ok(Self { distance, window, edges, reference, level, fitted, computed, current, filled, statistic })
    }

    fn threshold(&self) -> f64 {
        self.computed.unwrap_or(self.fitted)
    }

    fn law(&self) -> Result<NullLaw, DistanceError> {
        law_of(&self.reference, self.distance, self.window)
    }

    #[inline]
    pub(crate) fn update(&mut self, value: f64) -> Signal {
        // Counting all edges is faster than a search whose turns cannot be predicted.
        let bin = self.edges.iter().map(|&edge| usize::from(edge < value)).sum::<usize>();
        if let Some(count) = self.current.get_mut(bin) {
            *count += 1;
        }
        self.filled += 1;
        if self.filled < self.window { self.quiet() } else { self.compare() }
    }

    pub(crate) fn quiet(&self) -> Signal {
        Signal::quiet(self.statistic, self.threshold())
    }

    fn compare(&mut self) -> Signal {
        // Both have counts and as many bins.
        self.statistic = self.distance.between(&self.reference, &self.current).unwrap_or(0.0);
        let direction = self.direction();
        self.computed = if self.statistic < self.fitted { None } else { self.far_threshold() };
        self.current.fill(0);
        self.filled = 0;
        let threshold = self.threshold();
        if self.statistic < threshold {
            return self.quiet();
        }
        let (statistic, since) = (core::mem::take(&mut self.statistic), self.window.into());
        Signal { level: Level::Drift, direction, statistic, threshold, since }
    }

    /// The fitted law is off in the far tail: what has passed it is held against the exact one.
    #[cold]
    fn far_threshold(&self) -> Option<f64> {
        let far = self.distance.threshold_of_table(&self.reference, &self.current, self.level).ok()?;
        Some(far.max(self.fitted))
    }

    /// Compares the mean places in the order of the bins.
    fn direction(&self) -> Direction {
        let mean = |counts: &[u64]| {
            let sum: f64 = counts.iter().enumerate().map(|(bin, &count)| bin as f64 * count as f64).sum();
            sum / counts.iter().map(|&count| count as f64).sum::<f64>()
        };
        let (old, new) = (mean(&self.reference), mean(&self.current));
        if new > old {
            Direction::Up
        } else if new < old {
            Direction::Down
        } else {
            Direction::Unknown
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_u32(out, self.filled);
        put_f64(out, self.statistic);
        // Rounded by the library that wrote it: found again it might be another.
        put_f64(out, self.fitted);
        out.push(u8::from(self.computed.is_some()));
        self.computed.iter().for_each(|&threshold| put_f64(out, threshold));
        self.current.iter().for_each(|&count| put_u32(out, count as u32));
    }

    pub(crate) fn read(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        let filled = bytes.u32()?;
        ensure(filled < self.window, "filled")?;
        let statistic = bytes.finite("statistic")?;
        let fitted = bytes.finite("threshold")?;
        ensure((fitted - self.fitted).abs() <= SAME * self.fitted, "threshold")?;
        let computed = if state::flag(bytes, "computed")? { Some(bytes.finite("threshold")?) } else { None };
        ensure(computed.is_none_or(|threshold| threshold >= fitted), "threshold")?;
        ensure(statistic >= 0.0 && statistic < computed.unwrap_or(fitted), "statistic")?;
        let mut current = self.current.clone();
        for count in &mut current {
            *count = bytes.u32()?.into();
        }
        ensure(current.iter().sum::<u64>() == u64::from(filled), "current")?;
        (self.filled, self.statistic, self.current) = (filled, statistic, current);
        (self.fitted, self.computed) = (fitted, computed);
        Ok(())
    }
}

impl HistogramDrift {
    /// Builds a comparison with `reference` of windows of `window` values, with a false alarm every `arl` values.
    ///
    /// # Errors
    ///
    /// Fails when the reference counts nothing, has fewer than 2 or more than 64 bins, `window` is not from 10 to
    /// 1,000,000, or `arl` is below twice the window or above 1e12.
    pub fn new(
        reference: &Histogram,
        distance: BinnedDistance,
        window: u32,
        arl: f64,
    ) -> Result<Self, DistanceError> {
        let counts = reference.open_counts();
        let ok = (2..=MAX_BINS).contains(&counts.len());
        DistanceError::check("bins", counts.len() as f64, ok, "from 2 to 64")?;
        let ok = (10..=1_000_000).contains(&window);
        DistanceError::check("window", f64::from(window), ok, "from 10 to 1000000")?;
        let ok = arl >= 2.0 * f64::from(window) && arl <= ARL_MOST;
        DistanceError::check("arl", arl, ok, "at least twice the window, at most 1e12")?;
        let edges = reference.edges();
        let inner = edges.get(1..edges.len().saturating_sub(1)).unwrap_or_default().to_vec();
        let windows = Windows::new(inner, counts, distance, window, arl)?;
        Ok(Self { tally: Tally::default(), built: arl, arl, windows })
    }

    /// Takes the next value; one that is not finite is counted and changes nothing.
    #[inline]
    pub fn update(&mut self, value: f64) -> Signal {
        match self.tally.admit(value) {
            Some(value) => self.windows.update(value),
            None => self.windows.quiet(),
        }
    }

    /// Starts a new window.
    pub fn reset(&mut self) {
        self.tally = Tally::default();
        self.windows.current.fill(0);
        (self.windows.filled, self.windows.statistic, self.windows.computed) = (0, 0.0, None);
    }

    /// Counts the finite values seen.
    pub const fn count(&self) -> u64 {
        self.tally.taken
    }

    /// Counts the values that were not finite.
    pub const fn ignored(&self) -> u64 {
        self.tally.ignored
    }

    /// Returns the distance from which on the last window had drifted: the fitted one, or the exact one if it had
    /// passed that.
    pub fn threshold(&self) -> f64 {
        self.windows.threshold()
    }

    /// Counts the values of the window that is being filled; 0 right after one was compared.
    pub const fn filled(&self) -> u32 {
        self.windows.filled
    }

    /// Counts the values of the reference.
    pub fn reference_size(&self) -> u64 {
        self.windows.reference.iter().sum()
    }

    /// Returns the probability that a window of the reference's own distribution is at least this far from it, by the
    /// fitted law, so that it is no more than a figure below 1e-3; `None` where there is no law. Cost: that of building.
    pub fn p_value(&self, distance: f64) -> Option<f64> {
        Some(self.windows.law().ok()?.p_value(distance).clamp(0.0, 1.0))
    }

    /// Returns the average number of values between false alarms that it is held to.
    pub const fn arl(&self) -> f64 {
        self.arl
    }

    /// Holds it to another run length from now on, within the range of [`HistogramDrift::new`]; what is no number
    /// changes nothing. Cost: that of building. The run length is a part of the state.
    pub fn set_arl(&mut self, arl: f64) {
        if let Some(arl) = state::run_length(arl, self.arl_least(), ARL_MOST)
            && arl != self.arl
        {
            self.arl = arl;
            self.windows.aim(arl);
        }
    }

    /// The least run length: two windows.
    fn arl_least(&self) -> f64 {
        2.0 * f64::from(self.windows.window)
    }

    fn fingerprint(&self) -> u64 {
        let windows = &self.windows;
        let hash = Fingerprint::new().u64(windows.distance as u64).u64(windows.window.into()).f64(self.built);
        let hash = windows.edges.iter().fold(hash, |hash, &edge| hash.f64(edge));
        windows.reference.iter().fold(hash, |hash, &count| hash.u64(count)).finish()
    }

    /// Appends the state, not the reference, in the crate's versioned form.
    pub fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.fingerprint());
        self.tally.write(out);
        put_f64(out, self.arl);
        self.windows.write(out);
    }

    /// Replaces the state by one that [`HistogramDrift::write_state`] wrote for the same reference and parameters.
    ///
    /// # Errors
    ///
    /// Fails, changing nothing, when the bytes are not such a state.
    pub fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "histogram drift", VERSION, self.fingerprint())?;
        let mut read = Self { tally: Tally::read(bytes)?, ..self.clone() };
        read.set_arl(state::read_run_length(bytes, self.arl_least(), ARL_MOST)?);
        read.windows.read(bytes)?;
        *self = read;
        Ok(())
    }
}

/// Appends edges and reference counts, for a state that holds a learnt reference.
pub(crate) fn write_reference(windows: &Windows, out: &mut Vec<u8>) {
    put_u32(out, windows.edges.len() as u32);
    windows.edges.iter().for_each(|&edge| put_f64(out, edge));
    windows.reference.iter().for_each(|&count| put_u64(out, count));
}

/// Reads what [`write_reference`] wrote, with counts that sum to at most `most`.
pub(crate) fn read_reference(bytes: &mut Reader<'_>, most: u64) -> Result<(Vec<f64>, Vec<u64>), DecodeError> {
    let inner = bytes.u32()? as usize;
    ensure((1..MAX_BINS).contains(&inner), "edges")?;
    let mut edges: Vec<f64> = Vec::with_capacity(inner);
    for _ in 0..inner {
        let edge = bytes.finite("edges")?;
        let rising = edges.last().is_none_or(|&last| last < edge);
        ensure(rising && edge.abs() <= 1.01 * VALUE_LIMIT, "edges")?;
        edges.push(edge);
    }
    let counts = (0..=inner).map(|_| bytes.u64()).collect::<Result<Vec<_>, _>>()?;
    ensure(counts.iter().all(|&count| count <= most), "counts")?;
    ensure(counts.iter().sum::<u64>() <= most, "counts")?;
    Ok((edges, counts))
}
