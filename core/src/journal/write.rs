//! Writes journal pieces, a row an entry, into memory that is used again for the next piece.

use visu_tility_drift::codec::{put_u32, put_u64};

use crate::checksum::checksum;
use crate::id::{ModelId, Version};
use crate::kind::{MetricKind, ValueRange};
use crate::store::{JournalPiece, StoreLimits};
use crate::time::Timestamp;

use super::tokens::{SeriesToken, Tokens};
use super::{CONTINUES, FORM, HEAD, HEAD_CONTINUES, MISSING, NAME_BITS, PLAN, ROW, SUM, TICK, TURN, Turn};
use super::{VALUE, VECTOR};

/// Gathers entries to pieces of the journal.
///
/// A name is written once in a dictionary's life, with the first piece that has an entry about it. The dictionary begins
/// afresh when its names are few beside what was written with them (a 64th of the bytes, 4 MiB at least), at
/// [`JournalWriter::NAMES_MAX`] names or [`JournalWriter::DICTIONARY_ENTRIES_MAX`] entries, and when it is told to
/// ([`JournalWriter::begin_dictionary`]).
///
/// # Examples
///
/// ```
/// use visu_tility_core::journal::{EntryValue, JournalEntry, JournalReader, JournalWriter, SeriesToken};
/// use visu_tility_core::{MetricKind, ModelId, Timestamp, Version};
///
/// let mut writer = JournalWriter::new();
/// let token = SeriesToken(7, 1);
/// writer.name(token, &ModelId::new("fraud")?, Some((&Version::new("3")?, &MetricKind::F1)))?;
/// writer.value(token, Timestamp::EPOCH, 0.25)?;
/// let piece = writer.finish(1_000).ok_or("nothing was written")?;
/// assert_eq!((piece.first_offset, piece.entries), (1_000, 1));
///
/// let reader = JournalReader::new(&piece)?;
/// assert_eq!(reader.names()[0].model.as_str(), "fraud");
/// let (offset, entry) = reader.entries().next().ok_or("empty")?;
/// let value = EntryValue::Number(0.25);
/// assert_eq!((offset, entry), (1_000, JournalEntry::Event { name: 0, at: Timestamp::EPOCH, value }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct JournalWriter {
    tokens: Tokens,
    /// Names that came with the present piece.
    names: Vec<u8>,
    named: u32,
    /// Room for a head, then the rows.
    rows: Vec<u8>,
    vectors: Vec<u8>,
    dictionary: Dictionary,
}

/// What came before the present piece since the dictionary began.
#[derive(Clone, Copy, Debug, Default)]
struct Dictionary {
    /// The first offset; `None` before the first piece.
    begun: Option<u64>,
    names: u32,
    entries: u64,
    bytes: u64,
    name_bytes: u64,
}

impl Dictionary {
    /// Whether to begin another one costs little beside what was written.
    const fn is_used_up(&self) -> bool {
        let much = self.name_bytes.saturating_mul(BYTES_PER_NAME_BYTE);
        self.names >= JournalWriter::NAMES_MAX
            || self.entries >= JournalWriter::DICTIONARY_ENTRIES_MAX
            || (self.bytes >= DICTIONARY_BYTES_MIN && self.bytes >= much)
    }
}

/// Bytes of journal before a dictionary begins afresh, however few its names are.
const DICTIONARY_BYTES_MIN: u64 = 4 << 20;
/// Bytes of journal for each byte of names before a dictionary begins afresh.
const BYTES_PER_NAME_BYTE: u64 = 64;

/// An entry was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unwritten {
    /// Its token has no name in the dictionary yet: call [`JournalWriter::name`], then write it again.
    #[error("its token has no name in the dictionary")]
    Unnamed,
    /// The piece is full: finish it, then write it again.
    #[error("the piece is full")]
    Full,
    /// The vector is not 1 to 4,096 components long.
    #[error("the vector has {0} components")]
    Vector(usize),
}

impl Default for JournalWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl JournalWriter {
    /// The most rows of a piece.
    pub const ROWS_MAX: usize = 65_536;
    /// The most names of a dictionary.
    pub const NAMES_MAX: u32 = 1 << 20;
    /// The most entries that a dictionary serves, but for those of the piece that reaches it.
    pub const DICTIONARY_ENTRIES_MAX: u64 = 1 << 24;

    /// Starts the first piece, with a dictionary of its own.
    pub fn new() -> Self {
        Self {
            tokens: Tokens::new(),
            names: Vec::new(),
            named: 0,
            rows: vec![0; HEAD_CONTINUES],
            vectors: Vec::new(),
            dictionary: Dictionary::default(),
        }
    }

