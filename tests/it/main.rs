//! Tests of the product as a whole, linked once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test may stop

#[cfg(feature = "cli")]
mod calibrate;
#[cfg(feature = "cli")]
mod calibrate_plan;
#[cfg(feature = "cli")]
mod calibrate_season;
mod combination;
#[cfg(all(unix, feature = "serve"))]
mod crash;
#[cfg(feature = "cli")]
mod documented;
mod event_bytes;
mod event_time;
mod facade;
#[cfg(all(unix, feature = "serve"))]
mod failure;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "cli")]
mod output;
#[cfg(feature = "cli")]
mod replay;
#[cfg(feature = "cli")]
mod replay_bad_input;
#[cfg(feature = "cli")]
mod replay_command;
#[cfg(feature = "cli")]
mod replay_over_budget;
mod replay_plan;
mod replay_report;
#[cfg(feature = "cli")]
mod replay_unseen;
#[cfg(feature = "cli")]
mod replay_usage;
#[cfg(all(unix, feature = "serve"))]
mod serve;
#[cfg(unix)]
mod service;
#[cfg(feature = "sqlite")]
mod store_monitoring;
#[cfg(all(unix, feature = "sqlite"))]
mod store_process;
