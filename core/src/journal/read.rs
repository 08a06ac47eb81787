//! Reads journal pieces: everything is checked before the first entry is given out.

use std::borrow::Cow;

use visu_tility_drift::codec::{DecodeError, Reader};

use crate::checksum::checksum;
use crate::id::{ModelId, Version};
use crate::kind::{MetricKind, ValueRange};
use crate::store::JournalPiece;
use crate::time::Timestamp;

use super::write::JournalWriter;
use super::{
    CONTINUES, EntryName, EntryValue, FORM, HEAD, JournalEntry, JournalError, MISSING, NAME_BITS, PLAN, ROW,
    SUM, TICK, TURN, Turn, VALUE, VECTOR,
};

/// The names of a journal's pieces, carried from each to the next: what reads a journal in order.
///
/// A piece either begins a dictionary, or continues that of the pieces before it. What a store holds begins with a piece
/// that begins one.
///
/// # Examples
///
/// ```
/// use visu_tility_core::journal::{JournalNames, JournalWriter, SeriesToken};
/// use visu_tility_core::{MetricKind, ModelId, Timestamp, Version};
///
/// let mut writer = JournalWriter::new();
/// let token = SeriesToken(7, 1);
/// writer.name(token, &ModelId::new("fraud")?, Some((&Version::new("3")?, &MetricKind::F1)))?;
/// let mut names = JournalNames::new();
/// for offset in 0..3 {
///     // Named once, for all pieces of the dictionary.
///     writer.value(token, Timestamp::EPOCH, 0.25)?;
///     let piece = writer.finish(offset).ok_or("nothing was written")?;
///     let reader = names.read(&piece)?;
///     assert_eq!((reader.names()[0].model.as_str(), reader.begins_dictionary()), ("fraud", offset == 0));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct JournalNames {
    /// The first offset of the dictionary; `None` before the first piece.
    begun: Option<u64>,
    names: Vec<EntryName>,
}

impl JournalNames {
    /// Starts before the first piece.
    pub const fn new() -> Self {
        Self { begun: None, names: Vec::new() }
    }

    /// The names of the dictionary so far.
    pub fn names(&self) -> &[EntryName] {
        &self.names
    }

    /// Reads the next piece as a store gave it. After an error the names are those of the pieces before.
    ///
    /// Cost: that of the piece, however many names the dictionary has.
    ///
    /// # Errors
    ///
    /// As [`JournalReader::new`], but that a piece may continue the dictionary of the piece before it. One that continues
    /// another is refused.
    pub fn read<'a>(&'a mut self, piece: &'a JournalPiece) -> Result<JournalReader<'a>, JournalError> {
        let parts = Parts::of_bytes(&piece.bytes)?;
        parts.is_of(piece)?;
        let Some((begun, known)) = parts.continues else {
            let reader = parts.alone()?;
            self.begun = Some(reader.first_offset);
            self.names = reader.names.into_owned();
            return Ok(JournalReader { names: Cow::Borrowed(&self.names), ..reader });
        };
        if self.begun != Some(begun) || self.names.len() != known {
            return Err(JournalError::Continues { dictionary: begun, names: known });
        }
        let new = read_names(parts.names, parts.named)?;
        self.names.extend(new);
        if let Err(error) = parts.check_rows(&self.names) {
            self.names.truncate(known);
            return Err(error.into());
        }
        Ok(parts.reader(Cow::Borrowed(&self.names)))
    }
}

/// A journal piece that was read.
///
/// What it gives out could have been written: names are names, values are in their kinds' ranges, times of events are
/// from 1970 up to 2200. Memory stays within a small multiple of the bytes, also for bytes that somebody made up.
#[derive(Clone, Debug)]
pub struct JournalReader<'a> {
    first_offset: u64,
    begins: bool,
    names: Cow<'a, [EntryName]>,
    rows: &'a [[u8; ROW]],
    vectors: &'a [[u8; 4]],
}

