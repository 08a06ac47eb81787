//! Windows of vectors against the centroid of the first ones.

use alloc::vec;
use alloc::vec::Vec;

use super::{VectorError, VectorTally, dot};
use crate::codec::{DecodeError, Reader, put_f64, put_u32};
use crate::math::sqrt;
use crate::parameters::{parameters, words};
use crate::special::chi2_quantile;
use crate::state::{self, ensure};
use crate::{Direction, Level, ParamError, Signal};

const VERSION: u8 = 1;

/// The largest `arl`.
const ARL_MOST: f64 = 1e12;

/// Components are taken as within this, so that sums of fourth powers stay finite.
const COMPONENT_LIMIT: f32 = 1e15;

/// What centroids of equal vectors are off by, at most, as a share of their length.
const ROUNDING: f64 = 1e-9;

/// How far apart two centroids are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum CentroidMetric {
    /// The length of their difference, in the vectors' units.
    #[default]
    Euclidean,
    /// 1 less the cosine of the angle between them, from 0 to 2. For vectors whose direction is what counts.
    Cosine,
}

words!(CentroidMetric { Euclidean = "euclidean", Cosine = "cosine" });

parameters! {
    /// Parameters of [`CentroidShift`].
    pub struct CentroidShiftParams {
        /// Components of each vector, from 1 to 4,096.
        pub dimension: u32 = 64,
        /// The reference is this many first vectors, from 40 to 1,000,000.
        pub reference: u32 = 1_000,
        /// Vectors in each compared window, from 10 to 1,000,000.
        pub window: u32 = 100,
        /// How far apart two centroids are.
        pub metric: CentroidMetric = CentroidMetric::Euclidean,
        /// Average number of vectors between false alarms, from twice the window to 1e12.
        pub arl: f64 = 10_000.0,
    }
}

impl CentroidShiftParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { dimension, reference, window, arl, .. } = *self;
        let ok = (1..=4_096).contains(&dimension);
        ParamError::check("dimension", f64::from(dimension), ok, "from 1 to 4096")?;
        let ok = (40..=1_000_000).contains(&reference);
        ParamError::check("reference", f64::from(reference), ok, "from 40 to 1000000")?;
        let ok = (10..=1_000_000).contains(&window);
        ParamError::check("window", f64::from(window), ok, "from 10 to 1000000")?;
        let ok = arl >= 2.0 * f64::from(window) && arl <= ARL_MOST;
        ParamError::check("arl", arl, ok, "at least twice the window, at most 1e12")
    }
}

/// Compares the centroid of each window of vectors with that of the first ones, with a threshold from the spread of
/// the first ones.
///
/// Use it on embeddings when a move as a whole is what matters: a new subject, language or camera. It is cheap and
/// says how far; it does not see a change of spread alone (see [`super::OnlineMmd`]).
///
/// # How
///
/// For N reference and M window vectors of one distribution, `N M / (N + M)` times the squared distance of the
/// centroids has mean t and variance 2 q for the trace t and the sum of squared eigenvalues q of the vectors'
/// covariance. Both are estimated from differences of neighbours in the reference: t from their squared lengths, q from
/// the dot products of neighbouring differences, with twice its standard error added. The threshold of level
/// `window / arl` is that of the multiple of a chi-square variable with these moments (Satterthwaite). For the cosine
/// it is divided by twice the squared length of the reference's centroid, which is the first term of the cosine's
/// expansion and too high by what lies along the centroid; a centroid within its noise of 0 has no direction, and gives
/// no alarm.
///
/// Measured false alarms are near the level for normal vectors and images; with components of such heavy tails that
/// the variance hardly exists they were 2.5 times as many: normalise such vectors first.
///
/// After a drift the next vectors are the new reference. In the signal, `statistic` is the last window's distance,
/// `since` on a drift the window. While a reference is learnt, statistic 0 and threshold 1.
///
/// # Cost
///
/// One addition a component; while learning a few more. State: 28 bytes a component and 100 more.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{CentroidShift, CentroidShiftParams};
///
/// let mut texts = CentroidShift::new(CentroidShiftParams { dimension: 3, ..Default::default() })?;
/// let noise = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1 << 24) as f32;
/// let vector = |i: u64| [noise(3 * i), noise(3 * i + 1), noise(3 * i + 2) + if i < 2_000 { 0.0 } else { 0.3 }];
/// let alarm = (0..4_000).find(|&i| texts.update(&vector(i)).is_ok_and(|signal| signal.drift_detected()));
/// assert_eq!(alarm, Some(2_099));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// A vector of another length or with a component that is not finite is refused and counted; components beyond ±1e15
/// are taken as ±1e15.
///
/// # References
///
/// Satterthwaite, Biometrics Bulletin 2 (1946); the estimate of q is that of Chen and Qin, Annals of Statistics 38
/// (2010), section 3, taken over neighbours only.
#[derive(Clone, Debug)]
pub struct CentroidShift {
    params: CentroidShiftParams,
    tally: VectorTally,
    arl: f64,
    /// Vectors of the reference so far.
    learnt: u32,
    /// Their sum; their mean once they are all there.
    centroid: Vec<f64>,
    /// The sum of the window so far; while learning, the last difference of two neighbours.
    window: Vec<f64>,
    /// While learning, the first of the next two neighbours.
    previous: Vec<f32>,
    /// Sums of squared lengths of differences, of squared dot products and of their squares.
    sums: [f64; 3],
    filled: u32,
    statistic: f64,
    threshold: f64,
}

