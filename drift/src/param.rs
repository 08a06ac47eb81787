//! What is said about a parameter that is out of range.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

/// A parameter was refused when a detector was built.
///
/// The text names the parameter, the value and what is allowed, and reads after "failed to build the
/// detector: ".
#[derive(Clone, Debug, PartialEq)]
pub struct ParamError {
    /// The parameter's name, as in the constructor and in a plan.
    pub param: &'static str,
    /// The value that was given.
    pub value: f64,
    /// What is allowed, for example `in (0, 1)`.
    pub allowed: Cow<'static, str>,
}

impl ParamError {
    /// Checks `value` against `ok` and names the parameter when it does not hold. `NaN` never holds.
    ///
    /// # Errors
    ///
    /// Fails when `ok` is false or `value` is not a number.
    pub fn check(
        param: &'static str,
        value: f64,
        ok: bool,
        allowed: impl Into<Cow<'static, str>>,
    ) -> Result<(), Self> {
        if ok && !value.is_nan() { Ok(()) } else { Err(Self { param, value, allowed: allowed.into() }) }
    }

    /// Writes the whole sentence.
    pub fn message(&self) -> String {
        alloc::format!("{self}")
    }
}

impl fmt::Display for ParamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What would have more digits than anybody reads has an exponent.
        let long = self.value.is_finite() && (self.value != 0.0 && !(1e-9..1e16).contains(&self.value.abs()));
        if long {
            return write!(f, "`{}` is {:e}, must be {}", self.param, self.value, self.allowed);
        }
        write!(f, "`{}` is {}, must be {}", self.param, self.value, self.allowed)
    }
}

impl core::error::Error for ParamError {}
