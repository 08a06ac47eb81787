//! Where a thread is within the user's observers, for whoever watches it from another thread.
//!
//! The user's code may block or loop for ever, and nobody can take a thread out of it. What can be done is to see it from
//! outside: who runs monitors stands on a [`Footprint`], monitors write there when they enter the user's code and when
//! they leave it, and a watchdog that finds the same number of calls after a long time knows who is stuck. Nothing that
//! monitors decide depends on it. The built-in checks always come back, and write nothing.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

thread_local! {
    /// Where the monitors of this thread write.
    static HERE: RefCell<Option<Arc<Footprint>>> = const { RefCell::new(None) };
}

/// What an observer is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    /// To take an event, or note that time has passed: `on_metric`, `on_tick`.
    Observe,
    /// To write its state: `write_state`.
    Write,
    /// To begin, by a clone or with the state that was kept of it: `clone`, `read_state`.
    Begin,
}

/// A thread's mark, which others may read at any time. Cost: three stores to enter the user's code, one to leave it.
#[derive(Debug, Default)]
pub struct Footprint {
    /// Odd while the thread is within the user's code.
    calls: AtomicU64,
    observer: AtomicU32,
    deed: AtomicU8,
    fenced: AtomicBool,
}

/// What a watchdog sees of a thread that is within the user's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Another number means another call.
    pub call: u64,
    /// The observer's place among those of its plan.
    pub observer: usize,
    /// What it was asked to do.
    pub deed: Deed,
}

impl Footprint {
    /// Has the monitors of this thread write here from now on.
    pub fn stand(self: &Arc<Self>) {
        let _ = HERE.try_with(|here| {
            let mut here = here.borrow_mut();
            if !here.as_ref().is_some_and(|on| Arc::ptr_eq(on, self)) {
                *here = Some(Arc::clone(self));
            }
        });
    }

    /// What the thread is doing in the user's code; `None` when it is not there.
    pub fn sighting(&self) -> Option<Sighting> {
        let call = self.calls.load(Ordering::Acquire);
        if call & 1 == 0 {
            return None;
        }
        let observer = self.observer.load(Ordering::Relaxed) as usize;
        let deed = match self.deed.load(Ordering::Relaxed) {
            0 => Deed::Observe,
            1 => Deed::Write,
            _ => Deed::Begin,
        };
        // One that has moved on meanwhile is not stuck.
        (self.calls.load(Ordering::Acquire) == call).then_some(Sighting { call, observer, deed })
    }

    /// Keeps the thread out of the user's code from now on: what its monitors do is thrown away.
    pub fn fence(&self) {
        self.fenced.store(true, Ordering::Release);
    }

    /// Whether it was fenced.
    pub fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Acquire)
    }

    fn enter(&self, observer: usize, deed: Deed) {
        // Only its own thread writes here. The place comes first, so that who sees the call sees its place.
        self.observer.store(observer as u32, Ordering::Release);
        self.deed.store(deed as u8, Ordering::Release);
        self.calls.store(self.calls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    fn leave(&self) {
        self.calls.store(self.calls.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }
}

/// Leaves also when the user's code panics.
struct Within(Option<Arc<Footprint>>);

impl Drop for Within {
    fn drop(&mut self) {
        if let Some(on) = &self.0 {
            on.leave();
        }
    }
}

/// Runs the user's code with a mark of where it is; not at all (`None`) on a thread that was fenced.
pub(crate) fn within<T>(observer: usize, deed: Deed, work: impl FnOnce() -> T) -> Option<T> {
    let on = HERE.try_with(|here| here.borrow().clone()).ok().flatten();
    if on.as_ref().is_some_and(|on| on.is_fenced()) {
        return None;
    }
    if let Some(on) = &on {
        on.enter(observer, deed);
    }
    let _within = Within(on);
    Some(work())
}

/// As [`within`], for what must give a value also on a thread that was fenced.
pub(crate) fn marked<T>(observer: usize, deed: Deed, work: impl FnOnce() -> T) -> T {
    let on = HERE.try_with(|here| here.borrow().clone()).ok().flatten();
    if let Some(on) = &on {
        on.enter(observer, deed);
    }
    let _within = Within(on);
    work()
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_call_is_seen_while_it_lasts_and_not_after_a_panic() {
        let print = Arc::new(Footprint::default());
        print.stand();
        let seen = within(3, Deed::Write, || print.sighting()).flatten().unwrap();
        assert_eq!((seen.observer, seen.deed, print.sighting()), (3, Deed::Write, None));
        let next = within(0, Deed::Observe, || print.sighting()).flatten().unwrap();
        assert_ne!(seen.call, next.call, "another call");
        let _ = catch_unwind(AssertUnwindSafe(|| within(1, Deed::Begin, || panic!("poison"))));
        assert_eq!(print.sighting(), None);
    }

    #[test]
    fn a_fenced_thread_runs_no_more_of_the_users_code() {
        let print = Arc::new(Footprint::default());
        print.stand();
        print.fence();
        assert_eq!(within(0, Deed::Observe, || 7), None);
        assert_eq!(marked(0, Deed::Begin, || 7), 7);
        Arc::new(Footprint::default()).stand();
        assert_eq!(within(0, Deed::Observe, || 7), Some(7), "another footprint");
    }
}
