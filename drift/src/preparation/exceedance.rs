//! The exceedance of a reference quantile: a stream of any law as one of zeros and ones.

use alloc::vec::Vec;

use crate::ParamError;
use crate::codec::{DecodeError, Reader, put_f64, put_u16, put_u64};
use crate::parameters::parameters;
use crate::sorted;
use crate::state::{self, VALUE_LIMIT, bounded, ensure};

const VERSION: u8 = 1;
/// Most values kept while learning.
const MOST: usize = 56;

parameters! {
    /// Parameters of [`ExceedanceBits`].
    pub struct ExceedanceBitsParams {
        /// Quantile whose exceedance counts, in [0.001, 0.999].
        pub quantile: f64 = 0.95,
        /// Values to learn the quantile from: at least 2, and few enough that at most 55 of them lie on the
        /// shorter side of it. Not used when `known` is true.
        pub learn: u64 = 1_000,
        /// Take `limit` as it is, and learn nothing.
        pub known: bool = false,
        /// The limit when it is known, in the stream's units.
        pub limit: f64 = 0.0,
    }
}

impl ExceedanceBitsParams {
    /// Checks every field against its range.
    ///
    /// # Errors
    ///
    /// Names the first field that is out of range.
    pub fn validate(&self) -> Result<(), ParamError> {
        let Self { quantile, learn, known, limit } = *self;
        let ok = (0.001..=0.999).contains(&quantile);
        ParamError::check("quantile", quantile, ok, "in [0.001, 0.999]")?;
        ParamError::check("limit", limit, limit.abs() <= VALUE_LIMIT, "finite, at most 1e100 in size")?;
        let ok = known || ((2..=1 << 32).contains(&learn) && self.kept() <= MOST);
        let allowed = "at least 2, with at most 55 values on the shorter side of the quantile";
        ParamError::check("learn", learn as f64, ok, allowed)
    }

    /// Is true when the greater values are kept, false when the lesser ones are.
    fn upper(&self) -> bool {
        self.quantile >= 0.5
    }

    /// Returns the rank of the limit among the learned values, from 1: `ceil(quantile learn)`.
    fn rank(&self) -> u64 {
        let exact = self.quantile * self.learn as f64;
        // A product such as 0.95 * 1000 may come out a rounding above the whole number.
        let whole = (exact * (1.0 - 1e-12)) as u64;
        (whole + 1).clamp(1, self.learn)
    }

    /// Counts the values to be kept, from the limit outwards.
    fn kept(&self) -> usize {
        let rank = self.rank();
        let kept = if self.upper() { self.learn - rank + 1 } else { rank };
        usize::try_from(kept).unwrap_or(usize::MAX)
    }
}

/// Turns values into ones (above a limit) and zeros, with a limit given or learned once.
///
/// Use it for tails: latency p95, large residuals. A noisy neighbour moves a p95 seventeenfold and the
/// median by a quarter; and bits have a bounded range, so that a detector with a guarantee fits. The
/// limit is the order statistic of rank `ceil(quantile learn)` of the first `learn` values, exactly, and
/// then frozen.
///
/// # The share of ones is not known
///
/// With a learned limit, of `n` independent values of a continuous law, the chance of a one is itself
/// random: it has the beta law with parameters `n - r + 1` and `r` (`r` the rank), of mean
/// `(n - r + 1) / (n + 1)`. A detector that takes the good share as known must be given an upper bound of
/// it: [`crate::calibration::exceedance_bound`]. At the default (`n` 1,000, 0.95), 0.05 on average, and
/// with 99 % confidence at most 0.068.
///
/// # Cost
///
/// One comparison per value after learning; while learning, a search and a shift among at most 56 values
/// for those on the outer side. At most 57 values of memory, given back when learning is over.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{ExceedanceBits, ExceedanceBitsParams};
///
/// let mut slow = ExceedanceBits::new(ExceedanceBitsParams { quantile: 0.9, learn: 10, ..Default::default() })?;
/// assert!((1..=10).all(|ms| slow.update(f64::from(ms)).is_none()));
/// assert_eq!(slow.limit(), Some(9.0));
/// assert_eq!([9.0, 9.5].map(|ms| slow.update(ms)), [Some(0.0), Some(1.0)]);
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
///
/// # Edges
///
/// A value that is not finite gives nothing and changes nothing. A value equal to the limit is no
/// exceedance, so that a constant stream has none. Values beyond ±1e100 are taken as ±1e100.
///
/// # References
///
/// David and Nagaraja, "Order Statistics", third edition (2003), section 2.3: the law of a coverage.
#[derive(Clone, Debug)]
pub struct ExceedanceBits {
    params: ExceedanceBitsParams,
    seen: u64,
    /// The outermost values seen, sorted, while learning.
    outer: Vec<f64>,
    limit: f64,
}

