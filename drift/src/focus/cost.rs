//! Log-likelihood ratios of one segment against the rest, for each family of values.

use crate::math::ln;

/// What a family needs to know of the stream up to now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Now {
    /// Number of values.
    pub(super) n: f64,
    /// Their sum, in the family's own scale.
    pub(super) sum: f64,
    /// The maximised log-likelihood of all of them; 0 when the level before is known.
    pub(super) whole: f64,
    /// `k ln k` of the ones and the zeros among bits: of the two, a value changes only one.
    ones: f64,
    zeros: f64,
}

impl Now {
    /// The state after `n` values with this sum.
    pub(super) fn new<C: Cost>(cost: &C, n: f64, sum: f64) -> Self {
        let whole = if n > 0.0 { cost.whole(n, sum) } else { 0.0 };
        Self { n, sum, whole, ones: x_ln_x(sum), zeros: x_ln_x(n - sum) }
    }

    /// Takes the next value.
    #[inline]
    pub(super) fn add<C: Cost>(&mut self, cost: &C, value: f64) {
        self.n += 1.0;
        self.sum += value;
        self.whole = cost.next_whole(self, value);
    }
}

/// The log-likelihood ratio of "changed after `cut`" against "never changed".
pub(super) trait Cost {
    /// `before` is what [`Cost::whole`] gave when `cut` was the newest value.
    fn ratio(&self, now: &Now, cut: f64, sum: f64, before: f64) -> f64;

    /// The maximised log-likelihood of `n` values with this sum, where the ratio needs it.
    fn whole(&self, n: f64, sum: f64) -> f64;

    /// The same of all values, the last of which is given, to the last bit.
    #[inline]
    fn next_whole(&self, now: &mut Now, _: f64) -> f64 {
        self.whole(now.n, now.sum)
    }
}

/// Deviations from the known mean, in standard deviations.
#[derive(Clone, Copy, Debug)]
pub(super) struct GaussianKnown;

/// Deviations from the first value, in standard deviations.
#[derive(Clone, Copy, Debug)]
pub(super) struct GaussianUnknown;

/// Bits, with a known rate of ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct BernoulliKnown {
    pub(super) ln_p: f64,
    pub(super) ln_q: f64,
}

/// Bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct BernoulliUnknown;

/// Counts, less the whole part of a known rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoissonKnown {
    pub(super) rate: f64,
    /// What the known rate has more than its whole part.
    pub(super) rest: f64,
}

/// Counts, less a rate near theirs.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoissonUnknown {
    pub(super) rate: f64,
}

impl Cost for GaussianKnown {
    #[inline]
    fn ratio(&self, now: &Now, cut: f64, sum: f64, _: f64) -> f64 {
        let apart = now.sum - sum;
        0.5 * apart * apart / (now.n - cut)
    }

    #[inline]
    fn whole(&self, _: f64, _: f64) -> f64 {
        0.0
    }
}

impl Cost for GaussianUnknown {
    #[inline]
    fn ratio(&self, now: &Now, cut: f64, sum: f64, _: f64) -> f64 {
        // `whole` is the mean here.
        let apart = sum - cut * now.whole;
        let free = cut * (now.n - cut);
        if free > 0.0 { 0.5 * apart * apart * now.n / free } else { 0.0 }
    }

    #[inline]
    fn whole(&self, n: f64, sum: f64) -> f64 {
        sum / n
    }
}

impl Cost for BernoulliKnown {
    #[inline]
    fn ratio(&self, now: &Now, cut: f64, sum: f64, _: f64) -> f64 {
        let (n, ones) = (now.n - cut, now.sum - sum);
        let zeros = n - ones;
        x_ln_x(ones) + x_ln_x(zeros) - x_ln_x(n) - ones * self.ln_p - zeros * self.ln_q
    }

    #[inline]
    fn whole(&self, _: f64, _: f64) -> f64 {
        0.0
    }
}

impl Cost for BernoulliUnknown {
    #[inline]
    fn ratio(&self, now: &Now, cut: f64, sum: f64, before: f64) -> f64 {
        let (n, ones) = (now.n - cut, now.sum - sum);
        before + x_ln_x(ones) + x_ln_x(n - ones) - x_ln_x(n) - now.whole
    }

    #[inline]
    fn whole(&self, n: f64, sum: f64) -> f64 {
        x_ln_x(sum) + x_ln_x(n - sum) - x_ln_x(n)
    }

    #[inline]
    fn next_whole(&self, now: &mut Now, value: f64) -> f64 {
        if value > 0.0 {
            now.ones = x_ln_x(now.sum);
        } else {
            now.zeros = x_ln_x(now.n - now.sum);
        }
        now.ones + now.zeros - x_ln_x(now.n)
    }
}

impl Cost for PoissonKnown {
    #[inline]
    fn ratio(&self, now: &Now, cut: f64, sum: f64, _: f64) -> f64 {
        let n = now.n - cut;
        excess(n * self.rate, now.sum - sum - n * self.rest)
    }

