//! What a distance may be when nothing has changed, given what both histograms count together: the far tail, exactly.

use alloc::vec::Vec;

use super::binned::totals;
use super::cell::cell;
use super::{BinnedDistance, DistanceError};
use crate::math::{exp, ln, sqrt};
use crate::simulate::Random;

mod sums;

use sums::{Row, rows};

/// Tables are drawn for no more than this many bins in all, but for at least so many tables...
const BINS_DRAWN: usize = 16_384;
const DRAWS_LEAST: usize = 512;
/// ...and not more.
const DRAWS_MOST: usize = 768;
/// The draws are the same each time.
const SEED: u64 = 0x5eed_d157;
/// Counts are left out that are rarer than this part of the level, against the likeliest.
const BEYOND: f64 = 1e-7;
/// Where a bin would have more counts than this...
const POINTS_MOST: f64 = 96.0;
/// ...they are taken in strides, which leave it about so many.
const POINTS: f64 = 64.0;
/// Bins whose deviation is less than so many strides have none.
const SMOOTH: f64 = 2.0;
/// Standard errors that are added to an estimated probability.
const ERRORS: f64 = 2.0;
/// The tilts, as parts of the one with the lowest bound.
const TILTS: [f64; 2] = [1.0, 0.7];
/// No weight is larger than the exponential of this.
const EXPONENT_MOST: f64 = 600.0;

