//! The exponentially weighted mean: the cheapest estimate of where a metric stands now.

use alloc::vec::Vec;

use crate::ParamError;
use crate::codec::{DecodeError, Reader, put_f64};
use crate::state::{self, Fingerprint, VALUE_LIMIT};

const VERSION: u8 = 1;

/// Exponentially weighted moving average of a stream.
///
/// Use it as an estimate to hold against a limit ("accuracy below 0.9"). It is not a change detector: it
/// knows neither its own variance nor the length of the stream, so a limit on it carries no bound on
/// false alarms.
///
/// # Recurrence
///
/// `m_1 = x_1`, then `m_t = s x_t + (1 - s) m_(t-1)` with smoothing `s` in (0, 1] (Roberts,
/// Technometrics 1, 1959, section 2). Its memory is about `2/s - 1` values: 9 at the default 0.2. On
/// independent values of standard deviation `d` its own settles at `d sqrt(s / (2 - s))`: a third of `d`
/// at the default.
///
/// # Cost
///
/// Two multiplications per value; 16 bytes.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::Ewma;
///
/// let mut mean = Ewma::default();
/// let first_below = (0..100).find(|&i| mean.update(if i < 50 { 0.95 } else { 0.80 }) < 0.90);
/// assert_eq!(first_below, Some(51));
/// ```
///
/// # Edges
///
/// A value that is not finite changes nothing. Values beyond ±1e100 are taken as ±1e100.
#[derive(Clone, Copy, Debug)]
pub struct Ewma {
    smoothing: f64,
    /// `NaN` until the first value.
    mean: f64,
}

impl Ewma {
    /// The weight of the newest value unless another is given.
    pub const DEFAULT_SMOOTHING: f64 = 0.2;

    /// Builds an average in which the newest value weighs `smoothing`, in (0, 1].
    ///
    /// # Errors
    ///
    /// Fails when `smoothing` is outside (0, 1] or not a number.
    pub fn new(smoothing: f64) -> Result<Self, ParamError> {
        ParamError::check("smoothing", smoothing, smoothing > 0.0 && smoothing <= 1.0, "in (0, 1]")?;
        Ok(Self { smoothing, mean: f64::NAN })
    }

    /// Takes the next value and returns the mean after it.
    ///
    /// The first value starts the mean. When `value` is not finite, the mean so far is returned; `NaN`
    /// when there is none yet, which compares false with every limit.
    #[inline]
    pub fn update(&mut self, value: f64) -> f64 {
        self.mean = Self::step(self.smoothing, self.mean, value);
        self.mean
    }

    /// One step of the recurrence, for who keeps `mean` (`NaN` before the first value) and an unchanging
    /// `smoothing` elsewhere.
    #[inline]
    pub fn step(smoothing: f64, mean: f64, value: f64) -> f64 {
        if !value.is_finite() {
            return mean;
        }
        let value = value.clamp(-VALUE_LIMIT, VALUE_LIMIT);
        if mean.is_nan() { value } else { smoothing * value + (1.0 - smoothing) * mean }
    }

    /// Puts a mean that [`Ewma::step`] has moved on in the place of the present one.
    pub const fn set(&mut self, mean: f64) {
        self.mean = mean;
    }

    /// Returns the mean, or nothing before the first finite value.
    #[inline]
    pub fn value(&self) -> Option<f64> {
        if self.mean.is_nan() { None } else { Some(self.mean) }
    }

    /// Returns the weight of the newest value.
    pub const fn smoothing(&self) -> f64 {
        self.smoothing
    }

    /// Forgets the stream.
    pub const fn reset(&mut self) {
        self.mean = f64::NAN;
    }

    /// Appends the state (17 bytes).
    pub fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.fingerprint());
        put_f64(out, self.mean);
    }

    /// Replaces the state by one that [`Ewma::write_state`] wrote for the same smoothing.
    ///
    /// # Errors
    ///
    /// Fails, leaving the mean as it was, when the bytes are cut short, of an unknown version, of another
    /// smoothing, or hold an infinite mean.
    pub fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "ewma", VERSION, self.fingerprint())?;
        let mean = bytes.f64()?;
        state::ensure(mean.is_nan() || mean.abs() <= VALUE_LIMIT * 1.01, "mean")?;
        self.mean = mean;
        Ok(())
    }

    fn fingerprint(&self) -> u64 {
        Fingerprint::new().f64(self.smoothing).finish()
    }
}

impl Default for Ewma {
    /// Builds an average with [`Ewma::DEFAULT_SMOOTHING`].
    fn default() -> Self {
        Self { smoothing: Self::DEFAULT_SMOOTHING, mean: f64::NAN }
    }
}
