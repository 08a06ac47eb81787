//! Events that come without names keep their models at their places while they are on their way to them.
//!
//! A model in memory costs a publisher of such events nothing but a mark at its place: the number of the last *passage*
//! that has an event for it. As long as a passage with that number is under way nobody else gets the place; who is retired
//! meanwhile is kept aside, so that it is known whose the event was.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::{Mutex, MutexGuard};

use super::{Directory, ModelEntry, PlacesHeld};
use crate::routed::Routed;

/// What is under way. Taken behind the places' locks, never before.
#[derive(Default)]
pub(super) struct Passages(Mutex<Way>);

#[derive(Default)]
struct Way {
    /// The number of the last one.
    last: u64,
    /// Numbers of those under way.
    live: BTreeSet<u64>,
    /// Models that lost their places, each with the last passage that has an event for it.
    departed: Vec<(u64, Arc<ModelEntry>)>,
}

impl Passages {
    /// Whether a passage of this number or before it is under way.
    pub(super) fn is_needed(&self, number: u64) -> bool {
        number > 0 && self.0.lock().live.first().is_some_and(|first| *first <= number)
    }

    /// Keeps who has lost its place while events for it are under way.
    pub(super) fn keep(&self, number: u64, entry: Arc<ModelEntry>) {
        let mut way = self.0.lock();
        if way.live.first().is_some_and(|first| *first <= number) {
            way.departed.push((number, entry));
        }
    }
}

/// Marks the models of one passage. The places are held meanwhile.
pub(crate) struct Boarding<'a> {
    places: PlacesHeld<'a>,
    way: MutexGuard<'a, Way>,
    unlistings: u64,
    of: &'a Arc<Passages>,
}

impl Boarding<'_> {
    /// Has an event's model keep its place; false when that is not there any more.
    #[inline]
    pub(crate) fn take(&self, event: &Routed) -> bool {
        let Some(place) = self.places.takes(event.address, event.generation) else { return false };
        // In order, since one boards at a time.
        place.passage.store(self.way.last + 1, Ordering::Relaxed);
        true
    }

    /// The passage of those that were taken.
    pub(crate) fn depart(mut self) -> Passage {
        self.way.last += 1;
        let number = self.way.last;
        self.way.live.insert(number);
        Passage { number, unlistings: self.unlistings, of: Arc::clone(self.of) }
    }
}

/// Events under way: until this is dropped, which is when they are handled, their models keep their places.
pub(crate) struct Passage {
    number: u64,
    /// How often, before it began, events of a place ceased to be taken.
    unlistings: u64,
    of: Arc<Passages>,
}

impl Drop for Passage {
    fn drop(&mut self) {
        let mut way = self.of.0.lock();
        let Way { live, departed, .. } = &mut *way;
        live.remove(&self.number);
        if departed.is_empty() {
            return;
        }
        let first = live.first().copied().unwrap_or(u64::MAX);
        let arrived: Vec<_> = departed.extract_if(.., |(number, _)| *number < first).collect();
        drop(way);
        drop(arrived);
    }
}

/// What keeps the models of events at their places: references until the events are journaled, a passage until they are
/// handled. Empty without a store.
#[derive(Default)]
pub(crate) struct Pins {
    entries: Vec<Arc<ModelEntry>>,
    passage: Option<Passage>,
}

impl Pins {
    /// Keeps a model at its place.
    pub(crate) fn add(&mut self, entry: &Arc<ModelEntry>) {
        if self.entries.last().is_none_or(|last| !Arc::ptr_eq(last, entry)) {
            self.entries.push(Arc::clone(entry));
        }
    }

    /// What is to be kept until the events are handled.
    pub(crate) fn take_passage(&mut self) -> Option<Passage> {
        self.passage.take()
    }

