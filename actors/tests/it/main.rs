//! The actors as an embedder sees them, on a paused clock and one arbiter, linked once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may stop

mod admission;
mod alert;
mod asleep;
mod clocks;
mod delivery;
mod drain;
mod durable;
mod durable_beside;
mod durable_failing;
mod durable_life;
mod durable_plans;
mod durable_random;
mod durable_recovery;
mod durable_saving;
mod durable_told;
mod lifecycle;
mod log;
mod many;
mod overload;
mod poison;
mod reload;
mod retired;
mod rows;
#[cfg(feature = "automated_retraining")]
mod scheduler;
mod shard_panic;
mod stuck;
mod stuck_recovery;
mod subscriber;
mod supervision;
mod system;
mod timer;
mod turnstile;
mod vector;
mod world;
