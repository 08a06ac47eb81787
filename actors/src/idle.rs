//! Who is put to sleep, and when: models that have been idle for long, and those that are too many to be awake together.
//!
//! Both go by one queue, in the order in which models are to be looked at. Whoever was not touched since it was queued
//! sleeps first; of those that all were, who has been in the queue for longest.

use std::rc::Rc;
use std::time::Duration;

use crate::cell::{ModelCell, ModelPhase};
use crate::routed::Address;
use crate::shard_state::Shard;
use crate::slab::Head;
use crate::tally::bump;
use crate::timers::Tenant;

/// Places whose models are looked at once a tick, whether anybody holds them.
const SWEPT: usize = 8_192;
/// Models that are put to sleep together because they are too many.
const TOGETHER: usize = 8_192;
/// A model that is due so soon is not put to sleep.
const SOON: Duration = Duration::from_secs(2);
/// Models that are looked at for each that is put to sleep.
const LOOKS: usize = 2;

impl Shard {
    /// Looks for models that have been idle for long enough; each awake model is looked at once a span.
    pub(crate) fn sleep_idle(self: &Rc<Self>) {
        let looks = !self.is_repeating() && !self.is_fenced();
        let Some(span) = self.settings.idle_after.filter(|_| looks) else { return };
        let span = u32::try_from(span.as_secs()).unwrap_or(u32::MAX).max(1);
        let now = (self.watch.micros() / 1_000_000) as u32;
        loop {
            let first = self.timers.borrow().idle.front().copied();
            let Some((look, tenant)) = first.filter(|(look, _)| *look <= now) else { return };
            self.timers.borrow_mut().idle.pop_front();
            let Some(cell) = self.awake_at(tenant) else { continue };
            let until = cell.head(Head::touched).saturating_add(span);
            if until <= now {
                self.passivate(&cell);
            }
            if cell.phase() != ModelPhase::Asleep {
                let again = if until > look { until } else { now.saturating_add(span) };
                self.timers.borrow_mut().idle.push_back((again, tenant));
            }
        }
    }

    /// Puts a model that was woken on the list of those that are looked at for idleness.
    pub(crate) fn follow_idleness(&self, cell: &ModelCell) {
        if self.settings.idle_after.is_none() && self.settings.awake_max.is_none() {
            return;
        }
        let look = self.look_at(cell);
        let tenant = (cell.entry.address.place() as u32, cell.generation);
        self.forget_gone();
        self.timers.borrow_mut().idle.push_back((look, tenant));
    }

    /// Takes those off the list that are gone, once they may be the most of it.
    fn forget_gone(&self) {
        let mut timers = self.timers.borrow_mut();
        if timers.idle.len() < 2 * self.tally.awake.get() + TOGETHER {
            return;
        }
        let mut seen = std::collections::BTreeSet::new();
        timers.idle.retain(|(_, tenant)| seen.insert(*tenant) && self.awake_at(*tenant).is_some());
    }

    /// Puts models to sleep if more are awake than are to be; with a store once they are saved.
    pub(crate) fn sleep_surplus(self: &Rc<Self>) {
        let Some(max) = self.settings.awake_max else { return };
        let awake = self.tally.awake.get().saturating_sub(self.tally.dozing.get());
        let surplus = awake.saturating_sub(max);
        if surplus == 0 || self.over.get() {
            return;
        }
        let going = self.saving.as_ref().map_or(0, crate::saving::Saving::sleepy);
        let wanted = surplus.saturating_sub(going).min(TOGETHER);
        let now = (self.watch.micros() / 1_000_000) as u32;
        let (mut chosen, mut touched) = (Vec::new(), Vec::new());
        for _ in 0..LOOKS * wanted {
            if chosen.len() >= wanted {
                break;
            }
            let first = self.timers.borrow_mut().idle.pop_front();
            let Some((look, tenant)) = first else { break };
            let Some(cell) = self.awake_at(tenant) else { continue };
            if cell.head(Head::touched) < now && self.may_sleep(&cell) {
                chosen.push((look, tenant, cell));
            } else {
                touched.push((look, tenant, cell));
            }
        }
        let short = wanted - chosen.len();
        chosen.extend(touched.extract_if(.., |(.., cell)| self.may_sleep(cell)).take(short));
        for (look, tenant, cell) in chosen {
            self.passivate(&cell);
            // It stays awake if something comes for it before it is saved.
            touched.push((look, tenant, cell));
        }
        let mut timers = self.timers.borrow_mut();
        for (look, tenant, cell) in touched {
            if cell.phase() != ModelPhase::Asleep {
                timers.idle.push_back((look.max(self.look_at(&cell)), tenant));
            }
        }
    }

    /// Whether a model runs and, with a store, is not due so soon that it would have to be woken at once.
    pub(crate) fn may_sleep(&self, cell: &ModelCell) -> bool {
        if cell.phase() != ModelPhase::Running || self.saving.is_none() {
            return cell.phase() == ModelPhase::Running;
        }
        let due = cell.with_monitor(|monitor| monitor.and_then(|monitor| monitor.next_deadline()));
        due.is_none_or(|due| due > self.board.clock.now().plus(SOON))
    }

    /// When a model is to be looked at, in seconds of the shard's stopwatch.
    fn look_at(&self, cell: &ModelCell) -> u32 {
        let span = self
            .settings
            .idle_after
            .map_or(0, |span| u32::try_from(span.as_secs()).unwrap_or(u32::MAX).max(1));
        cell.head(Head::touched).saturating_add(span)
    }

    /// Notes that a model has gone to sleep; its actor may live a little longer.
    pub(crate) fn doze(&self, cell: &Rc<ModelCell>) {
        self.enter(cell, ModelPhase::Asleep);
        bump(&self.tally.passivated);
        self.tally.dozing.set(self.tally.dozing.get() + 1);
    }

    /// With a store: takes names out of memory that nobody needs there any more, a bounded number a call.
    pub(crate) fn sweep(&self) {
        let Some(saving) = &self.saving else { return };
        if !self.is_repeating() && !self.over.get() && !self.is_fenced() {
            let handled = saving.position.get();
            let next = self.board.directory.sweep(self.index, self.swept.get(), SWEPT, handled);
            self.swept.set(next);
        }
    }

    /// Who lives at a place and is not asleep.
    pub(crate) fn awake_at(&self, (place, generation): Tenant) -> Option<Rc<ModelCell>> {
        let cell = self.cell_of(Address::new(self.index as u8, place), generation);
        cell.filter(|cell| cell.phase() != ModelPhase::Asleep)
    }
}