    /// One of them that has lost its place because it was retired.
    pub(crate) fn departed(&self, token: u64) -> Option<Arc<ModelEntry>> {
        let here = self.entries.iter().find(|entry| entry.token() == token);
        here.cloned().or_else(|| {
            let way = self.passage.as_ref()?.of.0.lock();
            let found = way.departed.iter().find(|(_, entry)| entry.token() == token);
            found.map(|(_, entry)| Arc::clone(entry))
        })
    }
}

impl From<Passage> for Pins {
    fn from(passage: Passage) -> Self {
        Self { entries: Vec::new(), passage: Some(passage) }
    }
}

impl Directory {
    /// Begins a passage. Nothing else of the directory may be asked while models board.
    pub(crate) fn board(&self) -> Boarding<'_> {
        let places = self.hold_places();
        let unlistings = self.unlistings.load(Ordering::Acquire);
        Boarding { places, way: self.passages.0.lock(), unlistings, of: &self.passages }
    }

    /// Whether events are all still of those whom they were taken for.
    pub(crate) fn holds(&self, pins: &Pins) -> bool {
        let now = self.unlistings.load(Ordering::Acquire);
        pins.passage.as_ref().is_some_and(|passage| passage.unlistings == now)
    }
}

#[cfg(test)]
mod tests {
    use visu_tility_core::{MetricKind, ModelId, SeriesKey, Timestamp, Version};

    use super::*;
    use crate::admission::{AdmissionPolicy, Gate, Standing};

    fn directory() -> Directory {
        Directory::new(1, Gate::new(AdmissionPolicy::Open, 10, 0, None), 4, 0)
    }

    fn event(entry: &ModelEntry) -> Routed {
        Routed {
            address: entry.address,
            generation: entry.generation,
            key: SeriesKey::of(&Version::unversioned(), &MetricKind::Accuracy),
            at: Timestamp::EPOCH,
            value: 0.5,
        }
    }

    fn boarded(directory: &Directory, events: &[Routed]) -> Option<Passage> {
        let boarding = directory.board();
        events.iter().all(|event| boarding.take(event)).then(|| boarding.depart())
    }

    #[test]
    fn a_model_keeps_its_place_until_the_last_passage_with_an_event_for_it_has_arrived() {
        let directory = directory();
        let id = ModelId::new("a").unwrap();
        let first = directory.insert_again(&id, Standing::Stored).unwrap();
        let routed = event(&first);
        let one = boarded(&directory, &[routed]).unwrap();
        let two = boarded(&directory, &[routed]).unwrap();
        drop(one);
        directory.evict(&first, u64::MAX);
        assert!(directory.with("a", |_| ()).is_some(), "its event is under way");
        drop(two);
        // Of others only.
        let other = directory.insert_again(&ModelId::new("b").unwrap(), Standing::Stored).unwrap();
        let later = boarded(&directory, &[event(&other)]).unwrap();
        directory.evict(&first, u64::MAX);
        assert!(directory.with("a", |_| ()).is_none());
        assert!(boarded(&directory, &[routed]).is_none(), "nobody lives there");
        drop(later);
    }

    #[test]
    fn who_is_retired_is_known_by_its_place_while_an_event_for_it_is_under_way() {
        let directory = directory();
        let entry = directory.insert_again(&ModelId::new("a").unwrap(), Standing::Stored).unwrap();
        let pins = Pins::from(boarded(&directory, &[event(&entry)]).unwrap());
        let later = boarded(&directory, &[]).unwrap();
        directory.remove(&entry);
        let next = directory.insert_again(&ModelId::new("b").unwrap(), Standing::Stored).unwrap();
        assert_eq!((next.address, boarded(&directory, &[event(&entry)]).is_none()), (entry.address, true));
        assert_eq!(pins.departed(entry.token()).map(|found| found.id.clone()), Some(entry.id.clone()));
        assert!(pins.departed(next.token()).is_none());
        drop(pins);
        assert!(directory.passages.0.lock().departed.is_empty(), "nothing is kept for those that come later");
        drop(later);
    }
}
