//! Seeded streams of known law: what a detector's promises are measured on.

use alloc::sync::Arc;

use crate::ParamError;
use crate::math::{exp, ln, sqrt};
use crate::splitmix::SplitMix64;
use crate::state::VALUE_LIMIT;

/// A small seeded generator: splitmix64 (Steele, Lea and Flood, OOPSLA 2014).
///
/// # Examples
///
/// ```
/// use visu_tility_drift::simulate::Random;
///
/// let mut random = Random::new(0);
/// assert_eq!(random.bits(), 0xe220_a839_7b1d_cdaf);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Random(SplitMix64);

impl Random {
    /// Starts at `seed`; every seed is good.
    pub const fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// Returns the next 64 bits.
    #[inline]
    pub const fn bits(&mut self) -> u64 {
        self.0.next()
    }

    /// Returns a uniform number in [0, 1), a multiple of 2^-53.
    #[inline]
    pub const fn unit(&mut self) -> f64 {
        self.0.uniform()
    }

    /// Returns a uniform number in (0, 1].
    const fn positive(&mut self) -> f64 {
        1.0 - self.unit()
    }

    /// Returns a whole number below `n`, or 0 for `n = 0`; off by at most `n / 2^64` from uniform.
    pub const fn below(&mut self, n: u64) -> u64 {
        self.0.below(n)
    }

    /// Returns the seed of the `run`-th of several independent streams.
    pub const fn fork(seed: u64, run: u64) -> u64 {
        let mut own = Self::new(seed ^ run.wrapping_mul(0xd134_2543_de82_ef95));
        own.bits();
        own.bits()
    }

    /// Draws from the standard normal law (Marsaglia's polar method, one of the pair thrown away).
    pub fn normal(&mut self) -> f64 {
        loop {
            let (u, v) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let s = u * u + v * v;
            if s > 0.0 && s < 1.0 {
                return u * sqrt(-2.0 * ln(s) / s);
            }
        }
    }

    /// Draws from the gamma law of the given shape and scale 1 (Marsaglia and Tsang, TOMS 26, 2000).
    pub(crate) fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            // Their section 6: a gamma of shape + 1 times a power of a uniform number.
            return self.gamma(shape + 1.0) * exp(ln(self.positive()) / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / sqrt(9.0 * d);
        loop {
            let x = self.normal();
            let v = 1.0 + c * x;
            if v <= 0.0 {
                continue;
            }
            let v = v * v * v;
            if ln(self.positive()) < 0.5 * x * x + d - d * v + d * ln(v) {
                return d * v;
            }
        }
    }

    /// Draws from the Poisson law by multiplying uniform numbers, in steps small enough not to underflow.
    fn poisson(&mut self, rate: f64) -> f64 {
        let (mut left, mut count) = (rate, 0.0);
        while left > 0.0 {
            let step = left.min(16.0);
            left -= step;
            let (limit, mut product) = (exp(-step), self.positive());
            while product > limit {
                count += 1.0;
                product *= self.positive();
            }
        }
        count
    }
}

/// The law of a stream.
///
/// | | values | dependence |
/// |---|---|---|
/// | `Bernoulli` | 0 or 1 | none |
/// | `Sticky` | 0 or 1 | correlation `phi^k` at distance `k` |
/// | `Uniform`, `Beta` | in an interval, in [0, 1] | none |
/// | `Gaussian`, `StudentT` | any, light and heavy tails | none |
/// | `Poisson` | counts | none |
/// | `Ar1` | any, Gaussian | correlation `phi^k` at distance `k` |
/// | `History` | those given, drawn with replacement in blocks | as within a block |
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Source {
    /// Ones with probability `p`.
    Bernoulli {
        /// Probability of a one, in [0, 1].
        p: f64,
    },
    /// Ones with probability `p`, in runs: each value repeats the one before with probability `phi`, else
    /// it is drawn anew.
    Sticky {
        /// Probability of a one, in [0, 1].
        p: f64,
        /// Probability of a repeat, in [0, 1).
        phi: f64,
    },
    /// Uniform between two ends.
    Uniform {
        /// Lower end.
        low: f64,
        /// Upper end, not below `low`.
        high: f64,
    },
    /// Beta, of mean `a / (a + b)`.
    Beta {
        /// First shape, in [0.01, 1e6].
        a: f64,
        /// Second shape, in [0.01, 1e6].
        b: f64,
    },
    /// Normal.
    Gaussian {
        /// Mean.
        mean: f64,
        /// Standard deviation, not negative.
        deviation: f64,
    },
    /// Student's t, moved and scaled; of 3 degrees of freedom: variance `3 scale^2`, no third moment.
    StudentT {
        /// Degrees of freedom, in [1, 1e6].
        freedom: f64,
        /// Centre.
        mean: f64,
        /// Scale, not negative.
        scale: f64,
    },
    /// Counts.
    Poisson {
        /// Mean, in [0, 10000]; the cost of a draw grows with it.
        rate: f64,
    },
    /// Stationary first-order autoregression with Gaussian noise.
    Ar1 {
        /// Correlation of neighbours, in (-1, 1).
        phi: f64,
        /// Mean.
        mean: f64,
        /// Standard deviation of a value (not of the noise), not negative.
        deviation: f64,
    },
    /// Blocks of a recorded stream, each from a place drawn at random (the circular block bootstrap).
    History {
        /// The record, at least one value, all finite.
        values: Arc<[f64]>,
        /// Length of a block, at least 1; 1 draws single values.
        block: u64,
        /// Added to every value.
        shift: f64,
    },
}

