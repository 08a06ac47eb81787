//! Maximum mean discrepancy over a stream of vectors, without a reference set and without a window.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::features::Features;
use super::{Spread, VectorError, VectorTally, dot};
use crate::math::{ln, sqrt};
use crate::parameters::{parameters, words};
use crate::state::run_length;
use crate::{Direction, Level, ParamError, Signal, sorted};

/// The bandwidth is the median distance of this many first vectors.
pub(super) const BANDWIDTH_FROM: usize = 16;
/// The spread of the features is learnt from this many vectors, an even number.
pub(super) const SPREAD_FROM: usize = 64;
/// Rows of buckets; older vectors than 2^31 leave.
pub(super) const MAX_ROWS: usize = 30;
/// The range of `arl`.
pub(super) const ARL_LEAST: f64 = 100.0;
pub(super) const ARL_MOST: f64 = 1e12;
/// No part of a split is shorter.
const LEAST_PART: u64 = 8;

/// How the threshold of [`OnlineMmd`] is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum MmdBound {
    /// From the spread of the first 64 vectors' features. Finds changes from about a tenth of the vectors that the
    /// proven bound needs; its false alarms are measured, not proven.
    #[default]
    Estimated,
    /// From the features' length alone (`McDiarmid`): holds for every distribution and length.
    Proven,
}

words!(MmdBound { Estimated = "estimated", Proven = "proven" });

parameters! {
    /// Parameters of [`OnlineMmd`].
    pub struct OnlineMmdParams {
        /// Components of each vector, from 1 to 4,096.
        pub dimension: u32 = 64,
        /// Random directions, from 8 to 512; each gives two features.
        pub features: u32 = 64,
        /// Length in the vectors' units below which differences hardly matter, not negative; 0 takes the median
        /// distance of the first 16 vectors.
        pub bandwidth: f64 = 0.0,
        /// Average number of vectors between false alarms, from 100 to 1e12.
        pub arl: f64 = 10_000.0,
        /// Vectors between two looks, from 1 to 1,000.
        pub clock: u32 = 4,
        /// How the threshold is found.
        pub bound: MmdBound = MmdBound::Estimated,
        /// Seed of the directions.
        pub seed: u64 = 0,
    }
}

impl OnlineMmdParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { dimension, features, bandwidth, arl, clock, .. } = *self;
        let ok = (1..=4_096).contains(&dimension);
        ParamError::check("dimension", f64::from(dimension), ok, "from 1 to 4096")?;
        ParamError::check("features", f64::from(features), (8..=512).contains(&features), "from 8 to 512")?;
        let ok = bandwidth == 0.0 || (1e-30..=1e30).contains(&bandwidth);
        ParamError::check("bandwidth", bandwidth, ok, "0 or from 1e-30 to 1e30")?;
        ParamError::check("arl", arl, (ARL_LEAST..=ARL_MOST).contains(&arl), "from 100 to 1e12")?;
        ParamError::check("clock", f64::from(clock), (1..=1_000).contains(&clock), "from 1 to 1000")
    }
}

