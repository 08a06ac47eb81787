//! The members of a gzip file one after the other, and what is behind the last one.

use std::fmt;
use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// Unpacks all members of a gzip file.
///
/// Zeros behind the last member, with which some media are filled up, are passed over, as `gzip` does. Anything
/// else there is an error that says [`Trailing`], after all members have been given out.
pub(crate) struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Members<R> {
    pub(crate) fn new(source: R) -> Self {
        Self(Some(GzDecoder::new(source)))
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let read = member.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            let Some(mut rest) = self.0.take().map(GzDecoder::into_inner) else { break };
            match skip_zeros(&mut rest)? {
                [] => break,
                [0x1f] | [0x1f, 0x8b, ..] => self.0 = Some(GzDecoder::new(rest)),
                _ => return Err(io::Error::other(Trailing)),
            }
        }
        Ok(0)
    }
}

/// Passes over zeros, and gives the bytes behind them; nothing at the end.
fn skip_zeros(rest: &mut impl BufRead) -> io::Result<&[u8]> {
    loop {
        let bytes = rest.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            return rest.fill_buf();
        }
        rest.consume(zeros);
    }
}

/// Bytes behind the end of the gzip data that are no gzip.
#[derive(Debug)]
pub(crate) struct Trailing;

impl Trailing {
    /// Whether this is what an error says.
    pub(crate) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Self>)
    }
}

impl fmt::Display for Trailing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gzip data is whole, but bytes follow it that are no gzip: they are not read")
    }
}

impl std::error::Error for Trailing {}
