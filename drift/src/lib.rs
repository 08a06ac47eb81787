//! Streaming change detectors: numbers in, [`Signal`]s out.
//!
//! Everything here is a fold over `f64`: no clock, no randomness, no I/O, no threads, and state of a
//! bounded size. A detector's [`Detector::update`] never fails and never panics.
//!
//! The map: [`Signal`] is what a detector says, [`Detector`] is how it is asked, [`codec`] is how its
//! state is written down, [`AnyDetector`] holds whichever was chosen.
//!
//! | | | |
//! |---|---|---|
//! | detectors | with a bound on false alarms | [`MixtureESr`] (its bets: [`Mixture`]) |
//! | | well known | [`Adwin`], [`PageHinkley`] |
//! | | robust | [`MedianShift`] |
//! | | of a distribution | [`DistributionShift`], [`HistogramDrift`] with a given reference |
//! | | of vectors | [`OnlineMmd`], [`CentroidShift`] |
//! | estimators | of the level | [`Ewma`], [`QuantileSketch`], [`WindowedQuantiles`] |
//! | summaries | of values | [`Histogram`], [`CategoryCounts`], [`Reservoir`] |
//! | comparison | of two samples | [`distance`], on top of [`special`] |
//! | preparation | of unknown scales | [`Standardizer`] |
//!
//! # Features
//!
//! `std` (default) uses the platform's square root, logarithm and exponential; without it the crate is
//! `no_std` + `alloc` and brings its own. `serde` derives `Serialize` and `Deserialize` for parameters and
//! signals; parameters read that way are checked by the constructors.
#![cfg_attr(not(any(test, feature = "std")), no_std)]

extern crate alloc;

mod adwin;
mod any;
mod bucket;
pub mod codec;
mod compat;
mod detector;
pub mod distance;
mod distribution_shift;
mod embedding;
mod ewma;
mod histogram;
mod histogram_drift;
mod math;
mod median_shift;
mod mixture;
mod mixture_e_sr;
mod mixture_grid;
mod mode;
mod page_hinkley;
mod param;
mod parameters;
mod quantile_sketch;
mod reservoir;
mod signal;
mod sorted;
pub mod special;
mod splitmix;
mod standardizer;
mod state;
mod windowed_quantiles;

pub use adwin::{Adwin, AdwinParams};
pub use any::{AnyDetector, AnyParams, CloneDetector, Input, Tier};
pub use compat::Compat;
pub use detector::Detector;
pub use distribution_shift::{DistributionShift, DistributionShiftParams};
pub use embedding::VectorError;
pub use embedding::{
    CentroidMetric, CentroidShift, CentroidShiftParams, MmdBound, OnlineMmd, OnlineMmdParams,
};
pub use ewma::Ewma;
pub use histogram::{CategoryCounts, Histogram};
pub use histogram_drift::HistogramDrift;
pub use median_shift::{MedianShift, MedianShiftParams};
pub use mixture::{Family, Mixture, MixtureParams, Recursion};
pub use mixture_e_sr::MixtureESr;
pub use mode::Mode;
pub use page_hinkley::{PageHinkley, PageHinkleyParams};
pub use param::ParamError;
pub use parameters::{Parameter, Parameters, Setting, SettingError, Shape};
pub use quantile_sketch::{QuantileSketch, QuantileSketchParams};
pub use reservoir::Reservoir;
pub use signal::{Direction, Level, Signal};
pub use standardizer::{Standardizer, StandardizerParams};
pub use windowed_quantiles::WindowedQuantiles;

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
