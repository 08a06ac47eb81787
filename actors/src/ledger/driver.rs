//! Calls the ledger: on a thread of its own, or as a task of the arbiter that everything else runs on.

use actix::ArbiterHandle;

use crate::census::Presence;
use crate::hook::guard;
use crate::ledger::{Ledger, Next};

/// Runs a ledger on a thread.
pub(crate) fn on_thread(ledger: Ledger, presence: Presence) -> Result<(), std::io::Error> {
    let run = move || {
        let _presence = presence;
        let mut ledger = ledger;
        let inbox = ledger.inbox();
        loop {
            match turn(&mut ledger) {
                Next::Now => {}
                Next::Within(span) => inbox.wait(Some(span)),
                Next::Over => return,
            }
        }
    };
    std::thread::Builder::new().name("ledger".into()).spawn(run).map(drop)
}

/// Runs a ledger among the actors of an arbiter. Commits hold that up.
pub(crate) fn on_arbiter(mut ledger: Ledger, presence: Presence, arbiter: &ArbiterHandle) {
    let inbox = ledger.inbox();
    arbiter.spawn(async move {
        let _presence = presence;
        loop {
            match turn(&mut ledger) {
                Next::Now => tokio::task::yield_now().await,
                Next::Within(span) => inbox.waited(Some(span)).await,
                Next::Over => return,
            }
        }
    });
}

fn turn(ledger: &mut Ledger) -> Next {
    guard(|| ledger.turn()).unwrap_or_else(|reason| {
        tracing::error!(reason, "the ledger panicked and takes nothing more");
        ledger.stop(&reason);
        Next::Over
    })
}
