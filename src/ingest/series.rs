//! Gives every series of a run a small number, so that its name is checked once and not per event.

use std::hash::BuildHasher;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use visu_tility_core::{EventError, MetricKind, ModelId, Timestamp, ValueRange, Version};

use crate::ingest::line::{EventLine, LineError, parse_kind};

/// One series: what is measured of one version of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The model.
    pub model_id: ModelId,
    /// The version.
    pub version: Version,
    /// What is measured.
    pub kind: MetricKind,
    /// The number of the model, dense from 0 in the order of arrival.
    pub model: u32,
    /// The values it may take.
    range: ValueRange,
}

/// Interns series by the texts on the line.
///
/// The first event of a series has its names checked and kept; every further one costs a hash and a
/// comparison of its bytes. Holds at most `limit` series.
#[derive(Debug)]
pub struct SeriesTable {
    series: Vec<Series>,
    index: HashTable<Slot>,
    /// The texts of all keys, one behind the other.
    keys: Vec<u8>,
    models: std::collections::HashMap<ModelId, u32>,
    /// Series that two texts can name, by their checked names.
    twins: HashTable<u32>,
    hasher: DefaultHashBuilder,
    custom_kinds: bool,
    limit: usize,
}

/// Where a key stands, and which series it is.
#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    start: usize,
    lengths: [u32; 3],
    series: u32,
}

impl SeriesTable {
    /// Builds a table for at most `limit` series; with `custom_kinds` a kind that is not known is taken as
    /// one of the user's own.
    pub fn new(limit: usize, custom_kinds: bool) -> Self {
        let (series, keys) = (Vec::new(), Vec::new());
        Self {
            series,
            index: HashTable::new(),
            keys,
            models: std::collections::HashMap::new(),
            twins: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            custom_kinds,
            limit,
        }
    }

    /// Finds the number of the series of a line, checking its names when they are new.
    ///
    /// # Errors
    ///
    /// Fails when a name is not as allowed, or the table is full.
    pub fn intern(&mut self, line: &EventLine<'_>) -> Result<u32, LineError> {
        let parts = [&*line.model_id, line.version.as_deref().unwrap_or(""), &*line.kind].map(str::as_bytes);
        let hash = hash(parts);
        let keys = &self.keys;
        let same = |slot: &Slot| slot.hash == hash && slot.is(keys, parts);
        if let Some(slot) = self.index.find(hash, same) {
            return Ok(slot.series);
        }
        self.insert(line, parts, hash)
    }

    /// Checks time and value of a line against the rules of its series.
    ///
    /// # Errors
    ///
    /// Fails when the value is not in the kind's range or the time out of the bounds of all times.
    pub fn check(&self, series: u32, line: &EventLine<'_>) -> Result<(), LineError> {
        let in_range = |value| self.get(series).is_some_and(|known| known.range.contains(value));
        if line.value.is_none_or(in_range) && line.ts.is_none_or(Timestamp::in_bounds) {
            return Ok(());
        }
        // The event itself says it best.
        let refused = self.get(series).map(|known| {
            let Series { model_id, version, kind, .. } = known.clone();
            visu_tility_core::MetricEvent::from_parts(model_id, version, kind, line.ts, line.value)
        });
        match refused {
            Some(Err(error)) => Err(LineError::of_event(error, line.value)),
            _ => Ok(()),
        }
    }

    /// The series of a number.
    pub fn get(&self, series: u32) -> Option<&Series> {
        self.series.get(series as usize)
    }

    /// All series, in the order of arrival.
    pub fn all(&self) -> &[Series] {
        &self.series
    }

    /// How many models there are.
    pub fn models(&self) -> usize {
        self.models.len()
    }

    #[cold]
    fn insert(&mut self, line: &EventLine<'_>, parts: [&[u8]; 3], hash: u64) -> Result<u32, LineError> {
        let model_id = ModelId::new(&*line.model_id)?;
        let version = line.version.as_deref().map_or_else(|| Ok(Version::unversioned()), Version::new)?;
        let kind = self.kind(&line.kind)?;
        if self.series.len() >= self.limit {
            let allowed = format!("one of the first {} series of the run", self.limit);
            return Err(LineError::field("model_id", model_id.as_str(), allowed));
        }
        let next = self.models.len() as u32;
        let model = *self.models.entry(model_id.clone()).or_insert(next);
        let range = kind.range();
        let series = self.place(Series { model_id, version, kind, model, range });
        let slot =
            Slot { hash, start: self.keys.len(), lengths: parts.map(|part| part.len() as u32), series };
        for part in parts {
            self.keys.extend_from_slice(part);
        }
        if let Entry::Vacant(place) = self.index.entry(hash, |_| false, |slot| slot.hash) {
            place.insert(slot);
        }
        Ok(series)
    }

    /// The number of a series whose key is new. Two texts can name one series: a version left out and `-`, a
    /// custom kind with and without prefix.
    fn place(&mut self, fresh: Series) -> u32 {
        let next = self.series.len() as u32;
        if fresh.version == Version::unversioned() || self.custom_kinds {
            let (series, hasher) = (&self.series, &self.hasher);
            let names = |of: &Series| hasher.hash_one((of.model, &of.version, &of.kind));
            let at = |number: &u32| series.get(*number as usize);
            let same = |number: &u32| {
                #[cfg(test)]
                tests::COMPARED.with(|compared| compared.set(compared.get() + 1));
                at(number).is_some_and(|known| {
                    known.model == fresh.model && known.version == fresh.version && known.kind == fresh.kind
                })
            };
            match self.twins.entry(names(&fresh), same, |number| at(number).map_or(0, names)) {
                Entry::Occupied(twin) => return *twin.get(),
                Entry::Vacant(place) => _ = place.insert(next),
            }
        }
        self.series.push(fresh);
        next
    }