/// Finds any change of the distribution of vectors, by comparing the last s with all before them for every s on a
/// grid of about 2 log2(n) lengths.
///
/// Use it on embeddings and rows of features, when neither a reference set nor the length of the change is known. For
/// a change of the mean alone, against a reference that stays, see [`super::CentroidShift`].
///
/// # How
///
/// A vector becomes `m` cosines and `m` sines along random directions; the distance of two means of such features is
/// the maximum mean discrepancy of the two sets under the Gaussian kernel. Means of 1, 2, 4, ... vectors are kept, at
/// most two of each length, as in an exponential histogram. After n vectors, with `S^2 = s (n-s) / n |m_s - m_(n-s)|^2`
/// for the mean `m_s` of the last s, [`Level::Drift`] when the largest S reaches the threshold:
///
/// - proven: `1 + sqrt(2 L)`, as E S <= 1 and no vector moves S^2 by more than the bounded differences allow
///   (`McDiarmid`);
/// - estimated: the root of `t + 2 sqrt(q L) + 2 l L` with the trace t, sum of squared eigenvalues q and largest
///   eigenvalue l of the features' covariance, estimated from 64 vectors (Laurent and Massart, Annals of Statistics
///   28, 2000, lemma 1, for the normal limit), and never above the proven one,
///
/// where `L = ln(2 arl k / clock)` for k lengths: by the union bound a look alarms with probability at most
/// `clock / (2 arl)`, from which the mean time to a false alarm is at least `arl`. After a drift all is learnt anew.
///
/// In the signal, `statistic` is the largest S, `since` the s at which it is reached.
///
/// # Cost
///
/// `features * dimension` multiplications, a sine and a cosine for each feature, and at each look `4 features` for
/// each length. State: `8 features` bytes for each of at most two means a row and `log2(n)` rows: with 64 features
/// 1 KiB times log2(n), 21 KiB after a million vectors, at most 31 KiB; while learning at most 40 KiB, or 64 bytes times the
/// dimension if that is more. The directions (`4 features * dimension` bytes) are shared by clones and come from the seed.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{OnlineMmd, OnlineMmdParams};
///
/// let mut texts = OnlineMmd::new(OnlineMmdParams { dimension: 2, ..Default::default() })?;
/// let noise = |i: u64| ((i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / (1 << 24) as f32) - 0.5;
/// // From 1,000 on the second component equals the first; means and spreads stay.
/// let vector = |i: u64| [noise(i), if i < 1_000 { noise(i + 1 << 20) } else { noise(i) }];
/// let alarm = (0..3_000).find(|&i| texts.update(&vector(i)).is_ok_and(|signal| signal.drift_detected()));
/// assert_eq!(alarm, Some(1_543));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// A vector of another length or with a component that is not finite is refused and counted; components beyond ±1e15
/// are taken as ±1e15. Equal first vectors
/// leave the bandwidth at 1.
///
/// # References
///
/// Kalinke and Gavioli-Akilagun, "Optimal Online Change Detection via Random Fourier Features", 2025
/// (arXiv 2505.17789): features on a dyadic grid. Here two means of each length are kept instead of one, and the
/// thresholds are as derived above.
#[derive(Clone, Debug)]
pub struct OnlineMmd {
    pub(super) params: OnlineMmdParams,
    pub(super) tally: VectorTally,
    pub(super) arl: f64,
    pub(super) bandwidth: f64,
    /// The first vectors, until the bandwidth is known.
    pub(super) first: Vec<f32>,
    /// The first features, until the spread is known.
    pub(super) learning: Vec<f32>,
    pub(super) spread: Option<Spread>,
    /// Row k holds up to two means of 2^k features each, the older first.
    pub(super) rows: Vec<Vec<f32>>,
    pub(super) seen: u64,
    pub(super) statistic: f64,
    features: Arc<Features>,
    scratch: Scratch,
}

/// Room for what a look and an update need, so that they allocate nothing.
#[derive(Clone, Debug)]
struct Scratch {
    features: Vec<f32>,
    total: Vec<f64>,
    recent: Vec<f64>,
}

impl OnlineMmd {
    /// Builds a detector that has seen nothing. Clones share its directions.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: OnlineMmdParams) -> Result<Self, ParamError> {
        params.validate()?;
        let width = 2 * params.features as usize;
        let features = Features::new(params.dimension as usize, params.features as usize, params.seed);
        Ok(Self {
            params,
            tally: VectorTally::default(),
            arl: params.arl,
            bandwidth: params.bandwidth,
            first: Vec::new(),
            learning: Vec::new(),
            spread: None,
            rows: Vec::new(),
            seen: 0,
            statistic: 0.0,
            features: Arc::new(features),
            scratch: Scratch {
                features: vec![0.0; width],
                total: vec![0.0; width],
                recent: vec![0.0; width],
            },
        })
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &OnlineMmdParams {
        &self.params
    }

    /// Takes the next vector.
    ///
    /// # Errors
    ///
    /// Refuses a vector of another length or with a component that is not finite; it is counted.
    pub fn update(&mut self, vector: &[f32]) -> Result<Signal, VectorError> {
        self.tally.admit(vector, self.params.dimension)?;
        if self.bandwidth > 0.0 {
            return Ok(self.take(vector));
        }
        self.first.extend_from_slice(vector);
        let dimension = self.params.dimension as usize;
        if self.first.len() < BANDWIDTH_FROM * dimension {
            return Ok(self.quiet());
        }
        let first = core::mem::take(&mut self.first);
        self.bandwidth = median_distance(&first, dimension);
        for vector in first.chunks_exact(dimension) {
            self.take(vector);
        }
        Ok(self.quiet())
    }

