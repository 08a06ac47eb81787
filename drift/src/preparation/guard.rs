//! The range guard: values that cannot be are kept from a detector.

use alloc::vec::Vec;

use crate::ParamError;
use crate::codec::{DecodeError, Reader, put_u64};
use crate::parameters::{parameters, words};
use crate::state::{self, COUNT_LIMIT, VALUE_LIMIT, ensure};

const VERSION: u8 = 1;

/// What is done with a value outside the declared range.
///
/// | | inside | outside | not a number, infinite |
/// |---|---|---|---|
/// | `Refuse` | passed on | refused, counted | missing, counted |
/// | `Clamp` | passed on | the nearer end, counted | missing, counted |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Outside {
    /// Leave it out.
    #[default]
    Refuse,
    /// Take the nearer end of the range.
    Clamp,
}

words!(Outside { Refuse = "refuse", Clamp = "clamp" });

parameters! {
    /// Parameters of [`RangeGuard`].
    pub struct RangeGuardParams {
        /// Least value that can be, in the stream's units.
        pub low: f64 = -1e100,
        /// Greatest value that can be, in the stream's units, above `low`.
        pub high: f64 = 1e100,
        /// What to do with values outside.
        pub outside: Outside = Outside::Refuse,
    }
}

impl RangeGuardParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { low, high, .. } = *self;
        ParamError::check("low", low, low.abs() <= VALUE_LIMIT, "in [-1e100, 1e100]")?;
        ParamError::check("high", high, high > low && high <= VALUE_LIMIT, "above `low`, at most 1e100")
    }
}

/// Refuses or clamps values outside a declared range, and counts them.
///
/// Use it where a range is known: probabilities, latencies that cannot be negative. One wild value can
/// blind a detector that learns a variance for as long as it is in its window. A rising count is a finding
/// of its own: the range guard hides no fault, it moves it to where it belongs.
///
/// # Cost
///
/// Two comparisons; one struct, 41 bytes written.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{RangeGuard, RangeGuardParams};
///
/// let mut guard = RangeGuard::new(RangeGuardParams { low: 0.0, high: 1.0, ..Default::default() })?;
/// assert_eq!([0.5, 1.5, f64::NAN].map(|x| guard.update(x)), [Some(0.5), None, None]);
/// assert_eq!((guard.outside(), guard.missing()), (1, 1));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RangeGuard {
    params: RangeGuardParams,
    passed: u64,
    outside: u64,
    missing: u64,
}

impl RangeGuard {
    /// Builds one that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: RangeGuardParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self { params, passed: 0, outside: 0, missing: 0 })
    }

    /// Passes a value on, or the nearer end of the range, or nothing.
    #[inline]
    pub const fn update(&mut self, value: f64) -> Option<f64> {
        if !value.is_finite() {
            self.missing = self.missing.saturating_add(1);
            return None;
        }
        let RangeGuardParams { low, high, outside } = self.params;
        if value >= low && value <= high {
            self.passed = self.passed.saturating_add(1);
            return Some(value);
        }
        self.outside = self.outside.saturating_add(1);
        match outside {
            Outside::Refuse => None,
            Outside::Clamp => Some(value.clamp(low, high)),
        }
    }

    /// Counts the values within the range.
    pub const fn passed(&self) -> u64 {
        self.passed
    }

    /// Counts the values outside the range, clamped ones included.
    pub const fn outside(&self) -> u64 {
        self.outside
    }

    /// Counts the values that were not finite.
    pub const fn missing(&self) -> u64 {
        self.missing
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &RangeGuardParams {
        &self.params
    }

    /// Forgets the counts.
    pub const fn reset(&mut self) {
        (self.passed, self.outside, self.missing) = (0, 0, 0);
    }

    /// Appends the state.
    pub fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        put_u64(out, self.passed);
        put_u64(out, self.outside);
        put_u64(out, self.missing);
    }

    /// Replaces the state by one that [`RangeGuard::write_state`] wrote for the same parameters.
    ///
    /// # Errors
    ///
    /// Fails, leaving the state as it was, when the bytes are cut short, of an unknown version, of other
    /// parameters, or hold a value out of its range.
    pub fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "range guard", VERSION, self.params.fingerprint())?;
        let (passed, outside, missing) = (bytes.u64()?, bytes.u64()?, bytes.u64()?);
        ensure(passed.max(outside).max(missing) <= COUNT_LIMIT, "count")?;
        *self = Self { params: self.params, passed, outside, missing };
        Ok(())
    }
}
