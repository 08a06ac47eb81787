//! Quantiles of the recent past: two sketches that take turns.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_u64};
use crate::quantile_sketch::quantile;
use crate::state::{self, Fingerprint, ensure};
use crate::{ParamError, QuantileSketch, QuantileSketchParams};

const VERSION: u8 = 1;

/// Quantiles over the last one to two windows of values.
///
/// Values go into a current sketch; when it is full (or at [`WindowedQuantiles::rotate`], for windows in
/// time) it becomes the previous one and a cleared one takes over. Questions are answered from both, so
/// an answer covers between one and two windows, and old values leave all at once.
///
/// # Cost
///
/// That of [`QuantileSketch`]; twice its memory.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{QuantileSketchParams, WindowedQuantiles};
///
/// let mut latency = WindowedQuantiles::new(QuantileSketchParams::default(), 100)?;
/// for i in 0..1000 {
///     latency.insert(if i < 800 { 10.0 } else { 50.0 });
/// }
/// let median = latency.quantile(0.5).expect("values were inserted");
/// assert!((median - 50.0).abs() <= 0.5);
/// assert_eq!((latency.count(), latency.count_above(20.0)), (100, 100));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Those of [`QuantileSketch`].
#[derive(Clone, Debug)]
pub struct WindowedQuantiles {
    window: u64,
    current: QuantileSketch,
    previous: QuantileSketch,
}

impl Default for WindowedQuantiles {
    /// Two sketches of the default parameters, that change places by [`WindowedQuantiles::rotate`] only.
    fn default() -> Self {
        Self { window: u64::MAX, current: QuantileSketch::default(), previous: QuantileSketch::default() }
    }
}

impl WindowedQuantiles {
    /// Builds two empty sketches that change places every `window` values, at least 1; `u64::MAX` to do it
    /// by [`WindowedQuantiles::rotate`] only.
    ///
    /// # Errors
    ///
    /// Fails when `window` is 0 or a parameter is out of the range that its field names.
    pub fn new(params: QuantileSketchParams, window: u64) -> Result<Self, ParamError> {
        ParamError::check("window", window as f64, window >= 1, "at least 1")?;
        let current = QuantileSketch::new(params)?;
        Ok(Self { window, previous: current.clone(), current })
    }

    /// Returns the parameters of both sketches.
    pub const fn params(&self) -> &QuantileSketchParams {
        self.current.params()
    }

    /// Counts `value`; one that is not finite is left out.
    #[inline]
    pub fn insert(&mut self, value: f64) {
        self.current.insert(value);
        if self.current.count() >= self.window {
            self.rotate();
        }
    }

    /// Makes the current sketch the previous one and forgets what the previous one held.
    pub fn rotate(&mut self) {
        core::mem::swap(&mut self.current, &mut self.previous);
        self.current.clear();
    }

    /// Returns the `q`-quantile of both, or nothing when they are empty or `q` is not in [0, 1].
    pub fn quantile(&self, q: f64) -> Option<f64> {
        quantile(&[&self.current, &self.previous], q)
    }

    /// Counts the values in both.
    pub const fn count(&self) -> u64 {
        self.current.count() + self.previous.count()
    }

    /// Counts the values above `threshold`, as [`QuantileSketch::count_above`] does.
    pub fn count_above(&self, threshold: f64) -> u64 {
        self.current.count_above(threshold) + self.previous.count_above(threshold)
    }

    /// Is true when low quantiles may be too high.
    pub const fn is_collapsed(&self) -> bool {
        self.current.is_collapsed() || self.previous.is_collapsed()
    }

    /// Forgets all values but keeps the memory.
    pub fn clear(&mut self) {
        self.current.clear();
        self.previous.clear();
    }

    /// Counts the bytes that both hold now, on the heap included.
    pub fn bytes(&self) -> usize {
        size_of::<u64>() + self.current.bytes() + self.previous.bytes()
    }

    /// Appends the state.
    pub fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.fingerprint());
        put_u64(out, self.current.count());
        self.current.write_state(out);
        self.previous.write_state(out);
    }

    /// Replaces the state by one that [`WindowedQuantiles::write_state`] wrote for the same parameters.
    ///
    /// # Errors
    ///
    /// Fails, leaving both as they were, when the bytes are cut short, of an unknown version, of other
    /// parameters, or hold a value out of its range.
    pub fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "windowed_quantiles", VERSION, self.fingerprint())?;
        let count = bytes.u64()?;
        let (mut current, mut previous) = (self.current.clone(), self.previous.clone());
        current.read_state(bytes)?;
        previous.read_state(bytes)?;
        ensure(current.count() == count && count < self.window, "count")?;
        self.current = current;
        self.previous = previous;
        Ok(())
    }

    fn fingerprint(&self) -> u64 {
        Fingerprint::new().u64(self.window).finish()
    }
}
