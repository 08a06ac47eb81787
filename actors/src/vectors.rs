//! Where vectors wait while their events travel: an event is 32 bytes, a vector may be 16 KiB.
//!
//! The event carries a ticket in place of its number: a `NaN` that no arithmetic makes. Whoever ends the
//! event's way, at the model or in the dead letters, takes the vector out.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use visu_tility_core::IngestError;

use crate::routed::Routed;

/// The most vectors that may wait.
pub(crate) const VECTORS_MAX: usize = 16_384;

/// Marks a ticket: a quiet `NaN` with the bit below the quiet one set.
const MARK: u64 = 0x7ffc_0000_0000_0000;
const PLACE_BITS: u32 = 24;
const PART: u64 = (1 << PLACE_BITS) - 1;

/// Vectors on their way.
#[derive(Debug, Default)]
pub(crate) struct Vectors {
    slots: Mutex<Slots>,
    /// Told whenever a place becomes free.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Slots {
    /// How often the place was used, and what waits there.
    places: Vec<(u32, Option<Arc<[f32]>>)>,
    /// With a store, by place: the shard that it was sent to.
    sent: Vec<Option<u8>>,
    free: Vec<u32>,
}

impl Vectors {
    /// Keeps a vector and answers the ticket for it.
    ///
    /// # Errors
    ///
    /// Fails with [`IngestError::Full`] when as many wait as may.
    pub(crate) fn put(&self, vector: &Arc<[f32]>) -> Result<f64, IngestError> {
        self.put_below(VECTORS_MAX, vector)
    }

    /// As [`Vectors::put`], for one that comes out of a journal: it has as many places of its own, since those who
    /// publish while the journal is repeated hold theirs until that is done.
    ///
    /// # Errors
    ///
    /// As [`Vectors::put`].
    pub(crate) fn put_again(&self, vector: &Arc<[f32]>) -> Result<f64, IngestError> {
        self.put_below(2 * VECTORS_MAX, vector)
    }

    fn put_below(&self, max: usize, vector: &Arc<[f32]>) -> Result<f64, IngestError> {
        let mut slots = self.slots.lock();
        if slots.places.len() - slots.free.len() >= max {
            return Err(IngestError::Full { waiting: max, credits: max });
        }
        let place = if let Some(place) = slots.free.pop() {
            place
        } else {
            slots.places.push((0, None));
            (slots.places.len() - 1) as u32
        };
        if let Some(sent) = slots.sent.get_mut(place as usize) {
            *sent = None;
        }
        let Some(slot) = slots.places.get_mut(place as usize) else { return Ok(f64::NAN) };
        slot.0 = slot.0.wrapping_add(1);
        slot.1 = Some(Arc::clone(vector));
        Ok(f64::from_bits(MARK | (u64::from(slot.0) & PART) << PLACE_BITS | u64::from(place)))
    }

    /// Takes the vector of a ticket; `None` for a number, for a missing value, and when it is gone.
    #[inline]
    pub(crate) fn take(&self, value: f64) -> Option<Arc<[f32]>> {
        if is_ticket(value) { self.take_out(value.to_bits()) } else { None }
    }

    /// The vector of a ticket, which stays.
    pub(crate) fn peek(&self, value: f64) -> Option<Arc<[f32]>> {
        let (use_, place) = (value.to_bits() >> PLACE_BITS & PART, value.to_bits() & PART);
        let slots = self.slots.lock();
        let slot = slots.places.get(place as usize).filter(|slot| u64::from(slot.0) & PART == use_)?;
        slot.1.clone()
    }

    #[cold]
    fn take_out(&self, bits: u64) -> Option<Arc<[f32]>> {
        let (use_, place) = (bits >> PLACE_BITS & PART, bits & PART);
        let mut slots = self.slots.lock();
        let slot = slots.places.get_mut(place as usize)?;
        if u64::from(slot.0) & PART != use_ {
            return None;
        }
        let vector = slot.1.take()?;
        slots.free.push(place as u32);
        drop(slots);
        self.freed.notify_waiters();
        Some(vector)
    }