    /// Forgets the stream and starts afresh with the same parameters.
    pub fn reset(&mut self) {
        self.tally = VectorTally::default();
        self.forget();
    }

    fn forget(&mut self) {
        self.bandwidth = self.params.bandwidth;
        self.first = Vec::new();
        self.learning = Vec::new();
        self.spread = None;
        self.rows = Vec::new();
        self.seen = 0;
        self.statistic = 0.0;
    }

    /// Names the detector as a plan would.
    pub const fn name(&self) -> &'static str {
        "online-mmd"
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
    /// nothing. The run length is a part of the state and outlives a drift and [`OnlineMmd::reset`].
    pub fn set_arl(&mut self, arl: f64) {
        if let Some(arl) = run_length(arl, ARL_LEAST, ARL_MOST) {
            self.arl = arl;
            if self.statistic >= self.threshold() {
                // It was not enough when it was looked at.
                self.statistic = 0.0;
            }
        }
    }

    /// Is true when what was found at the last look is at or above the threshold of that run length, as
    /// [`crate::Detector::reaches`].
    pub fn reaches(&self, arl: f64) -> bool {
        run_length(arl, ARL_LEAST, ARL_MOST).is_some_and(|arl| self.statistic >= self.threshold_of(arl))
    }

    fn quiet(&self) -> Signal {
        Signal::quiet(self.statistic, self.threshold())
    }

    fn take(&mut self, vector: &[f32]) -> Signal {
        let mut scratch = core::mem::take(&mut self.scratch.features);
        self.features.of(vector, self.bandwidth, &mut scratch);
        self.learn(&scratch);
        self.add(&mut scratch);
        self.scratch.features = scratch;
        self.seen += 1;
        let ready = self.spread.is_some() && self.seen.is_multiple_of(self.params.clock.into());
        if ready { self.look() } else { self.quiet() }
    }

    fn learn(&mut self, features: &[f32]) {
        if self.spread.is_some() {
            return;
        }
        self.learning.extend_from_slice(features);
        if self.learning.len() >= SPREAD_FROM * features.len() {
            self.spread = Some(spread(&core::mem::take(&mut self.learning), features.len()));
        }
    }

    /// Adds a mean of one vector; `carried` is left with something else.
    fn add(&mut self, carried: &mut [f32]) {
        let width = carried.len();
        for at in 0..MAX_ROWS {
            if self.rows.len() == at {
                self.rows.push(Vec::with_capacity(2 * width));
            }
            let Some(row) = self.rows.get_mut(at) else { return };
            if row.len() < 2 * width {
                row.extend_from_slice(carried);
                return;
            }
            // The two older of three means become one of twice the length.
            let (older, newer) = row.split_at_mut(width);
            for ((older, newer), carried) in older.iter_mut().zip(newer).zip(carried.iter_mut()) {
                let merged = 0.5 * (*older + *newer);
                *older = *carried;
                *newer = 0.0;
                *carried = merged;
            }
            row.truncate(width);
        }
    }

    /// What is added to, squared or not, for a level: `L` of the page.
    fn exponent(&self, arl: f64) -> f64 {
        let lengths = (2 * self.rows.len()).max(2) as f64;
        ln(2.0 * arl * lengths / f64::from(self.params.clock)).max(1.0)
    }

    /// Returns what the largest S is held against after as many vectors.
    pub fn threshold(&self) -> f64 {
        self.threshold_of(self.arl)
    }

    fn threshold_of(&self, arl: f64) -> f64 {
        let l = self.exponent(arl);
        let proven = 1.0 + sqrt(2.0 * l);
        match (self.params.bound, self.spread) {
            // Vectors that were all the same tell nothing of the spread.
            (MmdBound::Estimated, Some(Spread { trace, squares, largest })) if trace > 0.0 => {
                sqrt(trace + 2.0 * sqrt(squares * l) + 2.0 * largest * l).min(proven)
            }
            _ => proven,
        }
    }