impl ExceedanceBits {
    /// Builds one that has learned nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: ExceedanceBitsParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self { params, seen: 0, outer: Vec::new(), limit: params.limit })
    }

    /// Takes the next value; returns 1 or 0 once the limit is known, and nothing before.
    #[inline]
    pub fn update(&mut self, value: f64) -> Option<f64> {
        if !value.is_finite() {
            return None;
        }
        if self.is_ready() {
            return Some(f64::from(value > self.limit));
        }
        self.learn(value.clamp(-VALUE_LIMIT, VALUE_LIMIT) + 0.0);
        None
    }

    #[cold]
    fn learn(&mut self, value: f64) {
        self.seen += 1;
        let (most, upper) = (self.params.kept(), self.params.upper());
        if self.outer.capacity() == 0 {
            self.outer.reserve_exact(most + 1);
        }
        let innermost = if upper { self.outer.first() } else { self.outer.last() };
        let outward = innermost.is_some_and(|&other| if upper { value > other } else { value < other });
        if self.outer.len() < most || outward {
            sorted::insert(&mut self.outer, value);
        }
        if self.outer.len() > most {
            if upper {
                self.outer.remove(0);
            } else {
                self.outer.pop();
            }
        }
        if self.is_ready() {
            let innermost = if upper { self.outer.first() } else { self.outer.last() };
            self.limit = innermost.copied().unwrap_or_default();
            self.outer = Vec::new();
        }
    }

    /// Is true when the limit is known.
    pub const fn is_ready(&self) -> bool {
        self.params.known || self.seen >= self.params.learn
    }

    /// Counts the values still to come before the limit is known.
    pub const fn left(&self) -> u64 {
        if self.params.known { 0 } else { self.params.learn.saturating_sub(self.seen) }
    }

    /// Returns the limit above which a value counts, or nothing while it is being learned.
    pub fn limit(&self) -> Option<f64> {
        self.is_ready().then_some(self.limit)
    }

    /// Returns how many values the limit was learned from, and its rank among them, from 1; nothing when
    /// the limit was given.
    pub fn learned_from(&self) -> Option<(u64, u64)> {
        (!self.params.known).then(|| (self.params.learn, self.params.rank()))
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &ExceedanceBitsParams {
        &self.params
    }

    /// Forgets what it learned and learns anew.
    pub fn reset(&mut self) {
        *self = Self { params: self.params, seen: 0, outer: Vec::new(), limit: self.params.limit };
    }

    /// Counts the bytes that it holds now, on the heap included.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.outer.capacity() * size_of::<f64>()
    }

    /// Appends the state, at most 483 bytes.
    pub fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        put_u64(out, self.seen);
        put_f64(out, self.limit);
        put_u16(out, self.outer.len() as u16);
        for &value in &self.outer {
            put_f64(out, value);
        }
    }

    /// Replaces the state by one that [`ExceedanceBits::write_state`] wrote for the same parameters.
    ///
    /// # Errors
    ///
    /// Fails, leaving the state as it was, when the bytes are cut short, of an unknown version, of other
    /// parameters, or hold a value out of its range.
    pub fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "exceedance", VERSION, self.params.fingerprint())?;
        let mut next = Self { params: self.params, seen: 0, outer: Vec::new(), limit: 0.0 };
        next.seen = bytes.u64()?;
        ensure(next.seen <= if self.params.known { 0 } else { self.params.learn }, "seen")?;
        next.limit = bounded(bytes, "limit", 1.0)?;
        let learned = !self.params.known && next.seen == self.params.learn;
        ensure(learned || next.limit == self.params.limit, "limit")?;
        let kept = usize::from(bytes.u16()?);
        let due = if next.is_ready() { 0 } else { self.params.kept().min(next.seen as usize) };
        ensure(kept == due, "outer")?;
        for _ in 0..kept {
            let value = bounded(bytes, "outer", 1.0)?;
            ensure(next.outer.last().is_none_or(|&before| before <= value), "outer")?;
            next.outer.push(value);
        }
        *self = next;
        Ok(())
    }
}