impl BinnedDistance {
    /// Returns what the distance of two histograms reaches with a probability of at most `level`, when both are of one
    /// distribution, of which nothing is known.
    ///
    /// Use it in the far tail, at levels of 1e-3 and less, and where bins expect few values: there the fitted
    /// [`super::NullLaw`], which is faster, lets through up to 130 times the level. The threshold belongs to this pair:
    /// it depends on both histograms.
    ///
    /// # How
    ///
    /// Given the totals of the bins, the counts of `current` have the multivariate hypergeometric law, whatever the
    /// shares are. So this is the exact test of Fisher, Freeman and Halton with the distance as its statistic, and of
    /// all tables of one distribution at most `level` are beyond their thresholds, however rare the bins. Where the
    /// reference's values gave the edges, its counts are not random and this is not so: there the law of the window is
    /// Dirichlet-multinomial, with parameters between the reference's counts and one more (Wilks, Annals of Mathematical
    /// Statistics 13, 1942; half of one is added here). What is beyond the first threshold is held against that law
    /// too; the larger threshold is returned. (Two bins are held against the first only.)
    ///
    /// Either law is that of independent binomial, or negative binomial, counts given their sum. Each count's probability is multiplied by
    /// `exp(s d)`, with `d` its bin's part of the distance and `s` such that Chernoff's bound on the tail reaches the
    /// level earliest; the sum over all tables of the right size is computed bin by bin. A distance beyond that bound,
    /// which is 5 to 20 % above the threshold, gets the bound. A nearer one gets the threshold, measured with 512 to
    /// 1,024 tables that are drawn from the tilted laws and weighted back (importance sampling, whose weights are at
    /// most the bound here; Owen and Zhou, JASA 95, 2000). Two standard errors are added to the probability. The draws
    /// are seeded: the same pair gives the same threshold.
    ///
    /// For two bins the tail is summed up, with half the level for each direction; for L-infinity, those of the bins.
    ///
    /// Measured at levels of 1e-4 and 1e-5, with PSI, KL, Hellinger and Jensen-Shannon: windows of 100 of 500 values in
    /// 30 bins of Zipf's shares (exponents 1, 1.5 and 2) 0.11 to 0.76 of the level, in 10 even bins 0.62 to 0.83;
    /// windows of 1,000 of 5,000 at 1e-4, 10 and 30 bins of Zipf's shares, 0.47 to 0.91. Chi-square, G, total variation
    /// and L-infinity in 30 such bins at 1e-4: 0.65 to 0.78. That is by the first law
    /// alone; with both, bins between the quantiles of the first 256 of 500 values: 0.27 to 1.07 over all distances at
    /// 1e-4 (L-infinity 1.07), of 100 values, all for the edges, 0.40 to 1.10 (30 events allowed). A change is found in
    /// about as many windows as with the threshold of the reference's law alone; not with dozens of rare bins, where
    /// that one let through up to 3 times the level: with 60 % of Zipf's shares (1.5) spread evenly over 30 bins, at
    /// 1e-5 in 0.77 of the windows with Jensen-Shannon and 0.20 with PSI, before 0.82 and 0.34; with 80 % in all and
    /// 0.85, before all and 0.92.
    ///
    /// Cost, 10 bins: 0.3 to 0.5 ms (medians by sizes; worst 0.8 ms, but 4.7 ms where one bin holds 99 of 100 values), for
    /// a table far beyond 0.1 to 0.2 ms; 64 bins: 0.7 to 2.7 ms (worst 5.8 ms), far beyond 0.3 to 1.6 ms. Windows of 100 to a million values are among these.
    ///
    /// # Examples
    ///
    /// ```
    /// use visu_tility_drift::distance::BinnedDistance;
    ///
    /// // One value in 250 is a 1: 4 in the reference; a window of 200 expects 0.8.
    /// let reference = [996, 4];
    /// let beyond = |ones| {
    ///     let window = [200 - ones, ones];
    ///     let far = BinnedDistance::JensenShannon.threshold_of_table(&reference, &window, 2e-5)?;
    ///     Ok(BinnedDistance::JensenShannon.between(&reference, &window)? >= far)
    /// };
    /// // By the exact test of Fisher, 9 ones or more have probability 3.3e-5, and 10 or more 7.3e-6.
    /// assert!(!beyond(9)? && beyond(10)?);
    /// # Ok::<(), visu_tility_drift::distance::DistanceError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::between`]; and when there are fewer than two bins, or `level` is not in (0, 1).
    pub fn threshold_of_table(
        self,
        reference: &[u64],
        current: &[u64],
        level: f64,
    ) -> Result<f64, DistanceError> {
        let (n, m) = totals(reference, current)?;
        if reference.len() < 2 {
            return Err(DistanceError::TooFewBins { found: reference.len(), least: 2 });
        }
        DistanceError::check("level", level, level > 0.0 && level < 1.0, "in (0, 1)")?;
        let statistic = self.between(reference, current)?;
        let parts = reference.iter().zip(current).map(|(&a, &b)| cell(self, a as f64, b as f64, n, m));
        let own = if self == Self::LInfinity { parts.fold(0.0, f64::max) } else { parts.sum() };
        let both = reference.iter().zip(current).map(|(&a, &b)| a as f64 + b as f64).collect();
        let threshold = Table::new(self, both, (n, m), level, false).threshold(current, own);
        // Not needed where the first will do, nor for two bins.
        let alone = if reference.len() == 2 || own < threshold {
            0.0
        } else {
            let alone = reference.iter().map(|&a| a as f64 + 0.5).collect();
            Table::new(self, alone, (n, m), level, true).threshold(current, own)
        };
        let threshold = threshold.max(alone);
        // The parts' sum is the distance of some; of the others, and but for rounding, it is so here.
        let scale = if own > 0.0 { statistic / self.of_parts(own) } else { 1.0 };
        Ok((self.of_parts(threshold) * scale).max(f64::MIN_POSITIVE))
    }

    /// Turns the sum of the bins' parts, or the largest, into the distance.
    fn of_parts(self, sum: f64) -> f64 {
        match self {
            Self::JensenShannon => sqrt(sum / core::f64::consts::LN_2),
            Self::Hellinger => sqrt(sum),
            Self::LInfinity => 2.0 * sum,
            _ => sum,
        }
    }
}

/// The statistic from which on the weights, with their error, sum to at most `level` of `all`; `draws` are sorted, the
/// farthest first.
fn quantile(draws: &[(f64, f64)], all: f64, errors: f64, level: f64) -> f64 {
    // Where nothing that was seen is rare enough, only what is farther still is.
    let mut threshold = draws.first().map_or(f64::MAX, |farthest| farthest.0 * (1.0 + 1e-9));
    let (mut sum, mut squares) = (0.0, 0.0);
    let mut rest = draws.iter().peekable();
    while let Some(&(statistic, weight)) = rest.next() {
        sum += weight;
        squares += weight * weight;
        // What is equal but for rounding is one step.
        if rest.peek().is_some_and(|next| next.0 >= statistic * (1.0 - 1e-9)) {
            continue;
        }
        let variance = (squares - sum * sum / all).max(0.0);
        if (sum + errors * sqrt(variance)) / all > level {
            break;
        }
        threshold = statistic * (1.0 - 1e-9);
    }
    threshold
}

