//! Distances between two samples or two histograms, with p-values, and thresholds from the sample sizes.
//!
//! | | takes | gives |
//! |---|---|---|
//! | [`BinnedDistance`] | two histograms on the same bins | PSI, KL, JS, Hellinger, TVD, L-infinity, chi-square, G |
//! | [`NullLaw`] | what both would be if nothing had changed | p-value of a distance, threshold of a level |
//! | [`wasserstein_1`], [`energy`] | two samples | distances in the values' units |
//! | [`cramer_von_mises`], [`mann_whitney`], [`welch_t`] | two samples | statistics with p-values |
//! | [`anderson_darling`], [`student_t`] | two samples | the same, as other tools report them |
//! | [`mmd2`] | two sets of vectors | squared maximum mean discrepancy |
//! | [`Permutation`] | two samples | thresholds and p-values where no law is known |
//! | [`evidently`], [`nannyml`] | two samples | what those tools report |
//!
//! A bare threshold of 0.1 calls nine of ten pairs of identical windows of 100 values drifted: all of these
//! distances grow with the noise of small samples. [`BinnedDistance::threshold`] says by how much.
//!
//! # Examples
//!
//! ```
//! use visu_tility_drift::distance::BinnedDistance;
//!
//! let (reference, current) = ([100, 100, 100, 100], [19, 24, 33, 24]);
//! let verdict = BinnedDistance::Psi.test(&reference, &current, 0.01)?;
//! // By the rule "above 0.1 has changed", one more such window would have been an alarm.
//! assert!(verdict.statistic > 0.039 && verdict.threshold > 0.13 && !verdict.drifted());
//! # Ok::<(), visu_tility_drift::distance::DistanceError>(())
//! ```

mod anderson;
mod binned;
mod cell;
mod edges;
mod error;
pub mod evidently;
mod means;
mod mmd;
pub mod nannyml;
mod null_law;
mod permutation;
mod ranks;
mod sample;
mod table;
mod transport;
mod verdict;

pub use anderson::anderson_darling;
pub use binned::{BinnedDistance, PROPORTION_FLOOR, chi_square, chi_square_corrected, g_test};
pub use binned::{hellinger, jensen_shannon_divergence, kullback_leibler, psi};
pub(crate) use edges::separated_edges;
pub use edges::{count_right_closed, doane_edges, equal_width_edges, quantile_edges, sturges_edges};
pub use error::DistanceError;
pub use means::{student_t, welch_t};
pub use mmd::{Mmd2, median_gamma, mmd2};
pub use null_law::NullLaw;
pub use permutation::Permutation;
pub use ranks::{Alternative, cramer_von_mises, cramer_von_mises_exact, mann_whitney, mann_whitney_exact};
pub use transport::{energy, wasserstein_1};
pub use verdict::{TestOutcome, Verdict};
