//! What every detector does alike: admit a value, count it, and open its written state.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_u64};

/// Values beyond this size are taken as this size, so that sums of squares over any stream stay finite.
pub(crate) const VALUE_LIMIT: f64 = 1e100;

/// No stream is longer than this; counts that are read back leave room to go on counting. They do not stop there:
/// a detector's other counts would go on past them.
pub(crate) const COUNT_LIMIT: u64 = 1 << 60;

/// Counts what a detector took and what it left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) taken: u64,
    pub(crate) ignored: u64,
}

impl Tally {
    /// Counts `value` and gives it back within the limit, or nothing when it is not finite.
    #[inline]
    pub(crate) fn admit(&mut self, value: f64) -> Option<f64> {
        if value.is_finite() {
            self.taken = self.taken.saturating_add(1);
            // Adding 0 turns -0 into 0, so that values which compare equal are equal.
            Some(value.clamp(-VALUE_LIMIT, VALUE_LIMIT) + 0.0)
        } else {
            self.ignored = self.ignored.saturating_add(1);
            None
        }
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        put_u64(out, self.taken);
        put_u64(out, self.ignored);
    }

    pub(crate) fn read(bytes: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tally = Self { taken: bytes.u64()?, ignored: bytes.u64()? };
        ensure(tally.taken <= COUNT_LIMIT && tally.ignored <= COUNT_LIMIT, "count")?;
        Ok(tally)
    }
}

/// A hash of parameters (FNV-1a, 64 bits), kept in front of a state so that it is not read back under
/// others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        let mut hash = self.0;
        for byte in value.to_le_bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self(hash)
    }

    pub(crate) fn f64(self, value: f64) -> Self {
        self.u64(value.to_bits())
    }

    pub(crate) const fn finish(self) -> u64 {
        self.0
    }
}

/// Writes the version byte and the fingerprint of the parameters.
pub(crate) fn open(out: &mut Vec<u8>, version: u8, fingerprint: u64) {
    out.push(version);
    put_u64(out, fingerprint);
}

/// Reads what [`open`] wrote and checks both.
pub(crate) fn check(
    bytes: &mut Reader<'_>,
    what: &'static str,
    version: u8,
    fingerprint: u64,
) -> Result<(), DecodeError> {
    let found = bytes.u8()?;
    if found != version {
        return Err(DecodeError::Version { what, found });
    }
    if bytes.u64()? != fingerprint {
        return Err(DecodeError::Parameters { what });
    }
    Ok(())
}

/// Holds an average run length within its range; nothing for what is no number.
pub(crate) fn run_length(arl: f64, least: f64, most: f64) -> Option<f64> {
    (!arl.is_nan()).then(|| arl.clamp(least, most))
}

/// Reads an average run length that was within its range.
pub(crate) fn read_run_length(bytes: &mut Reader<'_>, least: f64, most: f64) -> Result<f64, DecodeError> {
    let arl = bytes.f64()?;
    ensure((least..=most).contains(&arl), "arl")?;
    Ok(arl)
}

/// Reads a double within the limits of admitted values times `spare`.
pub(crate) fn bounded(bytes: &mut Reader<'_>, field: &'static str, spare: f64) -> Result<f64, DecodeError> {
    let value = bytes.f64()?;
    ensure(value.abs() <= VALUE_LIMIT * spare, field)?;
    Ok(value)
}

/// Fails, naming `field`, when `ok` is false.
pub(crate) const fn ensure(ok: bool, field: &'static str) -> Result<(), DecodeError> {
    if ok { Ok(()) } else { Err(DecodeError::Range { field }) }
}

/// Reads a byte that must be 0 or 1.
pub(crate) fn flag(bytes: &mut Reader<'_>, field: &'static str) -> Result<bool, DecodeError> {
    let byte = bytes.u8()?;
    ensure(byte <= 1, field)?;
    Ok(byte == 1)
}

/// Reads a count of at most `max`.
pub(crate) fn count(bytes: &mut Reader<'_>, field: &'static str, max: u64) -> Result<u64, DecodeError> {
    let count = bytes.u64()?;
    ensure(count <= max, field)?;
    Ok(count)
}

/// Reads a double from 0 to 1.
pub(crate) fn unit(bytes: &mut Reader<'_>, field: &'static str) -> Result<f64, DecodeError> {
    let value = bytes.f64()?;
    ensure((0.0..=1.0).contains(&value), field)?;
    Ok(value)
}
