//! What a window may be when nothing has changed, given the reference: the law of the far tail, by computation.

use alloc::vec;
use alloc::vec::Vec;

use super::{BinnedDistance, DistanceError};
use crate::math::{exp, ln, sqrt};
use crate::simulate::Random;
use crate::special::{chi2_quantile, ln_1p, ln_gamma};

/// Windows drawn from the law itself, so that no window counts more than this keeps it to...
const PLAIN: usize = 128;
/// ...from each of two wider laws...
const WIDE: usize = 480;
/// ...and, over all bins together, with one bin's count anywhere it may be; at least so many for each bin.
const SINGLE: usize = 1_920;
const SINGLE_LEAST: usize = 48;
/// The draws are the same each time.
const SEED: u64 = 0x5eed_d157;
/// A bin's count is drawn from where its own tail is above this part of the level.
const BEYOND: f64 = 1e-4;
/// Windows of up to so many values have tables of logarithms.
const TABLE_MOST: u64 = 1_024;
/// Standard errors that are added to an estimated probability.
const ERRORS: f64 = 2.0;

impl BinnedDistance {
    /// Returns what the distance of a window of `window` values from `reference` reaches with a probability of at
    /// most `level`, when the window is of the reference's distribution, of which nothing but the reference is known.
    ///
    /// Use it in the far tail, at levels of 1e-3 and less, and where bins expect few values: there the fitted
    /// [`super::NullLaw`] lets through up to 130 times the level. [`Self::threshold`] is a
    /// hundred times faster.
    ///
    /// # How
    ///
    /// Given the reference's counts, the counts of a window have the Dirichlet-multinomial law whose parameters are
    /// the former, each with one more (Laplace's rule of succession: before the reference, any shares are equally
    /// likely). For the increase of one bin's share this is the exact test of Fisher, which holds whatever the share is;
    /// for its decrease that test has the counts themselves as parameters. So a window counts as likely as the
    /// likelier of the two laws says. (For bins between order statistics of a continuous variable the law is known to
    /// lie between them: Wilks, Annals of Mathematical Statistics 13, 1942.)
    ///
    /// The tail is measured with 3,008 windows (more from 41 bins on: 48 a bin) that are drawn from wider laws and
    /// weighted by how much likelier they are under this one: importance sampling with a deterministic mixture (Owen
    /// and Zhou, JASA 95, 2000). A third is of laws of the same shape with larger variances; in the others one bin's
    /// count is spread over all that the level lets be possible, and the rest is as it is then, or wider. Two
    /// standard errors are added to the probability. The draws are seeded: the same reference gives the same
    /// threshold.
    ///
    /// Measured with every distance at levels from 1e-3 to 1e-5: within the level, but for the error of the measurement,
    /// for windows of 100 of 500 values in 10 even bins (0.04 to 1.12 of it), in bins learnt from the values, and with
    /// ties, and for windows of 1,000 of 5,000 with one value in 200 (this crate's test `tail` repeats a part). Not
    /// within it: 30 bins of Zipf's shares, most of which expect less than one value in a window of 100, of 500: 1.4
    /// times the level with PSI and 1.2 with Hellinger at 1e-4, and at 1e-5 3.4, 2.4, and 1.8 with KL (few events;
    /// the fitted law has 5.6, 2.6 and 4.5 there). Bins by quantiles are not so rare; otherwise merge them.
    ///
    /// Cost: about 10 ms for 10 bins; windows of more than 1,024 values cost more.
    ///
    /// # Examples
    ///
    /// ```
    /// use visu_tility_drift::distance::BinnedDistance;
    ///
    /// // One value in 250 is a 1: 4 in the reference; a window of 200 expects 0.8.
    /// let (reference, window, level) = ([996, 4], 200, 1e-5);
    /// let far = BinnedDistance::JensenShannon.threshold_of_window(&reference, window, level)?;
    /// let of = |ones| BinnedDistance::JensenShannon.between(&reference, &[window - ones, ones]);
    /// // By the exact test of Fisher, 9 ones or more have probability 3.3e-5, and 10 or more 7.3e-6.
    /// assert!(of(9)? < far && far <= of(10)?);
    /// # Ok::<(), visu_tility_drift::distance::DistanceError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails when the reference has fewer than two bins or counts nothing, `window` is not from 10 to 1,000,000, or
    /// `level` is not in (0, 1).
    pub fn threshold_of_window(
        self,
        reference: &[u64],
        window: u64,
        level: f64,
    ) -> Result<f64, DistanceError> {
        if reference.len() < 2 {
            return Err(DistanceError::TooFewBins { found: reference.len(), least: 2 });
        }
        if reference.iter().all(|&count| count == 0) {
            return Err(DistanceError::Empty { histogram: "reference" });
        }
        let ok = (10..=1_000_000).contains(&window);
        DistanceError::check("window", window as f64, ok, "from 10 to 1000000")?;
        DistanceError::check("level", level, level > 0.0 && level < 1.0, "in (0, 1)")?;
        let law = Predictive::new(reference, window);
        let mut draws = law.draws(level, |counts| self.between(reference, counts).ok());
        draws.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        Ok(quantile(&draws, level))
    }
}

