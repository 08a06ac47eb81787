//! The generalised likelihood ratio over a window: what a change detector of unlimited cost would know.

use alloc::collections::VecDeque;

use crate::math::ln;
use crate::mixture::Family;
use crate::state::VALUE_LIMIT;
use crate::{Mode, ParamError};

/// Logarithm of the generalised likelihood ratio of a change of the mean within the last values.
///
/// Use it to check other detectors by: it goes through all starting times in the window and the best new
/// mean for each, at every value. It is no [`crate::Detector`]: it costs time and memory in proportion to
/// the window, and no threshold is known for it; [`crate::MixtureESr`] is within a few per cent of its delay
/// at a few nanoseconds and with a proven bound.
///
/// # Recurrence
///
/// With known good mean `m` and `a_n` the mean of the last `n` values,
/// `G_t = max over n <= window of n D(a_n, m)`, and 0 where `a_n` is not on the bad side of `m`:
/// `D(a, m) = a ln(a / m) + (1 - a) ln((1 - a) / (1 - m))` for `Bernoulli`,
/// `D(a, m) = (a - m)^2 / (2 sigma^2)` for `Normal`.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Family, Mode, WindowedGlr};
///
/// let mut glr = WindowedGlr::new(Family::Normal, Mode::Both, 0.0, 1.0, 100)?;
/// glr.update(-0.5);
/// // The last value alone is stronger evidence than both together.
/// assert_eq!(glr.update(2.0), 2.0);
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// Values that are not finite change nothing; `Bernoulli` takes values outside [0, 1] as the nearer end.
///
/// # References
///
/// Willsky and Jones, "A generalized likelihood ratio approach to the detection and estimation of jumps in
/// linear systems", IEEE Transactions on Automatic Control 21 (1976); Lai, "Sequential changepoint detection
/// in quality control and dynamical systems", JRSS B 57 (1995).
#[derive(Clone, Debug)]
pub struct WindowedGlr {
    family: Family,
    mode: Mode,
    m_pre: f64,
    sigma: f64,
    window: usize,
    values: VecDeque<f64>,
    log_value: f64,
}

impl WindowedGlr {
    /// Builds one that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails for [`Family::Bounded`], which has no likelihood, for `m_pre` outside (0, 1) with `Bernoulli`
    /// or not finite, for `sigma` not above 0, and for a window of 0 or above 1,000,000.
    pub fn new(
        family: Family,
        mode: Mode,
        m_pre: f64,
        sigma: f64,
        window: usize,
    ) -> Result<Self, ParamError> {
        let has_likelihood = family != Family::Bounded;
        ParamError::check("family", 1.0, has_likelihood, "`bernoulli` or `normal`")?;
        let bits = family == Family::Bernoulli;
        let ok = if bits { m_pre > 0.0 && m_pre < 1.0 } else { m_pre.abs() <= VALUE_LIMIT };
        ParamError::check("m_pre", m_pre, ok, "inside (0, 1), or finite with `normal`")?;
        ParamError::check("sigma", sigma, (1e-100..=VALUE_LIMIT).contains(&sigma), "above 0 and finite")?;
        let ok = (1..=1_000_000).contains(&window);
        ParamError::check("window", window as f64, ok, "in 1..=1000000")?;
        Ok(Self { family, mode, m_pre, sigma, window, values: VecDeque::new(), log_value: 0.0 })
    }

    /// Takes a value and returns the logarithm of the ratio after it.
    pub fn update(&mut self, value: f64) -> f64 {
        if !value.is_finite() {
            return self.log_value;
        }
        let bits = self.family == Family::Bernoulli;
        let unit = || (value.clamp(-VALUE_LIMIT, VALUE_LIMIT) - self.m_pre) / self.sigma;
        let value = if bits { value.clamp(0.0, 1.0) } else { unit() };
        if self.values.len() == self.window {
            self.values.pop_front();
        }
        self.values.push_back(value);
        let rest = if bits { self.m_pre } else { 0.0 };
        let (mut sum, mut n, mut best) = (0.0, 0.0, 0.0_f64);
        for value in self.values.iter().rev() {
            sum += value;
            n += 1.0;
            let mean = sum / n;
            let bad = match self.mode {
                Mode::Up => mean > rest,
                Mode::Down => mean < rest,
                Mode::Both => true,
            };
            if bad {
                best = best.max(n * if bits { divergence(mean, rest) } else { mean * mean / 2.0 });
            }
        }
        self.log_value = best.min(f64::MAX);
        self.log_value
    }

    /// Returns the logarithm of the ratio after the last value.
    pub const fn log_value(&self) -> f64 {
        self.log_value
    }
}

/// The Kullback-Leibler divergence of two Bernoulli laws, `m` inside (0, 1).
pub(crate) fn divergence(a: f64, m: f64) -> f64 {
    let part = |a: f64, m: f64| if a > 0.0 { a * ln(a / m) } else { 0.0 };
    part(a, m) + part(1.0 - a, 1.0 - m)
}