/// A piece taken apart, its sum checked.
struct Parts<'a> {
    first_offset: u64,
    /// Where the dictionary began that it continues, and how many names that had.
    continues: Option<(u64, usize)>,
    named: usize,
    names: &'a [u8],
    rows: &'a [[u8; ROW]],
    vectors: &'a [[u8; 4]],
}

impl<'a> Parts<'a> {
    fn of_bytes(bytes: &'a [u8]) -> Result<Self, JournalError> {
        // The form first: a later one may have another sum.
        let continues = match bytes.first() {
            None => return Err(DecodeError::Truncated.into()),
            Some(&FORM) => false,
            Some(&CONTINUES) => true,
            Some(&found) => return Err(DecodeError::Version { what: "journal", found }.into()),
        };
        if bytes.len() < HEAD + SUM {
            return Err(DecodeError::Truncated.into());
        }
        let (body, sum) = bytes.split_at(bytes.len() - SUM);
        let (found, expected) = (checksum(body), Reader::new(sum).u64()?);
        if found != expected {
            return Err(JournalError::Sum { found, expected });
        }
        Ok(Self::of_body(body, continues)?)
    }

    fn of_body(body: &'a [u8], continues: bool) -> Result<Self, DecodeError> {
        let mut bytes = Reader::new(body);
        let reserved = bytes.u32()? >> 8;
        let rows = bytes.u32()? as usize;
        let first_offset = bytes.u64()?;
        let (named, name_bytes, components) = (bytes.u32()? as usize, bytes.u32()?, bytes.u32()?);
        let known = bytes.u32()? as usize;
        if reserved != 0 || (known != 0 && !continues) {
            return Err(DecodeError::Range { field: "reserved" });
        }
        if rows == 0 || rows > JournalWriter::ROWS_MAX {
            return Err(DecodeError::Range { field: "rows" });
        }
        if first_offset > i64::MAX as u64 - rows as u64 {
            return Err(DecodeError::Range { field: "first_offset" });
        }
        let continues = if continues { Some((bytes.u64()?, known)) } else { None };
        if continues.is_some_and(|(begun, _)| begun >= first_offset) {
            return Err(DecodeError::Range { field: "dictionary" });
        }
        if known + named > JournalWriter::NAMES_MAX as usize {
            return Err(DecodeError::Range { field: "names" });
        }
        let mut names: &[u8] = &[];
        if continues.is_none() {
            names = bytes.take(name_bytes as usize)?;
        }
        let (rows, _) = bytes.take(rows * ROW)?.as_chunks();
        if continues.is_some() {
            names = bytes.take(name_bytes as usize)?;
        }
        let vector_bytes = (components as usize).checked_mul(4).ok_or(DecodeError::Truncated)?;
        let (vectors, _) = bytes.take(vector_bytes)?.as_chunks();
        bytes.finish()?;
        Ok(Self { first_offset, continues, named, names, rows, vectors })
    }

    /// Checks that it is the piece that the store says.
    const fn is_of(&self, piece: &JournalPiece) -> Result<(), JournalError> {
        let (first_offset, entries) = (self.first_offset, self.rows.len() as u32);
        if first_offset != piece.first_offset || entries != piece.entries {
            return Err(JournalError::Other { first_offset, entries });
        }
        Ok(())
    }

