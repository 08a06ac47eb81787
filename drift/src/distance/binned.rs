//! Distances between two histograms on the same bins.

use super::{DistanceError, NullLaw, TestOutcome, Verdict};
use crate::math::{ln, sqrt};
use crate::parameters::words;
use crate::special::chi2_sf;

/// What a share of 0 is taken as by PSI and KL, which are infinite there. The usual choice.
pub const PROPORTION_FLOOR: f64 = 1e-4;

/// A distance between two histograms on the same bins.
///
/// With shares `p` of the reference and `q` of the current histogram:
///
/// | | | range | equal histograms of N and M values give about |
/// |---|---|---|---|
/// | `Psi` | sum of `(p - q) ln(p / q)`, shares at least 1e-4 | from 0 | `(B-1)(1/N + 1/M)` |
/// | `KullbackLeibler` | sum of `p ln(p / q)`, shares at least 1e-4, renormalised | from 0 | half of it |
/// | `JensenShannon` | root of the divergence from the mixture, in bits | 0 to 1 | root of 0.18 times it |
/// | `Hellinger` | root of half the sum of `(sqrt p - sqrt q)^2` | 0 to 1 | root of 1/8 of it |
/// | `TotalVariation` | half the sum of <code>\|p - q\|</code> | 0 to 1 | 0.4 root of `B (1/N + 1/M)` |
/// | `LInfinity` | largest <code>\|p - q\|</code> | 0 to 1 | |
/// | `ChiSquare` | Pearson's statistic of the 2 x B table | from 0 | `B - 1` |
/// | `G` | likelihood ratio of the table | from 0 | `B - 1` |
///
/// All are fast: one pass over the bins. Which one: Jensen-Shannon or Hellinger for a bounded number to plot,
/// PSI where people know its scale, chi-square or G for the test. With thresholds from [`NullLaw`] they find
/// the same changes within a few per cent; L-infinity finds changes of one bin.
///
/// In a plan: `psi`, `kl`, `js`, `hellinger`, `tvd`, `l-infinity`, `chi-square`, `g`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum BinnedDistance {
    /// Population stability index.
    #[cfg_attr(feature = "serde", serde(rename = "psi"))]
    Psi,
    /// Kullback-Leibler divergence of the reference from the current histogram, in nats.
    #[cfg_attr(feature = "serde", serde(rename = "kl"))]
    KullbackLeibler,
    /// Jensen-Shannon distance, base 2.
    #[default]
    #[cfg_attr(feature = "serde", serde(rename = "js"))]
    JensenShannon,
    /// Hellinger distance.
    #[cfg_attr(feature = "serde", serde(rename = "hellinger"))]
    Hellinger,
    /// Total variation distance.
    #[cfg_attr(feature = "serde", serde(rename = "tvd"))]
    TotalVariation,
    /// Largest difference of shares.
    #[cfg_attr(feature = "serde", serde(rename = "l-infinity"))]
    LInfinity,
    /// Pearson's chi-square statistic.
    #[cfg_attr(feature = "serde", serde(rename = "chi-square"))]
    ChiSquare,
    /// The likelihood ratio statistic.
    #[cfg_attr(feature = "serde", serde(rename = "g"))]
    G,
}

words!(BinnedDistance {
    Psi = "psi",
    KullbackLeibler = "kl",
    JensenShannon = "js",
    Hellinger = "hellinger",
    TotalVariation = "tvd",
    LInfinity = "l-infinity",
    ChiSquare = "chi-square",
    G = "g",
});

impl BinnedDistance {
    /// Every one of them.
    pub const ALL: [Self; 8] = [
        Self::Psi,
        Self::KullbackLeibler,
        Self::JensenShannon,
        Self::Hellinger,
        Self::TotalVariation,
        Self::LInfinity,
        Self::ChiSquare,
        Self::G,
    ];

    /// Returns the distance of two histograms.
    ///
    /// Chi-square and G leave out bins in which neither counts anything. A single bin has distance 0.
    ///
    /// # Errors
    ///
    /// Fails when there is no bin, the numbers of bins differ, or one histogram counts nothing.
    pub fn between(self, reference: &[u64], current: &[u64]) -> Result<f64, DistanceError> {
        let (n, m) = totals(reference, current)?;
        Ok(match self {
            Self::Psi => psi(reference, current, PROPORTION_FLOOR)?,
            Self::KullbackLeibler => kullback_leibler(reference, current, PROPORTION_FLOOR)?,
            Self::JensenShannon => {
                sqrt(jensen_shannon_divergence(reference, current)? / core::f64::consts::LN_2)
            }
            Self::Hellinger => hellinger(reference, current)?,
            Self::TotalVariation => {
                shares(reference, current, n, m).map(|(p, q)| (p - q).abs()).sum::<f64>() / 2.0
            }
            Self::LInfinity => {
                shares(reference, current, n, m).map(|(p, q)| (p - q).abs()).fold(0.0, f64::max)
            }
            Self::ChiSquare => table_statistic(reference, current, n, m, pearson),
            Self::G => table_statistic(reference, current, n, m, likelihood),
        })
    }