    /// Names what a token stands for as long as the dictionary lasts; `series` is `None` for a token of entries that are about
    /// the model as a whole. A token that has a name keeps it.
    ///
    /// # Errors
    ///
    /// Fails with [`Unwritten::Full`] when the piece has no room for it.
    pub fn name(
        &mut self,
        token: SeriesToken,
        model: &ModelId,
        series: Option<(&Version, &MetricKind)>,
    ) -> Result<(), Unwritten> {
        if self.tokens.find(token).is_some() {
            return Ok(());
        }
        let number = self.dictionary.names + self.named;
        if self.named as usize >= Self::ROWS_MAX
            || number >= Self::NAMES_MAX
            || self.bytes() + 1_024 > StoreLimits::PIECE_BYTES_MAX
        {
            return Err(Unwritten::Full);
        }
        put_name(&mut self.names, model.as_str(), "");
        match series {
            None => self.names.extend_from_slice(&[0; 4]),
            Some((version, kind)) => {
                put_name(&mut self.names, version.as_str(), "");
                match kind.metric_name() {
                    None => put_name(&mut self.names, kind.family(), ""),
                    Some(name) => put_name(&mut self.names, kind.family(), name),
                }
            }
        }
        self.tokens.insert(token, number);
        self.named += 1;
        Ok(())
    }

    /// Writes an event with a number; `NaN` for a missing one.
    ///
    /// # Errors
    ///
    /// Fails when the token has no name, or the piece is full; then nothing was written. So it is with all calls below.
    #[inline]
    pub fn value(&mut self, series: SeriesToken, at: Timestamp, value: f64) -> Result<(), Unwritten> {
        let number = self.tokens.find(series).ok_or(Unwritten::Unnamed)?;
        if value.is_nan() {
            self.row(MISSING << NAME_BITS | number, at, 0)
        } else {
            self.row(VALUE << NAME_BITS | number, at, value.to_bits())
        }
    }

    /// Writes events with numbers, up to the first that fails as [`JournalWriter::value`] does; answers how many.
    #[inline]
    pub fn values(&mut self, events: impl IntoIterator<Item = (SeriesToken, Timestamp, f64)>) -> usize {
        let mut written = 0;
        for (series, at, value) in events {
            if self.value(series, at, value).is_err() {
                break;
            }
            written += 1;
        }
        written
    }

    /// Reads the memory that [`JournalWriter::value`] is going to read, so that the waits for it overlap when this is called
    /// for some events before they are written. What it answers says nothing.
    #[inline]
    pub fn touch(&self, series: SeriesToken) -> u64 {
        self.tokens.touch(series)
    }

    /// Writes an event with a vector.
    ///
    /// # Errors
    ///
    /// As [`JournalWriter::value`], and when the vector is empty or too long.
    pub fn vector(&mut self, series: SeriesToken, at: Timestamp, vector: &[f32]) -> Result<(), Unwritten> {
        let number = self.tokens.find(series).ok_or(Unwritten::Unnamed)?;
        if vector.is_empty() || vector.len() > ValueRange::VECTOR_MAX {
            return Err(Unwritten::Vector(vector.len()));
        }
        if self.bytes() + ROW + vector.len() * 4 > StoreLimits::PIECE_BYTES_MAX {
            return Err(Unwritten::Full);
        }
        self.row(VECTOR << NAME_BITS | number, at, vector.len() as u64)?;
        self.vectors.extend(vector.iter().flat_map(|component| component.to_le_bytes()));
        Ok(())
    }

    /// Writes that a model was told that it is `now`.
    ///
    /// # Errors
    ///
    /// As [`JournalWriter::value`].
    pub fn tick(&mut self, model: SeriesToken, now: Timestamp) -> Result<(), Unwritten> {
        let number = self.tokens.find(model).ok_or(Unwritten::Unnamed)?;
        self.row(TICK << NAME_BITS | number, now, 0)
    }

    /// Writes a turn of a model's life.
    ///
    /// # Errors
    ///
    /// As [`JournalWriter::value`].
    pub fn turn(&mut self, model: SeriesToken, at: Timestamp, turn: Turn) -> Result<(), Unwritten> {
        let number = self.tokens.find(model).ok_or(Unwritten::Unnamed)?;
        self.row(TURN << NAME_BITS | number, at, turn.code())
    }

    /// Writes that a plan came into force.
    ///
    /// # Errors
    ///
    /// Fails when the piece is full.
    pub fn plan(&mut self, at: Timestamp, fingerprint: u64) -> Result<(), Unwritten> {
        self.row(PLAN << NAME_BITS, at, fingerprint)
    }

    /// Entries since the last piece was finished.
    pub const fn entries(&self) -> usize {
        (self.rows.len() - HEAD_CONTINUES) / ROW
    }

    /// Bytes that the piece would have if it were finished now, at most.
    pub const fn bytes(&self) -> usize {
        self.names.len() + self.rows.len() + self.vectors.len() + SUM
    }

    /// The offset at which the present dictionary began; `None` when it begins with the piece that is finished next.
    pub const fn dictionary_begun(&self) -> Option<u64> {
        self.dictionary.begun
    }

    /// How many names the present dictionary has.
    pub const fn names(&self) -> usize {
        (self.dictionary.names + self.named) as usize
    }

