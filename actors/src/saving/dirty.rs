//! Which models of a shard are dirty, and since which entry: the oldest first.

use std::collections::VecDeque;

use crate::timers::Tenant;

/// Marks that are left over before they are looked for.
const SLACK: usize = 1_024;

/// A model whose last snapshot does not hold all that it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The first entry that it does not hold.
    pub(super) offset: u64,
    pub(super) tenant: Tenant,
    /// The second at which that came.
    pub(super) second: u32,
}

/// The dirty models of a shard. Marks nearly always come in the order of their offsets, so that they are a queue; those
/// that were taken away stay in it until they come to its front, or are more than the others.
#[derive(Default)]
pub(super) struct Dirty {
    /// By rising offset. The first is never left over.
    queue: VecDeque<Mark>,
    /// By place: the offset and generation that it is marked with.
    since: Vec<Option<(u64, u32)>>,
    live: usize,
}

impl Dirty {
    /// Marks a model, unless it is marked.
    pub(super) fn mark(&mut self, tenant: Tenant, offset: u64, second: u32) {
        let place = tenant.0 as usize;
        if self.since.len() <= place {
            self.since.resize(place + 1, None);
        }
        let Some(slot @ None) = self.since.get_mut(place) else { return };
        *slot = Some((offset, tenant.1));
        self.live += 1;
        let mark = Mark { offset, tenant, second };
        if self.queue.back().is_none_or(|last| last.offset <= offset) {
            self.queue.push_back(mark);
        } else {
            let at = self.queue.partition_point(|other| other.offset <= offset);
            self.queue.insert(at, mark);
        }
    }

    /// Whether the model of a place is marked.
    pub(super) fn has(&self, place: usize) -> bool {
        self.since.get(place).is_some_and(Option::is_some)
    }

    /// The offset that a model is marked with.
    pub(super) fn since(&self, (place, generation): Tenant) -> Option<u64> {
        let (offset, of) = (*self.since.get(place as usize)?)?;
        (of == generation).then_some(offset)
    }

    /// Takes a place's mark away; answers its offset.
    pub(super) fn unmark(&mut self, place: usize) -> Option<u64> {
        let (offset, _) = self.since.get_mut(place)?.take()?;
        self.live -= 1;
        while self.queue.front().is_some_and(|mark| !is_live(&self.since, mark)) {
            self.queue.pop_front();
        }
        if self.queue.len() > 2 * self.live + SLACK {
            let Self { queue, since, .. } = self;
            queue.retain(|mark| is_live(since, mark));
        }
        Some(offset)
    }

    /// How many models are marked.
    pub(super) const fn len(&self) -> usize {
        self.live
    }

    /// The lowest offset of all marks.
    pub(super) fn first_offset(&self) -> Option<u64> {
        self.queue.front().map(|mark| mark.offset)
    }

    /// All marks, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Mark> + '_ {
        self.queue.iter().filter(|mark| is_live(&self.since, mark)).copied()
    }
}

/// Whether it is the mark that its place has now.
fn is_live(since: &[Option<(u64, u32)>], mark: &Mark) -> bool {
    since.get(mark.tenant.0 as usize) == Some(&Some((mark.offset, mark.tenant.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offsets(dirty: &Dirty) -> Vec<u64> {
        dirty.iter().map(|mark| mark.offset).collect()
    }

    #[test]
    fn marks_are_in_the_order_of_their_offsets_and_a_place_has_one() {
        let mut dirty = Dirty::default();
        for (place, offset) in [(4, 10), (2, 12), (4, 13), (7, 11)] {
            dirty.mark((place, 0), offset, 1);
        }
        assert_eq!((offsets(&dirty), dirty.len(), dirty.first_offset()), (vec![10, 11, 12], 3, Some(10)));
        assert_eq!((dirty.unmark(4), dirty.unmark(4), dirty.unmark(9)), (Some(10), None, None));
        assert_eq!((dirty.has(4), dirty.has(2), dirty.first_offset()), (false, true, Some(11)));
        dirty.mark((4, 1), 9, 1);
        assert_eq!(offsets(&dirty), [9, 11, 12]);
    }

    #[test]
    fn what_is_saved_again_and_again_behind_an_old_mark_does_not_pile_up() {
        let mut dirty = Dirty::default();
        dirty.mark((0, 0), 0, 0);
        for offset in 1..100_000 {
            dirty.mark((1, 0), offset, 0);
            assert_eq!(dirty.unmark(1), Some(offset));
        }
        assert!(dirty.queue.len() <= SLACK + 2, "{}", dirty.queue.len());
        assert_eq!((offsets(&dirty), dirty.len()), (vec![0], 1));
    }
}