/// What is given: how much each bin counts in both, and the sizes.
struct Table {
    distance: BinnedDistance,
    /// Of the reference alone, with half a count more each, where that is what is given.
    totals: Vec<f64>,
    all: f64,
    alone: bool,
    n: f64,
    m: f64,
    level: f64,
    least: f64,
}

/// One bin: what it may count of the window, in steps from `base`.
struct Bin {
    low: i64,
    /// How likely each count is; they sum to 1.
    chances: Vec<f64>,
    /// What it adds to the distance.
    parts: Vec<f64>,
    /// How far the expected count is from `base`, in steps.
    off: f64,
    /// In steps.
    deviation: f64,
}

impl Table {
    fn new(distance: BinnedDistance, totals: Vec<f64>, (n, m): (f64, f64), level: f64, alone: bool) -> Self {
        let all = totals.iter().sum();
        Self { distance, totals, all, alone, n, m, level, least: (level * BEYOND).min(1e-9) }
    }

    fn threshold(&self, current: &[u64], own: f64) -> f64 {
        match current {
            &[first, _] => self.of_two(first as f64),
            _ if self.distance == BinnedDistance::LInfinity => self.of_largest(),
            _ => self.sampled(own),
        }
    }

    /// The window, as a part of what is given.
    fn share(&self) -> f64 {
        self.m / self.all
    }

    /// The variance of a count for each that is expected, without the sum that ties it to the others.
    fn spread(&self) -> f64 {
        if self.alone { 1.0 + self.share() } else { 1.0 - self.share() }
    }

    /// The deviation of a bin's count, given that all is dealt.
    fn deviation(&self, total: f64) -> f64 {
        sqrt(total * self.share() * self.spread() * (1.0 - total / self.all).max(0.0))
    }

    /// How many deviations lie within what is not left out.
    fn reach(&self) -> f64 {
        sqrt(-2.0 * ln(self.least))
    }

    /// The stride that leaves a bin of this deviation about so many counts.
    fn stride_of(&self, deviation: f64) -> f64 {
        let points = 2.0 * self.reach() * deviation;
        if points > POINTS_MOST { ((points / POINTS) as u64) as f64 + 1.0 } else { 1.0 }
    }

    fn stride(&self) -> f64 {
        self.stride_of(self.totals.iter().map(|&total| self.deviation(total)).fold(0.0, f64::max))
    }

    /// Walks from the middle outwards; `odds` are those of the count that it is given one step up from.
    fn bin(&self, total: f64, stride: f64, odds: impl Fn(f64) -> f64) -> Bin {
        let mean = total * self.share();
        let base = if stride > 1.0 { mean } else { ((mean as u64) as f64).min(self.m) };
        let most = if self.alone { self.m } else { total.min(self.m) };
        // Over a stride, those of its middle.
        let half = 0.5 * (stride - 1.0);
        let step = |k: f64| if stride > 1.0 { exp(stride * ln(odds(k + half))) } else { odds(k) };
        let (mut chances, mut chance, mut k) = (Vec::new(), 1.0, base);
        while k - stride >= 0.0 && chance >= self.least {
            k -= stride;
            chance /= step(k);
            chances.push(chance);
        }
        let low = -(chances.len() as i64);
        chances.reverse();
        chances.push(1.0);
        (k, chance) = (base, 1.0);
        while k + stride <= most && chance >= self.least {
            chance *= step(k);
            k += stride;
            chances.push(chance);
        }
        let sum: f64 = chances.iter().sum();
        for chance in &mut chances {
            *chance /= sum;
        }
        let counts = (0..chances.len()).map(|at| base + stride * (low + at as i64) as f64);
        let parts = counts.map(|k| self.part(total, k)).collect();
        let deviation = sqrt(mean * self.spread()) / stride;
        Bin { low, chances, parts, off: (mean - base) / stride, deviation }
    }

    fn part(&self, total: f64, count: f64) -> f64 {
        let before = if self.alone { total - 0.5 } else { total - count };
        cell(self.distance, before, count, self.n, self.m)
    }

