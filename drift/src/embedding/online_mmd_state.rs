//! The written form of [`OnlineMmd`].

use alloc::vec::Vec;

use super::online_mmd::{ARL_LEAST, ARL_MOST, BANDWIDTH_FROM, MAX_ROWS, SPREAD_FROM};
use super::{OnlineMmd, Spread, VectorTally};
use crate::codec::{DecodeError, Reader, put_f64, put_u32, put_u64};
use crate::state::{self, COUNT_LIMIT, ensure};

const VERSION: u8 = 1;

impl OnlineMmd {
    /// Appends the state (not the parameters) in the crate's versioned little-endian form.
    pub fn write_state(&self, out: &mut Vec<u8>) {
        state::open(out, VERSION, self.params.fingerprint());
        self.tally.write(out);
        put_f64(out, self.arl);
        put_f64(out, self.bandwidth);
        write_floats(&self.first, out);
        write_floats(&self.learning, out);
        out.push(u8::from(self.spread.is_some()));
        if let Some(Spread { trace, squares, largest }) = self.spread {
            for value in [trace, squares, largest] {
                put_f64(out, value);
            }
        }
        put_u64(out, self.seen);
        put_f64(out, self.statistic);
        out.push(self.rows.len() as u8);
        self.rows.iter().for_each(|row| write_floats(row, out));
    }

    /// Replaces the state by one that [`OnlineMmd::write_state`] wrote for the same parameters.
    ///
    /// # Errors
    ///
    /// Fails, leaving the detector as it was, when the bytes are cut short, of an unknown version, of other
    /// parameters, or hold a value out of its range.
    pub fn read_state(&mut self, bytes: &mut Reader<'_>) -> Result<(), DecodeError> {
        state::check(bytes, "online-mmd", VERSION, self.params.fingerprint())?;
        let tally = VectorTally::read(bytes)?;
        let arl = state::read_run_length(bytes, ARL_LEAST, ARL_MOST)?;
        let (dimension, width) = (self.params.dimension as usize, 2 * self.params.features as usize);
        let bandwidth = bytes.finite("bandwidth")?;
        let given = self.params.bandwidth;
        ensure(
            if given > 0.0 { bandwidth == given } else { (0.0..=1e30).contains(&bandwidth) },
            "bandwidth",
        )?;
        ensure(bandwidth == 0.0 || bandwidth >= 1e-30, "bandwidth")?;
        let first = read_floats(bytes, dimension, f32::MAX, "first")?;
        ensure(first.len() < BANDWIDTH_FROM * dimension && (bandwidth == 0.0 || first.is_empty()), "first")?;
        let learning = read_floats(bytes, width, 1.0, "learning")?;
        let spread = match bytes.u8()? {
            0 => None,
            1 => Some(read_spread(bytes)?),
            _ => return Err(DecodeError::Range { field: "spread" }),
        };
        let seen = bytes.u64()?;
        ensure(seen <= COUNT_LIMIT && seen <= tally.values.taken, "seen")?;
        let learnt = if spread.is_some() { 0 } else { seen };
        ensure(learning.len() as u64 == learnt * width as u64 && learnt < SPREAD_FROM as u64, "learning")?;
        ensure(bandwidth > 0.0 || seen == 0, "seen")?;
        let statistic = bytes.finite("statistic")?;
        ensure((0.0..=1e6).contains(&statistic), "statistic")?;
        let count = usize::from(bytes.u8()?);
        ensure(count <= MAX_ROWS, "rows")?;
        let mut rows = Vec::with_capacity(count);
        for _ in 0..count {
            let mut row = read_floats(bytes, width, 1.0, "rows")?;
            ensure(row.len() == width || row.len() == 2 * width, "rows")?;
            row.reserve_exact(2 * width - row.len());
            rows.push(row);
        }
        let held: u64 = rows.iter().enumerate().map(|(at, row)| ((row.len() / width) as u64) << at).sum();
        ensure(held == seen || (count == MAX_ROWS && held < seen), "rows")?;
        (self.tally, self.arl) = (tally, arl);
        (self.bandwidth, self.first, self.learning, self.spread) = (bandwidth, first, learning, spread);
        (self.rows, self.seen, self.statistic) = (rows, seen, statistic);
        if self.statistic >= self.threshold() {
            // Never written; held below, so that the signal does not contradict itself.
            self.statistic = 0.0;
        }
        Ok(())
    }
}

fn read_spread(bytes: &mut Reader<'_>) -> Result<Spread, DecodeError> {
    let mut value = || {
        let value = bytes.finite("spread")?;
        ensure((0.0..=100.0).contains(&value), "spread")?;
        Ok(value)
    };
    Ok(Spread { trace: value()?, squares: value()?, largest: value()? })
}

fn write_floats(values: &[f32], out: &mut Vec<u8>) {
    put_u32(out, values.len() as u32);
    for value in values {
        put_u32(out, value.to_bits());
    }
}

/// Reads vectors of this width, each component of at most this size.
fn read_floats(
    bytes: &mut Reader<'_>,
    width: usize,
    most: f32,
    field: &'static str,
) -> Result<Vec<f32>, DecodeError> {
    let count = bytes.u32()? as usize;
    ensure(count.is_multiple_of(width), field)?;
    let raw = bytes.take(count.saturating_mul(4))?;
    let value = |four: &[u8]| {
        let value = f32::from_le_bytes(four.try_into().unwrap_or_default());
        ensure(value.abs() <= most, field)?;
        Ok(value)
    };
    raw.chunks_exact(4).map(value).collect()
}
