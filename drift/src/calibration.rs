//! Calibration: what a detector promises, measured; and which one a history of values asks for.
//!
//! - [`upper_share`], [`lower_share`], [`upper_mean`], [`lower_mean`], [`exceedance_bound`]: what a history
//!   says of the good level, with its error, because an estimate must never be used as if it were known
//!   (with the mean of 1,000 values plugged in, `FOCuS` needs a threshold of 239 for an average run length of
//!   a million, instead of 14.4).
//! - [`measure_arl`], [`predict_delay`]: false alarms and delay of any detector on streams of known law or
//!   on resampled history ([`crate::simulate`]), with their standard errors. Seeded: the same call gives
//!   the same answer.
//! - [`propose`]: a detector, its parameters and its preparation for a history.
//! - [`seasonality`]: whether a history has a season of the day or of the week, and which stage takes it off.

mod bound;
mod proposal;
mod run_length;
mod season;
mod special;

pub use bound::{Bound, exceedance_bound, lower_mean, lower_share, upper_mean, upper_share};
pub use proposal::{Proposal, Reason, Wish, propose};
pub use run_length::{Delay, RunLength, Trial, measure_arl, predict_delay};
pub use season::{Seasonality, seasonality};