impl CentroidShift {
    /// Builds a detector that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: CentroidShiftParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self::fresh(params, VectorTally::default(), params.arl))
    }

    fn fresh(params: CentroidShiftParams, tally: VectorTally, arl: f64) -> Self {
        let dimension = params.dimension as usize;
        Self {
            params,
            tally,
            arl,
            learnt: 0,
            centroid: vec![0.0; dimension],
            window: vec![0.0; dimension],
            previous: vec![0.0; dimension],
            sums: [0.0; 3],
            filled: 0,
            statistic: 0.0,
            threshold: 1.0,
        }
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &CentroidShiftParams {
        &self.params
    }

    /// Takes the next vector.
    ///
    /// # Errors
    ///
    /// Refuses a vector of another length or with a component that is not finite; it is counted.
    pub fn update(&mut self, vector: &[f32]) -> Result<Signal, VectorError> {
        self.tally.admit(vector, self.params.dimension)?;
        let within = |x: &f32| x.clamp(-COMPONENT_LIMIT, COMPONENT_LIMIT);
        if self.learnt < self.params.reference {
            for (sum, x) in self.centroid.iter_mut().zip(vector) {
                *sum += f64::from(within(x));
            }
            self.learn(vector);
            return Ok(self.quiet());
        }
        for (sum, x) in self.window.iter_mut().zip(vector) {
            *sum += f64::from(within(x));
        }
        self.filled += 1;
        Ok(if self.filled < self.params.window { self.quiet() } else { self.compare() })
    }

    /// Forgets the stream and starts afresh with the same parameters.
    pub fn reset(&mut self) {
        *self = Self::fresh(self.params, VectorTally::default(), self.arl);
    }

    /// Names the detector as a plan would.
    pub const fn name(&self) -> &'static str {
        "centroid"
    }

    /// Counts the vectors taken.
    pub const fn count(&self) -> u64 {
        self.tally.values.taken
    }

    /// Counts the vectors refused for a component that is not finite.
    pub const fn ignored(&self) -> u64 {
        self.tally.values.ignored
    }

    /// Counts the vectors refused for their length.
    pub const fn misshapen(&self) -> u64 {
        self.tally.misshapen
    }

    /// Returns the average number of vectors between false alarms that it is held to.
    pub const fn arl(&self) -> f64 {
        self.arl
    }

    /// Holds it to another run length from now on, within the range of the parameter; what is no number changes
    /// nothing. The run length is a part of the state and outlives a drift and [`CentroidShift::reset`].
    pub fn set_arl(&mut self, arl: f64) {
        if let Some(arl) = state::run_length(arl, 2.0 * f64::from(self.params.window), ARL_MOST) {
            self.arl = arl;
            if self.learnt == self.params.reference {
                self.aim();
            }
        }
    }

    /// Counts the vectors of the reference that are there.
    pub const fn learnt(&self) -> u32 {
        self.learnt
    }

    const fn quiet(&self) -> Signal {
        Signal::quiet(self.statistic, self.threshold)
    }

    fn learn(&mut self, vector: &[f32]) {
        let (mut square, mut product) = (0.0, 0.0);
        if self.learnt % 2 == 1 {
            let pairs = self.window.iter_mut().zip(self.previous.iter().zip(vector));
            for (last, (before, now)) in pairs {
                let limit = |x: f32| f64::from(x.clamp(-COMPONENT_LIMIT, COMPONENT_LIMIT));
                let difference = limit(*now) - limit(*before);
                square += difference * difference;
                product += difference * *last;
                *last = difference;
            }
            // The first of all has none before it. Each product is of differences of four vectors of their own.
            let products = if self.learnt % 4 == 3 { product * product } else { 0.0 };
            let [lengths, dots, squares] = &mut self.sums;
            *lengths += square;
            *dots += products;
            *squares += products * products;
        }
        self.previous.copy_from_slice(vector);
        self.learnt += 1;
        if self.learnt == self.params.reference {
            self.watch();
        }
    }

    fn watch(&mut self) {
        let n = f64::from(self.params.reference);
        self.centroid.iter_mut().for_each(|sum| *sum /= n);
        self.window.fill(0.0);
        self.aim();
    }

    /// Finds the threshold from what was learnt and the run length.
    fn aim(&mut self) {
        let CentroidShiftParams { reference, window, metric, .. } = self.params;
        let (n, m) = (f64::from(reference), f64::from(window));
        let [lengths, dots, squares] = self.sums;
        // A difference has twice the covariance.
        let (pairs, fours) = (f64::from(reference / 2), f64::from(reference / 4));
        let trace = (lengths / pairs / 2.0).max(f64::MIN_POSITIVE);
        let mean = dots / fours;
        let error = sqrt((squares / fours - mean * mean).max(0.0) / fours);
        // Between a flat spectrum and a single direction.
        let flat = trace * trace / f64::from(self.params.dimension);
        let q = ((mean + 2.0 * error) / 4.0).clamp(flat, trace * trace).max(f64::MIN_POSITIVE);
        let level = (m / self.arl).min(0.5);
        let square = q / trace * chi2_quantile(level, trace * trace / q) * (1.0 / n + 1.0 / m);
        let threshold = match metric {
            // All vectors of the reference were the same: any other is a change, but for rounding.
            CentroidMetric::Euclidean if lengths <= 0.0 => {
                ROUNDING * sqrt(dot(&self.centroid, &self.centroid))
            }
            CentroidMetric::Cosine if lengths <= 0.0 => ROUNDING,
            CentroidMetric::Euclidean => sqrt(square),
            CentroidMetric::Cosine => {
                let length = dot(&self.centroid, &self.centroid);
                if length > square { square / (2.0 * length) } else { f64::MAX }
            }
        };
        self.threshold = if threshold.is_finite() { threshold.max(f64::MIN_POSITIVE) } else { f64::MAX };
        if self.statistic >= self.threshold {
            // It was not enough when it was looked at.
            self.statistic = 0.0;
        }
    }

    fn compare(&mut self) -> Signal {
        let count = f64::from(self.filled);
        self.window.iter_mut().for_each(|sum| *sum /= count);
        self.statistic = match self.params.metric {
            CentroidMetric::Euclidean => {
                let apart = self.centroid.iter().zip(&self.window).map(|(a, b)| a - b);
                sqrt(apart.map(|d| d * d).sum())
            }
            CentroidMetric::Cosine => {
                let lengths =
                    sqrt(dot(&self.centroid, &self.centroid)) * sqrt(dot(&self.window, &self.window));
                let cosine = dot(&self.centroid, &self.window) / lengths;
                if lengths > 0.0 { (1.0 - cosine).clamp(0.0, 2.0) } else { 0.0 }
            }
        };
        self.window.fill(0.0);
        self.filled = 0;
        if self.statistic < self.threshold {
            return self.quiet();
        }
        let (statistic, threshold) = (self.statistic, self.threshold);
        *self = Self::fresh(self.params, self.tally, self.arl);
        let since = self.params.window.into();
        Signal { level: Level::Drift, direction: Direction::Unknown, statistic, threshold, since }
    }

    /// Appends the state (not the parameters) in the crate's versioned little-endian form.
    pub fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_f64(out, self.arl);
        put_u32(out, self.learnt);
        put_u32(out, self.filled);
        let numbers = self.sums.iter().chain([&self.statistic, &self.threshold]);
        numbers.chain(&self.centroid).chain(&self.window).for_each(|&value| put_f64(out, value));
        self.previous.iter().for_each(|value| put_u32(out, value.to_bits()));
    }

    /// Replaces the state by one that [`CentroidShift::write_state`] wrote for the same parameters.
    ///
    /// # Errors
    ///
    /// Fails, leaving the detector as it was, when the bytes are cut short, of an unknown version, of other
    /// parameters, or hold a value out of its range.
    pub fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "centroid", VERSION, self.params.fingerprint())?;
        let tally = VectorTally::read(bytes)?;
        let least = 2.0 * f64::from(self.params.window);
        let mut read = Self::fresh(self.params, tally, state::read_run_length(bytes, least, ARL_MOST)?);
        (read.learnt, read.filled) = (bytes.u32()?, bytes.u32()?);
        ensure(read.learnt <= self.params.reference, "learnt")?;
        ensure(read.filled < self.params.window, "filled")?;
        let learning = read.learnt < self.params.reference;
        ensure(!learning || read.filled == 0, "filled")?;
        for sum in &mut read.sums {
            *sum = bytes.finite("sums")?;
            ensure((0.0..=1e140).contains(sum), "sums")?;
        }
        (read.statistic, read.threshold) = (bytes.finite("statistic")?, bytes.finite("threshold")?);
        ensure(read.threshold > 0.0 && (0.0..read.threshold).contains(&read.statistic), "threshold")?;
        for sum in read.centroid.iter_mut().chain(&mut read.window) {
            *sum = bytes.finite("sum")?;
            ensure(sum.abs() <= 1e22, "sum")?;
        }
        for value in &mut read.previous {
            *value = f32::from_bits(bytes.u32()?);
            ensure(value.is_finite(), "previous")?;
        }
        *self = read;
        Ok(())
    }
}