    /// Makes the piece whose first entry has this offset, and starts the next one; `None` when nothing was written.
    pub fn finish(&mut self, first_offset: u64) -> Option<JournalPiece> {
        let entries = self.entries() as u32;
        if entries == 0 {
            if self.named > 0 || self.dictionary.is_used_up() {
                // Names without an entry have not been written anywhere.
                self.begin_dictionary();
            }
            return None;
        }
        let bytes = match self.dictionary.begun {
            None => self.alone(entries, first_offset),
            Some(begun) => self.continuing(entries, first_offset, begun),
        };
        let dictionary = &mut self.dictionary;
        dictionary.begun.get_or_insert(first_offset);
        dictionary.names += self.named;
        dictionary.entries += u64::from(entries);
        dictionary.bytes += bytes.len() as u64;
        dictionary.name_bytes += self.names.len() as u64;
        if dictionary.is_used_up() {
            self.begin_dictionary();
        } else {
            self.begin_piece();
        }
        Some(JournalPiece { first_offset, entries, bytes })
    }

    /// A piece that begins a dictionary: it can be read alone.
    fn alone(&self, entries: u32, first_offset: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes());
        bytes.extend_from_slice(&[FORM, 0, 0, 0]);
        put_u32(&mut bytes, entries);
        put_u64(&mut bytes, first_offset);
        put_u32(&mut bytes, self.named);
        put_u32(&mut bytes, self.names.len() as u32);
        put_u32(&mut bytes, (self.vectors.len() / 4) as u32);
        put_u32(&mut bytes, 0);
        debug_assert_eq!(bytes.len(), HEAD, "the length of a head");
        bytes.extend_from_slice(&self.names);
        bytes.extend_from_slice(self.rows.get(HEAD_CONTINUES..).unwrap_or_default());
        bytes.extend_from_slice(&self.vectors);
        let sum = checksum(&bytes);
        put_u64(&mut bytes, sum);
        bytes
    }

    /// A piece that continues the dictionary that began at an offset: the rows stay where they were written.
    fn continuing(&mut self, entries: u32, first_offset: u64, begun: u64) -> Vec<u8> {
        let mut head = Vec::with_capacity(HEAD_CONTINUES);
        head.extend_from_slice(&[CONTINUES, 0, 0, 0]);
        put_u32(&mut head, entries);
        put_u64(&mut head, first_offset);
        put_u32(&mut head, self.named);
        put_u32(&mut head, self.names.len() as u32);
        put_u32(&mut head, (self.vectors.len() / 4) as u32);
        put_u32(&mut head, self.dictionary.names);
        put_u64(&mut head, begun);
        let room = self.bytes();
        let mut bytes = std::mem::take(&mut self.rows);
        if let Some(place) = bytes.get_mut(..HEAD_CONTINUES) {
            place.copy_from_slice(&head);
        }
        bytes.extend_from_slice(&self.names);
        bytes.extend_from_slice(&self.vectors);
        let sum = checksum(&bytes);
        put_u64(&mut bytes, sum);
        if bytes.capacity() > bytes.len() * 2 {
            bytes.shrink_to_fit();
        }
        // The next piece is likely to be as long.
        self.rows.reserve_exact(room);
        self.rows.resize(HEAD_CONTINUES, 0);
        bytes
    }

    /// Throws away what was written since the last piece was finished, with the dictionary.
    pub fn abandon(&mut self) {
        self.rows.truncate(HEAD_CONTINUES);
        self.begin_dictionary();
    }

    /// Has the next piece begin a dictionary, so that it can be read without those before. To be called when a piece that
    /// was finished does not become part of the journal. What was written since the last piece was finished is thrown away.
    pub fn begin_dictionary(&mut self) {
        self.tokens.clear();
        self.dictionary = Dictionary::default();
        self.begin_piece();
    }

    fn begin_piece(&mut self) {
        self.names.clear();
        self.rows.truncate(HEAD_CONTINUES);
        self.vectors.clear();
        self.named = 0;
    }

    #[inline]
    fn row(&mut self, number: u32, at: Timestamp, word: u64) -> Result<(), Unwritten> {
        if self.rows.len() >= HEAD_CONTINUES + Self::ROWS_MAX * ROW {
            return Err(Unwritten::Full);
        }
        let mut row = [0; ROW];
        let [n0, n1, n2, n3, rest @ ..] = &mut row;
        [*n0, *n1, *n2, *n3] = number.to_le_bytes();
        let (time, value) = rest.split_at_mut(8);
        time.copy_from_slice(&at.micros().to_le_bytes());
        value.copy_from_slice(&word.to_le_bytes());
        self.rows.extend_from_slice(&row);
        Ok(())
    }
}

/// Appends a text with its length in two bytes: a word, or a word, a colon and a name.
fn put_name(out: &mut Vec<u8>, word: &str, name: &str) {
    let colon = if name.is_empty() { "" } else { ":" };
    let length = word.len() + colon.len() + name.len();
    out.extend_from_slice(&(length as u16).to_le_bytes());
    for part in [word, colon, name] {
        out.extend_from_slice(part.as_bytes());
    }
}
