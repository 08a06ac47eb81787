//! Knows when a served machine-learning model has gone bad.
//!
//! Inference services publish [`monitoring::MetricEvent`]s; each model gets an actor of its own, whose
//! observers turn events into alerts and retrain requests. Start with [`monitoring`]: everything that an
//! embedder needs is there. [`drift`] has the detectors, for who wants them alone; [`ingest`] reads events
//! from files, [`replay`] runs a file of events through the same actors and reports what they said,
//! [`calibrate`] proposes a plan from such a file; [`store`] is what is to outlive
//! the process, `http` (feature `http`) is the surface over HTTP for a server of yours.
//!
//! ```
//! use visu_tility::monitoring::*;
//!
//! #[actix_rt::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut manager = ObserverManager::default();
//!     manager.register(Box::new(DriftDetector::default()));
//!     manager.register(Box::new(PerformanceDegrader::new(0.85)?));
//!
//!     let event = MetricEvent::new("model_xyz", MetricKind::Accuracy, 0.81)?;
//!     let actions = manager.dispatch(event).await?;
//!     assert_eq!(actions.len(), 1);
//!     Ok(())
//! }
//! ```
//!
//! Features: `cli` (default) is the command `visu-tility`; `sqlite` (default) is the store in one SQLite file; `serve` (default) is the command
//! `visu-tility serve`; `http` is its surface alone; `automated_retraining` lets observers ask for
//! retrains, without it they raise an alert instead; `hyperparameter_tuning` turns `automated_retraining`
//! on and adds nothing yet: searches come with the retraining loop.
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use visu_tility_core::drift;

pub mod calibrate;
#[cfg(feature = "http")]
pub mod http;
pub mod ingest;
pub mod monitoring;
pub mod replay;
pub mod store;
