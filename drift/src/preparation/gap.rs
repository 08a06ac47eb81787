//! Delayed and missing values: what is known of a stream that stood still or came out of order.

use alloc::vec::Vec;

use crate::ParamError;
use crate::codec::{DecodeError, Reader, put_i64, put_u64};
use crate::parameters::parameters;
use crate::state::{self, COUNT_LIMIT, ensure};

const VERSION: u8 = 2;
/// Too-late values in a row, in order among themselves, after which the clock is taken to have been set back.
const SET_BACK: u8 = 8;

parameters! {
    /// Parameters of [`Gap`].
    pub struct GapParams {
        /// Seconds without a value after which a stream starts afresh; 0 for never.
        pub longest_seconds: u64 = 0,
        /// Seconds behind the newest value beyond which a value is refused; 0 for never.
        pub latest_seconds: u64 = 0,
    }
}

impl GapParams {
    /// Checks every field against its range; all are good.
    ///
    /// # Errors
    ///
    /// None at present.
    pub const fn validate(&self) -> Result<(), ParamError> {
        Ok(())
    }
}

/// How a value came.
///
/// | | its time | counted as | batch begun before it |
/// |---|---|---|---|
/// | `InTurn` | not before the newest | | goes on |
/// | `Late` | before the newest, within the limit | late | goes on |
/// | `TooLate` | before the newest by more than the limit | refused | goes on |
/// | `AfterGap` | after the newest by more than the longest gap | gap | thrown away |
///
/// The eighth too-late value in a row whose times do not fall among themselves says that a clock was set back:
/// times count from it, and it is `AfterGap` where there is a longest gap, else `Late`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// In order.
    InTurn,
    /// Out of order, and taken where it came.
    Late,
    /// Too far out of order, and left out.
    TooLate,
    /// The first after a long silence.
    AfterGap,
}

/// Watches the times of a stream; fills nothing in, moves nothing, and counts.
///
/// The policy: a detector is a fold over values in the order in which they come, so a missing value is
/// simply not there, and a delayed one (a label that took a day) counts when it comes. That keeps every
/// bound on false alarms, which hold for any order that does not depend on the values. Two things are
/// left to decide, and are off until they are asked for: after how long a silence the older values say
/// nothing about the newer ones, and how late is too late.
///
/// # Cost
///
/// Two comparisons; one struct, 59 bytes written.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::{Arrival, Gap, GapParams};
///
/// let mut gap = Gap::new(GapParams { longest_seconds: 3_600, latest_seconds: 60 })?;
/// let came = [0, 10, 5, -100, 9_000].map(|seconds| gap.update(seconds));
/// use Arrival::{AfterGap, InTurn, Late, TooLate};
/// assert_eq!(came, [InTurn, InTurn, Late, TooLate, AfterGap]);
/// assert_eq!((gap.gaps(), gap.late(), gap.too_late()), (1, 1, 1));
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    params: GapParams,
    newest: Option<i64>,
    gaps: u64,
    late: u64,
    too_late: u64,
    /// Too-late values in a row, in order among themselves, and the time of the last.
    back_run: u8,
    back_at: i64,
}

impl Gap {
    /// Builds one that has seen nothing.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of the range that its field names.
    pub fn new(params: GapParams) -> Result<Self, ParamError> {
        params.validate()?;
        Ok(Self { params, newest: None, gaps: 0, late: 0, too_late: 0, back_run: 0, back_at: 0 })
    }

    /// Takes the time of the next value, in Unix seconds, and says how it came.
    #[inline]
    pub fn update(&mut self, seconds: i64) -> Arrival {
        let newest = self.newest.unwrap_or(seconds);
        let apart = seconds.abs_diff(newest);
        if seconds < newest {
            let limit = self.params.latest_seconds;
            if limit > 0 && apart > limit && !self.is_set_back(seconds) {
                self.too_late = self.too_late.saturating_add(1);
                return Arrival::TooLate;
            }
            let set_back = limit > 0 && apart > limit;
            self.back_run = 0;
            if !set_back || self.params.longest_seconds == 0 {
                self.late = self.late.saturating_add(1);
                return Arrival::Late;
            }
            self.gaps = self.gaps.saturating_add(1);
            return Arrival::AfterGap;
        }
        (self.newest, self.back_run) = (Some(seconds), 0);
        let longest = self.params.longest_seconds;
        if longest > 0 && apart > longest {
            self.gaps = self.gaps.saturating_add(1);
            return Arrival::AfterGap;
        }
        Arrival::InTurn
    }

    /// Takes note of a too-late value; when the clock was set back, times count from it.
    const fn is_set_back(&mut self, seconds: i64) -> bool {
        let in_order = self.back_run > 0 && seconds >= self.back_at;
        self.back_run = if in_order { self.back_run + 1 } else { 1 };
        self.back_at = seconds;
        if self.back_run < SET_BACK {
            return false;
        }
        self.newest = Some(seconds);
        true
    }

    /// Returns the newest time seen, in Unix seconds.
    pub const fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// Counts the silences longer than the longest.
    pub const fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Counts the values taken out of order.
    pub const fn late(&self) -> u64 {
        self.late
    }

    /// Counts the values refused for being too late.
    pub const fn too_late(&self) -> u64 {
        self.too_late
    }

    /// Returns the parameters.
    pub const fn params(&self) -> &GapParams {
        &self.params
    }

    /// Forgets the stream.
    pub const fn reset(&mut self) {
        self.newest = None;
        (self.gaps, self.late, self.too_late) = (0, 0, 0);
        (self.back_run, self.back_at) = (0, 0);
    }

    /// Appends the state.
    pub fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        out.push(u8::from(self.newest.is_some()));
        put_i64(out, self.newest.unwrap_or(0));
        put_u64(out, self.gaps);
        put_u64(out, self.late);
        put_u64(out, self.too_late);
        out.push(self.back_run);
        put_i64(out, self.back_at);
    }

    /// Replaces the state by one that [`Gap::write_state`] wrote for the same parameters.
    ///
    /// # Errors
    ///
    /// Fails, leaving the state as it was, when the bytes are cut short, of an unknown version, of other
    /// parameters, or hold a value out of its range.
    pub fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "gap", VERSION, self.params.fingerprint())?;
        let (known, newest) = (bytes.u8()?, bytes.i64()?);
        ensure(known == 1 || (known == 0 && newest == 0), "newest")?;
        let (gaps, late, too_late) = (bytes.u64()?, bytes.u64()?, bytes.u64()?);
        ensure(gaps.max(late).max(too_late) <= COUNT_LIMIT, "count")?;
        let (back_run, back_at) = (bytes.u8()?, bytes.i64()?);
        ensure(back_run < SET_BACK && (back_run == 0 || known == 1), "back_run")?;
        let newest = (known == 1).then_some(newest);
        *self = Self { params: self.params, newest, gaps, late, too_late, back_run, back_at };
        Ok(())
    }
}