    fn kind(&self, text: &str) -> Result<MetricKind, EventError> {
        parse_kind(text).or_else(|error| match (self.custom_kinds, text.contains(':')) {
            (true, false) => MetricKind::custom(text),
            _ => Err(error),
        })
    }
}

impl Slot {
    /// Compares the key with the texts of a line.
    fn is(&self, keys: &[u8], parts: [&[u8]; 3]) -> bool {
        let mut at = self.start;
        self.lengths.iter().zip(parts).all(|(length, part)| {
            let from = at;
            at += *length as usize;
            part.len() == *length as usize && keys.get(from..at) == Some(part)
        })
    }
}

/// Mixes the bytes of the three texts, eight at a time, by folded multiplication (the step of wyhash and
/// foldhash). The file is the operator's own, so the hash is not keyed.
fn hash(parts: [&[u8]; 3]) -> u64 {
    const K: u64 = 0x9E37_79B9_7F4A_7C15;
    let fold = |a: u64, b: u64| {
        let wide = u128::from(a) * u128::from(b);
        (wide as u64) ^ ((wide >> 64) as u64)
    };
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    for part in parts {
        let (words, rest) = part.as_chunks::<8>();
        for word in words {
            state = fold(state ^ u64::from_le_bytes(*word), K);
        }
        let tail = rest.iter().fold(part.len() as u64, |tail, byte| (tail << 8) | u64::from(*byte));
        state = fold(state ^ tail, K ^ 0x5851_F42D_4C95_7F2D);
    }
    state
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::ingest::json::parse_json;

    thread_local! {
        /// How often the names of two series were compared in the table of twins.
        pub(super) static COMPARED: Cell<u64> = const { Cell::new(0) };
    }

    fn line(model: &str, version: &str, kind: &str) -> String {
        format!(r#"{{"model_id":"{model}","version":"{version}","kind":"{kind}","value":0.5}}"#)
    }

    #[test]
    fn the_same_texts_are_the_same_series() {
        let mut table = SeriesTable::new(1 << 20, false);
        for round in 0..2 {
            for i in 0..3_000_u32 {
                let text = line(&format!("m{}", i / 3), "1", ["F1", "Accuracy", "LatencyMs"][i as usize % 3]);
                assert_eq!(table.intern(&parse_json(text.as_bytes()).unwrap()), Ok(i), "round {round}");
            }
        }
        assert_eq!((table.all().len(), table.models()), (3_000, 1_000));
    }

    #[test]
    fn texts_that_only_join_alike_are_different() {
        let mut table = SeriesTable::new(16, false);
        let one = table.intern(&parse_json(line("ab", "c", "F1").as_bytes()).unwrap());
        let two = table.intern(&parse_json(line("a", "bc", "F1").as_bytes()).unwrap());
        assert_ne!(one, two);
    }

    #[test]
    fn two_ways_of_writing_no_version_are_one_series() {
        let mut table = SeriesTable::new(16, true);
        let bare = parse_json(br#"{"model_id":"m","kind":"Cpu","value":0.5}"#).unwrap();
        let text = line("m", "-", "Custom:Cpu");
        let full = parse_json(text.as_bytes()).unwrap();
        assert_eq!(table.intern(&bare), Ok(0));
        assert_eq!(table.intern(&full), Ok(0));
        assert_eq!(table.all().len(), 1);
    }

    #[test]
    fn many_series_without_a_version_are_not_each_compared_with_all_others() {
        let count = 200_000_u32;
        for custom_kinds in [false, true] {
            let mut table = SeriesTable::new(1 << 20, custom_kinds);
            COMPARED.set(0);
            for i in 0..count {
                let text = format!(r#"{{"model_id":"m{i}","kind":"F1","value":0.5}}"#);
                assert_eq!(table.intern(&parse_json(text.as_bytes()).unwrap()), Ok(i));
            }
            // A search through all of them took minutes: 20,000,000,000 comparisons.
            let compared = COMPARED.get();
            assert!(compared < u64::from(count), "{compared} comparisons for {count} series");
            let twin = format!("m{}", count / 2);
            assert_eq!(table.intern(&parse_json(line(&twin, "-", "F1").as_bytes()).unwrap()), Ok(count / 2));
        }
    }

    #[test]
    fn mistakes_are_those_of_the_event() {
        let mut table = SeriesTable::new(1, false);
        let said = |table: &mut SeriesTable, text: &str| {
            let line = parse_json(text.as_bytes()).unwrap();
            let error = table.intern(&line).and_then(|series| table.check(series, &line)).unwrap_err();
            assert_eq!(line.to_event().map(|_| ()).unwrap_err(), error);
            error.to_string()
        };
        assert!(said(&mut table, &line("a b", "1", "F1")).starts_with("field `model_id` is \"a b\""));
        assert!(said(&mut table, &line("m", "1", "Acuracy")).contains("nearest: Accuracy"));
        let high = r#"{"model_id":"m","kind":"F1","value":1.5}"#;
        assert_eq!(said(&mut table, high), "field `value` is 1.5, must be a number from 0 to 1 for F1");
        let late = r#"{"model_id":"m","kind":"F1","value":1,"ts":"2300-01-01T00:00:00Z"}"#;
        assert!(said(&mut table, late).starts_with("field `ts` is 2300"));
        let full = table.intern(&parse_json(line("other", "1", "F1").as_bytes()).unwrap());
        assert!(full.unwrap_err().to_string().contains("first 1 series"));
    }
}
