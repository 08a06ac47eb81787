//! Opens a file of events: NDJSON or CSV, plain or gzip, and reads it line by line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::ingest::csv::CsvColumns;
use crate::ingest::gzip::{Members, Trailing};
use crate::ingest::json::parse_json;
use crate::ingest::line::{EventLine, LineError};
use crate::ingest::reader::{LineReader, RawLine};

/// The longest line that is read: 1 MiB. An event has about 100 bytes.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// How the events of a file are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFormat {
    /// One JSON object a line.
    Ndjson,
    /// A header, then one row an event.
    Csv,
}

impl EventFormat {
    /// Tells the format by the file's name, `.gz` aside; `None` when it does not say.
    pub fn from_name(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "ndjson" | "jsonl" | "json" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }

    /// Tells the format by the first bytes: what begins with a brace is NDJSON.
    fn from_content(bytes: &[u8]) -> Self {
        match bytes.trim_ascii_start().first() {
            Some(b'{' | b'[') => Self::Ndjson,
            _ => Self::Csv,
        }
    }
}

/// What the next line of a file is.
#[derive(Debug)]
pub enum NextLine<'a> {
    /// An event, not yet checked against its ranges.
    Event(EventLine<'a>),
    /// Not an event.
    Bad(LineError),
    /// An empty line, to be passed over.
    Blank,
    /// There is no further line.
    End,
    /// The file cannot be read on: the text says why.
    Broken(String),
}

/// Reads the events of one file, one line at a time, in memory that does not grow with the file.
pub struct EventReader {
    lines: LineReader<Box<dyn Read + Send>>,
    format: Option<EventFormat>,
    columns: Option<CsvColumns>,
    gzip: bool,
    begun: bool,
    done: bool,
}

impl std::fmt::Debug for EventReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventReader")
            .field("format", &self.format)
            .field("gzip", &self.gzip)
            .finish_non_exhaustive()
    }
}

impl EventReader {
    /// Opens a file; `read` counts its bytes as they are taken from the disk (compressed ones, for a `.gz`).
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be opened or its first bytes cannot be read.
    pub fn open(path: &Path, read: Arc<AtomicU64>) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a directory"));
        }
        Self::from_reader(file, EventFormat::from_name(path), read)
    }

    /// Reads from a stream; without a `format` it is told by the first bytes.
    ///
    /// # Errors
    ///
    /// Fails when the first bytes cannot be read.
    pub fn from_reader(
        source: impl Read + Send + 'static,
        format: Option<EventFormat>,
        read: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let mut source = BufReader::with_capacity(256 << 10, Counted { source, read });
        let gzip = source.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let source: Box<dyn Read + Send> =
            if gzip { Box::new(Members::new(source)) } else { Box::new(source) };
        let lines = LineReader::new(source, LINE_BYTES_MAX);
        Ok(Self { lines, format, columns: None, gzip, begun: false, done: false })
    }

    /// The number of the line that was read last, from 1.
    pub fn line_number(&self) -> u64 {
        self.lines.line_number()
    }

    /// Reads the next line.
    pub fn next_event(&mut self) -> NextLine<'_> {
        if self.done {
            return NextLine::End;
        }
        if !self.begun {
            self.begun = true;
            match self.begin() {
                Ok(true) => {}
                Ok(false) => return NextLine::End,
                Err(text) => {
                    self.done = true;
                    return NextLine::Broken(text);
                }
            }
        }
        let limit = self.lines.limit();
        match self.lines.next_line() {
            Ok(None) => {
                self.done = true;
                NextLine::End
            }
            Ok(Some(RawLine::TooLong { bytes })) => NextLine::Bad(LineError::TooLong { bytes, limit }),
            Ok(Some(RawLine::Text(line))) => {
                let read = match &self.columns {
                    None => parse_json(line),
                    Some(columns) => columns.parse(line),
                };
                match read {
                    Ok(event) => NextLine::Event(event),
                    Err(_) if line.iter().all(u8::is_ascii_whitespace) => NextLine::Blank,
                    Err(error) => NextLine::Bad(error),
                }
            }
            Err(error) => {
                self.done = true;
                NextLine::Broken(told(&error, self.gzip))
            }
        }
    }

    /// Finds the format and reads the header of CSV; false when there is nothing to read.
    fn begin(&mut self) -> Result<bool, String> {
        let first = self.lines.peek().map_err(|error| told(&error, self.gzip))?;
        let format = self.format.unwrap_or_else(|| EventFormat::from_content(first));
        if let Some(hint) = foreign(first, format) {
            return Err(hint.to_owned());
        }
        self.format = Some(format);
        if self.format == Some(EventFormat::Csv) {
            match self.lines.next_line().map_err(|error| told(&error, self.gzip))? {
                None => {
                    self.done = true;
                    return Ok(false);
                }
                Some(RawLine::TooLong { .. }) => return Err("header is too long".to_owned()),
                Some(RawLine::Text(header)) => {
                    let columns = CsvColumns::from_header(&String::from_utf8_lossy(header));
                    self.columns = Some(columns.map_err(|error| format!("header: {error}"))?);
                }
            }
        }
        Ok(true)
    }
}

/// Says what a file is that cannot hold events, by its first bytes: one hint for all of its lines.
fn foreign(first: &[u8], format: EventFormat) -> Option<&'static str> {
    match first {
        [0x1f, 0x8b, ..] => Some("is gzip within gzip, must be packed once"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("is UTF-16 text, must be UTF-8"),
        _ if format == EventFormat::Ndjson && first.trim_ascii_start().starts_with(b"[") => {
            Some("begins with `[`, must be NDJSON: one object a line, without a list around them")
        }
        _ => None,
    }
}

