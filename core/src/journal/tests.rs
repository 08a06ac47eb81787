//! Pieces are read back as they were written, and nothing else is read as one.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::store::{JournalPiece, checksum};

/// What is written and should come back.
#[derive(Clone, Debug)]
enum Written {
    Number(f64),
    Missing,
    Vector(Vec<f32>),
    Tick,
    Turn(Turn),
    Plan(u64),
}

fn kind_of(series: u64) -> MetricKind {
    match series % 4 {
        0 => MetricKind::feature(format!("f{series}")).unwrap(),
        1 => MetricKind::custom("of:mine").unwrap(),
        2 => MetricKind::LatencyMs,
        _ => MetricKind::embedding("text").unwrap(),
    }
}

fn version_of(series: u64) -> Version {
    if series.is_multiple_of(3) {
        Version::unversioned()
    } else {
        Version::new(format!("v{series}.0")).unwrap()
    }
}

fn model_of(series: u64) -> ModelId {
    ModelId::new(format!("model-{}", series / 5)).unwrap()
}

fn entry() -> impl Strategy<Value = (u64, i64, Written)> {
    let written = prop_oneof![
        (0.0..1e300).prop_map(Written::Number),
        Just(Written::Missing),
        prop::collection::vec(-1e30_f32..1e30, 1..40).prop_map(Written::Vector),
        Just(Written::Tick),
        prop::sample::select(&Turn::ALL[..]).prop_map(Written::Turn),
        any::<u64>().prop_map(Written::Plan),
    ];
    (0_u64..40, 0_i64..Timestamp::LIMIT.micros(), written).prop_map(|(series, at, written)| {
        // A series of numbers has no vectors, and the other way round.
        let series = match written {
            Written::Number(_) => series / 4 * 4 + series % 3,
            Written::Vector(_) => series / 4 * 4 + 3,
            _ => series,
        };
        (series, at, written)
    })
}

fn write_one(
    writer: &mut JournalWriter,
    (series, at, written): &(u64, i64, Written),
) -> Result<(), Unwritten> {
    let at = Timestamp::from_micros(*at);
    let (series, model) = (SeriesToken(*series, 0), SeriesToken(*series / 5, 1));
    match written {
        Written::Number(value) => writer.value(series, at, *value),
        Written::Missing => writer.value(series, at, f64::NAN),
        Written::Vector(vector) => writer.vector(series, at, vector),
        Written::Tick => writer.tick(model, at),
        Written::Turn(turn) => writer.turn(model, at, *turn),
        Written::Plan(fingerprint) => writer.plan(at, *fingerprint),
    }
}

fn write(writer: &mut JournalWriter, first_offset: u64, entries: &[(u64, i64, Written)]) -> JournalPiece {
    for entry in entries {
        if write_one(writer, entry) == Err(Unwritten::Unnamed) {
            let (series, model) = (entry.0, model_of(entry.0));
            if matches!(entry.2, Written::Tick | Written::Turn(_)) {
                writer.name(SeriesToken(series / 5, 1), &model, None).unwrap();
            } else {
                let names = (version_of(series), kind_of(series));
                writer.name(SeriesToken(series, 0), &model, Some((&names.0, &names.1))).unwrap();
            }
            write_one(writer, entry).unwrap();
        }
    }
    writer.finish(first_offset).unwrap()
}

/// What an entry says, with its name spelt out.
fn spelt(names: &[EntryName], entry: JournalEntry) -> (Option<EntryName>, i64, String) {
    let (name, at, what) = match entry {
        JournalEntry::Event { name, at, value } => (Some(name), at, format!("{value:?}")),
        JournalEntry::Tick { name, now } => (Some(name), now, "tick".to_owned()),
        JournalEntry::Turn { name, at, turn } => (Some(name), at, format!("{turn:?}")),
        JournalEntry::Plan { at, fingerprint } => (None, at, fingerprint.to_string()),
    };
    (name.map(|name| names[name].clone()), at.micros(), what)
}