    /// A bin's counts by its own law, the hypergeometric or the beta-binomial one: each with its part and how likely it is.
    fn points(&self, total: f64) -> impl Iterator<Item = (f64, f64, f64)> {
        let stride = self.stride_of(self.deviation(total));
        let (m, others) = (self.m, self.all - total);
        let odds = |k: f64| {
            if self.alone {
                (total + k) / (k + 1.0) * (m - k) / (others + m - k - 1.0).max(0.0)
            } else {
                (total - k) / (k + 1.0) * (m - k) / (others - m + k + 1.0).max(0.0)
            }
        };
        let bin = self.bin(total, stride, odds);
        let base = total * self.share() - bin.off * stride;
        let count = move |at: usize| base + stride * (bin.low + at as i64) as f64;
        let laws = bin.parts.into_iter().zip(bin.chances).enumerate();
        laws.map(move |(at, (part, chance))| (count(at), part, chance))
    }

    /// The threshold for two bins, the first of which has `count`: half the level for more than is expected and half
    /// for less.
    fn of_two(&self, count: f64) -> f64 {
        let (Some(&first), Some(&second)) = (self.totals.first(), self.totals.last()) else {
            return f64::MAX;
        };
        let mean = first * self.share();
        let mut points = Vec::new();
        for (k, part, chance) in self.points(first).filter(|(k, ..)| (*k > mean) == (count > mean)) {
            let other = self.part(second, self.m - k);
            let both =
                if self.distance == BinnedDistance::LInfinity { part.max(other) } else { part + other };
            points.push((both, chance));
        }
        points.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        quantile(&points, 1.0, 0.0, 0.5 * self.level)
    }

    /// The threshold for the largest part: the bins' tails are added.
    fn of_largest(&self) -> f64 {
        let all = self.totals.iter().flat_map(|&total| self.points(total));
        let mut points: Vec<(f64, f64)> = all.map(|(_, part, chance)| (part, chance)).collect();
        points.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        quantile(&points, 1.0, 0.0, self.level)
    }

    /// The threshold by the tilted laws: Chernoff's where `own` is beyond it.
    fn sampled(&self, own: f64) -> f64 {
        let stride = self.stride();
        let odds = self.share() / self.spread();
        let (mut tied, mut free) = (Vec::new(), Vec::new());
        for &total in &self.totals {
            let own = |k: f64| (if self.alone { total + k } else { total - k }) / (k + 1.0) * odds;
            // A bin of few counts matters little to the sum where the others' are taken in strides.
            if stride > 1.0 && self.deviation(total) < SMOOTH * stride {
                free.push(self.bin(total, self.stride_of(self.deviation(total)), own));
            } else {
                tied.push(self.bin(total, stride, own));
            }
        }
        // In strides, the bins begin at what they expect.
        let sum = if stride > 1.0 { 0.0 } else { tied.iter().map(|bin| bin.off).sum::<f64>() };
        let law = Law { tied, free, sum: (sum + 0.5) as i64, reach: self.reach() };
        let plain = law.tilted(0.0, 0.0);
        let best = law.best(-ln(self.level));
        let mut tilts: Vec<Tilted> = Vec::with_capacity(TILTS.len());
        for part in TILTS {
            let tilted = law.tilted(best * part, plain.moment);
            let bound = (tilted.moment - ln(self.level)) / tilted.tilt;
            if tilts.is_empty() && own >= bound {
                return bound;
            }
            tilts.push(tilted);
        }
        let draws = (BINS_DRAWN / self.totals.len()).clamp(DRAWS_LEAST, DRAWS_MOST) / TILTS.len();
        let mut random = Random::new(SEED);
        let mut out = Vec::with_capacity(draws * TILTS.len());
        for own in &tilts {
            for _ in 0..draws {
                let far = law.draw(own, &mut random);
                let density = |by: &Tilted| exp((by.tilt * far - by.moment).min(EXPONENT_MOST));
                out.push((far, TILTS.len() as f64 / tilts.iter().map(density).sum::<f64>()));
            }
        }
        out.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        quantile(&out, out.len() as f64, ERRORS, self.level)
    }
}

