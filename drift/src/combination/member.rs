//! What combinations keep of their members, and how it is written.

use alloc::vec::Vec;

use crate::codec::{DecodeError, Reader, put_f64, put_u32, put_u64};
use crate::{AnyDetector, Detector, Direction, Level, Signal};

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

/// Writes what a member said last.
pub(super) fn write_signal(signal: &Signal, out: &mut Vec<u8>) {
    out.extend([signal.level as u8, signal.direction as u8]);
    put_f64(out, signal.statistic);
    put_f64(out, signal.threshold);
    put_u64(out, signal.since);
}

/// Reads what [`write_signal`] wrote.
pub(super) fn read_signal(bytes: &mut Reader<'_>) -> Result<Signal, DecodeError> {
    let level = match bytes.u8()? {
        0 => Level::Normal,
        1 => Level::Warning,
        2 => Level::Drift,
        _ => return Err(DecodeError::Range { field: "level" }),
    };
    let direction = read_direction(bytes)?;
    let (statistic, threshold) = (bytes.finite("statistic")?, bytes.finite("threshold")?);
    Ok(Signal { level, direction, statistic, threshold, since: bytes.u64()? })
}

/// Reads a direction's byte.
pub(super) fn read_direction(bytes: &mut Reader<'_>) -> Result<Direction, DecodeError> {
    match bytes.u8()? {
        0 => Ok(Direction::Unknown),
        1 => Ok(Direction::Up),
        2 => Ok(Direction::Down),
        _ => Err(DecodeError::Range { field: "direction" }),
    }
}