fn wanted((series, at, written): &(u64, i64, Written)) -> (Option<EntryName>, i64, String) {
    let of_series =
        EntryName { model: model_of(*series), series: Some((version_of(*series), kind_of(*series))) };
    let of_model = EntryName { model: model_of(*series), series: None };
    let (name, what) = match written {
        Written::Number(value) => (Some(of_series), format!("{:?}", EntryValue::Number(*value))),
        Written::Missing => (Some(of_series), format!("{:?}", EntryValue::Missing)),
        Written::Vector(vector) => {
            (Some(of_series), format!("{:?}", EntryValue::Vector(Arc::from(&vector[..]))))
        }
        Written::Tick => (Some(of_model), "tick".to_owned()),
        Written::Turn(turn) => (Some(of_model), format!("{turn:?}")),
        Written::Plan(fingerprint) => (None, fingerprint.to_string()),
    };
    (name, *at, what)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        entries in prop::collection::vec(entry(), 1..300), first_offset in 0_u64..1 << 62,
    ) {
        let mut writer = JournalWriter::new();
        // The second piece knows nothing of the first.
        write(&mut writer, 0, &entries[..entries.len().min(20)]);
        writer.begin_dictionary();
        let piece = write(&mut writer, first_offset, &entries);
        let reader = JournalReader::new(&piece).unwrap();
        prop_assert_eq!(reader.len(), entries.len());
        for ((at, (offset, entry)), written) in reader.entries().enumerate().zip(&entries) {
            prop_assert_eq!(offset, first_offset + at as u64);
            prop_assert_eq!(spelt(reader.names(), entry), wanted(written));
        }
    }

    #[test]
    fn pieces_are_read_back_in_order_with_names_that_were_written_once(
        entries in prop::collection::vec(entry(), 1..300), cuts in prop::collection::vec((1_usize..60, any::<bool>()), 1..12),
    ) {
        let (mut writer, mut pieces, mut from) = (JournalWriter::new(), Vec::new(), 0);
        for (length, begins) in cuts.into_iter().cycle() {
            let some = &entries[from..entries.len().min(from + length)];
            if some.is_empty() {
                break;
            }
            if begins {
                writer.begin_dictionary();
            }
            pieces.push(write(&mut writer, 500 + from as u64, some));
            from += some.len();
        }
        let (mut names, mut read, mut named) = (JournalNames::new(), Vec::new(), BTreeSet::new());
        for piece in &pieces {
            let reader = names.read(piece).unwrap();
            if reader.begins_dictionary() {
                named.clear();
            }
            read.extend(reader.entries().map(|(offset, entry)| (offset, spelt(reader.names(), entry))));
            prop_assert_eq!(JournalReader::new(piece).is_ok(), reader.begins_dictionary());
            for name in &names.names()[named.len()..] {
                prop_assert!(named.insert(format!("{name:?}")), "{:?} is named twice", name);
            }
        }
        prop_assert!(read.into_iter().eq((500..).zip(entries.iter().map(wanted))));
    }

    #[test]
    fn a_piece_that_continues_is_refused_when_a_bit_is_flipped_it_is_cut_short_or_another_came_before(
        entries in prop::collection::vec(entry(), 2..30), place in any::<prop::sample::Index>(), bit in 0_u32..8,
    ) {
        let mut writer = JournalWriter::new();
        let first = write(&mut writer, 70, &entries[..1]);
        let second = write(&mut writer, 71, &entries[1..]);
        let mut names = JournalNames::new();
        names.read(&first).unwrap();
        let before = names.clone();
        let (mut flipped, mut cut) = (second.clone(), second.clone());
        flipped.bytes[place.index(second.bytes.len())] ^= 1_u8 << bit;
        cut.bytes.truncate(place.index(second.bytes.len()));
        prop_assert!(names.read(&flipped).is_err() && names.read(&cut).is_err());
        prop_assert_eq!(names.names(), before.names());
        let new = names.read(&second).map(|reader| reader.names().len()).unwrap();
        let again = names.read(&second).map(|_| ());
        prop_assert!(again.is_err() || new == before.names().len(), "{:?}", again);
        let other = write(&mut JournalWriter::new(), 30, &entries[..1]);
        names.read(&other).unwrap();
        prop_assert_eq!(
            names.read(&second).map(|_| ()).unwrap_err(),
            JournalError::Continues { dictionary: 70, names: before.names().len() }
        );
    }

    #[test]
    fn a_piece_with_a_flipped_bit_or_cut_short_is_refused(
        entries in prop::collection::vec(entry(), 1..30), place in any::<prop::sample::Index>(), bit in 0_u32..8,
    ) {
        let piece = write(&mut JournalWriter::new(), 77, &entries);
        let at = place.index(piece.bytes.len());
        let mut flipped = piece.clone();
        flipped.bytes[at] ^= 1_u8 << bit;
        prop_assert!(JournalReader::new(&flipped).is_err());
        let mut cut = piece.clone();
        cut.bytes.truncate(at);
        prop_assert!(JournalReader::new(&cut).is_err());
        let mut longer = piece;
        longer.bytes.push(0);
        prop_assert!(JournalReader::new(&longer).is_err());
    }

    /// The sum is set right again, so that the checks behind it are met.
    #[test]
    fn a_piece_that_somebody_made_up_is_refused_or_read_whole(
        entries in prop::collection::vec(entry(), 1..30),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let JournalPiece { mut bytes, .. } = write(&mut JournalWriter::new(), 77, &entries);
        let body = bytes.len() - SUM;
        for (place, value) in changes {
            let at = place.index(body);
            bytes[at] = value;
        }
        let sum = checksum(&bytes[..body]);
        bytes[body..].copy_from_slice(&sum.to_le_bytes());
        if let Ok(reader) = JournalReader::of_bytes(&bytes) {
            prop_assert_eq!(reader.entries().count(), reader.len());
        }
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(JournalReader::of_bytes(&bytes).is_err());
    }
}

