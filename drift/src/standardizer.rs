//! The standardiser: puts a stream of unknown scale on the scale that detectors expect.

use alloc::vec::Vec;

use crate::ParamError;
use crate::codec::{DecodeError, Reader, put_f64, put_u64};
use crate::math::sqrt;
use crate::state::{self, Fingerprint, VALUE_LIMIT, bounded, ensure};

const VERSION: u8 = 2;

/// Parameters of [`Standardizer`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct StandardizerParams {
    /// Values to learn the mean and the standard deviation from, at least 2. Default 1,000: the learned
    /// mean is then off by about 3 % of a standard deviation.
    pub learn: u64,
    /// Largest size of a score, above 0. Default 10: no value of a well-behaved feature reaches it, and a
    /// single wild one cannot move a mean of 1,000 scores by more than 0.01.
    pub clip: f64,
}

impl Default for StandardizerParams {
    fn default() -> Self {
        Self { learn: 1_000, clip: 10.0 }
    }
}

impl StandardizerParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        ParamError::check("learn", self.learn as f64, self.learn >= 2, "at least 2")?;
        let ok = self.clip > 0.0 && self.clip <= 1e6;
        ParamError::check("clip", self.clip, ok, "in (0, 1e6]")
    }
}

/// Turns values into scores `(x - mean) / sd`, with a mean and a deviation learned once.
///
/// Use it in front of [`crate::Adwin`] or [`crate::PageHinkley`] for features and latencies. It learns
/// from the first `learn` values and is then frozen, so that a slow drift is not learned away; what it
/// learned is an estimate, so do not feed its scores to a test that takes the good mean as known.
///
/// # Recurrence
///
/// Welford's: `m_t = m_(t-1) + (x_t - m_(t-1)) / t`, `s_t = s_(t-1) + (x_t - m_(t-1)) (x_t - m_t)`; the
/// deviation is `sqrt(s / (learn - 1))`; the root of `s` is kept, so that values of any size do. Scores are clipped at `±clip`.
///
/// # Cost
///
/// Four divisions and a square root per value while learning, one multiplication after; one struct of 40 bytes.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Standardizer, StandardizerParams};
///
/// let mut scores = Standardizer::new(StandardizerParams { learn: 4, clip: 10.0 })?;
/// let out: Vec<_> = [1.0, 3.0, 1.0, 3.0, 2.0, 1e9].map(|x| scores.update(x)).into();
/// assert_eq!(out, [None, None, None, None, Some(0.0), Some(10.0)]);
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// A value that is not finite gives no score and changes nothing. When all learned values were the same,
/// the same value scores 0 and any other `±clip`. Deviations below 1e-300 are taken as that. Values beyond ±1e100 are taken as ±1e100.
///
/// # References
///
/// Welford, "Note on a method for calculating corrected sums of squares and products", Technometrics 4
/// (1962), equations (I) and (II).
#[derive(Clone, Copy, Debug)]
pub struct Standardizer {
    params: StandardizerParams,
    seen: u64,
    mean: f64,
    /// The root of the sum of squared deviations while learning, then one over the standard deviation (0 for none).
    spread: f64,
}

impl Standardizer {
    /// Builds one that has learned nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: StandardizerParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self { params, seen: 0, mean: 0.0, spread: 0.0 })
    }

    /// Takes the next value; returns its score once learning is over, and nothing before.
    #[inline]
    pub fn update(&mut self, value: f64) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        let value = value.clamp(-VALUE_LIMIT, VALUE_LIMIT);
        if self.seen < self.params.learn {
            self.learn(value);
            return None;
        }
        let clip = self.params.clip;
        let apart = value - self.mean;
        if self.spread > 0.0 {
            return Some((apart * self.spread).clamp(-clip, clip));
        }
        Some(if apart == 0.0 { 0.0 } else { clip.copysign(apart) })
    }

    /// Is true when mean and deviation are learned and frozen.
    pub const fn is_ready(&self) -> bool {
        self.seen >= self.params.learn
    }

    /// Counts the values still to come before mean and deviation are learned.
    pub const fn left(&self) -> u64 {
        self.params.learn.saturating_sub(self.seen)
    }

    /// Returns the mean of the learned values, or nothing before learning is over.
    pub fn mean(&self) -> Option<f64> {
        self.is_ready().then_some(self.mean)
    }

    /// Returns the standard deviation of the learned values, or nothing before learning is over.
    pub fn deviation(&self) -> Option<f64> {
        let deviation = if self.spread > 0.0 { 1.0 / self.spread } else { 0.0 };
        self.is_ready().then_some(deviation)
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &StandardizerParams {
        &self.params
    }

    /// Takes the scores to come as those of values whose deviation is `factor` times less.
    pub(crate) fn sharpen(&mut self, factor: f64) {
        if !(factor.is_finite() && factor > 0.0) {
            return;
        }
        if self.is_ready() {
            self.spread = (self.spread * factor).min(1e300);
        } else {
            self.spread /= factor;
        }
    }

    /// Forgets what it learned and learns anew.
    pub const fn reset(&mut self) {
        self.seen = 0;
        self.mean = 0.0;
        self.spread = 0.0;
    }

    fn learn(&mut self, value: f64) {
        self.seen += 1;
        let before = value - self.mean;
        self.mean += before / self.seen as f64;
        // In units of the larger, so that no square leaves the range of a double.
        let unit = self.spread.max(before.abs());
        if unit > 0.0 {
            let (root, apart) = (self.spread / unit, (before / unit) * ((value - self.mean) / unit));
            self.spread = unit * sqrt(root * root + apart);
        }
        if self.seen == self.params.learn {
            let deviation = self.spread / sqrt((self.seen - 1) as f64);
            // Below this share of the mean the spread is rounding.
            let rounding = 1e-12 * self.mean.abs();
            self.spread = if deviation > rounding { 1.0 / deviation } else { 0.0 };
            self.spread = self.spread.min(1e300);
        }
    }

    /// Appends the state (33 bytes).
    pub fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.fingerprint());
        put_u64(out, self.seen);
        put_f64(out, self.mean);
        put_f64(out, self.spread);
    }

    /// Replaces the state by one that [`Standardizer::write_state`] wrote for the same parameters.
    ///
    /// # Errors
    ///
    /// Fails, leaving the state as it was, when the bytes are cut short, of an unknown version, of other
    /// parameters, or hold a value out of its range.
    pub fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "standardizer", VERSION, self.fingerprint())?;
        let seen = bytes.u64()?;
        ensure(seen <= self.params.learn, "seen")?;
        let mean = bounded(bytes, "mean", 1.01)?;
        let spread = bytes.finite("spread")?;
        ensure((0.0..=1e300).contains(&spread), "spread")?;
        *self = Self { params: self.params, seen, mean, spread };
        Ok(())
    }

    fn fingerprint(&self) -> u64 {
        Fingerprint::new().u64(self.params.learn).f64(self.params.clip).finish()
    }
}
