//! Cuts a stream of bytes into lines of bounded length, without copying them.

use std::io::{self, Read};

/// How a line was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawLine<'a> {
    /// The line without its end (`\n` or `\r\n`).
    Text(&'a [u8]),
    /// The line was longer than allowed and has been skipped.
    TooLong {
        /// Its bytes, end not counted.
        bytes: u64,
    },
}

/// Reads lines one after the other into one buffer of fixed size.
///
/// Memory does not grow with the stream nor with the longest line: a line above the limit is skipped to
/// its end and reported as [`RawLine::TooLong`]. A byte-order mark at the start is taken off.
///
/// # Examples
///
/// ```
/// use visu_tility::ingest::{LineReader, RawLine};
///
/// let mut lines = LineReader::new(&b"one\r\ntwo"[..], 16);
/// assert_eq!(lines.next_line()?, Some(RawLine::Text(b"one")));
/// assert_eq!(lines.next_line()?, Some(RawLine::Text(b"two")));
/// assert_eq!(lines.next_line()?, None);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct LineReader<R> {
    source: R,
    buffer: Vec<u8>,
    /// The part of the buffer that is read and not yet given out.
    start: usize,
    end: usize,
    /// Bytes from `start` that are known to hold no line end.
    searched: usize,
    line: u64,
    limit: usize,
    ended: bool,
}

/// Room to read into, beside one longest line.
const CHUNK: usize = 128 << 10;

impl<R: Read> LineReader<R> {
    /// Reads lines of at most `limit` bytes.
    pub fn new(source: R, limit: usize) -> Self {
        let limit = limit.max(1);
        let buffer = vec![0; CHUNK.min(limit.saturating_mul(2)).max(16)];
        Self { source, buffer, start: 0, end: 0, searched: 0, line: 0, limit, ended: false }
    }

    /// The number of the line that was given out last, from 1; 0 before the first.
    pub fn line_number(&self) -> u64 {
        self.line
    }

    /// The longest line that is given out, in bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Gives out the next line; `None` at the end.
    ///
    /// # Errors
    ///
    /// Fails when the stream does. What the buffer held of an unfinished line is then lost; lines given out
    /// before are whole.
    pub fn next_line(&mut self) -> io::Result<Option<RawLine<'_>>> {
        let found = loop {
            let fresh = self.buffer.get(self.start + self.searched..self.end).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', fresh) {
                break self.searched + at;
            }
            self.searched = self.end - self.start;
            if self.searched > self.limit {
                return self.skip_line().map(Some);
            }
            if self.ended {
                if self.searched == 0 {
                    return Ok(None);
                }
                break self.searched;
            }
            self.fill()?;
        };
        let from = self.start;
        self.start = (from + found + 1).min(self.end);
        self.searched = 0;
        self.line += 1;
        let line = self.buffer.get(from..from + found).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > self.limit {
            return Ok(Some(RawLine::TooLong { bytes: line.len() as u64 }));
        }
        Ok(Some(RawLine::Text(line)))
    }

    /// Looks at the first bytes of the stream without giving them out.
    ///
    /// # Errors
    ///
    /// Fails when the stream does.
    pub fn peek(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end && !self.ended {
            self.fill()?;
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    /// Moves what is left to the front and reads on.
    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            let room = self.buffer.len().saturating_mul(2).min(self.limit.saturating_add(CHUNK));
            self.buffer.resize(room.max(self.end + 1), 0);
        }
        let first = self.end == 0 && self.line == 0;
        loop {
            let read = match self.source.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            self.end += read;
            self.ended = read == 0;
            // A byte-order mark may come in pieces.
            if first && !self.ended && self.end < 3 {
                continue;
            }
            break;
        }
        if first && self.buffer.get(..self.end).unwrap_or_default().starts_with(b"\xef\xbb\xbf") {
            self.start = 3;
        }
        Ok(())
    }

    /// Passes over the rest of a line that is too long.
    fn skip_line(&mut self) -> io::Result<RawLine<'_>> {
        let mut bytes = self.searched as u64;
        loop {
            (self.start, self.end, self.searched) = (0, 0, 0);
            self.line += 1;
            let filled = self.fill();
            self.line -= 1;
            filled?;
            let fresh = self.buffer.get(..self.end).unwrap_or_default();
            match memchr::memchr(b'\n', fresh) {
                Some(at) => {
                    bytes += at as u64;
                    self.start = at + 1;
                    break;
                }
                None => bytes += fresh.len() as u64,
            }
            if self.ended {
                self.start = self.end;
                break;
            }
        }
        self.line += 1;
        Ok(RawLine::TooLong { bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives out its bytes a few at a time.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(into.len());
            let (now, later) = self.0.split_at(n);
            into[..n].copy_from_slice(now);
            self.0 = later;
            Ok(n)
        }
    }

    fn all(bytes: &[u8], step: usize, limit: usize) -> Vec<Result<String, u64>> {
        let mut lines = LineReader::new(Dribble(bytes, step), limit);
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            found.push(match line {
                RawLine::Text(text) => Ok(String::from_utf8(text.to_vec()).unwrap()),
                RawLine::TooLong { bytes } => Err(bytes),
            });
        }
        assert_eq!(lines.line_number(), found.len() as u64);
        found
    }

    #[test]
    fn lines_are_the_same_however_the_bytes_arrive() {
        let text = b"\xef\xbb\xbfone\r\n\ntwo two\nlast";
        let expected: Vec<_> = ["one", "", "two two", "last"].map(|s| Ok(s.to_owned())).into();
        for step in 1..30 {
            assert_eq!(all(text, step, 8), expected, "step {step}");
        }
        assert_eq!(all(b"", 1, 8), []);
        assert_eq!(all(b"\n", 1, 8), [Ok(String::new())]);
    }

    #[test]
    fn a_long_line_is_skipped_and_the_next_one_read() {
        let long = "x".repeat(1000);
        for step in [1, 7, 64, 5000] {
            let text = format!("a\n{long}\nb\n{long}");
            let ok = |s: &str| Ok(s.to_owned());
            assert_eq!(
                all(text.as_bytes(), step, 100),
                [ok("a"), Err(1000), ok("b"), Err(1000)],
                "step {step}"
            );
        }
        assert_eq!(all(&[b'x'; 100], 9, 100), [Ok("x".repeat(100))]);
    }

    #[test]
    fn the_buffer_does_not_grow_with_the_line() {
        let mut lines = LineReader::new(io::repeat(b'x').take(50 << 20), 1 << 20);
        assert_eq!(lines.next_line().unwrap(), Some(RawLine::TooLong { bytes: 50 << 20 }));
        assert!(lines.buffer.len() <= (1 << 20) + CHUNK);
    }
}
