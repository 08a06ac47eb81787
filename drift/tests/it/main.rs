//! All integration tests, linked once.
// The functions that the tests share fail as tests do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

#[cfg(feature = "serde")]
mod form;
mod golden;
mod guarantee;
mod latency;
mod never;
mod oracle;