/// The statistic from which on the weights, with their error, sum to at most `level` of the number; `draws` are
/// sorted, the farthest first.
fn quantile(draws: &[(f64, f64)], level: f64) -> f64 {
    let all = draws.len() as f64;
    // Where nothing that was seen is rare enough, only what is farther still is.
    let mut threshold = draws.first().map_or(f64::MAX, |farthest| farthest.0.next_up());
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
        if (sum + ERRORS * sqrt(variance)) / all > level {
            break;
        }
        threshold = statistic * (1.0 - 1e-9);
    }
    threshold.max(f64::MIN_POSITIVE)
}

/// The Dirichlet-multinomial law of a window.
struct Predictive {
    /// The reference's counts and one more each.
    alpha: Vec<f64>,
    sum: f64,
    window: u64,
    /// How much likelier the counts themselves make a window of all that was not seen, in logarithms.
    surplus: f64,
    factorials: Rising,
}

/// Where one bin's count is drawn from, and how likely each count is.
struct Span {
    low: u64,
    chances: Vec<f64>,
    draws: usize,
}

impl Predictive {
    fn new(reference: &[u64], window: u64) -> Self {
        let alpha: Vec<f64> = reference.iter().map(|&count| count as f64 + 1.0).collect();
        let sum: f64 = alpha.iter().sum();
        let surplus = rising(sum, window) - rising(sum - alpha.len() as f64, window);
        Self { alpha, sum, window, surplus, factorials: Rising::new(1.0, window) }
    }

    /// Draws windows and returns for each its distance and its weight: how likely the law makes it, against the mixture
    /// that it is drawn from.
    fn draws(&self, level: f64, distance: impl Fn(&[u64]) -> Option<f64>) -> Vec<(f64, f64)> {
        let bins = self.alpha.len();
        let each = (SINGLE / bins).max(SINGLE_LEAST);
        let spans: Vec<Span> = self.alpha.iter().map(|&own| self.span(own, level, each)).collect();
        let ratio = chi2_quantile(level, (bins - 1) as f64) / (bins - 1) as f64;
        let wide = [sqrt(ratio.max(1.5)), ratio.max(2.0)].map(|ratio| self.widened(ratio));
        let mut mixture = Mixture::new(self, wide, spans);
        let all = (PLAIN + 2 * WIDE + each * bins) as f64;
        let mut random = Random::new(SEED);
        let mut counts = vec![0_u64; bins];
        let mut out = Vec::with_capacity(all as usize);
        for (draws, narrowed) in [(PLAIN, 1.0), (WIDE, wide[0]), (WIDE, wide[1])] {
            for _ in 0..draws {
                self.draw(&mut random, &mut counts, narrowed, None);
                out.extend(
                    distance(&counts).map(|far| (far, self.excess(&counts) * all / mixture.density(&counts))),
                );
            }
        }
        for bin in 0..bins {
            for draw in 0..each {
                let Some(count) = mixture.parts.get(bin).map(|part| part.span.at(draw, random.unit())) else {
                    continue;
                };
                // Every other one with a wider law for the rest.
                let narrowed = if draw % 2 == 0 { 1.0 } else { wide[0] };
                self.draw(&mut random, &mut counts, narrowed, Some((bin, count)));
                out.extend(
                    distance(&counts).map(|far| (far, self.excess(&counts) * all / mixture.density(&counts))),
                );
            }
        }
        out
    }

    /// How much likelier a window may be than by the counts with one more each: as much as by the counts
    /// themselves, where that is more.
    fn excess(&self, counts: &[u64]) -> f64 {
        let own = self.alpha.iter().zip(counts).map(|(own, &count)| {
            // Gamma(a + 1 + k) / Gamma(a + 1) is (a + k) / a times that of a.
            let (before, count) = (own - 1.0, count as f64);
            if count == 0.0 { 0.0 } else { ln(before / (before + count)) }
        });
        exp(own.sum::<f64>() + self.surplus).max(1.0)
    }

