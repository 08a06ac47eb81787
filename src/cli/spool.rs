//! Keeps what can be read only once, so that it can be read again: a bounded part of its first bytes.

use std::io::{Cursor, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are kept.
const KEPT_MAX: usize = 256 << 20;

/// What was kept of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spool(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// Bytes that found no room.
    cut: u64,
}

impl Spool {
    /// Reads a stream, and keeps what passes.
    pub(crate) fn through<R: Read>(&self, source: R) -> Spooled<R> {
        Spooled { source, spool: self.clone() }
    }

    /// Gives out what was kept, and how many bytes were not; it is then empty.
    pub(crate) fn take(&self) -> (Cursor<Vec<u8>>, u64) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (Cursor::new(std::mem::take(&mut kept.bytes)), kept.cut)
    }

    fn keep(&self, bytes: &[u8], most: usize) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Once something was left out, nothing that comes later may follow what was kept.
        let room = if kept.cut > 0 { 0 } else { most.saturating_sub(kept.bytes.len()).min(bytes.len()) };
        let (now, never) = bytes.split_at(room);
        kept.bytes.extend_from_slice(now);
        kept.cut += never.len() as u64;
    }
}

/// A stream whose bytes are kept as they pass.
#[derive(Debug)]
pub(crate) struct Spooled<R> {
    source: R,
    spool: Spool,
}

impl<R: Read> Read for Spooled<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.source.read(into)?;
        self.spool.keep(into.get(..read).unwrap_or_default(), KEPT_MAX);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passed_can_be_read_again() {
        let spool = Spool::default();
        let mut text = String::new();
        spool.through(&b"one two"[..]).read_to_string(&mut text).unwrap();
        let (mut again, cut) = spool.take();
        let mut same = String::new();
        again.read_to_string(&mut same).unwrap();
        assert_eq!((&*text, &*same, cut), ("one two", "one two", 0));
    }

    #[test]
    fn the_rest_of_a_long_stream_is_counted() {
        let spool = Spool::default();
        spool.keep(b"1234", 6);
        spool.keep(b"5678", 6);
        spool.keep(b"9", 6);
        let (kept, cut) = spool.take();
        assert_eq!((kept.into_inner(), cut), (b"123456".to_vec(), 3));
    }
}