    #[inline]
    fn whole(&self, _: f64, _: f64) -> f64 {
        0.0
    }
}

impl Cost for PoissonUnknown {
    #[inline]
    fn ratio(&self, now: &Now, cut: f64, sum: f64, before: f64) -> f64 {
        before + self.whole(now.n - cut, now.sum - sum) - now.whole
    }

    /// Against the rate instead of a rate of 1: whatever it is, it cancels in the ratio; near that of the values, it
    /// leaves little to cancel.
    #[inline]
    fn whole(&self, n: f64, sum: f64) -> f64 {
        excess(n * self.rate, sum)
    }
}

/// The log-likelihood ratio of a Poisson count's own mean against `mean`, when it is `more` above it:
/// `(mean + more) ln(1 + more / mean) - more`, without its cancellation.
#[inline]
fn excess(mean: f64, more: f64) -> f64 {
    // With 1 + more / mean = (1 + s) / (1 - s) the logarithm is 2 artanh(s), and s is odd in it.
    let twice = 2.0 * mean + more;
    if 8.0 * more.abs() > twice {
        let count = mean + more;
        return if count > 0.0 { count * ln(count / mean) - more } else { mean };
    }
    let s = more / twice;
    let s2 = s * s;
    let tail = 1.0 / 3.0
        + s2 * (1.0 / 5.0
            + s2 * (1.0 / 7.0
                + s2 * (1.0 / 9.0 + s2 * (1.0 / 11.0 + s2 * (1.0 / 13.0 + s2 * (1.0 / 15.0 + s2 / 17.0))))));
    twice * (s2 + (1.0 + s) * (s * s2 * tail))
}

const TABLED: usize = 1_024;

/// `k ln k` of small whole numbers: most segments that are looked at are short.
static X_LN_X: [f64; TABLED] = tabulate();

/// Returns `k ln k` of a whole number, 0 for what is not above 0.
#[inline]
pub(super) fn x_ln_x(k: f64) -> f64 {
    match X_LN_X.get(k as usize) {
        Some(&tabled) => tabled,
        None => k * ln(k),
    }
}

#[expect(clippy::indexing_slicing, reason = "the index runs to the length, when compiled")]
const fn tabulate() -> [f64; TABLED] {
    let mut table = [0.0; TABLED];
    let mut k = 2;
    while k < TABLED {
        // k = m 2^e with m in (2/3, 4/3]; ln m = 2 artanh((m - 1) / (m + 1)).
        let (mut m, mut e) = (k as f64, 0.0);
        while m > 4.0 / 3.0 {
            m *= 0.5;
            e += 1.0;
        }
        let s = (m - 1.0) / (m + 1.0);
        let (mut series, mut power) = (0.0, 13);
        while power > 0 {
            series = 1.0 / (2 * power + 1) as f64 + s * s * series;
            power -= 1;
        }
        let ln = e * core::f64::consts::LN_2 + (2.0 * s + 2.0 * s * s * s * series);
        table[k] = k as f64 * ln;
        k += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{TABLED, excess, x_ln_x};

    /// Against mpmath with 40 digits.
    #[test]
    fn an_excess_keeps_its_digits() {
        for (mean, more, exact) in [
            (1_000_000_000_000.0, 1.0, 4.999_999_999_998_333e-13),
            (1_000_000_000_000.0, -1_000_000.0, 0.500_000_166_666_75),
            (1_000_000.0, 10_000.0, 49.834_161_699_763_676),
            (1_000_000.0, -10_000.0, 50.167_505_033_573_23),
            (10.0, 2.4, 0.267_381_107_250_124_15),
            (10.0, -2.3, 0.287_491_316_165_062_07),
            (10.0, 2.9, 0.384_884_617_019_191_63),
            (10.0, -2.5, 0.342_384_456_611_643),
            (10.0, 90.0, 140.258_509_299_404_58),
            (10.0, -9.5, 8.002_133_863_223_005),
            (0.25, 7.75, 19.975_887_222_397_812),
            (1e+18, 3_000_000_000.0, 4.499_999_995_5),
        ] {
            let found = excess(mean, more);
            assert!((found - exact).abs() <= 4e-15 * exact, "{mean} {more}: {found} {exact}");
        }
        assert_eq!([excess(3.0, -3.0), excess(3.0, 0.0)], [3.0, 0.0]);
    }

    #[test]
    fn the_table_holds_what_the_logarithm_gives() {
        for k in 1..2 * TABLED {
            let k = k as f64;
            let exact = k * k.ln();
            assert!((x_ln_x(k) - exact).abs() <= 4e-16 * exact, "{k}: {} {exact}", x_ln_x(k));
        }
        assert_eq!([0.0, -0.0, -3.0, 1.0].map(x_ln_x), [0.0; 4]);
    }
}