/// Says why a file cannot be read on.
fn told(error: &io::Error, gzip: bool) -> String {
    match error.kind() {
        _ if Trailing::is(error) => Trailing.to_string(),
        io::ErrorKind::UnexpectedEof if gzip => "gzip data ends early, the file is cut off".to_owned(),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput if gzip => {
            format!("gzip data is damaged: {error}")
        }
        _ => format!("cannot be read on: {error}"),
    }
}

/// Counts what is read.
struct Counted<R> {
    source: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(into)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const TEXT: &str = "{\"model_id\":\"m\",\"kind\":\"F1\",\"value\":1}\n\nx\n";

    fn gz(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// Events, bad lines and the reason for stopping early.
    fn read(bytes: Vec<u8>, format: Option<EventFormat>) -> (usize, usize, Option<String>) {
        let counter = Arc::new(AtomicU64::new(0));
        let length = bytes.len() as u64;
        let mut reader = EventReader::from_reader(io::Cursor::new(bytes), format, counter.clone()).unwrap();
        let (mut good, mut bad) = (0, 0);
        loop {
            match reader.next_event() {
                NextLine::Event(_) => good += 1,
                NextLine::Bad(_) => bad += 1,
                NextLine::Blank => {}
                NextLine::End => break,
                NextLine::Broken(text) => return (good, bad, Some(text)),
            }
        }
        assert_eq!(counter.load(Ordering::Relaxed), length);
        assert!(matches!(reader.next_event(), NextLine::End));
        (good, bad, None)
    }

    #[test]
    fn plain_and_packed_are_told_apart_by_content() {
        assert_eq!(read(TEXT.into(), None), (1, 1, None));
        assert_eq!(read(gz(TEXT.as_bytes()), None), (1, 1, None));
        let two = [gz(TEXT.as_bytes()), gz(TEXT.as_bytes())].concat();
        assert_eq!(read(two, None), (2, 2, None));
        assert_eq!(read("model_id,kind,value\nm,F1,1\n\n".into(), None), (1, 0, None));
        assert_eq!(read(vec![], None), (0, 0, None));
        assert_eq!(read(vec![], Some(EventFormat::Csv)), (0, 0, None));
    }

    #[test]
    fn a_cut_off_file_gives_what_it_holds() {
        let mut noise = String::new();
        for i in 0_u32..5_000 {
            let value = i.wrapping_mul(2_654_435_761);
            let _ = writeln!(noise, "{{\"model_id\":\"m\",\"kind\":\"F1\",\"value\":0.{value}}}");
        }
        let packed = gz(noise.as_bytes());
        let (good, bad, why) = read(packed[..packed.len() / 2].to_vec(), None);
        assert!(good > 1_000 && bad == 0, "{good} {bad}");
        assert_eq!(why.unwrap(), "gzip data ends early, the file is cut off");
    }

    #[test]
    fn what_follows_the_gzip_data_is_told_apart_from_a_cut() {
        let with = |tail: &[u8]| read([&gz(TEXT.as_bytes())[..], tail].concat(), None);
        for tail in [&b"garbage"[..], b"x", b"{\"model_id\":\"m\"}\n", b"\0\0\0x"] {
            let (good, bad, why) = with(tail);
            assert_eq!((good, bad), (1, 1), "all that was packed is read");
            assert_eq!(
                why.unwrap(),
                "gzip data is whole, but bytes follow it that are no gzip: they are not read"
            );
        }
        assert_eq!(with(&[0; 700]), (1, 1, None), "a tape filled up with zeros");
        assert_eq!(with(&[0x1f]).2.unwrap(), "gzip data ends early, the file is cut off");
        assert_eq!(with(&gz(TEXT.as_bytes())[..9]).2.unwrap(), "gzip data ends early, the file is cut off");
    }

    #[test]
    fn a_useless_header_stops_the_file() {
        let (_, _, why) = read("model,kind,value\nm,F1,1\n".into(), None);
        assert!(why.unwrap().starts_with("header: "));
    }

    #[test]
    fn what_cannot_hold_events_gets_one_hint() {
        let hint = |bytes: Vec<u8>, format| {
            let (good, bad, why) = read(bytes, format);
            assert_eq!((good, bad), (0, 0));
            why.unwrap()
        };
        let list = b"  [\n{\"model_id\":\"m\"},\n{}]\n".to_vec();
        assert!(hint(list.clone(), None).contains("must be NDJSON: one object a line"));
        assert!(hint(list, Some(EventFormat::Ndjson)).contains("one object a line"));
        for format in [None, Some(EventFormat::Ndjson), Some(EventFormat::Csv)] {
            assert!(hint(b"\xff\xfem\0o\0".to_vec(), format).contains("must be UTF-8"));
            assert!(hint(b"\xfe\xff\0m\0o".to_vec(), format).contains("must be UTF-8"));
            assert!(hint(gz(&gz(TEXT.as_bytes())), format).contains("packed once"));
        }
    }

    #[test]
    fn names_tell_the_format() {
        let format = |name: &str| EventFormat::from_name(Path::new(name));
        assert_eq!(format("a/b.ndjson.gz"), Some(EventFormat::Ndjson));
        assert_eq!(format("x.CSV"), Some(EventFormat::Csv));
        assert_eq!(format("events.gz"), None);
    }
}
