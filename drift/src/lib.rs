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
//! | | well known | [`Adwin`], [`Bocpd`], [`Kswin`], [`PageHinkley`] |
//! | | of unknown metrics | [`Novelty`], with a clock [`CalendarNovelty`] |
//! | tests | of two samples | [`KolmogorovSmirnov`] |
//! | | of other systems | [`Ddm`], [`Eddm`], [`Rddm`], [`HddmA`], [`HddmW`], [`Fhddm`], [`Stepd`], [`Ecdd`], [`Gma`], [`Seed`] |
//! | | with a stated run length | [`Focus`], [`Cusum`] |
//! | detectors | with a bound on false alarms | [`MixtureESr`] (its bets: [`Mixture`]), [`Exceedance`], |
//! | | | [`ConfidenceSequence`], [`ConformalSr`] |
//! | | well known | [`Adwin`], [`PageHinkley`] |
//! | | robust, with a bound | [`MedianShift`] |
//! | | of other systems | [`CusumMoa`] |
//! | estimators | of the level | [`Ewma`], [`QuantileSketch`], [`WindowedQuantiles`] |
//! | preparation | all of it, in order | [`Preparation`], in front of a detector [`Prepared`] |
//! | | of unknown scales | [`Standardizer`] |
//! | | of wild, late and missing values | [`RangeGuard`], [`Gap`] |
//! | | of seasons and dependence | [`SeasonalResidual`], [`Batcher`] |
//! | | of tails | [`ExceedanceBits`] |
//! | combination | of several detectors | [`combination`] |
//! | calibration | of false alarms | [`Budget`], [`calibration`], [`simulate`] |
//! | oracle | to check detectors by | [`WindowedGlr`] |
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
#![forbid(unsafe_code)]
#![cfg_attr(not(any(test, feature = "std")), no_std)]

extern crate alloc;

mod adwin;
mod any;
mod bit_ring;
mod bocpd;
mod bucket;
mod budget;
mod calendar;
mod calendar_novelty;
pub mod calibration;
pub mod codec;
pub mod combination;
mod compat;
mod confidence_sequence;
mod conformal_bets;
mod conformal_sr;
mod cusum;
mod cusum_moa;
mod ddm;
mod detector;
pub mod distance;
mod distribution_shift;
mod ecdd;
mod eddm;
mod embedding;
mod error_rate;
mod ewma;
mod exceedance;
mod fhddm;
mod focus;
mod gma;
mod habituation;
mod hddm_a;
mod hddm_w;
mod histogram;
mod histogram_drift;
mod kolmogorov;
mod kswin;
mod math;
mod median_shift;
mod mixture;
mod mixture_e_sr;
mod mixture_grid;
mod mode;
mod normal_tail;
mod novelty;
mod page_hinkley;
mod param;
mod parameters;
mod preparation;
mod quantile_sketch;
mod rank_reference;
mod rddm;
mod regret;
mod reservoir;
mod seed;
mod signal;
pub mod simulate;
mod sorted;
mod spans;
pub mod special;
mod splitmix;
mod standardizer;
mod state;
mod stepd;
mod windowed_glr;
mod windowed_quantiles;

pub use adwin::{Adwin, AdwinParams};
pub use any::{AnyDetector, AnyParams, CloneDetector, Input, Tier};
pub use bocpd::{Bocpd, BocpdFamily, BocpdParams};
pub use budget::{ArlError, Budget};
pub use calendar_novelty::CalendarNovelty;
pub use compat::Compat;
pub use confidence_sequence::{ConfidenceSequence, ConfidenceSequenceParams};
pub use conformal_sr::{ConformalSr, ConformalSrParams};
pub use cusum::{Cusum, CusumFamily, CusumParams, cusum_arl, cusum_delay, cusum_threshold};
pub use cusum_moa::{CusumMoa, CusumMoaParams};
pub use ddm::{Ddm, DdmParams};
pub use detector::Detector;
pub use distribution_shift::{DistributionShift, DistributionShiftParams};
pub use ecdd::{Ecdd, EcddParams};
pub use eddm::{Eddm, EddmParams};
pub use embedding::VectorError;
pub use embedding::{
    CentroidMetric, CentroidShift, CentroidShiftParams, MmdBound, OnlineMmd, OnlineMmdParams,
};
pub use ewma::Ewma;
pub use exceedance::{Exceedance, ExceedanceParams};
pub use fhddm::{Fhddm, FhddmParams};
pub use focus::{Focus, FocusFamily, FocusParams};
pub use gma::{Gma, GmaParams};
pub use hddm_a::{HddmA, HddmAParams};
pub use hddm_w::{HddmW, HddmWParams};
pub use histogram::{CategoryCounts, Histogram};
pub use histogram_drift::HistogramDrift;
pub use kolmogorov::KolmogorovSmirnov;
pub use kswin::{Kswin, KswinParams, KswinSample};
pub use median_shift::{MedianShift, MedianShiftParams};
pub use mixture::{Family, Mixture, MixtureParams, Recursion};
pub use mixture_e_sr::MixtureESr;
pub use mode::Mode;
pub use novelty::{Novelty, NoveltyParams};
pub use page_hinkley::{PageHinkley, PageHinkleyParams};
pub use param::ParamError;
pub use parameters::{Parameter, Parameters, Setting, SettingError, Shape};
pub use preparation::batcher::{Batcher, BatcherParams};
pub use preparation::exceedance::{ExceedanceBits, ExceedanceBitsParams};
pub use preparation::gap::{Arrival, Gap, GapParams};
pub use preparation::guard::{Outside, RangeGuard, RangeGuardParams};
pub use preparation::prepared::Prepared;
pub use preparation::seasonal::{Season, SeasonalParams, SeasonalResidual};
pub use preparation::{Preparation, PreparationCounts, PreparationParams, PreparationStatus};
pub use quantile_sketch::{QuantileSketch, QuantileSketchParams};
pub use rddm::{Rddm, RddmParams};
pub use reservoir::Reservoir;
pub use seed::{Seed, SeedParams};
pub use signal::{Direction, Level, Signal};
pub use standardizer::{Standardizer, StandardizerParams};
pub use stepd::{Stepd, StepdParams};
pub use windowed_glr::WindowedGlr;
pub use windowed_quantiles::WindowedQuantiles;

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
