//! Waits for a future on a plain thread.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{Thread, current, park};

use crate::hook::supervised;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end on the present thread.
///
/// For the futures of [`MonitoringHandle`](crate::MonitoringHandle), which need no runtime, on threads that
/// have none. Never call it on an arbiter's thread: it would wait for itself.
///
/// # Panics
///
/// Panics inside an observer, a subscriber's function, an alert sink or a retrain executor, which run on an
/// arbiter's thread. Use `try_publish` there, or hand the future to `actix::spawn` or another thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    assert!(
        !supervised(),
        "block_on was called on an arbiter's thread, inside an observer, a subscriber's function, a sink or \
         an executor: it would wait for itself"
    );
    let waker = Waker::from(Arc::new(Unpark(current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => park(),
        }
    }
}