    /// Reads it without the pieces before.
    fn alone(self) -> Result<JournalReader<'a>, JournalError> {
        if let Some((dictionary, names)) = self.continues {
            return Err(JournalError::Continues { dictionary, names });
        }
        let names = read_names(self.names, self.named)?;
        self.check_rows(&names)?;
        Ok(self.reader(Cow::Owned(names)))
    }

    const fn reader(self, names: Cow<'a, [EntryName]>) -> JournalReader<'a> {
        let Self { first_offset, continues, rows, vectors, .. } = self;
        JournalReader { first_offset, begins: continues.is_none(), names, rows, vectors }
    }

    /// Checks every row against its name, and the vectors against their rows.
    fn check_rows(&self, names: &[EntryName]) -> Result<(), DecodeError> {
        let mut vectors = self.vectors;
        for row in self.rows {
            let Row { kind, name, at, word } = Row::of(row);
            if kind == PLAN {
                if name != 0 {
                    return Err(DecodeError::Range { field: "name" });
                }
                continue;
            }
            let series = names.get(name).ok_or(DecodeError::Range { field: "name" })?.series.as_ref();
            let range = series.map(|(_, kind)| kind.range());
            let event = matches!(kind, VALUE | MISSING | VECTOR);
            if event != range.is_some() {
                return Err(DecodeError::Range { field: "kind" });
            }
            if event && !at.in_bounds() {
                return Err(DecodeError::Range { field: "at" });
            }
            let fits = match kind {
                VALUE => range.is_some_and(|range| range.contains(f64::from_bits(word))),
                MISSING | TICK => word == 0,
                VECTOR => range == Some(ValueRange::Vector) && take_vector(&mut vectors, word).is_some(),
                TURN => Turn::from_code(word).is_some(),
                _ => return Err(DecodeError::Range { field: "kind" }),
            };
            if !fits {
                return Err(DecodeError::Range { field: "value" });
            }
        }
        if vectors.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }
}

impl<'a> JournalReader<'a> {
    /// Reads a piece that begins a dictionary, as a store gave it. A journal is read in order with [`JournalNames`].
    ///
    /// # Errors
    ///
    /// Fails when the bytes are not a whole, undamaged piece of a form that this release reads, are those of other
    /// entries than the store says, or continue the dictionary of pieces before.
    pub fn new(piece: &'a JournalPiece) -> Result<Self, JournalError> {
        let parts = Parts::of_bytes(&piece.bytes)?;
        parts.is_of(piece)?;
        parts.alone()
    }

    /// Reads a piece that begins a dictionary from its bytes alone.
    ///
    /// # Errors
    ///
    /// Fails when they are not a whole, undamaged piece of a form that this release reads, or continue the dictionary of
    /// pieces before.
    pub fn of_bytes(bytes: &'a [u8]) -> Result<Self, JournalError> {
        Parts::of_bytes(bytes)?.alone()
    }

    /// Whether it can be read without the pieces before.
    pub const fn begins_dictionary(&self) -> bool {
        self.begins
    }

    /// The offset of the first entry.
    pub const fn first_offset(&self) -> u64 {
        self.first_offset
    }

    /// How many entries there are.
    pub const fn len(&self) -> usize {
        self.rows.len()
    }

    /// Is never true: a piece holds at least one entry.
    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whom the entries of the dictionary are about, those of the pieces before too.
    pub fn names(&self) -> &[EntryName] {
        &self.names
    }

    /// The entries with their offsets, in order.
    pub fn entries(&self) -> impl Iterator<Item = (u64, JournalEntry)> + '_ {
        let mut vectors = self.vectors;
        (self.first_offset..).zip(self.rows).filter_map(move |(offset, row)| {
            // Every row was checked, so none is left out.
            entry_of(&Row::of(row), &mut vectors).map(|entry| (offset, entry))
        })
    }
}

/// A row taken apart.
struct Row {
    kind: u32,
    name: usize,
    at: Timestamp,
    word: u64,
}

impl Row {
    #[inline]
    fn of(row: &[u8; ROW]) -> Self {
        let [n0, n1, n2, n3, rest @ ..] = *row;
        let [t0, t1, t2, t3, t4, t5, t6, t7, word @ ..] = rest;
        let number = u32::from_le_bytes([n0, n1, n2, n3]);
        Self {
            kind: number >> NAME_BITS,
            name: (number & ((1 << NAME_BITS) - 1)) as usize,
            at: Timestamp::from_micros(i64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7])),
            word: u64::from_le_bytes(word),
        }
    }
}