    fn look(&mut self) -> Signal {
        let width = 2 * self.params.features as usize;
        let Scratch { total, recent, .. } = &mut self.scratch;
        total.fill(0.0);
        recent.fill(0.0);
        let mut held = 0_u64;
        for (at, row) in self.rows.iter().enumerate() {
            let length = 1_u64 << at;
            for mean in row.chunks_exact(width) {
                held += length;
                total.iter_mut().zip(mean).for_each(|(sum, x)| *sum += length as f64 * f64::from(*x));
            }
        }
        let (mut best, mut since, mut last) = (0.0_f64, 0, 0_u64);
        'rows: for (at, row) in self.rows.iter().enumerate() {
            let length = 1_u64 << at;
            for mean in row.chunks_exact(width).rev() {
                last += length;
                if last + LEAST_PART > held {
                    break 'rows;
                }
                recent.iter_mut().zip(mean).for_each(|(sum, x)| *sum += length as f64 * f64::from(*x));
                if last < LEAST_PART {
                    continue;
                }
                let (s, n) = (last as f64, held as f64);
                let apart: f64 =
                    recent.iter().zip(total.iter()).map(|(r, t)| r - s / n * t).map(|d| d * d).sum();
                let square = apart * n / (s * (n - s));
                if square > best {
                    (best, since) = (square, last);
                }
            }
        }
        self.statistic = sqrt(best);
        let threshold = self.threshold();
        if self.statistic < threshold {
            return Signal::quiet(self.statistic, threshold);
        }
        let statistic = self.statistic;
        self.forget();
        Signal { level: Level::Drift, direction: Direction::Unknown, statistic, threshold, since }
    }
}

/// The median distance of the vectors, 1 where they are equal.
fn median_distance(vectors: &[f32], dimension: usize) -> f64 {
    let rows: Vec<&[f32]> = vectors.chunks_exact(dimension).collect();
    let mut squares = Vec::with_capacity(rows.len() * rows.len() / 2);
    for (i, a) in rows.iter().enumerate() {
        let square = |b: &&[f32]| -> f64 {
            let apart = a.iter().zip(*b).map(|(a, b)| f64::from(*a) - f64::from(*b));
            apart.map(|d| d * d).sum()
        };
        squares.extend(rows.iter().skip(i + 1).map(square));
    }
    squares.sort_unstable_by(f64::total_cmp);
    match sorted::median(&squares) {
        Some(square) if square > 0.0 => sqrt(square).clamp(1e-30, 1e30),
        _ => 1.0,
    }
}

/// Estimates the spread from the differences of neighbours, whose covariance is twice that of the features and which
/// are independent.
fn spread(features: &[f32], width: usize) -> Spread {
    let differences: Vec<Vec<f64>> = features
        .chunks_exact(2 * width)
        .map(|pair| {
            let (a, b) = pair.split_at(width);
            a.iter()
                .zip(b)
                .map(|(a, b)| (f64::from(*a) - f64::from(*b)) / core::f64::consts::SQRT_2)
                .collect()
        })
        .collect();
    let count = differences.len() as f64;
    let gram: Vec<Vec<f64>> =
        differences.iter().map(|a| differences.iter().map(|b| dot(a, b)).collect()).collect();
    let diagonal: f64 = differences.iter().map(|d| dot(d, d)).sum();
    let own: f64 = differences.iter().map(|d| dot(d, d)).map(|v| v * v).sum();
    let all: f64 = gram.iter().flatten().map(|v| v * v).sum();
    let (trace, squares) = (diagonal / count, (all - own) / (count * (count - 1.0)));
    // The largest eigenvalue of the sample, which tends to be above the law's, by powers.
    let mut direction = vec![1.0; differences.len()];
    let mut largest = 0.0;
    for round in 0..100 {
        let next: Vec<f64> = gram.iter().map(|row| dot(row, &direction)).collect();
        let length = sqrt(dot(&next, &next));
        if length <= 0.0 {
            break;
        }
        largest = length / count;
        // The first is not of length 1.
        if round == 0 {
            largest = trace;
        }
        direction = next.into_iter().map(|x| x / length).collect();
    }
    // What 64 vectors can be off by is added.
    let slack = 1.0 + 2.0 / sqrt(count);
    let squares = squares.clamp(0.0, trace * trace) * slack;
    Spread { trace: trace * (1.0 + 0.5 / sqrt(count)), squares, largest: largest.min(sqrt(squares)) }
}
