//! Any bytes as a journal piece: what the fuzz target `core/fuzz` and a test here both call.
//!
//! The sum at the end would keep free bytes out, so it is set right where the first byte asks for it.
// The fuzz target has no test configuration of its own.
#![allow(clippy::unwrap_used, clippy::panic)]

use visu_tility_core::journal::{
    EntryName, EntryValue, JournalEntry, JournalReader, JournalWriter, SeriesToken, Turn, Unwritten,
};
use visu_tility_core::store::{JournalPiece, checksum};
use visu_tility_core::{MetricKind, ModelId, Timestamp, Version};

/// Asks what holds for all bytes: they are refused, or they are entries that could have been written, and that come out
/// the same when they are written again.
pub(crate) fn check(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    let mut bytes = data.to_vec();
    if how % 2 == 0 && bytes.len() >= 8 {
        let body = bytes.len() - 8;
        let sum = checksum(&bytes[..body]);
        bytes[body..].copy_from_slice(&sum.to_le_bytes());
    }
    let Ok(reader) = JournalReader::of_bytes(&bytes) else { return };
    let piece = again(&reader);
    let read = JournalReader::new(&piece).unwrap_or_else(|error| panic!("written again: {error}"));
    assert_eq!(reader.len(), read.len());
    for ((offset, entry), (offset_again, again)) in reader.entries().zip(read.entries()) {
        assert_eq!((offset, shown(reader.names(), &entry)), (offset_again, shown(read.names(), &again)));
    }
}

/// Writes the entries as a publisher would.
fn again(reader: &JournalReader<'_>) -> JournalPiece {
    let mut writer = JournalWriter::new();
    for (_, entry) in reader.entries() {
        if write(&mut writer, &entry) == Err(Unwritten::Unnamed) {
            let place = name(&entry).unwrap();
            let EntryName { model, series } = &reader.names()[place];
            let series = series.as_ref().map(|(version, kind)| (version, kind));
            writer.name(SeriesToken(place as u64, 0), model, series).unwrap();
            write(&mut writer, &entry).unwrap();
        }
    }
    writer.finish(reader.first_offset()).unwrap()
}

fn write(writer: &mut JournalWriter, entry: &JournalEntry) -> Result<(), Unwritten> {
    let token = SeriesToken(name(entry).unwrap_or(0) as u64, 0);
    match entry {
        JournalEntry::Event { at, value: EntryValue::Number(value), .. } => {
            assert!(value.is_finite() && at.in_bounds());
            writer.value(token, *at, *value)
        }
        JournalEntry::Event { at, value: EntryValue::Missing, .. } => writer.value(token, *at, f64::NAN),
        JournalEntry::Event { at, value: EntryValue::Vector(vector), .. } => {
            writer.vector(token, *at, vector)
        }
        JournalEntry::Tick { now, .. } => writer.tick(token, *now),
        JournalEntry::Turn { at, turn, .. } => writer.turn(token, *at, *turn),
        JournalEntry::Plan { at, fingerprint } => writer.plan(*at, *fingerprint),
    }
}

const fn name(entry: &JournalEntry) -> Option<usize> {
    match entry {
        JournalEntry::Event { name, .. }
        | JournalEntry::Tick { name, .. }
        | JournalEntry::Turn { name, .. } => Some(*name),
        JournalEntry::Plan { .. } => None,
    }
}

/// An entry with its name in place of the name's number.
fn shown(names: &[EntryName], entry: &JournalEntry) -> String {
    let mut entry = entry.clone();
    let of = match &mut entry {
        JournalEntry::Event { name, .. }
        | JournalEntry::Tick { name, .. }
        | JournalEntry::Turn { name, .. } => Some(&names[std::mem::take(name)]),
        JournalEntry::Plan { .. } => None,
    };
    format!("{of:?} {entry:?}")
}

/// A piece with an entry of every kind.
#[cfg_attr(not(test), allow(dead_code))]
fn full() -> JournalPiece {
    let mut writer = JournalWriter::new();
    let (model, version) = (ModelId::new("fraud").unwrap(), Version::new("2025-11").unwrap());
    let at = Timestamp::from_millis(1_764_000_000_000);
    let kinds =
        [MetricKind::LatencyMs, MetricKind::feature("ink").unwrap(), MetricKind::embedding("text").unwrap()];
    for (number, kind) in kinds.iter().enumerate() {
        writer.name(SeriesToken(number as u64, 0), &model, Some((&version, kind))).unwrap();
    }
    writer.name(SeriesToken(9, 0), &model, None).unwrap();
    writer.value(SeriesToken(0, 0), at, 12.5).unwrap();
    writer.value(SeriesToken(1, 0), at, f64::NAN).unwrap();
    writer.vector(SeriesToken(2, 0), at, &[0.5, -1.5, 3.0]).unwrap();
    writer.tick(SeriesToken(9, 0), at).unwrap();
    writer.turn(SeriesToken(9, 0), at, Turn::Quarantine).unwrap();
    writer.plan(at, 77).unwrap();
    writer.finish(1_000).unwrap()
}

#[test]
fn a_piece_with_any_byte_changed_is_refused_or_could_have_been_written() {
    let piece = full();
    let mut taken = 0;
    for at in 0..piece.bytes.len() - 8 {
        for value in [0, 1, 2, 0x10, 0x2d, 0x3a, 0x7f, 0x80, 0xff] {
            let mut data = vec![0];
            data.extend(&piece.bytes);
            data[at + 1] = value;
            check(&data);
            let body = piece.bytes.len() - 8;
            let sum = checksum(&data[1..=body]);
            data[body + 1..].copy_from_slice(&sum.to_le_bytes());
            taken += u32::from(JournalReader::of_bytes(&data[1..]).is_ok());
        }
    }
    // Values, times and names may be others; most of the form may not.
    assert!((200..1_600).contains(&taken), "{taken} of {} were taken", (piece.bytes.len() - 8) * 9);
}
