//! All integration tests, linked once.
// The functions that the tests share fail as tests do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod comparison;
mod distribution;
#[cfg(feature = "serde")]
mod form;
mod golden;
mod latency;
mod never;
mod null_law;
mod oracle;
mod vector;
