//! What became of requests, counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::HttpResponse;
use parking_lot::Mutex;
use serde::Serialize;

/// What became of the requests of a surface since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HttpCounts {
    /// Requests by the status that they were answered with.
    pub answers: BTreeMap<u16, u64>,
    /// Events that were taken.
    pub events_accepted: u64,
    /// Events of bodies that were looked at, and that were not taken.
    pub events_rejected: u64,
}

/// The counts, shared between all workers.
#[derive(Clone, Debug, Default)]
pub(super) struct Counter(Arc<Mutex<HttpCounts>>);

impl Counter {
    pub(super) fn counts(&self) -> HttpCounts {
        self.0.lock().clone()
    }

    pub(super) fn answered(&self, response: HttpResponse) -> HttpResponse {
        *self.0.lock().answers.entry(response.status().as_u16()).or_default() += 1;
        response
    }

    pub(super) fn events(&self, accepted: u64, rejected: u64) {
        let mut counts = self.0.lock();
        counts.events_accepted += accepted;
        counts.events_rejected += rejected;
    }
}