    /// Returns what the distance of two histograms with `bins` equally likely bins, made of `n_ref` and `n_cur`
    /// values of one distribution, reaches with probability `level`.
    ///
    /// The reference's own noise is in it. Where the bins are not equally likely, use [`Self::test`] or
    /// [`NullLaw::of`]. Building the law costs up to a millisecond; keep a [`NullLaw`] to ask again.
    ///
    /// # Errors
    ///
    /// As [`NullLaw::uniform`]; and when `level` is not in (0, 1).
    pub fn threshold(self, n_ref: u64, n_cur: u64, bins: usize, level: f64) -> Result<f64, DistanceError> {
        NullLaw::uniform(self, n_ref, n_cur, bins)?.threshold(level)
    }

    /// Compares two histograms, with the threshold of a false-alarm probability `level` and a p-value, under the
    /// law of two samples from the pooled histogram.
    ///
    /// # Errors
    ///
    /// As [`Self::between`]; and when `level` is not in (0, 1), or only one bin has counts.
    pub fn test(self, reference: &[u64], current: &[u64], level: f64) -> Result<Verdict, DistanceError> {
        let statistic = self.between(reference, current)?;
        let law = NullLaw::pooled(self, reference, current)?;
        let threshold = law.threshold(level)?;
        Ok(Verdict { statistic, threshold, p_value: law.p_value(statistic), level })
    }
}

/// Checks two histograms and returns how much each counts.
pub(super) fn totals(reference: &[u64], current: &[u64]) -> Result<(f64, f64), DistanceError> {
    if reference.len() != current.len() {
        return Err(DistanceError::Bins { reference: reference.len(), current: current.len() });
    }
    if reference.is_empty() {
        return Err(DistanceError::TooFewBins { found: 0, least: 1 });
    }
    let total = |counts: &[u64]| counts.iter().map(|&count| count as f64).sum::<f64>();
    let (n, m) = (total(reference), total(current));
    if n == 0.0 {
        Err(DistanceError::Empty { histogram: "reference" })
    } else if m == 0.0 {
        Err(DistanceError::Empty { histogram: "current" })
    } else {
        Ok((n, m))
    }
}

fn shares<'a>(
    reference: &'a [u64],
    current: &'a [u64],
    n: f64,
    m: f64,
) -> impl Iterator<Item = (f64, f64)> + Clone + 'a {
    reference.iter().zip(current).map(move |(&a, &b)| (a as f64 / n, b as f64 / m))
}

/// Returns the population stability index, with every share at least `floor`.
///
/// # Errors
///
/// As [`BinnedDistance::between`]; and when `floor` is not in (0, 1).
pub fn psi(reference: &[u64], current: &[u64], floor: f64) -> Result<f64, DistanceError> {
    let (n, m) = totals(reference, current)?;
    check_floor(floor)?;
    let term = |(p, q): (f64, f64)| {
        let (p, q) = (p.max(floor), q.max(floor));
        (p - q) * ln(p / q)
    };
    Ok(shares(reference, current, n, m).map(term).sum())
}

/// Returns the Kullback-Leibler divergence of the reference from the current histogram in nats, with every share
/// at least `floor` and both renormalised.
///
/// # Errors
///
/// As [`psi`].
pub fn kullback_leibler(reference: &[u64], current: &[u64], floor: f64) -> Result<f64, DistanceError> {
    let (n, m) = totals(reference, current)?;
    check_floor(floor)?;
    let floored = shares(reference, current, n, m).map(|(p, q)| (p.max(floor), q.max(floor)));
    let (p_sum, q_sum) = floored.clone().fold((0.0, 0.0), |(a, b), (p, q)| (a + p, b + q));
    let sum: f64 = floored.map(|(p, q)| p / p_sum * ln(p / p_sum / (q / q_sum))).sum();
    Ok(sum.max(0.0))
}

fn check_floor(floor: f64) -> Result<(), DistanceError> {
    DistanceError::check("floor", floor, floor > 0.0 && floor < 1.0, "in (0, 1)")
}