    /// The factor of the parameters that makes the variances this much larger; a window has no room for more than
    /// a sum of 1.
    fn widened(&self, ratio: f64) -> f64 {
        let m = self.window as f64;
        let inflation = (ratio * (m + self.sum) / (self.sum + 1.0)).min(0.9 * m);
        ((m - inflation) / (inflation - 1.0)).max(1.0).min(self.sum) / self.sum
    }

    /// The beta-binomial law of a bin's count, from its likeliest count outwards.
    fn span(&self, own: f64, level: f64, draws: usize) -> Span {
        let (m, other) = (self.window as f64, self.sum - own);
        // With parameters of at least 1 it has one mode.
        let mode = if self.sum > 2.0 { ((m + 1.0) * (own - 1.0) / (self.sum - 2.0)).min(m) } else { 0.0 };
        let mode = mode as u64;
        let left = self.window - mode;
        let ways = ln_gamma(m + 1.0) - ln_gamma(mode as f64 + 1.0) - ln_gamma(left as f64 + 1.0);
        let top = exp(ways + rising(own, mode) + rising(other, left) - rising(self.sum, self.window));
        // The odds of a count against the one below it.
        let odds = |k: u64| {
            let k = k as f64;
            (m - k + 1.0) / k * (own + k - 1.0) / (other + m - k)
        };
        let least = (level * BEYOND).min(top);
        let (mut low, mut below) = (mode, Vec::new());
        let mut chance = top;
        while low > 0 && chance >= least {
            chance /= odds(low);
            below.push(chance);
            low -= 1;
        }
        below.reverse();
        let mut chances = below;
        chances.push(top);
        chance = top;
        let mut high = mode;
        while high < self.window && chance >= least {
            high += 1;
            chance *= odds(high);
            chances.push(chance);
        }
        Span { low, chances, draws }
    }

    /// Draws a window; with `fixed`, one bin has that count.
    fn draw(&self, random: &mut Random, counts: &mut [u64], narrowed: f64, fixed: Option<(usize, u64)>) {
        let held = |bin: usize| fixed.filter(|(own, _)| *own == bin).map(|(_, count)| count);
        let shares: Vec<f64> = self
            .alpha
            .iter()
            .enumerate()
            .map(|(bin, own)| if held(bin).is_some() { 0.0 } else { random.gamma(own * narrowed) })
            .collect();
        let mut left = self.window - fixed.map_or(0, |(_, count)| count);
        let mut rest: f64 = shares.iter().sum();
        for (bin, (count, share)) in counts.iter_mut().zip(&shares).enumerate() {
            if let Some(given) = held(bin) {
                *count = given;
                continue;
            }
            let chance = if rest > 0.0 { (share / rest).min(1.0) } else { 1.0 };
            *count = self.binomial(random, left, chance);
            left -= *count;
            rest -= share;
        }
        // What rounding has left over.
        if left > 0
            && let Some(bin) = (0..counts.len()).rev().find(|&bin| held(bin).is_none())
        {
            counts.iter_mut().skip(bin).take(1).for_each(|count| *count += left);
        }
    }

    /// Draws from the binomial law: from the likeliest count outwards, so that it takes about as many steps as the
    /// law's deviation.
    fn binomial(&self, random: &mut Random, trials: u64, chance: f64) -> u64 {
        if trials == 0 || chance <= 0.0 {
            return 0;
        }
        if chance >= 1.0 {
            return trials;
        }
        let n = trials as f64;
        let odds = chance / (1.0 - chance);
        let mode = (((n + 1.0) * chance) as u64).min(trials);
        let (up_to, from) = (mode as f64, n - mode as f64);
        let ways = self.factorials.of(trials) - self.factorials.of(mode) - self.factorials.of(trials - mode);
        let top = exp(ways + up_to * ln(chance) + from * ln_1p(-chance));
        let mut left = random.unit() - top;
        let (mut low, mut high, mut below, mut above) = (mode, mode, top, top);
        while left >= 0.0 {
            let (stuck_below, stuck_above) = (low == 0, high == trials);
            if stuck_below && stuck_above {
                return mode;
            }
            if !stuck_above {
                high += 1;
                let k = high as f64;
                above *= (n - k + 1.0) / k * odds;
                left -= above;
                if left < 0.0 {
                    return high;
                }
            }
            if !stuck_below {
                let k = low as f64;
                below *= k / ((n - k + 1.0) * odds);
                low -= 1;
                left -= below;
                if left < 0.0 {
                    return low;
                }
            }
            if above < 1e-18 && below < 1e-18 {
                return mode;
            }
        }
        mode
    }
}