/// Independent counts, those of the tied bins given their sum.
struct Law {
    tied: Vec<Bin>,
    free: Vec<Bin>,
    /// Steps of all tied bins together.
    sum: i64,
    reach: f64,
}

/// The law with each count's probability multiplied by the exponential of `tilt` times its part.
struct Tilted {
    tilt: f64,
    /// The logarithm of the mean of what was multiplied by.
    moment: f64,
    tied: Vec<Vec<f64>>,
    free: Vec<Vec<f64>>,
    /// How likely each sum of a bin and all after it is.
    rows: Vec<Row>,
}

impl Bin {
    /// Returns the tilted chances, which sum to 1, and the logarithm of what they summed to.
    fn tilted(&self, tilt: f64) -> (Vec<f64>, f64) {
        let mut chances: Vec<f64> =
            self.chances.iter().zip(&self.parts).map(|(chance, part)| chance * exp(tilt * part)).collect();
        let sum: f64 = chances.iter().sum();
        for chance in &mut chances {
            *chance /= sum;
        }
        (chances, ln(sum))
    }
}

impl Law {
    fn bins(&self) -> impl Iterator<Item = &Bin> {
        self.tied.iter().chain(&self.free)
    }

    /// The tilt at which Chernoff's bound reaches `exp(-depth)` earliest, with the bins taken as independent.
    fn best(&self, depth: f64) -> f64 {
        let largest =
            self.bins().flat_map(|bin| &bin.parts).fold(f64::MIN_POSITIVE, |most, &part| most.max(part));
        // The depth of the bound at its own mean; it increases with the tilt.
        let depth_of = |tilt: f64| {
            let one = |bin: &Bin| {
                let (mut sum, mut first) = (0.0, 0.0);
                for (chance, part) in bin.chances.iter().zip(&bin.parts) {
                    let weight = chance * exp(tilt * part);
                    sum += weight;
                    first += weight * part;
                }
                tilt * first / sum - ln(sum)
            };
            self.bins().map(one).sum::<f64>()
        };
        let most = EXPONENT_MOST / largest;
        let mut high = (1.0 / largest).min(most);
        while high < most && depth_of(high) < depth {
            high = (2.0 * high).min(most);
        }
        let mut low = high / 2.0;
        for _ in 0..5 {
            let middle = f64::midpoint(low, high);
            if depth_of(middle) < depth {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }

    /// `plain` is the moment without a tilt.
    fn tilted(&self, tilt: f64, plain: f64) -> Tilted {
        let mut moment = -plain;
        let mut all = |bins: &[Bin]| -> Vec<Vec<f64>> {
            let one = |bin: &Bin| {
                let (chances, sum) = bin.tilted(tilt);
                moment += sum;
                chances
            };
            bins.iter().map(one).collect()
        };
        let (tied, free) = (all(&self.tied), all(&self.free));
        let rows = rows(&self.tied, &tied, self.sum, self.reach);
        moment += ln(rows.first().map_or(1.0, |row| row.at(self.sum)).max(f64::MIN_POSITIVE));
        Tilted { tilt, moment, tied, free, rows }
    }

    /// Draws a table and returns its distance.
    fn draw(&self, tilted: &Tilted, random: &mut Random) -> f64 {
        let (mut far, mut left) = (0.0, self.sum);
        let laws = self.tied.iter().zip(&tilted.tied).zip(tilted.rows.iter().zip(tilted.rows.iter().skip(1)));
        for ((bin, chances), (row, next)) in laws {
            let mut of = random.unit() * row.at(left);
            let mut drawn = None;
            for (at, chance) in next.under(chances, left - bin.low) {
                drawn = Some(at);
                of -= chance;
                if of < 0.0 {
                    break;
                }
            }
            let at = drawn.unwrap_or(0);
            far += bin.parts.get(at).copied().unwrap_or(0.0);
            left -= bin.low + at as i64;
        }
        for (bin, chances) in self.free.iter().zip(&tilted.free) {
            let mut of = random.unit();
            let at = chances.iter().position(|chance| {
                of -= chance;
                of < 0.0
            });
            far +=
                at.or(chances.len().checked_sub(1)).and_then(|at| bin.parts.get(at)).copied().unwrap_or(0.0);
        }
        far
    }
}