impl Source {
    /// Checks every number against its range.
    ///
    /// # Errors
    ///
    /// Names the first that is out of range.
    pub fn check(&self) -> Result<(), ParamError> {
        let share = |name, x: f64| ParamError::check(name, x, (0.0..=1.0).contains(&x), "in [0, 1]");
        let place = |name, x: f64| ParamError::check(name, x, x.abs() <= VALUE_LIMIT, "finite");
        let scale = |name, x: f64| {
            ParamError::check(name, x, (0.0..=VALUE_LIMIT).contains(&x), "not negative and finite")
        };
        let shape =
            |name, x: f64| ParamError::check(name, x, (0.01..=1e6).contains(&x), "in [0.01, 1000000]");
        match *self {
            Self::Bernoulli { p } => share("p", p),
            Self::Sticky { p, phi } => {
                share("p", p)?;
                ParamError::check("phi", phi, (0.0..1.0).contains(&phi), "in [0, 1)")
            }
            Self::Uniform { low, high } => {
                place("low", low)?;
                place("high", high)?;
                ParamError::check("high", high, high >= low, "at least `low`")
            }
            Self::Beta { a, b } => shape("a", a).and_then(|()| shape("b", b)),
            Self::Gaussian { mean, deviation } => {
                place("mean", mean).and_then(|()| scale("deviation", deviation))
            }
            Self::StudentT { freedom, mean, scale: size } => {
                let ok = (1.0..=1e6).contains(&freedom);
                ParamError::check("freedom", freedom, ok, "in [1, 1000000]")?;
                place("mean", mean).and_then(|()| scale("scale", size))
            }
            Self::Poisson { rate } => {
                ParamError::check("rate", rate, (0.0..=1e4).contains(&rate), "in [0, 10000]")
            }
            Self::Ar1 { phi, mean, deviation } => {
                ParamError::check("phi", phi, phi.abs() < 1.0, "inside (-1, 1)")?;
                place("mean", mean).and_then(|()| scale("deviation", deviation))
            }
            Self::History { ref values, block, shift } => {
                let n = values.len() as f64;
                ParamError::check("values", n, n >= 1.0, "at least one")?;
                values.iter().try_for_each(|&value| place("values", value))?;
                ParamError::check("block", block as f64, block >= 1, "at least 1")?;
                place("shift", shift)
            }
        }
    }

    /// Starts a stream of this law.
    ///
    /// # Errors
    ///
    /// Names the first number that is out of range.
    pub fn stream(&self, seed: u64) -> Result<Stream, ParamError> {
        self.check()?;
        Ok(Stream { source: self.clone(), random: Random::new(seed), last: f64::NAN, at: 0, left: 0 })
    }
}

/// An endless stream of values of one law, the same for the same seed.
///
/// # Examples
///
/// ```
/// use visu_tility_drift::simulate::Source;
///
/// let bits = Source::Bernoulli { p: 0.1 }.stream(7)?;
/// let ones: f64 = bits.take(10_000).sum();
/// assert!((ones - 1_000.0).abs() < 100.0);
/// # Ok::<(), visu_tility_drift::ParamError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stream {
    source: Source,
    random: Random,
    /// The value before, `NaN` at first.
    last: f64,
    /// Where in the record the block stands, and how many of its values are left.
    at: usize,
    left: u64,
}

impl Stream {
    /// Goes on with another law: a change of the stream.
    ///
    /// # Errors
    ///
    /// Names the first number that is out of range; the stream is then as it was.
    pub fn change(&mut self, source: Source) -> Result<(), ParamError> {
        source.check()?;
        // An autoregression goes on from its own last value, any other law starts afresh.
        if core::mem::discriminant(&source) != core::mem::discriminant(&self.source) {
            self.last = f64::NAN;
        } else if let (Source::Ar1 { mean: old, .. }, Source::Ar1 { mean: new, .. }) = (&self.source, &source)
        {
            self.last += new - old;
        }
        (self.at, self.left) = (0, 0);
        self.source = source;
        Ok(())
    }

    /// Returns the next value.
    pub fn draw(&mut self) -> f64 {
        let random = &mut self.random;
        let value = match self.source {
            Source::Bernoulli { p } => f64::from(random.unit() < p),
            Source::Sticky { p, phi } => {
                if !self.last.is_nan() && random.unit() < phi {
                    self.last
                } else {
                    f64::from(random.unit() < p)
                }
            }
            Source::Uniform { low, high } => low + (high - low) * random.unit(),
            Source::Beta { a, b } => {
                let (x, y) = (random.gamma(a), random.gamma(b));
                if x + y > 0.0 { x / (x + y) } else { a / (a + b) }
            }
            Source::Gaussian { mean, deviation } => mean + deviation * random.normal(),
            Source::StudentT { freedom, mean, scale } => {
                let chi_square = 2.0 * random.gamma(freedom / 2.0);
                mean + scale * random.normal() * sqrt(freedom / chi_square.max(f64::MIN_POSITIVE))
            }
            Source::Poisson { rate } => random.poisson(rate),
            Source::Ar1 { phi, mean, deviation } => {
                let noise = deviation * random.normal();
                if self.last.is_nan() {
                    mean + noise
                } else {
                    mean + phi * (self.last - mean) + sqrt(1.0 - phi * phi) * noise
                }
            }
            Source::History { ref values, block, shift } => {
                if self.left == 0 {
                    (self.at, self.left) = (random.below(values.len() as u64) as usize, block);
                }
                let value = values.get(self.at).copied().unwrap_or_default();
                self.at = if self.at + 1 < values.len() { self.at + 1 } else { 0 };
                self.left -= 1;
                value + shift
            }
        };
        self.last = value;
        value
    }
}

impl Iterator for Stream {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        Some(self.draw())
    }
}
