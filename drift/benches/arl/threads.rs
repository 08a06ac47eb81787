//! Independent measurements on a few threads, in their order whichever ends first.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Answers for each of `jobs`; each answer depends on its job alone.
pub(crate) fn each<J: Sync, A: Send>(jobs: &[J], threads: usize, answer: impl Fn(&J) -> A + Sync) -> Vec<A> {
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(jobs.iter().map(|_| None).collect::<Vec<Option<A>>>());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some((at, job)) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    jobs.get(at).map(|job| (at, job))
                } {
                    let answer = answer(job);
                    answers.lock().unwrap()[at] = Some(answer);
                }
            });
        }
    });
    answers.into_inner().unwrap().into_iter().map(Option::unwrap).collect()
}
