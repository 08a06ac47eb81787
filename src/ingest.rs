//! From bytes to checked events: the readers that files, and later sockets, share.
//!
//! The map, in the order of a byte's way:
//!
//! - [`EventReader`] opens a file, unpacks it, tells NDJSON from CSV;
//! - [`LineReader`] cuts it into lines of bounded length;
//! - [`parse_json`] and [`CsvColumns::parse`] read a line into an [`EventLine`] that borrows its texts, with
//!   [`parse_time`] for the common form of a time; what is no event is a [`LineError`];
//! - [`SeriesTable`] checks the names of a series once and gives it a number.

mod csv;
mod diagnose;
mod gzip;
mod json;
mod line;
mod reader;
mod rfc3339;
mod series;
mod source;

pub use csv::CsvColumns;
#[cfg(feature = "http")]
pub(crate) use gzip::{Members, Trailing};
pub use json::parse_json;
pub use line::{EventLine, LineError};
pub use reader::{LineReader, RawLine};
pub use rfc3339::parse_time;
pub use series::{Series, SeriesTable};
pub use source::{EventFormat, EventReader, LINE_BYTES_MAX, NextLine};
