//! All integration tests, linked once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may stop

mod budget;
mod journal_bytes;
mod monitor_bytes;
mod plan;
mod plan_bytes;
