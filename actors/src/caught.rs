//! A foreign future whose panic is an answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::hook::guard;

/// Polls a boxed future and gives back what its panic said; never drops it while unwinding.
pub(crate) struct Caught<T>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T> Caught<T> {
    pub(crate) fn new(future: Pin<Box<dyn Future<Output = T> + Send>>) -> Self {
        Self(Some(future))
    }
}

impl<T> Future for Caught<T> {
    type Output = Result<T, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else { return Poll::Ready(Err("polled after its end".to_owned())) };
        let polled = guard(|| future.as_mut().poll(cx));
        let done = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(value)) => Ok(value),
            Err(reason) => Err(reason),
        };
        let future = self.0.take();
        let _ = guard(|| drop(future));
        Poll::Ready(done)
    }
}

impl<T> Drop for Caught<T> {
    fn drop(&mut self) {
        if let Some(future) = self.0.take() {
            let _ = guard(|| drop(future));
        }
    }
}