/// Returns the Jensen-Shannon divergence in nats, from 0 to ln 2; its root is the Jensen-Shannon distance of
/// base e.
///
/// # Errors
///
/// As [`BinnedDistance::between`].
pub fn jensen_shannon_divergence(reference: &[u64], current: &[u64]) -> Result<f64, DistanceError> {
    let (n, m) = totals(reference, current)?;
    Ok(divergence_of_shares(shares(reference, current, n, m)))
}

pub(super) fn divergence_of_shares(shares: impl Iterator<Item = (f64, f64)>) -> f64 {
    let term = |own: f64, other: f64| if own > 0.0 { own * ln(2.0 * own / (own + other)) } else { 0.0 };
    let (left, right) = shares.fold((0.0, 0.0), |(l, r), (p, q)| (l + term(p, q), r + term(q, p)));
    f64::midpoint(left, right).max(0.0)
}

/// Returns the Hellinger distance, from 0 to 1.
///
/// # Errors
///
/// As [`BinnedDistance::between`].
pub fn hellinger(reference: &[u64], current: &[u64]) -> Result<f64, DistanceError> {
    let (n, m) = totals(reference, current)?;
    Ok(hellinger_of_shares(shares(reference, current, n, m)))
}

pub(super) fn hellinger_of_shares(shares: impl Iterator<Item = (f64, f64)>) -> f64 {
    let square = |(p, q): (f64, f64)| {
        let root = sqrt(p) - sqrt(q);
        root * root
    };
    sqrt(shares.map(square).sum::<f64>() / 2.0)
}

/// Pearson's test of the 2 x B table (chi-square with B - 1 degrees of freedom, bins without counts left out).
///
/// # Errors
///
/// As [`BinnedDistance::between`]; and when fewer than two bins have counts.
pub fn chi_square(reference: &[u64], current: &[u64]) -> Result<TestOutcome, DistanceError> {
    table_test(reference, current, pearson)
}

/// [`chi_square`] with Yates' correction where the table is 2 x 2, which is scipy's default.
///
/// # Errors
///
/// As [`chi_square`].
pub fn chi_square_corrected(reference: &[u64], current: &[u64]) -> Result<TestOutcome, DistanceError> {
    if used_bins(reference, current) == 2 {
        table_test(reference, current, |observed, expected| {
            let off = (observed - expected).abs();
            let off = off - off.min(0.5);
            off * off / expected
        })
    } else {
        chi_square(reference, current)
    }
}

/// The likelihood ratio (G) test of the 2 x B table. `corrected` moves the counts of a 2 x 2 table towards the
/// expected ones by up to 1/2, which is scipy's default.
///
/// # Errors
///
/// As [`chi_square`].
pub fn g_test(reference: &[u64], current: &[u64], corrected: bool) -> Result<TestOutcome, DistanceError> {
    if corrected && used_bins(reference, current) == 2 {
        table_test(reference, current, |observed, expected| {
            let off = expected - observed;
            likelihood(observed + off.clamp(-0.5, 0.5), expected)
        })
    } else {
        table_test(reference, current, likelihood)
    }
}

pub(super) fn pearson(observed: f64, expected: f64) -> f64 {
    let off = observed - expected;
    off * off / expected
}

pub(super) fn likelihood(observed: f64, expected: f64) -> f64 {
    if observed > 0.0 { 2.0 * observed * ln(observed / expected) } else { 0.0 }
}

fn used_bins(reference: &[u64], current: &[u64]) -> usize {
    reference.iter().zip(current).filter(|(a, b)| **a > 0 || **b > 0).count()
}

fn table_test(
    reference: &[u64],
    current: &[u64],
    cell: impl Fn(f64, f64) -> f64,
) -> Result<TestOutcome, DistanceError> {
    let (n, m) = totals(reference, current)?;
    let found = used_bins(reference, current);
    if found < 2 {
        return Err(DistanceError::TooFewBins { found, least: 2 });
    }
    let statistic = table_statistic(reference, current, n, m, cell);
    let df = (found - 1) as f64;
    Ok(TestOutcome { statistic, p_value: chi2_sf(statistic, df), degrees: Some(df) })
}

fn table_statistic(
    reference: &[u64],
    current: &[u64],
    n: f64,
    m: f64,
    cell: impl Fn(f64, f64) -> f64,
) -> f64 {
    let column = |(&a, &b): (&u64, &u64)| {
        let (a, b) = (a as f64, b as f64);
        let share = (a + b) / (n + m);
        if share > 0.0 { cell(a, share * n) + cell(b, share * m) } else { 0.0 }
    };
    reference.iter().zip(current).map(column).sum::<f64>().max(0.0)
}
