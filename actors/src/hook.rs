//! A panic hook that a storm of panics cannot turn into a denial of service, and what a panic said.
//!
//! The default hook costs about 40 µs per panic and prints each; ours is silent for panics that
//! supervision catches, but for the first few of each second, which are logged.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::wall_seconds;

/// Supervised panics logged per second.
const LOGGED_PER_SECOND: u64 = 5;

static INSTALLED: Once = Once::new();
static SUPPRESSED: AtomicU64 = AtomicU64::new(0);
/// The present second in the upper bits, the panics logged in it in the lowest 8.
static BUDGET: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether a panic on this thread is going to be caught by supervision.
    static SUPERVISED: Cell<bool> = const { Cell::new(false) };
}

/// Installs the hook, once per process. Panics outside supervision go to the hook that was there before.
pub fn install_panic_hook() {
    INSTALLED.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if !SUPERVISED.try_with(Cell::get).unwrap_or(false) {
                before(info);
            } else if within_budget() {
                log(info);
            } else {
                SUPPRESSED.fetch_add(1, Ordering::Relaxed);
            }
        }));
    });
}

/// Supervised panics that were counted instead of logged.
pub fn panics_suppressed() -> u64 {
    SUPPRESSED.load(Ordering::Relaxed)
}

fn log(info: &PanicHookInfo<'_>) {
    let at = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::warn!(reason = %text(info.payload()), at, "caught a panic under supervision");
}

/// Takes one of this second's log lines.
fn within_budget() -> bool {
    let second = wall_seconds();
    let taken = BUDGET.try_update(Ordering::Relaxed, Ordering::Relaxed, |budget| {
        if budget >> 8 == second {
            ((budget & 0xff) < LOGGED_PER_SECOND).then_some(budget + 1)
        } else {
            Some(second << 8 | 1)
        }
    });
    taken.is_ok()
}

/// Whether this thread is running something under supervision: it then belongs to an arbiter.
pub(crate) fn supervised() -> bool {
    SUPERVISED.try_with(Cell::get).unwrap_or(false)
}

/// Runs `work` and gives back what its panic said.
pub(crate) fn guard<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let before = SUPERVISED.try_with(|flag| flag.replace(true)).unwrap_or(false);
    let done = catch_unwind(AssertUnwindSafe(work));
    let _ = SUPERVISED.try_with(|flag| flag.set(before));
    done.map_err(|payload| {
        let said = text(&*payload);
        // What was thrown may itself panic when it is dropped.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
        said
    })
}

/// What a panic said, at most 512 bytes of it.
fn text(payload: &(dyn Any + Send)) -> String {
    let said = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text");
    let mut end = said.len().min(512);
    while !said.is_char_boundary(end) {
        end -= 1;
    }
    said.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_gives_back_what_was_said() {
        assert_eq!(guard(|| 7), Ok(7));
        assert_eq!(guard(|| panic!("told {}", 1)), Err::<(), _>("told 1".to_owned()));
        assert_eq!(guard(|| std::panic::panic_any(3_u8)), Err::<(), _>("a panic without text".to_owned()));
        assert_eq!(guard(|| panic!("{}", "é".repeat(400))).map_err(|e: String| e.len()), Err::<(), _>(512));
    }

    #[test]
    fn what_panics_when_dropped_is_survived() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("second");
            }
        }
        assert!(guard(|| std::panic::panic_any(Bomb)).is_err());
    }
}