#[test]
fn a_piece_belongs_to_its_offset() {
    let piece = write(&mut JournalWriter::new(), 5, &[(2, 0, Written::Number(1.0))]);
    let moved = JournalPiece { first_offset: 6, ..piece };
    let other = JournalError::Other { first_offset: 5, entries: 1 };
    assert_eq!(JournalReader::new(&moved).unwrap_err(), other);
}

#[test]
fn a_later_form_is_refused_by_its_number() {
    let mut piece = write(&mut JournalWriter::new(), 5, &[(2, 0, Written::Number(1.0))]);
    piece.bytes[0] = 3;
    let error = JournalReader::new(&piece).unwrap_err().to_string();
    assert_eq!(error, "journal state has unknown version 3");
}

#[test]
fn a_value_outside_its_kind_does_not_come_out_of_the_journal() {
    let piece = write(&mut JournalWriter::new(), 5, &[(2, 0, Written::Number(-1.0))]);
    let error = JournalReader::new(&piece).unwrap_err().to_string();
    assert_eq!(error, "field `value` of the state is out of range");
}

#[test]
fn a_full_piece_says_so_and_loses_nothing() {
    let mut writer = JournalWriter::new();
    let token = SeriesToken(0, 0);
    assert_eq!(writer.value(token, Timestamp::EPOCH, 1.0), Err(Unwritten::Unnamed));
    writer.name(token, &model_of(0), Some((&version_of(0), &MetricKind::LatencyMs))).unwrap();
    for _ in 0..JournalWriter::ROWS_MAX {
        writer.value(token, Timestamp::EPOCH, 1.0).unwrap();
    }
    assert_eq!(writer.value(token, Timestamp::EPOCH, 1.0), Err(Unwritten::Full));
    let piece = writer.finish(0).unwrap();
    assert_eq!((piece.entries as usize, piece.bytes.len()), (65_536, 32 + 23 + 65_536 * 20 + 8));
    assert_eq!(JournalReader::new(&piece).unwrap().len(), 65_536);
    assert_eq!((writer.entries(), writer.finish(9)), (0, None));
}

#[test]
fn a_dictionary_begins_afresh_when_its_names_are_few_beside_what_was_written_with_them() {
    let (mut writer, mut names) = (JournalWriter::new(), JournalNames::new());
    let mut begins = Vec::new();
    for piece in 0..300_u64 {
        let entries: Vec<_> = (0..1_000).map(|at| (at % 40 / 4 * 4, 5, Written::Number(1.0))).collect();
        let piece = write(&mut writer, piece * 1_000, &entries);
        let reader = names.read(&piece).unwrap();
        assert_eq!(reader.names().len(), 10);
        if reader.begins_dictionary() {
            begins.push(piece.first_offset);
        }
    }
    // 4 MiB of 20 bytes each, and 48 a piece.
    assert_eq!(begins, [0, 210_000]);
}

#[test]
fn names_without_an_entry_are_in_no_piece_and_in_no_dictionary() {
    let mut writer = JournalWriter::new();
    let token = SeriesToken(3, 3);
    writer.name(token, &model_of(1), None).unwrap();
    assert_eq!(writer.finish(0), None);
    assert_eq!(writer.tick(token, Timestamp::EPOCH), Err(Unwritten::Unnamed));
    writer.name(token, &model_of(1), None).unwrap();
    writer.tick(token, Timestamp::EPOCH).unwrap();
    writer.finish(0).unwrap();
    assert_eq!(writer.dictionary_begun(), Some(0));
    writer.tick(token, Timestamp::EPOCH).unwrap();
    writer.abandon();
    assert_eq!((writer.dictionary_begun(), writer.entries()), (None, 0));
    assert_eq!(writer.tick(token, Timestamp::EPOCH), Err(Unwritten::Unnamed));
}

#[test]
fn vectors_fill_a_piece_by_their_bytes() {
    let mut writer = JournalWriter::new();
    let token = SeriesToken(0, 0);
    writer.name(token, &model_of(0), Some((&version_of(0), &kind_of(3)))).unwrap();
    assert_eq!(writer.vector(token, Timestamp::EPOCH, &[]), Err(Unwritten::Vector(0)));
    let vector = [0.5; 4_096];
    while writer.vector(token, Timestamp::EPOCH, &vector).is_ok() {}
    assert_eq!(writer.vector(token, Timestamp::EPOCH, &vector), Err(Unwritten::Full));
    let piece = writer.finish(0).unwrap();
    assert!((63 << 20..=64 << 20).contains(&piece.bytes.len()), "{}", piece.bytes.len());
    assert_eq!(JournalReader::new(&piece).unwrap().len(), piece.entries as usize);
}