    /// Runs `route` until it finds room for its vector. Whoever calls this holds no ticket of an event that is not
    /// queued: two who did could wait for each other.
    pub(crate) async fn room<T>(
        &self,
        mut route: impl FnMut() -> Result<T, IngestError>,
    ) -> Result<T, IngestError> {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            // From here on no place becomes free unnoticed.
            freed.as_mut().enable();
            match route() {
                Err(IngestError::Full { .. }) => freed.await,
                done => return done,
            }
        }
    }

    /// Is true when events that are held for a model's restart may keep no more vectors: half of the places are for
    /// those on their way.
    pub(crate) fn is_half_full(&self) -> bool {
        self.waiting() >= VECTORS_MAX / 2
    }

    /// Takes note that events were sent to a shard.
    pub(crate) fn sent(&self, events: &[Routed], shard: usize) {
        if !events.iter().any(|event| is_ticket(event.value)) {
            return;
        }
        let mut slots = self.slots.lock();
        for event in events.iter().filter(|event| is_ticket(event.value)) {
            let place = (event.value.to_bits() & PART) as usize;
            if slots.sent.len() <= place {
                slots.sent.resize(place + 1, None);
            }
            if let Some(sent) = slots.sent.get_mut(place) {
                *sent = Some(shard as u8);
            }
        }
    }

    /// Lets go of what was sent to a shard that is taken over: its successor is sent it again.
    pub(crate) fn release(&self, shard: usize) {
        let mut slots = self.slots.lock();
        let Slots { places, free, sent } = &mut *slots;
        for (place, (slot, of)) in places.iter_mut().zip(sent).enumerate() {
            if *of == Some(shard as u8) && slot.1.take().is_some() {
                free.push(place as u32);
            }
        }
        self.freed.notify_waiters();
    }

    /// Vectors that wait.
    pub(crate) fn waiting(&self) -> usize {
        let slots = self.slots.lock();
        slots.places.len() - slots.free.len()
    }
}

/// Is true when a value stands for a vector.
#[inline]
pub(crate) fn is_ticket(value: f64) -> bool {
    value.is_nan() && value.to_bits() & MARK == MARK
}

/// Gives tickets back when their events are not queued after all, also when the publisher stops waiting.
#[must_use]
pub(crate) struct Unqueued<'a> {
    vectors: &'a Vectors,
    tickets: Vec<f64>,
}

impl<'a> Unqueued<'a> {
    /// Watches over those of the values that are tickets.
    pub(crate) fn new(vectors: &'a Vectors, values: impl Iterator<Item = f64>) -> Self {
        Self { vectors, tickets: values.filter(|value| is_ticket(*value)).collect() }
    }

    /// The events are queued: whoever ends their way takes the vectors.
    pub(crate) fn queued(mut self) {
        self.tickets.clear();
    }
}

impl Drop for Unqueued<'_> {
    fn drop(&mut self) {
        for ticket in self.tickets.drain(..) {
            self.vectors.take(ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_gives_its_vector_once() {
        let vectors = Vectors::default();
        let ticket = vectors.put(&[1.0, 2.0].into()).unwrap();
        assert!(is_ticket(ticket) && !is_ticket(f64::NAN) && !is_ticket(-f64::NAN) && !is_ticket(0.0));
        assert_eq!(vectors.take(f64::NAN), None);
        assert_eq!(vectors.take(ticket).as_deref(), Some(&[1.0, 2.0][..]));
        assert_eq!((vectors.take(ticket), vectors.waiting()), (None, 0));
        let other = vectors.put(&[3.0].into()).unwrap();
        assert_eq!(vectors.take(ticket), None, "the place is another's now");
        assert_eq!(vectors.take(other).as_deref(), Some(&[3.0][..]));
    }

    #[test]
    fn no_more_wait_than_may_and_what_is_not_queued_is_given_back() {
        let vectors = Vectors::default();
        let one: Arc<[f32]> = [0.5].into();
        let tickets: Vec<f64> = (0..VECTORS_MAX).map(|_| vectors.put(&one).unwrap()).collect();
        assert!(matches!(vectors.put(&one), Err(IngestError::Full { .. })));
        drop(Unqueued::new(&vectors, tickets.iter().copied()));
        assert_eq!(vectors.waiting(), 0);
        let ticket = vectors.put(&one).unwrap();
        Unqueued::new(&vectors, [ticket, 1.0, f64::NAN].into_iter()).queued();
        assert_eq!(vectors.waiting(), 1);
    }
}
