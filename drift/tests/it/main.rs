//! All integration tests, linked once.
// The functions that the tests share fail as tests do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod any_bytes;
mod bocpd;
mod calibration;
mod classic;
mod combination;
#[cfg(feature = "serde")]
mod form;
mod golden;
mod kolmogorov;
mod latency;
mod never;
mod novelty;
mod oracle;
mod page;
mod preparation;
