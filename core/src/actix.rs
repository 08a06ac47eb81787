//! Makes an event a message of the actix actor runtime.
//!
//! The orphan rule allows this only here; it is the one file of the crate that names a runtime.

use crate::event::MetricEvent;
use crate::ingest::{Accepted, IngestError};

impl actix::Message for MetricEvent {
    type Result = Result<Accepted, IngestError>;
}
