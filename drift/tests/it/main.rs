//! All integration tests, linked once.
// The functions that the tests share fail as tests do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod cusum;
mod focus;
#[cfg(feature = "serde")]
mod form;
mod golden;
mod latency;
mod never;
mod oracle;
