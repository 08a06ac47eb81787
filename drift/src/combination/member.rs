//! What combinations keep of their members, and how it is written.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_u32};
use crate::{AnyDetector, Detector};

/// Most members.
pub(super) const MOST: usize = 64;

/// Writes the state of each member behind its length.
pub(super) fn write_members(members: &[AnyDetector], out: &mut Vec<u8>) {
    for member in members {
        let at = out.len();
        put_u32(out, 0);
        member.write_state(out);
        let length = (out.len() - at - size_of::<u32>()) as u32;
        if let Some(slot) = out.get_mut(at..at + size_of::<u32>()) {
            slot.copy_from_slice(&length.to_le_bytes());
        }
    }
}

/// Reads what [`write_members`] wrote for members built alike.
pub(super) fn read_members(
    members: &[AnyDetector],
    bytes: &mut Reader<'_>,
) -> Result<Vec<AnyDetector>, DecodeError> {
    let mut next = members.to_vec();
    for member in &mut next {
        let mut own = Reader::new(bytes.bytes()?);
        member.read_state(&mut own)?;
        own.finish()?;
    }
    Ok(next)
}