#[inline]
fn entry_of(row: &Row, vectors: &mut &[[u8; 4]]) -> Option<JournalEntry> {
    let Row { kind, name, at, word } = *row;
    let value = match kind {
        VALUE => EntryValue::Number(f64::from_bits(word)),
        MISSING => EntryValue::Missing,
        VECTOR => {
            EntryValue::Vector(take_vector(vectors, word)?.iter().map(|c| f32::from_le_bytes(*c)).collect())
        }
        TICK => return Some(JournalEntry::Tick { name, now: at }),
        TURN => return Some(JournalEntry::Turn { name, at, turn: Turn::from_code(word)? }),
        _ => return Some(JournalEntry::Plan { at, fingerprint: word }),
    };
    Some(JournalEntry::Event { name, at, value })
}

/// Takes the next vector of so many components; `None` when it is not there, or holds what is no number.
fn take_vector<'v>(vectors: &mut &'v [[u8; 4]], components: u64) -> Option<&'v [[u8; 4]]> {
    let components = usize::try_from(components).ok().filter(|n| (1..=ValueRange::VECTOR_MAX).contains(n))?;
    let (vector, rest) = vectors.split_at_checked(components)?;
    *vectors = rest;
    vector.iter().all(|component| f32::from_le_bytes(*component).is_finite()).then_some(vector)
}

fn read_names(bytes: &[u8], named: usize) -> Result<Vec<EntryName>, DecodeError> {
    // Three lengths of two bytes are the least that a name takes.
    if named > JournalWriter::ROWS_MAX || named > bytes.len() / 6 {
        return Err(DecodeError::Range { field: "names" });
    }
    let mut bytes = Reader::new(bytes);
    let mut names = Vec::with_capacity(named);
    let mut known = Known::default();
    for _ in 0..named {
        let model = ModelId::new(text(&mut bytes, "model_id")?)
            .map_err(|_| DecodeError::Range { field: "model_id" })?;
        let (version, kind) = (text(&mut bytes, "version")?, text(&mut bytes, "kind")?);
        let series =
            if version.is_empty() && kind.is_empty() { None } else { Some(known.series(version, kind)?) };
        names.push(EntryName { model, series });
    }
    bytes.finish()?;
    Ok(names)
}

/// Versions and kinds that came lately, so that those of many models are allocated once.
#[derive(Default)]
struct Known<'a> {
    version: Option<(&'a str, Version)>,
    kinds: Vec<(&'a str, MetricKind)>,
}

impl<'a> Known<'a> {
    /// Kinds that are remembered; a longer search would cost more than it saves.
    const KINDS: usize = 8;

    fn series(&mut self, version: &'a str, kind: &'a str) -> Result<(Version, MetricKind), DecodeError> {
        Ok((self.version(version)?, self.kind(kind)?))
    }

    fn version(&mut self, text: &'a str) -> Result<Version, DecodeError> {
        if let Some((_, version)) = self.version.as_ref().filter(|(known, _)| *known == text) {
            return Ok(version.clone());
        }
        let version = if text == "-" { Ok(Version::unversioned()) } else { Version::new(text) };
        let version = version.map_err(|_| DecodeError::Range { field: "version" })?;
        self.version = Some((text, version.clone()));
        Ok(version)
    }

    fn kind(&mut self, text: &'a str) -> Result<MetricKind, DecodeError> {
        if let Some((_, kind)) = self.kinds.iter().find(|(known, _)| *known == text) {
            return Ok(kind.clone());
        }
        let kind: MetricKind = text.parse().map_err(|_| DecodeError::Range { field: "kind" })?;
        if self.kinds.len() < Self::KINDS {
            self.kinds.push((text, kind.clone()));
        }
        Ok(kind)
    }
}

fn text<'a>(bytes: &mut Reader<'a>, field: &'static str) -> Result<&'a str, DecodeError> {
    let length = bytes.u16()?;
    std::str::from_utf8(bytes.take(usize::from(length))?).map_err(|_| DecodeError::Range { field })
}