impl Span {
    /// The count of one of the draws, which are spread evenly over the span.
    fn at(&self, draw: usize, within: f64) -> u64 {
        let (length, draws) = (self.chances.len(), self.draws as f64);
        let at = (draw as f64 + within) / draws * length as f64;
        self.low + (at as u64).min(length as u64 - 1)
    }

    /// How many draws fall on this count, against the law.
    fn density(&self, count: u64) -> f64 {
        let at = count.checked_sub(self.low).and_then(|at| self.chances.get(at as usize));
        at.map_or(0.0, |&chance| self.draws as f64 / (self.chances.len() as f64 * chance))
    }
}

/// What the windows are drawn from.
struct Mixture {
    /// For the law and the two wider ones, the logarithm of what does not depend on the counts.
    totals: [f64; 3],
    parts: Vec<Part>,
}

/// One bin's part of the densities.
struct Part {
    span: Span,
    /// By the law and the two wider ones.
    own: [Rising; 3],
    /// All other bins together, by the law and the less wide one.
    others: [Rising; 2],
    /// Of the window in question.
    terms: [f64; 3],
    rest: u64,
    single: f64,
}

impl Mixture {
    fn new(law: &Predictive, wide: [f64; 2], spans: Vec<Span>) -> Self {
        let factors = [1.0, wide[0], wide[1]];
        let part = |(span, own): (Span, &f64)| Part {
            span,
            own: factors.map(|factor| Rising::new(own * factor, law.window)),
            others: [1.0, wide[0]].map(|factor| Rising::new((law.sum - own) * factor, law.window)),
            terms: [0.0; 3],
            rest: 0,
            single: 0.0,
        };
        let totals = factors.map(|factor| rising(law.sum * factor, law.window));
        Self { totals, parts: spans.into_iter().zip(&law.alpha).map(part).collect() }
    }

    /// How likely the mixture makes a window, against the law, times the number of draws.
    fn density(&mut self, counts: &[u64]) -> f64 {
        let window: u64 = counts.iter().sum();
        let mut sums = [0.0; 3];
        for (part, &count) in self.parts.iter_mut().zip(counts) {
            for ((sum, term), own) in sums.iter_mut().zip(&mut part.terms).zip(&part.own) {
                *term = own.of(count);
                *sum += *term;
            }
            (part.single, part.rest) = (part.span.density(count), window - count);
        }
        let plain = sums[0] - self.totals[0];
        let wider = exp(sums[1] - self.totals[1] - plain) + exp(sums[2] - self.totals[2] - plain);
        let mut density = PLAIN as f64 + WIDE as f64 * wider;
        for part in self.parts.iter().filter(|part| part.single > 0.0) {
            // The rest, by the wider law and by the law.
            let wider = sums[1] - part.terms[1] - part.others[1].of(part.rest);
            let plain = sums[0] - part.terms[0] - part.others[0].of(part.rest);
            density += part.single * (0.5 + 0.5 * exp(wider - plain));
        }
        density
    }
}

/// `ln(Gamma(x + k) / Gamma(x))` for one `x`, from a table where the window is small.
struct Rising {
    x: f64,
    table: Vec<f64>,
}

impl Rising {
    fn new(x: f64, window: u64) -> Self {
        let mut table = Vec::new();
        if window <= TABLE_MOST {
            let mut sum = 0.0;
            table.push(sum);
            for k in 0..window {
                sum += ln(x + k as f64);
                table.push(sum);
            }
        }
        Self { x, table }
    }

    fn of(&self, k: u64) -> f64 {
        self.table.get(k as usize).copied().unwrap_or_else(|| rising(self.x, k))
    }
}

/// `ln(Gamma(x + k) / Gamma(x))`, also where both are huge.
fn rising(x: f64, k: u64) -> f64 {
    let k = k as f64;
    if k == 0.0 {
        return 0.0;
    }
    if x < 20.0 {
        return ln_gamma(x + k) - ln_gamma(x);
    }
    let stirling = |x: f64| (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1_260.0 * x * x)) / (x * x)) / x;
    (x - 0.5) * ln_1p(k / x) + k * ln(x + k) - k + stirling(x + k) - stirling(x)
}
