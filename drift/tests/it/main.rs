//! All integration tests, linked once.
// The functions that the tests share fail as tests do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod any_bytes;
mod bocpd;
mod calibration;
mod classic;
mod combination;
mod comparison;
mod cusum;
mod distribution;
mod early;
mod focus;
#[cfg(feature = "serde")]
mod form;
mod gap;
mod golden;
mod guarantee;
mod kolmogorov;
mod latency;
mod median_shift;
mod never;
mod novelty;
mod null_law;
mod oracle;
mod page;
mod preparation;
mod prepared;
mod run_length;
mod tail;
mod variants;
mod vector;
mod within_blocks;
