//! The byte form of state: little-endian, length-checked, versioned by its writers.
//!
//! Small on purpose: state is numbers and byte strings. Each writer starts with a version byte of its
//! own, so that a form, once released, can be read for ever.

use alloc::vec::Vec;
use core::fmt;

/// Says why bytes are not a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end before the state does.
    Truncated,
    /// The version byte of `what` is not one that this release reads.
    Version {
        /// Whose version it is.
        what: &'static str,
        /// The version found.
        found: u8,
    },
    /// The state was written with other parameters.
    Parameters {
        /// Whose parameters they are.
        what: &'static str,
    },
    /// A field holds a value that the state can never have.
    Range {
        /// The field's name.
        field: &'static str,
    },
    /// Bytes are left after the state.
    Trailing,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(f, "the state is cut short"),
            Self::Version { what, found } => write!(f, "{what} state has unknown version {found}"),
            Self::Parameters { what } => write!(f, "{what} state was written with other parameters"),
            Self::Range { field } => write!(f, "field `{field}` of the state is out of range"),
            Self::Trailing => write!(f, "bytes are left after the state"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Reads what the `put_*` functions wrote.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Counts the bytes not read yet.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Takes the next `n` bytes.
    ///
    /// # Errors
    ///
    /// Fails when fewer are left; so do all readers below.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or(DecodeError::Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError::Truncated)
    }

    /// Reads one byte.
    ///
    /// # Errors
    ///
    /// Fails when no byte is left.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// Reads two bytes.
    ///
    /// # Errors
    ///
    /// Fails when fewer are left.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Reads four bytes.
    ///
    /// # Errors
    ///
    /// Fails when fewer are left.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Reads eight bytes.
    ///
    /// # Errors
    ///
    /// Fails when fewer are left.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reads a signed eight-byte number.
    ///
    /// # Errors
    ///
    /// Fails when fewer are left.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Reads a double, of any bit pattern.
    ///
    /// # Errors
    ///
    /// Fails when fewer than eight bytes are left.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// Reads a double that must be finite.
    ///
    /// # Errors
    ///
    /// Fails when it is not, naming `field`, or when fewer than eight bytes are left.
    pub fn finite(&mut self, field: &'static str) -> Result<f64, DecodeError> {
        let value = self.f64()?;
        if value.is_finite() { Ok(value) } else { Err(DecodeError::Range { field }) }
    }

    /// Reads a byte string that [`put_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// Fails when it is cut short.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let n = self.u32()?;
        self.take(n as usize)
    }

    /// Reads UTF-8 text that [`put_str`] wrote.
    ///
    /// # Errors
    ///
    /// Fails, naming `field`, when it is not UTF-8, or when it is cut short.
    pub fn str(&mut self, field: &'static str) -> Result<&'a str, DecodeError> {
        core::str::from_utf8(self.bytes()?).map_err(|_| DecodeError::Range { field })
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    ///
    /// Fails when bytes remain.
    pub const fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }
}

/// Appends a two-byte number.
pub fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a four-byte number.
pub fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends an eight-byte number.
pub fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a signed eight-byte number.
pub fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a double, bit for bit.
pub fn put_f64(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a byte string with its length in four bytes.
pub fn put_bytes(out: &mut Vec<u8>, value: &[u8]) {
    put_u32(out, value.len() as u32);
    out.extend_from_slice(value);
}

/// Appends UTF-8 text with its length in four bytes.
pub fn put_str(out: &mut Vec<u8>, value: &str) {
    put_bytes(out, value.as_bytes());
}
